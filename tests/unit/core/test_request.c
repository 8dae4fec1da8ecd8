/* SPDX-License-Identifier: Apache-2.0 */
/* What a call asks its provider: parameters in three layers, whose system text, how much is reserved, which key, and
 * what is told of what was left out. */
#include "unit/core/spec_dump.h"

#include "core/request.h"
#include "loop.h"

/* The last request that was built, and what the dialect says it left out. */
static struct request built;
static struct text drops;

static int build(const struct request *q, struct arena *a, struct wire *out, const char **why)
{
    (void)a;
    (void)why;
    built = *q;
    *out = (struct wire){.url = "http://x", .body = TEXT_LIT("{}")};
    if (drops.p != NULL)
        out->dropped[out->n_dropped++] = drops;
    return 0;
}

static const struct provider_ops ops = {.name = "test", .build = build};

struct rig {
    struct spec_rig spec;
    struct provider_key key;
    struct provider provider;
    struct request_param defaults[2];
    struct model models[2];
};

static void rig_start(struct rig *r, const char *job)
{
    memset(r, 0, sizeof(*r));
    spec_start(&r->spec);
    r->provider = (struct provider){.id = "p", .ops = &ops, .base_url = "http://x", .keys = &r->key, .n_keys = 1};
    r->defaults[0] = (struct request_param){.name = TEXT_LIT("temperature"), .json = TEXT_LIT("0.7")};
    r->defaults[1] = (struct request_param){.name = TEXT_LIT("seed"), .json = TEXT_LIT("1")};
    for (int i = 0; i < 2; i++)
        r->models[i] = (struct model){.id = i == 0 ? "a" : "b",
                                      .provider = &r->provider,
                                      .vendor_model = "v",
                                      .max_output_tokens = 100,
                                      .params = r->defaults,
                                      .n_params = 2};
    r->spec.registry.models = r->models;
    r->spec.registry.n_models = 2;
    r->spec.env.loop = loop_new_sim(0);
    r->spec.env.group = "g";
    drops = TEXT_NONE;
    if (spec_decode(&r->spec, job) < 0)
        fail_msg("%s: %s", r->spec.err.pointer, r->spec.err.message);
    job_plan(&r->spec.j);
}

static void rig_stop(struct rig *r)
{
    loop_free(r->spec.env.loop);
    spec_stop(&r->spec);
}

static void check_params(const char *wanted)
{
    json_t *to = json_object(), *is, *want = json_loads(wanted, 0, NULL);

    spec_put_params(to, built.params, (int)built.n_params, built.max_output_tokens);
    is = json_object_get(to, "params");
    if (!json_equal(is, want))
        fail_msg("%s, wanted %s", json_dumps(is, JSON_COMPACT), wanted);
    json_decref(to);
    json_decref(want);
}

static void test_layers(void **state)
{
    struct rig r;

    (void)state;
    rig_start(
        &r,
        "{\"prompt\":\"x\",\"system\":\"all\",\"params\":{\"temperature\":0.2,\"top_p\":1,\"max_output_tokens\":50},"
        "\"models\":[\"a\",{\"model\":\"b\",\"system\":\"only b\",\"params\":{\"temperature\":0,\"top_k\":3,"
        "\"max_output_tokens\":7}}]}");
    assert_int_equal(r.spec.j.n_calls, 2);
    assert_int_equal(call_build_request(&r.spec.j.calls[0]), 0);
    check_params("{\"seed\":1,\"temperature\":0.2,\"top_p\":1,\"max_output_tokens\":50}");
    assert_true(text_is(built.system, "all"));
    assert_int_equal(call_build_request(&r.spec.j.calls[1]), 0);
    check_params("{\"seed\":1,\"top_p\":1,\"temperature\":0,\"top_k\":3,\"max_output_tokens\":7}");
    assert_true(text_is(built.system, "only b"));
    rig_stop(&r);
}

/* Each sample is a call of its own: an own key in the journal and for the provider. */
static void test_samples(void **state)
{
    static const char *const keys[] = {"answer:0:0:0:0", "answer:1:0:0:0", "answer:1:1:0:0", "answer:1:2:0:0"};
    const char *ids[4];
    struct rig r;

    (void)state;
    rig_start(&r, "{\"prompt\":\"x\",\"models\":[\"a\",{\"model\":\"b\",\"samples\":3,\"weight\":2}]}");
    assert_int_equal(r.spec.j.n_calls, 4);
    assert_int_equal(r.spec.j.n_members, 2);
    assert_int_equal(r.spec.j.quorum, 2);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(r.spec.j.calls[i].key, keys[i]);
        assert_int_equal(call_build_request(&r.spec.j.calls[i]), 0);
        ids[i] = built.idempotency_key;
        for (int k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
        assert_true(job_stage_view(&r.spec.j)->weights[i] > (i == 0 ? 0.9 : 1.9));
    }
    rig_stop(&r);
}

