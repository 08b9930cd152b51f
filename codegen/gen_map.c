/* gen_map.c -- fused elementwise chains and movement: every result element computed from operand elements at mapped indices.
 *
 *     for each row (all dims but one)             <- units are rows; a result of one row is cut into blocks of columns
 *         for 16 columns at a time                <- where every read is contiguous or uniform
 *         for the columns left
 *
 * Columns run along the last dim where reads allow it. Where they do not (a transpose), they run along a dim whose reads are contiguous, and the
 * 16 results are stored one by one. A group whose result is a concat is copied part by part instead, so that the inner loops stay contiguous; one whose
 * result is a pad likewise (gen_pad.c), if what it pads is a plain run.
 */
#include "gen.h"

enum { BLOCK = 4096 };              /* columns per unit when there is only one row */

/* The iteration space of a map: merged for elementwise groups, else the result's dims as they are. */
typedef struct MapSpace {
    Space merged;
    int rank;
    const Dim *dim;
    int column;                     /* dim number that columns run along */
    Dim stride;                     /* elements of the result between columns */
    bool vector;                    /* columns may run along lanes */
} MapSpace;

/* index: of the row; its column entry is filled here. base: offset of the row's column 0 in the result. */
static void emit_element(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef col, LLVMValueRef base, int lanes)
{
    Codegen *cg = g->cg;
    Index at = index_new(g, s->rank);
    for (int d = 0; d < s->rank; d++)
        at.v[d] = d == s->column ? col : index[d];
    if (s->rank)
        at.lane[s->column] = lanes > 1;
    LLVMValueRef val = group_load(g, v, &at, lanes), stride = group_dim(g, s->stride);
    LLVMValueRef offset = LLVMBuildNSWAdd(cg->b, base, LLVMBuildNSWMul(cg->b, col, stride, ""), "");
    if (lanes > 1 && !dim_is(s->stride, 1))
        group_scatter(g, val, offset, stride);
    else
        group_store(g, val, offset, lanes, NULL);
    g->nmemo = 0;
}

/* Columns [from, to) of one row. */
static void emit_columns(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef from, LLVMValueRef to, LLVMValueRef base)
{
    Codegen *cg = g->cg;
    if (s->vector) {
        LLVMValueRef whole = LLVMBuildAnd(cg->b, LLVMBuildSub(cg->b, to, from, ""), cg_i64(cg, -CG_LANES), "");
        LLVMValueRef stop = LLVMBuildAdd(cg->b, from, whole, "");
        Loop l = loop_begin(cg, from, stop, CG_LANES, "columns");
        emit_element(g, v, s, index, l.index, base, CG_LANES);
        loop_end(cg, &l);
        from = stop;
    }
    Loop l = loop_begin(cg, from, to, 1, "column");
    emit_element(g, v, s, index, l.index, base, 1);
    loop_end(cg, &l);
}

static bool long_enough(Dim d)
{
    return !dim_is_const(d) || d->k >= CG_LANES;
}

/* Columns along the last dim if they can be vectors there, else along the innermost dim where they can. */
static void choose_columns(Group *g, const Value *v, MapSpace *s)
{
    DimTable *dims = g->cg->m->dims;
    int last = s->rank - 1;
    s->column = last < 0 ? 0 : last;
    s->stride = dim_const(dims, 1);
    s->vector = last >= 0 && long_enough(s->dim[last]) && group_lanes_ok(g, v);
    Dim stride = s->stride;
    for (int d = last - 1; !s->vector && !g->space && d >= 0; d--) {
        stride = dim_mul(dims, stride, s->dim[d + 1]);
        if (long_enough(s->dim[d]) && group_lanes_ok_along(g, v, d)) {
            s->column = d;
            s->stride = stride;
            s->vector = true;
        }
    }
}

static void open_space(Group *g, const Value *v, MapSpace *s)
{
    *s = (MapSpace){ .rank = v->type.rank, .dim = v->type.dim };
    if (g->elementwise) {
        s->merged = group_space(g, v);
        s->rank = s->merged.rank;
        s->dim = s->merged.dim;
        g->space = &s->merged;
    }
    choose_columns(g, v, s);
}

/* One row: its columns are shared out in blocks. */
static void map_one_row(Group *g, const Value *v, MapSpace *s, Dim cols, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    LLVMValueRef index[MAX_RANK], n = group_dim(g, cols), block = cg_i64(cg, BLOCK);
    for (int d = 0; d < s->rank; d++)
        index[d] = cg_i64(cg, 0);
    *work = (Work){ dim_ceil_div(cg->m->dims, cols, dim_const(cg->m->dims, BLOCK)), dim_const(cg->m->dims, BLOCK) };
    LLVMValueRef from = LLVMBuildMul(cg->b, begin, block, ""), to = LLVMBuildMul(cg->b, end, block, "");
    to = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, to, n, ""), to, n, "");
    emit_columns(g, v, s, index, from, to, cg_i64(cg, 0));
}

static void map_rows(Group *g, const Value *v, MapSpace *s, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Dim rows = dim_const(dims, 1), cols = s->rank ? s->dim[s->column] : rows, other[MAX_RANK];
    int which[MAX_RANK], n = 0;
    for (int d = 0; d < s->rank; d++)
        if (d != s->column) {
            rows = dim_mul(dims, rows, s->dim[d]);
            which[n] = d;
            other[n++] = s->dim[d];
        }
    if (dim_is(rows, 1)) {
        map_one_row(g, v, s, cols, begin, end, work);
        return;
    }
    *work = (Work){ rows, cols };
    LLVMValueRef index[MAX_RANK], part[MAX_RANK];
    Loop l = loop_begin(cg, begin, end, 1, "row");
    split_index(g, l.index, n, other, part);
    index[s->column] = cg_i64(cg, 0);
    for (int i = 0; i < n; i++)
        index[which[i]] = part[i];
    emit_columns(g, v, s, index, cg_i64(cg, 0), group_dim(g, cols), linear_offset(g, s->rank, s->dim, index));
    loop_end(cg, &l);
}

/* ---- concat as the result: one loop nest per part ---- */

/* Rows of one part within unit `outer` (the flat index over dims before axis). */
static void concat_part(Group *g, const Node *n, int part, LLVMValueRef outer, LLVMValueRef skip)
{
    Codegen *cg = g->cg;
    const Value *v = node_in(n, part);
    const Type *t = &v->type;
    int axis = (int)NODE_ATTR(n, concat)->axis, rank = t->rank;
    MapSpace s = { .rank = rank, .dim = t->dim, .column = rank - 1, .stride = dim_const(cg->m->dims, 1) };
    s.vector = long_enough(t->dim[rank - 1]) && group_lanes_ok(g, v);
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
    if (v->def->op == OP_pad && group_operand(g, v) < 0 && gen_pad(g, begin, end, work))
        return true;
    MapSpace s;
    open_space(g, v, &s);
    map_rows(g, v, &s, begin, end, work);
    g->space = NULL;
    return true;
}
