/* string_number.c -- numbers as text and back, correctly rounded.
 *
 * Both ways stand on one function: the exact decimal digits of m * 2^e, which are finitely many. Writing rounds them to 8 significant digits, as printf's
 * %.8g. Reading compares the given digits with those of the point halfway between two neighbouring doubles, and so finds the nearest double by
 * bisection over their bits. Slow, but only for what does not fit into 53 bits and a power of ten that is exact.
 */
#include "kernel.h"

enum {
    LIMBS = 84,                     /* of 32 bits: (2^54 - 1) * 5^1075 has 2,550 bits */
    DIGITS = 9 * 87,
    PRECISION = 8,
    TEXT_BYTES = 24                 /* of a number: sign, 20 digits or 8 with point and exponent */
};

typedef union Bits { double f; uint64_t u; } Bits;

/* 0.d1 d2 d3... * 10^point */
typedef struct Decimal {
    int n, point;
    char digit[DIGITS];             /* 0 .. 9 */
} Decimal;

/* ---- exact digits ---- */

static int multiply(uint32_t *limb, int n, uint32_t k)
{
    uint64_t carry = 0;
    for (int i = 0; i < n; i++) {
        carry += (uint64_t)limb[i] * k;
        limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        limb[n++] = (uint32_t)carry;
    return n;
}

static uint32_t divide(uint32_t *limb, int n, uint32_t by)
{
    uint64_t rest = 0;
    for (int i = n - 1; i >= 0; i--) {
        rest = rest << 32 | limb[i];
        limb[i] = (uint32_t)(rest / by);
        rest %= by;
    }
    return (uint32_t)rest;
}

/* m * 2^e, -1075 <= e <= 971, m below 2^54. Of 2^-k = 5^k / 10^k the denominator only moves the point. */
static void exact_digits(uint64_t m, int e, Decimal *d)
{
    uint32_t limb[LIMBS] = { (uint32_t)m, (uint32_t)(m >> 32) };
    int n = m >> 32 ? 2 : 1, at = DIGITS;
    for (int left = e; left > 0; left -= 31)
        n = multiply(limb, n, 1u << (left < 31 ? left : 31));
    for (int left = -e; left > 0; left -= 13) {
        uint32_t five = 1;
        for (int i = 0; i < 13 && i < left; i++)
            five *= 5;
        n = multiply(limb, n, five);
    }
    while (n > 0) {
        uint32_t part = divide(limb, n, 1000000000);
        for (int i = 0; i < 9; i++, part /= 10)
            d->digit[--at] = (char)(part % 10);
        while (n > 0 && !limb[n - 1])
            n--;
    }
    while (at < DIGITS && !d->digit[at])
        at++;
    d->n = DIGITS - at;
    d->point = d->n + (e < 0 ? e : 0);
    for (int i = 0; i < d->n; i++)
        d->digit[i] = d->digit[at + i];
}

/* ---- writing ---- */

/* To PRECISION digits, halves to even; zeros behind go. */
static void round_digits(Decimal *d)
{
    int up = 0;
    if (d->n > PRECISION) {
        bool more = false;
        for (int i = PRECISION + 1; i < d->n; i++)
            more |= d->digit[i] != 0;
        up = d->digit[PRECISION] > 5 || (d->digit[PRECISION] == 5 && (more || d->digit[PRECISION - 1] % 2));
        d->n = PRECISION;
    }
    for (int i = d->n - 1; i >= 0 && up; i--) {
        up = d->digit[i] == 9;
        d->digit[i] = (char)(up ? 0 : d->digit[i] + 1);
    }
    if (up) {                       /* 99..9 became 100..0 */
        d->digit[0] = 1;
        d->point++;
    }
    while (d->n > 1 && !d->digit[d->n - 1])
        d->n--;
}

static int put_unsigned(char *to, uint64_t x, int width)
{
    char digit[20];
    int n = 0;
    do {
        digit[n++] = (char)('0' + x % 10);
        x /= 10;
    } while (x || n < width);
    for (int i = 0; i < n; i++)
        to[i] = digit[n - 1 - i];
    return n;
}

static int put_digits(char *to, const Decimal *d)
{
    int n = 0, exponent = d->point - 1;
    bool scientific = exponent < -4 || exponent >= PRECISION;
    int before = scientific ? 1 : d->point;             /* digits in front of the point */
    if (before <= 0)
        to[n++] = '0';
    for (int i = 0; i < before; i++)
        to[n++] = (char)('0' + (i < d->n ? d->digit[i] : 0));
    if (d->n > before)
        to[n++] = '.';
    for (int i = before; i < d->n; i++)
        to[n++] = (char)('0' + (i < 0 ? 0 : d->digit[i]));
    if (scientific) {
        to[n++] = 'e';
        to[n++] = exponent < 0 ? '-' : '+';
        n += put_unsigned(to + n, (uint64_t)(exponent < 0 ? -exponent : exponent), 2);
    }
    return n;
}

static int put_word(char *to, const char *word)
{
    int n = 0;
    for (; word[n]; n++)
        to[n] = word[n];
    return n;
}

static int put_real(char *to, double x)
{
    uint64_t bits = (Bits){ .f = x }.u, mantissa = bits & 0xfffffffffffffu;
    int field = (int)(bits >> 52 & 0x7ff), n = 0;
    Decimal d;
    if (x != x)
        return put_word(to, "NaN");
    if (bits >> 63)
        to[n++] = '-';
    if (field == 0x7ff)
        return n + put_word(to + n, "INF");
    if (!(bits << 1))
        return n + put_word(to + n, "0");
    exact_digits(field ? mantissa | 1ull << 52 : mantissa, (field ? field : 1) - 1075, &d);
    round_digits(&d);
    return n + put_digits(to + n, &d);
}

static int put_integer(char *to, int64_t x, bool is_unsigned)
{
    bool minus = x < 0 && !is_unsigned;
    to[0] = '-';
    return minus + put_unsigned(to + minus, minus ? 0 - (uint64_t)x : (uint64_t)x, 1);
}

K_KERNEL(str_format)
{
    const KTensor *x = &c->in[0];
    ingot_string *to = c->out[0].data;
    int64_t n = k_count(x);
    char *text = k_keep(c, n * TEXT_BYTES);
    if (!text)
        return K_NO_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        int bytes = k_dtype_is_float(x->dtype) ? put_real(text, k_load(x->data, x->dtype, i))
                                               : put_integer(text, k_load_i64(x->data, x->dtype, i), k_dtype_is_unsigned(x->dtype));
        to[i] = (ingot_string){ .u.data = text, .bytes = (uint64_t)bytes };
        text += bytes;
    }
    return K_OK;
}

