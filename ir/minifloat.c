/* minifloat.c -- see minifloat.h. Values are taken apart with frexp and put together with ldexp, so that this file is obviously right;
 * bulk conversion uses the formulas of formula.c.
 *
 *      code = sign | exponent field | mantissa     value = mantissa * 2^(1 - bias - mbits)                   field = 0
 *                                                  value = (2^mbits + mantissa) * 2^(field - bias - mbits)   otherwise
 */
#include "minifloat.h"

#include <math.h>
#include <string.h>

MiniFormat minifloat_format(DType t)
{
    switch (t) {
    case DT_f16:     return (MiniFormat){ 5, 10, 15, MINI_IEEE, 0x7bff, 0x7e00, 0x7c00 };
    case DT_bf16:    return (MiniFormat){ 8, 7, 127, MINI_IEEE, 0x7f7f, 0x7fc0, 0x7f80 };
    case DT_f8e5m2:  return (MiniFormat){ 5, 2, 15, MINI_IEEE, 0x7b, 0x7e, 0x7c };
    case DT_f8e4m3:  return (MiniFormat){ 4, 3, 7, MINI_FN, 0x7e, 0x7f, 0x7f };
    case DT_f8e4m3z: return (MiniFormat){ 4, 3, 8, MINI_FNUZ, 0x7f, 0x80, 0x80 };
    case DT_f8e5m2z: return (MiniFormat){ 5, 2, 16, MINI_FNUZ, 0x7f, 0x80, 0x80 };
    case DT_f4e2m1:  return (MiniFormat){ 2, 1, 1, MINI_FINITE, 0x7, 0x8, 0x7 };
    default:         return (MiniFormat){ 8, 0, 127, MINI_SCALE, 0xfe, 0xff, 0xff };     /* f8e8m0 */
    }
}

uint32_t minifloat_overflow(const MiniFormat *f, bool saturate)
{
    return saturate && f->ebits + f->mbits <= 8 ? f->max : f->inf;
}

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

float minifloat_to_f32(DType t, uint32_t code)
{
    MiniFormat f = minifloat_format(t);
    if (f.kind == MINI_SCALE)
        return code == f.nan ? float_of_bits(0x7fc00000) : ldexpf(1, (int)code - f.bias);
    int signbit = f.ebits + f.mbits;
    uint32_t sign = code >> signbit & 1, rest = code & ((1u << signbit) - 1);
    if (f.kind == MINI_IEEE && rest >= f.inf) {             /* infinity, or a NaN whose payload is kept (f16: and made quiet) */
        uint32_t quiet = t != DT_bf16 && rest > f.inf ? 0x400000 : 0;
        return float_of_bits(sign << 31 | 0x7f800000 | (rest - f.inf) << (23 - f.mbits) | quiet);
    }
    if ((f.kind == MINI_FN && rest == f.nan) || (f.kind == MINI_FNUZ && code == f.nan))
        return float_of_bits(sign << 31 | 0x7fc00000);
    int field = (int)(rest >> f.mbits);
    uint32_t mantissa = rest & ((1u << f.mbits) - 1);
    float a = field ? ldexpf((float)(mantissa | 1u << f.mbits), field - f.bias - f.mbits) : ldexpf((float)mantissa, 1 - f.bias - f.mbits);
    return sign ? -a : a;
}

/* Up to a power of two. Not saturating, what is out of range (zero too) has no code and becomes NaN. */
static uint32_t scale_from(const MiniFormat *f, double a, bool saturate)
{
    int e;
    double fraction = frexp(a, &e);                         /* a = fraction * 2^e, fraction in [1/2, 1) */
    int code = (fraction == 0.5 ? e - 1 : e) + 127;
    if (a < 0x1p-127)
        return saturate ? 0 : 0xff;
    if (code > 0xfe || isinf(a))
        return minifloat_overflow(f, saturate);
    return (uint32_t)code;
}

/* The payload's upper bits survive in the IEEE formats, as in hardware conversions. */
static uint32_t nan_code(const MiniFormat *f, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (f->kind == MINI_IEEE)
        return f->nan | (uint32_t)(bits >> (52 - f->mbits) & ((1u << f->mbits) - 1));
    return f->nan;
}

/* The code of a >= 0, which counts through the representable numbers in order; beyond the largest one it is some greater number. */
static uint32_t magnitude_code(const MiniFormat *f, double a)
{
    int e, emin = 1 - f->bias;
    frexp(a, &e);
    int binade = a > 0 && e - 1 > emin ? e - 1 : emin;
    return ((uint32_t)(binade - emin) << f->mbits) + (uint32_t)rint(ldexp(a, f->mbits - binade));
}

uint32_t minifloat_from_f64(DType t, double x, bool saturate)
{
    MiniFormat f = minifloat_format(t);
    double a = fabs(x);
    uint32_t sign = signbit(x) ? 1u << (f.ebits + f.mbits) : 0;
    if (f.kind == MINI_SCALE)
        return isnan(x) ? f.nan : scale_from(&f, a, saturate);
    if (isnan(x))
        return nan_code(&f, x) | (f.kind == MINI_FINITE ? 0 : sign);
    uint32_t code = isinf(a) ? f.max + 1 : magnitude_code(&f, a);
    if (code > f.max)
        code = minifloat_overflow(&f, saturate);
    return f.kind == MINI_FNUZ && (code == 0 || code == f.nan) ? code : code | sign;
}
