/* main.c -- the `ingot` command: finds the subcommand and hands over. The table of subcommands is subcommands.def. */
#include <stdio.h>
#include <string.h>

#include "driver.h"

typedef struct Subcommand {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *summary;
} Subcommand;

static const Subcommand subcommands[] = {
#define SUBCOMMAND(name, summary) { #name, cmd_##name, summary },
#include "subcommands.def"
#undef SUBCOMMAND
    { NULL, NULL, NULL },
};

static int print_usage(FILE *out, int status)
{
    fputs("usage: ingot COMMAND ... [options]\n\ningot casts a trained ONNX model into one native file.\n\n", out);
    for (const Subcommand *s = subcommands; s->name; s++)
        fprintf(out, "  %-10s %s\n", s->name, s->summary);
    fputs("\n'ingot COMMAND --help' lists the options of a command.\n", out);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return print_usage(stderr, 2);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
        return tool_finish(print_usage(stdout, 0));
    if (!strcmp(argv[1], "--version"))
        return puts("ingot " INGOT_VERSION), 0;
    for (const Subcommand *s = subcommands; s->name; s++)
        if (!strcmp(argv[1], s->name))
            return tool_finish(s->main(argc - 1, argv + 1));
    const char *near = options_nearest(argv[1], subcommands, sizeof *subcommands);
    fprintf(stderr, "ingot: unknown command '%s'%s%s%s (see 'ingot --help')\n", argv[1], near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return 2;
}
