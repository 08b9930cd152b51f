/* import_fused.c -- com.microsoft: what ONNX Runtime's optimiser makes of several operators, and operators under another name or layout. */
#include <string.h>

#include "import_fused.h"
#include "import_window.h"

Value *fused_result_of(const Importer *c, ImportFn *fn, Value *const *input, int64_t opset)
{
    enum { MOST_RESULTS = 8 };
    Value *result[MOST_RESULTS] = { NULL };
    Importer inner = *c;
    inner.input = input;
    inner.result = result;
    inner.opset = opset;
    return out_count(c) <= MOST_RESULTS && fn(&inner) ? result[0] : NULL;
}

/* The inputs as an array of our own, with room for as many more as any operator has. */
static Value **inputs_copy(const Importer *c)
{
    Value **v = ARENA_ARRAY(c->m->arena, Value *, in_count(c) + 1);
    for (int i = 0; i < in_count(c); i++)
        v[i] = in(c, i);
    return v;
}

enum { LATEST = 21 };               /* the version of ai.onnx whose meaning borrowed operators have */

/* ---- activations by name ---- */

static Value *sigmoid_of(Builder *b, Value *x, double slope)
{
    return mk_mul(b, x, mk_sigmoid(b, mk_scaled(b, x, slope)));
}

Value *fused_activation(Importer *c, const char *name, FloatVec p, Value *x)
{
    Builder *b = &c->b;
    double first = p.n > 0 ? p.v[0] : 0, second = p.n > 1 ? p.v[1] : 0;
    if (!strcmp(name, "") || !x)
        return x;
    if (!strcmp(name, "Relu"))
        return mk_relu(b, x);
    if (!strcmp(name, "Tanh"))
        return mk_tanh(b, x);
    if (!strcmp(name, "Sigmoid"))
        return mk_sigmoid(b, x);
    if (!strcmp(name, "LeakyRelu"))
        return mk_where(b, mk_lt(b, x, mk_k(b, x, 0)), mk_scaled(b, x, p.n ? first : (double)0.01f), x);
    if (!strcmp(name, "Clip") && p.n > 1)
        return mk_clip(b, x, first, second);
    if (!strcmp(name, "HardSigmoid"))
        return mk_clip(b, mk_shifted(b, mk_scaled(b, x, p.n > 0 ? first : (double)0.2f), p.n > 1 ? second : 0.5), 0, 1);
    if (!strcmp(name, "HardSwish"))
        return mk_mul(b, x, mk_clip(b, mk_shifted(b, mk_scaled(b, x, 1.0 / 6), 0.5), 0, 1));
    if (!strcmp(name, "Swish") || !strcmp(name, "Silu") || !strcmp(name, "QuickGelu"))
        return sigmoid_of(b, x, p.n ? first : name[0] == 'Q' ? (double)1.702f : 1);
    import_unsupported(c, "the activation '%s'", name);
    return NULL;
}

Value *fused_activation_of_attributes(Importer *c, Value *x)
{
    static const char *const names[] = { "activation_alpha", "activation_beta", "activation_gamma" };
    double p[3];
    int n = 0;
    while (n < 3 && has_attr(c, names[n])) {
        p[n] = attr_f(c, names[n], 0);
        n++;
    }
    return fused_activation(c, attr_s(c, "activation", ""), (FloatVec){ n, p }, x);
}

/* fused_activation(conv(x, w, bias) + sum) */
bool import_fused_conv(Importer *c)
{
    Value *y = import_conv_of(c, in(c, 0), in(c, 1), in(c, 2));
    if (in(c, 3))
        y = mk_add(&c->b, y, in(c, 3));
    OUT(c, fused_activation(c, attr_s(c, "activation", ""), attr_floats(c, "activation_params"), y));
}

bool import_fused_gemm(Importer *c)
{
    OUT(c, fused_activation_of_attributes(c, fused_result_of(c, import_gemm, c->input, LATEST)));
}

/* ---- other names and layouts ---- */

Value *channels_moved(Importer *c, Value *x, bool back)
{
    int64_t perm[MAX_RANK];
    int rank = x ? value_rank(x) : 0;
    for (int i = 0; i < rank; i++)
        perm[i] = i == 0 ? 0 : back ? (i == rank - 1 ? 1 : i + 1) : (i == 1 ? rank - 1 : i - 1);
    return x && rank > 2 ? mk_transpose_perm(&c->b, x, perm) : x;
}

