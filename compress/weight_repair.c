/* weight_repair.c -- see weight_repair.h: which products, in which order, and what is said of them.
 *
 * Activations are measured once, on the network as it was. AWQ goes first, for all products, since it may change the weights of those before; then each product
 * is rounded. Where a method is not better than rounding to nearest, that is what is taken.
 */
#include "weight_repair.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "minifloat.h"

/* ---- errors ---- */

float weight_rows_value(const WeightRows *r, int64_t row, int64_t i)
{
    int64_t g = row * r->pieces * r->groups + i / r->length * r->groups + i % r->length / r->group;
    return grid_value(&r->grid[g], r->code[row * r->taps * r->k + i]);
}

WeightRows weight_rows_like(Arena *a, const WeightRows *r, int64_t rows)
{
    WeightRows t = *r;
    int64_t n = r->taps * r->k;
    t.rows = rows;
    t.w = ARENA_ARRAY(a, float, rows * n);
    t.code = ARENA_ARRAY(a, uint8_t, rows * n);
    t.grid = ARENA_ARRAY(a, Grid, rows * r->pieces * r->groups);
    return t;
}

static double sum_rows(const WeightRows *r, const Hessian *h, bool codes)
{
    int64_t n = r->taps * r->k;
    double *d = malloc(sizeof *d * (size_t)n + 1), sum = 0;
    for (int64_t row = 0; d && row < r->rows; row++) {
        for (int64_t i = 0; i < n; i++)
            d[i] = (codes ? (double)weight_rows_value(r, row, i) : 0) - (double)r->w[row * n + i];
        sum += hessian_error(h->h[row * h->groups / r->rows], h->n, d);
    }
    free(d);
    return sum;
}

double weight_rows_error(const WeightRows *r, const Hessian *h) { return sum_rows(r, h, true); }
double weight_rows_power(const WeightRows *r, const Hessian *h) { return sum_rows(r, h, false); }

/* ---- grids ---- */

static double block_error(const Grid *g, const float *x, int64_t n, const double *h, int64_t stride, double *d)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        d[i] = (double)grid_value(g, grid_round(g, x[i])) - (double)x[i];
    for (int64_t i = 0; i < n; i++) {
        double part = 0;
        for (int64_t j = 0; j < n; j++)
            part += h[i * stride + j] * d[j];
        sum += d[i] * part;
    }
    return sum;
}

Grid weight_grid_tune(const Grid *fitted, const float *x, int64_t n, const double *h, int64_t stride, double *room)
{
    Grid best = *fitted;
    double least = block_error(fitted, x, n, h, stride, room);
    for (int i = -6; i <= 12; i++) {
        double factor = 1 - 0.025 * i, scale = (double)minifloat_to_f32(DT_f16, minifloat_from_f64(DT_f16, fitted->scale * factor, true));
        Grid g = { fitted->kind, scale, fitted->shift / fitted->scale * scale };
        double e = scale != 0 && isfinite(scale) ? block_error(&g, x, n, h, stride, room) : INFINITY;
        if (e < least)
            least = e, best = g;
    }
    return best;
}

void weight_grids_tune(WeightRows *r, const Hessian *h)
{
    int64_t columns = r->taps * r->k, groups = r->pieces * r->groups;
    double *room = malloc(sizeof *room * (size_t)r->group + 1);
    for (int64_t row = 0; room && !weight_kind_shares(r->kind) && row < r->rows; row++)
        for (int64_t g = 0; g < groups; g++) {
            int64_t within = g % r->groups * r->group, at = g / r->groups * r->length + within, n = r->length - within < r->group ? r->length - within : r->group;
            const double *block = h->h[row * h->groups / r->rows] + at * h->n + at;
            Grid *grid = &r->grid[row * groups + g];
            *grid = weight_grid_tune(grid, r->w + row * columns + at, n, block, h->n, room);
        }
    free(room);
}

/* ---- options ---- */

static double damp_of(const WeightRepairOptions *o)
{
    char *end;
    double x = o->damp ? strtod(o->damp, &end) : 0.01;
    return o->damp && (*end || end == o->damp) ? -1 : x;
}

const char *weight_repair_misuse(const WeightRepairOptions *o, const WeightsOptions *w)
{
    if ((o->gptq || o->awq) && !w->kind)
        return "--gptq and --awq need --weights";
    if (!(damp_of(o) > 0) || damp_of(o) > 1)
        return "--damp needs a number above 0, at most 1";
    return (o->damp || o->in_order) && !o->gptq ? "--damp and --in-order belong to --gptq" : NULL;
}

/* ---- the products ---- */

typedef struct Layer {
    Node *product;
    Hessian *h;
    double power, nearest, error;   /* of the result per vector: its own, and of what rounding does to it */
    bool scaled, changed;           /* by awq; by gptq */
} Layer;

typedef struct Job {
    Module *m;
    Arena *arena;
    const WeightKind *kind;
    int64_t group;
    const WeightRepairOptions *o;
    WeightTally tally;
    Layer *layer;
    int n;
} Job;

