/* test_eval.c -- the evaluator against numbers worked out by hand and against the plainest possible loops. */
#include "op_fixture.h"

static IntVec I(Fix *f, const char *s) { return fix_ints(f, s); }
static DimVec D(Fix *f, const char *s) { return fix_dims(f, s); }

/* ---- movement ---- */

static void test_transpose_expand(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_constant(f, DT_f32, "2,3", NUMBERS(1, 2, 3, 4, 5, 6));
    expect_result(f, mk_transpose(b, IN(x), (Attr_transpose){ .perm = I(f, "1,0") }), DT_f32, "3,2", NUMBERS(1, 4, 2, 5, 3, 6));
    expect_result(f, mk_expand(b, IN(fix_constant(f, DT_i8, "2,1", NUMBERS(-1, 7))), (Attr_expand){ .shape = D(f, "2,2,3") }), DT_i8, "2,2,3",
                  NUMBERS(-1, -1, -1, 7, 7, 7, -1, -1, -1, 7, 7, 7));
    expect_result(f, mk_reshape(b, IN(x), (Attr_reshape){ .shape = D(f, "3,1,2") }), DT_f32, "3,1,2", NUMBERS(1, 2, 3, 4, 5, 6));
}

static void test_slice(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_i64, "2,5", NUMBERS(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
    expect_result(f, mk_slice(&f->b, IN(x), (Attr_slice){ D(f, "1,4"), D(f, "1,3"), I(f, "1,-2"), 0 }), DT_i64, "1,3", NUMBERS(9, 7, 5));
    expect_result(f, mk_slice(&f->b, IN(x), (Attr_slice){ D(f, "0,2"), D(f, "2,0"), I(f, "1,1"), 0 }), DT_i64, "2,0", NUMBERS(0));
}

static void test_pad(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_constant(f, DT_f32, "3", NUMBERS(1, 2, 3)), *nine = fix_constant(f, DT_f32, "", NUMBERS(9));
    expect_result(f, mk_pad(b, IN(x, nine), (Attr_pad){ D(f, "1"), D(f, "2"), "constant", 0 }), DT_f32, "6", NUMBERS(9, 1, 2, 3, 9, 9));
    expect_result(f, mk_pad(b, IN(x), (Attr_pad){ D(f, "4"), D(f, "5"), "reflect", 0 }), DT_f32, "12", NUMBERS(1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2));
    expect_result(f, mk_pad(b, IN(x), (Attr_pad){ D(f, "2"), D(f, "1"), "edge", 0 }), DT_f32, "6", NUMBERS(1, 1, 1, 2, 3, 3));
    expect_result(f, mk_pad(b, IN(x), (Attr_pad){ D(f, "2"), D(f, "4"), "wrap", 0 }), DT_f32, "9", NUMBERS(2, 3, 1, 2, 3, 1, 2, 3, 1));
    expect_result(f, mk_pad(b, IN(x), (Attr_pad){ D(f, "-1"), D(f, "1"), "constant", 0 }), DT_f32, "3", NUMBERS(2, 3, 0));
    Value *m = fix_constant(f, DT_u8, "2,2", NUMBERS(1, 2, 3, 4));
    expect_result(f, mk_pad(b, IN(m), (Attr_pad){ D(f, "1,0"), D(f, "0,1"), "constant", 0 }), DT_u8, "3,3", NUMBERS(0, 0, 0, 1, 2, 0, 3, 4, 0));
}

static void test_concat_iota(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_i32, "2,1", NUMBERS(1, 2)), *y = fix_constant(f, DT_i32, "2,2", NUMBERS(3, 4, 5, 6));
    expect_result(f, mk_concat(&f->b, IN(x, y, x), (Attr_concat){ .axis = 1 }), DT_i32, "2,4", NUMBERS(1, 3, 4, 1, 2, 5, 6, 2));
    expect_result(f, mk_iota(&f->b, IN_NONE, (Attr_iota){ D(f, "2,3"), 1, DT_f16, 0 }), DT_f16, "2,3", NUMBERS(0, 1, 2, 0, 1, 2));
    expect_result(f, mk_iota(&f->b, IN_NONE, (Attr_iota){ D(f, "2,3"), 0, DT_i64, 0 }), DT_i64, "2,3", NUMBERS(0, 0, 0, 1, 1, 1));
}

