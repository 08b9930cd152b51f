/* infer_known.c -- symbolic contents of small tensors, so that Shape -> Gather -> Mul -> Concat -> Reshape chains stay Dims.
 *
 * Value.known lists the elements, in row-major order, of an integer (or bool, as 0 and 1) tensor of static shape with at most
 * MAX_KNOWN elements. It is all or nothing: one element that cannot be expressed makes the whole value unknown.
 */
#include "eval.h"
#include "infer.h"

#include <string.h>

static bool can_be_known(const Type *t)
{
    return t->kind == TY_TENSOR && (t->dtype == DT_i64 || t->dtype == DT_i32 || t->dtype == DT_bool) && type_is_static(t) &&
           type_count(t) <= MAX_KNOWN;
}

void known_set(Module *m, Node *n, int count, const Dim *elements)
{
    if (!can_be_known(&n->out[0].type))
        return;
    DimVec *v = ARENA_NEW(m->arena, DimVec);
    *v = dims_copy(m, count, elements);
    n->out[0].known = v;
}

static bool operands_known(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (!n->in[i].val || !n->in[i].val->known)
            return false;
    return can_be_known(&n->out[0].type);
}

void known_constant(Module *m, Node *n)
{
    const Tensor *t = NODE_ATTR(n, constant)->value;
    Dim e[MAX_KNOWN];
    if (!can_be_known(&n->out[0].type))
        return;
    for (int64_t i = 0; i < t->count; i++)
        e[i] = dim_const(m->dims, tensor_get_i64(t, i));
    known_set(m, n, (int)t->count, e);
}

/* ---- elementwise: one function per op, NULL where the result is no Dim or is not decided ---- */

typedef Dim KnownFn(DimTable *t, Dim x, Dim y, Dim z);

static Dim truth(DimTable *t, bool b) { return dim_const(t, b); }

static Dim known_neg(DimTable *t, Dim x, Dim y, Dim z) { (void)y, (void)z; return dim_mulk(t, x, -1); }
static Dim known_relu(DimTable *t, Dim x, Dim y, Dim z) { (void)y, (void)z; return dim_max(t, x, dim_const(t, 0)); }
static Dim known_add(DimTable *t, Dim x, Dim y, Dim z) { (void)z; return dim_add(t, x, y); }
static Dim known_sub(DimTable *t, Dim x, Dim y, Dim z) { (void)z; return dim_sub(t, x, y); }
static Dim known_mul(DimTable *t, Dim x, Dim y, Dim z) { (void)z; return dim_mul(t, x, y); }
static Dim known_max(DimTable *t, Dim x, Dim y, Dim z) { (void)z; return dim_max(t, x, y); }
static Dim known_min(DimTable *t, Dim x, Dim y, Dim z) { (void)z; return dim_min(t, x, y); }

static Dim known_abs(DimTable *t, Dim x, Dim y, Dim z)
{
    (void)y, (void)z;
    if (dim_nonneg(x))
        return x;
    return dim_nonneg(dim_mulk(t, x, -1)) ? dim_mulk(t, x, -1) : NULL;
}

/* The op truncates, dim_div floors: they agree where neither operand is negative. By a size of zero both give 0. */
static Dim known_div(DimTable *t, Dim x, Dim y, Dim z)
{
    (void)z;
    if (dim_is_const(x) && dim_is_const(y) && y->k && !(y->k == -1 && x->k == INT64_MIN))
        return dim_const(t, x->k / y->k);
    return dim_nonneg(x) && dim_nonneg(y) && !dim_is(y, 0) ? dim_div(t, x, y) : NULL;
}

static Dim known_mod(DimTable *t, Dim x, Dim y, Dim z)
{
    (void)z;
    return dim_is_const(y) && y->k > 0 ? dim_mod(t, x, y) : NULL;
}

static Dim known_fmod(DimTable *t, Dim x, Dim y, Dim z)
{
    return dim_nonneg(x) ? known_mod(t, x, y, z) : NULL;
}

