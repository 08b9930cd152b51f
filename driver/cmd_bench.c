/* cmd_bench.c -- ingot bench: a .so is timed as it is; an .onnx is compiled to a temporary .so first. */
#include "driver.h"

static int bench_compiled(const char *path, const BenchOptions *o, const BuildOptions *b)
{
    ScratchDir s;
    char so[600];
    if (!pipeline_temporary(path, b, &s, so, sizeof so))
        return 1;
    int status = tool_bench_file(so, path, o);
    scratchdir_remove(&s);
    return status;
}

int cmd_bench(int argc, char **argv)
{
    const Command c = { "ingot", "bench", "MODEL(.onnx|.so)", "Time a model. (Memory includes the compiler's: ingot-run shows the model's.)", 1, 1 };
    BenchOptions o = { .threads = 1 };
    BuildOptions b = BUILD_DEFAULT;
    Operands model;
    const Option table[] = { BENCH_OPTIONS(o), IMPORT_OPTIONS(b), PASS_OPTIONS(b), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0)
        status = pipeline_check(&c, &b);
    if (status >= 0)
        return status;
    if (tool_is_compiled(model.v[0]))
        return tool_bench_file(model.v[0], model.v[0], &o);
    b.dim = o.feed.dim;                 /* sizes are fixed when the model is compiled */
    o.feed.dim = (TextList){ .n = 0 };
    return bench_compiled(model.v[0], &o, &b);
}
