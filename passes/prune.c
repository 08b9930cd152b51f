/* prune.c -- see prune.h. A new graph is built node by node: operands that are constants are cut, attributes that hold sizes or positions along a pruned
 * axis are adapted by one function per operator (adapt_table), and the types follow from inference.
 *
 * What the caller promises (groups.c): where `adapt_table` has nothing for an operator, its attributes do not depend on the sizes of pruned axes.
 */
#include "prune.h"

#include <string.h>

#include "attrs.h"
#include "build.h"
#include "pass_util.h"

/* ---- keep-lists ---- */

const AxisKeep *keeps_of_value(const Keeps *k, const Value *v)
{
    return (const AxisKeep *)ptrmap_get(&k->of, v, 0);
}

const AxisKeep *keeps_of_operand(const Keeps *k, const Node *n, int i)
{
    const Value *v = node_in(n, i);
    return !v ? NULL : v->def->op == OP_constant ? (const AxisKeep *)ptrmap_get(&k->of, &n->in[i], 0) : keeps_of_value(k, v);
}

/* Elements before `end` that stay; end is at most the period. */
static int64_t kept_before(const AxisKeep *k, int64_t end)
{
    int64_t n = 0;
    for (int64_t i = 0; i < end; i++)
        n += !k->keep || k->keep[i];
    return n;
}

int64_t keep_count(const AxisKeep *k)
{
    return kept_before(k, k->period);
}

static Dim dim_kept(DimTable *t, Dim d, const AxisKeep *k)
{
    return !k || !k->keep ? d : dim_mulk(t, dim_divk(t, d, k->period), keep_count(k));
}

/* ---- constants ---- */

/* Copies the kept elements of axes [axis, rank); returns where the next go. */
static char *cut_axis(const Tensor *t, const AxisKeep *k, int axis, const int64_t *stride, const char *from, char *to)
{
    size_t bytes = (size_t)dtype_bytes(t->dtype);
    if (axis == t->rank) {
        memcpy(to, from, bytes);
        return to + bytes;
    }
    bool rest_stays = true;
    for (int i = axis; i < t->rank; i++)
        rest_stays &= !k[i].keep;
    if (rest_stays) {
        memcpy(to, from, (size_t)(stride[axis] * t->dim[axis]) * bytes);
        return to + (size_t)(stride[axis] * t->dim[axis]) * bytes;
    }
    for (int64_t i = 0; i < t->dim[axis]; i++)
        if (!k[axis].keep || k[axis].keep[i])
            to = cut_axis(t, k, axis + 1, stride, from + (size_t)(i * stride[axis]) * bytes, to);
    return to;
}

const Tensor *tensor_cut(Arena *a, const Tensor *t, const AxisKeep *k)
{
    int64_t dim[MAX_RANK], stride[MAX_RANK + 1] = { 0 };
    for (int i = t->rank - 1, n = 1; i >= 0; i--) {
        dim[i] = k[i].keep ? keep_count(&k[i]) : t->dim[i];
        stride[i] = i == t->rank - 1 ? n : stride[i + 1] * t->dim[i + 1];
    }
    if (t->splat)
        return tensor_splat(a, t->dtype, t->rank, dim, t->data);
    Tensor *cut = tensor_new(a, t->dtype, t->rank, dim);
    if (cut->count)
        cut_axis(t, k, 0, stride, t->data, (char *)(uintptr_t)cut->data);
    return cut;
}

/* ---- attributes ---- */

typedef struct Adapt {
    Module *m;
    const Node *n;                  /* the node as it was */
    const AxisKeep *in, *out;       /* of operand 0 and result 0; NULL: all stays */
    const AxisKeep *weight;         /* of operand 1 */
} Adapt;

typedef void AdaptFn(const Adapt *c, void *attrs);

/* A shape that is the result's. */
static DimVec shape_kept(const Adapt *c, DimVec shape)
{
    Dim dim[MAX_RANK];
    for (int i = 0; i < shape.n; i++)
        dim[i] = dim_kept(c->m->dims, shape.v[i], c->out ? &c->out[i] : NULL);
    return dims_copy(c->m, shape.n, dim);
}

static void adapt_reshape(const Adapt *c, void *attrs) { Attr_reshape *a = attrs; a->shape = shape_kept(c, a->shape); }
static void adapt_expand(const Adapt *c, void *attrs) { Attr_expand *a = attrs; a->shape = shape_kept(c, a->shape); }
static void adapt_resize(const Adapt *c, void *attrs) { Attr_resize *a = attrs; a->shape = shape_kept(c, a->shape); }

/* Along an axis of which something is gone, the slice starts at a number, in steps of 1 (relate.c holds the others whole). */
static void adapt_slice(const Adapt *c, void *attrs)
{
    Attr_slice *a = attrs;
    Dim start[MAX_RANK];
    for (int i = 0; i < a->starts.n; i++)
        start[i] = c->in && c->in[i].keep && dim_is_const(a->starts.v[i]) ? dim_const(c->m->dims, kept_before(&c->in[i], a->starts.v[i]->k)) : a->starts.v[i];
    a->starts = dims_copy(c->m, a->starts.n, start);
    a->sizes = shape_kept(c, a->sizes);
}

