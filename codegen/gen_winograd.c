/* gen_winograd.c -- 3x3 convolution by Winograd's F(m x m, 3 x 3), channels last; winograd.h has the mathematics and the meaning of the plan.
 *
 *   item of work = (block of tiles, group of panels)
 *
 *     input --Bt d B--> v [n*n][tiles][C]         once per block: each tile's n x n pixels, 16 channels at a time
 *     v x weights ----> p [n*n][tiles][panels*16] n*n matrix products by the register tiles of tile.c
 *     p --At p A------> result                    m x m pixels of 16 channels at a time, through the epilogue, and if the group has a pool, the largest
 *                                                 of each 2 x 2 of them
 *
 * v and p stay in the second-level cache. Pixels outside the image are zeros: a tile that touches the edge is loaded with clamped coordinates and
 * selects. The last block's missing tiles repeat the last tile; what they give is not stored.
 */
#include "conv.h"
#include "winograd.h"

enum { N_MAX = WINOGRAD_MAX_INPUT };

typedef struct Transform {
    Group *g;
    Conv k;
    WinogradPlan plan;
    Winograd w;
    Contract out;                   /* the result, for the epilogue */
    Contract product;               /* one of the n*n matrix products */
    Elements x, v, p;               /* input; this unit's scratch: transformed tiles, products */
    int64_t v_row, p_row;           /* elements between tiles */
    Dim down, across, total;        /* tiles per column and row of an image, and of all images */
    Reducer largest;                /* of a group with a pool */
    LLVMValueRef live, rows;        /* tiles of this block, and rows of the products that have them */
} Transform;

/* ---- one axis: a small matrix times a vector of values ---- */

static LLVMValueRef number(Codegen *cg, double x)
{
    return cg_splat(cg, LLVMConstReal(cg->f32, x), CG_LANES);
}

static LLVMValueRef add(Codegen *cg, LLVMValueRef a, LLVMValueRef b)
{
    return !a ? b : !b ? a : LLVMBuildFAdd(cg->b, a, b, "");
}

/* acc + k * x; NULL is zero. */
static LLVMValueRef add_scaled(Codegen *cg, LLVMValueRef acc, double k, LLVMValueRef x)
{
    if (k == 0 || !x)
        return acc;
    if (k == 1)
        return add(cg, acc, x);
    if (!acc)
        return LLVMBuildFMul(cg->b, x, number(cg, k), "");
    return k == -1 ? LLVMBuildFSub(cg->b, acc, x, "") : cg_fma(cg, x, number(cg, k), acc);
}

/* Every second term of sum row[k] * d[k], from k = first on; the term whose factor is 1 begins, to save an operation. */
static LLVMValueRef half_sum(Codegen *cg, int n, const double *row, LLVMValueRef *d, int first)
{
    int one = -1;
    for (int k = first; k < n && one < 0; k += 2)
        one = row[k] == 1 ? k : -1;
    LLVMValueRef sum = one >= 0 ? d[one] : NULL;
    for (int k = first; k < n; k += 2)
        if (k != one)
            sum = add_scaled(cg, sum, row[k], d[k]);
    return sum;
}

static LLVMValueRef difference(Codegen *cg, LLVMValueRef a, LLVMValueRef b)
{
    return !a ? LLVMBuildFNeg(cg->b, b, "") : !b ? a : LLVMBuildFSub(cg->b, a, b, "");
}

/* out = Bt d. Rows of opposite points differ in the sign of their odd terms. */
static void transform_input(Codegen *cg, const Winograd *w, LLVMValueRef *d, LLVMValueRef *out)
{
    for (int i = 0; i < w->n; i++) {
        bool pair = i % 2 && i + 1 < w->n - 1;
        LLVMValueRef even = half_sum(cg, w->n, w->bt[i], d, 0), odd = half_sum(cg, w->n, w->bt[i], d, 1);
        out[i] = add(cg, even, odd);
        if (!pair)
            continue;
        out[++i] = difference(cg, even, odd);
    }
}

