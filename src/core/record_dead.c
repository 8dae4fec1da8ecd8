/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters: the original key, value and headers byte for byte, and why in text headers. source: CONTRACTS 8,
 * KIP-1191 */
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "core/record.h"

enum { OWN_HEADERS = 16 };

struct headers {
    struct arena *arena;
    struct message_header *h;
    int n;
};

static void add(struct headers *out, const char *name, const char *value)
{
    const char *copy = arena_strdup(out->arena, value);

    out->h[out->n++] = (struct message_header){.name = name, .value = copy, .value_len = strlen(copy)};
}

static void add_number(struct headers *out, const char *name, long long v)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", v);
    add(out, name, text);
}

static void add_own(struct headers *out, const struct job *j)
{
    const struct job_error *e = &j->error;
    char ts[TIMESTAMP_CHARS + 1];

    record_timestamp(j->ended_ms, ts);
    add(out, "__dlq.errors.topic", j->pos.topic);
    add_number(out, "__dlq.errors.partition", j->pos.partition);
    add_number(out, "__dlq.errors.offset", j->pos.offset);
    add(out, "__dlq.errors.group", j->env->group);
    add_number(out, "__dlq.errors.delivery.count", j->claim.deliveries);
    add(out, "__dlq.errors.message", e->message);
    add_number(out, "dlq.attempts", j->claim.deliveries);
    add(out, "dlq.error.code", e->code);
    add(out, "dlq.error.pointer", e->pointer);
    add(out, "dlq.error.stage", e->stage);
    add(out, "dlq.time", ts);
    add(out, "dlq.worker", j->env->worker_id);
    add(out, "dlq.job_id", j->spec.job_id != NULL ? j->spec.job_id : "");
    add(out, "dlq.docs", arena_printf(out->arena, "docs/errors.md#%s", e->code));
}

void job_encode_dead_letter(struct job *j)
{
    struct broker *broker = j->env->broker;
    struct record *r = arena_zero(j->arena, sizeof(*r));
    struct headers out = {.arena = j->arena};
    size_t header_bytes = 0;

    out.h = arena_zero(j->arena, sizeof(*out.h) * (size_t)(j->n_headers + OWN_HEADERS));
    for (int i = 0; i < j->n_headers; i++) {
        out.h[out.n++] = j->headers[i];
        header_bytes += strlen(j->headers[i].name) + j->headers[i].value_len;
    }
    add_own(&out, j); /* these are bounded and fit the room that limit() keeps back */
    r->output = OUT_DEAD_LETTERS;
    r->key = j->source_key;
    r->key_len = j->source_key_len;
    r->value = j->value;
    r->value_len = j->value_len;
    if (r->value != NULL && r->value_len + r->key_len + header_bytes > broker->ops->limit(broker, OUT_DEAD_LETTERS)) {
        uint8_t digest[DIGEST_BYTES];
        char hex[DIGEST_HEX + 1];

        digest_sha256(j->value, j->value_len, digest);
        digest_hex(digest, sizeof(digest), hex);
        add(&out, "dlq.value.sha256", hex);
        r->value = NULL;
        r->value_len = 0;
    }
    r->headers = out.h;
    r->n_headers = out.n;
    record_link(j, r);
}
