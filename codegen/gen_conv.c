/* gen_conv.c -- convolution, channels last, as tiles of (output pixels of one row) x (output channels).
 *
 * The input pixels under a filter row lie side by side in memory, so the sum over (kw, c) is one run of KW*C elements against packed weights; a tile
 * sums such runs over kh. A pointwise convolution with stride 1 is a plain matrix product over all pixels. A unit of work is (group, band of lines, panels,
 * line, block of pixels). Winograd's method and depthwise convolution have files of their own. Everything else (pads, channels
 * first, three spatial axes, computed weights) goes to gen_conv_any.c.
 */
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
    return k->bytes ? int8_run_bytes(k->bits, conv_run(k)) : conv_run(k) * CG_LANES;
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
        at.panels = (int)((left + CG_LANES - 1) / CG_LANES);
        if (left % CG_LANES)
            at.mask[at.panels - 1] = lane_mask(cg, cg_i64(cg, left % CG_LANES));
        contract_block(c, at, row_end);
        branch_end(cg, &b);
        return;
    }
    at.panels = (int)((left + CG_LANES - 1) / CG_LANES);
    if (left % CG_LANES)
        at.mask[at.panels - 1] = lane_mask(cg, cg_i64(cg, left % CG_LANES));
    contract_block(c, at, row_end);
}

/* Where a tile of this unit starts. part: group, band, panel group, line of the band, block of pixels. */
static Tile conv_tile(Contract *c, const Conv *k, const LLVMValueRef *part, LLVMValueRef line, LLVMValueRef col, Dim run)
{
    Group *g = c->g;
    Codegen *cg = g->cg;
    int64_t panels = (k->cout + CG_LANES - 1) / CG_LANES;
    LLVMValueRef block = k->pointwise ? line : part[4], at_line[2];
    Tile at = { .row = LLVMBuildMul(cg->b, block, cg_i64(cg, c->shape.rows), "") };
    LLVMValueRef first_col = LLVMBuildMul(cg->b, part[0], cg_i64(cg, k->cout), "");
    if (k->pointwise)
        line = cg_i64(cg, 0);
    split_index(g, line, 2, (Dim[]){ k->n, k->oh }, at_line);
    at.flat_row = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, line, group_dim(g, run), ""), at.row, "");
    at.col = LLVMBuildAdd(cg->b, first_col, col, "");
    LLVMValueRef first = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[0], cg_i64(cg, panels), ""), LLVMBuildMul(cg->b, part[2], cg_i64(cg, c->shape.panels), ""), "");
    at.b_start = LLVMBuildNSWMul(cg->b, first, c->panel_step, "");
    LLVMValueRef in_line = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, at_line[0], group_dim(g, k->h), ""), LLVMBuildMul(cg->b, at_line[1], cg_i64(cg, k->sh), ""), "");
    LLVMValueRef pixels = LLVMBuildNSWMul(cg->b, in_line, group_dim(g, k->w), "");
    at.a_start = LLVMBuildAdd(cg->b, LLVMBuildNSWMul(cg->b, pixels, group_dim(g, k->c), ""), LLVMBuildMul(cg->b, part[0], cg_i64(cg, k->cin), ""), "");
    return at;
}

/* Lines that all panels pass over before the next lines are begun. Usually all: prefetchers bring a's rows in time. Where filters skip pixels, they bring
 * what is skipped, and what is read falls into half of the cache's sets: then as many as stay in the second-level cache. */
static Dim band_lines(Codegen *cg, const Conv *k, Dim lines)
{
    enum { BAND = 256 << 10, NO_BAND = 512 << 10 };     /* bytes */
    Dim pixels = dim_mul(cg->m->dims, lines, k->ow);
    bool skips = k->kh < k->sh && k->kw < k->sw;
    int64_t bytes = skips && dim_is_const(pixels) ? pixels->k * k->cin * k->groups * 4 : 0;
    if (bytes <= NO_BAND)
        return lines;
    int64_t bands = (bytes + BAND - 1) / BAND;
    return dim_const(cg->m->dims, (lines->k + bands - 1) / bands);
}

