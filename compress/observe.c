/* observe.c -- see observe.h. */
#include "observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "build.h"
#include "compile.h"
#include "describe.h"
#include "pass.h"
#include "tool.h"

struct Observer {
    Arena *arena, *results;         /* results: tensors that describe the last run's taps */
    ScratchDir scratch;
    const char *so;
    ToolSession session;
    ingot_tensor *out;
    int nout;
};

/* ---- a copy of the module ---- */

Module *module_copy(Arena *a, Module *m, Value **map, int n)
{
    Module *c = ARENA_NEW(a, Module);
    *c = *m;
    c->arena = a;
    c->choices = NULL;
    c->fuel = -1;
    c->trace = false;
    graph_renumber(m->graph);
    c->graph = graph_clone(c, m->graph, NULL);
    const Node *from = m->graph->first;
    for (Node *to = c->graph->first; to; to = to->next, from = from->next)
        for (int i = 0; i < n; i++)
            if (map[i]->def == from)
                map[i] = &to->out[map[i]->index];
    return c;
}

/* ---- taps ---- */

static bool check_taps(Module *m, Value *const *taps, int n)
{
    for (int i = 0; i < n; i++)
        if (taps[i]->type.kind != TY_TENSOR || taps[i]->def->graph != m->graph)
            return diag_error(m->diag, taps[i]->def->loc, "%s: its result cannot be observed", op_name(taps[i]->def->op));
    return true;
}

static bool return_taps(Module *m, Value *const *taps, int n)
{
    const char **name = ARENA_ARRAY(m->arena, const char *, n + 1);
    for (int i = 0; i < n; i++)
        name[i] = arena_printf(m->arena, "tap%d", i);
    Attr_return a = { .names = { n, name } };
    node_erase(graph_return(m->graph));
    return node_new(m->graph, NULL, OP_return, n, taps, &a, -1, (Loc){ .file = m->file }) != NULL;
}

/* ---- open, run, close ---- */

static bool compile_copy(Observer *o, Module *m, Value *const *taps, int n)
{
    PassOptions passes = PASS_OPTIONS_DEFAULT;
    Value **copy = n ? arena_copy(o->arena, taps, sizeof *taps * (size_t)n) : NULL;
    Module *c = module_copy(o->arena, m, copy, n);
    o->so = arena_printf(o->arena, "%s/observed.so", o->scratch.path);
    CompileOptions code = { .output = o->so, .kind = OUT_SO, .opt_level = passes.level };
    if ((n && !return_taps(c, copy, n)) || !passes_run(c, &passes) || !compile_module(c, &code))
        return false;
    return tool_open(o->so, m->file, 1, &o->session);
}

Observer *observer_open(Module *m, Value *const *taps, int ntaps)
{
    if (!check_taps(m, taps, ntaps))
        return NULL;
    Arena *a = arena_new();
    Observer *o = ARENA_NEW(a, Observer);
    *o = (Observer){ .arena = a, .results = arena_new() };
    if (!scratchdir_make(&o->scratch) || !compile_copy(o, m, taps, ntaps)) {
        observer_close(o);
        return NULL;
    }
    o->nout = o->session.model.ports->n_outputs;
    o->out = ARENA_ARRAY(a, ingot_tensor, o->nout + 1);
    return o;
}

const Tensor *const *observer_run(Observer *o, const ingot_tensor *in)
{
    ingot_error err;
    const ToolModel *t = &o->session.model;
    if (t->run(t->self, in, o->out, &err))
        return tool_fail("%s: %s", t->name, err.text), NULL;
    arena_free(o->results);
    o->results = arena_new();
    const Tensor **taps = ARENA_ARRAY(o->results, const Tensor *, o->nout + 1);
    for (int i = 0; i < o->nout; i++)
        taps[i] = tensor_of_runtime(o->results, &o->out[i]);
    return taps;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Some runs to warm up, then as many as fit a quarter of a second. */
static bool cost_on(Observer *o, const ingot_tensor *in, ObserverCost *out)
{
    enum { WARM = 3, LEAST = 11, MOST = 1000 };
    static const double budget_ms = 250;
    struct stat st;
    double ms[MOST], start = 0;
    int n = 0;
    for (int i = -WARM; i < MOST && (i < LEAST || now_ms() - start < budget_ms); i++) {
        double before = now_ms();
        start = i == 0 ? before : start;
        if (!observer_run(o, in))
            return false;
        if (i >= 0)
            ms[n++] = now_ms() - before;
    }
    qsort(ms, (size_t)n, sizeof *ms, compare_times);
    *out = (ObserverCost){ .workspace_bytes = ingot_workspace_bytes(o->session.context), .median_ms = ms[n / 2], .p99_ms = ms[(n - 1) * 99 / 100] };
    if (stat(o->so, &st))
        return tool_fail("%s: %s", o->so, strerror(errno)), false;
    out->file_bytes = (uint64_t)st.st_size;
    return true;
}

bool observer_cost(Observer *o, const ingot_tensor *in, ObserverCost *out)
{
    if (in)
        return cost_on(o, in, out);
    const ingot_model *ports = observer_ports(o);
    ingot_tensor *any = calloc((size_t)ports->n_inputs + 1, sizeof *any);
    bool ok = any && tool_feed(ports, &(FeedOptions){ 0 }, any) && cost_on(o, any, out);
    if (any)
        tool_unfeed(ports, any);
    free(any);
    return ok;
}

const ingot_model *observer_ports(const Observer *o)
{
    return o->session.model.ports;
}

void observer_close(Observer *o)
{
    if (!o)
        return;
    tool_close(&o->session);
    scratchdir_remove(&o->scratch);
    arena_free(o->results);
    arena_free(o->arena);
}

/* ---- all samples ---- */

bool observe(Module *m, Samples *s, Value *const *taps, int ntaps, ObserveVisit *visit, void *ctx)
{
    Observer *o = observer_open(m, taps, ntaps);
    bool ok = o != NULL;
    for (int64_t i = 0; ok && i < samples_count(s); i += samples_batch(s)) {
        const ingot_tensor *in = samples_inputs(s, i);
        const Tensor *const *t = in ? observer_run(o, in) : NULL;
        ok = t && visit(ctx, i, t);
    }
    observer_close(o);
    return ok;
}