/* out = At p: even powers of opposite points are equal, odd ones opposite. */
static void transform_output(Codegen *cg, const Winograd *w, LLVMValueRef *p, LLVMValueRef *out)
{
    LLVMValueRef sum[N_MAX] = { NULL }, diff[N_MAX] = { NULL };
    for (int j = 1; j + 1 < w->n - 1; j += 2) {
        sum[j] = LLVMBuildFAdd(cg->b, p[j], p[j + 1], "");
        diff[j] = LLVMBuildFSub(cg->b, p[j], p[j + 1], "");
    }
    for (int i = 0; i < w->m; i++) {
        out[i] = add_scaled(cg, NULL, w->at[i][0], p[0]);
        for (int j = 1; j + 1 < w->n - 1; j += 2)
            out[i] = add_scaled(cg, out[i], w->at[i][j], i % 2 ? diff[j] : sum[j]);
        out[i] = add_scaled(cg, out[i], w->at[i][w->n - 1], p[w->n - 1]);
    }
}

typedef void AxisFn(Codegen *cg, const Winograd *w, LLVMValueRef *in, LLVMValueRef *out);

/* ---- tiles ---- */

typedef struct Place {              /* of one tile */
    LLVMValueRef image, y, x;       /* first output row and column */
} Place;

static Place place_of(const Transform *t, LLVMValueRef tile)
{
    Codegen *cg = t->g->cg;
    LLVMValueRef part[3];
    split_index(t->g, tile, 3, (Dim[]){ t->k.n, t->down, t->across }, part);
    return (Place){ part[0], LLVMBuildMul(cg->b, part[1], cg_i64(cg, t->plan.m), ""), LLVMBuildMul(cg->b, part[2], cg_i64(cg, t->plan.m), "") };
}

static LLVMValueRef less(Codegen *cg, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(cg->b, LLVMIntSLT, a, b, "");
}

/* [from, from + count) lies within [0, size) */
static LLVMValueRef inside(Codegen *cg, LLVMValueRef from, int count, LLVMValueRef size)
{
    LLVMValueRef starts = LLVMBuildICmp(cg->b, LLVMIntSGE, from, cg_i64(cg, 0), "");
    return LLVMBuildAnd(cg->b, starts, LLVMBuildICmp(cg->b, LLVMIntSLE, LLVMBuildAdd(cg->b, from, cg_i64(cg, count), ""), size, ""), "");
}

/* A coordinate moved into [0, size), and whether it was there. */
static LLVMValueRef clamp(Codegen *cg, LLVMValueRef at, LLVMValueRef size, LLVMValueRef *valid)
{
    LLVMValueRef zero = cg_i64(cg, 0), last = LLVMBuildSub(cg->b, size, cg_i64(cg, 1), "");
    *valid = LLVMBuildICmp(cg->b, LLVMIntULT, at, size, "");
    LLVMValueRef low = LLVMBuildSelect(cg->b, less(cg, at, zero), zero, at, "");
    return LLVMBuildSelect(cg->b, less(cg, last, low), last, low, "");
}

/* ---- both axes ---- */

typedef struct Step {               /* one tile, 16 channels of it */
    Transform *t;
    Place at;                       /* first pixel of its input or result */
    LLVMValueRef tile, col, mask;   /* col: first channel, of the scratch that is written or read */
    LLVMValueRef channel;           /* the same, of the result */
    LLVMValueRef bias;              /* NULL: none */
    LLVMValueRef rows, cols;        /* where the tile may lie partly outside: how many rows and columns of it count; else NULL */
    LLVMValueRef row[N_MAX];        /* where edge: clamped input rows, and */
    LLVMValueRef row_ok[N_MAX];     /* whether they are inside */
} Step;

typedef void ColumnFn(Step *s, LLVMValueRef j, LLVMValueRef *in);           /* loads column j */
typedef void RowFn(Step *s, LLVMValueRef i, LLVMValueRef *out);             /* takes row i of the result, and those that come with it */

/* from x from values become to x to: the columns, then the rows. What lies between is on the stack, in the first-level cache: it is more than the
 * registers hold, and loops keep LLVM from scheduling all of it at once. together: rows of the result that `store` takes at a time. */
