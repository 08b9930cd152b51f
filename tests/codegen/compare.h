/* compare.h -- for the tests that compile a module and hold its results against the evaluator's. */
#ifndef INGOT_TEST_COMPARE_H
#define INGOT_TEST_COMPARE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compile.h"
#include "eval.h"
#include "ingot.h"
#include "parse.h"
#include "pass.h"
#include "text.h"

enum { COMPARE_INPUTS = 8 };

typedef struct Fix {
    Arena *a;
    Diag d;
    uint32_t seed;
    char so[300];                   /* scratch file */
} Fix;

static int setup(void **state)
{
    Arena *a = arena_new();
    Fix *f = ARENA_NEW(a, Fix);
    *f = (Fix){ .a = a };
    diag_init(&f->d, a, stderr);
    snprintf(f->so, sizeof f->so, BINARY_DIR "/compare-%d.so", (int)getpid());
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    unlink(f->so);
    arena_free(f->a);
    return 0;
}

/* Numbers in [-1, 1). */
static const Tensor *random_tensor(Fix *f, int rank, const int64_t *dim)
{
    Tensor *t = tensor_new(f->a, DT_f32, rank, dim);
    for (int64_t i = 0; i < t->count; i++) {
        f->seed = f->seed * 1664525 + 1013904223;
        tensor_set_f64(t, i, (double)f->seed * 0x1p-31 - 1);
    }
    return t;
}

static bool machine_is(Fix *f, const char *cpu)
{
    TargetInfo t;
    char lacks[64];
    assert_true(target_resolve(f->a, &f->d, NULL, cpu, &t));
    return !ingot_cpu_lacks(t.required_features, lacks, sizeof lacks);
}

static void expect_close(const char *what, const Tensor *want, const ingot_tensor *got, double tolerance)
{
    assert_int_equal(want->count, ingot_count(got));
    for (int64_t i = 0; i < want->count; i++) {
        double y = ((const float *)got->data)[i];
        if (!(fabs(tensor_get_f64(want, i) - y) <= tolerance))
            fail_msg("%s: element %lld is %.9g, not %.9g", what, (long long)i, y, tensor_get_f64(want, i));
    }
}

static void run_and_compare(Fix *f, const char *what, int n, const Tensor *const *x, const Tensor *want, double tolerance)
{
    ingot_error err;
    ingot_file *file = NULL;
    ingot_context *ctx = NULL;
    ingot_tensor in[COMPARE_INPUTS] = { { 0 } }, out = { 0 };
    for (int i = 0; i < n; i++) {
        in[i] = (ingot_tensor){ .data = (void *)(uintptr_t)x[i]->data, .dtype = INGOT_f32, .rank = x[i]->rank };
        memcpy(in[i].dim, x[i]->dim, sizeof *x[i]->dim * (size_t)x[i]->rank);
    }
    if (ingot_open(f->so, &file, &err) || ingot_context_new(ingot_file_model(file), &ctx, &err) || ingot_run(ctx, in, &out, &err))
        fail_msg("%s: %s", what, err.text);
    expect_close(what, want, &out, tolerance);
    ingot_context_free(ctx);
    ingot_close(file);
}

/* A module in text, of f32 inputs and one f32 result, compiled for a cpu (NULL: this one): within `tolerance` of the evaluator. `check` sees the graph after the passes. */
static void compare_text(Fix *f, const char *cpu, const char *name, const char *text, int n, const Tensor *const *x, double tolerance, void (*check)(const Module *))
{
    const Tensor *want;
    Module *m = module_parse(f->a, &f->d, name, text, NULL, 0);
    PassOptions passes = PASS_OPTIONS_DEFAULT;
    CompileOptions code = { .output = f->so, .kind = OUT_SO, .cpu = cpu, .opt_level = 2 };
    passes.level = 2;
    assert_true(m && eval_module(m, f->a, n, x, &want));
    assert_true(passes_run(m, &passes));
    check(m);
    assert_true(compile_module(m, &code));
    run_and_compare(f, arena_printf(f->a, "%s, %s", cpu ? cpu : "this CPU", name), n, x, want, tolerance);
}

/* Kinds of CPU to compile for, this one first; ends with "". Others are to be skipped where machine_is says no. */
static const char *const compare_cpu[] = { NULL,
#if defined __x86_64__
                                           "x86-64", "haswell", "skylake-avx512",
#endif
                                           "" };

#endif
