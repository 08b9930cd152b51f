/* prune_module.h -- pruning of a module: prepare, rank, choose, remove, repair, in steps. What `ingot prune`, `compress` and `compile` call. */
#ifndef INGOT_PRUNE_MODULE_H
#define INGOT_PRUNE_MODULE_H

#include "importance.h"
#include "prune_repair.h"
#include "report.h"
#include "samples.h"
#include "select.h"

typedef struct PruneOptions {
    SamplesOptions samples;         /* to rank by and to repair with; path NULL: none */
    const char *sparsity, *macs, *bytes, *latency;      /* the budget: one of them, as text. All but sparsity leave residual sums alone if they can */
    const char *pattern;            /* NULL: channels go; else single weights become zero (sparsify.h) */
    const char *importance, *scope, *unit, *repair;
    const char *damp;
    int64_t round, steps;           /* round: 0: as wide as the target's vectors */
    TextList keep;
    const char *data, *labels;      /* what to score on: NULL: the calibration samples; no accuracy */
    const char *json, *picture;     /* files to write, or NULL */
    bool quiet;
    bool modelled;                  /* --latency by a model, though the target is this machine */
    const char *target, *cpu;       /* as for compile */
    bool mask;                      /* multiply by zero instead of removing (prune_mask) */
} PruneOptions;
#define PRUNE_DEFAULT { .samples = CALIBRATION_DEFAULT, .scope = "layer", .unit = "any", .steps = 1 }
/* How much and what; --calibrate and --keep are apart, since `compile` and `compress` share them with quantisation. */
#define PRUNE_BUDGET_OPTIONS(o) \
    { "sparsity", 0, OPT_TEXT, "F", "remove this fraction of the channels of every group (of all of them with --scope global)", &(o).sparsity }, \
    { "pattern", 0, OPT_TEXT, "P", "set weights to zero instead: unstructured (that fraction of them), or N:M, such as 2:4 (N of M neighbours stay)", &(o).pattern }, \
    { "macs", 0, OPT_TEXT, "F", "keep at most this fraction of the multiply-adds (above 1: this many)", &(o).macs }, \
    { "bytes", 0, OPT_TEXT, "F", "keep at most this fraction of the weights' bytes (above 1: this many)", &(o).bytes }, \
    { "latency", 0, OPT_TEXT, "F", "run in at most this fraction of the time, measured, or in F ms; of other targets than this machine: modelled", &(o).latency }, \
    { "modelled", 0, OPT_FLAG, NULL, "--latency by a model of the target, on this machine too", &(o).modelled }, \
    { "importance", 0, OPT_TEXT, "NAME", "how channels are ranked: l1 (default without samples), l2, fpgm, bn-gamma, activation, reconstruction (default with samples), random", &(o).importance }, \
    { "scope", 0, OPT_TEXT, "global|layer", "rank all channels together, or those of each group by themselves (default)", &(o).scope }, \
    { "unit", 0, OPT_TEXT, "NAME", "remove only channels, only heads (default: any), or blocks: whole residual branches", &(o).unit }, \
    { "round", 0, OPT_INT, "N", "channels that stay are a multiple of N (default: the target's vector)", &(o).round }, \
    { "steps", 0, OPT_INT, "N", "prune and repair in N steps (default 1)", &(o).steps }, \
    { "repair", 0, OPT_TEXT, "none|bias|bn|lsq", "what calibration data mends (default lsq)", &(o).repair }, \
    { "repair-damp", 0, OPT_TEXT, "F", "damping of the least squares, of the mean of the diagonal (default 0.001)", &(o).damp }
#define PRUNE_OPTIONS(o) \
    PRUNE_BUDGET_OPTIONS(o), CALIBRATION_OPTIONS((o).samples), \
    { "keep", 0, OPT_LIST, "NAME", "leave the channels of this node or tensor", &(o).keep }, \
    { "data", 0, OPT_TEXT, "DATA", "samples to score on (default: those of --calibrate)", &(o).data }, \
    { "labels", 0, OPT_TEXT, "F.npy", "class numbers of the samples that are scored", &(o).labels }, \
    { "json", 0, OPT_TEXT, "F.json", "write the report as JSON", &(o).json }, \
    { "picture", 0, OPT_TEXT, "F.svg", "draw the network, coloured by what is removed (.svg, .dot, .png, .pdf)", &(o).picture }, \
    { "quiet", 'q', OPT_FLAG, NULL, "print no report (and do not compile the model twice for it)", &(o).quiet }

/* Of one group, for the report. */
typedef struct PrunedGroup {
    const char *name;
    int before, after;              /* units */
    int width;                      /* channels of a unit */
    bool heads;
    Cost cost, left;                /* of its products; left: after the last step */
} PrunedGroup;

typedef struct PruneReport {
    Cost before, after;
    int ngroups, nrefused;
    PrunedGroup *group;             /* in the module's arena; of the first step's groups, counts over all steps */
    Refusal *refused;
    Graph *original;                /* before the first step */
    const Keeps *keeps;             /* what stays of it after all of them */
    PtrMap gone;                    /* Node of it -> thousandths of it that are gone otherwise: as zeros, with a block */
    ReportLayer *layer;             /* of what is not pruned by groups: layers with zeros, blocks */
    int nlayers;
    const char *note;               /* a sentence, or NULL */
} PruneReport;

bool prune_wanted(const PruneOptions *o);                       /* whether it says how much */
/* Whether it says anything; prune_misuse misses the budget if that is not said. */
bool prune_mentioned(const PruneOptions *o);
/* What is wrong with the options as a sentence, or NULL. */
const char *prune_misuse(const PruneOptions *o);
/* The passes that pruning expects to have run; *gammas (in m's arena) is what they make disappear. */
bool prune_prepare(Module *m, Gammas *gammas);
/* Replaces m's graph by the pruned one. False after reporting: a budget that cannot be met, nothing that can be removed, no data... */
bool prune_module(Module *m, const PruneOptions *o, const Gammas *gammas, PruneReport *report);
/* The same, and both sides measured and printed (unless quiet) and written as JSON where o says (prune_report.c). */
bool prune_and_report(Module *m, const PruneOptions *o, const Gammas *gammas, PruneReport *report);

#endif
