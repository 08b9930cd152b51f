/* gen_formula.c -- formulas (formula.h) as LLVM instructions, on scalars or vectors. The meaning of every primitive is that of scalar.def, to the bit;
 * eval_formula.c is the other implementation, tests/codegen compares them.
 *
 * How to read it: an Emit says what is being emitted (lanes, result type, type of operand 0); emit_table holds one function per primitive.
 *
 * Rules that shape the code:
 *   - nothing here may become a call of a library function: where the CPU cannot round, rounding is arithmetic;
 *   - out-of-range shifts, divisions and conversions are poison or undefined in LLVM, so the operand is made harmless first and the result chosen after.
 */
#include <math.h>
#include <string.h>

#include "cg.h"
#include "minifloat.h"

typedef struct Emit {
    Codegen *cg;
    int lanes;
    DType type, from;               /* of the result, of operand 0 */
} Emit;

typedef LLVMValueRef Val;

/* ---- types ---- */

static LLVMTypeRef with_lanes(LLVMTypeRef scalar, int lanes)
{
    return lanes == 1 ? scalar : LLVMVectorType(scalar, (unsigned)lanes);
}

static LLVMTypeRef int_type(Codegen *cg, int bytes)
{
    return LLVMIntTypeInContext(cg->llvm, (unsigned)(8 * bytes));
}

LLVMTypeRef cg_storage_type(Codegen *cg, DType t, int lanes)
{
    LLVMTypeRef scalar = t == DT_f32 ? cg->f32 : t == DT_f64 ? cg->f64 : int_type(cg, dtype_bytes(t));
    return with_lanes(scalar, lanes);
}

LLVMTypeRef cg_compute_type(Codegen *cg, DType t, int lanes)
{
    return t == DT_bool ? with_lanes(cg->i1, lanes) : cg_storage_type(cg, formula_compute_type(t), lanes);
}

static bool is_float(DType t) { return dtype_table[t].cls == CLS_FLOAT; }
static int width_of(DType t) { return t == DT_bool ? 1 : 8 * dtype_bytes(t); }
static bool is_aarch64(const Codegen *cg) { return !strcmp(cg->target.family, "aarch64"); }

/* ---- constants and calls ---- */

LLVMValueRef cg_splat(Codegen *cg, LLVMValueRef scalar, int lanes)
{
    if (lanes == 1)
        return scalar;
    if (LLVMIsConstant(scalar)) {
        Val lane[256];
        for (int i = 0; i < lanes; i++)
            lane[i] = scalar;
        return LLVMConstVector(lane, (unsigned)lanes);
    }
    LLVMTypeRef vec = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    Val first = LLVMBuildInsertElement(cg->b, LLVMGetPoison(vec), scalar, LLVMConstInt(cg->i32, 0, false), "");
    return LLVMBuildShuffleVector(cg->b, first, LLVMGetPoison(vec), LLVMConstNull(LLVMVectorType(cg->i32, (unsigned)lanes)), "");
}

/* Integer or bool k of type t, in all lanes. */
static Val int_of(const Emit *e, DType t, int64_t k)
{
    return cg_splat(e->cg, LLVMConstInt(cg_compute_type(e->cg, t, 1), (unsigned long long)k, true), e->lanes);
}

/* By its bits, so that a NaN stays the NaN it is. */
static Val float_of(const Emit *e, DType t, double x)
{
    float f = (float)x;
    uint64_t bits = 0;
    memcpy(&bits, t == DT_f32 ? (const void *)&f : (const void *)&x, (size_t)dtype_bytes(t));
    Val as_int = LLVMConstInt(int_type(e->cg, dtype_bytes(t)), bits, false);
    return cg_splat(e->cg, LLVMConstBitCast(as_int, cg_compute_type(e->cg, t, 1)), e->lanes);
}

static Val zero_of(const Emit *e, DType t)
{
    return LLVMConstNull(cg_compute_type(e->cg, t, e->lanes));
}

/* Call an intrinsic that is overloaded on the given types. */
static Val intrinsic(Codegen *cg, const char *name, LLVMTypeRef *types, int ntypes, Val *args, int nargs)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    Val fn = LLVMGetIntrinsicDeclaration(cg->mod, id, types, (size_t)ntypes);
    return LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, types, (size_t)ntypes), fn, args, (unsigned)nargs, "");
}

static Val intrinsic1(Codegen *cg, const char *name, Val x)
{
    LLVMTypeRef t = LLVMTypeOf(x);
    return intrinsic(cg, name, &t, 1, &x, 1);
}

