/* import_reduce.c -- reductions over axes, arg-reductions, softmax and its kin, global pooling.
 *
 * The core op `reduce` keeps reduced axes with size 1; `keepdims=0` is a reshape behind it. Axes come as an attribute (old opsets) or as an
 * operand; an operand that is not constant makes the output's shape a matter of data, see `select_reduced`.
 */
#include <math.h>
#include <string.h>

#include "import_parts.h"

/* ---- which axes ---- */

/* mask: NULL if the axes are known; else i64[rank], 1 where an axis is reduced, with the sizes that depend on it. */
typedef struct Axes {
    int n;
    int64_t v[MAX_RANK];
    int64_t ndynamic;
    Value *mask;
    DimVec start, size;
} Axes;

static bool axes_known(Importer *c, IntVec list, int rank, Axes *out)
{
    bool ok = true, reduced[MAX_RANK] = { false };
    for (int i = 0; i < list.n && ok; i++) {
        int64_t a = import_axis(c, list.v[i], rank, &ok);
        if (ok)
            reduced[a] = true;
    }
    out->n = 0;
    for (int i = 0; i < rank; i++)
        if (reduced[i])
            out->v[out->n++] = i;
    return ok;
}

/* i64[rank]: 1 at each element of the axes operand. */
static Value *axes_mask(Builder *b, Value *axes, int rank)
{
    Dim n = value_dim(axes, 0), r = dim_const(b->m->dims, rank);
    Value *zero = mk_full(b, DT_i64, 1, &r, 0), *one = mk_full(b, DT_i64, 1, &n, 1);
    return mk_scatter_elements(b, IN(zero, mk_cast_to(b, axes, DT_i64), one), (Attr_scatter_elements){ .axis = 0, .reduction = "none" });
}

/* Axes that are data. Per axis: `size` is what stays of it, `start` where that begins in concat(reduced, whole), see select_reduced. */
static bool axes_dynamic(Importer *c, Value *x, Value *axes, Axes *out)
{
    Builder *b = &c->b;
    int rank = value_rank(x);
    if (value_rank(axes) != 1 || !dim_is_const(value_dim(axes, 0)))
        return import_unsupported(c, "an axes operand of unknown length");
    DimVec shape = dims_copy(b->m, rank, x->type.dim);
    out->ndynamic = value_dim(axes, 0)->k;
    out->mask = axes_mask(b, axes, rank);
    Value *dims = mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = shape });
    Value *kept = mk_where(b, mk_cast_to(b, out->mask, DT_bool), mk_k(b, out->mask, 1), dims);
    Value *start = mk_sub(b, mk_k(b, out->mask, 1), out->mask);
    return build_dims_of(b, kept, &out->size) && build_dims_of(b, start, &out->start);
}

/* The axes of a Reduce operator. No axes, or an empty list, means all of them, or none with noop_with_empty_axes. */
static bool axes_of(Importer *c, Value *x, Axes *out)
{
    IntVec list = { 0, NULL };
    Value *operand = in(c, 1);
    bool found = false;
    *out = (Axes){ 0 };
    bool empty = operand && value_rank(operand) == 1 && dim_is(value_dim(operand, 0), 0);
    if (operand && !empty && !in_constant(c, 1) && !operand->known)
        return axes_dynamic(c, x, operand, out);
    if (!empty && !ints_attr_or_in(c, "axes", 1, &list, &found))
        return false;
    if (list.n)
        return axes_known(c, list, value_rank(x), out);
    if (!attr_i(c, "noop_with_empty_axes", 0))
        out->n = axes_from(0, value_rank(x), out->v);
    return true;
}

/* One axis whose reduction the data decides: concat(reduced, whole) along it holds both, a slice takes one. */
static Value *select_reduced(Builder *b, const char *kind, Value *x, int axis, const Axes *axes)
{
    Value *reduced = mk_reduce_axes(b, kind, x, 1, (int64_t[]){ axis });
    return mk_slice_axis(b, mk_concat2(b, reduced, x, axis), axis, axes->start.v[axis], axes->size.v[axis]);
}

static Value *reduce_over(Builder *b, const char *kind, Value *x, const Axes *axes)
{
    if (!axes->mask)
        return mk_reduce_axes(b, kind, x, axes->n, axes->v);
    for (int i = 0, rank = x ? value_rank(x) : 0; i < rank; i++)
        x = select_reduced(b, kind, x, i, axes);
    return x;
}

/* keepdims=0: without the reduced axes. Of unknown axes, those that stay are the zeros of the mask, in order. */
static Value *drop_reduced(Builder *b, Value *y, const Axes *axes)
{
    if (!axes->mask)
        return mk_drop_axes(b, y, axes->n, axes->v);
    if (!y)
        return NULL;
    DimVec kept = { 0, NULL };
    Dim n = dim_const(b->m->dims, value_rank(y) - axes->ndynamic);
    Node *order = build_node(b, OP_topk, IN(axes->mask), &(Attr_topk){ .k = dims_copy(b->m, 1, &n), .axis = 0, .sorted = true }, -1);
    if (!order)
        return NULL;
    Value *dims = mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = axes->size });
    if (!build_dims_of(b, mk_gather(b, IN(dims, &order->out[1]), (Attr_gather){ .axis = 0 }), &kept))
        return NULL;
    return mk_reshape_to(b, y, kept.n, kept.v);
}

