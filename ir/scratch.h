/* scratch.h -- working memory that a node needs while it runs, for the memory plan. */
#ifndef INGOT_SCRATCH_H
#define INGOT_SCRATCH_H

#include "ir.h"

/* Bytes, 0 for most ops; a multiple of nothing in particular. */
Dim node_scratch_bytes(Module *m, const Node *n);

#endif
