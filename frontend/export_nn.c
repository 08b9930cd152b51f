/* export_nn.c -- contractions, reductions, pooling, resizing. */
#include <math.h>
#include <string.h>

#include "export.h"

static bool give(Exporter *e, const Node *n, Onnx__NodeProto *p)
{
    return export_give(e, p, node_out(n));
}

static bool all_are(IntVec v, int64_t k)
{
    for (int i = 0; i < v.n; i++)
        if (v.v[i] != k)
            return false;
    return true;
}

static void attr_ints_unless(Exporter *e, Onnx__NodeProto *p, const char *name, IntVec v, int64_t usual)
{
    if (!all_are(v, usual))
        export_attr_ints(e, p, name, v);
}

/* ---- contractions ---- */

/* Operand i of a product, in f32 if that is what it is summed in. */
static Term factor(Exporter *e, const Node *n, int i, bool wide)
{
    return wide && node_in(n, i)->type.dtype != DT_f32 ? export_as(e, export_in(e, n, i), DT_f32) : export_in(e, n, i);
}

bool export_matmul(Exporter *e, const Node *n)
{
    bool bytes = node_in(n, 0)->type.dtype == DT_u8 && node_in(n, 1)->type.dtype == DT_i8, wide = NODE_ATTR(n, matmul)->wide;
    return give(e, n, EMIT(e, bytes ? "MatMulInteger" : "MatMul", factor(e, n, 0, wide), factor(e, n, 1, wide)));
}

static void window_attrs(Exporter *e, Onnx__NodeProto *p, IntVec strides, IntVec dilations, IntVec pads)
{
    attr_ints_unless(e, p, "strides", strides, 1);
    attr_ints_unless(e, p, "dilations", dilations, 1);
    attr_ints_unless(e, p, "pads", pads, 0);
}

static void conv_attrs(Exporter *e, Onnx__NodeProto *p, const Node *n)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    const Type *w = &node_in(n, 1)->type;
    int64_t kernel[MAX_RANK];
    for (int i = 2; i < w->rank; i++)
        kernel[i - 2] = w->dim[i]->k;
    export_attr_ints(e, p, "kernel_shape", (IntVec){ w->rank - 2, kernel });
    window_attrs(e, p, a->strides, a->dilations, a->pads);
    if (a->group != 1)
        export_attr_i(e, p, "group", a->group);
}

/* [M] as [1, M, 1, ...], to be added to a result of this rank. */
static Term bias_term(Exporter *e, const Node *n)
{
    int64_t shape[MAX_RANK];
    for (int i = 0; i < node_out(n)->type.rank; i++)
        shape[i] = i == 1 ? -1 : 1;
    return export_reshape_term(e, export_in(e, n, 2), node_out(n)->type.rank, shape);
}

bool export_conv_terms(Exporter *e, const Node *n, Term x, Term w, Term x_zero, Term w_zero)
{
    Onnx__NodeProto *p = EMIT(e, "ConvInteger", x, w, x_zero, w_zero);
    conv_attrs(e, p, n);
    return give(e, n, node_in(n, 2) ? EMIT(e, "Add", export_result(e, p), bias_term(e, n)) : p);
}

bool export_conv(Exporter *e, const Node *n)
{
    DType x = node_in(n, 0)->type.dtype;
    if (NODE_ATTR(n, conv)->channels_last)
        return export_gap(e, n, "it runs channels-last");
    if (x == DT_u8)
        return export_conv_terms(e, n, export_in(e, n, 0), export_in(e, n, 1), NULL, NULL);
    bool wide = NODE_ATTR(n, conv)->wide;
    Onnx__NodeProto *p = EMIT(e, "Conv", factor(e, n, 0, wide), factor(e, n, 1, wide), export_in(e, n, 2));
    conv_attrs(e, p, n);
    return give(e, n, p);
}

bool export_conv_transpose(Exporter *e, const Node *n)
{
    const Attr_conv_transpose *a = NODE_ATTR(n, conv_transpose);
    if (a->channels_last)
        return export_gap(e, n, "it runs channels-last");
    Onnx__NodeProto *p = EMIT(e, "ConvTranspose", export_in(e, n, 0), export_in(e, n, 1), export_in(e, n, 2));
    window_attrs(e, p, a->strides, a->dilations, a->pads);
    attr_ints_unless(e, p, "output_padding", a->output_padding, 0);
    if (a->group != 1)
        export_attr_i(e, p, "group", a->group);
    return give(e, n, p);
}

