/* relate.c -- see relate.h. One function per kind of operator (relate_table); an operator without one fixes all its operands and results. */
#include "relate.h"

#include <string.h>

#include "attrs.h"
#include "pass_util.h"

enum { MAX_AXIS = 1 << 22, PREFERRED_GROUPS = 4, MAX_PARTS = 2 * MAX_RANK };

typedef struct Mark {               /* of a class, at its representative */
    Fixed fixed;
    bool preferred, head;
} Mark;

/* An axis seen as several, the first outermost; parts of size 1 are left out. */
typedef struct Choice {
    Axis whole, part[MAX_PARTS];
    int nparts;
    const Node *node;
    bool made;
} Choice;

struct Relations {
    Arena *arena;
    Module *m;
    int nvar, var_room, nchoice, choice_room;
    int *parent;
    Mark *mark;
    Choice *choice;
    PtrMap axes;                    /* Value, or Use of a constant -> Axis[rank] */
};

/* ---- union-find ---- */

int relations_class(Relations *r, int v)
{
    while (r->parent[v] != v)
        v = r->parent[v] = r->parent[r->parent[v]];
    return v;
}

Fixed relations_fixed(Relations *r, int v) { return r->mark[relations_class(r, v)].fixed; }
bool relations_is_head(Relations *r, int v) { return r->mark[relations_class(r, v)].head; }
int relations_count(const Relations *r) { return r->nvar; }

static void tie_one(Relations *r, int a, int b)
{
    int x = relations_class(r, a), y = relations_class(r, b);
    if (x == y)
        return;
    r->parent[y] = x;
    if (!r->mark[x].fixed.why)
        r->mark[x].fixed = r->mark[y].fixed;
    r->mark[x].preferred |= r->mark[y].preferred;
    r->mark[x].head |= r->mark[y].head;
}

static void fix_one(Relations *r, int v, const char *why, const Node *n)
{
    Mark *m = &r->mark[relations_class(r, v)];
    if (!m->fixed.why)
        m->fixed = (Fixed){ why, n };
}

static void fix(Relations *r, Axis a, const char *why, const Node *n)
{
    for (int i = 0; i < a.n; i++)
        fix_one(r, a.first + i, why, n);
}

/* Two axes with the same elements; if they cannot be compared, both stay. */
static void tie(Relations *r, Axis a, Axis b, const Node *n)
{
    if (a.n != b.n) {
        fix(r, a, "has a shape that is not understood at", n);
        fix(r, b, "has a shape that is not understood at", n);
        return;
    }
    for (int i = 0; i < a.n; i++)
        tie_one(r, a.first + i, b.first + i);
}

static void prefer(Relations *r, Axis a, bool head)
{
    for (int i = 0; i < a.n; i++) {
        Mark *m = &r->mark[relations_class(r, a.first + i)];
        m->preferred = true;
        m->head |= head;
    }
}

/* ---- axes ---- */

static Axis axis_new(Relations *r, int64_t n)
{
    if (n <= 1 || n > MAX_AXIS)
        return (Axis){ 0, 0 };
    if (r->nvar + (int)n > r->var_room) {
        int room = 2 * r->var_room + (int)n + 1024;
        int *parent = ARENA_ARRAY(r->arena, int, room);
        Mark *mark = ARENA_ARRAY(r->arena, Mark, room);
        if (r->nvar) {
            memcpy(parent, r->parent, sizeof *parent * (size_t)r->nvar);
            memcpy(mark, r->mark, sizeof *mark * (size_t)r->nvar);
        }
        r->parent = parent, r->mark = mark, r->var_room = room;
    }
    Axis a = { r->nvar, (int)n };
    for (int i = 0; i < a.n; i++)
        r->parent[r->nvar + i] = r->nvar + i;
    r->nvar += a.n;
    return a;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t c = a % b;
        a = b, b = c;
    }
    return a < 0 ? -a : a;
}

/* The largest number that divides a size whatever its symbols are, as far as its form shows. */
static int64_t dim_factor(Dim d)
{
    int64_t g = d->op == DIM_SYM ? 1 : d->k;
    switch (d->op) {
    case DIM_CONST: case DIM_MUL: return d->k < 0 ? -d->k : d->k;
    case DIM_ADD:
        for (int i = 0; i < d->nargs; i++)
            g = gcd(g, dim_factor(d->arg[i]));
        return g;
    default: return 1;
    }
}