/* ---- contraction ---- */

static void test_matmul_small(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f32, "2,3", NUMBERS(1, 2, 3, 4, 5, 6)), *y = fix_constant(f, DT_f32, "3,1", NUMBERS(1, 10, 100));
    expect_result(f, mk_matmul(&f->b, IN(x, y), (Attr_matmul){ 0 }), DT_f32, "2,1", NUMBERS(321, 654));
    Value *big = fix_constant(f, DT_i32, "1,2", NUMBERS(65536, 65536)), *col = fix_constant(f, DT_i32, "2,1", NUMBERS(65536, 3));
    expect_result(f, mk_matmul(&f->b, IN(big, col), (Attr_matmul){ 0 }), DT_i32, "1,1", NUMBERS(196608));      /* 2^32 wraps away */
}

/* Batches that broadcast on both sides, sizes that are no multiple of any block. */
static void test_matmul_batched(void **state)
{
    Fix *f = *state;
    enum { A = 2, B = 3, M = 5, K = 7, N = 9 };
    Value *x = fix_random(f, DT_f32, "2,1,5,7", 1), *y = fix_random(f, DT_f32, "3,7,9", 2);
    const Tensor *tx = value_constant(x), *ty = value_constant(y);
    static double want[A * B * M * N];
    for (int a = 0; a < A; a++)
        for (int c = 0; c < B; c++)
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++) {
                    double sum = 0;
                    for (int k = 0; k < K; k++)
                        sum += tensor_get_f64(tx, (a * M + m) * K + k) * tensor_get_f64(ty, (c * K + k) * N + n);
                    want[((a * B + c) * M + m) * N + n] = sum;
                }
    expect_result(f, mk_matmul(&f->b, IN(x, y), (Attr_matmul){ 0 }), DT_f32, "2,3,5,9", want);
}

/* ---- convolution: gather and scatter loops over NCHW written out ---- */

typedef struct Conv2d { int n, c, h, w, m, kh, kw, group, sh, sw, dh, dw, ph, pw, oh, ow; } Conv2d;

static double *naive_conv(Fix *f, const Conv2d *p, const Tensor *x, const Tensor *w, const Tensor *bias)
{
    double *r = ARENA_ARRAY(f->a, double, p->n * p->m * p->oh * p->ow);
    int cg = p->c / p->group, mg = p->m / p->group;
    for (int n = 0; n < p->n; n++)
        for (int m = 0; m < p->m; m++)
            for (int oh = 0; oh < p->oh; oh++)
                for (int ow = 0; ow < p->ow; ow++) {
                    double sum = bias ? tensor_get_f64(bias, m) : 0;
                    for (int c = 0; c < cg; c++)
                        for (int kh = 0; kh < p->kh; kh++)
                            for (int kw = 0; kw < p->kw; kw++) {
                                int ih = oh * p->sh + kh * p->dh - p->ph, iw = ow * p->sw + kw * p->dw - p->pw, ci = m / mg * cg + c;
                                if (ih >= 0 && ih < p->h && iw >= 0 && iw < p->w)
                                    sum += tensor_get_f64(x, ((n * p->c + ci) * p->h + ih) * p->w + iw) *
                                           tensor_get_f64(w, ((m * cg + c) * p->kh + kh) * p->kw + kw);
                            }
                    r[((n * p->m + m) * p->oh + oh) * p->ow + ow] = sum;
                }
    return r;
}

