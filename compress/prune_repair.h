/* prune_repair.h -- making a pruned network give again what the original gives, from samples without labels. */
#ifndef INGOT_PRUNE_REPAIR_H
#define INGOT_PRUNE_REPAIR_H

#include "observe.h"
#include "prune.h"

typedef enum Repair {
    REPAIR_NONE,
    REPAIR_BIAS,                    /* every product's results get the original's mean per channel */
    REPAIR_BN,                      /* mean and variance: BatchNorm re-estimated, though it is folded */
    REPAIR_LSQ                      /* weights and bias that give the original's results best, in the sense of least squares */
} Repair;
bool repair_from_name(const char *name, Repair *out);

typedef struct RepairOptions {
    Repair how;
    double damp;                    /* of the normal equations, relative to the mean of their diagonal; pulls towards the weights as they are */
    int64_t rows;                   /* places of results that are used per layer, of all samples together */
    bool keep_zeros;                /* weights that are 0 stay so (least squares) */
} RepairOptions;
#define REPAIR_DEFAULT { .how = REPAIR_LSQ, .damp = 1e-3, .rows = 20000 }

/* What became of `original` by pruning, in one step or several: k: what stays of its axes; map: its values -> those of `pruned`. Weights of `pruned` are replaced, layer after layer: each sees what the repaired layers
 * before it give, and aims at what the original gives there: the sum with the other branch where a residual follows. False after reporting. */
bool repair_graph(Module *m, Graph *original, Graph *pruned, const PtrMap *map, const Keeps *k, Samples *s, const RepairOptions *o);

#endif
