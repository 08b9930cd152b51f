/* test_output.c -- the files that codegen writes: the weights' object, shared objects, relocatable objects, archives and headers; and that a failure
 * leaves nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cg.h"
#include "pass.h"

typedef struct Fix {
    Arena *a;
    Diag d;
    char dir[256];
} Fix;

static int setup(void **state)
{
    Fix *f = calloc(1, sizeof *f);
    f->a = arena_new();
    diag_init(&f->d, f->a, NULL);
    snprintf(f->dir, sizeof f->dir, BINARY_DIR "/output-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    int left = system(arena_printf(f->a, "rm -rf %s", f->dir));
    arena_free(f->a);
    free(f);
    return left;
}

static const char *in_dir(Fix *f, const char *name)
{
    return arena_printf(f->a, "%s/%s", f->dir, name);
}

/* What a command prints; it must succeed. */
static const char *output_of(Fix *f, const char *command)
{
    const char *text = "";
    char line[1024];
    FILE *p = popen(arena_printf(f->a, "%s 2>&1", command), "r");
    assert_non_null(p);
    while (fgets(line, sizeof line, p))
        text = arena_printf(f->a, "%s%s", text, line);
    if (pclose(p))
        fail_msg("%s: %s", command, text);
    return text;
}

static void expect_in(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static void expect_not_in(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("'%s' is in:\n%s", part, text);
}

static const char *file_text(Fix *f, const char *path, size_t *bytes)
{
    struct stat st;
    FILE *in = fopen(path, "rb");
    if (!in || fstat(fileno(in), &st))
        fail_msg("%s: %s", path, strerror(errno));
    char *text = arena_alloc(f->a, (size_t)st.st_size + 1);
    *bytes = fread(text, 1, (size_t)st.st_size, in);
    assert_int_equal(*bytes, st.st_size);
    fclose(in);
    return text;
}

static void expect_same_file(Fix *f, const char *a, const char *b)
{
    size_t na, nb;
    const char *ta = file_text(f, a, &na), *tb = file_text(f, b, &nb);
    assert_int_equal(na, nb);
    assert_memory_equal(ta, tb, na);
}

static int files_in(Fix *f)
{
    int n = 0;
    DIR *d = opendir(f->dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static const char *const targets[] = { "x86_64", "aarch64", "armv7", "riscv64" };
enum { NTARGETS = sizeof targets / sizeof *targets };

/* ---- weights ---- */

static void write_reversed(const WeightEntry *e, void *to)
{
    const unsigned char *from = e->tensor->data;
    for (uint64_t i = 0; i < e->bytes; i++)
        ((unsigned char *)to)[i] = from[e->bytes - 1 - i];
}

static Tensor *bytes_tensor(Fix *f, int64_t n, int first)
{
    Tensor *t = tensor_new(f->a, DT_u8, 1, &n);
    for (int64_t i = 0; i < n; i++)
        tensor_set_f64(t, i, (double)((first + i) & 255));
    return t;
}

static void test_weights_are_shared(void **state)
{
    Fix *f = *state;
    Weights *w = weights_new(f->a);
    const Tensor *t = bytes_tensor(f, 100, 0), *same = bytes_tensor(f, 100, 0), *other = bytes_tensor(f, 100, 1);
    uint64_t at = weights_add_plain(w, t);
    assert_int_equal(weights_add_plain(w, t), at);
    assert_int_equal(weights_add_plain(w, same), at);
    assert_int_not_equal(weights_add_plain(w, other), at);
    assert_int_not_equal(weights_add(w, t, 100, write_reversed, (int64_t[4]){ 0 }), at);
    assert_int_not_equal(weights_add(w, t, 100, write_reversed, (int64_t[4]){ 1 }), weights_add(w, t, 100, write_reversed, (int64_t[4]){ 2 }));
    assert_int_equal(weights_count(w), 5);
    assert_int_equal(weights_bytes(w), 5 * 128);
    for (int i = 0; i < weights_count(w); i++)
        assert_int_equal(weights_at(w, i)->offset % 64, 0);
}

static Weights *some_weights(Fix *f)
{
    Weights *w = weights_new(f->a);
    float half = 0.5f;
    weights_add_plain(w, bytes_tensor(f, 5, 7));
    weights_add_plain(w, tensor_splat(f->a, DT_f32, 1, (int64_t[]){ 19 }, &half));
    weights_add(w, bytes_tensor(f, 70, 0), 70, write_reversed, (int64_t[4]){ 0 });
    return w;
}

/* What the blob of some_weights must be. */
static void expect_blob(const unsigned char *blob)
{
    float x;
    for (int i = 0; i < 64; i++)
        assert_int_equal(blob[i], i < 5 ? 7 + i : 0);
    for (int i = 0; i < 19; i++) {
        memcpy(&x, blob + 64 + 4 * i, sizeof x);
        assert_true(x == 0.5f);
    }
    for (int i = 0; i < 70; i++)
        assert_int_equal(blob[192 + i], 69 - i);
}

static void test_weights_object(void **state)
{
    Fix *f = *state;
    for (int i = 0; i < NTARGETS; i++) {
        TargetInfo t;
        const char *path = in_dir(f, targets[i]);
        assert_true(target_resolve(f->a, &f->d, targets[i], NULL, &t));
        assert_true(weights_write_object(some_weights(f), &t, "the_blob", path, &f->d));
        const char *said = output_of(f, arena_printf(f->a, LLVM_BINDIR "/llvm-readelf -hSsW %s", path));
        expect_in(said, t.is_64bit ? "ELF64" : "ELF32");
        expect_in(said, target_family(&t)->machine == EM_ARM ? "ARM" : target_family(&t)->machine == EM_RISCV ? "RISC-V" : target_family(&t)->machine == EM_AARCH64 ? "AArch64" : "X86-64");
        expect_in(said, "GLOBAL HIDDEN");
        expect_in(said, "the_blob");
        expect_in(said, " 64\n");                           /* alignment, last column */
        size_t bytes;
        expect_blob((const unsigned char *)file_text(f, path, &bytes) + 64);
        assert_int_equal(bytes % 4, 0);
    }
}

static void test_full_disk(void **state)
{
    Fix *f = *state;
    TargetInfo t;
    assert_true(target_resolve(f->a, &f->d, "x86_64", NULL, &t));
    Weights *w = weights_new(f->a);
    weights_add_plain(w, bytes_tensor(f, 1 << 20, 0));
    assert_false(weights_write_object(w, &t, "blob", "/dev/full", &f->d));
    expect_in(f->d.all, "/dev/full: cannot be written: No space left on device");
}

/* ---- linking and hiding ---- */

static const char *assemble(Fix *f, const char *triple, const char *name, const char *c_text)
{
    const char *source = in_dir(f, arena_printf(f->a, "%s.c", name)), *object = in_dir(f, arena_printf(f->a, "%s.o", name));
    FILE *out = fopen(source, "w");
    assert_non_null(out);
    fputs(c_text, out);
    fclose(out);
    output_of(f, arena_printf(f->a, TEST_CLANG " --target=%s -ffreestanding -fPIC -O1 -c %s -o %s", triple, source, object));
    return object;
}

static void test_link_shared(void **state)
{
    Fix *f = *state;
    for (int i = 0; i < NTARGETS; i++) {
        TargetInfo t;
        assert_true(target_resolve(f->a, &f->d, targets[i], NULL, &t));
        const char *object = assemble(f, t.triple, "code", "extern __attribute__((visibility(\"hidden\"))) const char blob[];\n"
                                                            "int inner(int x) { return blob[x]; }\nint shown(int x) { return inner(x) + 1; }\n");
        const char *weights = in_dir(f, "weights.o"), *so = in_dir(f, "code.so"), *shown = "shown";
        assert_true(weights_write_object(some_weights(f), &t, "blob", weights, &f->d));
        if (!link_shared(&t, 2, (const char *[]){ object, weights }, &shown, 1, so, &f->d))
            fail_msg("%s", f->d.all);
        const char *said = output_of(f, arena_printf(f->a, LLVM_BINDIR "/llvm-readelf -dSW --dyn-syms %s", so));
        expect_in(said, "shown");
        expect_in(said, "HASH");
        expect_not_in(said, "NEEDED");
        expect_not_in(said, "inner");
        expect_not_in(said, "blob");
        expect_not_in(said, ".symtab");
        expect_not_in(said, "TEXTREL");
    }
}

static void test_link_undefined(void **state)
{
    Fix *f = *state;
    TargetInfo t;
    assert_true(target_resolve(f->a, &f->d, "aarch64", NULL, &t));
    const char *object = assemble(f, t.triple, "code", "int other(int);\nint shown(int x) { return other(x) + 1; }\n"), *shown = "shown";
    int before = files_in(f);
    assert_false(link_shared(&t, 1, &object, &shown, 1, in_dir(f, "code.so"), &f->d));
    expect_in(f->d.all, "code.so: linking: undefined symbol: other\n");
    assert_int_equal(files_in(f), before);
}

/* Two objects with equal private functions, hidden ones kept apart, can be in one program. */
static void test_hide_symbols(void **state)
{
    Fix *f = *state;
    for (int i = 0; i < NTARGETS; i++) {
        TargetInfo t;
        int n;
        const char *const *undefined, *both[2], *name[] = { "first", "second" };
        assert_true(target_resolve(f->a, &f->d, targets[i], NULL, &t));
        for (int k = 0; k < 2; k++) {
            const char *object = assemble(f, t.triple, arena_printf(f->a, "%s_part", name[k]),
                arena_printf(f->a, "int outside(int);\n__attribute__((noinline)) int shared(int x) { return outside(x) + 1; }\nint table[3] = { 1, 2, 3 };\n"
                                   "int %s(int x) { return shared(x) * table[x]; }\n", name[k]));
            both[k] = in_dir(f, name[k]);
            assert_true(link_relocatable(&t, 1, &object, both[k], &f->d));
            assert_true(object_hide_symbols(f->a, both[k], 1, &name[k], &f->d));
            assert_true(object_undefined(f->a, both[k], &n, &undefined, &f->d));
            assert_int_equal(n, 1);
            assert_string_equal(undefined[0], "outside");
        }
        const char *outside = assemble(f, t.triple, "outside", "int outside(int x) { return x; }\n");
        if (!link_shared(&t, 3, (const char *[]){ both[0], both[1], outside }, name, 2, in_dir(f, "both.so"), &f->d))
            fail_msg("%s", f->d.all);
        expect_in(output_of(f, arena_printf(f->a, LLVM_BINDIR "/llvm-readelf -sW %s", both[0])), "LOCAL  DEFAULT");
    }
}

static void test_archive(void **state)
{
    Fix *f = *state;
    const char *object = assemble(f, "aarch64-linux-gnu", "code", "int one(void) { return 1; }\nint two(void) { return 2; }\n"), *symbol[] = { "one", "two" };
    const char *a = in_dir(f, "a.a"), *b = in_dir(f, "b.a");
    assert_true(archive_write(1, &object, 2, symbol, a, &f->d));
    assert_true(archive_write(1, &object, 2, symbol, b, &f->d));
    expect_same_file(f, a, b);
    const char *said = output_of(f, arena_printf(f->a, LLVM_BINDIR "/llvm-nm --print-armap %s", a));
    expect_in(said, "one in model.o");
    expect_in(said, "two in model.o");
    output_of(f, arena_printf(f->a, "cd %s && " LLVM_BINDIR "/llvm-ar x %s && cmp model.o %s", f->dir, a, object));
}

/* ---- whole models ---- */

static const char model_text[] =
    "module \"small\"\n"
    "graph typed {\n"
    "  %x = input() : f32[2,3]\n"
    "  %i = input() {index=1} : i64[4]\n"
    "  %g = gather(%x, %i) {axis=1} : f32[2,4]\n"
    "  %r = relu(%g) : f32[2,4]\n"
    "  return(%r) {names=[\"y\"]}\n"
    "}\n";

static Module *small_model(Fix *f)
{
    Module *m = module_parse(f->a, &f->d, "small.irt", model_text, NULL, 0);
    PassOptions p = PASS_OPTIONS_DEFAULT;
    if (!m || !passes_run(m, &p))
        fail_msg("%s", f->d.all);
    return m;
}

static void compile(Fix *f, CompileOptions opt)
{
    if (!compile_module(small_model(f), &opt))
        fail_msg("%s", f->d.all);
}

static void test_models_are_reproducible(void **state)
{
    Fix *f = *state;
    const struct { const char *a, *b; OutputKind kind; } row[] = {
        { "a.so", "b.so", OUT_SO }, { "a.o", "b.o", OUT_OBJECT }, { "a.a", "b.a", OUT_ARCHIVE }, { "a.s", "b.s", OUT_ASSEMBLY }, { "a.ll", "b.ll", OUT_LLVM },
    };
    for (int i = 0; i < NTARGETS; i++)
        for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
            compile(f, (CompileOptions){ .output = in_dir(f, row[k].a), .kind = row[k].kind, .target = targets[i], .opt_level = 2 });
            compile(f, (CompileOptions){ .output = in_dir(f, row[k].b), .kind = row[k].kind, .target = targets[i], .opt_level = 2 });
            expect_same_file(f, in_dir(f, row[k].a), in_dir(f, row[k].b));
        }
    assert_int_equal(files_in(f), 10);
}

/* Nothing needed, two symbols shown, nothing undefined, in every form and for every target; code for the model's CPU only. */
static void test_model_files(void **state)
{
    Fix *f = *state;
    const char *so = in_dir(f, "m.so"), *object = in_dir(f, "m.o");
    for (int i = 0; i < NTARGETS; i++) {
        int n;
        const char *const *undefined;
        compile(f, (CompileOptions){ .output = so, .kind = OUT_SO, .target = targets[i], .opt_level = 2 });
        const char *said = output_of(f, arena_printf(f->a, LLVM_BINDIR "/llvm-readelf -d --dyn-syms %s", so));
        expect_in(said, "small_run");
        expect_in(said, "small_ingot_model");
        expect_not_in(said, "NEEDED");
        expect_not_in(said, " UND small");
        compile(f, (CompileOptions){ .output = object, .kind = OUT_OBJECT, .target = targets[i], .opt_level = 2 });
        assert_true(object_undefined(f->a, object, &n, &undefined, &f->d));
        assert_int_equal(n, 0);
        said = output_of(f, arena_printf(f->a, LLVM_BINDIR "/llvm-nm -g %s", object));
        expect_in(said, "T small_run");
        expect_not_in(said, "k_gather");
        expect_not_in(said, "memcpy");
        struct stat st;
        assert_int_equal(stat(so, &st), 0);
        assert_true(st.st_size < 32768);
    }
}

static void test_kernels_get_the_models_cpu(void **state)
{
    Fix *f = *state;
    size_t bytes;
    compile(f, (CompileOptions){ .output = in_dir(f, "m.ll"), .kind = OUT_LLVM, .target = "x86_64", .cpu = "znver4", .opt_level = 2 });
    const char *text = file_text(f, in_dir(f, "m.ll"), &bytes);
    expect_in(text, "\"target-cpu\"=\"znver4\"");
    expect_not_in(text, "\"target-cpu\"=\"x86-64\"");
    expect_in(text, "\"prefer-vector-width\"=\"512\"");
    for (const char *at = text; (at = strstr(at, "\ndefine ")); at++)          /* all code has attributes */
        assert_non_null(memchr(at, '#', strcspn(at + 1, "\n") + 1));
}

/* The header alone is enough for a C and a C++ program. */
static void test_header(void **state)
{
    Fix *f = *state;
    const char *header = in_dir(f, "small.h"), *object = in_dir(f, "small.o");
    compile(f, (CompileOptions){ .output = object, .kind = OUT_OBJECT, .target = "x86_64", .opt_level = 2, .header = header });
    FILE *out = fopen(in_dir(f, "main.c"), "w");
    assert_non_null(out);
    fputs("#include \"small.h\"\n#include \"small.h\"\n#include <stdio.h>\n"
          "static char workspace[SMALL_WORKSPACE_BYTES + SMALL_WORKSPACE_ALIGN];\n"
          "int main(void)\n{\n    float x[SMALL_INPUT0_COUNT] = { 1, -2, 3, -4, 5, 6 }, y[SMALL_OUTPUT0_COUNT];\n    int64_t i[SMALL_INPUT1_COUNT] = { 2, 0, -1, 1 };\n"
          "    char *w = workspace + (SMALL_WORKSPACE_ALIGN - (uintptr_t)workspace % SMALL_WORKSPACE_ALIGN);\n"
          "    int status = small_run_typed(x, i, y, w);\n    printf(\"%d\", status);\n"
          "    for (int k = 0; k < SMALL_OUTPUT0_COUNT; k++)\n        printf(\" %g\", (double)y[k]);\n    printf(\"\\n\");\n    return 0;\n}\n", out);
    fclose(out);
    const char *warnings = "-Wall -Wextra -Wpedantic -Werror";
    output_of(f, arena_printf(f->a, "cd %s && " TEST_CLANG " -std=c99 %s -Wno-missing-braces -fsyntax-only main.c", f->dir, warnings));
    output_of(f, arena_printf(f->a, "cd %s && " TEST_CLANG " -std=c++11 -x c++ -Wall -Wno-missing-field-initializers -fsyntax-only main.c", f->dir));
#if defined(__x86_64__)
    output_of(f, arena_printf(f->a, "cd %s && " TEST_CC " main.c small.o -o program", f->dir));
    assert_string_equal(output_of(f, in_dir(f, "program")), "0 3 1 3 0 6 0 6 5\n");
#endif
}

static void test_failure_leaves_nothing(void **state)
{
    Fix *f = *state;
    CompileOptions opt = { .output = in_dir(f, "no/such/folder.so"), .kind = OUT_SO, .target = "x86_64", .opt_level = 1 };
    assert_false(compile_module(small_model(f), &opt));
    expect_in(f->d.all, "cannot be written: No such file or directory");
    opt = (CompileOptions){ .output = in_dir(f, "m.so"), .kind = OUT_SO, .target = "x86_64", .opt_level = 1, .header = in_dir(f, "no/such.h") };
    assert_false(compile_module(small_model(f), &opt));
    mkdir(in_dir(f, "folder.so"), 0777);
    opt = (CompileOptions){ .output = in_dir(f, "folder.so"), .kind = OUT_SO, .target = "x86_64", .opt_level = 1 };
    assert_false(compile_module(small_model(f), &opt));
    expect_in(f->d.all, "folder.so: cannot be written: Is a directory");
    assert_int_equal(files_in(f), 1);
}

static void test_output_kinds(void **state)
{
    (void)state;
    bool ok;
    assert_int_equal(output_kind_of("a/b.c.so", &ok), OUT_SO);
    assert_true(ok);
    assert_int_equal(output_kind_of("m.ll", &ok), OUT_LLVM);
    assert_true(ok);
    output_kind_of("m.dll", &ok);
    assert_false(ok);
    output_kind_of("m", &ok);
    assert_false(ok);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_weights_are_shared), TEST(test_weights_object), TEST(test_full_disk), TEST(test_link_shared), TEST(test_link_undefined), TEST(test_hide_symbols),
        TEST(test_archive), TEST(test_models_are_reproducible), TEST(test_model_files), TEST(test_kernels_get_the_models_cpu), TEST(test_header),
        TEST(test_failure_leaves_nothing), TEST(test_output_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
