/* random.c -- numbers in [0, 1) from a seed: the same seed gives the same numbers everywhere, every time.
 *
 *   counter    element i is SplitMix64 (Steele, Lea and Flood 2014) at position i: each stands by itself
 *   mt19937    the Mersenne Twister (Matsumoto and Nishimura 1998), seeded and turned into doubles of 53 bits as NumPy's RandomState does
 */
#include "kernel.h"

static double unit_of(uint64_t bits53)
{
    return (double)(int64_t)bits53 * 0x1p-53;
}

static void draw_counter(double *r, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t z = seed + (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r[i] = unit_of((z ^ z >> 31) >> 11);
    }
}

enum { WORDS = K_TWISTER_WORDS, AHEAD = 397 };

typedef struct Twister { uint32_t *word; int at; } Twister;

static Twister twister_start(uint32_t *word, uint32_t seed)
{
    word[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        word[i] = 1812433253u * (word[i - 1] ^ word[i - 1] >> 30) + i;
    return (Twister){ word, WORDS };
}

static void twister_renew(Twister *t)
{
    for (int i = 0; i < WORDS; i++) {
        uint32_t y = (t->word[i] & 0x80000000u) | (t->word[(i + 1) % WORDS] & 0x7fffffffu);
        t->word[i] = t->word[(i + AHEAD) % WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    t->at = 0;
}

static uint32_t twister_next(Twister *t)
{
    if (t->at == WORDS)
        twister_renew(t);
    uint32_t y = t->word[t->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static void draw_twister(double *r, int64_t n, Twister t)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t high = twister_next(&t) >> 5, low = twister_next(&t) >> 6;
        r[i] = unit_of(high << 26 | low);
    }
}

/* attrs: shape, seed, kind */
K_KERNEL(random)
{
    const int64_t *a = c->attr;
    int64_t rank, n = k_count(&c->out[0]);
    k_ints(&a, &rank);
    uint64_t seed = (uint64_t)k_int(&a);
    if (k_int(&a) == k_word("mt19937"))
        draw_twister(c->out[0].data, n, twister_start(c->scratch, (uint32_t)seed));
    else
        draw_counter(c->out[0].data, n, seed);
    return K_OK;
}
