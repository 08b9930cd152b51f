/* scratch.c -- see scratch.h. One function per op that needs working memory; the layouts are those of runtime/kernels. */
#include "scratch.h"

#include <string.h>

#include "kernel_args.h"
#include "low_bit_product.h"
#include "recurrent.h"
#include "winograd.h"

typedef Dim ScratchFn(Module *m, const Node *n);

static const Type *type_in(const Node *n, int i) { return &n->in[i].val->type; }

/* A key and an index for every element along the axis. */
static Dim scratch_topk(Module *m, const Node *n)
{
    return dim_mulk(m->dims, type_in(n, 0)->dim[NODE_ATTR(n, topk)->axis], 2 * (int64_t)sizeof(int64_t));
}

/* Candidate, key, order and kept index for every box. */
static Dim scratch_non_max_suppression(Module *m, const Node *n)
{
    return dim_mulk(m->dims, type_in(n, 0)->dim[1], 4 * (int64_t)sizeof(int64_t));
}

/* What one filter sees, in double. */
static Dim scratch_deform_conv(Module *m, const Node *n)
{
    const Type *w = type_in(n, 1);
    return dim_mulk(m->dims, dim_mul(m->dims, w->dim[1], dim_mul(m->dims, w->dim[2], w->dim[3])), (int64_t)sizeof(double));
}

/* Input positions that one output position along axis k looks at: taps_of in resize.c. */
static Dim resize_taps(Module *m, const Node *n, int k)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    DimTable *t = m->dims;
    int64_t reach = !strcmp(a->mode, "linear") ? 1 : 2;
    if (!strcmp(a->mode, "nearest"))
        return dim_const(t, 1);
    if (!a->antialias)
        return dim_const(t, 2 * reach);
    if (a->scales.n && !node_in(n, 1))
        return dim_const(t, k_resize_taps(reach, a->scales.v[k] < 1 ? a->scales.v[k] : 1));
    Dim needed = dim_mulk(t, dim_ceil_div(t, dim_mulk(t, type_in(n, 0)->dim[k], reach), a->shape.v[k]), 2);
    return dim_addk(t, dim_max(t, needed, dim_const(t, 2 * reach)), node_in(n, 1) ? 2 : 0);
}

/* Nearest is a gather; linear in f32 over at most two neighbouring axes blends at once: is_bilinear in resize.c. Axes count that may be resized. */
static bool resize_is_direct(const Node *n)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    const Type *x = type_in(n, 0);
    int first = x->rank, last = 0;
    for (int k = 0; k < x->rank; k++)
        if (node_in(n, 1) || x->dim[k] != a->shape.v[k] || (a->scales.n && a->scales.v[k] != 1)) {
            first = first < k ? first : k;
            last = k;
        }
    bool plain = !strcmp(a->mode, "linear") && !a->antialias && x->dtype == DT_f32 && strcmp(a->coord, "tf_crop_and_resize");
    return !strcmp(a->mode, "nearest") || (plain && last - first <= 1);
}

/* A position and a weight per tap of every axis; then two tensors in double, as large as the largest between two axes, unless the result is direct. */
static Dim scratch_resize(Module *m, const Node *n)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    const Type *x = type_in(n, 0);
    DimTable *t = m->dims;
    Dim bytes = dim_const(t, 0), largest = dim_const(t, 0);
    for (int k = 0; k < x->rank; k++)
        bytes = dim_add(t, bytes, dim_mulk(t, dim_mul(t, a->shape.v[k], resize_taps(m, n, k)), (int64_t)(sizeof(int64_t) + sizeof(double))));
    for (int k = 0; k <= x->rank && !resize_is_direct(n); k++) {
        Dim partial = dim_const(t, 2 * (int64_t)sizeof(double));
        for (int j = 0; j < x->rank; j++)
            partial = dim_mul(t, partial, j < k ? a->shape.v[j] : x->dim[j]);
        largest = dim_max(t, largest, partial);
    }
    return dim_add(t, bytes, largest);
}

/* A flag for every target of every walk, if flags are needed. */
static Dim scratch_tree_ensemble(Module *m, const Node *n)
{
    const Attr_tree_ensemble *a = NODE_ATTR(n, tree_ensemble);
    bool sums = !strcmp(a->aggregate, "sum") || !strcmp(a->aggregate, "avg");
    return dim_const(m->dims, sums ? 0 : K_TREE_WALKS * a->count);
}

/* The state of the Mersenne Twister. */
static Dim scratch_random(Module *m, const Node *n)
{
    return dim_const(m->dims, strcmp(NODE_ATTR(n, random)->kind, "mt19937") ? 0 : K_TWISTER_WORDS * (int64_t)sizeof(uint32_t));
}

