/* tile.c -- the register-tiled inner product that convolution and matmul share, see gen.h.
 *
 *              panel 0   panel 1            a tile keeps rows x panels accumulators of 16 lanes in registers;
 *     row 0  [ 16 lanes | 16 lanes ]        for each k it loads one vector per panel, broadcasts one element
 *     row 1  [          |          ]        of a per row, and multiplies and adds
 *      ...
 *
 * Sizes that do not divide are cut into smaller tiles (never overlapped: a result may be written over an operand it is computed from);
 * columns that do not fill a panel are masked.
 */
#include "bf16.h"
#include "choice.h"
#include "conv_pads.h"
#include "int8.h"

#include <string.h>

/* ---- choosing ---- */

/* Registers that one 16-lane vector takes. */
static int registers_per_panel(const TargetInfo *t, DType type)
{
    int bytes = CG_LANES * dtype_bytes(type), vector = t->vector_bytes > 0 ? t->vector_bytes : 16;
    return (bytes + vector - 1) / vector;
}

/* Cycles of one step of k: two multiply-adds and two loads per cycle, b from the second-level cache, and a chain of multiply-adds behind every sum,
 * never in perfect order: 8 or 10 chains lose more than 12 (measured).
 * Every row is read as a stream of its own; the hardware prefetchers follow some 10 of them (measured: 14 rows are 2 % slower on whole networks). */
static double step_cycles(double rows, double panels, double registers)
{
    const double l2_bytes = 28, latency = 4, loop = 0.5, chains = 12, disorder = 0.25, streams = 10, beyond = 0.1;
    double sums = rows * panels * registers, fma = sums / 2, loads = (panels * registers + rows) / 2, b = 4 * CG_LANES * panels / l2_bytes;
    double most = fma > loads ? fma : loads;
    most = most > b ? most : b;
    return (most > latency ? most : latency) + loop + (sums < chains ? disorder : 0) + (rows > streams ? beyond * (rows - streams) : 0);
}

/* Cycles per useful multiply-add of a panel: rows that fill no tile cost nearly as much as full ones. */
static double tile_cost(int64_t rows, TileShape s, int registers)
{
    int64_t full = rows / s.rows, left = rows % s.rows;
    double cycles = (double)full * step_cycles(s.rows, s.panels, registers) + (left ? step_cycles((double)left, s.panels, registers) : 0);
    return cycles / (double)(rows * s.panels);
}

typedef struct Shapes {             /* candidates, the cheapest first */
    int n;
    struct { TileShape shape; double cost; } item[CHOICE_MAX];
} Shapes;

static void shapes_add(Shapes *s, TileShape shape, double cost)
{
    int i = s->n < CHOICE_MAX ? s->n++ : CHOICE_MAX - 1;
    if (i == CHOICE_MAX - 1 && s->item[i].cost && s->item[i].cost <= cost)
        return;
    for (; i > 0; i--) {
        double before = s->item[i - 1].cost;
        int area = s->item[i - 1].shape.rows * s->item[i - 1].shape.panels;
        if (before < cost - 1e-9 || (before < cost + 1e-9 && area >= shape.rows * shape.panels))
            break;
        s->item[i] = s->item[i - 1];
    }
    s->item[i].shape = shape;
    s->item[i].cost = cost;
}

static Shapes tile_shapes(const TargetInfo *t, DType type, int64_t rows, int64_t cols, int most_rows)
{
    int per = registers_per_panel(t, type), room = t->vector_registers > 0 ? t->vector_registers : 16;
    int64_t want = rows ? rows : TILE_ROWS, panels = cols ? panels_of(cols) : 2;
    int most = want == 1 ? 4 : 8;           /* one row waits for memory, which is read faster in fewer streams */
    Shapes s = { .n = 0 };
    for (int p = 1; p <= most && p <= panels; p++)
        for (int r = 1; r <= most_rows && r <= want && r * p <= MAX_TILE; r++) {
            if ((r * p + p) * per + 1 > room && r * p > 1)
                continue;
            double waste = cols ? (double)((panels + p - 1) / p * p) / (double)panels : 1;
            shapes_add(&s, (TileShape){ r, p }, tile_cost(want, (TileShape){ r, p }, per) * waste);
        }
    return s;
}

