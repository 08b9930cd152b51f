/* import_shape.c -- operators that make, read or change shapes without choosing elements by index: constants, Shape, Reshape and kin, Transpose,
 * Expand, Tile, Slice, Split, Concat, Pad, casts.
 *
 * Sizes are Dims. A size operand that inference knows (a constant, or arithmetic on shapes) gives Dims directly; any other one is read at run
 * time into data symbols (in_dims). What ONNX decides by looking at such a value -- a negative index, the 0 and -1 of Reshape -- is then written
 * with the Dim operations wrap, min, max and bcast; on constants they fold away.
 */
#include <string.h>

#include "import_axes.h"
#include "import_string.h"

enum { MAX_COUNT_BITS = 48 };      /* elements of a constant that is kept as a splat */

static DimTable *table(Importer *c)
{
    return c->m->dims;
}

static Dim dim_k(Importer *c, int64_t k)
{
    return dim_const(table(c), k);
}

/* ---- values as they are ---- */

bool import_identity(Importer *c)
{
    OUT(c, in(c, 0));
}

static const Tensor *tensor_of_floats(Importer *c, FloatVec v, int rank)
{
    Tensor *t = tensor_new(c->m->arena, DT_f32, rank, (int64_t[]){ v.n });
    for (int i = 0; i < v.n; i++)
        tensor_set_f64(t, i, v.v[i]);
    return t;
}

static const Tensor *constant_value(Importer *c)
{
    static const char *const tensors[] = { "value", "sparse_value" };
    for (int i = 0; i < 2; i++)
        if (has_attr(c, tensors[i]))
            return attr_tensor(c, tensors[i]);
    if (has_attr(c, "value_float"))
        return tensor_of_floats(c, (FloatVec){ 1, (double[]){ attr_f(c, "value_float", 0) } }, 0);
    if (has_attr(c, "value_floats"))
        return tensor_of_floats(c, attr_floats(c, "value_floats"), 1);
    bool many = has_attr(c, "value_ints");
    if (many || has_attr(c, "value_int")) {
        IntVec v = many ? attr_ints(c, "value_ints") : (IntVec){ 1, (int64_t[]){ attr_i(c, "value_int", 0) } };
        Tensor *t = tensor_new(c->m->arena, DT_i64, many, (int64_t[]){ v.n });
        if (v.n)
            memcpy((void *)(uintptr_t)t->data, v.v, sizeof(int64_t) * (size_t)v.n);
        return t;
    }
    import_fail(c, "there is no value");
    return NULL;
}

bool import_constant(Importer *c)
{
    if (has_attr(c, "value_string"))
        OUT(c, mk_text(&c->b, attr_s(c, "value_string", "")));
    StrVec texts = attr_strs(c, "value_strings");
    if (has_attr(c, "value_strings"))
        OUT(c, mk_texts(&c->b, texts.n, texts.v));
    OUT(c, mk_tensor(&c->b, constant_value(c)));
}

bool import_constant_of_shape(Importer *c)
{
    DimVec shape;
    float zero = 0;
    const Tensor *value = attr_tensor(c, "value");
    if (!in_dims(c, 0, &shape))
        return false;
    if (value && value->count != 1)
        return import_fail(c, "the value has %lld elements, one is needed", (long long)value->count);
    if (shape.n > MAX_RANK)
        return import_fail(c, "the shape has %d dimensions; at most %d are supported", shape.n, MAX_RANK);
    const Tensor *one = tensor_splat(c->m->arena, value ? value->dtype : DT_f32, 0, NULL, value ? value->data : &zero);
    int64_t dim[MAX_RANK], count = 1;
    for (int i = 0; i < shape.n; i++) {
        if (!dim_is_const(shape.v[i]))
            OUT(c, mk_expand_to(&c->b, mk_tensor(&c->b, one), shape.n, shape.v));
        dim[i] = shape.v[i]->k;
        if (dim[i] < 0 || __builtin_mul_overflow(count, dim[i], &count) || count >> MAX_COUNT_BITS)
            return import_fail(c, "the shape is impossible: size %lld at place %d", (long long)dim[i], i);
    }
    OUT(c, mk_tensor(&c->b, tensor_splat(c->m->arena, one->dtype, shape.n, dim, one->data)));
}

/* ---- shapes as values ---- */

