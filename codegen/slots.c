/* slots.c -- which part of a kernel's scratch a call of it may use, while other threads run the same kernel.
 *
 * A kernel that needs working memory per thread has it `slots` times. A call claims the lowest slot that is free and gives it back at its end, so that
 * one thread uses the same memory again and again, which stays in its cache, and T threads use T slots. One word of the run's state has a bit per
 * slot: kernels run one after the other, so all bits are 0 between them. Who finds none free waits for one.
 */
#include "gen.h"

#include <string.h>

static LLVMValueRef claims(Group *g)
{
    LLVMValueRef at = cg_i64(g->cg, g->cg->claims_word);
    return LLVMBuildGEP2(g->cg->b, g->cg->i64, g->context, &at, 1, "claims");
}

static LLVMValueRef lowest_bit_number(Codegen *cg, LLVMValueRef bits)
{
    unsigned id = LLVMLookupIntrinsicID("llvm.cttz", strlen("llvm.cttz"));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(cg->mod, id, &cg->i32, 1), arg[] = { bits, LLVMConstInt(cg->i1, 1, false) };
    return LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, &cg->i32, 1), fn, arg, 2, "");
}

LLVMValueRef slot_claim(Group *g, int slots)
{
    Codegen *cg = g->cg;
    LLVMBasicBlockRef retry = cg_block(cg, "claim"), take = cg_block(cg, "take"), mine = cg_block(cg, "claimed");
    LLVMValueRef all = LLVMConstInt(cg->i32, slots == 32 ? UINT32_MAX : (1u << slots) - 1, false), word = claims(g);
    LLVMBuildBr(cg->b, retry);
    LLVMPositionBuilderAtEnd(cg->b, retry);
    LLVMValueRef taken = LLVMBuildLoad2(cg->b, cg->i32, word, "");
    LLVMSetOrdering(taken, LLVMAtomicOrderingMonotonic);
    LLVMSetAlignment(taken, 4);
    LLVMValueRef open = LLVMBuildAnd(cg->b, LLVMBuildNot(cg->b, taken, ""), all, "");
    LLVMBuildCondBr(cg->b, LLVMBuildICmp(cg->b, LLVMIntEQ, open, LLVMConstNull(cg->i32), ""), retry, take);
    LLVMPositionBuilderAtEnd(cg->b, take);
    LLVMValueRef with = LLVMBuildOr(cg->b, taken, LLVMBuildAnd(cg->b, open, LLVMBuildNeg(cg->b, open, ""), ""), "");
    LLVMValueRef swap = LLVMBuildAtomicCmpXchg(cg->b, word, taken, with, LLVMAtomicOrderingAcquire, LLVMAtomicOrderingMonotonic, false);
    LLVMBuildCondBr(cg->b, LLVMBuildExtractValue(cg->b, swap, 1, ""), mine, retry);
    LLVMPositionBuilderAtEnd(cg->b, mine);
    return LLVMBuildZExt(cg->b, lowest_bit_number(cg, open), cg->i64, "slot");
}

void slot_release(Group *g, LLVMValueRef slot)
{
    Codegen *cg = g->cg;
    LLVMValueRef bit = LLVMBuildShl(cg->b, LLVMConstInt(cg->i32, 1, false), LLVMBuildTrunc(cg->b, slot, cg->i32, ""), "");
    LLVMBuildAtomicRMW(cg->b, LLVMAtomicRMWBinOpAnd, claims(g), LLVMBuildNot(cg->b, bit, ""), LLVMAtomicOrderingRelease, false);
}
