/* test_text.c -- what golden files cannot say about print, parse, equal and IR files: corruption that only code can make, files and disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "attrs.h"
#include "text.h"

typedef struct World {
    Arena *arena;
    Diag diag;
} World;

static int set_up(void **state)
{
    World *w = calloc(1, sizeof *w);
    w->arena = arena_new();
    diag_init(&w->diag, w->arena, NULL);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    World *w = *state;
    arena_free(w->arena);
    free(w);
    return 0;
}

static Module *parse(World *w, const char *text)
{
    Module *m = module_parse(w->arena, &w->diag, "t.irt", text, NULL, 0);
    if (!m)
        fail_msg("%s", w->diag.all);
    return m;
}

static Node *nth(Module *m, int i)
{
    Node *n = m->graph->first;
    while (i--)
        n = n->next;
    return n;
}

#define BODY "graph {\n  %x = input() : f32[N,4]\n  %y = softmax(%x) {axis=1}\n  %z = relu(%y)\n  return(%z)\n}\n"

/* ---- module_equal sees every kind of difference ---- */

static void assert_differs(World *w, const char *a, const char *b, const char *how)
{
    const char *difference = module_difference(w->arena, parse(w, a), parse(w, b));
    assert_non_null(difference);
    assert_non_null(strstr(difference, how));
    assert_false(module_equal(parse(w, a), parse(w, b)));
}

static void equal_ignores_names(void **state)
{
    World *w = *state;
    Module *a = parse(w, "module \"a\" symbol N graph typed { %1 = input() : f32[N] \"left\" return(%1) from \"r\" }");
    Module *b = parse(w, "module \"b\" symbol N graph { %q = input() : f32[N] \"right\" return(%q) }");
    assert_null(module_difference(w->arena, a, b));
    assert_true(module_equal(a, b));
}

static void equal_sees_differences(void **state)
{
    World *w = *state;
#define X "graph { %x = input() : f32[4] "
    assert_differs(w, X "%y = relu(%x) return(%y) }", X "%y = neg(%x) return(%y) }", "relu %1 against neg");
    assert_differs(w, X "return(%x) }", X "return(%x, %x) }", "the numbers of operands");
    assert_differs(w, X "%y = relu(%x) return(%y) }", X "%y = relu(%x) return(%x) }", "operand 0 differs");
    assert_differs(w, X "%y = softmax(%x) return(%y) }", X "%y = softmax(%x) {log=true} return(%y) }", "attribute log");
    assert_differs(w, X "return(%x) }", "graph { %x = input() : f32[5] return(%x) }", "the type of result 0");
    assert_differs(w, X "return(%x) {names=[\"a\"]} }", X "return(%x) {names=[\"b\"]} }", "attribute names");
    assert_differs(w, X "%k = constant() {value=f32[1] [0]} return(%k) }", X "%k = constant() {value=f32[1] [-0]} return(%k) }", "attribute value");
    assert_differs(w, X "%k = constant() {value=f32[1] [0x7fc00000]} return(%k) }", X "%k = constant() {value=f32[1] [0x7fc00001]} return(%k) }",
                   "attribute value");
    assert_differs(w, X "return(%x) }", X "%y = relu(%x) return(%x) }", "return %1 against relu");
    assert_differs(w, X "%y = fused(%x) {body=graph { %a = input() : f32[4] %b = relu(%a) return(%b) }} return(%y) }",
                   X "%y = fused(%x) {body=graph { %a = input() : f32[4] %b = neg(%a) return(%b) }} return(%y) }", "relu");
    assert_differs(w, "symbol N graph { %x = input() : f32[N] return(%x) }", "symbol M graph { %x = input() : f32[M] return(%x) }", "the type");
    assert_differs(w, "symbol N graph { %x = input() : f32[N] return(%x) }", "symbol N bound 8 graph { %x = input() : f32[N] return(%x) }", "the type");
    assert_differs(w, "graph { %x = input() : f32[4] @input+0 return(%x) }", X "return(%x) }", "storage");
    assert_differs(w, "heap 1 " X "return(%x) }", X "return(%x) }", "workspaces");
    assert_differs(w, "arena 64 " X "return(%x) }", "arena 128 " X "return(%x) }", "workspaces");
#undef X
}

