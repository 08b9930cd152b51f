/* export.c -- an output that owns what it points to: a string tensor with its bytes, a sequence with its items, as one block of memory. */
#include "kernel.h"

typedef struct Writer {
    char *at;                       /* NULL while measuring */
    int64_t bytes;                  /* so far */
} Writer;

static bool is_container(const ingot_tensor *t) { return t->dtype >= INGOT_SEQUENCE && t->dtype <= INGOT_MAP; }

static int64_t count(const ingot_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

/* The next bytes of the block, aligned; NULL while measuring. */
static void *reserve(Writer *w, int64_t bytes)
{
    void *p = w->at ? w->at + w->bytes : NULL;
    w->bytes += (bytes + 63) / 64 * 64;
    return p;
}

static void put_strings(Writer *w, const ingot_tensor *t, ingot_string *to)
{
    const ingot_string *from = t->data;
    int64_t n = count(t), bytes = 0;
    for (int64_t i = 0; i < n; i++)
        bytes += (int64_t)from[i].bytes;
    char *text = reserve(w, bytes);
    for (int64_t i = 0; text && i < n; text += from[i++].bytes) {
        k_copy(text, from[i].u.data, (int64_t)from[i].bytes);
        to[i].u.pad = 0;
        to[i].u.data = text;
        to[i].bytes = from[i].bytes;
    }
}

/* What t points to is copied; t itself then points to the copy. Containers nest a few deep at most: map in sequence in optional. */
static void put(Writer *w, ingot_tensor *t)
{
    int64_t n = count(t), bytes = n * (is_container(t) ? (int64_t)sizeof *t : k_dtype_bytes(t->dtype));
    char *data = reserve(w, bytes);
    if (t->dtype == K_STR)
        put_strings(w, t, (ingot_string *)(void *)data);
    else if (data)
        k_copy(data, t->data, bytes);
    for (int64_t i = 0; is_container(t) && i < n; i++) {
        ingot_tensor item = ((ingot_tensor *)t->data)[i];
        put(w, &item);
        if (data)
            ((ingot_tensor *)(void *)data)[i] = item;
    }
    t->stride = NULL;
    t->data = data;
}

/* out[0] is the output, whose data is in[0]'s (of a container: all of it is). */
K_KERNEL(export)
{
    ingot_tensor *out = c->out[0].data;
    if (is_container(out))
        *out = *(const ingot_tensor *)c->in[0].data;
    else
        out->data = c->in[0].data;
    ingot_tensor measured = *out;
    Writer w = { 0, 0 };
    put(&w, &measured);
    char *block = c->memory->allocate ? c->memory->allocate(c->memory->ctx, (uint64_t)w.bytes + 64) : 0;
    if (!block)
        return K_NO_MEMORY;
    w = (Writer){ block, 0 };
    put(&w, out);
    return K_OK;
}
