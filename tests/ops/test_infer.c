/* test_infer.c -- result types, symbolic sizes, tracked contents and error sentences of every structural op. */
#include "op_fixture.h"

static IntVec I(Fix *f, const char *s) { return fix_ints(f, s); }
static DimVec D(Fix *f, const char *s) { return fix_dims(f, s); }

/* ---- elementwise ---- */

static void test_elementwise(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,1,4"), *y = fix_input(f, DT_f32, "3,1");
    expect_type(f, mk_add(b, x, y), "f32[N,3,4]");
    expect_type(f, mk_lt(b, x, y), "bool[N,3,4]");
    expect_type(f, mk_where(b, mk_lt(b, x, y), x, mk_k(b, x, 0)), "f32[N,3,4]");
    expect_type(f, mk_add(b, fix_input(f, DT_f32, "N"), fix_input(f, DT_f32, "M")), "f32[bcast(N,M)]");
    expect_type(f, mk_cast(b, IN(x), (Attr_cast){ .to = DT_i8 }), "i8[N,1,4]");
    expect_error(f, mk_add(b, x, fix_input(f, DT_f32, "3,5")), "do not broadcast");
}

static void test_elementwise_dtypes(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "2"), *k = fix_input(f, DT_i32, "2");
    expect_error(f, mk_add(b, x, k), "add: operand 0 is f32 but operand 1 is i32");
    expect_error(f, mk_exp(b, k), "exp: operand 0 is i32, floats are needed");
    expect_error(f, mk_where(b, x, x, x), "where: the condition is f32, bool is needed");
    expect_error(f, mk_bitcast(b, IN(x), (Attr_bitcast){ .to = DT_i64 }), "differ in width");
    expect_type(f, mk_bitcast(b, IN(x), (Attr_bitcast){ .to = DT_u32 }), "u32[2]");
}

/* ---- movement ---- */

static void test_reshape_transpose_expand(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,3,4");
    expect_type(f, mk_reshape(b, IN(x), (Attr_reshape){ .shape = D(f, "N,12") }), "f32[N,12]");
    expect_type(f, mk_transpose(b, IN(x), (Attr_transpose){ .perm = I(f, "2,0,1") }), "f32[4,N,3]");
    expect_type(f, mk_expand(b, IN(fix_input(f, DT_f32, "3,1")), (Attr_expand){ .shape = D(f, "N,3,5") }), "f32[N,3,5]");
    expect_type(f, mk_expand(b, IN(fix_input(f, DT_f32, "4")), (Attr_expand){ .shape = D(f, "3,4") }), "f32[3,4]");
    expect_error(f, mk_expand(b, IN(fix_input(f, DT_f32, "3")), (Attr_expand){ .shape = D(f, "3,4") }), "f32[3] does not broadcast to f32[3,4]");
    expect_error(f, mk_reshape(b, IN(fix_input(f, DT_f32, "2,3")), (Attr_reshape){ .shape = D(f, "7") }), "f32[2,3] has 6 elements, f32[7] has 7");
    expect_error(f, mk_transpose(b, IN(x), (Attr_transpose){ .perm = I(f, "0,0,1") }), "perm is not a permutation of the 3 axes");
    expect_error(f, mk_expand(b, IN(fix_input(f, DT_f32, "3")), (Attr_expand){ .shape = D(f, "4") }), "f32[3] does not broadcast to f32[4]");
}

static void test_slice_pad_concat(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,6");
    expect_type(f, mk_slice(b, IN(x), (Attr_slice){ .starts = D(f, "0,5"), .sizes = D(f, "N-1,3"), .steps = I(f, "1,-2") }), "f32[N-1,3]");
    expect_error(f, mk_slice(b, IN(x), (Attr_slice){ .starts = D(f, "0,4"), .sizes = D(f, "N,3"), .steps = I(f, "1,1") }),
                 "slice: axis 1 takes 3 elements from 4 in steps of 1, its size is 6");
    expect_type(f, mk_pad(b, IN(x), (Attr_pad){ .before = D(f, "1,-2"), .after = D(f, "M,0"), .mode = "edge" }), "f32[N+M+1,4]");
    expect_error(f, mk_pad(b, IN(x), (Attr_pad){ .before = D(f, "1,2"), .after = D(f, "0,0"), .mode = "mirror" }), "mode \"mirror\" is not known");
    expect_type(f, mk_concat(b, IN(x, fix_input(f, DT_f32, "M,6")), (Attr_concat){ .axis = 0 }), "f32[N+M,6]");
    expect_error(f, mk_concat(b, IN(x, fix_input(f, DT_f32, "M,5")), (Attr_concat){ .axis = 0 }), "only axis 0 may differ");
    expect_error(f, mk_concat(b, IN(x, x), (Attr_concat){ .axis = 2 }), "axis 2 is not an axis of a tensor of rank 2");
}

