/* gen_run.c -- NAME_run: checks the caller's tensors, computes the symbols, calls the kernels in order.
 *
 *     int NAME_run(const ingot_call *call)
 *         args  : what each kernel is called with, on the stack
 *         state : { i64 error; i64 sym[]; } on the stack, the `context` of every kernel
 *         any problem stores a status and a sentence and goes to `fail`; both ways heap blocks are released
 *
 * Reading guide: gen_module at the bottom; run_node sends every op to its place; launch_kernel makes (or finds) the kernel of a node.
 */
#include "run.h"
#include "low_bit_code.h"
#include "kernel_args.h"
#include "concat_part.h"
#include "scratch.h"

#include "ingot_abi.h"

#include <stdio.h>
#include <string.h>

/* Index of each field in ingot_call and ingot_tensor (ingot_abi.h). */
enum { CALL_INPUT, CALL_OUTPUT, CALL_WORKSPACE, CALL_WORKSPACE_BYTES, CALL_PARALLEL_FOR, CALL_POOL, CALL_ALLOCATE, CALL_RELEASE, CALL_ALLOC_CTX,
       CALL_ERROR, CALL_ERROR_BYTES, CALL_DECODE_IMAGE };
enum { TENSOR_DATA, TENSOR_DTYPE, TENSOR_RANK, TENSOR_DIM, TENSOR_STRIDE };

enum { PARALLEL_WORTH = 16 * 1024 };        /* scalar operations below which sharing costs more than it gives */

struct KernelCache {
    int n, room;
    struct Kernel { const char *key; LLVMValueRef fn; Work work; const Beats *beats; } *item;
};

/* ---- fields ---- */

static LLVMValueRef field(Run *r, LLVMTypeRef type, LLVMValueRef base, unsigned i, LLVMTypeRef as)
{
    return LLVMBuildLoad2(r->cg->b, as, LLVMBuildStructGEP2(r->cg->b, type, base, i, ""), "");
}

static LLVMValueRef call_field(Run *r, unsigned i, LLVMTypeRef as)
{
    return field(r, r->call_type, r->call, i, as);
}

static LLVMValueRef tensor_at(Run *r, unsigned list, int i)
{
    LLVMValueRef base = call_field(r, list, r->cg->ptr), at = cg_i64(r->cg, i);
    return LLVMBuildGEP2(r->cg->b, r->tensor_type, base, &at, 1, "");
}

static LLVMValueRef dim_slot(Run *r, LLVMValueRef tensor, int d)
{
    LLVMValueRef path[] = { LLVMConstInt(r->cg->i32, 0, false), LLVMConstInt(r->cg->i32, TENSOR_DIM, false), LLVMConstInt(r->cg->i32, (unsigned)d, false) };
    return LLVMBuildGEP2(r->cg->b, r->tensor_type, tensor, path, 3, "");
}

LLVMValueRef run_symbol_slot(Run *r, int64_t sym)
{
    LLVMValueRef at = cg_i64(r->cg, sym + 1);
    return LLVMBuildGEP2(r->cg->b, r->cg->i64, r->state, &at, 1, "");
}

/* ---- problems ---- */

static void require(Run *r, LLVMValueRef ok, LLVMValueRef variable, LLVMValueRef status, const char *sentence)
{
    Codegen *cg = r->cg;
    LLVMBasicBlockRef bad = cg_block(cg, "bad"), good = cg_block(cg, "good");
    LLVMBuildCondBr(cg->b, ok, good, bad);
    LLVMPositionBuilderAtEnd(cg->b, bad);
    cg_set(cg, variable, status);
    cg_set(cg, r->message, LLVMBuildGlobalStringPtr(cg->b, sentence, "message"));
    LLVMBuildBr(cg->b, r->fail);
    LLVMPositionBuilderAtEnd(cg->b, good);
}

void run_require(Run *r, LLVMValueRef ok, int status, const char *sentence)
{
    require(r, ok, r->status, LLVMConstInt(r->cg->i32, (unsigned)status, false), sentence);
}

const char *run_label(Run *r, const Node *n)
{
    return n->loc.node && n->loc.node[0] ? n->loc.node : arena_printf(r->cg->arena, "%s %u", op_name(n->op), n->id);
}

/* ---- inputs, symbols, outputs ---- */

static LLVMValueRef equals(Run *r, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(r->cg->b, LLVMIntEQ, a, b, "");
}

static int32_t container_code(const Type *t)
{
    return t->kind == TY_SEQUENCE ? INGOT_SEQUENCE : t->kind == TY_OPTIONAL ? INGOT_OPTIONAL : INGOT_MAP;
}

/* What is in a container is looked at when it is taken out. */
static void check_container(Run *r, const Value *v, int i)
{
    Codegen *cg = r->cg;
    LLVMValueRef tensor = tensor_at(r, CALL_INPUT, i), code = LLVMConstInt(cg->i32, (unsigned)container_code(&v->type), false);
    LLVMValueRef ok = LLVMBuildAnd(cg->b, equals(r, field(r, r->tensor_type, tensor, TENSOR_DTYPE, cg->i32), code),
                                   equals(r, field(r, r->tensor_type, tensor, TENSOR_STRIDE, cg->ptr), LLVMConstNull(cg->ptr)), "");
    run_require(r, ok, INGOT_ERR_ARGUMENT, arena_printf(cg->arena, "input '%s': %s is needed", v->name ? v->name : "", type_print(cg->m, cg->arena, &v->type)));
}

