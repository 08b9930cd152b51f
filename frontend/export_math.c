/* export_math.c -- elementwise ops that ONNX has no operator for, or only one for other element types, in terms of those it has. */
#include <math.h>
#include <string.h>

#include "export.h"

static DType type_in(const Node *n) { return node_in(n, 0)->type.dtype; }

static bool give(Exporter *e, const Node *n, const char *op, Term x, Term y)
{
    return export_give(e, EMIT(e, op, x, y), node_out(n));
}

/* Unsigned: 0 - x, which wraps. */
bool export_neg(Exporter *e, const Node *n)
{
    Term x = export_in(e, n, 0);
    if (dtype_table[type_in(n)].cls == CLS_UINT)
        return give(e, n, "Sub", export_scalar(e, type_in(n), 0), x);
    return give(e, n, "Neg", x, NULL);
}

bool export_trunc(Exporter *e, const Node *n)
{
    Term x = export_in(e, n, 0), negative = TERM(e, "Less", x, export_scalar(e, type_in(n), 0));
    return export_give(e, EMIT(e, "Where", negative, TERM(e, "Ceil", x), TERM(e, "Floor", x)), node_out(n));
}

/* Elu is exp(x) - 1 where that is negative, and expm1(x) = -exp(x) * expm1(-x). */
bool export_expm1(Exporter *e, const Node *n)
{
    Term x = export_in(e, n, 0), below = TERM(e, "Elu", TERM(e, "Neg", TERM(e, "Abs", x)));
    Term above = TERM(e, "Mul", TERM(e, "Neg", below), TERM(e, "Exp", x));
    return export_give(e, EMIT(e, "Where", TERM(e, "Less", x, export_scalar(e, type_in(n), 0)), below, above), node_out(n));
}

/* With u = 1 + x rounded: log(u) * x / (u - 1), where the two errors cancel (W. Kahan); x itself where u is 1, log(x) where u is x. */
bool export_log1p(Exporter *e, const Node *n)
{
    Term x = export_in(e, n, 0), one = export_scalar(e, type_in(n), 1), u = TERM(e, "Add", x, one), log_u = TERM(e, "Log", u);
    Term better = TERM(e, "Mul", log_u, TERM(e, "Div", x, TERM(e, "Sub", u, one)));
    Term large = TERM(e, "Where", TERM(e, "Equal", u, x), log_u, better);
    return export_give(e, EMIT(e, "Where", TERM(e, "Equal", u, one), x, large), node_out(n));
}

/* ONNX's Mod of floats has the sign of the dividend; the divisor is added where that is the other sign. */
bool export_mod(Exporter *e, const Node *n)
{
    Term x = export_in(e, n, 0), y = export_in(e, n, 1);
    if (!dtype_is_float(type_in(n)))
        return give(e, n, "Mod", x, y);
    Onnx__NodeProto *p = EMIT(e, "Mod", x, y);
    export_attr_i(e, p, "fmod", 1);
    Term r = export_result(e, p), zero = export_scalar(e, type_in(n), 0);
    Term other = TERM(e, "Less", TERM(e, "Mul", TERM(e, "Sign", r), TERM(e, "Sign", y)), zero);
    return export_give(e, EMIT(e, "Where", other, TERM(e, "Add", r, y), r), node_out(n));
}

bool export_fmod(Exporter *e, const Node *n)
{
    Onnx__NodeProto *p = EMIT(e, "Mod", export_in(e, n, 0), export_in(e, n, 1));
    export_attr_i(e, p, "fmod", 1);
    return export_give(e, p, node_out(n));
}

bool export_ne(Exporter *e, const Node *n)
{
    return give(e, n, "Not", TERM(e, "Equal", export_in(e, n, 0), export_in(e, n, 1)), NULL);
}

/* ONNX shifts unsigned integers only. Left, the bits are the same. */
static bool shift(Exporter *e, const Node *n, const char *direction)
{
    static const DType as_unsigned[DT_count] = { [DT_i8] = DT_u8, [DT_i16] = DT_u16, [DT_i32] = DT_u32, [DT_i64] = DT_u64 };
    DType t = type_in(n), u = as_unsigned[t];
    Term x = export_in(e, n, 0), y = export_in(e, n, 1);
    if (u && !strcmp(direction, "RIGHT"))
        return export_gap(e, n, "a signed shift to the right");
    Onnx__NodeProto *p = u ? EMIT(e, "BitShift", export_as(e, x, u), export_as(e, y, u)) : EMIT(e, "BitShift", x, y);
    export_attr_s(e, p, "direction", direction);
    if (!u)
        return export_give(e, p, node_out(n));
    Onnx__NodeProto *back = EMIT(e, "Cast", export_result(e, p));
    export_attr_i(e, back, "to", dtype_table[t].onnx);
    return export_give(e, back, node_out(n));
}

bool export_shl(Exporter *e, const Node *n) { return shift(e, n, "LEFT"); }
bool export_shr(Exporter *e, const Node *n) { return shift(e, n, "RIGHT"); }

bool export_cast(Exporter *e, const Node *n)
{
    const Attr_cast *a = NODE_ATTR(n, cast);
    Onnx__NodeProto *p = EMIT(e, "Cast", export_in(e, n, 0));
    export_attr_i(e, p, "to", dtype_table[a->to].onnx);
    bool eight = dtype_table[a->to].cls == CLS_MINI && dtype_table[a->to].bits == 8;     /* only then ONNX Runtime takes the attribute */
    if (!a->saturate && eight)
        export_attr_i(e, p, "saturate", 0);
    export_need_type(e, a->to);
    return export_give(e, p, node_out(n));
}

/* To text and back is a Cast in ONNX. */
static bool cast_text(Exporter *e, const Node *n, DType to)
{
    Onnx__NodeProto *p = EMIT(e, "Cast", export_in(e, n, 0));
    export_attr_i(e, p, "to", dtype_table[to].onnx);
    return export_give(e, p, node_out(n));
}

bool export_str_format(Exporter *e, const Node *n) { return cast_text(e, n, DT_str); }
bool export_str_parse(Exporter *e, const Node *n) { return cast_text(e, n, NODE_ATTR(n, str_parse)->to); }

bool export_bitcast(Exporter *e, const Node *n)
{
    Onnx__NodeProto *p = EMIT(e, "BitCast", export_in(e, n, 0));
    export_attr_i(e, p, "to", dtype_table[NODE_ATTR(n, bitcast)->to].onnx);
    export_need_opset(e, 26);
    return export_give(e, p, node_out(n));
}
