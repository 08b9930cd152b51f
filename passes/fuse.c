/* fuse.c -- fusion groups: nodes that become one kernel move into the body of a `fused` node, so that what is between them stays in registers.
 *
 *   %3 = conv(%0, %w, %b) : f32[1,8,8,16]                   %6 = fused(%0, %w, %b, %r) {body=graph {
 *   %4 = add(%3, %r)      : f32[1,8,8,16]                     %7.. = input() ...
 *   %5 = relu(%4)         : f32[1,8,8,16]          ->         %11 = conv(%7, %8, %9)
 *                                                             %12 = add(%11, %10)
 *                                                             %13 = relu(%12)
 *                                                             return(%13)
 *                                                           }} : f32[1,8,8,16]
 *
 * The groups, which are what codegen knows how to make a kernel of:
 *   contraction   conv, conv_transpose or matmul, then elementwise nodes of the result's shape (the epilogue); other operands of the epilogue are made
 *                 of bytes inside, where they are made of bytes; weights of few bits are read packed (low_bit_product.h)
 *                 and behind Winograd's convolution a 2x2 maximum, which its tiles hold
 *   attention     two matmuls around a softmax, and what lies between them (fuse_attention.c)
 *   pool          the same behind a pool, and bytes converted before it
 *   reduction     reduce, arg_reduce or softmax; before it elementwise nodes of the operand's shape (the prologue), behind it an epilogue
 *   rows          reductions over the last axis, and elementwise nodes between and behind them (fuse_rows.c)
 *   map           elementwise nodes, movement, and reshape between them, where nothing is computed more often than before. Movement that takes
 *                 neighbours along the last axis apart is not mixed with computation, which would lose its vectors; a concat is, if it comes last.
 * A group has one result; whatever else it computes is used inside only, possibly several times (x * sigmoid(x)). So no path leaves it and comes back,
 * and it may stand where its last node stood. Uniform constants are copied into the body, where code generation sees their value; all other
 * operands come through the body's inputs. No group has a single node.
 *
 * First, a cheap elementwise node that several nodes want is repeated for each of them, if that costs no more reads: x - mean in a LayerNorm, wanted by
 * the variance and by the quotient, is computed in both from x, which is there anyway, and never stored.
 *
 * Needs: typed. Keeps: everything.
 */
#include <stdlib.h>

#include "fuse_attention.h"
#include "fuse_rows.h"
#include "winograd.h"
#include "low_bit_product.h"

enum { MAX_GROUP = 40, MAX_CONCAT = 8, MAX_INPUTS = 48 };      /* nodes; operands of a concat inside; operands of the group */

typedef struct Group {
    int n;
    Node *member[MAX_GROUP];
} Group;

typedef struct Fuse {
    Module *m;
    Graph *g;
    Arena *tmp;
    bool *gone;                     /* by node id: already inside a group */
} Fuse;

/* ---- kinds of node ---- */

static bool is_contraction_or_pool(const Node *n)
{
    return n->op == OP_conv || n->op == OP_conv_transpose || n->op == OP_matmul || n->op == OP_pool;
}

static bool is_reduction(const Node *n)
{
    return n->op == OP_reduce || n->op == OP_arg_reduce || n->op == OP_softmax;
}

static bool fits_map(const Node *n)
{
    if (n->op == OP_concat && n->nin > MAX_CONCAT)
        return false;
    return n->nout == 1 && node_out(n)->type.dtype != DT_str && (op_is_elementwise(n->op) || op_has(n->op, OPF_MOVE) || n->op == OP_reshape);
}

/* ---- repeating what is cheaper to compute again than to store ---- */

enum { MAX_REPEATS = 4 };

bool op_is_cheap(OpCode op)
{
    static const bool cheap[OP_count] = { [OP_add] = true, [OP_sub] = true, [OP_mul] = true, [OP_max] = true, [OP_min] = true, [OP_neg] = true,
                                          [OP_abs] = true, [OP_relu] = true, [OP_cast] = true };
    return cheap[op];
}

