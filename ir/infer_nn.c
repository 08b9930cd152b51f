/* infer_nn.c -- inference for contractions, reductions and pooling. Output sizes of windowed ops are Dim arithmetic, so a symbolic
 * height stays an expression of the input's. x of a windowed op is [N, C, spatial...], or [N, spatial..., C] if channels_last.
 */
#include "infer.h"
#include "winograd.h"

#include <string.h>

/* ---- matmul ---- */

static bool takes_contraction(Module *m, const Node *n, DType t, bool wide_ints)
{
    if (t == DT_f32 || t == DT_f64 || t == DT_f16 || t == DT_bf16 || t == DT_i32)
        return true;
    if (wide_ints && (t == DT_i64 || t == DT_u32 || t == DT_u64))
        return true;
    return infer_fail(m, n, "of %s is not supported", dtype_name(t));
}

/* u8 times i8 is summed in i32, which is also the type of the bias. */
static bool sums_bytes(const Node *n)
{
    return in_type(n, 0)->dtype == DT_u8 && in_type(n, 1)->dtype == DT_i8;
}

static bool sums_wide(const Node *n)
{
    return n->op == OP_conv ? NODE_ATTR(n, conv)->wide : n->op == OP_matmul && NODE_ATTR(n, matmul)->wide;
}

static DType sum_type(const Node *n)
{
    return sums_bytes(n) ? DT_i32 : sums_wide(n) ? DT_f32 : in_type(n, 0)->dtype;
}

/* Small floats, or f32, summed in f32. */
static bool wide_dtypes(Module *m, const Node *n)
{
    for (int i = 0; i < 2; i++) {
        DType t = in_type(n, i)->dtype;
        if (t != DT_f32 && t != DT_f16 && t != DT_bf16)
            return infer_fail(m, n, "operand %d of a wide product is %s, f32, f16 or bf16 is needed", i, dtype_name(t));
    }
    return !node_in(n, 2) || in_type(n, 2)->dtype == DT_f32 ||
           infer_fail(m, n, "the bias of a wide product is %s, f32 is needed", dtype_name(in_type(n, 2)->dtype));
}

static bool contraction_dtypes(Module *m, const Node *n, bool wide_ints)
{
    if (sums_wide(n))
        return wide_dtypes(m, n);
    if (!sums_bytes(n))
        return infer_same_dtype(m, n, 0) && takes_contraction(m, n, in_type(n, 0)->dtype, wide_ints);
    return !node_in(n, 2) || in_type(n, 2)->dtype == DT_i32 ||
           infer_fail(m, n, "the bias of a product of u8 and i8 is %s, i32 is needed", dtype_name(in_type(n, 2)->dtype));
}

bool infer_matmul(Module *m, Node *n)
{
    if (!infer_operand(m, n, 0, 2) || !infer_operand(m, n, 1, 2) || !contraction_dtypes(m, n, true))
        return false;
    const Type *a = in_type(n, 0), *b = in_type(n, 1);
    if (dims_differ(m, a->dim[a->rank - 1], b->dim[b->rank - 2]))
        return infer_fail(m, n, "%s has rows of %s elements, %s has columns of %s", type_print(m, m->arena, a),
                          infer_dim_text(m, a->dim[a->rank - 1]), type_print(m, m->arena, b), infer_dim_text(m, b->dim[b->rank - 2]));
    Type batch_a = *a, batch_b = *b;
    batch_a.rank -= 2, batch_b.rank -= 2;
    Dim out[MAX_RANK];
    int rank = dims_broadcast(m, n->loc, (const Type *[]){ &batch_a, &batch_b }, 2, out);
    if (rank < 0)
        return false;
    out[rank] = a->dim[a->rank - 2];
    out[rank + 1] = b->dim[b->rank - 1];
    return infer_set(m, n, 0, sum_type(n), rank + 2, out);
}

/* ---- convolution ---- */

static Dim channels_of(const Type *x, bool channels_last)
{
    return x->dim[channels_last ? x->rank - 1 : 1];
}

static Dim spatial_of(const Type *x, bool channels_last, int k)
{
    return x->dim[channels_last ? 1 + k : 2 + k];
}

