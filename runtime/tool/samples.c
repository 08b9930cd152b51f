/* samples.c -- see samples.h: elements, shapes and checks; samples_files.c finds the files. */
#include "samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "numbers.h"
#include "samples_files.h"
#include "tool.h"

struct Samples {
    SampleFiles files;
    Numbers scale, mean, std;
    int64_t batch;
    int64_t *sample_elements;       /* per input */
    ingot_tensor *in;               /* what samples_inputs gives */
    int64_t *room;                  /* elements that in[k].data holds */
};

/* ---- elements ---- */

double samples_element(const ingot_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case INGOT_u8:
    case INGOT_bool: return ((const uint8_t *)t->data)[i];
    case INGOT_i8: return ((const int8_t *)t->data)[i];
    case INGOT_i32: return ((const int32_t *)t->data)[i];
    case INGOT_i64: return (double)((const int64_t *)t->data)[i];
    case INGOT_f64: return ((const double *)t->data)[i];
    default: return (double)((const float *)t->data)[i];
    }
}

bool samples_readable(int32_t t)
{
    return t == INGOT_u8 || t == INGOT_i8 || t == INGOT_i32 || t == INGOT_i64 || t == INGOT_f32 || t == INGOT_f64 || t == INGOT_bool;
}

static void set_element(const ingot_tensor *t, int64_t i, double x)
{
    switch (t->dtype) {
    case INGOT_u8:
    case INGOT_bool: ((uint8_t *)t->data)[i] = (uint8_t)x; break;
    case INGOT_i8: ((int8_t *)t->data)[i] = (int8_t)x; break;
    case INGOT_i32: ((int32_t *)t->data)[i] = (int32_t)x; break;
    case INGOT_i64: ((int64_t *)t->data)[i] = (int64_t)x; break;
    case INGOT_f64: ((double *)t->data)[i] = x; break;
    default: ((float *)t->data)[i] = (float)x;
    }
}

static bool is_float(int32_t t) { return t == INGOT_f32 || t == INGOT_f64; }

/* ---- numbers per channel ---- */

static double per_channel(const Numbers *k, int64_t channel, double otherwise)
{
    return !k->n ? otherwise : k->v[k->n == 1 ? 0 : channel];
}

static bool few(int64_t n) { return n == 1 || n == 3; }

/* Without a word about it: colours lie last if they can only lie there. */
static bool channels_last(const Samples *s, const ingot_tensor *t)
{
    const char *layout = s->files.o.layout;
    return layout ? !strcmp(layout, "nhwc") : t->rank == 4 && !few(t->dim[1]) && few(t->dim[3]);
}

static int64_t channels_of(const Samples *s, const ingot_tensor *t)
{
    return t->rank < 2 ? 1 : t->dim[channels_last(s, t) ? t->rank - 1 : 1];
}

static bool is_normalised(const Samples *s, int k, const ingot_tensor *data)
{
    const ingot_model *m = s->files.ports;
    return is_float(m->input[k].dtype) && (m->n_inputs == 1 || data->dtype == INGOT_u8);
}

/* Sample number `from` of an array to place `to` of the input. */
static void fill(Samples *s, int k, const ingot_tensor *data, int64_t to, int64_t from)
{
    int64_t n = s->sample_elements[k], channels = channels_of(s, data), plane = n / channels;
    bool normalise = is_normalised(s, k, data), last = channels_last(s, data);
    for (int64_t i = 0; i < n; i++) {
        double x = samples_element(data, from * n + i);
        if (normalise) {
            int64_t channel = last ? i % channels : i / plane;
            x = (x * per_channel(&s->scale, 0, 1) - per_channel(&s->mean, channel, 0)) / per_channel(&s->std, channel, 1);
        }
        set_element(&s->in[k], to * n + i, x);
    }
}

/* ---- shapes ---- */

