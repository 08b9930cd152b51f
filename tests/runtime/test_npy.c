/* test_npy.c -- .npy and .json files: round trips of every element type, what NumPy writes in other layouts, and damaged files. */
#include "toy.h"

#include "npy.h"

static void write_bytes(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A version 1 file with this dict and these elements. */
static const char *make_npy(const char *dict, const void *data, size_t n)
{
    static char file[4096];
    const char *path = toy_path("made.npy");
    size_t head = strlen(dict);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (char)head;
    file[9] = (char)(head >> 8);
    memcpy(file + 10, dict, head);
    if (n)
        memcpy(file + 10 + head, data, n);
    write_bytes(path, file, 10 + head + n);
    return path;
}

static void round_trip_every_dtype(void **state)
{
    (void)state;
    ingot_error err;
    unsigned char data[6 * 16];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37 + 11);
    for (int32_t dtype = 1; ingot_dtype_bytes(dtype); dtype++) {
        if (dtype == INGOT_str)
            continue;
        const char *path = toy_path("trip.npy");
        ingot_tensor t = { .data = data, .dtype = dtype, .rank = 2, .dim = { 2, 3 } }, back;
        assert_int_equal(ingot_tensor_write(path, &t, &err), INGOT_OK);
        assert_int_equal(ingot_tensor_read(path, dtype, &back, &err), INGOT_OK);
        assert_int_equal(back.dtype, dtype);
        assert_int_equal(back.rank, 2);
        assert_int_equal(back.dim[0] * 10 + back.dim[1], 23);
        assert_memory_equal(back.data, data, 6 * ingot_dtype_bytes(dtype));
        free(back.data);
        unlink(path);
    }
}

static void round_trip_shapes(void **state)
{
    (void)state;
    ingot_error err;
    float x[4] = { 1, 2, 3, 4 };
    const ingot_tensor shapes[] = {
        { .data = x, .dtype = INGOT_f32, .rank = 0 }, { .data = x, .dtype = INGOT_f32, .rank = 1, .dim = { 4 } },
        { .data = x, .dtype = INGOT_f32, .rank = 3, .dim = { 2, 0, 5 } }, { .data = x, .dtype = INGOT_f32, .rank = 12, .dim = { 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2 } },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const char *path = toy_path("shape.npy");
        ingot_tensor back;
        assert_int_equal(ingot_tensor_write(path, &shapes[i], &err), INGOT_OK);
        assert_int_equal(ingot_tensor_read(path, 0, &back, &err), INGOT_OK);
        assert_int_equal(back.rank, shapes[i].rank);
        assert_memory_equal(back.dim, shapes[i].dim, sizeof back.dim);
        assert_memory_equal(back.data, x, (size_t)ingot_count(&back) * 4);
        free(back.data);
        unlink(path);
    }
}

static void other_layouts(void **state)
{
    (void)state;
    ingot_error err;
    ingot_tensor t;
    const float fortran[6] = { 1, 4, 2, 5, 3, 6 }, c_order[6] = { 1, 2, 3, 4, 5, 6 };
    const char *path = make_npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", fortran, sizeof fortran);
    assert_int_equal(ingot_tensor_read(path, 0, &t, &err), INGOT_OK);
    assert_memory_equal(t.data, c_order, sizeof c_order);
    free(t.data);
    const unsigned char big[4] = { 0x01, 0x02, 0x03, 0x04 };
    path = make_npy("{'shape': (2L,), 'fortran_order': False, 'descr': '>i2'}", big, sizeof big);
    assert_int_equal(ingot_tensor_read(path, 0, &t, &err), INGOT_OK);
    assert_int_equal(((int16_t *)t.data)[0], 0x0102);
    assert_int_equal(((int16_t *)t.data)[1], 0x0304);
    free(t.data);
    const uint32_t wide[4] = { 'a', 0xe9, 0x1f600, 0 };      /* "aé", "😀" */
    path = make_npy("{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }", wide, sizeof wide);
    assert_int_equal(ingot_tensor_read(path, 0, &t, &err), INGOT_OK);
    const ingot_string *s = t.data;
    assert_int_equal(s[0].bytes, 3);
    assert_memory_equal(s[0].u.data, "a\xc3\xa9", 3);
    assert_int_equal(s[1].bytes, 4);
    assert_memory_equal(s[1].u.data, "\xf0\x9f\x98\x80", 4);
    free(t.data);
    unlink(path);
}

