/* fuse_attention.c -- recognises attention: a softmax over the last axis between two matrix products, as one group of fuse.c.
 *
 *   %s = matmul(%q, %k)    : f32[B..,T,S]        %q : f32[B..,T,D], %k : f32[B..,D,S]
 *   %x = f(%s, ...)        : f32[B..,T,S]        elementwise nodes: scale, mask, bias; or none
 *   %p = softmax(%x) {axis=last}
 *   %y = matmul(%p, %v)    : f32[B..,T,E]        %v : f32[B..,S,E]
 *   %z = transpose(%y)                           heads behind rows; if nobody else reads %y
 *
 * The scores then never reach memory (codegen/gen_attention.c). The movement that splits heads joins in as far as strides can describe it, and so does a
 * factor on %q. Asked for: all in f32, D and E multiples of 16 of at most 256 (lanes run along them when rows are read and written), at least 8
 * rows (they are what the lanes run along in between), or an unknown number.
 */
#include "fuse_attention.h"
#include "strided.h"

enum { LANES = 16, MAX_HEAD = 256, LEAST_ROWS = 8 };

typedef struct Members {
    Module *m;
    int n, room;
    Node **member;
} Members;

static bool has(const Members *s, const Node *n)
{
    for (int i = 0; i < s->n; i++)
        if (s->member[i] == n)
            return true;
    return false;
}

static bool add(Members *s, Node *n)
{
    if (s->n == s->room)
        return false;
    s->member[s->n++] = n;
    return true;
}

static bool read_inside_only(const Members *s, const Value *v)
{
    FOR_EACH_USE(u, v)
        if (!has(s, u->user))
            return false;
    return true;
}

static bool is_outside(void *ctx, const Value *v)
{
    return !has(ctx, v->def);
}

static bool is_uniform(const Value *v)
{
    double x;
    return value_scalar_f64(v, &x);
}

/* ---- the five nodes ---- */

static Node *only_reader(const Value *v)
{
    return v->uses && !v->uses->next ? v->uses->user : NULL;
}

/* From the softmax up through elementwise nodes of its shape to the one matmul; they join. NULL: there is none, or more than one. */
static Node *find_scores(Members *s, Node *softmax)
{
    const Type *shape = &node_out(softmax)->type;
    Node *scores = NULL;
    int first = s->n - 1;
    for (int i = first; i < s->n; i++)
        for (int k = 0; k < s->member[i]->nin; k++) {
            Value *v = s->member[i]->in[k].val;
            bool joins = v && (v->def->op == OP_matmul || op_is_elementwise(v->def->op)) && same_shape(&v->type, shape) && read_inside_only(s, v);
            if (!joins || has(s, v->def))
                continue;
            if ((v->def->op == OP_matmul && scores) || v->type.dtype == DT_str || !add(s, v->def))
                return NULL;
            if (v->def->op == OP_matmul) {
                scores = v->def;
                s->n--;                         /* its own operands are another matter */
            }
        }
    return scores && add(s, scores) ? scores : NULL;
}

static bool is_head_size(Dim d)
{
    return dim_is_const(d) && d->k > 0 && d->k % LANES == 0 && d->k <= MAX_HEAD;
}

/* Batch dims of an operand are those of the result, or 1. */
static bool batch_agrees(const Type *operand, const Type *result)
{
    for (int d = 0; d + 2 < operand->rank; d++) {
        Dim mine = operand->dim[d], theirs = result->dim[d + result->rank - operand->rank];
        if (mine != theirs && !dim_is(mine, 1))
            return false;
    }
    return true;
}

static bool operands_fit(const Node *product, const Type *scores)
{
    for (int i = 0; i < 2; i++) {
        const Type *t = &node_in(product, i)->type;
        if (t->dtype != DT_f32 || value_constant(node_in(product, i)) || t->rank > scores->rank || !batch_agrees(t, scores))
            return false;
    }
    return true;
}