/* A splat and the same numbers written out are one constant, and hash alike. */
static void splat_equals_dense(void **state)
{
    World *w = *state;
    Module *a = parse(w, "graph { %x = constant() {value=i32[3] splat(7)} return(%x) }");
    Module *b = parse(w, "graph { %x = constant() {value=i32[3] [7, 7, 7]} return(%x) }");
    assert_true(module_equal(a, b));
    assert_true(attrs_equal(OP_constant, nth(a, 0)->attrs, nth(b, 0)->attrs));
    assert_int_equal(attrs_hash(OP_constant, nth(a, 0)->attrs), attrs_hash(OP_constant, nth(b, 0)->attrs));
}

static void attrs_compare_by_value(void **state)
{
    World *w = *state;
    Module *m = parse(w, "symbol N graph { %x = input() : f32[N,4] %a = reshape(%x) {shape=[4*N]} %b = reshape(%x) {shape=[N+N+2*N]}"
                         " %c = reshape(%x) {shape=[2,2*N]} return(%a, %b, %c) }");
    const void *a = nth(m, 1)->attrs, *b = nth(m, 2)->attrs, *c = nth(m, 3)->attrs;
    assert_true(attrs_equal(OP_reshape, a, b));
    assert_int_equal(attrs_hash(OP_reshape, a), attrs_hash(OP_reshape, b));
    assert_false(attrs_equal(OP_reshape, a, c));
    Attr_resize r = { .cubic_a = 0.0 }, s = { .cubic_a = -0.0 }, t = { .mode = "" };
    assert_false(attrs_equal(OP_resize, &r, &s));
    assert_true(attrs_equal(OP_resize, &r, &t));
    assert_int_equal(attrs_hash(OP_resize, &r), attrs_hash(OP_resize, &t));
}

/* ---- graph_verify finds what only a bug can make ---- */

static void assert_broken(World *w, Module *m, const char *how)
{
    diag_init(&w->diag, w->arena, NULL);
    assert_false(graph_verify(m->graph));
    if (!strstr(w->diag.all, how))
        fail_msg("expected '%s' in: %s", how, w->diag.all);
}

static void verify_finds_lost_use(void **state)
{
    Module *m = parse(*state, "symbol N " BODY);
    node_out(nth(m, 1))->uses = NULL;
    assert_broken(*state, m, "the use list of %1 has 0 entries, 1 operands are it");
}

static void verify_finds_use_of_other_value(void **state)
{
    Module *m = parse(*state, "symbol N " BODY);
    nth(m, 2)->in[0].val = node_out(nth(m, 0));             /* without moving the use to the other list */
    assert_broken(*state, m, "the use list of %");
}

static void verify_finds_broken_back_link(void **state)
{
    Module *m = parse(*state, "symbol N " BODY);
    nth(m, 2)->prev = nth(m, 0);
    assert_broken(*state, m, "the links to the nodes beside it are broken");
}

static void verify_finds_use_before_definition(void **state)
{
    Module *m = parse(*state, "symbol N " BODY);
    node_move(nth(m, 2), nth(m, 1));
    assert_broken(*state, m, "relu %2: operand 0, %1, is defined later");
}

static void verify_finds_use_of_erased(void **state)
{
    Module *m = parse(*state, "symbol N " BODY);
    Node *y = nth(m, 1);
    y->prev->next = y->next;
    y->next->prev = y->prev;
    assert_broken(*state, m, "is defined later or was erased");
}

