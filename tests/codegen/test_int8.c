/* test_int8.c -- products of u8 and i8: convolutions of all kinds and matmuls, compiled for every kind of CPU that this one can be, give the
 * evaluator's integers. Values are at the ends of their ranges often, where saturating instructions would go wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "compile.h"
#include "eval.h"
#include "ingot.h"
#include "pass.h"

typedef struct Layer {
    const char *name;
    int64_t h, w, c, m, kh, kw, stride, dilation, group;    /* m filters; kh 0: a matmul [h,c] x [c,m], of w batches */
    bool bias, plain;                                       /* plain: channels first and padded, the way without a fast path */
} Layer;

static const Layer layer[] = {
    { "pointwise", 7, 7, 32, 48, 1, 1, 1, 1, 1, true, false },
    { "pointwise, odd channels", 5, 9, 13, 21, 1, 1, 1, 1, 1, false, false },
    { "pointwise, large weights", 3, 3, 512, 528, 1, 1, 1, 1, 1, true, false },
    { "pointwise, stride 2", 9, 9, 20, 16, 1, 1, 2, 1, 1, true, false },
    { "3x3", 10, 11, 16, 40, 3, 3, 1, 1, 1, true, false },
    { "3x3, three channels, stride 2", 17, 15, 3, 32, 3, 3, 2, 1, 1, true, false },
    { "7x7, three channels", 20, 20, 3, 24, 7, 7, 2, 1, 1, false, false },
    { "8x8, one channel", 20, 19, 1, 16, 8, 8, 1, 1, 1, true, false },
    { "3x3, dilated", 12, 12, 12, 16, 3, 3, 1, 2, 1, true, false },
    { "3x3, groups", 9, 9, 24, 36, 3, 3, 1, 1, 4, true, false },
    { "row of 3", 1, 30, 8, 16, 1, 3, 1, 1, 1, true, false },
    { "column of 3", 30, 1, 8, 16, 3, 1, 1, 1, 1, true, false },
    { "depthwise 3x3", 11, 12, 32, 32, 3, 3, 1, 1, 32, true, false },
    { "depthwise 3x3, odd channels", 8, 7, 21, 21, 3, 3, 1, 1, 21, true, false },
    { "depthwise 3x3, stride 2", 11, 13, 40, 40, 3, 3, 2, 1, 40, false, false },
    { "depthwise 5x5", 9, 11, 16, 16, 5, 5, 1, 1, 16, true, false },
    { "depthwise 3x3, dilated", 12, 12, 16, 16, 3, 3, 1, 2, 16, true, false },
    { "two filters per channel", 8, 8, 16, 32, 3, 3, 1, 1, 16, true, false },
    { "padded, channels first", 6, 7, 5, 8, 3, 3, 1, 1, 1, true, true },
    { "matmul", 37, 1, 70, 50, 0, 0, 0, 0, 0, false, false },
    { "matmul, one row", 1, 1, 256, 100, 0, 0, 0, 0, 0, false, false },
    { "matmul, batches", 5, 3, 19, 16, 0, 0, 0, 0, 0, false, false },
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
    *f = (Fix){ .a = a, .seed = 7 };
    diag_init(&f->d, a, stderr);
    snprintf(f->so, sizeof f->so, BINARY_DIR "/int8-%d.so", (int)getpid());
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

static int pick(Fix *f, int n)
{
    f->seed = f->seed * 1664525 + 1013904223;
    return (int)((f->seed >> 12) % (uint32_t)n);
}

static Tensor *random_tensor(Fix *f, DType t, int rank, const int64_t *dim)
{
    int least = t == DT_u8 ? 0 : t == DT_i8 ? -128 : -100000, most = t == DT_u8 ? 255 : t == DT_i8 ? 127 : 100000;
    Tensor *r = tensor_new(f->a, t, rank, dim);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, pick(f, 3) ? least + pick(f, most - least + 1) : pick(f, 2) ? least : most);
    return r;
}

/* ---- one layer as a module ---- */

static Value *matmul_of(Fix *f, Builder *b, Value *x, const Layer *l)
{
    return mk_matmul(b, IN(x, mk_tensor(b, random_tensor(f, DT_i8, 2, (int64_t[]){ l->c, l->m }))), (Attr_matmul){ 0 });
}