/* Two buffers of n pairs of lanes: fft.c. */
static Dim scratch_fft(Module *m, const Node *n)
{
    const Type *x = type_in(n, 0);
    return dim_mulk(m->dims, x->dim[x->rank - 2], 2 * 2 * K_FFT_LANES * (int64_t)dtype_bytes(x->dtype));
}

/* The quadratic form, its product with the probabilities, and these. */
static Dim scratch_couple_pairs(Module *m, const Node *n)
{
    Dim k = type_in(n, 0)->dim[1];
    return dim_mulk(m->dims, dim_mul(m->dims, k, dim_addk(m->dims, k, 2)), (int64_t)sizeof(double));
}

/* The number of the step, then the states of every sequence in whole vectors: see gen_recurrent.c. */
static Dim scratch_recurrent(Module *m, const Node *n)
{
    const Type *r = type_in(n, 1);
    int64_t line = (r->dim[1]->k + 15) / 16 * 16, states = cell_states(NODE_ATTR(n, recurrent));
    int64_t bytes = states * r->dim[0]->k * line * dtype_bytes(formula_compute_type(r->dtype));
    return dim_addk(m->dims, dim_mulk(m->dims, type_in(n, 0)->dim[1], bytes), 64);
}

/* A slot for every unit that may run at the same time, see low_bit_product.h. */
static Dim scratch_low_bit(Module *m, const Node *n)
{
    return dim_const(m->dims, low_bit_weights(n) && low_bit_fits(n) ? LOW_BIT_SLOTS * low_bit_slot_bytes(n) : 0);
}

/* The same, see winograd.h. */
static Dim scratch_conv(Module *m, const Node *n)
{
    WinogradPlan p = winograd_plan(NODE_ATTR(n, conv));
    if (!p.m)
        return scratch_low_bit(m, n);
    return dim_const(m->dims, p.slots * winograd_slot_bytes(&p, type_in(n, 1)->dim[1]->k));
}

/* The panels of operand 1 that a thread is at, for every thread: gen_matmul.c. */
static Dim scratch_matmul(Module *m, const Node *n)
{
    const Type *b = type_in(n, 1);
    if (!NODE_ATTR(n, matmul)->pack || low_bit_weights(n))
        return scratch_low_bit(m, n);
    int64_t row = PACK_SLOTS * PACK_PANELS * PACK_LANES * (int64_t)dtype_bytes(b->dtype);
    return dim_mulk(m->dims, b->dim[b->rank - 2], row);
}

/* That of its anchor: the other nodes inside need none. */
static Dim scratch_fused(Module *m, const Node *n)
{
    Dim bytes = dim_const(m->dims, 0);
    FOR_EACH_NODE(k, NODE_ATTR(n, fused)->body)
        bytes = dim_add(m->dims, bytes, node_scratch_bytes(m, k));
    return bytes;
}

/* The matrix beside the unit matrix. */
static Dim scratch_inverse(Module *m, const Node *n)
{
    Dim size = type_in(n, 0)->dim[type_in(n, 0)->rank - 1];
    return dim_mulk(m->dims, dim_mul(m->dims, size, size), 2 * (int64_t)sizeof(double));
}

/* A table of the keys, at most four times as large as they are many. */
static Dim scratch_str_find(Module *m, const Node *n)
{
    return dim_mulk(m->dims, dim_addk(m->dims, type_count_dim(m, type_in(n, 1)), 1), 4 * (int64_t)sizeof(int64_t));
}

/* Lists of instructions: now, next, when each was reached, and a stack of two for each. */
static Dim scratch_str_match(Module *m, const Node *n)
{
    return dim_mulk(m->dims, dim_addk(m->dims, type_in(n, 1)->dim[0], 1), 6 * (int64_t)sizeof(int64_t));
}

static ScratchFn *const scratch_table[OP_count] = {
    [OP_conv] = scratch_conv,
    [OP_fused] = scratch_fused,
    [OP_matmul] = scratch_matmul,
    [OP_topk] = scratch_topk,
    [OP_str_match] = scratch_str_match,
    [OP_str_find] = scratch_str_find,
    [OP_non_max_suppression] = scratch_non_max_suppression,
    [OP_deform_conv] = scratch_deform_conv,
    [OP_resize] = scratch_resize,
    [OP_random] = scratch_random,
    [OP_fft] = scratch_fft,
    [OP_inverse] = scratch_inverse,
    [OP_couple_pairs] = scratch_couple_pairs,
    [OP_tree_ensemble] = scratch_tree_ensemble,
    [OP_recurrent] = scratch_recurrent,
};

Dim node_scratch_bytes(Module *m, const Node *n)
{
    return scratch_table[n->op] ? scratch_table[n->op](m, n) : dim_const(m->dims, 0);
}
