/* export_match.c -- patterns of core ops that ONNX says in one operator: quantisation, and products of integers.
 *
 *     DequantizeLinear      mul(sub(cast(q), zero), scale)                           mul(cast(q), scale) without a zero point
 *     QuantizeLinear        cast(min(max(add(round(div(x, scale)), zero), lo), hi))  without `add`: zero point 0; without `div`: scale 1
 *                           also of constants of i32: biases
 *     Clip                  min(max(x, lo), hi), min(relu(x), hi)
 *     GlobalAveragePool     mul(reduce sum of all spatial axes, 1 / elements), or a division; of other axes: ReduceMean
 *     ConvInteger           conv of sub(cast(q), zero), in i32
 *     MatMulInteger         matmul of the same
 *
 * Scales and zero points are one number, or one for every index of one axis. A pattern is found from its last node; what else it consists of is written
 * only if something outside wants it. What does not fit is written op by op, which means the same.
 */
#include <math.h>
#include <string.h>

#include "export.h"

/* ---- parameters: scales and zero points ---- */

static bool is_integer_of_a_file(DType t)
{
    return dtype_is_int(t) && dtype_table[t].bits <= 16;
}

static bool has_shape(const Type *t, const Type *like)
{
    bool same = t->rank == like->rank;
    for (int i = 0; same && i < t->rank; i++)
        same = t->dim[i] == like->dim[i];
    return same;
}

/* Whether v, broadcast against a tensor of type x, is one number (*axis is -1) or one per index of *axis. */
static bool parameter_axis(const Value *v, const Type *x, int64_t *axis)
{
    int found = -1, shift = x->rank - v->type.rank;
    if (shift < 0)
        return false;
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dim[i], 1)) {
            if (found >= 0 || v->type.dim[i] != x->dim[shift + i])
                return false;
            found = shift + i;
        }
    *axis = found;
    return true;
}

/* The two parameters must speak of one axis; -1 goes with any. */
static bool axes_agree(const Value *scale, const Value *zero, const Type *x, int64_t *axis)
{
    int64_t a = -1, b = -1;
    if ((scale && !parameter_axis(scale, x, &a)) || (zero && !parameter_axis(zero, x, &b)) || (a >= 0 && b >= 0 && a != b))
        return false;
    *axis = a >= 0 ? a : b;
    return true;
}

/* Of a zero point in another type: the integer it was cast from, or itself if constant. NULL: it is neither. */
static Value *zero_behind(Value *v, DType t)
{
    const Node *d = v->def;
    if (d->op == OP_cast && node_in(d, 0)->type.dtype == t)
        return node_in(d, 0);
    const Tensor *k = value_constant(v);
    if (!k)
        return NULL;
    int bits = dtype_table[t].bits;
    double least = dtype_is_signed(t) ? -ldexp(1, bits - 1) : 0, most = least + ldexp(1, bits) - 1;
    for (int64_t i = 0; i < (k->splat ? 1 : k->count); i++) {
        double x = tensor_get_f64(k, i);
        if (x != rint(x) || x < least || x > most)
            return NULL;
    }
    return v;
}

/* v converted to t, as [n] along an axis or as a scalar. count: of the axis; 0: a scalar. */
static Tensor *parameter_tensor(Exporter *e, const Tensor *k, DType t, int64_t count)
{
    Tensor *p = tensor_new(e->arena, t, count ? 1 : 0, &count);
    for (int64_t i = 0; i < p->count; i++)
        tensor_set_f64(p, i, tensor_get_f64(k, k->splat || k->count == 1 ? 0 : i));
    return p;
}

static const char *name_or(const Value *v, const char *otherwise)
{
    return v && v->name && v->name[0] ? v->name : otherwise;
}

