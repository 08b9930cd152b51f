/* gen_descriptor.c -- the constant NAME_ingot_model (ingot_abi.h) that describes the model to whoever loads it, and the functions it points to. */
#include "gen.h"

#include "ingot_abi.h"

#include <string.h>

static LLVMValueRef hidden_constant(Codegen *cg, LLVMValueRef init, const char *name)
{
    LLVMValueRef g = LLVMAddGlobal(cg->mod, LLVMTypeOf(init), name);
    LLVMSetInitializer(g, init);
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    return g;
}

static LLVMValueRef text(Codegen *cg, const char *s)
{
    return hidden_constant(cg, LLVMConstStringInContext2(cg->llvm, s, strlen(s), false), "text");
}

static LLVMValueRef array(Codegen *cg, LLVMTypeRef of, int n, LLVMValueRef *v, const char *name)
{
    return n ? hidden_constant(cg, LLVMConstArray2(of, v, (uint64_t)n), name) : LLVMConstNull(cg->ptr);
}

static LLVMValueRef word(Codegen *cg, int64_t k)
{
    return LLVMConstInt(cg->i32, (unsigned long long)k, true);
}

/* ---- symbols: those that input shapes fix, in the table's order ---- */

typedef struct Symbols {
    int n;
    int64_t *number;                /* of a symbol by its index in the DimTable, -1: decided by data */
    int *index;                     /* the other way round */
} Symbols;

static Symbols input_symbols(Codegen *cg)
{
    int all = dim_symbol_count(cg->m->dims);
    Symbols s = { 0, ARENA_ARRAY(cg->arena, int64_t, all + 1), ARENA_ARRAY(cg->arena, int, all + 1) };
    for (int i = 0; i < all; i++) {
        bool data = dim_symbol_at(cg->m->dims, i)->from_data;
        s.number[i] = data ? -1 : s.n;
        if (!data)
            s.index[s.n++] = i;
    }
    return s;
}

static LLVMValueRef container_port(Codegen *cg, const Type *t, const char *name)
{
    int32_t code = t->kind == TY_SEQUENCE ? INGOT_SEQUENCE : t->kind == TY_OPTIONAL ? INGOT_OPTIONAL : INGOT_MAP;
    LLVMValueRef dim = cg_i64(cg, 0), said = text(cg, type_print(cg->m, cg->arena, t));
    LLVMValueRef f[] = { text(cg, name), word(cg, code), word(cg, 1), array(cg, cg->i64, 1, &dim, "dims"), array(cg, cg->ptr, 1, &said, "dim_text") };
    return LLVMConstStructInContext(cg->llvm, f, 5, false);
}

static LLVMValueRef port(Codegen *cg, const Symbols *sym, const Value *v, const char *name)
{
    const Type *t = &v->type;
    LLVMValueRef dim[MAX_RANK], said[MAX_RANK];
    for (int d = 0; d < t->rank; d++) {
        Dim x = t->dim[d];
        int64_t code = dim_is_const(x) ? x->k : x->op == DIM_SYM && sym->number[x->k] >= 0 ? -1 - sym->number[x->k] : INT64_MIN;
        dim[d] = cg_i64(cg, code);
        said[d] = text(cg, dim_print(cg->m->dims, cg->arena, x));
    }
    if (t->kind != TY_TENSOR)
        return container_port(cg, t, name);
    LLVMValueRef f[] = { text(cg, name), word(cg, dtype_table[t->dtype].onnx), word(cg, t->rank), array(cg, cg->i64, t->rank, dim, "dims"),
                         array(cg, cg->ptr, t->rank, said, "dim_text") };
    return LLVMConstStructInContext(cg->llvm, f, 5, false);
}

static LLVMValueRef port_list(Codegen *cg, const Symbols *sym, int n, Value **v, const char *const *name)
{
    LLVMValueRef *p = ARENA_ARRAY(cg->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++)
        p[i] = port(cg, sym, v[i], name ? name[i] : v[i]->name ? v[i]->name : arena_printf(cg->arena, "input_%d", i));
    return n ? array(cg, LLVMTypeOf(p[0]), n, p, "ports") : LLVMConstNull(cg->ptr);
}

/* ---- functions of the symbols ---- */

