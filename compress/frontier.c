/* frontier.c -- see frontier.h. A segment of the graph is cut out: inputs are remembered values and the network's own inputs, results are the taps. */
#include "frontier.h"

#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "describe.h"
#include "pass_util.h"
#include "ptrmap.h"
#include "tool.h"

enum { MAX_KEPT = 512, MAX_INPUTS = 64 };

typedef struct Kept {
    const Value *v;
    int64_t runs;                   /* recorded so far */
    ingot_tensor shape;
    void **data;                    /* per run; owned */
    size_t bytes;                   /* of all runs */
    bool complete;
} Kept;

struct Frontier {
    const Module *m;
    Graph *g;
    Samples *samples;
    size_t most, used;
    int64_t nruns;
    bool plain;                     /* no size depends on the data: values can be remembered */
    Kept kept[MAX_KEPT];
    int nkept;
    /* while taps are open */
    Arena *arena;
    Observer *observer;
    int ninput, nrecord;
    struct { int kept, tap; } record[MAX_INPUTS];
    struct { int port, kept; } input[MAX_INPUTS];           /* of the segment: a port of the network, or (port < 0) a remembered value */
};

static bool has_data_sizes(const Graph *g)
{
    FOR_EACH_NODE(n, g)
        if (op_has(n->op, OPF_SIZES | OPF_REGION))
            return true;
    return false;
}

Frontier *frontier_new(const Module *m, Graph *g, Samples *s, size_t most_bytes)
{
    Frontier *f = calloc(1, sizeof *f);
    if (!f) {
        tool_fail("no memory left");
        return NULL;
    }
    f->m = m;
    f->g = g;
    f->samples = s;
    f->most = most_bytes;
    f->nruns = (samples_count(s) + samples_batch(s) - 1) / samples_batch(s);
    f->plain = !has_data_sizes(g);
    return f;
}

static void forget(Frontier *f, int i)
{
    Kept *k = &f->kept[i];
    for (int64_t r = 0; k->data && r < f->nruns; r++)
        free(k->data[r]);
    free(k->data);
    f->used -= k->bytes;
    *k = (Kept){ 0 };
}

void frontier_free(Frontier *f)
{
    if (!f)
        return;
    frontier_close(f);
    for (int i = 0; i < f->nkept; i++)
        forget(f, i);
    free(f);
}

/* ---- the segment ---- */

static int kept_index(const Frontier *f, const Value *v)
{
    for (int i = 0; i < f->nkept; i++)
        if (f->kept[i].v == v && f->kept[i].complete)
            return i;
    return -1;
}

typedef struct Segment {
    Frontier *f;
    Graph *g;
    PtrMap need, made;              /* Value -> 1; Value -> its copy */
} Segment;

/* Marks what the taps need, from the last node to the first. */
static void mark_needed(Segment *s, Value *const *taps, int n)
{
    for (int i = 0; i < n; i++)
        *ptrmap_at(&s->need, taps[i]) = 1;
    for (const Node *p = s->f->g->last; p; p = p->prev) {
        bool need = false;
        for (int i = 0; i < p->nout; i++)
            need |= ptrmap_get(&s->need, &p->out[i], 0) && kept_index(s->f, &p->out[i]) < 0;
        for (int i = 0; need && i < p->nin; i++)
            if (node_in(p, i))
                *ptrmap_at(&s->need, node_in(p, i)) = 1;
    }
}

static Value *add_input(Segment *s, const Value *v, int port, int kept)
{
    Frontier *f = s->f;
    if (f->ninput == MAX_INPUTS)
        return NULL;
    Builder b = { s->g->module, s->g, NULL, v->def->loc };
    Node *n = build_node(&b, OP_input, IN_NONE, &(Attr_input){ .index = f->ninput }, -1);
    n->out[0].type = v->type;
    n->out[0].name = arena_printf(f->arena, "in%d", f->ninput);
    f->input[f->ninput].port = port;
    f->input[f->ninput++].kept = kept;
    return node_out(n);
}

/* False: too many inputs. */
static bool copy_node(Segment *s, const Node *p)
{
    bool need = false;
    for (int i = 0; i < p->nout; i++)
        need |= ptrmap_get(&s->need, &p->out[i], 0) != 0;
    if (!need)
        return true;
    int kept = p->nout == 1 ? kept_index(s->f, &p->out[0]) : -1;
    if (kept >= 0 || p->op == OP_input) {
        Value *v = add_input(s, &p->out[0], kept >= 0 ? -1 : (int)NODE_ATTR(p, input)->index, kept);
        *ptrmap_at(&s->made, &p->out[0]) = (uintptr_t)v;
        return v != NULL;
    }
    Value **in = ARENA_ARRAY(s->f->arena, Value *, p->nin + 1);
    for (int i = 0; i < p->nin; i++)
        in[i] = node_in(p, i) ? (Value *)ptrmap_get(&s->made, node_in(p, i), 0) : NULL;
    Node *c = node_clone(s->g, NULL, p, in);
    for (int i = 0; i < p->nout; i++)
        *ptrmap_at(&s->made, &p->out[i]) = (uintptr_t)&c->out[i];
    return true;
}

typedef struct Symbols { bool *is; } Symbols;

static void see_symbol(void *ctx, int sym) { ((Symbols *)ctx)->is[sym] = true; }