/* A parameter as QuantizeLinear wants it: rank 0, or rank 1 along `axis` of x. v NULL: the number `otherwise`. */
static Term parameter_term(Exporter *e, Value *v, double otherwise, DType t, const Type *x, int64_t axis, const char *name)
{
    Dim size = axis >= 0 ? x->dim[axis] : NULL;
    const Tensor *k = v ? value_constant(v) : NULL;
    if (!v && !size)
        return export_scalar(e, t, otherwise);
    if (!v) {
        Tensor *one = tensor_new(e->arena, t, 0, NULL);
        tensor_set_f64(one, 0, otherwise);
        k = one;
    }
    if (k && k->dtype == t && k->rank == (size ? 1 : 0) && v)
        return export_term(e, v);
    if (k)
        return export_tensor(e, name_or(v, name), parameter_tensor(e, k, t, size ? size->k : 0));
    Term y = v->type.dtype == t ? export_term(e, v) : export_as(e, export_term(e, v), t);
    if (v->type.rank != (size ? 1 : 0))
        y = export_reshape_term(e, y, size ? 1 : 0, (int64_t[]){ -1 });
    return y;
}

static bool fits_file(const Value *scale, const Type *x, int64_t axis)
{
    return axis < 0 || (dim_is_const(x->dim[axis]) && (!scale || value_constant(scale) || scale->type.rank > 0));
}

static Match *match_new(Exporter *e, Match m)
{
    Match *k = ARENA_NEW(e->arena, Match);
    *k = m;
    return k;
}

/* ---- DequantizeLinear ---- */

static bool write_linear(Exporter *e, const char *op, const Node *n, const Match *k, DType zero_type)
{
    const Type *x = &k->in[0]->type;
    Term scale = parameter_term(e, k->in[1], 1, DT_f32, x, k->axis, "scale");
    Term zero = x->dtype == DT_i32 ? NULL : parameter_term(e, k->in[2], 0, zero_type, x, k->axis, "zero_point");
    Onnx__NodeProto *p = EMIT(e, op, export_term(e, k->in[0]), scale, zero);
    if (k->axis >= 0)
        export_attr_i(e, p, "axis", k->axis);
    return export_give(e, p, node_out(n));
}

static bool write_dequantize(Exporter *e, const Node *n, const Match *k)
{
    return write_linear(e, "DequantizeLinear", n, k, k->in[0]->type.dtype);
}

static const Match *dequantize_with(Exporter *e, const Node *n, Value *centred, Value *scale)
{
    Match k = { .write = write_dequantize, .in = { NULL, scale, NULL } };
    const Node *d = centred->def;
    if (d->op == OP_sub && has_shape(&node_in(d, 0)->type, &centred->type)) {
        k.in[2] = node_in(d, 1);
        d = node_in(d, 0)->def;
    }
    if (d->op != OP_cast || node_out(d)->type.dtype != DT_f32 || scale->type.dtype != DT_f32)
        return NULL;
    k.in[0] = node_in(d, 0);
    const Type *x = &k.in[0]->type;
    bool bias = x->dtype == DT_i32 && value_constant(k.in[0]) && !k.in[2];
    if ((!is_integer_of_a_file(x->dtype) && !bias) || !has_shape(x, &node_out(n)->type) || (k.in[0]->def->op == OP_input && !k.in[2]))
        return NULL;
    if (k.in[2] && !(k.in[2] = zero_behind(k.in[2], x->dtype)))
        return NULL;
    return axes_agree(scale, k.in[2], x, &k.axis) && fits_file(scale, x, k.axis) ? match_new(e, k) : NULL;
}

static const Match *match_dequantize(Exporter *e, const Node *n)
{
    const Match *k = dequantize_with(e, n, node_in(n, 0), node_in(n, 1));
    return k ? k : dequantize_with(e, n, node_in(n, 1), node_in(n, 0));
}

/* ---- QuantizeLinear ---- */

static bool write_quantize(Exporter *e, const Node *n, const Match *k)
{
    return write_linear(e, "QuantizeLinear", n, k, node_out(n)->type.dtype);
}

/* Operand 0 of v, if v is an `op` whose operand 1 is the number x. */
static Value *under(const Value *v, OpCode op, double x)
{
    double k;
    bool is = v && v->def->op == op && has_shape(&node_in(v->def, 0)->type, &v->type) && value_scalar_f64(node_in(v->def, 1), &k) && k == x;
    return is ? node_in(v->def, 0) : NULL;
}

