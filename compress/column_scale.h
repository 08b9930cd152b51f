/* column_scale.h -- the step of a grid for one column of weights. */
#ifndef INGOT_COLUMN_SCALE_H
#define INGOT_COLUMN_SCALE_H

#include "ir.h"

enum { MOST_INT8 = 127, MOST_INT4 = 7 };

/* Largest code of a weight of 8 or 4 bits; the least is -127, or -8. */
static inline int code_most(int bits) { return bits == 4 ? MOST_INT4 : MOST_INT8; }
static inline int code_least(int bits) { return bits == 4 ? -8 : -MOST_INT8; }
/* The code nearest to x / step. */
double code_round(double x, double step, int bits);
/* Whether the last axis of w is one of columns (a matrix) or the first (filters): axis 1 or 0. The step with the least squared error, at most `whole`, with
 * which nothing is cut off: where steps are few, it is worth it to cut off the largest weights. */
double column_scale_best(const Tensor *w, int axis, int64_t column, double whole, int bits);

#endif
