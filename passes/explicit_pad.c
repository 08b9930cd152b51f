/* explicit_pad.c -- the pads of a channels-last convolution become a node of their own.
 *
 *   %1 = conv(%0, %w) {pads=[1,1,1,1], channels_last=true}    ->    %1 = pad(%0) {before=[0,1,1,0], after=[0,1,1,0], mode="constant"}
 *                                                                   %2 = conv(%1, %w) {pads=[0,0,0,0], channels_last=true}
 *
 * So the kernel of a convolution never asks whether it is inside its input. A negative pad is a crop, which `pad` does too. Pools keep theirs: an
 * average must know what is padding. conv_transpose keeps them: there they cut the result. What looks for the edges itself keeps them too
 * (conv_pads.h).
 *
 * Needs: laid_out. Keeps: everything.
 */
#include "build.h"
#include "conv_pads.h"
#include "pass_util.h"

static bool has_pads(const Attr_conv *a)
{
    for (int i = 0; i < a->pads.n; i++)
        if (a->pads.v[i])
            return true;
    return false;
}

static bool split(Module *m, Node *n)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    int rank = node_out(n)->type.rank, spatial = rank - 2;
    int64_t before[MAX_RANK] = { 0 }, after[MAX_RANK] = { 0 }, none[2 * MAX_RANK] = { 0 };
    for (int i = 0; i < spatial; i++) {
        before[1 + i] = a->pads.v[i];
        after[1 + i] = a->pads.v[spatial + i];
    }
    Builder b = { m, n->graph, n, n->loc };
    Value *padded = mk_pad(&b, IN(n->in[0].val), (Attr_pad){ dims_of_ints(m, rank, before), dims_of_ints(m, rank, after), "constant", 0 });
    Attr_conv bare = *a;
    bare.pads = ints_copy(m, 2 * spatial, none);
    Value *r = mk_conv(&b, IN(padded, n->in[1].val, node_in(n, 2)), bare);
    if (!r)
        return false;
    value_replace(node_out(n), r);
    node_erase(n);
    return true;
}

static bool split_conv(Module *m, Node *n)
{
    bool padded = n->op == OP_conv && NODE_ATTR(n, conv)->channels_last && !conv_takes_pads(n) && has_pads(NODE_ATTR(n, conv));
    return !padded || !rewrite_allowed(m, "explicit_pad", n) || split(m, n);
}

bool pass_explicit_pad(Module *m)
{
    return module_each_node(m, split_conv);
}
