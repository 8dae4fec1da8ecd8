/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of our own shape: messages, parts, members, attachments, tools, and what is put together of them. */
#include "unit/core/spec_dump.h"

#include <errno.h>

static const struct spec_row inputs[] = {
    {"{\"prompt\":\"x\"}", "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"},
    {"{\"prompt\":\"x\",\"system\":\"Be brief\"}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"system\":\"Be brief\"}"},
    {"{\"prompt\":\"x\",\"system\":null,\"models\":null,\"merge\":null,\"params\":null,\"tools\":null,\"de"
     "tail\":null,\"tenant\":null,\"attachments\":null,\"messages\":null,\"job_id\":null,\"labels\":null,"
     "\"metadata\":null,\"quorum\":null,\"deadline_ms\":null,\"run\":null,\"batch_id\":null}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"},
    {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"},{\"role"
     "\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}]}",
     "{\"messages\":[{\"role\":\"system\",\"parts\":[{\"text\":\"s\"}]},{\"role\":\"user\",\"parts\":[{\"t"
     "ext\":\"a\"}]},{\"role\":\"assistant\",\"parts\":[{\"text\":\"b\"}]},{\"role\":\"user\",\"parts\":[{"
     "\"text\":\"c\"}]}]}"},
    {"{\"messages\":[{\"content\":[{\"type\":\"text\",\"text\":\"what is it?\"},{\"type\":\"image_url\",\""
     "image_url\":{\"url\":\"https://a/b.png\"}},{\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"},"
     "\"type\":\"image_url\"}],\"role\":\"user\"}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"what is it?\"},{\"image\":\"https://a/b.png"
     "\"},{\"image\":\"data:image/png;base64,AAAA\"}]}]}"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http"
     "://a/b\",\"detail\":\"low\"}}]}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"image\":\"http://a/b\"}]}],\"dropped\":[\"image_deta"
     "il\"]}"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":null,\"tool"
     "_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a"
     "\\\":1}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"4\"}],\"tools\":[{\"type\":\""
     "function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}"
     "],\"tool_choice\":\"required\"}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]},{\"role\":\"assistant\",\"parts\":[]"
     ",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
     "\\\"a\\\":1}\"}}]},{\"role\":\"tool\",\"parts\":[{\"text\":\"4\"}],\"tool_call_id\":\"c1\"}],\"tools"
     "\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type"
     "\":\"object\"}}}],\"tool_choice\":\"required\"}"},
    {"{\"prompt\":\"x\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d"
     "\",\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"na"
     "me\":\"f\"}}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"tools\":[{\"type\":\"function\","
     "\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}],\"tool_ch"
     "oice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}}"},
    {"{\"prompt\":\"x\",\"detail\":\"final\",\"output_format\":\"json\",\"tenant\":\"acme\"}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"detail\":1,\"output_format\":3,\""
     "tenant\":\"acme\"}"},
    {"{\"prompt\":\"x\",\"detail\":\"full\",\"output_format\":\"plain\"}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"output_format\":1}"},
    {"{\"prompt\":\"x\",\"detail\":\"full_with_prompt\",\"output_format\":\"markdown\"}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"detail\":2,\"output_format\":2}"},
    {"{\"prompt\":\"x\",\"attachments\":[]}", "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"},
    {"{\"prompt\":\"x\",\"attachments\":[{\"name\":\"a.txt\",\"text\":\"one\"},{\"name\":\"b \\\"q\\\"\","
     "\"text\":\"\"}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\\n\\n## Attachment: a.txt\\n\\none\\n\\n#"
     "# Attachment: b \\\"q\\\"\\n\\n\"}]}]}"},
    {"{\"attachments\":[{\"name\":\"n\",\"text\":\"t\"}],\"messages\":[{\"role\":\"user\",\"content\":\"fi"
     "rst\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"last\"},{\"type\":\"image_url\""
     ",\"image_url\":{\"url\":\"https://a/b\"}}]},{\"role\":\"assistant\",\"content\":\"so\"}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"first\"}]},{\"role\":\"user\",\"parts\":[{"
     "\"text\":\"last\"},{\"image\":\"https://a/b\"},{\"text\":\"\\n\\n## Attachment: n\\n\\nt\"}]},{\"rol"
     "e\":\"assistant\",\"parts\":[{\"text\":\"so\"}]}]}"},
};

