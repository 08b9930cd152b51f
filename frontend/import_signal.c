/* import_signal.c -- window functions, DFT, STFT, MelWeightMatrix.
 *
 * A Fourier transform is the core op fft with its table of roots, which folds to a constant where the length is one.
 */
#include <math.h>

#include "import_parts.h"

static const double PI = 3.14159265358979323846;

/* ---- windows: a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n) ---- */

/* n is the size, or with periodic=0 one less. */
static bool import_cosine_window(Importer *c, double a0, double a1, double a2)
{
    Builder *b = &c->b;
    DimVec size;
    if (!in_dims(c, 0, &size))
        return false;
    if (size.n != 1)
        return import_fail(c, "the size has %d elements, one is needed", size.n);
    Dim n = size.v[0], period = attr_i(c, "periodic", 1) ? n : dim_max(c->m->dims, dim_addk(c->m->dims, n, -1), dim_one(b));
    Value *angle = mk_div(b, mk_scaled(b, mk_iota_n(b, DT_f64, n), 2 * PI), mk_dim_scalar(b, period, DT_f64));
    Value *y = mk_shifted(b, mk_scaled(b, mk_cos(b, angle), -a1), a0);
    if (a2 != 0)
        y = mk_add(b, y, mk_scaled(b, mk_cos(b, mk_scaled(b, angle, 2)), a2));
    OUT(c, mk_cast_to(b, y, attr_dtype(c, "output_datatype", DT_f32)));
}

bool import_hann_window(Importer *c)
{
    return import_cosine_window(c, 0.5, 0.5, 0);
}

bool import_hamming_window(Importer *c)
{
    return import_cosine_window(c, 25.0 / 46, 21.0 / 46, 0);
}

bool import_blackman_window(Importer *c)
{
    return import_cosine_window(c, 0.42, 0.5, 0.08);
}

/* ---- Fourier transforms ---- */

/* [n, 2]: cosine and sine of 2 pi k / n */
static Value *root_table(Builder *b, Dim n, DType t)
{
    Value *k = mk_insert_axes(b, mk_iota_n(b, DT_f64, n), 1, 1), *angle = mk_div(b, mk_scaled(b, k, 2 * PI), mk_dim_scalar(b, n, DT_f64));
    return mk_cast_to(b, mk_concat2(b, mk_cos(b, angle), mk_sin(b, angle), 1), t);
}

/* x [.., n, 1 or 2] -> [.., n, 2]; small floats are transformed in f32. */
static Value *transformed(Builder *b, Value *x, bool inverse)
{
    if (!x)
        return NULL;
    DType t = wide_float(x->type.dtype);
    Value *y = mk_fft(b, IN(mk_cast_to(b, x, t), root_table(b, value_dim(x, value_rank(x) - 2), t)), (Attr_fft){ .inverse = inverse });
    return mk_cast_to(b, y, x->type.dtype);
}

/* All n coefficients of a real signal from the first half: those behind are conjugates of those before the middle. x [.., half, 2] */
static Value *both_halves(Builder *b, Value *x, Dim half, Dim n)
{
    if (!x)
        return NULL;
    Value *k = mk_iota_n(b, DT_i64, n), *behind = mk_le(b, mk_dim_scalar(b, half, DT_i64), k);
    Value *at = mk_where(b, behind, mk_sub(b, mk_dim_scalar(b, n, DT_i64), k), k);
    Value *conjugate = mk_floats(b, x->type.dtype, (FloatVec){ 2, (double[]){ 1, -1 } });
    Value *sign = mk_where(b, mk_insert_axes(b, behind, 1, 1), conjugate, mk_k(b, x, 1));
    return mk_mul(b, mk_gather(b, IN(x, at), (Attr_gather){ .axis = value_rank(x) - 2 }), sign);
}

static bool check_parts(Importer *c, const Value *x)
{
    Dim parts = value_dim(x, value_rank(x) - 1);
    return dim_is(parts, 1) || dim_is(parts, 2) ||
           import_fail(c, "the last axis has %s elements, 1 (real) or 2 (complex) are needed", dim_print(c->m->dims, c->m->arena, parts));
}

/* The operand seen as [outer, size, inner, 1 or 2] around the transformed axis, which may be a matter of data. */
typedef struct Around {
    Dim outer, size, inner;
    int axis;                       /* -1: in `at` */
    Value *at;                      /* i64[]: the axis, from the front */
} Around;

/* i64[]: the product of the sizes that `chosen` selects */
static Value *product_where(Builder *b, Value *chosen, Value *sizes)
{
    Value *kept = mk_where(b, chosen, sizes, mk_scalar(b, DT_i64, 1));
    return mk_reduce_axes(b, "prod", kept, 1, (int64_t[]){ 0 });
}

/* The sizes of all axes but the last, as an operand. */
static Value *sizes_of(Builder *b, const Value *x)
{
    return mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = dims_copy(b->m, value_rank(x) - 1, x->type.dim) });
}

