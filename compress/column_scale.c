/* column_scale.c -- see column_scale.h. */
#include "column_scale.h"

#include <math.h>

enum { TRIED = 20 };                /* steps, evenly from `whole` down to half of it */

double code_round(double x, double step, int bits)
{
    return fmin(fmax(rint(x / step), code_least(bits)), code_most(bits));
}

static double column_error(const Tensor *w, int axis, int64_t column, double scale, int bits)
{
    int64_t depth = w->count / w->dim[axis], step = axis == 0 ? 1 : w->dim[1], first = axis == 0 ? column * depth : column;
    double sum = 0;
    for (int64_t k = 0; k < depth; k++) {
        double x = tensor_get_f64(w, first + k * step), e = x - code_round(x, scale, bits) * scale;
        sum += e * e;
    }
    return sum;
}

double column_scale_best(const Tensor *w, int axis, int64_t column, double whole, int bits)
{
    double best = whole, least = INFINITY;
    for (int i = 0; i < TRIED; i++) {
        double scale = whole * (1 - 0.5 * i / TRIED), e = column_error(w, axis, column, scale, bits);
        if (e < least) {
            least = e;
            best = scale;
        }
    }
    return best;
}
