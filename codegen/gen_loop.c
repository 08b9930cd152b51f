/* gen_loop.c -- `loop` inside NAME_run.
 *
 *     states = operands                              in the memory of the results; what has a symbol for a size is on the heap
 *     for (k = 0; go && k < most; k++) {
 *         body(k, states, captured)
 *         slices[k] = ...                            a result whose size nothing bounds grows on the heap, by doubling
 *         states = ...; symbols = their sizes        copied; between heap slots, handed over
 *     }
 *
 * A symbol is a variable here: it has the size of the state as it is at the moment.
 */
#include "ingot_abi.h"
#include "loop.h"
#include "run.h"

typedef struct LoopGen {
    Run *r;
    const Node *n;
    const Attr_loop *a;
    const Node *ret;                        /* of the body */
    LLVMValueRef k, go;                     /* variables */
    LLVMValueRef most;
    LLVMValueRef *room;                     /* per result that grows: variable, slices that its memory holds */
    bool *kept;                             /* per result: an iteration hands its state on as it is */
} LoopGen;

enum { FIRST_SLICES = 16 };

static LLVMValueRef dim_now(LoopGen *l, Dim d)
{
    return cg_dim(l->r->cg, l->r->state, d);
}

static LLVMValueRef bytes_now(LoopGen *l, const Type *t)
{
    return dim_now(l, type_bytes_dim(l->r->cg->m, t));
}

static void copy(LoopGen *l, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes)
{
    LLVMBuildMemCpy(l->r->cg->b, to, 1, from, 1, bytes);
}

static bool on_heap(const Value *v)
{
    return v->storage.kind == ST_HEAP;
}

static LLVMValueRef slot(LoopGen *l, const Value *v)
{
    return l->r->heap[v->storage.index];
}

/* The memory of v is this from now on, what it was goes back. */
static void replace_memory(LoopGen *l, const Value *v, LLVMValueRef fresh)
{
    run_release(l->r, cg_get(l->r->cg, slot(l, v)));
    cg_set(l->r->cg, slot(l, v), fresh);
}

/* ---- states ---- */

/* Sizes of state i as `from` has them. They are computed before any is stored: they may mention what is about to change. */
static void take_sizes(LoopGen *l, int i, const Type *from, LLVMValueRef *size)
{
    for (int k = 0; from->kind == TY_TENSOR && k < from->rank; k++)
        size[k] = loop_size(l->n, loop_at(i, k)) ? dim_now(l, from->dim[k]) : NULL;
}

static void put_sizes(LoopGen *l, int i, const Type *from, LLVMValueRef *size)
{
    for (int k = 0; from->kind == TY_TENSOR && k < from->rank; k++)
        if (size[k])
            LLVMBuildStore(l->r->cg->b, size[k], run_symbol_slot(l->r, loop_size(l->n, loop_at(i, k))->k));
}

static void set_state(LoopGen *l, int i, const Value *from)
{
    const Value *state = &l->n->out[i];
    LLVMValueRef bytes = bytes_now(l, &from->type), data = run_pointer(l->r, from);
    if (!on_heap(state)) {
        copy(l, run_pointer(l->r, state), data, bytes);
        return;
    }
    LLVMValueRef fresh = run_allocate(l->r, bytes, run_label(l->r, l->n));
    copy(l, fresh, data, bytes);
    replace_memory(l, state, fresh);
}

static void start_states(LoopGen *l)
{
    LLVMValueRef size[MAX_RANK];
    for (int i = 0; i < l->a->states; i++) {
        const Value *from = node_in(l->n, 2 + i);
        take_sizes(l, i, &from->type, size);
        set_state(l, i, from);
        put_sizes(l, i, &from->type, size);
    }
}

/* Heap memory that nothing but this state needs any more. */
static bool may_hand_over(const LoopGen *l, int i)
{
    const Value *v = node_in(l->ret, 1 + i);
    for (int k = 0; k < i; k++)
        if (node_in(l->ret, 1 + k) == v)
            return false;
    return on_heap(v) && on_heap(&l->n->out[i]) && v->def->op != OP_input;
}