static Val intrinsic2(Codegen *cg, const char *name, Val x, Val y)
{
    LLVMTypeRef t = LLVMTypeOf(x);
    return intrinsic(cg, name, &t, 1, (Val[]){ x, y }, 2);
}

static Val select_of(const Emit *e, Val cond, Val x, Val y)
{
    return LLVMBuildSelect(e->cg->b, cond, x, y, "");
}

/* ---- what is known about the range of a float ----
 *
 * Quantisation clamps before it converts to an integer, and then one conversion instruction is enough. So the clamp leaves a note on its result, as
 * metadata: NaN, or at least / at most what fits an int32. */

enum { AT_LEAST = 1, AT_MOST = 2 };

static unsigned range_kind(Codegen *cg)
{
    return LLVMGetMDKindIDInContext(cg->llvm, "ingot.range", strlen("ingot.range"));
}

static int constant_range(Val v)
{
    LLVMBool inexact;
    double x;
    if (LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind) {
        int range = AT_LEAST | AT_MOST;
        for (unsigned i = 0; i < LLVMGetVectorSize(LLVMTypeOf(v)); i++)
            range &= constant_range(LLVMGetAggregateElement(v, i));
        return range;
    }
    if (!LLVMIsAConstantFP(v))
        return 0;
    x = LLVMConstRealGetDouble(v, &inexact);
    return (x >= -0x1p31 || x != x ? AT_LEAST : 0) | (x <= 0x1p31 - 1 || x != x ? AT_MOST : 0);
}

static int range_of(Codegen *cg, Val v)
{
    if (LLVMIsAInstruction(v)) {
        Val note = LLVMGetMetadata(v, range_kind(cg)), k;
        if (!note)
            return 0;
        LLVMGetMDNodeOperands(note, &k);
        return (int)LLVMConstIntGetZExtValue(k);
    }
    return LLVMIsConstant(v) && !LLVMIsUndef(v) ? constant_range(v) : 0;
}

static Val note_range(Codegen *cg, Val v, int range)
{
    if (range && LLVMIsAInstruction(v)) {
        LLVMMetadataRef k = LLVMValueAsMetadata(LLVMConstInt(cg->i32, (unsigned)range, false));
        LLVMSetMetadata(v, range_kind(cg), LLVMMetadataAsValue(cg->llvm, LLVMMDNodeInContext2(cg->llvm, &k, 1)));
    }
    return v;
}

/* ---- arithmetic ---- */

#define EMIT(name) static Val emit_##name(const Emit *e, Val x, Val y, Val z)
#define UNUSED(...) (void)(Val[]){ __VA_ARGS__ }
#define B (e->cg->b)

EMIT(add) { UNUSED(z); return is_float(e->type) ? LLVMBuildFAdd(B, x, y, "") : LLVMBuildAdd(B, x, y, ""); }
EMIT(sub) { UNUSED(z); return is_float(e->type) ? LLVMBuildFSub(B, x, y, "") : LLVMBuildSub(B, x, y, ""); }
EMIT(mul) { UNUSED(z); return is_float(e->type) ? LLVMBuildFMul(B, x, y, "") : LLVMBuildMul(B, x, y, ""); }
EMIT(neg) { UNUSED(y, z); return is_float(e->type) ? LLVMBuildFNeg(B, x, "") : LLVMBuildNeg(B, x, ""); }
EMIT(sqrt) { UNUSED(y, z); return intrinsic1(e->cg, "llvm.sqrt", x); }

LLVMValueRef cg_fma(Codegen *cg, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z)
{
    LLVMTypeRef t = LLVMTypeOf(x), element = LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetElementType(t) : t;
    if (LLVMGetTypeKind(element) == LLVMIntegerTypeKind)
        return LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, x, y, ""), z, "");
    if (!cg->target.has_fma)
        return LLVMBuildFAdd(cg->b, LLVMBuildFMul(cg->b, x, y, ""), z, "");
    return intrinsic(cg, "llvm.fma", &t, 1, (Val[]){ x, y, z }, 3);
}

/* x without its lower 26 bits (Veltkamp), so that products of halves are exact. */
static Val upper_half(const Emit *e, Val x)
{
    Val scaled = LLVMBuildFMul(B, x, float_of(e, DT_f64, 0x1p27 + 1), "");
    return LLVMBuildFSub(B, scaled, LLVMBuildFSub(B, scaled, x, ""), "");
}

/* Formulas in f64 take fma's exactness for granted (remainders, sums of two doubles). Without the instruction the product's rounding error is
 * computed (Dekker 1971) and added last. f32 formulas only lose an ulp, and double serves those that cannot afford it. */
