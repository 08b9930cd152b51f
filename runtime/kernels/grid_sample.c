/* grid_sample.c -- sampling of x [N, C, spatial...] at the positions of a grid [N, out..., r], coordinates in [-1, 1], innermost axis first.
 *
 * Per axis a position becomes up to four taps with weights; a sample is the sum over their combinations. What lies outside is zero, the border,
 * or a reflection, first for the position as a whole and then for every tap.
 */
#include "kernel.h"

enum { K_MAX_RANK = 12, MAX_TAPS = 4 };

typedef enum GridMode { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC } GridMode;
typedef enum GridPadding { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION } GridPadding;

typedef struct Taps {
    int64_t source[MAX_TAPS];       /* -1: zero */
    double weight[MAX_TAPS];
} Taps;

typedef struct GridSample {
    GridMode mode;
    GridPadding padding;
    bool align_corners;
    const KTensor *x, *grid, *r;
} GridSample;

static double reflect(double x, double low, double high)
{
    double range = high - low;
    if (range <= 0)
        return low;
    double away = x < low ? low - x : x - high;
    if (!(away > 0))
        return x;
    double turns = k_floor(away / range), rest = away - turns * range;
    bool even = turns - 2 * k_floor(turns / 2) == 0;
    return (x < low) == even ? low + rest : high - rest;
}

static double confine(const GridSample *g, double x, int64_t size)
{
    double low = g->align_corners ? 0 : -0.5, high = g->align_corners ? (double)size - 1 : (double)size - 0.5;
    if (g->padding == GRID_BORDER)
        return x < 0 ? 0 : x > (double)size - 1 ? (double)size - 1 : x;
    return g->padding == GRID_REFLECTION ? reflect(x, low, high) : x;
}

/* The input position of a tap, which may still lie outside; -1 for zero. */
static int64_t tap_source(const GridSample *g, double at, int64_t size)
{
    double x = confine(g, at, size);
    return x > -1 && x < (double)size ? (int64_t)x : -1;
}

static double cubic_weight(double d)
{
    const double a = -0.75;
    d = d < 0 ? -d : d;
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

static int taps_of(GridMode mode)
{
    return mode == GRID_NEAREST ? 1 : mode == GRID_LINEAR ? 2 : 4;
}

static Taps taps_at(const GridSample *g, double coordinate, int64_t size)
{
    Taps t;
    double x = g->align_corners ? (coordinate + 1) / 2 * ((double)size - 1) : ((coordinate + 1) * (double)size - 1) / 2;
    x = confine(g, g->mode == GRID_NEAREST ? k_rint(x) : x, size);
    if (x != x)                                             /* no position at all: far outside */
        x = -0x1p40;
    double first = g->mode == GRID_NEAREST ? k_rint(x) : k_floor(x) - (g->mode == GRID_CUBIC);
    for (int k = 0; k < taps_of(g->mode); k++) {
        double d = x - (first + k), linear = d < 0 ? 1 + d : 1 - d;
        t.source[k] = tap_source(g, first + k, size);
        t.weight[k] = g->mode == GRID_NEAREST ? 1 : g->mode == GRID_LINEAR ? linear : cubic_weight(d);
    }
    return t;
}

/* Sum over all combinations of taps, the last axis fastest. */
static double sample(const KTensor *x, int64_t plane, const Taps *taps, int ntaps, int axes)
{
    int64_t combinations = 1;
    double sum = 0;
    for (int k = 0; k < axes; k++)
        combinations *= ntaps;
    for (int64_t i = 0; i < combinations; i++) {
        int64_t at = 0, step = 1, rest = i;
        double weight = 1;
        for (int k = axes - 1; k >= 0; k--, rest /= ntaps) {
            int64_t source = taps[k].source[rest % ntaps];
            at = source < 0 || at < 0 ? -1 : at + source * step;
            weight *= taps[k].weight[rest % ntaps];
            step *= x->dim[2 + k];
        }
        if (at >= 0)
            sum += weight * k_load(x->data, x->dtype, plane + at);
    }
    return sum;
}

/* Positions of the grid, every channel at each. */
static void sample_positions(void *arg, int64_t begin, int64_t end)
{
    const GridSample *g = arg;
    const KTensor *x = g->x, *grid = g->grid, *r = g->r;
    int axes = x->rank - 2;
    int64_t channels = x->dim[1], in = k_count_from(x, 2), out = k_count_from(r, 2);
    for (int64_t i = begin; i < end; i++) {
        Taps taps[K_MAX_RANK];
        for (int k = 0; k < axes; k++)
            taps[k] = taps_at(g, k_load(grid->data, grid->dtype, i * axes + axes - 1 - k), x->dim[2 + k]);
        for (int64_t ch = 0; ch < channels; ch++) {
            int64_t image = i / out * channels + ch;
            k_store(r->data, r->dtype, image * out + i % out, sample(x, image * in, taps, taps_of(g->mode), axes));
        }
    }
}

/* attrs: mode, padding, align_corners */
K_KERNEL(grid_sample)
{
    const KTensor *x = &c->in[0], *grid = &c->in[1], *r = &c->out[0];
    GridSample g = { c->attr[0] == k_word("nearest") ? GRID_NEAREST : c->attr[0] == k_word("linear") ? GRID_LINEAR : GRID_CUBIC,
                     c->attr[1] == k_word("zeros") ? GRID_ZEROS : c->attr[1] == k_word("border") ? GRID_BORDER : GRID_REFLECTION, c->attr[2], x, grid, r };
    int64_t out = k_count_from(r, 2), axes = x->rank - 2;
    if ((!k_count_from(x, 2) && k_count(r)) || k_count(grid) != x->dim[0] * out * axes)
        return K_BAD_SHAPE;
    k_share(c, sample_positions, &g, x->dim[0] * out, 16 * x->dim[1]);
    return K_OK;
}
