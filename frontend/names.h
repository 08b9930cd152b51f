/* names.h -- a hash table from strings to pointers. Keys are borrowed, entries are never removed, memory comes from an arena. */
#ifndef INGOT_NAMES_H
#define INGOT_NAMES_H

#include "arena.h"

typedef struct NameEntry {
    const char *key;                /* NULL: free */
    void *value;
} NameEntry;

typedef struct NameTable {
    NameEntry *slot;
    unsigned used, room;            /* room: 0 or a power of two */
} NameTable;

void *names_get(const NameTable *t, const char *key);           /* NULL if absent */
void names_put(Arena *a, NameTable *t, const char *key, void *value);  /* replaces an earlier value; value is not NULL */

#endif
