/* cmd_prune.c -- ingot prune: a model in, the same with fewer channels and heads out: .onnx, .irt, or what `compile` writes. */
#include "dot.h"
#include "driver.h"
#include "prune_module.h"

typedef struct PruneArgs {
    BuildOptions build;
    CompileOptions out;
    PruneOptions prune;
    const char *model;
} PruneArgs;

/* White to red: how much of what a product makes is gone. */
static const char *colour_of(void *ctx, const Node *n)
{
    static const char *const red[] = { "#ffffff", "#ffe0e0", "#ffc0c0", "#ffa0a0", "#ff8080", "#ff6060", "#ff4040", "#ff2020" };
    const PruneReport *r = ctx;
    if (n->op != OP_conv && n->op != OP_conv_transpose && n->op != OP_matmul)
        return NULL;
    const AxisKeep *k = keeps_of_value(r->keeps, &n->out[0]);
    double kept = 1 - (double)ptrmap_get(&r->gone, n, 0) / 1000;
    for (int i = 0; k && i < n->out[0].type.rank; i++)
        kept *= k[i].keep ? (double)keep_count(&k[i]) / (double)k[i].period : 1;
    return red[(int)((1 - kept) * 7.99)];
}

static bool draw(const Module *m, PruneReport *r, const char *path)
{
    Module own = *m;
    own.graph = r->original;
    return module_dot_coloured(&own, path, NULL, colour_of, r);
}

static bool prune_file(PruneArgs *p)
{
    Arena *a = arena_new();
    Diag d;
    PruneReport report;
    Gammas gammas;
    diag_init(&d, a, stderr);
    Module *m = pipeline_import(a, &d, p->model, &p->build);
    bool ok = m && prune_prepare(m, &gammas) && prune_and_report(m, &p->prune, &gammas, &report) && pipeline_write(m, &p->build, &p->out) &&
              (!p->prune.picture || draw(m, &report, p->prune.picture));
    arena_free(a);
    return ok;
}

int cmd_prune(int argc, char **argv)
{
    const Command c = { "ingot", "prune", "MODEL.onnx", "Remove the channels and attention heads that matter least.", 1, 1 };
    PruneArgs a = { .build = BUILD_DEFAULT, .prune = PRUNE_DEFAULT };
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
    if (pipeline_output(&c, &a.out, ".onnx " NATIVE_OUTPUTS " .irt") >= 0)
        return 2;
    a.prune.target = a.build.target, a.prune.cpu = a.build.cpu;
    a.model = model.v[0];
    return !prune_file(&a);
}
