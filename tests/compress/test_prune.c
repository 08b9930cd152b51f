/* test_prune.c -- dependency groups and removal, one small graph per kind of operator: what is left computes what the original computes with the removed
 * units masked, and the groups are the expected ones.
 */
#include "../ops/op_fixture.h"

#include "blocks.h"
#include "groups.h"
#include "importance.h"
#include "pass.h"
#include "select.h"

typedef struct Case {
    Fix *f;
    Value *x;                       /* the input */
    uint32_t seed;
} Case;

static Tensor *numbers(Case *c, const char *dims)
{
    IntVec d = fix_ints(c->f, dims);
    Tensor *t = tensor_new(c->f->a, DT_f32, d.n, d.v);
    for (int64_t i = 0; i < t->count; i++) {
        c->seed = c->seed * 1664525u + 1013904223u;
        tensor_set_f64(t, i, c->seed / 2147483648.0 - 1);
    }
    return t;
}

static Value *weight(Case *c, const char *dims) { return mk_tensor(&c->f->b, numbers(c, dims)); }

static Value *conv(Case *c, Value *x, const char *dims, int64_t group)
{
    IntVec d = fix_ints(c->f, dims), ones = fix_ints(c->f, "1,1"), pads = fix_ints(c->f, d.v[2] == 3 ? "1,1,1,1" : "0,0,0,0");
    Value *bias = mk_tensor(&c->f->b, numbers(c, arena_printf(c->f->a, "%d", (int)d.v[0])));
    return mk_conv(&c->f->b, IN(x, weight(c, dims), bias), (Attr_conv){ .strides = ones, .dilations = ones, .pads = pads, .group = group });
}

static Case start(void **state, const char *input)
{
    Case c = { .f = *state, .seed = 7 };
    c.x = fix_input(c.f, DT_f32, input);
    return c;
}

static const Tensor *evaluate(Case *c, Graph *g, const Tensor *x)
{
    Module own = *c->f->b.m;
    const Tensor *y = NULL;
    own.graph = g;
    if (!eval_module(&own, c->f->a, 1, &x, &y))
        fail_msg("%s", c->f->d.all);
    return tensor_dense(c->f->a, y);
}

static void same(const Tensor *a, const Tensor *b)
{
    assert_int_equal(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++)
        if (!(fabs(tensor_get_f64(a, i) - tensor_get_f64(b, i)) <= 1e-4 * (1 + fabs(tensor_get_f64(b, i)))))
            fail_msg("element %d is %g, masked it is %g", (int)i, tensor_get_f64(a, i), tensor_get_f64(b, i));
}

static Groups *finish(Case *c, Value *y, int groups, int units)
{
    Module *m = c->f->b.m;
    if (!y)
        fail_msg("no graph: %s", c->f->d.all);
    build_node(&c->f->b, OP_return, IN(y), &(Attr_return){ .names = { 0 } }, -1);
    m->graph->props = GP_TYPED;
    Groups *s = groups_find(c->f->a, m, m->graph, 0, NULL);
    assert_non_null(s);
    assert_int_equal(s->ngroups, groups);
    assert_int_equal(s->nunits, units);
    return s;
}

/* At half the units: the pruned graph against the masked one, and that the weights shrink and the result changes. */
static void check(Case *c, Value *y, const char *input, int groups, int units)
{
    Groups *s = finish(c, y, groups, units);
    Module *m = c->f->b.m;
    Graph *all = m->graph;
    bool *removed = select_units(s, importance_of_weights(s, IMP_l1), &(SelectOptions){ .fraction = 0.5, .round = 1 });
    const Keeps *k = groups_keeps(s, removed);
    assert_non_null(k);
    Graph *cut = prune_graph(m, all, k, NULL), *masked = prune_mask(m, all, k);
    if (!cut || !masked)
        fail_msg("%s", c->f->d.all);
    const Tensor *x = numbers(c, input), *got = evaluate(c, cut, x), *whole = evaluate(c, all, x);
    same(got, evaluate(c, masked, x));
    assert_true(cost_of(s, k).bytes < cost_of(s, NULL).bytes);
    assert_int_equal(got->count, whole->count);
    double apart = 0;
    for (int64_t i = 0; i < got->count; i++)
        apart = fmax(apart, fabs(tensor_get_f64(got, i) - tensor_get_f64(whole, i)));
    assert_true(apart > 1e-3);
}

