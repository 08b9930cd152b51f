/* image_decode.c -- images.h: finds the format by its first bytes, decodes to RGB, and turns that into what was asked for. */
#include "images.h"

#include <stdlib.h>
#include <string.h>

#include "image_parts.h"

enum { FORMAT_RGB, FORMAT_BGR, FORMAT_GRAY };

typedef struct Format { const char *magic; size_t bytes, at; ImageFn *decode; } Format;

static const Format formats[] = {
#ifndef INGOT_PLAIN_IMAGES
    { "\x89PNG\r\n\x1a\n", 8, 0, image_png }, { "\xff\xd8\xff", 3, 0, image_jpeg }, { "II*\0", 4, 0, image_tiff }, { "MM\0*", 4, 0, image_tiff },
    { "WEBP", 4, 8, image_webp }, { "\0\0\0\x0cjP  ", 8, 0, image_jp2 }, { "\xff\x4f\xff\x51", 4, 0, image_jp2 },
#endif
    { "BM", 2, 0, image_bmp },
    { "P2", 2, 0, image_pnm }, { "P3", 2, 0, image_pnm }, { "P5", 2, 0, image_pnm }, { "P6", 2, 0, image_pnm },
};

static ImageFn *decoder_of(ImageSource s)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const Format *f = &formats[i];
        if (s.bytes >= f->at + f->bytes && !memcmp(s.data + f->at, f->magic, f->bytes))
            return f->decode;
    }
    return NULL;
}

bool image_size_fits(int64_t height, int64_t width, int64_t *want_height, int64_t *want_width, const uint8_t *rgb)
{
    if (height < 1 || width < 1 || height > IMAGE_MAX_SIDE || width > IMAGE_MAX_SIDE || (rgb && (height != *want_height || width != *want_width)))
        return false;
    *want_height = height;
    *want_width = width;
    return true;
}

/* Luma after ITU-R BT.601 in 16-bit fixed point. */
static uint8_t gray_of(const uint8_t *rgb)
{
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
}

static bool decode_gray(ImageFn *decode, ImageSource s, int64_t size[2], uint8_t *pixels)
{
    size_t n = (size_t)size[0] * (size_t)size[1];
    uint8_t *rgb = malloc(3 * n + 1);
    bool ok = rgb && decode(s, &size[0], &size[1], rgb);
    for (size_t i = 0; ok && i < n; i++)
        pixels[i] = gray_of(rgb + 3 * i);
    free(rgb);
    return ok;
}

int ingot_decode_image(const void *data, uint64_t bytes, int32_t format, int64_t size[2], uint8_t *pixels)
{
    ImageSource s = { data, (size_t)bytes };
    ImageFn *decode = decoder_of(s);
    if (!decode || format < FORMAT_RGB || format > FORMAT_GRAY)
        return INGOT_ERR_DATA;
    if (pixels && format == FORMAT_GRAY)
        return decode_gray(decode, s, size, pixels) ? INGOT_OK : INGOT_ERR_DATA;
    if (!decode(s, &size[0], &size[1], pixels))
        return INGOT_ERR_DATA;
    for (int64_t i = 0, n = size[0] * size[1]; pixels && format == FORMAT_BGR && i < n; i++) {
        uint8_t red = pixels[3 * i];
        pixels[3 * i] = pixels[3 * i + 2];
        pixels[3 * i + 2] = red;
    }
    return INGOT_OK;
}
