/* runner.h -- what test_gen_formula.c and runner.c agree on. */
#ifndef INGOT_TEST_RUNNER_H
#define INGOT_TEST_RUNNER_H

enum { RUNNER_N = 768, RUNNER_SETS = 90, RUNNER_SET_BYTES = RUNNER_N * 8 };   /* elements per operand; operands; bytes of the widest */

typedef struct Job { int a, b, c, out_bytes; } Job;     /* numbers of operand sets */

#endif
