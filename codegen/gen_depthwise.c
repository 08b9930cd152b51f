/* gen_depthwise.c -- depthwise convolution of floats, channels last: one filter per channel, 16 channels in the lanes, several pixels of a row at a time.
 *
 *     accumulators  [p0 p1 p2 p3 p4 p5 p6]      neighbouring pixels of the result; for each filter row that lies inside the image the columns
 *     input row      c0 c1 c2 ... c8            under them are loaded once, and every weight once
 *
 * Where the width is known, the row is cut into chunks ahead: which filter columns of the first and last ones fall into the padding is known too,
 * and left out. The chunks between them are a loop. Where the width is not known, there are no pads (explicit_pad) and all chunks are alike.
 */
#include "conv.h"

enum { MOST_PIXELS = 8 };

typedef struct Depthwise {
    Group *g;
    Conv k;
    Elements x, w;
    Contract out;
    int64_t wide;                   /* channels rounded up to whole vectors: elements between taps of w */
    LLVMValueRef image_row;         /* rows of the input before this image */
    LLVMValueRef top;               /* input row under filter row 0, may be outside */
    LLVMValueRef from, to;          /* filter rows that lie inside */
    LLVMValueRef line_out;          /* pixels of the result before this row */
    LLVMValueRef col, mask;         /* first channel, live channels (NULL: all) */
} Depthwise;

/* `count` pixels of a result row; x: position of the first, known (at) or the loop's. */
typedef struct Chunk { LLVMValueRef x; int64_t at; bool known; int count; } Chunk;

/* Known chunks leave out what falls into the padding. */
static bool inside(const Depthwise *d, const Chunk *c, int64_t column)
{
    int64_t x = c->at * d->k.sw - d->k.left + column;
    return !c->known || (x >= 0 && x < d->k.w->k);
}

static LLVMValueRef load_column(const Depthwise *d, const Chunk *c, LLVMValueRef row, int64_t column)
{
    Codegen *cg = d->g->cg;
    LLVMValueRef first = LLVMBuildNSWMul(cg->b, c->x, cg_i64(cg, d->k.sw), "");
    LLVMValueRef x = LLVMBuildNSWAdd(cg->b, first, cg_i64(cg, column - d->k.left), "");
    LLVMValueRef pixel = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, row, group_dim(d->g, d->k.w), ""), x, "");
    LLVMValueRef offset = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, pixel, group_dim(d->g, d->k.c), ""), d->col, "");
    return elements_load(cg, &d->x, offset, CG_LANES, d->mask);
}

/* One filter row: every column of the input that some tap of some pixel wants is loaded once, in order. */
static void add_filter_row(const Depthwise *d, const Chunk *c, LLVMValueRef h, LLVMValueRef *acc)
{
    Codegen *cg = d->g->cg;
    const Conv *k = &d->k;
    LLVMValueRef row = LLVMBuildNSWAdd(cg->b, d->top, LLVMBuildNSWMul(cg->b, h, cg_i64(cg, k->dh), ""), "");
    row = LLVMBuildNSWAdd(cg->b, d->image_row, row, "");
    LLVMValueRef weights = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, h, cg_i64(cg, k->kw * d->wide), ""), d->col, "");
    int64_t columns = (c->count - 1) * k->sw + (k->kw - 1) * k->dw + 1;
    for (int64_t column = 0; column < columns; column++) {
        LLVMValueRef in = NULL;
        for (int64_t w = 0; w < k->kw; w++) {
            int64_t shift = column - w * k->dw;
            if (shift < 0 || shift % k->sw || shift / k->sw >= c->count || !inside(d, c, column))
                continue;
            in = in ? in : load_column(d, c, row, column);
            LLVMValueRef weight = elements_load(cg, &d->w, LLVMBuildNSWAdd(cg->b, weights, cg_i64(cg, w * d->wide), ""), CG_LANES, NULL);
            LLVMValueRef sum = acc[shift / k->sw];
            cg_set(cg, sum, cg_fma(cg, in, weight, cg_get(cg, sum)));
        }
    }
}

