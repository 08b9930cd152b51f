/* pass.c -- the pass manager: runs a pipeline, and around every pass does what no pass should have to think of.
 *
 * Before: the promises the pass needs are there. After: ids are renumbered, promises updated, the graph verified (always in debug builds), the
 * text printed, the clock read, the driver's hook called. A graph that is not valid after a pass is a bug of that pass: the graph as it was before
 * is written to a file that reproduces it.
 */
#include "pass.h"

#include <string.h>
#include <time.h>

#include "pass_util.h"
#include "text.h"

#define ALL (GP_TYPED | GP_CANONICAL | GP_LAID_OUT | GP_FUSED)
const PassInfo pass_table[] = {
#define PASS(name, needs, keeps, gives, summary) { #name, summary, pass_##name, needs, keeps, gives },
#include "passes.def"
};
#undef ALL
const int pass_count = (int)(sizeof pass_table / sizeof *pass_table);

/* What runs at -O0 .. -O3. Layout is in all of them: code generation knows convolutions channels-last only. */
static const char *const pipelines[] = {
    "guard,dce,layout,explicit_pad,plan",
    "guard,quant,low_bit,half,dce,fold,rules,cse,widen,expand,fold,dce,layout,algorithm,explicit_pad,dce,fuse,cse,dce,plan",
    "guard,quant,low_bit,half,dce,fold,cse,rules,cse,widen,expand,fold,layout,rules,algorithm,explicit_pad,cse,dce,fuse,cse,dce,plan",
    "guard,quant,low_bit,half,dce,fold,cse,rules,cse,widen,expand,fold,layout,rules,algorithm,explicit_pad,cse,dce,fuse,cse,dce,plan",
};

enum { LEVELS = sizeof pipelines / sizeof *pipelines, PIPELINE_ROOM = 256 };

#ifdef NDEBUG
enum { ALWAYS_VERIFY = false };
#else
enum { ALWAYS_VERIFY = true };
#endif

static const PassInfo *find_pass(const char *name, size_t len)
{
    for (int i = 0; i < pass_count; i++)
        if (strlen(pass_table[i].name) == len && !memcmp(pass_table[i].name, name, len))
            return &pass_table[i];
    return NULL;
}

const PassInfo *pass_find(const char *name)
{
    return find_pass(name, strlen(name));
}

const char *passes_pipeline(int level)
{
    return pipelines[level < 0 ? 0 : level >= LEVELS ? LEVELS - 1 : level];
}

/* ---- rewrites ---- */

bool rewrite_allowed(Module *m, const char *rule, const Node *n)
{
    if (!m->fuel)
        return false;
    if (m->fuel > 0)
        m->fuel--;
    m->last_rewrite = rule;
    if (m->trace) {
        Arena *a = arena_new();
        fprintf(stderr, "rewrite %s: %s\n", rule, node_print(a, n));
        arena_free(a);
    }
    return true;
}

/* ---- one pass ---- */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool needs_are_met(Module *m, const PassInfo *p)
{
    unsigned missing = p->needs & ~m->graph->props;
    if (!missing)
        return true;
    const char *words = "";
    for (int i = 0; text_prop_name[i]; i++)
        if (missing & 1u << i)
            words = arena_printf(m->arena, "%s%s%s", words, *words ? " and " : "", text_prop_name[i]);
    return diag_error(m->diag, (Loc){ .file = m->file }, "pass %s needs a graph that is %s", p->name, words);
}

/* The pass broke the graph: keep what it was given, so that the failure can be had again. */
static bool report_broken(Module *m, const PassInfo *p, Graph *before)
{
    char path[512];
    snprintf(path, sizeof path, "%s-before-%s.irt", m->name, p->name);
    m->graph = before;
    Loc loc = { .file = m->file };
    if (!module_write_file(m, path))
        return diag_error(m->diag, loc, "internal error: the graph is not valid after pass %s", p->name);
    return diag_error(m->diag, loc, "internal error: the graph is not valid after pass %s; `ingot dump %s --passes %s` shows it again", p->name, path,
                      p->name);
}

static bool run_pass(Module *m, const PassInfo *p, bool verify)
{
    if (!needs_are_met(m, p))
        return false;
    Graph *before = verify ? graph_clone(m, m->graph, NULL) : NULL;
    int errors = m->diag->errors;
    if (!p->run(m))
        return m->diag->errors > errors ? false : diag_error(m->diag, (Loc){ .file = m->file }, "internal error: pass %s gave up", p->name);
    m->graph->props = (m->graph->props & p->keeps) | p->gives;
    graph_renumber(m->graph);
    return !verify || graph_verify(m->graph) || report_broken(m, p, before);
}

bool pass_run(Module *m, const char *name)
{
    const PassInfo *p = pass_find(name);
    if (!p)
        return diag_error(m->diag, (Loc){ .file = m->file }, "there is no pass named %s", name);
    return run_pass(m, p, true);
}

/* ---- the pipeline ---- */

static void print_graph(Module *m, const char *pass)
{
    Arena *a = arena_new();
    fprintf(stderr, "; after %s\n%s", pass, module_print(m, a, NULL));
    arena_free(a);
}

static bool run_observed(Module *m, const PassInfo *p, const PassOptions *opt)
{
    double start = seconds_now();
    int nodes = graph_count_nodes(m->graph);
    if (!run_pass(m, p, opt->verify || ALWAYS_VERIFY))
        return false;
    if (opt->time)
        fprintf(stderr, "%-14s %9.3f ms  %6d -> %d nodes\n", p->name, 1e3 * (seconds_now() - start), nodes, graph_count_nodes(m->graph));
    if (opt->print_after && (!strcmp(opt->print_after, "all") || !strcmp(opt->print_after, p->name)))
        print_graph(m, p->name);
    if (opt->after)
        opt->after(opt->after_ctx, m, p->name);
    return true;
}

/* Splits "fold,cse,plan"; reports every name that is no pass. Returns how many passes there are, -1 on an error. */
static int parse_pipeline(Module *m, const char *text, const PassInfo **out)
{
    int n = 0;
    bool ok = true;
    for (const char *s = text; *s;) {
        size_t len = strcspn(s, ",");
        const PassInfo *p = find_pass(s, len);
        if (!p && len)
            ok = diag_error(m->diag, (Loc){ .file = m->file }, "there is no pass named %.*s", (int)len, s);
        else if (p && n == PIPELINE_ROOM)
            ok = diag_error(m->diag, (Loc){ .file = m->file }, "a pipeline of more than %d passes", PIPELINE_ROOM);
        else if (p)
            out[n++] = p;
        s += len + (s[len] == ',');
    }
    return ok ? n : -1;
}

bool passes_run(Module *m, const PassOptions *opt)
{
    const PassInfo *list[PIPELINE_ROOM];
    int n = parse_pipeline(m, opt->pipeline ? opt->pipeline : passes_pipeline(opt->level), list);
    if (n < 0)
        return false;
    m->fuel = opt->fuel;
    m->trace = opt->trace;
    for (int i = 0; i < n; i++) {
        if (!run_observed(m, list[i], opt))
            return false;
        if (opt->stop_after && !strcmp(opt->stop_after, list[i]->name))
            break;
    }
    return true;
}
