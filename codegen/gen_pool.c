/* gen_pool.c -- max and average pooling over any number of spatial axes, with an epilogue.
 *
 *     for each position of the result but the last dim     <- units
 *         for columns of the last dim (channels: 16 at a time; else the last spatial axis, one by one)
 *             for the part of the window that lies inside the input
 */
#include "gen.h"

#include <string.h>

typedef struct Pool {
    Group *g;
    const Attr_pool *attr;
    const Value *x;
    int spatial;                    /* number of spatial axes */
    int first;                      /* dim number of the first of them */
    Reducer reducer;
    bool average;
} Pool;

static LLVMValueRef clamp(Codegen *cg, LLVMIntPredicate keep, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, keep, a, b, ""), a, b, "");
}

/* ceil(a / k) for k > 0, any a. */
static LLVMValueRef ceil_div(Codegen *cg, LLVMValueRef a, int64_t k)
{
    if (k == 1)
        return a;
    LLVMValueRef up = LLVMBuildAdd(cg->b, a, cg_i64(cg, k - 1), ""), q = LLVMBuildSDiv(cg->b, up, cg_i64(cg, k), "");
    LLVMValueRef r = LLVMBuildSRem(cg->b, up, cg_i64(cg, k), "");
    LLVMValueRef low = LLVMBuildICmp(cg->b, LLVMIntSLT, r, cg_i64(cg, 0), "");
    return LLVMBuildSub(cg->b, q, LLVMBuildZExt(cg->b, low, cg->i64, ""), "");
}

typedef struct Window { LLVMValueRef start, from, to, count; } Window;

/* Taps of axis i whose position lies inside the input, and how many the average divides by. */
static Window window_of(const Pool *p, int i, LLVMValueRef out)
{
    Codegen *cg = p->g->cg;
    const Attr_pool *a = p->attr;
    int64_t dil = a->dilations.n ? a->dilations.v[i] : 1, stride = a->strides.n ? a->strides.v[i] : 1, k = a->kernel.v[i];
    int64_t before = a->pads.n ? a->pads.v[i] : 0, after = a->pads.n ? a->pads.v[i + p->spatial] : 0;
    LLVMValueRef size = group_dim(p->g, p->x->type.dim[p->first + i]), zero = cg_i64(cg, 0), all = cg_i64(cg, k);
    Window w;
    w.start = LLVMBuildSub(cg->b, LLVMBuildMul(cg->b, out, cg_i64(cg, stride), ""), cg_i64(cg, before), "");
    w.from = clamp(cg, LLVMIntSGT, ceil_div(cg, LLVMBuildNeg(cg->b, w.start, ""), dil), zero);
    w.to = clamp(cg, LLVMIntSLT, ceil_div(cg, LLVMBuildSub(cg->b, size, w.start, ""), dil), all);
    if (a->count_pad) {
        LLVMValueRef padded = LLVMBuildAdd(cg->b, size, cg_i64(cg, after), "");
        w.count = clamp(cg, LLVMIntSLT, ceil_div(cg, LLVMBuildSub(cg->b, padded, w.start, ""), dil), all);
    } else {
        w.count = LLVMBuildSub(cg->b, w.to, w.from, "");
    }
    return w;
}

/* Nested loops over the taps of axis i and inward; acc is updated. */
static void pool_axis(const Pool *p, int i, const Window *w, Index *at, LLVMValueRef acc, int lanes)
{
    Codegen *cg = p->g->cg;
    if (i == p->spatial) {
        at->id = p->g->next_index_id++;
        LLVMValueRef v = group_load(p->g, p->x, at, lanes);
        p->g->nmemo = 0;
        cg_set(cg, acc, reducer_apply(cg, &p->reducer, cg_get(cg, acc), v, lanes));
        return;
    }
    int64_t dil = p->attr->dilations.n ? p->attr->dilations.v[i] : 1;
    Loop l = loop_begin(cg, w[i].from, w[i].to, 1, "tap");
    at->v[p->first + i] = LLVMBuildAdd(cg->b, w[i].start, LLVMBuildMul(cg->b, l.index, cg_i64(cg, dil), ""), "");
    pool_axis(p, i + 1, w, at, acc, lanes);
    loop_end(cg, &l);
}

static void pool_one(const Pool *p, const Index *out, LLVMValueRef offset, int lanes)
{
    Codegen *cg = p->g->cg;
    Window w[MAX_RANK];
    Index at = *out;
    LLVMValueRef acc = cg_variable(cg, lanes > 1 ? cg_splat(cg, p->reducer.identity, lanes) : p->reducer.identity), count = cg_i64(cg, 1);
    for (int i = 0; i < p->spatial; i++) {
        w[i] = window_of(p, i, out->v[p->first + i]);
        count = LLVMBuildMul(cg->b, count, w[i].count, "");
    }
    pool_axis(p, 0, w, &at, acc, lanes);
    LLVMValueRef v = cg_get(cg, acc);
    if (p->average) {
        LLVMValueRef n = LLVMBuildSIToFP(cg->b, count, cg_compute_type(cg, p->reducer.type, 1), "");
        v = cg_primitive(cg, S_div, p->reducer.type, v, lanes > 1 ? cg_splat(cg, n, lanes) : n, lanes);
    }
    group_store(p->g, group_epilogue(p->g, v, out, lanes), offset, lanes, NULL);
}

static void pool_columns(const Pool *p, Index *row, LLVMValueRef base, LLVMValueRef from, LLVMValueRef to, int lanes)
{
    Codegen *cg = p->g->cg;
    Loop l = loop_begin(cg, from, to, lanes, "column");
    row->v[row->rank - 1] = l.index;
    row->lane[row->rank - 1] = lanes > 1;
    row->id = p->g->next_index_id++;
    pool_one(p, row, LLVMBuildAdd(cg->b, base, l.index, ""), lanes);
    loop_end(cg, &l);
}

bool gen_pool(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    const Attr_pool *attr = NODE_ATTR(g->anchor, pool);
    const Value *x = node_in(g->anchor, 0), *y = node_out(g->anchor);
    bool average = !strcmp(attr->kind, "avg");
    Pool p = { g, attr, x, x->type.rank - 2, attr->channels_last ? 1 : 2, reducer_of(cg, average ? "sum" : "max", x->type.dtype), average };
    int rank = y->type.rank;
    Dim units = dim_const(cg->m->dims, 1), cost = y->type.dim[rank - 1];
    for (int d = 0; d + 1 < rank; d++)
        units = dim_mul(cg->m->dims, units, y->type.dim[d]);
    for (int i = 0; i < p.spatial; i++)
        cost = dim_mulk(cg->m->dims, cost, attr->kernel.v[i]);
    *work = (Work){ units, cost };
    LLVMValueRef cols = group_dim(g, y->type.dim[rank - 1]), from = cg_i64(cg, 0);
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    Index row = index_new(g, rank);
    split_index(g, l.index, rank - 1, y->type.dim, row.v);
    LLVMValueRef base = LLVMBuildMul(cg->b, l.index, cols, "");
    if (attr->channels_last && group_lanes_ok(g, x) && group_lanes_ok(g, g->result)) {
        LLVMValueRef stop = LLVMBuildAnd(cg->b, cols, cg_i64(cg, -CG_LANES), "");
        pool_columns(&p, &row, base, from, stop, CG_LANES);
        from = stop;
    }
    pool_columns(&p, &row, base, from, cols, 1);
    loop_end(cg, &l);
    return true;
}