double tile_least_cost(const Group *g, DType type, int64_t rows, int64_t cols, int most)
{
    return tile_shapes(&g->cg->target, type, rows, cols, most).item[0].cost;
}

TileShape tile_choose(const Group *g, DType type, int64_t rows, int64_t cols, int most)
{
    enum { TRIED = 8 };                     /* when tuning */
    static const double worth_trying = 1.5; /* times the least cost */
    Codegen *cg = g->cg;
    Shapes s = tile_shapes(&cg->target, type, rows, cols, most);
    if (!cg->m->choices)
        return s.item[0].shape;
    const char *text[TRIED];
    int n = 0;
    for (; n < s.n && n < TRIED && s.item[n].cost < worth_trying * s.item[0].cost; n++)
        text[n] = arena_printf(cg->arena, "%dx%d", s.item[n].shape.rows, s.item[n].shape.panels);
    return s.item[choice_make(cg->m->choices, choice_key(cg->m, cg->arena, "tile", g->owner), n, text)].shape;
}

static LLVMValueRef element_offset(Codegen *cg, LLVMValueRef base, LLVMValueRef n, LLVMValueRef step)
{
    return LLVMBuildNSWAdd(cg->b, base, LLVMBuildNSWMul(cg->b, n, step, ""), "");
}

DType contract_type(const Group *g)
{
    return formula_compute_type(node_out(g->anchor)->type.dtype);
}

bool contract_of_bytes(const Group *g)
{
    return node_in(g->anchor, 0)->type.dtype == DT_u8;
}

bool contract_of_pairs(const Group *g)
{
    bool pairs = node_in(g->anchor, 0)->type.dtype == DT_bf16 && node_in(g->anchor, 1)->type.dtype == DT_bf16;
    return pairs && !(g->anchor->op == OP_conv && conv_is_one_per_channel(g->anchor));
}

LLVMValueRef contract_operand(Group *g, LLVMValueRef v, DType from, int lanes)
{
    DType to = contract_type(g);
    if (formula_compute_type(from) == to)
        return v;
    LLVMTypeRef type = cg_compute_type(g->cg, to, lanes);
    return dtype_is_signed(from) ? LLVMBuildSExt(g->cg->b, v, type, "") : LLVMBuildZExt(g->cg->b, v, type, "");
}

/* ---- asking for weights ahead ---- */

void cg_prefetch(Codegen *cg, LLVMValueRef address, bool first_level)
{
    enum { READ = 0, DATA = 1 };
    unsigned id = LLVMLookupIntrinsicID("llvm.prefetch", strlen("llvm.prefetch"));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(cg->mod, id, &cg->ptr, 1), near = LLVMConstInt(cg->i32, first_level ? 3 : 2, false);
    LLVMValueRef arg[] = { address, LLVMConstInt(cg->i32, READ, false), near, LLVMConstInt(cg->i32, DATA, false) };
    LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, &cg->ptr, 1), fn, arg, 4, "");
}

enum { AHEAD = 64, NEXT_PANELS = 512 << 10 };       /* cache lines, measured; bytes that the second-level cache holds besides those in use */

/* Whether this tile asks for the next panels, or for its own a little ahead. */
static bool together(const Tile *t)
{
    const Contract *c = t->c;
    return t->number && c->row_tiles && c->panel_rows && t->panels * c->panel_rows * CG_LANES * dtype_bytes(c->b.type) <= NEXT_PANELS;
}

bool contract_weights_are_large(const Contract *c)
{
    enum { LARGE = 256 << 10 };
    const Type *w = &node_in(c->g->anchor, 1)->type;
    return type_is_static(w) && type_count(w) * dtype_bytes(w->dtype) >= LARGE;
}

/* Steps of k for each line that this tile asks for, as a power of two: fewer of the next panels, which other tiles ask for too. */
static int steps_per_line(const Tile *t)
{
    int shift = 0;
    while (together(t) && t->c->row_tiles >> (shift + 1))
        shift++;
    return shift;
}

