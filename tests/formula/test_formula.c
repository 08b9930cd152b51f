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
    double limit32, limit64;        /* beyond: NaN by definition; 0: no limit */
} Case;

static const Case cases[] = {
    { "exp", f_exp, expl, -110, 95, 2, 2, 0, 0 },
    { "log", f_log, logl, 0, 4, 2, 2, 0, 0 },
    { "expm1", f_expm1, expm1l, -3, 3, 2, 2, 0, 0 },
    { "log1p", f_log1p, log1pl, -1, 3, 2, 2, 0, 0 },
    { "sin", f_sin, sinl, -30, 30, 2, 2, 0x1p40, 0x1p40 },
    { "cos", f_cos, cosl, -30, 30, 2, 2, 0x1p40, 0x1p40 },
    { "tan", f_tan, tanl, -30, 30, 2, 2, 0x1p40, 0x1p40 },
    { "asin", f_asin, asinl, -1, 1, 2, 2, 0, 0 },
    { "acos", f_acos, acosl, -1, 1, 2, 2, 0, 0 },
    { "atan", f_atan, atanl, -8, 8, 2, 2, 0, 0 },
    { "sinh", f_sinh, sinhl, -3, 3, 2, 2, 0, 0 },
    { "cosh", f_cosh, coshl, -92, 92, 2, 2, 0, 0 },
    { "tanh", f_tanh, tanhl, -10, 10, 2, 2, 0, 0 },
    { "asinh", f_asinh, asinhl, -5, 5, 2, 2, 0, 0 },
    { "acosh", f_acosh, acoshl, 1, 5, 2, 2, 0, 0 },
    { "atanh", f_atanh, atanhl, -1, 1, 2, 2, 0, 0 },
    { "erf", f_erf, erfl, -6, 6, 2, 2, 0, 0 },
    { "sigmoid", f_sigmoid, ref_sigmoid, -110, 30, 2, 2, 0, 0 },
    { "softplus", f_softplus, ref_softplus, -30, 30, 2, 2, 0, 0 },
};

/* The largest error seen, and where. */
typedef struct Worst { double ulp, at; int64_t n; } Worst;

static void worst_take(Worst *w, double ulp, double at)
{
    w->n++;
    if (!(ulp <= w->ulp))
        *w = (Worst){ ulp, at, w->n };
}

static void check_f32(const Case *c, FormulaRun *run, const float *x, int n, Worst *w)
{
    float y[FORMULA_BLOCK];
    formula_run(run, n, (const void *[]){ x }, y);
    for (int i = 0; i < n; i++) {
        bool out = c->limit32 > 0 && fabs((double)x[i]) >= c->limit32;
        worst_take(w, out ? (isnan(y[i]) ? 0 : INFINITY) : ulp_f32(y[i], c->ref(x[i])), x[i]);
    }
}

static void check_f64(const Case *c, FormulaRun *run, const double *x, int n, Worst *w)
{
    double y[FORMULA_BLOCK];
    formula_run(run, n, (const void *[]){ x }, y);
    for (int i = 0; i < n; i++) {
        bool out = c->limit64 > 0 && fabs(x[i]) >= c->limit64;
        worst_take(w, out ? (isnan(y[i]) ? 0 : INFINITY) : ulp_f64(y[i], c->ref(x[i])), x[i]);
    }
}

enum { DENSE = 400000, PATTERNS32 = 400000, PATTERNS64 = 200000 };

static const double special[] = { 0, -0.0, 1, -1, 0.5, -0.5, INFINITY, -INFINITY, NAN, DBL_MIN, 4.9e-324, FLT_MIN, 1.4e-45, FLT_MAX, -FLT_MAX, DBL_MAX, -DBL_MAX };
enum { NSPECIAL = sizeof special / sizeof *special };

static Worst sweep_f32(const Case *c, FormulaRun *run)
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
            check_f32(c, run, x, n, &w);
            n = 0;
        }
    }
    return w;
}

static Worst sweep_f64(const Case *c, FormulaRun *run)
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
            check_f64(c, run, x, n, &w);
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

static void test_accuracy(void **state)
{
    (void)state;
    bool ok = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *a = arena_new();
        const Case *c = &cases[i];
        Formula f32 = record_unary(a, c->f, DT_f32), f64 = record_unary(a, c->f, DT_f64);
        Worst w32 = sweep_f32(c, formula_run_new(a, &f32)), w64 = sweep_f64(c, formula_run_new(a, &f64));
        report(c->name, "f32", &f32, w32, c->ulp32);
        report(c->name, "f64", &f64, w64, c->ulp64);
        ok = ok && w32.ulp <= c->ulp32 && w64.ulp <= c->ulp64;
        arena_free(a);
    }
    assert_true(ok);
}
int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_accuracy) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
