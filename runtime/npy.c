/* npy.c -- the .npy format (numpy.lib.format): 6 magic bytes, version, header length, a Python dict literal, then the elements.
 *
 * Types that NumPy does not know (bfloat16, float8, 4 and 2 bits; dtypes.def has "" for them) are raw bytes, `|V2` and `|V1`, as the ml_dtypes
 * package saves them. Memory is little-endian on every machine that the runtime knows.
 */
#include "npy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "json.h"
#include "save.h"

enum { MAX_HEADER = 1 << 20 };

typedef struct NpyHeader {
    char descr[16];                 /* "<f4" */
    bool fortran;
    int rank;
    int64_t dim[INGOT_MAX_RANK];
} NpyHeader;

typedef struct NpyReader {
    const char *path;
    FILE *in;
    ingot_error *err;
    NpyHeader header;
    int32_t dtype;
    size_t item;                    /* bytes per element in the file */
    int64_t count;
} NpyReader;

#define REFUSE(r, ...) ingot_fail((r)->err, INGOT_ERR_FILE, __VA_ARGS__)

/* ---- header ---- */

static const char *skip_space(const char *s)
{
    return s + strspn(s, " \t\n\r");
}

/* 'text' -> text; NULL if there is no such literal or it is too long. */
static const char *parse_quoted(const char *s, char *text, size_t room)
{
    char quote = *s;
    if (quote != '\'' && quote != '"')
        return NULL;
    const char *end = strchr(s + 1, quote);
    if (!end || (size_t)(end - s) > room)
        return NULL;
    memcpy(text, s + 1, (size_t)(end - s) - 1);
    text[end - s - 1] = 0;
    return end + 1;
}

/* (2, 3) */
static const char *parse_shape(const char *s, NpyHeader *h)
{
    if (*s++ != '(')
        return NULL;
    for (h->rank = 0; *(s = skip_space(s)) != ')';) {
        char *end;
        errno = 0;
        long long x = strtoll(s, &end, 10);
        if (end == s || errno || x < 0 || h->rank == INGOT_MAX_RANK)
            return NULL;
        h->dim[h->rank++] = x;
        s = skip_space(end + (*end == 'L'));    /* Python 2 wrote 3L */
        if (*s != ',' && *s != ')')
            return NULL;
        s += *s == ',';
    }
    return s + 1;
}

static const char *parse_value(const char *key, const char *s, NpyHeader *h)
{
    if (!strcmp(key, "descr"))
        return parse_quoted(s, h->descr, sizeof h->descr);
    if (!strcmp(key, "shape"))
        return parse_shape(s, h);
    if (!strcmp(key, "fortran_order") && (!strncmp(s, "True", 4) || !strncmp(s, "False", 5))) {
        h->fortran = *s == 'T';
        return s + (h->fortran ? 4 : 5);
    }
    return NULL;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } */
static bool parse_header(const char *s, NpyHeader *h)
{
    char key[16];
    int keys = 0;
    if (*(s = skip_space(s)) != '{')
        return false;
    for (s = skip_space(s + 1); *s != '}'; keys++) {
        s = parse_quoted(s, key, sizeof key);
        if (!s || *(s = skip_space(s)) != ':' || !(s = parse_value(key, skip_space(s + 1), h)))
            return false;
        s = skip_space(s);
        if (*s == ',')
            s = skip_space(s + 1);
        else if (*s != '}')
            return false;
    }
    return keys == 3;
}

static int read_header(NpyReader *r)
{
    unsigned char head[12];
    size_t got = fread(head, 1, 10, r->in);
    if (!got)
        return REFUSE(r, "%s: the file is empty", r->path);
    if (got != 10 || memcmp(head, "\x93NUMPY", 6))
        return REFUSE(r, "%s: not a .npy file", r->path);
    size_t n = head[8] + 256u * head[9];
    if (head[6] >= 2) {
        if (fread(head + 10, 1, 2, r->in) != 2)
            return REFUSE(r, "%s: truncated", r->path);
        n |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    }
    if (head[6] < 1 || head[6] > 3 || n > MAX_HEADER)
        return REFUSE(r, "%s: version %d of the .npy format is not known", r->path, head[6]);
    char *text = malloc(n + 1);
    if (!text)
        return ingot_fail(r->err, INGOT_ERR_MEMORY, "%s: out of memory", r->path);
    bool whole = fread(text, 1, n, r->in) == n;
    text[n] = 0;
    bool good = whole && parse_header(text, &r->header);
    free(text);
    return !whole ? REFUSE(r, "%s: truncated", r->path) : good ? INGOT_OK : REFUSE(r, "%s: malformed .npy header", r->path);
}

