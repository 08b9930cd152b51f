/* linalg.c -- see linalg.h. The hot loops keep a tile of 4 x 4 sums in registers and stay in cache by blocks of rows. */
#include "linalg.h"

#include <math.h>
#include <string.h>

enum { TILE = 4, ROWS = 128 };

/* sum[i][j] over r of x[r][i] * y[r][j] for a tile of at most 4 x 4, added to c. */
static void tile_add(double *c, int ldc, const double *x, int ldx, const double *y, int ldy, int64_t rows, int ni, int nj)
{
    double s[TILE][TILE] = { { 0 } };
    if (ni == TILE && nj == TILE) {
        for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy)
            for (int i = 0; i < TILE; i++)
                for (int j = 0; j < TILE; j++)
                    s[i][j] += x[i] * y[j];
    } else {
        for (int64_t r = 0; r < rows; r++, x += ldx, y += ldy)
            for (int i = 0; i < ni; i++)
                for (int j = 0; j < nj; j++)
                    s[i][j] += x[i] * y[j];
    }
    for (int i = 0; i < ni; i++)
        for (int j = 0; j < nj; j++)
            c[(int64_t)i * ldc + j] += s[i][j];
}

static int at_most(int n) { return n < TILE ? n : TILE; }

static void product_add(double *c, int n, int m, const double *x, const double *y, int64_t rows, bool upper)
{
    for (int64_t from = 0; from < rows; from += ROWS) {
        int64_t count = rows - from < ROWS ? rows - from : ROWS;
        for (int i = 0; i < n; i += TILE)
            for (int j = upper ? i : 0; j < m; j += TILE)
                tile_add(c + (int64_t)i * m + j, m, x + from * n + i, n, y + from * m + j, m, count, at_most(n - i), at_most(m - j));
    }
}

void linalg_gram_add(double *g, int n, const double *x, int64_t rows) { product_add(g, n, n, x, x, rows, true); }
void linalg_cross_add(double *c, int n, int m, const double *x, const double *y, int64_t rows) { product_add(c, n, m, x, y, rows, false); }

void linalg_mirror(double *g, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            g[(int64_t)i * n + j] = g[(int64_t)j * n + i];
}

void linalg_damp(double *a, int n, double damp)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[(int64_t)i * n + i];
    double add = damp * (sum > 0 ? sum / n : 1);
    for (int i = 0; i < n; i++)
        a[(int64_t)i * n + i] += add;
}

/* The product of row i and row j up to column k. */
static double dot(const double *a, const double *b, int k)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int p = 0;
    for (; p + 4 <= k; p += 4) {
        s0 += a[p] * b[p];
        s1 += a[p + 1] * b[p + 1];
        s2 += a[p + 2] * b[p + 2];
        s3 += a[p + 3] * b[p + 3];
    }
    for (; p < k; p++)
        s0 += a[p] * b[p];
    return (s0 + s1) + (s2 + s3);
}

bool linalg_cholesky(double *a, int n)
{
    for (int i = 0; i < n; i++) {
        double *row = a + (int64_t)i * n;
        for (int j = 0; j < i; j++)
            row[j] = (row[j] - dot(row, a + (int64_t)j * n, j)) / a[(int64_t)j * n + j];
        double d = row[i] - dot(row, row, i);
        if (!(d > 0) || !isfinite(d))
            return false;
        row[i] = sqrt(d);
    }
    return true;
}

void linalg_solve(const double *l, int n, double *b, int m)
{
    for (int i = 0; i < n; i++) {
        double *row = b + (int64_t)i * m;
        for (int k = 0; k < i; k++)
            for (int c = 0; c < m; c++)
                row[c] -= l[(int64_t)i * n + k] * b[(int64_t)k * m + c];
        for (int c = 0; c < m; c++)
            row[c] /= l[(int64_t)i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        double *row = b + (int64_t)i * m;
        for (int k = i + 1; k < n; k++)
            for (int c = 0; c < m; c++)
                row[c] -= l[(int64_t)k * n + i] * b[(int64_t)k * m + c];
        for (int c = 0; c < m; c++)
            row[c] /= l[(int64_t)i * n + i];
    }
}

void linalg_inverse(const double *l, int n, double *inv)
{
    memset(inv, 0, sizeof *inv * (size_t)n * (size_t)n);
    for (int i = 0; i < n; i++)
        inv[(int64_t)i * n + i] = 1;
    linalg_solve(l, n, inv, n);
}

bool linalg_inverse_factor(double *a, int n, double *u)
{
    if (!linalg_cholesky(a, n))
        return false;
    linalg_inverse(a, n, u);
    if (!linalg_cholesky(u, n))
        return false;
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) {
            u[(int64_t)i * n + j] = u[(int64_t)j * n + i];
            if (j > i)
                u[(int64_t)j * n + i] = 0;
        }
    return true;
}

/* a[n][n] x = b by conjugate gradients, the diagonal as preconditioner. room: 4 n numbers. */
static void descend(const double *a, int n, const double *b, double *x, double *room)
{
    enum { STEPS = 200 };
    const double enough = 1e-10;            /* of the first residual, squared */
    double *r = room, *z = r + n, *p = z + n, *q = p + n, rz = 0;
    for (int i = 0; i < n; i++) {
        x[i] = 0;
        r[i] = b[i];
        p[i] = z[i] = r[i] / a[(int64_t)i * n + i];
        rz += r[i] * z[i];
    }
    const double first = rz;
    for (int step = 0; step < STEPS && rz > enough * first; step++) {
        double was = rz;
        for (int i = 0; i < n; i++)
            q[i] = dot(a + (int64_t)i * n, p, n);
        double along = was / dot(p, q, n);
        for (int i = 0; i < n; i++) {
            x[i] += along * p[i];
            r[i] -= along * q[i];
            z[i] = r[i] / a[(int64_t)i * n + i];
        }
        rz = dot(r, z, n);
        for (int i = 0; i < n; i++)
            p[i] = z[i] + rz / was * p[i];
    }
}

void linalg_solve_part(const double *a, int n, const bool *use, const double *b, double *x, double *room)
{
    double *part = room, *to = part + (int64_t)n * n, *from = to + n;
    int used = 0;
    for (int i = 0; i < n; i++)
        if (use[i])
            from[used++] = b[i];
    for (int i = 0, k = 0; i < n; i++)
        for (int j = 0; use[i] && j < n; j++)
            if (use[j])
                part[k++] = a[(int64_t)i * n + j];
    descend(part, used, from, to, from + n);
    for (int i = 0, k = 0; i < n; i++)
        x[i] = use[i] ? to[k++] : 0;
}
