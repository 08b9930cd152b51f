/* gen_attention.c -- softmax(f(Q K)) V as one kernel: the scores stay in the cache. f is any chain of elementwise ops (scale, mask, bias).
 *
 * A unit is a block of query rows of one head: `wide` of them, one per lane. Everything in between is kept transposed, so that lanes are rows throughout:
 * the softmax needs nothing across lanes, and K and V are read one element at a time, by any strides, where they lie.
 *
 *     queries  [D][wide]      copied and turned once per unit
 *     scores   [KEYS][wide]   one block of keys at a time: K's element times a row of queries, D times; then f
 *     sums     [E][wide]      V's element times a row of exp(scores - top), for every key of the block
 *
 * Between blocks of keys the largest score so far (top) and the sum of exponentials (total) are carried, and sums are rescaled when top grows (Milakov and
 * Gimelshein, "Online normalizer calculation for softmax", 2018; Dao et al., "FlashAttention", 2022). top begins at the least finite number, so that rows
 * begun by masked keys (-infinity) stay well defined; a row with nothing else divides 0 by 0, and is NaN as in softmax itself.
 * The scratch is on the stack: of a fixed size, whatever the length.
 *
 * How to read it: gen_attention lays out scratch and units; attend_block is the loop over keys; product_tile the register tile that both products share.
 */
#include "gen.h"
#include "strided.h"

#include <float.h>

enum { SHORT = 256, KEYS = 112, MAX_WIDE = 2 };    /* keys at a time: all, if they are so few, else KEYS; panels of lanes */

typedef struct Attention {
    Group *g;
    Strided q, k, v;
    const Value *query;             /* what q describes; the first product's operand may be a multiple of it */
    int rank, panels, rows;         /* of the scores; rows of a register tile */
    Dim T, S;
    int64_t D, E, keys;             /* keys: of a block */
    Dim out[MAX_RANK];              /* strides of the result, per dim of the second product */
    LLVMValueRef queries, scores, sums;                 /* scratch */
    LLVMValueRef top[MAX_WIDE], total[MAX_WIDE];        /* variables */
    /* of the unit */
    LLVMValueRef batch[MAX_RANK], first, live;          /* first row, rows that exist */
    LLVMValueRef q_at, k_at, v_at, out_at;              /* elements before this head's part */
} Attention;

/* ---- scratch ---- */

static LLVMValueRef scratch_new(Attention *a, int64_t rows)
{
    Codegen *cg = a->g->cg;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->b), entry = LLVMGetEntryBasicBlock(LLVMGetBasicBlockParent(here));
    LLVMPositionBuilder(cg->b, entry, LLVMGetFirstInstruction(entry));
    LLVMValueRef p = LLVMBuildAlloca(cg->b, LLVMArrayType2(cg->f32, (uint64_t)(rows * a->panels * CG_LANES)), "");
    LLVMSetAlignment(p, 64);
    LLVMPositionBuilderAtEnd(cg->b, here);
    return p;
}

static LLVMValueRef scratch_place(const Attention *a, LLVMValueRef scratch, LLVMValueRef row, int panel)
{
    Codegen *cg = a->g->cg;
    LLVMValueRef at = LLVMBuildNSWMul(cg->b, row, cg_i64(cg, a->panels * CG_LANES), "");
    return cg_gep(cg, scratch, DT_f32, LLVMBuildNSWAdd(cg->b, at, cg_i64(cg, panel * CG_LANES), ""));
}

static LLVMValueRef vector_load(Codegen *cg, LLVMValueRef p, unsigned align)
{
    LLVMValueRef v = LLVMBuildLoad2(cg->b, cg_storage_type(cg, DT_f32, CG_LANES), p, "");
    LLVMSetAlignment(v, align);
    return v;
}

static void vector_store(Codegen *cg, LLVMValueRef v, LLVMValueRef p, unsigned align)
{
    LLVMSetAlignment(LLVMBuildStore(cg->b, v, p), align);
}

static LLVMValueRef scratch_load(const Attention *a, LLVMValueRef scratch, LLVMValueRef row, int panel)
{
    return vector_load(a->g->cg, scratch_place(a, scratch, row, panel), 64);
}

