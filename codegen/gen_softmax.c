/* gen_softmax.c -- softmax and log-softmax along one axis, each row in three sweeps: the maximum; exp(x - max) and its sum; scaling.
 *
 * exp(x - max) is kept in the result's own memory between the sweeps where the result's type is computed in as it is stored (f32, f64), else
 * computed again. Lanes run along the axis if it is the last dim, with a mask over those behind its end, else along the last dim.
 */
#include "gen.h"

typedef struct Softmax {
    Group *g;
    const Value *x;
    DType type;                     /* compute type */
    int axis, rank;
    bool log, kept;                 /* kept: sweep 2 leaves exp(x - max) in the result */
    Dim stride;                     /* elements between neighbours along the axis */
} Softmax;

static LLVMValueRef element(const Softmax *s, const Index *row, LLVMValueRef i, int lanes, bool along_axis)
{
    Index at = *row;
    at.id = s->g->next_index_id++;
    at.v[s->axis] = i;
    if (along_axis && lanes > 1)
        at.lane[s->axis] = 1;
    LLVMValueRef v = group_load(s->g, s->x, &at, lanes);
    s->g->nmemo = 0;
    return v;
}

static LLVMValueRef offset_of(const Softmax *s, LLVMValueRef base, LLVMValueRef i)
{
    return LLVMBuildAdd(s->g->cg->b, base, LLVMBuildMul(s->g->cg->b, i, group_dim(s->g, s->stride), ""), "");
}

static LLVMValueRef shifted_exp(const Softmax *s, LLVMValueRef x, LLVMValueRef top, int lanes)
{
    return cg_math(s->g->cg, f_exp, s->type, cg_primitive(s->g->cg, S_sub, s->type, x, top, lanes), lanes);
}

/* What keep_result left. */
static LLVMValueRef kept_result(const Softmax *s, LLVMValueRef offset, int lanes, LLVMValueRef mask)
{
    Elements e = { s->g->out, node_out(s->g->anchor)->type.dtype };
    return elements_load(s->g->cg, &e, offset, lanes, mask);
}

/* One step of a sweep: of the maximum, or, where top is given, of the sum of exponentials. acc is a variable of that many lanes; mask: the lanes that
 * count, NULL: all. */
static void visit(const Softmax *s, const Reducer *r, const Index *row, LLVMValueRef base, LLVMValueRef i, LLVMValueRef acc, LLVMValueRef top, int lanes, bool along,
                  LLVMValueRef mask)
{
    Codegen *cg = s->g->cg;
    s->g->mask = mask;
    LLVMValueRef v = element(s, row, i, lanes, along);
    s->g->mask = NULL;
    if (top) {
        v = shifted_exp(s, v, top, lanes);
        if (s->kept)
            group_store(s->g, v, offset_of(s, base, i), lanes, mask);
    }
    if (mask)
        v = LLVMBuildSelect(cg->b, mask, v, cg_splat(cg, r->identity, lanes), "");
    cg_set(cg, acc, reducer_apply(cg, r, cg_get(cg, acc), v, lanes));
}

/* Over [from, to). */
static void sweep(const Softmax *s, const Reducer *r, const Index *row, LLVMValueRef base, LLVMValueRef from, LLVMValueRef to,
                  LLVMValueRef acc, LLVMValueRef top, int lanes, bool along)
{
    Codegen *cg = s->g->cg;
    Loop l = loop_begin(cg, from, to, along ? lanes : 1, top ? "sum" : "max");
    visit(s, r, row, base, l.index, acc, top, lanes, along, NULL);
    loop_end(cg, &l);
}

static void write_at(const Softmax *s, const Index *row, LLVMValueRef base, LLVMValueRef i, LLVMValueRef top, LLVMValueRef scale, int lanes, bool along, LLVMValueRef mask)
{
    Codegen *cg = s->g->cg;
    LLVMValueRef at = offset_of(s, base, i), v;
    s->g->mask = mask;
    if (s->kept)
        v = kept_result(s, at, lanes, mask);
    else
        v = element(s, row, i, lanes, along);
    s->g->mask = NULL;
    if (s->log)
        v = cg_primitive(cg, S_sub, s->type, cg_primitive(cg, S_sub, s->type, v, top, lanes), scale, lanes);
    else
        v = cg_primitive(cg, S_mul, s->type, s->kept ? v : shifted_exp(s, v, top, lanes), scale, lanes);
    Index out = *row;
    out.id = s->g->next_index_id++;
    out.v[s->axis] = i;
    if (along && lanes > 1)
        out.lane[s->axis] = 1;
    group_store(s->g, group_epilogue_masked(s->g, v, &out, lanes, mask), at, lanes, mask);
}

