/* tune.h -- `--tune`: decides by measuring on this machine what cost models decide otherwise, and remembers it in a file. */
#ifndef INGOT_TUNE_H
#define INGOT_TUNE_H

#include "driver.h"

typedef struct TuneOptions {
    bool tune;
    const char *cache;              /* file; NULL: one in the user's cache folder */
} TuneOptions;
#define TUNE_OPTIONS(t) \
    { "tune", 0, OPT_FLAG, NULL, "measure on this machine which kernels are fastest, or recall it", &(t).tune }, \
    { "tune-cache", 0, OPT_TEXT, "F", "where to keep what --tune found (default: in ~/.cache/ingot)", &(t).cache }

/* With --tune: build->choices for the model at path, recalled from the file if it is of the same model, options, CPU and version; else measured, and
 * written there. Everything is in the arena. Without: nothing. False after reporting. */
bool tune_model(Arena *a, const char *path, const TuneOptions *t, BuildOptions *build);

#endif
