/* import_matmul.c -- matrix products: MatMul, Gemm, FusedMatMul, Einsum; Det.
 *
 * Einsum reduces to transposes, reshapes, products and sums: operands are combined two at a time, from the left. A label is a letter or one
 * axis of the ellipsis; a Term is a value with one label per axis.
 */
#include <ctype.h>
#include <string.h>

#include "import_parts.h"

/* ---- MatMul, Gemm ---- */

/* A vector is a row on the left and a column on the right; the axis it gained leaves the result again. */
static Value *matmul(Builder *b, Value *x, Value *y)
{
    if (!x || !y)
        return NULL;
    bool row = value_rank(x) == 1, column = value_rank(y) == 1;
    x = row ? mk_insert_axes(b, x, 0, 1) : x;
    y = column ? mk_insert_axes(b, y, 1, 1) : y;
    Value *z = mk_matmul(b, IN(x, y), (Attr_matmul){ 0 });
    if (z && column)
        z = mk_drop_axes(b, z, 1, (int64_t[]){ value_rank(z) - 1 });
    if (z && row)
        z = mk_drop_axes(b, z, 1, (int64_t[]){ value_rank(z) - (column ? 1 : 2) });
    return z;
}

bool import_matmul(Importer *c)
{
    OUT(c, matmul(&c->b, in(c, 0), in(c, 1)));
}

/* alpha * A' * B' + beta * C */
bool import_gemm(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *y = in(c, 1), *z = in(c, 2);
    if (!x || !y)
        return false;
    if (value_rank(x) != 2 || value_rank(y) != 2)
        return import_fail(c, "the operands have ranks %d and %d, matrices are needed", value_rank(x), value_rank(y));
    x = attr_i(c, "transA", 0) ? mk_swap_last(b, x) : x;
    y = attr_i(c, "transB", 0) ? mk_swap_last(b, y) : y;
    Value *product = mk_scaled(b, matmul(b, x, y), attr_f(c, "alpha", 1));
    double beta = attr_f(c, "beta", 1);
    OUT(c, z && beta != 0 ? mk_add(b, product, mk_scaled(b, z, beta)) : product);
}

/* An operand of FusedMatMul: `batch` moves the first axis before the last, then `last` exchanges the last two. */
static Value *turned(Builder *b, Value *x, bool batch, bool last)
{
    int64_t perm[MAX_RANK];
    int rank = x ? value_rank(x) : 0;
    if (rank < 2)
        return x;
    for (int i = 0; i < rank; i++)
        perm[i] = !batch || i == rank - 1 ? i : i == rank - 2 ? 0 : i + 1;
    x = mk_transpose_perm(b, x, perm);
    return last ? mk_swap_last(b, x) : x;
}

/* com.microsoft: alpha * A' * B' with batch dims. */
bool import_fused_matmul(Importer *c)
{
    Builder *b = &c->b;
    Value *x = turned(b, in(c, 0), attr_i(c, "transBatchA", 0), attr_i(c, "transA", 0));
    Value *y = turned(b, in(c, 1), attr_i(c, "transBatchB", 0), attr_i(c, "transB", 0));
    OUT(c, mk_scaled(b, matmul(b, x, y), attr_f(c, "alpha", 1)));
}

/* ---- Einsum ---- */

enum { ELLIPSIS = 128 };            /* label of the ellipsis' last axis; ELLIPSIS + k is the k-th from the end */

typedef struct Labels { int n; unsigned char v[2 * MAX_RANK]; } Labels;
typedef struct Term { Value *val; Labels label; } Term;

static int label_find(const Labels *l, unsigned char c)
{
    for (int i = 0; i < l->n; i++)
        if (l->v[i] == c)
            return i;
    return -1;
}

static void label_remove(Labels *l, int at)
{
    l->n--;
    memmove(l->v + at, l->v + at + 1, (size_t)(l->n - at));
}

/* One term of the equation up to `,`, `-` or the end. `dots`: how many axes an ellipsis stands for. */
static bool labels_parse(Importer *c, const char **s, int dots, Labels *out)
{
    out->n = 0;
    for (; **s && **s != ',' && **s != '-'; (*s)++) {
        if (**s == ' ')
            continue;
        bool ellipsis = !strncmp(*s, "...", 3);
        if ((!ellipsis && !isalpha((unsigned char)**s)) || out->n + (ellipsis ? dots : 1) > MAX_RANK)
            return import_fail(c, "the equation has an unexpected '%c' or too many labels", **s);
        if (!ellipsis)
            out->v[out->n++] = (unsigned char)**s;
        for (int k = 0; ellipsis && k < dots; k++)
            out->v[out->n++] = (unsigned char)(ELLIPSIS + dots - 1 - k);
        *s += ellipsis ? 2 : 0;
    }
    return true;
}

