/* compile.c -- from a planned module to a file; compile_module is the whole of codegen in order.
 *
 *      gen_module -> optimise -> model.o ---+
 *      weights --------------> weights.o ---+--> .so            (linked, nothing undefined)
 *      what model.o lacks ---> builtins.o --+--> .o, .a         (one relocatable object, everything local but the model's two symbols)
 *
 * Parts lie beside the output under temporary names and are always removed; the output gets its name when it is complete.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cg.h"
#include "gen.h"
#include "outfile.h"

OutputKind output_kind_of(const char *path, bool *ok)
{
    static const struct { const char *extension; OutputKind kind; } row[] = {
        { ".so", OUT_SO }, { ".o", OUT_OBJECT }, { ".a", OUT_ARCHIVE }, { ".s", OUT_ASSEMBLY }, { ".ll", OUT_LLVM },
    };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (dot && !strcmp(dot, row[i].extension)) {
            *ok = true;
            return row[i].kind;
        }
    *ok = false;
    return OUT_SO;
}

/* ---- phases ---- */

typedef struct Phases {
    bool print;
    struct timespec last;
} Phases;

static void phase_done(Phases *p, const char *name)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double ms = (double)(now.tv_sec - p->last.tv_sec) * 1e3 + (double)(now.tv_nsec - p->last.tv_nsec) / 1e6;
    if (p->print)
        fprintf(stderr, "%-20s %10.1f ms\n", name, ms);
    p->last = now;
}

/* ---- the parts of an output file ---- */

enum { PART_MODEL, PART_BUILTINS, PART_WEIGHTS, PART_JOINED, PART_COUNT };

typedef struct Parts {
    const char *path[PART_COUNT], *result;  /* temporary names */
    const char *object[PART_COUNT];         /* those to be linked */
    int nobject;
    const char *exports[2];
} Parts;

static Parts parts_new(Codegen *cg)
{
    static const char *const name[PART_COUNT] = { "model", "builtins", "weights", "joined" };
    Parts p = { .nobject = 0 };
    p.result = arena_printf(cg->arena, "%s.tmp%ld", cg->opt->output, (long)getpid());
    for (int i = 0; i < PART_COUNT; i++)
        p.path[i] = arena_printf(cg->arena, "%s.%s.o", p.result, name[i]);
    p.exports[0] = arena_printf(cg->arena, "%s_run", cg->m->name);
    p.exports[1] = arena_printf(cg->arena, "%s_ingot_model", cg->m->name);
    return p;
}

static void parts_remove(const Parts *p)
{
    for (int i = 0; i < PART_COUNT; i++)
        unlink(p->path[i]);
    unlink(p->result);
}

static bool write_objects(Codegen *cg, Parts *p, Phases *time)
{
    bool builtins;
    if (!backend_emit(cg, OUT_OBJECT, p->path[PART_MODEL]))
        return false;
    p->object[p->nobject++] = p->path[PART_MODEL];
    phase_done(time, "machine code");
    if (!bitcode_builtins(cg, p->path[PART_MODEL], p->path[PART_BUILTINS], &builtins))
        return false;
    if (builtins)
        p->object[p->nobject++] = p->path[PART_BUILTINS];
    if (LLVMGetNamedGlobal(cg->mod, cg_weights_symbol(cg))) {
        if (!weights_write_object(cg->weights, &cg->target, cg_weights_symbol(cg), p->path[PART_WEIGHTS], cg->m->diag))
            return false;
        p->object[p->nobject++] = p->path[PART_WEIGHTS];
    }
    phase_done(time, "weights");
    return true;
}

static bool rename_result(Codegen *cg, const Parts *p)
{
    if (!rename(p->result, cg->opt->output))
        return true;
    return diag_error(cg->m->diag, (Loc){ .file = cg->opt->output }, "cannot be written: %s", strerror(errno));
}

static bool join(Codegen *cg, const Parts *p, const char *to)
{
    Diag *d = cg->m->diag;
    return link_relocatable(&cg->target, p->nobject, p->object, to, d) && object_hide_symbols(cg->arena, to, 2, p->exports, d);
}

static bool write_output(Codegen *cg, const Parts *p)
{
    Diag *d = cg->m->diag;
    switch (cg->opt->kind) {
    case OUT_SO:
        return link_shared(&cg->target, p->nobject, p->object, p->exports, 2, p->result, d) && rename_result(cg, p);
    case OUT_OBJECT:
        return join(cg, p, p->result) && rename_result(cg, p);
    default:
        return join(cg, p, p->path[PART_JOINED]) && archive_write(1, &p->path[PART_JOINED], 2, p->exports, cg->opt->output, d);
    }
}

static bool write_machine_code(Codegen *cg, Phases *time)
{
    Parts p = parts_new(cg);
    bool ok = write_objects(cg, &p, time) && write_output(cg, &p);
    parts_remove(&p);
    phase_done(time, "link");
    return ok;
}

/* ---- everything ---- */

static bool write_files(Codegen *cg, Phases *time)
{
    const CompileOptions *opt = cg->opt;
    bool text = opt->kind == OUT_ASSEMBLY || opt->kind == OUT_LLVM;
    if (!(text ? backend_emit(cg, opt->kind, opt->output) : write_machine_code(cg, time)))
        return false;
    if (!opt->header || header_write(cg->m, &cg->target, opt->header))
        return true;
    unlink(opt->output);
    return false;
}

static bool generate(Codegen *cg, Phases *time)
{
    bool ok = backend_open(cg) && gen_module(cg);
    phase_done(time, "generate");
    ok = ok && backend_optimize(cg);
    phase_done(time, "optimise");
    return ok;
}

/* A folder that is missing or closed is noticed before the work. */
static bool can_write(Diag *d, const char *path)
{
    OutFile o;
    if (!outfile_open(&o, d, path))
        return false;
    outfile_abandon(&o);
    return true;
}

bool compile_module(Module *m, const CompileOptions *opt)
{
    Codegen cg = { .arena = m->arena, .m = m, .opt = opt, .weights = weights_new(m->arena) };
    Phases time = { .print = opt->time };
    clock_gettime(CLOCK_MONOTONIC, &time.last);
    if (!can_write(m->diag, opt->output) || !target_resolve(m->arena, m->diag, opt->target, opt->cpu, &cg.target))
        return false;
    bool ok = generate(&cg, &time) && write_files(&cg, &time);
    backend_close(&cg);
    return ok;
}
