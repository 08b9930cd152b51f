/* test_vision.c -- sampling and detection kernels: cases whose answers follow from other ops or from simple geometry. */
#include <stdio.h>

#include "op_fixture.h"

static IntVec I(Fix *f, const char *s) { return fix_ints(f, s); }

/* ---- grid_sample ---- */

static void test_grid_linear(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f32, "1,2,2,2", NUMBERS(1, 2, 3, 4, 10, 20, 30, 40));
    /* x,y: the corners themselves, the centre, a quarter */
    Value *grid = fix_constant(f, DT_f32, "1,1,4,2", NUMBERS(-1, -1, 1, -1, 0, 0, -0.5, 1));
    Attr_grid_sample a = { "linear", "zeros", true, 0 };
    expect_result(f, mk_grid_sample(&f->b, IN(x, grid), a), DT_f32, "1,2,1,4", NUMBERS(1, 2, 2.5, 3.25, 10, 20, 25, 32.5));
    /* without align_corners -1 is the outer edge: half of each corner sample is outside */
    a.align_corners = false;
    expect_result(f, mk_grid_sample(&f->b, IN(x, grid), a), DT_f32, "1,2,1,4", NUMBERS(0.25, 0.5, 2.5, 1.5, 2.5, 5, 25, 15));
    a.padding = "border";
    expect_result(f, mk_grid_sample(&f->b, IN(x, grid), a), DT_f32, "1,2,1,4", NUMBERS(1, 2, 2.5, 3, 10, 20, 25, 30));
}

static void test_grid_outside(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f32, "1,1,4", NUMBERS(1, 2, 3, 4));
    /* align_corners: position = (g + 1) * 1.5, so these are -1.5, 4.5 and no position */
    Value *grid = fix_constant(f, DT_f32, "1,3,1", NUMBERS(-2, 2, NAN));
    static const char *const paddings[] = { "zeros", "border", "reflection" };
    static const double want[][2] = { { 0, 0 }, { 1, 4 }, { 2.5, 2.5 } };
    for (int k = 0; k < 3; k++) {
        Value *first = mk_slice_axis(&f->b, grid, 1, dim_const(f->b.m->dims, 0), dim_const(f->b.m->dims, 2));
        expect_result(f, mk_grid_sample(&f->b, IN(x, first), (Attr_grid_sample){ "linear", paddings[k], true, 0 }), DT_f32, "1,1,2", want[k]);
    }
    expect_result(f, mk_grid_sample(&f->b, IN(x, grid), (Attr_grid_sample){ "nearest", "zeros", true, 0 }), DT_f32, "1,1,3", NUMBERS(0, 0, 0));
}

/* Far outside, the image is mirrored back and forth: position p of 0..3 repeats with period 6. */
static void test_grid_reflection(void **state)
{
    Fix *f = *state;
    double grid[25], want[25];
    for (int i = 0; i < 25; i++) {
        int p = i - 12, turn = ((p % 6) + 6) % 6;
        grid[i] = p / 1.5 - 1;
        want[i] = 1 + (turn < 4 ? turn : 6 - turn);
    }
    Value *x = fix_constant(f, DT_f64, "1,1,4", NUMBERS(1, 2, 3, 4)), *g = fix_constant(f, DT_f64, "1,25,1", grid);
    expect_result(f, mk_grid_sample(&f->b, IN(x, g), (Attr_grid_sample){ "linear", "reflection", true, 0 }), DT_f64, "1,1,25", want);
}

/* Cubic interpolation reproduces samples at the samples, and a straight line between inner ones. */
static void test_grid_cubic(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f64, "1,1,6", NUMBERS(0, 10, 20, 30, 40, 50));
    Value *grid = fix_constant(f, DT_f64, "1,3,1", NUMBERS(-1, 0, 0.2));
    expect_result(f, mk_grid_sample(&f->b, IN(x, grid), (Attr_grid_sample){ "cubic", "border", true, 0 }), DT_f64, "1,1,3", NUMBERS(0, 25, 30));
}

