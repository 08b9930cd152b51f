/* parse.c -- the textual IR, read. print.c shows what it looks like, docs/ir.md has the grammar.
 *
 * Recursive descent over one string. Nodes are made with node_new as their line is read, so each is checked and typed at once; a written type is
 * then compared with the inferred one. The first mistake ends the parse with a sentence that has the line and quotes what stands there.
 *
 * Any text is safe: nesting is bounded (MAX_NESTING), numbers are checked against their range, lists allocate no more than the text has
 * characters, constants are bounded by the blob. Line breaks mean nothing; `;` begins a comment.
 *
 * A function parse_x returns false after it reported.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "attrs.h"
#include "text.h"
#include "verify.h"

enum { MAX_NESTING = 24, MAX_DIM_TEXT = 1 << 16, NAME_BUCKETS = 4096 };

typedef struct Word { const char *s; int n; } Word;

typedef struct Name {
    Word word;
    Value *val;
    struct Name *next;
} Name;

typedef struct Alias {                  /* `@alias(%5)` may name a value that comes later */
    Value *val;
    Word of;
    int line;
    struct Alias *next;
} Alias;

typedef struct Parser {
    Module *m;
    Arena *arena;
    const char *at, *end;               /* what is not read yet */
    int line, nesting;
    int token_line;                     /* line on which the last thing that was read ended */
    const char *skipped_to;             /* where the last skip_space stopped */
    char *dim_text;                     /* MAX_DIM_TEXT bytes to work in */
    const char *blob;
    size_t blob_bytes;
    Name **names;                       /* hash table; values of all graphs, so that aliases may cross them */
    Alias *aliases;
} Parser;

static Graph *parse_graph(Parser *p, Graph *parent);

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

