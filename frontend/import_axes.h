/* import_axes.h -- Squeeze, Unsqueeze, Slice and Pad whose axes (or steps) only the data decides. Called by import_shape.c. */
#ifndef INGOT_IMPORT_AXES_H
#define INGOT_IMPORT_AXES_H

#include "import.h"

bool squeeze_open_axes(Importer *c);
bool unsqueeze_open_axes(Importer *c);
bool slice_open_axes(Importer *c);
bool pads_open_axes(Importer *c, DimVec *pads);    /* before every axis, then after */
/* left == right is checked now or, where sizes decide it, at run time; message completes "<op> '<node>': ". */
bool require_equal(Importer *c, Dim left, Dim right, const char *message);

#endif
