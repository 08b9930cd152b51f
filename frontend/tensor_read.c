/* tensor_read.c -- see tensor_read.h.
 *
 * Whatever form a TensorProto chooses -- raw bytes, a typed field, a data file beside the model -- is first brought to one: a span of raw
 * little-endian bytes, sub-byte elements packed (`raw_of`). Then its length is checked against dtype and dims, and `tensor_of_raw` makes the
 * Tensor: usually by borrowing the span, else by spreading sub-byte elements to one per byte.
 */
#include "tensor_read.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "frontend.h"

enum {
    MAX_DIM_BITS = 48,              /* larger sizes are nonsense; keeps all arithmetic on sizes far from overflow */
    ALIGN_BELOW = 1 << 16,          /* misaligned data shorter than this is copied to an aligned place, longer is borrowed as it stands */
    MAX_DENSE_BYTES = INT_MAX       /* of a sparse tensor written out */
};

struct ExternalFile {
    const char *location;
    WireFile file;
    ExternalFile *next;
};

typedef struct Job {
    TensorReader *r;
    const Onnx__TensorProto *p;
    Loc loc;
    DType dtype;
    int64_t count;
    int64_t dim[MAX_RANK];
} Job;

static bool job_fail(const Job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool job_fail(const Job *j, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(j->r->arena, fmt, ap);
    va_end(ap);
    return diag_error(j->r->diag, j->loc, "tensor '%s' %s", j->p->name, what);
}

/* ---- the head: dtype and dims ---- */

static bool count_of(const Job *j, size_t rank, const int64_t *dims, int64_t *count)
{
    *count = 1;
    if (rank > MAX_RANK)
        return job_fail(j, "has %zu dimensions; at most %d are supported", rank, MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return job_fail(j, "has a negative size, %lld, in dimension %zu", (long long)dims[i], i);
        if (dims[i] >> MAX_DIM_BITS || __builtin_mul_overflow(*count, dims[i], count) || *count >> MAX_DIM_BITS)
            return job_fail(j, "has impossibly large dimensions");
    }
    return true;
}

static bool read_head(Job *j)
{
    j->dtype = dtype_from_onnx(j->p->data_type);
    if (!j->dtype)
        return job_fail(j, "has element type %d, which is not known", j->p->data_type);
    if (j->p->segment)
        return job_fail(j, "is stored in segments, which is not supported");
    if (!count_of(j, j->p->n_dims, j->p->dims, &j->count))
        return false;
    for (size_t i = 0; i < j->p->n_dims; i++)
        j->dim[i] = j->p->dims[i];
    return true;
}

static int64_t raw_bytes(DType t, int64_t count)
{
    return (count * dtype_table[t].bits + 7) / 8;
}

/* ---- typed fields ---- */

/* The encoded values of a field, in one piece. */
static WireSpan join(const Job *j, size_t n, const ProtobufCBinaryData *record)
{
    size_t bytes = 0;
    if (n == 1)
        return wire_payload(j->r->file, &record[0]);
    for (size_t i = 0; i < n; i++)
        bytes += wire_payload(j->r->file, &record[i]).bytes;
    uint8_t *all = arena_alloc(j->r->arena, bytes), *at = all;
    for (size_t i = 0; i < n; i++) {
        WireSpan s = wire_payload(j->r->file, &record[i]);
        if (s.bytes)
            memcpy(at, s.data, s.bytes);
        at += s.bytes;
    }
    return (WireSpan){ all, bytes };
}

/* Decode varints to little-endian numbers of `unit` bytes: as many as there are, so that the length check sees the truth. */
static bool decode_varints(const Job *j, WireSpan in, size_t unit, WireSpan *out)
{
    const uint8_t *p = in.data, *end = p + in.bytes;
    size_t n = 0;
    for (size_t i = 0; i < in.bytes; i++)
        n += !(p[i] & 0x80);
    uint8_t *to = arena_alloc(j->r->arena, n * unit);
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (!wire_varint(&p, end, &v))
            return job_fail(j, "holds a number that is not encoded as protobuf does");
        memcpy(to + i * unit, &v, unit);
    }
    *out = (WireSpan){ to, n * unit };
    return true;
}

