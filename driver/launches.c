/* launches.c -- times every launch of a model, see launches.h.
 *
 * The model is compiled with marks (CompileOptions.profile): before each launch it calls parallel_for without a task. Our parallel_for reads the clock at
 * each mark, and hands real tasks to the pool. So kernels run as they always do, and irregular operators are timed too.
 */
#include "launches.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARMUP = 3, MIN_RUNS = 5, MAX_RUNS = 1000 };

/* ---- the clock ---- */

typedef struct Recorder {
    ingot_pool *pool;               /* NULL: one thread */
    int64_t current;                /* launch under way; launches: none */
    double since;                   /* ms */
    double *ms;                     /* [launches + 1] of this run */
    int64_t *calls;                 /* [launches + 1] since they were cleared: in a loop many, in a branch that is not taken none */
} Recorder;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void recorder_switch(Recorder *r, int64_t launch)
{
    double now = now_ms();
    r->ms[r->current] += now - r->since;
    r->current = launch;
    r->calls[launch]++;
    r->since = now;
}

/* The ingot_parallel_for of an instrumented model. */
static void recorder_hook(void *pool, ingot_task task, void *arg, int64_t units)
{
    Recorder *r = pool;
    if (!task)
        recorder_switch(r, units);
    else if (r->pool)
        ingot_pool_run(r->pool, task, arg, units);
    else
        task(arg, 0, units);
}

/* ---- running ---- */

typedef struct Session {
    Arena *arena;
    const LaunchOptions *o;
    LaunchTimes *t;
    ToolSession tool;
    Recorder recorder;
    ingot_tensor *in, *out;
    double **ms;                    /* [run][launch, last: outside] */
} Session;

static bool run_once(Session *s, double *ms)
{
    ingot_error err;
    int n = s->t->launches.n;
    s->recorder.ms = ms;
    s->recorder.current = n;
    memset(s->recorder.calls, 0, sizeof *s->recorder.calls * (size_t)(n + 1));
    s->recorder.since = now_ms();
    if (ingot_run(s->tool.context, s->in, s->out, &err))
        return tool_fail("%s: %s", s->tool.model.name, err.text), false;
    recorder_switch(&s->recorder, n);
    return true;
}

static bool run_often(Session *s)
{
    int n = s->t->launches.n;
    double least = 1e30, *scrap = ARENA_ARRAY(s->arena, double, n + 1);
    s->recorder.calls = s->t->calls = ARENA_ARRAY(s->arena, int64_t, n + 1);
    for (int i = 0; i < WARMUP; i++) {
        double start = now_ms();
        if (!run_once(s, scrap))
            return false;
        least = now_ms() - start < least ? now_ms() - start : least;
    }
    double wanted = s->o->timed_ms / (least > 1e-3 ? least : 1e-3);
    s->t->runs = s->o->runs ? s->o->runs : wanted < MIN_RUNS ? MIN_RUNS : wanted > MAX_RUNS ? MAX_RUNS : (int64_t)wanted;
    s->ms = ARENA_ARRAY(s->arena, double *, s->t->runs);
    for (int64_t i = 0; i < s->t->runs; i++) {
        s->ms[i] = ARENA_ARRAY(s->arena, double, n + 1);
        if (!run_once(s, s->ms[i]))
            return false;
    }
    return true;
}

/* ---- sizes ---- */

static int64_t input_symbol(const ingot_model *m, const ingot_tensor *in, const char *name)
{
    for (int i = 0; i < m->n_inputs; i++)
        for (int d = 0; d < m->input[i].rank; d++) {
            int64_t symbol = -1 - m->input[i].dim[d];
            if (symbol >= 0 && symbol < m->n_symbols && !strcmp(m->symbol[symbol], name))
                return in[i].dim[d];
        }
    return 1;
}

static void find_symbols(Session *s)
{
    const DimTable *t = s->t->m->dims;
    int64_t *syms = s->t->syms = ARENA_ARRAY(s->arena, int64_t, dim_symbol_count(t) + 1);
    for (int i = 0; i < dim_symbol_count(t); i++) {
        const DimSymbol *sym = dim_symbol_at(t, i);
        if (!sym->from_data)
            syms[i] = input_symbol(s->tool.model.ports, s->in, sym->name);
        else if (sym->bound)
            syms[i] = dim_eval(sym->bound, syms);
    }
}

/* ---- medians ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double launch_ms(const Session *s, int64_t run, int launch)
{
    return s->ms[run][launch];
}

static double run_ms(const Session *s, int64_t run, int unused)
{
    double sum = 0;
    (void)unused;
    for (int i = 0; i <= s->t->launches.n; i++)
        sum += s->ms[run][i];
    return sum;
}

static double median_of(const Session *s, double (*of)(const Session *s, int64_t run, int launch), int launch)
{
    double *v = ARENA_ARRAY(s->arena, double, s->t->runs);
    for (int64_t i = 0; i < s->t->runs; i++)
        v[i] = of(s, i, launch);
    qsort(v, (size_t)s->t->runs, sizeof *v, compare_doubles);
    return v[s->t->runs / 2];
}

static void find_medians(Session *s)
{
    int n = s->t->launches.n;
    s->t->ms = ARENA_ARRAY(s->arena, double, n + 1);
    for (int i = 0; i < n; i++)
        s->t->ms[i] = median_of(s, launch_ms, i);
    s->t->outside_ms = median_of(s, launch_ms, n);
    s->t->total_ms = median_of(s, run_ms, 0);
}

/* ---- everything ---- */

static bool time_open(Session *s)
{
    const ingot_model *ports = s->tool.model.ports;
    s->in = ARENA_ARRAY(s->arena, ingot_tensor, ports->n_inputs + 1);
    s->out = ARENA_ARRAY(s->arena, ingot_tensor, ports->n_outputs + 1);
    s->recorder.pool = s->o->threads > 1 ? ingot_pool_new(s->o->threads) : NULL;
    ingot_set_parallel_for(s->tool.context, recorder_hook, &s->recorder);
    bool ok = tool_feed(ports, s->o->feed, s->in) && run_often(s);
    if (ok) {
        find_symbols(s);
        find_medians(s);
    }
    tool_unfeed(ports, s->in);
    return ok;
}

static bool time_compiled(Session *s, const char *so, const char *name)
{
    if (!tool_open(so, name, 1, &s->tool))
        return false;
    bool ok = time_open(s);
    tool_close(&s->tool);
    ingot_pool_free(s->recorder.pool);
    return ok;
}

bool launches_time(Arena *a, const char *path, const LaunchOptions *o, LaunchTimes *t)
{
    *t = (LaunchTimes){ 0 };
    Session s = { .arena = a, .o = o, .t = t };
    ScratchDir dir;
    Diag d;
    diag_init(&d, a, stderr);
    if (!target_resolve(a, &d, NULL, o->build->cpu, &t->target) || !scratchdir_make(&dir))
        return false;
    const char *so = arena_printf(a, "%s/model.so", dir.path);
    CompileOptions out = { .output = so, .kind = OUT_SO, .profile = &t->launches };
    t->m = pipeline_import(a, &d, path, o->build);
    bool ok = t->m && pipeline_module(t->m, o->build, &out) && time_compiled(&s, so, path);
    scratchdir_remove(&dir);
    return ok;
}