static void scratch_store(const Attention *a, LLVMValueRef v, LLVMValueRef scratch, LLVMValueRef row, int panel)
{
    vector_store(a->g->cg, v, scratch_place(a, scratch, row, panel), 64);
}

/* ---- arithmetic on vectors of rows ---- */

static LLVMValueRef number(const Attention *a, double x)
{
    return cg_splat(a->g->cg, LLVMConstReal(a->g->cg->f32, x), CG_LANES);
}

static LLVMValueRef times(const Attention *a, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildFMul(a->g->cg->b, x, y, "");
}

/* Of a NaN it takes no notice: exp(NaN - top) will be one. */
static LLVMValueRef larger(const Attention *a, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildSelect(a->g->cg->b, LLVMBuildFCmp(a->g->cg->b, LLVMRealOGT, x, y, ""), x, y, "");
}

static LLVMValueRef exp_of_difference(const Attention *a, LLVMValueRef x, LLVMValueRef y)
{
    return cg_math(a->g->cg, f_exp, DT_f32, LLVMBuildFSub(a->g->cg->b, x, y, ""), CG_LANES);
}

/* 16 vectors of 16 as a matrix, turned in four steps: at distance n, the upper right and lower left quarters of every 2n x 2n square change places. */
static void turn(const Attention *a, LLVMValueRef *v)
{
    Codegen *cg = a->g->cg;
    for (int n = 1; n < CG_LANES; n *= 2) {
        LLVMValueRef low[CG_LANES], high[CG_LANES];
        for (int i = 0; i < CG_LANES; i++) {
            low[i] = LLVMConstInt(cg->i32, (unsigned)(i & n ? CG_LANES + i - n : i), false);
            high[i] = LLVMConstInt(cg->i32, (unsigned)(i & n ? CG_LANES + i : i + n), false);
        }
        for (int i = 0; i < CG_LANES; i++) {
            if (i & n)
                continue;
            LLVMValueRef x = v[i], y = v[i + n];
            v[i] = LLVMBuildShuffleVector(cg->b, x, y, LLVMConstVector(low, CG_LANES), "");
            v[i + n] = LLVMBuildShuffleVector(cg->b, x, y, LLVMConstVector(high, CG_LANES), "");
        }
    }
}

/* ---- addresses ---- */

static LLVMValueRef step_to(Attention *a, LLVMValueRef at, LLVMValueRef i, Dim stride)
{
    Codegen *cg = a->g->cg;
    return LLVMBuildNSWAdd(cg->b, at, LLVMBuildNSWMul(cg->b, i, group_dim(a->g, stride), ""), "");
}

/* Elements before this batch's matrix in the memory of a strided operand of the given type. */
static LLVMValueRef matrix_start(Attention *a, const Strided *s, const Type *t)
{
    LLVMValueRef at = group_dim(a->g, s->offset);
    for (int d = 0; d + 2 < t->rank; d++)
        if (!dim_is(t->dim[d], 1))
            at = step_to(a, at, a->batch[d + a->rank - t->rank], s->stride[d]);
    return at;
}

static LLVMValueRef element_place(Attention *a, const Strided *s, LLVMValueRef at)
{
    return cg_gep(a->g->cg, a->g->ptr[group_operand(a->g, s->base)], DT_f32, at);
}

static Dim row_stride(const Strided *s, const Type *t) { return s->stride[t->rank - 2]; }
static Dim column_stride(const Strided *s, const Type *t) { return s->stride[t->rank - 1]; }

/* ---- queries in ---- */

/* One value of the group, given another one that it is computed from by elementwise ops. */
static LLVMValueRef compute_from(Attention *a, const Value *given, LLVMValueRef val, const Value *want, const Index *at)
{
    Group *g = a->g;
    g->given_value = given;
    g->given = val;
    LLVMValueRef v = group_load(g, want, at, CG_LANES);
    g->given_value = NULL;
    g->nmemo = 0;
    return v;
}

/* Rows behind the last are the last again: their results go nowhere. */
static LLVMValueRef confined_row(Attention *a, int i)
{
    Codegen *cg = a->g->cg;
    LLVMValueRef last = LLVMBuildSub(cg->b, a->live, cg_i64(cg, 1), ""), n = cg_i64(cg, i);
    LLVMValueRef inside = LLVMBuildICmp(cg->b, LLVMIntSLT, n, last, "");
    return LLVMBuildAdd(cg->b, a->first, LLVMBuildSelect(cg->b, inside, n, last, ""), "");
}

