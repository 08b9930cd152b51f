/* ranges.c -- see ranges.h. */
#include "ranges.h"

#include <math.h>
#include <string.h>

#include "observe.h"
#include "tool.h"

enum { LEVELS = 256 };

RangeMethod range_method_named(const char *name)
{
    static const char *const names[] = {
#define X(method, summary) #method,
        RANGE_METHODS(X)
#undef X
    };
    int i = 0;
    while (i < RANGE_METHOD_COUNT && strcmp(names[i], name))
        i++;
    return (RangeMethod)i;
}

/* ---- measuring ---- */

/* Bins 2i and 2i+1 become one, and all move to the middle half. */
static void double_reach(Range *r)
{
    int64_t old[RANGE_BINS];
    memcpy(old, r->bin, sizeof old);
    memset(r->bin, 0, sizeof old);
    for (int i = 0; i < RANGE_BINS; i++)
        r->bin[RANGE_BINS / 4 + i / 2] += old[i];
    r->reach *= 2;
}

static void extremes(const float *x, int64_t n, float *least, float *most)
{
    float lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    *least = lo, *most = hi;
}

static bool all_finite(const float *x, int64_t n)
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * 0;            /* NaN if one is */
    return sum == 0;
}

bool range_add(Range *r, const Tensor *t)
{
    const float *x = t->data;
    float least, most;
    if (!t->count)
        return true;
    if (!all_finite(x, t->count))
        return false;
    extremes(x, t->count, &least, &most);
    r->least = r->runs ? fmin(r->least, least) : least;
    r->most = r->runs ? fmax(r->most, most) : most;
    r->mean_least += ((double)least - r->mean_least) / (double)(r->runs + 1);
    r->mean_most += ((double)most - r->mean_most) / (double)(r->runs + 1);
    r->runs++;
    double far = fmax(fabs(least), fabs(most));
    if (!(r->reach > 0) && far > 0)
        r->reach = exp2(ceil(log2(far)));
    while (far >= r->reach && far > 0)
        double_reach(r);
    float factor = r->reach > 0 ? (float)(RANGE_BINS / 2 / r->reach) : 0;
    for (int64_t i = 0; i < t->count; i++)
        r->bin[(int)(x[i] * factor + (float)(RANGE_BINS / 2)) & (RANGE_BINS - 1)]++;
    r->n += t->count;
    return true;
}

typedef struct Measure {
    Range *range;
    Value *const *v;
    int n;
} Measure;

static bool measure(void *ctx, int64_t sample, const Tensor *const *taps)
{
    Measure *k = ctx;
    for (int i = 0; i < k->n; i++)
        if (!range_add(&k->range[i], taps[i]))
            return tool_fail("sample %lld: '%s' has values that are not finite numbers", (long long)sample,
                             k->v[i]->name ? k->v[i]->name : op_name(k->v[i]->def->op)), false;
    return true;
}

Range *ranges_measure(Module *m, Arena *a, Samples *s, Value *const *v, int n)
{
    Measure k = { ARENA_ARRAY(a, Range, n + 1), v, n };
    for (int i = 0; i < n; i++)
        k.range[i].bin = ARENA_ARRAY(a, int64_t, RANGE_BINS);
    return observe(m, s, v, n, measure, &k) ? k.range : NULL;
}

/* ---- choosing ---- */

static double bin_centre(const Range *r, int i)
{
    return ((double)i + 0.5 - RANGE_BINS / 2) * r->reach / (RANGE_BINS / 2);
}

void range_grid(double lo, double hi, double *scale, int64_t *zero)
{
    double s = (double)(float)((hi - lo) / (LEVELS - 1));
    *scale = s > 0x1p-100 ? s : 1;
    *zero = s > 0x1p-100 ? (int64_t)fmin(fmax(rint(-lo / s), 0), LEVELS - 1) : 0;
}

