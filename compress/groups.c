/* groups.c -- see groups.h. */
#include "groups.h"

#include <string.h>

#include "pass_util.h"

/* ---- names ---- */

const char *groups_node_name(const Node *n)
{
    if (n->loc.node && n->loc.node[0])
        return n->loc.node;
    return n->nout && n->out[0].name ? n->out[0].name : op_name(n->op);
}

bool groups_is_named(const Node *n, const char *name)
{
    bool hit = n->loc.node && !strcmp(n->loc.node, name);
    for (int i = 0; i < n->nout; i++)
        hit |= n->out[i].name && !strcmp(n->out[i].name, name);
    for (int i = 0; i < n->nin; i++)
        hit |= n->in[i].val && value_constant(n->in[i].val) && n->in[i].val->name && !strcmp(n->in[i].val->name, name);
    return hit;
}

typedef struct KeepNames {
    int n;
    const char *const *name;
    bool *found;
} KeepNames;

static bool is_kept(void *ctx, const Node *n)
{
    KeepNames *k = ctx;
    bool kept = false;
    for (int i = 0; i < k->n; i++) {
        bool hit = groups_is_named(n, k->name[i]);
        k->found[i] |= hit;
        kept |= hit;
    }
    return kept;
}

/* ---- products ---- */

static bool add_product(Groups *s, const Node *n)
{
    int w = n->nin > 1 && value_constant(node_in(n, 1)) ? 1 : 0;
    bool conv = n->op == OP_conv || n->op == OP_conv_transpose;
    if ((!conv && n->op != OP_matmul) || !value_constant(node_in(n, w)) || (conv && w == 0) || value_constant(node_in(n, 1 - w)))
        return false;
    const Axis *x = relations_of_operand(s->r, n, 1 - w), *y = relations_of_value(s->r, node_out(n));
    int rank = node_out(n)->type.rank, in_rank = node_in(n, 1 - w)->type.rank;
    s->product[s->nproducts++] = (Product){ .node = n, .weight = w, .group = -1,
        .made = conv ? y[1] : y[rank - 1 - (w == 0)], .read = conv ? x[1] : x[in_rank - 1 - (w == 0)] };
    return true;
}

/* The class of the first element of an axis that need not stay, -1: none. */
static int first_free(const Groups *s, Axis a)
{
    for (int i = 0; i < a.n; i++)
        if (!relations_fixed(s->r, a.first + i).why)
            return relations_class(s->r, a.first + i);
    return -1;
}

static bool has_class(const Groups *s, Axis a, int class)
{
    for (int i = 0; i < a.n; i++)
        if (relations_class(s->r, a.first + i) == class)
            return true;
    return false;
}

/* ---- groups ---- */

static int set_of(int *set, int v)
{
    while (set[v] != v)
        v = set[v] = set[set[v]];
    return v;
}

/* set: classes that are made side by side are in one set. */
static void join_products(Groups *s, int *set)
{
    for (int i = 0; i < s->nproducts; i++) {
        Product *p = &s->product[i];
        int first = first_free(s, p->made);
        p->through = first >= 0 && has_class(s, p->read, first);
        for (int k = 0; k < p->made.n && !p->through; k++)
            if (!relations_fixed(s->r, p->made.first + k).why)
                set[set_of(set, relations_class(s->r, p->made.first + k))] = set_of(set, first);
    }
}

/* units[id]: how many classes the set with that representative has. */
static void count_units(const Groups *s, const int *set, int *units)
{
    bool *seen = ARENA_ARRAY(s->arena, bool, relations_count(s->r) + 1);
    for (int i = 0; i < s->nproducts; i++)
        for (int k = 0; k < s->product[i].made.n && !s->product[i].through; k++) {
            int c = relations_class(s->r, s->product[i].made.first + k);
            units[set[c]] += !relations_fixed(s->r, c).why && !seen[c];
            seen[c] = true;
        }
}