static void bring_queries(Attention *a)
{
    Codegen *cg = a->g->cg;
    const Value *want = node_in(a->g->scores, 0);
    Loop d = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, a->D), CG_LANES, "queries");
    Index at = index_new(a->g, a->rank);
    at.lane[a->rank - 1] = 1;
    for (int p = 0; p < a->panels; p++) {
        LLVMValueRef row[CG_LANES];
        for (int i = 0; i < CG_LANES; i++) {
            LLVMValueRef from = step_to(a, a->q_at, confined_row(a, p * CG_LANES + i), row_stride(&a->q, &want->type));
            LLVMValueRef x = vector_load(cg, element_place(a, &a->q, LLVMBuildNSWAdd(cg->b, from, d.index, "")), 4);
            row[i] = compute_from(a, a->query, x, want, &at);
        }
        turn(a, row);
        for (int i = 0; i < CG_LANES; i++)
            scratch_store(a, row[i], a->queries, LLVMBuildAdd(cg->b, d.index, cg_i64(cg, i), ""), p);
    }
    loop_end(cg, &d);
}

/* ---- the register tile ---- */

/* sums[r][p] += (element at + r * row + i * step) * scratch[i][p] for i in [0, n); sums are variables. */
typedef struct Product {
    const Strided *of;
    LLVMValueRef at, scratch, n;
    Dim row, step;
} Product;

static void product_tile(Attention *a, const Product *x, int rows, LLVMValueRef *sum)
{
    Codegen *cg = a->g->cg;
    Loop i = loop_begin(cg, cg_i64(cg, 0), x->n, 1, "i");
    LLVMValueRef lanes[MAX_WIDE], at = step_to(a, x->at, i.index, x->step);
    for (int p = 0; p < a->panels; p++)
        lanes[p] = scratch_load(a, x->scratch, i.index, p);
    for (int r = 0; r < rows; r++) {
        LLVMValueRef one = LLVMBuildLoad2(cg->b, cg->f32, element_place(a, x->of, step_to(a, at, cg_i64(cg, r), x->row)), "");
        LLVMSetAlignment(one, 4);
        for (int p = 0; p < a->panels; p++) {
            LLVMValueRef s = sum[r * a->panels + p];
            cg_set(cg, s, cg_fma(cg, cg_splat(cg, one, CG_LANES), lanes[p], cg_get(cg, s)));
        }
    }
    loop_end(cg, &i);
}

/* ---- scores ---- */

static LLVMValueRef finished_score(Attention *a, LLVMValueRef score, LLVMValueRef key, int panel)
{
    Codegen *cg = a->g->cg;
    Group *g = a->g;
    Index at = index_new(g, a->rank);
    for (int d = 0; d + 2 < a->rank; d++)
        at.v[d] = a->batch[d];
    at.v[a->rank - 2] = confined_row(a, panel * CG_LANES);
    at.v[a->rank - 1] = key;
    at.lane[a->rank - 2] = 1;
    LLVMValueRef end = LLVMBuildAdd(cg->b, a->first, LLVMBuildSub(cg->b, a->live, cg_i64(cg, 1), ""), "");
    g->last_lane = LLVMBuildSub(cg->b, end, at.v[a->rank - 2], "");
    LLVMValueRef v = compute_from(a, node_out(g->scores), score, node_in(g->softmax, 0), &at);
    g->last_lane = NULL;
    return v;
}

/* Keys [key, key + rows) of the block that begins with key `start`. */
static void score_tile(Attention *a, LLVMValueRef start, LLVMValueRef key, int rows, const LLVMValueRef *best)
{
    Codegen *cg = a->g->cg;
    const Type *t = &node_in(a->g->scores, 1)->type;
    LLVMValueRef sum[MAX_TILE], place = LLVMBuildAdd(cg->b, start, key, "");
    for (int i = 0; i < rows * a->panels; i++)
        sum[i] = cg_variable(cg, number(a, 0));
    Product x = { &a->k, step_to(a, a->k_at, place, column_stride(&a->k, t)), a->queries, cg_i64(cg, a->D), column_stride(&a->k, t), row_stride(&a->k, t) };
    product_tile(a, &x, rows, sum);
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < a->panels; p++) {
            LLVMValueRef n = cg_i64(cg, r), v = finished_score(a, cg_get(cg, sum[r * a->panels + p]), LLVMBuildAdd(cg->b, place, n, ""), p);
            cg_set(cg, best[p], larger(a, v, cg_get(cg, best[p])));
            scratch_store(a, v, a->scores, LLVMBuildAdd(cg->b, key, n, ""), p);
        }
}

