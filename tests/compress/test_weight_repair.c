/* test_weight_repair.c -- GPTQ and AWQ on small products: what is measured is what a run gives, rounding with data beats rounding to nearest and is not far from the
 * best there is, scaled channels change nothing but the rounding, and a whole network comes closer to its original.
 */
#include "../ops/op_fixture.h"

#include <stdio.h>

#include "describe.h"
#include "npy.h"
#include "quantize.h"
#include "score.h"

static uint32_t seed;
static double uniform(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed / 4294967296.0 * 2 - 1;
}

static Tensor *random_tensor(Fix *f, int rank, const int64_t *dim)
{
    Tensor *t = tensor_new(f->a, DT_f32, rank, dim);
    for (int64_t i = 0; i < t->count; i++)
        tensor_set_f64(t, i, uniform());
    return t;
}

static void finish(Fix *f, Value *y)
{
    static const char *const name[] = { "y" };
    Attr_return r = { .names = { 1, name } };
    node_new(f->b.g, NULL, OP_return, 1, &y, &r, -1, (Loc){ 0 });
    graph_renumber(f->b.g);
    f->b.g->props = GP_TYPED;
}

enum { SAMPLES = 24 };

/* Samples whose channels differ in size and lean on each other, as activations do. axis of the channels: the first but the samples. */
static Samples *write_samples(Fix *f, const char *file, int rank, const int64_t *dim, const SamplesOptions *o)
{
    Tensor *x = random_tensor(f, rank, dim);
    int64_t each = x->count / dim[0], inner = each / dim[1];
    for (int64_t i = 0; i < x->count; i++) {
        int64_t channel = i % each / inner;
        double before = channel ? tensor_get_f64(x, i - inner) : 0;
        tensor_set_f64(x, i, (channel % 5 == 0 ? 4 : 0.5) * tensor_get_f64(x, i) + 0.5 * before);
    }
    ingot_tensor t = tensor_to_runtime(f->a, x);
    assert_int_equal(ingot_tensor_write(file, &t, NULL), 0);
    return samples_open(describe_module(f->b.m), o);
}

static Fix *fix_new(void)
{
    void *own = NULL;
    fix_setup(&own);
    seed = 5;
    return own;
}

static void fix_end(Fix *f)
{
    void *own = f;
    fix_teardown(&own);
}

/* ---- a product alone ---- */

typedef struct Product {
    Fix *f;
    Node *n;
    Samples *samples;
    Hessian *h;
} Product;

static Product product_new(bool conv)
{
    Product p = { .f = fix_new() };
    Fix *f = p.f;
    const char *file = conv ? "repair-conv.npy" : "repair-matmul.npy";
    SamplesOptions *o = ARENA_NEW(f->a, SamplesOptions);
    *o = (SamplesOptions)CALIBRATION_DEFAULT;
    o->path = file;
    Value *x = fix_input(f, DT_f32, conv ? "1,24,7,6" : "1,40"), *y;
    x->name = "x";
    if (conv) {
        Attr_conv a = { .strides = fix_ints(f, "2,1"), .dilations = fix_ints(f, "1,1"), .pads = fix_ints(f, "1,0,1,1"), .group = 1 };
        y = mk_conv(&f->b, IN(x, mk_tensor(&f->b, random_tensor(f, 4, (int64_t[]){ 12, 24, 3, 2 }))), a);
    } else
        y = mk_matmul(&f->b, IN(x, mk_tensor(&f->b, random_tensor(f, 2, (int64_t[]){ 40, 16 }))), (Attr_matmul){ 0 });
    p.n = y->def;
    finish(f, y);
    p.samples = write_samples(f, file, conv ? 4 : 2, conv ? (int64_t[]){ SAMPLES, 24, 7, 6 } : (int64_t[]){ SAMPLES, 40 }, o);
    assert_non_null(p.samples);
    p.h = hessian_measure(f->b.m, f->a, &p.n, 1, p.samples);
    assert_non_null(p.h);
    return p;
}

static void product_end(Product *p)
{
    samples_close(p->samples);
    fix_end(p->f);
}

typedef struct Difference { double squares; int64_t n; } Difference;

