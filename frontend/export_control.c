/* export_control.c -- if, loop and recurrent layers. What a region captures is named as it is outside: ONNX scopes allow that. */
#include <string.h>

#include "export.h"
#include "recurrent.h"

bool export_if(Exporter *e, const Node *n)
{
    const Attr_if *a = NODE_ATTR(n, if);
    Onnx__GraphProto *yes = export_region(e, n, a->then_graph, 0, 1), *no = export_region(e, n, a->else_graph, 0, 1);
    Onnx__NodeProto *p = EMIT(e, "If", export_in(e, n, 0));
    export_attr_graph(e, p, "then_branch", yes);
    export_attr_graph(e, p, "else_branch", no);
    for (int i = 0; i < n->nout; i++)
        export_give(e, p, &n->out[i]);
    return true;
}

bool export_loop(Exporter *e, const Node *n)
{
    const Attr_loop *a = NODE_ATTR(n, loop);
    int states = (int)a->states;
    Term *in = ARENA_ARRAY(e->arena, Term, 2 + states);
    Onnx__GraphProto *body = export_region(e, n, a->body, 1 + states, 2 + states);
    in[0] = export_in(e, n, 1), in[1] = export_in(e, n, 0);
    for (int i = 0; i < states; i++)
        in[2 + i] = export_in(e, n, 2 + i);
    Onnx__NodeProto *p = export_node(e, "Loop", 2 + states, in);
    export_attr_graph(e, p, "body", body);
    for (int i = 0; i < n->nout; i++)
        export_give(e, p, &n->out[i]);
    return true;
}

/* ---- recurrent layers ----
 *
 *     wx = reshape(add(matmul(reshape(x), W), bias))        as importers write it
 *
 * x, W and the bias are found again in it. A wx that is anything else is the layer's input, with an identity for W.
 */

typedef struct Products {
    Value *x, *w, *bias;            /* x [S*B, I] before its own reshape, w [I, D*G*H], bias [D*G*H]; all NULL: wx is something else */
} Products;

static Products find_products(const Node *n)
{
    Products p = { NULL, NULL, NULL };
    const Node *d = node_in(n, 0)->def;
    if (d->op != OP_reshape || node_in(d, 0)->type.rank != 2)
        return p;
    d = node_in(d, 0)->def;
    if (d->op == OP_add && node_in(d, 1)->type.rank == 1 && node_in(d, 1)->type.dim[0] == node_out(d)->type.dim[1]) {
        p.bias = node_in(d, 1);
        d = node_in(d, 0)->def;
    }
    if (d->op != OP_matmul || node_in(d, 1)->type.rank != 2)
        return (Products){ NULL, NULL, NULL };
    p.x = node_in(d, 0), p.w = node_in(d, 1);
    return p;
}

const Match *export_match_recurrent(Exporter *e, const Node *n)
{
    Products p = find_products(n);
    Match *k = ARENA_NEW(e->arena, Match);
    if (!p.x)
        return NULL;
    *k = (Match){ .write = export_recurrent_layer, .in = { p.x, p.w, p.bias } };
    for (int i = 1; i < n->nin; i++)
        k->in[2 + i] = node_in(n, i);
    return k;
}

static Term transposed(Exporter *e, Term x, IntVec perm)
{
    Onnx__NodeProto *p = EMIT(e, "Transpose", x);
    export_attr_ints(e, p, "perm", perm);
    return export_result(e, p);
}

/* W of every direction picks its own columns out of [D*G*H]. */
static Term identity_weights(Exporter *e, DType t, int64_t directions, int64_t wide)
{
    Tensor *w = tensor_new(e->arena, t, 3, (int64_t[]){ directions, wide, directions * wide });
    for (int64_t d = 0; d < directions; d++)
        for (int64_t i = 0; i < wide; i++)
            tensor_set_f64(w, (d * wide + i) * directions * wide + d * wide + i, 1);
    return export_tensor(e, "W", w);
}

