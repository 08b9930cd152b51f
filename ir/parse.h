/* parse.h -- private to the parser of textual IR (parse.c, parse_scan.c, parse_value.c).
 *
 * A function that reads something moves Parser.at behind it. One that returns bool returns false after it reported, unless it is called accept:
 * that one only looks whether something stands here.
 */
#ifndef INGOT_PARSE_H
#define INGOT_PARSE_H

#include "ir.h"

enum { MAX_NESTING = 24, MAX_DIM_TEXT = 1 << 16 };

typedef struct Word { const char *s; int n; } Word;

typedef struct Parser {
    Module *m;
    Arena *arena;
    const char *at, *end;               /* what is not read yet */
    int line, nesting;
    int token_line;                     /* line on which the last thing that was read ended */
    const char *skipped_to;             /* where the last scan_space stopped */
    char *dim_text;                     /* MAX_DIM_TEXT bytes to work in */
    const char *blob;
    size_t blob_bytes;
    struct Name **names;                /* hash table; values of all graphs, so that aliases may cross them */
    struct Alias *aliases;
} Parser;

/* ---- parse_scan.c ---- */

bool scan_mistake(Parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));   /* reports; always false */
bool scan_expected(Parser *p, const char *what);                    /* "<what> is expected, here is '...'"; always false */
void scan_space(Parser *p);                                         /* blanks, line breaks and comments */
bool scan_accept(Parser *p, char c);
bool scan_expect(Parser *p, char c, const char *where);             /* where: "after the operands" */
Word scan_peek(Parser *p);                                          /* the word that begins here, empty if none does; not passed */
bool scan_accept_word(Parser *p, const char *s);
int scan_accept_word_of(Parser *p, const char *const *list);        /* index in a list that ends with NULL, -1 if none of them */
bool scan_value_name(Parser *p, Word *out);
bool scan_string(Parser *p, const char **out);                       /* without a zero in it */
bool scan_text(Parser *p, StrElement *out);                         /* any bytes */
bool scan_bool(Parser *p, bool *out);
bool scan_int(Parser *p, int64_t *out);
bool scan_small_int(Parser *p, int *out, const char *what);         /* 0 to INT32_MAX; what: whose value it is */
bool scan_at_bits(Parser *p);                                       /* does 0x... begin here? */
bool scan_bits(Parser *p, void *out, int bytes);                    /* 0x and at most `bytes` bytes, stored little-endian */
bool scan_f64(Parser *p, double *out);
bool scan_f32(Parser *p, float *out);
bool scan_dim(Parser *p, Dim *out);
bool dim_is_reasonable(Dim d, int depth, int *budget);              /* bounds the depth and length of what other code walks and prints */

typedef struct List {
    char *data;
    int n, room;
    size_t size;                        /* bytes per item */
} List;
void *list_push(Parser *p, List *l);                                /* room for one more item, zeroed */

/* ---- parse_value.c ---- */

bool parse_type(Parser *p, Type *out);
bool parse_attrs(Parser *p, OpCode op, void *attrs, Graph *g);      /* {name=value, ...} or nothing; g: the parent of nested graphs */

/* ---- parse.c ---- */

Graph *parse_graph(Parser *p, Graph *parent);                       /* parent NULL: into the module's own graph */

#endif
