/* backend.c -- LLVM around the generators: context, module and target machine; function attributes; verification, optimisation, output.
 *
 * Code is position-independent, without unwind tables, frame pointers or calls that the optimiser invents ("no-builtins"): what instruction
 * selection still calls (memcpy, division of 64-bit numbers on 32-bit machines) is added from builtins.c, see bitcode.c and compile.c.
 *
 * LLVM reports through two doors. Diagnostics end in cg->error. A fatal error ends the process with status 1 after a sentence, so output files are
 * only opened when LLVM is done: machine code passes through memory.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "cg.h"
#include "outfile.h"

static void say_fatal(const char *reason)
{
    fprintf(stderr, "error: internal error: LLVM gave up: %s\n", reason);
}

static void keep_error(LLVMDiagnosticInfoRef info, void *ctx)
{
    Codegen *cg = ctx;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError || cg->error)
        return;
    char *text = LLVMGetDiagInfoDescription(info);
    cg->error = arena_str(cg->arena, text);
    LLVMDisposeMessage(text);
}

static bool internal_error(Codegen *cg, const char *what, const char *why)
{
    return diag_error(cg->m->diag, (Loc){ .file = cg->m->file }, "internal error: %s: %s", what, why);
}

/* ---- opening ---- */

static void set_types(Codegen *cg)
{
    LLVMContextRef c = cg->llvm;
    cg->void_t = LLVMVoidTypeInContext(c);
    cg->i1 = LLVMInt1TypeInContext(c);
    cg->i8 = LLVMInt8TypeInContext(c);
    cg->i16 = LLVMInt16TypeInContext(c);
    cg->i32 = LLVMInt32TypeInContext(c);
    cg->i64 = LLVMInt64TypeInContext(c);
    cg->f16 = LLVMHalfTypeInContext(c);
    cg->f32 = LLVMFloatTypeInContext(c);
    cg->f64 = LLVMDoubleTypeInContext(c);
    cg->ptr = LLVMPointerTypeInContext(c, 0);
    cg->kernel_type = LLVMFunctionType(cg->void_t, (LLVMTypeRef[]){ cg->ptr, cg->i64, cg->i64 }, 3, false);
}

static bool open_machine(Codegen *cg)
{
    LLVMTargetRef target;
    char *why = NULL;
    if (LLVMGetTargetFromTriple(cg->target.triple, &target, &why)) {
        internal_error(cg, cg->target.triple, why);
        LLVMDisposeMessage(why);
        return false;
    }
    const LLVMCodeGenOptLevel level[] = { LLVMCodeGenLevelLess, LLVMCodeGenLevelLess, LLVMCodeGenLevelDefault, LLVMCodeGenLevelAggressive };
    LLVMTargetMachineOptionsRef o = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(o, cg->target.cpu);
    LLVMTargetMachineOptionsSetFeatures(o, cg->target.features);
    LLVMTargetMachineOptionsSetABI(o, target_family(&cg->target)->abi);
    LLVMTargetMachineOptionsSetCodeGenOptLevel(o, level[cg->opt->opt_level & 3]);
    LLVMTargetMachineOptionsSetRelocMode(o, LLVMRelocPIC);
    cg->machine = LLVMCreateTargetMachineWithOptions(target, cg->target.triple, o);
    LLVMDisposeTargetMachineOptions(o);
    return cg->machine || internal_error(cg, cg->target.triple, "LLVM has no code generator for it");
}

static void set_module_abi(Codegen *cg)
{
    const char *abi = target_family(&cg->target)->abi;
    LLVMMetadataRef text = LLVMMDStringInContext2(cg->llvm, abi, strlen(abi));
    if (*abi)
        LLVMAddModuleFlag(cg->mod, LLVMModuleFlagBehaviorError, "target-abi", strlen("target-abi"), text);
}

