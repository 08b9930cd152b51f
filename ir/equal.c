/* equal.c -- are two modules the same program? Both graphs are walked in step; values correspond by their place. Names, locations, ids and props are
 * not compared; types, attributes, constants (bit for bit), nested graphs, and where values live are.
 *
 * The modules have DimTables of their own, so a size of b is first rebuilt in the table of a; there, equal sizes are the same pointer.
 * Symbols correspond by name.
 */
#include "attrs.h"
#include "ptrmap.h"
#include "text.h"

#include <stdarg.h>
#include <string.h>

typedef struct Compare {
    const Module *a, *b;
    Arena *arena;                   /* of the caller, for the answer */
    PtrMap value;                   /* Value of b -> Value of a */
    PtrMap dim;                     /* Dim of b -> Dim of a */
    const char *difference;
} Compare;

static bool differ(Compare *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool differ(Compare *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!c->difference)
        c->difference = arena_vprintf(c->arena, fmt, ap);
    va_end(ap);
    return false;
}

/* ---- sizes ---- */

static Dim translate(Compare *c, Dim d);

static bool same_dim(Compare *c, Dim a, Dim b)
{
    return a && b ? a == translate(c, b) : a == b;
}

/* NULL if a has no symbol like it. */
static Dim translate_symbol(Compare *c, int index)
{
    const DimSymbol *s = dim_symbol_at(c->b->dims, index);
    int i = dim_symbol_find(c->a->dims, s->name);
    const DimSymbol *t = i < 0 ? NULL : dim_symbol_at(c->a->dims, i);
    if (!t || s->from_data != t->from_data || s->any_sign != t->any_sign || !same_dim(c, t->bound, s->bound))
        return NULL;
    return dim_symbol(c->a->dims, s->name);
}

static Dim combine(DimTable *t, DimOp op, Dim x, Dim y)
{
    switch (op) {
    case DIM_ADD: return dim_add(t, x, y);
    case DIM_MUL: return dim_mul(t, x, y);
    case DIM_DIV: return dim_div(t, x, y);
    case DIM_MOD: return dim_mod(t, x, y);
    case DIM_MAX: return dim_max(t, x, y);
    case DIM_MIN: return dim_min(t, x, y);
    case DIM_WRAP: return dim_wrap(t, x, y);
    default: return dim_bcast(t, x, y);
    }
}

static Dim rebuild(Compare *c, Dim d)
{
    DimTable *t = c->a->dims;
    if (d->op == DIM_CONST)
        return dim_const(t, d->k);
    if (d->op == DIM_SYM)
        return translate_symbol(c, (int)d->k);
    Dim r = d->op == DIM_ADD || d->op == DIM_MUL ? dim_const(t, d->k) : NULL;
    for (int i = 0; i < d->nargs; i++) {
        Dim x = translate(c, d->arg[i]);
        if (!x)
            return NULL;
        r = r ? combine(t, d->op, r, x) : x;
    }
    return r;
}

static Dim translate(Compare *c, Dim d)
{
    uintptr_t done = ptrmap_get(&c->dim, d, 0);
    if (done)
        return (Dim)done;
    Dim r = c->a->dims == c->b->dims ? d : rebuild(c, d);
    *ptrmap_at(&c->dim, d) = (uintptr_t)r;
    return r;
}

static bool same_dims(Compare *c, int na, const Dim *a, int nb, const Dim *b)
{
    for (int i = 0; na == nb && i < na; i++)
        if (!same_dim(c, a[i], b[i]))
            return false;
    return na == nb;
}

static bool same_type(Compare *c, const Type *a, const Type *b)
{
    if (a->kind != b->kind || a->dtype != b->dtype || !a->elem != !b->elem)
        return false;
    if (a->kind == TY_TENSOR)
        return a->rank < 0 ? b->rank < 0 : same_dims(c, a->rank, a->dim, b->rank, b->dim);
    return !a->elem || same_type(c, a->elem, b->elem);
}

/* ---- nodes ---- */

static bool same_graph(Compare *c, const Graph *a, const Graph *b);

