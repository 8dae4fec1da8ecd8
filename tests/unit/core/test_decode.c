/* SPDX-License-Identifier: Apache-2.0 */
/* Job records: every key with good values, the shared corpus of bad ones, defaults, suggestions, and what is echoed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "core/job.h"
#include "core/registry.h"

enum { MAX_BYTES = 100000 };

static const struct merge_ops *merge_of(const char *name)
{
    int n;
    const struct merge_ops *const *all = merge_all(&n);

    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    fail_msg("no merge %s", name);
    return NULL;
}

static const char *const default_models[65] = {"chatgpt", "claude", [64] = "last"};

struct rig {
    struct registry registry;
    struct env env;
    struct message_header headers[2];
    struct job j;
    struct job_error err;
};

static void rig_start(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->registry = (struct registry){.default_models = default_models, .n_default_models = 2};
    r->env = (struct env){.registry = &r->registry, .max_bytes = MAX_BYTES};
    r->env.merges = merge_all(&r->env.n_merges);
    r->j = (struct job){.env = &r->env, .arena = arena_new(4096), .headers = r->headers};
    r->j.pos = (struct position){.topic = "tutti.jobs", .partition = 3, .offset = 42};
}

static void rig_stop(struct rig *r)
{
    arena_free(r->j.arena);
}

static int decode_bytes(struct rig *r, const char *bytes, size_t len)
{
    r->j.value = arena_copy(r->j.arena, bytes, len);
    r->j.value_len = len;
    return job_decode(&r->j, &r->err);
}

static int decode(struct rig *r, const char *value)
{
    int result = decode_bytes(r, value, strlen(value));

    if (result == 0 && r->err.code != NULL)
        fail_msg("accepted with an error");
    return result;
}

static const char *plain(struct rig *r, struct text t)
{
    const char *s = text_decode(r->j.arena, t, NULL);

    return s != NULL ? s : "(none)";
}

static struct text prompt_of(const struct rig *r)
{
    const struct job_spec *spec = &r->j.spec;

    assert_int_equal(spec->n_messages, 1);
    assert_int_equal(spec->messages[0].role, ROLE_USER);
    assert_int_equal(spec->messages[0].n_parts, 1);
    return spec->messages[0].parts[0].text;
}

static void assert_printable(const char *s)
{
    json_t *checked = json_string(s); /* NULL when it is not UTF-8 */

    assert_non_null(checked);
    json_decref(checked);
    assert_true(s[0] != '\0');
    for (; *s != '\0'; s++)
        assert_true((unsigned char)*s >= 0x20 && *s != 0x7f);
}

static void assert_error(struct rig *r, const char *name, const char *code, const char *pointer)
{
    if (r->err.code == NULL)
        fail_msg("%s: accepted", name);
    if (strcmp(r->err.code, code) != 0 || strcmp(r->err.pointer, pointer) != 0)
        fail_msg("%s: %s at '%s' (%s), wanted %s at '%s'", name, r->err.code, r->err.pointer, r->err.message, code,
                 pointer);
    assert_string_equal(r->err.stage, "decode");
    assert_string_equal(r->j.spec.job_id, "tutti.jobs/3/42");
    assert_printable(r->err.message); /* both go into text headers */
    if (r->err.pointer[0] != '\0')
        assert_printable(r->err.pointer);
}

/* --- the corpus that the live tests use too --- */

static char *unbase64(struct rig *r, const char *s, size_t *out_len)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = arena_alloc(r->j.arena, strlen(s) + 1);
    unsigned bits = 0, n_bits = 0;
    size_t n = 0;

    for (; *s != '\0' && *s != '='; s++) {
        bits = bits << 6 | (unsigned)(strchr(alphabet, *s) - alphabet);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (char)(bits >> n_bits & 0xff);
        }
    }
    *out_len = n;
    return out;
}

