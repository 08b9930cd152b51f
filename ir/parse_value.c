/* parse_value.c -- types, constants and attributes of textual IR. See parse.h; print.c writes what this reads. Attributes are read through op_table,
 * so there is no code per op.
 */
#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "attrs.h"

/* ---- types ---- */

static bool parse_dtype(Parser *p, DType *out)
{
    Word w = scan_peek(p);
    *out = dtype_from_name(w.s, (size_t)w.n);
    if (*out == DT_none)
        return scan_expected(p, "an element type such as f32");
    p->at += w.n;
    return true;
}

static bool parse_element_type(Parser *p, Type *out)
{
    if (scan_accept_word(p, "none"))
        return true;
    Type *elem = ARENA_NEW(p->arena, Type);
    out->elem = elem;
    return parse_type(p, elem);
}

static bool parse_container(Parser *p, Type *out)
{
    if (++p->nesting > MAX_NESTING)
        return scan_mistake(p, "types are nested more than %d deep", MAX_NESTING);
    if (!scan_expect(p, '<', "after the kind of type"))
        return false;
    if (out->kind == TY_MAP && (!parse_dtype(p, &out->dtype) || !scan_expect(p, ',', "after the key type")))
        return false;
    if (!parse_element_type(p, out) || !scan_expect(p, '>', "after the element type"))
        return false;
    p->nesting--;
    return true;
}

bool parse_type(Parser *p, Type *out)
{
    *out = (Type){ .kind = TY_TENSOR };
    for (TypeKind k = TY_SEQUENCE; k <= TY_MAP; k++)
        if (scan_accept_word(p, type_kind_name[k])) {
            out->kind = k;
            return parse_container(p, out);
        }
    if (!parse_dtype(p, &out->dtype) || !scan_expect(p, '[', "after the element type"))
        return false;
    if (scan_accept(p, '?')) {
        out->rank = -1;
        return scan_expect(p, ']', "after '?'");
    }
    if (scan_accept_word(p, "none")) {
        out->rank = -2;
        return scan_expect(p, ']', "after 'none'");
    }
    List dims = { .size = sizeof(Dim) };
    while (!scan_accept(p, ']')) {
        if (dims.n == MAX_RANK)
            return scan_mistake(p, "a type has more than %d axes", MAX_RANK);
        if ((dims.n && !scan_expect(p, ',', "between sizes")) || !scan_dim(p, list_push(p, &dims)))
            return false;
    }
    *out = type_tensor(p->m, out->dtype, dims.n, (const Dim *)(void *)dims.data);
    return true;
}

/* ---- tensors ---- */

static bool parse_const_dim(Parser *p, int64_t *out)
{
    return scan_int(p, out) && (*out >= 0 || scan_mistake(p, "the size %" PRId64 " of a constant is negative", *out));
}

static bool parse_integer_element(Parser *p, DType t, void *to)
{
    const DTypeInfo *info = &dtype_table[t];
    bool negative = (scan_space(p), *p->at == '-');
    char *end;
    if (!isdigit((unsigned char)p->at[negative]))
        return scan_expected(p, "an integer");
    errno = 0;
    uint64_t size = strtoull(p->at + negative, &end, 10);
    uint64_t most = info->cls == CLS_UINT ? UINT64_MAX >> (64 - info->bits) : (UINT64_MAX >> (65 - info->bits)) + negative;
    if (errno || size > (info->cls == CLS_UINT && negative ? 0 : most))
        return scan_mistake(p, "%.*s is beyond the range of %s", (int)(end - p->at > 40 ? 40 : end - p->at), p->at, info->name);
    uint64_t bits = negative ? 0 - size : size;
    memcpy(to, &bits, (size_t)info->store);
    p->at = end;
    return true;
}