static double squared_error(const Range *r, double lo, double hi)
{
    double scale, sum = 0;
    int64_t zero;
    range_grid(lo, hi, &scale, &zero);
    for (int i = 0; i < RANGE_BINS; i++) {
        if (!r->bin[i])
            continue;
        double x = bin_centre(r, i), q = fmin(fmax(rint(x / scale), (double)-zero), (double)(LEVELS - 1 - zero));
        sum += (double)r->bin[i] * (x - q * scale) * (x - q * scale);
    }
    return sum;
}

/* Kullback-Leibler divergence between the values, clipped into [lo, hi], and the same with every step of the grid made flat where it is not empty. The
 * zeros that a ReLU makes are exact on every grid, and are left out. */
static double divergence(const Range *r, double lo, double hi)
{
    double p[RANGE_BINS] = { 0 }, sum[LEVELS] = { 0 }, scale, k = 0, all = 0, inside = 0;
    int filled[LEVELS] = { 0 }, level[RANGE_BINS];
    int64_t zero;
    range_grid(lo, hi, &scale, &zero);
    for (int i = 0; i < RANGE_BINS; i++) {
        if (i == RANGE_BINS / 2)
            continue;
        double x = fmin(fmax(bin_centre(r, i), lo), hi);
        int to = (int)((x + r->reach) / r->reach * (RANGE_BINS / 2));
        p[to < RANGE_BINS ? to : RANGE_BINS - 1] += (double)r->bin[i];
    }
    for (int i = 0; i < RANGE_BINS; i++) {
        double x = bin_centre(r, i), in = i != RANGE_BINS / 2 && x >= lo && x <= hi ? (double)r->bin[i] : 0;
        level[i] = (int)fmin(fmax(rint(x / scale) + (double)zero, 0), LEVELS - 1);
        sum[level[i]] += in;
        filled[level[i]] += p[i] > 0;
        all += p[i];
        inside += in;
    }
    for (int i = 0; i < RANGE_BINS; i++)
        if (p[i] > 0) {
            double q = fmax(sum[level[i]], 1e-3) / filled[level[i]];
            k += p[i] / all * log(p[i] / all / (q / inside));
        }
    return k;
}

typedef double Cost(const Range *r, double lo, double hi);

/* Shrink both ends together, then each by itself. */
static void search(const Range *r, Cost *cost, double *lo, double *hi)
{
    enum { STEPS = 40 };
    double least = fmin(r->least, 0), most = fmax(r->most, 0), best = INFINITY, a = least, b = most;
    for (int which = 0; which < 3; which++) {
        double from_a = a, from_b = b;
        for (int i = 0; i < STEPS; i++) {
            double f = 1 - 0.02 * i, x = which == 2 ? from_a : f * (which ? from_a : least), y = which == 1 ? from_b : f * (which ? from_b : most);
            double c = cost(r, x, y);
            if (c < best)
                best = c, a = x, b = y;
        }
    }
    *lo = a, *hi = b;
}

static void cut_tails(const Range *r, double percentile, double *lo, double *hi)
{
    double rest = (1 - percentile / 100) * (double)r->n, below = 0, above = 0;
    int i = 0, k = RANGE_BINS - 1;
    while (i < RANGE_BINS - 1 && below + (double)r->bin[i] <= rest)
        below += (double)r->bin[i++];
    while (k > 0 && above + (double)r->bin[k] <= rest)
        above += (double)r->bin[k--];
    *lo = fmax(bin_centre(r, i) - r->reach / RANGE_BINS, r->least);
    *hi = fmin(bin_centre(r, k) + r->reach / RANGE_BINS, r->most);
}

void range_choose(const Range *r, RangeMethod method, double percentile, double *lo, double *hi)
{
    *lo = r->least, *hi = r->most;
    if (method == RANGE_average)
        *lo = r->mean_least, *hi = r->mean_most;
    else if (method == RANGE_percentile && r->reach > 0)
        cut_tails(r, percentile, lo, hi);
    else if (method == RANGE_entropy && r->reach > 0)
        search(r, divergence, lo, hi);
    else if (method == RANGE_mse && r->reach > 0)
        search(r, squared_error, lo, hi);
    *lo = fmin(*lo, 0);
    *hi = fmax(*hi, 0);
}
