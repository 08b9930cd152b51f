/* parse.c -- the textual IR, read: names, nodes, graphs and the header. print.c shows what it looks like, docs/ir.md has the grammar.
 *
 * Recursive descent over one string: parse_scan.c knows words, numbers and sizes, parse_value.c types, constants and attributes. Nodes are made with
 * node_new as their line is read, so each is checked and typed at once; a written type is then compared with the inferred one. The first mistake
 * ends the parse with a sentence that has the line and quotes what stands there.
 *
 * Any text is safe: nesting is bounded (MAX_NESTING), numbers are checked against their range, lists allocate no more than the text has
 * characters, constants are bounded by the blob. Line breaks mean nothing; `;` begins a comment.
 */
#include "parse.h"

#include <string.h>

#include "attrs.h"
#include "text.h"
#include "verify.h"

enum { NAME_BUCKETS = 4096 };

typedef struct Name {
    Word word;
    Value *val;
    struct Name *next;
} Name;

typedef struct Alias {                  /* `@alias(%5)` may name a value that comes later */
    Value *val;
    Word of;
    int line;
    struct Alias *next;
} Alias;

/* ---- names of values ---- */

static Name **name_bucket(Parser *p, Word w)
{
    uint32_t h = 2166136261u;
    for (int i = 0; i < w.n; i++)
        h = (h ^ (unsigned char)w.s[i]) * 16777619u;
    return &p->names[h % NAME_BUCKETS];
}

/* The value of that name in graph g; in any graph if g is NULL. */
static Value *name_find(Parser *p, Word w, const Graph *g)
{
    for (Name *n = *name_bucket(p, w); n; n = n->next)
        if (n->word.n == w.n && !memcmp(n->word.s, w.s, (size_t)w.n) && (!g || n->val->def->graph == g))
            return n->val;
    return NULL;
}

static bool name_add(Parser *p, Word w, Value *v)
{
    if (name_find(p, w, v->def->graph))
        return scan_mistake(p, "%%%.*s is defined twice", w.n, w.s);
    Name *n = ARENA_NEW(p->arena, Name), **bucket = name_bucket(p, w);
    *n = (Name){ w, v, *bucket };
    *bucket = n;
    return true;
}

/* ---- nodes ---- */

typedef struct Line {                   /* the parts of a node as they are read */
    List results, operands;             /* Word, Value * */
    OpCode op;
    void *attrs;
    int line;
} Line;

static bool parse_result_names(Parser *p, List *results)
{
    scan_space(p);
    if (*p->at != '%')
        return true;
    do
        if (!scan_value_name(p, list_push(p, results)))
            return false;
    while (scan_accept(p, ','));
    return scan_expect(p, '=', "after the names of the results");
}

static bool parse_op(Parser *p, OpCode *out)
{
    Word w = scan_peek(p);
    if (!w.n)
        return scan_expected(p, "the name of an op");
    *out = op_from_name(w.s, (size_t)w.n);
    if (*out == OP_none)
        return scan_mistake(p, "there is no op '%.*s'", w.n > 60 ? 60 : w.n, w.s);
    p->at += w.n;
    return true;
}

static bool parse_operand(Parser *p, const Graph *g, OpCode op, int i, Value **out)
{
    Word w;
    if (scan_accept_word(p, "_"))
        return (i >= op_table[op].min_in && op_table[op].max_in >= 0) || scan_mistake(p, "operand %d of %s cannot be absent", i, op_name(op));
    if (!scan_value_name(p, &w))
        return false;
    *out = name_find(p, w, g);
    if (*out)
        return true;
    const char *why = name_find(p, w, NULL) ? " in this graph; values of another graph enter as operands of the node that holds it" : "";
    return scan_mistake(p, "%%%.*s is not defined%s", w.n, w.s, why);
}

static bool parse_operands(Parser *p, const Graph *g, Line *l)
{
    if (!scan_expect(p, '(', "after the name of an op"))
        return false;
    for (int i = 0; !scan_accept(p, ')'); i++)
        if ((i && !scan_expect(p, ',', "between operands")) || !parse_operand(p, g, l->op, i, list_push(p, &l->operands)))
            return false;
    return true;
}

