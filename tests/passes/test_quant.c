/* test_quant.c -- small quantised networks as models write them: the pass computes them on bytes, and the results are what they were, to one step where a
 * rounding of f32 may fall on the other side of a half.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "build.h"
#include "eval.h"
#include "pass.h"

typedef struct Net {
    Builder b;
    uint32_t seed;
    Tensor *in;
} Net;

static int pick(Net *k, int n)
{
    k->seed = k->seed * 1664525 + 1013904223;
    return (int)((k->seed >> 12) % (uint32_t)n);
}

/* ---- parts of a network, as importers write them ---- */

typedef struct Grid { DType type; double scale; int zero; } Grid;

static Value *zero_as(Net *k, Grid g, DType t)
{
    return mk_cast_to(&k->b, mk_scalar(&k->b, g.type, g.zero), t);
}

static Value *quantise(Net *k, Value *x, Grid g)
{
    Value *y = mk_round(&k->b, mk_div(&k->b, x, mk_scalar(&k->b, DT_f32, g.scale)));
    double least = g.type == DT_u8 ? 0 : -128;
    return mk_cast_to(&k->b, mk_clip(&k->b, mk_add(&k->b, y, zero_as(k, g, DT_f32)), least, least + 255), g.type);
}

static Value *dequantise(Net *k, Value *x, Grid g)
{
    return mk_mul(&k->b, mk_sub(&k->b, mk_cast_to(&k->b, x, DT_f32), zero_as(k, g, DT_f32)), mk_scalar(&k->b, DT_f32, g.scale));
}

static Value *through(Net *k, Value *x, Grid g)
{
    return dequantise(k, quantise(k, x, g), g);
}

/* Weights of that shape under a scale (and zero) per index of axis 0. */
static Value *weights(Net *k, DType t, int zero, int rank, const int64_t *dim)
{
    Builder *b = &k->b;
    int64_t one[MAX_RANK] = { dim[0], 1, 1, 1, 1, 1, 1, 1 };
    Tensor *w = tensor_new(b->m->arena, t, rank, dim), *s = tensor_new(b->m->arena, DT_f32, rank, one), *z = tensor_new(b->m->arena, t, rank, one);
    for (int64_t i = 0; i < w->count; i++)
        tensor_set_f64(w, i, (t == DT_u8 ? 0 : -128) + pick(k, 256));
    for (int64_t i = 0; i < dim[0]; i++) {
        tensor_set_f64(s, i, 0.001 * (1 + pick(k, 9)));
        tensor_set_f64(z, i, zero);
    }
    Value *x = mk_cast_to(b, mk_tensor(b, w), DT_f32);
    return mk_mul(b, mk_sub(b, x, mk_cast_to(b, mk_tensor(b, z), DT_f32)), mk_tensor(b, s));
}

static Value *floats(Net *k, int64_t n)
{
    Tensor *t = tensor_new(k->b.m->arena, DT_f32, 1, &n);
    for (int64_t i = 0; i < n; i++)
        tensor_set_f64(t, i, (pick(k, 2001) - 1000) / 1000.0);
    return mk_tensor(&k->b, t);
}

static Value *conv(Net *k, Value *x, Value *w, Value *bias, int pad, int group)
{
    int64_t pads[] = { pad, pad, 0, pad };
    Attr_conv a = { .strides = ints_copy(k->b.m, 2, (int64_t[]){ 1, 1 }), .dilations = ints_copy(k->b.m, 2, (int64_t[]){ 1, 1 }),
                    .pads = ints_copy(k->b.m, 4, pads), .group = group };
    return mk_conv(&k->b, IN(x, w, bias), a);
}

static Value *pool(Net *k, Value *x, const char *kind)
{
    Module *m = k->b.m;
    return mk_pool(&k->b, IN(x), (Attr_pool){ .kind = kind, .kernel = ints_copy(m, 2, (int64_t[]){ 2, 2 }), .strides = ints_copy(m, 2, (int64_t[]){ 1, 1 }),
                                              .dilations = ints_copy(m, 2, (int64_t[]){ 1, 1 }), .pads = ints_copy(m, 4, (int64_t[]){ 0, 0, 1, 0 }) });
}

/* ---- the networks: x is f32[2,4,7,6] ---- */