/* MaxPool of [batch, spatial.., channels] */
bool import_nhwc_max_pool(Importer *c)
{
    Value **input = inputs_copy(c);
    input[0] = channels_moved(c, in(c, 0), false);
    OUT(c, channels_moved(c, input[0] ? fused_result_of(c, import_max_pool, input, LATEST) : NULL, true));
}

bool import_ms_pad(Importer *c)
{
    OUT(c, fused_result_of(c, import_pad, c->input, LATEST));
}

/* A new axis of size 1, whose place is a constant. */
bool import_expand_dims(Importer *c)
{
    Value *x = in(c, 0);
    double at;
    bool ok = x && in_scalar(c, 1, 0, &at);
    int64_t axis = ok ? import_axis(c, (int64_t)at, value_rank(x) + 1, &ok) : 0;
    return ok && set_out(c, 0, mk_insert_axes(&c->b, x, (int)axis, 1));
}

/* Distances between all rows of two matrices. */
bool import_cdist(Importer *c)
{
    Builder *b = &c->b;
    const char *metric = attr_s(c, "metric", "sqeuclidean");
    Value *x = in(c, 0), *y = in(c, 1);
    int64_t axis = 1;
    if (!x || !y)
        return false;
    if (value_rank(x) != 2 || value_rank(y) != 2 || (strcmp(metric, "sqeuclidean") && strcmp(metric, "euclidean")))
        return import_unsupported(c, "metric '%s', or operands that are no matrices,", metric);
    Value *xx = mk_reduce_axes(b, "sum", mk_mul(b, x, x), 1, &axis), *yy = mk_reduce_axes(b, "sum", mk_mul(b, y, y), 1, &axis);
    Value *cross = mk_matmul(b, IN(x, mk_swap_last(b, y)), (Attr_matmul){ 0 });
    Value *square = mk_sub(b, mk_add(b, xx, mk_swap_last(b, yy)), mk_scaled(b, cross, 2));
    square = mk_max(b, square, mk_k(b, square, 0));
    OUT(c, metric[0] == 'e' ? mk_sqrt(b, square) : square);
}

/* ---- matrices ---- */

bool import_inverse(Importer *c)
{
    OUT(c, mk_inverse(&c->b, IN(in(c, 0)), (Attr_inverse){ 0 }));
}

/* ---- CropAndResize ---- */

typedef struct Crop {
    Value *image;                   /* [N, H, W, C] */
    Value *which;                   /* i64[R, 1, 1, 1] */
    Value *y, *x;                   /* f32[R, h, 1], f32[R, 1, w]: positions in the image */
} Crop;

/* Positions of `size` samples from start to end, both [R] in units of the image's length less one; of a single sample, the middle. */
static Value *sample_positions(Importer *c, Value *start, Value *end, int64_t size, Dim length)
{
    Builder *b = &c->b;
    Value *reach = mk_cast_to(b, mk_dim_scalar(b, dim_addk(c->m->dims, length, -1), DT_f32), start ? start->type.dtype : DT_f32);
    start = mk_insert_axes(b, start, 1, 1);
    end = mk_insert_axes(b, end, 1, 1);
    if (size == 1)
        return mk_mul(b, mk_scaled(b, mk_add(b, start, end), 0.5), reach);
    Value *step = mk_scaled(b, mk_mul(b, mk_sub(b, end, start), reach), 1.0 / (double)(size - 1));
    return mk_add(b, mk_mul(b, start, reach), mk_mul(b, mk_iota_n(b, DT_f32, dim_const(c->m->dims, size)), step));
}

/* Pixels at whole positions y [R, h, 1], x [R, 1, w], kept inside the image: [R, h, w, C] */
static Value *pixels_at(Importer *c, const Crop *k, Value *y, Value *x)
{
    Builder *b = &c->b;
    DimTable *t = c->m->dims;
    Dim h = value_dim(k->image, 1), w = value_dim(k->image, 2), d[4] = { value_dim(k->which, 0), value_dim(y, 1), value_dim(x, 2), dim_one(b) };
    Value *zero = mk_k(b, y, 0);
    y = mk_min(b, mk_max(b, y, zero), mk_dim_scalar(b, dim_addk(t, h, -1), DT_f32));
    x = mk_min(b, mk_max(b, x, zero), mk_dim_scalar(b, dim_addk(t, w, -1), DT_f32));
    Value *row = mk_expand_to(b, mk_insert_axes(b, mk_cast_to(b, y, DT_i64), 3, 1), 4, d);
    Value *column = mk_expand_to(b, mk_insert_axes(b, mk_cast_to(b, x, DT_i64), 3, 1), 4, d), *which = mk_expand_to(b, k->which, 4, d);
    Value *at = mk_concat(b, IN(which, row, column), (Attr_concat){ .axis = 3 });
    return mk_gather_nd(b, IN(k->image, at), (Attr_gather_nd){ 0 });
}

