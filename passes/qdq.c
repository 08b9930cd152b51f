/* qdq.c -- which values become bytes (qdq.h). One walk in graph order classifies values:
 *
 *     image      a convolution made it, and functions, movement, pools, concats and joins of such values since
 *     function   elementwise, all operands computed from one value (its root) and constants: ReLU, SiLU, hard swish
 *     join       add or mul of two image values with different roots
 *
 * Then every quantised operator asks for its operands and its result.
 */
#include "qdq.h"

#include <string.h>

#include "pass_util.h"

typedef struct Classes {
    Module *m;
    QdqPlan *p;
    bool *layer;                    /* by node id: is a layer that is not kept */
    bool *image;                    /* by value id */
    Value **root;                   /* by value id: itself unless it is a function */
    signed char *leads;             /* by value id: to a layer? 0 not known, 1 yes, -1 no */
    bool *point;                    /* by value id */
} Classes;

static bool is_f32(const Value *v) { return v->type.kind == TY_TENSOR && v->type.dtype == DT_f32; }

/* ---- layers ---- */

enum { MOST_DEPTH = 65000 };        /* products whose sum surely fits an i32: quant_contract.c */

static bool fits(const Tensor *w, int axis)
{
    return w && w->count && w->dim[axis] && w->count / w->dim[axis] <= MOST_DEPTH;
}

static bool is_layer(const Node *n, int *axis)
{
    if ((n->op != OP_conv && n->op != OP_matmul) || !is_f32(node_out(n)) || value_constant(n->in[0].val))
        return false;
    const Tensor *w = value_constant(n->in[1].val);
    *axis = n->op == OP_conv ? 0 : 1;
    if (n->op == OP_matmul)
        return w && w->rank == 2 && n->in[0].val->type.rank >= 2 && fits(w, 1);
    int rank = node_out(n)->type.rank;
    Value *bias = node_in(n, 2);
    return (rank == 3 || rank == 4) && !NODE_ATTR(n, conv)->channels_last && fits(w, 0) && (!bias || value_constant(bias));
}

void qdq_find_layers(Module *m, QdqPlan *p)
{
    int axis;
    *p = (QdqPlan){ 0 };
    graph_renumber(m->graph);
    FOR_EACH_NODE(n, m->graph)
        p->nlayers += is_layer(n, &axis);
    p->layer = ARENA_ARRAY(m->arena, QdqLayer, p->nlayers + 1);
    p->nlayers = 0;
    FOR_EACH_NODE(n, m->graph)
        if (is_layer(n, &axis))
            p->layer[p->nlayers++] = (QdqLayer){ .n = n, .axis = axis, .point = -1 };
}

const char *qdq_layer_name(Module *m, const QdqLayer *l)
{
    const Value *out = node_out(l->n);
    if (l->n->loc.node && *l->n->loc.node)
        return l->n->loc.node;
    return out->name ? out->name : arena_printf(m->arena, "%s_%u", op_name(l->n->op), out->id);
}

/* ---- classes ---- */

/* The value that all operands of an elementwise node are computed from, or NULL. */
static Value *common_root(const Classes *c, const Node *n)
{
    Value *root = NULL;
    for (int i = 0; i < n->nin; i++) {
        Value *v = n->in[i].val;
        if (value_constant(v))
            continue;
        Value *r = c->root[v->id];
        if (root && r != root)
            return NULL;
        root = r;
    }
    return root;
}

static bool moves(const Node *n)
{
    return n->op == OP_reshape || n->op == OP_transpose || n->op == OP_slice;
}

static bool is_max_pool(const Node *n) { return n->op == OP_pool && !strcmp(NODE_ATTR(n, pool)->kind, "max"); }

static bool all_image(const Classes *c, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (!n->in[i].val || !c->image[n->in[i].val->id])
            return false;
    return n->nin > 0;
}

/* A sum or product of two images. */
static bool is_join(const Classes *c, const Node *n)
{
    return (n->op == OP_add || n->op == OP_mul) && all_image(c, n) && c->root[n->in[0].val->id] != c->root[n->in[1].val->id];
}

static bool is_image(const Classes *c, const Node *n)
{
    const Value *root = op_is_elementwise(n->op) ? common_root(c, n) : NULL;
    if (n->op == OP_conv)
        return c->layer[n->id];
    if (moves(n) || n->op == OP_pool || n->op == OP_concat || is_join(c, n))
        return all_image(c, n);
    return root && c->image[root->id];
}