static const Axis *axes_new(Relations *r, const void *key, const Type *t)
{
    int rank = t->kind == TY_TENSOR && t->rank > 0 ? t->rank : 0;
    Axis *a = ARENA_ARRAY(r->arena, Axis, rank + 1);
    for (int i = 0; i < rank; i++)
        a[i] = axis_new(r, dim_factor(t->dim[i]));
    *ptrmap_at(&r->axes, key) = (uintptr_t)a;
    return a;
}

const Axis *relations_of_value(const Relations *r, const Value *v)
{
    return (const Axis *)ptrmap_get(&r->axes, v, 0);
}

const Axis *relations_of_operand(const Relations *r, const Node *n, int i)
{
    const Axis *own = (const Axis *)ptrmap_get(&r->axes, &n->in[i], 0);
    return own ? own : node_in(n, i) ? relations_of_value(r, node_in(n, i)) : NULL;
}

static bool is_product(const Node *n) { return n->op == OP_conv || n->op == OP_conv_transpose || n->op == OP_matmul; }

static const Axis *in(Relations *r, const Node *n, int i)
{
    const Value *v = node_in(n, i);
    bool weight = is_product(n) && i < 2;
    const void *key = v->def->op == OP_constant && !weight ? (const void *)&n->in[i] : (const void *)v;
    const Axis *a = (const Axis *)ptrmap_get(&r->axes, key, 0);
    return a ? a : axes_new(r, key, &v->type);
}

static const Axis *out(Relations *r, const Node *n, int i)
{
    const Axis *a = (const Axis *)ptrmap_get(&r->axes, &n->out[i], 0);
    return a ? a : axes_new(r, &n->out[i], &n->out[i].type);
}

static int rank_of(const Value *v) { return v->type.kind == TY_TENSOR && v->type.rank > 0 ? v->type.rank : 0; }

static void fix_operand(Relations *r, const Node *n, int i, const char *why)
{
    for (int k = 0; node_in(n, i) && k < rank_of(node_in(n, i)); k++)
        fix(r, in(r, n, i)[k], why, n);
}

static void fix_result(Relations *r, const Node *n, int i, const char *why)
{
    for (int k = 0; k < rank_of(&n->out[i]); k++)
        fix(r, out(r, n, i)[k], why, n);
}

static void fix_all(Relations *r, const Node *n, const char *why)
{
    for (int i = 0; i < n->nin; i++)
        fix_operand(r, n, i, why);
    for (int i = 0; i < n->nout; i++)
        fix_result(r, n, i, why);
}

/* ---- choices ---- */

static Choice *choice_new(Relations *r, Axis whole, const Node *n)
{
    if (r->nchoice == r->choice_room) {
        int room = r->choice_room ? 2 * r->choice_room : 64;
        Choice *grown = ARENA_ARRAY(r->arena, Choice, room);
        if (r->nchoice)
            memcpy(grown, r->choice, sizeof *grown * (size_t)r->nchoice);
        r->choice = grown, r->choice_room = room;
    }
    r->choice[r->nchoice] = (Choice){ .whole = whole, .node = n };
    return &r->choice[r->nchoice++];
}

static void choice_part(Choice *c, Axis part)
{
    if (part.n)
        c->part[c->nparts++] = part;
}

static bool all_fixed(Relations *r, Axis a)
{
    for (int i = 0; i < a.n; i++)
        if (!relations_fixed(r, a.first + i).why)
            return false;
    return true;
}

static bool preferred(Relations *r, Axis a)
{
    for (int i = 0; i < a.n; i++)
        if (r->mark[relations_class(r, a.first + i)].preferred)
            return true;
    return false;
}

/* The part that may lose slices, -1: none. How many could is left in *candidates. */
static int choice_best(Relations *r, const Choice *c, int *candidates, bool *sure)
{
    int best = -1;
    *candidates = 0;
    *sure = false;
    for (int i = 0; i < c->nparts && !all_fixed(r, c->whole); i++) {
        if (all_fixed(r, c->part[i]))
            continue;
        bool liked = preferred(r, c->part[i]);
        ++*candidates;
        if (best < 0 || (liked && !*sure) || (liked == *sure && c->part[i].n > c->part[best].n))
            best = i;
        *sure |= liked;
    }
    return best;
}

