/* test_kernels.c -- the KERNEL ops, through the evaluator, on small cases worked out by hand; conversions of single elements of every dtype. */
#include "op_fixture.h"

#include <stdio.h>

#include "kernel.h"
#include "minifloat.h"

static IntVec I(Fix *f, const char *s) { return fix_ints(f, s); }
static DimVec D(Fix *f, const char *s) { return fix_dims(f, s); }

/* ---- elements ---- */

/* Every code of every small float means what the IR's own conversion says, and comes back as itself. */
static void test_minifloat_codes(void **state)
{
    (void)state;
    static const DType types[] = { DT_f16, DT_bf16, DT_f8e4m3, DT_f8e4m3z, DT_f8e5m2, DT_f8e5m2z, DT_f4e2m1, DT_f8e8m0 };
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        int onnx = dtype_table[types[k]].onnx, codes = 1 << dtype_table[types[k]].bits;
        for (int code = 0; code < codes; code++) {
            uint16_t stored = (uint16_t)code, back = 0;
            double x = k_load(&stored, onnx, 0), want = (double)minifloat_to_f32(types[k], (uint32_t)code);
            if (isnan(want)) {
                assert_true(isnan(x));
                continue;
            }
            assert_true(x == want && signbit(x) == signbit(want));
            k_store(&back, onnx, 0, x);
            assert_int_equal(back, code);
        }
    }
}

/* Rounding between neighbours, and overflow, against the IR's conversion. */
static void test_minifloat_rounding(void **state)
{
    (void)state;
    static const DType types[] = { DT_f16, DT_bf16, DT_f8e4m3, DT_f8e4m3z, DT_f8e5m2, DT_f8e5m2z, DT_f4e2m1, DT_f8e8m0 };
    uint32_t seed = 1;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        for (int i = 0; i < 20000; i++) {
            seed = seed * 1664525u + 1013904223u;
            double x = ldexp((double)(int32_t)seed, (int)(seed >> 7) % 60 - 60);
            if (i % 3 == 0)
                x = ldexp((double)((int)(seed >> 20) - 2048), (int)(seed >> 3) % 30 - 20);          /* ties */
            uint16_t code = 0;
            k_store(&code, dtype_table[types[k]].onnx, 0, x);
            assert_int_equal(code, minifloat_from_f64(types[k], x, false));
        }
}

static void test_integers(void **state)
{
    (void)state;
    int8_t nibble = 0;
    k_store(&nibble, K_I4, 0, 9);
    assert_int_equal(nibble, -7);
    uint64_t big = 0;
    k_store(&big, K_U64, 0, 0x1p63);
    assert_true(big == UINT64_C(1) << 63 && k_load(&big, K_U64, 0) == 0x1p63);
    float order[] = { -INFINITY, -1, -0.0f, 1e-40f, 2, INFINITY, NAN };
    for (int i = 0; i + 1 < 7; i++)
        assert_true(k_order_key(order, K_F32, i) < k_order_key(order, K_F32, i + 1));
    float zeros[] = { -0.0f, 0.0f };
    assert_true(k_order_key(zeros, K_F32, 0) == k_order_key(zeros, K_F32, 1));
}

/* ---- gather, scatter ---- */

