/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and gauges: adding from threads, setting, the text exposition. */
#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/buf.h"

static void *add_many(void *unused)
{
    for (int i = 0; i < 10000; i++)
        metric_add(METRIC_RETRIES, 1);
    return unused;
}

static void test_threads_add_up(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metric_get(METRIC_RETRIES), 40000);
}

static void test_print(void **state)
{
    struct buf b;
    int lines = 0;

    (void)state;
    metric_set(METRIC_JOBS_READ, 0);
    metric_add(METRIC_JOBS_READ, 12);
    metric_set(METRIC_JOBS_IN_FLIGHT, 9);
    metric_add(METRIC_JOBS_IN_FLIGHT, -12);
    buf_init(&b, 0);
    metrics_print(&b);
    assert_non_null(strstr(b.p, "# HELP tutti_jobs_read_total Records taken from the jobs topics\n"
                                "# TYPE tutti_jobs_read_total counter\n"
                                "tutti_jobs_read_total 12\n"));
    assert_non_null(strstr(b.p, "# TYPE tutti_jobs_in_flight gauge\ntutti_jobs_in_flight -3\n"));
    for (size_t i = 0; i < b.len; i++)
        lines += b.p[i] == '\n';
    assert_int_equal(lines, 3 * METRIC_MAX);
    buf_done(&b);
}

/* Prometheus naming: counters end in _total, gauges do not. */
static void test_names(void **state)
{
#define X(id, name, kind, help) {name, #kind, help},
    static const char *const rows[][3] = { METRICS(X) };
#undef X

    (void)state;
    for (int i = 0; i < METRIC_MAX; i++) {
        size_t len = strlen(rows[i][0]);

        assert_int_equal(strncmp(rows[i][0], "tutti_", 6), 0);
        assert_int_equal(strcmp(rows[i][0] + len - 6, "_total") == 0, strcmp(rows[i][1], "COUNTER") == 0);
        assert_null(strpbrk(rows[i][2], "\\\n"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_add_up),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
