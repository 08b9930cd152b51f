/* operators_doc.c -- writes the tables of docs/operators.md: every ONNX operator that can be imported, in which versions, what is left out, and which
 * tests hold it.
 *
 *   ingot-operators-doc [--check] SOURCE_DIR NODE_TESTS...
 *
 * Nothing in the tables is written by hand: rows and versions are those of onnx_ops.def; what is left out are the sentences that the operator's importer,
 * and the functions it calls, may refuse a model with; tests are the one-node models among the ONNX backend tests and in tests/operators/data, without
 * those that tests/onnx/node_compiled.ratchet lists; types are those of the tests' inputs.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir.h"
#include "onnx.pb-c.h"
#include "strbuf.h"

#define BEGIN "<!-- begin tables -->\n"
#define END_MARK "<!-- end tables -->"

enum { MAX_OPS = 1024, MAX_FUNCTIONS = 4096, MAX_LIMITS = 32, MAX_ENTRIES = 4096 };

/* ---- the operators ---- */

typedef struct Op {
    const char *domain, *name, *import[4];
    int rows, first, last;          /* versions; last 0: still there */
    unsigned types;                 /* bit t: DType t is an input of a test */
    int passed, failed;
    StrBuf tests;
} Op;

typedef struct Function { const char *name, *body; size_t bytes; int file; bool is_static, seen; } Function;

typedef struct Doc {
    Arena *a;
    int nop, nfunction, nlimit;
    Op op[MAX_OPS];
    Function function[MAX_FUNCTIONS];
    const char *limit[MAX_LIMITS];
    const char *ratchet;
} Doc;

static Op *op_find(Doc *d, const char *domain, const char *name)
{
    for (int i = 0; i < d->nop; i++)
        if (!strcmp(d->op[i].domain, domain) && !strcmp(d->op[i].name, name))
            return &d->op[i];
    return NULL;
}

static void add_row(Doc *d, const char *domain, const char *name, int first, int last, const char *import)
{
    Op *op = op_find(d, domain, name);
    if (!op) {
        if (d->nop == MAX_OPS)
            return;
        op = &d->op[d->nop++];
        *op = (Op){ .domain = domain, .name = name, .first = first, .last = last, .tests = strbuf_new(d->a) };
    }
    op->first = first < op->first ? first : op->first;
    op->last = !last || !op->last ? 0 : last > op->last ? last : op->last;
    if (op->rows < 4)
        op->import[op->rows++] = import;
}

static int op_compare(const void *a, const void *b)
{
    const Op *x = a, *y = b;
    int by_domain = strcmp(x->domain, y->domain);
    return by_domain ? by_domain : strcmp(x->name, y->name);
}

/* ---- files ---- */

static char *read_file(Arena *a, const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        return NULL;
    *bytes = (size_t)ftell(f);
    char *text = arena_alloc(a, *bytes + 1);
    rewind(f);
    *bytes = fread(text, 1, *bytes, f);
    fclose(f);
    return text;
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted. */
static int list_folder(Arena *a, const char *path, char **name)
{
    int n = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && n < MAX_ENTRIES && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            name[n++] = arena_str(a, e->d_name);
    if (dir)
        closedir(dir);
    qsort(name, (size_t)n, sizeof *name, name_compare);
    return n;
}

/* ---- what importers refuse ---- */

/* A definition begins at the left margin and ends with a line "}", or on its own line. */
static void find_functions(Doc *d, int file, const char *text)
{
    for (const char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n') ? strchr(line, '\n') + 1 : line + strlen(line);
        const char *open = memchr(line, '(', (size_t)(next - line)), *end = open;
        bool one_line = next - line > 2 && next[-2] == '}' && open;
        if (!isalpha((unsigned char)*line) || !open || (!one_line && *next != '{') || d->nfunction == MAX_FUNCTIONS)
            continue;
        while (end > line && (isalnum((unsigned char)end[-1]) || end[-1] == '_'))
            end--;
        const char *stop = one_line ? next : strstr(next, "\n}\n");
        if (stop && open > end)
            d->function[d->nfunction++] = (Function){ .name = arena_strn(d->a, end, (size_t)(open - end)), .body = open, .bytes = (size_t)(stop - open),
                                                            .file = file, .is_static = !strncmp(line, "static", 6) };
    }
}

/* A literal with placeholders as dots; those without a space are no sentences. */
static void add_limit(Doc *d, const char *s, size_t n)
{
    StrBuf b = strbuf_new(d->a);
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '%') {
            strbuf_add_n(&b, s + i, 1);
            continue;
        }
        strbuf_add(&b, "..");
        while (i + 1 < n && strchr("lzd", s[i + 1]))
            i++;
        if (i + 1 < n && strchr("sgdu", s[i + 1]) && s[i] != 'd')
            i++;
    }
    if (b.len && b.text[b.len - 1] == ',')
        b.text[b.len - 1] = 0;
    for (int i = 0; i < d->nlimit; i++)
        if (!strcmp(d->limit[i], b.text))
            return;
    if (memchr(s, ' ', n) && d->nlimit < MAX_LIMITS)
        d->limit[d->nlimit++] = b.text;
}

