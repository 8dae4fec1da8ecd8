/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs built by hand for the record encoders: three models, a broker that has nothing but limits, helpers that find and
 * parse what was written. With TUTTI_DUMP_RECORDS=<directory> every record looked at is also written there, for
 * tests/test_schemas.py. Header only; one thread. */
#ifndef UNIT_RECORD_RIG_H
#define UNIT_RECORD_RIG_H

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/mem.h"
#include "core/job.h"
#include "core/record.h"
#include "core/registry.h"

#define T0 INT64_C(1795370400000) /* 2026-11-22T18:00:00Z */

struct rig {
    struct broker broker;
    size_t limits[OUT_MAX];
    struct provider_key key;
    struct provider provider;
    struct model models[3];
    struct registry registry;
    struct merge_ops merge;
    struct message_part part;
    struct chat_message message;
    struct env env;
    struct message_header headers[8];
    struct job *j;
};

static inline size_t rig_limit(struct broker *b, enum output o)
{
    return CONTAINER_OF(b, struct rig, broker)->limits[o];
}

/* A job of `n_calls` calls to the models a, b, c, a, ... that were not made yet. */
static inline void rig_start(struct rig *r, int n_calls)
{
    static const struct broker_ops ops = {.name = "rig", .limit = rig_limit};
    static const char *const ids[] = {"a", "b", "c"};
    struct arena *arena = arena_new(4096);

    memset(r, 0, sizeof(*r));
    r->broker.ops = &ops;
    for (int i = 0; i < OUT_MAX; i++)
        r->limits[i] = 1 << 20;
    r->key = (struct provider_key){"sk-secret", "k1"};
    r->provider = (struct provider){.id = "openai", .base_url = "https://api.example/v1", .keys = &r->key, .n_keys = 1};
    for (int i = 0; i < 3; i++)
        r->models[i] = (struct model){.id = ids[i], .provider = &r->provider, .vendor_model = "gpt", .pools = {-1}};
    r->registry = (struct registry){.models = r->models, .n_models = 3};
    r->merge = (struct merge_ops){.name = "concat", .default_quorum_max = 2};
    r->env = (struct env){
        .registry = &r->registry, .broker = &r->broker, .group = "tutti", .worker_id = "host-1", .build = "abc"};
    r->j = arena_zero(arena, sizeof(*r->j));
    *r->j = (struct job){.magic = JOB_MAGIC, .env = &r->env, .arena = arena, .headers = r->headers, .n_calls = n_calls};
    r->j->pos = (struct position){.topic = "tutti.jobs", .partition = 3, .offset = 42};
    r->j->ts_ms = T0 - 5000;
    r->j->started_ms = T0 - 2000;
    r->j->ended_ms = T0 + 123;
    r->j->status = JOB_OK;
    r->j->quorum = 1;
    r->j->merged.winner = -1;
    r->j->claim.deliveries = 1;
    r->j->spec = (struct job_spec){.job_id = "job-1", .messages = &r->message, .n_messages = 1, .merge = &r->merge};
    r->part = (struct message_part){.kind = PART_TEXT, .text = TEXT_LIT("Why?")};
    r->message = (struct chat_message){.role = ROLE_USER, .parts = &r->part, .n_parts = 1};
    r->j->n_members = n_calls;
    r->j->calls = arena_zero(arena, sizeof(*r->j->calls) * (size_t)(n_calls + 1));
    for (int i = 0; i < n_calls; i++)
        call_init(&r->j->calls[i], r->j, i, 0, text_of(ids[i % 3]), &r->models[i % 3]);
}

static inline void rig_stop(struct rig *r)
{
    arena_free(r->j->arena);
}

static inline void rig_header(struct rig *r, const char *name, const void *value, size_t len)
{
    CHECK(r->j->n_headers < (int)ARRAY_LEN(r->headers));
    r->headers[r->j->n_headers++] = (struct message_header){.name = name, .value = value, .value_len = len};
}

/* Another attempt of call `i`; its outcome becomes the call's. With an answer it went well. */
static inline struct outcome *rig_attempt(struct rig *r, int i, enum fault fault, const char *answer)
{
    struct call *c = &r->j->calls[i];
    struct attempt *a = arena_zero(r->j->arena, sizeof(*a));
    struct outcome *o = &a->outcome;

    list_init(&a->link);
    a->number = list_is_empty(&c->attempts) ? 1 : LIST_ENTRY(c->attempts.prev, struct attempt, link)->number + 1;
    outcome_init(o);
    if (fault != FAULT_NONE)
        outcome_fail(o, fault, "connect_refused", "it went wrong");
    o->answer = text_of(answer);
    o->started_ms = T0 - 1000;
    o->ended_ms = T0;
    list_add_tail(&c->attempts, &a->link);
    c->state = CALL_OVER;
    c->outcome = o;
    return o;
}