static void test_gather_scatter(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "5,N,7"), *ix = fix_input(f, DT_i64, "2,K");
    expect_type(f, mk_gather(b, IN(x, ix), (Attr_gather){ .axis = 1 }), "f32[5,2,K,7]");
    expect_error(f, mk_gather(b, IN(x, x), (Attr_gather){ .axis = 1 }), "indices are f32, i64 or i32 is needed");
    Value *ex = fix_input(f, DT_i32, "5,K,7");
    expect_type(f, mk_gather_elements(b, IN(x, ex), (Attr_gather_elements){ .axis = 1 }), "f32[5,K,7]");
    expect_error(f, mk_gather_elements(b, IN(x, ix), (Attr_gather_elements){ .axis = 1 }), "indices have rank 2, the data has rank 3");
    Value *nd = fix_input(f, DT_i64, "K,2");
    expect_type(f, mk_gather_nd(b, IN(x, nd), (Attr_gather_nd){ .batch_dims = 0 }), "f32[K,7]");
    expect_error(f, mk_gather_nd(b, IN(x, ix), (Attr_gather_nd){ .batch_dims = 0 }), "a constant is needed");
    expect_type(f, mk_scatter_nd(b, IN(x, nd, fix_input(f, DT_f32, "K,7")), (Attr_scatter_nd){ .reduction = "add" }), "f32[5,N,7]");
    expect_error(f, mk_scatter_nd(b, IN(x, nd, fix_input(f, DT_f32, "K,8")), (Attr_scatter_nd){ .reduction = "add" }), "has size 8, 7 is needed");
    expect_type(f, mk_scatter_elements(b, IN(x, ex, fix_input(f, DT_f32, "5,K,7")), (Attr_scatter_elements){ .axis = 1, .reduction = "none" }),
                "f32[5,N,7]");
}

/* ---- contraction and windows ---- */

static void test_matmul(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,1,4,K");
    expect_type(f, mk_matmul(b, IN(x, fix_input(f, DT_f32, "3,K,5")), (Attr_matmul){ 0 }), "f32[N,3,4,5]");
    expect_error(f, mk_matmul(b, IN(fix_input(f, DT_f32, "4,3"), fix_input(f, DT_f32, "5,2")), (Attr_matmul){ 0 }),
                 "matmul: f32[4,3] has rows of 3 elements, f32[5,2] has columns of 5");
}

static Attr_conv conv_attrs(Fix *f, const char *strides, const char *dilations, const char *pads, int64_t group)
{
    return (Attr_conv){ .strides = I(f, strides), .dilations = I(f, dilations), .pads = I(f, pads), .group = group };
}

static void test_conv(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,4,H,224"), *w = fix_input(f, DT_f32, "8,4,3,7");
    expect_type(f, mk_conv(b, IN(x, w), conv_attrs(f, "1,2", "1,1", "1,3,1,3", 1)), "f32[N,8,H,112]");
    expect_type(f, mk_conv(b, IN(x, w), conv_attrs(f, "2,1", "1,1", "1,0,1,0", 1)), "f32[N,8,div(H-1,2)+1,218]");
    expect_type(f, mk_conv(b, IN(x, w), conv_attrs(f, "1,1", "2,3", "0,0,0,0", 1)), "f32[N,8,H-4,206]");
    Attr_conv last = conv_attrs(f, "1,1", "1,1", "0,0,0,0", 1);
    last.channels_last = true;
    expect_type(f, mk_conv(b, IN(fix_input(f, DT_f32, "N,9,9,4"), w), last), "f32[N,7,3,8]");
    expect_error(f, mk_conv(b, IN(x, w), conv_attrs(f, "1,1", "1,1", "0,0,0,0", 2)), "conv: input has 4 channels, weight expects 8");
    expect_error(f, mk_conv(b, IN(fix_input(f, DT_f32, "1,4,2,9"), w), conv_attrs(f, "1,1", "1,1", "0,0,0,0", 1)),
                 "the window is 1 elements larger than the padded input along spatial axis 0");
    expect_error(f, mk_conv(b, IN(x, w), conv_attrs(f, "1", "1,1", "0,0,0,0", 1)), "strides has 1 entries, 2 are needed for 2 spatial axes");
    expect_error(f, mk_conv(b, IN(x, w, fix_input(f, DT_f32, "9")), conv_attrs(f, "1,1", "1,1", "0,0,0,0", 1)),
                 "bias is f32[9], the result has 8 channels");
}

