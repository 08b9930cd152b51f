/* test_tensor_read.c -- TensorProto to Tensor: every element type in raw and in typed form, data files beside the model, and what must be refused. */
#include "onnx_writer.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval.h"
#include "frontend.h"
#include "tensor_read.h"

/* ---- reading one tensor from a file ---- */

static char folder[] = "/tmp/ingot-tensor-XXXXXX";

static const char *in_folder(Arena *a, const char *name)
{
    return arena_printf(a, "%s/%s", folder, name);
}

static void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

typedef struct Read {
    Arena *a;
    Diag d;
    const Tensor *t;
} Read;

static Read read_tensor(Msg *tensor)
{
    Read r = { .a = arena_new() };
    diag_init(&r.d, r.a, NULL);
    const char *path = in_folder(r.a, "tensor.pb");
    write_file(path, tensor->b, tensor->n);
    free(tensor);
    r.t = onnx_read_tensor(r.a, &r.d, path);
    return r;
}

static void assert_refused(Msg *tensor, const char *why)
{
    Read r = read_tensor(tensor);
    assert_null(r.t);
    if (!strstr(r.d.all, why))
        fail_msg("\"%s\" is not in: %s", why, r.d.all);
    arena_free(r.a);
}

static void assert_elements(Msg *tensor, DType type, int n, const double *want)
{
    Read r = read_tensor(tensor);
    if (!r.t)
        fail_msg("%s", r.d.all);
    assert_int_equal(r.t->dtype, type);
    assert_int_equal(r.t->count, n);
    for (int i = 0; i < n; i++)
        assert_true(tensor_get_f64(r.t, i) == want[i]);
    arena_free(r.a);
}

static Msg *head(int dtype, int n)
{
    Msg *t = msg_new();
    put_int(t, 1, n);
    put_int(t, 2, dtype);
    put_text(t, 8, "w");
    return t;
}

static Msg *raw(DType type, int n, const void *data, size_t bytes)
{
    Msg *t = head(dtype_table[type].onnx, n);
    put_bytes(t, 9, data, bytes);
    return t;
}

/* ---- raw data ---- */

static void reads_raw_numbers(void **state)
{
    (void)state;
    assert_elements(raw(DT_f32, 2, (float[]){ 1.5f, -2 }, 8), DT_f32, 2, (double[]){ 1.5, -2 });
    assert_elements(raw(DT_f64, 1, (double[]){ 1e300 }, 8), DT_f64, 1, (double[]){ 1e300 });
    assert_elements(raw(DT_i8, 3, "\x01\x80\xff", 3), DT_i8, 3, (double[]){ 1, -128, -1 });
    assert_elements(raw(DT_u8, 2, "\x01\xff", 2), DT_u8, 2, (double[]){ 1, 255 });
    assert_elements(raw(DT_i16, 1, "\xfe\xff", 2), DT_i16, 1, (double[]){ -2 });
    assert_elements(raw(DT_u32, 1, "\xff\xff\xff\xff", 4), DT_u32, 1, (double[]){ 4294967295.0 });
    assert_elements(raw(DT_i64, 1, (int64_t[]){ -7 }, 8), DT_i64, 1, (double[]){ -7 });
    assert_elements(raw(DT_f16, 1, "\x00\x3e", 2), DT_f16, 1, (double[]){ 1.5 });
    assert_elements(raw(DT_bf16, 1, "\xc0\x3f", 2), DT_bf16, 1, (double[]){ 1.5 });
    assert_elements(raw(DT_f8e4m3, 1, "\x38", 1), DT_f8e4m3, 1, (double[]){ 1 });
    assert_elements(raw(DT_bool, 3, "\0\1\x55", 3), DT_bool, 3, (double[]){ 0, 1, 1 });
}

/* Two (or four) to a byte, the first in the low bits; an odd count leaves the last byte half used. */
static void unpacks_raw_bits(void **state)
{
    (void)state;
    assert_elements(raw(DT_u4, 3, "\xf1\x07", 2), DT_u4, 3, (double[]){ 1, 15, 7 });
    assert_elements(raw(DT_i4, 3, "\xf1\x08", 2), DT_i4, 3, (double[]){ 1, -1, -8 });
    assert_elements(raw(DT_u2, 5, "\xe4\x03", 2), DT_u2, 5, (double[]){ 0, 1, 2, 3, 3 });
    assert_elements(raw(DT_i2, 4, "\xe4", 1), DT_i2, 4, (double[]){ 0, 1, -2, -1 });
    assert_elements(raw(DT_f4e2m1, 2, "\xa3", 1), DT_f4e2m1, 2, (double[]){ 1.5, -1 });
}

