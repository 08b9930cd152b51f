/* rules.c -- the rule driver: reads the patterns, tries every rule on every node, again until nothing changes. What a pattern may say is in rules.h.
 *
 * New nodes are made just before the node they replace and folded at once where their operands are constant. A rule that did not apply leaves no
 * trace; one that did has used fuel, and what it made superfluous is gone.
 *
 * Needs: typed. Keeps: everything. Gives: canonical.
 */
#include "rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "pass_util.h"

enum { MAX_ARGS = 4, MAX_RULES = 256 };

const Rule *const rule_sets[] = { rules_algebra, rules_shape, rules_splat, rules_conv, NULL };

typedef enum PatKind { P_VALUE, P_CONSTANT, P_NUMBER, P_ABSENT, P_OP, P_ELEMENTWISE } PatKind;

typedef struct Pat {
    PatKind kind;
    OpCode op;
    double number;
    const char *name;               /* of a value or node, NULL: none */
    bool single_use, any_operands;
    int nargs;
    struct Pat *arg[MAX_ARGS];
} Pat;

typedef struct Compiled {
    const Rule *rule;
    Pat *from, *to;
} Compiled;

typedef struct Rules {
    Module *m;
    Arena *arena;
    Compiled rule[MAX_RULES];
    int n, applied, limit;
} Rules;

/* ---- reading patterns ---- */

static void skip_blanks(const char **s)
{
    while (**s == ' ' || **s == ',')
        ++*s;
}

static const char *read_word(Arena *a, const char **s)
{
    const char *from = *s;
    while (isalnum((unsigned char)**s) || **s == '_')
        ++*s;
    return arena_strn(a, from, (size_t)(*s - from));
}

static Pat *read_pattern(Arena *a, const char **s);

static void read_operands(Arena *a, const char **s, Pat *p)
{
    ++*s;
    for (skip_blanks(s); **s && **s != ')'; skip_blanks(s))
        if (!strncmp(*s, "...", 3)) {
            p->any_operands = true;
            *s += 3;
        } else if (p->nargs == MAX_ARGS || !(p->arg[p->nargs++] = read_pattern(a, s))) {
            return;
        }
    *s += **s == ')';
}

/* NULL: not a pattern. Rules are part of the program, so this is for the test that reads them all. */
static Pat *read_pattern(Arena *a, const char **s)
{
    Pat *p = ARENA_NEW(a, Pat);
    char *end;
    skip_blanks(s);
    if (**s == '?' || **s == '$') {
        p->kind = *(*s)++ == '?' ? P_VALUE : P_CONSTANT;
        p->name = read_word(a, s);
        return p;
    }
    p->number = strtod(*s, &end);
    if (end != *s) {
        p->kind = P_NUMBER;
        *s = end;
        return p;
    }
    const char *op = read_word(a, s);
    p->kind = !strcmp(op, "_") ? P_ABSENT : !strcmp(op, "ew") ? P_ELEMENTWISE : P_OP;
    p->op = p->kind == P_OP ? op_from_name(op, strlen(op)) : OP_none;
    if (p->kind == P_ABSENT)
        return p;
    if (**s == ':' && ++*s)
        p->name = read_word(a, s);
    if (**s == '!' && ++*s)
        p->single_use = true;
    if (**s != '(' || (p->kind == P_OP && !p->op))
        return NULL;
    read_operands(a, s, p);
    return p;
}

static bool compile(Rules *r, const Rule *rule)
{
    const char *from = rule->pattern, *to = rule->replacement;
    Compiled c = { .rule = rule, .from = read_pattern(r->arena, &from), .to = to ? read_pattern(r->arena, &to) : NULL };
    bool ok = r->n < MAX_RULES && c.from && !*from && (to ? c.to && !*to : rule->build != NULL);
    if (!ok)
        return diag_error(r->m->diag, (Loc){ .file = r->m->file }, "internal error: rule %s cannot be read", rule->name);
    r->rule[r->n++] = c;
    return true;
}

/* ---- matching ---- */

Value *match_value(const Match *x, const char *name)
{
    for (int i = 0; i < x->nvals; i++)
        if (!strcmp(x->val_name[i], name))
            return x->val[i];
    return NULL;
}

Node *match_node(const Match *x, const char *name)
{
    for (int i = 0; i < x->nnodes; i++)
        if (!strcmp(x->node_name[i], name))
            return x->node[i];
    return NULL;
}

static bool bind_value(Match *x, const char *name, Value *v)
{
    Value *bound = match_value(x, name);
    if (bound || x->nvals == RULE_NAMES)
        return bound == v;
    x->val_name[x->nvals] = name;
    x->val[x->nvals++] = v;
    return true;
}

static bool bind_node(Match *x, const char *name, Node *n)
{
    if (x->nnodes == RULE_NAMES)
        return false;
    x->node_name[x->nnodes] = name;
    x->node[x->nnodes++] = n;
    return true;
}

static bool match_node_pattern(Match *x, const Pat *p, Node *n);

static bool match_operand(Match *x, const Pat *p, Value *v)
{
    double number;
    if (!v || p->kind == P_ABSENT)
        return !v && p->kind == P_ABSENT;
    switch (p->kind) {
    case P_VALUE: return bind_value(x, p->name, v);
    case P_CONSTANT: return value_constant(v) && bind_value(x, p->name, v);
    case P_NUMBER: return value_scalar_f64(v, &number) && number == p->number;
    default: return (!p->single_use || value_only_user(v)) && match_node_pattern(x, p, v->def);
    }
}

