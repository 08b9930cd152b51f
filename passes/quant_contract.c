/* quant_contract.c -- convolutions and matmuls of centred bytes as products of bytes (quant.c says when).
 *
 * With x = xb - zx and w = wb - zw, and a window padded with zx, which stands for 0:
 *
 *     sum x*w  =  sum xb*wb  -  zx * sum wb  -  zw * sum (xb - zx)
 *
 * sum wb is known here, and goes into the bias. The last term is there only where w does not fit i8 as it is, which takes weights that use all of u8
 * around a zero other than 128: then wb = w - zw does fit, and sum xb comes from one more filter, of ones.
 */
#include "bytes.h"

#include <math.h>
#include <stdlib.h>

/* ---- weights ---- */

typedef struct Weights {
    Value *w;                       /* i8 constant, as the product takes it */
    Value *scale;                   /* f32 constant, one element or one per column; NULL: 1 */
    int columns;                    /* filters, or columns of the matrix */
    int64_t depth;                  /* products per sum */
    int64_t *sum;                   /* per column: of w */
    int64_t *less;                  /* per column: centred is w - less; NULL: all 0 */
} Weights;

/* Bytes, zero and scale as constants, under the transposes that stand between them and the product. */
typedef struct Parts { Value *w, *zero, *scale; } Parts;

static Value *turned(Module *m, Builder *b, Value *v, const Node *transpose)
{
    if (!v || v->type.rank != node_out(transpose)->type.rank)
        return v;
    return bytes_constant(m, mk_transpose_perm(b, v, NODE_ATTR(transpose, transpose)->perm.v));
}

static bool constant_parts(Module *m, Parts *p)
{
    p->w = bytes_constant(m, p->w);
    Value *zero = bytes_constant(m, p->zero), *scale = bytes_constant(m, p->scale);
    bool ok = p->w && !zero == !p->zero && !scale == !p->scale;
    p->zero = zero, p->scale = scale;
    return ok;
}

static bool fits_byte(DType t)
{
    return is_byte(t) || t == DT_i4 || t == DT_u4;
}

/* mul(sub(cast(w), zero), scale); a sum of integers has no scale. */
static Parts parts_of_arithmetic(const Node *n)
{
    Parts p = { 0 };
    if (n->op == OP_mul && node_out(n)->type.dtype == DT_f32) {
        p.scale = n->in[1].val;
        n = n->in[0].val->def;
    }
    if (n->op == OP_sub) {
        p.zero = n->in[1].val;
        n = n->in[0].val->def;
    }
    p.w = n->op == OP_cast && fits_byte(n->in[0].val->type.dtype) ? n->in[0].val : NULL;
    return p;
}

/* Codes with one scale per column. */
static Parts parts_of_codes(const Node *n)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(n, dequantize_blocks);
    bool plain = !a->block && !a->levels.n && fits_byte(n->in[0].val->type.dtype);
    return plain ? (Parts){ n->in[0].val, node_in(n, 2), n->in[1].val } : (Parts){ 0 };
}

static bool find_parts(Module *m, Builder *b, Value *v, Parts *p)
{
    const Node *n = v->def;
    if (n->op == OP_transpose) {
        if (!find_parts(m, b, n->in[0].val, p))
            return false;
        p->w = turned(m, b, p->w, n), p->zero = turned(m, b, p->zero, n), p->scale = turned(m, b, p->scale, n);
        return p->w != NULL;
    }
    *p = n->op == OP_dequantize_blocks ? parts_of_codes(n) : parts_of_arithmetic(n);
    return p->w && (v->type.dtype == DT_i32 || p->scale) && same_shape(&p->w->type, &v->type) && constant_parts(m, p);
}

/* One number, or one per index of `axis` (the first axis, or the last). */
static bool is_per_column(const Value *k, int rank, int axis, int columns)
{
    const Tensor *t = k ? value_constant(k) : NULL;
    if (!t || t->count == 1)
        return true;
    int at = axis - (rank - t->rank);
    return t->count == columns && at >= 0 && t->dim[at] == columns;
}