static void limits_of_call(Doc *d, const char *call, const char *end)
{
    int depth = 0;
    for (const char *p = strchr(call, '('); p && p < end; p++) {
        depth += (*p == '(') - (*p == ')');
        if (!depth)
            return;
        if (*p == '"') {
            const char *close = strchr(p + 1, '"');
            add_limit(d, p + 1, (size_t)(close - p - 1));
            p = close;
        }
    }
}

/* file: where the name stands; static functions of other files are not meant. */
static void collect_limits(Doc *d, int file, const char *name, size_t n)
{
    for (int i = 0; i < d->nfunction; i++) {
        Function *f = &d->function[i];
        if (f->seen || strlen(f->name) != n || memcmp(f->name, name, n) || (f->is_static && f->file != file))
            continue;
        f->seen = true;
        for (const char *p = f->body, *end = f->body + f->bytes; p < end;) {
            size_t word = 0;
            while (p + word < end && (isalnum((unsigned char)p[word]) || p[word] == '_'))
                word++;
            if (word == strlen("import_unsupported") && !memcmp(p, "import_unsupported", word))
                limits_of_call(d, p, end);
            else if (word)
                collect_limits(d, f->file, p, word);
            p += word ? word : 1;
        }
    }
}

/* ---- tests ---- */

static void note_types(Op *op, const Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__TypeProto *t = g->input[i]->type;
        if (t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            op->types |= 1u << dtype_from_onnx((int)t->tensor_type->elem_type);
    }
}

/* Whether the ratchet has a line "node/NAME". */
static bool is_known_failure(const Doc *d, const char *test)
{
    const char *line = arena_printf(d->a, "\nnode/%s\n", test);
    return strstr(d->ratchet, line) != NULL;
}

static void note_test(Doc *d, const char *folder, const char *test)
{
    size_t bytes;
    char *data = read_file(d->a, arena_printf(d->a, "%s/%s/model.onnx", folder, test), &bytes);
    Onnx__ModelProto *m = data ? onnx__model_proto__unpack(NULL, bytes, (const uint8_t *)data) : NULL;
    if (m && m->graph && m->graph->n_node == 1) {
        const Onnx__NodeProto *n = m->graph->node[0];
        Op *op = op_find(d, n->domain && strcmp(n->domain, "ai.onnx") ? n->domain : "", n->op_type);
        bool failure = is_known_failure(d, test);
        if (op && failure)
            op->failed++;
        if (op && !failure) {
            const char *shown = strncmp(test, "test_", 5) ? test : test + 5;
            strbuf_printf(&op->tests, "%s%s", op->passed++ ? ", " : "", shown);
            note_types(op, m->graph);
        }
    }
    if (m)
        onnx__model_proto__free_unpacked(m, NULL);
}

/* ---- the page ---- */

static void add_types(StrBuf *b, unsigned types)
{
    bool any = false;
    for (DType t = DT_none + 1; t < DT_count; t++)
        if (types >> t & 1) {
            strbuf_printf(b, "%s%s", any ? " " : "", dtype_table[t].name);
            any = true;
        }
}

