/* group.c -- reading elements of the values in a kernel's group, see gen.h.
 *
 * Read it from group_load: a value is remembered, given (the anchor's result), an operand in memory, a constant, or the result of an op, whose
 * loader maps the index and loads the op's operands in turn (movement.c for the ops that do more than broadcast).
 */
#include "concat_part.h"
#include "movement.h"
#include "winograd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEP = 4 };              /* between lanes that are read as whole vectors, of which every step-th element is wanted */

/* ---- opening a group ---- */

static bool is_pointwise(OpCode op)
{
    return (op_table[op].flags & OPF_EW) || op == OP_cast || op == OP_bitcast;
}

static bool is_moved(OpCode op)
{
    return op_table[op].flags & (OPF_MOVE | OPF_VIEW);
}

/* matmul, softmax, matmul: the only group with more than one anchor. */
static bool joins_attention(Group *g, const Node *n)
{
    if (!g->anchor || g->anchor->op != OP_matmul || g->scores)
        return false;
    if (n->op == OP_softmax && !g->softmax) {
        g->softmax = n;
        return true;
    }
    if (n->op != OP_matmul || !g->softmax || node_in(n, 0) != node_out(g->softmax))
        return false;
    g->scores = g->anchor;
    g->anchor = n;
    return true;
}

/* Another reduction over the anchor's axis. */
static bool joins_rows(Group *g, const Node *n)
{
    if (!g->anchor || g->anchor->op != OP_reduce || n->op != OP_reduce)
        return false;
    return g->rows = NODE_ATTR(n, reduce)->axes.n == 1 && NODE_ATTR(g->anchor, reduce)->axes.n == 1 && NODE_ATTR(n, reduce)->axes.v[0] == NODE_ATTR(g->anchor, reduce)->axes.v[0];
}

/* A reduction's own kernel gives one element per row; what gives whole rows again is made row by row. */
static bool gives_rows(const Group *g)
{
    if (!g->anchor || g->anchor->op != OP_reduce || g->result->type.rank != node_out(g->anchor)->type.rank)
        return false;
    for (int d = 0; d < g->result->type.rank; d++)
        if (g->result->type.dim[d] != node_out(g->anchor)->type.dim[d])
            return true;
    return false;
}

static bool note_node(Group *g, const Node *n)
{
    g->computes |= is_pointwise(n->op);
    if (is_pointwise(n->op) || n->op == OP_constant || n->op == OP_input || n->op == OP_return)
        return true;
    if (is_moved(n->op)) {
        g->elementwise = false;
        return true;
    }
    if (joins_attention(g, n) || joins_rows(g, n))
        return true;
    if (n->op == OP_dequantize_blocks) {
        g->weights = n;
        return true;
    }
    if (g->anchor && !g->pool && winograd_takes_pool(g->anchor, n)) {
        g->pool = n;
        return true;
    }
    if (g->anchor)
        return diag_error(g->cg->m->diag, n->loc, "internal: a kernel with two anchors, %s and %s", op_name(g->anchor->op), op_name(n->op));
    g->anchor = n;
    return true;
}

/* A result that is part of a concat has its rows where those of the concat are. */
static Dim row_of(const Node *owner)
{
    const Node *concat = owner->nout == 1 ? part_of_concat(node_out(owner)) : NULL;
    return concat ? node_out(concat)->type.dim[node_out(concat)->type.rank - 1] : NULL;
}

bool group_open(Group *g, Codegen *cg, const Node *owner)
{
    memset(g, 0, sizeof *g);
    *g = (Group){ .cg = cg, .owner = owner, .elementwise = true, .next_index_id = 1, .noperand = owner->nin, .row = row_of(owner) };
    if (owner->nin > MAX_OPERANDS)
        return diag_error(cg->m->diag, owner->loc, "%s with %d operands is not supported (at most %d)", op_name(owner->op), owner->nin, MAX_OPERANDS);
    for (int i = 0; i < owner->nin; i++)
        g->operand[i] = g->inner[i] = node_in(owner, i);
    if (owner->op != OP_fused) {
        g->result = (Value *)node_out(owner);
        return note_node(g, owner);
    }
    g->body = NODE_ATTR(owner, fused)->body;
    graph_inputs(g->body, g->inner, MAX_OPERANDS);
    FOR_EACH_NODE(n, g->body)
        if (!note_node(g, n))
            return false;
    g->result = node_in(graph_return(g->body), 0);
    if (g->pool && g->pool != g->result->def)
        return diag_error(cg->m->diag, g->pool->loc, "internal: a kernel computes behind its pool");
    if (g->pool)
        g->result = node_in(g->pool, 0);
    g->rows |= gives_rows(g);
    return true;
}

