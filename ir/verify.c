/* verify.c -- the invariants of ir.h, checked. Run after every pass in tests, and by the parser on what it read.
 *
 * One walk over the nodes in order, nested graphs where their owner stands, in four layers, each of which relies on the ones before:
 *   structure   list links, owners, operand counts, definitions before uses, use lists
 *   sizes       a symbol is defined (by the shape of a graph input, or by an op that SIZES) before a type or attribute mentions it
 *   types       what is stored equals a fresh inference; nested graphs take what their owner is given
 *   promises    what the props of a graph say: typed; planned (every value has a place, live arena values do not overlap)
 * The first broken layer ends the check. Every failure is a sentence with op, value and what was expected. Notes are kept in a scratch arena.
 */
#include "concat_part.h"
#include "verify.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "attrs.h"
#include "loop.h"
#include "ptrmap.h"
#include "text.h"

typedef struct Live {               /* an arena value from its definition to its last use, in steps of the walk */
    Value *val;
    uintptr_t from, to;
    int64_t begin, end;             /* bytes, for the sizes being tried */
} Live;

typedef struct Check {
    Module *m;
    Arena *arena;
    PtrMap defined;                 /* Node -> 1, once the walk has passed it */
    PtrMap uses;                    /* Value -> number of operands seen that are it */
    bool *symbol;                   /* by index: defined at this point of the walk */
    int nsymbol;
    PtrMap to;                      /* Value -> step of the last use of its memory */
    uintptr_t step;
    int ninput, noutput;            /* of the main graph */
    Live *live;
    int nlive, live_room;
} Check;

static bool bad(const Check *c, const Node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool bad(const Check *c, const Node *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(c->arena, fmt, ap);
    va_end(ap);
    const char *who = n->nout ? arena_printf(c->arena, " %%%u", n->out[0].id) : "";
    return diag_error(c->m->diag, n->loc, "%s%s: %s", op_name(n->op), who, what);
}

/* ---- frame of a graph ---- */

static Loc graph_loc(const Graph *g)
{
    return g->last ? g->last->loc : (Loc){ g->module->file, NULL, 0 };
}

bool graph_verify_frame(const Graph *g)
{
    Diag *d = g->module->diag;
    int count = graph_inputs(g, NULL, 0);
    Value **input = ARENA_ARRAY(g->module->arena, Value *, count + 1);
    graph_inputs(g, input, count);
    for (int i = 0; i < count; i++)
        if (!input[i])
            return diag_error(d, graph_loc(g), "a graph has %d inputs, but none with index %d", count, i);
    if (!graph_return(g))
        return diag_error(d, graph_loc(g), "a graph does not end with return");
    FOR_EACH_NODE(n, g)
        if (n->op == OP_return && n != g->last)
            return diag_error(d, n->loc, "a graph has a return before its end");
    return true;
}

/* ---- structure ---- */

static bool check_links(Check *c, const Graph *g, const Node *n)
{
    if (*ptrmap_at(&c->defined, n))
        return bad(c, n, "the node is in the list twice");
    if (n->op <= OP_none || n->op >= OP_count)
        return diag_error(c->m->diag, n->loc, "a node has the op number %d", (int)n->op);
    if (n->graph != g)
        return bad(c, n, "the node is listed in one graph and belongs to another");
    if ((n->prev ? n->prev->next : g->first) != n || (n->next ? n->next->prev : g->last) != n)
        return bad(c, n, "the links to the nodes beside it are broken");
    return true;
}

static bool check_counts(Check *c, const Node *n)
{
    const OpInfo *op = &op_table[n->op];
    if (n->nin < op->min_in || (op->max_in >= 0 && n->nin > op->max_in))
        return bad(c, n, "%d operands, the op takes %d to %d", n->nin, op->min_in, op->max_in);
    if (op->nout >= 0 && n->nout != op->nout)
        return bad(c, n, "%d results, the op has %d", n->nout, op->nout);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].def != n || n->out[i].index != i)
            return bad(c, n, "result %d does not point back to its node", i);
    return true;
}

static bool check_operand(Check *c, const Node *n, int i)
{
    const Use *u = &n->in[i];
    const OpInfo *op = &op_table[n->op];
    if (u->user != n)
        return bad(c, n, "operand %d belongs to another node", i);
    if (!u->val)
        return (i >= op->min_in && op->max_in >= 0) || bad(c, n, "operand %d is absent, it is required", i);
    if (u->val->def->graph != n->graph)
        return bad(c, n, "operand %d, %%%u, is a value of another graph", i, u->val->id);
    if (!ptrmap_get(&c->defined, u->val->def, 0))
        return bad(c, n, "operand %d, %%%u, is defined later or was erased", i, u->val->id);
    ++*ptrmap_at(&c->uses, u->val);
    return true;
}

