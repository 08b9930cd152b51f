/* rules_shape.c -- rewrite rules about movement: what moves nothing goes away, two moves become one. The notation is in rules.h. */
#include <string.h>

#include "pass_util.h"
#include "rules.h"

/* ---- transpose ---- */

/* One axis longer than 1 at most changes its place among the others: no element moves. */
static Value *build_view_of_transpose(Match *x)
{
    const IntVec *perm = &NODE_ATTR(x->root, transpose)->perm;
    Value *v = match_value(x, "x");
    int64_t last = -1;
    for (int i = 0; i < perm->n; i++) {
        if (dim_is(v->type.dim[perm->v[i]], 1))
            continue;
        if (perm->v[i] < last)
            return NULL;
        last = perm->v[i];
    }
    return mk_reshape_to(&x->b, v, perm->n, node_out(x->root)->type.dim);
}

static Value *build_one_transpose(Match *x)
{
    const int64_t *outer = NODE_ATTR(x->root, transpose)->perm.v, *inner = NODE_ATTR(match_node(x, "t"), transpose)->perm.v;
    Value *v = match_value(x, "x");
    int64_t perm[MAX_RANK];
    for (int i = 0; i < v->type.rank; i++)
        perm[i] = inner[outer[i]];
    return mk_transpose_perm(&x->b, v, perm);
}

/* transpose(reshape(transpose(x))), where the reshape only merges axes: a merged axis that was made of neighbours of x, in order, moves as one. If after
 * all that the axes of x stand in their old order, nothing moved: [N,C,H,W] from [N,H,W,C], merged to [N,C,H*W], turned to [N,H*W,C] is [N,H,W,C]. */
static Value *build_view_of_three(Match *x)
{
    const int64_t *first = NODE_ATTR(match_node(x, "t"), transpose)->perm.v;
    const IntVec *second = &NODE_ATTR(x->root, transpose)->perm;
    const Type *wide = &node_out(match_node(x, "t"))->type, *merged = &node_out(match_node(x, "r"))->type;
    int from[MAX_RANK], count[MAX_RANK], at = 0;
    for (int i = 0; i < merged->rank; i++) {                    /* axes of `wide` that make axis i of `merged` */
        Dim size = dim_const(x->m->dims, 1);
        from[i] = at;
        while (at < wide->rank && (size != merged->dim[i] || dim_is(wide->dim[at], 1)))
            size = dim_mul(x->m->dims, size, wide->dim[at++]);
        count[i] = at - from[i];
        if (size != merged->dim[i])
            return NULL;
    }
    int64_t last = -1;
    for (int i = 0; i < second->n; i++)
        for (int k = 0; k < count[second->v[i]]; k++) {
            int64_t axis = first[from[second->v[i]] + k];
            if (dim_is(match_value(x, "x")->type.dim[axis], 1))
                continue;
            if (axis < last)
                return NULL;
            last = axis;
        }
    return at == wide->rank ? mk_reshape_to(&x->b, match_value(x, "x"), second->n, node_out(x->root)->type.dim) : NULL;
}

/* ---- slice and pad ---- */

static bool takes_everything(const Match *x)
{
    const Attr_slice *a = NODE_ATTR(x->root, slice);
    for (int i = 0; i < a->starts.n; i++)
        if (!dim_is(a->starts.v[i], 0) || a->steps.v[i] != 1)
            return false;
    return true;
}

static Value *build_one_slice(Match *x)
{
    const Attr_slice *outer = NODE_ATTR(x->root, slice), *inner = NODE_ATTR(match_node(x, "s"), slice);
    DimTable *t = x->m->dims;
    Dim starts[MAX_RANK];
    int64_t steps[MAX_RANK];
    int rank = outer->starts.n;
    for (int i = 0; i < rank; i++) {
        starts[i] = dim_add(t, inner->starts.v[i], dim_mulk(t, outer->starts.v[i], inner->steps.v[i]));
        steps[i] = inner->steps.v[i] * outer->steps.v[i];
    }
    return mk_slice(&x->b, IN(match_value(x, "x")), (Attr_slice){ dims_copy(x->m, rank, starts), outer->sizes, ints_copy(x->m, rank, steps), 0 });
}

static bool pads_nothing(const Attr_pad *a)
{
    for (int i = 0; i < a->before.n; i++)
        if (!dim_is(a->before.v[i], 0) || !dim_is(a->after.v[i], 0))
            return false;
    return true;
}

static Value *build_unpadded(Match *x)
{
    return pads_nothing(NODE_ATTR(x->root, pad)) ? x->root->in[0].val : NULL;
}

