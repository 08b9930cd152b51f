/* dot.c -- see dot.h. The graph is built with libcgraph and drawn by libgvc.
 *
 * What is drawn is the flow of data, not the bookkeeping: constants stand in the label of their user (small ones with their elements), and the
 * edges of nested graphs go straight through inputs and returns. A fused group is a cluster of its nodes. An op with several regions (if) is a
 * cluster of clusters between a diamond, where the condition enters, and a node that stands for its results.
 *
 * The layout puts an invisible node on every rank that an edge passes, which makes long edges (an attention mask that every layer reads) its
 * whole cost: minutes for 50 of them. So the ranks are estimated first, and beyond a budget the longest edges are not drawn: the label of
 * their target names the source instead. Large graphs bound the rounds of the layout's optimisers; huge ones are placed by dot_place.c.
 *
 * Colours are by family, which is read off the flags of the op table.
 */
#include "dot.h"

#include <stdlib.h>
#include <string.h>

#include <graphviz/gvc.h>

#include "attrs.h"
#include "dot_place.h"
#include "outfile.h"
#include "ptrmap.h"
#include "strbuf.h"
#include "text.h"

enum {
    LARGE_NODES = 1500,             /* beyond: exact ranking and crossing minimisation take minutes */
    HUGE_NODES = 4000,              /* beyond: any layout by Graphviz does */
    PASSED_RANKS = 1500,            /* ranks that all edges together may pass */
    MAX_SPAN = 1000,                /* ranks one edge may pass */
    SMALL_ELEMENTS = 4,             /* constants up to this size are written out in labels */
    ATTR_CHARS = 48
};

typedef struct Edge {
    const Value *val;
    Agnode_t *from, *to;
    int span;                       /* ranks from end to end, at least 1 */
} Edge;

typedef struct Drawing {
    Module *m;
    Arena *arena;
    Agraph_t *g;
    PtrMap node;                    /* Node -> Agnode_t that its results come from */
    PtrMap owner;                   /* nested Graph -> Node */
    PtrMap rank;                    /* Agnode_t -> longest path from a source */
    PtrMap named;                   /* Value -> its node's label ends in its number */
    Edge *edge;
    int nedge, edge_room;
    int clusters;
    DotColour *colour;              /* the caller's, or NULL */
    void *colour_ctx;
} Drawing;

/* ---- text ---- */

/* Length of the UTF-8 sequence at s, 0 if it is none (Graphviz would guess an encoding for the whole file). */
static int utf8_length(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    int n = *u < 0x80 ? 1 : *u >= 0xc2 && *u < 0xe0 ? 2 : (*u & 0xf0) == 0xe0 ? 3 : *u >= 0xf0 && *u < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Labels have escapes of their own: a backslash of a name is doubled, control characters become blanks. */
static void add_escaped(StrBuf *b, const char *s)
{
    while (*s) {
        int n = utf8_length(s);
        if (*s == '\\')
            strbuf_add(b, "\\\\");
        else if (!n || (unsigned char)*s < ' ')
            strbuf_add(b, n ? " " : "?");
        else
            strbuf_add_n(b, s, (size_t)n);
        s += n ? n : 1;
    }
}

static void add_line(StrBuf *b, const char *s)
{
    if (b->len)
        strbuf_add(b, "\\n");
    add_escaped(b, s);
}

static const char *shorten(Arena *a, const char *s)
{
    return strlen(s) <= ATTR_CHARS ? s : arena_printf(a, "%.*s...", ATTR_CHARS - 3, s);
}

/* "w f32[64,3,7,7]", or with its elements: "f32[2] [1, 2]". */
static const char *constant_text(Drawing *d, const Value *v, const Tensor *t)
{
    const char *text = type_print(d->m, d->arena, &v->type);
    if (t->splat || t->count <= SMALL_ELEMENTS)
        text = strchr(node_print_attrs(d->arena, v->def), '=') + 1;
    return v->name ? arena_printf(d->arena, "%s %s", v->name, text) : text;
}

static const char *storage_text(Drawing *d, const Storage *s)
{
    const char *kind = text_storage_name[s->kind];
    switch (s->kind) {
    case ST_NONE: case ST_LOCAL: return NULL;
    case ST_ARENA: return arena_printf(d->arena, "@%s+%s", kind, dim_print(d->m->dims, d->arena, s->offset));
    case ST_ALIAS: return arena_printf(d->arena, "@%s of %s", kind, s->of && s->of->name ? s->of->name : s->of ? op_name(s->of->def->op) : "");
    case ST_CONST: return arena_printf(d->arena, "@%s", kind);
    case ST_INPUT: case ST_OUTPUT: case ST_HEAP: break;
    }
    return arena_printf(d->arena, "@%s+%d", kind, s->index);
}

static void add_results(Drawing *d, StrBuf *b, const Node *n)
{
    for (int i = 0; i < n->nout; i++) {
        const Value *v = &n->out[i];
        const char *place = storage_text(d, &v->storage);
        if (v->name)
            add_line(b, shorten(d->arena, v->name));
        add_line(b, type_print(d->m, d->arena, &v->type));
        if (place)
            add_line(b, shorten(d->arena, place));
    }
}

static int count_regions(const Node *n)
{
    int regions = 0;
    FOR_EACH_ATTR(f, n->op)
        regions += f->kind == AK_graph && *(Graph *const *)attr_at(f, n->attrs);
    return regions;
}

static Graph *only_region(const Node *n)
{
    FOR_EACH_ATTR(f, n->op)
        if (f->kind == AK_graph && *(Graph *const *)attr_at(f, n->attrs))
            return *(Graph **)attr_at(f, n->attrs);
    return NULL;
}

/* Through inputs of nested graphs to the operand outside, and through single regions to what they return. */
static const Value *see_through(const Drawing *d, const Value *v)
{
    for (;;) {
        const Node *n = v->def, *owner = (const Node *)ptrmap_get(&d->owner, n->graph, 0);
        if (n->op == OP_input && owner)
            v = owner->in[op_table[owner->op].min_in + NODE_ATTR(n, input)->index].val;
        else if (count_regions(n) == 1)
            v = graph_return(only_region(n))->in[v->index].val;
        else
            return v;
    }
}

static const char *node_label(Drawing *d, const Node *n)
{
    StrBuf b = strbuf_new(d->arena);
    const char *attrs = node_print_attrs(d->arena, n);
    add_line(&b, op_name(n->op));
    if (n->loc.node && n->loc.node[0])
        add_line(&b, shorten(d->arena, n->loc.node));
    if (*attrs)
        add_line(&b, shorten(d->arena, attrs));
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i].val ? see_through(d, n->in[i].val) : NULL;
        const Tensor *t = value_constant(v);
        if (t)
            add_line(&b, constant_text(d, v, t));
    }
    add_results(d, &b, n);
    return b.text;
}