static void check_input(Run *r, const Value *v, int i, bool *known)
{
    Codegen *cg = r->cg;
    if (v->type.kind != TY_TENSOR) {
        check_container(r, v, i);
        return;
    }
    const Type *t = &v->type;
    const char *name = v->name ? v->name : "", *want = type_print(cg->m, cg->arena, t);
    LLVMValueRef tensor = tensor_at(r, CALL_INPUT, i);
    LLVMValueRef dtype = LLVMConstInt(cg->i32, (unsigned)dtype_table[t->dtype].onnx, false), rank = LLVMConstInt(cg->i32, (unsigned)t->rank, false);
    LLVMValueRef ok = LLVMBuildAnd(cg->b, equals(r, field(r, r->tensor_type, tensor, TENSOR_DTYPE, cg->i32), dtype),
                                   equals(r, field(r, r->tensor_type, tensor, TENSOR_RANK, cg->i32), rank), "");
    run_require(r, ok, INGOT_ERR_ARGUMENT, arena_printf(cg->arena, "input '%s': wrong element type or rank, expected %s", name, want));
    for (int d = 0; d < t->rank; d++) {
        LLVMValueRef size = LLVMBuildLoad2(cg->b, cg->i64, dim_slot(r, tensor, d), "");
        Dim dim = t->dim[d];
        if (dim->op == DIM_SYM && !known[dim->k]) {
            known[dim->k] = true;
            ok = LLVMBuildICmp(cg->b, LLVMIntSGE, size, cg_i64(cg, 0), "");
            LLVMBuildStore(cg->b, size, run_symbol_slot(r, dim->k));
        } else {
            ok = equals(r, size, cg_dim(cg, r->state, dim));
        }
        run_require(r, ok, INGOT_ERR_ARGUMENT, arena_printf(cg->arena, "input '%s': wrong size of dim %d, expected %s", name, d, want));
    }
    LLVMValueRef data = field(r, r->tensor_type, tensor, TENSOR_DATA, cg->ptr), stride = field(r, r->tensor_type, tensor, TENSOR_STRIDE, cg->ptr);
    LLVMValueRef null = LLVMConstNull(cg->ptr), count = cg_dim(cg, r->state, type_count_dim(cg->m, t));
    ok = LLVMBuildOr(cg->b, LLVMBuildICmp(cg->b, LLVMIntNE, data, null, ""), equals(r, count, cg_i64(cg, 0)), "");
    run_require(r, ok, INGOT_ERR_ARGUMENT, arena_printf(cg->arena, "input '%s': no data", name));
    run_require(r, equals(r, stride, null), INGOT_ERR_ARGUMENT, arena_printf(cg->arena, "input '%s': strides are not taken here, the data must be contiguous", name));
}

/* An input shorter than a window would make sizes negative. */
static void check_sizes(Run *r)
{
    for (int i = 0; i < r->noutputs; i++)
        for (int d = 0; d < r->outputs[i]->type.rank; d++) {
            Dim x = r->outputs[i]->type.dim[d];
            if (dim_nonneg(x) || dim_from_data(r->cg->m->dims, x))
                continue;
            LLVMValueRef ok = LLVMBuildICmp(r->cg->b, LLVMIntSGE, cg_dim(r->cg, r->state, x), cg_i64(r->cg, 0), "");
            const char *name = r->outputs[i]->name ? r->outputs[i]->name : "";
            run_require(r, ok, INGOT_ERR_ARGUMENT, arena_printf(r->cg->arena, "the inputs are too small: dim %d of output '%s' (%s) would be negative", d, name,
                                                            dim_print(r->cg->m->dims, r->cg->arena, x)));
        }
}

static void check_workspace(Run *r)
{
    Codegen *cg = r->cg;
    LLVMValueRef need = cg_dim(cg, r->state, cg->m->arena_bytes), have = call_field(r, CALL_WORKSPACE_BYTES, cg->i64);
    LLVMValueRef none = equals(r, need, cg_i64(cg, 0)), fits = LLVMBuildICmp(cg->b, LLVMIntUGE, have, need, "");
    run_require(r, LLVMBuildOr(cg->b, none, fits, ""), INGOT_ERR_WORKSPACE, "the workspace is too small");
    LLVMValueRef given = LLVMBuildICmp(cg->b, LLVMIntNE, r->workspace, LLVMConstNull(cg->ptr), "");
    LLVMValueRef low = LLVMBuildAnd(cg->b, LLVMBuildPtrToInt(cg->b, r->workspace, cg->i64, ""), cg_i64(cg, 63), "");
    LLVMValueRef aligned = LLVMBuildAnd(cg->b, given, equals(r, low, cg_i64(cg, 0)), "");
    run_require(r, LLVMBuildOr(cg->b, none, aligned, ""), INGOT_ERR_WORKSPACE, "the workspace is missing or not aligned to 64 bytes");
}

LLVMValueRef run_allocate(Run *r, LLVMValueRef bytes, const char *what)
{
    Codegen *cg = r->cg;
    LLVMTypeRef type = LLVMFunctionType(cg->ptr, (LLVMTypeRef[]){ cg->ptr, cg->i64 }, 2, false);
    LLVMValueRef fn = call_field(r, CALL_ALLOCATE, cg->ptr), null = LLVMConstNull(cg->ptr);
    run_require(r, LLVMBuildICmp(cg->b, LLVMIntNE, fn, null, ""), INGOT_ERR_MEMORY, arena_printf(cg->arena, "%s: there is no buffer and no allocate function", what));
    LLVMValueRef some = LLVMBuildOr(cg->b, bytes, cg_i64(cg, 1), "");
    LLVMValueRef p = LLVMBuildCall2(cg->b, type, fn, (LLVMValueRef[]){ call_field(r, CALL_ALLOC_CTX, cg->ptr), some }, 2, "");
    run_require(r, LLVMBuildICmp(cg->b, LLVMIntNE, p, null, ""), INGOT_ERR_MEMORY, arena_printf(cg->arena, "%s: out of memory", what));
    return p;
}

