/* gen_pool.c -- max and average pooling over any number of spatial axes, with an epilogue.
 *
 *     for each row of results (all dims but the last spatial axis, and the channels where these come last), or a piece of it     <- units
 *         for 16 channels at a time, then under a mask; one by one where lanes cannot run along channels
 *             for positions along the row: near the edges one by one, with the taps that lie inside
 *                                          between them several at once, whose windows share columns:
 *
 *                 column     0 1 2 3 4 5 6       each reduced over the other spatial axes first
 *                 windows    [. . .]
 *                                [. . .]         (width 3, stride 2)
 *                                    [. . .]
 *
 * Where a maximum is taken of what a relu gave, numbers are compared as unsigned integers: positive floats are in the same order as their bits, with NaN
 * above all, as NaN wins. That is one instruction instead of five.
 */
#include "gen.h"

#include <string.h>

enum {
    PIECE = 64,                     /* positions per unit */
    MAX_TAPS = 64,                  /* of a window that is unrolled */
    COLUMNS = 8,                    /* held in registers at once */
    MAX_WINDOWS = 4
};

typedef struct Window { LLVMValueRef start, from, to, count; } Window;

typedef struct Pool {
    Group *g;
    const Attr_pool *attr;
    const Value *x;
    const Type *result;             /* of the anchor */
    int spatial;                    /* number of spatial axes */
    int first, last;                /* dim numbers of the first and the last of them */
    Reducer reducer;
    bool average;
    bool by_bits;                   /* maxima of unrolled windows: as unsigned integers */
    /* of the row at hand */
    Index at;                       /* of the result: all but the position, and the channel */
    Window window[MAX_RANK];        /* per spatial axis but the last */
    LLVMValueRef from, to;          /* positions of the unit ... */
    LLVMValueRef inner, inner_end;  /* ... and among them those whose windows are unrolled */
    int lanes;
    LLVMValueRef mask;
} Pool;

/* At least +0, or NaN, of either sign. */
static bool is_positive(const Value *v, int depth)
{
    const Node *n = v->def;
    double k;
    bool all = true;
    if (depth <= 0 || n->op == OP_relu || n->op == OP_fused)
        return depth > 0 && (n->op == OP_relu || is_positive(node_in(graph_return(NODE_ATTR(n, fused)->body), 0), depth - 1));
    if (value_scalar_f64(v, &k))
        return k > 0;
    if (n->op != OP_concat && n->op != OP_min && n->op != OP_reshape && n->op != OP_transpose && n->op != OP_slice &&
        !(n->op == OP_pool && !strcmp(NODE_ATTR(n, pool)->kind, "max")))
        return false;
    for (int i = 0; all && i < n->nin; i++)
        all = is_positive(node_in(n, i), depth - 1);
    return all;
}

bool pool_compares_bits(const Node *owner)
{
    const Node *pool = owner->op == OP_pool ? owner : NULL;
    if (owner->op == OP_fused)
        FOR_EACH_NODE(n, NODE_ATTR(owner, fused)->body)
            pool = n->op == OP_pool ? n : pool;
    if (!pool || strcmp(NODE_ATTR(pool, pool)->kind, "max") || formula_compute_type(node_out(pool)->type.dtype) != DT_f32)
        return false;
    const Value *x = node_in(pool, 0);
    if (owner != pool && x->def->op != OP_input)
        return false;
    return is_positive(owner == pool ? x : node_in(owner, (int)NODE_ATTR(x->def, input)->index), 6);
}

static int64_t kernel(const Pool *p, int i) { return p->attr->kernel.v[i]; }
static int64_t stride(const Pool *p, int i) { return p->attr->strides.n ? p->attr->strides.v[i] : 1; }
static int64_t dilation(const Pool *p, int i) { return p->attr->dilations.n ? p->attr->dilations.v[i] : 1; }
static int64_t pad_before(const Pool *p, int i) { return p->attr->pads.n ? p->attr->pads.v[i] : 0; }
static int64_t pad_after(const Pool *p, int i) { return p->attr->pads.n ? p->attr->pads.v[i + p->spatial] : 0; }

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

