/* infer_forest.c -- inference for tree_ensemble and couple_pairs. What the tables contain is checked by the kernel as it walks. */
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
    int64_t words = t == DT_f32 ? 4 : 6;
    if (!is_table(m, n, 0, t, 2) || !is_table(m, n, 1, DT_i32, 2) || !is_table(m, n, 2, DT_i32, 1) || !is_table(m, n, 3, DT_i32, 1) ||
        !is_table(m, n, 4, t, 1))
        return false;
    if (dims_differ(m, in_type(n, 1)->dim[1], dim_const(m->dims, words)) || dims_differ(m, in_type(n, 3)->dim[0], in_type(n, 4)->dim[0]))
        return infer_fail(m, n, "the tables' sizes do not agree");
    if (a->count < 1 || a->test < -1 || a->test > 5)
        return infer_fail(m, n, "count is %lld and test %lld", (long long)a->count, (long long)a->test);
    return infer_set(m, n, 0, t, 2, (Dim[]){ in_type(n, 0)->dim[0], dim_const(m->dims, a->count) });
}

bool infer_couple_pairs(Module *m, Node *n)
{
    if (!infer_operand(m, n, 0, 3))
        return false;
    const Type *r = in_type(n, 0);
    if (r->rank != 3 || dims_differ(m, r->dim[1], r->dim[2]) || (r->dtype != DT_f32 && r->dtype != DT_f64))
        return infer_fail(m, n, "operand 0 is %s, square matrices of f32 or f64 are needed", type_print(m, m->arena, r));
    return infer_set(m, n, 0, r->dtype, 2, r->dim);
}
