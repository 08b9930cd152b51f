/* test_gen_formula.c -- every elementwise op and cast, on every kind of element type, as scalars and as vectors: code emitted by gen_formula.c
 * against the evaluator, for each target family and several CPU levels of x86.
 *
 * All functions of one target go through the real back end into one object, linked with runner.c (no C library) into a program that runs on this
 * machine or under qemu-user. A target without an emulator is only compiled. With FMA the bits must be equal; without it results differ by the
 * roundings that fma saves, and 32-bit ARM's vector unit flushes subnormal numbers, so those are compared with a tolerance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build.h"
#include "cg.h"
#include "eval.h"
#include "runner.h"

enum { MAX_CASES = 4096 };

typedef struct Case {
    const Node *node;
    int lanes;
    const Tensor *want;
    Job job;
} Case;

typedef struct Bench {
    Arena *a;
    Diag d;
    Module *m;
    Builder b;
    const Tensor *set[DT_count][3];
    Value *operand[DT_count][3];
    int n;
    Case item[MAX_CASES];
} Bench;

/* ---- operands ---- */

static const DType tested[] = { DT_f32, DT_f64, DT_f16, DT_bf16, DT_f8e4m3, DT_f8e5m2z, DT_f8e8m0, DT_i8, DT_i16, DT_i32, DT_i64,
                                DT_u8, DT_u16, DT_u32, DT_u64, DT_i4, DT_u2, DT_bool };
enum { NTESTED = sizeof tested / sizeof *tested };

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed ^ *seed >> 29;
}

static const double special_float[] = { 0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 0.3, 3, 100.7, -100.3, INFINITY, -INFINITY, NAN, 1e-40, 0x1p31, -0x1p31, 0x1p32,
                                        0x1.8p40, -0x1.234p50, 0x1p63, 1e30 };
static const int64_t special_int[] = { 0, 1, -1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 127, 128, 255, -128, 32767, -32768, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN };
enum { SPECIALS = 24 };
_Static_assert(sizeof special_float == SPECIALS * sizeof(double) && sizeof special_int == SPECIALS * sizeof(int64_t), "one of each");

/* Operand k, element i: first all pairs of special values, then random ones. */
static double float_element(int k, int i, uint64_t *seed)
{
    uint64_t r = next_random(seed);
    if (i < SPECIALS * SPECIALS)
        return special_float[k == 0 ? i % SPECIALS : k == 1 ? i / SPECIALS : (int)(r % SPECIALS)];
    double u = (double)(int64_t)r * 0x1p-63;
    return r % 3 == 0 ? u * 10 : r % 3 == 1 ? ldexp(u, (int)(r >> 5) % 60 - 30) : rint(u * 40) / 2;
}

static int64_t int_element(int k, int i, uint64_t *seed)
{
    uint64_t r = next_random(seed);
    if (i < SPECIALS * SPECIALS)
        return special_int[k == 0 ? i % SPECIALS : k == 1 ? i / SPECIALS : (int)(r % SPECIALS)];
    return (int64_t)r >> (r % 64);
}

static const Tensor *make_set(Bench *t, DType type, int k)
{
    uint64_t seed = (uint64_t)type * 3 + (uint64_t)k;
    int bits = dtype_table[type].bits, bytes = dtype_bytes(type);
    Tensor *r = tensor_new(t->a, type, 1, (int64_t[]){ RUNNER_N });
    for (int i = 0; i < RUNNER_N; i++) {
        int64_t x = int_element(k, i, &seed);
        if (dtype_is_float(type))
            tensor_set_f64(r, i, float_element(k, i, &seed));
        else {
            x = type == DT_bool ? x & 1 : dtype_is_signed(type) ? (int64_t)((uint64_t)x << (64 - bits)) >> (64 - bits) : (int64_t)((uint64_t)x << (64 - bits) >> (64 - bits));
            memcpy((char *)(uintptr_t)r->data + (size_t)i * (size_t)bytes, &x, (size_t)bytes);
        }
    }
    return r;
}

static void make_operands(Bench *t)
{
    for (int i = 0; i < NTESTED; i++)
        for (int k = 0; k < 3; k++) {
            t->set[tested[i]][k] = make_set(t, tested[i], k);
            t->operand[tested[i]][k] = mk_tensor(&t->b, t->set[tested[i]][k]);
        }
}

/* ---- cases ---- */

static int set_number(DType type, int k)
{
    for (int i = 0; i < NTESTED; i++)
        if (tested[i] == type)
            return 3 * i + k;
    return 0;
}

