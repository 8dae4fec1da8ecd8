/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a job record: they give a job that keeps its promises and requests that are JSON in every dialect, or an
 * error with a code and a place; either way the record that follows (a result whose answers are the input's texts,
 * merged, cut to a small limit; a dead letter) is well-formed. One thread. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/scan.h"
#include "core/job.h"
#include "core/registry.h"
#include "core/request.h"
#include "impl/provider.h"
#include "loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { LIMIT = 9000, ID_BYTES = 8 };

static const char *const default_models[] = {"chatgpt", "claude", "gemini"};
static struct provider_key key;
static struct provider providers[] = {{.id = "openai", .base_url = "http://x/v1", .keys = &key, .n_keys = 1},
                                      {.id = "anthropic", .base_url = "http://x", .keys = &key, .n_keys = 1},
                                      {.id = "gemini", .base_url = "http://x", .keys = &key, .n_keys = 1}};
static struct model models[ARRAY_LEN(default_models)];

static size_t limit(struct broker *b, enum output o)
{
    (void)b;
    (void)o;
    return LIMIT;
}

static bool is_utf8(const char *s)
{
    json_t *string = json_string(s);

    json_decref(string);
    return string != NULL;
}

/* One whole JSON value on one line, without lone surrogates and NULs. */
static void check_json(struct text t)
{
    struct scan s;

    scan_init(&s, t.p, t.len);
    CHECK(scan_skip(&s, NULL) == 0 && scan_end(&s) == 0);
    CHECK(memchr(t.p, '\n', t.len) == NULL);
}

static void check_open_map(struct arena *a, struct text t)
{
    struct text repaired = {.p = t.p, .len = t.len, .is_escaped = true};

    if (t.p == NULL)
        return;
    CHECK(t.p[0] == '{');
    check_json(t);
    repaired = scan_repair(a, repaired);
    CHECK(memcmp(repaired.p, t.p, t.len) == 0); /* nothing is left to repair */
}

static void check_message(const struct chat_message *m)
{
    CHECK(m->role <= ROLE_TOOL && (m->n_parts == 0 || m->parts != NULL));
    CHECK(m->role == ROLE_ASSISTANT || m->tool_calls.p == NULL);
    if (m->tool_calls.p != NULL)
        check_json(m->tool_calls);
    for (int i = 0; i < m->n_parts; i++)
        CHECK(m->parts[i].text.p != NULL && (m->parts[i].kind == PART_TEXT || m->role == ROLE_USER));
}

static void check_spec(struct job *j)
{
    const struct job_spec *spec = &j->spec;

    CHECK(spec->job_id != NULL && spec->merge != NULL && spec->messages != NULL && spec->n_messages > 0);
    CHECK(spec->n_members >= 0 && spec->n_members <= JOB_MODELS_MAX && spec->run >= 0);
    CHECK(spec->quorum == -1 || (spec->quorum >= 1 && spec->quorum <= JOB_MODELS_MAX));
    CHECK(spec->deadline_ms == -1 || spec->deadline_ms > 0);
    CHECK(spec->max_output_tokens == -1 || spec->max_output_tokens > 0);
    for (int i = 0; i < spec->n_params; i++)
        CHECK(spec->params[i].name.p != NULL && spec->params[i].json.len > 0);
    for (int i = 0; i < spec->n_members; i++)
        CHECK(!text_is_blank(spec->members[i].name) && spec->members[i].samples >= 1 && spec->members[i].weight > 0);
    for (int i = 0; i < spec->n_messages; i++)
        check_message(&spec->messages[i]);
    if (spec->tools.p != NULL)
        check_json(spec->tools);
    if (spec->tool_choice.p != NULL)
        check_json(spec->tool_choice);
    check_open_map(j->arena, spec->labels);
    check_open_map(j->arena, spec->metadata);
}

static void check_error(const struct job_error *e)
{
    static const char *const codes[] = {"empty_value", "not_json",    "not_utf8",
                                        "too_large",   "invalid_job", "unsupported_version"};
    bool is_known = false;

    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        is_known |= e->code != NULL && strcmp(e->code, codes[i]) == 0;
    CHECK(is_known && e->message[0] != '\0' && is_utf8(e->message) && is_utf8(e->pointer));
    for (const char *p = e->message; *p != '\0'; p++)
        CHECK((unsigned char)*p >= 0x20);
}

/* The answer of every call is the first text of the input. */
static void answer_all(struct job *j)
{
    const struct chat_message *m = &j->spec.messages[0];

    for (int i = 0; i < j->n_calls; i++) {
        struct call *c = &j->calls[i];

        if (c->model != NULL && call_build_request(c) == 0)
            check_json(c->wire.body);
        outcome_init(&c->unsent);
        c->unsent.answer = m->n_parts > 0 ? m->parts[0].text : TEXT_LIT("none");
        c->outcome = &c->unsent;
    }
}

static void encode_result(struct job *j)
{
    job_plan(j);
    CHECK(j->n_calls >= 1 && j->n_calls <= JOB_MODELS_MAX && j->quorum <= j->n_calls);
    answer_all(j);
    job_note_input(j);
    j->merged.winner = -1;
    if (j->spec.merge->merge(job_stage_view(j), j->arena, &j->merged, &j->error_message) < 0) {
        j->status = JOB_FAILED;
        j->error_code = "merge_failed";
    }
    job_encode_result(j);
    CHECK(j->pub.first != NULL && j->pub.first->value_len <= LIMIT);
    check_json(text_slice(j->pub.first->value, j->pub.first->value_len));
}

static struct registry make_registry(void)
{
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        providers[i].ops = provider_find(providers[i].id);
        models[i] = (struct model){
            .id = default_models[i], .provider = &providers[i], .vendor_model = "m", .max_output_tokens = 100};
    }
    return (struct registry){.providers = providers,
                             .n_providers = ARRAY_LEN(providers),
                             .models = models,
                             .n_models = ARRAY_LEN(models),
                             .default_models = default_models,
                             .n_default_models = ARRAY_LEN(default_models)};
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct broker_ops ops = {.name = "fuzz", .limit = limit};
    const struct registry registry = make_registry();
    struct loop *loop = loop_new_sim(0);
    struct broker broker = {.ops = &ops};
    struct env env = {.loop = loop,
                      .registry = &registry,
                      .broker = &broker,
                      .max_bytes = 1 << 20,
                      .group = "g",
                      .worker_id = "w",
                      .build = "b"};
    struct arena *a = arena_new(4096);
    struct job *j = arena_zero(a, sizeof(*j));
    struct message_header id = {
        .name = "ce_id", .value = (const char *)bytes, .value_len = len < ID_BYTES ? len : ID_BYTES};

    env.merges = merge_all(&env.n_merges);
    *j = (struct job){
        .env = &env, .arena = a, .value = (const char *)bytes, .value_len = len, .headers = &id, .n_headers = 1};
    j->pos = (struct position){.topic = "tutti.jobs", .partition = 1, .offset = 2};
    j->source_key = (const char *)bytes;
    j->source_key_len = len < ID_BYTES ? len : ID_BYTES;
    if (job_decode(j, &j->error) == 0) {
        CHECK(j->error.code == NULL);
        check_spec(j);
        encode_result(j);
    } else {
        check_error(&j->error);
        job_encode_dead_letter(j);
        CHECK(j->pub.first != NULL && j->pub.first->n_headers >= 14);
    }
    CHECK(j->spec.job_id != NULL);
    arena_free(a);
    loop_free(loop);
    return 0;
}
