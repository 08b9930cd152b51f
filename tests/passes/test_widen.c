/* test_widen.c -- what a graph in half precision computes stays the same, to the bit, when it is computed in f32 and rounded; and the rounding is there. */
#include "../ops/op_fixture.h"

#include "pass.h"

static Tensor *ramp(Fix *f, DType t, const char *dims, double from, double step)
{
    IntVec d = fix_ints(f, dims);
    Tensor *r = tensor_new(f->a, t, d.n, d.v);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, from + step * (double)i);
    return r;
}

/* Elementwise ops, movement, a product and a sum whose terms are exact in f32. */
static Value *build_chain(Fix *f, DType t)
{
    Builder *b = &f->b;
    Value *x = fix_input(f, t, "N,8"), *w = fix_random(f, t, "8,8", 3);
    Value *y = mk_matmul(b, IN(x, w), (Attr_matmul){ 0 });
    y = mk_add(b, mk_relu(b, y), mk_k(b, y, 0.001));
    y = mk_transpose_perm(b, mk_mul(b, y, y), (int64_t[]){ 1, 0 });
    y = mk_div(b, y, mk_reduce_axes(b, "max", mk_abs(b, y), 1, (int64_t[]){ 0 }));
    return mk_softmax(b, IN(mk_where(b, mk_lt(b, y, mk_k(b, y, 0.5)), mk_exp(b, y), y)), (Attr_softmax){ .axis = 0 });
}

static void expect_same(Fix *f, DType t)
{
    Value *y = build_chain(f, t);
    const char *const names[] = { "y" };
    build_node(&f->b, OP_return, IN(y), &(Attr_return){ .names = { 1, names } }, 0);
    f->b.m->graph->props |= GP_TYPED;
    const Tensor *in[] = { ramp(f, t, "5,8", -2, 0.125) }, *before, *after;
    assert_true(eval_module(f->b.m, f->a, 1, in, &before));
    f->b.m->fuel = -1;
    assert_true(pass_run(f->b.m, "widen"));
    assert_true(pass_run(f->b.m, "dce"));
    FOR_EACH_NODE(n, f->b.m->graph)
        if (t == DT_bf16 && (n->op == OP_matmul || n->op == OP_transpose))
            assert_int_equal(node_in(n, 0)->type.dtype, t);             /* multiplied and moved as it is */
        else if (n->op != OP_cast && n->op != OP_input && n->op != OP_constant && n->op != OP_return && n->op != OP_where)
            assert_int_not_equal(node_in(n, 0)->type.dtype, t);
    assert_true(eval_module(f->b.m, f->a, 1, in, &after));
    assert_int_equal(after->dtype, t);
    assert_memory_equal(after->data, before->data, tensor_bytes(before));
}

static void half_is_the_same(void **state) { expect_same(*state, DT_f16); }
static void brain_float_is_the_same(void **state) { expect_same(*state, DT_bf16); }

/* 2048 + 1 is 2048 in f16, so the two ones vanish one by one; their sum would not. */
static void every_op_rounds(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f16, "1");
    Value *y = mk_add(b, mk_add(b, x, mk_k(b, x, 1)), mk_k(b, x, 1));
    const char *const names[] = { "y" };
    build_node(b, OP_return, IN(y), &(Attr_return){ .names = { 1, names } }, 0);
    b->m->graph->props |= GP_TYPED;
    b->m->fuel = -1;
    assert_true(pass_run(b->m, "widen"));
    const Tensor *in[] = { ramp(f, DT_f16, "1", 2048, 0) }, *out;
    assert_true(eval_module(b->m, f->a, 1, in, &out));
    expect_numbers(f, out, DT_f16, "1", NUMBERS(2048), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { FIX_TEST(half_is_the_same), FIX_TEST(brain_float_is_the_same), FIX_TEST(every_op_rounds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
