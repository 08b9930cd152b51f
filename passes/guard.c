/* guard.c -- what inference takes for granted about sizes becomes a check that runs.
 *
 *   %2 = matmul(%0, %1)     ; f32[4,N] by f32[3,5]          check() {left=[N], right=[3], message="..."}
 *                                                   ->      %2 = matmul(%0, %1)
 *
 * Inference accepts sizes that may agree and kernels rely on it: without the check they would read beyond an operand. A size that may be negative
 * (an input shorter than a window) is checked likewise. What only mentions symbols of inputs is checked before anything runs, what mentions data
 * right before the node that relies on it. A pair is checked once.
 *
 * Needs: typed. Keeps: everything.
 */
#include "pass_util.h"

typedef struct Guard {
    Module *m;
    Graph *g;
    Node *start;                    /* of g, after the inputs: what only mentions symbols of inputs is checked before it */
    Assumptions told;               /* by the node at hand */
    Assumptions held;               /* by a check before the node at hand, here or in a graph around this one */
} Guard;

static void append(Guard *s, Assumptions *list, Assumption x)
{
    if (list->n == list->room) {
        const Assumption *old = list->v;
        list->v = ARENA_ARRAY(s->m->arena, Assumption, list->room = 2 * list->room + 16);
        for (int i = 0; i < list->n; i++)
            list->v[i] = old[i];
    }
    list->v[list->n++] = x;
}

static bool is_held(const Guard *s, const Assumption *x)
{
    for (int i = 0; i < s->held.n; i++) {
        const Assumption *h = &s->held.v[i];
        bool same = h->left == x->left && h->right == x->right, swapped = h->left == x->right && h->right == x->left;
        if ((same && h->or_one == x->or_one) || ((same || swapped) && !h->or_one))
            return true;
    }
    return false;
}

/* ---- one node ---- */

static void add_negative_sizes(Guard *s, const Node *n)
{
    DimTable *t = s->m->dims;
    for (int i = 0; i < n->nout; i++)
        for (int k = 0; n->out[i].type.kind == TY_TENSOR && k < n->out[i].type.rank; k++) {
            Dim d = n->out[i].type.dim[k], floor = dim_max(t, d, dim_const(t, 0));
            if (d != floor)
                append(s, &s->told, (Assumption){ d, floor, false });
        }
}

static const char *sentence(const Guard *s, const Assumption *x, const Node *n)
{
    Arena *a = s->m->arena;
    const char *left = dim_print(s->m->dims, a, x->left), *right = dim_print(s->m->dims, a, x->right);
    if (x->right == dim_max(s->m->dims, x->left, dim_const(s->m->dims, 0)))
        return arena_printf(a, "%s: the size %s of the result is negative, the inputs are too small", op_name(n->op), left);
    return arena_printf(a, "%s: the sizes %s and %s do not agree", op_name(n->op), left, right);
}

static Node *first_after_inputs(const Graph *g)
{
    Node *n = g->first;
    while (n && n->op == OP_input)
        n = n->next;
    return n;
}

static bool place_check(Guard *s, const Assumption *x, Node *n)
{
    bool early = !dim_from_data(s->m->dims, x->left) && !dim_from_data(s->m->dims, x->right);
    Attr_check a = { .left = dims_copy(s->m, 1, &x->left), .right = dims_copy(s->m, 1, &x->right), .or_one = x->or_one, .message = sentence(s, x, n) };
    append(s, &s->held, *x);
    return node_new(s->g, early ? s->start : n, OP_check, 0, NULL, &a, -1, n->loc) != NULL;
}

static void hold(Guard *s, const Node *n)
{
    const Attr_check *a = NODE_ATTR(n, check);
    for (int i = 0; i < a->left.n; i++)
        append(s, &s->held, (Assumption){ a->left.v[i], a->right.v[i], a->or_one });
}

static bool guard_node(Guard *s, Node *n)
{
    s->told.n = 0;
    s->m->assumed = &s->told;
    bool ok = infer_node(s->m, n);
    s->m->assumed = NULL;
    add_negative_sizes(s, n);
    for (int i = 0; ok && i < s->told.n; i++)
        if (!is_held(s, &s->told.v[i]))
            ok = place_check(s, &s->told.v[i], n);
    return ok;
}

/* ---- graphs ---- */

typedef struct Nested { Guard *s; bool ok; } Nested;

static bool guard_graph(Guard *s, Graph *g);

static void guard_nested(void *ctx, Graph *g)
{
    Nested *c = ctx;
    c->ok &= guard_graph(c->s, g);
}

static bool guard_graph(Guard *s, Graph *g)
{
    Guard around = *s;
    Nested c = { s, true };
    s->g = g;
    s->start = first_after_inputs(g);
    FOR_EACH_NODE(n, g) {
        if (n->op == OP_check)
            hold(s, n);
        else if (n->op != OP_input && n->op != OP_return)
            c.ok &= guard_node(s, n);
        if (n->op != OP_fused)          /* one kernel, in which no check can stand */
            node_regions(n, guard_nested, &c);
    }
    s->g = around.g;
    s->start = around.start;
    s->held.n = around.held.n;      /* what a branch checks is not checked where the branch is not taken */
    return c.ok;
}

bool pass_guard(Module *m)
{
    Guard s = { .m = m };
    return guard_graph(&s, m->graph);
}
