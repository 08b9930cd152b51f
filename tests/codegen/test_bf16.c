/* test_bf16.c -- wide products: of bf16 by bf16 (bf16.h), and of f32 by weights of f16 or bf16. Convolutions of all kinds and matmuls, compiled for every
 * kind of CPU that this one can be, give the evaluator's numbers up to f32's rounding of the sums, and up to bf16's where the result is stored as bf16.
 */
#include "compiled.h"

typedef struct Layer {
    const char *name;
    int64_t h, w, c, m, kh, kw, stride, dilation, group;    /* m filters; kh 0: a matmul [h,c] x [c,m], of w batches */
    bool bias, plain;                                       /* plain: channels first and padded */
} Layer;

static const Layer layer[] = {
    { "pointwise", 7, 7, 32, 48, 1, 1, 1, 1, 1, true, false },
    { "pointwise, odd channels", 5, 9, 13, 21, 1, 1, 1, 1, 1, false, false },
    { "pointwise, large weights", 3, 3, 512, 528, 1, 1, 1, 1, 1, true, false },
    { "pointwise, stride 2", 9, 9, 20, 16, 1, 1, 2, 1, 1, true, false },
    { "3x3", 10, 11, 16, 40, 3, 3, 1, 1, 1, true, false },
    { "3x3, three channels, stride 2", 17, 15, 3, 32, 3, 3, 2, 1, 1, true, false },
    { "7x7, three channels", 20, 20, 3, 24, 7, 7, 2, 1, 1, false, false },
    { "3x3, dilated, odd channels", 12, 12, 11, 16, 3, 3, 1, 2, 1, true, false },
    { "3x3, groups", 9, 9, 24, 36, 3, 3, 1, 1, 4, true, false },
    { "column of 3", 30, 1, 8, 16, 3, 1, 1, 1, 1, true, false },
    { "depthwise 3x3", 11, 12, 32, 32, 3, 3, 1, 1, 32, true, false },
    { "depthwise 3x3, odd channels", 8, 7, 21, 21, 3, 3, 2, 1, 21, true, false },
    { "two filters per channel", 8, 8, 16, 32, 3, 3, 1, 1, 16, true, false },
    { "padded, channels first", 6, 7, 5, 8, 3, 3, 1, 1, 1, true, true },
    { "matmul", 37, 1, 70, 50, 0, 0, 0, 0, 0, false, false },
    { "matmul, one row", 1, 1, 257, 100, 0, 0, 0, 0, 0, false, false },
    { "matmul, batches", 5, 3, 19, 16, 0, 0, 0, 0, 0, false, false },
};

/* What is multiplied, and what becomes of the sums. */
typedef struct Kind { DType x, w, y; double tolerance; } Kind;
static const Kind kind[] = { { DT_bf16, DT_bf16, DT_f32, 2e-6 }, { DT_bf16, DT_bf16, DT_bf16, 0.004 },
                             { DT_f32, DT_bf16, DT_f32, 2e-6 }, { DT_f32, DT_f16, DT_f32, 2e-6 } };
enum { KINDS = sizeof kind / sizeof *kind, LAYERS = sizeof layer / sizeof *layer };

static Tensor *random_of(Fix *f, DType t, int rank, const int64_t *dim, uint32_t seed)
{
    Tensor *x = compiled_random(f->a, rank, dim, seed), *r = tensor_new(f->a, t, rank, dim);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, tensor_get_f64(x, i));
    return r;
}

