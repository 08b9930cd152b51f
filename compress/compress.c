/* compress.c -- see compress.h.
 *
 * The order is the one that measures best (docs/compression.md): channels go first, least squares fits what is left in f32, and rounding to bytes comes
 * last, so that its ranges are those of the network that will run.
 *
 * Without a budget for pruning, ways are tried from mild to strong: weights of eight bits, of four, then with fewer tenths of the multiply-adds. A budget in bytes
 * takes the mildest that fits, --max-drop the strongest whose accuracy stays.
 */
#include "compress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svg.h"

enum { TENTHS = 10, ROUGH_SAMPLES = 16 };
static const double rough_margin = 0.99;        /* what is pruned by another ranking takes nearly as many bytes */

typedef struct Stages {
    const CompressOptions *o;
    const Gammas *gammas;
    Report report;                  /* before: the original; after: the last stage */
    Samples *samples;               /* to score on */
    ingot_tensor labels;
    Observer *reference;
} Stages;

/* One way to compress. */
typedef struct Rung {
    int bits;                       /* of weights */
    int tenths;                     /* of the multiply-adds that stay; all: nothing is pruned but what the options say */
} Rung;

static void print_head(void)
{
    printf("%-12s %14s %14s %14s %10s %10s %10s\n", "", "multiply-adds", "bytes", "bytes of .so", "arena", "median ms", "");
}

static void print_stage(const char *name, const ReportSide *s)
{
    printf("%-12s %14lld %14lld %14llu %10llu %10.4f ", name, (long long)s->macs, (long long)s->weight_bytes, (unsigned long long)s->cost.file_bytes,
           (unsigned long long)s->cost.workspace_bytes, s->cost.median_ms);
    if (s->score.labelled)
        printf("top-1 %6.2f %%\n", accuracy_top1(&s->score.accuracy));
    else if (s->score.compared)
        printf("%6.1f dB\n", distance_sqnr(&s->score.distance));
    else
        printf("\n");
    fflush(stdout);
}

/* Compiles the module as it is and measures it. */
static bool stage(Stages *t, Module *m, const char *name)
{
    ReportSide *side = t->reference ? &t->report.after : &t->report.before;
    Observer *o = observer_open(m, NULL, 0);
    bool ok = o && report_side(m, o, t->reference, t->samples, t->labels.data ? &t->labels : NULL, side);
    if (ok) {
        print_stage(name, side);
        report_add_step(&t->report, name, side);
    }
    if (t->reference)
        observer_close(o);
    else
        t->reference = o;           /* the first stage is what the others are compared with */
    return ok;
}

/* ---- one way ---- */

static PruneOptions prune_options(const Stages *t, const Rung *r, char macs[16])
{
    PruneOptions p = t->o->prune;
    p.samples = t->o->quantize.samples;
    p.keep = t->o->quantize.keep;
    if (!t->o->no_quantize)
        p.bytes = NULL;             /* the budget of the whole */
    if (r->tenths < TENTHS) {
        snprintf(macs, 16, "%.1f", (double)r->tenths / TENTHS);
        p.macs = macs;
    }
    return p;
}

static QuantizeOptions quantize_options(const Stages *t, const Rung *r)
{
    QuantizeOptions q = t->o->quantize;
    q.weight_bits = r->bits;
    q.max_drop = NULL;              /* that, too */
    return q;
}

/* What pruning alone would give, before repair: on a copy of the graph's place. */
static bool prune_stages(Stages *t, Module *m, const PruneOptions *o)
{
    PruneReport report;
    if (!prune_wanted(o))
        return true;
    if (!o->repair || strcmp(o->repair, "none")) {
        PruneOptions raw = *o;
        Graph *whole = m->graph;
        raw.repair = "none";
        if (!prune_module(m, &raw, t->gammas, &report) || !stage(t, m, "pruned"))
            return false;
        m->graph = whole;
        return prune_module(m, o, t->gammas, &report) && stage(t, m, "repaired");
    }
    return prune_module(m, o, t->gammas, &report) && stage(t, m, "pruned");
}

static bool go(Stages *t, Module *m, const Rung *r)
{
    char macs[16];
    PruneOptions p = prune_options(t, r, macs);
    QuantizeOptions q = quantize_options(t, r);
    return prune_stages(t, m, &p) && (t->o->no_quantize || (quantize_module(m, &q, NULL) && stage(t, m, "quantised")));
}

/* ---- which way ---- */

/* What a way gives, on a copy. rough: only the sizes, without data where it is not needed for them. False, without a sentence: it leads nowhere. */
static bool attempt(Stages *t, Module *m, const Rung *r, bool rough, ReportSide *side)
{
    Arena *a = arena_new();
    Diag quiet;
    PruneReport report;
    char macs[16];
    Module *copy = module_copy(a, m, NULL, 0);
    PruneOptions p = prune_options(t, r, macs);
    QuantizeOptions q = quantize_options(t, r);
    diag_init(&quiet, a, NULL);
    copy->diag = &quiet;
    if (rough) {
        p.samples.path = p.importance = p.repair = NULL;
        q.samples.limit = ROUGH_SAMPLES;
        q.nearest = true;
    }
    bool ok = (!prune_wanted(&p) || prune_module(copy, &p, t->gammas, &report)) && quantize_module(copy, &q, NULL);
    Observer *o = ok ? observer_open(copy, NULL, 0) : NULL;
    ok = o && (rough ? observer_cost(o, NULL, &side->cost) : report_side(copy, o, t->reference, t->samples, t->labels.data ? &t->labels : NULL, side));
    observer_close(o);
    arena_free(a);
    return ok;
}

