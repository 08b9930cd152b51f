/* import_parts.c -- see import_parts.h. */
#include "import_parts.h"

/* ---- numbers ---- */

Value *mk_dim_scalar(Builder *b, Dim d, DType t)
{
    if (dim_is_const(d))
        return mk_scalar(b, t, (double)d->k);
    return mk_cast_to(b, mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = dims_copy(b->m, 1, &d), .scalar = true }), t);
}

Value *mk_scaled(Builder *b, Value *x, double k)
{
    return k == 1 ? x : mk_mul(b, x, mk_k(b, x, k));
}

Value *mk_shifted(Builder *b, Value *x, double k)
{
    return k == 0 ? x : mk_add(b, x, mk_k(b, x, k));
}

Value *mk_full(Builder *b, DType t, int rank, const Dim *dim, double x)
{
    return mk_expand_to(b, mk_scalar(b, t, x), rank, dim);
}

Value *mk_floats(Builder *b, DType t, FloatVec v)
{
    Tensor *k = tensor_new(b->m->arena, t, 1, (int64_t[]){ v.n });
    for (int i = 0; i < v.n; i++)
        tensor_set_f64(k, i, v.v[i]);
    return mk_tensor(b, k);
}

DType wide_float(DType t)
{
    return dtype_table[t].cls == CLS_MINI ? DT_f32 : t;
}

/* ---- shapes ---- */

Dim dim_product(Builder *b, const Value *x, int from, int to)
{
    Dim d = dim_one(b);
    for (int i = from; i < to; i++)
        d = dim_mul(b->m->dims, d, value_dim(x, i));
    return d;
}

int axes_from(int first, int rank, int64_t *axes)
{
    int n = 0;
    for (int i = first; i < rank; i++)
        axes[n++] = i;
    return n;
}

Value *mk_drop_axes(Builder *b, Value *x, int n, const int64_t *axes)
{
    Dim d[MAX_RANK];
    int rank = 0;
    if (!x)
        return NULL;
    for (int i = 0; i < value_rank(x); i++) {
        bool dropped = false;
        for (int k = 0; k < n; k++)
            dropped |= axes[k] == i;
        if (!dropped)
            d[rank++] = value_dim(x, i);
    }
    return mk_reshape_to(b, x, rank, d);
}

Value *mk_insert_axes(Builder *b, Value *x, int at, int n)
{
    Dim d[2 * MAX_RANK];
    if (!x)
        return NULL;
    int rank = value_rank(x);
    if (at > rank || n < 0 || rank + n > MAX_RANK) {
        diag_error(b->m->diag, b->loc, "an operand of rank %d is not supported here", rank);
        return NULL;
    }
    for (int i = 0; i < rank + n; i++)
        d[i] = i < at ? value_dim(x, i) : i < at + n ? dim_one(b) : value_dim(x, i - n);
    return mk_reshape_to(b, x, rank + n, d);
}

Value *mk_align_channel(Builder *b, Value *v, int rank, int axis)
{
    return v ? mk_insert_axes(b, v, value_rank(v), rank - 1 - axis) : NULL;
}

Value *mk_swap_axes(Builder *b, Value *x, int i, int j)
{
    int64_t perm[MAX_RANK];
    if (!x)
        return NULL;
    for (int k = 0; k < value_rank(x); k++)
        perm[k] = k == i ? j : k == j ? i : k;
    return mk_transpose_perm(b, x, perm);
}

Value *mk_swap_last(Builder *b, Value *x)
{
    return x ? mk_swap_axes(b, x, value_rank(x) - 2, value_rank(x) - 1) : NULL;
}

Value *mk_concat2(Builder *b, Value *x, Value *y, int axis)
{
    return mk_concat(b, IN(x, y), (Attr_concat){ .axis = axis });
}

Value *mk_iota_n(Builder *b, DType t, Dim n)
{
    return mk_iota(b, IN_NONE, (Attr_iota){ .shape = dims_copy(b->m, 1, &n), .axis = 0, .dtype = t });
}

Value *mk_index(Builder *b, Value *x, int axis, Dim i)
{
    return mk_drop_axes(b, mk_slice_axis(b, x, axis, i, dim_one(b)), 1, (int64_t[]){ axis });
}

Value *mk_range_slice(Builder *b, Value *x, int axis, int64_t start, int64_t size)
{
    return mk_slice_axis(b, x, axis, dim_const(b->m->dims, start), dim_const(b->m->dims, size));
}

Value *mk_padded(Builder *b, Value *x, const Dim *before, const Dim *after, Value *fill)
{
    if (!x)
        return NULL;
    int rank = value_rank(x);
    return mk_pad(b, IN(x, fill), (Attr_pad){ .before = dims_copy(b->m, rank, before), .after = dims_copy(b->m, rank, after), .mode = "constant" });
}

Value *mk_pad_end(Builder *b, Value *x, int axis, Dim size, Value *fill)
{
    Dim before[MAX_RANK], after[MAX_RANK];
    if (!x || value_dim(x, axis) == size)
        return x;
    for (int i = 0; i < value_rank(x); i++)
        before[i] = after[i] = dim_const(b->m->dims, 0);
    after[axis] = dim_sub(b->m->dims, size, value_dim(x, axis));
    return mk_padded(b, x, before, after, fill);
}

/* ---- statistics ---- */

Value *mk_mean_axes(Builder *b, Value *x, int n, const int64_t *axes)
{
    if (!x)
        return NULL;
    DType t = x->type.dtype, wide = wide_float(t);
    Dim count = dim_one(b);
    for (int i = 0; i < n; i++)
        count = dim_mul(b->m->dims, count, value_dim(x, (int)axes[i]));
    Value *sum = mk_reduce_axes(b, "sum", mk_cast_to(b, x, wide), n, axes);
    return mk_cast_to(b, mk_div(b, sum, mk_dim_scalar(b, count, wide)), t);
}

Value *mk_lp_norm(Builder *b, Value *x, int n, const int64_t *axes, double p)
{
    if (!x)
        return NULL;
    DType t = x->type.dtype;
    Value *a = mk_abs(b, mk_cast_to(b, x, wide_float(t)));
    if (p == 1)
        return mk_cast_to(b, mk_reduce_axes(b, "sum", a, n, axes), t);
    Value *powers = p == 2 ? mk_mul(b, a, a) : mk_pow(b, a, mk_k(b, a, p));
    Value *sum = mk_reduce_axes(b, "sum", powers, n, axes);
    return mk_cast_to(b, p == 2 ? mk_sqrt(b, sum) : mk_pow(b, sum, mk_k(b, a, 1 / p)), t);
}

Standardised mk_standardised(Builder *b, Value *x, int n, const int64_t *axes, double epsilon)
{
    Standardised s;
    s.mean = mk_mean_axes(b, x, n, axes);
    Value *apart = mk_sub(b, x, s.mean);
    Value *variance = mk_mean_axes(b, mk_mul(b, apart, apart), n, axes);
    s.inv_std = mk_div(b, mk_k(b, x, 1), mk_sqrt(b, mk_add(b, variance, mk_k(b, x, epsilon))));
    s.y = mk_mul(b, apart, s.inv_std);
    return s;
}
