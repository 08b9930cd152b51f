/* ir.h -- the one graph IR: types, values, nodes, graphs, modules.
 *
 * A Graph is a list of Nodes in execution order (every operand is defined earlier in the same graph); inputs, constants and `return`
 * are nodes too. A Node has operands (Use) and results (Value); a Value knows its uses. Nested graphs (if, fused) see only their own
 * inputs: captures are explicit operands of the owning node.
 *
 * Four edits only: node_new, node_set_input, value_replace, node_erase.
 *
 * Everything lives in the arena of the Module; Dims are compared by pointer.
 */
#ifndef INGOT_IR_H
#define INGOT_IR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "diag.h"
#include "dim.h"

/* ---- types ---- */

typedef enum DType {
    DT_none,
#define DTYPE(name, onnx, bits, store, cls, npy) DT_##name,
#include "dtypes.def"
#undef DTYPE
    DT_count
} DType;

typedef enum DTypeClass { CLS_OTHER, CLS_FLOAT, CLS_MINI, CLS_INT, CLS_UINT, CLS_BOOL } DTypeClass;

typedef struct DTypeInfo {
    const char *name;
    int onnx, bits, store;          /* store: bytes per element in memory */
    DTypeClass cls;
    const char *npy;
} DTypeInfo;

extern const DTypeInfo dtype_table[DT_count];
DType dtype_from_onnx(int onnx);                    /* DT_none if unknown */
DType dtype_from_name(const char *name, size_t len);
static inline const char *dtype_name(DType t) { return dtype_table[t].name; }
static inline int dtype_bytes(DType t) { return dtype_table[t].store; }
static inline bool dtype_is_float(DType t) { return dtype_table[t].cls == CLS_FLOAT || dtype_table[t].cls == CLS_MINI; }
static inline bool dtype_is_int(DType t) { return dtype_table[t].cls == CLS_INT || dtype_table[t].cls == CLS_UINT; }
static inline bool dtype_is_signed(DType t) { return dtype_table[t].cls == CLS_INT; }

typedef enum TypeKind { TY_TENSOR, TY_SEQUENCE, TY_OPTIONAL, TY_MAP } TypeKind;
extern const char *const type_kind_name[];         /* as in textual IR: seq<f32[N]> */

enum { MAX_RANK = 12 };

typedef struct Type {
    TypeKind kind;
    DType dtype;                    /* element type; of a map: the key */
    int rank;                       /* -1: unknown (of an item in a sequence; else only between import and inference); -2: the sequence has no items */
    const Dim *dim;
    const struct Type *elem;        /* of a sequence, optional, map value */
} Type;

/* ---- attribute values ---- */

typedef struct IntVec { int n; const int64_t *v; } IntVec;
typedef struct FloatVec { int n; const double *v; } FloatVec;
typedef struct StrVec { int n; const char *const *v; } StrVec;
typedef struct DimVec { int n; const Dim *v; } DimVec;

/* Constant data: element 0 first, little-endian, `store` bytes per element. A splat keeps one element for all. */
typedef struct Tensor {
    DType dtype;
    int rank;
    const int64_t *dim;
    int64_t count;                  /* product of dims */
    const void *data;               /* count * store bytes (store bytes if splat); borrowed from the model file where possible */
    bool splat;
} Tensor;

/* Element of a DT_str tensor: not terminated, may hold any byte. The ingot_string of ingot_abi.h. */
typedef struct StrElement {
    const char *data;
    int64_t bytes;
} StrElement;

typedef struct Graph Graph;
typedef struct Node Node;
typedef struct Value Value;
typedef struct Module Module;

/* ---- attribute structs: Attr_conv { IntVec strides; ... } ---- */

#define ATTR_C_i64 int64_t
#define ATTR_C_f64 double
#define ATTR_C_bool bool
#define ATTR_C_str const char *
#define ATTR_C_dtype DType
#define ATTR_C_ints IntVec
#define ATTR_C_floats FloatVec
#define ATTR_C_strs StrVec
#define ATTR_C_dims DimVec
#define ATTR_C_tensor const Tensor *
#define ATTR_C_graph Graph *

