/* test_export.c -- what stands in a written file: operators for patterns, names, sizes, packed and repeated constants, the side file; and that it is read back as
 * the same graph, or one that computes the same.
 */
#include "../ops/op_fixture.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend.h"

static void finish(Fix *f, int n, Value *const *y)
{
    static const char *const name[] = { "y", "z" };
    Attr_return r = { .names = { n, name } };
    node_new(f->b.g, NULL, OP_return, n, y, &r, -1, (Loc){ 0 });
    graph_renumber(f->b.g);
    f->b.g->props = GP_TYPED;
}

static Fix *fix_new(void)
{
    void *own = NULL;
    fix_setup(&own);
    return own;
}

static void fix_end(Fix *f)
{
    void *own = f;
    fix_teardown(&own);
}

static char *read_file(Fix *f, const char *path, size_t *bytes)
{
    FILE *in = fopen(path, "rb");
    struct stat st;
    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &st), 0);
    char *text = arena_alloc(f->a, (size_t)st.st_size + 1);
    *bytes = fread(text, 1, (size_t)st.st_size, in);
    fclose(in);
    return text;
}

static bool holds(Fix *f, const char *path, const char *word)
{
    size_t n;
    const char *text = read_file(f, path, &n);
    return memmem(text, n, word, strlen(word)) != NULL;
}

static Module *written(Fix *f, const char *path)
{
    if (!onnx_export(f->b.m, path))
        fail_msg("%s", f->d.first);
    Module *m = onnx_import(f->a, &f->d, path, NULL);
    if (!m)
        fail_msg("%s", f->d.first);
    return m;
}

/* The first output of both on the same input. */
static void same_result(Fix *f, Module *m, const Tensor *x)
{
    const Tensor *want[2], *got[2];
    assert_true(eval_module(f->b.m, f->a, 1, &x, want) && eval_module(m, f->a, 1, &x, got));
    assert_true(tensor_equal(tensor_dense(f->a, want[0]), tensor_dense(f->a, got[0])));
}

static Tensor *ramp(Fix *f, DType t, const char *dims)
{
    IntVec d = fix_ints(f, dims);
    Tensor *x = tensor_new(f->a, t, d.n, d.v);
    for (int64_t i = 0; i < x->count; i++)
        tensor_set_f64(x, i, (double)(i * 37 % 101) / 10 - 5);
    return x;
}

/* ---- quantisation ---- */

static Value *quantised(Fix *f, Value *x, Value *scale, double zero, DType t, double least, double most)
{
    Builder *b = &f->b;
    Value *y = mk_add(b, mk_round(b, mk_div(b, x, scale)), mk_scalar(b, DT_f32, zero));
    return mk_cast_to(b, mk_clip(b, y, least, most), t);
}

static Value *dequantised(Fix *f, Value *q, Value *scale, Value *zero)
{
    Builder *b = &f->b;
    Value *x = mk_cast_to(b, q, DT_f32);
    return mk_mul(b, zero ? mk_sub(b, x, zero) : x, scale);
}

static void qdq(void **state)
{
    (void)state;
    Fix *f = fix_new();
    Value *x = fix_input(f, DT_f32, "N,4"), *s = mk_scalar(&f->b, DT_f32, 0.125);
    x->name = "x";
    Value *q = quantised(f, x, s, 12, DT_u8, 0, 255), *d = dequantised(f, q, s, mk_scalar(&f->b, DT_f32, 12));
    Value *w = mk_tensor(&f->b, ramp(f, DT_i8, "4,3")), *each = fix_constant(f, DT_f32, "3", NUMBERS(0.5, 0.25, 2));
    Value *y = mk_matmul(&f->b, IN(d, dequantised(f, w, each, NULL)), (Attr_matmul){ 0 });
    finish(f, 1, &y);
    Module *m = written(f, "export-qdq.onnx");
    assert_true(holds(f, "export-qdq.onnx", "QuantizeLinear") && holds(f, "export-qdq.onnx", "DequantizeLinear"));
    assert_false(holds(f, "export-qdq.onnx", "Round") || holds(f, "export-qdq.onnx", "Cast"));
    same_result(f, m, ramp(f, DT_f32, "5,4"));
    fix_end(f);
}

static void integer_products(void **state)
{
    (void)state;
    Fix *f = fix_new();
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_u8, "2,6");
    x->name = "x";
    Value *a = mk_sub(b, mk_cast_to(b, x, DT_i32), mk_scalar(b, DT_i32, 3));
    Value *y = mk_matmul(b, IN(a, mk_tensor(b, ramp(f, DT_i32, "6,2"))), (Attr_matmul){ 0 });
    finish(f, 1, &y);
    Module *m = written(f, "export-int.onnx");
    assert_true(holds(f, "export-int.onnx", "MatMulInteger"));
    same_result(f, m, ramp(f, DT_u8, "2,6"));
    fix_end(f);
}

/* A clip to another range, a scale of the wrong axis: the arithmetic stays. */
static void not_quantisation(void **state)
{
    (void)state;
    Fix *f = fix_new();
    Value *x = fix_input(f, DT_f32, "4,4"), *s = mk_scalar(&f->b, DT_f32, 0.5);
    x->name = "x";
    Value *y = quantised(f, x, s, 0, DT_u8, 0, 127);
    Value *z = dequantised(f, y, mk_tensor(&f->b, ramp(f, DT_f32, "4,4")), NULL);
    finish(f, 1, &z);
    Module *m = written(f, "export-not.onnx");
    assert_false(holds(f, "export-not.onnx", "QuantizeLinear"));
    same_result(f, m, ramp(f, DT_f32, "4,4"));
    fix_end(f);
}

/* ---- sizes ---- */