static Dim known_eq(DimTable *t, Dim x, Dim y, Dim z)
{
    (void)z;
    Dim d = dim_sub(t, x, y);
    if (dim_is_const(d))
        return truth(t, d->k == 0);
    bool apart = dim_nonneg(dim_addk(t, d, -1)) || dim_nonneg(dim_addk(t, dim_mulk(t, d, -1), -1));
    return apart ? truth(t, false) : NULL;
}

static Dim known_ne(DimTable *t, Dim x, Dim y, Dim z)
{
    Dim eq = known_eq(t, x, y, z);
    return eq ? truth(t, !eq->k) : NULL;
}

static Dim known_le(DimTable *t, Dim x, Dim y, Dim z)
{
    (void)z;
    Dim d = dim_sub(t, y, x);
    if (dim_nonneg(d))
        return truth(t, true);
    return dim_nonneg(dim_addk(t, dim_mulk(t, d, -1), -1)) ? truth(t, false) : NULL;
}

static Dim known_lt(DimTable *t, Dim x, Dim y, Dim z)
{
    return known_le(t, dim_addk(t, x, 1), y, z);
}

static Dim known_not(DimTable *t, Dim x, Dim y, Dim z) { (void)y, (void)z; return dim_sub(t, dim_const(t, 1), x); }
static Dim known_and(DimTable *t, Dim x, Dim y, Dim z) { (void)z; return dim_mul(t, x, y); }
static Dim known_or(DimTable *t, Dim x, Dim y, Dim z) { (void)z; return dim_max(t, x, y); }

static Dim known_where(DimTable *t, Dim x, Dim y, Dim z)
{
    (void)t;
    if (y == z)
        return y;
    return dim_is_const(x) ? (x->k ? y : z) : NULL;
}

static KnownFn *const known_table[OP_count] = {
    [OP_neg] = known_neg, [OP_abs] = known_abs, [OP_relu] = known_relu, [OP_not] = known_not, [OP_add] = known_add, [OP_sub] = known_sub,
    [OP_mul] = known_mul, [OP_div] = known_div, [OP_mod] = known_mod, [OP_fmod] = known_fmod, [OP_max] = known_max, [OP_min] = known_min,
    [OP_eq] = known_eq, [OP_ne] = known_ne, [OP_lt] = known_lt, [OP_le] = known_le, [OP_and] = known_and, [OP_or] = known_or,
    [OP_where] = known_where,
};

/* Where element i of the (static) result is read in an operand that broadcasts to it. */
static int broadcast_index(const Type *out, const Type *x, int64_t i)
{
    int64_t at = 0, step = 1;
    for (int k = out->rank - 1; k >= 0; k--) {
        int64_t c = i % out->dim[k]->k, xk = k - (out->rank - x->rank);
        i /= out->dim[k]->k;
        if (xk < 0)
            break;
        at += x->dim[xk]->k == 1 ? 0 : c * step;
        step *= x->dim[xk]->k;
    }
    return (int)at;
}

/* A constant that does not survive as i32 would wrap; such a tensor is left unknown. */
static bool fits(DType t, Dim d)
{
    return t != DT_i32 || !dim_is_const(d) || (d->k >= INT32_MIN && d->k <= INT32_MAX);
}

void known_elementwise(Module *m, Node *n)
{
    KnownFn *fn = known_table[n->op];
    Type *out = &n->out[0].type;
    Dim e[MAX_KNOWN], x[3] = { NULL, NULL, NULL };
    if (!fn || !operands_known(n))
        return;
    int64_t count = type_count(out);
    for (int64_t i = 0; i < count; i++) {
        for (int k = 0; k < n->nin; k++)
            x[k] = n->in[k].val->known->v[broadcast_index(out, in_type(n, k), i)];
        e[i] = fn(m->dims, x[0], x[1], x[2]);
        if (!e[i] || !fits(out->dtype, e[i]))
            return;
    }
    known_set(m, n, (int)count, e);
}

