/* digits.c -- a complete program around a compiled model: loads mnist.so with libingot_rt and says which digit each image shows.
 *
 *     digits MODEL.so IMAGE.pgm...
 *
 * The model takes f32[N,1,28,28] with pixels in 0..1 and gives f32[N,10]; N is free, so all images go through it in one run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ingot.h"
#include "pgm.h"

/* One line per image: its name and the digit with the largest score. */
static void print_digits(const ingot_tensor *scores, char **name)
{
    const float *row = scores->data;
    for (int64_t i = 0; i < scores->dim[0]; i++, row += scores->dim[1])
        printf("%s: %d\n", name[i], largest(row, (int)scores->dim[1]));
}

static int classify(const char *model, const float *pixels, char **name, int n)
{
    ingot_error err;
    ingot_file *file;
    ingot_context *ctx = NULL;
    ingot_tensor x = { .data = (void *)(uintptr_t)pixels, .dtype = INGOT_f32, .rank = 4, .dim = { n, 1, SIDE, SIDE } }, scores = { 0 };
    int status = ingot_open(model, &file, &err);
    if (!status)
        status = ingot_context_new(ingot_file_model(file), &ctx, &err);
    if (!status)
        status = ingot_run(ctx, &x, &scores, &err);     /* scores.data belongs to ctx */
    if (status)
        fprintf(stderr, "%s\n", err.text);
    else
        print_digits(&scores, name);
    ingot_context_free(ctx);
    ingot_close(file);
    return status != 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return fprintf(stderr, "usage: %s MODEL.so IMAGE.pgm...\n", argv[0]), 2;
    int n = argc - 2, status = 1;
    float *pixels = malloc((size_t)n * PIXELS * sizeof *pixels);
    if (!pixels)
        return fprintf(stderr, "out of memory\n"), 1;
    int read = 0;
    while (read < n && !pgm_read(argv[2 + read], pixels + (size_t)read * PIXELS))
        read++;
    if (read == n)
        status = classify(argv[1], pixels, argv + 2, n);
    free(pixels);
    return status;
}
