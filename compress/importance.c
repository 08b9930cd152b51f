/* importance.c -- see importance.h: scores from weights alone.
 *
 * BatchNorm is folded into the weights before (its factor gamma / sqrt(variance + epsilon) scales a filter), so that norms are of what is computed.
 */
#include "importance.h"

#include <math.h>
#include <string.h>

const ImportanceInfo importance_table[IMP_count] = {
#define IMPORTANCE(id, name, data, summary) [IMP_##id] = { name, summary, data },
#include "importance.def"
#undef IMPORTANCE
};

bool importance_from_name(const char *name, Importance *out)
{
    for (int i = 0; i < IMP_count; i++)
        if (!strcmp(importance_table[i].name, name)) {
            *out = (Importance)i;
            return true;
        }
    return false;
}

/* ---- the elements of a weight ---- */

static int64_t product_of(const Tensor *t, int from)
{
    int64_t n = 1;
    for (int i = from; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

void product_channels(const Product *p, int64_t i, int64_t *made, int64_t *read)
{
    const Tensor *w = value_constant(node_in(p->node, p->weight));
    if (p->node->op == OP_matmul) {
        int64_t last = w->dim[w->rank - 1], before = w->dim[w->rank - 2], column = i % last, row = i / last % before;
        *made = p->weight == 1 ? column : row;
        *read = p->weight == 1 ? row : column;
        return;
    }
    int64_t inner = product_of(w, 2), second = i / inner % w->dim[1], first = i / (inner * w->dim[1]);
    bool transposed = p->node->op == OP_conv_transpose;
    int64_t group = transposed ? NODE_ATTR(p->node, conv_transpose)->group : NODE_ATTR(p->node, conv)->group;
    int64_t joined = first / (w->dim[0] / group) * w->dim[1] + second;
    *made = transposed ? joined : first;
    *read = transposed ? first : joined;
}

/* ---- norms ---- */

static void add_norms(const Groups *s, const Product *p, bool squares, double *score)
{
    const Tensor *w = value_constant(node_in(p->node, p->weight));
    for (int64_t i = 0; i < w->count; i++) {
        int64_t made, read;
        product_channels(p, i, &made, &read);
        int u = p->made.n ? groups_unit(s, p->made.first + (int)made) : -1;
        double x = u < 0 ? 0 : tensor_get_f64(w, i);
        if (u >= 0)
            score[u] += squares ? x * x : fabs(x);
    }
}

/* ---- geometric median (He et al., Filter Pruning via Geometric Median, 2019) ---- */

enum { SKETCH = 64 };               /* filters are compared by as many random sums of their weights (Johnson and Lindenstrauss) */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Adds to sketch[unit][SKETCH] each weight of the unit, its sign in each sum drawn by its place in the filter. */
static void add_sketch(const Groups *s, const Product *p, int number, double *sketch)
{
    const Tensor *w = value_constant(node_in(p->node, p->weight));
    int64_t inner = p->node->op == OP_matmul ? 1 : product_of(w, 2);
    for (int64_t i = 0; i < w->count; i++) {
        int64_t made, read;
        product_channels(p, i, &made, &read);
        int u = p->made.n ? groups_unit(s, p->made.first + (int)made) : -1;
        uint64_t signs = mix(mix((uint64_t)(read * inner + i % inner)) + (uint64_t)number * 0x9e3779b97f4a7c15u);
        double x = u < 0 ? 0 : tensor_get_f64(w, i);
        for (int k = 0; u >= 0 && k < SKETCH; k++)
            sketch[(size_t)u * SKETCH + (size_t)k] += signs >> k & 1 ? x : -x;
    }
}

static void score_by_distance(const Groups *s, double *score)
{
    double *sketch = ARENA_ARRAY(s->arena, double, (size_t)s->nunits * SKETCH + 1);
    for (int i = 0; i < s->nproducts; i++)
        if (s->product[i].group >= 0)
            add_sketch(s, &s->product[i], i, sketch);
    for (int g = 0; g < s->ngroups; g++)
        for (int a = s->group[g].first; a < s->group[g].first + s->group[g].n; a++)
            for (int b = s->group[g].first; b < s->group[g].first + s->group[g].n; b++) {
                double sum = 0;
                for (int k = 0; k < SKETCH; k++) {
                    double d = sketch[(size_t)a * SKETCH + (size_t)k] - sketch[(size_t)b * SKETCH + (size_t)k];
                    sum += d * d;
                }
                score[a] += sqrt(sum);
            }
}

/* ---- all ---- */

void importance_normalise(const Groups *s, double *score)
{
    for (int g = 0; g < s->ngroups; g++) {
        double sum = 0;
        int first = s->group[g].first, n = s->group[g].n;
        for (int u = first; u < first + n; u++)
            sum += score[u];
        for (int u = first; u < first + n && sum > 0; u++)
            score[u] *= n / sum;
    }
}

double *importance_of_weights(const Groups *s, Importance by)
{
    double *score = ARENA_ARRAY(s->arena, double, s->nunits + 1);
    for (int i = 0; i < s->nproducts && (by == IMP_l1 || by == IMP_l2); i++)
        add_norms(s, &s->product[i], by == IMP_l2, score);
    if (by == IMP_fpgm)
        score_by_distance(s, score);
    for (int u = 0; u < s->nunits; u++) {
        if (by == IMP_l2)
            score[u] = sqrt(score[u]);
        if (by == IMP_random)
            score[u] = (double)(mix((uint64_t)u + 1) >> 11);
    }
    importance_normalise(s, score);
    return score;
}

/* ---- BatchNorm (Liu et al., Network Slimming, 2017) ---- */

/* gamma / sqrt(variance + epsilon), as it is imported. */
static const Tensor *gamma_at(const Node *n)
{
    const Tensor *gamma = n->op == OP_div ? value_constant(node_in(n, 0)) : NULL;
    const Node *root = gamma && gamma->rank == 1 ? node_in(n, 1)->def : NULL;
    const Node *sum = root && root->op == OP_sqrt ? node_in(root, 0)->def : NULL;
    return sum && sum->op == OP_add && value_constant(node_in(sum, 0)) && n->loc.node ? gamma : NULL;
}

Gammas gammas_find(Arena *a, const Graph *g)
{
    int nodes = 0;
    FOR_EACH_NODE(n, g)
        nodes += gamma_at(n) != NULL;
    Gammas r = { 0, ARENA_ARRAY(a, const char *, nodes + 1), ARENA_ARRAY(a, const Tensor *, nodes + 1) };
    FOR_EACH_NODE(n, g)
        if (gamma_at(n)) {
            r.node[r.n] = n->loc.node;
            r.gamma[r.n++] = gamma_at(n);
        }
    return r;
}

static const Tensor *gamma_of(const Gammas *gammas, const Node *n)
{
    for (int i = 0; n->loc.node && i < gammas->n; i++)
        if (!strcmp(gammas->node[i], n->loc.node))
            return gammas->gamma[i];
    return NULL;
}

double *importance_of_gammas(const Groups *s, const Gammas *gammas)
{
    double *score = importance_of_weights(s, IMP_l1);
    bool *has = ARENA_ARRAY(s->arena, bool, s->ngroups + 1), any = false;
    for (int i = 0; i < s->nproducts; i++) {
        const Product *p = &s->product[i];
        const Tensor *gamma = p->group >= 0 ? gamma_of(gammas, p->node) : NULL;
        if (!gamma || gamma->count != p->made.n)
            continue;
        const UnitGroup *g = &s->group[p->group];
        if (!has[p->group])
            memset(score + g->first, 0, sizeof *score * (size_t)g->n);
        has[p->group] = any = true;
        for (int c = 0; c < p->made.n; c++)
            if (groups_unit(s, p->made.first + c) >= 0)
                score[groups_unit(s, p->made.first + c)] += fabs(tensor_get_f64(gamma, c));
    }
    if (!any) {
        diag_error(s->m->diag, (Loc){ .file = s->m->file }, "there is no BatchNorm to rank by: it was folded before the file was written; try --importance l1");
        return NULL;
    }
    importance_normalise(s, score);
    return score;
}
