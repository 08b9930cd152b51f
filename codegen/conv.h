/* conv.h -- the sizes of a convolution, for the generators that compute it. */
#ifndef INGOT_CONV_H
#define INGOT_CONV_H

#include "gen.h"

typedef struct Conv {
    int64_t kh, kw, sh, sw, dh, dw, groups;
    int64_t cin, cout;              /* per group */
    Dim n, h, w, c, oh, ow, m;      /* of input and result; 1-D is h = 1 */
    int64_t top, left;              /* pads, where conv_takes_pads; else 0 */
    bool pointwise;                 /* 1x1, stride 1: all pixels of the input side by side */
    bool one_run;                   /* rows of tiles are all pixels of the result, else those of one line */
    bool bytes;                     /* u8 with weights i8 */
    int bits;                       /* that these take (int8.h) */
    bool pairs;                     /* as contract_of_pairs */
} Conv;

Conv conv_of(const Group *g);
/* Input channels whose products are one run in memory: all under a filter row if they lie side by side, else those of one tap. */
int64_t conv_run(const Conv *k);

GenFn gen_winograd;                 /* where the attribute winograd says so */
GenFn gen_depthwise;

#endif
