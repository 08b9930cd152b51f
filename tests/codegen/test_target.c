/* test_target.c -- targets.def against clang's own knowledge of CPUs, what follows from features, and the sentences for unknown names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cg.h"

typedef struct Fix {
    Arena *a;
    Diag d;
} Fix;

static int setup(void **state)
{
    Fix *f = calloc(1, sizeof *f);
    f->a = arena_new();
    diag_init(&f->d, f->a, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    arena_free(f->a);
    free(f);
    return 0;
}

static TargetInfo resolve(Fix *f, const char *target, const char *cpu)
{
    TargetInfo t;
    if (!target_resolve(f->a, &f->d, target, cpu, &t))
        fail_msg("%s %s: %s", target, cpu, f->d.all);
    return t;
}

/* ---- features ---- */

/* clang's "target-features" of a function compiled for the CPU, with a comma at both ends. */
static const char *clang_features(Fix *f, const char *triple, const char *flag, const char *cpu)
{
    char line[1 << 14];
    const char *features = NULL;
    FILE *p = popen(arena_printf(f->a, "echo 'void f(void){}' | " TEST_CLANG " --target=%s %s=%s -S -emit-llvm -x c - -o -", triple, flag, cpu), "r");
    assert_non_null(p);
    while (fgets(line, sizeof line, p)) {
        char *at = strstr(line, "\"target-features\"=\"");
        if (at && !features) {
            at += strlen("\"target-features\"=\"");
            features = arena_printf(f->a, ",%.*s,", (int)strcspn(at, "\""), at);
        }
    }
    if (pclose(p) || !features)
        fail_msg("clang does not know %s", cpu);
    return features;
}

/* Every feature that a row of the family mentions: the CPU has it here exactly if clang says so. */
static void check_cpu(Fix *f, const char *family, const char *cpu)
{
    static const struct { const char *family, *features; } mentioned[] = {
#define CPU(fam, name, base, features) { #fam, features },
#include "targets.def"
    };
    TargetInfo t = resolve(f, family, cpu);
    const char *theirs = clang_features(f, t.triple, !strcmp(family, "x86_64") ? "-march" : "-mcpu", cpu);
    for (size_t i = 0; i < sizeof mentioned / sizeof *mentioned; i++) {
        size_t n;
        for (const char *at = strcmp(mentioned[i].family, family) ? "" : mentioned[i].features; *at; at += n + (at[n] == ',')) {
            n = strcspn(at, ",");
            const char *name = arena_strn(f->a, at, n);
            bool clang_has = strstr(theirs, arena_printf(f->a, ",+%s,", name)) != NULL;
            if (target_has(&t, name) != clang_has)
                fail_msg("%s %s: %s is %s in targets.def, clang says %s", family, cpu, name, target_has(&t, name) ? "present" : "absent", clang_has ? "present" : "absent");
        }
    }
}

