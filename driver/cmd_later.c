/* cmd_later.c -- subcommands of the command line's contract that this version does not have. */
#include <stdio.h>

#include "driver.h"

static int not_yet(char **argv)
{
    fprintf(stderr, "error: 'ingot %s' comes in a later version than " INGOT_VERSION "\n", argv[0]);
    return 1;
}

int cmd_quantize(int argc, char **argv) { (void)argc; return not_yet(argv); }
int cmd_prune(int argc, char **argv) { (void)argc; return not_yet(argv); }
int cmd_compress(int argc, char **argv) { (void)argc; return not_yet(argv); }
int cmd_eval(int argc, char **argv) { (void)argc; return not_yet(argv); }
int cmd_verify(int argc, char **argv) { (void)argc; return not_yet(argv); }