static bool mistake(Parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool mistake(Parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
    return diag_error(p->m->diag, (Loc){ p->m->file, NULL, p->line }, "%s", what);
}

static bool expected(Parser *p, const char *what)
{
    return mistake(p, "%s is expected, here is %s", what, quote(p));
}

/* ---- words and marks ---- */

static void skip_space(Parser *p)
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

static bool accept(Parser *p, char c)
{
    skip_space(p);
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

/* A missing mark belongs to the line that it should end, not to the one where the next thing stands. */
static bool expect(Parser *p, char c, const char *where)
{
    if (accept(p, c))
        return true;
    if (p->token_line == p->line)
        return expected(p, arena_printf(p->arena, "'%c' %s", c, where));
    p->line = p->token_line;
    return mistake(p, "'%c' %s is expected, here the line ends", c, where);
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The word that begins here, empty if none does; it is not passed. */
static Word peek_word(Parser *p)
{
    skip_space(p);
    Word w = { p->at, 0 };
    while (in_word(w.s[w.n]) && !isdigit((unsigned char)*w.s))
        w.n++;
    return w;
}

static bool word_is(Word w, const char *s)
{
    return strlen(s) == (size_t)w.n && !memcmp(w.s, s, (size_t)w.n);
}

static bool accept_word(Parser *p, const char *s)
{
    Word w = peek_word(p);
    if (!word_is(w, s))
        return false;
    p->at += w.n;
    return true;
}

/* Index of the word that begins here in a list that ends with NULL, passing it; -1 if it is none of them. */
static int accept_word_of(Parser *p, const char *const *list)
{
    for (int i = 0; list[i]; i++)
        if (accept_word(p, list[i]))
            return i;
    return -1;
}

static bool parse_value_name(Parser *p, Word *out)
{
    if (!accept(p, '%'))
        return expected(p, "a value such as %0");
    *out = (Word){ p->at, 0 };
    while (in_word(out->s[out->n]) || out->s[out->n] == '.')
        out->n++;
    p->at += out->n;
    return out->n || mistake(p, "a name is expected after '%%', here is %s", quote(p));
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One character after a backslash; 0 if it is none of the escapes. */
static char parse_escape(Parser *p)
{
    char c = *p->at;
    if (c)
        p->at++;
    if (c == 'x' && hex_digit(p->at[0]) >= 0 && hex_digit(p->at[1]) >= 0) {
        c = (char)(hex_digit(p->at[0]) * 16 + hex_digit(p->at[1]));
        p->at += 2;
        return c;
    }
    return c == '"' || c == '\\' ? c : c == 'n' ? '\n' : c == 't' ? '\t' : 0;
}

static bool parse_string(Parser *p, const char **out)
{
    if (!accept(p, '"'))
        return expected(p, "a string in double quotes");
    size_t n = 0, room = 0;
    while (p->at[room] && p->at[room] != '"' && p->at[room] != '\n')
        room += p->at[room] == '\\' && p->at[room + 1] ? 2 : 1;
    char *s = arena_alloc(p->arena, room + 1);
    while (*p->at && *p->at != '"' && *p->at != '\n') {
        char c = *p->at++;
        if (c == '\\' && !(c = parse_escape(p)))
            return mistake(p, "a string has an unknown escape; there are \\\" \\\\ \\n \\t and \\x01 to \\xff");
        s[n++] = c;
    }
    *out = s;
    return accept(p, '"') || mistake(p, "a string is not closed on its line");
}

/* ---- numbers ---- */

static bool parse_int(Parser *p, int64_t *out)
{
    skip_space(p);
    if (!isdigit((unsigned char)p->at[*p->at == '-']))
        return expected(p, "an integer");
    char *end;
    errno = 0;
    *out = strtoll(p->at, &end, 10);
    if (errno)
        return mistake(p, "the integer %.*s is beyond 64 bits", (int)(end - p->at > 40 ? 40 : end - p->at), p->at);
    p->at = end;
    return true;
}

static bool parse_small_int(Parser *p, int *out, const char *what)
{
    int64_t x;
    if (!parse_int(p, &x))
        return false;
    if (x < 0 || x > INT32_MAX)
        return mistake(p, "%s cannot be %" PRId64, what, x);
    *out = (int)x;
    return true;
}

/* 0x and hexadecimal digits, at most `bytes` bytes, stored little-endian. */
static bool parse_bits(Parser *p, void *out, int bytes)
{
    unsigned char *to = out;
    p->at += 2;
    const char *end = p->at;
    while (hex_digit(*end) >= 0)
        end++;
    if (end == p->at || end - p->at > 2 * bytes)
        return mistake(p, "1 to %d hexadecimal digits are expected after 0x, here is %s", 2 * bytes, quote(p));
    memset(to, 0, (size_t)bytes);
    for (int i = 0; i < end - p->at; i++)
        to[i / 2] |= (unsigned char)(hex_digit(end[-1 - i]) << (i % 2 ? 4 : 0));
    p->at = end;
    return true;
}

static bool at_bits(Parser *p)
{
    skip_space(p);
    return p->at[0] == '0' && p->at[1] == 'x';
}

static bool parse_f64(Parser *p, double *out)
{
    if (at_bits(p))
        return parse_bits(p, out, sizeof *out);
    const char *s = p->at + (*p->at == '-');
    if (!isdigit((unsigned char)*s) && *s != '.' && strncmp(s, "inf", 3) && strncmp(s, "nan", 3))
        return expected(p, "a number");
    char *end;
    *out = strtod(p->at, &end);
    if (end == p->at || in_word(*end))
        return expected(p, "a number");
    if (isinf(*out) && *s != 'i')
        return mistake(p, "the number %.*s is beyond the range of f64", (int)(end - p->at > 40 ? 40 : end - p->at), p->at);
    p->at = end;
    return true;
}

/* f32 has its own reader: rounding through f64 would round twice. */
static bool parse_f32(Parser *p, float *out)
{
    double x;
    if (at_bits(p))
        return parse_bits(p, out, sizeof *out);
    *out = strtof(p->at, NULL);
    if (!parse_f64(p, &x))
        return false;
    return isinf(*out) == isinf(x) || mistake(p, "the number %g is beyond the range of f32", x);
}

/* ---- lists ---- */

typedef struct List {
    char *data;
    int n, room;
    size_t size;                        /* bytes per item */
} List;

static void *list_push(Parser *p, List *l)
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
    for (skip_space(p); continues_dim(*p->at, parens) && !(*p->at == ')' && !parens); ) {
        char c = *p->at++;
        parens += (c == '(') - (c == ')');
        digits = isdigit((unsigned char)c) ? digits + 1 : 0;
        if (n == MAX_DIM_TEXT - 1 || digits > 18)
            return mistake(p, digits > 18 ? "a number in a size is too large" : "a size is too long");
        buf[n++] = c;
        const char *next = p->at + strspn(p->at, " \t");
        if (next != p->at && continues_dim(*next, parens) && !((in_word(c) || c == ')') && in_word(*next)))
            p->at = next;
    }
    buf[n] = '\0';
    return true;
}

/* Sizes grow when ops combine them; this bounds both the depth and the length of what other code walks and prints. */
static bool dim_is_reasonable(Dim d, int depth, int *budget)
{
    if (depth > 100 || --*budget < 0)
        return false;
    for (int i = 0; i < d->nargs; i++)
        if (!dim_is_reasonable(d->arg[i], depth + 1, budget))
            return false;
    return true;
}

static bool parse_dim(Parser *p, Dim *out)
{
    char *buf = p->dim_text;
    const char *s = buf;
    if (!gather_dim(p, buf))
        return false;
    if (!*buf)
        return expected(p, "a size such as 4 or 2*N+1");
    *out = dim_parse(p->m->dims, &s);
    if (!*out || *s)
        return mistake(p, "'%.60s' is not a size", buf);
    int budget = 4000;
    return dim_is_reasonable(*out, 0, &budget) || mistake(p, "the size '%.60s...' is too complicated", buf);
}

static bool parse_const_dim(Parser *p, int64_t *out)
{
    return parse_int(p, out) && (*out >= 0 || mistake(p, "the size %" PRId64 " of a constant is negative", *out));
}

/* ---- types ---- */

static bool parse_dtype(Parser *p, DType *out)
{
    Word w = peek_word(p);
    *out = dtype_from_name(w.s, (size_t)w.n);
    if (*out == DT_none)
        return expected(p, "an element type such as f32");
    p->at += w.n;
    return true;
}

static bool parse_type(Parser *p, Type *out);

static bool parse_element_type(Parser *p, Type *out)
{
    if (accept_word(p, "none"))
        return true;
    Type *elem = ARENA_NEW(p->arena, Type);
    out->elem = elem;
    return parse_type(p, elem);
}

static bool parse_container(Parser *p, Type *out)
{
    if (++p->nesting > MAX_NESTING)
        return mistake(p, "types are nested more than %d deep", MAX_NESTING);
    if (!expect(p, '<', "after the kind of type"))
        return false;
    if (out->kind == TY_MAP && (!parse_dtype(p, &out->dtype) || !expect(p, ',', "after the key type")))
        return false;
    if (!parse_element_type(p, out) || !expect(p, '>', "after the element type"))
        return false;
    p->nesting--;
    return true;
}

static bool parse_type(Parser *p, Type *out)
{
    *out = (Type){ .kind = TY_TENSOR };
    for (TypeKind k = TY_SEQUENCE; k <= TY_MAP; k++)
        if (accept_word(p, type_kind_name[k])) {
            out->kind = k;
            return parse_container(p, out);
        }
    if (!parse_dtype(p, &out->dtype) || !expect(p, '[', "after the element type"))
        return false;
    if (accept(p, '?')) {
        out->rank = -1;
        return expect(p, ']', "after '?'");
    }
    List dims = { .size = sizeof(Dim) };
    while (!accept(p, ']')) {
        if (dims.n == MAX_RANK)
            return mistake(p, "a type has more than %d axes", MAX_RANK);
        if ((dims.n && !expect(p, ',', "between sizes")) || !parse_dim(p, list_push(p, &dims)))
            return false;
    }
    *out = type_tensor(p->m, out->dtype, dims.n, (const Dim *)(void *)dims.data);
    return true;
}

/* ---- tensors ---- */

static bool parse_integer_element(Parser *p, DType t, void *to)
{
    const DTypeInfo *info = &dtype_table[t];
    bool negative = (skip_space(p), *p->at == '-');
    char *end;
    if (!isdigit((unsigned char)p->at[negative]))
        return expected(p, "an integer");
    errno = 0;
    uint64_t size = strtoull(p->at + negative, &end, 10);
    uint64_t most = info->cls == CLS_UINT ? UINT64_MAX >> (64 - info->bits) : (UINT64_MAX >> (65 - info->bits)) + negative;
    if (errno || size > (info->cls == CLS_UINT && negative ? 0 : most))
        return mistake(p, "%.*s is beyond the range of %s", (int)(end - p->at > 40 ? 40 : end - p->at), p->at, info->name);
    uint64_t bits = negative ? 0 - size : size;
    memcpy(to, &bits, (size_t)info->store);
    p->at = end;
    return true;
}

static bool parse_bool(Parser *p, bool *out)
{
    static const char *const words[] = { "false", "true", NULL };
    int i = accept_word_of(p, words);
    *out = i == 1;
    return i >= 0 || expected(p, "true or false");
}

static bool parse_element(Parser *p, Tensor *t, int64_t i)
{
    char *to = (char *)(uintptr_t)t->data + i * dtype_bytes(t->dtype);
    DTypeClass cls = dtype_table[t->dtype].cls;
    bool yes;
    double x;
    if (cls != CLS_FLOAT && at_bits(p))
        return parse_bits(p, to, dtype_bytes(t->dtype));
    switch (cls) {
    case CLS_FLOAT: return t->dtype == DT_f32 ? parse_f32(p, (float *)(void *)to) : parse_f64(p, (double *)(void *)to);
    case CLS_INT: case CLS_UINT: return parse_integer_element(p, t->dtype, to);
    case CLS_BOOL:
        if (!parse_bool(p, &yes))
            return false;
        *to = yes;
        return true;
    case CLS_MINI:
        if (!parse_f64(p, &x))
            return false;
        tensor_set_f64(t, i, x);
        return true;
    default: return expected(p, "an element as hexadecimal bits");
    }
}

static bool parse_dense(Parser *p, const Tensor *shape, const Tensor **out)
{
    if (shape->count > p->end - p->at)         /* fewer characters than elements: do not even allocate */
        return mistake(p, "%" PRId64 " elements are expected, the text ends before", shape->count);
    Tensor *t = tensor_new(p->arena, shape->dtype, shape->rank, shape->dim);
    for (int64_t i = 0; i < t->count; i++)
        if ((i && !expect(p, ',', "between elements")) || !parse_element(p, t, i))
            return false;
    *out = t;
    return expect(p, ']', arena_printf(p->arena, "after %" PRId64 " elements", t->count));
}

static bool parse_splat(Parser *p, const Tensor *shape, const Tensor **out)
{
    Tensor *one = tensor_new(p->arena, shape->dtype, 0, NULL);
    if (!expect(p, '(', "after splat") || !parse_element(p, one, 0) || !expect(p, ')', "after the element"))
        return false;
    *out = tensor_splat(p->arena, shape->dtype, shape->rank, shape->dim, one->data);
    return true;
}

static bool parse_blob(Parser *p, Tensor *t, const Tensor **out)
{
    int64_t at, bytes;
    if (!accept_word(p, "blob"))
        return expected(p, "@blob");
    if (!expect(p, ':', "after @blob") || !parse_int(p, &at) || !expect(p, ',', "after the offset") || !parse_int(p, &bytes))
        return false;
    if (bytes != t->count * dtype_bytes(t->dtype))
        return mistake(p, "@blob has %" PRId64 " bytes, the constant needs %" PRId64, bytes, t->count * dtype_bytes(t->dtype));
    if (at < 0 || bytes < 0 || (uint64_t)at > p->blob_bytes || (uint64_t)bytes > p->blob_bytes - (uint64_t)at)
        return mistake(p, "@blob:%" PRId64 ",%" PRId64 " lies outside the %zu bytes of the constants' file", at, bytes, p->blob_bytes);
    if (at % 64)
        return mistake(p, "the offset %" PRId64 " of @blob is not a multiple of 64", at);
    t->data = p->blob + at;
    *out = t;
    return true;
}

static bool parse_tensor_shape(Parser *p, Tensor *t)
{
    List dims = { .size = sizeof(int64_t) };
    t->count = 1;
    if (!parse_dtype(p, &t->dtype) || !expect(p, '[', "after the element type"))
        return false;
    while (!accept(p, ']')) {
        int64_t *d = list_push(p, &dims);
        if ((dims.n > 1 && !expect(p, ',', "between sizes")) || !parse_const_dim(p, d))
            return false;
        if (dims.n > MAX_RANK)
            return mistake(p, "a constant has more than %d axes", MAX_RANK);
        if (__builtin_mul_overflow(t->count, *d, &t->count) || t->count > INT64_MAX / 64)
            return mistake(p, "a constant has too many elements");
    }
    t->rank = dims.n;
    t->dim = (const int64_t *)(void *)dims.data;
    return true;
}

static bool parse_tensor(Parser *p, const Tensor **out)
{
    Tensor *t = ARENA_NEW(p->arena, Tensor);
    if (!parse_tensor_shape(p, t))
        return false;
    if (accept_word(p, "elided"))
        return mistake(p, "this constant was printed without its data");
    if (t->dtype == DT_str)
        return mistake(p, "constants of strings are not supported");
    if (accept_word(p, "splat"))
        return parse_splat(p, t, out);
    if (accept(p, '['))
        return parse_dense(p, t, out);
    return accept(p, '@') ? parse_blob(p, t, out) : expected(p, "[elements], splat(element) or @blob:offset,length");
}

/* ---- attributes ---- */

static bool parse_item(Parser *p, AttrKind k, void *to)
{
    switch (k) {
    case AK_ints: return parse_int(p, to);
    case AK_floats: return parse_f64(p, to);
    case AK_strs: return parse_string(p, to);
    default: return parse_dim(p, to);
    }
}

static bool parse_list(Parser *p, AttrKind k, List *l)
{
    l->size = k == AK_strs ? sizeof(char *) : k == AK_dims ? sizeof(Dim) : 8;
    if (!expect(p, '[', "before a list"))
        return false;
    while (!accept(p, ']'))
        if ((l->n && !expect(p, ',', "between items of a list")) || !parse_item(p, k, list_push(p, l)))
            return false;
    return true;
}

static bool parse_list_attr(Parser *p, AttrKind k, void *field)
{
    List l = { 0 };
    if (!parse_list(p, k, &l))
        return false;
    void *items = l.data;
    if (k == AK_ints)
        *(IntVec *)field = (IntVec){ l.n, items };
    else if (k == AK_floats)
        *(FloatVec *)field = (FloatVec){ l.n, items };
    else if (k == AK_strs)
        *(StrVec *)field = (StrVec){ l.n, items };
    else
        *(DimVec *)field = (DimVec){ l.n, items };
    return true;
}

static bool parse_attr_value(Parser *p, AttrKind k, void *field, Graph *g)
{
    switch (k) {
    case AK_i64: return parse_int(p, field);
    case AK_f64: return parse_f64(p, field);
    case AK_bool: return parse_bool(p, field);
    case AK_str: return parse_string(p, field);
    case AK_dtype: return parse_dtype(p, field);
    case AK_ints: case AK_floats: case AK_strs: case AK_dims: return parse_list_attr(p, k, field);
    case AK_tensor: return parse_tensor(p, field);
    case AK_graph: return (*(Graph **)field = parse_graph(p, g)) != NULL;
    }
    return false;
}

static const char *list_attrs(const Parser *p, OpCode op)
{
    const char *s = "";
    FOR_EACH_ATTR(f, op)
        s = arena_printf(p->arena, "%s%s%s", s, *s ? ", " : "", f->name);
    return *s ? s : "none";
}

/* {name=value, ...} into an attribute struct; `seen` has one flag per attribute. */
static bool parse_attr(Parser *p, OpCode op, char *attrs, bool *seen, Graph *g)
{
    Word w = peek_word(p);
    const AttrInfo *f = attr_find(op, w.s, (size_t)w.n);
    if (!w.n)
        return expected(p, "the name of an attribute");
    if (!f)
        return mistake(p, "%s has no attribute '%.*s'; it has: %s", op_name(op), w.n, w.s, list_attrs(p, op));
    if (seen[f - op_table[op].attr])
        return mistake(p, "attribute %s is given twice", f->name);
    seen[f - op_table[op].attr] = true;
    p->at += w.n;
    return expect(p, '=', "after the name of an attribute") && parse_attr_value(p, f->kind, attr_at(f, attrs), g);
}

static bool parse_attrs(Parser *p, OpCode op, void *attrs, Graph *g)
{
    bool *seen = ARENA_ARRAY(p->arena, bool, op_table[op].nattr + 1);
    bool first = true;
    if (!accept(p, '{'))
        return true;
    for (; !accept(p, '}'); first = false)
        if ((!first && !expect(p, ',', "between attributes")) || !parse_attr(p, op, attrs, seen, g))
            return false;
    return true;
}

/* ---- names of values ---- */

static Name **name_bucket(Parser *p, Word w)
{
    uint32_t h = 2166136261u;
    for (int i = 0; i < w.n; i++)
        h = (h ^ (unsigned char)w.s[i]) * 16777619u;
    return &p->names[h % NAME_BUCKETS];
}

/* The value of that name in graph g; in any graph if g is NULL. */
static Value *name_find(Parser *p, Word w, const Graph *g)
{
    for (Name *n = *name_bucket(p, w); n; n = n->next)
        if (n->word.n == w.n && !memcmp(n->word.s, w.s, (size_t)w.n) && (!g || n->val->def->graph == g))
            return n->val;
    return NULL;
}

static bool name_add(Parser *p, Word w, Value *v)
{
    if (name_find(p, w, v->def->graph))
        return mistake(p, "%%%.*s is defined twice", w.n, w.s);
    Name *n = ARENA_NEW(p->arena, Name), **bucket = name_bucket(p, w);
    *n = (Name){ w, v, *bucket };
    *bucket = n;
    return true;
}

/* ---- nodes ---- */

typedef struct Line {                   /* the parts of a node as they are read */
    List results, operands;             /* Word, Value * */
    OpCode op;
    void *attrs;
    int line;
} Line;

static bool parse_result_names(Parser *p, List *results)
{
    skip_space(p);
    if (*p->at != '%')
        return true;
    do
        if (!parse_value_name(p, list_push(p, results)))
            return false;
    while (accept(p, ','));
    return expect(p, '=', "after the names of the results");
}

static bool parse_op(Parser *p, OpCode *out)
{
    Word w = peek_word(p);
    if (!w.n)
        return expected(p, "the name of an op");
    *out = op_from_name(w.s, (size_t)w.n);
    if (*out == OP_none)
        return mistake(p, "there is no op '%.*s'", w.n > 60 ? 60 : w.n, w.s);
    p->at += w.n;
    return true;
}

static bool parse_operand(Parser *p, const Graph *g, OpCode op, int i, Value **out)
{
    Word w;
    if (accept_word(p, "_"))
        return (i >= op_table[op].min_in && op_table[op].max_in >= 0) || mistake(p, "operand %d of %s cannot be absent", i, op_name(op));
    if (!parse_value_name(p, &w))
        return false;
    *out = name_find(p, w, g);
    if (*out)
        return true;
    const char *why = name_find(p, w, NULL) ? " in this graph; values of another graph enter as operands of the node that holds it" : "";
    return mistake(p, "%%%.*s is not defined%s", w.n, w.s, why);
}

static bool parse_operands(Parser *p, const Graph *g, Line *l)
{
    if (!expect(p, '(', "after the name of an op"))
        return false;
    while (!accept(p, ')'))
        if ((l->operands.n && !expect(p, ',', "between operands")) || !parse_operand(p, g, l->op, l->operands.n, list_push(p, &l->operands)))
            return false;
    return true;
}

static Node *make_node(Parser *p, Graph *g, Line *l)
{
    int want = op_table[l->op].nout;
    if (want >= 0 && want != l->results.n) {
        mistake(p, "%s has %d result%s, %d named", op_name(l->op), want, want == 1 ? "" : "s", l->results.n);
        return NULL;
    }
    Loc loc = { p->m->file, NULL, l->line };
    Node *n = node_new(g, NULL, l->op, l->operands.n, (Value *const *)(void *)l->operands.data, l->attrs, l->results.n, loc);
    for (int i = 0; n && i < n->nout; i++)
        if (!name_add(p, ((Word *)(void *)l->results.data)[i], &n->out[i]))
            return NULL;
    return n;
}

static bool parse_alias(Parser *p, Value *v)
{
    Word w;
    if (!expect(p, '(', "after @alias") || !parse_value_name(p, &w) || !expect(p, ')', "after the value"))
        return false;
    Alias *a = ARENA_NEW(p->arena, Alias);
    *a = (Alias){ v, w, p->line, p->aliases };
    p->aliases = a;
    return true;
}

static bool parse_storage(Parser *p, Value *v)
{
    if (!accept(p, '@'))
        return true;
    int kind = accept_word_of(p, text_storage_name);
    if (kind <= ST_NONE)
        return expected(p, "where the value lives (@arena, @input, @output, @const, @alias, @heap or @local)");
    v->storage.kind = (StorageKind)kind;
    if (kind == ST_CONST || kind == ST_LOCAL)
        return true;
    if (kind == ST_ALIAS)
        return parse_alias(p, v);
    if (!expect(p, '+', "after the kind of storage"))
        return false;
    return kind == ST_ARENA ? parse_dim(p, &v->storage.offset) : parse_small_int(p, &v->storage.index, "the number of a storage place");
}

/* An inferred type must be the written one; only where nothing can be inferred (graph inputs) does the written one count. */
static bool settle_type(Parser *p, Value *v, const Type *written)
{
    bool inferred = v->type.kind != TY_TENSOR || v->type.dtype != DT_none;
    if (!inferred)
        v->type = *written;
    if (type_equal(&v->type, written))
        return true;
    return mistake(p, "the result of %s is %s, but %s is written", op_name(v->def->op), type_print(p->m, p->arena, &v->type),
                   type_print(p->m, p->arena, written));
}

static bool parse_result(Parser *p, Value *v)
{
    Type written;
    if (!parse_type(p, &written) || !settle_type(p, v, &written) || !parse_storage(p, v))
        return false;
    skip_space(p);
    return *p->at != '"' || parse_string(p, &v->name);
}

static bool results_are_reasonable(Parser *p, const Node *n)
{
    int budget = 4000;
    for (int i = 0; i < n->nout; i++)
        for (int k = 0; n->out[i].type.kind == TY_TENSOR && k < n->out[i].type.rank; k++)
            if (!dim_is_reasonable(n->out[i].type.dim[k], 0, &budget))
                return mistake(p, "the size of axis %d of result %d of %s is too complicated", k, i, op_name(n->op));
    return true;
}

static bool parse_results(Parser *p, Node *n)
{
    if (n->nout && accept(p, ':')) {
        for (int i = 0; i < n->nout; i++)
            if ((i && !expect(p, ',', "between the types of the results")) || !parse_result(p, &n->out[i]))
                return false;
        return true;
    }
    for (int i = 0; i < n->nout; i++)
        if (n->out[i].type.kind == TY_TENSOR && n->out[i].type.dtype == DT_none)
            return mistake(p, "the result of %s needs a type", op_name(n->op));
    return true;
}

static bool parse_node(Parser *p, Graph *g)
{
    Line l = { .results.size = sizeof(Word), .operands.size = sizeof(Value *) };
    skip_space(p);
    l.line = p->line;
    if (!parse_result_names(p, &l.results) || !parse_op(p, &l.op) || !parse_operands(p, g, &l))
        return false;
    l.attrs = arena_alloc(p->arena, op_table[l.op].attr_bytes);
    if (!parse_attrs(p, l.op, l.attrs, g))
        return false;
    Node *n = make_node(p, g, &l);
    if (!n || !results_are_reasonable(p, n) || !parse_results(p, n))
        return false;
    return !accept_word(p, "from") || parse_string(p, &n->loc.node);
}

/* ---- graphs ---- */

static Graph *parse_graph(Parser *p, Graph *parent)
{
    if (!accept_word(p, "graph"))
        return expected(p, "graph"), NULL;
    if (++p->nesting > MAX_NESTING)
        return mistake(p, "graphs are nested more than %d deep", MAX_NESTING), NULL;
    Graph *g = parent ? graph_new(p->m, parent) : p->m->graph;
    for (int i; (i = accept_word_of(p, text_prop_name)) >= 0; )
        g->props |= 1u << i;
    if (!expect(p, '{', "after graph"))
        return NULL;
    while (!accept(p, '}'))
        if (!parse_node(p, g))
            return NULL;
    p->nesting--;
    return graph_verify_frame(g) ? g : NULL;
}

/* ---- the header ---- */

static bool parse_symbol(Parser *p)
{
    Word w = peek_word(p);
    Dim bound = NULL;
    if (!w.n)
        return expected(p, "the name of a symbol");
    p->at += w.n;
    const char *name = arena_strn(p->arena, w.s, (size_t)w.n);
    bool from_data = accept_word(p, "data"), any_sign = accept_word(p, "signed");
    if (accept_word(p, "bound") && !parse_dim(p, &bound))
        return false;
    if (dim_symbol_find(p->m->dims, name) >= 0)
        return mistake(p, "symbol %s is declared twice, or after it was mentioned", name);
    dim_symbol_declare(p->m->dims, name, from_data, any_sign, bound);
    return true;
}

static bool parse_header(Parser *p)
{
    static const char *const words[] = { "module", "producer", "symbol", "arena", "heap", NULL };
    for (;;)
        switch (accept_word_of(p, words)) {
        case 0: if (!parse_string(p, &p->m->name)) return false; break;
        case 1: if (!parse_string(p, &p->m->producer)) return false; break;
        case 2: if (!parse_symbol(p)) return false; break;
        case 3: if (!parse_dim(p, &p->m->arena_bytes)) return false; break;
        case 4: if (!parse_small_int(p, &p->m->nheap, "the number of heap slots")) return false; break;
        default: return true;
        }
}

static bool resolve_aliases(Parser *p)
{
    for (Alias *a = p->aliases; a; a = a->next) {
        Value *of = name_find(p, a->of, a->val->def->graph);
        a->val->storage.of = of ? of : name_find(p, a->of, NULL);
        p->line = a->line;
        if (!a->val->storage.of)
            return mistake(p, "%%%.*s is not defined anywhere", a->of.n, a->of.s);
    }
    return true;
}

Module *module_parse(Arena *a, Diag *d, const char *file, const char *text, const void *blob_data, size_t blob_bytes)
{
    Parser p = { .arena = a, .at = text, .end = text + strlen(text), .line = 1, .token_line = 1, .blob = blob_data, .blob_bytes = blob_data ? blob_bytes : 0 };
    p.m = module_new(a, d, "module", file);
    p.names = ARENA_ARRAY(a, Name *, NAME_BUCKETS);
    p.dim_text = arena_alloc(a, MAX_DIM_TEXT);
    if (!parse_header(&p) || !parse_graph(&p, NULL) || !resolve_aliases(&p))
        return NULL;
    skip_space(&p);
    if (*p.at)
        return expected(&p, "the end of the text"), NULL;
    graph_renumber(p.m->graph);
    return graph_verify(p.m->graph) ? p.m : NULL;
}
