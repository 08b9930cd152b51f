/* pack_low_bit.c -- what the packed codes of a product look like, and packing them when the file is written. The layout is in low_bit_code.h. */
#include "low_bit_code.h"

#include <string.h>

#include "minifloat.h"

static int64_t round_up(int64_t x, int64_t to)
{
    return (x + to - 1) / to * to;
}

/* ---- reading the tensors ---- */

/* Steps of a tensor with the axes of the weights; 0 along what it has once. Taps are numbered through: the tensor has all of them or one (low_bit_fits). */
static LowBitSteps steps_of(const Tensor *t, bool conv, int64_t columns)
{
    int64_t step[MAX_RANK] = { 0 }, at = 1;
    for (int d = t->rank - 1; d >= 0; d--) {
        step[d] = t->dim[d] == 1 ? 0 : at;
        at *= t->dim[d];
    }
    if (!conv)
        return (LowBitSteps){ .column = step[1], .k = step[0] };
    return (LowBitSteps){ .group = step[0] * columns, .column = step[0], .k = step[1], .tap = step[3] ? step[3] : step[2] };
}

static double element(const Tensor *t, const LowBitSteps *s, int64_t group, int64_t column, int64_t k, int64_t tap)
{
    return tensor_get_f64(t, group * s->group + column * s->column + k * s->k + tap * s->tap);
}

static bool fits_f16(double x)
{
    return (double)minifloat_to_f32(DT_f16, minifloat_from_f64(DT_f16, x, false)) == x;
}

static bool fits_u8(double x)
{
    return x >= 0 && x <= 255 && x == (double)(int)x;
}

static DType smallest_type(const Tensor *t, bool bytes)
{
    bool half = true;
    for (int64_t i = 0; i < (t->splat ? 1 : t->count) && (half || bytes); i++) {
        double x = tensor_get_f64(t, i);
        half &= fits_f16(x);
        bytes &= fits_u8(x);
    }
    return bytes ? DT_u8 : half ? DT_f16 : DT_f32;
}

static bool is_uniform(const Tensor *t, double *x)
{
    *x = tensor_get_f64(t, 0);
    for (int64_t i = 1; !t->splat && i < t->count; i++)
        if (tensor_get_f64(t, i) != *x)
            return false;
    return true;
}

/* ---- the layout ---- */

static const Tensor *constant_of(const Group *g, int i)
{
    const Value *v = node_in(g->weights, i);
    return v ? value_constant(g->operand[group_operand(g, v)]) : NULL;
}

static void set_sizes(LowBit *w, const Group *g)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(g->weights, dequantize_blocks);
    bool conv = g->anchor->op == OP_conv;
    w->groups = conv ? NODE_ATTR(g->anchor, conv)->group : 1;
    w->columns = conv ? w->q->dim[0] / w->groups : w->q->dim[1];
    w->k = w->q->dim[conv];
    w->taps = 1;
    for (int i = 2; conv && i < w->q->rank; i++)
        w->taps *= w->q->dim[i];
    w->block = a->block && a->block < w->k ? a->block : w->k;
    w->blocks = (w->k + w->block - 1) / w->block;
    w->q_at = steps_of(w->q, conv, w->columns);
    w->scale_at = steps_of(w->scale, conv, w->columns);
    if (w->zero)
        w->zero_at = steps_of(w->zero, conv, w->columns);
}

/* What the codes stand for, without the zero point that all share. */
static void set_levels(LowBit *w, const Group *g, double zero)
{
    const FloatVec *levels = &NODE_ATTR(g->weights, dequantize_blocks)->levels;
    int codes = 1 << w->bits;
    w->lowest = w->bits < 8 && dtype_is_signed(w->q->dtype) ? -codes / 2 : 0;
    w->table = levels->n || (w->bits < 8 && target_has(&g->cg->target, "avx512f"));
    w->shared_zero = w->table ? 0 : zero - (double)w->lowest;
    for (int i = 0; w->table && i < codes; i++)
        w->level[i] = (double)(float)((levels->n ? levels->v[i] : (double)(i + w->lowest)) - zero);
}

/* Whole steps: what reads them need not stop within one. */
static int64_t codes_bytes(const LowBit *w, int64_t n)
{
    return round_up(n, low_bit_once(w)) / low_bit_per_step(w) * LOW_BIT_STEP;
}

static void set_bytes(LowBit *w)
{
    w->header_bytes = CG_LANES * (dtype_bytes(w->scale_type) + (w->zero ? dtype_bytes(w->zero_type) : 0));
    w->block_bytes = w->header_bytes + codes_bytes(w, w->block);
    w->tap_bytes = (w->blocks - 1) * w->block_bytes + w->header_bytes + codes_bytes(w, w->k - (w->blocks - 1) * w->block);
    w->panel_bytes = w->taps * w->tap_bytes;
}

