/* test_formula.c -- formulas against independent references: composites against the long double libm, small floats against minifloat.c on
 * every code, integers and casts against plain C. The bounds asserted here are those documented in formula_math.c.
 *
 * Set ULP=1 in the environment to print what was measured.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "eval.h"
#include "formula.h"
#include "minifloat.h"

/* ---- helpers ---- */

typedef FRef Unary(FRec *r, FRef x);
typedef FRef Binary(FRec *r, FRef x, FRef y);

static Formula record_unary(Arena *a, Unary *f, DType t)
{
    FRec *r = frec_new(a);
    return frec_finish(r, f(r, frec_arg(r, 0, t)));
}

static Formula record_binary(Arena *a, Binary *f, DType t)
{
    FRec *r = frec_new(a);
    FRef x = frec_arg(r, 0, t), y = frec_arg(r, 1, t);
    return frec_finish(r, f(r, x, y));
}

static uint32_t f32_bits(float x) { uint32_t b; memcpy(&b, &x, sizeof b); return b; }
static float bits_f32(uint32_t b) { float x; memcpy(&x, &b, sizeof x); return x; }
static double bits_f64(uint64_t b) { double x; memcpy(&x, &b, sizeof x); return x; }

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed ^ *seed >> 29;
}

/* Distance of got from exact in units in the last place of a type with `digits` mantissa digits and smallest exponent emin. */
static double ulp_error(long double got, long double exact, int digits, int emin, long double largest)
{
    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : INFINITY;
    long double beyond = largest * (1 + ldexpl(1, -digits));                /* what an infinity stands for */
    if (isinf(got))
        got = copysignl(beyond, got);
    if (fabsl(exact) > beyond)
        exact = copysignl(beyond, exact);
    if (got == exact)
        return exact == 0 && signbit(got) != signbit(exact) ? INFINITY : 0;
    int e;
    frexpl(exact, &e);
    if (e < emin || exact == 0)
        e = emin;
    return (double)fabsl(ldexpl(got - exact, digits - e));
}

static double ulp_f32(float got, long double exact) { return ulp_error(got, exact, 24, -125, FLT_MAX); }
static double ulp_f64(double got, long double exact) { return ulp_error(got, exact, 53, -1021, DBL_MAX); }

/* ---- composites of one operand ---- */

static long double ref_sigmoid(long double x) { return 1 / (1 + expl(-x)); }
static long double ref_softplus(long double x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }

typedef struct Case {
    const char *name;
    Unary *f;
    long double (*ref)(long double);
    double from, to;                /* a range to sweep densely, besides all magnitudes */
    double ulp32, ulp64;            /* documented bounds */
    double limit32, limit64;        /* from there on NaN by definition; 0: no limit */
} Case;

static const Case cases[] = {
    { "exp", f_exp, expl, -110, 95, 1, 1, 0, 0 },
    { "log", f_log, logl, 0, 4, 1.25, 1.25, 0, 0 },
    { "expm1", f_expm1, expm1l, -3, 3, 1.75, 2, 0, 0 },
    { "log1p", f_log1p, log1pl, -1, 3, 1.75, 1.75, 0, 0 },
    { "sin", f_sin, sinl, -30, 30, 0.75, 2.25, 0x1p32, 0x1p40 },
    { "cos", f_cos, cosl, -30, 30, 0.75, 2.5, 0x1p32, 0x1p40 },
    { "tan", f_tan, tanl, -30, 30, 0.75, 3.5, 0x1p32, 0x1p40 },
    { "asin", f_asin, asinl, -1, 1, 2, 2.25, 0, 0 },
    { "acos", f_acos, acosl, -1, 1, 1.5, 1.25, 0, 0 },
    { "atan", f_atan, atanl, -8, 8, 1.5, 1.75, 0, 0 },
    { "sinh", f_sinh, sinhl, -3, 3, 1.75, 2, 0, 0 },
    { "cosh", f_cosh, coshl, -92, 92, 1.5, 1.5, 0, 0 },
    { "tanh", f_tanh, tanhl, -10, 10, 2, 2.25, 0, 0 },
    { "asinh", f_asinh, asinhl, -5, 5, 0.75, 2.25, 0, 0 },
    { "acosh", f_acosh, acoshl, 1, 5, 0.75, 2.5, 0, 0 },
    { "atanh", f_atanh, atanhl, -1, 1, 0.75, 2.25, 0, 0 },
    { "erf", f_erf, erfl, -6, 6, 2, 2.25, 0, 0 },
    { "sigmoid", f_sigmoid, ref_sigmoid, -110, 30, 2, 2.25, 0, 0 },
    { "softplus", f_softplus, ref_softplus, -30, 30, 2, 2.25, 0, 0 },
};

/* The largest error seen, and where. */
typedef struct Worst { double ulp, at; int64_t n; } Worst;

static void worst_take(Worst *w, double ulp, double at)
{
    w->n++;
    if (!(ulp <= w->ulp))
        *w = (Worst){ ulp, at, w->n };
}

static void check_f32(const Case *c, FormulaRun *run, const float *x, int n, double plain_limit, Worst *w)
{
    float y[FORMULA_BLOCK];
    formula_run(run, n, (const void *[]){ x }, y);
    for (int i = 0; i < n; i++) {
        if (c->limit32 > 0 && fabs((double)x[i]) > plain_limit)
            continue;
        bool out = c->limit32 > 0 && fabs((double)x[i]) >= c->limit32;
        worst_take(w, out ? (isnan(y[i]) ? 0 : INFINITY) : ulp_f32(y[i], c->ref(x[i])), x[i]);
    }
}

