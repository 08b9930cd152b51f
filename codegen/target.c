/* target.c -- which machine code is for: from --target and --cpu to a TargetInfo. The tables are targets.def.
 *
 * A named CPU's features are those of its row and of the rows it is based on. This machine's are what LLVM finds at run time, so that a virtual
 * machine which hides some is believed. Everything that depends on the CPU (vector width, registers, FMA) follows from the features.
 */
#include <elf.h>
#include <fnmatch.h>
#include <string.h>

#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

#include "cg.h"
#include "strbuf.h"

typedef struct TargetRow { const char *alias, *arch, *triple, *family, *cpu, *description; } TargetRow;
typedef struct CpuRow { const char *family, *name, *base, *features; } CpuRow;

static const FamilyInfo family_table[] = {
#define FAMILY(name, bits, machine, flags, abi, description) { #name, bits, machine, flags, abi, description },
#include "targets.def"
};

static const TargetRow target_table[] = {
#define TARGET(alias, arch, triple, family, cpu, description) { alias, arch, triple, #family, cpu, description },
#include "targets.def"
};

static const CpuRow cpu_table[] = {
#define CPU(family, name, base, features) { #family, name, base, features },
#include "targets.def"
};

#define FOR_EACH_ROW(row, T, table) for (const T *row = (table); row < (table) + sizeof(table) / sizeof(T); row++)

const FamilyInfo *target_family(const TargetInfo *t)
{
    FOR_EACH_ROW(f, FamilyInfo, family_table)
        if (!strcmp(f->name, t->family))
            return f;
    return NULL;
}

/* True if the comma-separated list holds the name, or "+name" where names carry signs. */
static bool list_has(const char *list, const char *name, bool with_sign)
{
    size_t want = strlen(name), n;
    for (const char *at = list; *at; at += n + (at[n] == ',')) {
        n = strcspn(at, ",");
        if (!with_sign && n == want && !memcmp(at, name, n))
            return true;
        if (with_sign && n == want + 1 && *at == '+' && !memcmp(at + 1, name, want))
            return true;
    }
    return false;
}

bool target_has(const TargetInfo *t, const char *feature)
{
    return list_has(t->features, feature, true);
}

/* ---- CPUs ---- */

static const CpuRow *cpu_find(const char *family, const char *name)
{
    FOR_EACH_ROW(c, CpuRow, cpu_table)
        if (!strcmp(c->family, family) && !strcmp(c->name, name))
            return c;
    return NULL;
}

static const char *cpu_needs(Arena *a, const CpuRow *c)
{
    const char *base = c->base ? cpu_needs(a, cpu_find(c->family, c->base)) : "";
    return arena_printf(a, "%s%s%s", base, *base && *c->features ? "," : "", c->features);
}

static const char *with_signs(Arena *a, const char *list)
{
    StrBuf b = strbuf_new(a);
    size_t n;
    for (const char *at = list; *at; at += n + (at[n] == ',')) {
        n = strcspn(at, ",");
        strbuf_printf(&b, "%s+%.*s", b.len ? "," : "", (int)n, at);
    }
    return b.text;
}

static const char *cpu_names(Arena *a, const char *family)
{
    StrBuf b = strbuf_new(a);
    FOR_EACH_ROW(c, CpuRow, cpu_table)
        if (!strcmp(c->family, family))
            strbuf_printf(&b, "%s%s", b.len ? ", " : "", c->name);
    return b.text;
}

static bool use_named_cpu(Arena *a, Diag *d, const char *cpu, TargetInfo *out)
{
    const CpuRow *c = cpu_find(out->family, cpu);
    if (!c)
        return diag_error(d, (Loc){ 0 }, "unknown cpu '%s' for %s; known: native, %s", cpu, out->triple, cpu_names(a, out->family));
    out->cpu = c->name;
    out->required_features = cpu_needs(a, c);
    out->features = with_signs(a, out->required_features);
    return true;
}

/* Of the host's features, those that some row of its family mentions: the ones generated code can use. */
static const char *host_needs(Arena *a, const TargetInfo *t)
{
    StrBuf b = strbuf_new(a);
    FOR_EACH_ROW(c, CpuRow, cpu_table) {
        size_t n;
        for (const char *at = strcmp(c->family, t->family) ? "" : c->features; *at; at += n + (at[n] == ',')) {
            n = strcspn(at, ",");
            const char *name = arena_strn(a, at, n);
            if (target_has(t, name) && !list_has(b.text, name, false))
                strbuf_printf(&b, "%s%s", b.len ? "," : "", name);
        }
    }
    return b.text;
}

static void use_host_cpu(Arena *a, TargetInfo *out)
{
    char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
    out->cpu = arena_str(a, cpu);
    out->features = arena_str(a, features);
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    out->required_features = host_needs(a, out);
}

/* ---- triples ---- */

