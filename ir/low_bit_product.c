/* low_bit_product.c -- see low_bit_product.h. */
#include "low_bit_product.h"

#include "conv_pads.h"

const Node *low_bit_weights(const Node *product)
{
    bool has = product->op == OP_conv || product->op == OP_matmul;
    const Node *w = has && node_in(product, 1) ? node_in(product, 1)->def : NULL;
    return w && w->op == OP_dequantize_blocks ? w : NULL;
}

static bool is_packed_code(const Node *w)
{
    DType t = node_in(w, 0)->type.dtype;
    return dtype_is_int(t) && dtype_table[t].bits <= 8;
}

/* Scales and zero points: along the axis that is summed over one per block, or one; one per tap, or one. */
static bool factor_fits(const Type *t, const Node *w, int sum)
{
    const Attr_dequantize_blocks *a = NODE_ATTR(w, dequantize_blocks);
    const Type *q = &node_in(w, 0)->type;
    bool every = true, one = true;
    for (int d = 2; d < t->rank; d++) {
        every &= t->dim[d] == q->dim[d];
        one &= dim_is(t->dim[d], 1);
    }
    return (every || one) && (a->block ? a->axis == sum : dim_is(t->dim[sum], 1));
}

bool low_bit_fits(const Node *product)
{
    const Node *w = low_bit_weights(product);
    if (!w || !is_packed_code(w) || !type_is_static(&node_out(w)->type) || node_in(product, 0)->type.dtype != DT_f32)
        return false;
    int rank = node_out(w)->type.rank, sum = product->op == OP_conv;
    for (int i = 1; i < w->nin; i++)
        if (node_in(w, i) && !factor_fits(&node_in(w, i)->type, w, sum))
            return false;
    if (product->op == OP_matmul)
        return rank == 2;
    return (rank == 3 || rank == 4) && !conv_is_one_per_channel(product) && node_out(w)->type.dim[1]->k > 1;
}

bool low_bit_ready(const Node *product)
{
    if (!low_bit_fits(product))
        return false;
    if (product->op == OP_matmul)
        return true;
    const Attr_conv *a = NODE_ATTR(product, conv);
    for (int i = 0; i < a->pads.n; i++)
        if (a->pads.v[i])
            return false;
    return a->channels_last;
}

int64_t low_bit_direct(const Node *product)
{
    return node_in(low_bit_weights(product), 2) ? LOW_BIT_DIRECT_ZEROS : LOW_BIT_DIRECT;
}

int64_t low_bit_few_rows(const Node *product)
{
    const Type *x = &node_in(product, 0)->type;
    int64_t rows = product->op == OP_matmul, most = low_bit_direct(product);
    for (int i = 0; i < x->rank - 1; i++)
        rows = dim_is_const(x->dim[i]) && x->dim[i]->k <= most ? rows * x->dim[i]->k : 0;
    return rows <= most ? rows : 0;
}

/* What is summed over: input channels and taps. */
static int64_t depth(const Node *product)
{
    const Type *w = &node_in(product, 1)->type;
    int64_t k = product->op == OP_matmul ? w->dim[0]->k : w->dim[1]->k;
    for (int i = 2; product->op == OP_conv && i < w->rank; i++)
        k *= w->dim[i]->k;
    return k;
}

/* Blocks of scales that are no multiple of 16 are unpacked whole. Codes are unpacked 64 bytes at a time, which is up to 16 k: so many may be too many. */
int64_t low_bit_room(const Node *product)
{
    enum { STEP = 16 };
    int64_t k = depth(product), block = NODE_ATTR(low_bit_weights(product), dequantize_blocks)->block;
    int64_t most = LOW_BIT_K + (block % STEP ? block : 0);
    return (k < most ? k : most) + STEP;
}

int64_t low_bit_slot_bytes(const Node *product)
{
    enum { LANE_BYTES = 16 * sizeof(float) };
    if (low_bit_few_rows(product))
        return 0;
    return (low_bit_room(product) + (depth(product) > LOW_BIT_K ? LOW_BIT_ROWS : 0)) * LOW_BIT_PANELS * LANE_BYTES;
}
