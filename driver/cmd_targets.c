/* cmd_targets.c -- ingot targets: what --target and --cpu accept. */
#include "driver.h"

int cmd_targets(int argc, char **argv)
{
    const Command c = { "ingot", "targets", "", "List the machines that can be compiled for.", 0, 0 };
    Operands none;
    const Option table[] = { OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &none);
    if (status >= 0)
        return status;
    targets_print(stdout);
    return 0;
}
