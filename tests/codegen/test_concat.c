/* test_concat.c -- concats written in place by the convolutions that compute their operands, against the evaluator: widths that panels do not divide,
 * Winograd's method, an epilogue that reads another tensor, views behind the concat; and those that are not.
 */
#include "compiled.h"

#include "concat_part.h"

static int concats_in_place(const Module *m)
{
    int n = 0;
    FOR_EACH_NODE(k, m->graph)
        n += k->op == OP_concat && part_of_concat(k->in[0].val) == k;
    return n;
}

static void one_in_place(const Module *m) { assert_int_equal(concats_in_place(m), 1); }
static void none_in_place(const Module *m) { assert_int_equal(concats_in_place(m), 0); }

/* filters of size x size on x, which has 20 channels. */
static Value *convolution(Fix *f, Value *x, int64_t filters, int64_t size, bool winograd)
{
    const int64_t w[] = { filters, 20, size, size }, ones[] = { 1, 1 }, pads[] = { 1, 1, 1, 1 }, none[] = { 0, 0, 0, 0 }, plan[] = { 2, 9, 1, 16 };
    Module *m = f->b.m;
    Attr_conv attr = { .strides = ints_copy(m, 2, ones), .dilations = ints_copy(m, 2, ones), .pads = ints_copy(m, 4, winograd ? pads : none), .group = 1,
                       .channels_last = true };
    if (winograd)
        attr.winograd = ints_copy(m, 4, plan);
    return mk_conv(&f->b, IN(x, mk_tensor(&f->b, compiled_random(f->a, 4, w, (uint32_t)filters)), NULL), attr);
}

static void check(Fix *f, const char *what, Value *y, void (*inspect)(const Module *))
{
    const Compiled how = { .what = what, .pipeline = "explicit_pad,fuse,plan", .tolerance = 1e-5, .props = GP_LAID_OUT, .inspect = inspect };
    compiled_check_value(f, &how, compiled_random(f->a, 4, (const int64_t[]){ 2, 7, 9, 20 }, 1), y);
}

static Value *concat(Fix *f, Inputs in) { return mk_concat(&f->b, in, (Attr_concat){ .axis = 3 }); }

static void parts(void **state)
{
    Fix *f = *state;
    Value *x = fix_input(f, DT_f32, "2,7,9,20");
    Value *a = mk_relu(&f->b, convolution(f, x, 16, 1, false)), *b = mk_relu(&f->b, convolution(f, x, 33, 3, true));
    Value *c = mk_add(&f->b, convolution(f, x, 20, 1, false), x), *d = convolution(f, x, 7, 1, false);
    check(f, "parts", mk_neg(&f->b, concat(f, IN(a, b, c, d))), one_in_place);
}

static void sizes_of_the_run(void **state)
{
    Fix *f = *state;
    Value *x = fix_input(f, DT_f32, "N,H,W,20");
    Value *a = mk_relu(&f->b, convolution(f, x, 16, 1, false)), *b = mk_relu(&f->b, convolution(f, x, 33, 3, true));
    check(f, "symbolic", mk_neg(&f->b, concat(f, IN(a, b))), one_in_place);
}

/* An operand that is read elsewhere, that no convolution computes, or that is there twice. */
static void not_alone(void **state)
{
    Fix *f = *state;
    Value *x = fix_input(f, DT_f32, "2,7,9,20"), *a = mk_relu(&f->b, convolution(f, x, 16, 1, false)), *b = convolution(f, x, 16, 1, false);
    check(f, "read elsewhere", mk_neg(&f->b, concat(f, IN(a, b, mk_exp(&f->b, a)))), none_in_place);
}

static void twice(void **state)
{
    Fix *f = *state;
    Value *x = fix_input(f, DT_f32, "2,7,9,20"), *a = convolution(f, x, 16, 1, false);
    check(f, "twice", mk_neg(&f->b, concat(f, IN(a, a))), none_in_place);
}

static void not_computed(void **state)
{
    Fix *f = *state;
    Value *x = fix_input(f, DT_f32, "2,7,9,20");
    check(f, "input", mk_neg(&f->b, concat(f, IN(convolution(f, x, 16, 1, false), x))), none_in_place);
}

int main(void)
{
    const struct CMUnitTest tests[] = { FIX_TEST(parts), FIX_TEST(sizes_of_the_run), FIX_TEST(not_alone), FIX_TEST(twice), FIX_TEST(not_computed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
