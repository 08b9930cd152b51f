/* byte_table.c -- a function from byte to byte that a kernel computes in many steps is looked up instead.
 *
 *     u8 -> number -> x * sigmoid(x) -> / scale, rounded, clipped -> u8          256 possible results, made here by the formulas' own interpreter
 *
 * So the bits are those that the steps would give. Sixteen lookups are a few instructions where a permutation takes bytes as numbers of bytes (AVX-512
 * VBMI, NEON); elsewhere they are sixteen loads, and the function must be longer to be worth it.
 */
#include "gen.h"

#include <string.h>

enum { CODES = 256, MAX_NODES = 32 };

typedef struct Function {
    Group *g;
    const Value *result, *source;   /* bytes both */
    int steps;                      /* instructions */
    int n;
    struct { const Value *v; const char *data; } known[MAX_NODES];      /* CODES elements each */
} Function;

static bool is_byte(const Value *v) { return v->type.dtype == DT_u8 || v->type.dtype == DT_i8; }

static bool same_place(const Value *a, const Value *b)
{
    if (a->type.rank != b->type.rank)
        return false;
    for (int i = 0; i < a->type.rank; i++)
        if (a->type.dim[i] != b->type.dim[i])
            return false;
    return true;
}

static const Tensor *number_of(const Group *g, const Value *v)
{
    double x;
    int k = group_operand(g, v);
    const Value *outer = k >= 0 ? g->operand[k] : v;
    return value_scalar_f64(outer, &x) ? value_constant(outer) : NULL;
}

/* ---- is it a function of one byte? ---- */

static bool take_source(Function *f, const Value *v)
{
    if (!is_byte(v) || (f->source && f->source != v) || !same_place(v, f->result))
        return false;
    f->source = v;
    return true;
}

static bool is_seen(const Function *f, const Value *v)
{
    for (int i = 0; i < f->n; i++)
        if (f->known[i].v == v)
            return true;
    return false;
}

/* Bytes on the way are where the function begins; but for those that the last step only adds a zero to. */
static bool is_beginning(const Function *f, const Value *v)
{
    const Node *last = f->result->def;
    return is_byte(v) && v != f->result && !(last->op == OP_add && node_in(last, 0) == v);
}

static bool walk(Function *f, const Value *v)
{
    const Node *n = v->def;
    bool step = (op_table[n->op].flags & OPF_EW) || n->op == OP_cast || n->op == OP_bitcast;
    if (is_seen(f, v) || number_of(f->g, v))
        return true;
    if (group_operand(f->g, v) >= 0 || !step || is_beginning(f, v))
        return take_source(f, v);
    if (f->n == MAX_NODES || !same_place(v, f->result))
        return false;
    f->known[f->n++].v = v;
    f->steps += formula_of(f->g->cg->arena, n).n;
    for (int i = 0; i < n->nin; i++)
        if (!walk(f, node_in(n, i)))
            return false;
    return true;
}

/* ---- its values ---- */

static const char *values(Function *f, const Value *v);

static const char *constant_values(Function *f, const Tensor *t)
{
    int bytes = dtype_bytes(t->dtype);
    char *p = arena_alloc(f->g->cg->arena, (size_t)(CODES * bytes));
    for (int i = 0; i < CODES; i++)
        memcpy(p + i * bytes, t->data, (size_t)bytes);
    return p;
}

static const char *step_values(Function *f, const Node *n)
{
    Arena *a = f->g->cg->arena;
    const void *args[3];
    Formula formula = formula_of_stored(a, n);
    char *p = arena_alloc(a, CODES * 8);
    for (int i = 0; i < n->nin; i++)
        args[i] = values(f, node_in(n, i));
    formula_run(formula_run_new(a, &formula), CODES, args, p);
    return p;
}

static const char *values(Function *f, const Value *v)
{
    const Tensor *t = number_of(f->g, v);
    if (v == f->source) {
        char *p = arena_alloc(f->g->cg->arena, CODES);
        for (int i = 0; i < CODES; i++)
            p[i] = (char)i;
        return p;
    }
    if (t)
        return constant_values(f, t);
    int i = 0;
    while (f->known[i].v != v)
        i++;
    if (!f->known[i].data)
        f->known[i].data = step_values(f, v->def);
    return f->known[i].data;
}

/* ---- looking up ---- */

static LLVMValueRef call(Codegen *cg, const char *name, LLVMTypeRef *type, LLVMValueRef *arg, unsigned n)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(cg->mod, id, type, type ? 1 : 0);
    return LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, type, type ? 1 : 0), fn, arg, n, "");
}

/* Entries [from, from + n) of the table as a vector. */
static LLVMValueRef entries(Codegen *cg, LLVMValueRef table, int64_t from, unsigned n)
{
    LLVMValueRef v = LLVMBuildLoad2(cg->b, LLVMVectorType(cg->i8, n), cg_gep_bytes(cg, table, cg_i64(cg, from)), "");
    LLVMSetAlignment(v, 64);
    if (from % 64)
        LLVMSetAlignment(v, 16);
    return v;
}

