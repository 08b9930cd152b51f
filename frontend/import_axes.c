/* import_axes.c -- see import_axes.h.
 *
 * The rank of the result is known, which axis is which is not. So the arithmetic that import_shape.c does on Dims is done here on i64 vectors
 * with one element per axis, and the sizes that come out are bound to symbols. An operand of n axes is first spread over all `rank` places.
 */
#include "import_axes.h"

#include "import_parts.h"

static Value *vector(Importer *c, int n, int64_t k)
{
    int64_t v[2 * MAX_RANK];
    for (int i = 0; i < n; i++)
        v[i] = k;
    return mk_ints(&c->b, n, v);
}

static Value *sizes_of(Importer *c, const Value *x)
{
    return mk_from_dims(&c->b, IN_NONE, (Attr_from_dims){ .dims = { value_rank(x), x->type.dim } });
}

static Value *wrapped(Importer *c, Value *i, Value *size)
{
    return mk_where(&c->b, mk_lt(&c->b, i, mk_k(&c->b, i, 0)), mk_add(&c->b, i, size), i);
}

/* Operand i as a vector of i64; *n elements. */
static Value *operand(Importer *c, int i, int *n)
{
    Value *v = in(c, i);
    if (!v || !type_is_static(&v->type) || v->type.rank > 1 || type_count(&v->type) > 2 * MAX_RANK) {
        import_fail(c, "input %d must be a list of at most %d integers", i, 2 * MAX_RANK);
        return NULL;
    }
    *n = (int)type_count(&v->type);
    return mk_reshape_ints(&c->b, mk_cast_to(&c->b, v, DT_i64), 1, (int64_t[]){ *n });
}

static Value *axes_operand(Importer *c, int i, int rank, int *n)
{
    Value *axes = operand(c, i, n);
    return axes ? wrapped(c, axes, mk_k(&c->b, axes, rank)) : NULL;
}

/* base, with x[i] at place axes[i] */
static Value *spread(Importer *c, Value *base, Value *axes, Value *x)
{
    return mk_scatter_elements(&c->b, IN(base, axes, x), (Attr_scatter_elements){ .axis = 0, .reduction = "none" });
}

static Value *element(Importer *c, Value *v, int i)
{
    return v ? mk_index(&c->b, v, 0, dim_const(c->m->dims, i)) : NULL;
}

static Value *take(Importer *c, Value *x, Value *index)
{
    return mk_gather(&c->b, IN(x, index), (Attr_gather){ .axis = 0 });
}

static bool set_reshaped(Importer *c, Value *shape)
{
    DimVec d;
    Dim count = dim_one(&c->b);
    if (!build_dims_of(&c->b, shape, &d))
        return false;
    for (int i = 0; i < d.n; i++)
        count = dim_mul(c->m->dims, count, d.v[i]);
    return require_equal(c, count, type_count_dim(c->m, &in(c, 0)->type), "an axis that is not of size 1 would be lost") &&
           set_out(c, 0, mk_reshape_to(&c->b, in(c, 0), d.n, d.v));
}

bool squeeze_open_axes(Importer *c)
{
    Value *x = in(c, 0);
    int rank = value_rank(x), n;
    Value *axes = axes_operand(c, 1, rank, &n);
    if (!axes || n > rank)
        return axes && import_fail(c, "%d axes are given for an input of rank %d", n, rank);
    Dim kept = dim_fresh(c->m->dims, "kept", dim_const(c->m->dims, rank));
    Value *keep = spread(c, vector(c, rank, 1), axes, vector(c, n, 0));
    Value *which = mk_nonzero(&c->b, IN(keep), (Attr_nonzero){ .count = dims_copy(c->m, 1, &kept) });
    if (!which || !require_equal(c, kept, dim_const(c->m->dims, rank - n), "an axis is given twice"))
        return false;
    return set_reshaped(c, take(c, sizes_of(c, x), mk_reshape_ints(&c->b, which, 1, (int64_t[]){ rank - n })));
}

bool unsqueeze_open_axes(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    int n, rank = value_rank(x);
    Value *axes = operand(c, 1, &n);
    if (!axes || rank + n > MAX_RANK)
        return axes && import_fail(c, "the result would have %d dimensions; at most %d are supported", rank + n, MAX_RANK);
    axes = wrapped(c, axes, mk_k(b, axes, rank + n));
    Value *fresh = spread(c, vector(c, rank + n, 0), axes, vector(c, n, 1)), *one = mk_scalar(b, DT_i64, 1);
    Value *from = mk_sub(b, mk_cumulate(b, IN(mk_sub(b, one, fresh)), (Attr_cumulate){ .kind = "sum" }), one);
    Value *sizes = rank ? sizes_of(c, x) : vector(c, 1, 1);
    return set_reshaped(c, mk_where(b, mk_eq(b, fresh, one), one, take(c, sizes, mk_max(b, from, mk_k(b, from, 0)))));
}