static const char *normalized(Arena *a, const char *triple)
{
    char *s = LLVMNormalizeTargetTriple(triple);
    const char *copy = arena_str(a, s);
    LLVMDisposeMessage(s);
    return copy;
}

static const char *host_triple(Arena *a)
{
    char *s = LLVMGetDefaultTargetTriple();
    const char *copy = normalized(a, s);
    LLVMDisposeMessage(s);
    return copy;
}

static const TargetRow *row_of_triple(Arena *a, const char *triple)
{
    const char *arch = arena_strn(a, triple, strcspn(triple, "-"));
    FOR_EACH_ROW(t, TargetRow, target_table)
        if (!fnmatch(t->arch, arch, 0))
            return t;
    return NULL;
}

static const TargetRow *row_of_alias(const char *alias)
{
    FOR_EACH_ROW(t, TargetRow, target_table)
        if (!strcmp(t->alias, alias))
            return t;
    return NULL;
}

/* Code for ELF systems only; 32-bit ARM passes floats in registers, and `arm-linux-gnueabihf` means ARMv7 here as it does in Debian. */
static const char *usable_triple(Arena *a, const TargetRow *row, const char *triple)
{
    const char *rest = strchr(triple, '-');
    if (!rest || (!strstr(rest, "-linux") && !strstr(rest, "-none") && !strstr(rest, "-unknown-unknown")))
        return NULL;
    if (strcmp(row->family, "armv7"))
        return triple;
    size_t n = strlen(triple);
    return n > 2 && !strcmp(triple + n - 2, "hf") ? arena_printf(a, "armv7%s", rest) : NULL;
}

static bool report_target(Arena *a, Diag *d, const char *target)
{
    StrBuf b = strbuf_new(a);
    FOR_EACH_ROW(t, TargetRow, target_table)
        strbuf_printf(&b, "%s%s (%s)", b.len ? ", " : "", t->alias, t->triple);
    return diag_error(d, (Loc){ 0 }, "unknown target '%s'; known: %s, and other Linux or bare-metal triples of these machines", target, b.text);
}

static bool llvm_knows(const char *triple)
{
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
    LLVMTargetRef ref;
    char *why = NULL;
    bool known = !LLVMGetTargetFromTriple(triple, &ref, &why);
    LLVMDisposeMessage(why);
    return known;
}

/* ---- what follows from the features ---- */

static void derive_vectors(TargetInfo *t)
{
    const struct { const char *family, *feature; int bytes, registers; } row[] = {      /* first match wins */
        { "x86_64", "avx512f", 64, 32 }, { "x86_64", "avx", 32, 16 }, { "x86_64", "", 16, 16 },
        { "aarch64", "", 16, 32 }, { "armv7", "neon", 16, 16 }, { "riscv64", "v", 16, 32 }, { "", "", 4, 32 },
    };
    int i = 0;
    while ((*row[i].family && strcmp(row[i].family, t->family)) || (*row[i].feature && !target_has(t, row[i].feature)))
        i++;
    t->vector_bytes = row[i].bytes;
    t->vector_registers = row[i].registers;
    t->has_fma = !strcmp(t->family, "aarch64") || !strcmp(t->family, "riscv64") || target_has(t, "fma") || target_has(t, "vfp4");
}

bool target_resolve(Arena *a, Diag *d, const char *target, const char *cpu, TargetInfo *out)
{
    *out = (TargetInfo){ 0 };
    const char *host = host_triple(a);
    const TargetRow *row = target ? row_of_alias(target) : NULL;
    const char *triple = normalized(a, row ? row->triple : target ? target : host);
    if (!row)
        row = row_of_triple(a, triple);
    out->triple = row ? usable_triple(a, row, triple) : NULL;
    if (!out->triple)
        return report_target(a, d, target ? target : host);
    if (!llvm_knows(out->triple))
        return diag_error(d, (Loc){ 0 }, "this LLVM was built without support for %s", out->triple);
    const TargetRow *host_row = row_of_triple(a, host);
    out->family = row->family;
    out->is_host = row == host_row && strstr(out->triple, "-linux");
    out->is_64bit = target_family(out)->bits == 64;
    bool native = cpu ? !strcmp(cpu, "native") : !target;
    if (native && row != host_row)
        return diag_error(d, (Loc){ 0 }, "cpu 'native' is not a CPU of %s; known: %s", out->triple, cpu_names(a, out->family));
    if (native)
        use_host_cpu(a, out);
    else if (!use_named_cpu(a, d, cpu ? cpu : row->cpu, out))
        return false;
    derive_vectors(out);
    return true;
}

void targets_print(FILE *out)
{
    FOR_EACH_ROW(t, TargetRow, target_table) {
        Arena *a = arena_new();
        fprintf(out, "%-8s %-22s %s\n         cpu (default %s): %s\n", t->alias, t->triple, t->description, t->cpu, cpu_names(a, t->family));
        arena_free(a);
    }
}
