/* gen_recurrent.c -- recurrent networks: the time loop, with the recurrent weights packed for the vector unit.
 *
 * The work of a step is cut twice: the hidden units into *blocks* of up to `vectors` x 16, the sequences of the batch into *tiles* of `rows`. A block of
 * a tile is one product of states with packed columns of R, accumulated in registers,
 *
 *     [ rows ] x [ gates of the stage ] x [ vectors ] x 16 lanes
 *
 * and then the cell on it, row by row (the formulas of recurrent.h). One internal function does any range of tiles and blocks of one *beat*:
 *
 *     void beat(ptr args, i64 number, i64 direction, i64 first tile, i64 last tile, i64 first block, i64 last block)
 *
 * Beat -1 loads the initial states; then each step has one beat per stage. All of a beat's pieces are independent of each other. Two kernels call it:
 *   - whole: units (direction, tile). Runs all beats. Every second step goes through the blocks backwards, so that the weights used last, still in the
 *     cache, are the first to be used again.
 *   - step: units (direction, block). Runs the one beat whose number stands at the head of the working memory: so that threads can share a step.
 *
 * Working memory: i64 beat number, at 64 bytes the states (cell_states), each [directions, batch, hidden rounded up to 16] of the compute type.
 * h is there twice: a step reads one and writes the other.
 */
#include <string.h>

#include "gen.h"
#include "recurrent.h"

enum { WX, R, LENGTHS, H0, C0, EXTRA };
enum { STATE_H, STATE_C = 2, STATE_Z = 2, STATE_RESET = 3, HEAD_BYTES = 64 };
enum { MAX_ROWS = 8, MAX_CHAINS = 8 };          /* chains of multiply-adds that keep the vector unit busy */

/* How the work is cut; what packing and code must agree about. */
typedef struct Cut {
    int rows, vectors;              /* of a tile, of a block */
    int64_t hidden, directions, lines;      /* lines: vectors that hold the hidden units */
    int64_t full;                   /* blocks of `vectors` whole vectors */
    int rest;                       /* vectors of the last block, which is smaller or masked; 0: there is none */
    int gates, nstage;
    CellStage stage[CELL_STAGES];
} Cut;

typedef struct Recurrent {
    Group *g;
    const Attr_recurrent *a;
    Cut cut;
    DType type;                     /* compute type */
    Dim steps, batch;
    bool packed;
    Formula formula[CELL_VALUES];
    LLVMTypeRef beat_type;
    LLVMValueRef beat;              /* the function */
    /* while it is emitted */
    LLVMValueRef memory, state[3];  /* working memory; results h, c at 1 and 2 */
    LLVMValueRef number, direction, position;       /* beat, direction, place in the sequence */
    LLVMValueRef now, next;         /* elements of working memory before h of this step, of the next */
} Recurrent;

/* ---- how the work is cut ---- */

static bool has_operand(const Group *g, int i)
{
    return i < g->noperand && g->operand[i];
}

/* Registers: rows x gates x vectors accumulators, one vector of R per gate and block vector, one broadcast state. */
static bool cut_fits(int room, int gates, int rows, int vectors)
{
    return (rows * gates + (rows > 1 ? gates : 0)) * vectors + 1 < room;
}

static Cut cut_of(const Group *g)
{
    const Attr_recurrent *a = NODE_ATTR(g->anchor, recurrent);
    const Type *r = &g->operand[R]->type;
    const TargetInfo *t = &g->cg->target;
    Dim batch = g->operand[WX]->type.dim[1];
    Cut c = { .rows = 1, .vectors = 1, .hidden = r->dim[1]->k, .directions = r->dim[0]->k, .gates = cell_find(a->cell)->gates };
    c.nstage = cell_stages(a, c.stage);
    c.lines = panels_of(c.hidden);
    int bytes = CG_LANES * dtype_bytes(formula_compute_type(r->dtype)), vector = t->vector_bytes > 0 ? t->vector_bytes : 16;
    int room = (t->vector_registers > 0 ? t->vector_registers : 16) / ((bytes + vector - 1) / vector), gates = c.stage[0].gates;
    int64_t most = !dim_is_const(batch) ? 4 : batch->k < MAX_ROWS ? batch->k : MAX_ROWS;
    while (c.rows < most && cut_fits(room, gates, c.rows + 1, 1))
        c.rows++;
    if (dim_is_const(batch) && c.rows > 1)          /* tiles of one size, where there is one */
        for (int n = c.rows; n > c.rows / 2; n--)
            if (batch->k % n == 0) {
                c.rows = n;
                break;
            }
    while (c.vectors < c.lines && (c.vectors + 1) * c.rows * gates <= MAX_CHAINS && cut_fits(room, gates, c.rows, c.vectors + 1))
        c.vectors++;
    c.full = c.hidden / (c.vectors * CG_LANES);
    c.rest = (int)(c.lines - c.full * c.vectors);
    return c;
}

