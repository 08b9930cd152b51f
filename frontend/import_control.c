/* import_control.c -- If. Where its branches return tensors of other sizes it becomes two loops of one iteration at most. */
#include "import_loop.h"

#include <string.h>

static bool run_here(Importer *c, const char *branch)
{
    int n = region_results(c, branch);
    Value **v = ARENA_ARRAY(c->m->arena, Value *, n + 1);
    if (n < out_count(c))
        return import_fail(c, "%s has %d results for %d outputs", branch, n, out_count(c));
    if (!import_region_inline(c, branch, n, v))
        return false;
    for (int i = 0; i < out_count(c); i++)
        if (!set_out(c, i, v[i]))
            return false;
    return true;
}

static bool same_ranks(const Graph *yes, const Graph *no)
{
    const Node *a = graph_return(yes), *b = graph_return(no);
    for (int i = 0; i < a->nin; i++)
        if (a->in[i].val->type.rank != b->in[i].val->type.rank)
            return false;
    return true;
}

static bool has_one_element(const Type *t)
{
    bool one = t->kind == TY_TENSOR && t->rank >= 0;
    for (int i = 0; one && i < t->rank; i++)
        one = dim_is(t->dim[i], 1);
    return one;
}

/* A number that is a scalar in one branch and has axes in the other gets the axes. */
static void unite_single_elements(Importer *c, Graph *yes, Graph *no)
{
    Node *ret[] = { graph_return(yes), graph_return(no) };
    for (int i = 0; i < ret[0]->nin; i++) {
        const Type *t[] = { &ret[0]->in[i].val->type, &ret[1]->in[i].val->type };
        int low = t[0]->rank < t[1]->rank ? 0 : 1;
        if (t[0]->rank == t[1]->rank || !has_one_element(t[0]) || !has_one_element(t[1]))
            continue;
        Builder at = { .m = c->m, .g = ret[low]->graph, .before = ret[low], .loc = c->b.loc };
        Value *v = mk_reshape_to(&at, ret[low]->in[i].val, t[1 - low]->rank, t[1 - low]->dim);
        if (v)
            node_set_input(ret[low], i, v);
    }
}

/* Exporters write x.squeeze(k) of a size they do not know as If(size == 1, Squeeze, Identity). No tensor type covers both, and the program the
 * model was made from squeezed: so the sizes are required to be equal, which is checked at run time, and the first branch is taken. */
static bool run_if_equal(Importer *c, const Value *condition)
{
    const Node *eq = condition->def;
    while (eq->op == OP_reshape)
        eq = node_in(eq, 0)->def;
    const DimVec *left = eq->op == OP_eq ? node_in(eq, 0)->known : NULL, *right = left ? node_in(eq, 1)->known : NULL;
    if (!right || left->n != 1 || right->n != 1)
        return import_unsupported(c, "a result whose rank depends on data");
    Attr_check a = { .left = *left, .right = *right };
    a.message = arena_printf(c->m->arena, "If '%s': only sizes that satisfy the condition are supported", c->b.loc.node);
    return build_node(&c->b, OP_check, IN_NONE, &a, 0) && run_here(c, "then_branch");
}

/* Sequences whose items differ in type get one that fits both. */
static void unite_containers(Importer *c, Graph *yes, Graph *no)
{
    Node *ret[] = { graph_return(yes), graph_return(no) };
    for (int i = 0; i < ret[0]->nin; i++) {
        Type *a = &node_in(ret[0], i)->type, *b = &node_in(ret[1], i)->type, both;
        if (a->kind == TY_TENSOR || type_equal(a, b) || !type_of_items(c->m, a, b, &both))
            continue;
        for (int k = 0; k < 2; k++) {
            Builder at = { .m = c->m, .g = ret[k]->graph, .before = ret[k], .loc = c->b.loc };
            Value *v = mk_as_type(&at, node_in(ret[k], i), &both);
            if (v)
                node_set_input(ret[k], i, v);
        }
    }
}

/* ---- results whose size depends on the branch ---- */

/* Sizes that a branch makes of its data have their meaning there only. */
typedef struct Inside { int first; bool found; } Inside;

static void see_inside(void *ctx, int sym)
{
    Inside *in = ctx;
    in->found |= sym >= in->first;
}

static bool is_inside(Dim d, int first_symbol)
{
    Inside in = { first_symbol, false };
    dim_symbols_used(d, see_inside, &in);
    return in.found;
}

static bool same_sizes(const Graph *yes, const Graph *no, int first_symbol)
{
    const Node *a = graph_return(yes), *b = graph_return(no);
    for (int i = 0; i < a->nin; i++) {
        const Type *x = &node_in(a, i)->type, *y = &node_in(b, i)->type;
        for (int k = 0; x->kind == TY_TENSOR && y->kind == TY_TENSOR && k < x->rank; k++)
            if (x->dim[k] != y->dim[k] || is_inside(x->dim[k], first_symbol))
                return false;
    }
    return true;
}

