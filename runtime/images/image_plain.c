/* image_plain.c -- BMP (8, 24 and 32 bits, not compressed) and PNM (P2, P3, P5, P6 up to 255), which need no library. */
#include "image_parts.h"

/* ---- BMP ---- */

static uint32_t little(const uint8_t *p, int bytes)
{
    uint32_t x = 0;
    for (int i = bytes - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

bool image_bmp(ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb)
{
    if (s.bytes < 54)
        return false;
    uint32_t start = little(s.data + 10, 4), header = little(s.data + 14, 4), bits = little(s.data + 28, 2), compression = little(s.data + 30, 4);
    int64_t w = (int32_t)little(s.data + 18, 4), rows = (int32_t)little(s.data + 22, 4), h = rows < 0 ? -rows : rows, step = (w * bits + 31) / 32 * 4;
    const uint8_t *palette = s.data + 14 + header;
    if (header < 40 || compression || (bits != 8 && bits != 24 && bits != 32) || !image_size_fits(h, w, height, width, rgb))
        return false;
    if (start > s.bytes || h * step > (int64_t)(s.bytes - start) || (bits == 8 && 14 + (uint64_t)header + 1024 > s.bytes))
        return false;
    for (int64_t i = 0; rgb && i < h * w; i++) {
        int64_t y = i / w, x = i % w;
        const uint8_t *at = s.data + start + (rows < 0 ? y : h - 1 - y) * step + x * (bits / 8);
        at = bits == 8 ? palette + 4 * *at : at;
        for (int c = 0; c < 3; c++)
            rgb[3 * i + c] = at[2 - c];
    }
    return true;
}

/* ---- PNM ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next number, behind white space and comments; -1 if there is none. */
static int64_t number(ImageSource s, size_t *at)
{
    int64_t x = -1;
    while (*at < s.bytes && (is_space(s.data[*at]) || s.data[*at] == '#')) {
        if (s.data[*at] == '#')
            while (*at < s.bytes && s.data[*at] != '\n')
                ++*at;
        else
            ++*at;
    }
    for (; *at < s.bytes && s.data[*at] >= '0' && s.data[*at] <= '9' && x < IMAGE_MAX_SIDE; ++*at)
        x = (x < 0 ? 0 : x) * 10 + (s.data[*at] - '0');
    return x;
}

bool image_pnm(ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb)
{
    size_t at = 2;
    bool text = s.data[1] < '4', gray = s.data[1] == '2' || s.data[1] == '5';
    int64_t w = number(s, &at), h = number(s, &at), most = number(s, &at), each = gray ? 1 : 3;
    if (most < 1 || most > 255 || !image_size_fits(h, w, height, width, rgb))
        return false;
    at += !text;                                    /* one white space before the bytes */
    if (!text && (at > s.bytes || h * w * each > (int64_t)(s.bytes - at)))
        return false;
    for (int64_t i = 0; rgb && i < h * w * each; i++) {
        int64_t v = text ? number(s, &at) : s.data[at + (size_t)i];
        if (v < 0 || v > most)
            return false;
        uint8_t byte = (uint8_t)((v * 255 + most / 2) / most);
        for (int c = 0; c < (gray ? 3 : 1); c++)
            rgb[gray ? 3 * i + c : i] = byte;
    }
    return true;
}
