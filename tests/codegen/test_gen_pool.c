/* test_gen_pool.c -- pooling against the evaluator: channels last and first, one to three spatial axes, strides, dilations, uneven pads, windows that reach
 * beyond both ends, rows longer than a piece, channels that vectors do not divide, sizes of the run.
 */
#include "compiled.h"

typedef struct Case {
    const char *dims;
    int rank;
    int64_t size[5];
    const char *kind, *kernel, *strides, *dilations, *pads;
    bool first, ceil, count_pad, relu;
} Case;

static const Case cases[] = {
    { "1,20,21,24", 4, { 1, 20, 21, 24 }, "max", "3,3", "2,2", "1,1", "1,1,1,1", .first = false },
    { "1,20,21,24", 4, { 1, 20, 21, 24 }, "max", "3,3", "2,2", "1,1", "1,1,1,1", .relu = true },
    { "N,H,W,C", 4, { 2, 9, 13, 20 }, "max", "3,3", "1,1", "1,1", "1,1,1,1", .relu = true },
    { "N,H,W,C", 4, { 2, 9, 13, 7 }, "max", "3,3", "1,1", "1,1", "1,1,1,1", .first = false },
    { "N,H,W,C", 4, { 1, 2, 2, 16 }, "max", "3,3", "2,2", "1,1", "1,1,1,1", .first = false },
    { "1,7,9,33", 4, { 1, 7, 9, 33 }, "avg", "2,2", "2,2", "1,1", "0,0,0,0", .first = false },
    { "1,7,9,33", 4, { 1, 7, 9, 33 }, "avg", "3,3", "2,2", "1,1", "0,1,1,0", .ceil = true },
    { "1,7,9,33", 4, { 1, 7, 9, 33 }, "avg", "3,3", "1,2", "1,1", "1,1,1,1", .count_pad = true },
    { "1,16,17,32", 4, { 1, 16, 17, 32 }, "max", "3,2", "1,3", "2,3", "1,0,2,2", .first = false },
    { "1,13,13,48", 4, { 1, 13, 13, 48 }, "max", "9,9", "1,1", "1,1", "4,4,4,4", .relu = true },
    { "2,200,24", 3, { 2, 200, 24 }, "max", "5", "1", "1", "2,2", .first = false },
    { "N,L,24", 3, { 2, 200, 24 }, "avg", "4", "3", "1", "1,2", .first = false },
    { "1,5,6,7,18", 5, { 1, 5, 6, 7, 18 }, "max", "2,3,3", "1,2,2", "1,1,1", "1,1,1,0,1,1", .first = false },
    { "1,5,6,7,18", 5, { 1, 5, 6, 7, 18 }, "avg", "3,3,3", "1,1,1", "1,1,1", "1,1,1,1,1,1", .first = false },
    { "2,3,20,150", 4, { 2, 3, 20, 150 }, "max", "3,3", "2,2", "1,1", "1,1,1,1", .first = true, .relu = true },
    { "N,3,H,W", 4, { 2, 3, 20, 21 }, "avg", "5,3", "2,1", "1,1", "2,1,2,1", .first = true },
};

static Value *pooled(Fix *f, const Case *c, Value *x)
{
    Attr_pool a = { .kind = c->kind, .kernel = fix_ints(f, c->kernel), .strides = fix_ints(f, c->strides), .dilations = fix_ints(f, c->dilations),
                    .pads = fix_ints(f, c->pads), .ceil = c->ceil, .count_pad = c->count_pad, .channels_last = !c->first };
    if (c->relu)
        x = mk_relu(&f->b, x);
    return mk_mul(&f->b, mk_pool(&f->b, IN(x), a), mk_scalar(&f->b, DT_f32, 3));
}

/* NaN wins wherever it stands in a window. */
static Tensor *operand(Fix *f, const Case *c, uint32_t seed)
{
    Tensor *x = compiled_random(f->a, c->rank, c->size, seed);
    for (int64_t i = 5; i < x->count; i += 301)
        tensor_set_f64(x, i, i % 2 ? (double)NAN : -(double)NAN);
    return x;
}

static void check_case(Fix *f, size_t i, const char *cpu)
{
    Value *y = pooled(f, &cases[i], fix_input(f, DT_f32, cases[i].dims));
    const Compiled how = { .what = arena_printf(f->a, "case %d", (int)i), .cpu = cpu, .pipeline = "fuse,plan", .tolerance = 1e-6, .props = GP_LAID_OUT };
    compiled_check_value(f, &how, operand(f, &cases[i], 1 + (uint32_t)i), y);
}

static void with_and_without_masks(void **state) { (void)state; COMPILED_EACH(compiled_without_masks, cases, check_case); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(with_and_without_masks) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
