/* wire.h -- protobuf files: mapping them, and a hand-written walk over the wire format before protobuf-c sees any of it.
 *
 * protobuf-c copies every `bytes` field, keeps unknown fields and recurses without limit. wire_unpack therefore first writes a skeleton of the
 * message: the same fields, except that unknown ones are dropped and every payload of a TensorProto (its `bytes` fields) is replaced by a record
 * of where the payload stands in the file. Depth, lengths and counts are checked on the way; only the skeleton is handed to protobuf-c.
 */
#ifndef INGOT_WIRE_H
#define INGOT_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "diag.h"

typedef struct WireFile {
    const char *path;
    const uint8_t *data;            /* mapped read-only for as long as the process lives; NULL if the file is empty */
    size_t bytes;
} WireFile;

typedef struct WireSpan {
    const uint8_t *data;
    size_t bytes;
} WireSpan;

/* Map a regular file. Reports and returns false if it cannot be read. */
bool wire_map(Arena *a, Diag *d, const char *path, WireFile *out);
/* The message `root` in the file, allocated in the arena (never to be freed); NULL after reporting why it cannot be one. */
void *wire_unpack(Arena *a, Diag *d, const WireFile *f, const ProtobufCMessageDescriptor *root);
/* Where the payload stands that a record of the skeleton speaks of. */
WireSpan wire_payload(const WireFile *f, const ProtobufCBinaryData *record);
/* Read a varint at *p, advance; false if it runs past `end` or over 64 bits. */
bool wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *out);

#endif
