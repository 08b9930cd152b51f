/* qdq_insert.c -- writes the operators of a plan (qdq.h) into the graph. */
#include <math.h>
#include <string.h>

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

Value *qdq_rounded(Builder *b, Value *v, const QdqPoint *p)
{
    return dequantised(b, quantised(b, v, p), p);
}

static Value *in_bf16(Builder *b, Value *v, const QdqPoint *p)
{
    (void)p;
    return mk_cast_to(b, mk_cast_to(b, v, DT_bf16), DT_f32);
}

typedef Value *RoundFn(Builder *b, Value *v, const QdqPoint *p);

/* What the model returns stays as exact as it is. */
static bool insert_point(Module *m, const QdqPoint *p, RoundFn *rounded)
{
    Node *first = p->v->def->next;
    Builder b = { m, m->graph, first, p->v->def->loc };
    int n = value_use_count(p->v), count = 0;
    Use **use = ARENA_ARRAY(m->arena, Use *, n + 1);
    FOR_EACH_USE(u, p->v)
        if (u->user->op != OP_return)
            use[count++] = u;
    Value *y = rounded(&b, p->v, p);
    for (int i = 0; y && i < count; i++)
        node_set_input(use[i]->user, (int)(use[i] - use[i]->user->in), y);
    return y != NULL;
}

/* ---- layers ---- */

static const Tensor *as_i4(Module *m, const Tensor *w)
{
    Tensor *t = tensor_new(m->arena, DT_i4, w->rank, w->dim);
    for (int64_t i = 0; i < w->count; i++)
        tensor_set_f64(t, i, tensor_get_f64(w, i));
    return t;
}

Value *qdq_weight(Builder *b, const QdqLayer *l)
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
    return mk_mul(b, mk_cast_to(b, mk_tensor(b, l->bits == 4 ? as_i4(b->m, w) : w), DT_f32), scale);
}

static double shift_of(const QdqLayer *l, int64_t column)
{
    return l->shift ? tensor_get_f64(l->shift, column) : 0;
}

static Value *exact_bias(Builder *b, const QdqLayer *l, int64_t columns)
{
    const Tensor *t = node_in(l->n, 2) ? value_constant(node_in(l->n, 2)) : NULL;
    Tensor *sum = tensor_new(b->m->arena, DT_f32, 1, &columns);
    for (int64_t i = 0; i < columns; i++)
        tensor_set_f64(sum, i, (t ? tensor_get_f64(t, i) : 0) + shift_of(l, i));
    return mk_tensor(b, sum);
}

/* A whole number of steps of the sum, if it is not too large for that: then it stays as it is, and is added in f32. */
Value *qdq_bias(Builder *b, const QdqLayer *l, const QdqPoint *p)
{
    int64_t columns = l->q->dim[0];
    if (l->n->op != OP_conv || (!node_in(l->n, 2) && !l->shift))
        return NULL;
    Value *exact = exact_bias(b, l, columns);
    const Tensor *t = value_constant(exact);
    Tensor *q = tensor_new(b->m->arena, DT_i32, 1, &columns), *s = tensor_new(b->m->arena, DT_f32, 1, &columns);
    for (int64_t i = 0; i < columns; i++) {
        tensor_set_f64(s, i, p->scale * tensor_get_f64(l->scale, l->scale->count > 1 ? i : 0));
        double steps = rint(tensor_get_f64(t, i) / tensor_get_f64(s, i));
        if (!(fabs(steps) < 0x1p29))
            return exact;
        tensor_set_f64(q, i, steps);
    }
    return mk_mul(b, mk_cast_to(b, mk_tensor(b, q), DT_f32), mk_tensor(b, s));
}

/* A convolution without a bias gets one, a product a sum behind it. */
static bool insert_shift(Module *m, const QdqLayer *l)
{
    Builder b = { m, m->graph, l->n->next, l->n->loc };
    Value *y = node_out(l->n);
    Use *use = y->uses;
    Value *sum = mk_add(&b, y, mk_tensor(&b, l->shift));
    while (sum && use) {
        Use *next = use->next;
        node_set_input(use->user, (int)(use - use->user->in), sum);
        use = next;
    }
    return sum != NULL;
}

static bool insert_layer(Module *m, const QdqPlan *p, QdqLayer *l)
{
    Builder b = { m, m->graph, l->n, l->n->loc };
    Value *w = qdq_weight(&b, l), *c = qdq_bias(&b, l, &p->point[l->point]);
    if (!w || (l->n->op == OP_conv && (node_in(l->n, 2) || l->shift) && !c))
        return false;
    node_set_input(l->n, 1, w);
    if (l->n->op == OP_matmul)
        return !l->shift || insert_shift(m, l);
    if (node_in(l->n, 2))
        node_set_input(l->n, 2, c);
    else if (c) {
        Node *old = l->n;
        l->n = node_new(m->graph, old, OP_conv, 3, (Value *[]){ old->in[0].val, w, c }, old->attrs, -1, old->loc);
        node_out(l->n)->name = node_out(old)->name;
        value_replace(node_out(old), node_out(l->n));
        for (int i = 0; i < p->npoints; i++)
            if (p->point[i].v == node_out(old))
                p->point[i].v = node_out(l->n);
        node_erase(old);
    }
    return true;
}

static void erase_unused_constants(Module *m)
{
    FOR_EACH_NODE_SAFE(n, m->graph)
        if (n->op == OP_constant && !node_out(n)->uses)
            node_erase(n);
    graph_renumber(m->graph);
}

bool qdq_insert(Module *m, const QdqPlan *p)
{
    bool ok = true;
    for (int i = 0; ok && i < p->nlayers; i++)
        ok = p->layer[i].keep || insert_layer(m, p, &p->layer[i]);
    for (int i = 0; ok && i < p->npoints; i++)
        ok = insert_point(m, &p->point[i], qdq_rounded);
    erase_unused_constants(m);
    return ok;
}

/* A cast of the small floats. */
static bool insert_small_weight(Module *m, const QdqLayer *l)
{
    Builder b = { m, m->graph, l->n, l->n->loc };
    Value *v = mk_cast_to(&b, mk_tensor(&b, l->q), DT_f32);
    if (v)
        node_set_input(l->n, 1, v);
    return v != NULL;
}

bool qdq_insert_floats(Module *m, const QdqPlan *p)
{
    bool ok = true;
    for (int i = 0; ok && i < p->nlayers; i++)
        ok = p->layer[i].keep || insert_small_weight(m, &p->layer[i]);
    for (int i = 0; ok && i < p->npoints; i++)
        ok = insert_point(m, &p->point[i], in_bf16);
    erase_unused_constants(m);
    return ok;
}
