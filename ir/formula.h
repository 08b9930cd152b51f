/* formula.h -- the elementwise ops' formulas as data.
 *
 * ops.def gives each elementwise op one formula. formula_of() records it, for given operand types, as a short list of primitive
 * instructions (scalar.def) in SSA order; the evaluator interprets the list over blocks of elements, codegen turns the same list into LLVM
 * instructions on scalars or vectors. Transcendentals (exp, log, sin, erf...) are composites written in primitives in formula_math.c, so both
 * compute the same bits.
 *
 * Small floats (CLS_MINI) are computed in f32; conversion to and from storage is the caller's: formula_load/formula_store give it as a formula too.
 */
#ifndef INGOT_FORMULA_H
#define INGOT_FORMULA_H

#include "ir.h"

typedef enum ScalarOp {
#define SCALAR(name, arity, result, meaning) S_##name,
#include "scalar.def"
#undef SCALAR
    S_count
} ScalarOp;

typedef struct ScalarInfo { const char *name; int arity; } ScalarInfo;
extern const ScalarInfo scalar_table[S_count];

typedef struct FInst {
    ScalarOp op;
    DType type;                     /* of the result: f32 f64 i8..u64 bool */
    int a, b, c;                    /* operands: earlier instructions */
    union { double f; int64_t i; } k;   /* const: f for floats, i otherwise. arg: i = operand number */
} FInst;

typedef struct Formula {
    int n;
    const FInst *inst;
    int result;                     /* instruction that is the value */
} Formula;

/* A recorder: instructions are appended, equal ones found again, constants folded only where exact (both operands const, exactly representable). */
typedef struct FRec FRec;
typedef int FRef;

FRec *frec_new(Arena *a);
/* Composites of f32 recorded from here on may take their fast forms (formula_math.c). */
void frec_allow_fast(FRec *r, bool fast);
bool frec_is_fast(const FRec *r, FRef x);                           /* allowed, and x is f32 */
FRef frec_arg(FRec *r, int k, DType t);
FRef frec_const(FRec *r, DType t, double x);                        /* integers: x must be exact */
FRef frec_const_bits(FRec *r, DType t, int64_t bits);               /* integer constant, or the float with these bits */
FRef frec_op(FRec *r, ScalarOp op, DType type, FRef a, FRef b, FRef c);
DType frec_type(const FRec *r, FRef x);
Formula frec_finish(FRec *r, FRef result);

/* The type arithmetic is done in: f32 for small floats, the dtype itself otherwise; sub-byte integers in i8/u8. */
DType formula_compute_type(DType storage);
/* Formula of an elementwise op, cast or bitcast (node n gives attributes; operand dtypes are taken from its operands), over args of the
 * compute types of the operands, yielding the compute type of the result. Small-float results are NOT yet rounded: the caller stores them (formula_store). */
Formula formula_of(Arena *a, const Node *n);
/* arg 0: the raw stored bits as an unsigned integer of the storage width (small floats) -> f32, and back (round to nearest even, f8e8m0 up; saturate: formats of at most 8 bits clamp).
 * For f16 they give the bits of a CPU's own conversion (x86 F16C, Arm; NaN payloads kept and made quiet), so codegen may use fpext and fptrunc instead.
 * Sub-byte integers are stored one per byte and need none. Only for CLS_MINI dtypes. */
Formula formula_load(Arena *a, DType storage);
Formula formula_store(Arena *a, DType storage, bool saturate);

/* The same over elements as they lie in memory (raw bits of small floats, a bool as u8), small-float results rounded: load, op and store in one. */
Formula formula_of_stored(Arena *a, const Node *n);

/* ---- interpretation (eval_formula.c) ---- */

/* d[i] = op(a[i], b[i], c[i]) for n elements; from: type of the operands (select: of operand b). Operands that op lacks are ignored. */
void formula_apply(ScalarOp op, DType type, DType from, void *d, const void *a, const void *b, const void *c, int n);
void finst_element(const FInst *c, void *element);          /* the value of a const, as stored in memory */

/* A formula made ready to run on blocks of up to FORMULA_BLOCK elements. args[k]: elements of operand k, in its instruction's type. */
enum { FORMULA_BLOCK = 256 };
typedef struct FormulaRun FormulaRun;
FormulaRun *formula_run_new(Arena *a, const Formula *f);
void formula_run(FormulaRun *run, int n, const void *const *args, void *result);

/* Composites: f_<name>(recorder, operands). The primitives have functions of the same form, generated from scalar.def. */
#define FORMULA_1_T(name) static inline FRef f_##name(FRec *r, FRef x) { return frec_op(r, S_##name, frec_type(r, x), x, -1, -1); }
#define FORMULA_2_T(name) static inline FRef f_##name(FRec *r, FRef x, FRef y) { return frec_op(r, S_##name, frec_type(r, x), x, y, -1); }
#define FORMULA_3_T(name) static inline FRef f_##name(FRec *r, FRef x, FRef y, FRef z) { return frec_op(r, S_##name, frec_type(r, x), x, y, z); }
#define FORMULA_2_B(name) static inline FRef f_##name(FRec *r, FRef x, FRef y) { return frec_op(r, S_##name, DT_bool, x, y, -1); }
#define FORMULA_3_T1(name) static inline FRef f_##name(FRec *r, FRef x, FRef y, FRef z) { return frec_op(r, S_##name, frec_type(r, y), x, y, z); }
#define FORMULA_1_C(name)
#define FORMULA_0_C(name)
#define SCALAR(name, arity, result, meaning) FORMULA_##arity##_##result(name)
#include "scalar.def"
#undef SCALAR

FRef f_sign(FRec *r, FRef x);
FRef f_exp(FRec *r, FRef x);
FRef f_log(FRec *r, FRef x);
FRef f_expm1(FRec *r, FRef x);
FRef f_log1p(FRec *r, FRef x);
FRef f_sin(FRec *r, FRef x);
FRef f_cos(FRec *r, FRef x);
FRef f_tan(FRec *r, FRef x);
FRef f_asin(FRec *r, FRef x);
FRef f_acos(FRec *r, FRef x);
FRef f_atan(FRec *r, FRef x);
FRef f_sinh(FRec *r, FRef x);
FRef f_cosh(FRec *r, FRef x);
FRef f_tanh(FRec *r, FRef x);
FRef f_asinh(FRec *r, FRef x);
FRef f_acosh(FRec *r, FRef x);
FRef f_atanh(FRec *r, FRef x);
FRef f_erf(FRec *r, FRef x);
FRef f_sigmoid(FRec *r, FRef x);
FRef f_softplus(FRec *r, FRef x);
FRef f_mod(FRec *r, FRef x, FRef y);
FRef f_fmod(FRec *r, FRef x, FRef y);
FRef f_pow(FRec *r, FRef x, FRef y);

#endif