static bool check_use_list(Check *c, const Value *v)
{
    uintptr_t want = ptrmap_get(&c->uses, v, 0), have = 0;
    Use *const *link = &v->uses;
    for (const Use *u = v->uses; u && have <= want; link = &u->next, u = u->next, have++)
        if (u->val != v || u->prev != link)
            return bad(c, v->def, "the use list of %%%u is broken at place %d", v->id, (int)have);
    return have == want || bad(c, v->def, "the use list of %%%u has %s%d entries, %d operands are it", v->id, have > want ? "at least " : "",
                               (int)have, (int)want);
}

static bool check_structure(Check *c, Graph *g)
{
    if (!graph_verify_frame(g))
        return false;
    FOR_EACH_NODE(n, g) {
        if (!check_links(c, g, n) || !check_counts(c, n))
            return false;
        for (int i = 0; i < n->nin; i++)
            if (!check_operand(c, n, i))
                return false;
        *ptrmap_at(&c->defined, n) = 1;
        FOR_EACH_ATTR(f, n->op) {
            Graph *nested = f->kind == AK_graph ? *(Graph **)attr_at(f, n->attrs) : NULL;
            if (nested && nested->parent != g)
                return bad(c, n, "%s does not have this graph as its parent", f->name);
            if (nested && !check_structure(c, nested))
                return false;
        }
    }
    FOR_EACH_NODE(n, g)
        for (int i = 0; i < n->nout; i++)
            if (!check_use_list(c, &n->out[i]))
                return false;
    return true;
}

/* ---- sizes ---- */

typedef struct Undefined {
    const Check *c;
    int sym;                        /* -1: none */
} Undefined;

static void see_use(void *ctx, int sym)
{
    Undefined *u = ctx;
    if (!u->c->symbol[sym] && u->sym < 0)
        u->sym = sym;
}

static void see_definition(void *ctx, int sym)
{
    Check *c = ctx;
    c->symbol[sym] |= !dim_symbol_at(c->m->dims, sym)->from_data;
}

static void define_by_shape(Check *c, const Type *t)
{
    for (int i = 0; t->kind == TY_TENSOR && i < t->rank; i++)
        dim_symbols_used(t->dim[i], see_definition, c);
    if (t->elem)
        define_by_shape(c, t->elem);
}

static bool check_dim(const Check *c, const Node *n, Dim d, const char *where)
{
    Undefined u = { c, -1 };
    dim_symbols_used(d, see_use, &u);
    return u.sym < 0 || bad(c, n, "%s mentions %s, which nothing before defines", where, dim_symbol_at(c->m->dims, u.sym)->name);
}

static bool check_type_dims(const Check *c, const Node *n, const Type *t)
{
    for (int i = 0; t->kind == TY_TENSOR && i < t->rank; i++)
        if (!check_dim(c, n, t->dim[i], "a result type"))
            return false;
    return !t->elem || check_type_dims(c, n, t->elem);
}

/* An op that SIZES defines the symbols it lists; each may be defined once. */
static bool define_symbol(Check *c, const Node *n, Dim d)
{
    const DimSymbol *s = d->op == DIM_SYM ? dim_symbol_at(c->m->dims, (int)d->k) : NULL;
    if (!s)
        return check_dim(c, n, d, "an attribute");
    if (!s->from_data)
        return bad(c, n, "%s is a symbol of input shapes, data cannot define it", s->name);
    if (c->symbol[d->k])
        return bad(c, n, "%s is defined a second time", s->name);
    return c->symbol[d->k] = true;
}

static bool check_attr_dims(Check *c, const Node *n)
{
    FOR_EACH_ATTR(f, n->op) {
        const DimVec *dims = attr_at(f, n->attrs);
        for (int i = 0; f->kind == AK_dims && i < dims->n; i++)
            if (!(op_table[n->op].flags & OPF_SIZES ? define_symbol(c, n, dims->v[i]) : check_dim(c, n, dims->v[i], f->name)))
                return false;
    }
    return true;
}

static bool check_sizes(Check *c, const Graph *g);