#define B (&c.f->b)

static void test_chain(void **state)
{
    Case c = start(state, "N,3,6,6");
    Value *h = mk_relu(B, conv(&c, c.x, "8,3,3,3", 1));
    check(&c, conv(&c, h, "5,8,1,1", 1), "2,3,6,6", 1, 8);
}

static void test_residual(void **state)
{
    Case c = start(state, "1,3,6,6");
    Value *a = conv(&c, c.x, "8,3,3,3", 1), *b = conv(&c, mk_relu(B, a), "8,8,3,3", 1);
    check(&c, conv(&c, mk_add(B, a, b), "4,8,1,1", 1), "1,3,6,6", 1, 8);
}

static void test_concat_and_slice(void **state)
{
    Case c = start(state, "1,3,6,6");
    Value *a = conv(&c, c.x, "6,3,1,1", 1), *b = conv(&c, c.x, "4,3,3,3", 1);
    Value *j = mk_concat(B, IN(a, b), (Attr_concat){ .axis = 1 });
    Value *k = mk_slice_axis(B, j, 1, dim_const(B->m->dims, 2), dim_const(B->m->dims, 6));
    Value *y = mk_add(B, conv(&c, j, "3,10,1,1", 1), conv(&c, k, "3,6,1,1", 1));
    check(&c, y, "1,3,6,6", 2, 10);
}

static void test_depthwise(void **state)
{
    Case c = start(state, "1,3,6,6");
    Value *h = conv(&c, conv(&c, c.x, "8,3,1,1", 1), "8,1,3,3", 8);
    check(&c, conv(&c, h, "4,8,1,1", 1), "1,3,6,6", 1, 8);
}

/* Six groups: they go whole. */
static void test_grouped_whole(void **state)
{
    Case c = start(state, "1,3,6,6");
    Value *h = conv(&c, conv(&c, c.x, "12,3,1,1", 1), "18,2,3,3", 6);
    check(&c, conv(&c, h, "4,18,1,1", 1), "1,3,6,6", 1, 6);
}

/* Two groups of many channels: each loses the same ones. */
static void test_grouped_inner(void **state)
{
    Case c = start(state, "1,3,6,6");
    Value *h = conv(&c, conv(&c, c.x, "12,3,1,1", 1), "8,6,3,3", 2);
    check(&c, conv(&c, h, "4,8,1,1", 1), "1,3,6,6", 2, 10);
}

static void test_conv_transpose(void **state)
{
    Case c = start(state, "1,3,4,4");
    IntVec twos = fix_ints(c.f, "2,2"), ones = fix_ints(c.f, "1,1"), zeros = fix_ints(c.f, "0,0,0,0");
    Attr_conv_transpose t = { .strides = twos, .dilations = ones, .pads = zeros, .output_padding = fix_ints(c.f, "0,0"), .group = 1 };
    Value *h = mk_conv_transpose(B, IN(conv(&c, c.x, "6,3,1,1", 1), weight(&c, "6,8,2,2")), t);
    check(&c, conv(&c, h, "4,8,1,1", 1), "1,3,4,4", 2, 14);
}

static void test_shuffle(void **state)
{
    Case c = start(state, "1,3,4,4");
    Value *h = conv(&c, c.x, "8,3,1,1", 1);
    h = mk_reshape_ints(B, h, 5, (int64_t[]){ 1, 2, 4, 4, 4 });
    h = mk_transpose_perm(B, h, (int64_t[]){ 0, 2, 1, 3, 4 });
    h = mk_reshape_ints(B, h, 4, (int64_t[]){ 1, 8, 4, 4 });
    check(&c, conv(&c, h, "4,8,1,1", 1), "1,3,4,4", 1, 4);
}

static void test_flatten(void **state)
{
    Case c = start(state, "1,3,4,4");
    Value *h = mk_reshape_ints(B, conv(&c, c.x, "6,3,1,1", 1), 2, (int64_t[]){ 1, 96 });
    check(&c, mk_matmul(B, IN(h, weight(&c, "96,5")), (Attr_matmul){ 0 }), "1,3,4,4", 1, 6);
}

