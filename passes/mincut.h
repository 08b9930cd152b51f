/* mincut.h -- the cheapest way to cut a directed graph between a source and a sink. */
#ifndef INGOT_MINCUT_H
#define INGOT_MINCUT_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

#define CUT_NEVER (INT64_MAX / 4)           /* capacity of an edge that must not be cut */

typedef struct MinCut MinCut;

enum { CUT_SOURCE, CUT_SINK };              /* the two ends; further nodes are numbered from 2 */

MinCut *mincut_new(Arena *a);
int mincut_node(MinCut *c);
/* Cutting costs `capacity` if `from` ends up on the side of the source and `to` on that of the sink. */
void mincut_edge(MinCut *c, int from, int to, int64_t capacity);
/* Fills side[node]: true on the source's side, of which the largest possible is taken. side has room for every node. */
void mincut_solve(MinCut *c, bool *side);
int mincut_count(const MinCut *c);

#endif
