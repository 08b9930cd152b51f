/* import_index.c -- operators that choose elements by index or by value: Gather and Scatter in all forms, Range, OneHot, Trilu, NonZero, Compress,
 * TopK, Unique, cumulative sums, ReverseSequence.
 *
 * A size that depends on data (how many elements are nonzero, unique, in range) is a fresh symbol, bounded where a bound is known.
 */
#include <math.h>
#include <string.h>

#include "import_parts.h"

static DimTable *table(Importer *c)
{
    return c->m->dims;
}

static Dim dim_k(Importer *c, int64_t k)
{
    return dim_const(table(c), k);
}

/* The index along `axis` as i64, in a shape that is 1 in all other axes. */
static Value *index_along(Importer *c, int rank, int axis, Dim size)
{
    Dim shape[MAX_RANK];
    for (int i = 0; i < rank; i++)
        shape[i] = i == axis ? size : dim_k(c, 1);
    return mk_iota(&c->b, IN_NONE, (Attr_iota){ .shape = dims_copy(c->m, rank, shape), .axis = axis, .dtype = DT_i64 });
}

static Value *flat(Importer *c, Value *x)
{
    Dim n = x ? type_count_dim(c->m, &x->type) : NULL;
    return mk_reshape_to(&c->b, x, 1, &n);
}

static Value *scalar_of(Importer *c, Value *x)
{
    return mk_reshape_to(&c->b, x, 0, NULL);
}

/* ---- gather ---- */

/* A constant index into an axis of constant size is a slice, which costs nothing. */
static bool gather_is_slice(Importer *c, const Value *x, int axis, Dim *index)
{
    const Tensor *i = in_constant(c, 1);
    Dim size = value_dim(x, axis);
    if (!i || i->rank || !dtype_is_int(i->dtype) || !dim_is_const(size) || x->known)
        return false;
    int64_t k = tensor_get_i64(i, 0);
    k += k < 0 ? size->k : 0;
    *index = dim_k(c, k);
    return k >= 0 && k < size->k;
}

bool import_gather(Importer *c)
{
    Value *x = in(c, 0);
    bool ok = true;
    Dim index;
    if (!x)
        return false;
    int64_t axis = import_axis(c, attr_i(c, "axis", 0), value_rank(x), &ok);
    if (!ok)
        return false;
    if (gather_is_slice(c, x, (int)axis, &index))
        OUT(c, mk_index(&c->b, x, (int)axis, index));
    OUT(c, mk_gather(&c->b, IN(x, in(c, 1)), (Attr_gather){ .axis = axis }));
}

bool import_gather_elements(Importer *c)
{
    bool ok = true;
    if (!in(c, 0))
        return false;
    int64_t axis = import_axis(c, attr_i(c, "axis", 0), value_rank(in(c, 0)), &ok);
    return ok && set_out(c, 0, mk_gather_elements(&c->b, IN(in(c, 0), in(c, 1)), (Attr_gather_elements){ .axis = axis }));
}

bool import_gather_nd(Importer *c)
{
    OUT(c, mk_gather_nd(&c->b, IN(in(c, 0), in(c, 1)), (Attr_gather_nd){ .batch_dims = attr_i(c, "batch_dims", 0) }));
}

/* ---- scatter ---- */

bool import_scatter_elements(Importer *c)
{
    bool ok = true;
    if (!in(c, 0))
        return false;
    int64_t axis = import_axis(c, attr_i(c, "axis", 0), value_rank(in(c, 0)), &ok);
    Attr_scatter_elements a = { .axis = axis, .reduction = attr_s(c, "reduction", "none") };
    return ok && set_out(c, 0, mk_scatter_elements(&c->b, IN(in(c, 0), in(c, 1), in(c, 2)), a));
}

bool import_scatter_nd(Importer *c)
{
    OUT(c, mk_scatter_nd(&c->b, IN(in(c, 0), in(c, 1), in(c, 2)), (Attr_scatter_nd){ .reduction = attr_s(c, "reduction", "none") }));
}

/* ---- made from indices ---- */

static bool range_values(Importer *c, Value **v)
{
    for (int i = 0; i < 3; i++) {
        if (!in(c, i))
            return false;
        if (!dim_is(type_count_dim(c->m, &in(c, i)->type), 1))
            return import_fail(c, "start, limit and delta must be scalars");
        v[i] = scalar_of(c, in(c, i));
    }
    return v[0] && v[1] && v[2];
}

