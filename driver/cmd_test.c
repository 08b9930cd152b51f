/* cmd_test.c -- ingot test: runs ONNX backend tests, each in a child process with a time limit, so that a crash or a hang is a counted failure.
 *
 * A ratchet is a text file that lists the tests known to fail, one name per line (# starts a comment). With it the command fails on every
 * difference: a new failure, or a listed test that passes; --bless writes the list anew. Tests that were not run keep their lines.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "outfile.h"
#include "testcase.h"

enum { MAX_JOBS = 64, DEFAULT_TIMEOUT = 60 };

typedef struct Outcome {
    int verdict;                    /* TEST_* */
    const char *reason;             /* of a failure */
    bool expected;                  /* the ratchet lists it as failing */
    double seconds;
    int64_t peak_mb;                /* of its process, and of the runner's */
} Outcome;

typedef struct Job {
    pid_t pid;                      /* 0: free */
    int test;
    FILE *log;                      /* the child's stderr */
    ScratchDir scratch;             /* removed by the parent: the child may crash */
    double begun;
} Job;

typedef struct Suite {
    Arena *a;
    Diag d;
    TestOptions o;
    TestList tests;
    Outcome *outcome;
    Job job[MAX_JOBS];
    const char *ratchet, *only;
    bool bless, verbose;
    int64_t jobs, memory;           /* memory: MB, more fails a test; 0: any */
    int count[3], done;
} Suite;

static double now(void)
{
    struct timeval t;
    gettimeofday(&t, NULL);
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

/* ---- children ---- */

static bool start(Suite *s, Job *job, int test)
{
    *job = (Job){ .test = test, .log = tmpfile(), .begun = now() };
    if (!job->log)
        return tool_fail("no temporary file: %s", strerror(errno)), false;
    if (!scratchdir_make(&job->scratch))
        return false;
    fflush(NULL);
    job->pid = fork();
    if (job->pid < 0)
        return tool_fail("no new process: %s", strerror(errno)), false;
    if (job->pid == 0) {
        dup2(fileno(job->log), STDERR_FILENO);
        alarm((unsigned)s->o.timeout);
        int verdict = test_run(&s->tests.v[test], &s->o, job->scratch.path);
        fflush(NULL);
        _exit(verdict);
    }
    return true;
}

/* The first "error: ..." line of the child's stderr, else its last line, else "". */
static const char *find_reason(Suite *s, FILE *log)
{
    char line[600];
    const char *last = "";
    rewind(log);
    while (fgets(line, sizeof line, log)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "error: ", 7))
            return arena_str(s->a, line + 7);
        last = arena_str(s->a, line);
    }
    return last;
}

static Outcome judge(Suite *s, const Job *job, int status)
{
    const char *said = find_reason(s, job->log);
    if (WIFEXITED(status) && WEXITSTATUS(status) <= TEST_SKIPPED)
        return (Outcome){ .verdict = WEXITSTATUS(status), .reason = said };
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return (Outcome){ .verdict = TEST_FAILED, .reason = arena_printf(s->a, "no result after %lld s", (long long)s->o.timeout) };
    if (WIFSIGNALED(status))
        return (Outcome){ .verdict = TEST_FAILED, .reason = arena_printf(s->a, "CRASH: signal %d (%s) %s", WTERMSIG(status), strsignal(WTERMSIG(status)), said) };
    return (Outcome){ .verdict = TEST_FAILED, .reason = arena_printf(s->a, "CRASH: exit status %d %s", WEXITSTATUS(status), said) };
}

/* Linux counts ru_maxrss in KB. */
static Outcome weigh(Suite *s, const Job *job, int status, const struct rusage *use)
{
    Outcome r = judge(s, job, status);
    r.seconds = now() - job->begun;
    r.peak_mb = use->ru_maxrss / 1024;
    if (s->memory && r.peak_mb > s->memory && r.verdict == TEST_PASSED) {
        r.verdict = TEST_FAILED;
        r.reason = arena_printf(s->a, "passes, but takes %lld MB; %lld are allowed", (long long)r.peak_mb, (long long)s->memory);
    }
    return r;
}

