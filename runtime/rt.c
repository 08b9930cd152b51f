/* rt.c -- small things the runtime's files share: error sentences, element types, shapes, strided copies. */
#include "rt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int ingot_fail(ingot_error *err, int status, const char *fmt, ...)
{
    if (!err)
        return status;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return err->status = status;
}

int ingot_fine(ingot_error *err)
{
    if (err) {
        err->status = INGOT_OK;
        err->text[0] = 0;
    }
    return INGOT_OK;
}

typedef struct DTypeRow {
    const char *name;
    unsigned char bytes;
} DTypeRow;

static const DTypeRow dtype_rows[] = {
#define DTYPE(name, onnx, bits, store, cls, npy) [onnx] = { #name, store },
#include "../ir/dtypes.def"
#undef DTYPE
    [INGOT_SEQUENCE] = { "sequence", sizeof(ingot_tensor) }, [INGOT_OPTIONAL] = { "optional", sizeof(ingot_tensor) }, [INGOT_MAP] = { "map", sizeof(ingot_tensor) },
};
#define DTYPE(name, onnx, bits, store, cls, npy) _Static_assert(INGOT_##name == onnx, "ingot.h and dtypes.def disagree on " #name);
#include "../ir/dtypes.def"
#undef DTYPE
_Static_assert(sizeof(ingot_string) == 16, "dtypes.def says 16 bytes for a string");

static const DTypeRow *dtype_row(int32_t dtype)
{
    static const DTypeRow unknown = { "?", 0 };
    bool known = dtype > 0 && dtype < (int32_t)(sizeof dtype_rows / sizeof *dtype_rows) && dtype_rows[dtype].name;
    return known ? &dtype_rows[dtype] : &unknown;
}

size_t ingot_dtype_bytes(int32_t dtype)
{
    return dtype_row(dtype)->bytes;
}

const char *ingot_dtype_name(int32_t dtype)
{
    return dtype_row(dtype)->name;
}

int64_t ingot_product(int rank, const int64_t *dim)
{
    int64_t n = 1;
    bool zero = false, overflow = false;
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0)
            return -1;
        zero |= dim[i] == 0;
        overflow |= __builtin_mul_overflow(n, dim[i], &n);
    }
    return zero ? 0 : overflow ? -1 : n;
}

int64_t ingot_count(const ingot_tensor *t)
{
    return t->rank >= 0 && t->rank <= INGOT_MAX_RANK ? ingot_product(t->rank, t->dim) : -1;
}

const char *ingot_dims_text(int rank, const int64_t *dim, char *text, size_t bytes)
{
    size_t at = 0;
    for (int i = 0; i < rank && at < bytes; i++)
        at += (size_t)snprintf(text + at, bytes - at, "%s%lld", i ? "," : "[", (long long)dim[i]);
    if (at < bytes)
        snprintf(text + at, bytes - at, "%s", rank > 0 ? "]" : "[]");
    return text;
}

bool ingot_is_contiguous(const ingot_tensor *t)
{
    int64_t step = 1;
    for (int i = t->rank - 1; t->stride && i >= 0; i--) {
        if (t->dim[i] != 1 && t->stride[i] != step)
            return false;
        step *= t->dim[i];
    }
    return true;
}

/* Walk every element in row-major order; the innermost axis is a loop of its own. */
static void copy_strided(const ingot_tensor *t, char *dense, bool gather)
{
    size_t size = ingot_dtype_bytes(t->dtype);
    int64_t index[INGOT_MAX_RANK] = { 0 }, rows = 1, inner = t->rank ? t->dim[t->rank - 1] : 1;
    int64_t step = t->rank ? t->stride[t->rank - 1] * (int64_t)size : 0;
    for (int i = 0; i < t->rank - 1; i++)
        rows *= t->dim[i];
    for (int64_t r = 0; r < rows; r++) {
        char *p = t->data;
        for (int i = 0; i < t->rank - 1; i++)
            p += index[i] * t->stride[i] * (int64_t)size;
        for (int64_t k = 0; k < inner; k++, p += step, dense += size)
            memcpy(gather ? dense : p, gather ? p : dense, size);
        for (int i = t->rank - 2; i >= 0 && ++index[i] == t->dim[i]; i--)
            index[i] = 0;
    }
}

void ingot_gather(const ingot_tensor *t, void *dense)
{
    if (ingot_is_contiguous(t))
        memcpy(dense, t->data, (size_t)ingot_count(t) * ingot_dtype_bytes(t->dtype));
    else
        copy_strided(t, dense, true);
}

void ingot_scatter(const ingot_tensor *t, const void *dense)
{
    if (ingot_is_contiguous(t))
        memcpy(t->data, dense, (size_t)ingot_count(t) * ingot_dtype_bytes(t->dtype));
    else
        copy_strided(t, (char *)(uintptr_t)dense, false);
}

size_t ingot_put_utf8(uint32_t c, char *to)
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
    return n;
}