/* The channels that are padded go, too. */
static void test_pad(void **state)
{
    Case c = start(state, "1,3,4,4");
    DimVec none = fix_dims(c.f, "0,0,0,0"), two = fix_dims(c.f, "0,2,0,0");
    Value *h = mk_pad(B, IN(conv(&c, c.x, "4,3,1,1", 1)), (Attr_pad){ .before = two, .after = none, .mode = "constant" });
    h = mk_add(B, h, conv(&c, c.x, "6,3,1,1", 1));
    check(&c, conv(&c, h, "4,6,1,1", 1), "1,3,4,4", 1, 6);
}

static void test_squeeze_excite(void **state)
{
    Case c = start(state, "1,3,4,4");
    Value *h = conv(&c, c.x, "8,3,1,1", 1);
    Value *s = mk_reduce_axes(B, "sum", h, 2, (int64_t[]){ 2, 3 });
    s = mk_sigmoid(B, conv(&c, mk_relu(B, conv(&c, s, "4,8,1,1", 1)), "8,4,1,1", 1));
    check(&c, conv(&c, mk_mul(B, h, s), "4,8,1,1", 1), "1,3,4,4", 2, 12);
}

static void test_grid_sample(void **state)
{
    Case c = start(state, "1,3,4,4");
    Value *h = mk_grid_sample(B, IN(conv(&c, c.x, "8,3,1,1", 1), weight(&c, "1,5,6,2")), (Attr_grid_sample){ .mode = "linear", .padding = "zeros" });
    check(&c, conv(&c, h, "2,8,1,1", 1), "1,3,4,4", 1, 8);
}

/* Normalising over the width keeps it; over an image does not. */
static void test_norms(void **state)
{
    Case c = start(state, "1,3,4,4");
    Value *h = conv(&c, c.x, "8,3,1,1", 1), *w = conv(&c, h, "6,8,1,1", 1);
    h = mk_sub(B, w, mk_reduce_axes(B, "sum", w, 1, (int64_t[]){ 1 }));
    h = conv(&c, h, "4,6,1,1", 1);
    h = mk_sub(B, h, mk_reduce_axes(B, "sum", h, 2, (int64_t[]){ 2, 3 }));
    check(&c, conv(&c, h, "2,4,1,1", 1), "1,3,4,4", 2, 12);
}

static Value *heads(Case *c, Value *x, const int64_t *perm)
{
    Dim shape[] = { c->x->type.dim[0], dim_const(c->f->b.m->dims, 5), dim_const(c->f->b.m->dims, 4), dim_const(c->f->b.m->dims, 3) };
    return mk_transpose_perm(&c->f->b, mk_reshape_to(&c->f->b, x, 4, shape), perm);
}

static Value *attend(Case *c, Value *q, Value *k, Value *v)
{
    Builder *b = &c->f->b;
    Value *p = mk_softmax(b, IN(mk_matmul(b, IN(heads(c, q, (int64_t[]){ 0, 2, 1, 3 }), heads(c, k, (int64_t[]){ 0, 2, 3, 1 })), (Attr_matmul){ 0 })),
                          (Attr_softmax){ .axis = 3 });
    Value *y = mk_matmul(b, IN(p, heads(c, v, (int64_t[]){ 0, 2, 1, 3 })), (Attr_matmul){ 0 });
    Dim shape[] = { c->x->type.dim[0], dim_const(b->m->dims, 5), dim_const(b->m->dims, 12) };
    y = mk_reshape_to(b, mk_transpose_perm(b, y, (int64_t[]){ 0, 2, 1, 3 }), 3, shape);
    return mk_matmul(b, IN(y, weight(c, "12,8")), (Attr_matmul){ 0 });
}

static Value *project(Case *c, const char *dims) { return mk_matmul(&c->f->b, IN(c->x, weight(c, dims)), (Attr_matmul){ 0 }); }

static void test_separate_heads(void **state)
{
    Case c = start(state, "N,5,8");
    Value *q = project(&c, "8,12"), *k = project(&c, "8,12"), *v = project(&c, "8,12");
    check(&c, attend(&c, q, k, v), "2,5,8", 1, 4);
}

static void test_fused_heads(void **state)
{
    Case c = start(state, "N,5,8");
    Value *all = mk_add(B, project(&c, "8,36"), weight(&c, "36")), *part[3];
    for (int i = 0; i < 3; i++)
        part[i] = mk_slice_axis(B, all, 2, dim_const(B->m->dims, 12 * i), dim_const(B->m->dims, 12));
    check(&c, attend(&c, part[0], part[1], part[2]), "2,5,8", 1, 4);
}

