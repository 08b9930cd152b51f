/* infer_forest.c -- inference for tree_ensemble. What the tables contain is checked by the kernel as it walks. */
#include "infer.h"

static bool is_table(Module *m, const Node *n, int i, DType t, int rank)
{
    if (!infer_operand(m, n, i, rank))
        return false;
    const Type *type = in_type(n, i);
    return (type->dtype == t && type->rank == rank) ||
           infer_fail(m, n, "operand %d is %s, %s of rank %d is needed", i, type_print(m, m->arena, type), dtype_name(t), rank);
}

bool infer_tree_ensemble(Module *m, Node *n)
{
    static const char *const aggregates[] = { "sum", "avg", "min", "max", NULL };
    const Attr_tree_ensemble *a = NODE_ATTR(n, tree_ensemble);
    if (!infer_operand(m, n, 0, 2) || !infer_word_among(m, n, "aggregate", a->aggregate, aggregates))
        return false;
    DType t = in_type(n, 0)->dtype;
    if (t != DT_f32 && t != DT_f64)
        return infer_fail(m, n, "of %s is not supported", dtype_name(t));
    if (!is_table(m, n, 0, t, 2) || !is_table(m, n, 1, DT_i32, 2) || !is_table(m, n, 2, t, 1) || !is_table(m, n, 3, DT_i32, 1) ||
        !is_table(m, n, 4, DT_i32, 1) || !is_table(m, n, 5, t, 1))
        return false;
    if (dims_differ(m, in_type(n, 1)->dim[1], dim_const(m->dims, 4)) || dims_differ(m, in_type(n, 1)->dim[0], in_type(n, 2)->dim[0]) ||
        dims_differ(m, in_type(n, 4)->dim[0], in_type(n, 5)->dim[0]) || a->count < 1)
        return infer_fail(m, n, "the tables' sizes do not agree");
    return infer_set(m, n, 0, t, 2, (Dim[]){ in_type(n, 0)->dim[0], dim_const(m->dims, a->count) });
}
