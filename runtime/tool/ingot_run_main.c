/* ingot_run_main.c -- ingot-run: run, time and inspect compiled models. Needs no compiler and no other file; linked statically. */
#include "tool.h"

static int run_command(int argc, char **argv)
{
    const Command c = { "ingot-run", "run", "MODEL.so", "Run a compiled model once.", 1, 1 };
    RunOptions o = { .threads = 1 };
    Operands model;
    const Option table[] = { RUN_OPTIONS(o), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    return status >= 0 ? status : tool_run_file(model.v[0], &o);
}

static int bench_command(int argc, char **argv)
{
    const Command c = { "ingot-run", "bench", "MODEL.so", "Time a compiled model.", 1, 1 };
    BenchOptions o = { .threads = 1 };
    Operands model;
    const Option table[] = { BENCH_OPTIONS(o), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    return status >= 0 ? status : tool_bench_file(model.v[0], model.v[0], &o);
}

static int inspect_command(int argc, char **argv)
{
    const Command c = { "ingot-run", "inspect", "MODEL.so", "Print inputs, outputs and requirements of a compiled model.", 1, 1 };
    bool json = false;
    Operands model;
    const Option table[] = { { "json", 0, OPT_FLAG, NULL, "print one line of JSON", &json }, OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    return status >= 0 ? status : tool_inspect_file(model.v[0], json);
}

static int eval_command(int argc, char **argv)
{
    const Command c = { "ingot-run", "eval", "MODEL.so", "Measure top-1 and top-5 accuracy of a compiled classifier.", 1, 1 };
    EvalOptions o = EVAL_DEFAULT;
    Operands model;
    const Option table[] = { EVAL_OPTIONS(o), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    return status >= 0 ? status : tool_eval_file(model.v[0], model.v[0], &o);
}

static int later_command(int argc, char **argv)
{
    (void)argc;
    return tool_fail("'ingot-run %s' comes in a later version than " INGOT_VERSION, argv[0]);
}

static const Subcommand subcommands[] = {
    { "run", run_command, "run a model once" },
    { "bench", bench_command, "time a model" },
    { "inspect", inspect_command, "print what a model needs and gives" },
    { "eval", eval_command, "measure top-1 and top-5 accuracy" },
    { "test", later_command, "run a model on ONNX test data" },
    { NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
    return options_dispatch("ingot-run", "Runs models that ingot has compiled. Needs no compiler and no other file.", subcommands, argc, argv);
}
