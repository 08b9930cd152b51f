/* low_bit.c -- weights of few bits, however the file says it, become one dequantize_blocks right in front of what multiplies by them.
 *
 *   mul(sub(cast(q), cast(zero)), scale)              ->  dequantize_blocks(q, scale, zero)      q of 8 bits, for products and rows; quant.c has taken what it can
 *   mul(gather(levels, cast(q)), scale)               ->  dequantize_blocks(q, scale) {levels=...}       scale: per block, gathered for each element
 *   transpose(dequantize_blocks(q, scale, zero))      ->  dequantize_blocks(transpose(q), transpose(scale), transpose(zero))
 *   gather(dequantize_blocks(q, scale, zero), i)      ->  dequantize_blocks(gather(q, i), gather(scale, i), gather(zero, i))   rows of a table, or
 *                                                         mul(sub(cast(gather(q, i)), cast(gather(zero, i))), gather(scale, i))   if it has no blocks
 *
 * q, scale and zero are constant: transposing them is folded.
 *
 * Needs: typed. Keeps: everything.
 */
#include "build.h"
#include "low_bit_product.h"
#include "pass_util.h"

/* ---- a table of codes ---- */

static bool is_constant(const Value *v)
{
    return !v || value_constant(v) != NULL;
}

static bool is_table(const Node *n)
{
    return n->op == OP_dequantize_blocks && is_constant(n->in[0].val) && is_constant(n->in[1].val) && is_constant(node_in(n, 2));
}

/* ---- of 8 bits, written in arithmetic ---- */

/* v if it is constant; a constant under another shape, as a constant; else NULL. */
static Value *constant_of(Module *m, Value *v)
{
    if (value_constant(v))
        return v;
    return v->def->op == OP_reshape && value_constant(v->def->in[0].val) ? fold_node(m, v->def) : NULL;
}

/* A cast of a constant of 8 bits: that constant. */
static Value *codes_behind(Module *m, const Value *v)
{
    const Node *n = v->def;
    Value *q = n->op == OP_cast ? n->in[0].val : NULL;
    bool bytes = q && (q->type.dtype == DT_i8 || q->type.dtype == DT_u8);
    return bytes ? constant_of(m, q) : NULL;
}

/* Only products read v, transposed or not, or some of its rows: there it pays. */
static bool is_read_packed(const Value *v)
{
    if (!v->uses)
        return false;
    FOR_EACH_USE(u, v) {
        const Node *n = u->user;
        bool product = (n->op == OP_conv || n->op == OP_matmul) && u == &n->in[1];
        bool row = n->op == OP_gather && u == &n->in[0];
        if (!product && !row && !(n->op == OP_transpose && is_read_packed(node_out(n))))
            return false;
    }
    return true;
}

/* v with the rank of q, sizes of 1 in front. */
static Value *of_rank(Builder *b, Value *v, int rank)
{
    Dim dim[MAX_RANK];
    int more = rank - value_rank(v);
    for (int i = 0; i < rank; i++)
        dim[i] = i < more ? dim_const(b->m->dims, 1) : value_dim(v, i - more);
    return mk_reshape_to(b, v, rank, dim);
}

