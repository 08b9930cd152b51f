/* import_gaps.c -- which operators of a model have no importer. All of them are found in one run, before anything is imported. */
#include <string.h>

#include "import_state.h"

enum { NAMES_SHOWN = 5 };

typedef struct Gap {
    const char *sentence;           /* without the nodes */
    const char *nodes;
    int count;
    struct Gap *next;
} Gap;

typedef struct Scan {
    ImportState *s;
    NameTable found;                /* sentence -> Gap */
    Gap *first, **last;
    NameTable seen;                 /* functions scanned already */
} Scan;

static void gap_add(Scan *k, const char *sentence, const char *node)
{
    Gap *gap = names_get(&k->found, sentence);
    if (!gap) {
        gap = ARENA_NEW(k->s->arena, Gap);
        *gap = (Gap){ .sentence = sentence, .nodes = "" };
        names_put(k->s->arena, &k->found, sentence, gap);
        *k->last = gap;
        k->last = &gap->next;
    }
    if (gap->count++ < NAMES_SHOWN)
        gap->nodes = arena_printf(k->s->arena, "%s%s'%s'", gap->nodes, gap->nodes[0] ? ", " : "", node);
}

static void scan_nodes(Scan *k, const Call *call, size_t n, Onnx__NodeProto **node);

/* Deeper chains of calls than MAX_CALL_DEPTH are refused when they are imported. */
static void scan_function(Scan *k, const Call *caller, const Onnx__FunctionProto *fn)
{
    const char *key = arena_printf(k->s->arena, "%p", (const void *)fn);
    if (names_get(&k->seen, key) || caller->depth == MAX_CALL_DEPTH)
        return;
    names_put(k->s->arena, &k->seen, key, k);
    Call call = { .fn = fn, .nopset = fn->n_opset_import, .opset = fn->opset_import, .depth = caller->depth + 1,
                  .path = arena_printf(k->s->arena, "%s/", fn->name) };
    scan_nodes(k, &call, fn->n_node, fn->node);
}

static void scan_op(Scan *k, const Call *call, const Onnx__NodeProto *p, const char *label)
{
    const char *domain = domain_tidy(p->domain), *shown = domain[0] ? domain : "ai.onnx";
    int64_t opset = opset_of(k->s, call, domain);
    if (onnx_op_find(domain, p->op_type, opset))
        return;
    if (opset < 0)
        gap_add(k, arena_printf(k->s->arena, "the model does not say which version of the operator set '%s' it uses", shown), label);
    else if (onnx_op_find(domain, p->op_type, -1))
        gap_add(k, arena_printf(k->s->arena, "operator %s does not exist in version %lld of '%s'", p->op_type, (long long)opset, shown), label);
    else
        gap_add(k, arena_printf(k->s->arena, "operator %s of '%s' is not supported", p->op_type, shown), label);
}

static void scan_node(Scan *k, const Call *call, const Onnx__NodeProto *p, size_t index)
{
    const Onnx__FunctionProto *fn = function_find(k->s, p);
    if (fn)
        scan_function(k, call, fn);
    else
        scan_op(k, call, p, arena_printf(k->s->arena, "%s%s", call->path, node_label(k->s, p, index)));
    for (size_t i = 0; i < p->n_attribute; i++)
        if (is_graph_attr(p->attribute[i]))
            scan_nodes(k, call, p->attribute[i]->g->n_node, p->attribute[i]->g->node);
}

static void scan_nodes(Scan *k, const Call *call, size_t n, Onnx__NodeProto **node)
{
    for (size_t i = 0; i < n; i++)
        scan_node(k, call, node[i], i);
}

bool gaps_report(ImportState *s)
{
    Scan k = { .s = s };
    k.last = &k.first;
    Call call = { .nopset = s->model->n_opset_import, .opset = s->model->opset_import, .path = "" };
    scan_nodes(&k, &call, s->model->graph->n_node, s->model->graph->node);
    for (Gap *gap = k.first; gap; gap = gap->next) {
        const char *more = gap->count > NAMES_SHOWN ? arena_printf(s->arena, " and %d more", gap->count - NAMES_SHOWN) : "";
        diag_error(s->diag, (Loc){ .file = s->m->file }, "%s (node%s %s%s)", gap->sentence, gap->count > 1 ? "s" : "", gap->nodes, more);
    }
    return !k.first;
}
