/* export_sequence.c -- sequences, optionals and strings. */
#include <string.h>

#include "export.h"

static bool give(Exporter *e, const Node *n, Onnx__NodeProto *p)
{
    return export_give(e, p, node_out(n));
}

/* ---- sequences and optionals ---- */

bool export_seq_make(Exporter *e, const Node *n)
{
    const Type *t = &node_out(n)->type;
    Term *in = ARENA_ARRAY(e->arena, Term, n->nin + 1);
    for (int i = 0; i < n->nin; i++)
        in[i] = export_in(e, n, i);
    if (t->kind == TY_MAP)
        return export_gap(e, n, "maps");
    if (t->kind == TY_SEQUENCE && n->nin)
        return give(e, n, export_node(e, "SequenceConstruct", n->nin, in));
    Onnx__NodeProto *p = t->kind == TY_SEQUENCE ? EMIT0(e, "SequenceEmpty") : export_node(e, "Optional", n->nin, in);
    if (t->kind == TY_SEQUENCE)
        export_attr_i(e, p, "dtype", dtype_table[t->elem->dtype].onnx);
    else if (!n->nin)
        export_attr_type(e, p, "type", t->elem);
    return give(e, n, p);
}

/* Types are found again by whoever reads the file. */
bool export_seq_as(Exporter *e, const Node *n)
{
    if (node_in(n, 0)->type.kind != node_out(n)->type.kind)
        return export_gap(e, n, "a container that becomes another kind");
    export_bind(e, node_out(n), export_in(e, n, 0));
    return true;
}

bool export_seq_insert(Exporter *e, const Node *n)
{
    return give(e, n, EMIT(e, "SequenceInsert", export_in(e, n, 0), export_in(e, n, 1), export_in(e, n, 2)));
}

bool export_seq_erase(Exporter *e, const Node *n)
{
    return give(e, n, EMIT(e, "SequenceErase", export_in(e, n, 0), export_in(e, n, 1)));
}

static bool is_optional(const Node *n)
{
    return node_in(n, 0)->type.kind == TY_OPTIONAL;
}

/* An optional has one item or none. */
bool export_seq_length(Exporter *e, const Node *n)
{
    if (!is_optional(n))
        return give(e, n, EMIT(e, "SequenceLength", export_in(e, n, 0)));
    export_bind(e, node_out(n), export_as(e, TERM(e, "OptionalHasElement", export_in(e, n, 0)), DT_i64));
    return true;
}

static Onnx__NodeProto *item(Exporter *e, const Node *n)
{
    return is_optional(n) ? EMIT(e, "OptionalGetElement", export_in(e, n, 0)) : EMIT(e, "SequenceAt", export_in(e, n, 0), export_in(e, n, 1));
}

bool export_seq_at(Exporter *e, const Node *n) { return give(e, n, item(e, n)); }

/* The shape of a container's item, or of several joined: whoever reads the file again wants to know its rank, which the container need not say. */
static bool shape_of(Exporter *e, const Node *n, Onnx__NodeProto *p, int64_t rank)
{
    Term t = export_result(e, p);
    export_declare(e, t, node_in(n, 0)->type.elem->dtype, rank);
    return give(e, n, EMIT(e, "Shape", t));
}

bool export_seq_shape(Exporter *e, const Node *n) { return shape_of(e, n, item(e, n), NODE_ATTR(n, seq_shape)->rank); }
bool export_seq_get(Exporter *e, const Node *n) { return give(e, n, EMIT(e, "OptionalGetElement", export_in(e, n, 0))); }

static Onnx__NodeProto *joined(Exporter *e, const Node *n, int64_t axis, bool new_axis)
{
    Onnx__NodeProto *p = EMIT(e, "ConcatFromSequence", export_in(e, n, 0));
    export_attr_i(e, p, "axis", axis);
    export_attr_i(e, p, "new_axis", new_axis);
    return p;
}

bool export_seq_concat(Exporter *e, const Node *n)
{
    const Attr_seq_concat *a = NODE_ATTR(n, seq_concat);
    return give(e, n, joined(e, n, a->axis, a->new_axis));
}

