/* import_quant.c -- quantised operators in exact integer and f32 arithmetic: real = (integer - zero point) * scale.
 *
 * Integer products are done in i32 on operands whose zero point was taken away; results are scaled in f32, rounded half to even and clamped.
 * A scale (or zero point) is one number, one per index of `axis`, or with block_size one per block along `axis`.
 */
#include <math.h>
#include <string.h>

#include "import_window.h"
#include "minifloat.h"

/* ---- scales and zero points ---- */

/* [.., n/block, ..] -> [.., n, ..]: every entry `block` times along axis, the last block cut at n. */
static Value *unblock(Builder *b, Value *v, int axis, int64_t block, Dim n)
{
    DimTable *t = b->m->dims;
    int rank = v ? value_rank(v) : 0;
    Dim wide[MAX_RANK + 1], flat[MAX_RANK];
    Value *y = mk_insert_axes(b, v, axis + 1, 1);
    if (!y)
        return NULL;
    for (int i = 0; i < rank + 1; i++)
        wide[i] = i == axis + 1 ? dim_const(t, block) : value_dim(y, i);
    for (int i = 0; i < rank; i++)
        flat[i] = i == axis ? dim_mulk(t, value_dim(v, i), block) : value_dim(v, i);
    y = mk_reshape_to(b, mk_expand_to(b, y, rank + 1, wide), rank, flat);
    return flat[axis] == n ? y : mk_slice_axis(b, y, axis, dim_const(t, 0), n);
}

/* v so that it broadcasts against x. */
static Value *fit_parameter(Importer *c, Value *v, const Value *x)
{
    Builder *b = &c->b;
    bool ok = true;
    if (!v || !value_rank(v))
        return v;
    if (value_rank(v) == 1 && dim_is(value_dim(v, 0), 1))
        return mk_reshape_to(b, v, 0, NULL);
    int axis = (int)import_axis(c, attr_i(c, "axis", 1), value_rank(x), &ok);
    if (!ok)
        return NULL;
    int64_t block = attr_i(c, "block_size", 0);
    if (block > 0 && value_rank(v) == value_rank(x))
        return unblock(b, v, axis, block, value_dim(x, axis));
    return value_rank(v) == 1 ? mk_align_channel(b, v, value_rank(x), axis) : v;
}

/* ---- the two conversions ---- */

static void integer_range(DType t, double *lo, double *hi)
{
    int bits = dtype_table[t].bits;
    bool is_signed = dtype_is_signed(t);
    *lo = is_signed ? -ldexp(1, bits - 1) : 0;
    *hi = ldexp(1, is_signed ? bits - 1 : bits) - 1;
}

/* x is already in units of the scale. */
static Value *round_to(Builder *b, Value *x, Value *zero, DType t, bool saturate)
{
    double lo, hi;
    if (dtype_is_float(t))
        return mk_cast(b, IN(x), (Attr_cast){ .to = t, .saturate = saturate });
    Value *y = mk_round(b, x);
    if (zero)
        y = mk_add(b, y, mk_cast_to(b, zero, DT_f32));
    integer_range(t, &lo, &hi);
    return mk_cast_to(b, mk_clip(b, y, lo, hi), t);
}

static Value *quantize(Builder *b, Value *x, Value *scale, Value *zero, DType t)
{
    return round_to(b, mk_div(b, mk_cast_to(b, x, DT_f32), mk_cast_to(b, scale, DT_f32)), zero, t, true);
}

/* x - zero point; 32-bit integers are subtracted as such, everything smaller exactly in f32. */
static Value *centred(Builder *b, Value *x, Value *zero)
{
    if (!x)
        return NULL;
    if (x->type.dtype == DT_i32 && zero)
        return mk_cast_to(b, mk_sub(b, x, zero), DT_f32);
    x = mk_cast_to(b, x, DT_f32);
    return zero && dtype_is_int(zero->type.dtype) ? mk_sub(b, x, mk_cast_to(b, zero, DT_f32)) : x;
}

static Value *dequantize(Builder *b, Value *x, Value *scale, Value *zero)
{
    return mk_mul(b, centred(b, x, zero), mk_cast_to(b, scale, DT_f32));
}