static int64_t cut_blocks(const Cut *c)
{
    return c->full + (c->rest > 0);
}

/* ---- packed weights: [direction][stage][block][k][gate of the stage][vector][16] ---- */

/* param: vectors of a block, gates of the first stage. From [directions, hidden, gates * hidden]. */
static void write_recurrent(const WeightEntry *e, void *to)
{
    const Tensor *t = e->tensor;
    int64_t hidden = t->dim[1], wide = t->dim[2], gates = hidden ? wide / hidden : 0, block = e->param[0] * CG_LANES, size = dtype_bytes(t->dtype);
    char *p = to;
    memset(to, 0, e->bytes);
    for (int64_t d = 0; d < t->dim[0]; d++)
        for (int64_t g0 = 0, g1 = e->param[1]; g0 < gates; g0 = g1, g1 = gates)
            for (int64_t j0 = 0; j0 < hidden; j0 += block)
                for (int64_t k = 0; k < hidden; k++)
                    for (int64_t g = g0; g < g1; g++) {
                        int64_t live = hidden - j0 < block ? hidden - j0 : block;
                        const char *from = (const char *)t->data + (t->splat ? 0 : ((d * hidden + k) * wide + g * hidden + j0) * size);
                        for (int64_t i = 0; i < live; i++)
                            memcpy(p + i * size, from + (t->splat ? 0 : i * size), (size_t)size);
                        p += panels_of(live) * CG_LANES * size;
                    }
}

uint64_t recurrent_pack(const Group *g, const Tensor *t)
{
    Cut c = cut_of(g);
    uint64_t bytes = (uint64_t)(c.directions * c.hidden * c.gates * c.lines * CG_LANES * dtype_bytes(t->dtype));
    return weights_add(g->cg->weights, t, bytes, write_recurrent, (int64_t[4]){ c.vectors, c.stage[0].gates });
}

/* ---- arithmetic on indices ---- */

#define ADD(x, y) LLVMBuildNSWAdd(cg->b, x, y, "")
#define SUB(x, y) LLVMBuildNSWSub(cg->b, x, y, "")
#define MUL(x, y) LLVMBuildNSWMul(cg->b, x, y, "")
#define K(x) cg_i64(cg, x)

static LLVMValueRef batch_of(const Recurrent *r)
{
    return group_dim(r->g, r->batch);
}

/* Row of a state: direction * batch + row. */
static LLVMValueRef state_row(const Recurrent *r, LLVMValueRef row)
{
    Codegen *cg = r->g->cg;
    return ADD(MUL(r->direction, batch_of(r)), row);
}

/* Elements of working memory before state number `state`. */
static LLVMValueRef state_start(const Recurrent *r, LLVMValueRef state)
{
    Codegen *cg = r->g->cg;
    return MUL(MUL(state, batch_of(r)), K(r->cut.directions * r->cut.lines * CG_LANES));
}

static LLVMValueRef fixed_state(const Recurrent *r, int state)
{
    return state_start(r, cg_i64(r->g->cg, state));
}

static LLVMValueRef state_pointer(const Recurrent *r, LLVMValueRef start, LLVMValueRef row, LLVMValueRef col)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef at = ADD(start, ADD(MUL(state_row(r, row), K(r->cut.lines * CG_LANES)), col));
    return cg_gep(cg, cg_gep_bytes(cg, r->memory, K(HEAD_BYTES)), r->type, at);
}

