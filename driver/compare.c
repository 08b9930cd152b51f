/* compare.c -- do two tensors agree? The rule of numpy.testing.assert_allclose, which the ONNX backend tests use. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"
#include "rt.h"

static bool close_enough(double got, double want, double rtol, double atol)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want))
        return got == want;
    return fabs(got - want) <= atol + rtol * fabs(want);
}

/* How many elements differ, and which is the first. */
typedef struct Difference {
    int64_t count, first;
} Difference;

static void note_difference(Difference *d, int64_t i)
{
    if (!d->count++)
        d->first = i;
}

static bool compare_floats(const char *name, const Tensor *got, const Tensor *want, double rtol, double atol, char *why, size_t bytes)
{
    Difference d = { 0, 0 };
    for (int64_t i = 0; i < want->count; i++)
        if (!close_enough(tensor_get_f64(got, i), tensor_get_f64(want, i), rtol, atol))
            note_difference(&d, i);
    if (d.count)
        snprintf(why, bytes, "%s: %" PRId64 " of %" PRId64 " elements differ, first at %" PRId64 ": %.9g, expected %.9g", name, d.count, want->count,
                 d.first, tensor_get_f64(got, d.first), tensor_get_f64(want, d.first));
    return !d.count;
}

static bool compare_integers(const char *name, const Tensor *got, const Tensor *want, char *why, size_t bytes)
{
    Difference d = { 0, 0 };
    for (int64_t i = 0; i < want->count; i++)
        if (tensor_get_i64(got, i) != tensor_get_i64(want, i))
            note_difference(&d, i);
    if (d.count)
        snprintf(why, bytes, "%s: %" PRId64 " of %" PRId64 " elements differ, first at %" PRId64 ": %" PRId64 ", expected %" PRId64, name, d.count,
                 want->count, d.first, tensor_get_i64(got, d.first), tensor_get_i64(want, d.first));
    return !d.count;
}

static bool compare_strings(const char *name, const Tensor *got, const Tensor *want, char *why, size_t bytes)
{
    const ingot_string *g = got->data, *w = want->data;
    for (int64_t i = 0; i < want->count; i++)
        if (g[i].bytes != w[i].bytes || memcmp(g[i].u.data, w[i].u.data, g[i].bytes)) {
            snprintf(why, bytes, "%s: element %" PRId64 " is \"%.*s\", expected \"%.*s\"", name, i, (int)g[i].bytes, g[i].u.data,
                     (int)w[i].bytes, w[i].u.data);
            return false;
        }
    return true;
}

/* A complex tensor as twice as many floats. */
static Tensor real_view(const Tensor *t)
{
    Tensor x = *t;
    x.dtype = t->dtype == DT_c64 ? DT_f32 : DT_f64;
    x.count = 2 * t->count;
    return x;
}

static bool compare_types(const char *name, const Tensor *got, const Tensor *want, char *why, size_t bytes)
{
    char a[160], b[160];
    if (got->dtype != want->dtype) {
        snprintf(why, bytes, "%s: type %s, expected %s", name, dtype_name(got->dtype), dtype_name(want->dtype));
        return false;
    }
    if (got->rank != want->rank || (want->rank && memcmp(got->dim, want->dim, sizeof *want->dim * (size_t)want->rank))) {
        snprintf(why, bytes, "%s: shape %s, expected %s", name, ingot_dims_text(got->rank, got->dim, a, sizeof a),
                 ingot_dims_text(want->rank, want->dim, b, sizeof b));
        return false;
    }
    return true;
}

bool compare_tensors(const char *name, const Tensor *got, const Tensor *want, double rtol, double atol, char *why, size_t bytes)
{
    if (!compare_types(name, got, want, why, bytes))
        return false;
    if (want->dtype == DT_str)
        return compare_strings(name, got, want, why, bytes);
    if (want->dtype == DT_c64 || want->dtype == DT_c128) {
        Tensor g = real_view(got), w = real_view(want);
        return compare_floats(name, &g, &w, rtol, atol, why, bytes);
    }
    return dtype_is_float(want->dtype) ? compare_floats(name, got, want, rtol, atol, why, bytes) : compare_integers(name, got, want, why, bytes);
}

typedef struct Moments { double least, most, mean, deviation; } Moments;

static Moments moments_of(const Tensor *t)
{
    Moments m = { INFINITY, -INFINITY, 0, 0 };
    double n = (double)t->count, squares = 0;
    for (int64_t i = 0; i < t->count; i++) {
        double x = tensor_get_f64(t, i);
        m.least = fmin(m.least, x);
        m.most = fmax(m.most, x);
        m.mean += x / n;
        squares += x * x / n;
    }
    m.deviation = sqrt(fmax(squares - m.mean * m.mean, 0));
    return m;
}

bool compare_samples(const char *name, const Tensor *got, const Tensor *want, char *why, size_t bytes)
{
    if (!compare_types(name, got, want, why, bytes))
        return false;
    Moments g = moments_of(got), w = moments_of(want);
    double width = fmax(w.most - w.least, 0), error = 6 * (g.deviation + w.deviation) / sqrt((double)want->count) + 1e-7;
    bool ranges = g.least >= w.least - width && g.most <= w.most + width;
    if (want->count && (!ranges || !(fabs(g.mean - w.mean) <= error))) {
        snprintf(why, bytes, "%s: drawn from %g to %g around %g, expected %g to %g around %g", name, g.least, g.most, g.mean, w.least, w.most, w.mean);
        return false;
    }
    return true;
}
