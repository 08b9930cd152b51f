/* prune_repair.c -- see prune_repair.h.
 *
 * Least squares as in He, Zhang and Sun, Channel Pruning (2017): min |Y - X W|^2, Y the original's result before the activation function on the channels
 * that stay, X the pruned network's input of the layer. Normal equations in float64, damped towards the weights as they are:
 * (X^T X + d I) D = X^T (Y - X W), then W + D.
 */
#include "prune_repair.h"

#include <math.h>
#include <string.h>

#include "build.h"
#include "frontier.h"
#include "linalg.h"
#include "moments.h"
#include "pass_util.h"

static const char *const repair_names[] = { [REPAIR_NONE] = "none", [REPAIR_BIAS] = "bias", [REPAIR_BN] = "bn", [REPAIR_LSQ] = "lsq" };

bool repair_from_name(const char *name, Repair *out)
{
    for (size_t i = 0; i < sizeof repair_names / sizeof *repair_names; i++)
        if (!strcmp(repair_names[i], name)) {
            *out = (Repair)i;
            return true;
        }
    return false;
}

/* ---- layers ---- */

typedef struct Layer {
    const Node *from;               /* the product in the original graph */
    Node *node;                     /* in the pruned graph */
    Use *bias;                      /* where its bias is an operand (its own, or of an add behind it), NULL: it has none */
    Value *result;                  /* with the bias, in the pruned graph */
    Value *plain;                   /* the same in the original */
    Value *target;                  /* in the original: plain, or the sum that a residual makes of it */
    Value *other;                   /* in the pruned graph: what is added to make the target, NULL: nothing */
    const AxisKeep *kept;           /* of the original's channels; NULL: all */
    bool moved;                     /* what it makes stands for something later, too: blocks between are gone */
    Rows rows;
} Layer;

/* The networks, and what became of the values of the one. */
typedef struct Fates {
    const PtrMap *map;              /* of the original -> of the pruned */
    PtrMap last;                    /* of the pruned -> the last of the original that it stands for */
} Fates;

static Value *mapped(const PtrMap *map, const Value *v) { return (Value *)ptrmap_get(map, v, 0); }

/* The add that is v's only use, with its other operand; NULL: there is none. */
static Node *added(const Value *v, int *other)
{
    Node *n = value_only_user(v);
    if (!n || n->op != OP_add || !type_equal(&node_out(n)->type, &v->type))
        return NULL;
    *other = node_in(n, 0) == v;
    return n;
}

static Use *own_bias(Node *n)
{
    return n->op != OP_matmul && n->nin > 2 && value_constant(node_in(n, 2)) ? &n->in[2] : NULL;
}

static bool is_bias(const Value *v, int64_t channels)
{
    const Tensor *t = value_constant(v);
    return t && t->count == channels && t->rank >= 1 && t->dim[t->rank - 1] == channels;
}

static Fates fates_of(Arena *a, const Graph *original, const PtrMap *map)
{
    Fates f = { map, ptrmap_new(a) };
    FOR_EACH_NODE(n, original)
        for (int i = 0; i < n->nout && n->op != OP_constant; i++)
            if (mapped(map, &n->out[i]))
                *ptrmap_at(&f.last, mapped(map, &n->out[i])) = (uintptr_t)&n->out[i];
    return f;
}

/* The last value of the original whose place v's copy takes; v itself if nothing is gone behind it. Taking a maximum with zero twice is taking it once: what comes
 * before it can aim at what comes before the next one. */
static Value *stands_for(const Fates *f, Value *v)
{
    Value *last = (Value *)ptrmap_get(&f->last, mapped(f->map, v), (uintptr_t)v);
    Node *user = last == v ? value_only_user(v) : NULL;
    if (!user || user->op != OP_relu || !mapped(f->map, node_out(user)))
        return last;
    last = (Value *)ptrmap_get(&f->last, mapped(f->map, node_out(user)), (uintptr_t)node_out(user));
    return last != node_out(user) ? last : v;
}

/* n: the product in the original graph. */
static bool layer_of(const Node *n, const Fates *f, const Keeps *k, Layer *l)
{
    const PtrMap *map = f->map;
    int other;
    *l = (Layer){ .from = n, .plain = &n->out[0] };
    Value *here = mapped(map, l->plain);
    if (!here || !rows_of(here->def, &l->rows))
        return false;
    l->node = here->def;
    l->bias = own_bias(l->node);
    Node *add = n->op == OP_matmul ? added(l->plain, &other) : NULL;
    if (add && is_bias(node_in(add, other), l->plain->type.dim[l->plain->type.rank - 1]->k)) {
        l->plain = node_out(add);
        here = mapped(map, l->plain);
        l->bias = &here->def->in[other];
    }
    l->result = here;
    l->target = l->plain;
    if ((add = added(l->plain, &other)) && !value_constant(node_in(add, other)) && node_in(add, other)->id < n->out[0].id &&
        type_equal(&node_in(add, other)->type, &l->plain->type)) {
        l->target = node_out(add);
        l->other = mapped(map, node_in(add, other));
    }
    Value *later = stands_for(f, l->target);
    l->moved = later != l->target;
    l->target = later;
    const AxisKeep *keep = keeps_of_value(k, l->plain);
    l->kept = keep ? &keep[n->op != OP_matmul ? 1 : l->plain->type.rank - 1] : NULL;
    return true;
}

