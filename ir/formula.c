/* formula.c -- recording formulas (formula.h): the recorder, the elementwise table of ops.def, conversions, small-float load and store.
 *
 * How to read it: an FRec collects instructions; an equal instruction is found again instead of appended, an instruction of constants is computed
 * at once by the interpreter (formula_apply), which gives the bits that it would give later. Only `fma` is left alone: whether it rounds
 * once or twice is the target's business. frec_finish copies what the result needs, in depth-first order of operands: so neither dead code nor
 * the order in which the C compiler evaluated nested calls shows.
 */
#include "formula.h"

#include <math.h>
#include <string.h>

#include "minifloat.h"

const ScalarInfo scalar_table[S_count] = {
#define SCALAR(name, arity, result, meaning) [S_##name] = { #name, arity },
#include "scalar.def"
#undef SCALAR
};

/* ---- recorder ---- */

enum { BUCKETS = 128 };

struct FRec {
    Arena *arena;
    int n, room;
    FInst *inst;
    int *chain;                     /* next instruction of the same bucket, -1 at the end */
    int bucket[BUCKETS];
    bool fast;
};

FRec *frec_new(Arena *a)
{
    FRec *r = ARENA_NEW(a, FRec);
    r->arena = a;
    for (int i = 0; i < BUCKETS; i++)
        r->bucket[i] = -1;
    return r;
}

DType frec_type(const FRec *r, FRef x)
{
    return r->inst[x].type;
}

void frec_allow_fast(FRec *r, bool fast)
{
    r->fast = fast;
}

bool frec_is_fast(const FRec *r, FRef x)
{
    return r->fast && frec_type(r, x) == DT_f32;
}

static bool inst_equal(const FInst *x, const FInst *y)
{
    return x->op == y->op && x->type == y->type && x->a == y->a && x->b == y->b && x->c == y->c && x->k.i == y->k.i;
}

static unsigned inst_bucket(const FInst *x)
{
    uint64_t h = (uint64_t)x->k.i * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 32) + (uint64_t)x->op * 31 + (uint64_t)x->type * 131 + (uint64_t)x->a * 257 + (uint64_t)x->b * 521 + (uint64_t)x->c * 1031;
    return (unsigned)(h ^ h >> 7) % BUCKETS;
}

static void make_room(FRec *r)
{
    if (r->n < r->room)
        return;
    int room = r->room ? 2 * r->room : 64;
    FInst *inst = ARENA_ARRAY(r->arena, FInst, room);
    int *chain = ARENA_ARRAY(r->arena, int, room);
    if (r->n) {
        memcpy(inst, r->inst, (size_t)r->n * sizeof *inst);
        memcpy(chain, r->chain, (size_t)r->n * sizeof *chain);
    }
    r->inst = inst;
    r->chain = chain;
    r->room = room;
}

static FRef append(FRec *r, FInst x)
{
    unsigned h = inst_bucket(&x);
    for (int i = r->bucket[h]; i >= 0; i = r->chain[i])
        if (inst_equal(&r->inst[i], &x))
            return i;
    make_room(r);
    r->inst[r->n] = x;
    r->chain[r->n] = r->bucket[h];
    r->bucket[h] = r->n;
    return r->n++;
}

FRef frec_arg(FRec *r, int k, DType t)
{
    return append(r, (FInst){ .op = S_arg, .type = t, .a = -1, .b = -1, .c = -1, .k.i = k });
}

static bool is_float(DType t)
{
    return dtype_table[t].cls == CLS_FLOAT;
}

FRef frec_const(FRec *r, DType t, double x)
{
    FInst c = { .op = S_const, .type = t, .a = -1, .b = -1, .c = -1 };
    if (is_float(t))
        c.k.f = t == DT_f32 ? (double)(float)x : x;
    else
        c.k.i = t == DT_u64 && x > 0 ? (int64_t)(uint64_t)x : (int64_t)x;
    return append(r, c);
}

