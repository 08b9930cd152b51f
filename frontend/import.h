/* import.h -- inside the ONNX frontend: what an importer function sees.
 *
 * One function per ONNX operator, `bool import_<op>(Importer *c)` in an import_*.c, one row in onnx_ops.def (which declares it below). It reads attributes and
 * inputs, builds core ops with mk_*, and sets outputs. It reads as the operator's definition. Opset differences end here.
 * An importer returns false only after reporting (import_fail / import_unsupported), or when a mk_* returned NULL (already reported).
 */
#ifndef INGOT_IMPORT_H
#define INGOT_IMPORT_H

#include "build.h"

typedef struct ImportState ImportState;         /* the whole import, see import.c */

typedef struct Importer {
    Builder b;                      /* b.loc names the ONNX node */
    Module *m;
    const void *proto;              /* the Onnx__NodeProto; use the accessors below */
    const char *op, *domain;
    int64_t opset;                  /* version of the node's domain that the model imports */
    ImportState *state;
    Value *const *input;            /* of the node, NULL where absent: use in() */
    Value **result;                 /* set so far: use set_out() */
} Importer;

typedef bool ImportFn(Importer *c);
#define ONNX(domain, name, min_opset, max_opset, import_fn) ImportFn import_fn;
#include "onnx_ops.def"
/* Of an operator that is an elementwise core op: one for each, by itself. */
#define EW(name, arity, types, result, formula) ImportFn import_ew_##name;
#include "ops.def"

/* ---- inputs and outputs ---- */
int in_count(const Importer *c);                    /* inputs listed, absent ones included */
int out_count(const Importer *c);
Value *in(const Importer *c, int i);                /* NULL if absent or not listed */
bool out_wanted(const Importer *c, int i);          /* listed and not the empty name */
bool out_declared(Importer *c, int i, Type *out);   /* the type that the model declares for it; false if it does not */
bool set_out(Importer *c, int i, Value *v);         /* names the value; false if v is NULL */
bool set_outs(Importer *c, int n, Value *const *v);  /* those of the first n that are wanted */
#define OUT(c, v) return set_out((c), 0, (v))

/* ---- attributes ---- */
bool has_attr(const Importer *c, const char *name);
int64_t attr_i(const Importer *c, const char *name, int64_t otherwise);
double attr_f(const Importer *c, const char *name, double otherwise);
const char *attr_s(const Importer *c, const char *name, const char *otherwise);
IntVec attr_ints(const Importer *c, const char *name);          /* n = 0 if absent */
FloatVec attr_floats(const Importer *c, const char *name);
StrVec attr_strs(const Importer *c, const char *name);
const Tensor *attr_tensor(const Importer *c, const char *name); /* NULL if absent */
bool attr_type(const Importer *c, const char *name, Type *out);             /* a type; false if absent or not one that values have */
DType attr_dtype(const Importer *c, const char *name, DType otherwise);    /* a TensorProto.DataType number */

/* ---- constants ---- */
const Tensor *in_constant(const Importer *c, int i);            /* data of input i if constant, or computed from constants */
bool in_ints(Importer *c, int i, IntVec *out);                  /* input i must be a constant integer tensor; reports if not */
bool in_dims(Importer *c, int i, DimVec *out);                  /* elements of a rank-0/1 integer input as Dims (build_dims_of) */
bool in_scalar(Importer *c, int i, double otherwise, double *out);  /* constant scalar input, or `otherwise` if absent; reports if not constant */
/* Attribute in old opsets, input in new ones: e.g. ints_attr_or_in(c, "axes", 1, &v). found: false if given in neither way. */
bool ints_attr_or_in(Importer *c, const char *name, int i, IntVec *out, bool *found);

/* ---- problems ---- */
bool import_fail(Importer *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));          /* the model is wrong */
bool import_unsupported(Importer *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));   /* we lack it: "<op>: <what> is not supported" */
int64_t import_axis(Importer *c, int64_t axis, int rank, bool *ok);     /* negative axes wrapped; out of range is reported and clears *ok */

/* ---- regions: import a subgraph attribute (If, Loop, Scan). Captures become extra inputs. ---- */
/* Imports attribute `name` as a graph nested in c->b.g. The graph's first inputs are the subgraph's own; outer values it mentions are appended to
 * *captures (shared by several regions of one node: pass the same list) and become inputs nown + k. */
typedef struct Captures { int n, room; Value **outer; } Captures;
Graph *import_region(Importer *c, const char *name, const Type *own, int nown, Captures *captures);
/* When all regions of the node are imported: give each an input for every capture, used by it or not, and put its inputs in order. */
void import_region_finish(Importer *c, Graph *region, const Type *own, int nown, const Captures *captures);
/* A graph nested in c->b.g that the importer itself fills: between open and close, c builds into it, and the subgraphs that it applies see it. Its first
 * nown inputs have these types; outer values enter by capture. close gives it its results; NULL if one of them is NULL. */
typedef struct Region Region;
Region *import_region_open(Importer *c, const Type *own, int nown, Captures *captures);
Value *import_region_input(Region *r, int i);
Value *import_region_capture(Importer *c, Region *r, Value *outer);
Graph *import_region_close(Importer *c, Region *r, int n, Value *const *result);
/* What fails while this runs is not said and not counted. */
bool import_quietly(Importer *c, bool (*try)(void *ctx), void *ctx);
/* Import the nodes of subgraph attribute `name`, which has no inputs, right here; its n results go to out. */
bool import_region_inline(Importer *c, const char *name, int n, Value **out);
/* The same for a subgraph with inputs, which are the given values. */
bool import_region_apply(Importer *c, const char *name, int nin, Value *const *given, int n, Value **out);
/* How many results subgraph attribute `name` has; 0 if there is no such attribute. */
int region_results(const Importer *c, const char *name);

#endif
