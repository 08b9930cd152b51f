/* text.h -- what print.c, parse.c and dot.c share: words of the textual IR, places for large constants, and IR files. */
#ifndef INGOT_TEXT_H
#define INGOT_TEXT_H

#include "ir.h"

enum { TEXT_INLINE_ELEMENTS = 32 };             /* larger constants go to the blob */

extern const char *const text_storage_name[];   /* by StorageKind, ends with NULL */
extern const char *const text_prop_name[];      /* by bit of Graph.props, ends with NULL */

/* A BlobSink that keeps everything in memory of an arena; pass &b.sink. */
typedef struct BlobMemory {
    BlobSink sink;
    Arena *arena;
    char *data;                                 /* aligned to 64 */
    size_t bytes, room;
} BlobMemory;
void blob_memory_init(BlobMemory *b, Arena *a);

/* One node as its line of the text, without a newline; nested graphs and large constants are left out. For messages and traces. */
const char *node_print(Arena *a, const Node *n);
const char *node_print_attrs(Arena *a, const Node *n);      /* only what stands between the braces */

/* Write a module as path and, where it has large constants, path.blob beside it. Reports and returns false on failure; nothing half-written stays. */
bool module_write_file(Module *m, const char *path);
/* Read what module_write_file wrote. The constants stay mapped for the life of the process. NULL after reporting. */
Module *module_read_file(Arena *a, Diag *d, const char *path);

#endif
