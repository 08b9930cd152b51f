/* gen_matmul.c -- batched matrix product with an elementwise epilogue. Units: (batch, set of groups, band of blocks, group of panels, block of rows), rows
 * innermost, so that neighbouring units share the same columns of b. Where b has no batch, all rows of a are one long matrix.
 *
 * With the attribute pack, a unit that comes to a new set of columns copies them into scratch, panel by panel, and the units after it read the copy: where
 * the rows of b lie a power of two apart, their columns would fall into few sets of the first-level cache. Otherwise all columns are one set.
 */
#include "bf16.h"
#include "int8.h"
#include "low_bit_code.h"
#include "scratch.h"

typedef struct Matmul {
    const Type *a, *b, *y;
    Dim M, N, K, batch;             /* M: rows of one batch */
    bool flat;                      /* b has no batch: rows are batch * M */
    Dim panel;                      /* elements of a packed panel of b */
    Dim groups, blocks;             /* of panels, of rows */
    int64_t per_set;                /* groups of a packed set: several units' columns, so that a row of b is read in longer pieces; 0: all */
    Dim band;                       /* blocks of a band, see contract_band */
} Matmul;

static Matmul matmul_of(const Group *g)
{
    Matmul m = { .a = &node_in(g->anchor, 0)->type, .b = &node_in(g->anchor, 1)->type, .y = &node_out(g->anchor)->type };
    DimTable *dims = g->cg->m->dims;
    m.M = m.a->dim[m.a->rank - 2];
    m.K = m.a->dim[m.a->rank - 1];
    m.N = m.b->dim[m.b->rank - 1];
    m.batch = dim_const(dims, 1);
    m.flat = true;
    for (int d = 0; d + 2 < m.y->rank; d++)
        m.batch = dim_mul(dims, m.batch, m.y->dim[d]);
    for (int d = 0; d + 2 < m.b->rank; d++)
        m.flat &= dim_is(m.b->dim[d], 1);
    m.flat &= m.a->rank == m.y->rank;
    for (int d = 0; m.flat && d + 2 < m.a->rank; d++)
        m.flat &= m.a->dim[d] == m.y->dim[d];
    if (m.flat) {
        m.M = dim_mul(dims, m.M, m.batch);
        m.batch = dim_const(dims, 1);
    }
    return m;
}

/* Elements before matrix number `batch` of an operand whose batch dims broadcast to the result's. */
static LLVMValueRef batch_offset(Group *g, const Type *t, const Type *y, LLVMValueRef batch, Dim matrix)
{
    Codegen *cg = g->cg;
    LLVMValueRef index[MAX_RANK], at = cg_i64(cg, 0);
    int nbatch = y->rank - 2, shift = y->rank - t->rank;
    split_index(g, batch, nbatch, y->dim, index);
    Dim stride = matrix;
    for (int d = t->rank - 3; d >= 0; d--) {
        LLVMValueRef i = index[d + shift], step = group_dim(g, stride);
        if (dim_is(t->dim[d], 1))
            i = cg_i64(cg, 0);
        else if (t->dim[d] != y->dim[d + shift] && !dim_is_const(t->dim[d]))
            i = LLVMBuildSelect(cg->b, LLVMBuildICmp(cg->b, LLVMIntEQ, group_dim(g, t->dim[d]), cg_i64(cg, 1), ""), cg_i64(cg, 0), i, "");
        at = LLVMBuildNSWAdd(cg->b, at, LLVMBuildNSWMul(cg->b, i, step, ""), "");
        stride = dim_mul(cg->m->dims, stride, t->dim[d]);
    }
    return at;
}

static void matmul_sum(Contract *c, Tile *t)
{
    Matmul *m = c->ctx;
    Codegen *cg = c->g->cg;
    tile_accumulate(t, cg_i64(cg, 0), cg_i64(cg, 0), group_dim(c->g, m->K));
}

