/* repair.h -- accuracy without training: what can be done before ranges are chosen, and after weights are rounded. Each is an option of its own.
 *
 *   equalize         W1 / s, W2 * s for layers with nothing or a ReLU between them, s so that channel ranges agree (Nagel et al. 2019, arXiv:1906.04721)
 *   smoothquant      x / s, W * s per input channel of products, s = max|x|^a / max|W|^(1-a), a = 0.5 (Xiao et al. 2022, arXiv:2211.10438)
 *   adaround         rounds weights up or down for the least error of the layer's result, not of the weight (Nagel et al. 2020, arXiv:2004.10568)
 *   bias correction  the mean error of a layer's result goes into its bias (Nagel et al. 2019)
 */
#ifndef INGOT_REPAIR_H
#define INGOT_REPAIR_H

#include "quantize.h"

/* Edits m, whose results stay the same up to rounding. False after reporting. */
bool repair_before(Module *m, const QuantizeOptions *o, Samples *s);
/* Improves the rounded weights and adds shifts. Layers and points of p are m's; nothing is added to m's graph. */
bool repair_after(Module *m, QdqPlan *p, const QuantizeOptions *o, Samples *s);

/* Parts of them, in files of their own. */
bool equalize(Module *m);
bool smoothquant(Module *m, Samples *s);
bool adaround(Module *m, QdqPlan *p, Samples *s);

#endif
