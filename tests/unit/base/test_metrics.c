/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges, histograms and the blocks per model: adding from threads, folding, the text exposition. */
#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

enum { N_THREADS = 4, N_ADDS = 5000 };

static const char *code_word(int code)
{
    static const char *const codes[] = {NULL, "rate_limited", "cancelled"};

    return code < 3 ? codes[code] : NULL;
}

static const char *reason_word(int reason)
{
    return reason == 1 ? "rpm" : NULL;
}

static const struct metric_words words = {code_word, reason_word, 2};

static struct call_sample sample(int code)
{
    return (struct call_sample){.code = code,
                                .ended_ms = 1700000000000,
                                .duration_us = 30000,
                                .ttft_us = -1,
                                .throttle_us = 1500000,
                                .reason = 1,
                                .tokens = {100, 20, -1, -1},
                                .reserved_tokens = 240,
                                .cost_nusd = 1500000};
}

static void *add_many(void *model)
{
    struct call_sample s = sample(0);

    for (int i = 0; i < N_ADDS; i++) {
        metric_add(METRIC_LIMITER_TICKS, 1);
        metric_observe(HISTOGRAM_JOB_DURATION, 1000);
        metrics_add_call(model, &s);
        metrics_add_in_flight(model, 1);
    }
    return NULL;
}

static char *page(struct buf *b)
{
    buf_init(b, 0);
    metrics_print(b);
    return b->p;
}

static int count(const char *text, const char *what)
{
    int n = 0;

    for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
        n++;
    return n;
}

/* Several workers add to one model's block at a time. */
static void test_threads_add_up(void **state)
{
    struct model_metrics *m = metrics_model("p", "threads");
    pthread_t threads[N_THREADS];
    struct buf b;

    (void)state;
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, m), 0);
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metric_get(METRIC_LIMITER_TICKS), N_THREADS * N_ADDS);
    assert_non_null(strstr(page(&b), "tutti_job_duration_seconds_count 20000\n"));
    assert_non_null(strstr(b.p, "tutti_calls_total{provider=\"p\",model=\"threads\",outcome=\"ok\",error_code=\"\"} "
                                "20000\n"));
    assert_non_null(strstr(b.p, "tutti_tokens_total{provider=\"p\",model=\"threads\",direction=\"input\"} 2000000\n"));
    assert_non_null(strstr(b.p, "tutti_inflight_calls{provider=\"p\",model=\"threads\"} 20000\n"));
    buf_done(&b);
}

static void test_print(void **state)
{
    struct buf b;

    (void)state;
    metric_set(METRIC_JOBS_READ, 0);
    metric_add(METRIC_JOBS_READ, 12);
    metric_set(METRIC_JOBS_IN_FLIGHT, 9);
    metric_add(METRIC_JOBS_IN_FLIGHT, -12);
    metric_set(METRIC_JOBS_PARTIAL, 4);
    assert_non_null(strstr(page(&b), "# HELP tutti_jobs_read_total Records taken from the jobs topics\n"
                                     "# TYPE tutti_jobs_read_total counter\n"
                                     "tutti_jobs_read_total 12\n"));
    assert_non_null(strstr(b.p, "# TYPE tutti_inflight_jobs gauge\ntutti_inflight_jobs -3\n"));
    assert_non_null(strstr(b.p, "tutti_jobs_total{outcome=\"partial\"} 4\n"));
    assert_int_equal(count(b.p, "# TYPE tutti_jobs_total counter\n"), 1);
    assert_int_equal(count(b.p, "# TYPE tutti_redis_op_duration_seconds histogram\n"), 1);
    buf_done(&b);
}

/* D-54: every attempt is counted, not only the good ones: 3 failures of 10 are 0.7. */
static void test_success_ratio_counts_failures(void **state)
{
    struct model_metrics *m = metrics_model("p", "ratio");
    struct call_sample ok = sample(0), limited = sample(1), cancelled = sample(2);
    struct buf b;

    (void)state;
    for (int i = 0; i < 7; i++)
        metrics_add_call(m, &ok);
    for (int i = 0; i < 3; i++)
        metrics_add_call(m, &limited);
    metrics_add_call(m, &cancelled);
    metrics_add_retry(m);
    assert_non_null(strstr(page(&b), "model=\"ratio\",outcome=\"ok\",error_code=\"\"} 7\n"));
    assert_non_null(strstr(b.p, "model=\"ratio\",outcome=\"error\",error_code=\"rate_limited\"} 3\n"));
    assert_non_null(strstr(b.p, "model=\"ratio\",outcome=\"cancelled\",error_code=\"cancelled\"} 1\n"));
    assert_non_null(strstr(b.p, "tutti_call_retries_total{provider=\"p\",model=\"ratio\"} 1\n"));
    assert_non_null(strstr(b.p, "model=\"ratio\",reason=\"rpm\"} 16.5\n"));
    assert_non_null(strstr(b.p, "tutti_cost_usd_total{provider=\"p\",model=\"ratio\"} 0.0165\n"));
    assert_non_null(strstr(b.p, "tutti_token_estimate_ratio{model=\"ratio\"} 0.5\n"));
    buf_done(&b);
}