static bool parse_element(Parser *p, Tensor *t, int64_t i)
{
    char *to = (char *)(uintptr_t)t->data + i * dtype_bytes(t->dtype);
    DTypeClass cls = dtype_table[t->dtype].cls;
    bool yes;
    double x;
    if (t->dtype == DT_str)
        return scan_text(p, (StrElement *)(void *)to);
    if (cls != CLS_FLOAT && scan_at_bits(p))
        return scan_bits(p, to, dtype_bytes(t->dtype));
    switch (cls) {
    case CLS_FLOAT: return t->dtype == DT_f32 ? scan_f32(p, (float *)(void *)to) : scan_f64(p, (double *)(void *)to);
    case CLS_INT: case CLS_UINT: return parse_integer_element(p, t->dtype, to);
    case CLS_BOOL:
        if (!scan_bool(p, &yes))
            return false;
        *to = yes;
        return true;
    case CLS_MINI:
        if (!scan_f64(p, &x))
            return false;
        tensor_set_f64(t, i, x);
        return true;
    default: return scan_expected(p, "an element as hexadecimal bits");
    }
}

static bool parse_dense(Parser *p, const Tensor *shape, const Tensor **out)
{
    if (shape->count > p->end - p->at)         /* fewer characters than elements: do not even allocate */
        return scan_mistake(p, "%" PRId64 " elements are expected, the text ends before", shape->count);
    Tensor *t = tensor_new(p->arena, shape->dtype, shape->rank, shape->dim);
    for (int64_t i = 0; i < t->count; i++)
        if ((i && !scan_expect(p, ',', "between elements")) || !parse_element(p, t, i))
            return false;
    *out = t;
    return scan_expect(p, ']', arena_printf(p->arena, "after %" PRId64 " elements", t->count));
}

static bool parse_splat(Parser *p, const Tensor *shape, const Tensor **out)
{
    Tensor *one = tensor_new(p->arena, shape->dtype, 0, NULL);
    if (!scan_expect(p, '(', "after splat") || !parse_element(p, one, 0) || !scan_expect(p, ')', "after the element"))
        return false;
    *out = tensor_splat(p->arena, shape->dtype, shape->rank, shape->dim, one->data);
    return true;
}

static bool parse_blob(Parser *p, Tensor *t, const Tensor **out)
{
    int64_t at, bytes;
    if (!scan_accept_word(p, "blob"))
        return scan_expected(p, "@blob");
    if (!scan_expect(p, ':', "after @blob") || !scan_int(p, &at) || !scan_expect(p, ',', "after the offset") || !scan_int(p, &bytes))
        return false;
    if (bytes != t->count * dtype_bytes(t->dtype))
        return scan_mistake(p, "@blob has %" PRId64 " bytes, the constant needs %" PRId64, bytes, t->count * dtype_bytes(t->dtype));
    if (at < 0 || bytes < 0 || (uint64_t)at > p->blob_bytes || (uint64_t)bytes > p->blob_bytes - (uint64_t)at)
        return scan_mistake(p, "@blob:%" PRId64 ",%" PRId64 " lies outside the %zu bytes of the constants' file", at, bytes, p->blob_bytes);
    if (at % 64)
        return scan_mistake(p, "the offset %" PRId64 " of @blob is not a multiple of 64", at);
    t->data = p->blob + at;
    *out = t;
    return true;
}

static bool parse_tensor_shape(Parser *p, Tensor *t)
{
    List dims = { .size = sizeof(int64_t) };
    t->count = 1;
    if (!parse_dtype(p, &t->dtype) || !scan_expect(p, '[', "after the element type"))
        return false;
    while (!scan_accept(p, ']')) {
        int64_t *d = list_push(p, &dims);
        if ((dims.n > 1 && !scan_expect(p, ',', "between sizes")) || !parse_const_dim(p, d))
            return false;
        if (dims.n > MAX_RANK)
            return scan_mistake(p, "a constant has more than %d axes", MAX_RANK);
        if (__builtin_mul_overflow(t->count, *d, &t->count) || t->count > INT64_MAX / 64)
            return scan_mistake(p, "a constant has too many elements");
    }
    t->rank = dims.n;
    t->dim = (const int64_t *)(void *)dims.data;
    return true;
}

