/* gen_reduce.c -- reduce and arg_reduce, with an elementwise prologue on the operand and an epilogue on the result.
 *
 * Where the last dim is reduced, lanes run along it and are added up at the end (a fixed tree, then the columns left in order); where it is kept,
 * lanes run along it and up to 64 results are made at a time, in as many sums; what vectors do not divide goes under a mask. Indices are full (no
 * merging): kept and reduced dims must not mix. Every sum runs over the reduced elements in order, however results are grouped.
 */
#include "gen.h"

#include <string.h>

enum { MAX_VECTORS = 4, FEW_COLUMNS = 256 };

typedef struct Axes {
    int nkept, nreduced;
    int kept[MAX_RANK], reduced[MAX_RANK];      /* dim numbers of the operand, in order */
    Dim kept_dim[MAX_RANK], reduced_dim[MAX_RANK];
} Axes;

static Axes split_axes(const Type *t, int naxes, const int64_t *axes)
{
    Axes a = { 0 };
    for (int d = 0; d < t->rank; d++) {
        bool reduced = false;
        for (int i = 0; i < naxes; i++)
            reduced |= axes[i] == d;
        if (reduced) {
            a.reduced_dim[a.nreduced] = t->dim[d];
            a.reduced[a.nreduced++] = d;
        } else {
            a.kept_dim[a.nkept] = t->dim[d];
            a.kept[a.nkept++] = d;
        }
    }
    return a;
}

static Dim product(Codegen *cg, int n, const Dim *dim)
{
    Dim p = dim_const(cg->m->dims, 1);
    for (int i = 0; i < n; i++)
        p = dim_mul(cg->m->dims, p, dim[i]);
    return p;
}

/* Put the parts of a flat number into the index, one per listed dim. */
static void place(Group *g, Index *at, LLVMValueRef flat, int n, const int *which, const Dim *dim)
{
    LLVMValueRef part[MAX_RANK];
    split_index(g, flat, n, dim, part);
    for (int i = 0; i < n; i++)
        at->v[which[i]] = part[i];
}

/* acc = acc op x[at, from..to step lanes) along the last dim. */
static void accumulate_columns(Group *g, const Reducer *r, const Value *x, const Index *row, LLVMValueRef from, LLVMValueRef to, LLVMValueRef acc, int lanes)
{
    Codegen *cg = g->cg;
    Loop l = loop_begin(cg, from, to, lanes, "reduce");
    Index at = *row;
    at.id = g->next_index_id++;
    at.v[at.rank - 1] = l.index;
    at.lane[at.rank - 1] = lanes > 1;
    cg_set(cg, acc, reducer_apply(cg, r, cg_get(cg, acc), group_load(g, x, &at, lanes), lanes));
    g->nmemo = 0;
    loop_end(cg, &l);
}

/* The last dim is reduced: one result. */
static LLVMValueRef reduce_row(Group *g, const Reducer *r, const Value *x, const Axes *a, Index at, bool vector)
{
    Codegen *cg = g->cg;
    int inner = a->nreduced - 1;
    LLVMValueRef acc = cg_variable(cg, r->identity), wide = vector ? cg_variable(cg, cg_splat(cg, r->identity, CG_LANES)) : NULL;
    LLVMValueRef cols = group_dim(g, a->reduced_dim[inner]), zero = cg_i64(cg, 0), stop = zero;
    Loop l = loop_begin(cg, zero, group_dim(g, product(cg, inner, a->reduced_dim)), 1, "outer");
    place(g, &at, l.index, inner, a->reduced, a->reduced_dim);
    if (vector) {
        stop = LLVMBuildAnd(cg->b, cols, cg_i64(cg, -CG_LANES), "");
        accumulate_columns(g, r, x, &at, zero, stop, wide, CG_LANES);
    }
    accumulate_columns(g, r, x, &at, stop, cols, acc, 1);
    loop_end(cg, &l);
    LLVMValueRef v = cg_get(cg, acc);
    return vector ? reducer_apply(cg, r, reducer_across(cg, r, cg_get(cg, wide)), v, 1) : v;
}

/* Vectors side by side, one sum each. */
typedef struct Columns {
    int n, lanes;
    LLVMValueRef first;             /* column */
    LLVMValueRef mask;              /* of all of them, NULL: none */
    LLVMValueRef acc[MAX_VECTORS];  /* variables */
} Columns;

static Index at_vector(Group *g, const Columns *c, const Index *row, int i)
{
    Index at = *row;
    at.id = g->next_index_id++;
    at.v[at.rank - 1] = LLVMBuildAdd(g->cg->b, c->first, cg_i64(g->cg, (int64_t)i * c->lanes), "");
    at.lane[at.rank - 1] = c->lanes > 1;
    return at;
}