/* Reads one value of its own size, which somebody else reads too; all else that it reads is smaller. */
static bool reads_one_large(const Node *n)
{
    int large = 0;
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i].val;
        if (!same_shape(&v->type, &node_out(n)->type) || value_constant(v))
            continue;
        large++;
        if (value_only_user(v))
            return false;                       /* it may end the group of its producer */
    }
    return large == 1;
}

static bool user_can_take_it(const Node *user, const Value *v)
{
    return is_reduction(user) || (op_is_elementwise(user->op) && same_shape(&node_out(user)->type, &v->type));
}

static bool worth_repeating(const Node *n)
{
    const Node *user[MAX_REPEATS];
    int users = 0;
    if (!op_is_cheap(n->op) || !reads_one_large(n))
        return false;
    FOR_EACH_USE(u, node_out(n)) {
        int k = 0;
        while (k < users && user[k] != u->user)
            k++;
        if (!user_can_take_it(u->user, node_out(n)) || k == MAX_REPEATS)
            return false;
        user[k] = u->user;
        users = k == users ? users + 1 : users;
    }
    return users > 1;
}

/* Every user but one gets a copy. */
static void repeat(Node *n)
{
    Value *in[3], *v = node_out(n);
    for (int i = 0; i < n->nin; i++)
        in[i] = n->in[i].val;
    for (const Use *other = v->uses; other;) {
        Node *user = other->user;
        Value *copy = node_out(node_clone(n->graph, n->next, n, in));
        for (int i = 0; i < user->nin; i++)
            if (user->in[i].val == v)
                node_set_input(user, i, copy);
        for (other = v->uses; other && other->user == v->uses->user; other = other->next)
            ;                                   /* NULL: one user is left */
    }
}

static void repeat_cheap(Graph *g)
{
    FOR_EACH_NODE_SAFE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = 0, count = node_bodies(n, body); i < count; i++)
            repeat_cheap(body[i]);
        if (worth_repeating(n) && rewrite_allowed(g->module, "repeat", n))
            repeat(n);
    }
}

/* ---- groups ---- */

static bool contains(const Group *s, const Node *n)
{
    for (int i = 0; i < s->n; i++)
        if (s->member[i] == n)
            return true;
    return false;
}

static bool used_inside_only(const Group *s, const Value *v)
{
    FOR_EACH_USE(u, v)
        if (!contains(s, u->user))
            return false;
    return true;
}

static int results(const Group *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += !used_inside_only(s, node_out(s->member[i]));
    return n;
}

static bool is_taken(const Fuse *f, const Node *n)
{
    return n->op == OP_fused || f->gone[n->id];
}

/* Room for one more node; every member but one gives its result to another, so that is no operand of the group. */
static bool has_room(const Group *s, const Node *n)
{
    int operands = n->nin;
    for (int i = 0; i < s->n; i++)
        operands += s->member[i]->nin - 1;
    return s->n < MAX_GROUP && operands <= MAX_INPUTS;
}

/* The earliest elementwise node of that shape that reads a member and is none. */
static Node *next_in_epilogue(const Fuse *f, const Group *s, const Type *shape)
{
    Node *best = NULL;
    for (int i = 0; i < s->n; i++)
        FOR_EACH_USE(u, node_out(s->member[i])) {
            Node *k = u->user;
            if (op_is_elementwise(k->op) && !is_taken(f, k) && !contains(s, k) && same_shape(&node_out(k)->type, shape) && (!best || k->id < best->id))
                best = k;
        }
    return best;
}

/* Numbers that take less memory than f32, and are made f32 by an instruction or two. */
static bool is_compact(DType t)
{
    return dtype_bytes(t) == 1 || t == DT_bf16;
}

