/* quantize.c -- see quantize.h: the order of things. Ranges are in ranges.c, where operators go is in passes/qdq.c, what each layer costs in sensitivity.c.
 *
 * Everything is measured on the model as it is; then layers are decided on, and the operators are written last. A value is known by its id, which is the
 * same in a copy of the module that nothing was added to. So a candidate (some layers kept) is tried on a copy.
 */
#include "quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "column_scale.h"
#include "compile.h"
#include "gram.h"
#include "conv_pads.h"
#include "observe.h"
#include "pass.h"
#include "repair.h"
#include "sensitivity.h"
#include "svg.h"
#include "tool.h"

enum { SENSITIVITY_SAMPLES = 16, SMALL_PART = 200 };

typedef struct Quantizer {
    Module *m;
    const QuantizeOptions *o;
    Samples *samples, *score;       /* to calibrate, to score on (may be the same) */
    ingot_tensor labels;            /* data NULL: none */
    QdqPlan plan;                   /* all layers */
    Range *range;                   /* per point of it */
    int *point_of;                  /* by value id: point of the plan, or -1 */
    const char **kept;              /* per layer: why it stays f32, or NULL */
    Sensitivity *sensitivity;       /* per layer; NULL: not measured */
    Observer *before;               /* the model as it was, compiled */
    Score score_before;
    Report *report;                 /* NULL: not wanted */
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
    return o->samples.path || o->weights.kind || o->dynamic || o->float16 || o->bfloat16;
}

static bool is_static(const QuantizeOptions *o)
{
    return !o->dynamic && !o->float16 && !o->bfloat16;
}

static int weight_bits(const QuantizeOptions *o)
{
    return o->weight_bits ? (int)o->weight_bits : 8;
}

/* A number, or NAN. */
static double number(const char *text)
{
    char *end;
    double x = text ? strtod(text, &end) : NAN;
    return !text || end == text || *end ? NAN : x;
}

const char *quantize_misuse(const QuantizeOptions *o)
{
    double p = number(o->percentile);
    if (range_method_named(o->method) == RANGE_METHOD_COUNT)
        return "--method needs one of minmax, average, percentile, entropy, mse";
    if (!(p > 50 && p <= 100))
        return "--percentile needs a number above 50, at most 100";
    if (o->per_tensor && o->per_channel)
        return "--per-tensor and --per-channel exclude each other";
    if (o->dynamic + o->float16 + o->bfloat16 > 1)
        return "--dynamic, --float16 and --bfloat16 exclude each other";
    bool any = o->weights.kind || !is_static(o), budget = o->max_drop || o->min_sqnr;
    if (o->weights.kind && (!is_static(o) || budget || o->sensitivity || o->bias_correction || o->adaround || o->smoothquant || o->equalize || o->per_tensor))
        return "--weights goes with --group, --gptq and --awq, not with what is for activations or whole numbers of 8 bits";
    if (!o->samples.path && (budget || o->adaround || o->smoothquant || (o->labels && !o->data) || (!any && (o->json || o->picture || o->data))))
        return "--calibrate DATA is missing";
    if (!is_static(o) && (budget || o->bias_correction || o->sensitivity))
        return "budgets, sensitivities and bias correction are for static quantisation";
    if (weight_bits(o) != 8 && weight_bits(o) != 4)
        return "--weight-bits must be 8 or 4";
    if (weight_bits(o) == 4 && (o->per_tensor || !o->samples.path || o->weights.kind))
        return "--weight-bits 4 needs --calibrate, and excludes --per-tensor and --weights";
    if (o->max_drop && !(number(o->max_drop) >= 0))
        return "--max-drop needs a number of percentage points";
    if (o->min_sqnr && !isfinite(number(o->min_sqnr)))
        return "--min-sqnr needs a number of decibels";
    if (o->max_drop && !o->labels)
        return "--max-drop needs --labels";
    if (weight_repair_wanted(&o->weight_repair) && !o->samples.path)
        return "--gptq and --awq need --calibrate";
    const char *wrong = weight_codes_misuse(&o->weights);
    return wrong ? wrong : weight_repair_misuse(&o->weight_repair, &o->weights);
}