static void choice_make_it(Relations *r, Choice *c, int part)
{
    int64_t inner = 1, product = 1;
    for (int i = 0; i < c->nparts; i++)
        product *= c->part[i].n;
    c->made = true;
    for (int i = c->nparts - 1; i >= 0; i--) {
        if (i != part || product != c->whole.n)
            fix(r, c->part[i], "is one part of an axis that loses slices along another, at", c->node);
        for (int t = 0; i == part && product == c->whole.n && t < c->whole.n; t++)
            tie_one(r, c->whole.first + t, c->part[i].first + (int)(t / inner % c->part[i].n));
        inner *= c->part[i].n;
    }
    if (part < 0 || product != c->whole.n)
        fix(r, c->whole, "is split or merged with axes that stay, at", c->node);
}

/* Those with one possibility first, as they leave less to the others. Then one of the rest, where a part is preferred if there is such. An axis of one part is
 * that part, even if it stays: both stay for the same reason. */
static void choices_make(Relations *r)
{
    for (bool changed = true; changed;) {
        Choice *open = NULL;
        bool open_sure = false, sure;
        int open_part = -1, candidates;
        changed = false;
        for (int i = 0; i < r->nchoice; i++) {
            Choice *c = &r->choice[i];
            if (c->made)
                continue;
            int best = choice_best(r, c, &candidates, &sure);
            if (c->nparts == 1)
                best = 0, candidates = 1;
            if (candidates <= 1) {
                choice_make_it(r, c, best);
                changed = true;
            } else if (!open || (sure && !open_sure)) {
                open = c, open_part = best, open_sure = sure;
            }
        }
        if (!changed && open) {
            choice_make_it(r, open, open_part);
            changed = true;
        }
    }
}

/* ---- operators ---- */

typedef void RelateFn(Relations *r, const Node *n);

static void relate_none(Relations *r, const Node *n) { (void)r, (void)n; }
static void relate_input(Relations *r, const Node *n) { fix_all(r, n, "is"); }
static void relate_return(Relations *r, const Node *n) { fix_all(r, n, "is an output of"); }
static void relate_unknown(Relations *r, const Node *n) { fix_all(r, n, "is used by"); }

/* Operand i against result 0, aligned from the right, where sizes are alike. */
static void relate_broadcast(Relations *r, const Node *n, int i)
{
    const Value *x = node_in(n, i), *y = node_out(n);
    int lead = rank_of(y) - rank_of(x);
    for (int k = 0; k < rank_of(x); k++)
        if (!dim_is(x->type.dim[k], 1))
            tie(r, in(r, n, i)[k], out(r, n, 0)[lead + k], n);
}

static void relate_elementwise(Relations *r, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        relate_broadcast(r, n, i);
}

static void relate_transpose(Relations *r, const Node *n)
{
    const IntVec perm = NODE_ATTR(n, transpose)->perm;
    for (int k = 0; k < perm.n; k++)
        tie(r, out(r, n, 0)[k], in(r, n, 0)[perm.v[k]], n);
}

static void relate_slice(Relations *r, const Node *n)
{
    const Attr_slice *a = NODE_ATTR(n, slice);
    const Type *x = &node_in(n, 0)->type;
    for (int k = 0; k < x->rank; k++) {
        Axis from = in(r, n, 0)[k], to = out(r, n, 0)[k];
        bool plain = dim_is_const(x->dim[k]) && dim_is_const(a->starts.v[k]) && dim_is_const(a->sizes.v[k]) && a->steps.v[k] == 1;
        if (a->sizes.v[k] == x->dim[k] && dim_is(a->starts.v[k], 0) && a->steps.v[k] == 1) {
            tie(r, from, to, n);
        } else if (!plain || to.n != a->sizes.v[k]->k || !from.n) {
            fix(r, from, "is sliced by", n);
            fix(r, to, "is sliced by", n);
        } else {
            for (int i = 0; i < to.n; i++)
                tie_one(r, from.first + (int)a->starts.v[k]->k + i, to.first + i);
        }
    }
}

