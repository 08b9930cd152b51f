/* low_bit_code.h -- products whose weights are codes of few bits (low_bit_product.h), packed with their scales.
 *
 * A panel is 16 columns of the weights: output channels, or columns of the matrix. What is summed over lies tap after tap, within a tap block after block:
 *
 *     scales of the block [16]  f16 if that is exact for all of them, else f32
 *     zero points [16]          where they differ: u8, f16 or f32, the smallest that is exact
 *     codes of 2 or 4 bits      [k / (32 / bits)][16] words of 32 bits: word i holds column i, the lowest bits the lowest k. i4 and i2 as unsigned numbers,
 *                               8 or 2 higher
 *     codes of 8 bits           [k][16]
 *
 * So one load gives 16 or 8 steps of k, a shift and one more instruction 16 numbers of a step: with AVX-512 a permutation that finds them in a table (of any
 * levels, with the zero point that all share taken away), else a mask and a conversion.
 *
 * Few rows are multiplied straight from that: sum(x * code) over a block, times the scale once. For more, the numbers of LOW_BIT_PANELS panels are
 * written to scratch, from where the tile of f32 reads them.
 */
#ifndef INGOT_LOW_BIT_CODE_H
#define INGOT_LOW_BIT_CODE_H

#include "gen.h"
#include "low_bit_product.h"

/* Steps, in elements, through a tensor of codes, scales or zero points. */
typedef struct LowBitSteps { int64_t group, column, k, tap; } LowBitSteps;

typedef struct LowBit {
    const Tensor *q, *scale, *zero; /* zero NULL: one for all, or none */
    LowBitSteps q_at, scale_at, zero_at;        /* k: of scale and zero, from block to block */
    int64_t groups, columns, taps, k;           /* columns per group */
    int64_t block, blocks;          /* elements of k, the last block cut off; blocks per tap */
    int bits;
    int64_t lowest;                 /* code of the lowest number, taken away when packed: -8 for i4 */
    DType scale_type, zero_type;
    bool table;                     /* numbers are found in `level` */
    double level[256];              /* of a code as packed, the shared zero point taken away */
    double shared_zero;             /* to be taken away still, where there is no table */
    int64_t header_bytes, block_bytes, tap_bytes, panel_bytes;
} LowBit;

/* Of a group with weights. In the arena. */
const LowBit *low_bit_of(const Group *g);
/* The operand that is read packed, the codes; *offset: its place among the weights. */
int low_bit_pack(const Group *g, uint64_t *offset);
bool low_bit_has(const Group *g, int operand);                      /* the operand went into the packed codes */
const char *low_bit_key(Codegen *cg, const Node *fused);            /* what of the layout the types do not tell; "" without weights */
LLVMValueRef low_bit_data(const Group *g);                          /* address of the packed panels */

/* Contract.sum of a tile that reads the packed weights of a matrix: b.ptr is that address, b.type u8, panel_step and b_start in bytes. */
void low_bit_sum(Contract *c, Tile *t);
/* Panels unpacked to scratch, where the units behind this one find them. */
typedef struct LowBitCache {
    const LowBit *w;                /* NULL: the weights are numbers in memory already, nothing here does anything */
    LLVMValueRef slot, at, have;    /* claimed; address of its memory; variable: the first panel that is there */
} LowBitCache;
LowBitCache low_bit_cache_open(Group *g, Contract *c);              /* c reads its weights from there */
void low_bit_cache_fill(Group *g, const LowBitCache *u, Tile *at, LLVMValueRef first, LLVMValueRef left);   /* at: begins in the first panel */
void low_bit_cache_close(Group *g, const LowBitCache *u);
/* Write panels [first, first + LOW_BIT_PANELS), as far as they are there, as f32 to `to`: [panel][tap][k][16]. first: of all groups; left (i64): how many
 * there are from first on. */
void low_bit_unpack(Group *g, const LowBit *w, LLVMValueRef first, LLVMValueRef left, LLVMValueRef to);

#endif
