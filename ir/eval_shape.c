/* eval_shape.c -- evaluation of shape and movement ops. All but pad are one strided copy, so that is what this file is about:
 * an index step of 1 along result axis k moves stride[k] elements in the operand.
 */
#include "eval_ops.h"

#include <string.h>

void eval_strides(int rank, const int64_t *dim, int64_t *stride)
{
    int64_t step = 1;
    for (int k = rank - 1; k >= 0; k--) {
        stride[k] = step;
        step *= dim[k];
    }
}

static void copy_row(char *out, const char *data, int64_t n, int64_t stride, size_t size)
{
    if (stride == 1) {
        memcpy(out, data, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(out + (size_t)i * size, data + i * stride * (int64_t)size, size);
}

static char *copy_axis(char *out, const char *data, int rank, const int64_t *dim, const int64_t *stride, size_t size)
{
    if (rank == 1) {
        copy_row(out, data, dim[0], stride[0], size);
        return out + (size_t)dim[0] * size;
    }
    for (int64_t i = 0; i < dim[0]; i++)
        out = copy_axis(out, data + i * stride[0] * (int64_t)size, rank - 1, dim + 1, stride + 1, size);
    return out;
}

void eval_copy_strided(void *out, const void *data, int rank, const int64_t *dim, const int64_t *stride, size_t size)
{
    for (int k = 0; k < rank; k++)
        if (!dim[k])
            return;
    if (!rank)
        memcpy(out, data, size);
    else
        copy_axis(out, data, rank, dim, stride, size);
}

static bool move_strided(EvalEnv *e, const Node *n, const Tensor *x, int64_t first, const int64_t *stride, const Tensor **out)
{
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    size_t size = (size_t)dtype_bytes(r->dtype);
    eval_copy_strided(eval_data(r), (const char *)x->data + first * (int64_t)size, r->rank, r->dim, stride, size);
    out[0] = r;
    return true;
}

/* ---- shapes as data ---- */

bool eval_from_dims(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    (void)in;
    const DimVec *d = &NODE_ATTR(n, from_dims)->dims;
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    for (int i = 0; i < d->n; i++)
        ((int64_t *)eval_data(r))[i] = dim_eval(d->v[i], e->syms);
    out[0] = r;
    return true;
}

bool eval_bind(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    (void)out;
    const DimVec *s = &NODE_ATTR(n, bind)->syms;
    if (in[0]->count != s->n)
        return eval_fail(e, n, "%lld sizes are given, %d are needed", (long long)in[0]->count, s->n);
    for (int i = 0; i < s->n; i++) {
        int64_t k = tensor_get_i64(in[0], i);
        if (k < 0 && !s->v[i]->any_sign)
            return eval_fail(e, n, "a size is %lld, which is negative", (long long)k);
        e->syms[s->v[i]->k] = k;
    }
    return true;
}

bool eval_check(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    (void)in, (void)out;
    const Attr_check *a = NODE_ATTR(n, check);
    for (int i = 0; i < a->left.n; i++) {
        int64_t l = dim_eval(a->left.v[i], e->syms), r = dim_eval(a->right.v[i], e->syms);
        if (l != r && !(a->or_one && l == 1))
            return diag_error(e->m->diag, n->loc, "%s (%lld against %lld)", a->message ? a->message : "two sizes must agree", (long long)l,
                              (long long)r);
    }
    return true;
}

/* ---- movement ---- */

bool eval_reshape(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Type *t = &n->out[0].type;
    int64_t *dim = ARENA_ARRAY(e->arena, int64_t, t->rank + 1), count = 1;
    for (int k = 0; k < t->rank; k++) {
        dim[k] = dim_eval(t->dim[k], e->syms);
        if (dim[k] < 0 || __builtin_mul_overflow(count, dim[k], &count))
            return eval_fail(e, n, "axis %d of the result would have size %lld", k, (long long)dim[k]);
    }
    if (count != in[0]->count)
        return eval_fail(e, n, "%lld elements do not fill a shape of %lld", (long long)in[0]->count, (long long)count);
    Tensor *r = ARENA_NEW(e->arena, Tensor);
    *r = (Tensor){ in[0]->dtype, t->rank, dim, count, in[0]->data, false };
    out[0] = r;
    return true;
}

bool eval_transpose(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    int64_t own[MAX_RANK], stride[MAX_RANK];
    eval_strides(in[0]->rank, in[0]->dim, own);
    for (int k = 0; k < in[0]->rank; k++)
        stride[k] = own[NODE_ATTR(n, transpose)->perm.v[k]];
    return move_strided(e, n, in[0], 0, stride, out);
}

bool eval_expand(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Type *t = &n->out[0].type;
    int64_t own[MAX_RANK], stride[MAX_RANK];
    eval_strides(in[0]->rank, in[0]->dim, own);
    for (int k = 0; k < t->rank; k++) {
        int xk = k - (t->rank - in[0]->rank);
        int64_t size = dim_eval(t->dim[k], e->syms);
        stride[k] = xk < 0 || in[0]->dim[xk] == 1 ? 0 : own[xk];
        if (xk >= 0 && in[0]->dim[xk] != 1 && in[0]->dim[xk] != size)
            return eval_fail(e, n, "axis %d of size %lld does not broadcast to %lld", xk, (long long)in[0]->dim[xk], (long long)size);
    }
    return move_strided(e, n, in[0], 0, stride, out);
}

bool eval_slice(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_slice *a = NODE_ATTR(n, slice);
    int64_t stride[MAX_RANK], first = 0;
    eval_strides(in[0]->rank, in[0]->dim, stride);
    for (int k = 0; k < in[0]->rank; k++) {
        int64_t from = dim_eval(a->starts.v[k], e->syms), size = dim_eval(a->sizes.v[k], e->syms);
        int64_t last = from + (size - 1) * a->steps.v[k];
        if (size > 0 && (from < 0 || from >= in[0]->dim[k] || last < 0 || last >= in[0]->dim[k]))
            return eval_fail(e, n, "axis %d takes elements %lld to %lld of %lld", k, (long long)from, (long long)last, (long long)in[0]->dim[k]);
        first += from * stride[k];
        stride[k] *= a->steps.v[k];
    }
    return move_strided(e, n, in[0], first, stride, out);
}

bool eval_concat(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    int axis = (int)NODE_ATTR(n, concat)->axis;
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    size_t row = (size_t)dtype_bytes(r->dtype), outer = 1, at = 0;
    for (int k = 0; k < r->rank; k++) {
        outer *= k < axis ? (size_t)r->dim[k] : 1;
        row *= k > axis ? (size_t)r->dim[k] : 1;
    }
    for (int i = 0; i < n->nin; i++) {
        size_t block = row * (size_t)in[i]->dim[axis];
        if ((size_t)in[i]->count * (size_t)dtype_bytes(r->dtype) != outer * block || at + block > row * (size_t)r->dim[axis])
            return eval_fail(e, n, "operand %d does not fit: only axis %d may differ", i, axis);
        for (size_t o = 0; block && o < outer; o++)
            memcpy((char *)eval_data(r) + o * row * (size_t)r->dim[axis] + at, (const char *)in[i]->data + o * block, block);
        at += block;
    }
    out[0] = r;
    return true;
}

bool eval_iota(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    (void)in;
    int axis = (int)NODE_ATTR(n, iota)->axis;
    int64_t stride[MAX_RANK] = { 0 }, size = dim_eval(n->out[0].type.dim[axis], e->syms);
    if (size < 0)
        return eval_fail(e, n, "the axis would have size %lld", (long long)size);
    Tensor *line = tensor_new(e->scratch, n->out[0].type.dtype, 1, &size);
    for (int64_t i = 0; i < size; i++)
        tensor_set_f64(line, i, (double)i);
    stride[axis] = 1;
    return move_strided(e, n, line, 0, stride, out);
}

/* ---- pad: per axis, where each result element comes from; -1 is the fill value ---- */

static int64_t floor_mod(int64_t a, int64_t b)
{
    int64_t r = a % b;
    return r < 0 ? r + b : r;
}

static int64_t pad_source(const char *mode, int64_t i, int64_t size)
{
    if (i >= 0 && i < size)
        return i;
    if (!strcmp(mode, "constant") || !size)
        return -1;
    if (!strcmp(mode, "edge"))
        return i < 0 ? 0 : size - 1;
    if (!strcmp(mode, "wrap"))
        return floor_mod(i, size);
    if (size == 1)
        return 0;
    int64_t r = floor_mod(i, 2 * (size - 1));              /* reflect: 0 1 2 1 0 1 ... */
    return r < size ? r : 2 * (size - 1) - r;
}

typedef struct PadWalk {
    const Tensor *x;
    const Tensor *r;
    int64_t *from[MAX_RANK], stride[MAX_RANK];
    const char *fill;
    size_t size;
} PadWalk;

/* base < 0: this part of the result is fill all through. */
static char *pad_axis(const PadWalk *w, int k, int64_t base, char *out)
{
    if (k == w->r->rank) {
        memcpy(out, base < 0 ? w->fill : (const char *)w->x->data + (size_t)base * w->size, w->size);
        return out + w->size;
    }
    for (int64_t i = 0; i < w->r->dim[k]; i++) {
        int64_t s = w->from[k][i];
        out = pad_axis(w, k + 1, base < 0 || s < 0 ? -1 : base + s * w->stride[k], out);
    }
    return out;
}

bool eval_pad(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    static const char zero[16] = { 0 };
    const Attr_pad *a = NODE_ATTR(n, pad);
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    PadWalk w = { .x = in[0], .r = r, .fill = n->nin > 1 && in[1] ? in[1]->data : zero, .size = (size_t)dtype_bytes(r->dtype) };
    eval_strides(in[0]->rank, in[0]->dim, w.stride);
    for (int k = 0; k < r->rank; k++) {
        int64_t before = dim_eval(a->before.v[k], e->syms);
        w.from[k] = ARENA_ARRAY(e->scratch, int64_t, r->dim[k] + 1);
        for (int64_t i = 0; i < r->dim[k]; i++)
            w.from[k][i] = pad_source(a->mode, i - before, in[0]->dim[k]);
    }
    if (r->count)
        pad_axis(&w, 0, 0, eval_data(r));
    out[0] = r;
    return true;
}
