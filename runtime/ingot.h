/* ingot.h -- run compiled models: the public API of libingot_rt.
 *
 *     ingot_error err;
 *     ingot_file *file;
 *     ingot_context *ctx;
 *     if (ingot_open("mnist.so", &file, &err) || ingot_context_new(ingot_file_model(file), &ctx, &err))
 *         return fprintf(stderr, "%s\n", err.text), 1;
 *     ingot_tensor x = { .data = pixels, .dtype = INGOT_f32, .rank = 4, .dim = { 1, 1, 28, 28 } }, y = { 0 };
 *     if (ingot_run(ctx, &x, &y, &err)) ...            // y.data now points at the scores, owned by ctx
 *
 * Models come from a .so file (ingot_open) or are linked into the program (`extern const ingot_model mnist_ingot_model`). A model is
 * immutable and may be shared by threads; a context belongs to one thread at a time; a pool may be shared by many contexts.
 *
 * Every function that can fail returns INGOT_OK (0) or an INGOT_ERR_* status of ingot_abi.h and, if err is not NULL, writes one sentence
 * that names file or tensor. Nothing here prints, exits or aborts. On failure output parameters are NULL.
 */
#ifndef INGOT_H
#define INGOT_H

#include "ingot_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ingot_file ingot_file;           /* a loaded .so */
typedef struct ingot_context ingot_context;     /* what one caller needs to run a model: workspace, threads, output buffers */
typedef struct ingot_pool ingot_pool;           /* threads */

typedef struct ingot_error {
    int status;                                 /* INGOT_OK or INGOT_ERR_* */
    char text[500];                             /* one sentence without a newline; "" if fine */
} ingot_error;

/* Element types: the numbers of ONNX TensorProto.DataType. Types of less than 8 bits take one byte per element. */
enum {
    INGOT_f32 = 1, INGOT_u8, INGOT_i8, INGOT_u16, INGOT_i16, INGOT_i32, INGOT_i64, INGOT_str, INGOT_bool, INGOT_f16, INGOT_f64,
    INGOT_u32, INGOT_u64, INGOT_c64, INGOT_c128, INGOT_bf16, INGOT_f8e4m3, INGOT_f8e4m3z, INGOT_f8e5m2, INGOT_f8e5m2z, INGOT_u4, INGOT_i4,
    INGOT_f4e2m1, INGOT_f8e8m0, INGOT_u2, INGOT_i2
};
/* Bytes per element in memory (ingot_string: 16), 0 for an unknown number. */
size_t ingot_dtype_bytes(int32_t dtype);
/* "f32"; "?" for an unknown number. */
const char *ingot_dtype_name(int32_t dtype);
/* Product of the dims; -1 if it overflows or a dim is negative. */
int64_t ingot_count(const ingot_tensor *t);

/* ---- models ---- */

/* Load a model file: maps it, relocates it, checks machine, ABI version and CPU features. *file: ingot_close it after the last context
 * on it. Costs a few system calls and touches a few pages; weights are mapped from the file and shared between processes. */
int ingot_open(const char *path, ingot_file **file, ingot_error *err);
void ingot_close(ingot_file *file);                             /* NULL is fine */
const ingot_model *ingot_file_model(const ingot_file *file);    /* lives as long as file; see ingot_abi.h for its ports and symbols */
/* The same checks (ABI version, CPU features) for a model that is linked into the program; call it once before the first context. */
int ingot_model_check(const ingot_model *m, ingot_error *err);
/* The first name in the comma-separated list of LLVM CPU features that this CPU lacks (or nobody knows), copied to name; false: has all. */
int ingot_cpu_lacks(const char *features, char *name, size_t name_bytes);

/* ---- threads ---- */

/* A pool that runs work on `threads` threads, the caller's among them (1: no thread is started). Fewer if the system gives fewer. Several
 * contexts may use one pool, even at once: who finds it busy computes alone. NULL: out of memory. */
ingot_pool *ingot_pool_new(int threads);
void ingot_pool_free(ingot_pool *pool);                         /* no run may be under way; NULL is fine */
int ingot_pool_threads(const ingot_pool *pool);
/* The ingot_parallel_for of a pool: pass it with the ingot_pool as `pool`. */
void ingot_pool_run(void *pool, ingot_task task, void *arg, int64_t units);

/* ---- running ---- */

int ingot_context_new(const ingot_model *m, ingot_context **ctx, ingot_error *err);
void ingot_context_free(ingot_context *ctx);                    /* and every output it owns; NULL is fine */
/* One thread is the default. Results have the same bits with any number of threads. */
int ingot_set_threads(ingot_context *ctx, int threads, ingot_error *err);               /* a pool of its own; 1: none */
void ingot_set_parallel_for(ingot_context *ctx, ingot_parallel_for run, void *pool);    /* a shared pool, or the caller's own threads */
/* Where workspace and outputs come from, before the first run: allocate returns 64-byte aligned memory or NULL. Default: malloc's. */
void ingot_set_allocator(ingot_context *ctx, void *(*allocate)(void *alloc_ctx, uint64_t bytes), void (*release)(void *alloc_ctx, void *p), void *alloc_ctx);

/* Who decodes images, for models with ImageDecoder; ingot_decode_image of libingot_images is one. NULL, the default: such a model fails. */
void ingot_set_image_decoder(ingot_context *ctx, ingot_image_decoder decode);

/* dtype, rank and dims of every output for inputs of these shapes (data is not looked at); -1 for a dim that only the data decides. */
int ingot_output_shapes(ingot_context *ctx, const ingot_tensor *in, ingot_tensor *out, ingot_error *err);
/* Bytes of workspace the last shapes needed; known after ingot_output_shapes or ingot_run. */
uint64_t ingot_workspace_bytes(const ingot_context *ctx);

/* Run. in: n_inputs tensors, in the model's order; any strides (others than contiguous are copied). out: n_outputs tensors, each either
 *   data NULL (or as an earlier run of ctx left it): the context owns the memory, valid until its next run or its end; or
 *   the caller's buffer, with dtype, rank and dims stating what it holds: they must be the output's. Strides are accepted (the result is
 *   copied into place) except where only the data decides a dim; there the buffer must have at least as many elements as the result.
 * dtype, rank and dims of out are written. */
int ingot_run(ingot_context *ctx, const ingot_tensor *in, ingot_tensor *out, ingot_error *err);

#ifdef __cplusplus
}
#endif
#endif
