/* options.c -- see options.h. getopt_long does the parsing; the messages are ours. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_BASE = 256 };                       /* LONG_BASE + row: what getopt_long returns for a long option */

int options_misuse(const Command *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s %s: ", c->program, c->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, " (see '%s %s --help')\n", c->program, c->name);
    va_end(ap);
    return 2;
}

bool options_split(const char *text, const char **value, size_t *name_bytes)
{
    const char *eq = strrchr(text, '=');
    if (!eq || eq == text)
        return false;
    *value = eq + 1;
    *name_bytes = (size_t)(eq - text);
    return true;
}

/* Levenshtein distance, row by row; words longer than the row count as far. */
static int distance(const char *a, const char *b)
{
    int row[32], n = (int)strlen(b);
    if (n >= 32)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int replace = corner + (*a != b[j - 1]), skip = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            corner = row[j];
            row[j] = replace < skip ? replace : skip;
        }
    }
    return row[n];
}

const char *options_nearest(const char *word, const void *names, size_t stride)
{
    const char *best = NULL, *name;
    int least = 3;                              /* more than two slips is another word */
    for (const char *p = names; memcpy(&name, p, sizeof name), name; p += stride) {
        int d = distance(word, name);
        if (d < least) {
            least = d;
            best = name;
        }
    }
    return best;
}

static void print_help(const Command *c, const Option *table)
{
    printf("usage: %s %s %s [options]\n\n%s\n\n", c->program, c->name, c->operands, c->summary);
    for (const Option *o = table; o->name; o++) {
        char left[64];
        int n = o->letter ? snprintf(left, sizeof left, "-%c, ", o->letter) : snprintf(left, sizeof left, "    ");
        snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-30s %s\n", left, o->help);
    }
    printf("      %-26s %s\n", "--help", "this text");
}

static int unknown_option(const Command *c, const Option *table, const char *word)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    const char *near = name[0] == '-' && name[1] == '-' ? options_nearest(name + 2, table, sizeof *table) : NULL;
    return near ? options_misuse(c, "unknown option '%s'; did you mean '--%s'?", name, near) : options_misuse(c, "unknown option '%s'", name);
}

/* False: not a number, or too many of a list. */
static bool store(const Option *o, const char *text)
{
    if (o->kind == OPT_FLAG)
        *(bool *)o->to = true;
    else if (o->kind == OPT_TEXT)
        *(const char **)o->to = text;
    else if (o->kind == OPT_LIST) {
        TextList *list = o->to;
        if (list->n == MAX_LIST)
            return false;
        list->v[list->n++] = text;
    } else {
        char *end;
        errno = 0;
        long long x = strtoll(text, &end, 10);
        if (errno || end == text || *end || x < 0)
            return false;
        *(int64_t *)o->to = x;
    }
    return true;
}

/* The tables of getopt: long names return LONG_BASE + row, letters themselves; a leading ':' makes it tell a missing value from an unknown name. */
static int fill_getopt(const Option *table, struct option *longs, char *letters)
{
    int n = 0;
    *letters++ = ':';
    for (; table[n].name; n++) {
        longs[n] = (struct option){ table[n].name, table[n].kind == OPT_FLAG ? no_argument : required_argument, NULL, LONG_BASE + n };
        if (table[n].letter) {
            *letters++ = table[n].letter;
            if (table[n].kind != OPT_FLAG)
                *letters++ = ':';
        }
    }
    *letters = 0;
    longs[n] = (struct option){ "help", no_argument, NULL, LONG_BASE + n };
    longs[n + 1] = (struct option){ 0 };
    return n;
}

static const Option *option_of(const Option *table, int n, int code)
{
    for (int i = 0; i < n; i++)
        if (code == LONG_BASE + i || (table[i].letter && code == table[i].letter))
            return &table[i];
    return NULL;
}

/* longs, letters: room for the table's rows. As options_parse. */
static int parse_with(const Command *c, const Option *table, int argc, char **argv, struct option *longs, char *letters)
{
    int n = fill_getopt(table, longs, letters), code;
    opterr = 0;
    optind = 0;                                 /* start afresh */
    while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const Option *o = option_of(table, n, code);
        if (code == LONG_BASE + n)
            return print_help(c, table), 0;
        if (code == ':')
            return options_misuse(c, "option '%s' needs a value", argv[optind - 1]);
        if (!o)
            return unknown_option(c, table, argv[optind - 1]);
        if (!store(o, optarg))
            return options_misuse(c, o->kind == OPT_LIST ? "option '--%s' is given too often ('%s')" : "option '--%s' needs a number, not '%s'",
                                  o->name, optarg);
    }
    return -1;
}

int options_parse(const Command *c, const Option *table, int argc, char **argv, Operands *operands)
{
    size_t rows = 0;
    while (table[rows].name)
        rows++;
    struct option *longs = malloc((rows + 2) * sizeof *longs);
    char *letters = malloc(2 * rows + 2);
    int status = longs && letters ? parse_with(c, table, argc, argv, longs, letters) : options_misuse(c, "no memory left");
    free(longs);
    free(letters);
    if (status >= 0)
        return status;
    *operands = (Operands){ argc - optind, argv + optind };
    if (operands->n < c->min_operands)
        return options_misuse(c, "%s is missing", c->operands);
    if (c->max_operands >= 0 && operands->n > c->max_operands)
        return options_misuse(c, "'%s' is one argument too many", operands->v[c->max_operands]);
    return -1;
}

static int print_usage(FILE *out, const char *program, const char *about, const Subcommand *table, int status)
{
    fprintf(out, "usage: %s COMMAND ... [options]\n\n%s\n\n", program, about);
    for (const Subcommand *s = table; s->name; s++)
        fprintf(out, "  %-10s %s\n", s->name, s->summary);
    fprintf(out, "\n'%s COMMAND --help' lists the options of a command.\n", program);
    return status;
}

static int run_subcommand(const char *program, const char *about, const Subcommand *table, int argc, char **argv)
{
    if (argc < 2)
        return print_usage(stderr, program, about, table, 2);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
        return print_usage(stdout, program, about, table, 0);
    if (!strcmp(argv[1], "--version"))
        return printf("%s " INGOT_VERSION "\n", program), 0;
    for (const Subcommand *s = table; s->name; s++)
        if (!strcmp(argv[1], s->name))
            return s->main(argc - 1, argv + 1);
    const char *near = options_nearest(argv[1], table, sizeof *table);
    fprintf(stderr, near ? "%s: unknown command '%s'; did you mean '%s'? (see '%s --help')\n" : "%s: unknown command '%s'%s (see '%s --help')\n",
            program, argv[1], near ? near : "", program);
    return 2;
}

int options_dispatch(const char *program, const char *about, const Subcommand *table, int argc, char **argv)
{
    int status = run_subcommand(program, about, table, argc, argv);
    if (!fflush(stdout) && !ferror(stdout))
        return status;
    fprintf(stderr, "error: standard output: %s\n", strerror(errno));
    return 1;
}
