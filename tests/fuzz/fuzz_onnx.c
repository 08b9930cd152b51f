/* fuzz_onnx.c -- any bytes are imported as an ONNX model or refused with a sentence; what is imported satisfies the verifier.
 *
 * Built and replayed as fuzz_text.c says.
 */
#include <stdlib.h>

#include "frontend.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, NULL);
    Module *m = onnx_import_memory(a, &d, "fuzz-without-folder/model.onnx", data, size, NULL);
    if (m ? !graph_verify(m->graph) : !d.errors) {
        fprintf(stderr, "%s\n%s", m ? "the imported graph breaks an invariant" : "refused without a sentence", d.all);
        abort();
    }
    arena_free(a);
    return 0;
}
