/* score.h -- how good a module is on samples: accuracy against labels, error against another module. */
#ifndef INGOT_SCORE_H
#define INGOT_SCORE_H

#include "accuracy.h"
#include "observe.h"

/* How far results y are from the reference r, all elements of all float outputs and samples together. */
typedef struct Distance {
    double signal, noise;           /* sums of r*r and of (y - r)^2 */
    double yy, ry;                  /* sums of y*y and of r*y */
    double most;                    /* largest |y - r| */
    int64_t n;
} Distance;

void distance_add(Distance *d, const Tensor *y, const Tensor *r);
double distance_sqnr(const Distance *d);                            /* 10 log10(signal / noise), dB; infinite if equal */
double distance_cosine(const Distance *d);

typedef struct Score {
    int64_t samples;
    bool labelled, compared;
    Accuracy accuracy;              /* if labelled */
    Distance distance;              /* if compared */
    int64_t same_top1;              /* if compared: samples whose largest score (of output 0, per sample) is the reference's */
} Score;

/* Samples to learn from; NULL after a sentence: they cannot be read, or do not vary. */
Samples *calibration_samples(Module *m, const SamplesOptions *o);
/* Samples to score on: all of `data`, in the form that the calibration data has, or without `data` the calibration samples themselves. NULL after a sentence. */
Samples *score_samples(Module *m, const SamplesOptions *calibration, const char *data);
/* labels: of samples_labels, or NULL; reference: with the same inputs and outputs, or NULL. Both give what the module returns. False after a sentence. */
bool score_observed(Observer *of, Observer *reference, Samples *s, const ingot_tensor *labels, Score *out);
/* The same of modules, which are compiled for it. */
bool score_module(Module *m, Module *reference, Samples *s, const ingot_tensor *labels, Score *out);

#endif