/* ---- weights ---- */

static int64_t column_of(const Tensor *w, int axis, int64_t i)
{
    return axis == 0 ? i / (w->count / w->dim[0]) : i % w->dim[1];
}

/* Weights that are next to nothing beside their bias: so that the bias, in steps of the sum, fits an i32 with room for the sum. x_scale: 0, not known. */
static float least_scale(const QdqLayer *l, int64_t column, double x_scale)
{
    const Tensor *bias = node_in(l->n, 2) ? value_constant(node_in(l->n, 2)) : NULL;
    return bias && x_scale > 0 ? (float)(fabs(tensor_get_f64(bias, column)) / x_scale * 0x1p-28) : 0;
}

/* Symmetric: with 8 bits, the largest magnitude becomes 127. */
static void choose_scales(const QdqLayer *l, const Tensor *w, bool per_tensor, double x_scale, float *scale)
{
    for (int64_t i = 0; i < w->count; i++) {
        int64_t c = per_tensor ? 0 : column_of(w, l->axis, i);
        scale[c] = fmaxf(scale[c], fabsf((float)tensor_get_f64(w, i)));
    }
    for (int64_t c = 0; c < l->scale->count; c++) {
        scale[c] = scale[c] > 0x1p-100f ? scale[c] / (float)code_most(l->bits) : 1;
        if (l->bits == 4)
            scale[c] = (float)column_scale_best(w, l->axis, c, (double)scale[c], l->bits);
    }
    for (int64_t c = 0; c < w->dim[l->axis]; c++)
        scale[per_tensor ? 0 : c] = fmaxf(scale[per_tensor ? 0 : c], least_scale(l, c, x_scale));
}

static void round_weight(Module *m, QdqLayer *l, bool per_tensor, double x_scale)
{
    const Tensor *w = tensor_dense(m->arena, value_constant(l->n->in[1].val));
    int64_t columns = per_tensor ? 1 : w->dim[l->axis];
    l->q = tensor_new(m->arena, DT_i8, w->rank, w->dim);
    l->scale = tensor_new(m->arena, DT_f32, 1, &columns);
    float *scale = (float *)(uintptr_t)l->scale->data;
    choose_scales(l, w, per_tensor, x_scale, scale);
    for (int64_t i = 0; i < w->count; i++)
        tensor_set_f64(l->q, i, code_round(tensor_get_f64(w, i), (double)scale[per_tensor ? 0 : column_of(w, l->axis, i)], l->bits));
}

/* Four bits where they are asked for; not where they save next to nothing, nor for filters of one channel, of which nothing is multiplied four at a time. */
static void choose_bits(Quantizer *q)
{
    int64_t all = 0;
    for (int i = 0; i < q->plan.nlayers; i++)
        all += value_constant(q->plan.layer[i].n->in[1].val)->count;
    for (int i = 0; i < q->plan.nlayers; i++) {
        QdqLayer *l = &q->plan.layer[i];
        bool small = value_constant(l->n->in[1].val)->count * SMALL_PART < all, flat = l->n->op == OP_conv && conv_is_one_per_channel(l->n);
        l->bits = weight_bits(q->o) == 4 && !small && !flat ? 4 : 8;
    }
}

/* ---- layers that stay ---- */

static bool keep_named(Quantizer *q)
{
    for (int i = 0; i < q->o->keep.n; i++) {
        bool found = false;
        for (int k = 0; k < q->plan.nlayers; k++)
            if (!strcmp(qdq_layer_name(q->m, &q->plan.layer[k]), q->o->keep.v[i])) {
                q->kept[k] = "f32: --keep";
                found = true;
            }
        if (!found)
            return diag_error(q->m->diag, (Loc){ .file = q->m->file }, "--keep %s: there is no layer of that name that could be quantised", q->o->keep.v[i]);
    }
    return true;
}