static int64_t clamp(int64_t x, int64_t lo, int64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

bool import_shape(Importer *c)
{
    const Value *x = in(c, 0);
    if (!x)
        return false;
    int64_t rank = value_rank(x), start = attr_i(c, "start", 0), end = attr_i(c, "end", rank);
    start = clamp(start < 0 ? start + rank : start, 0, rank);
    end = clamp(end < 0 ? end + rank : end, start, rank);
    DimVec dims = { (int)(end - start), x->type.dim + start };
    OUT(c, mk_from_dims(&c->b, IN_NONE, (Attr_from_dims){ .dims = dims }));
}

bool import_size(Importer *c)
{
    if (!in(c, 0))
        return false;
    Dim n = type_count_dim(c->m, &in(c, 0)->type);
    OUT(c, mk_from_dims(&c->b, IN_NONE, (Attr_from_dims){ .dims = dims_copy(c->m, 1, &n), .scalar = true }));
}

/* ---- one order of elements under another shape ---- */

bool require_equal(Importer *c, Dim left, Dim right, const char *message)
{
    if (left == right)
        return true;
    if (dim_is_const(left) && dim_is_const(right))
        return import_fail(c, "%s (%lld against %lld)", message, (long long)left->k, (long long)right->k);
    Attr_check a = { .left = dims_copy(c->m, 1, &left), .right = dims_copy(c->m, 1, &right) };
    a.message = arena_printf(c->m->arena, "%s '%s': %s", c->op, c->b.loc.node, message);
    return build_node(&c->b, OP_check, IN_NONE, &a, 0) != NULL;
}

/* May a size operand turn out to be 0 or -1 at run time? What was computed from shapes is taken to be a size. */
static bool is_open(Importer *c, Dim d)
{
    return !dim_is_const(d) && !dim_nonneg(d) && dim_from_data(table(c), d);
}

/* d == 0 ? size : d, for a d that is known only at run time: d + size * (1 - min(|d|, 1)). */
static Dim zero_means(Importer *c, Dim d, Dim size)
{
    DimTable *t = table(c);
    Dim magnitude = dim_max(t, d, dim_mulk(t, d, -1)), is_zero = dim_sub(t, dim_k(c, 1), dim_min(t, magnitude, dim_k(c, 1)));
    return dim_add(t, d, dim_mul(t, size, is_zero));
}

/* What is left of the elements for dimension `at` when the others are as they are: [N, 12, 64] -> [N, -1] gives 768. A Dim divided by 0 is 0. */
static Dim rest_of(Importer *c, Dim total, const Dim *d, int n, int at)
{
    Dim others = dim_k(c, 1);
    for (int i = 0; i < n; i++)
        if (i != at)
            others = dim_mul(table(c), others, d[i]);
    return dim_is(others, 0) ? others : dim_div(table(c), total, others);
}

static bool reshape_dims(Importer *c, const Value *x, DimVec shape, bool allow_zero, Dim *out)
{
    int unknown = -1;
    Dim total = type_count_dim(c->m, &x->type);
    for (int i = 0; i < shape.n; i++) {
        Dim d = shape.v[i], size = i < value_rank(x) ? value_dim(x, i) : NULL;
        if (dim_is(d, 0) && !allow_zero && !size)
            return import_fail(c, "size 0 at place %d copies a dimension that the input of rank %d does not have", i, value_rank(x));
        if (dim_is(d, -1) && unknown >= 0)
            return import_fail(c, "more than one size is -1");
        if (dim_is(d, -1))
            unknown = i;
        out[i] = allow_zero || !size ? d : dim_is(d, 0) ? size : is_open(c, d) ? zero_means(c, d, size) : d;
    }
    if (unknown >= 0)
        out[unknown] = rest_of(c, total, out, shape.n, unknown);
    Dim given[MAX_RANK];
    memcpy(given, out, sizeof(Dim) * (size_t)shape.n);
    for (int i = 0; i < shape.n; i++)               /* one of those that come from data may turn out to be -1 */
        if (is_open(c, given[i]) && unknown < 0)
            out[i] = dim_wrap(table(c), given[i], dim_addk(table(c), rest_of(c, total, given, shape.n, i), 1));
    return true;
}

static bool set_reshaped(Importer *c, Value *x, int rank, const Dim *dim)
{
    Dim product = dim_k(c, 1);
    for (int i = 0; i < rank; i++)
        product = dim_mul(table(c), product, dim[i]);
    Dim total = type_count_dim(c->m, &x->type);
    if (dim_is_const(total) && dim_is_const(product) && total != product)
        return import_fail(c, "%lld elements do not fit a shape of %lld elements", (long long)total->k, (long long)product->k);
    if (!require_equal(c, product, total, "the input does not have as many elements as the shape needs"))
        return false;
    OUT(c, mk_reshape_to(&c->b, x, rank, dim));
}

bool import_reshape(Importer *c)
{
    Value *x = in(c, 0);
    DimVec shape;
    Dim dim[MAX_RANK];
    if (!x)
        return false;
    if (c->opset < 5) {
        IntVec v = attr_ints(c, "shape");
        shape = dims_of_ints(c->m, v.n, v.v);
    } else if (!in_dims(c, 1, &shape)) {
        return false;
    }
    if (shape.n > MAX_RANK)
        return import_fail(c, "the shape has %d dimensions; at most %d are supported", shape.n, MAX_RANK);
    return reshape_dims(c, x, shape, attr_i(c, "allowzero", 0) != 0, dim) && set_reshaped(c, x, shape.n, dim);
}

bool import_flatten(Importer *c)
{
    Value *x = in(c, 0);
    if (!x)
        return false;
    int64_t rank = value_rank(x), axis = attr_i(c, "axis", 1);
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis > rank)
        return import_fail(c, "axis %lld is out of range for rank %lld", (long long)axis, (long long)rank);
    Dim d[2] = { dim_product(&c->b, x, 0, (int)axis), dim_product(&c->b, x, (int)axis, (int)rank) };
    OUT(c, mk_reshape_to(&c->b, x, 2, d));
}

