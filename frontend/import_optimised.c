/* import_optimised.c -- com.microsoft: what ONNX Runtime's transformer optimiser writes for GPUs. There is no CPU kernel of these in ONNX Runtime; each is
 * what it was fused from.
 */
#include <math.h>
#include <string.h>

#include "import_fused.h"
#include "import_window.h"

/* ---- a bias and what follows ---- */

/* softmax(x + bias) over the axes from `axis` on. */
bool import_bias_softmax(Importer *c)
{
    Builder *b = &c->b;
    Value *x = mk_add(b, in(c, 0), in(c, 1));
    bool ok = x != NULL;
    int rank = ok ? value_rank(x) : 0;
    int64_t axis = ok ? import_axis(c, attr_i(c, "axis", 1), rank, &ok) : 0;
    if (!ok)
        return false;
    if (axis == rank - 1)
        OUT(c, mk_softmax(b, IN(x), (Attr_softmax){ .axis = axis }));
    Dim flat[2] = { dim_product(b, x, 0, (int)axis), dim_product(b, x, (int)axis, rank) };
    Value *y = mk_softmax(b, IN(mk_reshape_to(b, x, 2, flat)), (Attr_softmax){ .axis = 1 });
    OUT(c, mk_reshape_to(b, y, rank, x->type.dim));
}

/* x + bias + skip */
bool import_bias_add(Importer *c)
{
    OUT(c, mk_add(&c->b, mk_add(&c->b, in(c, 0), in(c, 1)), in(c, 2)));
}

/* dropout(x + bias) + residual; without training nothing is dropped. */
bool import_bias_dropout(Importer *c)
{
    Builder *b = &c->b;
    double training = 0;
    if (!in_scalar(c, 4, 0, &training))
        return false;
    if (training != 0)
        return import_unsupported(c, "training mode");
    Value *y = mk_add(b, in(c, 0), in(c, 1));
    if (y && out_wanted(c, 1) && !set_out(c, 1, mk_expand_to(b, mk_scalar(b, DT_bool, 1), value_rank(y), y->type.dim)))
        return false;
    OUT(c, in(c, 2) ? mk_add(b, y, in(c, 2)) : y);
}

/* Of x + bias the first half of the last axis times gelu of the second. */
bool import_bias_split_gelu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = mk_add(b, in(c, 0), in(c, 1));
    int axis = x ? value_rank(x) - 1 : 0;
    if (!x)
        return false;
    Dim half = dim_divk(c->m->dims, value_dim(x, axis), 2);
    Value *left = mk_slice_axis(b, x, axis, dim_const(c->m->dims, 0), half), *right = mk_slice_axis(b, x, axis, half, half);
    OUT(c, mk_mul(b, left, mk_gelu(b, right)));
}

bool import_gemm_fast_gelu(Importer *c)
{
    Value *y = mk_matmul(&c->b, IN(in(c, 0), in(c, 1)), (Attr_matmul){ 0 });
    OUT(c, mk_gelu_tanh(&c->b, in(c, 2) ? mk_add(&c->b, y, in(c, 2)) : y));
}

/* ---- groups of channels, normalised ---- */

static Value *group_norm(Importer *c, Value *x)
{
    Builder *b = &c->b;
    bool last = attr_i(c, "channels_last", 1);
    int64_t groups = attr_i(c, "groups", 0), axis = 2;
    Value *y = last ? channels_moved(c, x, false) : x;
    if (!y)
        return NULL;
    if (groups < 1 || value_rank(y) < 2 || (dim_is_const(value_dim(y, 1)) && value_dim(y, 1)->k % groups)) {
        import_fail(c, "the channels do not divide into %lld groups", (long long)groups);
        return NULL;
    }
    DType wide = wide_float(y->type.dtype);
    int rank = value_rank(y);
    Dim parts[3] = { value_dim(y, 0), dim_const(c->m->dims, groups), dim_divk(c->m->dims, dim_product(b, y, 1, rank), groups) };
    Standardised s = mk_standardised(b, mk_cast_to(b, mk_reshape_to(b, y, 3, parts), wide), 1, &axis, attr_f(c, "epsilon", (double)1e-5f));
    Value *z = mk_reshape_to(b, s.y, rank, y->type.dim);
    z = mk_mul(b, z, mk_align_channel(b, mk_cast_to(b, in(c, 1), wide), rank, 1));
    z = mk_add(b, z, mk_align_channel(b, mk_cast_to(b, in(c, 2), wide), rank, 1));
    z = attr_i(c, "activation", 0) == 1 && z ? mk_mul(b, z, mk_sigmoid(b, z)) : z;
    z = mk_cast_to(b, z, x->type.dtype);
    return last ? channels_moved(c, z, true) : z;
}

bool import_ms_group_norm(Importer *c)
{
    OUT(c, group_norm(c, in(c, 0)));
}

