/* cmd_later.c -- subcommands of the command line's contract that this version does not have. */
#include "driver.h"

static int not_yet(char **argv)
{
    return tool_fail("'ingot %s' comes in a later version than " INGOT_VERSION, argv[0]);
}

int cmd_compress(int argc, char **argv) { (void)argc; return not_yet(argv); }