/* The last dim is kept. The innermost of the reduced dims has a loop of its own, so that no index is divided there. */
static void reduce_columns(Group *g, const Reducer *r, const Value *x, const Axes *a, Index row, Columns *c)
{
    Codegen *cg = g->cg;
    int inner = a->nreduced - 1;
    for (int i = 0; i < c->n; i++)
        c->acc[i] = cg_variable(cg, c->lanes > 1 ? cg_splat(cg, r->identity, c->lanes) : r->identity);
    Loop l = loop_begin(cg, cg_i64(cg, 0), group_dim(g, product(cg, inner, a->reduced_dim)), 1, "outer");
    place(g, &row, l.index, inner, a->reduced, a->reduced_dim);
    Loop k = loop_begin(cg, cg_i64(cg, 0), group_dim(g, a->reduced_dim[inner]), 1, "reduce");
    row.v[a->reduced[inner]] = k.index;
    g->mask = c->mask;
    for (int i = 0; i < c->n; i++) {
        Index at = at_vector(g, c, &row, i);
        cg_set(cg, c->acc[i], reducer_apply(cg, r, cg_get(cg, c->acc[i]), group_load(g, x, &at, c->lanes), c->lanes));
        g->nmemo = 0;
    }
    g->mask = NULL;
    loop_end(cg, &k);
    loop_end(cg, &l);
}

/* Index into the result: reduced dims are 0. */
static Index result_index(Group *g, const Axes *a, const Index *at)
{
    Index r = *at;
    r.id = g->next_index_id++;
    for (int i = 0; i < a->nreduced; i++) {
        r.v[a->reduced[i]] = cg_i64(g->cg, 0);
        r.lane[a->reduced[i]] = 0;
    }
    return r;
}

static void finish(Group *g, const Axes *a, const Index *at, LLVMValueRef val, LLVMValueRef offset, int lanes, LLVMValueRef mask)
{
    Index r = result_index(g, a, at);
    group_store(g, group_epilogue_masked(g, val, &r, lanes, mask), offset, lanes, mask);
}

/* Columns [from, to), n * lanes at a time. */
static void columns_between(Group *g, const Reducer *r, const Value *x, const Axes *a, const Index *row, LLVMValueRef base, LLVMValueRef from, LLVMValueRef to, int n,
                            int lanes, LLVMValueRef mask)
{
    Codegen *cg = g->cg;
    Loop l = loop_begin(cg, from, to, (int64_t)n * lanes, "columns");
    Columns c = { .n = n, .lanes = lanes, .first = l.index, .mask = mask };
    reduce_columns(g, r, x, a, *row, &c);
    for (int i = 0; i < n; i++) {
        Index at = at_vector(g, &c, row, i);
        finish(g, a, &at, cg_get(cg, c.acc[i]), LLVMBuildAdd(cg->b, base, at.v[at.rank - 1], ""), lanes, mask);
    }
    loop_end(cg, &l);
}

static LLVMValueRef multiple_below(Codegen *cg, LLVMValueRef from, LLVMValueRef to, int64_t k)
{
    return LLVMBuildAdd(cg->b, from, LLVMBuildAnd(cg->b, LLVMBuildSub(cg->b, to, from, ""), cg_i64(cg, -k), ""), "");
}

/* Columns [from, to) of one row, by as many vectors at once. */
static void reduce_block(Group *g, const Reducer *r, const Value *x, const Axes *a, const Index *row, LLVMValueRef base, LLVMValueRef from, LLVMValueRef to, int vectors)
{
    Codegen *cg = g->cg;
    if (group_lanes_ok(g, x) && group_lanes_ok(g, g->result)) {
        LLVMValueRef stop = multiple_below(cg, from, to, vectors * CG_LANES);
        columns_between(g, r, x, a, row, base, from, stop, vectors, CG_LANES, NULL);
        from = multiple_below(cg, stop, to, CG_LANES);
        columns_between(g, r, x, a, row, base, stop, from, 1, CG_LANES, NULL);
        if (cg_masks_memory(cg)) {
            columns_between(g, r, x, a, row, base, from, to, 1, CG_LANES, lane_mask(cg, LLVMBuildSub(cg->b, to, from, "")));
            return;
        }
    }
    columns_between(g, r, x, a, row, base, from, to, 1, 1, NULL);
}

