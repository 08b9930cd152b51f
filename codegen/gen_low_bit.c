/* gen_low_bit.c -- products of many rows with weights of few bits: a block of k of a few panels is unpacked to scratch, the tiles of f32 pass over it, and
 * the next block is unpacked. What unpacking costs is shared by all rows that pass, what the tiles read stays in the second-level cache.
 *
 *   unit = (group, chunk of row tiles, set of panels)
 *
 *     for each block of k:       taps, or part of one
 *         for each tile:         resume its sums, add x * weights, keep them; the last block's go through the epilogue
 *             the first          unpacks codes to scratch, [panels][k][16], as it multiplies them
 *             the others         read them there
 *
 * Sums run over k in the order in which they would in one block, so that it decides nothing but time. The codes of the next block are asked for while
 * one is unpacked.
 */
#include "low_bit_code.h"

typedef LLVMValueRef Val;

/* How k is cut: whole runs (what lies side by side in a) as many as fit, or parts of one tap. */
typedef struct Cut {
    int64_t taps, run;              /* taps of a run, and its k */
    int64_t runs, per_block;        /* runs in all, in a block */
    int64_t parts, part;            /* of a tap, if a run is too long; else 1 */
    int64_t blocks;
} Cut;

typedef struct Many {
    const LowBitMany *m;
    const LowBit *w;
    Cut cut;
    Val tap, ntaps, k0, k1;         /* of the block at hand */
    Val runs, codes, ahead;         /* codes: address of the set of panels */
} Many;

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Parts begin where low_bit_unpack can. */
static Cut cut_of(const LowBit *w, int64_t row_taps)
{
    enum { STEP = 16 };
    bool whole = row_taps * w->k <= LOW_BIT_K;
    Cut c = { .taps = whole ? row_taps : 1, .parts = ceil_div(w->k, LOW_BIT_K), .per_block = 1 };
    c.run = c.taps * w->k;
    c.runs = w->taps / c.taps;
    if (c.parts > 1) {
        int64_t step = w->blocks > 1 && w->block % STEP ? w->block : STEP;
        c.part = ceil_div(ceil_div(w->k, c.parts), step) * step;
        c.parts = ceil_div(w->k, c.part);
        c.blocks = c.runs * c.parts;
    } else {
        c.part = w->k;
        c.blocks = ceil_div(c.runs, LOW_BIT_K / c.run);
        c.per_block = ceil_div(c.runs, c.blocks);
        c.blocks = ceil_div(c.runs, c.per_block);
    }
    return c;
}

/* ---- a block ---- */

static void block_open(Many *s, Val block)
{
    Codegen *cg = s->m->c->g->cg;
    const Cut *c = &s->cut;
    Val run = c->parts > 1 ? LLVMBuildUDiv(cg->b, block, cg_i64(cg, c->parts), "") : LLVMBuildMul(cg->b, block, cg_i64(cg, c->per_block), "");
    s->runs = c->runs % c->per_block ? cg_smaller(cg, cg_i64(cg, c->per_block), LLVMBuildSub(cg->b, cg_i64(cg, c->runs), run, "")) : cg_i64(cg, c->per_block);
    s->tap = LLVMBuildMul(cg->b, run, cg_i64(cg, c->taps), "");
    s->ntaps = LLVMBuildMul(cg->b, s->runs, cg_i64(cg, c->taps), "");
    s->k0 = cg_i64(cg, 0);
    s->k1 = cg_i64(cg, s->w->k);
    if (c->parts > 1) {
        s->k0 = LLVMBuildMul(cg->b, LLVMBuildURem(cg->b, block, cg_i64(cg, c->parts), ""), cg_i64(cg, c->part), "");
        s->k1 = cg_smaller(cg, LLVMBuildAdd(cg->b, s->k0, cg_i64(cg, c->part), ""), s->k1);
    }
}

static int64_t panel_bytes(const Many *s)
{
    return low_bit_room(s->m->c->g->anchor) * CG_LANES * (int64_t)sizeof(float);
}