/* Ends call `i` without an attempt. */
static inline void rig_unsent(struct rig *r, int i, enum fault fault)
{
    struct call *c = &r->j->calls[i];

    outcome_init(&c->unsent);
    outcome_fail(&c->unsent, fault, NULL, "why");
    c->state = CALL_OVER;
    c->outcome = &c->unsent;
}

/* The fullest outcome there is. */
static inline struct outcome *rig_full_attempt(struct rig *r, int i)
{
    struct outcome *o = rig_attempt(r, i, FAULT_NONE, "Because.");

    o->http_status = 200;
    o->was_sent = true;
    o->response_model = TEXT_LIT("gpt-2026-01-01");
    o->request_id = TEXT_LIT("req_1");
    o->raw_finish = TEXT_LIT("stop");
    o->finish = FINISH_STOP;
    o->reasoning = TEXT_LIT("hm");
    o->usage = (struct usage){100, 20, 30, 5};
    o->cost_nusd = 1234567;
    o->queue_us = 2000999;
    o->throttle_us = 1500;
    o->throttle_reason = "tpm";
    o->reserved_tokens = 150;
    o->connect_us = 0;
    o->ttft_us = 400000;
    o->duration_us = 1000000;
    o->bytes_out = 500;
    o->bytes_in = 700;
    return o;
}

/* The nth record of an output, NULL when there are fewer. */
static inline const struct record *rig_record(const struct rig *r, enum output output, int nth)
{
    for (const struct record *at = r->j->pub.first; at != NULL; at = at->next)
        if (at->output == output && nth-- == 0)
            return at;
    return NULL;
}

static inline const struct message_header *rig_find_header(const struct record *at, const char *name)
{
    for (int i = 0; i < at->n_headers; i++)
        if (strcmp(at->headers[i].name, name) == 0)
            return &at->headers[i];
    return NULL;
}

static inline void rig_dump(const char *kind, const char *bytes, size_t len)
{
    static int n;
    const char *directory = getenv("TUTTI_DUMP_RECORDS");
    char path[4096];
    FILE *f;

    if (directory == NULL)
        return;
    snprintf(path, sizeof(path), "%s/%s.%s.%d.json", directory, program_invocation_short_name, kind, n++);
    f = fopen(path, "wb");
    CHECK(f != NULL && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

/* Parses a record's value: strict, each key once. Free it with json_decref(). */
static inline json_t *rig_parse(const struct record *at)
{
    static const char *const kinds[OUT_MAX] = {[OUT_RESULTS] = "result",
                                               [OUT_CALLS] = "call",
                                               [OUT_DEAD_LETTERS] = "dead-letter",
                                               [OUT_MODEL_STATS] = "model-stats",
                                               [OUT_BATCHES] = "batch"};
    json_error_t why;
    json_t *json;

    if (at == NULL)
        fail_msg("no such record");
    json = json_loadb(at->value, at->value_len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL)
        fail_msg("%s: %.*s", why.text, (int)at->value_len, at->value);
    rig_dump(kinds[at->output], at->value, at->value_len);
    return json;
}

/* The value at "answers/0/answer" as compact JSON, in one of a few static buffers. */
static inline const char *rig_at(const json_t *json, const char *path)
{
    static char text[4][4000];
    static int turn;
    char step[100];
    size_t n;
    char *out = text[turn++ % 4];

    for (const char *p = path; json != NULL && *p != '\0'; p += strcspn(p, "/"), p += *p == '/') {
        n = strcspn(p, "/");
        CHECK(n < sizeof(step));
        memcpy(step, p, n);
        step[n] = '\0';
        json = json_is_array(json) ? json_array_get(json, (size_t)strtol(step, NULL, 10)) : json_object_get(json, step);
    }
    if (json == NULL)
        return "(absent)";
    n = json_dumpb(json, out, sizeof(text[0]) - 1, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    CHECK(n < sizeof(text[0]));
    out[n] = '\0';
    return out;
}

struct rig_row {
    const char *path;
    const char *json;
};

static inline void rig_check(const json_t *json, const struct rig_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(rig_at(json, rows[i].path), rows[i].json) != 0)
            fail_msg("%s is %s, wanted %s", rows[i].path, rig_at(json, rows[i].path), rows[i].json);
}

#define CHECK_ROWS(json, ...) \
    rig_check(json, (const struct rig_row[]){__VA_ARGS__}, ARRAY_LEN(((const struct rig_row[]){__VA_ARGS__})))

/* Parses the nth record of an output; the first use encodes the job. */
static inline json_t *rig_encode(struct rig *r, enum output output, int nth)
{
    if (r->j->pub.first == NULL)
        job_encode_result(r->j);
    return rig_parse(rig_record(r, output, nth));
}

static inline void rig_check_header(const struct record *at, const char *name, const char *value)
{
    const struct message_header *h = rig_find_header(at, name);

    if (h == NULL)
        fail_msg("no header %s", name);
    else if (h->value_len != strlen(value) || memcmp(h->value, value, h->value_len) != 0)
        fail_msg("%s is %.*s, wanted %s", name, (int)h->value_len, h->value, value);
}

#endif
