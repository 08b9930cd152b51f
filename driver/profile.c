/* profile.c -- times every launch of a model, see profile.h.
 *
 * The model is compiled with marks (CompileOptions.profile): before each launch it calls parallel_for without a task. Our parallel_for reads the clock at
 * each mark, and hands real tasks to the pool. So kernels run as they always do, and irregular operators are timed too.
 */
#include "profile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "strbuf.h"
#include "work.h"

enum { WARMUP = 3, MIN_RUNS = 5, MAX_RUNS = 1000 };
static const double timed_ms = 1000;
static const double latency_share = 0.3;        /* below this share of either limit a kernel is bound by neither */

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
    const ProfileOptions *o;
    Module *m;
    Profile launches;
    ToolSession tool;
    Recorder recorder;
    ingot_tensor *in, *out;
    int64_t runs;
    double **ms;                    /* [run][launch, last: outside] */
    int64_t *syms;                  /* values of the module's symbols */
    int vector_bytes;               /* of the CPU that the code is for */
} Session;

static bool run_once(Session *s, double *ms)
{
    ingot_error err;
    s->recorder.ms = ms;
    s->recorder.current = s->launches.n;
    memset(s->recorder.calls, 0, sizeof *s->recorder.calls * (size_t)(s->launches.n + 1));
    s->recorder.since = now_ms();
    if (ingot_run(s->tool.context, s->in, s->out, &err))
        return tool_fail("%s: %s", s->tool.model.name, err.text), false;
    recorder_switch(&s->recorder, s->launches.n);
    return true;
}

