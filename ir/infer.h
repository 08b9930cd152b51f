/* infer.h -- private to type inference: one InferFn per structural op, one for all elementwise ops, and what they share.
 *
 * An InferFn looks at the operand types and attributes of a node and sets n->out[i].type (and n->out[i].known where it can say what a small
 * integer result contains). A mismatch that is provable is reported as a sentence beginning with the op's name; one that is not
 * (symbolic sizes that may agree at run time) is accepted.
 */
#ifndef INGOT_INFER_H
#define INGOT_INFER_H

#include "ir.h"

typedef bool InferFn(Module *m, Node *n);

InferFn infer_elementwise;
#define OP(name, min_in, max_in, nout, flags) InferFn infer_##name;
#include "ops.def"

enum { MAX_KNOWN = 64 };            /* elements a value may have for its contents to be tracked */

/* Reports "<op>: <sentence>" at the node; always false. */
bool infer_fail(Module *m, const Node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static inline const Type *in_type(const Node *n, int i) { return &n->in[i].val->type; }
/* Operand i is there and is a tensor of known rank, at least min_rank; reports if not. */
bool infer_operand(Module *m, const Node *n, int i, int min_rank);
/* All present operands from..nin-1 have the dtype of operand `from`. */
bool infer_same_dtype(Module *m, const Node *n, int from);
bool infer_is_index(Module *m, const Node *n, int i);               /* operand i is i32 or i64 */
bool infer_axis(Module *m, const Node *n, int64_t axis, int rank);  /* 0 <= axis < rank */
bool infer_set(Module *m, Node *n, int i, DType t, int rank, const Dim *dim);
static inline void infer_copy_dims(Dim *out, const Type *t) { for (int k = 0; k < t->rank; k++) out[k] = t->dim[k]; }
bool dims_differ(Module *m, Dim a, Dim b);                          /* provably unequal; else it is assumed that they are equal */
bool infer_one_or(Module *m, Dim a, Dim b);                         /* a is 1 or b, or that is assumed; false: provably not */
Dim dims_unify(Dim a, Dim b);                                       /* of two sizes that must agree: the constant one if any */
const char *infer_dim_text(Module *m, Dim d);
bool infer_word_among(Module *m, const Node *n, const char *what, const char *word, const char *const *list);

/* Infers a nested graph whose inputs have their types. What its nodes assume is no concern of the node around it: a body may not run. */
bool infer_nested(Module *m, Graph *body);

/* Contents of small tensors, see infer_known.c. Each leaves n->out[0].known NULL when it cannot say. */
void known_set(Module *m, Node *n, int count, const Dim *elements);
void known_elementwise(Module *m, Node *n);
void known_cast(Module *m, Node *n);
void known_move(Module *m, Node *n);
void known_reduce(Module *m, Node *n);
void known_constant(Module *m, Node *n);

#endif
