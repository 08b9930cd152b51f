/* diag.h -- sentences for the user.
 *
 * Every problem with a model or its data is reported through a Diag: one sentence that names file, node and tensor, on stderr or collected.
 * A run reports as many problems as it can find (all unsupported operators at once), then fails with exit status 1.
 */
#ifndef INGOT_DIAG_H
#define INGOT_DIAG_H

#include <stdbool.h>
#include <stdio.h>

#include "arena.h"

/* Where something came from: a line of a textual file (line > 0) or an ONNX node (name, may be "") of a model file. */
typedef struct Loc {
    const char *file;
    const char *node;
    int line;
} Loc;

typedef struct Diag {
    Arena *arena;
    FILE *out;                  /* NULL: only collect */
    int errors;
    const char *first;          /* the first sentence, for callers that keep it */
    const char *all;            /* every sentence, newline-terminated */
} Diag;

void diag_init(Diag *d, Arena *a, FILE *out);
/* Report an error; always returns false, so that `return diag_error(...)` reads well. Repeated identical sentences are said once. */
bool diag_error(Diag *d, Loc loc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void diag_warn(Diag *d, Loc loc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
