/* import_attention.c -- Attention, FlexAttention, RotaryEmbedding, LinearAttention, CausalConvWithState, TensorScatter (a KV cache).
 *
 * Heads are an axis of their own: [batch, heads, sequence, head size]. With fewer key/value heads than query heads, the queries are seen as
 * [batch, kv heads, group, sequence, head size] against [batch, kv heads, 1, ...], so that nothing is repeated.
 */
#include <math.h>
#include <string.h>

#include "import_heads.h"

/* ---- heads ---- */

/* [batch, seq, heads*size] -> [batch, heads, seq, size]; rank 4 has them apart already. */
Value *split_heads(Importer *c, Value *x, int64_t heads)
{
    Builder *b = &c->b;
    if (!x || value_rank(x) == 4)
        return x;
    if (value_rank(x) != 3 || heads < 1) {
        import_fail(c, "an operand of rank %d with %lld heads: rank 4, or rank 3 and the number of heads, is needed", value_rank(x), (long long)heads);
        return NULL;
    }
    Dim d[4] = { value_dim(x, 0), value_dim(x, 1), dim_const(c->m->dims, heads), dim_divk(c->m->dims, value_dim(x, 2), heads) };
    return mk_swap_axes(b, mk_reshape_to(b, x, 4, d), 1, 2);
}

Value *join_heads(Builder *b, Value *x)
{
    if (!x)
        return NULL;
    Dim d[3] = { value_dim(x, 0), value_dim(x, 2), dim_mul(b->m->dims, value_dim(x, 1), value_dim(x, 3)) };
    return mk_reshape_to(b, mk_swap_axes(b, x, 1, 2), 3, d);
}

/* q [batch, heads, m, k] times kv [batch, kv heads, k, n] -> [batch, heads, m, n] */
Value *grouped_matmul(Builder *b, Value *q, Value *kv)
{
    if (!q || !kv || value_dim(q, 1) == value_dim(kv, 1))
        return mk_matmul(b, IN(q, kv), (Attr_matmul){ 0 });
    DimTable *t = b->m->dims;
    Dim five[5] = { value_dim(q, 0), value_dim(kv, 1), dim_div(t, value_dim(q, 1), value_dim(kv, 1)), value_dim(q, 2), value_dim(q, 3) };
    Value *y = mk_matmul(b, IN(mk_reshape_to(b, q, 5, five), mk_insert_axes(b, kv, 2, 1)), (Attr_matmul){ 0 });
    Dim four[4] = { value_dim(q, 0), value_dim(q, 1), value_dim(q, 2), value_dim(kv, 3) };
    return mk_reshape_to(b, y, 4, four);
}

/* ---- Attention ---- */

/* 0 where the bool is true, -inf elsewhere. */
Value *bias_of(Builder *b, Value *allowed, DType t)
{
    return mk_where(b, allowed, mk_scalar(b, t, 0), mk_scalar(b, t, -(double)INFINITY));
}

/* The attn_mask as an additive bias; positions beyond its end are masked out (opset 24). */
static Value *mask_bias(Builder *b, Value *mask, Dim keys, DType t)
{
    if (!mask)
        return NULL;
    Value *bias = mask->type.dtype == DT_bool ? bias_of(b, mask, t) : mk_cast_to(b, mask, t);
    int rank = value_rank(mask);
    if (!rank || dim_is(value_dim(mask, rank - 1), 1))
        return bias;
    return mk_pad_end(b, bias, rank - 1, keys, mk_scalar(b, t, -(double)INFINITY));
}

Value *added_bias(Builder *b, Value *bias, Value *more)
{
    return !bias ? more : !more ? bias : mk_add(b, bias, more);
}

/* Query i, which stands `past` positions into the keys, sees keys 0 .. past + i. */
Value *causal_bias(Builder *b, Dim queries, Dim keys, Dim past, DType t)
{
    Value *row = mk_add(b, mk_iota_n(b, DT_i64, queries), mk_dim_scalar(b, past, DT_i64));
    return bias_of(b, mk_le(b, mk_iota_n(b, DT_i64, keys), mk_insert_axes(b, row, 1, 1)), t);
}

