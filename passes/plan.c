/* plan.c -- the memory plan: every value gets its place (Value.storage), the module its workspace size (Module.arena_bytes).
 *
 *   %1 = conv(%0, %w) : f32[1,8,8,16]                       %1 = conv(%0, %w) : f32[1,8,8,16] @arena+0
 *   %2 = relu(%1)     : f32[1,8,8,16]             ->        %2 = relu(%1)     : f32[1,8,8,16] @arena+0        ; over its operand
 *   %3 = reshape(%2)  : f32[1,1024]                         %3 = reshape(%2)  : f32[1,1024]   @alias(%2)
 *   return(%3)                                              (and all three @output+0, since this one is returned)
 *
 * Where values may live:
 *   input, const    the caller's input, the weights
 *   output          the caller's buffer: what is returned is computed there. A value that cannot be (an input, a constant, a value returned twice,
 *                   one whose own node decides its size) is copied by an explicit `expand` before the return.
 *   alias(%v)       results of VIEW ops, inputs of an `if` region: the memory of %v, which is never an alias itself. Also alias(%v+16): columns of the
 *                   concat %v, whose producers write them there (concat_part.h)
 *   arena+offset    the workspace
 *   heap+slot       a size that only the data decides and nothing bounds: allocated by the node that computes it
 *   local           values inside a `fused` body: registers
 * What the branches of an `if` return is computed right where the result of the `if` lives, so both have the same storage. A loop keeps its states in
 * the memory of its results, which its body's inputs share; what an iteration returns is elsewhere and is copied (or, on the heap, handed over).
 *
 * How: nodes are numbered in execution order, nested regions between the begin and the end of their `if`. Values that must share memory form a
 * class (union-find) with one lifetime, the hull of its members'. Then an elementwise node may write over an operand that dies there. Last, classes
 * are packed: sizes are count * unit, where the unit is a symbolic size in bytes (64 for fixed ones); each unit has a block of its own,
 * packed by "greedy by size" (largest first, into the tightest gap that is free over its lifetime). So a symbolic batch size is planned as tightly as
 * a fixed one. Blocks that are never alive together (the levels of a network whose image size is symbolic) share a slot as large as
 * the largest of them; slots lie one after the other. Data symbols enter with their upper bound.
 *
 * Needs: typed. Keeps: everything. Runs last: any later edit makes the plan wrong.
 */
#include <stdlib.h>

#include "build.h"
#include "concat_part.h"
#include "pass_util.h"
#include "scratch.h"

/* One per value, by id. In a class the representative's fields count, except `alias`. */
typedef struct Buffer {
    uint32_t parent;
    Value *val;
    Value *alias;                   /* whose memory this value is a view or a part of, NULL: its own */
    int column;                     /* of a part */
    int start, end;                 /* execution numbers, both inclusive */
    Dim bytes;
    Storage place;
} Buffer;

typedef struct Item {               /* what is packed: a class of values, or the scratch of a node */
    Dim unit;                       /* bytes, a multiple of 64 */
    int64_t count, at;              /* in units */
    int start, end, block, order;
    Storage *place;
} Item;

typedef struct Block {
    Dim unit;
    int64_t count;
    int start, end;                 /* hull of its items' lives */
    int slot;
} Block;

typedef struct Plan {
    Module *m;
    Arena *tmp;
    Buffer *buf;
    int *when;                      /* execution number of a node, by id */
    int clock;
    int *mark, marks;               /* by value id: which question last reached it */
    Item *item;
    int nitem;
    Block *block;
    int nblock;
} Plan;

/* ---- copies of what cannot be computed in its result's place ---- */

static Value *root_of(Value *v)
{
    while (op_has(v->def->op, OPF_VIEW))
        v = v->def->in[0].val;
    return v;
}

static bool returned_earlier(const Node *ret, int i, const Value *root)
{
    for (int k = 0; k < i; k++)
        if (root_of(ret->in[k].val) == root)
            return true;
    return false;
}

/* An output that points to more memory, strings or items: it is made when the run ends, from wherever the value is. */
static bool is_exported(const Graph *g, const Value *v)
{
    return !g->parent && (v->type.kind != TY_TENSOR || v->type.dtype == DT_str);
}

