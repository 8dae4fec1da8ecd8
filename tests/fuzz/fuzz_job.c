/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a job record: they give a job that keeps its promises, or an error with a code and a place; either way
 * the record that follows (a result whose answers are the prompt, cut to a small limit; a dead letter) is well-formed.
 * One thread. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/scan.h"
#include "core/job.h"
#include "core/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { LIMIT = 9000, ID_BYTES = 8 };

static const struct merge_ops none = {.name = "none"}, first = {.name = "first"}, concat = {.name = "concat"};
static const struct merge_ops *const merges[] = {&none, &first, &concat};
static const char *const default_models[] = {"chatgpt", "claude"};

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

static void check_spec(struct job *j)
{
    const struct job_spec *spec = &j->spec;

    CHECK(spec->job_id != NULL && spec->merge != NULL && !text_is_blank(spec->prompt));
    CHECK(spec->n_models >= 0 && spec->n_models <= JOB_MODELS_MAX && spec->run >= 0);
    CHECK(spec->quorum == -1 || (spec->quorum >= 1 && spec->quorum <= JOB_MODELS_MAX));
    CHECK(spec->deadline_ms == -1 || spec->deadline_ms > 0);
    CHECK(spec->max_output_tokens == -1 || spec->max_output_tokens > 0);
    for (int i = 0; i < spec->n_params; i++)
        CHECK(spec->params[i].name.p != NULL && spec->params[i].json.len > 0);
    for (int i = 0; i < spec->n_models; i++)
        CHECK(!text_is_blank(spec->models[i]));
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

static void encode_result(struct job *j)
{
    int n = j->spec.n_models > 0 ? j->spec.n_models : 2;

    j->calls = arena_zero(j->arena, sizeof(*j->calls) * (size_t)n);
    j->n_calls = n;
    for (int i = 0; i < n; i++) {
        struct call *c = &j->calls[i];

        call_init(c, j, i, j->spec.n_models > 0 ? j->spec.models[i] : text_of("m"), NULL);
        outcome_init(&c->unsent);
        c->unsent.answer = j->spec.prompt;
        c->outcome = &c->unsent;
    }
    j->merged.answer = j->spec.prompt;
    j->merged.winner = -1;
    job_encode_result(j);
    CHECK(j->pub.first != NULL && j->pub.first->value_len <= LIMIT);
    check_json(text_slice(j->pub.first->value, j->pub.first->value_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct broker_ops ops = {.name = "fuzz", .limit = limit};
    const struct registry registry = {.default_models = default_models, .n_default_models = ARRAY_LEN(default_models)};
    struct broker broker = {.ops = &ops};
    struct env env = {.registry = &registry,
                      .merges = merges,
                      .n_merges = 3,
                      .broker = &broker,
                      .max_bytes = 1 << 20,
                      .group = "g",
                      .worker_id = "w",
                      .build = "b"};
    struct arena *a = arena_new(4096);
    struct job *j = arena_zero(a, sizeof(*j));
    struct message_header id = {
        .name = "ce_id", .value = (const char *)bytes, .value_len = len < ID_BYTES ? len : ID_BYTES};

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
    return 0;
}
