/* tensor_read.h -- TensorProto and SparseTensorProto to Tensor. Private to the frontend. */
#ifndef INGOT_TENSOR_READ_H
#define INGOT_TENSOR_READ_H

#include "ir.h"
#include "onnx.pb-c.h"
#include "wire.h"

typedef struct ExternalFile ExternalFile;

typedef struct TensorReader {
    Arena *arena;
    Diag *diag;
    const WireFile *file;           /* the file the messages came from; external data is looked for in its folder */
    ExternalFile *external;         /* data files mapped so far */
} TensorReader;

/* Data is borrowed from the mapping where its form in the file is that in memory. Large borrowed data stands where the file puts it, which may be
 * misaligned for its element type. NULL after reporting "tensor '<name>' ...". */
const Tensor *tensor_read(TensorReader *r, const Onnx__TensorProto *p, Loc loc);
/* Written out densely. */
const Tensor *tensor_read_sparse(TensorReader *r, const Onnx__SparseTensorProto *p, Loc loc);

#endif