static LLVMValueRef state_load(const Recurrent *r, LLVMValueRef start, LLVMValueRef row, LLVMValueRef col, int lanes)
{
    LLVMValueRef v = LLVMBuildLoad2(r->g->cg->b, cg_compute_type(r->g->cg, r->type, lanes), state_pointer(r, start, row, col), "");
    LLVMSetAlignment(v, (unsigned)dtype_bytes(r->type));
    return v;
}

static void state_store(const Recurrent *r, LLVMValueRef v, LLVMValueRef start, LLVMValueRef row, LLVMValueRef col)
{
    LLVMSetAlignment(LLVMBuildStore(r->g->cg->b, v, state_pointer(r, start, row, col)), (unsigned)dtype_bytes(r->type));
}

/* Result i (0 y, 1 h, 2 c) at an element. */
static void result_store(const Recurrent *r, int i, LLVMValueRef v, LLVMValueRef offset, LLVMValueRef mask)
{
    r->g->out = r->state[i];
    group_store(r->g, v, offset, CG_LANES, mask);
}

static LLVMValueRef last_result_offset(const Recurrent *r, LLVMValueRef row, LLVMValueRef col)
{
    Codegen *cg = r->g->cg;
    return ADD(MUL(state_row(r, row), K(r->cut.hidden)), col);
}

/* ---- beat -1: initial states ---- */

static void load_initial(const Recurrent *r, int operand, int result, int state, LLVMValueRef row, LLVMValueRef col, LLVMValueRef mask)
{
    LLVMValueRef offset = last_result_offset(r, row, col), v = LLVMConstNull(cg_compute_type(r->g->cg, r->type, CG_LANES));
    if (has_operand(r->g, operand))
        v = operand_load(r->g, operand, offset, CG_LANES, mask);
    state_store(r, v, fixed_state(r, state), row, col);
    result_store(r, result, v, offset, mask);
}

static void emit_initial(const Recurrent *r, LLVMValueRef row0, LLVMValueRef row1, LLVMValueRef block0, LLVMValueRef block1)
{
    Codegen *cg = r->g->cg;
    int64_t step = r->cut.vectors * CG_LANES;
    Loop row = loop_begin(cg, row0, row1, 1, "row");
    Loop col = loop_begin(cg, MUL(block0, K(step)), cg_smaller(cg, MUL(block1, K(step)), K(r->cut.hidden)), CG_LANES, "col");
    LLVMValueRef mask = r->cut.hidden % CG_LANES ? lane_mask(cg, SUB(K(r->cut.hidden), col.index)) : NULL;
    load_initial(r, H0, 1, STATE_H, row.index, col.index, mask);
    if (cell_find(r->a->cell)->has_c)
        load_initial(r, C0, 2, STATE_C, row.index, col.index, mask);
    loop_end(cg, &col);
    loop_end(cg, &row);
}

/* ---- one block of one tile ---- */

typedef struct Block {
    const CellStage *stage;
    int index, vectors, rows;       /* index: of the stage */
    bool masked;                    /* its last vector is */
    LLVMValueRef col, row;          /* the first */
    LLVMValueRef weights;           /* elements of R before this block's: packed ones, or column 0 of R's row 0 */
    LLVMValueRef product;           /* stack: [rows][gates of the stage][vectors][16] */
} Block;

static LLVMValueRef weight_load(const Recurrent *r, const Block *b, LLVMValueRef k, int gate, int v)
{
    Codegen *cg = r->g->cg;
    int64_t wide = r->cut.gates * r->cut.hidden, lane = v * CG_LANES;
    if (r->packed)
        return operand_load(r->g, R, ADD(b->weights, ADD(MUL(k, K(b->stage->gates * b->vectors * CG_LANES)), K((gate * b->vectors + v) * CG_LANES))), CG_LANES, NULL);
    LLVMValueRef at = ADD(ADD(b->weights, MUL(k, K(wide))), ADD(b->col, K((b->stage->first + gate) * r->cut.hidden + lane)));
    LLVMValueRef mask = b->masked && v == b->vectors - 1 ? lane_mask(cg, K(r->cut.hidden % CG_LANES)) : NULL;
    return operand_load(r->g, R, at, CG_LANES, mask);
}

