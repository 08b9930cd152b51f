/* import_fused_attention.c -- com.microsoft: the attention operators that ONNX Runtime's optimiser and the exporters of language models write.
 *
 * Each brings its operands into the form [batch, heads, sequence, head size], puts the past before keys and values, and everything that masks
 * into one bias. What ONNX Runtime masks with mask_filter_value is masked with that here too.
 */
#include <math.h>

#include "import_heads.h"

/* ---- shared ---- */

/* scale 0 or absent: 1 / sqrt(head size). False after reporting. */
static bool scale_of(Importer *c, const Value *q, double *scale)
{
    *scale = attr_f(c, "scale", 0);
    if (*scale != 0)
        return true;
    if (!dim_is_const(value_dim(q, 3)))
        return import_unsupported(c, "a head size that is not constant");
    *scale = 1 / sqrt((double)value_dim(q, 3)->k);
    return true;
}

/* sink: NULL, or a score that every query has besides those of its keys, and that leads to no value. */
static Value *attend_with_sink(Importer *c, Value *q, Value *k, Value *v, Value *bias, Value *sink, double scale)
{
    Builder *b = &c->b;
    Value *scores = scaled_product(b, q, k, scale);
    double cap = attr_f(c, "softcap", 0);
    if (cap != 0)
        scores = mk_scaled(b, mk_tanh(b, mk_scaled(b, scores, 1 / cap)), cap);
    scores = bias ? mk_add(b, scores, bias) : scores;
    Attr_softmax along = { .axis = 3 };
    if (!sink || !scores)
        return join_heads(b, grouped_matmul(b, mk_softmax(b, IN(scores), along), v));
    Dim column[4] = { value_dim(scores, 0), value_dim(scores, 1), value_dim(scores, 2), dim_one(b) }, keys = value_dim(scores, 3);
    Value *all = mk_softmax(b, IN(mk_concat2(b, scores, mk_expand_to(b, sink, 4, column), 3)), along);
    return join_heads(b, grouped_matmul(b, mk_slice_axis(b, all, 3, dim_const(c->m->dims, 0), keys), v));
}

static Value *attend(Importer *c, Value *q, Value *k, Value *v, Value *bias, double scale)
{
    return attend_with_sink(c, q, k, v, bias, NULL, scale);
}

/* A bias of mask_filter_value where `allowed` is false. */
static Value *filter_bias(Importer *c, Value *allowed, DType t)
{
    return mk_where(&c->b, allowed, mk_scalar(&c->b, t, 0), mk_scalar(&c->b, t, attr_f(c, "mask_filter_value", -10000)));
}

/* A mask of keys: [batch] their number, [2 batch] their end and then their start, [3 batch + 2] their number first, [batch, keys] or [batch,
 * queries, keys] 1 where a key counts. */
static bool key_mask(Importer *c, Value *mask, Dim batch, Dim keys, DType t, Value **bias)
{
    Builder *b = &c->b;
    DimTable *d = c->m->dims;
    int rank = value_rank(mask);
    if (rank != 1 && rank != 2 && rank != 3)
        return import_unsupported(c, "a mask of rank %d", rank);
    if (rank > 1) {
        Value *allowed = mk_ne(b, mask, mk_k(b, mask, 0));
        *bias = filter_bias(c, mk_insert_axes(b, allowed, 1, 4 - rank), t);
        return *bias != NULL;
    }
    Value *at = mk_iota_n(b, mask->type.dtype, keys), *end = mk_slice_axis(b, mask, 0, dim_const(d, 0), batch);
    Value *allowed = mk_lt(b, at, mk_insert_axes(b, end, 1, 3));
    if (value_dim(mask, 0) == dim_mulk(d, batch, 2)) {
        Value *start = mk_insert_axes(b, mk_slice_axis(b, mask, 0, batch, batch), 1, 3);
        allowed = mk_and(b, allowed, mk_le(b, start, at));
    } else if (value_dim(mask, 0) != batch && value_dim(mask, 0) != dim_addk(d, dim_mulk(d, batch, 3), 2)) {
        return import_unsupported(c, "a mask of another length than the batch");
    }
    *bias = filter_bias(c, allowed, t);
    return *bias != NULL;
}

/* ---- Attention: the projections are part of it ---- */

/* Elements from .. from+size-1 of the last axis of [batch, seq, ...], as heads. */
static Value *heads_between(Importer *c, Value *x, int64_t from, int64_t size, int64_t heads)
{
    return split_heads(c, mk_range_slice(&c->b, x, 2, from, size), heads);
}