/* Is operand i there, but known only at run time? */
static bool is_open_operand(Importer *c, int i)
{
    return in(c, i) && !in_constant(c, i);
}

/* Marks the axes named in v; negative ones count from the end. */
static bool mark_axes(Importer *c, IntVec v, int rank, bool *marked)
{
    bool ok = true;
    memset(marked, 0, sizeof(bool) * MAX_RANK);
    for (int i = 0; ok && i < v.n; i++) {
        int64_t a = import_axis(c, v.v[i], rank, &ok);
        if (ok && marked[a])
            ok = import_fail(c, "axis %lld is given twice", (long long)a);
        marked[a] = true;
    }
    return ok;
}

bool import_squeeze(Importer *c)
{
    Value *x = in(c, 0);
    IntVec axes;
    bool found, gone[MAX_RANK];
    Dim dim[MAX_RANK];
    int rank = 0;
    if (x && is_open_operand(c, 1))
        return squeeze_open_axes(c);
    if (!x || !ints_attr_or_in(c, "axes", 1, &axes, &found) || !mark_axes(c, axes, value_rank(x), gone))
        return false;
    for (int i = 0; i < value_rank(x); i++) {
        Dim d = value_dim(x, i);
        if (!(found ? gone[i] : dim_is(d, 1)))
            dim[rank++] = d;
        else if (!require_equal(c, d, dim_k(c, 1), "a squeezed axis must have size 1"))
            return false;
    }
    OUT(c, mk_reshape_to(&c->b, x, rank, dim));
}

bool import_unsqueeze(Importer *c)
{
    Value *x = in(c, 0);
    IntVec axes;
    bool found, fresh[MAX_RANK];
    Dim dim[MAX_RANK];
    if (x && is_open_operand(c, 1))
        return unsqueeze_open_axes(c);
    if (!x || !ints_attr_or_in(c, "axes", 1, &axes, &found))
        return false;
    int rank = value_rank(x) + axes.n, k = 0;
    if (rank > MAX_RANK)
        return import_fail(c, "the result would have %d dimensions; at most %d are supported", rank, MAX_RANK);
    if (!mark_axes(c, axes, rank, fresh))
        return false;
    for (int i = 0; i < rank; i++)
        dim[i] = fresh[i] ? dim_k(c, 1) : value_dim(x, k++);
    OUT(c, mk_reshape_to(&c->b, x, rank, dim));
}

/* ---- moved axes ---- */

