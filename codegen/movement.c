/* movement.c -- the ops that move data, as seen by a kernel that reads through them: each maps the index of its result to indices of its operands.
 * Two functions per op side by side: load_<op> emits the read, lanes_<op> says whether a vector of neighbours can be read at once. See movement.h.
 */
#include "movement.h"

#include <string.h>

static LLVMValueRef load_transpose(Group *g, const Node *n, const Index *at, int lanes)
{
    const int64_t *perm = NODE_ATTR(n, transpose)->perm.v;
    Index in = { .rank = at->rank };
    for (int i = 0; i < at->rank; i++) {
        in.v[perm[i]] = at->v[i];
        in.lane[perm[i]] = at->lane[i];
    }
    return group_load(g, node_in(n, 0), &in, lanes);
}

static bool lanes_transpose(LaneWalk *w, const Node *n, const int64_t *lane)
{
    int64_t in[MAX_RANK] = { 0 };
    for (int d = 0; d < node_out(n)->type.rank; d++)
        in[NODE_ATTR(n, transpose)->perm.v[d]] = lane[d];
    return lanes_ok(w, node_in(n, 0), in);
}

static LLVMValueRef load_expand(Group *g, const Node *n, const Index *at, int lanes)
{
    return load_broadcast(g, node_in(n, 0), at, &node_out(n)->type, lanes);
}

static LLVMValueRef load_slice(Group *g, const Node *n, const Index *at, int lanes)
{
    const Attr_slice *a = NODE_ATTR(n, slice);
    Index in = { .rank = at->rank };
    for (int i = 0; i < at->rank; i++) {
        LLVMValueRef scaled = LLVMBuildNSWMul(g->cg->b, at->v[i], cg_i64(g->cg, a->steps.v[i]), "");
        in.v[i] = LLVMBuildNSWAdd(g->cg->b, scaled, group_dim(g, a->starts.v[i]), "");
        in.lane[i] = at->lane[i] * a->steps.v[i];
    }
    return group_load(g, node_in(n, 0), &in, lanes);
}

static bool lanes_slice(LaneWalk *w, const Node *n, const int64_t *lane)
{
    const Attr_slice *a = NODE_ATTR(n, slice);
    int64_t in[MAX_RANK] = { 0 }, block = w->block;
    for (int d = 0; d < node_out(n)->type.rank; d++) {
        in[d] = lane[d] * a->steps.v[d];
        if (lane[d] && !(block && a->steps.v[d] == 1 && dim_divides(w->g->cg->m->dims, a->starts.v[d], block)))
            w->block = 0;
    }
    bool ok = lanes_ok(w, node_in(n, 0), in);
    w->block = block;
    return ok;
}

/* ---- reshape ---- */

/* How many of the last dims of two shapes have the same product, the fewest of `a` and then of `b`; all of both if no fewer do. */
static void common_tail(DimTable *dims, int ra, const Dim *a, int rb, const Dim *b, int *na, int *nb)
{
    Dim pa = dim_const(dims, 1), pb;
    for (*na = 1; *na < ra; ++*na) {
        pa = dim_mul(dims, pa, a[ra - *na]);
        pb = dim_const(dims, 1);
        for (*nb = 1; *nb <= rb; ++*nb) {
            pb = dim_mul(dims, pb, b[rb - *nb]);
            if (pa == pb)
                return;
        }
    }
    *na = ra, *nb = rb;
}

/* The index of the operand, group by group of dims with the same product: so that sizes which both shapes have are not divided by. */
static void map_reshape(Group *g, const Type *to, const LLVMValueRef *at, const Type *from, LLVMValueRef *in)
{
    int rt = to->rank, rf = from->rank;
    while (rt > 0 && rf > 0) {
        int nt, nf;
        common_tail(g->cg->m->dims, rt, to->dim, rf, from->dim, &nt, &nf);
        rt -= nt, rf -= nf;
        split_index(g, linear_offset(g, nt, to->dim + rt, at + rt), nf, from->dim + rf, in + rf);
    }
    while (rf > 0)                                  /* sizes of 1 that are left */
        in[--rf] = cg_i64(g->cg, 0);
}

static LLVMValueRef load_reshape(Group *g, const Node *n, const Index *at, int lanes)
{
    const Type *from = &node_in(n, 0)->type, *to = &node_out(n)->type;
    Index in = { .rank = from->rank };
    map_reshape(g, to, at->v, from, in.v);
    if (lanes > 1 && from->rank)                    /* lanes_reshape saw that they stay within the last dim */
        in.lane[from->rank - 1] = at->lane[at->rank - 1];
    return group_load(g, node_in(n, 0), &in, lanes);
}