static void write_out(const Softmax *s, const Index *row, LLVMValueRef base, LLVMValueRef from, LLVMValueRef to, LLVMValueRef top, LLVMValueRef scale, int lanes, bool along)
{
    Codegen *cg = s->g->cg;
    Loop l = loop_begin(cg, from, to, along ? lanes : 1, "scale");
    write_at(s, row, base, l.index, top, scale, lanes, along, NULL);
    loop_end(cg, &l);
}

/* 1/sum, or log(sum). */
static LLVMValueRef finish_sum(const Softmax *s, LLVMValueRef sum, int lanes)
{
    Codegen *cg = s->g->cg;
    if (s->log)
        return cg_math(cg, f_log, s->type, sum, lanes);
    LLVMValueRef one = LLVMConstReal(cg_compute_type(cg, s->type, 1), 1);
    return cg_primitive(cg, S_div, s->type, lanes > 1 ? cg_splat(cg, one, lanes) : one, sum, lanes);
}

/* What does not fill the lanes at the end of a row. */
typedef struct Rest {
    LLVMValueRef from, some, mask;  /* first element, whether there is one, its lanes; some NULL: never */
} Rest;

static Rest rest_of(const Softmax *s, LLVMValueRef n)
{
    Codegen *cg = s->g->cg;
    Dim size = s->x->type.dim[s->axis];
    Rest r = { .from = LLVMBuildAnd(cg->b, n, cg_i64(cg, -CG_LANES), "") };
    if (dim_is_const(size) && size->k % CG_LANES == 0)
        return r;
    r.some = LLVMBuildICmp(cg->b, LLVMIntSLT, r.from, n, "");
    r.mask = lane_mask(cg, LLVMBuildSub(cg->b, n, r.from, ""));
    return r;
}

/* A sweep over a whole row on vectors; returns the scalar. */
static LLVMValueRef sweep_row(const Softmax *s, const Reducer *r, const Index *row, LLVMValueRef base, const Rest *rest, LLVMValueRef top)
{
    Codegen *cg = s->g->cg;
    LLVMValueRef acc = cg_variable(cg, cg_splat(cg, r->identity, CG_LANES));
    sweep(s, r, row, base, cg_i64(cg, 0), rest->from, acc, top, CG_LANES, true);
    if (rest->some) {
        Branch b = branch_begin(cg, rest->some);
        visit(s, r, row, base, rest->from, acc, top, CG_LANES, true, rest->mask);
        branch_else(cg, &b);
        branch_end(cg, &b);
    }
    return reducer_across(cg, r, cg_get(cg, acc));
}

/* The axis is the last dim: one row, lanes along it. */
static void row_on_lanes(const Softmax *s, const Index *row, LLVMValueRef base)
{
    Codegen *cg = s->g->cg;
    Reducer max = reducer_of(cg, "max", s->type), sum = reducer_of(cg, "sum", s->type);
    Rest rest = rest_of(s, group_dim(s->g, s->x->type.dim[s->axis]));
    LLVMValueRef top = cg_splat(cg, sweep_row(s, &max, row, base, &rest, NULL), CG_LANES);
    LLVMValueRef scale = cg_splat(cg, finish_sum(s, sweep_row(s, &sum, row, base, &rest, top), 1), CG_LANES);
    write_out(s, row, base, cg_i64(cg, 0), rest.from, top, scale, CG_LANES, true);
    if (!rest.some)
        return;
    Branch b = branch_begin(cg, rest.some);
    write_at(s, row, base, rest.from, top, scale, CG_LANES, true, rest.mask);
    branch_else(cg, &b);
    branch_end(cg, &b);
}