static int64_t zero_of(const Parts *p, int64_t column)
{
    const Tensor *z = p->zero ? value_constant(p->zero) : NULL;
    return z ? (int64_t)tensor_get_f64(z, z->count == 1 ? 0 : column) : 0;
}

static int64_t column_of(const Tensor *w, bool by_row, int columns, int64_t i)
{
    return by_row ? i / (w->count / columns) : i % columns;
}

/* What is taken off the bytes so that they are centred if possible, and fit i8. */
static int64_t shift_of(const Parts *p, bool by_row, int columns)
{
    const Tensor *w = value_constant(p->w);
    int64_t least = 0, most = 0;
    for (int64_t i = 0; i < w->count; i++) {
        int64_t x = tensor_get_i64(w, i) - zero_of(p, column_of(w, by_row, columns, i));
        least = x < least ? x : least, most = x > most ? x : most;
    }
    return least >= -128 && most <= 127 ? INT64_MAX : w->dtype == DT_u8 ? 128 : 0;
}

static void fill(Module *m, const Parts *p, bool by_row, Weights *out, Builder *b)
{
    const Tensor *w = value_constant(p->w);
    int64_t shift = shift_of(p, by_row, out->columns);
    bool centred = shift == INT64_MAX, as_it_is = true;
    Tensor *t = tensor_new(m->arena, DT_i8, w->rank, w->dim);
    out->sum = ARENA_ARRAY(m->arena, int64_t, out->columns);
    out->less = centred ? NULL : ARENA_ARRAY(m->arena, int64_t, out->columns);
    for (int64_t i = 0; i < w->count; i++) {
        int64_t column = column_of(w, by_row, out->columns, i), zero = zero_of(p, column), x = tensor_get_i64(w, i) - (centred ? zero : shift);
        ((int8_t *)(uintptr_t)t->data)[i] = (int8_t)x;
        out->sum[column] += x;
        as_it_is &= centred ? zero == 0 : shift == 0;
        if (!centred)
            out->less[column] = zero - shift;
    }
    out->w = w->dtype == DT_i8 && as_it_is ? p->w : mk_tensor(b, t);
}

enum { MOST_DEPTH = 65000 };        /* products of u8 and i8 whose sum surely fits an i32 */

/* axis: of w, that the columns run along. */
static bool match_weights(Module *m, Builder *b, Value *v, int axis, Weights *out)
{
    Parts p;
    if (!type_is_static(&v->type) || !type_count(&v->type) || !find_parts(m, b, v, &p))
        return false;
    *out = (Weights){ .scale = p.scale, .columns = (int)v->type.dim[axis]->k };
    out->depth = type_count(&v->type) / out->columns;
    if (out->depth > MOST_DEPTH || !is_per_column(p.scale, v->type.rank, axis, out->columns) || !is_per_column(p.zero, v->type.rank, axis, out->columns))
        return false;
    fill(m, &p, axis == 0, out, b);
    return out->w != NULL;
}

/* ---- numbers per column ---- */

typedef struct Product {
    Module *m;
    Node *n;                        /* the node that is replaced */
    Builder b;
    Bytes x;
    Weights w;
    int axis;                       /* of the result, that the columns run along */
} Product;

/* [columns] so that it broadcasts against the result. */
static Value *along_columns(Product *p, Value *v)
{
    int64_t dim[MAX_RANK];
    int rank = node_out(p->n)->type.rank - p->axis;
    for (int i = 0; i < rank; i++)
        dim[i] = i ? 1 : p->w.columns;
    return mk_reshape_ints(&p->b, v, rank, dim);
}

