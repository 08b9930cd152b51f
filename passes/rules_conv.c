/* rules_conv.c -- rewrite rules around contractions and pools: a scale or a shift per channel, which is what is left of a BatchNorm, goes into the weights
 * and the bias; a large maximum is taken along one axis after the other. The notation is in rules.h. Only constants are multiplied, so nothing is computed at run time that was not before.
 */
#include <string.h>

#include "pass_util.h"
#include "rules.h"

/* ---- constants per channel ---- */

/* A constant that varies along one axis of t only, as a vector over that axis; NULL if it is not of that form. Built of nodes, folded by the driver. */
static Value *channel_vector(Match *x, Value *k, const Type *t, int axis)
{
    const Tensor *c = value_constant(k);
    if (!c || c->rank > t->rank || !dim_is_const(t->dim[axis]))
        return NULL;
    int64_t channels = t->dim[axis]->k;
    for (int i = 0; i < c->rank; i++) {
        int at = t->rank - c->rank + i;
        if (c->dim[i] != 1 && (at != axis || c->dim[i] != channels))
            return NULL;
    }
    if (c->count != 1)
        return mk_reshape_ints(&x->b, k, 1, &channels);
    return mk_expand_to(&x->b, mk_reshape_ints(&x->b, k, 0, NULL), 1, dims_of_ints(x->m, 1, &channels).v);
}

/* v [n] as [1, .., n, .., 1] */
static Value *along(Match *x, Value *v, int rank, int axis)
{
    int64_t dim[MAX_RANK];
    if (!v)
        return NULL;
    for (int i = 0; i < rank; i++)
        dim[i] = i == axis ? v->type.dim[0]->k : 1;
    return mk_reshape_ints(&x->b, v, rank, dim);
}

/* The rounding of narrow floats would show. */
static bool is_wide_float(const Value *v)
{
    return v->type.dtype == DT_f32 || v->type.dtype == DT_f64;
}

static int channel_axis(const Node *n, bool channels_last)
{
    return channels_last ? node_out(n)->type.rank - 1 : 1;
}

/* The bias with k added; NULL only if k is. */
static Value *grown_bias(Match *x, const Node *c, Value *k)
{
    return node_in(c, 2) ? mk_add(&x->b, node_in(c, 2), k) : k;
}

/* ---- conv ---- */

static Value *conv_with(Match *x, const Node *c, Value *in, Value *w, Value *bias)
{
    return mk_conv(&x->b, IN(in, w, bias), *NODE_ATTR(c, conv));
}

static Value *build_conv_bias(Match *x)
{
    const Node *c = match_node(x, "c");
    Value *k = channel_vector(x, match_value(x, "k"), &node_out(c)->type, channel_axis(c, NODE_ATTR(c, conv)->channels_last));
    Value *bias = grown_bias(x, c, k);
    return bias ? conv_with(x, c, c->in[0].val, c->in[1].val, bias) : NULL;
}

/* Weight and bias may be multiplied now. */
static bool weights_are_constant(const Node *c)
{
    return value_constant(c->in[1].val) && (!node_in(c, 2) || value_constant(node_in(c, 2))) && is_wide_float(c->in[1].val);
}

static Value *build_scaled_filters(Match *x)
{
    const Node *c = match_node(x, "c");
    Value *w = c->in[1].val;
    Value *k = channel_vector(x, match_value(x, "k"), &node_out(c)->type, channel_axis(c, NODE_ATTR(c, conv)->channels_last));
    if (!k || !weights_are_constant(c))
        return NULL;
    Value *bias = node_in(c, 2) ? mk_mul(&x->b, node_in(c, 2), k) : NULL;
    return conv_with(x, c, c->in[0].val, mk_mul(&x->b, w, along(x, k, w->type.rank, 0)), bias);
}

/* The operand x (op) k, k constant per input channel, as it stands before a conv and nowhere else. */
typedef struct Before {
    Value *x, *k;                   /* k: [channels] */
} Before;

static bool constant_before(Match *x, const Node *c, OpCode op, bool channels_last, Before *out)
{
    Node *n = c->in[0].val->def;
    if (n->op != op || !value_only_user(node_out(n)) || !weights_are_constant(c))
        return false;
    int i = value_constant(n->in[1].val) ? 1 : 0;
    if (!type_equal(&n->in[1 - i].val->type, &node_out(n)->type))
        return false;
    *out = (Before){ n->in[1 - i].val, channel_vector(x, n->in[i].val, &node_out(n)->type, channel_axis(n, channels_last)) };
    return out->k != NULL;
}

