/* machine.c -- see machine.h.
 *
 * The peak is that of independent chains of multiply-adds on registers, enough of them to hide the latency. Bandwidth is that of summing a block that
 * fills half of a cache, or several times the last one. Every figure is the best of several short trials: what disturbs a trial only makes it slower.
 * Each width has its own function, compiled for that instruction set and called only where the CPU has it.
 */
#include "machine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { CHAINS = 12, STEPS = 20000, TRIALS = 40 };
static const double trial_seconds = 0.002;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- kernels: CHAINS * STEPS multiply-adds on vectors; the sum of n floats (n a multiple of 256) ---- */

typedef float FmaFn(float x);
typedef float SumFn(const float *p, int64_t n);

#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define DECLARE(i) VEC a##i = SPLAT(x + (float)i);
#define STEP(i) a##i = FMA(a##i, u, v);
#define ADD(i) v = PLUS(v, a##i);
#define DECLARE_SUM(i) VEC a##i = SPLAT(0);
#define LOAD(i) a##i = PLUS(a##i, READ(p + k + i * LANES));
#define KERNELS(name, attribute) \
    attribute static float fma_##name(float x) \
    { \
        VEC u = SPLAT(x), v = SPLAT(1 - x); \
        EACH_CHAIN(DECLARE) \
        for (int k = 0; k < STEPS; k++) { EACH_CHAIN(STEP) } \
        EACH_CHAIN(ADD) \
        return FIRST(v); \
    } \
    attribute static float sum_##name(const float *p, int64_t n) \
    { \
        VEC v = SPLAT(0); \
        EACH_CHAIN(DECLARE_SUM) \
        for (int64_t k = 0; k + CHAINS * LANES <= n; k += CHAINS * LANES) { EACH_CHAIN(LOAD) } \
        EACH_CHAIN(ADD) \
        return FIRST(v); \
    }

#if defined(__x86_64__)
#define VEC __m512
#define LANES 16
#define SPLAT(x) _mm512_set1_ps(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define PLUS(a, b) _mm512_add_ps(a, b)
#define READ(p) _mm512_loadu_ps(p)
#define FIRST(v) _mm512_cvtss_f32(v)
KERNELS(64, __attribute__((target("avx512f"))))
#undef VEC
#undef LANES
#undef SPLAT
#undef FMA
#undef PLUS
#undef READ
#undef FIRST
#define VEC __m256
#define LANES 8
#define SPLAT(x) _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define PLUS(a, b) _mm256_add_ps(a, b)
#define READ(p) _mm256_loadu_ps(p)
#define FIRST(v) _mm256_cvtss_f32(v)
KERNELS(32, __attribute__((target("avx,fma"))))
#undef VEC
#undef LANES
#undef SPLAT
#undef FMA
#undef PLUS
#undef READ
#undef FIRST
#elif defined(__aarch64__)
#define VEC float32x4_t
#define LANES 4
#define SPLAT(x) vdupq_n_f32(x)
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define PLUS(a, b) vaddq_f32(a, b)
#define READ(p) vld1q_f32(p)
#define FIRST(v) vgetq_lane_f32(v, 0)
KERNELS(16, )
#undef VEC
#undef LANES
#undef SPLAT
#undef FMA
#undef PLUS
#undef READ
#undef FIRST
#endif
#define VEC float
#define LANES 1
#define SPLAT(x) (x)
#define FMA(a, b, c) ((a) * (b) + (c))
#define PLUS(a, b) ((a) + (b))
#define READ(p) (*(p))
#define FIRST(v) (v)
KERNELS(4, )

typedef struct Width {
    int bytes;
    FmaFn *fma;
    SumFn *sum;
} Width;

static bool cpu_has(int bytes)
{
#if defined(__x86_64__)
    if (bytes == 64)
        return __builtin_cpu_supports("avx512f");
    if (bytes == 32)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return bytes > 0;
}

static Width width_choose(int most)
{
    static const Width row[] = {    /* widest first */
#if defined(__x86_64__)
        { 64, fma_64, sum_64 }, { 32, fma_32, sum_32 },
#elif defined(__aarch64__)
        { 16, fma_16, sum_16 },
#endif
        { 4, fma_4, sum_4 },
    };
    size_t i = 0;
    while (row[i].bytes > 4 && ((most && row[i].bytes > most) || !cpu_has(row[i].bytes)))
        i++;
    return row[i];
}

