/* test_pool.c -- the thread pool: every unit runs exactly once, whoever calls, from how many threads, nested or not. */
#include "toy.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Marks {
    atomic_int *seen;
    ingot_pool *pool;
    int depth;
} Marks;

static void mark(void *arg, int64_t begin, int64_t end)
{
    Marks *m = arg;
    assert_true(begin < end);
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add_explicit(&m->seen[i], 1, memory_order_relaxed);
}

static void check_units(ingot_pool *pool, int64_t units)
{
    Marks m = { calloc((size_t)units + 1, sizeof *m.seen), pool, 0 };
    ingot_pool_run(pool, mark, &m, units);
    for (int64_t i = 0; i < units; i++)
        assert_int_equal(m.seen[i], 1);
    assert_int_equal(m.seen[units], 0);
    free(m.seen);
}

static void every_unit_once(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 0, 1, 2, 3, 7, 8, 9, 31, 64, 1000, 4097 };
    for (int threads = 1; threads <= 5; threads++) {
        ingot_pool *pool = ingot_pool_new(threads);
        assert_non_null(pool);
        assert_int_equal(ingot_pool_threads(pool), threads);
        for (int round = 0; round < 200; round++)
            check_units(pool, sizes[round % (int)(sizeof sizes / sizeof *sizes)]);
        ingot_pool_free(pool);
    }
}

/* Regions that follow each other closely, and after a pause in which the workers fall asleep. */
static void many_short_regions(void **state)
{
    (void)state;
    ingot_pool *pool = ingot_pool_new(2);
    atomic_int seen[16] = { 0 };
    Marks m = { seen, pool, 0 };
    for (int i = 0; i < 50000; i++)
        ingot_pool_run(pool, mark, &m, 16);
    for (int i = 0; i < 50; i++) {
        usleep(2000);
        ingot_pool_run(pool, mark, &m, 16);
    }
    for (int i = 0; i < 16; i++)
        assert_int_equal(seen[i], 50050);
    ingot_pool_free(pool);
}

static void nest(void *arg, int64_t begin, int64_t end)
{
    Marks *m = arg;
    for (int64_t i = begin; i < end; i++) {
        Marks inner = { m->seen + 8 * i, m->pool, 1 };
        ingot_pool_run(m->pool, mark, &inner, 8);
    }
}

static void nested_regions(void **state)
{
    (void)state;
    ingot_pool *pool = ingot_pool_new(3);
    for (int round = 0; round < 500; round++) {
        atomic_int seen[64] = { 0 };
        Marks m = { seen, pool, 0 };
        ingot_pool_run(pool, nest, &m, 8);
        for (int i = 0; i < 64; i++)
            assert_int_equal(seen[i], 1);
    }
    ingot_pool_free(pool);
}

static void *caller(void *arg)
{
    for (int round = 0; round < 2000; round++)
        check_units(arg, 50 + round % 7);
    return NULL;
}

static void shared_by_callers(void **state)
{
    (void)state;
    ingot_pool *pool = ingot_pool_new(2);
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, caller, pool), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    ingot_pool_free(pool);
}

static void start_and_stop(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        ingot_pool *pool = ingot_pool_new(1 + i % 4);
        if (i % 2)
            check_units(pool, 10);
        ingot_pool_free(pool);
    }
    ingot_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_unit_once), cmocka_unit_test(many_short_regions), cmocka_unit_test(nested_regions), cmocka_unit_test(shared_by_callers),
        cmocka_unit_test(start_and_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
