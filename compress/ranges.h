/* ranges.h -- what values a network's activations take on samples, and which range of them a grid of 256 numbers should cover.
 *
 * Per value a histogram of RANGE_BINS bins over [-reach, reach). When a number is outside, the reach doubles and bins merge in pairs, so that
 * one pass over the samples is enough.
 */
#ifndef INGOT_RANGES_H
#define INGOT_RANGES_H

#include "ir.h"
#include "samples.h"

enum { RANGE_BINS = 8192 };

typedef struct Range {
    double least, most;             /* of all samples */
    double mean_least, mean_most;   /* means over the runs: a run is a sample, or a batch of them */
    double reach;                   /* a power of two; 0: nothing but zeros seen */
    int64_t runs, n;
    int64_t *bin;                   /* RANGE_BINS counts */
} Range;

/* How a range is chosen from what was seen. */
#define RANGE_METHODS(X) \
    X(minmax,     "everything that was seen") \
    X(average,    "means over the samples of the least and the largest value") \
    X(percentile, "all but the outermost values, 99.99 % by default") \
    X(entropy,    "least Kullback-Leibler divergence between the values and the rounded ones") \
    X(mse,        "least mean squared error of the rounded values")
typedef enum RangeMethod {
#define X(name, summary) RANGE_##name,
    RANGE_METHODS(X)
#undef X
    RANGE_METHOD_COUNT
} RangeMethod;
/* RANGE_METHOD_COUNT if there is none of that name. */
RangeMethod range_method_named(const char *name);

/* The values of n f32 values of m's main graph on all samples, in arena a. NULL after a sentence: a value that is not a finite number, too. */
Range *ranges_measure(Module *m, Arena *a, Samples *s, Value *const *v, int n);
/* Add the numbers of a tensor. False: one of them is not finite. */
bool range_add(Range *r, const Tensor *t);
/* [lo, hi], lo <= 0 <= hi: an image's zero padding and a ReLU's zero must be exact. percentile: 50..100. */
void range_choose(const Range *r, RangeMethod method, double percentile, double *lo, double *hi);
/* The grid of 256 numbers that covers [lo, hi]: x is about scale * (q - zero), q of 0..255. scale fits f32. */
void range_grid(double lo, double hi, double *scale, int64_t *zero);

#endif
