/* SPDX-License-Identifier: Apache-2.0 */
/* Calls under way per model and window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/inflight.h"

#define T0 INT64_C(1760000000000)

static struct inflight_model *begin(struct inflight *f, int64_t at_ms)
{
    return inflight_begin(f, "p", "m", "v", T0 + at_ms);
}

static int most(struct inflight *f, int64_t window_ms, int64_t now_ms)
{
    return inflight_max(f, "p", "m", "v", T0 + window_ms, T0 + now_ms);
}

static void test_windows(void **state)
{
    struct inflight *f = inflight_new();
    struct inflight_model *a, *b, *c;

    (void)state;
    assert_int_equal(most(f, 0, 0), 0); /* unknown */
    a = begin(f, 5000);
    b = begin(f, 6000);
    inflight_end(b, T0 + 7000);
    assert_int_equal(most(f, 0, 8000), 2);
    c = begin(f, 12000); /* a is still there */
    assert_int_equal(most(f, 10000, 12000), 2);
    inflight_end(a, T0 + 13000);
    assert_int_equal(most(f, 20000, 25000), 1); /* c alone, without an event in the window */
    inflight_end(c, T0 + 31000);
    assert_int_equal(most(f, 30000, 39999), 1);
    assert_int_equal(most(f, 40000, 40000), 0);
    assert_int_equal(most(f, 0, 40000), 2);
    assert_int_equal(most(f, 0, INFLIGHT_WINDOWS * 10000), 0); /* long ago */
    assert_int_equal(inflight_max(f, "p", "m", "other", T0, T0), 0);
    assert_int_equal(inflight_max(f, NULL, "m", NULL, T0, T0), 0);
    inflight_free(f);
}

static void test_a_clock_set_back_stays_in_its_window(void **state)
{
    struct inflight *f = inflight_new();
    struct inflight_model *a = begin(f, 20000), *b = begin(f, 5000);

    (void)state;
    assert_int_equal(most(f, 20000, 20000), 2);
    inflight_end(b, T0);
    inflight_end(a, T0 + 21000);
    inflight_end(inflight_begin(f, NULL, "m", NULL, -5), -4);
    assert_int_equal(inflight_max(f, NULL, "m", NULL, 0, 5), 1);
    inflight_free(f);
}

static void test_no_more_models_than_allowed(void **state)
{
    struct inflight *f = inflight_new();
    char name[2000];

    (void)state;
    for (int i = 0; i < INFLIGHT_MODELS; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        assert_non_null(inflight_begin(f, "p", name, name, T0));
    }
    assert_null(inflight_begin(f, "p", "one more", "v", T0));
    assert_non_null(inflight_begin(f, "p", "m7", "m7", T0));
    assert_int_equal(inflight_max(f, "p", "m7", "m7", T0, T0), 2);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_null(inflight_begin(f, "p", name, "v", T0));
    assert_null(inflight_begin(NULL, "p", "m", "v", T0));
    inflight_end(NULL, T0);
    inflight_free(f);
    inflight_free(NULL);
}

static void test_window_of_an_instant(void **state)
{
    (void)state;
    assert_int_equal(stats_window_ms(T0 + 9999), T0);
    assert_int_equal(stats_window_ms(T0 + 10000), T0 + 10000);
    assert_int_equal(stats_window_ms(0), 0);
    assert_int_equal(stats_window_ms(-1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_a_clock_set_back_stays_in_its_window),
        cmocka_unit_test(test_no_more_models_than_allowed),
        cmocka_unit_test(test_window_of_an_instant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
