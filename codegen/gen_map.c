/* gen_map.c -- fused elementwise chains and movement: every result element computed from operand elements at mapped indices.
 *
 *     for each row (all dims but one or two)      <- units are rows, or several; a result of one row is cut into blocks of columns
 *         for 16 columns at a time                <- where every read is contiguous, uniform, or every second to fourth element
 *         for the columns left
 *
 * Columns run along the last dim where reads allow it. Where they do not (a transpose), they run along a dim whose reads are contiguous: 16 columns of
 * 16 neighbours along the last dim (or of all, if these are few) are read as vectors, transposed in registers, and written as vectors:
 *
 *     column  c..c+15:    a0 a1 a2 ...   at last = 0        written:  a0 b0 c0 | a1 b1 c1 | ...    all of a short last dim behind each other
 *                         b0 b1 b2 ...   at last = 1                  a0 b0 c0 ...                 or one vector per column
 *                         c0 c1 c2 ...   at last = 2                  a1 b1 c1 ...
 *
 * Where a pad or the next part of a concat begins, columns are cut: vectors do not reach over. A group whose result is a concat is copied part by
 * part instead, so that the inner loops stay contiguous; one whose result is a pad likewise (gen_pad.c), if what it pads is a plain run.
 */
#include "gen.h"

enum {
    BLOCK = 4096,                   /* columns per unit when there is only one row ... */
    BLOCK_ACROSS = 64,              /* ... and when each of them is spread over memory */
    MANY_UNITS = 8,                 /* rows are looped over inside a unit if so many units are left */
    MAX_INTERLEAVED = 8             /* last dims that are interleaved by a chain of shuffles */
};

/* How 16 columns are written. */
typedef enum Spread {
    SPREAD_NONE,                    /* they are neighbours */
    SPREAD_INTERLEAVED,             /* between two of them lies the last dim, which is short */
    SPREAD_ROWS,                    /* each with its neighbours along the last dim, as a vector */
    SPREAD_SINGLE                   /* one by one */
} Spread;

/* The iteration space of a map: merged for elementwise groups, else the result's dims as they are. */
typedef struct MapSpace {
    Space merged;
    int rank;
    const Dim *dim;
    int column;                     /* dim number that columns run along */
    Dim stride;                     /* elements of the result between columns */
    bool vector;                    /* columns may run along lanes */
    LaneCuts cuts;
    Spread spread;
} MapSpace;

/* ---- 16 columns at a time, or one ---- */

/* Columns [col, col + lanes) at `last` along the last dim, where that is not the columns' own. */
static LLVMValueRef load_columns(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef col, LLVMValueRef last, int lanes)
{
    Index at = index_new(g, s->rank);
    for (int d = 0; d < s->rank; d++)
        at.v[d] = d == s->column ? col : index[d];
    if (last)
        at.v[s->rank - 1] = last;
    if (s->rank)
        at.lane[s->column] = lanes > 1;
    LLVMValueRef val = group_load(g, v, &at, lanes);
    g->nmemo = 0;
    return val;
}

/* Element of the result where a column begins; base: that of the row's column 0. */
static LLVMValueRef column_offset(Group *g, const MapSpace *s, LLVMValueRef base, LLVMValueRef col)
{
    LLVMBuilderRef b = g->cg->b;
    return LLVMBuildNSWAdd(b, base, LLVMBuildNSWMul(b, col, group_dim(g, s->stride), ""), "");
}

static void emit_neighbours(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef col, LLVMValueRef base, int lanes, LLVMValueRef mask)
{
    g->mask = mask;
    LLVMValueRef val = load_columns(g, v, s, index, col, NULL, lanes);
    g->mask = NULL;
    group_store(g, val, column_offset(g, s, base, col), lanes, mask);
}

static void emit_interleaved(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef col, LLVMValueRef base)
{
    Codegen *cg = g->cg;
    LLVMValueRef val[CG_LANES], offset = column_offset(g, s, base, col);
    int n = (int)s->dim[s->rank - 1]->k;
    for (int i = 0; i < n; i++)
        val[i] = load_columns(g, v, s, index, col, cg_i64(cg, i), CG_LANES);
    cg_interleave(cg, n, val);
    for (int i = 0; i < n; i++)
        group_store(g, val[i], LLVMBuildNSWAdd(cg->b, offset, cg_i64(cg, i * CG_LANES), ""), CG_LANES, NULL);
}