static void transform_both(Step *s, AxisFn *f, int from, int to, ColumnFn *load, RowFn *store, int together)
{
    Codegen *cg = s->t->g->cg;
    LLVMTypeRef vector = cg_compute_type(cg, DT_f32, CG_LANES);
    Elements half = { cg_variable(cg, LLVMGetUndef(LLVMArrayType2(vector, (uint64_t)(from * to)))), DT_f32 };
    LLVMValueRef in[N_MAX], out[2 * N_MAX];
    Loop j = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, from), 1, "column");
    load(s, j.index, in);
    f(cg, &s->t->w, in, out);
    for (int i = 0; i < to; i++)
        elements_store(cg, &half, out[i], LLVMBuildMul(cg->b, LLVMBuildAdd(cg->b, cg_i64(cg, i * from), j.index, ""), cg_i64(cg, CG_LANES), ""), CG_LANES, NULL);
    loop_end(cg, &j);
    Loop i = loop_begin(cg, cg_i64(cg, 0), s->rows ? s->rows : cg_i64(cg, to), together, "row");
    LLVMValueRef line = LLVMBuildMul(cg->b, i.index, cg_i64(cg, from * CG_LANES), "");
    for (int r = 0; r < together; r++) {
        for (int k = 0; k < from; k++)
            in[k] = elements_load(cg, &half, LLVMBuildAdd(cg->b, line, cg_i64(cg, (r * from + k) * CG_LANES), ""), CG_LANES, NULL);
        f(cg, &s->t->w, in, out + r * to);
    }
    store(s, i.index, out);
    loop_end(cg, &i);
}

/* ---- input ---- */

static LLVMValueRef pixel_offset(const Transform *t, LLVMValueRef image, LLVMValueRef y, LLVMValueRef x)
{
    Codegen *cg = t->g->cg;
    LLVMValueRef row = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, image, group_dim(t->g, t->k.h), ""), y, "");
    LLVMValueRef pixel = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, row, group_dim(t->g, t->k.w), ""), x, "");
    return LLVMBuildNSWMul(cg->b, pixel, group_dim(t->g, t->k.c), "");
}

/* Pixels outside the image are 0. */
static void load_column(Step *s, LLVMValueRef j, LLVMValueRef *in)
{
    Transform *t = s->t;
    Codegen *cg = t->g->cg;
    bool edge = s->row[0];
    LLVMValueRef zero = LLVMConstNull(cg_compute_type(cg, DT_f32, CG_LANES)), x = LLVMBuildNSWAdd(cg->b, s->at.x, j, ""), col_ok = NULL;
    LLVMValueRef ahead = LLVMBuildMul(cg->b, group_dim(t->g, t->k.c), cg_i64(cg, 2 * t->plan.m), "");
    if (edge)
        x = clamp(cg, x, group_dim(t->g, t->k.w), &col_ok);
    for (int i = 0; i < t->w.n; i++) {
        LLVMValueRef y = edge ? s->row[i] : LLVMBuildNSWAdd(cg->b, s->at.y, cg_i64(cg, i), "");
        LLVMValueRef offset = LLVMBuildNSWAdd(cg->b, pixel_offset(t, s->at.image, y, x), s->col, "");
        in[i] = elements_load(cg, &t->x, offset, CG_LANES, s->mask);
        if (!edge)                  /* the same pixel of the tile after the next: no hardware prefetcher follows n rows at a time */
            cg_prefetch(cg, cg_gep(cg, t->x.ptr, DT_f32, LLVMBuildNSWAdd(cg->b, offset, ahead, "")), true);
        if (edge)
            in[i] = LLVMBuildSelect(cg->b, LLVMBuildAnd(cg->b, s->row_ok[i], col_ok, ""), in[i], zero, "");
    }
}

static void store_transformed(Step *s, LLVMValueRef i, LLVMValueRef *out)
{
    Transform *t = s->t;
    Codegen *cg = t->g->cg;
    int64_t position = t->plan.tiles * t->v_row;
    LLVMValueRef to = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, s->tile, cg_i64(cg, t->v_row), ""), s->col, "");
    to = LLVMBuildNSWAdd(cg->b, to, LLVMBuildNSWMul(cg->b, i, cg_i64(cg, t->w.n * position), ""), "");
    for (int k = 0; k < t->w.n; k++)
        elements_store(cg, &t->v, out[k], LLVMBuildNSWAdd(cg->b, to, cg_i64(cg, k * position), ""), CG_LANES, NULL);
}