void run_release(Run *r, LLVMValueRef p)
{
    Codegen *cg = r->cg;
    LLVMTypeRef type = LLVMFunctionType(cg->void_t, (LLVMTypeRef[]){ cg->ptr, cg->ptr }, 2, false);
    LLVMValueRef fn = call_field(r, CALL_RELEASE, cg->ptr), null = LLVMConstNull(cg->ptr);
    LLVMValueRef live = LLVMBuildAnd(cg->b, LLVMBuildICmp(cg->b, LLVMIntNE, p, null, ""), LLVMBuildICmp(cg->b, LLVMIntNE, fn, null, ""), "");
    Branch b = branch_begin(cg, live);
    LLVMBuildCall2(cg->b, type, fn, (LLVMValueRef[]){ call_field(r, CALL_ALLOC_CTX, cg->ptr), p }, 2, "");
    branch_else(cg, &b);
    branch_end(cg, &b);
}

/* Room for a value: data symbols count with their upper bounds where they have one. */
static LLVMValueRef room_for(Run *r, const Type *t)
{
    Module *m = r->cg->m;
    Dim bytes = type_bytes_dim(m, t), upper = dim_upper(m->dims, bytes);
    return cg_dim(r->cg, r->state, upper ? upper : bytes);
}

static void open_output(Run *r, int i)
{
    Codegen *cg = r->cg;
    LLVMValueRef data = field(r, r->tensor_type, tensor_at(r, CALL_OUTPUT, i), TENSOR_DATA, cg->ptr);
    const char *name = r->outputs[i]->name ? r->outputs[i]->name : "";
    cg_set(cg, r->output[i], data);
    Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntEQ, data, LLVMConstNull(cg->ptr), ""));
    LLVMValueRef fresh = run_allocate(r, room_for(r, &r->outputs[i]->type), arena_printf(cg->arena, "output '%s'", name));
    cg_set(cg, r->output[i], fresh);
    LLVMBuildStore(cg->b, fresh, LLVMBuildStructGEP2(cg->b, r->tensor_type, tensor_at(r, CALL_OUTPUT, i), TENSOR_DATA, ""));
    branch_else(cg, &b);
    branch_end(cg, &b);
    r->output_ready[i] = true;
}

static bool is_exported(const Value *v)
{
    return v->type.kind != TY_TENSOR || v->type.dtype == DT_str;
}

/* An output that points to more memory gets a block for itself and all of that. */
static void export_output(Run *r, int i)
{
    Codegen *cg = r->cg;
    LLVMValueRef status = gen_export_call(cg, run_pointer(r, r->outputs[i]), tensor_at(r, CALL_OUTPUT, i), r->memory);
    const char *name = r->outputs[i]->name ? r->outputs[i]->name : "";
    if (status)
        run_require(r, equals(r, status, LLVMConstInt(cg->i32, 0, false)), INGOT_ERR_MEMORY, arena_printf(cg->arena, "output '%s': out of memory", name));
}

static void describe_output(Run *r, int i)
{
    Codegen *cg = r->cg;
    const Type *t = &r->outputs[i]->type;
    LLVMValueRef tensor = tensor_at(r, CALL_OUTPUT, i);
    int32_t code = t->kind == TY_TENSOR ? dtype_table[t->dtype].onnx : container_code(t);
    LLVMBuildStore(cg->b, LLVMConstInt(cg->i32, (unsigned)code, false), LLVMBuildStructGEP2(cg->b, r->tensor_type, tensor, TENSOR_DTYPE, ""));
    LLVMBuildStore(cg->b, LLVMConstInt(cg->i32, (unsigned)t->rank, false), LLVMBuildStructGEP2(cg->b, r->tensor_type, tensor, TENSOR_RANK, ""));
    for (int d = 0; d < t->rank; d++)
        LLVMBuildStore(cg->b, cg_dim(cg, r->state, t->dim[d]), dim_slot(r, tensor, d));
}

/* ---- where values are ---- */

static LLVMValueRef weight_pointer(Run *r, uint64_t offset)
{
    return cg_gep_bytes(r->cg, cg_weights_base(r->cg), cg_i64(r->cg, (int64_t)offset));
}

static LLVMValueRef storage_pointer(Run *r, const Storage *s, const Value *v)
{
    Codegen *cg = r->cg;
    switch (s->kind) {
    case ST_ARENA: return cg_gep_bytes(cg, r->workspace, cg_dim(cg, r->state, s->offset));
    case ST_INPUT:
        if (v->type.kind != TY_TENSOR)
            return tensor_at(r, CALL_INPUT, s->index);
        return field(r, r->tensor_type, tensor_at(r, CALL_INPUT, s->index), TENSOR_DATA, cg->ptr);
    case ST_OUTPUT: return cg_get(cg, r->output[s->index]);
    case ST_CONST: return cg_constant_data(cg, value_constant(v));
    case ST_ALIAS: return cg_gep(cg, storage_pointer(r, &s->of->storage, s->of), v->type.dtype, cg_i64(cg, s->index));
    case ST_HEAP: return cg_get(cg, r->heap[s->index]);
    default: cg->error = "a value without storage reached codegen"; return LLVMConstNull(cg->ptr);
    }
}

LLVMValueRef run_pointer(Run *r, const Value *v)
{
    return v ? storage_pointer(r, &v->storage, v) : LLVMConstNull(r->cg->ptr);
}

/* In a loop, the slot may still have what an earlier iteration put there. */
static void fill_slot(Run *r, int slot, LLVMValueRef bytes, const Node *n)
{
    if (r->depth)
        run_release(r, cg_get(r->cg, r->heap[slot]));
    cg_set(r->cg, r->heap[slot], LLVMConstNull(r->cg->ptr));        /* if there is no memory, nothing is released twice */
    cg_set(r->cg, r->heap[slot], run_allocate(r, bytes, run_label(r, n)));
}

/* Before a node computes v: memory that exists only from here on. */
static void prepare_result(Run *r, const Node *n, const Value *v)
{
    const Node *concat = part_of_concat(v);
    const Storage *s = concat ? &node_out(concat)->storage : &v->storage;
    if (s->kind == ST_OUTPUT && !r->output_ready[s->index])
        open_output(r, s->index);
    if (s->kind == ST_HEAP)
        fill_slot(r, s->index, room_for(r, &v->type), n);
}