static bool run_often(Session *s)
{
    double least = 1e30, *scrap = ARENA_ARRAY(s->arena, double, s->launches.n + 1);
    s->recorder.calls = ARENA_ARRAY(s->arena, int64_t, s->launches.n + 1);
    for (int i = 0; i < WARMUP; i++) {
        double start = now_ms();
        if (!run_once(s, scrap))
            return false;
        least = now_ms() - start < least ? now_ms() - start : least;
    }
    double wanted = timed_ms / (least > 1e-3 ? least : 1e-3);
    s->runs = s->o->runs ? s->o->runs : wanted < MIN_RUNS ? MIN_RUNS : wanted > MAX_RUNS ? MAX_RUNS : (int64_t)wanted;
    s->ms = ARENA_ARRAY(s->arena, double *, s->runs);
    for (int64_t i = 0; i < s->runs; i++) {
        s->ms[i] = ARENA_ARRAY(s->arena, double, s->launches.n + 1);
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

/* What the inputs say; sizes that only the data decides count with their upper bound. */
static void find_symbols(Session *s)
{
    const DimTable *t = s->m->dims;
    s->syms = ARENA_ARRAY(s->arena, int64_t, dim_symbol_count(t) + 1);
    for (int i = 0; i < dim_symbol_count(t); i++) {
        const DimSymbol *sym = dim_symbol_at(t, i);
        if (!sym->from_data)
            s->syms[i] = input_symbol(s->tool.model.ports, s->in, sym->name);
        else if (sym->bound)
            s->syms[i] = dim_eval(sym->bound, s->syms);
    }
}

/* ---- rows ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(Session *s, double (*of)(Session *s, int64_t run, int launch), int launch)
{
    double *v = ARENA_ARRAY(s->arena, double, s->runs);
    for (int64_t i = 0; i < s->runs; i++)
        v[i] = of(s, i, launch);
    qsort(v, (size_t)s->runs, sizeof *v, compare_doubles);
    return v[s->runs / 2];
}

static double launch_ms(Session *s, int64_t run, int launch)
{
    return s->ms[run][launch];
}

static double run_ms(Session *s, int64_t run, int launch)
{
    double sum = 0;
    (void)launch;
    for (int i = 0; i <= s->launches.n; i++)
        sum += s->ms[run][i];
    return sum;
}

/* "f32[1,56,56,64], f32[64,64,3,3] -> f32[1,56,56,64]"; numbers alone are left out. */
static const char *shapes_of(Session *s, const Node *n)
{
    StrBuf b = strbuf_new(s->arena);
    double uniform;
    for (int i = 0; i < n->nin; i++)
        if (node_in(n, i) && !value_scalar_f64(node_in(n, i), &uniform))
            strbuf_printf(&b, "%s%s", b.len ? ", " : "", type_print(s->m, s->arena, &node_in(n, i)->type));
    for (int i = 0; i < n->nout; i++)
        strbuf_printf(&b, "%s%s", i ? ", " : b.len ? " -> " : "-> ", type_print(s->m, s->arena, &n->out[i].type));
    return b.text;
}

/* The ONNX node of the anchor, else of the last operator. */
static const char *name_of(const Node *n)
{
    const char *name = n->loc.node ? n->loc.node : "";
    if (n->op == OP_fused)
        FOR_EACH_NODE(inner, NODE_ATTR(n, fused)->body)
            if (inner->loc.node && *inner->loc.node && inner->op != OP_input && !(op_table[inner->op].flags & (OPF_EW | OPF_MOVE | OPF_VIEW)))
                name = inner->op == OP_return || inner->op == OP_constant ? name : inner->loc.node;
    return name;
}

static ProfileRow row_of(Session *s, int launch)
{
    const Node *n = s->launches.launch[launch].node;
    ProfileRow r = { .kernel = s->launches.launch[launch].kernel, .ops = node_ops(s->arena, n), .shapes = shapes_of(s, n), .names = name_of(n),
                     .ms = median_of(s, launch_ms, launch) };
    NodeWork w = node_work(s->m, n);
    r.calls = (int)s->recorder.calls[launch];
    r.flops = r.calls * (double)dim_eval(w.flops, s->syms);
    r.weight_bytes = r.calls * (double)dim_eval(w.weight_bytes, s->syms);
    r.data_bytes = r.calls * (double)dim_eval(w.data_bytes, s->syms);
    return r;
}

/* all_weights: bytes that a run of the whole model reads, which decides where weights come from. */
static void find_bound(ProfileRow *r, const Machine *m, double all_weights)
{
    double compute = r->flops / (m->gflops * 1e6);
    double memory = r->weight_bytes / (machine_bandwidth(m, all_weights) * 1e6) + r->data_bytes / (machine_bandwidth(m, r->data_bytes) * 1e6);
    r->roof_ms = compute > memory ? compute : memory;
    r->bound = r->roof_ms < latency_share * r->ms ? BOUND_LATENCY : compute > memory ? BOUND_COMPUTE : BOUND_MEMORY;
}

static void merge(Arena *a, ProfileRow *into, const ProfileRow *r)
{
    into->calls += r->calls;
    into->ms += r->ms;
    into->flops += r->flops;
    into->weight_bytes += r->weight_bytes;
    into->data_bytes += r->data_bytes;
    into->roof_ms += r->roof_ms;
    if (*r->names)
        into->names = *into->names ? arena_printf(a, "%s, %s", into->names, r->names) : r->names;
}

static bool same_kernel(const ProfileRow *a, const ProfileRow *b)
{
    return !strcmp(a->kernel, b->kernel) && !strcmp(a->shapes, b->shapes) && !strcmp(a->ops, b->ops);
}

static int compare_rows(const void *a, const void *b)
{
    double x = ((const ProfileRow *)a)->ms, y = ((const ProfileRow *)b)->ms;
    return (x < y) - (x > y);
}

static void make_rows(Session *s, ProfileResult *r)
{
    double all_weights = 0;
    ProfileRow *each = ARENA_ARRAY(s->arena, ProfileRow, s->launches.n + 1);
    r->row = ARENA_ARRAY(s->arena, ProfileRow, s->launches.n + 1);
    for (int i = 0; i < s->launches.n; i++) {
        each[i] = row_of(s, i);
        all_weights += each[i].weight_bytes;
    }
    for (int i = 0; i < s->launches.n; i++) {
        find_bound(&each[i], &r->machine, all_weights);
        r->flops += each[i].flops;
        r->roof_ms += each[i].roof_ms;
        int k = s->o->nodes ? r->nrows : 0;
        while (k < r->nrows && !same_kernel(&r->row[k], &each[i]))
            k++;
        if (k < r->nrows)
            merge(s->arena, &r->row[k], &each[i]);
        else
            r->row[r->nrows++] = each[i];
    }
    qsort(r->row, (size_t)r->nrows, sizeof *r->row, compare_rows);
    r->launches = s->launches.n;
    r->runs = s->runs;
    r->total_ms = median_of(s, run_ms, 0);
    r->outside_ms = median_of(s, launch_ms, s->launches.n);
}

/* ---- everything ---- */

static bool measure_open(Session *s, ProfileResult *r, int threads)
{
    const ingot_model *ports = s->tool.model.ports;
    s->in = ARENA_ARRAY(s->arena, ingot_tensor, ports->n_inputs + 1);
    s->out = ARENA_ARRAY(s->arena, ingot_tensor, ports->n_outputs + 1);
    s->recorder.pool = threads > 1 ? ingot_pool_new(threads) : NULL;
    ingot_set_parallel_for(s->tool.context, recorder_hook, &s->recorder);
    bool ok = tool_feed(ports, &s->o->feed, s->in) && run_often(s);
    if (ok) {
        find_symbols(s);
        machine_measure(&r->machine, threads, s->vector_bytes);
        make_rows(s, r);
    }
    tool_unfeed(ports, s->in);
    return ok;
}

static bool measure_compiled(Session *s, const char *so, const char *name, ProfileResult *r)
{
    int threads = s->o->threads ? (int)s->o->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (!tool_open(so, name, 1, &s->tool))
        return false;
    bool ok = measure_open(s, r, threads);
    tool_close(&s->tool);
    ingot_pool_free(s->recorder.pool);
    return ok;
}

bool profile_measure(Arena *a, const char *path, const ProfileOptions *o, ProfileResult *result)
{
    Session s = { .arena = a, .o = o };
    ScratchDir dir;
    TargetInfo target;
    Diag d;
    diag_init(&d, a, stderr);
    *result = (ProfileResult){ .model = path };
    if (!target_resolve(a, &d, NULL, o->build.cpu, &target) || !scratchdir_make(&dir))
        return false;
    s.vector_bytes = target.vector_bytes;
    const char *so = arena_printf(a, "%s/model.so", dir.path);
    CompileOptions out = { .output = so, .kind = OUT_SO, .profile = &s.launches };
    s.m = pipeline_import(a, &d, path, &o->build);
    bool ok = s.m && pipeline_module(s.m, &o->build, &out) && measure_compiled(&s, so, path, result);
    scratchdir_remove(&dir);
    return ok;
}