/* Lanes run along the last dim of both: it is the same, or a part of the operand's. */
static bool lanes_reshape(LaneWalk *w, const Node *n, const int64_t *lane)
{
    const Type *from = &node_in(n, 0)->type, *to = &node_out(n)->type;
    int64_t in[MAX_RANK] = { 0 };
    int rank = to->rank;
    for (int d = 0; d < rank - 1; d++)
        if (lane[d])
            return false;
    if (!rank || !lane[rank - 1])
        return true;
    if (!from->rank)
        return false;
    Dim mine = from->dim[from->rank - 1], theirs = to->dim[rank - 1];
    if (mine != theirs && !(dim_is_const(theirs) && theirs->k > 0 && dim_divides(w->g->cg->m->dims, mine, theirs->k)))
        return false;
    in[from->rank - 1] = lane[rank - 1];
    int64_t block = w->block;
    w->block = mine == theirs ? block : theirs->k;
    bool ok = lanes_ok(w, node_in(n, 0), in);
    w->block = block;
    return ok;
}

static LLVMValueRef load_iota(Group *g, const Node *n, const Index *at, int lanes)
{
    Codegen *cg = g->cg;
    int64_t axis = NODE_ATTR(n, iota)->axis;
    DType t = node_out(n)->type.dtype;
    LLVMValueRef v = at->v[axis];
    if (lanes > 1) {
        LLVMValueRef step[64];
        for (int i = 0; i < lanes; i++)
            step[i] = cg_i64(cg, i * at->lane[axis]);
        v = LLVMBuildAdd(cg->b, cg_splat(cg, v, lanes), LLVMConstVector(step, (unsigned)lanes), "");
    }
    LLVMTypeRef to = cg_compute_type(cg, t, lanes);
    if (dtype_is_float(t))
        return LLVMBuildSIToFP(cg->b, v, to, "");
    return t == DT_i64 || t == DT_u64 ? v : LLVMBuildTrunc(cg->b, v, to, "");
}

static bool lanes_iota(LaneWalk *w, const Node *n, const int64_t *lane)
{
    (void)w, (void)n, (void)lane;
    return true;
}

static LLVMValueRef load_concat(Group *g, const Node *n, const Index *at, int lanes)
{
    Codegen *cg = g->cg;
    int64_t axis = NODE_ATTR(n, concat)->axis;
    LLVMBasicBlockRef done = cg_block(cg, "concat"), from[MAX_OPERANDS];
    LLVMValueRef val[MAX_OPERANDS], start = cg_i64(cg, 0);
    int last = n->nin - 1;
    for (int i = 0; i <= last; i++) {
        LLVMValueRef end = LLVMBuildNSWAdd(cg->b, start, group_dim(g, node_in(n, i)->type.dim[axis]), "");
        LLVMBasicBlockRef here = cg_block(cg, "part"), next = i < last ? cg_block(cg, "next") : NULL;
        if (next)
            LLVMBuildCondBr(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, at->v[axis], end, ""), here, next);
        else
            LLVMBuildBr(cg->b, here);
        LLVMPositionBuilderAtEnd(cg->b, here);
        Index in = *at;
        in.id = 0;
        in.v[axis] = LLVMBuildNSWSub(cg->b, at->v[axis], start, "");
        val[i] = load_in_branch(g, node_in(n, i), &in, lanes);
        from[i] = LLVMGetInsertBlock(cg->b);
        LLVMBuildBr(cg->b, done);
        if (next)
            LLVMPositionBuilderAtEnd(cg->b, next);
        start = end;
    }
    LLVMPositionBuilderAtEnd(cg->b, done);
    LLVMValueRef phi = LLVMBuildPhi(cg->b, LLVMTypeOf(val[0]), "");
    LLVMAddIncoming(phi, val, from, (unsigned)n->nin);
    return phi;
}

/* Along the axis all lanes must fall into one part: parts begin at multiples of the block that the lanes stay within. */
static bool lanes_concat(LaneWalk *w, const Node *n, const int64_t *lane)
{
    int64_t axis = NODE_ATTR(n, concat)->axis, block = w->block;
    bool ok = true;
    for (int i = 0; ok && lane[axis] && i < n->nin; i++)
        ok = block && dim_divides(w->g->cg->m->dims, node_in(n, i)->type.dim[axis], block);
    for (int i = 0; ok && i < n->nin; i++)
        ok = lanes_ok(w, node_in(n, i), lane);
    return ok;
}