static void test_conv_transpose(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,6,H,5"), *w = fix_input(f, DT_f32, "6,2,3,4");
    Attr_conv_transpose a = { .strides = I(f, "2,3"), .dilations = I(f, "1,1"), .pads = I(f, "1,0,1,0"), .output_padding = I(f, "1,0"), .group = 3 };
    expect_type(f, mk_conv_transpose(b, IN(x, w), a), "f32[N,6,2*H,16]");
    expect_error(f, mk_conv_transpose(b, IN(x, fix_input(f, DT_f32, "5,2,3,4")), a), "input has 6 channels, weight expects 5");
}

static void test_pool(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,3,32,H");
    Attr_pool a = { .kind = "max", .kernel = I(f, "3,3"), .strides = I(f, "2,2"), .dilations = I(f, "1,1"), .pads = I(f, "0,0,0,0") };
    expect_type(f, mk_pool(b, IN(x), a), "f32[N,3,15,div(H-3,2)+1]");
    a.ceil = true;
    expect_type(f, mk_pool(b, IN(fix_input(f, DT_f32, "1,1,4,4")), a), "f32[1,1,2,2]");
    a.kernel = I(f, "1,1");
    expect_type(f, mk_pool(b, IN(fix_input(f, DT_f32, "1,1,2,2")), a), "f32[1,1,1,1]");
    a.kind = "median";
    expect_error(f, mk_pool(b, IN(x), a), "kind \"median\" is not known");
    Attr_max_pool_indices m = { .kernel = I(f, "2,2"), .strides = I(f, "2,2"), .dilations = I(f, "1,1"), .pads = I(f, "0,0,0,0") };
    Node *n = build_node(b, OP_max_pool_indices, IN(fix_input(f, DT_f32, "1,3,6,8")), &m, -1);
    expect_type(f, &n->out[0], "f32[1,3,3,4]");
    expect_type(f, &n->out[1], "i64[1,3,3,4]");
}

/* ---- reductions, irregular ---- */

static void test_reductions(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,3,4");
    expect_type(f, mk_reduce(b, IN(x), (Attr_reduce){ .kind = "sum", .axes = I(f, "0,2") }), "f32[1,3,1]");
    expect_error(f, mk_reduce(b, IN(x), (Attr_reduce){ .kind = "sum", .axes = I(f, "2,0") }), "not in rising order");
    expect_type(f, mk_arg_reduce(b, IN(x), (Attr_arg_reduce){ .kind = "max", .axis = 1 }), "i64[N,1,4]");
    expect_type(f, mk_softmax(b, IN(x), (Attr_softmax){ .axis = 2 }), "f32[N,3,4]");
    expect_error(f, mk_softmax(b, IN(fix_input(f, DT_i32, "3")), (Attr_softmax){ .axis = 0 }), "softmax: of i32 is not supported");
    expect_type(f, mk_cumulate(b, IN(x), (Attr_cumulate){ .kind = "sum", .axis = 2 }), "f32[N,3,4]");
}

