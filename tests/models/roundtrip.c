/* roundtrip.c -- parse(print(g)) == g for a model file as imported and after every pass of every -O level.
 *
 *   roundtrip MODEL.onnx...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend.h"
#include "pass.h"
#include "text.h"

typedef struct Trip {
    const char *file;
    int stages, failures;
} Trip;

static void check(void *ctx, Module *m, const char *stage)
{
    Trip *t = ctx;
    Arena *a = arena_new();
    BlobMemory blob;
    Diag d;
    diag_init(&d, a, stderr);
    blob_memory_init(&blob, a);
    const char *text = module_print(m, a, &blob.sink);
    Module *again = module_parse(a, &d, t->file, text, blob.data, blob.bytes);
    t->stages++;
    if (!again || !module_equal(m, again)) {
        printf("%s: after %s: the text does not parse back to the same graph\n", t->file, stage);
        t->failures++;
    }
    arena_free(a);
}

static bool trip(Trip *t, int level)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, stderr);
    Module *m = onnx_import(a, &d, t->file, NULL);
    PassOptions opt = PASS_OPTIONS_DEFAULT;
    opt.level = level;
    opt.verify = true;
    opt.after = check;
    opt.after_ctx = t;
    if (m)
        check(t, m, "import");
    bool ok = m && passes_run(m, &opt);
    arena_free(a);
    return ok;
}

int main(int argc, char **argv)
{
    int failures = 0, stages = 0;
    for (int i = 1; i < argc; i++)
        for (int level = 0; level <= 2; level++) {
            Trip t = { .file = argv[i] };
            if (!trip(&t, level))
                printf("%s: refused\n", argv[i]);
            failures += t.failures;
            stages += t.stages;
        }
    printf("%d stages, %d failures\n", stages, failures);
    return failures || !stages;
}
