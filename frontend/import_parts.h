/* import_parts.h -- compositions of core ops that several importers share: sizes, axes, statistics.
 *
 * Like mk_*, every function returns NULL when an operand is NULL or the problem was already reported.
 */
#ifndef INGOT_IMPORT_PARTS_H
#define INGOT_IMPORT_PARTS_H

#include "import.h"

/* ---- numbers ---- */
Value *mk_dim_scalar(Builder *b, Dim d, DType t);                       /* a size as a rank-0 value of type t */
Value *mk_scaled(Builder *b, Value *x, double k);                       /* x * k; x itself if k is 1 */
Value *mk_shifted(Builder *b, Value *x, double k);                      /* x + k; x itself if k is 0 */
Value *mk_full(Builder *b, DType t, int rank, const Dim *dim, double x);/* every element x */
Value *mk_floats(Builder *b, DType t, FloatVec v);                      /* constant t[n] */
Value *mk_gelu(Builder *b, Value *x);                                   /* x/2 (1 + erf(x / sqrt 2)) */
Value *mk_gelu_tanh(Builder *b, Value *x);                              /* the approximation by tanh */
DType wide_float(DType t);                                              /* f32 for small floats, else t: where sums are accumulated */

/* ---- shapes ---- */
static inline Dim dim_one(Builder *b) { return dim_const(b->m->dims, 1); }
Dim dim_product(Builder *b, const Value *x, int from, int to);          /* of the dims from .. to-1 */
int axes_from(int first, int rank, int64_t *axes);                      /* first .. rank-1; returns how many */
Value *mk_drop_axes(Builder *b, Value *x, int n, const int64_t *axes);  /* reshape without these (size 1) axes */
Value *mk_insert_axes(Builder *b, Value *x, int at, int n);             /* n axes of size 1 before axis `at` */
Value *mk_align_channel(Builder *b, Value *v, int rank, int axis);      /* [C] -> [C, 1, ...], to broadcast along `axis` of a rank-`rank` tensor */
Value *mk_swap_axes(Builder *b, Value *x, int i, int j);
Value *mk_swap_last(Builder *b, Value *x);                              /* the last two axes */
Value *mk_concat2(Builder *b, Value *x, Value *y, int axis);
Value *mk_iota_n(Builder *b, DType t, Dim n);                           /* 0 .. n-1, rank 1 */
Value *mk_index(Builder *b, Value *x, int axis, Dim i);                 /* x[..., i, ...] without that axis */
Value *mk_range_slice(Builder *b, Value *x, int axis, int64_t start, int64_t size);
Value *mk_padded(Builder *b, Value *x, const Dim *before, const Dim *after, Value *fill);    /* fill NULL: zeros */
Value *mk_pad_end(Builder *b, Value *x, int axis, Dim size, Value *fill);                  /* `axis` lengthened (or cut) behind to `size` */

/* ---- statistics; the reduced axes stay with size 1 ---- */
Value *mk_mean_axes(Builder *b, Value *x, int n, const int64_t *axes);  /* small floats: summed in f32 */
Value *mk_lp_norm(Builder *b, Value *x, int n, const int64_t *axes, double p);
typedef struct Standardised { Value *y, *mean, *inv_std; } Standardised;
/* (x - mean) / sqrt(population variance + epsilon). */
Standardised mk_standardised(Builder *b, Value *x, int n, const int64_t *axes, double epsilon);

#endif
