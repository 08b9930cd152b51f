/* dot_bf16.c -- two products of bf16 added to an f32, in 16 lanes, by what the target has (bf16.h).
 *
 *   x86   vdpbf16ps (AVX-512 BF16) does just this: the odd product first, then the even one, each fused with its sum.
 *   else  a bf16 number is the upper half of an f32: the odd ones are there under a mask, the even ones by a shift. Two multiply-adds in the same order.
 */
#include "bf16.h"

#include <string.h>

static LLVMValueRef by_instruction(Codegen *cg, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef w)
{
    static const char name[] = "llvm.x86.avx512bf16.dpbf16ps.512";
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef pairs = LLVMVectorType(LLVMBFloatTypeInContext(cg->llvm), 2 * CG_LANES);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(cg->mod, id, NULL, 0);
    LLVMValueRef arg[] = { acc, LLVMBuildBitCast(cg->b, a, pairs, ""), LLVMBuildBitCast(cg->b, w, pairs, "") };
    return LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, NULL, 0), fn, arg, 3, "");
}

/* Number 0 or 1 of every pair, as f32. */
static LLVMValueRef one_of_pair(Codegen *cg, LLVMValueRef pairs, bool odd)
{
    LLVMValueRef k = cg_splat(cg, LLVMConstInt(cg->i32, odd ? 0xffff0000 : 16, false), CG_LANES);
    LLVMValueRef v = odd ? LLVMBuildAnd(cg->b, pairs, k, "") : LLVMBuildShl(cg->b, pairs, k, "");
    return LLVMBuildBitCast(cg->b, v, LLVMVectorType(cg->f32, CG_LANES), "");
}

LLVMValueRef bf16_dot(Codegen *cg, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef w)
{
    if (target_has(&cg->target, "avx512bf16"))
        return by_instruction(cg, acc, a, w);
    for (int odd = 1; odd >= 0; odd--)
        acc = cg_fma(cg, one_of_pair(cg, a, odd), one_of_pair(cg, w, odd), acc);
    return acc;
}
