/* irt_test.c -- golden tests on textual IR.
 *
 *   irt_test FILE.irt...        check files; BLESS=1 in the environment rewrites what is expected to what came out
 *   irt_test --coverage FILE... do all files together mention every structural op, and set each of its attributes? (test_text.c does the
 *                               elementwise ones, which are all alike)
 *
 * A file is sections that begin with a line `--- NAME`; what stands before the first is a comment.
 *   --- in            a module, and the start of a case; line numbers in messages are those of the file
 *   --- after PASSES  comma-separated passes run on what was read; expected is the text afterwards
 *   --- out           the text of the module as it was read
 *   --- err           everything reported so far
 *   --- dot           the graph as Graphviz text
 * Whatever was read or made by a pass must also survive print and parse, and print the same a second time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attrs.h"
#include "dot.h"
#include "pass.h"
#include "strbuf.h"
#include "text.h"

typedef struct Section {
    const char *head;           /* what follows `--- ` */
    const char *body;
    int line;                   /* of the first line of the body */
} Section;

enum { MAX_SECTIONS = 256 };

typedef struct Test {
    Arena *arena;
    const char *path, *name;    /* name: without folders, so that messages do not depend on where the tree is */
    const char *comment;
    Section section[MAX_SECTIONS];
    int n;
    Diag diag;
    bool failed;
} Test;

static void complain(Test *t, const char *what, const char *detail)
{
    t->failed = true;
    printf("%s: %s\n%s", t->path, what, detail);
}

static const char *read_text(Arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    StrBuf b = strbuf_new(a);
    char chunk[4096];
    for (size_t n; f && (n = fread(chunk, 1, sizeof chunk, f)) > 0; )
        strbuf_add_n(&b, chunk, n);
    if (f)
        fclose(f);
    return f ? b.text : NULL;
}

static bool split_sections(Test *t, const char *text)
{
    int line = 1;
    const char *begin = text;
    for (const char *s = text; *s; line++) {
        const char *end = s + strcspn(s, "\n");
        if (!strncmp(s, "--- ", 4)) {
            const char *before = arena_strn(t->arena, begin, (size_t)(s - begin));
            if (t->n)
                t->section[t->n - 1].body = before;
            else
                t->comment = before;
            if (t->n == MAX_SECTIONS)
                return false;
            t->section[t->n++] = (Section){ arena_strn(t->arena, s + 4, (size_t)(end - s - 4)), "", line + 1 };
            begin = *end ? end + 1 : end;
        }
        s = *end ? end + 1 : end;
    }
    if (t->n)
        t->section[t->n - 1].body = begin;
    return t->n > 0;
}

static Module *parse_section(Test *t, const Section *s)
{
    StrBuf b = strbuf_new(t->arena);
    for (int i = 1; i < s->line; i++)
        strbuf_add(&b, "\n");
    strbuf_add(&b, s->body);
    diag_init(&t->diag, t->arena, NULL);
    return module_parse(t->arena, &t->diag, t->name, b.text, NULL, 0);
}

static void check_round_trip(Test *t, Module *m)
{
    BlobMemory blob, blob2;
    blob_memory_init(&blob, t->arena);
    blob_memory_init(&blob2, t->arena);
    const char *text = module_print(m, t->arena, &blob.sink);
    Module *again = module_parse(t->arena, &t->diag, "printed", text, blob.data, blob.bytes);
    if (!again) {
        complain(t, "what was printed does not parse", t->diag.all);
        return;
    }
    const char *difference = module_difference(t->arena, m, again);
    if (difference)
        complain(t, "parse(print(m)) is not m", arena_printf(t->arena, "%s\n%s", difference, text));
    const char *text2 = module_print(again, t->arena, &blob2.sink);
    if (strcmp(text, text2))
        complain(t, "the second print is not the first", arena_printf(t->arena, "%s--- against\n%s", text, text2));
}

static const char *dot_text(Test *t, Module *m)
{
    char path[] = "/tmp/irt_testXXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return "mkstemp failed\n";
    const char *text = module_dot(m, path, "dot") ? read_text(t->arena, path) : t->diag.all;
    remove(path);
    return text;
}

static const char *text_after_passes(Test *t, const Section *in, const char *passes)
{
    Module *m = parse_section(t, in);
    const char *name = passes;
    while (m && *name) {
        size_t n = strcspn(name, ",");
        if (!pass_run(m, arena_strn(t->arena, name, n)))
            return "";
        name += n + (name[n] == ',');
    }
    if (!m)
        return "";
    check_round_trip(t, m);
    return module_print(m, t->arena, NULL);
}

