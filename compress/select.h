/* select.h -- which units go: by a fraction of each group, or by what the network may still cost. */
#ifndef INGOT_SELECT_H
#define INGOT_SELECT_H

#include "groups.h"

typedef enum UnitKind { UNIT_ANY, UNIT_CHANNELS, UNIT_HEADS } UnitKind;

typedef struct SelectOptions {
    double fraction;                /* of the units of every group, or of all, in [0, 1) */
    bool global;                    /* all groups are ranked together; else each by itself */
    int round;                      /* channels that stay in a group are a multiple of this where they are enough */
    UnitKind unit;
} SelectOptions;

/* The work of a network when units are gone, without building it. */
typedef struct Cost {
    double macs;                    /* multiply-adds of convolutions and matrix products, per run; symbolic sizes count as 1 */
    double params, bytes;           /* elements and bytes of constants */
} Cost;

/* removed[unit] for the least important. At least one unit of every group stays. */
bool *select_units(const Groups *s, const double *score, const SelectOptions *o);
/* k: NULL for the network as it is. */
Cost cost_of(const Groups *s, const Keeps *k);
/* The smallest fraction (in steps of 1/1024) at which what `measure` gives for the removed units is at most `budget`. Negative: there is none; then
 * *least is what it gives with all removed that can be. */
double select_fraction(const Groups *s, const double *score, SelectOptions o, double budget,
                       double (*measure)(void *ctx, const Groups *s, const bool *removed), void *ctx, double *least);

#endif
