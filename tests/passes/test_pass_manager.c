/* test_pass_manager.c -- the pass manager's own promises, and the minimum cut against trying every cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mincut.h"
#include "pass.h"

static const char text[] =
    "module \"m\"\n"
    "graph typed {\n"
    "  %0 = input() : f32[4] \"x\"\n"
    "  %1 = neg(%0) : f32[4]\n"
    "  %2 = neg(%1) : f32[4]\n"
    "  %3 = exp(%2) : f32[4]\n"
    "  %4 = exp(%2) : f32[4]\n"
    "  %5 = add(%3, %4) : f32[4]\n"
    "  return(%5) {names=[\"y\"]}\n"
    "}\n";

typedef struct Session {
    Arena *arena;
    Diag diag;
    Module *m;
    char seen[256];
} Session;

static void note_pass(void *ctx, Module *m, const char *pass)
{
    Session *s = ctx;
    assert_ptr_equal(s->m, m);
    strcat(strcat(s->seen, pass), " ");
}

static Session open_session(void)
{
    Session s = { .arena = arena_new() };
    diag_init(&s.diag, s.arena, NULL);
    s.m = module_parse(s.arena, &s.diag, "m.irt", text, NULL, 0);
    assert_non_null(s.m);
    return s;
}

static bool run(Session *s, PassOptions opt)
{
    s->m->diag = &s->diag;
    opt.after = note_pass;
    opt.after_ctx = s;
    return passes_run(s->m, &opt);
}

static void runs_what_is_asked(void **state)
{
    (void)state;
    Session s = open_session();
    PassOptions opt = PASS_OPTIONS_DEFAULT;
    opt.pipeline = "rules,cse,dce,fuse,plan";
    opt.stop_after = "dce";
    assert_true(run(&s, opt));
    assert_string_equal(s.seen, "rules cse dce ");
    assert_int_equal(s.m->graph->props, GP_TYPED | GP_CANONICAL);
    arena_free(s.arena);
}

static void refuses_what_it_does_not_know(void **state)
{
    (void)state;
    Session s = open_session();
    PassOptions opt = PASS_OPTIONS_DEFAULT;
    opt.pipeline = "dce,polish";
    assert_false(run(&s, opt));
    assert_string_equal(s.seen, "");
    assert_non_null(strstr(s.diag.first, "there is no pass named polish"));
    arena_free(s.arena);
}

static void checks_what_a_pass_needs(void **state)
{
    (void)state;
    Session s = open_session();
    PassOptions opt = PASS_OPTIONS_DEFAULT;
    opt.pipeline = "dce,explicit_pad";
    assert_false(run(&s, opt));
    assert_non_null(strstr(s.diag.first, "pass explicit_pad needs a graph that is laid_out"));
    arena_free(s.arena);
}

static int count_after(int64_t fuel, const char **last)
{
    Session s = open_session();
    PassOptions opt = PASS_OPTIONS_DEFAULT;
    int n = 0;
    opt.pipeline = "rules,cse,fuse,dce";
    opt.fuel = fuel;
    assert_true(run(&s, opt));
    FOR_EACH_NODE(k, s.m->graph)
        n++;
    *last = s.m->last_rewrite ? s.m->last_rewrite : "";
    arena_free(s.arena);
    return n;
}

static void fuel_counts_rewrites(void **state)
{
    (void)state;
    const char *last;
    assert_int_equal(count_after(0, &last), 7);
    assert_string_equal(last, "");
    assert_int_equal(count_after(1, &last), 5);
    assert_string_equal(last, "neg_neg");
    assert_int_equal(count_after(2, &last), 4);
    assert_string_equal(last, "cse");
    assert_int_equal(count_after(3, &last), 3);
    assert_string_equal(last, "fuse");
    assert_int_equal(count_after(-1, &last), 3);
}

static void every_level_is_a_pipeline(void **state)
{
    (void)state;
    for (int level = 0; level <= 3; level++) {
        Session s = open_session();
        PassOptions opt = PASS_OPTIONS_DEFAULT;
        opt.level = level;
        assert_true(run(&s, opt));
        assert_true(s.m->graph->props & GP_PLANNED);
        arena_free(s.arena);
    }
}

/* ---- minimum cut ---- */

enum { NODES = 8, EDGES = 20 };

static int64_t cut_cost(const int (*edge)[3], const bool *side)
{
    int64_t cost = 0;
    for (int i = 0; i < EDGES; i++)
        if (side[edge[i][0]] && !side[edge[i][1]])
            cost += edge[i][2];
    return cost;
}

/* The least cost, and how many nodes the largest source side of that cost has. */
static void try_every_cut(const int (*edge)[3], int64_t *least, int *largest)
{
    *least = INT64_MAX;
    for (unsigned mask = 0; mask < 1u << (NODES - 2); mask++) {
        bool side[NODES] = { true, false };
        int count = 0;
        for (int i = 2; i < NODES; i++)
            count += side[i] = mask >> (i - 2) & 1;
        int64_t cost = cut_cost(edge, side);
        if (cost < *least || (cost == *least && count > *largest)) {
            *least = cost;
            *largest = count;
        }
    }
}

static void mincut_is_minimal(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int round = 0; round < 300; round++) {
        Arena *a = arena_new();
        MinCut *c = mincut_new(a);
        int edge[EDGES][3], largest = 0, count = 0;
        int64_t least;
        bool side[NODES];
        for (int i = 2; i < NODES; i++)
            assert_int_equal(mincut_node(c), i);
        for (int i = 0; i < EDGES; i++) {
            for (int k = 0; k < 3; k++)
                edge[i][k] = (int)((seed = seed * 1664525 + 1013904223) >> 20) % (k < 2 ? NODES : 10);
            mincut_edge(c, edge[i][0], edge[i][1], edge[i][2]);
        }
        mincut_solve(c, side);
        try_every_cut((const int (*)[3])edge, &least, &largest);
        for (int i = 2; i < NODES; i++)
            count += side[i];
        assert_true(side[CUT_SOURCE] && !side[CUT_SINK]);
        assert_int_equal(cut_cost((const int (*)[3])edge, side), least);
        assert_int_equal(count, largest);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_what_is_asked),        cmocka_unit_test(refuses_what_it_does_not_know), cmocka_unit_test(checks_what_a_pass_needs),
        cmocka_unit_test(fuel_counts_rewrites),      cmocka_unit_test(every_level_is_a_pipeline),     cmocka_unit_test(mincut_is_minimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