static Val careful_fma(const Emit *e, Val x, Val y, Val z)
{
    Val p = LLVMBuildFMul(B, x, y, ""), xh = upper_half(e, x), yh = upper_half(e, y);
    Val xl = LLVMBuildFSub(B, x, xh, ""), yl = LLVMBuildFSub(B, y, yh, "");
    Val lost = LLVMBuildFSub(B, LLVMBuildFMul(B, xh, yh, ""), p, "");
    lost = LLVMBuildFAdd(B, LLVMBuildFAdd(B, lost, LLVMBuildFMul(B, xh, yl, ""), ""), LLVMBuildFMul(B, xl, yh, ""), "");
    lost = LLVMBuildFAdd(B, lost, LLVMBuildFMul(B, xl, yl, ""), "");
    Val usable = LLVMBuildFCmp(B, LLVMRealOLT, intrinsic1(e->cg, "llvm.fabs", lost), float_of(e, DT_f64, INFINITY), "");
    return LLVMBuildFAdd(B, LLVMBuildFAdd(B, p, z, ""), select_of(e, usable, lost, zero_of(e, DT_f64)), "");
}

EMIT(fma)
{
    return e->type == DT_f64 && !e->cg->target.has_fma ? careful_fma(e, x, y, z) : cg_fma(e->cg, x, y, z);
}

/* A divisor for which the instruction is defined: 1 in place of 0, and of -1 where the type is signed. */
static Val harmless_divisor(const Emit *e, Val y)
{
    Val bad = LLVMBuildICmp(B, LLVMIntEQ, y, zero_of(e, e->type), "");
    if (dtype_is_signed(e->type))
        bad = LLVMBuildOr(B, bad, LLVMBuildICmp(B, LLVMIntEQ, y, int_of(e, e->type, -1), ""), "");
    return select_of(e, bad, int_of(e, e->type, 1), y);
}

EMIT(div)
{
    UNUSED(z);
    if (is_float(e->type))
        return LLVMBuildFDiv(B, x, y, "");
    Val by = harmless_divisor(e, y);
    Val q = dtype_is_signed(e->type) ? LLVMBuildSDiv(B, x, by, "") : LLVMBuildUDiv(B, x, by, "");
    if (dtype_is_signed(e->type))
        q = select_of(e, LLVMBuildICmp(B, LLVMIntEQ, y, int_of(e, e->type, -1), ""), LLVMBuildNeg(B, x, ""), q);
    return select_of(e, LLVMBuildICmp(B, LLVMIntEQ, y, zero_of(e, e->type), ""), zero_of(e, e->type), q);
}

/* By 1 the remainder is 0, which is also the answer for 0 and -1. */
EMIT(rem)
{
    UNUSED(z);
    Val by = harmless_divisor(e, y);
    return dtype_is_signed(e->type) ? LLVMBuildSRem(B, x, by, "") : LLVMBuildURem(B, x, by, "");
}

EMIT(abs)
{
    UNUSED(y, z);
    if (is_float(e->type))
        return intrinsic1(e->cg, "llvm.fabs", x);
    if (!dtype_is_signed(e->type))
        return x;
    return select_of(e, LLVMBuildICmp(B, LLVMIntSLT, x, zero_of(e, e->type), ""), LLVMBuildNeg(B, x, ""), x);
}

/* ---- scaling by a power of two ---- */

/* y + 2 bias stands in the low bits of the sum; its halves, rounded down and up, are the exponents of two factors that are in range each. */
static Val scale_by_two_factors(const Emit *e, Val x, Val y)
{
    bool wide = e->type == DT_f64;
    DType t = wide ? DT_u64 : DT_u32;
    int mantissa = wide ? 52 : 23;
    Val sum = LLVMBuildFAdd(B, y, float_of(e, e->type, wide ? 0x1.8p52 + 2046 : 0x1.8p23 + 254), "");
    Val bits = LLVMBuildBitCast(B, sum, cg_compute_type(e->cg, t, e->lanes), "");
    Val both = LLVMBuildShl(B, bits, int_of(e, t, mantissa), "");
    Val low = LLVMBuildAnd(B, LLVMBuildShl(B, bits, int_of(e, t, mantissa - 1), ""), int_of(e, t, (int64_t)(-1ull << mantissa)), "");
    Val first = LLVMBuildBitCast(B, low, LLVMTypeOf(x), ""), second = LLVMBuildBitCast(B, LLVMBuildSub(B, both, low, ""), LLVMTypeOf(x), "");
    return LLVMBuildFMul(B, LLVMBuildFMul(B, x, first, ""), second, "");
}