static void relate_pad(Relations *r, const Node *n)
{
    const Attr_pad *a = NODE_ATTR(n, pad);
    const Type *x = &node_in(n, 0)->type;
    bool constant = !a->mode || !strcmp(a->mode, "constant");
    for (int k = 0; k < x->rank; k++) {
        Axis from = in(r, n, 0)[k], to = out(r, n, 0)[k];
        Dim before = a->before.v[k], after = a->after.v[k];
        if (dim_is(before, 0) && dim_is(after, 0)) {
            tie(r, from, to, n);
        } else if (!constant || !dim_is_const(before) || !dim_is_const(after) || !dim_is_const(x->dim[k]) || !from.n || !to.n) {
            fix(r, from, "is padded by", n);
            fix(r, to, "is padded by", n);
        } else {
            for (int i = 0; i < from.n; i++)
                if (i + before->k >= 0 && i + before->k < to.n)
                    tie_one(r, from.first + i, to.first + i + (int)before->k);
        }
    }
}

static void relate_concat(Relations *r, const Node *n)
{
    int axis = (int)NODE_ATTR(n, concat)->axis, at = 0;
    const Axis *y = out(r, n, 0);
    bool known = dim_is_const(node_out(n)->type.dim[axis]) && y[axis].n;
    for (int i = 0; i < n->nin; i++) {
        const Axis *x = in(r, n, i);
        for (int k = 0; k < rank_of(node_in(n, i)); k++)
            if (k != axis)
                tie(r, x[k], y[k], n);
        int size = known ? (int)node_in(n, i)->type.dim[axis]->k : 0;
        for (int k = 0; k < size; k++)
            if (x[axis].n)
                tie_one(r, x[axis].first + k, y[axis].first + at + k);
            else
                fix_one(r, y[axis].first + at + k, "is joined by", n);
        if (!known)
            fix(r, x[axis], "is joined by", n);
        at += size;
    }
    if (!known)
        fix(r, y[axis], "is joined by", n);
}

/* ---- reshape: operand and result as products of the same parts ---- */

/* The exact quotient a / b of two sizes, NULL if there is none. */
static Dim divided(DimTable *t, Dim a, Dim b)
{
    if (dim_is(b, 0))
        return NULL;
    Dim q = dim_div(t, a, b);
    return dim_mul(t, q, b) == a ? q : NULL;
}

typedef struct Parts {              /* of the axes of a shape, innermost first */
    int n;
    Axis axis[MAX_PARTS];
    int from[MAX_PARTS], to[MAX_PARTS];             /* the operand's and the result's axis they are of */
    Dim size[MAX_PARTS];
} Parts;

/* From the right, take off what both sizes have in common, until neither divides the other: *x_left and *y_left axes are not understood then. */
static void parts_of_reshape(Relations *r, const Type *x, const Type *y, Parts *p, int *x_left, int *y_left)
{
    DimTable *t = r->m->dims;
    int i = x->rank - 1, j = y->rank - 1;
    bool more = true;
    Dim a = i >= 0 ? x->dim[i] : NULL, b = j >= 0 ? y->dim[j] : NULL, q = NULL;
    while ((a || b) && more) {
        if (a && dim_is(a, 1)) {
            a = --i >= 0 ? x->dim[i] : NULL;
        } else if (b && dim_is(b, 1)) {
            b = --j >= 0 ? y->dim[j] : NULL;
        } else {
            bool known = a && b && p->n < MAX_PARTS, whole_b = known && (q = divided(t, a, b)) != NULL;
            if (!(more = known && (whole_b || (q = divided(t, b, a)) != NULL)))
                continue;
            Dim size = whole_b ? b : a;
            p->axis[p->n] = axis_new(r, dim_factor(size));
            p->from[p->n] = i, p->to[p->n] = j, p->size[p->n++] = size;
            a = whole_b ? q : dim_const(t, 1);
            b = whole_b ? dim_const(t, 1) : q;
        }
    }
    *x_left = i + 1;
    *y_left = j + 1;
}