/* ---- kernels ---- */

static LLVMValueRef scratch_pointer(Run *r, const Node *n)
{
    if (n->scratch.kind == ST_HEAP) {
        Dim bytes = node_scratch_bytes(r->cg->m, n);
        fill_slot(r, n->scratch.index, cg_dim(r->cg, r->state, bytes), n);
    }
    return n->scratch.kind == ST_NONE ? LLVMConstNull(r->cg->ptr) : storage_pointer(r, &n->scratch, NULL);
}

static GenFn *const anchor_generator[OP_count] = {
    [OP_reduce] = gen_reduce, [OP_arg_reduce] = gen_arg_reduce, [OP_softmax] = gen_softmax, [OP_pool] = gen_pool,
    [OP_matmul] = gen_matmul, [OP_conv] = gen_conv, [OP_conv_transpose] = gen_conv_transpose,
    [OP_recurrent] = gen_recurrent,
};

static LLVMValueRef emit_kernel(Run *r, Group *g, GenFn *gen, Work *work)
{
    Codegen *cg = r->cg;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->b);
    LLVMValueRef fn = LLVMAddFunction(cg->mod, arena_printf(cg->arena, "k%d_%s", cg->kernels->n, g->softmax ? "attention" : g->rows ? "rows" : op_name(g->anchor ? g->anchor->op : g->owner->op)), cg->kernel_type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    cg_function_attributes(cg, fn);
    LLVMPositionBuilderAtEnd(cg->b, LLVMAppendBasicBlockInContext(cg->llvm, fn, "entry"));
    group_enter(g, fn);
    DimCache *outer = dim_cache_open(cg, true);
    bool ok = gen(g, LLVMGetParam(fn, 1), LLVMGetParam(fn, 2), work);
    LLVMBuildRetVoid(cg->b);
    cg->dim_cache = outer;
    LLVMPositionBuilderAtEnd(cg->b, here);
    return ok ? fn : NULL;
}

static struct Kernel *kernel_of(Run *r, Group *g)
{
    Codegen *cg = r->cg;
    KernelCache *c = cg->kernels;
    const char *key = kernel_key(cg, g->owner);
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->item[i].key, key))
            return &c->item[i];
    GenFn *gen = g->softmax ? gen_attention : g->rows ? gen_rows : g->anchor ? anchor_generator[g->anchor->op] : gen_map;
    if (!gen) {
        diag_error(cg->m->diag, g->owner->loc, "%s cannot be compiled yet", op_name(g->anchor->op));
        return NULL;
    }
    Work work = { NULL, NULL };
    LLVMValueRef fn = emit_kernel(r, g, gen, &work);
    if (!fn)
        return NULL;
    if (c->n == c->room) {
        struct Kernel *grown = ARENA_ARRAY(cg->arena, struct Kernel, c->room ? 2 * c->room : 64);
        if (c->n)
            memcpy(grown, c->item, sizeof *grown * (size_t)c->n);
        c->item = grown, c->room = c->room ? 2 * c->room : 64;
    }
    c->item[c->n] = (struct Kernel){ key, fn, work, g->beats };
    return &c->item[c->n++];
}

static LLVMTypeRef parallel_for_type(Codegen *cg)
{
    return LLVMFunctionType(cg->void_t, (LLVMTypeRef[]){ cg->ptr, cg->ptr, cg->ptr, cg->i64 }, 4, false);
}

/* fn(args, 0, units), shared among threads. */
static void share_units(Run *r, LLVMValueRef fn, LLVMValueRef args, LLVMValueRef units)
{
    Codegen *cg = r->cg;
    LLVMValueRef share = call_field(r, CALL_PARALLEL_FOR, cg->ptr);
    LLVMBuildCall2(cg->b, parallel_for_type(cg), share, (LLVMValueRef[]){ call_field(r, CALL_POOL, cg->ptr), fn, args, units }, 4, "");
}

/* i1: there are threads, and this much work is worth sharing; NULL: never. */
static LLVMValueRef worth_sharing(Run *r, Dim units, Dim cost)
{
    Codegen *cg = r->cg;
    if (dim_is_const(units) && (units->k <= 1 || (dim_is_const(cost) && units->k * cost->k < PARALLEL_WORTH)))
        return NULL;
    LLVMValueRef total = cg_dim(cg, r->state, dim_mul(cg->m->dims, units, cost)), share = call_field(r, CALL_PARALLEL_FOR, cg->ptr);
    LLVMValueRef worth = LLVMBuildICmp(cg->b, LLVMIntSGE, total, cg_i64(cg, PARALLEL_WORTH), "");
    return LLVMBuildAnd(cg->b, worth, LLVMBuildICmp(cg->b, LLVMIntNE, share, LLVMConstNull(cg->ptr), ""), "");
}

/* Beat by beat, each shared. */
static void share_beats(Run *r, const struct Kernel *k, LLVMValueRef args, LLVMValueRef scratch)
{
    Codegen *cg = r->cg;
    Loop l = loop_begin(cg, cg_i64(cg, -1), cg_dim(cg, r->state, k->beats->count), 1, "beat");
    LLVMBuildStore(cg->b, l.index, scratch);
    share_units(r, k->beats->fn, args, cg_dim(cg, r->state, k->beats->work.units));
    loop_end(cg, &l);
}

