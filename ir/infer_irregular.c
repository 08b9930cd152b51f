/* infer_irregular.c -- inference for the ops that call kernels: prefix sums, selection, resampling, random numbers, Fourier transforms. */
#include "infer.h"

#include <string.h>

static bool is_number(DType t)
{
    return dtype_is_float(t) || dtype_is_int(t);
}

bool infer_cumulate(Module *m, Node *n)
{
    static const char *const kinds[] = { "sum", "prod", NULL };
    const Attr_cumulate *a = NODE_ATTR(n, cumulate);
    if (!infer_operand(m, n, 0, 1) || !infer_axis(m, n, a->axis, in_type(n, 0)->rank) || !infer_word_among(m, n, "kind", a->kind, kinds))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    return infer_set(m, n, 0, x->dtype, x->rank, x->dim);
}

bool infer_topk(Module *m, Node *n)
{
    const Attr_topk *a = NODE_ATTR(n, topk);
    if (!infer_operand(m, n, 0, 1) || !infer_axis(m, n, a->axis, in_type(n, 0)->rank))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    if (a->k.n != 1)
        return infer_fail(m, n, "k has %d elements, one is needed", a->k.n);
    Dim k = a->k.v[0], size = x->dim[a->axis];
    if (dim_is_const(k) && dim_is_const(size) && k->k > size->k)
        return infer_fail(m, n, "k is %lld but axis %lld has only %lld elements", (long long)k->k, (long long)a->axis, (long long)size->k);
    Dim out[MAX_RANK];
    infer_copy_dims(out, x);
    out[a->axis] = k;
    return infer_set(m, n, 0, x->dtype, x->rank, out) && infer_set(m, n, 1, DT_i64, x->rank, out);
}

bool infer_nonzero(Module *m, Node *n)
{
    const DimVec *count = &NODE_ATTR(n, nonzero)->count;
    if (!infer_operand(m, n, 0, 1))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype) && x->dtype != DT_bool)
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    if (count->n != 1 || count->v[0]->op != DIM_SYM)
        return infer_fail(m, n, "count must be one symbol");
    return infer_set(m, n, 0, DT_i64, 2, (Dim[]){ dim_const(m->dims, x->rank), count->v[0] });
}

/* Sizes are size * scale, rounded one way or the other. */
static bool scale_fits(Module *m, const Node *n, int k)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    double scale = a->scales.v[k];
    Dim in = in_type(n, 0)->dim[k], out = a->shape.v[k];
    bool sane = scale > 1e-7 && scale < 1e7;
    if (sane && dim_is_const(in) && dim_is_const(out))
        sane = (double)in->k * scale < (double)out->k + 1.001 && (double)in->k * scale > (double)out->k - 1.001;
    return sane || infer_fail(m, n, "scale %g of axis %d does not lead from size %s to %s", scale, k, infer_dim_text(m, in), infer_dim_text(m, out));
}