#define EW(name, arity, types, result, formula) typedef struct Attr_##name { char none_; } Attr_##name;
#define OP(name, min_in, max_in, nout, flags) typedef struct Attr_##name {
#define ATTR(op, kind, field) ATTR_C_##kind field;
#define END(op) char none_; } Attr_##op;
#include "ops.def"

typedef enum OpCode {
    OP_none,
#define EW(name, arity, types, result, formula) OP_##name,
#define OP(name, min_in, max_in, nout, flags) OP_##name,
#include "ops.def"
    OP_count
} OpCode;

typedef enum AttrKind { AK_i64, AK_f64, AK_bool, AK_str, AK_dtype, AK_ints, AK_floats, AK_strs, AK_dims, AK_tensor, AK_graph } AttrKind;

typedef struct AttrInfo {
    const char *name;
    AttrKind kind;
    size_t offset;                  /* in the op's attribute struct */
} AttrInfo;

enum OpFlags { OPF_KERNEL = 1, OPF_EFFECT = 2, OPF_VIEW = 4, OPF_MOVE = 8, OPF_REGION = 16, OPF_EW = 32, OPF_SIZES = 64, OPF_KEEP = 128 };
typedef enum EwTypes { EWT_NUM = 1, EWT_FLT, EWT_INT, EWT_BOOL, EWT_ANY } EwTypes;
typedef enum EwResult { EWR_SAME, EWR_BOOL, EWR_SECOND } EwResult;

typedef struct OpInfo {
    const char *name;
    int min_in, max_in, nout;       /* max_in, nout: -1 = any */
    unsigned flags;
    EwTypes ew_types;
    EwResult ew_result;
    int nattr;
    const AttrInfo *attr;
    size_t attr_bytes;
} OpInfo;

extern const OpInfo op_table[OP_count];
OpCode op_from_name(const char *name, size_t len);                  /* OP_none if unknown */
static inline const char *op_name(OpCode op) { return op_table[op].name; }

/* ---- graph ---- */

typedef struct Use {
    Value *val;                     /* NULL: optional operand that is absent */
    Node *user;
    struct Use *next, **prev;
} Use;

/* Where a value lives; filled by the memory plan, see passes/plan.c. */
typedef enum StorageKind { ST_NONE, ST_ARENA, ST_INPUT, ST_OUTPUT, ST_CONST, ST_ALIAS, ST_HEAP, ST_LOCAL } StorageKind;
typedef struct Storage {
    StorageKind kind;
    Dim offset;                     /* ST_ARENA: byte offset, a multiple of 64 */
    int index;                      /* ST_INPUT, ST_OUTPUT: which; ST_HEAP: slot; ST_ALIAS: first column, of a part of a concat
                                     * (concat_part.h), else 0 */
    Value *of;                      /* ST_ALIAS: shares its memory */
} Storage;

struct Value {
    uint32_t id;                    /* unique within the module; graph_renumber makes it the order of definition */
    Node *def;
    int index;                      /* which result of def */
    Use *uses;
    Type type;
    const char *name;               /* the model's tensor name, or NULL */
    const DimVec *known;            /* symbolic contents of a small integer or bool tensor, row-major, or NULL: see infer_known.c */
    Storage storage;
};

struct Node {
    uint32_t id;
    OpCode op;
    int nin, nout;
    Use *in;
    Value *out;
    void *attrs;                    /* an Attr_<op>; use NODE_ATTR */
    Node *prev, *next;
    Graph *graph;
    Loc loc;
    Storage scratch;                /* working memory while it runs (memory plan); ST_NONE: needs none */
};

#define NODE_ATTR(n, opname) ((const Attr_##opname *)(n)->attrs)

enum GraphProps { GP_TYPED = 1, GP_CANONICAL = 2, GP_LAID_OUT = 4, GP_FUSED = 8, GP_PLANNED = 16 };