static void check_f64(const Case *c, FormulaRun *run, const double *x, int n, double plain_limit, Worst *w)
{
    double y[FORMULA_BLOCK];
    formula_run(run, n, (const void *[]){ x }, y);
    for (int i = 0; i < n; i++) {
        if (c->limit64 > 0 && fabs(x[i]) > plain_limit)
            continue;
        bool out = c->limit64 > 0 && fabs(x[i]) >= c->limit64;
        worst_take(w, out ? (isnan(y[i]) ? 0 : INFINITY) : ulp_f64(y[i], c->ref(x[i])), x[i]);
    }
}

/* Without FMA, sine and its kin are promised up to here. */
#define PLAIN_LIMIT 0x1p20

enum { DENSE = 150000, PATTERNS32 = 200000, PATTERNS64 = 100000 };

static const double special[] = { 0, -0.0, 1, -1, 0.5, -0.5, INFINITY, -INFINITY, NAN, DBL_MIN, 4.9e-324, FLT_MIN, 1.4e-45, FLT_MAX, -FLT_MAX, DBL_MAX, -DBL_MAX };
enum { NSPECIAL = sizeof special / sizeof *special };

/* plain_limit: where functions that have a limit are checked. */
static Worst sweep_f32(const Case *c, FormulaRun *run, double plain_limit)
{
    Worst w = { 0 };
    float x[FORMULA_BLOCK];
    int n = 0;
    for (int i = 0; i < NSPECIAL + DENSE + PATTERNS32; i++) {
        if (i < NSPECIAL)
            x[n++] = (float)special[i];
        else if (i < NSPECIAL + DENSE)
            x[n++] = (float)(c->from + (c->to - c->from) * (i - NSPECIAL) / (DENSE - 1));
        else
            x[n++] = bits_f32((uint32_t)((uint64_t)(i - NSPECIAL - DENSE) * 0x100000000u / PATTERNS32) + (uint32_t)i % 7919);
        if (n == FORMULA_BLOCK || i == NSPECIAL + DENSE + PATTERNS32 - 1) {
            check_f32(c, run, x, n, plain_limit, &w);
            n = 0;
        }
    }
    return w;
}

static Worst sweep_f64(const Case *c, FormulaRun *run, double plain_limit)
{
    Worst w = { 0 };
    double x[FORMULA_BLOCK];
    uint64_t seed = 1;
    int n = 0;
    for (int i = 0; i < NSPECIAL + DENSE / 2 + PATTERNS64; i++) {
        double fraction = (double)(next_random(&seed) >> 11) * 0x1p-53;
        if (i < NSPECIAL)
            x[n++] = special[i];
        else if (i < NSPECIAL + DENSE / 2)
            x[n++] = c->from + (c->to - c->from) * fraction;
        else
            x[n++] = bits_f64((uint64_t)(i - NSPECIAL - DENSE / 2) * (UINT64_MAX / PATTERNS64) + next_random(&seed) % (UINT64_MAX / PATTERNS64));
        if (n == FORMULA_BLOCK || i == NSPECIAL + DENSE / 2 + PATTERNS64 - 1) {
            check_f64(c, run, x, n, plain_limit, &w);
            n = 0;
        }
    }
    return w;
}

/* What costs time: constants, operands and bitcasts do not. */
static int instruction_count(const Formula *f)
{
    int n = 0;
    for (int i = 0; i < f->n; i++)
        n += f->inst[i].op != S_const && f->inst[i].op != S_arg && f->inst[i].op != S_bitcast;
    return n;
}

static void report(const char *name, const char *type, const Formula *f, Worst w, double bound)
{
    if (getenv("ULP") || !(w.ulp <= bound))
        print_message("%-9s %s: %3d instructions, worst %.3f ulp at %a (%.9g)\n", name, type, instruction_count(f), w.ulp, w.at, w.at);
}

/* The same formula as a target without FMA computes it. */
static Formula without_fma(Arena *a, const Formula *f)
{
    int *moved = ARENA_ARRAY(a, int, f->n), n = 0;
    FInst *out = ARENA_ARRAY(a, FInst, 2 * f->n);
    for (int i = 0; i < f->n; i++) {
        FInst x = f->inst[i];
        x.a = x.a < 0 ? -1 : moved[x.a], x.b = x.b < 0 ? -1 : moved[x.b], x.c = x.c < 0 ? -1 : moved[x.c];
        if (x.op == S_fma) {
            out[n++] = (FInst){ .op = S_mul, .type = x.type, .a = x.a, .b = x.b, .c = -1 };
            x = (FInst){ .op = S_add, .type = x.type, .a = n - 1, .b = x.c, .c = -1 };
        }
        out[n] = x;
        moved[i] = n++;
    }
    return (Formula){ .n = n, .inst = out, .result = moved[f->result] };
}

static void test_accuracy(void **state)
{
    (void)state;
    bool ok = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *a = arena_new();
        const Case *c = &cases[i];
        Formula f32 = record_unary(a, c->f, DT_f32), f64 = record_unary(a, c->f, DT_f64);
        Worst w32 = sweep_f32(c, formula_run_new(a, &f32), INFINITY), w64 = sweep_f64(c, formula_run_new(a, &f64), INFINITY);
        report(c->name, "f32", &f32, w32, c->ulp32);
        report(c->name, "f64", &f64, w64, c->ulp64);
        ok = ok && w32.ulp <= c->ulp32 && w64.ulp <= c->ulp64;
        Formula plain32 = without_fma(a, &f32), plain64 = without_fma(a, &f64);
        w32 = sweep_f32(c, formula_run_new(a, &plain32), PLAIN_LIMIT);
        w64 = sweep_f64(c, formula_run_new(a, &plain64), PLAIN_LIMIT);
        report(c->name, "f32 without fma", &plain32, w32, c->ulp32 + 1);
        report(c->name, "f64 without fma", &plain64, w64, c->ulp64 + 1);
        ok = ok && w32.ulp <= c->ulp32 + 1 && w64.ulp <= c->ulp64 + 1;
        arena_free(a);
    }
    assert_true(ok);
}

