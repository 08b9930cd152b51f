/* test_random_graphs.c -- every pass keeps what random graphs compute.
 *
 * A graph grows node by node: an op, operands among the values so far, attributes, all from one seed; what inference refuses is not there. It is
 * evaluated, then again after each pass; some seeds have other levels than -O2, or little fuel. INGOT_TEST_SEEDS=FROM,COUNT chooses the seeds; a
 * failing seed is named.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "build.h"
#include "eval.h"
#include "pass.h"

enum { VALUES = 48, INPUTS = 2, MAX_RESULTS = 4, MAX_ELEMENTS = 4096 };

typedef struct Maker {
    Builder b;
    uint32_t seed;
    int n;
    Value *v[VALUES];
} Maker;

static int pick(Maker *k, int n)
{
    k->seed = k->seed * 1664525 + 1013904223;
    return (int)((k->seed >> 12) % (uint32_t)n);
}

static Value *any(Maker *k) { return k->v[pick(k, k->n)]; }

static Tensor *random_tensor(Maker *k, int rank, const int64_t *dim)
{
    Tensor *t = tensor_new(k->b.m->arena, DT_f32, rank, dim);
    for (int64_t i = 0; i < t->count; i++)
        tensor_set_f64(t, i, (pick(k, 2001) - 1000) / 1500.0);
    return t;
}

static int64_t size_of(const Value *v, int axis) { return v->type.dim[axis]->k; }

static IntVec ints(Maker *k, int n, int64_t a, int64_t b)
{
    int64_t v[8];
    for (int i = 0; i < n; i++)
        v[i] = a + pick(k, (int)(b - a) + 1);
    return ints_copy(k->b.m, n, v);
}

/* ---- one node of each kind ---- */

typedef Value *MakeFn(Maker *k);

static Value *make_unary(Maker *k)
{
    static const OpCode ops[] = { OP_relu, OP_neg, OP_abs, OP_tanh, OP_sigmoid };
    return build_op(&k->b, ops[pick(k, 5)], IN(any(k)), NULL);
}

static Value *make_binary(Maker *k)
{
    static const OpCode ops[] = { OP_add, OP_sub, OP_mul, OP_max, OP_min };
    return build_op(&k->b, ops[pick(k, 5)], IN(any(k), any(k)), NULL);
}

/* With a number, or a constant along one axis. */
static Value *make_constant_operand(Maker *k)
{
    static const OpCode ops[] = { OP_add, OP_sub, OP_mul, OP_max, OP_div };
    Value *x = any(k), *c;
    int rank = x->type.rank, axis = pick(k, rank + 1);
    int64_t dim[MAX_RANK];
    for (int i = 0; i < rank; i++)
        dim[i] = i == axis ? size_of(x, i) : 1;
    OpCode op = ops[pick(k, 5)];
    c = op == OP_div || axis == rank ? mk_scalar(&k->b, DT_f32, 1 << pick(k, 3)) : mk_tensor(&k->b, random_tensor(k, rank, dim));
    return build_op(&k->b, op, IN(x, c), NULL);
}

static Value *make_conv(Maker *k)
{
    Value *x = any(k);
    int s = x->type.rank - 2;
    if (s < 1)
        return NULL;
    int64_t c = size_of(x, 1), group = pick(k, 3) || c % 2 ? 1 : 2, w[MAX_RANK] = { 2 * (1 + pick(k, 3)), c / group };
    for (int i = 0; i < s; i++)
        w[2 + i] = 1 + pick(k, 3);
    Attr_conv a = { .strides = ints(k, s, 1, 2), .dilations = ints(k, s, 1, 1), .pads = ints(k, 2 * s, 0, 1), .group = group };
    Value *bias = pick(k, 2) ? mk_tensor(&k->b, random_tensor(k, 1, w)) : NULL;
    return mk_conv(&k->b, IN(x, mk_tensor(&k->b, random_tensor(k, s + 2, w)), bias), a);
}

static Value *make_pool(Maker *k)
{
    Value *x = any(k);
    int s = x->type.rank - 2;
    if (s < 1)
        return NULL;
    Attr_pool a = { .kind = pick(k, 2) ? "max" : "avg", .kernel = ints(k, s, 2, 3), .strides = ints(k, s, 1, 2), .dilations = ints(k, s, 1, 1),
                    .pads = ints(k, 2 * s, 0, 1) };
    return mk_pool(&k->b, IN(x), a);
}

static Value *make_matmul(Maker *k)
{
    Value *x = any(k);
    int rank = x->type.rank;
    int64_t w[] = { rank < 2 ? 1 : size_of(x, rank - 1), 1 + pick(k, 6) };
    return rank < 2 ? NULL : mk_matmul(&k->b, IN(x, mk_tensor(&k->b, random_tensor(k, 2, w))), (Attr_matmul){ 0 });
}