static void add_case(Bench *t, const Node *n)
{
    const Tensor *in[3] = { 0 }, *out;
    int set[3] = { 0 };
    int64_t syms[1] = { 0 };
    EvalEnv env = { .arena = t->a, .m = t->m, .syms = syms };
    for (int k = 0; k < n->nin; k++) {
        in[k] = t->set[node_in(n, k)->type.dtype][k];
        set[k] = set_number(node_in(n, k)->type.dtype, k);
    }
    if (!eval_node(&env, n, in, &out))
        fail_msg("%s: %s", op_name(n->op), t->d.all);
    out = tensor_dense(t->a, out);
    for (int lanes = 1; lanes <= CG_LANES; lanes += CG_LANES - 1) {
        assert_true(t->n < MAX_CASES);
        t->item[t->n++] = (Case){ n, lanes, out, { set[0], set[1], set[2], RUNNER_N * dtype_bytes(out->dtype) } };
    }
}

/* Of the small floats one is enough here, they only differ in how they are stored: casts see all. */
static bool takes(EwTypes types, DType t)
{
    if (dtype_table[t].cls == CLS_MINI && t != DT_f16)
        return false;
    switch (types) {
    case EWT_NUM: return dtype_is_float(t) || dtype_is_int(t);
    case EWT_FLT: return dtype_is_float(t);
    case EWT_INT: return dtype_is_int(t);
    case EWT_BOOL: return t == DT_bool;
    default: return true;
    }
}

static void add_node(Bench *t, OpCode op, int nin, Value *const *in, const void *attrs)
{
    Node *n = node_new(t->m->graph, NULL, op, nin, in, attrs, -1, (Loc){ 0 });
    if (!n)
        fail_msg("%s: %s", op_name(op), t->d.all);
    add_case(t, n);
}

static void add_elementwise(Bench *t)
{
    for (OpCode op = OP_none + 1; op < OP_count; op++)
        for (int i = 0; (op_table[op].flags & OPF_EW) && op_table[op].ew_types && i < NTESTED; i++)
            if (takes(op_table[op].ew_types, tested[i])) {
                Value **v = t->operand[tested[i]];
                add_node(t, op, op_table[op].min_in, op == OP_where ? (Value *[]){ t->operand[DT_bool][0], v[1], v[2] } : v, NULL);
            }
}

static void add_casts(Bench *t)
{
    for (int i = 0; i < NTESTED; i++)
        for (int k = 0; k < NTESTED; k++)
            for (int saturate = 0; saturate <= (dtype_table[tested[k]].cls == CLS_MINI); saturate++)
                add_node(t, OP_cast, 1, t->operand[tested[i]], &(Attr_cast){ .to = tested[k], .saturate = saturate });
}

static int bench_open(void **state)
{
    Bench *t = calloc(1, sizeof *t);
    t->a = arena_new();
    diag_init(&t->d, t->a, NULL);
    t->m = module_new(t->a, &t->d, "formulas", "formulas");
    t->b = (Builder){ .m = t->m, .g = t->m->graph };
    make_operands(t);
    add_elementwise(t);
    add_casts(t);
    *state = t;
    return 0;
}

static int bench_close(void **state)
{
    Bench *t = *state;
    arena_free(t->a);
    free(t);
    return 0;
}

/* ---- code ---- */

/* void f(a, b, c, out): for (i = 0; i < RUNNER_N; i += lanes) out[i] = op(a[i], b[i], c[i]) */
static LLVMValueRef emit_case(Codegen *cg, const Case *c, int number)
{
    LLVMTypeRef type = LLVMFunctionType(cg->void_t, (LLVMTypeRef[]){ cg->ptr, cg->ptr, cg->ptr, cg->ptr }, 4, false);
    LLVMValueRef fn = LLVMAddFunction(cg->mod, arena_printf(cg->arena, "f%d_%s_%s_%d", number, op_name(c->node->op), dtype_name(c->want->dtype), c->lanes), type), arg[3];
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    cg_function_attributes(cg, fn);
    LLVMPositionBuilderAtEnd(cg->b, LLVMAppendBasicBlockInContext(cg->llvm, fn, "entry"));
    Loop l = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, RUNNER_N), c->lanes, "i");
    for (int k = 0; k < c->node->nin; k++) {
        DType t = node_in(c->node, k)->type.dtype;
        LLVMValueRef raw = LLVMBuildLoad2(cg->b, cg_storage_type(cg, t, c->lanes), cg_gep(cg, LLVMGetParam(fn, (unsigned)k), t, l.index), "");
        LLVMSetAlignment(raw, (unsigned)dtype_bytes(t));
        arg[k] = cg_from_storage(cg, t, raw, c->lanes);
    }
    DType t = c->want->dtype;
    LLVMValueRef v = cg_to_storage(cg, t, cg_elementwise(cg, c->node, arg, c->lanes), c->lanes, false);
    LLVMSetAlignment(LLVMBuildStore(cg->b, v, cg_gep(cg, LLVMGetParam(fn, 3), t, l.index)), (unsigned)dtype_bytes(t));
    loop_end(cg, &l);
    LLVMBuildRetVoid(cg->b);
    return fn;
}

