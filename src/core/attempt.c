/* SPDX-License-Identifier: Apache-2.0 */
/* Turns transfers into outcomes, outcomes into journal entries and back. Decides nothing. Loop thread. */
#include "core/attempt.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "core/registry.h"

enum { SECRET_LEAST = 8 }; /* shorter keys are test keys, and would blot out words */

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
    outcome_init(&a->outcome);
    return a;
}

/* Times, sizes and the permit's share: the same for every end. */
static void fill_common(struct call *c, const struct transfer *t, struct outcome *o)
{
    struct loop *loop = c->job->env->loop;
    int64_t now = loop_now_us(loop);

    o->request_model = text_of(c->model->id);
    o->was_sent = t->was_sent;
    o->http_status = o->http_status != 0 ? o->http_status : t->status;
    o->ended_ms = loop_wall_ms(loop);
    o->started_ms = o->ended_ms - (t->sent_us > 0 ? (now - t->sent_us) / 1000 : t->total_took_us / 1000);
    o->throttle_us = c->permit.granted_us - c->asked_us;
    o->throttle_reason = throttle_name(c->permit.throttle);
    o->queue_us = (c->job->started_ms - c->job->read_ms) * 1000;
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
    blot_out(o->why, c->model->provider->keys[c->key_slot].secret);
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
    outcome_encode(&a->outcome, &b);
    what.bytes = text_slice(b.p, b.len);
    journal->ops->record(journal, &c->job->pos, &what);
    buf_done(&b);
}

/* Keeps the list ordered: failed attempts by number, the answer last. */
static void insert_ordered(struct call *c, struct attempt *a)
{
    struct list *at = c->attempts.prev;

    while (at != &c->attempts) {
        struct attempt *other = LIST_ENTRY(at, struct attempt, link);

        if (other->outcome.fault != FAULT_NONE && (a->outcome.fault == FAULT_NONE || other->number < a->number))
            break;
        at = at->prev;
    }
    list_add_head(at, &a->link);
}

/* Does what was remembered under this key belong to the call? Normally the key says so. When the configuration changed
 * meanwhile (another jobs.default_models, an alias that points elsewhere), the model that was asked does: an answer
 * must neither appear under another model's name nor be paid for again. */
static bool is_of_call(const struct call *c, const char *key, struct text asked)
{
    const struct job *j = c->job;

    if (asked.p == NULL || c->model == NULL)
        return text_is(text_of(key), c->key);
    if (!text_is(asked, c->model->id))
        return false;
    for (int i = 0; i < j->n_calls; i++) {
        const struct call *other = &j->calls[i];

        if (text_is(text_of(key), other->key))
            return other == c || other->model == NULL || !text_is(asked, other->model->id);
    }
    return true;
}

static bool is_taken(const struct call *c, const struct recall *recalls, int n)
{
    struct outcome o;

    for (int i = 0; i < n; i++)
        if (text_is(text_of(recalls[i].call_key), c->key) &&
            outcome_decode(&o, c->job->arena, recalls[i].bytes.p, recalls[i].bytes.len) == 0 &&
            o.request_model.p != NULL && !text_is(o.request_model, c->model->id))
            return true;
    return false;
}

/* The configuration changed and another model was asked under this call's key: what is asked now is another call. Under
 * the old key its answer would not be the first one, so the journal would not keep it, and a provider that knows
 * idempotency keys would serve the other model's. */
static void choose_key(struct call *c, const struct recall *recalls, int n)
{
    for (int ordinal = 1; c->model != NULL && is_taken(c, recalls, n); ordinal++)
        c->key = arena_printf(c->job->arena, "answer:%d:0:0:%d", c->member, ordinal);
}

int attempt_recall(struct call *c, const struct recall *recalls, int n)
{
    int found = 0;

    choose_key(c, recalls, n);
    for (int i = 0; i < n; i++) {
        struct attempt *a = attempt_new(c);

        if (outcome_decode(&a->outcome, c->job->arena, recalls[i].bytes.p, recalls[i].bytes.len) < 0 ||
            !is_of_call(c, recalls[i].call_key, a->outcome.request_model))
            continue;
        a->number = recalls[i].attempt;
        insert_ordered(c, a);
        found++;
    }
    return found;
}