static void emit_chunk(const Depthwise *d, const Chunk *c)
{
    Codegen *cg = d->g->cg;
    LLVMValueRef acc[MOST_PIXELS], init = LLVMConstNull(cg_compute_type(cg, d->x.type, CG_LANES));
    if (d->out.bias >= 0)
        init = operand_load(d->g, d->out.bias, d->col, CG_LANES, d->mask);
    for (int i = 0; i < c->count; i++)
        acc[i] = cg_variable(cg, init);
    Loop h = loop_begin(cg, d->from, d->to, 1, "filter_row");
    add_filter_row(d, c, h.index, acc);
    loop_end(cg, &h);
    for (int i = 0; i < c->count; i++) {
        LLVMValueRef pixel = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWAdd(cg->b, d->line_out, c->x, ""), cg_i64(cg, i), "");
        contract_store((Contract *)&d->out, cg_get(cg, acc[i]), pixel, d->col, d->mask);
    }
}

static void chunks_in_loop(const Depthwise *d, LLVMValueRef from, LLVMValueRef to, int count)
{
    Loop l = loop_begin(d->g->cg, from, to, count, "pixels");
    emit_chunk(d, &(Chunk){ .x = l.index, .count = count });
    loop_end(d->g->cg, &l);
}

/* ---- rows ---- */

/* The pixels of a chunk: rows of 7, 14, 28... pixels want 7. */
static int pixels_per_chunk(const Depthwise *d)
{
    int64_t width = dim_is_const(d->k.ow) ? d->k.ow->k : 0, least = INT64_MAX;
    int best = 4;
    for (int n = MOST_PIXELS; n >= 4 && width; n--) {
        int64_t work = (width + n - 1) / n * (n + 1);           /* a chunk costs a little on its own */
        if (work < least)
            least = work, best = n;
    }
    return best;
}

/* Every column that the chunk reads is inside. */
static bool is_interior(const Depthwise *d, int64_t at, int count)
{
    int64_t first = at * d->k.sw - d->k.left, last = first + (count - 1) * d->k.sw + (d->k.kw - 1) * d->k.dw;
    return first >= 0 && last < d->k.w->k;
}

static void row_of_known_width(const Depthwise *d, int count)
{
    Codegen *cg = d->g->cg;
    int64_t width = d->k.ow->k;
    for (int64_t at = 0; at < width;) {
        int64_t end = at;
        while (end + count <= width && is_interior(d, end, count))
            end += count;
        if (end > at) {
            chunks_in_loop(d, cg_i64(cg, at), cg_i64(cg, end), count);
            at = end;
            continue;
        }
        int live = width - at < count ? (int)(width - at) : count;
        emit_chunk(d, &(Chunk){ .x = cg_i64(cg, at), .at = at, .known = true, .count = live });
        at += live;
    }
}

static void row_of_any_width(const Depthwise *d, int count)
{
    Codegen *cg = d->g->cg;
    LLVMValueRef width = group_dim(d->g, d->k.ow), step = cg_i64(cg, count);
    LLVMValueRef whole = LLVMBuildMul(cg->b, LLVMBuildUDiv(cg->b, width, step, ""), step, "");
    chunks_in_loop(d, cg_i64(cg, 0), whole, count);
    chunks_in_loop(d, whole, width, 1);
}

/* ---- the kernel ---- */

/* Filter rows h with 0 <= top + h * dh < height. */
static void find_filter_rows(Depthwise *d)
{
    Codegen *cg = d->g->cg;
    LLVMValueRef dh = cg_i64(cg, d->k.dh), zero = cg_i64(cg, 0), all = cg_i64(cg, d->k.kh), round = cg_i64(cg, d->k.dh - 1);
    LLVMValueRef above = cg_larger(cg, LLVMBuildNeg(cg->b, d->top, ""), zero);
    LLVMValueRef room = cg_larger(cg, LLVMBuildSub(cg->b, group_dim(d->g, d->k.h), d->top, ""), zero);
    d->from = cg_smaller(cg, LLVMBuildUDiv(cg->b, LLVMBuildAdd(cg->b, above, round, ""), dh, ""), all);
    d->to = cg_smaller(cg, LLVMBuildUDiv(cg->b, LLVMBuildAdd(cg->b, room, round, ""), dh, ""), all);
}

