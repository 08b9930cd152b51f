/* export_sizes.c -- symbolic sizes as ONNX arithmetic on int64 tensors.
 *
 * A symbol is read where the graph has it: from the shape of the first value with an axis of exactly that size, or from the operand of a `bind`. An
 * expression becomes Add, Mul, Div... of its parts. Every size is computed once per graph.
 *
 *     3*N+1   ->   Add(Mul(Shape(x){start=0, end=1}, [3]), [1])
 */
#include "export.h"

/* ---- where symbols come from ---- */

static void note_source(Exporter *e, PtrMap *map, Dim d, Value *v, int index, bool element)
{
    uintptr_t *at = d->op == DIM_SYM ? ptrmap_at(map, d) : NULL;
    if (!at || *at)
        return;
    SizeSource *s = ARENA_NEW(e->arena, SizeSource);
    *s = (SizeSource){ v, index, element };
    *at = (uintptr_t)s;
}

static void note_types(Exporter *e, PtrMap *map, Node *n)
{
    for (int i = 0; i < n->nout; i++)
        for (int k = 0; n->out[i].type.kind == TY_TENSOR && k < n->out[i].type.rank; k++)
            note_source(e, map, n->out[i].type.dim[k], &n->out[i], k, false);
}

/* Sources of graph g alone, found when first asked for. */
static PtrMap *sources_of(Exporter *e, const Graph *g)
{
    uintptr_t *at = ptrmap_at(&e->sources, g);
    if (*at)
        return (PtrMap *)*at;
    PtrMap *map = ARENA_NEW(e->arena, PtrMap);
    *map = ptrmap_new(e->arena);
    *at = (uintptr_t)map;
    FOR_EACH_NODE(n, g) {
        for (int i = 0; n->op == OP_bind && i < NODE_ATTR(n, bind)->syms.n; i++)
            note_source(e, map, NODE_ATTR(n, bind)->syms.v[i], node_in(n, 0), i, true);
        note_types(e, map, n);
    }
    return map;
}

const SizeSource *export_source(Exporter *e, const Graph *g, Dim symbol)
{
    const SizeSource *s = NULL;
    for (; g && !s; g = g->parent)
        s = (const SizeSource *)ptrmap_get(sources_of(e, g), symbol, 0);
    return s;
}

/* ---- expressions ---- */

static Term element_of(Exporter *e, const SizeSource *s)
{
    Term x = export_term(e, s->v);
    const Type *t = &s->v->type;
    if (t->rank != 1)
        x = export_reshape_term(e, x, 1, (int64_t[]){ -1 });
    if (t->rank > 1 || (t->rank == 1 && !dim_is(t->dim[0], 1)))
        x = TERM(e, "Slice", x, export_ints(e, 1, (int64_t[]){ s->index }), export_ints(e, 1, (int64_t[]){ s->index + 1 }));
    return t->dtype == DT_i64 ? x : export_as(e, x, DT_i64);
}

static Term symbol(Exporter *e, Dim d)
{
    const SizeSource *s = export_source(e, e->scope->g, d);
    if (!s) {
        export_gap(e, e->at, "the size %s cannot be read from any tensor", dim_print(e->m->dims, e->arena, d));
        return export_ints(e, 1, (int64_t[]){ 0 });
    }
    if (s->element)
        return element_of(e, s);
    Onnx__NodeProto *p = EMIT(e, "Shape", export_term(e, s->v));
    export_attr_i(e, p, "start", s->index);
    export_attr_i(e, p, "end", s->index + 1);
    return export_result(e, p);
}

/* Floor division; ONNX's cuts toward zero. */
static Term quotient(Exporter *e, Dim d, Term a, Term b)
{
    if (dim_nonneg(d->arg[0]) && dim_nonneg(d->arg[1]))
        return TERM(e, "Div", a, b);
    return TERM(e, "Div", TERM(e, "Sub", a, TERM(e, "Mod", a, b)), b);
}

static Term of_two(Exporter *e, Dim d)
{
    Term a = export_size(e, d->arg[0]), b = export_size(e, d->arg[1]);
    Term zero = export_ints(e, 1, (int64_t[]){ 0 }), one = export_ints(e, 1, (int64_t[]){ 1 });
    switch (d->op) {
    case DIM_DIV: return quotient(e, d, a, b);
    case DIM_MOD: return TERM(e, "Mod", a, b);
    case DIM_MAX: return TERM(e, "Max", a, b);
    case DIM_MIN: return TERM(e, "Min", a, b);
    case DIM_WRAP: return TERM(e, "Where", TERM(e, "Less", a, zero), TERM(e, "Add", a, b), a);
    default: return TERM(e, "Where", TERM(e, "Equal", a, one), b, a);      /* DIM_BCAST */
    }
}

/* k + the args' sum, or k * their product. */
static Term of_many(Exporter *e, Dim d)
{
    bool sum = d->op == DIM_ADD;
    Term t = export_size(e, d->arg[0]);
    for (int i = 1; i < d->nargs; i++)
        t = TERM(e, sum ? "Add" : "Mul", t, export_size(e, d->arg[i]));
    return d->k == (sum ? 0 : 1) ? t : TERM(e, sum ? "Add" : "Mul", t, export_ints(e, 1, &d->k));
}

static Term known_size(Exporter *e, Dim d)
{
    uintptr_t t = 0;
    for (Scope *s = e->scope; s && !t; s = s->outer)
        t = ptrmap_get(&s->size, d, 0);
    return (Term)t;
}

Term export_size(Exporter *e, Dim d)
{
    if (dim_is_const(d))
        return export_ints(e, 1, &d->k);
    Term t = known_size(e, d);
    if (t)
        return t;
    t = d->op == DIM_SYM ? symbol(e, d) : d->op == DIM_ADD || d->op == DIM_MUL ? of_many(e, d) : of_two(e, d);
    *ptrmap_at(&e->scope->size, d) = (uintptr_t)t;
    return t;
}

Term export_sizes(Exporter *e, int n, const Dim *d)
{
    int64_t *k = ARENA_ARRAY(e->arena, int64_t, n + 1);
    Term *part = ARENA_ARRAY(e->arena, Term, n + 1);
    int parts = 0, run = 0;
    for (int i = 0; i < n; i++) {
        if (dim_is_const(d[i])) {
            k[run++] = d[i]->k;
            continue;
        }
        if (run)
            part[parts++] = export_ints(e, run, k);
        run = 0;
        part[parts++] = export_size(e, d[i]);
    }
    if (run || !parts)
        part[parts++] = export_ints(e, run, k);
    if (parts == 1)
        return part[0];
    Onnx__NodeProto *p = export_node(e, "Concat", parts, part);
    export_attr_i(e, p, "axis", 0);
    return export_result(e, p);
}