/* [D, 2*G*H]: what is added before, and the recurrent bias that the op has apart. */
static Term bias_of(Exporter *e, const Node *n, Value *bias, Value *apart, int64_t directions, int64_t wide, int64_t hidden)
{
    DType t = node_in(n, 1)->type.dtype;
    int64_t dims[2] = { directions, wide }, rest[2] = { directions, wide - hidden };
    if (!bias && !apart)
        return NULL;
    Term zero = export_tensor(e, "B", tensor_new(e->arena, t, 2, dims));
    Term first = bias ? export_reshape_term(e, export_term(e, bias), 2, dims) : zero, second = zero;
    if (apart) {
        Onnx__NodeProto *p = EMIT(e, "Concat", export_tensor(e, "B", tensor_new(e->arena, t, 2, rest)), export_term(e, apart));
        export_attr_i(e, p, "axis", 1);
        second = export_result(e, p);
    }
    Onnx__NodeProto *p = EMIT(e, "Concat", first, second);
    export_attr_i(e, p, "axis", 1);
    return export_result(e, p);
}

static void recurrent_attrs(Exporter *e, Onnx__NodeProto *p, const Node *n, int64_t hidden, int64_t directions)
{
    const Attr_recurrent *a = NODE_ATTR(n, recurrent);
    int k = a->activations.n, na = 0, nb = 0;
    const char **name = ARENA_ARRAY(e->arena, const char *, 2 * k);
    double *alpha = ARENA_ARRAY(e->arena, double, 2 * k), *beta = ARENA_ARRAY(e->arena, double, 2 * k);
    for (int i = 0; i < k * directions; i++) {
        const ActivationInfo *info = activation_find(a->activations.v[i % k]);
        name[i] = info->name;
        if (info->nparam >= 1)
            alpha[na++] = a->alpha.v[i % k];
        if (info->nparam >= 2)
            beta[nb++] = a->beta.v[i % k];
    }
    export_attr_i(e, p, "hidden_size", hidden);
    export_attr_s(e, p, "direction", directions == 2 ? "bidirectional" : a->reverse ? "reverse" : "forward");
    export_attr_strs(e, p, "activations", (StrVec){ k * (int)directions, name });
    if (na)
        export_attr_floats(e, p, "activation_alpha", (FloatVec){ na, alpha });
    if (nb)
        export_attr_floats(e, p, "activation_beta", (FloatVec){ nb, beta });
    if (a->clip > 0)
        export_attr_f(e, p, "clip", a->clip);
    if (a->linear_before_reset)
        export_attr_i(e, p, "linear_before_reset", 1);
    if (a->input_forget)
        export_attr_i(e, p, "input_forget", 1);
}

bool export_recurrent_layer(Exporter *e, const Node *n, const Match *k)
{
    const Attr_recurrent *a = NODE_ATTR(n, recurrent);
    const CellInfo *cell = cell_find(a->cell);
    const Type *r = &node_in(n, 1)->type, *wx = &node_in(n, 0)->type;
    int64_t directions = r->dim[0]->k, hidden = r->dim[1]->k, wide = cell->gates * hidden;
    Value *bias = k ? k->in[2] : NULL, *extra = node_in(n, 5);
    bool peepholes = extra && cell->has_c;
    Term x = export_in(e, n, 0), w;
    if (k) {
        Dim shape[3] = { wx->dim[0], wx->dim[1], k->in[0]->type.dim[1] };
        x = TERM(e, "Reshape", export_term(e, k->in[0]), export_sizes(e, 3, shape));
        w = export_reshape_term(e, transposed(e, export_term(e, k->in[1]), (IntVec){ 2, (int64_t[]){ 1, 0 } }), 3, (int64_t[]){ directions, wide, -1 });
    } else
        w = identity_weights(e, r->dtype, directions, wide);
    Term rec = transposed(e, export_in(e, n, 1), (IntVec){ 3, (int64_t[]){ 0, 2, 1 } });
    Term b = bias_of(e, n, bias, peepholes ? NULL : extra, directions, wide, hidden);
    Term lengths = node_in(n, 2) ? export_as(e, export_in(e, n, 2), DT_i32) : NULL;
    const char *op = cell->has_c ? "LSTM" : cell->gates == 3 ? "GRU" : "RNN";
    Onnx__NodeProto *p = EMIT(e, op, x, w, rec, b, lengths, export_in(e, n, 3), cell->has_c ? export_in(e, n, 4) : NULL, peepholes ? export_in(e, n, 5) : NULL);
    recurrent_attrs(e, p, n, hidden, directions);
    for (int i = 0; i < n->nout; i++)
        export_give(e, p, &n->out[i]);
    return true;
}

bool export_recurrent(Exporter *e, const Node *n)
{
    return export_recurrent_layer(e, n, NULL);
}
