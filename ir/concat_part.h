/* concat_part.h -- a concat that is written in place: what verifier, memory plan and code generation agree on.
 *
 *   %2 = fused(...) : f32[1,8,8,16] @alias(%4)             [ %2 16 | %3 48 ]  row 0 of %4
 *   %3 = fused(...) : f32[1,8,8,48] @alias(%4+16)          [ %2 16 | %3 48 ]  row 1
 *   %4 = concat(%2, %3) {axis=3} : f32[1,8,8,64] @arena+0    ...
 *
 * A part is an operand of a concat along the last axis, and read by nobody else. Its kernel stores row after row at the distance of the concat's rows,
 * from its column on, so that nothing is left to do for the concat. Either all operands are parts or none.
 */
#ifndef INGOT_CONCAT_PART_H
#define INGOT_CONCAT_PART_H

#include "ir.h"

/* The concat whose memory v is part of, or NULL. In a planned graph. */
const Node *part_of_concat(const Value *v);
/* The kernel of this node can store the rows of its result apart: a convolution by register tiles, or by Winograd's method, and its epilogue. */
bool node_stores_rows(const Node *n);
/* The concat can be written in place, as far as its operands and who computes them tell. */
bool concat_takes_parts(const Node *concat);
/* Where operand i of such a concat begins in a row. */
int part_column(const Node *concat, int i);

#endif
