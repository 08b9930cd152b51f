/* rows.c -- see rows.h. */
#include "rows.h"

bool rows_of(const Node *n, Rows *r)
{
    const Tensor *w = n->nin > 1 ? value_constant(node_in(n, 1)) : NULL;
    if (!w || value_constant(node_in(n, 0)) || w->dtype != DT_f32)
        return false;
    *r = (Rows){ .node = n, .ngroups = 1, .kernel = 1 };
    if (n->op == OP_matmul && w->rank == 2) {
        r->nfeatures = (int)w->dim[0];
        r->nout = (int)w->dim[1];
        return true;
    }
    bool transposed = n->op == OP_conv_transpose;
    if (!(n->op == OP_conv && !NODE_ATTR(n, conv)->channels_last) && !(transposed && !NODE_ATTR(n, conv_transpose)->channels_last))
        return false;
    for (int i = 2; i < w->rank; i++)
        r->kernel *= (int)w->dim[i];
    r->ngroups = (int)(transposed ? NODE_ATTR(n, conv_transpose)->group : NODE_ATTR(n, conv)->group);
    r->nfeatures = (int)(transposed ? w->dim[0] / r->ngroups : w->dim[1]) * r->kernel;
    r->nout = (int)(transposed ? w->dim[1] : w->dim[0] / r->ngroups);
    return true;
}

static int64_t places(const Tensor *y)
{
    int64_t n = 1;
    for (int i = 2; i < y->rank; i++)
        n *= y->dim[i];
    return n;
}

int64_t rows_count(const Rows *r, const Tensor *y)
{
    if (r->node->op == OP_matmul)
        return y->count / y->dim[y->rank - 1];
    return y->dim[0] * places(y);
}

/* Where in the input the taps of a window lie, per spatial axis: at = (place * step + tap * dilation - pad) / stride, if that is a whole number. */
typedef struct Window {
    int64_t step, dilation, pad, stride, place;
} Window;

static void window_of(const Rows *r, const Tensor *y, int64_t place, Window *window)
{
    bool transposed = r->node->op == OP_conv_transpose;
    for (int k = y->rank - 3; k >= 0; k--) {
        const Attr_conv *a = NODE_ATTR(r->node, conv);
        const Attr_conv_transpose *t = NODE_ATTR(r->node, conv_transpose);
        window[k] = transposed ? (Window){ 1, -t->dilations.v[k], -t->pads.v[k], t->strides.v[k], place % y->dim[k + 2] }
                               : (Window){ a->strides.v[k], a->dilations.v[k], a->pads.v[k], 1, place % y->dim[k + 2] };
        place /= y->dim[k + 2];
    }
}

/* Offset of element `tap` of the window in one channel of the input, -1: in the padding, or between the elements of a transposed convolution's input. */
static int64_t tap_offset(const Tensor *x, const Tensor *w, const Window *window, int64_t tap)
{
    int64_t offset = 0, stride = 1;
    for (int k = x->rank - 1; k >= 2; k--) {
        const Window *v = &window[k - 2];
        int64_t at = v->place * v->step + tap % w->dim[k] * v->dilation - v->pad;
        tap /= w->dim[k];
        if (at < 0 || at % v->stride || at / v->stride >= x->dim[k])
            return -1;
        offset += at / v->stride * stride;
        stride *= x->dim[k];
    }
    return offset;
}

static void read_window(const Rows *r, const Tensor *x, const Tensor *y, int64_t row, int group, double *to)
{
    const Tensor *w = value_constant(node_in(r->node, 1));
    Window window[MAX_RANK];
    int64_t per_image = places(y), plane = places(x), channels = r->nfeatures / r->kernel;
    const float *image = (const float *)x->data + row / per_image * x->dim[1] * plane + group * channels * plane;
    window_of(r, y, row % per_image, window);
    for (int tap = 0; tap < r->kernel; tap++) {
        int64_t at = tap_offset(x, w, window, tap);
        for (int64_t c = 0; c < channels; c++)
            to[c * r->kernel + tap] = at < 0 ? 0 : (double)image[c * plane + at];
    }
}

void rows_read(const Rows *r, const Tensor *x, const Tensor *y, int64_t row, int group, double *to)
{
    if (r->node->op != OP_matmul) {
        read_window(r, x, y, row, group, to);
        return;
    }
    const float *from = (const float *)x->data + row * r->nfeatures;
    for (int i = 0; i < r->nfeatures; i++)
        to[i] = (double)from[i];
}

double rows_result(const Rows *r, const Tensor *y, int64_t row, int64_t channel)
{
    const float *data = y->data;
    if (r->node->op == OP_matmul)
        return (double)data[row * y->dim[y->rank - 1] + channel];
    int64_t per_image = places(y);
    return (double)data[(row / per_image * y->dim[1] + channel) * per_image + row % per_image];
}

int64_t rows_weight(const Rows *r, int group, int feature, int out)
{
    if (r->node->op == OP_matmul)
        return (int64_t)feature * r->nout + out;
    if (r->node->op == OP_conv_transpose)
        return ((int64_t)(group * (r->nfeatures / r->kernel) + feature / r->kernel) * r->nout + out) * r->kernel + feature % r->kernel;
    return (int64_t)(group * r->nout + out) * r->nfeatures + feature;
}
