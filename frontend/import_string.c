/* import_string.c -- operators on text. Most reduce to finding strings in a list (str_find), which leaves numbers. */
#include "import_string.h"

#include <string.h>

Value *mk_texts(Builder *b, int n, const char *const *v)
{
    Tensor *t = tensor_new(b->m->arena, DT_str, 1, (int64_t[]){ n });
    for (int i = 0; i < n; i++)
        ((StrElement *)(uintptr_t)t->data)[i] = (StrElement){ v[i], (int64_t)strlen(v[i]) };
    return mk_tensor(b, t);
}

Value *mk_text(Builder *b, const char *s)
{
    return mk_reshape_ints(b, mk_texts(b, 1, &s), 0, NULL);
}

Value *mk_find(Builder *b, Value *x, Value *keys)
{
    return mk_str_find(b, IN(x, keys), (Attr_str_find){ 0 });
}

/* Both operands in the shape that they broadcast to. */
static bool broadcast(Importer *c, Value **x, Value **y)
{
    Dim dim[MAX_RANK];
    if (!*x || !*y)
        return false;
    int rank = dims_broadcast(c->m, c->b.loc, (const Type *[]){ &(*x)->type, &(*y)->type }, 2, dim);
    if (rank < 0)
        return false;
    *x = mk_expand_to(&c->b, *x, rank, dim);
    *y = mk_expand_to(&c->b, *y, rank, dim);
    return *x && *y;
}

bool import_equal(Importer *c)
{
    Value *x = in(c, 0), *y = in(c, 1);
    if (!x || !y || x->type.dtype != DT_str)
        return import_ew_eq(c);
    OUT(c, broadcast(c, &x, &y) ? mk_str_eq(&c->b, IN(x, y), (Attr_str_eq){ 0 }) : NULL);
}

/* Strings are chosen by their number among those of both operands. */
static Value *chosen(Importer *c, Value *condition, Value *x, Value *y)
{
    Builder *b = &c->b;
    Dim dim[MAX_RANK];
    int rank = dims_broadcast(c->m, c->b.loc, (const Type *[]){ &condition->type, &x->type, &y->type }, 3, dim);
    if (rank < 0)
        return NULL;
    x = mk_expand_to(b, x, rank, dim), y = mk_expand_to(b, y, rank, dim), condition = mk_expand_to(b, condition, rank, dim);
    if (!x || !y || !condition)
        return NULL;
    Dim n = type_count_dim(c->m, &x->type);
    Value *both = mk_concat2(b, mk_reshape_to(b, x, 1, &n), mk_reshape_to(b, y, 1, &n), 0);
    Value *own = mk_reshape_to(b, mk_iota_n(b, DT_i64, n), rank, dim), *other = mk_add(b, own, mk_dim_scalar(b, n, DT_i64));
    return mk_gather(b, IN(both, mk_where(b, condition, own, other)), (Attr_gather){ .axis = 0 });
}

bool import_where(Importer *c)
{
    Value *condition = in(c, 0), *x = in(c, 1), *y = in(c, 2);
    if (!condition || !x || !y || x->type.dtype != DT_str || y->type.dtype != DT_str)
        return import_ew_where(c);
    OUT(c, chosen(c, condition, x, y));
}

bool import_string_concat(Importer *c)
{
    Value *x = in(c, 0), *y = in(c, 1);
    OUT(c, broadcast(c, &x, &y) ? mk_str_concat(&c->b, IN(x, y), (Attr_str_concat){ 0 }) : NULL);
}

/* The widest row decides how many pieces there are places for; shorter rows end in empty strings. */
bool import_string_split(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *delimiter = mk_text(b, attr_s(c, "delimiter", ""));
    if (!x)
        return false;
    int64_t most = attr_i(c, "maxsplit", -1), axes[MAX_RANK];
    Value *pieces = mk_str_pieces(b, IN(x, delimiter), (Attr_str_pieces){ .maxsplit = most });
    Value *widest = mk_reduce_axes(b, "max", pieces, axes_from(0, value_rank(x), axes), axes);
    widest = widest ? mk_max(b, mk_reshape_to(b, widest, 0, NULL), mk_scalar(b, DT_i64, 0)) : NULL;
    Dim width = dim_fresh(c->m->dims, "u", NULL);
    if (!widest || !build_node(b, OP_bind, IN(widest), &(Attr_bind){ .syms = dims_copy(c->m, 1, &width) }, 0))
        return false;
    Value *y = mk_str_split(b, IN(x, delimiter), (Attr_str_split){ .maxsplit = most, .width = dims_copy(c->m, 1, &width) });
    return set_out(c, 0, y) && (!out_wanted(c, 1) || set_out(c, 1, pieces));
}

/* Stop words go; then letters change their case. [C] or [1, C]. */
bool import_string_normalizer(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    StrVec stop = attr_strs(c, "stopwords");
    const char *action = attr_s(c, "case_change_action", "NONE");
    if (!x)
        return false;
    bool row = value_rank(x) == 2;
    if (value_rank(x) < 1 || value_rank(x) > 2 || (row && !dim_is(value_dim(x, 0), 1)))
        return import_unsupported(c, "an input that is not one row of strings");
    x = row ? mk_drop_axes(b, x, 1, (int64_t[]){ 0 }) : x;
    if (stop.n) {
        bool fold = !attr_i(c, "is_case_sensitive", 0);
        Value *words = mk_texts(b, stop.n, stop.v), *seen = x;
        if (fold) {
            words = mk_str_case(b, IN(words), (Attr_str_case){ .upper = false });
            seen = mk_str_case(b, IN(x), (Attr_str_case){ .upper = false });
        }
        Dim count = dim_fresh(c->m->dims, "n", dim_max(c->m->dims, value_dim(x, 0), dim_const(c->m->dims, 1)));
        x = mk_str_drop(b, IN(x, mk_find(b, seen, words)), (Attr_str_drop){ .count = dims_copy(c->m, 1, &count) });
    }
    if (strcmp(action, "NONE"))
        x = mk_str_case(b, IN(x), (Attr_str_case){ .upper = !strcmp(action, "UPPER") });
    OUT(c, row ? mk_insert_axes(b, x, 0, 1) : x);
}
