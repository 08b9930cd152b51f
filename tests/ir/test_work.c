/* test_work.c -- arithmetic and traffic of nodes, against counts made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"
#include "work.h"

typedef struct Expected {
    const char *body;               /* the node of interest is %r */
    int64_t flops, weight_bytes, data_bytes;    /* with N = 3 */
    const char *ops;
} Expected;

static void check(const Expected *e)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, NULL);
    const char *text = arena_printf(a, "module \"t\"\nsymbol N\n\ngraph {\n%s\n  return(%%r)\n}\n", e->body);
    Module *m = module_parse(a, &d, "t.irt", text, NULL, 0);
    if (!m)
        fail_msg("%s", d.all);
    const Node *n = node_in(graph_return(m->graph), 0)->def;
    NodeWork w = node_work(m, n);
    int64_t syms[1] = { 3 };
    assert_int_equal(dim_eval(w.flops, syms), e->flops);
    assert_int_equal(dim_eval(w.weight_bytes, syms), e->weight_bytes);
    assert_int_equal(dim_eval(w.data_bytes, syms), e->data_bytes);
    assert_string_equal(node_ops(a, n), e->ops);
    arena_free(a);
}

static void test_counts(void **state)
{
    (void)state;
    const Expected row[] = {
        { "  %a = input() : f32[N,5]\n  %b = input() {index=1} : f32[5,7]\n  %r = matmul(%a, %b)", 2 * 3 * 5 * 7, 0, 4 * (3 * 5 + 5 * 7 + 3 * 7), "matmul" },
        { "  %x = input() : f32[N,4,6,6]\n  %w = input() {index=1} : f32[8,2,3,3]\n"
          "  %r = conv(%x, %w) {strides=[1,1], dilations=[1,1], pads=[0,0,0,0], group=2}",
          2 * 3 * 8 * 16 * 2 * 9, 0, 4 * (3 * 4 * 36 + 8 * 18 + 3 * 8 * 16), "conv" },
        { "  %x = input() : f32[N,4,5]\n  %w = constant() {value=f32[4,1,2] [1, 2, 3, 4, 5, 6, 7, 8]}\n"
          "  %r = conv_transpose(%x, %w) {strides=[2], dilations=[1], pads=[0,0], output_padding=[0], group=1}",
          2 * 3 * 4 * 5 * 2, 4 * 8, 4 * (3 * 4 * 5 + 3 * 10), "conv_transpose" },
        { "  %x = input() : f32[N,8,8,2]\n  %r = pool(%x) {kind=\"max\", kernel=[2,2], strides=[2,2], dilations=[1,1], pads=[0,0,0,0], ceil=false, "
          "count_pad=false, channels_last=true}", 3 * 16 * 2 * 4, 0, 4 * (3 * 128 + 3 * 32), "pool" },
        { "  %x = input() : f32[N,8]\n  %r = reduce(%x) {kind=\"sum\", axes=[1]}", 24, 0, 4 * (24 + 3), "reduce" },
        { "  %x = input() : f32[N,8]\n  %r = add(%x, %x)", 24, 0, 4 * (24 + 24), "add" },        /* read once */
        { "  %x = input() : f32[N,8]\n  %c = constant() {value=f32[] [2]}\n  %r = mul(%x, %c)", 24, 0, 4 * (24 + 24), "mul" },   /* an immediate */
        { "  %x = input() : f32[1000,8]\n  %i = input() {index=1} : i64[N]\n  %r = gather(%x, %i) {axis=0}", 0, 0, 4 * 24 + 8 * 3 + 4 * 24, "gather" },
        { "  %x = input() : f32[N,8]\n  %y = input() {index=1} : f32[N,8]\n"
          "  %r = fused(%x, %y) {body=graph {\n    %a = input()  : f32[N,8]\n    %b = input() {index=1} : f32[N,8]\n    %c = mul(%a, %b)\n    %d = add(%c, %b)\n"
          "    return(%d)\n  }}", 2 * 24, 0, 4 * 3 * 24, "mul+add" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        check(&row[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_counts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
