/* testcase.h -- ONNX backend tests: finding them (testfind.c) and running one (testrun.c). */
#ifndef INGOT_TESTCASE_H
#define INGOT_TESTCASE_H

#include "driver.h"

typedef struct TestCase {
    const char *name;               /* "node/test_abs": the folder and the one above it */
    const char *model;              /* path of the .onnx */
    const char *folder;             /* holds test_data_set_N; NULL: a light model */
    const char *expected;           /* light model: its output as a TensorProto */
    double rtol, atol;
} TestCase;

typedef struct TestList {
    int n, room;
    TestCase *v;
} TestList;

/* Add the tests at or below dir, in the order of their names. Strings live in a. Reports and returns false if dir cannot be read. */
bool tests_find(Arena *a, const char *dir, TestList *list);

typedef struct TestOptions {
    BuildOptions build;
    bool eval;                      /* by the evaluator instead of compiled code */
    const char *runner;             /* command that runs models of the target, e.g. "qemu-aarch64-static ingot-run"; NULL: in this process */
    int64_t threads, timeout;       /* timeout in seconds, 0: none */
} TestOptions;

enum { TEST_PASSED = 0, TEST_FAILED = 1, TEST_SKIPPED = 2 };
/* Run one test in this process (which it may bring down): TEST_*; the first "error: ..." line on stderr is the reason of a failure.
 * scratch: a folder for its files that the caller removes. */
int test_run(const TestCase *t, const TestOptions *o, const char *scratch);

#endif