static bool only_grows(const Attr_pad *a)
{
    for (int i = 0; i < a->before.n; i++)
        if (!dim_nonneg(a->before.v[i]) || !dim_nonneg(a->after.v[i]))
            return false;
    return !strcmp(a->mode, "constant");
}

/* The number a constant pad fills in; false if it is not known. */
static bool fill_of(const Node *n, double *fill)
{
    *fill = 0;
    return !node_in(n, 1) || value_scalar_f64(node_in(n, 1), fill);
}

static Value *build_one_pad(Match *x)
{
    const Node *inner = x->root->in[0].val->def;
    double a, b;
    if (inner->op != OP_pad || !only_grows(NODE_ATTR(inner, pad)) || !only_grows(NODE_ATTR(x->root, pad)) || !fill_of(inner, &a) ||
        !fill_of(x->root, &b) || a != b)
        return NULL;
    Attr_pad sum = *NODE_ATTR(x->root, pad);
    Dim before[MAX_RANK], after[MAX_RANK];
    for (int i = 0; i < sum.before.n; i++) {
        before[i] = dim_add(x->m->dims, sum.before.v[i], NODE_ATTR(inner, pad)->before.v[i]);
        after[i] = dim_add(x->m->dims, sum.after.v[i], NODE_ATTR(inner, pad)->after.v[i]);
    }
    sum.before = dims_copy(x->m, sum.before.n, before);
    sum.after = dims_copy(x->m, sum.after.n, after);
    return mk_pad(&x->b, IN(inner->in[0].val, node_in(x->root, 1)), sum);
}

/* ---- concat and gather ---- */

/* Operands that are themselves concats along the same axis are written out, unless somebody else wants them too. */
static Value *build_flat_concat(Match *x)
{
    enum { MAX_FLAT = 32 };
    Value *in[MAX_FLAT];
    int n = 0;
    bool any = false;
    for (int i = 0; i < x->root->nin; i++) {
        Value *v = x->root->in[i].val;
        bool inner = v->def->op == OP_concat && attrs_equal(OP_concat, v->def->attrs, x->root->attrs) && value_only_user(v);
        any |= inner;
        for (int k = 0; k < (inner ? v->def->nin : 1); k++) {
            if (n == MAX_FLAT)
                return NULL;
            in[n++] = inner ? v->def->in[k].val : v;
        }
    }
    return any ? mk_concat(&x->b, (Inputs){ n, in }, *NODE_ATTR(x->root, concat)) : NULL;
}

/* A kernel has so many operands and no more; of those beyond, every 32 are joined first. */
static Value *build_concat_tree(Match *x)
{
    enum { TOO_MANY = 48, PART = 32 };
    int n = x->root->nin, parts = 0;
    Value *in[PART], **part = ARENA_ARRAY(x->m->arena, Value *, n / PART + 1);
    if (n <= TOO_MANY)
        return NULL;
    for (int i = 0; i < n; i += PART) {
        int k = 0;
        for (; k < PART && i + k < n; k++)
            in[k] = x->root->in[i + k].val;
        part[parts++] = mk_concat(&x->b, (Inputs){ k, in }, *NODE_ATTR(x->root, concat));
    }
    return mk_concat(&x->b, (Inputs){ parts, part }, *NODE_ATTR(x->root, concat));
}

/* One index known at compile time: a slice, and its axis removed. */
static Value *build_slice_of_gather(Match *x)
{
    int axis = (int)NODE_ATTR(x->root, gather)->axis;
    Value *v = match_value(x, "x");
    const Tensor *index = value_constant(match_value(x, "i"));
    Dim size = v->type.dim[axis];
    int64_t i = index->count == 1 ? tensor_get_i64(index, 0) : 0;
    if (index->count != 1 || !dim_is_const(size) || i < -size->k || i >= size->k)
        return NULL;
    Value *s = mk_slice_axis(&x->b, v, axis, dim_const(x->m->dims, i < 0 ? i + size->k : i), dim_const(x->m->dims, 1));
    const Type *r = &node_out(x->root)->type;
    return mk_reshape_to(&x->b, s, r->rank, r->dim);
}

/* ---- reduce ---- */

static Value *build_one_reduce(Match *x)
{
    const Attr_reduce *a = NODE_ATTR(x->root, reduce), *b = NODE_ATTR(match_node(x, "r"), reduce);
    int64_t axes[MAX_RANK];
    bool reduced[MAX_RANK] = { false };
    int n = 0;
    if (strcmp(a->kind, b->kind))
        return NULL;
    for (int i = 0; i < a->axes.n; i++)
        reduced[a->axes.v[i]] = true;
    for (int i = 0; i < b->axes.n; i++)
        reduced[b->axes.v[i]] = true;
    for (int i = 0; i < MAX_RANK; i++)
        if (reduced[i])
            axes[n++] = i;
    return mk_reduce_axes(&x->b, a->kind, match_value(x, "x"), n, axes);
}

