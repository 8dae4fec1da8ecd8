/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from reports and counters: readiness, availability, rates, the verdict; and how it is shown. */
#include "app/status.h"

#include "app/config.h"
#include "app/wire.h"
#include "base/metrics.h"
#include "config_testing.h"

#define SECOND INT64_C(1000000)

static const char text[] = "providers:\n"
                           "  cloud: {api: openai, base_url: https://api.example.test/v1, api_key: sk-0123456789}\n"
                           "  keyless: {api: openai, base_url: https://api.example.test/v2}\n"
                           "  local: {api: openai, base_url: http://localhost:1/v1}\n"
                           "models:\n"
                           "  big<b>: {provider: cloud, limits: {requests_per_minute: 600, tokens_per_minute: 60000}}\n"
                           "  same: {provider: cloud, name: big<b>, limits: {requests_per_minute: 600, "
                           "tokens_per_minute: 60000}}\n"
                           "  orphan: {provider: keyless}\n"
                           "  home: {provider: local}\n";

struct rig {
    struct config_reading reading;
    struct wiring wiring;
    struct status *status;
    struct status_view view;
    int64_t now_us;
    struct buf b;
};

static int set_up(void **state)
{
    struct rig *r = mem_zero(sizeof(*r));

    r->reading = config_read(text, NULL);
    if (r->reading.config == NULL)
        fail_msg("%s", r->reading.report);
    wiring_init(&r->wiring, r->reading.config);
    count_words();
    r->now_us = 1000 * SECOND;
    r->status = status_new(&r->wiring, 2, r->now_us, 1000);
    buf_init(&r->b, 0);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;

    buf_done(&r->b);
    if (r->view.arena != NULL)
        status_view_done(&r->view);
    status_free(r->status);
    wiring_done(&r->wiring);
    config_reading_done(&r->reading);
    mem_free(r);
    return 0;
}

/* A worker's report that everything is well. */
static struct report *good_report(const char *name)
{
    struct arena *a = arena_new(4096);
    struct report *r = arena_zero(a, sizeof(*r));
    struct report_part *p = arena_zero(a, sizeof(*p));

    *p = (struct report_part){.topic = "jobs", .base = 10, .high = 60, .lag = 50, .n_jobs = 1, .oldest_ts_ms = 500};
    r->arena = a;
    r->worker_id = arena_strdup(a, name);
    r->wall_ms = 2000;
    r->is_connected = true;
    r->parts = p;
    r->n_parts = 1;
    return r;
}

static void run_both(struct rig *r)
{
    status_set_life(r->status, LIFE_RUNNING);
    status_take_report(r->status, 0, good_report("s.0"));
    status_take_report(r->status, 1, good_report("s.1"));
}

static const struct status_view *look(struct rig *r)
{
    if (r->view.arena != NULL)
        status_view_done(&r->view);
    status_view_init(&r->view, r->status, r->now_us, 10000);
    return &r->view;
}

static const struct status_check *check_of(const struct status_view *v, const char *name)
{
    for (int i = 0; i < v->n_checks; i++)
        if (strcmp(v->checks[i].name, name) == 0)
            return &v->checks[i];
    fail_msg("no check %s", name);
    return NULL;
}

static void pass(struct rig *r, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        r->now_us += SECOND;
        status_tick(r->status, r->now_us);
    }
}

static void end_calls(struct rig *r, int model, enum fault fault, int n)
{
    const struct call_sample s = {.code = (int)fault,
                                  .ended_ms = 9000,
                                  .duration_us = 100000,
                                  .ttft_us = -1,
                                  .throttle_us = -1,
                                  .tokens = {-1, -1, -1, -1},
                                  .reserved_tokens = -1,
                                  .cost_nusd = fault == FAULT_NONE ? 2000000 : -1};

    for (int i = 0; i < n; i++)
        metrics_add_call(r->wiring.registry.models[model].metrics, &s);
}

