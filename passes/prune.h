/* prune.h -- removing parts of axes from a graph, given what stays of each.
 *
 * The caller (compress/groups.c) says which elements stay along which axes of which values, consistently: an element that is gone on one side of an
 * elementwise operator is gone on the other, and so on. An axis of symbolic size d = s * period loses the same elements of each of the s repetitions.
 */
#ifndef INGOT_PRUNE_H
#define INGOT_PRUNE_H

#include "ptrmap.h"
#include "ir.h"

typedef struct AxisKeep {
    const bool *keep;               /* period of them; NULL: all elements stay */
    int64_t period;                 /* the size of the axis, or a factor of it */
} AxisKeep;

/* AxisKeep[rank] by Value, or, for an operand that is a constant, by Use: each user has its own part of a constant. Without an entry all stays. */
typedef struct Keeps {
    PtrMap of;
} Keeps;

const AxisKeep *keeps_of_value(const Keeps *k, const Value *v);     /* NULL: all of it stays */
const AxisKeep *keeps_of_operand(const Keeps *k, const Node *n, int i);
int64_t keep_count(const AxisKeep *k);                              /* elements of a period that stay */

/* A copy of the main graph without what is not kept: constants are cut, shapes, slices, pads and group counts follow. The graph stays as it is.
 * map, if not NULL: its values -> those of the copy. NULL after reporting. */
Graph *prune_graph(Module *m, const Graph *g, const Keeps *k, PtrMap *map);
/* A copy of the main graph that computes the same as prune_graph's with the shapes of the original: what is removed is multiplied by zero where it enters
 * a sum (a convolution, a matrix product). This is what the removal means; tests compare the two. */
Graph *prune_mask(Module *m, const Graph *g, const Keeps *k);
/* Several prunings in a row as one. Of the main graph `first`: keeps and map (Values of it -> those of what it has become, empty: itself) go on by one more
 * step, which was made with keep-lists k and gave the map `step`. */
void prune_compose(const Graph *first, Keeps *keeps, PtrMap *map, const Keeps *k, const PtrMap *step);
/* The part of a constant that stays, in the module's arena. */
const Tensor *tensor_cut(Arena *a, const Tensor *t, const AxisKeep *k);

#endif
