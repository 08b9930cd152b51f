/* test_map.c -- compiled movement and broadcasting against the evaluator, where sizes are known to the run only. */
#include "compiled.h"

static Tensor *ramp(Fix *f, const char *dims)
{
    IntVec d = fix_ints(f, dims);
    Tensor *r = tensor_new(f->a, DT_f32, d.n, d.v);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, (double)(i * 37 % 101) / 16 - 3);
    return r;
}

/* y's columns are one or as many as x's, which only the run says: in an elementwise kernel, before a reduction, and behind movement. */
static void build_broadcast(Fix *f)
{
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,M"), *y = fix_input(f, DT_f32, "N,K");
    Value *sum = mk_add(b, x, y), *soft = mk_softmax(b, IN(mk_where(b, mk_lt(b, y, mk_k(b, y, 0)), mk_mul(b, x, y), x)), (Attr_softmax){ .axis = 1 });
    Value *moved = mk_add(b, mk_transpose_perm(b, x, (int64_t[]){ 1, 0 }), mk_transpose_perm(b, y, (int64_t[]){ 1, 0 }));
    compiled_return(f, IN(sum, soft, moved));
}

static const struct { const char *x, *y; } sizes[] = { { "5,37", "5,1" }, { "5,37", "5,37" }, { "1,16", "1,1" }, { "3,1", "3,1" }, { "20,24", "20,24" } };

static void check_broadcast(Fix *f, size_t i, const char *cpu)
{
    build_broadcast(f);
    const Compiled how = { .what = sizes[i].y, .cpu = cpu, .tolerance = 1e-6 };
    compiled_check(f, &how, 2, (const Tensor *const[]){ ramp(f, sizes[i].x), ramp(f, sizes[i].y) });
}

static void size_one_at_run_time(void **state) { (void)state; COMPILED_EACH(compiled_here, sizes, check_broadcast); }

/* Groups of dims with equal products, sizes of 1, and what has no common factor. */
static void reshapes(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,M,6,4");
    DimVec heads = fix_dims(f, "N,M,2,12"), flat = fix_dims(f, "N,24*M,1,1"), ones = fix_dims(f, "1,N,1,M,24");
    Value *out[4] = {
        mk_transpose_perm(b, mk_reshape_to(b, x, 4, heads.v), (int64_t[]){ 0, 2, 1, 3 }),
        mk_transpose_perm(b, mk_reshape_to(b, x, 4, flat.v), (int64_t[]){ 1, 0, 2, 3 }),
        mk_transpose_perm(b, mk_reshape_to(b, x, 5, ones.v), (int64_t[]){ 4, 3, 2, 1, 0 }),
        mk_transpose_perm(b, mk_reshape_to(b, mk_transpose_perm(b, x, (int64_t[]){ 0, 2, 1, 3 }), 4, fix_dims(f, "N,3,2*M,4").v), (int64_t[]){ 0, 3, 2, 1 }),
    };
    compiled_return(f, (Inputs){ 4, out });
    compiled_check(f, &(Compiled){ .what = "reshapes" }, 1, (const Tensor *const[]){ ramp(f, "3,5,6,4") });
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(size_one_at_run_time), FIX_TEST(reshapes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