/* What every region of a node defines is defined after it: one of them ran. */
static bool check_region_sizes(Check *c, const Node *n)
{
    bool *before = c->symbol, *after = NULL;
    FOR_EACH_ATTR(f, n->op) {
        const Graph *nested = f->kind == AK_graph ? *(Graph **)attr_at(f, n->attrs) : NULL;
        if (!nested)
            continue;
        c->symbol = arena_copy(c->arena, before, sizeof(bool) * (size_t)c->nsymbol);
        if (!check_sizes(c, nested))
            return false;
        for (int i = 0; after && i < c->nsymbol; i++)
            c->symbol[i] &= after[i];
        after = c->symbol;
    }
    c->symbol = after && n->op != OP_loop ? after : before;     /* the body of a loop may not run at all */
    return true;
}

static bool check_sizes(Check *c, const Graph *g)
{
    FOR_EACH_NODE(n, g)
        if (n->op == OP_input && !g->parent)
            define_by_shape(c, &n->out[0].type);
    FOR_EACH_NODE(n, g) {
        if (!check_attr_dims(c, n) || !check_region_sizes(c, n))
            return false;
        for (int i = 0; i < n->nout; i++)
            if (!check_type_dims(c, n, &n->out[i].type))
                return false;
    }
    return true;
}

/* ---- types ---- */

static bool check_region_inputs(Check *c, const Node *n, const Graph *nested, const char *name)
{
    int first = op_table[n->op].min_in, count = graph_inputs(nested, NULL, 0);
    if (count != n->nin - first)
        return bad(c, n, "%s has %d inputs, %d operands are given", name, count, n->nin - first);
    Value **input = ARENA_ARRAY(c->arena, Value *, count + 1);
    graph_inputs(nested, input, count);
    for (int i = 0; i < count; i++) {
        Type given = n->op == OP_loop ? loop_input_type(c->m, n, i) : n->in[first + i].val->type;
        if (!type_equal(&input[i]->type, &given))
            return bad(c, n, "input %d of %s is %s, operand %d is %s", i, name, type_print(c->m, c->arena, &input[i]->type), first + i,
                       type_print(c->m, c->arena, &given));
    }
    return true;
}

/* Inference writes its results into the node; they are compared and put back, so that checking changes nothing. */
static bool check_inference(Check *c, Node *n)
{
    Value *old = arena_copy(c->arena, n->out, sizeof(Value) * (size_t)n->nout);
    bool ok = infer_node(c->m, n);
    for (int i = 0; i < n->nout; i++) {
        Type fresh = n->out[i].type;
        n->out[i].type = old[i].type;
        n->out[i].known = old[i].known;
        if (ok && !type_equal(&fresh, &old[i].type))
            ok = bad(c, n, "result %d has type %s, inference gives %s", i, type_print(c->m, c->arena, &old[i].type),
                     type_print(c->m, c->arena, &fresh));
    }
    return ok;
}

static bool check_types(Check *c, const Graph *g)
{
    FOR_EACH_NODE(n, g) {
        FOR_EACH_ATTR(f, n->op) {
            const Graph *nested = f->kind == AK_graph ? *(Graph **)attr_at(f, n->attrs) : NULL;
            if (nested && (!check_region_inputs(c, n, nested, f->name) || !check_types(c, nested)))
                return false;
        }
        if (!check_inference(c, n))
            return false;
        for (int i = 0; g->props & GP_TYPED && i < n->nout; i++)
            if (n->out[i].type.kind == TY_TENSOR && (n->out[i].type.dtype == DT_none || n->out[i].type.rank < 0))
                return bad(c, n, "result %d has type %s in a typed graph", i, type_print(c->m, c->arena, &n->out[i].type));
    }
    return true;
}

/* ---- the memory plan ---- */

/* The value whose memory v uses; NULL if the aliases run in a circle or to nowhere. */
static Value *memory_of(Value *v)
{
    for (int hops = 0; v && v->storage.kind == ST_ALIAS; v = v->storage.of)
        if (++hops > 10000)
            return NULL;
    return v;
}

static bool check_arena_place(const Check *c, const Value *v)
{
    DimTable *t = c->m->dims;
    if (!v->storage.offset || !dim_divides(t, v->storage.offset, 64))
        return bad(c, v->def, "the arena offset of %%%u is not a multiple of 64", v->id);
    if (dim_from_data(t, v->storage.offset))
        return bad(c, v->def, "the arena offset of %%%u depends on data", v->id);
    if (!c->m->arena_bytes || dim_from_data(t, c->m->arena_bytes))
        return bad(c, v->def, "%%%u lives in the arena of a module that has none", v->id);
    return dim_upper(t, type_bytes_dim(c->m, &v->type)) || bad(c, v->def, "%%%u lives in the arena, but its size has no bound", v->id);
}