static bool finish_one(Suite *s)
{
    int status;
    struct rusage use;
    pid_t pid = wait4(-1, &status, 0, &use);
    if (pid < 0)
        return tool_fail("waiting for a test: %s", strerror(errno)), false;
    for (int i = 0; i < s->jobs; i++)
        if (s->job[i].pid == pid) {
            s->outcome[s->job[i].test] = weigh(s, &s->job[i], status, &use);
            fclose(s->job[i].log);
            scratchdir_remove(&s->job[i].scratch);
            s->job[i].pid = 0;
            s->done++;
        }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%d of %d\033[K%s", s->done, s->tests.n, s->done == s->tests.n ? "\r\033[K" : "");
    return true;
}

static bool run_all(Suite *s)
{
    int next = 0, running = 0;
    while (next < s->tests.n || running) {
        Job *idle = NULL;
        for (int i = 0; i < s->jobs; i++)
            if (!s->job[i].pid)
                idle = &s->job[i];
        if (next < s->tests.n && idle) {
            if (!start(s, idle, next++))
                return false;
            running++;
        } else {
            if (!finish_one(s))
                return false;
            running--;
        }
    }
    return true;
}

/* ---- ratchet ---- */

static int find_test(const Suite *s, const char *name)
{
    for (int i = 0; i < s->tests.n; i++)
        if (!strcmp(s->tests.v[i].name, name))
            return i;
    return -1;
}

/* Marks what the list expects to fail. others: names that were not run, for --bless. A missing file is an empty list when blessing. */
static bool read_ratchet(Suite *s, StrVec *others)
{
    char line[600];
    int room = 0;
    const char **names = NULL;
    FILE *f = fopen(s->ratchet, "r");
    if (!f)
        return s->bless || (tool_fail("%s: %s", s->ratchet, strerror(errno)), false);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "# \t\r\n")] = 0;
        int test = line[0] ? find_test(s, line) : -1;
        if (test >= 0)
            s->outcome[test].expected = true;
        if (!line[0] || test >= 0)
            continue;
        if (others->n == room) {
            const char **grown = ARENA_ARRAY(s->a, const char *, room = 2 * room + 16);
            if (others->n)
                memcpy(grown, names, sizeof *names * (size_t)others->n);
            names = grown;
        }
        names[others->n++] = arena_str(s->a, line);
    }
    others->v = names;
    fclose(f);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool write_ratchet(Suite *s, StrVec others)
{
    const char **names = ARENA_ARRAY(s->a, const char *, s->tests.n + others.n + 1);
    int n = 0;
    for (int i = 0; i < others.n; i++)
        names[n++] = others.v[i];
    for (int i = 0; i < s->tests.n; i++)
        if (s->outcome[i].verdict == TEST_FAILED)
            names[n++] = s->tests.v[i].name;
    qsort(names, (size_t)n, sizeof *names, compare_names);
    OutFile out;
    if (!outfile_open(&out, &s->d, s->ratchet))
        return false;
    fputs("# Tests that are known to fail; `ingot test --ratchet FILE --bless DIR...` writes this list.\n", out.f);
    for (int i = 0; i < n; i++)
        fprintf(out.f, "%s\n", names[i]);
    return outfile_commit(&out);
}

/* ---- report ---- */

static void print_outcomes(Suite *s)
{
    for (int i = 0; i < s->tests.n; i++) {
        const Outcome *r = &s->outcome[i];
        s->count[r->verdict]++;
        if (r->verdict == TEST_FAILED && (s->verbose || !r->expected))
            printf("FAIL %s: %s\n", s->tests.v[i].name, r->reason);
        else if (s->verbose)
            printf("%s %s\n", r->verdict == TEST_PASSED ? "pass" : r->verdict == TEST_FAILED ? "known" : "skip", s->tests.v[i].name);
    }
}

/* What the suite cost, and which tests the most. */
static void print_cost(const Suite *s, double seconds)
{
    int largest = 0, slowest = 0;
    for (int i = 1; i < s->tests.n; i++) {
        largest = s->outcome[i].peak_mb > s->outcome[largest].peak_mb ? i : largest;
        slowest = s->outcome[i].seconds > s->outcome[slowest].seconds ? i : slowest;
    }
    printf("%.0f s; slowest: %s, %.1f s; largest: %s, %lld MB\n", seconds, s->tests.v[slowest].name, s->outcome[slowest].seconds, s->tests.v[largest].name,
           (long long)s->outcome[largest].peak_mb);
}

