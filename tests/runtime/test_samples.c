/* test_samples.c -- sample files: .npz archives, folders, limits. (tests/compress/test_observe.c has the numbers' form.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "samples.h"
#include "tool.h"

/* ---- a model of two inputs ---- */

static const int64_t a_dim[] = { -1, 2 }, b_dim[] = { -1, 1 };
static const ingot_port ports[] = { { .name = "a", .dtype = INGOT_f32, .rank = 2, .dim = a_dim }, { .name = "b", .dtype = INGOT_i64, .rank = 2, .dim = b_dim } };
static const ingot_model two = { .name = "two", .n_inputs = 2, .input = ports }, one = { .name = "one", .n_inputs = 1, .input = ports };

static void write_floats(const char *path, int64_t rows, float first)
{
    float x[16];
    ingot_tensor t = { .data = x, .dtype = INGOT_f32, .rank = 2, .dim = { rows, 2 } };
    for (int i = 0; i < 2 * rows; i++)
        x[i] = first + (float)i;
    assert_int_equal(ingot_tensor_write(path, &t, NULL), 0);
}

static void write_ints(const char *path, int64_t rows)
{
    int64_t x[8];
    ingot_tensor t = { .data = x, .dtype = INGOT_i64, .rank = 2, .dim = { rows, 1 } };
    for (int i = 0; i < rows; i++)
        x[i] = 100 + i;
    assert_int_equal(ingot_tensor_write(path, &t, NULL), 0);
}

static void put(FILE *f, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        putc((int)(x >> 8 * i & 0xff), f);
}

/* A ZIP archive of files as they are. */
static void write_zip(const char *path, const char *const *file, const char *const *name, int n)
{
    FILE *f = fopen(path, "wb");
    uint32_t at[4], size[4];
    static uint8_t data[4096];
    for (int i = 0; i < n; i++) {
        FILE *in = fopen(file[i], "rb");
        size[i] = (uint32_t)fread(data, 1, sizeof data, in);
        fclose(in);
        at[i] = (uint32_t)ftell(f);
        fputs("PK\3\4", f), put(f, 20, 2), put(f, 0, 2), put(f, 0, 2), put(f, 0, 8), put(f, size[i], 4), put(f, size[i], 4);
        put(f, (uint32_t)strlen(name[i]), 2), put(f, 0, 2), fputs(name[i], f);
        fwrite(data, 1, size[i], f);
    }
    uint32_t directory = (uint32_t)ftell(f);
    for (int i = 0; i < n; i++) {
        fputs("PK\1\2", f), put(f, 20, 2), put(f, 20, 2), put(f, 0, 2), put(f, 0, 2), put(f, 0, 8), put(f, size[i], 4), put(f, size[i], 4);
        put(f, (uint32_t)strlen(name[i]), 2), put(f, 0, 2), put(f, 0, 2), put(f, 0, 2), put(f, 0, 2), put(f, 0, 4), put(f, at[i], 4), fputs(name[i], f);
    }
    uint32_t end = (uint32_t)ftell(f);
    fputs("PK\5\6", f), put(f, 0, 4), put(f, (uint32_t)n, 2), put(f, (uint32_t)n, 2), put(f, end - directory, 4), put(f, directory, 4), put(f, 0, 2);
    fclose(f);
}

static Samples *open_path(const ingot_model *m, const char *path, int64_t limit)
{
    static SamplesOptions o;
    o = (SamplesOptions)SAMPLES_DEFAULT;
    o.path = path;
    o.limit = limit;
    return samples_open(m, &o);
}

static void check_second(Samples *s, float a, int64_t b)
{
    assert_non_null(s);
    const ingot_tensor *in = samples_inputs(s, 1);
    assert_true(((float *)in[0].data)[0] == a);
    assert_int_equal(in[0].dim[0], 1);
    if (b)
        assert_int_equal(((int64_t *)in[1].data)[0], b);
}

static void test_archives_and_folders(void **state)
{
    (void)state;
    ScratchDir dir, plain;
    char a[600], b[600], npz[600], second[600];
    assert_true(scratchdir_make(&dir) && scratchdir_make(&plain));
    snprintf(a, sizeof a, "%s/a.npy", dir.path), snprintf(b, sizeof b, "%s/b.npy", dir.path), snprintf(npz, sizeof npz, "%s/x.npz", dir.path);
    write_floats(a, 3, 1);
    write_ints(b, 3);
    write_zip(npz, (const char *const[]){ a, b }, (const char *const[]){ "a.npy", "b.npy" }, 2);
    Samples *s = open_path(&two, npz, 0);
    assert_int_equal(samples_count(s), 3);
    check_second(s, 3, 101);
    samples_close(s);
    s = open_path(&two, dir.path, 0);               /* files named as the inputs: one sample of three rows */
    assert_int_equal(samples_count(s), 1);
    assert_int_equal(samples_inputs(s, 0)[0].dim[0], 3);
    samples_close(s);
    snprintf(a, sizeof a, "%s/1.npy", plain.path), snprintf(second, sizeof second, "%s/2.npy", plain.path);
    write_floats(a, 1, 5);
    write_floats(second, 4, 50);
    s = open_path(&one, plain.path, 3);             /* the files' samples in order, no more than are wanted */
    assert_int_equal(samples_count(s), 3);
    check_second(s, 50, 0);
    samples_close(s);
    assert_null(open_path(&two, a, 0));             /* one array, two inputs */
    write_zip(npz, (const char *const[]){ b }, (const char *const[]){ "b.npy" }, 1);
    assert_null(open_path(&two, npz, 0));           /* no array 'a' */
    scratchdir_remove(&dir);
    scratchdir_remove(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_archives_and_folders) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