static void test_histogram_edges(void **state)
{
    static const struct {
        int64_t us;
        const char *line;
    } cases[] = {
        {10000, "le=\"0.01\"} 1\n"},
        {10001, "le=\"0.02\"} 2\n"},
        {81920000, "le=\"81.92\"} 3\n"},
        {81920001, "le=\"+Inf\"} 4\n"},
    };
    struct model_metrics *m = metrics_model("p", "edges");
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct call_sample s = sample(0);
        char line[160];

        s.duration_us = cases[i].us;
        metrics_add_call(m, &s);
        (void)snprintf(line, sizeof(line), "tutti_call_duration_seconds_bucket{provider=\"p\",model=\"edges\",%s",
                       cases[i].line);
        assert_non_null(strstr(page(&b), line));
        buf_done(&b);
    }
    assert_non_null(strstr(page(&b), "tutti_call_duration_seconds_sum{provider=\"p\",model=\"edges\"} 163.860002\n"));
    assert_non_null(strstr(b.p, "tutti_call_duration_seconds_count{provider=\"p\",model=\"edges\"} 4\n"));
    assert_non_null(strstr(b.p, "tutti_call_ttft_seconds_count{provider=\"p\",model=\"edges\"} 0\n"));
    buf_done(&b);
}

static void test_labels_are_escaped(void **state)
{
    struct buf b;

    (void)state;
    (void)metrics_model("p", "a\"b\\c\nd");
    assert_non_null(strstr(page(&b), "model=\"a\\\"b\\\\c\\nd\""));
    buf_done(&b);
}

static void test_dead_letters(void **state)
{
    static const char copy[] = "not_json";
    struct buf b;

    (void)state;
    metrics_add_dead_letter("not_json");
    metrics_add_dead_letter("too_large");
    metrics_add_dead_letter(copy);
    assert_non_null(strstr(page(&b), "tutti_dlq_total{error_code=\"not_json\"} 2\n"
                                     "tutti_dlq_total{error_code=\"too_large\"} 1\n"));
    buf_done(&b);
}

static void test_produce_errors_by_topic(void **state)
{
    char name[32];
    struct buf b;

    (void)state;
    metrics_add_produce_errors("results", 0);
    metrics_add_produce_errors("a\"b", 2);
    metrics_add_produce_errors("results", 1);
    metrics_add_produce_errors("results", 1);
    assert_non_null(strstr(page(&b), "# TYPE tutti_kafka_produce_errors_total counter\n"
                                     "tutti_kafka_produce_errors_total{topic=\"results\"} 2\n"
                                     "tutti_kafka_produce_errors_total{topic=\"a\\\"b\"} 2\n"));
    buf_done(&b);
    for (int i = 0; i < 100; i++) { /* bounded */
        snprintf(name, sizeof(name), "topic%d", i);
        metrics_add_produce_errors(name, 1);
    }
    assert_non_null(strstr(page(&b), "topic=\"topic13\"} 1\n"));
    assert_null(strstr(b.p, "topic=\"topic14\""));
    buf_done(&b);
}

/* Label sets are bounded; what is beyond is counted all the same. Last: it fills the table. */
static void test_models_beyond_the_limit_fold(void **state)
{
    struct model_metrics *first = metrics_model("p", "threads"), *last = NULL;
    struct model_metrics *all[METRIC_MODELS_MAX + 1];
    struct call_sample s = sample(1);
    struct buf b;

    (void)state;
    assert_null(strstr(page(&b), "model=\"other\"")); /* nothing folded: no label set */
    buf_done(&b);
    for (int i = 0; i < 2 * METRIC_MODELS_MAX; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "many-%d", i);
        last = metrics_model("p", name);
    }
    assert_ptr_equal(metrics_model("p", "threads"), first);
    assert_ptr_equal(metrics_model("p", "many-399"), last);
    assert_ptr_equal(metrics_model(NULL, NULL), last);
    assert_int_equal(metrics_models(all), METRIC_MODELS_MAX + 1);
    metrics_add_call(last, &s);
    metrics_add_call(NULL, &s);
    assert_non_null(strstr(page(&b), "tutti_calls_total{provider=\"other\",model=\"other\",outcome=\"error\","
                                     "error_code=\"rate_limited\"} 2\n"));
    assert_int_equal(count(b.p, "tutti_cost_usd_total{"), METRIC_MODELS_MAX + 1);
    buf_done(&b);
}

/* Prometheus naming: counters end in _total, gauges do not; rows of one name stand together. */
static void test_names(void **state)
{
#define X(id, name, labels, kind, help) {name, #kind, help},
    static const char *const rows[][3] = { METRICS(X) };
#undef X

    (void)state;
    for (int i = 0; i < METRIC_MAX; i++) {
        size_t len = strlen(rows[i][0]);

        assert_int_equal(strncmp(rows[i][0], "tutti_", 6), 0);
        assert_int_equal(strcmp(rows[i][0] + len - 6, "_total") == 0, strcmp(rows[i][1], "COUNTER") == 0);
        assert_null(strpbrk(rows[i][2], "\\\n"));
        for (int k = i + 2; k < METRIC_MAX; k++)
            if (strcmp(rows[k][0], rows[i][0]) == 0)
                assert_string_equal(rows[k - 1][0], rows[i][0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_add_up),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_success_ratio_counts_failures),
        cmocka_unit_test(test_histogram_edges),
        cmocka_unit_test(test_labels_are_escaped),
        cmocka_unit_test(test_dead_letters),
        cmocka_unit_test(test_produce_errors_by_topic),
        cmocka_unit_test(test_models_beyond_the_limit_fold),
        cmocka_unit_test(test_names),
    };

    metrics_set_words(&words);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