/* ---- resize ---- */

enum { MAX_REPEAT = 8 };

/* How often every element is repeated along axis k; 0: it is not so simple. */
static int64_t repeat_of(DimTable *dims, const Node *n, int k)
{
    const Attr_resize *a = NODE_ATTR(n, resize);
    Dim in = n->in[0].val->type.dim[k], out = node_out(n)->type.dim[k];
    for (int64_t s = 1; s <= MAX_REPEAT; s++)
        if (dim_mulk(dims, in, s) == out && (!a->scales.n || a->scales.v[k] == (double)s))
            return s;
    return 0;
}

/* Output o looks at input floor(o / s), whatever s. */
static bool looks_below(const Attr_resize *a)
{
    bool half = !strcmp(a->coord, "half_pixel") || !strcmp(a->coord, "half_pixel_symmetric");
    return !strcmp(a->mode, "nearest") && (half ? !strncmp(a->nearest, "round_", 6) : !strcmp(a->coord, "asymmetric") && !strcmp(a->nearest, "floor"));
}

/* [N, H, W, C] -> [N, H, 1, W, 1, C] -> [N, H, s, W, s, C] -> [N, H*s, W*s, C]. Only where channels have found their place: layouts know resize. */
static Value *build_repeated(Match *x)
{
    const Node *n = x->root;
    DimTable *dims = x->m->dims;
    Value *v = n->in[0].val;
    Dim apart[MAX_RANK], repeated[MAX_RANK];
    int rank = 0, room = MAX_RANK - v->type.rank;
    if (!(x->m->graph->props & GP_LAID_OUT) || !looks_below(NODE_ATTR(n, resize)) || node_in(n, 1) || node_in(n, 2))
        return NULL;
    for (int k = 0; k < v->type.rank; k++) {
        int64_t s = repeat_of(dims, n, k);
        if (!s || (s > 1 && room-- <= 0))
            return NULL;
        apart[rank] = repeated[rank] = v->type.dim[k];
        rank++;
        if (s > 1) {
            apart[rank] = dim_const(dims, 1);
            repeated[rank++] = dim_const(dims, s);
        }
    }
    v = mk_expand_to(&x->b, mk_reshape_to(&x->b, v, rank, apart), rank, repeated);
    return mk_reshape_to(&x->b, v, node_out(n)->type.rank, node_out(n)->type.dim);
}

const Rule rules_shape[] = {
    { .name = "reshape_identity", .pattern = "reshape(?x)", .replacement = "?x" },
    { .name = "reshape_reshape", .pattern = "reshape:r(reshape(?x))", .replacement = "reshape:r(?x)" },
    { .name = "transpose_view", .pattern = "transpose(?x)", .build = build_view_of_transpose },
    { .name = "transpose_transpose", .pattern = "transpose(transpose:t(?x))", .build = build_one_transpose },
    { .name = "transpose_reshape_transpose", .pattern = "transpose(reshape:r(transpose:t(?x)))", .build = build_view_of_three },
    { .name = "expand_identity", .pattern = "expand(?x)", .replacement = "?x" },
    { .name = "expand_expand", .pattern = "expand:e(expand(?x))", .replacement = "expand:e(?x)" },
    { .name = "slice_identity", .pattern = "slice(?x)", .replacement = "?x", .when = takes_everything },
    { .name = "slice_slice", .pattern = "slice(slice:s(?x))", .build = build_one_slice },
    { .name = "pad_nothing", .pattern = "pad(...)", .build = build_unpadded },
    { .name = "pad_pad", .pattern = "pad(...)", .build = build_one_pad },
    { .name = "concat_one", .pattern = "concat(?x)", .replacement = "?x" },
    { .name = "concat_concat", .pattern = "concat(...)", .build = build_flat_concat },
    { .name = "concat_many", .pattern = "concat(...)", .build = build_concat_tree },
    { .name = "gather_constant", .pattern = "gather(?x, $i)", .build = build_slice_of_gather },
    { .name = "reduce_nothing", .pattern = "reduce(?x)", .replacement = "?x" },
    { .name = "reduce_reduce", .pattern = "reduce(reduce:r!(?x))", .build = build_one_reduce },
    { .name = "resize_repeat", .pattern = "resize(...)", .build = build_repeated },
    { .name = NULL },
};
