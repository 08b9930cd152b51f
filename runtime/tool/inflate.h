/* inflate.h -- unpacking of deflated data (RFC 1951), as .npz files have it. */
#ifndef INGOT_INFLATE_H
#define INGOT_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unpack exactly `room` bytes. False: the data is damaged, or not of that size. */
bool inflate_bytes(const uint8_t *in, size_t bytes, uint8_t *out, size_t room);

#endif
