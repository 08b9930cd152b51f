/* nms.c -- non_max_suppression: per batch and class, boxes by falling score, each kept unless it overlaps one already kept too much.
 *
 * Operands: boxes [B, N, 4], scores [B, C, N], and optional scalars: most boxes per class (absent: none are selected, as ONNX has it), the IoU
 * above which a box is suppressed (0), the score a box must exceed (no limit). Result: rows (batch, class, box).
 */
#include "kernel.h"

typedef struct Box { double y0, x0, y1, x1; } Box;

static Box box_at(const KTensor *boxes, int64_t i, bool center)
{
    double v[4];
    for (int k = 0; k < 4; k++)
        v[k] = k_load(boxes->data, boxes->dtype, 4 * i + k);
    if (center)                                             /* x, y, width, height */
        return (Box){ v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2 };
    Box b = { v[0] < v[2] ? v[0] : v[2], v[1] < v[3] ? v[1] : v[3], v[0] < v[2] ? v[2] : v[0], v[1] < v[3] ? v[3] : v[1] };
    return b;
}

static double area(Box b)
{
    return b.y1 > b.y0 && b.x1 > b.x0 ? (b.y1 - b.y0) * (b.x1 - b.x0) : 0;
}

static bool overlaps(Box a, Box b, double limit)
{
    Box both = { a.y0 > b.y0 ? a.y0 : b.y0, a.x0 > b.x0 ? a.x0 : b.x0, a.y1 < b.y1 ? a.y1 : b.y1, a.x1 < b.x1 ? a.x1 : b.x1 };
    double shared = area(both), all = area(a) + area(b) - shared;
    return area(a) > 0 && area(b) > 0 && all > 0 && shared / all > limit;
}

typedef struct Selection {
    const KTensor *boxes, *scores;
    int64_t most, *candidate, *key, *order, *kept;          /* arrays of N */
    double iou, least;
    bool any_score, center;
} Selection;

static double scalar(const KCall *c, int i, double otherwise)
{
    return i < c->nin && c->in[i].data ? k_load(c->in[i].data, c->in[i].dtype, 0) : otherwise;
}

/* Boxes selected for one class of one batch, in kept[]. */
static int64_t select_boxes(const Selection *s, int64_t batch, int64_t row)
{
    int64_t n = s->boxes->dim[1], candidates = 0, kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (s->any_score || k_load(s->scores->data, s->scores->dtype, row * n + i) > s->least) {
            s->candidate[candidates] = i;
            s->key[candidates++] = k_order_key(s->scores->data, s->scores->dtype, row * n + i);
        }
    k_choose_best(s->key, candidates, candidates, s->order);
    for (int64_t k = 0; k < candidates && kept < s->most; k++) {
        int64_t i = s->candidate[s->order[k]];
        Box b = box_at(s->boxes, batch * n + i, s->center);
        bool free_standing = true;
        for (int64_t j = 0; free_standing && j < kept; j++)
            free_standing = !overlaps(b, box_at(s->boxes, batch * n + s->kept[j], s->center), s->iou);
        if (free_standing)
            s->kept[kept++] = i;
    }
    return kept;
}

/* attrs: count, center_point */
K_KERNEL(non_max_suppression)
{
    const int64_t *a = c->attr;
    int64_t count, n = c->in[0].dim[1], *scratch = c->scratch, *to = c->out[0].data, found = 0;
    k_ints(&a, &count);
    Selection s = { &c->in[0], &c->in[1], (int64_t)scalar(c, 2, 0), scratch, scratch + n, scratch + 2 * n, scratch + 3 * n, scalar(c, 3, 0),
                    scalar(c, 4, 0), !(c->nin > 4 && c->in[4].data), k_int(&a) };
    int64_t classes = c->in[1].dim[1];
    if (c->in[1].dim[0] != c->in[0].dim[0] || c->in[1].dim[2] != n)
        return K_BAD_SHAPE;
    for (int64_t row = 0; row < c->in[1].dim[0] * classes; row++) {
        int64_t kept = select_boxes(&s, row / classes, row);
        for (int64_t k = 0; k < kept && found < c->out[0].dim[0]; k++, found++) {
            to[3 * found] = row / classes;
            to[3 * found + 1] = row % classes;
            to[3 * found + 2] = s.kept[k];
        }
    }
    c->out[0].dim[0] = found;
    return K_OK;
}
