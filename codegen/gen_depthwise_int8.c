/* gen_depthwise_int8.c -- depthwise convolution of bytes: one filter per channel, 16 channels in the lanes.
 *
 * Four neighbouring pixels of 16 channels each are interleaved to 16 times four bytes, which int8_dot multiplies with four columns of the filter:
 *
 *     pixel w    a0 b0 c0 ...                                   (filter row of 3: the fourth column is zero;
 *     pixel w+1  a1 b1 c1 ...    ->  a0 a1 a2 a3  b0 b1 b2 b3 ...      moved on by one byte it fits the next result,
 *     pixel w+2  a2 b2 c2 ...                                          so one interleaving serves two results)
 *     pixel w+3  a3 b3 c3 ...
 */
#include "int8.h"

typedef LLVMValueRef Val;

typedef struct Depthwise {
    Group *g;
    Conv k;
    int x, w, bias;
    Val line_in, line_out;          /* first input pixel and first result pixel of this row of the result */
    Val col, mask;                  /* first channel; live channels, NULL all */
    Contract *result;               /* pixels x channels */
} Depthwise;

/* ---- operands ---- */

/* 16 channels of the pixel `down` rows below and `right` columns right of `pixel`. */
static Val load_pixel(const Depthwise *d, Val pixel, int64_t down, int64_t right)
{
    Codegen *cg = d->g->cg;
    Val below = LLVMBuildNSWMul(cg->b, group_dim(d->g, d->k.w), cg_i64(cg, down), "");
    Val at = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWAdd(cg->b, pixel, below, ""), cg_i64(cg, right), "");
    Val offset = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, at, group_dim(d->g, d->k.c), ""), d->col, "");
    return operand_load(d->g, d->x, offset, CG_LANES, d->mask);
}

static Val shuffle(Codegen *cg, Val x, Val y, unsigned n, unsigned (*from)(unsigned))
{
    Val lane[4 * CG_LANES];
    for (unsigned i = 0; i < n; i++)
        lane[i] = LLVMConstInt(cg->i32, from(i), false);
    return LLVMBuildShuffleVector(cg->b, x, y, LLVMConstVector(lane, n), "");
}

static unsigned same(unsigned i) { return i; }
static unsigned transposed_words(unsigned i) { return i % 4 * 4 + i / 4; }                      /* 4x4 of all the words */
static unsigned transposed_bytes(unsigned i) { return i / 16 * 16 + i % 4 * 4 + i % 16 / 4; }   /* 4x4 within every four words */

/* In two steps that vector units have: words across the register, then bytes within its parts. */
static Val interleave_four(Codegen *cg, Val *x)
{
    Val zero = LLVMConstNull(LLVMVectorType(cg->i8, CG_LANES));
    for (int i = 0; i < 4; i++)
        x[i] = x[i] ? x[i] : zero;
    Val half[2] = { shuffle(cg, x[0], x[1], 2 * CG_LANES, same), shuffle(cg, x[2], x[3], 2 * CG_LANES, same) };
    Val all = shuffle(cg, half[0], half[1], 4 * CG_LANES, same);
    Val words = LLVMBuildBitCast(cg->b, all, LLVMVectorType(cg->i32, CG_LANES), "");
    words = shuffle(cg, words, LLVMGetPoison(LLVMTypeOf(words)), CG_LANES, transposed_words);
    Val bytes = LLVMBuildBitCast(cg->b, words, LLVMTypeOf(all), "");
    return shuffle(cg, bytes, LLVMGetPoison(LLVMTypeOf(bytes)), 4 * CG_LANES, transposed_bytes);
}

/* Weights of filter row h, columns 4*chunk and on, for the 16 channels. */
static Val load_weights(const Depthwise *d, int64_t h, int64_t chunk)
{
    Codegen *cg = d->g->cg;
    int64_t chunks = int8_padded(d->k.kw) / 4;
    Val panel = LLVMBuildNSWMul(cg->b, d->col, cg_i64(cg, d->k.kh * chunks * 4), "");
    Val at = LLVMBuildNSWAdd(cg->b, panel, cg_i64(cg, (h * chunks + chunk) * 4 * CG_LANES), "");
    return operand_load(d->g, d->w, at, 4 * CG_LANES, NULL);
}

/* The same, a column later: every four bytes moved up by one. */
static Val move_on(Codegen *cg, Val w)
{
    LLVMTypeRef words = LLVMVectorType(cg->i32, CG_LANES);
    Val moved = LLVMBuildShl(cg->b, LLVMBuildBitCast(cg->b, w, words, ""), cg_splat(cg, LLVMConstInt(cg->i32, 8, false), CG_LANES), "");
    return LLVMBuildBitCast(cg->b, moved, LLVMTypeOf(w), "");
}

