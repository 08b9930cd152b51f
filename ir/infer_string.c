/* infer_string.c -- types of the ops on tensors of strings. */
#include "infer.h"

static bool is_text(Module *m, const Node *n, int i, int min_rank)
{
    return infer_operand(m, n, i, min_rank) && (in_type(n, i)->dtype == DT_str || infer_fail(m, n, "operand %d is %s, strings are needed", i, dtype_name(in_type(n, i)->dtype)));
}

static bool alike(Module *m, const Node *n)
{
    if (!is_text(m, n, 0, 0) || !is_text(m, n, 1, 0))
        return false;
    const Type *a = in_type(n, 0), *b = in_type(n, 1);
    bool same = a->rank == b->rank;
    for (int k = 0; same && k < a->rank; k++)
        same = !dims_differ(m, a->dim[k], b->dim[k]);
    return same || infer_fail(m, n, "shapes %s and %s differ", type_print(m, m->arena, a), type_print(m, m->arena, b));
}

bool infer_str_eq(Module *m, Node *n)
{
    return alike(m, n) && infer_set(m, n, 0, DT_bool, in_type(n, 0)->rank, in_type(n, 0)->dim);
}

bool infer_str_concat(Module *m, Node *n)
{
    return alike(m, n) && infer_set(m, n, 0, DT_str, in_type(n, 0)->rank, in_type(n, 0)->dim);
}

bool infer_str_case(Module *m, Node *n)
{
    return is_text(m, n, 0, 0) && infer_set(m, n, 0, DT_str, in_type(n, 0)->rank, in_type(n, 0)->dim);
}

bool infer_str_format(Module *m, Node *n)
{
    const Type *x = in_type(n, 0);
    if (!infer_operand(m, n, 0, 0))
        return false;
    if (dtype_table[x->dtype].cls == CLS_OTHER)
        return infer_fail(m, n, "of %s is not supported", dtype_name(x->dtype));
    return infer_set(m, n, 0, DT_str, x->rank, x->dim);
}

bool infer_str_parse(Module *m, Node *n)
{
    DType to = NODE_ATTR(n, str_parse)->to;
    if (!is_text(m, n, 0, 0))
        return false;
    if (dtype_table[to].cls == CLS_OTHER)
        return infer_fail(m, n, "to %s is not supported", dtype_name(to));
    return infer_set(m, n, 0, to, in_type(n, 0)->rank, in_type(n, 0)->dim);
}

bool infer_str_find(Module *m, Node *n)
{
    if (!is_text(m, n, 0, 0) || !is_text(m, n, 1, 1) || in_type(n, 1)->rank != 1)
        return infer_fail(m, n, "the keys must be a list of strings");
    return infer_set(m, n, 0, DT_i64, in_type(n, 0)->rank, in_type(n, 0)->dim);
}

/* The kernel follows the program, so it must be one that import_regex.c wrote: constant, every target in it, a match at its end. */
static bool is_program(const Tensor *code, const Tensor *ranges)
{
    bool ok = code && ranges && code->dtype == DT_i32 && ranges->dtype == DT_i32 && code->rank == 2 && ranges->rank == 2 && code->dim[1] == 3 && ranges->dim[1] == 2;
    int64_t n = ok ? code->dim[0] : 0;
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t kind = tensor_get_i64(code, 3 * i), a = tensor_get_i64(code, 3 * i + 1), b = tensor_get_i64(code, 3 * i + 2);
        ok = kind == 0 ? a >= 0 && b >= 0 && a + b <= ranges->dim[0] && i + 1 < n : kind == 1 ? a >= 0 && a < n && b >= 0 && b < n
             : kind == 2 ? a >= 0 && a < n : kind == 3 || (kind == 4 && i + 1 < n);
    }
    return ok && n && tensor_get_i64(code, 3 * (n - 1)) == 3;
}

bool infer_str_match(Module *m, Node *n)
{
    if (!is_text(m, n, 0, 0) || !infer_operand(m, n, 1, 2) || !infer_operand(m, n, 2, 2))
        return false;
    if (!is_program(value_constant(n->in[1].val), value_constant(n->in[2].val)))
        return infer_fail(m, n, "the program is not sound");
    return infer_set(m, n, 0, DT_bool, in_type(n, 0)->rank, in_type(n, 0)->dim);
}

bool infer_str_drop(Module *m, Node *n)
{
    const DimVec *count = &NODE_ATTR(n, str_drop)->count;
    if (!is_text(m, n, 0, 1) || !infer_operand(m, n, 1, 1) || in_type(n, 0)->rank != 1 || in_type(n, 1)->rank != 1 || in_type(n, 1)->dtype != DT_i64 ||
        dims_differ(m, in_type(n, 0)->dim[0], in_type(n, 1)->dim[0]))
        return infer_fail(m, n, "a list of strings and as many i64 are needed");
    if (count->n != 1 || count->v[0]->op != DIM_SYM)
        return infer_fail(m, n, "count must be one symbol");
    return infer_set(m, n, 0, DT_str, 1, count->v);
}

static bool has_delimiter(Module *m, const Node *n)
{
    return is_text(m, n, 0, 0) && is_text(m, n, 1, 0) && (!dims_differ(m, type_count_dim(m, in_type(n, 1)), dim_const(m->dims, 1)) ||
                                                          infer_fail(m, n, "the delimiter is not one string"));
}

bool infer_str_pieces(Module *m, Node *n)
{
    return has_delimiter(m, n) && infer_set(m, n, 0, DT_i64, in_type(n, 0)->rank, in_type(n, 0)->dim);
}

bool infer_str_split(Module *m, Node *n)
{
    const DimVec *width = &NODE_ATTR(n, str_split)->width;
    Dim dim[MAX_RANK + 1];
    if (!has_delimiter(m, n) || width->n != 1)
        return infer_fail(m, n, "width must be one size");
    infer_copy_dims(dim, in_type(n, 0));
    dim[in_type(n, 0)->rank] = width->v[0];
    return infer_set(m, n, 0, DT_str, in_type(n, 0)->rank + 1, dim);
}
