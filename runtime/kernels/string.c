/* string.c -- tensors of strings: arrays of (address, length), UTF-8. The bytes are never changed; what makes new ones keeps them until the run ends, and
 * what takes pieces points into the old ones.
 */
#include "kernel.h"

static const ingot_string *strings(const KTensor *t) { return t->data; }

static bool same(const ingot_string *a, const ingot_string *b)
{
    if (a->bytes != b->bytes)
        return false;
    for (uint64_t i = 0; i < a->bytes; i++)
        if (a->u.data[i] != b->u.data[i])
            return false;
    return true;
}

static void set(ingot_string *to, const char *data, int64_t bytes)
{
    to->u.pad = 0;
    to->u.data = data;
    to->bytes = (uint64_t)bytes;
}

K_KERNEL(str_eq)
{
    const ingot_string *x = strings(&c->in[0]), *y = strings(&c->in[1]);
    uint8_t *to = c->out[0].data;
    for (int64_t i = 0, n = k_count(&c->in[0]); i < n; i++)
        to[i] = same(&x[i], &y[i]);
    return K_OK;
}

/* ---- finding ---- */

static uint64_t hash(const ingot_string *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < s->bytes; i++)
        h = (h ^ (unsigned char)s->u.data[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

/* An open table of the keys, twice as large as they are many at least; its entries are 1 + the number of a key. Of equal keys the first counts. */
K_KERNEL(str_find)
{
    const ingot_string *x = strings(&c->in[0]), *key = strings(&c->in[1]);
    int64_t n = k_count(&c->in[0]), keys = k_count(&c->in[1]), room = 1, *to = c->out[0].data, *table = c->scratch;
    while (room < 2 * keys)
        room *= 2;
    for (int64_t i = 0; i < room; i++)
        table[i] = 0;
    for (int64_t i = 0; i < keys; i++) {
        uint64_t at = hash(&key[i]) & (uint64_t)(room - 1);
        while (table[at] && !same(&key[table[at] - 1], &key[i]))
            at = (at + 1) & (uint64_t)(room - 1);
        table[at] = table[at] ? table[at] : i + 1;
    }
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = hash(&x[i]) & (uint64_t)(room - 1);
        while (table[at] && !same(&key[table[at] - 1], &x[i]))
            at = (at + 1) & (uint64_t)(room - 1);
        to[i] = table[at] - 1;
    }
    return K_OK;
}

/* ---- new strings ---- */

K_KERNEL(str_concat)
{
    const ingot_string *x = strings(&c->in[0]), *y = strings(&c->in[1]);
    ingot_string *to = c->out[0].data;
    int64_t n = k_count(&c->in[0]), bytes = 0;
    for (int64_t i = 0; i < n; i++)
        bytes += (int64_t)(x[i].bytes + y[i].bytes);
    char *text = k_keep(c, bytes);
    if (!text)
        return K_NO_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        int64_t a = (int64_t)x[i].bytes, b = (int64_t)y[i].bytes;
        k_copy(text, x[i].u.data, a);
        k_copy(text + a, y[i].u.data, b);
        set(&to[i], text, a + b);
        text += a + b;
    }
    return K_OK;
}

/* Letters whose other case takes as many bytes: ASCII, and those of two bytes in Latin-1, Greek and Cyrillic. */
static const struct { uint16_t upper, last, lower; } cases[] = {
    { 'A', 'Z', 'a' }, { 0xc0, 0xd6, 0xe0 }, { 0xd8, 0xde, 0xf8 }, { 0x391, 0x3a1, 0x3b1 }, { 0x3a3, 0x3a9, 0x3c3 }, { 0x410, 0x42f, 0x430 },
    { 0x400, 0x40f, 0x450 },
};

static uint32_t other_case(uint32_t letter, bool upper)
{
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t from = upper ? cases[i].lower : cases[i].upper, span = (uint32_t)(cases[i].last - cases[i].upper);
        if (letter - from <= span)
            return letter - from + (upper ? cases[i].upper : cases[i].lower);
    }
    return letter;
}

static void change_case(char *to, const ingot_string *s, bool upper)
{
    const unsigned char *from = (const unsigned char *)s->u.data;
    for (uint64_t i = 0; i < s->bytes; i++) {
        if (from[i] >= 0xc2 && from[i] < 0xe0 && i + 1 < s->bytes) {
            uint32_t letter = other_case((uint32_t)(from[i] & 31) << 6 | (from[i + 1] & 63), upper);
            to[i++] = (char)(0xc0 | letter >> 6);
            to[i] = (char)(0x80 | (letter & 63));
        } else {
            to[i] = (char)(from[i] < 0x80 ? other_case(from[i], upper) : from[i]);
        }
    }
}