/* Bytes (or bf16, here and below) as numbers, for nodes that can make numbers of bytes themselves: bytes are less to store. */
static bool is_better_read_as_bytes(const Node *n)
{
    if (n->op != OP_cast || !is_compact(n->in[0].val->type.dtype) || is_compact(node_out(n)->type.dtype))
        return false;
    FOR_EACH_USE(u, node_out(n))
        if (!fits_map(u->user) && !is_reduction(u->user) && u->user->op != OP_pool)
            return false;
    return true;
}

/* Nodes are taken one by one; the group ends at the last point where it had one result. Members before `from` are the anchor's prologue. */
static void grow_epilogue(const Fuse *f, Group *s, const Node *anchor)
{
    int good = s->n;
    const Type *shape = &node_out(anchor)->type;
    for (Node *k; (k = next_in_epilogue(f, s, shape)) && has_room(s, k);) {
        s->member[s->n++] = k;
        if (results(s) == 1)
            good = s->n;
    }
    s->n = good;
    if (s->n > 1 && is_better_read_as_bytes(s->member[s->n - 1]))
        s->n--;
}

/* The pool that alone reads the group's result, where the convolution's tiles hold its windows. */
static void take_pool(const Fuse *f, Group *s, const Node *anchor)
{
    for (int i = s->n - 1; i >= 0; i--) {
        const Value *v = node_out(s->member[i]);
        Node *user = v->uses && !v->uses->next ? v->uses->user : NULL;
        if (user && !contains(s, user) && !is_taken(f, user) && has_room(s, user) && winograd_takes_pool(anchor, user)) {
            s->member[s->n++] = user;
            return;
        }
    }
}

static void grow_prologue(const Fuse *f, Group *s, const Type *shape)
{
    for (int i = 0; i < s->n; i++)              /* the list grows while it is walked: producers of producers */
        for (int k = 0; k < s->member[i]->nin; k++) {
            Value *v = s->member[i]->in[k].val;
            if (v && op_is_elementwise(v->def->op) && has_room(s, v->def) && !is_taken(f, v->def) && !contains(s, v->def) &&
                same_shape(&v->type, shape) && used_inside_only(s, v))
                s->member[s->n++] = v->def;
        }
}

/* ---- bytes read where the numbers are wanted ---- */

/* A number made of one byte and constants, cheaply: a quarter of the memory to read. */
static bool is_made_of_bytes(const Value *v, const Type *shape)
{
    const Node *n = v->def;
    if (!op_is_elementwise(n->op) || !same_shape(&v->type, shape) || !(op_is_cheap(n->op) || n->op == OP_bitcast))
        return false;
    if (n->op == OP_cast)
        return is_compact(n->in[0].val->type.dtype);
    for (int i = 0, large = 0; i < n->nin; i++)
        if (!value_constant(n->in[i].val) && (large++ || !is_made_of_bytes(n->in[i].val, shape)))
            return false;
    return true;
}

/* Operands of an epilogue, and of a pool that is fed by a conversion only, that are made of bytes. No path leads from the group to them: all that leaves
 * it is its last result. */
static void grow_byte_operands(const Fuse *f, Group *s, const Node *anchor)
{
    for (int i = 0; i < s->n; i++)              /* the list grows while it is walked */
        for (int k = 0; k < s->member[i]->nin; k++) {
            Value *v = s->member[i]->in[k].val;
            bool in_window = s->member[i] == anchor;
            if (!v || is_taken(f, v->def) || contains(s, v->def) || !has_room(s, v->def) || !used_inside_only(s, v))
                continue;
            if (in_window ? anchor->op == OP_pool && v->def->op == OP_cast && is_compact(v->def->in[0].val->type.dtype)
                          : is_made_of_bytes(v, &node_out(anchor)->type))
                s->member[s->n++] = v->def;
        }
}

/* ---- the fused node ---- */

