/* tree_ensemble.c -- gradient boosted trees and random forests: every row of x walks every tree.
 *
 * The walk is written once (tree_walk.h) for f32 and f64, in which all comparing and adding is done. It takes at most as many steps as there are
 * nodes, so that a forest with a cycle ends in an error.
 */
#include "kernel.h"

typedef struct Forest {
    const int32_t *node, *root, *target;    /* node: 4 words each, see ops.def */
    const void *threshold, *weight;
    int64_t nodes, roots, entries, features, count;
    bool average, least;                    /* aggregate: avg; min (max if there is `hit`) */
    unsigned char *hit;                     /* [count]: some leaf had this target; min and max only */
} Forest;

enum { TEST_MASK = 7, NAN_IS_TRUE = 8 };

#define REAL float
#include "tree_walk.h"
#define REAL double
#include "tree_walk.h"

/* attrs: count, aggregate */
K_KERNEL(tree_ensemble)
{
    const int64_t *a = c->attr;
    const KTensor *x = &c->in[0];
    int64_t count = k_int(&a), how = k_int(&a);
    Forest f = { c->in[1].data, c->in[3].data, c->in[4].data, c->in[2].data, c->in[5].data, c->in[1].dim[0], c->in[3].dim[0], c->in[4].dim[0],
                 x->dim[1], count, how == k_word("avg"), how == k_word("min"), NULL };
    if (f.least || how == k_word("max"))
        f.hit = c->scratch;
    int32_t status = K_OK;
    for (int64_t r = 0; r < x->dim[0] && status == K_OK; r++) {
        if (x->dtype == K_F64)
            status = run_row_double(&f, (const double *)x->data + r * f.features, (double *)c->out[0].data + r * count);
        else
            status = run_row_float(&f, (const float *)x->data + r * f.features, (float *)c->out[0].data + r * count);
    }
    return status;
}