/* A function (ptr syms[, ptr dims]); inside, *state holds all symbols the way cg_dim reads them. */
static LLVMValueRef symbol_function(Codegen *cg, const char *name, LLVMTypeRef result, int nparams, const Symbols *sym, LLVMValueRef *state)
{
    LLVMValueRef fn = LLVMAddFunction(cg->mod, name, LLVMFunctionType(result, (LLVMTypeRef[]){ cg->ptr, cg->ptr }, (unsigned)nparams, false));
    LLVMSetLinkage(fn, LLVMPrivateLinkage);
    cg_function_attributes(cg, fn);
    LLVMPositionBuilderAtEnd(cg->b, LLVMAppendBasicBlockInContext(cg->llvm, fn, "entry"));
    *state = cg_variable(cg, LLVMConstNull(LLVMArrayType2(cg->i64, (uint64_t)dim_symbol_count(cg->m->dims) + 1)));
    for (int i = 0; i < sym->n; i++) {
        LLVMValueRef from = cg_i64(cg, i), to = cg_i64(cg, sym->index[i] + 1);
        LLVMValueRef v = LLVMBuildLoad2(cg->b, cg->i64, LLVMBuildGEP2(cg->b, cg->i64, LLVMGetParam(fn, 0), &from, 1, ""), "");
        LLVMBuildStore(cg->b, v, LLVMBuildGEP2(cg->b, cg->i64, *state, &to, 1, ""));
    }
    return fn;
}

static LLVMValueRef workspace_function(Codegen *cg, const Symbols *sym)
{
    LLVMValueRef state, fn = symbol_function(cg, "workspace_size", cg->i64, 1, sym, &state);
    LLVMBuildRet(cg->b, cg_dim(cg, state, cg->m->arena_bytes));
    return fn;
}

static LLVMValueRef dims_function(Codegen *cg, const Symbols *sym, const Node *ret)
{
    LLVMValueRef state, fn = symbol_function(cg, "output_dims", cg->void_t, 2, sym, &state);
    int at = 0;
    for (int i = 0; i < ret->nin; i++) {
        const Type *t = &node_in(ret, i)->type;
        bool tensor = t->kind == TY_TENSOR;
        for (int d = 0; d < (tensor ? t->rank : 1); d++, at++) {
            Dim x = tensor ? t->dim[d] : NULL;
            LLVMValueRef v = !x || dim_from_data(cg->m->dims, x) ? cg_i64(cg, -1) : cg_dim(cg, state, x), k = cg_i64(cg, at);
            LLVMBuildStore(cg->b, v, LLVMBuildGEP2(cg->b, cg->i64, LLVMGetParam(fn, 1), &k, 1, ""));
        }
    }
    LLVMBuildRetVoid(cg->b);
    return fn;
}

void gen_descriptor(Codegen *cg, LLVMValueRef run)
{
    Module *m = cg->m;
    Symbols sym = input_symbols(cg);
    Node *ret = graph_return(m->graph);
    int nin = graph_inputs(m->graph, NULL, 0);
    Value **in = ARENA_ARRAY(cg->arena, Value *, nin + 1), **out = ARENA_ARRAY(cg->arena, Value *, ret->nin + 1);
    graph_inputs(m->graph, in, nin);
    for (int i = 0; i < ret->nin; i++)
        out[i] = node_in(ret, i);
    const StrVec *names = &NODE_ATTR(ret, return)->names;
    LLVMValueRef *symbols = ARENA_ARRAY(cg->arena, LLVMValueRef, sym.n + 1);
    for (int i = 0; i < sym.n; i++)
        symbols[i] = text(cg, dim_symbol_at(m->dims, sym.index[i])->name);
    LLVMValueRef f[] = {
        word(cg, INGOT_ABI_MAGIC), word(cg, INGOT_ABI_VERSION), text(cg, m->name), text(cg, "ingot " INGOT_VERSION), text(cg, cg->target.triple),
        text(cg, cg->target.required_features ? cg->target.required_features : ""), word(cg, nin), word(cg, ret->nin), word(cg, sym.n),
        word(cg, cg->decodes_images ? INGOT_DECODES_IMAGES : 0),
        port_list(cg, &sym, nin, in, NULL), port_list(cg, &sym, ret->nin, out, names->n == ret->nin ? names->v : NULL),
        array(cg, cg->ptr, sym.n, symbols, "symbols"), cg_i64(cg, (int64_t)weights_bytes(cg->weights)),
        workspace_function(cg, &sym), dims_function(cg, &sym, ret), run,
    };
    LLVMValueRef init = LLVMConstStructInContext(cg->llvm, f, sizeof f / sizeof *f, false);
    LLVMValueRef g = LLVMAddGlobal(cg->mod, LLVMTypeOf(init), arena_printf(cg->arena, "%s_ingot_model", m->name));
    LLVMSetInitializer(g, init);
    LLVMSetGlobalConstant(g, true);
}