bool export_seq_concat_shape(Exporter *e, const Node *n)
{
    const Attr_seq_concat_shape *a = NODE_ATTR(n, seq_concat_shape);
    return shape_of(e, n, joined(e, n, a->axis, a->new_axis), a->rank);
}

bool export_seq_split(Exporter *e, const Node *n)
{
    const Attr_seq_split *a = NODE_ATTR(n, seq_split);
    Onnx__NodeProto *p = EMIT(e, "SplitToSequence", export_in(e, n, 0), export_in(e, n, 1));
    export_attr_i(e, p, "axis", a->axis);
    export_attr_i(e, p, "keepdims", a->keep);
    return give(e, n, p);
}

/* ---- strings ---- */

bool export_str_eq(Exporter *e, const Node *n)
{
    return give(e, n, EMIT(e, "Equal", export_in(e, n, 0), export_in(e, n, 1)));
}

bool export_str_concat(Exporter *e, const Node *n)
{
    return give(e, n, EMIT(e, "StringConcat", export_in(e, n, 0), export_in(e, n, 1)));
}

static const char *text_of(Exporter *e, const StrElement *s)
{
    return arena_strn(e->arena, s->data, (size_t)s->bytes);
}

static bool split(Exporter *e, const Node *n, int64_t maxsplit, int output)
{
    const Tensor *delimiter = value_constant(node_in(n, 1));
    if (!delimiter || delimiter->count != 1)
        return export_gap(e, n, "a delimiter that only a run knows");
    Onnx__NodeProto *p = EMIT(e, "StringSplit", export_in(e, n, 0));
    export_attr_s(e, p, "delimiter", text_of(e, delimiter->data));
    if (maxsplit >= 0)
        export_attr_i(e, p, "maxsplit", maxsplit);
    if (output == 0)
        return export_give(e, p, node_out(n)) && (export_result(e, p), true);
    export_result(e, p);
    return export_give(e, p, node_out(n));
}

bool export_str_split(Exporter *e, const Node *n) { return split(e, n, NODE_ATTR(n, str_split)->maxsplit, 0); }
bool export_str_pieces(Exporter *e, const Node *n) { return split(e, n, NODE_ATTR(n, str_pieces)->maxsplit, 1); }

/* StringNormalizer takes a list. */
bool export_str_case(Exporter *e, const Node *n)
{
    const Type *t = &node_in(n, 0)->type;
    Term x = export_in(e, n, 0);
    Onnx__NodeProto *p = EMIT(e, "StringNormalizer", t->rank == 1 ? x : export_reshape_term(e, x, 1, (int64_t[]){ -1 }));
    export_attr_s(e, p, "case_change_action", NODE_ATTR(n, str_case)->upper ? "UPPER" : "LOWER");
    if (t->rank == 1)
        return give(e, n, p);
    return give(e, n, EMIT(e, "Reshape", export_result(e, p), export_sizes(e, t->rank, t->dim)));
}

bool export_str_find(Exporter *e, const Node *n)
{
    const Tensor *keys = value_constant(node_in(n, 1));
    if (!keys)
        return export_gap(e, n, "keys that only a run knows");
    const char **key = ARENA_ARRAY(e->arena, const char *, keys->count + 1);
    int64_t *number = ARENA_ARRAY(e->arena, int64_t, keys->count + 1);
    int count = 0;
    for (int64_t i = 0; i < keys->count; i++) {
        key[count] = text_of(e, (const StrElement *)keys->data + (keys->splat ? 0 : i));
        bool again = false;
        for (int k = 0; k < count; k++)
            again |= !strcmp(key[k], key[count]);
        number[count] = i;
        count += !again;                /* the first counts */
    }
    Onnx__NodeProto *p = EMIT(e, "LabelEncoder", export_in(e, n, 0));
    export_domain(e, p, "ai.onnx.ml");
    export_attr_strs(e, p, "keys_strings", (StrVec){ count, key });
    export_attr_ints(e, p, "values_int64s", (IntVec){ count, number });
    export_attr_i(e, p, "default_int64", -1);
    return give(e, n, p);
}