/* ---- element types ---- */

static const char *npy_descr(int32_t dtype)
{
    static const char *const names[] = {
#define DTYPE(name, onnx, bits, store, cls, npy) [onnx] = npy,
#include "../ir/dtypes.def"
#undef DTYPE
    };
    const char *s = names[dtype];
    return s[0] ? s : ingot_dtype_bytes(dtype) == 2 ? "|V2" : "|V1";
}

static int32_t dtype_of_descr(const char *descr, int32_t raw_dtype)
{
    char kind = descr[1];
    if (kind == 'U' || kind == 'S')
        return INGOT_str;
    if (kind == 'V')
        return raw_dtype && raw_dtype != INGOT_str && !strcmp(npy_descr(raw_dtype) + 1, descr + 1) ? raw_dtype : 0;
    for (int32_t t = 1; ingot_dtype_bytes(t); t++)
        if (t != INGOT_str && !strcmp(npy_descr(t) + 1, descr + 1))
            return t;
    return 0;
}

static int find_type(NpyReader *r, int32_t raw_dtype)
{
    const char *d = r->header.descr;
    if (!strchr("<>|=", d[0]) || !d[0] || !(r->dtype = dtype_of_descr(d, raw_dtype)))
        return REFUSE(r, "%s: elements of type '%s' are not supported", r->path, d);
    r->item = ingot_dtype_bytes(r->dtype);
    if (r->dtype == INGOT_str)
        r->item = strtoul(d + 2, NULL, 10) % MAX_HEADER * (d[1] == 'U' ? 4 : 1);
    if (r->dtype == INGOT_str && r->header.fortran && r->header.rank > 1)
        return REFUSE(r, "%s: strings in Fortran order are not supported", r->path);
    r->count = ingot_product(r->header.rank, r->header.dim);
    size_t each = r->item + sizeof(ingot_string);       /* the most that an element takes here or there */
    if (r->count < 0 || (uint64_t)r->count > SIZE_MAX / 2 / each)
        return REFUSE(r, "%s: malformed shape", r->path);
    return INGOT_OK;
}

/* ---- elements ---- */

static void swap_bytes(char *data, size_t bytes, size_t width)
{
    for (char *p = data; p < data + bytes; p += width)
        for (size_t i = 0; i < width / 2; i++) {
            char c = p[i];
            p[i] = p[width - 1 - i];
            p[width - 1 - i] = c;
        }
}

/* Fixed-width elements, padded with zeros, become strings: 4 bytes a character at most, as in the file. */
static void *make_strings(const NpyReader *r, const char *raw)
{
    bool wide = r->header.descr[1] == 'U';
    ingot_string *s = malloc((size_t)r->count * (sizeof *s + r->item) + 1);
    char *to = (char *)(s + r->count);
    for (int64_t i = 0; s && i < r->count; i++, raw += r->item) {
        char *begin = to;
        size_t n = wide ? r->item / 4 : r->item;
        for (size_t k = 0; k < n; k++) {
            uint32_t c = (unsigned char)raw[k];
            if (wide)
                memcpy(&c, raw + 4 * k, 4);
            if (wide)
                to += ingot_put_utf8(c, to);
            else
                *to++ = (char)c;
        }
        while (to > begin && !to[-1])
            to--;
        s[i] = (ingot_string){ .u.data = begin, .bytes = (uint64_t)(to - begin) };
    }
    return s;
}

static void *from_fortran(const NpyReader *r, void *data)
{
    int64_t stride[INGOT_MAX_RANK], step = 1;
    ingot_tensor t = { .data = data, .dtype = r->dtype, .rank = r->header.rank, .stride = stride };
    for (int i = 0; i < t.rank; i++, step *= r->header.dim[i - 1]) {
        t.dim[i] = r->header.dim[i];
        stride[i] = step;
    }
    void *dense = malloc((size_t)r->count * ingot_dtype_bytes(r->dtype) + 1);
    if (dense)
        ingot_gather(&t, dense);
    return dense;
}

