/* cmd_compile.c -- ingot compile: a model in, a native file out; and --bisect, which finds the rewrite that breaks a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "prune_module.h"
#include "quantize.h"
#include "tune.h"

/* The options of quantize and prune; what both have (--calibrate, --keep) is quantize's. */
typedef struct Smaller {
    PruneOptions prune;
    QuantizeOptions quantize;
    bool no_quantize;
} Smaller;

typedef struct CompileArgs {
    BuildOptions build;
    CompileOptions out;
    TuneOptions tune;
    Smaller smaller;
    const char *model, *bisect;
} CompileArgs;

/* Compile with so much fuel and ask the user's command whether the result is good. -1: the compilation itself failed. */
static int try_fuel(CompileArgs *c, int64_t fuel, BuildReport *report)
{
    c->build.fuel = fuel;
    if (!pipeline_file(c->model, &c->build, &c->out, report))
        return -1;
    int status = system(c->bisect);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The invariant of the search: good with `low` rewrites, bad with `high`. */
static int bisect(CompileArgs *c)
{
    BuildReport report;
    int64_t low = 0, high;
    int good = try_fuel(c, INT32_MAX, &report);
    if (good < 0)
        return 1;
    if (good)
        return tool_fail("--bisect: the command succeeds with all %lld rewrites", (long long)report.rewrites);
    high = report.rewrites;
    if (try_fuel(c, 0, &report) != 1)
        return tool_fail("--bisect: the command fails even without any rewrite");
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        good = try_fuel(c, middle, &report);
        fprintf(stderr, "%lld rewrites: %s\n", (long long)middle, good == 1 ? "good" : "bad");
        *(good == 1 ? &low : &high) = middle;
    }
    if (try_fuel(c, high, &report) < 0)
        return 1;
    printf("rewrite %lld (%s) breaks it: compile with --fuel %lld --trace to see it\n", (long long)high, report.last_rewrite, (long long)high);
    return 0;
}

static bool make_smaller(Module *m, void *options)
{
    const Smaller *o = options;
    Gammas gammas;
    PruneReport report;
    if (prune_wanted(&o->prune) && !(prune_prepare(m, &gammas) && prune_and_report(m, &o->prune, &gammas, &report)))
        return false;
    return o->no_quantize || !quantize_wanted(&o->quantize) || edit_quantize(m, (void *)(uintptr_t)&o->quantize);
}

/* What is wrong with the options as a sentence, or NULL. */
static const char *complete_smaller(Smaller *o, BuildOptions *build)
{
    o->quantize.quiet = o->prune.quiet = true;
    o->quantize.target = o->prune.target = build->target;
    o->quantize.cpu = o->prune.cpu = build->cpu;
    o->prune.samples = o->quantize.samples;
    o->prune.keep = o->quantize.keep;
    if (o->no_quantize || !quantize_wanted(&o->quantize))
        o->prune.json = o->quantize.json, o->prune.data = o->quantize.data, o->prune.labels = o->quantize.labels;
    const char *wrong = prune_mentioned(&o->prune) ? prune_misuse(&o->prune) : NULL;
    wrong = wrong ? wrong : quantize_misuse(&o->quantize);
    if (prune_wanted(&o->prune) || quantize_wanted(&o->quantize)) {
        build->edit = make_smaller;
        build->edit_ctx = o;
    }
    return wrong;
}

int cmd_compile(int argc, char **argv)
{
    const Command c = { "ingot", "compile", "MODEL(.onnx|.irt)", "Turn a model into native code; the extension of OUT says of which kind.", 1, 1 };
    CompileArgs a = { .build = BUILD_DEFAULT, .smaller = { .prune = PRUNE_DEFAULT, .quantize = QUANTIZE_DEFAULT } };
    bool threads = false;
    Operands model;
    const Option table[] = {
        { "output", 'o', OPT_TEXT, "OUT", "file to write: .so, .o, .a, .s or .ll", &a.out.output },
        { "header", 0, OPT_TEXT, "F.h", "also write a C header", &a.out.header },
        TARGET_OPTIONS(a.build),
        { "dim", 0, OPT_LIST, "NAME=N", "fix a symbolic dimension", &a.build.dim },
        { "threads", 0, OPT_FLAG, NULL, "emit code that can use several threads (it always can)", &threads },
        IMPORT_OPTIONS(a.build), PASS_OPTIONS(a.build), TUNE_OPTIONS(a.tune),
        QUANTIZE_OPTIONS(a.smaller.quantize), PRUNE_BUDGET_OPTIONS(a.smaller.prune),
        { "no-quantize", 0, OPT_FLAG, NULL, "use --calibrate to prune and repair only", &a.smaller.no_quantize },
        { "bisect", 0, OPT_TEXT, "COMMAND", "find the first rewrite after which COMMAND (run on OUT) fails", &a.bisect }, OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0)
        status = pipeline_check(&c, &a.build);
    if (status >= 0)
        return status;
    if (!a.out.output)
        return options_misuse(&c, "-o OUT is missing");
    if (pipeline_output(&c, &a.out, NATIVE_OUTPUTS) >= 0)
        return 2;
    const char *wrong = complete_smaller(&a.smaller, &a.build);
    if (wrong)
        return options_misuse(&c, "%s", wrong);
    a.model = model.v[0];
    Arena *arena = arena_new();         /* of the choices */
    if (!tune_model(arena, a.model, &a.tune, &a.build))
        status = 1;
    else
        status = a.bisect ? bisect(&a) : !pipeline_file(a.model, &a.build, &a.out, NULL);
    arena_free(arena);
    return status;
}
