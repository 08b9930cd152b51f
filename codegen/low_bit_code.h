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
 * Codes are read 64 bytes at a time, such a step is whole, even if the block has fewer codes.
 *
 * Few rows are multiplied straight from that: sum(x * code) over a block, times the scale once. For more, the numbers of a few panels and some hundred k
 * are written to scratch, which stays in the second-level cache while the tiles of f32 pass over it (gen_low_bit.c).
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

enum { LOW_BIT_STEP = 64 };         /* bytes */

/* k that one step holds. */
static inline int low_bit_per_step(const LowBit *w)
{
    return LOW_BIT_STEP * 8 / (w->bits * CG_LANES);
}

/* k that are unpacked at once: whole steps, enough to keep all units busy. The codes of a block fill a multiple. */
static inline int low_bit_once(const LowBit *w)
{
    int per = low_bit_per_step(w);
    return per < 8 ? 8 : per;
}

/* Of a group with weights. In the arena. */
const LowBit *low_bit_of(const Group *g);
/* The operand that is read packed, the codes; *offset: its place among the weights. */
int low_bit_pack(const Group *g, uint64_t *offset);
bool low_bit_has(const Group *g, int operand);                      /* the operand went into the packed codes */
const char *low_bit_key(Codegen *cg, const Node *fused);            /* what of the layout the types do not tell; "" without weights */
LLVMValueRef low_bit_data(const Group *g);                          /* address of the packed panels */

/* Contract.sum of a tile that reads the packed weights of a matrix: b.ptr is that address, b.type u8, panel_step and b_start in bytes. */
void low_bit_sum(Contract *c, Tile *t);
/* Codes of one tap, k [k0, k1), of several panels. */
typedef struct LowBitPiece {
    int panels;                     /* at most LOW_BIT_PANELS */
    LLVMValueRef tap;               /* address of the tap in the first panel */
    LLVMValueRef k0, k1;            /* k0 is the start of a block of scales or, if all those of the tap start at multiples of 16, such a multiple itself */
    LLVMValueRef to;                /* where the first panel's numbers go: [k][16] */
    int64_t to_panel;               /* bytes from there to the next panel's */
    LLVMValueRef ahead;             /* what lies so many bytes further is asked for */
    Tile *t;                        /* adds them times x to its sums, on the way; NULL: none */
    LLVMValueRef a, b;              /* elements of x before the tap's k = 0, of scratch before `to`: see tile_accumulate */
} LowBitPiece;
/* Write them as f32; up to low_bit_once - 1 k more are written. */
void low_bit_unpack(Codegen *cg, const LowBit *w, const LowBitPiece *piece);

/* ---- products of many rows (gen_low_bit.c) ---- */

typedef struct LowBitMany LowBitMany;
struct LowBitMany {
    Contract *c;                    /* a, shape, bias... b, sum and partial are set here */
    const void *ctx;                /* the caller's */
    int64_t row_taps;               /* taps whose k lie side by side in a */
    Dim tiles;                      /* of rows, one after the other: all rows of a group of columns */
    void (*tile)(const LowBitMany *m, LLVMValueRef group, LLVMValueRef number, LLVMValueRef panel);     /* emits one, columns from this panel on */
    LLVMValueRef (*first_row)(const LowBitMany *m, LLVMValueRef number);                                /* of a tile, in the whole result */
    LLVMValueRef (*tap_start)(const LowBitMany *m, LLVMValueRef tap);                                   /* elements of a before what a tap reads; NULL: 0 */
};
/* The tile that tile_choose gave, no wider than what is unpacked at a time. */
TileShape low_bit_shape(const Group *g, TileShape s);
/* Emits units [begin, end) of the work that it returns. */
Work low_bit_many(LowBitMany *m, LLVMValueRef begin, LLVMValueRef end);

#endif