static void test_life(void **state)
{
    struct rig *r = *state;

    assert_int_equal(look(r)->level, CHECK_FAILED); /* starting */
    status_set_life(r->status, LIFE_RUNNING);
    assert_string_equal(check_of(look(r), "workers")->text, "2 of 2 are starting");
    run_both(r);
    assert_int_equal(look(r)->level, CHECK_OK);
    assert_string_equal(check_of(&r->view, "kafka")->text, "connected, 2 partitions");
    assert_int_equal(r->view.lag, 100);
    status_set_life(r->status, LIFE_DRAINING);
    assert_int_equal(look(r)->level, CHECK_FAILED);
}

static void set_stuck(struct rig *r, struct report *one)
{
    (void)one;
    status_set_silence(r->status, 0, 11 * SECOND);
}

static void set_unconnected(struct rig *r, struct report *one)
{
    (void)r;
    one->is_connected = false;
}

static void set_limiter_down(struct rig *r, struct report *one)
{
    (void)r;
    one->is_limiter_down = true;
}

static void set_journal_down(struct rig *r, struct report *one)
{
    (void)r;
    one->is_journal_down = true;
}

static void set_commit_slow(struct rig *r, struct report *one)
{
    (void)r;
    one->commit_wait_ms = 20000;
}

static void set_stalled(struct rig *r, struct report *one)
{
    (void)r;
    ((struct report_part *)one->parts)->is_stalled = true; /* good_report() made it */
}

static void test_each_check(void **state)
{
    static const struct {
        void (*set)(struct rig *r, struct report *one);
        const char *check;
        enum check_level level;
        const char *text;
    } cases[] = {
        {set_unconnected, "kafka", CHECK_FAILED, "not connected yet"},
        {set_limiter_down, "redis", CHECK_DEGRADED, "away: calls of models with limits wait"},
        {set_journal_down, "journal", CHECK_DEGRADED, "away: no new call starts, answers that arrive are kept"},
        {set_commit_slow, "kafka", CHECK_DEGRADED, "finished jobs have waited 20 s for their commit"},
        {set_stalled, "partitions", CHECK_DEGRADED, "jobs [0] has stopped: the job at offset 10 holds it back"},
        {set_stuck, "workers", CHECK_FAILED, "the loop of worker 0 has not turned for 11 s"},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct report *one = good_report("s.1");

        run_both(r);
        cases[i].set(r, one);
        status_take_report(r->status, 1, one);
        assert_int_equal(look(r)->level, cases[i].level);
        assert_int_equal(check_of(&r->view, cases[i].check)->level, cases[i].level);
        assert_string_equal(check_of(&r->view, cases[i].check)->text, cases[i].text);
        assert_non_null(strstr(r->view.verdict, cases[i].text));
        buf_clear(&r->b);
        status_ready_text(&r->view, false, &r->b);
        assert_int_equal(strncmp(r->b.p, cases[i].level == CHECK_DEGRADED ? "degraded\n" : "not ready\n", 9), 0);
        assert_non_null(strstr(r->b.p, cases[i].text));
    }
}

/* D-64: health follows what the calls do. */
static void test_all_providers_failing_is_degraded(void **state)
{
    struct rig *r = *state;

    run_both(r);
    pass(r, 10);
    end_calls(r, 0, FAULT_PROVIDER_ERROR, 2);
    assert_int_equal(check_of(look(r), "providers")->level, CHECK_OK); /* two mishaps are no outage */
    end_calls(r, 3, FAULT_NETWORK, 5);
    assert_int_equal(look(r)->level, CHECK_DEGRADED);
    assert_string_equal(check_of(&r->view, "providers")->text,
                        "every provider fails: 7 calls of the last minute, none answered, mostly network");
    end_calls(r, 3, FAULT_NONE, 1); /* one that answers is enough */
    assert_int_equal(look(r)->level, CHECK_OK);
    pass(r, 120);
    end_calls(r, 0, FAULT_TIMEOUT, 3);
    assert_int_equal(look(r)->level, CHECK_DEGRADED);
    metric_add(METRIC_JOBS_IN_FLIGHT, 1); /* breakers are open: nothing ends any more, and jobs wait */
    pass(r, 120);
    assert_int_equal(look(r)->level, CHECK_DEGRADED);
    assert_string_equal(check_of(&r->view, "providers")->text, "every call has failed, and none is let through now");
    metric_add(METRIC_JOBS_IN_FLIGHT, -1); /* nobody waits */
    assert_int_equal(look(r)->level, CHECK_OK);
    pass(r, 120);
    end_calls(r, 0, FAULT_CANCELLED, 50); /* our own doing */
    assert_int_equal(look(r)->level, CHECK_OK);
}