/* [channels] as a factor of w [M, channels/group, ...]: filter m of group g sees channels g * channels/group and on. */
static Value *per_filter_channel(Match *x, const Node *c, Value *k)
{
    const Type *w = &c->in[1].val->type;
    int64_t group = NODE_ATTR(c, conv)->group, filters = w->dim[0]->k, depth = w->dim[1]->k, dim[MAX_RANK];
    Value *v = mk_reshape_ints(&x->b, k, 3, (int64_t[]){ group, 1, depth });
    if (v && group > 1)
        v = mk_expand_to(&x->b, v, 3, dims_of_ints(x->m, 3, (int64_t[]){ group, filters / group, depth }).v);
    for (int i = 0; i < w->rank; i++)
        dim[i] = i == 0 && group > 1 ? filters : i == 1 ? depth : 1;
    return mk_reshape_ints(&x->b, v, w->rank, dim);
}

/* Padding is zeros, and zero times anything is zero: scaling before or after padding is one. */
static Value *build_scaled_channels(Match *x)
{
    Before b;
    Node *c = x->root;
    if (!constant_before(x, c, OP_mul, NODE_ATTR(c, conv)->channels_last, &b))
        return NULL;
    Value *w = mk_mul(&x->b, c->in[1].val, per_filter_channel(x, c, b.k));
    return conv_with(x, c, b.x, w, node_in(c, 2));
}

static bool has_no_pads(const Attr_conv *a)
{
    for (int i = 0; i < a->pads.n; i++)
        if (a->pads.v[i])
            return false;
    return true;
}

/* Without padding every window sees the whole shift: the bias grows by its convolution with the filter. */
static Value *build_shifted_input(Match *x)
{
    Before b;
    Node *c = x->root;
    if (!has_no_pads(NODE_ATTR(c, conv)) || !constant_before(x, c, OP_add, NODE_ATTR(c, conv)->channels_last, &b))
        return NULL;
    int rank = c->in[1].val->type.rank;
    int64_t axes[MAX_RANK], filters = c->in[1].val->type.dim[0]->k;
    for (int i = 1; i < rank; i++)
        axes[i - 1] = i;
    Value *seen = mk_mul(&x->b, c->in[1].val, per_filter_channel(x, c, b.k));
    Value *shift = mk_reshape_ints(&x->b, mk_reduce_axes(&x->b, "sum", seen, rank - 1, axes), 1, &filters), *bias = grown_bias(x, c, shift);
    return bias ? conv_with(x, c, b.x, c->in[1].val, bias) : NULL;
}

/* Zero padding of the spatial axes becomes the pads of the conv. */
static Value *build_conv_pads(Match *x)
{
    Node *c = x->root, *p = c->in[0].val->def;
    const Attr_conv *a = NODE_ATTR(c, conv);
    double fill = 0;
    if (p->op != OP_pad || !value_only_user(node_out(p)) || (node_in(p, 1) && !value_scalar_f64(node_in(p, 1), &fill)) || fill != 0)
        return NULL;
    const Attr_pad *pad = NODE_ATTR(p, pad);
    int rank = node_out(c)->type.rank, spatial = rank - 2, channel = channel_axis(c, a->channels_last);
    int64_t pads[2 * MAX_RANK];
    if (strcmp(pad->mode, "constant") || !dim_is(pad->before.v[0], 0) || !dim_is(pad->after.v[0], 0) || !dim_is(pad->before.v[channel], 0) ||
        !dim_is(pad->after.v[channel], 0))
        return NULL;
    for (int i = 0; i < spatial; i++) {
        Dim before = pad->before.v[i + (a->channels_last ? 1 : 2)], after = pad->after.v[i + (a->channels_last ? 1 : 2)];
        if (!dim_is_const(before) || !dim_is_const(after) || before->k < 0 || after->k < 0 || a->pads.v[i] < 0 || a->pads.v[spatial + i] < 0)
            return NULL;                        /* what is cropped does not come back as zeros */
        pads[i] = a->pads.v[i] + before->k;
        pads[spatial + i] = a->pads.v[spatial + i] + after->k;
    }
    Attr_conv padded = *a;
    padded.pads = ints_copy(x->m, 2 * spatial, pads);
    return mk_conv(&x->b, IN(p->in[0].val, c->in[1].val, node_in(c, 2)), padded);
}

/* ---- conv_transpose: w is [C, M/group, ...] ---- */

static Value *build_conv_transpose_bias(Match *x)
{
    const Node *c = match_node(x, "c");
    const Attr_conv_transpose *a = NODE_ATTR(c, conv_transpose);
    Value *k = channel_vector(x, match_value(x, "k"), &node_out(c)->type, channel_axis(c, a->channels_last));
    Value *bias = grown_bias(x, c, k);
    return bias ? mk_conv_transpose(&x->b, IN(c->in[0].val, c->in[1].val, bias), *a) : NULL;
}

