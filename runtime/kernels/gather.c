/* gather.c -- gather, gather_elements, gather_nd: results are copies of pieces of the data chosen by an index tensor. */
#include "kernel.h"

/* A piece of 1 to 8 bytes is what embeddings of scalars move; a call of memcpy for each would dominate. */
static void copy_piece(char *to, const char *from, int64_t bytes)
{
    switch (bytes) {
    case 1: *to = *from; break;
    case 2: __builtin_memcpy(to, from, 2); break;
    case 4: __builtin_memcpy(to, from, 4); break;
    case 8: __builtin_memcpy(to, from, 8); break;
    default: k_copy(to, from, bytes);
    }
}

typedef struct Gather {
    const KTensor *x, *ix;
    char *to;
    int64_t n, size, piece;         /* indices, positions along the axis, bytes */
    int32_t status;                 /* any thread may set it */
} Gather;

/* Pieces of the result. */
static void gather_pieces(void *arg, int64_t begin, int64_t end)
{
    Gather *g = arg;
    int64_t k = begin % g->n, row = begin / g->n * g->size;         /* index, and what lies before its part of the data */
    for (int64_t p = begin; p < end; p++) {
        int64_t i = k_index(k_load_i64(g->ix->data, g->ix->dtype, k), g->size);
        if (i < 0) {
            __atomic_store_n(&g->status, K_INDEX_RANGE, __ATOMIC_RELAXED);
            return;
        }
        copy_piece(g->to + p * g->piece, (const char *)g->x->data + (row + i) * g->piece, g->piece);
        if (++k == g->n)
            k = 0, row += g->size;
    }
}

/* attrs: axis */
K_KERNEL(gather)
{
    const KTensor *x = &c->in[0], *ix = &c->in[1];
    int axis = (int)c->attr[0];
    Gather g = { x, ix, c->out[0].data, k_count(ix), x->dim[axis], k_count_from(x, axis + 1) * k_dtype_bytes(x->dtype), K_OK };
    if (g.n)
        k_share(c, gather_pieces, &g, k_count_to(x, axis) * g.n, 1 + g.piece / 16);
    return g.status;
}

/* attrs: axis. out[i][j][k] = data[i][index[i][j][k]][k]; the index tensor may be smaller than the data on the other axes. */
K_KERNEL(gather_elements)
{
    const KTensor *x = &c->in[0], *ix = &c->in[1];
    int axis = (int)c->attr[0], bytes = k_dtype_bytes(x->dtype);
    int64_t n = k_count(ix);
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
        copy_piece((char *)c->out[0].data + k * bytes, (const char *)x->data + at * bytes, bytes);
    }
    return K_OK;
}

/* attrs: batch_dims. The last axis of the indices addresses that many axes of the data behind the batch axes. */
K_KERNEL(gather_nd)
{
    const KTensor *x = &c->in[0], *ix = &c->in[1];
    int batch = (int)c->attr[0], depth = (int)ix->dim[ix->rank - 1];
    int64_t batches = k_count_to(x, batch), rows = 1;
    for (int d = batch; d < ix->rank - 1; d++)
        rows *= ix->dim[d];
    int64_t piece = k_count_from(x, batch + depth) * k_dtype_bytes(x->dtype), block = 1;
    for (int d = 0; d < depth; d++)
        block *= x->dim[batch + d];
    char *to = c->out[0].data;
    if (k_count_to(ix, batch) != batches)
        return K_BAD_SHAPE;
    for (int64_t k = 0; k < batches * rows; k++, to += piece) {
        int64_t at = 0;
        for (int d = 0; d < depth; d++) {
            int64_t i = k_index(k_load_i64(ix->data, ix->dtype, k * depth + d), x->dim[batch + d]);
            if (i < 0)
                return K_INDEX_RANGE;
            at = at * x->dim[batch + d] + i;
        }
        copy_piece(to, (const char *)x->data + (k / rows * block + at) * piece, piece);
    }
    return K_OK;
}
