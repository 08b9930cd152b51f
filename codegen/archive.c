/* archive.c -- static libraries (`ar` files, System V variant): a symbol index, then the objects. Dates, owners and modes are fixed, so that equal
 * input gives equal bytes.
 *
 *      "!<arch>\n"
 *      header "/"          count, then per symbol the place of its member's header (big-endian), then the names
 *      header "model.o/"   the object, padded to an even size
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cg.h"
#include "outfile.h"

enum { MAGIC_BYTES = 8, HEADER_BYTES = 60 };

static void write_member_header(FILE *f, const char *name, uint64_t bytes)
{
    fprintf(f, "%-16s%-12d%-6d%-6d%-8s%-10llu`\n", name, 0, 0, 0, "644", (unsigned long long)bytes);
}

static void write_big_endian(FILE *f, uint32_t x)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        fputc((int)(x >> shift & 0xff), f);
}

/* Every symbol is defined by the first object, whose header follows the index. */
static void write_index(FILE *f, int n, const char *const *symbol)
{
    uint32_t bytes = 4 + 4 * (uint32_t)n;
    for (int i = 0; i < n; i++)
        bytes += (uint32_t)strlen(symbol[i]) + 1;
    uint32_t padding = bytes & 1;
    write_member_header(f, "/", bytes + padding);
    write_big_endian(f, (uint32_t)n);
    for (int i = 0; i < n; i++)
        write_big_endian(f, MAGIC_BYTES + HEADER_BYTES + bytes + padding);
    for (int i = 0; i < n; i++)
        fwrite(symbol[i], 1, strlen(symbol[i]) + 1, f);
    fwrite("", 1, padding, f);
}

static bool write_object(FILE *out, Arena *a, const char *path, int number, Diag *d)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st)) {
        diag_error(d, (Loc){ .file = path }, "cannot be read: %s", strerror(errno));
        if (f)
            fclose(f);
        return false;
    }
    write_member_header(out, number ? arena_printf(a, "model%d.o/", number) : "model.o/", (uint64_t)st.st_size);
    char part[1 << 16];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        fwrite(part, 1, n, out);
    if (st.st_size & 1)
        fputc('\n', out);
    bool ok = !ferror(f) || diag_error(d, (Loc){ .file = path }, "cannot be read");
    fclose(f);
    return ok;
}

bool archive_write(int n, const char *const *object, int nsymbols, const char *const *symbol, const char *path, Diag *d)
{
    OutFile o;
    if (!outfile_open(&o, d, path))
        return false;
    fputs("!<arch>\n", o.f);
    write_index(o.f, nsymbols, symbol);
    for (int i = 0; i < n; i++)
        if (!write_object(o.f, d->arena, object[i], i, d)) {
            outfile_abandon(&o);
            return false;
        }
    return outfile_commit(&o);
}
