/* SPDX-License-Identifier: Apache-2.0 */
/* What does not fit a topic: texts are cut longest first at a marked place, never within a character or an escape; a
 * result fails only when its envelope does not fit; call records do without their labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/record_rig.h"

static char *texts(char c, size_t n)
{
    static char bytes[3][200001];
    static int turn;
    char *s = bytes[turn++ % 3];

    CHECK(n < sizeof(bytes[0]));
    memset(s, c, n);
    s[n] = '\0';
    return s;
}

static void set_limit(struct rig *r, enum output output, size_t limit)
{
    r->limits[output] = limit;
}

static size_t text_length(const json_t *json, const char *key)
{
    return json_string_length(json_object_get(json, key));
}

static const json_t *answer_at(const json_t *json, size_t i)
{
    return json_array_get(json_object_get(json, "answers"), i);
}

static bool has_mark(const json_t *json, const char *key)
{
    const char *s = json_string_value(json_object_get(json, key));

    return s != NULL && strstr(s, "\n[... cut by tutti: ") != NULL && strstr(s, " bytes left out]") != NULL;
}

/* The longest gives way first; the short ones stay whole; nearly all of the room is used. */
static void test_longest_first(void **state)
{
    const struct record *at;
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 3);
    set_limit(&r, OUT_RESULTS, 20000);
    rig_attempt(&r, 0, FAULT_NONE, texts('a', 30000));
    rig_attempt(&r, 1, FAULT_NONE, texts('b', 4000));
    rig_attempt(&r, 2, FAULT_NONE, texts('c', 500));
    json = rig_encode(&r, OUT_RESULTS, 0);
    at = rig_record(&r, OUT_RESULTS, 0);
    assert_in_range(at->value_len, 20000 - 300, 20000);
    CHECK_ROWS(json, {"status", "\"ok\""}, {"answer_truncated", "true"}, {"error_code", "null"});
    assert_true(has_mark(answer_at(json, 0), "answer"));
    assert_false(has_mark(answer_at(json, 1), "answer"));
    assert_int_equal(text_length(answer_at(json, 1), "answer"), 4000);
    assert_int_equal(text_length(answer_at(json, 2), "answer"), 500);
    json_decref(json);
    rig_stop(&r);
}

/* At the limit nothing is cut, one byte below something is. */
static void test_exact_limit(void **state)
{
    size_t whole = 0;

    (void)state;
    for (int below = 0; below < 2; below++) {
        struct rig r;
        json_t *json;

        rig_start(&r, 1);
        if (whole > 0)
            set_limit(&r, OUT_RESULTS, whole - (size_t)below);
        rig_attempt(&r, 0, FAULT_NONE, texts('x', 5000));
        r.j->merged.answer = text_of(texts('y', 6000));
        json = rig_encode(&r, OUT_RESULTS, 0);
        CHECK_ROWS(json, {"answer_truncated", below > 0 && whole > 0 ? "true" : "false"});
        if (whole == 0) {
            whole = rig_record(&r, OUT_RESULTS, 0)->value_len;
            below--;
        }
        assert_int_equal(text_length(answer_at(json, 0), "answer"), 5000);
        json_decref(json);
        rig_stop(&r);
    }
}

static const struct {
    const char *unit; /* repeated */
    bool is_escaped;
} scripts[] = {
    {"x", false},      {"\xc3\xa9", false},      {"\xe2\x82\xac", false}, {"\xf0\x9f\x98\x80", false},
    {"\"\n\\", false}, /* grows when it is escaped */
    {"\x01", false},   /* to six bytes */
    {"\xff", false},   /* no text at all */
    {"\\u20ac", true}, {"\\ud83d\\ude00", true}, {"a\\\"\\\\", true},
};

/* Whatever the text is made of and wherever the limit falls, the record is JSON in UTF-8 and fits. */
static void test_every_script(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++)
        for (size_t limit = 4000; limit < 4036; limit += 1 + limit % 2) {
            struct rig r;
            struct buf b;
            json_t *json;

            buf_init(&b, 0);
            while (b.len < 12000)
                buf_add_str(&b, scripts[i].unit);
            rig_start(&r, 1);
            set_limit(&r, OUT_RESULTS, limit);
            rig_attempt(&r, 0, FAULT_NONE, "")->answer =
                (struct text){.p = b.p, .len = b.len, .is_escaped = scripts[i].is_escaped};
            json = rig_encode(&r, OUT_RESULTS, 0);
            assert_in_range(rig_record(&r, OUT_RESULTS, 0)->value_len, limit - 800, limit);
            assert_true(has_mark(answer_at(json, 0), "answer"));
            if (scripts[i].unit[0] != '\xff')
                assert_null(strstr(json_string_value(json_object_get(answer_at(json, 0), "answer")), "\xef\xbf\xbd"));
            json_decref(json);
            rig_stop(&r);
            buf_done(&b);
        }
}

/* The mark says how much is missing. */
static void test_mark(void **state)
{
    char mark[100];
    const char *answer;
    struct rig r;
    json_t *json;
    size_t kept;

    (void)state;
    rig_start(&r, 1);
    set_limit(&r, OUT_RESULTS, 5000);
    rig_attempt(&r, 0, FAULT_NONE, texts('x', 10000));
    json = rig_encode(&r, OUT_RESULTS, 0);
    answer = json_string_value(json_object_get(answer_at(json, 0), "answer"));
    kept = strspn(answer, "x");
    snprintf(mark, sizeof(mark), "\n[... cut by tutti: %zu of 10000 bytes left out]", 10000 - kept);
    assert_string_equal(answer + kept, mark);
    json_decref(json);
    rig_stop(&r);
}

