/* import_regex.c -- RegexFullMatch: a pattern in the syntax of RE2 becomes a program of the op str_match.
 *
 * The pattern is parsed to a tree, the tree to instructions of three words:
 *     0 range list, how many    the next character is in one of these ranges, go on behind
 *     1 a, b                    go on at a and at b
 *     2 a                       go on at a
 *     3                         match
 *     4 what                    only if: 0 at the beginning, 1 at the end, 2 at the edge of a word, 3 not there
 * Since only the whole string counts, lazy and greedy repetition are one, and groups are just brackets. Case folding is for ASCII.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "import_string.h"

enum { MAX_DEPTH = 200, MAX_PROGRAM = 20000, MAX_REPEAT = 1000, MAX_CHAR = 0x10ffff };
enum { IN_RANGES, EITHER, GO, MATCH, ONLY_IF };

typedef struct Range { int32_t first, last; } Range;
typedef struct RangeList { int n, room; Range *v; } RangeList;

typedef enum TreeKind { T_EMPTY, T_SET, T_AND, T_OR, T_REPEAT, T_ASSERT } TreeKind;
typedef struct Tree {
    TreeKind kind;
    struct Tree *left, *right;
    RangeList set;
    int least, most;                /* T_REPEAT; most -1: any. T_ASSERT: least is which */
} Tree;

typedef struct Regex {
    Importer *c;
    Arena *a;
    const unsigned char *at;
    int depth;
    bool fold, dot_all;             /* flags i, s */
    const char *problem;
    RangeList ranges;               /* of the program */
    int n, room;
    int32_t (*code)[3];
} Regex;

static Tree *tree(Regex *r, TreeKind kind, Tree *left, Tree *right)
{
    Tree *t = ARENA_NEW(r->a, Tree);
    *t = (Tree){ .kind = kind, .left = left, .right = right };
    return t;
}

static Tree *refuse(Regex *r, const char *what)
{
    r->problem = r->problem ? r->problem : what;
    return NULL;
}

/* ---- sets of characters ---- */

static void add_range(Regex *r, RangeList *l, int32_t first, int32_t last)
{
    if (l->n == l->room) {
        Range *grown = ARENA_ARRAY(r->a, Range, l->room = 2 * l->room + 8);
        if (l->n)
            memcpy(grown, l->v, sizeof *grown * (size_t)l->n);
        l->v = grown;
    }
    l->v[l->n++] = (Range){ first, last };
}

static void add_folded(Regex *r, RangeList *l, int32_t first, int32_t last)
{
    add_range(r, l, first, last);
    for (int ch = 'a'; r->fold && ch <= 'z'; ch++) {
        if (ch >= first && ch <= last)
            add_range(r, l, toupper(ch), toupper(ch));
        if (toupper(ch) >= first && toupper(ch) <= last)
            add_range(r, l, ch, ch);
    }
}

/* All characters that no range has: those between the ranges, in order. */
static RangeList complement(Regex *r, const RangeList *l)
{
    RangeList out = { 0 };
    int32_t from = 0;
    while (from <= MAX_CHAR) {
        int32_t next = MAX_CHAR + 1, behind = from;
        for (int i = 0; i < l->n; i++) {
            if (l->v[i].first <= from && l->v[i].last >= from && l->v[i].last + 1 > behind)
                behind = l->v[i].last + 1;
            if (l->v[i].first > from && l->v[i].first < next)
                next = l->v[i].first;
        }
        if (behind > from) {
            from = behind;
            continue;
        }
        add_range(r, &out, from, next - 1);
        from = next;
    }
    return out;
}

static const struct { char letter; const char *posix; const char *ranges; } classes[] = {
    { 'd', "digit", "09" }, { 'w', "word", "09AZaz__" }, { 's', "", "\t\n\f\r  " }, { 0, "space", "\t\r  " }, { 0, "alpha", "AZaz" },
    { 0, "alnum", "09AZaz" }, { 0, "upper", "AZ" }, { 0, "lower", "az" }, { 0, "punct", "!/:@[`{~" }, { 0, "xdigit", "09AFaf" },
    { 0, "blank", "\t\t  " }, { 0, "print", " ~" }, { 0, "graph", "!~" },
};

