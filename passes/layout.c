/* layout.c -- channels-last: convolutions, pools and what lies between them run on [N, spatial..., C], transposes stay at the edges.
 *
 *   %1 = conv(%0, %w) : f32[1,16,8,8]                %1 = transpose(%0) {perm=[0,2,3,1]}
 *   %2 = relu(%1)     : f32[1,16,8,8]         ->     %2 = conv(%1, %w) {channels_last=true} : f32[1,8,8,16]
 *   return(%2)                                       %3 = relu(%2) : f32[1,8,8,16]
 *                                                    %4 = transpose(%3) {perm=[0,3,1,2]} : f32[1,16,8,8]
 *                                                    return(%4)
 *
 * Every node is run either as it stands ("first": channels on axis 1) or permuted ("last"). Convolutions and pools must run last. Elementwise ops,
 * concat, pad, slice, expand, reduce, arg_reduce, softmax and resize may do either, their axes permuted; so may a reshape of spatial axes only, and
 * the three nodes of a channel shuffle together. Everything else must run first.
 * A value made one way and wanted the other costs a transpose of its size, once, however many want it. Which nodes to run last so that the
 * least is transposed is a minimum cut (mincut.h): source = last, sink = first. Constants are transposed here and now, for free. Transposes
 * that the model has are part of the problem: one from first to last reads a last value for nothing and gives a first one.
 *
 * A transpose that moves no data (at most one axis longer than 1 changes its place among the others) is a reshape.
 *
 * Needs: typed. Keeps: everything. Gives: laid_out, every conv, conv_transpose and pool has channels_last.
 */
#include <string.h>

#include "build.h"
#include "mincut.h"
#include "pass_util.h"

typedef struct Layout {
    Module *m;
    Graph *g;
    Arena *tmp;
    uint32_t nids;
    int *var;                       /* by node id: its node in the cut */
    Value **first, **last;          /* by id of an original value: its two forms, NULL: not made yet */
    bool *replaced;                 /* by node id: made anew, or a transpose that may be superfluous now */
    Node **shuffle;                 /* by node id: the last node of the channel shuffle that this node begins or is inside of */
    const int64_t *sample;          /* likely values of the symbols, to weigh sizes */
} Layout;

/* ---- permutations ---- */

/* Where axis `axis` of [N, C, spatial...] is in [N, spatial..., C]. */
static int64_t axis_in_last(int rank, int64_t axis)
{
    return axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1;
}

static void perm_to_last(int rank, int64_t *perm)
{
    for (int i = 0; i < rank; i++)
        perm[axis_in_last(rank, i)] = i;
}

static void perm_to_first(int rank, int64_t *perm)
{
    for (int i = 0; i < rank; i++)
        perm[i] = axis_in_last(rank, i);
}

static bool is_perm(const Node *n, void (*make)(int, int64_t *))
{
    int64_t want[MAX_RANK];
    int rank = n->op == OP_transpose ? node_out(n)->type.rank : 0;
    if (rank < 3)
        return false;
    make(rank, want);
    return !memcmp(want, NODE_ATTR(n, transpose)->perm.v, sizeof *want * (size_t)rank);
}

/* The axes longer than 1 keep their order. */
static bool moves_nothing(const Type *t, const int64_t *perm)
{
    int64_t before = -1;
    for (int i = 0; i < t->rank; i++) {
        if (dim_is(t->dim[perm[i]], 1))
            continue;
        if (perm[i] < before)
            return false;
        before = perm[i];
    }
    return true;
}

/* ---- attributes of the ops that can run last ---- */

static DimVec permuted_dims(Module *m, DimVec v)
{
    Dim out[MAX_RANK];
    for (int i = 0; i < v.n; i++)
        out[axis_in_last(v.n, i)] = v.v[i];
    return dims_copy(m, v.n, out);
}

static IntVec permuted_ints(Module *m, IntVec v)
{
    int64_t out[MAX_RANK];
    for (int i = 0; i < v.n; i++)
        out[axis_in_last(v.n, i)] = v.v[i];
    return ints_copy(m, v.n, out);
}

