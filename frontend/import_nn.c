/* import_nn.c -- operators with a sliding window: convolution and pooling in 1, 2, 3... spatial dimensions.
 *
 * A Window collects the attributes that all of them share, with ONNX's defaults filled in and auto_pad resolved to numbers. Where the pads
 * depend on a symbolic size (auto_pad SAME under a stride), the operand is padded by an explicit `pad` whose amounts are Dims instead.
 */
#include <math.h>
#include <string.h>

#include "import_window.h"

typedef enum AutoPad { PAD_EXPLICIT, PAD_SAME_UPPER, PAD_SAME_LOWER, PAD_VALID } AutoPad;

typedef struct Window {
    int spatial;
    AutoPad auto_pad;
    int64_t kernel[MAX_RANK], strides[MAX_RANK], dilations[MAX_RANK], pads[2 * MAX_RANK];
} Window;

/* ---- attributes ---- */

static bool fill_attr(Importer *c, const char *name, int n, int64_t otherwise, int64_t *out)
{
    IntVec v = attr_ints(c, name);
    if (v.n && v.n != n)
        return import_fail(c, "%s has %d entries, %d are needed", name, v.n, n);
    for (int i = 0; i < n; i++)
        out[i] = v.n ? v.v[i] : otherwise;
    return true;
}

static bool auto_pad_of(Importer *c, AutoPad *out)
{
    static const char *const words[] = { "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID" };
    const char *s = attr_s(c, "auto_pad", "NOTSET");
    for (int i = 0; i < 4; i++)
        if (!strcmp(s, words[i])) {
            *out = (AutoPad)i;
            return true;
        }
    return import_fail(c, "auto_pad is '%s', which is none of NOTSET, SAME_UPPER, SAME_LOWER and VALID", s);
}

/* The attributes of a window over x; the kernel's size is in the weight (w) or in kernel_shape. */
static bool window_of(Importer *c, const Value *x, const Value *w, Window *out)
{
    *out = (Window){ .spatial = x ? value_rank(x) - 2 : 0 };
    int s = out->spatial;
    if (!x)
        return false;
    if (s < 1)
        return import_fail(c, "the input has rank %d, 3 or more is needed", value_rank(x));
    if (w && value_rank(w) != s + 2)
        return import_fail(c, "the input has rank %d, the weight has rank %d; they must agree", s + 2, value_rank(w));
    if (!w && !has_attr(c, "kernel_shape"))
        return import_fail(c, "kernel_shape is missing");
    if (!fill_attr(c, "kernel_shape", s, 0, out->kernel) || !fill_attr(c, "strides", s, 1, out->strides) ||
        !fill_attr(c, "dilations", s, 1, out->dilations) || !fill_attr(c, "pads", 2 * s, 0, out->pads) || !auto_pad_of(c, &out->auto_pad))
        return false;
    for (int k = 0; k < s; k++) {
        Dim size = w ? value_dim(w, 2 + k) : dim_const(c->m->dims, out->kernel[k]);
        if (!dim_is_const(size))
            return import_unsupported(c, "a weight whose window has a symbolic size");
        if (has_attr(c, "kernel_shape") && out->kernel[k] != size->k)
            return import_fail(c, "kernel_shape says %lld along spatial axis %d, the weight has %lld", (long long)out->kernel[k], k,
                               (long long)size->k);
        out->kernel[k] = size->k;
        if (out->strides[k] < 1 || out->dilations[k] < 1 || out->kernel[k] < 1)
            return import_fail(c, "kernel, stride and dilation must be 1 or more");
    }
    return true;
}

static int64_t window_reach(const Window *w, int k)
{
    return (w->kernel[k] - 1) * w->dilations[k] + 1;
}

/* ---- SAME padding: the result has ceil(size / stride) elements; the odd pad goes behind (UPPER) or before (LOWER) ---- */

static Dim same_total(DimTable *t, const Window *w, int k, Dim size)
{
    Dim steps = dim_addk(t, dim_ceil_div(t, size, dim_const(t, w->strides[k])), -1);
    Dim total = dim_addk(t, dim_sub(t, dim_mulk(t, steps, w->strides[k]), size), window_reach(w, k));
    return dim_max(t, total, dim_const(t, 0));
}

