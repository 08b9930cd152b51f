/* eval_wide.h -- tensor elements widened to 64 bits: floats as double, integers and bool as int64_t (u64 keeps its bits).
 * Structural ops compute on these, and round or wrap once when they store.
 */
#ifndef INGOT_EVAL_WIDE_H
#define INGOT_EVAL_WIDE_H

#include "ir.h"

typedef union Wide { double f; int64_t i; } Wide;

/* to[k] = element first + k * stride of t, k < n. */
void wide_load(Wide *to, const Tensor *t, int64_t first, int64_t stride, int64_t n);
void wide_store(const Tensor *t, int64_t first, int64_t stride, const Wide *from, int64_t n);
Wide *wide_of(Arena *a, const Tensor *t);                   /* all elements */
/* x before y in the order of dtype t; false if either is NaN. */
bool wide_less(DType t, Wide x, Wide y);
/* The larger (or smaller) of two; NaN if either is. */
Wide wide_pick(DType t, bool larger, Wide x, Wide y);
static inline bool wide_is_nan(DType t, Wide x) { return dtype_is_float(t) && x.f != x.f; }

/* c[m][n] = sum over k of a[m][k] * b[k][n], k in rising order, one product added at a time. Integers wrap.
 * n is a multiple of WIDE_COLS; rows of b and c are n apart. */
enum { WIDE_COLS = 8 };
void wide_gemm(bool floats, int64_t m, int64_t n, int64_t k, const Wide *a, const Wide *b, Wide *c);

#endif
