/* builtins.c -- functions that LLVM's instruction selection calls without being asked: libc's memory functions, and arithmetic that a CPU lacks.
 *
 * Only for emitted code (codegen/bitcode.c puts the ones that a model's object lacks beside it, local to the model). Names and calling conventions
 * are those of libc, of compiler-rt and, on 32-bit ARM, of the run-time ABI (RTABI, "__aeabi_"), whose functions take floats in integer registers.
 *
 * Functions must not be turned into calls of themselves: they are compiled with -fno-builtin, and division here is by shift and subtract.
 */
#include <stddef.h>
#include <stdint.h>

typedef union Bits32 { float f; uint32_t u; } Bits32;
typedef union Bits64 { double f; uint64_t u; } Bits64;

/* ---- memory ---- */

/* A word that may alias anything and lie anywhere. */
typedef uint64_t __attribute__((may_alias, aligned(1))) Word;
enum { WORD = sizeof(Word) };

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

/* Also right where `to` lies below `from` and they overlap. */
static void copy_forward(char *to, const char *from, size_t n)
{
    for (; n >= WORD; n -= WORD, to += WORD, from += WORD)
        *(Word *)to = *(const Word *)from;
    for (; n; n--)
        *to++ = *from++;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    copy_forward(to, from, n);
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    char *t = to;
    const char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= n)
        copy_forward(t, f, n);
    else
        while (n--)
            t[n] = f[n];
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    char *t = to;
    uint64_t word = (unsigned char)byte * 0x0101010101010101u;
    for (; n >= WORD; n -= WORD, t += WORD)
        *(Word *)t = word;
    for (; n; n--)
        *t++ = (char)byte;
    return to;
}

/* ---- rounding: beyond `whole` every number is an integer; below, adding it leaves no room for a fraction ---- */

#define ROUNDING(T, suffix, whole, abs_of)                                                                                      \
    T rint##suffix(T x);                                                                                                        \
    T nearbyint##suffix(T x);                                                                                                   \
    T roundeven##suffix(T x);                                                                                                   \
    T floor##suffix(T x);                                                                                                       \
    T ceil##suffix(T x);                                                                                                        \
    T trunc##suffix(T x);                                                                                                       \
    T rint##suffix(T x)                                                                                                         \
    {                                                                                                                           \
        T a = abs_of(x);                                                                                                        \
        if (!(a < whole))                                                                                                       \
            return x;                                                                                                           \
        T r = (a + whole) - whole;                                                                                              \
        return __builtin_copysign(1.0, (double)x) < 0 ? -r : r;                                                                 \
    }                                                                                                                           \
    T nearbyint##suffix(T x) { return rint##suffix(x); }                                                                        \
    T roundeven##suffix(T x) { return rint##suffix(x); }                                                                        \
    T floor##suffix(T x) { T r = rint##suffix(x); return r > x ? r - 1 : r; }                                                   \
    T ceil##suffix(T x) { return -floor##suffix(-x); }                                                                          \
    T trunc##suffix(T x) { return x < 0 ? ceil##suffix(x) : floor##suffix(x); }

static float abs32(float x) { return (Bits32){ .u = (Bits32){ .f = x }.u & INT32_MAX }.f; }
static double abs64(double x) { return (Bits64){ .u = (Bits64){ .f = x }.u & INT64_MAX }.f; }
ROUNDING(float, f, 0x1p23f, abs32)
ROUNDING(double, , 0x1p52, abs64)

/* The product of floats is exact in double. Rounding the sum to odd there makes the second rounding, to float, right
 * (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). */
float fmaf(float x, float y, float z);
float fmaf(float x, float y, float z)
{
    double p = (double)x * (double)y, c = (double)z, s = p + c;
    double pp = s - c, cc = s - pp, lost = (p - pp) + (c - cc);         /* p + c = s + lost exactly */
    Bits64 b = { .f = s };
    if (lost != 0 && lost == lost && !(b.u & 1))
        b.u += (lost > 0) == (s > 0) ? 1 : (uint64_t)-1;
    return (float)b.f;
}

#if __SIZEOF_POINTER__ == 4

/* ---- 64-bit numbers on 32-bit machines ---- */

#define DIVIDE(name, U, clz)                                                                                                    \
    static U name(U n, U d, U *rest)                                                                                            \
    {                                                                                                                           \
        U q = 0;                                                                                                                \
        if (d && d <= n) {                                                                                                      \
            int shift = clz(d) - clz(n);                                                                                        \
            for (d <<= shift; shift >= 0; shift--, d >>= 1) {                                                                   \
                q <<= 1;                                                                                                        \
                if (n >= d) {                                                                                                   \
                    n -= d;                                                                                                     \
                    q |= 1;                                                                                                     \
                }                                                                                                               \
            }                                                                                                                   \
        }                                                                                                                       \
        *rest = n;                                                                                                              \
        return q;                                                                                                               \
    }
DIVIDE(divide_bits32, uint32_t, __builtin_clz)
DIVIDE(divide_bits64, uint64_t, __builtin_clzll)

static uint64_t udivmod64(uint64_t n, uint64_t d, uint64_t *rest)
{
    if (n >> 32)
        return divide_bits64(n, d, rest);
    uint32_t rest32, q = d >> 32 ? 0 : divide_bits32((uint32_t)n, (uint32_t)d, &rest32);
    *rest = d >> 32 ? n : rest32;
    return q;
}

static int64_t divmod64(int64_t n, int64_t d, int64_t *rest)
{
    uint64_t un = n < 0 ? 0 - (uint64_t)n : (uint64_t)n, ud = d < 0 ? 0 - (uint64_t)d : (uint64_t)d, r, q = udivmod64(un, ud, &r);
    *rest = (int64_t)(n < 0 ? 0 - r : r);
    return (int64_t)((n < 0) != (d < 0) ? 0 - q : q);
}

