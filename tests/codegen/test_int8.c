/* test_int8.c -- products of u8 and i8: convolutions of all kinds and matmuls, compiled for every kind of CPU that this one can be, give the
 * evaluator's integers. Values are at the ends of their ranges often, where saturating instructions would go wrong.
 */
#include "compiled.h"

typedef struct Layer {
    const char *name;
    int64_t h, w, c, m, kh, kw, stride, dilation, group;    /* m filters; kh 0: a matmul [h,c] x [c,m], of w batches */
    bool bias, plain;                                       /* plain: channels first and padded, the way without a fast path */
} Layer;

static const Layer layer[] = {
    { "pointwise", 7, 7, 32, 48, 1, 1, 1, 1, 1, true, false },
    { "pointwise, odd channels", 5, 9, 13, 21, 1, 1, 1, 1, 1, false, false },
    { "pointwise, large weights", 3, 3, 512, 528, 1, 1, 1, 1, 1, true, false },
    { "pointwise, stride 2", 9, 9, 20, 16, 1, 1, 2, 1, 1, true, false },
    { "3x3", 10, 11, 16, 40, 3, 3, 1, 1, 1, true, false },
    { "3x3, three channels, stride 2", 17, 15, 3, 32, 3, 3, 2, 1, 1, true, false },
    { "7x7, three channels", 20, 20, 3, 24, 7, 7, 2, 1, 1, false, false },
    { "8x8, one channel", 20, 19, 1, 16, 8, 8, 1, 1, 1, true, false },
    { "3x3, dilated", 12, 12, 12, 16, 3, 3, 1, 2, 1, true, false },
    { "3x3, groups", 9, 9, 24, 36, 3, 3, 1, 1, 4, true, false },
    { "row of 3", 1, 30, 8, 16, 1, 3, 1, 1, 1, true, false },
    { "column of 3", 30, 1, 8, 16, 3, 1, 1, 1, 1, true, false },
    { "depthwise 3x3", 11, 12, 32, 32, 3, 3, 1, 1, 32, true, false },
    { "depthwise 3x3, odd channels", 8, 7, 21, 21, 3, 3, 1, 1, 21, true, false },
    { "depthwise 3x3, stride 2", 11, 13, 40, 40, 3, 3, 2, 1, 40, false, false },
    { "depthwise 5x5", 9, 11, 16, 16, 5, 5, 1, 1, 16, true, false },
    { "depthwise 3x3, dilated", 12, 12, 16, 16, 3, 3, 1, 2, 16, true, false },
    { "two filters per channel", 8, 8, 16, 32, 3, 3, 1, 1, 16, true, false },
    { "padded, channels first", 6, 7, 5, 8, 3, 3, 1, 1, 1, true, true },
    { "matmul", 37, 1, 70, 50, 0, 0, 0, 0, 0, false, false },
    { "matmul, one row", 1, 1, 256, 100, 0, 0, 0, 0, 0, false, false },
    { "matmul, batches", 5, 3, 19, 16, 0, 0, 0, 0, 0, false, false },
};

/* Builds a layer, drawing its numbers. */
typedef struct Draw {
    Fix *f;
    uint32_t seed;
    bool narrow;                    /* weights of four bits */
} Draw;

static int pick(Draw *d, int n)
{
    d->seed = d->seed * 1664525 + 1013904223;
    return (int)((d->seed >> 12) % (uint32_t)n);
}

static Tensor *random_tensor(Draw *d, DType t, int rank, const int64_t *dim)
{
    int least = t == DT_u8 ? 0 : t == DT_i8 ? d->narrow ? -8 : -128 : -100000, most = t == DT_u8 ? 255 : t == DT_i8 ? d->narrow ? 7 : 127 : 100000;
    Tensor *r = tensor_new(d->f->a, t, rank, dim);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, pick(d, 3) ? least + pick(d, most - least + 1) : pick(d, 2) ? least : most);
    return r;
}

/* ---- one layer as a module ---- */

static Value *matmul_of(Draw *d, Value *x, const Layer *l)
{
    Builder *b = &d->f->b;
    return mk_matmul(b, IN(x, mk_tensor(b, random_tensor(d, DT_i8, 2, (int64_t[]){ l->c, l->m }))), (Attr_matmul){ 0 });
}

static Value *conv_of_layer(Draw *d, Value *x, const Layer *l)
{
    Builder *b = &d->f->b;
    int64_t w[] = { l->m, l->c / l->group, l->kh, l->kw }, pad[] = { l->plain, l->plain, l->plain, l->plain }, two[] = { l->stride, l->stride };
    int64_t dilation[] = { l->dilation, l->dilation };
    Value *bias = l->bias ? mk_tensor(b, random_tensor(d, DT_i32, 1, w)) : NULL;
    Attr_conv a = { .strides = ints_copy(b->m, 2, two), .dilations = ints_copy(b->m, 2, dilation), .pads = ints_copy(b->m, 4, pad), .group = l->group,
                    .channels_last = !l->plain };
    return mk_conv(b, IN(x, mk_tensor(b, random_tensor(d, DT_i8, 4, w)), bias), a);
}

