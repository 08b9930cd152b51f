/* dot_int8.c -- four products of u8 and i8 added to an i32, in 16 lanes, by what the target has (int8.h).
 *
 *   x86       vpdpbusd (VNNI) does just this. Without it pmaddwd multiplies and adds pairs of 16-bit numbers exactly: bytes 0 and 2 of every
 *             four, then bytes 1 and 3. (pmaddubsw takes bytes, but saturates: 255 * 127 twice does not fit 16 bits.)
 *   aarch64   usdot (i8mm) does it. sdot (dotprod) wants signed bytes: a = (a - 128) + 128, and the sum of the weights times 128 is common to
 *             all rows of a tile.
 *   all else  four 32-bit multiplications. So on NEON without dotprod: smull and sadalp would take as many instructions.
 */
#include "int8.h"

#include <string.h>

typedef LLVMValueRef Val;
typedef Val PartFn(Codegen *cg, const char *name, Val acc, Val a, Val w);

static Val call(Codegen *cg, const char *name, LLVMTypeRef *types, size_t ntypes, Val *arg, unsigned n)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    Val fn = LLVMGetIntrinsicDeclaration(cg->mod, id, types, ntypes);
    return LLVMBuildCall2(cg->b, LLVMIntrinsicGetType(cg->llvm, id, types, ntypes), fn, arg, n, "");
}

static LLVMTypeRef lanes_of(LLVMTypeRef scalar, unsigned n)
{
    return LLVMVectorType(scalar, n);
}

static unsigned vector_bits(Val v)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    return LLVMGetVectorSize(t) * LLVMGetIntTypeWidth(LLVMGetElementType(t));
}

static Val as(Codegen *cg, Val v, LLVMTypeRef scalar)
{
    return LLVMBuildBitCast(cg->b, v, lanes_of(scalar, vector_bits(v) / LLVMGetIntTypeWidth(scalar)), "");
}

static Val splat_like(Val v, long long k)
{
    Val lane[64];
    unsigned n = LLVMGetVectorSize(LLVMTypeOf(v));
    for (unsigned i = 0; i < n; i++)
        lane[i] = LLVMConstInt(LLVMGetElementType(LLVMTypeOf(v)), (unsigned long long)k, true);
    return LLVMConstVector(lane, n);
}

/* ---- one register ---- */

static Val part_vnni(Codegen *cg, const char *name, Val acc, Val a, Val w)
{
    return call(cg, name, NULL, 0, (Val[]){ acc, as(cg, a, cg->i32), as(cg, w, cg->i32) }, 3);
}

/* Bytes 0 and 2, then 1 and 3, of every four as 16-bit numbers. */
static Val part_pmaddwd(Codegen *cg, const char *name, Val acc, Val a, Val w)
{
    a = as(cg, a, cg->i16), w = as(cg, w, cg->i16);
    Val eight = splat_like(a, 8);
    Val even[] = { LLVMBuildAnd(cg->b, a, splat_like(a, 0xff), ""), LLVMBuildAShr(cg->b, LLVMBuildShl(cg->b, w, eight, ""), eight, "") };
    Val odd[] = { LLVMBuildLShr(cg->b, a, eight, ""), LLVMBuildAShr(cg->b, w, eight, "") };
    return LLVMBuildAdd(cg->b, LLVMBuildAdd(cg->b, acc, call(cg, name, NULL, 0, even, 2), ""), call(cg, name, NULL, 0, odd, 2), "");
}

static Val arm_dot(Codegen *cg, const char *name, Val acc, Val x, Val y)
{
    return call(cg, name, (LLVMTypeRef[]){ LLVMTypeOf(acc), LLVMTypeOf(x) }, 2, (Val[]){ acc, x, y }, 3);
}

static Val part_usdot(Codegen *cg, const char *name, Val acc, Val a, Val w)
{
    return arm_dot(cg, name, acc, a, w);
}

