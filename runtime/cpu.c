/* cpu.c -- CPU features by LLVM's names, so that a model that needs more than this CPU has is refused in a sentence instead of by SIGILL.
 *
 * x86: CPUID, and XGETBV for the registers that the system must save. ARM: the bits the kernel passes in the auxiliary vector.
 * A name missing from the table counts as missing from the CPU. Source: Intel SDM vol. 2 (CPUID), AMD APM vol. 3, Linux asm/hwcap.h.
 */
#include "cpu.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "rt.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

enum Register { EAX, EBX, ECX, EDX };
enum Leaf { L1, L7, L7_1, L13_1, X1, X8, LEAVES };     /* rows of leaf_number */
/* Register state that XCR0 must show: none beyond SSE, ymm, zmm and masks, tiles. */
enum State { PLAIN = 0, YMM = 0x6, ZMM = 0xe6, TILES = 0x60006 };

static const uint32_t leaf_number[LEAVES][2] = { { 1, 0 }, { 7, 0 }, { 7, 1 }, { 13, 1 }, { 0x80000001u, 0 }, { 0x80000008u, 0 } };

typedef struct Feature {
    const char *name;
    unsigned char leaf, reg, bit;
    uint32_t state;
} Feature;

/* What was asked so far: in a virtual machine every CPUID is a trip to the hypervisor, 2 to 70 microseconds. */
typedef struct Cpu {
    bool known[LEAVES];
    uint32_t leaf[LEAVES][4];
} Cpu;

static const Feature features[] = {
    { "cx8", L1, EDX, 8, PLAIN }, { "cmov", L1, EDX, 15, PLAIN }, { "mmx", L1, EDX, 23, PLAIN }, { "fxsr", L1, EDX, 24, PLAIN },
    { "x87", L1, EDX, 0, PLAIN }, { "sse", L1, EDX, 25, PLAIN }, { "sse2", L1, EDX, 26, PLAIN }, { "sse3", L1, ECX, 0, PLAIN },
    { "pclmul", L1, ECX, 1, PLAIN }, { "ssse3", L1, ECX, 9, PLAIN }, { "fma", L1, ECX, 12, YMM }, { "cx16", L1, ECX, 13, PLAIN },
    { "sse4.1", L1, ECX, 19, PLAIN }, { "sse4.2", L1, ECX, 20, PLAIN }, { "crc32", L1, ECX, 20, PLAIN }, { "movbe", L1, ECX, 22, PLAIN },
    { "popcnt", L1, ECX, 23, PLAIN }, { "aes", L1, ECX, 25, PLAIN }, { "xsave", L1, ECX, 27, PLAIN }, { "avx", L1, ECX, 28, YMM },
    { "f16c", L1, ECX, 29, YMM }, { "rdrnd", L1, ECX, 30, PLAIN },
    { "fsgsbase", L7, EBX, 0, PLAIN }, { "bmi", L7, EBX, 3, PLAIN }, { "avx2", L7, EBX, 5, YMM }, { "bmi2", L7, EBX, 8, PLAIN },
    { "invpcid", L7, EBX, 10, PLAIN }, { "avx512f", L7, EBX, 16, ZMM }, { "avx512dq", L7, EBX, 17, ZMM }, { "rdseed", L7, EBX, 18, PLAIN },
    { "adx", L7, EBX, 19, PLAIN }, { "avx512ifma", L7, EBX, 21, ZMM }, { "clflushopt", L7, EBX, 23, PLAIN }, { "clwb", L7, EBX, 24, PLAIN },
    { "avx512cd", L7, EBX, 28, ZMM }, { "sha", L7, EBX, 29, PLAIN }, { "avx512bw", L7, EBX, 30, ZMM }, { "avx512vl", L7, EBX, 31, ZMM },
    { "evex512", L7, EBX, 16, ZMM },
    { "avx512vbmi", L7, ECX, 1, ZMM }, { "avx512vbmi2", L7, ECX, 6, ZMM }, { "gfni", L7, ECX, 8, PLAIN }, { "vaes", L7, ECX, 9, YMM },
    { "vpclmulqdq", L7, ECX, 10, YMM }, { "avx512vnni", L7, ECX, 11, ZMM }, { "avx512bitalg", L7, ECX, 12, ZMM },
    { "avx512vpopcntdq", L7, ECX, 14, ZMM }, { "rdpid", L7, ECX, 22, PLAIN },
    { "avx512vp2intersect", L7, EDX, 8, ZMM }, { "amx-bf16", L7, EDX, 22, TILES }, { "avx512fp16", L7, EDX, 23, ZMM },
    { "amx-tile", L7, EDX, 24, TILES }, { "amx-int8", L7, EDX, 25, TILES },
    { "avxvnni", L7_1, EAX, 4, YMM }, { "avx512bf16", L7_1, EAX, 5, ZMM }, { "avxifma", L7_1, EAX, 23, YMM },
    { "avxvnniint8", L7_1, EDX, 4, YMM }, { "avxneconvert", L7_1, EDX, 5, YMM }, { "avxvnniint16", L7_1, EDX, 10, YMM },
    { "xsaveopt", L13_1, EAX, 0, PLAIN }, { "xsavec", L13_1, EAX, 1, PLAIN }, { "xsaves", L13_1, EAX, 3, PLAIN },
    { "sahf", X1, ECX, 0, PLAIN }, { "lzcnt", X1, ECX, 5, PLAIN }, { "sse4a", X1, ECX, 6, PLAIN },
    { "prfchw", X1, ECX, 8, PLAIN }, { "fma4", X1, ECX, 16, YMM }, { "tbm", X1, ECX, 21, PLAIN },
    { "xop", X1, ECX, 11, YMM }, { "mwaitx", X1, ECX, 29, PLAIN }, { "64bit", X1, EDX, 29, PLAIN },
    { "clzero", X8, EBX, 0, PLAIN }, { "wbnoinvd", X8, EBX, 9, PLAIN },
};

