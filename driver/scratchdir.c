/* scratchdir.c -- a folder for files that live as long as one command. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

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

void scratchdir_remove(ScratchDir *s)
{
    DIR *dir = s->path[0] ? opendir(s->path) : NULL;
    char file[1024];
    for (struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(file, sizeof file, "%s/%s", s->path, e->d_name);
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            unlink(file);
    }
    if (dir)
        closedir(dir);
    if (s->path[0])
        rmdir(s->path);
    s->path[0] = 0;
}