static int by_id(const void *a, const void *b)
{
    const Node *x = *(Node *const *)a, *y = *(Node *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static bool is_uniform(const Value *v)
{
    const Tensor *t = value_constant(v);
    return t && (t->splat || t->count == 1);
}

typedef struct Body {
    Graph *g;
    int nin;
    Value **outer, **inner;         /* operands of the fused node, and what stands for them in the body; then constants and members */
    int nmap;
    Value **from, **to;
} Body;

static Value *mapped(const Body *b, const Value *v)
{
    for (int i = b->nmap - 1; i >= 0; i--)
        if (b->from[i] == v)
            return b->to[i];
    return NULL;
}

static void map_value(Body *b, Value *from, Value *to)
{
    b->from[b->nmap] = from;
    b->to[b->nmap++] = to;
}

/* A contraction reads its weights from memory, uniform or not; so are codes and their scales. */
static bool read_as_number(const Group *s, const Value *v)
{
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->member[i]->nin; k++)
            if (s->member[i]->in[k].val == v && (is_contraction_or_pool(s->member[i]) || s->member[i]->op == OP_dequantize_blocks))
                return false;
    return is_uniform(v);
}

static void add_outside(const Group *s, Body *b, Value *v)
{
    if (mapped(b, v))
        return;
    if (read_as_number(s, v)) {
        map_value(b, v, node_out(node_clone(b->g, NULL, v->def, NULL)));
        return;
    }
    Node *in = node_new(b->g, NULL, OP_input, 0, NULL, &(Attr_input){ .index = b->nin }, -1, v->def->loc);
    node_out(in)->type = v->type;
    node_out(in)->known = v->known;
    b->outer[b->nin++] = v;
    map_value(b, v, node_out(in));
}

/* Inputs and constants of the whole group come first, so that a body reads: inputs, then what is computed. */
static void fill_body(Fuse *f, const Group *s, Body *b)
{
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->member[i]->nin; k++)
            if (s->member[i]->in[k].val && !contains(s, s->member[i]->in[k].val->def))
                add_outside(s, b, s->member[i]->in[k].val);
    for (int i = 0; i < s->n; i++) {
        Node *n = s->member[i];
        Value **in = ARENA_ARRAY(f->tmp, Value *, n->nin + 1);
        for (int k = 0; k < n->nin; k++)
            in[k] = n->in[k].val ? mapped(b, n->in[k].val) : NULL;
        map_value(b, node_out(n), node_out(node_clone(b->g, NULL, n, in)));
    }
}

static bool make_fused(Fuse *f, Group *s)
{
    if (s->n < 2 || results(s) != 1)
        return true;
    qsort(s->member, (size_t)s->n, sizeof *s->member, by_id);
    Node *last = s->member[s->n - 1];
    if (!rewrite_allowed(f->m, "fuse", last))
        return true;
    int room = s->n;
    for (int i = 0; i < s->n; i++)
        room += s->member[i]->nin;
    Body b = { .g = graph_new(f->m, f->g), .outer = ARENA_ARRAY(f->tmp, Value *, room), .from = ARENA_ARRAY(f->tmp, Value *, room),
               .to = ARENA_ARRAY(f->tmp, Value *, room) };
    b.g->props = GP_TYPED;
    fill_body(f, s, &b);
    Value *result = mapped(&b, node_out(last));
    node_new(b.g, NULL, OP_return, 1, &result, NULL, -1, last->loc);
    Node *fused = node_new(f->g, last, OP_fused, b.nin, b.outer, &(Attr_fused){ .body = b.g }, 1, last->loc);
    if (!fused)
        return false;
    value_replace(node_out(last), node_out(fused));
    for (int i = s->n - 1; i >= 0; i--) {
        f->gone[s->member[i]->id] = true;
        node_erase(s->member[i]);
    }
    return true;
}

/* ---- map groups ---- */

typedef struct Map {
    Group s;
    bool once[MAX_GROUP];           /* member i is evaluated once per element */
    int place[MAX_GROUP];           /* members of equal place are wanted at the same index */
    int places;
    bool computes, scatters;        /* some member computes; some member takes neighbours apart */
} Map;

static bool computes(const Node *n)
{
    return op_is_elementwise(n->op) && n->op != OP_cast && n->op != OP_bitcast;
}

