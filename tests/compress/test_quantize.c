/* test_quantize.c -- where points and layers are, what ranges are chosen, and that a quantised network computes integers and nearly the same. */
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
#include "npy.h"
#include "pass.h"
#include "quantize.h"
#include "repair.h"
#include "score.h"

enum { SAMPLES = 8, C = 8, SIDE = 6 };

static uint32_t seed;
static float draw(void)
{
    seed = seed * 1664525 + 1013904223;
    return (float)(seed >> 8) / (float)(1 << 23) - 1;
}

static Value *weights(Builder *b, int rank, const int64_t *dim)
{
    Tensor *t = tensor_new(b->m->arena, DT_f32, rank, dim);
    for (int64_t i = 0; i < t->count; i++)
        tensor_set_f64(t, i, draw());
    return mk_tensor(b, t);
}

static Value *conv(Builder *b, Value *x, int64_t cin)
{
    Attr_conv a = { .strides = ints_copy(b->m, 2, (int64_t[]){ 1, 1 }), .dilations = ints_copy(b->m, 2, (int64_t[]){ 1, 1 }),
                    .pads = ints_copy(b->m, 4, (int64_t[]){ 1, 1, 1, 1 }), .group = 1 };
    return mk_conv(b, IN(x, weights(b, 4, (int64_t[]){ C, cin, 3, 3 }), weights(b, 1, (int64_t[]){ C })), a);
}

typedef struct Net {
    Arena *a;
    Diag *d;
    Module *m;
    Value *x, *first, *join, *scores;
} Net;

/* relu(conv) -> conv + itself -> relu -> mean -> matmul + bias */
static Net make_net(void)
{
    Net k = { .a = arena_new() };
    k.d = ARENA_NEW(k.a, Diag);
    diag_init(k.d, k.a, stderr);
    k.m = module_new(k.a, k.d, "t", "t.onnx");
    Builder b = { k.m, k.m->graph, NULL, (Loc){ 0 } };
    seed = 7;
    Node *in = build_node(&b, OP_input, IN_NONE, &(Attr_input){ 0 }, -1);
    in->out[0].type = type_of_ints(k.m, DT_f32, 4, (int64_t[]){ 1, 3, SIDE, SIDE });
    in->out[0].name = "x";
    k.x = node_out(in);
    k.first = mk_relu(&b, conv(&b, k.x, 3));
    k.join = mk_relu(&b, mk_add(&b, conv(&b, k.first, C), k.first));
    Value *mean = mk_mul(&b, mk_reduce_axes(&b, "sum", k.join, 2, (int64_t[]){ 2, 3 }), mk_scalar(&b, DT_f32, 1.0 / (SIDE * SIDE)));
    Value *flat = mk_reshape_ints(&b, mean, 2, (int64_t[]){ 1, C });
    k.scores = mk_add(&b, mk_matmul(&b, IN(flat, weights(&b, 2, (int64_t[]){ C, 5 })), (Attr_matmul){ 0 }), weights(&b, 1, (int64_t[]){ 5 }));
    static const char *const name[] = { "y" };
    Attr_return r = { .names = { 1, name } };
    node_new(k.m->graph, NULL, OP_return, 1, &k.scores, &r, -1, b.loc);
    graph_renumber(k.m->graph);
    k.m->graph->props = GP_TYPED;
    return k;
}

static bool is_point(const QdqPlan *p, const Value *v)
{
    for (int i = 0; i < p->npoints; i++)
        if (p->point[i].v == v)
            return true;
    return false;
}

static void test_points(void **state)
{
    (void)state;
    Net k = make_net();
    QdqPlan p;
    qdq_find_layers(k.m, &p);
    assert_int_equal(p.nlayers, 3);
    qdq_find_points(k.m, &p);
    assert_true(is_point(&p, k.x) && is_point(&p, k.first) && is_point(&p, k.join));
    assert_true(is_point(&p, p.layer[1].n->out));                   /* an operand of the join */
    assert_true(is_point(&p, p.layer[2].n->in[0].val));
    assert_false(is_point(&p, k.first->def->in[0].val));            /* the ReLU is part of the grid */
    assert_false(is_point(&p, k.scores));
    assert_int_equal(p.npoints, 5);
    for (int i = 0; i < p.nlayers; i++)
        p.layer[i].keep = true;
    qdq_find_points(k.m, &p);
    assert_int_equal(p.npoints, 0);
    arena_free(k.a);
}

