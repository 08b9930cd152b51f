/* eval_formula.c -- the interpreter of formulas, and through it all elementwise ops of the evaluator.
 *
 * Every (primitive, type) pair is one loop over a block of elements; the tables below name them. A FormulaRun assigns each instruction a block of
 * scratch, shared by instructions whose lives do not overlap, so that a long formula stays in the first-level cache. Constants keep their own
 * blocks, filled once.
 *
 * The loops define what a primitive means; gen_formula.c must emit LLVM that gives the same bits. Types here are those of scalar.def; a bool
 * is a byte 0 or 1 (called truth in macros, where `bool` would expand). Integers are computed unsigned, in at least 32 bits, so nothing overflows.
 */
#include <math.h>
#include <string.h>

#include "eval_ops.h"
#include "formula.h"

typedef void BlockFn(void *restrict d, const void *a, const void *b, const void *c, int n);

/* ---- one loop per primitive and type ---- */

#define BLOCK(name, R, A, B, C, expr)                                                                       \
    static void name(void *restrict d, const void *a, const void *b, const void *c, int n)                 \
    {                                                                                                       \
        R *restrict o = d;                                                                                  \
        const A *pa = a;                                                                                    \
        const B *pb = b;                                                                                    \
        const C *pc = c;                                                                                    \
        (void)pa, (void)pb, (void)pc;                                                                       \
        for (int i = 0; i < n; i++)                                                                         \
            o[i] = (R)(expr);                                                                               \
    }
#define X pa[i]
#define Y pb[i]
#define Z pc[i]

/* name, C type, unsigned C type to compute in, width */
#define SIGNED_TYPES(M) M(i8, int8_t, uint32_t, 8) M(i16, int16_t, uint32_t, 16) M(i32, int32_t, uint32_t, 32) M(i64, int64_t, uint64_t, 64)
#define UNSIGNED_TYPES(M) M(u8, uint8_t, uint32_t, 8) M(u16, uint16_t, uint32_t, 16) M(u32, uint32_t, uint32_t, 32) M(u64, uint64_t, uint64_t, 64)
#define INT_TYPES(M) SIGNED_TYPES(M) UNSIGNED_TYPES(M)
#define FLOAT_TYPES(M) M(f32, float, , ) M(f64, double, , )

static inline float f32_fma(float x, float y, float z) { return fmaf(x, y, z); }
static inline double f64_fma(double x, double y, double z) { return fma(x, y, z); }
static inline float f32_scale(float x, float y) { return y == y ? scalbnf(x, (int)y) : y; }
static inline double f64_scale(double x, double y) { return y == y ? scalbn(x, (int)y) : y; }
#define f32_fn(name) name##f
#define f64_fn(name) name

