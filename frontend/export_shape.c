/* export_shape.c -- movement: reshape, transpose, slice, pad, gather... Sizes that are constants become constants, others are computed (export_sizes.c). */
#include <string.h>

#include "export.h"

static bool give(Exporter *e, const Node *n, Onnx__NodeProto *p)
{
    return export_give(e, p, node_out(n));
}

bool export_from_dims(Exporter *e, const Node *n)
{
    const Attr_from_dims *a = NODE_ATTR(n, from_dims);
    Term t = export_sizes(e, a->dims.n, a->dims.v);
    export_bind(e, node_out(n), a->scalar ? export_reshape_term(e, t, 0, NULL) : t);
    return true;
}

/* A size that the operand has at the same place is 0, one other symbolic size is -1. False: the sizes have to be computed. */
static bool shape_by_wildcards(const Type *x, DimVec shape, int64_t *k)
{
    int unknown = 0;
    for (int i = 0; i < shape.n; i++) {
        bool same = i < x->rank && x->dim[i] == shape.v[i];
        if (dim_is(shape.v[i], 0))
            return false;
        k[i] = dim_is_const(shape.v[i]) ? shape.v[i]->k : same ? 0 : -1;
        unknown += k[i] == -1;
    }
    for (int i = 0; i < x->rank && unknown; i++)
        if (!dim_is_const(x->dim[i]) || dim_is(x->dim[i], 0))
            unknown += dim_is(x->dim[i], 0);        /* nothing is left to find -1 from */
    return unknown <= 1;
}

bool export_reshape(Exporter *e, const Node *n)
{
    DimVec shape = NODE_ATTR(n, reshape)->shape;
    int64_t k[MAX_RANK];
    Term x = export_in(e, n, 0);
    if (shape_by_wildcards(&node_in(n, 0)->type, shape, k))
        return give(e, n, EMIT(e, "Reshape", x, export_ints(e, shape.n, k)));
    Onnx__NodeProto *p = EMIT(e, "Reshape", x, export_sizes(e, shape.n, shape.v));
    export_attr_i(e, p, "allowzero", 1);
    return give(e, n, p);
}

bool export_transpose(Exporter *e, const Node *n)
{
    Onnx__NodeProto *p = EMIT(e, "Transpose", export_in(e, n, 0));
    export_attr_ints(e, p, "perm", NODE_ATTR(n, transpose)->perm);
    return give(e, n, p);
}

bool export_expand(Exporter *e, const Node *n)
{
    DimVec shape = NODE_ATTR(n, expand)->shape;
    return give(e, n, EMIT(e, "Expand", export_in(e, n, 0), export_sizes(e, shape.n, shape.v)));
}

/* Where a slice of this axis ends, as ONNX counts. To the end is a number that is large enough; backwards, ends count from the end, so that -1 can be said. */
static Dim slice_end(Exporter *e, Dim start, Dim size, int64_t step, Dim whole)
{
    DimTable *t = e->m->dims;
    Dim end = dim_add(t, start, dim_mulk(t, size, step));
    if (step < 0)
        return dim_is_const(end) && end->k < 0 ? dim_const(t, INT64_MIN) : dim_sub(t, end, whole);
    return end == whole ? dim_const(t, INT64_MAX) : end;
}

bool export_slice(Exporter *e, const Node *n)
{
    const Attr_slice *a = NODE_ATTR(n, slice);
    const Type *x = &node_in(n, 0)->type;
    Dim start[MAX_RANK], end[MAX_RANK];
    int64_t axis[MAX_RANK], step[MAX_RANK];
    int k = 0;
    bool steps = false;
    for (int i = 0; i < x->rank; i++) {
        if (dim_is(a->starts.v[i], 0) && a->sizes.v[i] == x->dim[i] && a->steps.v[i] == 1)
            continue;
        start[k] = a->starts.v[i];
        end[k] = slice_end(e, a->starts.v[i], a->sizes.v[i], a->steps.v[i], x->dim[i]);
        steps |= a->steps.v[i] != 1;
        axis[k] = i, step[k++] = a->steps.v[i];
    }
    if (!k)
        return give(e, n, EMIT(e, "Identity", export_in(e, n, 0)));
    Term from = export_sizes(e, k, start), to = export_sizes(e, k, end);
    return give(e, n, EMIT(e, "Slice", export_in(e, n, 0), from, to, export_ints(e, k, axis), steps ? export_ints(e, k, step) : NULL));
}