static Value *bilinear(Importer *c, const Crop *k)
{
    Builder *b = &c->b;
    Value *top = mk_floor(b, k->y), *left = mk_floor(b, k->x), *bottom = mk_ceil(b, k->y), *right = mk_ceil(b, k->x);
    Value *fy = mk_insert_axes(b, mk_sub(b, k->y, top), 3, 1), *fx = mk_insert_axes(b, mk_sub(b, k->x, left), 3, 1);
    Value *tl = pixels_at(c, k, top, left), *tr = pixels_at(c, k, top, right), *bl = pixels_at(c, k, bottom, left), *br = pixels_at(c, k, bottom, right);
    Value *above = mk_add(b, tl, mk_mul(b, mk_sub(b, tr, tl), fx)), *below = mk_add(b, bl, mk_mul(b, mk_sub(b, br, bl), fx));
    return mk_add(b, above, mk_mul(b, mk_sub(b, below, above), fy));
}

/* Nearest with halves away from zero; positions that count are not negative. */
static Value *nearest(Importer *c, const Crop *k)
{
    Builder *b = &c->b;
    return pixels_at(c, k, mk_floor(b, mk_shifted(b, k->y, 0.5)), mk_floor(b, mk_shifted(b, k->x, 0.5)));
}

static Value *inside(Importer *c, Value *at, Dim length)
{
    Builder *b = &c->b;
    Value *last = mk_dim_scalar(b, dim_addk(c->m->dims, length, -1), DT_f32);
    return mk_and(b, mk_le(b, mk_k(b, at, 0), at), mk_le(b, at, last));
}

/* (x [N, C, H, W], rois [R, 4]: y0 x0 y1 x1 from 0 to 1, image of each [R], size [2]) */
bool import_crop_and_resize(Importer *c)
{
    Builder *b = &c->b;
    Value *image = in(c, 0), *rois = in(c, 1), *which = in(c, 2), *edge[4];
    const char *mode = attr_s(c, "mode", "bilinear");
    IntVec size;
    if (!image || !rois || !which || !in_ints(c, 3, &size))
        return false;
    if (value_rank(image) != 4 || value_rank(rois) != 2 || size.n != 2 || image->type.dtype != DT_f32 || size.v[0] < 1 || size.v[1] < 1)
        return import_fail(c, "an image of f32 and rank 4, a matrix of regions and two sizes are needed");
    for (int i = 0; i < 4; i++)
        edge[i] = mk_index(b, rois, 1, dim_const(c->m->dims, i));
    Dim h = value_dim(image, 2), w = value_dim(image, 3);
    Crop k = { .image = channels_moved(c, image, true), .which = mk_insert_axes(b, mk_cast_to(b, which, DT_i64), 1, 3) };
    k.y = mk_insert_axes(b, sample_positions(c, edge[0], edge[2], size.v[0], h), 2, 1);
    k.x = mk_insert_axes(b, sample_positions(c, edge[1], edge[3], size.v[1], w), 1, 1);
    if (!k.image || !k.which || !k.y || !k.x)
        return false;
    Value *counts = mk_insert_axes(b, mk_and(b, inside(c, k.y, h), inside(c, k.x, w)), 3, 1);
    Value *y = !strcmp(mode, "nearest") ? nearest(c, &k) : bilinear(c, &k);
    y = mk_where(b, counts, y, mk_scalar(b, DT_f32, attr_f(c, "extrapolation_value", 0)));
    OUT(c, channels_moved(c, y, false));
}

/* ---- weights in blocks of few bits ---- */