static LLVMValueRef product_pointer(const Recurrent *r, const Block *b, LLVMValueRef row, int gate, int v)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef at = ADD(MUL(row, K(b->stage->gates * b->vectors * CG_LANES)), K((gate * b->vectors + v) * CG_LANES));
    return cg_gep(cg, b->product, r->type, at);
}

/* Products of the tile's states with the block's columns, onto the stack. */
static void emit_products(const Recurrent *r, Block *b)
{
    Codegen *cg = r->g->cg;
    int gates = b->stage->gates, per_row = gates * b->vectors;
    LLVMTypeRef vec = cg_compute_type(cg, r->type, CG_LANES);
    LLVMValueRef acc[MAX_ROWS * CELL_GATES * MAX_CHAINS], rec[CELL_GATES * MAX_CHAINS];
    for (int i = 0; i < b->rows * per_row; i++)
        acc[i] = cg_variable(cg, LLVMConstNull(vec));
    LLVMValueRef start = b->stage->reset ? fixed_state(r, STATE_RESET) : r->now;
    Loop k = loop_begin(cg, K(0), K(r->cut.hidden), 1, "k");
    for (int i = 0; i < per_row; i++)
        rec[i] = weight_load(r, b, k.index, i / b->vectors, i % b->vectors);
    for (int row = 0; row < b->rows; row++) {
        LLVMValueRef h = cg_splat(cg, state_load(r, start, ADD(b->row, K(row)), k.index, 1), CG_LANES);
        for (int i = 0; i < per_row; i++)
            cg_set(cg, acc[row * per_row + i], cg_fma(cg, h, rec[i], cg_get(cg, acc[row * per_row + i])));
    }
    loop_end(cg, &k);
    for (int i = 0; i < b->rows * per_row; i++) {
        LLVMValueRef to = product_pointer(r, b, K(i / per_row), i % per_row / b->vectors, i % b->vectors);
        LLVMSetAlignment(LLVMBuildStore(cg->b, cg_get(cg, acc[i]), to), (unsigned)dtype_bytes(r->type));
    }
}

/* Where one vector of the cell stands. */
typedef struct Place {
    LLVMValueRef row, col, mask;
    LLVMValueRef live;              /* i1: the sequence has not ended; NULL: it never does */
} Place;

static LLVMValueRef extra_load(const Recurrent *r, const Place *p, int64_t part, int64_t parts)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef at = ADD(MUL(ADD(MUL(r->direction, K(parts)), K(part)), K(r->cut.hidden)), p->col);
    return operand_load(r->g, EXTRA, at, CG_LANES, p->mask);
}

/* The gates' arguments: product plus what wx brings, see cell_separate_gate. */
static void load_gates(const Recurrent *r, const Block *b, const Place *p, int v, LLVMValueRef *arg)
{
    Codegen *cg = r->g->cg;
    int64_t gates = r->cut.gates, hidden = r->cut.hidden;
    int apart = cell_separate_gate(r->a);
    LLVMValueRef line = ADD(MUL(ADD(MUL(r->position, batch_of(r)), p->row), K(r->cut.directions)), r->direction);
    for (int i = 0; i < b->stage->gates; i++) {
        int gate = b->stage->first + i;
        LLVMValueRef product = LLVMBuildLoad2(cg->b, cg_compute_type(cg, r->type, CG_LANES), product_pointer(r, b, SUB(p->row, b->row), i, v), "");
        LLVMSetAlignment(product, (unsigned)dtype_bytes(r->type));
        LLVMValueRef wx = operand_load(r->g, WX, ADD(ADD(MUL(line, K(gates * hidden)), K(gate * hidden)), p->col), CG_LANES, p->mask);
        if (gate == apart && has_operand(r->g, EXTRA))
            product = LLVMBuildFAdd(cg->b, product, extra_load(r, p, 0, 1), "");
        arg[CELL_PRE + gate] = gate == apart ? wx : LLVMBuildFAdd(cg->b, product, wx, "");
        if (gate == apart)
            arg[CELL_REC] = product;
    }
}

