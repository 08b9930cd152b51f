/* import_fused.h -- what the importers of com.microsoft's fused operators share, see import_fused.c. */
#ifndef INGOT_IMPORT_FUSED_H
#define INGOT_IMPORT_FUSED_H

#include "import_parts.h"

/* Result 0 that another importer gives for this node, with some of its inputs exchanged; opset: of ai.onnx, whose meaning is borrowed. */
Value *fused_result_of(const Importer *c, ImportFn *fn, Value *const *input, int64_t opset);
/* An activation by its operator's name; p: its parameters, in the order of that operator. "" is none. */
Value *fused_activation(Importer *c, const char *name, FloatVec p, Value *x);
Value *fused_activation_of_attributes(Importer *c, Value *x);           /* activation, activation_alpha, _beta, _gamma */
Value *channels_moved(Importer *c, Value *x, bool back);                /* [batch, spatial.., channels] -> [batch, channels, spatial..], or back */

#endif