static void test_gather(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_constant(f, DT_f32, "2,3", NUMBERS(1, 2, 3, 4, 5, 6)), *ix = fix_constant(f, DT_i32, "2", NUMBERS(-1, 0));
    expect_result(f, mk_gather(b, IN(x, ix), (Attr_gather){ 1, 0 }), DT_f32, "2,2", NUMBERS(3, 1, 6, 4));
    expect_result(f, mk_gather(b, IN(x, ix), (Attr_gather){ 0, 0 }), DT_f32, "2,3", NUMBERS(4, 5, 6, 1, 2, 3));
    expect_error(f, fix_eval(f, mk_gather(b, IN(x, fix_constant(f, DT_i64, "1", NUMBERS(-3))), (Attr_gather){ 0, 0 })), "gather: an index is out of range");
    Value *e = fix_constant(f, DT_i64, "2,2", NUMBERS(0, 0, -1, 1));
    expect_result(f, mk_gather_elements(b, IN(x, e), (Attr_gather_elements){ 1, 0 }), DT_f32, "2,2", NUMBERS(1, 1, 6, 5));
    expect_result(f, mk_gather_elements(b, IN(x, e), (Attr_gather_elements){ 0, 0 }), DT_f32, "2,2", NUMBERS(1, 2, 4, 5));
    expect_result(f, mk_gather_nd(b, IN(x, fix_constant(f, DT_i64, "2,2", NUMBERS(0, 1, 1, -1))), (Attr_gather_nd){ 0, 0 }), DT_f32, "2", NUMBERS(2, 6));
    expect_result(f, mk_gather_nd(b, IN(x, fix_constant(f, DT_i64, "2,1", NUMBERS(2, 0))), (Attr_gather_nd){ 1, 0 }), DT_f32, "2", NUMBERS(3, 4));
}

static void test_scatter(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_constant(f, DT_f32, "1,4", NUMBERS(1, 2, 3, 4)), *ix = fix_constant(f, DT_i64, "1,3", NUMBERS(1, -1, 1));
    Value *up = fix_constant(f, DT_f32, "1,3", NUMBERS(10, 20, 30));
    static const char *const kinds[] = { "none", "add", "mul", "max", "min" };
    static const double want[][4] = { { 1, 30, 3, 20 }, { 1, 42, 3, 24 }, { 1, 600, 3, 80 }, { 1, 30, 3, 20 }, { 1, 2, 3, 4 } };
    for (int k = 0; k < 5; k++)
        expect_result(f, mk_scatter_elements(b, IN(x, ix, up), (Attr_scatter_elements){ 1, kinds[k], 0 }), DT_f32, "1,4", want[k]);
    Value *m = fix_constant(f, DT_i64, "2,2", NUMBERS(1, 2, 3, 4)), *rows = fix_constant(f, DT_i64, "2,1", NUMBERS(1, 1));
    Value *add = fix_constant(f, DT_i64, "2,2", NUMBERS(10, 20, 30, 40));
    expect_result(f, mk_scatter_nd(b, IN(m, rows, add), (Attr_scatter_nd){ "add", 0 }), DT_i64, "2,2", NUMBERS(1, 2, 43, 64));
    expect_result(f, mk_scatter_nd(b, IN(m, rows, add), (Attr_scatter_nd){ "none", 0 }), DT_i64, "2,2", NUMBERS(1, 2, 30, 40));
    rows = fix_constant(f, DT_i64, "2,1", NUMBERS(0, 2));
    expect_error(f, fix_eval(f, mk_scatter_nd(b, IN(m, rows, add), (Attr_scatter_nd){ "none", 0 })), "scatter_nd: an index is out of range");
}

/* ---- selection ---- */

static void test_topk(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f32, "2,5", NUMBERS(3, 1, 3, NAN, 2, -1, -0.0, 0, -5, -1));
    Node *n = build_node(&f->b, OP_topk, IN(x), &(Attr_topk){ D(f, "3"), 1, true, true, 0 }, -1);
    expect_result(f, &n->out[0], DT_f32, "2,3", NUMBERS(NAN, 3, 3, 0, 0, -1));
    expect_result(f, &n->out[1], DT_i64, "2,3", NUMBERS(3, 0, 2, 1, 2, 0));
    n = build_node(&f->b, OP_topk, IN(x), &(Attr_topk){ D(f, "5"), 1, false, true, 0 }, -1);
    expect_result(f, &n->out[1], DT_i64, "2,5", NUMBERS(1, 4, 0, 2, 3, 3, 0, 4, 1, 2));
    Value *u = fix_constant(f, DT_u64, "3,2", NUMBERS(1, 0x1p63, 5, 2, 3, 7));
    n = build_node(&f->b, OP_topk, IN(u), &(Attr_topk){ D(f, "1"), 0, true, true, 0 }, -1);
    expect_result(f, &n->out[0], DT_u64, "1,2", NUMBERS(5, 0x1p63));
}

