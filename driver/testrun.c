/* testrun.c -- one ONNX backend test: build the model, then for every data set feed its inputs and compare its outputs.
 *
 * Three ways to run, behind one function (ToolModel.run): the evaluator, compiled code in this process, compiled code under a runner command.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attrs.h"
#include "frontend.h"
#include "npy.h"
#include "testcase.h"

typedef struct TestRun {
    const TestCase *t;
    const TestOptions *o;
    Arena *a;
    Diag d;
    Module *m;
    const char *scratch;
    char so[600];
    ToolSession session;
    Evaluator evaluator;
    ToolModel runs;
    bool draws;                     /* numbers of our own choice: results are compared by property */
} TestRun;

/* ---- by a runner ---- */

static void put_word(const char **argv, int *n, int room, const char *word)
{
    if (*n < room - 1)
        argv[(*n)++] = word;
}

/* RUNNER run model.so --input NAME=FILE ... --output DIR */
static const char **runner_command(TestRun *r, int nin)
{
    int n = 0, room = 32 + 2 * nin;
    const char **argv = ARENA_ARRAY(r->a, const char *, room);
    char *save, *text = arena_str(r->a, r->o->runner);
    for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
        put_word(argv, &n, 24, word);
    put_word(argv, &n, room, "run");
    put_word(argv, &n, room, r->so);
    put_word(argv, &n, room, "--output");
    put_word(argv, &n, room, r->scratch);
    for (int i = 0; i < nin; i++) {
        put_word(argv, &n, room, "--input");
        put_word(argv, &n, room, arena_printf(r->a, "%s=%s/input-%d%s", r->runs.ports->input[i].name, r->scratch, i, tool_extension(&r->runs.ports->input[i])));
    }
    return argv;
}

static bool wait_for(const char **argv, int64_t timeout)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        alarm((unsigned)timeout);           /* survives exec */
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        tool_fail("%s: %s", argv[0], strerror(errno));
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return tool_fail("%s: %s", argv[0], strerror(errno)), false;
    if (WIFSIGNALED(status))
        return tool_fail("the runner was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status))), false;
    return WEXITSTATUS(status) == 0 || (tool_fail("the runner failed with status %d", WEXITSTATUS(status)), false);
}

static int run_by_runner(void *self, const ingot_tensor *in, ingot_tensor *out, ingot_error *err)
{
    TestRun *r = self;
    const ingot_model *m = r->runs.ports;
    char path[1024];
    for (int i = 0; i < m->n_inputs; i++) {
        snprintf(path, sizeof path, "%s/input-%d%s", r->scratch, i, tool_extension(&m->input[i]));
        int status = tool_value_write(path, &in[i], err);
        if (status)
            return status;
    }
    if (!wait_for(runner_command(r, m->n_inputs), r->o->timeout)) {
        snprintf(err->text, sizeof err->text, "the runner failed");
        return err->status = INGOT_ERR_INTERNAL;
    }
    for (int i = 0; i < m->n_outputs; i++) {
        tool_tensor_file(r->scratch, &m->output[i], path, sizeof path);
        int status = tool_value_read(path, &m->output[i], &out[i], err);
        if (status)
            return status;
    }
    return INGOT_OK;
}

/* ---- set up ---- */

static bool compile_test(TestRun *r)
{
    CompileOptions code = { .output = r->so, .kind = OUT_SO };
    snprintf(r->so, sizeof r->so, "%s/model.so", r->scratch);
    return pipeline_module(r->m, &r->o->build, &code);
}

/* What mt19937 draws is defined and must be met. */
static bool draws_freely(const Graph *g)
{
    for (const Node *n = g->first; n; n = n->next) {
        if (n->op == OP_random && !strcmp(NODE_ATTR(n, random)->kind, "counter"))
            return true;
        FOR_EACH_ATTR(f, n->op) {
            const Graph *nested = f->kind == AK_graph ? *(Graph *const *)attr_at(f, n->attrs) : NULL;
            if (nested && draws_freely(nested))
                return true;
        }
    }
    return false;
}

static bool prepare(TestRun *r)
{
    r->m = pipeline_import(r->a, &r->d, r->t->model, &r->o->build);
    if (!r->m)
        return false;
    r->draws = draws_freely(r->m->graph);
    r->runs = (ToolModel){ .name = r->t->name, .ports = describe_module(r->m), .self = r };
    if (r->o->eval) {
        r->evaluator = (Evaluator){ r->m, r->a };
        r->runs.run = evaluator_run;
        r->runs.self = &r->evaluator;
        return true;
    }
    if (!compile_test(r))
        return false;
    if (r->o->runner) {
        r->runs.run = run_by_runner;
        return true;
    }
    if (!tool_open(r->so, r->t->name, r->o->threads, &r->session))
        return false;
    r->runs = r->session.model;
    return true;
}

/* ---- data ---- */

static ingot_tensor value_to_runtime(Arena *a, const OnnxValue *v)
{
    if (v->kind == TY_TENSOR)
        return tensor_to_runtime(a, v->tensor);
    ingot_tensor *item = ARENA_ARRAY(a, ingot_tensor, v->n + 1);
    for (int i = 0; i < v->n; i++)
        item[i] = value_to_runtime(a, &v->item[i]);
    return (ingot_tensor){ .data = item, .dtype = container_code(v->kind), .rank = 1, .dim = { v->n } };
}

