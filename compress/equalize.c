/* equalize.c -- cross-layer equalisation, and SmoothQuant, which is the same idea between an activation and a weight (repair.h).
 *
 * Both scale input channel c of a layer by s[c] and take it away where the channel is made: from the layer before, from the factor and shift of a norm, or by
 * a division that is inserted.
 */
#include <math.h>
#include <string.h>

#include "build.h"
#include "observe.h"
#include "repair.h"

/* ---- weights of a layer, by channel ---- */

static int64_t outputs_of(const QdqLayer *l) { return value_constant(l->n->in[1].val)->dim[l->axis]; }

static int64_t group_of(const QdqLayer *l) { return l->n->op == OP_conv ? NODE_ATTR(l->n, conv)->group : 1; }

static int64_t inputs_of(const QdqLayer *l)
{
    const Tensor *w = value_constant(l->n->in[1].val);
    return l->axis == 0 ? w->dim[1] * group_of(l) : w->dim[0];
}

static int64_t output_at(const QdqLayer *l, const Tensor *w, int64_t i)
{
    return l->axis == 0 ? i / (w->count / w->dim[0]) : i % w->dim[1];
}

/* Input channel of element i: of a grouped convolution, the group's first channel comes before. */
static int64_t input_at(const QdqLayer *l, const Tensor *w, int64_t i)
{
    if (l->axis == 1)
        return i / w->dim[1];
    int64_t per_output = w->count / w->dim[0], output = i / per_output;
    return output / (w->dim[0] / group_of(l)) * w->dim[1] + i % per_output / (per_output / w->dim[1]);
}

typedef int64_t At(const QdqLayer *l, const Tensor *w, int64_t i);

static void largest(const QdqLayer *l, At *at, double *most)
{
    const Tensor *w = value_constant(l->n->in[1].val);
    for (int64_t i = 0; i < w->count; i++) {
        double *m = &most[at(l, w, i)];
        *m = fmax(*m, fabs(tensor_get_f64(w, i)));
    }
}

static Value *constant_before(Module *m, Node *n, const Tensor *t)
{
    Builder b = { m, m->graph, n, n->loc };
    return mk_tensor(&b, t);
}

static void scale_weight(Module *m, QdqLayer *l, At *at, const double *s, bool divide)
{
    const Tensor *w = value_constant(l->n->in[1].val);
    Tensor *t = tensor_new(m->arena, DT_f32, w->rank, w->dim);
    for (int64_t i = 0; i < w->count; i++) {
        double k = s[at(l, w, i)];
        tensor_set_f64(t, i, divide ? tensor_get_f64(w, i) / k : tensor_get_f64(w, i) * k);
    }
    node_set_input(l->n, 1, constant_before(m, l->n, t));
}

/* Operand i of a node, a constant that runs along the last axis or is a convolution's bias, divided element by element. */
static void divide_vector(Module *m, Node *n, int i, const double *s)
{
    const Tensor *v = value_constant(n->in[i].val);
    Tensor *t = tensor_new(m->arena, DT_f32, v->rank, v->dim);
    for (int64_t c = 0; c < v->count; c++)
        tensor_set_f64(t, c, tensor_get_f64(v, c) / s[c]);
    node_set_input(n, i, constant_before(m, n, t));
}

/* ---- pairs ---- */

static int constant_operand(const Node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (value_constant(n->in[i].val))
            return i;
    return -1;
}

static bool runs_along_last(const Node *n, int i, int64_t count)
{
    const Tensor *t = i >= 0 ? value_constant(n->in[i].val) : NULL;
    return t && t->count == count && (t->rank == 0 || t->dim[t->rank - 1] == count);
}

/* The layer that alone reads what l makes, a matmul's bias and a ReLU between them; bias: that sum, or NULL. */
static QdqLayer *next_layer(QdqPlan *p, QdqLayer *l, Node **bias)
{
    Node *n = value_only_user(node_out(l->n));
    *bias = NULL;
    if (n && l->n->op == OP_matmul && n->op == OP_add && runs_along_last(n, constant_operand(n), outputs_of(l))) {
        *bias = n;
        n = value_only_user(node_out(n));
    }
    if (n && n->op == OP_relu)
        n = value_only_user(node_out(n));
    for (int i = 0; i < p->nlayers; i++)
        if (p->layer[i].n == n && n->in[0].val->def != n && (p->layer[i].n->op == l->n->op) && inputs_of(&p->layer[i]) == outputs_of(l))
            return &p->layer[i];
    return NULL;
}

static void equalize_pair(Module *m, QdqLayer *first, QdqLayer *second, Node *bias)
{
    int64_t n = outputs_of(first);
    double *a = ARENA_ARRAY(m->arena, double, n), *b = ARENA_ARRAY(m->arena, double, n), *s = ARENA_ARRAY(m->arena, double, n);
    largest(first, output_at, a);
    largest(second, input_at, b);
    for (int64_t c = 0; c < n; c++) {
        s[c] = a[c] > 0 && b[c] > 0 ? sqrt(a[c] / b[c]) : 1;
        s[c] = fmin(fmax(s[c], 1e-4), 1e4);
    }
    scale_weight(m, first, output_at, s, true);
    scale_weight(m, second, input_at, s, false);
    if (bias)
        divide_vector(m, bias, constant_operand(bias), s);
    else if (node_in(first->n, 2))
        divide_vector(m, first->n, 2, s);
}

