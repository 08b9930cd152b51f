/* import_access.c -- what import.h offers to importer functions: inputs, outputs, attributes, constants, and ways to report. */
#include <stdarg.h>
#include <string.h>

#include "import_state.h"

enum { MAX_DIMS = 4096, MAX_INTS = 1 << 24 };       /* elements of an operand that means sizes, or a list of constants */

static const Onnx__NodeProto *proto(const Importer *c)
{
    return c->proto;
}

/* ---- problems ---- */

bool import_fail(Importer *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(c->m->arena, fmt, ap);
    va_end(ap);
    return diag_error(c->m->diag, c->b.loc, "%s: %s", c->op, what);
}

bool import_unsupported(Importer *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(c->m->arena, fmt, ap);
    va_end(ap);
    if (c->state->doubting) {
        Doubt *d = ARENA_NEW(c->m->arena, Doubt);
        *d = (Doubt){ c->b.loc, arena_printf(c->m->arena, "%s: %s is not supported", c->op, what), c->state->doubts };
        c->state->doubts = d;
        return false;
    }
    return diag_error(c->m->diag, c->b.loc, "%s: %s is not supported", c->op, what);
}

int64_t import_axis(Importer *c, int64_t axis, int rank, bool *ok)
{
    int64_t i = axis < 0 ? axis + rank : axis;
    if (i >= 0 && i < rank)
        return i;
    *ok = import_fail(c, "axis %lld is not an axis of a tensor of rank %d", (long long)axis, rank);
    return 0;
}

/* ---- inputs and outputs ---- */

int in_count(const Importer *c) { return (int)proto(c)->n_input; }
int out_count(const Importer *c) { return (int)proto(c)->n_output; }

Value *in(const Importer *c, int i)
{
    return i < in_count(c) ? c->input[i] : NULL;
}

bool out_wanted(const Importer *c, int i)
{
    return i < out_count(c) && proto(c)->output[i][0];
}

bool set_out(Importer *c, int i, Value *v)
{
    if (!v)
        return false;
    if (!out_wanted(c, i))
        return true;
    if (!v->name)
        v->name = arena_printf(c->m->arena, "%s%s", c->state->scope->call->path, proto(c)->output[i]);
    c->result[i] = v;
    return true;
}

bool set_outs(Importer *c, int n, Value *const *v)
{
    for (int i = 0; i < n; i++)
        if (out_wanted(c, i) && !set_out(c, i, v[i]))
            return false;
    return true;
}

/* ---- attributes ---- */

static const Onnx__AttributeProto *attr_named(const Onnx__NodeProto *p, const char *name)
{
    for (size_t i = 0; i < p->n_attribute; i++)
        if (!strcmp(p->attribute[i]->name, name))
            return p->attribute[i];
    return NULL;
}

const Onnx__AttributeProto *proto_attr(const Importer *c, const char *name)
{
    const Onnx__AttributeProto *a = attr_named(proto(c), name);
    return a && a->ref_attr_name[0] ? names_get(&c->state->scope->call->attr, a->ref_attr_name) : a;
}

/* The attribute if it holds what `type` says. Files before IR version 2 do not state the type. */
static const Onnx__AttributeProto *attr_typed(const Importer *c, const char *name, Onnx__AttributeProto__AttributeType type)
{
    const Onnx__AttributeProto *a = proto_attr(c, name);
    if (!a || a->type == type || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED)
        return a;
    diag_error(c->m->diag, c->b.loc, "%s: attribute '%s' holds another kind of value than the operator takes", c->op, name);
    return NULL;
}
#define ATTR_TYPED(c, name, type) attr_typed((c), (name), ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##type)

bool has_attr(const Importer *c, const char *name)
{
    return proto_attr(c, name) != NULL;
}

int64_t attr_i(const Importer *c, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = ATTR_TYPED(c, name, INT);
    return a ? a->i : otherwise;
}

double attr_f(const Importer *c, const char *name, double otherwise)
{
    const Onnx__AttributeProto *a = ATTR_TYPED(c, name, FLOAT);
    return a ? (double)a->f : otherwise;
}

static const char *text_of(const Importer *c, const ProtobufCBinaryData *s)
{
    return arena_strn(c->m->arena, s->len ? (const char *)s->data : "", s->len);
}