/* Weights stream through once, from memory if the model is larger than the caches. Several row tiles read the same panels, the first of them from there:
 * so that it does not wait while the others leave the memory idle, all of them together ask for the next panels, evenly. Where the number of tiles
 * is not known, or the panels are too large, each asks for its own a little ahead. pos: k within the panel. Returns elements from the tile's own panel. */
static LLVMValueRef prefetch_offset(const Tile *t, LLVMValueRef pos)
{
    const Contract *c = t->c;
    Codegen *cg = c->g->cg;
    LLVMValueRef lanes = cg_i64(cg, CG_LANES);
    if (!together(t))
        return LLVMBuildMul(cg->b, LLVMBuildAdd(cg->b, pos, cg_i64(cg, AHEAD), ""), lanes, "");
    LLVMValueRef done = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, t->number, cg_i64(cg, c->panel_rows), ""), pos, "");
    LLVMValueRef line = LLVMBuildLShr(cg->b, done, cg_i64(cg, steps_per_line(t)), "");
    return LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, line, lanes, ""), LLVMBuildMul(cg->b, c->panel_step, cg_i64(cg, t->panels), ""), "");
}

static void prefetch_panels(const Tile *t, LLVMValueRef b_offset, LLVMValueRef k)
{
    const Contract *c = t->c;
    Codegen *cg = c->g->cg;
    LLVMValueRef pos = LLVMBuildAdd(cg->b, LLVMBuildUDiv(cg->b, b_offset, cg_i64(cg, CG_LANES), ""), k, "");
    LLVMValueRef at = LLVMBuildNSWAdd(cg->b, t->b_start, prefetch_offset(t, pos), "");
    for (int p = 0; p < t->panels; p++)
        cg_prefetch(cg, cg_gep(cg, c->b.ptr, c->b.type, element_offset(cg, at, cg_i64(cg, p), c->panel_step)), !together(t));
}

/* ---- the inner loop ---- */

/* Row r of the tile, or the last that there is. */
static LLVMValueRef there_or_last(const Tile *t, int r)
{
    Codegen *cg = t->c->g->cg;
    LLVMValueRef n = cg_i64(cg, r);
    if (!t->live || r < CERTAIN_ROWS)
        return n;
    LLVMValueRef last = LLVMBuildSub(cg->b, t->live, cg_i64(cg, 1), "");
    return LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntSLT, n, last, ""), n, last, "");
}

/* Elements of a before row r of the tile, and a_offset more. */
static LLVMValueRef row_start(const Tile *t, int r, LLVMValueRef a_offset)
{
    const Contract *c = t->c;
    Codegen *cg = c->g->cg;
    if (!c->row_offset)
        return element_offset(cg, LLVMBuildNSWAdd(cg->b, element_offset(cg, t->a_start, t->row, c->row_step), a_offset, ""), there_or_last(t, r), c->row_step);
    LLVMValueRef from = LLVMBuildNSWAdd(cg->b, t->a_start, a_offset, ""), row = LLVMBuildNSWAdd(cg->b, t->row, there_or_last(t, r), "");
    return LLVMBuildNSWAdd(cg->b, from, c->row_offset(t->c, row), "");
}

/* One k, `ahead` of the loop's, of every row and panel. row: where the rows of a start; b0: elements of b before the run. What is ahead is added to the
 * address, not to k: LLVM would compute such numbers for several rows in one vector. */
static void tile_step(Tile *t, const LLVMValueRef *row, LLVMValueRef b0, LLVMValueRef k, int ahead)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    DType type = contract_type(c->g);
    Elements from = { cg_gep(cg, c->a.ptr, c->a.type, cg_i64(cg, ahead)), c->a.type };
    LLVMValueRef b[8];
    for (int p = 0; p < t->panels; p++) {
        LLVMValueRef at = element_offset(cg, element_offset(cg, b0, cg_i64(cg, p), c->panel_step), LLVMBuildNSWAdd(cg->b, k, cg_i64(cg, ahead), ""), c->k_step);
        b[p] = contract_operand(c->g, elements_load(cg, &c->b, at, CG_LANES, c->packed ? NULL : t->mask[p]), c->b.type, CG_LANES);
    }
    for (int r = 0; r < t->rows; r++) {
        LLVMValueRef at = LLVMBuildNSWAdd(cg->b, row[r], k, "");
        LLVMValueRef a = cg_splat(cg, contract_operand(c->g, elements_load(cg, &from, at, 1, NULL), c->a.type, 1), CG_LANES);
        for (int p = 0; p < t->panels; p++) {
            LLVMValueRef acc = t->acc[r * t->panels + p];
            LLVMValueRef sum = dtype_is_float(type) ? cg_fma(cg, a, b[p], cg_get(cg, acc))
                                                    : LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, a, b[p], ""), cg_get(cg, acc), "");
            cg_set(cg, acc, sum);
        }
    }
}

