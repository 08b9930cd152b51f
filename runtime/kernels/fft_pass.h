/* fft_pass.h -- the arithmetic of fft.c for one element type: included there with REAL set to float and to double.
 *
 * in, out: blocks of 2 * LANES; a step between blocks is counted in REALs. sign: -1 forward, +1 inverse.
 */
#define FFT_NAME_(f, t) f##_##t
#define FFT_NAME(f, t) FFT_NAME_(f, t)
#define OF_REAL(f) FFT_NAME(f, REAL)
enum { OF_REAL(BLOCK) = 2 * LANES };

static void OF_REAL(butterfly2)(const REAL *restrict in, int64_t is, REAL *restrict out, int64_t os)
{
    for (int l = 0; l < 2 * LANES; l++) {
        REAL a = in[l], b = in[is + l];
        out[l] = a + b;
        out[os + l] = a - b;
    }
}

static void OF_REAL(butterfly3)(const REAL *restrict in, int64_t is, REAL *restrict out, int64_t os, REAL sign)
{
    const REAL cosine = (REAL)-0.5, sine = sign * (REAL)0.86602540378443864676;
    for (int l = 0; l < LANES; l++) {
        REAL ar = in[l], ai = in[LANES + l], br = in[is + l], bi = in[is + LANES + l], cr = in[2 * is + l], ci = in[2 * is + LANES + l];
        REAL sr = br + cr, si = bi + ci, dr = sine * (br - cr), di = sine * (bi - ci), mr = ar + cosine * sr, mi = ai + cosine * si;
        out[l] = ar + sr;
        out[LANES + l] = ai + si;
        out[os + l] = mr - di;
        out[os + LANES + l] = mi + dr;
        out[2 * os + l] = mr + di;
        out[2 * os + LANES + l] = mi - dr;
    }
}

static void OF_REAL(butterfly4)(const REAL *restrict in, int64_t is, REAL *restrict out, int64_t os, REAL sign)
{
    for (int l = 0; l < LANES; l++) {
        REAL ar = in[l], ai = in[LANES + l], br = in[is + l], bi = in[is + LANES + l];
        REAL cr = in[2 * is + l], ci = in[2 * is + LANES + l], dr = in[3 * is + l], di = in[3 * is + LANES + l];
        REAL pr = ar + cr, pi = ai + ci, qr = ar - cr, qi = ai - ci, sr = br + dr, si = bi + di, tr = sign * (di - bi), ti = sign * (br - dr);
        out[l] = pr + sr;
        out[LANES + l] = pi + si;
        out[os + l] = qr + tr;
        out[os + LANES + l] = qi + ti;
        out[2 * os + l] = pr - sr;
        out[2 * os + LANES + l] = pi - si;
        out[3 * os + l] = qr - tr;
        out[3 * os + LANES + l] = qi - ti;
    }
}

static void OF_REAL(butterfly5)(const REAL *restrict in, int64_t is, REAL *restrict out, int64_t os, REAL sign)
{
    const REAL c1 = (REAL)0.30901699437494742410, c2 = (REAL)-0.80901699437494742410;
    const REAL s1 = sign * (REAL)0.95105651629515357212, s2 = sign * (REAL)0.58778525229247312917;
    for (int l = 0; l < 2 * LANES; l++) {                   /* sums: real and imaginary parts alike */
        REAL a = in[l], p = in[is + l] + in[4 * is + l], q = in[2 * is + l] + in[3 * is + l];
        out[l] = a + p + q;
        out[os + l] = out[4 * os + l] = a + c1 * p + c2 * q;
        out[2 * os + l] = out[3 * os + l] = a + c2 * p + c1 * q;
    }
    for (int l = 0; l < LANES; l++) {                       /* differences, a quarter turn on */
        REAL pr = in[is + l] - in[4 * is + l], pi = in[is + LANES + l] - in[4 * is + LANES + l];
        REAL qr = in[2 * is + l] - in[3 * is + l], qi = in[2 * is + LANES + l] - in[3 * is + LANES + l];
        REAL ur = s1 * pi + s2 * qi, ui = s1 * pr + s2 * qr, vr = s2 * pi - s1 * qi, vi = s2 * pr - s1 * qr;
        out[os + l] -= ur;
        out[os + LANES + l] += ui;
        out[4 * os + l] += ur;
        out[4 * os + LANES + l] -= ui;
        out[2 * os + l] -= vr;
        out[2 * os + LANES + l] += vi;
        out[3 * os + l] += vr;
        out[3 * os + LANES + l] -= vi;
    }
}

