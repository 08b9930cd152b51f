/* pool.c -- a thread pool for short parallel regions: a network of 50 layers enters and leaves one 50 times in a few milliseconds.
 *
 * A job is split into a share for every thread, each in chunks. A thread takes the chunks of its own share first, then what others have not begun: so that in
 * a series of equal jobs it meets the same data again, in its own cache. The caller works too. Two costs matter and decide the design:
 *   - dispatch: workers spin for a short time on `generation` before they sleep, so that between two layers nobody makes a system call;
 *   - the end: the caller never waits for a worker that has not joined yet (it may be asleep, or its core taken by another program).
 *     `gate` says who is inside: bit 0 is set while the job may be joined, each worker inside counts 2. The caller clears bit 0 when the
 *     chunks have run out, and waits only for those inside.
 *
 * The job's fields are written only while the gate is closed and nobody is inside. A caller that finds the pool taken by another caller (or
 * by itself, from within a task) runs its work alone. Which thread runs a chunk is not determined; what a chunk computes must not depend on it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "rt.h"

enum { MAX_THREADS = 1024, SPINS = 8000, CHUNKS_PER_THREAD = 4 };
enum { GATE_OPEN = 1, GATE_ONE = 2 };

typedef struct Member {
    _Alignas(64) atomic_llong next;     /* first unit of its share that nobody took */
    int64_t end;
    ingot_pool *pool;
    int number;                         /* 0: the caller */
    pthread_t thread;
} Member;

struct ingot_pool {
    int threads, spins;                 /* threads: with the caller */
    atomic_flag taken;                  /* by a caller */
    /* the job */
    ingot_task task;
    void *arg;
    int64_t chunk;
    /* shared words, each in a cache line of its own */
    _Alignas(64) atomic_uint gate;
    _Alignas(64) atomic_uint generation;    /* counts jobs; workers wait for it to change */
    atomic_int sleepers;
    atomic_bool stop;
    pthread_mutex_t mutex;              /* for sleeping only */
    pthread_cond_t wake;
    Member member[];                    /* threads */
};

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

static void take_share(ingot_pool *p, Member *m)
{
    while (atomic_load_explicit(&m->next, memory_order_relaxed) < m->end) {
        int64_t begin = atomic_fetch_add_explicit(&m->next, p->chunk, memory_order_relaxed);
        if (begin >= m->end)
            return;
        p->task(p->arg, begin, m->end - begin < p->chunk ? m->end : begin + p->chunk);
    }
}

static void take_chunks(ingot_pool *p, int self)
{
    for (int i = 0; i < p->threads; i++)
        take_share(p, &p->member[(self + i) % p->threads]);
}

static void share_out(ingot_pool *p, int64_t units)
{
    int64_t each = units / p->threads, more = units % p->threads, at = 0;
    for (int i = 0; i < p->threads; i++) {
        atomic_store_explicit(&p->member[i].next, at, memory_order_relaxed);
        at += each + (i < more);
        p->member[i].end = at;
    }
    p->chunk = each > CHUNKS_PER_THREAD ? (each + CHUNKS_PER_THREAD - 1) / CHUNKS_PER_THREAD : 1;
}

/* ---- workers ---- */

/* Wait until the generation is not `seen`; returns it. */
static unsigned wait_for_job(ingot_pool *p, unsigned seen)
{
    unsigned now;
    for (int i = 0; i < p->spins; i++) {
        if ((now = atomic_load_explicit(&p->generation, memory_order_acquire)) != seen)
            return now;
        cpu_relax();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);      /* before the test below: the caller changes generation first, then looks for sleepers */
    while ((now = atomic_load(&p->generation)) == seen)
        pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
    return now;
}

static bool join_job(ingot_pool *p)
{
    unsigned g = atomic_load_explicit(&p->gate, memory_order_relaxed);
    while (g & GATE_OPEN)
        if (atomic_compare_exchange_weak_explicit(&p->gate, &g, g + GATE_ONE, memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

static void *worker_main(void *arg)
{
    Member *self = arg;
    ingot_pool *p = self->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_job(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        if (!join_job(p))
            continue;
        take_chunks(p, self->number);
        atomic_fetch_sub_explicit(&p->gate, GATE_ONE, memory_order_release);
    }
}

/* ---- callers ---- */

static void announce(ingot_pool *p)
{
    atomic_fetch_add(&p->generation, 1);
    if (!atomic_load(&p->sleepers))
        return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

void ingot_pool_run(void *pool, ingot_task task, void *arg, int64_t units)
{
    ingot_pool *p = pool;
    if (units < 1)
        return;
    if (units == 1 || p->threads == 1 || atomic_flag_test_and_set_explicit(&p->taken, memory_order_acquire)) {
        task(arg, 0, units);
        return;
    }
    p->task = task;
    p->arg = arg;
    share_out(p, units);
    atomic_store_explicit(&p->gate, GATE_OPEN, memory_order_release);
    announce(p);
    take_chunks(p, 0);
    atomic_fetch_and_explicit(&p->gate, ~(unsigned)GATE_OPEN, memory_order_relaxed);
    for (int i = 0; atomic_load_explicit(&p->gate, memory_order_acquire); i++)
        if (i < p->spins)
            cpu_relax();
        else
            sched_yield();
    atomic_flag_clear_explicit(&p->taken, memory_order_release);
}

ingot_pool *ingot_pool_new(int threads)
{
    threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    void *memory;
    if (posix_memalign(&memory, 64, sizeof(ingot_pool) + sizeof(Member) * (size_t)threads))
        return NULL;
    ingot_pool *p = memory;
    /* more threads than cores: who spins keeps another from working */
    *p = (ingot_pool){ .threads = 1, .spins = threads <= sysconf(_SC_NPROCESSORS_ONLN) ? SPINS : 0, .taken = ATOMIC_FLAG_INIT };
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (int i = 0; i < threads; i++)
        p->member[i] = (Member){ .pool = p, .number = i };
    int started = 1;
    while (started < threads && !pthread_create(&p->member[started].thread, NULL, worker_main, &p->member[started]))
        started++;
    p->threads = started;
    return p;
}

void ingot_pool_free(ingot_pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, true);
    announce(p);
    for (int i = 0; i < p->threads - 1; i++)
        pthread_join(p->member[i + 1].thread, NULL);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->wake);
    free(p);
}

int ingot_pool_threads(const ingot_pool *p)
{
    return p->threads;
}
