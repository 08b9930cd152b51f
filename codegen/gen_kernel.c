/* gen_kernel.c -- the call of an irregular kernel (runtime/kernels) from NAME_run.
 *
 *      attribute words, dims            i64 arrays: constants where the model fixes them, else on the stack
 *      KTensor in[nin], out[nout]       on the stack
 *      KCall                            on the stack; status = k_<op>(&call)
 *
 * Symbols that the kernel itself decides (how many boxes survive) have their upper bound while it runs: results are made for it, as in the
 * evaluator. Afterwards the actual sizes are read back from the results' dims.
 */
#include "gen.h"
#include "kernel.h"
#include "kernel_args.h"

enum { KT_DATA, KT_DTYPE, KT_RANK, KT_DIM };

typedef struct KernelCall {
    Codegen *cg;
    const Node *n;
    LLVMValueRef context;
    LLVMTypeRef tensor_type, call_type;
} KernelCall;

static LLVMValueRef symbol_slot(const KernelCall *k, Dim sym)
{
    LLVMValueRef at = cg_i64(k->cg, sym->k + 1);            /* word 0 of the context is the error */
    return LLVMBuildGEP2(k->cg->b, k->cg->i64, k->context, &at, 1, "");
}

static bool assume_bounds(const KernelCall *k)
{
    Module *m = k->cg->m;
    DimVec def = node_defined_symbols(k->n);
    for (int i = 0; i < def.n; i++) {
        Dim bound = dim_upper(m->dims, def.v[i]);
        if (!bound)
            return diag_error(m->diag, k->n->loc, "the size %s has no upper bound", dim_print(m->dims, m->arena, def.v[i]));
        LLVMBuildStore(k->cg->b, cg_dim(k->cg, k->context, bound), symbol_slot(k, def.v[i]));
    }
    return true;
}

/* ---- arrays of numbers ---- */

static LLVMValueRef words_constant(Codegen *cg, int n, const Dim *word)
{
    LLVMValueRef *v = ARENA_ARRAY(cg->arena, LLVMValueRef, n);
    for (int i = 0; i < n; i++)
        v[i] = cg_i64(cg, word[i]->k);
    LLVMValueRef init = LLVMConstArray2(cg->i64, v, (uint64_t)n), g = LLVMAddGlobal(cg->mod, LLVMTypeOf(init), "words");
    LLVMSetInitializer(g, init);
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    return g;
}

static LLVMValueRef words_on_stack(const KernelCall *k, int n, const Dim *word)
{
    Codegen *cg = k->cg;
    LLVMValueRef array = cg_variable(cg, LLVMGetUndef(LLVMArrayType2(cg->i64, (uint64_t)n)));
    for (int i = 0; i < n; i++)
        LLVMBuildStore(cg->b, cg_dim(cg, k->context, word[i]), cg_gep(cg, array, DT_i64, cg_i64(cg, i)));
    return array;
}

static LLVMValueRef words(const KernelCall *k, int n, const Dim *word, bool writable)
{
    bool fixed = !writable;
    for (int i = 0; i < n; i++)
        fixed &= dim_is_const(word[i]);
    if (!n)
        return LLVMConstNull(k->cg->ptr);
    return fixed ? words_constant(k->cg, n, word) : words_on_stack(k, n, word);
}

/* ---- tensors ---- */

static void set_field(Codegen *cg, LLVMTypeRef type, LLVMValueRef base, unsigned field, LLVMValueRef v)
{
    LLVMBuildStore(cg->b, v, LLVMBuildStructGEP2(cg->b, type, base, field, ""));
}

static LLVMValueRef k32(Codegen *cg, int64_t x)
{
    return LLVMConstInt(cg->i32, (unsigned long long)x, true);
}

static LLVMValueRef tensor_at(const KernelCall *k, LLVMValueRef list, int i)
{
    LLVMValueRef at = cg_i64(k->cg, i);
    return LLVMBuildGEP2(k->cg->b, k->tensor_type, list, &at, 1, "");
}

/* value NULL: an absent operand. */
static void set_tensor(const KernelCall *k, LLVMValueRef to, const Value *value, LLVMValueRef data, bool result)
{
    Codegen *cg = k->cg;
    const Type none = { .kind = TY_TENSOR }, *t = value ? &value->type : &none;
    set_field(cg, k->tensor_type, to, KT_DATA, data);
    set_field(cg, k->tensor_type, to, KT_DTYPE, k32(cg, dtype_table[t->dtype].onnx));
    set_field(cg, k->tensor_type, to, KT_RANK, k32(cg, t->rank));
    set_field(cg, k->tensor_type, to, KT_DIM, words(k, t->rank, t->dim, result));
}

static LLVMValueRef tensor_list(const KernelCall *k, int n)
{
    return cg_variable(k->cg, LLVMGetUndef(LLVMArrayType2(k->tensor_type, (uint64_t)n)));
}