const char *attr_s(const Importer *c, const char *name, const char *otherwise)
{
    const Onnx__AttributeProto *a = ATTR_TYPED(c, name, STRING);
    return a ? text_of(c, &a->s) : otherwise;
}

IntVec attr_ints(const Importer *c, const char *name)
{
    const Onnx__AttributeProto *a = ATTR_TYPED(c, name, INTS);
    return a ? (IntVec){ (int)a->n_ints, a->ints } : (IntVec){ 0, NULL };
}

FloatVec attr_floats(const Importer *c, const char *name)
{
    const Onnx__AttributeProto *a = ATTR_TYPED(c, name, FLOATS);
    size_t n = a ? a->n_floats : 0;
    double *v = n ? ARENA_ARRAY(c->m->arena, double, n) : NULL;
    for (size_t i = 0; i < n; i++)
        v[i] = (double)a->floats[i];
    return (FloatVec){ (int)n, v };
}

StrVec attr_strs(const Importer *c, const char *name)
{
    const Onnx__AttributeProto *a = ATTR_TYPED(c, name, STRINGS);
    size_t n = a ? a->n_strings : 0;
    const char **v = n ? ARENA_ARRAY(c->m->arena, const char *, n) : NULL;
    for (size_t i = 0; i < n; i++)
        v[i] = text_of(c, &a->strings[i]);
    return (StrVec){ (int)n, v };
}

const Tensor *attr_tensor(const Importer *c, const char *name)
{
    const Onnx__AttributeProto *a = proto_attr(c, name);
    if (a && a->sparse_tensor)
        return tensor_read_sparse(&c->state->reader, a->sparse_tensor, c->b.loc);
    a = ATTR_TYPED(c, name, TENSOR);
    return a && a->t ? tensor_read(&c->state->reader, a->t, c->b.loc) : NULL;
}

DType attr_dtype(const Importer *c, const char *name, DType otherwise)
{
    const Onnx__AttributeProto *a = ATTR_TYPED(c, name, INT);
    DType t = a && a->i == (int)a->i ? dtype_from_onnx((int)a->i) : DT_none;
    if (!a)
        return otherwise;
    if (!t)
        diag_error(c->m->diag, c->b.loc, "%s: attribute '%s' is %lld, which is no known element type", c->op, name, (long long)a->i);
    return t;
}

/* ---- constants ---- */

const Tensor *in_constant(const Importer *c, int i)
{
    return value_fold(c->m, in(c, i));
}

bool in_ints(Importer *c, int i, IntVec *out)
{
    const Tensor *t = in_constant(c, i);
    if (!t || !dtype_is_int(t->dtype) || t->rank > 1 || t->count > MAX_INTS)
        return t ? import_fail(c, "input %d must be a list of integers", i) : import_unsupported(c, "input %d that is not a constant", i);
    int64_t *v = ARENA_ARRAY(c->m->arena, int64_t, t->count + 1);
    for (int64_t k = 0; k < t->count; k++)
        v[k] = tensor_get_i64(t, k);
    *out = (IntVec){ (int)t->count, v };
    return true;
}

bool in_dims(Importer *c, int i, DimVec *out)
{
    Value *x = in(c, i);
    if (!x)
        return import_fail(c, "input %d is missing", i);
    if (type_is_static(&x->type) && type_count(&x->type) > MAX_DIMS)
        return import_fail(c, "input %d has %lld elements, too many to be sizes", i, (long long)type_count(&x->type));
    return build_dims_of(&c->b, x, out);
}

bool in_scalar(Importer *c, int i, double otherwise, double *out)
{
    const Tensor *t = in_constant(c, i);
    *out = t && t->count == 1 && dtype_table[t->dtype].cls != CLS_OTHER ? tensor_get_f64(t, 0) : otherwise;
    return !in(c, i) || (t && t->count == 1) || value_scalar_f64(in(c, i), out) || import_unsupported(c, "input %d that is not a constant scalar", i);
}

bool ints_attr_or_in(Importer *c, const char *name, int i, IntVec *out, bool *found)
{
    *out = (IntVec){ 0, NULL };
    *found = has_attr(c, name) || in(c, i);
    if (!has_attr(c, name))
        return !in(c, i) || in_ints(c, i, out);
    *out = attr_ints(c, name);
    return true;
}
