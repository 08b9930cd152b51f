/* importance_data.c -- scores of units from samples: what the products that read a unit get from it.
 *
 * activation       the root of the mean square over all inputs of all consumers
 * reconstruction   what least squares loses without the unit: with H = X^T X of a consumer's inputs and W its weights, leaving out the features F costs
 *                  tr(W_F^T ((H^-1)_FF)^-1 W_F), its other weights being fitted anew (Hassibi and Stork, Optimal Brain Surgeon, 1993, for several
 *                  weights at once); relative to what the consumer gives, summed over consumers
 */
#include <math.h>
#include <string.h>

#include "frontier.h"
#include "importance.h"
#include "linalg.h"
#include "moments.h"
#include "pass_util.h"

enum { ROWS_USED = 20000 };
static const double damping = 1e-4;

typedef struct Scoring {
    const Groups *s;
    Importance by;
    double *score;
    const Product *product;
    Moments moments;
    int64_t rows;                   /* per run */
    Frontier *frontier;
} Scoring;

static bool reads_units(const Groups *s, const Product *p)
{
    for (int i = 0; i < p->read.n; i++)
        if (groups_unit(s, p->read.first + i) >= 0)
            return true;
    return false;
}

/* Input channel of a feature of a group. */
static int channel_of(const Rows *r, int group, int feature)
{
    return (group * r->nfeatures + feature) / r->kernel;
}

/* The diagonal of the moments: mean squares by feature. */
static void score_activation(Scoring *c)
{
    const Rows *r = &c->moments.rows;
    for (int g = 0; g < r->ngroups; g++)
        for (int i = 0; i < r->nfeatures; i++) {
            int u = groups_unit(c->s, c->product->read.first + channel_of(r, g, i));
            if (u >= 0)
                c->score[u] += sqrt(c->moments.gram[g][(int64_t)i * c->moments.n + i] / (double)c->moments.count) / r->kernel;
        }
}

/* tr(W_F^T ((H^-1)_FF)^-1 W_F) for the features F of one unit in one group. */
static double loss_without(Arena *a, const Rows *r, const double *inverse, int n, const Tensor *w, int group, const int *feature, int count)
{
    double *h = ARENA_ARRAY(a, double, (size_t)count * (size_t)count), *x = ARENA_ARRAY(a, double, (size_t)count * (size_t)r->nout), *y, loss = 0;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < count; k++)
            h[i * count + k] = inverse[(int64_t)feature[i] * n + feature[k]];
        for (int k = 0; k < r->nout; k++)
            x[i * r->nout + k] = tensor_get_f64(w, rows_weight(r, group, feature[i], k));
    }
    y = arena_copy(a, x, sizeof *x * (size_t)count * (size_t)r->nout);
    if (!linalg_cholesky(h, count))
        return 0;
    linalg_solve(h, count, y, r->nout);
    for (int i = 0; i < count * r->nout; i++)
        loss += x[i] * y[i];
    return loss;
}

/* What the weights of a group give: tr(W^T H W). */
static double energy(const Rows *r, const double *gram, int n, const Tensor *w, int group)
{
    double sum = 0;
    for (int k = 0; k < r->nout; k++)
        for (int i = 0; i < r->nfeatures; i++) {
            double row = 0;
            for (int j = 0; j < r->nfeatures; j++)
                row += gram[(int64_t)i * n + j] * tensor_get_f64(w, rows_weight(r, group, j, k));
            sum += row * tensor_get_f64(w, rows_weight(r, group, i, k));
        }
    return sum;
}

static void score_group(Scoring *c, int g, double whole)
{
    Arena *a = arena_new();
    const Rows *r = &c->moments.rows;
    const Tensor *w = value_constant(node_in(r->node, 1));
    int n = c->moments.n, *feature = ARENA_ARRAY(a, int, n);
    double *inverse = ARENA_ARRAY(a, double, (size_t)n * (size_t)n);
    bool *seen = ARENA_ARRAY(a, bool, n);
    linalg_damp(c->moments.gram[g], n, damping);
    if (linalg_cholesky(c->moments.gram[g], n))
        linalg_inverse(c->moments.gram[g], n, inverse);
    for (int i = 0; i < r->nfeatures; i++) {
        int u = groups_unit(c->s, c->product->read.first + channel_of(r, g, i)), count = 0;
        for (int k = i; u >= 0 && !seen[i] && k < r->nfeatures; k++)
            if (groups_unit(c->s, c->product->read.first + channel_of(r, g, k)) == u)
                feature[count++] = k, seen[k] = k > i;
        if (count) {
            Arena *tmp = arena_new();
            c->score[u] += loss_without(tmp, r, inverse, n, w, g, feature, count) / whole;
            arena_free(tmp);
        }
    }
    arena_free(a);
}

static void score_reconstruction(Scoring *c)
{
    const Rows *r = &c->moments.rows;
    double whole = 1e-30;
    for (int g = 0; g < r->ngroups; g++)
        whole += energy(r, c->moments.gram[g], c->moments.n, value_constant(node_in(r->node, 1)), g);
    for (int g = 0; g < r->ngroups; g++)
        score_group(c, g, whole);
}

static bool gather_moments(Scoring *c, const Product *p, Samples *samples)
{
    Value *taps[] = { node_in(p->node, 0), (Value *)(uintptr_t)&p->node->out[0] };
    bool ok = frontier_open(c->frontier, taps, 2, 1);
    for (int64_t i = 0; ok && i < samples_count(samples); i += samples_batch(samples)) {
        const Tensor *const *t = frontier_run(c->frontier, i);
        if ((ok = t != NULL))
            moments_add(&c->moments, t[0], t[1], c->rows, (uint64_t)i + 1, NULL, NULL);
    }
    frontier_close(c->frontier);
    moments_finish(&c->moments);
    return ok;
}

static bool score_product(Scoring *c, const Product *p, Samples *samples)
{
    Arena *a = arena_new();
    Rows rows;
    bool ok = true;
    if (reads_units(c->s, p) && rows_of(p->node, &rows) && moments_new(a, &rows, false, &c->moments)) {
        c->product = p;
        ok = gather_moments(c, p, samples);
        if (ok && c->by == IMP_activation)
            score_activation(c);
        else if (ok)
            score_reconstruction(c);
    }
    arena_free(a);
    return ok;
}

enum { FRONTIER_BYTES = 400 << 20 };

double *importance_of_data(const Groups *s, Importance by, Samples *samples)
{
    int64_t runs = (samples_count(samples) + samples_batch(samples) - 1) / samples_batch(samples);
    Scoring c = { .s = s, .by = by, .score = ARENA_ARRAY(s->arena, double, s->nunits + 1), .rows = (ROWS_USED + runs - 1) / runs };
    bool ok = (c.frontier = frontier_new(s->m, (Graph *)(uintptr_t)s->g, samples, FRONTIER_BYTES)) != NULL;
    for (int i = 0; ok && i < s->nproducts; i++)
        ok = score_product(&c, &s->product[i], samples);
    frontier_free(c.frontier);
    if (by == IMP_activation)
        importance_normalise(s, c.score);
    return ok ? c.score : NULL;
}
