/* accuracy.c -- see accuracy.h. */
#include "accuracy.h"

#include <math.h>

#include "tool.h"

enum { TOP = 5 };

/* How many classes come before the label: larger scores, and equal ones of a lower number. A NaN comes before nothing. */
static int64_t rank_of(const ingot_tensor *scores, int64_t first, int64_t classes, int64_t label)
{
    double mine = samples_element(scores, first + label);
    int64_t before = mine == mine ? 0 : classes;
    for (int64_t i = 0; i < classes; i++) {
        double x = samples_element(scores, first + i);
        before += x > mine || (x == mine && i < label);
    }
    return before;
}

static double loss_of(const ingot_tensor *scores, int64_t first, int64_t classes, int64_t label)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < classes; i++)
        most = fmax(most, samples_element(scores, first + i));
    for (int64_t i = 0; i < classes; i++)
        sum += exp(samples_element(scores, first + i) - most);
    return log(sum) + most - samples_element(scores, first + label);
}

bool accuracy_add(Accuracy *a, const char *name, const ingot_tensor *scores, int64_t run, const ingot_tensor *labels, int64_t first, int64_t count)
{
    int64_t per_sample = ingot_count(labels) / (labels->rank ? labels->dim[0] : 1), all = ingot_count(scores), classes = all / (run * per_sample);
    if (!samples_readable(scores->dtype) || classes < 1 || classes * run * per_sample != all)
        return tool_fail("%s: the first output is no table of scores", name), false;
    a->places |= per_sample > 1;
    for (int64_t i = 0; i < count * per_sample; i++) {
        int64_t label = (int64_t)samples_element(labels, first * per_sample + i);
        if (label < 0 || label >= classes)
            return tool_fail("%s: label %lld of sample %lld, the model has %lld classes", a->labels ? a->labels : name, (long long)label, (long long)(first + i / per_sample),
                             (long long)classes), false;
        int64_t before = rank_of(scores, i * classes, classes, label);
        a->n++;
        a->right += before == 0;
        a->among += before < TOP;
        a->loss += loss_of(scores, i * classes, classes, label);
    }
    return true;
}