/* Steps for each test of the loop's end. Branch predictors know the end of a loop of some 64 turns, but not of one of hundreds (measured with 16 registers:
 * 2 % of a product with 256 k; with 32 LLVM loads ahead of several steps until it has to spill sums). Only where much is computed: elsewhere small code
 * counts for more. */
static int steps_at_once(const Tile *t, LLVMValueRef length)
{
    enum { STEPS = 4, LONG = 64, GUESS = 256, FEW_REGISTERS = 16 };     /* GUESS: rows that only the run knows */
    static const double much = 1 << 22;             /* multiply-adds */
    const Contract *c = t->c;
    if (c->g->cg->target.vector_registers > FEW_REGISTERS || !LLVMIsAConstantInt(length) || t->rows < c->shape.rows || !dim_is_const(c->cols))
        return 1;
    double n = (double)LLVMConstIntGetSExtValue(length), rows = dim_is_const(c->rows) ? (double)c->rows->k : GUESS;
    return n >= LONG && (int64_t)n % STEPS == 0 && rows * (double)c->cols->k * n >= much ? STEPS : 1;
}

void tile_accumulate(Tile *t, LLVMValueRef a_offset, LLVMValueRef b_offset, LLVMValueRef length)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    if (c->packed && contract_of_bytes(c->g)) {
        tile_accumulate_int8(t, a_offset, b_offset, LLVMConstIntGetSExtValue(length));
        return;
    }
    if (c->packed && contract_of_pairs(c->g)) {
        tile_accumulate_bf16(t, a_offset, b_offset, LLVMConstIntGetSExtValue(length));
        return;
    }
    LLVMValueRef b0 = LLVMBuildNSWAdd(cg->b, t->b_start, b_offset, ""), row[MAX_TILE];
    for (int r = 0; r < t->rows; r++)
        row[r] = row_start(t, r, a_offset);
    int steps = steps_at_once(t, length);
    bool asks = c->packed && !c->near;
    Loop k = loop_begin(cg, cg_i64(cg, 0), length, steps, "k");
    for (int s = 0; s < steps; s++) {
        if (asks && s % (1 << steps_per_line(t)) == 0)  /* before the loads: between them it keeps LLVM from holding the sums in registers */
            prefetch_panels(t, b_offset, LLVMBuildNSWAdd(cg->b, k.index, cg_i64(cg, s), ""));
        tile_step(t, row, b0, k.index, s);
    }
    loop_end(cg, &k);
}

/* ---- from accumulators to the result ---- */

Dim contract_band(const Contract *c, Dim all, int64_t a_bytes, int64_t b_bytes, Dim groups)
{
    enum { BAND = 256 << 10, NO_BAND = 512 << 10 };
    if (a_bytes <= NO_BAND || !b_bytes || !dim_is_const(all) || !dim_is_const(groups))
        return all;
    int64_t bands = (a_bytes + BAND - 1) / BAND;
    if (bands * b_bytes * 8 > a_bytes * groups->k)      /* every band reads b again, from further away */
        return all;
    return dim_const(c->g->cg->m->dims, (all->k + bands - 1) / bands);
}

void contract_open(Contract *c)
{
    Group *g = c->g;
    DimTable *dims = g->cg->m->dims;
    c->space = group_space(g, g->result);
    bool one = c->space.rank == 1 && c->space.dim[0] == dim_mul(dims, c->rows, c->cols);
    bool two = c->space.rank == 2 && c->space.dim[0] == c->rows && c->space.dim[1] == c->cols;
    c->merged = one || two;
    g->space = c->merged ? &c->space : NULL;
}

