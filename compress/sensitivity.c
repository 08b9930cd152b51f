/* sensitivity.c -- see sensitivity.h. For layer number i, with the selecting input s:
 *
 *     y = conv(x, w)      r = conv(rounded x, rounded w)      d = y - r      goes on: y - s[i] * d      taps: sum d*d, sum y*y, sums of d and of 1 per column
 */
#include "sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "observe.h"
#include "score.h"

enum { TAPS = 4 };                  /* per layer */

typedef struct Probe {
    Arena *arena;
    Module *m;                      /* the copy */
    const QdqPlan *p;
    Samples *s;
    Value *select;
    Value **tap;                    /* results of the model, then TAPS per layer */
    int results, ntaps, inputs;
    Observer *o;
    ingot_tensor *in;
    float *selected;
    Sensitivity *out;
} Probe;

/* ---- the instrumented graph ---- */

static void add_selector(Probe *k)
{
    Builder b = { k->m, k->m->graph, k->m->graph->first, (Loc){ .file = k->m->file } };
    k->inputs = graph_inputs(k->m->graph, NULL, 0);
    Node *n = build_node(&b, OP_input, IN_NONE, &(Attr_input){ .index = k->inputs }, -1);
    n->out[0].type = type_of_ints(k->m, DT_f32, 1, (int64_t[]){ k->p->nlayers });
    n->out[0].name = "select";
    k->select = node_out(n);
}

static Value *total(Builder *b, Value *v)
{
    int64_t axes[MAX_RANK];
    for (int i = 0; i < v->type.rank; i++)
        axes[i] = i;
    return mk_reduce_axes(b, "sum", mk_mul(b, v, v), v->type.rank, axes);
}

static Value *per_column(Builder *b, Value *v, int column)
{
    int64_t axes[MAX_RANK];
    int n = 0;
    for (int i = 0; i < v->type.rank; i++)
        if (i != column)
            axes[n++] = i;
    return mk_reduce_axes(b, "sum", v, n, axes);
}

static Value *selection(Probe *k, Builder *b, int layer, int rank)
{
    int64_t ones[MAX_RANK];
    for (int i = 0; i < rank; i++)
        ones[i] = 1;
    DimTable *t = k->m->dims;
    return mk_reshape_ints(b, mk_slice_axis(b, k->select, 0, dim_const(t, layer), dim_const(t, 1)), rank, ones);
}

static bool add_probe(Probe *k, int i, Node *n)
{
    QdqLayer l = k->p->layer[i];
    const QdqPoint *point = &k->p->point[l.point];
    Builder b = { k->m, k->m->graph, n->next, n->loc };
    Value *y = node_out(n), *in[3] = { NULL };
    int uses = value_use_count(y), count = 0;
    Use **use = ARENA_ARRAY(k->arena, Use *, uses + 1);
    FOR_EACH_USE(u, y)
        use[count++] = u;
    l.n = n;
    in[0] = qdq_rounded(&b, n->in[0].val, point), in[1] = qdq_weight(&b, &l), in[2] = qdq_bias(&b, &l, point);
    Value *r = build_op(&b, n->op, (Inputs){ in[2] ? 3 : n->nin, in }, n->attrs), *d = mk_sub(&b, y, r);
    Value *on = mk_sub(&b, y, mk_mul(&b, selection(k, &b, i, y->type.rank), d));
    Value **tap = &k->tap[k->results + TAPS * i];
    tap[0] = total(&b, d), tap[1] = total(&b, y), tap[2] = per_column(&b, d, l.axis == 0 ? 1 : y->type.rank - 1);
    tap[3] = per_column(&b, mk_cast_to(&b, mk_eq(&b, y, y), DT_f32), l.axis == 0 ? 1 : y->type.rank - 1);
    for (int j = 0; on && j < count; j++)
        node_set_input(use[j]->user, (int)(use[j] - use[j]->user->in), on);
    return on && tap[0] && tap[1] && tap[2] && tap[3];
}

static bool instrument(Probe *k)
{
    QdqPlan own;
    bool ok = true;
    qdq_find_layers(k->m, &own);
    k->tap = ARENA_ARRAY(k->arena, Value *, graph_return(k->m->graph)->nin + TAPS * k->p->nlayers + 1);
    const Node *ret = graph_return(k->m->graph);
    for (int i = 0; i < ret->nin; i++)
        k->results += ret->in[i].val->type.kind == TY_TENSOR && dtype_is_float(ret->in[i].val->type.dtype);
    add_selector(k);
    for (int i = 0; ok && i < own.nlayers; i++)
        ok = k->p->layer[i].keep || add_probe(k, i, own.layer[i].n);
    for (int i = 0, n = 0; i < ret->nin; i++)
        if (ret->in[i].val->type.kind == TY_TENSOR && dtype_is_float(ret->in[i].val->type.dtype))
            k->tap[n++] = ret->in[i].val;
    for (int i = 0; i < own.nlayers; i++)
        for (int j = 0; j < TAPS && k->p->layer[i].keep; j++)
            k->tap[k->results + TAPS * i + j] = k->select;
    k->ntaps = k->results + TAPS * own.nlayers;
    return ok;
}