static void test_conv_2d(void **state)
{
    Fix *f = *state;
    Conv2d p = { 2, 4, 9, 8, 6, 3, 2, 2, 2, 1, 1, 3, 1, 2, 5, 9 };
    Value *x = fix_random(f, DT_f32, "2,4,9,8", 1), *w = fix_random(f, DT_f32, "6,2,3,2", 2), *bias = fix_random(f, DT_f32, "6", 3);
    const double *want = naive_conv(f, &p, value_constant(x), value_constant(w), value_constant(bias));
    Attr_conv a = { I(f, "2,1"), I(f, "1,3"), I(f, "1,2,1,2"), 2, false, { 0, NULL }, false, 0 };
    expect_result(f, mk_conv(&f->b, IN(x, w, bias), a), DT_f32, "2,6,5,9", want);

    /* channels_last: the same numbers through transposes on both sides */
    a.channels_last = true;
    Value *last = mk_conv(&f->b, IN(mk_transpose_perm(&f->b, x, (int64_t[]){ 0, 2, 3, 1 }), w, bias), a);
    expect_type(f, last, "f32[2,5,9,6]");
    expect_result(f, mk_transpose_perm(&f->b, last, (int64_t[]){ 0, 3, 1, 2 }), DT_f32, "2,6,5,9", want);
}

static void test_conv_dtypes(void **state)
{
    Fix *f = *state;
    static const DType types[] = { DT_f64, DT_f16, DT_bf16, DT_i32 };
    Conv2d p = { 1, 3, 5, 5, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 5, 5 };
    Attr_conv a = { I(f, "1,1"), I(f, "1,1"), I(f, "1,1,1,1"), 1, false, { 0, NULL }, false, 0 };
    for (int i = 0; i < 4; i++) {
        Value *x = fix_random(f, types[i], "1,3,5,5", 7), *w = fix_random(f, types[i], "2,3,3,3", 8);
        double *want = naive_conv(f, &p, value_constant(x), value_constant(w), NULL);
        Tensor *rounded = tensor_new(f->a, types[i], 1, (int64_t[]){ 50 });
        for (int k = 0; k < 50; k++) {
            tensor_set_f64(rounded, k, want[k]);
            want[k] = tensor_get_f64(rounded, k);
        }
        expect_result(f, mk_conv(&f->b, IN(x, w), a), types[i], "1,2,5,5", want);
    }
}

static void test_conv_1d_3d(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f32, "1,1,5", NUMBERS(1, 2, 3, 4, 5)), *w = fix_constant(f, DT_f32, "1,1,3", NUMBERS(1, 0, -1));
    Attr_conv a = { I(f, "2"), I(f, "1"), I(f, "1,1"), 1, false, { 0, NULL }, false, 0 };
    expect_result(f, mk_conv(&f->b, IN(x, w), a), DT_f32, "1,1,3", NUMBERS(-2, -2, 4));
    Value *cube = fix_constant(f, DT_f32, "1,1,2,2,2", NUMBERS(1, 2, 3, 4, 5, 6, 7, 8)), *ones = fix_constant(f, DT_f32, "1,1,2,1,2", NUMBERS(1, 1, 1, 1));
    Attr_conv c = { I(f, "1,1,1"), I(f, "1,1,1"), I(f, "0,0,0,0,0,0"), 1, false, { 0, NULL }, false, 0 };
    expect_result(f, mk_conv(&f->b, IN(cube, ones), c), DT_f32, "1,1,1,2,1", NUMBERS(14, 22));
}

/* Every input element spreads its filter over the result: the definition, unlike the evaluator's gathering. */
static void test_conv_transpose(void **state)
{
    Fix *f = *state;
    enum { N = 2, C = 4, H = 3, W = 4, G = 2, MG = 3, KH = 3, KW = 2, OH = 6, OW = 9 };
    Value *x = fix_random(f, DT_f32, "2,4,3,4", 1), *w = fix_random(f, DT_f32, "4,3,3,2", 2), *bias = fix_random(f, DT_f32, "6", 3);
    static double want[N * G * MG * OH * OW];
    for (int i = 0; i < N * G * MG * OH * OW; i++)
        want[i] = tensor_get_f64(value_constant(bias), i / (OH * OW) % (G * MG));
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++)
            for (int m = 0; m < MG; m++)
                for (int i = 0; i < H * W; i++)
                    for (int k = 0; k < KH * KW; k++) {
                        int oh = i / W * 2 + k / KW - 1, ow = i % W * 2 + k % KW * 3 - 1;          /* stride 2, dilation 1,3, pad 1 */
                        if (oh >= 0 && oh < OH && ow >= 0 && ow < OW)
                            want[((n * G * MG + c / 2 * MG + m) * OH + oh) * OW + ow] +=
                                tensor_get_f64(value_constant(x), (n * C + c) * H * W + i) *
                                tensor_get_f64(value_constant(w), (c * MG + m) * KH * KW + k);
                    }
    Attr_conv_transpose a = { I(f, "2,2"), I(f, "1,3"), I(f, "1,1,1,0"), I(f, "1,0"), 2, false, 0 };
    expect_result(f, mk_conv_transpose(&f->b, IN(x, w, bias), a), DT_f32, "2,6,6,9", want);
}