static bool needs_copy(const Graph *g, const Node *ret, int i)
{
    Value *v = ret->in[i].val, *root = root_of(v);
    if (is_exported(g, v))
        return false;
    OpCode op = root->def->op;
    bool sized_by_data = dim_from_data(g->module->dims, type_bytes_dim(g->module, &v->type));
    return op == OP_input || op == OP_constant || ((op_has(op, OPF_SIZES) || root != v) && sized_by_data) || returned_earlier(ret, i, root);
}

/* What an iteration returns is copied by the loop, slices first, then one state after the other: another state must not be among those. */
static bool needs_copy_in_loop(const Node *loop, const Node *ret, int i)
{
    const Value *root = root_of(ret->in[i].val);
    int64_t index = root->def->op == OP_input ? NODE_ATTR(root->def, input)->index : 0, states = NODE_ATTR(loop, loop)->states;
    return i <= states && index > 0 && index <= states && index != i;
}

static bool ranks_known(Module *m, const Node *n)
{
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].type.kind == TY_TENSOR && n->out[i].type.rank < 0)
            return diag_error(m->diag, n->loc, "%s: a result of type %s cannot be compiled, its rank is not known", op_name(n->op),
                              type_print(m, m->arena, &n->out[i].type));
    return true;
}

static Value *copy_of(Graph *g, Node *before, Value *v)
{
    Builder b = { .m = g->module, .g = g, .before = before, .loc = v->def->loc };
    return v->type.kind == TY_TENSOR ? mk_expand(&b, IN(v), (Attr_expand){ .shape = { v->type.rank, v->type.dim } }) : mk_as_type(&b, v, &v->type);
}

/* owner: the node that g is nested in, or NULL. */
static bool insert_copies(Graph *g, const Node *owner)
{
    Module *m = g->module;
    FOR_EACH_NODE(n, g) {
        Graph *body[MAX_BODIES];
        if (!ranks_known(m, n))
            return false;
        for (int i = 0, count = node_bodies(n, body); i < count; i++)
            if (!insert_copies(body[i], n))
                return false;
    }
    Node *ret = graph_return(g);
    for (int i = 0; i < ret->nin; i++) {
        Value *v = ret->in[i].val;
        if (owner && owner->op == OP_loop ? !needs_copy_in_loop(owner, ret, i) : !needs_copy(g, ret, i))
            continue;
        Value *copy = copy_of(g, ret, v);
        if (!copy)
            return false;
        node_set_input(ret, i, copy);
    }
    return true;
}

/* ---- classes and lifetimes ---- */

static Buffer *class_of(Plan *p, const Value *v)
{
    uint32_t i = v->id;
    while (p->buf[i].parent != i)
        i = p->buf[i].parent = p->buf[p->buf[i].parent].parent;
    return &p->buf[i];
}

/* The class of b becomes part of that of a, which keeps its place and size. */
static void join(Plan *p, const Value *a, const Value *b)
{
    Buffer *x = class_of(p, a), *y = class_of(p, b);
    if (x == y)
        return;
    y->parent = x->val->id;
    x->start = y->start < x->start ? y->start : x->start;
    x->end = y->end > x->end ? y->end : x->end;
}

static void touch(Plan *p, const Value *v)
{
    class_of(p, v)->end = p->clock;
}

static void begin_value(Plan *p, Value *v, StorageKind kind, int index)
{
    p->buf[v->id] = (Buffer){ .parent = v->id, .val = v, .start = p->clock, .end = p->clock, .bytes = type_bytes_dim(p->m, &v->type),
                              .place = { .kind = kind, .index = index } };
}

static void begin_view(Plan *p, Value *v, Value *of)
{
    begin_value(p, v, ST_ALIAS, 0);
    p->buf[v->id].alias = p->buf[of->id].alias ? p->buf[of->id].alias : of;
    join(p, of, v);
}

static void walk(Plan *p, Graph *g);

static void walk_region(Plan *p, Node *owner, Graph *body)
{
    FOR_EACH_NODE(n, body)
        if (n->op == OP_input)
            begin_view(p, node_out(n), owner->in[1 + NODE_ATTR(n, input)->index].val);
    walk(p, body);
}

