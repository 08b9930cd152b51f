/* infer_loop.c -- result types of `loop`, and what its body must promise: states keep their types, but for the axes that have a symbol in `sizes`. */
#include "infer.h"
#include "loop.h"

static bool check_sizes(Module *m, const Node *n)
{
    const Attr_loop *a = NODE_ATTR(n, loop);
    if (a->sizes.n != a->at.n)
        return infer_fail(m, n, "%d sizes are given at %d places", a->sizes.n, a->at.n);
    for (int i = 0; i < a->at.n; i++) {
        int64_t at = a->at.v[i];
        if (at < LOOP_COUNT || at >= (int64_t)n->nout * LOOP_AXES || loop_size(n, at) != a->sizes.v[i] || a->sizes.v[i]->op != DIM_SYM)
            return infer_fail(m, n, "size %d stands at %lld, which is no place for it", i, (long long)at);
    }
    return true;
}

static bool check_operands(Module *m, const Node *n)
{
    const Attr_loop *a = NODE_ATTR(n, loop);
    for (int i = 0; i < n->nin; i++)
        if (!node_in(n, i) || ((i < 2 || in_type(n, i)->kind == TY_TENSOR) && !infer_operand(m, n, i, 0)))
            return infer_fail(m, n, "operand %d is missing", i);
    if (a->states < 0 || a->states > n->nout || a->states > n->nin - 2)
        return infer_fail(m, n, "%lld states, but %d operands and %d results", (long long)a->states, n->nin, n->nout);
    Dim one = dim_const(m->dims, 1);
    if (in_type(n, 0)->dtype != DT_bool || dims_differ(m, type_count_dim(m, in_type(n, 0)), one))
        return infer_fail(m, n, "the condition is %s, one bool is needed", type_print(m, m->arena, in_type(n, 0)));
    if (in_type(n, 1)->dtype != DT_i64 || in_type(n, 1)->rank)
        return infer_fail(m, n, "the number of iterations is %s, i64[] is needed", type_print(m, m->arena, in_type(n, 1)));
    return true;
}

static bool check_state(Module *m, const Node *n, int i, const Type *returned)
{
    Type want = loop_input_type(m, n, 1 + i);
    if (want.kind != TY_TENSOR && type_equal(&want, returned))
        return true;
    bool same = returned->kind == TY_TENSOR && returned->dtype == want.dtype && returned->rank == want.rank;
    for (int k = 0; same && k < want.rank; k++)
        same = returned->dim[k] == want.dim[k] || loop_size(n, loop_at(i, k));
    return same || infer_fail(m, n, "state %d is %s, an iteration makes it %s", i, type_print(m, m->arena, &want), type_print(m, m->arena, returned));
}

static bool check_slice(Module *m, const Node *n, int i, const Type *t)
{
    if (t->kind != TY_TENSOR || t->rank < 0 || t->rank >= MAX_RANK)
        return infer_fail(m, n, "result %d would consist of slices %s", i, type_print(m, m->arena, t));
    return loop_count(m, n) || infer_fail(m, n, "the number of iterations is not known, and there is no symbol for it");
}

static bool infer_body(Module *m, Node *n, Graph *body)
{
    int count = graph_inputs(body, NULL, 0);
    if (count != n->nin - 1)
        return infer_fail(m, n, "the body has %d inputs, %d are given", count, n->nin - 1);
    Value **input = ARENA_ARRAY(m->arena, Value *, count + 1);
    graph_inputs(body, input, count);
    for (int i = 0; i < count; i++) {
        if (!input[i])
            return infer_fail(m, n, "the body has no input %d", i);
        input[i]->type = loop_input_type(m, n, i);
        input[i]->known = i > NODE_ATTR(n, loop)->states ? n->in[1 + i].val->known : NULL;
    }
    return infer_nested(m, body);
}

bool infer_loop(Module *m, Node *n)
{
    const Attr_loop *a = NODE_ATTR(n, loop);
    if (n->nin < 2 || !a->body)
        return infer_fail(m, n, n->nin < 2 ? "the number of iterations is missing" : "there is no body");
    if (!check_operands(m, n) || !check_sizes(m, n) || !infer_body(m, n, a->body))
        return false;
    const Node *ret = graph_return(a->body);
    if (!ret || ret->nin != 1 + n->nout)
        return infer_fail(m, n, "the body returns %d values, %d are needed", ret ? ret->nin : 0, 1 + n->nout);
    const Type *go = in_type(ret, 0);
    if (go->kind != TY_TENSOR || go->dtype != DT_bool || dims_differ(m, type_count_dim(m, go), dim_const(m->dims, 1)))
        return infer_fail(m, n, "the body returns %s as its condition, one bool is needed", type_print(m, m->arena, go));
    for (int i = 0; i < n->nout; i++) {
        const Type *t = in_type(ret, 1 + i);
        if (i < a->states ? !check_state(m, n, i, t) : !check_slice(m, n, i, t))
            return false;
        n->out[i].type = loop_result_type(m, n, i, t);
    }
    return true;
}
