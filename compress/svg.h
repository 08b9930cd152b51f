/* svg.h -- pictures: of a quantised model, per layer the range of its operand, as seen and as covered by the grid, and the errors of its result; of a
 * compression, what each step made of the model.
 */
#ifndef INGOT_SVG_H
#define INGOT_SVG_H

#include "qdq.h"
#include "ranges.h"
#include "report.h"

/* range: per point of p; NULL (and then p): operands have none, bytes of weights are drawn instead. False after a sentence. */
bool svg_ranges(const Report *r, const Range *range, const QdqPlan *p, const char *path);
/* Of the report's steps. False after a sentence. */
bool svg_steps(const Report *r, const char *path);

#endif