static void emit_scattered(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef col, LLVMValueRef base, LLVMValueRef from)
{
    Codegen *cg = g->cg;
    LLVMValueRef stride = group_dim(g, s->stride), offset = column_offset(g, s, base, col);
    Loop l = loop_begin(cg, from, group_dim(g, s->dim[s->rank - 1]), 1, "last");
    LLVMValueRef val = load_columns(g, v, s, index, col, l.index, CG_LANES);
    group_scatter(g, val, LLVMBuildNSWAdd(cg->b, offset, l.index, ""), stride);
    loop_end(cg, &l);
}

/* A square of 16 columns and 16 neighbours, from `last` on. */
static void emit_square(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef col, LLVMValueRef base, LLVMValueRef last)
{
    Codegen *cg = g->cg;
    LLVMValueRef val[CG_LANES], stride = group_dim(g, s->stride), offset = LLVMBuildNSWAdd(cg->b, column_offset(g, s, base, col), last, "");
    for (int i = 0; i < CG_LANES; i++)
        val[i] = load_columns(g, v, s, index, col, LLVMBuildNSWAdd(cg->b, last, cg_i64(cg, i), ""), CG_LANES);
    cg_interleave(cg, CG_LANES, val);
    for (int i = 0; i < CG_LANES; i++) {
        group_store(g, val[i], offset, CG_LANES, NULL);
        offset = LLVMBuildNSWAdd(cg->b, offset, stride, "");
    }
}

/* The last square overlaps the one before where squares do not fit. */
static void emit_squares(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef col, LLVMValueRef base)
{
    Codegen *cg = g->cg;
    LLVMBuilderRef b = cg->b;
    LLVMValueRef n = group_dim(g, s->dim[s->rank - 1]), zero = cg_i64(cg, 0), top = LLVMBuildSub(b, n, cg_i64(cg, CG_LANES), "");
    LLVMValueRef stop = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSGE, top, zero, ""), n, zero, "");
    Loop l = loop_begin(cg, zero, stop, CG_LANES, "squares");
    LLVMValueRef fits = LLVMBuildICmp(b, LLVMIntSLT, l.index, top, "");
    emit_square(g, v, s, index, col, base, LLVMBuildSelect(b, fits, l.index, top, ""));
    loop_end(cg, &l);
    if (!dim_is_const(s->dim[s->rank - 1]))
        emit_scattered(g, v, s, index, col, base, stop);
}

static void emit_vector(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef col, LLVMValueRef base)
{
    switch (s->spread) {
    case SPREAD_NONE: emit_neighbours(g, v, s, index, col, base, CG_LANES, NULL); break;
    case SPREAD_INTERLEAVED: emit_interleaved(g, v, s, index, col, base); break;
    case SPREAD_ROWS: emit_squares(g, v, s, index, col, base); break;
    case SPREAD_SINGLE: emit_scattered(g, v, s, index, col, base, cg_i64(g->cg, 0)); break;
    }
}

static void emit_scalars(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef from, LLVMValueRef to, LLVMValueRef base)
{
    Codegen *cg = g->cg;
    Loop l = loop_begin(cg, from, to, 1, "column");
    if (s->spread == SPREAD_NONE) {
        emit_neighbours(g, v, s, index, l.index, base, 1, NULL);
    } else {
        Loop k = loop_begin(cg, cg_i64(cg, 0), group_dim(g, s->dim[s->rank - 1]), 1, "last");
        LLVMValueRef val = load_columns(g, v, s, index, l.index, k.index, 1);
        group_store(g, val, LLVMBuildNSWAdd(cg->b, column_offset(g, s, base, l.index), k.index, ""), 1, NULL);
        loop_end(cg, &k);
    }
    loop_end(cg, &l);
}

/* ---- columns [from, to) of one row ---- */

/* [from, to) is shorter than a vector: under a mask where the target has these. */
static void emit_few(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef from, LLVMValueRef to, LLVMValueRef base)
{
    Codegen *cg = g->cg;
    bool single = LLVMIsConstant(from) && LLVMIsConstant(to) && LLVMConstIntGetSExtValue(to) - LLVMConstIntGetSExtValue(from) <= 1;
    if (s->spread != SPREAD_NONE || s->cuts.strided || single || !cg_masks_memory(cg)) {
        emit_scalars(g, v, s, index, from, to, base);
        return;
    }
    Loop l = loop_begin(cg, from, to, CG_LANES, "masked");      /* once or never */
    emit_neighbours(g, v, s, index, l.index, base, CG_LANES, lane_mask(cg, LLVMBuildSub(cg->b, to, l.index, "")));
    loop_end(cg, &l);
}