/* Resolves auto_pad. Returns x, or x padded with `fill` where the pads are no constants. */
static Value *window_pad(Builder *b, Value *x, Window *w, double fill)
{
    DimTable *t = b->m->dims;
    Dim before[MAX_RANK], after[MAX_RANK];
    bool symbolic = false;
    if (w->auto_pad == PAD_EXPLICIT)
        return x;
    for (int k = 0; k < 2 * w->spatial; k++)
        w->pads[k] = 0;
    if (w->auto_pad == PAD_VALID)
        return x;
    before[0] = before[1] = after[0] = after[1] = dim_const(t, 0);
    for (int k = 0; k < w->spatial; k++) {
        Dim total = same_total(t, w, k, value_dim(x, 2 + k)), half = dim_divk(t, total, 2);
        before[2 + k] = w->auto_pad == PAD_SAME_UPPER ? half : dim_sub(t, total, half);
        after[2 + k] = dim_sub(t, total, before[2 + k]);
        symbolic |= !dim_is_const(total);
    }
    for (int k = 0; k < w->spatial && !symbolic; k++) {
        w->pads[k] = before[2 + k]->k;
        w->pads[w->spatial + k] = after[2 + k]->k;
    }
    return symbolic ? mk_padded(b, x, before, after, mk_k(b, x, fill)) : x;
}

static IntVec kept(Builder *b, int n, const int64_t *v)
{
    return ints_copy(b->m, n, v);
}

/* ---- convolution ---- */

Value *import_conv_of(Importer *c, Value *x, Value *w, Value *bias)
{
    Builder *b = &c->b;
    Window win;
    if (!w || !window_of(c, x, w, &win))
        return NULL;
    x = window_pad(b, x, &win, 0);
    return mk_conv(b, IN(x, w, bias), (Attr_conv){ .strides = kept(b, win.spatial, win.strides), .dilations = kept(b, win.spatial, win.dilations),
                                                   .pads = kept(b, 2 * win.spatial, win.pads), .group = attr_i(c, "group", 1) });
}

bool import_conv(Importer *c)
{
    OUT(c, import_conv_of(c, in(c, 0), in(c, 1), in(c, 2)));
}

/* Pads that give the result `size` elements along axis k: what is too much is cut, half before and half behind; what lacks is added behind.
 * The odd element is cut before, or behind under SAME_UPPER. */
static void fit_output(Window *w, int64_t *output_padding, int k, int64_t total)
{
    if (total < 0) {
        output_padding[k] -= total;
        total = 0;
    }
    int64_t half = total / 2;
    w->pads[k] = w->auto_pad == PAD_SAME_UPPER ? half : total - half;
    w->pads[w->spatial + k] = total - w->pads[k];
}

/* (in-1)*stride + reach + output_padding - size is what has to go; with SAME, size is in*stride, and `in` cancels. */
static bool fit_outputs(Importer *c, const Value *x, Window *w, int64_t *output_padding)
{
    IntVec shape = attr_ints(c, "output_shape");
    const int64_t *want = shape.v + (shape.n > w->spatial ? shape.n - w->spatial : 0);
    if (shape.n && shape.n < w->spatial)
        return import_fail(c, "output_shape has %d entries, %d are needed", shape.n, w->spatial);
    for (int k = 0; k < w->spatial; k++) {
        Dim size = value_dim(x, 2 + k);
        int64_t more = window_reach(w, k) + output_padding[k];
        if (shape.n && !dim_is_const(size))
            return import_unsupported(c, "output_shape for an input of symbolic size");
        if (shape.n)
            fit_output(w, output_padding, k, (size->k - 1) * w->strides[k] + more - want[k]);
        else if (w->auto_pad == PAD_SAME_UPPER || w->auto_pad == PAD_SAME_LOWER)
            fit_output(w, output_padding, k, more - w->strides[k]);
        else if (w->auto_pad == PAD_VALID)
            w->pads[k] = w->pads[w->spatial + k] = 0;
    }
    return true;
}

