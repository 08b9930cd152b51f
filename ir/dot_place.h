/* dot_place.h -- positions for graphs that are too large for Graphviz's own layout. */
#ifndef INGOT_DOT_PLACE_H
#define INGOT_DOT_PLACE_H

#include <graphviz/cgraph.h>

#include "arena.h"

/* Set `pos` of every node and `bb` of every cluster, for the layout engine "nop". Edges must lead from nodes made earlier to nodes made later. */
void dot_place(Agraph_t *g, Arena *a);

#endif
