/* gen_pad.c -- a pad as the result of a map, row by row: what lies inside is copied (or computed) as one run, whatever the size of the last dim.
 *
 *     rows: the dims before the last padded one            for each row:   outside       [ pad value ................... ]
 *     a row: that dim and all behind it, contiguous                        else          [ value | the operand's row | value ]
 */
#include "gen.h"

#include <string.h>

typedef LLVMValueRef Val;

typedef struct Pad {
    Group *g;
    const Node *n;
    const Value *x;
    const Attr_pad *attr;
    int axis;                       /* the last padded one */
    Space space;                    /* of x: one dim */
    Val before, inside, after, length;      /* elements of a row */
} Pad;

/* x and what it is computed from are read at one index, element by element. */
static bool is_pointwise_of(const Group *g, const Value *v, int *budget)
{
    const Node *n = v->def;
    if (group_operand(g, v) >= 0 || n->op == OP_constant)
        return true;
    if ((*budget)-- <= 0 || !((op_table[n->op].flags & OPF_EW) || n->op == OP_cast || n->op == OP_bitcast))
        return false;
    for (int i = 0; i < n->nin; i++)
        if (!is_pointwise_of(g, node_in(n, i), budget))
            return false;
    return true;
}

/* Pads of constant value, known and not negative; and an operand that is one run. */
static bool fits(Pad *p)
{
    int budget = 40;
    if ((p->attr->mode && *p->attr->mode && strcmp(p->attr->mode, "constant")) || p->x->type.dtype == DT_str || !is_pointwise_of(p->g, p->x, &budget))
        return false;
    p->axis = -1;
    for (int d = 0; d < p->x->type.rank; d++) {
        Dim a = p->attr->before.v[d], b = p->attr->after.v[d];
        if (!dim_is_const(a) || !dim_is_const(b) || a->k < 0 || b->k < 0)
            return false;
        if (a->k || b->k)
            p->axis = d;
    }
    p->space = group_space(p->g, p->x);
    for (int k = 0; k < p->g->noperand; k++)
        if (p->space.maybe_one[k][0])
            return false;
    return p->axis >= 0 && p->space.rank == 1;
}

static Val pad_value(const Pad *p, int lanes)
{
    Group *g = p->g;
    Index at = index_new(g, 0);
    const Value *k = node_in(p->n, 1);
    if (!k)
        return LLVMConstNull(cg_compute_type(g->cg, p->x->type.dtype, lanes));
    Val v = group_load(g, k, &at, 1);
    g->nmemo = 0;
    return lanes > 1 ? cg_splat(g->cg, v, lanes) : v;
}

/* Elements [to, to + count) of the result: from x at `from` on, or the pad value (from NULL). */
static void run(Pad *p, Val to, Val from, Val count, int lanes)
{
    Group *g = p->g;
    Codegen *cg = g->cg;
    Val fill = from ? NULL : pad_value(p, lanes), first = cg_i64(cg, 0);
    if (lanes == 1)
        first = LLVMBuildAnd(cg->b, count, cg_i64(cg, -CG_LANES), "");
    else
        count = LLVMBuildAnd(cg->b, count, cg_i64(cg, -CG_LANES), "");
    Loop l = loop_begin(cg, first, count, lanes, "run");
    Val v = fill;
    if (from) {
        Index at = index_new(g, 1);
        at.v[0] = LLVMBuildNSWAdd(cg->b, from, l.index, "");
        at.lane[0] = lanes > 1;
        g->space = &p->space;
        v = group_load(g, p->x, &at, lanes);
        g->space = NULL;
        g->nmemo = 0;
    }
    group_store(g, v, LLVMBuildNSWAdd(cg->b, to, l.index, ""), lanes, NULL);
    loop_end(cg, &l);
}

static void whole_run(Pad *p, Val to, Val from, Val count)
{
    run(p, to, from, count, CG_LANES);
    run(p, to, from, count, 1);
}

static Val product(Pad *p, Dim d, int from_axis)
{
    DimTable *dims = p->g->cg->m->dims;
    for (int i = from_axis; i < p->x->type.rank; i++)
        d = dim_mul(dims, d, p->x->type.dim[i]);
    return group_dim(p->g, d);
}

/* Is the row inside x, and which row of x is it? */
static Val row_inside(Pad *p, const Val *index, Val *row)
{
    Codegen *cg = p->g->cg;
    Val inside = LLVMConstInt(cg->i1, 1, false), in[MAX_RANK];
    for (int d = 0; d < p->axis; d++) {
        in[d] = LLVMBuildNSWSub(cg->b, index[d], group_dim(p->g, p->attr->before.v[d]), "");
        Val ok = LLVMBuildICmp(cg->b, LLVMIntULT, in[d], group_dim(p->g, p->x->type.dim[d]), "");
        inside = LLVMBuildAnd(cg->b, inside, ok, "");
    }
    *row = linear_offset(p->g, p->axis, p->x->type.dim, in);
    return inside;
}

static void emit_row(Pad *p, Val unit)
{
    Codegen *cg = p->g->cg;
    Val index[MAX_RANK], row, to = LLVMBuildNSWMul(cg->b, unit, p->length, "");
    split_index(p->g, unit, p->axis, node_out(p->n)->type.dim, index);
    Branch b = branch_begin(cg, row_inside(p, index, &row));
    whole_run(p, to, NULL, p->before);
    Val at = LLVMBuildNSWAdd(cg->b, to, p->before, "");
    whole_run(p, at, LLVMBuildNSWMul(cg->b, row, p->inside, ""), p->inside);
    whole_run(p, LLVMBuildNSWAdd(cg->b, at, p->inside, ""), NULL, p->after);
    branch_else(cg, &b);
    whole_run(p, to, NULL, p->length);
    branch_end(cg, &b);
}

bool gen_pad(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Codegen *cg = g->cg;
    DimTable *dims = cg->m->dims;
    Pad p = { .g = g, .n = g->result->def, .x = node_in(g->result->def, 0), .attr = NODE_ATTR(g->result->def, pad) };
    if (!fits(&p))
        return false;
    const Dim *out = node_out(p.n)->type.dim;
    p.before = product(&p, p.attr->before.v[p.axis], p.axis + 1);
    p.after = product(&p, p.attr->after.v[p.axis], p.axis + 1);
    p.inside = product(&p, dim_const(dims, 1), p.axis);
    p.length = product(&p, out[p.axis], p.axis + 1);
    *work = (Work){ dim_const(dims, 1), out[p.axis] };
    for (int d = 0; d < p.axis; d++)
        work->units = dim_mul(dims, work->units, out[d]);
    for (int d = p.axis + 1; d < p.x->type.rank; d++)
        work->cost = dim_mul(dims, work->cost, out[d]);
    Loop l = loop_begin(cg, begin, end, 1, "row");
    emit_row(&p, l.index);
    loop_end(cg, &l);
    return true;
}