static int letters_in(const char *s)
{
    int n = 0;
    for (; *s && *s != ',' && *s != '-'; s++)
        n += isalpha((unsigned char)*s) != 0;
    return n;
}

/* Without `->`: the ellipsis, then in alphabetical order the letters that occur once. */
static bool labels_implicit(Importer *c, const Term *term, int nterm, int dots, Labels *out)
{
    int count[256] = { 0 };
    for (int i = 0; i < nterm; i++)
        for (int k = 0; k < term[i].label.n; k++)
            count[term[i].label.v[k]]++;
    out->n = 0;
    for (int k = dots - 1; k >= 0; k--)
        out->v[out->n++] = (unsigned char)(ELLIPSIS + k);
    for (int l = 0; l < ELLIPSIS; l++)
        if (count[l] == 1 && out->n++ < MAX_RANK)
            out->v[out->n - 1] = (unsigned char)l;
    return out->n <= MAX_RANK || import_unsupported(c, "a result of %d axes", out->n);
}

static bool equation_parse(Importer *c, Term *term, int nterm, Labels *out)
{
    const char *s = attr_s(c, "equation", ""), *start = s;
    int dots = 0;
    for (int i = 0; i < nterm; i++) {
        term[i].val = in(c, i);
        if (!term[i].val)
            return false;
        int extra = value_rank(term[i].val) - letters_in(s);
        if (!labels_parse(c, &s, extra > 0 ? extra : 0, &term[i].label))
            return false;
        if (term[i].label.n != value_rank(term[i].val))
            return import_fail(c, "operand %d has rank %d, the equation '%s' gives it %d labels", i, value_rank(term[i].val), start, term[i].label.n);
        dots = extra > dots ? extra : dots;
        if (*s == ',')
            s++;
        else if (i + 1 < nterm)
            return import_fail(c, "the equation '%s' has fewer terms than there are operands", start);
    }
    if (!*s)
        return labels_implicit(c, term, nterm, dots, out);
    if (strncmp(s, "->", 2))
        return import_fail(c, "the equation '%s' has more terms than there are operands", start);
    s += 2;
    return labels_parse(c, &s, dots, out) && (!*s || import_fail(c, "the equation '%s' goes on after its result", start));
}

/* A label twice in one term selects the diagonal: everything beside it becomes 0, and one of the axes is summed away. */
static void term_diagonals(Builder *b, Term *t)
{
    for (int j = 1; j < t->label.n && t->val; j++) {
        int i = label_find(&t->label, t->label.v[j]), rank = value_rank(t->val);
        if (i == j)
            continue;
        Value *row = mk_align_channel(b, mk_iota_n(b, DT_i64, value_dim(t->val, i)), rank, i);
        Value *column = mk_align_channel(b, mk_iota_n(b, DT_i64, value_dim(t->val, j)), rank, j);
        Value *kept = mk_where(b, mk_eq(b, row, column), t->val, mk_k(b, t->val, 0));
        int64_t axis = j;
        t->val = mk_drop_axes(b, mk_reduce_axes(b, "sum", kept, 1, &axis), 1, &axis);
        label_remove(&t->label, j--);
    }
}

static bool wanted_later(const Term *rest, int nrest, const Labels *out, unsigned char l)
{
    for (int i = 0; i < nrest; i++)
        if (label_find(&rest[i].label, l) >= 0)
            return true;
    return label_find(out, l) >= 0;
}

/* Sums away the labels that nothing else mentions. */
static void term_reduce(Builder *b, Term *t, const Term *other, const Term *rest, int nrest, const Labels *out)
{
    for (int i = t->label.n - 1; i >= 0; i--) {
        unsigned char l = t->label.v[i];
        if ((other && label_find(&other->label, l) >= 0) || wanted_later(rest, nrest, out, l))
            continue;
        int64_t axis = i;
        t->val = mk_drop_axes(b, mk_reduce_axes(b, "sum", t->val, 1, &axis), 1, &axis);
        label_remove(&t->label, i);
    }
}