static bool find_layers(Job *j, const TextList *keep)
{
    int room = 0;
    FOR_EACH_NODE(n, j->m->graph)
        room++;
    j->layer = ARENA_ARRAY(j->arena, Layer, room + 1);
    FOR_EACH_NODE(n, j->m->graph) {
        Arena *a = arena_new();
        if (n->op != OP_gather && !weight_codes_is_kept(n, keep) && weight_codes_read(a, n, j->kind, j->group).w)
            j->layer[j->n++].product = n;
        else
            weight_tally_keep(&j->tally, j->m, n, keep);
        arena_free(a);
    }
    return weight_codes_check_names(j->m, keep);
}

static bool measure(Job *j, Samples *s)
{
    Node **product = ARENA_ARRAY(j->arena, Node *, j->n + 1);
    for (int i = 0; i < j->n; i++)
        product[i] = j->layer[i].product;
    Hessian *h = hessian_measure(j->m, j->arena, product, j->n, s);
    for (int i = 0; h && i < j->n; i++)
        j->layer[i].h = &h[i];
    return h != NULL;
}

/* ---- awq ---- */

/* H of x / s. */
static void scale_hessian(Hessian *h, const double *s, int64_t k)
{
    for (int64_t i = 0; i < h->n; i++) {
        h->mean[0][i] /= s[i % k];
        for (int64_t j = 0; j < h->n; j++)
            h->h[0][i * h->n + j] /= s[i % k] * s[j % k];
    }
}

static bool scale_layer(Job *j, Layer *l)
{
    Arena *a = arena_new();
    WeightRows r = weight_codes_read(a, l->product, j->kind, j->group);
    double *s = awq_scales(a, &r, l->h);
    for (int64_t i = 0; i < r.k; i++)
        l->scaled |= s[i] != 1;
    bool ok = !l->scaled || awq_apply(j->m, l->product, s);
    if (ok && l->scaled)
        scale_hessian(l->h, s, r.k);
    arena_free(a);
    return ok;
}

/* ---- rounding ---- */

static void nearest_of(Job *j, Layer *l)
{
    Arena *a = arena_new();
    WeightRows r = weight_codes_read(a, l->product, j->kind, j->group);
    weight_codes_fit(&r);
    weight_codes_round(&r);
    l->power = weight_rows_power(&r, l->h);
    l->nearest = weight_rows_error(&r, l->h);
    arena_free(a);
}

static double decibels(double power, double error)
{
    return error > 0 ? 10 * log10(power / error) : INFINITY;
}

/* For the report: what was done, and what it brought. */
static const char *describe(const Job *j, const Layer *l)
{
    const char *method = j->o->gptq ? (j->o->awq ? "awq and gptq" : "gptq") : "awq";
    if (!l->h->n)
        return "rounded to nearest: too many inputs to look at together";
    if (!j->o->gptq && !j->o->awq)
        return NULL;
    if (!(l->error < l->nearest))
        return arena_printf(j->arena, "%s no better than to nearest", method);
    return arena_printf(j->arena, "%s: %.1f dB better than to nearest", method, decibels(l->nearest, l->error));
}

static bool round_layer(Job *j, Layer *l)
{
    Arena *a = arena_new();
    WeightRows r = weight_codes_read(a, l->product, j->kind, j->group);
    if (l->h->n && j->o->gptq)
        gptq_round(&r, l->h, damp_of(j->o), j->o->in_order);
    l->error = l->h->n && j->o->gptq ? weight_rows_error(&r, l->h) : INFINITY;
    l->changed = l->error < l->nearest;
    if (!l->changed) {
        weight_codes_fit(&r);
        if (l->h->n && j->o->awq)
            weight_grids_tune(&r, l->h);
        weight_codes_round(&r);
        l->error = l->h->n ? weight_rows_error(&r, l->h) : 0;
    }
    weight_tally_add(&j->tally, j->m, &r, describe(j, l), l->h->n ? decibels(l->power, l->error) : NAN);
    bool ok = weight_codes_write(j->m, &r);
    arena_free(a);
    return ok;
}

bool weight_repair_quantize(Module *m, const WeightsOptions *w, const WeightRepairOptions *o, const TextList *keep, Samples *s, Report *report)
{
    const WeightKind *k = weight_kind(w->kind);
    Job j = { .m = m, .arena = arena_new(), .kind = k, .group = weight_group(k, w), .o = o, .tally = { .report = report } };
    bool ok = find_layers(&j, keep) && measure(&j, s);
    for (int i = 0; ok && i < j.n; i++)
        if (j.layer[i].h->n)
            nearest_of(&j, &j.layer[i]);
    for (int i = 0; ok && o->awq && i < j.n; i++)
        ok = !j.layer[i].h->n || scale_layer(&j, &j.layer[i]);
    for (int i = 0; ok && i < j.n; i++)
        ok = round_layer(&j, &j.layer[i]);
    ok = ok && weight_tally_finish(&j.tally, m, k) && weight_codes_tables(m, keep, report);
    arena_free(j.arena);
    return ok;
}