/* How many elements meet in one result, as a scalar of x's type. */
static Value *reduced_count(Builder *b, Value *x, const Axes *axes)
{
    if (axes->mask)
        return mk_cast_to(b, mk_div(b, mk_dim_scalar(b, type_count_dim(b->m, &x->type), DT_i64),
                                    mk_reduce_axes(b, "prod", mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = axes->size }), 1, (int64_t[]){ 0 })),
                          x->type.dtype);
    Dim n = dim_const(b->m->dims, 1);
    for (int i = 0; i < axes->n; i++)
        n = dim_mul(b->m->dims, n, value_dim(x, (int)axes->v[i]));
    return mk_dim_scalar(b, n, x->type.dtype);
}

/* ---- Reduce* ---- */

/* What happens to x before the axes meet and to the result after: one function per operator, on a type wide enough. */
typedef Value *ReduceBody(Builder *b, Value *x, const Axes *axes);

static Value *body_sum(Builder *b, Value *x, const Axes *a) { return reduce_over(b, "sum", x, a); }
static Value *body_prod(Builder *b, Value *x, const Axes *a) { return reduce_over(b, "prod", x, a); }
static Value *body_max(Builder *b, Value *x, const Axes *a) { return reduce_over(b, "max", x, a); }
static Value *body_min(Builder *b, Value *x, const Axes *a) { return reduce_over(b, "min", x, a); }
static Value *body_mean(Builder *b, Value *x, const Axes *a) { return mk_div(b, reduce_over(b, "sum", x, a), reduced_count(b, x, a)); }
static Value *body_l1(Builder *b, Value *x, const Axes *a) { return reduce_over(b, "sum", mk_abs(b, x), a); }
static Value *body_sum_square(Builder *b, Value *x, const Axes *a) { return reduce_over(b, "sum", mk_mul(b, x, x), a); }
static Value *body_l2(Builder *b, Value *x, const Axes *a) { return mk_sqrt(b, body_sum_square(b, x, a)); }
static Value *body_log_sum(Builder *b, Value *x, const Axes *a) { return mk_log(b, reduce_over(b, "sum", x, a)); }

/* max + log(sum(exp(x - max))); where the maximum is infinite nothing is subtracted. */
static Value *body_log_sum_exp(Builder *b, Value *x, const Axes *a)
{
    Value *top = reduce_over(b, "max", x, a);
    top = mk_where(b, mk_isinf(b, top), mk_k(b, x, 0), top);
    return mk_add(b, mk_log(b, reduce_over(b, "sum", mk_exp(b, mk_sub(b, x, top)), a)), top);
}

/* The type the body runs in: bool as u8, small floats as f32, integers as f64 where the body needs reals. */
static DType body_type(DType t, bool needs_reals)
{
    if (t == DT_bool)
        return DT_u8;
    return needs_reals && !dtype_is_float(t) ? DT_f64 : wide_float(t);
}

static bool import_reduce(Importer *c, ReduceBody *body, bool needs_reals)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    Axes axes;
    if (!x || !axes_of(c, x, &axes))
        return false;
    DType t = x->type.dtype;
    Value *y = body(b, mk_cast_to(b, x, body_type(t, needs_reals)), &axes);
    if (!attr_i(c, "keepdims", 1))
        y = drop_reduced(b, y, &axes);
    OUT(c, mk_cast_to(b, y, t));
}

#define REDUCE(fn, needs_reals) bool import_reduce_##fn(Importer *c) { return import_reduce(c, body_##fn, needs_reals); }
REDUCE(sum, false)
REDUCE(prod, false)
REDUCE(max, false)
REDUCE(min, false)
REDUCE(mean, false)
REDUCE(l1, false)
REDUCE(sum_square, false)
REDUCE(l2, true)
REDUCE(log_sum, true)
REDUCE(log_sum_exp, true)
#undef REDUCE

/* ---- ArgMax, ArgMin ---- */

static bool import_arg_reduce(Importer *c, const char *kind)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    bool ok = x != NULL;
    int64_t axis = ok ? import_axis(c, attr_i(c, "axis", 0), value_rank(x), &ok) : 0;
    if (!ok)
        return false;
    Value *y = mk_arg_reduce(b, IN(x), (Attr_arg_reduce){ .kind = kind, .axis = axis, .last = attr_i(c, "select_last_index", 0) });
    OUT(c, attr_i(c, "keepdims", 1) ? y : mk_drop_axes(b, y, 1, &axis));
}

