/* test_depthwise.c -- depthwise convolution against the evaluator: pads that fall into the first and last pixels of a row, images smaller than the
 * filter, strides, dilations, channels that vectors do not divide, sizes that only the run knows.
 */
#include "compiled.h"

typedef struct Case {
    int64_t images, height, width, channels, kernel[2], strides[2], dilations[2], pads[4];
    bool bias;
} Case;

static const Case cases[] = {
    { 1, 14, 14, 32, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, true },
    { 1, 7, 7, 20, { 5, 5 }, { 1, 1 }, { 1, 1 }, { 2, 2, 2, 2 }, true },          /* every chunk touches an edge; a tail of channels */
    { 2, 29, 30, 16, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 0, 0, 1, 1 }, false },
    { 1, 9, 40, 150, { 3, 5 }, { 1, 2 }, { 2, 3 }, { 2, 6, 1, 5 }, true },
    { 1, 2, 3, 8, { 5, 7 }, { 1, 1 }, { 1, 1 }, { 4, 3, 3, 3 }, false },          /* smaller than the filter */
    { 3, 1, 50, 17, { 1, 3 }, { 1, 1 }, { 1, 1 }, { 0, 1, 0, 1 }, true },
    { 1, 40, 1, 17, { 3, 1 }, { 1, 1 }, { 1, 1 }, { 1, 0, 1, 0 }, true },         /* a column */
};

static Value *convolution(Fix *f, const Case *c, bool symbolic)
{
    const int64_t w[] = { c->channels, 1, c->kernel[0], c->kernel[1] };
    Arena *a = f->a;
    Module *m = f->b.m;
    Value *x = fix_input(f, DT_f32, symbolic ? arena_printf(a, "N,H,W,%d", (int)c->channels)
                                             : arena_printf(a, "%d,%d,%d,%d", (int)c->images, (int)c->height, (int)c->width, (int)c->channels));
    Attr_conv attr = { .strides = ints_copy(m, 2, c->strides), .dilations = ints_copy(m, 2, c->dilations), .pads = ints_copy(m, 4, c->pads),
                       .group = c->channels, .channels_last = true };
    Value *bias = c->bias ? mk_tensor(&f->b, compiled_random(a, 1, w, 3)) : NULL;
    return mk_relu(&f->b, mk_conv(&f->b, IN(x, mk_tensor(&f->b, compiled_random(a, 4, w, 2)), bias), attr));
}

static void check(Fix *f, const Case *c, bool symbolic)
{
    const Tensor *x = compiled_random(f->a, 4, (const int64_t[]){ c->images, c->height, c->width, c->channels }, 1);
    const Compiled how = { .what = arena_printf(f->a, "case %d", (int)(c - cases)), .pipeline = "explicit_pad,fuse,plan", .tolerance = 1e-6, .props = GP_LAID_OUT };
    compiled_check_value(f, &how, x, convolution(f, c, symbolic));
}

static void check_fixed(Fix *f, size_t i, const char *cpu) { (void)cpu; check(f, &cases[i], false); }
static void check_symbolic(Fix *f, size_t i, const char *cpu) { (void)cpu; check(f, &cases[i], true); }
static void sizes_of_the_model(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_fixed); }
static void sizes_of_the_run(void **state) { (void)state; COMPILED_EACH(compiled_here, cases, check_symbolic); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sizes_of_the_model), cmocka_unit_test(sizes_of_the_run) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