/* ---- roi_align ---- */

static void test_roi_align(void **state)
{
    Fix *f = *state;
    double ramp[36];
    for (int i = 0; i < 36; i++)
        ramp[i] = i / 6 * 10 + i % 6;                       /* 10 y + x: every bilinear mean is the value at the bin's centre */
    Value *x = fix_constant(f, DT_f32, "1,1,6,6", ramp), *batch = fix_constant(f, DT_i64, "2", NUMBERS(0, 0));
    Value *rois = fix_constant(f, DT_f32, "2,4", NUMBERS(1, 1, 5, 3, 2, 2, 2, 2));
    Attr_roi_align a = { "avg", 2, 2, 2, 1, true, 0 };
    expect_result(f, mk_roi_align(&f->b, IN(x, rois, batch), a), DT_f32, "2,1,2,2", NUMBERS(11.5, 13.5, 21.5, 23.5, 16.5, 16.5, 16.5, 16.5));
    a.half_pixel = false;                                   /* no shift, and the empty region grows to one pixel */
    expect_result(f, mk_roi_align(&f->b, IN(x, rois, batch), a), DT_f32, "2,1,2,2", NUMBERS(17, 19, 27, 29, 24.75, 25.25, 29.75, 30.25));
    expect_error(f, fix_eval(f, mk_roi_align(&f->b, IN(x, rois, fix_constant(f, DT_i64, "2", NUMBERS(0, 1))), a)), "an index is out of range");
}

/* ---- deform_conv ---- */

static Attr_deform_conv deform_attrs(Fix *f)
{
    return (Attr_deform_conv){ I(f, "1,1"), I(f, "1,1"), I(f, "1,1,1,1"), 2, 1, 0 };
}

/* Without offsets it is a convolution; with the offset of one row everywhere, that of the image moved up. */
static void test_deform_conv(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_random(f, DT_f32, "1,4,5,5", 1), *w = fix_random(f, DT_f32, "2,2,3,3", 2), *bias = fix_random(f, DT_f32, "2", 3);
    static double none[18 * 25], down[18 * 25], half[9 * 25];
    for (int i = 0; i < 18 * 25; i++)
        down[i] = i / 25 % 2 == 0;
    for (int i = 0; i < 9 * 25; i++)
        half[i] = 0.5;
    Attr_conv c = { I(f, "1,1"), I(f, "1,1"), I(f, "1,1,1,1"), 2, false, { 0, NULL }, false, 0 };
    Attr_conv below = c;
    below.pads = I(f, "0,1,1,1");
    const Tensor *plain = fix_eval(f, mk_conv(b, IN(x, w, bias), c));
    Value *longer = mk_pad(b, IN(x), (Attr_pad){ fix_dims(f, "0,0,0,0"), fix_dims(f, "0,0,1,0"), "constant", 0 });
    const Tensor *shifted = fix_eval(f, mk_conv(b, IN(longer, w, bias), below));
    double want[2][50];
    assert_true(plain && shifted);
    for (int i = 0; i < 50; i++) {
        want[0][i] = tensor_get_f64(plain, i);
        want[1][i] = tensor_get_f64(shifted, i);
    }
    Value *o = fix_constant(f, DT_f32, "1,18,5,5", none), *d = fix_constant(f, DT_f32, "1,18,5,5", down), *m = fix_constant(f, DT_f32, "1,9,5,5", half);
    expect_result(f, mk_deform_conv(b, IN(x, w, o, bias), deform_attrs(f)), DT_f32, "1,2,5,5", want[0]);
    expect_result(f, mk_deform_conv(b, IN(x, w, d, bias), deform_attrs(f)), DT_f32, "1,2,5,5", want[1]);
    Value *twice = mk_mul(b, mk_deform_conv(b, IN(x, w, o, NULL, m), deform_attrs(f)), mk_scalar(b, DT_f32, 2));
    expect_result(f, mk_add(b, twice, mk_reshape_ints(b, bias, 4, (int64_t[]){ 1, 2, 1, 1 })), DT_f32, "1,2,5,5", want[0]);
    expect_error(f, mk_deform_conv(b, IN(x, w, m), deform_attrs(f)), "size 18 is needed along axis 1");
}