static void test_nonzero(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_i32, "N,3");
    DimVec bound = D(f, "3*N");
    Dim count = dim_fresh(b->m->dims, "nz", bound.v[0]);
    Value *nz = mk_nonzero(b, IN(x), (Attr_nonzero){ dims_copy(b->m, 1, &count), 0 });
    Value *size = mk_from_dims(b, IN_NONE, (Attr_from_dims){ dims_copy(b->m, 1, &count), true, 0 });
    build_node(b, OP_return, IN(nz, size), NULL, -1);
    const Tensor *in = fix_tensor(f, DT_i32, "2,3", NUMBERS(0, 5, 0, -1, 0, 2)), *out[2];
    if (!eval_module(b->m, f->a, 1, &in, out))
        fail_msg("%s", f->d.all);
    expect_numbers(f, out[0], DT_i64, "2,3", NUMBERS(0, 1, 1, 1, 0, 2), 0);
    expect_numbers(f, out[1], DT_i64, "", NUMBERS(3), 0);
}

static void test_cumulate(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_i32, "2,3", NUMBERS(1, 2, 3, 4, 5, 6));
    expect_result(f, mk_cumulate(&f->b, IN(x), (Attr_cumulate){ "sum", 1, false, false, 0 }), DT_i32, "2,3", NUMBERS(1, 3, 6, 4, 9, 15));
    expect_result(f, mk_cumulate(&f->b, IN(x), (Attr_cumulate){ "sum", 1, true, true, 0 }), DT_i32, "2,3", NUMBERS(5, 3, 0, 11, 6, 0));
    expect_result(f, mk_cumulate(&f->b, IN(x), (Attr_cumulate){ "prod", 0, true, false, 0 }), DT_i32, "2,3", NUMBERS(1, 1, 1, 1, 2, 3));
    Value *y = fix_constant(f, DT_f32, "3", NUMBERS(0.5, 2, 4));
    expect_result(f, mk_cumulate(&f->b, IN(y), (Attr_cumulate){ "prod", 0, false, true, 0 }), DT_f32, "3", NUMBERS(4, 8, 4));
}

/* ---- random numbers: mt19937 against the published first numbers for its default seed; counter by its moments ---- */

static void test_random(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    const Tensor *t = fix_eval(f, mk_random(b, IN_NONE, (Attr_random){ D(f, "700"), 5489, "mt19937", 0 }));
    assert_non_null(t);
    const double *x = t->data;
    assert_true(fabs(x[0] - 0.81472368639317894) < 1e-15 && fabs(x[1] - 0.90579193707561919) < 1e-15 && fabs(x[2] - 0.12698681629350606) < 1e-15);
    t = fix_eval(f, mk_random(b, IN_NONE, (Attr_random){ D(f, "100,100"), 1, "counter", 0 }));
    assert_non_null(t);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < t->count; i++) {
        double u = ((const double *)t->data)[i];
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
    }
    assert_true(fabs(sum / 1e4 - 0.5) < 0.015 && fabs(squares / 1e4 - 1.0 / 3) < 0.015);
}

/* ---- Fourier transforms: every radix against the definition ---- */