static bool shapes_fit(const Node *scores, const Node *product)
{
    const Type *t = &node_out(scores)->type, *q = &node_in(scores, 0)->type, *y = &node_out(product)->type;
    Dim rows = t->dim[t->rank - 2];
    return t->dtype == DT_f32 && y->dtype == DT_f32 && y->rank == t->rank && is_head_size(q->dim[q->rank - 1]) && is_head_size(y->dim[y->rank - 1]) &&
           q->rank == t->rank && !(dim_is_const(rows) && rows->k < LEAST_ROWS) && operands_fit(scores, t) && operands_fit(product, t) && batch_agrees(y, t) && batch_agrees(t, y);
}

/* ---- what joins around them ---- */

static Value *scaled_value(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (!is_uniform(n->in[i].val))
            return n->in[i].val;
    return NULL;
}

/* x * k, x / k...: its other operands are numbers. Not a cast: the generator reads f32. */
static bool is_scaling(const Value *v)
{
    const Node *n = v->def;
    int others = 0;
    for (int i = 0; i < n->nin; i++)
        others += !is_uniform(n->in[i].val);
    return op_is_elementwise(n->op) && others == 1 && v->type.dtype == DT_f32 && scaled_value(n)->type.dtype == DT_f32;
}

/* Through members that only move: the value from which on none does, so far. */
static Value *chain_end(const Members *s, Value *v)
{
    while (has(s, v->def))
        v = op_is_elementwise(v->def->op) ? scaled_value(v->def) : v->def->in[0].val;
    return v;
}

/* The value that strides must describe: below the scaling that joined. */
static Value *chain_start(const Members *s, Value *v)
{
    while (has(s, v->def) && op_is_elementwise(v->def->op))
        v = scaled_value(v->def);
    return v;
}

static bool moves(OpCode op)
{
    return op == OP_transpose || op == OP_slice || op == OP_expand || op == OP_reshape;
}

static bool is_described(Members *s, Value *root, bool along_rows)
{
    Strided view;
    const Value *v = chain_start(s, root);
    return strided_view(s->m->dims, v, is_outside, s, &view) && !value_constant(view.base) && (!along_rows || dim_is(view.stride[v->type.rank - 1], 1));
}

/* One more node into the chain of an operand. */
static bool extend(Members *s, Value *root, bool is_query)
{
    Value *end = chain_end(s, root);
    bool scales = is_query && end == chain_start(s, root) && is_scaling(end) && same_shape(&scaled_value(end->def)->type, &end->type);
    if (!read_inside_only(s, end) || (!scales && !moves(end->def->op)) || value_constant(end) || !add(s, end->def))
        return false;
    if (is_described(s, root, is_query))
        return true;
    s->n--;
    return false;
}

/* Reshapes of what is outside cost nothing outside. */
static void drop_outer_reshapes(Members *s)
{
    for (int i = s->n - 1; i >= 0; i--)
        if (s->member[i]->op == OP_reshape && !has(s, s->member[i]->in[0].val->def)) {
            s->member[i] = s->member[--s->n];
            i = s->n;
        }
}

static void take_result_transpose(Members *s, const Node *product)
{
    Node *n = only_reader(node_out(product));
    int last = node_out(product)->type.rank - 1;
    if (n && n->op == OP_transpose && NODE_ATTR(n, transpose)->perm.v[last] == last)
        add(s, n);
}

int attention_members(Module *m, Node *softmax, Node **member, int room)
{
    Members s = { m, 0, room, member };
    const Attr_softmax *a = NODE_ATTR(softmax, softmax);
    Node *product = only_reader(node_out(softmax));
    if (a->log || a->axis != node_out(softmax)->type.rank - 1 || node_out(softmax)->type.rank < 2 || !product || product->op != OP_matmul ||
        product->in[0].val != node_out(softmax) || product->in[1].val == node_out(softmax))
        return 0;
    add(&s, softmax);
    Node *scores = find_scores(&s, softmax);
    if (!scores || !shapes_fit(scores, product) || !add(&s, product))
        return 0;
    Value *root[] = { scores->in[0].val, scores->in[1].val, product->in[1].val };
    if (!is_described(&s, root[0], true))
        return 0;
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < 3; i++)
            more |= extend(&s, root[i], i == 0);
    }
    drop_outer_reshapes(&s);
    take_result_transpose(&s, product);
    return s.n;
}
