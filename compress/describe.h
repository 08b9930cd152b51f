/* describe.h -- the runtime's view of a module: its ports, and tensors as either side has them. */
#ifndef INGOT_DESCRIBE_H
#define INGOT_DESCRIBE_H

#include "ingot.h"
#include "ir.h"

/* Ports and symbols of the main graph, in m's arena; without functions. */
const ingot_model *describe_module(Module *m);
/* Convert, borrowing the data; a splat is written out in the arena. */
int32_t container_code(TypeKind kind);                              /* INGOT_SEQUENCE... */
const Tensor *tensor_of_runtime(Arena *a, const ingot_tensor *t);
ingot_tensor tensor_to_runtime(Arena *a, const Tensor *t);
/* A SamplesReadPb (samples.h): a serialised TensorProto as an input; t->data is to be freed. */
int describe_read_pb(const char *path, const ingot_port *p, ingot_tensor *t, ingot_error *err);

#endif