/* AVX-512 has the instruction; LLVM 19 knows it by this name only. */
static Val scale_by_instruction(const Emit *e, Val x, Val y)
{
    const char *name = e->type == DT_f64 ? "llvm.x86.avx512.mask.scalef.pd.512" : "llvm.x86.avx512.mask.scalef.ps.512";
    Val every = LLVMConstAllOnes(int_type(e->cg, e->type == DT_f64 ? 1 : 2)), current_rounding = LLVMConstInt(e->cg->i32, 4, false);
    return intrinsic(e->cg, name, NULL, 0, (Val[]){ x, y, LLVMConstNull(LLVMTypeOf(x)), every, current_rounding }, 5);
}

/* Sixteen f64 are two registers. */
static Val scale_halves(const Emit *e, Val x, Val y)
{
    Val pick[CG_LANES], half[2];
    for (int i = 0; i < CG_LANES; i++)
        pick[i] = LLVMConstInt(e->cg->i32, (unsigned)i, false);
    for (int i = 0; i < 2; i++) {
        Val mask = LLVMConstVector(pick + i * CG_LANES / 2, CG_LANES / 2), none = LLVMGetUndef(LLVMTypeOf(x));
        half[i] = scale_by_instruction(e, LLVMBuildShuffleVector(B, x, none, mask, ""), LLVMBuildShuffleVector(B, y, none, mask, ""));
    }
    return LLVMBuildShuffleVector(B, half[0], half[1], LLVMConstVector(pick, CG_LANES), "");
}

EMIT(scale)
{
    UNUSED(z);
    if (e->lanes != CG_LANES || !target_has(&e->cg->target, "avx512f"))
        return scale_by_two_factors(e, x, y);
    return e->type == DT_f64 ? scale_halves(e, x, y) : scale_by_instruction(e, x, y);
}

/* ---- max, min ---- */

/* The number in all lanes of a constant. */
static bool splat_number(Val v, double *x)
{
    if (!LLVMIsConstant(v) || LLVMIsUndef(v))
        return false;
    if (LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind) {
        Val first = LLVMGetAggregateElement(v, 0);
        for (unsigned i = 1; i < LLVMGetVectorSize(LLVMTypeOf(v)); i++)
            if (LLVMGetAggregateElement(v, i) != first)
                return false;
        v = first;
    }
    LLVMBool inexact;
    if (!LLVMIsAConstantFP(v))
        return false;
    *x = LLVMConstRealGetDouble(v, &inexact);
    return *x == *x;
}

/* CPUs with an instruction that treats NaN and zeros as scalar.def says. (LLVM 19 cannot select llvm.maximum for f64 on 32-bit ARM.) */
static bool has_extreme(const Emit *e)
{
    return is_aarch64(e->cg) || !strcmp(e->cg->target.family, "riscv64") || (target_has(&e->cg->target, "neon") && e->type == DT_f32);
}

/* What x86's maxps(x, y), minps(x, y) give: y if the two are equal or not ordered. */
static Val plain_extreme(const Emit *e, Val x, Val y, bool max)
{
    return select_of(e, LLVMBuildFCmp(B, max ? LLVMRealOGT : LLVMRealOLT, x, y, ""), x, y);
}

/* A number k as first operand: NaN comes out by itself, and of two zeros x. That is wrong for max(0, -0), where adding 0 helps. */
static Val extreme_with_number(const Emit *e, Val constant, double k, Val x, bool max)
{
    Val r = plain_extreme(e, constant, x, max);
    return max && k == 0 && !__builtin_signbit(k) ? LLVMBuildFAdd(B, r, constant, "") : r;
}

/* Both orders differ only for zeros of two signs and for NaN. OR keeps -0 and keeps a NaN one; AND keeps +0, but then NaN must be put back: a
 * comparison's mask is one. (llvm.maximum is slower, and wrong on operands that come from half precision.) */
static Val extreme_of_both(const Emit *e, Val x, Val y, bool max)
{
    LLVMTypeRef bits = with_lanes(int_type(e->cg, dtype_bytes(e->type)), e->lanes);
    Val a = LLVMBuildBitCast(B, plain_extreme(e, x, y, max), bits, ""), b = LLVMBuildBitCast(B, plain_extreme(e, y, x, max), bits, "");
    Val r = max ? LLVMBuildAnd(B, a, b, "") : LLVMBuildOr(B, a, b, "");
    if (max)
        r = LLVMBuildOr(B, r, LLVMBuildSExt(B, LLVMBuildFCmp(B, LLVMRealUNO, x, y, ""), bits, ""), "");
    return LLVMBuildBitCast(B, r, LLVMTypeOf(x), "");
}