static void add_units(Groups *s, const Product *p, int group)
{
    UnitGroup *g = &s->group[group];
    for (int k = 0; k < p->made.n; k++) {
        int c = relations_class(s->r, p->made.first + k);
        if (relations_fixed(s->r, c).why || s->unit[c] >= 0)
            continue;
        s->unit[c] = s->nunits++;
        s->unit_group[s->unit[c]] = group;
        g->heads |= relations_is_head(s->r, c);
        g->n++;
    }
}

static int channels_of(const Groups *s, Axis a, int unit)
{
    int n = 0;
    for (int k = 0; k < a.n; k++)
        n += groups_unit(s, a.first + k) == unit;
    return n;
}

/* The products of one set, and their units. */
static void make_group(Groups *s, const int *set, int from)
{
    int id = set[first_free(s, s->product[from].made)], group = s->ngroups++;
    s->group[group] = (UnitGroup){ .name = groups_node_name(s->product[from].node), .first = s->nunits };
    for (int i = from; i < s->nproducts; i++) {
        Product *p = &s->product[i];
        int first = p->through ? -1 : first_free(s, p->made);
        if (first < 0 || set[first] != id)
            continue;
        p->group = group;
        add_units(s, p, group);
    }
    s->group[group].width = channels_of(s, s->product[from].made, s->group[group].first);
}

static void refuse(Groups *s, const Product *p, const char *reason)
{
    s->refused[s->nrefused++] = (Refusal){ groups_node_name(p->node), reason };
}

static const char *why_fixed(const Groups *s, Axis a)
{
    if (!a.n)
        return "it has one channel";
    Fixed f = relations_fixed(s->r, a.first);
    const char *name = !f.node || f.node->op == OP_return ? "the network" : f.node->op == OP_input ? "the network's input" : groups_node_name(f.node);
    return arena_printf(s->arena, "it %s %s", f.why, name);
}

static void make_groups(Groups *s)
{
    int n = relations_count(s->r), *set = ARENA_ARRAY(s->arena, int, n + 1), *units = ARENA_ARRAY(s->arena, int, n + 1);
    for (int i = 0; i < n; i++)
        set[i] = i, s->unit[i] = -1;
    join_products(s, set);
    for (int i = 0; i < n; i++)
        set[i] = set_of(set, i);
    count_units(s, set, units);
    for (int i = 0; i < s->nproducts; i++) {
        Product *p = &s->product[i];
        int first = first_free(s, p->made);
        if (first < 0)
            refuse(s, p, why_fixed(s, p->made));
        else if (!p->through && units[set[first]] < 2)
            refuse(s, p, "all of its channels hang together");
        else if (!p->through && p->group < 0)
            make_group(s, set, i);
    }
}

/* Sums of two values that both come from somewhere: what both have lost is lost on all of the way. */
static void mark_sums(Groups *s)
{
    FOR_EACH_NODE(n, s->g) {
        if (n->op != OP_add || value_constant(node_in(n, 0)) || value_constant(node_in(n, 1)))
            continue;
        const Axis *axis = relations_of_value(s->r, node_out(n));
        for (int i = 0; i < node_out(n)->type.rank; i++)
            for (int e = 0; e < axis[i].n; e++)
                if (groups_unit(s, axis[i].first + e) >= 0)
                    s->group[s->unit_group[groups_unit(s, axis[i].first + e)]].summed = true;
    }
}

Groups *groups_find(Arena *a, Module *m, const Graph *g, int nkeep, const char *const *keep)
{
    KeepNames names = { nkeep, keep, ARENA_ARRAY(a, bool, nkeep + 1) };
    Groups *s = ARENA_NEW(a, Groups);
    int nodes = graph_count_nodes(g);
    *s = (Groups){ .arena = a, .m = m, .g = g, .r = relations_find(a, m, g, nkeep ? is_kept : NULL, &names) };
    for (int i = 0; i < nkeep; i++)
        if (!names.found[i]) {
            diag_error(m->diag, (Loc){ .file = m->file }, "there is no node or tensor named '%s' to keep", keep[i]);
            return NULL;
        }
    int nvar = relations_count(s->r);
    s->product = ARENA_ARRAY(a, Product, nodes);
    s->refused = ARENA_ARRAY(a, Refusal, nodes);
    s->group = ARENA_ARRAY(a, UnitGroup, nodes);
    s->unit = ARENA_ARRAY(a, int, nvar + 1);
    s->unit_group = ARENA_ARRAY(a, int, nvar + 1);
    FOR_EACH_NODE(n, g)
        add_product(s, n);
    make_groups(s);
    mark_sums(s);
    return s;
}

