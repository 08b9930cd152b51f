/* tile_low_bit.c -- reading packed codes of few bits: as numbers multiplied at once, or written out as f32. The layout is in low_bit_code.h. */
#include "low_bit_code.h"

#include <string.h>

typedef LLVMValueRef Val;

enum { AHEAD = 64 * LOW_BIT_STEP }; /* asked for before it is needed; measured */

static Val load(Codegen *cg, LLVMTypeRef scalar, Val p)
{
    Val v = LLVMBuildLoad2(cg->b, LLVMVectorType(scalar, CG_LANES), p, "");
    LLVMSetAlignment(v, CG_LANES);
    return v;
}

static Val offset(Codegen *cg, Val p, Val n, int64_t bytes)
{
    return cg_gep_bytes(cg, p, LLVMBuildNSWMul(cg->b, n, cg_i64(cg, bytes), ""));
}

static Val call(Codegen *cg, const char *name, LLVMTypeRef *types, size_t ntypes, Val *arg, unsigned n)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    Val fn = LLVMGetIntrinsicDeclaration(cg->mod, id, types, ntypes);
    return LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, types, ntypes), fn, arg, n, "");
}

static Val splat_f32(Codegen *cg, double x)
{
    return cg_splat(cg, LLVMConstReal(cg->f32, x), CG_LANES);
}

static Val splat_i32(Codegen *cg, int x)
{
    return cg_splat(cg, LLVMConstInt(cg->i32, (unsigned)x, false), CG_LANES);
}

/* ---- tables ---- */

static Val constant_levels(Codegen *cg, const LowBit *w, int count)
{
    Val level[256];
    for (int i = 0; i < count; i++)
        level[i] = LLVMConstReal(cg->f32, w->level[i % (1 << w->bits)]);
    return count == CG_LANES ? LLVMConstVector(level, CG_LANES) : LLVMConstArray2(cg->f32, level, (uint64_t)count);
}