static void strings_as_json(void **state)
{
    (void)state;
    ingot_error err;
    ingot_tensor back;
    ingot_string s[3] = { { .u.data = "a\"\\\n\x01", .bytes = 5 }, { .u.data = "", .bytes = 0 }, { .u.data = "\xc3\xa9", .bytes = 2 } };
    ingot_tensor t = { .data = s, .dtype = INGOT_str, .rank = 2, .dim = { 3, 1 } };
    const char *path = toy_path("s.json");
    assert_int_equal(ingot_tensor_write(path, &t, &err), INGOT_OK);
    assert_int_equal(ingot_tensor_read(path, 0, &back, &err), INGOT_OK);
    assert_int_equal(back.dtype, INGOT_str);
    assert_int_equal(back.rank, 2);
    for (int i = 0; i < 3; i++) {
        const ingot_string *b = (const ingot_string *)back.data + i;
        assert_int_equal(b->bytes, s[i].bytes);
        assert_memory_equal(b->u.data, s[i].u.data, s[i].bytes);
    }
    free(back.data);
    const char escaped[] = "{\"data\":[\"\\u00e9\\ud83d\\ude00\\t\"],\"dims\":[1]}";
    write_bytes(path, escaped, sizeof escaped - 1);
    assert_int_equal(ingot_tensor_read(path, 0, &back, &err), INGOT_OK);
    assert_int_equal(((ingot_string *)back.data)->bytes, 7);
    assert_memory_equal(((ingot_string *)back.data)->u.data, "\xc3\xa9\xf0\x9f\x98\x80\t", 7);
    free(back.data);
    unlink(path);
}

static void refusals(void **state)
{
    (void)state;
    static const struct { const char *dict, *says; } cases[] = {
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "truncated" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "malformed .npy header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904), }", "malformed shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "malformed .npy header" },
        { "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "'|O' are not supported" },
        { "{'descr': '|V2', 'fortran_order': False, 'shape': (1,), }", "'|V2' are not supported" },
        { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "malformed .npy header" },
        { "{'descr': '<f4', 'shape': (1,), }", "malformed .npy header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1", "malformed .npy header" },
        { "", "malformed .npy header" },
        { "{'descr': '<U99999999999', 'fortran_order': False, 'shape': (1000000000000,), }", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ingot_error err = { 0 };
        ingot_tensor t;
        const char *path = make_npy(cases[i].dict, "12345678", 8);
        assert_int_equal(ingot_tensor_read(path, 0, &t, &err), INGOT_ERR_FILE);
        assert_non_null(strstr(err.text, cases[i].says));
        assert_non_null(strstr(err.text, path));
        unlink(path);
    }
    const char *const texts[] = { "", "{", "{\"dims\":[1],\"data\":[]}", "{\"dims\":[1],\"data\":[\"a\"", "{\"dims\":[1],\"data\":[\"\\u12\"]}", "{\"dims\":[-1],\"data\":[]}", "[]", "{\"x\":1}" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ingot_error err = { 0 };
        ingot_tensor t;
        const char *path = toy_path("bad.json");
        write_bytes(path, texts[i], strlen(texts[i]));
        assert_int_equal(ingot_tensor_read(path, 0, &t, &err), INGOT_ERR_FILE);
        assert_non_null(strstr(err.text, "not a string tensor"));
        unlink(path);
    }
}

/* A file that cannot be completed leaves neither itself nor its temporary behind. */
static void nothing_partial(void **state)
{
    (void)state;
    ingot_error err;
    float x = 1;
    ingot_tensor t = { .data = &x, .dtype = INGOT_f32 };
    assert_int_equal(ingot_tensor_write("/nonexistent-folder/x.npy", &t, &err), INGOT_ERR_FILE);
    assert_non_null(strstr(err.text, "/nonexistent-folder/x.npy"));
    if (!access("/dev/full", W_OK)) {
        assert_int_equal(ingot_tensor_write("/dev/full", &t, &err), INGOT_ERR_FILE);
        assert_non_null(strstr(err.text, "No space left"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_every_dtype), cmocka_unit_test(round_trip_shapes), cmocka_unit_test(other_layouts),
        cmocka_unit_test(strings_as_json), cmocka_unit_test(refusals), cmocka_unit_test(nothing_partial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