static Value *ints_per_column(Product *p, const int64_t *v, int64_t factor)
{
    Tensor *t = tensor_new(p->m->arena, DT_i32, 1, (int64_t[]){ p->w.columns });
    for (int i = 0; i < p->w.columns; i++)
        ((int32_t *)(uintptr_t)t->data)[i] = (int32_t)(v[i] * factor);
    return mk_tensor(&p->b, t);
}

static Value *scale_per_column(Product *p)
{
    const Tensor *s = value_constant(p->w.scale);
    Tensor *t = tensor_new(p->m->arena, DT_f32, 1, (int64_t[]){ p->w.columns });
    for (int i = 0; i < p->w.columns; i++)
        tensor_set_f64(t, i, tensor_get_f64(s, s->count == 1 ? 0 : i));
    return along_columns(p, mk_tensor(&p->b, t));
}

/* ---- the sum ---- */

/* x with its pads in it, as bytes that stand for 0. */
static Value *padded(Product *p)
{
    const Attr_conv *a = NODE_ATTR(p->n, conv);
    int rank = p->x.x->type.rank, spatial = rank - 2;
    int64_t before[MAX_RANK] = { 0 }, after[MAX_RANK] = { 0 };
    bool any = false;
    for (int i = 0; i < spatial; i++) {
        before[2 + i] = a->pads.v[i], after[2 + i] = a->pads.v[spatial + i];
        any |= before[2 + i] || after[2 + i];
    }
    if (!any)
        return p->x.x;
    Value *zero = p->x.moving_zero ? p->x.moving_zero : mk_scalar(&p->b, DT_u8, (double)p->x.zero);
    if (zero->type.rank)
        zero = mk_reshape_ints(&p->b, zero, 0, NULL);
    return mk_pad(&p->b, IN(p->x.x, zero), (Attr_pad){ dims_of_ints(p->m, rank, before), dims_of_ints(p->m, rank, after), "constant", 0 });
}

static Value *product(Product *p, Value *x, Value *w, Value *bias)
{
    if (p->n->op == OP_matmul)
        return mk_matmul(&p->b, IN(x, w), (Attr_matmul){ 0 });
    int64_t none[2 * MAX_RANK] = { 0 };
    Attr_conv a = *NODE_ATTR(p->n, conv);
    a.pads = ints_copy(p->m, a.pads.n, none);
    return mk_conv(&p->b, IN(x, w, bias), a);
}

/* The sum of x under the window: a filter of ones. */
static Value *sum_of_window(Product *p, Value *x)
{
    int64_t dim[MAX_RANK];
    const Type *w = &p->w.w->type;
    for (int i = 0; i < w->rank; i++)
        dim[i] = w->dim[i]->k;
    dim[p->n->op == OP_matmul ? w->rank - 1 : 0] = 1;
    Tensor *ones = tensor_new(p->m->arena, DT_i8, w->rank, dim);
    for (int64_t i = 0; i < ones->count; i++)
        tensor_set_f64(ones, i, 1);
    return product(p, x, mk_tensor(&p->b, ones), NULL);
}

/* bias: i32 [columns] or NULL. */
static Value *centred_sum(Product *p, Value *bias)
{
    Builder *b = &p->b;
    Value *x = p->n->op == OP_conv ? padded(p) : p->x.x, *sums = ints_per_column(p, p->w.sum, -p->x.zero), *r;
    if (p->n->op == OP_conv) {
        Value *all = bias ? mk_add(b, bias, sums) : sums;
        r = product(p, x, p->w.w, all);
    } else {
        r = product(p, x, p->w.w, NULL);
        r = p->x.zero ? mk_add(b, r, along_columns(p, sums)) : r;
    }
    Value *moving = p->x.moving_zero;
    if (moving && moving->type.rank)
        moving = mk_reshape_ints(b, moving, 0, NULL);
    if (moving)
        r = mk_sub(b, r, mk_mul(b, mk_cast_to(b, moving, DT_i32), along_columns(p, ints_per_column(p, p->w.sum, 1))));
    if (!p->w.less)
        return r;
    Value *window = mk_sub(b, sum_of_window(p, x), mk_scalar(b, DT_i32, (double)(p->x.zero * p->w.depth)));
    if (moving)
        window = mk_sub(b, window, mk_mul(b, mk_cast_to(b, moving, DT_i32), mk_scalar(b, DT_i32, (double)p->w.depth)));
    return mk_sub(b, r, mk_mul(b, window, along_columns(p, ints_per_column(p, p->w.less, 1))));
}

