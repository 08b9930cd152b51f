/* widen.c -- half precision lives in memory as f32: values keep the precision of their type, but nobody converts them when they are read.
 *
 *   %2 = conv(%0, %1) : f16[N,8,9,9]              %5 = conv(%3, %4) : f32[N,8,9,9]        ; %3, %4: casts of %0, %1
 *   %3 = relu(%2)     : f16[N,8,9,9]       ->     %6 = cast(%5) {to=f16}
 *   return(%3)                                    %7 = cast(%6) {to=f32}                  ; the rounding of conv, in its epilogue
 *                                                 %8 = relu(%7)                           ; exact: it need not round
 *                                                 return(cast(%8) {to=f16})
 *
 * An op on small floats is computed in f32 and rounded once (formula.h); this says so in the graph. A matrix product reads each element many times, so
 * it must not convert when it reads; and a chain of ops that cannot leave the type's values (relu, max, movement) rounds once, not once each.
 * Arithmetic is widened, and movement of widened values. Inputs, results, constants that only movement reads, and irregular ops keep their type; so do
 * constant weights, and all that is bf16 and only moved or multiplied with such weights: those products are wide (half.c).
 *
 * Applies to f16 and bf16. Needs: typed. Keeps: everything. The casts of constants are for `fold` to remove.
 */
#include <string.h>

#include "build.h"
#include "pass_util.h"
#include "ptrmap.h"

typedef struct Widen {
    Module *m;
    Builder b;                      /* before the node at hand */
    PtrMap wide, narrow;            /* Value -> the same in f32; an f32 value that stands for a small one -> the same in its type */
} Widen;

static bool is_half(const Value *v)
{
    return v && (v->type.dtype == DT_f16 || v->type.dtype == DT_bf16);
}

/* ---- which ops ---- */

/* Gives values of the operands' type when given such, so that rounding would change nothing. */
static bool is_exact(const Node *n)
{
    static const bool exact[OP_count] = { [OP_neg] = true, [OP_abs] = true, [OP_sign] = true, [OP_floor] = true, [OP_ceil] = true, [OP_round] = true,
                                          [OP_trunc] = true, [OP_relu] = true, [OP_max] = true, [OP_min] = true, [OP_where] = true };
    if (n->op == OP_reduce)
        return !strcmp(NODE_ATTR(n, reduce)->kind, "max") || !strcmp(NODE_ATTR(n, reduce)->kind, "min");
    if (n->op == OP_pool)
        return !strcmp(NODE_ATTR(n, pool)->kind, "max");
    return exact[n->op] || op_has(n->op, OPF_MOVE | OPF_VIEW);
}

/* A product with constant weights, which stay as small as they are; bf16 is multiplied as it is (half.c). */
static bool is_wide_product(const Node *n)
{
    return (n->op == OP_conv || n->op == OP_matmul) && is_half(node_in(n, 1)) && value_constant(node_in(n, 1));
}

/* bf16 is moved as it is: half as much, and products want it so. */
static bool has_wide_operand(const Widen *w, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].val && (n->in[i].val->type.dtype != DT_bf16 || w->m->no_bf16) && ptrmap_get(&w->wide, n->in[i].val, 0))
            return true;
    return false;
}

static bool is_widened(const Widen *w, const Node *n)
{
    bool half = false;
    for (int i = 0; i < n->nin; i++)
        half |= is_half(n->in[i].val);
    if (!half || n->nout != 1)
        return false;
    switch (n->op) {
    case OP_conv: case OP_matmul: return is_half(node_out(n));        /* not: is wide already */
    case OP_conv_transpose: return true;
    case OP_reduce: case OP_arg_reduce: case OP_softmax: case OP_pool: return true;
    default: return op_has(n->op, OPF_EW) || n->op == OP_cast || (op_has(n->op, OPF_MOVE | OPF_VIEW) && has_wide_operand(w, n));
    }
}

/* ---- the two forms of a value ---- */

static Value *cast_to(Widen *w, Value *v, DType t)
{
    return mk_cast(&w->b, IN(v), (Attr_cast){ .to = t });
}

