/* import_resize.c -- Resize and its forerunner Upsample: which sizes and scales are meant, in every version. The sampling itself is the op `resize`.
 *
 * Sizes are given outright, by scales (size = floor(size * scale), in f32 as other runtimes do), or by sizes that are only a bound which the
 * aspect ratio is fitted to. With sizes given, the op derives the scales. Scales that only a run knows become an operand of the op, and the sizes
 * are computed and bound in the graph.
 */
#include <math.h>
#include <string.h>

#include "import_parts.h"

typedef struct Sampling {
    int rank, naxes;
    int64_t axis[MAX_RANK];         /* the axes that scales, sizes and roi speak of */
    Dim shape[MAX_RANK];
    double scale[MAX_RANK];
    double roi[2 * MAX_RANK];       /* begin of every axis, then end */
    bool scaled;                    /* scales are given, or follow from the aspect ratio */
    Value *scales, *regions;        /* [rank] and [2 * rank], where only a run knows them; else NULL */
} Sampling;

static bool sampling_axes(Importer *c, Sampling *s)
{
    IntVec axes = attr_ints(c, "axes");
    bool ok = true;
    s->rank = value_rank(in(c, 0));
    s->naxes = has_attr(c, "axes") ? axes.n : s->rank;
    if (s->naxes > s->rank)
        return import_fail(c, "there are %d axes for an input of rank %d", s->naxes, s->rank);
    for (int i = 0; i < s->rank; i++) {
        s->shape[i] = value_dim(in(c, 0), i);
        s->scale[i] = 1;
        s->roi[i] = 0, s->roi[s->rank + i] = 1;
    }
    for (int i = 0; i < s->naxes && ok; i++)
        s->axis[i] = import_axis(c, has_attr(c, "axes") ? axes.v[i] : i, s->rank, &ok);
    return ok;
}

/* floor(size * scale); a symbolic size needs a scale that is a fraction with a small denominator. NULL after reporting. */
static Dim scaled_dim(Importer *c, Dim size, double scale)
{
    DimTable *t = c->m->dims;
    if (!(scale > 0) || !(scale < 1e6)) {
        import_fail(c, "the scale %g is not a positive number", scale);
        return NULL;
    }
    if (dim_is_const(size))
        return dim_const(t, (int64_t)floorf((float)size->k * (float)scale));
    for (int q = 1; q <= 64; q++)
        if (scale * q == floor(scale * q))
            return dim_divk(t, dim_mulk(t, size, (int64_t)(scale * q)), q);
    import_unsupported(c, "the scale %g of an axis whose size is not constant", scale);
    return NULL;
}

static bool by_scales(Importer *c, Sampling *s, int n, const double *scale)
{
    if (n != s->naxes)
        return import_fail(c, "there are %d scales for %d axes", n, s->naxes);
    for (int i = 0; i < n; i++) {
        int64_t a = s->axis[i];
        s->scale[a] = scale[i];
        s->shape[a] = scaled_dim(c, s->shape[a], scale[i]);
        if (!s->shape[a])
            return false;
    }
    return s->scaled = true;
}

/* ---- scales known at run time ---- */

/* v speaks of the axes in s->axis, `parts` numbers each, part by part; the same for all axes, with `otherwise[part]` for those not mentioned. */
static Value *for_all_axes(Builder *b, const Sampling *s, Value *v, int parts, const double *otherwise)
{
    Value *each[2 * MAX_RANK];
    for (int part = 0; part < parts; part++) {
        for (int i = 0; i < s->rank; i++)
            each[part * s->rank + i] = v ? mk_floats(b, v->type.dtype, (FloatVec){ 1, &otherwise[part] }) : NULL;
        for (int i = 0; i < s->naxes; i++)
            each[part * s->rank + s->axis[i]] = mk_range_slice(b, v, 0, part * s->naxes + i, 1);
    }
    return mk_concat(b, (Inputs){ parts * s->rank, each }, (Attr_concat){ .axis = 0 });
}

static Value *sizes_as(Importer *c, DType t)
{
    DimVec size = { value_rank(in(c, 0)), in(c, 0)->type.dim };
    return mk_cast_to(&c->b, mk_from_dims(&c->b, IN_NONE, (Attr_from_dims){ .dims = size }), t);
}

