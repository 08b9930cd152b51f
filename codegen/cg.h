/* cg.h -- inside codegen: the state of one compilation and the services the generators share.
 *
 * How a module becomes code. Every node of the planned graph that computes becomes one *kernel*: an internal LLVM function
 *     void k(ptr args, i64 begin, i64 end)
 * over a range of units (rows, tiles...), with `args` an array of pointers: its operands, its results, the context, its scratch. The generated `NAME_run`
 * (gen_run.c) checks the tensors, computes the symbols, and calls the kernels in order, through parallel_for where there is more than one unit of
 * work worth sharing. Kernels that would be equal (same op, attributes, types, epilogue) are emitted once.
 *
 * The context points to a struct { i64 error; i64 sym[nsym]; i64 claims; } on run's stack: symbolic sizes are read from there.
 *
 * Vector code is written in "virtual lanes" of one fixed width (CG_LANES f32), whatever the target has: LLVM splits the vectors. So the order of every
 * reduction, and with it every bit of the result, does not depend on the vector width of the target nor on the number of threads.
 */
#ifndef INGOT_CG_H
#define INGOT_CG_H

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "compile.h"
#include "formula.h"
#include "ir.h"

enum { CG_LANES = 16 };             /* f32 elements of a virtual vector; also the panel width of packed weights */

typedef struct Weights Weights;
typedef struct KernelCache KernelCache;
typedef struct DimCache DimCache;

typedef struct Codegen {
    Arena *arena;
    Module *m;
    const CompileOptions *opt;
    TargetInfo target;
    LLVMContextRef llvm;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    LLVMTargetMachineRef machine;
    LLVMTypeRef void_t, i1, i8, i16, i32, i64, f16, f32, f64, ptr;
    LLVMTypeRef kernel_type;        /* void (ptr, i64, i64) */
    Weights *weights;
    KernelCache *kernels;
    DimCache *dim_cache;            /* of the function being emitted, or NULL */
    int64_t claims_word;            /* word of the context that slots.c uses */
    const char *error;              /* first internal failure, NULL if none */
    bool decodes_images;            /* the model asks whoever runs it to decode images */
} Codegen;

/* ---- weights.c: constant data of the model, one read-only blob that the linker places ---- */

/* How constant data is laid out in the blob. The writer fills `to` (entry->bytes bytes) when the file is written; nothing is kept in memory. */
typedef struct WeightEntry {
    const Tensor *tensor;
    uint64_t offset, bytes;         /* offset: a multiple of 64 */
    void (*write)(const struct WeightEntry *e, void *to);
    int64_t param[4];               /* of the layout */
    const void *more;               /* of a layout that four numbers do not tell, else NULL; without padding, so that bytes can be compared */
    size_t more_bytes;
} WeightEntry;

Weights *weights_new(Arena *a);
/* Offset of tensor data under this layout; equal requests (same data, writer, params) share one entry. */
uint64_t weights_add(Weights *w, const Tensor *t, uint64_t bytes, void (*write)(const WeightEntry *, void *), const int64_t param[4]);
uint64_t weights_add_more(Weights *w, const Tensor *t, uint64_t bytes, void (*write)(const WeightEntry *, void *), const void *more, size_t more_bytes);
uint64_t weights_add_plain(Weights *w, const Tensor *t);
int weights_count(const Weights *w);
const WeightEntry *weights_at(const Weights *w, int i);
uint64_t weights_bytes(const Weights *w);
bool weights_write(const Weights *w, FILE *f);                      /* the whole blob, entry by entry; false: see errno */
/* The symbol of the blob (hidden, in .rodata of the weights object). */
LLVMValueRef cg_weights_base(Codegen *cg);
const char *cg_weights_symbol(Codegen *cg);
/* Address of a constant's elements, row-major. */
LLVMValueRef cg_constant_data(Codegen *cg, const Tensor *t);

/* ---- object.c, link.c, archive.c, header.c: files ---- */

/* A relocatable ELF object for the target whose .rodata holds the blob under the hidden symbol `symbol`, 64-byte aligned, streamed entry by entry. */
bool weights_write_object(const Weights *w, const TargetInfo *t, const char *symbol, const char *path, Diag *d);
/* Names that the object refers to and does not define. */
bool object_undefined(Arena *a, const char *path, int *n, const char *const **names, Diag *d);
/* Make every symbol that the object defines local, apart from those to keep: two models in one program must not clash. */
bool object_hide_symbols(Arena *a, const char *path, int nkeep, const char *const *keep, Diag *d);
/* Link objects into a shared object with no NEEDED entry and nothing undefined, exporting only `exports`; or relocatable with `-r`. */
bool link_shared(const TargetInfo *t, int n, const char *const *object, const char *const *exports, int nexports, const char *path, Diag *d);
bool link_relocatable(const TargetInfo *t, int n, const char *const *object, const char *path, Diag *d);
bool archive_write(int n, const char *const *object, int nsymbols, const char *const *symbol, const char *path, Diag *d);
bool header_write(Module *m, const TargetInfo *t, const char *path);

/* ---- target.c ---- */

typedef struct FamilyInfo {
    const char *name;
    int bits;
    unsigned machine, flags;        /* e_machine, e_flags of ELF objects */
    const char *abi;                /* LLVM's target-abi where the triple does not say it, else "" */
    const char *description;
} FamilyInfo;
const FamilyInfo *target_family(const TargetInfo *t);
bool target_has(const TargetInfo *t, const char *feature);          /* LLVM's feature names: "avx512f", "sse4.1" */

/* ---- backend.c: LLVM target machine and pipeline ---- */

