/* eval.h -- the evaluator: the reference meaning of every core op, in plain C on the host. Used for constant folding, `--eval`, and as the
 * oracle that compiled code is tested against. Structural ops have eval_<op> in eval_*.c; elementwise ops run their Formula; KERNEL ops call k_<op>.
 */
#ifndef INGOT_EVAL_H
#define INGOT_EVAL_H

#include "ir.h"

typedef struct EvalEnv {
    Arena *arena;                   /* results are allocated here */
    Module *m;
    int64_t *syms;                  /* value of each Dim symbol; bind and data-sized ops write it. dim_symbol_count entries */
    Arena *scratch;                 /* for one node while it runs; eval_node makes its own */
} EvalEnv;

/* A sequence, optional or map is a tensor of bytes that holds an ingot_tensor; this one is zeroed. */
Tensor *eval_container(Arena *a);

/* One node: in[i] dense tensors (NULL: absent operand), out[i] set on success. Reports run-time errors (index out of range) through m->diag. */
bool eval_node(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out);
/* A whole graph: inputs in order; outputs as graph_return lists them. Frees intermediate memory as it goes. */
bool eval_graph(EvalEnv *e, const Graph *g, int nin, const Tensor *const *in, const Tensor **out);
/* The main graph of a module: derives symbols from the input shapes (checking dtype, rank, sizes) first. */
bool eval_module(Module *m, Arena *a, int nin, const Tensor *const *in, const Tensor **out);

#endif
