/* test_roundtrip.c -- parse(print(m)) == m on models: as imported, and after every pass of the -O2 pipeline, so at every stage there is.
 *
 *   test_roundtrip                    every SHARED/models/<name>/model.onnx (skips without the folder)
 *   test_roundtrip MODEL.onnx...      these
 * What the importer refuses is not this test's matter and is only counted.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend.h"
#include "pass.h"
#include "text.h"

enum { SKIPPED = 77, IMPORTED = 1, REFUSED = 0, BROKEN = -1 };

static bool say(const char *path, const char *stage, const char *what)
{
    printf("%s, %s: %s\n", path, stage, what);
    return false;
}

static bool round_trips(Module *m, Arena *a, const char *path, const char *stage)
{
    BlobMemory blob, blob2;
    Diag d;
    diag_init(&d, a, NULL);
    blob_memory_init(&blob, a);
    blob_memory_init(&blob2, a);
    const char *text = module_print(m, a, &blob.sink);
    Module *again = module_parse(a, &d, "printed", text, blob.data, blob.bytes);
    if (!again)
        return say(path, stage, d.all);
    const char *difference = module_difference(a, m, again);
    if (difference)
        return say(path, stage, difference);
    const char *text2 = module_print(again, a, &blob2.sink);
    size_t same = 0;
    while (text[same] && text[same] == text2[same])
        same++;
    return !text[same] || say(path, stage, arena_printf(a, "the second print differs at ...%.80s\n   and ...%.80s", text + (same > 40 ? same - 40 : 0), text2 + (same > 40 ? same - 40 : 0)));
}

static bool round_trips_in_scratch(Module *m, const char *path, const char *stage)
{
    Arena *scratch = arena_new();
    bool ok = round_trips(m, scratch, path, stage);
    arena_free(scratch);
    return ok;
}

static int check_model(Arena *a, const char *path)
{
    Diag d;
    diag_init(&d, a, NULL);
    Module *m = onnx_import(a, &d, path, &(ImportOptions){ 0 });
    if (!m)
        return REFUSED;
    graph_renumber(m->graph);
    if (!round_trips_in_scratch(m, path, "imported"))
        return BROKEN;
    for (const char *s = passes_pipeline(2); *s; s += strcspn(s, ",") + (s[strcspn(s, ",")] == ',')) {
        const char *pass = arena_strn(a, s, strcspn(s, ","));
        if (!pass_run(m, pass))
            return say(path, pass, d.all) ? REFUSED : BROKEN;
        if (!round_trips_in_scratch(m, path, pass))
            return BROKEN;
    }
    return IMPORTED;
}

int main(int argc, char **argv)
{
    int count[3] = { 0 };
    glob_t found = { 0 };
    if (argc < 2) {
        const char *shared = getenv("SHARED");
        char pattern[4096];
        snprintf(pattern, sizeof pattern, "%s/models/*/model.onnx", shared ? shared : SOURCE_DIR "/../shared");
        if (glob(pattern, 0, NULL, &found)) {
            printf("no models at %s\n", pattern);
            return SKIPPED;
        }
    }
    char **path = argc < 2 ? found.gl_pathv : argv + 1;
    int n = argc < 2 ? (int)found.gl_pathc : argc - 1;
    for (int i = 0; i < n; i++) {
        Arena *a = arena_new();
        count[1 + check_model(a, path[i])]++;
        arena_free(a);
    }
    globfree(&found);
    printf("%d models round-trip, %d are not imported, %d fail\n", count[2], count[1], count[0]);
    return count[0] > 0 || count[2] == 0;
}
