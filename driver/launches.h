/* launches.h -- a model compiled with marks between its launches, run, and each launch timed: what `ingot profile` and `--tune` measure by. */
#ifndef INGOT_LAUNCHES_H
#define INGOT_LAUNCHES_H

#include "driver.h"

typedef struct LaunchOptions {
    const BuildOptions *build;
    const FeedOptions *feed;
    int threads;
    int64_t runs;                   /* 0: as many as fit into timed_ms, at least 5 */
    double timed_ms;
} LaunchOptions;

typedef struct LaunchTimes {
    Module *m;
    TargetInfo target;
    Profile launches;
    int64_t runs;
    double *ms;                     /* per launch: median over the runs of all its calls in a run */
    int64_t *calls;                 /* per launch, in one run: in a loop many, in a branch that is not taken none */
    double total_ms, outside_ms;    /* medians: a whole run; what passes outside of launches */
    int64_t *syms;                  /* values of the module's symbols in these runs; sizes that only the data decides count with their bound */
} LaunchTimes;

/* Compile the model at path for this machine, run it, time its launches. All of it is in the arena. False after reporting. */
bool launches_time(Arena *a, const char *path, const LaunchOptions *o, LaunchTimes *t);

#endif
