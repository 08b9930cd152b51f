/* movement.c -- the ops that move data, as seen by a kernel that reads through them: each maps the index of its result to indices of its operands.
 * Two functions per op side by side: load_<op> emits the read, lanes_<op> says whether a vector of neighbours can be read at once. See movement.h.
 */
#include "movement.h"

#include <string.h>

/* After an op's operand was walked: what is known about lanes is again what was known at its result. */
static void walk_back(LaneWalk *w, const LaneWalk *before)
{
    w->block = before->block;
    w->shift = before->shift;
}

/* The index along the lanes crosses `at` between two columns. */
static bool cut_at(LaneWalk *w, Dim at)
{
    if (!w->cuts || !w->shift || w->cuts->n == MAX_CUTS)
        return false;
    w->cuts->at[w->cuts->n++] = dim_sub(w->g->cg->m->dims, at, w->shift);
    return true;
}

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
    int64_t in[MAX_RANK] = { 0 };
    LaneWalk before = *w;
    DimTable *dims = w->g->cg->m->dims;
    for (int d = 0; d < node_out(n)->type.rank; d++) {
        in[d] = lane[d] * a->steps.v[d];
        if (!lane[d])
            continue;
        if (!(w->block && a->steps.v[d] == 1 && dim_divides(dims, a->starts.v[d], w->block)))
            w->block = 0;
        w->shift = w->shift && a->steps.v[d] == 1 ? dim_add(dims, w->shift, a->starts.v[d]) : NULL;
    }
    bool ok = lanes_ok(w, node_in(n, 0), in);
    walk_back(w, &before);
    return ok;
}

/* ---- reshape: runs of dims on both sides that hold the same elements ---- */

typedef struct Run { int to, to_end, from, from_end; } Run;

/* The finest division of both shapes into runs of equal products, from the outside in. */
static int reshape_runs(DimTable *dims, const Type *to, const Type *from, Run *run)
{
    Dim have = dim_const(dims, 1), product[MAX_RANK + 1];
    int n = 0, j = 0, done_to = 0, done_from = 0;
    product[0] = have;
    for (int k = 0; k < from->rank; k++)
        product[k + 1] = dim_mul(dims, product[k], from->dim[k]);
    for (int i = 1; i <= to->rank; i++) {
        have = dim_mul(dims, have, to->dim[i - 1]);
        int match = i == to->rank ? from->rank : -1;
        for (int k = j; k <= from->rank && i < to->rank; k++)
            match = product[k] == have ? k : match;
        if (match < 0)
            continue;
        run[n++] = (Run){ done_to, i, done_from, match };
        done_to = i;
        done_from = j = match;
    }
    return n;
}

/* The last dim of [begin, end) that is not of size 1, or -1. */
static int innermost(const Type *t, int begin, int end)
{
    while (end > begin && dim_is(t->dim[end - 1], 1))
        end--;
    return end > begin ? end - 1 : -1;
}

static LLVMValueRef load_reshape(Group *g, const Node *n, const Index *at, int lanes)
{
    const Type *from = &node_in(n, 0)->type, *to = &node_out(n)->type;
    Index in = index_new(g, from->rank);
    Run run[MAX_RANK];
    in.id = 0;
    for (int i = 0, runs = reshape_runs(g->cg->m->dims, to, from, run); i < runs; i++) {
        const Run *r = &run[i];
        LLVMValueRef flat = linear_offset(g, r->to_end - r->to, to->dim + r->to, at->v + r->to);
        split_index(g, flat, r->from_end - r->from, from->dim + r->from, in.v + r->from);
        int mine = innermost(to, r->to, r->to_end), theirs = innermost(from, r->from, r->from_end);
        if (lanes > 1 && mine >= 0 && theirs >= 0)          /* lanes_reshape saw that they stay within that dim */
            in.lane[theirs] = at->lane[mine];
    }
    return group_load(g, node_in(n, 0), &in, lanes);
}