/* One number per axis, or two: all the begins, then all the ends. */
static FloatVec permuted_floats(Module *m, FloatVec v, int rank)
{
    double *out = ARENA_ARRAY(m->arena, double, v.n + 1);
    for (int i = 0; i < v.n; i++)
        out[i / rank * rank + axis_in_last(rank, i % rank)] = v.v[i];
    return (FloatVec){ v.n, out };
}

typedef void PermuteFn(Module *m, int rank, void *attrs);

static void permute_conv(Module *m, int rank, void *attrs) { (void)m, (void)rank; ((Attr_conv *)attrs)->channels_last = true; }
static void permute_conv_transpose(Module *m, int rank, void *attrs) { (void)m, (void)rank; ((Attr_conv_transpose *)attrs)->channels_last = true; }
static void permute_pool(Module *m, int rank, void *attrs) { (void)m, (void)rank; ((Attr_pool *)attrs)->channels_last = true; }
static void permute_expand(Module *m, int rank, void *attrs) { (void)rank; Attr_expand *a = attrs; a->shape = permuted_dims(m, a->shape); }
static void permute_concat(Module *m, int rank, void *attrs) { (void)m; Attr_concat *a = attrs; a->axis = axis_in_last(rank, a->axis); }
static void permute_arg_reduce(Module *m, int rank, void *attrs) { (void)m; Attr_arg_reduce *a = attrs; a->axis = axis_in_last(rank, a->axis); }
static void permute_softmax(Module *m, int rank, void *attrs) { (void)m; Attr_softmax *a = attrs; a->axis = axis_in_last(rank, a->axis); }

static void permute_reshape(Module *m, int rank, void *attrs) { (void)rank; Attr_reshape *a = attrs; a->shape = permuted_dims(m, a->shape); }

static void permute_slice(Module *m, int rank, void *attrs)
{
    (void)rank;
    Attr_slice *a = attrs;
    a->starts = permuted_dims(m, a->starts);
    a->sizes = permuted_dims(m, a->sizes);
    a->steps = permuted_ints(m, a->steps);
}

static void permute_pad(Module *m, int rank, void *attrs)
{
    (void)rank;
    Attr_pad *a = attrs;
    a->before = permuted_dims(m, a->before);
    a->after = permuted_dims(m, a->after);
}

static void permute_reduce(Module *m, int rank, void *attrs)
{
    Attr_reduce *a = attrs;
    bool reduced[MAX_RANK] = { false };
    int64_t axes[MAX_RANK];
    int n = 0;
    for (int i = 0; i < a->axes.n; i++)
        reduced[axis_in_last(rank, a->axes.v[i])] = true;
    for (int i = 0; i < rank; i++)
        if (reduced[i])
            axes[n++] = i;
    a->axes = ints_copy(m, n, axes);
}

static void permute_resize(Module *m, int rank, void *attrs)
{
    Attr_resize *a = attrs;
    a->shape = permuted_dims(m, a->shape);
    a->scales = permuted_floats(m, a->scales, rank);
    a->roi = permuted_floats(m, a->roi, rank);
    a->channels_last = true;
}

static PermuteFn *const permute_table[OP_count] = {
    [OP_conv] = permute_conv, [OP_conv_transpose] = permute_conv_transpose, [OP_pool] = permute_pool, [OP_resize] = permute_resize,
    [OP_expand] = permute_expand, [OP_slice] = permute_slice, [OP_pad] = permute_pad, [OP_concat] = permute_concat,
    [OP_reshape] = permute_reshape, [OP_reduce] = permute_reduce, [OP_arg_reduce] = permute_arg_reduce, [OP_softmax] = permute_softmax,
};

/* ---- kinds of node ---- */