bool export_pad(Exporter *e, const Node *n)
{
    const Attr_pad *a = NODE_ATTR(n, pad);
    Dim pads[2 * MAX_RANK];
    for (int i = 0; i < a->before.n; i++)
        pads[i] = a->before.v[i], pads[a->before.n + i] = a->after.v[i];
    Onnx__NodeProto *p = EMIT(e, "Pad", export_in(e, n, 0), export_sizes(e, 2 * a->before.n, pads), export_in(e, n, 1));
    if (strcmp(a->mode, "constant"))
        export_attr_s(e, p, "mode", a->mode);
    return give(e, n, p);
}

bool export_concat(Exporter *e, const Node *n)
{
    Term *in = ARENA_ARRAY(e->arena, Term, n->nin);
    for (int i = 0; i < n->nin; i++)
        in[i] = export_in(e, n, i);
    Onnx__NodeProto *p = export_node(e, "Concat", n->nin, in);
    export_attr_i(e, p, "axis", NODE_ATTR(n, concat)->axis);
    return give(e, n, p);
}

/* Range counts in i64 or the like; then the type, the place among the axes, and the other axes. */
bool export_iota(Exporter *e, const Node *n)
{
    const Attr_iota *a = NODE_ATTR(n, iota);
    int64_t shape[MAX_RANK];
    Dim size = a->shape.v[a->axis];
    Term count = dim_is_const(size) ? export_scalar(e, DT_i64, (double)size->k) : export_reshape_term(e, export_size(e, size), 0, NULL);
    Term y = TERM(e, "Range", export_scalar(e, DT_i64, 0), count, export_scalar(e, DT_i64, 1));
    if (a->dtype != DT_i64)
        y = export_as(e, y, a->dtype);
    bool grows = false;
    for (int i = 0; i < a->shape.n; i++) {
        shape[i] = i == a->axis ? -1 : 1;
        grows |= i != a->axis && !dim_is(a->shape.v[i], 1);
    }
    if (a->shape.n > 1)
        y = export_reshape_term(e, y, a->shape.n, shape);
    export_bind(e, node_out(n), grows ? TERM(e, "Expand", y, export_sizes(e, a->shape.n, a->shape.v)) : y);
    return true;
}

/* ---- by index ---- */

static bool indexed(Exporter *e, const Node *n, const char *op, const char *attr, int64_t v, const char *reduction)
{
    Onnx__NodeProto *p = EMIT(e, op, export_in(e, n, 0), export_in(e, n, 1), export_in(e, n, 2));
    if (attr && v)
        export_attr_i(e, p, attr, v);
    if (reduction && strcmp(reduction, "none"))
        export_attr_s(e, p, "reduction", reduction);
    return give(e, n, p);
}

/* Indices are i32 or i64 in ONNX and here. */
bool export_gather(Exporter *e, const Node *n) { return indexed(e, n, "Gather", "axis", NODE_ATTR(n, gather)->axis, NULL); }
bool export_gather_elements(Exporter *e, const Node *n) { return indexed(e, n, "GatherElements", "axis", NODE_ATTR(n, gather_elements)->axis, NULL); }
bool export_gather_nd(Exporter *e, const Node *n) { return indexed(e, n, "GatherND", "batch_dims", NODE_ATTR(n, gather_nd)->batch_dims, NULL); }

bool export_scatter_elements(Exporter *e, const Node *n)
{
    const Attr_scatter_elements *a = NODE_ATTR(n, scatter_elements);
    return indexed(e, n, "ScatterElements", "axis", a->axis, a->reduction);
}

bool export_scatter_nd(Exporter *e, const Node *n) { return indexed(e, n, "ScatterND", NULL, 0, NODE_ATTR(n, scatter_nd)->reduction); }

bool export_cumulate(Exporter *e, const Node *n)
{
    const Attr_cumulate *a = NODE_ATTR(n, cumulate);
    bool sum = !strcmp(a->kind, "sum");
    Onnx__NodeProto *p = EMIT(e, sum ? "CumSum" : "CumProd", export_in(e, n, 0), export_scalar(e, DT_i64, (double)a->axis));
    if (!sum)
        export_need_opset(e, 26);
    if (a->exclusive)
        export_attr_i(e, p, "exclusive", 1);
    if (a->reverse)
        export_attr_i(e, p, "reverse", 1);
    return give(e, n, p);
}

bool export_topk(Exporter *e, const Node *n)
{
    const Attr_topk *a = NODE_ATTR(n, topk);
    Onnx__NodeProto *p = EMIT(e, "TopK", export_in(e, n, 0), export_size(e, a->k.v[0]));
    export_attr_i(e, p, "axis", a->axis);
    export_attr_i(e, p, "largest", a->largest);
    export_attr_i(e, p, "sorted", a->sorted);
    return export_give(e, p, &n->out[0]) && export_give(e, p, &n->out[1]);
}

bool export_nonzero(Exporter *e, const Node *n)
{
    return give(e, n, EMIT(e, "NonZero", export_in(e, n, 0)));
}
