/* report.h -- what a compression did, as a table and as JSON: before and after, in total and per layer. Shared by quantize, prune and compress. */
#ifndef INGOT_REPORT_H
#define INGOT_REPORT_H

#include "score.h"

/* One side: the module as it was, or as it is. */
typedef struct ReportSide {
    int64_t parameters;             /* elements of constants, of any type */
    int64_t weight_bytes;           /* that they take */
    int64_t macs;                   /* multiply-adds of convolutions and products, for symbolic sizes of 1 */
    ObserverCost cost;              /* compiled for this machine */
    Score score;
} ReportSide;

typedef struct ReportLayer {
    const char *name, *kind;        /* "conv", "matmul" */
    const char *decision;           /* what became of it and, if not the usual, why: "int8", "f32: --keep" */
    int64_t macs, parameters;       /* before */
    int64_t bytes_before, bytes_after;
    double sqnr;                    /* dB: of the layer's own result, its operand and weights rounded (of weights only, without samples); NAN: not known */
    double sensitivity;             /* dB: SQNR of the model's results with only this layer compressed; NAN: not known */
    double lo, hi, scale;           /* grid of its operand; scale 0: none */
    int64_t zero;
} ReportLayer;

enum { REPORT_STEPS = 4 };

typedef struct Report {
    Arena *arena;
    const char *title;              /* "quantize", "prune" */
    ReportSide before, after;
    ReportLayer *layer;             /* nlayers, in the arena */
    int nlayers, room;              /* room: of report_add_layer */
    struct { const char *name; ReportSide side; } step[REPORT_STEPS];   /* how it came about; nsteps 0: in one step */
    int nsteps;
    const char *notes;              /* sentences, newline-terminated; or "" */
} Report;

/* Sizes of a module, and by running its compiled copy costs and, on the samples, its score: labels and reference as in score.h (may be NULL). s NULL: it is
 * timed on pseudo-random numbers, and has no score. */
bool report_side(Module *m, Observer *o, Observer *reference, Samples *s, const ingot_tensor *labels, ReportSide *out);
int64_t report_node_macs(Module *m, const Node *n);                 /* of a conv, conv_transpose or matmul; else 0 */
/* Add a step; name must live as long. */
void report_add_step(Report *r, const char *name, const ReportSide *s);
/* Add a sentence, printed below the table. */
void report_note(Report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
ReportLayer *report_add_layer(Report *r);                           /* a new last line of r->layer, to be filled in; valid until the next one */
void report_print(const Report *r, FILE *out);
/* False after a sentence: the file cannot be written. */
bool report_write_json(const Report *r, const char *path);

#endif
