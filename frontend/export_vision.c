/* export_vision.c -- sampling, images, transforms, random numbers, trees. */
#include <string.h>

#include "eval.h"
#include "export.h"

static bool give(Exporter *e, const Node *n, Onnx__NodeProto *p)
{
    return export_give(e, p, node_out(n));
}

/* ---- sampling ---- */

bool export_grid_sample(Exporter *e, const Node *n)
{
    const Attr_grid_sample *a = NODE_ATTR(n, grid_sample);
    Onnx__NodeProto *p = EMIT(e, "GridSample", export_in(e, n, 0), export_in(e, n, 1));
    export_attr_s(e, p, "mode", a->mode);
    export_attr_s(e, p, "padding_mode", a->padding);
    export_attr_i(e, p, "align_corners", a->align_corners);
    return give(e, n, p);
}

/* The number of the image stands in front of each region. */
static bool max_roi_pool(Exporter *e, const Node *n)
{
    const Attr_roi_align *a = NODE_ATTR(n, roi_align);
    DType t = node_in(n, 1)->type.dtype;
    Term image = export_reshape_term(e, export_as(e, export_in(e, n, 2), t), 2, (int64_t[]){ -1, 1 });
    Onnx__NodeProto *rois = EMIT(e, "Concat", image, export_in(e, n, 1));
    export_attr_i(e, rois, "axis", 1);
    Onnx__NodeProto *p = EMIT(e, "MaxRoiPool", export_in(e, n, 0), export_result(e, rois));
    export_attr_ints(e, p, "pooled_shape", (IntVec){ 2, (int64_t[]){ a->height, a->width } });
    export_attr_f(e, p, "spatial_scale", a->spatial_scale);
    return give(e, n, p);
}

bool export_roi_align(Exporter *e, const Node *n)
{
    const Attr_roi_align *a = NODE_ATTR(n, roi_align);
    if (!strcmp(a->mode, "pool"))
        return max_roi_pool(e, n);
    Onnx__NodeProto *p = EMIT(e, "RoiAlign", export_in(e, n, 0), export_in(e, n, 1), export_in(e, n, 2));
    export_attr_s(e, p, "mode", a->mode);
    export_attr_i(e, p, "output_height", a->height);
    export_attr_i(e, p, "output_width", a->width);
    export_attr_i(e, p, "sampling_ratio", a->sampling_ratio);
    export_attr_f(e, p, "spatial_scale", a->spatial_scale);
    export_attr_s(e, p, "coordinate_transformation_mode", a->half_pixel ? "half_pixel" : "output_half_pixel");
    return give(e, n, p);
}

bool export_deform_conv(Exporter *e, const Node *n)
{
    const Attr_deform_conv *a = NODE_ATTR(n, deform_conv);
    Onnx__NodeProto *p = EMIT(e, "DeformConv", export_in(e, n, 0), export_in(e, n, 1), export_in(e, n, 2), export_in(e, n, 3), export_in(e, n, 4));
    export_attr_ints(e, p, "strides", a->strides);
    export_attr_ints(e, p, "dilations", a->dilations);
    export_attr_ints(e, p, "pads", a->pads);
    export_attr_i(e, p, "group", a->group);
    export_attr_i(e, p, "offset_group", a->offset_group);
    return give(e, n, p);
}

/* ---- images ---- */

static Onnx__NodeProto *decoder(Exporter *e, const Node *n, const char *format)
{
    Onnx__NodeProto *p = EMIT(e, "ImageDecoder", export_in(e, n, 0));
    export_attr_s(e, p, "pixel_format", format);
    return p;
}

bool export_image_decode(Exporter *e, const Node *n)
{
    return give(e, n, decoder(e, n, NODE_ATTR(n, image_decode)->format));
}

/* Height and width, of the decoded image. */
bool export_image_size(Exporter *e, const Node *n)
{
    Onnx__NodeProto *p = EMIT(e, "Shape", export_result(e, decoder(e, n, "RGB")));
    export_attr_i(e, p, "end", 2);
    return give(e, n, p);
}

/* ---- transforms ---- */

bool export_inverse(Exporter *e, const Node *n)
{
    Onnx__NodeProto *p = EMIT(e, "Inverse", export_in(e, n, 0));
    export_domain(e, p, "com.microsoft");
    return give(e, n, p);
}

/* DFT divides by the length when it goes back. */
bool export_fft(Exporter *e, const Node *n)
{
    const Type *x = &node_in(n, 0)->type;
    bool inverse = NODE_ATTR(n, fft)->inverse;
    Onnx__NodeProto *p = EMIT(e, "DFT", export_in(e, n, 0), NULL, export_scalar(e, DT_i64, x->rank - 2));
    if (!inverse)
        return give(e, n, p);
    export_attr_i(e, p, "inverse", 1);
    return give(e, n, EMIT(e, "Mul", export_result(e, p), export_as(e, export_size(e, x->dim[x->rank - 2]), x->dtype)));
}

/* ---- random numbers ---- */

enum { MOST_DRAWN = 1 << 24 };

/* What a seed decides, as others compute it too, is written down; what is drawn anyhow has to be drawn. */
bool export_random(Exporter *e, const Node *n)
{
    const Type *t = &node_out(n)->type;
    const Tensor *out[1];
    EvalEnv env = { .arena = e->arena, .m = e->m };
    if (strcmp(NODE_ATTR(n, random)->kind, "mt19937"))
        return export_gap(e, n, "numbers that are drawn");
    if (!type_is_static(t) || type_count(t) > MOST_DRAWN)
        return export_gap(e, n, "random numbers whose count only a run knows, or very many");
    if (!eval_node(&env, n, NULL, out))
        return false;
    export_bind(e, node_out(n), export_tensor(e, "random", out[0]));
    return true;
}