static const char *write_samples(void)
{
    static float x[SAMPLES * 3 * SIDE * SIDE];
    ingot_tensor t = { .data = x, .dtype = INGOT_f32, .rank = 4, .dim = { SAMPLES, 3, SIDE, SIDE } };
    seed = 99;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = draw();
    assert_int_equal(ingot_tensor_write("quantize-x.npy", &t, NULL), 0);
    return "quantize-x.npy";
}

static int count_ops(const Graph *g, OpCode op, DType operand)
{
    int n = 0;
    FOR_EACH_NODE(k, g)
        n += k->op == op && k->in[0].val->type.dtype == operand;
    return n;
}

static void check_quantised(QuantizeOptions o, double least_sqnr)
{
    Net k = make_net(), plain = make_net();
    Score s;
    o.samples.path = write_samples();
    assert_true(quantize_prepare(k.m) && quantize_module(k.m, &o, NULL));
    assert_true(graph_verify(k.m->graph));
    Samples *data = samples_open(describe_module(plain.m), &o.samples);
    assert_true(score_module(k.m, plain.m, data, NULL, &s));
    assert_true(distance_sqnr(&s.distance) > least_sqnr && s.distance.noise > 0);
    assert_true(pass_run(k.m, "quant") && pass_run(k.m, "dce"));
    assert_int_equal(count_ops(k.m->graph, OP_conv, DT_u8), 2 - o.keep.n);
    assert_int_equal(count_ops(k.m->graph, OP_conv, DT_f32), o.keep.n);
    assert_int_equal(count_ops(k.m->graph, OP_matmul, DT_u8), 1);
    samples_close(data);
    arena_free(k.a);
    arena_free(plain.a);
    unlink(o.samples.path);
}

static void test_methods(void **state)
{
    (void)state;
    static const char *const method[] = { "minmax", "average", "percentile", "entropy", "mse" };
    for (size_t i = 0; i < sizeof method / sizeof *method; i++) {
        QuantizeOptions o = QUANTIZE_DEFAULT;
        o.method = method[i];
        check_quantised(o, i == 1 ? 24 : 40);
    }
}

static void test_keep(void **state)
{
    (void)state;
    Net k = make_net();
    QdqPlan p;
    QuantizeOptions o = QUANTIZE_DEFAULT;
    qdq_find_layers(k.m, &p);
    o.keep = (TextList){ 1, { qdq_layer_name(k.m, &p.layer[1]) } };
    check_quantised(o, 40);
    o.keep.v[0] = "nobody";
    o.samples.path = write_samples();
    k.d->out = NULL;
    assert_false(quantize_module(k.m, &o, NULL));
    assert_non_null(strstr(k.d->first, "--keep nobody"));
    arena_free(k.a);
    unlink(o.samples.path);
}

/* Without samples: bytes over ranges found while running; or weights in small floats, computed in f32. */
static void check_blind(QuantizeOptions o, double least, int byte_layers)
{
    Net k = make_net(), plain = make_net();
    Score s;
    SamplesOptions x = SAMPLES_DEFAULT;
    x.path = write_samples();
    assert_true(quantize_prepare(k.m) && quantize_module(k.m, &o, NULL) && graph_verify(k.m->graph));
    Samples *data = samples_open(describe_module(plain.m), &x);
    assert_true(score_module(k.m, plain.m, data, NULL, &s));
    assert_true(distance_sqnr(&s.distance) > least && s.distance.noise > 0);
    assert_true(pass_run(k.m, "quant") && pass_run(k.m, "dce"));
    assert_int_equal(count_ops(k.m->graph, OP_conv, DT_u8) + count_ops(k.m->graph, OP_matmul, DT_u8), byte_layers);
    samples_close(data);
    arena_free(k.a);
    arena_free(plain.a);
    unlink(x.path);
}