static void place_output(Type const *x, bool channels_last, Dim channels, const Dim *spatial, Dim *out)
{
    int s = x->rank - 2;
    out[0] = x->dim[0];
    out[channels_last ? x->rank - 1 : 1] = channels;
    for (int k = 0; k < s; k++)
        out[(channels_last ? 1 : 2) + k] = spatial[k];
}

/* A window attribute has one entry per spatial axis (per_axis of them), every entry at least `least`. */
static bool window_attr(Module *m, const Node *n, const char *what, IntVec v, int spatial, int per_axis, int64_t least)
{
    if (v.n != spatial * per_axis)
        return infer_fail(m, n, "%s has %d entries, %d are needed for %d spatial axes", what, v.n, spatial * per_axis, spatial);
    for (int i = 0; i < v.n; i++)
        if (v.v[i] < least)
            return infer_fail(m, n, "%s has an entry %lld, the least possible is %lld", what, (long long)v.v[i], (long long)least);
    return true;
}

/* Operands and attributes that conv and conv_transpose share; `in_channels` is what the weight expects of x. */
static bool check_conv(Module *m, const Node *n, IntVec strides, IntVec dilations, IntVec pads, int64_t group)
{
    if (!infer_operand(m, n, 0, 3) || !infer_operand(m, n, 1, 3))
        return false;
    bool known = n->op == OP_conv ? contraction_dtypes(m, n, false) : infer_same_dtype(m, n, 0) && takes_contraction(m, n, in_type(n, 0)->dtype, false);
    if (!known)
        return false;
    const Type *x = in_type(n, 0), *w = in_type(n, 1);
    if (w->rank != x->rank)
        return infer_fail(m, n, "input has rank %d, weight has rank %d; they must agree", x->rank, w->rank);
    if (group < 1)
        return infer_fail(m, n, "group is %lld, 1 or more is needed", (long long)group);
    int s = x->rank - 2;
    return window_attr(m, n, "strides", strides, s, 1, 1) && window_attr(m, n, "dilations", dilations, s, 1, 1) &&
           window_attr(m, n, "pads", pads, s, 2, INT32_MIN);
}

static bool check_bias(Module *m, const Node *n, Dim channels)
{
    if (!node_in(n, 2))
        return true;
    if (!infer_operand(m, n, 2, 1))
        return false;
    const Type *b = in_type(n, 2);
    if (b->rank != 1 || dims_differ(m, b->dim[0], channels))
        return infer_fail(m, n, "bias is %s, the result has %s channels", type_print(m, m->arena, b), infer_dim_text(m, channels));
    return true;
}

/* in + pads - (dilation * (kernel - 1) + 1): what is left of the axis once the window stands at its start. */
static Dim window_room(Module *m, Dim in, Dim kernel, int64_t dilation, int64_t pads)
{
    Dim reach = dim_addk(m->dims, dim_mulk(m->dims, dim_addk(m->dims, kernel, -1), dilation), 1);
    return dim_sub(m->dims, dim_addk(m->dims, in, pads), reach);
}

static bool room_is_left(Module *m, const Node *n, int axis, Dim room)
{
    return !dim_is_const(room) || room->k >= 0 ||
           infer_fail(m, n, "the window is %lld elements larger than the padded input along spatial axis %d", (long long)-room->k, axis);
}

/* The memory plan and the generator take these numbers at their word. */
static bool check_winograd(Module *m, const Node *n)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    WinogradPlan p = winograd_plan(a);
    if (!a->winograd.n)
        return true;
    if (!winograd_applies(n))
        return infer_fail(m, n, "winograd needs two spatial axes, channels last, a 3x3 f32 filter, stride and dilation 1, and one group");
    int64_t panels = (in_type(n, 1)->dim[0]->k + WINOGRAD_LANES - 1) / WINOGRAD_LANES;
    if ((p.m != 2 && p.m != 4 && p.m != 6) || p.tiles < 1 || p.tiles > 4096 || p.panels < 1 || panels % p.panels || p.slots < 1 || p.slots > 32)
        return infer_fail(m, n, "winograd is [m, tiles, panels, slots] with m 2, 4 or 6, tiles up to 4096, panels a divisor of %lld, slots up to 32", (long long)panels);
    return true;
}

