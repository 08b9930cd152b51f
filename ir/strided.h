/* strided.h -- a value seen as part of another value's memory: an offset and a step per dim, where the ops between the two only move elements. */
#ifndef INGOT_STRIDED_H
#define INGOT_STRIDED_H

#include "ir.h"

/* Element i of the value is element offset + sum of i[d] * stride[d] of base, counted in base's row-major order. */
typedef struct Strided {
    const Value *base;
    Dim offset, stride[MAX_RANK];
} Strided;

/* Looks from v through transpose, slice, expand and reshape up to the first value that is_base says yes to. False: what is between is something else, or
 * a reshape that no strides describe. */
bool strided_view(DimTable *dims, const Value *v, bool (*is_base)(void *ctx, const Value *v), void *ctx, Strided *out);

#endif
