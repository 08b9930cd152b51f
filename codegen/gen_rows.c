/* gen_rows.c -- reductions over the last dim and elementwise ops between and behind them, row by row: LayerNorm, RMSNorm and their like (fuse_rows.c).
 *
 * A unit is a row. What has one element per row is computed once, as a scalar, in the order of the body; a reduction is a sweep over the row, and the result,
 * if it has a row's shape, is the last sweep. The row stays in the first-level cache in between. The order of a sum is fixed: four vectors of
 * 16 lanes take turns, their sum is added up across the lanes, then come the elements that fill no vector.
 */
#include "gen.h"

enum { TURNS = 4 };

typedef struct Rows {
    Group *g;
    const Type *full;               /* of a reduction's operand */
    int axis;                       /* the last */
    LLVMValueRef n;                 /* elements of a row */
    Index at;                       /* of the row */
} Rows;

static LLVMValueRef element(Rows *r, const Value *v, LLVMValueRef column, int lanes)
{
    Index at = r->at;
    at.id = r->g->next_index_id++;
    at.v[r->axis] = column;
    at.lane[r->axis] = lanes > 1;
    LLVMValueRef x = group_load(r->g, v, &at, lanes);
    r->g->nmemo = 0;
    return x;
}

/* Largest multiple of `step` that is not above n. */
static LLVMValueRef whole(Rows *r, int64_t step)
{
    return LLVMBuildAnd(r->g->cg->b, r->n, cg_i64(r->g->cg, -step), "");
}

/* acc[i] = acc[i] op x[columns], `turns` vectors or scalars at a time. */
static void accumulate(Rows *r, const Reducer *op, const Value *x, LLVMValueRef from, LLVMValueRef to, LLVMValueRef *acc, int turns, int lanes)
{
    Codegen *cg = r->g->cg;
    Loop l = loop_begin(cg, from, to, turns * lanes, "reduce");
    for (int i = 0; i < turns; i++) {
        LLVMValueRef v = element(r, x, LLVMBuildAdd(cg->b, l.index, cg_i64(cg, i * lanes), ""), lanes);
        cg_set(cg, acc[i], reducer_apply(cg, op, cg_get(cg, acc[i]), v, lanes));
    }
    loop_end(cg, &l);
}

static LLVMValueRef reduced_vectors(Rows *r, const Reducer *op, const Value *x)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef acc[TURNS], zero = cg_i64(cg, 0);
    for (int i = 0; i < TURNS; i++)
        acc[i] = cg_variable(cg, cg_splat(cg, op->identity, CG_LANES));
    accumulate(r, op, x, zero, whole(r, TURNS * CG_LANES), acc, TURNS, CG_LANES);
    accumulate(r, op, x, whole(r, TURNS * CG_LANES), whole(r, CG_LANES), acc, 1, CG_LANES);
    LLVMValueRef half[2];
    for (int i = 0; i < 2; i++)
        half[i] = reducer_apply(cg, op, cg_get(cg, acc[i]), cg_get(cg, acc[i + 2]), CG_LANES);
    return reducer_across(cg, op, reducer_apply(cg, op, half[0], half[1], CG_LANES));
}

static LLVMValueRef reduced(Rows *r, const Node *reduce)
{
    Codegen *cg = r->g->cg;
    const Value *x = node_in(reduce, 0);
    Reducer op = reducer_of(cg, NODE_ATTR(reduce, reduce)->kind, x->type.dtype);
    bool vector = group_lanes_ok_along(r->g, x, r->axis);
    LLVMValueRef rest = cg_variable(cg, op.identity), total = vector ? reduced_vectors(r, &op, x) : NULL;
    accumulate(r, &op, x, vector ? whole(r, CG_LANES) : cg_i64(cg, 0), r->n, &rest, 1, 1);
    total = vector ? reducer_apply(cg, &op, total, cg_get(cg, rest), 1) : cg_get(cg, rest);
    DType t = node_out(reduce)->type.dtype;             /* every op rounds its result once */
    return dtype_table[t].cls == CLS_MINI ? cg_from_storage(cg, t, cg_to_storage(cg, t, total, 1, false), 1) : total;
}

/* A value with one element per row is known from here on. */
static void know(Rows *r, const Value *v, LLVMValueRef scalar)
{
    Group *g = r->g;
    if (g->nknown == MAX_KNOWN) {
        g->cg->error = "too many values per row";
        return;
    }
    g->known[g->nknown].v = v;
    g->known[g->nknown++].scalar = scalar;
}

static bool is_full(const Rows *r, const Value *v)
{
    return v->type.rank == r->full->rank && v->type.dim[r->axis] == r->full->dim[r->axis];
}

static void store_row(Rows *r, LLVMValueRef base, LLVMValueRef from, LLVMValueRef to, int lanes)
{
    Codegen *cg = r->g->cg;
    Loop l = loop_begin(cg, from, to, lanes, "store");
    LLVMValueRef v = element(r, r->g->result, l.index, lanes);
    group_store(r->g, v, LLVMBuildNSWAdd(cg->b, base, l.index, ""), lanes, NULL);
    loop_end(cg, &l);
}

static void compute_row(Rows *r, LLVMValueRef row)
{
    Group *g = r->g;
    Codegen *cg = g->cg;
    g->nknown = 0;
    FOR_EACH_NODE(n, g->body) {
        if (n->op == OP_reduce)
            know(r, node_out(n), reduced(r, n));
        else if (n->nin && n->nout && !is_full(r, node_out(n)))
            know(r, node_out(n), element(r, node_out(n), cg_i64(cg, 0), 1));
    }
    if (!is_full(r, g->result)) {
        group_store(g, element(r, g->result, cg_i64(cg, 0), 1), row, 1, NULL);
        return;
    }
    LLVMValueRef base = LLVMBuildNSWMul(cg->b, row, r->n, ""), stop = cg_i64(cg, 0);
    if (group_lanes_ok_along(g, g->result, r->axis)) {
        stop = whole(r, CG_LANES);
        store_row(r, base, cg_i64(cg, 0), stop, CG_LANES);
    }
    store_row(r, base, stop, r->n, 1);
}

bool gen_rows(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Rows r = { .g = g, .full = &node_in(g->anchor, 0)->type, .axis = node_in(g->anchor, 0)->type.rank - 1 };
    Dim rows = dim_const(dims, 1);
    for (int d = 0; d < r.axis; d++)
        rows = dim_mul(dims, rows, r.full->dim[d]);
    *work = (Work){ rows, dim_mulk(dims, r.full->dim[r.axis], 3) };
    g->space = NULL;
    r.n = group_dim(g, r.full->dim[r.axis]);
    Loop l = loop_begin(cg, begin, end, 1, "row");
    r.at = index_new(g, r.full->rank);
    split_index(g, l.index, r.axis, r.full->dim, r.at.v);
    compute_row(&r, l.index);
    loop_end(cg, &l);
    g->nknown = 0;
    return true;
}
