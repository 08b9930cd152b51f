/* attrs.h -- attributes seen generically: an op's attribute struct read through op_table[op].attr, so that printing, parsing, comparing,
 * hashing and exporting need no code per op. A field that is zero or empty counts as not given; "" counts as NULL.
 */
#ifndef INGOT_ATTRS_H
#define INGOT_ATTRS_H

#include "ir.h"

static inline void *attr_at(const AttrInfo *f, const void *attrs) { return (char *)(uintptr_t)attrs + f->offset; }

const AttrInfo *attr_find(OpCode op, const char *name, size_t len);     /* NULL if the op has no attribute of that name */
const char *attr_kind_name(AttrKind k);                                 /* as in ops.def: "ints" */
bool attr_is_default(AttrKind k, const void *field);
/* Same value, floats bit for bit. Dims must be of one DimTable; graphs are compared by identity, tensors by contents. */
bool attr_equal(AttrKind k, const void *a, const void *b);

#define FOR_EACH_ATTR(f, op) \
    for (const AttrInfo *f = op_table[op].attr, *f##_end = f ? f + op_table[op].nattr : f; f != f##_end; f++)

#endif
