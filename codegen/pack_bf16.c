/* pack_bf16.c -- weights of bf16 laid out as bf16.h says, when the file is written. */
#include "bf16.h"

#include <string.h>

/* Weights in a mapped file may lie anywhere. */
static uint16_t element(const WeightEntry *e, int64_t i)
{
    uint16_t bits;
    memcpy(&bits, (const char *)e->tensor->data + (e->tensor->splat ? 0 : i) * (int64_t)sizeof bits, sizeof bits);
    return bits;
}

/* Place of (k, column) within a panel. */
static int64_t in_panel(int64_t k, int64_t column)
{
    return k / 2 * 2 * CG_LANES + column * 2 + k % 2;
}

/* param: batch, K, N. */
static void write_matmul(const WeightEntry *e, void *to)
{
    int64_t batch = e->param[0], K = e->param[1], N = e->param[2], panel = bf16_padded(K) * CG_LANES;
    uint16_t *p = to;
    memset(to, 0, (size_t)e->bytes);
    for (int64_t m = 0; m < batch; m++)
        for (int64_t k = 0; k < K; k++)
            for (int64_t n = 0; n < N; n++)
                p[(m * panels_of(N) + n / CG_LANES) * panel + in_panel(k, n % CG_LANES)] = element(e, (m * K + k) * N + n);
}

/* One filter; from [C, taps] to runs of `run` products. */
static void write_filter(const WeightEntry *e, int64_t filter, int64_t run, uint16_t *panel, int64_t column)
{
    int64_t C = e->tensor->dim[1], taps = e->param[3], per_run = run / C;
    for (int64_t t = 0; t < taps; t++)
        for (int64_t c = 0; c < C; c++)
            panel[in_panel(t / per_run * bf16_padded(run) + t % per_run * C + c, column)] = element(e, (filter * C + c) * taps + t);
}

/* param: groups, filters per group, run, taps. */
static void write_conv(const WeightEntry *e, void *to)
{
    int64_t groups = e->param[0], M = e->param[1], run = e->param[2], runs = e->param[3] * e->tensor->dim[1] / run;
    memset(to, 0, (size_t)e->bytes);
    for (int64_t g = 0; g < groups; g++)
        for (int64_t m = 0; m < M; m++) {
            uint16_t *panel = (uint16_t *)to + (g * panels_of(M) + m / CG_LANES) * runs * bf16_padded(run) * CG_LANES;
            write_filter(e, g * M + m, run, panel, m % CG_LANES);
        }
}

uint64_t pack_matmul_bf16(Codegen *cg, const Tensor *t)
{
    int64_t batch = 1, K = t->dim[t->rank - 2], N = t->dim[t->rank - 1];
    for (int i = 0; i < t->rank - 2; i++)
        batch *= t->dim[i];
    return weights_add(cg->weights, t, (uint64_t)(batch * panels_of(N) * bf16_padded(K) * CG_LANES * 2), write_matmul, (int64_t[4]){ batch, K, N });
}

uint64_t pack_conv_bf16(const Group *g, const Tensor *t)
{
    Conv k = conv_of(g);
    int64_t run = conv_run(&k), taps = k.kh * k.kw, runs = taps * k.cin / run;
    uint64_t bytes = (uint64_t)(k.groups * panels_of(k.cout) * runs * bf16_padded(run) * CG_LANES * 2);
    return weights_add(g->cg->weights, t, bytes, write_conv, (int64_t[4]){ k.groups, k.cout, run, taps });
}
