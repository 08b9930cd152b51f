/* kernel.h -- the irregular operators: freestanding C, one file per family, one function per op.
 *
 * The same k_<op> serves the evaluator (compiled natively into the compiler) and emitted models (compiled to LLVM bitcode once per
 * target family at build time and linked into each model that needs it). So: no libc, no globals, no allocation, no recursion without a
 * bound, only what is declared here and in builtins. How much scratch memory an op needs is said in ir/scratch.c, as a Dim.
 *
 * Attributes arrive as one array of 64-bit words in the order of the op's ATTRs in ops.def:
 *   i64 bool dtype: one word. f64: its bits. str: its hash, k_word("linear").
 *   ints dims: the count, then the values. floats: the count, then the bits of each. Read them with k_int, k_ints... in order.
 */
#ifndef INGOT_KERNEL_H
#define INGOT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../ingot_abi.h"

typedef struct KTensor {
    void *data;                     /* contiguous; NULL: absent optional operand */
    int32_t dtype, rank;            /* dtype: ONNX number (enum KDType) */
    int64_t *dim;                   /* an output's dims are the planned ones (upper bounds where the data decides); the kernel overwrites the latter */
} KTensor;

enum KStatus {
    K_OK = 0,
#define KERROR(name, number, sentence) K_##name = number,
#include "errors.def"
#undef KERROR
};

typedef void KTask(void *arg, int64_t begin, int64_t end);

/* What lives until the end of the run: the bytes of strings, the elements of sequences. */
typedef struct KMemory {
    void *(*allocate)(void *ctx, uint64_t bytes);
    void *ctx;
    struct KBlock { struct KBlock *next; } *blocks;     /* in front of each, in 64 bytes */
} KMemory;

typedef struct KCall {
    const KTensor *in;
    KTensor *out;
    const int64_t *attr;
    void *scratch;                  /* node_scratch_bytes (ir/scratch.c), 64-byte aligned */
    int32_t nin, nout;
    void (*share)(void *pool, KTask *task, void *arg, int64_t units);       /* ingot_parallel_for; NULL: one thread */
    void *pool;
    int32_t (*decode_image)(const void *data, uint64_t bytes, int32_t format, int64_t *size, uint8_t *pixels);      /* as in ingot_abi.h; may be NULL */
    KMemory *memory;                /* of ops that KEEP something, else NULL */
} KCall;

typedef int32_t KFunction(const KCall *c);
#define K_KERNEL(op) KFunction k_##op; int32_t k_##op(const KCall *c)

enum KDType { K_F32 = 1, K_U8, K_I8, K_U16, K_I16, K_I32, K_I64, K_STR, K_BOOL, K_F16, K_F64, K_U32, K_U64, K_BF16 = 16,
              K_F8E4M3, K_F8E4M3Z, K_F8E5M2, K_F8E5M2Z, K_U4, K_I4, K_F4E2M1, K_F8E8M0, K_U2, K_I2 };

/* What ir/scratch.c must know of a kernel: the words of the Mersenne Twister's state; the rows that fft.c transforms at once;
 * the walks that tree_ensemble.c takes in turn. */
enum { K_TWISTER_WORDS = 624, K_FFT_LANES = 8, K_TREE_WALKS = 4 };

/* FNV-1a; compilers fold it for a literal. */
static inline int64_t k_word(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    while (*s)
        h = (h ^ (unsigned char)*s++) * 0x100000001b3u;
    return (int64_t)h;
}
static inline int64_t k_int(const int64_t **a) { return *(*a)++; }
static inline double k_f64(const int64_t **a) { union { int64_t i; double f; } u = { *(*a)++ }; return u.f; }
static inline const int64_t *k_ints(const int64_t **a, int64_t *n) { *n = *(*a)++; const int64_t *v = *a; *a += *n; return v; }
static inline int64_t k_count(const KTensor *t) { int64_t n = 1; for (int i = 0; i < t->rank; i++) n *= t->dim[i]; return n; }
static inline int64_t k_count_from(const KTensor *t, int first) { int64_t n = 1; for (int i = first; i < t->rank; i++) n *= t->dim[i]; return n; }
static inline int64_t k_count_to(const KTensor *t, int end) { int64_t n = 1; for (int i = 0; i < end; i++) n *= t->dim[i]; return n; }

/* task(arg, begin, end) for all of [0, units), by several threads if they are many operations together (cost: of one unit, roughly). Units must not
 * depend on each other. */
enum { K_WORTH_SHARING = 1 << 14 };
static inline void k_share(const KCall *c, KTask *task, void *arg, int64_t units, int64_t cost)
{
    if (c->share && units > 1 && cost >= K_WORTH_SHARING / units)
        c->share(c->pool, task, arg, units);
    else
        task(arg, 0, units);
}

int32_t k_dtype_bytes(int32_t dtype);
bool k_dtype_is_float(int32_t dtype);
bool k_dtype_is_unsigned(int32_t dtype);
double k_load(const void *data, int32_t dtype, int64_t i);              /* any numeric type as double (u64/i64 beyond 2^53: use k_load_i64) */
int64_t k_load_i64(const void *data, int32_t dtype, int64_t i);         /* u64 keeps its bits; floats toward zero */
void k_store(void *data, int32_t dtype, int64_t i, double x);           /* rounds small floats to nearest even, integers toward zero */
void k_store_i64(void *data, int32_t dtype, int64_t i, int64_t x);      /* integer types and bool: the low bits */
/* An integer with the order of the elements: NaN greatest, -0 equal to +0. */
int64_t k_order_key(const void *data, int32_t dtype, int64_t i);
/* Index i (negative: from the end) of an axis of that size, or -1 if there is none. */
static inline int64_t k_index(int64_t i, int64_t size) { i = i < 0 ? i + size : i; return i >= 0 && i < size ? i : -1; }
/* 64-byte aligned memory until the end of the run; NULL: there is none left. */
void *k_keep(const KCall *c, int64_t bytes);
void k_copy(void *to, const void *from, int64_t bytes);
double k_floor(double x);
double k_rint(double x);                                                /* halves to even */
int64_t k_resize_taps(int64_t reach, double scale);                     /* of an axis shrunk by `scale` with antialiasing */
/* Indices of the k greatest of n keys into at[0..k), greatest first, the lower index first among equals. */
void k_choose_best(const int64_t *key, int64_t n, int64_t k, int64_t *at);

#endif
