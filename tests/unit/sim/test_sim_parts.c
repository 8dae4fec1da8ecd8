/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the simulator: request heads, chat bodies, directives, meters, decisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/dialect.h"

static void request_heads(void **state)
{
    static const char good[] = "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: h\r\nauthorization: bearer  sk-1 \r\n"
                               "Content-Length: 12\r\nIdempotency-Key: i1\r\nExpect: 100-continue\r\n\r\n{}";
    static const struct {
        const char *head;
        int want;
    } rows[] = {
        {"", 0},
        {"GET / HTTP/1.1\r\n", 0},
        {"GET / HTTP/1.1\r\n\r\n", 1},
        {"GET / HTTP/2.0\r\n\r\n", -EINVAL},
        {"GET /\r\n\r\n", -EINVAL},
        {"\r\n\r\n", -EINVAL},
        {"GET / HTTP/1.1\r\nno colon\r\n\r\n", -EINVAL},
        {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", -EINVAL},
        {"GET / HTTP/1.1\r\nContent-Length: 9999999999999\r\n\r\n", -EINVAL},
    };
    struct http_request r;
    char *endless = mem_alloc(40000);

    (void)state;
    assert_int_equal(http_read_head(good, sizeof(good) - 1, &r), 1);
    assert_true(text_is(r.method, "POST"));
    assert_true(text_is(r.path, "/v1/chat/completions"));
    assert_true(text_is(http_key(&r, 1U << KEY_BEARER), "sk-1"));
    assert_true(text_is(r.idempotency_key, "i1"));
    assert_int_equal(r.body_bytes, 12);
    assert_int_equal(r.head_bytes, sizeof(good) - 3);
    assert_true(r.is_continue);
    assert_false(r.is_close);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(http_read_head(rows[i].head, strlen(rows[i].head), &r), rows[i].want);
    assert_int_equal(http_read_head("GET / HTTP/1.0\r\n\r\n", 18, &r), 1);
    assert_true(r.is_close);
    memset(endless, 'x', 40000);
    assert_int_equal(http_read_head(endless, 40000, &r), -E2BIG);
    mem_free(endless);
}

static void directives(void **state)
{
    static const struct {
        const char *prompt;
        uint32_t attempt;
        bool has_fault;
        enum sim_fault fault;
        int status;
        int64_t latency_us;
        int64_t retry_after_ms;
        const char *answer;
    } rows[] = {
        {"hello", 1, false, SIM_OK, 0, -1, -1, NULL},
        {"a [[sim: status=500 times=2]] b", 2, true, SIM_STATUS, 500, -1, -1, NULL},
        {"a [[sim: status=500 times=2]] b", 3, false, SIM_OK, 0, -1, -1, NULL},
        {"[[sim: latency=2s]]", 9, false, SIM_OK, 0, 2000000, -1, NULL},
        {"[[sim: status=429 retry_after=2.5 times=1]]", 1, true, SIM_STATUS, 429, -1, 2500, NULL},
        {"[[sim: silence]]", 1, true, SIM_SILENCE, 0, -1, -1, NULL},
        {"[[sim:reset]]", 1, true, SIM_RESET, 0, -1, -1, NULL},
        {"[[sim: drip model=m]]", 1, true, SIM_DRIP, 0, -1, -1, NULL},
        {"[[sim: drip model=other]]", 1, false, SIM_OK, 0, -1, -1, NULL},
        {"[[sim: answer=Error: is a word]]", 1, false, SIM_OK, 0, -1, -1, "Error: is a word"},
        {"[[sim: model=other answer=no]] [[sim: latency=1ms answer=yes = it]]", 1, false, SIM_OK, 0, 1000, -1,
         "yes = it"},
        {"[[sim: empty times=1]][[sim: truncate]]", 1, true, SIM_EMPTY, 0, -1, -1, NULL},
        {"[[sim: empty times=1]][[sim: truncate]]", 2, true, SIM_TRUNCATE, 0, -1, -1, NULL},
        {"[[sim: status=99]]", 1, false, SIM_OK, 99, -1, -1, NULL},
        {"[[sim: overloaded]]", 1, true, SIM_OVERLOADED, 0, -1, -1, NULL},
        {"[[sim: refusal]]", 1, true, SIM_REFUSAL, 0, -1, -1, NULL},
        {"[[sim: unknown=7 e503]]", 1, true, SIM_E503, 0, -1, -1, NULL},
        {"[[sim: silence", 1, false, SIM_OK, 0, -1, -1, NULL},
        {"[[sim:]]", 1, false, SIM_OK, 0, -1, -1, NULL},
        {"", 1, false, SIM_OK, 0, -1, -1, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct orders o;

        orders_read(rows[i].prompt, strlen(rows[i].prompt), "m", rows[i].attempt, &o);
        assert_int_equal(o.has_fault, rows[i].has_fault);
        if (rows[i].has_fault) {
            assert_int_equal(o.fault, rows[i].fault);
            assert_int_equal(o.status, rows[i].status);
        }
        assert_int_equal(o.latency_us, rows[i].latency_us);
        assert_int_equal(o.retry_after_ms, rows[i].retry_after_ms);
        if (rows[i].answer == NULL)
            assert_null(o.answer.p);
        else
            assert_true(text_is(o.answer, rows[i].answer));
    }
}

static void directives_beside_the_fault(void **state)
{
    static const char prompt[] = "[[sim: tool=f reasoning=20]] [[sim: cached=5 should_retry=false plain tool=g]]";
    struct orders o;

    (void)state;
    orders_read(prompt, sizeof(prompt) - 1, "m", 1, &o);
    assert_false(o.has_fault);
    assert_string_equal(o.tool, "f"); /* the first */
    assert_int_equal(o.reasoning_tokens, 20);
    assert_int_equal(o.cached_tokens, 5);
    assert_int_equal(o.should_retry, 0);
    assert_true(o.is_plain);
    orders_read("[[sim: tool cached=x]]", 22, "m", 1, &o);
    assert_string_equal(o.tool, "*");
    assert_int_equal(o.cached_tokens, 0);
    assert_int_equal(o.reasoning_tokens, -1);
    assert_int_equal(o.should_retry, -1);
}

static void the_first_attempts_fail(void **state)
{
    struct sim_model m = {.name = (char *)"m", .fail_first = 2, .fail_status = 429, .retry_after_us = 300000};
    struct orders none = ORDERS_NONE;
    struct orders orders = ORDERS_NONE;

    (void)state;
    for (uint32_t attempt = 1; attempt <= 2; attempt++) {
        struct decision d = decide(1, 99, attempt, &m, &none);

        assert_int_equal(d.fault, SIM_STATUS);
        assert_int_equal(d.status, 429);
        assert_int_equal(d.retry_after_ms, 300);
    }
    assert_int_equal(decide(1, 99, 3, &m, &none).status, 200);
    orders.has_fault = true; /* an order goes first */
    orders.fault = SIM_E503;
    assert_int_equal(decide(1, 99, 1, &m, &orders).status, 503);
}

static void meter_windows_are_exact(void **state)
{
    struct sim_model model = {.name = (char *)"m", .requests_per_window = 3, .window_us = 1000};
    struct meter *m = meter_new("m");
    struct overrun over;
    struct level level;

    (void)state;
    assert_int_equal(meter_enter(m, &model, 100, 1, 1, &over), 0);
    assert_int_equal(meter_enter(m, &model, 200, 1, 1, &over), 0);
    assert_int_equal(meter_enter(m, &model, 200, 1, 1, &over), 0);
    assert_int_equal(meter_enter(m, &model, 1099, 1, 1, &over), -EBUSY);
    assert_string_equal(over.decision, "over_rpm");
    assert_int_equal(over.wait_us, 1);
    assert_int_equal(over.used, 3);
    assert_true(meter_level(m, &model, METER_REQUESTS, 1099, &level));
    assert_int_equal(level.limit, 3);
    assert_int_equal(level.left, 0);
    assert_int_equal(level.reset_us, 101); /* until the last of them is gone */
    assert_false(meter_level(m, &model, METER_TOKENS, 1099, &level));
    assert_int_equal(meter_enter(m, &model, 1100, 1, 1, &over), 0); /* the refused one was not counted */
    assert_int_equal(meter_enter(m, &model, 1199, 1, 1, &over), -EBUSY);
    assert_int_equal(meter_enter(m, &model, 1200, 1, 1, &over), 0);
    assert_int_equal(meter_in_flight(m), 5);
    for (int i = 0; i < 5; i++)
        meter_leave(m);
    meter_free(m);
}

static void meter_counts_tokens_and_calls_under_way(void **state)
{
    struct sim_model model = {.name = (char *)"m", .tokens_per_window = 100, .window_us = 1000, .concurrency = 2};
    struct sim_model parts = {
        .name = (char *)"m", .input_tokens_per_window = 10, .output_tokens_per_window = 10, .window_us = 1000};
    struct meter *m = meter_new("m");
    struct overrun over;

    (void)state;
    assert_int_equal(meter_enter(m, &model, 0, 30, 30, &over), 0);
    assert_int_equal(meter_enter(m, &model, 5, 20, 21, &over), -EBUSY);
    assert_string_equal(over.decision, "over_tpm");
    assert_int_equal(over.dimension, METER_TOKENS);
    assert_int_equal(over.wait_us, 995);
    assert_int_equal(meter_enter(m, &model, 5, 100, 1, &over), -EBUSY);
    assert_int_equal(over.wait_us, -1); /* larger than the limit: never */
    assert_int_equal(meter_enter(m, &model, 5, 20, 20, &over), 0);
    assert_int_equal(meter_enter(m, &model, 2000, 1, 1, &over), -EBUSY);
    assert_string_equal(over.decision, "over_concurrency");
    meter_leave(m);
    assert_int_equal(meter_enter(m, &model, 2000, 1, 1, &over), 0);
    assert_int_equal(meter_enter(m, &parts, 2000, 10, 0, &over), -EBUSY);
    assert_string_equal(over.decision, "over_input_tpm");
    assert_int_equal(meter_enter(m, &parts, 2000, 0, 10, &over), -EBUSY);
    assert_string_equal(over.decision, "over_output_tpm");
    meter_free(m);
}

static void meter_holds_many(void **state)
{
    struct sim_model model = {.name = (char *)"m", .requests_per_window = 1000, .window_us = 1000};
    struct meter *m = meter_new("m");
    struct overrun over;
    int let_in = 0;

    (void)state;
    for (int t = 0; t < 5000; t++) /* two a microsecond: 1000 in each window */
        for (int i = 0; i < 2; i++)
            let_in += meter_enter(m, &model, t, 1, 1, &over) == 0;
    assert_int_equal(let_in, 5000);
    meter_free(m);
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void decisions_repeat_and_keep_their_shares(void **state)
{
    enum { N = 20000 };
    struct sim_model m = {.latency_us = 100000, .p99_factor = 5, .shares = {[SIM_E429] = 500, [SIM_RESET] = 1000}};
    struct orders none = ORDERS_NONE;
    int64_t *latencies = mem_alloc(sizeof(*latencies) * N);
    int counts[SIM_FAULT_MAX] = {0};
    struct decision d;
    int n = 0;

    (void)state;
    for (uint64_t i = 0; i < N; i++) {
        d = decide(1, i * 7919 + 1, 1, &m, &none);
        counts[d.fault]++;
        if (d.fault == SIM_OK)
            latencies[n++] = d.latency_us;
        if (d.fault == SIM_E429) {
            assert_int_equal(d.status, 429);
            assert_int_equal(d.latency_us, 0);
        }
    }
    assert_in_range(counts[SIM_E429], 850, 1150);
    assert_in_range(counts[SIM_RESET], 1800, 2200);
    assert_int_equal(counts[SIM_E500], 0);
    qsort(latencies, (size_t)n, sizeof(*latencies), compare_i64);
    assert_in_range(latencies[n / 2], 95000, 105000);
    assert_in_range(latencies[n * 99 / 100], 450000, 550000);
    mem_free(latencies);

    d = decide(1, 99, 1, &m, &none);
    for (int i = 0; i < 3; i++) {
        struct decision again = decide(1, 99, 1, &m, &none);

        assert_int_equal(again.latency_us, d.latency_us);
        assert_int_equal(again.fault, d.fault);
    }
    assert_int_not_equal(decide(2, 99, 1, &m, &none).latency_us, d.latency_us);
    assert_int_not_equal(decide(1, 99, 2, &m, &none).latency_us, d.latency_us);
}

static void attempts_are_counted(void **state)
{
    struct attempts a = {.cap = 0};

    (void)state;
    assert_int_equal(attempts_get(&a, 5), 0);
    for (uint64_t round = 1; round <= 3; round++)
        for (uint64_t i = 1; i <= 5000; i++) {
            assert_int_equal(attempts_get(&a, i * 1024), round - 1); /* all in one slot at first */
            attempts_add(&a, i * 1024);
        }
    assert_int_equal(attempts_get(&a, 1024), 3);
    attempts_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_heads),
        cmocka_unit_test(directives),
        cmocka_unit_test(directives_beside_the_fault),
        cmocka_unit_test(the_first_attempts_fail),
        cmocka_unit_test(meter_windows_are_exact),
        cmocka_unit_test(meter_counts_tokens_and_calls_under_way),
        cmocka_unit_test(meter_holds_many),
        cmocka_unit_test(decisions_repeat_and_keep_their_shares),
        cmocka_unit_test(attempts_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
