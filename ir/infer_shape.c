/* infer_shape.c -- inference for shape and movement ops. Sizes are Dims throughout; a check is made only where the Dims decide it. */
#include "infer.h"

#include <string.h>

/* ---- shapes as data ---- */

bool infer_from_dims(Module *m, Node *n)
{
    const Attr_from_dims *a = NODE_ATTR(n, from_dims);
    if (a->scalar && a->dims.n != 1)
        return infer_fail(m, n, "%d sizes are given for a scalar", a->dims.n);
    Dim count = dim_const(m->dims, a->dims.n);
    if (!infer_set(m, n, 0, DT_i64, a->scalar ? 0 : 1, &count))
        return false;
    known_set(m, n, a->dims.n, a->dims.v);
    return true;
}

bool infer_bind(Module *m, Node *n)
{
    const Attr_bind *a = NODE_ATTR(n, bind);
    if (!infer_operand(m, n, 0, 0))
        return false;
    if (!dtype_is_int(in_type(n, 0)->dtype))
        return infer_fail(m, n, "sizes are %s, integers are needed", dtype_name(in_type(n, 0)->dtype));
    Dim count = type_count_dim(m, in_type(n, 0));
    if (dims_differ(m, count, dim_const(m->dims, a->syms.n)))
        return infer_fail(m, n, "%d symbols are given for %s elements", a->syms.n, infer_dim_text(m, count));
    for (int i = 0; i < a->syms.n; i++)
        if (a->syms.v[i]->op != DIM_SYM)
            return infer_fail(m, n, "%s is not a symbol", infer_dim_text(m, a->syms.v[i]));
    return true;
}

bool infer_check(Module *m, Node *n)
{
    const Attr_check *a = NODE_ATTR(n, check);
    if (a->left.n != a->right.n)
        return infer_fail(m, n, "%d sizes against %d", a->left.n, a->right.n);
    for (int i = 0; i < a->left.n; i++)
        if ((!a->or_one || (dim_is_const(a->left.v[i]) && a->left.v[i]->k != 1)) && dims_differ(m, a->left.v[i], a->right.v[i]))
            return diag_error(m->diag, n->loc, "%s (%s against %s)", a->message ? a->message : "two sizes must agree",
                              infer_dim_text(m, a->left.v[i]), infer_dim_text(m, a->right.v[i]));
    return true;
}

/* ---- movement ---- */

bool infer_reshape(Module *m, Node *n)
{
    const DimVec *shape = &NODE_ATTR(n, reshape)->shape;
    if (!infer_operand(m, n, 0, 0) || !infer_set(m, n, 0, in_type(n, 0)->dtype, shape->n, shape->v))
        return false;
    Dim from = type_count_dim(m, in_type(n, 0)), to = type_count_dim(m, &n->out[0].type);
    if (dims_differ(m, from, to))
        return infer_fail(m, n, "%s has %s elements, %s has %s", type_print(m, m->arena, in_type(n, 0)), infer_dim_text(m, from),
                          type_print(m, m->arena, &n->out[0].type), infer_dim_text(m, to));
    known_move(m, n);
    return true;
}

bool infer_transpose(Module *m, Node *n)
{
    const IntVec *perm = &NODE_ATTR(n, transpose)->perm;
    if (!infer_operand(m, n, 0, 0))
        return false;
    const Type *x = in_type(n, 0);
    bool seen[MAX_RANK] = { false };
    Dim out[MAX_RANK];
    if (perm->n != x->rank)
        return infer_fail(m, n, "perm has %d entries, the operand has rank %d", perm->n, x->rank);
    for (int i = 0; i < perm->n; i++) {
        int64_t p = perm->v[i];
        if (p < 0 || p >= x->rank || seen[p])
            return infer_fail(m, n, "perm is not a permutation of the %d axes", x->rank);
        seen[p] = true;
        out[i] = x->dim[p];
    }
    if (!infer_set(m, n, 0, x->dtype, x->rank, out))
        return false;
    known_move(m, n);
    return true;
}