static bool add_squares(void *ctx, int64_t sample, const Tensor *const *taps)
{
    Difference *d = ctx;
    (void)sample;
    for (int64_t i = 0; i < taps[0]->count; i++)
        d->squares += tensor_get_f64(taps[0], i) * tensor_get_f64(taps[0], i);
    d->n++;
    return true;
}

/* trace(W H W^T) is the mean square of the result: of all of them, since there are fewer rows than are wanted. */
static void measured(void **state)
{
    (void)state;
    for (int conv = 0; conv < 2; conv++) {
        Product p = product_new(conv);
        WeightRows r = weight_codes_read(p.f->a, p.n, weight_kind("int4"), 8);
        Value *y = node_out(p.n);
        Difference d = { 0, 0 };
        assert_int_equal(p.h->n, conv ? 24 * 6 : 40);
        assert_true(observe(p.f->b.m, p.samples, &y, 1, add_squares, &d));
        int64_t places = conv ? 4 * 6 : 1;
        double want = d.squares / (double)(d.n * places), got = weight_rows_power(&r, p.h);
        if (fabs(got - want) > 1e-4 * want)
            fail_msg("%s: %g, the run gives %g", conv ? "conv" : "matmul", got, want);
        product_end(&p);
    }
}

static double nearest_error(WeightRows *r, const Hessian *h)
{
    weight_codes_fit(r);
    weight_codes_round(r);
    return weight_rows_error(r, h);
}

static void gptq_is_better(void **state)
{
    (void)state;
    static const char *const kinds[] = { "int4", "int3", "int2", "uint4", "nf4", "q4_1" };
    for (int conv = 0; conv < 2; conv++)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            for (int in_order = 0; in_order < 2; in_order++) {
                Product p = product_new(conv);
                WeightRows r = weight_codes_read(p.f->a, p.n, weight_kind(kinds[i]), 16);
                double nearest = nearest_error(&r, p.h);
                gptq_round(&r, p.h, 0.01, in_order);
                double e = weight_rows_error(&r, p.h);
                if (!(e < 0.8 * nearest))
                    fail_msg("%s of a %s: error %g, to nearest %g", kinds[i], conv ? "conv" : "matmul", e, nearest);
                product_end(&p);
            }
}

/* With four weights of two bits, all 256 roundings can be tried: on the same grid GPTQ is between the best and the nearest. */
static void near_the_best(void **state)
{
    (void)state;
    double sum = 0, best_sum = 0, nearest_sum = 0;
    for (uint32_t trial = 0; trial < 40; trial++) {
        Fix *f = fix_new();
        Value *x = fix_input(f, DT_f32, "1,4");
        seed = trial;
        Node *n = mk_matmul(&f->b, IN(x, mk_tensor(&f->b, random_tensor(f, 2, (int64_t[]){ 4, 64 }))), (Attr_matmul){ 0 })->def;
        double *h = ARENA_ARRAY(f->a, double, 16), v[8][4], d[4];
        for (int k = 0; k < 8; k++)
            for (int i = 0; i < 4; i++)
                v[k][i] = uniform() + (i ? v[k][i - 1] : 0);
        for (int i = 0; i < 16; i++)
            for (int k = 0; k < 8; k++)
                h[i] += v[k][i / 4] * v[k][i % 4] / 8;
        Hessian hess = { .product = n, .n = 4, .groups = 1, .h = &h, .rows = 8 };
        WeightRows r = weight_codes_read(f->a, n, weight_kind("int2"), 0);
        nearest_sum += nearest_error(&r, &hess);
        gptq_round(&r, &hess, 1e-6, false);
        sum += weight_rows_error(&r, &hess);
        for (int64_t row = 0; row < r.rows; row++) {
            double best = INFINITY;
            for (int code = 0; code < 256; code++) {
                for (int i = 0; i < 4; i++)
                    d[i] = (double)grid_value(&r.grid[row], code >> 2 * i & 3) - (double)r.w[4 * row + i];
                best = fmin(best, hessian_error(h, 4, d));
            }
            best_sum += best;
        }
        fix_end(f);
    }
    assert_true(best_sum <= sum && sum < nearest_sum);
    assert_true(sum - best_sum < 0.5 * (nearest_sum - best_sum));
}

