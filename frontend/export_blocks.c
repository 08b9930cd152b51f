/* export_blocks.c -- weights of few bits in blocks (dequantize_blocks).
 *
 *     DequantizeLinear     whole numbers and zero points: what most have
 *     MatMulNBits          a matrix of 4 bits whose zero points are no whole numbers
 *     MatMulBnb4           a matrix of 4 bits with the levels of NF4
 *     arithmetic           the same of filters: Gather(levels, q) * scales, or DequantizeLinear(q) + shifts, with one number repeated for every element of its
 *                          block by a Gather
 *
 * Numbers of 2 bits are written in 4: ONNX has them since opset 25 only.
 */
#include <math.h>

#include "export.h"
#include "minifloat.h"

enum { MINI_LEVELS = 256 };

/* The levels are what f8e4m3 codes stand for. */
static bool is_float8(const Node *n)
{
    const FloatVec *v = &NODE_ATTR(n, dequantize_blocks)->levels;
    bool same = v->n == MINI_LEVELS;
    for (int i = 0; same && i < v->n; i++) {
        double x = (double)minifloat_to_f32(DT_f8e4m3, (uint32_t)i);
        same = isnan(x) || x == v->v[i];
    }
    return same;
}

/* A constant with its elements in another type. */
static Term retyped(Exporter *e, const Value *v, DType t, const char *name)
{
    const Tensor *k = tensor_dense(e->arena, value_constant(v));
    Tensor *to = tensor_new(e->arena, t, k->rank, k->dim);
    for (int64_t i = 0; i < k->count; i++)
        tensor_set_f64(to, i, tensor_get_f64(k, i));
    return export_tensor(e, name, to);
}

/* Bytes that are f8e4m3 already. */
static Term as_float8(Exporter *e, const Value *v)
{
    Tensor *to = arena_copy(e->arena, tensor_dense(e->arena, value_constant(v)), sizeof *to);
    to->dtype = DT_f8e4m3;
    return export_tensor(e, "codes", to);
}

static Term codes_term(Exporter *e, const Node *n, DType *t)
{
    Value *q = node_in(n, 0);
    *t = q->type.dtype == DT_i2 ? DT_i4 : q->type.dtype == DT_u2 ? DT_u4 : q->type.dtype;
    if (is_float8(n))
        return as_float8(e, q);
    return *t == q->type.dtype ? export_term(e, q) : retyped(e, q, *t, "codes");
}

/* The axis along which a factor without blocks differs; -1: none, -2: several. */
static int factor_axis(const Type *t)
{
    int axis = -1;
    for (int d = 0; d < t->rank; d++)
        if (!dim_is(t->dim[d], 1))
            axis = axis == -1 ? d : -2;
    return axis;
}

/* A scale or zero point as DequantizeLinear wants it. */
static Term linear_factor(Exporter *e, const Node *n, int i, DType type, const char *name)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(n, dequantize_blocks);
    Value *v = node_in(n, i);
    if (!v)
        return NULL;
    const Tensor *k = tensor_dense(e->arena, value_constant(v));
    int64_t count = k->count;
    Tensor *to = tensor_new(e->arena, type, a->block ? k->rank : factor_axis(&v->type) >= 0, a->block ? k->dim : &count);
    for (int64_t j = 0; j < to->count; j++)
        tensor_set_f64(to, j, tensor_get_f64(k, j));
    return export_tensor(e, name, to);
}

static bool whole_zeros(const Node *n)
{
    const Value *z = node_in(n, 2);
    return !z || dtype_is_int(z->type.dtype);
}

static Onnx__NodeProto *linear(Exporter *e, const Node *n, bool with_zero)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(n, dequantize_blocks);
    DType t;
    Term q = codes_term(e, n, &t), scale = linear_factor(e, n, 1, DT_f32, "scales");
    int axis = a->block ? (int)a->axis : factor_axis(&node_in(n, 1)->type);
    Onnx__NodeProto *p = EMIT(e, "DequantizeLinear", q, scale, with_zero ? linear_factor(e, n, 2, t, "zero_points") : NULL);
    if (axis >= 0)
        export_attr_i(e, p, "axis", axis);
    if (a->block)
        export_attr_i(e, p, "block_size", a->block);
    export_need_opset(e, 21);
    return p;
}

/* One number per block, as one per element. */
static Term spread(Exporter *e, const Node *n, Term x)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(n, dequantize_blocks);
    if (!a->block)
        return x;
    int64_t size = node_out(n)->type.dim[a->axis]->k, *block = ARENA_ARRAY(e->arena, int64_t, size + 1);
    for (int64_t i = 0; i < size; i++)
        block[i] = i / a->block;
    Onnx__NodeProto *p = EMIT(e, "Gather", x, export_ints(e, (int)size, block));
    export_attr_i(e, p, "axis", a->axis);
    return export_result(e, p);
}

/* -zero * scale */
static Term shifts(Exporter *e, const Node *n)
{
    const Tensor *s = tensor_dense(e->arena, value_constant(node_in(n, 1))), *z = tensor_dense(e->arena, value_constant(node_in(n, 2)));
    Tensor *t = tensor_new(e->arena, DT_f32, s->rank, s->dim);
    for (int64_t i = 0; i < t->count; i++)
        tensor_set_f64(t, i, -tensor_get_f64(s, i) * tensor_get_f64(z, z->count == 1 ? 0 : i));
    return export_tensor(e, "shifts", t);
}

