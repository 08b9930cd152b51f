/* test_observe.c -- samples go through a compiled copy of a module: values inside are what the evaluator says, the module stays as it is; scores and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "describe.h"
#include "eval.h"
#include "npy.h"
#include "score.h"
#include "tool.h"

enum { SAMPLES = 5, FEATURES = 6, CLASSES = 4 };

typedef struct Net {
    Arena *a;
    Module *m;
    Value *hidden, *w;
} Net;

static uint32_t seed;
static float draw(void)
{
    seed = seed * 1664525 + 1013904223;
    return (float)(seed >> 8) / (float)(1 << 23) - 1;
}

static Value *weights(Builder *b, int rows, int columns)
{
    Tensor *t = tensor_new(b->m->arena, DT_f32, 2, (int64_t[]){ rows, columns });
    for (int64_t i = 0; i < t->count; i++)
        tensor_set_f64(t, i, draw());
    return mk_tensor(b, t);
}

/* relu(x w1) w2, x of [N, FEATURES], or of [batch, FEATURES] */
static Net make_net(uint32_t start, int64_t batch)
{
    Net k = { .a = arena_new() };
    Diag *d = ARENA_NEW(k.a, Diag);
    diag_init(d, k.a, stderr);
    k.m = module_new(k.a, d, "t", "t.onnx");
    Builder b = { k.m, k.m->graph, NULL, (Loc){ 0 } };
    seed = start;
    const char *n = "N";
    Dim dim[2] = { batch ? dim_const(k.m->dims, batch) : dim_parse(k.m->dims, &n), dim_const(k.m->dims, FEATURES) };
    Node *in = build_node(&b, OP_input, IN_NONE, &(Attr_input){ 0 }, -1);
    in->out[0].type = type_tensor(k.m, DT_f32, 2, dim);
    in->out[0].name = "x";
    k.w = weights(&b, FEATURES, 8);
    k.hidden = mk_relu(&b, mk_matmul(&b, IN(node_out(in), k.w), (Attr_matmul){ 0 }));
    Value *y = mk_matmul(&b, IN(k.hidden, weights(&b, 8, CLASSES)), (Attr_matmul){ 0 });
    static const char *const name[] = { "y" };
    Attr_return r = { .names = { 1, name } };
    node_new(k.m->graph, NULL, OP_return, 1, &y, &r, -1, b.loc);
    graph_renumber(k.m->graph);
    k.m->graph->props = GP_TYPED;
    return k;
}

/* A file of u8 samples in the folder, and labels 0. */
static void write_array(const char *path, int64_t rows, int64_t columns, bool zeros)
{
    uint8_t x[SAMPLES * FEATURES];
    ingot_tensor t = { .data = x, .dtype = INGOT_u8, .rank = 2, .dim = { rows, columns } };
    for (int i = 0; i < rows * columns; i++)
        x[i] = (uint8_t)(zeros ? 0 : (37 * i + 11) % 256);
    assert_int_equal(ingot_tensor_write(path, &t, NULL), 0);
}

static Samples *open_samples(Net *k, const char *path)
{
    SamplesOptions o = CALIBRATION_DEFAULT;
    o.path = path;
    o.scale = "1/255";
    o.mean = "0.5";
    SamplesOptions *kept = arena_copy(k->a, &o, sizeof o);
    return samples_open(describe_module(k->m), kept);
}

typedef struct Seen {
    Net *k;
    Samples *s;
    int64_t runs, rows;
} Seen;

/* What observe saw is what the evaluator computes from the same inputs. */
static bool check_taps(void *ctx, int64_t sample, const Tensor *const *taps)
{
    Seen *seen = ctx;
    Arena *a = arena_new();
    const ingot_tensor *in = samples_inputs(seen->s, sample);
    const Tensor *x = tensor_of_runtime(a, in), *w = value_constant(seen->k->w);
    assert_int_equal(taps[0]->dim[0], in->dim[0]);
    assert_int_equal(taps[0]->dim[1], 8);
    for (int64_t i = 0; i < taps[0]->count; i++) {
        double sum = 0;
        for (int64_t j = 0; j < FEATURES; j++)
            sum += tensor_get_f64(x, i / 8 * FEATURES + j) * tensor_get_f64(w, j * 8 + i % 8);
        assert_true(fabs(tensor_get_f64(taps[0], i) - fmax(sum, 0)) < 1e-5);
    }
    for (int64_t i = 0; i < x->count; i++)
        assert_true(tensor_get_f64(taps[1], i) == tensor_get_f64(x, i));
    seen->runs++;
    seen->rows += taps[0]->dim[0];
    arena_free(a);
    return true;
}

static void check_observed(int64_t batch, int64_t runs)
{
    Net k = make_net(1, batch);
    Arena *a = arena_new();
    const char *before = module_print(k.m, a, NULL);
    write_array("observe-x.npy", SAMPLES, FEATURES, false);
    Samples *s = open_samples(&k, "observe-x.npy");
    assert_non_null(s);
    assert_int_equal(samples_count(s), SAMPLES);
    Seen seen = { &k, s, 0, 0 };
    Value *taps[] = { k.hidden, node_out(k.m->graph->first) };
    assert_true(observe(k.m, s, taps, 2, check_taps, &seen));
    assert_int_equal(seen.runs, runs);
    assert_string_equal(module_print(k.m, a, NULL), before);
    samples_close(s);
    arena_free(a);
    arena_free(k.a);
    unlink("observe-x.npy");
}

