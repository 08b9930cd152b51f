/* json.h -- the little JSON that the runtime reads and writes. */
#ifndef INGOT_JSON_H
#define INGOT_JSON_H

#include <stdio.h>

#include "rt.h"

/* A quoted JSON string; control characters, quotes and backslashes are escaped, other bytes go out as they are (UTF-8). */
void ingot_json_put_string(FILE *out, const char *bytes, size_t n);
/* {"dims": [...], "data": ["...", ...]} of a string tensor. */
void ingot_json_put_tensor(FILE *out, const ingot_tensor *t);
/* Read what ingot_json_put_tensor writes, in any layout and key order. t->data: one block, the caller's to free(). */
int ingot_json_read(const char *path, ingot_tensor *t, ingot_error *err);

#endif