/* Class number i, or everything else. */
static void add_class(Regex *r, RangeList *l, size_t i, bool negated)
{
    RangeList set = { 0 };
    for (const char *p = classes[i].ranges; *p; p += 2)
        add_range(r, &set, p[0], p[1]);
    if (negated)
        set = complement(r, &set);
    for (int k = 0; k < set.n; k++)
        add_range(r, l, set.v[k].first, set.v[k].last);
}

static bool class_letter(Regex *r, RangeList *l, int letter)
{
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].letter && tolower(letter) == classes[i].letter) {
            add_class(r, l, i, isupper(letter));
            return true;
        }
    return false;
}

/* ---- characters ---- */

static int32_t read_char(Regex *r)
{
    static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    int n = *r->at < 0xc0 ? 1 : *r->at < 0xe0 ? 2 : *r->at < 0xf0 ? 3 : 4;
    int32_t ch = *r->at++ & (n == 1 ? 0xff : mask[n]);
    for (; n > 1 && *r->at; n--)
        ch = ch << 6 | (*r->at++ & 0x3f);
    return ch;
}

static int32_t read_hex(Regex *r)
{
    bool braced = *r->at == '{';
    int32_t v = 0, digits = 0;
    r->at += braced;
    for (; isxdigit(*r->at) && digits < (braced ? 6 : 2); digits++, r->at++)
        v = 16 * v + (isdigit(*r->at) ? *r->at - '0' : tolower(*r->at) - 'a' + 10);
    if (!digits || (braced && *r->at++ != '}') || v > MAX_CHAR)
        refuse(r, "a character in hexadecimal that is not well formed");
    return v;
}

/* Behind a backslash: one character. */
static int32_t read_escape(Regex *r)
{
    static const char letter[] = "nrtfva", value[] = "\n\r\t\f\v\a";
    const char *known = *r->at ? strchr(letter, *r->at) : NULL;
    if (known) {
        r->at++;
        return value[known - letter];
    }
    if (*r->at == 'x') {
        r->at++;
        return read_hex(r);
    }
    if (!*r->at || isalnum(*r->at))
        refuse(r, arena_printf(r->a, "the escape '\\%c'", *r->at));
    return *r->at ? read_char(r) : 0;
}

/* ---- the parser ---- */

static Tree *parse_either(Regex *r);

static bool posix_class(Regex *r, RangeList *l)
{
    bool negated = r->at[2] == '^';
    const char *name = (const char *)r->at + 2 + negated;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t n = strlen(classes[i].posix);
        if (!n || strncmp(name, classes[i].posix, n) != 0 || strncmp(name + n, ":]", 2) != 0)
            continue;
        add_class(r, l, i, negated);
        r->at = (const unsigned char *)name + n + 2;
        return true;
    }
    return refuse(r, "a class between '[:' and ':]'") != NULL;
}

static int32_t set_char(Regex *r)
{
    if (*r->at != '\\')
        return read_char(r);
    r->at++;
    return read_escape(r);
}

static void set_item(Regex *r, RangeList *l)
{
    if (r->at[0] == '[' && r->at[1] == ':') {
        posix_class(r, l);
        return;
    }
    if (r->at[0] == '\\' && class_letter(r, l, r->at[1])) {
        r->at += 2;
        return;
    }
    int32_t first = set_char(r), last = first;
    if (r->at[0] == '-' && r->at[1] && r->at[1] != ']') {
        r->at++;
        last = set_char(r);
    }
    if (last < first)
        refuse(r, "a range of characters that is the wrong way round");
    add_folded(r, l, first, last);
}

static Tree *parse_set(Regex *r)
{
    Tree *t = tree(r, T_SET, NULL, NULL);
    bool negated = *r->at == '^';
    r->at += negated;
    for (bool first = true; *r->at && (first || *r->at != ']') && !r->problem; first = false)
        set_item(r, &t->set);
    if (*r->at++ != ']')
        return refuse(r, "a set of characters without an end");
    if (negated)
        t->set = complement(r, &t->set);
    return t;
}

