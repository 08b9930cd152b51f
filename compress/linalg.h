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
/* u[n][n] becomes the upper triangle with (u^T u) = a^-1; a is lost. False: a has no inverse. */
bool linalg_inverse_factor(double *a, int n, double *u);
/* x[n] becomes what minimises x A x / 2 - b x with x[i] = 0 where use[i] is false; A symmetric, positive definite. By conjugate gradients, so far as the
 * steps reach. room: n (n + 6) numbers. */
void linalg_solve_part(const double *a, int n, const bool *use, const double *b, double *x, double *room);
/* Adds damp times the mean of the diagonal (or 1 where that is 0) to every element of it. */
void linalg_damp(double *a, int n, double damp);

#endif