/* Sizes floor(size * scale + shift), of the axes that are resized. */
static bool by_value(Importer *c, Sampling *s, Value *scales, double shift)
{
    Builder *b = &c->b;
    DimVec size;
    Value *grown = scales ? mk_shifted(b, mk_mul(b, sizes_as(c, scales->type.dtype), scales), shift) : NULL;
    if (!build_dims_of(b, mk_cast_to(b, mk_floor(b, grown), DT_i64), &size))
        return false;
    for (int i = 0; i < s->naxes; i++)
        s->shape[s->axis[i]] = size.v[s->axis[i]];
    s->scales = scales;
    return true;
}

static bool has_length(Importer *c, const Value *v, int n, const char *what)
{
    return (v->type.rank == 1 && dim_is(v->type.dim[0], n)) || import_fail(c, "%s must have %d elements", what, n);
}

/* ---- sizes, and regions ---- */

/* By how much each axis would grow; the least or greatest growth is that of all. */
static bool by_aspect_at_run(Importer *c, Sampling *s, Value *sizes, bool larger)
{
    Builder *b = &c->b;
    Value *each[MAX_RANK], *have = sizes_as(c, DT_f64);
    if (!has_length(c, sizes, s->naxes, "sizes"))
        return false;
    for (int i = 0; i < s->naxes; i++)
        each[i] = mk_range_slice(b, have, 0, s->axis[i], 1);
    have = mk_concat(b, (Inputs){ s->naxes, each }, (Attr_concat){ .axis = 0 });
    Value *scale = mk_reduce_axes(b, larger ? "max" : "min", mk_div(b, mk_cast_to(b, sizes, DT_f64), have), 1, (int64_t[]){ 0 });
    Dim n = dim_const(c->m->dims, s->naxes);
    return by_value(c, s, for_all_axes(b, s, mk_expand_to(b, scale, 1, &n), 1, (double[]){ 1 }), 0.5);
}

/* One scale for all axes, so that no axis becomes larger (or none smaller) than asked. */
static bool by_aspect(Importer *c, Sampling *s, int input, bool larger)
{
    IntVec sizes;
    double scale = 0;
    bool known = in_constant(c, input) != NULL;
    for (int i = 0; i < s->naxes; i++)
        known &= dim_is_const(s->shape[s->axis[i]]) && s->shape[s->axis[i]]->k > 0;
    if (!known)
        return by_aspect_at_run(c, s, in(c, input), larger);
    if (!in_ints(c, input, &sizes) || sizes.n != s->naxes)
        return import_fail(c, "there must be one size for each of %d axes", s->naxes);
    for (int i = 0; i < s->naxes; i++) {
        double k = (double)sizes.v[i] / (double)s->shape[s->axis[i]]->k;
        scale = !i || (larger ? k > scale : k < scale) ? k : scale;
    }
    for (int i = 0; i < s->naxes; i++) {
        int64_t a = s->axis[i];
        s->shape[a] = dim_const(c->m->dims, (int64_t)floor(scale * (double)s->shape[a]->k + 0.5));
        s->scale[a] = scale;
    }
    return s->scaled = true;
}

static bool by_sizes(Importer *c, Sampling *s, int input)
{
    DimVec sizes;
    const char *policy = attr_s(c, "keep_aspect_ratio_policy", "stretch");
    if (strcmp(policy, "stretch"))
        return by_aspect(c, s, input, !strcmp(policy, "not_smaller"));
    if (!in_dims(c, input, &sizes))
        return false;
    if (sizes.n != s->naxes)
        return import_fail(c, "there are %d sizes for %d axes", sizes.n, s->naxes);
    for (int i = 0; i < s->naxes; i++)
        s->shape[s->axis[i]] = sizes.v[i];
    return true;
}

static bool is_given(const Importer *c, int i)
{
    return in(c, i) && !(type_is_static(&in(c, i)->type) && type_count(&in(c, i)->type) == 0);
}

static bool constant_floats(Importer *c, int i, const char *what, FloatVec *out)
{
    const Tensor *t = in_constant(c, i);
    if (!t || t->count > 2 * MAX_RANK)
        return import_fail(c, "%s must be a short list of numbers", what);
    double *v = ARENA_ARRAY(c->m->arena, double, t->count + 1);
    for (int64_t k = 0; k < t->count; k++)
        v[k] = tensor_get_f64(t, k);
    *out = (FloatVec){ (int)t->count, v };
    return true;
}