static Val part_sdot(Codegen *cg, const char *name, Val acc, Val a, Val w)
{
    Val sum = arm_dot(cg, name, LLVMConstNull(LLVMTypeOf(acc)), w, splat_like(w, 1));
    Val less = LLVMBuildXor(cg->b, a, splat_like(a, 0x80), "");
    return LLVMBuildAdd(cg->b, arm_dot(cg, name, acc, less, w), LLVMBuildShl(cg->b, sum, splat_like(sum, 7), ""), "");
}

static Val part_portable(Codegen *cg, const char *name, Val acc, Val a, Val w)
{
    (void)name;
    a = as(cg, a, cg->i32), w = as(cg, w, cg->i32);
    for (int i = 0; i < 4; i++) {
        Val x = LLVMBuildAnd(cg->b, LLVMBuildLShr(cg->b, a, splat_like(a, 8 * i), ""), splat_like(a, 0xff), "");
        Val y = LLVMBuildAShr(cg->b, LLVMBuildShl(cg->b, w, splat_like(w, 24 - 8 * i), ""), splat_like(w, 24), "");
        acc = LLVMBuildAdd(cg->b, acc, LLVMBuildMul(cg->b, x, y, ""), "");
    }
    return acc;
}

/* ---- sixteen lanes ---- */

typedef struct DotKind {
    const char *family, *feature;   /* "": any */
    int bytes;                      /* of a register */
    PartFn *part;
    const char *intrinsic;
} DotKind;

static const DotKind dot_table[] = {            /* first match wins */
    { "x86_64", "avx512vnni", 64, part_vnni, "llvm.x86.avx512.vpdpbusd.512" },
    { "x86_64", "avxvnni", 32, part_vnni, "llvm.x86.avx512.vpdpbusd.256" },
    { "x86_64", "avx512bw", 64, part_pmaddwd, "llvm.x86.avx512.pmaddw.d.512" },
    { "x86_64", "avx2", 32, part_pmaddwd, "llvm.x86.avx2.pmadd.wd" },
    { "x86_64", "", 16, part_pmaddwd, "llvm.x86.sse2.pmadd.wd" },
    { "aarch64", "i8mm", 16, part_usdot, "llvm.aarch64.neon.usdot" },
    { "aarch64", "dotprod", 16, part_sdot, "llvm.aarch64.neon.sdot" },
    { "", "", 64, part_portable, "" },
};

static const DotKind *dot_kind(const TargetInfo *t)
{
    const DotKind *k = dot_table;
    while ((*k->family && strcmp(k->family, t->family)) || (*k->feature && !target_has(t, k->feature)))
        k++;
    return k;
}

/* Lanes [from, from + n) of v. */
static Val part_of(Codegen *cg, Val v, unsigned from, unsigned n)
{
    Val lane[64];
    if (n == LLVMGetVectorSize(LLVMTypeOf(v)))
        return v;
    for (unsigned i = 0; i < n; i++)
        lane[i] = LLVMConstInt(cg->i32, from + i, false);
    return LLVMBuildShuffleVector(cg->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(lane, n), "");
}

static Val join(Codegen *cg, Val x, Val y)
{
    Val lane[64];
    unsigned n = 2 * LLVMGetVectorSize(LLVMTypeOf(x));
    for (unsigned i = 0; i < n; i++)
        lane[i] = LLVMConstInt(cg->i32, i, false);
    return LLVMBuildShuffleVector(cg->b, x, y, LLVMConstVector(lane, n), "");
}

LLVMValueRef int8_dot(Codegen *cg, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef w)
{
    const DotKind *k = dot_kind(&cg->target);
    unsigned parts = (unsigned)(64 / k->bytes), lanes = CG_LANES / parts, bytes = 64 / parts;
    Val r[4];
    for (unsigned i = 0; i < parts; i++)
        r[i] = k->part(cg, k->intrinsic, part_of(cg, acc, i * lanes, lanes), part_of(cg, a, i * bytes, bytes), part_of(cg, w, i * bytes, bytes));
    for (; parts > 1; parts /= 2)
        for (unsigned i = 0; i < parts / 2; i++)
            r[i] = join(cg, r[2 * i], r[2 * i + 1]);
    return r[0];
}