/* past and present are [2, batch, heads, seq, size]: keys, then values. */
static Value *with_past(Builder *b, Value *past, int which, Value *now)
{
    return past ? mk_concat2(b, mk_index(b, past, 0, dim_const(b->m->dims, which)), now, 2) : now;
}

static bool projected_sizes(Importer *c, const Value *w, int64_t heads, int64_t *size)
{
    IntVec given = attr_ints(c, "qkv_hidden_sizes");
    if (value_rank(w) != 2 || !dim_is_const(value_dim(w, 1)) || heads < 1)
        return import_fail(c, "the weights must be a matrix, and num_heads be given");
    for (int i = 0; i < 3; i++)
        size[i] = given.n == 3 ? given.v[i] : value_dim(w, 1)->k / 3;
    bool fits = size[0] + size[1] + size[2] == value_dim(w, 1)->k && size[0] == size[1] && size[0] % heads == 0 && size[2] % heads == 0;
    return fits || import_fail(c, "weights of %lld columns do not divide into %lld heads", (long long)value_dim(w, 1)->k, (long long)heads);
}

static bool attention_of(Importer *c, Value *projected, const int64_t *size, int64_t heads, Value *mask, Value *past, Value *more_bias)
{
    Builder *b = &c->b;
    double scale;
    Value *q = heads_between(c, projected, 0, size[0], heads), *bias = NULL;
    Value *k = with_past(b, past, 0, heads_between(c, projected, size[0], size[1], heads));
    Value *v = with_past(b, past, 1, heads_between(c, projected, size[0] + size[1], size[2], heads));
    if (!q || !k || !v || !scale_of(c, q, &scale))
        return false;
    DType t = q->type.dtype;
    Dim queries = value_dim(q, 2), keys = value_dim(k, 2), before = past ? value_dim(past, 3) : dim_const(c->m->dims, 0);
    if (mask && !key_mask(c, mask, value_dim(q, 0), keys, t, &bias))
        return false;
    if (attr_i(c, "unidirectional", 0))
        bias = added_bias(b, bias, causal_bias(b, queries, keys, before, t));
    bias = added_bias(b, bias, more_bias);
    if (out_wanted(c, 1) && !set_out(c, 1, mk_concat2(b, mk_insert_axes(b, k, 0, 1), mk_insert_axes(b, v, 0, 1), 0)))
        return false;
    OUT(c, attend(c, q, k, v, bias, scale));
}

bool import_ms_attention(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *w = in(c, 1);
    int64_t heads = attr_i(c, "num_heads", 0), size[3];
    if (!x || !w || !projected_sizes(c, w, heads, size))
        return false;
    if (attr_i(c, "do_rotary", 0) || in(c, 6))
        return import_unsupported(c, "do_rotary, or a past that is shared with the present,");
    Value *y = mk_matmul(b, IN(x, w), (Attr_matmul){ 0 });
    return attention_of(c, in(c, 2) ? mk_add(b, y, in(c, 2)) : y, size, heads, in(c, 3), in(c, 4), in(c, 5));
}

/* The projection in integers: x and w are u8 or i8 with scales (inputs 3, 4) and zero points (6, 7). */
bool import_qattention(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *w = in(c, 1);
    int64_t heads = attr_i(c, "num_heads", 0), size[3];
    if (!x || !w || !projected_sizes(c, w, heads, size))
        return false;
    Value *x_int = mk_cast_to(b, x, DT_i32), *w_int = mk_cast_to(b, w, DT_i32);
    x_int = in(c, 6) ? mk_sub(b, x_int, mk_cast_to(b, in(c, 6), DT_i32)) : x_int;
    w_int = in(c, 7) ? mk_sub(b, w_int, mk_cast_to(b, in(c, 7), DT_i32)) : w_int;
    Value *y = mk_cast_to(b, mk_matmul(b, IN(x_int, w_int), (Attr_matmul){ 0 }), DT_f32);
    y = mk_add(b, mk_mul(b, y, mk_mul(b, in(c, 3), in(c, 4))), in(c, 2));
    return attention_of(c, y, size, heads, in(c, 5), in(c, 8), NULL);
}

/* ---- MultiHeadAttention: projected operands, apart or packed ---- */

typedef struct Operands { Value *q, *k, *v; } Operands;

/* Part i of [batch, seq, heads, parts, size], as heads. */
static Value *unpacked(Builder *b, Value *x, int i)
{
    return mk_swap_axes(b, mk_index(b, x, 3, dim_const(b->m->dims, i)), 1, 2);
}

