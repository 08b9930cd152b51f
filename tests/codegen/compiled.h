/* compiled.h -- for tests of generators: a module whose one result is compiled, run and compared with the evaluator, on one thread and on three. */
#ifndef INGOT_TEST_COMPILED_H
#define INGOT_TEST_COMPILED_H

#include "../ops/op_fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "compile.h"
#include "ingot.h"
#include "pass.h"

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

static inline ingot_tensor compiled_tensor(const Tensor *t)
{
    ingot_tensor r = { .data = (void *)t->data, .dtype = dtype_table[t->dtype].onnx, .rank = t->rank };
    memcpy(r.dim, t->dim, sizeof *t->dim * (size_t)t->rank);
    return r;
}

/* Run the file on so many threads; the result's data is copied to `to`. */
static inline void compiled_run(const char *so, int threads, const Tensor *x, const Tensor *want, float *to)
{
    ingot_error err;
    ingot_file *file = NULL;
    ingot_context *ctx = NULL;
    ingot_tensor in = compiled_tensor(x), out = { .data = NULL };
    if (ingot_open(so, &file, &err) || ingot_context_new(ingot_file_model(file), &ctx, &err) || ingot_set_threads(ctx, threads, &err) ||
        ingot_run(ctx, &in, &out, &err))
        fail_msg("%s", err.text);
    assert_int_equal(ingot_count(&out), want->count);
    memcpy(to, out.data, sizeof *to * (size_t)want->count);
    ingot_context_free(ctx);
    ingot_close(file);
}

/* The module has one f32 input and gives y. Its passes run, it is compiled for the cpu (NULL: this machine's), and what it gives for x is the evaluator's
 * result, within `tolerance` of the largest element; one and three threads give the same bits. */
static inline void compiled_check_cpu(Fix *f, Value *y, const Tensor *x, const char *pipeline, double tolerance, const char *cpu)
{
    Module *m = f->b.m;
    const Tensor *want = NULL;
    char so[] = BINARY_DIR "/compiled-XXXXXX";
    if (!y)
        fail_msg("no graph: %s", f->d.all);
    build_node(&f->b, OP_return, IN(y), &(Attr_return){ .names = { 0 } }, -1);
    m->graph->props = GP_TYPED | GP_LAID_OUT;
    assert_true(eval_module(m, f->a, 1, &x, &want));
    want = tensor_dense(f->a, want);
    if (!passes_run(m, &(PassOptions){ .pipeline = pipeline, .fuel = -1, .verify = true }))
        fail_msg("%s", f->d.all);
    close(mkstemp(so));
    if (!compile_module(m, &(CompileOptions){ .output = so, .kind = OUT_SO, .opt_level = 2, .cpu = cpu }))
        fail_msg("%s", f->d.all);
    float *one = arena_alloc(f->a, sizeof *one * (size_t)want->count + 1), *three = arena_alloc(f->a, sizeof *one * (size_t)want->count + 1);
    compiled_run(so, 1, x, want, one);
    compiled_run(so, 3, x, want, three);
    unlink(so);
    double largest = 1e-30;
    for (int64_t i = 0; i < want->count; i++)
        largest = fmax(largest, fabs(tensor_get_f64(want, i)));
    for (int64_t i = 0; i < want->count; i++) {
        double expected = tensor_get_f64(want, i);
        if (!(fabs(expected - (double)one[i]) <= tolerance * largest) && !(isnan(expected) && isnan(one[i])))
            fail_msg("element %d is %.9g, the evaluator says %.9g", (int)i, (double)one[i], expected);
    }
    assert_memory_equal(one, three, sizeof *one * (size_t)want->count);
}

static inline void compiled_check(Fix *f, Value *y, const Tensor *x, const char *pipeline, double tolerance)
{
    compiled_check_cpu(f, y, x, pipeline, tolerance, NULL);
}

#endif
