/* infer_sequence.c -- types of sequences, optionals and maps, and of what is taken from them. */
#include "infer.h"

static bool is_kind(Module *m, const Node *n, int i, TypeKind kind)
{
    const Type *t = in_type(n, i);
    return t->kind == kind || infer_fail(m, n, "operand %d is %s, not a %s", i, type_print(m, m->arena, t), type_kind_name[kind]);
}

static bool is_container(Module *m, const Node *n, int i)
{
    return in_type(n, i)->kind != TY_TENSOR || infer_fail(m, n, "operand %d is a tensor", i);
}

static bool is_position(Module *m, const Node *n, int i)
{
    if (!node_in(n, i))
        return true;
    return infer_operand(m, n, i, 0) && infer_is_index(m, n, i) &&
           (!dims_differ(m, type_count_dim(m, in_type(n, i)), dim_const(m->dims, 1)) || infer_fail(m, n, "the position is not one number"));
}

static bool merge(Module *m, Node *n, const Type *a, const Type *b, Type *out)
{
    return type_of_items(m, a, b, out) || infer_fail(m, n, "items of types %s and %s do not go together", type_print(m, m->arena, a), type_print(m, m->arena, b));
}

bool infer_seq_make(Module *m, Node *n)
{
    const Attr_seq_make *a = NODE_ATTR(n, seq_make);
    Type item = { .kind = TY_TENSOR, .dtype = a->elem, .rank = -2 };
    if (a->kind < TY_SEQUENCE || a->kind > TY_OPTIONAL || (a->kind == TY_OPTIONAL && n->nin > 1) || (!n->nin && !a->elem))
        return infer_fail(m, n, "%d operands for kind %lld, or no element type", n->nin, (long long)a->kind);
    for (int i = 0; i < n->nin; i++) {
        if (!node_in(n, i) || (in_type(n, i)->kind == TY_TENSOR && !infer_operand(m, n, i, 0)))
            return infer_fail(m, n, "operand %d is missing", i);
        if (!i)
            item = *in_type(n, 0);
        if (!merge(m, n, &item, in_type(n, i), &item))
            return false;
    }
    n->out[0].type = type_of_container(m, (TypeKind)a->kind, &item);
    return true;
}

bool infer_seq_as(Module *m, Node *n)
{
    const Attr_seq_as *a = NODE_ATTR(n, seq_as);
    Type both, item = { .kind = TY_TENSOR, .dtype = a->elem, .rank = (int)a->rank };
    if (!is_container(m, n, 0) || a->rank < -2 || a->rank > MAX_RANK || a->kind < TY_SEQUENCE || a->kind > TY_OPTIONAL || !a->elem)
        return infer_fail(m, n, "the type to be is not one");
    if (a->rank >= 0) {
        if (a->dims.n != a->rank)
            return infer_fail(m, n, "%d sizes for rank %lld", a->dims.n, (long long)a->rank);
        item = type_of_ints(m, a->elem, (int)a->rank, a->dims.v);
    }
    if (a->nested)
        item = type_of_container(m, TY_SEQUENCE, &item);
    Type to = type_of_container(m, (TypeKind)a->kind, &item);
    if (!merge(m, n, in_type(n, 0), &to, &both))
        return false;
    n->out[0].type = both;
    return true;
}

bool infer_seq_insert(Module *m, Node *n)
{
    Type item;
    if (!is_kind(m, n, 0, TY_SEQUENCE) || !infer_operand(m, n, 1, 0) || !is_position(m, n, 2) || !merge(m, n, in_type(n, 0)->elem, in_type(n, 1), &item))
        return false;
    n->out[0].type = type_of_container(m, TY_SEQUENCE, &item);
    return true;
}

bool infer_seq_erase(Module *m, Node *n)
{
    if (!is_kind(m, n, 0, TY_SEQUENCE) || !is_position(m, n, 1))
        return false;
    n->out[0].type = *in_type(n, 0);
    return true;
}

bool infer_seq_length(Module *m, Node *n)
{
    return is_container(m, n, 0) && infer_set(m, n, 0, DT_i64, 0, NULL);
}

static bool has_tensors(Module *m, const Node *n)
{
    return is_container(m, n, 0) && ((in_type(n, 0)->elem && in_type(n, 0)->elem->kind == TY_TENSOR) ||
                                     infer_fail(m, n, "the items of %s are no tensors", type_print(m, m->arena, in_type(n, 0))));
}

