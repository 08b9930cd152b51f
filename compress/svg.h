/* svg.h -- a picture of a quantised model: per layer the range of its operand, as seen and as covered by the grid, and the errors of its result. */
#ifndef INGOT_SVG_H
#define INGOT_SVG_H

#include "qdq.h"
#include "ranges.h"
#include "report.h"

/* range: per point of p. False after a sentence. */
bool svg_ranges(const Report *r, const Range *range, const QdqPlan *p, const char *path);

#endif
