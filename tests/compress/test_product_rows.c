/* test_product_rows.c -- a product's result, element by element, is its row of features times its column of weights: convolutions and transposed ones, with strides, pads,
 * dilations and groups, and matrix products.
 */
#include "../ops/op_fixture.h"

#include "rows.h"

static uint32_t seed = 5;

static Tensor *numbers(Fix *f, const char *dims)
{
    IntVec d = fix_ints(f, dims);
    Tensor *t = tensor_new(f->a, DT_f32, d.n, d.v);
    for (int64_t i = 0; i < t->count; i++) {
        seed = seed * 1664525u + 1013904223u;
        tensor_set_f64(t, i, seed / 2147483648.0 - 1);
    }
    return t;
}

static void check(Fix *f, Value *y, const char *input)
{
    Module *m = f->b.m;
    Rows r;
    if (!y)
        fail_msg("no graph: %s", f->d.all);
    build_node(&f->b, OP_return, IN(y), &(Attr_return){ .names = { 0 } }, -1);
    m->graph->props = GP_TYPED;
    const Tensor *x = numbers(f, input), *result = NULL, *w = value_constant(node_in(y->def, 1));
    assert_true(rows_of(y->def, &r));
    if (!eval_module(m, f->a, 1, &x, &result))
        fail_msg("%s", f->d.all);
    result = tensor_dense(f->a, result);
    double *row = ARENA_ARRAY(f->a, double, r.nfeatures);
    assert_int_equal(rows_count(&r, result) * r.nout * r.ngroups, result->count);
    for (int64_t i = 0; i < rows_count(&r, result); i++)
        for (int g = 0; g < r.ngroups; g++) {
            rows_read(&r, x, result, i, g, row);
            for (int o = 0; o < r.nout; o++) {
                double sum = 0, want = rows_result(&r, result, i, (int64_t)g * r.nout + o);
                for (int k = 0; k < r.nfeatures; k++)
                    sum += row[k] * tensor_get_f64(w, rows_weight(&r, g, k, o));
                if (fabs(sum - want) > 1e-4 * (1 + fabs(want)))
                    fail_msg("row %d, group %d, output %d: %g instead of %g", (int)i, g, o, sum, want);
            }
        }
}

static void test_conv(void **state)
{
    Fix *f = *state;
    Value *x = fix_input(f, DT_f32, "2,4,7,6"), *w = mk_tensor(&f->b, numbers(f, "6,2,3,2"));
    check(f, mk_conv(&f->b, IN(x, w), (Attr_conv){ .strides = fix_ints(f, "2,1"), .dilations = fix_ints(f, "1,2"), .pads = fix_ints(f, "1,0,1,1"), .group = 2 }),
          "2,4,7,6");
}

static void transposed(Fix *f, const char *strides, const char *dilations, const char *pads, const char *more, int64_t group)
{
    Value *x = fix_input(f, DT_f32, "2,4,3,4"), *w = mk_tensor(&f->b, numbers(f, "4,3,3,2"));
    check(f, mk_conv_transpose(&f->b, IN(x, w), (Attr_conv_transpose){ .strides = fix_ints(f, strides), .dilations = fix_ints(f, dilations),
        .pads = fix_ints(f, pads), .output_padding = fix_ints(f, more), .group = group }), "2,4,3,4");
}

static void test_conv_transpose(void **state) { transposed(*state, "1,1", "1,1", "0,0,0,0", "0,0", 1); }
static void test_conv_transpose_strides(void **state) { transposed(*state, "2,3", "1,1", "1,0,1,1", "1,0", 1); }
static void test_conv_transpose_groups(void **state) { transposed(*state, "2,1", "1,2", "1,1,0,0", "0,0", 2); }

static void test_matmul(void **state)
{
    Fix *f = *state;
    Value *x = fix_input(f, DT_f32, "2,3,5"), *w = mk_tensor(&f->b, numbers(f, "5,4"));
    check(f, mk_matmul(&f->b, IN(x, w), (Attr_matmul){ 0 }), "2,3,5");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_conv), TEST(test_conv_transpose), TEST(test_conv_transpose_strides), TEST(test_conv_transpose_groups), TEST(test_matmul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