/* Returns the sums, and the sums scaled per channel and stored as u8; gives the input. */
static const Tensor *build_layer(Fix *f, const Layer *l, bool narrow)
{
    Builder *b = &f->b;
    Draw d = { f, (uint32_t)(l - layer) + 1, narrow };
    int64_t image[] = { 2, l->h, l->w, l->c }, first[] = { 2, l->c, l->h, l->w }, matrix[] = { l->w, l->h, l->c };
    int rank = l->kh ? 4 : 3;
    const Tensor *x = random_tensor(&d, DT_u8, rank, !l->kh ? matrix : l->plain ? first : image);
    Value *in = mk_input(b, IN_NONE, (Attr_input){ .index = 0 });
    in->type = type_of_ints(b->m, DT_u8, rank, x->dim);
    Value *sum = l->kh ? conv_of_layer(&d, in, l) : matmul_of(&d, in, l);
    Value *again = l->kh ? mk_conv(b, IN(in, sum->def->in[1].val, node_in(sum->def, 2)), *NODE_ATTR(sum->def, conv)) : mk_matmul(b, IN(in, sum->def->in[1].val), (Attr_matmul){ 0 });
    int64_t channels[] = { l->plain ? l->m : 1, 1, l->plain ? 1 : l->m };
    Tensor *scale = tensor_new(f->a, DT_f32, 3, channels);
    for (int64_t i = 0; i < l->m; i++)
        tensor_set_f64(scale, i, 1e-4 * (1 + pick(&d, 100)));
    Value *y = mk_clip(b, mk_mul(b, mk_cast_to(b, again, DT_f32), mk_tensor(b, scale)), -7, 248);
    compiled_return(f, IN(sum, mk_add(b, mk_cast_to(b, mk_round(b, y), DT_u8), mk_scalar(b, DT_u8, 7))));
    return x;
}

static void check_layer(Fix *f, size_t i, const char *cpu)
{
    const Tensor *x = build_layer(f, &layer[i], false);
    compiled_check(f, &(Compiled){ .what = layer[i].name, .cpu = cpu }, 1, &x);
}

static void check_narrow_layer(Fix *f, size_t i, const char *cpu)
{
    const Tensor *x = build_layer(f, &layer[i], true);
    compiled_check(f, &(Compiled){ .what = layer[i].name, .cpu = cpu }, 1, &x);
}

static void check_without_optimisation(Fix *f, size_t i, const char *cpu)
{
    const Tensor *x = build_layer(f, &layer[i], false);
    compiled_check(f, &(Compiled){ .what = layer[i].name, .cpu = cpu, .unoptimised = true }, 1, &x);
}

#if defined __x86_64__
static const char *const dot_cpu[] = { "x86-64", "haswell", "alderlake", "skylake-avx512", "icelake-server", "" };
#else
static const char *const dot_cpu[] = { NULL, "" };
#endif

static void sums_are_exact_on_every_cpu(void **state) { (void)state; COMPILED_EACH(dot_cpu, layer, check_layer); }
static void weights_of_four_bits_give_exact_sums(void **state) { (void)state; COMPILED_EACH(dot_cpu, layer, check_narrow_layer); }
static void sums_are_exact_without_optimisation(void **state) { (void)state; COMPILED_EACH(compiled_here, layer, check_without_optimisation); }

/* ---- functions from byte to byte ---- */

/* x * sigmoid(x) of u8, between scales; then the same once more, as i8. 300 elements: a tail that no vector covers. */
static void check_silu(Fix *f, size_t i, const char *cpu)
{
    Builder *b = &f->b;
    Draw d = { f, 7 + (uint32_t)i, false };
    const Tensor *x = random_tensor(&d, DT_u8, 2, (int64_t[]){ 3, 100 });
    Value *v = mk_input(b, IN_NONE, (Attr_input){ .index = 0 });
    v->type = type_of_ints(b->m, DT_u8, 2, x->dim);
    for (int k = 0; k < 2; k++) {
        double least = k ? -128 : 0;
        Value *r = mk_mul(b, mk_sub(b, mk_cast_to(b, v, DT_f32), mk_scalar(b, DT_f32, 100)), mk_scalar(b, DT_f32, 0.05));
        Value *y = mk_div(b, mk_mul(b, r, mk_sigmoid(b, r)), mk_scalar(b, DT_f32, 0.07));
        y = mk_add(b, mk_round(b, y), mk_scalar(b, DT_f32, k ? -9 : 80));
        v = mk_cast_to(b, mk_clip(b, y, least, least + 255), k ? DT_i8 : DT_u8);
    }
    compiled_return(f, IN(v));
    compiled_check(f, &(Compiled){ .what = "silu", .cpu = cpu }, 1, &x);
}

static void functions_of_bytes_are_looked_up(void **state) { (void)state; compiled_each(dot_cpu, 1, check_silu); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sums_are_exact_on_every_cpu), cmocka_unit_test(weights_of_four_bits_give_exact_sums),
                                        cmocka_unit_test(functions_of_bytes_are_looked_up), cmocka_unit_test(sums_are_exact_without_optimisation) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
