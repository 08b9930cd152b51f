/* fuzz_text.c -- any text is read or refused with a sentence; what is read prints, parses back to an equal module, and prints the same again.
 *
 * With libFuzzer (CMake -DINGOT_FUZZ=ON, clang): fuzz_text -max_len=4096 DIR. Without: fuzz_text FILE-OR-DIR... replays files, as ctest does.
 * The first 4096 bytes of the input also serve as the blob, so that @blob has something to point at.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "text.h"

static void must(bool ok, const char *what, const char *text)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n%s\n", what, text);
    abort();
}

static void check_round_trip(Arena *a, Diag *d, Module *m)
{
    BlobMemory blob, blob2;
    blob_memory_init(&blob, a);
    blob_memory_init(&blob2, a);
    const char *text = module_print(m, a, &blob.sink);
    Module *again = module_parse(a, d, "printed", text, blob.data, blob.bytes);
    must(again, d->all, text);
    const char *difference = module_difference(a, m, again);
    must(!difference, difference, text);
    const char *text2 = module_print(again, a, &blob2.sink);
    must(!strcmp(text, text2), text2, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, NULL);
    size_t blob_bytes = size < 4096 ? size : 4096;
    const char *text = arena_strn(a, (const char *)data, size);
    const void *blob = arena_copy(a, data, blob_bytes);
    Module *m = module_parse(a, &d, "fuzz.irt", text, blob, blob_bytes);
    if (m)
        check_round_trip(a, &d, m);
    else
        must(d.errors > 0, "refused without a sentence", text);
    arena_free(a);
    return 0;
}