/* Neighbours along the last axis of the result are no neighbours in an operand. */
static bool scatters(const Node *n)
{
    const Type *to = &node_out(n)->type, *from = n->nin ? &n->in[0].val->type : to;
    int last = to->rank - 1;
    if (last < 0 || dim_is(to->dim[last], 1))
        return false;
    switch (n->op) {
    case OP_transpose: return NODE_ATTR(n, transpose)->perm.v[last] != last;
    case OP_slice: return NODE_ATTR(n, slice)->steps.v[last] != 1;
    case OP_pad: return !dim_is(NODE_ATTR(n, pad)->before.v[last], 0) || !dim_is(NODE_ATTR(n, pad)->after.v[last], 0);
    case OP_concat: return NODE_ATTR(n, concat)->axis == last;
    case OP_reshape: return !from->rank || from->dim[from->rank - 1] != to->dim[last];
    default: return false;
    }
}

static bool is_free(const Node *n)
{
    return op_has(n->op, OPF_MOVE) || n->op == OP_reshape || n->op == OP_cast || n->op == OP_bitcast;
}

/* Given that member i is evaluated once per element of it, is operand k? */
static bool reads_once(const Node *n, int k)
{
    if (op_is_elementwise(n->op) || n->op == OP_expand)
        return same_shape(&n->in[k].val->type, &node_out(n)->type);
    return n->op != OP_pad || k == 0;
}

static bool same_place(const Node *n, int k)
{
    return op_is_elementwise(n->op) && same_shape(&n->in[k].val->type, &node_out(n)->type);
}

/* Several readers are fine if they all want the value at one index. */
static bool read_at_one_place(const Map *m, const Value *v)
{
    int place = -1;
    if (v->uses && !v->uses->next)
        return true;
    FOR_EACH_USE(u, v)
        for (int i = 0; i < m->s.n; i++)
            if (m->s.member[i] == u->user) {
                if (!same_place(u->user, (int)(u - u->user->in)) || (place >= 0 && place != m->place[i]))
                    return false;
                place = m->place[i];
            }
    return true;
}

/* Numbers made bytes where they are computed are less to move. */
static bool ends_computation(const Node *n)
{
    if (n->op != OP_cast || !is_compact(node_out(n)->type.dtype) || is_compact(n->in[0].val->type.dtype))
        return false;
    const Node *from = n->in[0].val->def;
    return computes(from) || (from->op == OP_bitcast && computes(from->in[0].val->def));
}

static void consider_producer(const Fuse *f, Map *m, int i, int k)
{
    const Node *reader = m->s.member[i];
    Value *v = reader->in[k].val;
    if (!v || !fits_map(v->def) || is_taken(f, v->def) || contains(&m->s, v->def) || !has_room(&m->s, v->def))
        return;
    if (m->scatters && ends_computation(v->def))
        return;
    if ((m->computes || computes(v->def)) && (m->scatters || scatters(v->def)))
        return;
    bool once = m->once[i] && reads_once(reader, k);
    if (!used_inside_only(&m->s, v) || !read_at_one_place(m, v) || (!once && !is_free(v->def)))
        return;
    m->once[m->s.n] = once;
    m->computes |= computes(v->def);
    m->scatters |= scatters(v->def);
    m->place[m->s.n] = same_place(reader, k) ? m->place[i] : ++m->places;
    m->s.member[m->s.n++] = v->def;
}

/* Producers join from the last node upwards. */
static void grow_map(const Fuse *f, Map *m)
{
    for (int i = 0; i < m->s.n; i++)            /* the list grows while it is walked */
        for (int k = 0; k < m->s.member[i]->nin; k++)
            consider_producer(f, m, i, k);
}

/* A reshape of outside data costs nothing outside. */
static void drop_leading_reshapes(Group *s)
{
    for (int i = s->n - 1; i >= 0; i--)
        if (s->member[i]->op == OP_reshape && !contains(s, s->member[i]->in[0].val->def)) {
            s->member[i] = s->member[--s->n];
            i = s->n;
        }
}

