/* parse_scan.c -- the small parts of textual IR: words, marks, strings, numbers, sizes; and the sentences about mistakes. See parse.h. */
#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- mistakes ---- */

/* What stands at the reading point, shortened, for the end of a sentence. */
static const char *quote(const Parser *p)
{
    int n = 0;
    if (!*p->at)
        return "the end of the text";
    while (n < 24 && (unsigned char)p->at[n] >= ' ')
        n++;
    return n ? arena_printf(p->arena, "'%.*s'", n, p->at) : "the end of the line";
}

bool scan_mistake(Parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
    return diag_error(p->m->diag, (Loc){ p->m->file, NULL, p->line }, "%s", what);
}

bool scan_expected(Parser *p, const char *what)
{
    return scan_mistake(p, "%s is expected, here is %s", what, quote(p));
}

/* ---- words and marks ---- */

void scan_space(Parser *p)
{
    if (p->at != p->skipped_to)
        p->token_line = p->line;
    for (;; p->at++) {
        if (*p->at == ';')
            p->at += strcspn(p->at, "\n");
        if (*p->at == '\n')
            p->line++;
        else if (*p->at != ' ' && *p->at != '\t' && *p->at != '\r')
            break;
    }
    p->skipped_to = p->at;
}

bool scan_accept(Parser *p, char c)
{
    scan_space(p);
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

/* A missing mark belongs to the line that it should end, not to the one where the next thing stands. */
bool scan_expect(Parser *p, char c, const char *where)
{
    if (scan_accept(p, c))
        return true;
    if (p->token_line == p->line)
        return scan_expected(p, arena_printf(p->arena, "'%c' %s", c, where));
    p->line = p->token_line;
    return scan_mistake(p, "'%c' %s is expected, here the line ends", c, where);
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The word that begins here, empty if none does; it is not passed. */
Word scan_peek(Parser *p)
{
    scan_space(p);
    Word w = { p->at, 0 };
    while (in_word(w.s[w.n]) && !isdigit((unsigned char)*w.s))
        w.n++;
    return w;
}

static bool word_is(Word w, const char *s)
{
    return strlen(s) == (size_t)w.n && !memcmp(w.s, s, (size_t)w.n);
}

bool scan_accept_word(Parser *p, const char *s)
{
    Word w = scan_peek(p);
    if (!word_is(w, s))
        return false;
    p->at += w.n;
    return true;
}

/* Index of the word that begins here in a list that ends with NULL, passing it; -1 if it is none of them. */
int scan_accept_word_of(Parser *p, const char *const *list)
{
    for (int i = 0; list[i]; i++)
        if (scan_accept_word(p, list[i]))
            return i;
    return -1;
}

bool scan_value_name(Parser *p, Word *out)
{
    if (!scan_accept(p, '%'))
        return scan_expected(p, "a value such as %0");
    *out = (Word){ p->at, 0 };
    while (in_word(out->s[out->n]) || out->s[out->n] == '.')
        out->n++;
    p->at += out->n;
    return out->n || scan_mistake(p, "a name is expected after '%%', here is %s", quote(p));
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One character after a backslash; -1 if it is none of the escapes. */
static int parse_escape(Parser *p)
{
    char c = *p->at;
    if (c)
        p->at++;
    if (c == 'x' && hex_digit(p->at[0]) >= 0 && hex_digit(p->at[1]) >= 0) {
        int byte = hex_digit(p->at[0]) * 16 + hex_digit(p->at[1]);
        p->at += 2;
        return byte;
    }
    return c == '"' || c == '\\' ? c : c == 'n' ? '\n' : c == 't' ? '\t' : -1;
}

bool scan_string(Parser *p, const char **out)
{
    StrElement s;
    if (!scan_text(p, &s))
        return false;
    *out = s.data;
    return (int64_t)strlen(s.data) == s.bytes || scan_mistake(p, "a string has an unknown escape; there are \\\" \\\\ \\n \\t and \\x01 to \\xff");
}

bool scan_text(Parser *p, StrElement *out)
{
    if (!scan_accept(p, '"'))
        return scan_expected(p, "a string in double quotes");
    size_t n = 0, room = 0;
    while (p->at[room] && p->at[room] != '"' && p->at[room] != '\n')
        room += p->at[room] == '\\' && p->at[room + 1] ? 2 : 1;
    char *s = arena_alloc(p->arena, room + 1);
    while (*p->at && *p->at != '"' && *p->at != '\n') {
        int c = *p->at++;
        if (c == '\\' && (c = parse_escape(p)) < 0)
            return scan_mistake(p, "a string has an unknown escape; there are \\\" \\\\ \\n \\t and \\x01 to \\xff");
        s[n++] = (char)c;
    }
    *out = (StrElement){ s, (int64_t)n };
    return scan_accept(p, '"') || scan_mistake(p, "a string is not closed on its line");
}

/* ---- numbers ---- */

bool scan_int(Parser *p, int64_t *out)
{
    scan_space(p);
    if (!isdigit((unsigned char)p->at[*p->at == '-']))
        return scan_expected(p, "an integer");
    char *end;
    errno = 0;
    *out = strtoll(p->at, &end, 10);
    if (errno)
        return scan_mistake(p, "the integer %.*s is beyond 64 bits", (int)(end - p->at > 40 ? 40 : end - p->at), p->at);
    p->at = end;
    return true;
}

bool scan_small_int(Parser *p, int *out, const char *what)
{
    int64_t x;
    if (!scan_int(p, &x))
        return false;
    if (x < 0 || x > INT32_MAX)
        return scan_mistake(p, "%s cannot be %" PRId64, what, x);
    *out = (int)x;
    return true;
}

/* 0x and hexadecimal digits, at most `bytes` bytes, stored little-endian. */
bool scan_bits(Parser *p, void *out, int bytes)
{
    unsigned char *to = out;
    p->at += 2;
    const char *end = p->at;
    while (hex_digit(*end) >= 0)
        end++;
    if (end == p->at || end - p->at > 2 * bytes)
        return scan_mistake(p, "1 to %d hexadecimal digits are expected after 0x, here is %s", 2 * bytes, quote(p));
    memset(to, 0, (size_t)bytes);
    for (int i = 0; i < end - p->at; i++)
        to[i / 2] |= (unsigned char)(hex_digit(end[-1 - i]) << (i % 2 ? 4 : 0));
    p->at = end;
    return true;
}

bool scan_at_bits(Parser *p)
{
    scan_space(p);
    return p->at[0] == '0' && p->at[1] == 'x';
}

bool scan_f64(Parser *p, double *out)
{
    if (scan_at_bits(p))
        return scan_bits(p, out, sizeof *out);
    const char *s = p->at + (*p->at == '-');
    if (!isdigit((unsigned char)*s) && *s != '.' && strncmp(s, "inf", 3) && strncmp(s, "nan", 3))
        return scan_expected(p, "a number");
    char *end;
    *out = strtod(p->at, &end);
    if (end == p->at || in_word(*end))
        return scan_expected(p, "a number");
    if (isinf(*out) && *s != 'i')
        return scan_mistake(p, "the number %.*s is beyond the range of f64", (int)(end - p->at > 40 ? 40 : end - p->at), p->at);
    p->at = end;
    return true;
}

/* f32 has its own reader: rounding through f64 would round twice. */
bool scan_f32(Parser *p, float *out)
{
    double x;
    if (scan_at_bits(p))
        return scan_bits(p, out, sizeof *out);
    *out = strtof(p->at, NULL);
    if (!scan_f64(p, &x))
        return false;
    return isinf(*out) == isinf(x) || scan_mistake(p, "the number %g is beyond the range of f32", x);
}

bool scan_bool(Parser *p, bool *out)
{
    static const char *const words[] = { "false", "true", NULL };
    int i = scan_accept_word_of(p, words);
    *out = i == 1;
    return i >= 0 || scan_expected(p, "true or false");
}

/* ---- lists ---- */

void *list_push(Parser *p, List *l)
{
    if (l->n == l->room) {
        int room = l->room ? 2 * l->room : 8;
        char *grown = arena_alloc(p->arena, l->size * (size_t)room);
        if (l->n)
            memcpy(grown, l->data, l->size * (size_t)l->n);
        l->data = grown;
        l->room = room;
    }
    return l->data + l->size * (size_t)l->n++;
}

/* ---- sizes ---- */

static bool continues_dim(char c, int parens)
{
    return in_word(c) || (c && strchr("+-*()", c)) || (c == ',' && parens);
}

/* Copy the size expression that begins here into buf without blanks. It ends where nothing can continue it; a blank belongs to it only beside
 * an operator, so that `bound 4*N` ends before the next line's word. */
static bool gather_dim(Parser *p, char *buf)
{
    int n = 0, parens = 0, digits = 0;
    for (scan_space(p); continues_dim(*p->at, parens) && !(*p->at == ')' && !parens); ) {
        char c = *p->at++;
        parens += (c == '(') - (c == ')');
        digits = isdigit((unsigned char)c) ? digits + 1 : 0;
        if (n == MAX_DIM_TEXT - 1 || digits > 18)
            return scan_mistake(p, digits > 18 ? "a number in a size is too large" : "a size is too long");
        buf[n++] = c;
        const char *next = p->at + strspn(p->at, " \t");
        if (next != p->at && continues_dim(*next, parens) && !((in_word(c) || c == ')') && in_word(*next)))
            p->at = next;
    }
    buf[n] = '\0';
    return true;
}

/* Sizes grow when ops combine them; this bounds both the depth and the length of what other code walks and prints. */
bool dim_is_reasonable(Dim d, int depth, int *budget)
{
    if (depth > 100 || --*budget < 0)
        return false;
    for (int i = 0; i < d->nargs; i++)
        if (!dim_is_reasonable(d->arg[i], depth + 1, budget))
            return false;
    return true;
}

bool scan_dim(Parser *p, Dim *out)
{
    char *buf = p->dim_text;
    const char *s = buf;
    if (!gather_dim(p, buf))
        return false;
    if (!*buf)
        return scan_expected(p, "a size such as 4 or 2*N+1");
    *out = dim_parse(p->m->dims, &s);
    if (!*out || *s)
        return scan_mistake(p, "'%.60s' is not a size", buf);
    int budget = 4000;
    return dim_is_reasonable(*out, 0, &budget) || scan_mistake(p, "the size '%.60s...' is too complicated", buf);
}
