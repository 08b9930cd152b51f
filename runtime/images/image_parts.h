/* image_parts.h -- inside libingot_images: one function per format. */
#ifndef INGOT_IMAGE_PARTS_H
#define INGOT_IMAGE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ImageSource { const uint8_t *data; size_t bytes; } ImageSource;

enum { IMAGE_MAX_SIDE = 1 << 20 };              /* larger images are refused before anything is allocated for them */

/* rgb NULL: height and width are set from the header. Else they state what rgb [height * width * 3] has room for, and must be the image's. False: not
 * an image of this format, or a broken one. Colours are 8 bits deep; transparency is dropped. */
typedef bool ImageFn(ImageSource s, int64_t *height, int64_t *width, uint8_t *rgb);
ImageFn image_png, image_jpeg, image_tiff, image_webp, image_jp2, image_bmp, image_pnm;

/* Sets the size, or compares it with what was stated: false if it is another, or too large. */
bool image_size_fits(int64_t height, int64_t width, int64_t *want_height, int64_t *want_width, const uint8_t *rgb);

#endif
