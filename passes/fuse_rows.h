/* fuse_rows.h -- which nodes make one kernel of normalisation (for fuse.c). */
#ifndef INGOT_FUSE_ROWS_H
#define INGOT_FUSE_ROWS_H

#include "pass_util.h"

/* The nodes around this reduce that are computed row by row with it, in any order, or 0 if the groups of fuse.c serve as well. Only the last one in the graph has users
 * outside. */
int rows_members(Node *reduce, Node **member, int room);
bool op_is_cheap(OpCode op);                /* cheaper to compute again than to store (fuse.c) */

#endif