static Val float_extreme(const Emit *e, Val x, Val y, bool max)
{
    double k;
    if (has_extreme(e))
        return intrinsic2(e->cg, max ? "llvm.maximum" : "llvm.minimum", x, y);
    bool y_constant = splat_number(y, &k);
    if ((y_constant || splat_number(x, &k)) && (max || k != 0 || !__builtin_signbit(k)))
        return extreme_with_number(e, y_constant ? y : x, k, y_constant ? x : y, max);
    return extreme_of_both(e, x, y, max);
}

static Val int_extreme(const Emit *e, Val x, Val y, bool max)
{
    if (dtype_is_signed(e->type))
        return intrinsic2(e->cg, max ? "llvm.smax" : "llvm.smin", x, y);
    return intrinsic2(e->cg, max ? "llvm.umax" : "llvm.umin", x, y);
}

static Val extreme(const Emit *e, Val x, Val y, bool max)
{
    if (!is_float(e->type))
        return int_extreme(e, x, y, max);
    int rx = range_of(e->cg, x), ry = range_of(e->cg, y), either = max ? AT_LEAST : AT_MOST;
    return note_range(e->cg, float_extreme(e, x, y, max), (rx & ry) | ((rx | ry) & either));
}

EMIT(max) { UNUSED(z); return extreme(e, x, y, true); }
EMIT(min) { UNUSED(z); return extreme(e, x, y, false); }

/* ---- rounding ---- */

static bool cpu_rounds(const Codegen *cg)
{
    return is_aarch64(cg) || target_has(&cg->target, "sse4.1") || target_has(&cg->target, "fp-armv8");
}

/* Nearest even of a >= 0 below 2^23 (f64: 2^52): adding that number leaves no place for a fraction. */
static Val nearest_magnitude(const Emit *e, Val a)
{
    Val big = float_of(e, e->type, e->type == DT_f32 ? 0x1p23 : 0x1p52);
    return LLVMBuildFSub(B, LLVMBuildFAdd(B, a, big, ""), big, "");
}

/* Numbers that large are whole already (and NaN stays): `rounded` for the others, with the sign of x. */
static Val unless_whole(const Emit *e, Val x, Val a, Val rounded)
{
    Val big = float_of(e, e->type, e->type == DT_f32 ? 0x1p23 : 0x1p52);
    return select_of(e, LLVMBuildFCmp(B, LLVMRealOLT, a, big, ""), intrinsic2(e->cg, "llvm.copysign", rounded, x), x);
}

static Val arithmetic_rint(const Emit *e, Val x)
{
    Val a = intrinsic1(e->cg, "llvm.fabs", x);
    return unless_whole(e, x, a, nearest_magnitude(e, a));
}

/* One less (more) where rounding to nearest went past x. */
static Val arithmetic_step(const Emit *e, Val x, double one, LLVMRealPredicate past)
{
    Val r = arithmetic_rint(e, x);
    Val stepped = LLVMBuildFAdd(B, r, float_of(e, e->type, one), "");
    return intrinsic2(e->cg, "llvm.copysign", select_of(e, LLVMBuildFCmp(B, past, r, x, ""), stepped, r), x);
}

static Val arithmetic_trunc(const Emit *e, Val x)
{
    Val a = intrinsic1(e->cg, "llvm.fabs", x), r = nearest_magnitude(e, a);
    Val less = LLVMBuildFAdd(B, r, float_of(e, e->type, -1), "");
    return unless_whole(e, x, a, select_of(e, LLVMBuildFCmp(B, LLVMRealOGT, r, a, ""), less, r));
}

static Val emit_rounding(const Emit *e, Val x, const char *name, Val arithmetic)
{
    return note_range(e->cg, arithmetic ? arithmetic : intrinsic1(e->cg, name, x), range_of(e->cg, x));
}

EMIT(floor) { UNUSED(y, z); return emit_rounding(e, x, "llvm.floor", cpu_rounds(e->cg) ? NULL : arithmetic_step(e, x, -1, LLVMRealOGT)); }
EMIT(ceil) { UNUSED(y, z); return emit_rounding(e, x, "llvm.ceil", cpu_rounds(e->cg) ? NULL : arithmetic_step(e, x, 1, LLVMRealOLT)); }
EMIT(trunc) { UNUSED(y, z); return emit_rounding(e, x, "llvm.trunc", cpu_rounds(e->cg) ? NULL : arithmetic_trunc(e, x)); }
EMIT(rint) { UNUSED(y, z); return emit_rounding(e, x, "llvm.roundeven", cpu_rounds(e->cg) ? NULL : arithmetic_rint(e, x)); }

/* ---- comparison, bits ---- */