static bool around_open_axis(Importer *c, Value *x, Around *out)
{
    Builder *b = &c->b;
    DimVec split;
    Value *axis = mk_cast_to(b, in(c, 2), DT_i64), *sizes = sizes_of(b, x), *zero = mk_scalar(b, DT_i64, 0);
    axis = mk_reshape_to(b, axis, 0, NULL);
    out->at = mk_where(b, mk_lt(b, axis, zero), mk_shifted(b, axis, value_rank(x)), axis);
    out->axis = -1;
    Value *i = mk_iota_n(b, DT_i64, dim_const(c->m->dims, value_rank(x) - 1));
    Value *before = product_where(b, mk_lt(b, i, out->at), sizes), *after = product_where(b, mk_lt(b, out->at, i), sizes);
    Value *here = product_where(b, mk_eq(b, i, out->at), sizes);
    if (!build_dims_of(b, mk_concat(b, IN(before, here, after), (Attr_concat){ .axis = 0 }), &split))
        return false;
    out->outer = split.v[0], out->size = split.v[1], out->inner = split.v[2];
    return true;
}

/* The axis is an attribute before opset 20, an operand since. */
static bool around_axis(Importer *c, Value *x, Around *out)
{
    bool ok = true;
    double a = c->opset < 20 ? (double)attr_i(c, "axis", 1) : -2;
    int rank = value_rank(x);
    if (c->opset >= 20 && in(c, 2) && !value_scalar_f64(in(c, 2), &a))
        return around_open_axis(c, x, out);
    out->axis = (int)import_axis(c, (int64_t)a, rank, &ok);
    if (!ok || out->axis == rank - 1)
        return ok && import_fail(c, "the last axis holds real and imaginary parts and cannot be transformed");
    out->outer = dim_product(&c->b, x, 0, out->axis);
    out->size = value_dim(x, out->axis);
    out->inner = dim_product(&c->b, x, out->axis + 1, rank - 1);
    return true;
}

/* y [outer, size, inner, parts] with the axes of x again. */
static Value *around_undone(Builder *b, Value *y, const Value *x, const Around *r)
{
    Dim d[MAX_RANK];
    int rank = value_rank(x);
    DimVec open = { 0, NULL };
    if (!y)
        return NULL;
    Value *i = r->axis < 0 ? mk_iota_n(b, DT_i64, dim_const(b->m->dims, rank - 1)) : NULL;
    if (i && !build_dims_of(b, mk_where(b, mk_eq(b, i, r->at), mk_dim_scalar(b, value_dim(y, 1), DT_i64), sizes_of(b, x)), &open))
        return NULL;
    for (int k = 0; k < rank - 1; k++)
        d[k] = i ? open.v[k] : k == r->axis ? value_dim(y, 1) : value_dim(x, k);
    d[rank - 1] = value_dim(y, 3);
    return mk_reshape_to(b, y, rank, d);
}

/* x [outer, inner, size, 1 or 2], transformed along its third axis, of which n elements count. */
static Value *dft_inverse(Builder *b, Value *x, Dim n, bool real)
{
    Dim half = dim_addk(b->m->dims, dim_divk(b->m->dims, n, 2), 1);
    x = x ? mk_pad_end(b, mk_pad_end(b, x, 2, real ? half : n, NULL), 3, dim_const(b->m->dims, 2), NULL) : NULL;
    Value *y = transformed(b, real ? both_halves(b, x, half, n) : x, true);
    y = y ? mk_div(b, y, mk_dim_scalar(b, n, y->type.dtype)) : NULL;
    return real ? mk_range_slice(b, y, 3, 0, 1) : y;
}

static Value *dft_forward(Builder *b, Value *x, Dim n, bool first_half)
{
    DimTable *d = b->m->dims;
    Value *y = transformed(b, x ? mk_pad_end(b, x, 2, n, NULL) : NULL, false);
    return first_half ? mk_slice_axis(b, y, 2, dim_const(d, 0), dim_addk(d, dim_divk(d, n, 2), 1)) : y;
}

bool import_dft(Importer *c)
{
    Builder *b = &c->b;
    DimTable *d = c->m->dims;
    Value *x = in(c, 0);
    DimVec length = { 0, NULL };
    Around r = { .axis = 0 };
    if (!x || (in(c, 1) && !in_dims(c, 1, &length)))
        return false;
    if (value_rank(x) < 2)
        return import_fail(c, "the input has rank %d, 2 or more is needed", value_rank(x));
    if (!check_parts(c, x) || !around_axis(c, x, &r))
        return false;
    bool inverse = attr_i(c, "inverse", 0), onesided = attr_i(c, "onesided", 0);
    Dim n = length.n ? length.v[0] : inverse && onesided ? dim_mulk(d, dim_addk(d, r.size, -1), 2) : r.size;
    Dim four[4] = { r.outer, r.size, r.inner, value_dim(x, value_rank(x) - 1) };
    Value *rows = mk_swap_axes(b, mk_reshape_to(b, x, 4, four), 1, 2);
    Value *y = inverse ? dft_inverse(b, rows, n, onesided) : dft_forward(b, rows, n, onesided);
    OUT(c, around_undone(b, mk_swap_axes(b, y, 1, 2), x, &r));
}

