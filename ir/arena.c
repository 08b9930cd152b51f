/* arena.c -- see arena.h. A list of blocks; a request larger than a block gets a block of its own. */
#include "arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024 };

typedef struct Block {
    struct Block *next;
    size_t used, size;
} Block;

struct Arena {
    Block *blocks;
    size_t handed_out;
};

static void *must_alloc(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (!p) {
        fprintf(stderr, "ingot: out of memory (%zu bytes wanted)\n", bytes);
        exit(1);
    }
    return p;
}

Arena *arena_new(void)
{
    return must_alloc(sizeof(Arena));
}

void arena_free(Arena *a)
{
    if (!a)
        return;
    for (Block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void *arena_alloc(Arena *a, size_t bytes)
{
    size_t align = bytes >= 64 ? 64 : 16;
    Block *b = a->blocks;
    if (bytes > SIZE_MAX / 2)
        must_alloc(SIZE_MAX / 2);
    if (b) {
        uintptr_t at = ((uintptr_t)(b + 1) + b->used + align - 1) & ~(uintptr_t)(align - 1);
        size_t end = (size_t)(at - (uintptr_t)(b + 1)) + bytes;
        if (end <= b->size) {
            b->used = end;
            a->handed_out += bytes;
            return (void *)at;
        }
    }
    size_t size = bytes + 64 > BLOCK_BYTES ? bytes + 64 : BLOCK_BYTES;
    Block *fresh = must_alloc(sizeof(Block) + size);
    fresh->size = size;
    if (size > BLOCK_BYTES && b) {              /* keep filling the current block after a large request */
        fresh->next = b->next;
        b->next = fresh;
    } else {
        fresh->next = b;
        a->blocks = fresh;
    }
    uintptr_t at = ((uintptr_t)(fresh + 1) + align - 1) & ~(uintptr_t)(align - 1);
    fresh->used = (size_t)(at - (uintptr_t)(fresh + 1)) + bytes;
    a->handed_out += bytes;
    return (void *)at;
}

void *arena_copy(Arena *a, const void *from, size_t bytes)
{
    void *p = arena_alloc(a, bytes ? bytes : 1);
    if (bytes)
        memcpy(p, from, bytes);
    return p;
}

char *arena_strn(Arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);
    if (n)
        memcpy(p, s, n);
    return p;
}

char *arena_str(Arena *a, const char *s)
{
    return s ? arena_strn(a, s, strlen(s)) : NULL;
}

char *arena_vprintf(Arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *p = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0)
        vsnprintf(p, (size_t)n + 1, fmt, ap);
    return p;
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

size_t arena_used(const Arena *a)
{
    return a->handed_out;
}
