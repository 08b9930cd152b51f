/* gen_conv.c -- convolution, channels last, as tiles of (output pixels of one line) x (output channels).
 *
 * The input pixels under a filter row lie side by side in memory, so the sum over (kw, c) is one run of KW*C elements against packed weights; a tile
 * sums such runs over kh. A pointwise convolution with stride 1 is a plain matrix product over all pixels; where lines are cut badly, tiles of other
 * convolutions run across them too, and every row of a tile has its own place. Winograd's method and depthwise convolution have files of their own.
 * Everything else (pads, channels first, three spatial axes, computed weights) goes to gen_conv_any.c.
 */
#include "bf16.h"
#include "int8.h"
#include "low_bit_code.h"

static int64_t at_axis(IntVec v, int naxes, int axis, int64_t otherwise)
{
    int i = axis - (2 - naxes);     /* a 1-D convolution has only the second axis */
    return v.n && i >= 0 ? v.v[i] : otherwise;
}

Conv conv_of(const Group *g)
{
    const Attr_conv *a = NODE_ATTR(g->anchor, conv);
    const Type *x = &node_in(g->anchor, 0)->type, *w = &node_in(g->anchor, 1)->type, *y = &node_out(g->anchor)->type;
    int naxes = x->rank - 2;
    Dim one = dim_const(g->cg->m->dims, 1);
    Conv k = { .groups = a->group, .cin = w->dim[1]->k, .cout = w->dim[0]->k / a->group };
    k.kh = naxes == 2 ? w->dim[2]->k : 1;
    k.kw = w->dim[naxes + 1]->k;
    k.sh = at_axis(a->strides, naxes, 0, 1), k.sw = at_axis(a->strides, naxes, 1, 1);
    k.dh = at_axis(a->dilations, naxes, 0, 1), k.dw = at_axis(a->dilations, naxes, 1, 1);
    k.n = x->dim[0], k.c = x->dim[x->rank - 1], k.m = y->dim[y->rank - 1];
    k.h = naxes == 2 ? x->dim[1] : one, k.oh = naxes == 2 ? y->dim[1] : one;
    k.w = x->dim[naxes], k.ow = y->dim[naxes];
    k.top = naxes == 2 ? a->pads.v[0] : 0;
    k.left = a->pads.v[naxes - 1];
    if (k.kw == 1 && k.sw == 1 && dim_is(k.w, 1)) {     /* a column: let tiles run along it */
        k.kw = k.kh, k.sw = k.sh, k.dw = k.dh, k.w = k.h, k.ow = k.oh;
        k.kh = k.sh = k.dh = 1, k.h = k.oh = one;
        k.left = k.top, k.top = 0;
    }
    k.pointwise = k.kh == 1 && k.kw == 1 && k.sh == 1 && k.sw == 1;
    k.bytes = x->dtype == DT_u8;
    k.bits = k.bytes ? int8_group_bits(g) : 0;
    k.pairs = contract_of_pairs(g);
    return k;
}

static bool rows_are_whole(const Conv *k)
{
    return k->groups == 1 && k->dw == 1;
}

int64_t conv_run(const Conv *k)
{
    return rows_are_whole(k) ? k->kw * k->cin : k->cin;
}

/* Elements of one panel that a run takes. */
static int64_t packed_run(const Conv *k)
{
    int64_t run = conv_run(k);
    return k->bytes ? int8_run_bytes(k->bits, run) : (k->pairs ? bf16_padded(run) : run) * CG_LANES;
}

/* Runs of one tile: over filter rows, and filter columns where they do not lie side by side. */
static void conv_sum(Contract *c, Tile *t)
{
    Conv *k = c->ctx;
    Group *g = c->g;
    Codegen *cg = g->cg;
    bool whole_row = rows_are_whole(k);
    int64_t run = conv_run(k), packed = packed_run(k);
    if (k->pointwise) {
        tile_accumulate(t, cg_i64(cg, 0), cg_i64(cg, 0), cg_i64(cg, run));
        return;
    }
    LLVMValueRef row = LLVMBuildNSWMul(cg->b, group_dim(g, k->w), group_dim(g, k->c), "");
    Loop h = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, k->kh), 1, "kh");
    LLVMValueRef a = LLVMBuildNSWMul(cg->b, LLVMBuildMul(cg->b, h.index, cg_i64(cg, k->dh), ""), row, "");
    LLVMValueRef b = LLVMBuildMul(cg->b, h.index, cg_i64(cg, whole_row ? packed : k->kw * packed), "");
    if (whole_row) {
        tile_accumulate(t, a, b, cg_i64(cg, run));
    } else {
        Loop w = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, k->kw), 1, "kw");
        LLVMValueRef step = LLVMBuildMul(cg->b, group_dim(g, k->c), cg_i64(cg, k->dw), "");
        LLVMValueRef aw = LLVMBuildAdd(cg->b, a, LLVMBuildMul(cg->b, w.index, step, ""), "");
        LLVMValueRef bw = LLVMBuildAdd(cg->b, b, LLVMBuildMul(cg->b, w.index, cg_i64(cg, packed), ""), "");
        tile_accumulate(t, aw, bw, cg_i64(cg, run));
        loop_end(cg, &w);
    }
    loop_end(cg, &h);
}