/* max(0, ceil((limit - start) / delta)) from constants, from sizes, or as a value that is read when the model runs. */
static bool range_count(Importer *c, Value *const *v, Dim *count)
{
    Builder *b = &c->b;
    double k[3];
    Dim zero = dim_k(c, 0), step = v[2]->known ? v[2]->known->v[0] : NULL;
    if (v[0]->known && v[1]->known && step && dim_is_const(step) && step->k) {
        Dim span = dim_mulk(table(c), dim_sub(table(c), v[1]->known->v[0], v[0]->known->v[0]), step->k < 0 ? -1 : 1);
        *count = dim_max(table(c), dim_ceil_div(table(c), span, dim_k(c, step->k < 0 ? -step->k : step->k)), zero);
        return true;
    }
    if (value_scalar_f64(v[0], &k[0]) && value_scalar_f64(v[1], &k[1]) && value_scalar_f64(v[2], &k[2])) {
        double n = ceil((k[1] - k[0]) / k[2]);
        if (!(n < 1e12))
            return import_fail(c, "the range is not finite");
        *count = dim_k(c, n > 0 ? (int64_t)n : 0);
        return true;
    }
    Value *n = mk_div(b, mk_sub(b, mk_cast_to(b, v[1], DT_f64), mk_cast_to(b, v[0], DT_f64)), mk_cast_to(b, v[2], DT_f64));
    n = mk_cast_to(b, mk_max(b, mk_ceil(b, n), mk_scalar(b, DT_f64, 0)), DT_i64);
    *count = dim_fresh(table(c), "range", NULL);
    return n && build_node(b, OP_bind, IN(n), &(Attr_bind){ .syms = dims_copy(c->m, 1, count) }, 0);
}

bool import_range(Importer *c)
{
    Builder *b = &c->b;
    Value *v[3];
    Dim n;
    if (!range_values(c, v) || !range_count(c, v, &n))
        return false;
    Value *i = mk_iota_n(b, v[0]->type.dtype, n);
    double start, delta;
    if (!value_scalar_f64(v[2], &delta) || delta != 1)
        i = mk_mul(b, i, v[2]);
    if (!value_scalar_f64(v[0], &start) || start != 0)
        i = mk_add(b, i, v[0]);
    OUT(c, i);
}

/* row + k and column as values that broadcast against each other over the last two axes. */
static bool diagonal(Importer *c, const Value *x, Value *k, Value **row, Value **column)
{
    int rank = value_rank(x);
    if (rank < 2)
        return import_fail(c, "a matrix is needed, not a tensor of rank %d", rank);
    *row = mk_add(&c->b, index_along(c, 2, 0, value_dim(x, rank - 2)), k);
    *column = index_along(c, 2, 1, value_dim(x, rank - 1));
    return *row && *column;
}

bool import_eye_like(Importer *c)
{
    Value *x = in(c, 0), *row, *column;
    if (!x || !diagonal(c, x, mk_scalar(&c->b, DT_i64, (double)attr_i(c, "k", 0)), &row, &column))
        return false;
    OUT(c, mk_cast_to(&c->b, mk_eq(&c->b, row, column), attr_dtype(c, "dtype", x->type.dtype)));
}

bool import_trilu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *row, *column, *k = in(c, 1) ? mk_cast_to(b, scalar_of(c, in(c, 1)), DT_i64) : mk_scalar(b, DT_i64, 0);
    if (!x || !k || !diagonal(c, x, k, &row, &column))
        return false;
    Value *keep = attr_i(c, "upper", 1) ? mk_le(b, row, column) : mk_le(b, column, row);
    OUT(c, mk_where(b, keep, x, mk_k(b, x, 0)));
}

static bool one_hot_depth(Importer *c, Dim *depth)
{
    DimVec d;
    double k;
    if (value_scalar_f64(in(c, 1), &k)) {
        *depth = dim_k(c, (int64_t)k);
        return (k >= 0 && k < 1e12) || import_fail(c, "the depth is %g", k);
    }
    if (!build_dims_of(&c->b, mk_cast_to(&c->b, in(c, 1), DT_i64), &d) || d.n != 1)
        return false;
    *depth = d.v[0];
    return true;
}

