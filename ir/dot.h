/* dot.h -- a module as a picture. */
#ifndef INGOT_DOT_H
#define INGOT_DOT_H

#include "ir.h"

/* Write the graph to path. format: "dot" (Graphviz text), or what libgvc renders: "svg", "png", "pdf"; NULL: what the path ends in.
 * Reports and returns false on failure, leaving no file behind. */
bool module_dot(Module *m, const char *path, const char *format);
/* The same with some nodes in colours of the caller's: "#rrggbb", or NULL for the usual one. */
typedef const char *DotColour(void *ctx, const Node *n);
bool module_dot_coloured(Module *m, const char *path, const char *format, DotColour *colour, void *ctx);

#endif
