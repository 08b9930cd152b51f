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
    if (n->op != OP_conv || NODE_ATTR(n, conv)->channels_last)
        return false;
    for (int i = 2; i < w->rank; i++)
        r->kernel *= (int)w->dim[i];
    r->ngroups = (int)NODE_ATTR(n, conv)->group;
    r->nfeatures = (int)w->dim[1] * r->kernel;
    r->nout = (int)w->dim[0] / r->ngroups;
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

/* The first element of the window in each spatial axis, in pixels of the input. */
static void window_start(const Rows *r, const Tensor *y, int64_t place, int64_t *start)
{
    const Attr_conv *a = NODE_ATTR(r->node, conv);
    for (int k = y->rank - 1; k >= 2; k--) {
        start[k - 2] = place % y->dim[k] * a->strides.v[k - 2] - a->pads.v[k - 2];
        place /= y->dim[k];
    }
}

/* Offset of element `tap` of the window in one channel of the input, -1: in the padding. */
static int64_t tap_offset(const Rows *r, const Tensor *x, const Tensor *w, const int64_t *start, int64_t tap)
{
    const Attr_conv *a = NODE_ATTR(r->node, conv);
    int64_t offset = 0, stride = 1;
    for (int k = x->rank - 1; k >= 2; k--) {
        int64_t at = start[k - 2] + tap % w->dim[k] * a->dilations.v[k - 2];
        tap /= w->dim[k];
        if (at < 0 || at >= x->dim[k])
            return -1;
        offset += at * stride;
        stride *= x->dim[k];
    }
    return offset;
}

static void read_window(const Rows *r, const Tensor *x, const Tensor *y, int64_t row, int group, double *to)
{
    const Tensor *w = value_constant(node_in(r->node, 1));
    int64_t start[MAX_RANK], per_image = places(y), plane = places(x), channels = w->dim[1];
    const float *image = (const float *)x->data + row / per_image * x->dim[1] * plane + group * channels * plane;
    window_start(r, y, row % per_image, start);
    for (int tap = 0; tap < r->kernel; tap++) {
        int64_t at = tap_offset(r, x, w, start, tap);
        for (int64_t c = 0; c < channels; c++)
            to[c * r->kernel + tap] = at < 0 ? 0 : (double)image[c * plane + at];
    }
}

void rows_read(const Rows *r, const Tensor *x, const Tensor *y, int64_t row, int group, double *to)
{
    if (r->node->op == OP_conv) {
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
    return (int64_t)(group * r->nout + out) * r->nfeatures + feature;
}
