/* rt.h -- shared by the files of libingot_rt. Every external name starts with ingot_, because the library is linked into users' programs. */
#ifndef INGOT_RT_H
#define INGOT_RT_H

#include <stdbool.h>

#include "ingot.h"

/* Write a sentence; returns status, so that `return ingot_fail(err, INGOT_ERR_FILE, ...)` reads well. err may be NULL. */
int ingot_fail(ingot_error *err, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int ingot_fine(ingot_error *err);
/* Elements of a shape; -1 on overflow or a negative dim. */
int64_t ingot_product(int rank, const int64_t *dim);
/* "[1,3,224,224]" into text (cut off at bytes); returns text. */
const char *ingot_dims_text(int rank, const int64_t *dim, char *text, size_t bytes);
bool ingot_is_contiguous(const ingot_tensor *t);
/* Copy between a tensor with strides (t->stride may be NULL) and dense memory of the same shape. */
void ingot_gather(const ingot_tensor *t, void *dense);
void ingot_scatter(const ingot_tensor *t, const void *dense);
/* One code point as UTF-8 (1 to 4 bytes) at `to`; returns its length. What is no code point becomes U+FFFD. */
size_t ingot_put_utf8(uint32_t c, char *to);

#endif