/* Keys of sequence n from lengths[n] on are padding. */
static Value *padding_bias(Builder *b, Value *lengths, Dim keys, DType t)
{
    Value *n = mk_insert_axes(b, mk_cast_to(b, lengths, DT_i64), 1, 3);
    return n ? bias_of(b, mk_lt(b, mk_iota_n(b, DT_i64, keys), n), t) : NULL;
}

typedef struct Scores { Value *raw, *capped, *biased, *probs; } Scores;

/* The scale is split evenly over both operands where their products could leave the range of a small float. */
Value *scaled_product(Builder *b, Value *q, Value *k, double scale)
{
    bool small = q && dtype_table[q->type.dtype].cls == CLS_MINI;
    q = mk_scaled(b, q, small ? sqrt(scale) : scale);
    return grouped_matmul(b, q, mk_swap_last(b, small ? mk_scaled(b, k, sqrt(scale)) : k));
}

static Scores attention_scores(Importer *c, Value *q, Value *k, Value *bias, double scale)
{
    Builder *b = &c->b;
    double cap = attr_f(c, "softcap", 0);
    Scores s = { .raw = scaled_product(b, q, k, scale) };
    s.capped = cap != 0 ? mk_scaled(b, mk_tanh(b, mk_scaled(b, s.raw, 1 / cap)), cap) : s.raw;
    s.biased = bias ? mk_add(b, s.capped, bias) : s.capped;
    if (s.biased) {
        DType t = s.biased->type.dtype, precise = attr_dtype(c, "softmax_precision", t);
        s.probs = mk_cast_to(b, mk_softmax(b, IN(mk_cast_to(b, s.biased, precise)), (Attr_softmax){ .axis = 3 }), t);
    }
    return s;
}

/* qk_matmul_output: 0 the product, 1 after softcap, 2 after the bias, 3 after softmax. */
static bool set_qk_output(Importer *c, const Scores *s)
{
    Value *const stages[] = { s->raw, s->capped, s->biased, s->probs };
    int64_t mode = attr_i(c, "qk_matmul_output_mode", 0);
    if (!out_wanted(c, 3))
        return true;
    if (mode < 0 || mode > 3)
        return import_fail(c, "qk_matmul_output_mode is %lld, 0 to 3 are known", (long long)mode);
    return set_out(c, 3, stages[mode]);
}

static bool set_present(Importer *c, int i, Value *v)
{
    return !out_wanted(c, i) || set_out(c, i, v);
}

bool import_attention(Importer *c)
{
    Builder *b = &c->b;
    Value *q = split_heads(c, in(c, 0), attr_i(c, "q_num_heads", 0)), *past_k = in(c, 4), *past_v = in(c, 5);
    Value *k = split_heads(c, in(c, 1), attr_i(c, "kv_num_heads", 0)), *v = split_heads(c, in(c, 2), attr_i(c, "kv_num_heads", 0));
    if (!q || !k || !v)
        return false;
    DType t = q->type.dtype;
    if ((past_k && value_rank(past_k) != 4) || (past_v && value_rank(past_v) != 4))
        return import_fail(c, "past_key and past_value must have rank 4");
    Dim past = past_k ? value_dim(past_k, 2) : dim_const(c->m->dims, 0);
    k = past_k ? mk_concat2(b, past_k, k, 2) : k;
    v = past_v ? mk_concat2(b, past_v, v, 2) : v;
    if (!k || !v)
        return false;
    if (!dim_is_const(value_dim(q, 3)) && !has_attr(c, "scale"))
        return import_unsupported(c, "a head size that is not constant");
    double scale = has_attr(c, "scale") ? attr_f(c, "scale", 1) : 1 / sqrt((double)value_dim(q, 3)->k);
    Value *bias = mask_bias(b, in(c, 3), value_dim(k, 2), t);
    if (attr_i(c, "is_causal", 0))
        bias = added_bias(b, bias, causal_bias(b, value_dim(q, 2), value_dim(k, 2), past, t));
    if (in(c, 6))
        bias = added_bias(b, bias, padding_bias(b, in(c, 6), value_dim(k, 2), t));
    Scores s = attention_scores(c, q, k, bias, scale);
    Value *y = grouped_matmul(b, s.probs, v);
    return set_out(c, 0, value_rank(in(c, 0)) == 3 ? join_heads(b, y) : y) && set_present(c, 1, k) && set_present(c, 2, v) && set_qk_output(c, &s);
}

