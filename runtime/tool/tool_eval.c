/* tool_eval.c -- how often a classifier is right: samples from a .npy file go through the model one batch at a time, the largest scores are compared with
 * the labels.
 *
 * Samples lie along axis 0. Where the model wants floats, every element x becomes (x * scale - mean) / std, mean and std being one number or one
 * per channel (axis 1 of the data). The batch is the model's own if it is fixed, else 1.
 */
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "tool.h"

enum { MAX_CHANNELS = 64, TOP = 5 };

typedef struct Numbers {
    int n;
    double v[MAX_CHANNELS];
} Numbers;

typedef struct Eval {
    const EvalOptions *o;
    const ToolModel *model;
    ingot_tensor data, labels, in, *out;
    Numbers scale, mean, std;
    int64_t samples, sample_elements, batch, plane;     /* plane: elements of a channel */
    int64_t right, among;                               /* top-1, top-5 */
} Eval;

/* ---- numbers on the command line ---- */

/* "0.5", "1/255". */
static const char *parse_number(const char *s, double *x)
{
    char *end;
    *x = strtod(s, &end);
    if (end == s)
        return NULL;
    if (*end == '/') {
        const char *below = end + 1;
        double d = strtod(below, &end);
        if (end == below || d == 0)
            return NULL;
        *x /= d;
    }
    return end;
}

static bool parse_numbers(const char *option, const char *s, Numbers *out)
{
    const char *text = s;
    while (s) {
        if (out->n == MAX_CHANNELS)
            return tool_fail("--%s: more than %d numbers", option, MAX_CHANNELS), false;
        const char *end = parse_number(s, &out->v[out->n++]);
        if (!end || (*end && *end != ','))
            return tool_fail("--%s %s: not of the form NUMBER or NUMBER,NUMBER...", option, text), false;
        s = *end ? end + 1 : NULL;
    }
    return true;
}

static bool parse_options(Eval *e)
{
    const EvalOptions *o = e->o;
    if (!parse_numbers("scale", o->scale, &e->scale) || !parse_numbers("mean", o->mean, &e->mean) || !parse_numbers("std", o->std, &e->std))
        return false;
    for (int i = 0; i < e->std.n; i++)
        if (e->std.v[i] == 0)
            return tool_fail("--std: a deviation of 0"), false;
    return e->scale.n < 2 || (tool_fail("--scale: one number is enough"), false);
}

/* ---- elements ---- */

static double element(const ingot_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case INGOT_u8: return ((const uint8_t *)t->data)[i];
    case INGOT_i8: return ((const int8_t *)t->data)[i];
    case INGOT_i32: return ((const int32_t *)t->data)[i];
    case INGOT_i64: return (double)((const int64_t *)t->data)[i];
    case INGOT_f64: return ((const double *)t->data)[i];
    default: return (double)((const float *)t->data)[i];
    }
}

static bool is_read(int32_t t)
{
    return t == INGOT_u8 || t == INGOT_i8 || t == INGOT_i32 || t == INGOT_i64 || t == INGOT_f32 || t == INGOT_f64;
}

static double per_channel(const Numbers *k, int64_t channel, double otherwise)
{
    return !k->n ? otherwise : k->v[k->n == 1 ? 0 : channel];
}

static void fill(Eval *e, int64_t to, int64_t from)
{
    for (int64_t i = 0; i < e->sample_elements; i++) {
        int64_t channel = i / e->plane;
        double x = element(&e->data, from * e->sample_elements + i) * (e->scale.n ? e->scale.v[0] : 1);
        x = (x - per_channel(&e->mean, channel, 0)) / per_channel(&e->std, channel, 1);
        if (e->in.dtype == INGOT_f32)
            ((float *)e->in.data)[to * e->sample_elements + i] = (float)x;
        else
            ((double *)e->in.data)[to * e->sample_elements + i] = x;
    }
}

/* ---- opening ---- */

static bool read_file(const char *option, const char *path, ingot_tensor *t)
{
    ingot_error err;
    if (!path)
        return tool_fail("--%s is needed", option), false;
    if (ingot_tensor_read(path, 0, t, &err))
        return tool_fail("%s", err.text), false;
    return is_read(t->dtype) || (tool_fail("%s: elements of type %s are not read here", path, ingot_dtype_name(t->dtype)), false);
}

static bool channels_fit(const Eval *e, const char *option, const Numbers *k)
{
    int64_t channels = e->data.rank > 1 ? e->data.dim[1] : 1;
    return k->n < 2 || k->n == channels ||
           (tool_fail("--%s has %d numbers, the data %lld channels", option, k->n, (long long)channels), false);
}

static bool measure_data(Eval *e)
{
    const char *data = e->o->data, *labels = e->o->labels;
    int64_t n = e->data.rank ? e->data.dim[0] : 0;
    if (n < 1 || ingot_count(&e->data) == 0)
        return tool_fail("%s: there are no samples", data), false;
    if (ingot_count(&e->labels) != n)
        return tool_fail("%s has %lld labels for the %lld samples of %s", labels, (long long)ingot_count(&e->labels), (long long)n, data), false;
    e->samples = n;
    e->sample_elements = ingot_count(&e->data) / n;
    e->plane = e->data.rank > 1 ? e->sample_elements / e->data.dim[1] : e->sample_elements;
    return channels_fit(e, "mean", &e->mean) && channels_fit(e, "std", &e->std);
}