static bool is_channels_last(const Node *n)
{
    return (n->op == OP_conv && NODE_ATTR(n, conv)->channels_last) || (n->op == OP_pool && NODE_ATTR(n, pool)->channels_last) ||
           (n->op == OP_conv_transpose && NODE_ATTR(n, conv_transpose)->channels_last) ||
           (n->op == OP_resize && NODE_ATTR(n, resize)->channels_last);
}

static bool must_run_last(const Node *n)
{
    return (n->op == OP_conv || n->op == OP_conv_transpose || n->op == OP_pool) && !is_channels_last(n);
}

/* [N, C, spatial...] to [N, C, other spatial...]: in both layouts the channels stay what they are. */
static bool reshapes_spatial_axes(const Node *n)
{
    const Type *x = &n->in[0].val->type, *r = &node_out(n)->type;
    return x->rank >= 3 && r->rank >= 3 && x->dim[0] == r->dim[0] && x->dim[1] == r->dim[1];
}

static bool may_run_last(const Node *n)
{
    if (n->op == OP_reshape && !reshapes_spatial_axes(n))
        return false;
    return n->nout == 1 && node_out(n)->type.rank >= 3 && (op_is_elementwise(n->op) || permute_table[n->op]) && !is_channels_last(n);
}

/* A channel shuffle as models write it, recognised by its last node: [N, C, s...] -> [N, g, C/g, s...] -> [N, C/g, g, s...] -> [N, C, s...]. */
static bool ends_shuffle(const Node *last)
{
    const Node *turn = last->op == OP_reshape ? last->in[0].val->def : last, *split = turn->op == OP_transpose ? turn->in[0].val->def : last;
    if (split->op != OP_reshape || split == last || !value_only_user(node_out(turn)) || !value_only_user(node_out(split)))
        return false;
    const Type *x = &split->in[0].val->type, *wide = &node_out(split)->type;
    if (x->rank < 3 || wide->rank != x->rank + 1 || !same_shape(x, &node_out(last)->type))
        return false;
    for (int i = 0; i < wide->rank; i++)
        if (NODE_ATTR(turn, transpose)->perm.v[i] != (i == 1 ? 2 : i == 2 ? 1 : i) || (i != 1 && i != 2 && wide->dim[i] != x->dim[i ? i - 1 : 0]))
            return false;
    return true;
}

static void find_shuffles(Layout *l)
{
    FOR_EACH_NODE(n, l->g)
        if (ends_shuffle(n)) {
            const Node *turn = n->in[0].val->def;
            l->shuffle[turn->id] = l->shuffle[turn->in[0].val->def->id] = l->shuffle[n->id] = n;
        }
}

/* Operands that have the layout of the node; the others (weights, a pad value) have none. */
static bool has_layout(const Node *n, int i)
{
    return op_is_elementwise(n->op) || n->op == OP_concat || i == 0;
}

/* Forward, through nodes that may run last: does somebody want this value last? Looks at a few dozen users only. */
static bool leads_to_conv(const Value *v)
{
    enum { LOOK = 48 };
    const Value *seen[LOOK] = { v };
    int n = 1;
    for (int i = 0; i < n; i++)
        FOR_EACH_USE(u, seen[i]) {
            if (must_run_last(u->user))
                return true;
            if (n < LOOK && may_run_last(u->user) && node_out(u->user)->type.rank == v->type.rank)
                seen[n++] = node_out(u->user);
        }
    return false;
}

/* Of rank 3 the two directions are one permutation; where it leads decides. */
static bool is_to_first(const Node *n)
{
    return is_perm(n, perm_to_first) && (node_out(n)->type.rank > 3 || leads_to_conv(node_out(n)));
}

static bool is_to_last(const Node *n)
{
    return is_perm(n, perm_to_last) && !is_to_first(n);
}

/* ---- the cut ---- */

