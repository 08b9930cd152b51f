/* rules.h -- rewrite rules as text.
 *
 *     { "neg_neg", "neg(neg(?x))", "?x" },
 *     { "pow_half", "pow(?x, 0.5)", "sqrt(?x)", is_never_negative },
 *
 * A pattern describes a node with one result:
 *     ?x         any value; the same variable twice is the same value
 *     $k         any constant
 *     0.5        a constant all of whose elements are this number
 *     _          an optional operand that is absent
 *     op(a, b)   a node of that op with these operands; where the op commutes, in either order
 *     op(...)    with any operands
 *     ew(...)    any elementwise op
 *     op:n(a)    a node that the rule refers to as n
 *     op!(a)     one whose result nobody else uses
 * The replacement is written the same way; numbers take the element type of the operand beside them, an op:n takes the attributes of n. Or it is a
 * function that builds it, and returns NULL if the rule does not apply after all.
 *
 * Contract of a rule: the value keeps its type (the driver checks: where the types differ the rule does not apply, so `add(?x, 0)` -> `?x` need not
 * ask whether the zero broadcasts x) and its NaNs (not the sign of a zero); the code is never worse; one direction only, so that rules terminate.
 * What needs to weigh costs is a pass. Every rule has a test tests/rules/<name>.irt.
 */
#ifndef INGOT_RULES_H
#define INGOT_RULES_H

#include "build.h"
#include "pass.h"

enum { RULE_NAMES = 8 };

typedef struct Match {
    Module *m;
    Builder b;                      /* builds before the matched node */
    Node *root;
    int nvals, nnodes;
    const char *val_name[RULE_NAMES], *node_name[RULE_NAMES];
    Value *val[RULE_NAMES];
    Node *node[RULE_NAMES];
} Match;

typedef struct Rule {
    const char *name, *pattern;
    const char *replacement;                /* NULL: build */
    bool (*when)(const Match *x);           /* NULL: always */
    Value *(*build)(Match *x);
} Rule;

Value *match_value(const Match *x, const char *name);       /* of ?name or $name; it must be in the pattern */
Node *match_node(const Match *x, const char *name);

/* The sets; each ends with a rule without a name. */
extern const Rule rules_algebra[], rules_shape[], rules_conv[], rules_splat[];
extern const Rule *const rule_sets[];                       /* ends with NULL */

#endif
