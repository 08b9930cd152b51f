/* numbers.c -- see numbers.h. */
#include <stdlib.h>

#include "numbers.h"
#include "tool.h"

static const char *parse_number(const char *s, double *x)
{
    char *end;
    *x = strtod(s, &end);
    if (end == s)
        return NULL;
    if (*end == '/') {
        const char *below = end + 1;
        double d = strtod(below, &end);
        if (end == below || d == 0)
            return NULL;
        *x /= d;
    }
    return end;
}

bool numbers_parse(const char *option, const char *s, Numbers *out)
{
    const char *text = s;
    while (s) {
        if (out->n == MAX_NUMBERS)
            return tool_fail("--%s: more than %d numbers", option, MAX_NUMBERS), false;
        const char *end = parse_number(s, &out->v[out->n++]);
        if (!end || (*end && *end != ','))
            return tool_fail("--%s %s: not of the form NUMBER or NUMBER,NUMBER...", option, text), false;
        s = *end ? end + 1 : NULL;
    }
    return true;
}