static const Match *match_quantize(Exporter *e, const Node *n)
{
    DType t = node_out(n)->type.dtype;
    if (!is_integer_of_a_file(t) || node_in(n, 0)->type.dtype != DT_f32)
        return NULL;
    double least = dtype_is_signed(t) ? -ldexp(1, dtype_table[t].bits - 1) : 0, most = least + ldexp(1, dtype_table[t].bits) - 1;
    Value *v = under(under(node_in(n, 0), OP_min, most), OP_max, least);
    if (!v)
        return NULL;
    Match k = { .write = write_quantize };
    if (v->def->op == OP_add && has_shape(&node_in(v->def, 0)->type, &v->type)) {
        k.in[2] = zero_behind(node_in(v->def, 1), t);
        if (!k.in[2])
            return NULL;
        v = node_in(v->def, 0);
    }
    if (v->def->op != OP_round)
        return NULL;
    v = node_in(v->def, 0);
    if (v->def->op == OP_div && has_shape(&node_in(v->def, 0)->type, &v->type) && node_in(v->def, 1)->type.dtype == DT_f32) {
        k.in[1] = node_in(v->def, 1);
        v = node_in(v->def, 0);
    }
    k.in[0] = v;
    if (!has_shape(&v->type, &node_out(n)->type) || !axes_agree(k.in[1], k.in[2], &v->type, &k.axis) || !fits_file(k.in[1], &v->type, k.axis))
        return NULL;
    return match_new(e, k);
}

/* ---- Clip ---- */

static bool write_clip(Exporter *e, const Node *n, const Match *k)
{
    DType t = node_out(n)->type.dtype;
    double lo = 0, hi;
    value_scalar_f64(node_in(n, 1), &hi);
    if (node_in(n, 0)->def->op == OP_max)
        value_scalar_f64(node_in(node_in(n, 0)->def, 1), &lo);
    return export_give(e, EMIT(e, "Clip", export_term(e, k->in[0]), export_scalar(e, t, lo), export_scalar(e, t, hi)), node_out(n));
}

static const Match *match_clip(Exporter *e, const Node *n)
{
    const Node *d = node_in(n, 0)->def;
    double lo = 0, hi;
    bool limited = d->op == OP_relu || (d->op == OP_max && value_scalar_f64(node_in(d, 1), &lo));
    if (!limited || !value_scalar_f64(node_in(n, 1), &hi) || !(lo <= hi) || node_out(n)->type.dtype != DT_f32)
        return NULL;
    if (!has_shape(&node_in(d, 0)->type, &node_out(n)->type))
        return NULL;
    return match_new(e, (Match){ .write = write_clip, .in = { node_in(d, 0) } });
}

/* ---- means ---- */

static bool write_mean(Exporter *e, const Node *n, const Match *k)
{
    const IntVec *axes = &NODE_ATTR(node_in(n, 0)->def, reduce)->axes;
    const Type *x = &k->in[0]->type;
    if (x->rank > 2 && axes->n == x->rank - 2 && axes->v[0] == 2)
        return export_give(e, EMIT(e, "GlobalAveragePool", export_term(e, k->in[0])), node_out(n));
    Tensor *t = tensor_new(e->arena, DT_i64, 1, (int64_t[]){ axes->n });
    for (int i = 0; i < axes->n; i++)
        tensor_set_f64(t, i, (double)axes->v[i]);
    return export_give(e, EMIT(e, "ReduceMean", export_term(e, k->in[0]), export_tensor(e, "axes", t)), node_out(n));
}

/* A sum times the reciprocal of, or divided by, the number of its elements. */
static const Match *match_mean(Exporter *e, const Node *n)
{
    const Node *d = node_in(n, 0)->def;
    double factor, elements = 1;
    if (d->op != OP_reduce || strcmp(NODE_ATTR(d, reduce)->kind, "sum") || !value_scalar_f64(node_in(n, 1), &factor) || node_out(n)->type.dtype != DT_f32 ||
        !has_shape(&node_out(d)->type, &node_out(n)->type))
        return NULL;
    const IntVec *axes = &NODE_ATTR(d, reduce)->axes;
    for (int i = 0; i < axes->n; i++) {
        Dim size = node_in(d, 0)->type.dim[axes->v[i]];
        elements *= dim_is_const(size) ? (double)size->k : 0;
    }
    double share = n->op == OP_div ? 1 / factor : factor;
    if (!(elements > 0) || !(fabs(share * elements - 1) < 1e-6))
        return NULL;
    return match_new(e, (Match){ .write = write_mean, .in = { node_in(d, 0) } });
}

