/* loop.c -- see loop.h. */
#include "loop.h"

Dim loop_size(const Node *n, int64_t at)
{
    const Attr_loop *a = NODE_ATTR(n, loop);
    for (int i = 0; i < a->at.n && i < a->sizes.n; i++)
        if (a->at.v[i] == at)
            return a->sizes.v[i];
    return NULL;
}

Dim loop_count(Module *m, const Node *n)
{
    Dim symbol = loop_size(n, LOOP_COUNT);
    const DimVec *most = n->in[1].val->known;
    return symbol ? symbol : most && most->n == 1 ? dim_max(m->dims, most->v[0], dim_const(m->dims, 0)) : NULL;
}

Type loop_input_type(Module *m, const Node *n, int i)
{
    if (i == 0)
        return type_tensor(m, DT_i64, 0, NULL);
    Type t = n->in[1 + i].val->type;
    Dim dim[MAX_RANK];
    if (i > NODE_ATTR(n, loop)->states || t.kind != TY_TENSOR)
        return t;
    for (int k = 0; k < t.rank; k++) {
        Dim changes = loop_size(n, loop_at(i - 1, k));
        dim[k] = changes ? changes : t.dim[k];
    }
    return type_tensor(m, t.dtype, t.rank, dim);
}

Type loop_result_type(Module *m, const Node *n, int i, const Type *returned)
{
    int64_t states = NODE_ATTR(n, loop)->states;
    Dim dim[MAX_RANK + 1];
    if (i < states)
        return loop_input_type(m, n, 1 + i);
    dim[0] = loop_count(m, n);
    for (int k = 0; k < returned->rank; k++) {
        Dim own = loop_size(n, loop_at(i, 1 + k));
        dim[1 + k] = own ? own : returned->dim[k];
    }
    return type_tensor(m, returned->dtype, 1 + returned->rank, dim);
}
