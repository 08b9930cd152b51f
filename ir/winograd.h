/* winograd.h -- convolution with 3x3 filters by Winograd's minimal filtering F(m x m, 3 x 3): what passes, memory plan and code generation agree on.
 *
 * An output tile of m x m comes from an input tile of n x n, n = m + 2:   Y = At [ (G g Gt) * (Bt d B) ] A
 * where * is elementwise; summed over input channels it is n*n independent matrix products, tiles x channels times channels x filters.
 * Lavin, Gray: Fast algorithms for convolutional neural networks (2015). The matrices are Toom-Cook's for the points 0, 1, -1, 2, -2, 1/2, -1/2
 * and infinity (as many as n asks for).
 *
 * How a node does it is in its attribute winograd=[m, tiles, panels, slots], empty for a direct convolution:
 *   tiles    output tiles that one block transforms and multiplies at a time
 *   panels   panels of 16 filters that one item of work makes; a divisor of all of them
 *   slots    threads that may run it at the same time, at most 32; each has scratch of its own
 */
#ifndef INGOT_WINOGRAD_H
#define INGOT_WINOGRAD_H

#include "ir.h"

enum { WINOGRAD_MAX_TILE = 6, WINOGRAD_MAX_INPUT = WINOGRAD_MAX_TILE + 2, WINOGRAD_LANES = 16 };

typedef struct Winograd {
    int m, n;
    double at[WINOGRAD_MAX_TILE][WINOGRAD_MAX_INPUT];       /* m x n */
    double g[WINOGRAD_MAX_INPUT][3];                        /* n x 3 */
    double bt[WINOGRAD_MAX_INPUT][WINOGRAD_MAX_INPUT];      /* n x n */
} Winograd;

/* The matrices of F(m, 3), m = 2, 4 or 6. Points k and k + 1 for odd k < n - 1 are opposite numbers. */
Winograd winograd_matrices(int m);

/* The attribute, read. */
typedef struct WinogradPlan { int m; int64_t tiles, panels, slots; } WinogradPlan;
WinogradPlan winograd_plan(const Attr_conv *a);             /* m = 0: the convolution is direct */

/* Two-dimensional, 3x3, stride and dilation 1, one group, f32, channels last, constant weights: F(m, 3) computes it. */
bool winograd_applies(const Node *conv);

/* This pool of the (activated) result can be taken while a tile is stored: the largest of 2x2 pixels, as tiles have even sides. */
bool winograd_takes_pool(const Node *conv, const Node *pool);

/* f32 elements between neighbouring tiles of one position, for `channels` numbers each: a multiple of 16, and no multiple of 4 KB. */
int64_t winograd_row(int64_t channels);
/* Bytes of scratch per slot: transformed input [n*n][tiles][row], then products [n*n][tiles][row]. */
int64_t winograd_slot_bytes(const WinogradPlan *p, int64_t channels);

#endif
