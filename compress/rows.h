/* rows.h -- the inputs of a convolution or matrix product as rows of a matrix: result = rows * weights, so that what its weights do is linear algebra.
 *
 *   conv    one row per image and place of the result: the input under the filter, [channels of a group][kernel...]; each group has rows of its own
 *   matmul  one row per row of operand 0
 */
#ifndef INGOT_ROWS_H
#define INGOT_ROWS_H

#include "ir.h"

typedef struct Rows {
    const Node *node;
    int ngroups;                    /* 1 but for grouped convolutions */
    int nfeatures;                  /* of one group: elements of a row */
    int nout;                       /* results of one group: columns of the weights */
    int kernel;                     /* features per input channel */
} Rows;

/* False: this kind of product (weights that are not operand 1 and constant, rank above 2, transposed) is not described by rows. */
bool rows_of(const Node *n, Rows *r);
/* How many rows a run has whose result is y, and the one that starts at element `row` of them: features of a group, to[nfeatures]. */
int64_t rows_count(const Rows *r, const Tensor *y);
void rows_read(const Rows *r, const Tensor *x, const Tensor *y, int64_t row, int group, double *to);
/* Element of a result tensor (f32) of that row, channel 0 <= c < all of them. */
double rows_result(const Rows *r, const Tensor *y, int64_t row, int64_t channel);
/* Place of a weight in its tensor: feature and output within a group. */
int64_t rows_weight(const Rows *r, int group, int feature, int out);

#endif