static void emit_all(Codegen *cg, const Bench *t)
{
    LLVMValueRef *fn = ARENA_ARRAY(t->a, LLVMValueRef, t->n);
    for (int i = 0; i < t->n; i++)
        fn[i] = emit_case(cg, &t->item[i], i);
    LLVMValueRef table = LLVMAddGlobal(cg->mod, LLVMArrayType2(cg->ptr, (uint64_t)t->n), "formula_table");
    LLVMSetInitializer(table, LLVMConstArray2(cg->ptr, fn, (uint64_t)t->n));
    LLVMSetGlobalConstant(table, true);
}

static bool build_object(Bench *t, const char *target, const char *cpu, int opt, const char *path)
{
    CompileOptions o = { .output = path, .kind = OUT_OBJECT, .target = target, .cpu = cpu, .opt_level = opt };
    Codegen cg = { .arena = t->a, .m = t->m, .opt = &o };
    const char *model = arena_printf(t->a, "%s.model.o", path), *builtins = arena_printf(t->a, "%s.builtins.o", path), *keep = "formula_table";
    const char *object[] = { model, builtins };
    bool needed = false;
    bool ok = target_resolve(t->a, &t->d, target, cpu, &cg.target) && backend_open(&cg);
    if (ok)
        emit_all(&cg, t);
    ok = ok && backend_optimize(&cg) && backend_emit(&cg, OUT_OBJECT, model) && bitcode_builtins(&cg, model, builtins, &needed) &&
         link_relocatable(&cg.target, needed ? 2 : 1, object, path, &t->d) && object_hide_symbols(t->a, path, 1, &keep, &t->d);
    int n = -1;
    const char *const *undefined;
    ok = ok && object_undefined(t->a, path, &n, &undefined, &t->d);
    if (!ok || n)
        fail_msg("%s %s: %s%s", target, cpu, t->d.all, n > 0 ? undefined[0] : "");
    unlink(model);
    unlink(builtins);
    backend_close(&cg);
    return cg.target.has_fma;
}

/* ---- running ---- */

static void shell(Bench *t, const char *command)
{
    if (system(command))
        fail_msg("failed: %s %s", command, t->d.all);
}

/* How to run a program of this family here: "" on this machine, NULL if there is no way. */
static const char *emulator(Bench *t, const char *family)
{
#if defined(__x86_64__)
    if (!strcmp(family, "x86_64"))
        return "";
#elif defined(__aarch64__)
    if (!strcmp(family, "aarch64"))
        return "";
#endif
    const char *name = !strcmp(family, "armv7") ? "arm" : family;
    for (int i = 0; i < 2; i++) {
        const char *program = arena_printf(t->a, i ? "qemu-%s" : "qemu-%s-static", name);
        if (!system(arena_printf(t->a, "command -v %s >/dev/null 2>&1", program)))
            return program;
    }
    return NULL;
}

static void write_input(Bench *t, const char *path)
{
    FILE *f = fopen(path, "wb");
    static const char zeros[RUNNER_SET_BYTES];
    assert_non_null(f);
    for (int i = 0; i < RUNNER_SETS; i++) {
        const Tensor *s = i < 3 * NTESTED ? t->set[tested[i / 3]][i % 3] : NULL;
        size_t bytes = s ? tensor_bytes(s) : 0;
        if (s)
            fwrite(s->data, 1, bytes, f);
        fwrite(zeros, 1, RUNNER_SET_BYTES - bytes, f);
    }
    for (int i = 0; i < t->n; i++)
        fwrite(&t->item[i].job, sizeof(Job), 1, f);
    assert_int_equal(fclose(f), 0);
}

/* ---- comparing ---- */

static double tolerance_of(DType t)
{
    switch (t) {
    case DT_f64: return 1e-13;
    case DT_f32: return 2e-5;
    default: return dtype_is_float(t) ? 0.3 : 0;            /* a rounding of a small float may go the other way */
    }
}

static bool agrees(DType t, double got, double want)
{
    return dtype_is_float(t) && fabs(got - want) <= tolerance_of(t) * fabs(want) + (t == DT_f64 ? 1e-300 : 1e-37);
}

