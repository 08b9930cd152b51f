/* tile_int8.c -- the inner loop of a register tile over bytes: for each four k, one vector of weights per panel, and per row one 32-bit load that all
 * lanes share. See tile.c for the tile and int8.h for the weights.
 */
#include "int8.h"

typedef LLVMValueRef Val;

static LLVMTypeRef sixty_four_bytes(Codegen *cg)
{
    return LLVMVectorType(cg->i8, 4 * CG_LANES);
}

static Val load(Codegen *cg, LLVMTypeRef type, Val p)
{
    Val v = LLVMBuildLoad2(cg->b, type, p, "");
    LLVMSetAlignment(v, 1);
    return v;
}

/* `count` bytes from p on, the rest zero, in one i32; nothing behind them is read. */
static Val load_word(Codegen *cg, Val p, int64_t count)
{
    if (count == 4)
        return load(cg, cg->i32, p);
    Val word = LLVMConstInt(cg->i32, 0, false);
    for (int64_t i = 0; i < count; i++) {
        Val byte = LLVMBuildZExt(cg->b, load(cg, cg->i8, cg_gep_bytes(cg, p, cg_i64(cg, i))), cg->i32, "");
        word = LLVMBuildOr(cg->b, word, LLVMBuildShl(cg->b, byte, LLVMConstInt(cg->i32, (unsigned)(8 * i), false), ""), "");
    }
    return word;
}

/* Weights lie as on a little-endian machine: so must the word. All targets are. */
static Val broadcast_word(Codegen *cg, Val word)
{
    return LLVMBuildBitCast(cg->b, cg_splat(cg, word, CG_LANES), sixty_four_bytes(cg), "");
}

/* 64 bytes of every panel; b: address of the first panel's. */
static void load_weights(Tile *t, Val b, Val *w)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    for (int p = 0; contract_weights_are_large(c) && p < t->panels; p++)
        cg_prefetch(cg, cg_gep_bytes(cg, b, LLVMBuildNSWMul(cg->b, cg_i64(cg, t->panels + p), c->panel_step, "")), false);
    for (int p = 0; p < t->panels; p++)
        w[p] = load(cg, sixty_four_bytes(cg), cg_gep_bytes(cg, b, LLVMBuildNSWMul(cg->b, cg_i64(cg, p), c->panel_step, "")));
}

/* Four k (or the last `count`) of all rows and panels; a: address of the first row's bytes. */
static void tile_step(Tile *t, Val a, const Val *w, int64_t count)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    for (int r = 0; r < t->rows; r++) {
        Val x = broadcast_word(cg, load_word(cg, cg_gep_bytes(cg, a, LLVMBuildNSWMul(cg->b, cg_i64(cg, r), c->row_step, "")), count));
        for (int p = 0; p < t->panels; p++) {
            Val acc = t->acc[r * t->panels + p];
            cg_set(cg, acc, int8_dot(cg, cg_get(cg, acc), x, w[p]));
        }
    }
}

static Val splat_byte(Codegen *cg, int x)
{
    return cg_splat(cg, LLVMConstInt(cg->i8, (unsigned)x, false), 4 * CG_LANES);
}

/* Up to eight k of weights of four bits, two steps in 64 bytes. */
static void tile_pair(Tile *t, Val a, Val b, int64_t count)
{
    Codegen *cg = t->c->g->cg;
    Val pair[8], w[8];
    load_weights(t, b, pair);
    for (int p = 0; p < t->panels; p++)
        w[p] = LLVMBuildSub(cg->b, LLVMBuildAnd(cg->b, pair[p], splat_byte(cg, 15), ""), splat_byte(cg, 8), "");
    tile_step(t, a, w, count < 4 ? count : 4);
    for (int p = 0; p < t->panels; p++)
        w[p] = LLVMBuildSub(cg->b, LLVMBuildLShr(cg->b, pair[p], splat_byte(cg, 4), ""), splat_byte(cg, 8), "");
    if (count > 4)
        tile_step(t, cg_gep_bytes(cg, a, cg_i64(cg, 4)), w, count - 4);
}

static void tile_single(Tile *t, Val a, Val b, int64_t count)
{
    Val w[8];
    load_weights(t, b, w);
    tile_step(t, a, w, count);
}

void tile_accumulate_int8(Tile *t, LLVMValueRef a_offset, LLVMValueRef b_offset, int64_t length)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    bool narrow = int8_group_bits(c->g) == 4;
    int step = narrow ? 8 : 4;              /* k in 64 bytes of a panel */
    int64_t whole = length / step * step, bytes = 4 * CG_LANES / step;
    void (*accumulate)(Tile *, Val, Val, int64_t) = narrow ? tile_pair : tile_single;
    Val row = LLVMBuildNSWMul(cg->b, t->row, c->row_step, "");
    Val a = cg_gep_bytes(cg, c->a.ptr, LLVMBuildNSWAdd(cg->b, LLVMBuildNSWAdd(cg->b, t->a_start, row, ""), a_offset, ""));
    Val b = cg_gep_bytes(cg, c->b.ptr, LLVMBuildNSWAdd(cg->b, t->b_start, b_offset, ""));
    if (whole) {
        Loop k = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, whole), step, "k");
        accumulate(t, cg_gep_bytes(cg, a, k.index), cg_gep_bytes(cg, b, LLVMBuildNSWMul(cg->b, k.index, cg_i64(cg, bytes), "")), step);
        loop_end(cg, &k);
    }
    if (whole < length)
        accumulate(t, cg_gep_bytes(cg, a, cg_i64(cg, whole)), cg_gep_bytes(cg, b, cg_i64(cg, whole * bytes)), length - whole);
}