/* ---- results ---- */

static Val start(const Depthwise *d)
{
    if (d->bias < 0)
        return LLVMConstNull(LLVMVectorType(d->g->cg->i32, CG_LANES));
    return operand_load(d->g, d->bias, d->col, CG_LANES, d->mask);
}

/* The filter columns 4*chunk and on meet the pixels from `pixel` on; a pixel more if the next result shares them. */
static Val load_four(const Depthwise *d, Val pixel, int64_t h, int64_t chunk, bool shared)
{
    Val x[4] = { NULL };
    for (int64_t i = 0; i < 4 && 4 * chunk + i < d->k.kw + shared; i++)
        x[i] = load_pixel(d, pixel, h * d->k.dh, (4 * chunk + i) * d->k.dw);
    return interleave_four(d->g->cg, x);
}

static bool neighbours_share(const Conv *k)
{
    return k->kw <= 3 && k->sw == 1 && k->dw == 1;
}

/* `count` (1 or 2) neighbouring results from `ow` on. */
static void emit_results(const Depthwise *d, Val ow, int count)
{
    Codegen *cg = d->g->cg;
    bool shared = count == 2;
    Val acc[2] = { start(d), start(d) }, pixel = LLVMBuildNSWAdd(cg->b, d->line_in, LLVMBuildMul(cg->b, ow, cg_i64(cg, d->k.sw), ""), "");
    for (int64_t h = 0; h < d->k.kh; h++)
        for (int64_t chunk = 0; chunk < int8_padded(d->k.kw) / 4; chunk++) {
            Val w = load_weights(d, h, chunk), x = load_four(d, pixel, h, chunk, shared);
            acc[0] = int8_dot(cg, acc[0], x, w);
            if (shared)
                acc[1] = int8_dot(cg, acc[1], x, move_on(cg, w));
        }
    for (int i = 0; i < count; i++)
        contract_store(d->result, acc[i], LLVMBuildNSWAdd(cg->b, LLVMBuildNSWAdd(cg->b, d->line_out, ow, ""), cg_i64(cg, i), ""), d->col, d->mask);
}

static void emit_row(Depthwise *d, Val col, Val mask)
{
    Codegen *cg = d->g->cg;
    Val ow = group_dim(d->g, d->k.ow), from = cg_i64(cg, 0);
    d->col = col, d->mask = mask;
    if (neighbours_share(&d->k)) {
        Val pairs = LLVMBuildAnd(cg->b, ow, cg_i64(cg, -2), "");
        Loop l = loop_begin(cg, from, pairs, 2, "pixels");
        emit_results(d, l.index, 2);
        loop_end(cg, &l);
        from = pairs;
    }
    Loop l = loop_begin(cg, from, ow, 1, "pixel");
    emit_results(d, l.index, 1);
    loop_end(cg, &l);
}

void gen_depthwise_int8(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    Depthwise d = { .g = g, .k = conv_of(g), .x = group_operand(g, node_in(g->anchor, 0)), .w = group_operand(g, node_in(g->anchor, 1)) };
    d.bias = node_in(g->anchor, 2) ? group_operand(g, node_in(g->anchor, 2)) : -1;
    *work = (Work){ dim_mul(cg->m->dims, d.k.n, d.k.oh), dim_mulk(cg->m->dims, d.k.ow, d.k.groups * d.k.kh * d.k.kw / 8 + 1) };
    Contract result = { .g = g, .rows = dim_mul(cg->m->dims, work->units, d.k.ow), .cols = d.k.m };
    contract_open(&result);
    d.result = &result;
    int64_t whole = d.k.groups / CG_LANES * CG_LANES;
    Val part[2];
    Loop l = loop_begin(cg, begin, end, 1, "row");
    split_index(g, l.index, 2, (Dim[]){ d.k.n, d.k.oh }, part);
    Val in_row = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[0], group_dim(g, d.k.h), ""), LLVMBuildMul(cg->b, part[1], cg_i64(cg, d.k.sh), ""), "");
    d.line_in = LLVMBuildNSWMul(cg->b, in_row, group_dim(g, d.k.w), "");
    d.line_out = LLVMBuildNSWMul(cg->b, l.index, group_dim(g, d.k.ow), "");
    if (whole) {
        Loop c = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, whole), CG_LANES, "channels");
        emit_row(&d, c.index, NULL);
        loop_end(cg, &c);
    }
    if (whole < d.k.groups)
        emit_row(&d, cg_i64(cg, whole), lane_mask(cg, cg_i64(cg, d.k.groups - whole)));
    loop_end(cg, &l);
    g->space = NULL;
}
