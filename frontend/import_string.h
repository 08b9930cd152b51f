/* import_string.h -- constants of text, and finding strings in a list. Like mk_*, NULL for a NULL operand. */
#ifndef INGOT_IMPORT_STRING_H
#define INGOT_IMPORT_STRING_H

#include "import_parts.h"

Value *mk_texts(Builder *b, int n, const char *const *v);               /* str[n] */
Value *mk_text(Builder *b, const char *s);                              /* str[] */
Value *mk_find(Builder *b, Value *x, Value *keys);                      /* i64 like x: number of the first equal key, or -1 */

#endif
