/* test_context.c -- ingot.h from the outside: running the toy model (y = 2x + 1 over [N,3]; z = positive elements) in every way the API offers. */
#include "toy.h"

typedef struct Toy {
    ingot_file *file;
    ingot_context *ctx;
} Toy;

static const char *toy_so;              /* built once for all tests */

static int build(void **state)
{
    (void)state;
    toy_so = toy_build("ctx.so", "");
    return 0;
}

static int clean(void **state)
{
    (void)state;
    return unlink(toy_so);
}

static int set_up(void **state)
{
    ingot_error err;
    Toy *t = calloc(1, sizeof *t);
    if (ingot_open(toy_so, &t->file, &err) || ingot_context_new(ingot_file_model(t->file), &t->ctx, &err))
        return -1;
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    Toy *t = *state;
    ingot_context_free(t->ctx);
    ingot_close(t->file);
    free(t);
    return 0;
}

static ingot_tensor input(float *x, int64_t n)
{
    return (ingot_tensor){ .data = x, .dtype = INGOT_f32, .rank = 2, .dim = { n, 3 } };
}

static void expect_y(const ingot_tensor *y, const float *x, int64_t n)
{
    assert_int_equal(y->rank, 2);
    assert_int_equal(y->dim[0], n);
    for (int64_t i = 0; i < 3 * n; i++)
        assert_float_equal(((float *)y->data)[i], 2 * x[i] + 1, 0);
}

static void owned_outputs(void **state)
{
    Toy *t = *state;
    ingot_error err;
    float x[15];
    ingot_tensor out[2] = { { 0 } };
    for (int i = 0; i < 15; i++)
        x[i] = (float)(i - 7);
    for (int64_t n = 5; n >= 0; n--) {                  /* shapes change, the tensors are passed again as they are */
        ingot_tensor in = input(x, n);
        assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_OK);
        expect_y(&out[0], x, n);
        assert_int_equal(out[1].dim[0], 3 * n > 8 ? 3 * n - 8 : 0);
    }
}

static void callers_buffers(void **state)
{
    Toy *t = *state;
    ingot_error err;
    float x[6] = { 1, -2, 3, -4, 5, -6 }, y[6], z[8];
    ingot_tensor in = input(x, 2), out[2] = { { .data = y, .dtype = INGOT_f32, .rank = 2, .dim = { 2, 3 } }, { .data = z, .dtype = INGOT_f32, .rank = 1, .dim = { 8 } } };
    for (int round = 0; round < 3; round++) {
        out[1].dim[0] = 8;
        assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_OK);
        assert_ptr_equal(out[0].data, y);
        assert_ptr_equal(out[1].data, z);
        expect_y(&out[0], x, 2);
        assert_int_equal(out[1].dim[0], 3);
        assert_float_equal(z[2], 5, 0);
    }
    out[1].dim[0] = 2;
    assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_ERR_ARGUMENT);
    assert_string_equal(err.text, "output 'z' has 3 elements, its buffer has room for 2");
    out[0].dim[1] = 4;
    assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_ERR_ARGUMENT);
    assert_string_equal(err.text, "output 'y/0:a' has shape [2,3], its buffer was given as [2,4]");
    out[0].dtype = INGOT_f64;
    assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_ERR_ARGUMENT);
    assert_string_equal(err.text, "output 'y/0:a' has type f32, its buffer was given as f64");
}

static void strides(void **state)
{
    Toy *t = *state;
    ingot_error err;
    float x[6] = { 1, 4, 2, 5, 3, 6 }, dense[6] = { 1, 2, 3, 4, 5, 6 }, y[12] = { 0 };
    const int64_t column[2] = { 1, 2 }, gaps[2] = { 6, 2 };
    ingot_tensor in = input(x, 2), out[2] = { { .data = y, .dtype = INGOT_f32, .rank = 2, .dim = { 2, 3 }, .stride = gaps }, { 0 } };
    in.stride = column;
    assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_OK);
    for (int i = 0; i < 6; i++) {
        assert_float_equal(y[2 * i], 2 * dense[i] + 1, 0);
        assert_float_equal(y[2 * i + 1], 0, 0);
    }
}

/* An output that the context owns may be the next run's input. */
static void feedback(void **state)
{
    Toy *t = *state;
    ingot_error err;
    float x[3] = { 1, 2, 3 };
    ingot_tensor in = input(x, 1), out[2] = { { 0 } };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_OK);
        in = out[0];
    }
    assert_float_equal(((float *)out[0].data)[0], 15, 0);
    assert_float_equal(((float *)out[0].data)[2], 31, 0);
}