/* An axis as the product of those parts that are its; only the outermost may be of symbolic size. */
static void relate_parts(Relations *r, const Node *n, const Parts *p, const int *owner, int axis, Axis whole)
{
    int mine = 0, last = -1;
    bool plain = true;
    for (int i = 0; i < p->n; i++)
        if (owner[i] == axis) {
            plain &= last < 0 || dim_is_const(p->size[last]);
            last = i;
            mine++;
        }
    Choice *c = mine ? choice_new(r, whole, n) : NULL;
    for (int i = p->n - 1; i >= 0; i--)
        if (owner[i] == axis) {
            if (plain)
                choice_part(c, p->axis[i]);
            else
                fix(r, p->axis[i], "is behind a symbolic size at", n);
        }
    if (!plain)
        c->nparts = 0;
}

static void relate_reshape(Relations *r, const Node *n)
{
    const Type *x = &node_in(n, 0)->type, *y = &node_out(n)->type;
    Parts *p = ARENA_NEW(r->arena, Parts);
    int x_left, y_left;
    parts_of_reshape(r, x, y, p, &x_left, &y_left);
    for (int k = 0; k < x_left; k++)
        fix(r, in(r, n, 0)[k], "is reshaped in a way that has no common parts, by", n);
    for (int k = 0; k < y_left; k++)
        fix(r, out(r, n, 0)[k], "is reshaped in a way that has no common parts, by", n);
    for (int k = 0; k < x->rank; k++)
        relate_parts(r, n, p, p->from, k, in(r, n, 0)[k]);
    for (int k = 0; k < y->rank; k++)
        relate_parts(r, n, p, p->to, k, out(r, n, 0)[k]);
}

/* ---- products ---- */

/* The axis that is summed over must be of a known size. */
static void tie_summed(Relations *r, const Node *n, Axis a, Axis b, Dim size)
{
    tie(r, a, b, n);
    if (!dim_is_const(size))
        fix(r, a, "has a symbolic size and is summed over by", n);
}

static void relate_matmul(Relations *r, const Node *n)
{
    const Axis *a = in(r, n, 0), *b = in(r, n, 1), *y = out(r, n, 0);
    const Type *ta = &node_in(n, 0)->type, *tb = &node_in(n, 1)->type;
    int rank = rank_of(node_out(n));
    tie_summed(r, n, a[ta->rank - 1], b[tb->rank - 2], ta->dim[ta->rank - 1]);
    tie(r, a[ta->rank - 2], y[rank - 2], n);
    tie(r, b[tb->rank - 1], y[rank - 1], n);
    for (int k = 0; k < rank - 2; k++) {
        int i = k - (rank - ta->rank), j = k - (rank - tb->rank);
        if (i >= 0 && !dim_is(ta->dim[i], 1))
            tie(r, a[i], y[k], n);
        if (j >= 0 && !dim_is(tb->dim[j], 1))
            tie(r, b[j], y[k], n);
        if (!value_constant(node_in(n, 0)) && !value_constant(node_in(n, 1)))
            prefer(r, y[k], true);
    }
}

/* An axis as `groups` times `inner`. */
static void relate_grouped(Relations *r, const Node *n, Axis whole, Axis groups, Axis inner)
{
    Choice *c = choice_new(r, whole, n);
    choice_part(c, groups);
    choice_part(c, inner);
}

static Axis groups_axis(Relations *r, int64_t group)
{
    Axis a = axis_new(r, group);
    if (group >= PREFERRED_GROUPS)
        prefer(r, a, false);
    return a;
}

static void relate_images(Relations *r, const Node *n, const Axis *w)
{
    const Axis *x = in(r, n, 0), *y = out(r, n, 0);
    tie(r, x[0], y[0], n);
    for (int k = 2; k < rank_of(node_out(n)); k++) {
        fix(r, x[k], "is an image's axis at", n);
        fix(r, y[k], "is an image's axis at", n);
        if (w)
            fix(r, w[k], "is an image's axis at", n);
    }
}

/* Filters [outer, inner of one group, k...]: the axes of x and y that they stand between. */
static void relate_filters(Relations *r, const Node *n, bool channels_last, int64_t group, Axis outer, Axis inner)
{
    const Axis *w = in(r, n, 1);
    const Type *t = &node_in(n, 1)->type;
    if (channels_last || !type_is_static(t)) {
        relate_unknown(r, n);
        return;
    }
    relate_images(r, n, w);
    if (node_in(n, 2))
        tie(r, in(r, n, 2)[0], out(r, n, 0)[1], n);
    tie(r, w[0], outer, n);
    if (group == 1) {
        tie(r, inner, w[1], n);
        return;
    }
    Axis g = groups_axis(r, group);
    relate_grouped(r, n, inner, g, w[1]);
    relate_grouped(r, n, outer, g, axis_new(r, t->dim[0]->k / group));
}

