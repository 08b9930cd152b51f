/* fold.c -- constant folding: nodes whose operands are constant are run by the evaluator, once, here.
 *
 *   %1 = constant() {value=f32[2] [1, 2]}
 *   %2 = exp(%1)                                  ->   %2 = constant() {value=f32[2] [2.718..., 7.389...]}
 *   %3 = from_dims() {dims=[3,4]} : i64[2]        ->   %3 = constant() {value=i64[2] [3, 4]}
 *   %4 = if(true, %x) {then_graph=..., ...}       ->   the nodes of then_graph
 *
 * Also folded: integer tensors whose contents inference knows as numbers, whatever computes them. Data is not made larger for it: a splat stays
 * a splat (an elementwise op on splats is run on one element), and a result that is much larger than its operands is left to run time. An
 * evaluation that fails (an index out of range) is left to run time too, where it may never happen. So are weights of few bits: expand.c says when.
 *
 * Needs: typed. Keeps: everything; nested graphs of `if` and `loop` are folded too.
 */
#include <string.h>

#include "attrs.h"
#include "build.h"
#include "eval.h"
#include "pass_util.h"

enum { SMALL_BYTES = 1 << 20, GROWTH = 4 };

/* ---- which nodes ---- */

static bool dims_are_numbers(const Node *n)
{
    FOR_EACH_ATTR(f, n->op) {
        const DimVec *v = attr_at(f, n->attrs);
        for (int i = 0; f->kind == AK_dims && i < v->n; i++)
            if (!dim_is_const(v->v[i]))
                return false;
    }
    return type_is_static(&node_out(n)->type);
}

static bool can_run(const Node *n)
{
    if (n->nout != 1 || n->op == OP_constant || op_has(n->op, OPF_EFFECT | OPF_REGION | OPF_SIZES) || !dims_are_numbers(n))
        return false;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].val && !value_constant(n->in[i].val))
            return false;
    return true;
}

/* Bytes stored now, and bytes as the evaluator wants them. */
static bool worth_the_memory(const Node *n)
{
    size_t stored = 0, dense = 0, made = (size_t)type_count(&node_out(n)->type) * (size_t)dtype_bytes(node_out(n)->type.dtype);
    for (int i = 0; i < n->nin; i++) {
        const Tensor *t = value_constant(n->in[i].val);
        stored += t ? tensor_bytes(t) : 0;
        dense += t ? (size_t)t->count * (size_t)dtype_bytes(t->dtype) : 0;
    }
    return (made <= SMALL_BYTES || made <= GROWTH * stored) && (dense <= SMALL_BYTES || dense <= GROWTH * stored);
}

/* ---- results ---- */

static void shape_ints(const Type *t, int64_t *dim)
{
    for (int i = 0; i < t->rank; i++)
        dim[i] = t->dim[i]->k;
}

static bool all_known(const Value *v)
{
    for (int i = 0; v->known && i < v->known->n; i++)
        if (!dim_is_const(v->known->v[i]))
            return false;
    return v->known != NULL;
}

static const Tensor *tensor_of_known(Module *m, const Value *v)
{
    int64_t dim[MAX_RANK];
    shape_ints(&v->type, dim);
    Tensor *t = tensor_new(m->arena, v->type.dtype, v->type.rank, dim);
    char *to = (char *)(uintptr_t)t->data;
    int bytes = dtype_bytes(t->dtype);
    for (int i = 0; i < v->known->n; i++)           /* little-endian: the low bytes come first */
        memcpy(to + (size_t)i * (size_t)bytes, &v->known->v[i]->k, (size_t)bytes);
    return t;
}

/* The same data under the result's shape; of a splat, under any shape. */
static const Tensor *reshaped(Module *m, const Node *n)
{
    const Tensor *x = n->nin ? value_constant(n->in[0].val) : NULL;
    bool moves_only = n->op == OP_reshape || (x && x->splat && (n->op == OP_transpose || n->op == OP_slice || n->op == OP_expand)) ||
                      (x && x->count == 1 && n->op == OP_expand);
    if (!x || !moves_only)
        return NULL;
    int64_t dim[MAX_RANK];
    shape_ints(&node_out(n)->type, dim);
    Tensor *t = arena_copy(m->arena, x, sizeof *x);
    t->rank = node_out(n)->type.rank;
    t->dim = arena_copy(m->arena, dim, sizeof *dim * (size_t)t->rank);
    t->count = type_count(&node_out(n)->type);
    t->splat = x->splat || (x->count == 1 && t->count != 1);
    return t;
}