static void test_irregular(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,3,4");
    Node *n = build_node(b, OP_topk, IN(x), &(Attr_topk){ .k = D(f, "2"), .axis = 1, .largest = true }, -1);
    expect_type(f, &n->out[0], "f32[N,2,4]");
    expect_type(f, &n->out[1], "i64[N,2,4]");
    expect_error(f, mk_topk(b, IN(x), (Attr_topk){ .k = D(f, "5"), .axis = 2 }), "k is 5 but axis 2 has only 4 elements");
    expect_type(f, mk_nonzero(b, IN(x), (Attr_nonzero){ .count = D(f, "C") }), "i64[3,C]");
    Attr_resize r = { .shape = D(f, "N,6,2*N"), .mode = "linear", .coord = "half_pixel" };
    expect_type(f, mk_resize(b, IN(x), r), "f32[N,6,2*N]");
    r.coord = "quarter_pixel";
    expect_error(f, mk_resize(b, IN(x), r), "coord \"quarter_pixel\" is not known");
    expect_type(f, mk_iota(b, IN_NONE, (Attr_iota){ .shape = D(f, "N,3"), .axis = 1, .dtype = DT_i32 }), "i32[N,3]");
}

/* ---- regions ---- */

static Graph *branch(Fix *f, double scale, bool wrong_shape)
{
    Graph *g = graph_new(f->b.m, f->b.g);
    Builder b = { .m = f->b.m, .g = g };
    Value *x = mk_input(&b, IN_NONE, (Attr_input){ .index = 0 });
    x->type = type_of_ints(f->b.m, DT_f32, 1, (int64_t[]){ 2 });
    Value *y = mk_mul(&b, x, mk_scalar(&b, DT_f32, scale));
    if (wrong_shape)
        y = mk_reshape_ints(&b, y, 2, (int64_t[]){ 1, 2 });
    build_node(&b, OP_return, IN(y), NULL, -1);
    return g;
}

static void test_if(void **state)
{
    Fix *f = *state;
    Value *c = fix_input(f, DT_bool, ""), *x = fix_input(f, DT_f32, "2");
    Attr_if a = { branch(f, 2, false), branch(f, 3, false), 0 };
    Node *n = build_node(&f->b, OP_if, IN(c, x), &a, 1);
    expect_type(f, node_out(n), "f32[2]");
    a.else_graph = branch(f, 3, true);
    expect_error(f, build_node(&f->b, OP_if, IN(c, x), &a, 1), "if: result 0 is f32[2] in one branch and f32[1,2] in the other");
    expect_error(f, build_node(&f->b, OP_if, IN(c), &a, 1), "then_graph has 1 inputs, 0 operands are given");
}

/* Types of a region follow the operands when these change. */
static void test_reinfer(void **state)
{
    Fix *f = *state;
    Value *x = fix_input(f, DT_f32, "2");
    Node *n = build_node(&f->b, OP_fused, IN(x), &(Attr_fused){ .body = branch(f, 2, false) }, 1);
    x->type = type_of_ints(f->b.m, DT_f32, 1, (int64_t[]){ 5 });
    assert_true(graph_infer(f->b.g));
    expect_type(f, node_out(n), "f32[5]");
}

/* ---- tracked contents ---- */

static void test_known_shape_chain(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *shape = mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = D(f, "N,8,H,W") });
    Value *n = mk_gather(b, IN(shape, mk_scalar(b, DT_i64, 0)), (Attr_gather){ .axis = 0 });
    expect_known(f, n, "N");
    Value *hw = mk_slice(b, IN(shape), (Attr_slice){ .starts = D(f, "2"), .sizes = D(f, "2"), .steps = I(f, "1") });
    expect_known(f, mk_mul(b, hw, mk_scalar(b, DT_i64, 2)), "2*H,2*W");
    expect_known(f, mk_slice(b, IN(shape), (Attr_slice){ .starts = D(f, "3"), .sizes = D(f, "4"), .steps = I(f, "-1") }), "W,H,8,N");
    Value *area = mk_reduce(b, IN(hw), (Attr_reduce){ .kind = "prod", .axes = I(f, "0") });
    expect_known(f, area, "H*W");
    Value *first = mk_reshape(b, IN(n), (Attr_reshape){ .shape = D(f, "1") });
    Value *cat = mk_concat(b, IN(first, mk_ints(b, 1, (int64_t[]){ -1 }), area), (Attr_concat){ .axis = 0 });
    expect_known(f, cat, "N,-1,H*W");
    expect_known(f, mk_gather(b, IN(shape, mk_ints(b, 2, (int64_t[]){ -1, 1 })), (Attr_gather){ .axis = 0 }), "W,8");
    expect_known(f, mk_cast(b, IN(mk_cast(b, IN(hw), (Attr_cast){ .to = DT_i32 })), (Attr_cast){ .to = DT_i64 }), "H,W");
}