static Value *conv_of_layer(Fix *f, Builder *b, Value *x, const Layer *l)
{
    int64_t w[] = { l->m, l->c / l->group, l->kh, l->kw }, pad[] = { l->plain, l->plain, l->plain, l->plain }, two[] = { l->stride, l->stride };
    int64_t dilation[] = { l->dilation, l->dilation };
    Value *bias = l->bias ? mk_tensor(b, random_tensor(f, DT_i32, 1, w)) : NULL;
    Attr_conv a = { .strides = ints_copy(b->m, 2, two), .dilations = ints_copy(b->m, 2, dilation), .pads = ints_copy(b->m, 4, pad), .group = l->group,
                    .channels_last = !l->plain };
    return mk_conv(b, IN(x, mk_tensor(b, random_tensor(f, DT_i8, 4, w)), bias), a);
}

/* The sums, and the sums scaled per channel and stored as u8. */
static Module *module_of(Fix *f, const Layer *l, const Tensor **x)
{
    Module *m = module_new(f->a, &f->d, "int8", "int8");
    Builder b = { m, m->graph, NULL, { 0 } };
    int64_t image[] = { 2, l->h, l->w, l->c }, first[] = { 2, l->c, l->h, l->w }, matrix[] = { l->w, l->h, l->c };
    int rank = l->kh ? 4 : 3;
    *x = random_tensor(f, DT_u8, rank, !l->kh ? matrix : l->plain ? first : image);
    Value *in = mk_input(&b, IN_NONE, (Attr_input){ .index = 0 });
    in->type = type_of_ints(m, DT_u8, rank, (*x)->dim);
    in->name = "x";
    Value *sum = l->kh ? conv_of_layer(f, &b, in, l) : matmul_of(f, &b, in, l);
    Value *again = l->kh ? mk_conv(&b, IN(in, sum->def->in[1].val, node_in(sum->def, 2)), *NODE_ATTR(sum->def, conv)) : mk_matmul(&b, IN(in, sum->def->in[1].val), (Attr_matmul){ 0 });
    int64_t channels[] = { l->plain ? l->m : 1, 1, l->plain ? 1 : l->m };
    Tensor *scale = tensor_new(f->a, DT_f32, 3, channels);
    for (int64_t i = 0; i < l->m; i++)
        tensor_set_f64(scale, i, 1e-4 * (1 + pick(f, 100)));
    Value *y = mk_clip(&b, mk_mul(&b, mk_cast_to(&b, again, DT_f32), mk_tensor(&b, scale)), -7, 248);
    y = mk_add(&b, mk_cast_to(&b, mk_round(&b, y), DT_u8), mk_scalar(&b, DT_u8, 7));
    sum->name = "sum", y->name = "y";
    node_new(m->graph, NULL, OP_return, 2, (Value *[]){ sum, y }, NULL, -1, b.loc);
    m->graph->props |= GP_TYPED;
    return m;
}

/* ---- running ---- */

static bool machine_is(Fix *f, const char *cpu)
{
    TargetInfo t;
    char lacks[64];
    assert_true(target_resolve(f->a, &f->d, NULL, cpu, &t));
    return !ingot_cpu_lacks(t.required_features, lacks, sizeof lacks);
}

static void run_compiled(Fix *f, const Tensor *x, ingot_tensor *out, ingot_file **file, ingot_context **ctx)
{
    ingot_error err;
    ingot_tensor in = { .data = (void *)(uintptr_t)x->data, .dtype = INGOT_u8, .rank = x->rank };
    memcpy(in.dim, x->dim, sizeof *x->dim * (size_t)x->rank);
    if (ingot_open(f->so, file, &err) || ingot_context_new(ingot_file_model(*file), ctx, &err) || ingot_run(*ctx, &in, out, &err))
        fail_msg("%s", err.text);
}

static void expect_same(const char *cpu, const char *name, const Tensor *want, const ingot_tensor *got)
{
    assert_int_equal(want->count, ingot_count(got));
    for (int64_t i = 0; i < want->count; i++) {
        int64_t y = want->dtype == DT_i32 ? ((const int32_t *)got->data)[i] : ((const uint8_t *)got->data)[i];
        if (tensor_get_i64(want, i) != y)
            fail_msg("%s, %s: element %lld is %lld, not %lld", cpu, name, (long long)i, (long long)y, (long long)tensor_get_i64(want, i));
    }
}

