/* repair.c -- see repair.h: what is done in which order, and bias correction, which needs nothing but the mean errors. */
#include "repair.h"

#include "sensitivity.h"

enum { MEAN_SAMPLES = 128 };

static bool correct_biases(Module *m, QdqPlan *p, Samples *s)
{
    Sensitivity *k = ARENA_ARRAY(m->arena, Sensitivity, p->nlayers + 1);
    if (!sensitivity_measure(m, p, s, MEAN_SAMPLES, false, k))
        return false;
    for (int i = 0; i < p->nlayers; i++) {
        QdqLayer *l = &p->layer[i];
        if (l->keep)
            continue;
        l->shift = tensor_new(m->arena, DT_f32, 1, &l->q->dim[l->axis]);
        for (int64_t c = 0; c < l->shift->count; c++)
            tensor_set_f64(l->shift, c, k[i].mean[c]);
    }
    return true;
}

bool repair_before(Module *m, const QuantizeOptions *o, Samples *s)
{
    return (!o->equalize || equalize(m)) && (!o->smoothquant || smoothquant(m, s));
}

bool repair_after(Module *m, QdqPlan *p, const QuantizeOptions *o, Samples *s)
{
    return (!(o->adaround || (o->weight_bits == 4 && !o->nearest)) || adaround(m, p, s)) && (!o->bias_correction || correct_biases(m, p, s));
}
