/* pipeline.c -- from a model file to a compiled one: import, passes, codegen, as every subcommand that needs them does it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dot.h"
#include "driver.h"
#include "frontend.h"
#include "text.h"

bool path_ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), k = strlen(end);
    return n >= k && !strcmp(path + n - k, end);
}

static int list_passes(void)
{
    for (int i = 0; i < pass_count; i++)
        printf("%-16s %s\n", pass_table[i].name, pass_table[i].summary);
    for (int level = 0; level <= 3; level++)
        printf("-O%d: %s\n", level, passes_pipeline(level));
    return 0;
}

static bool pass_known(const char *name, size_t n)
{
    char one[64];
    snprintf(one, sizeof one, "%.*s", (int)n, name);
    return n < sizeof one && pass_find(one);
}

int pipeline_check(const Command *c, const BuildOptions *o)
{
    const char *const after[] = { o->stop_after, o->print_after, o->dot_after };
    size_t n;
    if (o->passes && !strcmp(o->passes, "help"))
        return list_passes();
    if (strlen(o->level) != 1 || !strchr("0123", o->level[0]))
        return options_misuse(c, "-O needs 0, 1, 2 or 3, not '%s'", o->level);
    for (const char *s = o->passes; s && *s; s += n + (s[n] == ','))
        if (!pass_known(s, n = strcspn(s, ",")))
            return options_misuse(c, "there is no pass '%.*s'; '--passes help' lists them", (int)n, s);
    for (int i = 0; i < 3; i++)
        if (after[i] && !(i && !strcmp(after[i], "all")) && !pass_find(after[i]))
            return options_misuse(c, "there is no pass '%s'; '--passes help' lists them", after[i]);
    return -1;
}

/* NAME=N of --dim, split. False after reporting. */
static bool split_dims(Arena *a, Diag *d, const TextList *list, ImportOptions *opt)
{
    const char **name = ARENA_ARRAY(a, const char *, list->n + 1), *value;
    int64_t *size = ARENA_ARRAY(a, int64_t, list->n + 1);
    for (int i = 0; i < list->n; i++) {
        size_t n;
        char *end = NULL;
        bool ok = options_split(list->v[i], &value, &n);
        size[i] = ok ? strtoll(value, &end, 10) : 0;
        if (!ok || end == value || *end || size[i] < 0)
            return diag_error(d, (Loc){ 0 }, "--dim %s: not of the form NAME=NUMBER", list->v[i]);
        name[i] = arena_strn(a, list->v[i], n);
    }
    opt->nfixed = list->n;
    opt->fixed_name = name;
    opt->fixed_value = size;
    return true;
}

static Module *import_file(Arena *a, Diag *d, const char *path, const BuildOptions *o)
{
    if (path_ends_in(path, ".irt"))
        return module_read_file(a, d, path);
    ImportOptions opt = { .noverridable = o->overridable.n, .overridable = o->overridable.v };
    return split_dims(a, d, &o->dim, &opt) ? onnx_import(a, d, path, &opt) : NULL;
}

Module *pipeline_import(Arena *a, Diag *d, const char *path, const BuildOptions *o)
{
    TargetInfo target;              /* a wrong one is noticed before the model is read, which may take a while */
    Module *m = target_resolve(a, d, o->target, o->cpu, &target) ? import_file(a, d, path, o) : NULL;
    if (m) {
        m->vector_bytes = target.vector_bytes;
        m->no_bf16 = !strstr(target.features, "+avx512bf16");
        m->fast_math |= o->fast_math;
        m->choices = o->choices;
    }
    return m;
}

typedef struct DotHook {
    const char *pass, *output;
} DotHook;

static void write_dot(void *ctx, Module *m, const char *pass)
{
    const DotHook *h = ctx;
    if (!strcmp(h->pass, "all") || !strcmp(h->pass, pass))
        module_dot(m, arena_printf(m->arena, "%s.%s.dot", h->output, pass), "dot");
}

bool pipeline_optimize(Module *m, const BuildOptions *o, const char *output)
{
    DotHook hook = { o->dot_after, output };
    PassOptions p = {
        .level = o->level[0] - '0', .pipeline = o->passes, .stop_after = o->stop_after, .print_after = o->print_after,
        .verify = o->verify, .time = o->time, .trace = o->trace, .fuel = o->fuel,
        .after = o->dot_after ? write_dot : NULL, .after_ctx = &hook,
    };
    return passes_run(m, &p);
}

/* --passes and --stop-after may leave out what code generation needs. */
static bool check_planned(Module *m)
{
    return (m->graph->props & GP_PLANNED) ||
           diag_error(m->diag, (Loc){ .file = m->file }, "the passes that were asked for do not end with 'plan', so there is nothing to make code from; 'ingot dump' shows the graph");
}

bool pipeline_module(Module *m, const BuildOptions *o, const CompileOptions *out)
{
    CompileOptions code = *out;
    code.target = o->target;
    code.cpu = o->cpu;
    code.opt_level = o->level[0] - '0';
    code.time = o->time;
    return (!o->edit || o->edit(m, o->edit_ctx)) && pipeline_optimize(m, o, out->output) && check_planned(m) && compile_module(m, &code);
}

bool pipeline_file(const char *path, const BuildOptions *o, const CompileOptions *out, BuildReport *report)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, stderr);
    Module *m = pipeline_import(a, &d, path, o);
    bool ok = m && pipeline_module(m, o, out);
    if (ok && report) {
        report->rewrites = o->fuel - m->fuel;
        snprintf(report->last_rewrite, sizeof report->last_rewrite, "%s", m->last_rewrite ? m->last_rewrite : "none");
    }
    arena_free(a);
    return ok;
}

int pipeline_output(const Command *c, CompileOptions *out, const char *accepted)
{
    bool native, known = false;
    char end[16];
    out->kind = output_kind_of(out->output, &native);
    for (const char *s = accepted; !known && sscanf(s, "%15s", end) == 1; s = strstr(s, end) + strlen(end))
        known = path_ends_in(out->output, end);
    return known ? -1 : options_misuse(c, "'%s' ends in none of %s", out->output, accepted);
}

bool pipeline_write(Module *m, const BuildOptions *o, const CompileOptions *out)
{
    if (path_ends_in(out->output, ".irt"))
        return module_write_file(m, out->output);
    if (path_ends_in(out->output, ".onnx"))
        return onnx_export(m, out->output);
    return pipeline_module(m, o, out);
}

bool pipeline_edit(const char *path, const BuildOptions *o, const CompileOptions *out, PipelineEdit *edit, void *ctx)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, stderr);
    Module *m = pipeline_import(a, &d, path, o);
    bool ok = m && edit(m, ctx) && pipeline_write(m, o, out);
    arena_free(a);
    return ok;
}

bool pipeline_temporary(const char *model, const BuildOptions *o, ScratchDir *s, char *so, size_t bytes)
{
    if (!scratchdir_make(s))
        return false;
    snprintf(so, bytes, "%s/model.so", s->path);
    CompileOptions out = { .output = so, .kind = OUT_SO };
    if (pipeline_file(model, o, &out, NULL))
        return true;
    scratchdir_remove(s);
    return false;
}