static void load_states(const Recurrent *r, const Block *b, const Place *p, LLVMValueRef *arg)
{
    arg[CELL_H] = state_load(r, r->now, p->row, p->col, CG_LANES);
    if (cell_find(r->a->cell)->has_c) {
        arg[CELL_C] = state_load(r, fixed_state(r, STATE_C), p->row, p->col, CG_LANES);
        for (int i = 0; i < 3 && has_operand(r->g, EXTRA); i++)
            arg[CELL_PEEP + i] = extra_load(r, p, i, 3);
    }
    if (b->stage->reset)
        arg[CELL_Z] = state_load(r, fixed_state(r, STATE_Z), p->row, p->col, CG_LANES);
}

/* A state moves on while its sequence is live, and is a result at every step: the last one stays. */
static void keep_state(const Recurrent *r, const Place *p, int result, LLVMValueRef start, LLVMValueRef new, LLVMValueRef old)
{
    if (p->live)
        new = LLVMBuildSelect(r->g->cg->b, p->live, new, old, "");
    state_store(r, new, start, p->row, p->col);
    result_store(r, result, new, last_result_offset(r, p->row, p->col), p->mask);
}

static void keep_h(const Recurrent *r, const Place *p, LLVMValueRef new, LLVMValueRef old)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef y = p->live ? LLVMBuildSelect(cg->b, p->live, new, LLVMConstNull(LLVMTypeOf(new)), "") : new;
    LLVMValueRef line = ADD(MUL(ADD(MUL(r->position, K(r->cut.directions)), r->direction), batch_of(r)), p->row);
    result_store(r, 0, y, ADD(MUL(line, K(r->cut.hidden)), p->col), p->mask);
    keep_state(r, p, 1, r->next, new, old);
}

/* The cell on one vector. */
static void emit_cell(const Recurrent *r, const Block *b, const Place *p, int v)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef arg[CELL_ARGS] = { NULL };
    CellValue value[CELL_VALUES];
    load_gates(r, b, p, v, arg);
    load_states(r, b, p, arg);
    int n = cell_values(r->a, b->index, value);
    for (int i = 0; i < n; i++) {
        LLVMValueRef x = cg_formula(cg, &r->formula[value[i]], arg, CG_LANES);
        switch (value[i]) {
        case CELL_NEXT_C:
            arg[CELL_NEW_C] = x;
            keep_state(r, p, 2, fixed_state(r, STATE_C), x, arg[CELL_C]);
            break;
        case CELL_UPDATE: state_store(r, x, fixed_state(r, STATE_Z), p->row, p->col); break;
        case CELL_RESET: state_store(r, x, fixed_state(r, STATE_RESET), p->row, p->col); break;
        default: keep_h(r, p, x, arg[CELL_H]);
        }
    }
}

static LLVMValueRef is_live(const Recurrent *r, LLVMValueRef row)
{
    return has_operand(r->g, LENGTHS) ? LLVMBuildICmp(r->g->cg->b, LLVMIntSLT, r->position, operand_load(r->g, LENGTHS, row, 1, NULL), "") : NULL;
}

static void emit_tile(const Recurrent *r, Block b, LLVMValueRef row, int rows)
{
    Codegen *cg = r->g->cg;
    b.row = row;
    b.rows = rows;
    emit_products(r, &b);
    Loop l = loop_begin(cg, row, ADD(row, K(rows)), 1, "row");
    Place p = { .row = l.index, .live = is_live(r, l.index) };
    for (int v = 0; v < b.vectors; v++) {
        p.col = ADD(b.col, K(v * CG_LANES));
        p.mask = b.masked && v == b.vectors - 1 ? lane_mask(cg, K(r->cut.hidden % CG_LANES)) : NULL;
        emit_cell(r, &b, &p, v);
    }
    loop_end(cg, &l);
}

