/* evaluator.c -- `--eval`: the reference evaluator behind the same interface as a compiled model. */
#include <stdio.h>
#include <string.h>

#include "driver.h"
#include "eval.h"

/* The first sentence of a Diag, without its "error: " and newline. */
static int report(const Diag *d, ingot_error *err)
{
    const char *text = d->first ? d->first : "error: evaluation failed", *said = strncmp(text, "error: ", 7) ? text : text + 7;
    if (err) {
        err->status = INGOT_ERR_DATA;
        snprintf(err->text, sizeof err->text, "%.*s", (int)strcspn(said, "\n"), said);
    }
    return INGOT_ERR_DATA;
}

int evaluator_run(void *self, const ingot_tensor *in, ingot_tensor *out, ingot_error *err)
{
    Evaluator *e = self;
    int nin = graph_inputs(e->m->graph, NULL, 0), nout = graph_return(e->m->graph)->nin;
    const Tensor **tensors = ARENA_ARRAY(e->results, const Tensor *, nin + nout + 1), **results = tensors + nin;
    for (int i = 0; i < nin; i++)
        tensors[i] = tensor_of_runtime(e->results, &in[i]);
    FILE *said = e->m->diag->out;
    e->m->decode_image = tool_image_decoder();
    e->m->diag->out = NULL;             /* the caller says it */
    bool ok = eval_module(e->m, e->results, nin, tensors, results);
    e->m->diag->out = said;
    if (!ok)
        return report(e->m->diag, err);
    for (int i = 0; i < nout; i++)
        if (node_in(graph_return(e->m->graph), i)->type.kind == TY_TENSOR)
            out[i] = tensor_to_runtime(e->results, results[i]);
        else
            memcpy(&out[i], results[i]->data, sizeof out[i]);
    return INGOT_OK;
}