static const char *node_colour(const Node *n)
{
    const OpInfo *op = &op_table[n->op];
    if (op->flags & OPF_EFFECT)
        return "#cfe2f3";           /* inputs, outputs, checks */
    if (op->flags & OPF_EW)
        return "#d9ead3";
    if (op->flags & (OPF_MOVE | OPF_VIEW))
        return "#eeeeee";
    if (op->flags & OPF_KERNEL)
        return "#fce5cd";
    return op->min_in >= 2 ? "#f4cccc" : "#fff2cc";     /* contractions; reductions and the rest */
}

/* ---- building ---- */

static void set(void *object, const char *name, const char *value)
{
    agsafeset(object, (char *)(uintptr_t)name, (char *)(uintptr_t)value, (char *)(uintptr_t)"");
}

static Agnode_t *add_node(Drawing *d, Agraph_t *in, const Node *n, const char *suffix, const char *label)
{
    Agnode_t *a = agnode(in, arena_printf(d->arena, "n%u%s", n->id, suffix), 1);
    set(a, "label", label);
    const char *own = d->colour ? d->colour(d->colour_ctx, n) : NULL;
    set(a, "fillcolor", own ? own : node_colour(n));
    return a;
}

static Agraph_t *add_cluster(Drawing *d, Agraph_t *in, const char *label)
{
    Agraph_t *c = agsubg(in, arena_printf(d->arena, "cluster_%d", d->clusters++), 1);
    set(c, "label", label);
    set(c, "style", "rounded,filled");
    set(c, "fillcolor", in == d->g ? "#fafafa" : "#f0f0f6");
    return c;
}

static const char *cluster_label(Drawing *d, const Node *n, bool with_results)
{
    StrBuf b = strbuf_new(d->arena);
    add_line(&b, n->loc.node && n->loc.node[0] ? n->loc.node : op_name(n->op));
    if (with_results)
        add_results(d, &b, n);
    return b.text;
}

static void push_edge(Drawing *d, Edge e)
{
    if (d->nedge == d->edge_room) {
        int room = d->edge_room ? 2 * d->edge_room : 64;
        Edge *grown = ARENA_ARRAY(d->arena, Edge, room);
        if (d->nedge)
            memcpy(grown, d->edge, sizeof e * (size_t)d->nedge);
        d->edge = grown;
        d->edge_room = room;
    }
    d->edge[d->nedge++] = e;
}

static void raise_rank(Drawing *d, const Agnode_t *to, const Agnode_t *from)
{
    uintptr_t below = ptrmap_get(&d->rank, from, 0) + 1, *rank = ptrmap_at(&d->rank, to);
    *rank = *rank > below ? *rank : below;
}

