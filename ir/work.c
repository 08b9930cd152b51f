/* work.c -- see work.h. One function per family of operators gives its arithmetic; traffic is the same for all: each operand is read once, each
 * result written once. Operators that pick elements by index read as much as they write, however large the table.
 */
#include "work.h"

#include <string.h>

#include "formula.h"
#include "strbuf.h"

static Dim count(Module *m, const Value *v)
{
    return type_count_dim(m, &v->type);
}

static Dim zero(Module *m)
{
    return dim_const(m->dims, 0);
}

/* ---- arithmetic ---- */

/* Multiply-adds of a filter per position of v: its elements per channel along which the sum does not run. */
static Dim work_filter(Module *m, const Node *n, const Value *v)
{
    const Value *w = node_in(n, 1);
    Dim per = dim_div(m->dims, count(m, w), w->type.dim[0]);
    return dim_mulk(m->dims, dim_mul(m->dims, count(m, v), per), 2);
}

static Dim work_conv(Module *m, const Node *n)
{
    return work_filter(m, n, node_out(n));
}

static Dim work_conv_transpose(Module *m, const Node *n)
{
    return work_filter(m, n, node_in(n, 0));
}

static Dim work_matmul(Module *m, const Node *n)
{
    const Type *a = &node_in(n, 0)->type;
    return dim_mulk(m->dims, dim_mul(m->dims, count(m, node_out(n)), a->dim[a->rank - 1]), 2);
}

/* Products with R, for every step and sequence. */
static Dim work_recurrent(Module *m, const Node *n)
{
    return dim_mul(m->dims, count(m, node_in(n, 0)), dim_mulk(m->dims, node_in(n, 1)->type.dim[1], 2));
}

static Dim work_input(Module *m, const Node *n)
{
    return count(m, node_in(n, 0));
}

static Dim work_pool(Module *m, const Node *n)
{
    const Attr_pool *a = NODE_ATTR(n, pool);
    int64_t window = 1;
    for (int i = 0; i < a->kernel.n; i++)
        window *= a->kernel.v[i];
    return dim_mulk(m->dims, count(m, node_out(n)), window);
}

/* Largest, difference, exponential, sum, quotient. */
static Dim work_softmax(Module *m, const Node *n)
{
    FRec *r = frec_new(m->arena);
    DType t = formula_compute_type(node_out(n)->type.dtype);
    Formula f = frec_finish(r, f_exp(r, frec_arg(r, 0, t)));
    return dim_mulk(m->dims, count(m, node_out(n)), f.n + 4);
}

static Dim work_elementwise(Module *m, const Node *n)
{
    Formula f = formula_of(m->arena, n);
    int primitives = 0;
    for (int i = 0; i < f.n; i++)
        primitives += f.inst[i].op != S_arg && f.inst[i].op != S_const;
    return dim_mulk(m->dims, count(m, node_out(n)), primitives);
}

typedef Dim WorkFn(Module *m, const Node *n);
static WorkFn *const work_table[OP_count] = {
    [OP_conv] = work_conv, [OP_conv_transpose] = work_conv_transpose, [OP_matmul] = work_matmul, [OP_recurrent] = work_recurrent,
    [OP_reduce] = work_input, [OP_arg_reduce] = work_input, [OP_pool] = work_pool, [OP_softmax] = work_softmax,
};

static Dim flops_of(Module *m, const Node *n)
{
    if (n->op == OP_fused) {
        Dim sum = zero(m);
        FOR_EACH_NODE(inner, NODE_ATTR(n, fused)->body)
            sum = dim_add(m->dims, sum, flops_of(m, inner));
        return sum;
    }
    if (work_table[n->op])
        return work_table[n->op](m, n);
    return op_table[n->op].flags & OPF_EW ? work_elementwise(m, n) : zero(m);
}

/* ---- traffic ---- */

static bool picks_elements(OpCode op)
{
    return op == OP_gather || op == OP_gather_elements || op == OP_gather_nd;
}

static bool read_before(const Node *n, int i)
{
    for (int k = 0; k < i; k++)
        if (node_in(n, k) == node_in(n, i))
            return true;
    return false;
}

static void add_operand(Module *m, NodeWork *w, const Node *n, int i)
{
    const Value *v = node_in(n, i);
    double uniform;
    if (!v || v->type.kind != TY_TENSOR || read_before(n, i) || value_scalar_f64(v, &uniform))
        return;
    Dim bytes = type_bytes_dim(m, picks_elements(n->op) && i == 0 ? &node_out(n)->type : &v->type);
    int bits = dtype_table[v->type.dtype].bits;
    if (n->op == OP_fused && value_constant(v) && bits < 8)     /* weights of few bits are packed there */
        bytes = dim_ceil_div(m->dims, bytes, dim_const(m->dims, 8 / bits));
    Dim *to = value_constant(v) ? &w->weight_bytes : &w->data_bytes;
    *to = dim_add(m->dims, *to, bytes);
}

NodeWork node_work(Module *m, const Node *n)
{
    NodeWork w = { flops_of(m, n), zero(m), zero(m) };
    for (int i = 0; i < n->nin; i++)
        add_operand(m, &w, n, i);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].type.kind == TY_TENSOR)
            w.data_bytes = dim_add(m->dims, w.data_bytes, type_bytes_dim(m, &n->out[i].type));
    return w;
}

/* ---- names ---- */

/* "conv", "conv(F4)": by Winograd's method with tiles of 4 x 4. */
static const char *op_text(Arena *a, const Node *n)
{
    const IntVec *w = n->op == OP_conv ? &NODE_ATTR(n, conv)->winograd : NULL;
    return w && w->n ? arena_printf(a, "conv(F%lld)", (long long)w->v[0]) : op_name(n->op);
}

const char *node_ops(Arena *a, const Node *n)
{
    if (n->op != OP_fused)
        return op_text(a, n);
    StrBuf s = strbuf_new(a);
    FOR_EACH_NODE(inner, NODE_ATTR(n, fused)->body)
        if (inner->op != OP_input && inner->op != OP_constant && inner->op != OP_return)
            strbuf_printf(&s, "%s%s", s.len ? "+" : "", op_text(a, inner));
    return s.len ? s.text : op_name(n->op);
}