static void relate_conv(Relations *r, const Node *n)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    relate_filters(r, n, a->channels_last, a->group, out(r, n, 0)[1], in(r, n, 0)[1]);
}

static void relate_conv_transpose(Relations *r, const Node *n)
{
    const Attr_conv_transpose *a = NODE_ATTR(n, conv_transpose);
    relate_filters(r, n, a->channels_last, a->group, in(r, n, 0)[1], out(r, n, 0)[1]);
}

/* ---- reductions, pooling and what goes along one axis ---- */

/* Tied along every axis but those that `fixed` says. */
static void relate_along(Relations *r, const Node *n, const bool *fixed, const char *why)
{
    for (int i = 0; i < n->nout; i++)
        for (int k = 0; k < rank_of(node_in(n, 0)) && k < rank_of(&n->out[i]); k++)
            if (fixed[k]) {
                fix(r, in(r, n, 0)[k], why, n);
                fix(r, out(r, n, i)[k], why, n);
            } else {
                tie(r, in(r, n, 0)[k], out(r, n, i)[k], n);
            }
}

static void relate_axis(Relations *r, const Node *n, int64_t axis, const char *why)
{
    bool fixed[MAX_RANK] = { false };
    fixed[axis] = true;
    relate_along(r, n, fixed, why);
}

static void relate_reduce(Relations *r, const Node *n)
{
    const IntVec axes = NODE_ATTR(n, reduce)->axes;
    bool fixed[MAX_RANK] = { false };
    for (int i = 0; i < axes.n; i++)
        fixed[axes.v[i]] = true;
    relate_along(r, n, fixed, "is normalised or reduced over by");
}

static void relate_arg_reduce(Relations *r, const Node *n) { relate_axis(r, n, NODE_ATTR(n, arg_reduce)->axis, "is searched by"); }
static void relate_softmax(Relations *r, const Node *n) { relate_axis(r, n, NODE_ATTR(n, softmax)->axis, "is normalised over by"); }
static void relate_cumulate(Relations *r, const Node *n) { relate_axis(r, n, NODE_ATTR(n, cumulate)->axis, "is accumulated along by"); }
static void relate_topk(Relations *r, const Node *n) { relate_axis(r, n, NODE_ATTR(n, topk)->axis, "is sorted by"); }

static void relate_pool(Relations *r, const Node *n)
{
    bool fixed[MAX_RANK] = { false };
    for (int k = 2; k < MAX_RANK; k++)
        fixed[k] = true;
    if (NODE_ATTR(n, pool)->channels_last)
        relate_unknown(r, n);
    else
        relate_along(r, n, fixed, "is an image's axis at");
}

static void relate_resize(Relations *r, const Node *n)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    const Type *x = &node_in(n, 0)->type, *y = &node_out(n)->type;
    bool fixed[MAX_RANK] = { false };
    for (int k = 0; k < x->rank; k++)
        fixed[k] = x->dim[k] != y->dim[k] || (a->scales.n > k && a->scales.v[k] != 1);
    if (n->nin > 1 || a->roi.n || a->channels_last)
        relate_unknown(r, n);
    else
        relate_along(r, n, fixed, "is resized by");
}

/* Images sampled at given places: channels pass, everything else stays. */
static void relate_sampled(Relations *r, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        for (int k = 0; k < rank_of(node_in(n, i)); k++)
            if (i || k != 1)
                fix(r, in(r, n, i)[k], "is sampled by", n);
    for (int k = 0; k < rank_of(node_out(n)); k++)
        if (k != 1)
            fix(r, out(r, n, 0)[k], "is sampled by", n);
    tie(r, in(r, n, 0)[1], out(r, n, 0)[1], n);
}

