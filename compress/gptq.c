/* gptq.c -- GPTQ: E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", arXiv:2210.17323.
 *
 * For a row w of weights that meets vectors x with H = mean of x x^T, columns are rounded one after the other. With U the upper Cholesky factor of H^-1 (of the
 * columns in the order in which they are rounded), rounding column i by e moves every later column j by -e * U[i][j] / U[i][i].
 *
 * Order: groups by their largest activations, and the columns of a group by theirs, so that a group's grid can be fitted to what its numbers have become, and
 * groups stay together in memory.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "linalg.h"
#include "weight_repair.h"


/* Number of the group of all of a row's, that column c belongs to. */
static int64_t group_of(const WeightRows *r, int64_t c)
{
    return c / r->length * r->groups + c % r->length / r->group;
}

typedef struct Key { double group, own; int64_t place; int column; } Key;

static int compare_keys(const void *a, const void *b)
{
    const Key *x = a, *y = b;
    if (x->place != y->place && x->group != y->group)
        return x->group < y->group ? 1 : -1;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return x->own != y->own ? (x->own < y->own ? 1 : -1) : x->column - y->column;
}

static void order_columns(Arena *a, const WeightRows *r, const double *h, int n, bool in_order, int *column)
{
    Key *key = ARENA_ARRAY(a, Key, n);
    double *most = ARENA_ARRAY(a, double, r->pieces * r->groups);
    for (int i = 0; i < n; i++) {
        int64_t g = group_of(r, i);
        most[g] = fmax(most[g], h[(int64_t)i * n + i]);
    }
    for (int i = 0; i < n; i++)
        key[i] = (Key){ most[group_of(r, i)], h[(int64_t)i * n + i], group_of(r, i), i };
    if (!in_order)
        qsort(key, (size_t)n, sizeof *key, compare_keys);
    for (int i = 0; i < n; i++)
        column[i] = key[i].column;
}

/* U with H^-1 = U^T U, of the permuted and damped H; NULL if H has no inverse. Columns that never see anything get a diagonal of their own. */
static double *factor_of(Arena *a, const double *h, int n, const int *column, double damp)
{
    double *p = ARENA_ARRAY(a, double, (int64_t)n * n), *u = ARENA_ARRAY(a, double, (int64_t)n * n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            p[(int64_t)i * n + j] = h[(int64_t)column[i] * n + column[j]];
    linalg_damp(p, n, damp);
    return linalg_inverse_factor(p, n, u) ? u : NULL;
}

/* The grid of a group, fitted to what its numbers are by now. x: the row in the columns' order of memory. */
static void fit_group(WeightRows *r, int64_t row, int64_t g, const float *x)
{
    int64_t piece = g / r->groups, within = g % r->groups * r->group, n = r->length - within < r->group ? r->length - within : r->group;
    r->grid[row * r->pieces * r->groups + g] = grid_fit(r->kind, x + piece * r->length + within, n, 1);
}

/* One row. w: [n], its weights, which are changed. */
static void round_row(WeightRows *r, int64_t row, const double *u, int n, const int *column, float *w, bool refit)
{
    int64_t groups = r->pieces * r->groups, last = -1;
    for (int i = 0; i < n; i++) {
        int c = column[i];
        int64_t g = group_of(r, c);
        if (refit && g != last)
            fit_group(r, row, g, w);
        last = g;
        const Grid *grid = &r->grid[row * groups + g];
        int code = grid_round(grid, w[c]);
        r->code[row * n + c] = (uint8_t)code;
        const double *ui = u + (int64_t)i * n;
        double e = ((double)w[c] - (double)grid_value(grid, code)) / ui[i];
        for (int j = i + 1; e != 0 && j < n; j++)
            w[column[j]] -= (float)(e * ui[j]);
    }
}

void gptq_round(WeightRows *r, const Hessian *h, double damp, bool in_order)
{
    int n = h->n;
    int64_t per_group = r->rows / h->groups;
    weight_codes_fit(r);                            /* what scales share is known from here on */
    for (int group = 0; group < h->groups; group++) {
        Arena *a = arena_new();
        int *column = ARENA_ARRAY(a, int, n);
        float *w = ARENA_ARRAY(a, float, n);
        order_columns(a, r, h->h[group], n, in_order, column);
        const double *u = factor_of(a, h->h[group], n, column, damp);
        for (int64_t row = group * per_group; u && row < (group + 1) * per_group; row++) {
            memcpy(w, r->w + row * n, sizeof *w * (size_t)n);
            round_row(r, row, u, n, column, w, !weight_kind_shares(r->kind));
        }
        arena_free(a);
        if (!u) {                                   /* nothing is known of what they meet */
            weight_codes_round(r);
            return;
        }
    }
}
