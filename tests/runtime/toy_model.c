/* toy_model.c -- a model written by hand, compiled to a .so without libc by the tests of the loader: y = 2x + 1 over [N,3], and z = the positive
 * elements of x, whose number only the data decides. Behaves as generated code must: checks its call, touches no global, allocates through the call.
 */
#include "ingot_abi.h"

static const char *const dims_x[] = { "N", "3" }, *const dims_z[] = { "K" }, *const symbols[] = { "N" };
static const int64_t dim_x[] = { -1, 3 }, dim_z[] = { -1 };
static const ingot_port inputs[] = { { "x", 1, 2, dim_x, dims_x } };
static const ingot_port outputs[] = { { "y/0:a", 1, 2, dim_x, dims_x }, { "z", 1, 1, dim_z, dims_z } };

static uint64_t workspace_size(const int64_t *syms)
{
    return (uint64_t)syms[0] * 3 * sizeof(float);
}

static void output_dims(const int64_t *syms, int64_t *dims)
{
    dims[0] = syms[0];
    dims[1] = 3;
    dims[2] = -1;
}

typedef struct Twice {
    const float *x;
    float *y;
} Twice;

static void twice(void *arg, int64_t begin, int64_t end)
{
    const Twice *t = arg;
    for (int64_t i = 3 * begin; i < 3 * end; i++)
        t->y[i] = 2 * t->x[i] + 1;
}

static int fail(const ingot_call *c, int status, const char *text)
{
    for (uint64_t i = 0; i < c->error_bytes; i++)
        if (!(c->error[i] = text[i]))
            break;
    return status;
}

int toy_run(const ingot_call *c);
int toy_run(const ingot_call *c)
{
    int64_t n = c->input[0].dim[0], kept = 0;
    const float *x = c->input[0].data;
    if (c->workspace_bytes < (uint64_t)n * 12 || (uintptr_t)c->workspace % 64)
        return fail(c, INGOT_ERR_WORKSPACE, "toy: bad workspace");
    Twice t = { x, c->output[0].data };
    if (c->parallel_for)
        c->parallel_for(c->pool, twice, &t, n);
    else
        twice(&t, 0, n);
    for (int64_t i = 0; i < 3 * n; i++) {
        if (x[i] > 1e6f)
            return fail(c, INGOT_ERR_DATA, "toy: input 'x' has an element above 1e6");
        kept += x[i] > 0;
    }
    float *z = c->output[1].data = c->allocate(c->alloc_ctx, (uint64_t)kept * sizeof *z);
    if (!z)
        return fail(c, INGOT_ERR_MEMORY, "toy: out of memory");
    c->output[1].dim[0] = kept;
    for (int64_t i = 0, k = 0; i < 3 * n; i++)
        if (x[i] > 0)
            z[k++] = x[i];
    return INGOT_OK;
}

#ifndef TOY_FEATURES
#define TOY_FEATURES ""
#endif
#ifndef TOY_ABI
#define TOY_ABI INGOT_ABI_VERSION
#endif

extern const ingot_model toy_ingot_model;
const ingot_model toy_ingot_model = {
    .magic = INGOT_ABI_MAGIC, .abi_version = TOY_ABI, .name = "toy", .producer = "hand", .target = "any", .cpu_features = TOY_FEATURES,
    .n_inputs = 1, .n_outputs = 2, .n_symbols = 1, .input = inputs, .output = outputs, .symbol = symbols,
    .workspace_size = workspace_size, .output_dims = output_dims, .run = toy_run,
};
