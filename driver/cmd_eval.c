/* cmd_eval.c -- ingot eval: accuracy of a .so as it is, or of an .onnx that is compiled to a temporary .so first. */
#include "driver.h"

static int eval_model(const char *path, const EvalOptions *o, const BuildOptions *b)
{
    ScratchDir s;
    char so[600];
    if (!pipeline_temporary(path, b, &s, so, sizeof so))
        return 1;
    int status = tool_eval_file(so, path, o);
    scratchdir_remove(&s);
    return status;
}

int cmd_eval(int argc, char **argv)
{
    const Command c = { "ingot", "eval", "MODEL(.onnx|.so)", "Measure top-1 and top-5 accuracy of a classifier.", 1, 1 };
    EvalOptions o = EVAL_DEFAULT;
    BuildOptions b = BUILD_DEFAULT;
    o.samples.read_pb = describe_read_pb;
    Operands model;
    const Option table[] = { EVAL_OPTIONS(o), IMPORT_OPTIONS(b), PASS_OPTIONS(b), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0)
        status = pipeline_check(&c, &b);
    if (status >= 0)
        return status;
    return tool_is_compiled(model.v[0]) ? tool_eval_file(model.v[0], model.v[0], &o) : eval_model(model.v[0], &o, &b);
}