/* One unit's columns: full panels, or the masked rest. */
static void matmul_columns(Contract *c, const Matmul *m, Tile at, LLVMValueRef row_end)
{
    Codegen *cg = c->g->cg;
    int64_t step = c->shape.panels * CG_LANES, n = dim_is_const(m->N) ? m->N->k : 0, left = n % step;
    at.panels = c->shape.panels;
    if (n && !left) {
        contract_block(c, at, row_end);
        return;
    }
    LLVMValueRef cols = group_dim(c->g, m->N), live = LLVMBuildSub(cg->b, cols, at.col, "");
    Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSGE, live, cg_i64(cg, step), ""));
    if (!n || n > left)                             /* there are full groups */
        contract_block(c, at, row_end);
    branch_else(cg, &b);
    if (n)
        at.panels = (int)panels_of(left);
    for (int p = 0; p < at.panels; p++)
        if (!n || (p + 1) * CG_LANES > left)
            at.mask[p] = lane_mask(cg, LLVMBuildSub(cg->b, live, cg_i64(cg, p * CG_LANES), ""));
    contract_block(c, at, row_end);
    branch_end(cg, &b);
}

/* ---- columns of b, packed as they are needed ---- */

typedef struct Packing {
    Elements plain;                 /* b as it lies in memory */
    LLVMValueRef ready;             /* variable: which set of panels the scratch holds, -1: none */
    LLVMValueRef slot;
} Packing;

/* From here on the tile reads this thread's scratch. */
static Packing packing_open(Contract *c, const Matmul *m)
{
    Group *g = c->g;
    Codegen *cg = g->cg;
    Packing p = { .plain = c->b, .slot = slot_claim(g, PACK_SLOTS), .ready = cg_variable(cg, cg_i64(cg, -1)) };
    LLVMValueRef elements = LLVMBuildMul(cg->b, group_dim(g, m->K), cg_i64(cg, PACK_PANELS * PACK_LANES), "");
    c->b.ptr = cg_gep(cg, g->scratch, c->b.type, LLVMBuildMul(cg->b, p.slot, elements, ""));
    c->panel_step = LLVMBuildMul(cg->b, group_dim(g, m->K), cg_i64(cg, CG_LANES), "");
    c->k_step = cg_i64(cg, CG_LANES);
    return p;
}

/* A set of panels, zeros behind the last column. from: elements of b before the matrix. */
static void pack_columns(Contract *c, const Matmul *m, const Packing *p, LLVMValueRef from, LLVMValueRef col)
{
    Codegen *cg = c->g->cg;
    LLVMValueRef cols = group_dim(c->g, m->N), left = LLVMBuildSub(cg->b, cols, col, ""), mask[PACK_PANELS];
    int panels = (int)m->per_set * c->shape.panels;
    for (int q = 0; q < panels; q++)
        mask[q] = lane_mask(cg, LLVMBuildSub(cg->b, left, cg_i64(cg, q * CG_LANES), ""));
    Loop k = loop_begin(cg, cg_i64(cg, 0), group_dim(c->g, m->K), 1, "pack");
    LLVMValueRef row = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWAdd(cg->b, from, col, ""), LLVMBuildNSWMul(cg->b, k.index, cols, ""), "");
    for (int q = 0; q < panels; q++) {
        LLVMValueRef v = elements_load(cg, &p->plain, LLVMBuildNSWAdd(cg->b, row, cg_i64(cg, q * CG_LANES), ""), CG_LANES, mask[q]);
        LLVMValueRef to = LLVMBuildNSWAdd(cg->b, LLVMBuildNSWMul(cg->b, c->panel_step, cg_i64(cg, q), ""), LLVMBuildNSWMul(cg->b, k.index, c->k_step, ""), "");
        elements_store(cg, &c->b, v, to, CG_LANES, NULL);
    }
    loop_end(cg, &k);
}