/* ---- reductions ---- */

bool export_reduce(Exporter *e, const Node *n)
{
    static const struct { const char *kind, *onnx; } name[] = { { "sum", "ReduceSum" }, { "prod", "ReduceProd" }, { "max", "ReduceMax" }, { "min", "ReduceMin" } };
    const Attr_reduce *a = NODE_ATTR(n, reduce);
    size_t i = 0;
    while (strcmp(name[i].kind, a->kind))
        i++;
    Onnx__NodeProto *p = EMIT(e, name[i].onnx, export_in(e, n, 0), export_ints(e, a->axes.n, a->axes.v));
    export_attr_i(e, p, "keepdims", 1);
    if (!a->axes.n)
        export_attr_i(e, p, "noop_with_empty_axes", 1);
    return give(e, n, p);
}

bool export_arg_reduce(Exporter *e, const Node *n)
{
    const Attr_arg_reduce *a = NODE_ATTR(n, arg_reduce);
    Onnx__NodeProto *p = EMIT(e, strcmp(a->kind, "max") ? "ArgMin" : "ArgMax", export_in(e, n, 0));
    export_attr_i(e, p, "axis", a->axis);
    export_attr_i(e, p, "keepdims", 1);
    if (a->last)
        export_attr_i(e, p, "select_last_index", 1);
    return give(e, n, p);
}

bool export_softmax(Exporter *e, const Node *n)
{
    const Attr_softmax *a = NODE_ATTR(n, softmax);
    Onnx__NodeProto *p = EMIT(e, a->log ? "LogSoftmax" : "Softmax", export_in(e, n, 0));
    export_attr_i(e, p, "axis", a->axis);
    return give(e, n, p);
}

/* ---- pooling ---- */

bool export_pool(Exporter *e, const Node *n)
{
    const Attr_pool *a = NODE_ATTR(n, pool);
    bool avg = !strcmp(a->kind, "avg");
    if (a->channels_last)
        return export_gap(e, n, "it runs channels-last");
    Onnx__NodeProto *p = EMIT(e, avg ? "AveragePool" : "MaxPool", export_in(e, n, 0));
    export_attr_ints(e, p, "kernel_shape", a->kernel);
    window_attrs(e, p, a->strides, a->dilations, a->pads);
    if (a->ceil)
        export_attr_i(e, p, "ceil_mode", 1);
    if (avg && a->count_pad)
        export_attr_i(e, p, "count_include_pad", 1);
    return give(e, n, p);
}

bool export_max_pool_indices(Exporter *e, const Node *n)
{
    const Attr_max_pool_indices *a = NODE_ATTR(n, max_pool_indices);
    Onnx__NodeProto *p = EMIT(e, "MaxPool", export_in(e, n, 0));
    export_attr_ints(e, p, "kernel_shape", a->kernel);
    window_attrs(e, p, a->strides, a->dilations, a->pads);
    if (a->ceil)
        export_attr_i(e, p, "ceil_mode", 1);
    if (a->column_major)
        export_attr_i(e, p, "storage_order", 1);
    return export_give(e, p, &n->out[0]) && export_give(e, p, &n->out[1]);
}

/* ---- resizing ---- */

static Term floats(Exporter *e, FloatVec v)
{
    Tensor *t = tensor_new(e->arena, DT_f32, 1, (int64_t[]){ v.n });
    for (int i = 0; i < v.n; i++)
        tensor_set_f64(t, i, v.v[i]);
    return export_tensor(e, "scales", t);
}

/* Sizes that follow from one scale by rounding, as with an aspect ratio that is kept: the scale is that of an axis where it gives a whole number; all other
 * axes would allow a larger one. False: there is no such axis. */