struct Graph {
    Module *module;
    Graph *parent;                  /* NULL for the module's graph */
    Node *first, *last;
    unsigned props;
};

/* Sizes that inference could neither prove equal nor unequal: left is assumed to be right or, with or_one, 1. */
typedef struct Assumption { Dim left, right; bool or_one; } Assumption;
typedef struct Assumptions { int n, room; Assumption *v; } Assumptions;

struct Module {
    Arena *arena;
    DimTable *dims;
    Diag *diag;
    Graph *graph;
    const char *name;               /* C identifier made from the file name */
    const char *file;               /* path as given */
    const char *producer;
    int vector_bytes;               /* of the machine it is compiled for, for cost models; 0: not known */
    bool no_bf16;                   /* that machine has no instruction for products of bf16: operands of products are better kept as f32 */
    uint32_t next_id;
    Dim arena_bytes;                /* after the memory plan: workspace size */
    int nheap;                      /* heap slots: values whose size only the data decides */
    struct Choices *choices;        /* decisions made by measuring (choice.h); NULL: cost models decide */
    int64_t fuel;                   /* rewrites still allowed; -1: no limit */
    const char *last_rewrite;       /* name of the rewrite that took the last fuel */
    bool trace;                     /* print every rewrite on stderr */
    bool fast_math;                 /* f32 formulas may be cheaper and less exact: part of what the module means */
    int32_t (*decode_image)(const void *data, uint64_t bytes, int32_t format, int64_t *size, uint8_t *pixels);    /* for the evaluator, as in ingot_abi.h; NULL: none */
    Assumptions *assumed;           /* inference adds what it assumes here; NULL: nobody asks */
};

Module *module_new(Arena *a, Diag *d, const char *name, const char *file);
Graph *graph_new(Module *m, Graph *parent);

/* Make a node before `before` (NULL: at the end), infer its result types; attrs is copied (shallow), NULL means all zero.
 * nout: number of results, only for ops whose table row says -1, else pass -1. On a type error it is reported and NULL is returned
 * (no node is left behind). */
Node *node_new(Graph *g, Node *before, OpCode op, int nin, Value *const *in, const void *attrs, int nout, Loc loc);
/* Replace one operand. Types downstream are not re-inferred: call graph_infer when the type changed. */
void node_set_input(Node *n, int i, Value *v);
/* Every use of `from` becomes a use of `to`. */
void value_replace(Value *from, Value *to);
/* Remove a node whose results are unused. */
void node_erase(Node *n);
/* Move a node within its graph, before `before` (NULL: to the end). The caller keeps definitions before uses. */
void node_move(Node *n, Node *before);

static inline Value *node_in(const Node *n, int i) { return i < n->nin ? n->in[i].val : NULL; }
static inline Value *node_out(const Node *n) { return &n->out[0]; }
int value_use_count(const Value *v);
Node *value_only_user(const Value *v);                              /* the node that holds its single use, else NULL */
const Tensor *value_constant(const Value *v);                       /* its data if it is a constant, else NULL */
bool value_scalar_f64(const Value *v, double *out);                 /* constant whose elements are all equal (numbers and bools) */
Node *graph_return(const Graph *g);
int graph_inputs(const Graph *g, Value **out, int room);            /* input values in index order; returns how many there are */
void graph_renumber(Graph *g);                                      /* ids in order of definition, nested graphs included */
/* Deep copy of a graph (nodes, attributes, nested graphs); constants share their data. map: pairs (old input value -> its copy) are implied by order. */
Graph *graph_clone(Module *m, const Graph *g, Graph *parent);
/* Copy one node into graph g with other operands. */
Node *node_clone(Graph *g, Node *before, const Node *n, Value *const *in);

#define FOR_EACH_NODE(n, g) for (Node *n = (g)->first; n; n = n->next)
#define FOR_EACH_NODE_SAFE(n, g) for (Node *n = (g)->first, *n##_next; n && (n##_next = n->next, 1); n = n##_next)
#define FOR_EACH_USE(u, v) for (Use *u = (v)->uses; u; u = u->next)