/* In one go on this thread; where the kernel has beats and those are worth sharing, beat by beat on several. */
static void call_alone(Run *r, const struct Kernel *k, LLVMValueRef args, LLVMValueRef scratch)
{
    Codegen *cg = r->cg;
    LLVMValueRef worth = k->beats ? worth_sharing(r, k->beats->work.units, k->beats->work.cost) : NULL;
    LLVMValueRef all[] = { args, cg_i64(cg, 0), cg_dim(cg, r->state, k->work.units) };
    if (!worth) {
        LLVMBuildCall2(cg->b, cg->kernel_type, k->fn, all, 3, "");
        return;
    }
    Branch b = branch_begin(cg, worth);
    share_beats(r, k, args, scratch);
    branch_else(cg, &b);
    LLVMBuildCall2(cg->b, cg->kernel_type, k->fn, all, 3, "");
    branch_end(cg, &b);
}

/* kernel(args, 0, units), shared among threads where it is worth it. scratch: of the node, or NULL. */
static void call_kernel(Run *r, const struct Kernel *k, LLVMValueRef args, LLVMValueRef scratch)
{
    Codegen *cg = r->cg;
    LLVMValueRef worth = worth_sharing(r, k->work.units, k->work.cost);
    if (!worth) {
        call_alone(r, k, args, scratch);
        return;
    }
    if (!dim_is_const(k->work.units))               /* one unit cannot be shared */
        worth = LLVMBuildAnd(cg->b, worth, LLVMBuildICmp(cg->b, LLVMIntSGT, cg_dim(cg, r->state, k->work.units), cg_i64(cg, 1), ""), "");
    Branch b = branch_begin(cg, worth);
    share_units(r, k->fn, args, cg_dim(cg, r->state, k->work.units));
    branch_else(cg, &b);
    call_alone(r, k, args, scratch);
    branch_end(cg, &b);
}

static void launch_kernel(Run *r, const Node *n)
{
    Codegen *cg = r->cg;
    Group g;
    uint64_t packed = 0;
    struct Kernel *k = group_open(&g, cg, n) ? kernel_of(r, &g) : NULL;
    if (!k) {
        cg->error = "reported";
        return;
    }
    if (cg->opt->profile)
        cg->opt->profile->launch[cg->opt->profile->n - 1].kernel = arena_str(cg->arena, LLVMGetValueName(k->fn));
    int pack = pack_operand(&g, &packed), nargs = n->nin + n->nout + 2;
    LLVMValueRef args = cg_variable(cg, LLVMGetUndef(LLVMArrayType2(cg->ptr, (uint64_t)nargs))), scratch = scratch_pointer(r, n);
    for (int i = 0; i < nargs; i++) {
        LLVMValueRef at = cg_i64(cg, i), p;
        double uniform;
        if (i == n->nin + n->nout)
            p = r->state;
        else if (i > n->nin + n->nout)
            p = scratch;
        else if (i >= n->nin)
            p = run_pointer(r, &n->out[i - n->nin]);
        else if (i == pack)
            p = weight_pointer(r, packed);
        else if (low_bit_has(&g, i))
            p = LLVMConstNull(cg->ptr);             /* packed with the codes */
        else if (node_in(n, i) && value_scalar_f64(node_in(n, i), &uniform) && !operand_read_plain(&g, i))
            p = LLVMConstNull(cg->ptr);             /* an immediate in the kernel */
        else
            p = run_pointer(r, node_in(n, i));
        LLVMBuildStore(cg->b, p, LLVMBuildGEP2(cg->b, cg->ptr, args, &at, 1, ""));
    }
    call_kernel(r, k, args, scratch);
}

/* ---- irregular ops ---- */

/* Of whoever runs the model; it is an error if there is none. */
static LLVMValueRef image_decoder(Run *r, const Node *n)
{
    LLVMValueRef decoder = call_field(r, CALL_DECODE_IMAGE, r->cg->ptr);
    const char *say = arena_printf(r->cg->arena, "node '%s': an image must be decoded, but whoever runs the model gave no decoder (ingot_set_image_decoder)",
                                   run_label(r, n));
    r->cg->decodes_images = true;
    run_require(r, LLVMBuildICmp(r->cg->b, LLVMIntNE, decoder, LLVMConstNull(r->cg->ptr), ""), INGOT_ERR_ARGUMENT, say);
    return decoder;
}

static void call_irregular(Run *r, const Node *n)
{
    Codegen *cg = r->cg;
    LLVMValueRef data[MAX_OPERANDS * 2];
    if (n->nin + n->nout > MAX_OPERANDS * 2) {
        diag_error(cg->m->diag, n->loc, "%s with %d operands is not supported", op_name(n->op), n->nin);
        cg->error = "reported";
        return;
    }
    for (int i = 0; i < n->nin; i++)
        data[i] = run_pointer(r, node_in(n, i));
    for (int i = 0; i < n->nout; i++)
        data[n->nin + i] = run_pointer(r, &n->out[i]);
    bool image = n->op == OP_image_size || n->op == OP_image_decode;
    LLVMValueRef null = LLVMConstNull(cg->ptr);
    KernelMeans means = { scratch_pointer(r, n), call_field(r, CALL_PARALLEL_FOR, cg->ptr), call_field(r, CALL_POOL, cg->ptr),
                          image ? image_decoder(r, n) : null, r->memory ? r->memory : null };
    LLVMValueRef status = gen_kernel_call(cg, n, r->state, data, means);
    if (!status)
        return;
    const char *say = arena_printf(cg->arena, "node '%s' (%s): ", run_label(r, n), op_name(n->op));
    require(r, equals(r, status, LLVMConstInt(cg->i32, 0, false)), r->kernel_status, status, say);
}

/* ---- instrumented code, see CompileOptions.profile ---- */

static void profile_mark(Run *r, int64_t launch)
{
    Codegen *cg = r->cg;
    LLVMValueRef null = LLVMConstNull(cg->ptr), args[] = { call_field(r, CALL_POOL, cg->ptr), null, null, cg_i64(cg, launch) };
    LLVMBuildCall2(cg->b, parallel_for_type(cg), call_field(r, CALL_PARALLEL_FOR, cg->ptr), args, 4, "");
}