static Node *make_node(Parser *p, Graph *g, Line *l)
{
    int want = op_table[l->op].nout;
    if (want >= 0 && want != l->results.n) {
        scan_mistake(p, "%s has %d result%s, %d named", op_name(l->op), want, want == 1 ? "" : "s", l->results.n);
        return NULL;
    }
    Loc loc = { p->m->file, NULL, l->line };
    Node *n = node_new(g, NULL, l->op, l->operands.n, (Value *const *)(void *)l->operands.data, l->attrs, l->results.n, loc);
    for (int i = 0; n && i < n->nout; i++)
        if (!name_add(p, ((Word *)(void *)l->results.data)[i], &n->out[i]))
            return NULL;
    return n;
}

static bool parse_alias(Parser *p, Value *v)
{
    Word w;
    if (!scan_expect(p, '(', "after @alias") || !scan_value_name(p, &w))
        return false;
    if (scan_accept(p, '+') && !scan_small_int(p, &v->storage.index, "the first column"))
        return false;
    if (!scan_expect(p, ')', "after the value"))
        return false;
    Alias *a = ARENA_NEW(p->arena, Alias);
    *a = (Alias){ v, w, p->line, p->aliases };
    p->aliases = a;
    return true;
}

static bool parse_storage(Parser *p, Value *v)
{
    if (!scan_accept(p, '@'))
        return true;
    int kind = scan_accept_word_of(p, text_storage_name);
    if (kind <= ST_NONE)
        return scan_expected(p, "where the value lives (@arena, @input, @output, @const, @alias, @heap or @local)");
    v->storage.kind = (StorageKind)kind;
    if (kind == ST_CONST || kind == ST_LOCAL)
        return true;
    if (kind == ST_ALIAS)
        return parse_alias(p, v);
    if (!scan_expect(p, '+', "after the kind of storage"))
        return false;
    return kind == ST_ARENA ? scan_dim(p, &v->storage.offset) : scan_small_int(p, &v->storage.index, "the number of a storage place");
}

/* An inferred type must be the written one; only where nothing can be inferred (graph inputs) does the written one count. */
static bool settle_type(Parser *p, Value *v, const Type *written)
{
    bool inferred = v->type.kind != TY_TENSOR || v->type.dtype != DT_none;
    if (!inferred)
        v->type = *written;
    if (type_equal(&v->type, written))
        return true;
    return scan_mistake(p, "the result of %s is %s, but %s is written", op_name(v->def->op), type_print(p->m, p->arena, &v->type),
                   type_print(p->m, p->arena, written));
}

static bool parse_result(Parser *p, Value *v)
{
    Type written;
    if (!parse_type(p, &written) || !settle_type(p, v, &written) || !parse_storage(p, v))
        return false;
    scan_space(p);
    return *p->at != '"' || scan_string(p, &v->name);
}

static bool results_are_reasonable(Parser *p, const Node *n)
{
    int budget = 4000;
    for (int i = 0; i < n->nout; i++)
        for (int k = 0; n->out[i].type.kind == TY_TENSOR && k < n->out[i].type.rank; k++)
            if (!dim_is_reasonable(n->out[i].type.dim[k], 0, &budget))
                return scan_mistake(p, "the size of axis %d of result %d of %s is too complicated", k, i, op_name(n->op));
    return true;
}

static bool parse_results(Parser *p, Node *n)
{
    if (n->nout && scan_accept(p, ':')) {
        for (int i = 0; i < n->nout; i++)
            if ((i && !scan_expect(p, ',', "between the types of the results")) || !parse_result(p, &n->out[i]))
                return false;
        return true;
    }
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].type.kind == TY_TENSOR && n->out[i].type.dtype == DT_none)
            return scan_mistake(p, "the result of %s needs a type", op_name(n->op));
    return true;
}