static void sizes(void **state)
{
    (void)state;
    Fix *f = fix_new();
    Builder *b = &f->b;
    Value *x = fix_input(f, DT_f32, "N,T,6");
    x->name = "x";
    DimVec flat = fix_dims(f, "N,6*T"), heads = fix_dims(f, "N,T,2,3");
    Value *y = mk_reshape_to(b, x, flat.n, flat.v), *z = mk_reshape_to(b, x, heads.n, heads.v);
    Value *both[] = { y, z };
    finish(f, 2, both);
    same_result(f, written(f, "export-sizes.onnx"), ramp(f, DT_f32, "2,5,6"));
    assert_false(holds(f, "export-sizes.onnx", "Concat") || holds(f, "export-sizes.onnx", "Shape"));     /* 0 and -1 say it */
    fix_end(f);

    f = fix_new();
    x = fix_input(f, DT_f32, "N,T,6");
    x->name = "x";
    DimVec odd = fix_dims(f, "3*N,2*T");
    y = mk_slice_axis(&f->b, mk_reshape_to(&f->b, x, odd.n, odd.v), 0, fix_dims(f, "N").v[0], fix_dims(f, "2*N-1").v[0]);
    finish(f, 1, &y);
    same_result(f, written(f, "export-odd.onnx"), ramp(f, DT_f32, "2,5,6"));
    assert_true(holds(f, "export-odd.onnx", "Shape"));
    fix_end(f);
}

/* ---- constants ---- */

static void packed(void **state)
{
    (void)state;
    static const DType types[] = { DT_i4, DT_u4, DT_i2, DT_u2, DT_i8, DT_bool, DT_f16, DT_bf16, DT_f64, DT_i64 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        Fix *f = fix_new();
        Value *x = fix_input(f, DT_f32, "7");
        x->name = "x";
        Tensor *t = tensor_new(f->a, types[i], 1, (int64_t[]){ 7 });
        for (int k = 0; k < 7; k++)
            tensor_set_f64(t, k, dtype_is_signed(types[i]) ? k % 4 - 2 : types[i] == DT_bool ? k % 2 : k % 4);
        Value *y = mk_add(&f->b, x, mk_cast_to(&f->b, mk_tensor(&f->b, t), DT_f32));
        finish(f, 1, &y);
        same_result(f, written(f, "export-packed.onnx"), ramp(f, DT_f32, "7"));
        fix_end(f);
    }
}

static void repeated(void **state)
{
    (void)state;
    Fix *f = fix_new();
    float half = 0.5f;
    Value *x = fix_input(f, DT_f32, "1000,1000"), *k = mk_tensor(&f->b, tensor_splat(f->a, DT_f32, 2, (int64_t[]){ 1000, 1000 }, &half));
    x->name = "x", k->name = "halves";
    Value *y = mk_add(&f->b, x, k);
    finish(f, 1, &y);
    Module *m = written(f, "export-splat.onnx");
    size_t bytes;
    read_file(f, "export-splat.onnx", &bytes);
    assert_true(bytes < 1000 && holds(f, "export-splat.onnx", "ConstantOfShape"));
    same_result(f, m, ramp(f, DT_f32, "1000,1000"));
    fix_end(f);
}

static void side_file(void **state)
{
    (void)state;
    Fix *f = fix_new();
    Value *x = fix_input(f, DT_f32, "2,64"), *w = mk_tensor(&f->b, ramp(f, DT_f32, "64,64")), *v = mk_tensor(&f->b, ramp(f, DT_f32, "64,8"));
    x->name = "x";
    Value *y = mk_matmul(&f->b, IN(mk_matmul(&f->b, IN(x, w), (Attr_matmul){ 0 }), v), (Attr_matmul){ 0 });
    finish(f, 1, &y);
    unlink("export-split.onnx.data");
    assert_true(onnx_export_split(f->b.m, "export-split.onnx", 18432));
    assert_int_equal(access("export-split.onnx.data", F_OK), -1);       /* exactly what may stay */
    assert_true(onnx_export_split(f->b.m, "export-split.onnx", 18431));
    assert_int_equal(access("export-split.onnx.data", F_OK), 0);
    Module *m = onnx_import(f->a, &f->d, "export-split.onnx", NULL);
    assert_non_null(m);
    same_result(f, m, ramp(f, DT_f32, "2,64"));
    fix_end(f);
}

/* ---- names ---- */

static void names(void **state)
{
    (void)state;
    Fix *f = fix_new();
    Value *x = fix_input(f, DT_f32, "3"), *k = fix_constant(f, DT_f32, "3", NUMBERS(1, 2, 3));
    x->name = "in:0", k->name = "weights";
    Value *mid = mk_add(&f->b, x, k);
    mid->name = "weights";                          /* taken: gets another */
    Value *y = mk_neg(&f->b, mid);
    y->name = "inner";
    Value *both[] = { y, x };                       /* an input that is an output, a value under another name */
    finish(f, 2, both);
    Module *m = written(f, "export-names.onnx");
    Value *input;
    assert_int_equal(graph_inputs(m->graph, &input, 1), 1);
    assert_string_equal(input->name, "in:0");
    const StrVec *out = &NODE_ATTR(graph_return(m->graph), return)->names;
    assert_string_equal(out->v[0], "y");
    assert_string_equal(out->v[1], "z");
    assert_true(holds(f, "export-names.onnx", "weights_2"));
    same_result(f, m, ramp(f, DT_f32, "3"));
    fix_end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qdq),    cmocka_unit_test(integer_products), cmocka_unit_test(not_quantisation), cmocka_unit_test(sizes),
        cmocka_unit_test(packed), cmocka_unit_test(repeated),         cmocka_unit_test(side_file),        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