/* The numbers of 2, 4 or 8 bits in the bytes of the last axis, lowest bits first, as f32: [.., bytes] -> [.., bytes * 8 / bits]. */
static Value *unpacked_bits(Importer *c, Value *x, int64_t bits)
{
    Builder *b = &c->b;
    Value *part[4];
    int n = (int)(8 / bits), rank = x ? value_rank(x) : 0;
    Dim flat[MAX_RANK];
    if (!x || n == 1)
        return mk_cast_to(b, x, DT_f32);
    for (int i = 0; i < n; i++) {
        Value *shifted = mk_shr(b, x, mk_k(b, x, (double)(i * bits)));
        part[i] = mk_insert_axes(b, mk_bit_and(b, shifted, mk_k(b, x, (double)((1 << bits) - 1))), rank, 1);
    }
    Value *y = mk_concat(b, (Inputs){ n, part }, (Attr_concat){ .axis = rank });
    memcpy(flat, x->type.dim, sizeof(Dim) * (size_t)rank);
    flat[rank - 1] = dim_mulk(c->m->dims, flat[rank - 1], n);
    return mk_cast_to(b, mk_reshape_to(b, y, rank, flat), DT_f32);
}

/* The zero points of [rows, blocks], packed like the weights or given in the type of the scales; the middle of the range if there are none. */
static Value *block_zeros(Importer *c, Value *zero, int64_t rows, int64_t blocks, int64_t bits)
{
    Builder *b = &c->b;
    if (!zero)
        return mk_scalar(b, DT_f32, (double)(1 << (bits - 1)));
    if (zero->type.dtype != DT_u8)
        return mk_reshape_ints(b, mk_cast_to(b, zero, DT_f32), 3, (int64_t[]){ rows, blocks, 1 });
    int64_t bytes = (blocks * bits + 7) / 8;
    Value *all = unpacked_bits(c, mk_reshape_ints(b, zero, 2, (int64_t[]){ rows, bytes }), bits);
    return mk_insert_axes(b, mk_range_slice(b, all, 1, 0, blocks), 2, 1);
}

/* Codes in the bytes of constant weights u8[n, blocks, bytes], lowest bits first, as [k, n]. */
static Value *constant_codes(Importer *c, const Tensor *bytes, int64_t n, int64_t k, int64_t bits, int64_t row_bytes)
{
    Tensor *t = tensor_new(c->m->arena, bits == 2 ? DT_u2 : bits == 4 ? DT_u4 : DT_u8, 2, (int64_t[]){ k, n });
    uint8_t *to = (uint8_t *)(uintptr_t)t->data;
    const uint8_t *from = tensor_dense(c->m->arena, bytes)->data;
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < n; i++)
            to[j * n + i] = (uint8_t)(from[i * row_bytes + j * bits / 8] >> (j * bits % 8) & ((1 << bits) - 1));
    return mk_tensor(&c->b, t);
}

/* The zero points of constant_codes: [blocks, n]. */
static Value *constant_zeros(Importer *c, Value *zero, int64_t n, int64_t blocks, int64_t bits)
{
    if (!zero)
        return mk_full(&c->b, DT_u8, 2, (Dim[]){ dim_const(c->m->dims, blocks), dim_const(c->m->dims, n) }, (double)(1 << (bits - 1)));
    if (zero->type.dtype == DT_u8)
        return constant_codes(c, value_constant(zero), n, blocks, bits, (blocks * bits + 7) / 8);
    return mk_swap_last(&c->b, mk_reshape_ints(&c->b, zero, 2, (int64_t[]){ n, blocks }));
}

/* The weights of import_matmul_nbits [k, n], constant: kept in their bits. NULL after reporting. */
static Value *packed_matrix(Importer *c, int64_t n, int64_t k, int64_t bits, int64_t size)
{
    Builder *b = &c->b;
    int64_t blocks = (k + size - 1) / size;
    Value *w = in(c, 1), *zero = constant_zeros(c, in(c, 3), n, blocks, bits);
    Value *scale = mk_swap_last(b, mk_reshape_ints(b, in(c, 2), 2, (int64_t[]){ n, blocks }));
    if (!scale || !zero || type_count(&w->type) != n * blocks * (size * bits / 8)) {
        import_fail(c, "the sizes of weights, scales and zero points do not fit N, K and block_size");
        return NULL;
    }
    Value *q = constant_codes(c, value_constant(w), n, k, bits, blocks * (size * bits / 8));
    return mk_dequantize_blocks(b, IN(q, scale, zero), (Attr_dequantize_blocks){ .axis = 0, .block = size });
}

