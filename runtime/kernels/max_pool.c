/* max_pool.c -- max_pool_indices: max pooling of [N, C, spatial...] that also says where each maximum was found, as a flat index into
 * the input. With column_major the position inside an image plane is counted with the first spatial axis fastest.
 */
#include "kernel.h"

enum { K_MAX_RANK = 12 };

typedef struct Window {
    const KTensor *x;
    int n;                          /* spatial axes */
    const int64_t *kernel, *strides, *dilations, *pads;
} Window;

/* The tap-th element of the window at output position o: flat index within the plane, or -1 outside. */
static int64_t window_source(const Window *w, const int64_t *out_dim, int64_t tap, int64_t o)
{
    int64_t at = 0, step = 1;
    for (int k = w->n - 1; k >= 0; k--) {
        int64_t size = w->x->dim[2 + k];
        int64_t i = o % out_dim[k] * w->strides[k] + tap % w->kernel[k] * w->dilations[k] - w->pads[k];
        if (i < 0 || i >= size)
            return -1;
        at += i * step;
        step *= size;
        tap /= w->kernel[k];
        o /= out_dim[k];
    }
    return at;
}

static int64_t column_major(const Window *w, int64_t at)
{
    int64_t coord[K_MAX_RANK], r = 0;
    for (int k = w->n - 1; k >= 0; k--) {
        coord[k] = at % w->x->dim[2 + k];
        at /= w->x->dim[2 + k];
    }
    for (int k = w->n - 1; k >= 0; k--)
        r = r * w->x->dim[2 + k] + coord[k];
    return r;
}

/* attrs: kernel, strides, dilations, pads, ceil, column_major */
K_KERNEL(max_pool_indices)
{
    const int64_t *a = c->attr;
    int64_t n, taps = 1;
    Window w = { .x = &c->in[0], .n = c->in[0].rank - 2 };
    w.kernel = k_ints(&a, &n);
    w.strides = k_ints(&a, &n);
    w.dilations = k_ints(&a, &n);
    w.pads = k_ints(&a, &n);
    k_int(&a);                                              /* ceil is in the shape of the result */
    bool by_column = k_int(&a);
    const KTensor *x = w.x, *r = &c->out[0];
    int64_t planes = k_count_to(x, 2), in = k_count_from(x, 2), out = k_count_from(r, 2);
    for (int k = 0; k < w.n; k++)
        taps *= w.kernel[k];
    for (int64_t i = 0; i < planes * out; i++) {
        int64_t best = -1, plane = i / out * in;
        for (int64_t tap = 0; tap < taps; tap++) {
            int64_t at = window_source(&w, r->dim + 2, tap, i % out);
            if (at >= 0 && (best < 0 || k_order_key(x->data, x->dtype, plane + at) > k_order_key(x->data, x->dtype, plane + best)))
                best = at;
        }
        if (best < 0)
            return K_BAD_SHAPE;
        int32_t bytes = k_dtype_bytes(x->dtype);
        k_copy((char *)r->data + i * bytes, (const char *)x->data + (plane + best) * bytes, bytes);
        ((int64_t *)c->out[1].data)[i] = plane + (by_column ? column_major(&w, best) : best);
    }
    return K_OK;
}
