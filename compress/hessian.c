/* hessian.c -- see hessian.h. Rows are read by rows.h and put in the weights' order; as many as the matrix needs, spread over all samples. */
#include "hessian.h"

#include <math.h>

#include "linalg.h"
#include "observe.h"
#include "rows.h"

enum { LEAST_ROWS = 4096, ROWS_PER_COLUMN = 8, BLOCK = 64 };

typedef struct Gather {
    Hessian *of;
    Rows *rows;                     /* how each product is read */
    const int *which;               /* of each pair of taps */
    int n;
    int64_t runs;
    double *block, *row;
} Gather;

/* rows_read gives channel, then tap; the weights' rows are tap, then channel. */
static void reorder(const Rows *r, const double *from, double *to)
{
    int channels = r->nfeatures / r->kernel;
    for (int c = 0; c < channels; c++)
        for (int tap = 0; tap < r->kernel; tap++)
            to[tap * channels + c] = from[c * r->kernel + tap];
}

static void add_block(Hessian *h, int group, const double *x, int64_t rows)
{
    linalg_gram_add(h->h[group], h->n, x, rows);
    for (int64_t i = 0; i < rows; i++)
        for (int k = 0; k < h->n; k++)
            h->mean[group][k] += fabs(x[i * h->n + k]);
}

static int64_t rows_per_run(const Gather *g, int n)
{
    int64_t want = (int64_t)ROWS_PER_COLUMN * n > LEAST_ROWS ? (int64_t)ROWS_PER_COLUMN * n : LEAST_ROWS;
    return want / g->runs + 1;
}

static void add_run(Gather *g, Hessian *h, const Rows *r, int64_t sample, const Tensor *x, const Tensor *y)
{
    int64_t all = rows_count(r, y), most = rows_per_run(g, h->n), take = all < most ? all : most;
    for (int group = 0; group < h->groups; group++) {
        int64_t filled = 0;
        for (int64_t i = 0; i < take; i++) {
            rows_read(r, x, y, (i * all / take + sample * 7) % all, group, g->row);
            reorder(r, g->row, g->block + filled++ * h->n);
            if (filled == BLOCK || i + 1 == take) {
                add_block(h, group, g->block, filled);
                filled = 0;
            }
        }
    }
    h->rows += take;
}

static bool see(void *ctx, int64_t sample, const Tensor *const *taps)
{
    Gather *g = ctx;
    for (int i = 0; i < g->n; i++)
        add_run(g, &g->of[g->which[i]], &g->rows[g->which[i]], sample, taps[2 * i], taps[2 * i + 1]);
    return true;
}

static void finish(Hessian *h)
{
    for (int group = 0; h->n && h->rows && group < h->groups; group++) {
        linalg_mirror(h->h[group], h->n);
        for (int64_t i = 0; i < (int64_t)h->n * h->n; i++)
            h->h[group][i] /= (double)h->rows;
        for (int i = 0; i < h->n; i++)
            h->mean[group][i] /= (double)h->rows;
    }
}

static Hessian hessian_new(Arena *a, Node *product, Rows *r)
{
    Hessian h = { .product = product };
    if (!rows_of(product, r) || r->nfeatures > HESSIAN_MOST)
        return h;
    h.n = r->nfeatures;
    h.groups = r->ngroups;
    h.h = ARENA_ARRAY(a, double *, h.groups);
    h.mean = ARENA_ARRAY(a, double *, h.groups);
    for (int i = 0; i < h.groups; i++) {
        h.h[i] = ARENA_ARRAY(a, double, (int64_t)h.n * h.n);
        h.mean[i] = ARENA_ARRAY(a, double, h.n);
    }
    return h;
}

Hessian *hessian_measure(Module *m, Arena *a, Node *const *product, int n, Samples *s)
{
    Gather g = { .of = ARENA_ARRAY(a, Hessian, n + 1), .rows = ARENA_ARRAY(a, Rows, n + 1) };
    int *which = ARENA_ARRAY(a, int, n + 1);
    Value **tap = ARENA_ARRAY(a, Value *, 2 * n + 1);
    for (int i = 0; i < n; i++) {
        g.of[i] = hessian_new(a, product[i], &g.rows[i]);
        if (!g.of[i].n)
            continue;
        tap[2 * g.n] = node_in(product[i], 0);
        tap[2 * g.n + 1] = node_out(product[i]);
        which[g.n++] = i;
    }
    g.which = which;
    g.runs = (samples_count(s) + samples_batch(s) - 1) / samples_batch(s);
    g.block = ARENA_ARRAY(a, double, BLOCK * HESSIAN_MOST);
    g.row = ARENA_ARRAY(a, double, HESSIAN_MOST);
    if (g.n && !observe(m, s, tap, 2 * g.n, see, &g))
        return NULL;
    for (int i = 0; i < n; i++)
        finish(&g.of[i]);
    return g.of;
}

double hessian_error(const double *h, int n, const double *d)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double part = 0;
        for (int j = 0; d[i] != 0 && j < n; j++)
            part += h[(int64_t)i * n + j] * d[j];
        sum += d[i] * part;
    }
    return sum;
}
