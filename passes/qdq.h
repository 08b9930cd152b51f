/* qdq.h -- static quantisation as an edit of the graph: which values become bytes, which layers have integer weights, and the operators that say so.
 *
 *     point   a value that is rounded to a grid of 256 numbers: what layers read; what convolutions, pools, concats and joins give, behind a ReLU or clip
 *     layer   a convolution or a product with constant weights, whose operand 0 is a point
 *
 * The operators are QuantizeLinear and DequantizeLinear in core ops, as bytes.h lists them; the pass `quant` computes them on bytes, and the exporter
 * writes them as ONNX. Points are chosen as common tools choose them, so that ONNX Runtime fuses the file too. What is not an image (what no
 * convolution made) is rounded only where a layer reads it: norms, attention and the residual sums of transformers stay f32.
 */
#ifndef INGOT_QDQ_H
#define INGOT_QDQ_H

#include "build.h"

typedef struct QdqPoint {
    Value *v;                       /* f32 */
    int from;                       /* the point whose numbers these are (max pool, movement), so whose grid this takes; -1: none */
    double scale;                   /* grid: scale * (0..255 - zero) */
    int64_t zero;
} QdqPoint;

typedef struct QdqLayer {
    Node *n;                        /* conv, or matmul with a weight of rank 2 */
    int axis;                       /* of the weight, that the columns run along: 0 of a conv, 1 of a matmul */
    int point;                      /* of operand 0 */
    bool keep;                      /* stays f32 */
    int bits;                       /* of a weight: 8 or 4 */
    Tensor *q, *scale;              /* i8 weight, of 4 bits within -8..7; f32 [columns] or [1] */
    Tensor *shift;                  /* f32 [columns], added to the result; NULL: none */
} QdqLayer;

typedef struct QdqPlan {
    QdqLayer *layer;
    QdqPoint *point;                /* in order of definition */
    int nlayers, npoints;
} QdqPlan;

/* All layers of the main graph that can be integers, in order; points are not known yet. Needs a typed graph that is not channels-last. */
void qdq_find_layers(Module *m, QdqPlan *p);
/* The points that the layers which are not kept need. Everything lives in m's arena. */
void qdq_find_points(Module *m, QdqPlan *p);
/* The layer's name for people: of the model's node, or its result. */
const char *qdq_layer_name(Module *m, const QdqLayer *l);
/* v rounded to a grid; a layer's weight, and a convolution's bias (NULL: none) as qdq_insert writes them. NULL after reporting. */
Value *qdq_rounded(Builder *b, Value *v, const QdqPoint *p);
Value *qdq_weight(Builder *b, const QdqLayer *l);
Value *qdq_bias(Builder *b, const QdqLayer *l, const QdqPoint *p);
/* Write the operators. Every point has its grid, every layer that is not kept its q and scale. A convolution's bias is rounded to steps of its sum.
 * False after reporting. */
bool qdq_insert(Module *m, const QdqPlan *p);
/* The same with small floats: q of each layer is of such a type, without scales, biases stay; points, if there are any, become bf16 and f32 again. */
bool qdq_insert_floats(Module *m, const QdqPlan *p);
/* The same as qdq_insert without points: grids are found while the model runs (qdq_dynamic.c). */
bool qdq_insert_dynamic(Module *m, const QdqPlan *p);

#endif