/* Toward zero, as C converts; the caller has excluded what does not fit. */
static uint64_t whole_part(double x)
{
    uint32_t high = (uint32_t)(x * 0x1p-32);
    return (uint64_t)high << 32 | (uint32_t)(x - (double)high * 0x1p32);
}

static int64_t signed_whole_part(double x)
{
    return x < 0 ? (int64_t)(0 - whole_part(-x)) : (int64_t)whole_part(x);
}

/* Both halves are exact, so only the sum rounds. */
static double to_double(uint64_t high, uint32_t low, int is_signed)
{
    double upper = is_signed ? (double)(int32_t)high : (double)(uint32_t)high;
    return upper * 0x1p32 + (double)low;
}

/* Through double an i64 would be rounded twice; with everything below double's reach gathered in one odd bit it is not. */
static float magnitude_to_float(uint64_t a)
{
    if (a >> 53)
        a = (a & ~(uint64_t)0x7ff) | ((a & 0x7ff) != 0) << 11;
    return (float)to_double(a >> 32, (uint32_t)a, 0);
}

static float signed_to_float(int64_t a)
{
    return a < 0 ? -magnitude_to_float(0 - (uint64_t)a) : magnitude_to_float((uint64_t)a);
}

#define ABI __attribute__((pcs("aapcs")))
/* Two 64-bit results: r0:r1 and r2:r3, which is how the base standard returns a 16-byte vector. */
typedef uint64_t Pair __attribute__((vector_size(16)));

ABI Pair __aeabi_uldivmod(uint64_t n, uint64_t d);
ABI Pair __aeabi_uldivmod(uint64_t n, uint64_t d)
{
    uint64_t rest, q = udivmod64(n, d, &rest);
    return (Pair){ q, rest };
}

ABI Pair __aeabi_ldivmod(int64_t n, int64_t d);
ABI Pair __aeabi_ldivmod(int64_t n, int64_t d)
{
    int64_t rest, q = divmod64(n, d, &rest);
    return (Pair){ (uint64_t)q, (uint64_t)rest };
}

ABI uint32_t __aeabi_uidiv(uint32_t n, uint32_t d);
ABI uint32_t __aeabi_uidiv(uint32_t n, uint32_t d)
{
    uint32_t rest;
    return divide_bits32(n, d, &rest);
}

/* Quotient in r0, remainder in r1. */
ABI uint64_t __aeabi_uidivmod(uint32_t n, uint32_t d);
ABI uint64_t __aeabi_uidivmod(uint32_t n, uint32_t d)
{
    uint32_t rest, q = divide_bits32(n, d, &rest);
    return (uint64_t)rest << 32 | q;
}

ABI uint64_t __aeabi_idivmod(int32_t n, int32_t d);
ABI uint64_t __aeabi_idivmod(int32_t n, int32_t d)
{
    uint32_t un = n < 0 ? 0 - (uint32_t)n : (uint32_t)n, ud = d < 0 ? 0 - (uint32_t)d : (uint32_t)d, rest, q = divide_bits32(un, ud, &rest);
    q = (n < 0) != (d < 0) ? 0 - q : q;
    return (uint64_t)(n < 0 ? 0 - rest : rest) << 32 | q;
}

ABI int32_t __aeabi_idiv(int32_t n, int32_t d);
ABI int32_t __aeabi_idiv(int32_t n, int32_t d) { return (int32_t)__aeabi_idivmod(n, d); }

ABI int64_t __aeabi_f2lz(float x);
ABI int64_t __aeabi_f2lz(float x) { return signed_whole_part((double)x); }
ABI uint64_t __aeabi_f2ulz(float x);
ABI uint64_t __aeabi_f2ulz(float x) { return whole_part((double)x); }
ABI int64_t __aeabi_d2lz(double x);
ABI int64_t __aeabi_d2lz(double x) { return signed_whole_part(x); }
ABI uint64_t __aeabi_d2ulz(double x);
ABI uint64_t __aeabi_d2ulz(double x) { return whole_part(x); }
ABI double __aeabi_l2d(int64_t x);
ABI double __aeabi_l2d(int64_t x) { return to_double((uint64_t)x >> 32, (uint32_t)x, 1); }
ABI double __aeabi_ul2d(uint64_t x);
ABI double __aeabi_ul2d(uint64_t x) { return to_double(x >> 32, (uint32_t)x, 0); }
ABI float __aeabi_l2f(int64_t x);
ABI float __aeabi_l2f(int64_t x) { return signed_to_float(x); }
ABI float __aeabi_ul2f(uint64_t x);
ABI float __aeabi_ul2f(uint64_t x) { return magnitude_to_float(x); }

/* Memory under the names of the run-time ABI, which swaps memset's last two parameters. */
#define MEMORY(suffix)                                                                                                          \
    void __aeabi_memcpy##suffix(void *to, const void *from, size_t n);                                                          \
    void __aeabi_memmove##suffix(void *to, const void *from, size_t n);                                                         \
    void __aeabi_memset##suffix(void *to, size_t n, int byte);                                                                  \
    void __aeabi_memclr##suffix(void *to, size_t n);                                                                            \
    void __aeabi_memcpy##suffix(void *to, const void *from, size_t n) { memcpy(to, from, n); }                                  \
    void __aeabi_memmove##suffix(void *to, const void *from, size_t n) { memmove(to, from, n); }                                \
    void __aeabi_memset##suffix(void *to, size_t n, int byte) { memset(to, byte, n); }                                          \
    void __aeabi_memclr##suffix(void *to, size_t n) { memset(to, 0, n); }
MEMORY()
MEMORY(4)
MEMORY(8)

#endif
