/* test_rows.c -- matrix products whose number of rows only the run knows: whole tiles, a tile that repeats its last row, tiles of 4 and fewer. */
#include "compiled.h"

static Tensor *numbers(Fix *f, const char *dims, int seed)
{
    IntVec d = fix_ints(f, dims);
    Tensor *r = tensor_new(f->a, DT_f32, d.n, d.v);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, (double)((i + seed) * 37 % 101) / 64 - 0.75);
    return r;
}

static const int rows[] = { 1, 2, 3, 5, 8, 9, 10, 13, 14, 15, 19, 24, 28, 0 };

/* Columns that fill no panel, a residual that the result may be written over, and an epilogue that looks at the row. */
static void check_rows(Fix *f, size_t i, const char *cpu)
{
    int n = rows[i];
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,24"), *r = fix_input(f, DT_f32, "N,37"), *scale = fix_input(f, DT_f32, "N,1");
    Value *w = mk_tensor(b, numbers(f, "24,37", 5)), *square = mk_tensor(b, numbers(f, "37,37", 9));
    Value *y = mk_add(b, mk_relu(b, mk_matmul(b, IN(x, w), (Attr_matmul){ 0 })), mk_exp(b, r));
    Value *z = mk_mul(b, mk_matmul(b, IN(y, square), (Attr_matmul){ 0 }), scale);
    compiled_return(f, IN(z));
    const Tensor *in[] = { numbers(f, arena_printf(f->a, "%d,24", n), 1), numbers(f, arena_printf(f->a, "%d,37", n), 2), numbers(f, arena_printf(f->a, "%d,1", n), 3) };
    compiled_check(f, &(Compiled){ .what = arena_printf(f->a, "%d rows", n), .cpu = cpu, .tolerance = 1e-5 }, 3, in);
}

static void any_number_of_rows(void **state) { (void)state; COMPILED_EACH(compiled_here, rows, check_rows); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(any_number_of_rows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
