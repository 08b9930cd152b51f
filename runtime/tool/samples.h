/* samples.h -- data to calibrate with or to measure on: where it lies, and how it becomes inputs of a model. One place for every command.
 *
 *     F.npy            samples along axis 0, for a model of one input
 *     F.npz            one array per input, by name, samples along axis 0 (one input: any name)
 *     folder of *.npy named as the inputs            one sample, whole inputs
 *     folder of other *.npy, *.npz                   the samples of all files, in the order of their names
 *     folder of test_data_set_N/input_K.pb           one sample per set, whole inputs
 *     folder of *.png, *.jpg, *.jpeg                 one sample per image, scaled to the input's size
 *
 * Where the model wants floats, an element x becomes (x * scale - mean) / std, mean and std being one number or one per channel. Of several inputs
 * only those with u8 data are treated so. Channels are axis 1 of the data, or the last one with layout nhwc; given the option, data of four axes are
 * turned round if the input's sizes say that it has them elsewhere. A sample has the input's shape, up to axes of size 1, or is a row of as many numbers.
 */
#ifndef INGOT_SAMPLES_H
#define INGOT_SAMPLES_H

#include "ingot.h"
#include "options.h"

/* Reads the input of a .pb file; t->data is to be freed. */
typedef int SamplesReadPb(const char *path, const ingot_port *p, ingot_tensor *t, ingot_error *err);

typedef struct SamplesOptions {
    const char *option;             /* how sentences call the path: "data", "calibrate" */
    const char *path;
    const char *scale, *mean, *std; /* as text, NULL: 1, 0, 1 */
    const char *size, *layout;      /* "224" or "224x160" (height x width); "nchw" or "nhwc"; NULL: as the model says */
    int64_t limit;                  /* most samples that are read; 0: all */
    SamplesReadPb *read_pb;         /* NULL: .pb files are refused */
} SamplesOptions;
#define SAMPLES_DEFAULT { .option = "data" }
#define CALIBRATION_DEFAULT { .option = "calibrate", .limit = 500 }
#define SAMPLES_FORM_OPTIONS(o) \
    { "scale", 0, OPT_TEXT, "K", "factor of the data, such as 1/255", &(o).scale }, \
    { "mean", 0, OPT_TEXT, "A,B,C", "to be subtracted after that: one number, or one per channel", &(o).mean }, \
    { "std", 0, OPT_TEXT, "A,B,C", "to be divided by after that", &(o).std }, \
    { "size", 0, OPT_TEXT, "HxW", "scale images to this size (default: the model's)", &(o).size }, \
    { "layout", 0, OPT_TEXT, "nchw|nhwc", "where the data's channels are (default: nchw, or as the model has them)", &(o).layout }
#define CALIBRATION_OPTIONS(o) \
    { "calibrate", 0, OPT_TEXT, "DATA", "samples: F.npy, F.npz, or a folder of them, of test_data_set_N, or of images", &(o).path }, \
    { "samples", 0, OPT_INT, "N", "use the first N samples (default 500; 0: all)", &(o).limit }, \
    SAMPLES_FORM_OPTIONS(o)

typedef struct Samples Samples;

/* Reads the data, for a model with these ports; they, and the options' texts, must live as long. NULL after a sentence: missing, empty, of another shape, NaN... */
Samples *samples_open(const ingot_model *ports, const SamplesOptions *o);
void samples_close(Samples *s);                                 /* NULL is fine */
int64_t samples_count(const Samples *s);
/* Samples that one run of the model takes: 1, or more if its batch is fixed. */
int64_t samples_batch(const Samples *s);
/* Inputs for a run on samples first ... first + batch - 1; behind the last sample it is repeated. They are s's, and valid until the next call. */
const ingot_tensor *samples_inputs(Samples *s, int64_t first);
/* False after a sentence: every element of every input is the same number, so there is nothing to be learnt from the data. */
bool samples_vary(Samples *s);
/* Class numbers: a .npy with one, or as many as the model scores at once, per sample; t->data is to be freed. False after a sentence. */
bool samples_labels(Samples *s, const char *path, ingot_tensor *t);
const char *samples_labels_name(const Samples *s);                  /* the file that they came from, or NULL */

/* An element as a double; u8 i8 i32 i64 f32 f64. */
double samples_element(const ingot_tensor *t, int64_t i);
bool samples_readable(int32_t dtype);

#endif
