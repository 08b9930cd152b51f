/* infer_vision.c -- inference for the kernels of detection and sampling. */
#include "infer.h"

#include <string.h>

static bool takes_floats(Module *m, const Node *n, int i)
{
    return dtype_is_float(in_type(n, i)->dtype) || infer_fail(m, n, "operand %d is %s, floats are needed", i, dtype_name(in_type(n, i)->dtype));
}

/* Operand i has exactly this rank, and its axis k (if >= 0) the size d. */
static bool has_shape(Module *m, const Node *n, int i, int rank, int k, Dim d)
{
    if (!infer_operand(m, n, i, 0))
        return false;
    const Type *t = in_type(n, i);
    if (t->rank != rank)
        return infer_fail(m, n, "operand %d is %s, rank %d is needed", i, type_print(m, m->arena, t), rank);
    return k < 0 || !dims_differ(m, t->dim[k], d) ||
           infer_fail(m, n, "operand %d is %s, size %s is needed along axis %d", i, type_print(m, m->arena, t), infer_dim_text(m, d), k);
}

bool infer_non_max_suppression(Module *m, Node *n)
{
    const DimVec *count = &NODE_ATTR(n, non_max_suppression)->count;
    if (!has_shape(m, n, 0, 3, 2, dim_const(m->dims, 4)) || !has_shape(m, n, 1, 3, 2, in_type(n, 0)->dim[1]) || !takes_floats(m, n, 0) ||
        !takes_floats(m, n, 1) || !has_shape(m, n, 1, 3, 0, in_type(n, 0)->dim[0]))
        return false;
    for (int i = 2; i < n->nin; i++)
        if (node_in(n, i) && (!infer_operand(m, n, i, 0) || dims_differ(m, type_count_dim(m, in_type(n, i)), dim_const(m->dims, 1))))
            return infer_fail(m, n, "operand %d must be one number", i);
    if (count->n != 1 || count->v[0]->op != DIM_SYM)
        return infer_fail(m, n, "count must be one symbol");
    return infer_set(m, n, 0, DT_i64, 2, (Dim[]){ count->v[0], dim_const(m->dims, 3) });
}