FRef frec_const_bits(FRec *r, DType t, int64_t bits)
{
    FInst c = { .op = S_const, .type = t, .a = -1, .b = -1, .c = -1, .k.i = bits };
    if (t == DT_f32) {
        float f;
        uint32_t low = (uint32_t)bits;
        memcpy(&f, &low, sizeof f);
        c.k.f = (double)f;
    }
    return append(r, c);
}

void finst_element(const FInst *c, void *element)
{
    float f = (float)c->k.f;
    if (c->type == DT_f32)
        memcpy(element, &f, sizeof f);
    else
        memcpy(element, &c->k, (size_t)dtype_bytes(c->type));
}

/* An element of a compute type as a constant; the opposite of finst_element. */
static FRef const_of_element(FRec *r, DType t, const void *element)
{
    uint64_t bits = 0;
    int bytes = dtype_bytes(t);
    memcpy(&bits, element, (size_t)bytes);
    if (dtype_is_signed(t))
        bits = (uint64_t)((int64_t)(bits << (64 - 8 * bytes)) >> (64 - 8 * bytes));
    return frec_const_bits(r, t, (int64_t)bits);
}

static bool is_const(const FRec *r, FRef x)
{
    return r->inst[x].op == S_const;
}

static FRef fold(FRec *r, ScalarOp op, DType type, const FRef *operand, int arity)
{
    uint64_t element[3] = { 0 }, result = 0;
    for (int i = 0; i < arity; i++)
        finst_element(&r->inst[operand[i]], &element[i]);
    DType from = frec_type(r, operand[op == S_select ? 1 : 0]);
    formula_apply(op, type, from, &result, &element[0], &element[1], &element[2], 1);
    return const_of_element(r, type, &result);
}

FRef frec_op(FRec *r, ScalarOp op, DType type, FRef a, FRef b, FRef c)
{
    int arity = scalar_table[op].arity, constants = 0;
    FRef operand[3] = { a, arity > 1 ? b : -1, arity > 2 ? c : -1 };
    for (int i = 0; i < arity; i++)
        constants += is_const(r, operand[i]);
    if (constants == arity && op != S_fma)
        return fold(r, op, type, operand, arity);
    if ((op == S_convert || op == S_bitcast) && type == frec_type(r, a))
        return a;
    if (op == S_abs && dtype_table[type].cls == CLS_UINT)
        return a;
    if (op == S_select && b == c)
        return b;
    return append(r, (FInst){ .op = op, .type = type, .a = operand[0], .b = operand[1], .c = operand[2] });
}

/* Depth first, operands in order: the canonical order of a finished formula. */
static int copy_needed(const FRec *r, FRef x, int *moved, FInst *out, int *n)
{
    if (x < 0)
        return -1;
    if (moved[x] >= 0)
        return moved[x];
    FInst inst = r->inst[x];
    inst.a = copy_needed(r, inst.a, moved, out, n);
    inst.b = copy_needed(r, inst.b, moved, out, n);
    inst.c = copy_needed(r, inst.c, moved, out, n);
    out[*n] = inst;
    return moved[x] = (*n)++;
}

Formula frec_finish(FRec *r, FRef result)
{
    int *moved = ARENA_ARRAY(r->arena, int, r->n);
    FInst *out = ARENA_ARRAY(r->arena, FInst, r->n);
    int n = 0;
    for (int i = 0; i < r->n; i++)
        moved[i] = -1;
    int at = copy_needed(r, result, moved, out, &n);
    return (Formula){ .n = n, .inst = out, .result = at };
}

/* ---- types ---- */

static bool is_mini(DType t)
{
    return dtype_table[t].cls == CLS_MINI;
}

static bool is_sub_byte_int(DType t)
{
    return dtype_is_int(t) && dtype_table[t].bits < 8;
}

DType formula_compute_type(DType t)
{
    if (is_mini(t))
        return DT_f32;
    if (is_sub_byte_int(t))
        return dtype_is_signed(t) ? DT_i8 : DT_u8;
    return t;
}

/* What an element is in memory, as a type of instructions. */
static DType raw_type(DType t)
{
    if (is_mini(t))
        return dtype_bytes(t) == 2 ? DT_u16 : DT_u8;
    return t == DT_bool ? DT_u8 : formula_compute_type(t);
}

