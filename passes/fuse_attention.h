/* fuse_attention.h -- which nodes make one kernel of attention (for fuse.c). */
#ifndef INGOT_FUSE_ATTENTION_H
#define INGOT_FUSE_ATTENTION_H

#include "pass_util.h"

/* The nodes of softmax(f(Q K)) V around this softmax, in any order, or 0 if codegen has no kernel for them. Only the last one in the graph has users outside. */
int attention_members(Module *m, Node *softmax, Node **member, int room);

#endif