static void test_corpus(void **state)
{
    json_error_t why;
    json_t *corpus = json_load_file(TESTS_DIR "/data/invalid_jobs.json", 0, &why), *row;
    size_t i;

    (void)state;
    if (corpus == NULL)
        fail_msg("%s", why.text);
    assert_true(json_array_size(corpus) >= 30);
    json_array_foreach(corpus, i, row)
    {
        const char *name, *code, *pointer, *value = NULL, *value_base64 = NULL;
        struct rig r;
        size_t len;

        assert_int_equal(json_unpack(row, "{s:s, s:s, s:s, s?s%, s?s!}", "name", &name, "code", &code, "pointer",
                                     &pointer, "value", &value, &len, "value_base64", &value_base64),
                         0);
        rig_start(&r);
        if (value_base64 != NULL)
            value = unbase64(&r, value_base64, &len);
        assert_non_null(value);
        (void)decode_bytes(&r, value, len);
        assert_error(&r, name, code, pointer);
        rig_stop(&r);
    }
    json_decref(corpus);
}

static void test_no_value(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(job_decode(&r.j, &r.err), -EINVAL);
    assert_error(&r, "no value", "empty_value", "");
    rig_stop(&r);
}

static void test_too_large(void **state)
{
    static char value[MAX_BYTES + 1] = "{\"prompt\":\"x\"}";
    struct rig r;

    (void)state;
    memset(value + 14, ' ', sizeof(value) - 14);
    rig_start(&r);
    assert_int_equal(decode_bytes(&r, value, MAX_BYTES), 0);
    assert_int_equal(decode_bytes(&r, value, MAX_BYTES + 1), -EINVAL);
    assert_error(&r, "too large", "too_large", "");
    rig_stop(&r);
}

/* --- suggestions --- */

static const struct {
    const char *value;
    const char *says;
} suggestions[] = {
    {"{\"promt\":\"x\"}", "unknown key 'promt' (did you mean 'prompt'?); free data goes into labels or metadata"},
    {"{\"prompt\":\"x\",\"model\":[]}", "unknown key 'model' (did you mean 'models'?)"},
    {"{\"prompt\":\"x\",\"customid\":\"a\"}", "(did you mean 'custom_id'?)"},
    {"{\"prompt\":\"x\",\"zzz\":1}", "unknown key 'zzz'; free data"},
    {"{\"prompt\":\"x\",\"params\":{\"temprature\":1}}",
     "unknown parameter 'temprature' (did you mean 'temperature'?)"},
    {"{\"prompt\":\"x\",\"params\":{\"max_tokens\":1}}", "unknown parameter 'max_tokens'"},
    {"{\"prompt\":\"x\",\"merge\":\"frist\"}", "unknown merge 'frist' (did you mean 'first'?)"},
    {"{\"prompt\":\"x\",\"merge\":\"consensus\"}", "unknown merge 'consensus'"},
    {"{\"prompt\":\"x\",\"merge\":{\"strategi\":\"first\"}}", "unknown key 'strategi'"},
    {"{\"prompt\":\"x\",\"a\\nb\":1}", "unknown key 'a?b'"},
    {"{\"prompt\":\"x\",\"prompt\":\"y\"}", "given twice"},
    {"{\"prompt\":\"x\",\"schema_version\":7}", "schema_version 1"},
};

static void test_suggestions(void **state)
{
    struct rig r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(suggestions); i++) {
        rig_start(&r);
        assert_int_equal(decode(&r, suggestions[i].value), -EINVAL);
        if (strstr(r.err.message, suggestions[i].says) == NULL)
            fail_msg("row %zu: %s", i, r.err.message);
        rig_stop(&r);
    }
}

/* --- good ones --- */

