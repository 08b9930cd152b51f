/* ptrmap.c -- see ptrmap.h. Linear probing; nothing is ever removed. */
#include "ptrmap.h"

static void table_alloc(PtrMap *m, size_t room)
{
    m->key = ARENA_ARRAY(m->arena, const void *, room);
    m->val = ARENA_ARRAY(m->arena, uintptr_t, room);
    m->room = room;
}

PtrMap ptrmap_new(Arena *a)
{
    PtrMap m = { .arena = a };
    table_alloc(&m, 64);
    return m;
}

/* Where the key is, or the free place where it would go. */
static size_t find(const PtrMap *m, const void *key)
{
    uint64_t h = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32) & (m->room - 1);
    while (m->key[i] && m->key[i] != key)
        i = (i + 1) & (m->room - 1);
    return i;
}

static void grow(PtrMap *m)
{
    PtrMap old = *m;
    table_alloc(m, 2 * old.room);
    for (size_t i = 0; i < old.room; i++)
        if (old.key[i]) {
            size_t to = find(m, old.key[i]);
            m->key[to] = old.key[i];
            m->val[to] = old.val[i];
        }
}

uintptr_t *ptrmap_at(PtrMap *m, const void *key)
{
    if (2 * (m->n + 1) > m->room)
        grow(m);
    size_t i = find(m, key);
    m->n += !m->key[i];
    m->key[i] = key;
    return &m->val[i];
}

uintptr_t ptrmap_get(const PtrMap *m, const void *key, uintptr_t otherwise)
{
    size_t i = find(m, key);
    return m->key[i] ? m->val[i] : otherwise;
}
