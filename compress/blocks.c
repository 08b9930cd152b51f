/* blocks.c -- see blocks.h. */
#include "blocks.h"

#include <math.h>
#include <string.h>

#include "build.h"
#include "observe.h"
#include "pass_util.h"
#include "score.h"

/* ---- finding ---- */

static bool is_product(const Node *n)
{
    bool kind = n->op == OP_conv || n->op == OP_conv_transpose || n->op == OP_matmul;
    return kind && (value_constant(node_in(n, 1)) || value_constant(node_in(n, 0)));
}

/* Whether n computes for the sum's operand `side` only, given which later nodes do. */
static bool is_private(const PtrMap *private, const Node *n, const Node *sum, int side)
{
    bool used = false;
    for (int i = 0; i < n->nout; i++)
        for (const Use *u = n->out[i].uses; u; u = u->next) {
            used = true;
            bool here = u->user == sum ? u == &sum->in[side] : ptrmap_get(private, u->user, 0) != 0;
            if (!here)
                return false;
        }
    return used && n->op != OP_input && n->op != OP_constant && !op_has(n->op, OPF_EFFECT | OPF_KEEP);
}

/* Everything behind operand `side` of a sum that computes for it only. */
static PtrMap branch_of(Arena *a, const Node *sum, int side)
{
    PtrMap private = ptrmap_new(a);
    for (const Node *n = sum->prev; n; n = n->prev)
        if (is_private(&private, n, sum, side))
            *ptrmap_at(&private, n) = 1;
    return private;
}

typedef struct Branch {
    const Node *last;               /* product; NULL: there is none */
    bool reads_other;               /* the sum's other operand */
    bool kept;
    Cost cost;
} Branch;

static Branch look_at(const Node *sum, int side, const PtrMap *private, int nkeep, const char *const *keep)
{
    Branch b = { 0 };
    for (const Node *n = sum->prev; n; n = n->prev) {
        if (!ptrmap_get(private, n, 0))
            continue;
        b.last = b.last || !is_product(n) ? b.last : n;
        for (int i = 0; i < n->nin; i++)
            b.reads_other |= node_in(n, i) == node_in(sum, 1 - side);
        for (int i = 0; i < nkeep; i++)
            b.kept |= groups_is_named(n, keep[i]);
        cost_add_node(&b.cost, n);
    }
    return b;
}

static bool is_sum(const Node *n)
{
    return n->op == OP_add && !value_constant(node_in(n, 0)) && !value_constant(node_in(n, 1)) && type_equal(&node_in(n, 0)->type, &node_out(n)->type) &&
           type_equal(&node_in(n, 1)->type, &node_out(n)->type);
}

static void look_at_sum(Blocks *b, const Node *sum, int nkeep, const char *const *keep)
{
    Arena *a = arena_new();
    const Node *last = NULL;
    bool found = false, kept = false;
    for (int side = 0; side < 2 && !found; side++) {
        PtrMap private = branch_of(a, sum, side);
        Branch f = look_at(sum, side, &private, nkeep, keep);
        found = f.last && f.reads_other;
        last = f.last ? f.last : last;
        kept |= f.kept;
        if (found && !f.kept)
            b->block[b->n++] = (Block){ .sum = sum, .last = last, .shortcut = 1 - side, .name = groups_node_name(last), .cost = f.cost };
    }
    if (last && (!found || kept))
        b->refused[b->nrefused++] = (Refusal){ groups_node_name(last), found ? "it is to be kept" : "what it is added to is not what its branch reads" };
    arena_free(a);
}

static bool check_names(Module *m, const Graph *g, int nkeep, const char *const *keep)
{
    for (int i = 0; i < nkeep; i++) {
        bool found = false;
        FOR_EACH_NODE(n, g)
            found |= groups_is_named(n, keep[i]);
        if (!found)
            return diag_error(m->diag, (Loc){ .file = m->file }, "there is no node or tensor named '%s' to keep", keep[i]);
    }
    return true;
}

