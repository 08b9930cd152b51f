/* cmd_run.c -- ingot run: a .so runs as it is; an .onnx is compiled to a temporary .so first, or evaluated by the reference evaluator (--eval). */
#include "driver.h"

/* With a model that is compiled here, --dim fixes a size for good: the code is as fast as it can be for that size. */
static void move_dims(FeedOptions *feed, BuildOptions *build)
{
    build->dim = feed->dim;
    feed->dim = (TextList){ .n = 0 };
}

static int run_compiled(const char *path, const RunOptions *o, const BuildOptions *b)
{
    ScratchDir s;
    char so[600];
    if (!pipeline_temporary(path, b, &s, so, sizeof so))
        return 1;
    ToolSession session;
    int status = 1;
    if (tool_open(so, path, o->threads, &session)) {
        status = tool_run(&session.model, o);
        tool_close(&session);
    }
    scratchdir_remove(&s);
    return status;
}

static int run_evaluated(const char *path, const RunOptions *o, const BuildOptions *b)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, stderr);
    Module *m = pipeline_import(a, &d, path, b);
    Evaluator e = { m, a };
    ToolModel t = { .name = path, .ports = m ? describe_module(m) : NULL, .run = evaluator_run, .self = &e };
    int status = m ? tool_run(&t, o) : 1;
    arena_free(a);
    return status;
}

int cmd_run(int argc, char **argv)
{
    const Command c = { "ingot", "run", "MODEL(.onnx|.so)", "Run a model once.", 1, 1 };
    RunOptions o = { .threads = 1 };
    BuildOptions b = BUILD_DEFAULT;
    bool eval = false;
    Operands model;
    const Option table[] = { RUN_OPTIONS(o), { "eval", 0, OPT_FLAG, NULL, "use the reference evaluator (.onnx only)", &eval },
                             IMPORT_OPTIONS(b), PASS_OPTIONS(b), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0)
        status = pipeline_check(&c, &b);
    if (status >= 0)
        return status;
    if (tool_is_compiled(model.v[0]))
        return eval ? options_misuse(&c, "--eval needs an .onnx, not a compiled model") : tool_run_file(model.v[0], &o);
    move_dims(&o.feed, &b);
    return eval ? run_evaluated(model.v[0], &o, &b) : run_compiled(model.v[0], &o, &b);
}
