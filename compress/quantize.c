/* quantize.c -- see quantize.h: the order of things. Ranges are in ranges.c, where operators go is in passes/qdq.c. */
#include "quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "observe.h"
#include "pass.h"
#include "tool.h"

enum { MOST_INT8 = 127 };

typedef struct Quantizer {
    Module *m;
    const QuantizeOptions *o;
    Samples *samples;
    QdqPlan plan;
    Range *range;                   /* per point */
} Quantizer;

bool quantize_prepare(Module *m)
{
    PassOptions p = PASS_OPTIONS_DEFAULT;
    p.pipeline = "dce,fold,cse,rules,cse,dce";
    return passes_run(m, &p);
}

/* ---- options ---- */

bool quantize_wanted(const QuantizeOptions *o)
{
    return o->samples.path || o->is_static || o->dynamic || o->float16 || o->bfloat16 || o->float8;
}

static double percentile_of(const QuantizeOptions *o)
{
    char *end;
    double p = strtod(o->percentile, &end);
    return *end || end == o->percentile || !(p > 50) || !(p <= 100) ? 0 : p;
}

const char *quantize_misuse(const QuantizeOptions *o)
{
    if (range_method_named(o->method) == RANGE_METHOD_COUNT)
        return "--method needs one of minmax, average, percentile, entropy, mse";
    if (!(percentile_of(o) > 0))
        return "--percentile needs a number above 50, at most 100";
    if (o->per_tensor && o->per_channel)
        return "--per-tensor and --per-channel exclude each other";
    return NULL;
}

/* ---- weights ---- */

static int64_t column_of(const Tensor *w, int axis, int64_t i)
{
    return axis == 0 ? i / (w->count / w->dim[0]) : i % w->dim[1];
}

/* Symmetric: the largest magnitude becomes 127. */
static void round_weight(Module *m, QdqLayer *l, bool per_tensor)
{
    const Tensor *w = tensor_dense(m->arena, value_constant(l->n->in[1].val));
    int64_t columns = per_tensor ? 1 : w->dim[l->axis];
    l->q = tensor_new(m->arena, DT_i8, w->rank, w->dim);
    l->scale = tensor_new(m->arena, DT_f32, 1, &columns);
    float *scale = (float *)(uintptr_t)l->scale->data;
    for (int64_t i = 0; i < w->count; i++) {
        int64_t c = per_tensor ? 0 : column_of(w, l->axis, i);
        scale[c] = fmaxf(scale[c], fabsf((float)tensor_get_f64(w, i)));
    }
    for (int64_t c = 0; c < columns; c++)
        scale[c] = scale[c] > 0x1p-100f ? scale[c] / MOST_INT8 : 1;
    for (int64_t i = 0; i < w->count; i++) {
        float s = scale[per_tensor ? 0 : column_of(w, l->axis, i)];
        tensor_set_f64(l->q, i, fmin(fmax(rint(tensor_get_f64(w, i) / (double)s), -MOST_INT8), MOST_INT8));
    }
}

/* ---- layers that stay ---- */

static bool mark_kept(Quantizer *q)
{
    for (int i = 0; i < q->o->keep.n; i++) {
        bool found = false;
        for (int k = 0; k < q->plan.nlayers; k++)
            if (!strcmp(qdq_layer_name(q->m, &q->plan.layer[k]), q->o->keep.v[i]))
                found = q->plan.layer[k].keep = true;
        if (!found)
            return diag_error(q->m->diag, (Loc){ .file = q->m->file }, "--keep %s: there is no layer of that name that could be quantised", q->o->keep.v[i]);
    }
    return true;
}

/* ---- grids ---- */

static bool measure(Quantizer *q)
{
    Value **v = ARENA_ARRAY(q->m->arena, Value *, q->plan.npoints + 1);
    for (int i = 0; i < q->plan.npoints; i++)
        v[i] = q->plan.point[i].v;
    q->range = ranges_measure(q->m, q->m->arena, q->samples, v, q->plan.npoints);
    return q->range != NULL;
}

static void choose_grids(Quantizer *q)
{
    RangeMethod method = range_method_named(q->o->method);
    double lo, hi, percentile = percentile_of(q->o);
    for (int i = 0; i < q->plan.npoints; i++) {
        QdqPoint *p = &q->plan.point[i];
        if (p->from >= 0) {
            p->scale = q->plan.point[p->from].scale, p->zero = q->plan.point[p->from].zero;
            continue;
        }
        range_choose(&q->range[i], method, percentile, &lo, &hi);
        range_grid(lo, hi, &p->scale, &p->zero);
    }
}

/* ---- static ---- */

static bool quantize_static(Quantizer *q)
{
    qdq_find_layers(q->m, &q->plan);
    if (!mark_kept(q))
        return false;
    qdq_find_points(q->m, &q->plan);
    if (!measure(q))
        return false;
    choose_grids(q);
    for (int i = 0; i < q->plan.nlayers; i++)
        if (!q->plan.layer[i].keep)
            round_weight(q->m, &q->plan.layer[i], q->o->per_tensor);
    return qdq_insert(q->m, &q->plan);
}

bool quantize_module(Module *m, const QuantizeOptions *o)
{
    Quantizer q = { .m = m, .o = o };
    q.samples = samples_open(describe_module(m), &o->samples);
    bool ok = q.samples && samples_vary(q.samples) && quantize_static(&q);
    samples_close(q.samples);
    return ok;
}
