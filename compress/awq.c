/* awq.c -- AWQ: J. Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", arXiv:2306.00978.
 *
 * Input channel c of a product is scaled by s[c] in the weights and by 1 / s[c] in what they meet: nothing changes but how finely the channel's weights are
 * rounded. s = |x|^a, or |x|^a / |w|^(1-a), means per channel; a and the form are those with the least error of the result after rounding to nearest.
 *
 *     add(mul(x, gamma), beta) -> product     gamma / s, beta / s      (a norm's last step)
 *     relu(product) -> product                the weights' outputs / s
 *     anything else -> product                mul(anything else, 1 / s) -> product
 */
#include <math.h>
#include <string.h>

#include "build.h"
#include "pass_util.h"
#include "weight_repair.h"

enum { STEPS = 20, MOST_ROWS = 256 };

/* ---- how large channels are ---- */

static void mean_inputs(const WeightRows *r, const Hessian *h, double *x)
{
    for (int64_t c = 0; c < r->k; c++) {
        for (int64_t tap = 0; tap < r->taps; tap++)
            x[c] += h->mean[0][tap * r->k + c];
        x[c] /= (double)r->taps;
    }
}

static void mean_weights(const WeightRows *r, double *w)
{
    for (int64_t i = 0; i < r->rows * r->taps * r->k; i++)
        w[i % r->k] += fabs((double)r->w[i]) / (double)(r->rows * r->taps);
}

/* The geometric mean of the least and the greatest becomes 1; channels that are never seen keep 1. */
static void normalise(double *s, int64_t n)
{
    double least = INFINITY, most = 0;
    for (int64_t i = 0; i < n; i++)
        if (s[i] > 1e-4)
            least = fmin(least, s[i]), most = fmax(most, s[i]);
    for (int64_t i = 0; i < n; i++)
        s[i] = most > 0 && s[i] > 1e-4 ? s[i] / sqrt(least * most) : 1;
}

/* ---- the search ---- */

/* Error of some of the rows under these scales. t: room for scaled rows of the same form. */
static double error_under(Arena *a, const WeightRows *r, const Hessian *h, const double *s, WeightRows *t)
{
    int64_t n = r->taps * r->k, step = r->rows / t->rows;
    double *d = ARENA_ARRAY(a, double, n), sum = 0;
    for (int64_t row = 0; row < t->rows; row++)
        for (int64_t i = 0; i < n; i++)
            t->w[row * n + i] = (float)((double)r->w[row * step * n + i] * s[i % r->k]);
    weight_codes_fit(t);
    weight_codes_round(t);
    for (int64_t row = 0; row < t->rows; row++) {
        for (int64_t i = 0; i < n; i++)
            d[i] = (double)weight_rows_value(t, row, i) / s[i % r->k] - (double)r->w[row * step * n + i];
        sum += hessian_error(h->h[0], h->n, d);
    }
    return sum;
}

double *awq_scales(Arena *a, const WeightRows *r, const Hessian *h)
{
    double *best = ARENA_ARRAY(a, double, r->k), *s = ARENA_ARRAY(a, double, r->k), least;
    double *x = ARENA_ARRAY(a, double, r->k), *w = ARENA_ARRAY(a, double, r->k);
    WeightRows t = weight_rows_like(a, r, r->rows < MOST_ROWS ? r->rows : MOST_ROWS);
    for (int64_t c = 0; c < r->k; c++)
        best[c] = 1;
    if (h->groups != 1)
        return best;
    mean_inputs(r, h, x);
    mean_weights(r, w);
    least = error_under(a, r, h, best, &t);
    for (int i = 1; i <= 2 * STEPS; i++) {
        double power = (double)((i + 1) / 2) / STEPS, rest = i % 2 ? 0 : 1 - power;
        for (int64_t c = 0; c < r->k; c++)
            s[c] = pow(x[c], power) / pow(fmax(w[c], 1e-8), rest);
        normalise(s, r->k);
        double e = error_under(a, r, h, s, &t);
        if (e < least) {
            least = e;
            memcpy(best, s, sizeof *s * (size_t)r->k);
        }
    }
    return best;
}

/* ---- into the graph ---- */