/* Whether the target multiplies bytes faster than floats: it has instructions that do four at once, or two of 16 bits. */
static bool multiplies_bytes(const TargetInfo *t)
{
    static const char *const feature[] = { "+avx2", "+avx512vnni", "+avxvnni", "+dotprod", "+i8mm" };
    for (size_t i = 0; i < sizeof feature / sizeof *feature; i++)
        if (strstr(t->features, feature[i]))
            return true;
    return false;
}

/* No layer may become slower than it was. */
static bool guard(Quantizer *q)
{
    TargetInfo t;
    if (q->o->no_guard)
        return true;
    if (!target_resolve(q->m->arena, q->m->diag, q->o->target, q->o->cpu, &t))
        return false;
    if (multiplies_bytes(&t))
        return true;
    for (int i = 0; i < q->plan.nlayers; i++)
        if (!q->kept[i])
            q->kept[i] = "f32: slower as int8 on this target (--no-guard)";
    return true;
}

/* ---- weights as floats ---- */

static void store_weight(Module *m, QdqLayer *l, DType t)
{
    const Tensor *w = tensor_dense(m->arena, value_constant(l->n->in[1].val));
    l->q = tensor_new(m->arena, t, w->rank, w->dim);
    for (int64_t i = 0; i < w->count; i++)
        tensor_set_f64(l->q, i, tensor_get_f64(w, i));
}

/* With bf16, what the weights are multiplied with becomes bf16 too. */
static bool store_weights(Quantizer *q)
{
    DType t = q->o->float16 ? DT_f16 : DT_bf16;
    for (int i = 0; i < q->plan.nlayers; i++) {
        q->plan.layer[i].keep = q->kept[i] != NULL;
        if (!q->kept[i])
            store_weight(q->m, &q->plan.layer[i], t);
    }
    if (t == DT_bf16)
        qdq_find_points(q->m, &q->plan);
    return qdq_insert_floats(q->m, &q->plan);
}

/* ---- grids ---- */

static bool measure_ranges(Quantizer *q)
{
    Value **v = ARENA_ARRAY(q->m->arena, Value *, q->plan.npoints + 1);
    uint32_t top = 0;
    for (int i = 0; i < q->plan.npoints; i++) {
        v[i] = q->plan.point[i].v;
        top = v[i]->id > top ? v[i]->id : top;
    }
    q->point_of = ARENA_ARRAY(q->m->arena, int, top + 1);
    for (uint32_t i = 0; i <= top; i++)
        q->point_of[i] = -1;
    for (int i = 0; i < q->plan.npoints; i++)
        q->point_of[v[i]->id] = i;
    q->range = ranges_measure(q->m, q->m->arena, q->samples, v, q->plan.npoints);
    return q->range != NULL;
}

static void choose_grids(Quantizer *q)
{
    RangeMethod method = range_method_named(q->o->method);
    double lo, hi, percentile = number(q->o->percentile);
    for (int i = 0; i < q->plan.npoints; i++) {
        QdqPoint *p = &q->plan.point[i];
        if (p->from >= 0) {
            p->scale = q->plan.point[p->from].scale, p->zero = q->plan.point[p->from].zero;
            continue;
        }
        range_choose(&q->range[i], method, percentile, &lo, &hi);
        range_grid(lo, hi, &p->scale, &p->zero);
        if (q->report && lo == hi)
            report_note(q->report, "'%s' is 0 in every sample: nothing is known of its range, it gets 0 to 255.", p->v->name ? p->v->name : "a value");
    }
}

/* ---- writing the operators, into the module or a copy of it ---- */