static int64_t cost_of(const Layout *l, const Type *t)
{
    int64_t perm[MAX_RANK], limit = CUT_NEVER >> 20, bytes = 16 * dtype_bytes(t->dtype);
    perm_to_last(t->rank, perm);
    if (moves_nothing(t, perm))
        return 1;
    for (int i = 0; i < t->rank; i++) {
        int64_t d = dim_eval(t->dim[i], l->sample);
        d = d < 1 ? 1 : d;
        bytes = d > limit / bytes ? limit : bytes * d;
    }
    return bytes;
}

static int made_by(const Layout *l, const Value *v)
{
    if (l->shuffle[v->def->id])
        return l->var[v->def->id];
    if (is_to_first(v->def))
        return CUT_SOURCE;
    return v->def->op == OP_transpose ? CUT_SINK : l->var[v->def->id];
}

enum { NO_MATTER = -1 };

static int wanted_by(const Layout *l, const Value *v, const Use *u)
{
    const Node *n = u->user;
    if (l->shuffle[n->id])
        return l->var[n->id];
    if (is_to_last(n))
        return CUT_SOURCE;
    if (n->op == OP_transpose)
        return is_to_first(n) ? CUT_SINK : NO_MATTER;
    bool same_rank = n->op == OP_reshape || (n->nout && v->type.rank == node_out(n)->type.rank);
    if (!may_run_last(n) || !same_rank || !has_layout(n, (int)(u - n->in)))
        return CUT_SINK;
    return l->var[n->id];
}

static void add_value(Layout *l, MinCut *c, const Value *v)
{
    if (!v->uses || v->type.kind != TY_TENSOR || v->type.rank < 3 || v->def->op == OP_constant)
        return;
    int made = made_by(l, v), to_first = mincut_node(c), to_last = mincut_node(c);
    int64_t cost = cost_of(l, &v->type);
    mincut_edge(c, made, to_first, cost);
    mincut_edge(c, to_last, made, cost);
    FOR_EACH_USE(u, v) {
        int wanted = wanted_by(l, v, u);
        if (wanted == NO_MATTER)
            continue;
        mincut_edge(c, to_first, wanted, CUT_NEVER);
        mincut_edge(c, wanted, to_last, CUT_NEVER);
    }
}

/* Operands of lower rank are brought to full rank and transposed if the node runs last. */
static void add_low_operands(Layout *l, MinCut *c, const Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i].val;
        if (v && has_layout(n, i) && v->def->op != OP_constant && v->type.rank > 1 && v->type.rank < node_out(n)->type.rank)
            mincut_edge(c, l->var[n->id], CUT_SINK, cost_of(l, &v->type));
    }
}

static const bool *choose(Layout *l)
{
    MinCut *c = mincut_new(l->tmp);
    FOR_EACH_NODE(n, l->g)
        l->var[n->id] = must_run_last(n) ? CUT_SOURCE : may_run_last(n) || l->shuffle[n->id] == n ? mincut_node(c) : CUT_SINK;
    FOR_EACH_NODE(n, l->g)
        if (l->shuffle[n->id])
            l->var[n->id] = l->var[l->shuffle[n->id]->id];
    FOR_EACH_NODE(n, l->g) {
        for (int i = 0; i < n->nout; i++)
            add_value(l, c, &n->out[i]);
        if (l->var[n->id] > CUT_SINK)
            add_low_operands(l, c, n);
    }
    bool *side = ARENA_ARRAY(l->tmp, bool, mincut_count(c));
    mincut_solve(c, side);
    return side;
}

/* ---- making it so ---- */

/* Constants are changed now, not when the model runs. */
static Value *folded(Builder *b, Value *v)
{
    Value *k = v ? fold_node(b->m, v->def) : NULL;
    if (!k)
        return v;
    node_erase(v->def);
    return k;
}

static Value *transposed(Builder *b, Value *v, const int64_t *perm)
{
    Dim dim[MAX_RANK];
    for (int i = 0; i < v->type.rank; i++)
        dim[i] = v->type.dim[perm[i]];
    Value *t = moves_nothing(&v->type, perm) ? mk_reshape_to(b, v, v->type.rank, dim) : mk_transpose_perm(b, v, perm);
    return t == v ? v : folded(b, t);
}

