/* loops.c -- loops and addresses, so that no generator touches phi nodes. See cg.h. */
#include "gen.h"

#include <string.h>

LLVMValueRef cg_i64(Codegen *cg, int64_t k)
{
    return LLVMConstInt(cg->i64, (unsigned long long)k, true);
}

LLVMValueRef cg_smaller(Codegen *cg, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, a, b, ""), a, b, "");
}

LLVMValueRef cg_larger(Codegen *cg, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSGT, a, b, ""), a, b, "");
}

LLVMBasicBlockRef cg_block(Codegen *cg, const char *name)
{
    LLVMValueRef fn = LLVMGetBasicBlockParent(LLVMGetInsertBlock(cg->b));
    return LLVMAppendBasicBlockInContext(cg->llvm, fn, name);
}

LLVMValueRef cg_gep(Codegen *cg, LLVMValueRef base, DType t, LLVMValueRef index)
{
    LLVMTypeRef bytes = LLVMArrayType2(cg->i8, (uint64_t)dtype_bytes(t));
    return LLVMBuildGEP2(cg->b, bytes, base, &index, 1, "");
}

LLVMValueRef cg_gep_bytes(Codegen *cg, LLVMValueRef base, LLVMValueRef bytes)
{
    return LLVMBuildGEP2(cg->b, cg->i8, base, &bytes, 1, "");
}

Loop loop_begin(Codegen *cg, LLVMValueRef from, LLVMValueRef to, int64_t step, const char *name)
{
    Loop l = { .step = cg_i64(cg, step) };
    LLVMBasicBlockRef before = LLVMGetInsertBlock(cg->b);
    l.head = cg_block(cg, name);
    l.body = cg_block(cg, "body");
    l.exit = cg_block(cg, "done");
    LLVMBuildBr(cg->b, l.head);
    LLVMPositionBuilderAtEnd(cg->b, l.head);
    l.phi = LLVMBuildPhi(cg->b, cg->i64, "i");
    LLVMAddIncoming(l.phi, &from, &before, 1);
    LLVMBuildCondBr(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, l.phi, to, ""), l.body, l.exit);
    LLVMPositionBuilderAtEnd(cg->b, l.body);
    l.index = l.phi;
    return l;
}

void loop_end(Codegen *cg, Loop *l)
{
    LLVMValueRef next = LLVMBuildNSWAdd(cg->b, l->phi, l->step, "");
    LLVMBasicBlockRef last = LLVMGetInsertBlock(cg->b);
    LLVMAddIncoming(l->phi, &next, &last, 1);
    LLVMBuildBr(cg->b, l->head);
    LLVMPositionBuilderAtEnd(cg->b, l->exit);
}

Branch branch_begin(Codegen *cg, LLVMValueRef cond)
{
    LLVMBasicBlockRef then = cg_block(cg, "then");
    Branch b = { cg_block(cg, "else"), cg_block(cg, "join") };
    LLVMBuildCondBr(cg->b, cond, then, b.other);
    LLVMPositionBuilderAtEnd(cg->b, then);
    return b;
}

void branch_else(Codegen *cg, Branch *b)
{
    LLVMBuildBr(cg->b, b->done);
    LLVMPositionBuilderAtEnd(cg->b, b->other);
}

void branch_end(Codegen *cg, Branch *b)
{
    LLVMBuildBr(cg->b, b->done);
    LLVMPositionBuilderAtEnd(cg->b, b->done);
}

/* ---- sizes ---- */

static LLVMValueRef floor_div(Codegen *cg, LLVMValueRef a, LLVMValueRef b)
{
    /* b > 0 wherever a size divides; a may be negative (a window larger than its input). By 0: 0 rather than a trap. */
    LLVMValueRef zero = cg_i64(cg, 0), safe = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntEQ, b, zero, ""), cg_i64(cg, 1), b, "");
    LLVMValueRef q = LLVMBuildSDiv(cg->b, a, safe, ""), r = LLVMBuildSub(cg->b, a, LLVMBuildMul(cg->b, q, safe, ""), "");
    LLVMValueRef down = LLVMBuildAnd(cg->b, LLVMBuildICmp(cg->b, LLVMIntNE, r, zero, ""),
                                     LLVMBuildICmp(cg->b, LLVMIntSLT, LLVMBuildXor(cg->b, r, safe, ""), zero, ""), "");
    return LLVMBuildSub(cg->b, q, LLVMBuildZExt(cg->b, down, cg->i64, ""), "");
}

