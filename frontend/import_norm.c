/* import_norm.c -- normalisation with parameters: batch, instance, layer, group, RMS, local response.
 *
 * Statistics are taken in the `stash_type` (f32) even where the data is f16 or bf16. At inference, batch normalisation is one multiplication and
 * one addition per channel, which constant folding and the fold into a convolution build on.
 */
#include <math.h>

#include "import_parts.h"

/* The type statistics are computed in: at least what stash_type names, never less than the data. */
static DType stash_of(Importer *c, DType data)
{
    DType stash = attr_dtype(c, "stash_type", DT_f32);
    return data == DT_f64 ? DT_f64 : stash == DT_f16 || stash == DT_bf16 ? wide_float(data) : stash;
}

/* ---- BatchNormalization ---- */

/* [C] along axis 1 of x; parameters per element (spatial=0 of old opsets) stay as they are. */
static Value *per_channel(Builder *b, Value *v, const Value *x, DType t)
{
    v = mk_cast_to(b, v, t);
    return v && value_rank(v) == 1 && value_rank(x) > 2 ? mk_align_channel(b, v, value_rank(x), 1) : v;
}

static Value *batch_norm(Builder *b, Value *x, Value *scale, Value *shift, Value *mean, Value *var, double epsilon)
{
    Value *inv = mk_div(b, scale, mk_sqrt(b, mk_add(b, var, mk_k(b, var, epsilon))));
    Value *offset = mk_sub(b, shift, mk_mul(b, mean, inv));
    DType t = mean ? mean->type.dtype : DT_f32;
    Value *y = mk_mul(b, mk_cast_to(b, x, t), per_channel(b, inv, x, t));
    return mk_cast_to(b, mk_add(b, y, per_channel(b, offset, x, t)), x->type.dtype);
}

/* momentum * old + (1 - momentum) * now */
static Value *running(Builder *b, Value *old, Value *now, double momentum)
{
    if (!old || !now)
        return NULL;
    Value *kept = mk_scaled(b, mk_cast_to(b, old, now->type.dtype), momentum);
    return mk_cast_to(b, mk_add(b, kept, mk_scaled(b, now, 1 - momentum)), old->type.dtype);
}

static bool batch_norm_training(Importer *c, Value *x, DType t, double epsilon)
{
    Builder *b = &c->b;
    double momentum = attr_f(c, "momentum", (double)0.9f);
    int64_t axes[MAX_RANK] = { 0 };
    int n = 1 + axes_from(2, value_rank(x), axes + 1);
    Value *wide = mk_cast_to(b, x, t), *mean = mk_mean_axes(b, wide, n, axes);
    Value *apart = mk_sub(b, wide, mean);
    Value *var = mk_drop_axes(b, mk_mean_axes(b, mk_mul(b, apart, apart), n, axes), n, axes);
    mean = mk_drop_axes(b, mean, n, axes);
    Value *y = batch_norm(b, x, mk_cast_to(b, in(c, 1), t), mk_cast_to(b, in(c, 2), t), mean, var, epsilon);
    return set_out(c, 0, y) && (!out_wanted(c, 1) || set_out(c, 1, running(b, in(c, 3), mean, momentum))) &&
           (!out_wanted(c, 2) || set_out(c, 2, running(b, in(c, 4), var, momentum)));
}

bool import_batch_normalization(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *var = in(c, 4);
    if (!x || !var)
        return false;
    if (value_rank(x) < 2)
        return import_fail(c, "the input has rank %d, 2 or more is needed", value_rank(x));
    DType t = x->type.dtype == DT_f64 || var->type.dtype == DT_f64 ? DT_f64 : DT_f32;
    double epsilon = attr_f(c, "epsilon", (double)1e-5f);
    if (c->opset >= 14 && attr_i(c, "training_mode", 0))
        return batch_norm_training(c, x, t, epsilon);
    for (int i = 1; i < 5; i++)
        if (out_wanted(c, i))
            return import_unsupported(c, "training mode in this opset");
    OUT(c, batch_norm(b, x, mk_cast_to(b, in(c, 1), t), mk_cast_to(b, in(c, 2), t), mk_cast_to(b, in(c, 3), t), mk_cast_to(b, var, t), epsilon));
}

/* ---- InstanceNormalization, LayerNormalization, RMSNormalization ---- */

