/* pack.c -- constant weights laid out for the micro-kernels when the file is written, see pack_operand in gen.h. */
#include "bf16.h"
#include "int8.h"
#include "low_bit_code.h"
#include "conv_pads.h"
#include "winograd.h"

#include <string.h>

static const char *element(const WeightEntry *e, int64_t i)
{
    return (const char *)e->tensor->data + (e->tensor->splat ? 0 : i) * dtype_bytes(e->tensor->dtype);
}

/* param: batch, K, N. */
static void write_matmul(const WeightEntry *e, void *to)
{
    int64_t batch = e->param[0], K = e->param[1], N = e->param[2], size = dtype_bytes(e->tensor->dtype);
    char *p = to;
    for (int64_t m = 0; m < batch; m++)
        for (int64_t n0 = 0; n0 < N; n0 += CG_LANES)
            for (int64_t k = 0; k < K; k++, p += CG_LANES * size) {
                int64_t live = N - n0 < CG_LANES ? N - n0 : CG_LANES;
                memset(p, 0, (size_t)(CG_LANES * size));
                for (int64_t i = 0; i < live; i++)
                    memcpy(p + i * size, element(e, (m * K + k) * N + n0 + i), (size_t)size);
            }
}

/* param: groups, output channels per group, input channels per group, taps. From [M, C/g, taps]. */
static void write_conv(const WeightEntry *e, void *to)
{
    int64_t groups = e->param[0], M = e->param[1], C = e->param[2], taps = e->param[3], size = dtype_bytes(e->tensor->dtype);
    char *p = to;
    for (int64_t g = 0; g < groups; g++)
        for (int64_t m0 = 0; m0 < M; m0 += CG_LANES)
            for (int64_t t = 0; t < taps; t++)
                for (int64_t c = 0; c < C; c++, p += CG_LANES * size) {
                    memset(p, 0, (size_t)(CG_LANES * size));
                    for (int64_t i = 0; i < CG_LANES && m0 + i < M; i++)
                        memcpy(p + i * size, element(e, ((g * M + m0 + i) * C + c) * taps + t), (size_t)size);
                }
}

/* param: channels, taps. From [C, 1, taps] to [taps][C rounded up]. */
static void write_depthwise(const WeightEntry *e, void *to)
{
    int64_t C = e->param[0], taps = e->param[1], size = dtype_bytes(e->tensor->dtype), wide = panels_of(C) * CG_LANES;
    memset(to, 0, (size_t)(taps * wide * size));
    for (int64_t t = 0; t < taps; t++)
        for (int64_t c = 0; c < C; c++)
            memcpy((char *)to + (t * wide + c) * size, element(e, c * taps + t), (size_t)size);
}

/* One 3x3 filter as it is multiplied with tiles: G g Gt, in double. */
static void transform_filter(const Winograd *w, const float *g, double u[WINOGRAD_MAX_INPUT][WINOGRAD_MAX_INPUT])
{
    double half[WINOGRAD_MAX_INPUT][3] = { { 0 } };
    for (int i = 0; i < w->n; i++)
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < 3; k++)
                half[i][c] += w->g[i][k] * (double)g[k * 3 + c];
    for (int i = 0; i < w->n; i++)
        for (int j = 0; j < w->n; j++) {
            u[i][j] = 0;
            for (int k = 0; k < 3; k++)
                u[i][j] += half[i][k] * w->g[j][k];
        }
}

/* param: m, panels per item. From f32 [M, C, 3, 3] to [items][n*n][panels][C][16]. */
static void write_winograd(const WeightEntry *e, void *to)
{
    Winograd w = winograd_matrices((int)e->param[0]);
    int64_t M = e->tensor->dim[0], C = e->tensor->dim[1], panels = e->param[1], position = panels * C * CG_LANES;
    double u[WINOGRAD_MAX_INPUT][WINOGRAD_MAX_INPUT];
    float filter[9], *out = to;
    for (int64_t m = 0; m < M; m++)
        for (int64_t c = 0; c < C; c++) {
            for (int k = 0; k < 9; k++)
                memcpy(&filter[k], element(e, (m * C + c) * 9 + k), sizeof *filter);
            transform_filter(&w, filter, u);
            int64_t panel = m / CG_LANES, at = panel / panels * w.n * w.n * position + (panel % panels * C + c) * CG_LANES + m % CG_LANES;
            for (int p = 0; p < w.n * w.n; p++)
                out[at + p * position] = (float)u[p / w.n][p % w.n];
        }
}

