/* resize.c -- resampling as ONNX Resize defines it, any rank, one axis at a time.
 *
 * Every axis whose size or region changes ("active") gets a table: for each output position `taps` input positions and their weights (nearest:
 * one tap). Interpolation is separable, so the axes are run one after the other, in double, over two scratch buffers; nearest is one gather; the
 * common case, linear in f32 over two neighbouring axes, has a loop of its own. Sizes follow the layout of the operand, so nothing here knows channels.
 *
 *      output position o  --coordinate-->  x in input positions  -->  taps ceil(x) - taps/2 ... ceil(x) + taps/2 - 1
 */
#include "kernel.h"

enum { K_MAX_RANK = 12 };

typedef enum Mode { NEAREST, LINEAR, CUBIC } Mode;

typedef struct Resize {
    const KTensor *x;
    const KTensor *r;
    int64_t nscales, nroi;
    const int64_t *scales, *roi;    /* bits of doubles */
    const KTensor *scales_in, *roi_in;      /* operands that say the same at run time, or NULL */
    Mode mode;
    int64_t coord, nearest;         /* words */
    double cubic_a, extrapolation;
    bool exclude_outside, antialias;
} Resize;

typedef struct Axis {
    int64_t in, out, taps;
    int64_t *source;                /* [out][taps], clamped into the input; [out] below 0: the extrapolation value */
    double *weight;                 /* [out][taps] */
    bool active;
} Axis;

static double bits_f64(int64_t bits)
{
    return (union { int64_t i; double f; }){ bits }.f;
}

static Resize resize_of(const KCall *c)
{
    const int64_t *a = c->attr;
    Resize r = { .x = &c->in[0], .r = &c->out[0] };
    r.scales_in = c->nin > 1 && c->in[1].data ? &c->in[1] : NULL;
    r.roi_in = c->nin > 2 && c->in[2].data ? &c->in[2] : NULL;
    int64_t n;
    k_ints(&a, &n);                                         /* the shape is that of the result */
    r.scales = k_ints(&a, &r.nscales);
    r.roi = k_ints(&a, &r.nroi);
    int64_t mode = k_int(&a);
    r.mode = mode == k_word("nearest") ? NEAREST : mode == k_word("linear") ? LINEAR : CUBIC;
    r.coord = k_int(&a);
    r.nearest = k_int(&a);
    r.cubic_a = k_f64(&a);
    r.exclude_outside = k_int(&a);
    r.antialias = k_int(&a);
    r.extrapolation = k_f64(&a);
    return r;
}

static double scale_of(const Resize *r, int k)
{
    if (r->scales_in)
        return k_load(r->scales_in->data, r->scales_in->dtype, k);
    return r->nscales ? bits_f64(r->scales[k]) : (double)r->r->dim[k] / (double)r->x->dim[k];
}

/* Begin of the region along axis i, or its end along axis i - rank. */
static double roi_of(const Resize *r, int i)
{
    return r->roi_in ? k_load(r->roi_in->data, r->roi_in->dtype, i) : bits_f64(r->roi[i]);
}

/* ---- coordinates ---- */

/* The input position that output position o of axis k looks at. */
static double coordinate(const Resize *r, int k, int64_t o)
{
    double scale = scale_of(r, k), in = (double)r->x->dim[k], out = scale * in, x = (double)o;
    if (r->coord == k_word("align_corners"))
        return out == 1 ? 0 : x * (in - 1) / (out - 1);
    if (r->coord == k_word("asymmetric"))
        return x / scale;
    if (r->coord == k_word("tf_half_pixel_for_nn"))
        return (x + 0.5) / scale;
    if (r->coord == k_word("pytorch_half_pixel") && out == 1)
        return -0.5;
    if (r->coord == k_word("tf_crop_and_resize")) {
        double start = roi_of(r, k), end = roi_of(r, r->x->rank + k);
        double within = out == 1 ? (end - start) * (in - 1) / 2 : x * (end - start) * (in - 1) / (out - 1);
        return within + start * (in - 1);
    }
    double half_pixel = (x + 0.5) / scale - 0.5;
    if (r->coord == k_word("half_pixel_symmetric"))         /* centres of both canvases coincide even where scale * in is no integer */
        half_pixel += in / 2 * (1 - (double)r->r->dim[k] / out);
    return half_pixel;
}

/* ---- weights. ratio is in (0, 1]: how far x lies beyond the tap in the middle left ---- */

