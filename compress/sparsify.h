/* sparsify.h -- single weights set to zero: a fraction of them wherever they are, or all but N of every M neighbours. All shapes stay.
 *
 * Neighbours are what one result is summed from: input channels under the same tap of a filter, elements of a column of a matrix [K, N].
 */
#ifndef INGOT_SPARSIFY_H
#define INGOT_SPARSIFY_H

#include "importance.h"

typedef struct Pattern {
    int stay, of;                   /* of: 0: zeros lie anywhere */
} Pattern;

/* "unstructured", or "N:M" with 0 < N < M <= PATTERN_MOST. */
enum { PATTERN_MOST = 64 };
bool pattern_from_name(const char *name, Pattern *out);

typedef struct SparsifyOptions {
    Pattern pattern;
    double fraction;                /* of the weights of every layer, or of all, to be zero; of no meaning where the pattern says it */
    bool global;                    /* all layers are ranked together (not by reconstruction) */
    Importance by;                  /* l1: |w|; activation: |w| times the root mean square of what it meets, in each row of weights (Sun et al., A Simple and
                                       Effective Pruning Approach for Large Language Models, 2023: Wanda); reconstruction: the error that is left when the
                                       weights to come make up for it (Frantar and Alistarh, SparseGPT, 2023); random */
    int nkeep;
    const char *const *keep;        /* nodes or tensors whose weights stay */
} SparsifyOptions;

/* One product with constant weights. */
typedef struct SparseLayer {
    Node *node;
    const char *name, *dense;       /* dense: why its weights stay as they are; NULL: they do not */
    int64_t zeros, count;           /* of its weights, afterwards */
} SparseLayer;

/* Replaces weights of m's graph; samples may be NULL for criteria that need none. *layers: *n of them, in m's arena. False after reporting. */
bool sparsify_module(Module *m, const SparsifyOptions *o, Samples *samples, SparseLayer **layers, int *n);

#endif