static double bytes_allowed(const Stages *t)
{
    double x = strtod(t->o->prune.bytes, NULL);
    return x <= 1 ? x * (double)t->report.before.weight_bytes : x;
}

static double points_lost(const Stages *t, const ReportSide *s)
{
    return accuracy_top1(&t->report.before.score.accuracy) - accuracy_top1(&s->score.accuracy);
}

static bool keeps_accuracy(const Stages *t, const ReportSide *s)
{
    return points_lost(t, s) <= strtod(t->o->quantize.max_drop, NULL) + 1e-9;
}

static void print_attempt(const Rung *r, const char *what)
{
    char tenths[32] = "nothing pruned";
    if (r->tenths < TENTHS)
        snprintf(tenths, sizeof tenths, "--macs %.1f", (double)r->tenths / TENTHS);
    printf("tried %s, weights of %d bits: %s\n", tenths, r->bits, what);
    fflush(stdout);
}

static bool attempt_fits(Stages *t, Module *m, const Rung *r, bool *led)
{
    ReportSide side = { 0 };
    char text[64];
    *led = attempt(t, m, r, true, &side);
    snprintf(text, sizeof text, *led ? "%llu bytes" : "cannot be done", (unsigned long long)side.cost.file_bytes);
    print_attempt(r, text);
    return *led && (double)side.cost.file_bytes <= bytes_allowed(t) * (r->tenths < TENTHS ? rough_margin : 1);
}

/* The mildest that takes no more bytes: eight bits, then four, then with as few tenths less as fit. What cannot even be tried is left to be reported by doing it. */
static bool find_small(Stages *t, Module *m, Rung *r)
{
    bool led, fits = attempt_fits(t, m, r, &led);
    if (led && !fits && r->bits == 8 && !t->o->quantize.weight_bits) {
        r->bits = 4;
        fits = attempt_fits(t, m, r, &led);
    }
    if (fits || !led)
        return true;
    int large = r->tenths;              /* too large; r->tenths: the mildest that is not, if `fits` */
    r->tenths = 0;
    while (large - r->tenths > 1) {
        Rung middle = { r->bits, (large + r->tenths) / 2 };
        bool small = attempt_fits(t, m, &middle, &led);
        if (small || !led)              /* where so little cannot stay, no less can */
            fits = small, r->tenths = middle.tenths;
        else
            large = middle.tenths;
    }
    return fits || diag_error(m->diag, (Loc){ .file = m->file }, "a budget of %.6g bytes cannot be met", bytes_allowed(t));
}

static bool attempt_keeps(Stages *t, Module *m, const Rung *r)
{
    ReportSide side = { 0 };
    char text[64];
    bool led = attempt(t, m, r, false, &side);
    snprintf(text, sizeof text, led ? "top-1 %.2f %%, %llu bytes" : "cannot be done", led ? accuracy_top1(&side.score.accuracy) : 0, (unsigned long long)side.cost.file_bytes);
    print_attempt(r, text);
    return led && keeps_accuracy(t, &side);
}

/* The strongest that loses no more: four bits if that can be borne, and as few channels. */
static void find_strong(Stages *t, Module *m, Rung *r)
{
    char macs[16];
    PruneOptions p = prune_options(t, r, macs);
    if (!t->o->quantize.weight_bits) {
        r->bits = 4;
        r->bits = attempt_keeps(t, m, r) ? 4 : 8;
    }
    int bad = 0;
    while (!prune_wanted(&p) && r->tenths - bad > 1) {
        Rung middle = { r->bits, (r->tenths + bad) / 2 };
        *(attempt_keeps(t, m, &middle) ? &r->tenths : &bad) = middle.tenths;
    }
}

static bool choose(Stages *t, Module *m, Rung *r)
{
    *r = (Rung){ t->o->quantize.weight_bits ? (int)t->o->quantize.weight_bits : 8, TENTHS };
    if (t->o->no_quantize)
        return true;
    if (t->o->prune.bytes)
        return find_small(t, m, r);
    if (t->o->quantize.max_drop)
        find_strong(t, m, r);
    return true;
}

/* ---- all of it ---- */

static bool within_budgets(const Stages *t, Module *m)
{
    Loc loc = { .file = m->file };
    const ReportSide *s = &t->report.after;
    if (t->o->no_quantize)
        return true;
    if (t->o->prune.bytes && (double)s->cost.file_bytes > bytes_allowed(t))
        return diag_error(m->diag, loc, "the result takes %llu bytes, more than %.0f: ask for a little less", (unsigned long long)s->cost.file_bytes, bytes_allowed(t));
    if (t->o->quantize.max_drop && !keeps_accuracy(t, s))
        return diag_error(m->diag, loc, "top-1 drops by %.2f percentage points, more than --max-drop %s", points_lost(t, s), t->o->quantize.max_drop);
    return true;
}

static bool all_stages(Stages *t, Module *m)
{
    Rung r;
    print_head();
    return stage(t, m, "original") && choose(t, m, &r) && go(t, m, &r) && within_budgets(t, m);
}

bool compress_module(Module *m, const CompressOptions *o)
{
    Gammas gammas;
    Stages t = { .o = o, .gammas = &gammas, .report = { .arena = m->arena, .title = "compress" } };
    if (!prune_prepare(m, &gammas))
        return false;
    bool ok = (t.samples = score_samples(m, &o->quantize.samples, o->quantize.data)) != NULL && (!o->quantize.labels || samples_labels(t.samples, o->quantize.labels, &t.labels));
    ok = ok && all_stages(&t, m) && (!o->quantize.json || report_write_json(&t.report, o->quantize.json)) && (!o->quantize.picture || svg_steps(&t.report, o->quantize.picture));
    observer_close(t.reference);
    samples_close(t.samples);
    free(t.labels.data);
    return ok;
}
