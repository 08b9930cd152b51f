/* low_bit_product.h -- weights of few bits that a product reads packed: what passes, memory plan and code generation agree on.
 *
 *   %w = dequantize_blocks(%q, %scale, %zero) {axis=0, block=32}      constants
 *   %y = matmul(%x, %w)                                               or conv: axis 1, the input channels
 *
 * expand.c keeps such a node only where low_bit_fits says so, and gives each product one of its own; fuse.c moves it into the product's body; the
 * generator finds it there. Anywhere else it becomes numbers when the model is compiled.
 */
#ifndef INGOT_LOW_BIT_PRODUCT_H
#define INGOT_LOW_BIT_PRODUCT_H

#include "ir.h"

enum {
    LOW_BIT_DIRECT = 12,            /* rows that are multiplied straight from the packed weights; for more, they are unpacked first */
    LOW_BIT_DIRECT_ZEROS = 4,       /* the same with zero points: the elements of every row are added up beside */
    LOW_BIT_PANELS = 4,             /* at most so many panels of 16 columns, */
    LOW_BIT_K = 512,                /* and of each so many k are unpacked at a time */
    LOW_BIT_ROWS = 256,             /* rows that then pass by, if k is more than that: their sums wait in scratch */
    LOW_BIT_SLOTS = 8,              /* threads that may unpack at the same time */
};

/* The dequantize_blocks that gives operand 1 of a conv or matmul, or NULL. */
const Node *low_bit_weights(const Node *product);
/* As far as types and attributes tell, this conv or matmul can read the weights packed. */
bool low_bit_fits(const Node *product);
/* And it stands as code generation wants it: channels last, pads made explicit. */
bool low_bit_ready(const Node *product);
int64_t low_bit_direct(const Node *product);                        /* which of the two */
/* Rows of a matmul, if it is known that they are at most so many; else 0. */
int64_t low_bit_few_rows(const Node *product);
/* k that a panel in scratch has room for. */
int64_t low_bit_room(const Node *product);
/* Bytes of scratch: what each slot holds unpacked, then sums that are not complete. */
int64_t low_bit_slot_bytes(const Node *product);

#endif
