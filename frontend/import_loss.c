/* import_loss.c -- NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
 *
 * Scores are [N, classes, d1...], targets [N, d1...]. The chosen class is gathered along axis 1; an ignored target picks class 0 under weight 0.
 */
#include <string.h>

#include "import_parts.h"

typedef struct Loss { Value *each, *weight; } Loss;     /* per target: the weighted loss, and the weight */

/* Weight of each target's class (1 without weights), 0 where the target is ignored. */
static Loss loss_of(Importer *c, Value *log_prob, Value *target, Value *weights)
{
    Builder *b = &c->b;
    Loss l = { NULL, NULL };
    Value *chosen = target, *kept = NULL;
    if (has_attr(c, "ignore_index")) {
        kept = mk_ne(b, target, mk_k(b, target, (double)attr_i(c, "ignore_index", 0)));
        chosen = mk_where(b, kept, target, mk_k(b, target, 0));
    }
    Value *picked = mk_gather_elements(b, IN(log_prob, mk_insert_axes(b, chosen, 1, 1)), (Attr_gather_elements){ .axis = 1 });
    picked = mk_neg(b, mk_drop_axes(b, picked, 1, (int64_t[]){ 1 }));
    if (weights)
        l.weight = mk_gather(b, IN(weights, chosen), (Attr_gather){ .axis = 0 });
    else
        l.weight = picked ? mk_full(b, picked->type.dtype, value_rank(picked), picked->type.dim, 1) : NULL;
    if (kept)
        l.weight = mk_where(b, kept, l.weight, mk_k(b, l.weight, 0));
    l.each = weights ? mk_mul(b, picked, l.weight) : picked;
    if (kept)
        l.each = mk_where(b, kept, l.each, mk_k(b, l.each, 0));
    return l;
}

static Value *sum_all(Builder *b, Value *x)
{
    int64_t axes[MAX_RANK];
    int n = x ? axes_from(0, value_rank(x), axes) : 0;
    return mk_drop_axes(b, mk_reduce_axes(b, "sum", x, n, axes), n, axes);
}

/* reduction: none, sum, or mean, which divides by the weights of the targets. */
static bool set_loss(Importer *c, Loss l)
{
    Builder *b = &c->b;
    const char *reduction = attr_s(c, "reduction", "mean");
    if (!strcmp(reduction, "none"))
        OUT(c, l.each);
    if (!strcmp(reduction, "sum"))
        OUT(c, sum_all(b, l.each));
    if (strcmp(reduction, "mean"))
        return import_fail(c, "reduction must be none, sum or mean, not '%s'", reduction);
    OUT(c, mk_div(b, sum_all(b, l.each), sum_all(b, l.weight)));
}

static bool loss_operands(Importer *c)
{
    Value *x = in(c, 0), *target = in(c, 1);
    if (!x || !target)
        return false;
    return (value_rank(x) >= 2 && value_rank(target) == value_rank(x) - 1) ||
           import_fail(c, "scores of rank %d and targets of rank %d; [N, classes, ...] and [N, ...] are needed", value_rank(x), value_rank(target));
}

bool import_negative_log_likelihood_loss(Importer *c)
{
    return loss_operands(c) && set_loss(c, loss_of(c, in(c, 0), in(c, 1), in(c, 2)));
}

bool import_softmax_cross_entropy_loss(Importer *c)
{
    if (!loss_operands(c))
        return false;
    Value *log_prob = mk_softmax(&c->b, IN(in(c, 0)), (Attr_softmax){ .axis = 1, .log = true });
    return set_loss(c, loss_of(c, log_prob, in(c, 1), in(c, 2))) && (!out_wanted(c, 1) || set_out(c, 1, log_prob));
}
