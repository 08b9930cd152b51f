/* attrs.c -- see attrs.h. attr_equal and attr_hash must agree: what is equal hashes alike (so a splat hashes as the dense tensor it equals). */
#include "attrs.h"

#include <string.h>

const AttrInfo *attr_find(OpCode op, const char *name, size_t len)
{
    FOR_EACH_ATTR(f, op)
        if (strlen(f->name) == len && !memcmp(f->name, name, len))
            return f;
    return NULL;
}

const char *attr_kind_name(AttrKind k)
{
    static const char *const names[] = { [AK_i64] = "i64", [AK_f64] = "f64", [AK_bool] = "bool", [AK_str] = "str", [AK_dtype] = "dtype",
                                         [AK_ints] = "ints", [AK_floats] = "floats", [AK_strs] = "strs", [AK_dims] = "dims",
                                         [AK_tensor] = "tensor", [AK_graph] = "graph" };
    return names[k];
}

bool attr_is_default(AttrKind k, const void *field)
{
    uint64_t bits;
    switch (k) {
    case AK_i64: return *(const int64_t *)field == 0;
    case AK_f64: memcpy(&bits, field, sizeof bits); return bits == 0;       /* -0 is a value */
    case AK_bool: return !*(const bool *)field;
    case AK_str: return !*(const char *const *)field || !**(const char *const *)field;
    case AK_dtype: return *(const DType *)field == DT_none;
    case AK_ints: return ((const IntVec *)field)->n == 0;
    case AK_floats: return ((const FloatVec *)field)->n == 0;
    case AK_strs: return ((const StrVec *)field)->n == 0;
    case AK_dims: return ((const DimVec *)field)->n == 0;
    case AK_tensor: return !*(const Tensor *const *)field;
    case AK_graph: return !*(Graph *const *)field;
    }
    return true;
}

/* ---- equality ---- */

static bool same_str(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

static bool same_bytes(int na, const void *a, int nb, const void *b, size_t size)
{
    return na == nb && (!na || !memcmp(a, b, size * (size_t)na));
}

static bool same_strs(const StrVec *a, const StrVec *b)
{
    for (int i = 0; a->n == b->n && i < a->n; i++)
        if (!same_str(a->v[i], b->v[i]))
            return false;
    return a->n == b->n;
}

static bool same_tensor(const Tensor *a, const Tensor *b)
{
    return a == b || (a && b && tensor_equal(a, b));
}

bool attr_equal(AttrKind k, const void *a, const void *b)
{
    switch (k) {
    case AK_i64: return *(const int64_t *)a == *(const int64_t *)b;
    case AK_f64: return !memcmp(a, b, sizeof(double));
    case AK_bool: return *(const bool *)a == *(const bool *)b;
    case AK_str: return same_str(*(const char *const *)a, *(const char *const *)b);
    case AK_dtype: return *(const DType *)a == *(const DType *)b;
    case AK_ints: return same_bytes(((const IntVec *)a)->n, ((const IntVec *)a)->v, ((const IntVec *)b)->n, ((const IntVec *)b)->v, sizeof(int64_t));
    case AK_floats:
        return same_bytes(((const FloatVec *)a)->n, ((const FloatVec *)a)->v, ((const FloatVec *)b)->n, ((const FloatVec *)b)->v, sizeof(double));
    case AK_strs: return same_strs(a, b);
    case AK_dims: return same_bytes(((const DimVec *)a)->n, ((const DimVec *)a)->v, ((const DimVec *)b)->n, ((const DimVec *)b)->v, sizeof(Dim));
    case AK_tensor: return same_tensor(*(const Tensor *const *)a, *(const Tensor *const *)b);
    case AK_graph: return *(Graph *const *)a == *(Graph *const *)b;
    }
    return false;
}

bool attrs_equal(OpCode op, const void *a, const void *b)
{
    FOR_EACH_ATTR(f, op)
        if (!attr_equal(f->kind, attr_at(f, a), attr_at(f, b)))
            return false;
    return true;
}

/* ---- hash: FNV-1a ---- */

static uint32_t mix(uint32_t h, const void *data, size_t n)
{
    for (const unsigned char *p = data; n--; p++)
        h = (h ^ *p) * 16777619u;
    return h;
}

static uint32_t hash_str(uint32_t h, const char *s)
{
    return s ? mix(h, s, strlen(s)) : h;
}

/* Three elements stand for the rest: reading every weight of a model for a hash would fault in its whole file. */
static uint32_t hash_tensor(uint32_t h, const Tensor *t)
{
    if (!t)
        return h;
    h = mix(h, &t->dtype, sizeof t->dtype);
    if (t->rank)
        h = mix(h, t->dim, (size_t)t->rank * sizeof *t->dim);
    size_t size = (size_t)dtype_bytes(t->dtype);
    const int64_t at[] = { 0, t->count / 2, t->count - 1 };
    for (int i = 0; t->count > 0 && i < 3; i++)
        h = mix(h, (const char *)t->data + (t->splat ? 0 : (size_t)at[i] * size), size);
    return h;
}

static uint32_t hash_dims(uint32_t h, const DimVec *d)
{
    for (int i = 0; i < d->n; i++)
        h = mix(h, &d->v[i]->order, sizeof d->v[i]->order);
    return h;
}

static uint32_t attr_hash(uint32_t h, AttrKind k, const void *field)
{
    const StrVec *strs;
    switch (k) {
    case AK_i64: return mix(h, field, sizeof(int64_t));
    case AK_f64: return mix(h, field, sizeof(double));
    case AK_bool: return mix(h, field, sizeof(bool));
    case AK_str: return hash_str(h, *(const char *const *)field);
    case AK_dtype: return mix(h, field, sizeof(DType));
    case AK_ints: return mix(h, ((const IntVec *)field)->v, sizeof(int64_t) * (size_t)((const IntVec *)field)->n);
    case AK_floats: return mix(h, ((const FloatVec *)field)->v, sizeof(double) * (size_t)((const FloatVec *)field)->n);
    case AK_strs:
        strs = field;
        for (int i = 0; i < strs->n; i++)
            h = hash_str(h, strs->v[i]);
        return h;
    case AK_dims: return hash_dims(h, field);
    case AK_tensor: return hash_tensor(h, *(const Tensor *const *)field);
    case AK_graph: break;                       /* an address would make the order of buckets differ from run to run */
    }
    return h;
}

uint32_t attrs_hash(OpCode op, const void *a)
{
    uint32_t h = 2166136261u ^ (uint32_t)op;
    FOR_EACH_ATTR(f, op)
        if (!attr_is_default(f->kind, attr_at(f, a)))
            h = attr_hash(mix(h, &f->offset, sizeof f->offset), f->kind, attr_at(f, a));
    return h;
}