static void test_without_samples(void **state)
{
    (void)state;
    QuantizeOptions dynamic = QUANTIZE_DEFAULT, half = QUANTIZE_DEFAULT, brain = QUANTIZE_DEFAULT, eighth = QUANTIZE_DEFAULT;
    dynamic.dynamic = half.float16 = brain.bfloat16 = true;
    eighth.weights.kind = "float8";
    check_blind(dynamic, 40, 3);
    check_blind(half, 65, 0);
    check_blind(brain, 45, 0);
    check_blind(eighth, 25, 0);
}

static double sqnr_of(QuantizeOptions o, Report *r)
{
    Net k = make_net();
    o.samples.path = write_samples();
    assert_true(quantize_prepare(k.m) && quantize_module(k.m, &o, r));
    arena_free(k.a);
    unlink(o.samples.path);
    return distance_sqnr(&r->after.score.distance);
}

/* Each repair leaves the result at least as near; per tensor, where there is something to repair, nearer. */
static void test_repair(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Report r = { .arena = a };
    QuantizeOptions o = QUANTIZE_DEFAULT;
    o.per_tensor = true;
    double plain = sqnr_of(o, &r);
    assert_true(r.nlayers == 3 && r.before.macs == r.after.macs && r.after.weight_bytes < r.before.weight_bytes);
    assert_true(r.layer[0].sqnr > 20 && r.layer[0].sensitivity != r.layer[0].sensitivity);
    o.adaround = true;
    assert_true(sqnr_of(o, &r) > plain + 0.5);
    o.adaround = false;
    o.bias_correction = true;
    assert_true(sqnr_of(o, &r) > plain + 0.01);
    o.smoothquant = o.equalize = o.bias_correction = true;
    assert_true(sqnr_of(o, &r) > plain - 1);
    arena_free(a);
}

static int count_kept(const Report *r)
{
    int n = 0;
    for (int i = 0; i < r->nlayers; i++)
        n += strncmp(r->layer[i].decision, "int8", 4) != 0;
    return n;
}

static void test_budget(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Report r = { .arena = a };
    QuantizeOptions o = QUANTIZE_DEFAULT;
    o.min_sqnr = "30";
    assert_true(sqnr_of(o, &r) >= 30);
    assert_int_equal(count_kept(&r), 0);
    o.min_sqnr = "50";
    assert_true(sqnr_of(o, &r) >= 50);
    assert_in_range(count_kept(&r), 1, 2);
    assert_non_null(strstr(r.notes, "stay f32"));
    r.notes = NULL;
    o.min_sqnr = NULL;
    o.target = "riscv64";
    sqnr_of(o, &r);
    assert_int_equal(count_kept(&r), 3);        /* the guard: no instruction multiplies bytes faster than floats there */
    assert_non_null(strstr(r.layer[0].decision, "slower"));
    arena_free(a);
}

/* relu between two convolutions whose channels differ by far: the function stays, the ranges agree. */
static void test_equalize(void **state)
{
    (void)state;
    Net k = make_net(), plain = make_net();
    Score s;
    QuantizeOptions o = QUANTIZE_DEFAULT;
    o.samples.path = write_samples();
    Samples *data = samples_open(describe_module(plain.m), &o.samples);
    assert_true(equalize(k.m) && smoothquant(k.m, data));
    assert_true(score_module(k.m, plain.m, data, NULL, &s));
    assert_true(distance_sqnr(&s.distance) > 100);
    samples_close(data);
    arena_free(k.a);
    arena_free(plain.a);
    unlink(o.samples.path);
}

