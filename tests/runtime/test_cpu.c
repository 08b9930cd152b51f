/* test_cpu.c -- CPU features: agreement with what the kernel reports, and lists of names. */
#include "toy.h"

#include "cpu.h"

static void agrees_with_the_kernel(void **state)
{
    (void)state;
#ifdef __x86_64__
    /* LLVM's name, the kernel's name */
    static const char *const names[][2] = {
        { "sse2", "sse2" }, { "sse4.2", "sse4_2" }, { "popcnt", "popcnt" }, { "avx", "avx" }, { "f16c", "f16c" }, { "fma", "fma" }, { "avx2", "avx2" },
        { "bmi", "bmi1" }, { "bmi2", "bmi2" }, { "lzcnt", "abm" }, { "movbe", "movbe" }, { "avx512f", "avx512f" }, { "avx512bw", "avx512bw" },
        { "avx512dq", "avx512dq" }, { "avx512vl", "avx512vl" }, { "avx512vnni", "avx512_vnni" }, { "avx512bf16", "avx512_bf16" }, { "gfni", "gfni" },
        { "avxvnni", "avx_vnni" }, { "sse4a", "sse4a" }, { "vaes", "vaes" },
    };
    static char line[8192], flags[8192];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "flags", 5)) {
            line[strcspn(line, "\n")] = ' ';
            memcpy(flags, line, sizeof flags);
        }
    if (!f || !flags[0])
        skip();
    fclose(f);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char word[64];
        snprintf(word, sizeof word, " %s ", names[i][1]);
        if (ingot_cpu_has(names[i][0]) != (strstr(flags, word) != NULL))
            print_error("%s\n", names[i][0]);
        assert_int_equal(ingot_cpu_has(names[i][0]), strstr(flags, word) != NULL);
    }
#else
    skip();
#endif
}

static void lists(void **state)
{
    (void)state;
    char name[64] = "";
    assert_false(ingot_cpu_lacks("", name, sizeof name));
    assert_true(ingot_cpu_lacks("no-such-thing", name, sizeof name));
    assert_string_equal(name, "no-such-thing");
    assert_true(ingot_cpu_lacks("a-name-that-is-much-longer-than-any-feature-of-any-cpu-that-there-is-or-will-be-in-this-world", name, sizeof name));
#ifdef __x86_64__
    assert_false(ingot_cpu_lacks("sse,sse2", name, sizeof name));
    assert_true(ingot_cpu_lacks("sse2,sse9,sse", name, sizeof name));
    assert_string_equal(name, "sse9");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_the_kernel), cmocka_unit_test(lists) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
