/* test_softmax.c -- compiled softmax against the evaluator: rows that do and do not fill the lanes, sizes known or not, along the last dim or another. */
#include "compiled.h"

static Tensor *numbers(Fix *f, DType t, const char *dims)
{
    IntVec d = fix_ints(f, dims);
    Tensor *r = tensor_new(f->a, t, d.n, d.v);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, (double)(i * 53 % 211) / 16 - 6);
    return r;
}

/* Something before it, and behind it something that reads another operand. */
static void check_softmax(DType t, const char *type, const char *dims, int axis, bool log_of)
{
    void *fix;
    fix_setup(&fix);
    Fix *f = fix;
    Builder *b = &f->b;
    Value *x = fix_input(f, t, type), *y = fix_input(f, t, type);
    Value *s = mk_softmax(b, IN(mk_mul(b, x, y)), (Attr_softmax){ .axis = axis, .log = log_of });
    compiled_return(f, IN(s, mk_add(b, mk_softmax(b, IN(mk_neg(b, x)), (Attr_softmax){ .axis = axis, .log = log_of }), y)));
    const Compiled how = { .what = arena_printf(f->a, "%s, axis %d", dims, axis), .tolerance = t == DT_f16 ? 4e-3 : 3e-6 };
    compiled_check(f, &how, 2, (const Tensor *const[]){ numbers(f, t, dims), numbers(f, t, dims) });
    fix_teardown(&fix);
}

static void rows_of_any_length(void **state)
{
    static const char *const dims[] = { "3,1", "3,7", "2,16", "3,24", "2,40", "1,33", "2,0" };
    (void)state;
    for (int i = 0; i < 7; i++) {
        check_softmax(DT_f32, "N,M", dims[i], 1, i % 2);
        check_softmax(DT_f32, dims[i], dims[i], 1, i % 2 == 0);
    }
    check_softmax(DT_f16, "N,M", "3,27", 1, false);
    check_softmax(DT_f64, "N,21", "3,21", 1, false);
}

static void another_axis(void **state)
{
    (void)state;
    check_softmax(DT_f32, "N,M,K", "2,5,19", 1, false);
    check_softmax(DT_f32, "2,5,19", "2,5,19", 0, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rows_of_any_length), cmocka_unit_test(another_axis) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