/* ---- FlexAttention: subgraphs of the model may change scores and probabilities ---- */

static Value *modified(Importer *c, const char *subgraph, Value *x)
{
    Value *y = NULL;
    if (!x || !has_attr(c, subgraph))
        return x;
    return import_region_apply(c, subgraph, 1, &x, 1, &y) ? y : NULL;
}

bool import_flex_attention(Importer *c)
{
    Builder *b = &c->b;
    Value *q = in(c, 0), *k = in(c, 1), *v = in(c, 2);
    if (!q || !k || !v)
        return false;
    if (value_rank(q) != 4 || value_rank(k) != 4 || value_rank(v) != 4)
        return import_fail(c, "the operands must have rank 4");
    if (!dim_is_const(value_dim(q, 3)) && !has_attr(c, "scale"))
        return import_unsupported(c, "a head size that is not constant");
    DType t = q->type.dtype, precise = attr_dtype(c, "softmax_precision", wide_float(t));
    double scale = has_attr(c, "scale") ? attr_f(c, "scale", 1) : 1 / sqrt((double)value_dim(q, 3)->k);
    Value *scores = modified(c, "score_mod", mk_cast_to(b, scaled_product(b, q, k, scale), precise));
    Value *probs = modified(c, "prob_mod", mk_softmax(b, IN(scores), (Attr_softmax){ .axis = 3 }));
    OUT(c, mk_cast_to(b, grouped_matmul(b, probs, mk_cast_to(b, v, precise)), t));
}

/* ---- RotaryEmbedding ---- */

/* x1 cos - x2 sin and x1 sin + x2 cos, where x1, x2 are the halves of x, or its even and odd elements. */
static Value *rotate(Builder *b, Value *x, Value *cosine, Value *sine, bool interleaved)
{
    if (!x)
        return NULL;
    int last = value_rank(x) - 1;
    Dim half = dim_divk(b->m->dims, value_dim(x, last), 2), zero = dim_const(b->m->dims, 0);
    Value *pairs = x, *x1, *x2;
    if (interleaved) {
        Dim d[MAX_RANK];
        memcpy(d, x->type.dim, sizeof(Dim) * (size_t)last);
        d[last] = half;
        d[last + 1] = dim_const(b->m->dims, 2);
        pairs = mk_reshape_to(b, x, last + 2, d);
        x1 = mk_index(b, pairs, last + 1, zero);
        x2 = mk_index(b, pairs, last + 1, dim_one(b));
    } else {
        x1 = mk_slice_axis(b, x, last, zero, half);
        x2 = mk_slice_axis(b, x, last, half, half);
    }
    Value *real = mk_sub(b, mk_mul(b, cosine, x1), mk_mul(b, sine, x2));
    Value *imaginary = mk_add(b, mk_mul(b, sine, x1), mk_mul(b, cosine, x2));
    if (!interleaved)
        return mk_concat2(b, real, imaginary, last);
    Value *both = mk_concat2(b, mk_insert_axes(b, real, last + 1, 1), mk_insert_axes(b, imaginary, last + 1, 1), last + 1);
    return mk_reshape_to(b, both, last + 1, x->type.dim);
}

/* The cache rows of each position: [batch, 1, seq, rotated / 2]. */
static Value *rotary_cache(Importer *c, Value *cache, Value *positions)
{
    Builder *b = &c->b;
    if (positions)
        cache = mk_gather(b, IN(cache, positions), (Attr_gather){ .axis = 0 });
    return mk_insert_axes(b, cache, 1, 1);
}

