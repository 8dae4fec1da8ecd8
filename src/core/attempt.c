/* SPDX-License-Identifier: Apache-2.0 */
/* Turns transfers into outcomes, outcomes into journal entries and back. Decides nothing. Loop thread. */
#include "core/attempt.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "core/registry.h"

enum {
    SECRET_LEAST = 8, /* shorter keys are test keys, and would blot out words */
    ENTRY_BYTES = 1000,
};

/* Everything that ends a transfer other than a complete response. */
static const struct way_fault {
    enum fault fault;
    bool is_ambiguous; /* the provider may have served it: counts when the request was written */
    bool is_final;     /* asking again would only pay for the same again */
} way_faults[TRANSFER_END_MAX] = {
    [TRANSFER_DNS] = {FAULT_NETWORK, false, false},
    [TRANSFER_REFUSED] = {FAULT_NETWORK, false, false},
    [TRANSFER_CONNECT_TIMEOUT] = {FAULT_TIMEOUT, false, false},
    [TRANSFER_TLS] = {FAULT_NETWORK, false, false},
    [TRANSFER_FIRST_BYTE_TIMEOUT] = {FAULT_TIMEOUT, true, false},
    [TRANSFER_IDLE_TIMEOUT] = {FAULT_TIMEOUT, true, false},
    [TRANSFER_TOTAL_TIMEOUT] = {FAULT_TIMEOUT, true, false},
    [TRANSFER_DEADLINE] = {FAULT_DEADLINE_EXCEEDED, true, true},
    [TRANSFER_RESET] = {FAULT_NETWORK, true, false},
    [TRANSFER_TRUNCATED] = {FAULT_BAD_RESPONSE, true, false},
    [TRANSFER_TOO_LARGE] = {FAULT_BAD_RESPONSE, true, true},
    [TRANSFER_RESEND] = {FAULT_NETWORK, true, false},
    [TRANSFER_PROTOCOL] = {FAULT_BAD_RESPONSE, true, false},
    [TRANSFER_LOCAL] = {FAULT_NETWORK, false, false},
};

static struct attempt *attempt_new(struct call *c)
{
    struct attempt *a = arena_zero(c->job->arena, sizeof(*a));

    list_init(&a->link);
    a->number = c->attempt;
    a->ordinal = c->ordinal;
    outcome_init(&a->outcome);
    return a;
}

/* Times, sizes and the permit's share: the same for every end. */
static void fill_common(struct call *c, const struct transfer *t, struct outcome *o)
{
    struct loop *loop = c->job->env->loop;
    int64_t now = loop_now_us(loop);

    o->request_model = text_of(c->asked->id);
    o->served_model = c->fallback_index > 0 ? text_of(c->model->id) : TEXT_NONE;
    o->fallback_index = c->fallback_index;
    o->key_id = c->model->provider->keys[c->key_slot].id;
    o->breaker_state = breaker_state_name(c->breaker_state);
    o->was_sent = t->was_sent;
    o->http_status = o->http_status != 0 ? o->http_status : t->status;
    o->ended_ms = loop_wall_ms(loop);
    o->started_ms = o->ended_ms - (t->sent_us > 0 ? (now - t->sent_us) / 1000 : t->total_took_us / 1000);
    o->throttle_us = c->permit.granted_us - c->asked_us;
    o->throttle_reason = throttle_name(c->was_gated ? THROTTLE_BREAKER : c->permit.throttle);
    o->queue_us = (c->job->asked_ms - c->job->read_ms) * 1000;
    o->reserved_tokens = c->estimate_tokens;
    o->connect_us = t->connect_took_us;
    o->duration_us = t->sent_us > 0 ? now - t->sent_us : t->total_took_us;
    /* the transfer counts from its start; the records count from the send, without the connection's time */
    o->ttft_us = t->first_byte_took_us >= 0 && t->total_took_us > 0
                     ? t->first_byte_took_us - (t->total_took_us - o->duration_us)
                     : -1;
    o->bytes_out = t->bytes_out;
    o->bytes_in = t->bytes_in;
}