/* Tool calls are JSON: they are left out whole. */
static void test_tool_calls(void **state)
{
    struct rig r;
    json_t *json;
    char *tool_calls = texts(' ', 9000);

    (void)state;
    tool_calls[0] = '[';
    tool_calls[8999] = ']';
    rig_start(&r, 1);
    set_limit(&r, OUT_RESULTS, 5000);
    rig_attempt(&r, 0, FAULT_NONE, "short")->tool_calls = text_of(tool_calls);
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"answers/0/tool_calls", "null"}, {"answers/0/answer", "\"short\""}, {"answer_truncated", "true"},
               {"status", "\"ok\""});
    json_decref(json);
    rig_stop(&r);
}

/* Many short texts: cutting them would make them longer than they are. */
static void test_many_short_texts(void **state)
{
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 60);
    set_limit(&r, OUT_RESULTS, 48000);
    for (int i = 0; i < 60; i++)
        rig_attempt(&r, i, FAULT_NONE,
                    i == 7 ? texts('x', 40000)
                           : "seventy bytes are less than the mark needs ........................... ");
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"status", "\"ok\""}, {"answer_truncated", "true"});
    assert_false(has_mark(answer_at(json, 0), "answer"));
    assert_true(has_mark(answer_at(json, 7), "answer"));
    json_decref(json);
    rig_stop(&r);
}

static void check_too_large(struct rig *r)
{
    const struct record *at;
    json_t *json = rig_encode(r, OUT_RESULTS, 0);

    at = rig_record(r, OUT_RESULTS, 0);
    assert_true(at->value_len <= r->limits[OUT_RESULTS]);
    CHECK_ROWS(json, {"status", "\"failed\""}, {"error_code", "\"result_too_large\""}, {"error_retryable", "false"},
               {"answer", "null"}, {"answers", "[]"}, {"labels", "null"}, {"job_metadata", "null"},
               {"source_key", "null"}, {"answer_truncated", "true"}, {"winner", "null"}, {"answer_format", "null"},
               {"calls_total", "1"}, {"source_offset", "42"}, {"stages/0/status", "\"failed\""});
    json_decref(json);
}

/* The envelope alone is too much, whatever it is that makes it large. */
static void test_too_large(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct rig r;
        struct buf b;

        buf_init(&b, 0);
        buf_printf(&b, "{\"k\":\"%s\"}", texts('l', 90000));
        rig_start(&r, 1);
        set_limit(&r, OUT_RESULTS, 10000);
        rig_attempt(&r, 0, FAULT_NETWORK, NULL);
        rig_full_attempt(&r, 0);
        LIST_ENTRY(r.j->calls[0].attempts.prev, struct attempt, link)->number = 1;
        list_del(r.j->calls[0].attempts.next);
        r.j->merged = (struct merged){.answer = TEXT_LIT("Because."), .winner = 0, .selected = {true}};
        if (what == 0)
            r.j->spec.labels = text_slice(b.p, b.len);
        else if (what == 1)
            r.j->spec.metadata = text_slice(b.p, b.len);
        else
            r.j->source_key = b.p;
        r.j->source_key_len = what == 2 ? b.len : 0;
        check_too_large(&r);
        rig_stop(&r);
        buf_done(&b);
    }
}

/* Labels stand in every call record: they are left out where they do not fit. */
static void test_call_without_labels(void **state)
{
    struct rig r;
    struct buf b;
    json_t *json;

    (void)state;
    buf_init(&b, 0);
    buf_printf(&b, "{\"k\":\"%s\"}", texts('l', 5000));
    rig_start(&r, 1);
    set_limit(&r, OUT_CALLS, 4000);
    r.j->spec.labels = text_slice(b.p, b.len);
    rig_full_attempt(&r, 0);
    json = rig_encode(&r, OUT_CALLS, 0);
    CHECK_ROWS(json, {"labels", "null"}, {"status", "\"ok\""});
    assert_true(rig_record(&r, OUT_CALLS, 0)->value_len <= 4000);
    json_decref(json);
    json = rig_encode(&r, OUT_RESULTS, 0); /* the result has room for them */
    assert_int_equal(json_string_length(json_object_get(json_object_get(json, "labels"), "k")), 5000);
    json_decref(json);
    rig_stop(&r);
    buf_done(&b);
}

/* Names from a provider or a job are bounded: a call record has no other texts. */
static void test_long_names(void **state)
{
    struct rig r;
    struct outcome *o;
    json_t *json;

    (void)state;
    rig_start(&r, 1);
    o = rig_full_attempt(&r, 0);
    o->response_model = o->raw_finish = o->request_id = text_of(texts('n', 100000));
    r.j->calls[0].asked = r.j->calls[0].model = NULL;
    r.j->calls[0].name = text_of(texts('m', 100000));
    json = rig_encode(&r, OUT_CALLS, 0);
    assert_int_equal(text_length(json, "response_model"), FOREIGN_NAME_MAX);
    assert_int_equal(text_length(json, "raw_finish_reason"), FOREIGN_NAME_MAX);
    assert_int_equal(text_length(json, "provider_request_id"), FOREIGN_NAME_MAX);
    assert_int_equal(text_length(json, "request_model"), FOREIGN_NAME_MAX);
    json_decref(json);
    json = rig_encode(&r, OUT_RESULTS, 0);
    assert_int_equal(text_length(answer_at(json, 0), "request_model"), FOREIGN_NAME_MAX);
    json_decref(json);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_first), cmocka_unit_test(test_exact_limit),
        cmocka_unit_test(test_every_script),  cmocka_unit_test(test_mark),
        cmocka_unit_test(test_tool_calls),    cmocka_unit_test(test_many_short_texts),
        cmocka_unit_test(test_too_large),     cmocka_unit_test(test_call_without_labels),
        cmocka_unit_test(test_long_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
