/* hessian.h -- what the weights of a product are multiplied with, as the matrix H = mean of x x^T: for weights changed by D, trace(D H D^T) is the mean
 * squared change of the result.
 */
#ifndef INGOT_HESSIAN_H
#define INGOT_HESSIAN_H

#include "ir.h"
#include "samples.h"

enum { HESSIAN_MOST = 8192 };       /* deepest sum that is measured */

typedef struct Hessian {
    Node *product;
    int n, groups;                  /* elements of a sum, groups of a convolution; n 0: not measured, too deep */
    double **h;                     /* per group [n][n], in the order of weight_codes.h: tap, then input channel */
    double **mean;                  /* per group [n]: mean of |x| */
    int64_t rows;                   /* vectors seen, per group */
} Hessian;

/* Of n products of m's main graph (conv, or matmul of a constant matrix), on samples spread evenly; in arena a. NULL after a sentence. */
Hessian *hessian_measure(Module *m, Arena *a, Node *const *product, int n, Samples *s);
/* Of [n] for all rows of a result changed by d: d H d. */
double hessian_error(const double *h, int n, const double *d);

#endif