static Value *make_transpose(Maker *k)
{
    Value *x = any(k);
    int rank = x->type.rank, far = pick(k, 3);
    int64_t perm[MAX_RANK];
    for (int i = 0; i < rank; i++)              /* to channels-last, back, or two axes exchanged */
        perm[i] = far == 0 ? (i == 0 ? 0 : i == rank - 1 ? 1 : i + 1) : far == 1 ? (i == 0 ? 0 : i == 1 ? rank - 1 : i - 1) : i;
    if (far == 2 && rank > 1) {
        int i = pick(k, rank), j = pick(k, rank);
        int64_t t = perm[i];
        perm[i] = perm[j], perm[j] = t;
    }
    return rank < 2 ? NULL : mk_transpose_perm(&k->b, x, perm);
}

/* Two neighbouring axes merged, or one split. */
static Value *make_reshape(Maker *k)
{
    Value *x = any(k);
    int rank = x->type.rank, axis = pick(k, rank), n = 0;
    int64_t dim[MAX_RANK + 1];
    bool split = pick(k, 2) && size_of(x, axis) % 2 == 0 && rank < 6;
    for (int i = 0; i < rank; i++) {
        if (split && i == axis) {
            dim[n++] = 2;
            dim[n++] = size_of(x, i) / 2;
        } else if (!split && i == axis && i + 1 < rank) {
            dim[n++] = size_of(x, i) * size_of(x, i + 1);
            i++;
        } else {
            dim[n++] = size_of(x, i);
        }
    }
    return mk_reshape_ints(&k->b, x, n, dim);
}

static Value *make_concat(Maker *k)
{
    Value *x = any(k), *y = pick(k, 3) ? any(k) : x;
    return mk_concat(&k->b, IN(x, y), (Attr_concat){ .axis = pick(k, x->type.rank) });
}

static Value *make_slice(Maker *k)
{
    Value *x = any(k);
    int64_t start[MAX_RANK], size[MAX_RANK], step[MAX_RANK];
    int rank = x->type.rank, axis = pick(k, rank);
    for (int i = 0; i < rank; i++) {
        bool cut = i == axis && size_of(x, i) > 1;
        step[i] = cut && pick(k, 2) ? 2 : 1;
        start[i] = cut ? 1 : 0;
        size[i] = cut ? (size_of(x, i) - 2) / step[i] + 1 : size_of(x, i);
    }
    Module *m = k->b.m;
    return mk_slice(&k->b, IN(x), (Attr_slice){ dims_of_ints(m, rank, start), dims_of_ints(m, rank, size), ints_copy(m, rank, step), 0 });
}

static Value *make_pad(Maker *k)
{
    static const char *const modes[] = { "constant", "constant", "edge" };
    Value *x = any(k);
    int64_t before[MAX_RANK] = { 0 }, after[MAX_RANK] = { 0 };
    int rank = x->type.rank, axis = pick(k, rank);
    before[axis] = pick(k, 2);
    after[axis] = pick(k, 2);
    return mk_pad(&k->b, IN(x), (Attr_pad){ dims_of_ints(k->b.m, rank, before), dims_of_ints(k->b.m, rank, after), modes[pick(k, 3)], 0 });
}

static Value *make_reduce(Maker *k)
{
    Value *x = any(k);
    int64_t axes[2] = { pick(k, x->type.rank), 0 };
    axes[1] = axes[0] + 1;
    return mk_reduce_axes(&k->b, pick(k, 2) ? "sum" : "max", x, axes[1] < x->type.rank ? 1 + pick(k, 2) : 1, axes);
}

static Value *make_softmax(Maker *k)
{
    Value *x = any(k);
    return mk_softmax(&k->b, IN(x), (Attr_softmax){ .axis = pick(k, x->type.rank) });
}

static Value *make_if(Maker *k)
{
    Value *x = any(k), *c = mk_lt(&k->b, mk_reduce_axes(&k->b, "sum", mk_reshape_ints(&k->b, x, 1, (int64_t[]){ type_count(&x->type) }), 1, (int64_t[]){ 0 }),
                                  mk_scalar(&k->b, DT_f32, 0.25));
    Graph *branch[2];
    for (int i = 0; i < 2; i++) {
        branch[i] = graph_new(k->b.m, k->b.g);
        Builder b = { k->b.m, branch[i], NULL, k->b.loc };
        Value *in = mk_input(&b, IN_NONE, (Attr_input){ 0 });
        in->type = x->type;
        Value *r = i ? mk_neg(&b, mk_tanh(&b, in)) : pick(k, 2) ? in : mk_add(&b, mk_abs(&b, in), in);
        node_new(branch[i], NULL, OP_return, 1, &r, NULL, -1, b.loc);
    }
    Node *n = node_new(k->b.g, NULL, OP_if, 2, (Value *[]){ c, x }, &(Attr_if){ branch[0], branch[1], 0 }, 1, k->b.loc);
    return n ? node_out(n) : NULL;
}