/* An alias of another place than the start is a part of a concat, all of whose operands are parts. */
static bool check_part(const Check *c, const Value *v)
{
    const Node *concat = part_of_concat(v);
    StorageKind kind = concat ? node_out(concat)->storage.kind : ST_NONE;
    bool right = concat && concat_takes_parts(concat) && (kind == ST_ARENA || kind == ST_OUTPUT);
    for (int i = 0; right && i < concat->nin; i++)
        right = part_of_concat(concat->in[i].val) == concat && concat->in[i].val->storage.index == part_column(concat, i);
    if ((concat || v->storage.index) && !right)
        return bad(c, v->def, "%%%u is no part that a concat written in place could have", v->id);
    return true;
}

static bool check_place(const Check *c, Value *v)
{
    const Storage *s = &v->storage;
    switch (s->kind) {
    case ST_NONE: return bad(c, v->def, "%%%u has no storage in a planned graph", v->id);
    case ST_ARENA: return check_arena_place(c, v);
    case ST_INPUT: return s->index < c->ninput || bad(c, v->def, "%%%u lives in input %d, there are %d", v->id, s->index, c->ninput);
    case ST_OUTPUT: return s->index < c->noutput || bad(c, v->def, "%%%u lives in output %d, there are %d", v->id, s->index, c->noutput);
    case ST_HEAP: return s->index < c->m->nheap || bad(c, v->def, "%%%u lives in heap slot %d, there are %d", v->id, s->index, c->m->nheap);
    case ST_ALIAS: return memory_of(v) ? check_part(c, v) : bad(c, v->def, "%%%u is an alias of nothing", v->id);
    case ST_CONST: case ST_LOCAL: break;
    }
    return true;
}

static void live_add(Check *c, Value *v)
{
    if (c->nlive == c->live_room) {
        int room = c->live_room ? 2 * c->live_room : 64;
        Live *grown = ARENA_ARRAY(c->arena, Live, room);
        if (c->nlive)
            memcpy(grown, c->live, sizeof *grown * (size_t)c->nlive);
        c->live = grown;
        c->live_room = room;
    }
    c->live[c->nlive++] = (Live){ .val = v, .from = c->step };
}

static void read_operands(Check *c, const Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        Value *mem = n->in[i].val ? memory_of(n->in[i].val) : NULL;
        if (mem)
            *ptrmap_at(&c->to, mem) = c->step;
    }
}

static bool place_results(Check *c, const Graph *g, const Node *n)
{
    for (int i = 0; i < n->nout && g->props & GP_PLANNED; i++) {
        if (!check_place(c, &n->out[i]))
            return false;
        const Node *concat = part_of_concat(&n->out[i]);
        Value *mem = concat ? (Value *)node_out(concat) : &n->out[i];       /* needed from its first part on */
        if (mem->storage.kind == ST_ARENA && !ptrmap_get(&c->to, mem, 0))
            live_add(c, mem);
        *ptrmap_at(&c->to, memory_of(&n->out[i])) = c->step;
    }
    return true;
}

/* Number the steps; a node with regions takes one before them and one after, where its results are. Operands of an `if` are read before its regions, and
 * wherever an input of theirs, which is an alias, is used inside. A loop needs its operands to the end, and its results from the start: they are what it
 * works on. */
static bool walk_plan(Check *c, const Graph *g)
{
    FOR_EACH_NODE(n, g) {
        bool loop = n->op == OP_loop;
        c->step++;
        if (n->op == OP_if)
            read_operands(c, n);
        if (loop && !place_results(c, g, n))
            return false;
        FOR_EACH_ATTR(f, n->op)
            if (f->kind == AK_graph && *(Graph **)attr_at(f, n->attrs) && !walk_plan(c, *(Graph **)attr_at(f, n->attrs)))
                return false;
        if (op_table[n->op].flags & OPF_REGION)
            c->step++;
        if (!loop && !place_results(c, g, n))
            return false;
        if (n->op != OP_if)
            read_operands(c, n);
    }
    return true;
}

/* Offsets are expressions of symbols, and comparing those exactly is beyond a checker; so three choices of sizes are tried: all one, small and
 * different, large and different. */
enum { TRIES = 3 };

