/* machine.h -- what this machine can do at most, measured: multiply-adds per second and bytes per second from each level of memory. */
#ifndef INGOT_MACHINE_H
#define INGOT_MACHINE_H

#include <stdint.h>

enum { MACHINE_LEVELS = 3 };

typedef struct Machine {
    int threads;                    /* that measured at the same time */
    int vector_bytes;               /* of the multiply-adds: 64 (AVX-512), 32 (AVX and FMA), 16 (Neon), 4 (none of these) */
    double gflops;                  /* f32, all threads together; a multiply-add is two */
    int64_t level_bytes[MACHINE_LEVELS];    /* data up to this size is read at ... */
    double level_gbs[MACHINE_LEVELS];       /* ... 1e9 bytes per second, all threads together: second-level cache, last-level cache, memory */
} Machine;

/* Takes about a third of a second. vector_bytes: the widest vectors to use, 0 for the widest there are. threads >= 1. */
void machine_measure(Machine *m, int threads, int vector_bytes);
/* Bytes per second / 1e9 at which a block of this size is read, once it was read before. */
double machine_bandwidth(const Machine *m, double bytes);

#endif