static int print_summary(const Suite *s)
{
    int surprises = 0;
    for (int i = 0; i < s->tests.n && s->ratchet && !s->bless; i++) {
        const Outcome *r = &s->outcome[i];
        bool failed = r->verdict == TEST_FAILED;
        if (r->verdict == TEST_SKIPPED || failed == r->expected)
            continue;
        surprises++;
        printf("%s: %s\n", failed ? "new failure" : "unexpected pass (take it off the list, or --bless)", s->tests.v[i].name);
    }
    printf("%d passed, %d failed, %d skipped\n", s->count[TEST_PASSED], s->count[TEST_FAILED], s->count[TEST_SKIPPED]);
    return s->ratchet ? surprises > 0 : s->count[TEST_FAILED] > 0 || s->count[TEST_PASSED] == 0;
}

static void keep_only(TestList *list, const char *word)
{
    int n = 0;
    for (int i = 0; i < list->n; i++)
        if (strstr(list->v[i].name, word))
            list->v[n++] = list->v[i];
    list->n = n;
}

static int run_suite(Suite *s, const Operands *dirs)
{
    StrVec others = { 0, NULL };
    for (int i = 0; i < dirs->n; i++)
        if (!tests_find(s->a, dirs->v[i], &s->tests))
            return 1;
    if (s->only)
        keep_only(&s->tests, s->only);
    if (!s->tests.n)
        return tool_fail("no tests (folders with model.onnx) there");
    s->outcome = ARENA_ARRAY(s->a, Outcome, s->tests.n);
    s->jobs = s->jobs < 1 ? 1 : s->jobs > MAX_JOBS ? MAX_JOBS : s->jobs;
    double begun = now();
    if (!run_all(s))
        return 1;
    double seconds = now() - begun;
    if (s->ratchet && !read_ratchet(s, &others))
        return 1;
    print_outcomes(s);
    print_cost(s, seconds);
    if (s->ratchet && s->bless && !write_ratchet(s, others))
        return 1;
    return print_summary(s);
}

int cmd_test(int argc, char **argv)
{
    const Command c = { "ingot", "test", "DIR...", "Run ONNX backend tests: folders with model.onnx and test_data_set_N, or above such.", 1, -1 };
    Suite s = { .a = arena_new(), .o = { .build = BUILD_DEFAULT, .threads = 1, .timeout = DEFAULT_TIMEOUT }, .jobs = 1 };
    Operands dirs;
    const Option table[] = {
        { "eval", 0, OPT_FLAG, NULL, "test the reference evaluator instead of compiled code", &s.o.eval },
        TARGET_OPTIONS(s.o.build),
        { "runner", 0, OPT_TEXT, "CMD", "run the compiled models by CMD, an ingot-run of the target", &s.o.runner },
        { "ratchet", 0, OPT_TEXT, "FILE", "tests that are expected to fail; any difference is an error", &s.ratchet },
        { "bless", 0, OPT_FLAG, NULL, "write the list of --ratchet anew", &s.bless },
        { "jobs", 0, OPT_INT, "N", "tests at once (default 1)", &s.jobs },
        { "timeout", 0, OPT_INT, "S", "seconds until a test counts as failed (default 60; 0: never)", &s.o.timeout },
        { "memory", 0, OPT_INT, "MB", "a test that takes more memory than that fails (default: any amount passes)", &s.memory },
        { "only", 0, OPT_TEXT, "TEXT", "only tests whose name contains TEXT", &s.only },
        { "verbose", 'v', OPT_FLAG, NULL, "a line per test", &s.verbose },
        THREADS_OPTION(s.o), PASS_OPTIONS(s.o.build), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &dirs);
    if (status < 0)
        status = pipeline_check(&c, &s.o.build);
    if (status >= 0)
        return status;
    if (s.bless && !s.ratchet)
        return options_misuse(&c, "--bless needs --ratchet FILE");
    diag_init(&s.d, s.a, stderr);
    status = run_suite(&s, &dirs);
    arena_free(s.a);
    return status;
}