static bool same_value(const Compare *c, const Value *a, const Value *b)
{
    return a && b ? ptrmap_get(&c->value, b, 0) == (uintptr_t)a : a == b;
}

static bool same_attr(Compare *c, AttrKind k, const void *x, const void *y)
{
    const DimVec *dx = x, *dy = y;
    if (k == AK_dims)
        return same_dims(c, dx->n, dx->v, dy->n, dy->v);
    if (k != AK_graph)
        return attr_equal(k, x, y);
    const Graph *g = *(Graph *const *)x, *h = *(Graph *const *)y;
    return g && h ? same_graph(c, g, h) : g == h;
}

static bool same_attrs(Compare *c, const Node *a, const Node *b)
{
    FOR_EACH_ATTR(f, a->op) {
        const void *x = attr_at(f, a->attrs), *y = attr_at(f, b->attrs);
        if (!same_attr(c, f->kind, x, y))
            return differ(c, "%s %%%u: attribute %s differs", op_name(a->op), a->nout ? a->out[0].id : a->id, f->name);
    }
    return true;
}

static bool same_node(Compare *c, const Node *a, const Node *b)
{
    uint32_t id = a->nout ? a->out[0].id : a->id;
    if (a->op != b->op)
        return differ(c, "%s %%%u against %s", op_name(a->op), id, op_name(b->op));
    if (a->nin != b->nin || a->nout != b->nout)
        return differ(c, "%s %%%u: the numbers of operands or results differ", op_name(a->op), id);
    for (int i = 0; i < a->nin; i++)
        if (!same_value(c, a->in[i].val, b->in[i].val))
            return differ(c, "%s %%%u: operand %d differs", op_name(a->op), id, i);
    if (!same_attrs(c, a, b))
        return false;
    for (int i = 0; i < a->nout; i++) {
        if (!same_type(c, &a->out[i].type, &b->out[i].type))
            return differ(c, "%s %%%u: the type of result %d differs", op_name(a->op), id, i);
        *ptrmap_at(&c->value, &b->out[i]) = (uintptr_t)&a->out[i];
    }
    return true;
}

static bool same_graph(Compare *c, const Graph *a, const Graph *b)
{
    const Node *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next)
        if (!same_node(c, x, y))
            return false;
    return (!x && !y) || differ(c, "one graph has more nodes than the other");
}

/* ---- storage: compared when all values are paired, since an alias may point to a later one ---- */

static bool same_storage(Compare *c, const Graph *g)
{
    FOR_EACH_NODE(n, g) {
        for (int i = 0; i < n->nout; i++) {
            const Storage *t = &n->out[i].storage, *s = &((const Value *)ptrmap_get(&c->value, &n->out[i], 0))->storage;
            if (s->kind != t->kind || s->index != t->index || !same_dim(c, s->offset, t->offset) || !same_value(c, s->of, t->of))
                return differ(c, "%s: the storage of result %d differs", op_name(n->op), i);
        }
        FOR_EACH_ATTR(f, n->op)
            if (f->kind == AK_graph && *(Graph **)attr_at(f, n->attrs) && !same_storage(c, *(Graph **)attr_at(f, n->attrs)))
                return false;
    }
    return true;
}

const char *module_difference(Arena *arena, const Module *a, const Module *b)
{
    Arena *scratch = arena_new();
    Compare c = { .a = a, .b = b, .arena = arena, .value = ptrmap_new(scratch), .dim = ptrmap_new(scratch) };
    if (same_graph(&c, a->graph, b->graph) && same_storage(&c, b->graph) &&
        (a->nheap != b->nheap || !same_dim(&c, a->arena_bytes, b->arena_bytes)))
        differ(&c, "the sizes of the workspaces differ");
    else if (a->fast_math != b->fast_math)
        differ(&c, "one allows fast arithmetic, the other does not");
    arena_free(scratch);
    return c.difference;
}

bool module_equal(const Module *a, const Module *b)
{
    Arena *scratch = arena_new();
    bool equal = !module_difference(scratch, a, b);
    arena_free(scratch);
    return equal;
}
