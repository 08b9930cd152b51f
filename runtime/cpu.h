/* cpu.h -- what this CPU can do, by LLVM's feature names. */
#ifndef INGOT_CPU_H
#define INGOT_CPU_H

#include <stdbool.h>

/* True if the CPU has the feature and the system saves its registers. False for a name that nobody here knows. */
bool ingot_cpu_has(const char *feature);

#endif