bool infer_expand(Module *m, Node *n)
{
    const DimVec *shape = &NODE_ATTR(n, expand)->shape;
    if (!infer_operand(m, n, 0, 0))
        return false;
    const Type *x = in_type(n, 0);
    if (!infer_set(m, n, 0, x->dtype, shape->n, shape->v))
        return false;
    int lead = shape->n - x->rank;
    for (int i = 0; i < x->rank; i++)
        if (lead < 0 || !infer_one_or(m, x->dim[i], shape->v[lead + i]))
            return infer_fail(m, n, "%s does not broadcast to %s", type_print(m, m->arena, x), type_print(m, m->arena, &n->out[0].type));
    known_move(m, n);
    return true;
}

/* With everything constant, the first and last element taken must exist. */
static bool slice_in_range(const Attr_slice *a, const Type *x, int i)
{
    if (!dim_is_const(x->dim[i]) || !dim_is_const(a->starts.v[i]) || !dim_is_const(a->sizes.v[i]) || a->sizes.v[i]->k <= 0)
        return true;
    int64_t first = a->starts.v[i]->k, last = first + (a->sizes.v[i]->k - 1) * a->steps.v[i], size = x->dim[i]->k;
    return first >= 0 && first < size && last >= 0 && last < size;
}

bool infer_slice(Module *m, Node *n)
{
    const Attr_slice *a = NODE_ATTR(n, slice);
    if (!infer_operand(m, n, 0, 0))
        return false;
    const Type *x = in_type(n, 0);
    if (a->starts.n != x->rank || a->sizes.n != x->rank || a->steps.n != x->rank)
        return infer_fail(m, n, "starts, sizes and steps have %d, %d and %d entries, the operand has rank %d", a->starts.n, a->sizes.n, a->steps.n,
                          x->rank);
    for (int i = 0; i < x->rank; i++) {
        if (!a->steps.v[i])
            return infer_fail(m, n, "the step of axis %d is zero", i);
        if (!slice_in_range(a, x, i))
            return infer_fail(m, n, "axis %d takes %lld elements from %lld in steps of %lld, its size is %lld", i, (long long)a->sizes.v[i]->k,
                              (long long)a->starts.v[i]->k, (long long)a->steps.v[i], (long long)x->dim[i]->k);
    }
    if (!infer_set(m, n, 0, x->dtype, x->rank, a->sizes.v))
        return false;
    known_move(m, n);
    return true;
}

bool infer_pad(Module *m, Node *n)
{
    static const char *const modes[] = { "constant", "edge", "reflect", "wrap", NULL };
    const Attr_pad *a = NODE_ATTR(n, pad);
    if (!infer_operand(m, n, 0, 0) || !infer_word_among(m, n, "mode", a->mode, modes))
        return false;
    const Type *x = in_type(n, 0);
    if (a->before.n != x->rank || a->after.n != x->rank)
        return infer_fail(m, n, "%d and %d sizes are given, the operand has rank %d", a->before.n, a->after.n, x->rank);
    if (node_in(n, 1) && (!infer_operand(m, n, 1, 0) || !infer_same_dtype(m, n, 0)))
        return false;
    if (node_in(n, 1) && dims_differ(m, type_count_dim(m, in_type(n, 1)), dim_const(m->dims, 1)))
        return infer_fail(m, n, "the value is %s, one element is needed", type_print(m, m->arena, in_type(n, 1)));
    Dim out[MAX_RANK];
    for (int i = 0; i < x->rank; i++) {
        out[i] = dim_add(m->dims, dim_add(m->dims, a->before.v[i], x->dim[i]), a->after.v[i]);
        if (strcmp(a->mode, "constant") && dim_is(x->dim[i], 0) && !dim_is(out[i], 0))
            return infer_fail(m, n, "axis %d is empty, mode \"%s\" has nothing to repeat", i, a->mode);
    }
    if (!infer_set(m, n, 0, x->dtype, x->rank, out))
        return false;
    known_move(m, n);
    return true;
}