/* Taps of axis i whose position lies inside the input, and how many the average divides by. */
static Window window_of(const Pool *p, int i, LLVMValueRef out)
{
    Codegen *cg = p->g->cg;
    int64_t dil = dilation(p, i);
    LLVMValueRef size = group_dim(p->g, p->x->type.dim[p->first + i]), zero = cg_i64(cg, 0), all = cg_i64(cg, kernel(p, i));
    Window w;
    w.start = LLVMBuildSub(cg->b, LLVMBuildMul(cg->b, out, cg_i64(cg, stride(p, i)), ""), cg_i64(cg, pad_before(p, i)), "");
    w.from = clamp(cg, LLVMIntSGT, ceil_div(cg, LLVMBuildNeg(cg->b, w.start, ""), dil), zero);
    w.to = clamp(cg, LLVMIntSLT, ceil_div(cg, LLVMBuildSub(cg->b, size, w.start, ""), dil), all);
    if (p->attr->count_pad) {
        LLVMValueRef padded = LLVMBuildAdd(cg->b, size, cg_i64(cg, pad_after(p, i)), "");
        w.count = clamp(cg, LLVMIntSLT, ceil_div(cg, LLVMBuildSub(cg->b, padded, w.start, ""), dil), all);
    } else {
        w.count = LLVMBuildSub(cg->b, w.to, w.from, "");
    }
    return w;
}

static LLVMValueRef reduce(const Pool *p, LLVMValueRef a, LLVMValueRef b)
{
    return reducer_apply(p->g->cg, &p->reducer, a, b, p->lanes);
}

static LLVMValueRef reduce_unrolled(const Pool *p, LLVMValueRef a, LLVMValueRef b)
{
    Codegen *cg = p->g->cg;
    LLVMTypeRef bits = cg_compute_type(cg, DT_u32, p->lanes);
    if (!p->by_bits)
        return reduce(p, a, b);
    LLVMValueRef x = LLVMBuildBitCast(cg->b, a, bits, ""), y = LLVMBuildBitCast(cg->b, b, bits, "");
    return LLVMBuildBitCast(cg->b, cg_primitive(cg, S_max, DT_u32, x, y, p->lanes), LLVMTypeOf(a), "");
}

static LLVMValueRef load(Pool *p, Index *at)
{
    at->id = 0;
    p->g->mask = p->mask;
    LLVMValueRef v = group_load(p->g, p->x, at, p->lanes);
    p->g->mask = NULL;
    p->g->nmemo = 0;
    return v;
}

/* The window's sum or maximum at this position becomes the result there; count: what an average divides by. */
static void finish(Pool *p, LLVMValueRef position, LLVMValueRef v, LLVMValueRef count)
{
    Codegen *cg = p->g->cg;
    Index at = p->at;
    at.v[p->last] = position;
    at.id = p->g->next_index_id++;
    if (p->average) {
        LLVMValueRef n = LLVMBuildSIToFP(cg->b, count, cg_compute_type(cg, p->reducer.type, 1), "");
        v = cg_primitive(cg, S_div, p->reducer.type, v, p->lanes > 1 ? cg_splat(cg, n, p->lanes) : n, p->lanes);
    }
    LLVMValueRef offset = linear_offset(p->g, at.rank, p->result->dim, at.v);
    group_store(p->g, group_epilogue_masked(p->g, v, &at, p->lanes, p->mask), offset, p->lanes, p->mask);
}

/* ---- near the edges ---- */

/* Nested loops over the taps of axis i and inward; acc is updated. */
static void pool_axis(Pool *p, int i, const Window *w, Index *at, LLVMValueRef acc)
{
    Codegen *cg = p->g->cg;
    if (i == p->spatial) {
        cg_set(cg, acc, reduce(p, cg_get(cg, acc), load(p, at)));
        return;
    }
    Loop l = loop_begin(cg, w[i].from, w[i].to, 1, "tap");
    at->v[p->first + i] = LLVMBuildAdd(cg->b, w[i].start, LLVMBuildMul(cg->b, l.index, cg_i64(cg, dilation(p, i)), ""), "");
    pool_axis(p, i + 1, w, at, acc);
    loop_end(cg, &l);
}

static void pool_clipped(Pool *p, LLVMValueRef from, LLVMValueRef to)
{
    Codegen *cg = p->g->cg;
    Loop l = loop_begin(cg, from, to, 1, "clipped");
    LLVMValueRef init = p->reducer.identity, acc = cg_variable(cg, p->lanes > 1 ? cg_splat(cg, init, p->lanes) : init), count = cg_i64(cg, 1);
    Index at = p->at;
    p->window[p->spatial - 1] = window_of(p, p->spatial - 1, l.index);
    for (int i = 0; i < p->spatial; i++)
        count = LLVMBuildMul(cg->b, count, p->window[i].count, "");
    pool_axis(p, 0, p->window, &at, acc);
    finish(p, l.index, cg_get(cg, acc), count);
    loop_end(cg, &l);
}

/* ---- between them: unrolled ---- */

static int64_t all_taps(const Pool *p)
{
    int64_t n = 1;
    for (int i = 0; i < p->spatial; i++)
        n *= kernel(p, i) <= MAX_TAPS ? kernel(p, i) : MAX_TAPS + 1;
    return n;
}