/* The strict forms of f32: none is further from the exact result than this. */
static void test_strict_bound(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(cases[i].ulp32 <= 2);
}

/* ---- fast forms: a bound relative to the exact result, from `least` on (smaller results may be 0), and to `most` (beyond, infinity) ---- */

typedef struct FastCase { const char *name; Unary *f; long double (*ref)(long double); int instructions; double bound; } FastCase;

static const FastCase fast_cases[] = {
    { "exp", f_exp, expl, 12, 0x1p-17 },
    { "sigmoid", f_sigmoid, ref_sigmoid, 13, 0x1p-17 },
    { "tanh", f_tanh, tanhl, 12, 0x1p-18 },
    { "erf", f_erf, erfl, 12, 0x1p-17 },
};

static double fast_error(float got, long double exact)
{
    if (isnan(exact) || isinf(exact) || exact == 0)
        return isnan(exact) ? !isnan(got) : got != (float)exact || !signbit(got) != !signbit(exact);
    if (fabsl(exact) < 0x1p-126L)
        return fabsf(got) > 0x1p-125f;
    return fabsl(exact) > 0x1p127L ? !(got >= 0x1p126f) : (double)fabsl(got / exact - 1);
}

static void test_fast_forms(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof fast_cases / sizeof *fast_cases; k++) {
        Arena *a = arena_new();
        const FastCase *c = &fast_cases[k];
        FRec *r = frec_new(a);
        frec_allow_fast(r, true);
        Formula f = frec_finish(r, c->f(r, frec_arg(r, 0, DT_f32)));
        FormulaRun *run = formula_run_new(a, &f);
        Worst w = { 0 };
        for (uint32_t i = 0; i < DENSE + PATTERNS32; i++) {
            float y, x = i < NSPECIAL ? (float)special[i] : i < DENSE ? (float)i / DENSE * 240 - 120 : bits_f32((i - DENSE) * (UINT32_MAX / PATTERNS32) + i % 7919);
            formula_run(run, 1, (const void *[]){ &x }, &y);
            worst_take(&w, fast_error(y, c->ref(x)), x);
        }
        if (getenv("ULP") || w.ulp > c->bound)
            print_message("%-9s fast: %d instructions, worst %.2f bits at %a (%.9g)\n", c->name, instruction_count(&f), log2(w.ulp), w.at, w.at);
        assert_true(w.ulp <= c->bound && instruction_count(&f) <= c->instructions);
        arena_free(a);
    }
}

/* ---- pow and remainders ---- */

static const double corner[] = {
    0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 2.5, -2.5, INFINITY, -INFINITY, NAN, 1e-40, -1e-40, 1e30, -1e30, 16777215, -16777215, 16777216, 1e9, 0.99999994, 1.0000001, 150, -150, 1e-3,
};
enum { NCORNER = sizeof corner / sizeof *corner };

/* All pairs of corners through a binary formula: x[i * NCORNER + j] is corner i with corner j. */
static void run_corners(const Formula *f, Arena *a, DType t, void *x, void *y, void *out)
{
    FormulaRun *run = formula_run_new(a, f);
    size_t size = (size_t)dtype_bytes(t);
    for (int i = 0; i < NCORNER * NCORNER; i++) {
        float fx = (float)corner[i / NCORNER], fy = (float)corner[i % NCORNER];
        memcpy((char *)x + (size_t)i * size, t == DT_f32 ? (const void *)&fx : &corner[i / NCORNER], size);
        memcpy((char *)y + (size_t)i * size, t == DT_f32 ? (const void *)&fy : &corner[i % NCORNER], size);
    }
    for (int i = 0; i < NCORNER * NCORNER; i += FORMULA_BLOCK) {
        int n = NCORNER * NCORNER - i < FORMULA_BLOCK ? NCORNER * NCORNER - i : FORMULA_BLOCK;
        const void *args[] = { (char *)x + (size_t)i * size, (char *)y + (size_t)i * size };
        formula_run(run, n, args, (char *)out + (size_t)i * size);
    }
}

static void test_pow_corners(void **state)
{
    (void)state;
    Arena *a = arena_new();
    static float x32[NCORNER * NCORNER], y32[NCORNER * NCORNER], z32[NCORNER * NCORNER];
    static double x64[NCORNER * NCORNER], y64[NCORNER * NCORNER], z64[NCORNER * NCORNER];
    Formula f32 = record_binary(a, f_pow, DT_f32), f64 = record_binary(a, f_pow, DT_f64);
    run_corners(&f32, a, DT_f32, x32, y32, z32);
    run_corners(&f64, a, DT_f64, x64, y64, z64);
    for (int i = 0; i < NCORNER * NCORNER; i++) {
        double e32 = ulp_f32(z32[i], powl(x32[i], y32[i])), e64 = ulp_f64(z64[i], powl(x64[i], y64[i]));
        if (!(e32 <= 1))
            fail_msg("pow(%a, %a) gives %a in f32", (double)x32[i], (double)y32[i], (double)z32[i]);
        if (!(e64 <= 2))
            fail_msg("pow(%a, %a) gives %a in f64", x64[i], y64[i], z64[i]);
    }
    arena_free(a);
}

