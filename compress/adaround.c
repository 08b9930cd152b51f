/* adaround.c -- for each weight, whether it is rounded down or up: so that the layer's result has the least mean squared error, which is, e being the error of
 * a column of weights and H the second moments of what they are multiplied with (gram.h), AdaRound's objective in closed form,
 *
 *     E[(e x)^2] = e^T H e
 *
 * It is made smaller one weight at a time until no weight changes: moving weight k by d changes it by 2 d (H e)_k + d^2 H_kk.
 */
#include <math.h>
#include <stdlib.h>

#include "column_scale.h"
#include "gram.h"
#include "repair.h"

enum { ROUNDS = 20, ROWS = 8192 };

typedef struct Column {
    const float *h;
    int64_t depth, step;            /* step: between elements of the column in memory */
    const Tensor *w;
    Tensor *q;
    int64_t first;
    double scale;
    int bits;
    double *pull;                   /* H e */
} Column;

static double error_at(const Column *c, int64_t k)
{
    int64_t i = c->first + k * c->step;
    return tensor_get_f64(c->q, i) * c->scale - tensor_get_f64(c->w, i);
}

static void move(Column *c, int64_t k, double d)
{
    int8_t *q = &((int8_t *)(uintptr_t)c->q->data)[c->first + k * c->step];
    *q = (int8_t)(*q + (d > 0 ? 1 : -1));
    for (int64_t j = 0; j < c->depth; j++)
        c->pull[j] += d * (double)c->h[k * c->depth + j];
}

/* A step towards less error: of 8 bits to the other of the two neighbours on the grid; of 4, whose errors are large, to any number, so that one weight makes up
 * for others. */
static bool improve(Column *c, int64_t k)
{
    double e = error_at(c, k), q = tensor_get_f64(c->q, c->first + k * c->step), d = (c->bits == 4 ? c->pull[k] : e) > 0 ? -c->scale : c->scale;
    bool inside = d > 0 ? q < code_most(c->bits) : q > code_least(c->bits), near = c->bits == 4 || fabs(e + d) <= c->scale * 1.0001;
    if (!inside || !near || !(2 * d * c->pull[k] + d * d * (double)c->h[k * c->depth + k] < 0))
        return false;
    move(c, k, d);
    return true;
}

static void round_column(Column *c)
{
    for (int64_t j = 0; j < c->depth; j++)
        c->pull[j] = 0;
    for (int64_t k = 0; k < c->depth; k++) {
        double e = error_at(c, k);
        for (int64_t j = 0; j < c->depth; j++)
            c->pull[j] += e * (double)c->h[k * c->depth + j];
    }
    bool changed = true;
    for (int r = 0; changed && r < ROUNDS; r++) {
        changed = false;
        for (int64_t k = 0; k < c->depth; k++)
            changed |= improve(c, k);
    }
}

static void round_layer(Arena *a, QdqLayer *l, const Gram *g)
{
    const Tensor *w = tensor_dense(a, value_constant(l->n->in[1].val));
    int64_t columns = w->dim[l->axis];
    Column c = { .depth = g->depth, .step = l->axis == 0 ? 1 : columns, .w = w, .q = l->q, .bits = l->bits, .pull = ARENA_ARRAY(a, double, g->depth + 1) };
    for (int64_t i = 0; i < columns; i++) {
        c.h = g->h + i / (columns / g->groups) * g->depth * g->depth;
        c.first = l->axis == 0 ? i * g->depth : i;
        c.scale = tensor_get_f64(l->scale, l->scale->count > 1 ? i : 0);
        round_column(&c);
    }
}

bool adaround(Module *m, QdqPlan *p, Samples *s)
{
    Arena *a = arena_new();
    Gram *g = gram_measure(m, a, p, s, ROWS);
    for (int i = 0; g && i < p->nlayers; i++)
        if (g[i].depth && g[i].rows)
            round_layer(a, &p->layer[i], &g[i]);
    arena_free(a);
    return g != NULL;
}