/* All channels of one tile; the rest that fills no vector is masked. */
static void transform_tile(Transform *t, const Place *at, LLVMValueRef tile, bool edge)
{
    Codegen *cg = t->g->cg;
    int64_t whole = t->k.cin / CG_LANES * CG_LANES;
    Step s = { .t = t, .at = *at, .tile = tile };
    for (int i = 0; i < t->w.n && edge; i++)
        s.row[i] = clamp(cg, LLVMBuildNSWAdd(cg->b, at->y, cg_i64(cg, i), ""), group_dim(t->g, t->k.h), &s.row_ok[i]);
    if (whole) {
        Loop c = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, whole), CG_LANES, "channels");
        s.col = c.index;
        transform_both(&s, transform_input, t->w.n, t->w.n, load_column, store_transformed, 1);
        loop_end(cg, &c);
    }
    if (whole < t->k.cin) {
        s.col = cg_i64(cg, whole);
        s.mask = lane_mask(cg, cg_i64(cg, t->k.cin - whole));
        transform_both(&s, transform_input, t->w.n, t->w.n, load_column, store_transformed, 1);
    }
}

static void transform_block(Transform *t, LLVMValueRef first)
{
    Codegen *cg = t->g->cg;
    LLVMValueRef last = LLVMBuildSub(cg->b, group_dim(t->g, t->total), cg_i64(cg, 1), "");
    Loop l = loop_begin(cg, cg_i64(cg, 0), t->rows, 1, "tile_in");
    LLVMValueRef tile = LLVMBuildAdd(cg->b, first, l.index, "");
    Place at = place_of(t, LLVMBuildSelect(cg->b, less(cg, last, tile), last, tile, ""));
    at.y = LLVMBuildSub(cg->b, at.y, cg_i64(cg, t->k.top), "");
    at.x = LLVMBuildSub(cg->b, at.x, cg_i64(cg, t->k.left), "");
    LLVMValueRef whole = LLVMBuildAnd(cg->b, inside(cg, at.y, t->w.n, group_dim(t->g, t->k.h)), inside(cg, at.x, t->w.n, group_dim(t->g, t->k.w)), "");
    Branch b = branch_begin(cg, whole);
    transform_tile(t, &at, l.index, false);
    branch_else(cg, &b);
    transform_tile(t, &at, l.index, true);
    branch_end(cg, &b);
    loop_end(cg, &l);
}

/* ---- products ---- */

static void product_sum(Contract *c, Tile *tile)
{
    const Transform *t = c->ctx;
    tile_accumulate(tile, cg_i64(c->g->cg, 0), cg_i64(c->g->cg, 0), cg_i64(c->g->cg, t->k.cin));
}

/* tile->flat_row counts rows of p, over all positions. */
static void product_store(Contract *c, const Tile *tile)
{
    const Transform *t = c->ctx;
    Codegen *cg = c->g->cg;
    for (int r = 0; r < tile->rows; r++)
        for (int q = 0; q < tile->panels; q++) {
            LLVMValueRef row = LLVMBuildNSWMul(cg->b, LLVMBuildNSWAdd(cg->b, tile->flat_row, cg_i64(cg, r), ""), cg_i64(cg, t->p_row), "");
            LLVMValueRef at = LLVMBuildNSWAdd(cg->b, row, LLVMBuildNSWAdd(cg->b, tile->col, cg_i64(cg, q * CG_LANES), ""), "");
            elements_store(cg, &t->p, cg_get(cg, tile->acc[r * tile->panels + q]), at, CG_LANES, NULL);
        }
}

/* All rows of `panels` panels from panel `first` of this item on. b: elements before this position's panels. */
static void product_panels(Transform *t, LLVMValueRef position, LLVMValueRef b, LLVMValueRef first, int panels)
{
    Codegen *cg = t->g->cg;
    Contract *c = &t->product;
    LLVMValueRef rows = LLVMBuildMul(cg->b, position, cg_i64(cg, t->plan.tiles), "");
    Loop l = loop_begin(cg, cg_i64(cg, 0), t->rows, c->shape.rows, "rows");
    Tile at = { .panels = panels, .row = l.index, .flat_row = LLVMBuildAdd(cg->b, rows, l.index, ""), .col = LLVMBuildMul(cg->b, first, cg_i64(cg, CG_LANES), "") };
    at.number = LLVMBuildUDiv(cg->b, l.index, cg_i64(cg, c->shape.rows), "");
    at.a_start = LLVMBuildNSWMul(cg->b, rows, cg_i64(cg, t->v_row), "");
    at.b_start = LLVMBuildNSWAdd(cg->b, b, LLVMBuildNSWMul(cg->b, first, c->panel_step, ""), "");
    contract_block(c, at, cg_i64(cg, t->plan.tiles));
    loop_end(cg, &l);
}

