/* couple_pairs.c -- probabilities of k classes from those of all pairs (Wu, Lin and Weng 2004, section 4, method 2).
 *
 * The sum over pairs of (r[j,i] p[i] - r[i,j] p[j])^2 is a quadratic form p'Qp. Its least value among the p that add up to one is where all elements
 * of Qp are equal, which is approached one p[i] at a time.
 */
#include "kernel.h"

typedef struct Form { int64_t k; double *q, *qp, *p; } Form;

static void form_start(Form *f, const KTensor *r, int64_t row)
{
    int64_t k = f->k, first = row * k * k;
    for (int64_t i = 0; i < k; i++) {
        f->p[i] = 1.0 / (double)k;
        f->q[i * k + i] = 0;
        for (int64_t j = 0; j < k; j++) {
            double ij = k_load(r->data, r->dtype, first + i * k + j), ji = k_load(r->data, r->dtype, first + j * k + i);
            if (i != j) {
                f->q[i * k + i] += ji * ji;
                f->q[i * k + j] = -ji * ij;
            }
        }
    }
}

/* Fills qp; returns p'Qp. */
static double form_value(Form *f)
{
    double value = 0;
    for (int64_t i = 0; i < f->k; i++) {
        f->qp[i] = 0;
        for (int64_t j = 0; j < f->k; j++)
            f->qp[i] += f->q[i * f->k + j] * f->p[j];
        value += f->p[i] * f->qp[i];
    }
    return value;
}

static bool form_is_level(const Form *f, double value)
{
    for (int64_t i = 0; i < f->k; i++) {
        double off = f->qp[i] - value;
        if (!((off < 0 ? -off : off) < 0.005 / (double)f->k))
            return false;
    }
    return true;
}

/* p[i] changes so that its element of Qp is level; then p is scaled to add up to one again. */
static double form_improve(Form *f, int64_t i, double value)
{
    const double *q = f->q + i * f->k;
    double step = (value - f->qp[i]) / q[i], scale = 1 / (1 + step);
    value = (value + step * (step * q[i] + 2 * f->qp[i])) * scale * scale;
    f->p[i] += step;
    for (int64_t j = 0; j < f->k; j++) {
        f->qp[j] = (f->qp[j] + step * q[j]) * scale;
        f->p[j] *= scale;
    }
    return value;
}

K_KERNEL(couple_pairs)
{
    enum { MOST_ROUNDS = 100 };
    const KTensor *r = &c->in[0];
    int64_t k = r->dim[1];
    double *memory = c->scratch;
    Form f = { k, memory, memory + k * k, memory + k * k + k };
    for (int64_t row = 0; row < r->dim[0]; row++) {
        form_start(&f, r, row);
        for (int round = 0; round < MOST_ROUNDS; round++) {
            double value = form_value(&f);
            if (form_is_level(&f, value))
                break;
            for (int64_t i = 0; i < k; i++)
                value = form_improve(&f, i, value);
        }
        for (int64_t i = 0; i < k; i++)
            k_store(c->out[0].data, c->out[0].dtype, row * k + i, f.p[i]);
    }
    return K_OK;
}
