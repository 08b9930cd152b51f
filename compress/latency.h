/* latency.h -- how long a module runs on this machine. */
#ifndef INGOT_LATENCY_H
#define INGOT_LATENCY_H

#include "ir.h"

/* Milliseconds of one run, one thread, on pseudo-random inputs (symbolic sizes are 1): the median after a warm-up. The module is compiled to a temporary
 * file and stays as it is. False after a sentence. */
bool latency_measure(Module *m, double *ms);

#endif
