/* compress.c -- see compress.h.
 *
 * The order is the one that measures best (docs/compression.md): channels go first, least squares fits what is left in f32, and rounding to bytes comes
 * last, so that its ranges are those of the network that will run.
 */
#include "compress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


enum { QUANTISED_PART = 4 };        /* a weight of 8 bits takes a quarter of its 32 */

typedef struct Stages {
    Report report;                  /* before: the original; after: the last stage */
    Samples *samples;               /* to score on */
    ingot_tensor labels;
    Observer *reference;
} Stages;

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
static bool stage(Stages *t, Module *m, const char *name, ReportSide *side)
{
    Observer *o = observer_open(m, NULL, 0);
    bool ok = o && report_side(m, o, t->reference, t->samples, t->labels.data ? &t->labels : NULL, side);
    if (ok)
        print_stage(name, side);
    if (t->reference)
        observer_close(o);
    else
        t->reference = o;           /* the first stage is what the others are compared with */
    return ok;
}

/* What pruning alone would give, before repair: on a copy of the graph's place. */
static bool prune_stages(Stages *t, Module *m, const PruneOptions *o, const Gammas *gammas, ReportSide *side)
{
    PruneReport report;
    if (!prune_wanted(o))
        return true;
    if (!o->repair || strcmp(o->repair, "none")) {
        PruneOptions raw = *o;
        Graph *whole = m->graph;
        raw.repair = "none";
        if (!prune_module(m, &raw, gammas, &report) || !stage(t, m, "pruned", side))
            return false;
        m->graph = whole;
        return prune_module(m, o, gammas, &report) && stage(t, m, "repaired", side);
    }
    return prune_module(m, o, gammas, &report) && stage(t, m, "pruned", side);
}

static bool all_stages(Stages *t, Module *m, const CompressOptions *o, const Gammas *gammas)
{
    PruneOptions prune = o->prune;
    char bytes[32];
    double share;
    prune.samples = o->quantize.samples;
    prune.keep = o->quantize.keep;
    if (prune.bytes && !o->no_quantize && sscanf(prune.bytes, "%lf", &share) == 1) {
        snprintf(bytes, sizeof bytes, "%.9g", share * QUANTISED_PART);
        prune.bytes = share <= 1 && share * QUANTISED_PART >= 1 ? NULL : bytes;         /* small enough by its bytes alone */
    }
    print_head();
    if (!stage(t, m, "original", &t->report.before) || !prune_stages(t, m, &prune, gammas, &t->report.after))
        return false;
    if (o->no_quantize)
        return true;
    return quantize_module(m, &o->quantize, NULL) && stage(t, m, "quantised", &t->report.after);
}

bool compress_module(Module *m, const CompressOptions *o)
{
    Gammas gammas;
    Stages t = { .report = { .arena = m->arena, .title = "compress" } };
    if (!prune_prepare(m, &gammas))
        return false;
    bool ok = (t.samples = score_samples(m, &o->quantize.samples, o->quantize.data)) != NULL && (!o->quantize.labels || samples_labels(t.samples, o->quantize.labels, &t.labels));
    ok = ok && all_stages(&t, m, o, &gammas) && (!o->quantize.json || report_write_json(&t.report, o->quantize.json));
    observer_close(t.reference);
    samples_close(t.samples);
    free(t.labels.data);
    return ok;
}
