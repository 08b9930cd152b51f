/* outfile.c -- see outfile.h. A stdio stream forgets why a write failed; this one is made over a write of our own that remembers, so that a full
 * disk is called so.
 */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t put(void *cookie, const char *data, size_t n)
{
    OutFile *o = cookie;
    for (size_t done = 0; done < n && !o->why; ) {
        ssize_t k = write(o->fd, data + done, n - done);
        if (k >= 0)
            done += (size_t)k;
        else if (errno != EINTR)
            o->why = errno;
    }
    return o->why ? 0 : (ssize_t)n;
}

static int put_end(void *cookie)
{
    OutFile *o = cookie;
    return close(o->fd);
}

static bool fail(OutFile *o, int why)
{
    if (o->f)
        fclose(o->f);
    if (o->temp)
        unlink(o->temp);
    o->f = NULL;
    return diag_error(o->diag, (Loc){ .file = o->path }, "cannot be written: %s", strerror(why));
}

bool outfile_open(OutFile *o, Diag *d, const char *path)
{
    struct stat st;
    bool direct = !stat(path, &st) && !S_ISREG(st.st_mode);
    const char *temp = direct ? NULL : arena_printf(d->arena, "%s.tmp%ld", path, (long)getpid());
    *o = (OutFile){ .diag = d, .path = path };
    o->fd = open(temp ? temp : path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (o->fd < 0)
        return fail(o, errno);
    o->temp = temp;
    o->f = fopencookie(o, "wb", (cookie_io_functions_t){ .write = put, .close = put_end });
    if (o->f)
        return true;
    close(o->fd);
    return fail(o, ENOMEM);
}

bool outfile_commit(OutFile *o)
{
    fflush(o->f);
    if (o->why)
        return fail(o, o->why);
    int closed = fclose(o->f);
    o->f = NULL;
    if (closed || (o->temp && rename(o->temp, o->path)))
        return fail(o, errno);
    return true;
}

void outfile_abandon(OutFile *o)
{
    if (o->f)
        fclose(o->f);
    if (o->temp)
        unlink(o->temp);
    o->f = NULL;
}
