/* kernel_args.h -- how a KERNEL node calls its k_<op>: the attribute words, the functions, and which data symbols the call decides.
 * The evaluator and codegen both marshal through here.
 */
#ifndef INGOT_KERNEL_ARGS_H
#define INGOT_KERNEL_ARGS_H

#include "ir.h"
#include "kernel.h"

/* The attribute words of a node in the order kernel.h describes; each is a DIM_CONST or an expression of symbols to be evaluated at run time. */
DimVec kernel_attr_words(Module *m, Arena *a, const Node *n);

/* k_<op> of a KERNEL op; NULL for every other op. */
KFunction *kernel_function(OpCode op);

/* The symbols that running a SIZES node defines (its one dims attribute). A kernel writes their values into the dims of its outputs, whose
 * buffers are made for the symbols' upper bounds. */
DimVec node_defined_symbols(const Node *n);

#endif