static bool match_in_order(Match *x, const Pat *p, const Node *n, const int *order)
{
    for (int i = 0; i < p->nargs; i++)
        if (!match_operand(x, p->arg[i], node_in(n, order[i])))
            return false;
    return true;
}

static bool match_node_pattern(Match *x, const Pat *p, Node *n)
{
    if (n->nout != 1 || (p->kind == P_ELEMENTWISE ? !op_is_elementwise(n->op) : n->op != p->op))
        return false;
    if (p->name && !bind_node(x, p->name, n))
        return false;
    for (int i = p->nargs; !p->any_operands && i < n->nin; i++)
        if (n->in[i].val)
            return false;
    Match before = *x;
    if (match_in_order(x, p, n, (int[]){ 0, 1, 2, 3 }))
        return true;
    if (!op_commutes(n->op) || p->nargs != 2)
        return false;
    *x = before;
    return match_in_order(x, p, n, (int[]){ 1, 0 });
}

/* ---- building ---- */

static Value *build_pattern(Match *x, const Pat *p);

static Value *build_node_pattern(Match *x, const Pat *p)
{
    Value *in[MAX_ARGS] = { NULL }, *like = NULL;
    for (int i = 0; i < p->nargs; i++)
        if (p->arg[i]->kind != P_NUMBER && (in[i] = build_pattern(x, p->arg[i])) && !like)
            like = in[i];
    for (int i = 0; i < p->nargs; i++)
        if (p->arg[i]->kind == P_NUMBER)
            in[i] = mk_k(&x->b, like, p->arg[i]->number);
    Node *model = p->name ? match_node(x, p->name) : NULL;
    return build_op(&x->b, p->op, (Inputs){ p->nargs, in }, model ? model->attrs : NULL);
}

static Value *build_pattern(Match *x, const Pat *p)
{
    return p->kind == P_OP ? build_node_pattern(x, p) : match_value(x, p->name);
}

static Value *build_replacement(Match *x, const Compiled *c)
{
    Arena *quiet = arena_new();
    Diag *said = x->m->diag, mute;
    diag_init(&mute, quiet, NULL);
    x->m->diag = &mute;                             /* what cannot be built does not apply */
    Value *v = c->to ? build_pattern(x, c->to) : c->rule->build(x);
    x->m->diag = said;
    arena_free(quiet);
    return v;
}

/* ---- applying ---- */

static void erase_unused_between(const Node *after, Node *before)
{
    for (Node *n = before->prev, *prev; n != after; n = prev) {
        prev = n->prev;
        if (!n->nout || !node_out(n)->uses)
            node_erase(n);
    }
}

static void fold_between(Module *m, Node *first, const Node *end)
{
    for (Node *n = first, *next; n && n != end; n = next) {
        next = n->next;
        Value *k = n->nout == 1 && node_out(n)->uses ? fold_node(m, n) : NULL;
        if (k)
            value_replace(node_out(n), k);
    }
}

static bool apply(Rules *r, const Compiled *c, Node *n)
{
    Match x = { .m = r->m, .root = n, .b = { r->m, n->graph, n, n->loc } };
    if (!match_node_pattern(&x, c->from, n) || (c->rule->when && !c->rule->when(&x)))
        return false;
    Node *marker = n->prev;
    Value *v = build_replacement(&x, c);
    if (!v || v == node_out(n) || !type_equal(&v->type, &node_out(n)->type) || !rewrite_allowed(r->m, c->rule->name, n)) {
        erase_unused_between(marker, n);
        return false;
    }
    value_replace(node_out(n), v);
    fold_between(r->m, marker ? marker->next : n->graph->first, n);
    erase_unused_between(marker, n);
    node_erase_dead(n);
    r->applied++;
    return true;
}

static bool apply_any(Rules *r, Node *n)
{
    for (int i = 0; n->nout == 1 && node_out(n)->uses && i < r->n; i++) {
        const Pat *p = r->rule[i].from;
        if ((p->op == n->op || (p->kind == P_ELEMENTWISE && op_is_elementwise(n->op))) && apply(r, &r->rule[i], n))
            return true;
    }
    return false;
}

static bool sweep(Rules *r, Graph *g)
{
    bool changed = false;
    FOR_EACH_NODE_SAFE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = 0, count = node_bodies(n, body); i < count; i++)
            changed |= sweep(r, body[i]);
        if (r->applied < r->limit)
            changed |= apply_any(r, n);
    }
    return changed;
}

bool pass_rules(Module *m)
{
    Rules *r = &(Rules){ .m = m, .arena = arena_new(), .limit = 1000 + 20 * graph_count_nodes(m->graph) };
    bool ok = true;
    for (int s = 0; rule_sets[s]; s++)
        for (const Rule *rule = rule_sets[s]; rule->name; rule++)
            ok &= compile(r, rule);
    while (ok && sweep(r, m->graph))
        ;
    if (ok && r->applied >= r->limit)
        ok = diag_error(m->diag, (Loc){ .file = m->file }, "internal error: the rewrite rules do not come to an end; the last was %s", m->last_rewrite);
    arena_free(r->arena);
    return ok;
}
