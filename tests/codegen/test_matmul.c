/* test_matmul.c -- products of two computed matrices whose second is packed first, products and convolutions that pass over bands of their input, and
 * convolutions whose tiles run across lines, against the evaluator; the same bits with every unit of work by itself.
 */
#include "compiled.h"

typedef struct Case { int64_t batch, inner, cols; } Case;

static const Case cases[] = {
    { 1, 70, 33 },                  /* columns that fill no panel */
    { 2, 40, 150 },                 /* several sets of panels, several matrices */
    { 3, 5, 16 },
    { 1, 128, 128 },
    { 1, 130, 1100 },               /* several sets and several bands */
};

/* xt x for a stack of matrices x: [batch, inner, cols]. */
static void check(Fix *f, const Case *c, bool symbolic)
{
    const char *shape = symbolic ? "B,K,N" : arena_printf(f->a, "%d,%d,%d", (int)c->batch, (int)c->inner, (int)c->cols);
    Value *x = fix_input(f, DT_f32, shape), *t = mk_transpose(&f->b, IN(x), (Attr_transpose){ .perm = ints_copy(f->b.m, 3, (const int64_t[]){ 0, 2, 1 }) });
    Value *y = mk_matmul(&f->b, IN(t, x), (Attr_matmul){ .pack = true });
    const Tensor *data = compiled_random(f->a, 3, (const int64_t[]){ c->batch, c->inner, c->cols }, 1);
    const Compiled how = { .what = arena_printf(f->a, "case %d", (int)(c - cases)), .pipeline = "fuse,plan", .tolerance = 1e-5 };
    compiled_check_value(f, &how, data, mk_relu(&f->b, y));
}

static void check_fixed(Fix *f, size_t i, const char *cpu) { (void)cpu; check(f, &cases[i], false); }
static void check_symbolic(Fix *f, size_t i, const char *cpu) { (void)cpu; check(f, &cases[i], true); }
static void packed(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_fixed); }
static void packed_sizes_of_the_run(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_symbolic); }

typedef struct ConvCase { int64_t size, channels, filters, kernel, stride, groups; } ConvCase;

static const ConvCase convs[] = {
    { 57, 256, 40, 1, 2, 1 },       /* 841 KB of pixels that are read: 4 bands, the last of them short */
    { 17, 64, 48, 3, 2, 1 },        /* lines of 8 pixels, where 6 rows fill the registers */
    { 11, 96, 96, 3, 1, 3 },        /* lines of 9 */
    { 58, 64, 96, 3, 2, 1 },        /* long enough for several steps of k at once */
};

static void check_conv(Fix *f, size_t i, const char *cpu)
{
    const ConvCase *k = &convs[i];
    const int64_t w[] = { k->filters, k->channels / k->groups, k->kernel, k->kernel }, strides[] = { k->stride, k->stride }, ones[] = { 1, 1 }, pads[4] = { 0 };
    const int64_t shape[] = { 1, k->size, k->size, k->channels };
    Value *x = fix_input(f, DT_f32, arena_printf(f->a, "1,%d,%d,%d", (int)k->size, (int)k->size, (int)k->channels));
    Module *m = f->b.m;
    Attr_conv attr = { .strides = ints_copy(m, 2, strides), .dilations = ints_copy(m, 2, ones), .pads = ints_copy(m, 4, pads), .group = k->groups,
                       .channels_last = true };
    Value *y = mk_conv(&f->b, IN(x, mk_tensor(&f->b, compiled_random(f->a, 4, w, 2)), NULL), attr);
    const Compiled how = { .what = arena_printf(f->a, "convolution %zu", i), .cpu = cpu, .pipeline = "explicit_pad,fuse,plan", .tolerance = 1e-5,
                           .props = GP_LAID_OUT };
    compiled_check_value(f, &how, compiled_random(f->a, 4, shape, 1), y);
}

static void convolutions(void **state) { (void)state; COMPILED_EACH(compiled_everywhere, convs, check_conv); }

typedef struct Product { int64_t rows, inner, cols; } Product;

/* 660 KB of rows: 3 bands. */
static const Product products[] = { { 1103, 150, 130 } };

static void check_product(Fix *f, size_t i, const char *cpu)
{
    const Product *p = &products[i];
    Value *x = fix_input(f, DT_f32, arena_printf(f->a, "%d,%d", (int)p->rows, (int)p->inner));
    Value *w = mk_tensor(&f->b, compiled_random(f->a, 2, (const int64_t[]){ p->inner, p->cols }, 2));
    const Compiled how = { .what = "bands", .cpu = cpu, .pipeline = "fuse,plan", .tolerance = 1e-5 };
    compiled_check_value(f, &how, compiled_random(f->a, 2, (const int64_t[]){ p->rows, p->inner }, 1), mk_matmul(&f->b, IN(x, w), (Attr_matmul){ .pack = false }));
}

static void bands(void **state) { (void)state; COMPILED_EACH(compiled_everywhere, products, check_product); }

int main(void)
{
    const struct CMUnitTest tests[] = { FIX_TEST(packed), FIX_TEST(packed_sizes_of_the_run), FIX_TEST(convolutions), FIX_TEST(bands) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
