/* formula_math.c -- the composite elementwise functions, written in primitives, for f32 and f64 (and pow, mod, sign for integers).
 *
 * Rules of this file: no branches, so every path is computed and a select picks; few instructions; NaN, infinities, subnormal numbers and -0
 * come out as in C's <math.h>. Polynomials are minimax fits made for this file (Remez exchange at 50 digits; leading coefficients rounded first and
 * the others refitted). Above each function stands its largest error, f32 then f64, in units in the last place of the exact result: measured with FMA
 * on some 16 million arguments and asserted in tests/formula/test_formula.c; a target without FMA adds up to 1
 * (pow and the remainders of f64 live on exact products: without FMA they are good to some 40 bits).
 *
 * Fast forms (frec_is_fast: f32, only where the user allows it) stand beside the exact ones, with their error relative to the exact result. They keep NaN,
 * infinities and the sign of zero; results that should be subnormal may be 0, and saturated ones exceed their limit by the error.
 *
 * How to read it: r is the recorder; ADD, MUL... append one instruction each; K(c) is the constant c in the type of x; POLY(t, name) is
 * name[0] + t * (name[1] + t * ...) with the coefficients of x's type.
 */
#include "formula.h"

#include <math.h>

#define ADD(a, b) f_add(r, a, b)
#define SUB(a, b) f_sub(r, a, b)
#define MUL(a, b) f_mul(r, a, b)
#define DIV(a, b) f_div(r, a, b)
#define FMA(a, b, c) f_fma(r, a, b, c)
#define MIN(a, b) f_min(r, a, b)
#define MAX(a, b) f_max(r, a, b)
#define AND(a, b) f_and(r, a, b)
#define OR(a, b) f_or(r, a, b)
#define XOR(a, b) f_xor(r, a, b)
#define SHL(a, b) f_shl(r, a, b)
#define SHR(a, b) f_shr(r, a, b)
#define EQ(a, b) f_eq(r, a, b)
#define LT(a, b) f_lt(r, a, b)
#define SELECT(c, a, b) f_select(r, c, a, b)
#define NEG(a) f_neg(r, a)
#define ABS(a) f_abs(r, a)
#define SQRT(a) f_sqrt(r, a)
#define SCALE(a, n) f_scale(r, a, n)
#define K(c) frec_const(r, frec_type(r, x), c)

/* ---- helpers ---- */

static bool is_f64(const FRec *r, FRef x)
{
    return frec_type(r, x) == DT_f64;
}

static bool is_float(const FRec *r, FRef x)
{
    return dtype_table[frec_type(r, x)].cls == CLS_FLOAT;
}

static FRef convert(FRec *r, DType t, FRef x)
{
    return frec_op(r, S_convert, t, x, -1, -1);
}

/* f of an f32, by its f64 formula: for functions that are too rare to be worth a formula of their own. */
static FRef by_f64(FRec *r, FRef x, FRef (*f)(FRec *, FRef))
{
    return convert(r, DT_f32, f(r, convert(r, DT_f64, x)));
}

