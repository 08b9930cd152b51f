/* select.c -- see select.h. */
#include "select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pass_util.h"

typedef struct Ranked {
    double score;
    int unit;
} Ranked;

static int by_score(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    return x->score < y->score ? -1 : x->score > y->score ? 1 : x->unit - y->unit;
}

static bool may_prune(const UnitGroup *g, const SelectOptions *o)
{
    return (o->unit == UNIT_ANY || (o->unit == UNIT_HEADS) == g->heads) && !(o->spare_sums && g->summed);
}

/* How many of n units stay of a group, rounded so that their channels fill vectors: to the nearest multiple of `round` channels, or of a smaller power
 * of two where there would be fewer than two multiples. */
static int rounded(const UnitGroup *g, double wish, int round)
{
    int step = round;
    while (step > 1 && wish * g->width < 2 * step)
        step /= 2;
    int kept = (int)(ceil(wish * g->width / step - 0.5) * step) / g->width;
    return kept < 1 ? 1 : kept > g->n ? g->n : kept;
}

static Ranked *rank_units(Arena *a, const double *score, int first, int n)
{
    Ranked *r = ARENA_ARRAY(a, Ranked, n + 1);
    for (int i = 0; i < n; i++)
        r[i] = (Ranked){ score[first + i], first + i };
    qsort(r, (size_t)n, sizeof *r, by_score);
    return r;
}

/* The score below which that fraction of all units lies. */
static double global_threshold(Arena *a, const Groups *s, const double *score, const SelectOptions *o)
{
    Ranked *r = ARENA_ARRAY(a, Ranked, s->nunits + 1);
    int n = 0;
    for (int u = 0; u < s->nunits; u++)
        if (may_prune(&s->group[s->unit_group[u]], o))
            r[n++] = (Ranked){ score[u], u };
    qsort(r, (size_t)n, sizeof *r, by_score);
    int at = (int)(o->fraction * n);
    return n ? r[at < n ? at : n - 1].score : 0;
}

bool *select_units(const Groups *s, const double *score, const SelectOptions *o)
{
    Arena *a = arena_new();
    bool *removed = ARENA_ARRAY(s->arena, bool, s->nunits + 1);
    double threshold = o->global ? global_threshold(a, s, score, o) : 0;
    for (int i = 0; i < s->ngroups; i++) {
        const UnitGroup *g = &s->group[i];
        if (!may_prune(g, o) || o->fraction <= 0)
            continue;
        Ranked *order = rank_units(a, score, g->first, g->n);
        double wish = g->n * (1 - o->fraction);
        if (o->global)
            for (wish = g->n; wish > 0 && order[g->n - (int)wish].score < threshold;)
                wish--;
        for (int k = 0; k < g->n - rounded(g, wish, o->round); k++)
            removed[order[k].unit] = true;
    }
    groups_restore(s, score, removed);
    arena_free(a);
    return removed;
}

/* ---- what it costs ---- */

static double kept_fraction(const AxisKeep *k, int rank)
{
    double f = 1;
    for (int i = 0; k && i < rank; i++)
        if (k[i].keep)
            f *= (double)keep_count(&k[i]) / (double)k[i].period;
    return f;
}

static double known_size(Dim d)
{
    return dim_is_const(d) ? (double)d->k : 1;
}

static double elements(const Type *t)
{
    double n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= known_size(t->dim[i]);
    return n;
}

/* Terms of the sum that one element of the result is. */
static double terms(const Node *n, const AxisKeep *x, const AxisKeep *w)
{
    const Type *t = &node_in(n, n->op == OP_matmul ? 0 : 1)->type;
    int axis = t->rank - 1;
    double k = known_size(t->dim[axis]);
    if (n->op == OP_matmul)
        return x && x[axis].keep ? (double)keep_count(&x[axis]) : k;
    double all = elements(t) * kept_fraction(w, t->rank);
    int first = n->op == OP_conv ? 0 : 1;               /* the weight's axis of output channels */
    return all / (known_size(t->dim[first]) * kept_fraction(w ? &w[first] : NULL, 1));
}

/* A transposed convolution is counted from its input: every element of it meets all filters of its channel's group. */
static double node_macs(const Node *n, const Keeps *k)
{
    if (n->op != OP_conv && n->op != OP_conv_transpose && n->op != OP_matmul && n->op != OP_recurrent)
        return 0;
    const AxisKeep *x = k ? keeps_of_operand(k, n, 0) : NULL, *w = k ? keeps_of_operand(k, n, 1) : NULL, *y = k ? keeps_of_value(k, node_out(n)) : NULL;
    const Type *out = &node_out(n)->type, *in = &node_in(n, 0)->type;
    if (n->op == OP_recurrent) {                        /* of every step: the gates of each direction with all units */
        const Type *r = &node_in(n, 1)->type;
        return elements(in) * kept_fraction(x, in->rank) * known_size(r->dim[1]) * kept_fraction(w ? &w[1] : NULL, 1);
    }
    if (n->op == OP_conv_transpose) {
        const Type *t = &node_in(n, 1)->type;
        return elements(in) * kept_fraction(x, in->rank) * elements(t) * kept_fraction(w, t->rank) / (known_size(t->dim[0]) * kept_fraction(w, 1));
    }
    return elements(out) * kept_fraction(y, out->rank) * terms(n, x, w);
}

