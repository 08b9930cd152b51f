/* strbuf.c -- see strbuf.h. The room doubles, so the arena holds at most twice the final text in abandoned copies. */
#include "strbuf.h"

#include <stdio.h>
#include <string.h>

StrBuf strbuf_new(Arena *a)
{
    return (StrBuf){ a, arena_alloc(a, 256), 0, 256 };
}

static void make_room(StrBuf *b, size_t more)
{
    size_t room = b->room;
    while (b->len + more + 1 > room)
        room *= 2;
    if (room == b->room)
        return;
    char *grown = arena_alloc(b->arena, room);
    memcpy(grown, b->text, b->len + 1);
    b->text = grown;
    b->room = room;
}

void strbuf_add_n(StrBuf *b, const char *s, size_t n)
{
    make_room(b, n);
    memcpy(b->text + b->len, s, n);
    b->len += n;
    b->text[b->len] = '\0';
}

void strbuf_add(StrBuf *b, const char *s)
{
    strbuf_add_n(b, s, strlen(s));
}

void strbuf_printf(StrBuf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n > 0) {
        make_room(b, (size_t)n);
        vsnprintf(b->text + b->len, (size_t)n + 1, fmt, ap);
        b->len += (size_t)n;
    }
    va_end(ap);
}

void strbuf_add_quoted(StrBuf *b, const char *s)
{
    strbuf_add_quoted_n(b, s, s ? strlen(s) : 0);
}

void strbuf_add_quoted_n(StrBuf *b, const char *s, size_t n)
{
    strbuf_add_n(b, "\"", 1);
    for (const char *end = s + n; s != end; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            strbuf_printf(b, "\\%c", c);
        else if (c == '\n' || c == '\t')
            strbuf_add_n(b, c == '\n' ? "\\n" : "\\t", 2);
        else if (c < 0x20 || c == 0x7f)
            strbuf_printf(b, "\\x%02x", c);
        else
            strbuf_add_n(b, s, 1);
    }
    strbuf_add_n(b, "\"", 1);
}