bool import_one_hot(Importer *c)
{
    Builder *b = &c->b;
    Value *index = mk_cast_to(b, in(c, 0), DT_i64), *values = in(c, 2);
    bool ok = true;
    Dim depth;
    if (!index || !in(c, 1) || !values || !one_hot_depth(c, &depth))
        return false;
    int rank = value_rank(index) + 1;
    int64_t axis = import_axis(c, attr_i(c, "axis", -1), rank, &ok);
    if (!ok || value_rank(values) != 1)
        return ok && import_fail(c, "values must be [off, on]");
    Value *from_end = mk_add(b, index, mk_dim_scalar(b, depth, DT_i64));
    index = mk_where(b, mk_lt(b, index, mk_k(b, index, 0)), from_end, index);
    Value *hot = mk_eq(b, mk_insert_axes(b, index, (int)axis, 1), index_along(c, rank, (int)axis, depth));
    Value *off = mk_index(b, values, 0, dim_k(c, 0)), *on = mk_index(b, values, 0, dim_k(c, 1));
    OUT(c, mk_where(b, hot, on, off));
}

/* ---- chosen by value ---- */

static Value *nonzero(Importer *c, Value *x)
{
    Dim count = x ? dim_fresh(table(c), "nz", type_count_dim(c->m, &x->type)) : NULL;
    return x ? mk_nonzero(&c->b, IN(x), (Attr_nonzero){ .count = dims_copy(c->m, 1, &count) }) : NULL;
}

bool import_nonzero(Importer *c)
{
    Value *x = in(c, 0);
    OUT(c, nonzero(c, x && !value_rank(x) ? flat(c, x) : x));
}

bool import_compress(Importer *c)
{
    Value *x = in(c, 0);
    bool ok = true;
    int64_t axis = 0;
    if (!x || !in(c, 1))
        return false;
    if (has_attr(c, "axis"))
        axis = import_axis(c, attr_i(c, "axis", 0), value_rank(x), &ok);
    else
        x = flat(c, x);
    Value *chosen = flat(c, nonzero(c, flat(c, in(c, 1))));
    return ok && set_out(c, 0, mk_gather(&c->b, IN(x, chosen), (Attr_gather){ .axis = axis }));
}

typedef struct Sorted {
    Value *values, *order;
} Sorted;

static Sorted topk(Importer *c, Value *x, Dim k, int64_t axis, bool largest, bool sorted)
{
    if (!x)
        return (Sorted){ NULL, NULL };
    Attr_topk a = { .k = dims_copy(c->m, 1, &k), .axis = axis, .largest = largest, .sorted = sorted };
    Node *n = build_node(&c->b, OP_topk, IN(x), &a, -1);
    return n ? (Sorted){ &n->out[0], &n->out[1] } : (Sorted){ NULL, NULL };
}

static bool topk_count(Importer *c, Dim size, Dim *k)
{
    DimVec v;
    if (c->opset < 10)
        *k = dim_k(c, attr_i(c, "k", 0));
    else if (!in_dims(c, 1, &v) || v.n != 1)
        return import_fail(c, "k must be one number");
    else
        *k = v.v[0];
    if (dim_is_const(*k) && (*k)->k < 0)
        return import_fail(c, "k is negative");
    Dim reachable = dim_min(table(c), *k, size);
    if (reachable == *k || (dim_is_const(*k) && dim_is_const(size)))    /* infer_topk reports the latter */
        return true;
    Attr_check a = { .left = dims_copy(c->m, 1, &reachable), .right = dims_copy(c->m, 1, k), .message = "TopK: k is larger than the axis" };
    return build_node(&c->b, OP_check, IN_NONE, &a, 0) != NULL;
}

bool import_topk(Importer *c)
{
    Value *x = in(c, 0);
    bool ok = true;
    Dim k;
    if (!x)
        return false;
    int64_t axis = import_axis(c, attr_i(c, "axis", -1), value_rank(x), &ok);
    if (!ok || !topk_count(c, value_dim(x, (int)axis), &k))
        return false;
    Sorted s = topk(c, x, k, axis, attr_i(c, "largest", 1) != 0, attr_i(c, "sorted", 1) != 0);
    return set_out(c, 0, s.values) && set_out(c, 1, s.order);
}