static TypeKind kind_of(const ingot_port *p)
{
    return p->dtype == INGOT_SEQUENCE ? TY_SEQUENCE : p->dtype == INGOT_OPTIONAL ? TY_OPTIONAL : TY_TENSOR;
}

/* Values PREFIX0.pb, PREFIX1.pb... into t, at most as many as there are ports. Returns how many files there are, or -1 after reporting. */
static int read_values(TestRun *r, const char *prefix, ingot_tensor *t, int room, const ingot_port *port)
{
    int n = 0;
    for (const char *path; !access(path = arena_printf(r->a, "%s%d.pb", prefix, n), R_OK); n++) {
        const OnnxValue *x = n < room ? onnx_read_value(r->a, &r->d, path, kind_of(&port[n])) : NULL;
        if (n < room && !x)
            return -1;
        if (x)
            t[n] = value_to_runtime(r->a, x);
    }
    return n;
}

/* A light model's input: element i of n is i / n. */
static bool make_ramp(TestRun *r, ingot_tensor *t)
{
    const ingot_port *p = &r->runs.ports->input[0];
    if (r->runs.ports->n_inputs != 1 || p->dtype != INGOT_f32)
        return tool_fail("a light model has one input of type f32"), false;
    *t = (ingot_tensor){ .dtype = p->dtype, .rank = p->rank };
    for (int i = 0; i < p->rank; i++)
        t->dim[i] = p->dim[i] < 0 ? 1 : p->dim[i];
    int64_t n = ingot_count(t);
    float *x = t->data = arena_alloc(r->a, (size_t)n * sizeof *x + 64);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((double)i / (double)n);
    return true;
}

/* Containers agree if their items do. */
static bool compare_values(const TestRun *r, const char *name, const ingot_tensor *got, const ingot_tensor *want)
{
    char why[400];
    if (want->dtype >= INGOT_SEQUENCE) {
        if (got->dtype != want->dtype || got->dim[0] != want->dim[0])
            return tool_fail("%s: %lld items of kind %d, expected %lld of kind %d", name, (long long)got->dim[0], (int)got->dtype, (long long)want->dim[0],
                             (int)want->dtype), false;
        for (int64_t i = 0; i < want->dim[0]; i++)
            if (!compare_values(r, arena_printf(r->a, "%s, item %lld", name, (long long)i), &((ingot_tensor *)got->data)[i], &((ingot_tensor *)want->data)[i]))
                return false;
        return true;
    }
    const Tensor *g = tensor_of_runtime(r->a, got), *w = tensor_of_runtime(r->a, want);
    if (r->draws ? compare_samples(name, g, w, why, sizeof why) : compare_tensors(name, g, w, r->t->rtol, r->t->atol, why, sizeof why))
        return true;
    return tool_fail("%s", why), false;
}

static bool compare_output(const TestRun *r, int i, const ingot_tensor *got, const ingot_tensor *want)
{
    return compare_values(r, arena_printf(r->a, "output '%s'", r->runs.ports->output[i].name), got, want);
}

/* in: given inputs, n of them. expected: path prefix of the outputs ("..._"). */
static bool check_set(TestRun *r, const ingot_tensor *in, int n, const char *expected)
{
    const ingot_model *m = r->runs.ports;
    ingot_error err = { 0 };
    if (n != m->n_inputs)
        return n < 0 ? false : (tool_fail("the test has %d inputs, the model %d", n, m->n_inputs), false);
    ingot_tensor *out = ARENA_ARRAY(r->a, ingot_tensor, m->n_outputs + 1), *want = ARENA_ARRAY(r->a, ingot_tensor, m->n_outputs + 1);
    if (r->runs.run(r->runs.self, in, out, &err))
        return tool_fail("%s", err.text), false;
    int nwant = read_values(r, expected, want, m->n_outputs, m->output);
    if (nwant != m->n_outputs)
        return nwant < 0 ? false : (tool_fail("the test has %d outputs, the model %d", nwant, m->n_outputs), false);
    bool ok = true;
    for (int i = 0; i < nwant; i++)
        ok &= compare_output(r, i, &out[i], &want[i]);
    return ok;
}

static bool check_light(TestRun *r)
{
    ingot_tensor in;
    const char *zero = strrchr(r->t->expected, '0');
    return make_ramp(r, &in) && check_set(r, &in, 1, arena_strn(r->a, r->t->expected, (size_t)(zero - r->t->expected)));
}

static bool check_folder(TestRun *r)
{
    int room = r->runs.ports->n_inputs, set = 0;
    ingot_tensor *in = ARENA_ARRAY(r->a, ingot_tensor, room + 1);
    for (;; set++) {
        const char *dir = arena_printf(r->a, "%s/test_data_set_%d", r->t->folder, set);
        if (access(dir, R_OK))
            return true;
        int n = read_values(r, arena_printf(r->a, "%s/input_", dir), in, room, r->runs.ports->input);
        if (!check_set(r, in, n, arena_printf(r->a, "%s/output_", dir)))
            return false;
    }
}

int test_run(const TestCase *t, const TestOptions *o, const char *scratch)
{
    TestRun r = { .t = t, .o = o, .a = arena_new(), .scratch = scratch };
    if (t->folder && access(arena_printf(r.a, "%s/test_data_set_0", t->folder), R_OK))
        return TEST_SKIPPED;
    diag_init(&r.d, r.a, stderr);
    bool ok = prepare(&r) && (t->folder ? check_folder(&r) : check_light(&r));
    tool_close(&r.session);
    arena_free(r.a);
    return ok ? TEST_PASSED : TEST_FAILED;
}