/* D-47: registry, key, breaker and last outcome, each stated. */
static void test_availability(void **state)
{
    struct rig *r = *state;
    const struct status_model *m;

    run_both(r);
    m = look(r)->models;
    assert_true(m[1].is_available && m[1].has_key);
    assert_string_equal(m[1].reason, "configured, not asked yet");
    assert_null(m[1].last_outcome);
    assert_false(m[2].is_available || m[2].has_key);
    assert_string_equal(m[2].reason, "no API key is configured for the provider keyless");
    assert_true(m[3].is_available); /* a local server wants no key */
    end_calls(r, 1, FAULT_AUTH, 1);
    m = look(r)->models;
    assert_false(m[1].is_available);
    assert_string_equal(m[1].reason, "the last call ended with auth");
    end_calls(r, 1, FAULT_TIMEOUT, 1);
    m = look(r)->models;
    assert_true(m[1].is_available);
    assert_string_equal(m[1].last_outcome, "timeout");
    metrics_move_breaker(r->wiring.registry.models[1].metrics, 0, 1);
    m = look(r)->models;
    assert_false(m[1].is_available);
    assert_int_equal(m[1].breaker, 1);
    assert_string_equal(m[1].reason, "the breaker is open: it failed too often in a row");
    metrics_move_breaker(r->wiring.registry.models[1].metrics, 1, 2);
    m = look(r)->models;
    assert_true(m[1].is_available);
    assert_int_equal(m[1].breaker, 2);
    metrics_move_breaker(r->wiring.registry.models[1].metrics, 2, 0);
}

/* D-54, over the window: what came before it does not count. */
static void test_rates_of_the_last_minute(void **state)
{
    struct rig *r = *state;
    const struct status_model *m;

    run_both(r);
    end_calls(r, 0, FAULT_TIMEOUT, 100);
    pass(r, 120);
    end_calls(r, 0, FAULT_NONE, 7);
    end_calls(r, 0, FAULT_RATE_LIMITED, 3);
    m = look(r)->models;
    assert_int_equal(m->window_calls, 10);
    assert_int_equal(m->window_limited, 3);
    assert_true(m->error_ratio > 0.299 && m->error_ratio < 0.301);
    assert_true(m->calls_per_s > 0.15 && m->calls_per_s < 0.17); /* 10 in a minute */
    assert_true(m->p50_ms > 80 && m->p50_ms <= 160);
    assert_true(m->usd_per_hour > 0.8 && m->usd_per_hour < 0.9); /* 0.014 in a minute */
}

static void test_lag_trend(void **state)
{
    struct rig *r = *state;
    struct report *one;

    status_set_life(r->status, LIFE_RUNNING);
    pass(r, 6); /* nobody knows the lag yet */
    run_both(r);
    assert_null(strstr(look(r)->verdict, "steady"));
    pass(r, 10);
    one = good_report("s.1");
    ((struct report_part *)one->parts)->lag = 10; /* good_report() made it */
    status_take_report(r->status, 1, one);
    assert_true(look(r)->is_lag_trend_known);
    assert_non_null(strstr(r->view.verdict, ", lag 60 falling, clears in about "));
}

static void set_pool(struct rig *r, int worker, int64_t seen_us, int64_t level, int waiting)
{
    struct report *one = good_report("s");
    struct pool_view *v = arena_zero(one->arena, sizeof(*v));

    *v = (struct pool_view){.req_cap = 12,
                            .tok_cap = 3000,
                            .req_level = level,
                            .tok_level = -50,
                            .seen_us = seen_us,
                            .in_flight = 4,
                            .waiting = waiting,
                            .blocked = waiting > 0 ? THROTTLE_TPM : THROTTLE_NONE};
    one->pools = v;
    one->n_pools = 1;
    status_take_report(r->status, worker, one);
}

