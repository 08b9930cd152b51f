/* main.c -- the `ingot` command: finds the subcommand and hands over. The table of subcommands is subcommands.def. */
#include "driver.h"

static const Subcommand subcommands[] = {
#define SUBCOMMAND(name, summary) { #name, cmd_##name, summary },
#include "subcommands.def"
#undef SUBCOMMAND
    { NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
    return options_dispatch("ingot", "ingot casts a trained ONNX model into one native file.", subcommands, argc, argv);
}