/* Columns of one unit within its group: a full set of panels, or the masked rest. col: first column within the group. */
static void conv_columns(Contract *c, const Conv *k, Tile at, LLVMValueRef col, LLVMValueRef row_end)
{
    Codegen *cg = c->g->cg;
    int64_t step = c->shape.panels * CG_LANES, left = k->cout % step;
    at.panels = c->shape.panels;
    if (!left) {
        contract_block(c, at, row_end);
        return;
    }
    if (k->cout > step) {
        Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSLE, LLVMBuildAdd(cg->b, col, cg_i64(cg, step), ""), cg_i64(cg, k->cout), ""));
        contract_block(c, at, row_end);
        branch_else(cg, &b);
        at.panels = (int)panels_of(left);
        if (left % CG_LANES)
            at.mask[at.panels - 1] = lane_mask(cg, cg_i64(cg, left % CG_LANES));
        contract_block(c, at, row_end);
        branch_end(cg, &b);
        return;
    }
    at.panels = (int)panels_of(left);
    if (left % CG_LANES)
        at.mask[at.panels - 1] = lane_mask(cg, cg_i64(cg, left % CG_LANES));
    contract_block(c, at, row_end);
}

/* Where a tile starts. block: of pixels of the line, or of all; panel: of the group. */
static Tile conv_tile(Contract *c, const Conv *k, LLVMValueRef group, LLVMValueRef line, LLVMValueRef block, LLVMValueRef panel, Dim run)
{
    Group *g = c->g;
    Codegen *cg = g->cg;
    int64_t panels = panels_of(k->cout);
    LLVMValueRef at_line[2];
    Tile at = { .row = LLVMBuildMul(cg->b, block, cg_i64(cg, c->shape.rows), "") };
    LLVMValueRef first_col = LLVMBuildMul(cg->b, group, cg_i64(cg, k->cout), "");
    split_index(g, line, 2, (Dim[]){ k->n, k->oh }, at_line);
    at.flat_row = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, line, group_dim(g, run), ""), at.row, "");
    at.col = LLVMBuildAdd(cg->b, first_col, LLVMBuildMul(cg->b, panel, cg_i64(cg, CG_LANES), ""), "");
    LLVMValueRef first = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, group, cg_i64(cg, panels), ""), panel, "");
    at.b_start = LLVMBuildNSWMul(cg->b, first, c->panel_step, "");
    LLVMValueRef in_line = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, at_line[0], group_dim(g, k->h), ""), LLVMBuildMul(cg->b, at_line[1], cg_i64(cg, k->sh), ""), "");
    LLVMValueRef pixels = LLVMBuildNSWMul(cg->b, in_line, group_dim(g, k->w), "");
    at.a_start = LLVMBuildAdd(cg->b, LLVMBuildNSWMul(cg->b, pixels, group_dim(g, k->c), ""), LLVMBuildMul(cg->b, group, cg_i64(cg, k->cin), ""), "");
    return at;
}

/* Elements of the input that are read, 0 if only the run knows. */
static int64_t elements_read(const Conv *k, Dim pixels)
{
    bool skips = k->kh < k->sh && k->kw < k->sw;
    return dim_is_const(pixels) ? pixels->k * (skips ? 1 : k->sh * k->sw) * k->cin * k->groups : 0;
}

/* Elements of the input before the first one under a pixel of the result. */
static LLVMValueRef pixel_offset(Contract *c, LLVMValueRef pixel)
{
    const Conv *k = c->ctx;
    Group *g = c->g;
    Codegen *cg = g->cg;
    LLVMValueRef at[3];
    split_index(g, pixel, 3, (Dim[]){ k->n, k->oh, k->ow }, at);
    LLVMValueRef line = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, at[0], group_dim(g, k->h), ""), LLVMBuildNSWMul(cg->b, at[1], cg_i64(cg, k->sh), ""), "");
    LLVMValueRef before = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, line, group_dim(g, k->w), ""), LLVMBuildNSWMul(cg->b, at[2], cg_i64(cg, k->sw), ""), "");
    return LLVMBuildNSWMul(cg->b, before, group_dim(g, k->c), "");
}

