/* pass_util.h -- private to the passes: the functions of passes.def, and questions about nodes that several passes ask. */
#ifndef INGOT_PASS_UTIL_H
#define INGOT_PASS_UTIL_H

#include "pass.h"

#define PASS(name, needs, keeps, gives, summary) bool pass_##name(Module *m);
#include "passes.def"

/* The result element is a function of the operand elements at the same (broadcast) index: EW ops, cast, bitcast. */
static inline bool op_is_elementwise(OpCode op)
{
    return (op_table[op].flags & OPF_EW) || op == OP_cast || op == OP_bitcast;
}

static inline bool op_has(OpCode op, unsigned flag) { return (op_table[op].flags & flag) != 0; }

bool op_commutes(OpCode op);
bool same_shape(const Type *a, const Type *b);                      /* rank and dims; element types may differ */
/* Calls `see` on every graph nested directly in a node. */
void node_regions(const Node *n, void (*see)(void *ctx, Graph *g), void *ctx);
/* The graphs that a control flow node (if, loop) runs; 0 for any other node, `fused` included. */
enum { MAX_BODIES = 2 };
int node_bodies(const Node *n, Graph *body[MAX_BODIES]);
/* Calls `take` on every node of the main graph and of the graphs that control flow runs, these before the node that runs them; it may erase its node and what only
 * that used. False as soon as it returns false. */
bool module_each_node(Module *m, bool (*take)(Module *m, Node *n));
int graph_count_nodes(const Graph *g);                              /* nested graphs included */

/* The constant that the node's only result is, made before the node, or NULL: not constant, or not worth it (fold.c). The node stays as it is. */
Value *fold_node(Module *m, Node *n);
bool fold_and_erase(Module *m, Node *n);                            /* its uses become uses of that constant */
/* Erase a node and what only it used, as far as nothing has effects. */
void node_erase_dead(Node *n);
/* `by` takes the place of the node's only result, and the node is erased like that. False: by is NULL. */
bool node_replace(Node *n, Value *by);

#endif