/* How many windows share columns in registers. */
static int windows_at_once(const Pool *p)
{
    int i = p->spatial - 1;
    int64_t n = dilation(p, i) == 1 && kernel(p, i) < COLUMNS ? (COLUMNS - kernel(p, i)) / stride(p, i) + 1 : 1;
    return n < MAX_WINDOWS ? (int)n : MAX_WINDOWS;
}

/* Reduces over axis i and further in, but not over the last: one column per tap offset. */
static void reduce_columns(Pool *p, int i, Index *at, LLVMValueRef start, int ncolumns, LLVMValueRef *column)
{
    Codegen *cg = p->g->cg;
    for (int64_t tap = 0; i < p->spatial - 1 && tap < kernel(p, i); tap++) {
        at->v[p->first + i] = LLVMBuildAdd(cg->b, p->window[i].start, cg_i64(cg, tap * dilation(p, i)), "");
        reduce_columns(p, i + 1, at, start, ncolumns, column);
    }
    for (int c = 0; i == p->spatial - 1 && c < ncolumns; c++) {
        at->v[p->last] = LLVMBuildAdd(cg->b, start, cg_i64(cg, c * dilation(p, i)), "");
        LLVMValueRef v = load(p, at);
        column[c] = column[c] ? reduce_unrolled(p, column[c], v) : v;
    }
}

/* `count` windows from this position on, all of them inside. */
static void pool_windows(Pool *p, LLVMValueRef position, int count)
{
    Codegen *cg = p->g->cg;
    int i = p->spatial - 1, k = (int)kernel(p, i), s = (int)stride(p, i);
    LLVMValueRef column[MAX_TAPS] = { NULL }, start = LLVMBuildMul(cg->b, position, cg_i64(cg, s), "");
    Index at = p->at;
    reduce_columns(p, 0, &at, LLVMBuildSub(cg->b, start, cg_i64(cg, pad_before(p, i)), ""), (count - 1) * s + k, column);
    for (int w = 0; w < count; w++) {
        LLVMValueRef v = column[w * s];
        for (int tap = 1; tap < k; tap++)
            v = reduce_unrolled(p, v, column[w * s + tap]);
        finish(p, LLVMBuildAdd(cg->b, position, cg_i64(cg, w), ""), v, cg_i64(cg, all_taps(p)));
    }
}

static void pool_inner(Pool *p, LLVMValueRef from, LLVMValueRef to, int count)
{
    Loop l = loop_begin(p->g->cg, from, to, count, "windows");
    pool_windows(p, l.index, count);
    loop_end(p->g->cg, &l);
}

/* ---- rows ---- */

/* Positions of the row whose window lies inside the input, along all axes. */
static void find_inner(Pool *p)
{
    Codegen *cg = p->g->cg;
    int i = p->spatial - 1;
    DimTable *dims = cg->m->dims;
    int64_t s = stride(p, i), before = pad_before(p, i), reach = (kernel(p, i) - 1) * dilation(p, i);
    LLVMValueRef low = cg_i64(cg, before > 0 ? (before + s - 1) / s : 0), whole = NULL;
    Dim room = dim_add(dims, p->x->type.dim[p->last], dim_const(dims, before - reach - 1 + s));
    LLVMValueRef high = group_dim(p->g, dim_div(dims, room, dim_const(dims, s)));
    p->inner = clamp(cg, LLVMIntSLT, clamp(cg, LLVMIntSGT, low, p->from), p->to);
    p->inner_end = clamp(cg, LLVMIntSGT, clamp(cg, LLVMIntSLT, high, p->to), p->inner);
    for (i = 0; i < p->spatial - 1; i++) {
        LLVMValueRef taps = LLVMBuildSub(cg->b, p->window[i].to, p->window[i].from, "");
        LLVMValueRef all = LLVMBuildICmp(cg->b, LLVMIntEQ, taps, cg_i64(cg, kernel(p, i)), "");
        whole = whole ? LLVMBuildAnd(cg->b, whole, all, "") : all;
    }
    if (whole) {
        p->inner = LLVMBuildSelect(cg->b, whole, p->inner, p->to, "");
        p->inner_end = LLVMBuildSelect(cg->b, whole, p->inner_end, p->to, "");
    }
}

static void pool_positions(Pool *p)
{
    Codegen *cg = p->g->cg;
    if (all_taps(p) > MAX_TAPS) {
        pool_clipped(p, p->from, p->to);
        return;
    }
    int count = windows_at_once(p);
    LLVMValueRef left = LLVMBuildSRem(cg->b, LLVMBuildSub(cg->b, p->inner_end, p->inner, ""), cg_i64(cg, count), "");
    LLVMValueRef stop = LLVMBuildSub(cg->b, p->inner_end, left, "");
    pool_clipped(p, p->from, p->inner);
    pool_inner(p, p->inner, stop, count);
    if (count > 1)
        pool_inner(p, stop, p->inner_end, 1);
    pool_clipped(p, p->inner_end, p->to);
}