static Value *product(Fix *f, Value *x, const Layer *l, DType t, uint32_t seed)
{
    Builder *b = &f->b;
    if (!l->kh)
        return mk_matmul(b, IN(x, mk_tensor(b, random_of(f, t, 2, (int64_t[]){ l->c, l->m }, seed))), (Attr_matmul){ .wide = true });
    int64_t w[] = { l->m, l->c / l->group, l->kh, l->kw }, pad[] = { l->plain, l->plain, l->plain, l->plain }, two[] = { l->stride, l->stride };
    int64_t dilation[] = { l->dilation, l->dilation };
    Value *bias = l->bias ? mk_tensor(b, random_of(f, DT_f32, 1, w, seed + 1)) : NULL;
    Attr_conv a = { .strides = ints_copy(b->m, 2, two), .dilations = ints_copy(b->m, 2, dilation), .pads = ints_copy(b->m, 4, pad), .group = l->group,
                    .channels_last = !l->plain, .wide = true };
    return mk_conv(b, IN(x, mk_tensor(b, random_of(f, t, 4, w, seed)), bias), a);
}

static void check(Fix *f, size_t i, const char *cpu)
{
    const Layer *l = &layer[i % LAYERS];
    const Kind *k = &kind[i / LAYERS];
    int64_t image[] = { 2, l->h, l->w, l->c }, first[] = { 2, l->c, l->h, l->w }, matrix[] = { l->w, l->h, l->c };
    int rank = l->kh ? 4 : 3;
    const Tensor *x = random_of(f, k->x, rank, !l->kh ? matrix : l->plain ? first : image, (uint32_t)i + 9);
    Value *in = mk_input(&f->b, IN_NONE, (Attr_input){ .index = 0 });
    in->type = type_of_ints(f->b.m, k->x, rank, x->dim);
    Value *sum = product(f, in, l, k->w, (uint32_t)i + 100);
    compiled_check_value(f, &(Compiled){ .what = l->name, .cpu = cpu, .tolerance = k->tolerance }, x, mk_cast_to(&f->b, mk_relu(&f->b, sum), k->y));
}

#if defined __x86_64__
static const char *const cpus[] = { "x86-64", "haswell", "skylake-avx512", "znver4", "" };
#else
static const char *const cpus[] = { NULL, "" };
#endif

static void products_on_every_cpu(void **state)
{
    (void)state;
    compiled_each(cpus, (size_t)KINDS * LAYERS, check);
}

/* ---- between layers ---- */

/* conv -> relu -> conv, each operand and weight rounded to bf16, as a file says it. */
static Value *two_layers(Fix *f, Value *x)
{
    static const Layer deep = { "3x3", 9, 9, 8, 16, 3, 3, 1, 1, 1, true, true }, last = { "1x1", 9, 9, 16, 8, 1, 1, 1, 1, 1, true, true };
    const Layer *l[] = { &deep, &last };
    Builder *b = &f->b;
    for (int i = 0; i < 2; i++) {
        Value *p = product(f, mk_cast_to(b, x, DT_bf16), l[i], DT_bf16, 50 + (uint32_t)i);
        const Node *n = p->def;
        Attr_conv a = *NODE_ATTR(n, conv);
        a.wide = false;
        Value *half = n->in[0].val, *w = mk_cast_to(b, n->in[1].val, DT_f32);
        x = mk_conv(b, IN(mk_cast_to(b, half, DT_f32), w, n->in[2].val), a);
        if (!i)
            x = mk_relu(b, x);
    }
    return x;
}

static void expect_stored_half(const Module *m)
{
    int fused = 0;
    FOR_EACH_NODE(n, m->graph)
        if (n->op == OP_fused && node_out(n)->type.rank == 4)
            fused += node_out(n)->type.dtype == DT_bf16 && node_in(n, 0)->type.dtype == DT_bf16;
    assert_int_equal(fused, 1);
}

static void bf16_stays_between_layers(void **state)
{
    Fix *f = *state;
    Tensor *x = compiled_random(f->a, 4, (int64_t[]){ 1, 8, 9, 9 }, 5);
    Value *in = mk_input(&f->b, IN_NONE, (Attr_input){ .index = 0 });
    in->type = type_of_ints(f->b.m, DT_f32, 4, x->dim);
    compiled_check_value(f, &(Compiled){ .what = "two layers", .tolerance = 0.004, .inspect = expect_stored_half }, x, two_layers(f, in));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(products_on_every_cpu), FIX_TEST(bf16_stays_between_layers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