static void check_fft(Fix *f, DType t, int n, int parts, bool inverse)
{
    enum { ROWS = 9, MOST = 128 };                  /* more rows than are transformed at once */
    double x[ROWS * MOST * 2], table[MOST * 2], turn = 6.283185307179586 / n;
    char shape[40], roots[40];
    snprintf(shape, sizeof shape, "%d,%d,%d", ROWS, n, parts);
    snprintf(roots, sizeof roots, "%d,2", n);
    for (int i = 0; i < ROWS * n * parts; i++)
        x[i] = (i * 37 % 19 - 9) / 8.0;
    for (int k = 0; k < n; k++) {
        table[2 * k] = cos(turn * k);
        table[2 * k + 1] = sin(turn * k);
    }
    const Tensor *y = fix_eval(f, mk_fft(&f->b, IN(fix_constant(f, t, shape, x), fix_constant(f, t, roots, table)), (Attr_fft){ inverse, 0 }));
    assert_non_null(y);
    for (int row = 0; row < ROWS; row++)
        for (int o = 0; o < n; o++) {
            double re = 0, im = 0, tolerance = t == DT_f32 ? 2e-5 : 1e-12;
            for (int i = 0; i < n; i++) {
                const double *at = x + (row * n + i) * parts, angle = (inverse ? 1 : -1) * turn * (i * o % n), imaginary = parts == 2 ? at[1] : 0;
                re += at[0] * cos(angle) - imaginary * sin(angle);
                im += at[0] * sin(angle) + imaginary * cos(angle);
            }
            assert_true(fabs(tensor_get_f64(y, 2 * (row * n + o)) - re) < tolerance && fabs(tensor_get_f64(y, 2 * (row * n + o) + 1) - im) < tolerance);
        }
}

static void test_fft(void **state)
{
    Fix *f = *state;
    static const int lengths[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 22, 25, 26, 32, 49, 60, 64, 97, 120, 128 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int way = 0; way < 8; way++)
            check_fft(f, way & 1 ? DT_f64 : DT_f32, lengths[i], way & 2 ? 2 : 1, way & 4);
}

static void test_max_pool_indices(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f32, "1,2,2,3", NUMBERS(1, 9, 3, 4, 5, 6, 7, 1, 8, 2, 2, 2));
    Attr_max_pool_indices a = { I(f, "2,2"), I(f, "1,1"), I(f, "1,1"), I(f, "0,0,0,0"), false, false, 0 };
    Node *n = build_node(&f->b, OP_max_pool_indices, IN(x), &a, -1);
    expect_result(f, &n->out[0], DT_f32, "1,2,1,2", NUMBERS(9, 9, 7, 8));
    expect_result(f, &n->out[1], DT_i64, "1,2,1,2", NUMBERS(1, 1, 6, 8));
    a.column_major = true;
    n = build_node(&f->b, OP_max_pool_indices, IN(x), &a, -1);
    expect_result(f, &n->out[1], DT_i64, "1,2,1,2", NUMBERS(2, 2, 6, 10));
}

/* ---- resize: numbers from the formulas of the ONNX operator page ---- */

static Attr_resize resize_attrs(Fix *f, const char *shape, const char *mode, const char *coord)
{
    return (Attr_resize){ .shape = D(f, shape), .mode = mode, .coord = coord, .nearest = "round_prefer_floor", .cubic_a = -0.75 };
}

static void test_resize_nearest(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_i8, "1,1,2,2", NUMBERS(1, 2, 3, 4));
    expect_result(f, mk_resize(&f->b, IN(x), resize_attrs(f, "1,1,3,4", "nearest", "asymmetric")), DT_i8, "1,1,3,4",
                  NUMBERS(1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4));
    Value *y = fix_constant(f, DT_f32, "4", NUMBERS(0, 1, 2, 3));
    static const char *const nearest[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil" };
    static const double want[][2] = { { 0, 2 }, { 1, 3 }, { 0, 2 }, { 1, 3 } };       /* half_pixel from 4 to 2: positions 0.5 and 2.5 */
    for (int k = 0; k < 4; k++) {
        Attr_resize a = resize_attrs(f, "2", "nearest", "half_pixel");
        a.nearest = nearest[k];
        expect_result(f, mk_resize(&f->b, IN(y), a), DT_f32, "2", want[k]);
    }
}