/* The axes of t in the order of `to`; labels it lacks become axes of size 1. */
static Value *term_arrange(Builder *b, const Term *t, const Labels *to)
{
    int64_t perm[MAX_RANK];
    int n = 0;
    for (int i = 0; i < to->n; i++)
        if (label_find(&t->label, to->v[i]) >= 0)
            perm[n++] = label_find(&t->label, to->v[i]);
    Value *v = t->val ? mk_transpose_perm(b, t->val, perm) : NULL;
    for (int i = 0; i < to->n; i++)
        if (label_find(&t->label, to->v[i]) < 0)
            v = mk_insert_axes(b, v, i, 1);
    return v;
}

static void labels_append(Labels *l, const Labels *more)
{
    for (int i = 0; i < more->n; i++)
        l->v[l->n++] = more->v[i];
}

/* The labels of two terms by role: in both and kept; in both and summed; in one only. */
typedef struct Roles { Labels batch, sum, left, right; } Roles;

static Roles roles_of(const Term *x, const Term *y, const Term *rest, int nrest, const Labels *out)
{
    Roles r = { .batch.n = 0 };
    for (int i = 0; i < x->label.n; i++) {
        unsigned char l = x->label.v[i];
        bool shared = label_find(&y->label, l) >= 0;
        Labels *to = !shared ? &r.left : wanted_later(rest, nrest, out, l) ? &r.batch : &r.sum;
        to->v[to->n++] = l;
    }
    for (int i = 0; i < y->label.n; i++)
        if (label_find(&x->label, y->label.v[i]) < 0)
            r.right.v[r.right.n++] = y->label.v[i];
    return r;
}

static bool matmul_takes(DType t)
{
    return t == DT_f32 || t == DT_f64 || t == DT_f16 || t == DT_bf16 || t == DT_i32 || t == DT_i64 || t == DT_u32 || t == DT_u64;
}

/* [batch..., rows..., columns...] with rows and columns flattened to one axis each. */
static Value *term_matrix(Builder *b, const Term *t, const Labels *batch, const Labels *rows, const Labels *columns)
{
    Labels order = *batch;
    Dim d[MAX_RANK];
    labels_append(&order, rows);
    labels_append(&order, columns);
    Value *v = term_arrange(b, t, &order);
    if (!v)
        return NULL;
    for (int i = 0; i < batch->n; i++)
        d[i] = value_dim(v, i);
    d[batch->n] = dim_product(b, v, batch->n, batch->n + rows->n);
    d[batch->n + 1] = dim_product(b, v, batch->n + rows->n, order.n);
    return mk_reshape_to(b, v, batch->n + 2, d);
}

static Term combine_matmul(Builder *b, const Term *x, const Term *y, const Roles *r)
{
    Term z = { NULL, r->batch };
    Dim d[MAX_RANK];
    Value *rows = term_matrix(b, x, &r->batch, &r->left, &r->sum), *columns = term_matrix(b, y, &r->batch, &r->sum, &r->right);
    Value *v = mk_matmul(b, IN(rows, columns), (Attr_matmul){ 0 });
    labels_append(&z.label, &r->left);
    labels_append(&z.label, &r->right);
    if (!v || z.label.n > MAX_RANK)
        return z;
    for (int i = 0; i < z.label.n; i++)
        d[i] = i < r->batch.n ? value_dim(v, i)
             : i < r->batch.n + r->left.n ? value_dim(x->val, label_find(&x->label, z.label.v[i]))
             : value_dim(y->val, label_find(&y->label, z.label.v[i]));
    z.val = mk_reshape_to(b, v, z.label.n, d);
    return z;
}

static Term combine_product(Builder *b, const Term *x, const Term *y, const Roles *r)
{
    Term z = { NULL, r->batch };
    labels_append(&z.label, &r->left);
    labels_append(&z.label, &r->right);
    labels_append(&z.label, &r->sum);
    if (z.label.n <= MAX_RANK)
        z.val = mk_mul(b, term_arrange(b, x, &z.label), term_arrange(b, y, &z.label));
    return z;
}

