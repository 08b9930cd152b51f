/* test_gen_reduce.c -- reductions that keep the last axis, against the evaluator: one vector of columns, several, masked ones, with what is computed before
 * and behind the reduction; sizes of the run.
 */
#include "compiled.h"

typedef struct Case {
    const char *dims;
    int rank;
    int64_t size[4];
    const char *kind, *axes;
} Case;

static const Case cases[] = {
    { "1,9,8,24", 4, { 1, 9, 8, 24 }, "sum", "1,2" }, { "2,5,7,300", 4, { 2, 5, 7, 300 }, "sum", "1,2" }, { "2,5,7,300", 4, { 2, 5, 7, 300 }, "max", "1" },
    { "N,H,W,C", 4, { 2, 5, 7, 300 }, "sum", "1,2" }, { "N,H,W,C", 4, { 2, 5, 7, 5 }, "sum", "1,2" }, { "3,5,7,64", 4, { 3, 5, 7, 64 }, "sum", "0,2" },
    { "6,70", 2, { 6, 70 }, "prod", "0" }, { "6,16", 2, { 6, 16 }, "min", "0" }, { "4,5,6,1", 4, { 4, 5, 6, 1 }, "sum", "0,1" },
};

static void check_case(Fix *f, size_t i, const char *cpu)
{
    const Case *c = &cases[i];
    IntVec axes = fix_ints(f, c->axes);
    Value *x = mk_add(&f->b, fix_input(f, DT_f32, c->dims), mk_scalar(&f->b, DT_f32, 1));
    Value *y = mk_mul(&f->b, mk_reduce_axes(&f->b, c->kind, x, axes.n, axes.v), mk_scalar(&f->b, DT_f32, 0.5));
    const Compiled how = { .what = arena_printf(f->a, "%s of %s", c->kind, c->dims), .cpu = cpu, .pipeline = "fuse,plan", .tolerance = 1e-6, .props = GP_LAID_OUT };
    compiled_check_value(f, &how, compiled_random(f->a, c->rank, c->size, 1 + (uint32_t)i), y);
}

static void with_and_without_masks(void **state) { (void)state; COMPILED_EACH(compiled_without_masks, cases, check_case); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(with_and_without_masks) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
