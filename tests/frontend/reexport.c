/* reexport.c -- test folders whose models were read and written again.
 *
 *   reexport [--passes A,B,...] OUT DIR...        for each DIR/NAME/model.onnx: OUT/NAME/model.onnx, and links to everything else in it
 *
 * So whatever runs the original folders runs the written models too. What cannot be read or written is said, one line each: "NAME: sentence". Exit status
 * 0 unless OUT cannot be written at all.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend.h"
#include "pass.h"

/* Every entry of `from` but the model, as a link in `to`. */
static void link_others(Arena *a, const char *from, const char *to)
{
    char *whole = realpath(from, NULL);
    DIR *d = opendir(from);
    for (struct dirent *f; d && whole && (f = readdir(d));)
        if (f->d_name[0] != '.' && strcmp(f->d_name, "model.onnx"))
            (void)!symlink(arena_printf(a, "%s/%s", whole, f->d_name), arena_printf(a, "%s/%s", to, f->d_name));
    if (d)
        closedir(d);
    free(whole);
}

static void first_sentence(const char *name, const char *said)
{
    const char *s = said ? said : "failed";
    printf("%s: %.*s\n", name, (int)strcspn(s, "\n"), s);
}

/* True: written. */
static bool reexport(const char *out, const char *dir, const char *passes)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, NULL);
    const char *slash = strrchr(dir, '/'), *name = slash ? slash + 1 : dir, *to = arena_printf(a, "%s/%s", out, name);
    PassOptions opt = PASS_OPTIONS_DEFAULT;
    opt.pipeline = passes;
    mkdir(to, 0777);
    Module *m = onnx_import(a, &d, arena_printf(a, "%s/model.onnx", dir), NULL);
    bool ok = m && (!passes || passes_run(m, &opt)) && onnx_export(m, arena_printf(a, "%s/model.onnx", to));
    if (ok)
        link_others(a, dir, to);
    else {
        first_sentence(name, d.first);
        rmdir(to);
    }
    arena_free(a);
    return ok;
}

int main(int argc, char **argv)
{
    int first = argc > 2 && !strcmp(argv[1], "--passes") ? 3 : 1, n = 0;
    if (argc < first + 2)
        return 2;
    mkdir(argv[first], 0777);
    for (int i = first + 1; i < argc; i++)
        n += reexport(argv[first], argv[i], first == 3 ? argv[2] : NULL);
    printf("%d of %d written\n", n, argc - first - 1);
    return access(argv[first], W_OK) != 0;
}
