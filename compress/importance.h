/* importance.h -- how much each unit of a network matters, as a number: the least important are removed first. */
#ifndef INGOT_IMPORTANCE_H
#define INGOT_IMPORTANCE_H

#include "groups.h"
#include "samples.h"

typedef enum Importance {
#define IMPORTANCE(id, name, data, summary) IMP_##id,
#include "importance.def"
#undef IMPORTANCE
    IMP_count
} Importance;

typedef struct ImportanceInfo {
    const char *name, *summary;
    bool needs_data;                /* calibration samples */
} ImportanceInfo;
extern const ImportanceInfo importance_table[IMP_count];
bool importance_from_name(const char *name, Importance *out);

/* Scale factors of BatchNorms by the node that folding leaves their name to. They are gone once the passes have run, so they are looked up before. */
typedef struct Gammas {
    int n;
    const char **node;
    const Tensor **gamma;           /* [channels] */
} Gammas;
Gammas gammas_find(Arena *a, const Graph *g);

/* Score of every unit by its weights, 0 or more, divided by the mean of its group so that groups can be compared. */
double *importance_of_weights(const Groups *s, Importance by);
/* By |gamma| of the BatchNorms behind the products; groups without one: by their L1 norm. NULL after reporting that there is none at all. */
double *importance_of_gammas(const Groups *s, const Gammas *gammas);
/* The same for the criteria that need samples (importance_data.c). NULL after reporting. */
double *importance_of_data(const Groups *s, Importance by, Samples *samples);
/* Divide each score by the mean of its group. */
void importance_normalise(const Groups *s, double *score);

/* Which output and which input channel element i of a product's weight connects. */
void product_channels(const Product *p, int64_t i, int64_t *made, int64_t *read);

#endif