static Term level_terms(Exporter *e, const Node *n)
{
    const FloatVec *v = &NODE_ATTR(n, dequantize_blocks)->levels;
    int64_t count = v->n;
    Tensor *t = tensor_new(e->arena, DT_f32, 1, &count);
    for (int64_t i = 0; i < count; i++)
        tensor_set_f64(t, i, v->v[i]);
    DType type;
    Term q = export_as(e, codes_term(e, n, &type), DT_i32);
    return TERM(e, "Gather", export_tensor(e, "levels", t), q);
}

static bool is_constant(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (node_in(n, i) && !value_constant(node_in(n, i)))
            return false;
    return type_is_static(&node_out(n)->type);
}

bool export_dequantize_blocks(Exporter *e, const Node *n)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(n, dequantize_blocks);
    bool levels = a->levels.n && !is_float8(n);
    if (!is_constant(n))
        return export_gap(e, n, "its codes are no constants");
    if (!a->block && (factor_axis(&node_in(n, 1)->type) == -2 || (node_in(n, 2) && factor_axis(&node_in(n, 2)->type) != factor_axis(&node_in(n, 1)->type))))
        return export_gap(e, n, "its scales differ along several axes without blocks");
    if (levels && node_in(n, 2))
        return export_gap(e, n, "it has both levels and zero points");
    if (levels)
        return export_give(e, EMIT(e, "Mul", level_terms(e, n), spread(e, n, export_term(e, node_in(n, 1)))), node_out(n));
    if (whole_zeros(n))
        return export_give(e, linear(e, n, true), node_out(n));
    Term whole = export_result(e, linear(e, n, false));
    return export_give(e, EMIT(e, "Add", whole, spread(e, n, shifts(e, n))), node_out(n));
}

/* ---- matrices ---- */

/* [k, n] in blocks of a power of two, of u4. */
static bool is_matrix_of_nibbles(const Node *product, const Node *w)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(w, dequantize_blocks);
    const Type *q = &node_in(w, 0)->type;
    return product->op == OP_matmul && is_constant(w) && q->rank == 2 && q->dtype == DT_u4 && a->block >= 16 && !(a->block & (a->block - 1)) && a->axis == 0 &&
           q->dim[0]->k % a->block == 0 && dim_is_const(q->dim[1]);
}

/* The columns one after the other, two codes to a byte. */
static Term column_nibbles(Exporter *e, const Node *w, bool high_first, int rank, const int64_t *dim)
{
    const Tensor *q = tensor_dense(e->arena, value_constant(node_in(w, 0)));
    Tensor *t = tensor_new(e->arena, DT_u8, rank, dim);
    uint8_t *to = (uint8_t *)(uintptr_t)t->data;
    const uint8_t *from = q->data;
    int64_t k = q->dim[0], n = q->dim[1];
    for (int64_t i = 0; i < k * n; i++)
        to[i / 2] |= (uint8_t)(from[i % k * n + i / k] << ((i % 2 == high_first) ? 0 : 4));
    return export_tensor(e, "codes", t);
}

/* [blocks, n] as [n * blocks] */
static Term column_factors(Exporter *e, const Value *v, const char *name)
{
    const Tensor *k = tensor_dense(e->arena, value_constant(v));
    int64_t blocks = k->dim[0], n = k->dim[1];
    Tensor *t = tensor_new(e->arena, DT_f32, 1, &k->count);
    for (int64_t i = 0; i < t->count; i++)
        tensor_set_f64(t, i, tensor_get_f64(k, i % blocks * n + i / blocks));
    return export_tensor(e, name, t);
}

static bool write_matrix(Exporter *e, const Node *n, const Match *m)
{
    const Node *w = node_in(n, 1)->def;
    const Attr_dequantize_blocks *a = NODE_ATTR(w, dequantize_blocks);
    const Type *q = &node_in(w, 0)->type;
    int64_t k = q->dim[0]->k, columns = q->dim[1]->k, nbits[] = { columns, k / a->block, a->block / 2 }, bnb4 = k * columns / 2;
    Term scales = column_factors(e, node_in(w, 1), "scales");
    Onnx__NodeProto *p;
    if (a->levels.n) {
        p = EMIT(e, "MatMulBnb4", export_term(e, m->in[0]), column_nibbles(e, w, true, 1, &bnb4), scales);
        export_attr_i(e, p, "quant_type", 1);
    } else {
        p = EMIT(e, "MatMulNBits", export_term(e, m->in[0]), column_nibbles(e, w, false, 3, nbits), scales, column_factors(e, node_in(w, 2), "zero_points"));
        export_attr_i(e, p, "bits", 4);
    }
    export_attr_i(e, p, "K", k);
    export_attr_i(e, p, "N", columns);
    export_attr_i(e, p, "block_size", a->block);
    export_domain(e, p, "com.microsoft");
    return export_give(e, p, node_out(n));
}

static bool is_nf4(const FloatVec *v)
{
    return v->n == 16 && v->v[0] == -1 && v->v[7] == 0 && v->v[15] == 1 && (float)v->v[1] == -0.6961928f && (float)v->v[14] == 0.72295684f;
}

const Match *export_match_packed(Exporter *e, const Node *n)
{
    const Node *w = node_in(n, 1)->def;
    if (w->op != OP_dequantize_blocks || !is_matrix_of_nibbles(n, w) || node_in(n, 0)->type.dtype != DT_f32)
        return NULL;
    const Attr_dequantize_blocks *a = NODE_ATTR(w, dequantize_blocks);
    if (a->levels.n ? !is_nf4(&a->levels) || node_in(w, 2) : whole_zeros(w))
        return NULL;
    Match *m = ARENA_NEW(e->arena, Match);
    *m = (Match){ .write = write_matrix, .in = { node_in(n, 0) } };
    return m;
}
