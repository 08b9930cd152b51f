/* import_window.h -- the windowed operators on operands that the caller prepared; attributes are those of the node. See import_nn.c. */
#ifndef INGOT_IMPORT_WINDOW_H
#define INGOT_IMPORT_WINDOW_H

#include "import_parts.h"

Value *import_conv_of(Importer *c, Value *x, Value *w, Value *bias);    /* Conv; bias may be NULL */
Value *import_average_pool_of(Importer *c, Value *x);                   /* AveragePool */

#endif
