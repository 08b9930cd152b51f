/* int8.h -- products of u8 and i8, summed in i32, for convolution and matmul.
 *
 * Four neighbouring k (input channels, taps) are multiplied and added at a time. Weights are packed for that, a column's four bytes side by side:
 *
 *     panel of 16 columns:  [k / 4] [column] [4]      64 bytes per step, zeros where a run ends within four
 *
 *   matmul [batch][K,N]        -> [batch][panel][K rounded up to 4][16]
 *   conv [M, C/g, k...]        -> [group][panel][runs][run rounded up to 4][16], a run as in conv_run
 *   depthwise conv [C, 1, k..] -> [panel of 16 channels][filter rows][columns / 4][16][4]
 *
 * Weights that all lie in -8..7 take four bits each, but for depthwise filters: 64 bytes hold two steps, the first in the low halves, 8 higher than they are. Runs
 * are rounded up to 8 then.
 *
 * Every target gives the same sums: they are exact as long as they fit an i32, and wrap beyond.
 */
#ifndef INGOT_INT8_H
#define INGOT_INT8_H

#include "conv.h"

/* Bits that a weight takes in the file: 8 or 4. w: i8 constant, or NULL: not known. */
int int8_bits(const Tensor *w);
/* The same of what the group multiplies by. */
int int8_group_bits(const Group *g);

static inline int64_t int8_padded(int64_t k) { return (k + 3) / 4 * 4; }
/* Of a panel, for k products in a row. */
static inline int64_t int8_run_bytes(int bits, int64_t k) { return bits == 4 ? (k + 7) / 8 * 4 * CG_LANES : int8_padded(k) * CG_LANES; }

/* ---- dot_int8.c: the instruction ---- */

/* acc[i] + the sum over j < 4 of a[4*i + j] * w[4*i + j]: acc <16 x i32>, a <64 x i8> unsigned, w <64 x i8> signed. */
LLVMValueRef int8_dot(Codegen *cg, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef w);

/* ---- tile_int8.c ---- */

/* tile_accumulate for bytes: b is packed, length is a number; a_offset and b_offset in bytes. */
void tile_accumulate_int8(Tile *t, LLVMValueRef a_offset, LLVMValueRef b_offset, int64_t length);

/* ---- gen_depthwise_int8.c ---- */

void gen_depthwise_int8(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work);

/* ---- pack_int8.c: places among the weights ---- */

uint64_t pack_matmul_int8(Codegen *cg, const Tensor *t);
uint64_t pack_conv_int8(const Group *g, const Tensor *t);

#endif