/* before >= 0 elements of the result come from nowhere; below 0, as many of the operand are cut off. */
static void adapt_pad(const Adapt *c, void *attrs)
{
    Attr_pad *a = attrs;
    Dim before[MAX_RANK], after[MAX_RANK];
    for (int i = 0; i < a->before.n; i++) {
        before[i] = a->before.v[i];
        after[i] = a->after.v[i];
        if (!dim_is_const(before[i]) || !dim_is_const(after[i]) || !c->out || !c->out[i].keep)
            continue;
        int64_t lead = before[i]->k, trail = after[i]->k, in = c->in[i].period, out = c->out[i].period;
        before[i] = dim_const(c->m->dims, lead >= 0 ? kept_before(&c->out[i], lead) : -kept_before(&c->in[i], -lead));
        after[i] = dim_const(c->m->dims, trail >= 0 ? keep_count(&c->out[i]) - kept_before(&c->out[i], out - trail)
                                                    : kept_before(&c->in[i], in + trail) - keep_count(&c->in[i]));
    }
    a->before = dims_copy(c->m, a->before.n, before);
    a->after = dims_copy(c->m, a->after.n, after);
}

static int64_t kept_size(const Value *v, int axis, const AxisKeep *k)
{
    return k && k[axis].keep ? keep_count(&k[axis]) : v->type.dim[axis]->k;
}

/* Groups are removed whole, or stay and lose the same channels each. */
static void adapt_conv(const Adapt *c, void *attrs)
{
    Attr_conv *a = attrs;
    if (a->group > 1)
        a->group = kept_size(node_in(c->n, 0), 1, c->in) / kept_size(node_in(c->n, 1), 1, c->weight);
}

static void adapt_conv_transpose(const Adapt *c, void *attrs)
{
    Attr_conv_transpose *a = attrs;
    if (a->group > 1)
        a->group = kept_size(node_out(c->n), 1, c->out) / kept_size(node_in(c->n, 1), 1, c->weight);
}

static AdaptFn *const adapt_table[OP_count] = {
    [OP_reshape] = adapt_reshape, [OP_expand] = adapt_expand, [OP_resize] = adapt_resize, [OP_slice] = adapt_slice, [OP_pad] = adapt_pad,
    [OP_conv] = adapt_conv, [OP_conv_transpose] = adapt_conv_transpose,
};

/* ---- the new graph ---- */

typedef struct Copy {
    Module *m;
    Graph *g;
    const Keeps *keeps;
    PtrMap value;                   /* old Value -> new Value */
} Copy;

static Value *copied(const Copy *c, const Value *v)
{
    return v ? (Value *)ptrmap_get(&c->value, v, 0) : NULL;
}

/* Operand i of an old node in the new graph. */
static Value *cut_operand(const Copy *c, const Node *n, int i)
{
    const Tensor *t = value_constant(node_in(n, i));
    const AxisKeep *k = t ? keeps_of_operand(c->keeps, n, i) : NULL;
    if (!k)
        return copied(c, node_in(n, i));
    Builder b = { c->m, c->g, NULL, node_in(n, i)->def->loc };
    Value *v = mk_tensor(&b, tensor_cut(c->m->arena, t, k));
    if (v)
        v->name = node_in(n, i)->name;
    return v;
}

static void remember(Copy *c, const Node *n, Node *made)
{
    for (int i = 0; i < n->nout; i++)
        *ptrmap_at(&c->value, &n->out[i]) = (uintptr_t)&made->out[i];
}

static bool cut_node(Copy *c, const Node *n)
{
    Value **in = ARENA_ARRAY(c->m->arena, Value *, n->nin + 1);
    for (int i = 0; i < n->nin; i++)
        if (!(in[i] = cut_operand(c, n, i)) && node_in(n, i))
            return false;
    Node *made = node_clone(c->g, NULL, n, in);
    if (adapt_table[n->op]) {
        Adapt x = { c->m, n, keeps_of_operand(c->keeps, n, 0), keeps_of_value(c->keeps, node_out(n)), keeps_of_operand(c->keeps, n, 1) };
        made->attrs = arena_copy(c->m->arena, n->attrs, op_table[n->op].attr_bytes);
        adapt_table[n->op](&x, made->attrs);
    }
    remember(c, n, made);
    return n->op == OP_input || n->op == OP_constant || infer_node(c->m, made);
}

static Copy copy_begin(Module *m, const Keeps *k, PtrMap map)
{
    return (Copy){ m, graph_new(m, NULL), k, map };
}

/* Constants that were cut are not used whole any more. */
static Graph *copy_end(Copy *c, const Graph *from)
{
    FOR_EACH_NODE_SAFE(n, c->g)
        if (n->op == OP_constant && !n->out[0].uses)
            node_erase(n);
    c->g->props = from->props & (GP_TYPED | GP_CANONICAL);
    graph_renumber(c->g);
    return graph_verify(c->g) ? c->g : NULL;
}