/* A provider may quote the key it refuses, whatever its form: it must not get into records, logs or the journal. A
 * quotation that the end of the text cuts off counts too. */
static void blot_out(char *text, const char *secret)
{
    size_t len = secret != NULL ? strlen(secret) : 0;

    if (len < SECRET_LEAST)
        return;
    for (char *p = strchr(text, *secret); p != NULL; p = strchr(p + 1, *secret)) {
        size_t n = 0;

        while (n < len && p[n] == secret[n])
            n++;
        if (n < len && (n < SECRET_LEAST || p[n] != '\0'))
            continue;
        memset(p, '*', n);
    }
}

struct attempt *attempt_of_transfer(struct call *c, struct transfer *t)
{
    struct attempt *a = attempt_new(c);
    struct outcome *o = &a->outcome;
    struct loop *loop = c->job->env->loop;

    if (t->end == TRANSFER_OK) {
        c->model->provider->ops->finish(t, loop_wall_ms(loop), c->job->arena, o);
        if (o->usage.input_tokens >= 0)
            o->cost_nusd = price_cost_nusd(&c->model->price, &o->usage);
    } else {
        const struct way_fault *f = &way_faults[t->end];

        outcome_fail(o, f->fault, transfer_detail(t->end), "%s", t->why);
        o->is_ambiguous = f->is_ambiguous && t->was_sent;
        if (f->is_final)
            o->hint = RETRY_HINT_NO;
    }
    for (int i = 0; i < c->model->provider->n_keys; i++)
        blot_out(o->why, c->model->provider->keys[i].secret);
    fill_common(c, t, o);
    outcome_keep(o, c->job->arena);
    return a;
}

struct attempt *attempt_of_end(struct call *c, struct transfer *t, enum fault fault, const char *detail)
{
    struct attempt *a = attempt_new(c);

    outcome_fail(&a->outcome, fault, detail, "ended by tutti before the answer was complete");
    a->outcome.is_ambiguous = t->was_sent;
    fill_common(c, t, &a->outcome);
    return a;
}

void attempt_journal(struct call *c, struct attempt *a)
{
    struct journal *journal = c->job->env->journal;
    struct recall what = {.call_key = c->key, .attempt = a->number, .is_done = a->outcome.fault == FAULT_NONE};
    struct buf b;

    if (journal == NULL)
        return;
    buf_init(&b, 0);
    (void)buf_reserve(&b, ENTRY_BYTES + a->outcome.answer.len); /* else it grows, and moves the answer, step by step */
    outcome_encode(&a->outcome, &b);
    what.bytes = text_slice(b.p, b.len);
    journal->ops->record(journal, &c->job->pos, &what);
    buf_done(&b);
}

static bool is_before(const struct attempt *a, const struct attempt *b)
{
    if (a->outcome.fallback_index != b->outcome.fallback_index)
        return a->outcome.fallback_index < b->outcome.fallback_index;
    return a->number < b->number;
}

/* Keeps the list ordered: failed attempts by model and number, the answer last. */
static void insert_ordered(struct call *c, struct attempt *a)
{
    struct list *at = c->attempts.prev;

    while (at != &c->attempts) {
        struct attempt *other = LIST_ENTRY(at, struct attempt, link);

        if (other->outcome.fault != FAULT_NONE && (a->outcome.fault == FAULT_NONE || is_before(other, a)))
            break;
        at = at->prev;
    }
    list_add_head(at, &a->link);
}

/* Two keys of one sample of one member: they differ in their ordinal at most. */
static bool is_same_place(const char *a, const char *b)
{
    const char *end_a = strrchr(a, ':'), *end_b = strrchr(b, ':');

    return end_a != NULL && end_b != NULL && end_a - a == end_b - b && memcmp(a, b, (size_t)(end_a - a)) == 0;
}