static const struct spec_row models[] = {
    {"{\"prompt\":\"x\",\"models\":[\"a\",{\"model\":\"b\"}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"models\":[{\"model\":\"a\"},{\"mo"
     "del\":\"b\"}]}"},
    {"{\"prompt\":\"x\",\"models\":[{\"model\":\"a\",\"weight\":2.5,\"samples\":3,\"system\":\"s\",\"param"
     "s\":{\"temperature\":0,\"max_output_tokens\":7,\"stop\":[\"a\"]}}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"models\":[{\"model\":\"a\",\"samp"
     "les\":3,\"weight\":2.5,\"system\":\"s\",\"params\":{\"temperature\":0,\"stop\":[\"a\"],\"max_output_"
     "tokens\":7}}]}"},
    {"{\"prompt\":\"x\",\"models\":[{\"model\":\"a\",\"samples\":null,\"weight\":null,\"params\":null,\"sy"
     "stem\":null}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"models\":[{\"model\":\"a\"}]}"},
    {"{\"prompt\":\"x\",\"models\":[{\"model\":\"a\",\"samples\":64}]}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"models\":[{\"model\":\"a\",\"samp"
     "les\":64}]}"},
    {"{\"prompt\":\"x\",\"params\":{\"min_p\":0.1,\"repetition_penalty\":1.1,\"parallel_tool_calls\":false"
     ",\"user\":\"u\",\"top_k\":null}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"params\":{\"min_p\":0.1,\"repetit"
     "ion_penalty\":1.1,\"parallel_tool_calls\":false,\"user\":\"u\"}}"},
};

static void test_inputs(void **state)
{
    (void)state;
    spec_check(inputs, ARRAY_LEN(inputs));
}

static void test_models(void **state)
{
    (void)state;
    spec_check(models, ARRAY_LEN(models));
}

static void test_most_models(void **state)
{
    struct spec_rig r;
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    buf_add_str(&b, "{\"prompt\":\"x\",\"quorum\":64,\"models\":[\"m\"");
    for (int i = 1; i < JOB_MODELS_MAX; i++)
        buf_add_str(&b, ",\"m\"");
    buf_add_str(&b, "]}");
    spec_start(&r);
    assert_int_equal(spec_decode(&r, b.p), 0);
    assert_int_equal(r.j.spec.n_members, JOB_MODELS_MAX);
    spec_stop(&r);
    buf_done(&b);
}