Value *rotate_heads(Builder *b, Value *x, Value *cosine, Value *sine, int64_t rotated, bool interleaved)
{
    DimTable *t = b->m->dims;
    if (!x || !cosine || !sine)
        return NULL;
    Dim size = value_dim(x, 3), part = rotated ? dim_const(t, rotated) : size, half = dim_divk(t, part, 2), zero = dim_const(t, 0);
    int last = value_rank(cosine) - 1;
    cosine = mk_slice_axis(b, cosine, last, zero, half);
    sine = mk_slice_axis(b, sine, last, zero, half);
    Value *y = rotate(b, mk_slice_axis(b, x, 3, zero, part), cosine, sine, interleaved);
    return part == size ? y : mk_concat2(b, y, mk_slice_axis(b, x, 3, part, dim_sub(t, size, part)), 3);
}

bool import_rotary_embedding(Importer *c)
{
    Builder *b = &c->b;
    Value *x = split_heads(c, in(c, 0), attr_i(c, "num_heads", 0));
    Value *cosine = rotary_cache(c, in(c, 1), in(c, 3)), *sine = rotary_cache(c, in(c, 2), in(c, 3));
    if (!x || !cosine || !sine)
        return false;
    Value *y = rotate_heads(b, x, cosine, sine, attr_i(c, "rotary_embedding_dim", 0), attr_i(c, "interleaved", 0));
    OUT(c, value_rank(in(c, 0)) == 3 ? join_heads(b, y) : y);
}

/* ---- LinearAttention: a state [batch, kv heads, key size, value size] that every position reads and writes; unrolled ---- */

enum { MAX_STEPS = 4096 };

typedef struct Linear {
    bool decays, corrects;          /* the update rule: gated, delta, both or neither */
    int64_t heads, kv_heads, steps;
    Dim batch;
    double scale;
    Value *q, *k, *v, *decay, *beta;/* [steps, batch, heads, size]; NULL where the rule has none */
} Linear;

/* [batch, seq, heads * size] -> [seq, batch, heads, size]; heads = 0: the size is 1. */
static Value *time_first(Builder *b, Value *x, int64_t heads)
{
    if (!x)
        return NULL;
    DimTable *t = b->m->dims;
    Dim width = value_dim(x, 2);
    Dim d[4] = { value_dim(x, 0), value_dim(x, 1), heads ? dim_const(t, heads) : width, heads ? dim_divk(t, width, heads) : dim_one(b) };
    return mk_swap_axes(b, mk_reshape_to(b, x, 4, d), 0, 1);
}

static bool linear_rule(Importer *c, Linear *l)
{
    const char *rule = attr_s(c, "update_rule", "gated_delta");
    l->decays = !strncmp(rule, "gated", 5);
    l->corrects = !strcmp(rule, "delta") || !strcmp(rule, "gated_delta");
    if (!l->decays && !l->corrects && strcmp(rule, "linear"))
        return import_fail(c, "update_rule is '%s'", rule);
    return ((!l->decays || in(c, 4)) && (!l->corrects || in(c, 5))) || import_fail(c, "the rule '%s' needs decay or beta, which is missing", rule);
}

