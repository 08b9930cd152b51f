/* test_images.c -- libingot_images: formats that can be written here come back as they were; whatever else the bytes are, they are refused or decoded,
 * never followed out of their file. (The official tests of ImageDecoder decode one file of every format.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <png.h>

#include "images.h"

enum { RGB, BGR, GRAY, H = 5, W = 3 };

static void fill(uint8_t *rgb)
{
    for (int i = 0; i < H * W * 3; i++)
        rgb[i] = (uint8_t)(i * 37 % 251);
}

/* Decodes a copy that ends where the file ends, so that a read beyond it is found. */
static int decode(const uint8_t *data, size_t n, int format, int64_t size[2], uint8_t *pixels)
{
    uint8_t *copy = malloc(n + !n);
    memcpy(copy, data, n);
    int status = ingot_decode_image(copy, n, format, size, pixels);
    free(copy);
    return status;
}

static void expect(const uint8_t *data, size_t n, const uint8_t *rgb, int tolerance)
{
    int64_t size[2] = { 0, 0 };
    uint8_t got[H * W * 3];
    assert_int_equal(decode(data, n, RGB, size, NULL), 0);
    assert_true(size[0] == H && size[1] == W);
    assert_int_equal(decode(data, n, RGB, size, got), 0);
    for (int i = 0; i < H * W * 3; i++)
        assert_in_range(got[i] - rgb[i] + tolerance, 0, 2 * tolerance);
    assert_int_equal(decode(data, n, BGR, size, got), 0);
    assert_in_range(got[2] - rgb[0] + tolerance, 0, 2 * tolerance);
    assert_int_equal(decode(data, n, GRAY, size, got), 0);
    assert_in_range(got[0] - (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2]) / 1000 + tolerance + 1, 0, 2 * tolerance + 2);
    size[0]++;
    assert_int_not_equal(decode(data, n, RGB, size, got), 0);
}

/* Every shorter file, and files with a byte changed. */
static void break_it(uint8_t *data, size_t n)
{
    static uint8_t got[64 * 64 * 3];
    for (size_t i = 0; i < 2 * n; i++) {
        int64_t size[2] = { 0, 0 };
        uint8_t kept = data[i % n];
        data[i % n] ^= i < n ? 0 : 0x55;
        if (!decode(data, i < n ? i : n, RGB, size, NULL) && size[0] <= 64 && size[1] <= 64)
            (void)decode(data, i < n ? i : n, RGB, size, got);
        data[i % n] = kept;
    }
}

static void test_png(void **state)
{
    (void)state;
    uint8_t rgb[H * W * 3], file[4096];
    png_alloc_size_t n = sizeof file;
    png_image p = { .version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = PNG_FORMAT_RGB };
    fill(rgb);
    assert_true(png_image_write_to_memory(&p, file, &n, 0, rgb, 0, NULL));
    expect(file, n, rgb, 0);
    break_it(file, n);
}

static void test_jpeg(void **state)
{
    (void)state;
    uint8_t rgb[H * W * 3], *file = NULL;
    unsigned long n = 0;
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr err;
    memset(rgb, 90, sizeof rgb);
    j.err = jpeg_std_error(&err);
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &file, &n);
    j.image_width = W;
    j.image_height = H;
    j.input_components = 3;
    j.in_color_space = JCS_RGB;
    jpeg_set_defaults(&j);
    jpeg_start_compress(&j, TRUE);
    for (int y = 0; y < H; y++)
        jpeg_write_scanlines(&j, (JSAMPROW[]){ rgb + y * W * 3 }, 1);
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    expect(file, n, rgb, 2);
    break_it(file, n);
    free(file);
}

static void test_pnm(void **state)
{
    (void)state;
    uint8_t rgb[H * W * 3], file[4096];
    fill(rgb);
    size_t n = (size_t)sprintf((char *)file, "P6 # a comment\n%d %d\n255\n", W, H);
    memcpy(file + n, rgb, sizeof rgb);
    expect(file, n + sizeof rgb, rgb, 0);
    break_it(file, n + sizeof rgb);
    n = (size_t)sprintf((char *)file, "P3 %d %d 255", W, H);
    for (size_t i = 0; i < sizeof rgb; i++)
        n += (size_t)sprintf((char *)file + n, " %d", rgb[i]);
    expect(file, n, rgb, 0);
    break_it(file, n);
}

/* From the bottom up, and with a negative height from the top down. */
static void test_bmp(void **state)
{
    (void)state;
    enum { STEP = (W * 3 + 3) / 4 * 4, START = 54 };
    uint8_t rgb[H * W * 3], file[START + H * STEP] = { 'B', 'M', [10] = START, [14] = 40, [18] = W, [22] = H, [26] = 1, [28] = 24 };
    fill(rgb);
    for (int down = 0; down < 2; down++) {
        for (int i = 0; i < H * W * 3; i++)
            file[START + (down ? i / (W * 3) : H - 1 - i / (W * 3)) * STEP + i % (W * 3) / 3 * 3 + 2 - i % 3] = rgb[i];
        expect(file, sizeof file, rgb, 0);
        break_it(file, sizeof file);
        int32_t height = -H;
        memcpy(file + 22, &height, 4);
    }
}

/* Only the beginning is right. */
static void test_nonsense(void **state)
{
    (void)state;
    static const char *const magic[] = { "\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "II*\0\x08", "MM\0*", "RIFF....WEBPVP8 ", "\0\0\0\x0cjP  ", "\xff\x4f\xff\x51", "BM", "P5", "GIF89a" };
    static const size_t bytes[] = { 8, 3, 5, 4, 16, 8, 4, 2, 2, 6 };
    uint32_t seed = 1;
    for (size_t k = 0; k < sizeof magic / sizeof *magic; k++)
        for (int i = 0; i < 50; i++) {
            uint8_t file[200];
            int64_t size[2] = { 0, 0 };
            for (size_t b = 0; b < sizeof file; b++)
                file[b] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
            memcpy(file, magic[k], bytes[k]);
            (void)decode(file, sizeof file, RGB, size, NULL);
        }
    int64_t size[2];
    assert_int_not_equal(decode((const uint8_t *)"GIF89a", 6, RGB, size, NULL), 0);
    assert_int_not_equal(decode((const uint8_t *)"", 0, RGB, size, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_png), cmocka_unit_test(test_jpeg), cmocka_unit_test(test_pnm), cmocka_unit_test(test_bmp),
                                        cmocka_unit_test(test_nonsense) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
