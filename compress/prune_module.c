/* prune_module.c -- see prune_module.h. */
#include "prune_module.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "observe.h"
#include "pass.h"

/* ---- options ---- */

bool prune_wanted(const PruneOptions *o)
{
    return o->sparsity || o->macs || o->bytes || o->latency;
}

/* A number from 0 on; false: it is none. */
static bool number(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && (!*end || !strcmp(end, "ms")) && isfinite(*out) && *out >= 0;
}

static const char *bad_budget(const PruneOptions *o)
{
    const char *const budget[] = { o->sparsity, o->macs, o->bytes, o->latency };
    double x;
    int given = 0;
    for (int i = 0; i < 4; i++) {
        given += budget[i] != NULL;
        if (budget[i] && !number(budget[i], &x))
            return "a budget must be a number, such as --macs 0.5";
    }
    if (given != 1)
        return given ? "give one of --sparsity, --macs, --bytes and --latency, not several" : "one of --sparsity, --macs, --bytes and --latency is missing";
    if (o->sparsity && (!number(o->sparsity, &x) || x >= 1))
        return "--sparsity must be at least 0 and below 1: something has to stay";
    return NULL;
}

static const char *bad_word(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(word, *words))
            return NULL;
    return word;
}

static const char bad_importance[] = "--importance must be one of"
#define IMPORTANCE(id, name, data, summary) " " name
#include "importance.def"
#undef IMPORTANCE
    ;

const char *prune_misuse(const PruneOptions *o)
{
    Importance by;
    Repair how;
    double damp;
    const char *wrong = bad_budget(o);
    if (wrong)
        return wrong;
    if (o->importance && !importance_from_name(o->importance, &by))
        return bad_importance;
    if (o->importance && importance_table[by].needs_data && !o->samples.path)
        return "this --importance needs --calibrate DATA";
    if (bad_word(o->scope, (const char *const[]){ "global", "layer", NULL }))
        return "--scope must be global or layer";
    if (bad_word(o->unit, (const char *const[]){ "any", "channels", "heads", NULL }))
        return "--unit must be any, channels or heads";
    if (o->repair && !repair_from_name(o->repair, &how))
        return "--repair must be none, bias, bn or lsq";
    if (o->repair && strcmp(o->repair, "none") && !o->samples.path)
        return "--repair needs --calibrate DATA";
    if (o->damp && !number(o->damp, &damp))
        return "--repair-damp must be a number";
    return o->steps < 1 ? "--steps must be at least 1" : NULL;
}

bool prune_prepare(Module *m, Gammas *gammas)
{
    PassOptions p = PASS_OPTIONS_DEFAULT;
    *gammas = gammas_find(m->arena, m->graph);
    p.pipeline = "dce,fold,rules,fold,dce";
    return passes_run(m, &p);
}

/* ---- budgets ---- */

typedef struct Budget {
    Module *m;
    double limit;                   /* in the unit of the measure */
    SelectMeasure *measure;
    const char *what;
} Budget;

static Cost cost_after(const Groups *s, const bool *removed)
{
    const Keeps *k = groups_keeps(s, removed);
    return k ? cost_of(s, k) : cost_of(s, NULL);
}

static double measure_macs(void *ctx, const Groups *s, const bool *removed) { (void)ctx; return cost_after(s, removed).macs; }
static double measure_bytes(void *ctx, const Groups *s, const bool *removed) { (void)ctx; return cost_after(s, removed).bytes; }

/* Milliseconds of one run on this machine, one thread. False after a sentence. */
static bool latency_of(Module *m, double *ms)
{
    ObserverCost cost;
    Observer *o = observer_open(m, NULL, 0);
    bool ok = o && observer_cost(o, NULL, &cost);
    observer_close(o);
    *ms = ok ? cost.median_ms : INFINITY;
    return ok;
}

static double measure_latency(void *ctx, const Groups *s, const bool *removed)
{
    Budget *b = ctx;
    const Keeps *k = groups_keeps(s, removed);
    Module own = *b->m;
    double ms = INFINITY;
    own.graph = k ? prune_graph(b->m, s->g, k, NULL) : NULL;
    return own.graph && latency_of(&own, &ms) ? ms : INFINITY;
}

/* Of the network before any step. False after reporting. */
static bool budget_of(const PruneOptions *o, Module *m, const Groups *s, Budget *b)
{
    Cost all = cost_of(s, NULL);
    const char *text = o->macs ? o->macs : o->bytes ? o->bytes : o->latency;
    double x, whole = o->macs ? all.macs : all.bytes;
    number(text, &x);
    *b = (Budget){ .m = m, .measure = o->macs ? measure_macs : o->bytes ? measure_bytes : measure_latency,
                   .what = o->macs ? "multiply-adds" : o->bytes ? "bytes of weights" : "milliseconds" };
    if (o->latency && !latency_of(m, &whole))
        return false;
    b->limit = x <= 1 && !strchr(text, 'm') ? x * whole : x;
    return true;
}

/* ---- one step ---- */

static UnitKind unit_kind(const char *name)
{
    return !strcmp(name, "channels") ? UNIT_CHANNELS : !strcmp(name, "heads") ? UNIT_HEADS : UNIT_ANY;
}