static Value *build_scaled_conv_transpose(Match *x)
{
    const Node *c = match_node(x, "c");
    const Attr_conv_transpose *a = NODE_ATTR(c, conv_transpose);
    Value *w = c->in[1].val, *k = channel_vector(x, match_value(x, "k"), &node_out(c)->type, channel_axis(c, a->channels_last));
    if (!k || !weights_are_constant(c))
        return NULL;
    int64_t group = a->group, channels = w->type.dim[0]->k, filters = w->type.dim[1]->k, dim[MAX_RANK];
    Value *v = mk_reshape_ints(&x->b, k, 3, (int64_t[]){ group, 1, filters });
    v = v ? mk_expand_to(&x->b, v, 3, dims_of_ints(x->m, 3, (int64_t[]){ group, channels / group, filters }).v) : NULL;
    for (int i = 0; i < w->type.rank; i++)
        dim[i] = i == 0 ? channels : i == 1 ? filters : 1;
    Value *scaled = mk_mul(&x->b, w, mk_reshape_ints(&x->b, v, w->type.rank, dim));
    Value *bias = node_in(c, 2) ? mk_mul(&x->b, node_in(c, 2), k) : NULL;
    return mk_conv_transpose(&x->b, IN(c->in[0].val, scaled, bias), *a);
}

/* Filters that do not overlap: every input pixel makes a block of its own, kernel x filters numbers by one matrix product. */
static bool blocks_are_apart(const Node *c)
{
    const Attr_conv_transpose *a = NODE_ATTR(c, conv_transpose);
    const Type *w = &c->in[1].val->type;
    bool apart = a->channels_last && a->group == 1 && value_constant(c->in[1].val) && (!node_in(c, 2) || value_constant(node_in(c, 2)));
    for (int i = 0; apart && i < w->rank - 2; i++)
        apart = dim_is(w->dim[2 + i], a->strides.n ? a->strides.v[i] : 1) && (!a->dilations.n || a->dilations.v[i] == 1) &&
                (!a->output_padding.n || a->output_padding.v[i] == 0);
    for (int i = 0; i < a->pads.n; i++)
        apart &= a->pads.v[i] == 0;
    return apart;
}

/* [C, M, k...] as a matrix [C, k... * M], and the bias [M] repeated to match its columns. */
static Value *block_filters(Match *x, Value *w, int64_t *columns)
{
    int naxes = w->type.rank - 2;
    int64_t perm[MAX_RANK] = { 0 };
    *columns = w->type.dim[1]->k;
    for (int i = 0; i < naxes; i++) {
        perm[1 + i] = 2 + i;
        *columns *= w->type.dim[2 + i]->k;
    }
    perm[1 + naxes] = 1;
    return mk_reshape_ints(&x->b, mk_transpose_perm(&x->b, w, perm), 2, (int64_t[]){ w->type.dim[0]->k, *columns });
}

static Value *repeated_bias(Match *x, Value *bias, int64_t columns)
{
    int64_t filters = bias->type.dim[0]->k;
    Value *v = mk_expand_to(&x->b, bias, 2, dims_of_ints(x->m, 2, (int64_t[]){ columns / filters, filters }).v);
    return mk_reshape_ints(&x->b, v, 1, &columns);
}

/* [N, h, w, kh * kw * M] -> [N, h, w, kh, kw, M] -> [N, h, kh, w, kw, M] -> the result */
static Value *blocks_in_place(Match *x, Value *v, const Type *w, const Type *y)
{
    int naxes = w->rank - 2, rank = 2 * naxes + 2;
    Dim dim[MAX_RANK];
    int64_t perm[MAX_RANK] = { 0 };
    if (!v || rank > MAX_RANK)
        return NULL;
    for (int i = 0; i <= naxes; i++)
        dim[i] = v->type.dim[i];
    for (int i = 0; i < naxes; i++) {
        dim[1 + naxes + i] = w->dim[2 + i];
        perm[1 + 2 * i] = 1 + i;
        perm[2 + 2 * i] = 1 + naxes + i;
    }
    dim[rank - 1] = w->dim[1];
    perm[rank - 1] = rank - 1;
    return mk_reshape_to(&x->b, mk_transpose_perm(&x->b, mk_reshape_to(&x->b, v, rank, dim), perm), y->rank, y->dim);
}

