/* work.h -- how much a node computes and moves, as sizes: what a roofline needs. */
#ifndef INGOT_WORK_H
#define INGOT_WORK_H

#include "ir.h"

/* Of one node of any stage; a fused node is the sum of its body, read from and written to memory once. */
typedef struct NodeWork {
    Dim flops;                      /* a multiply-add is two; elementwise operators count their primitives; irregular operators count nothing */
    Dim weight_bytes;               /* constant operands */
    Dim data_bytes;                 /* other operands, and results */
} NodeWork;

/* m: the node's module, in whose arena and table the sizes are made. An estimate by the operator's definition, whatever algorithm computes it. */
NodeWork node_work(Module *m, const Node *n);
/* The operators of a node: its own name, or those of a fused body, in order, joined by '+'; a convolution says which algorithm it uses. */
const char *node_ops(Arena *a, const Node *n);

#endif
