/* gen_map.c -- fused elementwise chains and movement: every result element computed from operand elements at mapped indices.
 *
 *     for each row (all dims but the last)        <- units are rows; a result of one row is cut into blocks of columns
 *         for 16 columns at a time                <- where every read is contiguous or uniform
 *         for the columns left
 *
 * A group whose result is a concat is copied part by part instead, so that the inner loops stay contiguous.
 */
#include "gen.h"

enum { BLOCK = 4096 };              /* columns per unit when there is only one row */

/* The iteration space of a map: merged for elementwise groups, else the result's dims as they are. */
typedef struct MapSpace {
    Space merged;
    int rank;
    const Dim *dim;
    bool vector;                    /* columns may run along lanes */
} MapSpace;

static void emit_element(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *row, LLVMValueRef col, LLVMValueRef base, int lanes)
{
    Index at = index_new(g, s->rank);
    for (int d = 0; d + 1 < s->rank; d++)
        at.v[d] = row[d];
    if (s->rank) {
        at.v[s->rank - 1] = col;
        at.lane[s->rank - 1] = lanes > 1;
    }
    LLVMValueRef val = group_load(g, v, &at, lanes);
    group_store(g, val, LLVMBuildNSWAdd(g->cg->b, base, col, ""), lanes, NULL);
    g->nmemo = 0;
}

/* Columns [from, to) of one row; base: offset of the row's column 0 in the result. */
static void emit_columns(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *row, LLVMValueRef from, LLVMValueRef to, LLVMValueRef base)
{
    Codegen *cg = g->cg;
    if (s->vector) {
        LLVMValueRef whole = LLVMBuildAnd(cg->b, LLVMBuildSub(cg->b, to, from, ""), cg_i64(cg, -CG_LANES), "");
        LLVMValueRef stop = LLVMBuildAdd(cg->b, from, whole, "");
        Loop l = loop_begin(cg, from, stop, CG_LANES, "columns");
        emit_element(g, v, s, row, l.index, base, CG_LANES);
        loop_end(cg, &l);
        from = stop;
    }
    Loop l = loop_begin(cg, from, to, 1, "column");
    emit_element(g, v, s, row, l.index, base, 1);
    loop_end(cg, &l);
}

static MapSpace map_space(Group *g, const Value *v)
{
    MapSpace s = { .rank = v->type.rank, .dim = v->type.dim };
    if (g->elementwise) {
        s.merged = group_space(g, v);
        s.rank = s.merged.rank;
    }
    return s;
}

static void use_space(Group *g, const Value *v, MapSpace *s)
{
    if (g->elementwise) {
        s->dim = s->merged.dim;
        g->space = &s->merged;
    }
    s->vector = group_lanes_ok(g, v) && !(s->rank && dim_is_const(s->dim[s->rank - 1]) && s->dim[s->rank - 1]->k < CG_LANES);
}

static Dim row_count(Group *g, int rank, const Dim *dim)
{
    Dim n = dim_const(g->cg->m->dims, 1);
    for (int d = 0; d + 1 < rank; d++)
        n = dim_mul(g->cg->m->dims, n, dim[d]);
    return n;
}

static bool map_rows(Group *g, const Value *v, MapSpace *s, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    Dim rows = row_count(g, s->rank, s->dim), cols = s->rank ? s->dim[s->rank - 1] : dim_const(cg->m->dims, 1);
    LLVMValueRef ncols = group_dim(g, cols), row[MAX_RANK];
    if (dim_is(rows, 1)) {
        for (int d = 0; d + 1 < s->rank; d++)
            row[d] = cg_i64(cg, 0);
        *work = (Work){ dim_ceil_div(cg->m->dims, cols, dim_const(cg->m->dims, BLOCK)), dim_const(cg->m->dims, BLOCK) };
        LLVMValueRef from = LLVMBuildMul(cg->b, begin, cg_i64(cg, BLOCK), ""), to = LLVMBuildMul(cg->b, end, cg_i64(cg, BLOCK), "");
        to = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, to, ncols, ""), to, ncols, "");
        emit_columns(g, v, s, row, from, to, cg_i64(cg, 0));
        return true;
    }
    *work = (Work){ rows, cols };
    Loop l = loop_begin(cg, begin, end, 1, "row");
    split_index(g, l.index, s->rank - 1, s->dim, row);
    emit_columns(g, v, s, row, cg_i64(cg, 0), ncols, LLVMBuildNSWMul(cg->b, l.index, ncols, ""));
    loop_end(cg, &l);
    return true;
}

