/* blocks.h -- whole residual blocks: y = x + f(x) becomes y = x, and all that computes f is gone.
 *
 * The branch f is what is computed for the sum alone; x must be among what it reads. So a transformer's block is two: its attention and its layers behind.
 */
#ifndef INGOT_BLOCKS_H
#define INGOT_BLOCKS_H

#include "importance.h"
#include "select.h"

typedef struct Block {
    const Node *sum, *last;         /* the add; the last product of the branch */
    int shortcut;                   /* operand of sum that stays */
    const char *name;               /* of the last product */
    Cost cost;                      /* of the branch */
    double score;                   /* the lowest go first */
} Block;

typedef struct Blocks {
    Arena *arena;
    Module *m;
    const Graph *g;
    int n, nrefused;
    Block *block;                   /* in the order of the graph */
    Refusal *refused;               /* sums that are none */
} Blocks;

/* keep: names of nodes or tensors whose blocks stay. NULL after reporting (a name that is not there). */
Blocks *blocks_find(Arena *a, Module *m, const Graph *g, int nkeep, const char *const *keep);
/* Fills in the scores. l1, l2: mean size of the last product's weights; activation: what the branch adds, relative to the sum; reconstruction: how far the network's
 * results move without it; random. samples may be NULL where none are needed. False after reporting. */
bool blocks_score(Blocks *b, Importance by, Samples *samples);
/* A copy of the graph without the blocks for which removed[i] is true. map, if not NULL: its values -> those of the copy; 0: gone. NULL after reporting. */
Graph *blocks_remove(const Blocks *b, const bool *removed, PtrMap *map);
/* A copy in which what these branches add is multiplied by zero: what the removal means. */
Graph *blocks_mask(const Blocks *b, const bool *removed);

#endif
