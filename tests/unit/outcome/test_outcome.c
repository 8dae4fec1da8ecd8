/* SPDX-License-Identifier: Apache-2.0 */
/* Names, failing, and the journal's form of an outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "core/outcome.h"

static void codes_go_there_and_back(void **state)
{
    (void)state;
    assert_null(fault_code(FAULT_NONE));
    for (int f = FAULT_NONE + 1; f < FAULT_MAX; f++) {
        enum fault back = FAULT_NONE;

        assert_int_equal(fault_parse(fault_code((enum fault)f), &back), 0);
        assert_int_equal(back, f);
    }
    assert_null(finish_name(FINISH_UNKNOWN));
    assert_string_equal(finish_name(FINISH_TOOL_CALLS), "tool_calls");
    assert_int_equal(fault_parse("rate-limited", &(enum fault){0}), -EINVAL);
    assert_int_equal(fault_parse("", &(enum fault){0}), -EINVAL);
    assert_true(fault_is_retryable(FAULT_NETWORK));
    assert_false(fault_is_retryable(FAULT_AUTH));
    assert_false(fault_is_retryable(FAULT_NONE));
}

static void why_is_cut_between_characters(void **state)
{
    struct outcome o;
    char wide[400];

    (void)state;
    outcome_init(&o);
    memset(wide, 'x', sizeof(wide));
    wide[0] = '\n';
    for (size_t i = 1; i + 2 < sizeof(wide); i += 2)
        memcpy(wide + i, "\xc3\xa9", 2);
    wide[sizeof(wide) - 1] = '\0';
    outcome_fail(&o, FAULT_TIMEOUT, "first_byte_timeout", "%s", wide);
    assert_int_equal(o.fault, FAULT_TIMEOUT);
    assert_string_equal(o.detail, "first_byte_timeout");
    assert_int_equal(strlen(o.why), 159);
    assert_int_equal(o.why[0], ' ');
    assert_memory_equal(o.why + 157, "\xc3\xa9", 2);
}

static void ok_needs_something_usable(void **state)
{
    struct outcome o;

    (void)state;
    outcome_init(&o);
    assert_false(outcome_is_ok(&o));
    o.answer = TEXT_LIT(" \n");
    assert_false(outcome_is_ok(&o));
    o.refusal = TEXT_LIT("no");
    assert_true(outcome_is_ok(&o));
    o.refusal = TEXT_NONE;
    o.tool_calls = TEXT_LIT("[{}]");
    assert_true(outcome_is_ok(&o));
    o.fault = FAULT_BAD_RESPONSE;
    assert_false(outcome_is_ok(&o));
}

static struct outcome full(void)
{
    struct outcome o;

    outcome_init(&o);
    o.detail = "empty_length";
    memcpy(o.why, "it said \"no\"", 13);
    o.fault = FAULT_EMPTY_ANSWER;
    o.http_status = 200;
    o.retry_after_us = 1500000;
    o.hint = RETRY_HINT_NO;
    o.is_ambiguous = true;
    o.was_sent = true;
    o.usage_estimated = true;
    o.answer = (struct text){.p = "a\\nb\\u00e9", .len = 10, .is_escaped = true};
    o.refusal = TEXT_LIT("plain \"quote\" \xc3\xa9");
    o.reasoning = TEXT_LIT("");
    o.tool_calls = TEXT_LIT("[{\"id\":\"x\\n\"},[1,2]]");
    o.response_model = TEXT_LIT("gpt-4o-2024");
    o.request_id = TEXT_LIT("req_\"1");
    o.raw_finish = TEXT_LIT("length");
    o.request_model = TEXT_LIT("chatgpt");
    o.served_model = TEXT_LIT("claude");
    o.fallback_index = 2;
    o.key_id = "0123456789ab";
    o.breaker_state = "half_open";
    o.finish = FINISH_LENGTH;
    o.usage = (struct usage){10, 20, 0, 20};
    o.cost_nusd = 0;
    o.started_ms = 1700000000000;
    o.ended_ms = 1700000001000;
    o.queue_us = 0;
    o.throttle_us = 7;
    o.throttle_reason = "rpm";
    o.reserved_tokens = 99;
    o.connect_us = 0;
    o.ttft_us = 12;
    o.duration_us = 1000000;
    o.bytes_out = 5;
    o.bytes_in = 6;
    return o;
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
    struct text ta[] = {a->answer,     a->refusal,    a->reasoning,     a->response_model, a->request_id,
                        a->raw_finish, a->tool_calls, a->request_model, a->served_model};
    struct text tb[] = {b->answer,     b->refusal,    b->reasoning,     b->response_model, b->request_id,
                        b->raw_finish, b->tool_calls, b->request_model, b->served_model};

    for (size_t i = 0; i < ARRAY_LEN(ta); i++) {
        assert_int_equal(ta[i].p == NULL, tb[i].p == NULL);
        assert_true(text_equal(ta[i], tb[i]));
    }
    assert_int_equal(a->fault, b->fault);
    assert_string_equal(a->why, b->why);
    assert_int_equal(a->detail == NULL, b->detail == NULL);
    if (a->detail != NULL)
        assert_string_equal(a->detail, b->detail);
    if (a->throttle_reason != NULL)
        assert_string_equal(a->throttle_reason, b->throttle_reason);
    assert_int_equal(a->key_id == NULL, b->key_id == NULL);
    if (a->key_id != NULL)
        assert_string_equal(a->key_id, b->key_id);
    assert_int_equal(a->breaker_state == NULL, b->breaker_state == NULL);
    if (a->breaker_state != NULL)
        assert_string_equal(a->breaker_state, b->breaker_state);
    assert_int_equal(a->fallback_index, b->fallback_index);
    assert_int_equal(a->http_status, b->http_status);
    assert_int_equal(a->hint, b->hint);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->is_ambiguous, b->is_ambiguous);
    assert_int_equal(a->was_sent, b->was_sent);
    assert_int_equal(a->usage_estimated, b->usage_estimated);
    assert_memory_equal(&a->usage, &b->usage, sizeof(a->usage));
    assert_int_equal(a->retry_after_us, b->retry_after_us);
    assert_int_equal(a->cost_nusd, b->cost_nusd);
    assert_int_equal(a->started_ms, b->started_ms);
    assert_int_equal(a->ended_ms, b->ended_ms);
    assert_int_equal(a->queue_us, b->queue_us);
    assert_int_equal(a->throttle_us, b->throttle_us);
    assert_int_equal(a->reserved_tokens, b->reserved_tokens);
    assert_int_equal(a->connect_us, b->connect_us);
    assert_int_equal(a->ttft_us, b->ttft_us);
    assert_int_equal(a->duration_us, b->duration_us);
    assert_int_equal(a->bytes_out, b->bytes_out);
    assert_int_equal(a->bytes_in, b->bytes_in);
}

static void journal_gives_back_what_it_got(void **state)
{
    struct outcome cases[2] = {full()};

    (void)state;
    outcome_init(&cases[1]);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena *a = arena_new(1024);
        struct outcome back;
        struct buf b;

        buf_init(&b, 0);
        outcome_encode(&cases[i], &b);
        assert_int_equal(outcome_decode(&back, a, b.p, b.len), 0);
        buf_done(&b); /* nothing may point into it */
        assert_same(&cases[i], &back);
        assert_true(back.is_recalled);
        assert_false(back.request_id.is_escaped);
        arena_free(a);
    }
}