static int64_t product(const Tensor *t, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++)
        n *= t->dim[i];
    return n;
}

static uint64_t pack_matmul(Codegen *cg, const Tensor *t)
{
    int64_t batch = product(t, 0, t->rank - 2), K = t->dim[t->rank - 2], N = t->dim[t->rank - 1];
    uint64_t bytes = (uint64_t)(batch * panels_of(N) * K * CG_LANES * dtype_bytes(t->dtype));
    return weights_add(cg->weights, t, bytes, write_matmul, (int64_t[4]){ batch, K, N });
}

static uint64_t pack_conv(Codegen *cg, const Tensor *t, int64_t groups, bool depthwise)
{
    int64_t taps = product(t, 2, t->rank), M = t->dim[0] / groups, C = t->dim[1], size = dtype_bytes(t->dtype);
    if (depthwise)
        return weights_add(cg->weights, t, (uint64_t)(taps * panels_of(t->dim[0]) * CG_LANES * size), write_depthwise, (int64_t[4]){ t->dim[0], taps });
    uint64_t bytes = (uint64_t)(groups * panels_of(M) * taps * C * CG_LANES * size);
    return weights_add(cg->weights, t, bytes, write_conv, (int64_t[4]){ groups, M, C, taps });
}

static uint64_t pack_winograd(Codegen *cg, const Tensor *t, const WinogradPlan *p)
{
    int64_t positions = (p->m + 2) * (p->m + 2);
    uint64_t bytes = (uint64_t)(positions * panels_of(t->dim[0]) * t->dim[1] * CG_LANES) * sizeof(float);
    return weights_add(cg->weights, t, bytes, write_winograd, (int64_t[4]){ p->m, p->panels });
}

bool conv_is_fast(const Group *g)
{
    if (!g->anchor || g->anchor->op != OP_conv)
        return false;
    const Attr_conv *a = NODE_ATTR(g->anchor, conv);
    int rank = node_out(g->anchor)->type.rank, w = group_operand(g, node_in(g->anchor, 1));
    bool fast = a->channels_last && (rank == 3 || rank == 4) && (g->weights || (w >= 0 && value_constant(g->operand[w])));
    for (int i = 0; i < a->pads.n; i++)
        fast &= a->pads.v[i] == 0 || conv_takes_pads(g->anchor);
    return fast && (g->weights || dtype_is_float(g->operand[w]->type.dtype) || contract_of_bytes(g) || !conv_is_one_per_channel(g->anchor));
}

bool conv_is_depthwise(const Group *g)
{
    return conv_is_fast(g) && conv_is_one_per_channel(g->anchor);
}

static uint64_t pack_constant(const Group *g, const Tensor *t)
{
    if (g->anchor->op == OP_recurrent)
        return recurrent_pack(g, t);
    bool bytes = contract_of_bytes(g), pairs = contract_of_pairs(g);
    if (g->anchor->op == OP_matmul)
        return bytes ? pack_matmul_int8(g->cg, t) : pairs ? pack_matmul_bf16(g->cg, t) : pack_matmul(g->cg, t);
    if (bytes || pairs)
        return (bytes ? pack_conv_int8 : pack_conv_bf16)(g, t);
    const Attr_conv *a = NODE_ATTR(g->anchor, conv);
    WinogradPlan p = winograd_plan(a);
    return p.m ? pack_winograd(g->cg, t, &p) : pack_conv(g->cg, t, a->group, conv_is_one_per_channel(g->anchor));
}

int pack_operand(const Group *g, uint64_t *offset)
{
    if (!g->anchor || g->softmax || (g->anchor->op != OP_matmul && g->anchor->op != OP_recurrent && !conv_is_fast(g)))
        return -1;
    if (g->weights)
        return low_bit_pack(g, offset);
    int k = group_operand(g, node_in(g->anchor, 1));
    const Tensor *t = k >= 0 ? value_constant(g->operand[k]) : NULL;
    if (!t)
        return -1;
    *offset = pack_constant(g, t);
    return k;
}