static Value *take(Importer *c, Value *x, Value *index)
{
    return mk_gather(&c->b, IN(x, index), (Attr_gather){ .axis = 0 });
}

/* y[at[i]] = x[i], for a permutation `at`. */
static Value *put(Importer *c, Value *at, Value *x)
{
    Value *zero = x ? mk_full(&c->b, x->type.dtype, 1, x->type.dim, 0) : NULL;
    return mk_scatter_elements(&c->b, IN(zero, at, x), (Attr_scatter_elements){ .axis = 0, .reduction = "none" });
}

typedef struct Groups {
    Value *values, *first, *inverse, *count;
} Groups;

enum { MAX_KEYS = 64 };

/* Rows of x [n, k] in lexicographic order, equal ones as they were: stable sorts by one column after another, the least significant first. */
static Sorted sort_rows(Importer *c, Value *x, int k)
{
    Value *order = NULL;
    for (int j = k - 1; j >= 0; j--) {
        Value *key = mk_index(&c->b, x, 1, dim_k(c, j));
        Sorted s = topk(c, order ? take(c, key, order) : key, value_dim(x, 0), 0, false, true);
        order = order ? take(c, order, s.order) : s.order;
    }
    return (Sorted){ take(c, x, order), order };
}

/* Which rows of x [n, k] are not what the row before them is; the first is not. */
static Value *run_starts(Importer *c, Value *x)
{
    Builder *b = &c->b;
    Value *i = x ? mk_iota_n(b, DT_i64, value_dim(x, 0)) : NULL, *zero = mk_scalar(b, DT_i64, 0);
    Value *before = take(c, x, mk_max(b, mk_sub(b, i, mk_scalar(b, DT_i64, 1)), zero));
    Value *differs = mk_reduce_axes(b, "max", mk_cast_to(b, mk_ne(b, x, before), DT_i64), 1, (int64_t[]){ 1 });
    return mk_or(b, mk_eq(b, i, zero), mk_cast_to(b, flat(c, differs), DT_bool));
}

/* Groups of equal rows of x [n, k], ascending.
 *
 *     x = 2 1 1 3   sorted = 1 1 2 3   order = 1 2 0 3   starts a run = 1 0 1 1   at = 0 2 3   group = 0 0 1 2
 */
static Groups unique_groups(Importer *c, Value *x, int k)
{
    Builder *b = &c->b;
    Dim n = value_dim(x, 0);
    Sorted s = sort_rows(c, x, k);
    Value *starts = run_starts(c, s.values), *at = flat(c, nonzero(c, starts)), *one = mk_scalar(b, DT_i64, 1);
    if (!at)
        return (Groups){ 0 };
    Value *group = mk_cumulate(b, IN(mk_cast_to(b, starts, DT_i64)), (Attr_cumulate){ .kind = "sum" });
    Value *end = mk_reshape_ints(b, mk_dim_scalar(b, n, DT_i64), 1, (int64_t[]){ 1 });
    Value *next = take(c, mk_concat2(b, at, end, 0), mk_add(b, mk_iota_n(b, DT_i64, value_dim(at, 0)), one));
    return (Groups){ take(c, s.values, at), take(c, s.order, at), put(c, s.order, mk_sub(b, group, one)), mk_sub(b, next, at) };
}

/* The same groups in the order of their first elements. */
static Groups by_appearance(Importer *c, Groups g)
{
    if (!g.first)
        return g;
    Dim n = value_dim(g.first, 0);
    Sorted s = topk(c, g.first, n, 0, false, true);
    Value *rank = put(c, s.order, mk_iota_n(&c->b, DT_i64, n));
    return (Groups){ take(c, g.values, s.order), s.values, take(c, rank, g.inverse), take(c, g.count, s.order) };
}