/* The points of a plan that keeps layers are among those of the plan that keeps none, where their grids are known. */
static bool apply(const Quantizer *q, Module *to)
{
    QdqPlan p;
    qdq_find_layers(to, &p);
    for (int i = 0; i < p.nlayers; i++) {
        p.layer[i].q = q->plan.layer[i].q, p.layer[i].scale = q->plan.layer[i].scale, p.layer[i].bits = q->plan.layer[i].bits;
        p.layer[i].shift = q->plan.layer[i].shift;
        p.layer[i].keep = q->kept[i] != NULL;
    }
    qdq_find_points(to, &p);
    for (int i = 0; i < p.npoints; i++) {
        const QdqPoint *known = &q->plan.point[q->point_of[p.point[i].v->id]];
        p.point[i].scale = known->scale, p.point[i].zero = known->zero;
    }
    return qdq_insert(to, &p);
}

/* ---- budgets ---- */

static bool within_budget(const Quantizer *q, const Score *s)
{
    if (q->o->max_drop && !(accuracy_top1(&q->score_before.accuracy) - accuracy_top1(&s->accuracy) <= number(q->o->max_drop) + 1e-9))
        return false;
    return !q->o->min_sqnr || distance_sqnr(&s->distance) >= number(q->o->min_sqnr);
}

static const ingot_tensor *labels_of(const Quantizer *q) { return q->labels.data ? &q->labels : NULL; }

/* The score of the model with the layers as they are marked. */
static bool try(Quantizer *q, Score *s)
{
    Arena *a = arena_new();
    Module *copy = module_copy(a, q->m, NULL, 0);
    Observer *o = apply(q, copy) ? observer_open(copy, NULL, 0) : NULL;
    bool ok = o && score_observed(o, q->before, q->score, labels_of(q), s);
    observer_close(o);
    arena_free(a);
    return ok;
}