/* Whether the inputs' shapes name every symbol that is used. */
static bool symbols_are_given(const Frontier *f, const Graph *g)
{
    int n = dim_symbol_count(f->m->dims);
    Symbols used = { ARENA_ARRAY(f->arena, bool, n + 1) }, given = { ARENA_ARRAY(f->arena, bool, n + 1) };
    FOR_EACH_NODE(p, g)
        for (int i = 0; i < p->nout; i++)
            for (int k = 0; k < p->out[i].type.rank; k++) {
                Dim d = p->out[i].type.dim[k];
                dim_symbols_used(d, see_symbol, &used);
                if (p->op == OP_input && d->op == DIM_SYM)
                    given.is[d->k] = true;
            }
    for (int i = 0; i < n; i++)
        if (used.is[i] && !given.is[i])
            return false;
    return true;
}

/* The graph from what is remembered (or, all: from the network's inputs) to the taps. NULL: it cannot be cut there. */
static Graph *cut_segment(Frontier *f, Module *own, Value *const *taps, int n)
{
    Segment s = { f, graph_new(own, NULL), ptrmap_new(f->arena), ptrmap_new(f->arena) };
    f->ninput = 0;
    mark_needed(&s, taps, n);
    for (const Node *p = f->g->first; p; p = p->next)
        if (!copy_node(&s, p))
            return NULL;
    Builder b = { own, s.g, NULL, { .file = f->m->file } };
    const char **name = ARENA_ARRAY(f->arena, const char *, n);
    Value **out = ARENA_ARRAY(f->arena, Value *, n);
    for (int i = 0; i < n; i++) {
        name[i] = arena_printf(f->arena, "tap%d", i);
        out[i] = (Value *)ptrmap_get(&s.made, taps[i], 0);
    }
    build_node(&b, OP_return, (Inputs){ n, out }, &(Attr_return){ .names = { n, name } }, -1);
    s.g->props = GP_TYPED;
    return symbols_are_given(f, s.g) ? s.g : NULL;
}

/* ---- what is remembered ---- */

static void begin_record(Frontier *f, const Value *v, int tap)
{
    if (f->nkept == MAX_KEPT || f->nrecord == MAX_INPUTS || v->def->op == OP_input || kept_index(f, v) >= 0)
        return;
    void **data = calloc((size_t)f->nruns, sizeof *data);
    if (!data)
        return;
    f->record[f->nrecord].tap = tap;
    f->record[f->nrecord++].kept = f->nkept;
    f->kept[f->nkept++] = (Kept){ .v = v, .data = data };
}

static bool make_room(Frontier *f, size_t bytes, int except)
{
    for (int i = 0; i < f->nkept && f->used + bytes > f->most; i++) {
        bool in_use = i == except;
        for (int k = 0; k < f->ninput; k++)
            in_use |= f->input[k].port < 0 && f->input[k].kept == i;
        if (f->kept[i].complete && !in_use)
            forget(f, i);
    }
    return f->used + bytes <= f->most;
}

static void record(Frontier *f, int i, int64_t run, const Tensor *t)
{
    Kept *k = &f->kept[i];
    size_t bytes = tensor_bytes(t);
    ingot_tensor shape = tensor_to_runtime(f->arena, t);
    if (run != k->runs || !make_room(f, bytes, i) || !(k->data[run] = malloc(bytes + 1)))
        return;
    memcpy(k->data[run], t->data, bytes);
    k->shape = shape;
    k->bytes += bytes;
    f->used += bytes;
    k->complete = ++k->runs == f->nruns;
}

/* ---- open, run, close ---- */

bool frontier_open(Frontier *f, Value *const *taps, int ntaps, int keep)
{
    Module own = *f->m;
    f->arena = own.arena = arena_new();
    f->nrecord = 0;
    Graph *g = f->plain ? cut_segment(f, &own, taps, ntaps) : NULL;
    if (g) {
        own.graph = g;
        f->observer = observer_open(&own, NULL, 0);
        for (int i = 0; i < keep; i++)
            begin_record(f, taps[i], i);
    } else {
        f->ninput = -1;
        own.graph = f->g;
        f->observer = observer_open(&own, taps, ntaps);
    }
    return f->observer != NULL;
}

const Tensor *const *frontier_run(Frontier *f, int64_t first)
{
    int64_t run = first / samples_batch(f->samples);
    const ingot_tensor *ports = samples_inputs(f->samples, first);
    ingot_tensor in[MAX_INPUTS];
    if (!ports)
        return NULL;
    for (int i = 0; i < f->ninput; i++)
        if (f->input[i].port >= 0) {
            in[i] = ports[f->input[i].port];
        } else {
            in[i] = f->kept[f->input[i].kept].shape;
            in[i].data = f->kept[f->input[i].kept].data[run];
        }
    const Tensor *const *taps = observer_run(f->observer, f->ninput < 0 ? ports : in);
    for (int i = 0; taps && i < f->nrecord; i++)
        record(f, f->record[i].kept, run, taps[f->record[i].tap]);
    return taps;
}

void frontier_close(Frontier *f)
{
    if (!f->arena)
        return;
    observer_close(f->observer);
    arena_free(f->arena);
    f->observer = NULL;
    f->arena = NULL;
    for (int i = 0; i < f->nrecord; i++)
        if (!f->kept[f->record[i].kept].complete)
            forget(f, f->record[i].kept);
    f->nrecord = 0;
}