Blocks *blocks_find(Arena *a, Module *m, const Graph *g, int nkeep, const char *const *keep)
{
    Blocks *b = ARENA_NEW(a, Blocks);
    int nodes = graph_count_nodes(g);
    *b = (Blocks){ .arena = a, .m = m, .g = g, .block = ARENA_ARRAY(a, Block, nodes + 1), .refused = ARENA_ARRAY(a, Refusal, nodes + 1) };
    if (!check_names(m, g, nkeep, keep))
        return NULL;
    FOR_EACH_NODE(n, g)
        if (is_sum(n))
            look_at_sum(b, n, nkeep, keep);
    return b;
}

/* ---- removing ---- */

/* The block whose sum this is, if it goes; NULL. */
static const Block *removed_at(const Blocks *b, const bool *removed, const Node *n)
{
    for (int i = 0; i < b->n; i++)
        if (removed[i] && b->block[i].sum == n)
            return &b->block[i];
    return NULL;
}

/* What is still computed for somebody. */
static PtrMap needed_nodes(Arena *a, const Blocks *b, const bool *removed)
{
    PtrMap needed = ptrmap_new(a);
    for (const Node *n = b->g->last; n; n = n->prev) {
        const Block *gone = removed_at(b, removed, n);
        bool need = n->op == OP_input || !n->nout || op_has(n->op, OPF_EFFECT | OPF_KEEP) || ptrmap_get(&needed, n, 0);
        if (!need)
            continue;
        *ptrmap_at(&needed, n) = 1;
        for (int i = 0; i < n->nin; i++)
            if (node_in(n, i) && (!gone || i == gone->shortcut))
                *ptrmap_at(&needed, node_in(n, i)->def) = 1;
    }
    return needed;
}

static void copy_node(Graph *g, const Node *n, PtrMap *map)
{
    Arena *a = arena_new();
    Value **in = ARENA_ARRAY(a, Value *, n->nin + 1);
    for (int i = 0; i < n->nin; i++)
        in[i] = node_in(n, i) ? (Value *)ptrmap_get(map, node_in(n, i), 0) : NULL;
    Node *made = node_clone(g, NULL, n, in);
    for (int i = 0; i < n->nout; i++)
        *ptrmap_at(map, &n->out[i]) = (uintptr_t)&made->out[i];
    arena_free(a);
}

static Graph *finish(const Blocks *b, Graph *g)
{
    g->props = b->g->props & (GP_TYPED | GP_CANONICAL);
    graph_renumber(g);
    return graph_verify(g) ? g : NULL;
}

Graph *blocks_remove(const Blocks *b, const bool *removed, PtrMap *map)
{
    Arena *a = arena_new();
    Graph *g = graph_new(b->m, NULL);
    PtrMap needed = needed_nodes(a, b, removed), made = map ? *map : ptrmap_new(a);
    FOR_EACH_NODE(n, b->g) {
        const Block *gone = removed_at(b, removed, n);
        if (!ptrmap_get(&needed, n, 0))
            continue;
        if (gone)
            *ptrmap_at(&made, node_out(n)) = ptrmap_get(&made, node_in(n, gone->shortcut), 0);
        else
            copy_node(g, n, &made);
    }
    if (map)
        *map = made;
    arena_free(a);
    return finish(b, g);
}

/* The copy of a sum adds nothing any more on that side. */
static bool mask_branch(const Blocks *b, Node *sum, int side)
{
    Builder build = { b->m, sum->graph, sum, sum->loc };
    Value *f = node_in(sum, side), *none = mk_mul(&build, f, mk_k(&build, f, 0));
    if (none)
        node_set_input(sum, side, none);
    return none != NULL;
}