/* The input's shape: the model's own sizes, or the data's where the model leaves them open. */
static void shape_input(Samples *s, int k, const SampleSet *set)
{
    const ingot_port *p = &s->files.ports->input[k];
    const ingot_tensor *data = &set->in[k];
    s->in[k].dtype = p->dtype;
    s->in[k].rank = p->rank;
    for (int i = 0; i < p->rank; i++) {
        int64_t own = i < data->rank ? data->dim[i] : 1;
        s->in[k].dim[i] = p->dim[i] >= 0 ? p->dim[i] : i || set->whole ? own : 1;
    }
}

static int64_t elements_of(const SampleSet *set, int k)
{
    int64_t all = ingot_count(&set->in[k]);
    return set->whole || !set->in[k].rank || !set->in[k].dim[0] ? all : all / set->in[k].dim[0];
}

/* Of a fixed batch the input takes several samples, unless it has no batch axis at all. */
static bool set_fits(Samples *s, const SampleSet *set)
{
    for (int k = 0; k < s->files.ports->n_inputs; k++) {
        const ingot_port *p = &s->files.ports->input[k];
        shape_input(s, k, set);
        int64_t count = ingot_count(&s->in[k]), each = elements_of(set, k);
        bool one = count == each, many = !set->whole && p->rank && count == each * s->in[k].dim[0];
        int64_t batch = one ? 1 : p->rank ? s->in[k].dim[0] : 1;
        if (count < 1 || (!one && !many) || (s->batch && s->batch != batch))
            return tool_fail("%s: samples of %lld elements do not fit input '%s'", set->name, (long long)each, p->name), false;
        s->batch = batch;
    }
    return true;
}

static bool channels_fit(const Samples *s, const char *option, const Numbers *k)
{
    int64_t channels = channels_of(s, &s->files.set[0].in[0]);
    return k->n < 2 || k->n == channels ||
           (tool_fail("--%s has %d numbers, the data %lld channels", option, k->n, (long long)channels), false);
}

static bool numbers_fit(const Samples *s)
{
    for (int i = 0; i < s->std.n; i++)
        if (s->std.v[i] == 0)
            return tool_fail("--std: a deviation of 0"), false;
    if (s->scale.n > 1)
        return tool_fail("--scale: one number is enough"), false;
    return channels_fit(s, "mean", &s->mean) && channels_fit(s, "std", &s->std);
}

static bool holds_no_nan(const SampleSet *set, const ingot_model *ports)
{
    for (int k = 0; k < ports->n_inputs; k++) {
        int64_t n = is_float(set->in[k].dtype) ? ingot_count(&set->in[k]) : 0;
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(samples_element(&set->in[k], i)))
                return tool_fail("%s: element %lld is not a finite number", set->name, (long long)i), false;
    }
    return true;
}

/* ---- opening ---- */

static bool parse_options(Samples *s)
{
    const SamplesOptions *o = &s->files.o;
    if (o->layout && strcmp(o->layout, "nchw") && strcmp(o->layout, "nhwc"))
        return tool_fail("--layout %s: neither nchw nor nhwc", o->layout), false;
    return numbers_parse("scale", o->scale, &s->scale) && numbers_parse("mean", o->mean, &s->mean) && numbers_parse("std", o->std, &s->std);
}

static bool inputs_can_be_fed(const ingot_model *m)
{
    for (int k = 0; k < m->n_inputs; k++)
        if (!samples_readable(m->input[k].dtype))
            return tool_fail("input '%s' is %s: it cannot be fed from samples", m->input[k].name, ingot_dtype_name(m->input[k].dtype)), false;
    return m->n_inputs > 0 || (tool_fail("%s has no inputs to feed", m->name), false);
}

static bool check_sets(Samples *s)
{
    for (int64_t i = 0; i < s->files.n; i++) {
        const SampleSet *set = &s->files.set[i];
        if (!set_fits(s, set) || !holds_no_nan(set, s->files.ports))
            return false;
    }
    return true;
}

static bool make_room(Samples *s)
{
    size_t n = (size_t)s->files.ports->n_inputs;
    s->sample_elements = calloc(n, sizeof *s->sample_elements);
    s->in = calloc(n, sizeof *s->in);
    s->room = calloc(n, sizeof *s->room);
    return (s->sample_elements && s->in && s->room) || (tool_fail("out of memory"), false);
}