/* A matrix of 4-byte elements, transposed tile by tile: weights are large, and the evaluator's way through them misses the cache at every element. */
static const Tensor *turned(Module *m, const Node *n)
{
    enum { TILE = 32 };
    const Tensor *x = n->op == OP_transpose ? value_constant(n->in[0].val) : NULL;
    if (!x || x->splat || x->rank != 2 || dtype_bytes(x->dtype) != 4 || !NODE_ATTR(n, transpose)->perm.v[0])
        return NULL;
    int64_t rows = x->dim[0], cols = x->dim[1];
    Tensor *t = tensor_new(m->arena, x->dtype, 2, (int64_t[]){ cols, rows });
    char *to = (char *)(uintptr_t)t->data;
    for (int64_t r0 = 0; r0 < rows; r0 += TILE)
        for (int64_t c0 = 0; c0 < cols; c0 += TILE)
            for (int64_t c = c0; c < c0 + TILE && c < cols; c++)
                for (int64_t r = r0; r < r0 + TILE && r < rows; r++)
                    memcpy(to + 4 * (c * rows + r), (const char *)x->data + 4 * (r * cols + c), 4);
    return t;
}

static const Tensor *run(Module *m, const Node *n, const Tensor *const *in)
{
    const Tensor *out = NULL;
    Arena *quiet = arena_new();
    Diag *said = m->diag, mute;
    diag_init(&mute, quiet, NULL);
    m->diag = &mute;
    EvalEnv env = { .arena = m->arena, .m = m };
    bool ok = eval_node(&env, n, in, &out) && !mute.errors;
    m->diag = said;
    arena_free(quiet);
    return ok ? out : NULL;
}

/* An elementwise op on operands that are all one element repeated: run it on that element. */
static const Tensor *run_on_splats(Module *m, const Node *n)
{
    Graph *g = graph_new(m, NULL);
    Builder b = { .m = m, .g = g, .loc = n->loc };
    Value *x[3];
    const Tensor *one[3];
    int64_t dim[MAX_RANK];
    if (!op_is_elementwise(n->op))
        return NULL;
    for (int i = 0; i < n->nin; i++) {
        const Tensor *t = value_constant(n->in[i].val);
        if (!t->count || (t->count > 1 && !t->splat))
            return NULL;
        one[i] = tensor_splat(m->arena, t->dtype, 0, NULL, t->data);
        one[i] = tensor_dense(m->arena, one[i]);
        x[i] = mk_tensor(&b, one[i]);
    }
    Node *scalar = node_new(g, NULL, n->op, n->nin, x, n->attrs, -1, n->loc);
    const Tensor *r = scalar ? run(m, scalar, one) : NULL;
    shape_ints(&node_out(n)->type, dim);
    return r ? tensor_splat(m->arena, r->dtype, node_out(n)->type.rank, dim, r->data) : NULL;
}

/* A uniform result is kept as a splat. */
static const Tensor *compact(Module *m, const Tensor *t)
{
    size_t size = (size_t)dtype_bytes(t->dtype), bytes = tensor_bytes(t);
    if (t->splat || t->count < 2 || memcmp(t->data, (const char *)t->data + size, bytes - size) != 0)
        return t;
    return tensor_splat(m->arena, t->dtype, t->rank, t->dim, t->data);
}

static const Tensor *evaluate(Module *m, const Node *n)
{
    if (!can_run(n))
        return NULL;
    const Tensor *t = reshaped(m, n);
    if (!t && node_out(n)->type.dtype != DT_str && type_count(&node_out(n)->type) > 1)
        t = run_on_splats(m, n);
    if (t || !worth_the_memory(n) || (t = turned(m, n)))
        return t;
    const Tensor **in = ARENA_ARRAY(m->arena, const Tensor *, n->nin + 1);
    for (int i = 0; i < n->nin; i++)
        in[i] = n->in[i].val ? tensor_dense(m->arena, value_constant(n->in[i].val)) : NULL;
    t = run(m, n, in);
    return t ? compact(m, t) : NULL;
}