/* original[c]: the original's channel that is channel c of the pruned one. */
static int64_t *channels_kept(Arena *a, const Layer *l)
{
    int64_t n = (int64_t)l->rows.nout * l->rows.ngroups, *c = ARENA_ARRAY(a, int64_t, n + 1);
    if (!l->kept || !l->kept->keep) {
        for (int64_t i = 0; i < n; i++)
            c[i] = i;
        return c;
    }
    for (int64_t i = 0, at = 0; i < l->kept->period; i++)
        if (l->kept->keep[i])
            c[at++] = i;
    return c;
}

/* ---- new weights ---- */

static void set_constant(Use *u, const Tensor *t)
{
    Node *n = u->user, *old = u->val->def;
    Builder b = { n->graph->module, n->graph, n, old->loc };
    Value *v = mk_tensor(&b, t);
    v->name = u->val->name;
    node_set_input(n, (int)(u - n->in), v);
    if (!old->out[0].uses)
        node_erase(old);
}

/* A dense copy, to be changed. */
static Tensor *writable(Module *m, const Tensor *t)
{
    const Tensor *dense = tensor_dense(m->arena, t);
    Tensor *w = tensor_new(m->arena, dense->dtype, dense->rank, dense->dim);
    memcpy((void *)(uintptr_t)w->data, dense->data, tensor_bytes(dense));
    return w;
}

static double weight_or_bias(const Layer *l, const Tensor *w, const Tensor *b, int g, int feature, int c)
{
    if (feature < l->rows.nfeatures)
        return tensor_get_f64(w, rows_weight(&l->rows, g, feature, c));
    return b ? tensor_get_f64(b, b->splat ? 0 : (int64_t)g * l->rows.nout + c) : 0;
}

/* d[n][nout], the right-hand sides, become the solutions that change no weight that is 0; the rows behind the `weights` are the bias. room: n (n + 9) numbers. */
static void solve_columns(const double *a, int n, int weights, int nout, const double *w0, double *d, double *room)
{
    double *b = room + (int64_t)n * (n + 6), *x = b + n;
    bool *use = (bool *)(x + n);
    for (int c = 0; c < nout; c++) {
        for (int i = 0; i < n; i++) {
            b[i] = d[i * nout + c];
            use[i] = w0[i * nout + c] != 0 || i >= weights;
        }
        linalg_solve_part(a, n, use, b, x, room);
        for (int i = 0; i < n; i++)
            d[i * nout + c] = x[i];
    }
}

/* d[n][nout] becomes the change of one group's weights. False: the equations have no solution. */
static bool solve_group(Moments *mo, int g, int n, const double *w0, const RepairOptions *o, double *d)
{
    int nout = mo->rows.nout;
    double *a = mo->gram[g];
    for (int i = 0; i < n; i++)
        for (int c = 0; c < nout; c++) {
            double sum = mo->cross[g][i * nout + c];
            for (int k = 0; k < n; k++)
                sum -= a[(int64_t)i * mo->n + k] * w0[k * nout + c];
            d[i * nout + c] = sum;
        }
    for (int i = 0; i < n && n < mo->n; i++)            /* without a bias: the last feature goes */
        memmove(a + (int64_t)i * n, a + (int64_t)i * mo->n, sizeof *a * (size_t)n);
    linalg_damp(a, n, o->damp);
    if (o->keep_zeros) {
        Arena *tmp = arena_new();
        solve_columns(a, n, mo->rows.nfeatures, nout, w0, d, ARENA_ARRAY(tmp, double, (size_t)n * (size_t)(n + 9)));
        arena_free(tmp);
        return true;
    }
    if (!linalg_cholesky(a, n))
        return false;
    linalg_solve(a, n, d, nout);
    return true;
}

static bool change_is_finite(const double *d, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(d[i]))
            return false;
    return true;
}

