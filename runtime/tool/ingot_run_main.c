/* ingot_run_main.c -- ingot-run: run, time and inspect compiled models. Needs no compiler and no other file; linked statically. */
#include <stdio.h>
#include <string.h>

#include "tool.h"

static int run_command(int argc, char **argv)
{
    const Command c = { "ingot-run", "run", "MODEL.so", "Run a compiled model once.", 1, 1 };
    RunOptions o = { .threads = 1 };
    TextList model;
    const Option table[] = { RUN_OPTIONS(o), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    return status >= 0 ? status : tool_run_file(model.v[0], &o);
}

static int bench_command(int argc, char **argv)
{
    const Command c = { "ingot-run", "bench", "MODEL.so", "Time a compiled model.", 1, 1 };
    BenchOptions o = { .threads = 1 };
    TextList model;
    const Option table[] = { BENCH_OPTIONS(o), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    return status >= 0 ? status : tool_bench_file(model.v[0], model.v[0], &o);
}

static int inspect_command(int argc, char **argv)
{
    const Command c = { "ingot-run", "inspect", "MODEL.so", "Print inputs, outputs and requirements of a compiled model.", 1, 1 };
    bool json = false;
    TextList model;
    const Option table[] = { { "json", 0, OPT_FLAG, NULL, "print one line of JSON", &json }, OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    return status >= 0 ? status : tool_inspect_file(model.v[0], json);
}

static int later_command(int argc, char **argv)
{
    (void)argc;
    return tool_fail("'ingot-run %s' comes in a later version than " INGOT_VERSION, argv[0]);
}

typedef struct Subcommand {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *summary;
} Subcommand;

static const Subcommand subcommands[] = {
    { "run", run_command, "run a model once" },
    { "bench", bench_command, "time a model" },
    { "inspect", inspect_command, "print what a model needs and gives" },
    { "eval", later_command, "measure top-1 and top-5 accuracy" },
    { "test", later_command, "run a model on ONNX test data" },
    { NULL, NULL, NULL },
};

static int print_usage(FILE *out, int status)
{
    fputs("usage: ingot-run COMMAND MODEL.so [options]\n\n", out);
    for (const Subcommand *s = subcommands; s->name; s++)
        fprintf(out, "  %-10s %s\n", s->name, s->summary);
    fputs("\n'ingot-run COMMAND --help' lists the options of a command.\n", out);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return print_usage(stderr, 2);
    if (!strcmp(argv[1], "--help"))
        return tool_finish(print_usage(stdout, 0));
    if (!strcmp(argv[1], "--version"))
        return puts("ingot-run " INGOT_VERSION), 0;
    for (const Subcommand *s = subcommands; s->name; s++)
        if (!strcmp(argv[1], s->name))
            return tool_finish(s->main(argc - 1, argv + 1));
    const char *near = options_nearest(argv[1], subcommands, sizeof *subcommands);
    fprintf(stderr, "ingot-run: unknown command '%s'%s%s%s (see 'ingot-run --help')\n", argv[1], near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return 2;
}