/* clang's armv7 baseline has no NEON where Debian configures it so; ours has, like LLVM's. */
static void test_features_are_clangs(void **state)
{
    static const struct { const char *family, *cpu; } row[] = {
#define CPU(family, name, base, features) { #family, name },
#include "targets.def"
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (strcmp(row[i].family, "armv7") || strcmp(row[i].cpu, "generic"))
            if (strcmp(row[i].cpu, "generic-rv64"))
                check_cpu(*state, row[i].family, row[i].cpu);
}

static void expect_vectors(Fix *f, const char *target, const char *cpu, int bytes, int registers, bool fma)
{
    TargetInfo t = resolve(f, target, cpu);
    if (t.vector_bytes != bytes || t.vector_registers != registers || t.has_fma != fma)
        fail_msg("%s %s: %d bytes, %d registers, fma %d", target, cpu, t.vector_bytes, t.vector_registers, t.has_fma);
}

static void test_vectors(void **state)
{
    expect_vectors(*state, "x86_64", NULL, 16, 16, false);
    expect_vectors(*state, "x86_64", "x86-64", 16, 16, false);
    expect_vectors(*state, "x86_64", "x86-64-v2", 16, 16, false);
    expect_vectors(*state, "x86_64", "x86-64-v3", 32, 16, true);
    expect_vectors(*state, "x86_64", "x86-64-v4", 64, 32, true);
    expect_vectors(*state, "x86_64", "sandybridge", 32, 16, false);
    expect_vectors(*state, "x86_64", "haswell", 32, 16, true);
    expect_vectors(*state, "x86_64", "skylake-avx512", 64, 32, true);
    expect_vectors(*state, "x86_64", "znver3", 32, 16, true);
    expect_vectors(*state, "x86_64", "znver4", 64, 32, true);
    expect_vectors(*state, "aarch64", NULL, 16, 32, true);
    expect_vectors(*state, "aarch64", "cortex-a53", 16, 32, true);
    expect_vectors(*state, "aarch64", "cortex-a72", 16, 32, true);
    expect_vectors(*state, "aarch64", "cortex-a76", 16, 32, true);
    expect_vectors(*state, "aarch64", "neoverse-n1", 16, 32, true);
    expect_vectors(*state, "armv7", NULL, 16, 16, false);
    expect_vectors(*state, "armv7", "cortex-a7", 16, 16, true);
    expect_vectors(*state, "riscv64", NULL, 4, 32, true);
    expect_vectors(*state, "riscv64", "sifive-x280", 16, 32, true);
}

/* ---- names ---- */

static void test_triples(void **state)
{
    Fix *f = *state;
    assert_string_equal(resolve(f, "aarch64-linux-android", NULL).family, "aarch64");
    assert_string_equal(resolve(f, "aarch64-none-elf", NULL).family, "aarch64");
    assert_string_equal(resolve(f, "x86_64-alpine-linux-musl", NULL).triple, "x86_64-alpine-linux-musl");
    assert_string_equal(resolve(f, "arm-linux-gnueabihf", NULL).triple, "armv7-unknown-linux-gnueabihf");
    assert_false(resolve(f, "riscv64", NULL).is_host);
    assert_true(resolve(f, "x86_64", NULL).is_64bit);
    assert_false(resolve(f, "armv7", NULL).is_64bit);
}

static void test_host(void **state)
{
    TargetInfo t = resolve(*state, NULL, NULL), named = resolve(*state, NULL, "native");
    assert_true(t.is_host);
    assert_string_equal(t.cpu, named.cpu);
    assert_true(t.required_features[0] != 0 || t.vector_bytes == 16);
#if defined(__x86_64__)
    assert_int_equal(target_has(&t, "avx2"), __builtin_cpu_supports("avx2") != 0);
    assert_int_equal(target_has(&t, "avx512f"), __builtin_cpu_supports("avx512f") != 0);
    assert_string_equal(resolve(*state, NULL, "haswell").required_features, resolve(*state, "x86_64", "haswell").required_features);
#endif
}

static void expect_refusal(Fix *f, const char *target, const char *cpu, const char *text)
{
    TargetInfo t;
    assert_false(target_resolve(f->a, &f->d, target, cpu, &t));
    if (!strstr(f->d.all, text))
        fail_msg("'%s' is not in '%s'", text, f->d.all);
}

static void test_unknown_names(void **state)
{
    expect_refusal(*state, "pdp11", NULL, "unknown target 'pdp11'; known: x86_64 (x86_64-linux-gnu), aarch64");
    expect_refusal(*state, "x86_64-pc-windows-msvc", NULL, "unknown target 'x86_64-pc-windows-msvc'");
    expect_refusal(*state, "arm-linux-gnueabi", NULL, "unknown target 'arm-linux-gnueabi'");
    expect_refusal(*state, "x86_64", "cortex-a72", "unknown cpu 'cortex-a72' for x86_64-unknown-linux-gnu; known: native, x86-64, x86-64-v2");
    expect_refusal(*state, "riscv64", "native", "cpu 'native' is not a CPU of");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_features_are_clangs, setup, teardown), cmocka_unit_test_setup_teardown(test_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_triples, setup, teardown), cmocka_unit_test_setup_teardown(test_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
