/* import_ml.h -- what the importers of ai.onnx.ml share, see import_ml.c. */
#ifndef INGOT_IMPORT_ML_H
#define INGOT_IMPORT_ML_H

#include "import_parts.h"

/* Class labels, which replace the index of the best class. */
typedef struct MlLabels {
    int count;
    const int64_t *ints;            /* NULL: the labels are strings */
    StrVec texts;
} MlLabels;

MlLabels ml_labels(Importer *c, const char *int_attr);          /* from int_attr or classlabels_strings */
bool ml_set_labels(Importer *c, int out, Value *index, const MlLabels *labels);
Value *ml_rows(Builder *b, Value *x);                           /* [F] -> [1, F] */
Value *ml_transformed(Importer *c, Value *scores, const char *post_transform);
Value *ml_post_transform(Importer *c, Value *scores);           /* by the attribute post_transform */

#endif
