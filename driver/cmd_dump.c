/* cmd_dump.c -- ingot dump: the graph, as imported or after a pass, as a picture, as textual IR or as ONNX again. */
#include <stdio.h>
#include <string.h>

#include "dot.h"
#include "driver.h"
#include "frontend.h"
#include "text.h"

/* Without -o: the text on stdout; large constants are then only named. */
static bool print_text(Module *m)
{
    BlobMemory blob;
    blob_memory_init(&blob, m->arena);
    const char *text = module_print(m, m->arena, &blob.sink);
    return text && fputs(text, stdout) >= 0;
}

static bool write_module(Module *m, const char *path)
{
    if (!path)
        return print_text(m);
    if (path_ends_in(path, ".onnx"))
        return onnx_export(m, path);
    return path_ends_in(path, ".irt") ? module_write_file(m, path) : module_dot(m, path, NULL);
}

int cmd_dump(int argc, char **argv)
{
    const Command c = { "ingot", "dump", "MODEL(.onnx|.irt)", "Write a model's graph, as read or after a pass.", 1, 1 };
    BuildOptions b = BUILD_DEFAULT;
    const char *output = NULL, *after = NULL;
    Operands model;
    const Option table[] = {
        { "output", 'o', OPT_TEXT, "F", "file to write: .onnx, .dot, .svg, .png, .pdf or .irt (default: text on stdout)", &output },
        { "after", 0, OPT_TEXT, "PASS", "run the passes up to this one first", &after },
        { "dim", 0, OPT_LIST, "NAME=N", "fix a symbolic dimension", &b.dim },
        TARGET_OPTIONS(b), IMPORT_OPTIONS(b), PASS_OPTIONS(b), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status < 0 && after)
        b.stop_after = after;
    if (status < 0)
        status = pipeline_check(&c, &b);
    if (status >= 0)
        return status;
    const char *const kinds[] = { ".onnx", ".irt", ".dot", ".svg", ".png", ".pdf" };
    bool known = !output;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        known |= output && path_ends_in(output, kinds[i]);
    if (!known)
        return options_misuse(&c, "'%s' ends in none of .onnx .dot .svg .png .pdf .irt", output);
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, stderr);
    Module *m = pipeline_import(a, &d, model.v[0], &b);
    bool passes = b.stop_after || b.passes || b.print_after || b.dot_after || b.time || b.trace;
    bool ok = m && (!passes || pipeline_optimize(m, &b, output ? output : model.v[0])) && write_module(m, output);
    arena_free(a);
    return !ok;
}
