/* frontend.h -- reading models and tensors from ONNX files. */
#ifndef INGOT_FRONTEND_H
#define INGOT_FRONTEND_H

#include "ir.h"

typedef struct ImportOptions {
    int noverridable;                       /* initialisers that stay inputs */
    const char *const *overridable;
    int nfixed;                             /* --dim NAME=N: symbols fixed at compile time */
    const char *const *fixed_name;
    const int64_t *fixed_value;
} ImportOptions;

/* Read a model file (mapped; the mapping lives as long as the process). Weights are borrowed from the mapping.
 * NULL after reporting every problem found, one sentence each. */
Module *onnx_import(Arena *a, Diag *d, const char *file, const ImportOptions *opt);
/* The same from memory, which must outlive the module; `file` names it in messages, and its folder is where external data is looked for. */
Module *onnx_import_memory(Arena *a, Diag *d, const char *file, const void *data, size_t bytes, const ImportOptions *opt);
/* A serialized TensorProto (ONNX test data: input_0.pb). NULL after reporting. */
const Tensor *onnx_read_tensor(Arena *a, Diag *d, const char *file);

/* Write a module that is not laid out or fused as a standard ONNX file. The names of inputs, outputs, tensors and nodes stay; weights are written from
 * where they lie. Weights of more than 1.9 GB, which one protobuf message cannot hold, go to `path`.data beside it. Reports and returns false on
 * failure: everything that ONNX cannot express, one sentence each, or that the file cannot be written; then no file is there. */
bool onnx_export(Module *m, const char *path);
/* The same with another limit for the weights that stay in the file, in bytes. */
bool onnx_export_split(Module *m, const char *path, int64_t inline_bytes);
#define ONNX_INLINE_BYTES INT64_C(1900000000)

/* A value that may be a sequence or an optional of tensors or of sequences. */
typedef struct OnnxValue {
    TypeKind kind;
    const Tensor *tensor;                   /* TY_TENSOR */
    int n;                                  /* else its items */
    const struct OnnxValue *item;
} OnnxValue;
/* A serialized TensorProto, SequenceProto or OptionalProto: the file does not say which, so the caller must. NULL after reporting. */
const OnnxValue *onnx_read_value(Arena *a, Diag *d, const char *file, TypeKind kind);

#endif