static void test_known_arithmetic(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *n = mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = D(f, "N"), .scalar = true });
    Value *k2 = mk_scalar(b, DT_i64, 2), *minus = mk_scalar(b, DT_i64, -7);
    expect_known(f, mk_div(b, mk_add(b, n, k2), k2), "div(N,2)+1");
    assert_null(mk_div(b, mk_sub(b, n, k2), k2)->known);                    /* N-2 may be negative, where the op truncates */
    expect_known(f, mk_div(b, minus, k2), "-3");
    expect_known(f, mk_mod(b, minus, k2), "1");
    assert_null(mk_fmod(b, minus, k2)->known);
    expect_known(f, mk_eq(b, mk_sub(b, n, n), mk_scalar(b, DT_i64, 0)), "1");
    expect_known(f, mk_eq(b, n, mk_scalar(b, DT_i64, -1)), "0");            /* a size is never -1 */
    assert_null(mk_eq(b, n, k2)->known);
    Value *minus_one = mk_ints(b, 2, (int64_t[]){ -1, 4 });
    Value *is = mk_eq(b, minus_one, mk_scalar(b, DT_i64, -1));
    expect_known(f, mk_where(b, is, n, minus_one), "N,4");
    expect_known(f, mk_expand(b, IN(n), (Attr_expand){ .shape = D(f, "3") }), "N,N,N");
    expect_known(f, mk_max(b, mk_add(b, n, k2), k2), "N+2");
}

/* The 2-D detour that exporters take to turn pads around: reshape to [2,n], reverse, transpose, flatten. */
static void test_known_rank_two(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    Value *v = mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = D(f, "N,2,M,4") });
    Value *m = mk_reshape(b, IN(v), (Attr_reshape){ .shape = D(f, "2,2") });
    Value *t = mk_transpose(b, IN(m), (Attr_transpose){ .perm = I(f, "1,0") });
    expect_known(f, mk_reshape(b, IN(t), (Attr_reshape){ .shape = D(f, "4") }), "N,M,2,4");
    expect_known(f, mk_iota(b, IN_NONE, (Attr_iota){ .shape = D(f, "3"), .dtype = DT_i64 }), "0,1,2");
}

static void test_shape_ops(void **state)
{
    Fix *f = *state;
    Builder *b = &f->b;
    expect_type(f, mk_from_dims(b, IN_NONE, (Attr_from_dims){ .dims = D(f, "N,3") }), "i64[2]");
    expect_error(f, build_node(b, OP_check, IN_NONE, &(Attr_check){ .left = D(f, "N"), .right = D(f, "N+1"), .message = "sizes of a and b must agree" }, -1),
                 "sizes of a and b must agree (N against N+1)");
    expect_error(f, build_node(b, OP_bind, IN(fix_input(f, DT_f32, "2")), &(Attr_bind){ .syms = D(f, "A,B") }, -1), "sizes are f32, integers are needed");
    expect_error(f, build_node(b, OP_bind, IN(fix_input(f, DT_i64, "3")), &(Attr_bind){ .syms = D(f, "A,B") }, -1),
                 "2 symbols are given for 3 elements");
    assert_non_null(build_node(b, OP_bind, IN(fix_input(f, DT_i64, "2")), &(Attr_bind){ .syms = D(f, "A,B") }, -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIX_TEST(test_elementwise), FIX_TEST(test_elementwise_dtypes), FIX_TEST(test_reshape_transpose_expand), FIX_TEST(test_slice_pad_concat),
        FIX_TEST(test_gather_scatter), FIX_TEST(test_matmul), FIX_TEST(test_conv), FIX_TEST(test_conv_transpose), FIX_TEST(test_pool),
        FIX_TEST(test_reductions), FIX_TEST(test_irregular), FIX_TEST(test_if), FIX_TEST(test_reinfer), FIX_TEST(test_known_shape_chain),
        FIX_TEST(test_known_arithmetic), FIX_TEST(test_known_rank_two), FIX_TEST(test_shape_ops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
