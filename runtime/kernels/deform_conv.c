/* deform_conv.c -- convolution whose window elements are moved by offsets and weighted by a mask (Deformable ConvNets v2), over two axes.
 *
 * Operands: x [N, C, H, W], w [M, C/group, kh, kw], offset [N, offset_group * kh*kw * 2, oh, ow] (y then x), bias [M] or absent, mask
 * [N, offset_group * kh*kw, oh, ow] or absent. For each output position the moved inputs of one group are gathered into scratch, then every filter
 * takes its dot product.
 */
#include "kernel.h"

typedef struct Deform {
    const KTensor *x, *w, *offset, *bias, *mask, *r;
    const int64_t *strides, *dilations, *pads;
    int64_t group, offset_group;
} Deform;

static Deform deform_of(const KCall *c)
{
    const int64_t *a = c->attr;
    int64_t n;
    Deform d = { .x = &c->in[0], .w = &c->in[1], .offset = &c->in[2], .r = &c->out[0] };
    d.bias = c->nin > 3 && c->in[3].data ? &c->in[3] : NULL;
    d.mask = c->nin > 4 && c->in[4].data ? &c->in[4] : NULL;
    d.strides = k_ints(&a, &n);
    d.dilations = k_ints(&a, &n);
    d.pads = k_ints(&a, &n);
    d.group = k_int(&a);
    d.offset_group = k_int(&a);
    return d;
}

/* Between pixels linear, outside zero; a neighbour outside counts as zero. */
static double bilinear_zero(const KTensor *t, int64_t plane, double y, double x)
{
    int64_t h = t->dim[2], w = t->dim[3];
    double sum = 0;
    if (!(y > -1 && y < (double)h && x > -1 && x < (double)w))
        return 0;
    double y0 = k_floor(y), x0 = k_floor(x);
    for (int k = 0; k < 4; k++) {
        int64_t iy = (int64_t)y0 + (k >> 1), ix = (int64_t)x0 + (k & 1);
        double wy = k & 2 ? y - y0 : 1 - (y - y0), wx = k & 1 ? x - x0 : 1 - (x - x0);
        if (iy >= 0 && iy < h && ix >= 0 && ix < w)
            sum += wy * wx * k_load(t->data, t->dtype, plane + iy * w + ix);
    }
    return sum;
}

/* The moved and masked inputs that group g sees at output position o of image n: [channels of the group][taps]. */
static void gather_window(const Deform *d, int64_t n, int64_t g, int64_t o, double *to)
{
    int64_t channels = d->x->dim[1], per_group = channels / d->group, per_offset = channels / d->offset_group;
    int64_t kw = d->w->dim[3], taps = d->w->dim[2] * kw, out = d->r->dim[2] * d->r->dim[3], ow = d->r->dim[3];
    for (int64_t i = 0; i < per_group * taps; i++) {
        int64_t c = g * per_group + i / taps, t = i % taps, field = (n * d->offset_group + c / per_offset) * taps + t;
        double y = (double)(o / ow * d->strides[0] + t / kw * d->dilations[0] - d->pads[0]);
        double x = (double)(o % ow * d->strides[1] + t % kw * d->dilations[1] - d->pads[1]);
        y += k_load(d->offset->data, d->offset->dtype, 2 * field * out + o);
        x += k_load(d->offset->data, d->offset->dtype, (2 * field + 1) * out + o);
        double m = d->mask ? k_load(d->mask->data, d->mask->dtype, field * out + o) : 1;
        to[i] = m * bilinear_zero(d->x, (n * channels + c) * d->x->dim[2] * d->x->dim[3], y, x);
    }
}

static void filter_window(const Deform *d, int64_t n, int64_t g, int64_t o, const double *window, int64_t depth)
{
    int64_t filters = d->w->dim[0] / d->group, out = d->r->dim[2] * d->r->dim[3];
    for (int64_t m = g * filters; m < (g + 1) * filters; m++) {
        double sum = d->bias ? k_load(d->bias->data, d->bias->dtype, m) : 0;
        for (int64_t i = 0; i < depth; i++)
            sum += window[i] * k_load(d->w->data, d->w->dtype, m * depth + i);
        k_store(d->r->data, d->r->dtype, (n * d->w->dim[0] + m) * out + o, sum);
    }
}

/* Inference leaves symbolic sizes open. */
static bool shapes_fit(const Deform *d)
{
    int64_t out = d->r->dim[0] * d->r->dim[2] * d->r->dim[3], taps = d->w->dim[2] * d->w->dim[3] * d->offset_group, c = d->x->dim[1];
    return d->w->dim[1] * d->group == c && c % d->offset_group == 0 && d->w->dim[0] % d->group == 0 && k_count(d->offset) == 2 * taps * out &&
           (!d->mask || k_count(d->mask) == taps * out) && (!d->bias || d->bias->dim[0] == d->w->dim[0]);
}

/* attrs: strides, dilations, pads, group, offset_group */
K_KERNEL(deform_conv)
{
    Deform d = deform_of(c);
    int64_t out = d.r->dim[2] * d.r->dim[3], depth = k_count_from(d.w, 1);
    if (!shapes_fit(&d))
        return K_BAD_SHAPE;
    for (int64_t n = 0; n < d.x->dim[0]; n++)
        for (int64_t g = 0; g < d.group; g++)
            for (int64_t o = 0; o < out; o++) {
                gather_window(&d, n, g, o, c->scratch);
                filter_window(&d, n, g, o, c->scratch, depth);
            }
    return K_OK;
}