/* Weights of four bits beside bytes: i4 constants within their range, and an error that fits them; a wrong number of bits is refused. */
static void test_four_bits(void **state)
{
    (void)state;
    Net k = make_net();
    Report r = { .arena = k.a };
    QuantizeOptions o = QUANTIZE_DEFAULT;
    o.samples.path = write_samples();
    o.weight_bits = 3;
    assert_non_null(quantize_misuse(&o));
    o.weight_bits = 4;
    o.per_tensor = true;
    assert_non_null(strstr(quantize_misuse(&o), "--per-tensor"));
    o.per_tensor = false;
    assert_null(quantize_misuse(&o));
    assert_true(quantize_prepare(k.m) && quantize_module(k.m, &o, &r));
    int narrow = 0;
    FOR_EACH_NODE(n, k.m->graph)
        narrow += n->op == OP_constant && node_out(n)->type.dtype == DT_i4;
    assert_int_equal(narrow, 3);
    assert_string_equal(r.layer[0].decision, "int4");
    assert_int_equal(r.layer[0].bytes_after, C * 3 * 9 / 2 + 4 * C);
    double sqnr = distance_sqnr(&r.after.score.distance);
    assert_true(sqnr > 15 && sqnr < 40);
    assert_true(r.after.weight_bytes * 4 < r.before.weight_bytes);
    arena_free(k.a);
    unlink(o.samples.path);
}

/* A dead channel, all of it in the bias, which must not be too many steps of a tiny scale. */
static void test_dead_channel(void **state)
{
    (void)state;
    Net k = make_net(), plain = make_net();
    Score s;
    QuantizeOptions o = QUANTIZE_DEFAULT;
    o.samples.path = write_samples();
    for (int net = 0; net < 2; net++) {
        QdqPlan p;
        qdq_find_layers(net ? plain.m : k.m, &p);
        const Tensor *w = value_constant(p.layer[0].n->in[1].val);
        for (int64_t i = 0; i < 3 * 9; i++)
            tensor_set_f64((Tensor *)(uintptr_t)w, i, 1e-13);
    }
    assert_true(quantize_prepare(k.m) && quantize_module(k.m, &o, NULL));
    int biases = 0;
    FOR_EACH_NODE(n, k.m->graph)
        biases += n->op == OP_conv && n->in[2].val->def->op == OP_mul;
    assert_int_equal(biases, 2);
    Samples *data = samples_open(describe_module(plain.m), &o.samples);
    assert_true(score_module(k.m, plain.m, data, NULL, &s));
    assert_true(distance_sqnr(&s.distance) > 40);
    samples_close(data);
    arena_free(k.a);
    arena_free(plain.a);
    unlink(o.samples.path);
}

/* A narrow bulk and one number far outside, in two runs. */
static void test_ranges(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Range r = { .bin = ARENA_ARRAY(a, int64_t, RANGE_BINS) };
    int64_t n = 20000;
    Tensor *t = tensor_new(a, DT_f32, 1, &n);
    double lo, hi, scale;
    int64_t zero;
    seed = 3;
    for (int64_t i = 0; i < n; i++)
        tensor_set_f64(t, i, (double)draw());
    assert_true(range_add(&r, t));
    tensor_set_f64(t, 5, 4);
    assert_true(range_add(&r, t));
    range_choose(&r, RANGE_minmax, 0, &lo, &hi);
    assert_true(hi == 4 && lo < -0.999 && lo >= -1);
    range_choose(&r, RANGE_average, 0, &lo, &hi);
    assert_true(hi > 2.4 && hi < 2.6);
    range_choose(&r, RANGE_percentile, 99.9, &lo, &hi);
    assert_true(hi > 0.99 && hi < 1.01);
    range_choose(&r, RANGE_mse, 0, &lo, &hi);
    assert_true(hi > 0.9 && hi < 4);
    range_grid(-1, 3, &scale, &zero);
    assert_true(fabs(scale - 4.0 / 255) < 1e-8 && zero == 64);
    tensor_set_f64(t, 9, NAN);
    assert_false(range_add(&r, t));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_without_samples),
        cmocka_unit_test(test_dead_channel),
        cmocka_unit_test(test_four_bits),
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_equalize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