static void multiply(Transform *t, LLVMValueRef item_panels)
{
    Codegen *cg = t->g->cg;
    int64_t n2 = t->w.n * t->w.n, panels = t->plan.panels, step = t->product.shape.panels, whole = panels / step * step;
    LLVMValueRef position_step = cg_i64(cg, panels * t->k.cin * CG_LANES);
    Loop l = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, n2), 1, "position");
    LLVMValueRef at = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, item_panels, cg_i64(cg, n2), ""), l.index, "");
    LLVMValueRef b = LLVMBuildNSWMul(cg->b, at, position_step, "");
    Loop q = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, whole), step, "panels");
    product_panels(t, l.index, b, q.index, (int)step);
    loop_end(cg, &q);
    if (whole < panels)
        product_panels(t, l.index, b, cg_i64(cg, whole), (int)(panels - whole));
    loop_end(cg, &l);
}

/* ---- output ---- */

static void load_products(Step *s, LLVMValueRef j, LLVMValueRef *in)
{
    Transform *t = s->t;
    Codegen *cg = t->g->cg;
    int64_t position = t->plan.tiles * t->p_row;
    LLVMValueRef from = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, s->tile, cg_i64(cg, t->p_row), ""), s->col, "");
    from = LLVMBuildNSWAdd(cg->b, from, LLVMBuildNSWMul(cg->b, j, cg_i64(cg, position), ""), "");
    for (int i = 0; i < t->w.n; i++)
        in[i] = elements_load(cg, &t->p, LLVMBuildNSWAdd(cg->b, from, cg_i64(cg, i * t->w.n * position), ""), CG_LANES, NULL);
}

/* Pixel (i, j) of a tile, as a row of the result. */
static LLVMValueRef result_row(const Step *s, LLVMValueRef i, int j)
{
    const Transform *t = s->t;
    Codegen *cg = t->g->cg;
    LLVMValueRef y = LLVMBuildNSWAdd(cg->b, s->at.y, i, "");
    LLVMValueRef line = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, s->at.image, group_dim(t->g, t->k.oh), ""), y, "");
    LLVMValueRef first = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, line, group_dim(t->g, t->k.ow), ""), s->at.x, "");
    return LLVMBuildNSWAdd(cg->b, first, cg_i64(cg, j), "");
}

static void store_pixels(Step *s, LLVMValueRef i, LLVMValueRef *out)
{
    Transform *t = s->t;
    Codegen *cg = t->g->cg;
    for (int j = 0; j < t->plan.m; j++) {
        LLVMValueRef row = result_row(s, i, j);
        Branch b = { NULL, NULL };
        if (s->cols)
            b = branch_begin(cg, less(cg, cg_i64(cg, j), s->cols));
        contract_store(&t->out, add(cg, out[j], s->bias), row, s->channel, s->mask);
        if (s->cols) {
            branch_else(cg, &b);
            branch_end(cg, &b);
        }
    }
}

/* Rows i and i + 1: of each 2x2 pixels the largest. */
static void store_pooled(Step *s, LLVMValueRef i, LLVMValueRef *out)
{
    Transform *t = s->t;
    Group *g = t->g;
    Codegen *cg = g->cg;
    Dim height = node_out(g->pool)->type.dim[1], width = node_out(g->pool)->type.dim[2];
    LLVMValueRef y = LLVMBuildNSWAdd(cg->b, s->at.y, i, ""), one = cg_i64(cg, 1);
    LLVMValueRef line = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, s->at.image, group_dim(g, height), ""), LLVMBuildLShr(cg->b, y, one, ""), "");
    LLVMValueRef first = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, line, group_dim(g, width), ""), LLVMBuildLShr(cg->b, s->at.x, one, ""), "");
    for (int j = 0; j < t->plan.m; j += 2) {
        Branch b = { NULL, NULL };
        if (s->cols)
            b = branch_begin(cg, less(cg, cg_i64(cg, j + 1), s->cols));
        LLVMValueRef largest = NULL;
        for (int q = 0; q < 4; q++) {
            LLVMValueRef row = result_row(s, LLVMBuildNSWAdd(cg->b, i, cg_i64(cg, q / 2), ""), j + q % 2);
            LLVMValueRef v = contract_value(&t->out, add(cg, out[q / 2 * t->plan.m + j + q % 2], s->bias), row, s->channel, s->mask);
            largest = largest ? reducer_apply(cg, &t->largest, largest, v, CG_LANES) : v;
        }
        LLVMValueRef pixel = LLVMBuildNSWAdd(cg->b, first, cg_i64(cg, j / 2), "");
        group_store(g, largest, LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, pixel, group_dim(g, t->k.m), ""), s->channel, ""), CG_LANES, s->mask);
        if (s->cols) {
            branch_else(cg, &b);
            branch_end(cg, &b);
        }
    }
}

