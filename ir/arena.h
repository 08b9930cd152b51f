/* arena.h -- bump allocation for the compiler.
 *
 * Everything a Module owns (nodes, types, attributes, folded constants) comes from its arena and dies with it;
 * nothing is freed singly. Memory is zeroed. An allocation never fails: when the system has no memory left the
 * compiler says so and exits with status 1 (the emitted code and the runtime never use this file).
 */
#ifndef INGOT_ARENA_H
#define INGOT_ARENA_H

#include <stddef.h>
#include <stdarg.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *a);                                  /* frees every block; NULL is fine */
void *arena_alloc(Arena *a, size_t bytes);                  /* zeroed, aligned to 64 when bytes >= 64, else to 16 */
void *arena_copy(Arena *a, const void *from, size_t bytes);
char *arena_str(Arena *a, const char *s);                   /* copy of s; NULL stays NULL */
char *arena_strn(Arena *a, const char *s, size_t n);        /* copy of the first n bytes, terminated */
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(Arena *a, const char *fmt, va_list ap);
size_t arena_used(const Arena *a);                          /* bytes handed out so far */

#define ARENA_NEW(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_alloc((a), sizeof(T) * (size_t)(n)))

#endif
