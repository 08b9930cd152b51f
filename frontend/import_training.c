/* import_training.c -- one step of an optimiser (ai.onnx.preview.training): Adagrad, Adam, Momentum.
 *
 * Operands are the learning rate R, the step count T, then every optimised tensor, every gradient, and every state of one kind and of the next;
 * results are the new tensors, then the new states in the same order. A Step is what belongs to one tensor.
 */
#include <string.h>

#include "import_parts.h"

enum { MAX_STATES = 2 };

typedef struct Step { Value *x, *grad, *state[MAX_STATES]; } Step;

/* Changes a step's x and states into their new values. */
typedef void UpdateFn(Importer *c, Step *s);

static bool import_optimiser(Importer *c, int nstate, UpdateFn *update)
{
    int each = nstate + 2, n = (in_count(c) - 2) / each;
    if (n < 1 || in_count(c) != 2 + n * each)
        return import_fail(c, "%d inputs are not R, T and %d of every tensor", in_count(c), each);
    for (int i = 0; i < n; i++) {
        Step s = { in(c, 2 + i), in(c, 2 + n + i), { NULL } };
        for (int k = 0; k < nstate; k++)
            s.state[k] = in(c, 2 + (2 + k) * n + i);
        Value *decay = mk_scaled(&c->b, s.x, attr_f(c, "norm_coefficient", 0));
        s.grad = mk_add(&c->b, decay, s.grad);
        update(c, &s);
        if (!set_out(c, i, s.x))
            return false;
        for (int k = 0; k < nstate; k++)
            if (!set_out(c, (1 + k) * n + i, s.state[k]))
                return false;
    }
    return true;
}

/* The step count in the type of the tensor. */
static Value *count_as(Importer *c, const Value *x)
{
    return x ? mk_cast_to(&c->b, in(c, 1), x->type.dtype) : NULL;
}

static Value *is_first(Importer *c)
{
    return mk_le(&c->b, in(c, 1), mk_k(&c->b, in(c, 1), 0));
}

/* k * old + (1 - k) * now */
static Value *averaged(Builder *b, double k, Value *old, Value *now)
{
    return mk_add(b, mk_scaled(b, old, k), mk_scaled(b, now, 1 - k));
}

static void update_adagrad(Importer *c, Step *s)
{
    Builder *b = &c->b;
    Value *rate = mk_div(b, in(c, 0), mk_shifted(b, mk_scaled(b, count_as(c, s->x), attr_f(c, "decay_factor", 0)), 1));
    s->state[0] = mk_add(b, s->state[0], mk_mul(b, s->grad, s->grad));
    Value *scale = mk_shifted(b, mk_sqrt(b, s->state[0]), attr_f(c, "epsilon", (double)1e-6f));
    s->x = mk_sub(b, s->x, mk_div(b, mk_mul(b, rate, s->grad), scale));
}

/* 1 - k^T */
static Value *bias_correction(Importer *c, double k, const Value *x)
{
    Builder *b = &c->b;
    Value *power = mk_pow(b, x ? mk_scalar(b, x->type.dtype, k) : NULL, count_as(c, x));
    return mk_sub(b, mk_k(b, power, 1), power);
}

static void update_adam(Importer *c, Step *s)
{
    Builder *b = &c->b;
    double alpha = attr_f(c, "alpha", (double)0.9f), beta = attr_f(c, "beta", (double)0.999f), after = attr_f(c, "norm_coefficient_post", 0);
    s->state[0] = averaged(b, alpha, s->state[0], s->grad);
    s->state[1] = averaged(b, beta, s->state[1], mk_mul(b, s->grad, s->grad));
    Value *scale = mk_shifted(b, mk_sqrt(b, s->state[1]), attr_f(c, "epsilon", (double)1e-6f));
    Value *corrected = mk_div(b, mk_mul(b, in(c, 0), mk_sqrt(b, bias_correction(c, beta, s->x))), bias_correction(c, alpha, s->x));
    Value *rate = mk_where(b, is_first(c), in(c, 0), corrected);
    s->x = mk_scaled(b, mk_sub(b, s->x, mk_div(b, mk_mul(b, rate, s->state[0]), scale)), 1 - after);
}

static void update_momentum(Importer *c, Step *s)
{
    Builder *b = &c->b;
    double alpha = attr_f(c, "alpha", 0);
    Value *beta = mk_where(b, is_first(c), mk_k(b, s->grad, 1), mk_k(b, s->grad, attr_f(c, "beta", 1)));
    s->state[0] = mk_add(b, mk_scaled(b, s->state[0], alpha), mk_mul(b, beta, s->grad));
    bool nesterov = !strcmp(attr_s(c, "mode", "standard"), "nesterov");
    Value *direction = nesterov ? mk_add(b, s->grad, mk_scaled(b, s->state[0], alpha)) : s->state[0];
    s->x = mk_sub(b, s->x, mk_mul(b, in(c, 0), direction));
}

bool import_adagrad(Importer *c)
{
    return import_optimiser(c, 1, update_adagrad);
}

bool import_adam(Importer *c)
{
    return import_optimiser(c, 2, update_adam);
}

bool import_momentum(Importer *c)
{
    return import_optimiser(c, 1, update_momentum);
}