/* 16 channels of one tile's result, from column `col` of the products on. */
static void output_pixels(Transform *t, const Place *at, LLVMValueRef tile, LLVMValueRef first_col, LLVMValueRef col, LLVMValueRef mask)
{
    Codegen *cg = t->g->cg;
    LLVMValueRef rows = LLVMBuildSub(cg->b, group_dim(t->g, t->k.oh), at->y, ""), cols = LLVMBuildSub(cg->b, group_dim(t->g, t->k.ow), at->x, "");
    LLVMValueRef most = cg_i64(cg, t->plan.m), fewer = less(cg, rows, most);
    RowFn *store = t->g->pool ? store_pooled : store_pixels;
    int together = t->g->pool ? 2 : 1;
    if (t->g->pool)                 /* whole windows */
        rows = LLVMBuildAnd(cg->b, rows, cg_i64(cg, -2), "");
    Step s = { .t = t, .at = *at, .tile = tile, .col = col, .mask = mask, .channel = LLVMBuildAdd(cg->b, first_col, col, "") };
    if (t->out.bias >= 0)
        s.bias = operand_load(t->g, t->out.bias, s.channel, CG_LANES, mask);
    Branch b = branch_begin(cg, LLVMBuildOr(cg->b, fewer, less(cg, cols, most), ""));
    Step part = s;
    part.rows = LLVMBuildSelect(cg->b, fewer, rows, most, "");
    part.cols = cols;
    transform_both(&part, transform_output, t->w.n, t->plan.m, load_products, store, together);
    branch_else(cg, &b);
    transform_both(&s, transform_output, t->w.n, t->plan.m, load_products, store, together);
    branch_end(cg, &b);
}

static void store_block(Transform *t, LLVMValueRef first, LLVMValueRef item_panels)
{
    Codegen *cg = t->g->cg;
    int64_t step = t->plan.panels * CG_LANES, ragged = t->k.cout % CG_LANES;
    LLVMValueRef first_col = LLVMBuildMul(cg->b, item_panels, cg_i64(cg, step), "");
    LLVMValueRef cols = LLVMBuildSub(cg->b, cg_i64(cg, t->k.cout), first_col, "");
    LLVMValueRef whole = LLVMBuildSelect(cg->b, less(cg, cols, cg_i64(cg, step)), LLVMBuildAnd(cg->b, cols, cg_i64(cg, -CG_LANES), ""), cg_i64(cg, step), "");
    Loop l = loop_begin(cg, cg_i64(cg, 0), t->live, 1, "tile_out");
    Place at = place_of(t, LLVMBuildAdd(cg->b, first, l.index, ""));
    Loop c = loop_begin(cg, cg_i64(cg, 0), whole, CG_LANES, "channels");
    output_pixels(t, &at, l.index, first_col, c.index, NULL);
    loop_end(cg, &c);
    if (ragged) {
        Branch b = branch_begin(cg, less(cg, whole, cg_i64(cg, step)));
        output_pixels(t, &at, l.index, first_col, whole, lane_mask(cg, cg_i64(cg, ragged)));
        branch_else(cg, &b);
        branch_end(cg, &b);
    }
    loop_end(cg, &l);
}

/* ---- the kernel ---- */

static void open_contracts(Transform *t)
{
    Group *g = t->g;
    Codegen *cg = g->cg;
    int64_t cols = t->plan.panels * CG_LANES;
    t->out = (Contract){ .g = g, .rows = dim_mul(cg->m->dims, t->k.n, dim_mul(cg->m->dims, t->k.oh, t->k.ow)), .cols = t->k.m };
    t->out.bias = node_in(g->anchor, 2) ? group_operand(g, node_in(g->anchor, 2)) : -1;
    contract_open(&t->out);
    Dim tiles = dim_mulk(cg->m->dims, t->total, t->w.n * t->w.n);     /* of all positions */
    t->product = (Contract){ .g = g, .rows = tiles, .cols = t->k.m, .a = t->v, .b = operand_elements(g, group_operand(g, node_in(g->anchor, 1))), .bias = -1, .packed = true,
                             .run_rows = t->plan.tiles, .sum = product_sum, .store = product_store, .ctx = t };
    t->product.shape = tile_choose(g, DT_f32, t->plan.tiles, cols, TILE_ROWS);
    t->product.row_step = cg_i64(cg, t->v_row);
    t->product.panel_step = cg_i64(cg, t->k.cin * CG_LANES);
    t->product.k_step = cg_i64(cg, CG_LANES);
    t->product.panel_rows = t->k.cin;
    t->product.row_tiles = (t->plan.tiles + t->product.shape.rows - 1) / t->product.shape.rows;
}