/* Sub-byte integers hold their low bits only, extended to the byte. */
static FRef wrap(FRec *r, DType t, FRef x)
{
    if (!is_sub_byte_int(t))
        return x;
    FRef k = frec_const(r, frec_type(r, x), 8 - dtype_table[t].bits);
    return f_shr(r, f_shl(r, x, k), k);
}

/* ---- small floats ---- */

static FRef u32(FRec *r, uint32_t bits)
{
    return frec_const_bits(r, DT_u32, bits);
}

static FRef bits_of(FRec *r, FRef x)
{
    return frec_op(r, S_bitcast, DT_u32, x, 0, 0);
}

static FRef f32_of_bits(FRec *r, FRef x)
{
    return frec_op(r, S_bitcast, DT_f32, x, 0, 0);
}

static FRef load_scale(FRec *r, FRef code)
{
    FRef bits = f_select(r, f_eq(r, code, u32(r, 0)), u32(r, 0x00400000), f_shl(r, code, u32(r, 23)));
    return f32_of_bits(r, f_select(r, f_eq(r, code, u32(r, 0xff)), u32(r, 0x7fc00000), bits));
}

/* Exponent and mantissa moved to their f32 places and the exponent rebased. With a zero exponent field the bits one binade up are the value plus the
 * smallest normal number, which is taken off: all of it is normal in f32, so CPUs that flush or dread subnormal numbers do as well. */
static FRef load_magnitude(FRec *r, const MiniFormat *f, FRef rest)
{
    uint32_t rebias = (uint32_t)(127 - f->bias) << 23, least = rebias + (1u << 23);
    FRef placed = f_shl(r, rest, u32(r, (uint32_t)(23 - f->mbits)));
    FRef small = bits_of(r, f_sub(r, f32_of_bits(r, f_add(r, placed, u32(r, least))), f32_of_bits(r, u32(r, least))));
    FRef bits = f_select(r, f_lt(r, rest, u32(r, 1u << f->mbits)), small, f_add(r, placed, u32(r, rebias)));
    if (f->kind == MINI_FN)
        return f_select(r, f_eq(r, rest, u32(r, f->nan)), u32(r, 0x7fc00000), bits);
    if (f->kind != MINI_IEEE)
        return bits;
    FRef special = f32_of_bits(r, f_or(r, placed, u32(r, 0x7f800000)));
    special = f_add(r, special, frec_const(r, DT_f32, 0));              /* makes a NaN quiet, as hardware conversion does */
    return f_select(r, f_lt(r, rest, u32(r, f->inf)), bits, bits_of(r, special));
}

static FRef record_load(FRec *r, DType t, FRef raw)
{
    MiniFormat f = minifloat_format(t);
    FRef code = frec_op(r, S_convert, DT_u32, raw, 0, 0);
    int signbit = f.ebits + f.mbits;
    if (t == DT_bf16)
        return f32_of_bits(r, f_shl(r, code, u32(r, 16)));
    if (f.kind == MINI_SCALE)
        return load_scale(r, code);
    FRef sign = f_and(r, f_shl(r, code, u32(r, (uint32_t)(31 - signbit))), u32(r, 0x80000000));
    FRef bits = load_magnitude(r, &f, f_and(r, code, u32(r, (1u << signbit) - 1)));
    if (f.kind == MINI_FNUZ)
        bits = f_select(r, f_eq(r, code, u32(r, f.nan)), u32(r, 0x7fc00000), bits);
    return f32_of_bits(r, f_or(r, bits, sign));
}

/* Round a magnitude (f32 bits without sign) to the mantissa width and move the exponent. What is too large gives some code above f->max. */
static FRef store_magnitude(FRec *r, const MiniFormat *f, FRef a)
{
    int drop = 23 - f->mbits, rebias = 127 - f->bias;
    FRef odd = f_and(r, f_shr(r, a, u32(r, (uint32_t)drop)), u32(r, 1));
    FRef half = u32(r, (1u << (drop - 1)) - 1 - ((uint32_t)rebias << 23));
    FRef code = f_shr(r, f_add(r, f_add(r, a, half), odd), u32(r, (uint32_t)drop));
    /* Below the smallest normal number: adding 2^(23 + exponent of the last place) makes the f32 adder round at that place. */
    uint32_t least = (uint32_t)(rebias + 1) << 23, magic = (uint32_t)(rebias + 1 + drop) << 23;
    FRef small = f_sub(r, bits_of(r, f_add(r, f32_of_bits(r, a), f32_of_bits(r, u32(r, magic)))), u32(r, magic));
    return f_select(r, f_lt(r, a, u32(r, least)), small, code);
}

