/* compiled.h -- for tests of generators: a module is compiled, loaded and run, and gives the evaluator's results; the same bits with its work cut into units. */
#ifndef INGOT_TEST_COMPILED_H
#define INGOT_TEST_COMPILED_H

#include "../ops/op_fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "compile.h"
#include "ingot.h"
#include "pass.h"

enum { COMPILED_MAX = 8 };          /* inputs, results */

typedef struct Compiled {
    const char *what;               /* names the case in messages */
    const char *cpu;                /* NULL: this one */
    const char *pipeline;           /* NULL: that of level 2 */
    double tolerance;               /* of floats, relative to the largest expected element or, if that is less, to 1; integers agree exactly */
    bool unoptimised;               /* passes and code of level 0 */
    unsigned props;                 /* of the graph as built, beside GP_TYPED */
    void (*inspect)(const Module *m);               /* sees the graph after the passes; may be NULL */
} Compiled;

/* Numbers in [-1, 1). */
static inline Tensor *compiled_random(Arena *a, int rank, const int64_t *dim, uint32_t seed)
{
    Tensor *t = tensor_new(a, DT_f32, rank, dim);
    for (int64_t i = 0; i < t->count; i++) {
        seed = seed * 1664525u + 1013904223u;
        tensor_set_f64(t, i, seed / 2147483648.0 - 1);
    }
    return t;
}

/* The graph ends by returning v. */
static inline void compiled_return(Fix *f, Inputs v)
{
    static const char *const names[COMPILED_MAX] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    build_node(&f->b, OP_return, v, &(Attr_return){ .names = { v.n, names } }, 0);
}

/* Whether this machine can run code for the cpu (NULL: it can). */
static inline bool compiled_cpu_is_here(Fix *f, const char *cpu)
{
    TargetInfo t;
    char lacks[64];
    assert_true(target_resolve(f->a, &f->d, NULL, cpu, &t));
    return !ingot_cpu_lacks(t.required_features, lacks, sizeof lacks);
}

/* A way to share work: each unit by itself, the last one first. Counts the regions. */
static inline void compiled_one_by_one(void *regions, ingot_task task, void *arg, int64_t units)
{
    ++*(int *)regions;
    for (int64_t i = units - 1; i >= 0; i--)
        task(arg, i, i + 1);
}

static inline ingot_tensor compiled_tensor(const Tensor *t)
{
    ingot_tensor r = { .data = (void *)(uintptr_t)t->data, .dtype = dtype_table[t->dtype].onnx, .rank = t->rank };
    memcpy(r.dim, t->dim, sizeof *t->dim * (size_t)t->rank);
    return r;
}

static inline double compiled_allowed(const Tensor *want, double tolerance)
{
    double largest = 1;
    if (!dtype_is_float(want->dtype))
        return 0;
    for (int64_t i = 0; i < want->count; i++)
        if (isfinite(tensor_get_f64(want, i)))
            largest = fmax(largest, fabs(tensor_get_f64(want, i)));
    return tolerance * largest;
}

static inline void compiled_expect(const Compiled *c, int result, const Tensor *want, const ingot_tensor *out)
{
    Tensor got = *want;
    double allowed = compiled_allowed(want, c->tolerance);
    got.data = out->data;
    assert_int_equal(out->rank, want->rank);
    for (int k = 0; k < want->rank; k++)
        assert_int_equal(out->dim[k], want->dim[k]);
    for (int64_t i = 0; i < want->count; i++) {
        double x = tensor_get_f64(&got, i), y = tensor_get_f64(want, i);
        if (!(fabs(x - y) <= allowed) && !(isnan(x) && isnan(y)) && x != y)
            fail_msg("%s, %s, result %d, element %lld: %.9g, want %.9g", c->cpu ? c->cpu : "this CPU", c->what, result, (long long)i, x, y);
    }
}