/* Layers that are quantised, the most sensitive first. */
static int rank_layers(const Quantizer *q, int *order)
{
    int n = 0;
    for (int i = 0; i < q->plan.nlayers; i++) {
        if (q->kept[i])
            continue;
        int at = n++;
        for (; at > 0 && q->sensitivity[order[at - 1]].alone > q->sensitivity[i].alone; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    return n;
}

static const char *const for_budget = "f32: for the budget";

static void keep_first(Quantizer *q, const int *order, int n, int k)
{
    for (int i = 0; i < n; i++)
        q->kept[order[i]] = i < k ? for_budget : NULL;
}

/* The fewest of the most sensitive layers whose keeping meets the budget: doubled until it does, then halved. */
static bool meet_budget(Quantizer *q)
{
    Score s;
    int *order = ARENA_ARRAY(q->m->arena, int, q->plan.nlayers + 1), n = rank_layers(q, order), bad = -1, good = -1;
    for (int k = 0; good < 0 && k <= n; k = k == n ? n + 1 : 2 * k + 1 > n ? n : 2 * k + 1) {
        keep_first(q, order, n, k);
        if (!try(q, &s))
            return false;
        *(within_budget(q, &s) ? &good : &bad) = k;
    }
    while (good - bad > 1) {
        int k = (good + bad) / 2;
        keep_first(q, order, n, k);
        if (!try(q, &s))
            return false;
        *(within_budget(q, &s) ? &good : &bad) = k;
    }
    if (good < 0)
        return diag_error(q->m->diag, (Loc){ .file = q->m->file }, "the budget is not met even with every layer in f32");
    keep_first(q, order, n, good);
    if (q->report)
        report_note(q->report, good ? "%d of %d layers stay f32, the most sensitive ones: with one less the budget is not met." :
                    "%d of %d layers stay f32: the budget is met with all of them quantised.", good, q->plan.nlayers);
    return true;
}

/* ---- the report ---- */

static const char *kind_of(const QuantizeOptions *o)
{
    return o->dynamic ? "int8, dynamic" : o->float16 ? "f16" : o->bfloat16 ? "bf16" : "int8";
}

/* What --adaround does not look at is rounded to nearest. */
static void note_deep_layers(Quantizer *q)
{
    for (int i = 0; q->o->adaround && i < q->plan.nlayers; i++)
        if (!q->kept[i] && !gram_measures(&q->plan.layer[i]))
            report_note(q->report, "%s: its weights are rounded to nearest, --adaround looks at convolutions and matrices of sums up to %d products.",
                        qdq_layer_name(q->m, &q->plan.layer[i]), GRAM_MOST);
}

static void describe_layer(Quantizer *q, int i, ReportLayer *r)
{
    const QdqLayer *l = &q->plan.layer[i];
    const QdqPoint none = { .scale = 0 }, *p = is_static(q->o) ? &q->plan.point[l->point] : &none;
    const Tensor *w = value_constant(l->n->in[1].val);
    int64_t columns = w->dim[l->axis], small = l->bits == 4 ? (w->count + 1) / 2 + 4 * columns : w->count * (q->o->float16 || q->o->bfloat16 ? 2 : 1) + (q->o->float16 || q->o->bfloat16 ? 0 : 4 * columns);
    *r = (ReportLayer){ .name = qdq_layer_name(q->m, l), .kind = op_name(l->n->op), .decision = q->kept[i] ? q->kept[i] : l->bits == 4 ? "int4" : kind_of(q->o),
                        .macs = report_node_macs(q->m, l->n), .parameters = w->count, .bytes_before = 4 * w->count,
                        .bytes_after = q->kept[i] ? 4 * w->count : small, .sqnr = NAN, .sensitivity = NAN, .scale = p->scale, .zero = p->zero,
                        .lo = -p->scale * (double)p->zero, .hi = p->scale * (double)(255 - p->zero) };
    if (q->sensitivity)
        r->sqnr = q->sensitivity[i].own, r->sensitivity = q->sensitivity[i].alone;
}

static bool report_layers(Quantizer *q)
{
    Report *r = q->report;
    r->layer = ARENA_ARRAY(r->arena, ReportLayer, q->plan.nlayers + 1);
    r->nlayers = q->plan.nlayers;
    note_deep_layers(q);
    for (int i = 0; i < r->nlayers; i++) {
        describe_layer(q, i, &r->layer[i]);
        r->layer[i].name = arena_str(r->arena, r->layer[i].name);
    }
    return !q->o->picture || svg_ranges(r, q->range, &q->plan, q->o->picture);      /* without ranges: of bytes */
}

static bool report_after(Quantizer *q)
{
    Observer *o = observer_open(q->m, NULL, 0);
    bool ok = o && report_side(q->m, o, q->before, q->score, labels_of(q), &q->report->after);
    observer_close(o);
    return ok;
}

/* ---- the order of things ---- */

static bool open_samples(Quantizer *q)
{
    const QuantizeOptions *o = q->o;
    if (o->samples.path && !(q->samples = calibration_samples(q->m, &o->samples)))
        return false;
    q->score = o->data ? score_samples(q->m, &o->samples, o->data) : q->samples;
    return (q->score || (!o->data && !o->labels)) && (!o->labels || samples_labels(q->score, o->labels, &q->labels));
}

/* The model as it was is what results are compared with. */
static bool observe_before(Quantizer *q)
{
    bool budget = q->o->max_drop || q->o->min_sqnr;
    if (!budget && !q->report)
        return true;
    q->before = observer_open(q->m, NULL, 0);
    if (!q->before)
        return false;
    if (!q->report)
        return score_observed(q->before, NULL, q->score, labels_of(q), &q->score_before);
    bool ok = report_side(q->m, q->before, NULL, q->score, labels_of(q), &q->report->before);
    q->score_before = q->report->before.score;
    return ok;
}

static bool measure_sensitivity(Quantizer *q)
{
    bool alone = q->o->max_drop || q->o->min_sqnr || q->o->sensitivity;
    if (!alone && !q->report)
        return true;
    q->sensitivity = ARENA_ARRAY(q->m->arena, Sensitivity, q->plan.nlayers + 1);
    for (int i = 0; i < q->plan.nlayers; i++)
        q->plan.layer[i].keep = q->kept[i] != NULL;
    return sensitivity_measure(q->m, &q->plan, q->samples, SENSITIVITY_SAMPLES, alone, q->sensitivity);
}

static bool find_places(Quantizer *q)
{
    qdq_find_layers(q->m, &q->plan);
    q->kept = ARENA_ARRAY(q->m->arena, const char *, q->plan.nlayers + 1);
    if (!q->plan.nlayers)
        return diag_error(q->m->diag, (Loc){ .file = q->m->file }, "there is no convolution or product with constant weights to quantise");
    return keep_named(q) && (q->o->float16 || q->o->bfloat16 || guard(q));
}

static void round_weights(Quantizer *q)
{
    choose_bits(q);
    for (int i = 0; i < q->plan.nlayers; i++) {
        q->plan.layer[i].keep = q->kept[i] != NULL;
        round_weight(q->m, &q->plan.layer[i], q->o->per_tensor, is_static(q->o) ? q->plan.point[q->plan.layer[i].point].scale : 0);
    }
}

static bool run_dynamic(Quantizer *q)
{
    round_weights(q);
    return (!(q->o->adaround || weight_bits(q->o) == 4) || adaround(q->m, &q->plan, q->samples)) && (!q->report || report_layers(q)) && qdq_insert_dynamic(q->m, &q->plan);
}

static bool run_static(Quantizer *q)
{
    qdq_find_points(q->m, &q->plan);
    if (!measure_ranges(q))
        return false;
    choose_grids(q);
    round_weights(q);
    if (!repair_after(q->m, &q->plan, q->o, q->samples) || !measure_sensitivity(q))
        return false;
    if ((q->o->max_drop || q->o->min_sqnr) && !meet_budget(q))
        return false;
    return (!q->report || report_layers(q)) && apply(q, q->m);
}

/* Weights become codes; with samples it is the results that are looked at, which takes a while, so not unasked. */
static bool run_weights(Quantizer *q)
{
    const QuantizeOptions *o = q->o;
    bool ok = weight_repair_wanted(&o->weight_repair) || (q->samples && q->report)
                  ? weight_repair_quantize(q->m, &o->weights, &o->weight_repair, &o->keep, q->samples, q->report)
                  : weight_codes_quantize(q->m, &o->weights, &o->keep, q->report);
    return ok && (!o->picture || svg_ranges(q->report, NULL, NULL, o->picture));
}

static bool run(Quantizer *q)
{
    if (q->o->weights.kind)
        return observe_before(q) && run_weights(q) && (!q->report || report_after(q));
    if (!observe_before(q) || !repair_before(q->m, q->o, q->samples) || !find_places(q))
        return false;
    bool ok = is_static(q->o) ? run_static(q) : q->o->dynamic ? run_dynamic(q) : (!q->report || report_layers(q)) && store_weights(q);
    return ok && (!q->report || report_after(q));
}

bool quantize_module(Module *m, const QuantizeOptions *o, Report *r)
{
    Quantizer q = { .m = m, .o = o, .report = r };
    bool ok = open_samples(&q) && run(&q);
    observer_close(q.before);
    if (q.score != q.samples)
        samples_close(q.score);
    samples_close(q.samples);
    free(q.labels.data);
    return ok;
}

bool quantize_and_report(Module *m, const QuantizeOptions *o)
{
    Arena *a = arena_new();
    Report r = { .arena = a, .title = "quantize" };
    bool wanted = !o->quiet || o->json || o->picture, ok = quantize_module(m, o, wanted ? &r : NULL);
    if (ok && !o->quiet)
        report_print(&r, stdout);
    if (ok && o->json)
        ok = report_write_json(&r, o->json);
    arena_free(a);
    return ok;
}