/* A size that the kernel decided stands in the dims of some result. */
static void read_sizes(const KernelCall *k, LLVMValueRef out)
{
    Codegen *cg = k->cg;
    DimVec def = node_defined_symbols(k->n);
    for (int i = 0; i < def.n; i++)
        for (int o = 0; o < k->n->nout; o++) {
            const Type *t = &k->n->out[o].type;
            LLVMValueRef dims = LLVMBuildLoad2(cg->b, cg->ptr, LLVMBuildStructGEP2(cg->b, k->tensor_type, tensor_at(k, out, o), KT_DIM, ""), "");
            for (int d = 0; d < t->rank; d++)
                if (t->dim[d] == def.v[i])
                    LLVMBuildStore(cg->b, LLVMBuildLoad2(cg->b, cg->i64, cg_gep(cg, dims, DT_i64, cg_i64(cg, d)), ""), symbol_slot(k, def.v[i]));
        }
}

/* KTensor and KCall of kernel.h. */
static void define_types(KernelCall *k)
{
    LLVMTypeRef p = k->cg->ptr, w = k->cg->i32;
    k->tensor_type = LLVMStructTypeInContext(k->cg->llvm, (LLVMTypeRef[]){ p, w, w, p }, 4, false);
    k->call_type = LLVMStructTypeInContext(k->cg->llvm, (LLVMTypeRef[]){ p, p, p, p, w, w, p, p, p, p }, 10, false);
}

static LLVMValueRef call_with(const KernelCall *k, LLVMValueRef fn, const LLVMValueRef *field, unsigned n)
{
    Codegen *cg = k->cg;
    LLVMValueRef call = cg_variable(cg, LLVMGetUndef(k->call_type));
    for (unsigned i = 0; i < n; i++)
        set_field(cg, k->call_type, call, i, field[i]);
    return LLVMBuildCall2(cg->b, LLVMFunctionType(cg->i32, &cg->ptr, 1, false), fn, &call, 1, "status");
}

LLVMValueRef gen_export_call(Codegen *cg, LLVMValueRef value, LLVMValueRef output, LLVMValueRef memory)
{
    KernelCall k = { .cg = cg };
    define_types(&k);
    LLVMValueRef fn = cg_kernel_function(cg, "k_export"), null = LLVMConstNull(cg->ptr);
    if (!fn)
        return NULL;
    LLVMValueRef in = tensor_list(&k, 1), out = tensor_list(&k, 1);
    set_field(cg, k.tensor_type, in, KT_DATA, value);
    set_field(cg, k.tensor_type, out, KT_DATA, output);
    LLVMValueRef field[] = { in, out, null, null, k32(cg, 1), k32(cg, 1), null, null, null, memory };
    return call_with(&k, fn, field, sizeof field / sizeof *field);
}

LLVMValueRef gen_kernel_call(Codegen *cg, const Node *n, LLVMValueRef context, const LLVMValueRef *data, KernelMeans means)
{
    KernelCall k = { .cg = cg, .n = n, .context = context };
    define_types(&k);
    LLVMValueRef fn = cg_kernel_function(cg, arena_printf(cg->arena, "k_%s", op_name(n->op)));
    if (!fn) {
        diag_error(cg->m->diag, n->loc, "%s has no code for %s in this compiler", op_name(n->op), cg->target.family);
        return NULL;
    }
    if (!assume_bounds(&k))
        return NULL;
    DimVec attr = kernel_attr_words(cg->m, cg->arena, n);
    LLVMValueRef in = tensor_list(&k, n->nin), out = tensor_list(&k, n->nout);
    for (int i = 0; i < n->nin; i++)
        set_tensor(&k, tensor_at(&k, in, i), node_in(n, i), data[i], false);
    for (int i = 0; i < n->nout; i++)
        set_tensor(&k, tensor_at(&k, out, i), &n->out[i], data[n->nin + i], true);
    LLVMValueRef field[] = { in, out, words(&k, attr.n, attr.v, false), means.scratch, k32(cg, n->nin), k32(cg, n->nout),
                             means.share, means.pool, means.decode_image, means.memory };
    LLVMValueRef status = call_with(&k, fn, field, sizeof field / sizeof *field);
    read_sizes(&k, out);
    return status;
}

LLVMValueRef gen_kernel_sentence(Codegen *cg, LLVMValueRef status)
{
    static const struct { int number; const char *sentence; } error[] = {
#define KERROR(name, number, sentence) { number, sentence },
#include "errors.def"
#undef KERROR
    };
    LLVMValueRef said = LLVMConstNull(cg->ptr);
    for (size_t i = 0; i < sizeof error / sizeof *error; i++) {
        LLVMValueRef is = LLVMBuildICmp(cg->b, LLVMIntEQ, status, k32(cg, error[i].number), "");
        said = LLVMBuildSelect(cg->b, is, LLVMBuildGlobalStringPtr(cg->b, error[i].sentence, "problem"), said, "");
    }
    return said;
}

LLVMValueRef gen_kernel_failure(Codegen *cg, LLVMValueRef status)
{
    LLVMValueRef is = LLVMBuildICmp(cg->b, LLVMIntEQ, status, k32(cg, K_NO_MEMORY), "");
    return LLVMBuildSelect(cg->b, is, k32(cg, INGOT_ERR_MEMORY), k32(cg, INGOT_ERR_DATA), "");
}