/* The signal [batch, length, 1 or 2] cut into frames, each under the window and transformed: [batch, frames, bins, 2]. */
bool import_stft(Importer *c)
{
    Builder *b = &c->b;
    DimTable *d = c->m->dims;
    Value *x = in(c, 0), *window = in(c, 2);
    DimVec step, length = { 0, NULL };
    if (!x || !in_dims(c, 1, &step) || (in(c, 3) && !in_dims(c, 3, &length)))
        return false;
    if (value_rank(x) != 3 || step.n != 1 || (!length.n && !window) || (window && value_rank(window) != 1))
        return import_fail(c, "a signal of rank 3, one frame_step, and a window of rank 1 or a frame_length are needed");
    if (dim_is_const(step.v[0]) && step.v[0]->k < 1)
        return import_fail(c, "frame_step is %lld", (long long)step.v[0]->k);
    Dim n = length.n ? length.v[0] : value_dim(window, 0);
    Dim frames = dim_addk(d, dim_div(d, dim_sub(d, value_dim(x, 1), n), step.v[0]), 1);
    Value *start = mk_mul(b, mk_iota_n(b, DT_i64, frames), mk_dim_scalar(b, step.v[0], DT_i64));
    Value *at = mk_add(b, mk_insert_axes(b, start, 1, 1), mk_iota_n(b, DT_i64, n));
    Value *framed = mk_gather(b, IN(x, at), (Attr_gather){ .axis = 1 });                      /* [batch, frames, n, 1 or 2] */
    if (window)
        framed = mk_mul(b, framed, mk_insert_axes(b, window, 1, 1));
    if (!framed || !check_parts(c, framed))
        return false;
    Value *y = transformed(b, framed, false);
    bool all = !attr_i(c, "onesided", 1);
    OUT(c, all ? y : mk_slice_axis(b, y, 2, dim_const(d, 0), dim_addk(d, dim_divk(d, n, 2), 1)));
}

/* ---- MelWeightMatrix ---- */

/* Frequency to mel: 2595 log10(1 + f / 700), and back. */
static Value *mel_of(Builder *b, Value *f)
{
    return mk_scaled(b, mk_log1p(b, mk_scaled(b, mk_cast_to(b, f, DT_f64), 1.0 / 700)), 2595 / 2.30258509299404568402);
}

static Value *frequency_of(Builder *b, Value *mel)
{
    return mk_scaled(b, mk_expm1(b, mk_scaled(b, mel, 2.30258509299404568402 / 2595)), 700);
}

/* Triangular filters [spectrogram bins, mel bins]: each rises from the bin of edge i to that of edge i+1 and falls to edge i+2. */
bool import_mel_weight_matrix(Importer *c)
{
    Builder *b = &c->b;
    DimTable *d = c->m->dims;
    DimVec mels, length;
    if (!in_dims(c, 0, &mels) || !in_dims(c, 1, &length) || mels.n != 1 || length.n != 1)
        return false;
    Dim edges = dim_addk(d, mels.v[0], 2), bins = dim_addk(d, dim_divk(d, length.v[0], 2), 1), one = dim_one(b), zero = dim_const(d, 0);
    Value *low = mel_of(b, in(c, 3)), *high = mel_of(b, in(c, 4));
    Value *step = mk_div(b, mk_sub(b, high, low), mk_dim_scalar(b, edges, DT_f64));
    Value *f = frequency_of(b, mk_add(b, mk_mul(b, mk_iota_n(b, DT_f64, edges), step), low));
    f = mk_mul(b, f, mk_dim_scalar(b, dim_addk(d, length.v[0], 1), DT_f64));
    f = mk_floor(b, mk_div(b, f, mk_cast_to(b, in(c, 2), DT_f64)));
    Value *lower = mk_slice_axis(b, f, 0, zero, mels.v[0]), *centre = mk_slice_axis(b, f, 0, one, mels.v[0]);
    Value *upper = mk_slice_axis(b, f, 0, dim_const(d, 2), mels.v[0]), *bin = mk_insert_axes(b, mk_iota_n(b, DT_f64, bins), 1, 1);
    Value *none = mk_k(b, f, 0), *rise = mk_sub(b, centre, lower), *fall = mk_sub(b, upper, centre);
    Value *rising = mk_and(b, mk_le(b, lower, bin), mk_le(b, bin, centre)), *falling = mk_and(b, mk_lt(b, centre, bin), mk_lt(b, bin, upper));
    Value *flat = mk_eq(b, rise, none);
    Value *up = mk_where(b, flat, mk_k(b, f, 1), mk_div(b, mk_sub(b, bin, lower), mk_where(b, flat, mk_k(b, f, 1), rise)));
    Value *down = mk_div(b, mk_sub(b, upper, bin), mk_where(b, mk_eq(b, fall, none), mk_k(b, f, 1), fall));
    OUT(c, mk_cast_to(b, mk_where(b, rising, up, mk_where(b, falling, down, none)), attr_dtype(c, "output_datatype", DT_f32)));
}
