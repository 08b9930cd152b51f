/* tree_ensemble.c -- gradient boosted trees and random forests: every row of x walks every tree.
 *
 * Steps down a tree wait for memory, one after the other. So four walks take their steps in turn: through four trees if there is one row, else of
 * four rows through one tree. Either way a row's sums are taken in the order of the trees.
 *
 * The walk is written once (tree_walk.h) for f32 and f64, in which all comparing and adding is done. Branches lead to nodes that come later, which
 * is checked at each step: so every walk ends, and none leaves the table.
 */
#include "kernel.h"

enum { WALKS = K_TREE_WALKS };

typedef struct Forest {
    const void *node;                       /* records as in tree_walk.h */
    const int32_t *root, *target;
    const void *weight;
    int64_t nodes, roots, entries, count;
    int32_t features, test;                 /* test: of all nodes, or -1 */
    bool average, least;                    /* aggregate: avg; min (max if there is `hit`) */
    unsigned char *hit;                     /* [WALKS][count]: some leaf had this target; min and max only */
} Forest;

enum { FEATURE = (1 << 24) - 1, TEST_SHIFT = 24, TEST_MASK = 7, NAN_IS_TRUE = 1 << 27 };

#define REAL float
#include "tree_walk.h"
#define REAL double
#include "tree_walk.h"

/* attrs: count, aggregate, test */
K_KERNEL(tree_ensemble)
{
    const int64_t *a = c->attr;
    const KTensor *x = &c->in[0], *node = &c->in[1], *root = &c->in[2], *target = &c->in[3];
    Forest f = { .node = node->data, .root = root->data, .target = target->data, .weight = c->in[4].data, .nodes = node->dim[0], .roots = root->dim[0],
                 .entries = target->dim[0], .features = x->dim[1] > FEATURE ? FEATURE : (int32_t)x->dim[1] };
    f.count = k_int(&a);
    int64_t how = k_int(&a);
    f.test = (int32_t)k_int(&a);
    f.average = how == k_word("avg");
    f.least = how == k_word("min");
    if (f.least || how == k_word("max"))
        f.hit = c->scratch;
    if (x->dtype == K_F64)
        return run_rows_double(&f, x->data, x->dim[0], x->dim[1], c->out[0].data);
    return run_rows_float(&f, x->data, x->dim[0], x->dim[1], c->out[0].data);
}