/* What a section should contain, from running the compiler. */
static const char *actual_of(Test *t, const Section *in, Module *m, const char *head)
{
    if (!strcmp(head, "out"))
        return m ? module_print(m, t->arena, NULL) : "";
    if (!strcmp(head, "err"))
        return t->diag.all;
    if (!strcmp(head, "dot"))
        return m ? dot_text(t, m) : "";
    if (!strncmp(head, "after ", 6))
        return text_after_passes(t, in, head + 6);
    complain(t, "there is no section named", arena_printf(t->arena, "%s\n", head));
    return "";
}

static bool is_in(const Test *t, int i)
{
    return !strcmp(t->section[i].head, "in");
}

/* Sections first..last-1, of which the first is `in`. */
static void run_case(Test *t, int first, int last, const char **actual)
{
    const Section *in = &t->section[first];
    Module *m = parse_section(t, in);
    bool wants_errors = false;
    for (int i = first + 1; i < last; i++)
        wants_errors |= !strcmp(t->section[i].head, "err");
    actual[first] = in->body;
    if (m)
        check_round_trip(t, m);
    else if (!wants_errors)
        complain(t, "does not parse", t->diag.all);
    if (last == first + 1)
        complain(t, arena_printf(t->arena, "line %d: a case that expects nothing", in->line), "\n");
    for (int i = first + 1; i < last; i++)
        actual[i] = actual_of(t, in, m, t->section[i].head);
}

static void compare(Test *t, const char *const *actual)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(actual[i], t->section[i].body))
            complain(t, arena_printf(t->arena, "line %d: section `%s` differs; it is", t->section[i].line, t->section[i].head), actual[i]);
}

static void bless(Test *t, const char *const *actual)
{
    FILE *f = fopen(t->path, "wb");
    if (!f) {
        complain(t, "cannot be blessed", "\n");
        return;
    }
    fputs(t->comment, f);
    for (int i = 0; i < t->n; i++)
        fprintf(f, "--- %s\n%s", t->section[i].head, actual[i]);
    fclose(f);
}

static bool load(Test *t, const char *path)
{
    *t = (Test){ .arena = arena_new(), .path = path, .name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, .comment = "" };
    const char *text = read_text(t->arena, path);
    if (!text || !split_sections(t, text) || !is_in(t, 0))
        complain(t, "is not a test: it needs a section `--- in` first", "\n");
    return !t->failed;
}

static bool run_file(const char *path, bool rewrite)
{
    Test t;
    const char *actual[MAX_SECTIONS] = { NULL };
    bool ok = load(&t, path);
    for (int i = 0, last; ok && i < t.n; i = last) {
        for (last = i + 1; last < t.n && !is_in(&t, last); last++)
            ;
        run_case(&t, i, last, actual);
    }
    if (ok && !rewrite)
        compare(&t, actual);
    if (ok && rewrite && !t.failed)
        bless(&t, actual);
    ok = !t.failed;
    arena_free(t.arena);
    return ok;
}

/* ---- coverage ---- */

enum { MAX_ATTRS = 32 };
typedef struct Coverage { bool op[OP_count], attr[OP_count][MAX_ATTRS]; } Coverage;

static void cover(Coverage *c, const Graph *g)
{
    FOR_EACH_NODE(n, g) {
        c->op[n->op] = true;
        FOR_EACH_ATTR(f, n->op) {
            const void *field = attr_at(f, n->attrs);
            c->attr[n->op][f - op_table[n->op].attr] |= !attr_is_default(f->kind, field);
            if (f->kind == AK_graph && *(Graph *const *)field)
                cover(c, *(Graph *const *)field);
        }
    }
}

static int report_coverage(const Coverage *c)
{
    int missing = 0;
    for (OpCode op = OP_none + 1; op < OP_count; op++) {
        if (!c->op[op] && !(op_table[op].flags & OPF_EW))
            missing++, printf("no test mentions the op %s\n", op_name(op));
        FOR_EACH_ATTR(f, op)
            if (c->op[op] && !c->attr[op][f - op_table[op].attr])
                missing++, printf("no test sets %s of %s\n", f->name, op_name(op));
    }
    return missing;
}

static int check_coverage(int n, char **paths)
{
    Coverage c = { { false }, { { false } } };
    for (int i = 0; i < n; i++) {
        Test t;
        bool ok = load(&t, paths[i]);
        for (int k = 0; ok && k < t.n; k++) {
            Module *m = is_in(&t, k) ? parse_section(&t, &t.section[k]) : NULL;
            if (m)
                cover(&c, m->graph);
        }
        arena_free(t.arena);
    }
    return report_coverage(&c) > 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc > 2 && !strcmp(argv[1], "--coverage"))
        return check_coverage(argc - 2, argv + 2);
    for (int i = 1; i < argc; i++)
        failed += !run_file(argv[i], getenv("BLESS") != NULL);
    printf("%d passed, %d failed\n", argc - 1 - failed, failed);
    return failed > 0 || argc < 2;
}