/* bias: [q size + k size + v size], to be added before the heads are split. */
static Value *biased_heads(Importer *c, Value *x, Value *bias, int64_t *from, int64_t heads)
{
    Builder *b = &c->b;
    if (!x || value_rank(x) == 4 || !bias)
        return split_heads(c, x, heads);
    if (!dim_is_const(value_dim(x, 2))) {
        import_unsupported(c, "a bias over a symbolic size");
        return NULL;
    }
    int64_t size = value_dim(x, 2)->k;
    *from += size;
    return split_heads(c, mk_add(b, x, mk_range_slice(b, bias, 0, *from - size, size)), heads);
}

static bool mha_operands(Importer *c, int64_t heads, Operands *o)
{
    Builder *b = &c->b;
    Value *q = in(c, 0), *k = in(c, 1), *v = in(c, 2), *bias = in(c, 3);
    int64_t from = 0;
    if (!q)
        return false;
    bool packed = value_rank(q) == 5 || (k && value_rank(k) == 5);
    if (packed && bias)
        return import_unsupported(c, "a bias of packed operands");
    if (value_rank(q) == 5)
        *o = (Operands){ unpacked(b, q, 0), unpacked(b, q, 1), unpacked(b, q, 2) };
    else if (k && value_rank(k) == 5)
        *o = (Operands){ split_heads(c, q, heads), unpacked(b, k, 0), unpacked(b, k, 1) };
    else {
        o->q = biased_heads(c, q, bias, &from, heads);
        o->k = biased_heads(c, k, bias, &from, heads);
        o->v = biased_heads(c, v, bias, &from, heads);
    }
    return o->q && o->k && o->v;
}

bool import_multi_head_attention(Importer *c)
{
    Builder *b = &c->b;
    Operands o = { NULL, NULL, NULL };
    Value *bias = NULL, *past_k = in(c, 6), *past_v = in(c, 7);
    double scale;
    if (!mha_operands(c, attr_i(c, "num_heads", 0), &o) || !scale_of(c, o.q, &scale))
        return false;
    if (in(c, 8) || in(c, 9) || out_wanted(c, 3))
        return import_unsupported(c, "a past that is shared with the present, or the scores as a result,");
    o.k = past_k ? mk_concat2(b, past_k, o.k, 2) : o.k;
    o.v = past_v ? mk_concat2(b, past_v, o.v, 2) : o.v;
    if (!o.k || !o.v)
        return false;
    DType t = o.q->type.dtype;
    Dim before = past_k ? value_dim(past_k, 2) : dim_const(c->m->dims, 0), keys = value_dim(o.k, 2);
    if (in(c, 4) && !key_mask(c, in(c, 4), value_dim(o.q, 0), keys, t, &bias))
        return false;
    if (attr_i(c, "unidirectional", 0))
        bias = added_bias(b, bias, causal_bias(b, value_dim(o.q, 2), keys, before, t));
    bias = added_bias(b, bias, in(c, 5));
    return set_out(c, 1, o.k) && set_out(c, 2, o.v) && set_out(c, 0, attend(c, o.q, o.k, o.v, bias, scale));
}

/* ---- GroupQueryAttention: causal, with a past that grows or a buffer that fills, and rotary positions ---- */

/* Where the queries and the new keys stand. */
typedef struct Places {
    Dim past;                       /* of a past that grows: its length, which is that of every sequence */
    Value *start;                   /* of a buffer: i64[batch], how much of it is in use; NULL: the past grows */
    Value *position;                /* i64[batch or 1, queries] */
} Places;

/* Rows of a cache [positions, rotated / 2] for queries behind `past` keys, or at given positions: [batch or 1, 1, seq, rotated / 2]. */
static Value *cache_rows(Importer *c, Value *cache, Value *positions, Dim past, Dim queries)
{
    Builder *b = &c->b;
    if (!positions)
        return mk_insert_axes(b, mk_slice_axis(b, cache, 0, past, queries), 0, 2);
    return mk_insert_axes(b, mk_gather(b, IN(cache, positions), (Attr_gather){ .axis = 0 }), 1, 1);
}

static bool gqa_operands(Importer *c, int64_t heads, int64_t kv_heads, Operands *o)
{
    Value *q = in(c, 0);
    if (!q)
        return false;
    if (value_rank(q) != 3 || heads < 1 || kv_heads < 1 || heads % kv_heads)
        return import_fail(c, "a query of rank %d with %lld heads on %lld", value_rank(q), (long long)heads, (long long)kv_heads);
    if (in(c, 1)) {
        *o = (Operands){ split_heads(c, q, heads), split_heads(c, in(c, 1), kv_heads), split_heads(c, in(c, 2), kv_heads) };
    } else {
        if (!dim_is_const(value_dim(q, 2)))
            return import_unsupported(c, "a head size that is not constant");
        int64_t size = value_dim(q, 2)->k / (heads + 2 * kv_heads);
        *o = (Operands){ heads_between(c, q, 0, heads * size, heads), heads_between(c, q, heads * size, kv_heads * size, kv_heads),
                         heads_between(c, q, (heads + kv_heads) * size, kv_heads * size, kv_heads) };
    }
    return o->q && o->k && o->v;
}

