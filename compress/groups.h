/* groups.h -- what can be removed from a network: units, and groups of units that are ranked together.
 *
 * A unit is a smallest set of elements that can only go together (relate.h): a channel with its rows and columns in every weight that makes or reads it, the
 * d channels of an attention head in queries, keys and values, a group of a grouped convolution. A group is the set of units along the output channels
 * of one product (convolution, matrix product with constant weights), and of all products whose channels are tied to them.
 */
#ifndef INGOT_GROUPS_H
#define INGOT_GROUPS_H

#include "prune.h"
#include "relate.h"

/* A product with constant weights. made: the axis of the result that its weights make; read: the axis of its input that it sums over. */
typedef struct Product {
    const Node *node;
    int weight;                     /* which operand is the weight; the other of 0 and 1 is the input */
    Axis made, read;
    int group;                      /* of the units it makes, -1: none */
    bool through;                   /* a grouped convolution whose result loses what its input loses */
} Product;

typedef struct UnitGroup {
    const char *name;               /* of the first node that makes its channels */
    int first, n;                   /* units */
    int width;                      /* channels of one unit, on its first product */
    bool heads;
    bool summed;                    /* a residual sum passes its channels on */
} UnitGroup;

typedef struct Refusal {            /* a product whose output channels stay */
    const char *name, *reason;
} Refusal;

typedef struct Groups {
    Arena *arena;
    Module *m;
    const Graph *g;
    Relations *r;
    int ngroups, nunits, nproducts, nrefused;
    UnitGroup *group;
    int *unit_group;                /* of every unit */
    int *unit;                      /* of every variable's class, by representative; -1: stays */
    Product *product;
    Refusal *refused;
} Groups;

/* keep: names of nodes or tensors whose channels stay. NULL after reporting (a name that is not there). */
Groups *groups_find(Arena *a, Module *m, const Graph *g, int nkeep, const char *const *keep);
int groups_unit(const Groups *s, int variable);                     /* -1: it stays */
/* Where nothing would be left of some axis of some value, its unit of the highest score stays. */
void groups_restore(const Groups *s, const double *score, bool *removed);
/* What stays when the units for which removed[unit] is true are gone. NULL after reporting that nothing would be left of some axis. */
const Keeps *groups_keeps(const Groups *s, const bool *removed);
/* The name of a node for people: its own, or its result's, or its operator's. */
const char *groups_node_name(const Node *n);

/* Whether a name that the user gives means this node: its own, that of a result, or that of a constant operand, which stands for what it makes. */
bool groups_is_named(const Node *n, const char *name);

#endif
