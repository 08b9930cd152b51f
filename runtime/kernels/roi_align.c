/* roi_align.c -- pooling of regions of x [N, C, H, W] to a fixed size, at bilinear sample points (Mask R-CNN, section 3).
 *
 * Operands: x, rois [R, 4] as x0 y0 x1 y1 in units of the original image, batch index [R]. Every bin of the result looks at a grid of sample
 * points, `sampling_ratio` a side, or as many as pixels fall into it (0). Mode pool: the older way (Fast R-CNN, section 2.1), the largest pixel
 * of every bin of a region rounded to whole pixels.
 */
#include "kernel.h"

typedef struct Bin {
    double y, x, height, width;     /* of one bin; y, x: start of the region */
    int64_t ny, nx;                 /* sample points a side */
} Bin;

/* The four weighted neighbours of a sample point: their sum, or, as ONNX's max mode has it, the largest of them. */
static double sample_point(const KTensor *t, int64_t plane, double y, double x, bool max)
{
    int64_t h = t->dim[2], w = t->dim[3];
    if (!(y >= -1 && y <= (double)h && x >= -1 && x <= (double)w))
        return 0;
    y = y < 0 ? 0 : y > (double)(h - 1) ? (double)(h - 1) : y;
    x = x < 0 ? 0 : x > (double)(w - 1) ? (double)(w - 1) : x;
    int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    double ly = y - (double)y0, lx = x - (double)x0, acc = 0;
    for (int k = 0; k < 4; k++) {
        double v = (k & 2 ? ly : 1 - ly) * (k & 1 ? lx : 1 - lx) * k_load(t->data, t->dtype, plane + (k & 2 ? y1 : y0) * w + (k & 1 ? x1 : x0));
        acc = !max ? acc + v : !k || v > acc ? v : acc;
    }
    return acc;
}

static double pool_bin(const KTensor *x, int64_t plane, const Bin *b, int64_t oy, int64_t ox, bool max)
{
    double acc = 0;
    int64_t n = b->ny * b->nx;
    for (int64_t i = 0; i < n; i++) {
        double y = b->y + ((double)oy + ((double)(i / b->nx) + 0.5) / (double)b->ny) * b->height;
        double at = b->x + ((double)ox + ((double)(i % b->nx) + 0.5) / (double)b->nx) * b->width;
        double v = sample_point(x, plane, y, at, max);
        acc = !max ? acc + v : !i || v > acc ? v : acc;
    }
    return max || n < 1 ? acc : acc / (double)n;
}

typedef struct RoiAlign { bool max, pool, half_pixel; int64_t height, width, ratio; double scale; } RoiAlign;

static int64_t points(const RoiAlign *a, double bin)
{
    return a->ratio > 0 ? a->ratio : -(int64_t)k_floor(-bin);
}

static Bin bin_of(const RoiAlign *a, const KTensor *rois, int64_t r)
{
    double v[4], shift = a->half_pixel ? 0.5 : 0;
    for (int k = 0; k < 4; k++)
        v[k] = k_load(rois->data, rois->dtype, 4 * r + k) * a->scale - shift;
    double width = v[2] - v[0], height = v[3] - v[1];
    if (!a->half_pixel) {                                   /* the older convention makes every region at least one pixel large */
        width = width < 1 ? 1 : width;
        height = height < 1 ? 1 : height;
    }
    Bin b = { v[1], v[0], height / (double)a->height, width / (double)a->width, 0, 0 };
    b.ny = points(a, b.height);
    b.nx = points(a, b.width);
    return b;
}

/* Nearest whole number, halves away from zero. */
static double whole(double x)
{
    return x < 0 ? -k_floor(0.5 - x) : k_floor(x + 0.5);
}

static int64_t clamp_to(double x, int64_t size)
{
    return x > 0 ? x < (double)size ? (int64_t)x : size : 0;
}

/* Pixels first .. end-1 of an axis of `size` that fall into bin i of n, of a region from lo to hi. */
typedef struct Run { int64_t first, end; } Run;

static Run pixels_of(double lo, double hi, int64_t i, int64_t n, int64_t size)
{
    double length = hi - lo + 1 > 1 ? hi - lo + 1 : 1, each = length / (double)n;
    return (Run){ clamp_to(lo + k_floor((double)i * each), size), clamp_to(lo - k_floor(-(double)(i + 1) * each), size) };
}

static double pool_pixels(const RoiAlign *a, const KTensor *x, int64_t plane, const KTensor *rois, int64_t r, int64_t oy, int64_t ox)
{
    double v[4], best = 0;
    for (int k = 0; k < 4; k++)
        v[k] = whole(k_load(rois->data, rois->dtype, 4 * r + k) * a->scale);
    Run rows = pixels_of(v[1], v[3], oy, a->height, x->dim[2]), columns = pixels_of(v[0], v[2], ox, a->width, x->dim[3]);
    bool any = false;
    for (int64_t i = rows.first; i < rows.end; i++)
        for (int64_t j = columns.first; j < columns.end; j++) {
            double p = k_load(x->data, x->dtype, plane + i * x->dim[3] + j);
            best = !any || p > best ? p : best;
            any = true;
        }
    return best;
}

/* attrs: mode, height, width, sampling_ratio, spatial_scale, half_pixel */
K_KERNEL(roi_align)
{
    const int64_t *w = c->attr;
    int64_t mode = k_int(&w);
    RoiAlign a = { .max = mode == k_word("max"), .pool = mode == k_word("pool") };
    a.height = k_int(&w);
    a.width = k_int(&w);
    a.ratio = k_int(&w);
    a.scale = k_f64(&w);
    a.half_pixel = k_int(&w);
    const KTensor *x = &c->in[0], *rois = &c->in[1], *batch = &c->in[2], *out = &c->out[0];
    int64_t channels = x->dim[1], plane = x->dim[2] * x->dim[3], bins = a.height * a.width;
    if (batch->dim[0] != rois->dim[0])
        return K_BAD_SHAPE;
    for (int64_t r = 0; r < rois->dim[0]; r++) {
        int64_t image = k_load_i64(batch->data, batch->dtype, r);
        if (image < 0 || image >= x->dim[0] || !plane)
            return K_INDEX_RANGE;
        Bin b = bin_of(&a, rois, r);
        for (int64_t i = 0; i < channels * bins; i++) {
            int64_t first = (image * channels + i / bins) * plane, oy = i % bins / a.width, ox = i % a.width;
            double y = a.pool ? pool_pixels(&a, x, first, rois, r, oy, ox) : pool_bin(x, first, &b, oy, ox, a.max);
            k_store(out->data, out->dtype, r * channels * bins + i, y);
        }
    }
    return K_OK;
}
