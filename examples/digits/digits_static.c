/* digits_static.c -- the same program without a loader, a library or an allocation: the model is an object file linked into it, and the header that
 * `ingot compile --header` wrote knows every size. What a board without an operating system would do (with its own way to get at the pixels).
 *
 *     digits_static IMAGE.pgm...
 *
 * The model is compiled with --dim N=1, so every shape is fixed.
 */
#include <stdalign.h>
#include <stdio.h>

#include "mnist.h"
#include "pgm.h"

_Static_assert(MNIST_CNN_BN_INPUT0_COUNT == PIXELS, "the model takes one image");

static alignas(MNIST_CNN_BN_WORKSPACE_ALIGN) unsigned char workspace[MNIST_CNN_BN_WORKSPACE_BYTES];

int main(int argc, char **argv)
{
    static float pixels[MNIST_CNN_BN_INPUT0_COUNT], scores[MNIST_CNN_BN_OUTPUT0_COUNT];
    if (argc < 2)
        return fprintf(stderr, "usage: %s IMAGE.pgm...\n", argv[0]), 2;
    for (int i = 1; i < argc; i++) {
        if (pgm_read(argv[i], pixels))
            return 1;
        int status = mnist_cnn_bn_run_f32(pixels, scores, workspace);
        if (status)
            return fprintf(stderr, "%s: the model failed with status %d\n", argv[i], status), 1;
        printf("%s: %d\n", argv[i], largest(scores, MNIST_CNN_BN_OUTPUT0_COUNT));
    }
    return 0;
}
