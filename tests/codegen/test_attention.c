/* test_attention.c -- attention as one kernel gives the evaluator's results: lengths that fill blocks and that do not, known and symbolic, masks of every
 * shape, rows whose first keys are all masked, heads that share keys, operands that are read through movement. For every kind of CPU that this one can be.
 */
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

typedef enum Mask { PER_KEY, CAUSAL, PER_BATCH, LATE_KEYS } Mask;

typedef struct Shape {
    const char *name;
    int64_t batch, heads, key_heads, rows, keys, head, value;
    Mask mask;
    bool symbolic;
} Shape;

static const Shape shapes[] = {
    { "one block of each", 1, 2, 2, 32, 64, 32, 32, PER_KEY, false },
    { "few rows", 2, 2, 2, 9, 17, 16, 48, PER_KEY, false },
    { "rows and keys left over", 1, 3, 3, 197, 197, 64, 64, PER_BATCH, false },
    { "many keys", 1, 1, 1, 50, 300, 32, 16, CAUSAL, false },
    { "shared keys", 2, 4, 1, 40, 33, 16, 32, CAUSAL, false },
    { "symbolic", 2, 2, 2, 45, 131, 32, 64, PER_BATCH, true },
    { "one row of a symbolic number", 1, 2, 2, 1, 7, 16, 16, PER_KEY, true },
    { "first blocks masked", 1, 2, 2, 20, 400, 16, 16, LATE_KEYS, true },
};

typedef struct Fix {
    Arena *a;
    Diag d;
    uint32_t seed;
    char so[300];
} Fix;

