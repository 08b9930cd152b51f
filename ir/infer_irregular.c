/* infer_irregular.c -- inference for the ops that call kernels: prefix sums, selection, resampling. */
#include "infer.h"

#include <string.h>

static bool is_number(DType t)
{
    return dtype_is_float(t) || dtype_is_int(t);
}

bool infer_cumulate(Module *m, Node *n)
{
    static const char *const kinds[] = { "sum", "prod", NULL };
    const Attr_cumulate *a = NODE_ATTR(n, cumulate);
    if (!infer_operand(m, n, 0, 1) || !infer_axis(m, n, a->axis, in_type(n, 0)->rank) || !infer_word_among(m, n, "kind", a->kind, kinds))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    return infer_set(m, n, 0, x->dtype, x->rank, x->dim);
}

bool infer_topk(Module *m, Node *n)
{
    const Attr_topk *a = NODE_ATTR(n, topk);
    if (!infer_operand(m, n, 0, 1) || !infer_axis(m, n, a->axis, in_type(n, 0)->rank))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    if (a->k.n != 1)
        return infer_fail(m, n, "k has %d elements, one is needed", a->k.n);
    Dim k = a->k.v[0], size = x->dim[a->axis];
    if (dim_is_const(k) && dim_is_const(size) && k->k > size->k)
        return infer_fail(m, n, "k is %lld but axis %lld has only %lld elements", (long long)k->k, (long long)a->axis, (long long)size->k);
    Dim out[MAX_RANK];
    infer_copy_dims(out, x);
    out[a->axis] = k;
    return infer_set(m, n, 0, x->dtype, x->rank, out) && infer_set(m, n, 1, DT_i64, x->rank, out);
}

bool infer_nonzero(Module *m, Node *n)
{
    const DimVec *count = &NODE_ATTR(n, nonzero)->count;
    if (!infer_operand(m, n, 0, 1))
        return false;
    const Type *x = in_type(n, 0);
    if (!is_number(x->dtype) && x->dtype != DT_bool)
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    if (count->n != 1 || count->v[0]->op != DIM_SYM)
        return infer_fail(m, n, "count must be one symbol");
    return infer_set(m, n, 0, DT_i64, 2, (Dim[]){ dim_const(m->dims, x->rank), count->v[0] });
}

/* Sizes are size * scale, rounded one way or the other. */
static bool scale_fits(Module *m, const Node *n, int k)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    double scale = a->scales.v[k];
    Dim in = in_type(n, 0)->dim[k], out = a->shape.v[k];
    bool sane = scale > 1e-7 && scale < 1e7;
    if (sane && dim_is_const(in) && dim_is_const(out))
        sane = (double)in->k * scale < (double)out->k + 1.001 && (double)in->k * scale > (double)out->k - 1.001;
    return sane || infer_fail(m, n, "scale %g of axis %d does not lead from size %s to %s", scale, k, infer_dim_text(m, in), infer_dim_text(m, out));
}

bool infer_resize(Module *m, Node *n)
{
    static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
    static const char *const coords[] = { "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric",
                                          "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL };
    static const char *const nearests[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL };
    const Attr_resize *a = NODE_ATTR(n, resize);
    if (!infer_operand(m, n, 0, 1) || !infer_word_among(m, n, "mode", a->mode, modes) || !infer_word_among(m, n, "coord", a->coord, coords))
        return false;
    const Type *x = in_type(n, 0);
    if (!strcmp(a->mode, "nearest") && !infer_word_among(m, n, "nearest", a->nearest, nearests))
        return false;
    if (!is_number(x->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    if (a->shape.n != x->rank || (a->scales.n && a->scales.n != x->rank))
        return infer_fail(m, n, "%d sizes and %d scales are given, the operand has rank %d", a->shape.n, a->scales.n, x->rank);
    if (!strcmp(a->coord, "tf_crop_and_resize") && !node_in(n, 2) && a->roi.n != 2 * x->rank)
        return infer_fail(m, n, "tf_crop_and_resize needs a roi of %d numbers, %d are given", 2 * x->rank, a->roi.n);
    for (int i = 1; i < n->nin; i++)
        if (node_in(n, i) && (!infer_operand(m, n, i, 1) || dims_differ(m, type_count_dim(m, in_type(n, i)), dim_const(m->dims, i * x->rank))))
            return infer_fail(m, n, "%s must have %d elements", i == 1 ? "scales" : "roi", i * x->rank);
    for (int k = 0; k < a->scales.n && !node_in(n, 1); k++)
        if (!scale_fits(m, n, k))
            return false;
    return infer_set(m, n, 0, x->dtype, x->rank, a->shape.v);
}