static void verify_finds_stale_type(void **state)
{
    World *w = *state;
    Module *m = parse(w, "symbol N " BODY);
    node_out(nth(m, 1))->type = type_of_ints(m, DT_f32, 1, (int64_t[]){ 3 });
    assert_broken(w, m, "softmax %1: result 0 has type f32[3], inference gives f32[N,4]");
    assert_int_equal(node_out(nth(m, 1))->type.rank, 1);    /* checking changes nothing */
}

static void verify_finds_capture(void **state)
{
    World *w = *state;
    Module *m = parse(w, "graph { %x = input() : f32[4] %y = fused(%x) {body=graph { %a = input() : f32[4] %b = relu(%a) return(%b) }} return(%y) }");
    Node *relu = NODE_ATTR(nth(m, 1), fused)->body->first->next;
    node_set_input(relu, 0, node_out(nth(m, 0)));
    assert_broken(w, m, "is a value of another graph");
}

static void verify_finds_region_type(void **state)
{
    World *w = *state;
    Module *m = parse(w, "graph { %x = input() : f32[4] %y = fused(%x) {body=graph { %a = input() : f32[4] %b = relu(%a) return(%b) }} return(%y) }");
    node_out(NODE_ATTR(nth(m, 1), fused)->body->first)->type = type_of_ints(m, DT_f32, 1, (int64_t[]){ 5 });
    assert_broken(w, m, "input 0 of body is f32[5], operand 0 is f32[4]");
}

static void verify_accepts_edits(void **state)
{
    World *w = *state;
    Module *m = parse(w, "symbol N " BODY);
    Node *y = nth(m, 1), *z = nth(m, 2);
    value_replace(node_out(y), node_out(nth(m, 0)));
    node_erase(y);
    assert_true(graph_verify(m->graph));
    assert_ptr_equal(node_in(z, 0), node_out(nth(m, 0)));
}

/* ---- files ---- */

