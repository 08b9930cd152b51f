/* eval_nn.c -- evaluation of contractions, reductions and pooling.
 *
 * matmul, conv and conv_transpose are one matrix product each: rows of A are rows of the left operand or filters; columns of B are columns of
 * the right operand or, for each output position, the inputs its window sees ("im2col"). B is made a few columns at a time, so memory stays small.
 * Sums are in double, in rising order of (channel, window element), and rounded once.
 */
#include "eval_ops.h"
#include "eval_wide.h"

#include <math.h>
#include <string.h>

/* ---- one product, B by blocks of columns ---- */

enum { BLOCK_ELEMENTS = 1 << 18, MAX_COLS = 2048 };         /* of B and the result together; columns at a time */

typedef struct Product {
    int64_t m, n, k;
    bool floats;
    const Wide *a;                                          /* [m][k] */
    const Wide *bias;                                       /* [m] or NULL */
    /* b[p * cols + j] = element (p, first + j) for p < k, j < cols; columns at or beyond n are left zero */
    void (*columns)(const void *ctx, int64_t first, int64_t cols, Wide *b);
    /* takes row i of the result, columns first.. of it */
    void (*result)(const void *ctx, int64_t i, int64_t first, int64_t cols, const Wide *c);
    const void *ctx;
} Product;

static void add_bias(const Product *p, int64_t cols, Wide *c)
{
    for (int64_t i = 0; p->bias && i < p->m; i++)
        for (int64_t j = 0; j < cols; j++) {
            if (p->floats)
                c[i * cols + j].f += p->bias[i].f;
            else
                c[i * cols + j].i = (int64_t)((uint64_t)c[i * cols + j].i + (uint64_t)p->bias[i].i);
        }
}

static int64_t round_up(int64_t x, int64_t to)
{
    return (x + to - 1) / to * to;
}

static void product_run(const Product *p)
{
    Arena *arena = arena_new();
    int64_t cols = BLOCK_ELEMENTS / (p->k + p->m + 1) / WIDE_COLS * WIDE_COLS, most = round_up(p->n < MAX_COLS ? p->n : MAX_COLS, WIDE_COLS);
    cols = cols < WIDE_COLS ? WIDE_COLS : cols > most ? most : cols;
    Wide *b = ARENA_ARRAY(arena, Wide, p->k * cols + 1), *c = ARENA_ARRAY(arena, Wide, p->m * cols + 1);
    for (int64_t first = 0; first < p->n; first += cols) {
        int64_t left = p->n - first < cols ? p->n - first : cols, wide = round_up(left, WIDE_COLS);
        memset(b, 0, sizeof *b * (size_t)(p->k * wide));
        p->columns(p->ctx, first, wide, b);
        wide_gemm(p->floats, p->m, wide, p->k, p->a, b, c);
        add_bias(p, wide, c);
        for (int64_t i = 0; i < p->m; i++)
            p->result(p->ctx, i, first, left, c + i * wide);
    }
    arena_free(arena);
}

/* ---- matmul ---- */

typedef struct MatmulCtx {
    const Tensor *b, *r;
    int64_t b_first, r_first, k, n;
} MatmulCtx;

static void matmul_columns(const void *ctx, int64_t first, int64_t cols, Wide *b)
{
    const MatmulCtx *x = ctx;
    int64_t left = x->n - first < cols ? x->n - first : cols;
    for (int64_t p = 0; p < x->k; p++)
        wide_load(b + p * cols, x->b, x->b_first + p * x->n + first, 1, left);
}

static void matmul_result(const void *ctx, int64_t i, int64_t first, int64_t cols, const Wide *c)
{
    const MatmulCtx *x = ctx;
    wide_store(x->r, x->r_first + i * x->n + first, 1, c, cols);
}

/* Which matrix of operand x is used for batch number `batch` of the result. */
static int64_t batch_of(const Tensor *r, const Tensor *x, int64_t batch)
{
    int64_t at = 0, step = 1;
    for (int k = r->rank - 3; k >= 0; k--) {
        int64_t c = batch % r->dim[k];
        int xk = k - (r->rank - x->rank);
        batch /= r->dim[k];
        if (xk < 0)
            break;
        at += x->dim[xk] == 1 ? 0 : c * step;
        step *= x->dim[xk];
    }
    return at;
}

/* Inference takes two symbolic batch sizes for equal; here both must be 1 or the size of the result. */
static bool batches_agree(const Tensor *r, const Tensor *x)
{
    for (int k = 0; k < x->rank - 2; k++)
        if (x->dim[k] != 1 && x->dim[k] != r->dim[r->rank - x->rank + k])
            return false;
    return true;
}