bool infer_conv(Module *m, Node *n)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    if (!check_conv(m, n, a->strides, a->dilations, a->pads, a->group))
        return false;
    const Type *x = in_type(n, 0), *w = in_type(n, 1);
    Dim c = channels_of(x, a->channels_last), expects = dim_mulk(m->dims, w->dim[1], a->group);
    if (dims_differ(m, c, expects))
        return infer_fail(m, n, "input has %s channels, weight expects %s", infer_dim_text(m, c), infer_dim_text(m, expects));
    if (dim_is_const(w->dim[0]) && w->dim[0]->k % a->group)
        return infer_fail(m, n, "%lld filters do not divide into %lld groups", (long long)w->dim[0]->k, (long long)a->group);
    int s = x->rank - 2;
    Dim spatial[MAX_RANK], out[MAX_RANK];
    for (int k = 0; k < s; k++) {
        Dim room = window_room(m, spatial_of(x, a->channels_last, k), w->dim[2 + k], a->dilations.v[k], a->pads.v[k] + a->pads.v[s + k]);
        if (!room_is_left(m, n, k, room))
            return false;
        spatial[k] = dim_addk(m->dims, dim_divk(m->dims, room, a->strides.v[k]), 1);
    }
    place_output(x, a->channels_last, w->dim[0], spatial, out);
    return check_winograd(m, n) && check_bias(m, n, w->dim[0]) && infer_set(m, n, 0, sum_type(n), x->rank, out);
}

bool infer_conv_transpose(Module *m, Node *n)
{
    const Attr_conv_transpose *a = NODE_ATTR(n, conv_transpose);
    if (!check_conv(m, n, a->strides, a->dilations, a->pads, a->group))
        return false;
    const Type *x = in_type(n, 0), *w = in_type(n, 1);
    int s = x->rank - 2;
    if (!window_attr(m, n, "output_padding", a->output_padding, s, 1, 0))
        return false;
    Dim c = channels_of(x, a->channels_last), channels = dim_mulk(m->dims, w->dim[1], a->group);
    if (dims_differ(m, c, w->dim[0]))
        return infer_fail(m, n, "input has %s channels, weight expects %s", infer_dim_text(m, c), infer_dim_text(m, w->dim[0]));
    if (dim_is_const(c) && c->k % a->group)
        return infer_fail(m, n, "%lld channels do not divide into %lld groups", (long long)c->k, (long long)a->group);
    Dim spatial[MAX_RANK], out[MAX_RANK];
    for (int k = 0; k < s; k++) {                       /* (in-1)*stride + dilation*(kernel-1) + 1 + output_padding - pads */
        Dim last = dim_mulk(m->dims, dim_addk(m->dims, spatial_of(x, a->channels_last, k), -1), a->strides.v[k]);
        Dim reach = dim_mulk(m->dims, dim_addk(m->dims, w->dim[2 + k], -1), a->dilations.v[k]);
        spatial[k] = dim_addk(m->dims, dim_add(m->dims, last, reach), 1 + a->output_padding.v[k] - a->pads.v[k] - a->pads.v[s + k]);
    }
    place_output(x, a->channels_last, channels, spatial, out);
    return check_bias(m, n, channels) && infer_set(m, n, 0, x->dtype, x->rank, out);
}

/* ---- reduction ---- */

static bool is_number(DType t)
{
    return dtype_is_float(t) || dtype_is_int(t);
}

bool infer_reduce(Module *m, Node *n)
{
    static const char *const kinds[] = { "sum", "prod", "max", "min", NULL };
    const Attr_reduce *a = NODE_ATTR(n, reduce);
    if (!infer_operand(m, n, 0, 0) || !infer_word_among(m, n, "kind", a->kind, kinds))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    Dim out[MAX_RANK];
    infer_copy_dims(out, x);
    for (int i = 0; i < a->axes.n; i++) {
        if (!infer_axis(m, n, a->axes.v[i], x->rank))
            return false;
        if (i && a->axes.v[i] <= a->axes.v[i - 1])
            return infer_fail(m, n, "the axes are not in rising order");
        out[a->axes.v[i]] = dim_const(m->dims, 1);
    }
    if (!infer_set(m, n, 0, x->dtype, x->rank, out))
        return false;
    known_reduce(m, n);
    return true;
}