/* Something of the type that both results have, empty along the axes in which they differ: a state to begin with. Containers begin without items. */
static Value *nothing_yet(Importer *c, const Value *x, const Value *y, int first_symbol)
{
    Dim dim[MAX_RANK];
    Type both;
    if (x->type.kind != TY_TENSOR) {
        Value *none = mk_seq_make(&c->b, IN_NONE, (Attr_seq_make){ .kind = x->type.kind, .elem = x->type.elem->dtype });
        return type_of_items(c->m, &x->type, &y->type, &both) ? mk_as_type(&c->b, none, &both) : NULL;
    }
    for (int k = 0; k < x->type.rank; k++) {
        bool same = x->type.dim[k] == y->type.dim[k] && !is_inside(x->type.dim[k], first_symbol);
        dim[k] = same ? x->type.dim[k] : dim_const(c->m->dims, 0);
    }
    static const char zero[16];
    const Tensor *one = tensor_splat(c->m->arena, x->type.dtype, 0, NULL, zero);
    return mk_expand_to(&c->b, mk_tensor(&c->b, one), x->type.rank, dim);
}

/* The one iteration: what the branch returns, whatever the states were. */
static bool iterate_branch(const LoopJob *job, Region *r, Value *number, Value *const *state, Value **out)
{
    (void)r, (void)number, (void)state;
    out[0] = NULL;
    return import_region_inline(job->c, job->ctx, job->nstate, out + 1);
}

static bool run_loops(Importer *c, Value *condition, const Graph *yes, const Graph *no, int first_symbol)
{
    Builder *b = &c->b;
    int n = graph_return(yes)->nin;
    Value **state = ARENA_ARRAY(c->m->arena, Value *, n + 1), **then = ARENA_ARRAY(c->m->arena, Value *, n + 1), **out = ARENA_ARRAY(c->m->arena, Value *, n + 1);
    for (int i = 0; i < n; i++)
        if (!(state[i] = nothing_yet(c, node_in(graph_return(yes), i), node_in(graph_return(no), i), first_symbol)))
            return import_fail(c, "result %d has no type that fits both branches", i);
    condition = mk_reshape_to(b, condition, 0, NULL);
    LoopJob first = { .c = c, .go = condition, .most = mk_scalar(b, DT_i64, 1), .nstate = n, .state = state, .iterate = iterate_branch, .ctx = "then_branch" };
    if (!condition || !import_loop_build(&first, then))
        return false;
    LoopJob second = first;
    second.go = mk_not(b, condition), second.state = then, second.ctx = "else_branch";
    if (!import_loop_build(&second, out))
        return false;
    for (int i = 0; i < out_count(c); i++)
        if (!set_out(c, i, out[i]))
            return false;
    return true;
}

static bool run_either(Importer *c, Value *condition)
{
    int first_symbol = dim_symbol_count(c->m->dims);
    Captures captures = { 0 };
    int n = region_results(c, "then_branch");
    if (n != region_results(c, "else_branch") || n < out_count(c))
        return import_fail(c, "the branches have %d and %d results for %d outputs", n, region_results(c, "else_branch"), out_count(c));
    Graph *yes = import_region(c, "then_branch", NULL, 0, &captures);
    Graph *no = import_region(c, "else_branch", NULL, 0, &captures);
    if (!yes || !no)
        return false;
    unite_single_elements(c, yes, no);
    if (!same_ranks(yes, no))
        return run_if_equal(c, condition);
    if (!same_sizes(yes, no, first_symbol))
        return run_loops(c, condition, yes, no, first_symbol);
    unite_containers(c, yes, no);
    import_region_finish(c, yes, NULL, 0, &captures);
    import_region_finish(c, no, NULL, 0, &captures);
    Value **operand = ARENA_ARRAY(c->m->arena, Value *, captures.n + 1);
    operand[0] = condition;
    for (int i = 0; i < captures.n; i++)
        operand[i + 1] = captures.outer[i];
    Node *node = build_node(&c->b, OP_if, (Inputs){ captures.n + 1, operand }, &(Attr_if){ .then_graph = yes, .else_graph = no }, n);
    for (int i = 0; node && i < out_count(c); i++)
        if (!set_out(c, i, &node->out[i]))
            return false;
    return node != NULL;
}

/* A condition that inference can decide (a flag, a comparison of sizes) leaves one branch, in place. */
bool import_if(Importer *c)
{
    const Tensor *known = in_constant(c, 0);
    if (!in(c, 0))
        return false;
    if (known && known->count == 1 && known->dtype == DT_bool)
        return run_here(c, tensor_get_i64(known, 0) ? "then_branch" : "else_branch");
    return run_either(c, in(c, 0));
}