bool import_transpose(Importer *c)
{
    Value *x = in(c, 0);
    IntVec given = attr_ints(c, "perm");
    int64_t perm[MAX_RANK];
    bool seen[MAX_RANK];
    if (!x)
        return false;
    int rank = value_rank(x);
    if (has_attr(c, "perm") && given.n != rank)
        return import_fail(c, "perm has %d entries, the input has rank %d", given.n, rank);
    if (!mark_axes(c, given, rank, seen))
        return false;
    for (int i = 0; i < rank; i++)
        perm[i] = given.n ? given.v[i] + (given.v[i] < 0 ? rank : 0) : rank - 1 - i;
    OUT(c, mk_transpose_perm(&c->b, x, perm));
}

/* [N, C, H, W] with blocks of B x B pixels spread over (or gathered from) channels; `order` permutes the six factors. */
bool import_depth_to_space(Importer *c)
{
    Value *x = in(c, 0);
    int64_t b = attr_i(c, "blocksize", 0);
    bool crd = !strcmp(attr_s(c, "mode", "DCR"), "CRD");
    DimTable *t = table(c);
    if (!x || value_rank(x) != 4 || b < 1 || b > INT32_MAX)
        return import_fail(c, "an input of rank 4 and a positive blocksize are needed");
    Dim n = value_dim(x, 0), h = value_dim(x, 2), w = value_dim(x, 3), k = dim_k(c, b), depth = dim_divk(t, value_dim(x, 1), b * b);
    Dim split[6] = { n, crd ? depth : k, k, crd ? k : depth, h, w };
    Dim out[4] = { n, depth, dim_mul(t, h, k), dim_mul(t, w, k) };
    if (!require_equal(c, dim_mulk(t, depth, b * b), value_dim(x, 1), "the channels are not a multiple of blocksize * blocksize"))
        return false;
    Value *y = mk_transpose_perm(&c->b, mk_reshape_to(&c->b, x, 6, split), crd ? (int64_t[]){ 0, 1, 4, 2, 5, 3 } : (int64_t[]){ 0, 3, 4, 1, 5, 2 });
    OUT(c, mk_reshape_to(&c->b, y, 4, out));
}

bool import_space_to_depth(Importer *c)
{
    Value *x = in(c, 0);
    int64_t b = attr_i(c, "blocksize", 0);
    DimTable *t = table(c);
    if (!x || value_rank(x) != 4 || b < 1 || b > INT32_MAX)
        return import_fail(c, "an input of rank 4 and a positive blocksize are needed");
    Dim n = value_dim(x, 0), ch = value_dim(x, 1), k = dim_k(c, b), h = dim_divk(t, value_dim(x, 2), b), w = dim_divk(t, value_dim(x, 3), b);
    Dim split[6] = { n, ch, h, k, w, k }, out[4] = { n, dim_mulk(t, ch, b * b), h, w };
    if (!require_equal(c, dim_mul(t, h, k), value_dim(x, 2), "the height is not a multiple of blocksize") ||
        !require_equal(c, dim_mul(t, w, k), value_dim(x, 3), "the width is not a multiple of blocksize"))
        return false;
    Value *y = mk_transpose_perm(&c->b, mk_reshape_to(&c->b, x, 6, split), (int64_t[]){ 0, 3, 5, 1, 2, 4 });
    OUT(c, mk_reshape_to(&c->b, y, 4, out));
}

/* ---- repetition ---- */

bool import_expand(Importer *c)
{
    Value *x = in(c, 0);
    DimVec shape;
    Dim dim[MAX_RANK];
    if (!x || !in_dims(c, 1, &shape))
        return false;
    int rank = shape.n > value_rank(x) ? shape.n : value_rank(x);
    if (rank > MAX_RANK)
        return import_fail(c, "the shape has %d dimensions; at most %d are supported", rank, MAX_RANK);
    for (int i = 0; i < rank; i++) {
        int k = i - (rank - value_rank(x)), s = i - (rank - shape.n);
        Dim have = k < 0 ? dim_k(c, 1) : value_dim(x, k), want = s < 0 ? dim_k(c, 1) : shape.v[s];
        if (dim_is_const(have) && dim_is_const(want) && have != want && have->k != 1 && want->k != 1)
            return import_fail(c, "size %lld does not broadcast to %lld", (long long)have->k, (long long)want->k);
        dim[i] = dim_bcast(table(c), have, want);
    }
    OUT(c, mk_expand_to(&c->b, x, rank, dim));
}

