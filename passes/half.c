/* half.c -- products read numbers of half precision as they lie in memory.
 *
 *   %1 = cast(%w) {to=f32}      ; %w constant, bf16               %3 = conv(%x, %w) {wide=true} : f32
 *   %2 = cast(%x) {to=f32}      ; %x bf16                  ->
 *   %3 = conv(%2, %1) : f32
 *
 * Products of small floats are exact in f32, so this changes nothing but where the numbers are converted, and it is up to the kernel how: on CPUs that
 * multiply pairs of bf16, not at all. Constant weights of f16 or bf16 stay what they are in the file. The other operand is read as bf16 if the weights
 * are, unless the machine is known to have no such instruction: it is read many times, so then it had better lie there as f32.
 *
 * Movement of bf16 numbers that have become f32 is movement of the bf16 numbers, so that casts stand right before the products.
 *
 * Needs: typed. Keeps: everything. Before `fold`, which would make f32 numbers of the weights.
 */
#include "build.h"
#include "pass_util.h"

static bool is_half(DType t)
{
    return t == DT_f16 || t == DT_bf16;
}

/* The small floats that v, of f32, is made of by a cast; NULL: it is not. */
static Value *before_cast(const Value *v)
{
    const Node *n = v->def;
    return n->op == OP_cast && v->type.dtype == DT_f32 && is_half(n->in[0].val->type.dtype) ? n->in[0].val : NULL;
}

/* The name goes on, too. */
static bool replace(Node *n, Value *v)
{
    if (v && !v->name)
        v->name = node_out(n)->name;
    return node_replace(n, v);
}

/* ---- products ---- */

/* The constant that the weights are, turned as they are. NULL: they are something else. */
static Value *half_weights(Builder *b, Value *w)
{
    const Node *turn = w->def->op == OP_transpose ? w->def : NULL;
    Value *small = before_cast(turn ? turn->in[0].val : w);
    if (!small || !value_constant(small))
        return NULL;
    return turn ? mk_transpose(b, IN(small), *NODE_ATTR(turn, transpose)) : small;
}

static Value *wide_product(Builder *b, const Node *n, Value *x, Value *w)
{
    if (n->op == OP_matmul)
        return mk_matmul(b, IN(x, w), (Attr_matmul){ .wide = true });
    Attr_conv a = *NODE_ATTR(n, conv);
    a.wide = true;
    return mk_conv(b, IN(x, w, node_in(n, 2)), a);
}

static bool take_product(Module *m, Node *n)
{
    if ((n->op != OP_conv && n->op != OP_matmul) || node_out(n)->type.dtype != DT_f32)
        return true;
    Builder b = { m, n->graph, n, n->loc };
    Value *x = n->in[0].val, *small = before_cast(x), *w = half_weights(&b, n->in[1].val);
    if (!w || !rewrite_allowed(m, "half_product", n))
        return true;
    bool pairs = !m->no_bf16 && small && small->type.dtype == DT_bf16 && w->type.dtype == DT_bf16;
    return replace(n, wide_product(&b, n, pairs ? small : x, w));
}

/* ---- movement ---- */

static bool take_movement(Module *m, Node *n)
{
    bool moves = n->op == OP_reshape || n->op == OP_transpose || n->op == OP_slice || n->op == OP_concat;
    if (!moves || m->no_bf16 || n->nin < 1 || node_out(n)->type.dtype != DT_f32)
        return true;
    Value **in = ARENA_ARRAY(m->arena, Value *, n->nin);
    for (int i = 0; i < n->nin; i++) {
        in[i] = before_cast(n->in[i].val);
        if (!in[i] || in[i]->type.dtype != DT_bf16 || value_constant(in[i]))
            return true;
    }
    if (!rewrite_allowed(m, "half_move", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    return replace(n, mk_cast_to(&b, build_op(&b, n->op, (Inputs){ n->nin, in }, n->attrs), DT_f32));
}

/* ---- the pass ---- */

static bool take_node(Module *m, Node *n)
{
    if (n->nout != 1 || !node_out(n)->uses)
        return true;
    return take_product(m, n) && (!n->graph || take_movement(m, n));        /* no graph: it is gone */
}

bool pass_half(Module *m)
{
    return module_each_node(m, take_node);
}
