/* samples_npz.c -- the arrays of a NumPy .npz file: a ZIP archive of .npy files, stored as they are (np.savez) or deflated (np.savez_compressed), where zlib is there.
 *
 *     local header, data | local header, data | ... | directory: one entry per file | end: where the directory is
 *
 * Each wanted member is unpacked into a temporary file, which the .npy reader reads.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef INGOT_HAS_ZLIB
#include <zlib.h>
#endif

#include "npy.h"
#include "samples_files.h"
#include "tool.h"

enum { LOCAL_BYTES = 30, ENTRY_BYTES = 46, END_BYTES = 22, STORED = 0, DEFLATED = 8 };

typedef struct Zip {
    const char *path;
    uint8_t *data;
    size_t bytes;
} Zip;

typedef struct Member {
    const char *name;               /* not terminated */
    size_t name_bytes, packed, bytes, at;       /* at: of the data */
    int method;
} Member;

static uint32_t get(const uint8_t *p, int bytes)
{
    uint32_t x = 0;
    for (int i = 0; i < bytes; i++)
        x |= (uint32_t)p[i] << 8 * i;
    return x;
}

static bool malformed(const Zip *z) { return tool_fail("%s: not a .npz file that can be read (malformed, or larger than 4 GB)", z->path), false; }

/* The end record lies behind everything but a comment. */
static const uint8_t *find_end(const Zip *z)
{
    for (size_t at = z->bytes >= END_BYTES ? z->bytes - END_BYTES + 1 : 0; at-- > 0;)
        if (!memcmp(z->data + at, "PK\5\6", 4))
            return z->data + at;
    return NULL;
}

/* The entry at *at of the directory; *at: the next one. */
static bool read_entry(const Zip *z, size_t *at, Member *m)
{
    const uint8_t *p = z->data + *at;
    if (*at + ENTRY_BYTES > z->bytes || memcmp(p, "PK\1\2", 4))
        return malformed(z);
    *m = (Member){ .name = (const char *)p + ENTRY_BYTES, .name_bytes = get(p + 28, 2), .packed = get(p + 20, 4), .bytes = get(p + 24, 4),
                   .method = (int)get(p + 10, 2) };
    size_t local = get(p + 42, 4);
    *at += ENTRY_BYTES + m->name_bytes + get(p + 30, 2) + get(p + 32, 2);
    if (*at > z->bytes || local + LOCAL_BYTES > z->bytes)
        return malformed(z);
    m->at = local + LOCAL_BYTES + get(z->data + local + 26, 2) + get(z->data + local + 28, 2);
    return (m->at <= z->bytes && m->packed <= z->bytes - m->at) || malformed(z);
}

/* Into a temporary file, from there as every .npy. */
static bool read_npy_bytes(const Zip *z, const void *data, size_t bytes, ingot_tensor *t)
{
    ScratchDir s;
    char path[600];
    ingot_error err;
    if (!scratchdir_make(&s))
        return false;
    snprintf(path, sizeof path, "%s/member.npy", s.path);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, bytes, f) == bytes;
    ok = f && !fclose(f) && ok;
    if (!ok)
        tool_fail("%s: cannot be unpacked", z->path);
    else if (ingot_tensor_read(path, 0, t, &err))
        ok = (tool_fail("%s: %s", z->path, strrchr(err.text, ':') ? strrchr(err.text, ':') + 2 : err.text), false);
    scratchdir_remove(&s);
    return ok;
}

/* Raw deflated data, which must unpack to exactly the bytes that the directory says. */
#ifdef INGOT_HAS_ZLIB
static bool unpack(const Zip *z, const Member *m, uint8_t *out)
{
    enum { RAW = -MAX_WBITS };
    z_stream s = { .next_in = z->data + m->at, .avail_in = (uInt)m->packed, .next_out = out, .avail_out = (uInt)m->bytes };
    if (inflateInit2(&s, RAW) != Z_OK)
        return tool_fail("%s: out of memory", z->path), false;
    bool ok = inflate(&s, Z_FINISH) == Z_STREAM_END && s.total_out == m->bytes;
    inflateEnd(&s);
    return ok || malformed(z);
}
#else
static bool unpack(const Zip *z, const Member *m, uint8_t *out)
{
    (void)m, (void)out;
    return tool_fail("%s is compressed, and this program was built without zlib; np.savez writes files that are not", z->path), false;
}
#endif

static bool read_member(const Zip *z, const Member *m, ingot_tensor *t)
{
    if (m->method == STORED && m->packed == m->bytes)
        return read_npy_bytes(z, z->data + m->at, m->bytes, t);
    uint8_t *out = m->method == DEFLATED ? malloc(m->bytes + 1) : NULL;
    bool ok = out ? unpack(z, m, out) && read_npy_bytes(z, out, m->bytes, t) : malformed(z);
    free(out);
    return ok;
}

/* Which input a member is of: by its name without .npy; or of the only input the only member. */
static int input_of(const Member *m, const ingot_model *ports, int members)
{
    if (m->name_bytes < 4 || memcmp(m->name + m->name_bytes - 4, ".npy", 4))
        return -1;
    for (int k = 0; k < ports->n_inputs; k++)
        if (strlen(ports->input[k].name) == m->name_bytes - 4 && !memcmp(ports->input[k].name, m->name, m->name_bytes - 4))
            return k;
    return members == 1 && ports->n_inputs == 1 ? 0 : -1;
}

static bool read_members(const Zip *z, const ingot_model *ports, ingot_tensor *in)
{
    const uint8_t *end = find_end(z);
    if (!end)
        return malformed(z);
    int n = (int)get(end + 10, 2);
    size_t at = get(end + 16, 4);
    for (int i = 0; i < n; i++) {
        Member m;
        if (!read_entry(z, &at, &m))
            return false;
        int k = input_of(&m, ports, n);
        if (k >= 0 && !in[k].data && !read_member(z, &m, &in[k]))
            return false;
    }
    for (int k = 0; k < ports->n_inputs; k++)
        if (!in[k].data)
            return tool_fail("%s: there is no array '%s'", z->path, ports->input[k].name), false;
    return true;
}

bool samples_npz_read(const char *path, const ingot_model *ports, ingot_tensor *in)
{
    Zip z = { .path = path };
    z.data = samples_read_bytes(path, &z.bytes);
    bool ok = z.data && read_members(&z, ports, in);
    free(z.data);
    return ok;
}