/* Two models share one pool, two workers know it: levels are those heard last, what is per worker adds up. */
static void test_limits(void **state)
{
    struct rig *r = *state;
    const struct status_pool *p;

    run_both(r);
    set_pool(r, 0, 5, 3, 7);
    set_pool(r, 1, 9, 6, 0);
    p = look(r)->pools;
    assert_int_equal(r->view.n_pools, 1);
    assert_int_equal(p->n_models, 2);
    assert_int_equal(p->view.req_level, 6);
    assert_int_equal(p->view.in_flight, 8);
    assert_int_equal(p->view.waiting, 7);
    assert_true(r->view.models[0].rpm_free > 0.49 && r->view.models[0].rpm_free < 0.51);
    assert_true(r->view.models[0].tpm_free == 0); /* a debt */
    assert_true(r->view.models[3].rpm_free < 0);  /* no limits */
    assert_non_null(
        strstr(r->view.verdict, "big<b> is the bottleneck: its tokens per minute are used up, 7 calls wait."));
    status_json_limits(&r->view, &r->b);
    assert_non_null(strstr(r->b.p, "\"models\":[\"big<b>\",\"same\"],\"requests_per_minute\":600,"));
    assert_non_null(strstr(r->b.p, "\"requests_available\":6,\"tokens_bucket\":3000,\"tokens_available\":-50,"));
    buf_clear(&r->b);
    status_metrics(&r->view, &r->b);
    assert_non_null(
        strstr(r->b.p, "tutti_limit_available_ratio{provider=\"cloud\",model=\"same\",kind=\"rpm\"} 0.5000\n"));
    assert_non_null(strstr(r->b.p, "tutti_limit_capacity{provider=\"cloud\",model=\"same\",kind=\"tpm\"} 60000\n"));
    assert_null(strstr(r->b.p, "model=\"home\",kind"));
    assert_non_null(strstr(r->b.p, "tutti_kafka_consumer_lag_records{topic=\"jobs\",partition=\"0\"} 50\n"));
    assert_non_null(strstr(r->b.p, "tutti_kafka_oldest_unprocessed_age_seconds{topic=\"jobs\",partition=\"0\"} 1.5\n"));
    assert_non_null(strstr(r->b.p, "process_resident_memory_bytes "));
}

static void test_slowest_first(void **state)
{
    struct rig *r = *state;

    status_set_life(r->status, LIFE_RUNNING);
    for (int i = 0; i < 2; i++) {
        struct report *one = good_report("s");
        struct report_job *jobs = arena_zero(one->arena, sizeof(*jobs) * 15);

        for (int k = 0; k < 15; k++)
            jobs[k] = (struct report_job){.job_id = "j<script>", .step = "stage", .age_ms = 1000 - k * 10 - i};
        one->jobs = jobs;
        one->n_jobs_listed = 15;
        status_take_report(r->status, i, one);
    }
    assert_int_equal(look(r)->n_slowest, STATUS_SLOWEST);
    for (int i = 1; i < STATUS_SLOWEST; i++)
        assert_true(r->view.slowest[i].job->age_ms < r->view.slowest[i - 1].job->age_ms);
    /* What comes from outside is text, never markup. */
    status_page(&r->view, &r->b);
    assert_non_null(strstr(r->b.p, "j&lt;script&gt;"));
    assert_non_null(strstr(r->b.p, "big&lt;b&gt;"));
    assert_null(strstr(r->b.p, "<script"));
    assert_null(strstr(r->b.p, "<b>"));
}

/* A pool of the fleet's secrets: none of them is anywhere. */
static void test_no_secret_is_shown(void **state)
{
    struct rig *r = *state;

    run_both(r);
    (void)look(r);
    status_json(&r->view, &r->b);
    status_json_limits(&r->view, &r->b);
    status_page(&r->view, &r->b);
    status_metrics(&r->view, &r->b);
    metrics_print(&r->b);
    assert_null(strstr(r->b.p, "sk-0123456789"));
}

int main(void)
{
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_life),
        WITH_RIG(test_each_check),
        WITH_RIG(test_all_providers_failing_is_degraded),
        WITH_RIG(test_availability),
        WITH_RIG(test_rates_of_the_last_minute),
        WITH_RIG(test_lag_trend),
        WITH_RIG(test_limits),
        WITH_RIG(test_slowest_first),
        WITH_RIG(test_no_secret_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
