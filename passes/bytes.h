/* bytes.h -- private to the quantisation pass: values that stand for numbers as bytes, and the way models say so in core ops.
 *
 *     dequantised   mul(sub(cast(x), zero), scale)                                   scale * (x - zero), in f32
 *     centred       sub(cast(x), zero)                                               x - zero, in f32 or i32
 *     quantised     cast(min(max(add(round(ratio), zero), least), most))             as QuantizeLinear defines it
 *     flipped       bitcast(bit_xor(u, 128))                                         the i8 that is 128 less than the u8 u
 *
 * The pass keeps bytes as u8, which is what products of bytes take; where a model says i8, it says "flipped", and readers that know look behind it.
 */
#ifndef INGOT_BYTES_H
#define INGOT_BYTES_H

#include "build.h"
#include "pass_util.h"

typedef struct Bytes {
    Value *x;                       /* u8 or i8, never flipped */
    int64_t zero;
    Value *moving_zero;             /* one more to take away: an 8-bit scalar that only the run knows, or NULL */
    Value *scale;                   /* f32, one element; NULL: 1 */
} Bytes;

static inline bool is_byte(DType t) { return t == DT_u8 || t == DT_i8; }

/* v as a constant, if all that it is computed from is constant; NULL otherwise. */
Value *bytes_constant(Module *m, Value *v);
/* The number that all elements of v are. */
bool bytes_number(Module *m, Value *v, double *x);
/* The u8 behind a flipped value, or NULL. */
Value *bytes_behind_flip(const Value *v);
Value *bytes_flipped(Builder *b, Value *u);
/* u8 with the same meaning; its zero grows if x was i8. */
void bytes_make_unsigned(Builder *b, Bytes *x);

bool bytes_match_centred(Module *m, Value *v, Bytes *out);
/* f32 with a scale of one element, or centred i32. */
bool bytes_match(Module *m, Value *v, Bytes *out);
/* x - zero in the type t, and times the scale. */
Value *bytes_centred(Builder *b, const Bytes *x, DType t);
Value *bytes_number_of(Builder *b, const Bytes *x);

typedef struct Quantised {
    Value *ratio;                   /* f32 */
    int64_t zero;
    DType type;
} Quantised;

bool bytes_match_quantised(Module *m, const Node *n, Quantised *out);

/* quant_contract.c: a conv or matmul of centred bytes with constant weights becomes a product of bytes. *done: it was, and n is gone. */
bool quant_contract(Module *m, Node *n, bool *done);

#endif
