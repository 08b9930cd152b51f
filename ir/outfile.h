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
} OutFile;

/* Each reports and returns false on failure; after that nothing is left behind and the OutFile is closed. */
bool outfile_open(OutFile *o, Diag *d, const char *path);
bool outfile_commit(OutFile *o);
void outfile_abandon(OutFile *o);

#endif