static LLVMValueRef resized(Codegen *cg, LLVMValueRef v, unsigned n)
{
    LLVMValueRef lane[64];
    for (unsigned i = 0; i < n; i++)
        lane[i] = i < LLVMGetVectorSize(LLVMTypeOf(v)) ? LLVMConstInt(cg->i32, i, false) : LLVMGetPoison(cg->i32);
    return LLVMBuildShuffleVector(cg->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(lane, n), "");
}

/* Two permutations of 128 entries; the sign of the code chooses. */
static LLVMValueRef look_up_vbmi(Codegen *cg, LLVMValueRef table, LLVMValueRef code)
{
    LLVMValueRef wide = resized(cg, code, 64), half[2];
    for (int i = 0; i < 2; i++) {
        LLVMValueRef arg[] = { entries(cg, table, 128 * i, 64), wide, entries(cg, table, 128 * i + 64, 64) };
        half[i] = resized(cg, call(cg, "llvm.x86.avx512.vpermi2var.qi.512", NULL, arg, 3), CG_LANES);
    }
    LLVMValueRef upper = LLVMBuildICmp(cg->b, LLVMIntSLT, code, LLVMConstNull(LLVMTypeOf(code)), "");
    return LLVMBuildSelect(cg->b, upper, half[1], half[0], "");
}

/* tbl gives 0 for a code beyond its 64 entries: the four quarters are combined. */
static LLVMValueRef look_up_neon(Codegen *cg, LLVMValueRef table, LLVMValueRef code)
{
    LLVMTypeRef type = LLVMTypeOf(code);
    LLVMValueRef r = NULL;
    for (int q = 0; q < 4; q++) {
        LLVMValueRef arg[5];
        for (int i = 0; i < 4; i++)
            arg[i] = entries(cg, table, 64 * q + 16 * i, 16);
        arg[4] = LLVMBuildSub(cg->b, code, cg_splat(cg, LLVMConstInt(cg->i8, (unsigned)(64 * q), false), CG_LANES), "");
        LLVMValueRef quarter = call(cg, "llvm.aarch64.neon.tbl4", &type, arg, 5);
        r = r ? LLVMBuildOr(cg->b, r, quarter, "") : quarter;
    }
    return r;
}

static LLVMValueRef look_up_one(Codegen *cg, LLVMValueRef table, LLVMValueRef code)
{
    return LLVMBuildLoad2(cg->b, cg->i8, cg_gep_bytes(cg, table, LLVMBuildZExt(cg->b, code, cg->i64, "")), "");
}

static LLVMValueRef look_up_each(Codegen *cg, LLVMValueRef table, LLVMValueRef code)
{
    LLVMValueRef r = LLVMGetPoison(LLVMTypeOf(code));
    for (unsigned i = 0; i < CG_LANES; i++) {
        LLVMValueRef at = LLVMConstInt(cg->i32, i, false);
        r = LLVMBuildInsertElement(cg->b, r, look_up_one(cg, table, LLVMBuildExtractElement(cg->b, code, at, "")), at, "");
    }
    return r;
}

typedef LLVMValueRef LookUpFn(Codegen *cg, LLVMValueRef table, LLVMValueRef code);

/* What 16 lookups are done with, and from how many steps on they pay. */
static LookUpFn *look_up_with(const Codegen *cg, int *least)
{
    bool arm = !strcmp(cg->target.family, "aarch64"), vbmi = target_has(&cg->target, "avx512vbmi");
    *least = arm || vbmi ? 24 : 60;
    return vbmi ? look_up_vbmi : arm ? look_up_neon : look_up_each;
}

static LLVMValueRef table_global(Codegen *cg, const char *data)
{
    LLVMValueRef text = LLVMConstStringInContext(cg->llvm, data, CODES, true), g = LLVMAddGlobal(cg->mod, LLVMTypeOf(text), "bytes");
    LLVMSetInitializer(g, text);
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetAlignment(g, 64);
    return g;
}

static ByteTable find_table(Group *g, const Value *v, int least)
{
    Function f = { .g = g, .result = v };
    bool pays = is_byte(v) && walk(&f, v) && f.source && f.steps >= least;
    return pays ? (ByteTable){ v, f.source, table_global(g->cg, values(&f, v)) } : (ByteTable){ v, NULL, NULL };
}

/* Asked for again for every register of a tile. */
static ByteTable table_of(Group *g, const Value *v, int least)
{
    for (int i = 0; i < g->ntables; i++)
        if (g->table[i].result == v)
            return g->table[i];
    ByteTable t = find_table(g, v, least);
    if (g->ntables < MAX_TABLES)
        g->table[g->ntables++] = t;
    return t;
}

LLVMValueRef byte_table_load(Group *g, const Value *v, const Index *at, int lanes)
{
    int least;
    LookUpFn *look_up = look_up_with(g->cg, &least);
    if (!is_byte(v) || (lanes != 1 && lanes != CG_LANES))
        return NULL;
    ByteTable t = table_of(g, v, least);
    return t.source ? (lanes == 1 ? look_up_one : look_up)(g->cg, t.table, group_load(g, t.source, at, lanes)) : NULL;
}