/* What is left of [from, to) after whole vectors up to `stop`. Where nothing is computed, and so nothing is written over its operand, the last vector may
 * begin before. */
static void emit_rest(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef from, LLVMValueRef stop, LLVMValueRef to, LLVMValueRef base)
{
    Codegen *cg = g->cg;
    if (g->computes) {
        emit_few(g, v, s, index, stop, to, base);
        return;
    }
    LLVMValueRef any = LLVMBuildICmp(cg->b, LLVMIntSLT, stop, to, ""), again = LLVMBuildAnd(cg->b, any, LLVMBuildICmp(cg->b, LLVMIntSLT, from, stop, ""), "");
    Branch b = branch_begin(cg, again);
    if (!LLVMIsNull(again))
        emit_vector(g, v, s, index, LLVMBuildSub(cg->b, to, cg_i64(cg, CG_LANES), ""), base);
    branch_else(cg, &b);
    if (!LLVMIsConstant(again) || LLVMIsNull(again))
        emit_few(g, v, s, index, stop, to, base);
    branch_end(cg, &b);
}

static void emit_between(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef from, LLVMValueRef to, LLVMValueRef base)
{
    Codegen *cg = g->cg;
    if (!s->vector) {
        emit_scalars(g, v, s, index, from, to, base);
        return;
    }
    LLVMValueRef whole = LLVMBuildAnd(cg->b, LLVMBuildSub(cg->b, to, from, ""), cg_i64(cg, -CG_LANES), "");
    LLVMValueRef stop = LLVMBuildAdd(cg->b, from, whole, "");
    if (!LLVMIsNull(whole)) {
        Loop l = loop_begin(cg, from, stop, CG_LANES, "columns");
        emit_vector(g, v, s, index, l.index, base);
        loop_end(cg, &l);
    }
    emit_rest(g, v, s, index, from, stop, to, base);
}

static LLVMValueRef clamp(Codegen *cg, LLVMValueRef i, LLVMValueRef low, LLVMValueRef high)
{
    i = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, i, low, ""), low, i, "");
    return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSGT, i, high, ""), high, i, "");
}

static void emit_columns(Group *g, const Value *v, const MapSpace *s, const LLVMValueRef *index, LLVMValueRef from, LLVMValueRef to, LLVMValueRef base)
{
    LLVMValueRef at = from;
    for (int i = 0; s->vector && i < s->cuts.n; i++) {
        LLVMValueRef cut = clamp(g->cg, group_dim(g, s->cuts.at[i]), from, to);
        if (cut != at)
            emit_between(g, v, s, index, at, cut, base);
        at = cut;
    }
    if (at != to)
        emit_between(g, v, s, index, at, to, base);
}

/* ---- the space ---- */

static bool long_enough(Dim d)
{
    return !dim_is_const(d) || d->k >= CG_LANES;
}

/* Spread columns are read again where vectors overlap, and the last dim is walked inside. */
static Spread choose_spread(const MapSpace *s)
{
    Dim last = s->dim[s->rank - 1];
    if (dim_is(s->stride, 1))
        return SPREAD_NONE;
    if (dim_is_const(last) && s->stride == last && last->k <= CG_LANES && (last->k <= MAX_INTERLEAVED || last->k == CG_LANES))
        return SPREAD_INTERLEAVED;
    return long_enough(last) ? SPREAD_ROWS : SPREAD_SINGLE;
}