static bool parse_tensor(Parser *p, const Tensor **out)
{
    Tensor *t = ARENA_NEW(p->arena, Tensor);
    if (!parse_tensor_shape(p, t))
        return false;
    if (scan_accept_word(p, "elided"))
        return scan_mistake(p, "this constant was printed without its data");
    if (scan_accept_word(p, "splat"))
        return parse_splat(p, t, out);
    if (scan_accept(p, '['))
        return parse_dense(p, t, out);
    if (t->dtype == DT_str)
        return scan_expected(p, "[strings]");
    return scan_accept(p, '@') ? parse_blob(p, t, out) : scan_expected(p, "[elements], splat(element) or @blob:offset,length");
}

/* ---- attributes ---- */

static bool parse_item(Parser *p, AttrKind k, void *to)
{
    switch (k) {
    case AK_ints: return scan_int(p, to);
    case AK_floats: return scan_f64(p, to);
    case AK_strs: return scan_string(p, to);
    default: return scan_dim(p, to);
    }
}

static bool parse_list(Parser *p, AttrKind k, List *l)
{
    l->size = k == AK_strs ? sizeof(char *) : k == AK_dims ? sizeof(Dim) : 8;
    if (!scan_expect(p, '[', "before a list"))
        return false;
    while (!scan_accept(p, ']'))
        if ((l->n && !scan_expect(p, ',', "between items of a list")) || !parse_item(p, k, list_push(p, l)))
            return false;
    return true;
}

static bool parse_list_attr(Parser *p, AttrKind k, void *field)
{
    List l = { 0 };
    if (!parse_list(p, k, &l))
        return false;
    void *items = l.data;
    if (k == AK_ints)
        *(IntVec *)field = (IntVec){ l.n, items };
    else if (k == AK_floats)
        *(FloatVec *)field = (FloatVec){ l.n, items };
    else if (k == AK_strs)
        *(StrVec *)field = (StrVec){ l.n, items };
    else
        *(DimVec *)field = (DimVec){ l.n, items };
    return true;
}

static bool parse_attr_value(Parser *p, AttrKind k, void *field, Graph *g)
{
    switch (k) {
    case AK_i64: return scan_int(p, field);
    case AK_f64: return scan_f64(p, field);
    case AK_bool: return scan_bool(p, field);
    case AK_str: return scan_string(p, field);
    case AK_dtype: return parse_dtype(p, field);
    case AK_ints: case AK_floats: case AK_strs: case AK_dims: return parse_list_attr(p, k, field);
    case AK_tensor: return parse_tensor(p, field);
    case AK_graph: return (*(Graph **)field = parse_graph(p, g)) != NULL;
    }
    return false;
}

static const char *list_attrs(const Parser *p, OpCode op)
{
    const char *s = "";
    FOR_EACH_ATTR(f, op)
        s = arena_printf(p->arena, "%s%s%s", s, *s ? ", " : "", f->name);
    return *s ? s : "none";
}

/* {name=value, ...} into an attribute struct; `seen` has one flag per attribute. */
static bool parse_attr(Parser *p, OpCode op, char *attrs, bool *seen, Graph *g)
{
    Word w = scan_peek(p);
    const AttrInfo *f = attr_find(op, w.s, (size_t)w.n);
    if (!w.n)
        return scan_expected(p, "the name of an attribute");
    if (!f)
        return scan_mistake(p, "%s has no attribute '%.*s'; it has: %s", op_name(op), w.n, w.s, list_attrs(p, op));
    if (seen[f - op_table[op].attr])
        return scan_mistake(p, "attribute %s is given twice", f->name);
    seen[f - op_table[op].attr] = true;
    p->at += w.n;
    return scan_expect(p, '=', "after the name of an attribute") && parse_attr_value(p, f->kind, attr_at(f, attrs), g);
}

bool parse_attrs(Parser *p, OpCode op, void *attrs, Graph *g)
{
    bool *seen = ARENA_ARRAY(p->arena, bool, op_table[op].nattr + 1);
    bool first = true;
    if (!scan_accept(p, '{'))
        return true;
    for (; !scan_accept(p, '}'); first = false)
        if ((!first && !scan_expect(p, ',', "between attributes")) || !parse_attr(p, op, attrs, seen, g))
            return false;
    return true;
}