static bool linear_operands(Importer *c, Linear *l)
{
    Builder *b = &c->b;
    Value *q = in(c, 0), *k = in(c, 1), *v = in(c, 2);
    l->heads = attr_i(c, "q_num_heads", 0);
    l->kv_heads = attr_i(c, "kv_num_heads", 0);
    if (!q || !k || !v || !linear_rule(c, l))
        return false;
    for (int i = 0; i < 6; i++)
        if (i != 3 && in(c, i) && value_rank(in(c, i)) != 3)
            return import_fail(c, "input %d has rank %d, 3 is needed", i, value_rank(in(c, i)));
    if (l->heads < 1 || l->kv_heads < 1 || l->heads % l->kv_heads)
        return import_fail(c, "q_num_heads is %lld, which is no multiple of kv_num_heads", (long long)l->heads);
    if (!dim_is_const(value_dim(q, 1)) || value_dim(q, 1)->k > MAX_STEPS || !dim_is_const(value_dim(q, 2)))
        return import_unsupported(c, "a sequence whose length is not constant (set it with --dim) or is above %d", MAX_STEPS);
    DType t = wide_float(q->type.dtype);
    l->steps = value_dim(q, 1)->k;
    l->batch = value_dim(q, 0);
    l->scale = attr_f(c, "scale", 0);
    if (l->scale == 0)
        l->scale = 1 / sqrt((double)(value_dim(q, 2)->k / l->heads));
    l->q = time_first(b, mk_cast_to(b, q, t), l->heads);
    l->k = time_first(b, mk_cast_to(b, k, t), l->kv_heads);
    l->v = time_first(b, mk_cast_to(b, v, t), l->kv_heads);
    l->decay = l->decays ? time_first(b, mk_exp(b, mk_cast_to(b, in(c, 4), t)), l->kv_heads) : NULL;
    l->beta = l->corrects ? time_first(b, mk_cast_to(b, in(c, 5), t), 0) : NULL;
    return l->q && l->k && l->v;
}

/* One position: decay, replace (or add) what key k holds by v, read with q. */
static Value *linear_step(Builder *b, const Linear *l, int64_t step, Value **state)
{
    Dim at = dim_const(b->m->dims, step);
    Value *s = *state, *v = mk_index(b, l->v, 0, at), *q = mk_index(b, l->q, 0, at);
    Value *key = mk_insert_axes(b, mk_index(b, l->k, 0, at), 3, 1);             /* a column */
    if (l->decays)
        s = mk_mul(b, s, mk_insert_axes(b, mk_index(b, l->decay, 0, at), 3, 1));
    if (l->corrects) {
        Value *held = mk_matmul(b, IN(mk_swap_last(b, s), key), (Attr_matmul){ 0 });
        v = mk_mul(b, mk_index(b, l->beta, 0, at), mk_sub(b, v, mk_drop_axes(b, held, 1, (int64_t[]){ 3 })));
    }
    *state = s = mk_add(b, s, mk_mul(b, key, mk_insert_axes(b, v, 2, 1)));
    if (!s || !q)
        return NULL;
    Dim group[4] = { l->batch, dim_const(b->m->dims, l->kv_heads), dim_const(b->m->dims, l->heads / l->kv_heads), value_dim(q, 2) };
    Value *y = mk_matmul(b, IN(mk_reshape_to(b, q, 4, group), s), (Attr_matmul){ 0 });
    Dim row[3] = { l->batch, dim_one(b), dim_mulk(b->m->dims, value_dim(s, 3), l->heads) };
    return mk_reshape_to(b, mk_scaled(b, y, l->scale), 3, row);
}

bool import_linear_attention(Importer *c)
{
    Builder *b = &c->b;
    Linear l = { 0 };
    if (!linear_operands(c, &l))
        return false;
    DType t = in(c, 0)->type.dtype;
    Dim shape[4] = { l.batch, dim_const(c->m->dims, l.kv_heads), value_dim(l.k, 3), value_dim(l.v, 3) };
    Value *state = in(c, 3) ? mk_cast_to(b, in(c, 3), l.q->type.dtype) : mk_full(b, l.q->type.dtype, 4, shape, 0);
    Value **y = ARENA_ARRAY(c->m->arena, Value *, l.steps + 1);
    for (int64_t i = 0; i < l.steps; i++)
        if (!(y[i] = linear_step(b, &l, i, &state)))
            return false;
    if (!l.steps)
        return import_unsupported(c, "an empty sequence");
    Value *all = mk_concat(b, (Inputs){ (int)l.steps, y }, (Attr_concat){ .axis = 1 });
    return set_out(c, 0, mk_cast_to(b, all, t)) && set_present(c, 1, mk_cast_to(b, state, t));
}