K_KERNEL(str_case)
{
    const ingot_string *x = strings(&c->in[0]);
    ingot_string *to = c->out[0].data;
    int64_t n = k_count(&c->in[0]), bytes = 0;
    for (int64_t i = 0; i < n; i++)
        bytes += (int64_t)x[i].bytes;
    char *text = k_keep(c, bytes);
    if (!text)
        return K_NO_MEMORY;
    for (int64_t i = 0; i < n; text += x[i++].bytes) {
        change_case(text, &x[i], c->attr[0]);
        set(&to[i], text, (int64_t)x[i].bytes);
    }
    return K_OK;
}

/* ---- choosing and splitting ---- */

/* What is left if all goes is one empty string. */
K_KERNEL(str_drop)
{
    const ingot_string *x = strings(&c->in[0]);
    ingot_string *to = c->out[0].data;
    const int64_t *found = c->in[1].data;
    int64_t kept = 0;
    for (int64_t i = 0, n = k_count(&c->in[0]); i < n; i++)
        if (found[i] < 0)
            to[kept++] = x[i];
    if (!kept)
        set(&to[kept++], "", 0);
    c->out[0].dim[0] = kept;
    return K_OK;
}

static bool is_space(char ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

/* Pieces of a string, in order. No delimiter: runs of white space, none at the ends. */
typedef struct Splitter {
    const char *at, *end;
    const ingot_string *delimiter;
    int64_t left;                   /* splits still allowed */
    bool done;
} Splitter;

static Splitter splitter(const KCall *c, int64_t i)
{
    const ingot_string *s = &strings(&c->in[0])[i], *d = strings(&c->in[1]);
    return (Splitter){ s->u.data, s->u.data + s->bytes, d, c->attr[0] < 0 ? INT64_MAX : c->attr[0], false };
}

static bool delimiter_at(const Splitter *s, const char *p)
{
    return (uint64_t)(s->end - p) >= s->delimiter->bytes && same(&(ingot_string){ .u.data = p, .bytes = s->delimiter->bytes }, s->delimiter);
}

/* The rest has no white space in front and, if it is the last piece, keeps what is behind it only where more text follows. */
static bool next_word(Splitter *s, ingot_string *piece)
{
    while (s->at < s->end && is_space(*s->at))
        s->at++;
    const char *from = s->at, *to = s->end;
    if (from == s->end)
        return false;
    if (s->left-- > 0) {
        while (s->at < s->end && !is_space(*s->at))
            s->at++;
        to = s->at;
    } else {
        while (to > from && is_space(to[-1]))
            to--;
        s->at = s->end;
    }
    set(piece, from, to - from);
    return true;
}

static bool next_piece(Splitter *s, ingot_string *piece)
{
    if (!s->delimiter->bytes)
        return next_word(s, piece);
    const char *from = s->at;
    if (s->done || (from == s->end && s->done))
        return false;
    while (s->left > 0 && s->at < s->end && !delimiter_at(s, s->at))
        s->at++;
    s->done = s->left-- <= 0 || s->at == s->end;
    set(piece, from, (s->done ? s->end : s->at) - from);
    s->at += s->done ? 0 : (int64_t)s->delimiter->bytes;
    return true;
}

K_KERNEL(str_pieces)
{
    int64_t *to = c->out[0].data;
    ingot_string piece;
    for (int64_t i = 0, n = k_count(&c->in[0]); i < n; i++) {
        Splitter s = splitter(c, i);
        to[i] = 0;
        while (next_piece(&s, &piece))
            to[i]++;
    }
    return K_OK;
}

K_KERNEL(str_split)
{
    ingot_string *to = c->out[0].data;
    int64_t width = c->out[0].dim[c->out[0].rank - 1];
    for (int64_t i = 0, n = k_count(&c->in[0]); i < n; i++) {
        Splitter s = splitter(c, i);
        int64_t k = 0;
        while (k < width && next_piece(&s, &to[k]))
            k++;
        for (; k < width; k++)
            set(&to[k], "", 0);
        to += width;
    }
    return K_OK;
}