/* ---- measuring, on every thread at once ---- */

typedef struct Worker {
    Width width;
    const int64_t *level_bytes;
    float *block;                   /* of the largest level; NULL: no memory */
    double gflops, gbs[MACHINE_LEVELS];
    volatile float sink;
} Worker;

static double peak_once(Worker *w)
{
    double begin = now(), seconds = 0;
    int64_t calls = 0;
    while (seconds < trial_seconds) {
        w->sink = w->width.fma(0.5f);
        calls++;
        seconds = now() - begin;
    }
    return (double)calls * CHAINS * STEPS * (w->width.bytes / 4) * 2 / seconds * 1e-9;
}

static double read_once(Worker *w, int64_t bytes)
{
    double begin = now(), seconds = 0;
    int64_t calls = 0;
    while (seconds < trial_seconds) {
        w->sink = w->width.sum(w->block, bytes / (int64_t)sizeof(float));
        calls++;
        seconds = now() - begin;
    }
    return (double)calls * (double)bytes / seconds * 1e-9;
}

static void *measure(void *arg)
{
    Worker *w = arg;
    for (int i = 0; i < TRIALS; i++) {
        double g = peak_once(w);
        w->gflops = g > w->gflops ? g : w->gflops;
    }
    for (int l = 0; l < MACHINE_LEVELS && w->block; l++) {
        for (int i = 0; i <= TRIALS / 4; i++) {
            double g = read_once(w, w->level_bytes[l]);
            w->gbs[l] = i && g > w->gbs[l] ? g : w->gbs[l];     /* the first one fetches the block */
        }
    }
    return NULL;
}

/* Size of this CPU's cache as the kernel gives it ("1024K"; sysconf may count those of other CPUs), or a common one. */
static int64_t cache_bytes(int level)
{
    char path[96], unit = 0;
    long long n = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%lld%c", &n, &unit) < 1)
        n = 0;
    if (f)
        fclose(f);
    n <<= unit == 'K' ? 10 : unit == 'M' ? 20 : 0;
    return n > 0 && n <= 1 << 30 ? n : level == 2 ? 1 << 19 : 1 << 23;
}

typedef struct Thread {
    pthread_t id;
    bool started;
} Thread;

/* Every worker on a thread of its own, the first on this one; a thread that the system refuses is not counted. Returns how many measured. */
static int run_workers(Worker *w, int n)
{
    Thread *thread = calloc((size_t)n, sizeof *thread);
    int done = 1;
    for (int i = 1; i < n && thread; i++)
        thread[i].started = !pthread_create(&thread[i].id, NULL, measure, &w[i]);
    measure(&w[0]);
    for (int i = 1; i < n && thread; i++)
        if (thread[i].started) {
            pthread_join(thread[i].id, NULL);
            done++;
        }
    free(thread);
    return done;
}

void machine_measure(Machine *m, int threads, int vector_bytes)
{
    Width width = width_choose(vector_bytes);
    *m = (Machine){ .threads = threads, .vector_bytes = width.bytes, .level_bytes = { cache_bytes(2) / 2, cache_bytes(3) / 2, 4 * cache_bytes(3) } };
    Worker *w = calloc((size_t)threads, sizeof *w);
    if (!w)
        return;
    for (int i = 0; i < threads; i++) {
        w[i] = (Worker){ .width = width, .level_bytes = m->level_bytes, .block = malloc((size_t)m->level_bytes[MACHINE_LEVELS - 1]) };
        if (w[i].block)
            memset(w[i].block, 1, (size_t)m->level_bytes[MACHINE_LEVELS - 1]);
    }
    m->threads = run_workers(w, threads);
    for (int i = 0; i < threads; i++) {
        m->gflops += w[i].gflops;
        for (int l = 0; l < MACHINE_LEVELS; l++)
            m->level_gbs[l] += w[i].gbs[l];
        free(w[i].block);
    }
    free(w);
}

double machine_bandwidth(const Machine *m, double bytes)
{
    int l = 0;
    while (l < MACHINE_LEVELS - 1 && bytes > (double)m->level_bytes[l])
        l++;
    return m->level_gbs[l];
}