static void open_scratch(Transform *t, LLVMValueRef slot)
{
    Codegen *cg = t->g->cg;
    int64_t positions = t->w.n * t->w.n;
    LLVMValueRef base = cg_gep_bytes(cg, t->g->scratch, LLVMBuildMul(cg->b, slot, cg_i64(cg, winograd_slot_bytes(&t->plan, t->k.cin)), ""));
    t->v = (Elements){ base, DT_f32 };
    t->p = (Elements){ cg_gep(cg, base, DT_f32, cg_i64(cg, positions * t->plan.tiles * t->v_row)), DT_f32 };
}

static Transform transform_of(Group *g)
{
    DimTable *dims = g->cg->m->dims;
    const Attr_conv *a = NODE_ATTR(g->anchor, conv);
    Transform t = { .g = g, .k = conv_of(g), .plan = winograd_plan(a) };
    t.w = winograd_matrices(t.plan.m);
    t.largest = reducer_of(g->cg, "max", DT_f32);
    t.x = operand_elements(g, group_operand(g, node_in(g->anchor, 0)));
    t.v_row = winograd_row(t.k.cin);
    t.p_row = winograd_row(t.plan.panels * CG_LANES);
    t.down = dim_ceil_div(dims, t.k.oh, dim_const(dims, t.plan.m));
    t.across = dim_ceil_div(dims, t.k.ow, dim_const(dims, t.plan.m));
    t.total = dim_mul(dims, t.k.n, dim_mul(dims, t.down, t.across));
    return t;
}

/* The last block may be short: whole register tiles of rows that hold its tiles. */
static void count_tiles(Transform *t, LLVMValueRef first)
{
    Codegen *cg = t->g->cg;
    LLVMValueRef left = LLVMBuildSub(cg->b, group_dim(t->g, t->total), first, ""), most = cg_i64(cg, t->plan.tiles), step = cg_i64(cg, t->product.shape.rows);
    t->live = cg_smaller(cg, left, most);
    LLVMValueRef rows = LLVMBuildAdd(cg->b, t->live, cg_i64(cg, t->product.shape.rows - 1), "");
    rows = LLVMBuildMul(cg->b, LLVMBuildUDiv(cg->b, rows, step, ""), step, "");
    t->rows = cg_smaller(cg, rows, most);
}

bool gen_winograd(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    if (!conv_is_fast(g))
        return diag_error(cg->m->diag, g->anchor->loc, "conv: Winograd's method needs constant weights");
    Transform t = transform_of(g);
    int64_t groups = panels_of(t.k.cout) / t.plan.panels;
    work->units = dim_mulk(dims, dim_ceil_div(dims, t.total, dim_const(dims, t.plan.tiles)), groups);
    work->cost = dim_const(dims, t.w.n * t.w.n * t.plan.tiles * t.plan.panels * t.k.cin);
    LLVMValueRef slot = slot_claim(g, (int)t.plan.slots);
    open_scratch(&t, slot);
    open_contracts(&t);
    LLVMValueRef ready = cg_variable(cg, cg_i64(cg, -1));
    Loop l = loop_begin(cg, begin, end, 1, "item");
    LLVMValueRef block = LLVMBuildUDiv(cg->b, l.index, cg_i64(cg, groups), ""), item_panels = LLVMBuildURem(cg->b, l.index, cg_i64(cg, groups), "");
    LLVMValueRef first = LLVMBuildMul(cg->b, block, cg_i64(cg, t.plan.tiles), "");
    count_tiles(&t, first);
    Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntNE, block, cg_get(cg, ready), ""));
    transform_block(&t, first);
    cg_set(cg, ready, block);
    branch_else(cg, &b);
    branch_end(cg, &b);
    multiply(&t, item_panels);
    store_block(&t, first, item_panels);
    loop_end(cg, &l);
    slot_release(g, slot);
    g->space = NULL;
    return true;
}