/* Equal slices along an axis are equal rows of a matrix; without an axis every element is a row. */
bool import_unique(Importer *c)
{
    Value *x = in(c, 0);
    bool ok = true;
    if (!x)
        return false;
    x = has_attr(c, "axis") ? x : flat(c, x);
    int64_t axis = has_attr(c, "axis") ? import_axis(c, attr_i(c, "axis", 0), value_rank(x), &ok) : 0;
    Value *front = ok ? mk_swap_axes(&c->b, x, 0, (int)axis) : NULL;
    if (!front)
        return false;
    Dim matrix[2] = { value_dim(front, 0), dim_product(&c->b, front, 1, value_rank(front)) }, shape[MAX_RANK];
    if (!dim_is_const(matrix[1]) || matrix[1]->k < 1 || matrix[1]->k > MAX_KEYS)
        return import_unsupported(c, "an axis whose slices do not have 1 to %d elements", MAX_KEYS);
    Groups g = unique_groups(c, mk_reshape_to(&c->b, front, 2, matrix), (int)matrix[1]->k);
    if (!attr_i(c, "sorted", 1))
        g = by_appearance(c, g);
    if (!g.values)
        return false;
    for (int i = 0; i < value_rank(front); i++)
        shape[i] = i ? value_dim(front, i) : value_dim(g.values, 0);
    g.values = mk_swap_axes(&c->b, mk_reshape_to(&c->b, g.values, value_rank(front), shape), 0, (int)axis);
    return set_out(c, 0, g.values) && set_out(c, 1, g.first) && set_out(c, 2, g.inverse) && set_out(c, 3, g.count);
}

/* ---- along an axis ---- */

static Value *cumulate(Importer *c, const char *kind, int axis)
{
    Attr_cumulate a = { .kind = kind, .axis = axis, .exclusive = attr_i(c, "exclusive", 0) != 0, .reverse = attr_i(c, "reverse", 0) != 0 };
    return mk_cumulate(&c->b, IN(in(c, 0)), a);
}

/* An axis that is an input of the model: every axis is computed and the right result selected. */
static Value *cumulate_any(Importer *c, const char *kind)
{
    Builder *b = &c->b;
    int rank = value_rank(in(c, 0));
    Value *axis = mk_cast_to(b, scalar_of(c, in(c, 1)), DT_i64), *y = NULL;
    if (!axis)
        return NULL;
    axis = mk_where(b, mk_lt(b, axis, mk_k(b, axis, 0)), mk_add(b, axis, mk_k(b, axis, rank)), axis);
    for (int i = 0; i < rank; i++)
        y = i ? mk_where(b, mk_eq(b, axis, mk_k(b, axis, i)), cumulate(c, kind, i), y) : cumulate(c, kind, 0);
    return y;
}

static bool import_cumulate(Importer *c, const char *kind)
{
    double axis;
    bool ok = true;
    if (!in(c, 0) || !in(c, 1))
        return false;
    if (!value_scalar_f64(in(c, 1), &axis))
        OUT(c, cumulate_any(c, kind));
    int64_t k = import_axis(c, (int64_t)axis, value_rank(in(c, 0)), &ok);
    return ok && set_out(c, 0, cumulate(c, kind, (int)k));
}

bool import_cumsum(Importer *c) { return import_cumulate(c, "sum"); }
bool import_cumprod(Importer *c) { return import_cumulate(c, "prod"); }

/* Element t of a sequence of length n comes from n-1-t while t < n. */
bool import_reverse_sequence(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *length = mk_cast_to(b, in(c, 1), DT_i64);
    int64_t time = attr_i(c, "time_axis", 0), batch = attr_i(c, "batch_axis", 1);
    if (!x || !length)
        return false;
    int rank = value_rank(x);
    if (rank < 2 || time < 0 || batch < 0 || time > 1 || batch > 1 || time == batch || value_rank(length) != 1)
        return import_fail(c, "time_axis and batch_axis must be 0 and 1, and there must be one length for each sequence");
    Value *n = mk_insert_axes(b, length, value_rank(length), rank - 1 - (int)batch);
    Value *t = mk_iota(b, IN_NONE, (Attr_iota){ .shape = { rank, x->type.dim }, .axis = time, .dtype = DT_i64 });
    Value *mirrored = mk_sub(b, mk_sub(b, n, mk_scalar(b, DT_i64, 1)), t);
    Value *from = mk_where(b, mk_lt(b, t, n), mirrored, t);
    OUT(c, mk_gather_elements(b, IN(x, from), (Attr_gather_elements){ .axis = time }));
}