static void conv_tiles(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Conv k = conv_of(g);
    Dim one = dim_const(dims, 1), pixels = dim_mul(dims, k.n, dim_mul(dims, k.oh, k.ow));
    Dim run = k.pointwise ? pixels : k.ow;
    Contract c = { .g = g, .a = operand_elements(g, group_operand(g, node_in(g->anchor, 0))), .packed = true,
                   .b = g->weights ? (Elements){ low_bit_data(g), DT_u8 } : operand_elements(g, group_operand(g, node_in(g->anchor, 1))),
                   .rows = pixels, .cols = k.m, .sum = conv_sum, .ctx = &k };
    c.bias = node_in(g->anchor, 2) ? group_operand(g, node_in(g->anchor, 2)) : -1;
    c.run_rows = dim_is_const(run) ? run->k : 0;
    c.shape = tile_choose(g, contract_type(g), c.run_rows, g->weights && k.cout > LOW_BIT_PANELS * CG_LANES ? LOW_BIT_PANELS * CG_LANES : k.cout);
    c.row_step = group_dim(g, dim_mulk(dims, k.c, k.pointwise ? 1 : k.sw));
    c.panel_step = cg_i64(cg, k.kh * (rows_are_whole(&k) ? 1 : k.kw) * packed_run(&k));
    c.k_step = cg_i64(cg, CG_LANES);
    contract_open(&c);
    int64_t step = c.shape.panels * CG_LANES;
    Dim blocks = dim_ceil_div(dims, run, dim_const(dims, c.shape.rows));
    Dim lines = k.pointwise ? blocks : dim_mul(dims, k.n, k.oh), band = band_lines(cg, &k, lines);
    Dim bands = band == lines ? one : dim_ceil_div(dims, lines, band);
    Dim parts[5] = { dim_const(dims, k.groups), bands, dim_const(dims, (k.cout + step - 1) / step), band, k.pointwise ? one : blocks };
    Dim row_tiles = dim_mul(dims, band, parts[4]);
    c.panel_rows = k.kh * k.kw * k.cin;
    c.row_tiles = dim_is_const(row_tiles) ? row_tiles->k : 0;
    work->units = one;
    for (int i = 0; i < 5; i++)
        work->units = dim_mul(dims, work->units, parts[i]);
    work->cost = dim_const(dims, k.kh * k.kw * k.cin * c.shape.rows * c.shape.panels);
    LLVMValueRef part[5], panels = cg_i64(cg, (k.cout + CG_LANES - 1) / CG_LANES);
    LowBitCache unpacked = low_bit_cache_open(g, &c);
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    split_index(g, l.index, 5, parts, part);
    LLVMValueRef col = LLVMBuildMul(cg->b, part[2], cg_i64(cg, step), "");
    LLVMValueRef line = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[1], group_dim(g, band), ""), part[3], "");
    Tile at = conv_tile(&c, &k, part, line, col, run);
    LLVMValueRef panel = LLVMBuildMul(cg->b, part[2], cg_i64(cg, c.shape.panels), "");
    low_bit_cache_fill(g, &unpacked, &at, LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[0], panels, ""), panel, ""), LLVMBuildSub(cg->b, panels, panel, ""));
    at.number = linear_offset(g, 2, parts + 3, part + 3);
    bool rest = band != lines && lines->k % band->k;        /* the last band has fewer lines */
    Branch b = { NULL, NULL };
    if (rest)
        b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSLT, line, group_dim(g, lines), ""));
    conv_columns(&c, &k, at, col, group_dim(g, run));
    if (rest) {
        branch_else(cg, &b);
        branch_end(cg, &b);
    }
    loop_end(cg, &l);
    low_bit_cache_close(g, &unpacked);
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
