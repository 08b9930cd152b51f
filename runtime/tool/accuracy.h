/* accuracy.h -- how well scores fit labels: counts that are added up, batch by batch. */
#ifndef INGOT_ACCURACY_H
#define INGOT_ACCURACY_H

#include "samples.h"

typedef struct Accuracy {
    int64_t n;                      /* labels seen */
    int64_t right, among;           /* the label's score is the largest, one of the five largest */
    double loss;                    /* sum of -log(softmax(scores)[label]), in nats: of scores that are no probabilities yet */
    bool places;                    /* more than one label per sample */
    const char *labels;             /* file of the labels, for sentences */
} Accuracy;

/* scores: the model's output for samples first ..., `run` of them at once, of which `count` matter; labels: of all samples (samples_labels).
 * name: of the model, for sentences. False after one: scores and labels do not fit. */
bool accuracy_add(Accuracy *a, const char *name, const ingot_tensor *scores, int64_t run, const ingot_tensor *labels, int64_t first, int64_t count);
static inline double accuracy_top1(const Accuracy *a) { return a->n ? 100 * (double)a->right / (double)a->n : 0; }    /* percent */
static inline double accuracy_top5(const Accuracy *a) { return a->n ? 100 * (double)a->among / (double)a->n : 0; }
static inline double accuracy_loss(const Accuracy *a) { return a->n ? a->loss / (double)a->n : 0; }

#endif