/* Scales without a common divisor, so that no sum of two lies halfway between two steps. */
static const Grid unsigned_grid = { DT_u8, 0.0101, 113 }, signed_grid = { DT_i8, 0.0113, -5 }, coarse = { DT_u8, 0.0531, 100 }, positive = { DT_u8, 0.0217, 0 };

static Value *net_conv(Net *k, Value *x)
{
    Value *w = weights(k, DT_i8, 0, 4, (int64_t[]){ 8, 4, 3, 3 });
    Value *y = conv(k, through(k, x, unsigned_grid), w, floats(k, 8), 1, 1);
    return through(k, mk_relu(&k->b, y), positive);
}

static Value *net_signed_depthwise(Net *k, Value *x)
{
    Value *w = weights(k, DT_i8, 3, 4, (int64_t[]){ 4, 1, 3, 3 });
    return through(k, conv(k, through(k, x, signed_grid), w, NULL, 1, 4), (Grid){ DT_i8, 0.03, 7 });
}

static Value *net_asymmetric(Net *k, Value *x)
{
    Value *w = weights(k, DT_u8, 125, 4, (int64_t[]){ 5, 4, 2, 3 });
    return through(k, conv(k, through(k, x, unsigned_grid), w, floats(k, 5), 1, 1), coarse);
}

static Value *net_gemm(Net *k, Value *x)
{
    Builder *b = &k->b;
    Value *w = mk_transpose_perm(b, weights(k, DT_i8, 0, 2, (int64_t[]){ 9, 168 }), (int64_t[]){ 1, 0 });
    Value *flat = through(k, mk_reshape_ints(b, through(k, x, signed_grid), 2, (int64_t[]){ 2, 168 }), signed_grid);
    return through(k, mk_add(b, mk_matmul(b, IN(flat, w), (Attr_matmul){ 0 }), floats(k, 9)), coarse);
}

static Value *net_residual(Net *k, Value *x)
{
    Value *q = through(k, x, signed_grid), *y = conv(k, q, weights(k, DT_i8, 0, 4, (int64_t[]){ 4, 4, 1, 1 }), NULL, 0, 1);
    return through(k, mk_relu(&k->b, mk_add(&k->b, through(k, y, coarse), q)), positive);
}

static Value *net_pools(Net *k, Value *x)
{
    Value *y = through(k, pool(k, through(k, x, unsigned_grid), "max"), unsigned_grid);
    y = through(k, pool(k, y, "avg"), coarse);
    y = mk_reduce_axes(&k->b, "sum", y, 2, (int64_t[]){ 2, 3 });
    Value *w = weights(k, DT_i8, 0, 4, (int64_t[]){ 3, 4, 1, 1 });
    return through(k, conv(k, through(k, y, (Grid){ DT_u8, 0.5, 128 }), w, NULL, 0, 1), coarse);
}

static Value *net_concat(Net *k, Value *x)
{
    Value *y = mk_concat(&k->b, IN(through(k, x, signed_grid), through(k, x, coarse)), (Attr_concat){ .axis = 1 });
    Value *w = weights(k, DT_i8, 0, 4, (int64_t[]){ 3, 8, 1, 1 });
    return through(k, conv(k, through(k, y, signed_grid), w, NULL, 0, 1), coarse);
}

/* The zero of x is computed at run time. */
static Value *net_moving_zero(Net *k, Value *x)
{
    Builder *b = &k->b;
    Value *q = quantise(k, x, unsigned_grid);
    Value *zero = mk_cast_to(b, mk_reshape_ints(b, mk_slice(b, IN(q), (Attr_slice){ dims_of_ints(b->m, 4, (int64_t[]){ 0, 0, 0, 0 }),
        dims_of_ints(b->m, 4, (int64_t[]){ 1, 1, 1, 1 }), ints_copy(b->m, 4, (int64_t[]){ 1, 1, 1, 1 }), 0 }), 0, NULL), DT_i32);
    zero = mk_cast_to(b, mk_cast_to(b, zero, DT_u8), DT_i32);
    int64_t dim[] = { 6, 4, 3, 3 };
    Tensor *w = tensor_new(b->m->arena, DT_u8, 4, dim);
    for (int64_t i = 0; i < w->count; i++)
        tensor_set_f64(w, i, pick(k, 256));
    Value *centred = mk_sub(b, mk_cast_to(b, mk_tensor(b, w), DT_i32), mk_cast_to(b, mk_scalar(b, DT_u8, 120), DT_i32));
    return mk_cast_to(b, conv(k, mk_sub(b, mk_cast_to(b, q, DT_i32), zero), centred, NULL, 1, 1), DT_f32);
}

