/* test_weight_codes.c -- every kind of weight-only quantisation: codes and scales mean what the header says, the graph computes that, errors are as small as so
 * many bits allow, numbers on the grid stay what they are; and which layers are taken.
 */
#include "../ops/op_fixture.h"

#include "minifloat.h"
#include "weight_codes.h"

/* Signal over rounding error in dB that normally distributed weights must reach: below it the rule is broken. */
static const struct { const char *kind; double least; } kinds[] = {
    { "int8", 40 }, { "int4", 20 }, { "int3", 14 }, { "int2", 8 }, { "uint4", 21 }, { "uint8", 44 }, { "nf4", 20 }, { "q4_0", 19.5 }, { "q4_1", 21 },
    { "q8_0", 42 }, { "q4_k", 21 }, { "float8", 30 },
};

static uint32_t seed;
static double uniform(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed / 4294967296.0;
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

static Value *random_weights(Fix *f, int rank, const int64_t *dim)
{
    Tensor *t = tensor_new(f->a, DT_f32, rank, dim);
    seed = 3;
    for (int64_t i = 0; i < t->count; i++)
        tensor_set_f64(t, i, normal() / 8);
    return mk_tensor(&f->b, t);
}

static Node *matmul(Fix *f, int64_t k, int64_t n)
{
    Value *x = fix_input(f, DT_f32, arena_printf(f->a, "2,%d", (int)k));
    return mk_matmul(&f->b, IN(x, random_weights(f, 2, (const int64_t[]){ k, n })), (Attr_matmul){ 0 })->def;
}

static Node *conv(Fix *f, int64_t m, int64_t c, int64_t taps)
{
    Value *x = fix_input(f, DT_f32, arena_printf(f->a, "1,%d,8,8", (int)c));
    Attr_conv a = { .strides = fix_ints(f, "1,1"), .dilations = fix_ints(f, "1,1"), .pads = fix_ints(f, "0,0,0,0"), .group = 1 };
    return mk_conv(&f->b, IN(x, random_weights(f, 4, (const int64_t[]){ m, c, taps, taps })), a)->def;
}

/* dB; and what the node in front of the product gives is what the grids say. */
static double quality(Fix *f, Node *n, const char *kind, int64_t group)
{
    const Tensor *w = value_constant(node_in(n, 1));
    WeightRows r = weight_codes_read(f->a, n, weight_kind(kind), group);
    assert_non_null(r.w);
    weight_codes_fit(&r);
    weight_codes_round(&r);
    assert_true(weight_codes_write(f->b.m, &r));
    const Tensor *y = fix_eval(f, node_in(n, 1));
    assert_non_null(y);
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < w->count; i++) {
        double a = tensor_get_f64(w, i), d = a - tensor_get_f64(y, i);
        signal += a * a, noise += d * d;
    }
    double said = 0;
    for (int64_t row = 0; row < r.rows; row++)
        for (int64_t i = 0; i < r.pieces * r.length; i++) {
            int64_t piece = i / r.length, within = i % r.length / r.group;
            double d = (double)r.w[row * r.pieces * r.length + i] -
                       (double)grid_value(&r.grid[(row * r.pieces + piece) * r.groups + within], r.code[row * r.pieces * r.length + i]);
            said += d * d;
        }
    assert_true(fabs(said - noise) <= 1e-4 * noise + 1e-12);
    return 10 * log10(signal / noise);
}

static void every_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int shape = 0; shape < 3; shape++) {
            void *own = NULL;
            fix_setup(&own);
            Fix *f = own;
            Node *n = shape == 0 ? matmul(f, 200, 24) : shape == 1 ? conv(f, 24, 40, 3) : conv(f, 48, 64, 1);
            double db = quality(f, n, kinds[i].kind, weight_group(weight_kind(kinds[i].kind), &(WeightsOptions){ 0 }));
            if (db < kinds[i].least)
                fail_msg("%s, shape %d: %.2f dB, at least %.2f is possible", kinds[i].kind, shape, db, kinds[i].least);
            fix_teardown(&own);
        }
}

/* More scales, less error. */
static void groups(void **state)
{
    (void)state;
    double last = 0;
    for (int64_t group = 128; group >= 16; group /= 2) {
        void *own = NULL;
        fix_setup(&own);
        double db = quality(own, matmul(own, 256, 16), "int4", group);
        assert_true(db > last);
        last = db;
        fix_teardown(&own);
    }
}

static void grid_stays(void **state)
{
    (void)state;
    float x[32];
    for (int i = 0; i < 32; i++)
        x[i] = (float)(i % 15 - 7) * 0.25f;
    Grid whole = grid_fit(weight_kind("int4"), x, 32, 1);
    for (int k = 0; k < 32; k++)
        assert_true(grid_value(&whole, grid_round(&whole, x[k])) == x[k]);
    float zeros[4] = { 0 };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        Grid g = grid_fit(weight_kind(kinds[i].kind), zeros, 4, 1);
        assert_true(grid_value(&g, grid_round(&g, 0)) == 0);
    }
}

