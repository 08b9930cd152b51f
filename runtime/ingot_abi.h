/* ingot_abi.h -- the contract between an emitted model and whoever runs it. Freestanding C99; no other header needed.
 *
 * A compiled model NAME exports two symbols: `NAME_ingot_model` (an ingot_model, read-only) and `NAME_run`.
 * Nothing in a model is global and mutable; several calls may run at once, each with its own ingot_call and workspace.
 */
#ifndef INGOT_ABI_H
#define INGOT_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INGOT_ABI_VERSION 2u
#define INGOT_ABI_MAGIC 0x746f676eu         /* "ngot" */
#define INGOT_MAX_RANK 12

enum {
    INGOT_OK = 0,
    INGOT_ERR_ARGUMENT = 1,                 /* wrong count, dtype, rank or shape */
    INGOT_ERR_WORKSPACE = 2,                /* workspace missing, too small or misaligned */
    INGOT_ERR_DATA = 3,                     /* a value in the data, such as an index, is out of range */
    INGOT_ERR_MEMORY = 4,                   /* allocate returned NULL, or there is no allocate and the model needs it */
    INGOT_ERR_FILE = 5,                     /* the loader: not a model, other machine, missing CPU feature, I/O */
    INGOT_ERR_INTERNAL = 6
};

/* Element types: the numbers of ONNX TensorProto.DataType. Sub-byte types are one element per byte.
 *
 * A sequence, optional or map is an ingot_tensor too, with one of the numbers below instead: rank 1, dim[0] items, data points to as many ingot_tensors
 * (of an optional none or one; of a map its keys, then its values). As an output it is one block of memory, like a string tensor and its bytes. */
enum { INGOT_SEQUENCE = 101, INGOT_OPTIONAL = 102, INGOT_MAP = 103 };

typedef struct ingot_tensor {
    void *data;                             /* 64-byte alignment is best, element alignment enough */
    int32_t dtype, rank;
    int64_t dim[INGOT_MAX_RANK];
    const int64_t *stride;                  /* in elements; NULL: contiguous (the only kind NAME_run itself takes; ingot_run copies others) */
} ingot_tensor;

/* An element of a string tensor: UTF-8, not terminated. */
typedef struct ingot_string {
    union { const char *data; uint64_t pad; } u;    /* 16 bytes on 32-bit machines too */
    uint64_t bytes;
} ingot_string;

/* Runs task(arg, begin, end) over a partition of [0, units); returns when all of it is done. */
typedef void (*ingot_task)(void *arg, int64_t begin, int64_t end);
typedef void (*ingot_parallel_for)(void *pool, ingot_task task, void *arg, int64_t units);

/* Decodes a file of `bytes` bytes. pixels NULL: writes the height and width to size. Else size states them, and pixels receives 8-bit values [height, width,
 * 3], or 1 for gray; format: 0 RGB, 1 BGR, 2 gray. Returns INGOT_OK, or another status if it is no image that it knows, or of another size. */
typedef int (*ingot_image_decoder)(const void *data, uint64_t bytes, int32_t format, int64_t size[2], uint8_t *pixels);

typedef struct ingot_call {
    const ingot_tensor *input;              /* n_inputs of the model, in its order */
    ingot_tensor *output;                   /* n_outputs. data set: the caller's buffer of at least the right size; data NULL: allocate() is asked.
                                               dtype, rank and dim are written by the run. Strings, sequences, optionals: always NULL. */
    void *workspace;                        /* workspace_size(dims) bytes, 64-byte aligned */
    uint64_t workspace_bytes;
    ingot_parallel_for parallel_for;        /* NULL: one thread */
    void *pool;
    void *(*allocate)(void *ctx, uint64_t bytes);   /* 64-byte aligned; only for outputs without a buffer and sizes only the data decides; may be NULL */
    void (*release)(void *ctx, void *p);
    void *alloc_ctx;
    char *error;                            /* receives one sentence when the result is not INGOT_OK; may be NULL */
    uint64_t error_bytes;
    ingot_image_decoder decode_image;       /* only models with ImageDecoder look at it (flag INGOT_DECODES_IMAGES); NULL: they fail */
} ingot_call;

typedef struct ingot_port {
    const char *name;
    int32_t dtype, rank;
    const int64_t *dim;                     /* >= 0: fixed. -1 - s: symbol s (inputs: the size itself; outputs: see ingot_model.output_dims).
                                               Of a sequence, optional or map: one dim, of no meaning. */
    const char *const *dim_text;            /* each dim as text: "1", "N", "2*N+1"; of a sequence, optional or map: its type, "seq<f32[-1]>" */
} ingot_port;

/* ingot_model.flags */
enum {
    INGOT_DECODES_IMAGES = 1                /* a run needs ingot_call.decode_image */
};

typedef struct ingot_model {
    uint32_t magic, abi_version;
    const char *name;
    const char *producer;                   /* "ingot 0.1.0" */
    const char *target;                     /* LLVM triple */
    const char *cpu_features;               /* comma-separated names the code needs, e.g. "avx2,fma"; checked by the loader */
    int32_t n_inputs, n_outputs, n_symbols; /* symbols: only those fixed by input shapes */
    uint32_t flags;
    const ingot_port *input, *output;
    const char *const *symbol;
    uint64_t weights_bytes;
    /* syms: n_symbols values. */
    uint64_t (*workspace_size)(const int64_t *syms);
    /* Every dim of every output in order, -1 where only the data decides. */
    void (*output_dims)(const int64_t *syms, int64_t *dims);
    int (*run)(const ingot_call *call);
} ingot_model;

#ifdef __cplusplus
}
#endif
#endif
