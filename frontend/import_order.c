/* import_order.c -- the order in which the nodes of a graph are imported.
 *
 * ONNX wants nodes listed so that every tensor is produced before it is used; not every writer obeys. A depth-first walk in the file's order,
 * producers first, leaves a well-ordered file as it is. A node also needs what its subgraphs mention but do not define.
 */
#include <stdint.h>
#include <string.h>

#include "import_state.h"

typedef struct Order {
    ImportState *s;
    size_t n;
    Onnx__NodeProto **node;
    NameTable producer;             /* tensor -> node index + 1 */
    size_t *dep, ndep, dep_room;    /* producers needed, node after node */
    size_t *first_dep;              /* n + 1 */
} Order;

/* Names bound by the subgraphs around a mention, innermost first. */
typedef struct Bound {
    NameTable names;
    const struct Bound *outer;
} Bound;

static void need(Order *o, const char *name, const Bound *bound)
{
    for (; bound; bound = bound->outer)
        if (names_get(&bound->names, name))
            return;
    size_t p = (size_t)(uintptr_t)names_get(&o->producer, name);
    if (!p)
        return;
    if (o->ndep == o->dep_room) {
        size_t *grown = ARENA_ARRAY(o->s->arena, size_t, 2 * o->dep_room + 64);
        if (o->ndep)
            memcpy(grown, o->dep, o->ndep * sizeof *grown);
        o->dep = grown, o->dep_room = 2 * o->dep_room + 64;
    }
    o->dep[o->ndep++] = p - 1;
}

static void need_of_graph(Order *o, const Onnx__GraphProto *g, const Bound *outer);

static void need_of_node(Order *o, const Onnx__NodeProto *p, const Bound *bound)
{
    for (size_t i = 0; i < p->n_input; i++)
        need(o, p->input[i], bound);
    for (size_t i = 0; i < p->n_attribute; i++)
        if (is_graph_attr(p->attribute[i]))
            need_of_graph(o, p->attribute[i]->g, bound);
}

static void need_of_graph(Order *o, const Onnx__GraphProto *g, const Bound *outer)
{
    Bound b = { .outer = outer };
    for (size_t i = 0; i < g->n_input; i++)
        names_put(o->s->arena, &b.names, g->input[i]->name, o);
    for (size_t i = 0; i < g->n_initializer; i++)
        names_put(o->s->arena, &b.names, g->initializer[i]->name, o);
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            names_put(o->s->arena, &b.names, g->node[i]->output[k], o);
    for (size_t i = 0; i < g->n_node; i++)
        need_of_node(o, g->node[i], &b);
    for (size_t i = 0; i < g->n_output; i++)
        need(o, g->output[i]->name, &b);
}

static bool index_producers(Order *o, const Scope *scope)
{
    bool ok = true;
    for (size_t i = 0; i < o->n; i++)
        for (size_t k = 0; k < o->node[i]->n_output; k++) {
            const char *name = o->node[i]->output[k];
            if (!name[0])
                continue;
            if (names_get(&o->producer, name) || names_get(&scope->names, name))
                ok = diag_error(o->s->diag, (Loc){ .file = o->s->m->file, .node = node_label(o->s, o->node[i], i) },
                                "tensor '%s' is defined a second time", name);
            names_put(o->s->arena, &o->producer, name, (void *)(uintptr_t)(i + 1));
        }
    return ok;
}

enum { FRESH, OPEN, DONE };

typedef struct Visit {
    size_t node, next_dep;
} Visit;

static bool report_cycle(Order *o, size_t i)
{
    const Onnx__NodeProto *p = o->node[i];
    return diag_error(o->s->diag, (Loc){ .file = o->s->m->file, .node = node_label(o->s, p, i) },
                      "tensor '%s' depends on itself: the graph has a cycle", p->n_output ? p->output[0] : "");
}

/* Append node `root` and all it needs to order[]. */
static bool visit(Order *o, size_t root, Visit *stack, uint8_t *state, size_t *order, size_t *count)
{
    size_t top = 0;
    stack[top++] = (Visit){ root, o->first_dep[root] };
    state[root] = OPEN;
    while (top) {
        Visit *v = &stack[top - 1];
        if (v->next_dep == o->first_dep[v->node + 1]) {
            state[v->node] = DONE;
            order[(*count)++] = v->node;
            top--;
            continue;
        }
        size_t d = o->dep[v->next_dep++];
        if (state[d] == OPEN)
            return report_cycle(o, d);
        if (state[d] == FRESH) {
            state[d] = OPEN;
            stack[top++] = (Visit){ d, o->first_dep[d] };
        }
    }
    return true;
}

const size_t *nodes_order(ImportState *s, const Scope *scope, size_t n, Onnx__NodeProto **node)
{
    Order o = { .s = s, .n = n, .node = node };
    o.first_dep = ARENA_ARRAY(s->arena, size_t, n + 1);
    if (!index_producers(&o, scope))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        o.first_dep[i] = o.ndep;
        need_of_node(&o, node[i], NULL);
    }
    o.first_dep[n] = o.ndep;
    size_t *order = ARENA_ARRAY(s->arena, size_t, n + 1), count = 0;
    Visit *stack = ARENA_ARRAY(s->arena, Visit, n + 1);
    uint8_t *state = ARENA_ARRAY(s->arena, uint8_t, n + 1);
    for (size_t i = 0; i < n; i++)
        if (state[i] == FRESH && !visit(&o, i, stack, state, order, &count))
            return NULL;
    return order;
}
