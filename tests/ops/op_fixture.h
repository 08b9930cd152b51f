/* op_fixture.h -- for the tests of single ops: a module to build in, types as text, constants from numbers, and evaluation of one value. */
#ifndef INGOT_OP_FIXTURE_H
#define INGOT_OP_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "build.h"
#include "eval.h"

typedef struct Fix {
    Arena *a;
    Diag d;
    Builder b;
    int inputs;
} Fix;

static inline int fix_setup(void **state)
{
    Fix *f = calloc(1, sizeof *f);
    f->a = arena_new();
    diag_init(&f->d, f->a, NULL);
    Module *m = module_new(f->a, &f->d, "t", "t.onnx");
    f->b = (Builder){ .m = m, .g = m->graph };
    *state = f;
    return 0;
}

static inline int fix_teardown(void **state)
{
    Fix *f = *state;
    arena_free(f->a);
    free(f);
    return 0;
}

/* Dims from text: "N,3,2*M+1". */
static inline DimVec fix_dims(Fix *f, const char *text)
{
    Dim d[MAX_RANK];
    int n = 0;
    while (*text) {
        d[n] = dim_parse(f->b.m->dims, &text);
        assert_non_null(d[n]);
        n++;
        text += *text == ',';
    }
    return dims_copy(f->b.m, n, d);
}

static inline Value *fix_input(Fix *f, DType t, const char *dims)
{
    Node *n = build_node(&f->b, OP_input, IN_NONE, &(Attr_input){ .index = f->inputs++ }, -1);
    DimVec d = fix_dims(f, dims);
    n->out[0].type = type_tensor(f->b.m, t, d.n, d.v);
    return node_out(n);
}

static inline IntVec fix_ints(Fix *f, const char *text)
{
    int64_t v[32];
    int n = 0;
    for (char *end; *text; text = end + (*end == ','))
        v[n++] = strtoll(text, &end, 10);
    return ints_copy(f->b.m, n, v);
}

static inline Tensor *fix_tensor(Fix *f, DType t, const char *dims, const double *x)
{
    IntVec d = fix_ints(f, dims);
    Tensor *r = tensor_new(f->a, t, d.n, d.v);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, x[i]);
    return r;
}

static inline Value *fix_constant(Fix *f, DType t, const char *dims, const double *x)
{
    return mk_tensor(&f->b, fix_tensor(f, t, dims, x));
}
#define NUMBERS(...) ((const double[]){ __VA_ARGS__ })

/* Small integers over 4, so that sums are exact in f32 and in any order. */
static inline Value *fix_random(Fix *f, DType t, const char *dims, uint32_t seed)
{
    IntVec d = fix_ints(f, dims);
    Tensor *r = tensor_new(f->a, t, d.n, d.v);
    for (int64_t i = 0; i < r->count; i++) {
        seed = seed * 1664525u + 1013904223u;
        tensor_set_f64(r, i, (double)((int)(seed >> 27) - 16) / (dtype_is_float(t) ? 4 : 1));
    }
    return mk_tensor(&f->b, r);
}

/* The value of a node without inputs above it, operand by operand. */
static inline const Tensor *fix_eval_with(Fix *f, EvalEnv *e, Value *v)
{
    Node *n = v->def;
    const Tensor *in[16] = { NULL }, *out[8] = { NULL };
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].val && !(in[i] = fix_eval_with(f, e, n->in[i].val)))
            return NULL;
    return eval_node(e, n, in, out) ? tensor_dense(f->a, out[v->index]) : NULL;
}

static inline const Tensor *fix_eval(Fix *f, Value *v)
{
    int64_t syms[64] = { 0 };
    return v ? fix_eval_with(f, &(EvalEnv){ .arena = f->a, .m = f->b.m, .syms = syms }, v) : NULL;
}

static inline void expect_type(Fix *f, const Value *v, const char *text)
{
    if (!v)
        fail_msg("no value: %s", f->d.all);
    assert_string_equal(type_print(f->b.m, f->a, &v->type), text);
}

static inline void expect_error(Fix *f, const void *none, const char *text)
{
    assert_null(none);
    assert_true(f->d.errors > 0);
    if (!strstr(f->d.all, text))
        fail_msg("'%s' is not in '%s'", text, f->d.all);
}

/* Contents found by inference, as text "N,2*N,3". */
static inline void expect_known(Fix *f, const Value *v, const char *text)
{
    const char *s = "";
    assert_non_null(v);
    if (!v->known)
        fail_msg("nothing is known, want %s", text);
    for (int i = 0; i < v->known->n; i++)
        s = arena_printf(f->a, "%s%s%s", s, i ? "," : "", dim_print(f->b.m->dims, f->a, v->known->v[i]));
    assert_string_equal(s, text);
}

static inline void expect_numbers(Fix *f, const Tensor *t, DType type, const char *dims, const double *x, double tolerance)
{
    IntVec d = fix_ints(f, dims);
    if (!t)
        fail_msg("no result: %s", f->d.all);
    assert_int_equal(t->dtype, type);
    assert_int_equal(t->rank, d.n);
    for (int k = 0; k < d.n; k++)
        assert_int_equal(t->dim[k], d.v[k]);
    for (int64_t i = 0; i < t->count; i++) {
        double got = tensor_get_f64(t, i);
        if (!(fabs(got - x[i]) <= tolerance) && !(isnan(got) && isnan(x[i])) && got != x[i])
            fail_msg("element %d is %.9g, want %.9g", (int)i, got, x[i]);
    }
}

static inline void expect_result(Fix *f, Value *v, DType type, const char *dims, const double *x)
{
    const Tensor *t = fix_eval(f, v);
    if (!t)
        fail_msg("no result: %s", f->d.all);
    /* what inference said must be what came out */
    assert_true(type_is_static(&v->type));
    for (int k = 0; k < t->rank; k++)
        assert_int_equal(v->type.dim[k]->k, t->dim[k]);
    expect_numbers(f, t, type, dims, x, 1e-6);
}

#define FIX_TEST(fn) cmocka_unit_test_setup_teardown(fn, fix_setup, fix_teardown)

#endif
