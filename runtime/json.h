/* json.h -- the little JSON that the runtime reads and writes. */
#ifndef INGOT_JSON_H
#define INGOT_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "rt.h"

/* A quoted JSON string; control characters, quotes and backslashes are escaped, other bytes go out as they are (UTF-8). */
void ingot_json_put_string(FILE *out, const char *bytes, size_t n);
/* {"dims": [...], "data": ["...", ...]} of a string tensor. */
void ingot_json_put_tensor(FILE *out, const ingot_tensor *t);
/* Read what ingot_json_put_tensor writes, in any layout and key order. t->data: one block, the caller's to free(). */
int ingot_json_read(const char *path, ingot_tensor *t, ingot_error *err);

/* A map as an object: {"key": value, ...}; keys of i64 are text too, as JSON wants it. Numbers have as many digits as tell them apart; "NaN", "Infinity" and
 * "-Infinity" are text. False: its keys or values are of another type than strings, i64, f32 or f64. */
bool ingot_json_put_map(FILE *out, const ingot_tensor *map);
/* Read what ingot_json_put_map writes. key: INGOT_str or INGOT_i64; value: these, or f32 or f64. t: the map; its parts and their data are free()'s. */
int ingot_json_read_map(const char *path, int32_t key, int32_t value, ingot_tensor *t, ingot_error *err);

#endif
