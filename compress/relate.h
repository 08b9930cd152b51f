/* relate.h -- which elements along which axes of a graph's values can only be removed together.
 *
 * Every axis of every value has one variable per element (an axis of symbolic size s * n has n, for all of its s repetitions). An operator ties variables of
 * its operands and results (union-find), or fixes them: they stay. Constants have variables of their own at every use, since each user can be given its
 * own part; only a weight that several products share is tied.
 *
 * A reshape that splits an axis into several (heads, groups of a shuffle), or merges them (flatten), can lose whole slices along one of the parts only:
 * which one is a choice, made when everything else is tied: parts that are fixed cannot be it; the heads of an attention and the groups of a grouped
 * convolution are preferred; else the largest. The other parts stay.
 */
#ifndef INGOT_RELATE_H
#define INGOT_RELATE_H

#include "ptrmap.h"
#include "ir.h"

/* Variables first .. first + n - 1; n is 0 where nothing can be removed (an axis of size 1). */
typedef struct Axis {
    int first, n;
} Axis;

typedef struct Fixed {              /* why a variable stays */
    const char *why;                /* "is summed over by", "is an output of"... followed by the node; NULL: it does not have to */
    const Node *node;
} Fixed;

typedef struct Relations Relations;

/* Nodes for which keep(ctx, n) is true keep their results whole (keep may be NULL). Everything lives in arena a. */
Relations *relations_find(Arena *a, Module *m, const Graph *g, bool (*keep)(void *ctx, const Node *n), void *ctx);
const Axis *relations_of_value(const Relations *r, const Value *v);                     /* Axis[rank] */
const Axis *relations_of_operand(const Relations *r, const Node *n, int i);             /* the same for other values than constants */
int relations_class(Relations *r, int variable);        /* the representative of what it is tied to */
Fixed relations_fixed(Relations *r, int variable);
bool relations_is_head(Relations *r, int variable);     /* along the batch axis of a product of two activations */
int relations_count(const Relations *r);                /* variables there are */

#endif
