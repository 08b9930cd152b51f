/* inverse.c -- inverses of square matrices, by Gauss and Jordan's elimination with pivots from the column, in double. A matrix without an inverse
 * gives infinities and NaN, as division by zero does.
 */
#include "kernel.h"

static void swap_rows(double *m, int64_t width, int64_t i, int64_t j)
{
    for (int64_t k = 0; k < width && i != j; k++) {
        double t = m[i * width + k];
        m[i * width + k] = m[j * width + k];
        m[j * width + k] = t;
    }
}

static double magnitude(double x)
{
    return x < 0 ? -x : x;
}

static int64_t best_row(const double *m, int64_t n, int64_t column)
{
    int64_t best = column;
    for (int64_t i = column + 1; i < n; i++)
        if (magnitude(m[i * 2 * n + column]) > magnitude(m[best * 2 * n + column]))
            best = i;
    return best;
}

/* m [n, 2 n]: the matrix beside the unit matrix becomes the unit matrix beside the inverse. */
static void eliminate(double *m, int64_t n)
{
    int64_t width = 2 * n;
    for (int64_t k = 0; k < n; k++) {
        swap_rows(m, width, k, best_row(m, n, k));
        double pivot = m[k * width + k];
        for (int64_t j = k; j < width; j++)
            m[k * width + j] /= pivot;
        for (int64_t i = 0; i < n; i++) {
            double factor = m[i * width + k];
            for (int64_t j = k; j < width && i != k; j++)
                m[i * width + j] -= factor * m[k * width + j];
        }
    }
}

K_KERNEL(inverse)
{
    const KTensor *x = &c->in[0], *y = &c->out[0];
    int64_t n = x->dim[x->rank - 1], matrices = k_count_to(x, x->rank - 2);
    double *m = c->scratch;
    for (int64_t at = 0; at < matrices; at++) {
        for (int64_t i = 0; i < n * n; i++) {
            m[i / n * 2 * n + i % n] = k_load(x->data, x->dtype, at * n * n + i);
            m[i / n * 2 * n + n + i % n] = i / n == i % n;
        }
        eliminate(m, n);
        for (int64_t i = 0; i < n * n; i++)
            k_store(y->data, y->dtype, at * n * n + i, m[i / n * 2 * n + n + i % n]);
    }
    return K_OK;
}