static void next_state(LoopGen *l, int i)
{
    Codegen *cg = l->r->cg;
    const Value *v = node_in(l->ret, 1 + i);
    if (l->kept[i])
        return;
    if (!may_hand_over(l, i)) {
        set_state(l, i, v);
        return;
    }
    LLVMValueRef fresh = cg_get(cg, slot(l, v));
    cg_set(cg, slot(l, v), LLVMConstNull(cg->ptr));
    replace_memory(l, &l->n->out[i], fresh);
}

static void next_states(LoopGen *l)
{
    LLVMValueRef(*size)[MAX_RANK] = arena_alloc(l->r->cg->arena, sizeof *size * (size_t)(l->a->states + 1));
    for (int i = 0; i < l->a->states; i++)
        take_sizes(l, i, &node_in(l->ret, 1 + i)->type, size[i]);
    for (int i = (int)l->a->states; i-- > 0;)           /* the last user of a value that is returned twice must not find it gone */
        next_state(l, i);
    for (int i = 0; i < l->a->states; i++)
        put_sizes(l, i, &node_in(l->ret, 1 + i)->type, size[i]);
}

/* ---- slices ---- */

static void start_slices(LoopGen *l)
{
    Codegen *cg = l->r->cg;
    for (int i = (int)l->a->states; i < l->n->nout; i++)
        if (on_heap(&l->n->out[i])) {
            l->room[i] = cg_variable(cg, cg_i64(cg, 0));
            replace_memory(l, &l->n->out[i], LLVMConstNull(cg->ptr));
        }
    for (int i = 0; i < l->a->sizes.n; i++)
        LLVMBuildStore(cg->b, cg_i64(cg, 0), run_symbol_slot(l->r, l->a->sizes.v[i]->k));
}

/* The first slice says how large they all are. */
static void check_slice(LoopGen *l, int i, const Type *t)
{
    Codegen *cg = l->r->cg;
    LLVMValueRef first = LLVMBuildICmp(cg->b, LLVMIntEQ, cg_get(cg, l->k), cg_i64(cg, 0), "");
    for (int k = 0; k < t->rank; k++) {
        Dim symbol = loop_size(l->n, loop_at(i, 1 + k));
        if (!symbol)
            continue;
        LLVMValueRef at = run_symbol_slot(l->r, symbol->k), size = dim_now(l, t->dim[k]), before = LLVMBuildLoad2(cg->b, cg->i64, at, "");
        LLVMValueRef same = LLVMBuildOr(cg->b, first, LLVMBuildICmp(cg->b, LLVMIntEQ, size, before, ""), "");
        run_require(l->r, same, INGOT_ERR_DATA, arena_printf(cg->arena, "node '%s': an iteration returns a slice of another shape than the first", run_label(l->r, l->n)));
        LLVMBuildStore(cg->b, size, at);
    }
}

static void grow(LoopGen *l, int i, LLVMValueRef bytes)
{
    Codegen *cg = l->r->cg;
    LLVMValueRef k = cg_get(cg, l->k), room = cg_get(cg, l->room[i]);
    Branch full = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntEQ, k, room, ""));
    LLVMValueRef some = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, l->most, cg_i64(cg, FIRST_SLICES), ""), l->most, cg_i64(cg, FIRST_SLICES), "");
    LLVMValueRef more = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntEQ, k, cg_i64(cg, 0), ""), some, LLVMBuildMul(cg->b, room, cg_i64(cg, 2), ""), "");
    LLVMValueRef fresh = run_allocate(l->r, LLVMBuildMul(cg->b, more, bytes, ""), run_label(l->r, l->n));
    copy(l, fresh, cg_get(cg, slot(l, &l->n->out[i])), LLVMBuildMul(cg->b, k, bytes, ""));
    replace_memory(l, &l->n->out[i], fresh);
    cg_set(cg, l->room[i], more);
    branch_else(cg, &full);
    branch_end(cg, &full);
}

