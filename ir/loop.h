/* loop.h -- the op `loop`, read through its attributes: which sizes change from one iteration to the next. See its row in ops.def. */
#ifndef INGOT_LOOP_H
#define INGOT_LOOP_H

#include "ir.h"

enum { LOOP_COUNT = -1, LOOP_AXES = 16 };                           /* values of `at`: the number of iterations, or result * LOOP_AXES + axis */

static inline int64_t loop_at(int result, int axis) { return result * LOOP_AXES + axis; }
/* The symbol that stands at this place, NULL if the size is the same in every iteration. */
Dim loop_size(const Node *n, int64_t at);
/* How many iterations there are: the symbol for it, or what is known of operand 1; NULL if neither. */
Dim loop_count(Module *m, const Node *n);
/* Type of the body's input i: 0 the iteration number, then the states, then what is captured. */
Type loop_input_type(Module *m, const Node *n, int i);
/* Type of result i from that of what an iteration returns for it. */
Type loop_result_type(Module *m, const Node *n, int i, const Type *returned);

#endif
