/* score.c -- see score.h. */
#include "score.h"

#include <math.h>
#include <string.h>

#include "describe.h"
#include "tool.h"

void distance_add(Distance *d, const Tensor *y, const Tensor *r)
{
    for (int64_t i = 0; i < r->count && i < y->count; i++) {
        double a = tensor_get_f64(y, i), b = tensor_get_f64(r, i), e = a - b;
        d->signal += b * b;
        d->noise += e * e;
        d->yy += a * a;
        d->ry += a * b;
        d->most = fabs(e) > d->most || e != e ? fabs(e) : d->most;
        d->n++;
    }
}

double distance_sqnr(const Distance *d)
{
    return d->noise == 0 ? INFINITY : 10 * log10(d->signal / d->noise);
}

double distance_cosine(const Distance *d)
{
    return d->yy > 0 && d->signal > 0 ? d->ry / sqrt(d->yy * d->signal) : d->yy == d->signal;
}

typedef struct Scorer {
    Observer *of, *reference;
    Samples *s;
    const ingot_tensor *labels;
    Score *out;
} Scorer;

static int64_t largest(const Tensor *t, int64_t first, int64_t n)
{
    int64_t best = first;
    for (int64_t i = first; i < first + n; i++)
        if (tensor_get_f64(t, i) > tensor_get_f64(t, best))
            best = i;
    return best;
}

static int64_t count_same_top(const Tensor *y, const Tensor *r, int64_t batch, int64_t count)
{
    int64_t classes = r->count / batch, same = 0;
    for (int64_t i = 0; classes && y->count == r->count && i < count; i++)
        same += largest(y, i * classes, classes) == largest(r, i * classes, classes);
    return same;
}

static bool compare(Scorer *c, const ingot_tensor *in, const Tensor *const *y, int64_t count)
{
    const Tensor *const *r = observer_run(c->reference, in);
    for (int i = 0; r && i < observer_ports(c->reference)->n_outputs; i++)
        if (dtype_is_float(r[i]->dtype) && dtype_is_float(y[i]->dtype))
            distance_add(&c->out->distance, y[i], r[i]);
    if (r)
        c->out->same_top1 += count_same_top(y[0], r[0], samples_batch(c->s), count);
    return r != NULL;
}

static bool score_batch(Scorer *c, int64_t first)
{
    int64_t batch = samples_batch(c->s), left = samples_count(c->s) - first, count = left < batch ? left : batch;
    const ingot_tensor *in = samples_inputs(c->s, first);
    const Tensor *const *y = in ? observer_run(c->of, in) : NULL;
    if (!y)
        return false;
    Arena *a = arena_new();
    ingot_tensor scores = tensor_to_runtime(a, y[0]);
    bool ok = (!c->labels || accuracy_add(&c->out->accuracy, observer_ports(c->of)->name, &scores, batch, c->labels, first, count)) &&
              (!c->reference || compare(c, in, y, count));
    arena_free(a);
    return ok;
}

Samples *calibration_samples(Module *m, const SamplesOptions *o)
{
    SamplesOptions with_pb = *o;
    with_pb.read_pb = describe_read_pb;
    Samples *s = samples_open(describe_module(m), &with_pb);
    if (s && samples_vary(s))
        return s;
    samples_close(s);
    return NULL;
}

Samples *score_samples(Module *m, const SamplesOptions *calibration, const char *data)
{
    SamplesOptions o = *calibration;
    if (!data)
        return calibration_samples(m, &o);
    o.read_pb = describe_read_pb;
    o.option = "data";
    o.path = data;
    o.limit = 0;
    return samples_open(describe_module(m), &o);
}

bool score_observed(Observer *of, Observer *reference, Samples *s, const ingot_tensor *labels, Score *out)
{
    *out = (Score){ .samples = samples_count(s), .labelled = labels != NULL, .compared = reference != NULL, .accuracy.labels = samples_labels_name(s) };
    Scorer c = { of, reference, s, labels, out };
    bool ok = true;
    if (reference && observer_ports(of)->n_outputs != observer_ports(reference)->n_outputs)
        ok = (tool_fail("%s has %d outputs, the reference %d", observer_ports(of)->name, observer_ports(of)->n_outputs, observer_ports(reference)->n_outputs),
              false);
    for (int64_t i = 0; ok && i < samples_count(s); i += samples_batch(s))
        ok = score_batch(&c, i);
    return ok;
}

bool score_module(Module *m, Module *reference, Samples *s, const ingot_tensor *labels, Score *out)
{
    Observer *of = observer_open(m, NULL, 0), *other = of && reference ? observer_open(reference, NULL, 0) : NULL;
    bool ok = of && !other == !reference && score_observed(of, other, s, labels, out);
    observer_close(of);
    observer_close(other);
    return ok;
}
