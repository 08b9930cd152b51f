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

/* Weights that do not stay in the second cache from run to run are fetched a set of panels ahead: the first rows would wait for them. */
enum { LARGE_WEIGHTS = 256 << 10 };

static bool weights_are_large(const Contract *c)
{
    const Type *w = &node_in(c->g->anchor, 1)->type;
    return type_is_static(w) && type_count(w) >= LARGE_WEIGHTS;
}

/* Four k (or the last `count`) of all rows and panels; a, b: addresses of the first row's bytes and of the first panel's weights. */
static void tile_step(Tile *t, Val a, Val b, int64_t count)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    Val w[8];
    for (int p = 0; weights_are_large(c) && p < t->panels; p++)
        cg_prefetch(cg, cg_gep_bytes(cg, b, LLVMBuildNSWMul(cg->b, cg_i64(cg, t->panels + p), c->panel_step, "")), false);
    for (int p = 0; p < t->panels; p++)
        w[p] = load(cg, sixty_four_bytes(cg), cg_gep_bytes(cg, b, LLVMBuildNSWMul(cg->b, cg_i64(cg, p), c->panel_step, "")));
    for (int r = 0; r < t->rows; r++) {
        Val x = broadcast_word(cg, load_word(cg, cg_gep_bytes(cg, a, LLVMBuildNSWMul(cg->b, cg_i64(cg, r), c->row_step, "")), count));
        for (int p = 0; p < t->panels; p++) {
            Val acc = t->acc[r * t->panels + p];
            cg_set(cg, acc, int8_dot(cg, cg_get(cg, acc), x, w[p]));
        }
    }
}

void tile_accumulate_int8(Tile *t, LLVMValueRef a_offset, LLVMValueRef b_offset, int64_t length)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    int64_t whole = length / 4 * 4;
    Val row = LLVMBuildNSWMul(cg->b, t->row, c->row_step, "");
    Val a = cg_gep_bytes(cg, c->a.ptr, LLVMBuildNSWAdd(cg->b, LLVMBuildNSWAdd(cg->b, t->a_start, row, ""), a_offset, ""));
    Val b = cg_gep_bytes(cg, c->b.ptr, LLVMBuildNSWAdd(cg->b, t->b_start, b_offset, ""));
    if (whole) {
        Loop k = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, whole), 4, "k");
        tile_step(t, cg_gep_bytes(cg, a, k.index), cg_gep_bytes(cg, b, LLVMBuildNSWMul(cg->b, k.index, cg_i64(cg, CG_LANES), "")), 4);
        loop_end(cg, &k);
    }
    if (whole < length)
        tile_step(t, cg_gep_bytes(cg, a, cg_i64(cg, whole)), cg_gep_bytes(cg, b, cg_i64(cg, whole * CG_LANES)), length - whole);
}