static void walk_if(Plan *p, Node *n)
{
    Graph *body[] = { NODE_ATTR(n, if)->then_graph, NODE_ATTR(n, if)->else_graph };
    for (int i = 0; i < 2; i++)
        walk_region(p, n, body[i]);
    p->clock++;
    for (int i = 0; i < n->nout; i++) {
        begin_value(p, &n->out[i], ST_ARENA, 0);
        for (int k = 0; k < 2; k++)
            join(p, &n->out[i], graph_return(body[k])->in[i].val);
    }
}

/* The states are in the memory of the results, before the body and while it runs; so are the slices that are complete. What it reads is needed by every
 * iteration. */
static void walk_loop(Plan *p, Node *n)
{
    Graph *body = NODE_ATTR(n, loop)->body;
    int64_t states = NODE_ATTR(n, loop)->states;
    for (int i = 0; i < n->nout; i++)
        begin_value(p, &n->out[i], ST_ARENA, 0);
    FOR_EACH_NODE(k, body) {
        int64_t i = k->op == OP_input ? NODE_ATTR(k, input)->index : -1;
        if (i > states)
            begin_view(p, node_out(k), n->in[1 + i].val);
        else if (i >= 0)
            begin_value(p, node_out(k), ST_ARENA, 0);
        if (i > 0 && i <= states)
            join(p, &n->out[i - 1], node_out(k));
    }
    walk(p, body);
    p->clock++;
    for (int i = 0; i < n->nin; i++)
        touch(p, n->in[i].val);
    for (int i = 0; i < n->nout; i++)
        touch(p, &n->out[i]);
}

static void begin_results(Plan *p, Node *n)
{
    for (int i = 0; i < n->nout; i++) {
        Value *v = &n->out[i];
        if (op_has(n->op, OPF_VIEW))
            begin_view(p, v, n->in[0].val);
        else if (n->op == OP_input)
            begin_value(p, v, ST_INPUT, (int)NODE_ATTR(n, input)->index);
        else
            begin_value(p, v, n->op == OP_constant && v->type.dtype != DT_str ? ST_CONST : ST_ARENA, 0);    /* strings are pointers */
    }
}

static void walk(Plan *p, Graph *g)
{
    FOR_EACH_NODE(n, g) {
        p->when[n->id] = ++p->clock;
        for (int i = 0; i < n->nin; i++)
            if (n->in[i].val)
                touch(p, n->in[i].val);
        if (n->op == OP_if)
            walk_if(p, n);
        else if (n->op == OP_loop)
            walk_loop(p, n);
        else if (n->op != OP_input || !g->parent)       /* inputs of regions: walk_region */
            begin_results(p, n);
    }
}

/* The caller's output buffers, and heap slots for what has no bound. */
static void claim_places(Plan *p, int nvalues)
{
    Node *ret = graph_return(p->m->graph);
    for (int i = 0; i < ret->nin; i++)
        if (!is_exported(p->m->graph, ret->in[i].val))
            class_of(p, ret->in[i].val)->place = (Storage){ .kind = ST_OUTPUT, .index = i };
    for (int i = 0; i < nvalues; i++) {
        Buffer *b = &p->buf[i];
        if (b->val && b->parent == (uint32_t)i && b->place.kind == ST_ARENA && !dim_upper(p->m->dims, b->bytes))
            b->place = (Storage){ .kind = ST_HEAP, .index = p->m->nheap++ };
    }
}

/* ---- concats written in place ---- */

static bool is_own(Plan *p, const Value *v, int start, int end)
{
    const Buffer *b = class_of(p, v);
    return b->val == v && b->place.kind == ST_ARENA && b->start == start && (end < 0 || b->end == end);
}

static bool takes_parts(Plan *p, const Node *n)
{
    bool parts = n->op == OP_concat && concat_takes_parts(n) && is_own(p, node_out(n), p->when[n->id], -1);
    for (int i = 0; parts && i < n->nin; i++)
        parts = is_own(p, n->in[i].val, p->when[n->in[i].val->def->id], p->when[n->id]);
    return parts;
}

static void place_parts(Plan *p, Graph *g)
{
    FOR_EACH_NODE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = 0, bodies = node_bodies(n, body); i < bodies && n->op != OP_fused; i++)
            place_parts(p, body[i]);
        if (!takes_parts(p, n))
            continue;
        for (int i = 0; i < n->nin; i++) {
            join(p, node_out(n), n->in[i].val);
            p->buf[n->in[i].val->id].alias = (Value *)node_out(n);
            p->buf[n->in[i].val->id].column = part_column(n, i);
        }
    }
}