bool eval_matmul(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Tensor *a = in[0], *b = in[1];
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    int64_t rows = a->dim[a->rank - 2], k = a->dim[a->rank - 1], cols = b->dim[b->rank - 1];
    if (k != b->dim[b->rank - 2])
        return eval_fail(e, n, "rows of %lld elements against columns of %lld", (long long)k, (long long)b->dim[b->rank - 2]);
    if (!batches_agree(r, a) || !batches_agree(r, b))
        return eval_fail(e, n, "the batches of the operands do not broadcast");
    Wide *left = ARENA_ARRAY(e->scratch, Wide, rows * k + 1);
    int64_t batches = r->count ? r->count / (rows * cols) : 0;
    for (int64_t i = 0; i < batches; i++) {
        MatmulCtx x = { b, r, batch_of(r, b, i) * k * cols, i * rows * cols, k, cols };
        wide_load(left, a, batch_of(r, a, i) * rows * k, 1, rows * k);
        product_run(&(Product){ rows, cols, k, dtype_is_float(r->dtype), left, NULL, matmul_columns, matmul_result, &x });
    }
    out[0] = r;
    return true;
}

/* ---- windows: which input position an output position meets through a window element, per spatial axis ---- */

typedef struct WindowAxis {
    int64_t in, out, kernel;
    int64_t *source;                                        /* [kernel][out]: input index, or -1 outside */
} WindowAxis;

/* Convolution and pooling read i = o*stride + k*dilation - pad; transposed convolution spreads, so o + pad - k*dilation = i*stride. */
static void window_axis(Arena *a, WindowAxis *w, int64_t stride, int64_t dilation, int64_t pad, bool transposed)
{
    w->source = ARENA_ARRAY(a, int64_t, w->kernel * w->out + 1);
    for (int64_t k = 0; k < w->kernel; k++)
        for (int64_t o = 0; o < w->out; o++) {
            int64_t i = transposed ? o + pad - k * dilation : o * stride + k * dilation - pad;
            bool meets = !transposed || i % stride == 0;
            i = transposed ? i / stride : i;
            w->source[k * w->out + o] = meets && i >= 0 && i < w->in && (!transposed || o + pad >= k * dilation) ? i : -1;
        }
}

typedef struct Spatial {
    int n;
    WindowAxis axis[MAX_RANK];
    int64_t in_count, out_count, taps;                      /* products over the axes */
} Spatial;

static void spatial_count(Spatial *s)
{
    s->in_count = s->out_count = s->taps = 1;
    for (int k = 0; k < s->n; k++) {
        s->in_count *= s->axis[k].in;
        s->out_count *= s->axis[k].out;
        s->taps *= s->axis[k].kernel;
    }
}

/* Flat spatial input index that output position o meets through tap t, or -1. */
static int64_t spatial_source(const Spatial *s, int64_t tap, int64_t o)
{
    int64_t at = 0, step = 1;
    for (int k = s->n - 1; k >= 0; k--) {
        const WindowAxis *w = &s->axis[k];
        int64_t i = w->source[(tap % w->kernel) * w->out + o % w->out];
        if (i < 0)
            return -1;
        at += i * step;
        step *= w->in;
        tap /= w->kernel;
        o /= w->out;
    }
    return at;
}

/* Spatial axes from the shapes of x and r. */
static Spatial spatial_of(Arena *a, const Tensor *x, const Tensor *r, bool channels_last, const int64_t *kernel, IntVec strides, IntVec dilations,
                          IntVec pads, bool transposed)
{
    Spatial s = { .n = x->rank - 2 };
    for (int k = 0; k < s.n; k++) {
        int at = channels_last ? 1 + k : 2 + k;
        s.axis[k] = (WindowAxis){ x->dim[at], r->dim[at], kernel[k], NULL };
        window_axis(a, &s.axis[k], strides.v[k], dilations.v[k], pads.v[k], transposed);
    }
    spatial_count(&s);
    return s;
}

/* Where channel c of image n starts, and how far apart its spatial positions lie. */
typedef struct Plane { int64_t first, step; } Plane;

static Plane plane_of(const Tensor *t, bool channels_last, int64_t n, int64_t c)
{
    int64_t channels = t->dim[channels_last ? t->rank - 1 : 1], image = 1;
    for (int k = 1; k < t->rank; k++)
        image *= t->dim[k];
    return channels_last ? (Plane){ n * image + c, channels } : (Plane){ n * image + c * (channels ? image / channels : 0), 1 };
}