static bool typed_of(const Job *j, WireSpan *out)
{
    const Onnx__TensorProto *p = j->p;
    size_t unit = dtype_table[j->dtype].bits < 8 ? 1 : (size_t)dtype_table[j->dtype].bits / 8;
    switch (j->dtype) {
    case DT_f32: case DT_c64:
        *out = join(j, p->n_float_data, p->float_data);
        return true;
    case DT_f64: case DT_c128:
        *out = join(j, p->n_double_data, p->double_data);
        return true;
    case DT_i64:
        return decode_varints(j, join(j, p->n_int64_data, p->int64_data), unit, out);
    case DT_u32: case DT_u64:
        return decode_varints(j, join(j, p->n_uint64_data, p->uint64_data), unit, out);
    default:
        return decode_varints(j, join(j, p->n_int32_data, p->int32_data), unit, out);
    }
}

/* ---- data files ---- */

/* Only files below the model's folder may be read: no absolute path, no "..", and no link that leads out of it. */
static const char *external_path(const Job *j, const char *location)
{
    const char *model = j->r->file->path, *slash = strrchr(model, '/');
    const char *folder = slash ? arena_strn(j->r->arena, model, (size_t)(slash - model) + 1) : "./";
    for (const char *s = location; *s; s += strcspn(s, "/"), s += *s == '/')
        if (!strncmp(s, "..", 2) && (!s[2] || s[2] == '/'))
            location = "/";
    if (location[0] == '/' || !location[0]) {
        job_fail(j, "names a data file outside the model's folder");
        return NULL;
    }
    const char *path = arena_printf(j->r->arena, "%s%s", folder, location);
    char *real = realpath(path, NULL), *real_folder = realpath(folder, NULL);
    int why = errno;
    size_t n = real_folder ? strlen(real_folder) : 0;
    bool inside = real && real_folder && !strncmp(real, real_folder, n) && (real[n] == '/' || n == 1);
    if (!real)
        job_fail(j, "has its data in '%s', which cannot be read: %s", location, strerror(why));
    else if (!inside)
        job_fail(j, "names a data file outside the model's folder");
    free(real);
    free(real_folder);
    return inside ? path : NULL;
}

static const WireFile *external_open(const Job *j, const char *location)
{
    for (ExternalFile *e = j->r->external; e; e = e->next)
        if (!strcmp(e->location, location))
            return &e->file;
    ExternalFile *e = ARENA_NEW(j->r->arena, ExternalFile);
    const char *path = external_path(j, location);
    if (!path || !wire_map(j->r->arena, j->r->diag, path, &e->file))
        return NULL;
    e->location = location;
    e->next = j->r->external;
    j->r->external = e;
    return &e->file;
}

static bool parse_size(const Job *j, const char *key, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < 0)
        return job_fail(j, "has external data with %s '%s', which is not a size", key, text);
    *out = v;
    return true;
}

static bool external_of(const Job *j, WireSpan *out)
{
    const char *location = NULL;
    int64_t offset = 0, length = -1, need = raw_bytes(j->dtype, j->count);
    for (size_t i = 0; i < j->p->n_external_data; i++) {
        const char *key = j->p->external_data[i]->key, *value = j->p->external_data[i]->value;
        if (!strcmp(key, "location"))
            location = value;
        else if ((!strcmp(key, "offset") && !parse_size(j, key, value, &offset)) ||
                 (!strcmp(key, "length") && !parse_size(j, key, value, &length)))
            return false;
    }
    if (!location)
        return job_fail(j, "has external data but names no file");
    const WireFile *f = external_open(j, location);
    if (!f)
        return false;
    if (length < 0)
        length = need;
    if ((uint64_t)offset > f->bytes || (uint64_t)length > f->bytes - (uint64_t)offset)
        return job_fail(j, "has its data at bytes %lld to %lld of '%s', which ends at %zu", (long long)offset,
                        (long long)((uint64_t)offset + (uint64_t)length), location, f->bytes);
    *out = (WireSpan){ f->data ? f->data + offset : NULL, (size_t)length };
    return true;
}

