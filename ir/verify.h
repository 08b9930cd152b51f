/* verify.h -- the part of the verifier that inference of nested graphs relies on. */
#ifndef INGOT_VERIFY_H
#define INGOT_VERIFY_H

#include "ir.h"

/* Inputs are numbered 0..n-1, and the one `return` is last. Reports and returns false if not. */
bool graph_verify_frame(const Graph *g);

#endif