int group_operand(const Group *g, const Value *inner)
{
    for (int i = 0; i < g->noperand; i++)
        if (g->inner[i] && g->inner[i] == inner)
            return i;
    return -1;
}

bool operand_read_plain(const Group *g, int k)
{
    for (int i = 0; g->anchor && i < g->anchor->nin; i++)
        if (node_in(g->anchor, i) && node_in(g->anchor, i) == g->inner[k])
            return true;
    return false;
}

static LLVMValueRef load_pointer(Group *g, int i)
{
    LLVMValueRef at = cg_i64(g->cg, i);
    return LLVMBuildLoad2(g->cg->b, g->cg->ptr, LLVMBuildGEP2(g->cg->b, g->cg->ptr, g->args, &at, 1, ""), "");
}

void group_enter(Group *g, LLVMValueRef fn)
{
    int nout = g->owner->nout;
    g->args = LLVMGetParam(fn, 0);
    for (int i = 0; i < g->noperand; i++)
        g->ptr[i] = g->operand[i] ? load_pointer(g, i) : NULL;
    g->out = nout ? load_pointer(g, g->noperand) : NULL;
    g->context = load_pointer(g, g->noperand + nout);
    g->scratch = g->owner->scratch.kind == ST_NONE ? NULL : load_pointer(g, g->noperand + nout + 1);
}

LLVMValueRef group_dim(Group *g, Dim d)
{
    return cg_dim(g->cg, g->context, d);
}

Index index_new(Group *g, int rank)
{
    Index at = { .rank = rank, .id = g->next_index_id++ };
    for (int i = 0; i < rank; i++)
        at.v[i] = cg_i64(g->cg, 0);
    return at;
}

/* ---- addresses ---- */

LLVMValueRef linear_offset(Group *g, int rank, const Dim *dim, const LLVMValueRef *index)
{
    Codegen *cg = g->cg;
    LLVMValueRef at = cg_i64(cg, 0);
    Dim stride = dim_const(cg->m->dims, 1);
    for (int d = rank - 1; d >= 0; d--) {
        at = LLVMBuildNSWAdd(cg->b, at, LLVMBuildNSWMul(cg->b, index[d], group_dim(g, stride), ""), "");
        stride = dim_mul(cg->m->dims, stride, dim[d]);
    }
    return at;
}

void split_index(Group *g, LLVMValueRef flat, int rank, const Dim *dim, LLVMValueRef *out)
{
    Codegen *cg = g->cg;
    for (int d = rank - 1; d > 0; d--) {
        if (dim_is(dim[d], 1)) {
            out[d] = cg_i64(cg, 0);
            continue;
        }
        /* sizes of 0 never get here with work to do, but must not trap */
        LLVMValueRef n = group_dim(g, dim_is_const(dim[d]) ? dim[d] : dim_max(cg->m->dims, dim[d], dim_const(cg->m->dims, 1)));
        out[d] = LLVMBuildURem(cg->b, flat, n, "");
        flat = LLVMBuildUDiv(cg->b, flat, n, "");
    }
    if (rank)
        out[0] = flat;
}

