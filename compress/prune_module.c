/* prune_module.c -- see prune_module.h. */
#include "prune_module.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "compile.h"
#include "latency_model.h"
#include "observe.h"
#include "pass.h"
#include "pass_util.h"
#include "score.h"
#include "sparsify.h"

/* ---- options ---- */

bool prune_wanted(const PruneOptions *o)
{
    return o->sparsity || o->macs || o->bytes || o->latency || o->pattern;
}

bool prune_mentioned(const PruneOptions *o)
{
    const PruneOptions plain = PRUNE_DEFAULT;
    return prune_wanted(o) || o->importance || o->repair || o->damp || o->round || o->modelled || o->steps != plain.steps || strcmp(o->scope, plain.scope) ||
           strcmp(o->unit, plain.unit);
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

static const char *bad_pattern(const PruneOptions *o)
{
    Pattern p;
    Importance by = IMP_l1;
    double x;
    if (!pattern_from_name(o->pattern, &p))
        return "--pattern must be unstructured or N:M, N of at most 64 neighbours that stay, such as 2:4";
    if (o->macs || o->bytes || o->latency)
        return "zeros in a weight save neither multiply-adds nor bytes nor time: --pattern unstructured takes --sparsity";
    if (p.of && (o->sparsity || o->steps != 1 || strcmp(o->scope, "layer")))
        return "--pattern N:M says how much goes everywhere, so it takes no --sparsity, --steps or --scope";
    if (!p.of && !o->sparsity)
        return "--pattern unstructured needs --sparsity";
    if (!p.of && (!number(o->sparsity, &x) || x >= 1))
        return "--sparsity must be at least 0 and below 1: something has to stay";
    if (o->importance && importance_from_name(o->importance, &by) && by != IMP_l1 && by != IMP_activation && by != IMP_reconstruction && by != IMP_random)
        return "--pattern ranks weights: --importance l1, activation, reconstruction or random";
    if (!strcmp(o->scope, "global") && (by == IMP_reconstruction || (!o->importance && o->samples.path)))
        return "--importance reconstruction chooses zeros within each layer: --scope global needs l1, activation or random";
    if (o->mask || strcmp(o->unit, "any") || o->round)
        return "--mask, --unit and --round are about channels, not about --pattern";
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
    const char *wrong = o->pattern ? bad_pattern(o) : bad_budget(o);
    if (wrong)
        return wrong;
    if (o->importance && !importance_from_name(o->importance, &by))
        return bad_importance;
    if (o->importance && importance_table[by].needs_data && !o->samples.path)
        return "this --importance needs --calibrate DATA";
    if (bad_word(o->scope, (const char *const[]){ "global", "layer", NULL }))
        return "--scope must be global or layer";
    if (bad_word(o->unit, (const char *const[]){ "any", "channels", "heads", "blocks", NULL }))
        return "--unit must be any, channels, heads or blocks";
    if (!strcmp(o->unit, "blocks") && ((o->importance && (by == IMP_fpgm || by == IMP_bn_gamma)) || o->round || strcmp(o->scope, "layer")))
        return "--unit blocks ranks whole branches: no --round, no --scope, and --importance l1, l2, activation, reconstruction or random";
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

typedef enum Measure { BY_MACS, BY_BYTES, BY_TIME, BY_CYCLES } Measure;
static const char *const measure_names[] = { "multiply-adds", "bytes of weights", "milliseconds", "modelled cycles" };

typedef struct Budget {
    Module *m;
    double whole, limit;            /* in the unit of the measure; whole: of the network before any step, where the budget is a fraction of it */
    Measure by;
} Budget;

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

/* Of a network that is built already. */
static double measure_graph(const Budget *b, Graph *g)
{
    Module own = *b->m;
    double ms = INFINITY;
    own.graph = g;
    if (!g || b->by == BY_CYCLES)
        return g ? latency_model_cycles(b->m, g) : INFINITY;
    if (b->by == BY_TIME)
        return latency_of(&own, &ms) ? ms : INFINITY;
    Cost c = cost_of_graph(g, NULL);
    return b->by == BY_MACS ? c.macs : c.bytes;
}

/* Of what would be built; multiply-adds and bytes are known without doing so. */
static double measure_units(void *ctx, const Groups *s, const bool *removed)
{
    Budget *b = ctx;
    const Keeps *k = groups_keeps(s, removed);
    if (b->by == BY_TIME || b->by == BY_CYCLES)
        return measure_graph(b, k ? prune_graph(b->m, s->g, k, NULL) : NULL);
    Cost c = cost_of(s, k);
    return b->by == BY_MACS ? c.macs : c.bytes;
}

/* Time is measured if the network is to run on this machine, whatever it is; else modelled. */
static bool measure_of(const PruneOptions *o, Module *m, Measure *by)
{
    TargetInfo target;
    *by = o->macs ? BY_MACS : o->bytes ? BY_BYTES : BY_TIME;
    if (!o->latency)
        return true;
    if (!target_resolve(m->arena, m->diag, o->target, o->cpu, &target))
        return false;
    if (o->modelled || o->cpu || !target.is_host)
        *by = BY_CYCLES;
    return true;
}

/* Of the network before any step. False after reporting. */
static bool budget_of(const PruneOptions *o, Module *m, Budget *b)
{
    const char *text = o->macs ? o->macs : o->bytes ? o->bytes : o->latency;
    double x;
    number(text, &x);
    *b = (Budget){ .m = m };
    if (!measure_of(o, m, &b->by))
        return false;
    bool fraction = x <= 1 && !strchr(text, 'm');
    if (b->by == BY_CYCLES && !fraction)
        return diag_error(m->diag, (Loc){ .file = m->file }, "--latency %s: modelled, it is a fraction of what the network takes as it is, such as 0.5: nobody knows the target's clock", text);
    b->whole = fraction ? measure_graph(b, m->graph) : 1;
    b->limit = x * b->whole;
    return isfinite(b->whole);
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
    double now = measure_units(b, s, removed);
    if (now <= b->limit)
        return removed;
    limit = b->limit * pow(now / b->limit, 1 - share);
    select.spare_sums = true;
    removed = select_budget(s, score, select, limit, !o->latency, measure_units, b, &least);
    select.spare_sums = false;
    if (!removed && !(removed = select_budget(s, score, select, limit, !o->latency, measure_units, b, &least)))
        diag_error(s->m->diag, (Loc){ .file = s->m->file }, "a budget of %.6g %s cannot be met: with one channel of every group that can be pruned, %.6g stay",
                   b->limit, measure_names[b->by], least);
    return removed;
}

/* What one step takes from the network as it is, and all of them together from the network as it was. */
typedef struct Progress {
    const PruneOptions *o;
    const Gammas *gammas;
    Samples *samples;               /* NULL: none */
    Budget budget;
    int step;
    Keeps kept;                     /* of this step's graph ... */
    PtrMap map;
    Keeps all_kept;                 /* ... and of report->original */
    PtrMap all_map;
    PruneReport *report;
} Progress;

/* The share of the way to the whole budget that a step goes, in steps of equal factors. */
static double share_of_step(const Progress *p)
{
    return 1.0 / (double)(p->o->steps - (p->o->sparsity ? 0 : p->step));
}

static Importance importance_of(const Progress *p)
{
    Importance by;
    importance_from_name(p->o->importance ? p->o->importance : p->samples ? "reconstruction" : "l1", &by);
    return by;
}

static void add_step(Progress *p)
{
    prune_compose(p->report->original, &p->all_kept, &p->all_map, &p->kept, &p->map);
}

/* Aims at what the original gives, not at what the step before gave. */
static bool repair_step(Module *m, Progress *p, Graph *cut)
{
    RepairOptions r = REPAIR_DEFAULT;
    r.keep_zeros = p->o->pattern != NULL;
    if (p->o->repair)
        repair_from_name(p->o->repair, &r.how);
    if (p->o->damp)
        number(p->o->damp, &r.damp);
    return !p->samples || r.how == REPAIR_NONE || repair_graph(m, p->report->original, cut, &p->all_map, &p->all_kept, p->samples, &r);
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

static Graph *cut_channels(Module *m, Progress *p)
{
    const PruneOptions *o = p->o;
    Importance by = importance_of(p);
    Groups *s = find_groups(m->arena, m, o);
    if (!s || (!o->sparsity && !p->step && !budget_of(o, m, &p->budget)))
        return NULL;
    double *score = importance_table[by].needs_data ? importance_of_data(s, by, p->samples) :
                    by == IMP_bn_gamma ? importance_of_gammas(s, p->gammas) : importance_of_weights(s, by);
    bool *removed = score ? choose(o, s, score, share_of_step(p), &p->budget) : NULL;
    const Keeps *k = removed ? groups_keeps(s, removed) : NULL;
    if (!k)
        return NULL;
    report_step(m, s, removed, k, p->step, p->report);
    p->kept = *k;
    if (o->mask)
        return prune_mask(m, m->graph, k);
    Graph *cut = prune_graph(m, m->graph, k, &p->map);
    add_step(p);
    return cut;
}

/* ---- zeros ---- */

static void report_zeros(Module *m, const SparseLayer *layer, int n, PruneReport *r)
{
    int64_t zeros = 0, count = 0;
    r->layer = ARENA_ARRAY(m->arena, ReportLayer, n + 1);
    r->nlayers = n;
    for (int i = 0; i < n; i++) {
        const SparseLayer *l = &layer[i];
        int64_t elements = value_constant(node_in(l->node, 1))->count, bytes = (int64_t)tensor_bytes(value_constant(node_in(l->node, 1)));
        r->layer[i] = (ReportLayer){ .name = l->name, .kind = op_name(l->node->op), .parameters = elements, .bytes_before = bytes, .bytes_after = bytes,
            .macs = report_node_macs(m, l->node), .sqnr = NAN, .sensitivity = NAN,
            .decision = l->dense ? arena_printf(m->arena, "stays dense: %s", l->dense) :
                                   arena_printf(m->arena, "%.2f %% zeros", 100.0 * (double)l->zeros / (double)l->count) };
        zeros += l->zeros;
        count += elements;
    }
    r->note = arena_printf(m->arena, "%lld of %lld weights of products are zero (%.2f %%). They are stored and multiplied like others: the file shrinks only when it "
                           "is packed, and nothing runs faster.", (long long)zeros, (long long)count, 100.0 * (double)zeros / (double)count);
}

/* The zeros of each product of the original, for the picture. */
static void mark_zeros(const SparseLayer *layer, int n, const Progress *p)
{
    FOR_EACH_NODE(from, p->report->original)
        for (int i = 0; i < n && from->nout; i++)
            if (ptrmap_get(&p->all_map, &from->out[0], 0) == (uintptr_t)&layer[i].node->out[0] && layer[i].count)
                *ptrmap_at(&p->report->gone, from) = (uintptr_t)(1000 * layer[i].zeros / layer[i].count);
}

static Graph *cut_weights(Module *m, Progress *p)
{
    const PruneOptions *o = p->o;
    SparsifyOptions s = { .global = !strcmp(o->scope, "global"), .by = importance_of(p), .nkeep = o->keep.n, .keep = o->keep.v };
    SparseLayer *layer;
    Module own = *m;
    int n;
    pattern_from_name(o->pattern, &s.pattern);
    if (o->sparsity)
        number(o->sparsity, &s.fraction);
    s.fraction *= (double)(p->step + 1) / (double)o->steps;
    own.graph = prune_graph(m, m->graph, &p->kept, &p->map);
    if (!own.graph || !sparsify_module(&own, &s, p->samples, &layer, &n))
        return NULL;
    report_zeros(&own, layer, n, p->report);
    add_step(p);
    mark_zeros(layer, n, p);
    return own.graph;
}

/* ---- blocks ---- */

static bool by_blocks(const PruneOptions *o) { return !strcmp(o->unit, "blocks"); }

/* The block of the lowest (or highest) score among those for which removed[i] is `state` and seen[i] is not set; -1: there is none. */
static int extreme_block(const Blocks *b, const bool *removed, const bool *seen, bool state, double sign)
{
    int best = -1;
    for (int i = 0; i < b->n; i++)
        if (removed[i] == state && !seen[i] && (best < 0 || sign * b->block[i].score < sign * b->block[best].score))
            best = i;
    return best;
}

/* Blocks go in the order of their scores until the budget is met; then those come back, the best first, without which it is met, too. */
static bool *blocks_within(const Blocks *b, const Budget *budget, double limit)
{
    bool *removed = ARENA_ARRAY(b->arena, bool, b->n + 1), *seen = ARENA_ARRAY(b->arena, bool, b->n + 1);
    double now = measure_graph(budget, blocks_remove(b, removed, NULL));
    for (int i; now > limit && (i = extreme_block(b, removed, seen, false, 1)) >= 0;) {
        removed[i] = true;
        now = measure_graph(budget, blocks_remove(b, removed, NULL));
    }
    if (now > limit) {
        diag_error(b->m->diag, (Loc){ .file = b->m->file }, "a budget of %.6g %s cannot be met by removing blocks: without any of them, %.6g stay", budget->limit, measure_names[budget->by], now);
        return NULL;
    }
    for (int i; (i = extreme_block(b, removed, seen, true, -1)) >= 0;) {
        seen[i] = true;
        removed[i] = false;
        removed[i] = measure_graph(budget, blocks_remove(b, removed, NULL)) > limit;
    }
    return removed;
}

/* The fraction is of the blocks that there were at first. */
static bool *blocks_fraction(const Blocks *b, const Progress *p)
{
    bool *removed = ARENA_ARRAY(b->arena, bool, b->n + 1), *seen = ARENA_ARRAY(b->arena, bool, b->n + 1);
    double fraction;
    number(p->o->sparsity, &fraction);
    int first = p->step ? p->report->nlayers : b->n, stay = first - (int)(fraction * first * (p->step + 1) / (double)p->o->steps + 0.5);
    for (int i, left = b->n; left > stay && (i = extreme_block(b, removed, seen, false, 1)) >= 0; left--)
        removed[i] = true;
    return removed;
}

static void report_blocks(Module *m, const Blocks *b, const bool *removed, int step, PruneReport *r)
{
    if (!step) {
        r->layer = ARENA_ARRAY(m->arena, ReportLayer, b->n + 1);
        r->nlayers = b->n;
        r->nrefused = b->nrefused;
        r->refused = b->refused;
        for (int i = 0; i < b->n; i++)
            r->layer[i] = (ReportLayer){ .name = b->block[i].name, .kind = "block", .macs = (int64_t)b->block[i].cost.macs,
                .parameters = (int64_t)b->block[i].cost.params, .bytes_before = (int64_t)b->block[i].cost.bytes, .bytes_after = (int64_t)b->block[i].cost.bytes,
                .decision = "stays", .sqnr = NAN, .sensitivity = NAN };
    }
    for (int i = 0; i < b->n; i++)
        for (int k = 0; k < r->nlayers; k++)
            if (removed[i] && !strcmp(r->layer[k].name, b->block[i].name)) {
                r->layer[k].decision = arena_printf(m->arena, "removed: scored %.4g", b->block[i].score);
                r->layer[k].bytes_after = 0;
            }
}

static bool *choose_blocks(Module *m, Progress *p, const Blocks *b)
{
    if (p->o->sparsity)
        return blocks_fraction(b, p);
    if (!p->step && !budget_of(p->o, m, &p->budget))
        return NULL;
    double now = measure_graph(&p->budget, m->graph);
    return blocks_within(b, &p->budget, now > p->budget.limit ? p->budget.limit * pow(now / p->budget.limit, 1 - share_of_step(p)) : now);
}

static Graph *cut_blocks(Module *m, Progress *p)
{
    Blocks *b = blocks_find(m->arena, m, m->graph, p->o->keep.n, p->o->keep.v);
    if (b && !b->n && !p->step)
        diag_error(m->diag, (Loc){ .file = m->file }, "there are no residual blocks%s%s%s%s", b->nrefused ? ": " : "", b->nrefused ? b->refused[0].name : "",
                   b->nrefused ? " stays, since " : "", b->nrefused ? b->refused[0].reason : "");
    if (!b || (!b->n && !p->step) || !blocks_score(b, importance_of(p), p->samples))
        return NULL;
    bool *removed = choose_blocks(m, p, b);
    if (!removed)
        return NULL;
    report_blocks(m, b, removed, p->step, p->report);
    if (p->o->mask)
        return blocks_mask(b, removed);
    Graph *cut = blocks_remove(b, removed, &p->map);
    add_step(p);
    return cut;
}

/* What is not there any more at all, for the picture. */
static void mark_gone(const Progress *p)
{
    FOR_EACH_NODE(n, p->report->original)
        if (n->nout && n->op != OP_constant && !ptrmap_get(&p->all_map, &n->out[0], 1))
            *ptrmap_at(&p->report->gone, n) = 1000;
}

/* ---- all steps ---- */

static bool prune_step(Module *m, Progress *p)
{
    p->map = ptrmap_new(m->arena);
    p->kept = (Keeps){ ptrmap_new(m->arena) };
    Graph *cut = p->o->pattern ? cut_weights(m, p) : by_blocks(p->o) ? cut_blocks(m, p) : cut_channels(m, p);
    if (!cut || (!p->o->mask && !repair_step(m, p, cut)))
        return false;
    p->report->keeps = p->o->mask ? &p->kept : &p->all_kept;
    m->graph = cut;
    return true;
}

bool prune_module(Module *m, const PruneOptions *o, const Gammas *gammas, PruneReport *report)
{
    Progress *p = ARENA_NEW(m->arena, Progress);        /* lives as long as what the report says of it */
    *p = (Progress){ .o = o, .gammas = gammas, .samples = o->samples.path ? calibration_samples(m, &o->samples) : NULL, .report = report,
                     .all_kept = { ptrmap_new(m->arena) }, .all_map = ptrmap_new(m->arena) };
    bool ok = !o->samples.path || p->samples;
    *report = (PruneReport){ .original = m->graph, .before = cost_of_graph(m->graph, NULL), .gone = ptrmap_new(m->arena) };
    for (; ok && p->step < o->steps; p->step++)
        ok = prune_step(m, p);
    mark_gone(p);
    if (ok && p->budget.by == BY_CYCLES) {
        double now = measure_graph(&p->budget, m->graph);
        report->note = arena_printf(m->arena, "modelled for the target: %.0f cycles before, %.0f after (%.1f %%); the times above are this machine's", p->budget.whole, now,
                                    100 * now / p->budget.whole);
    }
    report->after = cost_of_graph(m->graph, NULL);
    samples_close(p->samples);
    return ok;
}