static void test_pow_accuracy(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Formula f32 = record_binary(a, f_pow, DT_f32), f64 = record_binary(a, f_pow, DT_f64);
    FormulaRun *run32 = formula_run_new(a, &f32), *run64 = formula_run_new(a, &f64);
    Worst w32 = { 0 }, w64 = { 0 };
    uint64_t seed = 7;
    for (int block = 0; block < 2000; block++) {
        float x32[FORMULA_BLOCK], y32[FORMULA_BLOCK], z32[FORMULA_BLOCK];
        double x[FORMULA_BLOCK], y[FORMULA_BLOCK], z[FORMULA_BLOCK];
        for (int i = 0; i < FORMULA_BLOCK; i++) {
            double u = (double)(next_random(&seed) >> 11) * 0x1p-53, v = (double)(next_random(&seed) >> 11) * 0x1p-52 - 1;
            x[i] = block % 2 ? exp2(200 * v) * (1 + u) : 0.5 + 1.5 * u;     /* far from 1, where y is small; near 1, where it is large */
            y[i] = 1000 * v / (fabs(log2(x[i])) + 1e-9) * u;
            x32[i] = (float)(block % 2 ? exp2(20 * v) * (1 + u) : x[i]);
            y32[i] = (float)(140 * v / (fabs(log2((double)x32[i])) + 1e-9) * u);
        }
        formula_run(run64, FORMULA_BLOCK, (const void *[]){ x, y }, z);
        formula_run(run32, FORMULA_BLOCK, (const void *[]){ x32, y32 }, z32);
        for (int i = 0; i < FORMULA_BLOCK; i++) {
            worst_take(&w64, ulp_f64(z[i], powl(x[i], y[i])), x[i]);
            worst_take(&w32, ulp_f32(z32[i], powl(x32[i], y32[i])), x32[i]);
        }
    }
    report("pow", "f32", &f32, w32, 0.6);
    report("pow", "f64", &f64, w64, 1.5);
    assert_true(w32.ulp <= 0.6 && w64.ulp <= 1.5);
    arena_free(a);
}

/* Python's %: the sign of the divisor, zero included. */
static double floored_mod(double x, double y)
{
    double m = fmod(x, y);
    return m == 0 ? copysign(0, y) : (m < 0) != (y < 0) ? m + y : m;
}

static bool same_f64(double x, double y)
{
    return (isnan(x) && isnan(y)) || memcmp(&x, &y, sizeof x) == 0;
}

static void test_float_remainders(void **state)
{
    (void)state;
    Arena *a = arena_new();
    static double x[NCORNER * NCORNER], y[NCORNER * NCORNER], f[NCORNER * NCORNER], m[NCORNER * NCORNER];
    Formula fmod64 = record_binary(a, f_fmod, DT_f64), mod64 = record_binary(a, f_mod, DT_f64);
    run_corners(&fmod64, a, DT_f64, x, y, f);
    run_corners(&mod64, a, DT_f64, x, y, m);
    for (int i = 0; i < NCORNER * NCORNER; i++) {
        if (fabs(x[i] / y[i]) > 0x1p104 && !isinf(x[i] / y[i]))
            continue;                                       /* beyond what is promised */
        if (fabs(x[i]) > 1e20 && fabs(y[i]) < 1e-20 && y[i] != 0)
            continue;
        if (!same_f64(f[i], fmod(x[i], y[i])) || !same_f64(m[i], floored_mod(x[i], y[i])))
            fail_msg("%a mod %a: fmod gives %a, mod gives %a", x[i], y[i], f[i], m[i]);
    }
    uint64_t seed = 3;
    Formula fmod32 = record_binary(a, f_fmod, DT_f32);
    FormulaRun *run = formula_run_new(a, &fmod32);
    float x32[FORMULA_BLOCK], y32[FORMULA_BLOCK], z32[FORMULA_BLOCK];
    for (int block = 0; block < 200; block++) {
        for (int i = 0; i < FORMULA_BLOCK; i++) {
            x32[i] = bits_f32((uint32_t)next_random(&seed) % 0x10000000 + 0x38000000);
            y32[i] = bits_f32((uint32_t)next_random(&seed) % 0x10000000 + 0x38000000);
        }
        formula_run(run, FORMULA_BLOCK, (const void *[]){ x32, y32 }, z32);
        for (int i = 0; i < FORMULA_BLOCK; i++)
            if (z32[i] != fmodf(x32[i], y32[i]))
                fail_msg("fmod(%a, %a) gives %a in f32", (double)x32[i], (double)y32[i], (double)z32[i]);
    }
    arena_free(a);
}

/* ---- small floats: the formulas against minifloat.c, which works with frexp and ldexp ---- */

static const DType mini[] = { DT_f16, DT_bf16, DT_f8e4m3, DT_f8e4m3z, DT_f8e5m2, DT_f8e5m2z, DT_f8e8m0, DT_f4e2m1 };
enum { NMINI = sizeof mini / sizeof *mini };

/* Store of one f32 by formula; load by formula of one code. */
typedef struct MiniRuns { FormulaRun *load, *store, *saturating; size_t size; } MiniRuns;

static MiniRuns mini_runs(Arena *a, DType t)
{
    Formula load = formula_load(a, t), store = formula_store(a, t, false), saturating = formula_store(a, t, true);
    return (MiniRuns){ formula_run_new(a, &load), formula_run_new(a, &store), formula_run_new(a, &saturating), (size_t)dtype_bytes(t) };
}

static float mini_load(const MiniRuns *m, uint32_t code)
{
    float x;
    formula_run(m->load, 1, (const void *[]){ &code }, &x);
    return x;
}

static uint32_t mini_store(const MiniRuns *m, float x, bool saturate)
{
    uint32_t code = 0;
    formula_run(saturate ? m->saturating : m->store, 1, (const void *[]){ &x }, &code);
    return code;
}

