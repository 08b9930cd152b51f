/* fft.c -- Fourier transforms of any length: Stockham's method with radices 4, 2, 3, 5 and whatever primes remain.
 *
 * Eight rows are transformed at once. A buffer holds, for every place of a row, a block: eight real parts, then eight imaginary ones; so the
 * inner loops run over lanes and become vector code. A pass of radix p reads blocks (i, m, k) and writes blocks (i, k, m):
 *
 *      in  [l1][p][ido] --- p blocks, ido apart, become p blocks, l1 * ido apart, each turned by its power of the root --->  out [p][l1][ido]
 *
 * The arithmetic is written once (fft_pass.h) for f32 and f64. The butterflies are those of Temperton (1983).
 */
#include "kernel.h"

enum { LANES = K_FFT_LANES, MAX_FACTORS = 64 };

/* 4s first, then what remains; a 2 goes to the front, where its butterflies run over the longest rows. Returns how many. */
static int factorise(int64_t n, int64_t *factor)
{
    int count = 0;
    for (; n % 4 == 0; n /= 4)
        factor[count++] = 4;
    if (n % 2 == 0) {
        factor[count] = count ? factor[0] : 2;
        factor[0] = 2;
        count++;
        n /= 2;
    }
    for (int64_t p = 3; p * p <= n; p += 2)
        for (; n % p == 0; n /= p)
            factor[count++] = p;
    if (n > 1)
        factor[count++] = n;
    return count;
}

#define REAL float
#include "fft_pass.h"
#define REAL double
#include "fft_pass.h"

/* attrs: inverse */
K_KERNEL(fft)
{
    const KTensor *x = &c->in[0];
    int64_t parts = x->dim[x->rank - 1], n = x->dim[x->rank - 2], rows = k_count_to(x, x->rank - 2);
    if (n < 1)
        return K_OK;
    if (x->dtype == K_F64)
        transform_double(c, rows, n, parts, c->attr[0] != 0);
    else
        transform_float(c, rows, n, parts, c->attr[0] != 0);
    return K_OK;
}