static bool read_roi(Importer *c, Sampling *s)
{
    FloatVec roi;
    Value *v = in(c, 1);
    if (v && !in_constant(c, 1)) {
        s->regions = has_length(c, v, 2 * s->naxes, "roi") ? for_all_axes(&c->b, s, v, 2, (double[]){ 0, 1 }) : NULL;
        return s->regions != NULL;
    }
    if (!constant_floats(c, 1, "roi", &roi))
        return false;
    if (roi.n != 2 * s->naxes)
        return import_fail(c, "roi has %d numbers for %d axes", roi.n, s->naxes);
    for (int i = 0; i < s->naxes; i++) {
        s->roi[s->axis[i]] = roi.v[i];
        s->roi[s->rank + s->axis[i]] = roi.v[s->naxes + i];
    }
    return true;
}

static FloatVec floats_copy(Importer *c, int n, const double *v)
{
    return (FloatVec){ n, n ? arena_copy(c->m->arena, v, sizeof *v * (size_t)n) : NULL };
}

static bool set_resized(Importer *c, const Sampling *s, Attr_resize a)
{
    bool crop = !strcmp(a.coord, "tf_crop_and_resize");
    a.shape = dims_copy(c->m, s->rank, s->shape);
    a.scales = floats_copy(c, s->scaled ? s->rank : 0, s->scale);
    a.roi = floats_copy(c, crop && !s->regions ? 2 * s->rank : 0, s->roi);
    OUT(c, mk_resize(&c->b, IN(in(c, 0), s->scales, s->regions), a));
}

static bool scales_from(Importer *c, Sampling *s, int input)
{
    FloatVec scales;
    Value *v = in(c, input);
    if (v && !in_constant(c, input))
        return has_length(c, v, s->naxes, "scales") && by_value(c, s, for_all_axes(&c->b, s, v, 1, (double[]){ 1 }), 0);
    return constant_floats(c, input, "scales", &scales) && by_scales(c, s, scales.n, scales.v);
}

/* Before version 11 the position was i / scale. "nearest" took the element at or before it, or, shrinking, at or after it; where only a run
 * knows the scales they are taken to enlarge. */
static bool resize_old(Importer *c, Sampling *s)
{
    bool up = false, down = false;
    for (int i = 0; i < s->rank; i++)
        up |= s->scale[i] > 1, down |= s->scale[i] < 1;
    const char *mode = attr_s(c, "mode", "nearest");
    if (up && down && !strcmp(mode, "nearest"))
        return import_unsupported(c, "enlarging one axis and shrinking another");
    bool linear = !strcmp(mode, "linear") || !strcmp(mode, "bilinear");
    return set_resized(c, s, (Attr_resize){ .mode = linear ? "linear" : mode, .coord = "asymmetric", .nearest = down ? "ceil" : "floor" });
}

bool import_upsample(Importer *c)
{
    double planar[] = { 1, 1, attr_f(c, "height_scale", 1), attr_f(c, "width_scale", 1) };             /* before opset 7 */
    FloatVec scales = c->opset < 7 ? (FloatVec){ 4, planar } : attr_floats(c, "scales");
    Sampling s = { 0 };
    if (!in(c, 0) || !sampling_axes(c, &s))
        return false;
    return (c->opset >= 9 ? scales_from(c, &s, 1) : by_scales(c, &s, scales.n, scales.v)) && resize_old(c, &s);
}

bool import_resize(Importer *c)
{
    Sampling s = { 0 };
    if (!in(c, 0) || !sampling_axes(c, &s))
        return false;
    if (c->opset < 11)
        return scales_from(c, &s, 1) && resize_old(c, &s);
    Attr_resize a = { .mode = attr_s(c, "mode", "nearest"), .coord = attr_s(c, "coordinate_transformation_mode", "half_pixel"),
                      .nearest = attr_s(c, "nearest_mode", "round_prefer_floor"), .cubic_a = attr_f(c, "cubic_coeff_a", -0.75),
                      .exclude_outside = attr_i(c, "exclude_outside", 0) != 0, .antialias = attr_i(c, "antialias", 0) != 0,
                      .extrapolation = attr_f(c, "extrapolation_value", 0) };
    if (is_given(c, 2)) {
        if (!scales_from(c, &s, 2))
            return false;
    } else if (!is_given(c, 3) || !by_sizes(c, &s, 3)) {
        return is_given(c, 3) ? false : import_fail(c, "neither scales nor sizes are given");
    }
    return (strcmp(a.coord, "tf_crop_and_resize") || read_roi(c, &s)) && set_resized(c, &s, a);
}