/* ---- writing over an operand ---- */

static bool element_by_element(const Type *a, const Type *b)
{
    return same_shape(a, b) && dtype_bytes(a->dtype) == dtype_bytes(b->dtype);
}

/* Inside a body: every path from v to the result goes through elementwise nodes of the result's shape. */
static bool read_in_place(Plan *p, const Value *v, const Type *result)
{
    int mark = ++p->marks;
    if (!same_shape(&v->type, result))
        return false;
    p->mark[v->id] = mark;
    for (const Node *n = v->def->next; n && n->op != OP_return; n = n->next)
        for (int i = 0; i < n->nin; i++) {
            if (!n->in[i].val || p->mark[n->in[i].val->id] != mark)
                continue;
            if (!op_is_elementwise(n->op) || !same_shape(&node_out(n)->type, result))
                return false;
            p->mark[node_out(n)->id] = mark;
        }
    return true;
}

static bool may_overwrite(Plan *p, const Node *n, int i)
{
    const Type *result = &node_out(n)->type;
    if (!element_by_element(&n->in[i].val->type, result))
        return false;
    if (op_is_elementwise(n->op))
        return true;
    if (n->op == OP_fused)
        FOR_EACH_NODE(k, NODE_ATTR(n, fused)->body)
            if (k->op == OP_input && NODE_ATTR(k, input)->index == i)
                return read_in_place(p, node_out(k), result);
    return false;
}

static bool dies_here(Plan *p, const Node *n, int i)
{
    Buffer *x = class_of(p, n->in[i].val), *r = class_of(p, node_out(n));
    if (x == r || x->place.kind != ST_ARENA || x->end != p->when[n->id] || x->bytes != r->bytes)
        return false;
    for (int k = 0; k < n->nin; k++)        /* every operand in that memory must be one that may be overwritten */
        if (n->in[k].val && class_of(p, n->in[k].val) == x && !may_overwrite(p, n, k))
            return false;
    return true;
}

static void write_in_place(Plan *p, Graph *g)
{
    FOR_EACH_NODE(n, g) {
        Graph *body[MAX_BODIES];
        int bodies = node_bodies(n, body);
        for (int i = 0; i < bodies; i++)
            write_in_place(p, body[i]);
        if (n->nout != 1 || bodies || op_has(n->op, OPF_VIEW))
            continue;
        if (p->buf[node_out(n)->id].alias)          /* part of a concat */
            continue;
        Buffer *r = class_of(p, node_out(n));
        bool own = r->place.kind == ST_ARENA || (r->place.kind == ST_OUTPUT && !dim_from_data(p->m->dims, r->bytes));
        for (int i = 0; own && r->start == p->when[n->id] && i < n->nin; i++)
            if (n->in[i].val && dies_here(p, n, i))
                join(p, node_out(n), n->in[i].val);
    }
}

/* ---- what is packed ---- */

static int64_t gcd(int64_t a, int64_t b)
{
    a = a < 0 ? -a : a, b = b < 0 ? -b : b;
    while (b) {
        int64_t r = a % b;
        a = b, b = r;
    }
    return a;
}

/* Largest constant that divides a polynomial of Dims. */
static int64_t content(Dim d)
{
    int64_t k;
    switch (d->op) {
    case DIM_CONST: case DIM_MUL:
        return d->k;
    case DIM_ADD:
        k = d->k;
        for (int i = 0; i < d->nargs; i++)
            k = gcd(k, d->arg[i]->op == DIM_MUL ? d->arg[i]->k : 1);
        return k;
    default:
        return 1;
    }
}