static MakeFn *const makers[] = { make_unary, make_unary, make_binary, make_binary, make_constant_operand, make_constant_operand, make_conv, make_conv,
                                  make_pool, make_matmul, make_transpose, make_transpose, make_reshape, make_concat, make_slice, make_pad, make_reduce,
                                  make_softmax, make_if };

/* ---- a graph ---- */

static void add_inputs(Maker *k, const Tensor **in)
{
    for (int i = 0; i < INPUTS; i++) {
        int64_t dim[4] = { 1 + pick(k, 2), 4, 3 + pick(k, 4), 3 + pick(k, 4) };
        int rank = 3 + pick(k, 2);
        in[i] = random_tensor(k, rank, dim);
        k->v[k->n] = mk_input(&k->b, IN_NONE, (Attr_input){ .index = i });
        k->v[k->n++]->type = type_of_ints(k->b.m, DT_f32, rank, dim);
    }
}

static void make_graph(Maker *k)
{
    int nodes = 4 + pick(k, 24);
    for (int tries = 0; tries < 300 && k->n < nodes + INPUTS; tries++) {
        Value *v = makers[pick(k, (int)(sizeof makers / sizeof *makers))](k);
        if (v && v->type.rank > 0 && type_count(&v->type) <= MAX_ELEMENTS)
            k->v[k->n++] = v;
    }
    Value *out[MAX_RESULTS];
    int n = 1 + pick(k, MAX_RESULTS);
    for (int i = 0; i < n; i++)
        out[i] = i ? any(k) : k->v[k->n - 1];
    node_new(k->b.g, NULL, OP_return, n, out, NULL, -1, k->b.loc);
    k->b.g->props |= GP_TYPED;
}

typedef struct Case {
    const Tensor *in[INPUTS], *want[MAX_RESULTS];
    int nout;
    const char *failed;
} Case;

static bool same(const Tensor *a, const Tensor *b)
{
    if (a->rank != b->rank || a->count != b->count)
        return false;
    for (int64_t i = 0; i < a->count; i++) {
        double x = tensor_get_f64(a, i), y = tensor_get_f64(b, i);
        if (!(fabs(x - y) <= 1e-3 + 1e-3 * fabs(x)) && !(isnan(x) && isnan(y)) && x != y)
            return false;
    }
    return true;
}

static void check_after(void *ctx, Module *m, const char *pass)
{
    Case *c = ctx;
    Arena *a = arena_new();
    const Tensor *out[MAX_RESULTS];
    bool ok = !c->failed && eval_module(m, a, INPUTS, c->in, out);
    for (int i = 0; ok && i < c->nout; i++)
        ok = same(c->want[i], out[i]);
    if (!ok && !c->failed)
        c->failed = pass;
    arena_free(a);
}

static bool try_seed(uint32_t seed)
{
    Arena *a = arena_new();
    Diag quiet, loud;
    diag_init(&quiet, a, NULL);
    diag_init(&loud, a, stderr);
    Module *m = module_new(a, &quiet, "random", "random");
    Maker k = { .b = { m, m->graph, NULL, { 0 } }, .seed = seed * 2654435761u + 1 };
    Case c = { .failed = NULL };
    add_inputs(&k, c.in);
    make_graph(&k);
    m->diag = &loud;
    c.nout = graph_return(m->graph)->nin;
    PassOptions opt = PASS_OPTIONS_DEFAULT;
    opt.verify = true;
    opt.fuel = seed % 3 ? -1 : (int64_t)seed % 40;           /* stopping anywhere must be as good */
    opt.level = seed % 5 ? 2 : seed % 4;
    opt.after = check_after;
    opt.after_ctx = &c;
    bool ok = graph_verify(m->graph) && eval_module(m, a, INPUTS, c.in, c.want) && passes_run(m, &opt) && !c.failed;
    if (!ok)
        print_error("seed %u fails%s%s\n", seed, c.failed ? " after " : "", c.failed ? c.failed : "");
    arena_free(a);
    return ok;
}

static void passes_keep_random_graphs(void **state)
{
    const char *given = getenv("INGOT_TEST_SEEDS");
    unsigned from = 0, count = 300;
    bool ok = true;
    (void)state;
    if (given)
        sscanf(given, "%u,%u", &from, &count);
    for (unsigned i = from; i < from + count; i++)
        ok &= try_seed(i);
    assert_true(ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(passes_keep_random_graphs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