/* Sees to it that the scratch holds the unit's set. number: of all sets of the batch; matrix: elements of b before its matrix; col: the set's first. */
static void packed_ready(Contract *c, const Matmul *m, const Packing *p, LLVMValueRef number, LLVMValueRef matrix, LLVMValueRef col)
{
    Codegen *cg = c->g->cg;
    Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntNE, number, cg_get(cg, p->ready), ""));
    pack_columns(c, m, p, matrix, col);
    cg_set(cg, p->ready, number);
    branch_else(cg, &b);
    branch_end(cg, &b);
}

/* ---- units ---- */

static bool known_few(const Group *g)
{
    return g->weights && low_bit_few_rows(g->anchor);
}

/* Rows and panels of a tile; of weights of few bits, the panels that are unpacked together, or straight from there one row waits for memory only. */
static TileShape matmul_shape(const Group *g, const Matmul *m)
{
    int64_t rows = dim_is_const(m->M) ? m->M->k : 0, cols = dim_is_const(m->N) ? m->N->k : 0;
    TileShape s = low_bit_shape(g, tile_choose(g, contract_type(g), rows, cols, TILE_ROWS));
    if (known_few(g) && rows <= LOW_BIT_DIRECT_ZEROS) {
        int64_t most = (rows == 1 ? 4 : 2) * CG_LANES;
        s = (TileShape){ (int)rows, (int)panels_of(cols < most ? cols : most) };
    }
    return s;
}

/* How the units are counted; the last set and the last band may have units that there are not. */
enum { BATCH, SET, BAND, GROUP, BLOCK, PARTS };

static void matmul_parts(const Contract *c, const Matmul *m, Dim *part)
{
    DimTable *dims = c->g->cg->m->dims;
    part[BATCH] = m->batch;
    part[SET] = m->per_set ? dim_ceil_div(dims, m->groups, dim_const(dims, m->per_set)) : dim_const(dims, 1);
    part[BAND] = m->band == m->blocks ? dim_const(dims, 1) : dim_ceil_div(dims, m->blocks, m->band);
    part[GROUP] = m->per_set ? dim_const(dims, m->per_set) : m->groups;
    part[BLOCK] = m->band;
}

/* Whether there is such a unit; NULL: certainly. */
static LLVMValueRef unit_is_there(const Contract *c, const Matmul *m, LLVMValueRef group, LLVMValueRef block)
{
    Codegen *cg = c->g->cg;
    bool more_groups = m->per_set && !(dim_is_const(m->groups) && m->groups->k % m->per_set == 0);
    bool more_blocks = m->band != m->blocks && m->blocks->k % m->band->k;
    LLVMValueRef g = more_groups ? LLVMBuildICmp(cg->b, LLVMIntSLT, group, group_dim(c->g, m->groups), "") : NULL;
    LLVMValueRef b = more_blocks ? LLVMBuildICmp(cg->b, LLVMIntSLT, block, group_dim(c->g, m->blocks), "") : NULL;
    return g && b ? LLVMBuildAnd(cg->b, g, b, "") : g ? g : b;
}

/* The unit's tile, and its columns ready to be read. part: of the unit; group, block: within the matrix. */
static Tile matmul_tile(Contract *c, const Matmul *m, const LLVMValueRef *part, LLVMValueRef group, LLVMValueRef block, const Packing *packing)
{
    Group *g = c->g;
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    int64_t step = c->shape.panels * CG_LANES;
    Dim panels = dim_ceil_div(dims, m->N, dim_const(dims, CG_LANES)), size = c->packed ? dim_mul(dims, panels, m->panel) : dim_mul(dims, m->K, m->N);
    Tile at = { .row = LLVMBuildMul(cg->b, block, cg_i64(cg, c->shape.rows), ""), .col = LLVMBuildMul(cg->b, group, cg_i64(cg, step), "") };
    at.a_start = m->flat ? cg_i64(cg, 0) : batch_offset(g, m->a, m->y, part[BATCH], dim_mul(dims, m->M, m->K));
    LLVMValueRef matrix = m->flat ? cg_i64(cg, 0) : batch_offset(g, m->b, m->y, part[BATCH], size);
    LLVMValueRef first = LLVMBuildMul(cg->b, packing ? part[GROUP] : group, cg_i64(cg, c->shape.panels), "");
    if (packing) {
        Dim sets = dim_ceil_div(dims, m->groups, dim_const(dims, m->per_set));
        LLVMValueRef number = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[BATCH], group_dim(g, sets), ""), part[SET], "");
        packed_ready(c, m, packing, number, matrix, LLVMBuildMul(cg->b, part[SET], cg_i64(cg, m->per_set * step), ""));
        matrix = cg_i64(cg, 0);
    }
    at.b_start = LLVMBuildNSWAdd(cg->b, matrix, LLVMBuildNSWMul(cg->b, first, c->panel_step, ""), "");
    at.number = part[BLOCK];
    at.flat_row = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[BATCH], group_dim(g, m->M), ""), at.row, "");
    return at;
}

