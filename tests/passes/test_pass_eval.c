/* test_pass_eval.c -- every pass keeps what a model computes: real models are evaluated as imported and again after each pass of every pipeline.
 *
 * The models are those of the shared folder beside the source tree; without it the tests are skipped. INGOT_TEST_MODELS names others ("dir dir").
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval.h"
#include "frontend.h"
#include "npy.h"
#include "pass.h"

enum { MAX_PORTS = 64 };

static const char *const models[] = { "mnist-mlp", "mnist-cnn-8", "mnist-cnn-bn", "mnist-vit", "tab-lgbm", "tab-logreg-digits",
                                      "int8-kws-fp32", "int8-kws-qdq", "int8-kws-qoperator", "int8-mnist-dynamic", "cifar-resnet20-bn" };

typedef struct Case {
    Arena *arena;
    Diag diag;
    Module *m;
    char dir[512];
    int nin, nout;
    const Tensor *in[MAX_PORTS], *want[MAX_PORTS];
    const char *name;
    bool failed;
} Case;

/* ---- inputs ---- */

static const Tensor *read_input(Case *c, const char *name)
{
    char path[1024];
    ingot_tensor t;
    ingot_error err;
    int n = snprintf(path, sizeof path, "%s/inputs/%s", c->dir, name);
    for (char *s = path + n - strlen(name); *s; s++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", *s))
            *s = '_';
    snprintf(path + n, sizeof path - (size_t)n, ".npy");
    if (ingot_tensor_read(path, 0, &t, &err) != INGOT_OK)
        return NULL;
    Tensor *copy = tensor_new(c->arena, dtype_from_onnx(t.dtype), t.rank, t.dim);
    memcpy((void *)(uintptr_t)copy->data, t.data, tensor_bytes(copy));
    free(t.data);
    return copy;
}

static bool open_case(Case *c, const char *dir)
{
    char path[600];
    Value *input[MAX_PORTS];
    *c = (Case){ .arena = arena_new(), .name = strrchr(dir, '/') ? strrchr(dir, '/') + 1 : dir };
    snprintf(c->dir, sizeof c->dir, "%s", dir);
    snprintf(path, sizeof path, "%s/model.onnx", dir);
    diag_init(&c->diag, c->arena, stderr);
    if (!(c->m = onnx_import(c->arena, &c->diag, path, &(ImportOptions){ 0 })))
        return false;
    c->nin = graph_inputs(c->m->graph, input, MAX_PORTS);
    c->nout = graph_return(c->m->graph)->nin;
    for (int i = 0; i < c->nin; i++)
        if (!(c->in[i] = read_input(c, input[i]->name))) {
            print_error("%s: no input %s\n", c->name, input[i]->name);
            return false;
        }
    return c->nin <= MAX_PORTS && c->nout <= MAX_PORTS && eval_module(c->m, c->arena, c->nin, c->in, c->want);
}

/* ---- comparison ---- */

static bool close_enough(double a, double b, bool exact)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    return a == b || (!exact && fabs(a - b) <= 2e-4 + 2e-3 * fabs(a));
}

static bool same(const Tensor *a, const Tensor *b)
{
    bool exact = !dtype_is_float(a->dtype);
    if (a->dtype != b->dtype || a->rank != b->rank || a->count != b->count || memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->rank) != 0)
        return false;
    for (int64_t i = 0; a->dtype != DT_str && i < a->count; i++)
        if (!close_enough(tensor_get_f64(a, i), tensor_get_f64(b, i), exact))
            return false;
    return true;
}

static void check_after(void *ctx, Module *m, const char *pass)
{
    Case *c = ctx;
    Arena *a = arena_new();
    const Tensor *out[MAX_PORTS] = { NULL };
    bool ok = !c->failed && eval_module(m, a, c->nin, c->in, out);
    for (int i = 0; ok && i < c->nout; i++)
        if (!same(c->want[i], out[i])) {
            print_error("%s: output %d differs after %s\n", c->name, i, pass);
            ok = false;
        }
    c->failed |= !ok;
    arena_free(a);
}

static bool run_model(const char *dir, int level)
{
    Case c;
    bool ok = open_case(&c, dir);
    PassOptions opt = PASS_OPTIONS_DEFAULT;
    opt.level = level;
    opt.verify = true;
    opt.after = check_after;
    opt.after_ctx = &c;
    ok = ok && passes_run(c.m, &opt) && !c.failed;
    if (!ok)
        print_error("%s fails at -O%d\n", dir, level);
    arena_free(c.arena);
    return ok;
}

static void every_pass_keeps_results(void **state)
{
    const char *given = getenv("INGOT_TEST_MODELS");
    char dir[512];
    bool ok = true;
    (void)state;
    if (!given && access(SOURCE_DIR "/../shared/models", R_OK) != 0)
        skip();
    for (size_t i = 0; !given && i < sizeof models / sizeof *models; i++) {
        snprintf(dir, sizeof dir, SOURCE_DIR "/../shared/models/%s", models[i]);
        ok &= run_model(dir, 0);
        ok &= run_model(dir, 2);
    }
    for (const char *s = given ? given : ""; *s; s += strcspn(s, " "), s += strspn(s, " ")) {
        snprintf(dir, sizeof dir, "%.*s", (int)strcspn(s, " "), s);
        ok &= run_model(dir, 2);
    }
    assert_true(ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_pass_keeps_results) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