/* The file must have the bytes before memory is taken for them: a header may promise anything. */
static int read_raw(NpyReader *r, char **raw)
{
    struct stat st;
    size_t bytes = (size_t)r->count * r->item;
    long at = ftell(r->in);
    if (!fstat(fileno(r->in), &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size < (uint64_t)at + bytes)
        return REFUSE(r, "%s: truncated", r->path);
    void *p;
    if (posix_memalign(&p, 64, bytes + 64))
        return ingot_fail(r->err, INGOT_ERR_MEMORY, "%s: out of memory", r->path);
    *raw = p;
    if (fread(*raw, 1, bytes, r->in) == bytes)
        return INGOT_OK;
    free(p);
    return REFUSE(r, "%s: truncated", r->path);
}

static int read_elements(NpyReader *r, ingot_tensor *t)
{
    char *raw = NULL;
    int status = read_raw(r, &raw);
    if (status)
        return status;
    size_t unit = r->dtype == INGOT_str ? (r->header.descr[1] == 'U' ? 4 : 1) : r->item;
    if (r->header.descr[0] == '>' && unit > 1)
        swap_bytes(raw, (size_t)r->count * r->item, r->dtype == INGOT_c64 || r->dtype == INGOT_c128 ? unit / 2 : unit);
    void *data = r->dtype == INGOT_str ? make_strings(r, raw) : r->header.fortran ? from_fortran(r, raw) : raw;
    if (data != raw)
        free(raw);
    *t = (ingot_tensor){ .data = data, .dtype = r->dtype, .rank = r->header.rank };
    memcpy(t->dim, r->header.dim, sizeof t->dim);
    return data ? INGOT_OK : ingot_fail(r->err, INGOT_ERR_MEMORY, "%s: out of memory", r->path);
}

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

int ingot_tensor_read(const char *path, int32_t raw_dtype, ingot_tensor *t, ingot_error *err)
{
    if (ends_in(path, ".json"))
        return ingot_json_read(path, t, err);
    NpyReader r = { .path = path, .err = err, .in = fopen(path, "rb") };
    if (!r.in)
        return REFUSE(&r, "%s: %s", path, strerror(errno));
    int status = read_header(&r);
    if (!status)
        status = find_type(&r, raw_dtype);
    if (!status)
        status = read_elements(&r, t);
    fclose(r.in);
    return status;
}

/* ---- writing ---- */

/* Version 1; padded with spaces so that the elements start at a multiple of 64, as NumPy does. */
static size_t format_header(const ingot_tensor *t, char *to, size_t room)
{
    int n = snprintf(to + 10, room - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (", npy_descr(t->dtype));
    for (int i = 0; i < t->rank; i++)
        n += snprintf(to + 10 + n, room - 10 - (size_t)n, "%s%lld%s", i ? ", " : "", (long long)t->dim[i], t->rank == 1 ? "," : "");
    n += snprintf(to + 10 + n, room - 10 - (size_t)n, "), }");
    size_t total = (10 + (size_t)n + 1 + 63) / 64 * 64;
    memset(to + 10 + n, ' ', total - 10 - (size_t)n);
    to[total - 1] = '\n';
    memcpy(to, "\x93NUMPY\x01", 7);
    to[7] = 0;
    to[8] = (char)((total - 10) & 0xff);
    to[9] = (char)((total - 10) >> 8);
    return total;
}

int ingot_tensor_write(const char *path, const ingot_tensor *t, ingot_error *err)
{
    int64_t count = ingot_count(t);
    if (count < 0 || !ingot_dtype_bytes(t->dtype))
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "%s: malformed tensor", path);
    ingot_save save;
    int status = ingot_save_open(&save, path, err);
    if (status)
        return status;
    if (t->dtype == INGOT_str)
        ingot_json_put_tensor(save.out, t);
    else {
        char head[512];
        fwrite(head, 1, format_header(t, head, sizeof head), save.out);
        fwrite(t->data, ingot_dtype_bytes(t->dtype), (size_t)count, save.out);
    }
    return ingot_save_close(&save, true, err);
}
