/* run.h -- private to the making of NAME_run (gen_run.c, gen_loop.c): its state, and what control flow needs of it. */
#ifndef INGOT_RUN_H
#define INGOT_RUN_H

#include "gen.h"

typedef struct Run {
    Codegen *cg;
    LLVMTypeRef call_type, tensor_type;
    LLVMValueRef fn, call, state, workspace;
    LLVMValueRef status, message;           /* variables, set on the way to fail */
    LLVMValueRef kernel_status;             /* variable: of the kernel that failed, 0 if it was none; NULL: no kernel is called */
    LLVMBasicBlockRef fail;
    LLVMValueRef *output;                   /* variable per output: its data pointer */
    LLVMValueRef *heap;                     /* variable per heap slot */
    int noutputs;
    Value **outputs;                        /* what main's return lists */
    bool *output_ready;
    int depth;                              /* of loops around what is being emitted */
    LLVMValueRef memory;                    /* variable: what kernels keep (KMemory of kernel.h); NULL if none does */
} Run;

/* Continue only if ok; else fail with this status and sentence. */
void run_require(Run *r, LLVMValueRef ok, int status, const char *sentence);
const char *run_label(Run *r, const Node *n);                       /* the node, in a sentence */
LLVMValueRef run_symbol_slot(Run *r, int64_t sym);
LLVMValueRef run_pointer(Run *r, const Value *v);                   /* where v is; null for an absent operand */
/* The caller's allocate(bytes), never of 0 bytes; fails where there is none or it has nothing left. */
LLVMValueRef run_allocate(Run *r, LLVMValueRef bytes, const char *what);
void run_release(Run *r, LLVMValueRef p);                           /* null is fine */
void run_graph(Run *r, const Graph *g);

void run_loop(Run *r, const Node *n);

#endif