static void append_slices(LoopGen *l)
{
    Codegen *cg = l->r->cg;
    for (int i = (int)l->a->states; i < l->n->nout; i++) {
        const Value *v = node_in(l->ret, 1 + i);
        LLVMValueRef bytes = bytes_now(l, &v->type);
        check_slice(l, i, &v->type);
        if (on_heap(&l->n->out[i]))
            grow(l, i, bytes);
        LLVMValueRef to = cg_gep_bytes(cg, run_pointer(l->r, &l->n->out[i]), LLVMBuildMul(cg->b, cg_get(cg, l->k), bytes, ""));
        copy(l, to, run_pointer(l->r, v), bytes);
    }
}

/* ---- the loop ---- */

static void emit_iteration(LoopGen *l, const Value *number)
{
    Run *r = l->r;
    Codegen *cg = r->cg;
    LLVMBuildStore(cg->b, cg_get(cg, l->k), run_pointer(r, number));
    r->depth++;
    run_graph(r, l->a->body);
    append_slices(l);
    cg_set(cg, l->go, LLVMBuildLoad2(cg->b, cg->i8, run_pointer(r, node_in(l->ret, 0)), ""));
    next_states(l);
    r->depth--;
    cg_set(cg, l->k, LLVMBuildAdd(cg->b, cg_get(cg, l->k), cg_i64(cg, 1), ""));
}

static void end_loop(LoopGen *l)
{
    Codegen *cg = l->r->cg;
    Dim symbol = loop_size(l->n, LOOP_COUNT), count = loop_count(cg->m, l->n);
    if (symbol)
        LLVMBuildStore(cg->b, cg_get(cg, l->k), run_symbol_slot(l->r, symbol->k));
    else if (l->n->nout > l->a->states)
        run_require(l->r, LLVMBuildICmp(cg->b, LLVMIntEQ, cg_get(cg, l->k), dim_now(l, count), ""), INGOT_ERR_DATA,
                    arena_printf(cg->arena, "node '%s': the loop ended early", run_label(l->r, l->n)));
}

void run_loop(Run *r, const Node *n)
{
    Codegen *cg = r->cg;
    LoopGen l = { .r = r, .n = n, .a = NODE_ATTR(n, loop), .ret = graph_return(NODE_ATTR(n, loop)->body) };
    Value **input = ARENA_ARRAY(cg->arena, Value *, n->nin);
    graph_inputs(l.a->body, input, n->nin - 1);
    l.room = ARENA_ARRAY(cg->arena, LLVMValueRef, n->nout + 1);
    l.kept = ARENA_ARRAY(cg->arena, bool, n->nout + 1);
    for (int i = 0; i < l.a->states; i++)
        l.kept[i] = node_in(l.ret, 1 + i) == input[1 + i];
    l.most = LLVMBuildLoad2(cg->b, cg->i64, run_pointer(r, node_in(n, 1)), "");
    l.go = cg_variable(cg, LLVMConstNull(cg->i8));
    cg_set(cg, l.go, LLVMBuildLoad2(cg->b, cg->i8, run_pointer(r, node_in(n, 0)), ""));
    l.k = cg_variable(cg, cg_i64(cg, 0));
    start_slices(&l);
    start_states(&l);
    LLVMBasicBlockRef head = cg_block(cg, "iterate"), body = cg_block(cg, "iteration"), done = cg_block(cg, "iterated");
    LLVMBuildBr(cg->b, head);
    LLVMPositionBuilderAtEnd(cg->b, head);
    LLVMValueRef go = LLVMBuildICmp(cg->b, LLVMIntNE, cg_get(cg, l.go), LLVMConstNull(cg->i8), "");
    LLVMBuildCondBr(cg->b, LLVMBuildAnd(cg->b, go, LLVMBuildICmp(cg->b, LLVMIntSLT, cg_get(cg, l.k), l.most, ""), ""), body, done);
    LLVMPositionBuilderAtEnd(cg->b, body);
    emit_iteration(&l, input[0]);
    LLVMBuildBr(cg->b, head);
    LLVMPositionBuilderAtEnd(cg->b, done);
    end_loop(&l);
}