/* Vectors of 32-bit ARM take these for zero. */
static bool subnormal_operand(const Bench *t, const Case *c, int i)
{
    bool any = false;
    for (int k = 0; k < c->node->nin; k++)
        any |= node_in(c->node, k)->type.dtype == DT_f32 && fpclassify((float)tensor_get_f64(t->set[DT_f32][k], i)) == FP_SUBNORMAL;
    return any;
}

static int compare_case(const Bench *bench, const Case *c, const char *got, bool exact, bool flushes, const char *target)
{
    DType t = c->want->dtype;
    size_t size = (size_t)dtype_bytes(t);
    Tensor one = { .dtype = t, .count = 1, .splat = true };
    for (int i = 0; i < RUNNER_N; i++) {
        one.data = got + (size_t)i * size;
        if (!memcmp(one.data, (const char *)c->want->data + (size_t)i * size, size))
            continue;
        double g = tensor_get_f64(&one, 0), w = tensor_get_f64(c->want, i);
        if ((isnan(g) && isnan(w)) || (!exact && agrees(t, g, w)) || (flushes && subnormal_operand(bench, c, i)))
            continue;
        DType in = node_in(c->node, 0)->type.dtype;
        fprintf(stderr, "%s: %s %s -> %s, %d lanes, element %d: %.9g where the evaluator has %.9g\n", target, op_name(c->node->op), dtype_name(in), dtype_name(t),
                c->lanes, i, g, w);
        return 1;
    }
    return 0;
}

static void compare_all(Bench *t, const char *path, bool exact, bool flushes, const char *target)
{
    FILE *f = fopen(path, "rb");
    static char got[RUNNER_SET_BYTES];
    int wrong = 0;
    assert_non_null(f);
    for (int i = 0; i < t->n; i++) {
        size_t bytes = (size_t)t->item[i].job.out_bytes;
        if (fread(got, 1, bytes, f) != bytes)
            fail_msg("%s: results end at case %d of %d", target, i, t->n);
        wrong += compare_case(t, &t->item[i], got, exact, flushes, target);
    }
    fclose(f);
    if (wrong)
        fail_msg("%s: %d of %d cases are wrong", target, wrong, t->n);
}

static void check_target(Bench *t, const char *target, const char *cpu, int opt, bool run)
{
    TargetInfo info;
    const char *dir = arena_printf(t->a, BINARY_DIR "/formula-%s-%s-O%d", target, cpu, opt);
    mkdir(dir, 0777);
    const char *object = arena_printf(t->a, "%s/formulas.o", dir);
    bool fma = build_object(t, target, cpu, opt, object);
    assert_true(target_resolve(t->a, &t->d, target, cpu, &info));
    bool flushes = !strcmp(info.family, "armv7");
    const char *how = run ? emulator(t, info.family) : NULL;
    if (how) {
        write_input(t, arena_printf(t->a, "%s/in", dir));
        shell(t, arena_printf(t->a, TEST_CLANG " --target=%s -ffreestanding -fno-builtin -O1 -c " SOURCE_DIR "/tests/codegen/runner.c -o %s/runner.o", info.triple, dir));
        shell(t, arena_printf(t->a, LLVM_BINDIR "/ld.lld -o %s/program %s/runner.o %s", dir, dir, object));
        shell(t, arena_printf(t->a, "%s %s/program < %s/in > %s/out", how, dir, dir, dir));
        compare_all(t, arena_printf(t->a, "%s/out", dir), fma && !flushes, flushes, dir);
    } else
        print_message("%s %s: compiled, not run\n", target, cpu);
    shell(t, arena_printf(t->a, "rm -rf %s", dir));
}

#if defined(__x86_64__)
static bool host_runs_v3(void) { return __builtin_cpu_supports("x86-64-v3"); }
#else
static bool host_runs_v3(void) { return false; }
#endif

static void test_x86_sse2(void **state) { check_target(*state, "x86_64", "x86-64", 1, true); }
static void test_x86_v3(void **state) { check_target(*state, "x86_64", "x86-64-v3", 2, host_runs_v3()); }
static void test_x86_avx512(void **state) { check_target(*state, "x86_64", "znver4", 1, false); }
static void test_aarch64(void **state) { check_target(*state, "aarch64", "generic", 1, true); }
static void test_armv7(void **state) { check_target(*state, "armv7", "generic", 1, true); }
static void test_riscv64(void **state) { check_target(*state, "riscv64", "generic-rv64", 1, true); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x86_sse2), cmocka_unit_test(test_x86_v3), cmocka_unit_test(test_x86_avx512),
        cmocka_unit_test(test_aarch64), cmocka_unit_test(test_armv7), cmocka_unit_test(test_riscv64),
    };
    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, bench_open, bench_close);
}
