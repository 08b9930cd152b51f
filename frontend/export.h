/* export.h -- inside the ONNX writer: what an export function sees.
 *
 * One function per structural core op, `bool export_<op>(Exporter *e, const Node *n)` in an export_*.c, one row in export_ops.def (which declares it
 * below). It names its operands with export_in, emits nodes with EMIT, and binds the node's results to what they give. It returns false only after
 * reporting (export_gap).
 *
 * A Term is the name of a tensor in the file. Terms of subgraphs may be used from the subgraph that made them and from graphs nested in it, as ONNX scopes
 * say. A Term that is NULL is an optional operand that is absent.
 */
#ifndef INGOT_EXPORT_H
#define INGOT_EXPORT_H

#include "ir.h"
#include "names.h"
#include "onnx.pb-c.h"
#include "ptrmap.h"

typedef const char *Term;

/* A pattern of several nodes that ONNX says in one: found from its last node. */
typedef struct Match Match;

/* A growing list of pointers. */
typedef struct PtrList { int n, room; void **v; } PtrList;

/* One ONNX graph under construction. */
typedef struct Scope {
    struct Scope *outer;
    const Graph *g;
    PtrList node;                   /* Onnx__NodeProto */
    PtrList declared;               /* Onnx__ValueInfoProto of tensors whose rank a reader could not find out */
    PtrMap term;                    /* by Value: its name here */
    PtrMap size;                    /* by Dim: name of an i64[1] here */
} Scope;

/* Where a symbol is read: axis `index` of v, or element `index` of it. */
typedef struct SizeSource {
    Value *v;
    int index;
    bool element;
} SizeSource;

typedef struct Exporter {
    Module *m;
    Arena *arena;                   /* of this export alone */
    Scope *scope, *root;
    NameTable taken, node_taken;    /* names of tensors and of nodes in the whole file */
    NameTable pool;                 /* small constants that the writer made, by content */
    PtrMap live;                    /* by Value: it is wanted */
    PtrMap wish;                    /* by Value: the graph output that it is */
    PtrMap sources;                 /* by Graph: PtrMap from symbols to SizeSource */
    PtrMap match;                   /* by Node: the Match of which it is the last node */
    PtrList initializer;            /* Onnx__TensorProto, of all graphs */
    const Node *at;                 /* the node being written */
    int opset;
    bool uses_ml, uses_ms;          /* domains beside the standard one */
    bool ok;
} Exporter;

typedef bool ExportFn(Exporter *e, const Node *n);
#define EXPORT(op) ExportFn export_##op;
#define EXPORT_EW(op, onnx)
#include "export_ops.def"

/* ---- operands and results ---- */
Term export_term(Exporter *e, Value *v);                            /* of a value that is defined by now */
Term export_in(Exporter *e, const Node *n, int i);                  /* NULL if absent */
void export_bind(Exporter *e, Value *v, Term t);                    /* from here on v is the tensor t */
bool export_gap(Exporter *e, const Node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));   /* reports; false */
void export_need_opset(Exporter *e, int opset);
void export_need_type(Exporter *e, DType t);                       /* the least operator set that knows the element type */

/* ---- nodes ---- */
Onnx__NodeProto *export_node(Exporter *e, const char *op, int n, const Term *in);
#define EMIT(e, op, ...) export_node((e), (op), (int)(sizeof((Term[]){ __VA_ARGS__ }) / sizeof(Term)), (Term[]){ __VA_ARGS__ })
#define EMIT0(e, op) export_node((e), (op), 0, NULL)
void export_domain(Exporter *e, Onnx__NodeProto *p, const char *domain);   /* the node is not of the standard operator set */
void export_attr_i(Exporter *e, Onnx__NodeProto *p, const char *name, int64_t v);
void export_attr_f(Exporter *e, Onnx__NodeProto *p, const char *name, double v);
void export_attr_s(Exporter *e, Onnx__NodeProto *p, const char *name, const char *v);
void export_attr_ints(Exporter *e, Onnx__NodeProto *p, const char *name, IntVec v);
void export_attr_floats(Exporter *e, Onnx__NodeProto *p, const char *name, FloatVec v);
void export_attr_strs(Exporter *e, Onnx__NodeProto *p, const char *name, StrVec v);
void export_attr_tensor(Exporter *e, Onnx__NodeProto *p, const char *name, const Tensor *t);
void export_attr_graph(Exporter *e, Onnx__NodeProto *p, const char *name, Onnx__GraphProto *g);
void export_attr_type(Exporter *e, Onnx__NodeProto *p, const char *name, const Type *t);
Term export_result(Exporter *e, Onnx__NodeProto *p);                /* the node's next output, under a new name */
void export_skip(Exporter *e, Onnx__NodeProto *p);                  /* the node's next output is not wanted */
bool export_give(Exporter *e, Onnx__NodeProto *p, Value *v);        /* the node's next output is v; true */
void export_declare(Exporter *e, Term t, DType type, int64_t rank);        /* says of a tensor what no reader could find out */
#define TERM(e, op, ...) export_result((e), EMIT((e), (op), __VA_ARGS__))

/* ---- constants and sizes ---- */
Term export_tensor(Exporter *e, const char *name, const Tensor *t); /* an initialiser, or for a large splat a ConstantOfShape */
Term export_scalar(Exporter *e, DType t, double x);                 /* rank 0 */
Term export_ints(Exporter *e, int n, const int64_t *v);             /* i64[n] */
Term export_size(Exporter *e, Dim d);                               /* i64[1] */
Term export_sizes(Exporter *e, int n, const Dim *d);                /* i64[n] */
Term export_as(Exporter *e, Term x, DType to);                        /* converted */
Term export_reshape_term(Exporter *e, Term x, int n, const int64_t *dim);
Onnx__TensorProto *export_tensor_proto(Exporter *e, const char *name, const Tensor *t);
Onnx__TypeProto *export_type_proto(Exporter *e, const Type *t);
const SizeSource *export_source(Exporter *e, const Graph *g, Dim symbol);      /* NULL: nothing in g or around it has it */
/* A region of `owner`: its first `own` inputs are its own, the others stand for the owner's operands from `operand` on. A loop's body has the input
 * "keep going" besides, which is always true. */
Onnx__GraphProto *export_region(Exporter *e, const Node *owner, Graph *g, int own, int operand);

const char *export_name(Exporter *e, const char *wish);             /* the wish, or with a number behind it that makes it new */
void list_add(Exporter *e, PtrList *l, void *p);

/* ---- patterns (export_match.c): what ONNX says in one operator and the IR in several ---- */
struct Match {
    bool (*write)(Exporter *e, const Node *n, const Match *k);
    Value *in[8];                   /* what it reads; the rest of the pattern is not written */
    int64_t axis, block;
    DType type;
};
const Match *export_find(Exporter *e, const Node *n);               /* NULL: the node is written by itself */
const Match *export_match_packed(Exporter *e, const Node *n);       /* a product with a matrix of few bits, of com.microsoft */
const Match *export_match_recurrent(Exporter *e, const Node *n);    /* a layer whose input products are found */
bool export_recurrent_layer(Exporter *e, const Node *n, const Match *k);    /* k: of export_match_recurrent, or NULL */
bool export_conv_terms(Exporter *e, const Node *n, Term x, Term w, Term x_zero, Term w_zero);    /* a convolution of integers */

#endif
