/* sparsify.c -- see sparsify.h. Weights are read as rows, one per result, in the order tap, input channel (as hessian.h has them); each weight gets a score,
 * the lowest of each pool become zero: of M neighbours, of a row, of a layer, or of all layers.
 */
#include "sparsify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "hessian.h"
#include "linalg.h"
#include "pass_util.h"
#include "rows.h"

static const double damping = 0.01;         /* of H, as for GPTQ */
enum { BLOCK = 128 };                       /* columns whose zeros are chosen together, as in SparseGPT */

bool pattern_from_name(const char *name, Pattern *out)
{
    int end = 0;
    *out = (Pattern){ 0 };
    if (!strcmp(name, "unstructured"))
        return true;
    return sscanf(name, "%d:%d%n", &out->stay, &out->of, &end) == 2 && !name[end] && out->stay > 0 && out->stay < out->of && out->of <= PATTERN_MOST;
}

/* ---- weights as rows ---- */

typedef struct Layer {
    SparseLayer *about;
    Rows rows;
    int nrows, n, channels;         /* of all groups; weights of a row; those of one tap */
    double *w, *score;              /* [nrows][n] */
    bool *zero;
} Layer;

static int64_t place_of(const Layer *l, int row, int column)
{
    int tap = column / l->channels, channel = column % l->channels;
    return rows_weight(&l->rows, row / l->rows.nout, channel * l->rows.kernel + tap, row % l->rows.nout);
}

static void read_layer(Arena *a, Layer *l)
{
    const Tensor *t = value_constant(node_in(l->about->node, 1));
    l->nrows = l->rows.ngroups * l->rows.nout;
    l->n = l->rows.nfeatures;
    size_t count = (size_t)l->nrows * (size_t)l->n;
    l->w = ARENA_ARRAY(a, double, count);
    l->score = ARENA_ARRAY(a, double, count);
    l->zero = ARENA_ARRAY(a, bool, count);
    for (int r = 0; r < l->nrows; r++)
        for (int c = 0; c < l->n; c++)
            l->w[(size_t)r * (size_t)l->n + (size_t)c] = tensor_get_f64(t, place_of(l, r, c));
}

static bool write_layer(Module *m, const Layer *l)
{
    Node *node = l->about->node;
    const Tensor *old = value_constant(node_in(node, 1));
    Tensor *t = tensor_new(m->arena, old->dtype, old->rank, old->dim);
    for (int r = 0; r < l->nrows; r++)
        for (int c = 0; c < l->n; c++) {
            size_t at = (size_t)r * (size_t)l->n + (size_t)c;
            tensor_set_f64(t, place_of(l, r, c), l->zero[at] ? 0 : l->w[at]);
        }
    Builder b = { m, node->graph, node, node_in(node, 1)->def->loc };
    Value *v = mk_tensor(&b, t), *was = node_in(node, 1);
    if (!v)
        return false;
    v->name = was->name;
    node_set_input(node, 1, v);
    if (!was->uses)
        node_erase(was->def);
    return true;
}

/* ---- which layers ---- */

static const char *why_dense(Module *m, const Node *n, const SparsifyOptions *o, Layer *l)
{
    for (int i = 0; i < o->nkeep; i++)
        if (groups_is_named(n, o->keep[i]))
            return "it is to be kept";
    if (!rows_of(n, &l->rows))
        return "its weights are not a matrix or filters of f32";
    l->channels = l->rows.nfeatures / l->rows.kernel;
    if (o->pattern.of && l->channels % o->pattern.of)
        return arena_printf(m->arena, "its sums run over %d inputs, which is no multiple of %d", l->channels, o->pattern.of);
    return NULL;
}

static bool has_weights(const Node *n)
{
    return (n->op == OP_conv || n->op == OP_conv_transpose || n->op == OP_matmul) && n->nin > 1 && value_constant(node_in(n, 1)) && !value_constant(node_in(n, 0));
}

/* Every name must be somebody's. */
static bool check_names(Module *m, const SparsifyOptions *o)
{
    for (int i = 0; i < o->nkeep; i++) {
        bool found = false;
        FOR_EACH_NODE(n, m->graph)
            found |= groups_is_named(n, o->keep[i]);
        if (!found)
            return diag_error(m->diag, (Loc){ .file = m->file }, "there is no node or tensor named '%s' to keep", o->keep[i]);
    }
    return true;
}