/* Rows [row0, row1): whole tiles, then one by one. */
static void emit_rows(const Recurrent *r, const Block *b, LLVMValueRef row0, LLVMValueRef row1)
{
    Codegen *cg = r->g->cg;
    int rows = r->cut.rows;
    LLVMValueRef whole = LLVMBuildSDiv(cg->b, SUB(row1, row0), K(rows), ""), stop = ADD(row0, MUL(whole, K(rows)));
    Loop tile = loop_begin(cg, row0, stop, rows, "tile");
    emit_tile(r, *b, tile.index, rows);
    loop_end(cg, &tile);
    if (rows == 1 || (dim_is_const(r->batch) && r->batch->k % rows == 0))
        return;
    Loop one = loop_begin(cg, stop, row1, 1, "single");
    emit_tile(r, *b, one.index, 1);
    loop_end(cg, &one);
}

/* ---- one beat ---- */

/* A block of the stage, `vectors` wide. */
static Block block_at(const Recurrent *r, int stage, LLVMValueRef block, int vectors)
{
    Codegen *cg = r->g->cg;
    const Cut *c = &r->cut;
    const CellStage *s = &c->stage[stage];
    int64_t line = c->hidden * CG_LANES * c->lines;             /* of packed weights: one gate of one direction */
    LLVMValueRef start = r->packed ? ADD(ADD(MUL(r->direction, K(c->gates * line)), K(s->first * line)), MUL(block, K(s->gates * c->vectors * CG_LANES * c->hidden)))
                                   : MUL(r->direction, K(c->hidden * c->hidden * c->gates));
    return (Block){ .stage = s, .index = stage, .vectors = vectors, .col = MUL(block, K(c->vectors * CG_LANES)), .weights = start };
}

static void emit_block(const Recurrent *r, int stage, LLVMValueRef block, bool whole, LLVMValueRef product, LLVMValueRef row0, LLVMValueRef row1)
{
    Block b = block_at(r, stage, block, whole ? r->cut.vectors : r->cut.rest);
    b.masked = !whole && r->cut.hidden % CG_LANES;
    b.product = product;
    emit_rows(r, &b, row0, row1);
}

/* Blocks [block0, block1) of a stage; backwards in every second step. */
static void emit_stage(const Recurrent *r, int stage, LLVMValueRef step, LLVMValueRef row0, LLVMValueRef row1, LLVMValueRef block0, LLVMValueRef block1)
{
    Codegen *cg = r->g->cg;
    const Cut *c = &r->cut;
    uint64_t room = (uint64_t)(c->rows * c->gates * c->vectors);
    LLVMValueRef product = cg_variable(cg, LLVMGetUndef(LLVMArrayType2(cg_compute_type(cg, r->type, CG_LANES), room)));
    LLVMValueRef odd = LLVMBuildTrunc(cg->b, step, cg->i1, "");
    Loop l = loop_begin(cg, block0, block1, 1, "block");
    LLVMValueRef mirror = SUB(SUB(ADD(block0, block1), K(1)), l.index), block = LLVMBuildSelect(cg->b, odd, mirror, l.index, "");
    if (c->full && c->rest) {
        Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSLT, block, K(c->full), ""));
        emit_block(r, stage, block, true, product, row0, row1);
        branch_else(cg, &b);
        emit_block(r, stage, block, false, product, row0, row1);
        branch_end(cg, &b);
    } else {
        emit_block(r, stage, block, !c->rest, product, row0, row1);
    }
    loop_end(cg, &l);
}

static LLVMValueRef pointer_arg(const Recurrent *r, int i)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef at = K(i);
    return LLVMBuildLoad2(cg->b, cg->ptr, LLVMBuildGEP2(cg->b, cg->ptr, r->g->args, &at, 1, ""), "");
}

