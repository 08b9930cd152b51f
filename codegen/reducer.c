/* reducer.c -- accumulating: reducing operations on compute values, and variables that live across loops. See gen.h. */
#include "gen.h"

#include <math.h>
#include <string.h>

LLVMValueRef cg_primitive(Codegen *cg, ScalarOp op, DType type, LLVMValueRef a, LLVMValueRef b, int lanes)
{
    FRec *r = frec_new(cg->arena);
    FRef x = frec_arg(r, 0, type), y = frec_arg(r, 1, type);
    Formula f = frec_finish(r, frec_op(r, op, type, x, y, -1));
    return cg_formula(cg, &f, (LLVMValueRef[]){ a, b }, lanes);
}

LLVMValueRef cg_math(Codegen *cg, FRef (*fn)(FRec *, FRef), DType type, LLVMValueRef x, int lanes)
{
    FRec *r = frec_new(cg->arena);
    frec_allow_fast(r, cg->m->fast_math);
    Formula f = frec_finish(r, fn(r, frec_arg(r, 0, type)));
    return cg_formula(cg, &f, &x, lanes);
}

static LLVMValueRef extreme_constant(Codegen *cg, DType t, bool largest)
{
    LLVMTypeRef type = cg_compute_type(cg, t, 1);
    int bits = dtype_table[t].bits;
    uint64_t ones = bits == 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1;
    if (dtype_is_float(t))
        return LLVMConstReal(type, largest ? INFINITY : -INFINITY);
    if (dtype_is_signed(t))
        return LLVMConstInt(type, largest ? ones >> 1 : ~(ones >> 1), true);
    return LLVMConstInt(type, largest ? ones : 0, false);
}

Reducer reducer_of(Codegen *cg, const char *kind, DType storage)
{
    Reducer r = { .type = formula_compute_type(storage) };
    LLVMTypeRef type = cg_compute_type(cg, storage, 1);
    bool sum = !strcmp(kind, "sum"), prod = !strcmp(kind, "prod");
    r.op = sum ? S_add : prod ? S_mul : !strcmp(kind, "max") ? S_max : S_min;
    if (sum || prod)
        r.identity = dtype_is_float(storage) ? LLVMConstReal(type, prod) : LLVMConstInt(type, prod, false);
    else
        r.identity = extreme_constant(cg, r.type, r.op == S_min);
    return r;
}

LLVMValueRef reducer_apply(Codegen *cg, const Reducer *r, LLVMValueRef a, LLVMValueRef b, int lanes)
{
    return cg_primitive(cg, r->op, r->type, a, b, lanes);
}

static LLVMValueRef half_of(Codegen *cg, LLVMValueRef vec, int n, bool upper)
{
    LLVMValueRef pick[CG_LANES];
    for (int i = 0; i < n; i++)
        pick[i] = LLVMConstInt(cg->i32, (unsigned)(i + (upper ? n : 0)), false);
    return LLVMBuildShuffleVector(cg->b, vec, LLVMGetUndef(LLVMTypeOf(vec)), LLVMConstVector(pick, (unsigned)n), "");
}

LLVMValueRef reducer_across(Codegen *cg, const Reducer *r, LLVMValueRef vec)
{
    for (int n = CG_LANES / 2; n >= 2; n /= 2)
        vec = reducer_apply(cg, r, half_of(cg, vec, n, false), half_of(cg, vec, n, true), n);
    LLVMValueRef a = LLVMBuildExtractElement(cg->b, vec, LLVMConstInt(cg->i32, 0, false), "");
    LLVMValueRef b = LLVMBuildExtractElement(cg->b, vec, LLVMConstInt(cg->i32, 1, false), "");
    return reducer_apply(cg, r, a, b, 1);
}

LLVMValueRef cg_variable(Codegen *cg, LLVMValueRef init)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->b);
    LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(LLVMGetBasicBlockParent(here));
    LLVMPositionBuilder(cg->b, entry, LLVMGetFirstInstruction(entry));
    LLVMValueRef var = LLVMBuildAlloca(cg->b, LLVMTypeOf(init), "");
    LLVMPositionBuilderAtEnd(cg->b, here);
    LLVMBuildStore(cg->b, init, var);
    return var;
}

LLVMValueRef cg_get(Codegen *cg, LLVMValueRef var)
{
    return LLVMBuildLoad2(cg->b, LLVMGetAllocatedType(var), var, "");
}

void cg_set(Codegen *cg, LLVMValueRef var, LLVMValueRef val)
{
    LLVMBuildStore(cg->b, val, var);
}
