/* wire.c -- see wire.h.
 *
 * A protobuf message is a row of fields; a field is a key (number * 8 + wire type) and a value:
 *
 *     type 0  varint             type 1  8 bytes
 *     type 2  length, bytes      type 5  4 bytes          (3 and 4, groups, are not used by ONNX)
 *
 * The descriptors that protoc-c generates say which fields are messages, so the walk needs no table of its own.
 */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx.pb-c.h"

enum {
    MAX_DEPTH = 100,
    MAX_MESSAGES = 8 << 20,         /* some hundred bytes of memory each: a file of empty messages must not swell a thousandfold */
    LENGTH_BYTES = 5                /* room for the length of a nested message, filled in when the message is complete */
};

/* ---- files ---- */

bool wire_map(Arena *a, Diag *d, const char *path, WireFile *out)
{
    Loc loc = { .file = path };
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return diag_error(d, loc, "cannot open the file: %s", strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return diag_error(d, loc, "is not a regular file");
    }
    *out = (WireFile){ .path = arena_str(a, path), .bytes = (size_t)st.st_size };
    void *data = st.st_size ? mmap(NULL, out->bytes, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    int why = errno;
    close(fd);
    if (data == MAP_FAILED)
        return diag_error(d, loc, "cannot map the file: %s", strerror(why));
    out->data = data;
    return true;
}

/* ---- the walk ---- */

typedef struct Walk {
    const WireFile *file;
    uint8_t *out;                   /* the skeleton so far */
    size_t used, room;
    int messages;
    const char *what;               /* the first problem, a clause after the file's name */
    size_t where;                   /* its byte */
} Walk;

static bool walk_fail(Walk *w, const uint8_t *at, const char *what)
{
    if (!w->what) {
        w->what = what;
        w->where = (size_t)(at - w->file->data);
    }
    return false;
}

static bool emit(Walk *w, const void *p, size_t n)
{
    if (w->room - w->used < n) {
        size_t room = 2 * (w->used + n) + 4096;
        uint8_t *grown = room > INT_MAX ? NULL : realloc(w->out, room);
        if (!grown)
            return walk_fail(w, w->file->data, "its structure, without the weights, is too large for memory or for protobuf (2 GB)");
        w->out = grown, w->room = room;
    }
    memcpy(w->out + w->used, p, n);
    w->used += n;
    return true;
}

bool wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t b = *(*p)++;
        *out |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

typedef struct Field {
    uint32_t number;
    int type;                       /* wire type */
    const uint8_t *key, *value, *stop;  /* stop: end of the value; value: behind the length where there is one */
} Field;

static bool read_key(Walk *w, const uint8_t *p, const uint8_t *end, Field *f)
{
    uint64_t k;
    f->key = p;
    if (!wire_varint(&p, end, &k) || k >> 3 == 0 || k >> 3 > 536870911)
        return walk_fail(w, f->key, "there is no valid field");
    f->number = (uint32_t)(k >> 3);
    f->type = (int)(k & 7);
    f->value = p;
    return true;
}

static bool read_field(Walk *w, const uint8_t *p, const uint8_t *end, Field *f)
{
    uint64_t n;
    if (!read_key(w, p, end, f))
        return false;
    const uint8_t *past = f->value;
    switch (f->type) {
    case 0:
    case 2:
        if (!wire_varint(&past, end, &n))
            return walk_fail(w, f->value, "a number runs past the end of its message");
        f->value = f->type == 2 ? past : f->value;
        n = f->type == 2 ? n : (uint64_t)(past - f->value);
        break;
    case 1: n = 8; break;
    case 5: n = 4; break;
    default:
        return walk_fail(w, f->key, "there is a field of a kind that ONNX does not have");
    }
    if (n > (size_t)(end - f->value))
        return walk_fail(w, f->value, "a field is longer than the message around it (is the file truncated?)");
    f->stop = f->value + n;
    return true;
}

static bool emit_key(Walk *w, uint32_t number, int type)
{
    uint8_t key[5];
    int n = 0;
    uint32_t k = number << 3 | (uint32_t)type;
    for (; k >= 0x80; k >>= 7)
        key[n++] = (uint8_t)(k | 0x80);
    key[n++] = (uint8_t)k;
    return emit(w, key, (size_t)n);
}

/* A length in a fixed number of bytes, which protobuf allows. */
static void put_length(uint8_t *at, size_t n)
{
    for (int i = 0; i < LENGTH_BYTES; i++, n >>= 7)
        at[i] = (uint8_t)((n & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
}

static bool emit_record(Walk *w, const Field *f)
{
    uint64_t record[2] = { (uint64_t)(f->value - w->file->data), (uint64_t)(f->stop - f->value) };
    uint8_t length[LENGTH_BYTES];
    put_length(length, sizeof record);
    return emit_key(w, f->number, 2) && emit(w, length, sizeof length) && emit(w, record, sizeof record);
}

static bool walk_message(Walk *w, const uint8_t *p, const uint8_t *end, const ProtobufCMessageDescriptor *desc, int depth);

static bool walk_nested(Walk *w, const Field *f, const ProtobufCMessageDescriptor *desc, int depth)
{
    static const uint8_t blank[LENGTH_BYTES];
    if (f->type != 2)
        return walk_fail(w, f->key, "there is a number where a message is expected");
    if (depth == MAX_DEPTH)
        return walk_fail(w, f->key, "messages are nested more than 100 deep");
    if (++w->messages > MAX_MESSAGES)
        return walk_fail(w, f->key, "there are more than 8 million messages in it");
    if (!emit_key(w, f->number, 2) || !emit(w, blank, sizeof blank))
        return false;
    size_t start = w->used;
    if (!walk_message(w, f->value, f->stop, desc, depth + 1))
        return false;
    put_length(w->out + start - LENGTH_BYTES, w->used - start);
    return true;
}

/* seen: which fields of this message have been there, by their place in the descriptor. */
static bool walk_field(Walk *w, const Field *f, const ProtobufCMessageDescriptor *desc, uint64_t *seen, int depth)
{
    const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(desc, f->number);
    if (!known)
        return true;
    if (known->type == PROTOBUF_C_TYPE_BYTES && desc == &onnx__tensor_proto__descriptor)
        return emit_record(w, f);
    if (known->type != PROTOBUF_C_TYPE_MESSAGE)
        return emit(w, f->key, (size_t)(f->stop - f->key));
    uint64_t bit = (uint64_t)1 << (known - desc->fields);
    if (known->label != PROTOBUF_C_LABEL_REPEATED && *seen & bit)   /* protobuf would merge the two; no writer of ONNX means that */
        return walk_fail(w, f->key, "a message that may occur once occurs twice");
    *seen |= bit;
    return walk_nested(w, f, known->descriptor, depth);
}

static bool walk_message(Walk *w, const uint8_t *p, const uint8_t *end, const ProtobufCMessageDescriptor *desc, int depth)
{
    uint64_t seen = 0;
    for (Field f; p < end; p = f.stop)
        if (!read_field(w, p, end, &f) || !walk_field(w, &f, desc, &seen, depth))
            return false;
    return true;
}

/* ---- protobuf-c on the skeleton ---- */

static void *alloc_in_arena(void *arena, size_t bytes)
{
    return arena_alloc(arena, bytes);
}

static void free_never(void *arena, void *p)
{
    (void)arena, (void)p;
}

void *wire_unpack(Arena *a, Diag *d, const WireFile *f, const ProtobufCMessageDescriptor *root)
{
    Loc loc = { .file = f->path };
    Walk w = { .file = f };
    ProtobufCAllocator in_arena = { .alloc = alloc_in_arena, .free = free_never, .allocator_data = a };
    void *message = NULL;
    if (!f->bytes)
        diag_error(d, loc, "the file is empty");
    else if (!walk_message(&w, f->data, f->data + f->bytes, root, 0))
        diag_error(d, loc, "is not a valid ONNX file: %s (at byte %zu)", w.what, w.where);
    else if (!(message = protobuf_c_message_unpack(root, &in_arena, w.used, w.out)))
        diag_error(d, loc, "is not a valid ONNX file: a field holds another kind of value than ONNX says");
    free(w.out);
    return message;
}

WireSpan wire_payload(const WireFile *f, const ProtobufCBinaryData *record)
{
    uint64_t r[2] = { 0, 0 };
    if (record->len == sizeof r)
        memcpy(r, record->data, sizeof r);
    return (WireSpan){ f->data ? f->data + r[0] : NULL, (size_t)r[1] };
}