static LLVMValueRef pick(Codegen *cg, LLVMIntPredicate p, LLVMValueRef a, LLVMValueRef b, LLVMValueRef yes, LLVMValueRef no)
{
    return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, p, a, b, ""), yes, no, "");
}

/* ---- sizes are computed once per function, in a block that dominates their uses ---- */

struct DimCache {
    LLVMBasicBlockRef block;        /* ends in a branch; sizes go before it */
    bool data_too;                  /* data symbols have their values by then (in kernels, not in NAME_run) */
    int n, room;
    struct { Dim d; LLVMValueRef v; } *item;
};

DimCache *dim_cache_open(Codegen *cg, bool data_too)
{
    DimCache *before = cg->dim_cache, *c = ARENA_NEW(cg->arena, DimCache);
    LLVMBasicBlockRef next = cg_block(cg, "start");
    *c = (DimCache){ .block = LLVMGetInsertBlock(cg->b), .data_too = data_too };
    LLVMBuildBr(cg->b, next);
    LLVMPositionBuilderAtEnd(cg->b, next);
    cg->dim_cache = c;
    return before;
}

static LLVMValueRef cache_find(const DimCache *c, Dim d)
{
    for (int i = 0; i < c->n; i++)
        if (c->item[i].d == d)
            return c->item[i].v;
    return NULL;
}

static void cache_add(Codegen *cg, DimCache *c, Dim d, LLVMValueRef v)
{
    if (c->n == c->room) {
        int room = c->room ? 2 * c->room : 32;
        void *grown = arena_alloc(cg->arena, sizeof *c->item * (size_t)room);
        if (c->n)
            memcpy(grown, c->item, sizeof *c->item * (size_t)c->n);
        c->item = grown, c->room = room;
    }
    c->item[c->n].d = d;
    c->item[c->n++].v = v;
}

static LLVMValueRef build_dim(Codegen *cg, LLVMValueRef context, Dim d)
{
    if (d->op == DIM_SYM) {
        LLVMValueRef at = cg_i64(cg, d->k + 1);             /* word 0 of the context is the error */
        return LLVMBuildLoad2(cg->b, cg->i64, LLVMBuildGEP2(cg->b, cg->i64, context, &at, 1, ""), dim_symbol_at(cg->m->dims, (int)d->k)->name);
    }
    LLVMValueRef *x = ARENA_ARRAY(cg->arena, LLVMValueRef, d->nargs + 1), r;
    for (int i = 0; i < d->nargs; i++)
        x[i] = cg_dim(cg, context, d->arg[i]);
    switch (d->op) {
    case DIM_ADD:
        r = cg_i64(cg, d->k);
        for (int i = 0; i < d->nargs; i++)
            r = LLVMBuildNSWAdd(cg->b, r, x[i], "");
        return r;
    case DIM_MUL:
        r = cg_i64(cg, d->k);
        for (int i = 0; i < d->nargs; i++)
            r = LLVMBuildNSWMul(cg->b, r, x[i], "");
        return r;
    case DIM_DIV: return floor_div(cg, x[0], x[1]);
    case DIM_MOD: return LLVMBuildSub(cg->b, x[0], LLVMBuildMul(cg->b, floor_div(cg, x[0], x[1]), x[1], ""), "");
    case DIM_MAX: return pick(cg, LLVMIntSGT, x[0], x[1], x[0], x[1]);
    case DIM_MIN: return pick(cg, LLVMIntSLT, x[0], x[1], x[0], x[1]);
    case DIM_WRAP: return pick(cg, LLVMIntSLT, x[0], cg_i64(cg, 0), LLVMBuildAdd(cg->b, x[0], x[1], ""), x[0]);
    default: return pick(cg, LLVMIntEQ, x[0], cg_i64(cg, 1), x[1], x[0]);
    }
}

LLVMValueRef cg_dim(Codegen *cg, LLVMValueRef context, Dim d)
{
    DimCache *c = cg->dim_cache;
    if (d->op == DIM_CONST)
        return cg_i64(cg, d->k);
    if (!c || (!c->data_too && dim_from_data(cg->m->dims, d)))
        return build_dim(cg, context, d);
    LLVMValueRef v = cache_find(c, d);
    if (v)
        return v;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->b);
    LLVMPositionBuilderBefore(cg->b, LLVMGetBasicBlockTerminator(c->block));
    v = build_dim(cg, context, d);
    if (here != c->block)           /* else: called for an operand of another size, go on before the branch */
        LLVMPositionBuilderAtEnd(cg->b, here);
    cache_add(cg, c, d, v);
    return v;
}
