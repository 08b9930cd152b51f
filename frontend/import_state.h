/* import_state.h -- the state of an import; private to import.c and import_{access,fold,order,gaps}.c.
 *
 *   ImportState   one model
 *   Call          where operators and attribute references get their meaning: the model itself, or one use of a local function
 *   Scope         where tensor names get their meaning: one (sub)graph or function body being imported
 *
 * Functions are inlined: the scope of a body builds into the graph of its caller but sees none of its names. A subgraph sees the names around it;
 * if it builds into a graph of its own, each outer value it mentions becomes an input of that graph (a capture).
 */
#ifndef INGOT_IMPORT_STATE_H
#define INGOT_IMPORT_STATE_H

#include "frontend.h"
#include "import.h"
#include "names.h"
#include "onnx.pb-c.h"
#include "tensor_read.h"

enum { MAX_CALL_DEPTH = 64 };

typedef struct Call {
    const Onnx__FunctionProto *fn;  /* NULL: the model */
    NameTable attr;                 /* fn: name -> AttributeProto given by the caller, or the default */
    size_t nopset;
    Onnx__OperatorSetIdProto **opset;
    const char *path;               /* prefix of node and tensor names: "" or "caller/" */
    int depth;
} Call;

/* What a name stands for. At most one of val, tensor, sparse is the source; val is filled when it is first asked for. A broken name may have a stand-in
 * for a value: of the type that the model declares or, failing that, of a guessed one. */
typedef struct Name {
    Value *val;
    const Onnx__TensorProto *tensor;
    const Onnx__SparseTensorProto *sparse;
    bool broken;                    /* its node failed, and that has been reported */
    bool guessed;                   /* the stand-in's type: of what depends on it, only what is not supported is said */
    bool absent;                    /* an optional input of a function that the caller left out */
} Name;

typedef struct Scope {
    struct Scope *outer;            /* NULL: names end here */
    Graph *g;
    const Call *call;
    NameTable names;                /* -> Name */
    Captures *captures;             /* of a graph of its own */
    int nown;                       /* its inputs before the captures */
    const Onnx__GraphProto *proto;  /* NULL: the body of a function */
} Scope;

/* Something not supported, found where an operand was of a guessed type. */
typedef struct Doubt {
    Loc loc;
    const char *what;
    struct Doubt *next;
} Doubt;

struct ImportState {
    Arena *arena;
    Diag *diag;
    Module *m;
    const ImportOptions *opt;
    const Onnx__ModelProto *model;
    NameTable functions;            /* "domain:name:overload" -> FunctionProto */
    NameTable symbols;              /* dim_param as spelled -> Dim */
    NameTable symbol_owner;         /* symbol as the IR spells it -> dim_param */
    TensorReader reader;
    Scope *scope;                   /* innermost */
    int64_t nodes_left;             /* functions calling functions can multiply without bound */
    bool stop;                      /* too many problems: give up */
    bool doubting;                  /* the node being imported has an operand of a guessed type, itself or around it */
    Doubt *doubts;                  /* while doubting; the last first */
    bool *fixed_used;               /* which --dim were */
};

typedef struct OnnxOp {
    const char *domain, *name;
    int min_opset, max_opset;
    ImportFn *import;
} OnnxOp;

/* ---- import.c ---- */
const char *domain_tidy(const char *domain);                            /* "ai.onnx" is "" */
int64_t opset_of(const ImportState *s, const Call *call, const char *domain);   /* -1 if not imported */
const OnnxOp *onnx_op_find(const char *domain, const char *name, int64_t opset); /* NULL; opset -1: any version */
const Onnx__FunctionProto *function_find(ImportState *s, const Onnx__NodeProto *p);
const char *node_label(const ImportState *s, const Onnx__NodeProto *p, size_t index);   /* its name, or "<op_type> #<index>" */
bool is_graph_attr(const Onnx__AttributeProto *a);

/* ---- import_access.c ---- */
const Onnx__AttributeProto *proto_attr(const Importer *c, const char *name);     /* references resolved; NULL if absent */

/* ---- import_fold.c ---- */
/* The elements of v if they follow from constants by few and small operations, else NULL. */
const Tensor *value_fold(Module *m, const Value *v);

/* ---- import_order.c ---- */
/* The nodes in an order in which every tensor is produced before it is used, as near to the file's as possible. NULL after reporting a cycle or a
 * tensor that is produced twice. */
const size_t *nodes_order(ImportState *s, const Scope *scope, size_t n, Onnx__NodeProto **node);

/* ---- import_gaps.c ---- */
/* Reports every operator of the model (subgraphs and called functions included) that has no importer, one sentence each. */
bool gaps_report(ImportState *s);

#endif