/* ---- convolution ---- */

typedef struct ConvCtx {
    const Spatial *s;
    const Tensor *r;
    const Wide *x;                                          /* [group channels][in_count] of one image */
    int64_t group_channels, image, first_filter;
    bool channels_last;
} ConvCtx;

static void conv_columns(const void *ctx, int64_t first, int64_t cols, Wide *b)
{
    const ConvCtx *x = ctx;
    int64_t left = x->s->out_count - first < cols ? x->s->out_count - first : cols, at[MAX_COLS];
    for (int64_t t = 0; t < x->s->taps; t++) {
        for (int64_t j = 0; j < left; j++)
            at[j] = spatial_source(x->s, t, first + j);
        for (int64_t c = 0; c < x->group_channels; c++)
            for (int64_t j = 0; j < left; j++)
                if (at[j] >= 0)
                    b[(c * x->s->taps + t) * cols + j] = x->x[c * x->s->in_count + at[j]];
    }
}

static void conv_result(const void *ctx, int64_t i, int64_t first, int64_t cols, const Wide *c)
{
    const ConvCtx *x = ctx;
    Plane p = plane_of(x->r, x->channels_last, x->image, x->first_filter + i);
    wide_store(x->r, p.first + first * p.step, p.step, c, cols);
}

typedef struct Convolution {
    const Tensor *x, *bias;
    Tensor *r;
    Spatial s;
    int64_t group;
    bool channels_last;
    const Wide *filters;                                    /* [all filters][channels of a group][taps] */
} Convolution;

static void convolve(EvalEnv *e, const Convolution *c)
{
    int axis = c->channels_last ? c->x->rank - 1 : 1;
    int64_t channels = c->x->dim[axis] / c->group, filters = c->r->dim[axis] / c->group, depth = channels * c->s.taps;
    Wide *x = ARENA_ARRAY(e->scratch, Wide, channels * c->s.in_count + 1);
    const Wide *bias = c->bias ? wide_of(e->scratch, c->bias) : NULL;
    for (int64_t image = 0; image < c->x->dim[0]; image++)
        for (int64_t g = 0; g < c->group; g++) {
            for (int64_t k = 0; k < channels; k++) {
                Plane p = plane_of(c->x, c->channels_last, image, g * channels + k);
                wide_load(x + k * c->s.in_count, c->x, p.first, p.step, c->s.in_count);
            }
            ConvCtx ctx = { &c->s, c->r, x, channels, image, g * filters, c->channels_last };
            product_run(&(Product){ filters, c->s.out_count, depth, dtype_is_float(c->r->dtype), c->filters + g * filters * depth,
                                    bias ? bias + g * filters : NULL, conv_columns, conv_result, &ctx });
        }
}

/* The run-time half of what inference accepted because it could not decide. */
static bool channels_agree(EvalEnv *e, const Node *n, const Tensor *x, bool channels_last, int64_t expects, const Tensor *bias, int64_t filters)
{
    int64_t c = x->dim[channels_last ? x->rank - 1 : 1];
    if (c != expects)
        return eval_fail(e, n, "input has %lld channels, weight expects %lld", (long long)c, (long long)expects);
    return !bias || bias->count == filters ||
           eval_fail(e, n, "bias has %lld elements, the result %lld channels", (long long)bias->count, (long long)filters);
}

bool eval_conv(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    const Tensor *x = in[0], *w = in[1], *bias = n->nin > 2 ? in[2] : NULL;
    Tensor *r = eval_result(e, n, 0);
    if (!r || !channels_agree(e, n, x, a->channels_last, w->dim[1] * a->group, bias, w->dim[0]))
        return false;
    Convolution c = { x, bias, r, spatial_of(e->scratch, x, r, a->channels_last, w->dim + 2, a->strides, a->dilations, a->pads, false), a->group,
                      a->channels_last, wide_of(e->scratch, w) };
    convolve(e, &c);
    out[0] = r;
    return true;
}

/* [C, M/group, taps] -> [M, C/group, taps], what a convolution reading the same pairs would have. */
static const Wide *transpose_filters(Arena *a, const Tensor *w, int64_t group, int64_t taps)
{
    int64_t channels = w->dim[0] / group, filters = w->dim[1];
    const Wide *from = wide_of(a, w);
    Wide *to = ARENA_ARRAY(a, Wide, w->count + 1);
    for (int64_t g = 0; g < group; g++)
        for (int64_t m = 0; m < filters; m++)
            for (int64_t c = 0; c < channels; c++)
                memcpy(to + ((g * filters + m) * channels + c) * taps, from + ((g * channels + c) * filters + m) * taps, sizeof *to * (size_t)taps);
    return to;
}