static double cubic_weight(double a, double d)
{
    d = d < 0 ? -d : d;
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

static double linear_weight(double d)
{
    d = d < 0 ? -d : d;
    return d < 1 ? 1 - d : 0;
}

/* How wide the kernel is stretched: antialiasing widens it by the factor of reduction. */
static double stretch_of(const Resize *r, int k)
{
    double scale = scale_of(r, k);
    return r->antialias && scale < 1 ? scale : 1;
}

int64_t k_resize_taps(int64_t reach, double scale)
{
    return 2 - 2 * ((int64_t)k_floor((double)-reach / scale) + 1);
}

/* As ir/scratch.c plans it: where the scale comes from the sizes or from an operand, the sizes decide, with room for rounding. */
static int64_t taps_of(const Resize *r, int k)
{
    int64_t reach = r->mode == LINEAR ? 1 : 2, in = r->x->dim[k], out = r->r->dim[k];
    if (r->mode == NEAREST)
        return 1;
    if (!r->antialias)
        return 2 * reach;
    if (r->nscales && !r->scales_in)
        return k_resize_taps(reach, stretch_of(r, k));
    int64_t taps = 2 * ((reach * in + out - 1) / out);
    return (taps < 2 * reach ? 2 * reach : taps) + (r->scales_in ? 2 : 0);
}

static int64_t clamp(int64_t i, int64_t size)
{
    return i < 0 ? 0 : i < size ? i : size - 1;
}

static void weigh(const Resize *r, int k, const Axis *a, int64_t o, double x)
{
    int64_t below = (int64_t)k_floor(x), left = below == x ? below - 1 : below, first = left + 1 - a->taps / 2;
    double stretch = stretch_of(r, k), sum = 0, *w = a->weight + o * a->taps;
    for (int64_t t = 0; t < a->taps; t++) {
        double d = ((double)(first + t) - x) * stretch;
        bool outside = first + t < 0 || first + t >= a->in;
        w[t] = r->exclude_outside && outside ? 0 : r->mode == LINEAR ? linear_weight(d) : cubic_weight(r->cubic_a, d);
        a->source[o * a->taps + t] = clamp(first + t, a->in);
        sum += w[t];
    }
    for (int64_t t = 0; (r->exclude_outside || r->antialias) && t < a->taps; t++)
        w[t] /= sum;
}

static int64_t nearest_source(const Resize *r, double x)
{
    double below = k_floor(x), part = x - below;
    bool up = part > 0.5;
    if (r->nearest == k_word("round_prefer_ceil"))
        up = part >= 0.5;
    else if (r->nearest == k_word("floor"))
        up = false;
    else if (r->nearest == k_word("ceil"))
        up = part > 0;
    return (int64_t)below + up;
}

static void leave_out(const Axis *a, int64_t o)
{
    for (int64_t t = o * a->taps; t < (o + 1) * a->taps; t++) {
        a->source[t] = -1;
        a->weight[t] = 0;
    }
}

static void fill_axis(const Resize *r, int k, Axis *a)
{
    bool crop = r->coord == k_word("tf_crop_and_resize");
    for (int64_t o = 0; o < a->out; o++) {
        double x = coordinate(r, k, o);
        if (crop && !(x >= 0 && x <= (double)(a->in - 1)))
            leave_out(a, o);
        else if (r->mode == NEAREST)
            a->source[o] = clamp(nearest_source(r, x), a->in);
        else
            weigh(r, k, a, o, x);
    }
}

/* ---- tables and buffers in scratch ---- */

static bool is_active(const Resize *r, int k)
{
    if (r->x->dim[k] != r->r->dim[k] || scale_of(r, k) != 1)
        return true;
    return r->coord == k_word("tf_crop_and_resize") && (roi_of(r, k) != 0 || roi_of(r, r->x->rank + k) != 1);
}

/* Lays out tables for the active axes at `at`; returns bytes. */
static int64_t place_axes(const Resize *r, Axis *axis, char *at)
{
    int64_t used = 0;
    for (int k = 0; k < r->x->rank; k++) {
        Axis *a = &axis[k];
        *a = (Axis){ .in = r->x->dim[k], .out = r->r->dim[k], .taps = 1, .active = is_active(r, k) };
        if (!a->active)
            continue;
        a->taps = taps_of(r, k);
        a->source = (int64_t *)(void *)(at + used);
        a->weight = (double *)(void *)(at + used + a->out * a->taps * 8);
        used += a->out * a->taps * 16;
    }
    return used;
}

static bool any_active(const Axis *axis, int rank)
{
    for (int k = 0; k < rank; k++)
        if (axis[k].active)
            return true;
    return false;
}

/* Elements of the largest tensor between two axes: the axes before k have their new size. */
static int64_t largest_partial(const Axis *axis, int rank)
{
    int64_t most = 0;
    for (int k = 0; k <= rank; k++) {
        int64_t n = 1;
        for (int j = 0; j < rank; j++)
            n *= j < k ? axis[j].out : axis[j].in;
        most = n > most ? n : most;
    }
    return most;
}

/* What needs no buffers, see ir/scratch.c: linear in f32, nothing cut off, over one axis or two neighbouring ones. */
static bool is_bilinear(const Resize *r, const Axis *axis)
{
    int first = -1, last = -1, count = 0;
    for (int k = 0; k < r->x->rank; k++)
        if (axis[k].active) {
            first = first < 0 ? k : first;
            last = k;
            count++;
        }
    bool plain = r->mode == LINEAR && !r->antialias && r->x->dtype == K_F32 && r->coord != k_word("tf_crop_and_resize");
    return plain && count > 0 && last - first <= 1;
}

/* ---- nearest ---- */

static void fill_extrapolation(const Resize *r, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        k_store(r->r->data, r->r->dtype, first + i, r->extrapolation);
}

/* One row along an active axis whose elements are `bytes` large; those from outside are left alone. */
static void gather_row(const Axis *a, const char *from, int64_t bytes, char *to)
{
    for (int64_t o = 0; bytes == 4 && o < a->out; o++)
        if (a->source[o] >= 0)
            __builtin_memcpy(to + 4 * o, from + 4 * a->source[o], 4);
    for (int64_t o = 0; bytes != 4 && o < a->out; o++)
        if (a->source[o] >= 0)
            k_copy(to + bytes * o, from + bytes * a->source[o], bytes);
}

/* What the threads that share a resize know. */
typedef struct Job {
    const Resize *r;
    const Axis *axis;
    int last;                       /* the last active axis */
    const double *from;             /* of one axis of several */
    double *to;
} Job;

static Job job_of(const Resize *r, const Axis *axis)
{
    int last = r->x->rank - 1;
    while (!axis[last].active)
        last--;
    return (Job){ r, axis, last, NULL, NULL };
}

/* Row by row along the last active axis; the axes behind it move as a block. */
static void gather_rows(void *arg, int64_t begin, int64_t end)
{
    const Job *j = arg;
    const Resize *r = j->r;
    const Axis *axis = j->axis;
    int last = j->last;
    int64_t bytes = k_count_from(r->x, last + 1) * k_dtype_bytes(r->x->dtype);
    for (int64_t row = begin; row < end; row++) {
        int64_t at = 0, step = 1, rest = row;
        for (int k = last - 1; k >= 0 && at >= 0; k--) {
            int64_t o = rest % axis[k].out, i = axis[k].active ? axis[k].source[o] : o;
            at = i < 0 ? -1 : at + i * step;
            step *= axis[k].in;
            rest /= axis[k].out;
        }
        if (at >= 0)
            gather_row(&axis[last], (const char *)r->x->data + at * axis[last].in * bytes, bytes, (char *)r->r->data + row * axis[last].out * bytes);
    }
}

/* Result elements with a coordinate outside the input on any axis. */
static void cut_outside(const Resize *r, const Axis *axis)
{
    for (int k = 0; k < r->x->rank; k++) {
        int64_t outer = k_count_to(r->r, k), inner = k_count_from(r->r, k + 1);
        for (int64_t n = 0; axis[k].active && n < outer; n++)
            for (int64_t o = 0; o < axis[k].out; o++)
                if (axis[k].source[o * axis[k].taps] < 0)
                    fill_extrapolation(r, (n * axis[k].out + o) * inner, inner);
    }
}

/* ---- linear f32 over one or two axes: every element of [outer, H, W, inner] is a blend of four of the operand ---- */

static void blend_row(const Axis *w, const float *top, const float *bottom, float below, int64_t inner, float *to)
{
    for (int64_t o = 0; o < w->out; o++) {
        int64_t l = w->source[2 * o] * inner, t = w->source[2 * o + 1] * inner;
        float wl = (float)w->weight[2 * o], wt = (float)w->weight[2 * o + 1];
        for (int64_t i = 0; i < inner; i++) {
            float upper = top[l + i] * wl + top[t + i] * wt, lower = bottom[l + i] * wl + bottom[t + i] * wt;
            to[o * inner + i] = upper * (1 - below) + lower * below;
        }
    }
}

/* Rows of the result along its last active axis. */
static void bilinear_rows(void *arg, int64_t begin, int64_t end)
{
    const Job *j = arg;
    const Resize *r = j->r;
    Axis whole = { 1, 1, 2, (int64_t[]){ 0, 0 }, (double[]){ 1, 0 }, true };
    bool two = j->last > 0 && j->axis[j->last - 1].active;
    const Axis *h = two ? &j->axis[j->last - 1] : &whole, *w = &j->axis[j->last];
    int64_t inner = k_count_from(r->x, j->last + 1);
    for (int64_t row = begin; row < end; row++) {
        int64_t o = row % h->out;
        const float *x = (const float *)r->x->data + row / h->out * h->in * w->in * inner;
        float *to = (float *)r->r->data + row * w->out * inner;
        blend_row(w, x + h->source[2 * o] * w->in * inner, x + h->source[2 * o + 1] * w->in * inner, (float)h->weight[2 * o + 1], inner, to);
    }
}

/* ---- any interpolation, axis by axis ---- */

/* One axis of several; units are pieces of the result behind it. */
static void interpolate(void *arg, int64_t begin, int64_t end)
{
    const Job *j = arg;
    const Axis *a = &j->axis[j->last];
    int64_t inner = k_count_from(j->r->x, j->last + 1);
    for (int64_t row = begin; row < end; row++) {
        const double *from = j->from + row / a->out * a->in * inner;
        double *to = j->to + row * inner;
        for (int64_t i = 0; i < inner; i++) {
            double sum = 0;
            for (int64_t t = 0; t < a->taps; t++) {
                int64_t s = a->source[row % a->out * a->taps + t];
                sum += a->weight[row % a->out * a->taps + t] * from[(s < 0 ? 0 : s) * inner + i];
            }
            to[i] = sum;
        }
    }
}

static void resize_separable(const KCall *c, const Resize *r, const Axis *axis, double *buffer)
{
    int64_t n = k_count(r->x), room = largest_partial(axis, r->x->rank);
    double *from = buffer, *to = buffer + room;
    for (int64_t i = 0; i < n; i++)
        from[i] = k_load(r->x->data, r->x->dtype, i);
    for (int k = 0; k < r->x->rank; k++) {
        if (!axis[k].active)
            continue;
        Job j = { r, axis, k, from, to };
        k_share(c, interpolate, &j, k_count_to(r->r, k + 1), k_count_from(r->x, k + 1) * axis[k].taps);
        double *swap = from;
        from = to;
        to = swap;
    }
    n = k_count(r->r);
    for (int64_t i = 0; i < n; i++)
        k_store(r->r->data, r->r->dtype, i, from[i]);
}

/* Rows along the last active axis, at some operations per element. */
static void share_rows(const KCall *c, const Resize *r, const Axis *axis, KTask *task, int64_t cost)
{
    Job j = job_of(r, axis);
    k_share(c, task, &j, k_count_to(r->r, j.last), k_count_from(r->r, j.last) * cost);
}

/* attrs: shape, scales, roi, mode, coord, nearest, cubic_a, exclude_outside, antialias, extrapolation, channels_last */
K_KERNEL(resize)
{
    Axis axis[K_MAX_RANK];
    Resize r = resize_of(c);
    if (!k_count(r.r))
        return K_OK;
    if (!k_count(r.x))
        return K_BAD_SHAPE;
    for (int k = 0; k < r.x->rank; k++)
        if (!(scale_of(&r, k) > 1e-7 && scale_of(&r, k) < 1e7))
            return K_BAD_VALUE;
    int64_t tables = place_axes(&r, axis, c->scratch);
    for (int k = 0; k < r.x->rank; k++)
        if (axis[k].active)
            fill_axis(&r, k, &axis[k]);
    if (!any_active(axis, r.x->rank))
        k_copy(r.r->data, r.x->data, k_count(r.x) * k_dtype_bytes(r.x->dtype));
    else if (r.mode == NEAREST)
        share_rows(c, &r, axis, gather_rows, 1);
    else if (is_bilinear(&r, axis))
        share_rows(c, &r, axis, bilinear_rows, 4);
    else
        resize_separable(c, &r, axis, (double *)(void *)((char *)c->scratch + tables));
    cut_outside(&r, axis);
    return K_OK;
}
