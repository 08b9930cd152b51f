/* kernel.c -- what all kernels share: reading and writing one element of any dtype. See kernel.h for the rules of freestanding code.
 *
 * Small floats are described by one MiniRow each. Their codes count through the representable magnitudes in order, so rounding is: pick
 * the spacing of the binade, round the quotient to an integer, and add the codes of the binades below.
 */
#include "kernel.h"

typedef union Bits64 { double f; uint64_t u; int64_t i; } Bits64;
typedef union Bits32 { float f; uint32_t u; } Bits32;

typedef enum MiniKind { NOT_MINI, MINI_IEEE, MINI_FN, MINI_FNUZ, MINI_FINITE, MINI_SCALE } MiniKind;

/* Codes without sign: largest number, NaN, and what overflow gives. */
typedef struct MiniRow { MiniKind kind; int ebits, mbits, bias; uint32_t max, nan, over; } MiniRow;

static MiniRow mini_row(int32_t dtype)
{
    switch (dtype) {
    case K_F16:     return (MiniRow){ MINI_IEEE, 5, 10, 15, 0x7bff, 0x7e00, 0x7c00 };
    case K_BF16:    return (MiniRow){ MINI_IEEE, 8, 7, 127, 0x7f7f, 0x7fc0, 0x7f80 };
    case K_F8E4M3:  return (MiniRow){ MINI_FN, 4, 3, 7, 0x7e, 0x7f, 0x7f };
    case K_F8E4M3Z: return (MiniRow){ MINI_FNUZ, 4, 3, 8, 0x7f, 0x80, 0x80 };
    case K_F8E5M2:  return (MiniRow){ MINI_IEEE, 5, 2, 15, 0x7b, 0x7e, 0x7c };
    case K_F8E5M2Z: return (MiniRow){ MINI_FNUZ, 5, 2, 16, 0x7f, 0x80, 0x80 };
    case K_F4E2M1:  return (MiniRow){ MINI_FINITE, 2, 1, 1, 0x7, 0x8, 0x7 };
    case K_F8E8M0:  return (MiniRow){ MINI_SCALE, 8, 0, 127, 0xfe, 0xff, 0xff };
    default:        return (MiniRow){ NOT_MINI, 0, 0, 0, 0, 0, 0 };
    }
}

/* 2^e for normal doubles. */
static double power_of_two(int e)
{
    return (Bits64){ .u = (uint64_t)(e + 1023) << 52 }.f;
}

static double quiet_nan(void)
{
    return (Bits64){ .u = 0x7ff8000000000000u }.f;
}

static double infinity(void)
{
    return (Bits64){ .u = 0x7ff0000000000000u }.f;
}

static double mini_decode(MiniRow r, uint32_t code)
{
    if (r.kind == MINI_SCALE)
        return code == r.nan ? quiet_nan() : power_of_two((int)code - r.bias);
    uint32_t signbit = 1u << (r.ebits + r.mbits), rest = code & (signbit - 1);
    double sign = code & signbit ? -1.0 : 1.0;
    if (r.kind == MINI_IEEE && rest >= r.over)
        return rest == r.over ? sign * infinity() : quiet_nan();
    if ((r.kind == MINI_FN && rest == r.nan) || (r.kind == MINI_FNUZ && code == r.nan))
        return quiet_nan();
    int field = (int)(rest >> r.mbits);
    uint32_t mantissa = rest & ((1u << r.mbits) - 1);
    if (field)
        return sign * (double)(mantissa | 1u << r.mbits) * power_of_two(field - r.bias - r.mbits);
    return sign * (double)mantissa * power_of_two(1 - r.bias - r.mbits);
}

/* Exponent of a positive normal double. */
static int exponent_of(double a)
{
    return (int)((Bits64){ .f = a }.u >> 52 & 0x7ff) - 1023;
}

/* Round half to even for 0 <= x < 2^51: adding 2^52 leaves no room for a fraction. */
static double round_even(double x)
{
    return (x + 0x1p52) - 0x1p52;
}

static uint32_t scale_encode(MiniRow r, double a)
{
    if (!(a >= 0x1p-127) || a == infinity())
        return r.nan;
    int e = exponent_of(a);
    int code = r.bias + e + (a > power_of_two(e));
    return code > (int)r.max ? r.nan : (uint32_t)code;
}

static uint32_t mini_encode(MiniRow r, double x)
{
    uint64_t bits = (Bits64){ .f = x }.u;
    uint32_t sign = bits >> 63 ? 1u << (r.ebits + r.mbits) : 0;
    double a = (Bits64){ .u = bits & INT64_MAX }.f;
    if (r.kind == MINI_SCALE)
        return scale_encode(r, a);
    if (x != x)
        return r.kind == MINI_FINITE || r.kind == MINI_FNUZ ? r.nan : r.nan | sign;
    uint32_t code = r.max + 1;
    if (a < 0x1p200) {
        int least = 1 - r.bias, e = a > 0 && exponent_of(a) > least ? exponent_of(a) : least;
        code = ((uint32_t)(e - least) << r.mbits) + (uint32_t)round_even(a * power_of_two(r.mbits - e));
    }
    if (code > r.max)
        code = r.over;
    return r.kind == MINI_FNUZ && (code == 0 || code == r.nan) ? code : code | sign;
}

/* ---- elements ---- */

void *k_keep(const KCall *c, int64_t bytes)
{
    KMemory *m = c->memory;
    struct KBlock *b = m->allocate && bytes >= 0 ? m->allocate(m->ctx, (uint64_t)bytes + 64) : NULL;
    if (!b)
        return NULL;
    b->next = m->blocks;
    m->blocks = b;
    return (char *)b + 64;
}

