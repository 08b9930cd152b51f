/* feed.c -- inputs of a run: .npy files by name, and a fixed generator for the rest, so that two programs can be compared on the same numbers.
 *
 * Generator: x = x * 1664525 + 1013904223 mod 2^32 from 12345 (Numerical Recipes), u = x / 2^32, over the unnamed inputs in the model's order:
 * floats 2u - 1, integers 0 or 1, booleans true, strings "a".
 */
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "tool.h"

/* Formats that a float narrower than f32 is stored in: exponent bits, mantissa bits, exponent bias. */
static const struct { unsigned char dtype, ebits, mbits, bias; } small_floats[] = {
    { INGOT_f16, 5, 10, 15 }, { INGOT_bf16, 8, 7, 127 }, { INGOT_f8e4m3, 4, 3, 7 }, { INGOT_f8e4m3z, 4, 3, 8 },
    { INGOT_f8e5m2, 5, 2, 15 }, { INGOT_f8e5m2z, 5, 2, 16 }, { INGOT_f4e2m1, 2, 1, 1 },
};

typedef struct Generator {
    uint32_t x;
} Generator;

static double draw(Generator *g)
{
    g->x = g->x * 1664525u + 1013904223u;
    return g->x / 4294967296.0;
}

/* |v| <= 1 to the nearest code, ties to even. With m * 2^e = |v| and m in [1, 2) (below 1 where |v| is subnormal), codes count steps of 2^-mbits. */
static uint16_t small_float_code(int ebits, int mbits, int bias, double v)
{
    double m = v < 0 ? -v : v;
    int e = 0;
    for (; m < 1 && e > 1 - bias; e--)
        m *= 2;
    double steps = m * (1 << mbits) + 0x1p52 - 0x1p52;      /* rounds without libm */
    unsigned code = ((unsigned)(e + bias - 1) << mbits) + (unsigned)steps;
    return (uint16_t)(code | (v < 0 && code ? 1u << (ebits + mbits) : 0));
}

static bool is_float(int32_t dtype)
{
    return dtype == INGOT_f32 || dtype == INGOT_f64 || dtype == INGOT_c64 || dtype == INGOT_c128;
}

static void fill_element(Generator *g, int32_t dtype, void *p)
{
    static const ingot_string a = { .u.data = "a", .bytes = 1 };
    size_t size = ingot_dtype_bytes(dtype);
    double u = draw(g), v = 2 * u - 1;
    uint64_t whole = dtype == INGOT_bool || u >= 0.5;
    for (size_t i = 0; i < sizeof small_floats / sizeof *small_floats; i++)
        if (small_floats[i].dtype == dtype)
            whole = small_float_code(small_floats[i].ebits, small_floats[i].mbits, small_floats[i].bias, v);
    if (dtype == INGOT_f8e8m0)
        whole = 127;                                /* 1; it has neither zero nor sign */
    if (dtype == INGOT_str)
        memcpy(p, &a, sizeof a);
    else if (dtype == INGOT_f32 || dtype == INGOT_c64)
        memcpy(p, &(float){ (float)v }, sizeof(float));
    else if (is_float(dtype))
        memcpy(p, &v, sizeof v);
    else
        memcpy(p, &whole, size);                    /* little-endian: the low bytes */
}

/* Complex numbers are two floats, a draw each. Strings draw nothing. */
static void fill(Generator *g, ingot_tensor *t)
{
    int32_t dtype = t->dtype;
    int64_t n = ingot_count(t);
    size_t size = ingot_dtype_bytes(dtype);
    if (dtype == INGOT_c64 || dtype == INGOT_c128) {
        size /= 2;
        n *= 2;
    }
    uint32_t x = g->x;
    for (int64_t i = 0; i < n; i++)
        fill_element(g, dtype, (char *)t->data + (size_t)i * size);
    if (dtype == INGOT_str)
        g->x = x;
}

/* The option of a list whose name is `name`, or NULL. */
static const char *value_of(const TextList *list, const char *name)
{
    const char *value, *found = NULL;
    size_t n;
    for (int i = 0; i < list->n; i++)
        if (options_split(list->v[i], &value, &n) && n == strlen(name) && !memcmp(list->v[i], name, n))
            found = value;
    return found;
}

static bool parse_size(const char *text, int64_t *size)
{
    char *end;
    *size = strtoll(text, &end, 10);
    return end != text && !*end && *size >= 0;
}