static FRef horner(FRec *r, FRef t, const double *c, int n)
{
    FRef y = frec_const(r, frec_type(r, t), c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        y = FMA(y, t, frec_const(r, frec_type(r, t), c[i]));
    return y;
}

#define COUNT(c) ((int)(sizeof(c) / sizeof *(c)))
#define POLY(t, name) (is_f64(r, x) ? horner(r, t, name##_f64, COUNT(name##_f64)) : horner(r, t, name##_f32, COUNT(name##_f32)))

/* A float's bits as an unsigned integer, and back. */
static FRef bits_of(FRec *r, FRef x)
{
    return frec_op(r, S_bitcast, is_f64(r, x) ? DT_u64 : DT_u32, x, -1, -1);
}

static FRef of_bits(FRec *r, FRef bits)
{
    return frec_op(r, S_bitcast, frec_type(r, bits) == DT_u64 ? DT_f64 : DT_f32, bits, -1, -1);
}

/* A constant of the integer type as wide as x. */
static FRef word(FRec *r, FRef x, uint64_t bits)
{
    DType t = frec_type(r, x);
    bool wide = t == DT_f64 || t == DT_u64;
    return frec_const_bits(r, wide ? DT_u64 : DT_u32, wide ? (int64_t)bits : (int64_t)(uint32_t)bits);
}

static int mantissa_bits(const FRec *r, FRef x)
{
    return is_f64(r, x) ? 52 : 23;
}

static FRef sign_bits(FRec *r, FRef x)
{
    return AND(bits_of(r, x), word(r, x, is_f64(r, x) ? 1ull << 63 : 1ull << 31));
}

/* |y| is y: its sign becomes that of x. */
static FRef give_sign(FRec *r, FRef y, FRef x)
{
    return of_bits(r, OR(bits_of(r, y), sign_bits(r, x)));
}

/* 1.5 * 2^mantissa_bits: what is added to it is rounded to an integer, which then stands in the low bits of the sum. */
static double rounder(const FRec *r, FRef x)
{
    return is_f64(r, x) ? 0x1.8p52 : 0x1.8p23;
}

/* ---- exponentials ----
 *
 * e^x = 2^n e^t with n = rint(x / ln 2), |t| <= ln 2 / 2. n and 2^n come from the sum x / ln 2 + rounder: its low bits are n.
 */

/* e^t */
static const double exp_f32[] = { 1, 1, 0x1.fffffcp-2, 0x1.55548cp-3, 0x1.555858p-5, 0x1.123de0p-7, 0x1.6ac6b2p-10 };
static const double exp_f64[] = {
    1, 1, 0x1.000000000000ap-1, 0x1.555555555551cp-3, 0x1.5555555550671p-5, 0x1.111111111de21p-7, 0x1.6c16c18493b1cp-10,
    0x1.a01a01661feabp-13, 0x1.a01998f2c2418p-16, 0x1.71de932f24808p-19, 0x1.28ae7c36607d1p-22, 0x1.ae78688bf7843p-26,
};

/* The exponent of the number 1, as it is stored. */
static int bias(const FRec *r, FRef x)
{
    return is_f64(r, x) ? 1023 : 127;
}

/* 2^k, where k + bias stands in the low bits of sum. */
static FRef power_in_sum(FRec *r, FRef sum)
{
    return of_bits(r, SHL(bits_of(r, sum), word(r, sum, (uint64_t)mantissa_bits(r, sum))));
}

/* x = n * step * ln 2 + t; sum holds n + bias + raised in its low bits. */
typedef struct Reduced { FRef t, n, sum; } Reduced;

/* x is clamped already: |x| <= 105 (f32), 747 (f64). step: 1 or 2. */
static Reduced exp_reduce(FRec *r, FRef x, double step, int raised)
{
    bool wide = is_f64(r, x);
    FRef magic = K(rounder(r, x) + bias(r, x) + raised);
    FRef sum = FMA(x, K(0x1.71547652b82fep+0 / step), magic), n = SUB(sum, magic);
    FRef t = FMA(n, K(-step * (wide ? 0x1.62e42fefa38p-1 : 0x1.62e4p-1)), x);    /* few bits: n times this is exact without FMA too */
    t = FMA(n, K(-step * (wide ? 0x1.ef35793c76730p-45 : 0x1.7f7d1cp-20)), t);
    return (Reduced){ .t = t, .n = n, .sum = sum };
}

/* Beyond these e^-limit is 0 and e^limit is infinite. */
static double exp_limit(const FRec *r, FRef x)
{
    return is_f64(r, x) ? 746 : 104;
}

static FRef exp_clamp(FRec *r, FRef x)
{
    return MAX(MIN(x, K(exp_limit(r, x))), K(-exp_limit(r, x)));
}

/* ---- fast exponentials: 2^n e^t with a shorter polynomial, ln 2 in one piece, and 2^n by its bits ---- */

/* e^t on +-ln 2 / 2 */
static const double exp_fast[] = { 1, 1, 0x1.0006b8p-1, 0x1.571d20p-3, 0x1.522504p-5 };

typedef struct FastExp { FRef p, s; } FastExp;

/* e^(sign * x) = p * s: s is 0 for sign * x <= -88, infinite from 88.4 on. */
static FastExp fast_exp_parts(FRec *r, FRef x, double sign)
{
    double c[COUNT(exp_fast)];
    for (int i = 0; i < COUNT(exp_fast); i++)
        c[i] = sign < 0 && i % 2 ? -exp_fast[i] : exp_fast[i];
    FRef clamped = MAX(MIN(x, K(sign > 0 ? 89 : 88)), K(sign > 0 ? -88 : -89)), magic = K(rounder(r, x) + 127);
    FRef sum = FMA(clamped, K(sign * 0x1.715476p+0), magic), n = SUB(sum, magic);
    FRef t = FMA(n, K(-sign * 0x1.62e430p-1), clamped);
    return (FastExp){ .p = horner(r, t, c, COUNT(c)), .s = power_in_sum(r, sum) };
}

static FRef fast_exp(FRec *r, FRef x)
{
    FastExp e = fast_exp_parts(r, x, 1);
    return MUL(e.p, e.s);
}

static FRef fast_sigmoid(FRec *r, FRef x)
{
    FastExp e = fast_exp_parts(r, x, -1);
    return DIV(K(1), FMA(e.p, e.s, K(1)));
}

/* An odd function as x p(x^2) / q(x^2), x held within +-limit. */
static FRef odd_quotient(FRec *r, FRef x, double limit, const double *p, int np, const double *q, int nq)
{
    FRef a = MAX(MIN(x, K(limit)), K(-limit)), z = MUL(a, a);
    return DIV(MUL(a, horner(r, z, p, np)), horner(r, z, q, nq));
}

/* 1, 1 ulp; fast 2^-17. */
FRef f_exp(FRec *r, FRef x)
{
    if (frec_is_fast(r, x))
        return fast_exp(r, x);
    Reduced e = exp_reduce(r, exp_clamp(r, x), 1, 0);
    return SCALE(POLY(e.t, exp), e.n);
}

/* (1 - e^-t) / t from the coefficients of e^t */
static FRef falling_quotient(FRec *r, FRef t)
{
    bool wide = is_f64(r, t);
    const double *c = wide ? exp_f64 : exp_f32;
    double q[COUNT(exp_f64) - 1];
    int n = (wide ? COUNT(exp_f64) : COUNT(exp_f32)) - 1;
    for (int i = 0; i < n; i++)
        q[i] = i % 2 ? -c[i + 1] : c[i + 1];
    return horner(r, t, q, n);
}

/* 1 / (1 + e^-x) = q / (q + e^-t) with q = 2^n, where e^-t = 1 - t (...) is never rounded by itself: of q and 1 the smaller is added first. q comes
 * raised above the subnormal numbers. 2, 2.25 ulp; fast 2^-17. */
FRef f_sigmoid(FRec *r, FRef x)
{
    if (frec_is_fast(r, x))
        return fast_sigmoid(r, x);
    int raised = is_f64(r, x) ? 53 : 24;
    Reduced e = exp_reduce(r, MAX(MIN(x, K(is_f64(r, x) ? 60 : 30)), K(-exp_limit(r, x))), 1, raised);
    FRef q = MUL(power_in_sum(r, e.sum), K(ldexp(1, -raised))), one = K(1);
    FRef d = ADD(FMA(NEG(e.t), falling_quotient(r, e.t), MIN(q, one)), MAX(q, one));
    return DIV(q, d);
}

/* (log1p(t) / t - 1) / t for t in [0, 1] */
static const double log1p_unit_f32[] = {
    -0x1.ffffd2p-2, 0x1.554dd0p-2, -0x1.ff23f4p-3, 0x1.934bbcp-3, -0x1.3a44d8p-3, 0x1.b4b3fap-4, -0x1.d6be00p-5, 0x1.4927dap-6, -0x1.af6932p-9,
};
static const double log1p_unit_f64[] = {
    -0x1.fffffffffff9fp-2, 0x1.555555555105ep-2, -0x1.fffffffdd53c5p-3, 0x1.99999952117d5p-3, -0x1.55554fc02f2c9p-3, 0x1.2491fef099601p-3,
    -0x1.fffa8d59adea6p-4, 0x1.c6f6b1b8f9c82p-4, -0x1.98d2c2020c074p-4, 0x1.712e8b5720916p-4, -0x1.4b03ab683c935p-4, 0x1.20311a2080a10p-4,
    -0x1.d71b5ad9132f6p-5, 0x1.5a9578959474ap-5, -0x1.b649969292edcp-6, 0x1.c59f7e2b82eadp-7, -0x1.6b6f9ee75a0a8p-8, 0x1.a28a80d9314cap-10,
    -0x1.3220bdfa89761p-12, 0x1.a945be689aa72p-16,
};

/* log(1 + e^x) = max(x, 0) + log1p(e^-|x|). 2, 2.25 ulp. */
FRef f_softplus(FRec *r, FRef x)
{
    Reduced e = exp_reduce(r, MAX(NEG(ABS(x)), K(-exp_limit(r, x))), 1, 0);
    FRef t = SCALE(POLY(e.t, exp), e.n);
    return FMA(MUL(t, t), POLY(t, log1p_unit), ADD(t, MAX(x, K(0))));
}

/* (e^t - 1 - t) / t^2 */
static const double expm1_f32[] = { 0x1.00000ep-1, 0x1.55556ep-3, 0x1.554850p-5, 0x1.11004cp-7, 0x1.722720p-10, 0x1.aa477ep-13 };
static const double expm1_f64[] = {
    0x1.ffffffffffff1p-2, 0x1.5555555555547p-3, 0x1.5555555556dd5p-5, 0x1.1111111113bcbp-7, 0x1.6c16c1693b772p-10, 0x1.a01a01973b455p-13,
    0x1.a01a0634a5f0cp-16, 0x1.71de4666abb49p-19, 0x1.27e1655592188p-22, 0x1.ae55a43a0bf73p-26, 0x1.21a2e40bae535p-29, 0x1.686f350a33d7ap-33,
};

/* e^x = s^2 (1 + u) with s = 2^n: e^x - 1 = s (s u + s - 1/s) without cancellation worth mentioning, u itself for s = 1, and never out of range
 * before its time. 1.75, 2 ulp. */
FRef f_expm1(FRec *r, FRef x)
{
    Reduced e = exp_reduce(r, exp_clamp(r, x), 2, 0);
    FRef u = FMA(MUL(e.t, e.t), POLY(e.t, expm1), e.t), s = power_in_sum(r, e.sum);
    FRef inverse = of_bits(r, SUB(word(r, x, (uint64_t)(2 * bias(r, x)) << mantissa_bits(r, x)), bits_of(r, s)));
    return give_sign(r, MUL(s, FMA(s, u, SUB(s, inverse))), x);
}

/* (t - (1 - e^-2t) / 2) / t^2 */
static const double tanh_f32[] = { 1, -0x1.5554aap-1, 0x1.555538p-2, -0x1.122c50p-3, 0x1.6cd7b4p-5 };
static const double tanh_f64[] = {
    1, -0x1.5555555555559p-1, 0x1.5555555555556p-2, -0x1.111111110f661p-3, 0x1.6c16c16c159c7p-5, -0x1.a01a01aff063ep-7, 0x1.a01a01adb0594p-9,
    -0x1.71ddf857f9b6cp-11, 0x1.27e4c422170b1p-13, -0x1.af5e975be67ffp-16, 0x1.1fa2b3a9fa730p-18,
};

/* tanh a = (1 - E) / (1 + E), E = e^-2a = s (1 - 2 w), a = t - n ln 2 / 2, 2 s = 2^(n + 1). Each of 1 -+ E is rounded once: 1 -+ s is exact.
 * 2, 2.25 ulp; fast 2^-18. */
FRef f_tanh(FRec *r, FRef x)
{
    static const double p[] = { 0x1.ffffa6p-1, 0x1.f37234p-4, 0x1.1dad36p-9, 0x1.d2efecp-19 };
    static const double q[] = { 1, 0x1.d22d04p-2, 0x1.51cd92p-6, 0x1.14782ap-13 };
    if (frec_is_fast(r, x))
        return odd_quotient(r, x, 8, p, COUNT(p), q, COUNT(q));
    bool wide = is_f64(r, x);
    FRef a = MIN(ABS(x), K(wide ? 20 : 9.5)), magic = K(rounder(r, x) + bias(r, x) + 1);
    FRef sum = FMA(a, K(-0x1.71547652b82fep+1), magic), n = SUB(sum, magic), twice_s = power_in_sum(r, sum);
    FRef t = FMA(n, K(wide ? 0x1.62e42fefa38p-2 : 0x1.62e430p-2), a);
    if (wide)
        t = FMA(n, K(0x1.ef35793c76730p-46), t);
    FRef w = FMA(NEG(MUL(t, t)), POLY(t, tanh), t);
    FRef above = FMA(twice_s, w, FMA(twice_s, K(-0.5), K(1))), below = FMA(NEG(twice_s), w, FMA(twice_s, K(0.5), K(1)));
    return give_sign(r, DIV(above, below), x);
}

static const double sinh_f32[] = { 0x1.555598p-3, 0x1.10f760p-7, 0x1.ab428ap-13 };
static const double sinh_f64[] = {
    0x1.5555555555556p-3, 0x1.111111111101ep-7, 0x1.a01a01a03726cp-13, 0x1.71de3a3b066adp-19, 0x1.ae646ff572ecfp-26, 0x1.6116f468d5a4bp-33, 0x1.b5c8acc010b53p-41,
};

/* e^a / 2, with room for twice the largest finite number. */
static FRef half_exp(FRec *r, FRef a)
{
    FRef x = a;
    Reduced e = exp_reduce(r, MIN(a, K(is_f64(r, x) ? 711 : 90)), 1, 0);
    return SCALE(POLY(e.t, exp), SUB(e.n, K(1)));
}

/* 1.75, 2 ulp. */
FRef f_sinh(FRec *r, FRef x)
{
    FRef a = ABS(x), h = half_exp(r, a), z = MUL(x, x);
    FRef large = give_sign(r, SUB(h, DIV(K(0.25), h)), x);
    return SELECT(LT(a, K(1)), FMA(MUL(x, z), POLY(z, sinh), x), large);
}

/* 1.5, 1.5 ulp. */
FRef f_cosh(FRec *r, FRef x)
{
    FRef h = half_exp(r, ABS(x));
    return ADD(h, DIV(K(0.25), h));
}

/* ---- erf a = 1 - B^-h, log B = 2 / sqrt(pi), h = a + a^2 P(a): near 1 only the last rounding shows, near 0 it is h itself, and there is no division ---- */

/* P */
static const double erfc_log_f32[] = {
    0x1.20dd72p-1, 0x1.751278p-4, -0x1.15f4f6p-6, -0x1.4b66d6p-13, 0x1.875356p-10, -0x1.2a56f4p-11, 0x1.bea9acp-14, -0x1.1b6b98p-17,
};
static const double erfc_log_f64[] = {
    0x1.20dd750429b6dp-1, 0x1.7510249893735p-4, -0x1.15be72d83a9d9p-6, -0x1.84ccba524c0ebp-13, 0x1.8a0fc28a5b344p-10, -0x1.12335490c9656p-11,
    0x1.8181cc20ab2a8p-16, 0x1.de64c34a43bd7p-15, -0x1.b57c2d5e186d7p-16, 0x1.5bc8b77d72ed0p-19, 0x1.98e0dcdcdeb4cp-19, -0x1.1533fbdb4101ap-19,
    0x1.790de8615178dp-21, -0x1.1289c713f840cp-23, -0x1.7882560652290p-29, 0x1.55e2fbb228106p-27, -0x1.e16e28e9529e3p-29, 0x1.901bfde7cf4f5p-31,
    -0x1.b9fbefaa49527p-34, 0x1.4102539794b9bp-37, -0x1.178cb70f25d5fp-41, 0x1.bc424c31b87c5p-47,
};
/* (1 - B^-t) / t - 1 for |t log B| <= ln 2 / 2 */
static const double erf_fall_f32[] = { 0x1.06ebaap-3, -0x1.45f308p-1, 0x1.ea632ap-3, -0x1.14aa92p-4, 0x1.f5c686p-7, -0x1.7ad48ap-9 };
static const double erf_fall_f64[] = {
    0x1.06eba8214db69p-3, -0x1.45f306dc9c88cp-1, 0x1.ea647f58a4ba5p-3, -0x1.14aca416c4bc9p-4, 0x1.f382802b0ecccp-7, -0x1.77c1f2e00a1a0p-9,
    0x1.e4916b8c33c00p-12, -0x1.11632029632f6p-14, 0x1.1237ba32767a8p-17, -0x1.f0625bbfbe8e0p-21, 0x1.92242e1439dbap-24,
};

/* 2, 2.25 ulp; fast 2^-17. */
FRef f_erf(FRec *r, FRef x)
{
    static const double p[] = { 0x1.20ddb0p+0, 0x1.488746p-3, 0x1.75a1dap-5, 0x1.f144fcp-11, -0x1.853d3ep-19 };
    static const double q[] = { 1, 0x1.e6fa94p-2, 0x1.943f52p-4, 0x1.530af4p-7 };
    if (frec_is_fast(r, x))
        return odd_quotient(r, x, 3.6, p, COUNT(p), q, COUNT(q));
    FRef a = MIN(ABS(x), K(is_f64(r, x) ? 5.935 : 3.925)), h = FMA(MUL(a, a), POLY(a, erfc_log), a);
    FRef magic = K(rounder(r, x) + bias(r, x)), sum = FMA(h, K(-0x1.a0be83d8d032dp+0), magic), n = SUB(sum, magic), s = power_in_sum(r, sum);
    FRef t = FMA(n, K(0x1.3a83a79264c19p-1), h);                  /* ln 2 / log B */
    FRef fall = FMA(t, POLY(t, erf_fall), t);
    return give_sign(r, FMA(s, fall, SUB(K(1), s)), x);
}

/* ---- logarithms ----
 *
 * x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); log x = e ln 2 + log(1 + f). The bits of sqrt(1/2) subtracted from those of x leave e in the
 * exponent field and the fraction counted from sqrt(1/2) below it.
 */

typedef struct Split { FRef e, f, scaled; } Split;     /* e as a float; scaled: e in the exponent field */

static Split split(FRec *r, FRef x)
{
    bool wide = is_f64(r, x);
    int shift = mantissa_bits(r, x);
    uint64_t root = wide ? 0x3fe6a09e667f3bcdu : 0x3f3504f3u, fraction = wide ? 0x000fffffffffffffu : 0x007fffffu;
    FRef u = SUB(bits_of(r, x), word(r, x, root));
    FRef f = SUB(of_bits(r, ADD(AND(u, word(r, x, fraction)), word(r, x, root))), K(1));
    FRef scaled = AND(u, word(r, x, ~fraction)), e;
    if (wide) {         /* few CPUs convert or shift signed 64-bit vectors: e + 2^11 in the low bits of 2^52, then the 2^52 taken off */
        FRef field = SHR(ADD(scaled, word(r, x, 1ull << 63)), word(r, x, (uint64_t)shift));
        e = SUB(of_bits(r, OR(field, word(r, x, 0x4330000000000000u))), K(0x1p52 + 2048));
    } else {
        e = convert(r, DT_f32, SHR(frec_op(r, S_bitcast, DT_i32, u, -1, -1), frec_const(r, DT_i32, shift)));
    }
    return (Split){ .e = e, .f = f, .scaled = scaled };
}

static const double log_f32[] = { -0.5, 0x1.5556d8p-2, -0x1.000384p-2, 0x1.98d840p-3, -0x1.5381a6p-3, 0x1.317004p-3, -0x1.243708p-3, 0x1.6485c6p-4 };
/* (2 atanh(s) - 2 s) / (-s^3) */
static const double log_atanh[] = {
    -0x1.5555555555593p-1, -0x1.999999997f9fdp-2, -0x1.2492494229db1p-2, -0x1.c71c51d83a61dp-3, -0x1.746649960b234p-3, -0x1.39a0986cead6fp-3, -0x1.2f115f8f8c615p-3,
};

/* log(1 + f). f64: with s = f / (2 + f) it is 2 atanh(s) = f - s (f - R(s^2)), a shorter polynomial for one division. */
static FRef log_fraction(FRec *r, FRef f)
{
    if (!is_f64(r, f))
        return FMA(MUL(f, f), horner(r, f, log_f32, COUNT(log_f32)), f);
    FRef minus_s = DIV(f, SUB(frec_const(r, DT_f64, -2), f)), z = MUL(minus_s, minus_s);
    return FMA(minus_s, FMA(z, horner(r, z, log_atanh, COUNT(log_atanh)), f), f);
}

/* e ln 2 + y. A single ln 2 does: f32's is good to 28 bits, f64's to 55. */
static FRef add_exponent(FRec *r, FRef e, FRef y)
{
    return FMA(e, frec_const(r, frec_type(r, e), 0x1.62e42fefa39efp-1), y);
}

/* y where 0 < x < infinity; else the logarithm of zero, infinity, negative numbers and NaN. */
static FRef log_edges(FRec *r, FRef x, FRef y)
{
    FRef edge = SELECT(EQ(x, K(0)), K(-INFINITY), K(NAN));
    return SELECT(LT(K(0), x), SELECT(LT(x, K(INFINITY)), y, x), edge);
}

/* 1.25, 1.25 ulp. */
FRef f_log(FRec *r, FRef x)
{
    FRef subnormal = LT(x, K(is_f64(r, x) ? 0x1p-1022 : 0x1p-126));
    Split s = split(r, SELECT(subnormal, MUL(x, K(0x1p54)), x));
    FRef e = SUB(s.e, SELECT(subnormal, K(54), K(0)));
    return log_edges(r, x, add_exponent(r, e, log_fraction(r, s.f)));
}

/* log of u = 1 + x rounded; what rounding lost, scaled by 2^-e, goes into the fraction. For e >= bias there is nothing to add.
 * 1.75, 1.75 ulp. */
FRef f_log1p(FRec *r, FRef x)
{
    FRef u = ADD(x, K(1)), lost = SUB(x, SUB(u, K(1)));
    Split s = split(r, u);
    DType sign = is_f64(r, x) ? DT_i64 : DT_i32;
    FRef one = word(r, x, is_f64(r, x) ? 0x3ff0000000000000u : 0x3f800000u);
    FRef field = frec_op(r, S_bitcast, sign, SUB(one, s.scaled), -1, -1);
    FRef scale = frec_op(r, S_bitcast, frec_type(r, x), MAX(field, frec_const(r, sign, 0)), -1, -1);
    FRef y = log_fraction(r, FMA(lost, scale, s.f));
    FRef edge = SELECT(EQ(x, K(-1)), K(-INFINITY), K(NAN));
    y = SELECT(LT(x, K(INFINITY)), add_exponent(r, s.e, y), x);
    return SELECT(EQ(x, K(0)), x, SELECT(LT(K(-1), x), y, edge));
}

/* ---- inverse hyperbolic functions, through log1p ---- */

/* log1p(v), or log(2 a) where a is so large that v would overflow. */
static FRef log1p_or_double(FRec *r, FRef v, FRef a)
{
    FRef x = a, large = LT(K(0x1p60), a);
    return ADD(f_log1p(r, SELECT(large, a, v)), SELECT(large, K(0x1.62e42fefa39efp-1), K(0)));
}

/* a + sqrt(a^2 + 1) - 1 = a + a^2 / (1 + sqrt(a^2 + 1)). 0.75, 2.25 ulp. */
FRef f_asinh(FRec *r, FRef x)
{
    if (!is_f64(r, x))
        return by_f64(r, x, f_asinh);
    FRef a = ABS(x), z = MUL(a, a);
    FRef v = ADD(a, DIV(z, ADD(K(1), SQRT(ADD(z, K(1))))));
    return give_sign(r, log1p_or_double(r, v, a), x);
}

/* 0.75, 2.5 ulp. */
FRef f_acosh(FRec *r, FRef x)
{
    if (!is_f64(r, x))
        return by_f64(r, x, f_acosh);
    FRef t = SUB(x, K(1)), v = ADD(t, SQRT(FMA(t, t, ADD(t, t))));
    return SELECT(LT(x, K(1)), K(NAN), log1p_or_double(r, v, x));
}

/* 0.75, 2.25 ulp. */
FRef f_atanh(FRec *r, FRef x)
{
    if (!is_f64(r, x))
        return by_f64(r, x, f_atanh);
    FRef a = ABS(x), v = DIV(ADD(a, a), SUB(K(1), a));
    return give_sign(r, MUL(K(0.5), f_log1p(r, v)), x);
}

/* ---- sine, cosine, tangent ----
 *
 * sin x = (-1)^n sin(t), x = n pi + t, |t| <= pi/2: one polynomial, and the parity of n goes straight into the sign bit. f32 is computed in f64. The
 * reduction holds up to 2^32 (f32), 2^40 (f64); beyond, the result is NaN, not a wrong number (neighbouring f32 are many periods apart there). Without
 * FMA full accuracy ends at 2^20.
 */

static const double sin_f32[] = { 1, -0x1.55554cp-3, 0x1.110ed2p-7, -0x1.9f6eacp-13, 0x1.5da2e4p-19 };
static const double sin_f64[] = {
    1, -0x1.5555555555555p-3, 0x1.11111111110c8p-7, -0x1.a01a01a014d6fp-13, 0x1.71de3a52a0af3p-19, -0x1.ae6454d471529p-26, 0x1.6123cd05bd5bep-33,
    -0x1.ae4383cc49e08p-41, 0x1.88328ec237393p-49,
};

/* y, or NaN where |x| is beyond the limit of the reduction. */
static FRef within_period_limit(FRec *r, FRef x, FRef y)
{
    return SELECT(LT(ABS(x), K(is_f64(r, x) ? 0x1p40 : 0x1p32)), y, K(NAN));
}

/* x - n * scale * pi in f64. Parts of pi of 33 bits: their products with n < 2^20 are exact without FMA too. Each part is below what it stands
 * for, so that all products with n = 0 are -0 and x = -0 survives. */
static FRef subtract_pi(FRec *r, FRef x64, FRef n, double scale, bool wide)
{
    static const double two[] = { 0x1.921fb544p+1, 0x1.0b4611a626331p-33 };
    static const double four[] = { 0x1.921fb544p+1, 0x1.0b4611a6p-33, 0x1.3198a2ep-68, 0x1.b839a252049c1p-103 };
    for (int i = 0; i < (wide ? 4 : 2); i++)
        x64 = FMA(n, frec_const(r, DT_f64, -scale * (wide ? four : two)[i]), x64);
    return x64;
}

/* The low bit of the integer that adding a rounder left in `sum`, moved to the sign's place. */
static FRef parity_sign(FRec *r, FRef sum)
{
    return SHL(bits_of(r, sum), word(r, sum, 63));
}

/* sin(x + shift * pi), shift 0 or 1/2 */
static FRef sine(FRec *r, FRef x, double shift)
{
    FRef x64 = convert(r, DT_f64, x), inverse_pi = frec_const(r, DT_f64, 0x1.45f306dc9c883p-2), magic = frec_const(r, DT_f64, 0x1.8p52), sum, n;
    if (shift == 0) {
        sum = FMA(x64, inverse_pi, magic);
        n = SUB(sum, magic);
    } else {
        FRef by = frec_const(r, DT_f64, shift);
        sum = ADD(FMA(x64, inverse_pi, by), magic);
        n = SUB(SUB(sum, magic), by);
    }
    bool wide = is_f64(r, x);
    FRef t = subtract_pi(r, x64, n, 1, wide), z = MUL(t, t);
    FRef y = MUL(t, wide ? horner(r, z, sin_f64, COUNT(sin_f64)) : horner(r, z, sin_f32, COUNT(sin_f32)));
    y = of_bits(r, XOR(bits_of(r, y), parity_sign(r, sum)));
    return within_period_limit(r, x, convert(r, frec_type(r, x), y));
}

/* 0.75, 2.25 ulp. */
FRef f_sin(FRec *r, FRef x)
{
    return sine(r, x, 0);
}

/* 0.75, 2.5 ulp. */
FRef f_cos(FRec *r, FRef x)
{
    return sine(r, x, 0.5);
}

static const double tan_p[] = { 1, -0x1.112b65194bcbap-3, 0x1.c0e85ef3734cap-9, -0x1.2babe3abfe49ap-16 };
static const double tan_q[] = { 1, -0x1.ddeb07e1fb3b2p-2, 0x1.a47a02b5cc732p-6, -0x1.46f68fc6d435fp-12, 0x1.0b77fc2461709p-21 };

/* x = n pi/2 + t; tan t = p / q; an odd n makes it -q / p. 0.75, 3.5 ulp. */
FRef f_tan(FRec *r, FRef x)
{
    FRef x64 = convert(r, DT_f64, x), magic = frec_const(r, DT_f64, 0x1.8p52);
    FRef sum = FMA(x64, frec_const(r, DT_f64, 0x1.45f306dc9c883p-1), magic);
    FRef t = subtract_pi(r, x64, SUB(sum, magic), 0.5, is_f64(r, x)), z = MUL(t, t);
    FRef p = MUL(t, horner(r, z, tan_p, COUNT(tan_p))), q = horner(r, z, tan_q, COUNT(tan_q));
    FRef odd = f_ne(r, parity_sign(r, sum), word(r, sum, 0));
    FRef y = DIV(SELECT(odd, NEG(q), p), SELECT(odd, p, q));
    return within_period_limit(r, x, convert(r, frec_type(r, x), y));
}

/* ---- inverse trigonometric functions ---- */

/* (asin(s) / s - 1) / s^2 for s^2 <= 1/4 */
static const double asin_f32[] = { 0x1.5555c8p-3, 0x1.3301fcp-4, 0x1.747d06p-5, 0x1.8c2d82p-6, 0x1.596d66p-5 };
static const double asin_f64[] = {
    0x1.5555555555577p-3, 0x1.333333332e10bp-4, 0x1.6db6db7215446p-5, 0x1.f1c71a9394d75p-6, 0x1.6e8bdf0d4ee67p-6, 0x1.1c49ecd24927ap-6, 0x1.ca1fea2c7e828p-7,
    0x1.75825a42ea1ecp-7, 0x1.614f852c60e84p-7, 0x1.e4c7604f4fc3fp-9, 0x1.63fcbae3e71e7p-6, -0x1.588b93921a788p-6, 0x1.0b74e641f0a8dp-5,
};

/* asin(|x|) for |x| <= 1/2; above, asin(sqrt((1 - |x|) / 2)), of which asin and acos are made by asin a = pi/2 - 2 asin(sqrt((1 - a) / 2)). */
static FRef asin_core(FRec *r, FRef x, FRef *above)
{
    FRef a = ABS(x);
    *above = LT(K(0.5), a);
    FRef z = SELECT(*above, FMA(a, K(-0.5), K(0.5)), MUL(a, a));
    FRef s = SELECT(*above, SQRT(z), a);
    return FMA(MUL(s, z), POLY(z, asin), s);
}

/* pi/2 less its rounding to the type of x */
static FRef half_pi_rest(FRec *r, FRef x)
{
    return K(is_f64(r, x) ? 0x1.1a62633145c07p-54 : -0x1.777a5cp-25);
}

/* pi/2 - y for y <= pi/4 */
static FRef half_pi_minus(FRec *r, FRef x, FRef y)
{
    return SUB(K(0x1.921fb54442d18p+0), SUB(y, half_pi_rest(r, x)));
}

/* 2, 2.25 ulp. */
FRef f_asin(FRec *r, FRef x)
{
    FRef above, y = asin_core(r, x, &above);
    FRef large = ADD(FMA(K(-2), y, K(0x1.921fb54442d18p+0)), half_pi_rest(r, x));
    return give_sign(r, SELECT(above, large, y), x);
}

/* 1.5, 1.25 ulp. */
FRef f_acos(FRec *r, FRef x)
{
    FRef above, y = give_sign(r, asin_core(r, x, &above), x);
    FRef from = SELECT(LT(x, K(0)), K(0x1.921fb54442d18p+1), K(0));
    return SELECT(above, FMA(K(2), y, from), half_pi_minus(r, x, y));
}

/* (atan(t) / t - 1) / t^2 on [0, 1] */
static const double atan_f32[] = {
    -0x1.55553ep-2, 0x1.9991e4p-3, -0x1.242084p-3, 0x1.c08c1ap-4, -0x1.580810p-4, 0x1.da24b6p-5, -0x1.fd6f94p-6, 0x1.6410bcp-7, -0x1.d32d6ap-10,
};
static const double atan_f64[] = {
    -0x1.555555555544cp-2, 0x1.9999999984122p-3, -0x1.2492491fa26f1p-3, 0x1.c71c709e2e298p-4, -0x1.745d02321b5eap-4, 0x1.3b12b2f0fa17fp-4, -0x1.11089d205b016p-4,
    0x1.e178171ffbaa5p-5, -0x1.ad32b4e135ad0p-5, 0x1.7ee3d790b9ba3p-5, -0x1.4f44bd6a2d5b9p-5, 0x1.1714fa36739d6p-5, -0x1.a723d62e4a00dp-6, 0x1.1628ee70c1fdep-6,
    -0x1.2cf1cc91663bap-7, 0x1.f95f42b49139ep-9, -0x1.311f551dc24e9p-10, 0x1.d3a5d007620dbp-13, -0x1.53d2e8eee951fp-16,
};

/* atan a = pi/2 - atan(1 / a) above 1. 1.5, 1.75 ulp. */
FRef f_atan(FRec *r, FRef x)
{
    FRef a = ABS(x), above = LT(K(1), a);
    FRef t = SELECT(above, DIV(K(1), a), a), z = MUL(t, t);
    FRef y = FMA(MUL(t, z), POLY(z, atan), t);
    return give_sign(r, SELECT(above, half_pi_minus(r, x, y), y), x);
}

/* ---- sign, remainders ---- */

FRef f_sign(FRec *r, FRef x)
{
    FRef zero = K(0);
    if (dtype_table[frec_type(r, x)].cls == CLS_UINT)
        return MIN(x, K(1));
    return SELECT(LT(zero, x), K(1), SELECT(LT(x, zero), K(-1), x));
}

/* |x| mod |y|. The quotient is a whole number that may be too large by one, or rounded where it has more than 53 bits; a second step takes what the
 * first left. Exact for |x / y| < 2^104; fma makes each step exact. */
static FRef float_remainder(FRec *r, FRef a, FRef b)
{
    FRef x = a, rest = a;
    for (int i = 0; i < 2; i++)
        rest = FMA(NEG(f_trunc(r, DIV(rest, b))), b, rest);
    rest = SELECT(LT(rest, K(0)), ADD(rest, b), rest);
    return SELECT(LT(a, b), a, rest);
}

/* f32 is divided in f64, where the quotient has room. */
FRef f_fmod(FRec *r, FRef x, FRef y)
{
    if (!is_float(r, x))
        return f_rem(r, x, y);
    FRef rest = float_remainder(r, convert(r, DT_f64, ABS(x)), convert(r, DT_f64, ABS(y)));
    return give_sign(r, convert(r, frec_type(r, x), rest), x);
}

/* The sign of the divisor: where the remainder's differs, add the divisor (to a zero, give its sign). */
FRef f_mod(FRec *r, FRef x, FRef y)
{
    FRef rest = f_fmod(r, x, y), zero = EQ(rest, K(0));
    if (dtype_table[frec_type(r, x)].cls == CLS_UINT)
        return rest;
    if (!is_float(r, x)) {
        FRef differ = AND(LT(XOR(rest, y), K(0)), f_not(r, zero));
        return SELECT(differ, ADD(rest, y), rest);
    }
    FRef differ = f_ne(r, sign_bits(r, rest), sign_bits(r, y));
    return SELECT(differ, SELECT(zero, NEG(rest), ADD(rest, y)), rest);
}

/* ---- powers ---- */

/* Six squarings serve exponents below 64; the rest either is 0 or +-1 raised, or has overflowed, or is a negative exponent: the part of
 * 1/x that an integer can hold. The low six bits of the exponent then say the right thing for +-1. */
static FRef int_pow(FRec *r, FRef x, FRef y)
{
    FRef result = K(1), square = x;
    for (int bit = 0; bit < 6; bit++) {
        FRef taken = f_ne(r, AND(y, K(1 << bit)), K(0));
        result = SELECT(taken, MUL(result, square), result);
        square = MUL(square, square);
    }
    FRef is_one = EQ(x, K(1)), unit = dtype_is_signed(frec_type(r, x)) ? OR(is_one, EQ(x, K(-1))) : is_one;
    FRef rest = AND(y, f_not(r, K(63)));
    return SELECT(OR(EQ(rest, K(0)), unit), result, K(0));
}

/* log2(1 + f) / f, good to 2^-35, on [sqrt(1/2) - 1, sqrt(2) - 1] */
static const double log2_f64[] = {
    0x1.71547652a1e79p+0, -0x1.7154765a95a0cp-1, 0x1.ec709eb4dc4d7p-2, -0x1.715469d46f6a8p-2, 0x1.277653c1aa377p-2, -0x1.ec75c2a0de7ccp-3, 0x1.a64018c944fcep-3,
    -0x1.70f87b0878476p-3, 0x1.44f0715f98b8fp-3, -0x1.2838589f713d2p-3, 0x1.2c2ce3c165d2fp-3, -0x1.189111010be5dp-3, 0x1.1639bf90f5082p-4,
};
/* 2^t, good to 2^-28, on [-1/2, 1/2] */
static const double exp2_half[] = {
    1, 0x1.62e4311916e8bp-1, 0x1.ebfbe2cabc2b7p-3, 0x1.c6ae709532c68p-5, 0x1.3b2709e184a01p-7, 0x1.5f7380f5ab1ecp-10, 0x1.470dc6c68fae0p-13,
};
/* 2^t on [-1, 1] */
static const double exp2_unit[] = {
    1, 0x1.62e42fefa39ecp-1, 0x1.ebfbdff82c586p-3, 0x1.c6b08d704a65ap-5, 0x1.3b2ab6fba5cdbp-7, 0x1.5d87fe784d2abp-10, 0x1.430912f6b2f34p-13,
    0x1.ffcbfcf16b475p-17, 0x1.62c0251f7898fp-20, 0x1.b524bdf362130p-24, 0x1.e4ca84d7b102cp-28, 0x1.e92fc01bcffb9p-32, 0x1.c7979ee194254p-36, 0x1.63bc3ddd2675dp-40,
};

/* Where |x|^y is 1 whatever the other operand is, NaN included (f_pow sees to -1 to the power of NaN). */
static FRef power_is_one(FRec *r, FRef x, FRef y)
{
    FRef one = frec_const(r, frec_type(r, x), 1), zero = frec_const(r, frec_type(r, y), 0);
    return OR(EQ(ABS(x), one), EQ(y, zero));
}

/* y * log2(a), zero where the power is one; log2_a is -infinity for 0, and infinity and NaN as a. */
static FRef power_exponent(FRec *r, FRef a, FRef y, FRef log2_a, FRef one)
{
    FRef x = a, l = SELECT(LT(a, K(INFINITY)), SELECT(EQ(a, K(0)), K(-INFINITY), log2_a), a);
    return SELECT(one, K(0), MUL(y, l));
}

/* |x|^y of f32 operands in f64: 35 bits of logarithm leave the rounding to f32 as the only error that shows. */
static FRef power_f32(FRec *r, FRef x32, FRef y32, FRef one)
{
    FRef x = convert(r, DT_f64, ABS(x32)), y = convert(r, DT_f64, y32);
    Split s = split(r, x);
    FRef log2_x = FMA(s.f, horner(r, s.f, log2_f64, COUNT(log2_f64)), s.e);
    FRef t = power_exponent(r, x, y, log2_x, one);
    t = MAX(MIN(t, K(160)), K(-160));
    FRef sum = ADD(t, K(0x1.8p52)), n = SUB(sum, K(0x1.8p52));
    FRef p = horner(r, SUB(t, n), exp2_half, COUNT(exp2_half));
    FRef scaled = of_bits(r, ADD(bits_of(r, p), SHL(bits_of(r, sum), word(r, x, 52))));
    return convert(r, DT_f32, scaled);
}

/* Double-double arithmetic: a value is hi + lo, |lo| <= ulp(hi) / 2 (Dekker 1971; products by fma). */
typedef struct Double2 { FRef hi, lo; } Double2;

static Double2 product(FRec *r, Double2 a, Double2 b)
{
    FRef hi = MUL(a.hi, b.hi), lo = FMA(a.hi, b.hi, NEG(hi));
    return (Double2){ .hi = hi, .lo = FMA(a.hi, b.lo, FMA(a.lo, b.hi, lo)) };
}

/* a + b for |a| >= |b| (or a = 0) */
static Double2 sum_of(FRec *r, FRef a, Double2 b)
{
    FRef hi = ADD(a, b.hi);
    return (Double2){ .hi = hi, .lo = ADD(ADD(SUB(a, hi), b.hi), b.lo) };
}

/* 1/5 + z/7 + ... of atanh(s) = s + s z (1/3 + z (1/5 + ...)), z = s^2 */
static const double atanh_f64[] = {
    0x1.9999999999996p-3, 0x1.2492492492f56p-3, 0x1.c71c71c595950p-4, 0x1.745d1829ef8bep-4, 0x1.3b13649a10d4ep-4, 0x1.1120770422d40p-4, 0x1.de3c1abc4a996p-5, 0x1.ead17d30435d5p-5,
};

/* log2(1 + f) = 2 atanh(f / (2 + f)) / ln 2 to some 66 bits */
static Double2 log2_fraction(FRec *r, FRef f)
{
    FRef x = f, d = ADD(f, K(2)), d_lo = SUB(f, SUB(d, K(2))), inverse = DIV(K(1), d), q = MUL(f, inverse);
    FRef rest = FMA(NEG(q), d_lo, FMA(NEG(q), d, f));
    Double2 s = { .hi = q, .lo = MUL(rest, inverse) };
    Double2 z = product(r, s, s);
    Double2 third = { .hi = MUL(z.hi, horner(r, z.hi, atanh_f64, COUNT(atanh_f64))), .lo = K(0x1.5555555555555p-56) };
    Double2 tail = product(r, s, product(r, z, sum_of(r, K(0x1.5555555555555p-2), third)));
    tail.lo = ADD(tail.lo, s.lo);
    return product(r, sum_of(r, s.hi, tail), (Double2){ .hi = K(0x1.71547652b82fep+1), .lo = K(0x1.777d0ffda0d24p-55) });
}

static FRef power_f64(FRec *r, FRef x64, FRef y, FRef one)
{
    FRef x = ABS(x64), subnormal = LT(x, K(0x1p-1022));
    Split s = split(r, SELECT(subnormal, MUL(x, K(0x1p54)), x));
    FRef e = SUB(s.e, SELECT(subnormal, K(54), K(0)));
    Double2 log2_x = sum_of(r, e, log2_fraction(r, s.f));
    FRef t = power_exponent(r, x, y, log2_x.hi, one);
    FRef low = FMA(y, log2_x.lo, FMA(y, log2_x.hi, NEG(t)));
    low = SELECT(f_or(r, one, f_not(r, LT(ABS(t), K(1100)))), K(0), low);
    t = MAX(MIN(t, K(1100)), K(-1100));
    FRef magic = K(0x1.8p52 + 1023), sum = FMA(t, K(0.5), magic), m = SUB(sum, magic);
    FRef p = horner(r, ADD(FMA(m, K(-2), t), low), exp2_unit, COUNT(exp2_unit)), scale = of_bits(r, SHL(bits_of(r, sum), word(r, x, 52)));
    return MUL(MUL(p, scale), scale);
}

/* C's pow: a negative base (-0 too) gives its sign to odd powers; a finite one has no powers but whole ones.
 * 0.6, 1.5 ulp. */
FRef f_pow(FRec *r, FRef x, FRef y)
{
    if (!is_float(r, x))
        return int_pow(r, x, y);
    FRef one = power_is_one(r, x, y), half = MUL(y, K(0.5));
    FRef whole = EQ(f_rint(r, y), y), odd = AND(whole, f_ne(r, f_rint(r, half), half));
    FRef power = is_f64(r, x) ? power_f64(r, x, y, one) : power_f32(r, x, y, one);
    FRef signed_power = of_bits(r, OR(bits_of(r, power), SELECT(odd, sign_bits(r, x), word(r, x, 0))));
    FRef no_power = AND(f_not(r, whole), AND(LT(x, K(0)), LT(K(-INFINITY), x)));
    return SELECT(no_power, K(NAN), signed_power);
}
