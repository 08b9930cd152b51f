/* prune_report.c -- what pruning did: both sides measured, every group, and what stays and why. See prune_module.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prune_module.h"
#include "report.h"

/* Samples to score on; *samples stays NULL if there are none. False after a sentence. */
static bool open_samples(Module *m, const PruneOptions *o, Samples **samples, ingot_tensor *labels)
{
    if (!o->samples.path && !o->data)
        return true;
    return (*samples = score_samples(m, &o->samples, o->data)) && (!o->labels || samples_labels(*samples, o->labels, labels));
}

static bool measure_side(Module *m, Observer *o, Observer *reference, Samples *s, const ingot_tensor *labels, const Cost *c, ReportSide *side)
{
    *side = (ReportSide){ 0 };
    if (!o || !(s ? report_side(m, o, reference, s, labels->data ? labels : NULL, side) : observer_cost(o, NULL, &side->cost)))
        return false;
    side->macs = (int64_t)c->macs;
    side->parameters = (int64_t)c->params;
    side->weight_bytes = (int64_t)c->bytes;
    return true;
}

static void add_layers(Report *r, const PruneReport *p)
{
    r->layer = ARENA_ARRAY(r->arena, ReportLayer, p->ngroups + 1);
    for (int i = 0; i < p->ngroups; i++) {
        const PrunedGroup *g = &p->group[i];
        r->layer[r->nlayers++] = (ReportLayer){ .name = g->name, .kind = g->heads ? "heads" : "group",
            .decision = arena_printf(r->arena, "%d of %d %s stay", g->after * (g->heads ? 1 : g->width), g->before * (g->heads ? 1 : g->width),
                                     g->heads ? "heads" : "channels"),
            .macs = (int64_t)g->cost.macs, .parameters = (int64_t)g->cost.params, .bytes_before = (int64_t)g->cost.bytes,
            .bytes_after = (int64_t)g->left.bytes, .sqnr = NAN, .sensitivity = NAN };
    }
    if (p->nlayers)
        r->layer = p->layer, r->nlayers = p->nlayers;
    if (p->note)
        report_note(r, "%s", p->note);
    for (int i = 0; i < p->nrefused; i++)
        report_note(r, "%s stays: %s", p->refused[i].name, p->refused[i].reason);
}

bool prune_and_report(Module *m, const PruneOptions *o, const Gammas *gammas, PruneReport *p)
{
    if (o->quiet && !o->json)
        return prune_module(m, o, gammas, p);
    Report r = { .arena = m->arena, .title = "prune" };
    Samples *samples = NULL;
    ingot_tensor labels = { .data = NULL };
    Observer *before = observer_open(m, NULL, 0), *after = NULL;
    bool ok = before && open_samples(m, o, &samples, &labels) && prune_module(m, o, gammas, p) && (after = observer_open(m, NULL, 0));
    Module own = *m;
    own.graph = ok ? p->original : m->graph;
    ok = ok && measure_side(&own, before, NULL, samples, &labels, &p->before, &r.before) &&
         measure_side(m, after, before, samples, &labels, &p->after, &r.after);
    if (ok) {
        add_layers(&r, p);
        if (!o->quiet)
            report_print(&r, stdout);
        ok = !o->json || report_write_json(&r, o->json);
    }
    observer_close(before);
    observer_close(after);
    samples_close(samples);
    free(labels.data);
    return ok;
}