/* Inputs that are always 0 have no inverse: they are rounded like any number. */
static void dead_inputs(void **state)
{
    (void)state;
    Product p = product_new(false);
    for (int i = 0; i < p.h->n; i++)
        for (int k = 0; k < 8; k++)
            p.h->h[0][i * p.h->n + k] = p.h->h[0][k * p.h->n + i] = 0;
    WeightRows r = weight_codes_read(p.f->a, p.n, weight_kind("int4"), 8);
    double nearest = nearest_error(&r, p.h);
    gptq_round(&r, p.h, 0.01, false);
    assert_true(weight_rows_error(&r, p.h) < nearest);
    for (int i = 0; i < p.h->n * p.h->n; i++)
        p.h->h[0][i] = 0;
    gptq_round(&r, p.h, 0.01, false);
    assert_true(weight_rows_error(&r, p.h) == 0);
    product_end(&p);
}

/* ---- AWQ ---- */

static int count_ops(const Graph *g, OpCode op)
{
    int n = 0;
    FOR_EACH_NODE(k, g)
        n += k->op == op;
    return n;
}

/* What stands in front of the product, by number. */
static Value *in_front(Fix *f, Value *x, int which, bool conv)
{
    Builder *b = &f->b;
    Value *vector = mk_tensor(b, random_tensor(f, conv ? 3 : 1, (int64_t[]){ 24, 1, 1 })), *shift = mk_tensor(b, random_tensor(f, conv ? 3 : 1, (int64_t[]){ 24, 1, 1 }));
    Attr_conv point = { .strides = fix_ints(f, "1,1"), .dilations = fix_ints(f, "1,1"), .pads = fix_ints(f, "0,0,0,0"), .group = 1 };
    switch (which) {
    case 0: return x;
    case 1: return mk_add(b, mk_mul(b, x, vector), shift);
    case 2: return mk_relu(b, conv ? mk_conv(b, IN(x, mk_tensor(b, random_tensor(f, 4, (int64_t[]){ 24, 24, 1, 1 })), mk_tensor(b, random_tensor(f, 1, (int64_t[]){ 24 }))), point)
                                   : mk_add(b, vector, mk_matmul(b, IN(x, mk_tensor(b, random_tensor(f, 2, (int64_t[]){ 24, 24 }))), (Attr_matmul){ 0 })));
    default: return mk_tanh(b, x);
    }
}

static void scaling_changes_nothing(void **state)
{
    (void)state;
    for (int conv = 0; conv < 2; conv++)
        for (int which = 0; which < 4; which++) {
            Fix *f = fix_new();
            Builder *b = &f->b;
            Attr_conv a = { .strides = fix_ints(f, "1,1"), .dilations = fix_ints(f, "1,1"), .pads = fix_ints(f, "1,1,1,1"), .group = 1 };
            Value *x = mk_tensor(b, conv ? random_tensor(f, 4, (int64_t[]){ 1, 24, 5, 5 }) : random_tensor(f, 2, (int64_t[]){ 3, 24 }));
            x = mk_neg(b, x);                       /* not constant itself */
            Value *v = in_front(f, x, which, conv), *w = mk_tensor(b, conv ? random_tensor(f, 4, (int64_t[]){ 8, 24, 3, 3 }) : random_tensor(f, 2, (int64_t[]){ 24, 8 }));
            Value *y = conv ? mk_conv(b, IN(v, w), a) : mk_matmul(b, IN(v, w), (Attr_matmul){ 0 });
            finish(f, y);
            double s[24];
            for (int i = 0; i < 24; i++)
                s[i] = exp(2 * uniform());
            int muls = count_ops(b->g, OP_mul);
            const Tensor *before = fix_eval(f, y);
            assert_true(awq_apply(b->m, y->def, s) && graph_infer(b->g));
            const Tensor *after = fix_eval(f, y);
            for (int64_t i = 0; i < before->count; i++)
                assert_true(fabs(tensor_get_f64(before, i) - tensor_get_f64(after, i)) < 1e-4);
            assert_int_equal(count_ops(b->g, OP_mul) - muls, which == 0 || which == 3);
            assert_false(tensor_equal(value_constant(node_in(y->def, 1)), value_constant(w)));
            fix_end(f);
        }
}