static Val compare(const Emit *e, Val x, Val y, LLVMRealPredicate f, LLVMIntPredicate s, LLVMIntPredicate u)
{
    if (is_float(e->from))
        return LLVMBuildFCmp(B, f, x, y, "");
    return LLVMBuildICmp(B, dtype_is_signed(e->from) ? s : u, x, y, "");
}

EMIT(eq) { UNUSED(z); return compare(e, x, y, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ); }
EMIT(ne) { UNUSED(z); return compare(e, x, y, LLVMRealUNE, LLVMIntNE, LLVMIntNE); }
EMIT(lt) { UNUSED(z); return compare(e, x, y, LLVMRealOLT, LLVMIntSLT, LLVMIntULT); }
EMIT(le) { UNUSED(z); return compare(e, x, y, LLVMRealOLE, LLVMIntSLE, LLVMIntULE); }
EMIT(and) { UNUSED(z); return LLVMBuildAnd(B, x, y, ""); }
EMIT(or) { UNUSED(z); return LLVMBuildOr(B, x, y, ""); }
EMIT(xor) { UNUSED(z); return LLVMBuildXor(B, x, y, ""); }
EMIT(not) { UNUSED(y, z); return LLVMBuildNot(B, x, ""); }
EMIT(select) { return note_range(e->cg, select_of(e, x, y, z), is_float(e->type) ? range_of(e->cg, y) & range_of(e->cg, z) : 0); }

static Val within_width(const Emit *e, Val y)
{
    return LLVMBuildICmp(B, LLVMIntULT, y, int_of(e, e->type, width_of(e->type)), "");
}

EMIT(shl) { UNUSED(z); return select_of(e, within_width(e, y), LLVMBuildShl(B, x, y, ""), zero_of(e, e->type)); }

EMIT(shr)
{
    UNUSED(z);
    Val shifted = dtype_is_signed(e->type) ? LLVMBuildAShr(B, x, y, "") : LLVMBuildLShr(B, x, y, "");
    return select_of(e, within_width(e, y), shifted, zero_of(e, e->type));
}

/* ---- conversion ---- */

static Val int_to_int(const Emit *e, Val x, DType from, DType to)
{
    LLVMTypeRef t = cg_compute_type(e->cg, to, e->lanes);
    if (width_of(from) > width_of(to))
        return LLVMBuildTrunc(B, x, t, "");
    if (width_of(from) == width_of(to))
        return x;
    return dtype_is_signed(from) ? LLVMBuildSExt(B, x, t, "") : LLVMBuildZExt(B, x, t, "");
}

static Val saturating(const Emit *e, Val x, DType to)
{
    LLVMTypeRef types[] = { cg_compute_type(e->cg, to, e->lanes), LLVMTypeOf(x) };
    return intrinsic(e->cg, dtype_is_signed(to) ? "llvm.fptosi.sat" : "llvm.fptoui.sat", types, 2, &x, 1);
}

/* x is NaN or fits an i32. */
static Val small_to_i32(const Emit *e, Val x)
{
    if (is_aarch64(e->cg))          /* the instruction itself gives 0 for NaN */
        return saturating(e, x, DT_i32);
    Val number = select_of(e, LLVMBuildFCmp(B, LLVMRealORD, x, x, ""), x, zero_of(e, e->from));
    return LLVMBuildFPToSI(B, number, cg_compute_type(e->cg, DT_i32, e->lanes), "");
}

/* Low 32 bits of the i64 that an f32 converts to, without 64-bit vectors. Beyond 2^31 an f32 is whole, so x = high * 2^32 + low exactly, and low
 * is moved from [0, 2^32) to the range of an i32. Outside i64 the bits are those of its ends. */
static Val wide_to_i32(const Emit *e, Val x)
{
    Val small = LLVMBuildFCmp(B, LLVMRealOLT, intrinsic1(e->cg, "llvm.fabs", x), float_of(e, DT_f32, 0x1p31), "");
    Emit as_f32 = { e->cg, e->lanes, DT_f32, DT_f32 };
    Val high = emit_floor(&as_f32, LLVMBuildFMul(B, x, float_of(e, DT_f32, 0x1p-32), ""), NULL, NULL);
    Val low = LLVMBuildFSub(B, x, LLVMBuildFMul(B, high, float_of(e, DT_f32, 0x1p32), ""), "");
    Val upper = LLVMBuildFCmp(B, LLVMRealOGE, low, float_of(e, DT_f32, 0x1p31), "");
    low = select_of(e, upper, LLVMBuildFSub(B, low, float_of(e, DT_f32, 0x1p32), ""), low);
    Val inside = LLVMBuildFCmp(B, LLVMRealOLT, intrinsic1(e->cg, "llvm.fabs", x), float_of(e, DT_f32, 0x1p63), "");
    Val number = select_of(e, small, x, select_of(e, inside, low, zero_of(e, DT_f32)));
    Val bits = LLVMBuildFPToSI(B, number, cg_compute_type(e->cg, DT_i32, e->lanes), "");
    Val above = LLVMBuildFCmp(B, LLVMRealOGE, x, float_of(e, DT_f32, 0x1p63), "");
    return select_of(e, above, int_of(e, DT_i32, -1), bits);
}

