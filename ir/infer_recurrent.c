/* infer_recurrent.c -- inference for `recurrent`. Sequence length and batch may be symbolic, the hidden size and the number of directions may not. */
#include "infer.h"
#include "recurrent.h"

enum { WX, R, LENGTHS, H0, C0, EXTRA };

static bool check_attrs(Module *m, const Node *n, const Attr_recurrent *a)
{
    const CellInfo *cell = cell_find(a->cell);
    if (!cell)
        return infer_fail(m, n, "there is no cell '%s'", a->cell ? a->cell : "");
    if (a->activations.n != cell->activations || a->alpha.n != cell->activations || a->beta.n != cell->activations)
        return infer_fail(m, n, "%d activations with as many alpha and beta are needed", cell->activations);
    for (int i = 0; i < a->activations.n; i++)
        if (!activation_find(a->activations.v[i]))
            return infer_fail(m, n, "there is no activation '%s'", a->activations.v[i]);
    return true;
}

/* Operand i, if present, has these sizes. */
static bool check_shape(Module *m, const Node *n, int i, int rank, const Dim *dim)
{
    if (i >= n->nin || !node_in(n, i))
        return true;
    Type want = type_tensor(m, in_type(n, i)->dtype, rank, dim);
    bool ok = infer_operand(m, n, i, rank) && in_type(n, i)->rank == rank;
    for (int d = 0; ok && d < rank; d++)
        ok = !dims_differ(m, in_type(n, i)->dim[d], dim[d]);
    return ok || infer_fail(m, n, "operand %d is %s, %s is needed", i, type_print(m, m->arena, in_type(n, i)), type_print(m, m->arena, &want));
}

static bool check_types(Module *m, const Node *n)
{
    DType t = in_type(n, WX)->dtype;
    if (t != DT_f32 && t != DT_f64 && t != DT_f16 && t != DT_bf16)
        return infer_fail(m, n, "of %s is not supported", dtype_name(t));
    for (int i = 0; i < n->nin; i++)
        if (node_in(n, i) && in_type(n, i)->dtype != (i == LENGTHS ? DT_i64 : t))
            return infer_fail(m, n, "operand %d is %s", i, type_print(m, m->arena, in_type(n, i)));
    return true;
}

static bool check_operands(Module *m, const Node *n, const Attr_recurrent *a)
{
    int64_t gates = cell_find(a->cell)->gates;
    if (!infer_operand(m, n, WX, 3) || !infer_operand(m, n, R, 3) || !check_types(m, n))
        return false;
    const Type *wx = in_type(n, WX), *r = in_type(n, R);
    if (wx->rank != 3 || r->rank != 3 || !dim_is_const(r->dim[0]) || !dim_is_const(r->dim[1]) || r->dim[1]->k < 1 || r->dim[0]->k < 1 || r->dim[0]->k > 2 ||
        !dim_is(r->dim[2], gates * r->dim[1]->k) || (a->reverse && r->dim[0]->k != 1))
        return infer_fail(m, n, "the recurrent weights are %s, [directions, hidden, %lld * hidden] is needed", type_print(m, m->arena, r), (long long)gates);
    Dim d = r->dim[0], b = wx->dim[1], h = r->dim[1];
    int64_t extra = a->linear_before_reset ? 1 : 3;
    return check_shape(m, n, WX, 3, (Dim[]){ wx->dim[0], b, dim_mul(m->dims, d, r->dim[2]) }) && check_shape(m, n, LENGTHS, 1, &b) &&
           check_shape(m, n, H0, 3, (Dim[]){ d, b, h }) && check_shape(m, n, C0, 3, (Dim[]){ d, b, h }) &&
           check_shape(m, n, EXTRA, 2, (Dim[]){ d, dim_mulk(m->dims, h, extra) });
}

bool infer_recurrent(Module *m, Node *n)
{
    const Attr_recurrent *a = NODE_ATTR(n, recurrent);
    if (!check_attrs(m, n, a) || !check_operands(m, n, a))
        return false;
    int results = 2 + cell_find(a->cell)->has_c;
    if (n->nout != results)
        return infer_fail(m, n, "%d results, a cell '%s' has %d", n->nout, a->cell, results);
    const Type *wx = in_type(n, WX), *r = in_type(n, R);
    Dim state[3] = { r->dim[0], wx->dim[1], r->dim[1] };
    for (int i = 1; i < results; i++)
        if (!infer_set(m, n, i, wx->dtype, 3, state))
            return false;
    return infer_set(m, n, 0, wx->dtype, 4, (Dim[]){ wx->dim[0], r->dim[0], wx->dim[1], r->dim[1] });
}