/* Every --input must name an input; a --dim of a symbol that the model lacks may have been fixed when it was compiled, so that is a warning. */
static bool check_names(const ingot_model *m, const FeedOptions *o)
{
    const char *value;
    size_t n;
    int64_t size;
    for (int i = 0; i < o->input.n; i++) {
        const char *text = o->input.v[i];
        bool known = false;
        if (!options_split(text, &value, &n))
            return tool_fail("--input %s: not of the form NAME=FILE", text), false;
        for (int k = 0; k < m->n_inputs; k++)
            known |= strlen(m->input[k].name) == n && !memcmp(m->input[k].name, text, n);
        if (!known)
            return tool_fail("the model has no input '%.*s'%s%s", (int)n, text, m->n_inputs == 1 ? "; its input is " : "",
                             m->n_inputs == 1 ? m->input[0].name : ""), false;
    }
    for (int i = 0; i < o->dim.n; i++) {
        const char *text = o->dim.v[i];
        bool known = false;
        if (!options_split(text, &value, &n) || !parse_size(value, &size))
            return tool_fail("--dim %s: not of the form NAME=NUMBER", text), false;
        for (int k = 0; k < m->n_symbols; k++)
            known |= strlen(m->symbol[k]) == n && !memcmp(m->symbol[k], text, n);
        if (!known)
            fprintf(stderr, "warning: the model has no symbolic dimension '%.*s'\n", (int)n, text);
    }
    return true;
}

/* Size of an input's dim: fixed, given by --dim, seen in a given input, or 1. */
static int64_t size_of(const ingot_model *m, const FeedOptions *o, const ingot_tensor *t, int64_t dim)
{
    int64_t size;
    if (dim >= 0)
        return dim;
    const char *given = value_of(&o->dim, m->symbol[-1 - dim]);
    if (given && parse_size(given, &size))
        return size;
    for (int i = 0; i < m->n_inputs; i++)
        for (int k = 0; t[i].data && k < t[i].rank && k < m->input[i].rank; k++)
            if (m->input[i].dim[k] == dim)
                return t[i].dim[k];
    return 1;
}

/* A file whose size is not that of a --dim: one of the two is a mistake. */
static bool check_dims(const ingot_model *m, const FeedOptions *o, const ingot_tensor *t, int i)
{
    int64_t size;
    for (int k = 0; t->dtype < INGOT_SEQUENCE && k < t->rank && k < m->input[i].rank; k++) {
        int64_t dim = m->input[i].dim[k];
        const char *given = dim < 0 ? value_of(&o->dim, m->symbol[-1 - dim]) : NULL;
        if (given && parse_size(given, &size) && size != t->dim[k])
            return tool_fail("input '%s' has size %lld where --dim says %s=%lld", m->input[i].name, (long long)t->dim[k], m->symbol[-1 - dim],
                             (long long)size), false;
    }
    return true;
}

static bool make_input(const ingot_model *m, const FeedOptions *o, Generator *g, ingot_tensor *t, int i)
{
    const ingot_port *p = &m->input[i];
    if (p->dtype >= INGOT_SEQUENCE) {               /* nothing in it */
        t[i] = (ingot_tensor){ .dtype = p->dtype, .rank = 1 };
        return true;
    }
    ingot_tensor made = { .dtype = p->dtype, .rank = p->rank };
    for (int k = 0; k < p->rank; k++)
        made.dim[k] = size_of(m, o, t, p->dim[k]);
    int64_t count = ingot_count(&made);
    size_t size = ingot_dtype_bytes(p->dtype);
    if (count < 0 || (uint64_t)count > SIZE_MAX / 2 / size || posix_memalign(&made.data, 64, (size_t)count * size + 64))
        return tool_fail("input '%s': out of memory", p->name), false;
    fill(g, &made);
    t[i] = made;
    return true;
}

bool tool_feed(const ingot_model *m, const FeedOptions *o, ingot_tensor *t)
{
    ingot_error err;
    Generator g = { 12345 };
    memset(t, 0, sizeof *t * (size_t)m->n_inputs);
    if (!check_names(m, o))
        return false;
    for (int i = 0; i < m->n_inputs; i++) {
        const char *file = value_of(&o->input, m->input[i].name);
        if (file && tool_value_read(file, &m->input[i], &t[i], &err))
            return tool_fail("%s", err.text), false;
        if (file && !check_dims(m, o, &t[i], i))
            return false;
    }
    for (int i = 0; i < m->n_inputs; i++)
        if (!t[i].data && !t[i].rank && !make_input(m, o, &g, t, i))
            return false;
    return true;
}

void tool_unfeed(const ingot_model *m, ingot_tensor *t)
{
    for (int i = 0; i < m->n_inputs; i++)
        tool_value_free(&t[i]);
}
