/* pack_int8.c -- 8-bit weights laid out as int8.h says, when the file is written. */
#include "int8.h"

#include <string.h>

static int8_t element(const WeightEntry *e, int64_t i)
{
    return ((const int8_t *)e->tensor->data)[e->tensor->splat ? 0 : i];
}

int int8_bits(const Tensor *w)
{
    bool narrow = w && w->dtype == DT_i8;
    const int8_t *x = narrow ? w->data : NULL;
    for (int64_t i = 0; narrow && i < (w->splat ? 1 : w->count); i++)
        narrow = x[i] >= -8 && x[i] <= 7;
    return narrow ? 4 : 8;
}

int int8_group_bits(const Group *g)
{
    int k = group_operand(g, node_in(g->anchor, 1));
    const Tensor *w = contract_of_bytes(g) && k >= 0 && !conv_is_depthwise(g) ? value_constant(g->operand[k]) : NULL;
    return int8_bits(w);
}

/* Place of (k, column) within a panel. */
static int64_t in_panel(int64_t k, int64_t column)
{
    return k / 4 * 4 * CG_LANES + column * 4 + k % 4;
}

/* Weight k of a column of a run. */
static void put(int8_t *run, int bits, int64_t k, int64_t column, int8_t x)
{
    if (bits == 8) {
        run[in_panel(k, column)] = x;
        return;
    }
    int8_t *pair = &run[in_panel(k / 8 * 4 + k % 4, column)];
    *pair = (int8_t)(*pair | (x + 8) << (k / 4 % 2 * 4));
}

/* param: batch, K, N. */
static void write_matmul(const WeightEntry *e, void *to)
{
    int bits = int8_bits(e->tensor);
    int64_t batch = e->param[0], K = e->param[1], N = e->param[2], panel = int8_run_bytes(bits, K);
    int8_t *p = to;
    memset(to, 0, (size_t)e->bytes);
    for (int64_t m = 0; m < batch; m++)
        for (int64_t n = 0; n < N; n++)
            for (int64_t k = 0; k < K; k++)
                put(p + (m * panels_of(N) + n / CG_LANES) * panel, bits, k, n % CG_LANES, element(e, (m * K + k) * N + n));
}

/* One filter; from [C, taps] to runs of `run` products. */
static void write_filter(const WeightEntry *e, int bits, int64_t filter, int64_t run, int8_t *panel, int64_t column)
{
    int64_t C = e->tensor->dim[1], taps = e->param[3], per_run = run / C;
    for (int64_t t = 0; t < taps; t++)
        for (int64_t c = 0; c < C; c++) {
            int8_t *at = panel + t / per_run * int8_run_bytes(bits, run);
            put(at, bits, t % per_run * C + c, column, element(e, (filter * C + c) * taps + t));
        }
}

/* param: groups, filters per group, run, taps. */
static void write_conv(const WeightEntry *e, void *to)
{
    int bits = int8_bits(e->tensor);
    int64_t groups = e->param[0], M = e->param[1], run = e->param[2], runs = e->param[3] * e->tensor->dim[1] / run;
    memset(to, 0, (size_t)e->bytes);
    for (int64_t g = 0; g < groups; g++)
        for (int64_t m = 0; m < M; m++) {
            int8_t *panel = (int8_t *)to + (g * panels_of(M) + m / CG_LANES) * runs * int8_run_bytes(bits, run);
            write_filter(e, bits, g * M + m, run, panel, m % CG_LANES);
        }
}

/* param: channels, filter rows, filter columns. */
static void write_depthwise(const WeightEntry *e, void *to)
{
    int64_t C = e->param[0], kh = e->param[1], kw = e->param[2], row = int8_padded(kw) * CG_LANES;
    int8_t *p = to;
    memset(to, 0, (size_t)e->bytes);
    for (int64_t c = 0; c < C; c++)
        for (int64_t h = 0; h < kh; h++)
            for (int64_t w = 0; w < kw; w++)
                p[(c / CG_LANES * kh + h) * row + in_panel(w, c % CG_LANES)] = element(e, (c * kh + h) * kw + w);
}

uint64_t pack_matmul_int8(Codegen *cg, const Tensor *t)
{
    int64_t batch = 1, K = t->dim[t->rank - 2], N = t->dim[t->rank - 1];
    for (int i = 0; i < t->rank - 2; i++)
        batch *= t->dim[i];
    return weights_add(cg->weights, t, (uint64_t)(batch * panels_of(N) * int8_run_bytes(int8_bits(t), K)), write_matmul, (int64_t[4]){ batch, K, N });
}

uint64_t pack_conv_int8(const Group *g, const Tensor *t)
{
    Conv k = conv_of(g);
    int64_t run = conv_run(&k), taps = k.kh * k.kw, runs = taps * k.cin / run;
    if (conv_is_depthwise(g)) {
        uint64_t bytes = (uint64_t)(panels_of(k.groups) * k.kh * int8_padded(k.kw) * CG_LANES);
        return weights_add(g->cg->weights, t, bytes, write_depthwise, (int64_t[4]){ k.groups, k.kh, k.kw });
    }
    uint64_t bytes = (uint64_t)(k.groups * panels_of(k.cout) * runs * int8_run_bytes(int8_bits(t), run));
    return weights_add(g->cg->weights, t, bytes, write_conv, (int64_t[4]){ k.groups, k.cout, run, taps });
}