static const Match *match_mul(Exporter *e, const Node *n)
{
    const Match *k = match_dequantize(e, n);
    return k ? k : match_mean(e, n);
}

/* ---- products of integers ---- */

typedef struct Centred {
    Value *q, *zero;                /* zero NULL: 0 */
} Centred;

static bool is_byte(DType t) { return t == DT_u8 || t == DT_i8; }

/* An i32 operand as a byte less a zero point, or a constant of bytes. */
static bool match_centred(Value *v, Centred *c)
{
    const Node *d = v->def;
    *c = (Centred){ NULL, NULL };
    if (d->op == OP_sub && has_shape(&node_in(d, 0)->type, &v->type)) {
        c->zero = node_in(d, 1);
        d = node_in(d, 0)->def;
    }
    if (d->op == OP_cast && is_byte(node_in(d, 0)->type.dtype)) {
        c->q = node_in(d, 0);
        return !c->zero || (c->zero = zero_behind(c->zero, c->q->type.dtype));
    }
    c->zero = NULL;
    c->q = v;
    return zero_behind(v, DT_i8) == v || zero_behind(v, DT_u8) == v;
}

static Term byte_term(Exporter *e, const Centred *c, DType *t)
{
    const Tensor *k = value_constant(c->q);
    *t = c->q->type.dtype;
    if (is_byte(*t) || !k)
        return export_term(e, c->q);
    *t = zero_behind(c->q, DT_i8) ? DT_i8 : DT_u8;
    Tensor *bytes = tensor_new(e->arena, *t, k->rank, k->dim);
    for (int64_t i = 0; i < k->count; i++)
        tensor_set_f64(bytes, i, tensor_get_f64(k, k->splat ? 0 : i));
    return export_tensor(e, name_or(c->q, "weights"), bytes);
}

static bool write_integers(Exporter *e, const Node *n, const Match *k)
{
    Centred x = { k->in[0], k->in[1] }, w = { k->in[2], k->in[3] };
    DType xt, wt;
    Term a = byte_term(e, &x, &xt), b = byte_term(e, &w, &wt);
    Term x_zero = x.zero ? parameter_term(e, x.zero, 0, xt, &x.q->type, -1, "zero_point") : NULL;
    Term w_zero = w.zero ? parameter_term(e, w.zero, 0, wt, &w.q->type, k->axis, "zero_point") : NULL;
    if (n->op == OP_conv)
        return export_conv_terms(e, n, a, b, x_zero, w_zero);
    return export_give(e, EMIT(e, "MatMulInteger", a, b, x_zero, w_zero), node_out(n));
}

/* The weights' zero point may be one for every output. */
static const Match *match_integers(Exporter *e, const Node *n)
{
    Centred x, w;
    int64_t axis = -1;
    bool conv = n->op == OP_conv;
    if (node_in(n, 0)->type.dtype != DT_i32 || !match_centred(node_in(n, 0), &x) || !match_centred(node_in(n, 1), &w) || !is_byte(x.q->type.dtype))
        return NULL;
    if (x.zero && (!parameter_axis(x.zero, &x.q->type, &axis) || axis >= 0))
        return NULL;
    if (w.zero && (!parameter_axis(w.zero, &w.q->type, &axis) || (axis >= 0 && axis != (conv ? 0 : w.q->type.rank - 1))))
        return NULL;
    return match_new(e, (Match){ .write = write_integers, .in = { x.q, x.zero, w.q, w.zero }, .axis = axis });
}

static const Match *match_matmul(Exporter *e, const Node *n)
{
    const Match *k = export_match_packed(e, n);
    return k ? k : match_integers(e, n);
}

const Match *export_find(Exporter *e, const Node *n)
{
    switch (n->op) {
    case OP_cast: return match_quantize(e, n);
    case OP_mul: return match_mul(e, n);
    case OP_div: return match_mean(e, n);
    case OP_min: return match_clip(e, n);
    case OP_matmul: return match_matmul(e, n);
    case OP_conv: return match_integers(e, n);
    case OP_recurrent: return export_match_recurrent(e, n);
    default: return NULL;
    }
}
