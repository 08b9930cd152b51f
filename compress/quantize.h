/* quantize.h -- quantisation of a module: calibrate, choose grids, repair, decide per layer, write the operators. */
#ifndef INGOT_QUANTIZE_H
#define INGOT_QUANTIZE_H

#include "qdq.h"
#include "ranges.h"
#include "report.h"
#include "samples.h"
#include "weight_repair.h"

typedef struct QuantizeOptions {
    SamplesOptions samples;
    const char *method;             /* of ranges.h */
    const char *percentile;
    bool dynamic;                   /* activations over their own range, found while running: no samples are needed */
    bool float16;                   /* weights only; computed in f32 */
    bool bfloat16;                  /* weights and activations; summed in f32 */
    bool per_tensor;                /* one scale per weight, not one per channel */
    bool per_channel;               /* the default, said aloud */
    int64_t weight_bits;            /* 8 (or 0), or 4: beside activations of 8 bits; implies adaround */
    bool nearest;                   /* not even then: to see how large it becomes */
    TextList keep;                  /* names of layers that stay f32 */
    WeightsOptions weights;         /* weights only */
    WeightRepairOptions weight_repair;      /* with data */
    bool equalize, bias_correction, adaround, smoothquant;      /* repair.h */
    const char *data, *labels;      /* what to score on: NULL: the calibration samples; no accuracy */
    const char *max_drop, *min_sqnr;    /* budgets, as text: percentage points, dB; NULL: none */
    const char *json, *picture;     /* files to write, or NULL */
    bool sensitivity;               /* measure it even if nothing needs it */
    bool no_guard;
    bool quiet;
    const char *target, *cpu;       /* that the guard asks about; as for compile */
} QuantizeOptions;
#define QUANTIZE_DEFAULT { .samples = CALIBRATION_DEFAULT, .method = "mse", .percentile = "99.99" }
#define QUANTIZE_OPTIONS(o) \
    WEIGHTS_OPTIONS((o).weights), WEIGHT_REPAIR_OPTIONS((o).weight_repair), \
    CALIBRATION_OPTIONS((o).samples), \
    { "method", 0, OPT_TEXT, "NAME", "how ranges are chosen: minmax, average, percentile, entropy, mse (default)", &(o).method }, \
    { "percentile", 0, OPT_TEXT, "P", "for --method percentile (default 99.99)", &(o).percentile }, \
    { "dynamic", 0, OPT_FLAG, NULL, "round activations over their own range, found while running; no samples are needed", &(o).dynamic }, \
    { "float16", 0, OPT_FLAG, NULL, "store weights as f16, compute in f32", &(o).float16 }, \
    { "bfloat16", 0, OPT_FLAG, NULL, "multiply in bf16, weights and activations, and sum in f32", &(o).bfloat16 }, \
    { "per-tensor", 0, OPT_FLAG, NULL, "one scale per weight", &(o).per_tensor }, \
    { "per-channel", 0, OPT_FLAG, NULL, "one scale per output channel of a weight (default)", &(o).per_channel }, \
    { "weight-bits", 0, OPT_INT, "8|4", "bits of a weight that is multiplied by bytes (default 8); 4 implies --adaround, and leaves small layers at 8", &(o).weight_bits }, \
    { "keep", 0, OPT_LIST, "NAME", "leave this layer in f32", &(o).keep }, \
    { "equalize", 0, OPT_FLAG, NULL, "cross-layer equalisation before ranges are chosen", &(o).equalize }, \
    { "bias-correction", 0, OPT_FLAG, NULL, "biases make up for the mean error of rounded weights", &(o).bias_correction }, \
    { "adaround", 0, OPT_FLAG, NULL, "choose for each weight whether it is rounded up or down", &(o).adaround }, \
    { "smoothquant", 0, OPT_FLAG, NULL, "move outliers of activations into the weights of products", &(o).smoothquant }, \
    { "data", 0, OPT_TEXT, "DATA", "samples to score on (default: those of --calibrate)", &(o).data }, \
    { "labels", 0, OPT_TEXT, "F.npy", "class numbers of the samples that are scored", &(o).labels }, \
    { "max-drop", 0, OPT_TEXT, "PP", "keep layers in f32 until top-1 drops by no more percentage points", &(o).max_drop }, \
    { "min-sqnr", 0, OPT_TEXT, "DB", "keep layers in f32 until the results' error lies so many dB below them", &(o).min_sqnr }, \
    { "sensitivity", 0, OPT_FLAG, NULL, "report the error of the results with each layer quantised alone", &(o).sensitivity }, \
    { "no-guard", 0, OPT_FLAG, NULL, "also quantise layers that are slower as integers on the target", &(o).no_guard }, \
    { "json", 0, OPT_TEXT, "F.json", "write the report as JSON", &(o).json }, \
    { "picture", 0, OPT_TEXT, "F.svg", "draw ranges and errors of the layers", &(o).picture }

/* Anything asked for at all? */
bool quantize_wanted(const QuantizeOptions *o);
/* What is wrong with the options as a sentence, or NULL. */
const char *quantize_misuse(const QuantizeOptions *o);
/* Edits m, which is folded, canonical and not laid out (quantize_prepare). report: filled in, with r->arena given; NULL: none is wanted, which saves
 * compiling both sides. False after reporting. */
bool quantize_module(Module *m, const QuantizeOptions *o, Report *r);
/* The same, and the report printed (unless quiet) and written where o says. */
bool quantize_and_report(Module *m, const QuantizeOptions *o);
/* The passes that quantisation expects to have run. */
bool quantize_prepare(Module *m);

#endif
