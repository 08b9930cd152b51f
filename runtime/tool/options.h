/* options.h -- command-line options: one table per command gives both the parser and --help. */
#ifndef INGOT_OPTIONS_H
#define INGOT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum OptionKind {
    OPT_FLAG,                       /* bool */
    OPT_INT,                        /* int64_t, not negative */
    OPT_TEXT,                       /* const char * */
    OPT_LIST                        /* TextList; may be given several times */
} OptionKind;

enum { MAX_LIST = 256 };

typedef struct TextList {
    int n;
    const char *v[MAX_LIST];        /* borrowed from argv */
} TextList;

/* What is left of argv when the options are taken out. */
typedef struct Operands {
    int n;
    char **v;
} Operands;

typedef struct Option {
    const char *name;               /* long name; NULL ends the table */
    char letter;                    /* short name or 0 */
    OptionKind kind;
    const char *value;              /* what --help calls the value; NULL for a flag */
    const char *help;
    void *to;                       /* of the kind's type; holds the default */
} Option;

#define OPTIONS_END { NULL, 0, OPT_FLAG, NULL, NULL, NULL }

typedef struct Command {
    const char *program;            /* "ingot" */
    const char *name;               /* "run" */
    const char *operands;           /* "MODEL.so"; for --help */
    const char *summary;
    int min_operands, max_operands; /* max -1: any number */
} Command;

/* Parse argv[1..]. Operands go to *operands. Returns -1 to go on; otherwise the exit status: 0 after --help, 2 after a sentence on stderr. */
int options_parse(const Command *c, const Option *table, int argc, char **argv, Operands *operands);
/* A sentence about wrong usage, with a hint to --help; returns 2. */
int options_misuse(const Command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
typedef struct Subcommand {
    const char *name;               /* NULL ends the table */
    int (*main)(int argc, char **argv);
    const char *summary;
} Subcommand;

/* The main of a program with subcommands: --help, --version, argv[1]'s function. Returns the exit status; it is 1 after a sentence if what was
 * printed on stdout did not get out (a full disk). */
int options_dispatch(const char *program, const char *about, const Subcommand *table, int argc, char **argv);

/* "NAME=VALUE", split at the last '='. False: no '=' or an empty name. */
bool options_split(const char *text, const char **value, size_t *name_bytes);
/* The name closest to a mistyped word, or NULL if none is close; names end with NULL, each `stride` bytes apart. */
const char *options_nearest(const char *word, const void *names, size_t stride);

#endif