/* x [a, b] repeated [r, 1]:  [a, b] -> [1, a, b] -> [r, a, b] -> [r*a, b] */
static Value *tile(Importer *c, Value *x, const Dim *repeat)
{
    Dim inserted[2 * MAX_RANK], spread[2 * MAX_RANK], merged[MAX_RANK];
    int wide = 0, rank = value_rank(x);
    for (int i = 0; i < rank; i++) {
        merged[i] = dim_mul(table(c), repeat[i], value_dim(x, i));
        if (!dim_is(repeat[i], 1)) {
            inserted[wide] = dim_k(c, 1);
            spread[wide++] = repeat[i];
        }
        inserted[wide] = spread[wide] = value_dim(x, i);
        wide++;
    }
    if (wide > MAX_RANK) {
        import_unsupported(c, "repeating %d of %d axes", wide - rank, rank);
        return NULL;
    }
    Value *y = mk_expand_to(&c->b, mk_reshape_to(&c->b, x, wide, inserted), wide, spread);
    return mk_reshape_to(&c->b, y, rank, merged);
}

/* Version 1 takes a number of tiles and one axis as inputs. */
bool import_tile(Importer *c)
{
    Value *x = in(c, 0);
    DimVec repeat, axis;
    Dim each[MAX_RANK];
    bool ok = true;
    if (!x || !in_dims(c, 1, &repeat))
        return false;
    if (c->opset >= 6) {
        if (repeat.n != value_rank(x))
            return import_fail(c, "there are %d repeats for an input of rank %d", repeat.n, value_rank(x));
        OUT(c, tile(c, x, repeat.v));
    }
    if (!in_dims(c, 2, &axis) || axis.n != 1 || repeat.n != 1 || !dim_is_const(axis.v[0]))
        return import_unsupported(c, "an axis that is not constant");
    int64_t at = import_axis(c, axis.v[0]->k, value_rank(x), &ok);
    for (int i = 0; i < value_rank(x); i++)
        each[i] = i == at ? repeat.v[0] : dim_k(c, 1);
    return ok && set_out(c, 0, tile(c, x, each));
}

/* ---- pieces ---- */

typedef struct Range {
    Dim start, size;
    int64_t step;
} Range;

/* Index i of an axis: negative counts from the end, absurd constants are brought near so that arithmetic on them cannot overflow. */
static Dim index_dim(Importer *c, Dim i, Dim size)
{
    const int64_t far = (int64_t)1 << 40;
    return dim_wrap(table(c), dim_is_const(i) ? dim_k(c, clamp(i->k, -far, far)) : i, size);
}

/* `end` constants of this size say "to the end" of any axis whose size is a symbol. */
static bool means_all(Dim end, Dim size)
{
    return end == size || (dim_is_const(end) && !dim_is_const(size) && end->k >= INT32_MAX);
}

static Range range_up(Importer *c, Dim start, Dim end, int64_t step, Dim size)
{
    DimTable *t = table(c);
    Dim zero = dim_k(c, 0), first = dim_max(t, index_dim(c, start, size), zero);
    Dim stop = means_all(end, size) ? size : dim_min(t, index_dim(c, end, size), size);
    Dim n = dim_ceil_div(t, dim_sub(t, stop, first), dim_k(c, step));
    return (Range){ first, dim_max(t, n, zero), step };
}

static Range range_down(Importer *c, Dim start, Dim end, int64_t step, Dim size)
{
    DimTable *t = table(c);
    Dim zero = dim_k(c, 0), minus = dim_k(c, -1), last = dim_addk(t, size, -1);
    bool from_last = dim_is(start, -1) || means_all(start, size);
    Dim first = from_last ? last : dim_max(t, dim_min(t, index_dim(c, start, size), last), zero);
    bool to_first = dim_is_const(end) && (end->k <= INT32_MIN || (dim_is_const(size) && end->k < -size->k));
    Dim stop = to_first ? minus : dim_max(t, index_dim(c, end, size), minus);
    Dim n = dim_max(t, dim_ceil_div(t, dim_sub(t, first, stop), dim_k(c, -step)), zero);
    return (Range){ first, from_last ? n : dim_min(t, n, size), step };    /* min: an empty axis gives nothing, wherever one starts */
}

/* x[:, -1:] and x[:, k:k+1] take one element of an axis of symbolic size. That it exists is checked at run time, so that the result has size 1
 * rather than min(1, N). */
