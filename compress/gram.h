/* gram.h -- second moments of what the columns of a layer's weight are multiplied with: H = mean of x x^T, per group of a convolution. */
#ifndef INGOT_GRAM_H
#define INGOT_GRAM_H

#include "qdq.h"
#include "samples.h"

enum { GRAM_MOST = 4608 };          /* deepest product that is measured: 512 channels of 3 x 3 */

typedef struct Gram {
    int64_t depth, groups;          /* depth: products per sum; 0: too deep, not measured */
    float *h;                       /* groups of [depth, depth] */
    int64_t rows;                   /* vectors seen, per group */
} Gram;

bool gram_measures(const QdqLayer *l);                              /* whether it is of a form and depth that is measured */
/* Of every layer of p that is not kept. Rows are picked evenly, about `rows` per layer. In arena a; NULL after a sentence. */
Gram *gram_measure(Module *m, Arena *a, const QdqPlan *p, Samples *s, int64_t rows);

#endif