static void borrows_raw_data(void **state)
{
    (void)state;
    static uint8_t v[1 << 13];
    Read r = read_tensor(raw(DT_u8, sizeof v, v, sizeof v));
    assert_non_null(r.t);
    assert_true(arena_used(r.a) < sizeof v);
    arena_free(r.a);
}

/* ---- typed data ---- */

static void put_packed(Msg *t, int field, int n, const int64_t *v)
{
    Msg *packed = msg_new();
    for (int i = 0; i < n; i++)
        msg_varint(packed, (uint64_t)v[i]);
    put_msg(t, field, packed);
}

static Msg *typed(DType type, int n, int field, int values, const int64_t *v)
{
    Msg *t = head(dtype_table[type].onnx, n);
    put_packed(t, field, values, v);
    return t;
}

static void reads_typed_numbers(void **state)
{
    (void)state;
    enum { INT32_DATA = 5, INT64_DATA = 7, UINT64_DATA = 11 };
    assert_elements(typed(DT_i32, 2, INT32_DATA, 2, (int64_t[]){ 5, -6 }), DT_i32, 2, (double[]){ 5, -6 });
    assert_elements(typed(DT_i8, 2, INT32_DATA, 2, (int64_t[]){ 5, -6 }), DT_i8, 2, (double[]){ 5, -6 });
    assert_elements(typed(DT_u16, 1, INT32_DATA, 1, (int64_t[]){ 65535 }), DT_u16, 1, (double[]){ 65535 });
    assert_elements(typed(DT_bool, 2, INT32_DATA, 2, (int64_t[]){ 1, 0 }), DT_bool, 2, (double[]){ 1, 0 });
    assert_elements(typed(DT_f16, 1, INT32_DATA, 1, (int64_t[]){ 0x3e00 }), DT_f16, 1, (double[]){ 1.5 });
    assert_elements(typed(DT_i4, 3, INT32_DATA, 2, (int64_t[]){ 0xf1, 0x08 }), DT_i4, 3, (double[]){ 1, -1, -8 });
    assert_elements(typed(DT_i64, 2, INT64_DATA, 2, (int64_t[]){ -1, 1 }), DT_i64, 2, (double[]){ -1, 1 });
    assert_elements(typed(DT_u32, 1, UINT64_DATA, 1, (int64_t[]){ 4294967295 }), DT_u32, 1, (double[]){ 4294967295.0 });
    assert_elements(typed(DT_u64, 1, UINT64_DATA, 1, (int64_t[]){ -1 }), DT_u64, 1, (double[]){ 18446744073709551615.0 });
}

static void reads_typed_floats(void **state)
{
    (void)state;
    Msg *t = head(1, 3);
    put_bytes(t, 4, (float[]){ 1, 2 }, 8);          /* packed, then one unpacked: protobuf allows both */
    msg_varint(t, 4 << 3 | 5);
    msg_raw(t, (float[]){ 3 }, 4);
    assert_elements(t, DT_f32, 3, (double[]){ 1, 2, 3 });
    t = head(11, 1);
    put_bytes(t, 10, (double[]){ 0.1 }, 8);
    assert_elements(t, DT_f64, 1, (double[]){ 0.1 });
    t = head(7, 2);
    put_int(t, 7, -3);
    put_int(t, 7, 4);
    assert_elements(t, DT_i64, 2, (double[]){ -3, 4 });
}

static void reads_strings(void **state)
{
    (void)state;
    Msg *t = head(8, 2);
    put_bytes(t, 6, "a\0b", 3);
    put_text(t, 6, "");
    Read r = read_tensor(t);
    assert_non_null(r.t);
    const StrElement *s = r.t->data;
    assert_int_equal(s[0].bytes, 3);
    assert_memory_equal(s[0].data, "a\0b", 3);
    assert_int_equal(s[1].bytes, 0);
    arena_free(r.a);
}

/* ---- refusals ---- */

