/* conv_pads.h -- which convolutions look for the edges of their input themselves. */
#ifndef INGOT_CONV_PADS_H
#define INGOT_CONV_PADS_H

#include "ir.h"

/* One filter per channel: [C, 1, k...] on C channels in C groups, C > 1. */
bool conv_is_one_per_channel(const Node *conv);
/* Its kernel takes pads: explicit_pad leaves them, and the generator relies on that. Winograd's method, and depthwise convolutions of floats over two
 * axes where the width is known. Channels last only. */
bool conv_takes_pads(const Node *conv);

#endif
