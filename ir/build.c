/* build.c -- see build.h. */
#include "build.h"

static bool operands_present(OpCode op, Inputs in)
{
    for (int i = 0; i < in.n; i++)
        if (!in.v[i] && i < op_table[op].min_in)
            return false;
    return true;
}

Node *build_node(Builder *b, OpCode op, Inputs in, const void *attrs, int nout)
{
    int n = in.n;
    if (!operands_present(op, in))
        return NULL;
    while (n > op_table[op].min_in && !in.v[n - 1])         /* absent trailing operands are not listed */
        n--;
    return node_new(b->g, b->before, op, n, in.v, attrs, nout, b->loc);
}

Value *build_op(Builder *b, OpCode op, Inputs in, const void *attrs)
{
    Node *n = build_node(b, op, in, attrs, -1);
    return n && n->nout ? node_out(n) : NULL;
}

Value *mk_tensor(Builder *b, const Tensor *t)
{
    return t ? mk_constant(b, IN_NONE, (Attr_constant){ .value = t }) : NULL;
}

Value *mk_scalar(Builder *b, DType t, double x)
{
    Tensor *k = tensor_new(b->m->arena, t, 0, NULL);
    tensor_set_f64(k, 0, x);
    return mk_tensor(b, k);
}

Value *mk_k(Builder *b, Value *like, double x)
{
    return like ? mk_scalar(b, like->type.dtype, x) : NULL;
}

Value *mk_ints(Builder *b, int n, const int64_t *v)
{
    Tensor *t = tensor_new(b->m->arena, DT_i64, 1, (int64_t[]){ n });
    for (int i = 0; i < n; i++)
        ((int64_t *)t->data)[i] = v[i];
    return mk_tensor(b, t);
}

Value *mk_cast_to(Builder *b, Value *x, DType to)
{
    return !x || x->type.dtype == to ? x : mk_cast(b, IN(x), (Attr_cast){ .to = to });
}

static bool has_shape(const Value *x, int rank, const Dim *dim)
{
    if (x->type.rank != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (x->type.dim[i] != dim[i])
            return false;
    return true;
}

Value *mk_reshape_to(Builder *b, Value *x, int rank, const Dim *dim)
{
    return !x || has_shape(x, rank, dim) ? x : mk_reshape(b, IN(x), (Attr_reshape){ .shape = dims_copy(b->m, rank, dim) });
}

Value *mk_reshape_ints(Builder *b, Value *x, int rank, const int64_t *dim)
{
    return mk_reshape_to(b, x, rank, dims_of_ints(b->m, rank, dim).v);
}

Value *mk_transpose_perm(Builder *b, Value *x, const int64_t *perm)
{
    bool identity = true;
    if (!x)
        return NULL;
    for (int i = 0; i < x->type.rank; i++)
        identity &= perm[i] == i;
    return identity ? x : mk_transpose(b, IN(x), (Attr_transpose){ .perm = ints_copy(b->m, x->type.rank, perm) });
}

Value *mk_expand_to(Builder *b, Value *x, int rank, const Dim *dim)
{
    return !x || has_shape(x, rank, dim) ? x : mk_expand(b, IN(x), (Attr_expand){ .shape = dims_copy(b->m, rank, dim) });
}

Value *mk_reduce_axes(Builder *b, const char *kind, Value *x, int n, const int64_t *axes)
{
    return !x || !n ? x : mk_reduce(b, IN(x), (Attr_reduce){ .kind = kind, .axes = ints_copy(b->m, n, axes) });
}

Value *mk_slice_axis(Builder *b, Value *x, int axis, Dim start, Dim size)
{
    if (!x)
        return NULL;
    int rank = x->type.rank;
    Dim starts[MAX_RANK], sizes[MAX_RANK];
    int64_t steps[MAX_RANK];
    for (int i = 0; i < rank; i++) {
        starts[i] = i == axis ? start : dim_const(b->m->dims, 0);
        sizes[i] = i == axis ? size : x->type.dim[i];
        steps[i] = 1;
    }
    return mk_slice(b, IN(x), (Attr_slice){ dims_copy(b->m, rank, starts), dims_copy(b->m, rank, sizes), ints_copy(b->m, rank, steps), 0 });
}

Value *mk_clip(Builder *b, Value *x, double lo, double hi)
{
    Value *above = mk_max(b, x, mk_k(b, x, lo));        /* one call after the other: C leaves the order of arguments open */
    return mk_min(b, above, mk_k(b, x, hi));
}

Value *mk_as_type(Builder *b, Value *x, const Type *type)
{
    bool nested = type->elem->kind != TY_TENSOR;
    const Type *item = nested ? type->elem->elem : type->elem;
    int64_t dim[MAX_RANK];
    for (int i = 0; i < item->rank; i++)
        dim[i] = item->dim[i]->k;
    return mk_seq_as(b, IN(x), (Attr_seq_as){ .kind = type->kind, .nested = nested, .elem = item->dtype, .rank = item->rank,
                                              .dims = ints_copy(b->m, item->rank > 0 ? item->rank : 0, dim) });
}

/* A list that is joined from parts, part by part: so what is known of one part stays known. */
static bool dims_of_parts(Builder *b, const Node *concat, int n, DimVec *out)
{
    Dim *d = ARENA_ARRAY(b->m->arena, Dim, n + 1);
    DimVec part;
    int at = 0;
    for (int i = 0; i < concat->nin; i++) {
        if (!build_dims_of(b, node_in(concat, i), &part))
            return false;
        for (int k = 0; k < part.n; k++)
            d[at++] = part.v[k];
    }
    *out = (DimVec){ n, d };
    return true;
}

bool build_dims_of(Builder *b, Value *v, DimVec *out)
{
    if (!v)
        return false;
    if (v->known) {
        *out = *v->known;
        return true;
    }
    if (v->type.rank > 1 || !type_is_static(&v->type) || !dtype_is_int(v->type.dtype))
        return diag_error(b->m->diag, b->loc, "a shape operand of type %s is not supported: it must be an integer tensor of known length",
                          type_print(b->m, b->m->arena, &v->type));
    int n = (int)type_count(&v->type);
    if (v->def->op == OP_concat)
        return dims_of_parts(b, v->def, n, out);
    Dim *d = n ? ARENA_ARRAY(b->m->arena, Dim, n) : NULL;
    for (int i = 0; i < n; i++)
        d[i] = dim_fresh_signed(b->m->dims, "u");
    *out = (DimVec){ n, d };
    return build_node(b, OP_bind, IN(v), &(Attr_bind){ .syms = *out }, 0) != NULL;
}