static bool is_f16(double x)
{
    return (double)minifloat_to_f32(DT_f16, minifloat_from_f64(DT_f16, x, false)) == x;
}

/* Scales that are codes are f16 numbers still, a few different multiples of one unit per 8 or 256 groups. */
static void shared_scales(void **state)
{
    static const char *const kind[] = { "nf4", "q4_k" };
    for (int i = 0; i < 2; i++) {
        Fix *f = *state;
        WeightRows r = weight_codes_read(f->a, matmul(f, 512, 20), weight_kind(kind[i]), 32);
        weight_codes_fit(&r);
        for (int64_t g = 0; g < r.rows * r.groups; g++) {
            int64_t first = g - g % (i ? 8 : 256);
            assert_true(is_f16(r.grid[g].scale));
            assert_true(is_f16(-r.grid[g].shift / r.grid[g].scale));
            double unit = 0;
            for (int64_t k = first; k < first + (i ? 8 : 256) && k < r.rows * r.groups; k++)
                unit = fmax(unit, r.grid[k].scale);
            assert_true(r.grid[g].scale <= unit);
        }
    }
}

static void which_layers(void **state)
{
    Fix *f = *state;
    Node *first = conv(f, 16, 3, 3), *product = matmul(f, 64, 32), *tiny = matmul(f, 4, 4);
    first->loc.node = "first", product->loc.node = "product", tiny->loc.node = "tiny";
    const WeightsOptions o = { .kind = "int4" };
    assert_true(weight_codes_quantize(f->b.m, &o, &(TextList){ 1, { "product" } }, NULL));
    assert_int_equal(node_in(first, 1)->def->op, OP_dequantize_blocks);         /* three channels: bytes, a scale per filter */
    assert_int_equal(node_in(node_in(first, 1)->def, 0)->type.dtype, DT_i8);
    assert_non_null(value_constant(node_in(product, 1)));
    assert_non_null(value_constant(node_in(tiny, 1)));
    assert_false(weight_codes_quantize(f->b.m, &o, &(TextList){ 1, { "nobody" } }, NULL));
    assert_non_null(strstr(f->d.all, "--keep nobody"));
    assert_true(weight_codes_quantize(f->b.m, &o, &(TextList){ 0 }, NULL));
    assert_int_equal(node_in(node_in(product, 1)->def, 0)->type.dtype, DT_i4);
    assert_false(weight_codes_quantize(f->b.m, &o, &(TextList){ 0 }, NULL));    /* nothing is left */
}

/* A table that only gathers read becomes bytes, a scale per row, whatever the kind; one that something else reads, or that is kept, stays. */
static void tables(void **state)
{
    Fix *f = *state;
    Value *at = fix_input(f, DT_i64, "3"), *table = random_weights(f, 2, (const int64_t[]){ 100, 64 }), *other = random_weights(f, 2, (const int64_t[]){ 64, 64 });
    Node *row = mk_gather(&f->b, IN(table, at), (Attr_gather){ 0 })->def, *shared = mk_gather(&f->b, IN(other, at), (Attr_gather){ 0 })->def;
    row->loc.node = "table";
    mk_relu(&f->b, other);
    matmul(f, 64, 32);
    const WeightsOptions o = { .kind = "int4" };
    assert_true(weight_codes_quantize(f->b.m, &o, &(TextList){ 1, { "table" } }, NULL));
    assert_non_null(value_constant(node_in(row, 0)));
    assert_true(weight_codes_tables(f->b.m, &(TextList){ 0 }, NULL));
    assert_non_null(value_constant(node_in(shared, 0)));
    const Node *q = node_in(row, 0)->def;
    assert_int_equal(q->op, OP_dequantize_blocks);
    assert_int_equal(node_in(q, 0)->type.dtype, DT_i8);
    assert_int_equal(node_in(q, 1)->type.dim[0]->k, 100);
    const Tensor *w = value_constant(table), *y = fix_eval(f, node_in(row, 0)), *scale = value_constant(node_in(q, 1));
    for (int64_t i = 0; i < w->count; i++)
        assert_true(fabs(tensor_get_f64(w, i) - tensor_get_f64(y, i)) <= 0.501 * tensor_get_f64(scale, i / 64) + 1e-7);
}

static void misuse(void **state)
{
    (void)state;
    assert_null(weight_codes_misuse(&(WeightsOptions){ 0 }));
    assert_null(weight_codes_misuse(&(WeightsOptions){ .kind = "nf4", .group = "128" }));
    assert_non_null(weight_codes_misuse(&(WeightsOptions){ .kind = "int5" }));
    assert_non_null(weight_codes_misuse(&(WeightsOptions){ .kind = "int4", .group = "-1" }));
    assert_non_null(weight_codes_misuse(&(WeightsOptions){ .kind = "int4", .group = "many" }));
    assert_non_null(weight_codes_misuse(&(WeightsOptions){ .group = "32" }));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_setup, fix_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = { TEST(every_kind), TEST(groups), TEST(grid_stays), TEST(shared_scales), TEST(which_layers), TEST(tables), TEST(misuse) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
