/* test_attention.c -- attention as one kernel gives the evaluator's results: lengths that fill blocks and that do not, known and symbolic, masks of every
 * shape, rows whose first keys are all masked, heads that share keys, operands that are read through movement. For every kind of CPU that this one can be.
 */
#include "compiled.h"

#include "text.h"

typedef enum Mask { PER_KEY, CAUSAL, PER_BATCH, LATE_KEYS } Mask;

typedef struct Shape {
    const char *name;
    int64_t batch, heads, key_heads, rows, keys, head, value;
    Mask mask;
    bool symbolic;
} Shape;

static const Shape shapes[] = {
    { "one block of each", 1, 2, 2, 32, 64, 32, 32, PER_KEY, false },
    { "few rows", 2, 2, 2, 9, 17, 16, 48, PER_KEY, false },
    { "rows and keys left over", 1, 3, 3, 197, 197, 64, 64, PER_BATCH, false },
    { "many keys", 1, 1, 1, 50, 300, 32, 16, CAUSAL, false },
    { "shared keys", 2, 4, 1, 40, 33, 16, 32, CAUSAL, false },
    { "symbolic", 2, 2, 2, 45, 131, 32, 64, PER_BATCH, true },
    { "one row of a symbolic number", 1, 2, 2, 1, 7, 16, 16, PER_KEY, true },
    { "first blocks masked", 1, 2, 2, 20, 400, 16, 16, LATE_KEYS, true },
};

static bool is_masked(const Shape *s, int64_t row, int64_t key)
{
    return s->mask == CAUSAL ? key > row : s->mask == LATE_KEYS && key < s->keys - 30 - row;
}

static const Tensor *mask_of(Fix *f, const Shape *s)
{
    int64_t dim[] = { s->mask == PER_BATCH ? s->batch : 1, 1, s->mask == PER_KEY ? 1 : s->rows, s->keys };
    Tensor *t = compiled_random(f->a, 4, dim, 4);
    for (int64_t i = 0; i < t->count; i++)
        if (is_masked(s, i / s->keys % dim[2], i % s->keys))
            tensor_set_f64(t, i, -INFINITY);
    return t;
}

static const char *size_text(Fix *f, const Shape *s, char name)
{
    int64_t n = name == 'T' ? s->rows : s->keys;
    return s->symbolic ? arena_printf(f->a, "%c", name) : arena_printf(f->a, "%lld", (long long)n);
}

static const char *text_of(Fix *f, const Shape *s)
{
    const char *T = size_text(f, s, 'T'), *S = size_text(f, s, 'S'), *rows = s->mask == PER_KEY ? "1" : T;
    int B = (int)s->batch, H = (int)s->heads, K = (int)s->key_heads, D = (int)s->head, E = (int)s->value, M = s->mask == PER_BATCH ? B : 1;
    char *at = arena_alloc(f->a, 4096), *text = at;
    at += sprintf(at, "module \"attention\"\n%s\ngraph typed {\n", s->symbolic ? "symbol T\nsymbol S\n" : "");
    at += sprintf(at, "  %%0 = input() : f32[%d,%s,%d] \"q\"\n  %%1 = input() {index=1} : f32[%d,%s,%d,%d] \"k\"\n", B, T, H * D, B, S, K, D);
    at += sprintf(at, "  %%2 = input() {index=2} : f32[%d,%s,%d,%d] \"v\"\n  %%3 = input() {index=3} : f32[%d,1,%s,%s] \"m\"\n", B, S, K, E, M, rows, S);
    at += sprintf(at, "  %%4 = reshape(%%0) {shape=[%d,%s,%d,%d]} : f32[%d,%s,%d,%d]\n", B, T, H, D, B, T, H, D);
    at += sprintf(at, "  %%5 = transpose(%%4) {perm=[0,2,1,3]} : f32[%d,%d,%s,%d]\n", B, H, T, D);
    at += sprintf(at, "  %%6 = constant() {value=f32[] [0.3]} : f32[]\n  %%7 = mul(%%5, %%6) : f32[%d,%d,%s,%d]\n", B, H, T, D);
    at += sprintf(at, "  %%8 = transpose(%%1) {perm=[0,2,3,1]} : f32[%d,%d,%d,%s]\n  %%9 = transpose(%%2) {perm=[0,2,1,3]} : f32[%d,%d,%s,%d]\n", B, K, D, S, B, K, S, E);
    at += sprintf(at, "  %%10 = matmul(%%7, %%8) : f32[%d,%d,%s,%s]\n  %%11 = add(%%10, %%3) : f32[%d,%d,%s,%s]\n", B, H, T, S, B, H, T, S);
    at += sprintf(at, "  %%12 = softmax(%%11) {axis=3} : f32[%d,%d,%s,%s]\n  %%13 = matmul(%%12, %%9) : f32[%d,%d,%s,%d]\n", B, H, T, S, B, H, T, E);
    sprintf(at, "  %%14 = transpose(%%13) {perm=[0,2,1,3]} : f32[%d,%s,%d,%d]\n  return(%%14) {names=[\"y\"]}\n}\n", B, T, H, E);
    return text;
}

/* The whole chain is one node. */
static void expect_one_kernel(const Module *m)
{
    FOR_EACH_NODE(n, m->graph)
        assert_true(n->op != OP_softmax && n->op != OP_matmul && n->op != OP_transpose);
}

static void check_shape(Fix *f, size_t i, const char *cpu)
{
    const Shape *s = &shapes[i];
    int64_t q[] = { s->batch, s->rows, s->heads * s->head }, k[] = { s->batch, s->keys, s->key_heads, s->head };
    int64_t v[] = { s->batch, s->keys, s->key_heads, s->value };
    const Tensor *x[] = { compiled_random(f->a, 3, q, 1), compiled_random(f->a, 4, k, 2), compiled_random(f->a, 4, v, 3), mask_of(f, s) };
    Module *m = module_parse(f->a, &f->d, s->name, text_of(f, s), NULL, 0);
    assert_non_null(m);
    compiled_check_module(f, m, &(Compiled){ .what = s->name, .cpu = cpu, .tolerance = 2e-6, .inspect = expect_one_kernel }, 4, x);
}

static void results_are_the_evaluators(void **state)
{
    (void)state;
    COMPILED_EACH(compiled_everywhere, shapes, check_shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(results_are_the_evaluators) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