static Val tap_start(const Many *s, Val tap)
{
    return s->m->tap_start ? s->m->tap_start(s->m, tap) : cg_i64(s->m->c->g->cg, 0);
}

/* Bytes from the codes of this block to those of the next, in this set of panels or the next one. */
static Val ahead_of(const Many *s, Val block)
{
    Codegen *cg = s->m->c->g->cg;
    int64_t bytes = s->w->panel_bytes / s->cut.blocks, back = (s->cut.blocks - 1) * bytes;
    Val last = LLVMBuildICmp(cg->b, LLVMIntEQ, block, cg_i64(cg, s->cut.blocks - 1), "");
    return LLVMBuildSelect(cg->b, last, cg_i64(cg, s->m->c->shape.panels * s->w->panel_bytes - back), cg_i64(cg, bytes), "");
}

/* The sum of a chunk's first tile, which unpacks the block for the others: memory, shifts and stores hide behind the products. */
static void first_sum(Contract *c, Tile *t)
{
    const Many *s = c->ctx;
    Codegen *cg = c->g->cg;
    Val row = LLVMBuildMul(cg->b, LLVMBuildSub(cg->b, s->k1, s->k0, ""), cg_i64(cg, CG_LANES), "");
    Loop l = loop_begin(cg, cg_i64(cg, 0), s->ntaps, 1, "tap");
    Val number = LLVMBuildAdd(cg->b, s->tap, l.index, ""), tap = LLVMBuildMul(cg->b, number, cg_i64(cg, s->w->tap_bytes), "");
    Val to = LLVMBuildMul(cg->b, l.index, row, "");
    LowBitPiece piece = { .panels = t->panels, .tap = cg_gep_bytes(cg, s->codes, tap), .k0 = s->k0, .k1 = s->k1, .to = cg_gep(cg, c->b.ptr, DT_f32, to),
                          .to_panel = panel_bytes(s), .ahead = s->ahead, .t = t, .a = tap_start(s, number), .b = to };
    low_bit_unpack(cg, s->w, &piece);
    loop_end(cg, &l);
}

/* What a tile adds: the block's runs. */
static void block_sum(Contract *c, Tile *t)
{
    const Many *s = c->ctx;
    Codegen *cg = c->g->cg;
    const Cut *cut = &s->cut;
    if (cut->parts > 1) {
        Val a = LLVMBuildNSWAdd(cg->b, tap_start(s, s->tap), s->k0, "");
        tile_accumulate(t, a, cg_i64(cg, 0), LLVMBuildSub(cg->b, s->k1, s->k0, ""));
        return;
    }
    Loop r = loop_begin(cg, cg_i64(cg, 0), s->runs, 1, "run");
    Val tap = LLVMBuildAdd(cg->b, s->tap, LLVMBuildMul(cg->b, r.index, cg_i64(cg, cut->taps), ""), "");
    tile_accumulate(t, tap_start(s, tap), LLVMBuildMul(cg->b, r.index, cg_i64(cg, cut->run * CG_LANES), ""), cg_i64(cg, cut->run));
    loop_end(cg, &r);
}

/* ---- units ---- */

TileShape low_bit_shape(const Group *g, TileShape s)
{
    return g->weights && s.panels > LOW_BIT_PANELS ? (TileShape){ s.rows, LOW_BIT_PANELS } : s;
}

/* Tiles of a chunk: as many as have room for their sums, or, if these are complete at once, as the first two caches hold of what they read; but enough chunks to share. */
static int64_t chunk_tiles(const Many *s, int64_t others)
{
    enum { ROWS = 1024, SHARES = 8, LEAST_ROWS = 64 };
    const Contract *c = s->m->c;
    int64_t rows = c->shape.rows, most = (s->cut.blocks > 1 ? LOW_BIT_ROWS : ROWS) / rows, least = ceil_div(LEAST_ROWS, rows);
    if (!dim_is_const(s->m->tiles))
        return most;
    int64_t tiles = s->m->tiles->k, chunks = ceil_div(tiles, most), shares = ceil_div(SHARES, others);
    chunks = chunks > shares ? chunks : shares;
    int64_t each = ceil_div(tiles, chunks);
    return each > least ? each : least < tiles ? least : tiles;
}