static const int64_t *choose_sizes(const Check *c, int try)
{
    int64_t *size = ARENA_ARRAY(c->arena, int64_t, c->nsymbol + 1);
    for (int i = 0; i < c->nsymbol; i++) {
        Dim bound = dim_symbol_at(c->m->dims, i)->bound;        /* of earlier symbols, so they are chosen already */
        int64_t most = bound ? dim_eval(bound, size) : INT64_MAX;
        size[i] = try == 0 ? 1 : try == 1 ? 2 + i : 1000 + 37 * i;
        size[i] = size[i] < most ? size[i] : most;
    }
    return size;
}

static const char *sizes_text(const Check *c, const int64_t *size)
{
    const char *s = "";
    for (int i = 0; i < c->nsymbol && i < 8; i++)
        if (!dim_symbol_at(c->m->dims, i)->from_data)
            s = arena_printf(c->arena, "%s%s%s=%lld", s, *s ? ", " : ", with ", dim_symbol_at(c->m->dims, i)->name, (long long)size[i]);
    return s;
}

/* An elementwise node may write over an operand that dies there, byte for byte. */
static bool in_place(const Live *x, const Live *y)
{
    const Node *n = x->val->def;
    bool elementwise = op_table[n->op].flags & (OPF_EW | OPF_REGION) || n->op == OP_cast || n->op == OP_bitcast;
    return elementwise && x->from == y->to && x->begin == y->begin && x->end == y->end;
}

/* live[0..*active) are the values needed at the moment; x joins them, those it finds dead leave. */
static bool live_join(Check *c, Live x, int *active, const int64_t *size)
{
    int kept = 0;
    for (int k = 0; k < *active; k++) {
        Live *y = &c->live[k];
        if (y->to < x.from)
            continue;
        if (x.begin < y->end && y->begin < x.end && !in_place(&x, y))
            return bad(c, x.val->def, "%%%u shares arena memory with %%%u, which is still needed%s", x.val->id, y->val->id, sizes_text(c, size));
        c->live[kept++] = *y;
    }
    c->live[kept++] = x;
    *active = kept;
    return true;
}

/* With sizes for which the model makes no sense (an input shorter than a window) no promise is made. */
static bool sizes_possible(Check *c, const int64_t *size)
{
    for (int i = 0; i < c->nlive; i++)
        for (int d = 0; d < c->live[i].val->type.rank; d++)
            if (dim_eval(c->live[i].val->type.dim[d], size) < 0)
                return false;
    return true;
}

static bool check_overlaps(Check *c, const int64_t *size)
{
    if (!sizes_possible(c, size))
        return true;
    int64_t room = c->nlive ? dim_eval(c->m->arena_bytes, size) : 0;
    const Live *all = c->nlive ? arena_copy(c->arena, c->live, sizeof *c->live * (size_t)c->nlive) : NULL;     /* in order of definition */
    for (int i = 0, active = 0; i < c->nlive; i++) {
        Live x = all[i];
        x.to = ptrmap_get(&c->to, x.val, x.from);
        x.begin = dim_eval(x.val->storage.offset, size);
        x.end = x.begin + dim_eval(dim_upper(c->m->dims, type_bytes_dim(c->m, &x.val->type)), size);
        if (x.begin < 0 || x.end > room)
            return bad(c, x.val->def, "%%%u ends %lld bytes beyond the arena%s", x.val->id, (long long)(x.end - room), sizes_text(c, size));
        if (x.begin < x.end && !live_join(c, x, &active, size))
            return false;
    }
    if (c->nlive)
        memcpy(c->live, all, sizeof *all * (size_t)c->nlive);
    return true;
}

static bool check_plan(Check *c)
{
    c->ninput = graph_inputs(c->m->graph, NULL, 0);
    c->noutput = graph_return(c->m->graph)->nin;
    if (!walk_plan(c, c->m->graph))
        return false;
    for (int try = 0; try < TRIES; try++)
        if (!check_overlaps(c, choose_sizes(c, try)))
            return false;
    return true;
}

bool graph_verify(Graph *g)
{
    Module *m = g->module;
    Check c = { .m = m, .arena = arena_new(), .nsymbol = dim_symbol_count(m->dims) };
    c.defined = ptrmap_new(c.arena);
    c.uses = ptrmap_new(c.arena);
    c.to = ptrmap_new(c.arena);
    c.symbol = ARENA_ARRAY(c.arena, bool, c.nsymbol + 1);
    for (int i = 0; g->parent && i < c.nsymbol; i++)    /* a nested graph alone: what is around it is not looked at */
        c.symbol[i] = true;
    bool ok = check_structure(&c, g) && check_sizes(&c, g) && check_types(&c, g) && (g->parent || !(g->props & GP_PLANNED) || check_plan(&c));
    arena_free(c.arena);
    return ok;
}
