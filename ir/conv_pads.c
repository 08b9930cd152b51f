/* conv_pads.c -- see conv_pads.h. */
#include "conv_pads.h"

bool conv_is_one_per_channel(const Node *n)
{
    const Type *w = &node_in(n, 1)->type;
    int64_t group = NODE_ATTR(n, conv)->group;
    return group > 1 && dim_is(w->dim[1], 1) && dim_is(w->dim[0], group);
}

bool conv_takes_pads(const Node *n)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    const Type *x = &node_in(n, 0)->type;
    if (a->winograd.n)
        return true;
    bool positive = true;           /* a negative pad is a crop */
    for (int i = 0; i < a->pads.n; i++)
        positive &= a->pads.v[i] >= 0;
    return a->channels_last && x->rank == 4 && dtype_is_float(x->dtype) && dim_is_const(x->dim[2]) && !dim_is(x->dim[2], 1) && positive &&
           conv_is_one_per_channel(n);
}
