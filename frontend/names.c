/* names.c -- see names.h. Open addressing, linear probing, at most half full. */
#include "names.h"

#include <stdint.h>
#include <string.h>

static unsigned hash_of(const char *s)
{
    uint32_t h = 2166136261u;       /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

static NameEntry *probe(const NameTable *t, const char *key)
{
    unsigned i = hash_of(key) & (t->room - 1);
    while (t->slot[i].key && strcmp(t->slot[i].key, key))
        i = (i + 1) & (t->room - 1);
    return &t->slot[i];
}

void *names_get(const NameTable *t, const char *key)
{
    return t->room ? probe(t, key)->value : NULL;
}

static void grow(Arena *a, NameTable *t)
{
    NameTable wide = { .room = t->room ? 2 * t->room : 16, .used = t->used };
    wide.slot = ARENA_ARRAY(a, NameEntry, wide.room);
    for (unsigned i = 0; i < t->room; i++)
        if (t->slot[i].key)
            *probe(&wide, t->slot[i].key) = t->slot[i];
    *t = wide;
}

void names_put(Arena *a, NameTable *t, const char *key, void *value)
{
    if (2 * (t->used + 1) > t->room)
        grow(a, t);
    NameEntry *e = probe(t, key);
    t->used += !e->key;
    *e = (NameEntry){ key, value };
}
