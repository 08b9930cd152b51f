/* cumulate.c -- running sums and products along an axis. Floats run in double and are rounded at every store; integers wrap. */
#include "kernel.h"

typedef struct Line {
    const KTensor *x, *r;
    int64_t first, step, size;      /* elements first + i * step, i < size; step < 0 runs backwards */
    bool product, exclusive;
} Line;

static void run_f64(const Line *l)
{
    double acc = l->product;
    for (int64_t i = 0; i < l->size; i++) {
        int64_t at = l->first + i * l->step;
        double x = k_load(l->x->data, l->x->dtype, at), next = l->product ? acc * x : acc + x;
        k_store(l->r->data, l->r->dtype, at, l->exclusive ? acc : next);
        acc = next;
    }
}

static void run_i64(const Line *l)
{
    uint64_t acc = l->product;
    for (int64_t i = 0; i < l->size; i++) {
        int64_t at = l->first + i * l->step;
        uint64_t x = (uint64_t)k_load_i64(l->x->data, l->x->dtype, at), next = l->product ? acc * x : acc + x;
        k_store_i64(l->r->data, l->r->dtype, at, (int64_t)(l->exclusive ? acc : next));
        acc = next;
    }
}

/* attrs: kind, axis, exclusive, reverse */
K_KERNEL(cumulate)
{
    const KTensor *x = &c->in[0];
    int64_t axis = c->attr[1], size = x->dim[axis], inner = k_count_from(x, (int)axis + 1), rows = k_count_to(x, (int)axis) * inner;
    bool reverse = c->attr[3];
    for (int64_t row = 0; row < rows; row++) {
        int64_t first = row / inner * size * inner + row % inner;
        Line l = { x, &c->out[0], reverse ? first + (size - 1) * inner : first, reverse ? -inner : inner, size, c->attr[0] == k_word("prod"), c->attr[2] };
        if (k_dtype_is_float(x->dtype))
            run_f64(&l);
        else
            run_i64(&l);
    }
    return K_OK;
}