/* Columns along the last dim if they can be vectors there, else along the innermost dim where they can. */
static void choose_columns(Group *g, const Value *v, MapSpace *s)
{
    DimTable *dims = g->cg->m->dims;
    int last = s->rank - 1;
    s->column = last < 0 ? 0 : last;
    s->stride = dim_const(dims, 1);
    s->vector = last >= 0 && long_enough(s->dim[last]) && (g->space ? group_lanes_ok(g, v) : group_lanes_cut(g, v, last, &s->cuts));
    Dim stride = s->stride;
    for (int d = last - 1; !s->vector && !g->space && d >= 0; d--) {
        stride = dim_mul(dims, stride, s->dim[d + 1]);
        if (!long_enough(s->dim[d]) || (g->computes && !dim_is(stride, 1)) || !group_lanes_cut(g, v, d, &s->cuts))
            continue;
        s->column = d;
        s->stride = stride;
        s->vector = true;
        s->spread = choose_spread(s);
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

/* ---- rows ---- */

/* One row: its columns are shared out in blocks. */
static void map_one_row(Group *g, const Value *v, MapSpace *s, Dim cols, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    int size = s->spread == SPREAD_NONE ? BLOCK : BLOCK_ACROSS;
    LLVMValueRef index[MAX_RANK], n = group_dim(g, cols), block = cg_i64(cg, size);
    for (int d = 0; d < s->rank; d++)
        index[d] = cg_i64(cg, 0);
    *work = (Work){ dim_ceil_div(dims, cols, dim_const(dims, size)), dim_mulk(dims, s->spread == SPREAD_NONE ? dim_const(dims, 1) : s->dim[s->rank - 1], size) };
    LLVMValueRef from = LLVMBuildMul(cg->b, begin, block, ""), to = LLVMBuildMul(cg->b, end, block, "");
    to = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, to, n, ""), to, n, "");
    emit_columns(g, v, s, index, from, to, cg_i64(cg, 0));
}

/* The dims that rows are numbered by: all but that of the columns, and the last one where it is walked with them. */
typedef struct Rows {
    int n, outer;                   /* dims; the first `outer` number units, the others are looped over inside */
    int which[MAX_RANK];
    Dim dim[MAX_RANK];
    Dim units, cost;                /* cost: elements of a unit */
} Rows;

static Rows rows_of(DimTable *dims, const MapSpace *s)
{
    Rows r = { .units = dim_const(dims, 1), .cost = dim_const(dims, 1) };
    int64_t fixed = 1;
    for (int d = 0; d < s->rank; d++)
        if (d == s->column || (s->spread != SPREAD_NONE && d == s->rank - 1)) {
            r.cost = dim_mul(dims, r.cost, s->dim[d]);
        } else if (!dim_is(s->dim[d], 1)) {
            r.which[r.n] = d;
            r.dim[r.n++] = s->dim[d];
        }
    while (r.outer < r.n && fixed < MANY_UNITS) {
        fixed *= dim_is_const(r.dim[r.outer]) ? r.dim[r.outer]->k : 1;
        r.units = dim_mul(dims, r.units, r.dim[r.outer++]);
    }
    for (int i = r.outer; i < r.n; i++)
        r.cost = dim_mul(dims, r.cost, r.dim[i]);
    return r;
}

/* Loops over rows[i..n) and the columns of each. */
static void map_inner(Group *g, const Value *v, const MapSpace *s, const Rows *r, int i, LLVMValueRef *index)
{
    Codegen *cg = g->cg;
    if (i == r->n) {
        Dim cols = s->rank ? s->dim[s->column] : dim_const(cg->m->dims, 1);
        emit_columns(g, v, s, index, cg_i64(cg, 0), group_dim(g, cols), linear_offset(g, s->rank, s->dim, index));
        return;
    }
    Loop l = loop_begin(cg, cg_i64(cg, 0), group_dim(g, r->dim[i]), 1, "inner");
    index[r->which[i]] = l.index;
    map_inner(g, v, s, r, i + 1, index);
    loop_end(cg, &l);
}

static void map_rows(Group *g, const Value *v, MapSpace *s, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    LLVMValueRef index[MAX_RANK], part[MAX_RANK];
    Rows r = rows_of(cg->m->dims, s);
    if (!r.n) {
        map_one_row(g, v, s, s->rank ? s->dim[s->column] : r.units, begin, end, work);
        return;
    }
    *work = (Work){ r.units, r.cost };
    for (int d = 0; d < s->rank; d++)
        index[d] = cg_i64(cg, 0);
    Loop l = loop_begin(cg, begin, end, 1, "row");
    split_index(g, l.index, r.outer, r.dim, part);
    for (int i = 0; i < r.outer; i++)
        index[r.which[i]] = part[i];
    map_inner(g, v, s, &r, r.outer, index);
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
    s.vector = long_enough(t->dim[rank - 1]) && group_lanes_cut(g, v, rank - 1, &s.cuts);
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