Samples *samples_open(const ingot_model *ports, const SamplesOptions *o)
{
    Samples *s = calloc(1, sizeof *s);
    if (!s)
        return tool_fail("out of memory"), NULL;
    s->files = (SampleFiles){ .ports = ports, .o = *o };
    if (parse_options(s) && inputs_can_be_fed(ports) && make_room(s) && samples_files_read(&s->files) && numbers_fit(s) && check_sets(s))
        return s;
    samples_close(s);
    return NULL;
}

void samples_close(Samples *s)
{
    if (!s)
        return;
    for (int k = 0; s->in && k < s->files.ports->n_inputs; k++)
        free(s->in[k].data);
    free(s->in);
    free(s->sample_elements);
    free(s->room);
    samples_files_free(&s->files);
    free(s);
}

int64_t samples_count(const Samples *s) { return s->files.samples; }
int64_t samples_batch(const Samples *s) { return s->batch; }

/* ---- giving ---- */

/* The set that sample i is in; *at: its number there. */
static const SampleSet *find_set(const Samples *s, int64_t i, int64_t *at)
{
    const SampleSet *set = s->files.set;
    for (;; set++) {
        int64_t n = set->whole ? 1 : set->in[0].dim[0];
        if (i < n)
            break;
        i -= n;
    }
    *at = i;
    return set;
}

static bool reserve(Samples *s, int k)
{
    int64_t n = ingot_count(&s->in[k]);
    if (n <= s->room[k])
        return true;
    free(s->in[k].data);
    s->in[k].data = NULL;
    s->room[k] = posix_memalign(&s->in[k].data, 64, (size_t)n * 8 + 64) ? 0 : n;
    return s->room[k] > 0 || (tool_fail("out of memory"), false);
}

const ingot_tensor *samples_inputs(Samples *s, int64_t first)
{
    for (int64_t b = 0; b < s->batch; b++) {
        int64_t i = first + b < s->files.samples ? first + b : s->files.samples - 1, at;
        const SampleSet *set = find_set(s, i, &at);
        for (int k = 0; k < s->files.ports->n_inputs; k++) {
            shape_input(s, k, set);
            s->sample_elements[k] = elements_of(set, k);
            if (!reserve(s, k))
                return NULL;
            fill(s, k, &set->in[k], b, at);
        }
    }
    return s->in;
}

bool samples_vary(Samples *s)
{
    double first = NAN;
    bool floats = false;
    for (int64_t i = 0; i < s->files.n; i++)
        for (int k = 0; k < s->files.ports->n_inputs; k++) {
            const ingot_tensor *t = &s->files.set[i].in[k];
            int64_t n = is_float(s->files.ports->input[k].dtype) ? ingot_count(t) : 0;
            for (int64_t j = 0; j < n; j++, floats = true) {
                double x = samples_element(t, j);
                if (first != first)
                    first = x;
                if (x != first)
                    return true;
            }
        }
    return !floats || (tool_fail("%s is constant: every element is %g, which says nothing about what the model will see", s->files.o.path, first), false);
}

bool samples_labels(const Samples *s, const char *path, ingot_tensor *t)
{
    ingot_error err;
    if (!path)
        return tool_fail("--labels is needed"), false;
    if (ingot_tensor_read(path, 0, t, &err))
        return tool_fail("%s", err.text), false;
    int64_t n = ingot_count(t), rows = t->rank ? t->dim[0] : 1, samples = s->files.samples;
    bool fits = n > 0 && (rows == samples || (s->files.o.limit && rows > samples)), read = samples_readable(t->dtype);
    if (!read)
        tool_fail("%s: elements of type %s are not read here", path, ingot_dtype_name(t->dtype));
    else if (!fits)
        tool_fail("%s has %lld labels for the %lld samples of %s", path, (long long)rows, (long long)samples, s->files.o.path);
    if (read && fits)
        return true;
    free(t->data);
    t->data = NULL;
    return false;
}