bool pads_open_axes(Importer *c, DimVec *pads)
{
    int rank = value_rank(in(c, 0)), n, npads;
    Value *axes = axes_operand(c, 3, rank, &n), *given = axes ? operand(c, 1, &npads) : NULL;
    if (!given || npads != 2 * n)
        return given && import_fail(c, "there are %d pads for %d axes", npads, n);
    Value *before = spread(c, vector(c, rank, 0), axes, mk_range_slice(&c->b, given, 0, 0, n));
    Value *after = spread(c, vector(c, rank, 0), axes, mk_range_slice(&c->b, given, 0, n, n));
    return build_dims_of(&c->b, mk_concat2(&c->b, before, after, 0), pads);
}

/* ---- Slice ---- */

typedef struct Bounds {
    Value *start, *step, *count;    /* i64[rank] */
} Bounds;

static Value *clamped(Importer *c, Value *x, Value *lo, Value *hi)
{
    return mk_min(&c->b, mk_max(&c->b, x, lo), hi);
}

/* Going up, both ends lie in 0 .. size; going down, the start in 0 .. size-1 and the end in -1 .. size-1.
 * count = ceil((end - start) / step), at least 0; the division truncates. */
static Bounds slice_bounds(Importer *c, Value *start, Value *end, Value *step, Value *size)
{
    Builder *b = &c->b;
    Value *zero = mk_scalar(b, DT_i64, 0), *one = mk_scalar(b, DT_i64, 1), *minus = mk_scalar(b, DT_i64, -1), *up = mk_lt(b, zero, step);
    Value *top = mk_where(b, up, size, mk_sub(b, size, one));
    start = clamped(c, wrapped(c, start, size), zero, top);
    end = clamped(c, wrapped(c, end, size), mk_where(b, up, zero, minus), top);
    Value *span = mk_add(b, mk_sub(b, end, start), mk_sub(b, step, mk_where(b, up, one, minus)));
    return (Bounds){ start, step, mk_max(b, mk_div(b, span, step), zero) };
}

static bool spread_bounds(Importer *c, Bounds *out)
{
    const Value *x = in(c, 0);
    int rank = value_rank(x), ns, ne, na = 0, nt = 0;
    Value *starts = operand(c, 1, &ns), *ends = starts ? operand(c, 2, &ne) : NULL;
    if (!ends)
        return false;
    int64_t first[MAX_RANK];
    for (int i = 0; i < rank; i++)
        first[i] = i;
    Value *axes = in(c, 3) ? axes_operand(c, 3, rank, &na) : mk_ints(&c->b, na = ns < rank ? ns : rank, first);
    Value *steps = in(c, 4) ? operand(c, 4, &nt) : vector(c, nt = ns, 1);
    if (!axes || !steps || ns != ne || ns != na || ns != nt)
        return axes && steps && import_fail(c, "there are %d starts, %d ends, %d axes and %d steps", ns, ne, na, nt);
    Value *size = sizes_of(c, x);
    *out = slice_bounds(c, spread(c, vector(c, rank, 0), axes, starts), spread(c, size, axes, ends), spread(c, vector(c, rank, 1), axes, steps), size);
    return out->count != NULL;
}

bool slice_open_axes(Importer *c)
{
    Builder *b = &c->b;
    Value *y = in(c, 0);
    Bounds v = { 0 };
    Dim n[MAX_RANK];
    int rank = value_rank(y);
    if (!rank || !spread_bounds(c, &v))
        return rank ? false : import_fail(c, "a scalar cannot be sliced");
    for (int i = 0; i < rank; i++)
        n[i] = dim_fresh(c->m->dims, "slice", value_dim(y, i));
    if (!build_node(b, OP_bind, IN(v.count), &(Attr_bind){ .syms = dims_copy(c->m, rank, n) }, 0))
        return false;
    for (int i = 0; i < rank && y; i++) {
        Value *index = mk_add(b, mk_mul(b, mk_iota_n(b, DT_i64, n[i]), element(c, v.step, i)), element(c, v.start, i));
        y = mk_gather(b, IN(y, index), (Attr_gather){ .axis = i });
    }
    OUT(c, y);
}