static void test_short(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(decode(&r, " {\"prompt\": \"Say \\\"hi\\\"\", \"models\": [\"chatgpt\", \"claude\"]}\n"), 0);
    assert_string_equal(plain(&r, prompt_of(&r)), "Say \"hi\"");
    assert_true(prompt_of(&r).is_escaped); /* passed on as it stood */
    assert_int_equal(r.j.spec.n_members, 2);
    assert_string_equal(plain(&r, r.j.spec.members[0].name), "chatgpt");
    assert_string_equal(plain(&r, r.j.spec.members[1].name), "claude");
    assert_ptr_equal(r.j.spec.merge, merge_of("concat"));
    assert_string_equal(r.j.spec.job_id, "tutti.jobs/3/42");
    assert_int_equal(r.j.spec.run, 0);
    assert_int_equal(r.j.spec.deadline_ms, -1);
    assert_int_equal(r.j.spec.quorum, -1);
    assert_int_equal(r.j.spec.max_output_tokens, -1);
    assert_int_equal(r.j.spec.n_params, 0);
    assert_null(r.j.spec.batch_id.p);
    assert_null(r.j.spec.custom_id.p);
    assert_null(r.j.spec.labels.p);
    assert_null(r.j.spec.metadata.p);
    rig_stop(&r);
}

static void test_full(void **state)
{
    struct rig r;
    const struct job_spec *spec = &r.j.spec;

    (void)state;
    rig_start(&r);
    assert_int_equal(
        decode(&r,
               "{\"job_id\":\"a.B:1/2@x-_\",\"run\":3,\"schema_version\":1,\"prompt\":\"p\",\"models\":[\"m\",\"m\"],"
               "\"merge\":{\"strategy\":\"first\"},\"deadline_ms\":1,\"quorum\":2,\"batch_id\":\"b \\u00e9\","
               "\"custom_id\":\"c\",\"labels\":{ \"k\" : \"v 1\" ,\n\"e\":\"\"},\"metadata\":{\"n\":[1, {\"x\": \"a  "
               "b\"}]},"
               "\"params\":{\"temperature\": 0.5, \"max_output_tokens\":77,\"stop\":[\"a\", \"b\"]}}"),
        0);
    assert_string_equal(spec->job_id, "a.B:1/2@x-_");
    assert_int_equal(spec->run, 3);
    assert_int_equal(spec->n_members, 2);
    assert_ptr_equal(spec->merge, merge_of("first"));
    assert_int_equal(spec->deadline_ms, 1);
    assert_int_equal(spec->quorum, 2);
    assert_string_equal(plain(&r, spec->batch_id), "b \xc3\xa9");
    assert_string_equal(plain(&r, spec->custom_id), "c");
    assert_string_equal(plain(&r, spec->labels), "{\"k\":\"v 1\",\"e\":\"\"}"); /* one line */
    assert_string_equal(plain(&r, spec->metadata), "{\"n\":[1,{\"x\":\"a  b\"}]}");
    assert_int_equal(spec->max_output_tokens, 77);
    assert_int_equal(spec->n_params, 2);
    assert_string_equal(plain(&r, spec->params[0].name), "temperature");
    assert_string_equal(plain(&r, spec->params[0].json), "0.5");
    assert_string_equal(plain(&r, spec->params[1].name), "stop");
    assert_string_equal(plain(&r, spec->params[1].json), "[\"a\", \"b\"]");
    rig_stop(&r);
}

static const char *const good[] = {
    "{\"prompt\":\"x\",\"run\":0}",
    "{\"prompt\":\"x\",\"run\":2147483647}",
    "{\"prompt\":\"x\",\"job_id\":\"j\"}",
    "{\"prompt\":\"x\",\"models\":[\"one\"]}",
    "{\"prompt\":\"x\",\"models\":[\"one\"],\"quorum\":1}",
    "{\"prompt\":\"x\",\"quorum\":2}", /* of the two default models */
    "{\"prompt\":\"x\",\"merge\":\"none\"}",
    "{\"prompt\":\"x\",\"merge\":\"conc\\u0061t\"}",
    "{\"prompt\":\"x\",\"labels\":{}}",
    "{\"prompt\":\"x\",\"metadata\":{}}",
    "{\"prompt\":\"x\",\"params\":{}}",
    "{\"prompt\":\"x\",\"params\":{\"temperature\":0,\"top_p\":1,\"max_output_tokens\":1,\"stop\":\"s\",\"seed\":-5,"
    "\"reasoning_effort\":\"low\",\"verbosity\":\"low\",\"presence_penalty\":-2,\"frequency_penalty\":2.0,\"top_k\":1,"
    "\"logit_bias\":{\"50256\":-100}}}",
    "{\"prompt\":\"x\",\"params\":{\"stop\":[]}}",
    "{\"prompt\":\"x\",\"deadline_ms\":86400000}",
    "{\"pro\\u006dpt\":\"x\"}",
};

