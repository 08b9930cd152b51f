/* diag.c -- see diag.h. */
#include "diag.h"

#include <string.h>

void diag_init(Diag *d, Arena *a, FILE *out)
{
    *d = (Diag){ .arena = a, .out = out, .all = "" };
}

static const char *say(Diag *d, Loc loc, const char *kind, const char *fmt, va_list ap)
{
    const char *what = arena_vprintf(d->arena, fmt, ap);
    const char *where = "";
    if (loc.file && loc.line > 0)
        where = arena_printf(d->arena, "%s:%d: ", loc.file, loc.line);
    else if (loc.file)
        where = arena_printf(d->arena, "%s: ", loc.file);
    if (loc.node && loc.node[0])
        where = arena_printf(d->arena, "%snode '%s': ", where, loc.node);
    return arena_printf(d->arena, "%s%s%s\n", kind, where, what);
}

bool diag_error(Diag *d, Loc loc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *line = say(d, loc, "error: ", fmt, ap);
    va_end(ap);
    d->errors++;
    if (strstr(d->all, line))
        return false;
    if (!d->first)
        d->first = line;
    d->all = arena_printf(d->arena, "%s%s", d->all, line);
    if (d->out)
        fputs(line, d->out);
    return false;
}

void diag_warn(Diag *d, Loc loc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *line = say(d, loc, "warning: ", fmt, ap);
    va_end(ap);
    if (d->out)
        fputs(line, d->out);
}
