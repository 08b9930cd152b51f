/* test_sparsify.c -- zeros in weights: how many, which, and that least squares with some places fixed at zero is what it says. */
#include "../ops/op_fixture.h"

#include "linalg.h"
#include "sparsify.h"

static uint32_t seed;

static double next_number(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed / 2147483648.0 - 1;
}

static Value *weight(Fix *f, const char *dims)
{
    IntVec d = fix_ints(f, dims);
    Tensor *t = tensor_new(f->a, DT_f32, d.n, d.v);
    for (int64_t i = 0; i < t->count; i++)
        tensor_set_f64(t, i, next_number());
    return mk_tensor(&f->b, t);
}

/* Filters [O,I,3,3] of an input of I channels, then a matrix for their results. */
static SparseLayer *sparsify(Fix *f, const char *filters, const SparsifyOptions *o, int want)
{
    IntVec d = fix_ints(f, filters), ones = fix_ints(f, "1,1"), pads = fix_ints(f, "1,1,1,1");
    Value *x = fix_input(f, DT_f32, arena_printf(f->a, "1,%d,4,4", (int)d.v[1]));
    Value *y = mk_conv(&f->b, IN(x, weight(f, filters)), (Attr_conv){ .strides = ones, .dilations = ones, .pads = pads, .group = 1 });
    build_node(&f->b, OP_return, IN(y), &(Attr_return){ .names = { 0 } }, -1);
    f->b.m->graph->props = GP_TYPED;
    SparseLayer *layer = NULL;
    int n = 0;
    bool ok = sparsify_module(f->b.m, o, NULL, &layer, &n);
    assert_int_equal(ok, want);
    assert_int_equal(n, 1);
    return layer;
}

/* Of four input channels under a tap the two smallest weights are gone, the others as they were. */
static void test_two_of_four(void **state)
{
    Fix *f = *state;
    SparsifyOptions o = { .by = IMP_l1 };
    assert_true(pattern_from_name("2:4", &o.pattern));
    seed = 3;
    SparseLayer *l = sparsify(f, "5,8,3,3", &o, true);
    assert_null(l->dense);
    assert_int_equal(l->zeros * 2, l->count);
    const Tensor *t = value_constant(node_in(l->node, 1));
    seed = 3;
    double was[5 * 8 * 9];
    for (int i = 0; i < 5 * 8 * 9; i++)
        was[i] = (double)(float)next_number();
    for (int r = 0; r < 5; r++)
        for (int tap = 0; tap < 9; tap++)
            for (int g = 0; g < 8; g += 4) {
                double kept = 1e9, gone = 0;
                int zeros = 0;
                for (int c = g; c < g + 4; c++) {
                    int at = (r * 8 + c) * 9 + tap;
                    double now = tensor_get_f64(t, at);
                    zeros += now == 0;
                    assert_true(now == 0 || now == was[at]);
                    if (now == 0)
                        gone = fmax(gone, fabs(was[at]));
                    else
                        kept = fmin(kept, fabs(was[at]));
                }
                assert_int_equal(zeros, 2);
                assert_true(gone <= kept);
            }
}

static void test_odd_inputs_stay_dense(void **state)
{
    SparsifyOptions o = { .by = IMP_l1, .pattern = { 2, 4 } };
    sparsify(*state, "5,3,3,3", &o, false);
    assert_non_null(strstr(((Fix *)*state)->d.all, "no multiple of 4"));
}

static void test_fraction(void **state)
{
    SparsifyOptions o = { .by = IMP_l1, .fraction = 0.7 };
    SparseLayer *l = sparsify(*state, "4,5,3,3", &o, true);
    assert_int_equal(l->zeros, 126);
}

static void test_fraction_of_all(void **state)
{
    SparsifyOptions o = { .by = IMP_random, .fraction = 0.5, .global = true };
    SparseLayer *l = sparsify(*state, "4,5,3,3", &o, true);
    assert_int_equal(l->zeros, 90);
}

static void test_unknown_name(void **state)
{
    const char *keep[] = { "nobody" };
    SparsifyOptions o = { .by = IMP_l1, .fraction = 0.5, .nkeep = 1, .keep = keep };
    sparsify(*state, "4,5,3,3", &o, false);
    assert_non_null(strstr(((Fix *)*state)->d.all, "nobody"));
}

static void test_patterns(void **state)
{
    (void)state;
    Pattern p;
    assert_true(pattern_from_name("unstructured", &p) && p.of == 0);
    assert_true(pattern_from_name("1:8", &p) && p.stay == 1 && p.of == 8);
    const char *const wrong[] = { "4:2", "2:2", "0:4", "2:4:8", "2", "2:65", "", "two:four" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(pattern_from_name(wrong[i], &p));
}

/* The gradient vanishes where the solution is free, and the solution where it is not. */
static void test_solve_part(void **state)
{
    (void)state;
    enum { N = 12 };
    double a[N * N] = { 0 }, x[N], b[N], room[N * (N + 6)], row[N];
    bool use[N];
    seed = 9;
    for (int k = 0; k < 3 * N; k++) {
        for (int i = 0; i < N; i++)
            row[i] = next_number();
        linalg_gram_add(a, N, row, 1);
    }
    linalg_mirror(a, N);
    for (int i = 0; i < N; i++)
        b[i] = next_number(), use[i] = i % 3 != 1;
    linalg_solve_part(a, N, use, b, x, room);
    for (int i = 0; i < N; i++) {
        double slope = -b[i];
        for (int j = 0; j < N; j++)
            slope += a[i * N + j] * x[j];
        assert_true(use[i] ? fabs(slope) < 1e-4 : x[i] == 0);
    }
}

static void test_inverse_factor(void **state)
{
    (void)state;
    double h[9] = { 4, 1, 0.5, 1, 3, 0.25, 0.5, 0.25, 2 }, a[9], u[9];
    memcpy(a, h, sizeof a);
    assert_true(linalg_inverse_factor(a, 3, u));
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double sum = 0;         /* of h u^T u */
            for (int k = 0; k < 3; k++)
                for (int l = 0; l < 3; l++)
                    sum += h[i * 3 + k] * u[l * 3 + k] * u[l * 3 + j];
            assert_true(fabs(sum - (i == j)) < 1e-12);
            assert_true(i <= j || u[i * 3 + j] == 0);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_two_of_four), TEST(test_odd_inputs_stay_dense), TEST(test_fraction), TEST(test_fraction_of_all), TEST(test_unknown_name),
        TEST(test_patterns), TEST(test_solve_part), TEST(test_inverse_factor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
