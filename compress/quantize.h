/* quantize.h -- quantisation of a module: calibrate, choose grids, repair, decide per layer, write the operators. */
#ifndef INGOT_QUANTIZE_H
#define INGOT_QUANTIZE_H

#include "qdq.h"
#include "ranges.h"
#include "samples.h"

typedef struct QuantizeOptions {
    SamplesOptions samples;
    const char *method;             /* of ranges.h */
    const char *percentile;
    bool per_tensor;                /* one scale per weight, not one per channel */
    bool per_channel;               /* the default, said aloud */
    TextList keep;                  /* names of layers that stay f32 */
    bool equalize, bias_correction, adaround, smoothquant;
    bool is_static, dynamic, float16, bfloat16, float8;
} QuantizeOptions;
#define QUANTIZE_DEFAULT { .samples = CALIBRATION_DEFAULT, .method = "mse", .percentile = "99.99" }
#define QUANTIZE_OPTIONS(o) \
    CALIBRATION_OPTIONS((o).samples), \
    { "method", 0, OPT_TEXT, "NAME", "how ranges are chosen: minmax, average, percentile, entropy, mse (default)", &(o).method }, \
    { "percentile", 0, OPT_TEXT, "P", "for --method percentile (default 99.99)", &(o).percentile }, \
    { "per-tensor", 0, OPT_FLAG, NULL, "one scale per weight", &(o).per_tensor }, \
    { "per-channel", 0, OPT_FLAG, NULL, "one scale per output channel of a weight (default)", &(o).per_channel }, \
    { "keep", 0, OPT_LIST, "NAME", "leave this layer in f32", &(o).keep }, \
    { "equalize", 0, OPT_FLAG, NULL, "cross-layer equalisation before ranges are chosen", &(o).equalize }, \
    { "bias-correction", 0, OPT_FLAG, NULL, "biases make up for the mean error of rounded weights", &(o).bias_correction }, \
    { "adaround", 0, OPT_FLAG, NULL, "choose for each weight whether it is rounded up or down", &(o).adaround }, \
    { "smoothquant", 0, OPT_FLAG, NULL, "move outliers of activations into the weights of products", &(o).smoothquant }

/* Anything asked for at all? */
bool quantize_wanted(const QuantizeOptions *o);
/* What is wrong with the options as a sentence, or NULL. */
const char *quantize_misuse(const QuantizeOptions *o);
/* Edits m, which is folded, canonical and not laid out (quantize_prepare). False after reporting. */
bool quantize_module(Module *m, const QuantizeOptions *o);
/* The passes that quantisation expects to have run. */
bool quantize_prepare(Module *m);

#endif
