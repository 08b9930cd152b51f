/* qdq_insert.c -- writes the operators of a plan (qdq.h) into the graph. */
#include <math.h>
#include <string.h>

#include "build.h"
#include "pass_util.h"
#include "qdq.h"

/* ---- points ---- */

static Value *quantised(Builder *b, Value *v, const QdqPoint *p)
{
    Value *x = mk_round(b, mk_div(b, v, mk_scalar(b, DT_f32, p->scale)));
    if (p->zero)
        x = mk_add(b, x, mk_scalar(b, DT_f32, (double)p->zero));
    return mk_cast_to(b, mk_clip(b, x, 0, 255), DT_u8);
}

static Value *dequantised(Builder *b, Value *q, const QdqPoint *p)
{
    Value *x = mk_cast_to(b, q, DT_f32);
    if (p->zero)
        x = mk_sub(b, x, mk_scalar(b, DT_f32, (double)p->zero));
    return mk_mul(b, x, mk_scalar(b, DT_f32, p->scale));
}

/* What the model returns stays as exact as it is. */
static bool insert_point(Module *m, const QdqPoint *p)
{
    Node *first = p->v->def->next;
    Builder b = { m, m->graph, first, p->v->def->loc };
    int n = value_use_count(p->v), count = 0;
    Use **use = ARENA_ARRAY(m->arena, Use *, n + 1);
    FOR_EACH_USE(u, p->v)
        if (u->user->op != OP_return)
            use[count++] = u;
    Value *y = dequantised(&b, quantised(&b, p->v, p), p);
    for (int i = 0; y && i < count; i++)
        node_set_input(use[i]->user, (int)(use[i] - use[i]->user->in), y);
    return y != NULL;
}

/* ---- layers ---- */

static Value *weight(Builder *b, const QdqLayer *l)
{
    const Tensor *w = l->q;
    int64_t dim[MAX_RANK];
    Value *scale = mk_tensor(b, l->scale);
    if (l->scale->count > 1 && l->axis == 0) {
        for (int i = 0; i < w->rank; i++)
            dim[i] = i ? 1 : w->dim[0];
        Tensor *t = tensor_new(b->m->arena, DT_f32, w->rank, dim);
        memcpy((void *)(uintptr_t)t->data, l->scale->data, tensor_bytes(l->scale));
        scale = mk_tensor(b, t);
    } else if (l->scale->count == 1)
        scale = mk_scalar(b, DT_f32, tensor_get_f64(l->scale, 0));
    return mk_mul(b, mk_cast_to(b, mk_tensor(b, w), DT_f32), scale);
}

/* A whole number of steps of the sum, if it is not too large for that: then it stays as it is, and is added in f32. */
static Value *bias(Builder *b, const QdqLayer *l, double x_scale)
{
    const Tensor *t = value_constant(node_in(l->n, 2));
    Tensor *q = tensor_new(b->m->arena, DT_i32, 1, &t->count), *s = tensor_new(b->m->arena, DT_f32, 1, &t->count);
    for (int64_t i = 0; i < t->count; i++) {
        tensor_set_f64(s, i, x_scale * tensor_get_f64(l->scale, l->scale->count > 1 ? i : 0));
        double steps = rint(tensor_get_f64(t, i) / tensor_get_f64(s, i));
        if (!(fabs(steps) < 0x1p29))
            return node_in(l->n, 2);
        tensor_set_f64(q, i, steps);
    }
    return mk_mul(b, mk_cast_to(b, mk_tensor(b, q), DT_f32), mk_tensor(b, s));
}

static bool insert_layer(Module *m, const QdqPlan *p, const QdqLayer *l)
{
    Builder b = { m, m->graph, l->n, l->n->loc };
    Value *w = weight(&b, l), *c = node_in(l->n, 2) ? bias(&b, l, (double)(float)p->point[l->point].scale) : NULL;
    if (!w || (node_in(l->n, 2) && !c))
        return false;
    node_set_input(l->n, 1, w);
    if (c)
        node_set_input(l->n, 2, c);
    return true;
}

bool qdq_insert(Module *m, const QdqPlan *p)
{
    bool ok = true;
    for (int i = 0; ok && i < p->nlayers; i++)
        ok = p->layer[i].keep || insert_layer(m, p, &p->layer[i]);
    for (int i = 0; ok && i < p->npoints; i++)
        ok = insert_point(m, &p->point[i]);
    FOR_EACH_NODE_SAFE(n, m->graph)
        if (n->op == OP_constant && !node_out(n)->uses)
            node_erase(n);
    graph_renumber(m->graph);
    return ok;
}
