/* bitcode.c -- the irregular kernels and the builtins (runtime/kernels), linked into a model as far as it uses them.
 *
 * Kernels: cg_kernel_function only declares k_<op>. bitcode_link then adds the files that define what is declared, until nothing is missing (kernels
 * use each other across files), gives their functions the model's CPU, and makes them internal: the optimiser inlines them or drops them.
 *
 * Builtins (memcpy, 64-bit division, half precision...): whether they are needed only shows when machine code is there, since LLVM's instruction
 * selection calls them unasked. So they become an object of their own, with exactly the functions that the model's object lacks.
 */
#include <string.h>

#include <llvm-c/BitReader.h>
#include <llvm-c/Error.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "bitcode.h"
#include "cg.h"
#include "outfile.h"

enum { MAX_FILES = 64, MAX_BUILTINS = 128 };

static bool is_builtins(const BitcodeFile *f) { return !strcmp(f->name, "builtins"); }

static bool fail(Codegen *cg, const char *fmt, const char *what)
{
    return diag_error(cg->m->diag, (Loc){ .file = cg->m->file }, fmt, what);
}

/* ---- reading ---- */

/* lazily: function bodies are read when the module is linked into another. The result must be linked or disposed of. */
static LLVMModuleRef open_file(Codegen *cg, const BitcodeFile *f, bool lazily)
{
    LLVMModuleRef mod;
    LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRange(f->data, (size_t)(f->end - f->data), f->name, false);
    bool failed = lazily ? LLVMGetBitcodeModuleInContext2(cg->llvm, buffer, &mod) : LLVMParseBitcodeInContext2(cg->llvm, buffer, &mod);
    if (failed || !lazily)          /* a lazy module owns its buffer */
        LLVMDisposeMemoryBuffer(buffer);
    if (failed) {
        fail(cg, "internal error: the bitcode of '%s' cannot be read", f->name);
        return NULL;
    }
    LLVMSetTarget(mod, LLVMGetTarget(cg->mod));
    LLVMSetDataLayout(mod, LLVMGetDataLayoutStr(cg->mod));
    return mod;
}

/* The model's CPU instead of the family's. */
static void retarget(Codegen *cg, LLVMModuleRef mod)
{
    const char *const own[] = { "target-cpu", "target-features", "tune-cpu", "min-legal-vector-width", "frame-pointer", "stack-protector-buffer-size" };
    for (LLVMValueRef fn = LLVMGetFirstFunction(mod); fn; fn = LLVMGetNextFunction(fn)) {
        if (LLVMIsDeclaration(fn))
            continue;
        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            LLVMRemoveStringAttributeAtIndex(fn, LLVMAttributeFunctionIndex, own[i], (unsigned)strlen(own[i]));
        cg_function_attributes(cg, fn);
    }
}

static bool defines(LLVMModuleRef mod, const char *name)
{
    LLVMValueRef fn = LLVMGetNamedFunction(mod, name);
    return fn && !LLVMIsDeclaration(fn);
}

/* ---- kernels ---- */

LLVMValueRef cg_kernel_function(Codegen *cg, const char *name)
{
    const BitcodeFile *f = bitcode_files;
    while (f->family && strcmp(f->family, cg->target.family))
        f++;
    if (!f->family)
        return NULL;
    LLVMValueRef fn = LLVMGetNamedFunction(cg->mod, name);
    return fn ? fn : LLVMAddFunction(cg->mod, name, LLVMFunctionType(cg->i32, &cg->ptr, 1, false));
}

static bool is_kernel_name(const char *name) { return !strncmp(name, "k_", 2); }

/* A kernel function that is declared and not defined yet. */
static const char *missing_kernel(Codegen *cg)
{
    size_t n;
    for (LLVMValueRef fn = LLVMGetFirstFunction(cg->mod); fn; fn = LLVMGetNextFunction(fn))
        if (LLVMIsDeclaration(fn) && LLVMGetFirstUse(fn) && is_kernel_name(LLVMGetValueName2(fn, &n)))
            return LLVMGetValueName2(fn, &n);
    return NULL;
}

static void make_kernels_internal(Codegen *cg)
{
    size_t n;
    for (LLVMValueRef fn = LLVMGetFirstFunction(cg->mod); fn; fn = LLVMGetNextFunction(fn))
        if (!LLVMIsDeclaration(fn) && is_kernel_name(LLVMGetValueName2(fn, &n)))
            LLVMSetLinkage(fn, LLVMInternalLinkage);
}

typedef struct Library {
    int n;
    LLVMModuleRef mod[MAX_FILES];   /* NULL once linked */
} Library;