static void profile_launch(Run *r, const Node *n)
{
    Profile *p = r->cg->opt->profile;
    if (!p)
        return;
    if (p->n == p->room) {
        Launch *grown = ARENA_ARRAY(r->cg->arena, Launch, p->room ? 2 * p->room : 64);
        if (p->n)
            memcpy(grown, p->launch, sizeof *grown * (size_t)p->n);
        p->launch = grown, p->room = p->room ? 2 * p->room : 64;
    }
    profile_mark(r, p->n);
    p->launch[p->n++] = (Launch){ n, arena_printf(r->cg->arena, "k_%s", op_name(n->op)) };
}

/* ---- nodes ---- */

static void run_from_dims(Run *r, const Node *n)
{
    const Attr_from_dims *a = NODE_ATTR(n, from_dims);
    LLVMValueRef p = run_pointer(r, node_out(n));
    for (int i = 0; i < a->dims.n; i++)
        LLVMBuildStore(r->cg->b, cg_dim(r->cg, r->state, a->dims.v[i]), cg_gep(r->cg, p, DT_i64, cg_i64(r->cg, i)));
}

static void run_bind(Run *r, const Node *n)
{
    Codegen *cg = r->cg;
    const Attr_bind *a = NODE_ATTR(n, bind);
    DType t = node_in(n, 0)->type.dtype;
    LLVMValueRef p = run_pointer(r, node_in(n, 0));
    for (int i = 0; i < a->syms.n; i++) {
        LLVMValueRef raw = LLVMBuildLoad2(cg->b, cg_storage_type(cg, t, 1), cg_gep(cg, p, t, cg_i64(cg, i)), "");
        LLVMValueRef v = LLVMBuildIntCast2(cg->b, raw, cg->i64, dtype_is_signed(t), "");
        LLVMBuildStore(cg->b, v, run_symbol_slot(r, a->syms.v[i]->k));
    }
}

static void run_check(Run *r, const Node *n)
{
    const Attr_check *a = NODE_ATTR(n, check);
    for (int i = 0; i < a->left.n; i++) {
        LLVMValueRef same = equals(r, cg_dim(r->cg, r->state, a->left.v[i]), cg_dim(r->cg, r->state, a->right.v[i]));
        if (a->or_one)
            same = LLVMBuildOr(r->cg->b, same, equals(r, cg_dim(r->cg, r->state, a->left.v[i]), cg_i64(r->cg, 1)), "");
        run_require(r, same, INGOT_ERR_DATA, arena_printf(r->cg->arena, "node '%s': %s", run_label(r, n), a->message ? a->message : "sizes differ"));
    }
}

static void run_if(Run *r, const Node *n)
{
    Codegen *cg = r->cg;
    const Attr_if *a = NODE_ATTR(n, if);
    LLVMValueRef cond = LLVMBuildLoad2(cg->b, cg->i8, run_pointer(r, node_in(n, 0)), "");
    Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntNE, cond, LLVMConstInt(cg->i8, 0, false), ""));
    bool *before = arena_copy(cg->arena, r->output_ready, sizeof(bool) * (size_t)r->noutputs);
    run_graph(r, a->then_graph);
    branch_else(cg, &b);
    memcpy(r->output_ready, before, sizeof(bool) * (size_t)r->noutputs);   /* what the other branch opened is not open here */
    run_graph(r, a->else_graph);
    branch_end(cg, &b);
}

/* The file has the bytes of all strings in a row, and where each begins; the pointers are made here. */
static void run_constant(Run *r, const Node *n)
{
    Codegen *cg = r->cg;
    const Tensor *t = node_out(n)->type.dtype == DT_str ? tensor_dense(cg->arena, NODE_ATTR(n, constant)->value) : NULL;
    if (!t)
        return;
    int64_t ends = t->count + 1, bytes = 0;
    const ingot_string *s = t->data;
    Tensor *offset = tensor_new(cg->arena, DT_i64, 1, &ends);
    for (int64_t i = 0; i < t->count; bytes += (int64_t)s[i++].bytes)
        ((int64_t *)(uintptr_t)offset->data)[i] = bytes;
    ((int64_t *)(uintptr_t)offset->data)[t->count] = bytes;
    Tensor *text = tensor_new(cg->arena, DT_u8, 1, &bytes);
    for (int64_t i = 0; i < t->count; i++)
        memcpy((char *)(uintptr_t)text->data + ((const int64_t *)offset->data)[i], s[i].u.data, s[i].bytes);
    LLVMValueRef base = cg_constant_data(cg, text), at = cg_constant_data(cg, offset), to = run_pointer(r, node_out(n));
    Loop l = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, t->count), 1, "string");
    LLVMValueRef from = LLVMBuildLoad2(cg->b, cg->i64, cg_gep(cg, at, DT_i64, l.index), "");
    LLVMValueRef end = LLVMBuildLoad2(cg->b, cg->i64, cg_gep(cg, at, DT_i64, LLVMBuildAdd(cg->b, l.index, cg_i64(cg, 1), "")), "");
    LLVMValueRef element = cg_gep(cg, to, DT_str, l.index), address = LLVMBuildPtrToInt(cg->b, cg_gep_bytes(cg, base, from), cg->i64, "");
    LLVMBuildStore(cg->b, address, element);            /* zero-extended: `pad` of ingot_string */
    LLVMBuildStore(cg->b, LLVMBuildSub(cg->b, end, from, ""), cg_gep_bytes(cg, element, cg_i64(cg, 8)));
    loop_end(cg, &l);
}

typedef void RunFn(Run *r, const Node *n);
static void run_nothing(Run *r, const Node *n) { (void)r; (void)n; }

static RunFn *const runner[OP_count] = {
    [OP_input] = run_nothing, [OP_constant] = run_constant, [OP_return] = run_nothing, [OP_reshape] = run_nothing,
    [OP_from_dims] = run_from_dims, [OP_bind] = run_bind, [OP_check] = run_check, [OP_if] = run_if,
    [OP_loop] = run_loop,
};

