/* quant.c -- networks that arrive quantised are computed on bytes, and stay bytes between layers.
 *
 * A model says what an operator does to the numbers that bytes stand for (bytes.h):
 *
 *     conv(dequantised x, dequantised w, b), quantised          ->   sum = conv(x, w, b') : i32      u8 times i8, exact
 *                                                                    mul(cast(sum), scale per channel), quantised
 *
 * In graph order, so that operands are done already:
 *   conv, matmul     a product of bytes with constant weights (quant_contract.c)
 *   max pool, movement   of numbers that bytes stand for: of the bytes
 *   sum, average     of the bytes, scaled after
 *   concat           quantised: a concat of quantised parts
 *   quantised        the scale goes into a factor that is there already; then, in bytes b = ratio + zero:
 *
 *     ratio + 1.5 * 2^23     rounds half to even, as every f32 addition does (and what is too large for that stays too large); clipped, the low
 *                            byte of the f32's bits is the integer, to which the zero is added
 *
 * After that, bytes whose only reader wants the numbers again are not made at all.
 *
 * i8 becomes u8 with a zero that is 128 higher, and bytes that are quantised to what they were stay as they are.
 *
 * Needs: typed. Keeps: everything. What is not recognised stays as it is, computed in f32 or i32.
 */
#include "bytes.h"

#include <math.h>
#include <string.h>

/* ---- movement ---- */

static bool same_bytes(const Bytes *x, const Bytes *y)
{
    double a, b;
    if (x->moving_zero || y->moving_zero || x->zero != y->zero || x->x->type.dtype != y->x->type.dtype || !x->scale != !y->scale)
        return false;
    return !x->scale || x->scale == y->scale || (value_scalar_f64(x->scale, &a) && value_scalar_f64(y->scale, &b) && a == b);
}

/* The op gives some of the numbers that it is given, whatever they are. */
static bool moves_numbers(const Node *n)
{
    if (n->op == OP_pool)
        return !strcmp(NODE_ATTR(n, pool)->kind, "max");
    return n->op == OP_reshape || n->op == OP_transpose || n->op == OP_slice || n->op == OP_expand || n->op == OP_concat;
}

static bool positive(const Bytes *x)
{
    double s;
    return !x->scale || (value_scalar_f64(x->scale, &s) && s > 0);
}

/* The operand is a flipped value: nothing else is known about it. */
static bool match_flipped(Value *v, Bytes *out)
{
    *out = (Bytes){ .x = bytes_behind_flip(v), .zero = 128 };
    return out->x != NULL;
}

/* All operands are bytes that stand for numbers alike. */
static bool match_operands(Module *m, const Node *n, Bytes *first, Value **x)
{
    bool flipped = is_byte(node_out(n)->type.dtype);
    for (int i = 0; i < n->nin; i++) {
        Bytes k;
        if (!(flipped ? match_flipped(n->in[i].val, &k) : bytes_match(m, n->in[i].val, &k)) || (i && !same_bytes(first, &k)) || !positive(&k))
            return false;
        x[i] = k.x;
        if (!i)
            *first = k;
    }
    return n->nin > 0 && !first->moving_zero;
}