static void check_store(const MiniRuns *m, DType t, float x)
{
    for (int saturate = 0; saturate < 2; saturate++) {
        uint32_t got = mini_store(m, x, saturate), expected = minifloat_from_f64(t, x, saturate);
        if (got != expected)
            fail_msg("%s of %a (saturate %d): the formula gives %#x, minifloat.c %#x", dtype_name(t), (double)x, saturate, got, expected);
    }
}

static void test_small_float_codes(void **state)
{
    (void)state;
    for (int k = 0; k < NMINI; k++) {
        Arena *a = arena_new();
        DType t = mini[k];
        MiniRuns m = mini_runs(a, t);
        for (uint32_t code = 0; code < 1u << dtype_table[t].bits; code++) {
            float x = mini_load(&m, code), reference = minifloat_to_f32(t, code);
            if (f32_bits(x) != f32_bits(reference))
                fail_msg("%s code %#x: the formula gives %#x, minifloat.c %#x", dtype_name(t), code, f32_bits(x), f32_bits(reference));
            if (!isnan(x) && mini_store(&m, x, false) != code)
                fail_msg("%s code %#x does not come back: %#x", dtype_name(t), code, mini_store(&m, x, false));
            check_store(&m, t, x);
        }
        arena_free(a);
    }
}

/* Every midpoint between neighbouring codes, the floats next to it, and a walk through all f32 magnitudes. */
static void test_small_float_rounding(void **state)
{
    (void)state;
    for (int k = 0; k < NMINI; k++) {
        Arena *a = arena_new();
        DType t = mini[k];
        MiniFormat f = minifloat_format(t);
        MiniRuns m = mini_runs(a, t);
        for (uint32_t code = 0; code < f.max; code++) {
            float middle = (minifloat_to_f32(t, code) + minifloat_to_f32(t, code + 1)) / 2;
            for (int side = -1; side <= 1; side++) {
                float x = side ? nextafterf(middle, side * INFINITY) : middle;
                check_store(&m, t, x);
                check_store(&m, t, -x);
            }
        }
        for (uint64_t bits = 0; bits < 0x100000000u; bits += 0x3fff1)
            check_store(&m, t, bits_f32((uint32_t)bits));
        check_store(&m, t, INFINITY);
        check_store(&m, t, -INFINITY);
        arena_free(a);
    }
}