/* Behind "(?": flags, a name, or nothing of importance. Flags alone, "(?i)", are for what follows. */
static bool group_head(Regex *r, bool *flags_only)
{
    *flags_only = false;
    if (*r->at == 'P' || *r->at == '<') {
        while (*r->at && *r->at != '>')
            r->at++;
        return *r->at++ == '>' || refuse(r, "a group whose name has no end");
    }
    for (bool on = true; *r->at && *r->at != ':' && *r->at != ')'; r->at++) {
        if (*r->at == '-')
            on = false;
        else if (*r->at == 'i')
            r->fold = on;
        else if (*r->at == 's')
            r->dot_all = on;
        else if (*r->at != 'U')
            return refuse(r, arena_printf(r->a, "the flag '%c'", *r->at)) != NULL;
    }
    *flags_only = *r->at == ')';
    return *r->at++ || refuse(r, "a group without an end");
}

static Tree *parse_group(Regex *r)
{
    bool fold = r->fold, dot_all = r->dot_all, flags_only = false;
    if (*r->at == '?') {
        r->at++;
        if (!group_head(r, &flags_only))
            return NULL;
        if (flags_only)
            return tree(r, T_EMPTY, NULL, NULL);
    }
    if (++r->depth > MAX_DEPTH)
        return refuse(r, "groups nested so deep");
    Tree *t = parse_either(r);
    r->depth--;
    r->fold = fold, r->dot_all = dot_all;
    return t && *r->at++ == ')' ? t : refuse(r, "a group without an end");
}

static Tree *assertion(Regex *r, int which)
{
    Tree *t = tree(r, T_ASSERT, NULL, NULL);
    t->least = which;
    return t;
}

static Tree *parse_atom(Regex *r)
{
    static const char asserts[] = "AzbB";
    Tree *t = tree(r, T_SET, NULL, NULL);
    const char *which;
    switch (*r->at) {
    case '(': r->at++; return parse_group(r);
    case '[': r->at++; return parse_set(r);
    case '^': r->at++; return assertion(r, 0);
    case '$': r->at++; return assertion(r, 1);
    case '*': case '+': case '?': return refuse(r, "a repetition of nothing");
    case '.':
        r->at++;
        add_range(r, &t->set, 0, r->dot_all ? MAX_CHAR : '\n' - 1);
        if (!r->dot_all)
            add_range(r, &t->set, '\n' + 1, MAX_CHAR);
        return t;
    case '\\':
        which = r->at[1] ? strchr(asserts, r->at[1]) : NULL;
        r->at += which ? 2 : 1;
        if (which)
            return assertion(r, (int)(which - asserts));
        if (class_letter(r, &t->set, *r->at)) {
            r->at++;
            return t;
        }
        int32_t escaped = read_escape(r);
        add_folded(r, &t->set, escaped, escaped);
        return t;
    default: break;
    }
    int32_t ch = read_char(r);
    add_folded(r, &t->set, ch, ch);
    return t;
}

/* {m}, {m,}, {m,n}; anything else between braces is text. */
static bool parse_counts(Regex *r, int *least, int *most)
{
    const char *p = (const char *)r->at + 1;
    char *end;
    if (!isdigit((unsigned char)*p))
        return false;
    long low = strtol(p, &end, 10), high = low;
    if (*end == ',') {
        high = -1;
        if (isdigit((unsigned char)end[1]))
            high = strtol(end + 1, &end, 10);
        else
            end++;
    }
    if (*end != '}')
        return false;
    if (low > MAX_REPEAT || high > MAX_REPEAT || (high >= 0 && high < low))
        refuse(r, "a repetition so often");
    *least = (int)low, *most = (int)high;
    r->at = (const unsigned char *)end + 1;
    return true;
}

static bool parse_times(Regex *r, int *least, int *most)
{
    *least = *r->at == '+', *most = *r->at == '?' ? 1 : -1;
    if (*r->at != '*' && *r->at != '+' && *r->at != '?')
        return *r->at == '{' && parse_counts(r, least, most);
    r->at++;
    return true;
}

static Tree *parse_repeated(Regex *r)
{
    Tree *t = parse_atom(r);
    int least, most;
    while (t && !r->problem && parse_times(r, &least, &most)) {
        t = tree(r, T_REPEAT, t, NULL);
        t->least = least, t->most = most;
        r->at += *r->at == '?';             /* lazy: the same strings match */
    }
    return t;
}