static bool is_constant_input(const Importer *c, int i)
{
    return !in(c, i) || value_constant(in(c, i));
}

/* x times the transpose of a matrix [N, K] whose rows are cut into blocks with a scale each. */
bool import_matmul_nbits(Importer *c)
{
    Builder *b = &c->b;
    int64_t k = attr_i(c, "K", 0), n = attr_i(c, "N", 0), bits = attr_i(c, "bits", 4), size = attr_i(c, "block_size", 0);
    Value *x = in(c, 0), *w = in(c, 1), *scale = in(c, 2);
    if (!x || !w || !scale)
        return false;
    if (in(c, 4) || (bits != 2 && bits != 4 && bits != 8))
        return import_unsupported(c, "g_idx, or weights of %lld bits", (long long)bits);
    if (k < 1 || n < 1 || size < 1 || w->type.dtype != DT_u8)
        return import_fail(c, "K, N, block_size and weights of u8 are needed");
    bool half = scale->type.dtype == DT_f16 || scale->type.dtype == DT_bf16 || scale->type.dtype == DT_f32;
    if (is_constant_input(c, 1) && is_constant_input(c, 2) && is_constant_input(c, 3) && half && size * bits % 8 == 0) {
        Value *weights = packed_matrix(c, n, k, bits, size), *r = weights ? mk_matmul(b, IN(mk_cast_to(b, x, DT_f32), weights), (Attr_matmul){ 0 }) : NULL;
        r = r ? mk_cast_to(b, r, x->type.dtype) : NULL;
        OUT(c, r && in(c, 5) ? mk_add(b, r, in(c, 5)) : r);
    }
    int64_t blocks = (k + size - 1) / size;
    Value *q = unpacked_bits(c, mk_reshape_ints(b, w, 3, (int64_t[]){ n, blocks, size * bits / 8 }), bits);
    q = mk_sub(b, q, block_zeros(c, in(c, 3), n, blocks, bits));
    q = mk_mul(b, q, mk_reshape_ints(b, mk_cast_to(b, scale, DT_f32), 3, (int64_t[]){ n, blocks, 1 }));
    q = mk_reshape_ints(b, q, 2, (int64_t[]){ n, blocks * size });
    q = blocks * size > k ? mk_range_slice(b, q, 1, 0, k) : q;
    Value *y = mk_matmul(b, IN(mk_cast_to(b, x, DT_f32), mk_swap_last(b, q)), (Attr_matmul){ 0 });
    y = mk_cast_to(b, y, x->type.dtype);
    OUT(c, in(c, 5) ? mk_add(b, y, in(c, 5)) : y);
}

/* The same with 16 levels in place of integers, NF4 (quant_type 1) or FP4 (0), the first of two codes in the high bits. */
bool import_matmul_bnb4(Importer *c)
{
    static const double fp4[16] = { 0, 0.0052083333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25, 0, -0.0052083333, -0.66666667, -1, -0.33333333, -0.5,
                                    -0.16666667, -0.25 };
    static const double nf4[16] = { -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
                                    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                                    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0 };
    Builder *b = &c->b;
    int64_t k = attr_i(c, "K", 0), n = attr_i(c, "N", 0), size = attr_i(c, "block_size", 0);
    const Tensor *w = in_constant(c, 1);
    Value *x = in(c, 0), *scale = in(c, 2);
    if (!x || !scale)
        return false;
    if (!w || !attr_i(c, "transB", 1) || size < 1 || k % size)
        return import_unsupported(c, "computed weights, transB 0, or rows that are no whole number of blocks");
    if (k < 1 || n < 1 || w->dtype != DT_u8 || w->count != (k * n + 1) / 2 || type_count(&scale->type) != k * n / size)
        return import_fail(c, "the sizes of weights and scales do not fit N, K and block_size");
    Tensor *q = tensor_new(c->m->arena, DT_u4, 2, (int64_t[]){ k, n });
    const uint8_t *from = tensor_dense(c->m->arena, w)->data;
    for (int64_t i = 0; i < k * n; i++)
        ((uint8_t *)(uintptr_t)q->data)[i % k * n + i / k] = from[i / 2] >> (i % 2 ? 0 : 4) & 15;
    FloatVec levels = { 16, attr_i(c, "quant_type", 1) ? nf4 : fp4 };
    Value *scales = mk_swap_last(b, mk_reshape_ints(b, scale, 2, (int64_t[]){ n, k / size }));
    Value *weights = mk_dequantize_blocks(b, IN(mk_tensor(b, q), scales), (Attr_dequantize_blocks){ .axis = 0, .block = size, .levels = levels });
    Value *y = weights ? mk_matmul(b, IN(mk_cast_to(b, x, DT_f32), weights), (Attr_matmul){ 0 }) : NULL;
    OUT(c, y ? mk_cast_to(b, y, x->type.dtype) : NULL);
}