static void matmul_units(Contract *c, const Matmul *m, LLVMValueRef begin, LLVMValueRef end, const Packing *packing)
{
    Group *g = c->g;
    Codegen *cg = g->cg;
    Dim parts[PARTS];
    LLVMValueRef part[PARTS];
    matmul_parts(c, m, parts);
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    split_index(g, l.index, PARTS, parts, part);
    LLVMValueRef group = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[SET], cg_i64(cg, m->per_set), ""), part[GROUP], "");
    LLVMValueRef block = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[BAND], group_dim(g, m->band), ""), part[BLOCK], ""), there = unit_is_there(c, m, group, block);
    Branch b = { NULL, NULL };
    if (there)
        b = branch_begin(cg, there);
    matmul_columns(c, m, matmul_tile(c, m, part, group, block, packing), group_dim(g, m->M));
    if (there) {
        branch_else(cg, &b);
        branch_end(cg, &b);
    }
    loop_end(cg, &l);
}

static int direct_rows(const Contract *c)
{
    int most = (int)low_bit_direct(c->g->anchor);
    return c->shape.rows < most ? c->shape.rows : most;
}

/* Straight from packed codes: low_bit_code.h. */
static void matmul_few(Contract few, const Matmul *m, LLVMValueRef begin, LLVMValueRef end)
{
    Codegen *cg = few.g->cg;
    few.b = (Elements){ low_bit_data(few.g), DT_u8 };
    few.panel_step = cg_i64(cg, low_bit_of(few.g)->panel_bytes);
    few.shape.rows = direct_rows(&few);
    few.sum = low_bit_sum;
    matmul_units(&few, m, begin, end, NULL);
}

/* ---- weights of few bits ---- */

static void many_tile(const LowBitMany *many, LLVMValueRef group, LLVMValueRef number, LLVMValueRef panel)
{
    Contract *c = many->c;
    Codegen *cg = c->g->cg;
    const Matmul *m = many->ctx;
    LLVMValueRef zero = cg_i64(cg, 0), row = LLVMBuildMul(cg->b, number, cg_i64(cg, c->shape.rows), "");
    Tile at = { .row = row, .flat_row = row, .col = LLVMBuildMul(cg->b, panel, cg_i64(cg, CG_LANES), ""), .a_start = zero, .b_start = zero };
    matmul_columns(c, m, at, group_dim(c->g, m->M));
    (void)group;                    /* there is one */
}

static LLVMValueRef many_first_row(const LowBitMany *many, LLVMValueRef number)
{
    Codegen *cg = many->c->g->cg;
    return LLVMBuildMul(cg->b, number, cg_i64(cg, many->c->shape.rows), "");
}

static Work matmul_many(Contract c, const Matmul *m, LLVMValueRef begin, LLVMValueRef end)
{
    DimTable *dims = c.g->cg->m->dims;
    LowBitMany many = { .c = &c, .ctx = m, .row_taps = 1, .tiles = dim_ceil_div(dims, m->M, dim_const(dims, c.shape.rows)), .tile = many_tile,
                        .first_row = many_first_row };
    return low_bit_many(&many, begin, end);
}