static void apply_solution(Module *m, const Layer *l, Moments *mo, const RepairOptions *o)
{
    Arena *a = arena_new();
    const Tensor *w = value_constant(node_in(l->node, 1)), *b = l->bias ? value_constant(l->bias->val) : NULL;
    Tensor *w2 = writable(m, w), *b2 = b ? writable(m, b) : NULL;
    int nout = l->rows.nout, n = b ? mo->n : mo->n - 1;
    double *w0 = ARENA_ARRAY(a, double, (size_t)mo->n * (size_t)nout), *d = ARENA_ARRAY(a, double, (size_t)mo->n * (size_t)nout);
    for (int g = 0; g < l->rows.ngroups; g++) {
        for (int i = 0; i < n; i++)
            for (int c = 0; c < nout; c++)
                w0[i * nout + c] = weight_or_bias(l, w, b, g, i, c);
        if (!solve_group(mo, g, n, w0, o, d) || !change_is_finite(d, (int64_t)n * nout))
            continue;
        for (int c = 0; c < nout; c++) {
            for (int i = 0; i < l->rows.nfeatures; i++)
                tensor_set_f64(w2, rows_weight(&l->rows, g, i, c), w0[i * nout + c] + d[i * nout + c]);
            if (b2)
                tensor_set_f64(b2, (int64_t)g * nout + c, w0[(n - 1) * nout + c] + d[(n - 1) * nout + c]);
        }
    }
    set_constant(&l->node->in[1], w2);
    if (b2)
        set_constant(l->bias, b2);
    arena_free(a);
}

/* ---- least squares ---- */

typedef struct Wanted {
    const Layer *l;
    const Tensor *target, *other;
    const int64_t *channel;
} Wanted;

static double wanted_result(void *ctx, int64_t row, int64_t c)
{
    const Wanted *w = ctx;
    return rows_result(&w->l->rows, w->target, row, w->channel[c]) - (w->other ? rows_result(&w->l->rows, w->other, row, c) : 0);
}

typedef struct Runs {               /* both networks on the same samples */
    Samples *samples;
    Frontier *original, *pruned;
    int64_t rows;                   /* per run */
} Runs;

/* x: what the product reads in the pruned network, and Layer.other or Layer.result; y: what the product reads in the original, and what it aims at. */
static bool run_both(const Runs *r, int64_t i, const Tensor *const **x, const Tensor *const **y)
{
    *y = frontier_run(r->original, i);
    *x = *y ? frontier_run(r->pruned, i) : NULL;
    return *x != NULL;
}

static bool fit_layer(Module *m, const Layer *l, const Runs *r, const RepairOptions *o)
{
    Arena *a = arena_new();
    Moments mo;
    Wanted w = { .l = l, .channel = channels_kept(a, l) };
    bool ok = true, small = moments_new(a, &l->rows, true, &mo);
    for (int64_t i = 0; small && ok && i < samples_count(r->samples); i += samples_batch(r->samples)) {
        const Tensor *const *x, *const *y;
        if (!(ok = run_both(r, i, &x, &y)))
            break;
        w.target = y[1];
        w.other = l->other ? x[1] : NULL;
        moments_add(&mo, x[0], w.target, r->rows, (uint64_t)i + 1, wanted_result, &w);
    }
    if (ok && small) {
        moments_finish(&mo);
        apply_solution(m, l, &mo, o);
    } else if (ok) {
        diag_warn(m->diag, l->node->loc, "too wide to be repaired by least squares: its weights stay as they are");
    }
    arena_free(a);
    return ok;
}

/* ---- mean and variance ---- */

typedef struct Stat {
    double sum, squares;
    int64_t n;
} Stat;

/* stat[c] of the channels that `channel` lists (NULL: all in order). */
static void add_stats(Stat *stat, const Layer *l, const Tensor *y, const int64_t *channel, int64_t n)
{
    for (int64_t row = 0, rows = rows_count(&l->rows, y); row < rows; row++)
        for (int64_t c = 0; c < n; c++) {
            double v = rows_result(&l->rows, y, row, channel ? channel[c] : c);
            stat[c].sum += v;
            stat[c].squares += v * v;
            stat[c].n++;
        }
}

static double mean_of(const Stat *s) { return s->sum / (double)s->n; }
static double deviation_of(const Stat *s) { return sqrt(fmax(0, s->squares / (double)s->n - mean_of(s) * mean_of(s))); }

static void apply_stats(Module *m, const Layer *l, const Stat *want, const Stat *have, bool scale)
{
    const Tensor *w = value_constant(node_in(l->node, 1)), *b = value_constant(l->bias->val);
    Tensor *w2 = writable(m, w), *b2 = writable(m, b);
    for (int g = 0; g < l->rows.ngroups; g++)
        for (int c = 0; c < l->rows.nout; c++) {
            int64_t at = (int64_t)g * l->rows.nout + c;
            double deviation = deviation_of(&have[at]), k = scale && deviation > 1e-12 ? deviation_of(&want[at]) / deviation : 1;
            for (int i = 0; i < l->rows.nfeatures; i++)
                tensor_set_f64(w2, rows_weight(&l->rows, g, i, c), k * tensor_get_f64(w, rows_weight(&l->rows, g, i, c)));
            tensor_set_f64(b2, at, k * (weight_or_bias(l, w, b, g, l->rows.nfeatures, c) - mean_of(&have[at])) + mean_of(&want[at]));
        }
    set_constant(&l->node->in[1], w2);
    set_constant(l->bias, b2);
}

