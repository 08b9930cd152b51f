/* inflate.c -- see inflate.h. A stream of blocks: stored, or coded by two Huffman codes (of literals and lengths, of distances), which are fixed or come first.
 *
 * A code is canonical: codes of one length are consecutive numbers. So `count` of each length and the symbols in order decode it bit by bit:
 *
 *     code, first: the bits so far, the first code of this length        code - first < count[length]: found
 */
#include "inflate.h"

#include <string.h>

enum { MAX_BITS = 15, LITERALS = 288, DISTANCES = 32, END_OF_BLOCK = 256 };

typedef struct Inflate {
    const uint8_t *in;
    uint8_t *out;
    size_t at, bytes, done, room;
    uint32_t bits;
    int nbits;
    bool bad;
} Inflate;

typedef struct Code {
    uint16_t count[MAX_BITS + 1], symbol[LITERALS];
} Code;

static uint32_t take(Inflate *s, int n)
{
    while (s->nbits < n) {
        if (s->at == s->bytes)
            s->bad = true;
        s->bits |= (uint32_t)(s->at < s->bytes ? s->in[s->at++] : 0) << s->nbits;
        s->nbits += 8;
    }
    uint32_t x = s->bits & ((1u << n) - 1);
    s->bits >>= n;
    s->nbits -= n;
    return x;
}

static void make_code(Code *c, const uint8_t *length, int n)
{
    uint16_t next[MAX_BITS + 2] = { 0 };
    memset(c, 0, sizeof *c);
    for (int i = 0; i < n; i++)
        c->count[length[i]]++;
    c->count[0] = 0;
    for (int k = 1; k <= MAX_BITS; k++)
        next[k + 1] = (uint16_t)(next[k] + c->count[k]);
    for (int i = 0; i < n; i++)
        if (length[i])
            c->symbol[next[length[i]]++] = (uint16_t)i;
}

static int decode(Inflate *s, const Code *c)
{
    int code = 0, first = 0, index = 0;
    for (int k = 1; k <= MAX_BITS && !s->bad; k++) {
        code |= (int)take(s, 1);
        if (code - first < c->count[k])
            return c->symbol[index + code - first];
        index += c->count[k];
        first = (first + c->count[k]) << 1;
        code <<= 1;
    }
    s->bad = true;
    return -1;
}

static void put(Inflate *s, uint8_t byte)
{
    if (s->done < s->room)
        s->out[s->done++] = byte;
    else
        s->bad = true;
}

static void repeat(Inflate *s, size_t length, size_t distance)
{
    if (distance > s->done)
        s->bad = true;
    for (; length && !s->bad; length--)
        put(s, s->out[s->done - distance]);
}

static void copy_coded(Inflate *s, const Code *literal, const Code *distance)
{
    static const uint16_t base[] = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258 };
    static const uint8_t extra[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };
    while (!s->bad) {
        int x = decode(s, literal);
        if (x == END_OF_BLOCK)
            return;
        if (x < END_OF_BLOCK) {
            put(s, (uint8_t)x);
            continue;
        }
        x -= END_OF_BLOCK + 1;
        size_t length = x < 29 ? base[x] + take(s, extra[x]) : 0;
        int d = decode(s, distance);
        if (!length || d < 0 || d > 29) {
            s->bad = true;
            return;
        }
        int more = d < 4 ? 0 : d / 2 - 1;
        size_t far = d < 4 ? (size_t)d + 1 : ((size_t)(2 + d % 2) << more) + 1;
        repeat(s, length, far + take(s, more));
    }
}

static void stored_block(Inflate *s)
{
    s->bits = 0, s->nbits = 0;
    uint32_t n = take(s, 16), inverse = take(s, 16);
    if ((n ^ inverse) != 0xffff)
        s->bad = true;
    for (; n && !s->bad; n--)
        put(s, (uint8_t)take(s, 8));
}

static void fixed_block(Inflate *s)
{
    uint8_t length[LITERALS];
    Code literal, distance;
    for (int i = 0; i < LITERALS; i++)
        length[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    make_code(&literal, length, LITERALS);
    memset(length, 5, DISTANCES);
    make_code(&distance, length, DISTANCES);
    copy_coded(s, &literal, &distance);
}

/* The codes' lengths are coded themselves, with 16 to 18 for repeats. */
static void coded_block(Inflate *s)
{
    static const uint8_t order[] = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 };
    uint8_t length[LITERALS + DISTANCES] = { 0 };
    int literals = (int)take(s, 5) + 257, distances = (int)take(s, 5) + 1, lengths = (int)take(s, 4) + 4;
    Code literal, distance;
    for (int i = 0; i < lengths; i++)
        length[order[i]] = (uint8_t)take(s, 3);
    make_code(&literal, length, 19);
    memset(length, 0, sizeof length);
    for (int i = 0; i < literals + distances && !s->bad;) {
        int x = decode(s, &literal), n = x < 16 ? 1 : x == 16 ? 3 + (int)take(s, 2) : x == 17 ? 3 + (int)take(s, 3) : 11 + (int)take(s, 7);
        uint8_t value = (uint8_t)(x < 16 ? x : x == 16 && i ? length[i - 1] : 0);
        if (x < 0 || i + n > literals + distances || literals > 286)
            s->bad = true;
        for (; n && !s->bad; n--)
            length[i++] = value;
    }
    make_code(&literal, length, literals);
    make_code(&distance, length + literals, distances);
    if (!s->bad)
        copy_coded(s, &literal, &distance);
}

bool inflate_bytes(const uint8_t *in, size_t bytes, uint8_t *out, size_t room)
{
    Inflate s = { .in = in, .out = out, .bytes = bytes, .room = room };
    bool last = false;
    while (!last && !s.bad) {
        last = take(&s, 1);
        uint32_t kind = take(&s, 2);
        if (kind == 0)
            stored_block(&s);
        else if (kind == 1)
            fixed_block(&s);
        else if (kind == 2)
            coded_block(&s);
        else
            s.bad = true;
    }
    return !s.bad && s.done == room;
}