/* skip is of x's shape, or has one value per channel; bias [C]. Result 1 is the sum. */
bool import_skip_group_norm(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *skip = in(c, 3), *bias = in(c, 4);
    if (!x || !skip)
        return false;
    bool last = attr_i(c, "channels_last", 1);
    int rank = value_rank(x);
    if (value_rank(skip) == 2)
        skip = mk_insert_axes(b, skip, last ? 1 : 2, rank - 2);
    if (bias && !last)
        bias = mk_align_channel(b, bias, rank, 1);
    Value *sum = mk_add(b, x, bias ? mk_add(b, skip, bias) : skip);
    return set_out(c, 0, group_norm(c, sum)) && set_out(c, 1, sum);
}

/* ---- convolution with the channels behind ---- */

/* The weights come as [M, k.., C/group], or as a plain Conv has them. */
static Value *plain_weights(Importer *c, Value *x, Value *w)
{
    int rank = w ? value_rank(w) : 0;
    if (!x || rank < 3 || value_rank(x) != rank)
        return w;
    Dim channels = dim_divk(c->m->dims, value_dim(x, rank - 1), attr_i(c, "group", 1) > 0 ? attr_i(c, "group", 1) : 1);
    IntVec kernel = attr_ints(c, "kernel_shape");
    bool plain = value_dim(w, 1) == channels, fits = kernel.n == rank - 2;
    for (int i = 0; fits && i < kernel.n; i++)
        fits = dim_is(value_dim(w, 2 + i), kernel.v[i]);
    return value_dim(w, rank - 1) == channels && !(plain && fits) ? channels_moved(c, w, false) : w;
}

/* y = activation(conv(x, w, bias) + sum) */
bool import_nhwc_conv(Importer *c)
{
    Value *x = in(c, 0);
    Value *y = channels_moved(c, import_conv_of(c, channels_moved(c, x, false), plain_weights(c, x, in(c, 1)), in(c, 2)), true);
    if (in(c, 3))
        y = mk_add(&c->b, y, in(c, 3));
    OUT(c, fused_activation(c, attr_s(c, "activation", ""), attr_floats(c, "activation_params"), y));
}

bool import_fused_matmul_activation(Importer *c)
{
    OUT(c, fused_activation_of_attributes(c, fused_result_of(c, import_fused_matmul, c->input, c->opset)));
}

/* ---- the bias of T5 ---- */

/* table [buckets, heads] by how far a key is from its query -> [1, heads, queries, keys]. Small distances have a bucket each, larger ones share them on a
 * logarithmic scale up to max_distance (Raffel et al. 2020). */
bool import_relative_position_bias(Importer *c)
{
    Builder *b = &c->b;
    Value *table = in(c, 0);
    DimVec queries, keys;
    bool both = attr_i(c, "is_bidirectional", 0);
    int64_t most = attr_i(c, "max_distance", 128);
    if (!table || !in_dims(c, 1, &queries) || !in_dims(c, 2, &keys))
        return false;
    if (value_rank(table) != 2 || !dim_is_const(value_dim(table, 0)) || queries.n != 1 || keys.n != 1 || value_dim(table, 0)->k < 4 || most < 2)
        return import_fail(c, "a table [buckets, heads], two lengths and a max_distance are needed");
    int64_t buckets = value_dim(table, 0)->k / (both ? 2 : 1), exact = buckets / 2;
    Value *apart = mk_sub(b, mk_iota_n(b, DT_i64, keys.v[0]), mk_insert_axes(b, mk_iota_n(b, DT_i64, queries.v[0]), 1, 1));
    Value *far = both ? mk_abs(b, apart) : mk_relu(b, mk_neg(b, apart));
    Value *ratio = mk_scaled(b, mk_cast_to(b, mk_max(b, far, mk_scalar(b, DT_i64, 1)), DT_f32), 1 / (double)exact);
    Value *grown = mk_log(b, ratio);                /* in the order of the original: a bucket begins where the quotient is a whole number */
    grown = mk_scaled(b, mk_div(b, grown, mk_k(b, grown, log((double)most / (double)exact))), (double)(buckets - exact));
    Value *shared = mk_min(b, mk_shifted(b, mk_cast_to(b, grown, DT_i64), (double)exact), mk_scalar(b, DT_i64, (double)(buckets - 1)));
    Value *bucket = mk_where(b, mk_lt(b, far, mk_scalar(b, DT_i64, (double)exact)), far, shared);
    if (both)
        bucket = mk_add(b, bucket, mk_scaled(b, mk_cast_to(b, mk_lt(b, mk_scalar(b, DT_i64, 0), apart), DT_i64), (double)buckets));
    Value *y = mk_gather(b, IN(table, bucket), (Attr_gather){ .axis = 0 });         /* [queries, keys, heads] */
    OUT(c, mk_insert_axes(b, mk_transpose_perm(b, y, (int64_t[]){ 2, 0, 1 }), 0, 1));
}