static LLVMValueRef score_tiles_while_fit(Attention *a, LLVMValueRef start, LLVMValueRef from, LLVMValueRef to, int rows, const LLVMValueRef *best)
{
    Codegen *cg = a->g->cg;
    LLVMValueRef left = LLVMBuildSub(cg->b, to, from, "");
    LLVMValueRef stop = LLVMBuildAdd(cg->b, from, LLVMBuildSub(cg->b, left, LLVMBuildURem(cg->b, left, cg_i64(cg, rows), ""), ""), "");
    Loop l = loop_begin(cg, from, stop, rows, "keys");
    score_tile(a, start, l.index, rows, best);
    loop_end(cg, &l);
    return stop;
}

/* All n keys of a block: tiles, then what is left in one tile if its size is known, else in tiles of 4 and of 1. */
static void score_block(Attention *a, LLVMValueRef start, LLVMValueRef n, const LLVMValueRef *best)
{
    Codegen *cg = a->g->cg;
    LLVMValueRef done = score_tiles_while_fit(a, start, cg_i64(cg, 0), n, a->rows, best);
    if (dim_is_const(a->S) && a->S->k <= a->keys) {
        if (a->S->k % a->rows)
            score_tile(a, start, done, (int)(a->S->k % a->rows), best);
        return;
    }
    if (a->rows > 4)
        done = score_tiles_while_fit(a, start, done, n, 4, best);
    score_tiles_while_fit(a, start, done, n, 1, best);
}

/* ---- softmax, and the second product ---- */

/* Scores become exponentials, counted in total. */
static void exponentials(Attention *a, LLVMValueRef n)
{
    Codegen *cg = a->g->cg;
    Loop l = loop_begin(cg, cg_i64(cg, 0), n, 1, "exp");
    for (int p = 0; p < a->panels; p++) {
        LLVMValueRef e = exp_of_difference(a, scratch_load(a, a->scores, l.index, p), cg_get(cg, a->top[p]));
        cg_set(cg, a->total[p], LLVMBuildFAdd(cg->b, cg_get(cg, a->total[p]), e, ""));
        scratch_store(a, e, a->scores, l.index, p);
    }
    loop_end(cg, &l);
}

/* sums = sums * scale + V^T exponentials, for columns [column, column + rows) of V. */
static void sum_tile(Attention *a, LLVMValueRef start, LLVMValueRef n, LLVMValueRef column, int rows, const LLVMValueRef *scale)
{
    Codegen *cg = a->g->cg;
    const Type *t = &node_in(a->g->anchor, 1)->type;
    LLVMValueRef sum[MAX_TILE];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < a->panels; p++) {
            LLVMValueRef before = scratch_load(a, a->sums, LLVMBuildAdd(cg->b, column, cg_i64(cg, r), ""), p);
            sum[r * a->panels + p] = cg_variable(cg, times(a, before, scale[p]));
        }
    LLVMValueRef at = step_to(a, step_to(a, a->v_at, start, row_stride(&a->v, t)), column, column_stride(&a->v, t));
    Product x = { &a->v, at, a->scores, n, column_stride(&a->v, t), row_stride(&a->v, t) };
    product_tile(a, &x, rows, sum);
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < a->panels; p++)
            scratch_store(a, cg_get(cg, sum[r * a->panels + p]), a->sums, LLVMBuildAdd(cg->b, column, cg_i64(cg, r), ""), p);
}