#define FLOAT_LOOPS(t, T, U, width)                                                                           \
    static inline T t##_max_of(T x, T y) { return x > y ? x : y > x ? y : x == y ? (signbit(x) ? y : x) : x + y; } \
    static inline T t##_min_of(T x, T y) { return x < y ? x : y < x ? y : x == y ? (signbit(x) ? x : y) : x + y; } \
    BLOCK(add_##t, T, T, T, T, X + Y)                                                                       \
    BLOCK(sub_##t, T, T, T, T, X - Y)                                                                       \
    BLOCK(mul_##t, T, T, T, T, X * Y)                                                                       \
    BLOCK(div_##t, T, T, T, T, X / Y)                                                                       \
    BLOCK(fma_##t, T, T, T, T, t##_fma(X, Y, Z))                                                            \
    BLOCK(neg_##t, T, T, T, T, -X)                                                                          \
    BLOCK(abs_##t, T, T, T, T, t##_fn(fabs)(X))                                                             \
    BLOCK(max_##t, T, T, T, T, t##_max_of(X, Y))                                                            \
    BLOCK(min_##t, T, T, T, T, t##_min_of(X, Y))                                                            \
    BLOCK(scale_##t, T, T, T, T, t##_scale(X, Y))                                                           \
    BLOCK(sqrt_##t, T, T, T, T, t##_fn(sqrt)(X))                                                            \
    BLOCK(floor_##t, T, T, T, T, t##_fn(floor)(X))                                                          \
    BLOCK(ceil_##t, T, T, T, T, t##_fn(ceil)(X))                                                            \
    BLOCK(trunc_##t, T, T, T, T, t##_fn(trunc)(X))                                                          \
    BLOCK(rint_##t, T, T, T, T, t##_fn(rint)(X))
FLOAT_TYPES(FLOAT_LOOPS)

#define INT_LOOPS(t, T, U, width)                                                                           \
    BLOCK(add_##t, T, T, T, T, (U)X + (U)Y)                                                                 \
    BLOCK(sub_##t, T, T, T, T, (U)X - (U)Y)                                                                 \
    BLOCK(mul_##t, T, T, T, T, (U)X * (U)Y)                                                                 \
    BLOCK(fma_##t, T, T, T, T, (U)X * (U)Y + (U)Z)                                                          \
    BLOCK(neg_##t, T, T, T, T, (U)0 - (U)X)                                                                 \
    BLOCK(max_##t, T, T, T, T, X > Y ? X : Y)                                                               \
    BLOCK(min_##t, T, T, T, T, X < Y ? X : Y)                                                               \
    BLOCK(shl_##t, T, T, T, T, (uint64_t)Y < width ? (U)X << Y : 0)                                         \
    BLOCK(shr_##t, T, T, T, T, (uint64_t)Y < width ? X >> Y : 0)                                            \
    BLOCK(not_##t, T, T, T, T, ~(U)X)
INT_TYPES(INT_LOOPS)

#define SIGNED_LOOPS(t, T, U, width)                                                                        \
    BLOCK(div_##t, T, T, T, T, Y == 0 ? 0 : Y == -1 ? (T)((U)0 - (U)X) : X / Y)                             \
    BLOCK(rem_##t, T, T, T, T, Y == 0 || Y == -1 ? 0 : X % Y)                                               \
    BLOCK(abs_##t, T, T, T, T, X < 0 ? (U)0 - (U)X : (U)X)
SIGNED_TYPES(SIGNED_LOOPS)

#define UNSIGNED_LOOPS(t, T, U, width)                                                                      \
    BLOCK(div_##t, T, T, T, T, Y == 0 ? 0 : X / Y)                                                          \
    BLOCK(rem_##t, T, T, T, T, Y == 0 ? 0 : X % Y)                                                          \
    BLOCK(abs_##t, T, T, T, T, X)
UNSIGNED_TYPES(UNSIGNED_LOOPS)

#define BITS_LOOPS(t, T, U, width)                                                                          \
    BLOCK(and_##t, T, T, T, T, X & Y)                                                                       \
    BLOCK(or_##t, T, T, T, T, X | Y)                                                                        \
    BLOCK(xor_##t, T, T, T, T, X ^ Y)
INT_TYPES(BITS_LOOPS)
BITS_LOOPS(truth, uint8_t, , )
BLOCK(not_truth, uint8_t, uint8_t, uint8_t, uint8_t, !X)

#define COMPARE_LOOPS(t, T, U, width)                                                                          \
    BLOCK(eq_##t, uint8_t, T, T, T, X == Y)                                                                 \
    BLOCK(ne_##t, uint8_t, T, T, T, X != Y)                                                                 \
    BLOCK(lt_##t, uint8_t, T, T, T, X < Y)                                                                  \
    BLOCK(le_##t, uint8_t, T, T, T, X <= Y)
FLOAT_TYPES(COMPARE_LOOPS)
INT_TYPES(COMPARE_LOOPS)
COMPARE_LOOPS(truth, uint8_t, , )

BLOCK(select_1, uint8_t, uint8_t, uint8_t, uint8_t, X ? Y : Z)
BLOCK(select_2, uint16_t, uint8_t, uint16_t, uint16_t, X ? Y : Z)
BLOCK(select_4, uint32_t, uint8_t, uint32_t, uint32_t, X ? Y : Z)
BLOCK(select_8, uint64_t, uint8_t, uint64_t, uint64_t, X ? Y : Z)

/* Toward zero, NaN 0, saturating: what llvm.fptosi.sat.i64 and llvm.fptoui.sat.i64 do. */
static inline int64_t to_i64(double x)
{
    return x >= 0x1p63 ? INT64_MAX : x >= -0x1p63 ? (int64_t)x : x < 0 ? INT64_MIN : 0;
}

static inline uint64_t to_u64(double x)
{
    return x >= 0x1p64 ? UINT64_MAX : x > 0 ? (uint64_t)x : 0;
}

#define FROM_ANY(M, to, T)                                                                                  \
    M(f32, float, to, T) M(f64, double, to, T) M(truth, uint8_t, to, T)                                      \
    M(i8, int8_t, to, T) M(i16, int16_t, to, T) M(i32, int32_t, to, T) M(i64, int64_t, to, T)               \
    M(u8, uint8_t, to, T) M(u16, uint16_t, to, T) M(u32, uint32_t, to, T) M(u64, uint64_t, to, T)
#define FROM_INT(M, to, T)                                                                                  \
    M(truth, uint8_t, to, T)                                                                                 \
    M(i8, int8_t, to, T) M(i16, int16_t, to, T) M(i32, int32_t, to, T) M(i64, int64_t, to, T)               \
    M(u8, uint8_t, to, T) M(u16, uint16_t, to, T) M(u32, uint32_t, to, T) M(u64, uint64_t, to, T)
#define PLAIN(from, F, to, T) BLOCK(convert_##from##_##to, T, F, F, F, X)
#define NONZERO(from, F, to, T) BLOCK(convert_##from##_##to, T, F, F, F, X != 0)
#define FLOAT_TO_INT(to, T, U, width)                                                                            \
    BLOCK(convert_f32_##to, T, float, float, float, to_i64((double)X))                                      \
    BLOCK(convert_f64_##to, T, double, double, double, to_i64(X))                                           \
    FROM_INT(PLAIN, to, T)
FROM_ANY(PLAIN, f32, float)
FROM_ANY(PLAIN, f64, double)
FROM_ANY(NONZERO, truth, uint8_t)
SIGNED_TYPES(FLOAT_TO_INT)
FLOAT_TO_INT(u8, uint8_t, , )
FLOAT_TO_INT(u16, uint16_t, , )
FLOAT_TO_INT(u32, uint32_t, , )
FROM_INT(PLAIN, u64, uint64_t)
BLOCK(convert_f32_u64, uint64_t, float, float, float, to_u64((double)X))
BLOCK(convert_f64_u64, uint64_t, double, double, double, to_u64(X))

/* ---- the tables ---- */

#define IN_INT(op) [DT_i8] = op##_i8, [DT_i16] = op##_i16, [DT_i32] = op##_i32, [DT_i64] = op##_i64, \
                   [DT_u8] = op##_u8, [DT_u16] = op##_u16, [DT_u32] = op##_u32, [DT_u64] = op##_u64
#define IN_FLOAT(op) [DT_f32] = op##_f32, [DT_f64] = op##_f64
#define IN_BOOL(op) [DT_bool] = op##_truth

/* By primitive and type of operand 0. */
static BlockFn *const block_table[S_count][DT_count] = {
    [S_add] = { IN_FLOAT(add), IN_INT(add) },
    [S_sub] = { IN_FLOAT(sub), IN_INT(sub) },
    [S_mul] = { IN_FLOAT(mul), IN_INT(mul) },
    [S_div] = { IN_FLOAT(div), IN_INT(div) },
    [S_rem] = { IN_INT(rem) },
    [S_fma] = { IN_FLOAT(fma), IN_INT(fma) },
    [S_neg] = { IN_FLOAT(neg), IN_INT(neg) },
    [S_abs] = { IN_FLOAT(abs), IN_INT(abs) },
    [S_max] = { IN_FLOAT(max), IN_INT(max) },
    [S_min] = { IN_FLOAT(min), IN_INT(min) },
    [S_scale] = { IN_FLOAT(scale) },
    [S_sqrt] = { IN_FLOAT(sqrt) },
    [S_floor] = { IN_FLOAT(floor) },
    [S_ceil] = { IN_FLOAT(ceil) },
    [S_trunc] = { IN_FLOAT(trunc) },
    [S_rint] = { IN_FLOAT(rint) },
    [S_eq] = { IN_FLOAT(eq), IN_INT(eq), IN_BOOL(eq) },
    [S_ne] = { IN_FLOAT(ne), IN_INT(ne), IN_BOOL(ne) },
    [S_lt] = { IN_FLOAT(lt), IN_INT(lt), IN_BOOL(lt) },
    [S_le] = { IN_FLOAT(le), IN_INT(le), IN_BOOL(le) },
    [S_and] = { IN_INT(and), IN_BOOL(and) },
    [S_or] = { IN_INT(or), IN_BOOL(or) },
    [S_xor] = { IN_INT(xor), IN_BOOL(xor) },
    [S_not] = { IN_INT(not), IN_BOOL(not) },
    [S_shl] = { IN_INT(shl) },
    [S_shr] = { IN_INT(shr) },
};

#define IN_ANY(op) IN_FLOAT(op), IN_INT(op), IN_BOOL(op)
static BlockFn *const convert_table[DT_count][DT_count] = {     /* from, to */
    [DT_f32] = { IN_ANY(convert_f32) }, [DT_f64] = { IN_ANY(convert_f64) }, [DT_bool] = { IN_ANY(convert_truth) },
    [DT_i8] = { IN_ANY(convert_i8) }, [DT_i16] = { IN_ANY(convert_i16) }, [DT_i32] = { IN_ANY(convert_i32) }, [DT_i64] = { IN_ANY(convert_i64) },
    [DT_u8] = { IN_ANY(convert_u8) }, [DT_u16] = { IN_ANY(convert_u16) }, [DT_u32] = { IN_ANY(convert_u32) }, [DT_u64] = { IN_ANY(convert_u64) },
};

static BlockFn *block_fn(ScalarOp op, DType type, DType from)
{
    if (op == S_convert)
        return convert_table[from][type];
    if (op != S_select)
        return block_table[op][from];
    switch (dtype_bytes(type)) {
    case 1: return select_1;
    case 2: return select_2;
    case 4: return select_4;
    default: return select_8;
    }
}

void formula_apply(ScalarOp op, DType type, DType from, void *d, const void *a, const void *b, const void *c, int n)
{
    if (op == S_bitcast)
        memcpy(d, a, (size_t)n * (size_t)dtype_bytes(type));
    else
        block_fn(op, type, from)(d, a, b, c, n);
}

/* ---- running a formula ---- */

typedef struct Step {
    BlockFn *fn;                    /* NULL: bitcast, a copy */
    int a, b, c, d;                 /* blocks */
    int bytes;                      /* per element of the result */
} Step;

/* Blocks: first the operands' (pointers into the caller's memory), then constants and scratch. */
struct FormulaRun {
    int nsteps, nargs, result, result_bytes;
    Step *step;
    const void **block;
};

enum { BLOCK_BYTES = 8 * FORMULA_BLOCK };

/* Where each instruction lives while blocks are handed out. */
typedef struct Layout {
    const Formula *f;
    int *block, *last_use;          /* per instruction */
    int *spare, nspare;             /* scratch blocks free again */
    int nblocks;
} Layout;

static void find_last_uses(const Formula *f, int *last_use)
{
    for (int i = 0; i < f->n; i++) {
        const FInst *x = &f->inst[i];
        if (x->a >= 0)
            last_use[x->a] = i;
        if (x->b >= 0)
            last_use[x->b] = i;
        if (x->c >= 0)
            last_use[x->c] = i;
    }
    last_use[f->result] = f->n;
}

static bool is_scratch(const FInst *x)
{
    return x->op != S_arg && x->op != S_const;
}

static void release_operand(Layout *l, int x, int at)
{
    if (x < 0 || l->last_use[x] != at || !is_scratch(&l->f->inst[x]))
        return;
    l->last_use[x] = -1;            /* an operand named twice is released once */
    l->spare[l->nspare++] = l->block[x];
}

static void lay_out(Layout *l, int nargs)
{
    l->nblocks = nargs;
    for (int i = 0; i < l->f->n; i++) {
        const FInst *x = &l->f->inst[i];
        if (x->op == S_arg)
            l->block[i] = (int)x->k.i;
        else
            l->block[i] = is_scratch(x) && l->nspare ? l->spare[--l->nspare] : l->nblocks++;
        release_operand(l, x->a, i);
        release_operand(l, x->b, i);
        release_operand(l, x->c, i);
    }
}

static int count_args(const Formula *f)
{
    int n = 0;
    for (int i = 0; i < f->n; i++)
        if (f->inst[i].op == S_arg && f->inst[i].k.i >= n)
            n = (int)f->inst[i].k.i + 1;
    return n;
}

static void fill(const FInst *c, char *block)
{
    size_t bytes = (size_t)dtype_bytes(c->type);
    for (int i = 0; i < FORMULA_BLOCK; i++)
        finst_element(c, block + (size_t)i * bytes);
}

static Step step_of(const Layout *l, int i)
{
    const FInst *x = &l->f->inst[i];
    DType from = l->f->inst[x->a].type;
    return (Step){
        .fn = x->op == S_bitcast ? NULL : block_fn(x->op, x->type, from), .d = l->block[i], .a = l->block[x->a],
        .b = x->b >= 0 ? l->block[x->b] : 0, .c = x->c >= 0 ? l->block[x->c] : 0, .bytes = dtype_bytes(x->type),
    };
}

FormulaRun *formula_run_new(Arena *a, const Formula *f)
{
    Layout l = { .f = f, .block = ARENA_ARRAY(a, int, f->n), .last_use = ARENA_ARRAY(a, int, f->n), .spare = ARENA_ARRAY(a, int, f->n) };
    FormulaRun *run = ARENA_NEW(a, FormulaRun);
    run->nargs = count_args(f);
    find_last_uses(f, l.last_use);
    lay_out(&l, run->nargs);
    run->step = ARENA_ARRAY(a, Step, f->n);
    run->block = ARENA_ARRAY(a, const void *, l.nblocks + 1);
    char *memory = arena_alloc(a, (size_t)(l.nblocks + 1) * BLOCK_BYTES);
    for (int i = run->nargs; i < l.nblocks; i++)
        run->block[i] = memory + (size_t)i * BLOCK_BYTES;
    for (int i = 0; i < f->n; i++) {
        if (f->inst[i].op == S_const)
            fill(&f->inst[i], memory + (size_t)l.block[i] * BLOCK_BYTES);
        if (is_scratch(&f->inst[i]))
            run->step[run->nsteps++] = step_of(&l, i);
    }
    run->result = l.block[f->result];
    run->result_bytes = dtype_bytes(f->inst[f->result].type);
    return run;
}

void formula_run(FormulaRun *run, int n, const void *const *args, void *result)
{
    for (int i = 0; i < run->nargs; i++)
        run->block[i] = args[i];
    for (int i = 0; i < run->nsteps; i++) {
        const Step *s = &run->step[i];
        void *d = (void *)(uintptr_t)run->block[s->d];
        if (s->fn)
            s->fn(d, run->block[s->a], run->block[s->b], run->block[s->c], n);
        else
            memcpy(d, run->block[s->a], (size_t)n * (size_t)s->bytes);
    }
    memcpy(result, run->block[run->result], (size_t)n * (size_t)run->result_bytes);
}

/* ---- elementwise nodes ---- */

/* Walks an operand in the order of the result's elements. Broadcast dims have stride 0. */
typedef struct Cursor {
    const char *data;
    size_t size;                    /* of an element */
    int rank;
    const int64_t *dim;
    int64_t stride[MAX_RANK], index[MAX_RANK];
    int64_t at;                     /* element the index stands for */
    bool dense, constant;           /* shaped like the result; a single element */
    char *block;                    /* FORMULA_BLOCK elements */
} Cursor;

static void broadcast_strides(const Tensor *x, const Tensor *out, int64_t *stride)
{
    int64_t step = 1;
    for (int k = x->rank - 1, o = out->rank - 1; k >= 0; k--, o--) {
        stride[o] = x->dim[k] == 1 ? 0 : step;
        step *= x->dim[k];
    }
}

static void repeat(char *to, const char *element, size_t size, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * size, element, size);
}

static void cursor_open(Cursor *c, Arena *a, const Tensor *x, const Tensor *out)
{
    *c = (Cursor){ .data = x->data, .size = (size_t)dtype_bytes(x->dtype), .rank = out->rank, .dim = out->dim };
    c->dense = x->count == out->count;
    c->constant = x->count == 1 && !c->dense;
    broadcast_strides(x, out, c->stride);
    c->block = arena_alloc(a, FORMULA_BLOCK * c->size);
    if (c->constant)
        repeat(c->block, c->data, c->size, FORMULA_BLOCK);
}

static void cursor_advance(Cursor *c, int64_t n)
{
    int k = c->rank - 1;
    c->index[k] += n;
    c->at += n * c->stride[k];
    for (; k > 0 && c->index[k] == c->dim[k]; k--) {
        c->at += c->stride[k - 1] - c->dim[k] * c->stride[k];
        c->index[k] = 0;
        c->index[k - 1]++;
    }
}

/* The next n elements, for the block that starts at result element `first`. */
static const void *cursor_take(Cursor *c, int64_t first, int n)
{
    if (c->dense)
        return c->data + first * (int64_t)c->size;
    if (c->constant)
        return c->block;
    int last = c->rank - 1;
    for (int done = 0; done < n;) {
        int64_t run = c->dim[last] - c->index[last];
        if (run > n - done)
            run = n - done;
        const char *from = c->data + c->at * (int64_t)c->size;
        if (c->stride[last])
            memcpy(c->block + (size_t)done * c->size, from, (size_t)run * c->size);
        else
            repeat(c->block + (size_t)done * c->size, from, c->size, run);
        cursor_advance(c, run);
        done += (int)run;
    }
    return c->block;
}

static bool is_number(DType t)
{
    return dtype_table[t].cls != CLS_OTHER;
}

bool eval_elementwise(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    Cursor cursor[3];
    const void *args[3];
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    for (int i = 0; i <= n->nin; i++)
        if (!is_number(i < n->nin ? in[i]->dtype : r->dtype))
            return eval_fail(e, n, "elements of type %s are not supported", dtype_name(i < n->nin ? in[i]->dtype : r->dtype));
    Arena *scratch = arena_new();
    Formula f = formula_of_stored(scratch, n);
    FormulaRun *run = formula_run_new(scratch, &f);
    for (int i = 0; i < n->nin; i++)
        cursor_open(&cursor[i], scratch, in[i], r);
    char *to = eval_data(r);
    for (int64_t first = 0; first < r->count; first += FORMULA_BLOCK) {
        int len = r->count - first < FORMULA_BLOCK ? (int)(r->count - first) : FORMULA_BLOCK;
        for (int i = 0; i < n->nin; i++)
            args[i] = cursor_take(&cursor[i], first, len);
        formula_run(run, len, args, to + first * dtype_bytes(r->dtype));
    }
    arena_free(scratch);
    out[0] = r;
    return true;
}
