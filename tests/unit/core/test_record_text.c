/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the result that are made: output_format, detail, the input and its hash; votes and what was left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/record_rig.h"

/* --- output_format --- */

#define MARKDOWN "# Title\n\nText with # and **bold**\n```c\n# not a heading\n```\n###### Six\n#tag\n####### seven\n"

static const struct {
    enum output_format format;
    const char *answer;
    const char *text, *words;
} formats[] = {
    {FORMAT_AS_IS, MARKDOWN, MARKDOWN, "markdown"},
    {FORMAT_MARKDOWN, MARKDOWN, MARKDOWN, "markdown"},
    {FORMAT_PLAIN, MARKDOWN, "Title\n\nText with # and **bold**\n# not a heading\nSix\n#tag\n####### seven\n", "plain"},
    {FORMAT_PLAIN, "~~~\n```\n~~~\nx", "```\nx", "plain"},
    {FORMAT_PLAIN, "## ", "", "plain"},
    {FORMAT_PLAIN, "```", "", "plain"},
    {FORMAT_PLAIN, "x", "x", "plain"},
    {FORMAT_JSON, "say \"hi\"\n", "{\"answer\":\"say \\\"hi\\\"\\n\"}", "json"},
    {FORMAT_JSON, "{\"a\":1}", "{\"answer\":\"{\\\"a\\\":1}\"}", "json"},
};

static void test_output_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct rig r;
        json_t *json;

        rig_start(&r, 1);
        rig_attempt(&r, 0, FAULT_NONE, formats[i].answer);
        r.j->spec.output_format = formats[i].format;
        r.j->merged = (struct merged){.answer = text_of(formats[i].answer), .winner = 0, .selected = {true}};
        json = rig_encode(&r, OUT_RESULTS, 0);
        if (strcmp(json_string_value(json_object_get(json, "answer")), formats[i].text) != 0)
            fail_msg("row %zu: %s", i, json_string_value(json_object_get(json, "answer")));
        assert_string_equal(json_string_value(json_object_get(json, "answer_format")), formats[i].words);
        /* the raw text stays what the model said */
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(json_object_get(json, "answers"), 0), "answer")),
            formats[i].answer);
        json_decref(json);
        rig_stop(&r);
    }
}

static void test_no_answer_has_no_format(void **state)
{
    static const enum output_format all[] = {FORMAT_AS_IS, FORMAT_PLAIN, FORMAT_MARKDOWN, FORMAT_JSON};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct rig r;
        json_t *json;

        rig_start(&r, 1);
        rig_attempt(&r, 0, FAULT_NONE, "x");
        r.j->spec.output_format = all[i];
        json = rig_encode(&r, OUT_RESULTS, 0);
        CHECK_ROWS(json, {"answer", "null"}, {"answer_format", "null"});
        json_decref(json);
        rig_stop(&r);
    }
}

/* A cut falls inside of the string: what is left is JSON still. */
static void test_json_is_cut_and_stays_json(void **state)
{
    static char text[8001];
    struct rig r;
    json_t *json, *inner;

    (void)state;
    memset(text, '"', sizeof(text) - 1);
    rig_start(&r, 1);
    r.limits[OUT_RESULTS] = 8000;
    rig_attempt(&r, 0, FAULT_NONE, text);
    r.j->spec.output_format = FORMAT_JSON;
    r.j->merged = (struct merged){.answer = text_of(text), .winner = 0, .selected = {true}};
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"answer_truncated", "true"}, {"status", "\"ok\""});
    inner = json_loads(json_string_value(json_object_get(json, "answer")), 0, NULL);
    assert_non_null(strstr(json_string_value(json_object_get(inner, "answer")), "cut by tutti"));
    json_decref(inner);
    json_decref(json);
    rig_stop(&r);
}

/* --- detail --- */

static void test_detail(void **state)
{
    static const struct {
        enum detail detail;
        const char *answer, *refusal, *prompt;
    } rows[] = {
        {DETAIL_FULL, "\"Because.\"", "null", "null"},
        {DETAIL_FINAL, "null", "null", "null"},
        {DETAIL_FULL_WITH_PROMPT, "\"Because.\"", "null", "\"Why?\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;
        json_t *json;

        rig_start(&r, 1);
        rig_full_attempt(&r, 0)->tool_calls = TEXT_LIT("[{\"id\":\"t\"}]");
        r.j->spec.detail = rows[i].detail;
        r.j->merged = (struct merged){.answer = TEXT_LIT("Because."), .winner = 0, .selected = {true}};
        json = rig_encode(&r, OUT_RESULTS, 0);
        CHECK_ROWS(json, {"answer", "\"Because.\""}, {"answers/0/answer", rows[i].answer}, {"prompt", rows[i].prompt},
                   {"answers/0/reasoning", rows[i].detail == DETAIL_FINAL ? "null" : "\"hm\""},
                   {"answers/0/tool_calls", "[{\"id\":\"t\"}]"}); /* data, not text */
        json_decref(json);
        rig_stop(&r);
    }
}

/* --- the input --- */

static const struct message_part user_parts[] = {{PART_TEXT, TEXT_LIT("look")}, {PART_IMAGE, TEXT_LIT("https://a/b")}};
static const struct message_part answer_parts[] = {{PART_TEXT, {.p = "\\u00e9", .len = 6, .is_escaped = true}}};
static const struct chat_message talk[] = {
    {.role = ROLE_USER, .parts = user_parts, .n_parts = 2},
    {.role = ROLE_ASSISTANT, .parts = answer_parts, .n_parts = 1, .tool_calls = TEXT_LIT("[]")},
};

static void test_prompt_of_a_conversation(void **state)
{
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 1);
    rig_attempt(&r, 0, FAULT_NONE, "x");
    r.j->spec.detail = DETAIL_FULL_WITH_PROMPT;
    r.j->spec.system = TEXT_LIT("Be brief");
    r.j->spec.messages = talk;
    r.j->spec.n_messages = 2;
    json = rig_encode(&r, OUT_RESULTS, 0);
    assert_string_equal(json_string_value(json_object_get(json, "prompt")),
                        "## system\n\nBe brief\n\n## user\n\nlook[image]\n\n## assistant\n\n\xc3\xa9[]");
    json_decref(json);
    rig_stop(&r);
}