/* ---- running ---- */

static const Tensor *const *run(Probe *k, int64_t sample, int layer)
{
    const ingot_tensor *in = samples_inputs(k->s, sample);
    if (!in)
        return NULL;
    memcpy(k->in, in, sizeof *in * (size_t)k->inputs);
    k->in[k->inputs] = (ingot_tensor){ .data = k->selected, .dtype = INGOT_f32, .rank = 1, .dim = { k->p->nlayers } };
    if (layer >= 0)
        k->selected[layer] = 1;
    const Tensor *const *t = observer_run(k->o, k->in);
    if (layer >= 0)
        k->selected[layer] = 0;
    return t;
}

static Tensor *copy_of(Arena *a, const Tensor *t)
{
    Tensor *c = tensor_new(a, t->dtype, t->rank, t->dim);
    memcpy((void *)(uintptr_t)c->data, t->data, tensor_bytes(t));
    return c;
}

typedef struct Sums {
    double *noise, *signal, *results;   /* per layer; results: elements per column */
    Distance *far;
} Sums;

/* What one run with nothing selected says about every layer. */
static void add_taps(Probe *k, Sums *sums, const Tensor *const *t)
{
    for (int l = 0; l < k->p->nlayers; l++) {
        const Tensor *const *tap = &t[k->results + TAPS * l];
        if (k->p->layer[l].keep)
            continue;
        sums->noise[l] += tensor_get_f64(tap[0], 0);
        sums->signal[l] += tensor_get_f64(tap[1], 0);
        sums->results[l] += tensor_get_f64(tap[3], 0);
        for (int64_t c = 0; c < tap[2]->count; c++)
            k->out[l].mean[c] += tensor_get_f64(tap[2], c);
    }
}

static bool measure_sample(Probe *k, int64_t sample, bool alone, Sums *sums)
{
    Arena *a = arena_new();
    const Tensor *const *t = run(k, sample, -1);
    const Tensor **exact = ARENA_ARRAY(a, const Tensor *, k->results + 1);
    for (int r = 0; t && r < k->results; r++)
        exact[r] = copy_of(a, t[r]);
    if (t)
        add_taps(k, sums, t);
    for (int l = 0; t && alone && l < k->p->nlayers; l++)
        if (!k->p->layer[l].keep && (t = run(k, sample, l)))
            for (int r = 0; r < k->results; r++)
                distance_add(&sums->far[l], t[r], exact[r]);
    arena_free(a);
    return t != NULL;
}

static bool measure(Probe *k, Module *m, int64_t most, bool alone)
{
    int n = k->p->nlayers;
    Sums sums = { ARENA_ARRAY(k->arena, double, n + 1), ARENA_ARRAY(k->arena, double, n + 1), ARENA_ARRAY(k->arena, double, n + 1),
                  ARENA_ARRAY(k->arena, Distance, n + 1) };
    for (int l = 0; l < n; l++)
        k->out[l].mean = ARENA_ARRAY(m->arena, double, k->p->layer[l].q->dim[k->p->layer[l].axis]);
    for (int64_t i = 0; i < samples_count(k->s) && i < most; i += samples_batch(k->s))
        if (!measure_sample(k, i, alone, &sums))
            return false;
    for (int l = 0; l < n; l++) {
        bool kept = k->p->layer[l].keep;
        k->out[l].own = kept ? NAN : sums.noise[l] > 0 ? 10 * log10(sums.signal[l] / sums.noise[l]) : INFINITY;
        k->out[l].alone = kept || !alone ? NAN : distance_sqnr(&sums.far[l]);
        for (int64_t c = 0; !kept && c < k->p->layer[l].q->dim[k->p->layer[l].axis]; c++)
            k->out[l].mean[c] /= sums.results[l];
    }
    return true;
}

bool sensitivity_measure(Module *m, const QdqPlan *p, Samples *s, int64_t most, bool alone, Sensitivity *out)
{
    Arena *a = arena_new();
    Probe k = { .arena = a, .m = module_copy(a, m, NULL, 0), .p = p, .s = s, .out = out };
    k.selected = ARENA_ARRAY(a, float, p->nlayers + 1);
    bool ok = instrument(&k);
    k.in = ARENA_ARRAY(a, ingot_tensor, k.inputs + 1);
    ok = ok && (k.o = observer_open(k.m, k.tap, k.ntaps)) && measure(&k, m, most, alone);
    observer_close(k.o);
    arena_free(a);
    return ok;
}
