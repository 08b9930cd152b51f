/* samples_files.h -- private to samples.c: the files of a sample set. */
#ifndef INGOT_SAMPLES_FILES_H
#define INGOT_SAMPLES_FILES_H

#include "samples.h"

/* Arrays of one file or folder, one per input of the model. */
typedef struct SampleSet {
    ingot_tensor *in;               /* n_inputs; data to be freed */
    bool whole;                     /* one sample, each array a whole input; else samples along axis 0 */
    bool image;                     /* channels are already where the input has them */
    const char *name;               /* file, for sentences */
} SampleSet;

typedef struct SampleFiles {
    const ingot_model *ports;
    SamplesOptions o;
    SampleSet *set;
    int64_t n, room, samples;
} SampleFiles;

/* Read everything under o->path, until there are o->limit samples. False after a sentence. */
bool samples_files_read(SampleFiles *f);
void samples_files_free(SampleFiles *f);

/* All of a file, to be freed; NULL after a sentence: missing, empty. */
uint8_t *samples_read_bytes(const char *path, size_t *bytes);
/* Whether an input of rank 4 has its channels last: its sizes say so, else the option does. */
bool samples_channels_last(const ingot_port *p, const SamplesOptions *o);

/* samples_npz.c: the arrays of a .npz whose names are inputs', or its only array for an only input. in: n_inputs. */
bool samples_npz_read(const char *path, const ingot_model *ports, ingot_tensor *in);
/* samples_image.c: a picture as u8 [1,C,H,W] or [1,H,W,C], as input p wants it. */
bool samples_image_read(const char *path, const ingot_port *p, const SamplesOptions *o, ingot_tensor *t);

#endif