Value *fold_node(Module *m, Node *n)
{
    if (n->op == OP_constant || n->nout != 1 || op_has(n->op, OPF_EFFECT | OPF_REGION))
        return NULL;
    const Tensor *t = all_known(node_out(n)) ? tensor_of_known(m, node_out(n)) : evaluate(m, n);
    if (!t || !rewrite_allowed(m, "fold", n))
        return NULL;
    Node *k = node_new(n->graph, n, OP_constant, 0, NULL, &(Attr_constant){ .value = t }, -1, n->loc);
    return k ? node_out(k) : NULL;
}

bool fold_and_erase(Module *m, Node *n)
{
    Value *k = fold_node(m, n);
    if (!k)
        return false;
    value_replace(node_out(n), k);
    node_erase_dead(n);
    return true;
}

/* ---- if ---- */

/* The nodes of a branch take the place of the `if`. */
static bool inline_branch(Module *m, Node *n)
{
    const Tensor *c = value_constant(n->in[0].val);
    if (!c || c->count != 1 || !rewrite_allowed(m, "fold_if", n))
        return false;
    Graph *body = tensor_get_i64(c, 0) ? NODE_ATTR(n, if)->then_graph : NODE_ATTR(n, if)->else_graph;
    graph_renumber(body);
    uint32_t nvalues = 1;
    FOR_EACH_NODE(k, body)
        for (int i = 0; i < k->nout; i++)
            nvalues = k->out[i].id >= nvalues ? k->out[i].id + 1 : nvalues;
    Value **copy = ARENA_ARRAY(m->arena, Value *, nvalues);
    FOR_EACH_NODE(k, body) {
        Value **in = ARENA_ARRAY(m->arena, Value *, k->nin + 1);
        for (int i = 0; i < k->nin; i++)
            in[i] = k->in[i].val ? copy[k->in[i].val->id] : NULL;
        if (k->op == OP_input)
            copy[node_out(k)->id] = n->in[1 + NODE_ATTR(k, input)->index].val;
        else if (k->op == OP_return)
            for (int i = 0; i < k->nin; i++)
                value_replace(&n->out[i], in[i]);
        else {
            Node *moved = node_clone(n->graph, n, k, in);
            for (int i = 0; i < k->nout; i++)
                copy[k->out[i].id] = &moved->out[i];
        }
    }
    return true;
}

/* A body sees the constants it is given, but for those that are only where the states of a loop begin. */
static void sink_constants(Node *n, Graph *body)
{
    int64_t first = n->op == OP_loop ? 1 + NODE_ATTR(n, loop)->states : 0;
    FOR_EACH_NODE_SAFE(k, body) {
        if (k->op != OP_input || !node_out(k)->uses || NODE_ATTR(k, input)->index < first)
            continue;
        Value *given = n->in[op_table[n->op].min_in + NODE_ATTR(k, input)->index].val;
        if (value_constant(given))
            value_replace(node_out(k), node_out(node_clone(body, k->next, given->def, NULL)));
    }
}

/* ---- the pass ---- */

static void fold_graph(Module *m, Graph *g)
{
    FOR_EACH_NODE_SAFE(n, g) {
        Graph *body[MAX_BODIES];
        int bodies = node_bodies(n, body);
        for (int i = 0; i < bodies; i++) {
            sink_constants(n, body[i]);
            fold_graph(m, body[i]);
        }
        if (n->op == OP_if && inline_branch(m, n)) {
            node_erase_dead(n);
            graph_infer(g);             /* contents that only one branch has are known from here on */
        } else if (n->nout == 1 && node_out(n)->uses && n->op != OP_dequantize_blocks) {
            fold_and_erase(m, n);
        }
    }
}

bool pass_fold(Module *m)
{
    fold_graph(m, m->graph);
    return true;
}
