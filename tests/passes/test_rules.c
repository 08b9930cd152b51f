/* test_rules.c -- every rewrite rule has a test that it takes part in, and there is no test of a rule that is gone.
 *
 * tests/rules/NAME.irt is parsed and the rules are run with 1, 2, 3... units of fuel: with one of them NAME must be the rule that took the last.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pass.h"
#include "rules.h"

enum { MAX_FUEL = 64, MAX_TEXT = 1 << 16 };

static const Rule *find_rule(const char *name)
{
    for (int s = 0; rule_sets[s]; s++)
        for (const Rule *r = rule_sets[s]; r->name; r++)
            if (!strcmp(r->name, name))
                return r;
    return NULL;
}

/* The section `--- in` of a golden file; NULL if there is no such file. */
static const char *read_module_text(Arena *a, const char *name)
{
    char *text = arena_alloc(a, MAX_TEXT);
    FILE *f = fopen(arena_printf(a, "%s/tests/rules/%s.irt", SOURCE_DIR, name), "r");
    if (!f)
        return NULL;
    text[fread(text, 1, MAX_TEXT - 1, f)] = 0;
    fclose(f);
    char *from = strstr(text, "--- in\n"), *to = from ? strstr(from, "--- after") : NULL;
    if (!to)
        return NULL;
    *to = 0;
    return from + strlen("--- in\n");
}

/* The last rewrite made with this fuel; *left is what remained of it. */
static const char *last_rewrite(Arena *a, const char *name, const char *text, int64_t fuel, int64_t *left)
{
    Diag d;
    diag_init(&d, a, stderr);
    Module *m = module_parse(a, &d, name, text, NULL, 0);
    assert_non_null(m);
    m->fuel = fuel;
    assert_true(pass_run(m, "rules"));
    *left = m->fuel;
    return m->last_rewrite ? m->last_rewrite : "";
}

static bool takes_part(const char *name)
{
    Arena *a = arena_new();
    const char *text = read_module_text(a, name);
    bool found = false;
    int64_t left = 0;
    for (int fuel = 1; text && !found && !left && fuel < MAX_FUEL; fuel++)
        found = !strcmp(last_rewrite(a, name, text, fuel, &left), name);
    if (!text)
        print_error("rule %s has no test tests/rules/%s.irt\n", name, name);
    else if (!found)
        print_error("rule %s does nothing in its own test\n", name);
    arena_free(a);
    return found;
}

static void every_rule_has_a_test(void **state)
{
    bool ok = true;
    (void)state;
    for (int s = 0; rule_sets[s]; s++)
        for (const Rule *r = rule_sets[s]; r->name; r++)
            ok &= takes_part(r->name);
    assert_true(ok);
}

static void every_test_has_a_rule(void **state)
{
    bool ok = true;
    (void)state;
    DIR *dir = opendir(SOURCE_DIR "/tests/rules");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char name[256];
        snprintf(name, sizeof name, "%s", e->d_name);
        char *dot = strstr(name, ".irt");
        if (!dot)
            continue;
        *dot = 0;
        if (!find_rule(name)) {
            print_error("tests/rules/%s tests no rule\n", e->d_name);
            ok = false;
        }
    }
    closedir(dir);
    assert_true(ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_rule_has_a_test), cmocka_unit_test(every_test_has_a_rule) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