/* ---- pooling, reduction, softmax ---- */

static void test_pool(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_constant(f, DT_f32, "1,1,3,3", NUMBERS(1, 2, 3, 4, 5, 6, 7, 8, 9));
    Attr_pool a = { "max", I(f, "2,2"), I(f, "1,1"), I(f, "1,1"), I(f, "0,0,0,0"), false, false, false, 0 };
    expect_result(f, mk_pool(b, IN(x), a), DT_f32, "1,1,2,2", NUMBERS(5, 6, 8, 9));
    a.kind = "avg";
    a.pads = I(f, "1,1,0,0");
    expect_result(f, mk_pool(b, IN(x), a), DT_f32, "1,1,3,3", NUMBERS(1, 1.5, 2.5, 2.5, 3, 4, 5.5, 6, 7));
    a.count_pad = true;
    expect_result(f, mk_pool(b, IN(x), a), DT_f32, "1,1,3,3", NUMBERS(.25, .75, 1.25, 1.25, 3, 4, 2.75, 6, 7));
    /* ceil keeps the last partial window; what hangs over does not count even with count_pad */
    Attr_pool c = { "avg", I(f, "2,2"), I(f, "2,2"), I(f, "1,1"), I(f, "0,0,0,0"), true, true, false, 0 };
    expect_result(f, mk_pool(b, IN(x), c), DT_f32, "1,1,2,2", NUMBERS(3, 4.5, 7.5, 9));
    c.channels_last = true;
    expect_result(f, mk_pool(b, IN(fix_constant(f, DT_f32, "1,2,2,2", NUMBERS(1, 10, 2, 20, 3, 30, 4, 40))), c), DT_f32, "1,1,1,2", NUMBERS(2.5, 25));
    Attr_pool d = { "max", I(f, "2"), I(f, "1"), I(f, "2"), I(f, "0,0"), false, false, false, 0 };
    expect_result(f, mk_pool(b, IN(fix_constant(f, DT_i8, "1,1,4", NUMBERS(-5, 3, -7, 2))), d), DT_i8, "1,1,2", NUMBERS(-5, 3));
    expect_result(f, mk_pool(b, IN(fix_constant(f, DT_f32, "1,1,3", NUMBERS(1, NAN, 0))), (Attr_pool){ "max", I(f, "2"), I(f, "1"), I(f, "1"),
                  I(f, "0,0"), false, false, false, 0 }), DT_f32, "1,1,2", NUMBERS(NAN, NAN));
}

static void test_reduce(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_constant(f, DT_f32, "2,2,2", NUMBERS(1, 2, 3, 4, 5, 6, 7, 8));
    expect_result(f, mk_reduce(b, IN(x), (Attr_reduce){ "sum", I(f, "0,2"), 0 }), DT_f32, "1,2,1", NUMBERS(14, 22));
    expect_result(f, mk_reduce(b, IN(x), (Attr_reduce){ "prod", I(f, "1"), 0 }), DT_f32, "2,1,2", NUMBERS(3, 8, 35, 48));
    expect_result(f, mk_reduce(b, IN(x), (Attr_reduce){ "max", I(f, "0,1,2"), 0 }), DT_f32, "1,1,1", NUMBERS(8));
    Value *u = fix_constant(f, DT_u8, "3", NUMBERS(200, 100, 7)), *none = fix_constant(f, DT_f32, "2,0", NULL);
    expect_result(f, mk_reduce(b, IN(u), (Attr_reduce){ "sum", I(f, "0"), 0 }), DT_u8, "1", NUMBERS(51));
    expect_result(f, mk_reduce(b, IN(u), (Attr_reduce){ "min", I(f, "0"), 0 }), DT_u8, "1", NUMBERS(7));
    expect_result(f, mk_reduce(b, IN(none), (Attr_reduce){ "max", I(f, "1"), 0 }), DT_f32, "2,1", NUMBERS(-INFINITY, -INFINITY));
    expect_result(f, mk_reduce(b, IN(none), (Attr_reduce){ "prod", I(f, "1"), 0 }), DT_f32, "2,1", NUMBERS(1, 1));
    Value *big = fix_constant(f, DT_u64, "3", NUMBERS(1, 0x1p63, 5));
    expect_result(f, mk_reduce(b, IN(big), (Attr_reduce){ "max", I(f, "0"), 0 }), DT_u64, "1", NUMBERS(0x1p63));
    Value *e = fix_constant(f, DT_i16, "0", NULL);
    expect_result(f, mk_reduce(b, IN(e), (Attr_reduce){ "max", I(f, "0"), 0 }), DT_i16, "1", NUMBERS(-32768));
    expect_result(f, mk_reduce(b, IN(e), (Attr_reduce){ "min", I(f, "0"), 0 }), DT_i16, "1", NUMBERS(32767));
}

