/* infer.c -- result types of nodes: the driver, elementwise ops, conversions and regions. The rest is in infer_shape.c, infer_nn.c
 * and infer_irregular.c, one infer_<op> each; what they may do is said in infer.h.
 */
#include "infer.h"

#include <stdarg.h>
#include <string.h>

static InferFn *const infer_table[OP_count] = {
#define EW(name, arity, types, result, formula) [OP_##name] = infer_elementwise,
#define OP(name, min_in, max_in, nout, flags) [OP_##name] = infer_##name,
#include "ops.def"
};

enum { MAX_COUNT_BITS = 48 };      /* keeps arithmetic on sizes far from overflow */

/* ---- shared helpers ---- */

bool infer_fail(Module *m, const Node *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(m->arena, fmt, ap);
    va_end(ap);
    return diag_error(m->diag, n->loc, "%s: %s", op_name(n->op), what);
}

bool infer_operand(Module *m, const Node *n, int i, int min_rank)
{
    const Value *v = node_in(n, i);
    if (!v)
        return infer_fail(m, n, "operand %d is missing", i);
    if (v->type.kind != TY_TENSOR)
        return infer_fail(m, n, "operand %d is %s, a tensor is needed", i, type_print(m, m->arena, &v->type));
    if (v->type.rank < 0)
        return infer_fail(m, n, "the rank of operand %d%s%s is unknown", i, v->name ? ", " : "", v->name ? v->name : "");
    if (v->type.rank < min_rank)
        return infer_fail(m, n, "operand %d is %s, rank %d or more is needed", i, type_print(m, m->arena, &v->type), min_rank);
    return true;
}

bool infer_same_dtype(Module *m, const Node *n, int from)
{
    for (int i = from; i < n->nin; i++)
        if (n->in[i].val && in_type(n, i)->dtype != in_type(n, from)->dtype)
            return infer_fail(m, n, "operand %d is %s but operand %d is %s; they must have one element type", from,
                              dtype_name(in_type(n, from)->dtype), i, dtype_name(in_type(n, i)->dtype));
    return true;
}

bool infer_is_index(Module *m, const Node *n, int i)
{
    DType t = in_type(n, i)->dtype;
    return t == DT_i64 || t == DT_i32 || infer_fail(m, n, "indices are %s, i64 or i32 is needed", dtype_name(t));
}

bool infer_axis(Module *m, const Node *n, int64_t axis, int rank)
{
    return (axis >= 0 && axis < rank) || infer_fail(m, n, "axis %lld is not an axis of a tensor of rank %d", (long long)axis, rank);
}

bool infer_set(Module *m, Node *n, int i, DType t, int rank, const Dim *dim)
{
    if (rank > MAX_RANK)
        return infer_fail(m, n, "the result would have rank %d; at most %d is supported", rank, MAX_RANK);
    int64_t count = 1;
    for (int k = 0; k < rank; k++) {
        if (dim_is_const(dim[k]) && dim[k]->k < 0)
            return infer_fail(m, n, "axis %d of the result would have size %lld", k, (long long)dim[k]->k);
        int64_t size = dim_is_const(dim[k]) && dim[k]->k ? dim[k]->k : 1;
        if (__builtin_mul_overflow(count, size, &count) || count >> MAX_COUNT_BITS)
            return infer_fail(m, n, "the result would have more than 2^%d elements", MAX_COUNT_BITS);
    }
    n->out[i].type = type_tensor(m, t, rank, dim);
    return true;
}

static void assume(Module *m, Dim left, Dim right, bool or_one)
{
    Assumptions *list = m->assumed;
    if (!list)
        return;
    if (list->n == list->room) {
        Assumption *grown = ARENA_ARRAY(m->arena, Assumption, list->room = 2 * list->room + 16);
        if (list->n)
            memcpy(grown, list->v, sizeof *grown * (size_t)list->n);
        list->v = grown;
    }
    list->v[list->n++] = (Assumption){ left, right, or_one };
}

bool dims_differ(Module *m, Dim a, Dim b)
{
    if (a == b)
        return false;
    Dim diff = dim_sub(m->dims, a, b);
    if (!dim_is_const(diff))
        assume(m, a, b, false);
    return dim_is_const(diff) && diff->k != 0;
}

bool infer_one_or(Module *m, Dim a, Dim b)
{
    if (dim_is_const(a))
        return a->k == 1 || !dims_differ(m, a, b);
    if (a != b && !(b->op == DIM_BCAST && b->arg[0] == a))
        assume(m, a, b, true);
    return true;
}

Dim dims_unify(Dim a, Dim b)
{
    return dim_is_const(b) ? b : a;
}