bool import_quantize_linear(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *scale = in(c, 1), *zero = in(c, 2);
    if (!x || !scale)
        return false;
    DType t = zero ? zero->type.dtype : attr_dtype(c, "output_dtype", DT_u8);
    Value *ratio = mk_div(b, mk_cast_to(b, x, DT_f32), mk_cast_to(b, fit_parameter(c, scale, x), DT_f32));
    if (dtype_table[t].cls == CLS_OTHER || dtype_table[t].cls == CLS_BOOL)
        return import_fail(c, "the result cannot be %s", dtype_name(t));
    OUT(c, round_to(b, ratio, fit_parameter(c, zero, x), t, attr_i(c, "saturate", 1)));
}

/* Codes of small floats as unsigned integers with levels, in *levels; NULL: some are NaN or infinite, or v is no such constant. */
static Value *float_codes(Importer *c, const Value *v, FloatVec *levels)
{
    const Tensor *t = value_constant(v);
    int bits = dtype_table[v->type.dtype].bits, n = 1 << bits;
    if (!t || dtype_table[v->type.dtype].cls != CLS_MINI || bits > 8)
        return NULL;
    double *level = ARENA_ARRAY(c->m->arena, double, n);
    for (int i = 0; i < n; i++)
        level[i] = (double)minifloat_to_f32(v->type.dtype, (uint32_t)i);
    for (int64_t i = 0; i < (t->splat ? 1 : t->count); i++)
        if (!isfinite(level[((const uint8_t *)t->data)[i]]))
            return NULL;
    for (int i = 0; i < n; i++)
        level[i] = isfinite(level[i]) ? level[i] : 0;
    Tensor *codes = arena_copy(c->m->arena, t, sizeof *t);
    codes->dtype = bits == 4 ? DT_u4 : DT_u8;
    *levels = (FloatVec){ n, level };
    return mk_tensor(&c->b, codes);
}

/* Weights in the file of few bits, or in blocks: they are kept as they are, and read so by the product (passes/expand.c). */
static bool is_packed_table(Importer *c)
{
    Value *x = in(c, 0), *scale = in(c, 1), *zero = in(c, 2);
    DType s = scale->type.dtype;
    bool constant = value_constant(x) && value_constant(scale) && (!zero || value_constant(zero)), few = dtype_table[x->type.dtype].bits < 8;
    bool mini = dtype_table[x->type.dtype].cls == CLS_MINI;
    few |= mini;
    return constant && (dtype_is_int(x->type.dtype) || mini) && dtype_table[x->type.dtype].bits <= 8 && (few || attr_i(c, "block_size", 0) > 0) &&
           (s == DT_f32 || s == DT_f16 || s == DT_bf16) && value_rank(x) > 0;
}

/* A scale or zero point with x's rank. */
static Value *block_parameter(Importer *c, Value *v, const Value *x, int axis)
{
    Dim dim[MAX_RANK];
    int rank = value_rank(x);
    bool one = v && (!value_rank(v) || (value_rank(v) == 1 && dim_is(value_dim(v, 0), 1)));
    if (!v || value_rank(v) == rank + !rank)
        return one ? mk_reshape_ints(&c->b, v, 1, (int64_t[]){ 1 }) : v;
    if (!one && value_rank(v) != 1) {
        import_fail(c, "a scale or zero point of rank %d for a tensor of rank %d", value_rank(v), rank);
        return NULL;
    }
    for (int i = 0; i < rank; i++)
        dim[i] = i == axis && !one ? value_dim(v, 0) : dim_const(c->m->dims, 1);
    return mk_reshape_to(&c->b, v, rank, dim);
}

static bool import_packed_table(Importer *c)
{
    Value *x = in(c, 0), *scale = in(c, 1), *zero = in(c, 2);
    bool ok = true;
    int axis = (int)import_axis(c, attr_i(c, "axis", 1), value_rank(x), &ok);
    if (!ok && value_rank(scale) == value_rank(x))
        return false;
    int64_t block = value_rank(scale) == value_rank(x) ? attr_i(c, "block_size", 0) : 0;
    Attr_dequantize_blocks a = { .axis = axis, .block = block };
    Value *codes = float_codes(c, x, &a.levels);
    if (codes || dtype_is_float(x->type.dtype))     /* the zero point of floats is 0 */
        zero = NULL;
    Value *operand[] = { codes ? codes : x, block_parameter(c, scale, x, axis), block_parameter(c, zero, x, axis) };
    Value *y = operand[1] && (operand[2] || !zero) ? mk_dequantize_blocks(&c->b, (Inputs){ zero ? 3 : 2, operand }, a) : NULL;
    OUT(c, y ? mk_cast_to(&c->b, y, attr_dtype(c, "output_dtype", scale->type.dtype)) : NULL);
}