static Val float_to_int(const Emit *e, Val x)
{
    if (width_of(e->type) == 64)
        return saturating(e, x, e->type);
    if (range_of(e->cg, x) == (AT_LEAST | AT_MOST))
        return int_to_int(e, small_to_i32(e, x), DT_i32, e->type);
    if (e->from == DT_f32 && e->lanes > 1)
        return int_to_int(e, wide_to_i32(e, x), DT_i32, e->type);
    return int_to_int(e, saturating(e, x, DT_i64), DT_i64, e->type);
}

static Val int_to_float(const Emit *e, Val x)
{
    LLVMTypeRef t = cg_compute_type(e->cg, e->type, e->lanes);
    Val r = dtype_is_signed(e->from) ? LLVMBuildSIToFP(B, x, t, "") : LLVMBuildUIToFP(B, x, t, "");
    return note_range(e->cg, r, width_of(e->from) <= 16 ? AT_LEAST | AT_MOST : 0);
}

EMIT(convert)
{
    UNUSED(y, z);
    if (e->type == e->from)
        return x;
    if (e->type == DT_bool)
        return is_float(e->from) ? LLVMBuildFCmp(B, LLVMRealUNE, x, zero_of(e, e->from), "")
                                 : LLVMBuildICmp(B, LLVMIntNE, x, zero_of(e, e->from), "");
    if (is_float(e->type) && is_float(e->from))
        return LLVMBuildFPCast(B, x, cg_compute_type(e->cg, e->type, e->lanes), "");
    if (is_float(e->from))
        return float_to_int(e, x);
    return is_float(e->type) ? int_to_float(e, x) : int_to_int(e, x, e->from, e->type);
}

EMIT(bitcast) { UNUSED(y, z); return LLVMBuildBitCast(B, x, cg_compute_type(e->cg, e->type, e->lanes), ""); }

/* ---- formulas ---- */

typedef Val EmitFn(const Emit *e, Val x, Val y, Val z);

static EmitFn *const emit_table[S_count] = {
    [S_add] = emit_add, [S_sub] = emit_sub, [S_mul] = emit_mul, [S_div] = emit_div, [S_rem] = emit_rem, [S_fma] = emit_fma, [S_neg] = emit_neg,
    [S_abs] = emit_abs, [S_max] = emit_max, [S_min] = emit_min, [S_scale] = emit_scale, [S_sqrt] = emit_sqrt, [S_floor] = emit_floor, [S_ceil] = emit_ceil,
    [S_trunc] = emit_trunc, [S_rint] = emit_rint, [S_eq] = emit_eq, [S_ne] = emit_ne, [S_lt] = emit_lt, [S_le] = emit_le, [S_and] = emit_and,
    [S_or] = emit_or, [S_xor] = emit_xor, [S_not] = emit_not, [S_shl] = emit_shl, [S_shr] = emit_shr, [S_select] = emit_select,
    [S_convert] = emit_convert, [S_bitcast] = emit_bitcast,
};

LLVMValueRef cg_formula(Codegen *cg, const Formula *f, const LLVMValueRef *args, int lanes)
{
    Val *v = ARENA_ARRAY(cg->arena, Val, f->n);
    for (int i = 0; i < f->n; i++) {
        const FInst *x = &f->inst[i];
        Emit e = { cg, lanes, x->type, x->a >= 0 ? f->inst[x->a].type : x->type };
        if (x->op == S_arg)
            v[i] = args[x->k.i];
        else if (x->op == S_const)
            v[i] = is_float(x->type) ? float_of(&e, x->type, x->k.f) : int_of(&e, x->type, x->k.i);
        else
            v[i] = emit_table[x->op](&e, v[x->a], x->b >= 0 ? v[x->b] : NULL, x->c >= 0 ? v[x->c] : NULL);
    }
    return v[f->result];
}

/* ---- memory ---- */

/* Half precision has conversion instructions on every 64-bit ARM and with F16C. They do not saturate. */
static bool converts_half(const Codegen *cg, DType t)
{
    return t == DT_f16 && (is_aarch64(cg) || target_has(&cg->target, "f16c"));
}