int groups_unit(const Groups *s, int variable)
{
    return s->unit[relations_class(s->r, variable)];
}

/* ---- every axis there is ---- */

typedef bool SeeAxes(void *ctx, const Groups *s, const void *key, const Node *n, const Axis *axis, int rank);

static bool see_value(const Groups *s, const void *key, const Node *n, const Value *v, const Axis *axis, SeeAxes *see, void *ctx)
{
    return !axis || v->type.kind != TY_TENSOR || v->type.rank < 1 || see(ctx, s, key, n, axis, v->type.rank);
}

/* Constants at each use, other values once. False as soon as `see` says so. */
static bool for_each_axes(const Groups *s, SeeAxes *see, void *ctx)
{
    bool ok = true;
    FOR_EACH_NODE(n, s->g) {
        for (int i = 0; ok && i < n->nin; i++)
            if (value_constant(node_in(n, i)))
                ok = see_value(s, &n->in[i], n, node_in(n, i), relations_of_operand(s->r, n, i), see, ctx);
        for (int i = 0; ok && i < n->nout && n->op != OP_constant; i++)
            ok = see_value(s, &n->out[i], n, &n->out[i], relations_of_value(s->r, &n->out[i]), see, ctx);
    }
    return ok;
}

typedef struct Restore {
    const double *score;
    bool *removed;
} Restore;

static bool restore_axes(void *ctx, const Groups *s, const void *key, const Node *n, const Axis *axis, int rank)
{
    Restore *r = ctx;
    (void)key, (void)n;
    for (int i = 0; i < rank; i++) {
        int best = -1;
        bool kept = false;
        for (int e = 0; e < axis[i].n && !kept; e++) {
            int u = groups_unit(s, axis[i].first + e);
            kept = u < 0 || !r->removed[u];
            if (!kept && (best < 0 || r->score[u] > r->score[best]))
                best = u;
        }
        if (axis[i].n && !kept)
            r->removed[best] = false;
    }
    return true;
}

void groups_restore(const Groups *s, const double *score, bool *removed)
{
    for_each_axes(s, restore_axes, &(Restore){ score, removed });
}

/* ---- keep-lists ---- */

typedef struct Keeping {
    const bool *removed;
    Keeps *keeps;
} Keeping;

/* Elements that stay along one axis; no list where all do. */
static AxisKeep keep_axis(const Groups *s, const bool *removed, Axis a, int *kept)
{
    bool *keep = ARENA_ARRAY(s->arena, bool, a.n + 1);
    *kept = 0;
    for (int e = 0; e < a.n; e++) {
        int u = groups_unit(s, a.first + e);
        *kept += keep[e] = u < 0 || !removed[u];
    }
    return (AxisKeep){ *kept < a.n ? keep : NULL, a.n };
}

static bool keep_axes(void *ctx, const Groups *s, const void *key, const Node *n, const Axis *axis, int rank)
{
    Keeping *c = ctx;
    AxisKeep *k = ARENA_ARRAY(s->arena, AxisKeep, rank);
    bool loses = false;
    for (int i = 0; i < rank; i++) {
        int kept;
        k[i] = keep_axis(s, c->removed, axis[i], &kept);
        if (axis[i].n && !kept)
            return diag_error(s->m->diag, n->loc, "%s: all channels would be removed", groups_node_name(n));
        loses |= k[i].keep != NULL;
    }
    if (loses)
        *ptrmap_at(&c->keeps->of, key) = (uintptr_t)k;
    return true;
}

const Keeps *groups_keeps(const Groups *s, const bool *removed)
{
    Keeps *k = ARENA_NEW(s->arena, Keeps);
    k->of = ptrmap_new(s->arena);
    return for_each_axes(s, keep_axes, &(Keeping){ removed, k }) ? k : NULL;
}
