/* image.c -- decoding of images, which whoever runs the model does: kernels only ask. */
#include "kernel.h"

/* (file u8[n]) -> i64[2]: height, width */
K_KERNEL(image_size)
{
    if (!c->decode_image)
        return K_NO_DECODER;
    return c->decode_image(c->in[0].data, (uint64_t)c->in[0].dim[0], 0, c->out[0].data, NULL) ? K_NO_IMAGE : K_OK;
}

/* attrs: shape, format */
K_KERNEL(image_decode)
{
    const int64_t *a = c->attr;
    int64_t rank, size[2] = { c->out[0].dim[0], c->out[0].dim[1] };
    k_ints(&a, &rank);
    int64_t format = k_int(&a);
    if (!c->decode_image)
        return K_NO_DECODER;
    int32_t code = format == k_word("BGR") ? 1 : format == k_word("Grayscale") ? 2 : 0;
    return c->decode_image(c->in[0].data, (uint64_t)c->in[0].dim[0], code, size, c->out[0].data) ? K_NO_IMAGE : K_OK;
}