const char *infer_dim_text(Module *m, Dim d)
{
    return dim_print(m->dims, m->arena, d);
}

bool infer_word_among(Module *m, const Node *n, const char *what, const char *word, const char *const *list)
{
    for (int i = 0; list[i]; i++)
        if (word && !strcmp(word, list[i]))
            return true;
    return infer_fail(m, n, "%s \"%s\" is not known", what, word ? word : "");
}

/* ---- the driver ---- */

bool infer_node(Module *m, Node *n)
{
    const OpInfo *op = &op_table[n->op];
    if (n->nin < op->min_in || (op->max_in >= 0 && n->nin > op->max_in))
        return infer_fail(m, n, "%d operands given, %d are needed", n->nin, n->nin < op->min_in ? op->min_in : op->max_in);
    for (int i = 0; i < op->min_in; i++)
        if (!n->in[i].val)
            return infer_fail(m, n, "operand %d is missing", i);
    if (n->op != OP_input)
        for (int i = 0; i < n->nout; i++)
            n->out[i].known = NULL;
    return infer_table[n->op](m, n);
}

bool graph_infer(Graph *g)
{
    FOR_EACH_NODE(n, g)
        if (!infer_node(g->module, n))
            return false;
    return true;
}

/* ---- elementwise ---- */

static bool takes_dtype(EwTypes types, DType t)
{
    switch (types) {
    case EWT_NUM: return dtype_is_float(t) || dtype_is_int(t);
    case EWT_FLT: return dtype_is_float(t);
    case EWT_INT: return dtype_is_int(t);
    case EWT_BOOL: return t == DT_bool;
    case EWT_ANY: return dtype_is_float(t) || dtype_is_int(t) || t == DT_bool;
    }
    return false;
}

static const char *types_text(EwTypes types)
{
    static const char *const text[] = { [EWT_NUM] = "numbers", [EWT_FLT] = "floats", [EWT_INT] = "integers", [EWT_BOOL] = "bool",
                                        [EWT_ANY] = "numbers or bool" };
    return text[types];
}

/* Operands from `first` on must be of a type the op takes, all alike; `where` has a bool in front of them. */
static bool check_ew_dtypes(Module *m, const Node *n, int first)
{
    EwTypes types = op_table[n->op].ew_types;
    for (int i = 0; i < n->nin; i++)
        if (!infer_operand(m, n, i, 0))
            return false;
    if (first && in_type(n, 0)->dtype != DT_bool)
        return infer_fail(m, n, "the condition is %s, bool is needed", dtype_name(in_type(n, 0)->dtype));
    DType t = in_type(n, first)->dtype;
    if (!takes_dtype(types, t))
        return infer_fail(m, n, "operand %d is %s, %s are needed", first, dtype_name(t), types_text(types));
    return infer_same_dtype(m, n, first);
}

bool infer_elementwise(Module *m, Node *n)
{
    int first = op_table[n->op].ew_result == EWR_SECOND ? 1 : 0;
    if (!check_ew_dtypes(m, n, first))
        return false;
    const Type *types[3];
    for (int i = 0; i < n->nin; i++)
        types[i] = in_type(n, i);
    Dim out[MAX_RANK];
    int rank = dims_broadcast(m, n->loc, types, n->nin, out);
    if (rank < 0)
        return false;
    DType t = op_table[n->op].ew_result == EWR_BOOL ? DT_bool : types[first]->dtype;
    if (!infer_set(m, n, 0, t, rank, out))
        return false;
    known_elementwise(m, n);
    return true;
}

bool infer_cast(Module *m, Node *n)
{
    DType to = NODE_ATTR(n, cast)->to;
    if (!infer_operand(m, n, 0, 0))
        return false;
    const Type *x = in_type(n, 0);
    if (!takes_dtype(EWT_ANY, x->dtype) || !takes_dtype(EWT_ANY, to))
        return infer_fail(m, n, "from %s to %s is not supported", dtype_name(x->dtype), to ? dtype_name(to) : "nothing");
    if (!infer_set(m, n, 0, to, x->rank, x->dim))
        return false;
    known_cast(m, n);
    return true;
}

bool infer_bitcast(Module *m, Node *n)
{
    DType to = NODE_ATTR(n, bitcast)->to;
    if (!infer_operand(m, n, 0, 0))
        return false;
    const Type *x = in_type(n, 0);
    if (dtype_table[x->dtype].bits != dtype_table[to].bits || !dtype_table[to].bits)
        return infer_fail(m, n, "%s and %s differ in width", dtype_name(x->dtype), dtype_name(to));
    return infer_set(m, n, 0, to, x->rank, x->dim);
}