/* Every part of the input changes the hash, and the form in which a text came does not. */
static void test_hash(void **state)
{
    enum { ROWS = 9 };
    static const struct chat_message same = {.role = ROLE_USER, .parts = answer_parts, .n_parts = 1};
    static const struct message_part plain_part = {PART_TEXT, TEXT_LIT("\xc3\xa9")};
    static const struct chat_message plain = {.role = ROLE_USER, .parts = &plain_part, .n_parts = 1};
    struct job_member member = {.system = TEXT_LIT("m")};
    char hash[ROWS][DIGEST_HEX + 1], again[DIGEST_HEX + 1];
    struct rig r;

    (void)state;
    rig_start(&r, 1);
    record_hash_input(r.j, hash[0]);
    r.j->spec.system = TEXT_LIT("s");
    record_hash_input(r.j, hash[1]);
    r.j->spec.system = TEXT_LIT("t");
    record_hash_input(r.j, hash[2]);
    r.j->spec.tools = TEXT_LIT("[1]");
    record_hash_input(r.j, hash[3]);
    r.j->spec.members = &member;
    r.j->spec.n_members = 1;
    record_hash_input(r.j, hash[4]);
    r.j->spec.messages = talk;
    record_hash_input(r.j, hash[5]);
    r.j->spec.n_messages = 2;
    record_hash_input(r.j, hash[6]);
    r.j->spec = (struct job_spec){.messages = &same, .n_messages = 1};
    record_hash_input(r.j, hash[7]);
    r.j->spec.messages = &plain;
    record_hash_input(r.j, again);
    assert_string_equal(again, hash[7]);
    r.j->spec.n_members = 1;
    r.j->spec.members = &member;
    record_hash_input(r.j, hash[8]);
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(hash[i], hash[k]) == 0)
                fail_msg("%d and %d have one hash", i, k);
    rig_stop(&r);
}

/* --- votes, dropped, tenant, samples --- */

static void test_votes(void **state)
{
    static const struct ballot ballots[] = {{TEXT_LIT("42"), 2.5}, {.votes = -1}, {TEXT_LIT("7"), 1}};
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 3);
    for (int i = 0; i < 3; i++)
        rig_attempt(&r, i, FAULT_NONE, "so it is 42");
    r.j->calls[1].member = 0; /* its second sample */
    r.j->calls[1].sample = 1;
    r.j->n_members = 2;
    r.j->spec.tenant = TEXT_LIT("acme");
    r.j->merged = (struct merged){
        .answer = TEXT_LIT("so it is 42"), .winner = 0, .selected = {true}, .ballots = ballots, .agreement = 0.75};
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"agreement", "0.75"}, {"answers/0/votes", "2.5"}, {"answers/0/vote", "\"42\""},
               {"answers/1/votes", "null"}, {"answers/1/vote", "null"}, {"answers/2/votes", "1"},
               {"answers/1/member", "0"}, {"answers/1/sample", "1"}, {"answers/1/selected", "false"},
               {"models_asked", "2"}, {"models_ok", "2"}, {"stages/0/asked", "3"}, {"stages/0/ok", "3"},
               {"tenant", "\"acme\""}, {"winner", "\"a\""});
    json_decref(json);
    json = rig_encode(&r, OUT_CALLS, 1);
    CHECK_ROWS(json, {"member", "0"}, {"sample", "1"}, {"tenant", "\"acme\""});
    json_decref(json);
    rig_stop(&r);
}

static void test_dropped_params(void **state)
{
    static const struct text names[] = {TEXT_LIT("cache_control")};
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 2);
    rig_attempt(&r, 0, FAULT_NONE, "x");
    rig_attempt(&r, 1, FAULT_NONE, "y");
    r.j->calls[1].wire.dropped[0] = TEXT_LIT("top_k");
    r.j->calls[1].wire.n_dropped = 1;
    r.j->spec.dropped = names;
    r.j->spec.n_dropped = 1;
    r.j->degraded = DEGRADED_PARAM_DROPPED | DEGRADED_INPUT_TRUNCATED;
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"degraded_reasons", "[\"param_dropped\",\"input_truncated\"]"},
               {"answers/0/dropped_params", "[\"cache_control\"]"},
               {"answers/1/dropped_params", "[\"cache_control\",\"top_k\"]"});
    json_decref(json);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_format),
        cmocka_unit_test(test_no_answer_has_no_format),
        cmocka_unit_test(test_json_is_cut_and_stays_json),
        cmocka_unit_test(test_detail),
        cmocka_unit_test(test_prompt_of_a_conversation),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_dropped_params),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