/* Where a few rows fill the registers, a line leaves a tile of rows too few to hide the latency of their sums. */
enum { JOINED_ROWS = 8 };           /* addresses fit the general registers */

static bool joins_lines(const Group *g, const Conv *k, Dim pixels)
{
    const double place_cycles = 1.5;
    if (k->pointwise || k->bytes || k->pairs || g->weights || !dim_is_const(pixels) || !dim_is_const(k->ow))
        return false;
    DType type = contract_type(g);
    double joined = tile_least_cost(g, type, pixels->k, k->cout, JOINED_ROWS) + place_cycles / (double)(k->kh * k->kw * k->cin);
    return joined < tile_least_cost(g, type, k->ow->k, k->cout, TILE_ROWS);
}

/* ---- weights of few bits ---- */

typedef struct ConvMany { Conv k; Dim run, blocks; } ConvMany;

/* A line, and a block of its pixels; of a pointwise convolution, one of all pixels. */
static void split_tile(const LowBitMany *m, LLVMValueRef number, LLVMValueRef *line, LLVMValueRef *block)
{
    const ConvMany *s = m->ctx;
    LLVMBuilderRef b = m->c->g->cg->b;
    LLVMValueRef blocks = group_dim(m->c->g, s->blocks);
    *line = s->k.pointwise ? cg_i64(m->c->g->cg, 0) : LLVMBuildUDiv(b, number, blocks, "");
    *block = s->k.pointwise ? number : LLVMBuildURem(b, number, blocks, "");
}

static void many_tile(const LowBitMany *m, LLVMValueRef group, LLVMValueRef number, LLVMValueRef panel)
{
    const ConvMany *s = m->ctx;
    Codegen *cg = m->c->g->cg;
    LLVMValueRef line, block;
    split_tile(m, number, &line, &block);
    Tile at = conv_tile(m->c, &s->k, group, line, block, panel, s->run);
    at.b_start = cg_i64(cg, 0);
    conv_columns(m->c, &s->k, at, LLVMBuildMul(cg->b, panel, cg_i64(cg, CG_LANES), ""), group_dim(m->c->g, s->run));
}

static LLVMValueRef many_first_row(const LowBitMany *m, LLVMValueRef number)
{
    const ConvMany *s = m->ctx;
    LLVMValueRef line, block;
    split_tile(m, number, &line, &block);
    return conv_tile(m->c, &s->k, cg_i64(m->c->g->cg, 0), line, block, cg_i64(m->c->g->cg, 0), s->run).flat_row;
}

static LLVMValueRef many_tap_start(const LowBitMany *m, LLVMValueRef tap)
{
    const ConvMany *s = m->ctx;
    Group *g = m->c->g;
    LLVMBuilderRef b = g->cg->b;
    LLVMValueRef y = LLVMBuildUDiv(b, tap, cg_i64(g->cg, s->k.kw), ""), x = LLVMBuildURem(b, tap, cg_i64(g->cg, s->k.kw), "");
    LLVMValueRef row = LLVMBuildNSWMul(b, LLVMBuildNSWMul(b, y, cg_i64(g->cg, s->k.dh), ""), group_dim(g, s->k.w), "");
    LLVMValueRef pixel = LLVMBuildNSWAdd(b, row, LLVMBuildNSWMul(b, x, cg_i64(g->cg, s->k.dw), ""), "");
    return LLVMBuildNSWMul(b, pixel, group_dim(g, s->k.c), "");
}

static Work conv_many(Contract *c, const Conv *k, Dim lines, Dim blocks, Dim run, LLVMValueRef begin, LLVMValueRef end)
{
    ConvMany s = { *k, run, blocks };
    LowBitMany m = { .c = c, .ctx = &s, .row_taps = rows_are_whole(k) ? k->kw : 1, .tiles = k->pointwise ? lines : dim_mul(c->g->cg->m->dims, lines, blocks),
                     .tile = many_tile, .first_row = many_first_row, .tap_start = many_tap_start };
    return low_bit_many(&m, begin, end);
}

/* ---- units ---- */

