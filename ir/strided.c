/* strided.c -- see strided.h. Each op turns the strides of its operand into those of its result. */
#include "strided.h"

static void contiguous(DimTable *dims, const Value *v, Strided *s)
{
    Dim step = dim_const(dims, 1);
    *s = (Strided){ .base = v, .offset = dim_const(dims, 0) };
    for (int d = v->type.rank - 1; d >= 0; d--) {
        s->stride[d] = step;
        step = dim_mul(dims, step, v->type.dim[d]);
    }
}

static void through_transpose(const Node *n, Strided *s)
{
    Strided from = *s;
    for (int d = 0; d < node_out(n)->type.rank; d++)
        s->stride[d] = from.stride[NODE_ATTR(n, transpose)->perm.v[d]];
}

static void through_slice(DimTable *dims, const Node *n, Strided *s)
{
    const Attr_slice *a = NODE_ATTR(n, slice);
    for (int d = 0; d < node_out(n)->type.rank; d++) {
        s->offset = dim_add(dims, s->offset, dim_mul(dims, a->starts.v[d], s->stride[d]));
        s->stride[d] = dim_mulk(dims, s->stride[d], a->steps.v[d]);
    }
}

/* Dims that the operand lacks or has once are not stepped along. Where only the run tells, there is no answer. */
static bool through_expand(DimTable *dims, const Node *n, Strided *s)
{
    const Type *from = &node_in(n, 0)->type, *to = &node_out(n)->type;
    Strided old = *s;
    for (int d = to->rank - 1, k = from->rank - 1; d >= 0; d--, k--) {
        bool same = k >= 0 && from->dim[k] == to->dim[d];
        if (!same && k >= 0 && !dim_is(from->dim[k], 1))
            return false;
        s->stride[d] = same ? old.stride[k] : dim_const(dims, 0);
    }
    return true;
}

/* The operand's dims fall into runs that are contiguous among themselves; each run must be made up of whole dims of the result. */
static bool through_reshape(DimTable *dims, const Node *n, Strided *s)
{
    const Type *from = &node_in(n, 0)->type, *to = &node_out(n)->type;
    Strided old = *s;
    Dim one = dim_const(dims, 1), size = one, taken = one, step = from->rank ? old.stride[from->rank - 1] : one;
    int d = to->rank - 1;
    for (int k = from->rank - 1; k >= 0; k--) {
        size = dim_mul(dims, size, from->dim[k]);
        if (k > 0 && (dim_is(from->dim[k - 1], 1) || old.stride[k - 1] == dim_mul(dims, size, step)))
            continue;
        for (; d >= 0 && (taken != size || dim_is(to->dim[d], 1)); d--) {
            s->stride[d] = dim_mul(dims, taken, step);
            taken = dim_mul(dims, taken, to->dim[d]);
        }
        if (taken != size)
            return false;
        size = taken = one;
        step = k > 0 ? old.stride[k - 1] : one;
    }
    for (; d >= 0 && dim_is(to->dim[d], 1); d--)
        s->stride[d] = one;
    return d < 0;
}

bool strided_view(DimTable *dims, const Value *v, bool (*is_base)(void *ctx, const Value *v), void *ctx, Strided *out)
{
    const Node *n = v->def;
    if (is_base(ctx, v)) {
        contiguous(dims, v, out);
        return true;
    }
    if (!n->nin || !strided_view(dims, node_in(n, 0), is_base, ctx, out))
        return false;
    switch (n->op) {
    case OP_transpose: through_transpose(n, out); return true;
    case OP_slice: through_slice(dims, n, out); return true;
    case OP_expand: return through_expand(dims, n, out);
    case OP_reshape: return through_reshape(dims, n, out);
    default: return false;
    }
}