LLVMValueRef lane_mask(Codegen *cg, LLVMValueRef live)
{
    LLVMValueRef lane[CG_LANES];
    for (int i = 0; i < CG_LANES; i++)
        lane[i] = LLVMConstInt(cg->i32, (unsigned)i, false);
    /* compared in 32 bits: clamp, since `live` may be anything */
    LLVMValueRef top = cg_i64(cg, CG_LANES), some = LLVMBuildICmp(cg->b, LLVMIntSLT, live, top, "");
    LLVMValueRef n = LLVMBuildTrunc(cg->b, LLVMBuildSelect(cg->b, some, live, top, ""), cg->i32, "");
    return LLVMBuildICmp(cg->b, LLVMIntSLT, LLVMConstVector(lane, CG_LANES), cg_splat(cg, n, CG_LANES), "mask");
}

bool cg_masks_memory(const Codegen *cg)
{
    return target_has(&cg->target, "avx");
}

/* ---- memory ---- */

static LLVMValueRef masked_intrinsic(Codegen *cg, const char *name, LLVMTypeRef vec, LLVMValueRef *arg, int n)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef types[] = { vec, cg->ptr };
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(cg->mod, id, types, 2);
    return LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, types, 2), fn, arg, (unsigned)n, "");
}

static LLVMValueRef load_raw(Codegen *cg, LLVMValueRef p, DType t, int lanes, LLVMValueRef mask)
{
    LLVMTypeRef type = cg_storage_type(cg, t, lanes);
    unsigned align = (unsigned)dtype_bytes(t);
    if (!mask) {
        LLVMValueRef v = LLVMBuildLoad2(cg->b, type, p, "");
        LLVMSetAlignment(v, align);
        return v;
    }
    return masked_intrinsic(cg, "llvm.masked.load", type, (LLVMValueRef[]){ p, LLVMConstInt(cg->i32, align, false), mask, LLVMConstNull(type) }, 4);
}

Elements operand_elements(const Group *g, int k)
{
    return (Elements){ g->ptr[k], g->operand[k]->type.dtype };
}

LLVMValueRef elements_load(Codegen *cg, const Elements *e, LLVMValueRef offset, int lanes, LLVMValueRef mask)
{
    return cg_from_storage(cg, e->type, load_raw(cg, cg_gep(cg, e->ptr, e->type, offset), e->type, lanes, mask), lanes);
}

LLVMValueRef operand_load(Group *g, int k, LLVMValueRef offset, int lanes, LLVMValueRef mask)
{
    Elements e = operand_elements(g, k);
    return elements_load(g->cg, &e, offset, lanes, mask);
}

void elements_store(Codegen *cg, const Elements *e, LLVMValueRef val, LLVMValueRef offset, int lanes, LLVMValueRef mask)
{
    LLVMValueRef p = cg_gep(cg, e->ptr, e->type, offset), raw = cg_to_storage(cg, e->type, val, lanes, false);
    unsigned align = (unsigned)dtype_bytes(e->type);
    if (!mask) {
        LLVMSetAlignment(LLVMBuildStore(cg->b, raw, p), align);
        return;
    }
    masked_intrinsic(cg, "llvm.masked.store", LLVMTypeOf(raw), (LLVMValueRef[]){ raw, p, LLVMConstInt(cg->i32, align, false), mask }, 4);
}

void group_store(Group *g, LLVMValueRef val, LLVMValueRef offset, int lanes, LLVMValueRef mask)
{
    Elements e = { g->out, g->result->type.dtype };
    elements_store(g->cg, &e, val, offset, lanes, mask);
}

void group_scatter(Group *g, LLVMValueRef val, LLVMValueRef offset, LLVMValueRef stride)
{
    Codegen *cg = g->cg;
    DType t = g->result->type.dtype;
    LLVMValueRef raw = cg_to_storage(cg, t, val, CG_LANES, false);
    for (int i = 0; i < CG_LANES; i++) {
        LLVMValueRef one = LLVMBuildExtractElement(cg->b, raw, LLVMConstInt(cg->i32, (unsigned)i, false), "");
        LLVMSetAlignment(LLVMBuildStore(cg->b, one, cg_gep(cg, g->out, t, offset)), (unsigned)dtype_bytes(t));
        offset = LLVMBuildNSWAdd(cg->b, offset, stride, "");
    }
}

/* ---- constants ---- */

