/* scatter.c -- scatter_elements, scatter_nd: a copy of the data with updates written, or combined, at indexed places, in order. */
#include "kernel.h"

typedef enum Reduction { RED_NONE, RED_ADD, RED_MUL, RED_MAX, RED_MIN } Reduction;

static Reduction reduction_of(int64_t word)
{
    return word == k_word("add") ? RED_ADD : word == k_word("mul") ? RED_MUL : word == k_word("max") ? RED_MAX : word == k_word("min") ? RED_MIN
                                                                                                                                 : RED_NONE;
}

static double combine_f64(Reduction r, double x, double y)
{
    if (r == RED_ADD)
        return x + y;
    if (r == RED_MUL)
        return x * y;
    if (x != x || y != y)
        return x + y;
    return (r == RED_MAX) == (y > x) ? y : x;
}

static int64_t combine_i64(Reduction r, bool is_unsigned, int64_t x, int64_t y)
{
    if (r == RED_ADD)
        return (int64_t)((uint64_t)x + (uint64_t)y);
    if (r == RED_MUL)
        return (int64_t)((uint64_t)x * (uint64_t)y);
    bool greater = is_unsigned ? (uint64_t)y > (uint64_t)x : y > x;
    return (r == RED_MAX) == greater ? y : x;
}

/* n updates from element `from` on, into elements `to` on. */
static void put(const KCall *c, Reduction r, int64_t to, int64_t from, int64_t n)
{
    const KTensor *up = &c->in[2], *out = &c->out[0];
    int32_t t = out->dtype, bytes = k_dtype_bytes(t);
    if (r == RED_NONE) {
        k_copy((char *)out->data + to * bytes, (const char *)up->data + from * bytes, n * bytes);
        return;
    }
    for (int64_t k = 0; k < n; k++) {
        if (k_dtype_is_float(t))
            k_store(out->data, t, to + k, combine_f64(r, k_load(out->data, t, to + k), k_load(up->data, t, from + k)));
        else
            k_store_i64(out->data, t, to + k, combine_i64(r, k_dtype_is_unsigned(t), k_load_i64(out->data, t, to + k), k_load_i64(up->data, t, from + k)));
    }
}

static void copy_data(const KCall *c)
{
    if (c->out[0].data != c->in[0].data)
        k_copy(c->out[0].data, c->in[0].data, k_count(&c->in[0]) * k_dtype_bytes(c->in[0].dtype));
}

/* attrs: axis, reduction */
K_KERNEL(scatter_elements)
{
    const KTensor *x = &c->in[0], *ix = &c->in[1];
    int axis = (int)c->attr[0];
    Reduction r = reduction_of(c->attr[1]);
    int64_t n = k_count(ix);
    if (k_count(&c->in[2]) != n)
        return K_BAD_SHAPE;
    copy_data(c);
    for (int64_t k = 0; k < n; k++) {
        int64_t at = 0, step = 1, rest = k;
        for (int d = x->rank - 1; d >= 0; d--) {
            int64_t i = rest % ix->dim[d];
            rest /= ix->dim[d];
            if (d == axis)
                i = k_index(k_load_i64(ix->data, ix->dtype, k), x->dim[d]);
            if (i < 0 || i >= x->dim[d])
                return K_INDEX_RANGE;
            at += i * step;
            step *= x->dim[d];
        }
        put(c, r, at, k, 1);
    }
    return K_OK;
}

/* attrs: reduction */
K_KERNEL(scatter_nd)
{
    const KTensor *x = &c->in[0], *ix = &c->in[1];
    Reduction r = reduction_of(c->attr[0]);
    int depth = (int)ix->dim[ix->rank - 1];
    int64_t rows = k_count_to(ix, ix->rank - 1), piece = k_count_from(x, depth);
    if (k_count(&c->in[2]) != rows * piece)
        return K_BAD_SHAPE;
    copy_data(c);
    for (int64_t k = 0; k < rows; k++) {
        int64_t at = 0;
        for (int d = 0; d < depth; d++) {
            int64_t i = k_index(k_load_i64(ix->data, ix->dtype, k * depth + d), x->dim[d]);
            if (i < 0)
                return K_INDEX_RANGE;
            at = at * x->dim[d] + i;
        }
        put(c, r, at * piece, k * piece, piece);
    }
    return K_OK;
}