void known_cast(Module *m, Node *n)
{
    if (!operands_known(n))
        return;
    const DimVec *x = n->in[0].val->known;
    DType to = n->out[0].type.dtype;
    Dim e[MAX_KNOWN];
    for (int i = 0; i < x->n; i++) {
        e[i] = to == DT_bool ? known_ne(m->dims, x->v[i], dim_const(m->dims, 0), NULL) : x->v[i];
        if (!e[i] || !fits(to, e[i]))
            return;
    }
    known_set(m, n, x->n, e);
}

/* ---- reduction over everything ---- */

void known_reduce(Module *m, Node *n)
{
    const Attr_reduce *a = NODE_ATTR(n, reduce);
    if (!operands_known(n) || type_count(&n->out[0].type) != 1 || !n->in[0].val->known->n)
        return;
    KnownFn *fn = !strcmp(a->kind, "sum") ? known_add : !strcmp(a->kind, "prod") ? known_mul : !strcmp(a->kind, "max") ? known_max : known_min;
    const DimVec *x = n->in[0].val->known;
    Dim r = x->v[0];
    for (int i = 1; i < x->n; i++)
        r = fn(m->dims, r, x->v[i], NULL);
    if (fits(n->out[0].type.dtype, r))
        known_set(m, n, 1, &r);
}

/* ---- movement: the evaluator moves a tensor of Dim pointers as it moves any tensor of 64-bit elements ---- */

static bool attrs_constant(const Node *n)
{
    const OpInfo *op = &op_table[n->op];
    for (int i = 0; i < op->nattr; i++) {
        const DimVec *v = (const DimVec *)((const char *)n->attrs + op->attr[i].offset);
        for (int k = 0; op->attr[i].kind == AK_dims && k < v->n; k++)
            if (!dim_is_const(v->v[k]))
                return false;
    }
    return true;
}

static Tensor *tensor_of_type(Module *m, const Type *t)
{
    int64_t dim[MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        dim[i] = t->dim[i]->k;
    return tensor_new(m->arena, DT_i64, t->rank, dim);
}

/* Pointers to the elements; for the indices of a gather the constant elements themselves. */
static const Tensor *known_tensor(Module *m, const Value *v, bool as_numbers)
{
    Tensor *t = tensor_of_type(m, &v->type);
    int64_t *e = (int64_t *)(uintptr_t)t->data;
    for (int i = 0; i < v->known->n; i++) {
        if (as_numbers && !dim_is_const(v->known->v[i]))
            return NULL;
        e[i] = as_numbers ? v->known->v[i]->k : (int64_t)(intptr_t)v->known->v[i];
    }
    return t;
}

static bool index_in_range(const Node *n)
{
    int64_t size = in_type(n, 0)->dim[NODE_ATTR(n, gather)->axis]->k;
    const DimVec *ix = n->in[1].val->known;
    for (int i = 0; i < ix->n; i++)
        if (dim_is_const(ix->v[i]) && (ix->v[i]->k < -size || ix->v[i]->k >= size))
            return false;
    return true;
}

void known_move(Module *m, Node *n)
{
    const Tensor *in[MAX_KNOWN] = { NULL }, *out = NULL;
    Dim e[MAX_KNOWN];
    if (n->nin > MAX_KNOWN || !operands_known(n) || !attrs_constant(n) || (n->op == OP_gather && !index_in_range(n)))
        return;
    for (int i = 0; i < n->nin; i++)
        if (type_count(in_type(n, i)) > MAX_KNOWN || !(in[i] = known_tensor(m, n->in[i].val, n->op == OP_gather && i == 1)))
            return;
    DType kept = n->out[0].type.dtype;
    n->out[0].type.dtype = DT_i64;                          /* for the moment its elements are pointers */
    bool ok = eval_node(&(EvalEnv){ .arena = m->arena, .m = m }, n, in, &out);
    n->out[0].type.dtype = kept;
    if (!ok)
        return;
    for (int64_t i = 0; i < out->count; i++) {
        int64_t bits = ((const int64_t *)out->data)[i];
        if (n->op == OP_iota)
            e[i] = dim_const(m->dims, bits);
        else
            e[i] = bits ? (Dim)(intptr_t)bits : dim_const(m->dims, 0);      /* 0: what an absent pad value fills in */
    }
    known_set(m, n, (int)out->count, e);
}