static LLVMValueRef scalar_constant(Codegen *cg, const Tensor *t)
{
    LLVMTypeRef type = cg_compute_type(cg, t->dtype, 1);
    return dtype_is_float(t->dtype) ? LLVMConstReal(type, tensor_get_f64(t, 0))
                                    : LLVMConstInt(type, (unsigned long long)tensor_get_i64(t, 0), true);
}

/* A uniform constant becomes an immediate; its value is part of the kernel's key. */
static LLVMValueRef uniform_constant(Group *g, const Value *outer, int lanes)
{
    double x;
    if (!outer || !value_scalar_f64(outer, &x))
        return NULL;
    LLVMValueRef k = scalar_constant(g->cg, value_constant(outer));
    return lanes == 1 ? k : cg_splat(g->cg, k, lanes);
}

/* ---- merged space ---- */

typedef enum Reach { REACH_ONE, REACH_FULL, REACH_BROADCAST, REACH_RUNTIME } Reach;

/* How an operand covers full dim d of the space with dims `dim`. */
static Reach reach_of(const Type *operand, int rank, const Dim *dim, int d)
{
    int k = d - (rank - operand->rank);
    if (dim_is(dim[d], 1))
        return REACH_ONE;
    if (k < 0 || dim_is(operand->dim[k], 1))
        return REACH_BROADCAST;
    return operand->dim[k] == dim[d] || dim_is_const(operand->dim[k]) ? REACH_FULL : REACH_RUNTIME;
}

/* Which operands v is computed from, not looking through the anchor (whose own operands have other shapes). */
typedef struct Sources {
    bool used[MAX_OPERANDS];
    int nseen;
    const Value *seen[256];
} Sources;

static void find_sources(const Group *g, const Value *v, Sources *s)
{
    int k = group_operand(g, v);
    for (int i = 0; i < s->nseen; i++)
        if (s->seen[i] == v)
            return;
    if (s->nseen < 256)
        s->seen[s->nseen++] = v;
    if (k >= 0)
        s->used[k] = true;
    else if (v->def != g->anchor)
        for (int i = 0; i < v->def->nin; i++)
            find_sources(g, node_in(v->def, i), s);
}

static bool mergeable(Group *g, const Sources *src, int rank, const Dim *dim, int a, int b)
{
    for (int k = 0; k < g->noperand; k++) {
        if (!src->used[k])
            continue;
        Reach x = reach_of(&g->inner[k]->type, rank, dim, a), y = reach_of(&g->inner[k]->type, rank, dim, b);
        if (x != y || x == REACH_RUNTIME)
            return false;
    }
    return true;
}

static void fill_strides(Group *g, const Sources *src, Space *s, int rank, const Dim *dim)
{
    DimTable *dims = g->cg->m->dims;
    for (int k = 0; k < g->noperand; k++) {
        if (!src->used[k])
            continue;
        const Type *t = &g->inner[k]->type;
        Dim stride = dim_const(dims, 1);
        for (int m = 0; m < s->rank; m++)
            s->stride[k][m] = dim_const(dims, 0);
        for (int d = rank - 1, i = t->rank - 1; d >= 0 && i >= 0; d--, i--) {
            int m = s->full_to_merged[d];
            Reach r = reach_of(t, rank, dim, d);
            if (m >= 0 && (r == REACH_FULL || r == REACH_RUNTIME) && dim_is(s->stride[k][m], 0))
                s->stride[k][m] = stride;
            if (m >= 0 && r == REACH_RUNTIME)
                s->maybe_one[k][m] = t->dim[i];
            stride = dim_mul(dims, stride, t->dim[i]);
        }
    }
}

Space group_space(Group *g, const Value *v)
{
    Space s = { .rank = 0 };
    Sources src = { .nseen = 0 };
    DimTable *dims = g->cg->m->dims;
    find_sources(g, v, &src);
    int rank = v->type.rank, last = -1;
    const Dim *dim = v->type.dim;
    for (int d = 0; d < rank; d++) {
        s.full_to_merged[d] = -1;
        if (dim_is(dim[d], 1))
            continue;
        if (last >= 0 && mergeable(g, &src, rank, dim, last, d))
            s.dim[s.rank - 1] = dim_mul(dims, s.dim[s.rank - 1], dim[d]);
        else
            s.dim[s.rank++] = dim[d];
        s.full_to_merged[d] = s.rank - 1;
        last = d;
    }
    if (!s.rank)
        s.dim[s.rank++] = dim_const(dims, 1);
    fill_strides(g, &src, &s, rank, dim);
    return s;
}