static FRef store_scale(FRec *r, const MiniFormat *f, FRef a, bool saturate)
{
    FRef up = f_shr(r, f_add(r, a, u32(r, 0x7fffff)), u32(r, 23));
    FRef least = u32(r, 0x00400000);
    FRef code = f_select(r, f_le(r, a, least), u32(r, 0), f_min(r, up, u32(r, minifloat_overflow(f, saturate))));
    if (!saturate)
        code = f_select(r, f_lt(r, a, least), u32(r, 0xff), code);
    return f_select(r, f_lt(r, u32(r, 0x7f800000), a), u32(r, f->nan), code);
}

static FRef store_signed(FRec *r, const MiniFormat *f, FRef bits, FRef a, bool saturate)
{
    int signbit = f->ebits + f->mbits;
    FRef sign = f_and(r, f_shr(r, bits, u32(r, (uint32_t)(31 - signbit))), u32(r, 1u << signbit));
    FRef code = f_min(r, store_magnitude(r, f, a), u32(r, minifloat_overflow(f, saturate)));
    FRef nan = u32(r, f->nan);
    if (f->kind == MINI_IEEE)       /* keeps the payload's upper bits, as hardware conversion does */
        nan = f_or(r, nan, f_and(r, f_shr(r, a, u32(r, (uint32_t)(23 - f->mbits))), u32(r, (1u << f->mbits) - 1)));
    code = f_select(r, f_lt(r, u32(r, 0x7f800000), a), nan, code);
    FRef with_sign = f_or(r, code, sign);
    return f->kind == MINI_FNUZ ? f_select(r, f_eq(r, code, u32(r, 0)), code, with_sign) : with_sign;
}

/* bf16 is the upper half of f32, so sign, overflow and subnormal numbers need no care. */
static FRef store_bf16(FRec *r, FRef x)
{
    FRef bits = bits_of(r, x), sixteen = u32(r, 16), upper = f_shr(r, bits, sixteen);
    FRef rounded = f_add(r, f_add(r, bits, u32(r, 0x7fff)), f_and(r, upper, u32(r, 1)));
    return f_select(r, f_ne(r, x, x), f_or(r, upper, u32(r, 0x40)), f_shr(r, rounded, sixteen));
}

static FRef record_store(FRec *r, DType t, FRef x, bool saturate)
{
    if (t == DT_bf16)
        return frec_op(r, S_convert, DT_u16, store_bf16(r, x), 0, 0);
    MiniFormat f = minifloat_format(t);
    FRef bits = bits_of(r, x), a = f_and(r, bits, u32(r, 0x7fffffff));
    FRef code = f.kind == MINI_SCALE ? store_scale(r, &f, a, saturate) : store_signed(r, &f, bits, a, saturate);
    return frec_op(r, S_convert, raw_type(t), code, 0, 0);
}

Formula formula_load(Arena *a, DType storage)
{
    FRec *r = frec_new(a);
    return frec_finish(r, record_load(r, storage, frec_arg(r, 0, raw_type(storage))));
}

Formula formula_store(Arena *a, DType storage, bool saturate)
{
    FRec *r = frec_new(a);
    return frec_finish(r, record_store(r, storage, frec_arg(r, 0, DT_f32), saturate));
}

/* ---- conversions ---- */

/* f64 to f32 rounding to odd: a second rounding, to a small float, then gives what one rounding would have given
 * (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008). */