static const uint32_t *read_leaf(Cpu *cpu, enum Leaf i)
{
    uint32_t *r = cpu->leaf[i];
    if (!cpu->known[i] && !__get_cpuid_count(leaf_number[i][0], leaf_number[i][1], &r[EAX], &r[EBX], &r[ECX], &r[EDX]))
        memset(r, 0, sizeof cpu->leaf[i]);      /* a CPU older than the leaf */
    cpu->known[i] = true;
    return r;
}

/* XCR0: the register sets that the system saves; 0 without OSXSAVE. */
static uint32_t saved_state(Cpu *cpu)
{
    uint32_t a, d;
    if (!(read_leaf(cpu, L1)[ECX] >> 27 & 1))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static bool has(Cpu *cpu, const Feature *f)
{
    return (!f->state || (saved_state(cpu) & f->state) == f->state) && (read_leaf(cpu, f->leaf)[f->reg] >> f->bit & 1);
}

#elif defined(__aarch64__) || defined(__arm__)
#include <sys/auxv.h>

typedef struct Feature {
    const char *name;
    unsigned char vector, bit;
} Feature;

static const Feature features[] = {
#ifdef __aarch64__
    { "fp-armv8", AT_HWCAP, 0 }, { "neon", AT_HWCAP, 1 }, { "aes", AT_HWCAP, 3 }, { "sha2", AT_HWCAP, 6 }, { "crc", AT_HWCAP, 7 }, { "lse", AT_HWCAP, 8 }, { "fullfp16", AT_HWCAP, 10 },
    { "rdm", AT_HWCAP, 12 }, { "jsconv", AT_HWCAP, 13 }, { "complxnum", AT_HWCAP, 14 }, { "rcpc", AT_HWCAP, 15 }, { "ccpp", AT_HWCAP, 16 }, { "sha3", AT_HWCAP, 17 }, { "sm4", AT_HWCAP, 19 },
    { "dotprod", AT_HWCAP, 20 }, { "sve", AT_HWCAP, 22 }, { "fp16fml", AT_HWCAP, 23 }, { "dit", AT_HWCAP, 24 }, { "rcpc-immo", AT_HWCAP, 26 }, { "flagm", AT_HWCAP, 27 },
    { "ssbs", AT_HWCAP, 28 }, { "sb", AT_HWCAP, 29 }, { "pauth", AT_HWCAP, 30 },
    { "ccdp", AT_HWCAP2, 0 }, { "sve2", AT_HWCAP2, 1 }, { "altnzcv", AT_HWCAP2, 7 }, { "fptoint", AT_HWCAP2, 8 }, { "f32mm", AT_HWCAP2, 10 }, { "f64mm", AT_HWCAP2, 11 }, { "i8mm", AT_HWCAP2, 13 },
    { "bf16", AT_HWCAP2, 14 }, { "rand", AT_HWCAP2, 16 }, { "bti", AT_HWCAP2, 17 }, { "mte", AT_HWCAP2, 18 },
#else
    { "vfp2", AT_HWCAP, 6 }, { "vfp2sp", AT_HWCAP, 6 }, { "neon", AT_HWCAP, 12 }, { "vfp3", AT_HWCAP, 13 }, { "vfp3sp", AT_HWCAP, 13 }, { "vfp3d16", AT_HWCAP, 13 }, { "vfp3d16sp", AT_HWCAP, 13 },
    { "vfp4", AT_HWCAP, 16 }, { "vfp4sp", AT_HWCAP, 16 }, { "vfp4d16", AT_HWCAP, 16 }, { "vfp4d16sp", AT_HWCAP, 16 }, { "fp16", AT_HWCAP, 16 }, { "hwdiv-arm", AT_HWCAP, 17 },
    { "hwdiv", AT_HWCAP, 18 }, { "d32", AT_HWCAP, 19 }, { "fpregs", AT_HWCAP, 6 }, { "fpregs64", AT_HWCAP, 6 }, { "fp64", AT_HWCAP, 6 }, { "aes", AT_HWCAP2, 0 }, { "sha2", AT_HWCAP2, 3 },
    { "crc", AT_HWCAP2, 4 }, { "fp-armv8", AT_HWCAP2, 4 /* no bit of its own; it came with CRC32 */ }, { "fullfp16", AT_HWCAP, 22 }, { "dotprod", AT_HWCAP, 24 }, { "fp16fml", AT_HWCAP, 25 }, { "bf16", AT_HWCAP, 26 }, { "i8mm", AT_HWCAP, 27 },
#endif
};

typedef struct Cpu {
    char none;                          /* getauxval is cheap */
} Cpu;

static bool has(Cpu *cpu, const Feature *f)
{
    (void)cpu;
    return getauxval(f->vector) >> f->bit & 1;
}

#elif defined(__riscv)
#include <sys/auxv.h>

/* The kernel sets one bit of AT_HWCAP per single-letter extension. */
typedef struct Feature {
    const char *name;
    unsigned char bit;
} Feature;

static const Feature features[] = { { "a", 0 }, { "c", 2 }, { "d", 3 }, { "f", 5 }, { "m", 12 }, { "v", 21 } };

typedef struct Cpu {
    char none;
} Cpu;

static bool has(Cpu *cpu, const Feature *f)
{
    (void)cpu;
    return getauxval(AT_HWCAP) >> f->bit & 1;
}

#else
#error "cpu.c: add this machine's features"
#endif

static bool has_named(Cpu *cpu, const char *feature)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (!strcmp(features[i].name, feature))
            return has(cpu, &features[i]);
    return false;
}

bool ingot_cpu_has(const char *feature)
{
    Cpu cpu = { 0 };
    return has_named(&cpu, feature);
}

int ingot_cpu_lacks(const char *features_needed, char *name, size_t name_bytes)
{
    Cpu cpu = { 0 };
    size_t n;
    for (const char *at = features_needed; *at; at += n + (at[n] == ',')) {
        char one[32] = "";
        n = strcspn(at, ",");
        if (n < sizeof one)
            memcpy(one, at, n);         /* a longer name is nobody's: it stays "" */
        if (n && !has_named(&cpu, one)) {
            snprintf(name, name_bytes, "%.*s", (int)n, at);
            return 1;
        }
    }
    return 0;
}