static Value *in_first(Layout *l, Builder *b, Value *v)
{
    int64_t perm[MAX_RANK];
    if (v->id >= l->nids || l->first[v->id])
        return v->id >= l->nids ? v : l->first[v->id];
    perm_to_first(v->type.rank, perm);
    Value *t = transposed(b, l->last[v->id], perm);
    if (t && t != l->last[v->id] && !t->name)
        t->name = v->name;
    return l->first[v->id] = t;
}

static Value *in_last(Layout *l, Builder *b, Value *v)
{
    int64_t perm[MAX_RANK];
    if (!l->last[v->id]) {
        perm_to_last(v->type.rank, perm);
        l->last[v->id] = transposed(b, l->first[v->id], perm);
    }
    return l->last[v->id];
}

static bool all_ones(const Type *t)
{
    for (int i = 0; i < t->rank; i++)
        if (!dim_is(t->dim[i], 1))
            return false;
    return true;
}

/* An operand that broadcasts from a lower rank. */
static Value *low_in_last(Layout *l, Builder *b, Value *v, int rank)
{
    Dim dim[MAX_RANK];
    int64_t perm[MAX_RANK];
    Value *x = in_first(l, b, v);
    if (!x || all_ones(&x->type))
        return x;
    for (int i = 0; i < rank; i++)
        dim[i] = i < rank - x->type.rank ? dim_const(b->m->dims, 1) : x->type.dim[i - (rank - x->type.rank)];
    Value *full = folded(b, mk_reshape_to(b, x, rank, dim));
    perm_to_last(rank, perm);
    return full ? transposed(b, full, perm) : NULL;
}

static bool run_last(Layout *l, Node *n)
{
    Builder b = { l->m, l->g, n, n->loc };
    int rank = node_out(n)->type.rank;
    Value **in = ARENA_ARRAY(l->tmp, Value *, n->nin + 1);
    for (int i = 0; i < n->nin; i++) {
        Value *v = n->in[i].val;
        if (!v)
            continue;
        if (!has_layout(n, i))
            in[i] = in_first(l, &b, v);
        else
            in[i] = v->type.rank == rank || n->op == OP_reshape ? in_last(l, &b, v) : low_in_last(l, &b, v, rank);
        if (!in[i])
            return false;
    }
    void *attrs = arena_copy(l->tmp, n->attrs, op_table[n->op].attr_bytes);
    if (permute_table[n->op])
        permute_table[n->op](l->m, rank, attrs);
    Node *made = node_new(l->g, n, n->op, n->nin, in, attrs, -1, n->loc);
    if (!made)
        return false;
    l->first[node_out(n)->id] = NULL;
    l->last[node_out(n)->id] = node_out(made);
    l->replaced[n->id] = true;
    return true;
}

/* [N, s..., C] -> [N, s..., g, C/g] -> [N, s..., C/g, g] -> [N, s..., C] */
static bool shuffle_last(Layout *l, Node *n)
{
    Builder b = { l->m, l->g, n, n->loc };
    const Node *split = n->in[0].val->def->in[0].val->def;
    const Type *wide = &node_out(split)->type;
    Value *x = in_last(l, &b, split->in[0].val);
    int rank = wide->rank;
    Dim dim[MAX_RANK];
    int64_t perm[MAX_RANK];
    for (int i = 0; x && i < rank; i++) {
        dim[i] = i == rank - 2 ? wide->dim[1] : i == rank - 1 ? wide->dim[2] : x->type.dim[i];
        perm[i] = i == rank - 2 ? rank - 1 : i == rank - 1 ? rank - 2 : i;
    }
    Value *turned = x ? mk_transpose_perm(&b, mk_reshape_to(&b, x, rank, dim), perm) : NULL;
    l->first[node_out(n)->id] = NULL;
    l->replaced[n->id] = true;
    return (l->last[node_out(n)->id] = turned ? mk_reshape_to(&b, turned, x->type.rank, x->type.dim) : NULL) != NULL;
}