/* ---- non_max_suppression ---- */

typedef struct Nms { const char *dims, *score_dims; const double *boxes, *scores; double most, iou, least; bool center; } Nms;

static void expect_selected(Fix *f, Nms p, const char *dims, const double *want)
{
    Builder b = { .m = f->b.m, .g = graph_new(f->b.m, f->b.g) };
    Value *boxes = fix_constant(f, DT_f32, p.dims, p.boxes), *scores = fix_constant(f, DT_f32, p.score_dims, p.scores);
    Dim count = dim_fresh(b.m->dims, "kept", dim_const(b.m->dims, value_constant(scores)->count));
    Attr_non_max_suppression a = { dims_copy(b.m, 1, &count), p.center, 0 };
    Value *in[] = { boxes, scores, fix_constant(f, DT_i64, "1", &p.most), fix_constant(f, DT_f32, "1", &p.iou), fix_constant(f, DT_f32, "1", &p.least) };
    expect_numbers(f, fix_eval(f, build_op(&f->b, OP_non_max_suppression, (Inputs){ 5, in }, &a)), DT_i64, dims, want, 0);
}

static void test_nms(void **state)
{
    Fix *f = *state;
    /* two nearly equal boxes, one apart, one overlapping it by a third, with corners the other way around */
    const double boxes[] = { 0, 0, 1, 1, 0, 0.05, 1, 1.05, 0, 10, 1, 11, 1, 11.5, 0, 10.5 }, scores[] = { .9, .75, .6, .95 };
    Nms p = { "1,4,4", "1,1,4", boxes, scores, 10, 0.5, 0, false };
    expect_selected(f, p, "3,3", NUMBERS(0, 0, 3, 0, 0, 0, 0, 0, 2));
    p.iou = 0.3;
    expect_selected(f, p, "2,3", NUMBERS(0, 0, 3, 0, 0, 0));
    /* exactly at the limit a box stays: the halves of a box of two overlap it by one half */
    const double halves[] = { 0, 0, 1, 2, 0, 0, 1, 1 }, two[] = { 2, 1 };
    expect_selected(f, (Nms){ "1,2,4", "1,1,2", halves, two, 9, 0.5, 0, false }, "2,3", NUMBERS(0, 0, 0, 0, 0, 1));
    p.iou = 1, p.least = 0.75;
    expect_selected(f, p, "2,3", NUMBERS(0, 0, 3, 0, 0, 0));
    p.least = 0, p.most = 1;
    expect_selected(f, p, "1,3", NUMBERS(0, 0, 3));
    p.most = 0;
    expect_selected(f, p, "0,3", NULL);
}

static void test_nms_batches_and_classes(void **state)
{
    Fix *f = *state;
    /* centre, width, height; equal scores: the lower index is kept */
    const double boxes[] = { 0, 0, 2, 2, 0, 0, 2, 2, 5, 5, 2, 2, 5, 5, 2, 2 }, scores[] = { 1, 1, .5, .7, .2, .1, .3, .3 };
    expect_selected(f, (Nms){ "2,2,4", "2,2,2", boxes, scores, 9, 0.5, 0, true }, "4,3", NUMBERS(0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0));
}

/* ---- trees ---- */

enum { TREES = 11, TEST_SHIFT = 24, NAN_TRUE = 1 << 27 };