/* ---- CausalConvWithState: a depthwise convolution over the past state and the input ---- */

bool import_causal_conv_with_state(Importer *c)
{
    Builder *b = &c->b;
    DimTable *dims = c->m->dims;
    Value *x = in(c, 0), *w = in(c, 1), *past = in(c, 3);
    const char *activation = attr_s(c, "activation", "none");
    bool silu = !strcmp(activation, "silu") || !strcmp(activation, "swish");
    if (!x || !w)
        return false;
    if (value_rank(x) != 3 || value_rank(w) != 3 || !dim_is_const(value_dim(w, 0)) || !dim_is_const(value_dim(w, 2)))
        return import_unsupported(c, "a weight that is not [channels, 1, size] with constant sizes, or an input of a rank other than 3");
    if (!silu && activation[0] && strcmp(activation, "none"))
        return import_fail(c, "activation is '%s'", activation);
    Dim state = dim_addk(dims, value_dim(w, 2), -1), shape[3] = { value_dim(x, 0), value_dim(x, 1), state };
    const int64_t one = 1, pads[2] = { 0, 0 };
    Value *longer = mk_concat2(b, past ? past : mk_full(b, x->type.dtype, 3, shape, 0), x, 2);
    Value *y = mk_conv(b, IN(longer, w, in(c, 2)), (Attr_conv){ .strides = ints_copy(c->m, 1, &one), .dilations = ints_copy(c->m, 1, &one),
                                                                .pads = ints_copy(c->m, 2, pads), .group = value_dim(w, 0)->k });
    if (y && silu) {
        Value *wide = mk_cast_to(b, y, wide_float(y->type.dtype));
        y = mk_cast_to(b, mk_mul(b, wide, mk_sigmoid(b, wide)), y->type.dtype);
    }
    return set_out(c, 0, y) && set_present(c, 1, mk_slice_axis(b, longer, 2, value_dim(x, 2), state));
}

/* ---- TensorScatter: updates written into a cache from position write_indices[n] of sequence n on ---- */

/* Cache position p holds update p - start, counted round the cache in circular mode, if there is such an update. */
Value *updated_cache(Builder *b, Value *cache, Value *update, Value *start, int axis, bool circular)
{
    if (!cache || !update)
        return NULL;
    int rank = value_rank(cache);
    Value *at = mk_align_channel(b, mk_iota_n(b, DT_i64, value_dim(cache, axis)), rank, axis);
    if (start)
        at = mk_sub(b, at, mk_align_channel(b, mk_cast_to(b, start, DT_i64), rank, 0));
    if (circular)
        at = mk_mod(b, at, mk_dim_scalar(b, value_dim(cache, axis), DT_i64));
    Value *last = mk_shifted(b, mk_dim_scalar(b, value_dim(update, axis), DT_i64), -1), *zero = mk_scalar(b, DT_i64, 0);
    Value *written = mk_and(b, mk_le(b, zero, at), mk_le(b, at, last));
    Value *from = mk_expand_to(b, mk_max(b, zero, mk_min(b, at, last)), rank, cache->type.dim);
    return mk_where(b, written, mk_gather_elements(b, IN(update, from), (Attr_gather_elements){ .axis = axis }), cache);
}

bool import_tensor_scatter(Importer *c)
{
    Value *cache = in(c, 0), *update = in(c, 1), *start = in(c, 2);
    bool ok = cache && update, circular = !strcmp(attr_s(c, "mode", "linear"), "circular");
    int rank = ok ? value_rank(cache) : 0;
    int64_t axis = ok ? import_axis(c, attr_i(c, "axis", -2), rank, &ok) : 0;
    if (!ok)
        return false;
    if (value_rank(update) != rank || axis == 0)
        return import_fail(c, "cache and update must have the same rank, and the axis cannot be the batch");
    OUT(c, updated_cache(&c->b, cache, update, start, (int)axis, circular));
}