static void test_resize_linear(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_constant(f, DT_f32, "1,1,2,2", NUMBERS(1, 2, 3, 4));
    expect_result(f, mk_resize(b, IN(x), resize_attrs(f, "1,1,3,3", "linear", "align_corners")), DT_f32, "1,1,3,3",
                  NUMBERS(1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4));
    expect_result(f, mk_resize(b, IN(x), resize_attrs(f, "1,1,4,4", "linear", "half_pixel")), DT_f32, "1,1,4,4",
                  NUMBERS(1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4));
    /* the same through the path for any dtype, and for channels_last */
    Value *h = fix_constant(f, DT_f64, "1,1,2,2", NUMBERS(1, 2, 3, 4)), *nhwc = fix_constant(f, DT_f32, "1,2,2,2", NUMBERS(1, 10, 2, 20, 3, 30, 4, 40));
    expect_result(f, mk_resize(b, IN(h), resize_attrs(f, "1,1,3,3", "linear", "align_corners")), DT_f64, "1,1,3,3",
                  NUMBERS(1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4));
    expect_result(f, mk_resize(b, IN(nhwc), resize_attrs(f, "1,3,3,2", "linear", "align_corners")), DT_f32, "1,3,3,2",
                  NUMBERS(1, 10, 1.5, 15, 2, 20, 2, 20, 2.5, 25, 3, 30, 3, 30, 3.5, 35, 4, 40));
    Value *line = fix_constant(f, DT_f32, "4", NUMBERS(1, 2, 3, 4));
    expect_result(f, mk_resize(b, IN(line), resize_attrs(f, "1", "linear", "pytorch_half_pixel")), DT_f32, "1", NUMBERS(1));
    expect_result(f, mk_resize(b, IN(line), resize_attrs(f, "1", "linear", "half_pixel")), DT_f32, "1", NUMBERS(2.5));
    Attr_resize anti = resize_attrs(f, "2", "linear", "half_pixel");
    anti.antialias = true;                          /* weights 1/4 3/4 3/4 1/4 over positions -1..2, the one outside falls on 1 */
    expect_result(f, mk_resize(b, IN(line), anti), DT_f32, "2", NUMBERS((.25 * 1 + .75 * 1 + .75 * 2 + .25 * 3) / 2, (.25 * 2 + .75 * 3 + .75 * 4 + .25 * 4) / 2));
}

/* Scales and region given at run time do what the attributes do. */
static void test_resize_operands(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *line = fix_constant(f, DT_f32, "5", NUMBERS(0, 10, 20, 30, 40)), *scale = fix_constant(f, DT_f32, "1", NUMBERS(0.5));
    Attr_resize a = resize_attrs(f, "2", "linear", "half_pixel"), fixed = a;
    fixed.scales = (FloatVec){ 1, NUMBERS(0.5) };
    for (int k = 0; k < 3; k++) {
        static const double want[3][2] = { { 5, 25 }, { 6.25, 25 }, { 0, 20 } };
        a.antialias = fixed.antialias = k == 1;
        a.mode = fixed.mode = k == 2 ? "nearest" : "linear";
        expect_result(f, mk_resize(b, IN(line, scale), a), DT_f32, "2", want[k]);
        expect_result(f, mk_resize(b, IN(line), fixed), DT_f32, "2", want[k]);
    }
    Attr_resize crop = resize_attrs(f, "3", "linear", "tf_crop_and_resize");
    crop.extrapolation = 99;
    Value *roi = fix_constant(f, DT_f32, "2", NUMBERS(0.25, 1.25));
    expect_result(f, mk_resize(b, IN(line, NULL, roi), crop), DT_f32, "3", NUMBERS(10, 30, 99));
    expect_error(f, fix_eval(f, mk_resize(b, IN(line, fix_constant(f, DT_f32, "1", NUMBERS(-1))), a)), "an operand holds a value that is not allowed");
}