const LowBit *low_bit_of(const Group *g)
{
    LowBit *w = ARENA_NEW(g->cg->arena, LowBit);
    double zero = 0;
    w->q = constant_of(g, 0);
    w->scale = constant_of(g, 1);
    w->zero = constant_of(g, 2);
    if (w->zero && is_uniform(w->zero, &zero))
        w->zero = NULL;
    w->bits = dtype_table[w->q->dtype].bits;
    w->scale_type = smallest_type(w->scale, false);
    w->zero_type = w->zero ? smallest_type(w->zero, true) : DT_u8;
    zero = w->zero ? 0 : zero;
    set_sizes(w, g);
    set_levels(w, g, zero);
    set_bytes(w);
    return w;
}

const char *low_bit_key(Codegen *cg, const Node *fused)
{
    Group g;
    if (!group_open(&g, cg, fused) || !g.weights)
        return "";
    const LowBit *w = low_bit_of(&g);
    return arena_printf(cg->arena, " scales %s zeros %s", dtype_name(w->scale_type), w->zero ? dtype_name(w->zero_type) : "shared");
}

bool low_bit_has(const Group *g, int operand)
{
    for (int i = 0; g->weights && i < g->weights->nin; i++)
        if (node_in(g->weights, i) == g->inner[operand])
            return true;
    return false;
}

/* ---- packing ---- */

typedef struct Place { int64_t group, panel, tap, block; } Place;

static void put_factor(DType t, double x, int lane, unsigned char *to)
{
    float f = (float)x;
    uint16_t half = t == DT_f16 ? (uint16_t)minifloat_from_f64(DT_f16, x, false) : 0;
    unsigned char byte = t == DT_u8 ? (unsigned char)x : 0;
    int bytes = dtype_bytes(t);
    memcpy(to + lane * bytes, t == DT_f32 ? (const void *)&f : t == DT_f16 ? (const void *)&half : &byte, (size_t)bytes);
}

static void put_code(const LowBit *w, int64_t q, int64_t k, int lane, unsigned char *to)
{
    uint32_t code = (uint32_t)(q - w->lowest), word;
    if (w->bits == 8) {
        to[k * CG_LANES + lane] = (unsigned char)code;
        return;
    }
    int per = 32 / w->bits;
    unsigned char *p = to + (k / per * CG_LANES + lane) * 4;
    memcpy(&word, p, sizeof word);
    word |= code << (k % per * w->bits);
    memcpy(p, &word, sizeof word);
}

/* One column's part of a block. `to` is zeroed. */
static void put_column(const LowBit *w, const Place *at, int lane, unsigned char *to)
{
    int64_t column = at->panel * CG_LANES + lane, k0 = at->block * w->block, end = k0 + w->block < w->k ? k0 + w->block : w->k;
    if (column >= w->columns)
        return;
    put_factor(w->scale_type, element(w->scale, &w->scale_at, at->group, column, at->block, at->tap), lane, to);
    if (w->zero)
        put_factor(w->zero_type, element(w->zero, &w->zero_at, at->group, column, at->block, at->tap), lane, to + CG_LANES * dtype_bytes(w->scale_type));
    for (int64_t k = k0; k < end; k++)
        put_code(w, (int64_t)element(w->q, &w->q_at, at->group, column, k, at->tap), k - k0, lane, to + w->header_bytes);
}

static void write_low_bit(const WeightEntry *e, void *to)
{
    const LowBit *w = e->more;
    int64_t panels = panels_of(w->columns);
    unsigned char *p = to;
    memset(to, 0, (size_t)e->bytes);
    for (int64_t i = 0; i < w->groups * panels; i++)
        for (int64_t tap = 0; tap < w->taps; tap++)
            for (int64_t block = 0; block < w->blocks; block++) {
                Place at = { i / panels, i % panels, tap, block };
                for (int lane = 0; lane < CG_LANES; lane++)
                    put_column(w, &at, lane, p + i * w->panel_bytes + tap * w->tap_bytes + block * w->block_bytes);
            }
}

int low_bit_pack(const Group *g, uint64_t *offset)
{
    const LowBit *w = low_bit_of(g);
    int64_t panels = w->groups * panels_of(w->columns);
    *offset = weights_add_more(g->cg->weights, w->q, (uint64_t)(panels * w->panel_bytes), write_low_bit, w, sizeof *w);
    return group_operand(g, node_in(g->weights, 0));
}