static LLVMValueRef is_one(Group *g, Dim d)
{
    return LLVMBuildICmp(g->cg->b, LLVMIntEQ, group_dim(g, d), cg_i64(g->cg, 1), "");
}

/* Lanes along a dim that the operand may turn out to lack: one element for all of them, or neighbours. */
static LLVMValueRef load_one_or_many(Group *g, int k, LLVMValueRef offset, int lanes, LLVMValueRef mask, LLVMValueRef one)
{
    Codegen *cg = g->cg;
    Branch b = branch_begin(cg, one);
    LLVMValueRef v[2] = { cg_splat(cg, operand_load(g, k, offset, 1, NULL), lanes) };
    LLVMBasicBlockRef from[2] = { LLVMGetInsertBlock(cg->b) };
    branch_else(cg, &b);
    v[1] = operand_load(g, k, offset, lanes, mask);
    from[1] = LLVMGetInsertBlock(cg->b);
    branch_end(cg, &b);
    LLVMValueRef phi = LLVMBuildPhi(cg->b, LLVMTypeOf(v[0]), "");
    LLVMAddIncoming(phi, v, from, 2);
    return phi;
}

static LLVMValueRef load_merged(Group *g, int k, const Index *at, int lanes, LLVMValueRef mask)
{
    Codegen *cg = g->cg;
    const Space *s = g->space;
    LLVMValueRef offset = cg_i64(cg, 0);
    for (int m = 0; m < s->rank; m++) {
        if (dim_is(s->stride[k][m], 0))
            continue;
        LLVMValueRef stride = group_dim(g, s->stride[k][m]);
        if (s->maybe_one[k][m])
            stride = LLVMBuildSelect(cg->b, is_one(g, s->maybe_one[k][m]), cg_i64(cg, 0), stride, "");
        offset = LLVMBuildNSWAdd(cg->b, offset, LLVMBuildNSWMul(cg->b, at->v[m], stride, ""), "");
    }
    Dim maybe = s->maybe_one[k][s->rank - 1];
    if (lanes > 1 && maybe)
        return load_one_or_many(g, k, offset, lanes, mask, is_one(g, maybe));
    bool uniform = lanes > 1 && dim_is(s->stride[k][s->rank - 1], 0);
    LLVMValueRef v = operand_load(g, k, offset, uniform ? 1 : lanes, uniform ? NULL : mask);
    return uniform ? cg_splat(cg, v, lanes) : v;
}

/* ---- full space ---- */

/* Index into an operand that broadcasts to `to`. */
static Index broadcast_index(Group *g, const Index *at, const Type *to, const Type *from)
{
    Index r = { .rank = from->rank, .id = at->id };
    int shift = to->rank - from->rank;
    for (int i = 0; i < from->rank; i++) {
        r.v[i] = at->v[i + shift];
        r.lane[i] = at->lane[i + shift];
        Dim mine = from->dim[i], theirs = to->dim[i + shift];
        if (mine == theirs)
            continue;
        r.id = 0;
        if (dim_is(mine, 1)) {
            r.v[i] = cg_i64(g->cg, 0);
            r.lane[i] = 0;
        } else if (!dim_is_const(mine)) {
            LLVMValueRef one = LLVMBuildICmp(g->cg->b, LLVMIntEQ, group_dim(g, mine), cg_i64(g->cg, 1), "");
            r.v[i] = LLVMBuildSelect(g->cg->b, one, cg_i64(g->cg, 0), r.v[i], "");
        }
    }
    if (shift)
        r.id = 0;
    return r;
}

