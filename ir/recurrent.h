/* recurrent.h -- the cells of recurrent networks, for the op `recurrent`: which gates a step multiplies, and the rest of the step as formulas.
 *
 * A time step is one or two *stages*. A stage multiplies a state (h, or the reset state r*h) with the columns of R that belong to its gates, adds what the
 * operand wx brings for them, and computes the cell values below element by element. The evaluator interprets the formulas, codegen turns them
 * into vector code: so both compute the same cell.
 *
 *   cell   gates     stages
 *   rnn    h         1   h' = f(pre)
 *   lstm   i o f c   1   c' = f * c + i * g(pre c),  h' = o * h(c')
 *   gru    z r n     2   z, r * h;   then  h' = (1 - z) * n + z * h  with n from (r * h) R
 *                    1   linear_before_reset: n = g(pre n + r * rec), where rec = h R + its own bias
 */
#ifndef INGOT_RECURRENT_H
#define INGOT_RECURRENT_H

#include "formula.h"

enum { CELL_GATES = 4, CELL_STAGES = 2 };

typedef struct CellInfo {
    const char *name;               /* the attribute `cell` */
    int gates, activations;
    bool has_c;                     /* a second state */
} CellInfo;

const CellInfo *cell_find(const char *name);        /* NULL: there is none */

typedef struct ActivationInfo {
    const char *name;               /* as ONNX spells it */
    int nparam;                     /* how many of alpha and beta it takes */
    double alpha, beta;             /* otherwise */
    FRef (*formula)(FRec *r, FRef x, double alpha, double beta);
} ActivationInfo;

const ActivationInfo *activation_find(const char *name);    /* in upper or lower case; NULL: there is none */

typedef struct CellStage {
    int first, gates;               /* the gates multiplied */
    bool reset;                     /* r*h is multiplied, not h */
} CellStage;

/* The stages of one step; returns how many. */
int cell_stages(const Attr_recurrent *a, CellStage *stage);
/* Gate whose product arrives as CELL_REC, apart from wx; -1: none. */
int cell_separate_gate(const Attr_recurrent *a);
/* States that a run keeps, each [directions, batch, hidden] of the compute type: h twice, then c, or z and r*h. */
int cell_states(const Attr_recurrent *a);

/* Arguments of the formulas, all of the compute type. */
enum { CELL_PRE, CELL_H = CELL_PRE + CELL_GATES, CELL_C, CELL_NEW_C, CELL_Z, CELL_REC, CELL_PEEP /* of i o f */, CELL_ARGS = CELL_PEEP + 3 };

typedef enum CellValue { CELL_NEXT_H, CELL_NEXT_C, CELL_UPDATE /* z */, CELL_RESET /* r*h */, CELL_VALUES } CellValue;

/* What is computed after stage `stage` of this cell, in order; returns how many. */
int cell_values(const Attr_recurrent *a, int stage, CellValue *value);
Formula cell_formula(Arena *arena, const Attr_recurrent *a, bool peepholes, DType compute, CellValue what);

#endif