/* A transpose reads whichever form there is: last ones with its own permutation behind the one to first. */
static bool run_transpose(Layout *l, Node *n)
{
    Builder b = { l->m, l->g, n, n->loc };
    Value *x = n->in[0].val, *last = l->last[x->id];
    int64_t to_first[MAX_RANK], perm[MAX_RANK];
    l->replaced[n->id] = true;
    if (is_to_last(n) && last) {
        l->first[node_out(n)->id] = last;
        return true;
    }
    if (l->first[x->id] || is_to_first(n)) {
        Value *first = in_first(l, &b, x);
        if (!first)
            return false;
        node_set_input(n, 0, first);
        if (is_to_first(n))
            l->last[node_out(n)->id] = first;
        return true;
    }
    perm_to_first(x->type.rank, to_first);
    for (int i = 0; i < x->type.rank; i++)
        perm[i] = to_first[NODE_ATTR(n, transpose)->perm.v[i]];
    return (l->first[node_out(n)->id] = transposed(&b, last, perm)) != NULL;
}

static bool run_first(Layout *l, Node *n)
{
    Builder b = { l->m, l->g, n, n->loc };
    for (int i = 0; i < n->nin; i++) {
        Value *v = n->in[i].val, *first = v ? in_first(l, &b, v) : NULL;
        if (v && !first)
            return false;
        if (first != v)
            node_set_input(n, i, first);
    }
    return true;
}

static bool rewrite(Layout *l, const bool *side)
{
    FOR_EACH_NODE(n, l->g)
        for (int i = 0; i < n->nout; i++)
            l->first[n->out[i].id] = &n->out[i];
    FOR_EACH_NODE_SAFE(n, l->g) {
        bool ok, last = side[l->var[n->id]] && l->var[n->id] != CUT_SINK;
        if (last && l->shuffle[n->id]) {
            l->replaced[n->id] = true;
            ok = l->shuffle[n->id] != n || shuffle_last(l, n);
        } else if (n->op == OP_transpose)
            ok = run_transpose(l, n);
        else if (last && (must_run_last(n) || rewrite_allowed(l->m, "channels_last", n)))
            ok = run_last(l, n);
        else
            ok = run_first(l, n);
        if (!ok)
            return false;
    }
    for (Node *n = l->g->last, *prev; n; n = prev) {        /* what was made anew has no users left, except transposes that stay */
        prev = n->prev;
        if (n->id < l->nids && l->replaced[n->id] && !node_out(n)->uses)
            node_erase(n);
    }
    return true;
}

/* ---- the pass ---- */

static const int64_t *sample_symbols(Module *m, Arena *tmp)
{
    enum { LIKELY = 32 };
    int n = dim_symbol_count(m->dims);
    int64_t *s = ARENA_ARRAY(tmp, int64_t, n + 1);
    for (int i = 0; i < n; i++)
        s[i] = LIKELY;
    return s;
}

static bool lay_out(Module *m, Graph *g)
{
    FOR_EACH_NODE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = 0, count = node_bodies(n, body); i < count; i++)
            if (!lay_out(m, body[i]))
                return false;
    }
    graph_renumber(m->graph);
    Arena *tmp = arena_new();
    uint32_t nids = m->next_id + 1;
    Layout l = { .m = m, .g = g, .tmp = tmp, .nids = nids, .var = ARENA_ARRAY(tmp, int, nids), .first = ARENA_ARRAY(tmp, Value *, nids),
                 .last = ARENA_ARRAY(tmp, Value *, nids), .replaced = ARENA_ARRAY(tmp, bool, nids),
                 .shuffle = ARENA_ARRAY(tmp, Node *, nids), .sample = sample_symbols(m, tmp) };
    find_shuffles(&l);
    bool ok = rewrite(&l, choose(&l));
    arena_free(tmp);
    return ok;
}

bool pass_layout(Module *m)
{
    return lay_out(m, m->graph);
}
