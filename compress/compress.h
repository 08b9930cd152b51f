/* compress.h -- the whole way: prune, repair, quantise, with the effect measured after every step. */
#ifndef INGOT_COMPRESS_H
#define INGOT_COMPRESS_H

#include "prune_module.h"
#include "quantize.h"

typedef struct CompressOptions {
    PruneOptions prune;             /* a budget in bytes is that of the compiled file, if it is quantised too; samples and keep are quantize's */
    QuantizeOptions quantize;       /* max_drop is that of the whole */
    bool no_quantize;
} CompressOptions;

/* m is as imported. Its graph becomes the compressed one. False after reporting. */
bool compress_module(Module *m, const CompressOptions *o);

#endif
