/* json.c -- string tensors and maps as JSON, RFC 8259.
 *
 * The reader decodes the text in place: a decoded string is never longer than its literal, so the strings of a tensor point into the text, which
 * stays in memory behind them: [ingot_string * count][text].
 */
#include "json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void ingot_json_put_string(FILE *out, const char *bytes, size_t n)
{
    putc('"', out);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}

void ingot_json_put_tensor(FILE *out, const ingot_tensor *t)
{
    const ingot_string *s = t->data;
    fputs("{\"dims\": [", out);
    for (int i = 0; i < t->rank; i++)
        fprintf(out, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    fputs("], \"data\": [", out);
    for (int64_t i = 0, n = ingot_count(t); i < n; i++) {
        fputs(i ? ", " : "", out);
        ingot_json_put_string(out, s[i].u.data, (size_t)s[i].bytes);
    }
    fputs("]}\n", out);
}

/* Digits enough to tell it from its neighbours; what JSON has no number for goes out as text. */
static void put_number(FILE *out, const ingot_tensor *t, int64_t i)
{
    double x = t->dtype == INGOT_f32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
    if (isnan(x))
        fputs("\"NaN\"", out);
    else if (isinf(x))
        fputs(x < 0 ? "\"-Infinity\"" : "\"Infinity\"", out);
    else
        fprintf(out, "%.*g", t->dtype == INGOT_f32 ? 9 : 17, x);
}

static void put_element(FILE *out, const ingot_tensor *t, int64_t i)
{
    const ingot_string *s = t->data;
    if (t->dtype == INGOT_str)
        ingot_json_put_string(out, s[i].u.data, (size_t)s[i].bytes);
    else if (t->dtype == INGOT_i64)
        fprintf(out, "%lld", (long long)((const int64_t *)t->data)[i]);
    else
        put_number(out, t, i);
}

static bool is_map_element(int32_t dtype)
{
    return dtype == INGOT_str || dtype == INGOT_i64 || dtype == INGOT_f32 || dtype == INGOT_f64;
}

bool ingot_json_put_map(FILE *out, const ingot_tensor *map)
{
    const ingot_tensor *key = map->data, *value = key + 1;
    if (map->dim[0] != 2 || !is_map_element(key->dtype) || !is_map_element(value->dtype))
        return false;
    fputs("{", out);
    for (int64_t i = 0; i < key->dim[0]; i++) {
        fputs(i ? ", " : "", out);
        fputs(key->dtype == INGOT_str ? "" : "\"", out);
        put_element(out, key, i);
        fputs(key->dtype == INGOT_str ? ": " : "\": ", out);
        put_element(out, value, i);
    }
    fputs("}\n", out);
    return true;
}

/* ---- reading ---- */

typedef struct JsonReader {
    char *at;                       /* in NUL-terminated text */
    ingot_string *data;
    int64_t ndata, room;
    ingot_tensor *t;
    bool has_dims;
} JsonReader;

static bool take(JsonReader *r, char c)
{
    r->at += strspn(r->at, " \t\n\r");
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static bool hex4(const char *s, uint32_t *x)
{
    *x = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *d = s[i] ? strchr(digits, s[i] | (s[i] >= 'A' ? 0x20 : 0)) : NULL;
        if (!d)
            return false;
        *x = *x << 4 | (uint32_t)(d - digits);
    }
    return true;
}

/* \uXXXX at r->at (after the u), with a second half where the first is a high surrogate; writes UTF-8 at to. */
static char *take_unicode(JsonReader *r, char *to)
{
    uint32_t c, low;
    if (!hex4(r->at, &c))
        return NULL;
    r->at += 4;
    if (c >= 0xd800 && c < 0xdc00 && r->at[0] == '\\' && r->at[1] == 'u' && hex4(r->at + 2, &low) && low >= 0xdc00 && low < 0xe000) {
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        r->at += 6;
    }
    return to + ingot_put_utf8(c, to);
}

/* A string literal, decoded in place. */
static bool take_string(JsonReader *r, ingot_string *s)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (!take(r, '"'))
        return false;
    char *to = r->at;
    s->u.data = to;
    while (*r->at != '"') {
        if (!*r->at)
            return false;
        if (*r->at != '\\') {
            *to++ = *r->at++;
            continue;
        }
        char c = r->at[1];
        const char *known = c ? strchr(from, c) : NULL;
        r->at += c ? 2 : 1;
        if (known)
            *to++ = into[known - from];
        else if (c != 'u' || !(to = take_unicode(r, to)))
            return false;
    }
    s->bytes = (uint64_t)(to - s->u.data);
    r->at++;
    return true;
}

static bool take_dims(JsonReader *r)
{
    r->has_dims = true;
    r->t->rank = 0;
    if (!take(r, '['))
        return false;
    if (take(r, ']'))
        return true;
    do {
        char *end;
        errno = 0;
        long long x = strtoll(r->at, &end, 10);
        if (end == r->at || errno || x < 0 || r->t->rank == INGOT_MAX_RANK)
            return false;
        r->t->dim[r->t->rank++] = x;
        r->at = end;
    } while (take(r, ','));
    return take(r, ']');
}

static bool take_data(JsonReader *r)
{
    r->ndata = 0;
    if (!take(r, '['))
        return false;
    if (take(r, ']'))
        return true;
    do
        if (r->ndata == r->room || !take_string(r, &r->data[r->ndata++]))
            return false;
    while (take(r, ','));
    return take(r, ']');
}