static Value *wide_of(Widen *w, Value *v)
{
    Value *x = (Value *)ptrmap_get(&w->wide, v, 0);
    if (x || !is_half(v))
        return x ? x : v;
    x = cast_to(w, v, DT_f32);
    *ptrmap_at(&w->wide, v) = (uintptr_t)x;
    if (x)
        *ptrmap_at(&w->narrow, x) = (uintptr_t)v;
    return x;
}

/* The small form of what v, a value of the graph as it was, has become. */
static Value *narrow_of(Widen *w, Value *v)
{
    Value *x = (Value *)ptrmap_get(&w->wide, v, 0);
    if (!x)
        return v;
    Value *small = (Value *)ptrmap_get(&w->narrow, x, 0);
    if (!small) {
        small = cast_to(w, x, v->type.dtype);
        *ptrmap_at(&w->narrow, x) = (uintptr_t)small;
    }
    return small;
}

/* ---- the graph ---- */

/* x, computed in f32, as the value of its type that it stands for. */
static Value *rounded(Widen *w, Value *x, DType t)
{
    Value *small = x ? cast_to(w, x, t) : NULL, *wide = small ? cast_to(w, small, DT_f32) : NULL;
    if (wide)
        *ptrmap_at(&w->narrow, wide) = (uintptr_t)small;
    return wide;
}

/* Weights, and operands of bf16, are read as they are. */
static Value *wide_product(Widen *w, const Node *n)
{
    Value *x = n->in[0].val;
    x = x->type.dtype == DT_bf16 && !w->m->no_bf16 ? narrow_of(w, x) : wide_of(w, x);
    if (n->op == OP_matmul)
        return mk_matmul(&w->b, IN(x, n->in[1].val), (Attr_matmul){ .wide = true });
    Attr_conv a = *NODE_ATTR(n, conv);
    a.wide = true;
    return mk_conv(&w->b, IN(x, n->in[1].val, node_in(n, 2) ? wide_of(w, n->in[2].val) : NULL), a);
}

static bool widen_node(Widen *w, Node *n)
{
    Value **in = ARENA_ARRAY(w->m->arena, Value *, n->nin + 1), *old = node_out(n), *x;
    for (int i = 0; i < n->nin && !is_wide_product(n); i++)
        if (n->in[i].val && !(in[i] = wide_of(w, n->in[i].val)))
            return false;
    bool to_half = is_half(old);
    if (n->op == OP_cast && to_half)
        x = in[0];                                  /* from one small type to another, or to itself */
    else if (n->op == OP_cast && old->type.dtype == DT_f32)
        x = in[0];
    else if (is_wide_product(n))
        x = wide_product(w, n);
    else
        x = build_op(&w->b, n->op, (Inputs){ n->nin, in }, n->attrs);
    if (to_half && (!is_exact(n) || n->op == OP_cast))
        x = rounded(w, x, old->type.dtype);
    if (!x)
        return false;
    if (to_half)
        *ptrmap_at(&w->wide, old) = (uintptr_t)x;
    else
        value_replace(old, x);
    return true;
}

static bool keep_node(Widen *w, Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        Value *v = n->in[i].val, *small = is_half(v) ? narrow_of(w, v) : v;
        if (v && !small)
            return false;
        if (small != v)
            node_set_input(n, i, small);
    }
    return true;
}

static bool widen_graph(Module *m, Graph *g)
{
    Arena *notes = arena_new();
    Widen w = { m, { m, g, NULL, { 0 } }, ptrmap_new(notes), ptrmap_new(notes) };
    bool ok = true;
    for (Node *n = g->first, *next; ok && n; n = next) {
        next = n->next;
        w.b.before = n;
        w.b.loc = n->loc;
        Graph *body[MAX_BODIES];
        for (int i = 0, count = node_bodies(n, body); ok && i < count; i++)
            ok = widen_graph(m, body[i]);
        ok = ok && (is_widened(&w, n) && rewrite_allowed(m, "widen", n) ? widen_node(&w, n) : keep_node(&w, n));
    }
    arena_free(notes);
    return ok;
}

bool pass_widen(Module *m)
{
    return widen_graph(m, m->graph);
}