static Value *build_conv_transpose_matmul(Match *x)
{
    const Node *c = x->root;
    int64_t columns;
    if (!blocks_are_apart(c))
        return NULL;
    Value *w = block_filters(x, c->in[1].val, &columns);
    Value *v = mk_matmul(&x->b, IN(c->in[0].val, w), (Attr_matmul){ 0 });
    if (v && node_in(c, 2))
        v = mk_add(&x->b, v, repeated_bias(x, node_in(c, 2), columns));
    return blocks_in_place(x, v, &c->in[1].val->type, &node_out(c)->type);
}

/* ---- matmul with a constant right side ---- */

static Value *build_scaled_columns(Match *x)
{
    const Node *p = match_node(x, "p");
    Value *k = channel_vector(x, match_value(x, "k"), &node_out(p)->type, node_out(p)->type.rank - 1);
    if (!k || !is_wide_float(k) || !is_wide_float(p->in[1].val))
        return NULL;
    return mk_matmul(&x->b, IN(p->in[0].val, mk_mul(&x->b, p->in[1].val, k)), *NODE_ATTR(p, matmul));
}

static Value *build_scaled_rows(Match *x)
{
    const Type *t = &match_value(x, "x")->type;
    Value *w = match_value(x, "w"), *k = match_value(x, "k");
    if (t->rank < 2 || !is_wide_float(w) || !same_shape(t, &x->root->in[0].val->type))
        return NULL;
    k = channel_vector(x, k, t, t->rank - 1);
    return k ? mk_matmul(&x->b, IN(match_value(x, "x"), mk_mul(&x->b, w, along(x, k, 2, 0))), *NODE_ATTR(x->root, matmul)) : NULL;
}

/* ---- a maximum over a large window ---- */

enum { LARGE_WINDOW = 25 };

static Value *pool_along(Match *x, Value *v, const Attr_pool *a, int first, int end)
{
    int64_t kernel[MAX_RANK], strides[MAX_RANK], dilations[MAX_RANK], pads[2 * MAX_RANK];
    int n = a->kernel.n;
    for (int i = 0; i < n; i++) {
        bool here = i >= first && i < end;
        kernel[i] = here ? a->kernel.v[i] : 1;
        strides[i] = here && a->strides.n ? a->strides.v[i] : 1;
        dilations[i] = here && a->dilations.n ? a->dilations.v[i] : 1;
        pads[i] = here && a->pads.n ? a->pads.v[i] : 0;
        pads[n + i] = here && a->pads.n ? a->pads.v[n + i] : 0;
    }
    Attr_pool part = *a;
    part.kernel = ints_copy(x->m, n, kernel);
    part.strides = ints_copy(x->m, n, strides);
    part.dilations = ints_copy(x->m, n, dilations);
    part.pads = ints_copy(x->m, 2 * n, pads);
    return mk_pool(&x->b, IN(v), part);
}

/* kh + kw elements instead of kh * kw. */
static Value *build_max_by_axes(Match *x)
{
    const Attr_pool *a = NODE_ATTR(x->root, pool);
    int last = a->kernel.n - 1;
    int64_t before = 1;
    for (int i = 0; i < last; i++)
        before *= a->kernel.v[i] < LARGE_WINDOW ? a->kernel.v[i] : LARGE_WINDOW;
    if (strcmp(a->kind, "max") || last < 1 || before < 2 || a->kernel.v[last] < 2 || before * a->kernel.v[last] < LARGE_WINDOW)
        return NULL;
    Value *v = pool_along(x, x->root->in[0].val, a, last, last + 1);
    return v ? pool_along(x, v, a, 0, last) : NULL;
}

const Rule rules_conv[] = {
    { .name = "pad_conv", .pattern = "conv(...)", .build = build_conv_pads },
    { .name = "conv_add", .pattern = "add(conv:c!(...), $k)", .build = build_conv_bias },
    { .name = "conv_mul", .pattern = "mul(conv:c!(...), $k)", .build = build_scaled_filters },
    { .name = "mul_conv", .pattern = "conv(...)", .build = build_scaled_channels },
    { .name = "add_conv", .pattern = "conv(...)", .build = build_shifted_input },
    { .name = "conv_transpose_add", .pattern = "add(conv_transpose:c!(...), $k)", .build = build_conv_transpose_bias },
    { .name = "conv_transpose_mul", .pattern = "mul(conv_transpose:c!(...), $k)", .build = build_scaled_conv_transpose },
    { .name = "conv_transpose_matmul", .pattern = "conv_transpose(...)", .build = build_conv_transpose_matmul },
    { .name = "matmul_mul", .pattern = "mul(matmul:p!(?x, $w), $k)", .build = build_scaled_columns },
    { .name = "mul_matmul", .pattern = "matmul(mul!(?x, $k), $w)", .build = build_scaled_rows },
    { .name = "max_by_axes", .pattern = "pool(...)", .build = build_max_by_axes },
    { .name = NULL },
};