static bool one_element(Importer *c, Dim start, Dim end, Dim size, Range *r)
{
    bool consts = dim_is_const(start) && dim_is_const(end) && !dim_is_const(size);
    bool last = dim_is(start, -1) && (dim_is_const(end) && end->k >= INT32_MAX);
    bool inner = consts && end->k == start->k + 1 && end->k != 0;
    if ((!last && !inner) || r->step != 1)
        return true;
    int64_t need = start->k < 0 ? -start->k : end->k;
    r->start = dim_wrap(table(c), start, size);
    r->size = dim_k(c, 1);
    return require_equal(c, dim_min(table(c), size, dim_k(c, need)), dim_k(c, need), "the slice takes an element that the input does not have");
}

static bool range_of(Importer *c, Dim start, Dim end, int64_t step, Dim size, Range *out)
{
    *out = step > 0 ? range_up(c, start, end, step, size) : range_down(c, start, end, step, size);
    bool starts_inside = !dim_is_const(out->start) || !dim_is_const(size) || dim_is(out->size, 0) || out->start->k < size->k;
    if (!starts_inside)
        return import_fail(c, "the slice is out of range");
    return dim_is_const(size) || one_element(c, start, end, size, out);
}

typedef struct SliceArgs {
    DimVec starts, ends;
    IntVec axes, steps;
} SliceArgs;

static bool slice_args(Importer *c, SliceArgs *a)
{
    *a = (SliceArgs){ 0 };
    if (c->opset < 10) {
        IntVec starts = attr_ints(c, "starts"), ends = attr_ints(c, "ends");
        a->starts = dims_of_ints(c->m, starts.n, starts.v);
        a->ends = dims_of_ints(c->m, ends.n, ends.v);
        a->axes = attr_ints(c, "axes");
    } else if (!in_dims(c, 1, &a->starts) || !in_dims(c, 2, &a->ends) || (in(c, 3) && !in_ints(c, 3, &a->axes)) ||
               (in(c, 4) && !in_ints(c, 4, &a->steps))) {
        return false;
    }
    int n = a->starts.n;
    if (a->ends.n != n || (a->axes.n && a->axes.n != n) || (a->steps.n && a->steps.n != n))
        return import_fail(c, "there are %d starts, %d ends, %d axes and %d steps", n, a->ends.n, a->axes.n, a->steps.n);
    return true;
}

bool import_slice(Importer *c)
{
    Value *x = in(c, 0);
    SliceArgs a;
    Dim starts[MAX_RANK], sizes[MAX_RANK];
    int64_t steps[MAX_RANK];
    bool ok = true;
    if (x && c->opset >= 10 && (is_open_operand(c, 3) || is_open_operand(c, 4)))
        return slice_open_axes(c);
    if (!x || !slice_args(c, &a))
        return false;
    int rank = value_rank(x);
    for (int i = 0; i < rank; i++)
        starts[i] = dim_k(c, 0), sizes[i] = value_dim(x, i), steps[i] = 1;
    for (int i = 0; i < a.starts.n; i++) {
        int64_t axis = import_axis(c, a.axes.n ? a.axes.v[i] : i, rank, &ok), step = a.steps.n ? a.steps.v[i] : 1;
        Range r;
        if (ok && !step)
            ok = import_fail(c, "a step is zero");
        step = clamp(step, -INT32_MAX, INT32_MAX);
        if (!ok || !range_of(c, a.starts.v[i], a.ends.v[i], step, value_dim(x, (int)axis), &r))
            return false;
        starts[axis] = r.start, sizes[axis] = r.size, steps[axis] = r.step;
    }
    Attr_slice attrs = { dims_copy(c->m, rank, starts), dims_copy(c->m, rank, sizes), ints_copy(c->m, rank, steps), 0 };
    bool whole = true;
    for (int i = 0; i < rank; i++)
        whole &= dim_is(starts[i], 0) && sizes[i] == value_dim(x, i) && steps[i] == 1;
    OUT(c, whole ? x : mk_slice(&c->b, IN(x), attrs));
}