bool backend_open(Codegen *cg)
{
    LLVMInstallFatalErrorHandler(say_fatal);
    cg->llvm = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(cg->llvm, keep_error, cg);
    cg->b = LLVMCreateBuilderInContext(cg->llvm);
    cg->mod = LLVMModuleCreateWithNameInContext(cg->m->name, cg->llvm);
    set_types(cg);
    if (!open_machine(cg))
        return false;
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(cg->machine);
    LLVMSetModuleDataLayout(cg->mod, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(cg->mod, cg->target.triple);
    set_module_abi(cg);
    return true;
}

void backend_close(Codegen *cg)
{
    if (cg->machine)
        LLVMDisposeTargetMachine(cg->machine);
    if (cg->b)
        LLVMDisposeBuilder(cg->b);
    if (cg->mod)
        LLVMDisposeModule(cg->mod);
    if (cg->llvm)
        LLVMContextDispose(cg->llvm);
    LLVMResetFatalErrorHandler();
    cg->machine = NULL, cg->b = NULL, cg->mod = NULL, cg->llvm = NULL;
}

/* ---- function attributes ---- */

static void add_text_attribute(Codegen *cg, LLVMValueRef fn, const char *key, const char *value)
{
    LLVMAttributeRef a = LLVMCreateStringAttribute(cg->llvm, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

void cg_function_attributes(Codegen *cg, LLVMValueRef fn)
{
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", strlen("nounwind"));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(cg->llvm, nounwind, 0));
    add_text_attribute(cg, fn, "target-cpu", cg->target.cpu);
    add_text_attribute(cg, fn, "target-features", cg->target.features);
    add_text_attribute(cg, fn, "no-builtins", "");
    add_text_attribute(cg, fn, "no-trapping-math", "true");
    if (cg->target.vector_bytes == 64) {                    /* LLVM itself would rather use half of it */
        add_text_attribute(cg, fn, "prefer-vector-width", "512");
        add_text_attribute(cg, fn, "min-legal-vector-width", "512");
    }
}

/* ---- optimising ---- */

/* An invalid module is a bug of ours: keep it beside the output for whoever mends it. */
static bool verify(Codegen *cg)
{
    char *why = NULL;
    if (!LLVMVerifyModule(cg->mod, LLVMReturnStatusAction, &why)) {
        LLVMDisposeMessage(why);
        return true;
    }
    const char *kept = arena_printf(cg->arena, "%s.internal-error.ll", cg->opt->output);
    char *no_file = NULL;
    if (LLVMPrintModuleToFile(cg->mod, kept, &no_file))
        kept = "(not written)";
    LLVMDisposeMessage(no_file);
    internal_error(cg, arena_printf(cg->arena, "generated code is invalid, see %s", kept), why);
    LLVMDisposeMessage(why);
    return false;
}

static bool run_passes(Codegen *cg)
{
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMPassBuilderOptionsSetLoopVectorization(o, cg->opt->opt_level >= 2);
    LLVMPassBuilderOptionsSetSLPVectorization(o, false);            /* generated code is vectors already */
    LLVMPassBuilderOptionsSetLoopInterleaving(o, cg->opt->opt_level >= 3);
    const char *pipeline = arena_printf(cg->arena, "default<O%d>", cg->opt->opt_level & 3);
    LLVMErrorRef e = LLVMRunPasses(cg->mod, pipeline, cg->machine, o);
    LLVMDisposePassBuilderOptions(o);
    if (!e)
        return true;
    char *why = LLVMGetErrorMessage(e);
    internal_error(cg, pipeline, why);
    LLVMDisposeErrorMessage(why);
    return false;
}

bool backend_optimize(Codegen *cg)
{
    if (!bitcode_link(cg) || !verify(cg) || !run_passes(cg))
        return false;
    return !cg->error || internal_error(cg, "code generation", cg->error);
}

/* ---- output ---- */

static bool write_file(Codegen *cg, const char *path, const void *data, size_t bytes)
{
    OutFile o;
    if (!outfile_open(&o, cg->m->diag, path))
        return false;
    fwrite(data, 1, bytes, o.f);
    return outfile_commit(&o);
}

static bool emit_text(Codegen *cg, const char *path)
{
    char *text = LLVMPrintModuleToString(cg->mod);
    bool ok = write_file(cg, path, text, strlen(text));
    LLVMDisposeMessage(text);
    return ok;
}

static bool emit_machine_code(Codegen *cg, LLVMCodeGenFileType type, const char *path)
{
    LLVMMemoryBufferRef buffer = NULL;
    char *why = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(cg->machine, cg->mod, type, &why, &buffer)) {
        internal_error(cg, "code generation", why);
        LLVMDisposeMessage(why);
        return false;
    }
    bool ok = !cg->error || internal_error(cg, "code generation", cg->error);
    ok = ok && write_file(cg, path, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
    LLVMDisposeMemoryBuffer(buffer);
    return ok;
}

bool backend_emit(Codegen *cg, OutputKind kind, const char *path)
{
    if (kind == OUT_LLVM)
        return emit_text(cg, path);
    return emit_machine_code(cg, kind == OUT_ASSEMBLY ? LLVMAssemblyFile : LLVMObjectFile, path);
}
