/* driver.h -- shared by the subcommands of `ingot`.
 *
 * A subcommand is `int cmd_<name>(int argc, char **argv)`: argv[0] is its name; it returns the exit status (0 fine, 1 a problem with the model
 * or data, 2 wrong usage). Its options are one table (options.h), which also prints --help.
 */
#ifndef INGOT_DRIVER_H
#define INGOT_DRIVER_H

#include "compile.h"
#include "describe.h"
#include "options.h"
#include "pass.h"
#include "tool.h"

#define SUBCOMMAND(name, summary) int cmd_##name(int argc, char **argv);
#include "subcommands.def"
#undef SUBCOMMAND

/* ---- pipeline.c: a model file becomes a module, passes run, code is written ---- */

typedef struct BuildOptions {
    TextList dim, overridable;
    const char *level, *target, *cpu;
    const char *passes, *stop_after, *print_after, *dot_after;
    bool time, trace, verify, fast_math;
    int64_t fuel;
    struct Choices *choices;        /* of --tune (tune.h), NULL: none */
    bool (*edit)(Module *m, void *ctx);     /* compression before the passes; reports; NULL: none */
    void *edit_ctx;
} BuildOptions;
#define BUILD_DEFAULT { .level = "2", .fuel = -1 }

#define IMPORT_OPTIONS(o) \
    { "overridable", 0, OPT_LIST, "NAME", "keep this initialiser as an input", &(o).overridable }, \
    { "fast-math", 0, OPT_FLAG, NULL, "cheaper, less exact elementwise functions of f32", &(o).fast_math }
#define TARGET_OPTIONS(o) \
    { "target", 0, OPT_TEXT, "TRIPLE", "machine to compile for (default: this one; see 'ingot targets')", &(o).target }, \
    { "cpu", 0, OPT_TEXT, "NAME", "CPU to compile for (default: this one, or the target's baseline)", &(o).cpu }
#define PASS_OPTIONS(o) \
    { "opt-level", 'O', OPT_TEXT, "0..3", "how hard to optimise (default 2)", &(o).level }, \
    { "passes", 0, OPT_TEXT, "A,B,...", "run these passes instead of the level's ('help' lists them)", &(o).passes }, \
    { "stop-after", 0, OPT_TEXT, "PASS", "skip the passes after this one", &(o).stop_after }, \
    { "print-after", 0, OPT_TEXT, "PASS|all", "print the graph after this pass on stderr", &(o).print_after }, \
    { "dot-after", 0, OPT_TEXT, "PASS|all", "write OUTPUT.PASS.dot after this pass", &(o).dot_after }, \
    { "time-passes", 0, OPT_FLAG, NULL, "print what each pass takes", &(o).time }, \
    { "trace", 0, OPT_FLAG, NULL, "print every rewrite", &(o).trace }, \
    { "verify", 0, OPT_FLAG, NULL, "check the graph after every pass", &(o).verify }, \
    { "fuel", 0, OPT_INT, "N", "stop rewriting after N rewrites", &(o).fuel }

/* Checks that options_parse cannot make (-O, pass names). Returns -1 to go on, 2 after a sentence, 0 after `--passes help`. */
int pipeline_check(const Command *c, const BuildOptions *o);
/* Read MODEL.onnx or MODEL.irt, to be compiled for o's target. NULL after reporting. */
Module *pipeline_import(Arena *a, Diag *d, const char *path, const BuildOptions *o);
/* Run the passes that o asks for; `output` names the files of --dot-after. */
bool pipeline_optimize(Module *m, const BuildOptions *o, const char *output);
/* Passes, then code. out's target, cpu, level... come from o. */
bool pipeline_module(Module *m, const BuildOptions *o, const CompileOptions *out);
/* All of it: path -> out->output. report (may be NULL) says what the passes did. */
typedef struct BuildReport {
    int64_t rewrites;               /* only counted if fuel was limited */
    char last_rewrite[64];
} BuildReport;
bool pipeline_file(const char *path, const BuildOptions *o, const CompileOptions *out, BuildReport *report);
bool path_ends_in(const char *path, const char *end);

/* The -o of a command that accepts these extensions, such as ".onnx .so .o": checks it and sets its kind. -1 to go on, 2 after a sentence. */
int pipeline_output(const Command *c, CompileOptions *out, const char *accepted);
#define NATIVE_OUTPUTS ".so .o .a .s .ll"
/* Write the module as the output's extension says: .onnx, .irt, or native code through pipeline_module. */
bool pipeline_write(Module *m, const BuildOptions *o, const CompileOptions *out);
/* Read a model, let edit(module, ctx) change it, write it. */
typedef bool PipelineEdit(Module *m, void *ctx);
bool pipeline_edit(const char *path, const BuildOptions *o, const CompileOptions *out, PipelineEdit *edit, void *ctx);

/* cmd_quantize.c: the PipelineEdit of quantisation; ctx: its QuantizeOptions. */
bool edit_quantize(Module *m, void *options);

/* ---- compare.c ---- */

/* Whether two tensors agree: dtype, shape, integers, booleans and strings exactly, floats as |got - want| <= atol + rtol * |want| (NaN equals NaN).
 * False: a sentence that starts with `name` in why. */
bool compare_tensors(const char *name, const Tensor *got, const Tensor *want, double rtol, double atol, char *why, size_t bytes);

/* The same for numbers drawn at random: dtype and shape; a range and a mean that samples of this size, drawn alike, would have. */
bool compare_samples(const char *name, const Tensor *got, const Tensor *want, char *why, size_t bytes);

/* Compile an .onnx to a temporary .so whose path goes to so; or report and return false with nothing left behind. */
bool pipeline_temporary(const char *model, const BuildOptions *o, ScratchDir *s, char *so, size_t bytes);

/* ---- evaluator.c: run a module with the evaluator ---- */

typedef struct Evaluator {
    Module *m;
    Arena *results;
} Evaluator;
/* As ToolModel.run; self is an Evaluator. Outputs live until its arena ends. */
int evaluator_run(void *self, const ingot_tensor *in, ingot_tensor *out, ingot_error *err);

#endif
