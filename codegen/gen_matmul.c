/* gen_matmul.c -- batched matrix product with an elementwise epilogue. Units: (batch, group of panels, block of rows), rows innermost, so that
 * neighbouring units share the same columns of b. Where b has no batch, all rows of a are one long matrix.
 */
#include "int8.h"

typedef struct Matmul {
    const Type *a, *b, *y;
    Dim M, N, K, batch;             /* M: rows of one batch */
    bool flat;                      /* b has no batch: rows are batch * M */
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
        at.panels = (int)((left + CG_LANES - 1) / CG_LANES);
    for (int p = 0; p < at.panels; p++)
        if (!n || (p + 1) * CG_LANES > left)
            at.mask[p] = lane_mask(cg, LLVMBuildSub(cg->b, live, cg_i64(cg, p * CG_LANES), ""));
    contract_block(c, at, row_end);
    branch_end(cg, &b);
}

bool gen_matmul(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Matmul m = matmul_of(g);
    uint64_t unused;
    int b = group_operand(g, node_in(g->anchor, 1));
    Contract c = { .g = g, .a = operand_elements(g, group_operand(g, node_in(g->anchor, 0))), .b = operand_elements(g, b), .bias = -1,
                   .rows = dim_mul(dims, m.batch, m.M), .cols = m.N, .sum = matmul_sum, .ctx = &m };
    c.packed = pack_operand(g, &unused) == b;
    c.run_rows = dim_is_const(m.M) ? m.M->k : 0;
    c.shape = tile_choose(g, contract_type(g), c.run_rows, dim_is_const(m.N) ? m.N->k : 0);
    c.row_step = group_dim(g, m.K);
    Dim panel = dim_mulk(dims, c.packed && contract_of_bytes(g) ? dim_const(dims, int8_padded(m.K->k)) : m.K, CG_LANES), panels = dim_ceil_div(dims, m.N, dim_const(dims, CG_LANES));
    c.panel_step = c.packed ? group_dim(g, panel) : cg_i64(cg, CG_LANES);
    c.k_step = c.packed ? cg_i64(cg, CG_LANES) : group_dim(g, m.N);
    contract_open(&c);
    int64_t step = c.shape.panels * CG_LANES;
    Dim blocks = dim_ceil_div(dims, m.M, dim_const(dims, c.shape.rows)), groups = dim_ceil_div(dims, m.N, dim_const(dims, step));
    *work = (Work){ dim_mul(dims, m.batch, dim_mul(dims, blocks, groups)), dim_mulk(dims, m.K, c.shape.rows * c.shape.panels) };
    c.panel_rows = dim_is_const(m.K) ? m.K->k : 0;
    c.row_tiles = dim_is_const(blocks) ? blocks->k : 0;
    LLVMValueRef part[3];
    Loop l = loop_begin(cg, begin, end, 1, "unit");
    split_index(g, l.index, 3, (Dim[]){ m.batch, groups, blocks }, part);
    Tile at = { .row = LLVMBuildMul(cg->b, part[2], cg_i64(cg, c.shape.rows), ""), .col = LLVMBuildMul(cg->b, part[1], cg_i64(cg, step), "") };
    at.a_start = m.flat ? cg_i64(cg, 0) : batch_offset(g, m.a, m.y, part[0], dim_mul(dims, m.M, m.K));
    LLVMValueRef matrix = m.flat ? cg_i64(cg, 0) : batch_offset(g, m.b, m.y, part[0], c.packed ? dim_mul(dims, panels, panel) : dim_mul(dims, m.K, m.N));
    LLVMValueRef first = LLVMBuildMul(cg->b, part[1], cg_i64(cg, c.shape.panels), "");
    at.b_start = LLVMBuildNSWAdd(cg->b, matrix, LLVMBuildNSWMul(cg->b, first, c.panel_step, ""), "");
    at.number = part[2];
    at.flat_row = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, part[0], group_dim(g, m.M), ""), at.row, "");
    matmul_columns(&c, &m, at, group_dim(g, m.M));
    loop_end(cg, &l);
    g->space = NULL;
    return true;
}