static void awq_is_better(void **state)
{
    (void)state;
    for (int conv = 0; conv < 2; conv++) {
        Product p = product_new(conv);
        WeightRows r = weight_codes_read(p.f->a, p.n, weight_kind("int3"), 16);
        double nearest = nearest_error(&r, p.h), *s = awq_scales(p.f->a, &r, p.h), sum = 0, d[24 * 6];
        WeightRows t = weight_rows_like(p.f->a, &r, r.rows);
        for (int64_t i = 0; i < r.rows * p.h->n; i++)
            t.w[i] = (float)((double)r.w[i] * s[i % r.k]);
        weight_codes_fit(&t);
        weight_codes_round(&t);
        for (int64_t row = 0; row < r.rows; row++) {
            for (int i = 0; i < p.h->n; i++)
                d[i] = (double)weight_rows_value(&t, row, i) / s[i % r.k] - (double)r.w[row * p.h->n + i];
            sum += hessian_error(p.h->h[0], p.h->n, d);
        }
        assert_true(sum < nearest);
        product_end(&p);
    }
}

/* ---- a network ---- */

static Module *network(Fix *f)
{
    seed = 11;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "1,40");
    x->name = "x";
    for (int i = 0; i < 3; i++)
        x = mk_relu(b, mk_add(b, mk_matmul(b, IN(x, mk_tensor(b, random_tensor(f, 2, (int64_t[]){ 40, 40 }))), (Attr_matmul){ 0 }),
                              mk_tensor(b, random_tensor(f, 1, (int64_t[]){ 40 }))));
    finish(f, x);
    return b->m;
}

/* dB of the network's results. */
static double quality(bool gptq, bool awq)
{
    Fix *f = fix_new(), *plain = fix_new();
    QuantizeOptions o = QUANTIZE_DEFAULT;
    Score s;
    Module *m = network(f), *reference = network(plain);
    o.samples.path = "repair-network.npy";
    Samples *data = write_samples(plain, o.samples.path, 2, (int64_t[]){ SAMPLES, 40 }, &o.samples);
    o.weights.kind = "int3", o.weights.group = "8", o.quiet = true;
    o.weight_repair.gptq = gptq, o.weight_repair.awq = awq;
    assert_null(quantize_misuse(&o));
    assert_true(quantize_and_report(m, &o) && graph_verify(m->graph));
    assert_int_equal(count_ops(m->graph, OP_dequantize_blocks), 3);
    assert_true(score_module(m, reference, data, NULL, &s));
    samples_close(data);
    fix_end(f);
    fix_end(plain);
    return distance_sqnr(&s.distance);
}

static void networks(void **state)
{
    (void)state;
    double nearest = quality(false, false), gptq = quality(true, false), awq = quality(false, true), both = quality(true, true);
    if (!(gptq > nearest + 2 && awq > nearest && both > nearest + 2))
        fail_msg("nearest %.1f dB, gptq %.1f, awq %.1f, both %.1f", nearest, gptq, awq, both);
}

static void misuse(void **state)
{
    (void)state;
    QuantizeOptions o = QUANTIZE_DEFAULT;
    o.weight_repair.gptq = true;
    assert_string_equal(quantize_misuse(&o), "--gptq and --awq need --calibrate");
    o.samples.path = "x.npy";
    assert_string_equal(quantize_misuse(&o), "--gptq and --awq need --weights");
    o.weights.kind = "int4";
    assert_null(quantize_misuse(&o));
    o.weight_repair.damp = "none";
    assert_string_equal(quantize_misuse(&o), "--damp needs a number above 0, at most 1");
    o.weight_repair.damp = "0.1", o.weight_repair.gptq = false, o.weight_repair.awq = true;
    assert_string_equal(quantize_misuse(&o), "--damp and --in-order belong to --gptq");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measured),       cmocka_unit_test(gptq_is_better), cmocka_unit_test(near_the_best), cmocka_unit_test(dead_inputs),
        cmocka_unit_test(scaling_changes_nothing), cmocka_unit_test(awq_is_better),  cmocka_unit_test(networks),      cmocka_unit_test(misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
