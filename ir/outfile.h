/* outfile.h -- files that appear whole or not at all: written beside their place under another name, renamed when done.
 *
 * A path that exists and is not a regular file (/dev/stdout, a pipe) is written directly.
 */
#ifndef INGOT_OUTFILE_H
#define INGOT_OUTFILE_H

#include <stdbool.h>
#include <stdio.h>

#include "arena.h"
#include "diag.h"

typedef struct OutFile {
    FILE *f;
    Diag *diag;
    const char *path, *temp;        /* temp: NULL when written directly */
    int fd, why;                    /* errno of the first write that failed, else 0 */
} OutFile;

/* Each reports and returns false on failure; after that nothing is left behind and the OutFile is closed. Writing to f need not be checked: commit
 * knows. The OutFile must stay where it is while open. */
bool outfile_open(OutFile *o, Diag *d, const char *path);
bool outfile_commit(OutFile *o);
void outfile_abandon(OutFile *o);

#endif
