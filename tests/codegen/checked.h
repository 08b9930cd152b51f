/* checked.h -- a module built by a test, compiled, loaded and run, against the evaluator. */
#ifndef INGOT_TEST_CHECKED_H
#define INGOT_TEST_CHECKED_H

#include "../ops/op_fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "compile.h"
#include "ingot.h"
#include "pass.h"

enum { COMPILED_MAX = 8 };          /* inputs, results */

static inline void compiled_write(Fix *f, const char *path)
{
    PassOptions p = { .level = 2, .verify = true, .fuel = 1000000 };
    CompileOptions c = { .output = path, .kind = OUT_SO, .opt_level = 2 };
    if (!passes_run(f->b.m, &p) || !compile_module(f->b.m, &c))
        fail_msg("%s", f->d.all);
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

static inline void compiled_expect(const char *what, int result, const Tensor *want, const ingot_tensor *out, double tolerance)
{
    Tensor got = *want;
    got.data = out->data;
    assert_int_equal(out->rank, want->rank);
    for (int k = 0; k < want->rank; k++)
        assert_int_equal(out->dim[k], want->dim[k]);
    for (int64_t i = 0; i < want->count; i++) {
        double x = tensor_get_f64(&got, i), y = tensor_get_f64(want, i);
        if (!(fabs(x - y) <= tolerance * (1 + fabs(y))) && !(isnan(x) && isnan(y)) && x != y)
            fail_msg("%s, result %d, element %d: %.9g, want %.9g", what, result, (int)i, x, y);
    }
}

/* Runs the file alone, then with its work cut into units; both must give the same bits, and what the evaluator said. Returns how many regions were shared. */
static inline int compiled_run(Fix *f, const char *path, int nin, const Tensor *const *given, int nout, const Tensor *const *want, double tolerance, const char *what)
{
    ingot_error err;
    ingot_file *file;
    ingot_context *ctx;
    ingot_tensor in[COMPILED_MAX], out[COMPILED_MAX] = { { 0 } }, shared[COMPILED_MAX] = { { 0 } };
    void *alone[COMPILED_MAX];
    int regions = 0;
    for (int i = 0; i < nin; i++)
        in[i] = compiled_tensor(given[i]);
    if (ingot_open(path, &file, &err) || ingot_context_new(ingot_file_model(file), &ctx, &err) || ingot_run(ctx, in, out, &err))
        fail_msg("%s: %s", what, err.text);
    for (int i = 0; i < nout; i++) {
        compiled_expect(what, i, want[i], &out[i], tolerance);
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

/* The fixture's graph, which ends in a return, for these inputs. tolerance: relative to 1 + the expected value. */
static inline int check_compiled(Fix *f, int nin, const Tensor *const *given, double tolerance, const char *what)
{
    const Tensor *want[COMPILED_MAX];
    int nout = graph_return(f->b.m->graph)->nin;
    f->b.m->graph->props |= GP_TYPED;
    if (!eval_module(f->b.m, f->a, nin, given, want))
        fail_msg("%s: %s", what, f->d.all);
    const char *path = arena_printf(f->a, BINARY_DIR "/compiled-%d.so", (int)getpid());
    compiled_write(f, path);
    int regions = compiled_run(f, path, nin, given, nout, want, tolerance, what);
    remove(path);
    return regions;
}

#endif