static Value *gqa_lengths(Importer *c)
{
    Builder *b = &c->b;
    return mk_cast_to(b, mk_reshape_to(b, in(c, 5), 1, (Dim[]){ type_count_dim(c->m, &in(c, 5)->type) }), DT_i64);
}

/* A query sees the keys up to itself, as many as local_window_size says, that are no padding: seqlens_k is the last key. */
static Value *gqa_bias(Importer *c, const Places *at, Dim keys, DType t)
{
    Builder *b = &c->b;
    int64_t window = attr_i(c, "local_window_size", -1);
    Value *own = mk_insert_axes(b, mk_insert_axes(b, at->position, 2, 1), 1, 1), *key = mk_iota_n(b, DT_i64, keys);
    Value *allowed = mk_le(b, key, own);
    if (!at->start)
        allowed = mk_and(b, allowed, mk_le(b, key, mk_insert_axes(b, gqa_lengths(c), 1, 3)));
    if (window > 0)
        allowed = mk_and(b, allowed, mk_lt(b, mk_shifted(b, own, (double)-window), key));
    return added_bias(b, bias_of(b, allowed, t), in(c, 10));
}

/* A past that grows must hold what came before and nothing else: neither room for more, nor sequences of different lengths (which the first run,
 * without a past, may have). So every sequence ends where the keys end. */
static bool gqa_check(Importer *c, Dim queries, Dim past)
{
    Builder *b = &c->b;
    DimTable *t = c->m->dims;
    int64_t axis = 0;
    DimVec last, total = { 0, NULL };
    Value *lengths = mk_reshape_to(b, in(c, 5), 1, (Dim[]){ type_count_dim(c->m, &in(c, 5)->type) });
    Value *shortest = mk_cast_to(b, mk_reduce_axes(b, "min", lengths, 1, &axis), DT_i64);
    if (!shortest || !build_dims_of(b, shortest, &last) || (in(c, 6) && !build_dims_of(b, in(c, 6), &total)))
        return false;
    Dim keys = dim_add(t, past, queries), found[2] = { dim_mul(t, past, dim_addk(t, last.v[0], 1)), total.n == 1 ? total.v[0] : keys };
    Dim wanted[2] = { dim_mul(t, past, keys), keys };
    Attr_check a = { .left = dims_copy(c->m, 2, found), .right = dims_copy(c->m, 2, wanted) };
    a.message = arena_printf(c->m->arena, "GroupQueryAttention '%s': the past must be as long as the sequences so far, and these of one length", b->loc.node);
    return build_node(b, OP_check, IN_NONE, &a, 0) != NULL;
}

/* The past is a buffer with room for more where the model declares the present to be as long as the past. */
static bool is_buffer(Importer *c, const Value *past)
{
    Type declared;
    return past && value_rank(past) == 4 && out_declared(c, 1, &declared) && declared.kind == TY_TENSOR && declared.rank == 4 && declared.dim[2] == value_dim(past, 2);
}

/* A sequence of which n + 1 keys are known in the end had those before the queries; in the first run there are none before, and the queries behind
 * the n-th are padding. */
static bool gqa_places(Importer *c, Value *past, Dim queries, Places *out)
{
    Builder *b = &c->b;
    Value *row = mk_iota_n(b, DT_i64, queries);
    *out = (Places){ .past = past ? value_dim(past, 2) : dim_const(c->m->dims, 0) };
    if (is_buffer(c, past)) {
        Value *end = mk_shifted(b, gqa_lengths(c), 1);
        out->start = mk_max(b, mk_sub(b, end, mk_dim_scalar(b, queries, DT_i64)), mk_scalar(b, DT_i64, 0));
        out->position = mk_add(b, mk_insert_axes(b, out->start, 1, 1), row);
        return out->position != NULL;
    }
    out->position = mk_insert_axes(b, mk_add(b, row, mk_dim_scalar(b, out->past, DT_i64)), 0, 1);
    return out->position && gqa_check(c, queries, out->past);
}