/* Where only the run knows the number of rows, both ways: of few rows, units are the same, a set of panels each. */
static void matmul_low_bit(const Contract *c, const Matmul *m, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = c->g->cg;
    int few = direct_rows(c);
    if (known_few(c->g)) {
        matmul_few(*c, m, begin, end);
    } else if (c->run_rows) {
        *work = matmul_many(*c, m, begin, end);
    } else {
        Branch b = branch_begin(cg, LLVMBuildICmp(cg->b, LLVMIntSLE, group_dim(c->g, m->M), cg_i64(cg, few), ""));
        matmul_few(*c, m, begin, end);
        branch_else(cg, &b);
        *work = matmul_many(*c, m, begin, end);
        branch_end(cg, &b);
    }
}

static void matmul_packing(Contract c, const Matmul *m, LLVMValueRef begin, LLVMValueRef end)
{
    Packing packing = packing_open(&c, m);
    matmul_units(&c, m, begin, end, &packing);
    slot_release(c.g, packing.slot);
}

/* Blocks of a band; weights of few bits are unpacked once, for all rows. */
static Dim matmul_band(const Contract *c, const Matmul *m)
{
    if (c->g->weights)
        return m->blocks;
    int64_t k = dim_is_const(m->K) ? m->K->k : 0, rows = dim_is_const(m->M) ? m->M->k : 0, cols = dim_is_const(m->N) ? m->N->k : 0;
    return contract_band(c, m->blocks, rows * k * dtype_bytes(c->a.type), k * cols * dtype_bytes(c->b.type), m->groups);
}

bool gen_matmul(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Matmul m = matmul_of(g);
    uint64_t unused;
    int b = group_operand(g, node_in(g->anchor, 1));
    Contract c = { .g = g, .a = operand_elements(g, group_operand(g, node_in(g->anchor, 0))), .bias = -1,
                   .rows = dim_mul(dims, m.batch, m.M), .cols = m.N, .sum = matmul_sum, .ctx = &m };
    if (!g->weights)
        c.b = operand_elements(g, b);
    c.packed = g->weights || pack_operand(g, &unused) == b;
    c.run_rows = dim_is_const(m.M) ? m.M->k : 0;
    c.shape = matmul_shape(g, &m);
    c.row_step = group_dim(g, m.K);
    m.panel = dim_mulk(dims, c.packed && contract_of_pairs(g) ? dim_const(dims, bf16_padded(m.K->k)) : m.K, CG_LANES);
    if (c.packed && contract_of_bytes(g))
        m.panel = dim_const(dims, int8_run_bytes(int8_group_bits(g), m.K->k));
    c.panel_step = c.packed ? group_dim(g, m.panel) : cg_i64(cg, CG_LANES);
    c.k_step = c.packed ? cg_i64(cg, CG_LANES) : group_dim(g, m.N);
    contract_open(&c);
    m.blocks = dim_ceil_div(dims, m.M, dim_const(dims, c.shape.rows));
    m.groups = dim_ceil_div(dims, m.N, dim_const(dims, c.shape.panels * CG_LANES));
    bool packs = !g->weights && NODE_ATTR(g->anchor, matmul)->pack && !c.packed && c.shape.panels <= PACK_PANELS;
    m.per_set = packs ? PACK_PANELS / c.shape.panels : 0;
    m.band = matmul_band(&c, &m);
    Dim parts[PARTS];
    matmul_parts(&c, &m, parts);
    *work = (Work){ dim_const(dims, 1), dim_mulk(dims, m.K, c.shape.rows * c.shape.panels) };
    for (int i = 0; i < PARTS; i++)
        work->units = dim_mul(dims, work->units, parts[i]);
    c.panel_rows = dim_is_const(m.K) ? m.K->k : 0;
    c.row_tiles = dim_is_const(m.band) ? m.band->k : 0;
    if (g->weights)
        matmul_low_bit(&c, &m, begin, end, work);
    else if (packs)
        matmul_packing(c, &m, begin, end);
    else
        matmul_units(&c, &m, begin, end, NULL);
    g->space = NULL;
    return true;
}