/* Where this beat's step reads and writes. */
static LLVMValueRef open_beat(Recurrent *r, LLVMValueRef fn)
{
    Codegen *cg = r->g->cg;
    int nout = r->g->owner->nout;
    r->number = LLVMGetParam(fn, 1);
    r->direction = LLVMGetParam(fn, 2);
    for (int i = 0; i < nout; i++)
        r->state[i] = pointer_arg(r, r->g->noperand + i);
    r->memory = r->g->scratch;
    LLVMValueRef step = LLVMBuildSDiv(cg->b, r->number, K(r->cut.nstage), ""), last = SUB(group_dim(r->g, r->steps), K(1));
    LLVMValueRef parity = LLVMBuildAnd(cg->b, step, K(1), "");
    LLVMValueRef backward = r->a->reverse ? LLVMConstInt(cg->i1, 1, false) : LLVMBuildICmp(cg->b, LLVMIntEQ, r->direction, K(1), "");
    r->position = LLVMBuildSelect(cg->b, backward, SUB(last, step), step, "");
    r->now = state_start(r, parity);
    r->next = state_start(r, LLVMBuildXor(cg->b, parity, K(1), ""));
    return step;
}

static void emit_beat(Recurrent *r, LLVMValueRef fn)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef step = open_beat(r, fn), block0 = LLVMGetParam(fn, 5), block1 = LLVMGetParam(fn, 6);
    LLVMValueRef row0 = MUL(LLVMGetParam(fn, 3), K(r->cut.rows)), row1 = cg_smaller(cg, MUL(LLVMGetParam(fn, 4), K(r->cut.rows)), batch_of(r));
    Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSLT, r->number, K(0), ""));
    emit_initial(r, row0, row1, block0, block1);
    branch_else(cg, &b);
    if (r->cut.nstage == 1) {
        emit_stage(r, 0, step, row0, row1, block0, block1);
    } else {
        Branch s = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntEQ, LLVMBuildAnd(cg->b, r->number, K(1), ""), K(0), ""));
        emit_stage(r, 0, step, row0, row1, block0, block1);
        branch_else(cg, &s);
        emit_stage(r, 1, step, row0, row1, block0, block1);
        branch_end(cg, &s);
    }
    branch_end(cg, &b);
}

/* ---- functions ---- */

/* An internal function beside the kernel that is being emitted; `emit` fills it. The builder, the group and the cache of sizes are put back. */
static LLVMValueRef side_function(Recurrent *r, const char *suffix, LLVMTypeRef type, void (*emit)(Recurrent *, LLVMValueRef))
{
    Group *g = r->g;
    Codegen *cg = g->cg;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->b);
    const char *kernel = LLVMGetValueName(LLVMGetBasicBlockParent(here));
    Group *keep = arena_copy(cg->arena, g, sizeof *g);
    LLVMValueRef fn = LLVMAddFunction(cg->mod, arena_printf(cg->arena, "%s_%s", kernel, suffix), type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    cg_function_attributes(cg, fn);
    LLVMPositionBuilderAtEnd(cg->b, LLVMAppendBasicBlockInContext(cg->llvm, fn, "entry"));
    group_enter(g, fn);
    DimCache *outer = dim_cache_open(cg, true);
    emit(r, fn);
    LLVMBuildRetVoid(cg->b);
    cg->dim_cache = outer;
    *g = *keep;
    LLVMPositionBuilderAtEnd(cg->b, here);
    return fn;
}

/* Calls of beat for the units [begin, end), which count (direction, one of n). */
typedef void RangeFn(Recurrent *r, LLVMValueRef direction, LLVMValueRef first, LLVMValueRef last);

static void each_direction(Recurrent *r, LLVMValueRef begin, LLVMValueRef end, LLVMValueRef n, RangeFn *emit)
{
    Codegen *cg = r->g->cg;
    Loop d = loop_begin(cg, K(0), K(r->cut.directions), 1, "direction");
    LLVMValueRef ahead = MUL(d.index, n), first = cg_larger(cg, SUB(begin, ahead), K(0)), last = cg_smaller(cg, SUB(end, ahead), n);
    Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSLT, first, last, ""));
    emit(r, d.index, first, last);
    branch_else(cg, &b);
    branch_end(cg, &b);
    loop_end(cg, &d);
}

