/* SPDX-License-Identifier: Apache-2.0 */
/* The generator against its reference vectors, bounds and rough uniformity. */
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_reference(void **state)
{
    /* splitmix64(0) and xoshiro256** from the authors' C code (prng.di.unimi.it) */
    static const uint64_t seeded[] = {0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f, 0xf88bb8a8724c81ec};
    static const uint64_t numbers[] = {0x99ec5f36cb75f2b4, 0xbf6e1f784956452a, 0x1a5f849d4933e6e0};
    struct rng r;

    (void)state;
    rng_seed(&r, 0);
    assert_memory_equal(r.s, seeded, sizeof(seeded));
    for (int i = 0; i < 3; i++)
        assert_int_equal(rng_u64(&r), numbers[i]);
}

static void test_bounds(void **state)
{
    int counts[10] = {0};
    struct rng r;

    (void)state;
    rng_seed(&r, 7);
    for (int i = 0; i < 100000; i++) {
        double unit = rng_unit(&r);
        int64_t v = rng_between(&r, -3, 3);

        counts[rng_below(&r, 10)]++;
        assert_true(unit >= 0.0 && unit < 1.0);
        assert_true(v >= -3 && v <= 3);
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(counts[i], 9500, 10500);
    assert_int_equal(rng_below(&r, 1), 0);
    assert_int_equal(rng_between(&r, 5, 5), 5);
    assert_int_equal(rng_between(&r, INT64_MIN, INT64_MIN), INT64_MIN);
    (void)rng_between(&r, INT64_MIN, INT64_MAX);
    assert_true(rng_between(&r, INT64_MAX - 1, INT64_MAX) >= INT64_MAX - 1);
}

static void test_entropy_differs(void **state)
{
    (void)state;
    assert_int_not_equal(rng_entropy(), rng_entropy());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_entropy_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
