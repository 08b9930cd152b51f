/* bf16.h -- products of bf16, summed in f32, for convolution and matmul with constant weights.
 *
 * Two neighbouring k (input channels, taps) are multiplied and added at a time. Weights are packed for that, a column's pair side by side:
 *
 *     panel of 16 columns:  [k / 2] [column] [2]      64 bytes per step, a zero where a run ends within a pair
 *
 *   matmul [batch][K,N]        -> [batch][panel][K rounded up to 2][16]
 *   conv [M, C/g, k...]        -> [group][panel][runs][run rounded up to 2][16], a run as in conv_run
 *
 * (Depthwise filters are packed and read as those of f32.) Every target gives the same sums, but for numbers below f32's normal range, which the instruction
 * takes for zero, and where there is no fused multiply-add: of a pair, the second product is added before the first, each rounded once.
 */
#ifndef INGOT_BF16_H
#define INGOT_BF16_H

#include "conv.h"

static inline int64_t bf16_padded(int64_t k) { return (k + 1) / 2 * 2; }

/* ---- dot_bf16.c: the instruction ---- */

/* acc[i] + a[2*i + 1] * w[2*i + 1] + a[2*i] * w[2*i]: acc <16 x float>; a and w <16 x i32>, two bf16 numbers each. */
LLVMValueRef bf16_dot(Codegen *cg, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef w);

/* ---- tile_bf16.c ---- */

/* tile_accumulate for bf16: b is packed, length is a number. */
void tile_accumulate_bf16(Tile *t, LLVMValueRef a_offset, LLVMValueRef b_offset, int64_t length);

/* ---- pack_bf16.c: places among the weights ---- */

uint64_t pack_matmul_bf16(Codegen *cg, const Tensor *t);
uint64_t pack_conv_bf16(const Group *g, const Tensor *t);

#endif