static bool take_tensor(JsonReader *r)
{
    ingot_string key;
    if (!take(r, '{'))
        return false;
    do {
        if (!take_string(r, &key) || !take(r, ':'))
            return false;
        bool dims = key.bytes == 4 && !memcmp(key.u.data, "dims", 4), data = key.bytes == 4 && !memcmp(key.u.data, "data", 4);
        if (dims ? !take_dims(r) : !data || !take_data(r))
            return false;
    } while (take(r, ','));
    return take(r, '}') && r->has_dims && ingot_product(r->t->rank, r->t->dim) == r->ndata;
}

static char *read_text(const char *path, size_t *bytes)
{
    FILE *in = fopen(path, "rb");
    char *text = NULL;
    long n = -1;
    if (in && !fseek(in, 0, SEEK_END) && (n = ftell(in)) >= 0 && !fseek(in, 0, SEEK_SET) && (text = malloc((size_t)n + 1)))
        *bytes = fread(text, 1, (size_t)n, in);
    if (in)
        fclose(in);
    if (text)
        text[*bytes] = 0;
    return text;
}

/* The text of a file behind room for the strings in it: [ingot_string * room][text], one block; NULL after reporting. */
static char *open_text(const char *path, JsonReader *r, ingot_error *err)
{
    size_t bytes = 0;
    char *text = read_text(path, &bytes);
    if (!text) {
        ingot_fail(err, INGOT_ERR_FILE, "%s: cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    int64_t room = 0;                       /* every string takes two quotes */
    for (size_t i = 0; i < bytes; i++)
        room += text[i] == '"';
    char *block = malloc((size_t)room * sizeof(ingot_string) + bytes + 1);
    if (!block)
        ingot_fail(err, INGOT_ERR_MEMORY, "%s: out of memory", path);
    else
        *r = (JsonReader){ .at = memcpy(block + (size_t)room * sizeof(ingot_string), text, bytes + 1), .data = (ingot_string *)(void *)block, .room = room };
    free(text);
    return block;
}

int ingot_json_read(const char *path, ingot_tensor *t, ingot_error *err)
{
    JsonReader r;
    char *block = open_text(path, &r, err);
    if (!block)
        return err ? err->status : INGOT_ERR_FILE;
    r.t = t;
    *t = (ingot_tensor){ .dtype = INGOT_str };
    if (take_tensor(&r)) {
        t->data = block;
        return INGOT_OK;
    }
    free(block);
    return ingot_fail(err, INGOT_ERR_FILE, "%s: not a string tensor ({\"dims\": [...], \"data\": [\"...\"]})", path);
}

/* ---- maps ---- */

/* A number, or "NaN" and the like; element i of a list with room for it. */
static bool take_number(JsonReader *r, ingot_tensor *list, int64_t i)
{
    bool quoted = take(r, '"');
    char *end;
    r->at += strspn(r->at, " \t\n\r");
    errno = 0;
    if (list->dtype == INGOT_i64)
        ((int64_t *)list->data)[i] = strtoll(r->at, &end, 10);
    else if (list->dtype == INGOT_f32)
        ((float *)list->data)[i] = strtof(r->at, &end);
    else
        ((double *)list->data)[i] = strtod(r->at, &end);
    bool ok = end != r->at && (list->dtype != INGOT_i64 || !errno);
    r->at = end;
    return ok && (!quoted || take(r, '"'));
}

static bool take_element(JsonReader *r, ingot_tensor *list)
{
    int64_t i = list->dim[0]++;
    return list->dtype == INGOT_str ? take_string(r, &((ingot_string *)list->data)[i]) : take_number(r, list, i);
}

static bool take_map(JsonReader *r, ingot_tensor *key, ingot_tensor *value)
{
    if (!take(r, '{'))
        return false;
    if (take(r, '}'))
        return true;
    do
        if (key->dim[0] == r->room || !take_element(r, key) || !take(r, ':') || !take_element(r, value))
            return false;
    while (take(r, ','));
    return take(r, '}');
}

/* Keys and values as lists with room for as many as there are quotes. Both lie in front of the text that their strings point into. */
int ingot_json_read_map(const char *path, int32_t key, int32_t value, ingot_tensor *t, ingot_error *err)
{
    JsonReader r;
    char *block = open_text(path, &r, err);
    if (!block)
        return err ? err->status : INGOT_ERR_FILE;
    ingot_tensor *part = calloc(2, sizeof *part);
    *t = (ingot_tensor){ .data = part, .dtype = INGOT_MAP, .rank = 1, .dim = { 2 } };
    if (part) {
        part[0] = (ingot_tensor){ .data = block, .dtype = key, .rank = 1 };
        part[1] = (ingot_tensor){ .data = calloc((size_t)r.room + 1, sizeof(ingot_string)), .dtype = value, .rank = 1 };
        if (part[1].data && is_map_element(key) && is_map_element(value) && take_map(&r, &part[0], &part[1]))
            return INGOT_OK;
        free(part[1].data);
    }
    free(part);
    free(block);
    t->data = NULL;
    return ingot_fail(err, INGOT_ERR_FILE, "%s: not a map ({\"key\": value, ...})", path);
}