static Value *folded(Module *m, Value *v)
{
    Value *k = v ? fold_node(m, v->def) : NULL;
    if (k)
        node_erase(v->def);
    return k ? k : v;
}

/* A constant times `by`, as a constant; `like` is where it was used. */
static Value *times(Module *m, Node *at, Value *constant, Value *by)
{
    Builder b = { m, at->graph, at, at->loc };
    Value *v = folded(m, mk_mul(&b, constant, by));
    if (v)
        v->name = constant->name;
    return v;
}

/* by as [C, 1, ...] of a filter's outputs, from [C, 1, ...] of an image, or as it is. */
static Value *for_outputs(Module *m, Node *n, Value *by)
{
    Builder b = { m, n->graph, n, n->loc };
    int64_t dim[MAX_RANK] = { type_count(&by->type) };
    int rank = n->op == OP_conv ? value_rank(node_in(n, 1)) : 1;
    for (int i = 1; i < rank; i++)
        dim[i] = 1;
    return folded(m, mk_reshape_ints(&b, by, rank, dim));
}

static bool has_one_use(const Value *v)
{
    return v->uses && !v->uses->next;
}

/* Whether what makes v can be divided by a vector along its channels; then, with `by`, it is. */
static bool absorb(Module *m, Value *v, Value *by, OpCode product)
{
    Node *n = v->def;
    if (!has_one_use(v))
        return false;
    if (n->op == OP_relu)
        return absorb(m, node_in(n, 0), by, product);
    bool sum = n->op == OP_add, either = sum || n->op == OP_mul;
    if (!either && n->op != product)
        return false;
    int c = either && value_constant(node_in(n, 0)) ? 0 : 1;     /* the constant operand */
    if (!value_constant(node_in(n, c)) || value_rank(node_in(n, 1 - c)) != value_rank(v) || (sum && !absorb(m, node_in(n, 1 - c), by, product)))
        return false;
    if (!by)
        return true;
    Value *w = times(m, n, node_in(n, c), n->op == product ? for_outputs(m, n, by) : by);
    if (w)
        node_set_input(n, c, w);
    if (n->op == OP_conv && node_in(n, 2)) {
        Builder b = { m, n->graph, n, n->loc };
        Value *flat = folded(m, mk_reshape_ints(&b, by, 1, (int64_t[]){ type_count(&by->type) }));
        node_set_input(n, 2, times(m, n, node_in(n, 2), flat));
    }
    return w != NULL;
}

/* A constant [n, 1, ...] of that rank, before `at`. */
static Value *vector(Module *m, Node *at, int64_t n, int rank, const double *x, bool inverse)
{
    int64_t dim[MAX_RANK] = { n };
    for (int i = 1; i < rank; i++)
        dim[i] = 1;
    Tensor *t = tensor_new(m->arena, DT_f32, rank, dim);
    for (int64_t i = 0; i < n; i++)
        tensor_set_f64(t, i, inverse ? 1 / x[i] : x[i]);
    Builder b = { m, at->graph, at, at->loc };
    return mk_tensor(&b, t);
}

bool awq_apply(Module *m, Node *product, const double *s)
{
    bool conv = product->op == OP_conv;
    Value *x = node_in(product, 0);
    const Tensor *w = value_constant(node_in(product, 1));
    int64_t k = w->dim[conv ? 1 : 0];
    /* a filter's inputs are its axis 1, a matrix's its axis 0 */
    Value *up = vector(m, product, k, w->rank - (conv ? 1 : 0), s, false), *weights = times(m, product, node_in(product, 1), up);
    Node *first = x->def->op == OP_input ? product : product->graph->first;
    while (first->op == OP_input || first->op == OP_constant)
        first = first->next;
    Value *down = vector(m, first, k, conv ? value_rank(x) - 1 : 1, s, true);
    if (!weights || !down)
        return false;
    node_set_input(product, 1, weights);
    if (absorb(m, x, NULL, product->op))
        return absorb(m, x, down, product->op);
    Builder b = { m, product->graph, product, product->loc };
    Value *y = mk_mul(&b, x, down);
    if (y)
        node_set_input(product, 0, y);
    return y != NULL;
}
