/* observe.h -- run a module on samples, compiled, and look inside.
 *
 * The module is not changed: its graph is copied into an arena of its own, the copy's `return` gives the tapped values instead, the copy is optimised,
 * compiled for this machine into a temporary file and loaded. The graph may be at any stage before the memory plan.
 *
 *     bool sum(void *ctx, int64_t sample, const Tensor *const *taps) { ... taps[0]->data ... return true; }
 *     ok = observe(m, samples, (Value *[]){ conv }, 1, sum, &total);
 */
#ifndef INGOT_OBSERVE_H
#define INGOT_OBSERVE_H

#include "ir.h"
#include "samples.h"

typedef struct Observer Observer;

/* taps: tensors (no sequences) of m's main graph, inputs and constants among them; NULL, 0: what m returns. NULL after a sentence. */
Observer *observer_open(Module *m, Value *const *taps, int ntaps);
/* Run on inputs of the module's ports. Taps in the order given, data valid until the next run; NULL after a sentence. */
const Tensor *const *observer_run(Observer *o, const ingot_tensor *in);
/* What the compiled copy costs: size of its file, its workspace at the last run's sizes, and times of runs on `in` (NULL:
 * pseudo-random numbers, symbolic sizes 1). False after a sentence. */
typedef struct ObserverCost {
    uint64_t file_bytes, workspace_bytes;
    double median_ms, p99_ms;
} ObserverCost;
bool observer_cost(Observer *o, const ingot_tensor *in, ObserverCost *out);
const ingot_model *observer_ports(const Observer *o);               /* of the compiled copy: inputs as the module's, outputs the taps */
void observer_close(Observer *o);                                   /* NULL is fine */

/* Called after each run: sample is the first of the run's batch; data is valid during the call only. False stops, and observe fails: it has reported. */
typedef bool ObserveVisit(void *ctx, int64_t sample, const Tensor *const *taps);
/* All samples, samples_batch at a time; of the last batch the places behind the last sample repeat it. False after a sentence. */
bool observe(Module *m, Samples *s, Value *const *taps, int ntaps, ObserveVisit *visit, void *ctx);

/* A copy of the module to work on, its graph in arena a; weights, symbols and messages are shared with m, which must live as long. map (may be NULL):
 * values of m's main graph, n of them, are replaced by their copies. */
Module *module_copy(Arena *a, Module *m, Value **map, int n);

#endif
