/* save.h -- write a file so that its name only ever shows a complete one. */
#ifndef INGOT_SAVE_H
#define INGOT_SAVE_H

#include <stdio.h>

#include "rt.h"

typedef struct ingot_save {
    FILE *out;
    const char *path;               /* borrowed */
    char *temporary;                /* in the same folder as path */
} ingot_save;

/* Start writing path; INGOT_ERR_FILE if its folder cannot be written. */
int ingot_save_open(ingot_save *s, const char *path, ingot_error *err);
/* Finish: path is replaced if `complete` and every write went well, otherwise nothing is left. Returns the status. */
int ingot_save_close(ingot_save *s, bool complete, ingot_error *err);

#endif
