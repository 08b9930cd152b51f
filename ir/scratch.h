/* scratch.h -- working memory that a node needs while it runs, for the memory plan. */
#ifndef INGOT_SCRATCH_H
#define INGOT_SCRATCH_H

#include "ir.h"

/* Of a matmul that packs: threads that may run it at the same time, and panels of 16 columns that each of them has room for. */
enum { PACK_SLOTS = 16, PACK_PANELS = 4, PACK_LANES = 16 };

/* Bytes, 0 for most ops; a multiple of nothing in particular. */
Dim node_scratch_bytes(Module *m, const Node *n);

#endif
