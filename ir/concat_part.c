/* concat_part.c -- see concat_part.h. */
#include "concat_part.h"

#include "conv_pads.h"

const Node *part_of_concat(const Value *v)
{
    bool view = v->def->op == OP_input || (op_table[v->def->op].flags & OPF_VIEW);
    if (v->storage.kind != ST_ALIAS || view || !v->storage.of || v->storage.of->def->op != OP_concat)
        return NULL;
    return v->storage.of->def;
}

static bool is_elementwise(OpCode op)
{
    return (op_table[op].flags & OPF_EW) || op == OP_cast || op == OP_bitcast;
}

/* Constant, here or outside of the fused node. */
static bool is_weight(const Node *owner, const Value *v)
{
    if (owner->op == OP_fused && v->def->op == OP_input)
        v = owner->in[NODE_ATTR(v->def, input)->index].val;
    return value_constant(v) != NULL;
}

static bool conv_stores_rows(const Node *owner, const Node *conv)
{
    const Attr_conv *a = NODE_ATTR(conv, conv);
    const Type *y = &node_out(conv)->type, *x = &conv->in[0].val->type;
    bool padded = false;
    for (int i = 0; i < a->pads.n; i++)
        padded |= a->pads.v[i] != 0;
    return a->channels_last && (y->rank == 3 || y->rank == 4) && x->dtype == DT_f32 && y->dtype == DT_f32 && (!padded || a->winograd.n) &&
           !conv_is_one_per_channel(conv) && is_weight(owner, conv->in[1].val);
}

bool node_stores_rows(const Node *n)
{
    if (n->op == OP_conv)
        return conv_stores_rows(n, n);
    if (n->op != OP_fused || n->nout != 1 || node_out(n)->type.dtype != DT_f32)
        return false;
    int convs = 0;
    FOR_EACH_NODE(k, NODE_ATTR(n, fused)->body) {
        bool beside = is_elementwise(k->op) || k->op == OP_input || k->op == OP_constant || k->op == OP_return;
        if (k->op == OP_conv ? !conv_stores_rows(n, k) : !beside)
            return false;
        convs += k->op == OP_conv;
    }
    return convs == 1;
}

bool concat_takes_parts(const Node *n)
{
    const Type *y = &node_out(n)->type;
    if (n->op != OP_concat || y->dtype != DT_f32 || y->rank < 2 || NODE_ATTR(n, concat)->axis != y->rank - 1)
        return false;
    int64_t at = 0;
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i].val;
        Dim width = v->type.dim[y->rank - 1];
        if (!v->uses || v->uses->next || v->def->graph != n->graph || !dim_is_const(width) || !node_stores_rows(v->def))
            return false;
        at += width->k;
    }
    return at <= INT32_MAX;
}

int part_column(const Node *n, int i)
{
    int64_t at = 0;
    for (int k = 0; k < i; k++)
        at += n->in[k].val->type.dim[node_out(n)->type.rank - 1]->k;
    return (int)at;
}