bool eval_conv_transpose(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_conv_transpose *a = NODE_ATTR(n, conv_transpose);
    const Tensor *x = in[0], *w = in[1], *bias = n->nin > 2 ? in[2] : NULL;
    Tensor *r = eval_result(e, n, 0);
    if (!r || !channels_agree(e, n, x, a->channels_last, w->dim[0], bias, w->dim[1] * a->group))
        return false;
    Convolution c = { x, bias, r, spatial_of(e->scratch, x, r, a->channels_last, w->dim + 2, a->strides, a->dilations, a->pads, true), a->group,
                      a->channels_last, NULL };
    c.filters = transpose_filters(e->scratch, w, a->group, c.s.taps);
    convolve(e, &c);
    out[0] = r;
    return true;
}

/* ---- pooling ---- */

/* Window elements that lie in the input or its padding; those beyond, which only `ceil` brings in, do not count. */
static int64_t padded_taps(const Spatial *s, const Attr_pool *a, int64_t o)
{
    int64_t count = 1;
    for (int k = s->n - 1; k >= 0; k--) {
        const WindowAxis *w = &s->axis[k];
        int64_t start = (o % w->out) * a->strides.v[k], end = w->in + a->pads.v[k] + a->pads.v[s->n + k], inside = 0;
        for (int64_t t = 0; t < w->kernel; t++)
            inside += start + t * a->dilations.v[k] < end;
        count *= inside;
        o /= w->out;
    }
    return count;
}

static Wide pool_one(const Spatial *s, const Attr_pool *a, DType t, const Wide *x, int64_t o)
{
    bool max = !strcmp(a->kind, "max");
    Wide acc = { .f = 0 };
    int64_t seen = 0;
    for (int64_t tap = 0; tap < s->taps; tap++) {
        int64_t at = spatial_source(s, tap, o);
        if (at < 0)
            continue;
        if (max)
            acc = seen ? wide_pick(t, true, acc, x[at]) : x[at];
        else
            acc.f += x[at].f;
        seen++;
    }
    if (max && !seen && dtype_is_float(t))
        acc.f = -INFINITY;
    if (!max) {
        int64_t count = a->count_pad ? padded_taps(s, a, o) : seen;
        acc.f = count ? acc.f / (double)count : 0;
    }
    return acc;
}

bool eval_pool(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_pool *a = NODE_ATTR(n, pool);
    const Tensor *x = in[0];
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    Spatial s = spatial_of(e->scratch, x, r, a->channels_last, a->kernel.v, a->strides, a->dilations, a->pads, false);
    Wide *from = ARENA_ARRAY(e->scratch, Wide, s.in_count + 1), *to = ARENA_ARRAY(e->scratch, Wide, s.out_count + 1);
    int64_t channels = x->dim[a->channels_last ? x->rank - 1 : 1];
    for (int64_t i = 0; i < x->dim[0] * channels; i++) {
        Plane px = plane_of(x, a->channels_last, i / channels, i % channels), pr = plane_of(r, a->channels_last, i / channels, i % channels);
        wide_load(from, x, px.first, px.step, s.in_count);
        for (int64_t o = 0; o < s.out_count; o++)
            to[o] = pool_one(&s, a, x->dtype, from, o);
        wide_store(r, pr.first, pr.step, to, s.out_count);
    }
    out[0] = r;
    return true;
}

/* ---- reduction ---- */

static Wide reduce_step(const char *kind, DType t, Wide acc, Wide x)
{
    bool f = dtype_is_float(t);
    if (!strcmp(kind, "max"))
        return wide_pick(t, true, acc, x);
    if (!strcmp(kind, "min"))
        return wide_pick(t, false, acc, x);
    if (!strcmp(kind, "sum"))
        return f ? (Wide){ .f = acc.f + x.f } : (Wide){ .i = (int64_t)((uint64_t)acc.i + (uint64_t)x.i) };
    return f ? (Wide){ .f = acc.f * x.f } : (Wide){ .i = (int64_t)((uint64_t)acc.i * (uint64_t)x.i) };
}