/* ---- the bias ---- */

/* A quantised bias is a whole number of steps of the sum. */
static Value *bias_in_steps(Product *p, Value *bias)
{
    const Tensor *t = value_constant(bias), *s = value_constant(p->w.scale);
    Tensor *steps = tensor_new(p->m->arena, DT_i32, 1, (int64_t[]){ p->w.columns });
    double x_scale;
    if (!t || !value_scalar_f64(p->x.scale, &x_scale))
        return NULL;
    for (int i = 0; i < p->w.columns; i++) {
        double k = tensor_get_f64(t, i) / (x_scale * tensor_get_f64(s, s->count == 1 ? 0 : i));
        if (!(fabs(k) < 0x1p29) || fabs(k - rint(k)) > 1e-3 + 1e-6 * fabs(k))
            return NULL;
        tensor_set_f64(steps, i, rint(k));
    }
    return mk_tensor(&p->b, steps);
}

static Value *as_i32(Product *p)
{
    return centred_sum(p, node_in(p->n, 2));
}

static Value *as_f32(Product *p)
{
    Builder *b = &p->b;
    Value *bias = node_in(p->n, 2), *known = bytes_constant(p->m, bias), *steps = known ? bias_in_steps(p, known) : NULL;
    Value *scale = mk_mul(b, scale_per_column(p), p->x.scale);          /* one after the other: nodes are in the same order whatever compiler built this */
    Value *y = mk_mul(b, mk_cast_to(b, centred_sum(p, steps), DT_f32), scale);
    return bias && !steps ? mk_add(b, y, along_columns(p, bias)) : y;
}

/* ---- which ---- */

/* The sum over ones is a column of its own, and not one per group. */
static bool shape_fits(const Node *n, const Weights *w)
{
    if (n->op == OP_matmul)
        return w->w->type.rank == 2;
    return !w->less || NODE_ATTR(n, conv)->group == 1;
}

static bool could_be_bytes(const Node *n)
{
    if (n->op != OP_conv && n->op != OP_matmul)
        return false;
    const Type *y = &node_out(n)->type;
    bool sums = y->dtype == DT_f32 || (y->dtype == DT_i32 && n->in[0].val->type.dtype == DT_i32);
    if (n->op == OP_conv)
        return sums && (y->rank == 3 || y->rank == 4) && !NODE_ATTR(n, conv)->channels_last;
    return sums && n->in[1].val->type.rank == 2;
}

bool quant_contract(Module *m, Node *n, bool *done)
{
    Product p = { .m = m, .n = n, .b = { m, n->graph, n, n->loc } };
    if (!could_be_bytes(n) || !bytes_match(m, n->in[0].val, &p.x))
        return true;
    p.axis = n->op == OP_conv ? 1 : node_out(n)->type.rank - 1;
    if (p.x.moving_zero && (p.x.zero || p.x.x->type.dtype != DT_u8 || p.x.moving_zero->type.dtype != DT_u8))
        return true;
    if (!match_weights(m, &p.b, n->in[1].val, n->op == OP_conv ? 0 : 1, &p.w) || !shape_fits(n, &p.w) || !rewrite_allowed(m, "quant_contract", n))
        return true;
    bytes_make_unsigned(&p.b, &p.x);
    Value *y = node_out(n)->type.dtype == DT_i32 ? as_i32(&p) : as_f32(&p);
    if (!y)
        return false;
    value_replace(node_out(n), y);
    node_erase_dead(n);
    *done = true;
    return true;
}