bool import_argmax(Importer *c)
{
    return import_arg_reduce(c, "max");
}

bool import_argmin(Importer *c)
{
    return import_arg_reduce(c, "min");
}

/* ---- Softmax, LogSoftmax, Hardmax ---- */

typedef Value *AlongAxis(Builder *b, Value *x, int64_t axis);

static Value *softmax_along(Builder *b, Value *x, int64_t axis)
{
    return mk_softmax(b, IN(x), (Attr_softmax){ .axis = axis });
}

static Value *log_softmax_along(Builder *b, Value *x, int64_t axis)
{
    return mk_softmax(b, IN(x), (Attr_softmax){ .axis = axis, .log = true });
}

/* 1 at the first largest element, 0 elsewhere. */
static Value *hardmax_along(Builder *b, Value *x, int64_t axis)
{
    Value *top = mk_arg_reduce(b, IN(x), (Attr_arg_reduce){ .kind = "max", .axis = axis });
    Value *at = mk_align_channel(b, mk_iota_n(b, DT_i64, value_dim(x, (int)axis)), value_rank(x), (int)axis);
    return mk_cast_to(b, mk_eq(b, at, top), x->type.dtype);
}

/* Before opset 13 the operand is seen as a matrix: the axes before `axis` against the rest. */
static bool import_along_axis(Importer *c, AlongAxis *f)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    bool as_matrix = c->opset < 13, ok = x != NULL;
    int rank = ok ? value_rank(x) : 0;
    if (ok && !rank)
        return import_fail(c, "a scalar has no axis");
    int64_t axis = ok ? import_axis(c, attr_i(c, "axis", as_matrix ? 1 : -1), rank, &ok) : 0;
    if (!ok)
        return false;
    if (!as_matrix || axis == rank - 1)
        OUT(c, f(b, x, axis));
    Dim matrix[2] = { dim_product(b, x, 0, (int)axis), dim_product(b, x, (int)axis, rank) };
    Value *y = mk_reshape_to(b, x, 2, matrix);
    OUT(c, y ? mk_reshape_to(b, f(b, y, 1), rank, x->type.dim) : NULL);
}

bool import_softmax(Importer *c)
{
    return import_along_axis(c, softmax_along);
}

bool import_log_softmax(Importer *c)
{
    return import_along_axis(c, log_softmax_along);
}

bool import_hardmax(Importer *c)
{
    return import_along_axis(c, hardmax_along);
}

/* ---- pooling over the whole extent ---- */

static Axes spatial_axes(Value *x)
{
    Axes a = { 0 };
    if (x)
        a.n = axes_from(2, value_rank(x), a.v);
    return a;
}

bool import_global_average_pool(Importer *c)
{
    Value *x = in(c, 0);
    Axes a = spatial_axes(x);
    OUT(c, mk_mean_axes(&c->b, x, a.n, a.v));
}

bool import_global_max_pool(Importer *c)
{
    Value *x = in(c, 0);
    Axes a = spatial_axes(x);
    OUT(c, mk_reduce_axes(&c->b, "max", x, a.n, a.v));
}

bool import_global_lp_pool(Importer *c)
{
    Value *x = in(c, 0);
    Axes a = spatial_axes(x);
    double p = c->opset < 2 ? attr_f(c, "p", 2) : (double)attr_i(c, "p", 2);
    OUT(c, mk_lp_norm(&c->b, x, a.n, a.v, p));
}

/* ---- normalisation without parameters ---- */

/* Where the norm is zero the result is zero. */
bool import_lp_normalization(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    bool ok = x != NULL;
    int64_t p = attr_i(c, "p", 2), axis = ok ? import_axis(c, attr_i(c, "axis", -1), value_rank(x), &ok) : 0;
    if (!ok)
        return false;
    if (p != 1 && p != 2)
        return import_fail(c, "p must be 1 or 2, not %lld", (long long)p);
    Value *norm = mk_lp_norm(b, x, 1, &axis, (double)p);
    OUT(c, mk_where(b, mk_eq(b, norm, mk_k(b, x, 0)), mk_k(b, x, 0), mk_div(b, x, norm)));
}

/* (x - mean) / (deviation + 1e-9), over axes 0, 2, 3 unless told. */
bool import_mean_variance_normalization(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    static const int64_t otherwise[] = { 0, 2, 3 };
    IntVec list = has_attr(c, "axes") ? attr_ints(c, "axes") : (IntVec){ 3, otherwise };
    Axes a;
    if (!x || !axes_known(c, list, value_rank(x), &a))
        return false;
    Value *apart = mk_sub(b, x, mk_mean_axes(b, x, a.n, a.v));
    Value *deviation = mk_sqrt(b, mk_mean_axes(b, mk_mul(b, apart, apart), a.n, a.v));
    OUT(c, mk_div(b, apart, mk_add(b, deviation, mk_k(b, x, 1e-9))));
}
