/* minifloat.h -- the small float formats (CLS_MINI): what their bits mean, and conversion of single values.
 *
 * Every format is described by one MiniFormat row; minifloat.c (single values, plain C) and formula.c (vector formulas) both read it, and
 * tests/formula checks one against the other on every code.
 */
#ifndef INGOT_MINIFLOAT_H
#define INGOT_MINIFLOAT_H

#include "ir.h"

/* What the codes beyond the finite numbers are. */
typedef enum MiniKind {
    MINI_IEEE,                      /* exponent all ones: infinity, NaN */
    MINI_FN,                        /* no infinity; NaN is all ones */
    MINI_FNUZ,                      /* no infinity, no -0; NaN is the code of -0 */
    MINI_FINITE,                    /* numbers only: overflow saturates, NaN becomes -0 */
    MINI_SCALE                      /* f8e8m0: 2^(code - 127), no sign, 255 is NaN; rounds up (ONNX round_mode "up"), the sign is dropped */
} MiniKind;

typedef struct MiniFormat {
    int ebits, mbits, bias;
    MiniKind kind;
    uint32_t max, nan, inf;         /* codes without sign: largest number, quiet NaN, and what overflow gives when not saturating */
} MiniFormat;

/* Format of a CLS_MINI dtype. */
MiniFormat minifloat_format(DType t);
float minifloat_to_f32(DType t, uint32_t code);
/* What overflow becomes: the largest number if saturating, which only formats of at most 8 bits do (ONNX Cast), else f->inf. */
uint32_t minifloat_overflow(const MiniFormat *f, bool saturate);
/* Round to nearest even, once; too large values and infinities become minifloat_overflow. */
uint32_t minifloat_from_f64(DType t, double x, bool saturate);

#endif