/* Who runs the node; NULL: its kernel. */
static RunFn *runner_of(const Node *n)
{
    bool written = n->op == OP_concat && part_of_concat(node_in(n, 0)) == n;       /* by the producers of its operands */
    return written ? run_nothing : runner[n->op];
}

void run_graph(Run *r, const Graph *g)
{
    FOR_EACH_NODE(n, g) {
        bool prepared = n->op == OP_input || n->op == OP_if || n->op == OP_loop;    /* by whoever gives it: a branch, the loop itself */
        for (int i = 0; i < n->nout && !prepared; i++)
            prepare_result(r, n, &n->out[i]);
        RunFn *run = runner_of(n);
        if (!run)
            profile_launch(r, n);
        run = run ? run : op_table[n->op].flags & OPF_KERNEL ? call_irregular : launch_kernel;
        run(r, n);
    }
}

/* ---- the function ---- */

static void define_types(Run *r)
{
    Codegen *cg = r->cg;
    LLVMTypeRef p = cg->ptr, dims = LLVMArrayType2(cg->i64, INGOT_MAX_RANK);
    r->tensor_type = LLVMStructTypeInContext(cg->llvm, (LLVMTypeRef[]){ p, cg->i32, cg->i32, dims, p }, 5, false);
    r->call_type = LLVMStructTypeInContext(cg->llvm, (LLVMTypeRef[]){ p, p, p, cg->i64, p, p, p, p, p, p, cg->i64, p }, 12, false);
}

/* ---- what kernels keep until the run ends ---- */

enum { MEMORY_ALLOCATE, MEMORY_CTX, MEMORY_BLOCKS, MEMORY_FIELDS };     /* KMemory of kernel.h */

static LLVMValueRef memory_field(Run *r, int i)
{
    LLVMValueRef at = cg_i64(r->cg, i);
    return LLVMBuildGEP2(r->cg->b, r->cg->ptr, r->memory, &at, 1, "");
}

bool cg_graph_has(const Graph *g, unsigned flag)
{
    FOR_EACH_NODE(n, g) {
        const OpInfo *op = &op_table[n->op];
        if (op->flags & flag)
            return true;
        for (int i = 0; i < op->nattr; i++) {
            const Graph *nested = op->attr[i].kind == AK_graph ? *(Graph *const *)(const void *)((const char *)n->attrs + op->attr[i].offset) : NULL;
            if (nested && cg_graph_has(nested, flag))
                return true;
        }
    }
    return false;
}

static void open_memory(Run *r)
{
    Codegen *cg = r->cg;
    bool needed = cg_graph_has(cg->m->graph, OPF_KEEP);
    for (int i = 0; i < r->noutputs; i++)
        needed |= is_exported(r->outputs[i]);
    if (!needed)
        return;
    r->memory = cg_variable(cg, LLVMConstNull(LLVMArrayType2(cg->ptr, MEMORY_FIELDS)));
    LLVMBuildStore(cg->b, call_field(r, CALL_ALLOCATE, cg->ptr), memory_field(r, MEMORY_ALLOCATE));
    LLVMBuildStore(cg->b, call_field(r, CALL_ALLOC_CTX, cg->ptr), memory_field(r, MEMORY_CTX));
}

static void release_kept(Run *r)
{
    Codegen *cg = r->cg;
    if (!r->memory)
        return;
    LLVMBasicBlockRef head = cg_block(cg, "kept"), body = cg_block(cg, "block"), done = cg_block(cg, "released");
    LLVMBuildBr(cg->b, head);
    LLVMPositionBuilderAtEnd(cg->b, head);
    LLVMValueRef block = LLVMBuildLoad2(cg->b, cg->ptr, memory_field(r, MEMORY_BLOCKS), "");
    LLVMBuildCondBr(cg->b, equals(r, block, LLVMConstNull(cg->ptr)), done, body);
    LLVMPositionBuilderAtEnd(cg->b, body);
    LLVMBuildStore(cg->b, LLVMBuildLoad2(cg->b, cg->ptr, block, ""), memory_field(r, MEMORY_BLOCKS));   /* its first word is the next one */
    run_release(r, block);
    LLVMBuildBr(cg->b, head);
    LLVMPositionBuilderAtEnd(cg->b, done);
}

static void release_heap(Run *r)
{
    for (int i = 0; i < r->cg->m->nheap; i++)
        run_release(r, cg_get(r->cg, r->heap[i]));
    release_kept(r);
}

/* Append a string (null: none) to what is in the caller's buffer, as far as there is room; at: variable, where it ends. */
static void append_text(Run *r, LLVMValueRef from, LLVMValueRef at)
{
    Codegen *cg = r->cg;
    LLVMValueRef to = call_field(r, CALL_ERROR, cg->ptr), last = LLVMBuildSub(cg->b, call_field(r, CALL_ERROR_BYTES, cg->i64), cg_i64(cg, 1), "");
    LLVMValueRef live = cg_variable(cg, LLVMConstInt(cg->i1, 0, false)), zero = LLVMConstInt(cg->i8, 0, false), start = cg_get(cg, at);
    cg_set(cg, live, LLVMBuildICmp(cg->b, LLVMIntNE, from, LLVMConstNull(cg->ptr), ""));
    Loop l = loop_begin(cg, start, last, 1, "char");
    Branch c = branch_begin(cg, cg_get(cg, live));
    LLVMValueRef ch = LLVMBuildLoad2(cg->b, cg->i8, cg_gep_bytes(cg, from, LLVMBuildSub(cg->b, l.index, start, "")), "");
    LLVMBuildStore(cg->b, ch, cg_gep_bytes(cg, to, l.index));
    cg_set(cg, at, l.index);
    cg_set(cg, live, LLVMBuildICmp(cg->b, LLVMIntNE, ch, zero, ""));
    branch_else(cg, &c);
    branch_end(cg, &c);
    loop_end(cg, &l);
    LLVMBuildStore(cg->b, zero, cg_gep_bytes(cg, to, last));
}