/* ---- types and tensors ---- */

Type type_tensor(Module *m, DType t, int rank, const Dim *dim);     /* dims are copied */
Type type_of_ints(Module *m, DType t, int rank, const int64_t *dim);
bool type_equal(const Type *a, const Type *b);
bool type_is_static(const Type *t);                                 /* tensor, known rank, every dim constant */
int64_t type_count(const Type *t);                                  /* elements of a static tensor */
Dim type_count_dim(Module *m, const Type *t);                       /* elements, symbolic */
Dim type_bytes_dim(Module *m, const Type *t);
/* The type of items that are of either type; false if there is none. An item's size is a number, or -1 where it is another for each. */
bool type_of_items(Module *m, const Type *a, const Type *b, Type *out);
Type type_of_container(Module *m, TypeKind kind, const Type *item);
enum { CONTAINER_BYTES = 128 };                                     /* of a sequence, optional or map in memory: an ingot_tensor */
const char *type_print(Module *m, Arena *a, const Type *t);         /* f32[1,N,3] */

DimVec dims_copy(Module *m, int n, const Dim *v);
DimVec dims_of_ints(Module *m, int n, const int64_t *v);
IntVec ints_copy(Module *m, int n, const int64_t *v);

/* Broadcast dims of several shapes the NumPy way; reports through the node's Loc. Returns rank or -1. */
int dims_broadcast(Module *m, Loc loc, const Type *const *types, int ntypes, Dim *out);

size_t tensor_bytes(const Tensor *t);                               /* stored bytes: one element if splat */
Tensor *tensor_new(Arena *a, DType t, int rank, const int64_t *dim);                /* zeroed data, owned by the arena */
Tensor *tensor_splat(Arena *a, DType t, int rank, const int64_t *dim, const void *element);
const Tensor *tensor_dense(Arena *a, const Tensor *t);              /* itself, or a splat written out */
double tensor_get_f64(const Tensor *t, int64_t i);                  /* element as a double; every numeric dtype and bool */
int64_t tensor_get_i64(const Tensor *t, int64_t i);                 /* element as an integer; floats truncate */
void tensor_set_f64(Tensor *t, int64_t i, double x);                /* converts to the dtype (small floats: round to nearest even) */
bool tensor_equal(const Tensor *a, const Tensor *b);                /* dtype, dims and bits */

/* ---- attributes, generically ---- */

bool attrs_equal(OpCode op, const void *a, const void *b);          /* graphs by identity */
uint32_t attrs_hash(OpCode op, const void *a);

/* ---- inference ---- */

/* Result types (and known contents) of one node from its operands; reports and returns false on a mismatch. */
bool infer_node(Module *m, Node *n);
/* Re-infer a whole graph, nested graphs included. */
bool graph_infer(Graph *g);

/* ---- verify, print, parse ---- */

/* Check every invariant above: use lists, order, operand counts, symbols defined before use, types equal to a fresh inference, the promises in props. */
bool graph_verify(Graph *g);

/* Textual IR of a module. Constants of more than 32 elements go to `blob` (growing file or memory) as @blob:offset,length. */
typedef struct BlobSink {
    void *ctx;
    /* append bytes at a multiple of 64, return the offset */
    uint64_t (*append)(void *ctx, const void *data, size_t bytes);
} BlobSink;
const char *module_print(Module *m, Arena *a, BlobSink *blob);
/* Parse what module_print wrote; blob_data is the memory the offsets point into (borrowed). NULL after reporting an error. */
Module *module_parse(Arena *a, Diag *d, const char *file, const char *text, const void *blob_data, size_t blob_bytes);
/* Same structure, attributes, types, constants and storage (names, locations, ids and props ignored). */
bool module_equal(const Module *a, const Module *b);
/* What differs first, as a sentence in the arena; NULL if module_equal. */
const char *module_difference(Arena *arena, const Module *a, const Module *b);

#endif