bool infer_arg_reduce(Module *m, Node *n)
{
    static const char *const kinds[] = { "max", "min", NULL };
    const Attr_arg_reduce *a = NODE_ATTR(n, arg_reduce);
    if (!infer_operand(m, n, 0, 1) || !infer_word_among(m, n, "kind", a->kind, kinds) || !infer_axis(m, n, a->axis, in_type(n, 0)->rank))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    if (dim_is(x->dim[a->axis], 0))
        return infer_fail(m, n, "axis %lld is empty, there is no element to choose", (long long)a->axis);
    Dim out[MAX_RANK];
    infer_copy_dims(out, x);
    out[a->axis] = dim_const(m->dims, 1);
    return infer_set(m, n, 0, DT_i64, x->rank, out);
}

bool infer_softmax(Module *m, Node *n)
{
    if (!infer_operand(m, n, 0, 1) || !infer_axis(m, n, NODE_ATTR(n, softmax)->axis, in_type(n, 0)->rank))
        return false;
    const Type *x = in_type(n, 0);
    if (!dtype_is_float(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    return infer_set(m, n, 0, x->dtype, x->rank, x->dim);
}

/* ---- pooling ---- */

/* With `ceil` a last partial window is kept, but not one that starts in the padding behind the input. */
static Dim pooled_size(Module *m, Dim in, Dim room, int64_t stride, int64_t pad_before, bool ceil)
{
    if (!ceil)
        return dim_addk(m->dims, dim_divk(m->dims, room, stride), 1);
    Dim s = dim_const(m->dims, stride);
    Dim all = dim_addk(m->dims, dim_ceil_div(m->dims, room, s), 1);
    return dim_min(m->dims, all, dim_ceil_div(m->dims, dim_addk(m->dims, in, pad_before), s));
}

typedef struct Window { IntVec kernel, strides, dilations, pads; bool ceil, channels_last; } Window;

static bool infer_window(Module *m, const Node *n, const Window *a, Dim *out)
{
    if (!infer_operand(m, n, 0, 3))
        return false;
    const Type *x = in_type(n, 0);
    int s = x->rank - 2;
    if (!window_attr(m, n, "kernel", a->kernel, s, 1, 1) || !window_attr(m, n, "strides", a->strides, s, 1, 1) ||
        !window_attr(m, n, "dilations", a->dilations, s, 1, 1) || !window_attr(m, n, "pads", a->pads, s, 2, 0))
        return false;
    Dim spatial[MAX_RANK];
    for (int k = 0; k < s; k++) {
        Dim in = spatial_of(x, a->channels_last, k);
        Dim room = window_room(m, in, dim_const(m->dims, a->kernel.v[k]), a->dilations.v[k], a->pads.v[k] + a->pads.v[s + k]);
        if (!a->ceil && !room_is_left(m, n, k, room))
            return false;
        spatial[k] = pooled_size(m, in, room, a->strides.v[k], a->pads.v[k], a->ceil);
    }
    place_output(x, a->channels_last, channels_of(x, a->channels_last), spatial, out);
    return true;
}

bool infer_pool(Module *m, Node *n)
{
    static const char *const kinds[] = { "max", "avg", NULL };
    const Attr_pool *a = NODE_ATTR(n, pool);
    Dim out[MAX_RANK];
    if (!infer_window(m, n, &(Window){ a->kernel, a->strides, a->dilations, a->pads, a->ceil, a->channels_last }, out) ||
        !infer_word_among(m, n, "kind", a->kind, kinds))
        return false;
    const Type *x = in_type(n, 0);
    if (!strcmp(a->kind, "max") ? !is_number(x->dtype) : !dtype_is_float(x->dtype))
        return infer_fail(m, n, "%s of %s is not supported", a->kind, dtype_name(x->dtype));
    return infer_set(m, n, 0, x->dtype, x->rank, out);
}

bool infer_max_pool_indices(Module *m, Node *n)
{
    const Attr_max_pool_indices *a = NODE_ATTR(n, max_pool_indices);
    Dim out[MAX_RANK];
    if (!infer_window(m, n, &(Window){ a->kernel, a->strides, a->dilations, a->pads, a->ceil, false }, out))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    return infer_set(m, n, 0, x->dtype, x->rank, out) && infer_set(m, n, 1, DT_i64, x->rank, out);
}
