/* samples_image.c -- pictures as samples: decoded, scaled to the model's size (each pixel the mean of what it covers, linear in between), channels where the
 * model has them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "samples_files.h"
#include "tool.h"

typedef struct Picture {
    int64_t h, w, c;
    uint8_t *pixel;                 /* [h,w,c] */
} Picture;

static bool decode(const char *path, int64_t channels, Picture *p)
{
    enum { RGB = 0, GRAY = 2 };
    size_t bytes;
    int64_t size[2];
    ingot_image_decoder run = tool_image_decoder();
    if (!run)
        return tool_fail("%s: this program was built without image libraries", path), false;
    uint8_t *file = samples_read_bytes(path, &bytes);
    if (!file)
        return false;
    int format = channels == 1 ? GRAY : RGB;
    bool ok = !run(file, bytes, format, size, NULL);
    *p = (Picture){ size[0], size[1], channels, ok ? malloc((size_t)(size[0] * size[1] * channels)) : NULL };
    ok = ok && p->pixel && !run(file, bytes, format, size, p->pixel);
    free(file);
    if (!ok)
        free(p->pixel);
    return ok || (tool_fail("%s: not an image that can be decoded", path), false);
}

/* ---- scaling: a triangle over what an output pixel covers, at least one input pixel wide on each side ---- */

/* One line of n elements `step` apart to m elements `to_step` apart. */
static void scale_line(const float *x, int64_t n, int64_t step, float *y, int64_t m, int64_t to_step)
{
    double ratio = (double)n / (double)m, reach = fmax(ratio, 1);
    for (int64_t i = 0; i < m; i++) {
        double centre = ((double)i + 0.5) * ratio, sum = 0, weight = 0;
        int64_t first = (int64_t)fmax(0, floor(centre - reach)), last = (int64_t)fmin((double)n - 1, ceil(centre + reach));
        for (int64_t k = first; k <= last; k++) {
            double w = fmax(0, 1 - fabs(((double)k + 0.5 - centre) / reach));
            sum += w * (double)x[k * step];
            weight += w;
        }
        y[i * to_step] = (float)(weight > 0 ? sum / weight : 0);
    }
}

static bool scale(Picture *p, int64_t h, int64_t w)
{
    if (h == p->h && w == p->w)
        return true;
    int64_t c = p->c;
    float *x = malloc((size_t)(p->h * p->w * c) * sizeof *x), *wide = malloc((size_t)(p->h * w * c) * sizeof *x), *y = malloc((size_t)(h * w * c) * sizeof *x);
    uint8_t *pixel = malloc((size_t)(h * w * c));
    bool ok = x && wide && y && pixel;
    for (int64_t i = 0; ok && i < p->h * p->w * c; i++)
        x[i] = p->pixel[i];
    for (int64_t row = 0; ok && row < p->h; row++)
        for (int64_t k = 0; k < c; k++)
            scale_line(x + row * p->w * c + k, p->w, c, wide + row * w * c + k, w, c);
    for (int64_t i = 0; ok && i < w * c; i++)
        scale_line(wide + i, p->h, w * c, y + i, h, w * c);
    for (int64_t i = 0; ok && i < h * w * c; i++)
        pixel[i] = (uint8_t)lrintf(fminf(fmaxf(y[i], 0), 255));
    free(x), free(wide), free(y), free(p->pixel);
    *p = (Picture){ h, w, c, pixel };
    return ok || (tool_fail("out of memory"), false);
}

/* ---- what the input wants ---- */

static bool is_channels(int64_t n) { return n == 1 || n == 3; }

bool samples_channels_last(const ingot_port *p, const SamplesOptions *o)
{
    bool first = is_channels(p->dim[1]), last = is_channels(p->dim[3]);
    return first == last ? o->layout && !strcmp(o->layout, "nhwc") : last;
}

static bool wanted_size(const char *path, const ingot_port *p, const SamplesOptions *o, bool last, int64_t *h, int64_t *w)
{
    long long a, b;
    char after;
    if (o->size) {
        int n = sscanf(o->size, "%lldx%lld%c", &a, &b, &after);
        if (n == 1)
            b = a;
        if ((n != 1 && n != 2) || a < 1 || b < 1 || a > 65536 || b > 65536)
            return tool_fail("--size %s: not of the form N or HEIGHTxWIDTH", o->size), false;
        *h = a, *w = b;
        return true;
    }
    *h = p->dim[last ? 1 : 2], *w = p->dim[last ? 2 : 3];
    return (*h > 0 && *w > 0) || (tool_fail("%s: input '%s' has no fixed size, --size is needed", path, p->name), false);
}

/* [h,w,c] to [c,h,w] */
static bool channels_first(Picture *p)
{
    int64_t plane = p->h * p->w;
    uint8_t *pixel = malloc((size_t)(plane * p->c));
    for (int64_t i = 0; pixel && i < plane; i++)
        for (int64_t k = 0; k < p->c; k++)
            pixel[k * plane + i] = p->pixel[i * p->c + k];
    free(p->pixel);
    p->pixel = pixel;
    return pixel || (tool_fail("out of memory"), false);
}

bool samples_image_read(const char *path, const ingot_port *p, const SamplesOptions *o, ingot_tensor *t)
{
    int64_t h, w;
    Picture x = { 0 };
    if (p->rank != 4)
        return tool_fail("%s is an image, input '%s' has %d axes and not four", path, p->name, (int)p->rank), false;
    bool last = samples_channels_last(p, o);
    int64_t channels = p->dim[last ? 3 : 1] == 1 ? 1 : 3;
    if (!wanted_size(path, p, o, last, &h, &w) || !decode(path, channels, &x) || !scale(&x, h, w) || (!last && !channels_first(&x)))
        return false;
    *t = (ingot_tensor){ .data = x.pixel, .dtype = INGOT_u8, .rank = 4, .dim = { 1, channels, h, w } };
    if (last)
        memcpy(t->dim, (int64_t[]){ 1, h, w, channels }, 4 * sizeof *t->dim);
    return true;
}