bool import_dequantize_linear(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *scale = in(c, 1);
    if (!x || !scale)
        return false;
    if (is_packed_table(c))
        return import_packed_table(c);
    Value *y = dequantize(b, x, fit_parameter(c, scale, x), fit_parameter(c, in(c, 2), x));
    OUT(c, mk_cast_to(b, y, attr_dtype(c, "output_dtype", scale->type.dtype)));
}

/* u8 over the range of the data and zero; a range of nothing gets the scale 1. */
static Value *dynamic_quantize(Builder *b, Value *x, Value **scale_out, Value **zero_out)
{
    if (!x)
        return NULL;
    int64_t axes[MAX_RANK];
    int n = axes_from(0, value_rank(x), axes);
    Value *zero = mk_k(b, x, 0);
    Value *top = mk_max(b, zero, mk_drop_axes(b, mk_reduce_axes(b, "max", x, n, axes), n, axes));
    Value *bottom = mk_min(b, zero, mk_drop_axes(b, mk_reduce_axes(b, "min", x, n, axes), n, axes));
    Value *scale = mk_div(b, mk_sub(b, top, bottom), mk_k(b, x, 255));
    scale = mk_where(b, mk_eq(b, scale, zero), mk_k(b, x, 1), scale);
    Value *point = round_to(b, mk_neg(b, mk_div(b, bottom, scale)), NULL, DT_u8, true);
    *scale_out = scale;
    *zero_out = point;
    return quantize(b, x, scale, point, DT_u8);
}

bool import_dynamic_quantize_linear(Importer *c)
{
    Value *scale = NULL, *zero = NULL;
    return set_out(c, 0, dynamic_quantize(&c->b, in(c, 0), &scale, &zero)) && set_out(c, 1, scale) && set_out(c, 2, zero);
}

/* ---- integer products ---- */

/* x - zero point in i32. `axis`: where a zero point of rank 1 belongs. */
static Value *integer_operand(Builder *b, Value *x, Value *zero, int axis)
{
    x = mk_cast_to(b, x, DT_i32);
    if (!x || !zero)
        return x;
    if (value_rank(zero) == 1)
        zero = dim_is(value_dim(zero, 0), 1) ? mk_reshape_to(b, zero, 0, NULL) : mk_align_channel(b, zero, value_rank(x), axis);
    return mk_sub(b, x, mk_cast_to(b, zero, DT_i32));
}

static Value *integer_matmul(Importer *c, Value *x, Value *x_zero, Value *y, Value *y_zero)
{
    Builder *b = &c->b;
    if (!x || !y)
        return NULL;
    if (value_rank(x) < 2 || value_rank(y) < 2) {
        import_unsupported(c, "a vector operand");
        return NULL;
    }
    return mk_matmul(b, IN(integer_operand(b, x, x_zero, value_rank(x) - 2), integer_operand(b, y, y_zero, value_rank(y) - 1)), (Attr_matmul){ 0 });
}

bool import_matmul_integer(Importer *c)
{
    OUT(c, integer_matmul(c, in(c, 0), in(c, 2), in(c, 1), in(c, 3)));
}

bool import_conv_integer(Importer *c)
{
    Builder *b = &c->b;
    OUT(c, import_conv_of(c, integer_operand(b, in(c, 0), in(c, 2), 1), integer_operand(b, in(c, 1), in(c, 3), 0), NULL));
}

/* A scale that belongs to one axis of the rank-`rank` result, as f32. */
static Value *scale_along(Builder *b, Value *scale, int rank, int axis)
{
    scale = mk_cast_to(b, scale, DT_f32);
    if (!scale || value_rank(scale) != 1)
        return scale;
    return dim_is(value_dim(scale, 0), 1) ? mk_reshape_to(b, scale, 0, NULL) : mk_align_channel(b, scale, rank, axis);
}

/* i32 accumulators times x_scale * y_scale / result scale. */
static Value *requantize(Builder *b, Value *acc, Value *x_scale, Value *y_scale, Value *scale, Value *zero, DType t)
{
    Value *factor = mk_div(b, mk_mul(b, x_scale, y_scale), mk_cast_to(b, scale, DT_f32));
    return round_to(b, mk_mul(b, mk_cast_to(b, acc, DT_f32), factor), zero, t, true);
}