/* Units are blocks of columns: small ones, where there are few columns to share among threads. */
static void reduce_kept_last(Group *g, const Reducer *r, const Value *x, const Axes *a, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    int outer = a->nkept - 1;
    Dim cols = a->kept_dim[outer];
    int vectors = dim_is_const(cols) && cols->k <= FEW_COLUMNS ? MAX_VECTORS / 2 : MAX_VECTORS;
    int64_t size = vectors * CG_LANES;
    Dim blocks = dim_ceil_div(dims, cols, dim_const(dims, size));
    *work = (Work){ dim_mul(dims, product(cg, outer, a->kept_dim), blocks), dim_mulk(dims, product(cg, a->nreduced, a->reduced_dim), size) };
    LLVMValueRef ncols = group_dim(g, cols), nblocks = group_dim(g, dim_max(dims, blocks, dim_const(dims, 1)));
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    Index at = index_new(g, x->type.rank);
    LLVMValueRef row = LLVMBuildUDiv(cg->b, l.index, nblocks, ""), block = LLVMBuildURem(cg->b, l.index, nblocks, "");
    place(g, &at, row, outer, a->kept, a->kept_dim);
    LLVMValueRef from = LLVMBuildMul(cg->b, block, cg_i64(cg, size), ""), to = LLVMBuildAdd(cg->b, from, cg_i64(cg, size), "");
    to = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLE, to, ncols, ""), to, ncols, "");
    reduce_block(g, r, x, a, &at, LLVMBuildMul(cg->b, row, ncols, ""), from, to, vectors);
    loop_end(cg, &l);
}

static void reduce_last(Group *g, const Reducer *r, const Value *x, const Axes *a, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    *work = (Work){ product(cg, a->nkept, a->kept_dim), product(cg, a->nreduced, a->reduced_dim) };
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    Index at = index_new(g, x->type.rank);
    place(g, &at, l.index, a->nkept, a->kept, a->kept_dim);
    finish(g, a, &at, reduce_row(g, r, x, a, at, group_lanes_ok(g, x)), l.index, 1, NULL);
    loop_end(cg, &l);
}

bool gen_reduce(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    const Attr_reduce *attr = NODE_ATTR(g->anchor, reduce);
    const Value *x = node_in(g->anchor, 0);
    Axes a = split_axes(&x->type, attr->axes.n, attr->axes.v);
    Reducer r = reducer_of(g->cg, attr->kind, x->type.dtype);
    bool last_reduced = a.nreduced && a.reduced[a.nreduced - 1] == x->type.rank - 1;
    if (!x->type.rank || !a.nreduced)
        return diag_error(g->cg->m->diag, g->anchor->loc, "internal: a reduction over no axes reached codegen");
    (last_reduced ? reduce_last : reduce_kept_last)(g, &r, x, &a, begin, end, work);
    return true;
}

/* ---- arg_reduce: one scalar scan per result ---- */

bool gen_arg_reduce(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    const Attr_arg_reduce *attr = NODE_ATTR(g->anchor, arg_reduce);
    const Value *x = node_in(g->anchor, 0);
    Axes a = split_axes(&x->type, 1, &attr->axis);
    Reducer r = reducer_of(cg, attr->kind, x->type.dtype);
    bool largest = !strcmp(attr->kind, "max");
    *work = (Work){ product(cg, a.nkept, a.kept_dim), a.reduced_dim[0] };
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    Index at = index_new(g, x->type.rank);
    place(g, &at, l.index, a.nkept, a.kept, a.kept_dim);
    LLVMValueRef best = cg_variable(cg, r.identity), where = cg_variable(cg, cg_i64(cg, 0));
    Loop k = loop_begin(cg, cg_i64(cg, 0), group_dim(g, a.reduced_dim[0]), 1, "scan");
    at.v[attr->axis] = k.index;
    at.id = g->next_index_id++;
    LLVMValueRef v = group_load(g, x, &at, 1), now = cg_get(cg, best);
    g->nmemo = 0;
    /* strictly better, or as good where the last of equals is asked for; the first element always counts */
    FRec *rec = frec_new(cg->arena);
    FRef fv = frec_arg(rec, 0, r.type), fb = frec_arg(rec, 1, r.type);
    FRef better = frec_op(rec, attr->last ? S_le : S_lt, DT_bool, largest ? fb : fv, largest ? fv : fb, -1);
    Formula f = frec_finish(rec, better);
    LLVMValueRef first = LLVMBuildICmp(cg->b, LLVMIntEQ, k.index, cg_i64(cg, 0), "");
    LLVMValueRef take = LLVMBuildOr(cg->b, first, cg_formula(cg, &f, (LLVMValueRef[]){ v, now }, 1), "");
    cg_set(cg, best, LLVMBuildSelect(cg->b, take, v, now, ""));
    cg_set(cg, where, LLVMBuildSelect(cg->b, take, k.index, cg_get(cg, where), ""));
    loop_end(cg, &k);
    finish(g, &a, &at, cg_get(cg, where), l.index, 1, NULL);
    loop_end(cg, &l);
    return true;
}