/* ---- reading ---- */

typedef struct Reader { const char *at, *end; } Reader;

static bool is_digit(const Reader *r) { return r->at < r->end && *r->at >= '0' && *r->at <= '9'; }

static bool take(Reader *r, const char *word)
{
    const char *p = r->at;
    for (; *word; word++, p++)
        if (p == r->end || (*p | 32) != *word)
            return false;
    r->at = p;
    return true;
}

/* White space in front, and a sign. */
static bool take_sign(Reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || (*r->at >= '\t' && *r->at <= '\r')))
        r->at++;
    bool minus = r->at < r->end && *r->at == '-';
    if (r->at < r->end && (*r->at == '-' || *r->at == '+'))
        r->at++;
    return minus;
}

/* Digits with at most one point; false: there is none. Of more digits than decide, what is behind counts only as not zero. */
static bool take_digits(Reader *r, Decimal *d)
{
    bool any = false, fraction = false;
    d->n = d->point = 0;
    for (;; r->at++) {
        if (r->at < r->end && *r->at == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (!is_digit(r))
            return any;
        any = true;
        char digit = (char)(*r->at - '0');
        if (d->n == DIGITS)
            d->digit[DIGITS - 1] |= digit != 0;
        else if (d->n || digit)
            d->digit[d->n++] = digit;
        d->point += fraction ? -(!d->n) : d->n > 0;
    }
}

static int take_exponent(Reader *r)
{
    Reader ahead = *r;
    if (!take(&ahead, "e"))
        return 0;
    bool minus = ahead.at < ahead.end && *ahead.at == '-';
    if (ahead.at < ahead.end && (*ahead.at == '-' || *ahead.at == '+'))
        ahead.at++;
    int e = 0;
    for (; is_digit(&ahead); r->at = ++ahead.at)
        e = e < 100000 ? 10 * e + (*ahead.at - '0') : e;
    return minus ? -e : e;
}

static int compare(const Decimal *a, const Decimal *b)
{
    if (a->point != b->point)
        return a->point < b->point ? -1 : 1;
    for (int i = 0; i < a->n || i < b->n; i++) {
        int x = i < a->n ? a->digit[i] : 0, y = i < b->n ? b->digit[i] : 0;
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

/* d against the point halfway between the double of these bits and the next. */
static int compare_halfway(const Decimal *d, uint64_t bits)
{
    int field = (int)(bits >> 52);
    uint64_t m = (bits & 0xfffffffffffffu) | (field ? 1ull << 52 : 0);
    Decimal half;
    exact_digits(2 * m + 1, (field ? field : 1) - 1076, &half);
    return compare(d, &half);
}

/* The nearest double; of two, the even one. */
static double nearest_double(const Decimal *d)
{
    static const double exact[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    int power = d->point - d->n;
    if (!d->n || d->point < -400)
        return 0;
    if (d->n <= 15 && power >= -22 && power <= 22) {
        int64_t m = 0;
        for (int i = 0; i < d->n; i++)
            m = 10 * m + d->digit[i];
        return power < 0 ? (double)m / exact[-power] : (double)m * exact[power];
    }
    uint64_t low = 0, high = 0x7ff0000000000000u;
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        int side = d->point > 400 ? 1 : compare_halfway(d, middle - 1);
        if (side > 0 || (side == 0 && middle % 2 == 0))
            low = middle;
        else
            high = middle - 1;
    }
    return (Bits){ .u = low }.f;
}

/* The number that the string begins with. */
static bool read_real(const ingot_string *s, double *out)
{
    Reader r = { s->u.data, s->u.data + s->bytes };
    Decimal d;
    bool minus = take_sign(&r);
    double x;
    if (take(&r, "inf")) {
        x = (Bits){ .u = 0x7ff0000000000000u }.f;
    } else if (take(&r, "nan")) {
        x = (Bits){ .u = 0x7ff8000000000000u }.f;
    } else {
        if (!take_digits(&r, &d))
            return false;
        d.point += take_exponent(&r);
        x = nearest_double(&d);
        if (x > 0x1.fffffffffffffp1023)
            return false;
    }
    *out = minus ? -x : x;
    return true;
}

/* A sign and digits; what follows is passed over, as if it were a fraction. */
static bool read_integer(const ingot_string *s, bool is_unsigned, int64_t *out)
{
    Reader r = { s->u.data, s->u.data + s->bytes };
    bool minus = take_sign(&r), any = is_digit(&r), over = false;
    uint64_t x = 0;
    for (; is_digit(&r); r.at++)
        over |= __builtin_mul_overflow(x, 10u, &x) || __builtin_add_overflow(x, (uint64_t)(*r.at - '0'), &x);
    over |= !is_unsigned && x > (uint64_t)INT64_MAX + minus;
    *out = (int64_t)(minus ? 0 - x : x);
    return any && !over;
}

K_KERNEL(str_parse)
{
    const ingot_string *x = c->in[0].data;
    const KTensor *to = &c->out[0];
    bool real = k_dtype_is_float(to->dtype), is_unsigned = k_dtype_is_unsigned(to->dtype);
    for (int64_t i = 0, n = k_count(to); i < n; i++) {
        double f = 0;
        int64_t whole = 0;
        if (!(real ? read_real(&x[i], &f) : read_integer(&x[i], is_unsigned, &whole)))
            return K_NO_NUMBER;
        if (real)
            k_store(to->data, to->dtype, i, f);
        else
            k_store_i64(to->data, to->dtype, i, whole);
    }
    return K_OK;
}