Graph *blocks_mask(const Blocks *b, const bool *removed)
{
    Arena *a = arena_new();
    Graph *g = graph_new(b->m, NULL);
    PtrMap made = ptrmap_new(a);
    bool ok = true;
    FOR_EACH_NODE(n, b->g) {
        const Block *gone = removed_at(b, removed, n);
        copy_node(g, n, &made);
        ok = ok && (!gone || mask_branch(b, g->last, 1 - gone->shortcut));
    }
    arena_free(a);
    return ok ? finish(b, g) : NULL;
}

/* ---- scores ---- */

static double mean_weight(const Node *product, bool squares)
{
    const Tensor *w = value_constant(node_in(product, 1)) ? value_constant(node_in(product, 1)) : value_constant(node_in(product, 0));
    double sum = 0;
    for (int64_t i = 0; i < w->count; i++)
        sum += squares ? tensor_get_f64(w, i) * tensor_get_f64(w, i) : fabs(tensor_get_f64(w, i));
    sum /= (double)w->count;
    return squares ? sqrt(sum) : sum;
}

typedef struct Sizes {
    double *branch, *sum;           /* per block: sums of squares */
    int n;
} Sizes;

static double squares_of(const Tensor *t)
{
    double sum = 0;
    for (int64_t i = 0; i < t->count; i++)
        sum += tensor_get_f64(t, i) * tensor_get_f64(t, i);
    return sum;
}

static bool add_sizes(void *ctx, int64_t sample, const Tensor *const *taps)
{
    Sizes *s = ctx;
    (void)sample;
    for (int i = 0; i < s->n; i++) {
        s->branch[i] += squares_of(taps[2 * i]);
        s->sum[i] += squares_of(taps[2 * i + 1]);
    }
    return true;
}

static bool score_activation(Blocks *b, Samples *samples)
{
    Value **tap = ARENA_ARRAY(b->arena, Value *, 2 * b->n + 1);
    Sizes s = { ARENA_ARRAY(b->arena, double, b->n + 1), ARENA_ARRAY(b->arena, double, b->n + 1), b->n };
    Module own = *b->m;
    own.graph = (Graph *)(uintptr_t)b->g;
    for (int i = 0; i < b->n; i++) {
        tap[2 * i] = node_in(b->block[i].sum, 1 - b->block[i].shortcut);
        tap[2 * i + 1] = (Value *)(uintptr_t)node_out(b->block[i].sum);
    }
    if (!observe(&own, samples, tap, 2 * b->n, add_sizes, &s))
        return false;
    for (int i = 0; i < b->n; i++)
        b->block[i].score = sqrt(s.branch[i] / fmax(s.sum[i], 1e-300));
    return true;
}

static bool score_alone(Blocks *b, int i, Observer *whole, Samples *samples)
{
    bool *removed = ARENA_ARRAY(b->arena, bool, b->n);
    Module own = *b->m;
    Score score;
    removed[i] = true;
    own.graph = blocks_remove(b, removed, NULL);
    Observer *o = own.graph ? observer_open(&own, NULL, 0) : NULL;
    bool ok = o && score_observed(o, whole, samples, NULL, &score);
    observer_close(o);
    if (ok)
        b->block[i].score = sqrt(score.distance.noise / fmax(score.distance.signal, 1e-300));
    return ok;
}

static bool score_reconstruction(Blocks *b, Samples *samples)
{
    Module own = *b->m;
    own.graph = (Graph *)(uintptr_t)b->g;
    Observer *whole = observer_open(&own, NULL, 0);
    bool ok = whole != NULL;
    for (int i = 0; ok && i < b->n; i++)
        ok = score_alone(b, i, whole, samples);
    observer_close(whole);
    return ok;
}

static double drawn(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    return (double)((x ^ x >> 27) >> 11);
}

bool blocks_score(Blocks *b, Importance by, Samples *samples)
{
    for (int i = 0; i < b->n; i++)
        b->block[i].score = by == IMP_random ? drawn((uint64_t)i + 1) : mean_weight(b->block[i].last, by == IMP_l2);
    return by == IMP_activation ? score_activation(b, samples) : by == IMP_reconstruction ? score_reconstruction(b, samples) : true;
}