/* The table in memory; equal ones become one when the module is optimised. */
static Val gathered(Codegen *cg, const LowBit *w, Val code)
{
    Val init = constant_levels(cg, w, 256), table = LLVMAddGlobal(cg->mod, LLVMTypeOf(init), "levels"), one[CG_LANES];
    LLVMSetInitializer(table, init);
    LLVMSetGlobalConstant(table, true);
    LLVMSetLinkage(table, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(table, LLVMGlobalUnnamedAddr);
    for (int i = 0; i < CG_LANES; i++)
        one[i] = LLVMConstInt(cg->i1, 1, false);
    LLVMTypeRef vec = LLVMVectorType(cg->f32, CG_LANES), types[] = { vec, LLVMVectorType(cg->ptr, CG_LANES) };
    Val at = LLVMBuildGEP2(cg->b, cg->f32, table, &code, 1, "");
    Val arg[] = { at, LLVMConstInt(cg->i32, sizeof(float), false), LLVMConstVector(one, CG_LANES), LLVMConstNull(vec) };
    return call(cg, "llvm.masked.gather", types, 2, arg, 4);
}

/* The permutation looks at the lowest four bits of each index only. */
static Val permuted(Codegen *cg, const LowBit *w, Val bits)
{
    return call(cg, "llvm.x86.avx512.permvar.sf.512", NULL, 0, (Val[]){ constant_levels(cg, w, CG_LANES), bits }, 2);
}

/* ---- one step ---- */

static Val byte_number(Codegen *cg, const LowBit *w, Val p)
{
    bool is_signed = dtype_is_signed(w->q->dtype);
    LLVMTypeRef ints = LLVMVectorType(cg->i32, CG_LANES), floats = LLVMVectorType(cg->f32, CG_LANES);
    Val code = load(cg, cg->i8, p);
    code = is_signed ? LLVMBuildSExt(cg->b, code, ints, "") : LLVMBuildZExt(cg->b, code, ints, "");
    if (w->table)
        return gathered(cg, w, code);
    return is_signed ? LLVMBuildSIToFP(cg->b, code, floats, "") : LLVMBuildUIToFP(cg->b, code, floats, "");
}

static Val word_number(Codegen *cg, const LowBit *w, Val words, int j)
{
    Val bits = j ? LLVMBuildLShr(cg->b, words, splat_i32(cg, j * w->bits), "") : words;
    if (w->table && target_has(&cg->target, "avx512f"))
        return permuted(cg, w, bits);
    Val code = LLVMBuildAnd(cg->b, bits, splat_i32(cg, (1 << w->bits) - 1), "");
    return w->table ? gathered(cg, w, code) : LLVMBuildSIToFP(cg->b, code, LLVMVectorType(cg->f32, CG_LANES), "");
}

/* Number j of the step at p; words: its 64 bytes, loaded, where codes are smaller than bytes. */
static Val step_number(Codegen *cg, const LowBit *w, Val p, Val words, int j)
{
    return w->bits == 8 ? byte_number(cg, w, cg_gep_bytes(cg, p, cg_i64(cg, j * CG_LANES))) : word_number(cg, w, words, j);
}

static Val step_words(Codegen *cg, const LowBit *w, Val p)
{
    return w->bits == 8 ? NULL : load(cg, cg->i32, p);
}

/* ---- scales and zero points of a block ---- */

static Val block_scale(Codegen *cg, const LowBit *w, Val block)
{
    Elements e = { block, w->scale_type };
    return elements_load(cg, &e, cg_i64(cg, 0), CG_LANES, NULL);
}

/* What is taken away from every number before it is scaled, or NULL. */
static Val block_zero(Codegen *cg, const LowBit *w, Val block)
{
    if (!w->zero)
        return w->shared_zero ? splat_f32(cg, w->shared_zero) : NULL;
    Val p = cg_gep_bytes(cg, block, cg_i64(cg, CG_LANES * dtype_bytes(w->scale_type))), z;
    Elements e = { p, w->zero_type };
    z = w->zero_type == DT_u8 ? LLVMBuildUIToFP(cg->b, load(cg, cg->i8, p), LLVMVectorType(cg->f32, CG_LANES), "")
                              : elements_load(cg, &e, cg_i64(cg, 0), CG_LANES, NULL);
    return w->shared_zero ? LLVMBuildFAdd(cg->b, z, splat_f32(cg, w->shared_zero), "") : z;
}

/* ---- the blocks of a run of k ---- */

/* do_block(ctx, number of the block, elements in it) for all blocks of a tap. */
static void each_block(Codegen *cg, const LowBit *w, void (*do_block)(void *ctx, Val block, int64_t length), void *ctx)
{
    int64_t whole = w->k / w->block, left = w->k % w->block;
    if (whole) {
        Loop l = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, whole), 1, "block");
        do_block(ctx, l.index, w->block);
        loop_end(cg, &l);
    }
    if (left)
        do_block(ctx, cg_i64(cg, whole), left);
}

/* do_step(ctx, number of the step, elements in it) for all steps of a block. */
static void each_step(Codegen *cg, const LowBit *w, int64_t length, void (*do_step)(void *ctx, Val step, int count), void *ctx)
{
    int per = low_bit_per_step(w);
    if (length >= per) {
        Loop l = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, length / per), 1, "step");
        do_step(ctx, l.index, per);
        loop_end(cg, &l);
    }
    if (length % per)
        do_step(ctx, cg_i64(cg, length / per), (int)(length % per));
}

/* ---- multiplied at once ---- */

typedef struct Sum {
    Tile *t;
    const LowBit *w;
    Val x[LOW_BIT_DIRECT];          /* offset of each row */
    int chains;                     /* sums that take turns, so that one need not wait for itself */
    Val part[2][MAX_TILE];          /* variables: x times code, summed over the block */
    Val xs[LOW_BIT_DIRECT];         /* the sum of x alone, where there are zero points */
    Val block[8], k;                /* address of each panel's block, its first k */
} Sum;

