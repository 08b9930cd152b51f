/* cmd_compress.c -- ingot compress: prune, repair, quantise and compile, each step measured. */
#include "compress.h"
#include "driver.h"

typedef struct CompressArgs {
    BuildOptions build;
    CompileOptions out;
    CompressOptions compress;
} CompressArgs;

static bool edit_compress(Module *m, void *options)
{
    return compress_module(m, options);
}

/* The options that this command shares with quantize and prune, as a whole. */
static const char *misuse(const CompressOptions *o)
{
    PruneOptions p = o->prune;
    p.samples = o->quantize.samples;
    const char *wrong = prune_mentioned(&p) ? prune_misuse(&p) : NULL;
    return wrong ? wrong : o->no_quantize && !prune_wanted(&p) ? "there is nothing to do: no pruning budget, and --no-quantize" : quantize_misuse(&o->quantize);
}

int cmd_compress(int argc, char **argv)
{
    const Command c = { "ingot", "compress", "MODEL.onnx", "Prune, repair, quantise and compile, measuring each step.", 1, 1 };
    CompressArgs a = { .build = BUILD_DEFAULT, .compress = { .prune = PRUNE_DEFAULT, .quantize = QUANTIZE_DEFAULT } };
    Operands model;
    const Option table[] = {
        { "output", 'o', OPT_TEXT, "OUT", "file to write: .onnx, .so, .o, .a, .s or .ll", &a.out.output },
        PRUNE_BUDGET_OPTIONS(a.compress.prune), QUANTIZE_OPTIONS(a.compress.quantize),
        { "no-quantize", 0, OPT_FLAG, NULL, "stop after pruning and repair", &a.compress.no_quantize },
        TARGET_OPTIONS(a.build), IMPORT_OPTIONS(a.build), { "dim", 0, OPT_LIST, "NAME=N", "fix a symbolic dimension", &a.build.dim }, OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0)
        status = pipeline_check(&c, &a.build);
    if (status >= 0)
        return status;
    if (!a.out.output)
        return options_misuse(&c, "-o OUT is missing");
    if (!a.compress.quantize.samples.path)
        return options_misuse(&c, "--calibrate DATA is missing");
    const char *wrong = misuse(&a.compress);
    if (wrong)
        return options_misuse(&c, "%s", wrong);
    if (pipeline_output(&c, &a.out, ".onnx " NATIVE_OUTPUTS) >= 0)
        return 2;
    a.compress.quantize.target = a.compress.prune.target = a.build.target;
    a.compress.quantize.cpu = a.compress.prune.cpu = a.build.cpu;
    return !pipeline_edit(model.v[0], &a.build, &a.out, edit_compress, &a.compress);
}
