/* choice.c -- see choice.h. */
#include "choice.h"

#include <string.h>

#include "text.h"

Choices *choices_new(Arena *a)
{
    Choices *c = ARENA_NEW(a, Choices);
    c->arena = a;
    return c;
}

/* ---- keys ---- */

static bool is_contraction(const Node *n)
{
    return n->op == OP_conv || n->op == OP_conv_transpose || n->op == OP_matmul;
}

static const Node *contraction_of(const Node *n)
{
    if (n->op == OP_fused)
        FOR_EACH_NODE(inner, NODE_ATTR(n, fused)->body)
            if (is_contraction(inner))
                return inner;
    return is_contraction(n) ? n : NULL;
}

/* What stays the same from the layout pass to code generation: pads and the padded input do not, the result and the weight do. */
const char *choice_key(Module *m, Arena *a, const char *what, const Node *owner)
{
    const Node *n = contraction_of(owner);
    if (!n)
        return NULL;
    const char *shapes = arena_printf(a, "%s %s %s %s", what, op_name(n->op), type_print(m, a, &node_out(n)->type), type_print(m, a, &node_in(n, 1)->type));
    if (n->op != OP_conv)
        return shapes;
    const Attr_conv *c = NODE_ATTR(n, conv);
    for (int i = 0; i < c->strides.n; i++)
        shapes = arena_printf(a, "%s%s%lld/%lld", shapes, i ? "," : " ", (long long)c->strides.v[i], c->dilations.n ? (long long)c->dilations.v[i] : 1);
    return c->group == 1 ? shapes : arena_printf(a, "%s group %lld", shapes, (long long)c->group);
}

/* ---- the table ---- */

Choice *choice_find(Choices *c, const char *key)
{
    for (int i = 0; c && key && i < c->n; i++)
        if (!strcmp(c->item[i].key, key))
            return &c->item[i];
    return NULL;
}

static Choice *find_or_add(Choices *c, const char *key)
{
    Choice *found = choice_find(c, key);
    if (found)
        return found;
    if (c->n == c->room) {
        Choice *grown = ARENA_ARRAY(c->arena, Choice, c->room ? 2 * c->room : 64);
        if (c->n)
            memcpy(grown, c->item, sizeof *grown * (size_t)c->n);
        c->item = grown, c->room = c->room ? 2 * c->room : 64;
    }
    c->item[c->n] = (Choice){ .key = arena_str(c->arena, key) };
    return &c->item[c->n++];
}

static int position(const Choice *x, const char *candidate)
{
    for (int i = 0; candidate && i < x->n; i++)
        if (!strcmp(x->candidate[i], candidate))
            return i;
    return 0;
}

bool choice_is_kind(const char *key, const char *what)
{
    size_t n = what ? strlen(what) : 0;
    return n && !strncmp(key, what, n) && key[n] == ' ';
}

int choice_make(Choices *c, const char *key, int n, const char *const *candidate)
{
    if (!c || !key || n < 1)
        return 0;
    Choice *x = find_or_add(c, key);
    x->n = n < CHOICE_MAX ? n : CHOICE_MAX;
    for (int i = 0; i < x->n; i++)
        x->candidate[i] = arena_str(c->arena, candidate[i]);
    if (choice_is_kind(key, c->trying))
        x->used = c->round < x->n ? c->round : 0;
    else
        x->used = position(x, x->decided);
    return x->used;
}

void choice_decide(Choices *c, const char *key, const char *candidate)
{
    find_or_add(c, key)->decided = arena_str(c->arena, candidate);
}

/* ---- the file ---- */

void choices_write(const Choices *c, FILE *f)
{
    for (int i = 0; i < c->n; i++)
        if (c->item[i].n && position(&c->item[i], c->item[i].decided))
            fprintf(f, "%s = %s\n", c->item[i].key, c->item[i].decided);
}

bool choices_read_line(Choices *c, char *line)
{
    char *equals = strstr(line, " = ");
    line[strcspn(line, "\n")] = 0;
    if (!equals || equals == line || !equals[3])
        return false;
    *equals = 0;
    choice_decide(c, line, equals + 3);
    return true;
}
