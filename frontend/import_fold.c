/* import_fold.c -- the constant that a small computation on constants gives.
 *
 * Exporters compute operands that an importer must know (scales, axes, pads) by little chains of nodes over constants. The folding pass comes
 * too late for them, so in_constant() evaluates such a chain on demand. The nodes stay; if nothing else uses them they are removed later.
 */
#include "eval.h"
#include "import_state.h"

enum { MAX_FOLDED = 1 << 16, MAX_FOLD_NODES = 256 };

static const Tensor *tensor_of_known(Module *m, const Value *v)
{
    if (!v->known || !type_is_static(&v->type))
        return NULL;
    int64_t dim[MAX_RANK];
    for (int i = 0; i < v->type.rank; i++)
        dim[i] = v->type.dim[i]->k;
    Tensor *t = tensor_new(m->arena, v->type.dtype, v->type.rank, dim);
    for (int i = 0; i < v->known->n; i++) {
        if (!dim_is_const(v->known->v[i]))
            return NULL;
        tensor_set_f64(t, i, (double)v->known->v[i]->k);
    }
    return t;
}

/* Attributes may speak of sizes that only a run knows, even where the shape of the result does not (the start of a slice, from_dims). */
static bool attrs_constant(const Node *n)
{
    const OpInfo *op = &op_table[n->op];
    for (int i = 0; i < op->nattr; i++) {
        const DimVec *v = (const DimVec *)(const void *)((const char *)n->attrs + op->attr[i].offset);
        for (int k = 0; op->attr[i].kind == AK_dims && k < v->n; k++)
            if (!dim_is_const(v->v[k]))
                return false;
    }
    return true;
}

static bool may_fold(const Value *v)
{
    unsigned flags = op_table[v->def->op].flags;
    return !(flags & (OPF_EFFECT | OPF_REGION)) && type_is_static(&v->type) && type_count(&v->type) <= MAX_FOLDED && attrs_constant(v->def);
}

static const Tensor *fold(Module *m, const Value *v, int *budget)
{
    const Tensor *t = value_constant(v);
    if (t || (t = tensor_of_known(m, v)))
        return t;
    const Node *n = v->def;
    if (!may_fold(v) || (*budget)-- <= 0)
        return NULL;
    const Tensor **in = ARENA_ARRAY(m->arena, const Tensor *, n->nin + 1), **out = ARENA_ARRAY(m->arena, const Tensor *, n->nout);
    for (int i = 0; i < n->nin; i++) {
        if (n->in[i].val && !(in[i] = fold(m, n->in[i].val, budget)))
            return NULL;
        if (in[i] && in[i]->count > MAX_FOLDED)
            return NULL;
        in[i] = in[i] ? tensor_dense(m->arena, in[i]) : NULL;
    }
    EvalEnv env = { .arena = m->arena, .m = m, .syms = ARENA_ARRAY(m->arena, int64_t, dim_symbol_count(m->dims) + 1) };
    return eval_node(&env, n, in, out) ? out[v->index] : NULL;
}

const Tensor *value_fold(Module *m, const Value *v)
{
    int budget = MAX_FOLD_NODES;
    return v ? fold(m, v, &budget) : NULL;
}