static void test_good(void **state)
{
    struct rig r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        rig_start(&r);
        if (decode(&r, good[i]) < 0)
            fail_msg("row %zu: %s", i, r.err.message);
        rig_stop(&r);
    }
}

/* --- defaults --- */

static void test_merge_default(void **state)
{
    static const struct {
        size_t n_default;
        const char *value;
        const char *merge;
    } rows[] = {
        {2, "{\"prompt\":\"x\"}", "concat"},
        {1, "{\"prompt\":\"x\"}", "none"},
        {2, "{\"prompt\":\"x\",\"models\":[\"a\"]}", "none"},
        {1, "{\"prompt\":\"x\",\"models\":[\"a\",\"b\"]}", "concat"},
        {2, "{\"prompt\":\"x\",\"models\":[\"a\"],\"merge\":\"first\"}", "first"},
    };
    struct rig r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rig_start(&r);
        r.registry.n_default_models = rows[i].n_default;
        assert_int_equal(decode(&r, rows[i].value), 0);
        assert_ptr_equal(r.j.spec.merge, merge_of(rows[i].merge));
        rig_stop(&r);
    }
}

static void test_default_models(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    r.registry.n_default_models = 0;
    assert_int_equal(decode(&r, "{\"prompt\":\"x\"}"), -EINVAL);
    assert_error(&r, "no default models", "invalid_job", "/models");
    r.registry.n_default_models = 65; /* more than a stage can hold */
    assert_int_equal(decode(&r, "{\"prompt\":\"x\"}"), -EINVAL);
    assert_error(&r, "too many default models", "invalid_job", "/models");
    rig_stop(&r);
}

#define HEADER(n, v) \
    { \
        .name = (n), .value = (v), .value_len = sizeof(v) - 1 \
    }

static const struct {
    struct message_header headers[2];
    const char *keys; /* of the body */
    const char *job_id;
} ids[] = {
    {{HEADER("ce_id", "abc-1")}, "", "abc-1"},
    {{HEADER("ce_id", "abc-1")}, ",\"job_id\":\"own\"", "own"},
    {{HEADER("ce_id", "abc-1")}, ",\"batch_id\":\"b\",\"custom_id\":\"c\"", "abc-1"},
    {{HEADER("other", "abc-1")}, ",\"batch_id\":\"b\",\"custom_id\":\"c\"", "b/c"},
    {{HEADER("ce_id", "a b")}, ",\"batch_id\":\"b\",\"custom_id\":\"c\"", "b/c"},
    {{HEADER("ce_id", "a b"), HEADER("ce_id", "second")}, "", "second"},
    {{HEADER("ce_id", "a\0b")}, "", "tutti.jobs/3/42"}, /* not "a": another id would be cut to the same */
    {{HEADER("ce_id", "")}, "", "tutti.jobs/3/42"},
    {{{.name = "ce_id"}}, "", "tutti.jobs/3/42"},
    {{HEADER("other", "")}, ",\"batch_id\":\"b\"", "tutti.jobs/3/42"},
    {{HEADER("other", "")}, ",\"custom_id\":\"c\"", "tutti.jobs/3/42"},
    {{HEADER("other", "")}, ",\"batch_id\":\"b b\",\"custom_id\":\"c\"", "tutti.jobs/3/42"},
    {{HEADER("other", "")}, ",\"batch_id\":\"\\u0062\",\"custom_id\":\"c\\/d\"", "b/c/d"},
};