/* out += in turned by cosine + i sine */
static void OF_REAL(add_turned)(const REAL *restrict in, REAL *restrict out, REAL cosine, REAL sine)
{
    for (int l = 0; l < LANES; l++) {
        REAL re = in[l], im = in[LANES + l];
        out[l] += re * cosine - im * sine;
        out[LANES + l] += re * sine + im * cosine;
    }
}

/* Any radix p, by definition; step: roots of the table between p-th roots of one. */
static void OF_REAL(butterfly)(const REAL *in, int64_t is, REAL *out, int64_t os, int64_t p, const REAL *table, int64_t step, REAL sign)
{
    for (int64_t j = 0; j < p; j++) {
        for (int l = 0; l < 2 * LANES; l++)
            out[j * os + l] = 0;
        for (int64_t m = 0; m < p; m++) {
            const REAL *root = table + 2 * (j * m % p * step);
            OF_REAL(add_turned)(in + m * is, out + j * os, root[0], sign * root[1]);
        }
    }
}

static void OF_REAL(turn)(REAL *block, REAL cosine, REAL sine)
{
    for (int l = 0; l < LANES; l++) {
        REAL re = block[l], im = block[LANES + l];
        block[l] = re * cosine - im * sine;
        block[LANES + l] = re * sine + im * cosine;
    }
}

static void OF_REAL(pass)(const REAL *in, REAL *out, int64_t n, int64_t p, int64_t l1, const REAL *table, REAL sign)
{
    int64_t ido = n / (l1 * p), is = ido * OF_REAL(BLOCK), os = l1 * is;
    for (int64_t k = 0; k < l1; k++)
        for (int64_t i = 0; i < ido; i++) {
            const REAL *from = in + (i + ido * p * k) * OF_REAL(BLOCK);
            REAL *to = out + (i + ido * k) * OF_REAL(BLOCK);
            switch (p) {
            case 2: OF_REAL(butterfly2)(from, is, to, os); break;
            case 3: OF_REAL(butterfly3)(from, is, to, os, sign); break;
            case 4: OF_REAL(butterfly4)(from, is, to, os, sign); break;
            case 5: OF_REAL(butterfly5)(from, is, to, os, sign); break;
            default: OF_REAL(butterfly)(from, is, to, os, p, table, n / p, sign); break;
            }
            for (int64_t j = 1; j < p && i; j++)
                OF_REAL(turn)(to + j * os, table[2 * (j * l1 * i)], sign * table[2 * (j * l1 * i) + 1]);
        }
}

static void OF_REAL(load_rows)(REAL *block, const REAL *x, int64_t lanes, int64_t n, int64_t parts)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t l = 0; l < LANES; l++) {
            const REAL *at = x + (l * n + i) * parts;
            block[i * OF_REAL(BLOCK) + l] = l < lanes ? at[0] : 0;
            block[i * OF_REAL(BLOCK) + LANES + l] = l < lanes && parts == 2 ? at[1] : 0;
        }
}

/* mirrored: the transform of a real row, whose second half is the conjugate of the first and whose middle is real. */
static void OF_REAL(store_rows)(const REAL *block, REAL *y, int64_t lanes, int64_t n, bool mirrored)
{
    for (int64_t l = 0; l < lanes; l++)
        for (int64_t i = 0; i < n; i++) {
            bool second = mirrored && 2 * i > n;
            const REAL *at = block + (second ? n - i : i) * OF_REAL(BLOCK) + l;
            REAL im = mirrored && (!i || 2 * i == n) ? 0 : at[LANES];
            y[2 * (l * n + i)] = at[0];
            y[2 * (l * n + i) + 1] = second ? -im : im;
        }
}

static void OF_REAL(transform)(const KCall *c, int64_t rows, int64_t n, int64_t parts, bool inverse)
{
    const REAL *x = c->in[0].data, *table = c->in[1].data;
    REAL *y = c->out[0].data;
    int64_t factor[MAX_FACTORS];
    int nfactor = factorise(n, factor);
    for (int64_t row = 0; row < rows; row += LANES) {
        REAL *a = c->scratch, *b = a + n * OF_REAL(BLOCK);
        int64_t lanes = rows - row < LANES ? rows - row : LANES, l1 = 1;
        OF_REAL(load_rows)(a, x + row * n * parts, lanes, n, parts);
        for (int f = 0; f < nfactor; f++) {
            OF_REAL(pass)(a, b, n, factor[f], l1, table, inverse ? 1 : -1);
            l1 *= factor[f];
            REAL *swap = a;
            a = b;
            b = swap;
        }
        OF_REAL(store_rows)(a, y + row * n * 2, lanes, n, parts == 1);
    }
}

#undef FFT_NAME_
#undef FFT_NAME
#undef OF_REAL
#undef REAL
