/* import_vision.c -- sampling and detection: GridSample, AffineGrid, RoiAlign, MaxRoiPool, DeformConv, NonMaxSuppression, ImageDecoder. */
#include <string.h>

#include "import_parts.h"

/* Old names of the modes: bilinear is linear, bicubic is cubic. */
static const char *sampling_mode(const char *s)
{
    return !strcmp(s, "bilinear") ? "linear" : !strcmp(s, "bicubic") ? "cubic" : s;
}

bool import_grid_sample(Importer *c)
{
    OUT(c, mk_grid_sample(&c->b, IN(in(c, 0), in(c, 1)),
                          (Attr_grid_sample){ .mode = sampling_mode(attr_s(c, "mode", "linear")), .padding = attr_s(c, "padding_mode", "zeros"),
                                              .align_corners = attr_i(c, "align_corners", 0) }));
}

/* ---- AffineGrid ---- */

/* n positions from -1 to 1: of the outer pixels' centres (align_corners), or of their outer edges. */
static Value *positions(Builder *b, Dim n, DType t, bool align_corners)
{
    DimTable *d = b->m->dims;
    Value *i = mk_iota_n(b, t, n);
    if (!align_corners)
        return mk_shifted(b, mk_div(b, mk_shifted(b, mk_scaled(b, i, 2), 1), mk_dim_scalar(b, n, t)), -1);
    Dim steps = dim_max(d, dim_addk(d, n, -1), dim_one(b));
    return mk_shifted(b, mk_div(b, mk_scaled(b, i, 2), mk_dim_scalar(b, steps, t)), -1);
}

/* theta [N, r, r+1] applied to every point of a grid of the given size: the sum over axes of theta's column times the position, x first. */
bool import_affine_grid(Importer *c)
{
    Builder *b = &c->b;
    Value *theta = in(c, 0), *y;
    DimVec size;
    if (!theta || !in_dims(c, 1, &size))
        return false;
    int r = size.n - 2;
    if ((r != 2 && r != 3) || value_rank(theta) != 3)
        return import_fail(c, "theta must be [N, 2, 3] or [N, 3, 4], and size have 4 or 5 elements");
    y = mk_insert_axes(b, mk_index(b, theta, 2, dim_const(c->m->dims, r)), 1, r);           /* [N, 1.., r] */
    for (int k = 0; k < r; k++) {
        Value *column = mk_insert_axes(b, mk_index(b, theta, 2, dim_const(c->m->dims, k)), 1, r);
        Value *at = positions(b, size.v[1 + r - k], theta->type.dtype, attr_i(c, "align_corners", 0));
        y = mk_add(b, y, mk_mul(b, column, mk_align_channel(b, at, r + 2, r - k)));
    }
    OUT(c, y);
}

/* ---- regions ---- */

bool import_roi_align(Importer *c)
{
    const char *half_pixel = c->opset < 16 ? "output_half_pixel" : "half_pixel";
    bool shifted = !strcmp(attr_s(c, "coordinate_transformation_mode", half_pixel), "half_pixel");
    OUT(c, mk_roi_align(&c->b, IN(in(c, 0), in(c, 1), in(c, 2)),
                        (Attr_roi_align){ .mode = attr_s(c, "mode", "avg"), .height = attr_i(c, "output_height", 1), .width = attr_i(c, "output_width", 1),
                                          .sampling_ratio = attr_i(c, "sampling_ratio", 0), .spatial_scale = attr_f(c, "spatial_scale", 1), .half_pixel = shifted }));
}

/* rois [R, 5]: image, x0, y0, x1, y1 */
bool import_max_roi_pool(Importer *c)
{
    Builder *b = &c->b;
    IntVec size = attr_ints(c, "pooled_shape");
    Value *rois = in(c, 1);
    if (!rois)
        return false;
    if (size.n != 2 || value_rank(rois) != 2 || !dim_is(value_dim(rois, 1), 5))
        return import_fail(c, "two sizes and regions of 5 numbers are needed");
    Value *image = mk_cast_to(b, mk_index(b, rois, 1, dim_const(c->m->dims, 0)), DT_i64);
    OUT(c, mk_roi_align(b, IN(in(c, 0), mk_range_slice(b, rois, 1, 1, 4), image),
                        (Attr_roi_align){ .mode = "pool", .height = size.v[0], .width = size.v[1], .spatial_scale = attr_f(c, "spatial_scale", 1) }));
}

static IntVec two_or(Importer *c, const char *name, const int64_t *otherwise, int n)
{
    return has_attr(c, name) ? attr_ints(c, name) : (IntVec){ n, otherwise };
}

bool import_deform_conv(Importer *c)
{
    static const int64_t ones[2] = { 1, 1 }, zeros[4] = { 0 };
    OUT(c, mk_deform_conv(&c->b, IN(in(c, 0), in(c, 1), in(c, 2), in(c, 3), in(c, 4)),
                          (Attr_deform_conv){ .strides = two_or(c, "strides", ones, 2), .dilations = two_or(c, "dilations", ones, 2),
                                              .pads = two_or(c, "pads", zeros, 4), .group = attr_i(c, "group", 1), .offset_group = attr_i(c, "offset_group", 1) }));
}

/* Without a number of boxes per class none is wanted; the result is bounded by every box of every class. */
bool import_non_max_suppression(Importer *c)
{
    Value *boxes = in(c, 0), *scores = in(c, 1);
    if (!boxes || !scores)
        return false;
    if (value_rank(scores) != 3)
        return import_fail(c, "scores have rank %d, 3 is needed", value_rank(scores));
    Dim count = dim_fresh(c->m->dims, "nms", dim_product(&c->b, scores, 0, 3));
    OUT(c, mk_non_max_suppression(&c->b, IN(boxes, scores, in(c, 2), in(c, 3), in(c, 4)),
                                  (Attr_non_max_suppression){ .count = dims_copy(c->m, 1, &count), .center_point = attr_i(c, "center_point_box", 0) }));
}

/* The size is read from the file first: so the result's memory comes from the caller, like that of any size that data decides. */
bool import_image_decoder(Importer *c)
{
    Builder *b = &c->b;
    const char *format = attr_s(c, "pixel_format", "RGB");
    DimVec size;
    Value *file = in(c, 0), *found = mk_image_size(b, IN(file), (Attr_image_size){ 0 });
    if (!found || !build_dims_of(b, found, &size))
        return false;
    Dim shape[3] = { size.v[0], size.v[1], dim_const(c->m->dims, strcmp(format, "Grayscale") ? 3 : 1) };
    OUT(c, mk_image_decode(b, IN(file), (Attr_image_decode){ .shape = dims_copy(c->m, 3, shape), .format = format }));
}