static void scratch_open(Many *s, Val slot, Partial *partial)
{
    Contract *c = s->m->c;
    Group *g = c->g;
    Codegen *cg = g->cg;
    Val at = cg_gep_bytes(cg, g->scratch, LLVMBuildMul(cg->b, slot, cg_i64(cg, low_bit_slot_bytes(g->anchor)), ""));
    c->b = (Elements){ at, DT_f32 };
    c->panel_step = cg_i64(cg, low_bit_room(g->anchor) * CG_LANES);
    c->k_step = cg_i64(cg, CG_LANES);
    c->near = true;
    partial->sums = (Elements){ cg_gep_bytes(cg, at, cg_i64(cg, LOW_BIT_PANELS * panel_bytes(s))), DT_f32 };
    c->partial = s->cut.blocks > 1 ? partial : NULL;
    c->ctx = s;
}

/* One block of k of a unit: its tiles from `first` on. */
static void unit_block(Many *s, Val group, Val first, Val tiles, Val panel)
{
    Contract *c = s->m->c;
    Codegen *cg = c->g->cg;
    c->sum = first_sum;
    s->m->tile(s->m, group, first, panel);
    c->sum = block_sum;
    Loop t = loop_begin(cg, cg_i64(cg, 1), tiles, 1, "row_tile");
    s->m->tile(s->m, group, LLVMBuildAdd(cg->b, first, t.index, ""), panel);
    loop_end(cg, &t);
}

static void unit_emit(Many *s, Partial *partial, Val group, Val first, Val tiles, Val panel)
{
    Codegen *cg = s->m->c->g->cg;
    int64_t all = panels_of(s->w->columns);
    Val before = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, group, cg_i64(cg, all), ""), panel, "");
    s->codes = cg_gep_bytes(cg, low_bit_data(s->m->c->g), LLVMBuildMul(cg->b, before, cg_i64(cg, s->w->panel_bytes), ""));
    partial->row = s->m->first_row(s->m, first);
    Loop b = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, s->cut.blocks), 1, "block");
    partial->first = LLVMBuildICmp(cg->b, LLVMIntEQ, b.index, cg_i64(cg, 0), "");
    partial->last = LLVMBuildICmp(cg->b, LLVMIntEQ, b.index, cg_i64(cg, s->cut.blocks - 1), "");
    block_open(s, b.index);
    s->ahead = ahead_of(s, b.index);
    unit_block(s, group, first, tiles, panel);
    loop_end(cg, &b);
}

Work low_bit_many(LowBitMany *m, LLVMValueRef begin, LLVMValueRef end)
{
    Contract *c = m->c;
    Group *g = c->g;
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Many s = { .m = m, .w = low_bit_of(g) };
    Partial partial;
    s.cut = cut_of(s.w, m->row_taps);
    int64_t sets = ceil_div(panels_of(s.w->columns), c->shape.panels), chunk = chunk_tiles(&s, s.w->groups * sets);
    Dim parts[3] = { dim_const(dims, s.w->groups), dim_ceil_div(dims, m->tiles, dim_const(dims, chunk)), dim_const(dims, sets) };
    Val part[3], slot = slot_claim(g, LOW_BIT_SLOTS);
    scratch_open(&s, slot, &partial);
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    split_index(g, l.index, 3, parts, part);
    Val first = LLVMBuildMul(cg->b, part[1], cg_i64(cg, chunk), ""), left = LLVMBuildSub(cg->b, group_dim(g, m->tiles), first, "");
    unit_emit(&s, &partial, part[0], first, cg_smaller(cg, cg_i64(cg, chunk), left), LLVMBuildMul(cg->b, part[2], cg_i64(cg, c->shape.panels), ""));
    loop_end(cg, &l);
    slot_release(g, slot);
    Dim units = dim_mul(dims, dim_mul(dims, parts[0], parts[1]), parts[2]);
    return (Work){ units, dim_const(dims, s.w->taps * s.w->k * chunk * c->shape.rows * c->shape.panels) };
}
