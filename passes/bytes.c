/* bytes.c -- see bytes.h. */
#include "bytes.h"

#include <math.h>

/* ---- constants ---- */

enum { DEEP = 16 };                 /* nodes between a constant and the place where it is wanted */

static Value *constant_within(Module *m, Value *v, int depth)
{
    if (!v || value_constant(v))
        return v;
    Node *n = v->def;
    if (!depth || !n->nin || op_has(n->op, OPF_EFFECT | OPF_REGION))
        return NULL;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].val && !constant_within(m, n->in[i].val, depth - 1))
            return NULL;
    Value *k = fold_node(m, n);
    if (k)
        value_replace(v, k);
    return k;
}

Value *bytes_constant(Module *m, Value *v)
{
    return constant_within(m, v, DEEP);
}

bool bytes_number(Module *m, Value *v, double *x)
{
    Value *k = bytes_constant(m, v);
    return k && value_scalar_f64(k, x);
}

static bool has_one_element(const Value *v)
{
    return type_is_static(&v->type) && type_count(&v->type) == 1;
}

/* ---- flipped ---- */

Value *bytes_behind_flip(const Value *v)
{
    const Node *n = v->def;
    double k;
    if (n->op != OP_bitcast || v->type.dtype != DT_i8 || n->in[0].val->def->op != OP_bit_xor)
        return NULL;
    n = n->in[0].val->def;
    return node_out(n)->type.dtype == DT_u8 && value_scalar_f64(n->in[1].val, &k) && k == 128 ? n->in[0].val : NULL;
}

Value *bytes_flipped(Builder *b, Value *u)
{
    return u ? mk_bitcast(b, IN(mk_bit_xor(b, u, mk_scalar(b, DT_u8, 128))), (Attr_bitcast){ .to = DT_i8 }) : NULL;
}

void bytes_make_unsigned(Builder *b, Bytes *x)
{
    if (x->x->type.dtype == DT_u8)
        return;
    Value *raw = mk_bitcast(b, IN(x->x), (Attr_bitcast){ .to = DT_u8 });
    x->x = mk_bit_xor(b, raw, mk_scalar(b, DT_u8, 128));
    x->zero += 128;
}

/* ---- centred, dequantised ---- */

static bool take_zero(Module *m, Value *z, Bytes *out)
{
    double k;
    if (bytes_number(m, z, &k)) {
        out->zero += (int64_t)k;
        return k == rint(k) && fabs(k) <= 1024;
    }
    if (z->def->op != OP_cast || !is_byte(z->def->in[0].val->type.dtype) || !has_one_element(z) || out->moving_zero)
        return false;
    out->moving_zero = z->def->in[0].val;
    return true;
}

bool bytes_match_centred(Module *m, Value *v, Bytes *out)
{
    const Type *t = &v->type;
    *out = (Bytes){ 0 };
    for (; v->def->op == OP_sub; v = v->def->in[0].val)
        if (!same_shape(&v->def->in[0].val->type, t) || !take_zero(m, v->def->in[1].val, out))
            return false;
    if (v->def->op != OP_cast || !is_byte(v->def->in[0].val->type.dtype))
        return false;
    out->x = v->def->in[0].val;
    Value *behind = bytes_behind_flip(out->x);
    if (behind) {
        out->x = behind;
        out->zero += 128;
    }
    return true;
}

bool bytes_match(Module *m, Value *v, Bytes *out)
{
    const Node *n = v->def;
    if (v->type.dtype == DT_i32)
        return bytes_match_centred(m, v, out);
    if (v->type.dtype != DT_f32 || n->op != OP_mul || !has_one_element(n->in[1].val) || !same_shape(&n->in[0].val->type, &v->type) ||
        !bytes_match_centred(m, n->in[0].val, out))
        return false;
    out->scale = n->in[1].val;
    return true;
}

Value *bytes_centred(Builder *b, const Bytes *x, DType t)
{
    Value *v = mk_cast_to(b, x->x, t);
    if (x->zero)
        v = mk_sub(b, v, mk_scalar(b, t, (double)x->zero));
    return x->moving_zero ? mk_sub(b, v, mk_cast_to(b, x->moving_zero, t)) : v;
}

Value *bytes_number_of(Builder *b, const Bytes *x)
{
    return x->scale ? mk_mul(b, bytes_centred(b, x, DT_f32), x->scale) : bytes_centred(b, x, DT_i32);
}

/* ---- quantised ---- */

/* Operand 0 of an `op` whose operand 1 is the number k. */
static Value *under(Module *m, Value *v, OpCode op, double k)
{
    double x;
    if (!v || v->def->op != op || !same_shape(&v->def->in[0].val->type, &v->type))
        return NULL;
    return bytes_number(m, v->def->in[1].val, &x) && x == k ? v->def->in[0].val : NULL;
}

bool bytes_match_quantised(Module *m, const Node *n, Quantised *out)
{
    DType t = n->nout ? node_out(n)->type.dtype : DT_none;
    double least = t == DT_u8 ? 0 : -128, zero = 0;
    if (n->op != OP_cast || !is_byte(t) || n->in[0].val->type.dtype != DT_f32)
        return false;
    Value *v = under(m, under(m, n->in[0].val, OP_min, least + 255), OP_max, least);
    if (!v)
        return false;
    if (v->def->op == OP_add) {
        if (!bytes_number(m, v->def->in[1].val, &zero) || zero != rint(zero) || zero < least || zero > least + 255)
            return false;
        v = v->def->in[0].val;
    }
    if (v->def->op != OP_round || !same_shape(&v->type, &node_out(n)->type))
        return false;
    *out = (Quantised){ v->def->in[0].val, (int64_t)zero, t };
    return true;
}
