/* save.c -- see save.h: a temporary name in the same folder, renamed at the end. What exists and is no regular file (/dev/stdout, a pipe) is
 * written directly: renaming would replace the device.
 */
#include "save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot_write(const char *path, ingot_error *err)
{
    return ingot_fail(err, INGOT_ERR_FILE, "%s: cannot be written: %s", path, strerror(errno));
}

/* mkstemp makes files that only the owner reads; a result gets what the umask allows, as with fopen. */
static void allow_readers(int fd)
{
    mode_t mask = umask(0);
    umask(mask);
    (void)!fchmod(fd, 0666 & ~mask);
}

int ingot_save_open(ingot_save *s, const char *path, ingot_error *err)
{
    struct stat st;
    *s = (ingot_save){ .path = path };
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return (s->out = fopen(path, "w")) ? INGOT_OK : cannot_write(path, err);
    s->temporary = malloc(strlen(path) + 8);
    if (!s->temporary)
        return ingot_fail(err, INGOT_ERR_MEMORY, "%s: out of memory", path);
    sprintf(s->temporary, "%s.XXXXXX", path);
    int fd = mkstemp(s->temporary);
    if (fd >= 0 && (s->out = fdopen(fd, "w"))) {
        allow_readers(fd);
        return INGOT_OK;
    }
    int status = cannot_write(path, err);
    if (fd >= 0) {
        close(fd);
        unlink(s->temporary);
    }
    free(s->temporary);
    return status;
}

int ingot_save_close(ingot_save *s, bool complete, ingot_error *err)
{
    int status = complete ? INGOT_OK : INGOT_ERR_FILE;
    bool written = !ferror(s->out);
    written = !fclose(s->out) && written;
    if (complete && (!written || (s->temporary && rename(s->temporary, s->path))))
        status = cannot_write(s->path, err);
    if (status && s->temporary)
        unlink(s->temporary);
    free(s->temporary);
    return status;
}