/* Batch and heads in one axis of symbolic size, as [S, N, E] -> [S, N * H, D]. */
static void test_heads_in_the_batch(void **state)
{
    Case c = start(state, "5,N,8");
    Dim n = c.x->type.dim[1], shape[] = { dim_const(B->m->dims, 5), dim_mulk(B->m->dims, n, 4), dim_const(B->m->dims, 3) };
    Value *q = mk_transpose_perm(B, mk_reshape_to(B, project(&c, "8,12"), 3, shape), (int64_t[]){ 1, 0, 2 });
    Value *k = mk_transpose_perm(B, mk_reshape_to(B, project(&c, "8,12"), 3, shape), (int64_t[]){ 1, 2, 0 });
    Value *v = mk_transpose_perm(B, mk_reshape_to(B, project(&c, "8,12"), 3, shape), (int64_t[]){ 1, 0, 2 });
    Value *p = mk_softmax(B, IN(mk_matmul(B, IN(q, k), (Attr_matmul){ 0 })), (Attr_softmax){ .axis = 2 });
    Value *y = mk_transpose_perm(B, mk_matmul(B, IN(p, v), (Attr_matmul){ 0 }), (int64_t[]){ 1, 0, 2 });
    Dim flat[] = { shape[0], n, dim_const(B->m->dims, 12) };
    check(&c, mk_matmul(B, IN(mk_reshape_to(B, y, 3, flat), weight(&c, "12,8")), (Attr_matmul){ 0 }), "5,2,8", 1, 4);
}

/* Hidden units of recurrent layers, of both directions together: x [S,B,5] through `directions` of `hidden` units, then a product. */
static void check_recurrent(void **state, const char *cell, int gates, int directions)
{
    static const char *const activation[] = { "Sigmoid", "Tanh", "Tanh" };
    static const double zero[3];
    enum { HIDDEN = 6 };
    Case c = start(state, "3,2,5");
    int n = gates == 4 ? 3 : 2, width = directions * gates * HIDDEN;
    Value *wx = project(&c, arena_printf(c.f->a, "5,%d", width));
    Value *r = weight(&c, arena_printf(c.f->a, "%d,%d,%d", directions, HIDDEN, gates * HIDDEN));
    Attr_recurrent a = { .cell = cell, .activations = { n, (const char **)(uintptr_t)activation }, .alpha = { n, (double *)(uintptr_t)zero }, .beta = { n, (double *)(uintptr_t)zero } };
    Value *y = node_out(build_node(B, OP_recurrent, IN(wx, r), &a, gates == 4 ? 3 : 2));
    y = mk_transpose_perm(B, y, (int64_t[]){ 0, 2, 1, 3 });
    y = mk_reshape_ints(B, y, 3, (int64_t[]){ 3, 2, directions * HIDDEN });
    check(&c, mk_matmul(B, IN(y, weight(&c, arena_printf(c.f->a, "%d,4", directions * HIDDEN))), (Attr_matmul){ 0 }), "3,2,5", 1, HIDDEN);
}

static void test_lstm(void **state) { check_recurrent(state, "lstm", 4, 1); }
static void test_gru_both_ways(void **state) { check_recurrent(state, "gru", 3, 2); }

/* What nobody may prune is named. */
static void test_refusals(void **state)
{
    Case c = start(state, "1,3,4,4");
    Groups *s = finish(&c, mk_softmax(B, IN(conv(&c, c.x, "4,3,1,1", 1)), (Attr_softmax){ .axis = 1 }), 0, 0);
    assert_int_equal(s->nrefused, 1);
    assert_non_null(strstr(s->refused[0].reason, "normalised over by"));
}

static void test_keep_and_empty(void **state)
{
    Case c = start(state, "1,3,4,4");
    Value *h = conv(&c, c.x, "4,3,1,1", 1);
    h->name = "h";
    Groups *s = finish(&c, conv(&c, h, "2,4,1,1", 1), 1, 4);
    assert_null(groups_keeps(s, (bool[]){ true, true, true, true }));
    assert_non_null(strstr(c.f->d.all, "all channels would be removed"));
    assert_int_equal(groups_find(c.f->a, c.f->b.m, c.f->b.m->graph, 1, (const char *[]){ "h" })->ngroups, 0);
    assert_null(groups_find(c.f->a, c.f->b.m, c.f->b.m->graph, 1, (const char *[]){ "nobody" }));
}

