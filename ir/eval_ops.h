/* eval_ops.h -- private to the evaluator: one EvalFn per structural op, eval_elementwise for all elementwise ops, cast and bitcast.
 *
 * An EvalFn gets dense operands and makes its results with eval_result, whose dtype and shape come from the node's inferred type. The loops
 * are plain: they define what an op means. Floats are accumulated in double in the order the loops are written.
 */
#ifndef INGOT_EVAL_OPS_H
#define INGOT_EVAL_OPS_H

#include "eval.h"

typedef bool EvalFn(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out);

EvalFn eval_elementwise, eval_kernel;
#define OP(name, min_in, max_in, nout, flags) EvalFn eval_##name;
#include "ops.def"

/* Reports "<op>: <sentence>" at the node; always false. */
bool eval_fail(EvalEnv *e, const Node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A zeroed tensor of the type of result i, its dims evaluated; NULL after reporting when a dim is negative or the tensor is too large. */
Tensor *eval_result(EvalEnv *e, const Node *n, int i);
static inline void *eval_data(const Tensor *t) { return (void *)(uintptr_t)t->data; }

/* out[i0,i1...] = data[sum of ik * stride[k]] over dim[0..rank), elements of `size` bytes; a stride counts elements and may be 0 or negative. */
void eval_copy_strided(void *out, const void *data, int rank, const int64_t *dim, const int64_t *stride, size_t size);
void eval_strides(int rank, const int64_t *dim, int64_t *stride);       /* contiguous, row-major */

#endif
