/* strbuf.h -- text that grows at its end, in an arena; appending costs amortised constant time per byte. `text` is always terminated. */
#ifndef INGOT_STRBUF_H
#define INGOT_STRBUF_H

#include "arena.h"

typedef struct StrBuf {
    Arena *arena;
    char *text;
    size_t len, room;
} StrBuf;

StrBuf strbuf_new(Arena *a);
void strbuf_add(StrBuf *b, const char *s);
void strbuf_add_n(StrBuf *b, const char *s, size_t n);
void strbuf_printf(StrBuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* s in double quotes, as the textual IR writes strings: \" \\ \n \t, other control characters as \xHH. NULL is written as "". */
void strbuf_add_quoted(StrBuf *b, const char *s);
void strbuf_add_quoted_n(StrBuf *b, const char *s, size_t n);

#endif
