/* text.c -- see text.h. */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "outfile.h"

const char *const text_storage_name[] = { [ST_NONE] = "none", [ST_ARENA] = "arena", [ST_INPUT] = "input", [ST_OUTPUT] = "output",
                                          [ST_CONST] = "const", [ST_ALIAS] = "alias", [ST_HEAP] = "heap", [ST_LOCAL] = "local", NULL };
const char *const text_prop_name[] = { "typed", "canonical", "laid_out", "fused", "planned", NULL };

static size_t align64(size_t n)
{
    return (n + 63) / 64 * 64;
}

static uint64_t memory_append(void *ctx, const void *data, size_t bytes)
{
    BlobMemory *b = ctx;
    size_t at = align64(b->bytes);
    if (at + bytes > b->room) {
        size_t room = b->room ? b->room : 4096;
        while (room < at + bytes)
            room *= 2;
        char *grown = arena_alloc(b->arena, room);
        if (b->bytes)
            memcpy(grown, b->data, b->bytes);
        b->data = grown;
        b->room = room;
    }
    if (bytes)
        memcpy(b->data + at, data, bytes);
    b->bytes = at + bytes;
    return at;
}

void blob_memory_init(BlobMemory *b, Arena *a)
{
    *b = (BlobMemory){ .sink = { b, memory_append }, .arena = a };
}

/* ---- writing: the blob file is only begun when there is something for it ---- */

typedef struct BlobFile {
    BlobSink sink;
    OutFile out;
    Diag *diag;
    const char *path;
    size_t bytes;
    bool begun, failed;
} BlobFile;

static uint64_t file_append(void *ctx, const void *data, size_t bytes)
{
    static const char zeros[64];
    BlobFile *b = ctx;
    size_t at = align64(b->bytes);
    if (!b->begun) {
        b->begun = true;
        b->failed = !outfile_open(&b->out, b->diag, b->path);
    }
    if (!b->failed) {
        fwrite(zeros, 1, at - b->bytes, b->out.f);
        fwrite(data, 1, bytes, b->out.f);
    }
    b->bytes = at + bytes;
    return at;
}

bool module_write_file(Module *m, const char *path)
{
    Arena *a = arena_new();
    OutFile text;
    BlobFile blob = { .diag = m->diag, .path = arena_printf(m->arena, "%s.blob", path) };
    blob.sink = (BlobSink){ &blob, file_append };
    bool ok = outfile_open(&text, m->diag, path);
    graph_renumber(m->graph);                               /* so that the text read back prints the same */
    if (ok) {
        fputs(module_print(m, a, &blob.sink), text.f);
        ok = !blob.begun || (!blob.failed && outfile_commit(&blob.out));
        if (!ok)
            outfile_abandon(&text);
        else if (!(ok = outfile_commit(&text)) && blob.begun)
            unlink(blob.path);
    }
    arena_free(a);
    return ok;
}

/* ---- reading ---- */

/* Map a file; size 0 gives a pointer to nothing. NULL with errno set on failure. */
static const char *map_file(const char *path, size_t *bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    void *p = NULL;
    if (fd >= 0 && !fstat(fd, &st)) {
        *bytes = (size_t)st.st_size;
        errno = S_ISREG(st.st_mode) ? 0 : EINVAL;
        if (!errno)
            p = *bytes ? mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0) : "";
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return p == MAP_FAILED ? NULL : p;
}

Module *module_read_file(Arena *a, Diag *d, const char *path)
{
    size_t bytes = 0, blob_bytes = 0;
    Loc loc = { .file = arena_str(a, path) };
    const char *mapped = map_file(path, &bytes);
    if (!mapped)
        return diag_error(d, loc, "cannot be read: %s", strerror(errno)), NULL;
    if (memchr(mapped, '\0', bytes))
        return diag_error(d, loc, "is not a text file"), NULL;
    const char *text = arena_strn(a, mapped, bytes);        /* terminated, which the mapping need not be */
    if (bytes)
        munmap((void *)(uintptr_t)mapped, bytes);
    const char *blob_path = arena_printf(a, "%s.blob", path);
    const char *blob = map_file(blob_path, &blob_bytes);
    if (!blob && errno != ENOENT)
        return diag_error(d, (Loc){ .file = blob_path }, "cannot be read: %s", strerror(errno)), NULL;
    return module_parse(a, d, loc.file, text, blob, blob_bytes);
}