bool import_qlinear_matmul(Importer *c)
{
    Builder *b = &c->b;
    Value *acc = integer_matmul(c, in(c, 0), in(c, 2), in(c, 3), in(c, 5)), *zero = in(c, 7);
    if (!acc || !zero)
        return false;
    int rank = value_rank(acc);
    OUT(c, requantize(b, acc, scale_along(b, in(c, 1), rank, rank - 2), scale_along(b, in(c, 4), rank, rank - 1),
                      scale_along(b, in(c, 6), rank, rank - 2), fit_parameter(c, zero, acc), zero->type.dtype));
}

bool import_qlinear_conv(Importer *c)
{
    Builder *b = &c->b;
    Value *zero = in(c, 7);
    Value *acc = import_conv_of(c, integer_operand(b, in(c, 0), in(c, 2), 1), integer_operand(b, in(c, 3), in(c, 5), 0), in(c, 8));
    if (!acc || !zero)
        return false;
    int rank = value_rank(acc);
    OUT(c, requantize(b, acc, scale_along(b, in(c, 1), rank, 1), scale_along(b, in(c, 4), rank, 1), in(c, 6), fit_parameter(c, zero, acc), zero->type.dtype));
}

/* ---- com.microsoft: an operator on real numbers between dequantize and quantize ---- */

/* Quantized operand at input i: value, scale, zero point. */
static Value *real_operand(Importer *c, int i)
{
    return dequantize(&c->b, in(c, i), in(c, i + 1), in(c, i + 2));
}

/* The result under the scale at input i and the zero point behind it. */
static bool set_quantized(Importer *c, Value *y, int i)
{
    DType t = in(c, i + 1) ? in(c, i + 1)->type.dtype : in(c, 0) ? in(c, 0)->type.dtype : DT_u8;
    OUT(c, quantize(&c->b, y, in(c, i), in(c, i + 1), t));
}

bool import_qlinear_add(Importer *c)
{
    return set_quantized(c, mk_add(&c->b, real_operand(c, 0), real_operand(c, 3)), 6);
}

bool import_qlinear_mul(Importer *c)
{
    return set_quantized(c, mk_mul(&c->b, real_operand(c, 0), real_operand(c, 3)), 6);
}

bool import_qlinear_sigmoid(Importer *c)
{
    return set_quantized(c, mk_sigmoid(&c->b, real_operand(c, 0)), 3);
}

bool import_qlinear_leaky_relu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = real_operand(c, 0);
    return set_quantized(c, mk_where(b, mk_lt(b, x, mk_k(b, x, 0)), mk_scaled(b, x, attr_f(c, "alpha", (double)0.01f)), x), 3);
}

/* The channels of a channels_last operand go to axis 1, or back to the end. */
static Value *move_channels(Importer *c, Value *x, bool back)
{
    int64_t perm[MAX_RANK];
    int rank = x ? value_rank(x) : 0;
    if (!x || !attr_i(c, "channels_last", 0) || rank < 3)
        return x;
    for (int i = 0; i < rank; i++)
        perm[i] = back ? (i == 0 ? 0 : i == rank - 1 ? 1 : i + 1) : (i == 0 ? 0 : i == 1 ? rank - 1 : i - 1);
    return mk_transpose_perm(&c->b, x, perm);
}

bool import_qlinear_average_pool(Importer *c)
{
    Value *y = import_average_pool_of(c, move_channels(c, real_operand(c, 0), false));
    return y && set_quantized(c, move_channels(c, y, true), 3);
}

bool import_qlinear_global_average_pool(Importer *c)
{
    Value *x = real_operand(c, 0);
    int64_t axes[MAX_RANK];
    if (!x)
        return false;
    bool last = attr_i(c, "channels_last", 0);
    int n = last ? axes_from(1, value_rank(x) - 1, axes) : axes_from(2, value_rank(x), axes);
    return set_quantized(c, mk_mean_axes(&c->b, x, n, axes), 3);
}

