/* test_choice.c -- the table of decisions: answers with and without it, keys of layers, and the file's lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "choice.h"
#include "text.h"

static const char *const three[] = { "direct", "winograd 4", "winograd 6" };

static void test_answers(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Choices *c = choices_new(a);
    assert_int_equal(choice_make(NULL, "algorithm x", 3, three), 0);
    assert_int_equal(choice_make(c, NULL, 3, three), 0);
    assert_int_equal(choice_make(c, "algorithm x", 3, three), 0);
    choice_decide(c, "algorithm x", "winograd 6");
    assert_int_equal(choice_make(c, "algorithm x", 3, three), 2);
    assert_int_equal(choice_make(c, "algorithm y", 3, three), 0);
    assert_int_equal(choice_make(c, "algorithm x", 2, three), 0);     /* decided for what is no candidate any more */
    arena_free(a);
}

static void test_rounds(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Choices *c = choices_new(a);
    choice_decide(c, "tile x", "winograd 6");
    c->trying = "algorithm";
    for (c->round = 0; c->round < 4; c->round++) {
        assert_int_equal(choice_make(c, "algorithm x", 3, three), c->round < 3 ? c->round : 0);
        assert_int_equal(choice_find(c, "algorithm x")->used, c->round < 3 ? c->round : 0);
        assert_int_equal(choice_make(c, "tile x", 3, three), 2);
        assert_int_equal(choice_make(c, "algorithms x", 3, three), 0);
    }
    arena_free(a);
}

static void test_file(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Choices *c = choices_new(a), *back = choices_new(a);
    char *text;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    choice_decide(c, "algorithm x", "winograd 4");
    choice_decide(c, "algorithm y", "direct");
    choice_decide(c, "algorithm z", "winograd 6");          /* of a layer that nobody asks about */
    choice_make(c, "algorithm x", 3, three);
    choice_make(c, "algorithm y", 3, three);
    choices_write(c, f);
    fclose(f);
    assert_string_equal(text, "algorithm x = winograd 4\n");
    assert_true(choices_read_line(back, text));
    assert_int_equal(choice_make(back, "algorithm x", 3, three), 1);
    free(text);
    char bad[][24] = { "", "\n", "algorithm x", " = direct", "algorithm x = ", "algorithm x = \n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(choices_read_line(back, bad[i]));
    arena_free(a);
}

#define LAYER(pads, height, more) \
    "module \"t\"\n\ngraph {\n  %x = input() : f32[1," #height "," #height ",8]\n  %w = input() {index=1} : f32[16,8,3,3]\n" \
    "  %y = conv(%x, %w) {strides=[1,1], dilations=[1,1], pads=[" pads "], group=1, channels_last=true" more "} : f32[1,6,6,16]\n  return(%y)\n}\n"

static const char *key_of(Arena *a, const char *text)
{
    Diag d;
    diag_init(&d, a, NULL);
    Module *m = module_parse(a, &d, "t.irt", text, NULL, 0);
    if (!m)
        fail_msg("%s", d.all);
    return choice_key(m, a, "tile", node_in(graph_return(m->graph), 0)->def);
}

static void test_keys(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const char *padded = key_of(a, LAYER("1,1,1,1", 6, "")), *explicit = key_of(a, LAYER("0,0,0,0", 8, ""));
    assert_string_equal(padded, "tile conv f32[1,6,6,16] f32[16,8,3,3] 1/1,1/1");
    assert_string_equal(explicit, padded);                  /* one layer, before and after the pass explicit_pad ... */
    assert_string_equal(key_of(a, LAYER("1,1,1,1", 6, ", winograd=[2,9,1,16]")), padded);      /* ... and algorithm */
    assert_null(key_of(a, "module \"t\"\n\ngraph {\n  %x = input() : f32[4]\n  %y = relu(%x)\n  return(%y)\n}\n"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_answers), cmocka_unit_test(test_rounds), cmocka_unit_test(test_file), cmocka_unit_test(test_keys) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