static void add_constants(Cost *c, const Node *n, const Keeps *k, PtrMap *seen)
{
    for (int i = 0; i < n->nin; i++) {
        const Tensor *t = value_constant(node_in(n, i));
        const AxisKeep *keep = t && k ? keeps_of_operand(k, n, i) : NULL;
        if (!t || (!keep && (*ptrmap_at(seen, node_in(n, i)))++))       /* whole constants are stored once */
            continue;
        double count = t->splat ? 1 : (double)t->count * kept_fraction(keep, t->rank);
        c->params += count;
        c->bytes += count * dtype_bytes(t->dtype);
    }
}

void cost_add_node(Cost *c, const Node *n)
{
    Arena *a = arena_new();
    PtrMap seen = ptrmap_new(a);
    c->macs += node_macs(n, NULL);
    add_constants(c, n, NULL, &seen);
    arena_free(a);
}

Cost cost_of_graph(const Graph *g, const Keeps *k)
{
    Arena *a = arena_new();
    PtrMap seen = ptrmap_new(a);
    Cost c = { 0 };
    FOR_EACH_NODE(n, g) {
        c.macs += node_macs(n, k);
        add_constants(&c, n, k, &seen);
    }
    arena_free(a);
    return c;
}

Cost cost_of(const Groups *s, const Keeps *k) { return cost_of_graph(s->g, k); }

Cost cost_of_group(const Groups *s, int group, const Keeps *k)
{
    Arena *a = arena_new();
    PtrMap seen = ptrmap_new(a);
    Cost c = { 0 };
    for (int i = 0; i < s->nproducts; i++)
        if (s->product[i].group == group) {
            c.macs += node_macs(s->product[i].node, k);
            add_constants(&c, s->product[i].node, k, &seen);
        }
    arena_free(a);
    return c;
}

/* ---- budgets ---- */

enum { STEPS = 1024 };

static bool *units_at(const Groups *s, const double *score, SelectOptions *o, int step)
{
    o->fraction = (double)step / STEPS;
    return select_units(s, score, o);
}

/* Units of a group that `more` removes and `less` does not. */
static double score_between(const Groups *s, const double *score, const bool *less, const bool *more, int group)
{
    double sum = 0;
    for (int u = s->group[group].first; u < s->group[group].first + s->group[group].n; u++)
        sum += more[u] && !less[u] ? score[u] : 0;
    return sum;
}

static void give_back(const Groups *s, const double *score, const bool *less, bool *more, double budget, SelectMeasure *measure, void *ctx)
{
    Arena *a = arena_new();
    Ranked *order = ARENA_ARRAY(a, Ranked, s->ngroups + 1);
    bool *was = ARENA_ARRAY(a, bool, s->nunits + 1);
    for (int g = 0; g < s->ngroups; g++)
        order[g] = (Ranked){ -score_between(s, score, less, more, g), g };
    qsort(order, (size_t)s->ngroups, sizeof *order, by_score);
    for (int i = 0; i < s->ngroups && order[i].score < 0; i++) {
        const UnitGroup *g = &s->group[order[i].unit];
        memcpy(was, more, sizeof *was * (size_t)s->nunits);
        memcpy(more + g->first, less + g->first, sizeof *more * (size_t)g->n);
        if (measure(ctx, s, more) > budget)
            memcpy(more, was, sizeof *was * (size_t)s->nunits);
    }
    arena_free(a);
}

bool *select_budget(const Groups *s, const double *score, SelectOptions o, double budget, bool refine, SelectMeasure *measure, void *ctx, double *least)
{
    int low = -1, high = STEPS - 1;
    *least = measure(ctx, s, units_at(s, score, &o, high));
    if (*least > budget)
        return NULL;
    while (high - low > 1) {
        int middle = (low + high + 1) / 2;
        if (measure(ctx, s, units_at(s, score, &o, middle)) <= budget)
            high = middle;
        else
            low = middle;
    }
    bool *removed = units_at(s, score, &o, high);
    if (refine && low >= 0)
        give_back(s, score, units_at(s, score, &o, low), removed, budget, measure, ctx);
    return removed;
}