static const char *temp_dir(World *w)
{
    char *dir = arena_str(w->arena, "/tmp/test_textXXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static Module *with_weights(World *w, int count)
{
    Module *m = parse(w, "symbol N graph typed { %x = input() : f32[N] return(%x) }");
    for (int k = 0; k < 3; k++) {
        Tensor *t = tensor_new(w->arena, DT_f32, 1, (int64_t[]){ count + k });
        for (int i = 0; i < count + k; i++)
            ((float *)(uintptr_t)t->data)[i] = (float)(i * (k + 1));
        assert_non_null(node_new(m->graph, m->graph->last, OP_constant, 0, NULL, &(Attr_constant){ .value = t }, -1, (Loc){ 0 }));
    }
    return m;
}

static void files_round_trip(void **state)
{
    World *w = *state;
    const char *dir = temp_dir(w);
    for (int count = 5; count <= 5000; count *= 10) {
        const char *path = arena_printf(w->arena, "%s/m%d.irt", dir, count), *blob = arena_printf(w->arena, "%s.blob", path);
        Module *m = with_weights(w, count);
        assert_true(module_write_file(m, path));
        assert_int_equal(access(blob, F_OK) == 0, count > TEXT_INLINE_ELEMENTS);
        Module *again = module_read_file(w->arena, &w->diag, path);
        assert_non_null(again);
        assert_null(module_difference(w->arena, m, again));
        unlink(blob);
        if (count > TEXT_INLINE_ELEMENTS) {
            assert_null(module_read_file(w->arena, &w->diag, path));
            assert_non_null(strstr(w->diag.all, "outside the 0 bytes"));
        }
        unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);                        /* nothing else was left */
}

static void files_cannot_be_written(void **state)
{
    World *w = *state;
    Module *m = with_weights(w, 100);
    const char *dir = temp_dir(w);
    assert_false(module_write_file(m, "/nonexistent/m.irt"));
    assert_non_null(strstr(w->diag.all, "/nonexistent/m.irt: cannot be written: No such file or directory"));
    assert_false(module_write_file(with_weights(w, 10), "/dev/full"));
    assert_non_null(strstr(w->diag.all, "/dev/full: cannot be written: No space left on device"));
    const char *path = arena_printf(w->arena, "%s/m.irt", dir), *blob = arena_printf(w->arena, "%s.blob", path);
    assert_int_equal(mkdir(blob, 0777), 0);                 /* the blob cannot take its place */
    assert_false(module_write_file(m, path));
    assert_int_equal(rmdir(blob), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void files_cannot_be_read(void **state)
{
    World *w = *state;
    assert_null(module_read_file(w->arena, &w->diag, "/nonexistent.irt"));
    assert_non_null(strstr(w->diag.all, "/nonexistent.irt: cannot be read: No such file or directory"));
    assert_null(module_read_file(w->arena, &w->diag, "/tmp"));
    assert_non_null(strstr(w->diag.all, "/tmp: cannot be read: "));
    assert_null(module_read_file(w->arena, &w->diag, "/proc/self/exe"));
    assert_non_null(strstr(w->diag.all, "/proc/self/exe: is not a text file"));
}

static void without_blob_constants_are_elided(void **state)
{
    World *w = *state;
    const char *text = module_print(with_weights(w, 100), w->arena, NULL);
    assert_non_null(strstr(text, "f32[100] elided"));
    assert_null(module_parse(w->arena, &w->diag, "t.irt", text, NULL, 0));
    assert_non_null(strstr(w->diag.all, "this constant was printed without its data"));
}

static void node_prints_on_one_line(void **state)
{
    World *w = *state;
    Module *m = parse(w, "graph { %x = input() : f32[4] \"in\" %y = fused(%x) {body=graph { %a = input() : f32[4] return(%a) }} return(%y) }");
    assert_string_equal(node_print(w->arena, nth(m, 0)), "%0 = input() : f32[4] \"in\"");
    assert_string_equal(node_print(w->arena, nth(m, 1)), "%1 = fused(%0) {body=graph} : f32[4]");
}

/* A new row in ops.def needs no test of its own here. */
static void every_elementwise_op_round_trips(void **state)
{
    static const char *const operand_type[] = { [EWT_NUM] = "f32", [EWT_FLT] = "f32", [EWT_INT] = "i32", [EWT_BOOL] = "bool", [EWT_ANY] = "f32" };
    World *w = *state;
    for (OpCode op = OP_none + 1; op < OP_count; op++) {
        const OpInfo *info = &op_table[op];
        const char *text = "graph {", *operands = "";
        if (!(info->flags & OPF_EW))
            continue;
        for (int i = 0; i < info->min_in; i++) {
            const char *type = info->ew_result == EWR_SECOND && i == 0 ? "bool" : operand_type[info->ew_types];
            text = arena_printf(w->arena, "%s %%%d = input() {index=%d} : %s[%s]", text, i, i, type, i % 2 ? "4" : "N,1");
            operands = arena_printf(w->arena, "%s%s%%%d", operands, i ? ", " : "", i);
        }
        Module *m = parse(w, arena_printf(w->arena, "%s %%r = %s(%s) return(%%r) }", text, info->name, operands));
        const char *printed = module_print(m, w->arena, NULL);
        Module *again = parse(w, printed);
        assert_null(module_difference(w->arena, m, again));
        assert_string_equal(printed, module_print(again, w->arena, NULL));
        assert_int_equal(nth(again, info->min_in)->op, op);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(equal_ignores_names), TEST(equal_sees_differences), TEST(splat_equals_dense), TEST(attrs_compare_by_value),
        TEST(verify_finds_lost_use), TEST(verify_finds_use_of_other_value), TEST(verify_finds_broken_back_link),
        TEST(verify_finds_use_before_definition), TEST(verify_finds_use_of_erased), TEST(verify_finds_stale_type), TEST(verify_finds_capture),
        TEST(verify_finds_region_type), TEST(verify_accepts_edits), TEST(files_round_trip), TEST(files_cannot_be_written),
        TEST(files_cannot_be_read), TEST(without_blob_constants_are_elided), TEST(node_prints_on_one_line), TEST(every_elementwise_op_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