/* The looked-up axis stays; so does all of an embedding. */
static void relate_gather(Relations *r, const Node *n)
{
    int axis = (int)NODE_ATTR(n, gather)->axis, ni = rank_of(node_in(n, 1));
    const Axis *x = in(r, n, 0), *i = in(r, n, 1), *y = out(r, n, 0);
    if (value_constant(node_in(n, 0)))
        fix_operand(r, n, 0, "is looked up by");
    fix(r, x[axis], "is looked up by", n);
    for (int k = 0; k < rank_of(node_in(n, 0)); k++)
        if (k != axis)
            tie(r, x[k], y[k < axis ? k : k - 1 + ni], n);
    for (int k = 0; k < ni; k++)
        tie(r, i[k], y[axis + k], n);
}

/* An axis of several times as many elements as there are hidden units: element i of each part is unit i's. */
static void tie_units(Relations *r, const Node *n, Axis axis, Axis units)
{
    if (!units.n || axis.n % units.n) {
        fix(r, axis, "has a shape that is not understood at", n);
        fix(r, units, "has a shape that is not understood at", n);
        return;
    }
    for (int i = 0; i < axis.n; i++)
        tie_one(r, axis.first + i, units.first + i % units.n);
}

/* A hidden unit has its gates' columns in what comes in (of both directions), its row and its columns in the recurrent weights, its states. */
static void relate_recurrent(Relations *r, const Node *n)
{
    enum { WX, R, LENGTHS };
    Axis units = in(r, n, R)[1];
    for (int i = 0; i < n->nin; i++)
        for (int k = 0; node_in(n, i) && k < rank_of(node_in(n, i)); k++)
            if (i != LENGTHS && (k == rank_of(node_in(n, i)) - 1 || (i == R && k == 1)))
                tie_units(r, n, in(r, n, i)[k], units);
            else
                fix(r, in(r, n, i)[k], "is an axis of sequences at", n);
    for (int i = 0; i < n->nout; i++)
        for (int k = 0; k < rank_of(&n->out[i]); k++)
            if (k == rank_of(&n->out[i]) - 1)
                tie_units(r, n, out(r, n, i)[k], units);
            else
                fix(r, out(r, n, i)[k], "is an axis of sequences at", n);
}

static void relate_expand(Relations *r, const Node *n) { relate_broadcast(r, n, 0); }

static RelateFn *const relate_table[OP_count] = {
#define EW(name, arity, types, result, formula) [OP_##name] = relate_elementwise,
#include "ops.def"
    [OP_cast] = relate_elementwise, [OP_bitcast] = relate_elementwise,
    [OP_input] = relate_input, [OP_constant] = relate_none, [OP_return] = relate_return, [OP_check] = relate_none,
    [OP_reshape] = relate_reshape, [OP_transpose] = relate_transpose, [OP_expand] = relate_expand, [OP_slice] = relate_slice, [OP_pad] = relate_pad,
    [OP_concat] = relate_concat, [OP_matmul] = relate_matmul, [OP_conv] = relate_conv, [OP_conv_transpose] = relate_conv_transpose,
    [OP_reduce] = relate_reduce, [OP_arg_reduce] = relate_arg_reduce, [OP_softmax] = relate_softmax, [OP_cumulate] = relate_cumulate,
    [OP_topk] = relate_topk, [OP_pool] = relate_pool, [OP_resize] = relate_resize, [OP_gather] = relate_gather,
    [OP_recurrent] = relate_recurrent, [OP_grid_sample] = relate_sampled, [OP_roi_align] = relate_sampled,
};

static bool is_all_tensors(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (node_in(n, i) && node_in(n, i)->type.kind != TY_TENSOR)
            return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].type.kind != TY_TENSOR)
            return false;
    return true;
}

Relations *relations_find(Arena *a, Module *m, const Graph *g, bool (*keep)(void *ctx, const Node *n), void *ctx)
{
    Relations *r = ARENA_NEW(a, Relations);
    r->arena = a;
    r->m = m;
    r->axes = ptrmap_new(a);
    FOR_EACH_NODE(n, g) {
        RelateFn *fn = relate_table[n->op] && is_all_tensors(n) ? relate_table[n->op] : relate_unknown;
        fn(r, n);
        if (keep && keep(ctx, n))
            for (int i = 0; i < n->nout; i++)
                fix_result(r, n, i, "is to be kept at");
    }
    choices_make(r);
    return r;
}