static int setup(void **state)
{
    Arena *a = arena_new();
    Fix *f = ARENA_NEW(a, Fix);
    *f = (Fix){ .a = a };
    diag_init(&f->d, a, stderr);
    snprintf(f->so, sizeof f->so, BINARY_DIR "/attention-%d.so", (int)getpid());
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

static const Tensor *random_tensor(Fix *f, int rank, const int64_t *dim)
{
    Tensor *t = tensor_new(f->a, DT_f32, rank, dim);
    for (int64_t i = 0; i < t->count; i++) {
        f->seed = f->seed * 1664525 + 1013904223;
        tensor_set_f64(t, i, (double)f->seed * 0x1p-31 - 1);
    }
    return t;
}

static bool is_masked(const Shape *s, int64_t row, int64_t key)
{
    return s->mask == CAUSAL ? key > row : s->mask == LATE_KEYS && key < s->keys - 30 - row;
}

static const Tensor *mask_of(Fix *f, const Shape *s)
{
    int64_t dim[] = { s->mask == PER_BATCH ? s->batch : 1, 1, s->mask == PER_KEY ? 1 : s->rows, s->keys };
    Tensor *t = (Tensor *)(uintptr_t)random_tensor(f, 4, dim);
    for (int64_t i = 0; i < t->count; i++)
        if (is_masked(s, i / s->keys % dim[2], i % s->keys))
            tensor_set_f64(t, i, -INFINITY);
    return t;
}

static const char *size_text(Fix *f, const Shape *s, char name)
{
    int64_t n = name == 'T' ? s->rows : s->keys;
    return s->symbolic ? arena_printf(f->a, "%c", name) : arena_printf(f->a, "%lld", (long long)n);
}

static Module *module_of(Fix *f, const Shape *s)
{
    const char *T = size_text(f, s, 'T'), *S = size_text(f, s, 'S'), *rows = s->mask == PER_KEY ? "1" : T;
    int B = (int)s->batch, H = (int)s->heads, K = (int)s->key_heads, D = (int)s->head, E = (int)s->value, M = s->mask == PER_BATCH ? B : 1;
    char *at = arena_alloc(f->a, 4096), *text = at;
    at += sprintf(at, "module \"attention\"\n%s\ngraph typed {\n", s->symbolic ? "symbol T\nsymbol S\n" : "");
    at += sprintf(at, "  %%0 = input() : f32[%d,%s,%d] \"q\"\n  %%1 = input() {index=1} : f32[%d,%s,%d,%d] \"k\"\n", B, T, H * D, B, S, K, D);
    at += sprintf(at, "  %%2 = input() {index=2} : f32[%d,%s,%d,%d] \"v\"\n  %%3 = input() {index=3} : f32[%d,1,%s,%s] \"m\"\n", B, S, K, E, M, rows, S);
    at += sprintf(at, "  %%4 = reshape(%%0) {shape=[%d,%s,%d,%d]} : f32[%d,%s,%d,%d]\n", B, T, H, D, B, T, H, D);
    at += sprintf(at, "  %%5 = transpose(%%4) {perm=[0,2,1,3]} : f32[%d,%d,%s,%d]\n", B, H, T, D);
    at += sprintf(at, "  %%6 = constant() {value=f32[] [0.3]} : f32[]\n  %%7 = mul(%%5, %%6) : f32[%d,%d,%s,%d]\n", B, H, T, D);
    at += sprintf(at, "  %%8 = transpose(%%1) {perm=[0,2,3,1]} : f32[%d,%d,%d,%s]\n  %%9 = transpose(%%2) {perm=[0,2,1,3]} : f32[%d,%d,%s,%d]\n", B, K, D, S, B, K, S, E);
    at += sprintf(at, "  %%10 = matmul(%%7, %%8) : f32[%d,%d,%s,%s]\n  %%11 = add(%%10, %%3) : f32[%d,%d,%s,%s]\n", B, H, T, S, B, H, T, S);
    at += sprintf(at, "  %%12 = softmax(%%11) {axis=3} : f32[%d,%d,%s,%s]\n  %%13 = matmul(%%12, %%9) : f32[%d,%d,%s,%d]\n", B, H, T, S, B, H, T, E);
    sprintf(at, "  %%14 = transpose(%%13) {perm=[0,2,1,3]} : f32[%d,%s,%d,%d]\n  return(%%14) {names=[\"y\"]}\n}\n", B, T, H, E);
    Module *m = module_parse(f->a, &f->d, "attention", text, NULL, 0);
    assert_non_null(m);
    return m;
}

/* The whole chain is one node. */
static void expect_one_kernel(const Module *m)
{
    FOR_EACH_NODE(n, m->graph)
        assert_true(n->op != OP_softmax && n->op != OP_matmul && n->op != OP_transpose);
}

static bool machine_is(Fix *f, const char *cpu)
{
    TargetInfo t;
    char lacks[64];
    assert_true(target_resolve(f->a, &f->d, NULL, cpu, &t));
    return !ingot_cpu_lacks(t.required_features, lacks, sizeof lacks);
}

static void expect_close(const char *cpu, const char *name, const Tensor *want, const ingot_tensor *got)
{
    assert_int_equal(want->count, ingot_count(got));
    for (int64_t i = 0; i < want->count; i++) {
        double y = ((const float *)got->data)[i];
        if (!(fabs(tensor_get_f64(want, i) - y) <= 2e-6))
            fail_msg("%s, %s: element %lld is %.9g, not %.9g", cpu, name, (long long)i, y, tensor_get_f64(want, i));
    }
}

static void run_and_compare(Fix *f, const char *cpu, const Shape *s, const Tensor *const *x, const Tensor *want)
{
    ingot_error err;
    ingot_file *file = NULL;
    ingot_context *ctx = NULL;
    ingot_tensor in[4] = { { 0 } }, out = { 0 };
    for (int i = 0; i < 4; i++) {
        in[i] = (ingot_tensor){ .data = (void *)(uintptr_t)x[i]->data, .dtype = INGOT_f32, .rank = x[i]->rank };
        memcpy(in[i].dim, x[i]->dim, sizeof *x[i]->dim * (size_t)x[i]->rank);
    }
    if (ingot_open(f->so, &file, &err) || ingot_context_new(ingot_file_model(file), &ctx, &err) || ingot_run(ctx, in, &out, &err))
        fail_msg("%s: %s", s->name, err.text);
    expect_close(cpu, s->name, want, &out);
    ingot_context_free(ctx);
    ingot_close(file);
}

static void check_shape(Fix *f, const char *cpu, const Shape *s)
{
    int64_t q[] = { s->batch, s->rows, s->heads * s->head }, k[] = { s->batch, s->keys, s->key_heads, s->head };
    int64_t v[] = { s->batch, s->keys, s->key_heads, s->value };
    f->seed = (uint32_t)(s - shapes);
    const Tensor *x[] = { random_tensor(f, 3, q), random_tensor(f, 4, k), random_tensor(f, 4, v), mask_of(f, s) }, *want;
    Module *m = module_of(f, s);
    PassOptions passes = PASS_OPTIONS_DEFAULT;
    CompileOptions code = { .output = f->so, .kind = OUT_SO, .cpu = cpu, .opt_level = 2 };
    passes.level = 2;
    assert_true(eval_module(m, f->a, 4, x, &want));
    assert_true(passes_run(m, &passes));
    expect_one_kernel(m);
    assert_true(compile_module(m, &code));
    run_and_compare(f, cpu ? cpu : "this CPU", s, x, want);
}

static void results_are_the_evaluators(void **state)
{
    static const char *const cpu[] = { NULL, "x86-64", "haswell", "skylake-avx512" };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(*state, NULL, &shapes[i]);
#if defined __x86_64__
    for (size_t k = 1; k < sizeof cpu / sizeof *cpu; k++)
        for (size_t i = 0; machine_is(*state, cpu[k]) && i < sizeof shapes / sizeof *shapes; i++)
            check_shape(*state, cpu[k], &shapes[i]);
#else
    (void)machine_is, (void)cpu;
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(results_are_the_evaluators, setup, teardown) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