/* The layers that become sparse, in to; all of them, in about. */
static int find_layers(Module *m, const SparsifyOptions *o, Layer *to, SparseLayer *about, int *nabout)
{
    int n = 0;
    *nabout = 0;
    FOR_EACH_NODE(p, m->graph) {
        if (!has_weights(p))
            continue;
        Layer l = { .about = &about[*nabout] };
        about[(*nabout)++] = (SparseLayer){ .node = p, .name = groups_node_name(p), .dense = why_dense(m, p, o, &l) };
        if (!l.about->dense)
            to[n++] = l;
    }
    return n;
}

/* ---- the lowest of a pool ---- */

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The score at or below which `count` of n lie; below all if count is 0. room: n numbers. */
static double threshold_of(const double *score, int64_t n, int64_t count, double *room)
{
    if (count < 1)
        return -1;
    memcpy(room, score, sizeof *room * (size_t)n);
    qsort(room, (size_t)n, sizeof *room, compare_numbers);
    return room[count - 1];
}

static int64_t share(double fraction, int64_t n) { return (int64_t)(fraction * (double)n + 0.5); }

/* Marks `count` of n as zero, the first among equals. */
static void mark_lowest(const double *score, bool *zero, int64_t n, int64_t count, double *room)
{
    double limit = threshold_of(score, n, count, room);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n && count > 0; i++)
            if (!zero[i] && (pass ? score[i] == limit : score[i] < limit))
                zero[i] = true, count--;
}

static void mark_layer(const Layer *l, const SparsifyOptions *o, double *room)
{
    int64_t pool = o->pattern.of ? o->pattern.of : o->by == IMP_activation ? l->n : (int64_t)l->nrows * l->n;
    int64_t count = o->pattern.of ? o->pattern.of - o->pattern.stay : share(o->fraction, pool);
    for (int64_t at = 0; at < (int64_t)l->nrows * l->n; at += pool)
        mark_lowest(l->score + at, l->zero + at, pool, count, room);
}

/* Scores are divided by the mean of their layer before all are ranked together. */
static void mark_globally(Arena *a, const Layer *layer, int n, double fraction)
{
    int64_t all = 0, at = 0;
    for (int i = 0; i < n; i++)
        all += (int64_t)layer[i].nrows * layer[i].n;
    double *score = ARENA_ARRAY(a, double, all + 1), *room = ARENA_ARRAY(a, double, all + 1);
    for (int i = 0; i < n; i++) {
        int64_t count = (int64_t)layer[i].nrows * layer[i].n;
        double sum = 0;
        for (int64_t k = 0; k < count; k++)
            sum += layer[i].score[k];
        for (int64_t k = 0; k < count; k++)
            score[at++] = layer[i].score[k] = layer[i].score[k] * (sum > 0 ? (double)count / sum : 1);
    }
    double limit = threshold_of(score, all, share(fraction, all), room);
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < (int64_t)layer[i].nrows * layer[i].n; k++)
            layer[i].zero[k] = layer[i].score[k] <= limit;
}

/* ---- scores ---- */

static double drawn(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (double)((x ^ x >> 31) >> 11);
}

/* h: NULL: not measured. */
static void score_layer(const Layer *l, Importance by, const Hessian *h)
{
    for (int r = 0; r < l->nrows; r++)
        for (int c = 0; c < l->n; c++) {
            int64_t at = (int64_t)r * l->n + c;
            double met = by == IMP_activation && h->n ? h->h[r / l->rows.nout][(int64_t)c * l->n + c] : 1;
            l->score[at] = by == IMP_random ? drawn((uint64_t)at + 1) : fabs(l->w[at]) * sqrt(met);
        }
}

/* ---- reconstruction: column after column, the rest makes up for what goes ---- */

/* Of columns from .. from + width of the rows first .. first + nrows: the squared weight over the variance that the columns to come leave of its input. */
static void mark_block(const Layer *l, const SparsifyOptions *o, const double *u, int first, int from, int width, double *room)
{
    int nout = l->rows.nout, used = 0;
    double *score = room + (int64_t)nout * width;
    bool *zero = (bool *)(score + (int64_t)nout * width);
    for (int r = 0; r < nout; r++)
        for (int c = from; c < from + width; c++) {
            double w = l->w[(int64_t)(first + r) * l->n + c], d = u[(int64_t)c * l->n + c];
            score[used] = w * w / (d * d);
            zero[used++] = false;
        }
    int pool = o->pattern.of ? o->pattern.of : used;
    for (int at = 0; at < used; at += pool)
        mark_lowest(score + at, zero + at, pool, o->pattern.of ? pool - o->pattern.stay : share(o->fraction, pool), room);
    for (int r = 0; r < nout; r++)
        memcpy(l->zero + (int64_t)(first + r) * l->n + from, zero + (int64_t)r * width, sizeof *zero * (size_t)width);
}

