/* cse.c -- common subexpression elimination: of nodes that compute the same, the first serves all.
 *
 *   %1 = exp(%0)                       %1 = exp(%0)
 *   %2 = exp(%0)                ->     %3 = add(%1, %1)
 *   %3 = add(%1, %2)
 *
 * Same means: op, operands (in either order where the op commutes) and attributes; constants are nodes like any other. A node with effects, regions
 * or data symbols of its own is only itself. Nested graphs are each on their own: they do not see values outside.
 *
 * Needs: typed. Keeps: everything.
 */
#include "pass_util.h"

typedef struct Entry {
    Node *n;
    uint32_t hash;
    struct Entry *next;
} Entry;

typedef struct Table {
    Arena *arena;
    Entry **bucket;
    uint32_t mask;
} Table;

static uint32_t node_hash(const Node *n)
{
    uint32_t h = attrs_hash(n->op, n->attrs) ^ ((uint32_t)n->op * 2654435761u), sum = 0;
    for (int i = 0; i < n->nin; i++) {
        uint32_t x = n->in[i].val ? n->in[i].val->id * 2246822519u + 1 : 0;
        sum += x;
        h = op_commutes(n->op) ? h : (h ^ x) * 16777619u;
    }
    return op_commutes(n->op) ? h ^ sum : h;
}

static bool same_operands(const Node *a, const Node *b)
{
    if (op_commutes(a->op) && a->in[0].val == b->in[1].val && a->in[1].val == b->in[0].val)
        return true;
    for (int i = 0; a->nin == b->nin && i < a->nin; i++)
        if (a->in[i].val != b->in[i].val)
            return false;
    return a->nin == b->nin;
}

static bool same_results(const Node *a, const Node *b)
{
    for (int i = 0; a->nout == b->nout && i < a->nout; i++)
        if (!type_equal(&a->out[i].type, &b->out[i].type))
            return false;
    return a->nout == b->nout;
}

/* The earlier node that computes the same, or NULL after entering this one. */
static Node *find_or_add(Table *t, Node *n)
{
    uint32_t hash = node_hash(n);
    Entry **bucket = &t->bucket[hash & t->mask];
    for (Entry *e = *bucket; e; e = e->next)
        if (e->hash == hash && e->n->op == n->op && same_operands(e->n, n) && same_results(e->n, n) && attrs_equal(n->op, e->n->attrs, n->attrs))
            return e->n;
    Entry *e = ARENA_NEW(t->arena, Entry);
    *e = (Entry){ n, hash, *bucket };
    *bucket = e;
    return NULL;
}

static void merge_graph(void *ctx, Graph *g)
{
    Module *m = ctx;
    Table t = { arena_new(), NULL, 1 };
    while ((int)t.mask < graph_count_nodes(g))
        t.mask *= 2;
    t.bucket = ARENA_ARRAY(t.arena, Entry *, t.mask--);
    FOR_EACH_NODE_SAFE(n, g) {
        if (n->op != OP_fused)
            node_regions(n, merge_graph, m);
        if (op_has(n->op, OPF_EFFECT | OPF_SIZES | OPF_REGION) || !n->nout)
            continue;
        Node *same = find_or_add(&t, n);
        if (!same || !rewrite_allowed(m, "cse", n))
            continue;
        for (int i = 0; i < n->nout; i++)
            value_replace(&n->out[i], &same->out[i]);
        node_erase(n);
    }
    arena_free(t.arena);
}

bool pass_cse(Module *m)
{
    merge_graph(m, m->graph);
    return true;
}
