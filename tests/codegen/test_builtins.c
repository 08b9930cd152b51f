/* test_builtins.c -- runtime/kernels/builtins.c under other names against the C library and the compiler. The 64-bit division and conversions of
 * 32-bit machines are covered by test_gen_formula.c, which runs them on ARM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#define memcpy our_memcpy
#define memmove our_memmove
#define memset our_memset
#define rintf our_rintf
#define rint our_rint
#define nearbyintf our_nearbyintf
#define nearbyint our_nearbyint
#define roundevenf our_roundevenf
#define roundeven our_roundeven
#define floorf our_floorf
#define floor our_floor
#define ceilf our_ceilf
#define ceil our_ceil
#define truncf our_truncf
#define trunc our_trunc
#define fmaf our_fmaf
#include "../../runtime/kernels/builtins.c"
#undef memcpy
#undef memmove
#undef memset
#undef rintf
#undef rint
#undef nearbyintf
#undef nearbyint
#undef roundevenf
#undef roundeven
#undef floorf
#undef floor
#undef ceilf
#undef ceil
#undef truncf
#undef trunc
#undef fmaf

static void test_memory(void **state)
{
    (void)state;
    enum { N = 64 };
    for (int from = 0; from < 20; from++)
        for (int to = 0; to < 20; to++)
            for (size_t n = 0; n < 40; n++) {
                char a[N], b[N];
                for (int i = 0; i < N; i++)
                    a[i] = b[i] = (char)(i * 7);
                memmove(a + to, a + from, n);
                assert_ptr_equal(our_memmove(b + to, b + from, n), b + to);
                assert_memory_equal(a, b, N);
                memset(a + to, 255 - from, n);
                assert_ptr_equal(our_memset(b + to, 255 - from, n), b + to);
                assert_memory_equal(a, b, N);
                char c[N] = { 0 }, d[N] = { 0 };
                memcpy(c + to, a + from, n);
                assert_ptr_equal(our_memcpy(d + to, a + from, n), d + to);
                assert_memory_equal(c, d, N);
            }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed ^ *seed >> 29;
}

static void expect_f32(float got, float want)
{
    if (!(isnan(got) && isnan(want)) && memcmp(&got, &want, sizeof got) != 0)
        fail_msg("%a where libm has %a", (double)got, (double)want);
}

static void expect_f64(double got, double want)
{
    if (!(isnan(got) && isnan(want)) && memcmp(&got, &want, sizeof got) != 0)
        fail_msg("%a where libm has %a", got, want);
}

static void check_rounding(double x)
{
    float f = (float)x;
    expect_f32(our_rintf(f), rintf(f));
    expect_f32(our_floorf(f), floorf(f));
    expect_f32(our_ceilf(f), ceilf(f));
    expect_f32(our_truncf(f), truncf(f));
    expect_f64(our_rint(x), rint(x));
    expect_f64(our_floor(x), floor(x));
    expect_f64(our_ceil(x), ceil(x));
    expect_f64(our_trunc(x), trunc(x));
}

static void test_rounding(void **state)
{
    (void)state;
    const double special[] = { 0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49999999999999994, 0x1p23, 0x1p23 - 0.5, 0x1p52, 0x1p52 - 0.5, 0x1p53, 1e300, INFINITY, -INFINITY, NAN,
                               5e-324, -1e-40 };
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        check_rounding(special[i]);
    for (int i = 0; i < 100000; i++) {
        uint64_t r = next_random(&seed);
        check_rounding(ldexp((double)(int64_t)r * 0x1p-63, (int)(r % 60)));
    }
}

/* Cases where rounding to double first and then to float would go wrong are rare by chance: z is made so that the sum lies next to a float's half. */
static void test_fmaf(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (int i = 0; i < 300000; i++) {
        uint64_t r = next_random(&seed), s = next_random(&seed);
        float x = ldexpf((float)((int32_t)r | 1), -31), y = ldexpf((float)((int32_t)s | 1), (int)(s >> 60) - 31);
        float z = i % 3 ? ldexpf((float)(int32_t)(r >> 32), (int)(s >> 40) % 80 - 60) : ldexpf(1, (int)(r >> 40) % 60 - 30);
        expect_f32(our_fmaf(x, y, z), fmaf(x, y, z));
    }
    expect_f32(our_fmaf(1e30f, 1e30f, 1), INFINITY);
    expect_f32(our_fmaf(INFINITY, 0, 1), NAN);
    expect_f32(our_fmaf(INFINITY, 1, -INFINITY), NAN);
    expect_f32(our_fmaf(-0.0f, 1, 0.0f), 0.0f);
    expect_f32(our_fmaf(-0.0f, 1, -0.0f), -0.0f);
    expect_f32(our_fmaf(0x1p-140f, 0x1p-10f, 0x1p-149f), fmaf(0x1p-140f, 0x1p-10f, 0x1p-149f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory), cmocka_unit_test(test_rounding), cmocka_unit_test(test_fmaf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