static void sum_step(void *ctx, Val step, int count)
{
    Sum *s = ctx;
    Tile *t = s->t;
    Codegen *cg = t->c->g->cg;
    Val p[8], words[8];
    for (int i = 0; i < t->panels; i++) {
        p[i] = offset(cg, cg_gep_bytes(cg, s->block[i], cg_i64(cg, s->w->header_bytes)), step, LOW_BIT_STEP);
        words[i] = step_words(cg, s->w, p[i]);
        cg_prefetch(cg, cg_gep_bytes(cg, p[i], cg_i64(cg, AHEAD)), true);
    }
    Val k = LLVMBuildNSWAdd(cg->b, s->k, LLVMBuildNSWMul(cg->b, step, cg_i64(cg, low_bit_per_step(s->w)), ""), "");
    for (int j = 0; j < count; j++) {
        Val x[LOW_BIT_DIRECT], at = LLVMBuildNSWAdd(cg->b, k, cg_i64(cg, j), "");
        for (int r = 0; r < t->rows; r++) {
            Val one = elements_load(cg, &t->c->a, LLVMBuildNSWAdd(cg->b, s->x[r], at, ""), 1, NULL);
            if (s->xs[r])
                cg_set(cg, s->xs[r], LLVMBuildFAdd(cg->b, cg_get(cg, s->xs[r]), one, ""));
            x[r] = cg_splat(cg, one, CG_LANES);
        }
        for (int i = 0; i < t->panels; i++) {
            Val number = step_number(cg, s->w, p[i], words[i], j);
            for (int r = 0; r < t->rows; r++) {
                Val part = s->part[j % s->chains][r * t->panels + i];
                cg_set(cg, part, cg_fma(cg, x[r], number, cg_get(cg, part)));
            }
        }
    }
}

/* The sum over a block, without the zero points, times its scale. */
static void sum_block(void *ctx, Val block, int64_t length)
{
    Sum *s = ctx;
    Tile *t = s->t;
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    bool zeros = s->w->zero || s->w->shared_zero;
    for (int i = 0; i < s->chains * t->rows * t->panels; i++)
        s->part[i % s->chains][i / s->chains] = cg_variable(cg, LLVMConstNull(LLVMVectorType(cg->f32, CG_LANES)));
    for (int r = 0; r < t->rows; r++)
        s->xs[r] = zeros ? cg_variable(cg, LLVMConstNull(cg->f32)) : NULL;
    for (int i = 0; i < t->panels; i++) {
        Val panel = LLVMBuildNSWAdd(cg->b, t->b_start, LLVMBuildNSWMul(cg->b, cg_i64(cg, i), c->panel_step, ""), "");
        s->block[i] = offset(cg, cg_gep_bytes(cg, c->b.ptr, panel), block, s->w->block_bytes);
    }
    s->k = LLVMBuildNSWMul(cg->b, block, cg_i64(cg, s->w->block), "");
    each_step(cg, s->w, length, sum_step, s);
    for (int i = 0; i < t->panels; i++) {
        Val scale = block_scale(cg, s->w, s->block[i]), zero = block_zero(cg, s->w, s->block[i]);
        for (int r = 0; r < t->rows; r++) {
            Val sum = cg_get(cg, s->part[0][r * t->panels + i]), acc = t->acc[r * t->panels + i];
            if (s->chains == 2)
                sum = LLVMBuildFAdd(cg->b, sum, cg_get(cg, s->part[1][r * t->panels + i]), "");
            if (zero)
                sum = cg_fma(cg, LLVMBuildFNeg(cg->b, zero, ""), cg_splat(cg, cg_get(cg, s->xs[r]), CG_LANES), sum);
            cg_set(cg, acc, cg_fma(cg, scale, sum, cg_get(cg, acc)));
        }
    }
}

void low_bit_sum(Contract *c, Tile *t)
{
    Codegen *cg = c->g->cg;
    Sum s = { .t = t, .w = low_bit_of(c->g), .chains = t->rows * t->panels < 4 ? 2 : 1 };
    for (int r = 0; r < t->rows; r++) {
        Val row = LLVMBuildNSWAdd(cg->b, t->row, cg_i64(cg, r), "");
        s.x[r] = LLVMBuildNSWAdd(cg->b, t->a_start, LLVMBuildNSWMul(cg->b, row, c->row_step, ""), "");
    }
    each_block(cg, s.w, sum_block, &s);
}

/* ---- written out ---- */

typedef struct Unpack {
    Codegen *cg;
    const LowBit *w;
    const LowBitPiece *piece;
    Val scale[LOW_BIT_PANELS], shift[LOW_BIT_PANELS];   /* number * scale + shift; shift NULL: 0 */
} Unpack;