static void test_arg_reduce(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f32, "2,4", NUMBERS(1, 5, 5, 2, 3, -1, 0, -1));
    expect_result(f, mk_arg_reduce(&f->b, IN(x), (Attr_arg_reduce){ "max", 1, false, 0 }), DT_i64, "2,1", NUMBERS(1, 0));
    expect_result(f, mk_arg_reduce(&f->b, IN(x), (Attr_arg_reduce){ "max", 1, true, 0 }), DT_i64, "2,1", NUMBERS(2, 0));
    expect_result(f, mk_arg_reduce(&f->b, IN(x), (Attr_arg_reduce){ "min", 1, true, 0 }), DT_i64, "2,1", NUMBERS(0, 3));
    expect_result(f, mk_arg_reduce(&f->b, IN(x), (Attr_arg_reduce){ "min", 0, false, 0 }), DT_i64, "1,4", NUMBERS(0, 1, 1, 1));
}

static void test_softmax(void **state)
{
    Fix *f = *state;
    double e = exp(1), want[4] = { 1 / (1 + e), 0.5, e / (1 + e), 0.5 }, logs[4];
    Value *x = fix_constant(f, DT_f32, "2,2", NUMBERS(1000, 7, 1001, 7));
    expect_result(f, mk_softmax(&f->b, IN(x), (Attr_softmax){ 0, false, 0 }), DT_f32, "2,2", want);
    for (int i = 0; i < 4; i++)
        logs[i] = log(want[i]);
    expect_result(f, mk_softmax(&f->b, IN(x), (Attr_softmax){ 0, true, 0 }), DT_f32, "2,2", logs);
}

/* ---- graphs and modules ---- */

static Graph *branch(Fix *f, double scale)
{
    Graph *g = graph_new(f->b.m, f->b.g);
    Builder b = { .m = f->b.m, .g = g };
    Value *x = mk_input(&b, IN_NONE, (Attr_input){ .index = 0 });
    x->type = type_of_ints(f->b.m, DT_f32, 1, (int64_t[]){ 2 });
    build_node(&b, OP_return, IN(mk_mul(&b, x, mk_scalar(&b, DT_f32, scale))), NULL, -1);
    return g;
}

static void test_if_and_fused(void **state)
{
    Fix *f = *state;
    Value *x = fix_constant(f, DT_f32, "2", NUMBERS(1, 2));
    for (int k = 0; k < 2; k++) {
        Value *c = fix_constant(f, DT_bool, "", NUMBERS(k));
        Node *n = build_node(&f->b, OP_if, IN(c, x), &(Attr_if){ branch(f, 10), branch(f, 3), 0 }, 1);
        expect_result(f, node_out(n), DT_f32, "2", k ? NUMBERS(10, 20) : NUMBERS(3, 6));
    }
    Node *n = build_node(&f->b, OP_fused, IN(x), &(Attr_fused){ branch(f, 5), 0 }, 1);
    expect_result(f, node_out(n), DT_f32, "2", NUMBERS(5, 10));
}