/* 8,000 characters, not bytes; the cut is marked and counted. */
static void test_attachment_is_cut(void **state)
{
    static const struct {
        const char *letter;
        int n;
        bool is_cut;
    } rows[] = {{"a", 8000, false}, {"a", 8001, true}, {"\xc3\xa9", 8000, false}, {"\xf0\x9f\x98\x80", 9000, true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spec_rig r;
        struct buf b;
        struct text t;
        char mark[100];
        const char *plain;
        size_t len;

        buf_init(&b, 0);
        buf_add_str(&b, "{\"prompt\":\"x\",\"attachments\":[{\"name\":\"n\",\"text\":\"");
        for (int k = 0; k < rows[i].n; k++)
            buf_add_str(&b, rows[i].letter);
        buf_add_str(&b, "\"}]}");
        spec_start(&r);
        assert_int_equal(spec_decode(&r, b.p), 0);
        assert_int_equal(r.j.spec.is_input_truncated, rows[i].is_cut);
        t = r.j.spec.messages[0].parts[0].text;
        plain = text_decode(r.j.arena, t, &len);
        snprintf(mark, sizeof(mark), "\n[... cut by tutti: %d of %d characters left out]", rows[i].n - 8000, rows[i].n);
        assert_int_equal(strstr(plain, "cut by tutti") != NULL, rows[i].is_cut);
        assert_int_equal(len, strlen("x\n\n## Attachment: n\n\n") + 8000 * strlen(rows[i].letter) +
                                  (rows[i].is_cut ? strlen(mark) : 0));
        if (rows[i].is_cut)
            assert_string_equal(plain + len - strlen(mark), mark);
        spec_stop(&r);
        buf_done(&b);
    }
}

/* The text of the prompt is copied as it came. */
static void test_attachments_keep_the_prompts_form(void **state)
{
    struct spec_rig r;
    struct text t;

    (void)state;
    spec_start(&r);
    assert_int_equal(
        spec_decode(&r, "{\"prompt\":\"\\u00E9\\/\",\"attachments\":[{\"name\":\"n\",\"text\":\"\\u0000\"}]}"), 0);
    t = r.j.spec.messages[0].parts[0].text;
    assert_true(t.is_escaped);
    assert_memory_equal(t.p, "\\u00E9\\/\\n", 10);
    assert_string_equal(text_decode(r.j.arena, t, NULL), "\xc3\xa9/\n\n## Attachment: n\n\n\xef\xbf\xbd");
    spec_stop(&r);
}

static void test_default_merge_counts_answers(void **state)
{
    static const struct {
        const char *job, *merge;
    } rows[] = {
        {"{\"prompt\":\"x\",\"models\":[{\"model\":\"a\",\"samples\":1}]}", "none"},
        {"{\"prompt\":\"x\",\"models\":[{\"model\":\"a\",\"samples\":2}]}", "concat"},
        {"{\"prompt\":\"x\",\"merge\":{\"strategy\":\"vote\"}}", "vote"},
        {"{\"prompt\":\"x\",\"merge\":{\"extract\":\"number\",\"strategy\":\"vote\"}}", "vote"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spec_rig r;

        spec_start(&r);
        assert_int_equal(spec_decode(&r, rows[i].job), 0);
        assert_string_equal(r.j.spec.merge->name, rows[i].merge);
        assert_int_equal(r.j.spec.merge_conf.p != NULL, i >= 2);
        spec_stop(&r);
    }
}

/* jobs.unknown_keys: warn leaves out what it does not know, at any depth, and says so. */
static void test_unknown_keys_are_left_out(void **state)
{
    static const struct spec_row row = {"{\"promt\":\"y\",\"prompt\":\"x\",\"params\":{\"temprature\":1,\"seed\":2},"
                                        "\"models\":[{\"model\":\"a\",\"wieght\":2}],"
                                        "\"merge\":{\"strategy\":\"vote\",\"rounds\":2},\"promt\":\"again\"}",
                                        "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}],\"params\":{"
                                        "\"seed\":2},\"models\":[{\"model\":"
                                        "\"a\"}],\"dropped\":[\"promt\",\"temprature\",\"wieght\",\"rounds\"]}"};
    struct spec_rig r;
    json_t *is, *wanted = json_loads(row.spec, 0, NULL);

    (void)state;
    spec_start(&r);
    assert_int_equal(spec_decode(&r, row.job), -EINVAL);
    assert_string_equal(r.err.pointer, "/promt");
    r.env.is_lenient = true;
    assert_int_equal(spec_decode(&r, row.job), 0);
    is = spec_dump(&r);
    assert_true(json_equal(is, wanted));
    json_decref(is);
    json_decref(wanted);
    /* what is known stays checked */
    assert_int_equal(spec_decode(&r, "{\"prompt\":\"x\",\"params\":{\"seed\":\"2\"}}"), -EINVAL);
    assert_int_equal(spec_decode(&r, "{\"promt\":\"x\"}"), -EINVAL);
    spec_stop(&r);
}

/* The file that the published JSON Schema is held to, too (tests/test_schemas.py). */
static void test_valid_corpus(void **state)
{
    json_error_t why;
    json_t *corpus = json_load_file(TESTS_DIR "/data/valid_jobs.json", 0, &why), *row;
    size_t i;

    (void)state;
    if (corpus == NULL)
        fail_msg("%s", why.text);
    assert_true(json_array_size(corpus) >= 50);
    json_array_foreach(corpus, i, row)
    {
        const json_t *body = json_object_get(row, "job");
        size_t len = json_dumpb(body, NULL, 0, 0);
        struct spec_rig r;
        char *job;

        spec_start(&r);
        job = arena_zero(r.j.arena, len + 1);
        assert_int_equal(json_dumpb(body, job, len, 0), len);
        if (spec_decode(&r, job) < 0)
            fail_msg("%s: %s: %s", json_string_value(json_object_get(row, "name")), r.err.pointer, r.err.message);
        spec_stop(&r);
    }
    json_decref(corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_most_models),
        cmocka_unit_test(test_attachment_is_cut),
        cmocka_unit_test(test_attachments_keep_the_prompts_form),
        cmocka_unit_test(test_default_merge_counts_answers),
        cmocka_unit_test(test_unknown_keys_are_left_out),
        cmocka_unit_test(test_valid_corpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
