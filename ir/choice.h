/* choice.h -- decisions that may be made by measuring: which of several ways computes a layer.
 *
 * Whoever has several ways to do something (a pass, a generator) lists them as text, what its cost model prefers first, and asks choice_make. Usually
 * nothing is decided, and the answer is the first. `ingot compile --tune` (driver/tune.c) makes the table: it lets each question try its candidates,
 * times them, and writes what was fastest into a file (choices_write), from which the same model is compiled the same way again.
 *
 * A layer is known by its shape, not its name: choice_key. Equal layers of a model share decisions.
 */
#ifndef INGOT_CHOICE_H
#define INGOT_CHOICE_H

#include <stdio.h>

#include "ir.h"

enum { CHOICE_MAX = 16 };

typedef struct Choice {
    const char *key;                /* "algorithm conv f32[1,56,56,64] f32[64,64,3,3] {...}": what, and of which layer */
    const char *decided;            /* a candidate; NULL: the first */
    int n;                          /* candidates when it was last asked, 0: not in this run */
    const char *candidate[CHOICE_MAX];
    int used;                       /* what the last answer was */
} Choice;

typedef struct Choices {
    Arena *arena;
    int n, room;
    Choice *item;                   /* in the order of first mention */
    const char *trying;             /* questions of this kind (first word of the key) answer candidate number `round`, or the first; NULL: none */
    int round;
} Choices;

Choices *choices_new(Arena *a);
/* Question `what` about the contraction (conv, conv_transpose, matmul) of a node, or in the body of a fused one. NULL: it has none. */
const char *choice_key(Module *m, Arena *a, const char *what, const Node *n);
/* Which of 1 <= n <= CHOICE_MAX candidates to use. c NULL (nothing is tuned), key NULL, or a decision that is no candidate: the first. */
int choice_make(Choices *c, const char *key, int n, const char *const *candidate);
/* Whether the key is of a question of this kind. */
bool choice_is_kind(const char *key, const char *what);
Choice *choice_find(Choices *c, const char *key);                   /* NULL: never asked, not in the file */
void choice_decide(Choices *c, const char *key, const char *candidate);

/* As lines `key = candidate`, only those that were asked in this run and differ from the first; and back. A line that is not of that form: false. */
void choices_write(const Choices *c, FILE *f);
bool choices_read_line(Choices *c, char *line);

#endif