/* bytes <= count * unit. Where a symbolic size has a small factor its symbolic part is rounded up instead, not the factor. */
static Item item_of(Plan *p, Dim bytes, int start, int end, Storage *place)
{
    enum { SMALL_FACTOR = 256 };
    DimTable *t = p->m->dims;
    Item it = { .unit = dim_const(t, 64), .start = start, .end = end, .order = p->nitem, .place = place };
    if (dim_is_const(bytes)) {
        it.count = (bytes->k + 63) / 64;
        return it;
    }
    int64_t k = content(bytes);
    Dim rest = dim_divk(t, bytes, k);
    bool small = k < SMALL_FACTOR;
    it.unit = dim_mulk(t, small ? dim_divk(t, dim_addk(t, rest, 63), 64) : rest, 64);
    it.count = small ? k : (k + 63) / 64;
    return it;
}

static void add_item(Plan *p, Dim bytes, int start, int end, Storage *place)
{
    Item it = item_of(p, bytes, start, end, place);
    DimTable *t = p->m->dims;
    for (it.block = 0; it.block < p->nblock; it.block++) {
        Dim unit = p->block[it.block].unit;
        if (unit == it.unit || (!dim_is_const(unit) && !dim_is_const(it.unit) && dim_nonneg(dim_sub(t, unit, it.unit))))
            break;                          /* a unit that is provably no smaller serves too: past + 1 for past */
    }
    if (it.block == p->nblock)
        p->block[p->nblock++] = (Block){ .unit = it.unit, .start = 1 };
    p->item[p->nitem++] = it;
}

static bool add_scratch(Plan *p, Graph *g)
{
    FOR_EACH_NODE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = 0, count = node_bodies(n, body); i < count; i++)
            if (!add_scratch(p, body[i]))
                return false;
        n->scratch = (Storage){ .kind = ST_NONE };
        Dim exact = node_scratch_bytes(p->m, n), bytes = exact ? dim_upper(p->m->dims, exact) : NULL;
        if (!exact)
            return false;
        if (!bytes)
            n->scratch = (Storage){ .kind = ST_HEAP, .index = p->m->nheap++ };
        else if (!dim_is(bytes, 0))
            add_item(p, bytes, p->when[n->id], p->when[n->id], &n->scratch);
    }
    return true;
}

/* ---- packing ---- */

static int by_size(const void *x, const void *y)
{
    const Item *a = *(const Item *const *)x, *b = *(const Item *const *)y;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->order - b->order;
}

static bool overlap(const Item *a, const Item *b)
{
    return a->start <= b->end && b->start <= a->end;
}

/* The smallest gap, among the items placed that are alive at the same time, that is large enough; else behind all of them. */
static int64_t find_gap(const Item *it, Item *const *placed, int n)
{
    int64_t free_from = 0, best = -1, best_room = INT64_MAX;
    for (int i = 0; i < n; i++) {           /* in order of offset */
        if (!overlap(it, placed[i]))
            continue;
        int64_t room = placed[i]->at - free_from;
        if (room >= it->count && room < best_room)
            best = free_from, best_room = room;
        if (placed[i]->at + placed[i]->count > free_from)
            free_from = placed[i]->at + placed[i]->count;
    }
    return best < 0 ? free_from : best;
}

static void pack_block(Plan *p, int block, Item **todo, Item **placed)
{
    int n = 0, done = 0;
    for (int i = 0; i < p->nitem; i++)
        if (p->item[i].block == block)
            todo[n++] = &p->item[i];
    qsort(todo, (size_t)n, sizeof *todo, by_size);
    for (; done < n; done++) {
        Item *it = todo[done];
        it->at = find_gap(it, placed, done);
        if (it->at + it->count > p->block[block].count)
            p->block[block].count = it->at + it->count;
        int k = done;
        for (; k && placed[k - 1]->at > it->at; k--)
            placed[k] = placed[k - 1];
        placed[k] = it;
    }
}

static void live_with(Block *b, const Item *it)
{
    bool first = b->start > b->end;
    b->start = first || it->start < b->start ? it->start : b->start;
    b->end = first || it->end > b->end ? it->end : b->end;
}

/* Whether a block may lie where those of a slot do. */
static bool fits_slot(const Plan *p, const Block *b, int slot)
{
    for (const Block *o = p->block; o < b; o++)
        if (o->slot == slot && o->start <= b->end && b->start <= o->end)
            return false;
    return true;
}

/* First fit, in order of first use. Slot 0 has the fixed sizes. */
static int choose_slots(Plan *p)
{
    int nslots = 1;
    for (int b = 1; b < p->nblock; b++) {
        int slot = 1;
        while (slot < nslots && !fits_slot(p, &p->block[b], slot))
            slot++;
        p->block[b].slot = slot;
        nslots = slot == nslots ? slot + 1 : nslots;
    }
    return nslots;
}