/* What went wrong, and in a kernel what it found. */
static void say_error(Run *r)
{
    Codegen *cg = r->cg;
    LLVMValueRef to = call_field(r, CALL_ERROR, cg->ptr), room = call_field(r, CALL_ERROR_BYTES, cg->i64), at = cg_variable(cg, cg_i64(cg, 0));
    LLVMValueRef able = LLVMBuildAnd(cg->b, LLVMBuildICmp(cg->b, LLVMIntNE, to, LLVMConstNull(cg->ptr), ""), LLVMBuildICmp(cg->b, LLVMIntUGT, room, cg_i64(cg, 0), ""), "");
    Branch b = branch_begin(cg, able);
    append_text(r, cg_get(cg, r->message), at);
    if (r->kernel_status)
        append_text(r, gen_kernel_sentence(cg, cg_get(cg, r->kernel_status)), at);
    branch_else(cg, &b);
    branch_end(cg, &b);
}

static LLVMValueRef failure(Run *r)
{
    Codegen *cg = r->cg;
    LLVMValueRef status = cg_get(cg, r->status);
    if (!r->kernel_status)
        return status;
    LLVMValueRef of_kernel = cg_get(cg, r->kernel_status);
    return LLVMBuildSelect(cg->b, equals(r, of_kernel, LLVMConstInt(cg->i32, 0, false)), status, gen_kernel_failure(cg, of_kernel), "");
}

static bool open_run(Run *r, Codegen *cg)
{
    Node *ret = graph_return(cg->m->graph);
    *r = (Run){ .cg = cg, .noutputs = ret->nin };
    define_types(r);
    r->fn = LLVMAddFunction(cg->mod, arena_printf(cg->arena, "%s_run", cg->m->name), LLVMFunctionType(cg->i32, &cg->ptr, 1, false));
    cg_function_attributes(cg, r->fn);
    r->call = LLVMGetParam(r->fn, 0);
    LLVMPositionBuilderAtEnd(cg->b, LLVMAppendBasicBlockInContext(cg->llvm, r->fn, "entry"));
    r->fail = LLVMAppendBasicBlockInContext(cg->llvm, r->fn, "fail");
    LLVMTypeRef state = LLVMArrayType2(cg->i64, (uint64_t)dim_symbol_count(cg->m->dims) + 2);
    cg->claims_word = dim_symbol_count(cg->m->dims) + 1;
    r->state = cg_variable(cg, LLVMConstNull(state));
    r->status = cg_variable(cg, LLVMConstInt(cg->i32, 0, false));
    r->message = cg_variable(cg, LLVMConstNull(cg->ptr));
    r->workspace = call_field(r, CALL_WORKSPACE, cg->ptr);
    r->output = ARENA_ARRAY(cg->arena, LLVMValueRef, ret->nin + 1);
    r->outputs = ARENA_ARRAY(cg->arena, Value *, ret->nin + 1);
    r->output_ready = ARENA_ARRAY(cg->arena, bool, ret->nin + 1);
    r->heap = ARENA_ARRAY(cg->arena, LLVMValueRef, cg->m->nheap + 1);
    for (int i = 0; i < ret->nin; i++) {
        r->outputs[i] = node_in(ret, i);
        r->output[i] = cg_variable(cg, LLVMConstNull(cg->ptr));
    }
    for (int i = 0; i < cg->m->nheap; i++)
        r->heap[i] = cg_variable(cg, LLVMConstNull(cg->ptr));
    if (cg_graph_has(cg->m->graph, OPF_KERNEL))
        r->kernel_status = cg_variable(cg, LLVMConstInt(cg->i32, 0, false));
    open_memory(r);
    return true;
}

static void check_inputs(Run *r)
{
    Codegen *cg = r->cg;
    bool *known = ARENA_ARRAY(cg->arena, bool, dim_symbol_count(cg->m->dims) + 1);
    int n = graph_inputs(cg->m->graph, NULL, 0);
    Value **in = ARENA_ARRAY(cg->arena, Value *, n + 1);
    graph_inputs(cg->m->graph, in, n);
    for (int i = 0; i < n; i++)
        check_input(r, in[i], i, known);
}

bool gen_module(Codegen *cg)
{
    Run r;
    cg->kernels = ARENA_NEW(cg->arena, KernelCache);
    if (!open_run(&r, cg))
        return false;
    check_inputs(&r);
    dim_cache_open(cg, false);
    check_sizes(&r);
    check_workspace(&r);
    for (int i = 0; i < r.noutputs; i++)            /* those whose size is known by now */
        if (!is_exported(r.outputs[i]) && !dim_from_data(cg->m->dims, type_bytes_dim(cg->m, &r.outputs[i]->type)))
            open_output(&r, i);
    run_graph(&r, cg->m->graph);
    if (cg->opt->profile)
        profile_mark(&r, cg->opt->profile->n);
    for (int i = 0; i < r.noutputs; i++) {
        describe_output(&r, i);
        if (is_exported(r.outputs[i]))
            export_output(&r, i);
    }
    release_heap(&r);
    LLVMBuildRet(cg->b, LLVMConstInt(cg->i32, INGOT_OK, false));
    LLVMPositionBuilderAtEnd(cg->b, r.fail);
    say_error(&r);
    release_heap(&r);
    LLVMBuildRet(cg->b, failure(&r));
    cg->dim_cache = NULL;
    if (cg->m->diag->errors)
        return false;
    if (cg->error)
        return diag_error(cg->m->diag, (Loc){ .file = cg->m->file }, "internal: %s", cg->error);
    gen_descriptor(cg, r.fn);
    return true;
}
