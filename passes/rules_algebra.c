/* rules_algebra.c -- rewrite rules about elementwise ops: identities, constants, cheaper forms. The notation is in rules.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pass_util.h"
#include "rules.h"

static bool is_float(const Match *x)
{
    return dtype_is_float(node_out(x->root)->type.dtype);
}

static bool is_int(const Match *x)
{
    return dtype_is_int(node_out(x->root)->type.dtype);
}

/* ---- division ---- */

/* x / k is x * (1/k), bit for bit, when k and 1/k are powers of two that the type can hold. */
static Value *build_reciprocal(Match *x)
{
    double k;
    int exponent;
    DType t = node_out(x->root)->type.dtype;
    if (!dtype_is_float(t) || !value_scalar_f64(match_value(x, "k"), &k) || frexp(fabs(k), &exponent) != 0.5 || abs(exponent) > 14)
        return NULL;
    if (dtype_table[t].bits < 16)
        return NULL;                            /* 8-bit floats hold few powers */
    return mk_mul(&x->b, match_value(x, "x"), mk_scalar(&x->b, t, 1 / k));
}

/* With fast arithmetic one reciprocal serves all that share the divisor; it is off by one more rounding. */
static Value *build_shared_reciprocal(Match *x)
{
    Value *y = match_value(x, "y");
    const Type *t = &node_out(x->root)->type;
    bool shared = y->type.rank < t->rank;
    for (int d = 0; !shared && d < t->rank; d++)
        shared = dim_is(y->type.dim[d], 1) && dim_is_const(t->dim[d]) && !dim_is(t->dim[d], 1);
    if (!x->m->fast_math || t->dtype != DT_f32 || !shared)
        return NULL;
    return mk_mul(&x->b, match_value(x, "x"), mk_div(&x->b, mk_scalar(&x->b, DT_f32, 1), y));
}

/* ---- powers ---- */

/* Provably >= +0 or NaN; looks a few nodes back. */
static bool is_never_negative(const Value *v, int depth)
{
    double k;
    const Node *n = v->def;
    if (!depth)
        return false;
    if (value_scalar_f64(v, &k))
        return k > 0;
    switch (n->op) {
    case OP_abs: case OP_exp: case OP_relu: case OP_sigmoid: case OP_softmax:
        return true;
    case OP_mul:
        if (n->in[0].val == n->in[1].val)
            return true;
        return is_never_negative(n->in[0].val, depth - 1) && is_never_negative(n->in[1].val, depth - 1);
    case OP_add: case OP_div: case OP_min:
        return is_never_negative(n->in[0].val, depth - 1) && is_never_negative(n->in[1].val, depth - 1);
    case OP_max:
        return is_never_negative(n->in[0].val, depth - 1) || is_never_negative(n->in[1].val, depth - 1);
    case OP_reduce:
        return is_never_negative(n->in[0].val, depth - 1);
    case OP_expand: case OP_reshape: case OP_transpose: case OP_slice:
        return is_never_negative(n->in[0].val, depth - 1);
    default:
        return false;
    }
}

/* pow(-0, 0.5) is +0 and pow(-inf, 0.5) is +inf, sqrt says -0 and NaN: only where neither can come. */
static bool base_is_never_negative(const Match *x)
{
    return is_float(x) && is_never_negative(match_value(x, "x"), 8);
}

/* ---- products of constants ---- */

/* The product of the constants must not leave the range where x * a would have stayed in it. */
static bool product_is_tame(const Match *x)
{
    double a, b;
    if (!is_float(x))
        return true;
    return value_scalar_f64(match_value(x, "a"), &a) && value_scalar_f64(match_value(x, "b"), &b) && fabs(a) >= 1e-3 && fabs(a) <= 1e3 &&
           fabs(b) >= 1e-3 && fabs(b) <= 1e3;
}

/* ---- conversions ---- */

static int mantissa_bits(DType t)
{
    return t == DT_f64 ? 53 : t == DT_f32 ? 24 : t == DT_f16 ? 11 : t == DT_bf16 ? 8 : 0;
}

/* Every value of `from` is a value of `to`, and converting there and on is converting once. */
static bool holds_all(DType from, DType to)
{
    const DTypeInfo *f = &dtype_table[from], *t = &dtype_table[to];
    if (from == to || f->cls == CLS_BOOL)
        return t->cls != CLS_OTHER;
    if (dtype_is_int(from) && dtype_is_int(to))
        return t->cls == f->cls ? t->bits >= f->bits : f->cls == CLS_UINT && t->bits > f->bits;
    if (dtype_is_int(from))
        return f->bits <= mantissa_bits(to);
    if (f->cls == CLS_MINI)
        return to == DT_f32 || to == DT_f64;
    return from == DT_f32 && to == DT_f64;
}

static Value *build_one_cast(Match *x)
{
    Value *v = match_value(x, "x");
    const Attr_cast *a = NODE_ATTR(match_node(x, "outer"), cast);
    DType middle = node_out(match_node(x, "inner"))->type.dtype;
    if (!holds_all(v->type.dtype, middle) || middle == DT_bool)
        return NULL;
    return v->type.dtype == a->to ? v : mk_cast(&x->b, IN(v), *a);
}

/* ---- operands ---- */

/* The same node with operand i replaced. */
static Value *with_operand(Match *x, int i, Value *v)
{
    Value *in[3];
    Node *n = x->root;
    for (int k = 0; k < n->nin; k++)
        in[k] = k == i ? v : n->in[k].val;
    return build_op(&x->b, n->op, (Inputs){ n->nin, in }, n->attrs);
}

