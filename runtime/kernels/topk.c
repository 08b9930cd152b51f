/* topk.c -- the k largest (or smallest) elements along an axis, best first; of equal ones the lower index comes first. */
#include "kernel.h"

/* attrs: k, axis, largest, sorted. The result is always sorted. */
K_KERNEL(topk)
{
    const KTensor *x = &c->in[0];
    const int64_t *a = c->attr;
    int64_t count, k = *k_ints(&a, &count), axis = k_int(&a), size = x->dim[axis], inner = k_count_from(x, (int)axis + 1);
    bool largest = k_int(&a);
    int64_t rows = k_count_to(x, (int)axis) * inner, *key = c->scratch, *at = key + size;
    if (k < 0 || k > size)
        return K_BAD_VALUE;
    for (int64_t row = 0; k && row < rows; row++) {
        int64_t first = row / inner * size * inner + row % inner, to = row / inner * k * inner + row % inner;
        for (int64_t i = 0; i < size; i++) {
            int64_t order = k_order_key(x->data, x->dtype, first + i * inner);
            key[i] = largest ? order : ~order;
        }
        k_choose_best(key, size, k, at);
        int32_t bytes = k_dtype_bytes(x->dtype);
        for (int64_t i = 0; i < k; i++) {
            k_copy((char *)c->out[0].data + (to + i * inner) * bytes, (const char *)x->data + (first + at[i] * inner) * bytes, bytes);
            ((int64_t *)c->out[1].data)[to + i * inner] = at[i];
        }
    }
    return K_OK;
}