bool infer_grid_sample(Module *m, Node *n)
{
    static const char *const modes[] = { "nearest", "linear", "cubic", NULL }, *const paddings[] = { "zeros", "border", "reflection", NULL };
    const Attr_grid_sample *a = NODE_ATTR(n, grid_sample);
    if (!infer_operand(m, n, 0, 3) || !infer_word_among(m, n, "mode", a->mode, modes) || !infer_word_among(m, n, "padding", a->padding, paddings))
        return false;
    const Type *x = in_type(n, 0);
    if (!has_shape(m, n, 1, x->rank, x->rank - 1, dim_const(m->dims, x->rank - 2)) || !has_shape(m, n, 1, x->rank, 0, x->dim[0]) ||
        !takes_floats(m, n, 1))
        return false;
    const Type *grid = in_type(n, 1);
    if (!dtype_is_float(x->dtype) && !dtype_is_int(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    Dim out[MAX_RANK] = { x->dim[0], x->dim[1] };
    for (int k = 2; k < x->rank; k++)
        out[k] = grid->dim[k - 1];
    return infer_set(m, n, 0, x->dtype, x->rank, out);
}

bool infer_roi_align(Module *m, Node *n)
{
    static const char *const modes[] = { "avg", "max", "pool", NULL };
    const Attr_roi_align *a = NODE_ATTR(n, roi_align);
    if (!has_shape(m, n, 0, 4, -1, NULL) || !has_shape(m, n, 1, 2, 1, dim_const(m->dims, 4)) || !has_shape(m, n, 2, 1, 0, in_type(n, 1)->dim[0]) ||
        !takes_floats(m, n, 0) || !takes_floats(m, n, 1) || !infer_is_index(m, n, 2) || !infer_word_among(m, n, "mode", a->mode, modes))
        return false;
    if (a->height < 1 || a->width < 1 || a->sampling_ratio < 0)
        return infer_fail(m, n, "height, width and sampling_ratio are %lld, %lld and %lld", (long long)a->height, (long long)a->width,
                          (long long)a->sampling_ratio);
    Dim out[4] = { in_type(n, 1)->dim[0], in_type(n, 0)->dim[1], dim_const(m->dims, a->height), dim_const(m->dims, a->width) };
    return infer_set(m, n, 0, in_type(n, 0)->dtype, 4, out);
}

/* Offset and mask have offset_group * taps * per_tap channels and the shape of the result. */
static bool check_field(Module *m, const Node *n, int i, int per_tap, const Dim *out)
{
    const Type *w = in_type(n, 1);
    Dim taps = dim_mul(m->dims, w->dim[2], w->dim[3]);
    Dim channels = dim_mulk(m->dims, taps, NODE_ATTR(n, deform_conv)->offset_group * per_tap);
    return has_shape(m, n, i, 4, 0, out[0]) && has_shape(m, n, i, 4, 1, channels) && has_shape(m, n, i, 4, 2, out[2]) &&
           has_shape(m, n, i, 4, 3, out[3]) && takes_floats(m, n, i);
}

bool infer_deform_conv(Module *m, Node *n)
{
    const Attr_deform_conv *a = NODE_ATTR(n, deform_conv);
    if (!has_shape(m, n, 0, 4, -1, NULL) || !has_shape(m, n, 1, 4, -1, NULL) || !has_shape(m, n, 2, 4, -1, NULL) || !takes_floats(m, n, 0) ||
        !takes_floats(m, n, 1))
        return false;
    const Type *x = in_type(n, 0), *w = in_type(n, 1);
    if (a->strides.n != 2 || a->dilations.n != 2 || a->pads.n != 4 || a->group < 1 || a->offset_group < 1)
        return infer_fail(m, n, "strides, dilations, pads, group or offset_group do not describe a window over two axes");
    Dim expects = dim_mulk(m->dims, w->dim[1], a->group), out[4] = { x->dim[0], w->dim[0] };
    if (dims_differ(m, x->dim[1], expects))
        return infer_fail(m, n, "input has %s channels, weight expects %s", infer_dim_text(m, x->dim[1]), infer_dim_text(m, expects));
    if (dim_is_const(x->dim[1]) && (x->dim[1]->k % a->offset_group || x->dim[1]->k % a->group))
        return infer_fail(m, n, "%lld channels do not divide into %lld groups and %lld offset groups", (long long)x->dim[1]->k, (long long)a->group,
                          (long long)a->offset_group);
    for (int k = 0; k < 2; k++) {
        if (a->strides.v[k] < 1 || a->dilations.v[k] < 1)
            return infer_fail(m, n, "strides and dilations must be 1 or more");
        Dim reach = dim_mulk(m->dims, dim_addk(m->dims, w->dim[2 + k], -1), a->dilations.v[k]);
        Dim room = dim_sub(m->dims, dim_addk(m->dims, x->dim[2 + k], a->pads.v[k] + a->pads.v[2 + k] - 1), reach);
        out[2 + k] = dim_addk(m->dims, dim_divk(m->dims, room, a->strides.v[k]), 1);
    }
    if (!check_field(m, n, 2, 2, out) || (node_in(n, 3) && !has_shape(m, n, 3, 1, 0, w->dim[0])) || (node_in(n, 4) && !check_field(m, n, 4, 1, out)))
        return false;
    return infer_set(m, n, 0, x->dtype, 4, out);
}

/* ---- images ---- */

static bool is_file(Module *m, const Node *n)
{
    if (!infer_operand(m, n, 0, 1))
        return false;
    const Type *x = in_type(n, 0);
    return (x->rank == 1 && x->dtype == DT_u8) || infer_fail(m, n, "operand 0 is %s, a file of bytes, u8[n], is needed", type_print(m, m->arena, x));
}

bool infer_image_size(Module *m, Node *n)
{
    Dim two = dim_const(m->dims, 2);
    return is_file(m, n) && infer_set(m, n, 0, DT_i64, 1, &two);
}

bool infer_image_decode(Module *m, Node *n)
{
    static const char *const formats[] = { "RGB", "BGR", "Grayscale", NULL };
    const Attr_image_decode *a = NODE_ATTR(n, image_decode);
    if (!is_file(m, n) || !infer_word_among(m, n, "format", a->format, formats))
        return false;
    if (a->shape.n != 3 || !dim_is(a->shape.v[2], strcmp(a->format, "Grayscale") ? 3 : 1))
        return infer_fail(m, n, "the shape does not fit the format");
    return infer_set(m, n, 0, DT_u8, 3, a->shape.v);
}