static void add_operator(Doc *d, StrBuf *b, const Op *op)
{
    d->nlimit = 0;
    for (int i = 0; i < d->nfunction; i++)
        d->function[i].seen = false;
    for (int i = 0; i < op->rows; i++)
        collect_limits(d, -1, op->import[i], strlen(op->import[i]));
    strbuf_printf(b, op->last ? "| %s | %d-%d | " : "| %s | %d- | ", op->name, op->first, op->last);
    add_types(b, op->types);
    strbuf_printf(b, op->passed + op->failed ? " | %d of %d | " : " | | ", op->passed, op->passed + op->failed);
    for (int i = 0; i < d->nlimit; i++)
        strbuf_printf(b, "%s%s", i ? "; " : "", d->limit[i]);
    strbuf_add(b, " |\n");
}

static void add_tables(Doc *d, StrBuf *b)
{
    for (int i = 0; i < d->nop; i++) {
        if (!i || strcmp(d->op[i].domain, d->op[i - 1].domain))
            strbuf_printf(b, "\n## %s\n\n| operator | versions | types in tests | tests passed | not supported |\n|---|---|---|---|---|\n",
                          d->op[i].domain[0] ? d->op[i].domain : "ai.onnx");
        add_operator(d, b, &d->op[i]);
    }
    strbuf_add(b, "\n## The tests\n\n");
    for (int i = 0; i < d->nop; i++)
        if (d->op[i].passed)
            strbuf_printf(b, "- %s: %s\n", d->op[i].name, d->op[i].tests.text);
}

static void read_sources(Doc *d, const char *source)
{
    char **name = arena_alloc(d->a, sizeof *name * MAX_ENTRIES);
    const char *folder = arena_printf(d->a, "%s/frontend", source);
    size_t bytes;
    int n = list_folder(d->a, folder, name);
    for (int i = 0; i < n; i++)
        if (!strncmp(name[i], "import", 6) && strstr(name[i], ".c"))
            find_functions(d, i, read_file(d->a, arena_printf(d->a, "%s/%s", folder, name[i]), &bytes));
}

static void read_tests(Doc *d, const char *folder)
{
    char **name = arena_alloc(d->a, sizeof *name * MAX_ENTRIES);
    int n = list_folder(d->a, folder, name);
    for (int i = 0; i < n; i++)
        note_test(d, folder, name[i]);
}

int main(int argc, char **argv)
{
    bool check = argc > 1 && !strcmp(argv[1], "--check");
    if (argc < 3 + check) {
        fprintf(stderr, "usage: ingot-operators-doc [--check] SOURCE_DIR NODE_TESTS...\n");
        return 2;
    }
    Arena *a = arena_new();
    Doc *d = arena_alloc(a, sizeof *d);
    size_t bytes;
    const char *source = argv[1 + check], *path = arena_printf(a, "%s/docs/operators.md", source), *page = read_file(a, path, &bytes);
    d->a = a;
    d->ratchet = read_file(a, arena_printf(a, "%s/tests/onnx/node_compiled.ratchet", source), &bytes);
    const char *begin = page ? strstr(page, BEGIN) : NULL, *end = page ? strstr(page, END_MARK) : NULL;
    if (!begin || !end || !d->ratchet) {
        fprintf(stderr, "%s, or the marks in it, or the ratchet, cannot be read\n", path);
        return 1;
    }
#define ONNX(domain, name, min_opset, max_opset, import_fn) add_row(d, domain, #name, min_opset, max_opset, #import_fn);
#include "onnx_ops.def"
    qsort(d->op, (size_t)d->nop, sizeof *d->op, op_compare);
    read_sources(d, source);
    for (int i = 2 + check; i < argc; i++)
        read_tests(d, argv[i]);
    read_tests(d, arena_printf(a, "%s/tests/operators/data", source));
    StrBuf b = strbuf_new(a);
    strbuf_add_n(&b, page, (size_t)(begin - page) + strlen(BEGIN));
    add_tables(d, &b);
    strbuf_add(&b, "\n");
    strbuf_add(&b, end);
    bool same = !strcmp(page, b.text);
    FILE *f = check || same ? NULL : fopen(path, "wb");
    if (f) {
        fputs(b.text, f);
        fclose(f);
    } else if (!same)
        fprintf(stderr, "%s is not what the sources and tests say; ingot-operators-doc writes it\n", path);
    arena_free(a);
    return !same && !f;
}