bool import_einsum(Importer *c)
{
    Builder *b = &c->b;
    int n = in_count(c);
    Term *term = ARENA_ARRAY(c->m->arena, Term, n + 1);
    Labels out;
    if (n < 1 || !equation_parse(c, term, n, &out))
        return false;
    for (int i = 0; i < n; i++)
        term_diagonals(b, &term[i]);
    Term acc = term[0];
    for (int i = 1; i < n && acc.val; i++) {
        const Term *rest = term + i + 1;
        int nrest = n - i - 1;
        term_reduce(b, &acc, &term[i], rest, nrest, &out);
        term_reduce(b, &term[i], &acc, rest, nrest, &out);
        Roles r = roles_of(&acc, &term[i], rest, nrest, &out);
        bool as_matmul = r.sum.n && acc.val && matmul_takes(acc.val->type.dtype);
        if (r.batch.n + r.sum.n + r.left.n + r.right.n > MAX_RANK)
            return import_unsupported(c, "an intermediate result of more than %d axes", MAX_RANK);
        acc = as_matmul ? combine_matmul(b, &acc, &term[i], &r) : combine_product(b, &acc, &term[i], &r);
    }
    term_reduce(b, &acc, NULL, NULL, 0, &out);
    for (int i = 0; i < out.n; i++)
        if (label_find(&acc.label, out.v[i]) < 0)
            return import_fail(c, "the result names a label that no operand has");
    OUT(c, term_arrange(b, &acc, &out));
}

/* ---- Det: elimination with partial pivoting, unrolled over the (constant) size ---- */

enum { MAX_DET = 64 };

/* Swaps row k of a[batch, n, n] with the row of the largest |a[i, k]|, i >= k; *sign turns where that is another row. */
static Value *pivot(Builder *b, Value *a, int k, int64_t n, Value **sign)
{
    Value *below = mk_range_slice(b, mk_range_slice(b, a, 2, k, 1), 1, k, n - k);
    Value *at = mk_arg_reduce(b, IN(mk_abs(b, below)), (Attr_arg_reduce){ .kind = "max", .axis = 1 });
    at = mk_shifted(b, at, k);                                              /* [batch, 1, 1] */
    Value *row = mk_align_channel(b, mk_iota_n(b, DT_i64, dim_const(b->m->dims, n)), 3, 1);
    Value *is_pivot = mk_eq(b, row, at), *top = mk_range_slice(b, a, 1, k, 1);
    Value *chosen = mk_reduce_axes(b, "sum", mk_where(b, is_pivot, a, mk_k(b, a, 0)), 1, (int64_t[]){ 1 });
    Value *swapped = mk_where(b, is_pivot, top, a);
    *sign = mk_where(b, mk_eq(b, at, mk_k(b, at, k)), *sign, mk_neg(b, *sign));
    return mk_where(b, mk_eq(b, row, mk_k(b, row, k)), chosen, swapped);
}

/* Rows below k lose their multiple of row k. A zero pivot means a zero column, and nothing to do. */
static Value *eliminate(Builder *b, Value *a, int k, int64_t n)
{
    Value *top = mk_range_slice(b, a, 1, k, 1), *p = mk_range_slice(b, top, 2, k, 1);
    Value *row = mk_align_channel(b, mk_iota_n(b, DT_i64, dim_const(b->m->dims, n)), 3, 1);
    Value *safe = mk_where(b, mk_eq(b, p, mk_k(b, p, 0)), mk_k(b, p, 1), p);
    Value *factor = mk_div(b, mk_range_slice(b, a, 2, k, 1), safe);
    Value *below = mk_lt(b, mk_k(b, row, k), row);
    return mk_where(b, below, mk_sub(b, a, mk_mul(b, factor, top)), a);
}

bool import_det(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    int rank = x ? value_rank(x) : 0;
    if (!x)
        return false;
    if (rank < 2 || !dim_is_const(value_dim(x, rank - 1)) || value_dim(x, rank - 1) != value_dim(x, rank - 2) || value_dim(x, rank - 1)->k > MAX_DET)
        return import_unsupported(c, "a matrix that is not square, or not of a constant size up to %d", MAX_DET);
    int64_t n = value_dim(x, rank - 1)->k;
    Dim batch = dim_product(b, x, 0, rank - 2), size = dim_const(c->m->dims, n);
    Value *a = mk_reshape_to(b, x, 3, (Dim[]){ batch, size, size });
    Value *det = mk_full(b, x->type.dtype, 3, (Dim[]){ batch, dim_one(b), dim_one(b) }, 1);
    for (int k = 0; k < n; k++) {
        a = pivot(b, a, k, n, &det);
        det = mk_mul(b, det, mk_range_slice(b, mk_range_slice(b, a, 1, k, 1), 2, k, 1));
        a = k + 1 < n ? eliminate(b, a, k, n) : a;
    }
    OUT(c, mk_reshape_to(b, det, rank - 2, x->type.dim));
}