static Index result_index(Contract *c, LLVMValueRef row, LLVMValueRef col)
{
    Codegen *cg = c->g->cg;
    const Type *t = &c->g->result->type;
    Index at = index_new(c->g, c->merged ? c->space.rank : t->rank);
    if (c->merged && c->space.rank == 1) {
        at.v[0] = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, row, group_dim(c->g, c->cols), ""), col, "");
    } else if (c->merged) {
        at.v[0] = row;
        at.v[1] = col;
    } else {
        split_index(c->g, row, t->rank - 1, t->dim, at.v);
        at.v[t->rank - 1] = col;
    }
    at.lane[at.rank - 1] = 1;
    return at;
}

static void tile_start(Tile *t)
{
    Contract *c = t->c;
    Codegen *cg = c->g->cg;
    for (int p = 0; p < t->panels; p++) {
        LLVMValueRef init = LLVMConstNull(cg_compute_type(cg, contract_type(c->g), CG_LANES));
        if (c->bias >= 0) {
            LLVMValueRef col = LLVMBuildAdd(cg->b, t->col, cg_i64(cg, p * CG_LANES), "");
            init = operand_load(c->g, c->bias, col, CG_LANES, t->mask[p]);
        }
        for (int r = 0; r < t->rows; r++)
            t->acc[r * t->panels + p] = cg_variable(cg, init);
    }
}

LLVMValueRef contract_value(Contract *c, LLVMValueRef sum, LLVMValueRef row, LLVMValueRef col, LLVMValueRef mask)
{
    Index at = result_index(c, row, col);
    return group_epilogue_masked(c->g, sum, &at, CG_LANES, mask);
}

void contract_store(Contract *c, LLVMValueRef sum, LLVMValueRef row, LLVMValueRef col, LLVMValueRef mask)
{
    Codegen *cg = c->g->cg;
    LLVMValueRef v = contract_value(c, sum, row, col, mask);
    LLVMValueRef apart = group_dim(c->g, c->g->row ? c->g->row : c->cols);
    LLVMValueRef offset = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, row, apart, ""), col, "");
    group_store(c->g, v, offset, CG_LANES, mask);
}

static void store_row(Contract *c, const Tile *t, int r)
{
    Codegen *cg = c->g->cg;
    LLVMValueRef row = LLVMBuildNSWAdd(cg->b, t->flat_row, cg_i64(cg, r), "");
    for (int p = 0; p < t->panels; p++) {
        LLVMValueRef col = LLVMBuildNSWAdd(cg->b, t->col, cg_i64(cg, p * CG_LANES), "");
        contract_store(c, cg_get(cg, t->acc[r * t->panels + p]), row, col, t->mask[p]);
    }
}

static void tile_store(Contract *c, const Tile *t)
{
    Codegen *cg = c->g->cg;
    for (int r = 0; r < t->rows; r++) {
        if (!t->live || r < CERTAIN_ROWS) {
            store_row(c, t, r);
            continue;
        }
        Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSLT, cg_i64(cg, r), t->live, ""));
        store_row(c, t, r);
        branch_else(cg, &b);
        branch_end(cg, &b);
    }
}

/* ---- sums in blocks of k ---- */

static LLVMValueRef partial_at(const Tile *t, int r, int p)
{
    const Contract *c = t->c;
    Codegen *cg = c->g->cg;
    LLVMValueRef row = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWSub(cg->b, t->flat_row, c->partial->row, ""), cg_i64(cg, r), "");
    return element_offset(cg, cg_i64(cg, p * CG_LANES), row, cg_i64(cg, c->shape.panels * CG_LANES));
}

static void partial_resume(const Tile *t)
{
    const Contract *c = t->c;
    Codegen *cg = c->g->cg;
    Branch b = branch_begin(cg, LLVMBuildNot(cg->b, c->partial->first, ""));
    for (int i = 0; i < t->rows * t->panels; i++)
        cg_set(cg, t->acc[i], elements_load(cg, &c->partial->sums, partial_at(t, i / t->panels, i % t->panels), CG_LANES, NULL));
    branch_else(cg, &b);
    branch_end(cg, &b);
}