/* Every function of the model gets these: the target's cpu and features, full vector width, no calls that LLVM invents. */
void cg_function_attributes(Codegen *cg, LLVMValueRef fn);

bool backend_open(Codegen *cg);                                     /* context, module, machine, data layout */
bool backend_optimize(Codegen *cg);                                 /* link used bitcode kernels, verify, LLVMRunPasses */
bool backend_emit(Codegen *cg, OutputKind kind, const char *path);  /* object, assembly or LLVM text */
void backend_close(Codegen *cg);

/* ---- bitcode.c: the irregular kernels and builtins ---- */

/* Declaration of `k_<op>` (i32 (ptr)) in the module; remembers that its bitcode must be linked in. NULL: there is no such kernel for this family. */
LLVMValueRef cg_kernel_function(Codegen *cg, const char *name);
/* Link the bitcode of every kernel asked for, with the model's cpu and features; called by backend_optimize. */
bool bitcode_link(Codegen *cg);
/* If the model's object lacks functions, write an object that has them (hidden) to path. */
bool bitcode_builtins(Codegen *cg, const char *object, const char *path, bool *needed);

/* ---- gen_formula.c ---- */

/* LLVM type that elements of a dtype have while computing (lanes 1: scalar; bool: i1) and in memory. */
LLVMTypeRef cg_compute_type(Codegen *cg, DType t, int lanes);
LLVMTypeRef cg_storage_type(Codegen *cg, DType t, int lanes);
/* Stored bits -> compute value and back (small floats through formula_load/store or the CPU's own conversion, bool i8 <-> i1, sub-byte as is). */
LLVMValueRef cg_from_storage(Codegen *cg, DType t, LLVMValueRef raw, int lanes);
LLVMValueRef cg_to_storage(Codegen *cg, DType t, LLVMValueRef val, int lanes, bool saturate);
/* Emit a formula at the builder's position. args: one compute value per operand. */
LLVMValueRef cg_formula(Codegen *cg, const Formula *f, const LLVMValueRef *args, int lanes);
/* Value of an elementwise op, cast or bitcast; the result is rounded to its dtype (small floats) but stays a compute value. */
LLVMValueRef cg_elementwise(Codegen *cg, const Node *n, const LLVMValueRef *args, int lanes);
/* x * y + z with the target's FMA where it has one, else multiply and add. */
LLVMValueRef cg_fma(Codegen *cg, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z);
LLVMValueRef cg_splat(Codegen *cg, LLVMValueRef scalar, int lanes);

/* ---- loops.c: small helpers over LLVMBuilder ---- */

LLVMValueRef cg_i64(Codegen *cg, int64_t k);
LLVMValueRef cg_smaller(Codegen *cg, LLVMValueRef a, LLVMValueRef b);    /* of two signed numbers */
LLVMValueRef cg_larger(Codegen *cg, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef cg_dim(Codegen *cg, LLVMValueRef context, Dim d);      /* value of a Dim: constant, or computed from the context's symbols */
/* From here on sizes are computed once, where the builder stands now, and remembered; the builder goes on in a new block. data_too: data symbols
 * have their values already. Returns what was in cg->dim_cache before: put it back at the end of the function. */
DimCache *dim_cache_open(Codegen *cg, bool data_too);
typedef struct Loop { LLVMValueRef index; LLVMBasicBlockRef head, body, exit; LLVMValueRef phi, step; } Loop;
/* for (i = from; i < to; i += step): between begin and end the builder is in the body. */
Loop loop_begin(Codegen *cg, LLVMValueRef from, LLVMValueRef to, int64_t step, const char *name);
void loop_end(Codegen *cg, Loop *l);
LLVMBasicBlockRef cg_block(Codegen *cg, const char *name);          /* appended to the current function */
LLVMValueRef cg_gep(Codegen *cg, LLVMValueRef base, DType t, LLVMValueRef index);    /* address of element `index` */
LLVMValueRef cg_gep_bytes(Codegen *cg, LLVMValueRef base, LLVMValueRef bytes);
/* Ask for the cache line there, into the first-level cache or only the second. */
void cg_prefetch(Codegen *cg, LLVMValueRef address, bool first_level);

/* ---- gen_kernel.c: KERNEL ops ---- */

/* What the caller lends a kernel: scratch memory, threads (ingot_parallel_for and its pool), an image decoder, and what lasts until the run ends; each
 * may be null. */
typedef struct KernelMeans { LLVMValueRef scratch, share, pool, decode_image, memory; } KernelMeans;
/* Emits, inside NAME_run, the call of k_<op>: builds KCall, KTensor arrays and attribute words on the stack. data: pointers to operands (NULL where absent)
 * then results. Data-sized results: their actual dims are written to the symbols. Returns the i32 status. */
LLVMValueRef gen_kernel_call(Codegen *cg, const Node *n, LLVMValueRef context, const LLVMValueRef *data, KernelMeans means);
/* k_export: the output (an ingot_tensor that is described already) gets memory of its own, with all that the value points to. */
bool cg_graph_has(const Graph *g, unsigned flag);   /* a node with this OPF_ flag, in nested graphs too */
/* What a status other than 0 means: a sentence (errors.def), and the status of the run. */
LLVMValueRef gen_kernel_sentence(Codegen *cg, LLVMValueRef status);
LLVMValueRef gen_kernel_failure(Codegen *cg, LLVMValueRef status);
LLVMValueRef gen_export_call(Codegen *cg, LLVMValueRef value, LLVMValueRef output, LLVMValueRef memory);

#endif