static bool parse_node(Parser *p, Graph *g)
{
    Line l = { .results.size = sizeof(Word), .operands.size = sizeof(Value *) };
    scan_space(p);
    l.line = p->line;
    if (!parse_result_names(p, &l.results) || !parse_op(p, &l.op) || !parse_operands(p, g, &l))
        return false;
    l.attrs = arena_alloc(p->arena, op_table[l.op].attr_bytes);
    if (!parse_attrs(p, l.op, l.attrs, g))
        return false;
    Node *n = make_node(p, g, &l);
    if (!n || !results_are_reasonable(p, n) || !parse_results(p, n))
        return false;
    return !scan_accept_word(p, "from") || scan_string(p, &n->loc.node);
}

/* ---- graphs ---- */

Graph *parse_graph(Parser *p, Graph *parent)
{
    if (!scan_accept_word(p, "graph"))
        return scan_expected(p, "graph"), NULL;
    if (++p->nesting > MAX_NESTING)
        return scan_mistake(p, "graphs are nested more than %d deep", MAX_NESTING), NULL;
    Graph *g = parent ? graph_new(p->m, parent) : p->m->graph;
    for (int i; (i = scan_accept_word_of(p, text_prop_name)) >= 0; )
        g->props |= 1u << i;
    if (!scan_expect(p, '{', "after graph"))
        return NULL;
    while (!scan_accept(p, '}'))
        if (!parse_node(p, g))
            return NULL;
    p->nesting--;
    return graph_verify_frame(g) ? g : NULL;
}

/* ---- the header ---- */

static bool parse_symbol(Parser *p)
{
    Word w = scan_peek(p);
    Dim bound = NULL;
    if (!w.n)
        return scan_expected(p, "the name of a symbol");
    p->at += w.n;
    const char *name = arena_strn(p->arena, w.s, (size_t)w.n);
    bool from_data = scan_accept_word(p, "data"), any_sign = scan_accept_word(p, "signed");
    if (scan_accept_word(p, "bound") && !scan_dim(p, &bound))
        return false;
    if (dim_symbol_find(p->m->dims, name) >= 0)
        return scan_mistake(p, "symbol %s is declared twice, or after it was mentioned", name);
    dim_symbol_declare(p->m->dims, name, from_data, any_sign, bound);
    return true;
}

static bool parse_header(Parser *p)
{
    static const char *const words[] = { "module", "producer", "symbol", "arena", "heap", "fast_math", NULL };
    for (;;)
        switch (scan_accept_word_of(p, words)) {
        case 0: if (!scan_string(p, &p->m->name)) return false; break;
        case 1: if (!scan_string(p, &p->m->producer)) return false; break;
        case 2: if (!parse_symbol(p)) return false; break;
        case 3: if (!scan_dim(p, &p->m->arena_bytes)) return false; break;
        case 4: if (!scan_small_int(p, &p->m->nheap, "the number of heap slots")) return false; break;
        case 5: p->m->fast_math = true; break;
        default: return true;
        }
}

static bool resolve_aliases(Parser *p)
{
    for (Alias *a = p->aliases; a; a = a->next) {
        Value *of = name_find(p, a->of, a->val->def->graph);
        a->val->storage.of = of ? of : name_find(p, a->of, NULL);
        p->line = a->line;
        if (!a->val->storage.of)
            return scan_mistake(p, "%%%.*s is not defined anywhere", a->of.n, a->of.s);
    }
    return true;
}

Module *module_parse(Arena *a, Diag *d, const char *file, const char *text, const void *blob_data, size_t blob_bytes)
{
    Parser p = { .arena = a, .at = text, .end = text + strlen(text), .line = 1, .token_line = 1, .blob = blob_data };
    p.blob_bytes = blob_data ? blob_bytes : 0;
    p.m = module_new(a, d, "module", file);
    p.names = ARENA_ARRAY(a, Name *, NAME_BUCKETS);
    p.dim_text = arena_alloc(a, MAX_DIM_TEXT);
    if (!parse_header(&p) || !parse_graph(&p, NULL) || !resolve_aliases(&p))
        return NULL;
    scan_space(&p);
    if (*p.at)
        return scan_expected(&p, "the end of the text"), NULL;
    graph_renumber(p.m->graph);
    return graph_verify(p.m->graph) ? p.m : NULL;
}
