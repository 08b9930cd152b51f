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
/* Register state that XCR0 must show: none beyond SSE, ymm, zmm and masks, tiles. */
enum State { PLAIN = 0, YMM = 0x6, ZMM = 0xe6, TILES = 0x60006 };

typedef struct Feature {
    const char *name;
    uint32_t leaf, subleaf;
    unsigned char reg, bit;
    uint32_t state;
} Feature;

static const Feature features[] = {
    { "cx8", 1, 0, EDX, 8, PLAIN }, { "cmov", 1, 0, EDX, 15, PLAIN }, { "mmx", 1, 0, EDX, 23, PLAIN }, { "fxsr", 1, 0, EDX, 24, PLAIN },
    { "x87", 1, 0, EDX, 0, PLAIN }, { "sse", 1, 0, EDX, 25, PLAIN }, { "sse2", 1, 0, EDX, 26, PLAIN }, { "sse3", 1, 0, ECX, 0, PLAIN },
    { "pclmul", 1, 0, ECX, 1, PLAIN }, { "ssse3", 1, 0, ECX, 9, PLAIN }, { "fma", 1, 0, ECX, 12, YMM }, { "cx16", 1, 0, ECX, 13, PLAIN },
    { "sse4.1", 1, 0, ECX, 19, PLAIN }, { "sse4.2", 1, 0, ECX, 20, PLAIN }, { "crc32", 1, 0, ECX, 20, PLAIN }, { "movbe", 1, 0, ECX, 22, PLAIN },
    { "popcnt", 1, 0, ECX, 23, PLAIN }, { "aes", 1, 0, ECX, 25, PLAIN }, { "xsave", 1, 0, ECX, 27, PLAIN }, { "avx", 1, 0, ECX, 28, YMM },
    { "f16c", 1, 0, ECX, 29, YMM }, { "rdrnd", 1, 0, ECX, 30, PLAIN },
    { "fsgsbase", 7, 0, EBX, 0, PLAIN }, { "bmi", 7, 0, EBX, 3, PLAIN }, { "avx2", 7, 0, EBX, 5, YMM }, { "bmi2", 7, 0, EBX, 8, PLAIN },
    { "invpcid", 7, 0, EBX, 10, PLAIN }, { "avx512f", 7, 0, EBX, 16, ZMM }, { "avx512dq", 7, 0, EBX, 17, ZMM }, { "rdseed", 7, 0, EBX, 18, PLAIN },
    { "adx", 7, 0, EBX, 19, PLAIN }, { "avx512ifma", 7, 0, EBX, 21, ZMM }, { "clflushopt", 7, 0, EBX, 23, PLAIN }, { "clwb", 7, 0, EBX, 24, PLAIN },
    { "avx512cd", 7, 0, EBX, 28, ZMM }, { "sha", 7, 0, EBX, 29, PLAIN }, { "avx512bw", 7, 0, EBX, 30, ZMM }, { "avx512vl", 7, 0, EBX, 31, ZMM },
    { "evex512", 7, 0, EBX, 16, ZMM },
    { "avx512vbmi", 7, 0, ECX, 1, ZMM }, { "avx512vbmi2", 7, 0, ECX, 6, ZMM }, { "gfni", 7, 0, ECX, 8, PLAIN }, { "vaes", 7, 0, ECX, 9, YMM },
    { "vpclmulqdq", 7, 0, ECX, 10, YMM }, { "avx512vnni", 7, 0, ECX, 11, ZMM }, { "avx512bitalg", 7, 0, ECX, 12, ZMM },
    { "avx512vpopcntdq", 7, 0, ECX, 14, ZMM }, { "rdpid", 7, 0, ECX, 22, PLAIN },
    { "avx512vp2intersect", 7, 0, EDX, 8, ZMM }, { "amx-bf16", 7, 0, EDX, 22, TILES }, { "avx512fp16", 7, 0, EDX, 23, ZMM },
    { "amx-tile", 7, 0, EDX, 24, TILES }, { "amx-int8", 7, 0, EDX, 25, TILES },
    { "avxvnni", 7, 1, EAX, 4, YMM }, { "avx512bf16", 7, 1, EAX, 5, ZMM }, { "avxifma", 7, 1, EAX, 23, YMM },
    { "avxvnniint8", 7, 1, EDX, 4, YMM }, { "avxneconvert", 7, 1, EDX, 5, YMM }, { "avxvnniint16", 7, 1, EDX, 10, YMM },
    { "xsaveopt", 13, 1, EAX, 0, PLAIN }, { "xsavec", 13, 1, EAX, 1, PLAIN }, { "xsaves", 13, 1, EAX, 3, PLAIN },
    { "sahf", 0x80000001u, 0, ECX, 0, PLAIN }, { "lzcnt", 0x80000001u, 0, ECX, 5, PLAIN }, { "sse4a", 0x80000001u, 0, ECX, 6, PLAIN },
    { "prfchw", 0x80000001u, 0, ECX, 8, PLAIN }, { "fma4", 0x80000001u, 0, ECX, 16, YMM }, { "tbm", 0x80000001u, 0, ECX, 21, PLAIN },
    { "xop", 0x80000001u, 0, ECX, 11, YMM }, { "mwaitx", 0x80000001u, 0, ECX, 29, PLAIN }, { "64bit", 0x80000001u, 0, EDX, 29, PLAIN },
    { "clzero", 0x80000008u, 0, EBX, 0, PLAIN }, { "wbnoinvd", 0x80000008u, 0, EBX, 9, PLAIN },
};

/* XCR0: the register sets that the system saves; 0 without OSXSAVE. */
static uint32_t saved_state(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static bool has(const Feature *f)
{
    uint32_t r[4];
    if (f->state && (saved_state() & f->state) != f->state)
        return false;
    return __get_cpuid_count(f->leaf, f->subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) && (r[f->reg] >> f->bit & 1);
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

static bool has(const Feature *f)
{
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

static bool has(const Feature *f)
{
    return getauxval(AT_HWCAP) >> f->bit & 1;
}

#else
#error "cpu.c: add this machine's features"
#endif

bool ingot_cpu_has(const char *feature)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (!strcmp(features[i].name, feature))
            return has(&features[i]);
    return false;
}

int ingot_cpu_lacks(const char *features_needed, char *name, size_t name_bytes)
{
    size_t n;
    for (const char *at = features_needed; *at; at += n + (at[n] == ',')) {
        char one[32] = "";
        n = strcspn(at, ",");
        if (n < sizeof one)
            memcpy(one, at, n);         /* a longer name is nobody's: it stays "" */
        if (n && !ingot_cpu_has(one)) {
            snprintf(name, name_bytes, "%.*s", (int)n, at);
            return 1;
        }
    }
    return 0;
}