static bool match_layer(Module *m, const Layer *l, const Runs *r, bool scale)
{
    Arena *a = arena_new();
    int64_t n = (int64_t)l->rows.nout * l->rows.ngroups, *channel = channels_kept(a, l);
    Stat *want = ARENA_ARRAY(a, Stat, n), *have = ARENA_ARRAY(a, Stat, n);
    bool ok = true;
    for (int64_t i = 0; ok && i < samples_count(r->samples); i += samples_batch(r->samples)) {
        const Tensor *const *x, *const *y;
        if (!(ok = run_both(r, i, &x, &y)))
            break;
        add_stats(want, l, y[1], channel, n);
        add_stats(have, l, x[1], NULL, n);
    }
    if (ok)
        apply_stats(m, l, want, have, scale);
    arena_free(a);
    return ok;
}

/* ---- all layers ---- */

enum { FRONTIER_BYTES = 400 << 20 };

static bool repair_layer(Module *m, const Layer *l, Runs *r, const RepairOptions *o)
{
    bool lsq = o->how == REPAIR_LSQ;
    Value *before[] = { node_in(l->from, 0), lsq ? l->target : l->plain }, *after[] = { node_in(l->node, 0), lsq ? l->other : l->result };
    if (!lsq && !l->bias)
        return true;
    bool ok = frontier_open(r->original, before, 2, 1) && frontier_open(r->pruned, after, after[1] ? 2 : 1, 1) &&
              (lsq ? fit_layer(m, l, r, o) : match_layer(m, l, r, o->how == REPAIR_BN));
    frontier_close(r->original);
    frontier_close(r->pruned);
    return ok;
}

/* Whether something was removed before or in this product: of its result, or of what it reads. */
static bool is_changed(const Keeps *k, const Node *n)
{
    return keeps_of_value(k, &n->out[0]) || keeps_of_operand(k, n, 0) || keeps_of_operand(k, n, 1);
}

static bool has_zeros(const Node *n)
{
    const Tensor *w = value_constant(node_in(n, 1));
    for (int64_t i = 0; i < w->count; i++)
        if (tensor_get_f64(w, i) == 0)
            return true;
    return false;
}

/* Whether the copy of n, an operator before some product, is not what n is: a block behind n is gone. */
static bool is_overtaken(const Fates *f, const Node *n)
{
    for (int i = 0; i < n->nout && n->op != OP_constant; i++) {
        const Value *now = mapped(f->map, &n->out[i]);
        if (now && ptrmap_get(&f->last, now, 0) != (uintptr_t)&n->out[i])
            return true;
    }
    return false;
}

/* Those in which, or before which, something changed. The first that only loses channels sees what the original sees, and stays. */
static int find_layers(Graph *original, const Fates *f, const Keeps *k, const RepairOptions *o, Layer *layer)
{
    int n = 0;
    bool changed = false;
    FOR_EACH_NODE(p, original) {
        changed |= is_overtaken(f, p);
        if ((p->op != OP_conv && p->op != OP_conv_transpose && p->op != OP_matmul) || !layer_of(p, f, k, &layer[n]))
            continue;
        bool own = layer[n].moved || (o->keep_zeros && !changed && has_zeros(layer[n].node)), loses = is_changed(k, p);
        bool spared = !changed && !own && !keeps_of_operand(k, p, 0);
        changed |= own || loses;
        n += changed && !spared;
    }
    return n;
}

bool repair_graph(Module *m, Graph *original, Graph *pruned, const PtrMap *map, const Keeps *k, Samples *s, const RepairOptions *o)
{
    Arena *a = arena_new();
    graph_renumber(original);
    Layer *layer = ARENA_ARRAY(a, Layer, graph_count_nodes(original) + 1);
    Fates fates = fates_of(a, original, map);
    int n = find_layers(original, &fates, k, o, layer);
    int64_t runs = (samples_count(s) + samples_batch(s) - 1) / samples_batch(s);
    Runs r = { s, frontier_new(m, original, s, FRONTIER_BYTES), frontier_new(m, pruned, s, FRONTIER_BYTES), (o->rows + runs - 1) / runs };
    bool ok = r.original && r.pruned;
    for (int i = 0; ok && i < n; i++)
        ok = repair_layer(m, &layer[i], &r, o);
    frontier_free(r.original);
    frontier_free(r.pruned);
    graph_renumber(pruned);
    arena_free(a);
    return ok;
}