/* Elements in memory from one lane to the next; -1 where only the run knows. */
static int64_t memory_step(DimTable *dims, const Type *t, const int64_t *lane)
{
    Dim stride = dim_const(dims, 1), step = dim_const(dims, 0);
    for (int d = t->rank - 1; d >= 0; d--) {
        step = dim_add(dims, step, dim_mulk(dims, stride, lane[d]));
        stride = dim_mul(dims, stride, t->dim[d]);
    }
    return dim_is_const(step) ? step->k : -1;
}

static LLVMValueRef load_strided(Group *g, int k, LLVMValueRef offset, int step)
{
    LLVMValueRef v[MAX_STEP];
    for (int i = 0; i < step; i++) {
        int at = i < step - 1 ? i * CG_LANES : (step - 1) * (CG_LANES - 1);
        v[i] = operand_load(g, k, LLVMBuildNSWAdd(g->cg->b, offset, cg_i64(g->cg, at), ""), CG_LANES, NULL);
    }
    return cg_every(g->cg, step, v);
}

/* Lanes run along another dim than the last. */
static bool lanes_apart(const Index *at)
{
    for (int d = 0; d + 1 < at->rank; d++)
        if (at->lane[d])
            return true;
    return false;
}

/* One lane after the other. */
static LLVMValueRef load_apart(Group *g, int k, const Index *at, LLVMValueRef offset, int lanes)
{
    Codegen *cg = g->cg;
    const Type *t = &g->inner[k]->type;
    LLVMValueRef lane[MAX_RANK], v = LLVMGetPoison(cg_compute_type(cg, t->dtype, lanes));
    for (int d = 0; d < at->rank; d++)
        lane[d] = cg_i64(cg, at->lane[d]);
    LLVMValueRef step = linear_offset(g, t->rank, t->dim, lane);
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef n = cg_i64(cg, i);
        if (g->last_lane)
            n = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, n, g->last_lane, ""), n, g->last_lane, "");
        LLVMValueRef x = operand_load(g, k, LLVMBuildNSWAdd(cg->b, offset, LLVMBuildNSWMul(cg->b, n, step, ""), ""), 1, NULL);
        v = LLVMBuildInsertElement(cg->b, v, x, LLVMConstInt(cg->i32, (unsigned)i, false), "");
    }
    return v;
}

static LLVMValueRef load_full(Group *g, int k, const Index *at, int lanes, LLVMValueRef mask)
{
    const Type *t = &g->inner[k]->type;
    LLVMValueRef offset = linear_offset(g, t->rank, t->dim, at->v);
    if (lanes > 1 && g->last_lane && lanes_apart(at))
        return load_apart(g, k, at, offset, lanes);
    int64_t step = lanes > 1 ? memory_step(g->cg->m->dims, t, at->lane) : 0;
    if (step > 1)
        return load_strided(g, k, offset, (int)step);
    LLVMValueRef v = operand_load(g, k, offset, step ? lanes : 1, step ? mask : NULL);
    return step || lanes == 1 ? v : cg_splat(g->cg, v, lanes);
}

/* The first dim along which lanes run and which only the run knows to be 1 or not; -1: none. */
static int ambiguous_lanes(const Index *at, const Type *to, const Type *from)
{
    int shift = to->rank - from->rank;
    for (int i = 0; i < from->rank; i++)
        if (at->lane[i + shift] && from->dim[i] != to->dim[i + shift] && !dim_is_const(from->dim[i]))
            return i;
    return -1;
}

LLVMValueRef load_in_branch(Group *g, const Value *v, const Index *at, int lanes)
{
    int keep = g->nmemo;
    LLVMValueRef r = group_load(g, v, at, lanes);
    g->nmemo = keep;
    return r;
}