static bool library_open(Codegen *cg, Library *lib)
{
    *lib = (Library){ 0 };
    for (const BitcodeFile *f = bitcode_files; f->family && lib->n < MAX_FILES; f++)
        if (!strcmp(f->family, cg->target.family) && !is_builtins(f) && !(lib->mod[lib->n++] = open_file(cg, f, true)))
            return false;
    return true;
}

static void library_close(Library *lib)
{
    for (int i = 0; i < lib->n; i++)
        if (lib->mod[i])
            LLVMDisposeModule(lib->mod[i]);
}

static bool link_kernel(Codegen *cg, Library *lib, const char *name)
{
    for (int i = 0; i < lib->n; i++) {
        LLVMModuleRef mod = lib->mod[i];
        if (!mod || !defines(mod, name))
            continue;
        retarget(cg, mod);
        lib->mod[i] = NULL;
        return !LLVMLinkModules2(cg->mod, mod) || fail(cg, "internal error: the bitcode that defines '%s' cannot be linked", name);
    }
    return fail(cg, "internal error: no bitcode defines '%s'", name);
}

bool bitcode_link(Codegen *cg)
{
    Library lib;
    const char *name = missing_kernel(cg);
    if (!name)
        return true;
    bool ok = library_open(cg, &lib);
    for (; ok && name; name = missing_kernel(cg))
        ok = link_kernel(cg, &lib, name);
    library_close(&lib);
    make_kernels_internal(cg);
    return ok;
}

/* ---- builtins ---- */

typedef struct Names {
    int n;
    const char *name[MAX_BUILTINS];
} Names;

static bool names_have(const Names *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->name[i], name))
            return true;
    return false;
}

/* Names that an object lacks are added; *more tells whether any was new. The linker itself provides the global offset table. */
static bool add_undefined(Codegen *cg, const char *object, Names *to, bool *more)
{
    int n;
    const char *const *name;
    if (!object_undefined(cg->arena, object, &n, &name, cg->m->diag))
        return false;
    *more = false;
    for (int i = 0; i < n; i++) {
        if (!strcmp(name[i], cg_weights_symbol(cg)) || !strcmp(name[i], "_GLOBAL_OFFSET_TABLE_") || names_have(to, name[i]))
            continue;
        if (to->n == MAX_BUILTINS)
            return fail(cg, "internal error: too many undefined symbols, such as '%s'", name[i]);
        to->name[to->n++] = name[i];
        *more = true;
    }
    return true;
}

/* Wanted functions stay visible to the linker, the others only as far as those use them. */
static bool choose(Codegen *cg, LLVMModuleRef mod, const Names *wanted)
{
    size_t n;
    for (int i = 0; i < wanted->n; i++)
        if (!defines(mod, wanted->name[i]))
            return fail(cg, "internal error: generated code calls '%s', which is no builtin", wanted->name[i]);
    for (LLVMValueRef fn = LLVMGetFirstFunction(mod); fn; fn = LLVMGetNextFunction(fn))
        if (!LLVMIsDeclaration(fn) && !names_have(wanted, LLVMGetValueName2(fn, &n)))
            LLVMSetLinkage(fn, LLVMInternalLinkage);
    return true;
}

static bool emit_builtins(Codegen *cg, const BitcodeFile *f, const Names *wanted, const char *path)
{
    LLVMModuleRef mod = open_file(cg, f, false), model = cg->mod;
    if (!mod)
        return false;
    retarget(cg, mod);
    bool ok = choose(cg, mod, wanted);
    if (ok) {
        LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
        LLVMErrorRef e = LLVMRunPasses(mod, "default<O2>", cg->machine, o);
        LLVMDisposePassBuilderOptions(o);
        LLVMConsumeError(e);
        cg->mod = mod;
        ok = backend_emit(cg, OUT_OBJECT, path);
        cg->mod = model;
    }
    LLVMDisposeModule(mod);
    return ok;
}

bool bitcode_builtins(Codegen *cg, const char *object, const char *path, bool *needed)
{
    Names wanted = { 0 };
    bool more;
    if (!add_undefined(cg, object, &wanted, &more))
        return false;
    *needed = more;
    const BitcodeFile *f = bitcode_files;
    while (f->family && (strcmp(f->family, cg->target.family) || !is_builtins(f)))
        f++;
    if (more && !f->family)
        return fail(cg, "this compiler was built without builtins for %s", cg->target.family);
    while (more)                    /* builtins may need builtins */
        if (!emit_builtins(cg, f, &wanted, path) || !add_undefined(cg, path, &wanted, &more))
            return false;
    return true;
}