bool import_instance_normalization(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    if (!x)
        return false;
    int64_t axes[MAX_RANK];
    int n = axes_from(2, value_rank(x), axes);
    DType t = wide_float(x->type.dtype);
    Standardised s = mk_standardised(b, mk_cast_to(b, x, t), n, axes, attr_f(c, "epsilon", (double)1e-5f));
    Value *y = mk_mul(b, s.y, mk_align_channel(b, mk_cast_to(b, in(c, 1), t), value_rank(x), 1));
    OUT(c, mk_cast_to(b, mk_add(b, y, mk_align_channel(b, mk_cast_to(b, in(c, 2), t), value_rank(x), 1)), x->type.dtype));
}

static bool import_layer_norm_of(Importer *c, Value *x, Value *scale, Value *shift, double epsilon)
{
    Builder *b = &c->b;
    bool ok = x != NULL;
    int64_t axes[MAX_RANK], axis = ok ? import_axis(c, attr_i(c, "axis", -1), value_rank(x), &ok) : 0;
    if (!ok)
        return false;
    DType t = x->type.dtype, stash = stash_of(c, t), asked = attr_dtype(c, "stash_type", DT_f32);
    int n = axes_from((int)axis, value_rank(x), axes);
    Standardised s = mk_standardised(b, mk_cast_to(b, x, stash), n, axes, epsilon);
    Value *y = mk_mul(b, mk_cast_to(b, s.y, t), mk_cast_to(b, scale, t));
    if (shift)
        y = mk_add(b, y, mk_cast_to(b, shift, t));
    return set_out(c, 0, y) && (!out_wanted(c, 1) || set_out(c, 1, mk_cast_to(b, s.mean, asked))) &&
           (!out_wanted(c, 2) || set_out(c, 2, mk_cast_to(b, s.inv_std, asked)));
}

bool import_layer_normalization(Importer *c)
{
    return import_layer_norm_of(c, in(c, 0), in(c, 1), in(c, 2), attr_f(c, "epsilon", (double)1e-5f));
}

/* x / sqrt(mean(x^2) + epsilon) */
static Value *rms_normalised(Builder *b, Value *x, int n, const int64_t *axes, double epsilon)
{
    Value *mean = mk_mean_axes(b, mk_mul(b, x, x), n, axes);
    return mk_mul(b, x, mk_div(b, mk_k(b, x, 1), mk_sqrt(b, mk_add(b, mean, mk_k(b, x, epsilon)))));
}

bool import_rms_normalization(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *scale = in(c, 1);
    bool ok = x && scale;
    int64_t axes[MAX_RANK], axis = ok ? import_axis(c, attr_i(c, "axis", -1), value_rank(x), &ok) : 0;
    if (!ok)
        return false;
    DType t = scale->type.dtype;
    int n = axes_from((int)axis, value_rank(x), axes);
    Value *y = rms_normalised(b, mk_cast_to(b, x, stash_of(c, x->type.dtype)), n, axes, attr_f(c, "epsilon", (double)1e-5f));
    OUT(c, mk_mul(b, mk_cast_to(b, y, t), scale));
}

/* com.microsoft: LayerNormalization of x + skip + bias; the sum is a fourth output. */
bool import_skip_layer_normalization(Importer *c)
{
    Builder *b = &c->b;
    Value *x = mk_add(b, in(c, 0), in(c, 1));
    if (in(c, 4))
        x = mk_add(b, x, in(c, 4));
    return import_layer_norm_of(c, x, in(c, 2), in(c, 3), attr_f(c, "epsilon", (double)1e-12f)) && (!out_wanted(c, 3) || set_out(c, 3, x));
}

bool import_skip_rms_normalization(Importer *c)
{
    Builder *b = &c->b;
    Value *x = mk_add(b, in(c, 0), in(c, 1));
    if (in(c, 3))
        x = mk_add(b, x, in(c, 3));
    if (!x)
        return false;
    int64_t axis = value_rank(x) - 1;
    Value *y = rms_normalised(b, mk_cast_to(b, x, wide_float(x->type.dtype)), 1, &axis, attr_f(c, "epsilon", (double)1e-12f));
    return set_out(c, 0, mk_mul(b, mk_cast_to(b, y, x->type.dtype), in(c, 2))) && (!out_wanted(c, 3) || set_out(c, 3, x));
}

