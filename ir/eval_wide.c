/* eval_wide.c -- see eval_wide.h. Loads and stores have a loop of their own for the common dtypes and go element by element for the rest. */
#include "eval_wide.h"

#include <string.h>

#define LOAD(T, field) \
    for (int64_t k = 0; k < n; k++) \
        to[k].field = ((const T *)t->data)[first + k * stride]

void wide_load(Wide *to, const Tensor *t, int64_t first, int64_t stride, int64_t n)
{
    if (t->splat)
        first = stride = 0;
    switch (t->dtype) {
    case DT_f32: LOAD(float, f); return;
    case DT_f64: LOAD(double, f); return;
    case DT_i64: LOAD(int64_t, i); return;
    case DT_i32: LOAD(int32_t, i); return;
    default: break;
    }
    bool floats = dtype_is_float(t->dtype);
    for (int64_t k = 0; k < n; k++) {
        if (floats)
            to[k].f = tensor_get_f64(t, first + k * stride);
        else
            to[k].i = tensor_get_i64(t, first + k * stride);
    }
}

/* Integers keep their low bits, sign- or zero-extended to the byte they are stored in. */
static void store_int(const Tensor *t, int64_t at, int64_t x)
{
    const DTypeInfo *d = &dtype_table[t->dtype];
    int shift = 64 - d->bits;
    uint64_t up = (uint64_t)x << shift;
    int64_t bits = d->cls == CLS_INT ? (int64_t)up >> shift : (int64_t)(up >> shift);
    if (d->cls == CLS_BOOL)
        bits = x != 0;
    memcpy((char *)(uintptr_t)t->data + at * d->store, &bits, (size_t)d->store);
}

#define STORE(T, field) \
    for (int64_t k = 0; k < n; k++) \
        ((T *)(uintptr_t)t->data)[first + k * stride] = (T)from[k].field

void wide_store(const Tensor *t, int64_t first, int64_t stride, const Wide *from, int64_t n)
{
    Tensor target = *t;
    switch (t->dtype) {
    case DT_f32: STORE(float, f); return;
    case DT_f64: STORE(double, f); return;
    case DT_i64: STORE(int64_t, i); return;
    default: break;
    }
    bool floats = dtype_is_float(t->dtype);
    for (int64_t k = 0; k < n; k++) {
        if (floats)
            tensor_set_f64(&target, first + k * stride, from[k].f);
        else
            store_int(t, first + k * stride, from[k].i);
    }
}

Wide *wide_of(Arena *a, const Tensor *t)
{
    Wide *w = ARENA_ARRAY(a, Wide, t->count + 1);
    wide_load(w, t, 0, 1, t->count);
    return w;
}

bool wide_less(DType t, Wide x, Wide y)
{
    if (dtype_is_float(t))
        return x.f < y.f;
    return t == DT_u64 ? (uint64_t)x.i < (uint64_t)y.i : x.i < y.i;
}

Wide wide_pick(DType t, bool larger, Wide x, Wide y)
{
    if (wide_is_nan(t, x))
        return x;
    if (wide_is_nan(t, y))
        return y;
    return (larger ? wide_less(t, x, y) : wide_less(t, y, x)) ? y : x;
}

/* ---- product of matrices: tiles of 4 rows by WIDE_COLS columns, held in locals ---- */

enum { ROWS = 4 };

#define TILE(name, T, field) \
    static void name(int rows, int64_t n, int64_t k, const Wide *a, const Wide *b, Wide *c) \
    { \
        T acc[ROWS][WIDE_COLS] = { { 0 } }; \
        const Wide *row[ROWS]; \
        for (int i = 0; i < ROWS; i++) \
            row[i] = a + (i < rows ? i : 0) * k; \
        for (int64_t p = 0; p < k; p++) \
            for (int i = 0; i < ROWS; i++) \
                for (int j = 0; j < WIDE_COLS; j++) \
                    acc[i][j] += (T)row[i][p].field * (T)b[p * n + j].field; \
        for (int i = 0; i < rows; i++) \
            for (int j = 0; j < WIDE_COLS; j++) \
                c[i * n + j].field = (__typeof__(c->field))acc[i][j]; \
    }

TILE(tile_f, double, f)
TILE(tile_i, uint64_t, i)

void wide_gemm(bool floats, int64_t m, int64_t n, int64_t k, const Wide *a, const Wide *b, Wide *c)
{
    for (int64_t j = 0; j < n; j += WIDE_COLS)
        for (int64_t i = 0; i < m; i += ROWS) {
            int rows = m - i < ROWS ? (int)(m - i) : ROWS;
            (floats ? tile_f : tile_i)(rows, n, k, a + i * k, b + j, c + i * n + j);
        }
}
