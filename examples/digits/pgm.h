/* pgm.h -- reads a 28x28 binary PGM (P5) as floats in 0..1, the input of the digit models. */
#ifndef DIGITS_PGM_H
#define DIGITS_PGM_H

#include <stdio.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE };

/* 0: fine; -1 after a sentence on stderr. */
static int pgm_read(const char *path, float pixel[PIXELS])
{
    unsigned char raw[PIXELS];
    int width = 0, height = 0, most = 0;
    FILE *f = fopen(path, "rb");
    int ok = f && fscanf(f, "P5 %d %d %d", &width, &height, &most) == 3 && fgetc(f) != EOF && width == SIDE && height == SIDE && most == 255 &&
             fread(raw, 1, PIXELS, f) == PIXELS;
    if (f)
        fclose(f);
    if (!ok)
        return fprintf(stderr, "%s: not a %dx%d binary PGM\n", path, SIDE, SIDE), -1;
    for (int i = 0; i < PIXELS; i++)
        pixel[i] = (float)raw[i] / 255;
    return 0;
}

static int largest(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

#endif