/* Sizes of the pieces: given, or equal ones of which the last may be smaller (opset 18, num_outputs). */
static bool split_sizes(Importer *c, Dim total, DimVec *sizes)
{
    int n = out_count(c);
    if (has_attr(c, "split")) {
        IntVec v = attr_ints(c, "split");
        *sizes = dims_of_ints(c->m, v.n, v.v);
    } else if (in(c, 1)) {
        if (!in_dims(c, 1, sizes))
            return false;
    } else {
        Dim *d = ARENA_ARRAY(c->m->arena, Dim, n + 1);
        Dim each = c->opset < 18 ? dim_divk(table(c), total, n) : dim_ceil_div(table(c), total, dim_k(c, n));
        for (int i = 0; i < n; i++)
            d[i] = each;
        d[n - 1] = dim_sub(table(c), total, dim_mulk(table(c), each, n - 1));
        *sizes = (DimVec){ n, d };
    }
    return sizes->n == n || import_fail(c, "there are %d sizes for %d outputs", sizes->n, n);
}

bool import_split(Importer *c)
{
    Value *x = in(c, 0);
    DimVec sizes;
    bool ok = true;
    if (!x || !out_count(c))
        return false;
    int64_t axis = import_axis(c, attr_i(c, "axis", 0), value_rank(x), &ok);
    if (!ok || !split_sizes(c, value_dim(x, (int)axis), &sizes))
        return false;
    Dim at = dim_k(c, 0), total = dim_k(c, 0);
    for (int i = 0; i < sizes.n; i++)
        total = dim_add(table(c), total, sizes.v[i]);
    if (!require_equal(c, total, value_dim(x, (int)axis), "the pieces do not add up to the size of the axis"))
        return false;
    for (int i = 0; i < sizes.n; i++) {
        if (dim_is_const(sizes.v[i]) && sizes.v[i]->k < 0)
            return import_fail(c, "piece %d would have a negative size", i);
        if (out_wanted(c, i) && !set_out(c, i, mk_slice_axis(&c->b, x, (int)axis, at, sizes.v[i])))
            return false;
        at = dim_add(table(c), at, sizes.v[i]);
    }
    return true;
}

bool import_concat(Importer *c)
{
    int n = 0;
    Value **v = ARENA_ARRAY(c->m->arena, Value *, in_count(c) + 1);
    bool ok = true;
    for (int i = 0; i < in_count(c); i++)
        if (in(c, i))
            v[n++] = in(c, i);
    if (!n)
        return false;
    int64_t axis = import_axis(c, attr_i(c, "axis", 1), value_rank(v[0]), &ok);
    return ok && set_out(c, 0, n == 1 ? v[0] : mk_concat(&c->b, (Inputs){ n, v }, (Attr_concat){ .axis = axis }));
}

/* ---- margins ---- */

static bool pad_args(Importer *c, DimVec *pads, IntVec *axes, Value **value)
{
    *axes = (IntVec){ 0, NULL };
    *value = in(c, 2);
    if (c->opset >= 11 && is_open_operand(c, 3))
        return pads_open_axes(c, pads);
    if (c->opset >= 11)
        return in_dims(c, 1, pads) && (!in(c, 3) || in_ints(c, 3, axes));
    IntVec v = attr_ints(c, c->opset < 2 ? "paddings" : "pads");
    double fill = attr_f(c, "value", 0);
    *pads = dims_of_ints(c->m, v.n, v.v);
    *value = fill != 0 ? mk_k(&c->b, in(c, 0), fill) : NULL;
    return true;
}

/* Reflecting takes at most size - 1 elements on each side; where the sizes are constant, more is an error of the model. */
static bool pad_fits(Importer *c, const Value *x, const char *mode, const Dim *before, const Dim *after)
{
    for (int i = 0; i < value_rank(x); i++) {
        Dim size = value_dim(x, i), lo = before[i], hi = after[i];
        if (dim_is_const(size) && dim_is_const(lo) && dim_is_const(hi) && size->k + lo->k + hi->k < 0)
            return import_fail(c, "axis %d of size %lld would get a negative size", i, (long long)size->k);
    }
    return !strcmp(mode, "constant") || !strcmp(mode, "edge") || !strcmp(mode, "reflect") || !strcmp(mode, "wrap") ||
           import_unsupported(c, "mode '%s'", mode);
}