bool import_conv_transpose(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *w = in(c, 1);
    Window win;
    int64_t output_padding[MAX_RANK];
    if (!w || !window_of(c, x, w, &win) || !fill_attr(c, "output_padding", win.spatial, 0, output_padding) ||
        !fit_outputs(c, x, &win, output_padding))
        return false;
    OUT(c, mk_conv_transpose(b, IN(x, w, in(c, 2)),
                             (Attr_conv_transpose){ .strides = kept(b, win.spatial, win.strides), .dilations = kept(b, win.spatial, win.dilations),
                                                    .pads = kept(b, 2 * win.spatial, win.pads),
                                                    .output_padding = kept(b, win.spatial, output_padding), .group = attr_i(c, "group", 1) }));
}

/* ---- pooling ---- */

static Value *pool(Builder *b, const char *kind, Value *x, const Window *w, bool ceil, bool count_pad)
{
    return mk_pool(b, IN(x), (Attr_pool){ .kind = kind, .kernel = kept(b, w->spatial, w->kernel), .strides = kept(b, w->spatial, w->strides),
                                          .dilations = kept(b, w->spatial, w->dilations), .pads = kept(b, 2 * w->spatial, w->pads),
                                          .ceil = ceil, .count_pad = count_pad });
}

static double lowest(DType t)
{
    int bits = dtype_table[t].bits;
    return dtype_is_float(t) ? -(double)INFINITY : dtype_is_signed(t) ? -ldexp(1, bits - 1) : 0;
}

bool import_max_pool(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    Window w;
    if (!window_of(c, x, NULL, &w))
        return false;
    Value *padded = window_pad(b, x, &w, lowest(x->type.dtype));
    bool ceil = attr_i(c, "ceil_mode", 0);
    if (!out_wanted(c, 1))
        OUT(c, pool(b, "max", padded, &w, ceil, false));
    if (padded != x)
        return import_unsupported(c, "the index output with auto_pad over a symbolic size");
    Node *n = build_node(b, OP_max_pool_indices, IN(x),
                         &(Attr_max_pool_indices){ .kernel = kept(b, w.spatial, w.kernel), .strides = kept(b, w.spatial, w.strides),
                                                   .dilations = kept(b, w.spatial, w.dilations), .pads = kept(b, 2 * w.spatial, w.pads),
                                                   .ceil = ceil, .column_major = attr_i(c, "storage_order", 0) }, -1);
    return n && set_out(c, 0, &n->out[0]) && set_out(c, 1, &n->out[1]);
}

Value *import_average_pool_of(Importer *c, Value *x)
{
    Builder *b = &c->b;
    Window w;
    if (!window_of(c, x, NULL, &w))
        return NULL;
    bool ceil = attr_i(c, "ceil_mode", 0), count_pad = attr_i(c, "count_include_pad", 0);
    Value *padded = window_pad(b, x, &w, 0);
    if (padded == x || count_pad)
        return pool(b, "avg", padded, &w, ceil, count_pad);
    Value *share = pool(b, "avg", window_pad(b, mk_full(b, x->type.dtype, value_rank(x), x->type.dim, 1), &w, 0), &w, ceil, true);
    return mk_div(b, pool(b, "avg", padded, &w, ceil, true), share);       /* the pads' zeros leave the sum, `share` their count */
}

bool import_average_pool(Importer *c)
{
    OUT(c, import_average_pool_of(c, in(c, 0)));
}

/* With ceil_mode, a partial last window: the same as pads behind that complete it. */
static bool complete_windows(Importer *c, const Value *x, Window *w)
{
    for (int k = 0; k < w->spatial; k++) {
        Dim size = value_dim(x, 2 + k);
        if (!dim_is_const(size))
            return import_unsupported(c, "ceil_mode over a symbolic size");
        int64_t room = size->k + w->pads[k] + w->pads[w->spatial + k] - window_reach(w, k), over = room % w->strides[k];
        if (over > 0 && (room / w->strides[k] + 1) * w->strides[k] < size->k + w->pads[k])
            w->pads[w->spatial + k] += w->strides[k] - over;
    }
    return true;
}