/* Nodes are drawn in execution order, so the rank of `from` is final when it gets an edge. */
static void add_edge(Drawing *d, const Value *from, Agnode_t *to)
{
    const Value *v = from ? see_through(d, from) : NULL;
    Agnode_t *a = v ? (Agnode_t *)ptrmap_get(&d->node, v->def, 0) : NULL;
    if (!a)
        return;                     /* absent, or a constant, which stands in the label */
    raise_rank(d, to, a);
    push_edge(d, (Edge){ v, a, to, 0 });
}

/* The largest span for which all edges up to it stay within the budget. */
static int longest_drawn(const Drawing *d)
{
    long passed[MAX_SPAN + 1] = { 0 }, sum = 0;
    for (int i = 0; i < d->nedge; i++)
        if (d->edge[i].span <= MAX_SPAN)
            passed[d->edge[i].span] += d->edge[i].span - 1;
    for (int span = 1; span <= MAX_SPAN; span++)
        if ((sum += passed[span]) > PASSED_RANKS)
            return span - 1;
    return MAX_SPAN;
}

static void append_label(Drawing *d, Agnode_t *a, const char *line)
{
    set(a, "label", arena_printf(d->arena, "%s\\n%s", agget(a, (char *)(uintptr_t)"label"), line));
}

/* Instead of a long edge: `<- name` at its target; the source has the name too. */
static void name_source(Drawing *d, const Edge *e)
{
    StrBuf b = strbuf_new(d->arena);
    const char *id = arena_printf(d->arena, "%%%u", e->val->id);
    strbuf_add(&b, "<- ");
    add_escaped(&b, e->val->name ? shorten(d->arena, e->val->name) : id);
    append_label(d, e->to, b.text);
    if (!e->val->name && !*ptrmap_at(&d->named, e->val)) {
        *ptrmap_at(&d->named, e->val) = 1;
        append_label(d, e->from, id);
    }
}

static void draw_edges(Drawing *d)
{
    for (int i = 0; i < d->nedge; i++)
        d->edge[i].span = (int)(ptrmap_get(&d->rank, d->edge[i].to, 0) - ptrmap_get(&d->rank, d->edge[i].from, 0));
    int longest = longest_drawn(d);
    for (int i = 0; i < d->nedge; i++) {
        const Edge *e = &d->edge[i];
        if (e->span > longest) {
            name_source(d, e);
            continue;
        }
        Agedge_t *drawn = agedge(d->g, e->from, e->to, NULL, 1);
        if (e->val->def->nout > 1)
            set(drawn, "label", arena_printf(d->arena, "%d", e->val->index));
    }
}

static void draw_graph(Drawing *d, Agraph_t *in, const Graph *g);

static void draw_regions(Drawing *d, Agraph_t *in, const Node *n, bool titled)
{
    FOR_EACH_ATTR(f, n->op) {
        Graph *nested = f->kind == AK_graph ? *(Graph **)attr_at(f, n->attrs) : NULL;
        if (!nested)
            continue;
        *ptrmap_at(&d->owner, nested) = (uintptr_t)n;
        draw_graph(d, titled ? add_cluster(d, in, f->name) : in, nested);
    }
}

/* if: the operands before the regions' inputs enter a diamond; the results leave a node below. */
static void draw_branches(Drawing *d, Agraph_t *in, const Node *n)
{
    Agraph_t *c = add_cluster(d, in, cluster_label(d, n, false));
    Agnode_t *top = add_node(d, c, n, "_top", op_name(n->op));
    StrBuf b = strbuf_new(d->arena);
    set(top, "shape", "diamond");
    for (int i = 0; i < op_table[n->op].min_in; i++)
        add_edge(d, n->in[i].val, top);
    draw_regions(d, c, n, true);
    add_results(d, &b, n);
    Agnode_t *results = add_node(d, c, n, "", b.text);
    FOR_EACH_ATTR(f, n->op) {
        Graph *nested = f->kind == AK_graph ? *(Graph **)attr_at(f, n->attrs) : NULL;
        const Node *ret = nested ? graph_return(nested) : NULL;
        for (int i = 0; ret && i < ret->nin; i++)
            add_edge(d, ret->in[i].val, results);
    }
    raise_rank(d, results, top);
    set(agedge(c, top, results, NULL, 1), "style", "dashed");
    *ptrmap_at(&d->node, n) = (uintptr_t)results;
}

