/* scratchdir.c -- a folder for files that live as long as one command. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

bool scratchdir_make(ScratchDir *s)
{
    const char *parent = getenv("TMPDIR");
    int n = snprintf(s->path, sizeof s->path, "%s/ingot-XXXXXX", parent && *parent ? parent : "/tmp");
    if (n < (int)sizeof s->path && mkdtemp(s->path))
        return true;
    tool_fail("no temporary folder in %s: %s", parent && *parent ? parent : "/tmp", strerror(errno));
    s->path[0] = 0;
    return false;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st, (void)kind, (void)place;
    remove(path);
    return 0;
}

void scratchdir_remove(ScratchDir *s)
{
    enum { OPEN_FOLDERS = 8 };
    if (s->path[0])
        nftw(s->path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    s->path[0] = 0;
}