/* v at the index that broadcasting to `to` gives. */
LLVMValueRef load_broadcast(Group *g, const Value *v, const Index *at, const Type *to, int lanes)
{
    Codegen *cg = g->cg;
    Index in = broadcast_index(g, at, to, &v->type);
    int d = lanes > 1 ? ambiguous_lanes(at, to, &v->type) : -1;
    if (d < 0)
        return group_load(g, v, &in, lanes);
    Index one = in;
    one.lane[d] = 0;
    one.id = in.id = 0;
    Branch b = branch_begin(cg, is_one(g, v->type.dim[d]));
    LLVMValueRef val[2] = { load_in_branch(g, v, &one, lanes) };
    LLVMBasicBlockRef from[2] = { LLVMGetInsertBlock(cg->b) };
    branch_else(cg, &b);
    val[1] = load_in_branch(g, v, &in, lanes);
    from[1] = LLVMGetInsertBlock(cg->b);
    branch_end(cg, &b);
    LLVMValueRef phi = LLVMBuildPhi(cg->b, LLVMTypeOf(val[0]), "");
    LLVMAddIncoming(phi, val, from, 2);
    return phi;
}

static LLVMValueRef load_pointwise(Group *g, const Node *n, const Index *at, int lanes)
{
    LLVMValueRef arg[4];
    for (int i = 0; i < n->nin; i++) {
        const Value *v = node_in(n, i);
        arg[i] = g->space ? group_load(g, v, at, lanes) : load_broadcast(g, v, at, &node_out(n)->type, lanes);
    }
    return cg_elementwise(g->cg, n, arg, lanes);
}

/* ---- the value itself ---- */

static LLVMValueRef recall(const Group *g, const Value *v, const Index *at, int lanes)
{
    for (int i = g->nmemo - 1; at->id && i >= 0; i--)
        if (g->memo[i].v == v && g->memo[i].index_id == at->id && g->memo[i].lanes == lanes)
            return g->memo[i].val;
    return NULL;
}

static void remember(Group *g, const Value *v, const Index *at, int lanes, LLVMValueRef val)
{
    if (!at->id || g->nmemo == MAX_MEMO)
        return;
    g->memo[g->nmemo].v = v;
    g->memo[g->nmemo].index_id = at->id;
    g->memo[g->nmemo].lanes = lanes;
    g->memo[g->nmemo++].val = val;
}

static LLVMValueRef load_constant(Group *g, const Value *v, const Index *at, int lanes)
{
    LLVMValueRef k = uniform_constant(g, v, lanes);
    if (k)
        return k;
    diag_error(g->cg->m->diag, v->def->loc, "internal: a constant of %lld elements inside a kernel", (long long)value_constant(v)->count);
    g->cg->error = "constant inside a kernel";
    (void)at;
    return LLVMConstNull(cg_compute_type(g->cg, v->type.dtype, lanes));
}

static LLVMValueRef compute(Group *g, const Value *v, const Index *at, int lanes, LLVMValueRef mask)
{
    int k = group_operand(g, v);
    const Node *n = v->def;
    if (k >= 0) {
        LLVMValueRef c = uniform_constant(g, g->operand[k], lanes);
        return c ? c : g->space ? load_merged(g, k, at, lanes, mask) : load_full(g, k, at, lanes, mask);
    }
    if (n->op == OP_constant)
        return load_constant(g, v, at, lanes);
    LLVMValueRef looked_up = byte_table_load(g, v, at, lanes);
    const Movement *move = &movement_table[n->op];
    return looked_up ? looked_up : (move->load ? move->load : load_pointwise)(g, n, at, lanes);
}

LLVMValueRef group_load(Group *g, const Value *v, const Index *at, int lanes)
{
    if (v == g->given_value)
        return g->given;
    for (int i = 0; i < g->nknown; i++)
        if (g->known[i].v == v)
            return cg_splat(g->cg, g->known[i].scalar, lanes);
    LLVMValueRef val = recall(g, v, at, lanes);
    if (!val) {
        val = compute(g, v, at, lanes, g->mask);
        remember(g, v, at, lanes, val);
    }
    return val;
}

LLVMValueRef group_epilogue(Group *g, LLVMValueRef anchor_value, const Index *at, int lanes)
{
    return group_epilogue_masked(g, anchor_value, at, lanes, NULL);
}

