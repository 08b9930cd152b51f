/* samples.c -- see samples.h: elements, shapes and checks; samples_files.c finds the files. */
#include "samples.h"

#include <float.h>
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
    const char *labels;             /* file of them */
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

/* Where the data has them. Without a word about it: colours lie last if they can only lie there. */
static bool channels_last(const Samples *s, const SampleSet *set, int k)
{
    const ingot_tensor *t = &set->in[k];
    const char *layout = s->files.o.layout;
    if (set->image)
        return samples_channels_last(&s->files.ports->input[k], &s->files.o);
    return layout ? !strcmp(layout, "nhwc") : t->rank == 4 && !few(t->dim[1]) && few(t->dim[3]);
}

static int64_t channels_of(const Samples *s, const SampleSet *set, int k)
{
    const ingot_tensor *t = &set->in[k];
    return t->rank < 2 ? 1 : t->dim[channels_last(s, set, k) ? t->rank - 1 : 1];
}

/* The data has its channels where the option says, and the input has them elsewhere. */
static bool is_turned(const Samples *s, const SampleSet *set, int k)
{
    const ingot_port *p = &s->files.ports->input[k];
    return s->files.o.layout && p->rank == 4 && set->in[k].rank == 4 && channels_last(s, set, k) != samples_channels_last(p, &s->files.o);
}

static bool is_normalised(const Samples *s, int k, const ingot_tensor *data)
{
    const ingot_model *m = s->files.ports;
    return is_float(m->input[k].dtype) && (m->n_inputs == 1 || data->dtype == INGOT_u8);
}

/* Sample number `from` of an array to place `to` of the input. */
static void fill(Samples *s, int k, const SampleSet *set, int64_t to, int64_t from)
{
    const ingot_tensor *data = &set->in[k];
    int64_t n = s->sample_elements[k], channels = channels_of(s, set, k), plane = n / channels;
    bool normalise = is_normalised(s, k, data), last = channels_last(s, set, k), turned = is_turned(s, set, k);
    for (int64_t i = 0; i < n; i++) {
        int64_t channel = last ? i % channels : i / plane, place = last ? i / channels : i % plane;
        double x = samples_element(data, from * n + i);
        if (normalise)
            x = (x * per_channel(&s->scale, 0, 1) - per_channel(&s->mean, channel, 0)) / per_channel(&s->std, channel, 1);
        set_element(&s->in[k], to * n + (!turned ? i : last ? channel * plane + place : place * channels + channel), x);
    }
}

/* ---- shapes ---- */

/* A size of the data, channels being where the input has them. */
static int64_t data_dim(const Samples *s, const SampleSet *set, int k, int i)
{
    static const int first[] = { 0, 3, 1, 2 }, last[] = { 0, 2, 3, 1 };
    const ingot_tensor *t = &set->in[k];
    if (is_turned(s, set, k))
        i = channels_last(s, set, k) ? first[i] : last[i];
    return i < t->rank ? t->dim[i] : 1;
}

/* The input's shape: the model's own sizes, or the data's where the model leaves them open. */
static void shape_input(Samples *s, int k, const SampleSet *set)
{
    const ingot_port *p = &s->files.ports->input[k];
    s->in[k].dtype = p->dtype;
    s->in[k].rank = p->rank;
    for (int i = 0; i < p->rank; i++) {
        int64_t own = data_dim(s, set, k, i);
        s->in[k].dim[i] = p->dim[i] >= 0 ? p->dim[i] : i || set->whole ? own : 1;
    }
}

static int64_t elements_of(const SampleSet *set, int k)
{
    int64_t all = ingot_count(&set->in[k]);
    return set->whole || !set->in[k].rank || !set->in[k].dim[0] ? all : all / set->in[k].dim[0];
}

enum { SHAPE_ROOM = 400 };

/* Sizes of one sample, those of 1 left out if `bare`; their number. */
static int sample_dims(const Samples *s, const SampleSet *set, int k, bool bare, int64_t *dim)
{
    int n = 0;
    for (int i = set->whole ? 0 : 1; i < set->in[k].rank; i++) {
        int64_t size = data_dim(s, set, k, i);
        if (!bare || size != 1)
            dim[n++] = size;
    }
    return n;
}

/* Axes of size 1 do not matter, and a row of numbers may stand for an array or the other way round; otherwise sizes agree one by one. */
static bool shape_fits(const Samples *s, const SampleSet *set, int k, bool many)
{
    int64_t data[INGOT_MAX_RANK], in[INGOT_MAX_RANK];
    const ingot_tensor *t = &s->in[k];
    int n = sample_dims(s, set, k, true, data), m = 0;
    for (int i = many ? 1 : 0; i < t->rank; i++)
        if (t->dim[i] != 1)
            in[m++] = t->dim[i];
    return n < 2 || m < 2 || (n == m && !memcmp(data, in, sizeof *in * (size_t)n));
}

static void put_shape(char *to, const Samples *s, const SampleSet *set, int k)
{
    int64_t dim[INGOT_MAX_RANK];
    int n = sample_dims(s, set, k, false, dim), at = 0;
    to[0] = 0;
    for (int i = 0; i < n && at < SHAPE_ROOM; i++)
        at += snprintf(to + at, (size_t)(SHAPE_ROOM - at), "%s%lld", i ? "," : "", (long long)dim[i]);
}

static void put_port_shape(char *to, const ingot_port *p)
{
    to[0] = 0;
    for (int i = 0, at = 0; i < p->rank && at < SHAPE_ROOM; i++)
        at += snprintf(to + at, (size_t)(SHAPE_ROOM - at), "%s%s", i ? "," : "", p->dim_text[i]);
}