/* Units are (group, band of lines, set of panels, line of the band, block of pixels). */
static Work conv_units(Contract *c, const Conv *k, Dim lines, Dim blocks, Dim run, LLVMValueRef begin, LLVMValueRef end)
{
    Group *g = c->g;
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    int64_t step = c->shape.panels * CG_LANES;
    Dim one = dim_const(dims, 1), sets = dim_const(dims, (k->cout + step - 1) / step);
    int64_t a_bytes = elements_read(k, c->rows) * dtype_bytes(c->a.type), b_bytes = k->kh * k->kw * k->cin * k->groups * k->cout * dtype_bytes(c->b.type);
    Dim band = contract_band(c, lines, a_bytes, b_bytes, sets), bands = band == lines ? one : dim_ceil_div(dims, lines, band);
    Dim parts[5] = { dim_const(dims, k->groups), bands, sets, band, k->one_run ? one : blocks };
    Dim row_tiles = dim_mul(dims, band, parts[4]), units = one;
    c->panel_rows = k->kh * k->kw * k->cin;
    c->row_tiles = dim_is_const(row_tiles) ? row_tiles->k : 0;
    for (int i = 0; i < 5; i++)
        units = dim_mul(dims, units, parts[i]);
    LLVMValueRef part[5];
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    split_index(g, l.index, 5, parts, part);
    LLVMValueRef panel = LLVMBuildMul(cg->b, part[2], cg_i64(cg, c->shape.panels), "");
    LLVMValueRef line = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[1], group_dim(g, band), ""), part[3], "");
    Tile at = k->one_run ? conv_tile(c, k, part[0], cg_i64(cg, 0), line, panel, run) : conv_tile(c, k, part[0], line, part[4], panel, run);
    at.number = linear_offset(g, 2, parts + 3, part + 3);
    bool rest = band != lines && lines->k % band->k;        /* the last band has fewer lines */
    Branch b = { NULL, NULL };
    if (rest)
        b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSLT, line, group_dim(g, lines), ""));
    conv_columns(c, k, at, LLVMBuildMul(cg->b, panel, cg_i64(cg, CG_LANES), ""), group_dim(g, run));
    if (rest) {
        branch_else(cg, &b);
        branch_end(cg, &b);
    }
    loop_end(cg, &l);
    return (Work){ units, dim_const(dims, k->kh * k->kw * k->cin * c->shape.rows * c->shape.panels) };
}

static void conv_tiles(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Conv k = conv_of(g);
    Dim pixels = dim_mul(dims, k.n, dim_mul(dims, k.oh, k.ow));
    bool joined = joins_lines(g, &k, pixels);
    k.one_run = k.pointwise || joined;
    Dim run = k.one_run ? pixels : k.ow;
    Contract c = { .g = g, .a = operand_elements(g, group_operand(g, node_in(g->anchor, 0))), .packed = true, .rows = pixels, .cols = k.m, .sum = conv_sum,
                   .row_offset = joined ? pixel_offset : NULL, .ctx = &k };
    if (!g->weights)
        c.b = operand_elements(g, group_operand(g, node_in(g->anchor, 1)));
    c.bias = node_in(g->anchor, 2) ? group_operand(g, node_in(g->anchor, 2)) : -1;
    c.run_rows = dim_is_const(run) ? run->k : 0;
    c.shape = low_bit_shape(g, tile_choose(g, contract_type(g), c.run_rows, k.cout, joined ? JOINED_ROWS : TILE_ROWS));
    c.row_step = group_dim(g, dim_mulk(dims, k.c, k.pointwise ? 1 : k.sw));
    c.panel_step = cg_i64(cg, k.kh * (rows_are_whole(&k) ? 1 : k.kw) * packed_run(&k));
    c.k_step = cg_i64(cg, CG_LANES);
    contract_open(&c);
    Dim blocks = dim_ceil_div(dims, run, dim_const(dims, c.shape.rows)), lines = k.one_run ? blocks : dim_mul(dims, k.n, k.oh);
    *work = (g->weights ? conv_many : conv_units)(&c, &k, lines, blocks, run, begin, end);
    g->space = NULL;
}

bool gen_conv(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    if (NODE_ATTR(g->anchor, conv)->winograd.n)
        return gen_winograd(g, begin, end, work);
    if (!conv_is_fast(g))
        return gen_conv_any(g, begin, end, work);
    if (conv_is_depthwise(g) && !contract_of_bytes(g))
        return gen_depthwise(g, begin, end, work);
    (conv_is_depthwise(g) ? gen_depthwise_int8 : conv_tiles)(g, begin, end, work);
    return true;
}
