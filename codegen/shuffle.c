/* shuffle.c -- vectors of CG_LANES elements rearranged in registers, see gen.h.
 *
 * Interleaving n vectors, n a power of two, takes log2(n) rounds of n shuffles, each of two vectors into two:
 *
 *     a0 a1 a2 a3   b0 b1 b2 b3    ->    a0 b0 a1 b1   a2 b2 a3 b3
 *
 * With n = CG_LANES it is a transpose: the result i holds element i of each vector. Other n go by a chain of n - 1 shuffles per result.
 */
#include "gen.h"

/* Element i of the result is element pick[i] of a and b, one behind the other; any where pick[i] is negative. */
static LLVMValueRef shuffle(Codegen *cg, LLVMValueRef a, LLVMValueRef b, const int *pick)
{
    LLVMValueRef lane[CG_LANES];
    for (int i = 0; i < CG_LANES; i++)
        lane[i] = pick[i] < 0 ? LLVMGetPoison(cg->i32) : LLVMConstInt(cg->i32, (unsigned)pick[i], false);
    return LLVMBuildShuffleVector(cg->b, a, b, LLVMConstVector(lane, CG_LANES), "");
}

/* Lanes whose element lies in vector `source` take it from there, at place[lane]; the others keep what acc has. */
static LLVMValueRef take_from(Codegen *cg, LLVMValueRef acc, LLVMValueRef v, int source, const int *from, const int *place)
{
    int pick[CG_LANES];
    for (int i = 0; i < CG_LANES; i++)
        pick[i] = from[i] == source ? CG_LANES + place[i] : i;
    return shuffle(cg, acc, v, pick);
}

/* Lane i takes element place[i] of vector v[from[i]]. */
static LLVMValueRef gather_lanes(Codegen *cg, int n, const LLVMValueRef *v, const int *from, const int *place)
{
    int first[CG_LANES];
    for (int i = 0; i < CG_LANES; i++)
        first[i] = from[i] == 0 ? place[i] : -1;
    LLVMValueRef acc = shuffle(cg, v[0], LLVMGetPoison(LLVMTypeOf(v[0])), first);
    for (int k = 1; k < n; k++)
        acc = take_from(cg, acc, v[k], k, from, place);
    return acc;
}

static void interleave_round(Codegen *cg, int n, LLVMValueRef *v)
{
    int low[CG_LANES], high[CG_LANES];
    LLVMValueRef to[CG_LANES];
    for (int i = 0; i < CG_LANES; i++) {
        low[i] = i / 2 + (i % 2) * CG_LANES;
        high[i] = low[i] + CG_LANES / 2;
    }
    for (int i = 0; i < n / 2; i++) {
        to[2 * i] = shuffle(cg, v[i], v[i + n / 2], low);
        to[2 * i + 1] = shuffle(cg, v[i], v[i + n / 2], high);
    }
    for (int i = 0; i < n; i++)
        v[i] = to[i];
}

static void interleave_chain(Codegen *cg, int n, LLVMValueRef *v)
{
    LLVMValueRef to[CG_LANES];
    for (int k = 0; k < n; k++) {
        int from[CG_LANES], place[CG_LANES];
        for (int i = 0; i < CG_LANES; i++) {
            from[i] = (k * CG_LANES + i) % n;
            place[i] = (k * CG_LANES + i) / n;
        }
        to[k] = gather_lanes(cg, n, v, from, place);
    }
    for (int k = 0; k < n; k++)
        v[k] = to[k];
}

void cg_interleave(Codegen *cg, int n, LLVMValueRef *v)
{
    if (n & (n - 1)) {
        interleave_chain(cg, n, v);
        return;
    }
    for (int rounds = n; rounds > 1; rounds /= 2)
        interleave_round(cg, n, v);
}

LLVMValueRef cg_every(Codegen *cg, int step, const LLVMValueRef *v)
{
    int from[CG_LANES], place[CG_LANES], last = (step - 1) * (CG_LANES - 1);
    for (int i = 0; i < CG_LANES; i++) {
        int at = i * step;
        from[i] = at / CG_LANES < step - 1 ? at / CG_LANES : step - 1;
        place[i] = from[i] == step - 1 ? at - last : at % CG_LANES;
    }
    return gather_lanes(cg, step, v, from, place);
}