static bool raw_of(const Job *j, WireSpan *out)
{
    if (j->p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return external_of(j, out);
    if (j->p->raw_data.len) {
        *out = wire_payload(j->r->file, &j->p->raw_data);
        return true;
    }
    return typed_of(j, out);
}

/* ---- making the Tensor ---- */

/* Sub-byte elements, first in the low bits, to one per byte, sign-extended where signed. */
static const void *unpack_bits(const Job *j, WireSpan raw)
{
    int bits = dtype_table[j->dtype].bits, per_byte = 8 / bits, shift = 8 - bits;
    uint8_t *to = arena_alloc(j->r->arena, (size_t)j->count);
    for (int64_t i = 0; i < j->count; i++) {
        uint8_t top = (uint8_t)(raw.data[i / per_byte] >> (i % per_byte * bits) << shift);
        to[i] = dtype_is_signed(j->dtype) ? (uint8_t)((int8_t)top >> shift) : (uint8_t)(top >> shift);
    }
    return to;
}

/* Bools other than 0 and 1 would act differently as a number and as a mask. */
static const void *clean_bools(const Job *j, WireSpan raw)
{
    size_t i = 0;
    while (i < raw.bytes && raw.data[i] <= 1)
        i++;
    if (i == raw.bytes)
        return raw.data;
    uint8_t *to = arena_copy(j->r->arena, raw.data, raw.bytes);
    for (; i < raw.bytes; i++)
        to[i] = to[i] != 0;
    return to;
}

static const void *elements_of_raw(const Job *j, WireSpan raw)
{
    size_t align = (size_t)(dtype_bytes(j->dtype) > 8 ? 8 : dtype_bytes(j->dtype));
    if (!raw.bytes)
        return "";
    if (dtype_table[j->dtype].bits < 8)
        return unpack_bits(j, raw);
    if (j->dtype == DT_bool)
        return clean_bools(j, raw);
    return (uintptr_t)raw.data % align && raw.bytes < ALIGN_BELOW ? arena_copy(j->r->arena, raw.data, raw.bytes) : raw.data;
}

static const StrElement *strings_of(const Job *j)
{
    if (j->p->raw_data.len || j->p->n_external_data || j->p->n_string_data != (uint64_t)j->count) {
        job_fail(j, "holds %zu strings where its dimensions need %lld", j->p->n_string_data, (long long)j->count);
        return NULL;
    }
    StrElement *s = ARENA_ARRAY(j->r->arena, StrElement, j->count + 1);
    for (int64_t i = 0; i < j->count; i++) {
        WireSpan span = wire_payload(j->r->file, &j->p->string_data[i]);
        s[i] = (StrElement){ span.bytes ? (const char *)span.data : "", (int64_t)span.bytes };
    }
    return s;
}

static const void *elements_of(const Job *j)
{
    WireSpan raw = { NULL, 0 };
    if (j->dtype == DT_str)
        return strings_of(j);
    if (!raw_of(j, &raw))
        return NULL;
    if (raw.bytes != (uint64_t)raw_bytes(j->dtype, j->count)) {
        job_fail(j, "holds %zu bytes of data where %lld elements of %s need %lld", raw.bytes, (long long)j->count, dtype_name(j->dtype),
                 (long long)raw_bytes(j->dtype, j->count));
        return NULL;
    }
    return elements_of_raw(j, raw);
}

static const Tensor *tensor_borrow(Arena *a, DType t, int rank, const int64_t *dim, int64_t count, const void *data)
{
    Tensor *x = ARENA_NEW(a, Tensor);
    *x = (Tensor){ .dtype = t, .rank = rank, .count = count, .data = data };
    x->dim = rank ? arena_copy(a, dim, sizeof *dim * (size_t)rank) : NULL;
    return x;
}

const Tensor *tensor_read(TensorReader *r, const Onnx__TensorProto *p, Loc loc)
{
    Job j = { .r = r, .p = p, .loc = loc };
    if (!read_head(&j))
        return NULL;
    const void *data = elements_of(&j);
    return data ? tensor_borrow(r->arena, j.dtype, (int)p->n_dims, j.dim, j.count, data) : NULL;
}

/* ---- sparse ---- */

/* indices: [n] positions in the flattened tensor, or [n, rank] coordinates. -1 if outside. */
static int64_t sparse_position(const Tensor *indices, int64_t i, size_t rank, const int64_t *dim)
{
    bool flat = indices->rank == 1;
    int64_t at = 0;
    for (size_t k = 0; k < rank && !flat; k++) {
        int64_t c = tensor_get_i64(indices, i * (int64_t)rank + (int64_t)k);
        if (c < 0 || c >= dim[k])
            return -1;
        at = at * dim[k] + c;
    }
    return flat ? tensor_get_i64(indices, i) : at;
}

static bool scatter_sparse(const Job *j, const Tensor *values, const Tensor *indices, Tensor *out)
{
    size_t size = (size_t)dtype_bytes(values->dtype);
    for (int64_t i = 0; i < values->count; i++) {
        int64_t at = sparse_position(indices, i, (size_t)out->rank, out->dim);
        if (at < 0 || at >= out->count)
            return job_fail(j, "is sparse and has an index out of range");
        memcpy((char *)(uintptr_t)out->data + (size_t)at * size, (const char *)values->data + (size_t)i * size, size);
    }
    return true;
}

const Tensor *tensor_read_sparse(TensorReader *r, const Onnx__SparseTensorProto *p, Loc loc)
{
    if (!p->values || !p->indices) {
        diag_error(r->diag, loc, "a sparse tensor has no values or no indices");
        return NULL;
    }
    Job j = { .r = r, .p = p->values, .loc = loc };
    const Tensor *values = tensor_read(r, p->values, loc), *indices = values ? tensor_read(r, p->indices, loc) : NULL;
    if (!indices || !count_of(&j, p->n_dims, p->dims, &j.count))
        return NULL;
    bool flat = indices->rank == 1;
    if (indices->dtype != DT_i64 || values->dtype == DT_str || values->rank != 1 || indices->dim[0] != values->count ||
        (!flat && (indices->rank != 2 || indices->dim[1] != (int64_t)p->n_dims)) || j.count > MAX_DENSE_BYTES / dtype_bytes(values->dtype)) {
        job_fail(&j, "is sparse, but its values, indices and dimensions do not fit together");
        return NULL;
    }
    Tensor *out = tensor_new(r->arena, values->dtype, (int)p->n_dims, p->dims);
    return scatter_sparse(&j, values, indices, out) ? out : NULL;
}

/* ---- test data ---- */

const Tensor *onnx_read_tensor(Arena *a, Diag *d, const char *file)
{
    WireFile *f = ARENA_NEW(a, WireFile);
    if (!wire_map(a, d, file, f))
        return NULL;
    TensorReader r = { .arena = a, .diag = d, .file = f };
    const Onnx__TensorProto *p = wire_unpack(a, d, f, &onnx__tensor_proto__descriptor);
    return p ? tensor_read(&r, p, (Loc){ .file = file }) : NULL;
}

static bool read_tensor_item(TensorReader *r, const Onnx__TensorProto *p, Loc loc, OnnxValue *out)
{
    *out = (OnnxValue){ .kind = TY_TENSOR, .tensor = tensor_read(r, p, loc) };
    return out->tensor != NULL;
}

/* A sequence holds tensors or sequences; wire.c bounds how deep. */
static bool read_sequence(TensorReader *r, const Onnx__SequenceProto *p, Loc loc, OnnxValue *out)
{
    size_t n = p->n_tensor_values + p->n_sequence_values;
    OnnxValue *item = ARENA_ARRAY(r->arena, OnnxValue, n + 1);
    bool ok = true;
    for (size_t i = 0; ok && i < p->n_tensor_values; i++)
        ok = read_tensor_item(r, p->tensor_values[i], loc, &item[i]);
    for (size_t i = 0; ok && i < p->n_sequence_values; i++)
        ok = read_sequence(r, p->sequence_values[i], loc, &item[p->n_tensor_values + i]);
    *out = (OnnxValue){ .kind = TY_SEQUENCE, .n = (int)n, .item = item };
    return ok;
}

static bool read_optional(TensorReader *r, const Onnx__OptionalProto *p, Loc loc, OnnxValue *out)
{
    OnnxValue *item = ARENA_NEW(r->arena, OnnxValue);
    *out = (OnnxValue){ .kind = TY_OPTIONAL, .n = p->tensor_value || p->sequence_value, .item = item };
    if (p->tensor_value)
        return read_tensor_item(r, p->tensor_value, loc, item);
    return !p->sequence_value || read_sequence(r, p->sequence_value, loc, item);
}

const OnnxValue *onnx_read_value(Arena *a, Diag *d, const char *file, TypeKind kind)
{
    const ProtobufCMessageDescriptor *desc = kind == TY_SEQUENCE ? &onnx__sequence_proto__descriptor : &onnx__optional_proto__descriptor;
    OnnxValue *v = ARENA_NEW(a, OnnxValue);
    Loc loc = { .file = file };
    if (kind == TY_TENSOR) {
        *v = (OnnxValue){ .kind = TY_TENSOR, .tensor = onnx_read_tensor(a, d, file) };
        return v->tensor ? v : NULL;
    }
    WireFile *f = ARENA_NEW(a, WireFile);
    TensorReader r = { .arena = a, .diag = d, .file = f };
    const void *p = wire_map(a, d, file, f) ? wire_unpack(a, d, f, desc) : NULL;
    bool ok = p && (kind == TY_SEQUENCE ? read_sequence(&r, p, loc, v) : read_optional(&r, p, loc, v));
    return ok ? v : NULL;
}