static bool keeps_shape_without(const Match *x, int i)
{
    const Type *types[3], scalar = { .kind = TY_TENSOR, .rank = 0 };
    Dim out[MAX_RANK];
    for (int k = 0; k < x->root->nin; k++)
        types[k] = k == i ? &scalar : &x->root->in[k].val->type;
    const Type *r = &node_out(x->root)->type;
    if (dims_broadcast(x->m, x->root->loc, types, x->root->nin, out) != r->rank)
        return false;
    return !r->rank || !memcmp(out, r->dim, sizeof *out * (size_t)r->rank);
}

/* A constant that repeats one number becomes that number, rank 0: code generation keeps it in a register. */
static Value *build_scalar_operand(Match *x)
{
    double k;
    for (int i = 0; i < x->root->nin && x->root->nin > 1; i++) {
        Value *v = x->root->in[i].val;
        const Tensor *t = value_constant(v);
        if (!t || !t->rank || !value_scalar_f64(v, &k) || !keeps_shape_without(x, i))
            continue;
        return with_operand(x, i, mk_tensor(&x->b, tensor_dense(x->m->arena, tensor_splat(x->m->arena, t->dtype, 0, NULL, t->data))));
    }
    return NULL;
}

/* Elementwise ops broadcast by themselves. The driver's type check says whether the result needs the expand. */
static Value *build_without_expand(Match *x)
{
    for (int i = 0; i < x->root->nin; i++) {
        const Node *e = x->root->in[i].val->def;
        Value *r = e->op == OP_expand ? with_operand(x, i, e->in[0].val) : NULL;
        if (r && type_equal(&r->type, &node_out(x->root)->type))
            return r;
    }
    return NULL;
}

const Rule rules_algebra[] = {
    { .name = "add_zero", .pattern = "add(?x, 0)", .replacement = "?x" },
    { .name = "sub_zero", .pattern = "sub(?x, 0)", .replacement = "?x" },
    { .name = "mul_one", .pattern = "mul(?x, 1)", .replacement = "?x" },
    { .name = "div_one", .pattern = "div(?x, 1)", .replacement = "?x" },
    { .name = "div_power_of_two", .pattern = "div(?x, $k)", .build = build_reciprocal },
    { .name = "fast_reciprocal", .pattern = "div(?x, ?y)", .build = build_shared_reciprocal },
    { .name = "add_neg", .pattern = "add(?x, neg(?y))", .replacement = "sub(?x, ?y)" },
    { .name = "sub_neg", .pattern = "sub(?x, neg(?y))", .replacement = "add(?x, ?y)" },
    { .name = "sub_constant", .pattern = "sub(?x, $k)", .replacement = "add(?x, neg($k))", .when = is_float },
    { .name = "add_add", .pattern = "add(add!(?x, $a), $b)", .replacement = "add(?x, add($a, $b))", .when = is_int },
    { .name = "mul_mul", .pattern = "mul(mul!(?x, $a), $b)", .replacement = "mul(?x, mul($a, $b))", .when = product_is_tame },
    { .name = "neg_neg", .pattern = "neg(neg(?x))", .replacement = "?x" },
    { .name = "abs_abs", .pattern = "abs(abs(?x))", .replacement = "abs(?x)" },
    { .name = "abs_neg", .pattern = "abs(neg(?x))", .replacement = "abs(?x)" },
    { .name = "not_not", .pattern = "not(not(?x))", .replacement = "?x" },
    { .name = "not_eq", .pattern = "not(eq!(?x, ?y))", .replacement = "ne(?x, ?y)" },
    { .name = "not_ne", .pattern = "not(ne!(?x, ?y))", .replacement = "eq(?x, ?y)" },
    { .name = "and_true", .pattern = "and(?x, 1)", .replacement = "?x" },
    { .name = "or_false", .pattern = "or(?x, 0)", .replacement = "?x" },
    { .name = "relu_relu", .pattern = "relu(relu(?x))", .replacement = "relu(?x)" },
    { .name = "max_zero", .pattern = "max(?x, 0)", .replacement = "relu(?x)" },
    { .name = "max_max", .pattern = "max(max!(?x, $a), $b)", .replacement = "max(?x, max($a, $b))" },
    { .name = "min_min", .pattern = "min(min!(?x, $a), $b)", .replacement = "min(?x, min($a, $b))" },
    { .name = "where_true", .pattern = "where(1, ?x, ?y)", .replacement = "?x" },
    { .name = "where_false", .pattern = "where(0, ?x, ?y)", .replacement = "?y" },
    { .name = "where_same", .pattern = "where(?c, ?x, ?x)", .replacement = "?x" },
    { .name = "pow_one", .pattern = "pow(?x, 1)", .replacement = "?x" },
    { .name = "pow_two", .pattern = "pow(?x, 2)", .replacement = "mul(?x, ?x)" },
    { .name = "pow_three", .pattern = "pow(?x, 3)", .replacement = "mul(mul(?x, ?x), ?x)" },
    { .name = "pow_minus_one", .pattern = "pow(?x, -1)", .replacement = "div(1, ?x)", .when = is_float },
    { .name = "pow_half", .pattern = "pow(?x, 0.5)", .replacement = "sqrt(?x)", .when = base_is_never_negative },
    { .name = "pow_minus_half", .pattern = "pow(?x, -0.5)", .replacement = "div(1, sqrt(?x))", .when = base_is_never_negative },
    { .name = "cast_same", .pattern = "cast(?x)", .replacement = "?x" },
    { .name = "cast_cast", .pattern = "cast:outer(cast:inner(?x))", .build = build_one_cast },
    { .name = "scalar_operand", .pattern = "ew(...)", .build = build_scalar_operand },
    { .name = "broadcast_operand", .pattern = "ew(...)", .build = build_without_expand },
    { .name = NULL },
};
