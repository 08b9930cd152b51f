/* ops_doc.c -- the tables of ops in docs/ir.md, made from ir/ops.def: signatures from the table itself, meanings from the comments at its rows.
 *
 *   ingot-ops-doc ir/ops.def docs/ir.md             writes them between the lines <!-- ops --> and <!-- end of ops -->
 *   ingot-ops-doc --check ir/ops.def docs/ir.md     fails if they are not what it would write (a test)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attrs.h"
#include "strbuf.h"

#define BEGIN "<!-- ops -->\n"
#define END_MARK "<!-- end of ops -->\n"

static const char *const formula_text[OP_count] = {
#define EW(name, arity, types, result, formula) [OP_##name] = #formula,
#include "ops.def"
};

static const char *read_text(Arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    StrBuf b = strbuf_new(a);
    char chunk[4096];
    if (!f) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0; )
        strbuf_add_n(&b, chunk, n);
    fclose(f);
    return b.text;
}

/* ---- meanings: the comment above a row, then the one behind it ---- */

static void add_markdown(StrBuf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strchr("*_|[]", s[i]))
            strbuf_add(b, "\\");
        if (s[i] == '<')
            strbuf_add(b, "&lt;");
        else
            strbuf_add_n(b, &s[i], 1);
    }
}

/* The text of a comment line without its marks, appended as a sentence. */
static void add_comment(StrBuf *b, const char *s, size_t n)
{
    while (n && strchr("/* \t", *s))
        s++, n--;
    while (n && strchr("/* \t\r", s[n - 1]))
        n--;
    if (n && b->len)
        strbuf_add(b, " ");
    add_markdown(b, s, n);
}

static const char *row_op(const char *line, size_t *n)
{
    static const char *const begins[] = { "EW(", "OP(", "KOP(" };
    for (int i = 0; i < 3; i++)
        if (!strncmp(line, begins[i], strlen(begins[i]))) {
            line += strlen(begins[i]);
            *n = strcspn(line, ", ");
            return line;
        }
    return NULL;
}

static void collect_meanings(Arena *a, const char *def, const char **meaning)
{
    StrBuf above = strbuf_new(a);
    bool in_comment = false;
    for (const char *line = def; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t n = strcspn(line, "\n"), len;
        const char *name = row_op(line, &len), *behind = strstr(line, "/*");
        bool heading = !strncmp(line, "/* ----", 7) || !strncmp(line, "/*  name", 8);
        if (name) {
            OpCode op = op_from_name(name, len);
            if (behind && behind < line + n)
                add_comment(&above, behind, (size_t)(line + n - behind));
            meaning[op] = above.text;
        } else if (in_comment || (!strncmp(line, "/*", 2) && !heading)) {
            add_comment(&above, line, n);
            in_comment = !memmem(line, n, "*/", 2);
            continue;
        }
        above = strbuf_new(a);
    }
}

/* ---- the tables ---- */

static const char *types_text(EwTypes t)
{
    static const char *const text[] = { [EWT_NUM] = "numbers", [EWT_FLT] = "floats", [EWT_INT] = "integers", [EWT_BOOL] = "bool",
                                        [EWT_ANY] = "numbers, bool" };
    return text[t];
}

static void add_elementwise(StrBuf *b, const char *const *meaning)
{
    strbuf_add(b, "| op | operands | of | result | formula | |\n|---|---|---|---|---|---|\n");
    for (OpCode op = OP_none + 1; op < OP_count; op++) {
        const OpInfo *info = &op_table[op];
        if (!(info->flags & OPF_EW))
            continue;
        strbuf_printf(b, "| `%s` | %d | %s | %s | `%s` | %s |\n", info->name, info->min_in, types_text(info->ew_types),
                      info->ew_result == EWR_BOOL ? "bool" : info->ew_result == EWR_SECOND ? "as operand 1" : "same", formula_text[op],
                      meaning[op] ? meaning[op] : "");
    }
}

static const char *count_text(Arena *a, int least, int most)
{
    if (most < 0)
        return arena_printf(a, least > 0 ? "%d or more" : "any", least);
    return least == most ? arena_printf(a, "%d", least) : arena_printf(a, "%d to %d", least, most);
}

static void add_flags(StrBuf *b, unsigned flags)
{
    static const struct { unsigned flag; const char *word; } words[] = {
        { OPF_KERNEL, "kernel" }, { OPF_EFFECT, "effect" }, { OPF_VIEW, "view" }, { OPF_MOVE, "move" }, { OPF_REGION, "region" }, { OPF_SIZES, "sizes" } };
    bool any = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (flags & words[i].flag) {
            strbuf_printf(b, "%s%s", any ? ", " : "", words[i].word);
            any = true;
        }
}

static void add_structural(StrBuf *b, const char *const *meaning)
{
    strbuf_add(b, "\n| op | operands | results | attributes | | |\n|---|---|---|---|---|---|\n");
    for (OpCode op = OP_none + 1; op < OP_count; op++) {
        const OpInfo *info = &op_table[op];
        bool first = true;
        if (info->flags & OPF_EW)
            continue;
        strbuf_printf(b, "| `%s` | %s | %s | ", info->name, count_text(b->arena, info->min_in, info->max_in),
                      info->nout < 0 ? "any" : count_text(b->arena, info->nout, info->nout));
        FOR_EACH_ATTR(f, op) {
            strbuf_printf(b, "%s`%s` %s", first ? "" : ", ", f->name, attr_kind_name(f->kind));
            first = false;
        }
        strbuf_add(b, " | ");
        add_flags(b, info->flags);
        strbuf_printf(b, " | %s |\n", meaning[op] ? meaning[op] : "");
    }
}

int main(int argc, char **argv)
{
    bool check = argc == 4 && !strcmp(argv[1], "--check");
    if (argc != 3 + check) {
        fprintf(stderr, "usage: ingot-ops-doc [--check] ir/ops.def docs/ir.md\n");
        return 2;
    }
    Arena *a = arena_new();
    const char *path = argv[2 + check], *page = read_text(a, path), *meaning[OP_count] = { NULL };
    const char *begin = strstr(page, BEGIN), *end = strstr(page, END_MARK);
    if (!begin || !end) {
        fprintf(stderr, "%s has no lines %sand %s", path, BEGIN, END_MARK);
        return 1;
    }
    StrBuf b = strbuf_new(a);
    collect_meanings(a, read_text(a, argv[1 + check]), meaning);
    strbuf_add_n(&b, page, (size_t)(begin - page) + strlen(BEGIN));
    add_elementwise(&b, meaning);
    add_structural(&b, meaning);
    strbuf_add(&b, end);
    bool same = !strcmp(page, b.text);
    FILE *f = check || same ? NULL : fopen(path, "wb");
    if (f) {
        fputs(b.text, f);
        fclose(f);
    } else if (!same)
        fprintf(stderr, "%s: the tables of ops are not those of ops.def; ingot-ops-doc %s %s writes them\n", path, argv[1 + check], path);
    arena_free(a);
    return !same && !f;
}