/* Found by fuzzing: stray bytes grow on the way, and the entry was refused. */
static void journal_takes_a_why_of_stray_bytes(void **state)
{
    struct arena *a = arena_new(1024);
    struct outcome o;
    struct buf b;

    (void)state;
    outcome_init(&o);
    o.fault = FAULT_NETWORK;
    memset(o.why, 0xff, sizeof(o.why) - 1);
    buf_init(&b, 0);
    outcome_encode(&o, &b);
    assert_int_equal(outcome_decode(&o, a, b.p, b.len), 0);
    assert_int_equal(strlen(o.why), 159);
    buf_done(&b);
    arena_free(a);
}

static void journal_refuses_what_is_not_ours(void **state)
{
    static const struct {
        const char *json;
        int want;
    } rows[] = {
        {"{\"v\":1}", 0},
        {"{\"v\":1,\"from_the_future\":{\"x\":[1]}}", 0},
        {"{}", -EINVAL},
        {"{\"v\":2}", -EINVAL},
        {"{\"v\":1", -EINVAL},
        {"{\"v\":1}x", -EINVAL},
        {"[]", -EINVAL},
        {"", -EINVAL},
        {"{\"v\":1,\"fault\":\"no_such\"}", -EINVAL},
        {"{\"v\":1,\"fault\":7}", -EINVAL},
        {"{\"v\":1,\"finish\":\"no_such\"}", -EINVAL},
        {"{\"v\":1,\"cost_nusd\":1.5}", -EINVAL},
        {"{\"v\":1,\"answer\":7}", -EINVAL},
        {"{\"v\":1,\"tool_calls\":\"x\"}", -EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *a = arena_new(256);
        struct outcome o = {.http_status = 7};
        int r = outcome_decode(&o, a, rows[i].json, strlen(rows[i].json));

        if (r != rows[i].want)
            print_error("row %zu: %s\n", i, rows[i].json);
        assert_int_equal(r, rows[i].want);
        assert_int_equal(o.http_status, r < 0 ? 7 : 0); /* written only on success */
        arena_free(a);
    }
}

static void keep_copies_the_texts(void **state)
{
    struct arena *a = arena_new(256);
    char body[] = "hello";
    struct outcome o;

    (void)state;
    outcome_init(&o);
    o.answer = text_of(body);
    outcome_keep(&o, a);
    memset(body, 'x', 5);
    assert_true(text_is(o.answer, "hello"));
    assert_null(o.refusal.p);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_go_there_and_back),
        cmocka_unit_test(why_is_cut_between_characters),
        cmocka_unit_test(ok_needs_something_usable),
        cmocka_unit_test(journal_gives_back_what_it_got),
        cmocka_unit_test(journal_refuses_what_is_not_ours),
        cmocka_unit_test(journal_takes_a_why_of_stray_bytes),
        cmocka_unit_test(keep_copies_the_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