static void refuses_wrong_lengths(void **state)
{
    (void)state;
    assert_refused(raw(DT_f32, 3, "12345678", 8), "holds 8 bytes of data where 3 elements of f32 need 12");
    assert_refused(raw(DT_i4, 4, "1", 1), "holds 1 bytes");
    assert_refused(head(1, 3), "holds 0 bytes");
    assert_refused(typed(DT_i32, 1, 5, 2, (int64_t[]){ 1, 2 }), "holds 8 bytes of data where 1 elements of i32 need 4");
    assert_refused(head(8, 1), "holds 0 strings where its dimensions need 1");
    Msg *t = head(7, 1);
    put_bytes(t, 7, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    assert_refused(t, "not encoded as protobuf does");
}

static void refuses_wrong_heads(void **state)
{
    (void)state;
    assert_refused(raw((DType)DT_none, 1, "", 0), "has element type 0, which is not known");
    Msg *t = head(1, -2);
    assert_refused(t, "has a negative size, -2");
    t = head(1, 1);
    for (int i = 0; i < 20; i++)
        put_int(t, 1, 1);
    assert_refused(t, "has 21 dimensions");
    t = head(1, 1);
    put_bytes(t, 3, "", 0);
    assert_refused(t, "stored in segments");
}

/* ---- data files ---- */

static void put_entry(Msg *t, const char *key, const char *value)
{
    Msg *e = msg_new();
    put_text(e, 1, key);
    put_text(e, 2, value);
    put_msg(t, 13, e);
}

static Msg *external(const char *location, const char *offset, const char *length)
{
    Msg *t = head(1, 2);
    put_entry(t, "location", location);
    if (offset)
        put_entry(t, "offset", offset);
    if (length)
        put_entry(t, "length", length);
    put_int(t, 14, 1);
    return t;
}

static void reads_data_files(void **state)
{
    (void)state;
    assert_elements(external("w.bin", NULL, NULL), DT_f32, 2, (double[]){ 1, 2 });
    assert_elements(external("w.bin", "4", "8"), DT_f32, 2, (double[]){ 2, 3 });
    assert_elements(external("sub/w.bin", "0", NULL), DT_f32, 2, (double[]){ 1, 2 });
    assert_elements(external("inner-link", NULL, NULL), DT_f32, 2, (double[]){ 1, 2 });
}

static void refuses_data_outside(void **state)
{
    (void)state;
    assert_refused(external("w.bin", "8", NULL), "which ends at 12");
    assert_refused(external("w.bin", "9223372036854775807", "8"), "which ends at 12");
    assert_refused(external("w.bin", "-4", NULL), "which is not a size");
    assert_refused(external("w.bin", "4x", NULL), "which is not a size");
    assert_refused(external("w.bin", "0", "4"), "holds 4 bytes");
    assert_refused(external("/etc/passwd", NULL, NULL), "outside the model's folder");
    assert_refused(external("../secret.bin", NULL, NULL), "outside the model's folder");
    assert_refused(external("sub/../../secret.bin", NULL, NULL), "outside the model's folder");
    assert_refused(external("", NULL, NULL), "outside the model's folder");
    assert_refused(external("outer-link", NULL, NULL), "outside the model's folder");
    assert_refused(external("link-to-root/etc/passwd", NULL, NULL), "outside the model's folder");
    assert_refused(external("missing.bin", NULL, NULL), "cannot be read");
    assert_refused(external("sub", NULL, NULL), "is not a regular file");
    Msg *t = head(1, 2);
    put_int(t, 14, 1);
    assert_refused(t, "names no file");
}

static int make_folder(void **state)
{
    (void)state;
    Arena *a = arena_new();
    float v[3] = { 1, 2, 3 };
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mkdir(in_folder(a, "sub"), 0700), 0);
    write_file(in_folder(a, "w.bin"), v, sizeof v);
    write_file(in_folder(a, "sub/w.bin"), v, sizeof v);
    assert_int_equal(symlink("w.bin", in_folder(a, "inner-link")), 0);
    assert_int_equal(symlink("/etc/passwd", in_folder(a, "outer-link")), 0);
    assert_int_equal(symlink("/", in_folder(a, "link-to-root")), 0);
    arena_free(a);
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "sub/w.bin", "sub", "w.bin", "tensor.pb", "inner-link", "outer-link", "link-to-root", "" };
    (void)state;
    Arena *a = arena_new();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(in_folder(a, names[i]));
    arena_free(a);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_raw_numbers),
        cmocka_unit_test(unpacks_raw_bits),
        cmocka_unit_test(borrows_raw_data),
        cmocka_unit_test(reads_typed_numbers),
        cmocka_unit_test(reads_typed_floats),
        cmocka_unit_test(reads_strings),
        cmocka_unit_test(refuses_wrong_lengths),
        cmocka_unit_test(refuses_wrong_heads),
        cmocka_unit_test(reads_data_files),
        cmocka_unit_test(refuses_data_outside),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
