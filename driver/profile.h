/* profile.h -- a model's launches timed one by one, and what bounds each: what `ingot profile` prints. */
#ifndef INGOT_PROFILE_H
#define INGOT_PROFILE_H

#include "driver.h"
#include "machine.h"

typedef struct ProfileOptions {
    BuildOptions build;
    FeedOptions feed;
    int64_t threads, runs, top;     /* runs 0: chosen by time; top 0: all rows */
    bool json, nodes;               /* nodes: a row per launch instead of per kernel */
} ProfileOptions;

typedef enum Bound { BOUND_COMPUTE, BOUND_MEMORY, BOUND_LATENCY } Bound;

/* All launches of one kernel with the same operators and shapes, or one launch. Amounts are per run, all calls together. */
typedef struct ProfileRow {
    const char *kernel, *ops, *shapes, *names;  /* names: of the ONNX nodes, joined by ", " */
    int calls;
    double ms;                      /* median over the runs */
    double flops, weight_bytes, data_bytes;
    double roof_ms;                 /* least time by the machine's peak and bandwidth */
    Bound bound;
} ProfileRow;

typedef struct ProfileResult {
    const char *model;
    Machine machine;
    int64_t runs;
    int nrows, launches;
    ProfileRow *row;                /* most expensive first */
    double total_ms, outside_ms;    /* medians: a whole run; what passes outside of launches */
    double flops, roof_ms;          /* of all rows */
} ProfileResult;

/* Compile the model with marks, run it, measure the machine. Everything is in the arena. False after reporting. */
bool profile_measure(Arena *a, const char *path, const ProfileOptions *o, ProfileResult *result);
void profile_print(const ProfileResult *r, const ProfileOptions *o);
void profile_print_json(const ProfileResult *r);

#endif
