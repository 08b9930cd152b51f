/* pass_util.c -- see pass_util.h. */
#include "pass_util.h"

#include "attrs.h"

bool op_commutes(OpCode op)
{
    static const bool table[OP_count] = { [OP_add] = true, [OP_mul] = true, [OP_max] = true, [OP_min] = true, [OP_eq] = true, [OP_ne] = true,
                                          [OP_and] = true, [OP_or] = true, [OP_xor] = true, [OP_bit_and] = true, [OP_bit_or] = true,
                                          [OP_bit_xor] = true };
    return table[op];
}

bool same_shape(const Type *a, const Type *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

void node_regions(const Node *n, void (*see)(void *ctx, Graph *g), void *ctx)
{
    if (op_has(n->op, OPF_REGION))
        FOR_EACH_ATTR(f, n->op)
            if (f->kind == AK_graph)
                see(ctx, *(Graph **)attr_at(f, n->attrs));
}

int node_bodies(const Node *n, Graph *body[MAX_BODIES])
{
    int count = 0;
    if (op_has(n->op, OPF_REGION) && n->op != OP_fused)
        FOR_EACH_ATTR(f, n->op)
            if (f->kind == AK_graph)
                body[count++] = *(Graph **)attr_at(f, n->attrs);
    return count;
}

static bool each_node(Module *m, Graph *g, bool (*take)(Module *m, Node *n))
{
    FOR_EACH_NODE_SAFE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = node_bodies(n, body); i-- > 0;)
            if (!each_node(m, body[i], take))
                return false;
        if (!take(m, n))
            return false;
    }
    return true;
}

bool module_each_node(Module *m, bool (*take)(Module *m, Node *n))
{
    return each_node(m, m->graph, take);
}

static void count_nodes(void *ctx, Graph *g)
{
    *(int *)ctx += graph_count_nodes(g);
}

int graph_count_nodes(const Graph *g)
{
    int count = 0;
    FOR_EACH_NODE(n, g) {
        count++;
        node_regions(n, count_nodes, &count);
    }
    return count;
}

static bool is_unused(const Node *n)
{
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].uses)
            return false;
    return !op_has(n->op, OPF_EFFECT | OPF_SIZES);
}

/* Operands first, iteratively: a chain of a model's length must not become a chain of calls. */
void node_erase_dead(Node *n)
{
    Arena *a = arena_new();
    struct Todo { Node *n; struct Todo *next; } *todo = &(struct Todo){ n, NULL };
    while (todo) {
        Node *dead = todo->n;
        todo = todo->next;
        if (!dead->graph || !is_unused(dead))
            continue;
        for (int i = 0; i < dead->nin; i++) {
            Value *v = dead->in[i].val;
            if (!v)
                continue;
            node_set_input(dead, i, NULL);
            if (!v->uses) {
                struct Todo *t = ARENA_NEW(a, struct Todo);
                *t = (struct Todo){ v->def, todo };
                todo = t;
            }
        }
        node_erase(dead);
        dead->graph = NULL;
    }
    arena_free(a);
}

bool node_replace(Node *n, Value *by)
{
    if (!by)
        return false;
    value_replace(node_out(n), by);
    node_erase_dead(n);
    return true;
}