static void check_layer(Fix *f, const char *cpu, const Layer *l, int level)
{
    const Tensor *x, *want[2];
    f->seed = (uint32_t)(l - layer) + 1;
    Module *m = module_of(f, l, &x);
    PassOptions passes = PASS_OPTIONS_DEFAULT;
    passes.level = level;
    CompileOptions code = { .output = f->so, .kind = OUT_SO, .cpu = cpu, .opt_level = level };
    assert_true(eval_module(m, f->a, 1, &x, want));
    assert_true(passes_run(m, &passes) && compile_module(m, &code));
    ingot_tensor out[2] = { { 0 } };
    ingot_file *file = NULL;
    ingot_context *ctx = NULL;
    run_compiled(f, x, out, &file, &ctx);
    for (int i = 0; i < 2; i++)
        expect_same(cpu ? cpu : "this CPU", l->name, want[i], &out[i]);
    ingot_context_free(ctx);
    ingot_close(file);
}

static void sums_are_exact_on_every_cpu(void **state)
{
    static const char *const cpu[] = { "x86-64", "haswell", "alderlake", "skylake-avx512", "icelake-server" };
    for (size_t k = 0; k < sizeof cpu / sizeof *cpu; k++)
        for (size_t i = 0; machine_is(*state, cpu[k]) && i < sizeof layer / sizeof *layer; i++)
            check_layer(*state, cpu[k], &layer[i], 2);
}

static void sums_are_exact_without_optimisation(void **state)
{
    for (size_t i = 0; i < sizeof layer / sizeof *layer; i++)
        check_layer(*state, NULL, &layer[i], 0);
}

/* ---- functions from byte to byte ---- */

/* x * sigmoid(x) of u8, between scales; then the same once more, as i8. 300 elements: a tail that no vector covers. */
static Module *silu_twice(Fix *f, const Tensor **x)
{
    Module *m = module_new(f->a, &f->d, "silu", "silu");
    Builder b = { m, m->graph, NULL, { 0 } };
    *x = random_tensor(f, DT_u8, 2, (int64_t[]){ 3, 100 });
    Value *v = mk_input(&b, IN_NONE, (Attr_input){ .index = 0 });
    v->type = type_of_ints(m, DT_u8, 2, (*x)->dim);
    v->name = "x";
    for (int i = 0; i < 2; i++) {
        double least = i ? -128 : 0;
        Value *r = mk_mul(&b, mk_sub(&b, mk_cast_to(&b, v, DT_f32), mk_scalar(&b, DT_f32, 100)), mk_scalar(&b, DT_f32, 0.05));
        Value *y = mk_div(&b, mk_mul(&b, r, mk_sigmoid(&b, r)), mk_scalar(&b, DT_f32, 0.07));
        y = mk_add(&b, mk_round(&b, y), mk_scalar(&b, DT_f32, i ? -9 : 80));
        v = mk_cast_to(&b, mk_clip(&b, y, least, least + 255), i ? DT_i8 : DT_u8);
    }
    v->name = "y";
    node_new(m->graph, NULL, OP_return, 1, &v, NULL, -1, b.loc);
    m->graph->props |= GP_TYPED;
    return m;
}

static void functions_of_bytes_are_looked_up(void **state)
{
    static const char *const cpu[] = { "haswell", "skylake-avx512", "icelake-server" };
    Fix *f = *state;
    for (size_t k = 0; k < sizeof cpu / sizeof *cpu; k++) {
        const Tensor *x, *want;
        ingot_tensor out = { 0 };
        ingot_file *file = NULL;
        ingot_context *ctx = NULL;
        if (!machine_is(f, cpu[k]))
            continue;
        Module *m = silu_twice(f, &x);
        CompileOptions code = { .output = f->so, .kind = OUT_SO, .cpu = cpu[k], .opt_level = 2 };
        assert_true(eval_module(m, f->a, 1, &x, &want) && passes_run(m, &PASS_OPTIONS_DEFAULT) && compile_module(m, &code));
        run_compiled(f, x, &out, &file, &ctx);
        for (int64_t i = 0; i < want->count; i++)
            assert_int_equal(tensor_get_i64(want, i), ((const int8_t *)out.data)[i]);
        ingot_context_free(ctx);
        ingot_close(file);
    }
}

int main(void)
{
#if defined __x86_64__
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(sums_are_exact_on_every_cpu, setup, teardown),
                                        cmocka_unit_test_setup_teardown(functions_of_bytes_are_looked_up, setup, teardown),
                                        cmocka_unit_test_setup_teardown(sums_are_exact_without_optimisation, setup, teardown) };
#else
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(sums_are_exact_without_optimisation, setup, teardown) };
    (void)sums_are_exact_on_every_cpu, (void)functions_of_bytes_are_looked_up;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