static bool take_arithmetic(Module *m, Node *n)
{
    Value *x = n->op == OP_mul ? n->in[0].val : NULL, *zero = NULL;
    if (!x || x->type.dtype != DT_f32 || !same_shape(&x->type, &node_out(n)->type) || !is_read_packed(node_out(n)))
        return true;
    Value *q = codes_behind(m, x);
    if (!q && x->def->op == OP_sub) {
        q = codes_behind(m, x->def->in[0].val);
        zero = q ? codes_behind(m, x->def->in[1].val) : NULL;
        q = zero ? q : NULL;
    }
    Value *scale = q ? constant_of(m, n->in[1].val) : NULL;
    if (!scale || !same_shape(&q->type, &x->type) || !rewrite_allowed(m, "low_bit", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    Value *in[] = { q, of_rank(&b, scale, value_rank(q)), zero ? of_rank(&b, zero, value_rank(q)) : NULL };
    return node_replace(n, mk_dequantize_blocks(&b, (Inputs){ zero ? 3 : 2, in }, (Attr_dequantize_blocks){ 0 }));
}

/* ---- of levels, written in arithmetic ---- */

/* Whether index i of an axis of n elements is i / block for all i; the block. */
static int64_t block_of(const Tensor *index, int64_t n)
{
    int64_t block = 0;
    if (index->rank != 1 || index->count != n)
        return 0;
    while (block < n && tensor_get_i64(index, block) == 0)
        block++;
    for (int64_t i = 0; i < n; i++)
        if (tensor_get_i64(index, i) != i / block)
            return 0;
    return block;
}

/* A scale for each element of a tensor of this type: the constant with one per block, and the blocks in *a. NULL: it is something else. */
static Value *scale_behind(Module *m, Value *v, const Type *type, Attr_dequantize_blocks *a)
{
    const Node *n = v->def;
    if (n->op != OP_gather)
        return constant_of(m, v);
    int64_t axis = NODE_ATTR(n, gather)->axis;
    const Tensor *index = value_constant(n->in[1].val);
    if (!index || axis >= type->rank || !dim_is_const(type->dim[axis]) || !(a->block = block_of(index, type->dim[axis]->k)))
        return NULL;
    a->axis = axis;
    return constant_of(m, n->in[0].val);
}

static bool take_levels(Module *m, Node *n)
{
    Node *pick = n->op == OP_mul ? n->in[0].val->def : NULL;
    const Tensor *level = pick && pick->op == OP_gather && NODE_ATTR(pick, gather)->axis == 0 ? value_constant(pick->in[0].val) : NULL;
    const Node *cast = level ? pick->in[1].val->def : NULL;
    if (!cast || cast->op != OP_cast || level->rank != 1 || level->dtype != DT_f32 || !same_shape(&node_out(n)->type, &node_out(pick)->type))
        return true;
    Value *q = cast->in[0].val;
    Attr_dequantize_blocks a = { 0 };
    bool codes = dtype_is_int(q->type.dtype) && !dtype_is_signed(q->type.dtype) && dtype_table[q->type.dtype].bits <= 8 && value_constant(q);
    if (!codes || level->count != 1 << dtype_table[q->type.dtype].bits || !is_read_packed(node_out(n)))
        return true;
    Value *scale = scale_behind(m, n->in[1].val, &q->type, &a);
    if (!scale || value_rank(scale) > value_rank(q) || !rewrite_allowed(m, "low_bit_levels", n))
        return true;
    double *v = ARENA_ARRAY(m->arena, double, level->count);
    for (int64_t i = 0; i < level->count; i++)
        v[i] = tensor_get_f64(level, i);
    a.levels = (FloatVec){ (int)level->count, v };
    Builder b = { m, n->graph, n, n->loc };
    return node_replace(n, mk_dequantize_blocks(&b, IN(q, of_rank(&b, scale, value_rank(q))), a));
}

/* ---- moved towards the products ---- */

static bool take_transpose(Module *m, Node *n)
{
    Node *table = n->op == OP_transpose ? n->in[0].val->def : NULL;
    if (!table || !is_table(table) || !rewrite_allowed(m, "low_bit_transpose", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    const Attr_transpose *t = NODE_ATTR(n, transpose);
    Attr_dequantize_blocks a = *NODE_ATTR(table, dequantize_blocks);
    Value *in[3] = { NULL };
    for (int i = 0; i < table->nin; i++)
        in[i] = table->in[i].val ? mk_transpose(&b, IN(table->in[i].val), *t) : NULL;
    for (int i = 0; a.block && i < t->perm.n; i++)
        if (t->perm.v[i] == NODE_ATTR(table, dequantize_blocks)->axis)
            a.axis = i;
    return node_replace(n, mk_dequantize_blocks(&b, (Inputs){ table->nin, in }, a));
}

/* Rows of the table are a scale's rows too, unless it has one for all. */
static Value *rows_of(Builder *b, Value *v, Value *index, int64_t axis)
{
    if (!v || !dim_is(value_dim(v, (int)axis), 1))
        return v ? mk_gather(b, IN(v, index), (Attr_gather){ .axis = axis }) : NULL;
    Dim dim[MAX_RANK];
    int rank = value_rank(v) - 1 + value_rank(index);
    if (rank > MAX_RANK)
        return NULL;
    for (int i = 0; i < rank; i++)
        dim[i] = i < axis ? value_dim(v, i) : i < axis + value_rank(index) ? dim_const(b->m->dims, 1) : value_dim(v, i + 1 - value_rank(index));
    return mk_reshape_to(b, v, rank, dim);
}

/* Without blocks and levels: arithmetic, which goes into the kernel that reads it. */
static Value *numbers_of(Builder *b, Value **in, const Node *table)
{
    DType type = node_out(table)->type.dtype;
    Value *x = mk_cast(b, IN(in[0]), (Attr_cast){ .to = type });
    if (in[2])
        x = mk_sub(b, x, in[2]->type.dtype == type ? in[2] : mk_cast(b, IN(in[2]), (Attr_cast){ .to = type }));
    return mk_mul(b, x, in[1]);
}

static bool take_gather(Module *m, Node *n)
{
    Node *table = n->op == OP_gather ? n->in[0].val->def : NULL;
    if (!table || !is_table(table))
        return true;
    Attr_dequantize_blocks a = *NODE_ATTR(table, dequantize_blocks);
    int64_t axis = NODE_ATTR(n, gather)->axis;
    Value *index = n->in[1].val;
    if ((a.block && a.axis == axis) || !rewrite_allowed(m, "low_bit_gather", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    Value *in[3] = { NULL };
    for (int i = 0; i < table->nin; i++)
        in[i] = i ? rows_of(&b, table->in[i].val, index, axis) : mk_gather(&b, IN(table->in[0].val, index), (Attr_gather){ .axis = axis });
    if (a.block && a.axis > axis)
        a.axis += value_rank(index) - 1;
    if (!a.block && !a.levels.n && in[1] && in[1]->type.dtype == node_out(table)->type.dtype)
        return node_replace(n, numbers_of(&b, in, table));
    return node_replace(n, mk_dequantize_blocks(&b, (Inputs){ table->nin, in }, a));
}

static bool take_node(Module *m, Node *n)
{
    if (n->nout != 1 || !node_out(n)->uses)
        return true;
    switch (n->op) {
    case OP_mul: return take_levels(m, n) && (!n->graph || take_arithmetic(m, n));       /* no graph: it is gone */
    case OP_transpose: return take_transpose(m, n);
    case OP_gather: return take_gather(m, n);
    default: return true;
    }
}

bool pass_low_bit(Module *m)
{
    return module_each_node(m, take_node);
}
