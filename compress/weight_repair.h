/* weight_repair.h -- weights of few bits, chosen with data: what a layer gives is kept, not what its weights are. See weight_codes.h for kinds and groups.
 *
 *   gptq   element by element, the rounding error of each is made up for by those that are not rounded yet (Frantar et al. 2022, arXiv:2210.17323)
 *   awq    input channels with large activations get finer steps: W * s, x / s (Lin et al. 2023, arXiv:2306.00978)
 */
#ifndef INGOT_WEIGHT_REPAIR_H
#define INGOT_WEIGHT_REPAIR_H

#include "hessian.h"
#include "weight_codes.h"

typedef struct WeightRepairOptions {
    bool gptq, awq;
    const char *damp;               /* as text: share of the mean diagonal that is added to H; NULL: 0.01 */
    bool in_order;                  /* gptq: columns as they lie, not by activation */
} WeightRepairOptions;
#define WEIGHT_REPAIR_OPTIONS(o) \
    { "gptq", 0, OPT_FLAG, NULL, "with --weights and --calibrate: round one column after the other, later ones make up for the error", &(o).gptq }, \
    { "awq", 0, OPT_FLAG, NULL, "with --weights and --calibrate: finer steps for input channels with large activations", &(o).awq }, \
    { "damp", 0, OPT_TEXT, "X", "--gptq: added to the diagonal, as a share of its mean (default 0.01)", &(o).damp }, \
    { "in-order", 0, OPT_FLAG, NULL, "--gptq: columns as they lie, not those with large activations first", &(o).in_order }

static inline bool weight_repair_wanted(const WeightRepairOptions *o) { return o->gptq || o->awq; }
/* What is wrong with the options as a sentence, or NULL. */
const char *weight_repair_misuse(const WeightRepairOptions *o, const WeightsOptions *w);
/* Every product of m's main graph whose name is not in keep gets its codes; the report (NULL: nobody asks) says what came of each layer, against rounding to
 * nearest. Neither method: rounded to nearest, and the error of the results measured. False after reporting. */
bool weight_repair_quantize(Module *m, const WeightsOptions *w, const WeightRepairOptions *o, const TextList *keep, Samples *s, Report *report);

/* ---- the two methods ---- */

/* Fills r's grids and codes. h: of r's product. damp, in_order: as the options. */
void gptq_round(WeightRows *r, const Hessian *h, double damp, bool in_order);
/* Scales for the input channels of a product, [k] in arena a, for the least error after rounding to nearest; all 1 if that is best. */
double *awq_scales(Arena *a, const WeightRows *r, const Hessian *h);
/* The product's weights times s, its operand divided by it: by what makes the operand, if it can be, else by a multiplication. False after reporting. */
bool awq_apply(Module *m, Node *product, const double *s);

/* Squared error of the product's result per vector, summed over its outputs, with r's codes in place of r's weights. */
double weight_rows_error(const WeightRows *r, const Hessian *h);
double weight_rows_power(const WeightRows *r, const Hessian *h);        /* the result's own */
float weight_rows_value(const WeightRows *r, int64_t row, int64_t i);   /* what the codes say element i of a row is */
/* The grid, its steps a little shorter or longer if that gives a smaller error d H d of the n numbers x by themselves; h: their block of H, `stride` per row;
 * room: n doubles. */
Grid weight_grid_tune(const Grid *fitted, const float *x, int64_t n, const double *h, int64_t stride, double *room);
void weight_grids_tune(WeightRows *r, const Hessian *h);                /* all grids of r, unless scales are shared */
WeightRows weight_rows_like(Arena *a, const WeightRows *r, int64_t rows);    /* room for so many rows of that form */

#endif