/* Another axis: `lanes` neighbouring columns of the last dim at once. */
static void columns_across(const Softmax *s, const Index *row, LLVMValueRef base, int lanes)
{
    Codegen *cg = s->g->cg;
    Reducer max = reducer_of(cg, "max", s->type), sum = reducer_of(cg, "sum", s->type);
    LLVMValueRef n = group_dim(s->g, s->x->type.dim[s->axis]), zero = cg_i64(cg, 0);
    LLVMValueRef acc = cg_variable(cg, lanes > 1 ? cg_splat(cg, max.identity, lanes) : max.identity);
    sweep(s, &max, row, base, zero, n, acc, NULL, lanes, false);
    LLVMValueRef top = cg_get(cg, acc);
    cg_set(cg, acc, lanes > 1 ? cg_splat(cg, sum.identity, lanes) : sum.identity);
    sweep(s, &sum, row, base, zero, n, acc, top, lanes, false);
    write_out(s, row, base, zero, n, top, finish_sum(s, cg_get(cg, acc), lanes), lanes, false);
}

static void softmax_last(const Softmax *s, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = s->g->cg;
    const Dim *dim = s->x->type.dim;
    Dim rows = dim_const(cg->m->dims, 1);
    for (int d = 0; d < s->axis; d++)
        rows = dim_mul(cg->m->dims, rows, dim[d]);
    *work = (Work){ rows, dim_mulk(cg->m->dims, dim[s->axis], 16) };
    Loop l = loop_begin(cg, begin, end, 1, "row");
    Index row = index_new(s->g, s->rank);
    split_index(s->g, l.index, s->axis, dim, row.v);
    LLVMValueRef base = LLVMBuildMul(cg->b, l.index, group_dim(s->g, dim[s->axis]), "");
    if (group_lanes_ok(s->g, s->x) && group_lanes_ok(s->g, s->g->result))
        row_on_lanes(s, &row, base);
    else
        columns_across(s, &row, base, 1);
    loop_end(cg, &l);
}

/* Units: every dim but the axis and the last; inside, the columns of the last dim. */
static void softmax_other(const Softmax *s, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = s->g->cg;
    const Dim *dim = s->x->type.dim;
    Dim other[MAX_RANK], units = dim_const(cg->m->dims, 1);
    int which[MAX_RANK], n = 0;
    for (int d = 0; d + 1 < s->rank; d++)
        if (d != s->axis) {
            units = dim_mul(cg->m->dims, units, dim[d]);
            which[n] = d;
            other[n++] = dim[d];
        }
    LLVMValueRef cols = group_dim(s->g, dim[s->rank - 1]), from = cg_i64(cg, 0), part[MAX_RANK];
    *work = (Work){ units, dim_mulk(cg->m->dims, dim_mul(cg->m->dims, dim[s->axis], dim[s->rank - 1]), 16) };
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    Index row = index_new(s->g, s->rank);
    split_index(s->g, l.index, n, other, part);
    for (int i = 0; i < n; i++)
        row.v[which[i]] = part[i];
    for (int lanes = group_lanes_ok(s->g, s->x) && group_lanes_ok(s->g, s->g->result) ? CG_LANES : 1; lanes; lanes = lanes > 1 ? 1 : 0) {
        LLVMValueRef to = lanes > 1 ? LLVMBuildAnd(cg->b, cols, cg_i64(cg, -CG_LANES), "") : cols;
        Loop c = loop_begin(cg, from, to, lanes, "column");
        row.v[s->rank - 1] = c.index;
        row.lane[s->rank - 1] = lanes > 1;
        columns_across(s, &row, linear_offset(s->g, s->rank, dim, row.v), lanes);
        loop_end(cg, &c);
        from = to;
    }
    loop_end(cg, &l);
}

bool gen_softmax(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    const Attr_softmax *attr = NODE_ATTR(g->anchor, softmax);
    const Value *x = node_in(g->anchor, 0);
    Softmax s = { .g = g, .x = x, .type = formula_compute_type(x->type.dtype), .axis = (int)attr->axis, .rank = x->type.rank, .log = attr->log };
    s.kept = !s.log && s.type == node_out(g->anchor)->type.dtype && g->result->type.dtype == s.type;
    s.stride = dim_const(g->cg->m->dims, 1);
    for (int d = s.axis + 1; d < s.rank; d++)
        s.stride = dim_mul(g->cg->m->dims, s.stride, x->type.dim[d]);
    (s.axis == s.rank - 1 ? softmax_last : softmax_other)(&s, begin, end, work);
    return true;
}
