/* cmd_profile.c -- ingot profile: compile a model for this machine with marks between its kernels, and say where the time goes. */
#include "profile.h"
#include "tune.h"

int cmd_profile(int argc, char **argv)
{
    const Command c = { "ingot", "profile", "MODEL(.onnx|.irt)",
                        "Time every kernel of a model and say what bounds it: arithmetic, memory, or neither (latency).", 1, 1 };
    ProfileOptions o = { .build = BUILD_DEFAULT, .threads = 1, .top = 20 };
    TuneOptions tune = { .tune = false };
    Operands model;
    const Option table[] = {
        FEED_OPTIONS(o.feed), THREADS_OPTION(o),
        { "runs", 0, OPT_INT, "N", "timed runs (default: a second's worth, at least 5)", &o.runs },
        { "top", 0, OPT_INT, "N", "rows to print (default 20; 0: all)", &o.top },
        { "nodes", 0, OPT_FLAG, NULL, "a row for each launch; default: equal kernels share one", &o.nodes },
        { "json", 0, OPT_FLAG, NULL, "print one line of JSON, with all rows", &o.json },
        { "cpu", 0, OPT_TEXT, "NAME", "CPU to compile for (default: this one)", &o.build.cpu },
        IMPORT_OPTIONS(o.build), PASS_OPTIONS(o.build), TUNE_OPTIONS(tune), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0)
        status = pipeline_check(&c, &o.build);
    if (status >= 0)
        return status;
    if (o.threads > 1024)
        return options_misuse(&c, "--threads takes at most 1024");
    o.build.dim = o.feed.dim;           /* sizes are fixed when the model is compiled */
    o.feed.dim = (TextList){ .n = 0 };
    Arena *a = arena_new();
    ProfileResult result;
    bool ok = tune_model(a, model.v[0], &tune, &o.build) && profile_measure(a, model.v[0], &o, &result);
    if (ok && o.json)
        profile_print_json(&result);
    else if (ok)
        profile_print(&result, &o);
    arena_free(a);
    return !ok;
}