/* Lanes run along the last dim of a run, on both sides: it is the same, or a part of the operand's. */
static bool lanes_within_run(LaneWalk *w, const Type *to, const Type *from, const Run *r, const int64_t *lane, int64_t *in)
{
    int mine = innermost(to, r->to, r->to_end), theirs = innermost(from, r->from, r->from_end);
    for (int d = r->to; d < r->to_end; d++)
        if (lane[d] && d != mine && !dim_is(to->dim[d], 1))
            return false;
    if (mine < 0 || !lane[mine])
        return true;
    if (theirs < 0)
        return false;
    Dim size = to->dim[mine], whole = from->dim[theirs];
    if (size != whole && !(dim_is_const(size) && size->k > 0 && dim_divides(w->g->cg->m->dims, whole, size->k)))
        return false;
    in[theirs] = lane[mine];
    if (size != whole) {
        w->block = size->k;
        w->shift = NULL;
    }
    return true;
}

static bool lanes_reshape(LaneWalk *w, const Node *n, const int64_t *lane)
{
    const Type *from = &node_in(n, 0)->type, *to = &node_out(n)->type;
    int64_t in[MAX_RANK] = { 0 };
    Run run[MAX_RANK];
    LaneWalk before = *w;
    bool ok = true;
    for (int i = 0, runs = reshape_runs(w->g->cg->m->dims, to, from, run); ok && i < runs; i++)
        ok = lanes_within_run(w, to, from, &run[i], lane, in);
    ok = ok && lanes_ok(w, node_in(n, 0), in);
    walk_back(w, &before);
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

/* Along the axis all lanes must fall into one part: parts begin at multiples of the block that the lanes stay within, or at cuts. */
static bool lanes_along_concat(LaneWalk *w, const Node *n, const int64_t *lane)
{
    DimTable *dims = w->g->cg->m->dims;
    int64_t axis = NODE_ATTR(n, concat)->axis;
    LaneWalk before = *w;
    bool ok = true, whole = w->block > 0;
    Dim start = dim_const(dims, 0);
    for (int i = 0; i < n->nin; i++)
        whole = whole && dim_divides(dims, node_in(n, i)->type.dim[axis], w->block);
    for (int i = 0; ok && i < n->nin; i++) {
        ok = i == 0 || whole || (lane[axis] == 1 && cut_at(w, start));
        w->shift = w->shift ? dim_sub(dims, before.shift, start) : NULL;
        w->block = whole ? before.block : 0;
        ok = ok && lanes_ok(w, node_in(n, i), lane);
        walk_back(w, &before);
        start = dim_add(dims, start, node_in(n, i)->type.dim[axis]);
    }
    return ok;
}

static bool lanes_concat(LaneWalk *w, const Node *n, const int64_t *lane)
{
    bool ok = true;
    if (lane[NODE_ATTR(n, concat)->axis])
        return lanes_along_concat(w, n, lane);
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

/* Along a padded axis columns are cut where the operand begins and ends. */
static bool lanes_pad(LaneWalk *w, const Node *n, const int64_t *lane)
{
    const Attr_pad *a = NODE_ATTR(n, pad);
    DimTable *dims = w->g->cg->m->dims;
    LaneWalk before = *w;
    bool constant = !a->mode || !strcmp(a->mode, "constant"), ok = true;
    for (int d = 0; ok && d < node_out(n)->type.rank; d++) {
        if (!lane[d] || (dim_is(a->before.v[d], 0) && dim_is(a->after.v[d], 0)))
            continue;
        ok = constant && lane[d] == 1 && cut_at(w, a->before.v[d]) && cut_at(w, dim_add(dims, a->before.v[d], node_in(n, 0)->type.dim[d]));
        if (ok)
            w->shift = dim_sub(dims, w->shift, a->before.v[d]);
        w->block = 0;
    }
    ok = ok && lanes_ok(w, node_in(n, 0), lane);
    walk_back(w, &before);
    return ok;
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