typedef struct Case {
    const char *name;
    Value *(*make)(Net *k, Value *x);
    int products;                   /* of bytes, afterwards */
    double step;                    /* the most that results may differ */
} Case;

static const Case cases[] = {
    { "conv", net_conv, 1, 0.0217 }, { "depthwise of i8", net_signed_depthwise, 1, 0.03 }, { "asymmetric weights", net_asymmetric, 2, 0.0531 },
    { "gemm", net_gemm, 1, 0.0531 }, { "residual", net_residual, 1, 0.0531 }, { "pools", net_pools, 1, 0.0531 }, { "concat", net_concat, 1, 0.0531 },
    { "moving zero", net_moving_zero, 2, 0 },
};

/* ---- checking ---- */

static Module *open_net(Arena *a, Diag *d, const Case *c, Net *k)
{
    Module *m = module_new(a, d, "quant", "quant");
    *k = (Net){ { m, m->graph, NULL, { 0 } }, (uint32_t)(c - cases) + 1, NULL };
    int64_t dim[] = { 2, 4, 7, 6 };
    Value *x = mk_input(&k->b, IN_NONE, (Attr_input){ .index = 0 });
    x->type = type_of_ints(m, DT_f32, 4, dim);
    k->in = tensor_new(a, DT_f32, 4, dim);
    for (int64_t i = 0; i < k->in->count; i++)
        tensor_set_f64(k->in, i, (pick(k, 3001) - 1500) / 1000.0);
    Value *y = c->make(k, x);
    assert_non_null(y);
    node_new(m->graph, NULL, OP_return, 1, &y, NULL, -1, k->b.loc);
    m->graph->props |= GP_TYPED;
    return m;
}

static int count_products(const Graph *g)
{
    int n = 0;
    FOR_EACH_NODE(k, g)
        n += (k->op == OP_conv || k->op == OP_matmul) && k->in[0].val->type.dtype == DT_u8;
    return n;
}

static void check(const Case *c)
{
    Arena *a = arena_new();
    Diag d;
    Net k;
    diag_init(&d, a, stderr);
    Module *m = open_net(a, &d, c, &k);
    const Tensor *in = k.in, *before, *after;
    int differ = 0;
    assert_true(eval_module(m, a, 1, &in, &before));
    assert_true(pass_run(m, "quant") && pass_run(m, "dce"));
    if (count_products(m->graph) != c->products)
        fail_msg("%s: %d products of bytes, not %d\n%s", c->name, count_products(m->graph), c->products, module_print(m, a, NULL));
    assert_true(eval_module(m, a, 1, &in, &after));
    for (int64_t i = 0; i < before->count; i++) {
        double x = tensor_get_f64(before, i), y = tensor_get_f64(after, i);
        if (fabs(x - y) > c->step * 1.01)
            fail_msg("%s: element %lld is %g, was %g", c->name, (long long)i, y, x);
        differ += fabs(x - y) > 1e-5;
    }
    if (differ * 50 > before->count)
        fail_msg("%s: %d of %lld elements differ", c->name, differ, (long long)before->count);
    arena_free(a);
}

static void quantised_networks_keep_their_results(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i]);
}

/* Stopping after any number of rewrites is as good. */
static void stopping_anywhere_is_as_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int fuel = 0; fuel < 40; fuel++) {
            Arena *a = arena_new();
            Diag d;
            Net k;
            diag_init(&d, a, stderr);
            Module *m = open_net(a, &d, &cases[i], &k);
            const Tensor *in = k.in, *before, *after;
            assert_true(eval_module(m, a, 1, &in, &before));
            m->fuel = fuel;
            assert_true(pass_run(m, "quant") && eval_module(m, a, 1, &in, &after));
            for (int64_t e = 0; e < before->count; e++)
                if (fabs(tensor_get_f64(before, e) - tensor_get_f64(after, e)) > cases[i].step * 1.01)
                    fail_msg("%s with fuel %d: element %lld differs", cases[i].name, fuel, (long long)e);
            arena_free(a);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(quantised_networks_keep_their_results), cmocka_unit_test(stopping_anywhere_is_as_good) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
