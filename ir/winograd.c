/* winograd.c -- see winograd.h. */
#include "winograd.h"

#include <string.h>

/* Product of (x - point[l]) over l < count, l != skip, as coefficients of x^0... */
static void polynomial(const double *point, int count, int skip, double *coefficient)
{
    int degree = 0;
    coefficient[0] = 1;
    for (int l = 0; l < count; l++) {
        if (l == skip)
            continue;
        coefficient[++degree] = 0;
        for (int k = degree; k > 0; k--)
            coefficient[k] = coefficient[k - 1] - point[l] * coefficient[k];
        coefficient[0] *= -point[l];
    }
    while (++degree < WINOGRAD_MAX_INPUT)
        coefficient[degree] = 0;
}

Winograd winograd_matrices(int m)
{
    static const double point[] = { 0, 1, -1, 2, -2, 0.5, -0.5 };
    Winograd w = { .m = m, .n = m + 2 };
    int finite = w.n - 1;
    for (int j = 0; j < finite; j++) {
        double scale = 1, power = 1;
        for (int l = 0; l < finite; l++)
            scale *= l == j ? 1 : point[j] - point[l];
        for (int i = 0; i < m; i++, power *= point[j])
            w.at[i][j] = power;
        for (int k = 0; k < 3; k++)
            w.g[j][k] = (k == 0 ? 1 : k == 1 ? point[j] : point[j] * point[j]) / scale;
        polynomial(point, finite, j, w.bt[j]);
    }
    w.at[m - 1][finite] = 1;
    w.g[finite][2] = 1;
    polynomial(point, finite, -1, w.bt[finite]);
    return w;
}

WinogradPlan winograd_plan(const Attr_conv *a)
{
    if (a->winograd.n != 4)
        return (WinogradPlan){ .m = 0 };
    return (WinogradPlan){ (int)a->winograd.v[0], a->winograd.v[1], a->winograd.v[2], a->winograd.v[3] };
}

static bool all_are(IntVec v, int64_t x)
{
    for (int i = 0; i < v.n; i++)
        if (v.v[i] != x)
            return false;
    return true;
}

bool winograd_applies(const Node *n)
{
    if (n->op != OP_conv || !node_in(n, 1))
        return false;
    const Attr_conv *a = NODE_ATTR(n, conv);
    const Type *w = &node_in(n, 1)->type;
    return w->rank == 4 && w->dtype == DT_f32 && dim_is(w->dim[2], 3) && dim_is(w->dim[3], 3) && dim_is_const(w->dim[0]) && dim_is_const(w->dim[1]) &&
           a->channels_last && a->group == 1 && all_are(a->strides, 1) && all_are(a->dilations, 1);
}

bool winograd_takes_pool(const Node *conv, const Node *pool)
{
    if (conv->op != OP_conv || !NODE_ATTR(conv, conv)->winograd.n || pool->op != OP_pool)
        return false;
    const Attr_pool *a = NODE_ATTR(pool, pool);
    const Type *x = &node_in(pool, 0)->type;
    bool squares = a->kernel.n == 2 && all_are(a->kernel, 2) && a->strides.n == 2 && all_are(a->strides, 2) && all_are(a->dilations, 1) && all_are(a->pads, 0);
    bool whole = !a->ceil || (dim_is_const(x->dim[1]) && dim_is_const(x->dim[2]) && x->dim[1]->k % 2 == 0 && x->dim[2]->k % 2 == 0);
    return squares && whole && a->channels_last && !strcmp(a->kind, "max") && x->dtype == DT_f32;
}

int64_t winograd_row(int64_t channels)
{
    int64_t row = (channels + WINOGRAD_LANES - 1) / WINOGRAD_LANES * WINOGRAD_LANES;
    return row % 256 ? row : row + WINOGRAD_LANES;          /* 14 rows at a distance of 1 KB or 4 KB share few sets of the first-level cache */
}

int64_t winograd_slot_bytes(const WinogradPlan *p, int64_t channels)
{
    int64_t n = p->m + 2;
    return n * n * p->tiles * (winograd_row(channels) + winograd_row(p->panels * WINOGRAD_LANES)) * (int64_t)sizeof(float);
}
