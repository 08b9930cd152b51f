/* test_normalise.c -- normalisations that are one kernel, row by row, give the evaluator's results: rows that fill vectors and that do not, known and symbolic
 * sizes, results of a row's shape and of one element per row. For every kind of CPU that this one can be.
 */
#include "compiled.h"

#include "text.h"

typedef struct Case {
    const char *name, *text;
    int inputs;
    bool per_row;                   /* input 1 has one element per column */
    int64_t rows, columns;
} Case;

#define HEADER(sizes, R, C) "module \"rows\"\n" sizes "\ngraph typed {\n  %0 = input() : f32[2," R "," C "] \"x\"\n"
#define ONE(R) "f32[2," R ",1]"
#define FULL(R, C) "f32[2," R "," C "]"
#define LAYER_NORM(sizes, R, C, n)                                                                                     \
    HEADER(sizes, R, C) "  %1 = input() {index=1} : f32[" C "] \"scale\"\n"                                            \
    "  %2 = constant() {value=f32[] [" n "]} : f32[]\n  %3 = constant() {value=f32[] [1e-05]} : f32[]\n"                 \
    "  %4 = reduce(%0) {kind=\"sum\", axes=[2]} : " ONE(R) "\n  %5 = mul(%4, %2) : " ONE(R) "\n"                         \
    "  %6 = sub(%0, %5) : " FULL(R, C) "\n  %7 = mul(%6, %6) : " FULL(R, C) "\n"                                         \
    "  %8 = reduce(%7) {kind=\"sum\", axes=[2]} : " ONE(R) "\n  %9 = mul(%8, %2) : " ONE(R) "\n"                         \
    "  %10 = add(%9, %3) : " ONE(R) "\n  %11 = sqrt(%10) : " ONE(R) "\n  %12 = div(%6, %11) : " FULL(R, C) "\n"          \
    "  %13 = mul(%12, %1) : " FULL(R, C) "\n  return(%13) {names=[\"y\"]}\n}\n"
#define SOFTMAX(R, C)                                                                                                  \
    HEADER("", R, C) "  %1 = reduce(%0) {kind=\"max\", axes=[2]} : " ONE(R) "\n  %2 = sub(%0, %1) : " FULL(R, C) "\n"    \
    "  %3 = abs(%2) : " FULL(R, C) "\n  %4 = reduce(%3) {kind=\"sum\", axes=[2]} : " ONE(R) "\n"                        \
    "  %5 = div(%3, %4) : " FULL(R, C) "\n  %6 = exp(%5) : " FULL(R, C) "\n  return(%6) {names=[\"y\"]}\n}\n"
#define DEVIATION(R, C)                                                                                                \
    HEADER("", R, C) "  %1 = reduce(%0) {kind=\"min\", axes=[2]} : " ONE(R) "\n  %2 = sub(%0, %1) : " FULL(R, C) "\n"    \
    "  %3 = reduce(%2) {kind=\"max\", axes=[2]} : " ONE(R) "\n  return(%3) {names=[\"y\"]}\n}\n"

static const Case cases[] = {
    { "LayerNorm of whole vectors", LAYER_NORM("", "5", "192", "0.0052083335"), 2, true, 5, 192 },
    { "LayerNorm with a rest", LAYER_NORM("", "7", "91", "0.010989011"), 2, true, 7, 91 },
    { "LayerNorm of symbolic size", LAYER_NORM("symbol R\nsymbol C\n", "R", "C", "0.01"), 2, true, 3, 83 },
    { "short rows", LAYER_NORM("", "9", "3", "0.33333334"), 2, true, 9, 3 },
    { "most, sum and quotient", SOFTMAX("6", "100"), 1, false, 6, 100 },
    { "one element per row", DEVIATION("6", "70"), 1, false, 6, 70 },
};

static void expect_one_kernel(const Module *m)
{
    int kernels = 0;
    FOR_EACH_NODE(n, m->graph)
        kernels += n->nin > 0 && n->op != OP_return;
    assert_int_equal(kernels, 1);
}

static void check_case(Fix *f, size_t i, const char *cpu)
{
    const Case *c = &cases[i];
    const Tensor *x[] = { compiled_random(f->a, 3, (int64_t[]){ 2, c->rows, c->columns }, 1), c->per_row ? compiled_random(f->a, 1, &c->columns, 2) : NULL };
    Module *m = module_parse(f->a, &f->d, c->name, c->text, NULL, 0);
    assert_non_null(m);
    compiled_check_module(f, m, &(Compiled){ .what = c->name, .cpu = cpu, .tolerance = 4e-6, .inspect = expect_one_kernel }, c->inputs, x);
}

static void results_are_the_evaluators(void **state)
{
    (void)state;
    COMPILED_EACH(compiled_everywhere, cases, check_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(results_are_the_evaluators) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