/* ---- concat as the result: one loop nest per part ---- */

/* Rows of one part within unit `outer` (the flat index over dims before axis). */
static void concat_part(Group *g, const Node *n, int part, LLVMValueRef outer, LLVMValueRef skip)
{
    Codegen *cg = g->cg;
    const Value *v = node_in(n, part);
    const Type *t = &v->type;
    int axis = (int)NODE_ATTR(n, concat)->axis, rank = t->rank;
    MapSpace s = { .rank = rank, .dim = t->dim };
    s.vector = group_lanes_ok(g, v) && !(dim_is_const(t->dim[rank - 1]) && t->dim[rank - 1]->k < CG_LANES);
    Dim one = dim_const(cg->m->dims, 1), inner_rows = one, inner_all = one;
    for (int d = axis; d < rank; d++) {
        inner_all = dim_mul(cg->m->dims, inner_all, node_out(n)->type.dim[d]);
        if (d + 1 < rank)
            inner_rows = dim_mul(cg->m->dims, inner_rows, t->dim[d]);
    }
    LLVMValueRef index[MAX_RANK], cols = group_dim(g, t->dim[rank - 1]);
    LLVMValueRef start = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, outer, group_dim(g, inner_all), ""), skip, "");
    split_index(g, outer, axis, t->dim, index);
    Loop l = loop_begin(cg, cg_i64(cg, 0), axis == rank - 1 ? cg_i64(cg, 1) : group_dim(g, inner_rows), 1, "rows");
    if (axis < rank - 1)
        split_index(g, l.index, rank - 1 - axis, t->dim + axis, index + axis);
    LLVMValueRef base = LLVMBuildAdd(cg->b, start, LLVMBuildMul(cg->b, l.index, cols, ""), "");
    emit_columns(g, v, &s, index, cg_i64(cg, 0), cols, base);
    loop_end(cg, &l);
}

static bool map_concat(Group *g, const Node *n, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    int axis = (int)NODE_ATTR(n, concat)->axis, rank = node_out(n)->type.rank;
    DimTable *dims = cg->m->dims;
    Dim outer = dim_const(dims, 1), inner = outer, tail = outer;
    for (int d = 0; d < rank; d++) {
        Dim size = node_out(n)->type.dim[d];
        if (d < axis)
            outer = dim_mul(dims, outer, size);
        else
            inner = dim_mul(dims, inner, size);
        if (d > axis)
            tail = dim_mul(dims, tail, size);
    }
    *work = (Work){ outer, inner };
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    LLVMValueRef skip = cg_i64(cg, 0);
    for (int i = 0; i < n->nin; i++) {
        concat_part(g, n, i, l.index, skip);
        skip = LLVMBuildAdd(cg->b, skip, group_dim(g, dim_mul(dims, tail, node_in(n, i)->type.dim[axis])), "");
    }
    loop_end(cg, &l);
    return true;
}

bool gen_map(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    const Value *v = g->result;
    if (v->def->op == OP_concat && group_operand(g, v) < 0) {
        g->space = NULL;
        return map_concat(g, v->def, begin, end, work);
    }
    MapSpace s = map_space(g, v);
    use_space(g, v, &s);
    bool ok = map_rows(g, v, &s, begin, end, work);
    g->space = NULL;
    return ok;
}
