/* linalg.h -- dense linear algebra in float64, as least squares needs it: products of tall matrices with themselves, Cholesky. Row-major throughout. */
#ifndef INGOT_LINALG_H
#define INGOT_LINALG_H

#include <stdbool.h>
#include <stdint.h>

/* g[n][n] += x^T x for x[rows][n]; only j >= i is computed, linalg_mirror completes it. */
void linalg_gram_add(double *g, int n, const double *x, int64_t rows);
void linalg_mirror(double *g, int n);
/* c[n][m] += x^T y for x[rows][n], y[rows][m]. */
void linalg_cross_add(double *c, int n, int m, const double *x, const double *y, int64_t rows);
/* a[n][n], symmetric, becomes its factor L (a = L L^T) in the lower triangle. False: a is not positive definite, or not finite. */
bool linalg_cholesky(double *a, int n);
/* b[n][m] becomes the solution x of L L^T x = b. */
void linalg_solve(const double *l, int n, double *b, int m);
/* inv[n][n] becomes (L L^T)^-1. */
void linalg_inverse(const double *l, int n, double *inv);
/* Adds damp times the mean of the diagonal (or 1 where that is 0) to every element of it. */
void linalg_damp(double *a, int n, double damp);

#endif
