/* gen_softmax.c -- softmax and log-softmax along one axis, each row in three sweeps: the maximum; exp(x - max) and its sum; scaling.
 *
 * exp(x - max) is kept in the result's own memory between the sweeps where the result's type is computed in as it is stored (f32, f64), else
 * computed again. Lanes run along the axis if it is the last dim, else along the last dim.
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

static LLVMValueRef raw_result(const Softmax *s, LLVMValueRef offset, int lanes)
{
    Codegen *cg = s->g->cg;
    DType t = node_out(s->g->anchor)->type.dtype;
    LLVMValueRef v = LLVMBuildLoad2(cg->b, cg_storage_type(cg, t, lanes), cg_gep(cg, s->g->out, t, offset), "");
    LLVMSetAlignment(v, (unsigned)dtype_bytes(t));
    return v;
}

static void keep_result(const Softmax *s, LLVMValueRef val, LLVMValueRef offset)
{
    Codegen *cg = s->g->cg;
    DType t = node_out(s->g->anchor)->type.dtype;
    LLVMSetAlignment(LLVMBuildStore(cg->b, val, cg_gep(cg, s->g->out, t, offset)), (unsigned)dtype_bytes(t));
}

/* One sweep over [from, to): kind 0 maximum, 1 sum of exponentials. acc is a variable of that many lanes. */
static void sweep(const Softmax *s, const Reducer *r, const Index *row, LLVMValueRef base, LLVMValueRef from, LLVMValueRef to,
                  LLVMValueRef acc, LLVMValueRef top, int lanes, bool along)
{
    Codegen *cg = s->g->cg;
    Loop l = loop_begin(cg, from, to, along ? lanes : 1, top ? "sum" : "max");
    LLVMValueRef v = element(s, row, l.index, lanes, along);
    if (top) {
        v = shifted_exp(s, v, top, lanes);
        if (s->kept)
            keep_result(s, v, offset_of(s, base, l.index));
    }
    cg_set(cg, acc, reducer_apply(cg, r, cg_get(cg, acc), v, lanes));
    loop_end(cg, &l);
}

static void write_out(const Softmax *s, const Index *row, LLVMValueRef base, LLVMValueRef from, LLVMValueRef to, LLVMValueRef top, LLVMValueRef scale, int lanes, bool along)
{
    Codegen *cg = s->g->cg;
    Loop l = loop_begin(cg, from, to, along ? lanes : 1, "scale");
    LLVMValueRef at = offset_of(s, base, l.index), v;
    if (s->kept)
        v = raw_result(s, at, lanes);
    else
        v = element(s, row, l.index, lanes, along);
    if (s->log)
        v = cg_primitive(cg, S_sub, s->type, cg_primitive(cg, S_sub, s->type, v, top, lanes), scale, lanes);
    else
        v = cg_primitive(cg, S_mul, s->type, s->kept ? v : shifted_exp(s, v, top, lanes), scale, lanes);
    Index out = *row;
    out.id = s->g->next_index_id++;
    out.v[s->axis] = l.index;
    if (along && lanes > 1)
        out.lane[s->axis] = 1;
    group_store(s->g, group_epilogue(s->g, v, &out, lanes), at, lanes, NULL);
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

/* The axis is the last dim: one row, lanes along it, the rest scalar. */
static void row_along(const Softmax *s, const Index *row, LLVMValueRef base, bool vector)
{
    Codegen *cg = s->g->cg;
    Reducer max = reducer_of(cg, "max", s->type), sum = reducer_of(cg, "sum", s->type);
    LLVMValueRef n = group_dim(s->g, s->x->type.dim[s->axis]), zero = cg_i64(cg, 0);
    LLVMValueRef stop = vector ? LLVMBuildAnd(cg->b, n, cg_i64(cg, -CG_LANES), "") : zero;
    LLVMValueRef acc = cg_variable(cg, max.identity), wide = cg_variable(cg, cg_splat(cg, max.identity, CG_LANES));
    if (vector)
        sweep(s, &max, row, base, zero, stop, wide, NULL, CG_LANES, true);
    sweep(s, &max, row, base, stop, n, acc, NULL, 1, true);
    LLVMValueRef top = reducer_apply(cg, &max, reducer_across(cg, &max, cg_get(cg, wide)), cg_get(cg, acc), 1);
    LLVMValueRef tops = cg_splat(cg, top, CG_LANES);
    cg_set(cg, acc, sum.identity);
    cg_set(cg, wide, cg_splat(cg, sum.identity, CG_LANES));
    if (vector)
        sweep(s, &sum, row, base, zero, stop, wide, tops, CG_LANES, true);
    sweep(s, &sum, row, base, stop, n, acc, top, 1, true);
    LLVMValueRef total = reducer_apply(cg, &sum, reducer_across(cg, &sum, cg_get(cg, wide)), cg_get(cg, acc), 1);
    LLVMValueRef scale = finish_sum(s, total, 1);
    if (vector)
        write_out(s, row, base, zero, stop, tops, cg_splat(cg, scale, CG_LANES), CG_LANES, true);
    write_out(s, row, base, stop, n, top, scale, 1, true);
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
    row_along(s, &row, LLVMBuildMul(cg->b, l.index, group_dim(s->g, dim[s->axis]), ""), group_lanes_ok(s->g, s->x) && group_lanes_ok(s->g, s->g->result));
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
