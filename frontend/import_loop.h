/* import_loop.h -- the op `loop`, built from an iteration that is written (or imported) once its states' types are known. */
#ifndef INGOT_IMPORT_LOOP_H
#define INGOT_IMPORT_LOOP_H

#include "import_parts.h"

typedef struct LoopJob LoopJob;
struct LoopJob {
    Importer *c;
    Value *go, *most;               /* bool and i64 scalars; `most` is constant or known where the number of iterations is */
    int nstate, nslice;
    Value *const *state;            /* where they begin */
    /* One iteration, inside the region: from states to out = go, states, slices. go NULL: always. */
    bool (*iterate)(const LoopJob *job, Region *r, Value *number, Value *const *state, Value **out);
    const void *ctx;
};

/* out: the last states, then the slices one behind the other along a new axis 0. False after reporting. */
bool import_loop_build(const LoopJob *job, Value **out);
/* The index along an axis as a Dim: reads a scalar that is >= 0. */
Dim import_loop_index(Builder *b, Value *number);

#endif