static bool *choose(const PruneOptions *o, const Groups *s, const double *score, double share, Budget *b)
{
    SelectOptions select = { .global = !strcmp(o->scope, "global"), .round = o->round ? (int)o->round : s->m->vector_bytes > 4 ? s->m->vector_bytes / 4 : 8,
                             .unit = unit_kind(o->unit) };
    double least, limit;
    if (o->sparsity) {
        number(o->sparsity, &select.fraction);
        select.fraction = 1 - pow(1 - select.fraction, share);
        return select_units(s, score, &select);
    }
    bool *removed = ARENA_ARRAY(s->arena, bool, s->nunits + 1);         /* none */
    double now = b->measure(b, s, removed);
    if (now <= b->limit)
        return removed;
    limit = b->limit * pow(now / b->limit, 1 - share);
    select.spare_sums = true;
    removed = select_budget(s, score, select, limit, !o->latency, b->measure, b, &least);
    select.spare_sums = false;
    if (!removed && !(removed = select_budget(s, score, select, limit, !o->latency, b->measure, b, &least)))
        diag_error(s->m->diag, (Loc){ .file = s->m->file }, "a budget of %.6g %s cannot be met: with one channel of every group that can be pruned, %.6g stay",
                   b->limit, b->what, least);
    return removed;
}

static bool repair_step(Module *m, const PruneOptions *o, Graph *original, Graph *cut, const PtrMap *map, const Keeps *k, Samples *samples)
{
    RepairOptions r = REPAIR_DEFAULT;
    if (o->repair)
        repair_from_name(o->repair, &r.how);
    if (o->damp)
        number(o->damp, &r.damp);
    return !samples || r.how == REPAIR_NONE || repair_graph(m, original, cut, map, k, samples, &r);
}

static Groups *find_groups(Arena *a, Module *m, const PruneOptions *o)
{
    Groups *s = groups_find(a, m, m->graph, o->keep.n, o->keep.v);
    int allowed = 0;
    for (int i = 0; s && i < s->ngroups; i++)
        allowed += unit_kind(o->unit) == UNIT_ANY || (unit_kind(o->unit) == UNIT_HEADS) == s->group[i].heads;
    if (!s || allowed)
        return s;
    const char *why = unit_kind(o->unit) == UNIT_HEADS ? ": there are no attention heads" :
                      s->nrefused ? arena_printf(a, ": %s stays, since %s", s->refused[0].name, s->refused[0].reason) : "";
    diag_error(m->diag, (Loc){ .file = m->file }, "nothing can be pruned%s", why);
    return NULL;
}

/* Counts what stays of each group, by name: the groups of a later step are those of the first. */
static void report_step(Module *m, const Groups *s, const bool *removed, const Keeps *k, int step, PruneReport *r)
{
    if (!step) {
        r->original = m->graph;
        r->keeps = k;
        r->before = cost_of(s, NULL);
        r->ngroups = s->ngroups;
        r->nrefused = s->nrefused;
        r->group = ARENA_ARRAY(m->arena, PrunedGroup, s->ngroups);
        r->refused = arena_copy(m->arena, s->refused, sizeof *s->refused * (size_t)s->nrefused);
        for (int i = 0; i < s->ngroups; i++)
            r->group[i] = (PrunedGroup){ .name = s->group[i].name, .before = s->group[i].n, .after = s->group[i].n, .width = s->group[i].width,
                                         .heads = s->group[i].heads, .cost = cost_of_group(s, i, NULL) };
    }
    for (int g = 0; g < r->ngroups; g++)
        for (int i = 0; i < s->ngroups; i++) {
            if (strcmp(r->group[g].name, s->group[i].name))
                continue;
            r->group[g].left = cost_of_group(s, i, k);
            for (int u = s->group[i].first; u < s->group[i].first + s->group[i].n; u++)
                r->group[g].after -= removed[u];
        }
}

static bool prune_step(Module *m, const PruneOptions *o, const Gammas *gammas, int step, Budget *b, Samples *samples, PruneReport *report)
{
    Importance by;
    Groups *s = find_groups(m->arena, m, o);
    if (!s || (!o->sparsity && !step && !budget_of(o, m, s, b)))
        return false;
    importance_from_name(o->importance ? o->importance : samples ? "reconstruction" : "l1", &by);
    double *score = importance_table[by].needs_data ? importance_of_data(s, by, samples) :
                    by == IMP_bn_gamma ? importance_of_gammas(s, gammas) : importance_of_weights(s, by);
    bool *removed = score ? choose(o, s, score, 1.0 / (double)(o->steps - (o->sparsity ? 0 : step)), b) : NULL;
    const Keeps *k = removed ? groups_keeps(s, removed) : NULL;
    if (!k)
        return false;
    PtrMap map = ptrmap_new(m->arena);
    Graph *cut = o->mask ? prune_mask(m, m->graph, k) : prune_graph(m, m->graph, k, &map);
    if (!cut || (!o->mask && !repair_step(m, o, m->graph, cut, &map, k, samples)))
        return false;
    report_step(m, s, removed, k, step, report);
    report->after = cost_of(s, k);
    m->graph = cut;
    return true;
}

bool prune_module(Module *m, const PruneOptions *o, const Gammas *gammas, PruneReport *report)
{
    SamplesOptions so = o->samples;
    so.read_pb = describe_read_pb;
    Samples *samples = so.path ? samples_open(describe_module(m), &so) : NULL;
    bool ok = !so.path || samples;
    Budget b = { 0 };
    *report = (PruneReport){ 0 };
    for (int i = 0; ok && i < o->steps; i++)
        ok = prune_step(m, o, gammas, i, &b, samples, report);
    samples_close(samples);
    return ok;
}
