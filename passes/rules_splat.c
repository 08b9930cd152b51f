/* rules_splat.c -- rewrite rules for weights that are one number repeated, as files have them that keep a network's form but not its training: all
 * filters see the same, so one is computed and its result repeated. Such a weight need never be written out. The notation is in rules.h.
 */
#include "pass_util.h"
#include "rules.h"

enum { WORTH = 1 << 14 };            /* elements; a smaller weight is no burden */

static const Tensor *splat_weight(const Value *w)
{
    const Tensor *t = value_constant(w);
    return t && t->splat && t->count >= WORTH && (t->dtype == DT_f32 || t->dtype == DT_f64) ? t : NULL;
}

/* The same number under another shape. */
static Value *splat_of(Match *x, const Tensor *t, int rank, const int64_t *dim)
{
    return mk_expand_to(&x->b, mk_scalar(&x->b, t->dtype, tensor_get_f64(t, 0)), rank, dims_of_ints(x->m, rank, dim).v);
}

/* [N, groups, ...] -> [N, groups * times, ...], each channel `times` times. */
static Value *repeat_channels(Match *x, Value *v, int64_t times, const Type *t)
{
    Dim apart[MAX_RANK + 1];
    if (dim_is(v->type.dim[1], 1))
        return mk_expand_to(&x->b, v, t->rank, t->dim);
    for (int i = 0; i < t->rank + 1; i++)
        apart[i] = i < 2 ? v->type.dim[i] : i == 2 ? dim_const(x->m->dims, 1) : t->dim[i - 1];
    Value *y = mk_reshape_to(&x->b, v, t->rank + 1, apart);
    apart[2] = dim_const(x->m->dims, times);
    return mk_reshape_to(&x->b, mk_expand_to(&x->b, y, t->rank + 1, apart), t->rank, t->dim);
}

/* One filter a group. The bias comes afterwards. */
static Value *build_splat_conv(Match *x)
{
    const Node *c = x->root;
    const Tensor *w = splat_weight(c->in[1].val);
    const Attr_conv *a = NODE_ATTR(c, conv);
    const Type *t = &node_out(c)->type;
    int64_t dim[MAX_RANK];
    if (!w || a->channels_last || w->dim[0] == a->group || t->rank == MAX_RANK)
        return NULL;
    for (int i = 0; i < w->rank; i++)
        dim[i] = i ? w->dim[i] : a->group;
    Value *one = mk_conv(&x->b, IN(c->in[0].val, splat_of(x, w, w->rank, dim), NULL), *a);
    Value *y = one ? repeat_channels(x, one, w->dim[0] / a->group, t) : NULL;
    if (!node_in(c, 2))
        return y;
    for (int i = 0; i < t->rank; i++)
        dim[i] = i == 1 ? w->dim[0] : 1;
    return mk_add(&x->b, y, mk_reshape_ints(&x->b, c->in[2].val, t->rank, dim));
}

/* Every column is the sum of the row times the number. */
static Value *build_splat_matmul(Match *x)
{
    const Tensor *w = splat_weight(match_value(x, "w"));
    const Type *t = &node_out(x->root)->type;
    Value *rows = match_value(x, "x");
    if (!w || w->rank != 2 || w->dim[1] == 1 || rows->type.rank != t->rank || NODE_ATTR(x->root, matmul)->wide)
        return NULL;
    Value *sum = mk_reduce_axes(&x->b, "sum", rows, 1, (int64_t[]){ t->rank - 1 });
    return mk_expand_to(&x->b, mk_mul(&x->b, sum, mk_scalar(&x->b, w->dtype, tensor_get_f64(w, 0))), t->rank, t->dim);
}

const Rule rules_splat[] = {
    { .name = "splat_conv", .pattern = "conv(...)", .build = build_splat_conv },
    { .name = "splat_matmul", .pattern = "matmul(?x, $w)", .build = build_splat_matmul },
    { .name = NULL },
};