/* The input's shape: the model's own sizes, or the data's where the model leaves them open. */
static bool shape_input(Eval *e, const ingot_port *p)
{
    e->in = (ingot_tensor){ .dtype = p->dtype, .rank = p->rank };
    for (int i = 0; i < p->rank; i++)
        e->in.dim[i] = p->dim[i] >= 0 ? p->dim[i] : i == 0 ? 1 : i < e->data.rank ? e->data.dim[i] : 1;
    e->batch = p->rank ? e->in.dim[0] : 0;
    int64_t count = ingot_count(&e->in);
    if (e->batch < 1 || count != e->batch * e->sample_elements)
        return tool_fail("%s: samples of %lld elements do not fit input '%s'", e->o->data, (long long)e->sample_elements, p->name), false;
    e->in.data = malloc((size_t)count * 8);
    return e->in.data || (tool_fail("out of memory"), false);
}

static bool open_model(Eval *e)
{
    const ingot_model *m = e->model->ports;
    if (m->n_inputs != 1)
        return tool_fail("%s has %d inputs: only a model of one can be evaluated", e->model->name, m->n_inputs), false;
    if (m->input[0].dtype != INGOT_f32 && m->input[0].dtype != INGOT_f64)
        return tool_fail("input '%s' is %s: only f32 and f64 can be fed", m->input[0].name, ingot_dtype_name(m->input[0].dtype)), false;
    e->out = calloc((size_t)m->n_outputs + 1, sizeof *e->out);
    return (e->out || (tool_fail("out of memory"), false)) && shape_input(e, &m->input[0]);
}

/* ---- scoring ---- */

/* How many classes come before the label: larger scores, and equal ones of a lower number. A NaN comes before nothing. */
static int64_t rank_of(const ingot_tensor *scores, int64_t first, int64_t classes, int64_t label)
{
    double mine = element(scores, first + label);
    int64_t before = mine == mine ? 0 : classes;
    for (int64_t i = 0; i < classes; i++) {
        double x = element(scores, first + i);
        before += x > mine || (x == mine && i < label);
    }
    return before;
}

static bool score(Eval *e, int64_t first, int64_t n)
{
    const ingot_tensor *scores = &e->out[0];
    int64_t classes = ingot_count(scores) / e->batch;
    if (e->model->ports->n_outputs < 1 || !is_read(scores->dtype) || classes < 1 || classes * e->batch != ingot_count(scores))
        return tool_fail("%s: the first output is no table of scores", e->model->name), false;
    for (int64_t i = 0; i < n; i++) {
        int64_t label = (int64_t)element(&e->labels, first + i);
        if (label < 0 || label >= classes)
            return tool_fail("%s: label %lld of sample %lld, the model has %lld classes", e->o->labels, (long long)label, (long long)(first + i),
                             (long long)classes), false;
        int64_t before = rank_of(scores, i * classes, classes, label);
        e->right += before == 0;
        e->among += before < TOP;
    }
    return true;
}

/* The last batch may be filled up with the last sample. */
static bool run_batch(Eval *e, int64_t first)
{
    ingot_error err;
    int64_t n = e->samples - first < e->batch ? e->samples - first : e->batch;
    for (int64_t i = 0; i < e->batch; i++)
        fill(e, i, first + (i < n ? i : n - 1));
    if (e->model->run(e->model->self, &e->in, e->out, &err))
        return tool_fail("%s: %s", e->model->name, err.text), false;
    bool ok = score(e, first, n);
    if (e->model->after)
        e->model->after(e->model->self);
    return ok;
}

static void print_result(const Eval *e)
{
    double n = (double)e->samples, top1 = 100 * (double)e->right / n, top5 = 100 * (double)e->among / n;
    if (e->o->json)
        printf("{\"samples\": %lld, \"top1\": %.4f, \"top5\": %.4f}\n", (long long)e->samples, top1, top5);
    else
        printf("top-1 %.2f %% (%lld of %lld), top-5 %.2f %%\n", top1, (long long)e->right, (long long)e->samples, top5);
}

int tool_eval(const ToolModel *m, const EvalOptions *o)
{
    Eval e = { .o = o, .model = m };
    bool ok = parse_options(&e) && read_file("data", o->data, &e.data) && read_file("labels", o->labels, &e.labels) && measure_data(&e) && open_model(&e);
    for (int64_t first = 0; ok && first < e.samples; first += e.batch)
        ok = run_batch(&e, first);
    if (ok)
        print_result(&e);
    free(e.data.data);
    free(e.labels.data);
    free(e.in.data);
    free(e.out);
    return ok ? 0 : 1;
}

int tool_eval_file(const char *path, const char *name, const EvalOptions *o)
{
    ToolSession s;
    if (!tool_open(path, name, o->threads, &s))
        return 1;
    int status = tool_eval(&s.model, o);
    tool_close(&s);
    return status;
}