/* What two prunings leave is what one leaves that removes all of it, and the composed keep-lists and map say so. */
static void test_two_steps(void **state)
{
    Case c = start(state, "1,3,4,4");
    Value *h = conv(&c, c.x, "8,3,1,1", 1);
    Groups *s = finish(&c, conv(&c, h, "4,8,1,1", 1), 1, 8);
    Module *m = c.f->b.m;
    Graph *all = m->graph;
    Keeps keeps = { ptrmap_new(c.f->a) };
    PtrMap map = ptrmap_new(c.f->a), step = ptrmap_new(c.f->a);
    const Keeps *k = groups_keeps(s, (bool[]){ true, false, false, true, false, false, false, false });
    Graph *once = prune_graph(m, all, k, &step);
    prune_compose(all, &keeps, &map, k, &step);
    Groups *left = groups_find(c.f->a, m, once, 0, NULL);
    k = groups_keeps(left, (bool[]){ false, true, false, false, false, true });
    step = ptrmap_new(c.f->a);
    Graph *twice = prune_graph(m, once, k, &step);
    prune_compose(all, &keeps, &map, k, &step);
    const AxisKeep *kept = keeps_of_value(&keeps, h);
    const bool want[] = { false, true, false, false, true, true, true, false };
    assert_int_equal(kept[1].period, 8);
    assert_memory_equal(kept[1].keep, want, sizeof want);
    const Tensor *x = numbers(&c, "1,3,4,4");
    same(evaluate(&c, twice, x), evaluate(&c, prune_graph(m, all, &keeps, NULL), x));
    Value *now = (Value *)ptrmap_get(&map, h, 0);
    assert_ptr_equal(now->def->graph, twice);
    assert_int_equal(now->type.dim[1]->k, 4);
}

/* A block of two convolutions, and one whose shortcut is a convolution of its own; the second sum is no block. */
static void test_blocks(void **state)
{
    Case c = start(state, "1,4,4,4");
    Value *x = mk_relu(B, conv(&c, c.x, "4,4,1,1", 1));
    Value *f = conv(&c, mk_relu(B, conv(&c, x, "6,4,3,3", 1)), "4,6,1,1", 1);
    Value *y = mk_relu(B, mk_add(B, f, x));
    Value *z = mk_add(B, conv(&c, y, "5,4,1,1", 1), conv(&c, y, "5,4,3,3", 1));
    finish(&c, z, 2, 10);
    Module *m = c.f->b.m;
    Blocks *b = blocks_find(c.f->a, m, m->graph, 0, NULL);
    assert_int_equal(b->n, 1);
    assert_int_equal(b->nrefused, 1);
    assert_ptr_equal(b->block[0].last, f->def);
    assert_true(b->block[0].cost.macs == 16 * (4 * 9 * 6 + 6 * 4));
    assert_true(blocks_score(b, IMP_l1, NULL) && b->block[0].score > 0);
    PtrMap map = ptrmap_new(c.f->a);
    Graph *less = blocks_remove(b, (bool[]){ true }, &map), *masked = blocks_mask(b, (bool[]){ true });
    const Tensor *in = numbers(&c, "1,4,4,4");
    same(evaluate(&c, less, in), evaluate(&c, masked, in));
    assert_true(cost_of_graph(less, NULL).macs == cost_of_graph(m->graph, NULL).macs - b->block[0].cost.macs);
    assert_true(cost_of_graph(less, NULL).bytes < cost_of_graph(m->graph, NULL).bytes);
    assert_int_equal(ptrmap_get(&map, f, 7), 7);
    assert_ptr_equal(ptrmap_get(&map, node_in(y->def, 0), 0), ptrmap_get(&map, x, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_chain), TEST(test_residual), TEST(test_concat_and_slice), TEST(test_depthwise), TEST(test_grouped_whole), TEST(test_grouped_inner),
        TEST(test_conv_transpose), TEST(test_shuffle), TEST(test_flatten), TEST(test_pad), TEST(test_squeeze_excite), TEST(test_grid_sample), TEST(test_norms),
        TEST(test_separate_heads), TEST(test_fused_heads), TEST(test_heads_in_the_batch), TEST(test_lstm), TEST(test_gru_both_ways), TEST(test_refusals), TEST(test_keep_and_empty), TEST(test_two_steps), TEST(test_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