static void sum_block(Attention *a, LLVMValueRef start, LLVMValueRef n, const LLVMValueRef *scale)
{
    Codegen *cg = a->g->cg;
    int64_t tiles = (a->E + a->rows - 1) / a->rows, rows = (a->E + tiles - 1) / tiles, whole = a->E / rows * rows;     /* of much the same size */
    Loop l = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, whole), rows, "columns");
    sum_tile(a, start, n, l.index, (int)rows, scale);
    loop_end(cg, &l);
    if (whole < a->E)
        sum_tile(a, start, n, cg_i64(cg, whole), (int)(a->E - whole), scale);
}

static void attend_block(Attention *a, LLVMValueRef start)
{
    Codegen *cg = a->g->cg;
    LLVMValueRef n = LLVMBuildSub(cg->b, group_dim(a->g, a->S), start, ""), whole = cg_i64(cg, a->keys), best[MAX_WIDE], scale[MAX_WIDE];
    n = cg_smaller(cg, n, whole);
    for (int p = 0; p < a->panels; p++)
        best[p] = cg_variable(cg, cg_get(cg, a->top[p]));
    score_block(a, start, n, best);
    for (int p = 0; p < a->panels; p++) {
        LLVMValueRef now = cg_get(cg, best[p]);
        scale[p] = exp_of_difference(a, cg_get(cg, a->top[p]), now);
        cg_set(cg, a->top[p], now);
        cg_set(cg, a->total[p], times(a, cg_get(cg, a->total[p]), scale[p]));
    }
    exponentials(a, n);
    sum_block(a, start, n, scale);
}

/* ---- results out ---- */

/* Sixteen columns of sixteen rows: turned into the memory of the scores, which has served, and copied from there as far as rows exist. */
static void hand_out_square(Attention *a, LLVMValueRef column, int panel, LLVMValueRef inverse)
{
    Codegen *cg = a->g->cg;
    LLVMValueRef v[CG_LANES], behind = cg_i64(cg, panel * CG_LANES);
    for (int i = 0; i < CG_LANES; i++)
        v[i] = times(a, scratch_load(a, a->sums, LLVMBuildAdd(cg->b, column, cg_i64(cg, i), ""), panel), inverse);
    turn(a, v);
    for (int i = 0; i < CG_LANES; i++)
        scratch_store(a, v[i], a->scores, cg_i64(cg, i), panel);
    LLVMValueRef rows = LLVMBuildSub(cg->b, a->live, behind, ""), all = cg_i64(cg, CG_LANES);
    rows = cg_smaller(cg, rows, all);
    Loop r = loop_begin(cg, cg_i64(cg, 0), rows, 1, "row");
    LLVMValueRef row = LLVMBuildAdd(cg->b, LLVMBuildAdd(cg->b, a->first, behind, ""), r.index, "");
    LLVMValueRef to = LLVMBuildNSWAdd(cg->b, step_to(a, a->out_at, row, a->out[a->rank - 2]), column, "");
    vector_store(cg, scratch_load(a, a->scores, r.index, panel), cg_gep(cg, a->g->out, DT_f32, to), 4);
    loop_end(cg, &r);
}

static void hand_out(Attention *a)
{
    Codegen *cg = a->g->cg;
    for (int p = 0; p < a->panels; p++) {
        LLVMValueRef inverse = LLVMBuildFDiv(cg->b, number(a, 1), cg_get(cg, a->total[p]), "");
        Loop c = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, a->E), CG_LANES, "out");
        hand_out_square(a, c.index, p, inverse);
        loop_end(cg, &c);
    }
}

/* ---- units ---- */

static void clear_sums(Attention *a)
{
    Codegen *cg = a->g->cg;
    Loop l = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, a->E), 1, "clear");
    for (int p = 0; p < a->panels; p++)
        scratch_store(a, number(a, 0), a->sums, l.index, p);
    loop_end(cg, &l);
    for (int p = 0; p < a->panels; p++) {
        cg_set(cg, a->top[p], number(a, -FLT_MAX));
        cg_set(cg, a->total[p], number(a, 0));
    }
}

static void attend_unit(Attention *a)
{
    Codegen *cg = a->g->cg;
    Group *g = a->g;
    a->q_at = matrix_start(a, &a->q, &node_in(g->scores, 0)->type);
    a->k_at = matrix_start(a, &a->k, &node_in(g->scores, 1)->type);
    a->v_at = matrix_start(a, &a->v, &node_in(g->anchor, 1)->type);
    a->out_at = cg_i64(cg, 0);
    for (int d = 0; d + 2 < a->rank; d++)
        a->out_at = step_to(a, a->out_at, a->batch[d], a->out[d]);
    bring_queries(a);
    clear_sums(a);
    Loop l = loop_begin(cg, cg_i64(cg, 0), group_dim(g, a->S), a->keys, "block");
    attend_block(a, l.index);
    loop_end(cg, &l);
    hand_out(a);
}

