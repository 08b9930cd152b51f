/* build.h -- one builder function per op: mk_add(b, x, y), mk_conv(b, IN(x, w, bias), (Attr_conv){ .strides = s, ... }).
 *
 * A builder function returns the (first) result, or NULL after the problem was reported; given a NULL operand where one is needed it
 * returns NULL silently, so an importer can nest calls and look at the last result only.
 */
#ifndef INGOT_BUILD_H
#define INGOT_BUILD_H

#include "ir.h"

typedef struct Builder {
    Module *m;
    Graph *g;
    Node *before;                   /* insertion point; NULL: end of the graph */
    Loc loc;                        /* given to every new node */
} Builder;

typedef struct Inputs { int n; Value *const *v; } Inputs;
#define IN(...) ((Inputs){ (int)(sizeof((Value *[]){ __VA_ARGS__ }) / sizeof(Value *)), (Value *[]){ __VA_ARGS__ } })
#define IN_NONE ((Inputs){ 0, NULL })

Value *build_op(Builder *b, OpCode op, Inputs in, const void *attrs);
Node *build_node(Builder *b, OpCode op, Inputs in, const void *attrs, int nout);    /* for several results */

#define EW_PARAMS_1 Value *x
#define EW_PARAMS_2 Value *x, Value *y
#define EW_PARAMS_3 Value *x, Value *y, Value *z
#define EW_ARGS_1 IN(x)
#define EW_ARGS_2 IN(x, y)
#define EW_ARGS_3 IN(x, y, z)
#define EW(name, arity, types, result, formula) \
    static inline Value *mk_##name(Builder *b, EW_PARAMS_##arity) { return build_op(b, OP_##name, EW_ARGS_##arity, NULL); }
#define OP(name, min_in, max_in, nout, flags) \
    static inline Value *mk_##name(Builder *b, Inputs in, Attr_##name a) { return build_op(b, OP_##name, in, &a); }
#include "ops.def"

/* ---- conveniences over the core ops ---- */

Value *mk_tensor(Builder *b, const Tensor *t);                                      /* a constant */
Value *mk_scalar(Builder *b, DType t, double x);                                    /* rank-0 constant */
Value *mk_k(Builder *b, Value *like, double x);                                     /* rank-0 constant of like's dtype */
Value *mk_ints(Builder *b, int n, const int64_t *v);                                /* i64[n] constant */
Value *mk_cast_to(Builder *b, Value *x, DType to);                                  /* x itself if it has that dtype already */
Value *mk_reshape_to(Builder *b, Value *x, int rank, const Dim *dim);               /* x itself if it has that shape already */
Value *mk_reshape_ints(Builder *b, Value *x, int rank, const int64_t *dim);
Value *mk_transpose_perm(Builder *b, Value *x, const int64_t *perm);                /* x itself if perm is the identity */
Value *mk_expand_to(Builder *b, Value *x, int rank, const Dim *dim);
Value *mk_reduce_axes(Builder *b, const char *kind, Value *x, int n, const int64_t *axes);     /* keeps dims */
Value *mk_slice_axis(Builder *b, Value *x, int axis, Dim start, Dim size);          /* step 1 along one axis */
Value *mk_clip(Builder *b, Value *x, double lo, double hi);
Value *mk_as_type(Builder *b, Value *x, const Type *type);                          /* a sequence or optional under a type that fits its items too */
/* The elements of a rank-0/1 integer tensor as Dims: known contents if inference found them, else fresh data symbols read by a `bind`.
 * n must be static. Returns false after reporting. */
bool build_dims_of(Builder *b, Value *v, DimVec *out);

static inline Dim value_dim(const Value *v, int i) { return v->type.dim[i]; }
static inline int value_rank(const Value *v) { return v->type.rank; }

#endif
