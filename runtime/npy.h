/* npy.h -- tensors in files: NumPy's .npy for numbers, {"dims": [...], "data": [...]} in .json for strings. */
#ifndef INGOT_NPY_H
#define INGOT_NPY_H

#include "rt.h"

/* Read a .npy file (format 1, 2 or 3, either byte order, C or Fortran order) or a string tensor's .json, by the extension.
 * *t is contiguous; its data is the caller's to free(). Strings come from dtypes U and S, their bytes lie in the same block of memory.
 * raw_dtype: what NumPy's raw bytes (V2, V1: how it saves bfloat16, float8, int4) stand for; 0 refuses them.
 * INGOT_ERR_FILE with a sentence if the file is missing, malformed, truncated or of a type that no tensor has. */
int ingot_tensor_read(const char *path, int32_t raw_dtype, ingot_tensor *t, ingot_error *err);
/* Write t (contiguous) to path, which a numeric tensor's caller ends in .npy and a string tensor's in .json. */
int ingot_tensor_write(const char *path, const ingot_tensor *t, ingot_error *err);

#endif
