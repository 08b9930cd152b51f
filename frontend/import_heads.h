/* import_heads.h -- what the attention operators share, see import_attention.c. Heads stand apart: [batch, heads, sequence, head size]. */
#ifndef INGOT_IMPORT_HEADS_H
#define INGOT_IMPORT_HEADS_H

#include "import_parts.h"

Value *split_heads(Importer *c, Value *x, int64_t heads);               /* [batch, seq, heads*size] -> [batch, heads, seq, size]; rank 4 stays */
Value *join_heads(Builder *b, Value *x);                                /* and back */
Value *grouped_matmul(Builder *b, Value *q, Value *kv);                 /* q may have a multiple of kv's heads */
Value *scaled_product(Builder *b, Value *q, Value *k, double scale);    /* q k' scale */
Value *bias_of(Builder *b, Value *allowed, DType t);                    /* 0 where true, else -inf */
Value *added_bias(Builder *b, Value *bias, Value *more);                /* either may be NULL */
Value *causal_bias(Builder *b, Dim queries, Dim keys, Dim past, DType t);
/* The cache with the update's slices along `axis` in place of its own from start[n] on (NULL: from 0), n of axis 0; beyond the end, or round it. */
Value *updated_cache(Builder *b, Value *cache, Value *update, Value *start, int axis, bool circular);
/* The first `rotated` elements of every head (0: all) turned by the angles of their position; cosine, sine [batch or 1, 1, seq, rotated / 2 or more]. */
Value *rotate_heads(Builder *b, Value *x, Value *cosine, Value *sine, int64_t rotated, bool interleaved);

#endif
