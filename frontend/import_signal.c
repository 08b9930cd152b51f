/* import_signal.c -- window functions, DFT, STFT, MelWeightMatrix.
 *
 * A Fourier transform is a product with a table of sines and cosines, which folds to constants where the length is one. Angles are reduced
 * modulo the length in integers before they become floats, so that long transforms keep their precision.
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

typedef struct Table { Value *cosine, *sine; } Table;       /* [in, out] of 2 pi i o / n */

static Table fourier_table(Builder *b, Dim in_size, Dim out_size, Dim n, DType t)
{
    Value *i = mk_insert_axes(b, mk_iota_n(b, DT_i64, in_size), 1, 1), *o = mk_iota_n(b, DT_i64, out_size);
    Value *turn = mk_mod(b, mk_mul(b, i, o), mk_dim_scalar(b, n, DT_i64));
    Value *angle = mk_div(b, mk_scaled(b, mk_cast_to(b, turn, DT_f64), 2 * PI), mk_dim_scalar(b, n, DT_f64));
    return (Table){ mk_cast_to(b, mk_cos(b, angle), t), mk_cast_to(b, mk_sin(b, angle), t) };
}

/* The last axis cut, or filled with zeros, to `size`. */
static Value *fit_last(Builder *b, Value *x, Dim size)
{
    return x ? mk_pad_end(b, x, value_rank(x) - 1, size, NULL) : NULL;
}

static Value *product(Builder *b, Value *x, Value *table)
{
    return mk_matmul(b, IN(x, table), (Attr_matmul){ 0 });
}

typedef struct Complex { Value *re, *im; } Complex;         /* im: NULL where it is zero */

/* Forward, along the last axis: out[o] = sum of x[i] e^(-2 pi j i o / n). */
static Complex fourier(Builder *b, Complex x, Dim n, Dim out_size)
{
    Complex y = { NULL, NULL };
    if (!x.re)
        return y;
    Table t = fourier_table(b, n, out_size, n, x.re->type.dtype);
    y.re = product(b, x.re, t.cosine);
    y.im = mk_neg(b, product(b, x.re, t.sine));
    if (x.im) {
        y.re = mk_add(b, y.re, product(b, x.im, t.sine));
        y.im = mk_add(b, y.im, product(b, x.im, t.cosine));
    }
    return y;
}

/* The inverse is the forward transform of the conjugate, conjugated, over n. */
static Complex fourier_inverse(Builder *b, Complex x, Dim n)
{
    Complex y = fourier(b, (Complex){ x.re, x.im ? mk_neg(b, x.im) : NULL }, n, n);
    Value *size = y.re ? mk_dim_scalar(b, n, y.re->type.dtype) : NULL;
    return (Complex){ mk_div(b, y.re, size), mk_div(b, mk_neg(b, y.im), size) };
}

/* A real signal from the first half of its coefficients: all but the first, and the middle one of an even n, stand for two. */
static Value *fourier_inverse_real(Builder *b, Complex x, Dim n)
{
    DimTable *d = b->m->dims;
    Dim half = dim_addk(d, dim_divk(d, n, 2), 1);
    if (!x.re)
        return NULL;
    DType type = x.re->type.dtype;
    Table t = fourier_table(b, half, n, n, type);
    Value *k = mk_iota_n(b, DT_i64, half), *twice = mk_scaled(b, k, 2);
    Value *single = mk_or(b, mk_eq(b, k, mk_k(b, k, 0)), mk_eq(b, twice, mk_dim_scalar(b, n, DT_i64)));
    Value *weight = mk_where(b, single, mk_scalar(b, type, 1), mk_scalar(b, type, 2));
    Value *y = product(b, mk_mul(b, x.re, weight), t.cosine);
    if (x.im)
        y = mk_sub(b, y, product(b, mk_mul(b, x.im, weight), t.sine));
    return mk_div(b, y, mk_dim_scalar(b, n, type));
}

/* x [.., 1 or 2] -> its real and imaginary part, with `axis` moved to the end and fitted to n elements. */
static bool complex_parts(Importer *c, Value *x, int axis, Dim n, Complex *out)
{
    Builder *b = &c->b;
    int last = value_rank(x) - 1;
    bool pair = dim_is(value_dim(x, last), 2);
    if (!pair && !dim_is(value_dim(x, last), 1))
        return import_fail(c, "the last axis has %s elements, 1 (real) or 2 (complex) are needed", dim_print(c->m->dims, c->m->arena, value_dim(x, last)));
    Value *re = mk_index(b, x, last, dim_const(c->m->dims, 0)), *im = pair ? mk_index(b, x, last, dim_one(b)) : NULL;
    out->re = fit_last(b, mk_swap_axes(b, re, axis, last - 1), n);
    out->im = fit_last(b, mk_swap_axes(b, im, axis, last - 1), n);
    return out->re != NULL;
}

/* The parts side by side on a new last axis, with the transformed axis back in its place. */
static Value *complex_join(Builder *b, Complex y, int axis)
{
    if (!y.re)
        return NULL;
    int last = value_rank(y.re);
    Value *re = mk_insert_axes(b, mk_swap_axes(b, y.re, axis, last - 1), last, 1);
    return y.im ? mk_concat2(b, re, mk_insert_axes(b, mk_swap_axes(b, y.im, axis, last - 1), last, 1), last) : re;
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

bool import_dft(Importer *c)
{
    Builder *b = &c->b;
    DimTable *d = c->m->dims;
    Value *x = in(c, 0);
    DimVec length = { 0, NULL };
    Around r = { .axis = 0 };
    Complex parts;
    if (!x || (in(c, 1) && !in_dims(c, 1, &length)))
        return false;
    if (value_rank(x) < 2)
        return import_fail(c, "the input has rank %d, 2 or more is needed", value_rank(x));
    if (!around_axis(c, x, &r))
        return false;
    bool inverse = attr_i(c, "inverse", 0), onesided = attr_i(c, "onesided", 0);
    Dim n = length.n ? length.v[0] : inverse && onesided ? dim_mulk(d, dim_addk(d, r.size, -1), 2) : r.size;
    Dim half = dim_addk(d, dim_divk(d, n, 2), 1), four[4] = { r.outer, r.size, r.inner, value_dim(x, value_rank(x) - 1) };
    Value *flat = mk_reshape_to(b, x, 4, four);
    if (!flat || !complex_parts(c, flat, 1, inverse && onesided ? half : n, &parts))
        return false;
    Complex y = { NULL, NULL };
    if (inverse && onesided)
        y.re = fourier_inverse_real(b, parts, n);
    else
        y = inverse ? fourier_inverse(b, parts, n) : fourier(b, parts, n, onesided ? half : n);
    OUT(c, around_undone(b, complex_join(b, y, 1), x, &r));
}

/* The signal [batch, length, 1 or 2] cut into frames, each under the window and transformed: [batch, frames, bins, 2]. */
bool import_stft(Importer *c)
{
    Builder *b = &c->b;
    DimTable *d = c->m->dims;
    Value *x = in(c, 0), *window = in(c, 2);
    DimVec step, length = { 0, NULL };
    Complex parts;
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
    if (!framed || !complex_parts(c, framed, 2, n, &parts))
        return false;
    Dim bins = attr_i(c, "onesided", 1) ? dim_addk(d, dim_divk(d, n, 2), 1) : n;
    OUT(c, complex_join(b, fourier(b, parts, n, bins), 2));
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