static void call_beat(Recurrent *r, LLVMValueRef number, LLVMValueRef direction, const LLVMValueRef range[4])
{
    LLVMValueRef arg[] = { r->g->args, number, direction, range[0], range[1], range[2], range[3] };
    LLVMBuildCall2(r->g->cg->b, r->beat_type, r->beat, arg, 7, "");
}

static Dim tiles_dim(const Recurrent *r)
{
    DimTable *dims = r->g->cg->m->dims;
    return dim_ceil_div(dims, r->batch, dim_const(dims, r->cut.rows));
}

/* whole: all beats for some tiles. */
static void all_beats(Recurrent *r, LLVMValueRef direction, LLVMValueRef first, LLVMValueRef last)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef beats = MUL(group_dim(r->g, r->steps), K(r->cut.nstage));
    Loop l = loop_begin(cg, K(-1), beats, 1, "beat");
    call_beat(r, l.index, direction, (LLVMValueRef[]){ first, last, K(0), K(cut_blocks(&r->cut)) });
    loop_end(cg, &l);
}

/* step: the beat at the head of the working memory, for some blocks. */
static void one_beat(Recurrent *r, LLVMValueRef direction, LLVMValueRef first, LLVMValueRef last)
{
    Codegen *cg = r->g->cg;
    LLVMValueRef number = LLVMBuildLoad2(cg->b, cg->i64, r->g->scratch, "beat");
    call_beat(r, number, direction, (LLVMValueRef[]){ K(0), group_dim(r->g, tiles_dim(r)), first, last });
}

static void emit_step_kernel(Recurrent *r, LLVMValueRef fn)
{
    each_direction(r, LLVMGetParam(fn, 1), LLVMGetParam(fn, 2), cg_i64(r->g->cg, cut_blocks(&r->cut)), one_beat);
}

static void record_formulas(Recurrent *r)
{
    CellValue value[CELL_VALUES];
    bool peepholes = cell_find(r->a->cell)->has_c && has_operand(r->g, EXTRA);
    for (int s = 0; s < r->cut.nstage; s++)
        for (int i = cell_values(r->a, s, value) - 1; i >= 0; i--)
            r->formula[value[i]] = cell_formula(r->g->cg->arena, r->a, peepholes, r->type, value[i]);
}

/* The two ways to run; costs are counted in vector operations. */
static void describe_work(const Recurrent *r, LLVMValueRef step, Work *whole)
{
    Codegen *cg = r->g->cg;
    DimTable *dims = cg->m->dims;
    const Cut *c = &r->cut;
    int64_t row = c->hidden * c->lines * c->gates, blocks = cut_blocks(c);
    Beats *beats = ARENA_NEW(cg->arena, Beats);
    *whole = (Work){ dim_mulk(dims, tiles_dim(r), c->directions), dim_mulk(dims, r->steps, c->rows * row) };
    *beats = (Beats){ step, dim_mulk(dims, r->steps, c->nstage), { dim_const(dims, c->directions * blocks), dim_mulk(dims, r->batch, row / blocks / c->nstage) } };
    r->g->beats = beats;
}

bool gen_recurrent(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    uint64_t unused;
    const Type *wx = &g->operand[WX]->type;
    Recurrent r = { .g = g, .a = NODE_ATTR(g->anchor, recurrent), .cut = cut_of(g), .type = formula_compute_type(wx->dtype), .steps = wx->dim[0],
                    .batch = wx->dim[1] };
    r.packed = pack_operand(g, &unused) == R;
    r.beat_type = LLVMFunctionType(cg->void_t, (LLVMTypeRef[]){ cg->ptr, cg->i64, cg->i64, cg->i64, cg->i64, cg->i64, cg->i64 }, 7, false);
    record_formulas(&r);
    r.beat = side_function(&r, "beat", r.beat_type, emit_beat);
    LLVMValueRef step = side_function(&r, "step", cg->kernel_type, emit_step_kernel);
    each_direction(&r, begin, end, group_dim(g, tiles_dim(&r)), all_beats);
    describe_work(&r, step, work);
    return true;
}