static bool sink_through(Module *m, Node *n, bool *done)
{
    Bytes y;
    Value **x = ARENA_ARRAY(m->arena, Value *, n->nin + 1);
    if (!moves_numbers(n) || !match_operands(m, n, &y, x) || !rewrite_allowed(m, "quant_move", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    y.x = build_op(&b, n->op, (Inputs){ n->nin, x }, n->attrs);
    Value *r = is_byte(node_out(n)->type.dtype) ? bytes_flipped(&b, y.x) : bytes_number_of(&b, &y);
    if (!r)
        return false;
    value_replace(node_out(n), r);
    node_erase_dead(n);
    *done = true;
    return true;
}

/* ---- sums and averages ---- */

static bool averages_inside(const Node *n)
{
    const Attr_pool *a = n->op == OP_pool ? NODE_ATTR(n, pool) : NULL;
    if (!a || strcmp(a->kind, "avg"))
        return false;
    for (int i = 0; a->count_pad && i < a->pads.n; i++)
        if (a->pads.v[i])
            return false;
    return !(a->ceil && a->count_pad);
}

/* Elements that make one result, if their sum in bytes fits an i32 and converts to f32 exactly; else 0. */
static int64_t elements_summed(const Node *n)
{
    int64_t count = 1;
    if (n->op != OP_reduce || strcmp(NODE_ATTR(n, reduce)->kind, "sum"))
        return 0;
    const IntVec *axes = &NODE_ATTR(n, reduce)->axes;
    for (int i = 0; i < axes->n; i++) {
        Dim d = n->in[0].val->type.dim[axes->v[i]];
        if (!dim_is_const(d) || d->k < 1 || d->k > 0x10000 / count)
            return 0;
        count *= d->k;
    }
    return count;
}

static bool sum_bytes(Module *m, Node *n, bool *done)
{
    Bytes x;
    int64_t count = elements_summed(n);
    if ((!count && !averages_inside(n)) || node_out(n)->type.dtype != DT_f32 || !bytes_match(m, n->in[0].val, &x) || x.moving_zero ||
        !rewrite_allowed(m, "quant_sum", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    DType t = count ? DT_i32 : DT_f32;
    Value *sum = mk_cast_to(&b, build_op(&b, n->op, IN(mk_cast_to(&b, x.x, t)), n->attrs), DT_f32);
    int64_t zero = x.zero * (count ? count : 1);
    Value *y = mk_mul(&b, zero ? mk_sub(&b, sum, mk_scalar(&b, DT_f32, (double)zero)) : sum, x.scale);
    if (!y)
        return false;
    value_replace(node_out(n), y);
    node_erase_dead(n);
    *done = true;
    return true;
}

/* ---- quantised ---- */

enum { DEEP = 8, ROUNDER = 0xc00000 };     /* nodes that a factor may travel; 1.5 * 2^23 */

typedef struct Scaler {
    Module *m;
    Builder *b;
    double factor;                  /* positive */
} Scaler;

static Value *scaled(const Scaler *s, Value *v, int depth);

/* A factor that is there already takes another. */
static Value *scaled_mul(const Scaler *s, const Node *n)
{
    Value *k = bytes_constant(s->m, n->in[1].val);
    return k ? mk_mul(s->b, n->in[0].val, mk_mul(s->b, k, mk_scalar(s->b, DT_f32, s->factor))) : NULL;
}

/* v times the factor without an operation more, or NULL. What others read too is left alone: it is there. */
static Value *scaled(const Scaler *s, Value *v, int depth)
{
    Node *n = v->def;
    Value *x[2] = { NULL };
    if (value_constant(v))
        return mk_mul(s->b, v, mk_scalar(s->b, DT_f32, s->factor));
    if (n->op == OP_mul)
        return scaled_mul(s, n);
    bool through = n->op == OP_relu || n->op == OP_max || n->op == OP_min || n->op == OP_add || n->op == OP_sub;
    if (!through || !depth || !value_only_user(v))
        return NULL;
    for (int i = 0; i < n->nin; i++) {
        Value *k = bytes_constant(s->m, n->in[i].val);
        x[i] = scaled(s, k ? k : n->in[i].val, depth - 1);
        if (!x[i])
            return NULL;
    }
    return build_op(s->b, n->op, (Inputs){ n->nin, x }, NULL);
}

/* Under a clip whose ends are tighter, a ReLU or a clip does nothing. */
static Value *without_clips(Module *m, Value *v, double scale, double least, double most)
{
    double k;
    for (;; v = v->def->in[0].val) {
        OpCode op = v->def->op;
        bool idle = (op == OP_relu && least >= 0) || (op == OP_max && bytes_number(m, v->def->in[1].val, &k) && k <= least * scale) ||
                    (op == OP_min && bytes_number(m, v->def->in[1].val, &k) && k >= most * scale);
        if (!idle || !same_shape(&v->def->in[0].val->type, &v->type))
            return v;
    }
}

/* Bytes that are quantised to what they were. */
static Value *unchanged(Module *m, const Quantised *q, Value *v, double scale, Builder *b)
{
    Bytes x;
    double s;
    int64_t zero = q->zero + (q->type == DT_i8 ? 128 : 0);
    if (!bytes_match(m, v, &x) || !x.scale || x.moving_zero || !value_scalar_f64(x.scale, &s) || s != scale)
        return NULL;
    bytes_make_unsigned(b, &x);
    return x.zero == zero ? x.x : NULL;
}

static Value *u8_of_ratio(Builder *b, Value *ratio, double least, double most, int64_t zero)
{
    Value *rounded = mk_clip(b, mk_add(b, ratio, mk_scalar(b, DT_f32, ROUNDER)), ROUNDER + least, ROUNDER + most);
    Value *byte = mk_cast_to(b, mk_bitcast(b, IN(rounded), (Attr_bitcast){ .to = DT_i32 }), DT_u8);
    return zero ? mk_add(b, byte, mk_scalar(b, DT_u8, (double)zero)) : byte;
}

/* numbers / scale: by the factor that makes the numbers, if there is one. */
static Value *u8_of_numbers(Module *m, Builder *b, const Quantised *q, Value *numbers, double scale)
{
    double least = (q->type == DT_i8 ? -128 : 0) - (double)q->zero, most = least + 255;
    int64_t zero = q->zero + (q->type == DT_i8 ? 128 : 0);
    Value *bare = without_clips(m, numbers, scale, least, most), *same = unchanged(m, q, bare, scale, b);
    if (same)
        return same;
    Scaler s = { m, b, 1 / scale };
    Value *ratio = scaled(&s, bare, DEEP);
    return u8_of_ratio(b, ratio ? ratio : mk_div(b, bare, mk_scalar(b, DT_f32, scale)), least, most, zero);
}

/* The parts of a concat, each quantised by itself. */
static Value *u8_of_parts(Module *m, Builder *b, const Quantised *q, const Node *concat, double scale)
{
    Value **part = ARENA_ARRAY(m->arena, Value *, concat->nin);
    for (int i = 0; i < concat->nin; i++)
        part[i] = u8_of_numbers(m, b, q, concat->in[i].val, scale);
    return mk_concat(b, (Inputs){ concat->nin, part }, *NODE_ATTR(concat, concat));
}

static Value *u8_of(Module *m, Builder *b, const Quantised *q)
{
    const Node *n = q->ratio->def;
    double scale;
    if (n->op != OP_div || !bytes_number(m, n->in[1].val, &scale) || !(scale > 0) || !same_shape(&n->in[0].val->type, &q->ratio->type)) {
        Quantised plain = *q;
        return u8_of_numbers(m, b, &plain, q->ratio, 1);
    }
    Value *numbers = n->in[0].val;
    if (numbers->def->op == OP_concat && value_only_user(numbers))
        return u8_of_parts(m, b, q, numbers->def, scale);
    return u8_of_numbers(m, b, q, numbers, scale);
}

static bool quantise(Module *m, Node *n, bool *done)
{
    Quantised q;
    if (!bytes_match_quantised(m, n, &q) || !rewrite_allowed(m, "quant_round", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    Value *u = u8_of(m, &b, &q), *y = q.type == DT_i8 ? bytes_flipped(&b, u) : u;
    if (!y)
        return false;
    value_replace(node_out(n), y);
    node_erase_dead(n);
    *done = true;
    return true;
}

/* ---- bytes that are numbers again at once ---- */

/* The f32 that u8_of_ratio takes the low byte of: a whole number more than the rounder. */
static Value *rounded_behind(const Value *u)
{
    double k;
    const Node *n = u->def->op == OP_add && u->type.dtype == DT_u8 && value_constant(u->def->in[1].val) ? u->def->in[0].val->def : u->def;
    if (n->op != OP_cast || node_out(n)->type.dtype != DT_u8 || n->in[0].val->def->op != OP_bitcast)
        return NULL;
    Value *v = n->in[0].val->def->in[0].val;
    if (v->type.dtype != DT_f32 || v->def->op != OP_min || v->def->in[0].val->def->op != OP_max)
        return NULL;
    const Node *add = v->def->in[0].val->def->in[0].val->def;
    return add->op == OP_add && value_scalar_f64(add->in[1].val, &k) && k == ROUNDER ? v : NULL;
}

/* mul(sub(rounded, rounder), scale): such a value is never bytes. */
static bool stays_number(const Value *v)
{
    double k;
    const Node *sub = v->def->op == OP_mul ? v->def->in[0].val->def : v->def;
    return sub->op == OP_sub && value_scalar_f64(sub->in[1].val, &k) && k == ROUNDER;
}

/* The only reader goes on computing in the same kernel. Of two values that it reads, one comes from another kernel, and is better stored as bytes. */
static bool read_at_once(const Value *v)
{
    const Node *user = value_only_user(v);
    if (!user || (!op_is_elementwise(user->op) && user->op != OP_return))
        return false;
    for (int i = 0; i < user->nin; i++)
        if (user->in[i].val != v && stays_number(user->in[i].val))
            return false;
    return true;
}

/* Between rounding and the numbers nothing need become bytes, if nobody else wants them. */
static bool stay_numbers(Module *m, Node *n, bool *done)
{
    Bytes x;
    double zero = 0;
    if (n->op != OP_mul || !read_at_once(node_out(n)) || !bytes_match(m, node_out(n), &x) || x.moving_zero || !value_only_user(x.x))
        return true;
    Value *v = rounded_behind(x.x);
    if (!v || (x.x->def->op == OP_add && !value_scalar_f64(x.x->def->in[1].val, &zero)) || zero != (double)x.zero || !rewrite_allowed(m, "quant_stay", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    Value *y = mk_mul(&b, mk_sub(&b, v, mk_scalar(&b, DT_f32, ROUNDER)), x.scale);
    if (!y)
        return false;
    value_replace(node_out(n), y);
    node_erase_dead(n);
    *done = true;
    return true;
}

/* ---- readers of flipped bytes ---- */

static bool read_behind_flip(Module *m, Node *n, bool *done)
{
    Bytes x;
    DType t = n->nout ? node_out(n)->type.dtype : DT_none;
    bool reads = n->op == OP_cast && bytes_behind_flip(n->in[0].val);
    reads |= n->op == OP_sub && n->in[0].val->def->op == OP_sub;
    if (!reads || (t != DT_f32 && t != DT_i32) || !bytes_match_centred(m, node_out(n), &x) || !rewrite_allowed(m, "quant_flip", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    Value *y = bytes_centred(&b, &x, t);
    if (!y)
        return false;
    value_replace(node_out(n), y);
    node_erase_dead(n);
    *done = true;
    return true;
}

/* ---- the pass ---- */

typedef bool Step(Module *m, Node *n, bool *done);

static bool bytes_or_nothing(Module *m, Node *n, bool *done)
{
    static Step *const step[] = { quant_contract, sink_through, sum_bytes, quantise, read_behind_flip };
    for (size_t i = 0; !*done && i < sizeof step / sizeof *step; i++)
        if (!step[i](m, n, done))
            return false;
    return true;
}

typedef struct Walk {
    Module *m;
    Step *step;
    bool ok;
} Walk;

static void walk(void *ctx, Graph *g)
{
    Walk *w = ctx;
    FOR_EACH_NODE_SAFE(n, g) {
        bool done = false;
        node_regions(n, walk, w);
        if (!w->ok || !(w->ok = w->step(w->m, n, &done)))
            return;
    }
}

static bool walk_all(Module *m, Step *step)
{
    Walk w = { m, step, true };
    walk(&w, m->graph);
    return w.ok;
}

bool pass_quant(Module *m)
{
    return walk_all(m, bytes_or_nothing) && walk_all(m, stay_numbers);
}
