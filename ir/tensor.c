/* tensor.c -- constant data: making tensors, reading and writing single elements of any dtype.
 *
 * Elements lie `store` bytes apart (dtypes.def); a splat keeps one. Small floats go through minifloat.h. tensor_get_* and
 * tensor_set_* are for constants, shapes and tests, one element at a time; bulk conversion is the evaluator's (eval_formula.c).
 */
#include <string.h>

#include "ir.h"
#include "minifloat.h"

static int64_t product(int rank, const int64_t *dim)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= dim[i];
    return n;
}

size_t tensor_bytes(const Tensor *t)
{
    return (size_t)(t->splat ? 1 : t->count) * (size_t)dtype_bytes(t->dtype);
}

static Tensor *tensor_header(Arena *a, DType type, int rank, const int64_t *dim)
{
    Tensor *t = ARENA_NEW(a, Tensor);
    t->dtype = type;
    t->rank = rank;
    t->dim = arena_copy(a, dim, (size_t)rank * sizeof *dim);
    t->count = product(rank, dim);
    return t;
}

Tensor *tensor_new(Arena *a, DType type, int rank, const int64_t *dim)
{
    Tensor *t = tensor_header(a, type, rank, dim);
    size_t bytes = tensor_bytes(t);
    t->data = arena_alloc(a, bytes < 64 ? 64 : bytes);      /* 64: aligned as vector code likes it */
    return t;
}

Tensor *tensor_splat(Arena *a, DType type, int rank, const int64_t *dim, const void *element)
{
    Tensor *t = tensor_header(a, type, rank, dim);
    t->splat = true;
    t->data = arena_copy(a, element, (size_t)dtype_bytes(type));
    return t;
}

const Tensor *tensor_dense(Arena *a, const Tensor *t)
{
    if (!t->splat)
        return t;
    Tensor *full = tensor_new(a, t->dtype, t->rank, t->dim);
    size_t size = (size_t)dtype_bytes(t->dtype), bytes = tensor_bytes(full);
    char *to = (char *)(uintptr_t)full->data;
    if (bytes)
        memcpy(to, t->data, size);
    for (size_t done = size; done < bytes; done *= 2)       /* doubling copies: as fast as memset */
        memcpy(to + done, to, done < bytes - done ? done : bytes - done);
    return full;
}

static const void *element_at(const Tensor *t, int64_t i)
{
    return (const char *)t->data + (t->splat ? 0 : i) * dtype_bytes(t->dtype);
}

/* The stored bits of one element as an unsigned number, or sign-extended for signed integers. */
static int64_t element_bits(const Tensor *t, int64_t i)
{
    const void *p = element_at(t, i);
    int bytes = dtype_bytes(t->dtype);
    uint64_t bits = 0;
    memcpy(&bits, p, (size_t)bytes);
    if (!dtype_is_signed(t->dtype))
        return (int64_t)bits;
    int shift = 64 - 8 * bytes;
    return (int64_t)(bits << shift) >> shift;
}

double tensor_get_f64(const Tensor *t, int64_t i)
{
    float f;
    double d;
    switch (dtype_table[t->dtype].cls) {
    case CLS_FLOAT:
        if (t->dtype == DT_f64) {
            memcpy(&d, element_at(t, i), sizeof d);
            return d;
        }
        memcpy(&f, element_at(t, i), sizeof f);
        return (double)f;
    case CLS_MINI:
        return (double)minifloat_to_f32(t->dtype, (uint32_t)element_bits(t, i));
    case CLS_UINT:
        return (double)(uint64_t)element_bits(t, i);
    case CLS_INT:
        return (double)element_bits(t, i);
    case CLS_BOOL:
        return element_bits(t, i) != 0;
    case CLS_OTHER:
        break;
    }
    return 0;
}

/* The rule of S_convert for float to integer: toward zero, NaN is 0, saturating at the 64-bit range. */
static int64_t double_to_bits(double x, bool to_unsigned)
{
    if (!(x == x))
        return 0;
    if (to_unsigned)
        return x <= -1 ? 0 : x >= 0x1p64 ? -1 : (int64_t)(uint64_t)x;
    return x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
}

int64_t tensor_get_i64(const Tensor *t, int64_t i)
{
    DTypeClass cls = dtype_table[t->dtype].cls;
    if (cls == CLS_FLOAT || cls == CLS_MINI)
        return double_to_bits(tensor_get_f64(t, i), false);
    if (cls == CLS_BOOL)
        return element_bits(t, i) != 0;
    return element_bits(t, i);
}

/* Low `bits` bits of x, sign- or zero-extended: how sub-byte integers are kept. */
static int64_t wrap_bits(int64_t x, int bits, bool is_signed)
{
    int shift = 64 - bits;
    uint64_t up = (uint64_t)x << shift;
    return is_signed ? (int64_t)up >> shift : (int64_t)(up >> shift);
}

void tensor_set_f64(Tensor *t, int64_t i, double x)
{
    void *p = (void *)(uintptr_t)element_at(t, i);
    const DTypeInfo *info = &dtype_table[t->dtype];
    float f = (float)x;
    uint64_t bits = 0;
    switch (info->cls) {
    case CLS_FLOAT:
        memcpy(p, t->dtype == DT_f64 ? (const void *)&x : (const void *)&f, (size_t)info->store);
        return;
    case CLS_MINI:
        bits = minifloat_from_f64(t->dtype, x, false);
        break;
    case CLS_INT:
        bits = (uint64_t)wrap_bits(double_to_bits(x, false), info->bits, true);
        break;
    case CLS_UINT:
        bits = (uint64_t)wrap_bits(double_to_bits(x, t->dtype == DT_u64), info->bits, false);
        break;
    case CLS_BOOL:
        bits = x != 0;
        break;
    case CLS_OTHER:
        return;
    }
    memcpy(p, &bits, (size_t)info->store);
}

static bool strings_equal(const Tensor *a, const Tensor *b)
{
    const StrElement *x = a->data, *y = b->data;
    for (int64_t i = 0; i < a->count; i++) {
        const StrElement *s = &x[a->splat ? 0 : i], *t = &y[b->splat ? 0 : i];
        if (s->bytes != t->bytes || (s->bytes && memcmp(s->data, t->data, (size_t)s->bytes) != 0))
            return false;
    }
    return true;
}

bool tensor_equal(const Tensor *a, const Tensor *b)
{
    if (a == b)
        return true;
    if (a->dtype != b->dtype || a->rank != b->rank)
        return false;
    if (a->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) != 0)
        return false;
    if (a->dtype == DT_str)
        return strings_equal(a, b);
    if (!a->splat && !b->splat)
        return !a->count || a->data == b->data || memcmp(a->data, b->data, tensor_bytes(a)) == 0;
    size_t size = (size_t)dtype_bytes(a->dtype);
    for (int64_t i = 0, n = a->splat && b->splat ? a->count > 0 : a->count; i < n; i++)
        if (memcmp(element_at(a, i), element_at(b, i), size) != 0)
            return false;
    return true;
}
