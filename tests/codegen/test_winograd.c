/* test_winograd.c -- convolution by Winograd's method against the evaluator, for every tile size: images that tiles do not divide, channels that
 * vectors do not divide, uneven pads, several images, few and many tiles per block, panels in several items, a pool behind it; and its matrices against the definition.
 */
#include "compiled.h"

#include "winograd.h"

typedef struct Case {
    int64_t images, height, width, cin, cout, pads[4];
    int64_t tiles, panels;
    bool bias;
} Case;

static Value *convolution(Fix *f, const Case *c, int m, bool symbolic)
{
    const int64_t w[] = { c->cout, c->cin, 3, 3 }, plan[] = { m, c->tiles, c->panels, 16 }, ones[] = { 1, 1 };
    Arena *a = f->a;
    Value *x = fix_input(f, DT_f32, symbolic ? arena_printf(a, "N,H,W,%d", (int)c->cin)
                                             : arena_printf(a, "%d,%d,%d,%d", (int)c->images, (int)c->height, (int)c->width, (int)c->cin));
    Module *mod = f->b.m;
    Attr_conv attr = { .strides = ints_copy(mod, 2, ones), .dilations = ints_copy(mod, 2, ones), .pads = ints_copy(mod, 4, c->pads), .group = 1,
                       .channels_last = true, .winograd = ints_copy(mod, 4, plan) };
    Value *bias = c->bias ? mk_tensor(&f->b, compiled_random(a, 1, w, 3)) : NULL;
    return mk_relu(&f->b, mk_conv(&f->b, IN(x, mk_tensor(&f->b, compiled_random(a, 4, w, 2)), bias), attr));
}

/* The same with a 2x2 maximum behind it: one kernel. */
static void is_one_kernel(const Module *m)
{
    FOR_EACH_NODE(n, m->graph)
        assert_true(n->op != OP_pool);
}

static Value *pooled(Fix *f, Value *x)
{
    const int64_t two[] = { 2, 2 }, one[] = { 1, 1 }, none[] = { 0, 0, 0, 0 };
    Module *m = f->b.m;
    return mk_pool(&f->b, IN(x), (Attr_pool){ .kind = "max", .kernel = ints_copy(m, 2, two), .strides = ints_copy(m, 2, two),
                                              .dilations = ints_copy(m, 2, one), .pads = ints_copy(m, 4, none), .channels_last = true });
}

static const Case cases[] = {
    { 1, 8, 8, 16, 16, { 1, 1, 1, 1 }, 4, 1, true },
    { 1, 13, 7, 16, 32, { 1, 1, 1, 1 }, 14, 2, false },
    { 2, 9, 11, 5, 40, { 0, 0, 0, 0 }, 3, 1, true },            /* tails of channels on both sides, three items per block */
    { 3, 5, 5, 20, 48, { 2, 0, 1, 1 }, 100, 3, true },          /* one block with more room than tiles */
    { 1, 3, 30, 33, 17, { 1, 2, 0, 1 }, 7, 2, true },
};

static void check_as(Fix *f, const Case *c, int m, bool symbolic, bool pools)
{
    const Tensor *x = compiled_random(f->a, 4, (const int64_t[]){ c->images, c->height, c->width, c->cin }, 1);
    const Compiled how = { .what = arena_printf(f->a, "case %d", (int)(c - cases)), .pipeline = "explicit_pad,fuse,plan", .tolerance = 1e-5, .props = GP_LAID_OUT,
                           .inspect = pools ? is_one_kernel : NULL };
    Value *y = convolution(f, c, m, symbolic);
    compiled_check_value(f, &how, x, pools ? pooled(f, y) : y);
}

static void check(Fix *f, const Case *c, int m, bool symbolic) { check_as(f, c, m, symbolic, false); }

static void check_two(Fix *f, size_t i, const char *cpu) { (void)cpu; check(f, &cases[i], 2, false); }
static void check_four(Fix *f, size_t i, const char *cpu) { (void)cpu; check(f, &cases[i], 4, false); }
static void check_six(Fix *f, size_t i, const char *cpu) { (void)cpu; check(f, &cases[i], 6, false); }
static void check_symbolic(Fix *f, size_t i, const char *cpu) { (void)cpu; check(f, &cases[i], 4, true); }
static void check_pool_two(Fix *f, size_t i, const char *cpu) { (void)cpu; check_as(f, &cases[i], 2, false, true); }
static void check_pool_four(Fix *f, size_t i, const char *cpu) { (void)cpu; check_as(f, &cases[i], 4, i % 2, true); }
static void check_pool_six(Fix *f, size_t i, const char *cpu) { (void)cpu; check_as(f, &cases[i], 6, false, true); }
static void pooled_two(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_pool_two); }
static void pooled_four(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_pool_four); }
static void pooled_six(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_pool_six); }
static void two_by_two(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_two); }
static void four_by_four(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_four); }
static void six_by_six(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_six); }
static void sizes_of_the_run(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_symbolic); }

/* Y = At [ (G g) * (Bt d) ] is the correlation of d with g, in one dimension. */
static void matrices_are_exact(void **state)
{
    (void)state;
    for (int m = 2; m <= WINOGRAD_MAX_TILE; m += 2) {
        Winograd w = winograd_matrices(m);
        double d[WINOGRAD_MAX_INPUT], g[3] = { 0.25, -1.5, 3 }, product[WINOGRAD_MAX_INPUT];
        for (int i = 0; i < w.n; i++)
            d[i] = i * i - 3 * i + 1;
        for (int i = 0; i < w.n; i++) {
            double left = 0, right = 0;
            for (int k = 0; k < 3; k++)
                left += w.g[i][k] * g[k];
            for (int k = 0; k < w.n; k++)
                right += w.bt[i][k] * d[k];
            product[i] = left * right;
        }
        for (int i = 0; i < m; i++) {
            double y = 0, want = d[i] * g[0] + d[i + 1] * g[1] + d[i + 2] * g[2];
            for (int k = 0; k < w.n; k++)
                y += w.at[i][k] * product[k];
            assert_true(fabs(y - want) < 1e-10);
        }
    }
}

static void wrong_plans_are_refused(void **state)
{
    Fix *f = *state;
    const Case bad_m = { 1, 8, 8, 16, 32, { 1, 1, 1, 1 }, 4, 2, false }, bad_panels = { 1, 8, 8, 16, 48, { 1, 1, 1, 1 }, 4, 2, false };
    expect_error(f, convolution(f, &bad_m, 3, false), "winograd is [m, tiles, panels, slots]");
    expect_error(f, convolution(f, &bad_panels, 4, false), "a divisor of 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices_are_exact), FIX_TEST(wrong_plans_are_refused),
        cmocka_unit_test(two_by_two), cmocka_unit_test(four_by_four), cmocka_unit_test(six_by_six), cmocka_unit_test(sizes_of_the_run),
        cmocka_unit_test(pooled_two), cmocka_unit_test(pooled_four), cmocka_unit_test(pooled_six),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