static void test_values_inside(void **state)
{
    (void)state;
    check_observed(0, SAMPLES);
    check_observed(2, 3);           /* the last batch is filled up */
}

static void test_score(void **state)
{
    (void)state;
    Net k = make_net(1, 0), other = make_net(9, 0);
    ingot_tensor labels;
    Score s;
    write_array("score-x.npy", SAMPLES, FEATURES, false);
    write_array("score-y.npy", SAMPLES, 1, true);
    Samples *data = open_samples(&k, "score-x.npy");
    assert_true(samples_labels(data, "score-y.npy", &labels));
    assert_true(score_module(k.m, k.m, data, &labels, &s));
    assert_int_equal(s.accuracy.n, SAMPLES);
    assert_int_equal(s.same_top1, SAMPLES);
    assert_true(isinf(distance_sqnr(&s.distance)) && fabs(distance_cosine(&s.distance) - 1) < 1e-12);
    assert_true(score_module(other.m, k.m, data, NULL, &s));
    assert_false(s.labelled);
    assert_true(distance_sqnr(&s.distance) < 10 && s.distance.most > 0 && s.distance.n == SAMPLES * CLASSES);
    samples_close(data);
    free(labels.data);
    arena_free(k.a);
    arena_free(other.a);
    unlink("score-x.npy");
    unlink("score-y.npy");
}

/* Normalised as samples.h says, and what is refused. */
static void test_samples(void **state)
{
    (void)state;
    Net k = make_net(1, 0);
    write_array("samples-x.npy", SAMPLES, FEATURES, false);
    write_array("samples-zero.npy", SAMPLES, FEATURES, true);
    write_array("samples-wrong.npy", SAMPLES, FEATURES - 1, true);
    Samples *s = open_samples(&k, "samples-x.npy"), *zero = open_samples(&k, "samples-zero.npy");
    const float *x = samples_inputs(s, 1)->data;
    for (int i = 0; i < FEATURES; i++)
        assert_true(fabsf(x[i] - ((float)((37 * (i + FEATURES) + 11) % 256) / 255 - 0.5f)) < 1e-6f);
    assert_true(samples_vary(s));
    assert_false(samples_vary(zero));
    assert_null(open_samples(&k, "samples-wrong.npy"));
    assert_null(open_samples(&k, "samples-nowhere.npy"));
    samples_close(s);
    samples_close(zero);
    arena_free(k.a);
    unlink("samples-x.npy");
    unlink("samples-zero.npy");
    unlink("samples-wrong.npy");
}

/* A port of one input x[N,3,2,2] or [N,2,2,3], and an array of one sample with its channels first or last: element (channel, place) is 10 channel + place. */
static void check_layout(bool port_last, bool data_last, const char *layout, bool fits)
{
    static const char *const text[2][4] = { { "N", "3", "2", "2" }, { "N", "2", "2", "3" } };
    static const int64_t dim[2][4] = { { -1, 3, 2, 2 }, { -1, 2, 2, 3 } };
    const ingot_port port = { .name = "x", .dtype = INGOT_f32, .rank = 4, .dim = dim[port_last], .dim_text = text[port_last] };
    const ingot_model model = { .name = "t", .n_inputs = 1, .input = &port };
    SamplesOptions o = { .option = "data", .path = "layout.npy", .layout = layout, .mean = "1,2,3" };
    uint8_t x[12];
    for (int i = 0; i < 12; i++)
        x[i] = (uint8_t)(data_last ? 10 * (i % 3) + i / 3 : 10 * (i / 4) + i % 4);
    ingot_tensor t = { .data = x, .dtype = INGOT_u8, .rank = 4, .dim = { 1, dim[data_last][1], dim[data_last][2], dim[data_last][3] } };
    assert_int_equal(ingot_tensor_write(o.path, &t, NULL), 0);
    Samples *s = samples_open(&model, &o);
    assert_true(fits == (s != NULL));
    for (int i = 0; s && i < 12; i++) {
        int channel = port_last ? i % 3 : i / 4, place = port_last ? i / 3 : i % 4;
        assert_true(((const float *)samples_inputs(s, 0)->data)[i] == (float)(10 * channel + place - (channel + 1)));
    }
    samples_close(s);
    unlink(o.path);
}

static void test_layouts(void **state)
{
    (void)state;
    check_layout(false, false, NULL, true);
    check_layout(false, false, "nchw", true);
    check_layout(false, true, NULL, false);
    check_layout(false, true, "nhwc", true);
    check_layout(true, true, NULL, true);
    check_layout(true, false, "nchw", true);
    check_layout(true, false, NULL, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_inside),
        cmocka_unit_test(test_score),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_layouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
