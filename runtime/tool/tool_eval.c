/* tool_eval.c -- how often a classifier is right: samples (samples.h) go through the model one batch at a time, the largest scores are compared with the
 * labels (accuracy.h).
 */
#include <stdlib.h>

#include "accuracy.h"
#include "tool.h"

typedef struct Eval {
    const ToolModel *model;
    Samples *samples;
    ingot_tensor labels, *out;
    Accuracy accuracy;
} Eval;

/* The last batch may be filled up with the last sample. */
static bool run_batch(Eval *e, int64_t first)
{
    ingot_error err;
    int64_t batch = samples_batch(e->samples), left = samples_count(e->samples) - first;
    const ingot_tensor *in = samples_inputs(e->samples, first);
    if (!in)
        return false;
    if (e->model->run(e->model->self, in, e->out, &err))
        return tool_fail("%s: %s", e->model->name, err.text), false;
    bool ok = accuracy_add(&e->accuracy, e->model->name, &e->out[0], batch, &e->labels, first, left < batch ? left : batch);
    if (e->model->after)
        e->model->after(e->model->self);
    return ok;
}

static void print_result(const Accuracy *a, bool json)
{
    double top1 = accuracy_top1(a), top5 = accuracy_top5(a), loss = accuracy_loss(a);
    if (json && a->places)
        printf("{\"samples\": %lld, \"top1\": %.4f, \"top5\": %.4f, \"loss\": %.5f}\n", (long long)a->n, top1, top5, loss);
    else if (json)
        printf("{\"samples\": %lld, \"top1\": %.4f, \"top5\": %.4f}\n", (long long)a->n, top1, top5);
    else if (a->places)
        printf("loss %.4f, top-1 %.2f %% (%lld of %lld), top-5 %.2f %%\n", loss, top1, (long long)a->right, (long long)a->n, top5);
    else
        printf("top-1 %.2f %% (%lld of %lld), top-5 %.2f %%\n", top1, (long long)a->right, (long long)a->n, top5);
}

int tool_eval(const ToolModel *m, const EvalOptions *o)
{
    Eval e = { .model = m, .accuracy.labels = o->labels };
    if (m->ports->n_outputs < 1)
        return tool_fail("%s has no output", m->name);
    e.samples = samples_open(m->ports, &o->samples);
    e.out = calloc((size_t)m->ports->n_outputs, sizeof *e.out);
    bool ok = e.samples && e.out && samples_labels(e.samples, o->labels, &e.labels);
    for (int64_t first = 0; ok && first < samples_count(e.samples); first += samples_batch(e.samples))
        ok = run_batch(&e, first);
    if (ok)
        print_result(&e.accuracy, o->json);
    samples_close(e.samples);
    free(e.labels.data);
    free(e.out);
    return ok ? 0 : 1;
}

int tool_eval_file(const char *path, const char *name, const EvalOptions *o)
{
    ToolSession s;
    if (!tool_open(path, name, o->threads, &s))
        return 1;
    int status = tool_eval(&s.model, o);
    tool_close(&s);
    return status;
}