static Tree *parse_sequence(Regex *r)
{
    Tree *all = tree(r, T_EMPTY, NULL, NULL);
    while (all && !r->problem && *r->at && *r->at != '|' && *r->at != ')') {
        Tree *next = parse_repeated(r);
        all = next ? tree(r, T_AND, all, next) : NULL;
    }
    return all;
}

static Tree *parse_either(Regex *r)
{
    Tree *t = parse_sequence(r);
    while (t && !r->problem && *r->at == '|') {
        r->at++;
        Tree *other = parse_sequence(r);
        t = other ? tree(r, T_OR, t, other) : NULL;
    }
    return t;
}

/* ---- the program ---- */

static int emit(Regex *r, int32_t kind, int32_t a, int32_t b)
{
    if (r->n == MAX_PROGRAM) {
        refuse(r, "a pattern so long");
        return 0;
    }
    if (r->n == r->room) {
        int32_t(*grown)[3] = arena_alloc(r->a, sizeof *grown * (size_t)(r->room = 2 * r->room + 64));
        if (r->n)
            memcpy(grown, r->code, sizeof *grown * (size_t)r->n);
        r->code = grown;
    }
    memcpy(r->code[r->n], (int32_t[]){ kind, a, b }, sizeof *r->code);
    return r->n++;
}

static void compile(Regex *r, const Tree *t);

static void compile_repeat(Regex *r, const Tree *t)
{
    for (int i = 0; i < t->least && !r->problem; i++)
        compile(r, t->left);
    if (t->most < 0) {
        int again = emit(r, EITHER, r->n + 1, 0);
        compile(r, t->left);
        emit(r, GO, again, 0);
        r->code[again][2] = r->n;
    }
    for (int i = t->least; i < t->most && !r->problem; i++) {
        int skip = emit(r, EITHER, r->n + 1, 0);
        compile(r, t->left);
        r->code[skip][2] = r->n;
    }
}

static void compile(Regex *r, const Tree *t)
{
    int from, over;
    if (r->problem)
        return;
    switch (t->kind) {
    case T_EMPTY: return;
    case T_SET:
        from = r->ranges.n;
        for (int i = 0; i < t->set.n; i++)
            add_range(r, &r->ranges, t->set.v[i].first, t->set.v[i].last);
        emit(r, IN_RANGES, from, t->set.n);
        return;
    case T_AND:
        compile(r, t->left);
        compile(r, t->right);
        return;
    case T_OR:
        from = emit(r, EITHER, r->n + 1, 0);
        compile(r, t->left);
        over = emit(r, GO, 0, 0);
        r->code[from][2] = r->n;
        compile(r, t->right);
        r->code[over][1] = r->n;
        return;
    case T_REPEAT: compile_repeat(r, t); return;
    case T_ASSERT: emit(r, ONLY_IF, t->least, 0); return;
    }
}

static Value *mk_table(Builder *b, int rows, int columns, const int32_t *v)
{
    Tensor *t = tensor_new(b->m->arena, DT_i32, 2, (int64_t[]){ rows, columns });
    if (rows)
        memcpy((void *)(uintptr_t)t->data, v, sizeof *v * (size_t)rows * (size_t)columns);
    return mk_tensor(b, t);
}

bool import_regex_full_match(Importer *c)
{
    Regex r = { .c = c, .a = c->m->arena, .at = (const unsigned char *)attr_s(c, "pattern", "") };
    if (!in(c, 0))
        return false;
    Tree *t = parse_either(&r);
    if (t && *r.at)
        refuse(&r, "a ')' too many");
    if (t)
        compile(&r, t);
    if (!r.problem)
        emit(&r, MATCH, 0, 0);
    if (r.problem)
        return import_unsupported(c, "%s in a pattern", r.problem);
    Builder *b = &c->b;
    OUT(c, mk_str_match(b, IN(in(c, 0), mk_table(b, r.n, 3, r.code[0]), mk_table(b, r.ranges.n, 2, &r.ranges.v[0].first)), (Attr_str_match){ 0 }));
}