int32_t k_dtype_bytes(int32_t dtype)
{
    switch (dtype) {
    case K_F64: case K_I64: case K_U64: case 14: return 8;          /* 14, 15: complex */
    case K_F32: case K_I32: case K_U32: return 4;
    case K_F16: case K_BF16: case K_I16: case K_U16: return 2;
    case K_STR: case 15: return 16;
    default: return 1;
    }
}

bool k_dtype_is_float(int32_t dtype)
{
    return dtype == K_F32 || dtype == K_F64 || mini_row(dtype).kind != NOT_MINI;
}

bool k_dtype_is_unsigned(int32_t dtype)
{
    return dtype == K_U8 || dtype == K_U16 || dtype == K_U32 || dtype == K_U64 || dtype == K_U4 || dtype == K_U2 || dtype == K_BOOL;
}

static uint32_t code_at(const void *data, int32_t dtype, int64_t i)
{
    return k_dtype_bytes(dtype) == 2 ? ((const uint16_t *)data)[i] : ((const uint8_t *)data)[i];
}

static int64_t truncate(double x)
{
    if (x != x)
        return 0;
    return x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x;
}

int64_t k_load_i64(const void *data, int32_t dtype, int64_t i)
{
    switch (dtype) {
    case K_I64: case K_U64: return ((const int64_t *)data)[i];
    case K_I32: return ((const int32_t *)data)[i];
    case K_U32: return ((const uint32_t *)data)[i];
    case K_I16: return ((const int16_t *)data)[i];
    case K_U16: return ((const uint16_t *)data)[i];
    case K_I8: case K_I4: case K_I2: return ((const int8_t *)data)[i];
    case K_U8: case K_U4: case K_U2: return ((const uint8_t *)data)[i];
    case K_BOOL: return ((const uint8_t *)data)[i] != 0;
    default: return truncate(k_load(data, dtype, i));
    }
}

double k_load(const void *data, int32_t dtype, int64_t i)
{
    if (dtype == K_F32)
        return (double)((const float *)data)[i];
    if (dtype == K_F64)
        return ((const double *)data)[i];
    if (dtype == K_U64)
        return (double)((const uint64_t *)data)[i];
    MiniRow r = mini_row(dtype);
    return r.kind == NOT_MINI ? (double)k_load_i64(data, dtype, i) : mini_decode(r, code_at(data, dtype, i));
}

/* Low `bits` bits, sign- or zero-extended: how sub-byte integers are kept. */
static int64_t wrap_bits(int64_t x, int bits, bool is_signed)
{
    uint64_t up = (uint64_t)x << (64 - bits);
    return is_signed ? (int64_t)up >> (64 - bits) : (int64_t)(up >> (64 - bits));
}

void k_store_i64(void *data, int32_t dtype, int64_t i, int64_t x)
{
    switch (dtype) {
    case K_I64: case K_U64: ((int64_t *)data)[i] = x; return;
    case K_I32: case K_U32: ((uint32_t *)data)[i] = (uint32_t)x; return;
    case K_I16: case K_U16: ((uint16_t *)data)[i] = (uint16_t)x; return;
    case K_I8: case K_U8: ((uint8_t *)data)[i] = (uint8_t)x; return;
    case K_BOOL: ((uint8_t *)data)[i] = x != 0; return;
    case K_I4: case K_I2: ((int8_t *)data)[i] = (int8_t)wrap_bits(x, dtype == K_I4 ? 4 : 2, true); return;
    case K_U4: case K_U2: ((uint8_t *)data)[i] = (uint8_t)wrap_bits(x, dtype == K_U4 ? 4 : 2, false); return;
    default: k_store(data, dtype, i, (double)x); return;
    }
}

void k_store(void *data, int32_t dtype, int64_t i, double x)
{
    MiniRow r = mini_row(dtype);
    if (dtype == K_F32)
        ((float *)data)[i] = (float)x;
    else if (dtype == K_F64)
        ((double *)data)[i] = x;
    else if (r.kind == NOT_MINI)
        k_store_i64(data, dtype, i, dtype == K_U64 && x >= 0x1p63 ? (int64_t)(uint64_t)x : dtype == K_BOOL ? x != 0 : truncate(x));
    else if (k_dtype_bytes(dtype) == 2)
        ((uint16_t *)data)[i] = (uint16_t)mini_encode(r, x);
    else
        ((uint8_t *)data)[i] = (uint8_t)mini_encode(r, x);
}

int64_t k_order_key(const void *data, int32_t dtype, int64_t i)
{
    if (!k_dtype_is_float(dtype)) {
        int64_t k = k_load_i64(data, dtype, i);
        return dtype == K_U64 ? (int64_t)((uint64_t)k ^ 0x8000000000000000u) : k;
    }
    double x = k_load(data, dtype, i) + 0.0;
    if (x != x)
        return INT64_MAX;
    int64_t bits = (Bits64){ .f = x }.i;
    return bits < 0 ? bits ^ INT64_MAX : bits;
}

void k_copy(void *to, const void *from, int64_t bytes)
{
    __builtin_memcpy(to, from, (size_t)bytes);
}

double k_floor(double x)
{
    if (!(x < 0x1p52 && x > -0x1p52))
        return x;
    double t = (double)(int64_t)x;
    return t > x ? t - 1 : t;
}

double k_rint(double x)
{
    if (!(x < 0x1p51 && x > -0x1p51))
        return x;
    return x < 0 ? -round_even(-x) : round_even(x);
}
