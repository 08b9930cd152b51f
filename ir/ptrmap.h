/* ptrmap.h -- a hash map from pointers to words, for passing notes about nodes, values and sizes without a field in each of them. */
#ifndef INGOT_PTRMAP_H
#define INGOT_PTRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

typedef struct PtrMap {
    Arena *arena;
    const void **key;           /* open addressing; a power of two places, at most half of them taken */
    uintptr_t *val;
    size_t room, n;
} PtrMap;

PtrMap ptrmap_new(Arena *a);
/* The word of a key; it is made 0 if new. The address is good until the next call. */
uintptr_t *ptrmap_at(PtrMap *m, const void *key);
uintptr_t ptrmap_get(const PtrMap *m, const void *key, uintptr_t otherwise);

#endif