static void test_job_id(void **state)
{
    struct rig r;
    char value[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        rig_start(&r);
        memcpy(r.headers, ids[i].headers, sizeof(r.headers));
        r.j.n_headers = ids[i].headers[1].name != NULL ? 2 : 1;
        snprintf(value, sizeof(value), "{\"prompt\":\"x\"%s}", ids[i].keys);
        assert_int_equal(decode(&r, value), 0);
        assert_string_equal(r.j.spec.job_id, ids[i].job_id);
        /* a dead letter names the job too, even when its body is no JSON */
        assert_int_equal(decode(&r, "oops"), -EINVAL);
        if (strcmp(ids[i].job_id, "abc-1") == 0)
            assert_string_equal(r.j.spec.job_id, "abc-1");
        rig_stop(&r);
    }
}

/* Bytes count as decoded. */
static void test_short_string_bytes(void **state)
{
    char value[2000] = "{\"prompt\":\"x\",\"batch_id\":\"";
    struct rig r;

    (void)state;
    for (int i = 0; i < 200; i++)
        strncat(value, "\\u0041", sizeof(value) - strlen(value) - 1);
    strncat(value, "\"}", sizeof(value) - strlen(value) - 1);
    rig_start(&r);
    assert_int_equal(decode(&r, value), 0);
    rig_stop(&r);
}

static void test_schema_registry_prefix(void **state)
{
    static const char value[] = "\0\0\0\0\7{\"prompt\":\"x\"}";
    int64_t before = metric_get(METRIC_SCHEMA_PREFIXES);
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(decode_bytes(&r, value, sizeof(value) - 1), 0);
    assert_string_equal(plain(&r, prompt_of(&r)), "x");
    assert_int_equal(metric_get(METRIC_SCHEMA_PREFIXES), before + 1);
    rig_stop(&r);
}

/* What goes into the records again must be readable by every JSON parser. */
static void test_echo_is_repaired(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(
        decode(&r, "{\"prompt\":\"a\\u0000\\ud800b\",\"batch_id\":\"\\udc00\",\"labels\":{\"\\ud800\":\"\\u0000\"},"
                   "\"metadata\":{ \"a\\\\\" : \"\\ud83d\\ude00 \\ud83d \\\"\\\\\" }}"),
        0);
    assert_string_equal(plain(&r, prompt_of(&r)), "a\xef\xbf\xbd\xef\xbf\xbd"
                                                  "b");
    assert_string_equal(plain(&r, r.j.spec.batch_id), "\xef\xbf\xbd");
    assert_string_equal(plain(&r, r.j.spec.labels), "{\"\\ufffd\":\"\\ufffd\"}");
    assert_string_equal(plain(&r, r.j.spec.metadata), "{\"a\\\\\":\"\\ud83d\\ude00 \\ufffd \\\"\\\\\"}");
    rig_stop(&r);
}

/* A body's bad id may be of any size: it is not what a dead letter is named by. */
static void test_bad_id_is_not_kept(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(decode(&r, "{\"job_id\":\"a b\",\"prompt\":\"x\"}"), -EINVAL);
    assert_string_equal(r.j.spec.job_id, "tutti.jobs/3/42");
    assert_int_equal(decode(&r, "{\"job_id\":\"good\",\"promt\":\"x\"}"), -EINVAL);
    assert_string_equal(r.j.spec.job_id, "good");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_no_value),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_merge_default),
        cmocka_unit_test(test_default_models),
        cmocka_unit_test(test_job_id),
        cmocka_unit_test(test_short_string_bytes),
        cmocka_unit_test(test_schema_registry_prefix),
        cmocka_unit_test(test_echo_is_repaired),
        cmocka_unit_test(test_bad_id_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