/* Runs the file alone, then with its work cut into units: the same bits. Returns how many regions were shared. */
static inline int compiled_run(Fix *f, const char *so, const Compiled *c, int nin, const Tensor *const *given, int nout, const Tensor *const *want)
{
    ingot_error err;
    ingot_file *file;
    ingot_context *ctx;
    ingot_tensor in[COMPILED_MAX], out[COMPILED_MAX] = { { 0 } }, shared[COMPILED_MAX] = { { 0 } };
    void *alone[COMPILED_MAX];
    int regions = 0;
    for (int i = 0; i < nin; i++)
        in[i] = compiled_tensor(given[i]);
    if (ingot_open(so, &file, &err) || ingot_context_new(ingot_file_model(file), &ctx, &err) || ingot_run(ctx, in, out, &err))
        fail_msg("%s: %s", c->what, err.text);
    for (int i = 0; i < nout; i++) {
        compiled_expect(c, i, want[i], &out[i]);
        alone[i] = arena_copy(f->a, out[i].data, tensor_bytes(want[i]));
    }
    ingot_set_parallel_for(ctx, compiled_one_by_one, &regions);
    assert_int_equal(ingot_run(ctx, in, shared, &err), INGOT_OK);
    for (int i = 0; i < nout; i++)
        assert_memory_equal(shared[i].data, alone[i], tensor_bytes(want[i]));
    ingot_context_free(ctx);
    ingot_close(file);
    return regions;
}

/* The module, whose graph ends in a return, gives for these inputs what the evaluator gives before any pass. Returns how many regions were shared. */
static inline int compiled_check_module(Fix *f, Module *m, const Compiled *c, int nin, const Tensor *const *given)
{
    const Tensor *want[COMPILED_MAX];
    int nout = graph_return(m->graph)->nin;
    int level = c->unoptimised ? 0 : 2;
    char so[] = BINARY_DIR "/compiled-XXXXXX";
    m->graph->props |= GP_TYPED | c->props;
    if (!eval_module(m, f->a, nin, given, want))
        fail_msg("%s: %s", c->what, f->d.all);
    for (int i = 0; i < nout; i++)
        want[i] = tensor_dense(f->a, want[i]);
    if (!passes_run(m, &(PassOptions){ .level = level, .pipeline = c->pipeline, .fuel = -1, .verify = true }))
        fail_msg("%s: %s", c->what, f->d.all);
    if (c->inspect)
        c->inspect(m);
    close(mkstemp(so));
    if (!compile_module(m, &(CompileOptions){ .output = so, .kind = OUT_SO, .opt_level = level, .cpu = c->cpu }))
        fail_msg("%s: %s", c->what, f->d.all);
    int regions = compiled_run(f, so, c, nin, given, nout, want);
    unlink(so);
    return regions;
}

/* The same for the graph that was built in f. */
static inline int compiled_check(Fix *f, const Compiled *c, int nin, const Tensor *const *given)
{
    return compiled_check_module(f, f->b.m, c, nin, given);
}

/* One operand x, one result y. */
static inline int compiled_check_value(Fix *f, const Compiled *c, const Tensor *x, Value *y)
{
    if (!y)
        fail_msg("%s: no graph: %s", c->what, f->d.all);
    compiled_return(f, IN(y));
    return compiled_check(f, c, 1, &x);
}

/* check(fixture, i, cpu) for i in 0..n-1, each with a fixture of its own, for each cpu of the list (it ends with "") that this machine can be. */
static inline void compiled_each(const char *const *cpu, size_t n, void (*check)(Fix *f, size_t i, const char *cpu))
{
    for (; !*cpu || **cpu; cpu++)
        for (size_t i = 0; i < n; i++) {
            void *state = NULL;
            fix_setup(&state);
            if (!*cpu || compiled_cpu_is_here(state, *cpu))
                check(state, i, *cpu);
            fix_teardown(&state);
        }
}
#define COMPILED_EACH(cpus, cases, check) compiled_each(cpus, sizeof(cases) / sizeof *(cases), check)

/* This CPU; and the kinds of it that have other code: without masks, without wide vectors. */
static const char *const compiled_here[] = { NULL, "" };
#if defined __x86_64__
static const char *const compiled_without_masks[] = { NULL, "x86-64", "" }, *const compiled_everywhere[] = { NULL, "x86-64", "haswell", "skylake-avx512", "" };
#else
static const char *const compiled_without_masks[] = { NULL, "" }, *const compiled_everywhere[] = { NULL, "" };
#endif

#endif