/* Packs each block, then the slots one after the other; sets the offset of every item and the size of the arena. */
static void pack(Plan *p)
{
    DimTable *t = p->m->dims;
    Item **todo = ARENA_ARRAY(p->tmp, Item *, p->nitem + 1), **placed = ARENA_ARRAY(p->tmp, Item *, p->nitem + 1);
    for (int i = 0; i < p->nitem; i++)
        live_with(&p->block[p->item[i].block], &p->item[i]);
    int nslots = choose_slots(p);
    Dim base = dim_const(t, 0);
    for (int slot = 0; slot < nslots; slot++) {
        Dim room = dim_const(t, 0);                     /* in units of 64 bytes, so that it is seen to be a multiple */
        for (int b = 0; b < p->nblock; b++)
            if (p->block[b].slot == slot) {
                pack_block(p, b, todo, placed);
                room = dim_max(t, room, dim_mulk(t, dim_divk(t, p->block[b].unit, 64), p->block[b].count));
            }
        for (int i = 0; i < p->nitem; i++) {
            const Block *b = &p->block[p->item[i].block];
            if (b->slot == slot)
                *p->item[i].place = (Storage){ .kind = ST_ARENA, .offset = dim_add(t, base, dim_mulk(t, b->unit, p->item[i].at)) };
        }
        base = dim_add(t, base, dim_mulk(t, room, 64));
    }
    p->m->arena_bytes = base;
}

/* ---- the pass ---- */

static bool allocate(Plan *p, int nvalues)
{
    int room = nvalues + graph_count_nodes(p->m->graph);
    p->item = ARENA_ARRAY(p->tmp, Item, room + 1);
    p->block = ARENA_ARRAY(p->tmp, Block, room + 1);
    p->block[p->nblock++] = (Block){ .unit = dim_const(p->m->dims, 64), .start = 1 };   /* fixed sizes come first: their offsets are constants */
    for (int i = 0; i < nvalues; i++) {
        Buffer *b = &p->buf[i];
        if (b->val && b->parent == (uint32_t)i && b->place.kind == ST_ARENA)
            add_item(p, dim_upper(p->m->dims, b->bytes), b->start, b->end, &b->place);
    }
    if (!add_scratch(p, p->m->graph))
        return false;
    pack(p);
    return true;
}

static void write_local(void *ctx, Graph *g)
{
    FOR_EACH_NODE(n, g) {
        for (int i = 0; i < n->nout; i++)
            n->out[i].storage = (Storage){ .kind = ST_LOCAL };
        node_regions(n, write_local, ctx);
    }
}

static void write_storage(void *ctx, Graph *g)
{
    Plan *p = ctx;
    FOR_EACH_NODE(n, g) {
        for (int i = 0; i < n->nout; i++) {
            Value *v = &n->out[i], *of = p->buf[v->id].alias;
            v->storage = of ? (Storage){ .kind = ST_ALIAS, .of = of, .index = p->buf[v->id].column } : class_of(p, v)->place;
        }
        node_regions(n, n->op == OP_fused ? write_local : write_storage, p);
    }
}

bool pass_plan(Module *m)
{
    if (!graph_return(m->graph))
        return diag_error(m->diag, (Loc){ .file = m->file }, "the graph returns nothing");
    if (!insert_copies(m->graph, NULL))
        return false;
    graph_renumber(m->graph);
    m->nheap = 0;
    int nvalues = (int)m->next_id;
    Arena *tmp = arena_new();
    Plan p = { .m = m, .tmp = tmp, .buf = ARENA_ARRAY(tmp, Buffer, nvalues + 1), .when = ARENA_ARRAY(tmp, int, nvalues + 1),
               .mark = ARENA_ARRAY(tmp, int, nvalues + 1) };
    walk(&p, m->graph);
    claim_places(&p, nvalues);
    place_parts(&p, m->graph);
    write_in_place(&p, m->graph);
    bool ok = allocate(&p, nvalues);
    if (ok)
        write_storage(&p, m->graph);
    arena_free(tmp);
    return ok;
}
