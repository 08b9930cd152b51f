/* dequantize.c -- dequantize_blocks: codes of few bits to numbers, each with the scale and zero point of its block. Compiled models with constant weights do
 * this inside their products (codegen/tile_low_bit.c); this is what it means, and what computes all else.
 */
#include "kernel.h"

enum { MAX_AXES = 12 };

/* How far one step along each axis moves in a tensor of scales or zero points. Along the axis with blocks it moves once per block. */
typedef struct Steps {
    const KTensor *t;               /* NULL: there is none */
    int64_t step[MAX_AXES];
} Steps;

typedef struct Dequantize {
    const KTensor *q;
    Steps scale, zero;
    int64_t axis, block;            /* block 0: none */
    const int64_t *level;           /* bits of doubles, NULL: the codes are the numbers */
    float *to;
} Dequantize;

static Steps steps_of(const KTensor *t)
{
    Steps s = { t && t->data ? t : NULL, { 0 } };
    int64_t step = 1;
    for (int d = s.t ? t->rank - 1 : -1; d >= 0; d--) {
        s.step[d] = t->dim[d] == 1 ? 0 : step;
        step *= t->dim[d];
    }
    return s;
}

/* Sizes that inference could only assume. */
static bool fits(const Dequantize *x, const Steps *s)
{
    for (int d = 0; s->t && d < x->q->rank; d++) {
        bool cut = x->block && d == x->axis;
        int64_t want = cut ? (x->q->dim[d] + x->block - 1) / x->block : x->q->dim[d];
        if (s->t->dim[d] != want && (cut || s->t->dim[d] != 1))
            return false;
    }
    return true;
}

/* Where the row that begins at these indices begins. */
static int64_t row_start(const Dequantize *x, const Steps *s, const int64_t *index)
{
    int64_t at = 0;
    for (int d = 0; s->t && d < x->q->rank - 1; d++)
        at += (x->block && d == x->axis ? index[d] / x->block : index[d]) * s->step[d];
    return at;
}

static double code_value(const Dequantize *x, int64_t i)
{
    union { int64_t i; double f; } u;
    if (!x->level)
        return k_load(x->q->data, x->q->dtype, i);
    u.i = x->level[k_load_i64(x->q->data, x->q->dtype, i)];
    return u.f;
}

/* Rows along the last axis. */
static void dequantize_rows(void *arg, int64_t begin, int64_t end)
{
    const Dequantize *x = arg;
    int last = x->q->rank - 1;
    int64_t index[MAX_AXES] = { 0 }, n = last >= 0 ? x->q->dim[last] : 1, block = x->block && x->axis == last ? x->block : 1;
    for (int64_t row = begin; row < end; row++) {
        int64_t rest = row;
        for (int d = last - 1; d >= 0; d--) {
            index[d] = rest % x->q->dim[d];
            rest /= x->q->dim[d];
        }
        int64_t scale = row_start(x, &x->scale, index), zero = row_start(x, &x->zero, index), scale_step = last >= 0 ? x->scale.step[last] : 0;
        int64_t zero_step = last >= 0 ? x->zero.step[last] : 0;
        for (int64_t i = 0; i < n; i++) {
            float v = (float)code_value(x, row * n + i), s = (float)k_load(x->scale.t->data, x->scale.t->dtype, scale + i / block * scale_step);
            if (x->zero.t)
                v -= (float)k_load(x->zero.t->data, x->zero.t->dtype, zero + i / block * zero_step);
            x->to[row * n + i] = v * s;
        }
    }
}

/* attrs: axis, block, levels */
K_KERNEL(dequantize_blocks)
{
    const int64_t *attr = c->attr;
    const KTensor *q = &c->in[0];
    Dequantize x = { .q = q, .axis = k_int(&attr), .block = k_int(&attr), .to = c->out[0].data };
    int64_t nlevels, rows = k_count_to(q, q->rank > 0 ? q->rank - 1 : 0), n = q->rank ? q->dim[q->rank - 1] : 1;
    const int64_t *level = k_ints(&attr, &nlevels);
    x.level = nlevels ? level : NULL;
    x.scale = steps_of(&c->in[1]);
    x.zero = steps_of(c->nin > 2 ? &c->in[2] : NULL);
    if (!fits(&x, &x.scale) || !fits(&x, &x.zero))
        return K_BAD_SHAPE;
    if (rows && n)
        k_share(c, dequantize_rows, &x, rows, 4 * n);
    return K_OK;
}
