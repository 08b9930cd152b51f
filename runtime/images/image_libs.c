/* image_libs.c -- PNG, JPEG, WebP and JPEG 2000 by libpng, libjpeg, libwebp and OpenJPEG. */
#include "image_parts.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <openjpeg.h>
#include <png.h>
#include <webp/decode.h>

/* ---- PNG ---- */

static bool read_png(png_image *p, int64_t *height, int64_t *width, uint8_t *rgb)
{
    if (!image_size_fits(p->height, p->width, height, width, rgb))
        return false;
    if (!rgb)
        return true;
    p->format = PNG_FORMAT_RGBA;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(*p));
    bool ok = pixels && png_image_finish_read(p, NULL, pixels, 0, NULL);
    for (int64_t i = 0; ok && i < *height * *width; i++)
        memcpy(rgb + 3 * i, pixels + 4 * i, 3);
    free(pixels);
    return ok;
}

bool image_png(ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb)
{
    png_image p = { .version = PNG_IMAGE_VERSION };
    bool ok = png_image_begin_read_from_memory(&p, s.data, s.bytes) && read_png(&p, height, width, rgb);
    png_image_free(&p);
    return ok;
}

/* ---- JPEG ---- */

typedef struct JpegFailure { struct jpeg_error_mgr base; jmp_buf escape; } JpegFailure;

static void jpeg_give_up(j_common_ptr j)
{
    longjmp(((JpegFailure *)j->err)->escape, 1);
}

static void jpeg_say_nothing(j_common_ptr j)
{
    (void)j;
}

/* Errors leave by the escape of the caller. */
static bool read_jpeg(struct jpeg_decompress_struct *j, ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb)
{
    jpeg_create_decompress(j);
    jpeg_mem_src(j, s.data, (unsigned long)s.bytes);
    jpeg_read_header(j, TRUE);
    if (!image_size_fits(j->image_height, j->image_width, height, width, rgb))
        return false;
    if (!rgb)
        return true;
    j->out_color_space = JCS_RGB;
    jpeg_start_decompress(j);
    while (j->output_scanline < j->output_height) {
        JSAMPROW row = rgb + (size_t)j->output_scanline * j->output_width * 3;
        jpeg_read_scanlines(j, &row, 1);
    }
    return jpeg_finish_decompress(j);
}

bool image_jpeg(ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb)
{
    struct jpeg_decompress_struct j;
    JpegFailure failure;
    memset(&j, 0, sizeof j);
    j.err = jpeg_std_error(&failure.base);
    failure.base.error_exit = jpeg_give_up;
    failure.base.output_message = jpeg_say_nothing;
    volatile bool ok = false;
    if (!setjmp(failure.escape))
        ok = read_jpeg(&j, s, height, width, rgb);
    jpeg_destroy_decompress(&j);
    return ok;
}

/* ---- WebP ---- */

bool image_webp(ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb)
{
    int w, h;
    if (!WebPGetInfo(s.data, s.bytes, &w, &h) || !image_size_fits(h, w, height, width, rgb))
        return false;
    return !rgb || WebPDecodeRGBInto(s.data, s.bytes, rgb, (size_t)h * (size_t)w * 3, w * 3);
}

/* ---- JPEG 2000 ---- */

typedef struct Reader { ImageSource s; size_t at; } Reader;

static OPJ_SIZE_T jp2_read(void *to, OPJ_SIZE_T n, void *self)
{
    Reader *r = self;
    size_t left = r->s.bytes - r->at;
    if (!left)
        return (OPJ_SIZE_T)-1;
    n = n < left ? n : left;
    memcpy(to, r->s.data + r->at, n);
    r->at += n;
    return n;
}

static OPJ_OFF_T jp2_skip(OPJ_OFF_T n, void *self)
{
    Reader *r = self;
    if (n < 0 || (size_t)n > r->s.bytes - r->at)
        return -1;
    r->at += (size_t)n;
    return n;
}

static OPJ_BOOL jp2_seek(OPJ_OFF_T at, void *self)
{
    Reader *r = self;
    if (at < 0 || (size_t)at > r->s.bytes)
        return OPJ_FALSE;
    r->at = (size_t)at;
    return OPJ_TRUE;
}

static uint8_t jp2_sample(const opj_image_comp_t *c, int64_t i)
{
    int64_t v = c->data[i] + (c->sgnd ? 1 << (c->prec - 1) : 0);
    v = c->prec > 8 ? v >> (c->prec - 8) : v;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* One or three planes of the image's size; subsampled ones are not taken. */
static bool jp2_pixels(const opj_image_t *image, int64_t count, uint8_t *rgb)
{
    uint32_t planes = image->numcomps < 3 ? 1 : 3;
    for (uint32_t c = 0; c < planes; c++)
        if (!image->comps[c].data || (int64_t)image->comps[c].w * image->comps[c].h != count)
            return false;
    for (int64_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < 3; c++)
            rgb[3 * i + c] = jp2_sample(&image->comps[planes == 1 ? 0 : c], i);
    return true;
}

static bool read_jp2(opj_codec_t *codec, opj_stream_t *stream, opj_image_t **image, int64_t *height, int64_t *width, uint8_t *rgb)
{
    opj_dparameters_t p;
    opj_set_default_decoder_parameters(&p);
    if (!opj_setup_decoder(codec, &p) || !opj_read_header(stream, codec, image) || !(*image)->numcomps)
        return false;
    if (!image_size_fits((int64_t)(*image)->y1 - (*image)->y0, (int64_t)(*image)->x1 - (*image)->x0, height, width, rgb))
        return false;
    return !rgb || (opj_decode(codec, stream, *image) && opj_end_decompress(codec, stream) && jp2_pixels(*image, *height * *width, rgb));
}

bool image_jp2(ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb)
{
    Reader r = { s, 0 };
    opj_image_t *image = NULL;
    opj_codec_t *codec = opj_create_decompress(s.data[0] == 0xff ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *stream = opj_stream_create(s.bytes, OPJ_TRUE);
    bool ok = false;
    if (codec && stream) {
        opj_stream_set_user_data(stream, &r, NULL);
        opj_stream_set_user_data_length(stream, s.bytes);
        opj_stream_set_read_function(stream, jp2_read);
        opj_stream_set_skip_function(stream, jp2_skip);
        opj_stream_set_seek_function(stream, jp2_seek);
        ok = read_jp2(codec, stream, &image, height, width, rgb);
    }
    if (image)
        opj_image_destroy(image);
    if (stream)
        opj_stream_destroy(stream);
    if (codec)
        opj_destroy_codec(codec);
    return ok;
}
