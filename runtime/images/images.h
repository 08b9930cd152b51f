/* images.h -- libingot_images, the optional part of the runtime that decodes images for models with ImageDecoder.
 *
 *     ingot_set_image_decoder(ctx, ingot_decode_image);
 *
 * PNG, JPEG, TIFF, WebP and JPEG 2000 by the libraries of these formats, BMP and PNM by itself. libingot_images_plain has the latter only, and is part of
 * ingot-run, which needs no library.
 */
#ifndef INGOT_IMAGES_H
#define INGOT_IMAGES_H

#include "ingot_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An ingot_image_decoder (ingot_abi.h): keeps nothing, and may be called by several threads at once. */
int ingot_decode_image(const void *data, uint64_t bytes, int32_t format, int64_t size[2], uint8_t *pixels);

#ifdef __cplusplus
}
#endif
#endif
