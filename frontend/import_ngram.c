/* import_ngram.c -- TfIdfVectorizer over integers and strings: how often each n-gram of a pool occurs, with up to max_skip_count elements between neighbours.
 *
 * Per length n and skip s a window of n slices of x, each s+1 apart, is compared with all n-grams of that length at once and the matches summed.
 */
#include <string.h>

#include "import_string.h"

typedef struct Pool {
    IntVec grams, starts, columns;  /* elements of all n-grams; where length 1, 2... begins among them; column of each n-gram */
} Pool;

/* The k-th element of the n-grams of length n, as [count, 1]. */
static Value *gram_elements(Builder *b, const int64_t *gram, int count, int n, int k, DType t)
{
    int64_t *v = ARENA_ARRAY(b->m->arena, int64_t, count + 1);
    for (int i = 0; i < count; i++)
        v[i] = gram[i * n + k];
    return mk_insert_axes(b, mk_cast_to(b, mk_ints(b, count, v), t), 1, 1);
}

/* x [N, C] -> f32[N, count]: occurrences of n-grams of length n with s elements between neighbours. */
static Value *count_windows(Builder *b, Value *x, const int64_t *gram, int count, int n, int64_t s)
{
    int64_t places = value_dim(x, 1)->k - (n - 1) * (s + 1), axis = 2;
    Value *all = NULL;
    for (int k = 0; k < n; k++) {
        Value *at = mk_insert_axes(b, mk_range_slice(b, x, 1, k * (s + 1), places), 1, 1);       /* [N, 1, places] */
        Value *same = mk_eq(b, at, gram_elements(b, gram, count, n, k, x->type.dtype));
        all = all ? mk_and(b, all, same) : same;
    }
    return mk_drop_axes(b, mk_reduce_axes(b, "sum", mk_cast_to(b, all, DT_f32), 1, &axis), 1, &axis);
}

static Value *count_length(Importer *c, Value *x, const int64_t *gram, int count, int n)
{
    int64_t skips = n == 1 ? 0 : attr_i(c, "max_skip_count", 0), size = value_dim(x, 1)->k;
    Value *sum = mk_full(&c->b, DT_f32, 2, (Dim[]){ value_dim(x, 0), dim_const(c->m->dims, count) }, 0);
    for (int64_t s = 0; s <= skips && (n - 1) * (s + 1) < size; s++)
        sum = mk_add(&c->b, sum, count_windows(&c->b, x, gram, count, n, s));
    return sum;
}

/* Counts of all n-grams in pool order, [N, number of n-grams]; lengths outside min..max count as absent. */
static Value *count_all(Importer *c, Value *x, const Pool *p)
{
    Builder *b = &c->b;
    Value **part = ARENA_ARRAY(c->m->arena, Value *, p->starts.n + 1);
    int nparts = 0;
    for (int i = 0; i < p->starts.n; i++) {
        int64_t from = p->starts.v[i], to = i + 1 < p->starts.n ? p->starts.v[i + 1] : p->grams.n;
        if (from < 0 || to > p->grams.n || to < from || (to - from) % (i + 1)) {
            import_fail(c, "ngram_counts does not divide the pool into n-grams");
            return NULL;
        }
        int count = (int)((to - from) / (i + 1));
        bool wanted = i + 1 >= attr_i(c, "min_gram_length", 1) && i + 1 <= attr_i(c, "max_gram_length", 1);
        if (count)
            part[nparts++] = wanted ? count_length(c, x, p->grams.v + from, count, i + 1)
                                    : mk_full(b, DT_f32, 2, (Dim[]){ value_dim(x, 0), dim_const(c->m->dims, count) }, 0);
    }
    return nparts ? mk_concat(b, (Inputs){ nparts, part }, (Attr_concat){ .axis = 1 }) : NULL;
}

/* TF: the count. IDF: the weight of what occurs at all. TFIDF: count times weight. */
static Value *weighted(Importer *c, Value *counts, int grams)
{
    Builder *b = &c->b;
    const char *mode = attr_s(c, "mode", "TF");
    FloatVec weights = attr_floats(c, "weights");
    if (!strcmp(mode, "TF") || !counts)
        return counts;
    if (weights.n && weights.n != grams) {
        import_fail(c, "%d weights are given for %d n-grams", weights.n, grams);
        return NULL;
    }
    if (!strcmp(mode, "IDF"))
        counts = mk_min(b, counts, mk_k(b, counts, 1));
    return weights.n ? mk_mul(b, counts, mk_floats(b, DT_f32, weights)) : counts;
}

/* Column of each n-gram: a product with a 0/1 matrix. */
static Value *to_columns(Importer *c, Value *counts, IntVec columns)
{
    Builder *b = &c->b;
    int64_t width = 0;
    for (int i = 0; i < columns.n; i++) {
        if (columns.v[i] < 0 || columns.v[i] > INT32_MAX / 2) {
            import_fail(c, "ngram_indexes has an entry %lld", (long long)columns.v[i]);
            return NULL;
        }
        width = columns.v[i] >= width ? columns.v[i] + 1 : width;
    }
    Value *at = mk_insert_axes(b, mk_ints(b, columns.n, columns.v), 1, 1);
    Value *place = mk_cast_to(b, mk_eq(b, at, mk_iota_n(b, DT_i64, dim_const(c->m->dims, width))), DT_f32);
    return mk_matmul(b, IN(counts, place), (Attr_matmul){ 0 });
}

static IntVec first_places(Importer *c, StrVec v)
{
    int64_t *at = ARENA_ARRAY(c->m->arena, int64_t, v.n + 1);
    for (int i = 0; i < v.n; i++)
        while (strcmp(v.v[at[i]], v.v[i]) != 0)
            at[i]++;
    return (IntVec){ v.n, at };
}

bool import_tfidf_vectorizer(Importer *c)
{
    Builder *b = &c->b;
    Pool p = { attr_ints(c, "pool_int64s"), attr_ints(c, "ngram_counts"), attr_ints(c, "ngram_indexes") };
    StrVec texts = attr_strs(c, "pool_strings");
    Value *x = in(c, 0);
    if (!x)
        return false;
    if (x->type.dtype == DT_str && texts.n) {           /* an element of the pool by its first place in it, any other string by -1 */
        x = mk_find(b, x, mk_texts(b, texts.n, texts.v));
        p.grams = first_places(c, texts);
    }
    bool vector = value_rank(x) == 1;
    x = vector ? mk_insert_axes(b, x, 0, 1) : x;
    if (!p.grams.n || !x || value_rank(x) != 2 || !dim_is_const(value_dim(x, 1)) || !dtype_is_int(x->type.dtype))
        return import_unsupported(c, "an input that is not of a constant length, or not of the pool's type,");
    Value *counts = count_all(c, x, &p);
    if (!counts || !dim_is(value_dim(counts, 1), p.columns.n))
        return counts && import_fail(c, "there are %d ngram_indexes, which is not the number of n-grams", p.columns.n);
    Value *y = to_columns(c, weighted(c, counts, p.columns.n), p.columns);
    OUT(c, vector ? mk_drop_axes(b, y, 1, (int64_t[]){ 0 }) : y);
}
