/* graph.c -- modules, graphs and the four edits, see ir.h.
 *
 * Invariants kept here: the node list of a graph is doubly linked and ends in NULL on both sides; use u of value v is on v's list exactly
 * while u->val == v; *u->prev == u.
 */
#include "ir.h"

#include <string.h>

/* ---- the op table, from ops.def ---- */

#define EWR_ATTR EWR_SAME
#define EW(name, arity, types, result, formula)
#define OP(name, min_in, max_in, nout, flags) static const AttrInfo attrs_of_##name[] = {
#define ATTR(op, kind, field) { #field, AK_##kind, offsetof(Attr_##op, field) },
#define END(op) { NULL, AK_i64, 0 } };
#include "ops.def"

#define KERNEL OPF_KERNEL
#define EFFECT OPF_EFFECT
#define VIEW OPF_VIEW
#define MOVE OPF_MOVE
#define REGION OPF_REGION
#define SIZES OPF_SIZES
#define KEEP OPF_KEEP
const OpInfo op_table[OP_count] = {
#define EW(name, arity, types, result, formula) \
    [OP_##name] = { #name, arity, arity, 1, OPF_EW, EWT_##types, EWR_##result, 0, NULL, sizeof(Attr_##name) },
#define OP(name, min_in, max_in, nout, flags) \
    [OP_##name] = { #name, min_in, max_in, nout, (flags), 0, 0, (int)(sizeof attrs_of_##name / sizeof(AttrInfo)) - 1, attrs_of_##name, sizeof(Attr_##name) },
#include "ops.def"
};
#undef KERNEL
#undef EFFECT
#undef VIEW
#undef MOVE
#undef REGION
#undef SIZES
#undef KEEP

OpCode op_from_name(const char *name, size_t len)
{
    for (int i = 1; i < OP_count; i++)
        if (strlen(op_table[i].name) == len && !memcmp(op_table[i].name, name, len))
            return (OpCode)i;
    return OP_none;
}

/* ---- modules and graphs ---- */

Module *module_new(Arena *a, Diag *d, const char *name, const char *file)
{
    Module *m = ARENA_NEW(a, Module);
    m->arena = a;
    m->dims = dim_table_new(a);
    m->diag = d;
    m->name = arena_str(a, name);
    m->file = arena_str(a, file);
    m->fuel = -1;
    m->graph = graph_new(m, NULL);
    return m;
}

Graph *graph_new(Module *m, Graph *parent)
{
    Graph *g = ARENA_NEW(m->arena, Graph);
    g->module = m;
    g->parent = parent;
    return g;
}

/* ---- use lists ---- */

static void use_unlink(Use *u)
{
    if (!u->val)
        return;
    *u->prev = u->next;
    if (u->next)
        u->next->prev = u->prev;
    u->val = NULL;
}

static void use_link(Use *u, Value *v)
{
    u->val = v;
    if (!v)
        return;
    u->next = v->uses;
    u->prev = &v->uses;
    if (v->uses)
        v->uses->prev = &u->next;
    v->uses = u;
}

/* ---- the node list ---- */

static void list_insert(Graph *g, Node *n, Node *before)
{
    n->graph = g;
    n->next = before;
    n->prev = before ? before->prev : g->last;
    *(n->prev ? &n->prev->next : &g->first) = n;
    *(before ? &before->prev : &g->last) = n;
}

static void list_remove(Graph *g, Node *n)
{
    *(n->prev ? &n->prev->next : &g->first) = n->next;
    *(n->next ? &n->next->prev : &g->last) = n->prev;
    n->prev = n->next = NULL;
}

/* ---- edits ---- */

static Node *node_alloc(Graph *g, OpCode op, int nin, int nout, const void *attrs, Loc loc)
{
    Module *m = g->module;
    Node *n = ARENA_NEW(m->arena, Node);
    *n = (Node){ .id = m->next_id++, .op = op, .nin = nin, .nout = nout, .graph = g, .loc = loc };
    n->in = nin ? ARENA_ARRAY(m->arena, Use, nin) : NULL;
    n->out = nout ? ARENA_ARRAY(m->arena, Value, nout) : NULL;
    n->attrs = arena_alloc(m->arena, op_table[op].attr_bytes);
    if (attrs)
        memcpy(n->attrs, attrs, op_table[op].attr_bytes);
    for (int i = 0; i < nout; i++)
        n->out[i] = (Value){ .id = m->next_id++, .def = n, .index = i };
    return n;
}

Node *node_new(Graph *g, Node *before, OpCode op, int nin, Value *const *in, const void *attrs, int nout, Loc loc)
{
    const OpInfo *info = &op_table[op];
    if (nin < info->min_in || (info->max_in >= 0 && nin > info->max_in)) {
        diag_error(g->module->diag, loc, "%s takes %d%s operands, not %d", info->name, info->min_in,
                   info->max_in < 0 ? " or more" : "", nin);
        return NULL;
    }
    Node *n = node_alloc(g, op, nin, info->nout >= 0 ? info->nout : nout > 0 ? nout : 0, attrs, loc);
    for (int i = 0; i < nin; i++) {
        n->in[i].user = n;
        use_link(&n->in[i], in[i]);
    }
    list_insert(g, n, before);
    if (!infer_node(g->module, n)) {
        node_erase(n);
        return NULL;
    }
    return n;
}

void node_set_input(Node *n, int i, Value *v)
{
    use_unlink(&n->in[i]);
    use_link(&n->in[i], v);
}

void value_replace(Value *from, Value *to)
{
    if (from == to)
        return;
    if (!to->name)
        to->name = from->name;
    while (from->uses) {
        Use *u = from->uses;
        use_unlink(u);
        use_link(u, to);
    }
}

void node_erase(Node *n)
{
    for (int i = 0; i < n->nin; i++)
        use_unlink(&n->in[i]);
    list_remove(n->graph, n);
}

void node_move(Node *n, Node *before)
{
    if (before == n)
        return;
    list_remove(n->graph, n);
    list_insert(n->graph, n, before);
}

/* ---- questions ---- */

int value_use_count(const Value *v)
{
    int n = 0;
    FOR_EACH_USE(u, v)
        n++;
    return n;
}

Node *value_only_user(const Value *v)
{
    return v->uses && !v->uses->next ? v->uses->user : NULL;
}

const Tensor *value_constant(const Value *v)
{
    return v && v->def->op == OP_constant ? NODE_ATTR(v->def, constant)->value : NULL;
}

bool value_scalar_f64(const Value *v, double *out)
{
    const Tensor *t = value_constant(v);
    if (!t || t->count < 1 || dtype_table[t->dtype].cls == CLS_OTHER)
        return false;
    *out = tensor_get_f64(t, 0);
    for (int64_t i = 1; !t->splat && i < t->count; i++)
        if (i >= 64 || !(tensor_get_f64(t, i) == *out))     /* long tensors that are no splat count as not uniform */
            return false;
    return true;
}

Node *graph_return(const Graph *g)
{
    return g->last && g->last->op == OP_return ? g->last : NULL;
}

int graph_inputs(const Graph *g, Value **out, int room)
{
    int n = 0;
    FOR_EACH_NODE(node, g)
        if (node->op == OP_input) {
            int64_t i = NODE_ATTR(node, input)->index;
            if (i >= 0 && i < room)
                out[i] = node_out(node);
            n++;
        }
    return n;
}

static void renumber(Graph *g, uint32_t *node_id, uint32_t *value_id)
{
    FOR_EACH_NODE(n, g) {
        n->id = (*node_id)++;
        for (int i = 0; i < n->nout; i++)
            n->out[i].id = (*value_id)++;
        for (int i = 0; i < op_table[n->op].nattr; i++)
            if (op_table[n->op].attr[i].kind == AK_graph)
                renumber(*(Graph **)((char *)n->attrs + op_table[n->op].attr[i].offset), node_id, value_id);
    }
}

void graph_renumber(Graph *g)
{
    uint32_t node_id = 0, value_id = 0;
    renumber(g, &node_id, &value_id);
    if (!g->parent)
        g->module->next_id = node_id > value_id ? node_id : value_id;
}

/* ---- copies ---- */

static void clone_regions(Graph *g, Node *n)
{
    const OpInfo *info = &op_table[n->op];
    for (int i = 0; i < info->nattr; i++)
        if (info->attr[i].kind == AK_graph) {
            Graph **slot = (Graph **)((char *)n->attrs + info->attr[i].offset);
            *slot = graph_clone(g->module, *slot, g);
        }
}

Node *node_clone(Graph *g, Node *before, const Node *n, Value *const *in)
{
    Node *c = node_alloc(g, n->op, n->nin, n->nout, n->attrs, n->loc);
    clone_regions(g, c);
    for (int i = 0; i < n->nin; i++) {
        c->in[i].user = c;
        use_link(&c->in[i], in[i]);
    }
    for (int i = 0; i < n->nout; i++) {
        c->out[i].type = n->out[i].type;
        c->out[i].name = n->out[i].name;
        c->out[i].known = n->out[i].known;
    }
    list_insert(g, c, before);
    return c;
}

/* The copy of a value is found by walking both node lists in step, which costs a table from id to copy. */
Graph *graph_clone(Module *m, const Graph *g, Graph *parent)
{
    Graph *c = graph_new(m, parent);
    uint32_t top = 0;
    c->props = g->props;
    FOR_EACH_NODE(n, g)
        for (int i = 0; i < n->nout; i++)
            top = n->out[i].id >= top ? n->out[i].id + 1 : top;
    Value **copy = ARENA_ARRAY(m->arena, Value *, top + 1);
    FOR_EACH_NODE(n, g) {
        Value **in = ARENA_ARRAY(m->arena, Value *, n->nin + 1);
        for (int i = 0; i < n->nin; i++)
            in[i] = n->in[i].val ? copy[n->in[i].val->id] : NULL;
        Node *k = node_clone(c, NULL, n, in);
        for (int i = 0; i < n->nout; i++)
            copy[n->out[i].id] = &k->out[i];
    }
    return c;
}