static bool sizes_of_aspect(const Node *n, int64_t *axis, int64_t *size, int *axes)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    bool exact = false;
    *axes = 0;
    for (int i = 0; i < a->scales.n; i++) {
        Dim in = node_in(n, 0)->type.dim[i];
        double want = dim_is_const(in) ? (double)in->k * a->scales.v[i] : -1;
        if (a->scales.v[i] == 1 && a->shape.v[i] == in)
            continue;
        if (want < 0 || (*axes && a->scales.v[i] != a->scales.v[axis[0]]))
            return false;
        exact |= fabs(want - rint(want)) < 1e-9 * want;
        axis[*axes] = i;
        size[(*axes)++] = (int64_t)ceil(want * (1 - 1e-9));
    }
    return exact;
}

static bool scales_give_shape(const Node *n)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    for (int i = 0; i < a->scales.n; i++) {
        Dim in = node_in(n, 0)->type.dim[i], out = a->shape.v[i];
        if (dim_is_const(in) && dim_is_const(out) && out->k != (int64_t)floorf((float)in->k * (float)a->scales.v[i]))
            return false;
    }
    return true;
}

/* Scales that only a run knows give sizes cut down to whole numbers; with an aspect ratio that is kept they are rounded, which scales cannot say. */
static bool rounds_sizes(Exporter *e, const Node *n)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    for (int i = 0; i < a->shape.n; i++) {
        const SizeSource *s = a->shape.v[i]->op == DIM_SYM ? export_source(e, n->graph, a->shape.v[i]) : NULL;
        const Node *d = s && s->element ? s->v->def : NULL;
        if (d && d->op == OP_cast && node_in(d, 0)->def->op == OP_floor && node_in(node_in(d, 0)->def, 0)->def->op == OP_add)
            return true;
    }
    return false;
}

/* The node without its attributes, with scales, or sizes, or sizes that keep the aspect ratio. NULL after reporting. */
static Onnx__NodeProto *resize_node(Exporter *e, const Node *n)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    Term x = export_in(e, n, 0), scales = export_in(e, n, 1), roi = node_in(n, 2) ? export_in(e, n, 2) : a->roi.n ? floats(e, a->roi) : NULL;
    int64_t axis[MAX_RANK], size[MAX_RANK];
    int axes;
    bool rounds = scales && rounds_sizes(e, n);
    if (!rounds && (scales || (a->scales.n && scales_give_shape(n))))
        return EMIT(e, "Resize", x, roi, scales ? scales : floats(e, a->scales));
    if (!scales && !a->scales.n)
        return EMIT(e, "Resize", x, roi, NULL, export_sizes(e, a->shape.n, a->shape.v));
    if (rounds || roi || !sizes_of_aspect(n, axis, size, &axes)) {
        export_gap(e, n, "its sizes do not follow from its scales");
        return NULL;
    }
    Onnx__NodeProto *p = EMIT(e, "Resize", x, NULL, NULL, export_ints(e, axes, size));
    export_attr_ints(e, p, "axes", (IntVec){ axes, axis });
    export_attr_s(e, p, "keep_aspect_ratio_policy", "not_larger");
    return p;
}

bool export_resize(Exporter *e, const Node *n)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    if (a->channels_last)
        return export_gap(e, n, "it runs channels-last");
    Onnx__NodeProto *p = resize_node(e, n);
    if (!p)
        return false;
    export_attr_s(e, p, "mode", a->mode);
    export_attr_s(e, p, "coordinate_transformation_mode", a->coord);
    if (!strcmp(a->mode, "nearest"))
        export_attr_s(e, p, "nearest_mode", a->nearest);
    if (!strcmp(a->mode, "cubic"))
        export_attr_f(e, p, "cubic_coeff_a", a->cubic_a);
    if (a->exclude_outside)
        export_attr_i(e, p, "exclude_outside", 1);
    if (a->antialias)
        export_attr_i(e, p, "antialias", 1);
    if (a->extrapolation != 0)
        export_attr_f(e, p, "extrapolation_value", a->extrapolation);
    return give(e, n, p);
}

bool export_non_max_suppression(Exporter *e, const Node *n)
{
    Onnx__NodeProto *p = EMIT(e, "NonMaxSuppression", export_in(e, n, 0), export_in(e, n, 1), export_in(e, n, 2), export_in(e, n, 3), export_in(e, n, 4));
    if (NODE_ATTR(n, non_max_suppression)->center_point)
        export_attr_i(e, p, "center_point_box", 1);
    return give(e, n, p);
}