static void draw_node(Drawing *d, Agraph_t *in, const Node *n)
{
    bool in_region = ptrmap_get(&d->owner, n->graph, 0) != 0;
    if (n->op == OP_constant || (in_region && (n->op == OP_input || n->op == OP_return)))
        return;
    if (count_regions(n) > 1) {
        draw_branches(d, in, n);
        return;
    }
    if (count_regions(n) == 1) {
        draw_regions(d, add_cluster(d, in, cluster_label(d, n, true)), n, false);
        return;
    }
    Agnode_t *a = add_node(d, in, n, "", node_label(d, n));
    *ptrmap_at(&d->node, n) = (uintptr_t)a;
    for (int i = 0; i < n->nin; i++)
        add_edge(d, n->in[i].val, a);
}

static void draw_graph(Drawing *d, Agraph_t *in, const Graph *g)
{
    FOR_EACH_NODE(n, g)
        draw_node(d, in, n);
}

typedef struct Style { const char *name, *value; } Style;

static void set_defaults(Agraph_t *g, int kind, const Style *s)
{
    for (; s->name; s++)
        agattr(g, kind, (char *)(uintptr_t)s->name, (char *)(uintptr_t)s->value);
}

static const Style graph_style[] = { { "fontname", "Helvetica" }, { "fontsize", "11" }, { "labeljust", "l" }, { NULL, NULL } };
static const Style node_style[] = { { "shape", "box" }, { "style", "rounded,filled" }, { "fontname", "Helvetica" }, { "fontsize", "10" }, { NULL, NULL } };
static const Style edge_style[] = { { "fontname", "Helvetica" }, { "fontsize", "9" }, { "arrowsize", "0.7" }, { NULL, NULL } };
/* The cheap way wherever the layout has one: a bounded network simplex, few rounds against crossings, straight edges. */
static const Style large_style[] = { { "nslimit", "0.5" }, { "nslimit1", "0.5" }, { "mclimit", "0.05" }, { "splines", "line" }, { NULL, NULL } };

static Agraph_t *build(Module *m, Arena *a, DotColour *colour, void *ctx)
{
    Drawing d = { .m = m, .arena = a, .node = ptrmap_new(a), .owner = ptrmap_new(a), .rank = ptrmap_new(a), .named = ptrmap_new(a),
                  .colour = colour, .colour_ctx = ctx };
    d.g = agopen((char *)(uintptr_t)m->name, Agdirected, NULL);
    set_defaults(d.g, AGRAPH, graph_style);
    set_defaults(d.g, AGNODE, node_style);
    set_defaults(d.g, AGEDGE, edge_style);
    draw_graph(&d, d.g, m->graph);
    draw_edges(&d);
    if (agnnodes(d.g) > LARGE_NODES)
        set_defaults(d.g, AGRAPH, large_style);
    if (agnnodes(d.g) > HUGE_NODES)
        dot_place(d.g, a);
    return d.g;
}

/* ---- writing ---- */

/* Drawn into memory: libgvc ends the process when a file cannot be written. */
static bool render(Agraph_t *g, const char *format, FILE *f)
{
    GVC_t *gvc = gvContext();
    char *picture = NULL;
    unsigned bytes = 0;
    bool ok = gvc && gvLayout(gvc, g, agnnodes(g) > HUGE_NODES ? "nop" : "dot") == 0;
    if (ok) {
        ok = gvRenderData(gvc, g, format, &picture, &bytes) == 0;
        gvFreeLayout(gvc, g);
    }
    if (picture)
        fwrite(picture, 1, bytes, f);           /* what fails here is seen by the commit */
    gvFreeRenderData(picture);
    if (gvc)
        gvFreeContext(gvc);
    return ok;
}

/* Graphviz's last message, without its line end. */
static const char *last_error(Arena *a)
{
    char *why = aglasterr();
    const char *s = why ? arena_strn(a, why, strcspn(why, "\n")) : "no reason is given";
    free(why);
    return s;
}

static const char *format_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && !strchr(dot, '/') ? dot + 1 : "dot";
}

bool module_dot(Module *m, const char *path, const char *format)
{
    return module_dot_coloured(m, path, format, NULL, NULL);
}

bool module_dot_coloured(Module *m, const char *path, const char *format, DotColour *colour, void *ctx)
{
    OutFile out;
    if (!format)
        format = format_of(path);
    if (!outfile_open(&out, m->diag, path))
        return false;
    agseterr(AGMAX);                            /* messages are fetched, not printed */
    Arena *a = arena_new();
    Agraph_t *g = build(m, a, colour, ctx);
    bool text = !strcmp(format, "dot");
    bool drawn = text ? agwrite(g, out.f) == 0 || ferror(out.f) : render(g, format, out.f);
    if (!drawn) {
        outfile_abandon(&out);
        diag_error(m->diag, (Loc){ .file = path }, "the picture cannot be drawn as '%s': %s", format, last_error(a));
    }
    agclose(g);
    arena_free(a);
    return drawn && outfile_commit(&out);
}
