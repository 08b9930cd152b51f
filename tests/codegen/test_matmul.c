/* test_matmul.c -- products of two computed matrices whose second is packed first, and convolutions that pass over bands of their input, against the
 * evaluator; the same bits with every unit of work by itself.
 */
#include "compiled.h"

typedef struct Case { int64_t batch, inner, cols; } Case;

static const Case cases[] = {
    { 1, 70, 33 },                  /* columns that fill no panel */
    { 2, 40, 150 },                 /* several sets of panels, several matrices */
    { 3, 5, 16 },
    { 1, 128, 128 },
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

/* 1x1 with stride 2, 841 KB of pixels that are read: 4 bands, the last of them short. */
static void bands(void **state)
{
    Fix *f = *state;
    const int64_t w[] = { 40, 256, 1, 1 }, twos[] = { 2, 2 }, ones[] = { 1, 1 }, pads[] = { 0, 0, 0, 0 };
    Value *x = fix_input(f, DT_f32, "1,57,57,256");
    Module *m = f->b.m;
    Attr_conv attr = { .strides = ints_copy(m, 2, twos), .dilations = ints_copy(m, 2, ones), .pads = ints_copy(m, 4, pads), .group = 1, .channels_last = true };
    Value *y = mk_conv(&f->b, IN(x, mk_tensor(&f->b, compiled_random(f->a, 4, w, 2)), NULL), attr);
    const Compiled how = { .what = "bands", .pipeline = "explicit_pad,fuse,plan", .tolerance = 1e-5, .props = GP_LAID_OUT };
    compiled_check_value(f, &how, compiled_random(f->a, 4, (const int64_t[]){ 1, 57, 57, 256 }, 1), y);
}

int main(void)
{
    const struct CMUnitTest tests[] = { FIX_TEST(packed), FIX_TEST(packed_sizes_of_the_run), FIX_TEST(bands) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