static bool is_operand(void *ctx, const Value *v)
{
    return group_operand(ctx, v) >= 0;
}

/* The result is the second product, or that transposed. */
static void place_result(Attention *a)
{
    DimTable *dims = a->g->cg->m->dims;
    const Node *last = a->g->result->def;
    const Type *t = &a->g->result->type;
    Dim step = dim_const(dims, 1);
    for (int d = t->rank - 1; d >= 0; d--) {
        a->out[last->op == OP_transpose ? NODE_ATTR(last, transpose)->perm.v[d] : d] = step;
        step = dim_mul(dims, step, t->dim[d]);
    }
}

static bool describe(Attention *a)
{
    Group *g = a->g;
    DimTable *dims = g->cg->m->dims;
    const Type *scores = &node_out(g->scores)->type;
    a->rank = scores->rank;
    a->T = scores->dim[a->rank - 2];
    a->S = scores->dim[a->rank - 1];
    a->D = node_in(g->scores, 0)->type.dim[a->rank - 1]->k;
    a->E = node_out(g->anchor)->type.dim[a->rank - 1]->k;
    a->keys = dim_is_const(a->S) && a->S->k <= SHORT ? a->S->k : KEYS;
    a->query = node_in(g->scores, 0);
    while (!strided_view(dims, a->query, is_operand, g, &a->q)) {       /* below a factor on it */
        const Node *n = a->query->def;
        a->query = n->nin && n->in[0].val->def->op != OP_constant ? node_in(n, 0) : node_in(n, 1);
        if (!a->query)
            return false;
    }
    place_result(a);
    return strided_view(dims, node_in(g->scores, 1), is_operand, g, &a->k) && strided_view(dims, node_in(g->anchor, 1), is_operand, g, &a->v);
}

static void make_room(Attention *a)
{
    Codegen *cg = a->g->cg;
    int64_t rows = dim_is_const(a->T) ? a->T->k : 0;
    TileShape tile = tile_choose(a->g, DT_f32, 0, rows && rows <= CG_LANES ? CG_LANES : MAX_WIDE * CG_LANES, TILE_ROWS);
    a->panels = tile.panels;
    a->rows = tile.rows;
    a->queries = scratch_new(a, a->D);
    a->scores = scratch_new(a, a->keys > CG_LANES ? a->keys : CG_LANES);
    a->sums = scratch_new(a, a->E);
    for (int p = 0; p < a->panels; p++) {
        a->top[p] = cg_variable(cg, number(a, 0));
        a->total[p] = cg_variable(cg, number(a, 0));
    }
}

bool gen_attention(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Attention a = { .g = g };
    g->space = NULL;
    if (!describe(&a))
        return diag_error(cg->m->diag, g->owner->loc, "internal: attention over a matrix that strides do not describe");
    make_room(&a);
    int wide = a.panels * CG_LANES, outer = a.rank - 2;
    Dim part[MAX_RANK], heads = dim_const(dims, 1), blocks = dim_ceil_div(dims, a.T, dim_const(dims, wide));
    for (int d = 0; d < outer; d++) {
        part[d] = node_out(g->scores)->type.dim[d];
        heads = dim_mul(dims, heads, part[d]);
    }
    part[outer] = blocks;
    *work = (Work){ dim_mul(dims, heads, blocks), dim_mulk(dims, a.S, (a.D + a.E + CG_LANES) * a.panels) };
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    split_index(g, l.index, outer + 1, part, a.batch);
    a.first = LLVMBuildMul(cg->b, a.batch[outer], cg_i64(cg, wide), "");
    LLVMValueRef left = LLVMBuildSub(cg->b, group_dim(g, a.T), a.first, ""), all = cg_i64(cg, wide);
    a.live = cg_smaller(cg, left, all);
    attend_unit(&a);
    loop_end(cg, &l);
    return true;
}