static bool concat_agrees(Module *m, Node *n, int i, int axis, Dim *out)
{
    const Type *x = in_type(n, 0), *y = in_type(n, i);
    if (y->rank != x->rank)
        return infer_fail(m, n, "operand 0 has rank %d, operand %d has rank %d", x->rank, i, y->rank);
    for (int k = 0; k < x->rank; k++) {
        if (k == axis) {
            out[k] = dim_add(m->dims, out[k], y->dim[k]);
            continue;
        }
        if (dims_differ(m, out[k], y->dim[k]))
            return infer_fail(m, n, "operand %d is %s and operand 0 is %s; only axis %d may differ", i, type_print(m, m->arena, y),
                              type_print(m, m->arena, x), axis);
        out[k] = dims_unify(out[k], y->dim[k]);
    }
    return true;
}

bool infer_concat(Module *m, Node *n)
{
    int64_t axis = NODE_ATTR(n, concat)->axis;
    for (int i = 0; i < n->nin; i++)
        if (!infer_operand(m, n, i, 1))
            return false;
    if (!infer_same_dtype(m, n, 0) || !infer_axis(m, n, axis, in_type(n, 0)->rank))
        return false;
    Dim out[MAX_RANK];
    infer_copy_dims(out, in_type(n, 0));
    for (int i = 1; i < n->nin; i++)
        if (!concat_agrees(m, n, i, (int)axis, out))
            return false;
    if (!infer_set(m, n, 0, in_type(n, 0)->dtype, in_type(n, 0)->rank, out))
        return false;
    known_move(m, n);
    return true;
}

bool infer_iota(Module *m, Node *n)
{
    const Attr_iota *a = NODE_ATTR(n, iota);
    if (!dtype_is_float(a->dtype) && !dtype_is_int(a->dtype))
        return infer_fail(m, n, "of %s is not supported", dtype_name(a->dtype));
    if (!infer_axis(m, n, a->axis, a->shape.n) || !infer_set(m, n, 0, a->dtype, a->shape.n, a->shape.v))
        return false;
    known_move(m, n);
    return true;
}

/* ---- gather and scatter ---- */

bool infer_gather(Module *m, Node *n)
{
    int64_t axis = NODE_ATTR(n, gather)->axis;
    if (!infer_operand(m, n, 0, 1) || !infer_operand(m, n, 1, 0) || !infer_is_index(m, n, 1) || !infer_axis(m, n, axis, in_type(n, 0)->rank))
        return false;
    const Type *x = in_type(n, 0), *ix = in_type(n, 1);
    Dim out[3 * MAX_RANK];
    int r = 0;
    for (int i = 0; i < axis; i++)
        out[r++] = x->dim[i];
    for (int i = 0; i < ix->rank; i++)
        out[r++] = ix->dim[i];
    for (int i = (int)axis + 1; i < x->rank; i++)
        out[r++] = x->dim[i];
    if (!infer_set(m, n, 0, x->dtype, r, out))
        return false;
    known_move(m, n);
    return true;
}

bool infer_gather_elements(Module *m, Node *n)
{
    if (!infer_operand(m, n, 0, 1) || !infer_operand(m, n, 1, 1) || !infer_is_index(m, n, 1))
        return false;
    const Type *x = in_type(n, 0), *ix = in_type(n, 1);
    if (ix->rank != x->rank)
        return infer_fail(m, n, "indices have rank %d, the data has rank %d", ix->rank, x->rank);
    int64_t axis = NODE_ATTR(n, gather_elements)->axis;
    if (!infer_axis(m, n, axis, x->rank))
        return false;
    for (int i = 0; i < x->rank; i++)
        if (i != axis && dim_is_const(ix->dim[i]) && dim_is_const(x->dim[i]) && ix->dim[i]->k > x->dim[i]->k)
            return infer_fail(m, n, "axis %d of the indices has size %lld, that of the data %lld", i, (long long)ix->dim[i]->k,
                              (long long)x->dim[i]->k);
    return infer_set(m, n, 0, x->dtype, ix->rank, ix->dim);
}

/* How many leading axes of data (after the batch axes) one row of indices addresses, or -1 after reporting. */
static int index_depth(Module *m, const Node *n, int batch)
{
    const Type *x = in_type(n, 0), *ix = in_type(n, 1);
    Dim last = ix->dim[ix->rank - 1];
    if (!dim_is_const(last)) {
        infer_fail(m, n, "the last axis of the indices has size %s, a constant is needed", infer_dim_text(m, last));
        return -1;
    }
    if (last->k < 0 || last->k > x->rank - batch) {
        infer_fail(m, n, "an index has %lld parts, the data has rank %d", (long long)last->k, x->rank - batch);
        return -1;
    }
    return (int)last->k;
}