/* One axis, and a first axis: the direct path without a second axis. */
static void test_resize_one_axis(void **state)
{
    Fix *f = *state;
    Value *m = fix_constant(f, DT_f32, "2,2", NUMBERS(1, 2, 3, 4)), *d = fix_constant(f, DT_f64, "2,2", NUMBERS(1, 2, 3, 4));
    const double tall[] = { 1, 2, 2, 3, 3, 4 }, wide[] = { 1, 1.5, 2, 3, 3.5, 4 };
    expect_result(f, mk_resize(&f->b, IN(m), resize_attrs(f, "3,2", "linear", "align_corners")), DT_f32, "3,2", tall);
    expect_result(f, mk_resize(&f->b, IN(d), resize_attrs(f, "3,2", "linear", "align_corners")), DT_f64, "3,2", tall);
    expect_result(f, mk_resize(&f->b, IN(m), resize_attrs(f, "2,3", "linear", "align_corners")), DT_f32, "2,3", wide);
    expect_result(f, mk_resize(&f->b, IN(m), resize_attrs(f, "2,2", "cubic", "half_pixel")), DT_f32, "2,2", NUMBERS(1, 2, 3, 4));
}

/* Keys' cubic kernel, taken straight from its definition. */
static double keys(double a, double d)
{
    d = fabs(d);
    return d <= 1 ? (a + 2) * d * d * d - (a + 3) * d * d + 1 : d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
}

static void test_resize_cubic(void **state)
{
    Fix *f = *state;
    double x[5] = { 1, 4, 2, 8, 5 }, want[10], excluded[10];
    for (int o = 0; o < 10; o++) {
        double at = (o + 0.5) / 2 - 0.5, sum = 0, in = 0, weights = 0;
        for (int i = -3; i < 9; i++) {
            double w = keys(-0.5, at - i);
            bool inside = i >= 0 && i < 5;
            sum += w * x[i < 0 ? 0 : i > 4 ? 4 : i];
            in += inside ? w * x[i] : 0;
            weights += inside ? w : 0;
        }
        want[o] = sum;
        excluded[o] = in / weights;
    }
    Attr_resize a = resize_attrs(f, "10", "cubic", "half_pixel");
    a.cubic_a = -0.5;
    Value *v = fix_constant(f, DT_f32, "5", x);
    expect_result(f, mk_resize(&f->b, IN(v), a), DT_f32, "10", want);
    a.exclude_outside = true;
    expect_result(f, mk_resize(&f->b, IN(v), a), DT_f32, "10", excluded);
}

static void test_resize_crop(void **state)
{
    Fix *f = *state;
    Attr_resize a = resize_attrs(f, "3", "linear", "tf_crop_and_resize");
    a.roi = (FloatVec){ 2, NUMBERS(0.25, 1.25) };
    a.extrapolation = 99;
    Value *v = fix_constant(f, DT_f32, "5", NUMBERS(0, 10, 20, 30, 40));
    expect_result(f, mk_resize(&f->b, IN(v), a), DT_f32, "3", NUMBERS(10, 30, 99));
    a.mode = "nearest";
    expect_result(f, mk_resize(&f->b, IN(v), a), DT_f32, "3", NUMBERS(10, 30, 99));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minifloat_codes), cmocka_unit_test(test_minifloat_rounding), cmocka_unit_test(test_integers), FIX_TEST(test_gather),
        FIX_TEST(test_scatter), FIX_TEST(test_topk), FIX_TEST(test_nonzero), FIX_TEST(test_cumulate), FIX_TEST(test_random), FIX_TEST(test_fft), FIX_TEST(test_max_pool_indices),
        FIX_TEST(test_resize_nearest), FIX_TEST(test_resize_linear), FIX_TEST(test_resize_cubic), FIX_TEST(test_resize_crop), FIX_TEST(test_resize_operands), FIX_TEST(test_resize_one_axis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
