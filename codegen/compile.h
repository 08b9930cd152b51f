/* compile.h -- the public face of codegen: a planned module in, a file out. */
#ifndef INGOT_COMPILE_H
#define INGOT_COMPILE_H

#include "ir.h"

typedef enum OutputKind { OUT_SO, OUT_OBJECT, OUT_ARCHIVE, OUT_ASSEMBLY, OUT_LLVM } OutputKind;

/* What an instrumented model launches, in program order: the kernels and irregular operators, each once, branches of `if` one after the other. */
typedef struct Launch {
    const Node *node;
    const char *kernel;             /* the function that computes it */
} Launch;
typedef struct Profile {
    int n, room;
    Launch *launch;                 /* in the module's arena */
} Profile;

typedef struct CompileOptions {
    const char *output;             /* path; written to a temporary name and renamed when complete */
    OutputKind kind;
    const char *header;             /* path of the C header to write, or NULL */
    const char *target;             /* triple or an alias of targets.def; NULL: this machine */
    const char *cpu;                /* LLVM cpu name; NULL: this machine's, or the triple's baseline */
    int opt_level;                  /* LLVM's pipeline, 0..3 */
    bool time;                      /* print phase times on stderr */
    Profile *profile;               /* NULL; else filled in, and the code says what it is about to do: before launch number i it calls
                                       parallel_for(pool, NULL, NULL, i), and with i = n after the last. parallel_for is then required. */
} CompileOptions;

/* What target this is, before passes run: they ask for vector width and register count. Fills in defaults, checks names; reports. */
typedef struct TargetInfo {
    const char *triple, *cpu, *features;
    int vector_bytes;               /* widest vector register used for f32 */
    int vector_registers;
    bool has_fma, is_host, is_64bit;
    const char *family;             /* bitcode family: x86_64 aarch64 armv7 riscv64 ... */
    const char *required_features;  /* comma-separated, for the loader to check: what code for this cpu may use */
} TargetInfo;

bool target_resolve(Arena *a, Diag *d, const char *target, const char *cpu, TargetInfo *out);
void targets_print(FILE *out);      /* for `ingot targets` */
bool compile_module(Module *m, const CompileOptions *opt);
OutputKind output_kind_of(const char *path, bool *ok);      /* from the extension */

#endif
