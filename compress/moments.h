/* moments.h -- second moments of what enters a product, and of that with what should come out: the normal equations of least squares. */
#ifndef INGOT_MOMENTS_H
#define INGOT_MOMENTS_H

#include "rows.h"

/* Per group of the product: gram [n][n] of the features and a last one that is always 1 (n = nfeatures + 1), and cross [n][nout] with the wanted results. */
typedef struct Moments {
    Rows rows;
    int n;
    double **gram, **cross;         /* cross: NULL entries if nothing is wanted */
    double wanted;                  /* sum of squares of the wanted results, of all rows and columns */
    int64_t count;                  /* rows added */
    double *x, *y;                  /* a block of rows on its way in */
} Moments;

/* In arena a. columns: whether results are wanted. False if it would need more than MOMENTS_MOST_BYTES. */
enum { MOMENTS_MOST_BYTES = 1 << 30 };
bool moments_new(Arena *a, const Rows *r, bool columns, Moments *m);

/* The wanted result of a row: channel counts all groups' columns. */
typedef double MomentsWanted(void *ctx, int64_t row, int64_t channel);
/* Add `most` of the rows of a run (all if there are fewer), evenly spread from a start that `seed` decides. y gives the shape of the result. */
void moments_add(Moments *m, const Tensor *x, const Tensor *y, int64_t most, uint64_t seed, MomentsWanted *wanted, void *ctx);
/* When all rows are in: makes gram symmetric. */
void moments_finish(Moments *m);

#endif