bool equalize(Module *m)
{
    enum { ROUNDS = 4 };            /* a chain of layers settles */
    QdqPlan p;
    Node *bias;
    qdq_find_layers(m, &p);
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < p.nlayers; i++) {
            QdqLayer *next = next_layer(&p, &p.layer[i], &bias);
            if (next)
                equalize_pair(m, &p.layer[i], next, bias);
        }
    return true;
}

/* ---- SmoothQuant ---- */

typedef struct Smooth {
    Value **x;                      /* distinct operands of matmuls */
    double **most;                  /* per channel: largest magnitude */
    int n;
} Smooth;

static bool see_channels(void *ctx, int64_t sample, const Tensor *const *taps)
{
    Smooth *k = ctx;
    (void)sample;
    for (int i = 0; i < k->n; i++) {
        int64_t channels = taps[i]->dim[taps[i]->rank - 1];
        const float *x = taps[i]->data;
        for (int64_t j = 0; j < taps[i]->count; j++)
            k->most[i][j % channels] = fmax(k->most[i][j % channels], fabs((double)x[j]));
    }
    return true;
}

/* x = z * factor + shift, both constants along the last axis: a norm's. Then x is divided there, and nothing is added. */
static bool absorb(Module *m, Value *x, const double *s, int64_t n)
{
    Node *add = x->def, *mul = add->op == OP_add && constant_operand(add) >= 0 ? add->in[1 - constant_operand(add)].val->def : NULL;
    if (!mul || mul->op != OP_mul || !value_only_user(node_out(mul)) || !runs_along_last(add, constant_operand(add), n) ||
        constant_operand(mul) < 0 || !runs_along_last(mul, constant_operand(mul), n))
        return false;
    divide_vector(m, add, constant_operand(add), s);
    divide_vector(m, mul, constant_operand(mul), s);
    return true;
}

static bool read_by_layers_only(const QdqPlan *p, const Value *x)
{
    FOR_EACH_USE(u, x) {
        bool layer = false;
        for (int i = 0; i < p->nlayers; i++)
            layer |= p->layer[i].n == u->user && p->layer[i].axis == 1 && u == &u->user->in[0];
        if (!layer)
            return false;
    }
    return true;
}

static bool divide_before(Module *m, QdqPlan *p, Value *x, const double *s, int64_t n)
{
    Builder b = { m, m->graph, x->def->next, x->def->loc };
    Tensor *t = tensor_new(m->arena, DT_f32, 1, &n);
    for (int64_t c = 0; c < n; c++)
        tensor_set_f64(t, c, 1 / s[c]);
    Value *y = mk_mul(&b, x, mk_tensor(&b, t));
    for (int i = 0; y && i < p->nlayers; i++)
        if (p->layer[i].axis == 1 && p->layer[i].n->in[0].val == x)
            node_set_input(p->layer[i].n, 0, y);
    return y != NULL;
}

static bool smooth_value(Module *m, QdqPlan *p, Value *x, const double *most)
{
    int64_t n = 0;
    double *w = NULL;
    for (int i = 0; i < p->nlayers; i++)
        if (p->layer[i].axis == 1 && p->layer[i].n->in[0].val == x) {
            n = inputs_of(&p->layer[i]);
            w = w ? w : ARENA_ARRAY(m->arena, double, n);
            largest(&p->layer[i], input_at, w);
        }
    for (int64_t c = 0; c < n; c++)
        w[c] = most[c] > 0 && w[c] > 0 ? fmin(fmax(sqrt(most[c] / w[c]), 1e-4), 1e4) : 1;
    for (int i = 0; i < p->nlayers; i++)
        if (p->layer[i].axis == 1 && p->layer[i].n->in[0].val == x)
            scale_weight(m, &p->layer[i], input_at, w, false);
    return (read_by_layers_only(p, x) && absorb(m, x, w, n)) || divide_before(m, p, x, w, n);
}

bool smoothquant(Module *m, Samples *s)
{
    QdqPlan p;
    bool ok = true;
    qdq_find_layers(m, &p);
    Smooth k = { ARENA_ARRAY(m->arena, Value *, p.nlayers + 1), ARENA_ARRAY(m->arena, double *, p.nlayers + 1), 0 };
    for (int i = 0; i < p.nlayers; i++) {
        Value *x = p.layer[i].n->in[0].val;
        bool seen = p.layer[i].axis != 1;
        for (int j = 0; j < k.n; j++)
            seen |= k.x[j] == x;
        if (!seen) {
            k.most[k.n] = ARENA_ARRAY(m->arena, double, inputs_of(&p.layer[i]));
            k.x[k.n++] = x;
        }
    }
    ok = !k.n || observe(m, s, k.x, k.n, see_channels, &k);
    for (int i = 0; ok && i < k.n; i++)
        ok = smooth_value(m, &p, k.x[i], k.most[i]);
    return ok;
}
