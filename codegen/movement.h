/* movement.h -- between group.c and movement.c: how ops that move data read their operands, and whether lanes survive it. */
#ifndef INGOT_MOVEMENT_H
#define INGOT_MOVEMENT_H

#include "gen.h"

/* Walks from a value to the memory it is read from, following what one step along the lanes does to each index. */
typedef struct LaneWalk {
    Group *g;
    int budget;                     /* values visited; deep sharing is answered with no */
    int64_t block;                  /* the lanes stay within [n*block, (n+1)*block) of the dim they run along, for some n; 0: not known */
    Dim shift;                      /* index along that dim minus the column; NULL: not known */
    LaneCuts *cuts;                 /* filled on the way; NULL: the caller cannot cut its columns, nor read with a stride */
} LaneWalk;

typedef struct Movement {
    /* Element `at` of n's result. */
    LLVMValueRef (*load)(Group *g, const Node *n, const Index *at, int lanes);
    /* May neighbouring lanes, `lane[d]` apart along dim d of the result, be read as contiguous or uniform memory? */
    bool (*lanes)(LaneWalk *w, const Node *n, const int64_t *lane);
} Movement;

extern const Movement movement_table[OP_count];     /* by op; empty: the op broadcasts, like elementwise ops */

bool lanes_ok(LaneWalk *w, const Value *v, const int64_t *lane);
bool lanes_through_broadcast(LaneWalk *w, const Node *n, const int64_t *lane);
/* v at the index that its broadcasting to `to` gives. */
LLVMValueRef load_broadcast(Group *g, const Value *v, const Index *at, const Type *to, int lanes);
/* group_load inside a branch: what it remembers there does not reach the code after. */
LLVMValueRef load_in_branch(Group *g, const Value *v, const Index *at, int lanes);

#endif