static void emit_row(Depthwise *d)
{
    int count = pixels_per_chunk(d);
    (dim_is_const(d->k.ow) && dim_is_const(d->k.w) ? row_of_known_width : row_of_any_width)(d, count);
}

/* Panels of 16 channels [first, last) of one row; the last one may be ragged. */
static void emit_panels(Depthwise *d, LLVMValueRef first, LLVMValueRef last)
{
    Codegen *cg = d->g->cg;
    int64_t whole = d->k.groups / CG_LANES, ragged = d->k.groups % CG_LANES;
    Loop c = loop_begin(cg, first, cg_smaller(cg, last, cg_i64(cg, whole)), 1, "channels");
    d->col = LLVMBuildMul(cg->b, c.index, cg_i64(cg, CG_LANES), "");
    d->mask = NULL;
    emit_row(d);
    loop_end(cg, &c);
    if (!ragged)
        return;
    Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSGT, last, cg_i64(cg, whole), ""));
    d->col = cg_i64(cg, whole * CG_LANES);
    d->mask = lane_mask(cg, cg_i64(cg, ragged));
    emit_row(d);
    branch_else(cg, &b);
    branch_end(cg, &b);
}

static Depthwise depthwise_of(Group *g)
{
    DimTable *dims = g->cg->m->dims;
    Depthwise d = { .g = g, .k = conv_of(g) };
    d.x = operand_elements(g, group_operand(g, node_in(g->anchor, 0)));
    d.w = operand_elements(g, group_operand(g, node_in(g->anchor, 1)));
    d.wide = panels_of(d.k.groups) * CG_LANES;
    d.out = (Contract){ .g = g, .rows = dim_mul(dims, d.k.n, dim_mul(dims, d.k.oh, d.k.ow)), .cols = d.k.m };
    d.out.bias = node_in(g->anchor, 2) ? group_operand(g, node_in(g->anchor, 2)) : -1;
    contract_open(&d.out);
    return d;
}

bool gen_depthwise(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    enum { PANELS_PER_UNIT = 8 };
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Depthwise d = depthwise_of(g);
    int64_t panels = d.wide / CG_LANES, parts = (panels + PANELS_PER_UNIT - 1) / PANELS_PER_UNIT, each = (panels + parts - 1) / parts;
    Dim unit[3] = { d.k.n, d.k.oh, dim_const(dims, parts) };
    *work = (Work){ dim_mul(dims, unit[0], dim_mul(dims, unit[1], unit[2])), dim_mulk(dims, d.k.ow, each * d.k.kh * d.k.kw) };
    LLVMValueRef part[3];
    Loop l = loop_begin(cg, begin, end, 1, "row");
    split_index(g, l.index, 3, unit, part);
    d.image_row = LLVMBuildNSWMul(cg->b, part[0], group_dim(g, d.k.h), "");
    d.top = LLVMBuildNSWSub(cg->b, LLVMBuildNSWMul(cg->b, part[1], cg_i64(cg, d.k.sh), ""), cg_i64(cg, d.k.top), "");
    LLVMValueRef row = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, part[0], group_dim(g, d.k.oh), ""), part[1], "");
    d.line_out = LLVMBuildNSWMul(cg->b, row, group_dim(g, d.k.ow), "");
    find_filter_rows(&d);
    LLVMValueRef first = LLVMBuildMul(cg->b, part[2], cg_i64(cg, each), "");
    emit_panels(&d, first, cg_smaller(cg, LLVMBuildAdd(cg->b, first, cg_i64(cg, each), ""), cg_i64(cg, panels)));
    loop_end(cg, &l);
    g->space = NULL;
    return true;
}