static void wrong_inputs(void **state)
{
    Toy *t = *state;
    ingot_error err;
    float x[6] = { 0 };
    ingot_tensor out[2] = { { 0 } };
    const struct { ingot_tensor in; const char *says; } cases[] = {
        { { .data = x, .dtype = INGOT_f64, .rank = 2, .dim = { 1, 3 } }, "input 'x' has type f64, the model expects f32" },
        { { .data = x, .dtype = INGOT_f32, .rank = 1, .dim = { 3 } }, "input 'x' has 1 dimensions, the model expects 2" },
        { { .data = x, .dtype = INGOT_f32, .rank = 2, .dim = { 1, 4 } }, "input 'x' has shape [1,4], but dimension 1 must be 3" },
        { { .data = NULL, .dtype = INGOT_f32, .rank = 2, .dim = { 1, 3 } }, "input 'x' has no data" },
        { { .data = x, .dtype = INGOT_f32, .rank = 2, .dim = { -1, 3 } }, "input 'x' has shape [-1,3]" },
        { { .data = x, .dtype = INGOT_f32, .rank = 2, .dim = { INT64_MAX / 2, 3 } }, "memory" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_not_equal(ingot_run(t->ctx, &cases[i].in, out, &err), INGOT_OK);
        if (!strstr(err.text, cases[i].says))
            print_error("%s\n", err.text);
        assert_non_null(strstr(err.text, cases[i].says));
        assert_int_not_equal(ingot_run(t->ctx, &cases[i].in, out, NULL), INGOT_OK);
    }
}

/* A failed run takes back its memory; the next one is fine. */
static void failing_data(void **state)
{
    Toy *t = *state;
    ingot_error err;
    float x[3] = { 1, 2e6f, 3 };
    ingot_tensor in = input(x, 1), out[2] = { { 0 } };
    assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_ERR_DATA);
    assert_string_equal(err.text, "toy: input 'x' has an element above 1e6");
    assert_null(out[0].data);
    assert_null(out[1].data);
    x[1] = 2;
    assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_OK);
    expect_y(&out[0], x, 1);
}

/* An allocator that fails at its n-th call, for every n until all calls succeed. */
typedef struct Faults {
    int left, live;
} Faults;

static void *faulty_allocate(void *ctx, uint64_t bytes)
{
    Faults *f = ctx;
    void *p = NULL;
    if (f->left-- > 0 && !posix_memalign(&p, 64, (size_t)bytes + 64))
        f->live++;
    return p;
}

static void faulty_release(void *ctx, void *p)
{
    ((Faults *)ctx)->live--;
    free(p);
}

static void failing_allocator(void **state)
{
    Toy *t = *state;
    ingot_error err;
    float x[6] = { 1, 2, 3, 4, 5, 6 };
    ingot_tensor in = input(x, 2);
    int status = INGOT_ERR_MEMORY;
    for (int n = 0; status; n++) {
        Faults f = { n, 0 };
        ingot_context *c;
        ingot_tensor out[2] = { { 0 } };
        assert_true(n < 10);
        assert_int_equal(ingot_context_new(ingot_file_model(t->file), &c, &err), INGOT_OK);
        ingot_set_allocator(c, faulty_allocate, faulty_release, &f);
        status = ingot_run(c, &in, out, &err);
        assert_true(status == INGOT_OK || status == INGOT_ERR_MEMORY);
        assert_true(status == INGOT_OK || strstr(err.text, "out of memory"));
        if (!status)
            expect_y(&out[0], x, 2);
        ingot_context_free(c);
        assert_int_equal(f.live, 0);
    }
}

static void threads_agree(void **state)
{
    Toy *t = *state;
    ingot_error err;
    static float x[3000];
    for (int i = 0; i < 3000; i++)
        x[i] = (float)(i % 17) - 8;
    ingot_tensor in = input(x, 1000), out[2] = { { 0 } };
    for (int threads = 1; threads <= 4; threads++) {
        assert_int_equal(ingot_set_threads(t->ctx, threads, &err), INGOT_OK);
        for (int round = 0; round < 50; round++)
            assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_OK);
        expect_y(&out[0], x, 1000);
    }
    ingot_pool *shared = ingot_pool_new(2);
    ingot_set_parallel_for(t->ctx, ingot_pool_run, shared);
    assert_int_equal(ingot_run(t->ctx, &in, out, &err), INGOT_OK);
    expect_y(&out[0], x, 1000);
    ingot_set_parallel_for(t->ctx, NULL, NULL);
    ingot_pool_free(shared);
}

static void shapes_ahead(void **state)
{
    Toy *t = *state;
    ingot_error err;
    ingot_tensor in = input(NULL, 7), out[2] = { { 0 } };
    assert_int_equal(ingot_output_shapes(t->ctx, &in, out, &err), INGOT_OK);
    assert_int_equal(out[0].dim[0], 7);
    assert_int_equal(out[1].dim[0], -1);
    assert_int_equal(ingot_workspace_bytes(t->ctx), 84);
}

int main(void)
{
#define IN_CONTEXT(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_CONTEXT(owned_outputs), IN_CONTEXT(callers_buffers), IN_CONTEXT(strides), IN_CONTEXT(feedback), IN_CONTEXT(wrong_inputs),
        IN_CONTEXT(failing_data), IN_CONTEXT(failing_allocator), IN_CONTEXT(threads_agree), IN_CONTEXT(shapes_ahead),
    };
    return cmocka_run_group_tests(tests, build, clean);
}