/* ---- the pass ---- */

static int collect(Fuse *f, bool (*wanted)(const Node *), Node ***out)
{
    int n = 0, room = graph_count_nodes(f->g);
    *out = ARENA_ARRAY(f->tmp, Node *, room + 1);
    FOR_EACH_NODE(k, f->g)
        if (wanted(k))
            (*out)[n++] = k;
    return n;
}

/* Constant weights of few bits, made numbers for this product only. */
static bool reads_packed(const Node *n)
{
    const Node *w = low_bit_weights(n);
    if (!w || !low_bit_ready(n) || value_only_user(node_out(w)) != n)
        return false;
    for (int i = 0; i < w->nin; i++)
        if (w->in[i].val && !value_constant(w->in[i].val))
            return false;
    return true;
}

static bool fuse_around(Fuse *f, bool (*is_anchor)(const Node *))
{
    Node **anchor;
    int n = collect(f, is_anchor, &anchor);
    for (int i = 0; i < n; i++) {
        if (f->gone[anchor[i]->id])             /* a pool behind its convolution */
            continue;
        Group s = { 1, { anchor[i] } };
        if (reads_packed(anchor[i]))
            s.member[s.n++] = anchor[i]->in[1].val->def;
        if (is_reduction(anchor[i]))
            grow_prologue(f, &s, &anchor[i]->in[0].val->type);
        grow_epilogue(f, &s, anchor[i]);
        grow_byte_operands(f, &s, anchor[i]);
        if (results(&s) == 1)
            take_pool(f, &s, anchor[i]);
        if (!make_fused(f, &s))
            return false;
    }
    return true;
}

static bool is_softmax(const Node *n)
{
    return n->op == OP_softmax;
}

static bool fuse_attention(Fuse *f)
{
    Node **anchor;
    int n = collect(f, is_softmax, &anchor);
    for (int i = 0; i < n; i++) {
        Group s = { 0 };
        s.n = attention_members(f->m, anchor[i], s.member, MAX_GROUP / 2);
        if (s.n && !make_fused(f, &s))
            return false;
    }
    return true;
}

static bool is_reduce(const Node *n)
{
    return n->op == OP_reduce;
}

static bool fuse_rows(Fuse *f)
{
    Node **anchor;
    int n = collect(f, is_reduce, &anchor);
    for (int i = 0; i < n; i++) {
        Group s = { 0 };
        if (!f->gone[anchor[i]->id])
            s.n = rows_members(anchor[i], s.member, MAX_GROUP / 2);
        if (s.n && !make_fused(f, &s))
            return false;
    }
    return true;
}

static bool fuse_maps(Fuse *f)
{
    Node **root;
    for (int i = collect(f, fits_map, &root) - 1; i >= 0; i--) {
        const Node *n = root[i];
        if (f->gone[n->id] || n->op == OP_reshape)
            continue;
        Map m = { .s = { 1, { root[i] } }, .once = { true }, .computes = computes(n), .scatters = n->op != OP_concat && scatters(n) };
        grow_map(f, &m);
        drop_leading_reshapes(&m.s);
        if (!make_fused(f, &m.s))
            return false;
    }
    return true;
}

static bool fuse_graph(Module *m, Graph *g)
{
    FOR_EACH_NODE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = 0, count = node_bodies(n, body); i < count; i++)
            if (!fuse_graph(m, body[i]))
                return false;
    }
    Arena *tmp = arena_new();
    Fuse f = { m, g, tmp, ARENA_ARRAY(tmp, bool, m->next_id + 1) };
    bool ok = fuse_attention(&f) && fuse_around(&f, is_contraction_or_pool) && fuse_rows(&f) && fuse_around(&f, is_reduction) && fuse_maps(&f);
    arena_free(tmp);
    return ok;
}

bool pass_fuse(Module *m)
{
    repeat_cheap(m->graph);
    graph_renumber(m->graph);
    return fuse_graph(m, m->graph);
}