bool infer_gather_nd(Module *m, Node *n)
{
    int64_t batch = NODE_ATTR(n, gather_nd)->batch_dims;
    if (!infer_operand(m, n, 0, 1) || !infer_operand(m, n, 1, 1) || !infer_is_index(m, n, 1))
        return false;
    const Type *x = in_type(n, 0), *ix = in_type(n, 1);
    if (batch < 0 || batch >= x->rank || batch >= ix->rank)
        return infer_fail(m, n, "batch_dims is %lld, the operands have ranks %d and %d", (long long)batch, x->rank, ix->rank);
    int depth = index_depth(m, n, (int)batch), r = 0;
    if (depth < 0)
        return false;
    Dim out[2 * MAX_RANK];
    for (int i = 0; i < ix->rank - 1; i++) {
        if (i < batch && dims_differ(m, x->dim[i], ix->dim[i]))
            return infer_fail(m, n, "batch axis %d has sizes %s and %s", i, infer_dim_text(m, x->dim[i]), infer_dim_text(m, ix->dim[i]));
        out[r++] = i < batch ? dims_unify(x->dim[i], ix->dim[i]) : ix->dim[i];
    }
    for (int i = (int)batch + depth; i < x->rank; i++)
        out[r++] = x->dim[i];
    return infer_set(m, n, 0, x->dtype, r, out);
}

static bool scatter_operands(Module *m, Node *n, const char *reduction)
{
    static const char *const reductions[] = { "none", "add", "mul", "max", "min", NULL };
    if (!infer_operand(m, n, 0, 1) || !infer_operand(m, n, 1, 1) || !infer_operand(m, n, 2, 0) || !infer_is_index(m, n, 1))
        return false;
    if (in_type(n, 2)->dtype != in_type(n, 0)->dtype)
        return infer_fail(m, n, "the data is %s, the updates are %s", dtype_name(in_type(n, 0)->dtype), dtype_name(in_type(n, 2)->dtype));
    return infer_word_among(m, n, "reduction", reduction, reductions);
}

bool infer_scatter_elements(Module *m, Node *n)
{
    const Attr_scatter_elements *a = NODE_ATTR(n, scatter_elements);
    if (!scatter_operands(m, n, a->reduction))
        return false;
    const Type *x = in_type(n, 0), *ix = in_type(n, 1), *up = in_type(n, 2);
    if (ix->rank != x->rank || up->rank != x->rank)
        return infer_fail(m, n, "data, indices and updates have ranks %d, %d and %d; they must agree", x->rank, ix->rank, up->rank);
    for (int i = 0; i < x->rank; i++)
        if (dims_differ(m, ix->dim[i], up->dim[i]))
            return infer_fail(m, n, "indices are %s, updates are %s; their shapes must agree", type_print(m, m->arena, ix),
                              type_print(m, m->arena, up));
    return infer_axis(m, n, a->axis, x->rank) && infer_set(m, n, 0, x->dtype, x->rank, x->dim);
}

bool infer_scatter_nd(Module *m, Node *n)
{
    if (!scatter_operands(m, n, NODE_ATTR(n, scatter_nd)->reduction))
        return false;
    const Type *x = in_type(n, 0), *ix = in_type(n, 1), *up = in_type(n, 2);
    int depth = index_depth(m, n, 0);
    if (depth < 0)
        return false;
    if (up->rank != ix->rank - 1 + x->rank - depth)
        return infer_fail(m, n, "updates have rank %d, %d is needed", up->rank, ix->rank - 1 + x->rank - depth);
    for (int i = 0; i < up->rank; i++) {
        Dim want = i < ix->rank - 1 ? ix->dim[i] : x->dim[depth + i - (ix->rank - 1)];
        if (dims_differ(m, up->dim[i], want))
            return infer_fail(m, n, "axis %d of the updates has size %s, %s is needed", i, infer_dim_text(m, up->dim[i]), infer_dim_text(m, want));
    }
    return infer_set(m, n, 0, x->dtype, x->rank, x->dim);
}
