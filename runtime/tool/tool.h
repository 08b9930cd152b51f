/* tool.h -- run, bench, inspect as functions: the body of ingot-run, and what `ingot` hands a compiled model to.
 *
 * Every tool_* command prints its result on stdout and problems as one sentence on stderr, and returns the exit status: 0 fine, 1 a problem.
 */
#ifndef INGOT_TOOL_H
#define INGOT_TOOL_H

#include <stdio.h>

#include "ingot.h"
#include "options.h"
#include "samples.h"

/* Something that runs: a compiled model, (in the driver) the evaluator, (in bench/) another program's model. ports: only what describes inputs, outputs and symbols is used. */
typedef struct ToolModel {
    const char *name;               /* as the user called it */
    const ingot_model *ports;
    int (*run)(void *self, const ingot_tensor *in, ingot_tensor *out, ingot_error *err);
    void (*after)(void *self);      /* NULL, or called when a run is over, outside of what is timed */
    void *self;
} ToolModel;

/* Inputs from files and, for the rest, from a generator. */
typedef struct FeedOptions {
    TextList input, dim;            /* NAME=F.npy, NAME=N */
} FeedOptions;
#define FEED_OPTIONS(o) \
    { "input", 0, OPT_LIST, "NAME=F.npy", "read an input (others are filled with pseudo-random numbers)", &(o).input }, \
    { "dim", 0, OPT_LIST, "NAME=N", "size of a symbolic dimension of inputs that are not given (default 1)", &(o).dim }

typedef struct RunOptions {
    FeedOptions feed;
    int64_t threads;
    const char *output;             /* folder, made if it is missing; NULL: print a summary */
} RunOptions;
#define THREADS_OPTION(o) { "threads", 0, OPT_INT, "N", "threads to run on (default 1; 0: one per CPU)", &(o).threads }
#define RUN_OPTIONS(o) \
    FEED_OPTIONS((o).feed), THREADS_OPTION(o), \
    { "output", 0, OPT_TEXT, "DIR", "write every output to DIR/NAME.npy (strings: NAME.json)", &(o).output }

typedef struct BenchOptions {
    FeedOptions feed;
    int64_t threads, runs, warmup;  /* runs, warmup: 0 chooses by time */
    bool json;
} BenchOptions;
#define BENCH_OPTIONS(o) \
    FEED_OPTIONS((o).feed), THREADS_OPTION(o), \
    { "runs", 0, OPT_INT, "N", "timed runs (default: half a second's worth)", &(o).runs }, \
    { "warmup", 0, OPT_INT, "N", "runs before the timed ones (default: 5 or more)", &(o).warmup }, \
    { "json", 0, OPT_FLAG, NULL, "print one line of JSON", &(o).json }

typedef struct EvalOptions {
    SamplesOptions samples;
    const char *labels;             /* .npy: class numbers */
    int64_t threads;
    bool json;
} EvalOptions;
#define EVAL_DEFAULT { .samples = SAMPLES_DEFAULT, .threads = 1 }
#define EVAL_OPTIONS(o) \
    { "data", 0, OPT_TEXT, "DATA", "samples: F.npy, F.npz, or a folder of them or of images", &(o).samples.path }, \
    { "labels", 0, OPT_TEXT, "F.npy", "class numbers, one per sample or one per place of it", &(o).labels }, \
    { "samples", 0, OPT_INT, "N", "use the first N samples (default: all)", &(o).samples.limit }, \
    SAMPLES_FORM_OPTIONS((o).samples), THREADS_OPTION(o), { "json", 0, OPT_FLAG, NULL, "print one line of JSON", &(o).json }

/* A compiled model that is open and ready to run. */
typedef struct ToolSession {
    ingot_file *file;
    ingot_context *context;
    ToolModel model;
} ToolSession;

/* The decoder that this program was linked with, or NULL. */
ingot_image_decoder tool_image_decoder(void);
bool tool_open(const char *path, const char *name, int64_t threads, ToolSession *s);
void tool_close(ToolSession *s);

/* Fill t[n_inputs] from files and the generator; reports. Data is the caller's: tool_unfeed. */
bool tool_feed(const ingot_model *ports, const FeedOptions *o, ingot_tensor *t);
void tool_unfeed(const ingot_model *ports, ingot_tensor *t);

int tool_run(const ToolModel *m, const RunOptions *o);
int tool_run_file(const char *path, const RunOptions *o);
/* Feed the model, warm it up, time it, print the result. load_ms: what opening it took; o->threads: not 0. */
int tool_bench(const ToolModel *m, double load_ms, const BenchOptions *o);
/* name: what the result calls the model (path may be a temporary file). */
int tool_bench_file(const char *path, const char *name, const BenchOptions *o);
/* Run a classifier on every sample, print how often the largest score (one of the five largest) is the label's; of a model with a score per place of a
 * sample, such as a language model, also the mean of -log(probability of the label). */
int tool_eval(const ToolModel *m, const EvalOptions *o);
int tool_eval_file(const char *path, const char *name, const EvalOptions *o);
/* Inputs, outputs and symbols: lines of text, or members of a JSON object without its braces. */
void tool_inspect_ports(const ingot_model *m, bool json);
int tool_inspect_file(const char *path, bool json);

/* scratchdir.c: a fresh folder in $TMPDIR. make reports and returns false on failure. remove deletes what is in it, then the folder. */
typedef struct ScratchDir {
    char path[512];
} ScratchDir;
bool scratchdir_make(ScratchDir *s);
void scratchdir_remove(ScratchDir *s);

/* "error: sentence" on stderr; returns 1. */
int tool_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Whether a file is a compiled model: by its name, else by its first bytes. */
bool tool_is_compiled(const char *path);
/* ".npy", ".json" for strings, "" for a sequence, optional or map, which is a folder of its items 0.npy, 1.npy... */
const char *tool_extension(const ingot_port *p);
/* A tensor as a file, or a container as a folder. What was read is the caller's: tool_value_free. */
int tool_value_write(const char *path, const ingot_tensor *t, ingot_error *err);
int tool_value_read(const char *path, const ingot_port *p, ingot_tensor *t, ingot_error *err);
void tool_value_free(ingot_tensor *t);
/* File name of a tensor: what is not in [A-Za-z0-9_.-] becomes '_', then the extension. */
void tool_tensor_file(const char *folder, const ingot_port *p, char *path, size_t bytes);

#endif