static void classify(Classes *c, const Node *n)
{
    for (int i = 0; i < n->nout; i++) {
        Value *v = &n->out[i], *root = op_is_elementwise(n->op) ? common_root(c, n) : NULL;
        c->root[v->id] = root && is_f32(v) ? root : v;
        c->image[v->id] = is_f32(v) && is_image(c, n);
    }
}

/* ---- what leads to a layer ---- */

static bool carries(const Node *n)
{
    return op_is_elementwise(n->op) || moves(n) || n->op == OP_pool || n->op == OP_concat || n->op == OP_reduce || n->op == OP_resize || n->op == OP_pad;
}

static bool leads(Classes *c, const Value *v)
{
    if (c->leads[v->id])
        return c->leads[v->id] > 0;
    bool yes = false;
    FOR_EACH_USE(u, v)
        yes = yes || (c->layer[u->user->id] && u == &u->user->in[0]) || (carries(u->user) && leads(c, node_out(u->user)));
    c->leads[v->id] = yes ? 1 : -1;
    return yes;
}

/* ---- points ---- */

static bool clips(const Node *n)
{
    return n && (n->op == OP_relu || ((n->op == OP_max || n->op == OP_min) && value_constant(n->in[1].val))) && is_f32(node_out(n));
}

/* A point that was only moved is a point before it was moved. */
static void ask(Classes *c, Value *v)
{
    if (!is_f32(v) || value_constant(v) || c->point[v->id])
        return;
    c->point[v->id] = true;
    if (moves(v->def) || is_max_pool(v->def))
        if (c->image[v->def->in[0].val->id])
            ask(c, v->def->in[0].val);
}

static void ask_result(Classes *c, Value *v)
{
    for (Node *user = value_only_user(v); clips(user); user = value_only_user(v))
        v = node_out(user);
    if (leads(c, v))
        ask(c, v);
}

static void ask_of(Classes *c, const Node *n)
{
    bool bytes = (n->op == OP_pool || n->op == OP_concat || is_join(c, n)) && c->image[node_out(n)->id];
    if (c->layer[n->id])
        ask(c, n->in[0].val);
    for (int i = 0; bytes && i < n->nin; i++)
        if (leads(c, node_out(n)))
            ask(c, n->in[i].val);
    if (bytes || (c->layer[n->id] && n->op == OP_conv))
        ask_result(c, node_out(n));
}

static int find_point(const QdqPlan *p, const Value *v)
{
    for (int i = 0; i < p->npoints; i++)
        if (p->point[i].v == v)
            return i;
    return -1;
}

static void list_points(Classes *c)
{
    QdqPlan *p = c->p;
    int n = 0;
    FOR_EACH_NODE(k, c->m->graph)
        for (int i = 0; i < k->nout; i++)
            n += c->point[k->out[i].id];
    p->point = ARENA_ARRAY(c->m->arena, QdqPoint, n + 1);
    p->npoints = 0;
    FOR_EACH_NODE(k, c->m->graph)
        for (int i = 0; i < k->nout; i++)
            if (c->point[k->out[i].id]) {
                bool same = moves(k) || is_max_pool(k);
                p->point[p->npoints] = (QdqPoint){ .v = &k->out[i], .from = same ? find_point(p, k->in[0].val) : -1 };
                p->npoints++;
            }
    for (int i = 0; i < p->nlayers; i++)
        p->layer[i].point = p->layer[i].keep ? -1 : find_point(p, p->layer[i].n->in[0].val);
}

void qdq_find_points(Module *m, QdqPlan *p)
{
    graph_renumber(m->graph);
    uint32_t nodes = 0, values = 0;
    FOR_EACH_NODE(n, m->graph) {
        nodes = n->id >= nodes ? n->id + 1 : nodes;
        for (int i = 0; i < n->nout; i++)
            values = n->out[i].id >= values ? n->out[i].id + 1 : values;
    }
    Arena *a = arena_new();
    Classes c = { .m = m, .p = p, .layer = ARENA_ARRAY(a, bool, nodes + 1), .image = ARENA_ARRAY(a, bool, values + 1),
                  .root = ARENA_ARRAY(a, Value *, values + 1), .leads = ARENA_ARRAY(a, signed char, values + 1), .point = ARENA_ARRAY(a, bool, values + 1) };
    for (int i = 0; i < p->nlayers; i++)
        c.layer[p->layer[i].n->id] = !p->layer[i].keep;
    FOR_EACH_NODE(n, m->graph)
        classify(&c, n);
    FOR_EACH_NODE(n, m->graph)
        if (n->nout)
            ask_of(&c, n);
    list_points(&c);
    arena_free(a);
}
