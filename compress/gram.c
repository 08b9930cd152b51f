/* gram.c -- see gram.h. A convolution's vectors are the windows of its input, unrolled as the weight is: channel, then place in the window. */
#include "gram.h"

#include <string.h>

#include "observe.h"

typedef struct Watch {
    const QdqPlan *p;
    const int *layer;               /* of each tap */
    int n;
    Gram *gram;
    float *row;
    int64_t rows;                   /* wanted per run */
} Watch;

static void add_row(Gram *g, int64_t group, const float *x)
{
    float *h = g->h + group * g->depth * g->depth;
    for (int64_t i = 0; i < g->depth; i++) {
        float *to = h + i * g->depth, k = x[i];
        for (int64_t j = 0; k != 0 && j < g->depth; j++)
            to[j] += k * x[j];
    }
}

static void add_matrix(Watch *k, Gram *g, const Tensor *x)
{
    int64_t n = x->count / g->depth, step = n / k->rows + 1;
    for (int64_t i = 0; i < n; i += step, g->rows++)
        add_row(g, 0, (const float *)x->data + i * g->depth);
}

/* One window of a convolution with at most two spatial axes; the first is of size 1 if there is one. */
typedef struct Window {
    int64_t c, h, w, kh, kw, sh, sw, dh, dw, ph, pw, oh, ow;
} Window;

static Window window_of(const Node *n, const Tensor *x)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    const Tensor *w = value_constant(n->in[1].val);
    bool flat = x->rank == 3;
    int last = flat ? 0 : 1, spatial = x->rank - 2;
    Window k = { x->dim[1] / a->group, flat ? 1 : x->dim[2], x->dim[x->rank - 1], flat ? 1 : w->dim[2], w->dim[w->rank - 1], flat ? 1 : a->strides.v[0],
                 a->strides.v[last], flat ? 1 : a->dilations.v[0], a->dilations.v[last], flat ? 0 : a->pads.v[0], a->pads.v[last], 1, 1 };
    int64_t end_h = flat ? 0 : a->pads.v[spatial], end_w = a->pads.v[spatial + last];
    k.oh = (k.h + k.ph + end_h - k.dh * (k.kh - 1) - 1) / k.sh + 1;
    k.ow = (k.w + k.pw + end_w - k.dw * (k.kw - 1) - 1) / k.sw + 1;
    return k;
}

static void unroll(const Window *k, const float *x, int64_t oy, int64_t ox, float *row)
{
    for (int64_t c = 0; c < k->c; c++)
        for (int64_t i = 0; i < k->kh; i++)
            for (int64_t j = 0; j < k->kw; j++) {
                int64_t y = oy * k->sh - k->ph + i * k->dh, z = ox * k->sw - k->pw + j * k->dw;
                bool inside = y >= 0 && y < k->h && z >= 0 && z < k->w;
                *row++ = inside ? x[(c * k->h + y) * k->w + z] : 0;
            }
}

static void add_images(Watch *watch, Gram *g, const Node *n, const Tensor *x)
{
    Window k = window_of(n, x);
    int64_t places = k.oh * k.ow, all = places * x->dim[0], step = all / watch->rows + 1;
    for (int64_t i = 0; i < all; i += step, g->rows++)
        for (int64_t group = 0; group < g->groups; group++) {
            const float *image = (const float *)x->data + (i / places * g->groups + group) * k.c * k.h * k.w;
            unroll(&k, image, i % places / k.ow, i % places % k.ow, watch->row);
            add_row(g, group, watch->row);
        }
}

static bool see(void *ctx, int64_t sample, const Tensor *const *taps)
{
    Watch *k = ctx;
    (void)sample;
    for (int i = 0; i < k->n; i++) {
        const Node *n = k->p->layer[k->layer[i]].n;
        Gram *g = &k->gram[k->layer[i]];
        if (n->op == OP_matmul)
            add_matrix(k, g, taps[i]);
        else
            add_images(k, g, n, taps[i]);
    }
    return true;
}

static void shape_gram(const QdqLayer *l, Gram *g)
{
    const Tensor *w = value_constant(l->n->in[1].val);
    int64_t depth = w->count / w->dim[l->axis];
    g->groups = l->n->op == OP_conv ? NODE_ATTR(l->n, conv)->group : 1;
    g->depth = l->keep || depth > GRAM_MOST ? 0 : depth;
}

Gram *gram_measure(Module *m, Arena *a, const QdqPlan *p, Samples *s, int64_t rows)
{
    Gram *g = ARENA_ARRAY(a, Gram, p->nlayers + 1);
    int *layer = ARENA_ARRAY(a, int, p->nlayers + 1), n = 0;
    Value **tap = ARENA_ARRAY(a, Value *, p->nlayers + 1);
    for (int i = 0; i < p->nlayers; i++) {
        shape_gram(&p->layer[i], &g[i]);
        if (!g[i].depth)
            continue;
        g[i].h = ARENA_ARRAY(a, float, g[i].groups * g[i].depth * g[i].depth);
        layer[n] = i;
        tap[n++] = p->layer[i].n->in[0].val;
    }
    int64_t runs = (samples_count(s) + samples_batch(s) - 1) / samples_batch(s);
    Watch k = { p, layer, n, g, ARENA_ARRAY(a, float, GRAM_MOST), rows / runs + 1 };
    if (n && !observe(m, s, tap, n, see, &k))
        return NULL;
    for (int i = 0; i < p->nlayers; i++)
        for (int64_t j = 0; g[i].depth && g[i].rows && j < g[i].groups * g[i].depth * g[i].depth; j++)
            g[i].h[j] /= (float)g[i].rows;
    return g;
}