static void drop_columns(const Layer *l, const double *u, int first, int from, int width)
{
    for (int r = first; r < first + l->rows.nout; r++) {
        double *w = l->w + (int64_t)r * l->n;
        for (int c = from; c < from + width; c++) {
            const double *uc = u + (int64_t)c * l->n;
            double e = l->zero[(int64_t)r * l->n + c] ? w[c] / uc[c] : 0;
            for (int j = c; e != 0 && j < l->n; j++)
                w[j] -= e * uc[j];
        }
    }
}

/* False: nothing is known of what the layer meets. */
static bool reconstruct_layer(const Layer *l, const SparsifyOptions *o, const Hessian *h)
{
    Arena *a = arena_new();
    int width = o->pattern.of ? o->pattern.of : BLOCK;
    double *u = ARENA_ARRAY(a, double, (int64_t)l->n * l->n), *room = ARENA_ARRAY(a, double, 3 * (int64_t)l->rows.nout * width);
    bool ok = h->n == l->n;
    for (int g = 0; ok && g < l->rows.ngroups; g++) {
        linalg_damp(h->h[g], l->n, damping);
        ok = linalg_inverse_factor(h->h[g], l->n, u);
        for (int c = 0; ok && c < l->n; c += width) {
            int part = l->n - c < width ? l->n - c : width;
            mark_block(l, o, u, g * l->rows.nout, c, part, room);
            drop_columns(l, u, g * l->rows.nout, c, part);
        }
    }
    arena_free(a);
    return ok;
}

/* ---- all ---- */

static Hessian *measure(Module *m, Arena *a, const Layer *layer, int n, Samples *s)
{
    Node **product = ARENA_ARRAY(a, Node *, n + 1);
    for (int i = 0; i < n; i++)
        product[i] = layer[i].about->node;
    return hessian_measure(m, a, product, n, s);
}

static void choose_layer(Arena *a, Layer *l, const SparsifyOptions *o, const Hessian *h)
{
    if (o->by == IMP_reconstruction && reconstruct_layer(l, o, h))
        return;
    score_layer(l, o->by == IMP_reconstruction ? IMP_l1 : o->by, h);
    if (!o->global)
        mark_layer(l, o, ARENA_ARRAY(a, double, (int64_t)l->nrows * l->n));
}

static void count_zeros(SparseLayer *l)
{
    const Tensor *t = value_constant(node_in(l->node, 1));
    l->count = t->count;
    l->zeros = 0;
    for (int64_t i = 0; i < t->count; i++)
        l->zeros += tensor_get_f64(t, i) == 0;
}

bool sparsify_module(Module *m, const SparsifyOptions *o, Samples *samples, SparseLayer **layers, int *nlayers)
{
    Arena *a = arena_new();
    int nodes = graph_count_nodes(m->graph), n;
    Layer *layer = ARENA_ARRAY(a, Layer, nodes + 1);
    *layers = ARENA_ARRAY(m->arena, SparseLayer, nodes + 1);
    bool ok = check_names(m, o);
    n = find_layers(m, o, layer, *layers, nlayers);
    if (ok && !n)
        ok = diag_error(m->diag, (Loc){ .file = m->file }, "there are no weights to set to zero%s%s%s%s", *nlayers ? ": " : "", *nlayers ? (*layers)->name : "",
                        *nlayers ? " stays, since " : "", *nlayers ? (*layers)->dense : "");
    Hessian *h = ok && importance_table[o->by].needs_data ? measure(m, a, layer, n, samples) : NULL;
    ok = ok && (h || !importance_table[o->by].needs_data);
    for (int i = 0; ok && i < n; i++) {
        read_layer(a, &layer[i]);
        choose_layer(a, &layer[i], o, h ? &h[i] : NULL);
    }
    if (ok && o->global)
        mark_globally(a, layer, n, o->fraction);
    for (int i = 0; ok && i < n; i++)
        ok = write_layer(m, &layer[i]);
    for (int i = 0; ok && i < *nlayers; i++)
        count_zeros(&(*layers)[i]);
    arena_free(a);
    return ok;
}