bool import_pad(Importer *c)
{
    Value *x = in(c, 0), *value = NULL;
    DimVec pads;
    IntVec axes;
    Dim before[MAX_RANK], after[MAX_RANK];
    bool ok = true;
    if (!x || !pad_args(c, &pads, &axes, &value))
        return false;
    int rank = value_rank(x), n = axes.v ? axes.n : rank;
    if (pads.n != 2 * n)
        return import_fail(c, "there are %d pads for %d axes", pads.n, n);
    for (int i = 0; i < rank; i++)
        before[i] = after[i] = dim_k(c, 0);
    for (int i = 0; ok && i < n; i++) {
        int64_t axis = import_axis(c, axes.n ? axes.v[i] : i, rank, &ok);
        before[axis] = pads.v[i], after[axis] = pads.v[n + i];
    }
    const char *mode = attr_s(c, "mode", "constant");
    if (!ok || !pad_fits(c, x, mode, before, after))
        return false;
    if (value && value_rank(value) == 1)
        value = mk_reshape_to(&c->b, value, 0, NULL);
    Attr_pad a = { dims_copy(c->m, rank, before), dims_copy(c->m, rank, after), mode, 0 };
    OUT(c, mk_pad(&c->b, IN(x, strcmp(mode, "constant") ? NULL : value), a));
}

/* floor((want - have) / 2) elements are added before, or floor((have - want) / 2) taken away. */
bool import_center_crop_pad(Importer *c)
{
    Value *x = in(c, 0);
    DimVec shape;
    Dim before[MAX_RANK], after[MAX_RANK], zero = dim_k(c, 0);
    DimTable *t = table(c);
    IntVec axes = attr_ints(c, "axes");
    bool ok = true;
    if (!x || !in_dims(c, 1, &shape))
        return false;
    int rank = value_rank(x), n = has_attr(c, "axes") ? axes.n : rank;
    if (shape.n != n)
        return import_fail(c, "there are %d sizes for %d axes", shape.n, n);
    for (int i = 0; i < rank; i++)
        before[i] = after[i] = zero;
    for (int i = 0; i < n && ok; i++) {
        int64_t axis = import_axis(c, axes.n ? axes.v[i] : i, rank, &ok);
        Dim grow = dim_sub(t, shape.v[i], value_dim(x, (int)axis)), shrink = dim_mulk(t, grow, -1);
        before[axis] = dim_sub(t, dim_divk(t, dim_max(t, grow, zero), 2), dim_divk(t, dim_max(t, shrink, zero), 2));
        after[axis] = dim_sub(t, grow, before[axis]);
    }
    Attr_pad a = { dims_copy(c->m, rank, before), dims_copy(c->m, rank, after), "constant", 0 };
    return ok && set_out(c, 0, mk_pad(&c->b, IN(x, NULL), a));
}

/* ---- element types ---- */

/* Numbers as text and back are ops of their own. */
static Value *converted(Importer *c, DType to)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    if (x && x->type.dtype != to && to == DT_str)
        return mk_str_format(b, IN(x), (Attr_str_format){ 0 });
    if (x && x->type.dtype != to && x->type.dtype == DT_str)
        return mk_str_parse(b, IN(x), (Attr_str_parse){ .to = to });
    if (x && to == DT_str)
        return x;
    return mk_cast(b, IN(x), (Attr_cast){ .to = to, .saturate = attr_i(c, "saturate", 1) != 0 });
}

bool import_cast(Importer *c)
{
    DType to = c->opset < 6 ? DT_none : attr_dtype(c, "to", DT_none);
    if (c->opset < 6) {                             /* the name of the type: "FLOAT", "INT64"... */
        static const char *const name[] = { "", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL",
                                           "FLOAT16", "DOUBLE", "UINT32", "UINT64" };
        for (int i = 1; i < (int)(sizeof name / sizeof *name); i++)
            to = strcmp(name[i], attr_s(c, "to", "")) ? to : dtype_from_onnx(i);
    }
    if (!to)
        return import_fail(c, "the attribute 'to' is missing");
    OUT(c, converted(c, to));
}

bool import_cast_like(Importer *c)
{
    if (!in(c, 1))
        return false;
    OUT(c, converted(c, in(c, 1)->type.dtype));
}

bool import_bitcast(Importer *c)
{
    DType to = attr_dtype(c, "to", DT_none);
    if (!to)
        return import_fail(c, "the attribute 'to' is missing");
    OUT(c, mk_bitcast(&c->b, IN(in(c, 0)), (Attr_bitcast){ .to = to }));
}