bool infer_seq_shape(Module *m, Node *n)
{
    int64_t rank = NODE_ATTR(n, seq_shape)->rank;
    if (rank < 0 || rank > MAX_RANK || !has_tensors(m, n) || !is_position(m, n, 1))
        return infer_fail(m, n, "rank %lld", (long long)rank);
    return infer_set(m, n, 0, DT_i64, 1, (Dim[]){ dim_const(m->dims, rank) });
}

bool infer_seq_at(Module *m, Node *n)
{
    const DimVec *shape = &NODE_ATTR(n, seq_at)->shape;
    return has_tensors(m, n) && is_position(m, n, 1) && infer_set(m, n, 0, in_type(n, 0)->elem->dtype, shape->n, shape->v);
}

bool infer_seq_get(Module *m, Node *n)
{
    if (!is_kind(m, n, 0, TY_OPTIONAL) || in_type(n, 0)->elem->kind == TY_TENSOR)
        return infer_fail(m, n, "an optional of a sequence is needed");
    n->out[0].type = *in_type(n, 0)->elem;
    return true;
}

bool infer_seq_concat_shape(Module *m, Node *n)
{
    const Attr_seq_concat_shape *a = NODE_ATTR(n, seq_concat_shape);
    return has_tensors(m, n) && infer_axis(m, n, a->axis, (int)a->rank) && infer_set(m, n, 0, DT_i64, 1, (Dim[]){ dim_const(m->dims, a->rank) });
}

bool infer_seq_concat(Module *m, Node *n)
{
    const Attr_seq_concat *a = NODE_ATTR(n, seq_concat);
    return has_tensors(m, n) && infer_axis(m, n, a->axis, a->shape.n) && infer_set(m, n, 0, in_type(n, 0)->elem->dtype, a->shape.n, a->shape.v);
}

/* ---- maps ---- */

bool infer_map_zip(Module *m, Node *n)
{
    if (!infer_operand(m, n, 0, 1) || !infer_operand(m, n, 1, 2))
        return false;
    const Type *keys = in_type(n, 0), *values = in_type(n, 1);
    if (keys->rank != 1 || (keys->dtype != DT_str && keys->dtype != DT_i64) || values->rank != 2 || dims_differ(m, keys->dim[0], values->dim[1]))
        return infer_fail(m, n, "a list of keys, i64 or strings, and rows of as many values are needed");
    Type value = type_tensor(m, values->dtype, 0, NULL), map = type_of_container(m, TY_MAP, &value);
    map.dtype = keys->dtype;
    n->out[0].type = type_of_container(m, TY_SEQUENCE, &map);
    return true;
}

static bool is_map(Module *m, const Node *n)
{
    if (!is_kind(m, n, 0, TY_MAP))
        return false;
    const Type *value = in_type(n, 0)->elem;
    return (value->kind == TY_TENSOR && value->rank == 0) || infer_fail(m, n, "the values of %s are no single elements", type_print(m, m->arena, in_type(n, 0)));
}

bool infer_map_size(Module *m, Node *n)
{
    return is_map(m, n) && infer_set(m, n, 0, DT_i64, 0, NULL);
}

static bool infer_part(Module *m, Node *n, const DimVec *size, bool keys)
{
    if (!is_map(m, n) || size->n != 1)
        return infer_fail(m, n, "a map and one size are needed");
    return infer_set(m, n, 0, keys ? in_type(n, 0)->dtype : in_type(n, 0)->elem->dtype, 1, size->v);
}

bool infer_map_keys(Module *m, Node *n)
{
    return infer_part(m, n, &NODE_ATTR(n, map_keys)->size, true);
}

bool infer_map_values(Module *m, Node *n)
{
    return infer_part(m, n, &NODE_ATTR(n, map_values)->size, false);
}

bool infer_seq_split(Module *m, Node *n)
{
    const Attr_seq_split *a = NODE_ATTR(n, seq_split);
    if (!infer_operand(m, n, 0, 1) || !infer_axis(m, n, a->axis, in_type(n, 0)->rank))
        return false;
    if (node_in(n, 1) && (!infer_operand(m, n, 1, 0) || in_type(n, 1)->rank > 1 || !infer_is_index(m, n, 1)))
        return infer_fail(m, n, "the sizes must be a number or a list");
    const Type *x = in_type(n, 0);
    bool drop = !node_in(n, 1) && !a->keep;
    Dim dim[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (!drop || i != a->axis)
            dim[rank++] = i == a->axis ? dim_const(m->dims, node_in(n, 1) ? -1 : 1) : x->dim[i];
    Type item = type_tensor(m, x->dtype, rank, dim);
    n->out[0].type = type_of_container(m, TY_SEQUENCE, &item);
    return true;
}