/* Does what was remembered under this key belong to the call? Normally the key says so. When the configuration changed
 * meanwhile (another jobs.default_models, an alias that points elsewhere), the model that was asked does: an answer
 * must neither appear under another model's name nor be paid for again. */
static bool is_of_call(const struct call *c, const char *key, struct text asked)
{
    const struct job *j = c->job;

    if (asked.p == NULL || c->asked == NULL)
        return text_is(text_of(key), c->key);
    if (!text_is(asked, c->asked->id))
        return false;
    for (int i = 0; i < j->n_calls; i++) {
        const struct call *other = &j->calls[i];

        if (is_same_place(key, other->key))
            return other == c || other->asked == NULL || !text_is(asked, other->asked->id);
    }
    return true;
}

static int ordinal_of(const char *key)
{
    const char *colon = strrchr(key, ':');

    return colon != NULL ? (int)strtol(colon + 1, NULL, 10) : 0;
}

/* Was it this call's present model that gave the outcome? An old entry names nobody: then the key says so. */
static bool is_present_model(const struct call *c, const struct outcome *o)
{
    if (o->request_model.p == NULL)
        return c->fallback_index == 0;
    return text_is(o->request_model, c->asked->id) &&
           text_is(o->served_model.p != NULL ? o->served_model : o->request_model, c->model->id);
}

/* Under a key that another model was asked under the answer would not be the first one, so the journal would not keep
 * it, and a provider that knows idempotency keys would serve the other model's. That happens when the configuration
 * changed: the place is the same, the model is not. */
void attempt_choose_key(struct call *c)
{
    const struct claim *claim = &c->job->claim;
    int ordinal = c->fallback_index > 0 && c->ordinal >= c->fallback_index ? c->ordinal + 1 : c->fallback_index;
    bool is_taken = true;
    struct outcome o;

    LIST_EACH (it, &c->attempts) { /* of this process too, which no claim has brought */
        const struct attempt *a = LIST_ENTRY(it, struct attempt, link);

        if (a->outcome.request_model.p != NULL && is_present_model(c, &a->outcome)) {
            c->ordinal = a->ordinal;
            c->key = arena_printf(c->job->arena, "answer:%d:%d:0:%d", c->member, c->sample, c->ordinal);
            return;
        }
        if (c->fallback_index > 0 && ordinal <= a->ordinal)
            ordinal = a->ordinal + 1;
    }
    while (is_taken) {
        const char *key = arena_printf(c->job->arena, "answer:%d:%d:0:%d", c->member, c->sample, ordinal);

        is_taken = false;
        for (int i = 0; i < claim->n_recalls; i++) {
            const struct recall *r = &claim->recalls[i];

            if (!is_same_place(r->call_key, key) || outcome_decode(&o, c->job->arena, r->bytes.p, r->bytes.len) < 0)
                continue;
            if (is_present_model(c, &o) && o.request_model.p != NULL) {
                c->key = r->call_key;
                c->ordinal = ordinal_of(r->call_key);
                return;
            }
            is_taken |= strcmp(r->call_key, key) == 0 && !is_present_model(c, &o);
        }
        c->key = key;
        c->ordinal = ordinal++;
    }
}

int attempt_recall(struct call *c, const struct recall *recalls, int n)
{
    int found = 0;

    if (c->asked != NULL && n > 0)
        attempt_choose_key(c);
    for (int i = 0; i < n; i++) {
        struct attempt *a = attempt_new(c);

        if (outcome_decode(&a->outcome, c->job->arena, recalls[i].bytes.p, recalls[i].bytes.len) < 0 ||
            !is_of_call(c, recalls[i].call_key, a->outcome.request_model))
            continue;
        a->number = recalls[i].attempt;
        a->ordinal = ordinal_of(recalls[i].call_key);
        insert_ordered(c, a);
        found++;
    }
    return found;
}