/* What an empty reduction gives: the neutral element; of max and min that is the end of the dtype's range. */
static Wide reduce_start(const char *kind, DType t)
{
    bool f = dtype_is_float(t), max = !strcmp(kind, "max");
    if (!strcmp(kind, "sum") || !strcmp(kind, "prod"))
        return f ? (Wide){ .f = kind[0] == 'p' } : (Wide){ .i = kind[0] == 'p' };
    if (f)
        return (Wide){ .f = max ? -INFINITY : INFINITY };
    int bits = dtype_table[t].bits;
    if (!dtype_is_signed(t))
        return (Wide){ .i = max ? 0 : (int64_t)(UINT64_MAX >> (64 - bits)) };
    return (Wide){ .i = max ? INT64_MIN >> (64 - bits) : INT64_MAX >> (64 - bits) };
}

/* x with the marked axes moved behind the others, so that each result reads one row; returns the length of a row. */
static int64_t rows_of(EvalEnv *e, const Tensor *x, const bool *reduced, Wide **rows)
{
    int64_t own[MAX_RANK], dim[MAX_RANK], stride[MAX_RANK], row = 1;
    int at = 0;
    eval_strides(x->rank, x->dim, own);
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < x->rank; k++)
            if (reduced[k] == (pass == 1)) {
                dim[at] = x->dim[k];
                stride[at++] = own[k];
                row *= pass ? x->dim[k] : 1;
            }
    Wide *all = wide_of(e->scratch, x);
    *rows = ARENA_ARRAY(e->scratch, Wide, x->count + 1);
    eval_copy_strided(*rows, all, x->rank, dim, stride, sizeof **rows);
    return row;
}

bool eval_reduce(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_reduce *a = NODE_ATTR(n, reduce);
    bool reduced[MAX_RANK] = { false };
    Wide *x;
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    for (int i = 0; i < a->axes.n; i++)
        reduced[a->axes.v[i]] = true;
    int64_t row = rows_of(e, in[0], reduced, &x);
    for (int64_t i = 0; i < r->count; i++) {
        Wide acc = reduce_start(a->kind, r->dtype);
        for (int64_t k = 0; k < row; k++)
            acc = k || a->kind[0] == 's' || a->kind[0] == 'p' ? reduce_step(a->kind, r->dtype, acc, x[i * row + k]) : x[i * row];
        wide_store(r, i, 1, &acc, 1);
    }
    out[0] = r;
    return true;
}

bool eval_arg_reduce(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_arg_reduce *a = NODE_ATTR(n, arg_reduce);
    bool reduced[MAX_RANK] = { false }, max = !strcmp(a->kind, "max");
    DType t = in[0]->dtype;
    Wide *x;
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    reduced[a->axis] = true;
    int64_t row = rows_of(e, in[0], reduced, &x);
    if (!row && r->count)
        return eval_fail(e, n, "axis %lld is empty, there is no element to choose", (long long)a->axis);
    for (int64_t i = 0; i < r->count; i++) {
        const Wide *v = x + i * row;
        int64_t best = 0;
        for (int64_t k = 1; k < row && !wide_is_nan(t, v[best]); k++) {
            bool better = max ? wide_less(t, v[best], v[k]) : wide_less(t, v[k], v[best]);
            bool equal = !wide_less(t, v[best], v[k]) && !wide_less(t, v[k], v[best]);
            if (better || wide_is_nan(t, v[k]) || (a->last && equal))
                best = k;
        }
        ((int64_t *)eval_data(r))[i] = best;
    }
    out[0] = r;
    return true;
}

/* ---- softmax ---- */

static void softmax_row(Wide *x, int64_t n, bool log_of)
{
    double top = -INFINITY, sum = 0;
    for (int64_t k = 0; k < n; k++)
        top = x[k].f > top || x[k].f != x[k].f ? x[k].f : top;
    for (int64_t k = 0; k < n; k++)
        sum += exp(x[k].f - top);
    for (int64_t k = 0; k < n; k++)
        x[k].f = log_of ? x[k].f - top - log(sum) : exp(x[k].f - top) / sum;
}

bool eval_softmax(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_softmax *a = NODE_ATTR(n, softmax);
    Tensor *r = eval_result(e, n, 0);
    if (!r)
        return false;
    int64_t size = r->dim[a->axis], inner = 1;
    for (int k = (int)a->axis + 1; k < r->rank; k++)
        inner *= r->dim[k];
    Wide *row = ARENA_ARRAY(e->scratch, Wide, size + 1);
    for (int64_t i = 0; size && i < r->count / size; i++) {
        int64_t first = i / inner * inner * size + i % inner;
        wide_load(row, in[0], first, inner, size);
        softmax_row(row, size, a->log);
        wide_store(r, first, inner, row, size);
    }
    out[0] = r;
    return true;
}