/* Index of a padded axis brought back inside [0, size) the way the mode says. */
static LLVMValueRef pad_source(Group *g, const char *mode, LLVMValueRef i, LLVMValueRef size)
{
    Codegen *cg = g->cg;
    LLVMValueRef zero = cg_i64(cg, 0), one = cg_i64(cg, 1), top = LLVMBuildSub(cg->b, size, one, "");
    if (!strcmp(mode, "wrap")) {
        LLVMValueRef r = LLVMBuildSRem(cg->b, i, size, "");
        return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, r, zero, ""), LLVMBuildAdd(cg->b, r, size, ""), r, "");
    }
    if (!strcmp(mode, "reflect")) {                 /* period 2*top, folded in the middle */
        LLVMValueRef period = LLVMBuildMul(cg->b, top, cg_i64(cg, 2), ""), none = LLVMBuildICmp(cg->b, LLVMIntEQ, top, zero, "");
        LLVMValueRef r = LLVMBuildSRem(cg->b, i, LLVMBuildSelect(cg->b, none, one, period, ""), "");
        r = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, r, zero, ""), LLVMBuildAdd(cg->b, r, period, ""), r, "");
        return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSGT, r, top, ""), LLVMBuildSub(cg->b, period, r, ""), r, "");
    }
    i = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, i, zero, ""), zero, i, "");
    return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSGT, i, top, ""), top, i, "");
}

static LLVMValueRef pad_value(Group *g, const Node *n, int lanes)
{
    Index none = { .rank = 0 };
    if (!node_in(n, 1))
        return LLVMConstNull(cg_compute_type(g->cg, node_out(n)->type.dtype, lanes));
    const Space *space = g->space;
    g->space = NULL;
    LLVMValueRef v = group_load(g, node_in(n, 1), &none, lanes);
    g->space = space;
    return v;
}

static LLVMValueRef load_pad(Group *g, const Node *n, const Index *at, int lanes)
{
    Codegen *cg = g->cg;
    const Attr_pad *a = NODE_ATTR(n, pad);
    const Type *from = &node_in(n, 0)->type;
    bool constant = !a->mode || !strcmp(a->mode, "constant");
    Index in = *at;
    LLVMValueRef inside = NULL;
    in.id = 0;
    for (int i = 0; i < at->rank; i++) {
        if (dim_is(a->before.v[i], 0) && dim_is(a->after.v[i], 0))
            continue;
        LLVMValueRef size = group_dim(g, from->dim[i]);
        in.v[i] = LLVMBuildNSWSub(cg->b, at->v[i], group_dim(g, a->before.v[i]), "");
        if (!constant) {
            in.v[i] = pad_source(g, a->mode, in.v[i], size);
            continue;
        }
        LLVMValueRef ok = LLVMBuildICmp(cg->b, LLVMIntULT, in.v[i], size, "");      /* negative is huge */
        inside = inside ? LLVMBuildAnd(cg->b, inside, ok, "") : ok;
    }
    if (!inside)
        return group_load(g, node_in(n, 0), &in, lanes);
    LLVMValueRef outside = pad_value(g, n, lanes);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(cg->b), read = cg_block(cg, "inside"), done = cg_block(cg, "padded");
    LLVMBuildCondBr(cg->b, inside, read, done);
    LLVMPositionBuilderAtEnd(cg->b, read);
    LLVMValueRef v = load_in_branch(g, node_in(n, 0), &in, lanes);
    LLVMBasicBlockRef after = LLVMGetInsertBlock(cg->b);
    LLVMBuildBr(cg->b, done);
    LLVMPositionBuilderAtEnd(cg->b, done);
    LLVMValueRef phi = LLVMBuildPhi(cg->b, LLVMTypeOf(v), "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){ v, outside }, (LLVMBasicBlockRef[]){ after, before }, 2);
    return phi;
}

static bool lanes_pad(LaneWalk *w, const Node *n, const int64_t *lane)
{
    const Attr_pad *a = NODE_ATTR(n, pad);
    for (int d = 0; d < node_out(n)->type.rank; d++)
        if (lane[d] && !(dim_is(a->before.v[d], 0) && dim_is(a->after.v[d], 0)))
            return false;
    return lanes_ok(w, node_in(n, 0), lane);
}

const Movement movement_table[OP_count] = {
    [OP_transpose] = { load_transpose, lanes_transpose },
    [OP_expand] = { load_expand, lanes_through_broadcast },
    [OP_slice] = { load_slice, lanes_slice },
    [OP_reshape] = { load_reshape, lanes_reshape },
    [OP_iota] = { load_iota, lanes_iota },
    [OP_concat] = { load_concat, lanes_concat },
    [OP_pad] = { load_pad, lanes_pad },
};