static FRef f64_to_f32_odd(FRec *r, FRef x)
{
    FRef near = frec_op(r, S_convert, DT_f32, x, 0, 0), back = frec_op(r, S_convert, DT_f64, near, 0, 0);
    FRef too_large = f_lt(r, f_abs(r, x), f_abs(r, back)), inexact = f_ne(r, back, x);
    FRef down = f_sub(r, bits_of(r, near), frec_op(r, S_convert, DT_u32, too_large, 0, 0));
    return f32_of_bits(r, f_or(r, down, frec_op(r, S_convert, DT_u32, inexact, 0, 0)));
}

static FRef record_cast(FRec *r, DType from, DType to, FRef x)
{
    if (from == DT_f64 && is_mini(to))
        return f64_to_f32_odd(r, x);
    return wrap(r, to, frec_op(r, S_convert, formula_compute_type(to), x, 0, 0));
}

/* Memory to compute type and back. */
static FRef record_from_raw(FRec *r, DType t, FRef raw)
{
    if (is_mini(t))
        return record_load(r, t, raw);
    return t == DT_bool ? frec_op(r, S_convert, DT_bool, raw, 0, 0) : raw;
}

static FRef record_to_raw(FRec *r, DType t, FRef x, bool saturate)
{
    if (is_mini(t))
        return record_store(r, t, x, saturate);
    return t == DT_bool ? frec_op(r, S_convert, DT_u8, x, 0, 0) : x;
}

static FRef raw_bitcast(FRec *r, DType to, FRef raw)
{
    return wrap(r, to, frec_op(r, S_bitcast, raw_type(to), raw, 0, 0));
}

/* ---- the elementwise ops: one function formula_<name> per row of ops.def ---- */

typedef FRef FormulaFn(FRec *r, FRef X, FRef Y, FRef Z);

#define K(c) frec_const(r, frec_type(r, X), (c))
#define S1(op, a) f_##op(r, a)
#define S2(op, a, b) f_##op(r, a, b)
#define S3(op, a, b, c) f_##op(r, a, b, c)
#define EW(name, arity, types, result, formula)                     \
    static FRef formula_##name(FRec *r, FRef X, FRef Y, FRef Z)     \
    {                                                               \
        (void)X, (void)Y, (void)Z;                                  \
        return formula;                                             \
    }
#include "ops.def"

static FormulaFn *const formula_table[OP_count] = {
#define EW(name, arity, types, result, formula) [OP_##name] = formula_##name,
#include "ops.def"
};

static bool cast_saturates(const Node *n)
{
    return n->op == OP_cast && NODE_ATTR(n, cast)->saturate;
}

/* The op over operands x of their compute types. */
static FRef record_node(FRec *r, const Node *n, const FRef *x)
{
    DType from = node_in(n, 0)->type.dtype, to = n->out[0].type.dtype;
    if (n->op == OP_cast)
        return record_cast(r, from, to, x[0]);
    if (n->op == OP_bitcast)
        return record_from_raw(r, to, raw_bitcast(r, to, record_to_raw(r, from, x[0], false)));
    return wrap(r, to, formula_table[n->op](r, x[0], x[1], x[2]));
}

Formula formula_of(Arena *a, const Node *n)
{
    FRec *r = frec_new(a);
    frec_allow_fast(r, n->graph->module->fast_math);
    FRef x[3] = { 0 };
    for (int i = 0; i < n->nin; i++)
        x[i] = frec_arg(r, i, formula_compute_type(node_in(n, i)->type.dtype));
    return frec_finish(r, record_node(r, n, x));
}

Formula formula_of_stored(Arena *a, const Node *n)
{
    FRec *r = frec_new(a);
    frec_allow_fast(r, n->graph->module->fast_math);
    FRef x[3] = { 0 };
    DType to = n->out[0].type.dtype;
    for (int i = 0; i < n->nin; i++)
        x[i] = frec_arg(r, i, raw_type(node_in(n, i)->type.dtype));
    if (n->op == OP_bitcast)
        return frec_finish(r, raw_bitcast(r, to, x[0]));
    for (int i = 0; i < n->nin; i++)
        x[i] = record_from_raw(r, node_in(n, i)->type.dtype, x[i]);
    return frec_finish(r, record_to_raw(r, to, record_node(r, n, x), cast_saturates(n)));
}
