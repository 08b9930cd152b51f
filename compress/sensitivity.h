/* sensitivity.h -- how much each layer suffers from being quantised, by itself and for the model's results. */
#ifndef INGOT_SENSITIVITY_H
#define INGOT_SENSITIVITY_H

#include "qdq.h"
#include "samples.h"

typedef struct Sensitivity {
    double own;                     /* dB: SQNR of the layer's result when its operand and weight are rounded, all before it being exact */
    double *mean;                   /* per column: mean of what rounding takes away from the layer's result; in m's arena */
    double alone;                   /* dB: SQNR of the model's float results when only this layer is quantised; NAN: not asked for */
} Sensitivity;

/* Of every layer of p (grids chosen, weights rounded), over the first `most` samples. One compiled copy of m computes each layer both ways, and an
 * input says which result goes on; so a layer costs a run per sample, and only if `alone` is wanted. out: p->nlayers. False after a sentence. */
bool sensitivity_measure(Module *m, const QdqPlan *p, Samples *s, int64_t most, bool alone, Sensitivity *out);

#endif
