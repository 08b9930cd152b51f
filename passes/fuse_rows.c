/* fuse_rows.c -- recognises what normalises rows: reductions over the last axis and the elementwise nodes between and behind them, as one group of fuse.c.
 *
 *   %s = reduce(%x) {kind="sum", axes=[last]}   : f32[B..,1]       LayerNorm: the mean is taken off,
 *   %m = mul(%s, 1/n)                           : f32[B..,1]       the squares are averaged, the result is scaled and shifted.
 *   %c = sub(%x, %m)                            : f32[B..,n]       RMSNorm, a softmax spelt out and the like are the same:
 *   %v = reduce(mul(%c, %c)) ...                                   nodes of the row's shape or with one element per row.
 *
 * The kernel (codegen/gen_rows.c) sweeps over one row several times while the row is in the cache. A sweep computes again what it needs of the sweeps before, so what
 * leads to a reduction must be cheap.
 */
#include "fuse_rows.h"

typedef struct Rows {
    int n, room, reduces;
    Node **member;
    const Type *full, *one;                 /* a row of elements, a row of one */
    const Node *first;
} Rows;

static bool has(const Rows *s, const Node *n)
{
    for (int i = 0; i < s->n; i++)
        if (s->member[i] == n)
            return true;
    return false;
}

static bool reads_member(const Rows *s, const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].val && has(s, n->in[i].val->def))
            return true;
    return false;
}

static bool read_inside_only(const Rows *s, const Value *v)
{
    FOR_EACH_USE(u, v)
        if (!has(s, u->user))
            return false;
    return true;
}

static int results(const Rows *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += !read_inside_only(s, node_out(s->member[i]));
    return n;
}

static bool same_axes(const Node *a, const Node *b)
{
    return NODE_ATTR(a, reduce)->axes.n == NODE_ATTR(b, reduce)->axes.n && NODE_ATTR(a, reduce)->axes.v[0] == NODE_ATTR(b, reduce)->axes.v[0];
}

/* v and the members of the row's shape that it comes from. */
static bool is_cheap_to_repeat(const Rows *s, const Value *v)
{
    const Node *n = v->def;
    if (!has(s, n) || !same_shape(&v->type, s->full))
        return true;
    if (!op_is_cheap(n->op))
        return false;
    for (int i = 0; i < n->nin; i++)
        if (!is_cheap_to_repeat(s, n->in[i].val))
            return false;
    return true;
}

static bool fits(const Rows *s, const Node *n)
{
    if (n->op == OP_reduce)
        return same_axes(n, s->first) && same_shape(&n->in[0].val->type, s->full) && is_cheap_to_repeat(s, n->in[0].val);
    return op_is_elementwise(n->op) && (same_shape(&node_out(n)->type, s->full) || same_shape(&node_out(n)->type, s->one));
}

static void add(Rows *s, Node *n)
{
    s->member[s->n++] = n;
    s->reduces += n->op == OP_reduce;
}

/* The earliest node that reads a member and is none. */
static Node *next_node(const Rows *s)
{
    Node *best = NULL;
    for (int i = 0; i < s->n; i++)
        FOR_EACH_USE(u, node_out(s->member[i])) {
            Node *k = u->user;
            if (!has(s, k) && (!best || k->id < best->id) && fits(s, k))
                best = k;
        }
    return best;
}

/* Cheap nodes of the row's shape that only members read. */
static void grow_upwards(Rows *s)
{
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->member[i]->nin; k++) {
            Value *v = s->member[i]->in[k].val;
            if (v && s->n < s->room && !has(s, v->def) && op_is_cheap(v->def->op) && same_shape(&v->type, s->full) && read_inside_only(s, v))
                add(s, v->def);
        }
}

static bool result_is_full(const Rows *s)
{
    const Node *last = s->member[0];
    for (int i = 1; i < s->n; i++)
        last = s->member[i]->id > last->id ? s->member[i] : last;
    return same_shape(&node_out(last)->type, s->full);
}

int rows_members(Node *reduce, Node **member, int room)
{
    const Attr_reduce *a = NODE_ATTR(reduce, reduce);
    Rows s = { .room = room, .member = member, .full = &reduce->in[0].val->type, .one = &node_out(reduce)->type, .first = reduce };
    int last = s.full->rank - 1, good = 0, good_reduces = 0;
    if (a->axes.n != 1 || a->axes.v[0] != last || dim_is(s.full->dim[last], 1) || !dtype_is_float(s.full->dtype))
        return 0;
    add(&s, reduce);
    grow_upwards(&s);
    for (Node *k; s.n < room && (k = next_node(&s)) && reads_member(&s, k);) {
        add(&s, k);
        if (results(&s) == 1 && (s.reduces > 1 || result_is_full(&s)))
            good = s.n, good_reduces = s.reduces;
    }
    if (!good_reduces)
        return 0;
    s.n = good;
    grow_upwards(&s);
    return s.n;
}
