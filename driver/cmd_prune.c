/* cmd_prune.c -- ingot prune: a model in, the same with fewer channels and heads out: .onnx, .irt, or what `compile` writes. */
#include "driver.h"
#include "frontend.h"
#include "prune_module.h"
#include "text.h"

typedef struct PruneArgs {
    BuildOptions build;
    CompileOptions out;
    PruneOptions prune;
    const char *model;
} PruneArgs;

static bool write_pruned(Module *m, PruneArgs *p)
{
    if (path_ends_in(p->out.output, ".irt"))
        return module_write_file(m, p->out.output);
    if (path_ends_in(p->out.output, ".onnx"))
        return onnx_export(m, p->out.output);
    return pipeline_module(m, &p->build, &p->out);
}

static void print_line(const char *what, double before, double after)
{
    printf("%-14s %16.0f %16.0f  %5.1f %%\n", what, before, after, before > 0 ? 100 * after / before : 100);
}

static void print_report(const PruneReport *r)
{
    printf("%-14s %16s %16s\n", "", "before", "after");
    print_line("multiply-adds", r->before.macs, r->after.macs);
    print_line("parameters", r->before.params, r->after.params);
    print_line("bytes", r->before.bytes, r->after.bytes);
}

static bool prune_file(PruneArgs *p)
{
    Arena *a = arena_new();
    Diag d;
    PruneReport report;
    diag_init(&d, a, stderr);
    Module *m = pipeline_import(a, &d, p->model, &p->build);
    bool ok = m && prune_prepare(m) && prune_module(m, &p->prune, &report) && write_pruned(m, p);
    if (ok)
        print_report(&report);
    arena_free(a);
    return ok;
}

int cmd_prune(int argc, char **argv)
{
    const Command c = { "ingot", "prune", "MODEL.onnx", "Remove the channels and attention heads that matter least.", 1, 1 };
    PruneArgs a = { .build = BUILD_DEFAULT, .prune = PRUNE_DEFAULT };
    bool known;
    Operands model;
    const Option table[] = {
        { "output", 'o', OPT_TEXT, "OUT", "file to write: .onnx, .so, .o, .a, .s, .ll or .irt", &a.out.output },
        PRUNE_OPTIONS(a.prune), TARGET_OPTIONS(a.build), IMPORT_OPTIONS(a.build),
        { "mask", 0, OPT_FLAG, NULL, "keep all shapes and multiply what would go by zero: what pruning means", &a.prune.mask },
        { "dim", 0, OPT_LIST, "NAME=N", "fix a symbolic dimension", &a.build.dim }, OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0)
        status = pipeline_check(&c, &a.build);
    if (status >= 0)
        return status;
    const char *wrong = prune_misuse(&a.prune);
    if (wrong)
        return options_misuse(&c, "%s", wrong);
    if (!a.out.output)
        return options_misuse(&c, "-o OUT is missing");
    a.out.kind = output_kind_of(a.out.output, &known);
    if (!known && !path_ends_in(a.out.output, ".irt") && !path_ends_in(a.out.output, ".onnx"))
        return options_misuse(&c, "'%s' ends in none of .onnx .so .o .a .s .ll .irt", a.out.output);
    a.model = model.v[0];
    return !prune_file(&a);
}