/* A value used twice, a view of a value that dies before it, an unused result, an input returned as it is, a splat. */
static void test_graph_lifetimes(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,2");
    x->name = "x";
    Value *sq = mk_mul(b, x, x), *flat = mk_reshape(b, IN(sq), (Attr_reshape){ D(f, "2*N"), 0 });
    mk_add(b, sq, sq);
    float two = 2;
    Value *splat = mk_tensor(b, tensor_splat(f->a, DT_f32, 2, (int64_t[]){ 1, 2 }, &two)), *view = mk_reshape(b, IN(splat), (Attr_reshape){ D(f, "2"), 0 });
    build_node(b, OP_return, IN(flat, mk_add(b, x, splat), x, view), NULL, -1);
    const Tensor *in = fix_tensor(f, DT_f32, "2,2", NUMBERS(1, 2, 3, 4)), *out[4];
    assert_true(eval_module(b->m, f->a, 1, &in, out));
    expect_numbers(f, out[0], DT_f32, "4", NUMBERS(1, 4, 9, 16), 0);
    expect_numbers(f, out[1], DT_f32, "2,2", NUMBERS(3, 4, 5, 6), 0);
    expect_numbers(f, out[2], DT_f32, "2,2", NUMBERS(1, 2, 3, 4), 0);
    expect_numbers(f, out[3], DT_f32, "2", NUMBERS(2, 2), 0);
    const Tensor *wrong = fix_tensor(f, DT_f32, "2,3", NUMBERS(1, 2, 3, 4, 5, 6));
    expect_error(f, (void *)(intptr_t)eval_module(b->m, f->a, 1, &wrong, out), "input 'x' is f32[2,3], the model takes f32[N,2]");
}

static void test_bind_and_check(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *sizes = fix_input(f, DT_i64, "2"), *x = fix_input(f, DT_f32, "6");
    DimVec s = { 2, (const Dim[]){ dim_fresh(b->m->dims, "s", NULL), dim_fresh(b->m->dims, "s", NULL) } };
    s = dims_copy(b->m, 2, s.v);
    build_node(b, OP_bind, IN(sizes), &(Attr_bind){ s, 0 }, -1);
    DimVec six = D(f, "6"), product = { 1, (const Dim[]){ dim_mul(b->m->dims, s.v[0], s.v[1]) } };
    build_node(b, OP_check, IN_NONE, &(Attr_check){ .left = dims_copy(b->m, 1, product.v), .right = six, .message = "the sizes must cover x" }, -1);
    build_node(b, OP_return, IN(mk_reshape(b, IN(x), (Attr_reshape){ s, 0 })), NULL, -1);
    const Tensor *in[2] = { fix_tensor(f, DT_i64, "2", NUMBERS(3, 2)), fix_tensor(f, DT_f32, "6", NUMBERS(1, 2, 3, 4, 5, 6)) }, *out;
    assert_true(eval_module(b->m, f->a, 2, in, &out));
    expect_numbers(f, out, DT_f32, "3,2", NUMBERS(1, 2, 3, 4, 5, 6), 0);
    in[0] = fix_tensor(f, DT_i64, "2", NUMBERS(3, 3));
    expect_error(f, (void *)(intptr_t)eval_module(b->m, f->a, 2, in, &out), "the sizes must cover x (9 against 6)");
    in[0] = fix_tensor(f, DT_i64, "2", NUMBERS(-3, -2));
    expect_error(f, (void *)(intptr_t)eval_module(b->m, f->a, 2, in, &out), "a size is -3, which is negative");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIX_TEST(test_transpose_expand), FIX_TEST(test_slice), FIX_TEST(test_pad), FIX_TEST(test_concat_iota), FIX_TEST(test_matmul_small),
        FIX_TEST(test_matmul_batched), FIX_TEST(test_conv_2d), FIX_TEST(test_conv_dtypes), FIX_TEST(test_conv_1d_3d), FIX_TEST(test_conv_transpose),
        FIX_TEST(test_pool), FIX_TEST(test_reduce), FIX_TEST(test_arg_reduce), FIX_TEST(test_softmax), FIX_TEST(test_if_and_fused),
        FIX_TEST(test_graph_lifetimes), FIX_TEST(test_bind_and_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