LLVMValueRef group_epilogue_masked(Group *g, LLVMValueRef anchor_value, const Index *at, int lanes, LLVMValueRef mask)
{
    int keep = g->nmemo;
    DType t = node_out(g->anchor)->type.dtype;
    g->given_value = node_out(g->anchor);
    g->given = dtype_table[t].cls == CLS_MINI ? cg_from_storage(g->cg, t, cg_to_storage(g->cg, t, anchor_value, lanes, false), lanes)
                                              : anchor_value;       /* every op rounds its result once */
    g->mask = mask;
    LLVMValueRef v = group_load(g, g->result, at, lanes);
    g->nmemo = keep;
    g->given_value = NULL;
    g->mask = NULL;
    return v;
}

/* ---- can the last dim run along vector lanes? ---- */

static bool operand_lanes_ok(LaneWalk *w, const Value *v, const int64_t *lane)
{
    int64_t step = memory_step(w->g->cg->m->dims, &v->type, lane);
    if (step < 2 || !w->cuts)
        return step == 0 || step == 1;
    w->cuts->strided = true;
    return step <= MAX_STEP;
}

bool lanes_through_broadcast(LaneWalk *w, const Node *n, const int64_t *lane)
{
    const Type *to = &node_out(n)->type;
    for (int i = 0; i < n->nin; i++) {
        const Type *from = &node_in(n, i)->type;
        int64_t in[MAX_RANK] = { 0 };
        for (int d = 0; d < from->rank; d++) {
            int o = d + to->rank - from->rank;
            bool same = from->dim[d] == to->dim[o], one = dim_is(from->dim[d], 1);
            in[d] = one && !same ? 0 : lane[o];
        }
        if (!lanes_ok(w, node_in(n, i), in))
            return false;
    }
    return true;
}

bool lanes_ok(LaneWalk *w, const Value *v, const int64_t *lane)
{
    if (w->budget-- <= 0)
        return false;
    if (group_operand(w->g, v) >= 0)
        return operand_lanes_ok(w, v, lane);
    if (v->def->op == OP_constant || v->def == w->g->anchor || (w->g->rows && v->def->op == OP_reduce))
        return true;                                /* the anchor's result is given, a row's sums are known */
    const Movement *move = &movement_table[v->def->op];
    return (move->lanes ? move->lanes : lanes_through_broadcast)(w, v->def, lane);
}

static bool lanes_ok_along(Group *g, const Value *v, int dim, LaneCuts *cuts)
{
    Dim size = v->type.dim[dim];
    LaneWalk w = { g, 2000, dim_is_const(size) ? size->k : 0, dim_const(g->cg->m->dims, 0), cuts };
    int64_t lane[MAX_RANK] = { 0 };
    lane[dim] = 1;
    return v->type.dtype != DT_str && lanes_ok(&w, v, lane);
}

bool group_lanes_ok_along(Group *g, const Value *v, int dim)
{
    return lanes_ok_along(g, v, dim, NULL);
}

static int by_value(const void *a, const void *b)
{
    const Dim x = *(const Dim *)a, y = *(const Dim *)b;
    return (x->k > y->k) - (x->k < y->k);
}

/* Ascending; false: where they lie depends on the run, and nothing says in which order. */
static bool sort_cuts(DimTable *dims, LaneCuts *c)
{
    bool fixed = true;
    for (int i = 0; i < c->n; i++)
        fixed = fixed && dim_is_const(c->at[i]);
    if (fixed)
        qsort(c->at, (size_t)c->n, sizeof *c->at, by_value);
    for (int i = 1; !fixed && i < c->n; i++)
        if (!dim_nonneg(dim_sub(dims, c->at[i], c->at[i - 1])))
            return false;
    return true;
}

bool group_lanes_cut(Group *g, const Value *v, int dim, LaneCuts *cuts)
{
    *cuts = (LaneCuts){ .n = 0 };
    return lanes_ok_along(g, v, dim, cuts) && sort_cuts(g->cg->m->dims, cuts);
}

bool group_lanes_ok(Group *g, const Value *v)
{
    if (!v->type.rank || v->type.dtype == DT_str)
        return false;
    if (!g->elementwise || !g->space)
        return group_lanes_ok_along(g, v, v->type.rank - 1);
    return true;                                    /* merged: lanes run along the last merged dim, which operands have, lack, or may lack (load_merged) */
}
