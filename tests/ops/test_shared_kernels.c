/* test_shared_kernels.c -- the irregular kernels that share their work give, unit by unit and in any order, what they give alone. */
#include "op_fixture.h"

#include "kernel_args.h"
#include "scratch.h"

/* Every unit by itself, the last one first. */
static void one_by_one(void *pool, KTask *task, void *arg, int64_t units)
{
    ++*(int *)pool;
    for (int64_t i = units - 1; i >= 0; i--)
        task(arg, i, i + 1);
}

static KTensor kernel_tensor(Fix *f, const Tensor *t)
{
    return (KTensor){ (void *)(uintptr_t)t->data, dtype_table[t->dtype].onnx, t->rank, arena_copy(f->a, t->dim, sizeof *t->dim * (size_t)t->rank) };
}

/* The kernel of a node whose operands are constants; *regions: how often it shared. */
static int32_t run_shared(Fix *f, const Node *n, Tensor *result, int *regions)
{
    KTensor in[4], out = kernel_tensor(f, result);
    DimVec w = kernel_attr_words(f->b.m, f->a, n);
    int64_t *attr = ARENA_ARRAY(f->a, int64_t, w.n + 1);
    for (int i = 0; i < w.n; i++)
        attr[i] = w.v[i]->k;
    for (int i = 0; i < n->nin; i++)
        in[i] = kernel_tensor(f, tensor_dense(f->a, value_constant(node_in(n, i))));
    KCall c = { .in = in, .out = &out, .attr = attr, .nin = n->nin, .nout = 1, .share = one_by_one, .pool = regions };
    c.scratch = arena_alloc(f->a, (size_t)node_scratch_bytes(f->b.m, n)->k + 64);
    return kernel_function(n->op)(&c);
}

static void expect_shared(Fix *f, Value *v, int regions)
{
    int shared = 0;
    const Tensor *alone = fix_eval(f, v);
    if (!alone)
        fail_msg("%s", f->d.all);
    Tensor *result = tensor_new(f->a, alone->dtype, alone->rank, alone->dim);
    assert_int_equal(run_shared(f, v->def, result, &shared), K_OK);
    assert_int_equal(shared, regions);
    assert_memory_equal(result->data, alone->data, tensor_bytes(alone));
}

static Attr_resize resize_to(Fix *f, const char *shape, const char *mode)
{
    return (Attr_resize){ .shape = fix_dims(f, shape), .mode = mode, .coord = "half_pixel", .nearest = "floor", .cubic_a = -0.75 };
}

static void test_resize(void **state)
{
    Fix *f = *state;
    Value *x = fix_random(f, DT_f32, "2,3,40,50", 1), *small = fix_random(f, DT_f32, "1,1,4,4", 2);
    expect_shared(f, mk_resize(&f->b, IN(x), resize_to(f, "2,3,80,75", "nearest")), 1);
    expect_shared(f, mk_resize(&f->b, IN(x), resize_to(f, "2,3,80,75", "linear")), 1);
    expect_shared(f, mk_resize(&f->b, IN(x), resize_to(f, "2,3,80,75", "cubic")), 2);           /* one axis after the other */
    expect_shared(f, mk_resize(&f->b, IN(small), resize_to(f, "1,1,8,8", "linear")), 0);
}

static void test_grid_sample(void **state)
{
    Fix *f = *state;
    Value *x = fix_random(f, DT_f32, "2,3,8,9", 1), *grid = fix_random(f, DT_f32, "2,20,30,2", 2);
    expect_shared(f, mk_grid_sample(&f->b, IN(x, grid), (Attr_grid_sample){ "linear", "border", true, 0 }), 1);
}

static void test_gather(void **state)
{
    Fix *f = *state;
    double index[512];
    int shared = 0;
    for (int i = 0; i < 512; i++)
        index[i] = i * 7 % 100 - 40;
    Value *table = fix_random(f, DT_f32, "5,100,64", 3), *ix = fix_constant(f, DT_i64, "512", index);
    expect_shared(f, mk_gather(&f->b, IN(table, ix), (Attr_gather){ 1, 0 }), 1);
    index[300] = 100;
    Value *wrong = mk_gather(&f->b, IN(table, fix_constant(f, DT_i64, "512", index)), (Attr_gather){ 1, 0 });
    Tensor *result = tensor_new(f->a, DT_f32, 3, (int64_t[]){ 5, 512, 64 });
    assert_int_equal(run_shared(f, wrong->def, result, &shared), K_INDEX_RANGE);
    assert_int_equal(shared, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { FIX_TEST(test_resize), FIX_TEST(test_grid_sample), FIX_TEST(test_gather) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