/* Channels [from, to) come last; under the mask, if there is one. */
static void pool_channels(Pool *p, LLVMValueRef from, LLVMValueRef to, int lanes, LLVMValueRef mask)
{
    Codegen *cg = p->g->cg;
    int channel = p->at.rank - 1;
    Loop l = loop_begin(cg, from, to, lanes, "channels");
    p->at.v[channel] = l.index;
    p->at.lane[channel] = lanes > 1;
    p->lanes = lanes;
    p->mask = mask;
    pool_positions(p);
    loop_end(cg, &l);
}

static void pool_row(Pool *p)
{
    Codegen *cg = p->g->cg;
    Dim channels = p->result->dim[p->result->rank - 1];
    find_inner(p);
    if (!p->attr->channels_last) {
        p->lanes = 1;
        pool_positions(p);
        return;
    }
    LLVMValueRef all = group_dim(p->g, channels), whole = cg_i64(cg, 0);
    if (group_lanes_ok(p->g, p->x) && group_lanes_ok(p->g, p->g->result)) {
        whole = LLVMBuildAnd(cg->b, all, cg_i64(cg, -CG_LANES), "");
        pool_channels(p, cg_i64(cg, 0), whole, CG_LANES, NULL);
        if (cg_masks_memory(cg) && !dim_divides(cg->m->dims, channels, CG_LANES)) {
            pool_channels(p, whole, all, CG_LANES, lane_mask(cg, LLVMBuildSub(cg->b, all, whole, "")));
            return;
        }
    }
    if (!dim_divides(cg->m->dims, channels, CG_LANES) || LLVMIsNull(whole))
        pool_channels(p, whole, all, 1, NULL);
}

/* The dims that units are numbered by: all but the last spatial axis and last channels; then the pieces of a row. */
static int unit_dims(const Pool *p, int *which, Dim *dim)
{
    int n = 0;
    for (int d = 0; d < p->result->rank; d++)
        if (d != p->last && !(p->attr->channels_last && d == p->result->rank - 1)) {
            which[n] = d;
            dim[n++] = p->result->dim[d];
        }
    DimTable *dims = p->g->cg->m->dims;
    dim[n] = dim_ceil_div(dims, p->result->dim[p->last], dim_const(dims, PIECE));
    return n;
}

static Work work_of(const Pool *p, int n, const Dim *dim)
{
    DimTable *dims = p->g->cg->m->dims;
    Work w = { dim[n], dim_min(dims, p->result->dim[p->last], dim_const(dims, PIECE)) };
    for (int i = 0; i < n; i++)
        w.units = dim_mul(dims, w.units, dim[i]);
    if (p->attr->channels_last)
        w.cost = dim_mul(dims, w.cost, p->result->dim[p->result->rank - 1]);
    w.cost = dim_mulk(dims, w.cost, all_taps(p));
    return w;
}

static void pool_unit(Pool *p, LLVMValueRef unit, int n, const int *which, const Dim *dim)
{
    Codegen *cg = p->g->cg;
    LLVMValueRef part[MAX_RANK + 1], piece = cg_i64(cg, PIECE);
    p->at = index_new(p->g, p->result->rank);
    split_index(p->g, unit, n + 1, dim, part);
    for (int i = 0; i < n; i++)
        p->at.v[which[i]] = part[i];
    for (int i = 0; i < p->spatial - 1; i++)
        p->window[i] = window_of(p, i, p->at.v[p->first + i]);
    p->from = LLVMBuildMul(cg->b, part[n], piece, "");
    p->to = clamp(cg, LLVMIntSLT, LLVMBuildAdd(cg->b, p->from, piece, ""), group_dim(p->g, p->result->dim[p->last]));
    pool_row(p);
}

bool gen_pool(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    const Attr_pool *attr = NODE_ATTR(g->anchor, pool);
    const Value *x = node_in(g->anchor, 0);
    bool average = !strcmp(attr->kind, "avg");
    Pool p = { .g = g, .attr = attr, .x = x, .result = &node_out(g->anchor)->type, .spatial = x->type.rank - 2, .first = attr->channels_last ? 1 : 2,
               .reducer = reducer_of(g->cg, average ? "sum" : "max", x->type.dtype), .average = average, .by_bits = pool_compares_bits(g->owner) };
    p.last = p.first + p.spatial - 1;
    int which[MAX_RANK];
    Dim dim[MAX_RANK + 1];
    int n = unit_dims(&p, which, dim);
    *work = work_of(&p, n, dim);
    Loop l = loop_begin(g->cg, begin, end, 1, "unit");
    pool_unit(&p, l.index, n, which, dim);
    loop_end(g->cg, &l);
    return true;
}
