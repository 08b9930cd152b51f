/* weight_codes.h -- weight-only quantisation: the weights of products become codes of few bits in blocks, everything else stays f32. No data is needed.
 *
 * A *row* is what one output channel is summed over: K elements, cut into groups with a scale (and zero point) each. A filter's row is cut along its input
 * channels, for each tap by itself.
 *
 *     kind    bits  group  value of a code q
 *     int8      8     0    q s                        0: one group per row
 *     int4      4    32    q s
 *     int3      3    32    q s                        stored in 4 bits
 *     int2      2    32    q s
 *     uint4     4    32    (q - z) s                  z an integer of 0..15
 *     uint8     8    32    (q - z) s
 *     nf4       4    64    level[q] s                 quantiles of the normal distribution; s = code * s2, codes of 8 bits, s2 for 256 groups
 *     q4_0      4    32    (q - 8) s                  the number of largest magnitude is at q = 0
 *     q4_1      4    32    q s + m
 *     q8_0      8    32    q s
 *     q4_k      4    32    q s + m                    s and m of 6 bits in units that 8 groups share
 *     float8    8     0    f8e4m3(q) s
 *
 * s and m of all kinds with a group are f16 numbers (the stored precision); those of int8 and float8 per row are f32.
 * QLoRA: Dettmers et al. (2023), for nf4. The q kinds are the block formats of GGUF files: their grids, not their bytes.
 */
#ifndef INGOT_WEIGHT_CODES_H
#define INGOT_WEIGHT_CODES_H

#include "ir.h"
#include "options.h"
#include "report.h"

typedef struct WeightsOptions {
    const char *kind;               /* NULL: not asked for */
    const char *group;              /* elements of a group, 0 a row; NULL: the kind's own */
} WeightsOptions;
#define WEIGHTS_OPTIONS(o) \
    { "weights", 0, OPT_TEXT, "KIND", "store weights only: int8 int4 int3 int2 uint4 uint8 nf4 q4_0 q4_1 q8_0 q4_k float8", &(o).kind }, \
    { "group", 0, OPT_TEXT, "N", "weights that share a scale: 32, 64, 128..., 0 for all of an output channel (default: the kind's own)", &(o).group }

typedef struct WeightKind WeightKind;
const WeightKind *weight_kind(const char *name);                   /* NULL: there is none of that name */
int64_t weight_group(const WeightKind *k, const WeightsOptions *o);        /* -1: not a number */
bool weight_kind_shares(const WeightKind *k);                       /* whether a scale is known only when those of all groups are */
const char *weight_codes_misuse(const WeightsOptions *o);                /* a sentence, or NULL */

/* The grid of one group. */
typedef struct Grid {
    const WeightKind *kind;
    double scale, shift;            /* value of a code: base * scale + shift, base: what the kind says of it */
} Grid;
enum { GRID_MAX_CODES = 256 };
/* For n numbers, `stride` apart: the grid with the least squared error that the kind's rules give. */
Grid grid_fit(const WeightKind *k, const float *x, int64_t n, int64_t stride);
int grid_round(const Grid *g, float x);                             /* the nearest code, 0 .. 2^bits - 1 */
float grid_value(const Grid *g, int code);

/* Weights of a product as rows. A row is `pieces` pieces of `length` neighbouring elements, each cut into groups: a piece is a tap, or, with one group per row, all
 * of it. */
typedef struct WeightRows {
    Node *product;                  /* conv, or matmul of a matrix [K, N], or gather from a table [rows, K] */
    const WeightKind *kind;         /* tables get int8 per row, whatever was asked for */
    bool few;                       /* so do filters of few input channels */
    int64_t rows, k, taps;          /* k: input channels (of a group), or K */
    int64_t pieces, length, group, groups;      /* group: elements, the last of a piece cut off; groups: per piece */
    float *w;                       /* [row][tap][k], which is [row][piece][length] */
    uint8_t *code;                  /* alike */
    Grid *grid;                     /* [row][piece][group] */
} WeightRows;

/* The rows of a product's constant f32 weights, w = NULL where it has none that a kernel would read packed. In the arena; codes and grids are the caller's
 * to fill. */
WeightRows weight_codes_read(Arena *a, Node *product, const WeightKind *k, int64_t group);
void weight_codes_fit(WeightRows *r);                                    /* a grid for every group of r->w, scales shared where the kind says so */
void weight_codes_round(WeightRows *r);                                  /* every element to the nearest code of its grid */
/* The product reads its codes from here on. False after reporting. */
bool weight_codes_write(Module *m, const WeightRows *r);
double weight_codes_bits(const WeightRows *r);                           /* stored, all of the product's, scales and zero points included */

/* ---- a module ---- */

/* Whether the product's name is in the list; whether every name of the list is that of a product, false after a sentence. */
bool weight_codes_is_kept(const Node *n, const TextList *keep);
bool weight_codes_check_names(Module *m, const TextList *keep);

/* What became of the weights, product by product; report: lines for it, or NULL. */
typedef struct WeightTally {
    Report *report;
    int layers;
    double elements, bits, signal, noise;
} WeightTally;
/* Of a product before its codes are written. how: the method, or NULL; sqnr: of its result, NAN: that of its weights is told. */
void weight_tally_add(WeightTally *t, Module *m, const WeightRows *r, const char *how, double sqnr);
/* Of a node that stays as it is: a line if it is a product with constant weights. */
void weight_tally_keep(WeightTally *t, Module *m, const Node *n, const TextList *keep);
/* The sum, as a note of the report. False after a sentence: nothing was rounded. */
bool weight_tally_finish(const WeightTally *t, Module *m, const WeightKind *k);

/* Tables of which a gather reads rows (embeddings), whose names are not in keep, become int8 with a scale per row: their errors enter at the very beginning of a
 * network, and what counts is that they do not fill the file. A line of the report each, and a note; false after reporting. */
bool weight_codes_tables(Module *m, const TextList *keep, Report *report);
/* Every product of m whose name is not in keep, rounded to nearest, and its tables; what came of it as lines and a note of the report (NULL: nobody asks). False after
 * reporting. */
bool weight_codes_quantize(Module *m, const WeightsOptions *o, const TextList *keep, Report *report);

#endif