/* Rounds to nearest, ties to even, as the formula does; what is too small for a normal number becomes zero. */
static bool rounds_bf16(const Codegen *cg, DType t, int lanes)
{
    return t == DT_bf16 && lanes == CG_LANES && target_has(&cg->target, "avx512bf16");
}

static Val bf16_by_instruction(Codegen *cg, Val val)
{
    static const char name[] = "llvm.x86.avx512bf16.cvtneps2bf16.512";
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    Val fn = LLVMGetIntrinsicDeclaration(cg->mod, id, NULL, 0), r = LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, NULL, 0), fn, &val, 1, "");
    return LLVMBuildBitCast(cg->b, r, with_lanes(cg->i16, CG_LANES), "");
}

/* The formula as a function of its own. */
static Val conversion_function(Codegen *cg, const char *name, const Formula *f, LLVMTypeRef result, LLVMTypeRef operand, int lanes)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->b);
    Val fn = LLVMAddFunction(cg->mod, name, LLVMFunctionType(result, &operand, 1, false)), x = LLVMGetParam(fn, 0);
    unsigned noinline = LLVMGetEnumAttributeKindForName("noinline", strlen("noinline"));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    cg_function_attributes(cg, fn);
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(cg->llvm, noinline, 0));
    LLVMPositionBuilderAtEnd(cg->b, LLVMAppendBasicBlockInContext(cg->llvm, fn, "entry"));
    LLVMBuildRet(cg->b, cg_formula(cg, f, &x, lanes));
    LLVMPositionBuilderAtEnd(cg->b, here);
    return fn;
}

/* Without vector registers, sixteen conversions in line are some hundred instructions each time: compiling then takes minutes. */
static Val convert_by_formula(Codegen *cg, const char *name, const Formula *f, Val x, LLVMTypeRef result, int lanes)
{
    LLVMTypeRef operand = LLVMTypeOf(x);
    if (lanes == 1 || cg->target.vector_bytes > 4)
        return cg_formula(cg, f, &x, lanes);
    name = arena_printf(cg->arena, "%s_x%d", name, lanes);
    Val fn = LLVMGetNamedFunction(cg->mod, name);
    if (!fn)
        fn = conversion_function(cg, name, f, result, operand, lanes);
    return LLVMBuildCall2(cg->b, LLVMFunctionType(result, &operand, 1, false), fn, &x, 1, "");
}

LLVMValueRef cg_from_storage(Codegen *cg, DType t, LLVMValueRef raw, int lanes)
{
    if (t == DT_bool)
        return LLVMBuildICmp(cg->b, LLVMIntNE, raw, LLVMConstNull(LLVMTypeOf(raw)), "");
    if (dtype_table[t].cls != CLS_MINI)
        return raw;
    if (converts_half(cg, t))
        return LLVMBuildFPExt(cg->b, LLVMBuildBitCast(cg->b, raw, with_lanes(cg->f16, lanes), ""), with_lanes(cg->f32, lanes), "");
    Formula f = formula_load(cg->arena, t);
    return convert_by_formula(cg, arena_printf(cg->arena, "load_%s", dtype_name(t)), &f, raw, with_lanes(cg->f32, lanes), lanes);
}

LLVMValueRef cg_to_storage(Codegen *cg, DType t, LLVMValueRef val, int lanes, bool saturate)
{
    if (t == DT_bool)
        return LLVMBuildZExt(cg->b, val, with_lanes(cg->i8, lanes), "");
    if (dtype_table[t].cls != CLS_MINI)
        return val;
    if (converts_half(cg, t) && !saturate) {
        Val half = LLVMBuildFPTrunc(cg->b, val, with_lanes(cg->f16, lanes), "");
        return LLVMBuildBitCast(cg->b, half, with_lanes(cg->i16, lanes), "");
    }
    if (rounds_bf16(cg, t, lanes))
        return bf16_by_instruction(cg, val);
    Formula f = formula_store(cg->arena, t, saturate);
    const char *name = arena_printf(cg->arena, "store_%s%s", dtype_name(t), saturate ? "_saturating" : "");
    return convert_by_formula(cg, name, &f, val, cg_storage_type(cg, t, lanes), lanes);
}

LLVMValueRef cg_elementwise(Codegen *cg, const Node *n, const LLVMValueRef *args, int lanes)
{
    Formula f = formula_of(cg->arena, n);
    DType t = n->out[0].type.dtype;
    Val v = cg_formula(cg, &f, args, lanes);
    if (dtype_table[t].cls != CLS_MINI)
        return v;
    bool saturate = n->op == OP_cast && NODE_ATTR(n, cast)->saturate;
    return cg_from_storage(cg, t, cg_to_storage(cg, t, v, lanes, saturate), lanes);
}