/* [.., blocks, ..] -> [.., n, ..]: every entry `block` times along axis. */
static Value *repeated(Builder *b, Value *v, int axis, int64_t block, Dim n)
{
    if (!v)
        return NULL;
    Value *at = mk_div(b, mk_iota_n(b, DT_i64, n), mk_scalar(b, DT_i64, (double)block));
    return mk_gather(b, IN(v, at), (Attr_gather){ .axis = axis });
}

/* Rows of a quantised table, each with the scales of its blocks. */
bool import_gather_block_quantized(Importer *c)
{
    Builder *b = &c->b;
    Value *data = in(c, 0), *at = in(c, 1), *scale = in(c, 2), *zero = in(c, 3);
    bool ok = data && at && scale;
    int rank = ok ? value_rank(data) : 0;
    int64_t axis = ok ? import_axis(c, attr_i(c, "gather_axis", 0), rank, &ok) : 0, along = ok ? import_axis(c, attr_i(c, "quantize_axis", 1), rank, &ok) : 0;
    int64_t block = attr_i(c, "block_size", 128), bits = attr_i(c, "bits", 4);
    if (!ok)
        return false;
    if (axis == along || block < 1)
        return import_fail(c, "gather_axis and quantize_axis are the same, or block_size is %lld", (long long)block);
    bool bytes = data->type.dtype == DT_u8;
    Attr_gather rows = { .axis = axis };
    Value *q = mk_gather(b, IN(data, at), rows), *s = mk_gather(b, IN(scale, at), rows), *z = zero ? mk_gather(b, IN(zero, at), rows) : NULL;
    if (!q || !s)
        return false;
    int place = (int)(along > axis ? along + value_rank(at) - 1 : along);
    q = bytes ? unpacked_bits(c, q, bits) : mk_cast_to(b, q, DT_f32);
    z = z && bytes ? unpacked_bits(c, z, bits) : mk_cast_to(b, z, DT_f32);
    if (bytes && !z)
        z = mk_scalar(b, DT_f32, (double)(1 << (bits - 1)));
    else if (z)
        z = repeated(b, z, place, block, value_dim(q, place));
    q = z ? mk_sub(b, q, z) : q;
    OUT(c, mk_cast_to(b, mk_mul(b, q, repeated(b, mk_cast_to(b, s, DT_f32), place, block, value_dim(q, place))), scale->type.dtype));
}

/* An LSTM whose weights [directions, input or hidden, 4 hidden] are integers with scales (inputs 8, 10) and zero points (9, 11). The weights become
 * real numbers; activations are not rounded to 8 bits on the way, as ONNX Runtime does. */
static Value *lstm_weights(Importer *c, Value *w, Value *scale, Value *zero)
{
    Builder *b = &c->b;
    w = zero && w ? mk_sub(b, mk_cast_to(b, w, DT_f32), mk_insert_axes(b, mk_cast_to(b, zero, DT_f32), 1, value_rank(zero) == 1 ? 2 : 1))
                  : mk_cast_to(b, w, DT_f32);
    return scale ? mk_swap_last(b, mk_mul(b, w, mk_insert_axes(b, scale, 1, value_rank(scale) == 1 ? 2 : 1))) : NULL;
}

bool import_dynamic_quantize_lstm(Importer *c)
{
    Value **input = inputs_copy(c);
    Importer inner = *c;
    if (!in(c, 1) || !in(c, 2) || !in(c, 8) || !in(c, 10))
        return false;
    input[1] = lstm_weights(c, in(c, 1), in(c, 8), in(c, 9));
    input[2] = lstm_weights(c, in(c, 2), in(c, 10), in(c, 11));
    inner.input = input;
    inner.opset = LATEST;
    return input[1] && input[2] && import_lstm(&inner);
}
