/* image_tiff.c -- TIFF by libtiff, read from memory. */
#include "image_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

typedef struct Reader { ImageSource s; uint64_t at; } Reader;

static tmsize_t tiff_read(thandle_t self, void *to, tmsize_t n)
{
    Reader *r = self;
    uint64_t left = r->at < r->s.bytes ? r->s.bytes - r->at : 0;
    n = (uint64_t)n < left ? n : (tmsize_t)left;
    memcpy(to, r->s.data + (left ? r->at : 0), (size_t)n);
    r->at += (uint64_t)n;
    return n;
}

static tmsize_t tiff_write(thandle_t self, void *from, tmsize_t n)
{
    (void)self, (void)from, (void)n;
    return 0;
}

static toff_t tiff_seek(thandle_t self, toff_t at, int from)
{
    Reader *r = self;
    r->at = at + (from == SEEK_CUR ? r->at : from == SEEK_END ? r->s.bytes : 0);
    return r->at;
}

static int tiff_close(thandle_t self)
{
    (void)self;
    return 0;
}

static toff_t tiff_size(thandle_t self)
{
    return ((Reader *)self)->s.bytes;
}

static bool read_tiff(TIFF *t, int64_t *height, int64_t *width, uint8_t *rgb)
{
    uint32_t w = 0, h = 0;
    if (!TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &w) || !TIFFGetField(t, TIFFTAG_IMAGELENGTH, &h) || !image_size_fits(h, w, height, width, rgb))
        return false;
    if (!rgb)
        return true;
    size_t n = (size_t)w * h;
    uint32_t *pixels = malloc(n * sizeof *pixels);
    bool ok = pixels && TIFFReadRGBAImageOriented(t, w, h, pixels, ORIENTATION_TOPLEFT, 1);
    for (size_t i = 0; ok && i < n; i++) {
        rgb[3 * i] = (uint8_t)TIFFGetR(pixels[i]);
        rgb[3 * i + 1] = (uint8_t)TIFFGetG(pixels[i]);
        rgb[3 * i + 2] = (uint8_t)TIFFGetB(pixels[i]);
    }
    free(pixels);
    return ok;
}

static int tiff_say_nothing(TIFF *t, void *self, const char *module, const char *fmt, va_list ap)
{
    (void)t, (void)self, (void)module, (void)fmt, (void)ap;
    return 1;
}

bool image_tiff(ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb)
{
    Reader r = { s, 0 };
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return false;
    TIFFOpenOptionsSetErrorHandlerExtR(options, tiff_say_nothing, NULL);
    TIFFOpenOptionsSetWarningHandlerExtR(options, tiff_say_nothing, NULL);
    TIFF *t = TIFFClientOpenExt("image", "rm", &r, tiff_read, tiff_write, tiff_seek, tiff_close, tiff_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    bool ok = t && read_tiff(t, height, width, rgb);
    if (t)
        TIFFClose(t);
    return ok;
}
