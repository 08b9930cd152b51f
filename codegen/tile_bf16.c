/* tile_bf16.c -- the inner loop of a register tile over bf16: for each two k, one vector of weights per panel, and per row one 32-bit load that all lanes
 * share. See tile.c for the tile and bf16.h for the weights.
 */
#include "bf16.h"

typedef LLVMValueRef Val;

static Val load(Codegen *cg, LLVMTypeRef type, Val p)
{
    Val v = LLVMBuildLoad2(cg->b, type, p, "");
    LLVMSetAlignment(v, 2);
    return v;
}

/* The pair at p in one i32; the last k of an odd length has none beside it, and nothing behind it is read. */
static Val load_pair(Codegen *cg, Val p, bool whole)
{
    return whole ? load(cg, cg->i32, p) : LLVMBuildZExt(cg->b, load(cg, cg->i16, p), cg->i32, "");
}

/* One pair of k of all rows and panels; a, b: addresses of the first row's pair and of the first panel's weights. */
static void tile_step(Tile *t, Val a, Val b, bool whole)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    LLVMTypeRef pairs = LLVMVectorType(cg->i32, CG_LANES);
    Val w[8];
    for (int p = 0; contract_weights_are_large(c) && p < t->panels; p++)
        cg_prefetch(cg, cg_gep(cg, b, DT_bf16, LLVMBuildNSWMul(cg->b, cg_i64(cg, t->panels + p), c->panel_step, "")), false);
    for (int p = 0; p < t->panels; p++)
        w[p] = load(cg, pairs, cg_gep(cg, b, DT_bf16, LLVMBuildNSWMul(cg->b, cg_i64(cg, p), c->panel_step, "")));
    for (int r = 0; r < t->rows; r++) {
        Val x = cg_splat(cg, load_pair(cg, cg_gep(cg, a, DT_bf16, LLVMBuildNSWMul(cg->b, cg_i64(cg, r), c->row_step, "")), whole), CG_LANES);
        for (int p = 0; p < t->panels; p++) {
            Val acc = t->acc[r * t->panels + p];
            cg_set(cg, acc, bf16_dot(cg, cg_get(cg, acc), x, w[p]));
        }
    }
}

void tile_accumulate_bf16(Tile *t, LLVMValueRef a_offset, LLVMValueRef b_offset, int64_t length)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    int64_t whole = length / 2 * 2;
    Val row = LLVMBuildNSWMul(cg->b, t->row, c->row_step, "");
    Val a = cg_gep(cg, c->a.ptr, DT_bf16, LLVMBuildNSWAdd(cg->b, LLVMBuildNSWAdd(cg->b, t->a_start, row, ""), a_offset, ""));
    Val b = cg_gep(cg, c->b.ptr, DT_bf16, LLVMBuildNSWAdd(cg->b, t->b_start, b_offset, ""));
    if (whole) {
        Loop k = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, whole), 2, "k");
        tile_step(t, cg_gep(cg, a, DT_bf16, k.index), cg_gep(cg, b, DT_bf16, LLVMBuildNSWMul(cg->b, k.index, cg_i64(cg, CG_LANES), "")), true);
        loop_end(cg, &k);
    }
    if (whole < length)
        tile_step(t, cg_gep(cg, a, DT_bf16, cg_i64(cg, whole)), cg_gep(cg, b, DT_bf16, cg_i64(cg, whole * CG_LANES)), false);
}
