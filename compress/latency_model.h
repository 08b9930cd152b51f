/* latency_model.h -- how long a network takes on the target, by a model of it: for machines that are not this one. */
#ifndef INGOT_LATENCY_MODEL_H
#define INGOT_LATENCY_MODEL_H

#include "ir.h"

/* Clock cycles of one run on one core, symbolic sizes being 1, of a graph of m's (any stage before layout) compiled for m's vectors. Good for comparing networks
 * on one machine, not machines: nobody knows the target's clock and memory. INFINITY after reporting. */
double latency_model_cycles(Module *m, Graph *g);

#endif