static void test_estimate(void **state)
{
    static const struct {
        const char *job;
        int64_t tokens; /* without the answer's 100 */
    } rows[] = {
        {"{\"prompt\":\"123456\",\"models\":[\"a\"]}", 2},
        {"{\"prompt\":\"1234567\",\"models\":[\"a\"]}", 3},
        {"{\"prompt\":\"123456\",\"system\":\"123\",\"models\":[\"a\"]}", 3},
        {"{\"models\":[\"a\"],\"messages\":[{\"role\":\"user\",\"content\":\"123\"},{\"role\":\"assistant\","
         "\"content\":"
         "\"123\"},{\"role\":\"user\",\"content\":\"123\"}]}",
         3},
        {"{\"models\":[\"a\"],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"123\"},{"
         "\"type\":"
         "\"image_url\",\"image_url\":{\"url\":\"https://a/b\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":"
         "\"data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAA\"}}]}]}",
         2001}, /* an image is 1,000, whatever its bytes */
        {"{\"prompt\":\"123\",\"models\":[\"a\"],\"attachments\":[{\"name\":\"n\",\"text\":\"12345678\"}]}", 12},
        {"{\"prompt\":\"123\",\"models\":[\"a\"],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}",
         16},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;

        rig_start(&r, rows[i].job);
        assert_int_equal(call_build_request(&r.spec.j.calls[0]), 0);
        if (r.spec.j.calls[0].estimate_tokens != rows[i].tokens + 100)
            fail_msg("row %zu: %lld", i, (long long)r.spec.j.calls[0].estimate_tokens - 100);
        rig_stop(&r);
    }
}

static void test_all_of_the_input_is_asked(void **state)
{
    struct rig r;

    (void)state;
    rig_start(
        &r,
        "{\"models\":[\"a\"],\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":\"function\","
        "\"function\":{\"name\":\"f\"}}],\"tool_choice\":\"auto\"}");
    assert_int_equal(call_build_request(&r.spec.j.calls[0]), 0);
    assert_int_equal(built.n_messages, 1);
    assert_true(text_is(built.tool_choice, "\"auto\""));
    assert_true(text_is(built.tools, "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"));
    assert_string_equal(built.vendor_model, "v");
    assert_null(built.system.p);
    rig_stop(&r);
}

/* An answer, as if it had come, so that the call was made. */
static void answer(struct rig *r, int i)
{
    struct call *c = &r->spec.j.calls[i];
    struct attempt *a = arena_zero(r->spec.j.arena, sizeof(*a));

    outcome_init(&a->outcome);
    list_init(&a->link);
    list_add_tail(&c->attempts, &a->link);
    c->outcome = &a->outcome;
}

static void test_what_is_left_out_is_noted(void **state)
{
    static const char job[] = "{\"prompt\":\"x\",\"models\":[\"a\",\"b\"]}";
    struct rig r;

    (void)state;
    rig_start(&r, job);
    answer(&r, 0);
    answer(&r, 1);
    assert_int_equal(call_build_request(&r.spec.j.calls[0]), 0);
    job_note_input(&r.spec.j);
    assert_int_equal(r.spec.j.degraded, 0);
    rig_stop(&r);

    rig_start(&r, job); /* recalled: no request was built in this process */
    answer(&r, 0);
    drops = TEXT_LIT("seed");
    job_note_input(&r.spec.j);
    assert_int_equal(r.spec.j.degraded, DEGRADED_PARAM_DROPPED);
    assert_int_equal(r.spec.j.calls[0].wire.n_dropped, 1);
    assert_int_equal(r.spec.j.calls[1].wire.n_dropped, 0); /* never asked */
    rig_stop(&r);

    rig_start(&r, job);
    r.spec.j.spec.is_input_truncated = true;
    job_note_input(&r.spec.j);
    assert_int_equal(r.spec.j.degraded, DEGRADED_INPUT_TRUNCATED);
    rig_stop(&r);
    assert_int_equal(DEGRADED_BUT_OK & DEGRADED_INPUT_TRUNCATED, 0); /* CONTRACTS 5: the job is partial */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_estimate),
        cmocka_unit_test(test_all_of_the_input_is_asked),
        cmocka_unit_test(test_what_is_left_out_is_noted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
