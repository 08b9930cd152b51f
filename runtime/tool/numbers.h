/* numbers.h -- numbers on the command line: "0.5", "1/255", "0.485,0.456,0.406". */
#ifndef INGOT_NUMBERS_H
#define INGOT_NUMBERS_H

#include <stdbool.h>

enum { MAX_NUMBERS = 64 };

typedef struct Numbers {
    int n;                          /* 0: not given */
    double v[MAX_NUMBERS];
} Numbers;

/* s: the option's value, NULL: nothing is added. False after a sentence that names the option. */
bool numbers_parse(const char *option, const char *s, Numbers *out);

#endif
