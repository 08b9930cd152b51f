/* gram.c -- see gram.h. The vectors are the layers' rows (rows.h). */
#include "gram.h"

#include <string.h>

#include "observe.h"
#include "rows.h"

typedef struct Watch {
    const int *layer;               /* of each pair of taps: operand and result */
    const Rows *read;               /* how each is read */
    int n;
    Gram *gram;
    double *row;
    int64_t rows;                   /* wanted per run */
} Watch;

static void add_row(Gram *g, int64_t group, const double *x)
{
    float *h = g->h + group * g->depth * g->depth;
    for (int64_t i = 0; i < g->depth; i++) {
        float *to = h + i * g->depth, k = (float)x[i];
        for (int64_t j = 0; k != 0 && j < g->depth; j++)
            to[j] += k * (float)x[j];
    }
}

/* Evenly spread rows of one run, of every group. */
static void add_run(Watch *k, Gram *g, const Rows *r, const Tensor *x, const Tensor *y)
{
    int64_t n = rows_count(r, y), step = n / k->rows + 1;
    for (int64_t i = 0; i < n; i += step, g->rows++)
        for (int group = 0; group < g->groups; group++) {
            rows_read(r, x, y, i, group, k->row);
            add_row(g, group, k->row);
        }
}

static bool see(void *ctx, int64_t sample, const Tensor *const *taps)
{
    Watch *k = ctx;
    (void)sample;
    for (int i = 0; i < k->n; i++)
        add_run(k, &k->gram[k->layer[i]], &k->read[i], taps[2 * i], taps[2 * i + 1]);
    return true;
}

bool gram_measures(const QdqLayer *l)
{
    Rows r;
    return rows_of(l->n, &r) && r.nfeatures <= GRAM_MOST;
}

/* False: not measured. */
static bool shape_gram(const QdqLayer *l, Rows *r, Gram *g)
{
    if (l->keep || !gram_measures(l) || !rows_of(l->n, r))
        return false;
    g->groups = r->ngroups;
    g->depth = r->nfeatures;
    return true;
}

Gram *gram_measure(Module *m, Arena *a, const QdqPlan *p, Samples *s, int64_t rows)
{
    Gram *g = ARENA_ARRAY(a, Gram, p->nlayers + 1);
    int *layer = ARENA_ARRAY(a, int, p->nlayers + 1), n = 0;
    Rows *read = ARENA_ARRAY(a, Rows, p->nlayers + 1);
    Value **tap = ARENA_ARRAY(a, Value *, 2 * p->nlayers + 1);
    for (int i = 0; i < p->nlayers; i++) {
        if (!shape_gram(&p->layer[i], &read[n], &g[i]))
            continue;
        g[i].h = ARENA_ARRAY(a, float, g[i].groups * g[i].depth * g[i].depth);
        tap[2 * n] = node_in(p->layer[i].n, 0);
        tap[2 * n + 1] = node_out(p->layer[i].n);
        layer[n++] = i;
    }
    int64_t runs = (samples_count(s) + samples_batch(s) - 1) / samples_batch(s);
    Watch k = { layer, read, n, g, ARENA_ARRAY(a, double, GRAM_MOST), rows / runs + 1 };
    if (n && !observe(m, s, tap, 2 * n, see, &k))
        return NULL;
    for (int i = 0; i < p->nlayers; i++)
        for (int64_t j = 0; g[i].depth && g[i].rows && j < g[i].groups * g[i].depth * g[i].depth; j++)
            g[i].h[j] /= (float)g[i].rows;
    return g;
}