/* Below opset 13, which the attribute tells, the operand is a matrix: the axes before `axis` against the rest. */
bool import_qlinear_softmax(Importer *c)
{
    Builder *b = &c->b;
    Value *x = real_operand(c, 0);
    bool ok = x != NULL;
    int rank = ok ? value_rank(x) : 0;
    int64_t axis = ok ? import_axis(c, attr_i(c, "axis", -1), rank, &ok) : 0;
    if (!ok)
        return false;
    if (attr_i(c, "opset", 13) >= 13)
        return set_quantized(c, mk_softmax(b, IN(x), (Attr_softmax){ .axis = axis }), 3);
    Dim matrix[2] = { dim_product(b, x, 0, (int)axis), dim_product(b, x, (int)axis, rank) };
    Value *y = mk_softmax(b, IN(mk_reshape_to(b, x, 2, matrix)), (Attr_softmax){ .axis = 1 });
    return set_quantized(c, mk_reshape_to(b, y, rank, x->type.dim), 3);
}

/* (scale, zero point, then x, scale, zero point of each part) */
bool import_qlinear_concat(Importer *c)
{
    int n = (in_count(c) - 2) / 3;
    if (n < 1)
        return import_fail(c, "there is nothing to concatenate");
    Value **part = ARENA_ARRAY(c->m->arena, Value *, n);
    for (int i = 0; i < n; i++)
        part[i] = real_operand(c, 2 + 3 * i);
    bool ok = part[0] != NULL;
    int64_t axis = ok ? import_axis(c, attr_i(c, "axis", 0), value_rank(part[0]), &ok) : 0;
    return ok && set_quantized(c, mk_concat(&c->b, (Inputs){ n, part }, (Attr_concat){ .axis = axis }), 0);
}

/* A' B' + bias in integers; real numbers if no result scale is given. */
bool import_qgemm(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *y = in(c, 3), *zero = in(c, 8);
    if (!x || !y)
        return false;
    Value *x_int = integer_operand(b, x, in(c, 2), 0), *y_int = integer_operand(b, y, in(c, 5), attr_i(c, "transB", 0) ? 0 : 1);
    x_int = attr_i(c, "transA", 0) ? mk_swap_last(b, x_int) : x_int;
    y_int = attr_i(c, "transB", 0) ? mk_swap_last(b, y_int) : y_int;
    Value *acc = mk_matmul(b, IN(x_int, y_int), (Attr_matmul){ 0 });
    if (in(c, 6))
        acc = mk_add(b, acc, in(c, 6));
    Value *x_scale = mk_scaled(b, scale_along(b, in(c, 1), 2, 0), attr_f(c, "alpha", 1)), *y_scale = scale_along(b, in(c, 4), 2, 1);
    if (!in(c, 7))
        OUT(c, mk_mul(b, mk_cast_to(b, acc, DT_f32), mk_mul(b, x_scale, y_scale)));
    OUT(c, requantize(b, acc, x_scale, y_scale, in(c, 7), zero, zero ? zero->type.dtype : x->type.dtype));
}

/* The integer product as real numbers, with a bias. */
bool import_matmul_integer_to_float(Importer *c)
{
    Builder *b = &c->b;
    Value *acc = integer_matmul(c, in(c, 0), in(c, 4), in(c, 1), in(c, 5));
    if (!acc)
        return false;
    int rank = value_rank(acc);
    Value *scale = mk_mul(b, scale_along(b, in(c, 2), rank, rank - 2), scale_along(b, in(c, 3), rank, rank - 1));
    Value *y = mk_mul(b, mk_cast_to(b, acc, DT_f32), scale);
    OUT(c, in(c, 6) ? mk_add(b, y, in(c, 6)) : y);
}

/* x is quantised by its own range first. */
bool import_dynamic_quantize_matmul(Importer *c)
{
    Builder *b = &c->b;
    Value *scale = NULL, *zero = NULL, *x = dynamic_quantize(b, in(c, 0), &scale, &zero), *acc = integer_matmul(c, x, zero, in(c, 1), in(c, 3));
    if (!acc)
        return false;
    Value *factor = mk_mul(b, scale, scale_along(b, in(c, 2), value_rank(acc), value_rank(acc) - 1));
    Value *y = mk_mul(b, mk_cast_to(b, acc, DT_f32), factor);
    OUT(c, in(c, 4) ? mk_add(b, y, in(c, 4)) : y);
}

bool import_qlinear_where(Importer *c)
{
    return set_quantized(c, mk_where(&c->b, in(c, 0), real_operand(c, 1), real_operand(c, 4)), 7);
}