Graph *prune_graph(Module *m, const Graph *g, const Keeps *k, PtrMap *map)
{
    Arena *a = arena_new();
    Copy c = copy_begin(m, k, map ? *map : ptrmap_new(a));
    bool ok = true;
    for (const Node *n = g->first; ok && n; n = n->next)
        ok = cut_node(&c, n);
    Graph *made = ok ? copy_end(&c, g) : NULL;
    if (map)
        *map = c.value;
    arena_free(a);
    return made;
}

/* ---- masks ---- */

/* The operand, and its axis, by which what is removed enters a sum; false: there is none. Hidden units of a recurrent layer do so in every step, by their rows of
 * the recurrent weights. */
static bool summed_axis(const Node *n, int *operand, int *axis)
{
    *operand = 0;
    switch (n->op) {
    case OP_conv: case OP_conv_transpose: *axis = 1; return true;
    case OP_matmul: *axis = node_in(n, 0)->type.rank - 1; return true;
    case OP_recurrent: *operand = *axis = 1; return true;
    default: return false;
    }
}

/* Ones and zeros along one axis, to broadcast against a value of that rank. */
static Value *mask_along(Builder *b, const Type *t, int axis, const AxisKeep *k)
{
    int64_t dim[MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        dim[i] = i == axis ? k->period : 1;
    Tensor *mask = tensor_new(b->m->arena, t->dtype, t->rank, dim);
    for (int64_t i = 0; i < k->period; i++)
        tensor_set_f64(mask, i, k->keep[i]);
    return mk_tensor(b, mask);
}

static bool mask_node(Copy *c, const Node *n)
{
    Value **in = ARENA_ARRAY(c->m->arena, Value *, n->nin + 1);
    int operand, axis;
    const AxisKeep *k = summed_axis(n, &operand, &axis) ? keeps_of_operand(c->keeps, n, operand) : NULL;
    for (int i = 0; i < n->nin; i++)
        in[i] = copied(c, node_in(n, i));
    if (k && k[axis].keep) {
        Builder b = { c->m, c->g, NULL, n->loc };
        if (!(in[operand] = mk_mul(&b, in[operand], mask_along(&b, &node_in(n, operand)->type, axis, &k[axis]))))
            return false;
    }
    remember(c, n, node_clone(c->g, NULL, n, in));
    return true;
}

Graph *prune_mask(Module *m, const Graph *g, const Keeps *k)
{
    Arena *a = arena_new();
    Copy c = copy_begin(m, k, ptrmap_new(a));
    bool ok = true;
    for (const Node *n = g->first; ok && n; n = n->next)
        ok = mask_node(&c, n);
    Graph *made = ok ? copy_end(&c, g) : NULL;
    arena_free(a);
    return made;
}

/* ---- several steps ---- */

/* What stays of an axis after both; second is about what the first leaves. */
static AxisKeep both_kept(Arena *a, const AxisKeep *first, const AxisKeep *second)
{
    if (!second->keep)
        return *first;
    if (!first->keep)
        return *second;
    bool *keep = ARENA_ARRAY(a, bool, first->period);
    for (int64_t i = 0, at = 0; i < first->period; i++)
        keep[i] = first->keep[i] && second->keep[at++ % second->period];
    return (AxisKeep){ keep, first->period };
}

static void compose_axes(Keeps *keeps, const void *key, const AxisKeep *step, int rank)
{
    AxisKeep *was = (AxisKeep *)ptrmap_get(&keeps->of, key, 0);
    if (!step)
        return;
    AxisKeep *now = ARENA_ARRAY(keeps->of.arena, AxisKeep, rank);
    for (int i = 0; i < rank; i++)
        now[i] = was ? both_kept(keeps->of.arena, &was[i], &step[i]) : step[i];
    *ptrmap_at(&keeps->of, key) = (uintptr_t)now;
}

void prune_compose(const Graph *first, Keeps *keeps, PtrMap *map, const Keeps *k, const PtrMap *step)
{
    for (const Node *n = first->first; n; n = n->next) {
        const Value *now = n->nout ? (Value *)ptrmap_get(map, &n->out[0], (uintptr_t)&n->out[0]) : NULL;
        bool same = now && now->def->op == n->op && now->def->nin == n->nin;        /* else it is gone, and now is what stands for it */
        for (int i = 0; same && i < n->nin; i++)
            if (value_constant(node_in(n, i)))
                compose_axes(keeps, &n->in[i], keeps_of_operand(k, now->def, i), node_in(n, i)->type.rank);
        for (int i = 0; n->op != OP_constant && i < n->nout; i++) {
            now = (Value *)ptrmap_get(map, &n->out[i], (uintptr_t)&n->out[i]);
            if (now)
                compose_axes(keeps, &n->out[i], keeps_of_value(k, now), n->out[i].type.rank);
            *ptrmap_at(map, &n->out[i]) = now ? ptrmap_get(step, now, 0) : 0;
        }
    }
}