static bool refuse_shape(const Samples *s, const SampleSet *set, int k)
{
    char data[SHAPE_ROOM + 1], port[SHAPE_ROOM + 1];
    const ingot_port *p = &s->files.ports->input[k];
    bool pictures = p->rank == 4 && set->in[k].rank == 4 && !s->files.o.layout && channels_last(s, set, k) != samples_channels_last(p, &s->files.o);
    put_shape(data, s, set, k);
    put_port_shape(port, p);
    return tool_fail("%s: samples of [%s] do not fit input '%s' of [%s]%s", set->name, data, p->name, port,
                     pictures ? " (--layout says where the data's channels are)" : ""), false;
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
        if (count < 1 || (!one && !many) || (s->batch && s->batch != batch) || !shape_fits(s, set, k, !one))
            return refuse_shape(s, set, k);
        s->batch = batch;
    }
    return true;
}

static bool channels_fit(const Samples *s, const char *option, const Numbers *k)
{
    int64_t channels = channels_of(s, &s->files.set[0], 0);
    return k->n < 2 || k->n == channels ||
           (tool_fail("--%s has %d numbers, the data %lld channels", option, k->n, (long long)channels), false);
}

static bool are_numbers(const char *option, const Numbers *k, bool factor)
{
    for (int i = 0; i < k->n; i++)
        if (!isfinite(k->v[i]) || (factor && k->v[i] == 0))
            return tool_fail("--%s: %g says nothing about the data", option, k->v[i]), false;
    return true;
}

static bool numbers_fit(const Samples *s)
{
    if (s->scale.n > 1)
        return tool_fail("--scale: one number is enough"), false;
    return are_numbers("scale", &s->scale, true) && are_numbers("mean", &s->mean, false) && are_numbers("std", &s->std, true) && channels_fit(s, "mean", &s->mean) && channels_fit(s, "std", &s->std);
}

static bool can_hold(int32_t dtype, double x)
{
    switch (dtype) {
    case INGOT_f32: return fabs(x) <= (double)FLT_MAX;
    case INGOT_f64: return true;
    case INGOT_bool: return x == 0 || x == 1;
    case INGOT_u8: return x == rint(x) && x >= 0 && x <= UINT8_MAX;
    case INGOT_i8: return x == rint(x) && x >= INT8_MIN && x <= INT8_MAX;
    case INGOT_i32: return x == rint(x) && x >= INT32_MIN && x <= INT32_MAX;
    default: return x == rint(x) && fabs(x) < 0x1p63;
    }
}

static bool elements_fit(const SampleSet *set, const ingot_model *ports)
{
    for (int k = 0; k < ports->n_inputs; k++) {
        const ingot_tensor *t = &set->in[k];
        const ingot_port *p = &ports->input[k];
        int64_t n = is_float(t->dtype) || !is_float(p->dtype) ? ingot_count(t) : 0;
        for (int64_t i = 0; i < n; i++) {
            double x = samples_element(t, i);
            if (!isfinite(x))
                return tool_fail("%s: element %lld, for input '%s', is not a finite number", set->name, (long long)i, p->name), false;
            if (!can_hold(p->dtype, x))
                return tool_fail("%s: element %lld is %.9g, which input '%s' of type %s cannot hold", set->name, (long long)i, x, p->name,
                                 ingot_dtype_name(p->dtype)), false;
        }
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
        if (!set_fits(s, set) || !elements_fit(set, s->files.ports))
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
    if (parse_options(s) && inputs_can_be_fed(ports) && make_room(s) && samples_files_read(&s->files) && check_sets(s) && numbers_fit(s))
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
            fill(s, k, set, b, at);
        }
    }
    return s->in;
}

bool samples_vary(Samples *s)
{
    double first = NAN;
    for (int64_t i = 0; i < s->files.n; i++)
        for (int k = 0; k < s->files.ports->n_inputs; k++) {
            const ingot_tensor *t = &s->files.set[i].in[k];
            int64_t n = ingot_count(t);
            for (int64_t j = 0; j < n; j++) {
                double x = samples_element(t, j);
                if (first != first)
                    first = x;
                if (x != first)
                    return true;
            }
        }
    return tool_fail("%s is constant: every element is %g, which says nothing about what the model will see", s->files.o.path, first), false;
}

static bool are_classes(const char *path, const ingot_tensor *t)
{
    for (int64_t i = 0; i < ingot_count(t); i++) {
        double x = samples_element(t, i);
        if (!(x >= 0 && can_hold(INGOT_i64, x)))
            return tool_fail("%s: label %lld is %.9g, which is no class number", path, (long long)i, x), false;
    }
    return true;
}

const char *samples_labels_name(const Samples *s) { return s->labels; }

bool samples_labels(Samples *s, const char *path, ingot_tensor *t)
{
    ingot_error err;
    if (!path)
        return tool_fail("--labels is needed"), false;
    if (ingot_tensor_read(path, 0, t, &err))
        return tool_fail("%s", err.text), false;
    int64_t n = ingot_count(t), rows = t->rank ? t->dim[0] : 1, samples = s->files.samples;
    bool cut = s->files.o.limit && samples == s->files.o.limit, fits = n > 0 && (rows == samples || (cut && rows > samples)), read = samples_readable(t->dtype);
    s->labels = path;
    if (!read)
        tool_fail("%s: elements of type %s are not read here", path, ingot_dtype_name(t->dtype));
    else if (!fits)
        tool_fail("%s has %lld labels for the %lld samples of %s", path, (long long)rows, (long long)samples, s->files.o.path);
    if (read && fits && are_classes(path, t))
        return true;
    free(t->data);
    t->data = NULL;
    return false;
}