/* (sum of |x|^p over the window)^(1/p): the sum is the mean over the whole window, pads as zeros, times its size. */
bool import_lp_pool(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    Window w;
    if (!window_of(c, x, NULL, &w))
        return false;
    DType t = x->type.dtype;
    double p = c->opset < 2 ? attr_f(c, "p", 2) : (double)attr_i(c, "p", 2), size = 1;
    x = window_pad(b, x, &w, 0);
    if (!x || (attr_i(c, "ceil_mode", 0) && !complete_windows(c, x, &w)))
        return false;
    for (int k = 0; k < w.spatial; k++)
        size *= (double)w.kernel[k];
    x = mk_abs(b, mk_cast_to(b, x, wide_float(t)));
    Value *powers = p == 1 ? x : p == 2 ? mk_mul(b, x, x) : mk_pow(b, x, mk_k(b, x, p));
    Value *sum = mk_scaled(b, pool(b, "avg", powers, &w, false, true), size);
    OUT(c, mk_cast_to(b, p == 1 ? sum : p == 2 ? mk_sqrt(b, sum) : mk_pow(b, sum, mk_k(b, sum, 1 / p)), t));
}

/* ---- MaxUnpool: x goes where the indices say in a zero tensor of the size that the pooling saw ---- */

static DimVec unpooled_shape(Builder *b, const Value *x, const Window *w)
{
    DimTable *t = b->m->dims;
    Dim d[MAX_RANK] = { value_dim(x, 0), value_dim(x, 1) };
    for (int k = 0; k < w->spatial; k++)
        d[2 + k] = dim_addk(t, dim_mulk(t, dim_addk(t, value_dim(x, 2 + k), -1), w->strides[k]), w->kernel[k] - w->pads[k] - w->pads[w->spatial + k]);
    return dims_copy(b->m, value_rank(x), d);
}

/* A larger output_shape is filled up with zeros behind. */
static Value *grow_to(Builder *b, Value *x, DimVec shape)
{
    for (int i = 0; i < shape.n; i++)
        x = mk_pad_end(b, x, i, shape.v[i], NULL);
    return x;
}

bool import_max_unpool(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *index = in(c, 1);
    Window w;
    DimVec want;
    if (!index || !window_of(c, x, NULL, &w))
        return false;
    DimVec shape = unpooled_shape(b, x, &w);
    Dim count = dim_one(b), flat = type_count_dim(c->m, &x->type);
    for (int i = 0; i < shape.n; i++)
        count = dim_mul(c->m->dims, count, shape.v[i]);
    Value *y = mk_scatter_elements(b, IN(mk_full(b, x->type.dtype, 1, &count, 0), mk_reshape_to(b, index, 1, &flat), mk_reshape_to(b, x, 1, &flat)),
                                   (Attr_scatter_elements){ .axis = 0, .reduction = "none" });
    y = mk_reshape_to(b, y, shape.n, shape.v);
    if (!in(c, 2))
        OUT(c, y);
    if (!in_dims(c, 2, &want))
        return false;
    if (want.n != shape.n)
        return import_fail(c, "output_shape has %d entries, %d are needed", want.n, shape.n);
    OUT(c, grow_to(b, y, want));
}

/* ---- Col2Im: every element of every block is added to its place in the padded image ---- */

typedef struct Blocks {
    int s;                          /* spatial axes */
    DimVec image, block;
    int64_t strides[MAX_RANK], dilations[MAX_RANK], pads[2 * MAX_RANK];
    Dim padded[MAX_RANK], columns[MAX_RANK];    /* size of the padded image; number of blocks along it */
} Blocks;