/* com.microsoft: LayerNormalization of the sum of a word's, a position's and a segment's vector; the second output counts the mask's ones. */
bool import_embed_layer_normalization(Importer *c)
{
    Builder *b = &c->b;
    Attr_gather rows = { .axis = 0 };
    Value *ids = in(c, 0), *segment = in(c, 1), *mask = in(c, 7), *position = in(c, 8);
    int64_t axis = 1;
    if (!ids)
        return false;
    if (value_rank(ids) != 2)
        return import_fail(c, "the words have rank %d, 2 is needed", value_rank(ids));
    Value *x = mk_gather(b, IN(in(c, 2), ids), rows);
    x = mk_add(b, x, mk_gather(b, IN(in(c, 3), position ? position : mk_iota_n(b, DT_i64, value_dim(ids, 1))), rows));
    x = segment && in(c, 4) ? mk_add(b, x, mk_gather(b, IN(in(c, 4), segment), rows)) : x;
    Value *ones = mask ? mk_cast_to(b, mk_eq(b, mask, mk_k(b, mask, 1)), DT_i32) : NULL;
    Value *count = ones ? mk_drop_axes(b, mk_reduce_axes(b, "sum", ones, 1, &axis), 1, &axis) : mk_full(b, DT_i32, 1, ids->type.dim, 0);
    Standardised s = mk_standardised(b, x, 1, (int64_t[]){ 2 }, attr_f(c, "epsilon", (double)1e-12f));
    return set_out(c, 0, mk_add(b, mk_mul(b, s.y, in(c, 5)), in(c, 6))) && set_out(c, 1, count) && set_out(c, 2, x);
}

/* ---- GroupNormalization: parameters per group in opset 18, per channel later ---- */

bool import_group_normalization(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *scale = in(c, 1), *shift = in(c, 2);
    int64_t groups = attr_i(c, "num_groups", 0), axis = 2;
    if (!x || !scale || !shift)
        return false;
    if (groups < 1 || value_rank(x) < 2 || (dim_is_const(value_dim(x, 1)) && value_dim(x, 1)->k % groups))
        return import_fail(c, "the channels do not divide into %lld groups", (long long)groups);
    DType t = x->type.dtype;
    Dim parts[3] = { value_dim(x, 0), dim_const(c->m->dims, groups), dim_divk(c->m->dims, dim_product(b, x, 1, value_rank(x)), groups) };
    Standardised s = mk_standardised(b, mk_cast_to(b, mk_reshape_to(b, x, 3, parts), stash_of(c, t)), 1, &axis, attr_f(c, "epsilon", (double)1e-5f));
    Value *y = mk_cast_to(b, s.y, t);
    if (c->opset < 21)
        y = mk_add(b, mk_mul(b, y, mk_align_channel(b, scale, 3, 1)), mk_align_channel(b, shift, 3, 1));
    y = mk_reshape_to(b, y, value_rank(x), x->type.dim);
    if (c->opset >= 21)
        y = mk_add(b, mk_mul(b, y, mk_align_channel(b, scale, value_rank(x), 1)), mk_align_channel(b, shift, value_rank(x), 1));
    OUT(c, y);
}

/* ---- LRN: x / (bias + alpha * mean of squares over a window of channels)^beta ---- */

/* The mean of `size` neighbours along the channels, zeros beyond the ends: average pooling over [N, 1, C, rest]. */
static Value *channel_window_mean(Builder *b, Value *x, int64_t size)
{
    Dim flat[4] = { value_dim(x, 0), dim_one(b), value_dim(x, 1), dim_product(b, x, 2, value_rank(x)) };
    const int64_t kernel[2] = { size, 1 }, ones[2] = { 1, 1 }, pads[4] = { (size - 1) / 2, 0, size / 2, 0 };
    Value *y = mk_pool(b, IN(mk_reshape_to(b, x, 4, flat)),
                       (Attr_pool){ .kind = "avg", .kernel = ints_copy(b->m, 2, kernel), .strides = ints_copy(b->m, 2, ones),
                                    .dilations = ints_copy(b->m, 2, ones), .pads = ints_copy(b->m, 4, pads), .count_pad = true });
    return mk_reshape_to(b, y, value_rank(x), x->type.dim);
}

bool import_lrn(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    int64_t size = attr_i(c, "size", 0);
    if (!x)
        return false;
    if (size < 1 || value_rank(x) < 2)
        return import_fail(c, "size must be 1 or more and the input of rank 2 or more");
    Value *wide = mk_cast_to(b, x, wide_float(x->type.dtype)), *squares = mk_mul(b, wide, wide);
    Value *mean = squares ? channel_window_mean(b, squares, size) : NULL;
    Value *base = mk_shifted(b, mk_scaled(b, mean, attr_f(c, "alpha", (double)1e-4f)), attr_f(c, "bias", 1));
    Value *power = mk_pow(b, base, mk_k(b, base, attr_f(c, "beta", 0.75)));
    OUT(c, mk_cast_to(b, mk_div(b, wide, power), x->type.dtype));
}
