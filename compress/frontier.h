/* frontier.h -- values inside a network for all samples, layer after layer: what was computed for one layer is where the next one starts from, so that
 * only the nodes between are compiled and run.
 *
 * The weights of the nodes before a remembered value must not change any more; those behind it may.
 */
#ifndef INGOT_FRONTIER_H
#define INGOT_FRONTIER_H

#include "observe.h"

typedef struct Frontier Frontier;

/* g: a graph of m. At most so many bytes are remembered; beyond, the oldest values are computed again when they are needed. */
Frontier *frontier_new(const Module *m, Graph *g, Samples *s, size_t most_bytes);
void frontier_free(Frontier *f);                                    /* NULL is fine */
/* The taps will be computed; the first `keep` of them are remembered. One frontier has at most one set of taps open. False after a sentence. */
bool frontier_open(Frontier *f, Value *const *taps, int ntaps, int keep);
/* For the samples from `first` on (of a run: samples_batch). Runs are to be made in order, from 0. Taps as opened, valid until the next; NULL after a sentence. */
const Tensor *const *frontier_run(Frontier *f, int64_t first);
void frontier_close(Frontier *f);

#endif