static bool blocks_of(Importer *c, Blocks *k)
{
    DimTable *t = c->m->dims;
    if (!in_dims(c, 1, &k->image) || !in_dims(c, 2, &k->block))
        return false;
    int s = k->s = k->image.n;
    if (!in(c, 0) || value_rank(in(c, 0)) != 3 || s < 1 || 2 * s > MAX_RANK || k->block.n != s)
        return import_fail(c, "needs an input of rank 3 and as many block sizes as image sizes, at most %d", MAX_RANK / 2);
    if (!fill_attr(c, "strides", s, 1, k->strides) || !fill_attr(c, "dilations", s, 1, k->dilations) || !fill_attr(c, "pads", 2 * s, 0, k->pads))
        return false;
    for (int i = 0; i < s; i++) {
        Dim reach = dim_addk(t, dim_mulk(t, dim_addk(t, k->block.v[i], -1), k->dilations[i]), 1);
        if (k->strides[i] < 1)
            return import_fail(c, "strides must be 1 or more");
        k->padded[i] = dim_addk(t, k->image.v[i], k->pads[i] + k->pads[s + i]);
        k->columns[i] = dim_addk(t, dim_divk(t, dim_sub(t, k->padded[i], reach), k->strides[i]), 1);
    }
    return true;
}

/* Flat place in the padded image of block element (e0, e1...) of column (c0, c1...): [e0, e1.., c0, c1..]. */
static Value *block_places(Builder *b, const Blocks *k)
{
    DimTable *t = b->m->dims;
    Dim row = dim_one(b);
    Value *sum = NULL;
    for (int i = k->s - 1; i >= 0; i--) {
        Value *element = mk_align_channel(b, mk_scaled(b, mk_iota_n(b, DT_i64, k->block.v[i]), (double)k->dilations[i]), 2 * k->s, i);
        Value *column = mk_align_channel(b, mk_scaled(b, mk_iota_n(b, DT_i64, k->columns[i]), (double)k->strides[i]), 2 * k->s, k->s + i);
        Value *place = mk_mul(b, mk_add(b, element, column), mk_dim_scalar(b, row, DT_i64));
        sum = sum ? mk_add(b, sum, place) : place;
        row = dim_mul(t, row, k->padded[i]);
    }
    return sum;
}

/* [n, padded image...] without its pads */
static Value *cut_pads(Builder *b, Value *y, const Blocks *k)
{
    Dim starts[MAX_RANK], sizes[MAX_RANK];
    int64_t steps[MAX_RANK];
    if (!y)
        return NULL;
    for (int i = 0; i <= k->s; i++) {
        starts[i] = dim_const(b->m->dims, i ? k->pads[i - 1] : 0);
        sizes[i] = i ? k->image.v[i - 1] : value_dim(y, 0);
        steps[i] = 1;
    }
    int rank = 1 + k->s;
    return mk_slice(b, IN(y), (Attr_slice){ .starts = dims_copy(b->m, rank, starts), .sizes = dims_copy(b->m, rank, sizes),
                                            .steps = ints_copy(b->m, rank, steps) });
}

static Dim product_of(Builder *b, int n, const Dim *d)
{
    Dim p = dim_one(b);
    for (int i = 0; i < n; i++)
        p = dim_mul(b->m->dims, p, d[i]);
    return p;
}

bool import_col2im(Importer *c)
{
    Builder *b = &c->b;
    DimTable *t = c->m->dims;
    Value *x = in(c, 0);
    Blocks k = { .s = 0 };
    if (!blocks_of(c, &k))
        return false;
    Dim block = product_of(b, k.s, k.block.v), each = dim_mul(t, block, product_of(b, k.s, k.columns));
    Dim n = value_dim(x, 0), channels = dim_div(t, value_dim(x, 1), block), images = dim_mul(t, n, channels);
    Dim flat[2] = { images, each }, canvas[2] = { images, product_of(b, k.s, k.padded) }, shape[MAX_RANK] = { images };
    Value *places = mk_expand_to(b, mk_reshape_to(b, block_places(b, &k), 1, &each), 2, flat);
    Value *y = mk_scatter_elements(b, IN(mk_full(b, x->type.dtype, 2, canvas, 0), places, mk_reshape_to(b, x, 2, flat)),
                                   (Attr_scatter_elements){ .axis = 1, .reduction = "add" });
    for (int i = 0; i < k.s; i++)
        shape[1 + i] = k.padded[i];
    y = cut_pads(b, mk_reshape_to(b, y, 1 + k.s, shape), &k);
    shape[0] = n;
    shape[1] = channels;
    for (int i = 0; i < k.s; i++)
        shape[2 + i] = k.image.v[i];
    OUT(c, mk_reshape_to(b, y, 2 + k.s, shape));
}
