/* peak.c -- ingot-peak [THREADS]: prints what machine.h measures, for every vector width of this machine. */
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1, last = 0;
    if (argc > 2 || threads < 1 || threads > 1024)
        return fprintf(stderr, "usage: ingot-peak [THREADS]\n"), 2;
    for (int bytes = 64; bytes >= 4; bytes /= 2) {
        Machine m;
        machine_measure(&m, threads, bytes);
        if (m.vector_bytes == last)
            continue;
        last = m.vector_bytes;
        printf("%d-bit vectors, %d thread%s: %.1f GFLOP/s;", m.vector_bytes * 8, m.threads, m.threads == 1 ? "" : "s", m.gflops);
        for (int l = 0; l < MACHINE_LEVELS; l++)
            printf(" %.1f GB/s from %lld KB%s", m.level_gbs[l], (long long)m.level_bytes[l] / 1024, l < MACHINE_LEVELS - 1 ? "," : "\n");
    }
    return 0;
}