static void partial_keep(const Tile *t)
{
    for (int i = 0; i < t->rows * t->panels; i++)
        elements_store(t->c->g->cg, &t->c->partial->sums, cg_get(t->c->g->cg, t->acc[i]), partial_at(t, i / t->panels, i % t->panels), CG_LANES, NULL);
}

/* ---- tiles ---- */

static void tile_finish(Contract *c, const Tile *t)
{
    Codegen *cg = c->g->cg;
    Branch b = { NULL, NULL };
    if (c->partial) {
        b = branch_begin(cg, LLVMBuildNot(cg->b, c->partial->last, ""));
        partial_keep(t);
        branch_else(cg, &b);
    }
    (c->store ? c->store : tile_store)(c, t);
    if (c->partial)
        branch_end(cg, &b);
}

static void tile_emit(Contract *c, Tile at, int rows)
{
    at.rows = rows;
    at.c = c;
    tile_start(&at);
    if (c->partial)
        partial_resume(&at);
    c->sum(c, &at);
    tile_finish(c, &at);
}

/* Tiles of `rows` rows from at.row on while they fit; returns the row reached. */
static LLVMValueRef tiles_while_fit(Contract *c, Tile at, LLVMValueRef row_end, int rows)
{
    Codegen *cg = c->g->cg;
    LLVMValueRef left = LLVMBuildSub(cg->b, row_end, at.row, "");
    LLVMValueRef whole = LLVMBuildMul(cg->b, LLVMBuildSDiv(cg->b, left, cg_i64(cg, rows), ""), cg_i64(cg, rows), "");
    LLVMValueRef stop = LLVMBuildAdd(cg->b, at.row, whole, ""), ahead = LLVMBuildSub(cg->b, at.flat_row, at.row, "");
    Loop l = loop_begin(cg, at.row, stop, rows, "tile");
    at.row = l.index;
    at.flat_row = LLVMBuildAdd(cg->b, ahead, l.index, "");
    tile_emit(c, at, rows);
    loop_end(cg, &l);
    return stop;
}

/* Fewer rows than a tile has, how many the run knows. Many: one tile that repeats its last row, so that the weights pass by once. Few: 4 at a time, then one
 * tile of what is left, which takes no longer than 4 rows do. */
static void rows_left(Contract *c, Tile at, LLVMValueRef row_end)
{
    Codegen *cg = c->g->cg;
    int rows = c->shape.rows;
    bool repeats = rows > CERTAIN_ROWS && !c->store && !contract_of_bytes(c->g) && !contract_of_pairs(c->g);
    LLVMValueRef live = LLVMBuildSub(cg->b, row_end, at.row, ""), ahead = LLVMBuildSub(cg->b, at.flat_row, at.row, "");
    Branch b = { NULL, NULL };
    if (repeats) {
        b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSGE, live, cg_i64(cg, CERTAIN_ROWS), ""));
        Tile many = at;
        many.live = live;
        tile_emit(c, many, rows);
        branch_else(cg, &b);
    }
    for (int r = rows > 4 ? 4 : rows - 1; r >= 1; r--) {
        at.row = tiles_while_fit(c, at, row_end, r);
        at.flat_row = LLVMBuildAdd(cg->b, ahead, at.row, "");
    }
    if (repeats)
        branch_end(cg, &b);
}

void contract_block(Contract *c, Tile at, LLVMValueRef row_end)
{
    Codegen *cg = c->g->cg;
    int rows = c->shape.rows, left = c->run_rows ? (int)(c->run_rows % rows) : -1;
    LLVMValueRef full = LLVMBuildICmp(cg->b, LLVMIntSLE, LLVMBuildAdd(cg->b, at.row, cg_i64(cg, rows), ""), row_end, "");
    if (left == 0) {                                /* every tile is full */
        tile_emit(c, at, rows);
        return;
    }
    Branch b = branch_begin(cg, full);
    tile_emit(c, at, rows);
    branch_else(cg, &b);
    if (left > 0)                                   /* the remainder is known: one tile of its size */
        tile_emit(c, at, left);
    else
        rows_left(c, at, row_end);
    branch_end(cg, &b);
}
