/* dce.c -- dead code elimination.
 *
 *   %1 = exp(%0)          ; nobody uses %1
 *   %2 = add(%0, %0)                                   %2 = add(%0, %0)
 *   return(%2)                                  ->     return(%2)
 *
 * One walk from the last node to the first: every user of a value comes after it, so when a node is reached its uses are the live ones only.
 * A node is also alive while it defines a data symbol that a live node's types or attributes mention. A `check` that cannot fail is dead.
 *
 * Needs: typed. Keeps: everything; nested graphs are cleaned too.
 */
#include "attrs.h"
#include "pass_util.h"

typedef struct Dce {
    Module *m;
    bool *mentioned;                /* by symbol: a live node needs its value */
} Dce;

static void see_symbol(void *ctx, int sym)
{
    ((Dce *)ctx)->mentioned[sym] = true;
}

static void see_dims(Dce *d, int n, const Dim *dim)
{
    for (int i = 0; i < n; i++)
        dim_symbols_used(dim[i], see_symbol, d);
}

/* A node that defines symbols does not keep them alive by naming them. */
static void see_symbols_of(Dce *d, const Node *n)
{
    if (op_has(n->op, OPF_SIZES))
        return;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].type.kind == TY_TENSOR)
            see_dims(d, n->out[i].type.rank, n->out[i].type.dim);
    FOR_EACH_ATTR(f, n->op) {
        const DimVec *v = attr_at(f, n->attrs);
        if (f->kind == AK_dims)
            see_dims(d, v->n, v->v);
    }
}

static bool defines_live_symbol(const Dce *d, const Node *n)
{
    if (!op_has(n->op, OPF_SIZES))
        return false;
    FOR_EACH_ATTR(f, n->op) {
        const DimVec *v = attr_at(f, n->attrs);
        for (int i = 0; f->kind == AK_dims && i < v->n; i++)
            if (v->v[i]->op == DIM_SYM && d->mentioned[v->v[i]->k])
                return true;
    }
    return false;
}

static bool check_always_holds(const Node *n)
{
    if (n->op != OP_check)
        return false;
    const Attr_check *a = NODE_ATTR(n, check);
    for (int i = 0; i < a->left.n; i++)
        if (a->left.v[i] != a->right.v[i])
            return false;
    return true;
}

static bool is_live(const Dce *d, const Node *n)
{
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].uses)
            return true;
    if (op_has(n->op, OPF_SIZES))
        return defines_live_symbol(d, n);
    return op_has(n->op, OPF_EFFECT) && !check_always_holds(n);
}

static void sweep(void *ctx, Graph *g)
{
    Dce *d = ctx;
    for (Node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (!is_live(d, n)) {
            node_erase(n);
            continue;
        }
        see_symbols_of(d, n);
        node_regions(n, sweep, d);
    }
}

bool pass_dce(Module *m)
{
    Arena *a = arena_new();
    Dce d = { m, ARENA_ARRAY(a, bool, dim_symbol_count(m->dims) + 1) };
    sweep(&d, m->graph);
    arena_free(a);
    return true;
}
