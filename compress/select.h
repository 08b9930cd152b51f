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
    bool spare_sums;                /* leave groups whose channels a residual sum passes on */
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
Cost cost_of_graph(const Graph *g, const Keeps *k);
void cost_add_node(Cost *c, const Node *n);                         /* with all of its constants */
/* Of the products that make a group's units. */
Cost cost_of_group(const Groups *s, int group, const Keeps *k);
/* What a network costs without some units, in the unit of the budget. */
typedef double SelectMeasure(void *ctx, const Groups *s, const bool *removed);
/* The smallest fraction at which the cost is at most `budget`; with `refine` (worth it where measuring is cheap), groups get channels back as far as the
 * budget allows, those whose channels score highest first. NULL: there is none, even with all removed that can be; *least is what that costs. */
bool *select_budget(const Groups *s, const double *score, SelectOptions o, double budget, bool refine, SelectMeasure *measure, void *ctx, double *least);

#endif
