/* outfile.c -- see outfile.h. Errors of buffered writing (a full disk) show up at the latest in commit, before the rename. */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    *o = (OutFile){ .diag = d, .path = path };
    if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
        o->f = fopen(path, "wb");
        return o->f || fail(o, errno);
    }
    const char *temp = arena_printf(d->arena, "%s.tmp%ld", path, (long)getpid());
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0)
        return fail(o, errno);
    o->temp = temp;
    o->f = fdopen(fd, "wb");
    return o->f || fail(o, errno);
}

bool outfile_commit(OutFile *o)
{
    errno = 0;
    if (fflush(o->f) || ferror(o->f))
        return fail(o, errno ? errno : EIO);
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