bool infer_resize(Module *m, Node *n)
{
    static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
    static const char *const coords[] = { "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric",
                                          "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL };
    static const char *const nearests[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL };
    const Attr_resize *a = NODE_ATTR(n, resize);
    if (!infer_operand(m, n, 0, 1) || !infer_word_among(m, n, "mode", a->mode, modes) || !infer_word_among(m, n, "coord", a->coord, coords))
        return false;
    const Type *x = in_type(n, 0);
    if (!strcmp(a->mode, "nearest") && !infer_word_among(m, n, "nearest", a->nearest, nearests))
        return false;
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    if (a->shape.n != x->rank || (a->scales.n && a->scales.n != x->rank))
        return infer_fail(m, n, "%d sizes and %d scales are given, the operand has rank %d", a->shape.n, a->scales.n, x->rank);
    if (!strcmp(a->coord, "tf_crop_and_resize") && !node_in(n, 2) && a->roi.n != 2 * x->rank)
        return infer_fail(m, n, "tf_crop_and_resize needs a roi of %d numbers, %d are given", 2 * x->rank, a->roi.n);
    for (int i = 1; i < n->nin; i++)
        if (node_in(n, i) && (!infer_operand(m, n, i, 1) || dims_differ(m, type_count_dim(m, in_type(n, i)), dim_const(m->dims, i * x->rank))))
            return infer_fail(m, n, "%s must have %d elements", i == 1 ? "scales" : "roi", i * x->rank);
    for (int k = 0; k < a->scales.n && !node_in(n, 1); k++)
        if (!scale_fits(m, n, k))
            return false;
    return infer_set(m, n, 0, x->dtype, x->rank, a->shape.v);
}

bool infer_random(Module *m, Node *n)
{
    static const char *const kinds[] = { "counter", "mt19937", NULL };
    const Attr_random *a = NODE_ATTR(n, random);
    return infer_word_among(m, n, "kind", a->kind, kinds) && infer_set(m, n, 0, DT_f64, a->shape.n, a->shape.v);
}

bool infer_fft(Module *m, Node *n)
{
    if (!infer_operand(m, n, 0, 2) || !infer_operand(m, n, 1, 2))
        return false;
    const Type *x = in_type(n, 0), *table = in_type(n, 1);
    if ((x->dtype != DT_f32 && x->dtype != DT_f64) || table->dtype != x->dtype)
        return infer_fail(m, n, "of %s with a table of %s is not supported", dtype_name(x->dtype), dtype_name(table->dtype));
    Dim parts = x->dim[x->rank - 1], length = x->dim[x->rank - 2], two = dim_const(m->dims, 2), out[MAX_RANK];
    if (!dim_is(parts, 1) && !dim_is(parts, 2))
        return infer_fail(m, n, "the last axis has %s elements, 1 (real) or 2 (complex) are needed", dim_print(m->dims, m->arena, parts));
    if (table->rank != 2 || dims_differ(m, table->dim[0], length) || dims_differ(m, table->dim[1], two))
        return infer_fail(m, n, "the table is %s, not [%s,2]", type_print(m, m->arena, table), dim_print(m->dims, m->arena, length));
    infer_copy_dims(out, x);
    out[x->rank - 1] = two;
    return infer_set(m, n, 0, x->dtype, x->rank, out);
}

bool infer_inverse(Module *m, Node *n)
{
    if (!infer_operand(m, n, 0, 2))
        return false;
    const Type *x = in_type(n, 0);
    if (!dtype_is_float(x->dtype) || dims_differ(m, x->dim[x->rank - 1], x->dim[x->rank - 2]))
        return infer_fail(m, n, "operand 0 is %s, square matrices of floats are needed", type_print(m, m->arena, x));
    return infer_set(m, n, 0, x->dtype, x->rank, x->dim);
}

/* ---- weights in blocks ---- */

static bool is_code(DType t)
{
    return (dtype_is_int(t) || dtype_is_float(t)) && dtype_table[t].bits <= 8;
}

static bool is_block_factor(DType t)
{
    return t == DT_f32 || t == DT_f16 || t == DT_bf16;
}

/* Operand i gives each element of q one number, see ops.def. */
static bool fits_blocks(Module *m, const Node *n, int i)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(n, dequantize_blocks);
    const Type *q = in_type(n, 0), *s = in_type(n, i);
    if (s->rank != q->rank)
        return infer_fail(m, n, "operand %d has rank %d, the codes have rank %d", i, s->rank, q->rank);
    for (int d = 0; d < q->rank; d++) {
        Dim want = a->block && d == a->axis ? dim_ceil_div(m->dims, q->dim[d], dim_const(m->dims, a->block)) : q->dim[d];
        bool one = (!a->block || d != a->axis) && dim_is(s->dim[d], 1);
        if (!one && dims_differ(m, s->dim[d], want))
            return infer_fail(m, n, "operand %d has size %s along axis %d, %s is needed", i, infer_dim_text(m, s->dim[d]), d, infer_dim_text(m, want));
    }
    return true;
}

bool infer_dequantize_blocks(Module *m, Node *n)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(n, dequantize_blocks);
    if (!infer_operand(m, n, 0, 0) || !infer_operand(m, n, 1, 0) || (node_in(n, 2) && !infer_operand(m, n, 2, 0)))
        return false;
    const Type *q = in_type(n, 0);
    DType scale = in_type(n, 1)->dtype, zero = node_in(n, 2) ? in_type(n, 2)->dtype : scale;
    if (a->block < 0 || (a->block && !infer_axis(m, n, a->axis, q->rank)))
        return a->block < 0 ? infer_fail(m, n, "blocks of %lld elements", (long long)a->block) : false;
    if (!is_code(q->dtype) || !is_block_factor(scale) || (!is_block_factor(zero) && !is_code(zero)))
        return infer_fail(m, n, "of %s with scales of %s and zero points of %s is not supported", dtype_name(q->dtype), dtype_name(scale), dtype_name(zero));
    if (a->levels.n && (dtype_is_float(q->dtype) || dtype_is_signed(q->dtype) || a->levels.n != 1 << dtype_table[q->dtype].bits))
        return infer_fail(m, n, "%d levels for codes of %s", a->levels.n, dtype_name(q->dtype));
    if (!fits_blocks(m, n, 1) || (node_in(n, 2) && !fits_blocks(m, n, 2)))
        return false;
    return infer_set(m, n, 0, DT_f32, q->rank, q->dim);
}
