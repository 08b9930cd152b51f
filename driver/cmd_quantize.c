/* cmd_quantize.c -- ingot quantize: a model in, the same with 8-bit integers out: .onnx, or what `compile` writes. */
#include "driver.h"
#include "quantize.h"

typedef struct QuantizeArgs {
    BuildOptions build;
    CompileOptions out;
    QuantizeOptions quantize;
} QuantizeArgs;

bool edit_quantize(Module *m, void *options)
{
    return quantize_prepare(m) && quantize_and_report(m, options);
}

int cmd_quantize(int argc, char **argv)
{
    const Command c = { "ingot", "quantize", "MODEL.onnx", "Store weights and activations as 8-bit integers.", 1, 1 };
    QuantizeArgs a = { .build = BUILD_DEFAULT, .quantize = QUANTIZE_DEFAULT };
    Operands model;
    const Option table[] = {
        { "output", 'o', OPT_TEXT, "OUT", "file to write: .onnx, .so, .o, .a, .s or .ll", &a.out.output },
        QUANTIZE_OPTIONS(a.quantize),
        { "quiet", 'q', OPT_FLAG, NULL, "print no report (and do not compile the model twice for it)", &a.quantize.quiet }, TARGET_OPTIONS(a.build), IMPORT_OPTIONS(a.build),
        { "dim", 0, OPT_LIST, "NAME=N", "fix a symbolic dimension", &a.build.dim }, OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0)
        status = pipeline_check(&c, &a.build);
    if (status >= 0)
        return status;
    const char *wrong = quantize_misuse(&a.quantize);
    if (wrong)
        return options_misuse(&c, "%s", wrong);
    if (!a.out.output)
        return options_misuse(&c, "-o OUT is missing");
    if (!quantize_wanted(&a.quantize))
        return options_misuse(&c, "--calibrate DATA or --weights KIND is missing");
    if (pipeline_output(&c, &a.out, ".onnx " NATIVE_OUTPUTS) >= 0)
        return 2;
    a.quantize.target = a.build.target, a.quantize.cpu = a.build.cpu;
    return !pipeline_edit(model.v[0], &a.build, &a.out, edit_quantize, &a.quantize);
}