/* What a buffer holds behind the new keys means nothing, and becomes 0. */
static Value *gqa_present(Importer *c, Value *past, Value *now, const Places *at)
{
    Builder *b = &c->b;
    if (at->start) {
        Value *all = updated_cache(b, past, now, at->start, 2, false), *end = mk_add(b, at->start, mk_dim_scalar(b, value_dim(now, 2), DT_i64));
        Value *used = mk_lt(b, mk_iota_n(b, DT_i64, value_dim(past, 2)), mk_insert_axes(b, end, 1, 2));       /* [batch, 1, room] */
        return all ? mk_where(b, mk_insert_axes(b, used, 3, 1), all, mk_k(b, all, 0)) : NULL;
    }
    return past ? mk_concat2(b, past, now, 2) : now;
}

/* smooth_softmax: a score of 0; head_sink [heads]: one per head. */
static Value *gqa_sink(Importer *c, DType t)
{
    Builder *b = &c->b;
    if (in(c, 11))
        return mk_insert_axes(b, mk_insert_axes(b, mk_cast_to(b, in(c, 11), t), 1, 2), 0, 1);
    return attr_i(c, "smooth_softmax", 0) > 0 ? mk_scalar(b, t, 0) : NULL;
}

static bool gqa_rotate(Importer *c, Operands *o, const Places *at, Dim queries)
{
    Builder *b = &c->b;
    if (!in(c, 7) || !in(c, 8) || value_rank(in(c, 7)) != 2 || !dim_is_const(value_dim(in(c, 7), 1)))
        return import_fail(c, "cos_cache and sin_cache are needed for do_rotary");
    Value *positions = in(c, 9) ? in(c, 9) : at->start ? at->position : NULL;
    Value *cosine = cache_rows(c, in(c, 7), positions, at->past, queries), *sine = cache_rows(c, in(c, 8), positions, at->past, queries);
    int64_t rotated = 2 * value_dim(in(c, 7), 1)->k;
    bool interleaved = attr_i(c, "rotary_interleaved", 0);
    o->q = rotate_heads(b, o->q, cosine, sine, rotated, interleaved);
    o->k = rotate_heads(b, o->k, cosine, sine, rotated, interleaved);
    return o->q && o->k;
}

bool import_group_query_attention(Importer *c)
{
    Operands o = { NULL, NULL, NULL };
    Places at;
    double scale;
    if (!gqa_operands(c, attr_i(c, "num_heads", 0), attr_i(c, "kv_num_heads", 0), &o) || !scale_of(c, o.q, &scale) || !in(c, 5))
        return false;
    Dim queries = value_dim(o.q, 2);
    if (!gqa_places(c, in(c, 3), queries, &at) || (attr_i(c, "do_rotary", 0) && !gqa_rotate(c, &o, &at, queries)))
        return false;
    o.k = gqa_present(c, in(c, 3), o.k, &at);
    o.v = gqa_present(c, in(c, 4), o.v, &at);
    if (!o.k || !o.v)
        return false;
    DType t = o.q->type.dtype;
    Value *bias = gqa_bias(c, &at, value_dim(o.k, 2), t);
    return set_out(c, 1, o.k) && set_out(c, 2, o.v) && set_out(c, 0, attend_with_sink(c, o.q, o.k, o.v, bias, gqa_sink(c, t), scale));
}

/* ---- RotaryEmbedding ---- */

/* (x, positions [1], the first, or [batch, seq], cos_cache, sin_cache) */
bool import_ms_rotary_embedding(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *positions = in(c, 1), *cosine = in(c, 2), *sine = in(c, 3);
    if (!x || !positions || !cosine || !sine)
        return false;
    int64_t heads = attr_i(c, "num_heads", 0), rotated = attr_i(c, "rotary_embedding_dim", 0);
    bool flat = value_rank(x) == 3;
    if (value_rank(cosine) != 2 || attr_f(c, "scale", 1) != 1 || (flat && !heads && !dim_is_const(value_dim(x, 2))))
        return import_unsupported(c, "a scale, or a head size that is not constant,");
    if (flat && !heads && dim_is_const(value_dim(cosine, 1)))
        heads = value_dim(x, 2)->k / (2 * value_dim(cosine, 1)->k);
    Value *parts = split_heads(c, x, heads);
    if (!parts)
        return false;
    if (value_rank(positions) == 1)
        positions = mk_insert_axes(b, mk_add(b, positions, mk_iota_n(b, positions->type.dtype, value_dim(parts, 2))), 0, 1);
    Dim none = dim_const(c->m->dims, 0);
    Value *y = rotate_heads(b, parts, cache_rows(c, cosine, positions, none, none), cache_rows(c, sine, positions, none, none), rotated,
                            attr_i(c, "interleaved", 0));
    OUT(c, flat ? join_heads(b, y) : y);
}