/* LOW_BIT_ONCE k of one panel; to: address of the first. */
static void unpack_panel(const Unpack *u, int panel, Val codes, Val to)
{
    Codegen *cg = u->cg;
    int per = low_bit_per_step(u->w);
    const int64_t row = CG_LANES * (int64_t)sizeof(float);
    Val p = NULL, words = NULL;
    for (int j = 0; j < low_bit_once(u->w); j++) {
        if (j % per == 0) {
            p = cg_gep_bytes(cg, codes, cg_i64(cg, j / per * LOW_BIT_STEP));
            words = step_words(cg, u->w, p);
            cg_prefetch(cg, cg_gep_bytes(cg, p, u->piece->ahead), false);
        }
        Val number = step_number(cg, u->w, p, words, j % per);
        number = u->shift[panel] ? cg_fma(cg, number, u->scale[panel], u->shift[panel]) : LLVMBuildFMul(cg->b, number, u->scale[panel], "");
        LLVMSetAlignment(LLVMBuildStore(cg->b, number, cg_gep_bytes(cg, to, cg_i64(cg, j * row))), (unsigned)row);
    }
}

/* All panels, from k on; codes: address in the first panel. left (i64): how many k the tile may read, if there is one. */
static void unpack_once(const Unpack *u, Val codes, Val k, Val left)
{
    Codegen *cg = u->cg;
    const LowBitPiece *piece = u->piece;
    Val at = LLVMBuildNSWSub(cg->b, k, piece->k0, "");
    Val to = offset(cg, piece->to, at, CG_LANES * (int64_t)sizeof(float));
    for (int i = 0; i < piece->panels; i++)
        unpack_panel(u, i, cg_gep_bytes(cg, codes, cg_i64(cg, i * u->w->panel_bytes)), cg_gep_bytes(cg, to, cg_i64(cg, i * piece->to_panel)));
    if (piece->t) {
        Val b = LLVMBuildNSWAdd(cg->b, piece->b, LLVMBuildNSWMul(cg->b, at, cg_i64(cg, CG_LANES), ""), "");
        tile_accumulate(piece->t, LLVMBuildNSWAdd(cg->b, piece->a, k, ""), b, cg_smaller(cg, left, cg_i64(cg, low_bit_once(u->w))));
    }
}

static void open_block(Unpack *u, Val block)
{
    Codegen *cg = u->cg;
    for (int i = 0; i < u->piece->panels; i++) {
        Val panel = cg_gep_bytes(cg, block, cg_i64(cg, i * u->w->panel_bytes)), zero = block_zero(cg, u->w, panel);
        u->scale[i] = block_scale(cg, u->w, panel);
        u->shift[i] = zero ? LLVMBuildFNeg(cg->b, LLVMBuildFMul(cg->b, zero, u->scale[i], ""), "") : NULL;
    }
}

static Val divided_up(Codegen *cg, Val x, int64_t by)
{
    return LLVMBuildUDiv(cg->b, LLVMBuildNSWAdd(cg->b, x, cg_i64(cg, by - 1), ""), cg_i64(cg, by), "");
}

void low_bit_unpack(Codegen *cg, const LowBit *w, const LowBitPiece *piece)
{
    Unpack u = { .cg = cg, .w = w, .piece = piece };
    int64_t once = low_bit_once(w), bytes = once / low_bit_per_step(w) * LOW_BIT_STEP;
    Loop b = loop_begin(cg, LLVMBuildUDiv(cg->b, piece->k0, cg_i64(cg, w->block), ""), divided_up(cg, piece->k1, w->block), 1, "block");
    Val block = offset(cg, piece->tap, b.index, w->block_bytes), first = LLVMBuildNSWMul(cg->b, b.index, cg_i64(cg, w->block), "");
    Val from = cg_larger(cg, LLVMBuildNSWSub(cg->b, piece->k0, first, ""), cg_i64(cg, 0));
    Val until = cg_smaller(cg, LLVMBuildNSWSub(cg->b, piece->k1, first, ""), cg_i64(cg, w->block));
    open_block(&u, block);
    Loop s = loop_begin(cg, LLVMBuildUDiv(cg->b, from, cg_i64(cg, once), ""), divided_up(cg, until, once), 1, "codes");
    Val within = LLVMBuildNSWMul(cg->b, s.index, cg_i64(cg, once), ""), codes = cg_gep_bytes(cg, block, cg_i64(cg, w->header_bytes));
    unpack_once(&u, offset(cg, codes, s.index, bytes), LLVMBuildNSWAdd(cg->b, first, within, ""), LLVMBuildNSWSub(cg->b, until, within, ""));
    loop_end(cg, &s);
    loop_end(cg, &b);
}

LLVMValueRef low_bit_data(const Group *g)
{
    return g->ptr[group_operand(g, node_in(g->weights, 0))];
}