/* Tree t: x[0] <= t ? (x[1] < 0 or missing ? 1 to target 0 : 2 to target 0 and t to target 1) : nothing. Node 0 of each record is given for f32 and f64. */
static Value *forest_nodes(Fix *f, DType t, int broken)
{
    int words = t == DT_f32 ? 4 : 6;
    Tensor *table = tensor_new(f->a, DT_i32, 2, (int64_t[]){ 5 * TREES, words });
    int32_t *at = (int32_t *)(uintptr_t)table->data;
    for (int k = 0; k < TREES; k++) {
        int32_t base = 5 * k, row[5][3] = { { 0, base + 1, base + 4 }, { 1 | 1 << TEST_SHIFT | NAN_TRUE, base + 2, base + 3 },
                                            { -1, 3 * k, 1 }, { -1, 3 * k + 1, 2 }, { -1, 0, 0 } };
        if (k == broken)
            row[1][2] = base;
        for (int i = 0; i < 5; i++, at += words) {
            double wide = i ? 0 : k;
            float narrow = (float)wide;
            memcpy(at, row[i], sizeof row[i]);
            if (row[i][0] >= 0)
                memcpy(at + (t == DT_f32 ? 3 : 4), t == DT_f32 ? (const void *)&narrow : (const void *)&wide, t == DT_f32 ? sizeof narrow : sizeof wide);
        }
    }
    return mk_tensor(&f->b, table);
}

static Value *forest(Fix *f, DType t, const char *aggregate, int rows, const double *x, int broken)
{
    double root[TREES], target[3 * TREES], weight[3 * TREES];
    char shape[24];
    for (int k = 0; k < TREES; k++) {
        root[k] = 5 * k;
        for (int i = 0; i < 3; i++) {
            target[3 * k + i] = i == 2;
            weight[3 * k + i] = i == 2 ? k : i + 1;
        }
    }
    snprintf(shape, sizeof shape, "%d,2", rows);
    return mk_tree_ensemble(&f->b, IN(fix_constant(f, t, shape, x), forest_nodes(f, t, broken), fix_constant(f, DT_i32, "11", root),
                                      fix_constant(f, DT_i32, "33", target), fix_constant(f, t, "33", weight)),
                            (Attr_tree_ensemble){ 2, aggregate, -1, 0 });
}

/* As many rows as walk one tree together, fewer, and more; every aggregate. */
static void test_tree_ensemble(void **state)
{
    Fix *f = *state;
    const double x[] = { 8.5, 1, 8.5, -1, 8.5, NAN, 20, 1, NAN, 1, 0, 1, -3, 1 };
    const double sum[] = { 4, 19, 2, 0, 2, 0, 0, 0, 0, 0, 22, 55, 22, 55 }, most[] = { 2, 10, 1, 0, 1, 0, 0, 0, 0, 0, 2, 10, 2, 10 };
    const double least[] = { 2, 9, 1, 0, 1, 0, 0, 0, 0, 0, 2, 0, 2, 0 };
    for (int k = 0; k < 2; k++) {
        DType t = k ? DT_f64 : DT_f32;
        expect_result(f, forest(f, t, "sum", 7, x, -1), t, "7,2", sum);
        expect_result(f, forest(f, t, "sum", 1, x, -1), t, "1,2", sum);
        expect_result(f, forest(f, t, "max", 7, x, -1), t, "7,2", most);
        expect_result(f, forest(f, t, "min", 7, x, -1), t, "7,2", least);
        expect_error(f, fix_eval(f, forest(f, t, "sum", 1, x + 10, 2)), "an operand holds a value that is not allowed");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIX_TEST(test_grid_linear), FIX_TEST(test_grid_outside), FIX_TEST(test_grid_reflection), FIX_TEST(test_grid_cubic), FIX_TEST(test_roi_align), FIX_TEST(test_deform_conv),
        FIX_TEST(test_nms), FIX_TEST(test_nms_batches_and_classes), FIX_TEST(test_tree_ensemble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
