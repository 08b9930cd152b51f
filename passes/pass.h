/* pass.h -- the pass manager and the passes.
 *
 * A pass is a function over a module, one file each, one row in passes.def. Every pass has the same flags for free: it can be dumped after,
 * stopped after, timed, traced, and its rewrites counted against fuel (so a wrong rewrite is found by bisection).
 */
#ifndef INGOT_PASS_H
#define INGOT_PASS_H

#include "ir.h"

typedef struct PassOptions {
    int level;                      /* 0..3, as -O */
    const char *pipeline;           /* comma-separated pass names instead of the level's own, or NULL */
    const char *stop_after;         /* pass name or NULL */
    const char *print_after;        /* pass name or "all": textual IR on stderr */
    bool verify, time, trace;       /* verify the graph after every pass; print times; print every rewrite */
    int64_t fuel;                   /* rewrites allowed, -1 no limit */
    /* called after every pass (for --dot-after); may be NULL */
    void (*after)(void *ctx, Module *m, const char *pass);
    void *after_ctx;
} PassOptions;

#define PASS_OPTIONS_DEFAULT ((PassOptions){ .level = 2, .fuel = -1 })

typedef struct PassInfo {
    const char *name, *summary;
    bool (*run)(Module *m);         /* false: reported an error */
    unsigned needs, keeps, gives;   /* GP_* bits of the main graph */
} PassInfo;

extern const PassInfo pass_table[];
extern const int pass_count;
const PassInfo *pass_find(const char *name);
const char *passes_pipeline(int level);             /* the default pipeline as text */
/* Run the pipeline. A failing verification after a pass is reported as an internal error naming the pass. */
bool passes_run(Module *m, const PassOptions *opt);
/* Run one pass by name (tests). */
bool pass_run(Module *m, const char *name);

/* A rewrite asks before it happens: counts fuel, traces. False: leave things as they are. */
bool rewrite_allowed(Module *m, const char *rule, const Node *n);

#endif