/* What the ONNX specification tabulates for Cast: x, saturating or not -> code. */
static void test_small_float_spec(void **state)
{
    (void)state;
    static const struct { DType t; bool saturate; float x; uint32_t code; } rows[] = {
        { DT_f8e4m3, true, INFINITY, 0x7e }, { DT_f8e4m3, true, -1e6f, 0xfe }, { DT_f8e4m3, true, NAN, 0x7f }, { DT_f8e4m3, true, -0.0f, 0x80 },
        { DT_f8e4m3, false, INFINITY, 0x7f }, { DT_f8e4m3, false, -INFINITY, 0xff }, { DT_f8e4m3, false, 1e6f, 0x7f }, { DT_f8e4m3, true, 448, 0x7e },
        { DT_f8e4m3, false, 464, 0x7e }, { DT_f8e4m3, false, 465, 0x7f },
        { DT_f8e4m3z, true, INFINITY, 0x7f }, { DT_f8e4m3z, true, -1e6f, 0xff }, { DT_f8e4m3z, true, NAN, 0x80 }, { DT_f8e4m3z, true, -1e-7f, 0 },
        { DT_f8e4m3z, false, -INFINITY, 0x80 }, { DT_f8e4m3z, false, 1e6f, 0x80 },
        { DT_f8e5m2, true, INFINITY, 0x7b }, { DT_f8e5m2, true, -1e6f, 0xfb }, { DT_f8e5m2, true, NAN, 0x7e }, { DT_f8e5m2, false, -1e6f, 0xfc },
        { DT_f8e5m2z, true, INFINITY, 0x7f }, { DT_f8e5m2z, false, INFINITY, 0x80 }, { DT_f8e5m2z, true, -0.0f, 0 },
        { DT_f4e2m1, true, 0.25f, 0 }, { DT_f4e2m1, true, 1.05f, 2 }, { DT_f4e2m1, true, -3.5f, 0xe }, { DT_f4e2m1, true, -8, 0xf }, { DT_f4e2m1, true, NAN, 8 },
        { DT_f8e8m0, true, 0, 0 }, { DT_f8e8m0, true, 0.124f, 0x7c }, { DT_f8e8m0, true, 1.1f, 0x80 }, { DT_f8e8m0, true, 2, 0x80 }, { DT_f8e8m0, true, NAN, 0xff },
        { DT_f8e8m0, false, INFINITY, 0xff }, { DT_f8e8m0, true, INFINITY, 0xfe },
        { DT_f16, false, 65519, 0x7bff }, { DT_f16, false, 65520, 0x7c00 }, { DT_f16, false, 0x1p-25f, 0 }, { DT_f16, false, 0x1.000002p-25f, 1 },
        { DT_bf16, false, 3.4e38f, 0x7f80 }, { DT_bf16, false, 1.00390625f, 0x3f80 }, { DT_bf16, false, 1.01171875f, 0x3f82 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Arena *a = arena_new();
        MiniRuns m = mini_runs(a, rows[i].t);
        uint32_t code = mini_store(&m, rows[i].x, rows[i].saturate);
        if (code != rows[i].code)
            fail_msg("%s of %g (saturate %d) is %#x, not %#x", dtype_name(rows[i].t), (double)rows[i].x, rows[i].saturate, code, rows[i].code);
        arena_free(a);
    }
}

/* ---- nodes: casts, integers, broadcasting ---- */

typedef struct Bench { Arena *a; Diag d; Module *m; Builder b; EvalEnv env; } Bench;

static void bench_open(Bench *t)
{
    t->a = arena_new();
    diag_init(&t->d, t->a, NULL);
    t->m = module_new(t->a, &t->d, "test", "test");
    t->b = (Builder){ .m = t->m, .g = t->m->graph, .loc = { "test", "", 0 } };
    t->env = (EvalEnv){ .arena = t->a, .m = t->m };
}

static Tensor *vector_of(Bench *t, DType type, int n, const double *x)
{
    Tensor *v = tensor_new(t->a, type, 1, (int64_t[]){ n });
    for (int i = 0; i < n; i++)
        tensor_set_f64(v, i, x[i]);
    return v;
}

static const Tensor *eval_op(Bench *t, OpCode op, int n, const Tensor *const *x, const void *attrs)
{
    Value *in[3];
    const Tensor *out = NULL;
    for (int i = 0; i < n; i++)
        in[i] = mk_tensor(&t->b, x[i]);
    Value *v = build_op(&t->b, op, (Inputs){ n, in }, attrs);
    if (!v || !eval_node(&t->env, v->def, x, &out))
        fail_msg("%s: %s", op_name(op), t->d.first ? t->d.first : "failed without a word");
    return out;
}

static const Tensor *eval_cast_to(Bench *t, const Tensor *x, DType to, bool saturate)
{
    Attr_cast attr = { .to = to, .saturate = saturate };
    return eval_op(t, OP_cast, 1, &x, &attr);
}

static void expect(const Tensor *t, const double *x)
{
    for (int64_t i = 0; i < t->count; i++)
        if (!same_f64(tensor_get_f64(t, i), x[i]))
            fail_msg("%s element %d is %.17g, not %.17g", dtype_name(t->dtype), (int)i, tensor_get_f64(t, i), x[i]);
}

static void test_casts(void **state)
{
    (void)state;
    Bench t;
    bench_open(&t);
    const double x[] = { -9, -1.9, -0.5, 0, 0.5, 1.9, 200.7, 70000 };
    const Tensor *f = vector_of(&t, DT_f32, 8, x);
    expect(eval_cast_to(&t, f, DT_i4, true), (double[]){ 7, -1, 0, 0, 0, 1, -8, 0 });
    expect(eval_cast_to(&t, f, DT_u4, true), (double[]){ 7, 15, 0, 0, 0, 1, 8, 0 });
    expect(eval_cast_to(&t, f, DT_i2, true), (double[]){ -1, -1, 0, 0, 0, 1, 0, 0 });
    expect(eval_cast_to(&t, f, DT_u2, true), (double[]){ 3, 3, 0, 0, 0, 1, 0, 0 });
    expect(eval_cast_to(&t, f, DT_i8, true), (double[]){ -9, -1, 0, 0, 0, 1, -56, 112 });
    expect(eval_cast_to(&t, f, DT_u8, true), (double[]){ 247, 255, 0, 0, 0, 1, 200, 112 });
    expect(eval_cast_to(&t, f, DT_u64, true), (double[]){ 0, 0, 0, 0, 0, 1, 200, 70000 });
    expect(eval_cast_to(&t, f, DT_bool, true), (double[]){ 1, 1, 1, 0, 1, 1, 1, 1 });
    expect(eval_cast_to(&t, f, DT_f16, true), (double[]){ -9, -1.900390625, -0.5, 0, 0.5, 1.900390625, 200.75, INFINITY });
    expect(eval_cast_to(&t, eval_cast_to(&t, f, DT_f16, true), DT_f8e4m3, true), (double[]){ -9, -1.875, -0.5, 0, 0.5, 1.875, 208, 448 });
    const double far[] = { NAN, INFINITY, -INFINITY, 1e30, -1e30, 0x1p63, -0x1p63, 3e9 };
    const Tensor *d = vector_of(&t, DT_f64, 8, far);
    expect(eval_cast_to(&t, d, DT_i32, true), (double[]){ 0, -1, 0, -1, 0, -1, 0, -1294967296 });
    assert_int_equal(tensor_get_i64(eval_cast_to(&t, d, DT_i64, true), 1), INT64_MAX);
    assert_int_equal(tensor_get_i64(eval_cast_to(&t, d, DT_i64, true), 2), INT64_MIN);
    expect(eval_cast_to(&t, d, DT_bool, true), (double[]){ 1, 1, 1, 1, 1, 1, 1, 1 });
    /* One rounding from f64: 1 + 2^-11 + 2^-40 lies above the middle of two f16, though f32 rounds it to that middle. */
    const Tensor *middle = vector_of(&t, DT_f64, 3, (double[]){ 1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11, 1 + 0x1p-11 - 0x1p-40 });
    expect(eval_cast_to(&t, middle, DT_f16, true), (double[]){ 1 + 0x1p-10, 1, 1 });
    arena_free(t.a);
}

static void test_f64_to_small_floats(void **state)
{
    (void)state;
    Bench t;
    bench_open(&t);
    uint64_t seed = 11;
    double x[FORMULA_BLOCK];
    for (int i = 0; i < FORMULA_BLOCK; i++)
        x[i] = ldexp((double)(int64_t)next_random(&seed), (int)(next_random(&seed) % 60) - 90);
    const Tensor *d = vector_of(&t, DT_f64, FORMULA_BLOCK, x);
    for (int k = 0; k < NMINI; k++)
        for (int saturate = 0; saturate < 2; saturate++) {
            const Tensor *y = eval_cast_to(&t, d, mini[k], saturate);
            for (int i = 0; i < FORMULA_BLOCK; i++) {
                uint32_t code = 0;
                memcpy(&code, (const char *)y->data + i * dtype_bytes(mini[k]), (size_t)dtype_bytes(mini[k]));
                if (code != minifloat_from_f64(mini[k], x[i], saturate))
                    fail_msg("%s of %a is %#x, not %#x", dtype_name(mini[k]), x[i], code, minifloat_from_f64(mini[k], x[i], saturate));
            }
        }
    arena_free(t.a);
}

static void test_bitcasts(void **state)
{
    (void)state;
    Bench t;
    bench_open(&t);
    Tensor *codes = tensor_new(t.a, DT_u16, 1, (int64_t[]){ 65536 });
    for (int i = 0; i < 65536; i++)
        tensor_set_f64(codes, i, i);
    const Tensor *half = eval_op(&t, OP_bitcast, 1, (const Tensor *[]){ codes }, &(Attr_bitcast){ .to = DT_f16 });
    const Tensor *back = eval_op(&t, OP_bitcast, 1, &half, &(Attr_bitcast){ .to = DT_u16 });
    assert_true(tensor_equal(codes, back));                 /* signalling NaNs included */
    const Tensor *nibble = vector_of(&t, DT_i4, 3, (double[]){ -8, -1, 7 });
    expect(eval_op(&t, OP_bitcast, 1, &nibble, &(Attr_bitcast){ .to = DT_u4 }), (double[]){ 8, 15, 7 });
    const Tensor *truth = vector_of(&t, DT_bool, 2, (double[]){ 0, 1 });
    expect(eval_op(&t, OP_bitcast, 1, &truth, &(Attr_bitcast){ .to = DT_u8 }), (double[]){ 0, 1 });
    arena_free(t.a);
}

static void check_binary(OpCode op, DType type, int n, const double *x, const double *y, const double *z)
{
    Bench t;
    bench_open(&t);
    expect(eval_op(&t, op, 2, (const Tensor *[]){ vector_of(&t, type, n, x), vector_of(&t, type, n, y) }, NULL), z);
    arena_free(t.a);
}

static void check_unary(OpCode op, DType type, int n, const double *x, const double *y)
{
    Bench t;
    bench_open(&t);
    expect(eval_op(&t, op, 1, (const Tensor *[]){ vector_of(&t, type, n, x) }, NULL), y);
    arena_free(t.a);
}

#define V(...) (const double[]){ __VA_ARGS__ }

static void test_integers(void **state)
{
    (void)state;
    check_binary(OP_div, DT_i32, 6, V(7, -7, 7, -7, 5, INT32_MIN), V(2, 2, -2, -2, 0, -1), V(3, -3, -3, 3, 0, INT32_MIN));
    check_binary(OP_mod, DT_i32, 6, V(7, -7, 7, -7, 5, INT32_MIN), V(3, 3, -3, -3, 0, -1), V(1, 2, -2, -1, 0, 0));
    check_binary(OP_fmod, DT_i32, 4, V(7, -7, 7, -7), V(3, 3, -3, -3), V(1, -1, 1, -1));
    check_binary(OP_mod, DT_u8, 3, V(250, 7, 5), V(100, 3, 0), V(50, 1, 0));
    check_binary(OP_add, DT_i8, 2, V(127, -128), V(1, -1), V(-128, 127));
    check_binary(OP_mul, DT_u16, 2, V(65535, 300), V(65535, 300), V(1, 24464));
    check_binary(OP_add, DT_i4, 2, V(7, -8), V(1, -1), V(-8, 7));
    check_binary(OP_sub, DT_u4, 2, V(0, 15), V(1, 1), V(15, 14));
    check_binary(OP_shl, DT_u8, 4, V(1, 1, 1, 255), V(7, 8, 200, 4), V(128, 0, 0, 240));
    check_binary(OP_shr, DT_i8, 3, V(-128, -128, 127), V(7, 8, 1), V(-1, 0, 63));
    check_binary(OP_shr, DT_u32, 3, V(4294967295.0, 1, 8), V(31, 32, 3), V(1, 0, 1));
    check_binary(OP_bit_and, DT_i8, 2, V(-1, 12), V(15, 10), V(15, 8));
    check_binary(OP_bit_xor, DT_u8, 1, V(255), V(15), V(240));
    check_binary(OP_pow, DT_i32, 9, V(2, -2, 3, 0, 0, 1, -1, -1, 2), V(10, 31, 5, 0, 64, -7, -3, -4, -1), V(1024, INT32_MIN, 243, 1, 0, 1, -1, 1, 0));
    check_binary(OP_pow, DT_i64, 5, V(3, 2, -1, 2, 10), V(39, 62, 1000001, 64, 18), V(4052555153018976267.0, 0x1p62, -1, 0, 1e18));
    check_binary(OP_pow, DT_u8, 4, V(2, 3, 255, 0), V(7, 10, 3, 255), V(128, 169, 255, 0));
    check_binary(OP_max, DT_u64, 1, V(0x1p63), V(1), V(0x1p63));
    check_binary(OP_lt, DT_u32, 2, V(4294967295.0, 1), V(1, 2), V(0, 1));
    check_unary(OP_neg, DT_i16, 3, V(5, -5, -32768), V(-5, 5, -32768));
    check_unary(OP_abs, DT_i8, 3, V(5, -5, -128), V(5, 5, -128));
    check_unary(OP_abs, DT_u8, 1, V(200), V(200));
    check_unary(OP_sign, DT_i64, 3, V(-7, 0, 9), V(-1, 0, 1));
    check_unary(OP_sign, DT_u16, 2, V(0, 40000), V(0, 1));
    check_unary(OP_relu, DT_i32, 2, V(-3, 3), V(0, 3));
    check_unary(OP_bit_not, DT_u8, 2, V(0, 170), V(255, 85));
    check_unary(OP_bit_not, DT_i4, 2, V(0, -8), V(-1, 7));
    check_unary(OP_not, DT_bool, 2, V(0, 1), V(1, 0));
}

static void test_float_corners(void **state)
{
    (void)state;
    check_binary(OP_max, DT_f32, 5, V(NAN, 1, -0.0, 0, 2), V(1, NAN, 0, -0.0, 3), V(NAN, NAN, 0, 0, 3));
    check_binary(OP_min, DT_f32, 5, V(NAN, 1, -0.0, 0, 2), V(1, NAN, 0, -0.0, 3), V(NAN, NAN, -0.0, -0.0, 2));
    check_binary(OP_max, DT_f16, 2, V(NAN, 2), V(1, 3), V(NAN, 3));
    check_binary(OP_add, DT_f16, 2, V(2048, 65504), V(1, 16), V(2048, INFINITY));
    check_binary(OP_div, DT_bf16, 2, V(1, 1), V(3, 0), V(0.333984375, INFINITY));
    check_unary(OP_round, DT_f32, 6, V(0.5, 1.5, 2.5, -0.5, -1.5, 2.4), V(0, 2, 2, -0.0, -2, 2));
    check_unary(OP_neg, DT_f32, 2, V(0, -0.0), V(-0.0, 0));
    check_unary(OP_relu, DT_f32, 3, V(-1, NAN, -0.0), V(0, NAN, 0));
    check_unary(OP_sign, DT_f64, 5, V(-2, -0.0, 0, 3, NAN), V(-1, -0.0, 0, 1, NAN));
    check_unary(OP_isnan, DT_f16, 3, V(NAN, 1, INFINITY), V(1, 0, 0));
    check_unary(OP_isinf, DT_bf16, 4, V(NAN, 1, INFINITY, -INFINITY), V(0, 0, 1, 1));
    check_binary(OP_eq, DT_f32, 3, V(NAN, 0, 1), V(NAN, -0.0, 2), V(0, 1, 0));
    check_binary(OP_ne, DT_f32, 2, V(NAN, 0), V(NAN, -0.0), V(1, 0));
    check_binary(OP_xor, DT_bool, 4, V(0, 0, 1, 1), V(0, 1, 0, 1), V(0, 1, 1, 0));
}

/* [2,1,700] with [3,1] with [] against plain loops: rows longer than a block, strides of 0 inside and outside. */
static void test_broadcast(void **state)
{
    (void)state;
    enum { A = 2, B = 3, C = 700 };
    Bench t;
    bench_open(&t);
    Tensor *c = tensor_new(t.a, DT_bool, 3, (int64_t[]){ A, 1, C }), *y = tensor_new(t.a, DT_i16, 2, (int64_t[]){ B, 1 }), *z = tensor_new(t.a, DT_i16, 0, NULL);
    for (int i = 0; i < A * C; i++)
        tensor_set_f64(c, i, i % 3 == 0);
    for (int i = 0; i < B; i++)
        tensor_set_f64(y, i, 10 + i);
    tensor_set_f64(z, 0, -1);
    const Tensor *r = eval_op(&t, OP_where, 3, (const Tensor *[]){ c, y, z }, NULL);
    assert_int_equal(r->count, A * B * C);
    for (int i = 0; i < A; i++)
        for (int j = 0; j < B; j++)
            for (int k = 0; k < C; k++)
                assert_int_equal(tensor_get_i64(r, (i * B + j) * C + k), (i * C + k) % 3 == 0 ? 10 + j : -1);
    const Tensor *none = tensor_new(t.a, DT_f32, 2, (int64_t[]){ 0, 4 });
    assert_int_equal(eval_op(&t, OP_exp, 1, &none, NULL)->count, 0);
    arena_free(t.a);
}

/* ---- the recorder ---- */

static void test_recorder(void **state)
{
    (void)state;
    Arena *a = arena_new();
    FRec *r = frec_new(a);
    FRef x = frec_arg(r, 0, DT_f32), y = frec_arg(r, 1, DT_f32);
    assert_int_equal(f_add(r, x, y), f_add(r, x, y));
    assert_int_not_equal(f_add(r, x, y), f_add(r, y, x));
    FRef three = f_add(r, frec_const(r, DT_f32, 1), frec_const(r, DT_f32, 2));
    assert_int_equal(three, frec_const(r, DT_f32, 3));
    f_exp(r, y);                                            /* not needed by the result */
    Formula f = frec_finish(r, f_mul(r, f_add(r, x, three), x));
    assert_int_equal(f.n, 4);
    for (int i = 0; i < f.n; i++)
        assert_true(f.inst[i].a < i && f.inst[i].b < i && f.inst[i].c < i);
    float in[2] = { 2, -3 }, out[2];
    formula_run(formula_run_new(a, &f), 2, (const void *[]){ in }, out);
    assert_true(out[0] == 10 && out[1] == 0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorder),
        cmocka_unit_test(test_accuracy), cmocka_unit_test(test_strict_bound), cmocka_unit_test(test_fast_forms),
        cmocka_unit_test(test_pow_corners),
        cmocka_unit_test(test_pow_accuracy),
        cmocka_unit_test(test_float_remainders),
        cmocka_unit_test(test_small_float_codes),
        cmocka_unit_test(test_small_float_rounding),
        cmocka_unit_test(test_small_float_spec),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_f64_to_small_floats),
        cmocka_unit_test(test_bitcasts),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_float_corners),
        cmocka_unit_test(test_broadcast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
