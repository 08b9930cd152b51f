/* nonzero.c -- the coordinates of elements that are not zero, in row-major order, as the columns of [rank, count]. */
#include "kernel.h"

static bool is_nonzero(const KTensor *x, int64_t i)
{
    return k_dtype_is_float(x->dtype) ? k_load(x->data, x->dtype, i) != 0 : k_load_i64(x->data, x->dtype, i) != 0;
}

/* The count is written first into the result's dims: the columns lie that far apart. */
K_KERNEL(nonzero)
{
    const KTensor *x = &c->in[0];
    int64_t n = k_count(x), count = 0, *to = c->out[0].data;
    for (int64_t i = 0; i < n; i++)
        count += is_nonzero(x, i);
    if (count > c->out[0].dim[1])
        return K_BAD_SHAPE;
    c->out[0].dim[1] = count;
    for (int64_t i = 0, column = 0; i < n; i++) {
        if (!is_nonzero(x, i))
            continue;
        int64_t rest = i;
        for (int d = x->rank - 1; d >= 0; d--) {
            to[d * count + column] = rest % x->dim[d];
            rest /= x->dim[d];
        }
        column++;
    }
    return K_OK;
}
