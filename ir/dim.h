/* dim.h -- symbolic dimensions.
 *
 * A Dim is a hash-consed integer expression over symbols ("N", "seq"): two Dims of one DimTable are equal exactly when
 * their pointers are. Sums and products are kept in a canonical polynomial form (products distributed over sums, terms sorted),
 * so `2*N+N` and `3*N`, or `(4*N*H)/H` and `4*N`, are the same Dim. Everything else (floor division with a remainder, min, max...)
 * is an opaque atom of that polynomial.
 *
 * A symbol takes its value at run time: from the shape of a model input, or from data (the op `bind`, or an op whose output
 * size depends on data). Symbols are assumed to be >= 0 unless made by dim_fresh_signed; a symbol may carry an upper bound, which is what memory is planned with.
 */
#ifndef INGOT_DIM_H
#define INGOT_DIM_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

typedef enum DimOp {
    DIM_CONST,                      /* k */
    DIM_SYM,                        /* symbol number k */
    DIM_ADD,                        /* k + sum of args (args: MUL or atoms, no constants) */
    DIM_MUL,                        /* k * product of args (args: atoms) */
    DIM_DIV,                        /* floor(arg0 / arg1) */
    DIM_MOD,                        /* arg0 - arg1 * floor(arg0 / arg1) */
    DIM_MAX, DIM_MIN,
    DIM_WRAP,                       /* arg0 < 0 ? arg0 + arg1 : arg0   (negative ONNX indices) */
    DIM_BCAST                       /* arg0 == 1 ? arg1 : arg0         (broadcast of two symbolic dims) */
} DimOp;

typedef struct DimExpr {
    DimOp op;
    int nargs;
    int64_t k;
    const struct DimExpr *const *arg;
    struct DimExpr *chain;          /* next in the hash bucket */
    uint32_t hash, order;           /* order: creation number, stands for the args in a hash */
    bool any_sign;                  /* DIM_SYM: read from data that may be negative (indices, a -1 in a shape) */
} DimExpr;
typedef const DimExpr *Dim;

typedef struct DimSymbol {
    const char *name;
    Dim bound;                      /* largest possible value as an expression of earlier symbols, or NULL: unbounded */
    bool from_data;                 /* known only while the model runs; otherwise fixed by an input's shape */
    bool any_sign;                  /* may be negative */
} DimSymbol;

typedef struct DimTable DimTable;

DimTable *dim_table_new(Arena *a);
Dim dim_const(DimTable *t, int64_t k);
Dim dim_symbol(DimTable *t, const char *name);                      /* the input symbol of that name, made on first use */
Dim dim_fresh(DimTable *t, const char *stem, Dim bound);            /* a new data symbol `stem<number>` */
Dim dim_fresh_signed(DimTable *t, const char *stem);                /* unbounded, possibly negative */
int dim_symbol_count(const DimTable *t);
const DimSymbol *dim_symbol_at(const DimTable *t, int index);       /* index = Dim.k of a DIM_SYM */
int dim_symbol_find(const DimTable *t, const char *name);           /* index or -1 */
void dim_symbol_declare(DimTable *t, const char *name, bool from_data, bool any_sign, Dim bound);  /* for the parser: a new symbol */

Dim dim_add(DimTable *t, Dim a, Dim b);
Dim dim_sub(DimTable *t, Dim a, Dim b);
Dim dim_mul(DimTable *t, Dim a, Dim b);
Dim dim_div(DimTable *t, Dim a, Dim b);                             /* floor; exact cancellation where possible */
Dim dim_ceil_div(DimTable *t, Dim a, Dim b);
Dim dim_mod(DimTable *t, Dim a, Dim b);
Dim dim_max(DimTable *t, Dim a, Dim b);
Dim dim_min(DimTable *t, Dim a, Dim b);
Dim dim_wrap(DimTable *t, Dim i, Dim size);
Dim dim_bcast(DimTable *t, Dim a, Dim b);
#define dim_addk(t, a, k_) dim_add((t), (a), dim_const((t), (k_)))
#define dim_mulk(t, a, k_) dim_mul((t), (a), dim_const((t), (k_)))
#define dim_divk(t, a, k_) dim_div((t), (a), dim_const((t), (k_)))

static inline bool dim_is_const(Dim d) { return d->op == DIM_CONST; }
static inline bool dim_is(Dim d, int64_t k) { return d->op == DIM_CONST && d->k == k; }
bool dim_nonneg(Dim d);                                             /* provably >= 0 */
bool dim_divides(DimTable *t, Dim d, int64_t k);                    /* provably a multiple of k */
Dim dim_upper(DimTable *t, Dim d);                                  /* bounded data symbols replaced by their bounds; NULL: unbounded */
bool dim_from_data(const DimTable *t, Dim d);                       /* mentions a data symbol */
void dim_symbols_used(Dim d, void (*see)(void *ctx, int sym), void *ctx);
Dim dim_subst(DimTable *t, Dim d, int sym, Dim by);                 /* every mention of the symbol replaced */

int64_t dim_eval(Dim d, const int64_t *syms);                       /* syms[i] = value of symbol i; wraps on overflow */
const char *dim_print(DimTable *t, Arena *a, Dim d);                /* parses back with dim_parse */
Dim dim_parse(DimTable *t, const char **text);                      /* advances *text; NULL on a syntax error; new names become input symbols */

#endif