/* ---- graph ops ---- */

/* The type of an input is given by whoever makes the node; there is nothing to infer it from. */
bool infer_input(Module *m, Node *n)
{
    (void)m, (void)n;
    return true;
}

bool infer_constant(Module *m, Node *n)
{
    const Tensor *t = NODE_ATTR(n, constant)->value;
    if (!t)
        return infer_fail(m, n, "there is no value");
    if (t->rank > MAX_RANK)
        return infer_fail(m, n, "the tensor has rank %d; at most %d is supported", t->rank, MAX_RANK);
    n->out[0].type = type_of_ints(m, t->dtype, t->rank, t->dim);
    known_constant(m, n);
    return true;
}

bool infer_return(Module *m, Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (!n->in[i].val)
            return infer_fail(m, n, "result %d is missing", i);
    return true;
}

bool infer_nested(Module *m, Graph *body)
{
    Assumptions *assumed = m->assumed;
    m->assumed = NULL;
    bool ok = graph_infer(body);
    m->assumed = assumed;
    return ok;
}

/* Give the inputs of a nested graph the types (and contents) of the operands they stand for, then infer it. */
static bool infer_region(Module *m, Node *n, Graph *body, int first_operand, const char *what)
{
    if (!body)
        return infer_fail(m, n, "there is no %s", what);
    int count = graph_inputs(body, NULL, 0);
    if (count != n->nin - first_operand)
        return infer_fail(m, n, "%s has %d inputs, %d operands are given", what, count, n->nin - first_operand);
    Value **input = ARENA_ARRAY(m->arena, Value *, count + 1);
    graph_inputs(body, input, count);
    for (int i = 0; i < count; i++) {
        input[i]->type = n->in[first_operand + i].val->type;
        input[i]->known = n->in[first_operand + i].val->known;
    }
    if (!infer_nested(m, body))
        return false;
    Node *ret = graph_return(body);
    if (!ret || ret->nin != n->nout)
        return infer_fail(m, n, "%s returns %d values, %d are needed", what, ret ? ret->nin : 0, n->nout);
    return true;
}

bool infer_fused(Module *m, Node *n)
{
    Graph *body = NODE_ATTR(n, fused)->body;
    if (!infer_region(m, n, body, 0, "the body"))
        return false;
    for (int i = 0; i < n->nout; i++) {
        n->out[i].type = graph_return(body)->in[i].val->type;
        n->out[i].known = graph_return(body)->in[i].val->known;
    }
    return true;
}

/* What both branches return at place i: one type, sizes that may agree. */
static bool merge_branches(Module *m, Node *n, int i, const Value *yes, const Value *no)
{
    const Type *a = &yes->type, *b = &no->type;
    if (a->kind != TY_TENSOR && type_equal(a, b)) {
        n->out[i].type = *a;
        return true;
    }
    if (a->kind != TY_TENSOR || b->kind != TY_TENSOR || a->dtype != b->dtype || a->rank != b->rank)
        return infer_fail(m, n, "result %d is %s in one branch and %s in the other; that is not supported", i, type_print(m, m->arena, a),
                          type_print(m, m->arena, b));
    for (int k = 0; k < a->rank; k++)
        if (a->dim[k] != b->dim[k])
            return infer_fail(m, n, "result %d has shape %s in one branch and %s in the other; that is not supported", i,
                              type_print(m, m->arena, a), type_print(m, m->arena, b));
    n->out[i].type = *a;
    return true;
}

bool infer_if(Module *m, Node *n)
{
    const Attr_if *a = NODE_ATTR(n, if);
    for (int i = 0; i < n->nin; i++)
        if (!node_in(n, i) || (in_type(n, i)->kind == TY_TENSOR && !infer_operand(m, n, i, 0)))
            return infer_fail(m, n, "operand %d is missing", i);
    if (in_type(n, 0)->kind != TY_TENSOR || in_type(n, 0)->dtype != DT_bool || dims_differ(m, type_count_dim(m, in_type(n, 0)), dim_const(m->dims, 1)))
        return infer_fail(m, n, "the condition is %s, one bool is needed", type_print(m, m->arena, in_type(n, 0)));
    if (!infer_region(m, n, a->then_graph, 1, "then_graph") || !infer_region(m, n, a->else_graph, 1, "else_graph"))
        return false;
    for (int i = 0; i < n->nout; i++)
        if (!merge_branches(m, n, i, graph_return(a->then_graph)->in[i].val, graph_return(a->else_graph)->in[i].val))
            return false;
    return true;
}
