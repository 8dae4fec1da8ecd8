/* SPDX-License-Identifier: Apache-2.0 */
/* One chat completion from its request to its log line: who asks, for which model, within which limits, what happens.
 * Never touches a socket. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/sim_internal.h"

static void copy_label(char out[LABEL_BYTES], struct text t)
{
    t = text_cut(t, LABEL_BYTES - 1);
    if (t.p != NULL)
        memcpy(out, t.p, t.len);
    out[t.p != NULL ? t.len : 0] = '\0';
}

static void hash_hex(const void *bytes, size_t len, uint8_t digest[DIGEST_BYTES], char out[HASH_HEX + 1])
{
    digest_sha256(len > 0 ? bytes : "", len, digest);
    digest_hex(digest, HASH_HEX / 2, out);
}

/* Puts a whole response into s->wire. */
size_t sim_respond(struct sim *s, int status, const struct buf *body, const char *extra)
{
    struct buf *w = &s->wire;
    size_t head_bytes;

    buf_clear(w);
    buf_add_str(w, "HTTP/1.1 ");
    buf_add_i64(w, status);
    buf_add_char(w, ' ');
    buf_add_str(w, http_reason(status));
    buf_add_str(w, "\r\ncontent-type: application/json\r\nx-request-id: req_sim");
    buf_add_i64(w, (int64_t)++s->n_answers);
    buf_add_str(w, "\r\ncontent-length: ");
    buf_add_i64(w, (int64_t)body->len);
    buf_add_str(w, "\r\n");
    buf_add_str(w, extra);
    buf_add_str(w, "\r\n");
    head_bytes = w->len;
    buf_add(w, body->p, body->len);
    return head_bytes;
}

static int refuse(struct sim *s, struct exchange *x, int status, const char *word, const char *extra)
{
    x->status = status;
    x->word = word;
    (void)sim_respond(s, status, &s->body, extra);
    return 1;
}

static int refuse_key(struct sim *s, struct exchange *x, struct text key)
{
    char message[256];

    buf_clear(&s->body);
    if (key.p == NULL) {
        answer_error(
            &s->body,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
            "invalid_request_error", NULL);
    } else {
        /* As the real one: the beginning of the key, then stars. */
        (void)snprintf(message, sizeof(message),
                       "Incorrect API key provided: %.*s*****. You can find your API key at "
                       "https://platform.openai.com/account/api-keys.",
                       key.len < 5 ? 0 : 5, key.p);
        answer_error(&s->body, message, "invalid_request_error", "invalid_api_key");
    }
    return refuse(s, x, 401, "unauthorized", "");
}

static int refuse_model(struct sim *s, struct exchange *x)
{
    char message[256];

    (void)snprintf(message, sizeof(message), "The model `%s` does not exist or you do not have access to it.",
                   x->model_name);
    buf_clear(&s->body);
    answer_error(&s->body, message, "invalid_request_error", "model_not_found");
    return refuse(s, x, 404, "no_model", "");
}

static int refuse_overrun(struct sim *s, struct exchange *x, struct meter *m, const struct overrun *over)
{
    struct buf head;

    buf_init(&head, 0);
    meter_add_headers(m, x->model, x->arrived_us, &head);
    if (over->wait_us >= 0)
        buf_printf(&head, "retry-after: %lld\r\n", (long long)((over->wait_us + 999999) / 1000000));
    buf_clear(&s->body);
    answer_overrun(&s->body, x, over);
    x->over_limit = true;
    (void)refuse(s, x, 429, over->decision, head.len > 0 ? head.p : "");
    buf_done(&head);
    return 1;
}

static const struct sim_model *model_of(const struct sim *s, struct text name)
{
    for (size_t i = 0; i < s->conf.n_models; i++)
        if (text_is(name, s->conf.models[i].name))
            return &s->conf.models[i];
    return NULL;
}

static struct meter *meter_of(struct sim_key *k, const struct sim_model *model)
{
    const char *name = model->meter != NULL ? model->meter : model->name;

    for (size_t i = 0; i < k->n_meters; i++)
        if (meter_is(k->meters[i], name))
            return k->meters[i];
    k->meters = mem_resize(k->meters, sizeof(struct meter *) * (k->n_meters + 1));
    k->meters[k->n_meters] = meter_new(name);
    return k->meters[k->n_meters++];
}

/* How long the answer will be and what it costs: known before it is written, so that the meter can count it. */
static void estimate(struct exchange *x, const struct orders *o, int64_t prompt_bytes, int64_t max_tokens)
{
    const struct sim_model *m = x->model;
    int64_t bytes = m->answer_bytes;

    if (o->answer.p != NULL) {
        x->answer = mem_strndup(o->answer.p, o->answer.len);
        bytes = (int64_t)o->answer.len;
    }
    if (x->decision.fault == SIM_EMPTY)
        bytes = 0;
    if (max_tokens > 0 && max_tokens < (bytes + 3) / 4) {
        bytes = max_tokens * 4;
        x->is_cut = true;
    }
    x->answer_bytes = bytes;
    x->prompt_tokens = m->prompt_tokens >= 0 ? m->prompt_tokens : (prompt_bytes + 3) / 4 + 7;
    x->completion_tokens = m->completion_tokens >= 0 ? m->completion_tokens : (bytes + 3) / 4;
    memcpy(x->finish, o->finish, sizeof(x->finish));
}

/* Decides about a request of a known model. */
static int admit(struct sim *s, struct exchange *x, struct sim_key *k, const uint8_t *digest, int64_t max_tokens)
{
    struct meter *m = meter_of(k, x->model);
    struct overrun over;
    struct orders orders;
    uint64_t key;

    memcpy(&key, digest, sizeof(key));
    key ^= digest_crc32c(x->model->name, strlen(x->model->name)) * UINT64_C(0x9e3779b97f4a7c15);
    key |= 1; /* never 0 */
    x->seed = key;
    x->attempt = attempts_get(&s->attempts, key) + 1;
    orders_read(s->prompt.p, s->prompt.len, x->model->name, x->attempt, &orders);
    x->decision = decide(s->conf.seed, key, x->attempt, x->model, &orders);
    estimate(x, &orders, (int64_t)s->prompt.len, max_tokens);
    x->in_flight = meter_in_flight(m) + 1;
    if (meter_enter(m, x->model, x->arrived_us, x->prompt_tokens, x->completion_tokens, &over) < 0)
        return refuse_overrun(s, x, m, &over);
    attempts_add(&s->attempts, key); /* an attempt that a limit refused is none */
    x->meter = m;
    x->word = sim_fault_name(x->decision.fault);
    return 0;
}

int exchange_begin(struct sim *s, struct exchange *x, const struct http_request *r, const char *body)
{
    struct chat chat = {.prompt = &s->prompt};
    struct sim_key *k = sim_key_of(s, r->api_key);
    uint8_t digest[DIGEST_BYTES];

    *x = (struct exchange){.prompt_tokens = -1, .completion_tokens = -1};
    x->arrived_us = loop_clock_us(s->loop);
    x->arrived_ms = sim_wall_ms(s);
    memcpy(x->key_id, k->id, sizeof(x->key_id));
    copy_label(x->idempotency_key, r->idempotency_key);
    s->stats.in_flight++;
    if (!sim_key_is_known(s, r->api_key))
        return refuse_key(s, x, r->api_key);
    if (s->ledger.fd >= 0)
        hash_hex(body, r->body_bytes, digest, x->body_hash);
    buf_clear(&s->body);
    if (chat_read(body, r->body_bytes, &chat) < 0) {
        answer_error(&s->body, "We could not parse the JSON body of your request.", "invalid_request_error", NULL);
        return refuse(s, x, 400, "bad_request", "");
    }
    copy_label(x->model_name, chat.model);
    if (chat.model.p == NULL || !chat.has_messages || chat.is_stream) {
        answer_error(&s->body,
                     chat.is_stream ? "The simulator does not stream." : "you must provide model and messages",
                     "invalid_request_error", NULL);
        return refuse(s, x, 400, "bad_request", "");
    }
    hash_hex(s->prompt.p, s->prompt.len, digest, x->prompt_hash);
    chat_job_tag(&s->prompt, x->job);
    x->model = model_of(s, chat.model);
    if (x->model == NULL)
        return refuse_model(s, x);
    return admit(s, x, k, digest, chat.max_tokens);
}

size_t exchange_answer(struct sim *s, struct exchange *x)
{
    const struct decision *d = &x->decision;
    struct buf extra;
    size_t head_bytes;

    CHECK(x->meter != NULL && d->status != 0);
    buf_init(&extra, 0);
    buf_clear(&s->body);
    if (d->status == 200 && d->fault != SIM_ERROR200)
        answer_completion(&s->body, x);
    else
        answer_fault(&s->body, x);
    if (d->fault == SIM_BAD_JSON) {
        s->body.len /= 2;
        s->body.p[s->body.len] = '\0';
    }
    meter_add_headers(x->meter, x->model, loop_clock_us(s->loop), &extra);
    if (d->retry_after_ms >= 0)
        buf_printf(&extra, "retry-after: %g\r\n", (double)d->retry_after_ms / 1000);
    buf_printf(&extra, "openai-processing-ms: %lld\r\n", (long long)((loop_clock_us(s->loop) - x->arrived_us) / 1000));
    x->status = d->status;
    head_bytes = sim_respond(s, d->status, &s->body, extra.p);
    buf_done(&extra);
    return head_bytes;
}

void exchange_end(struct sim *s, struct exchange *x, bool is_answered)
{
    bool is_paid = is_answered && exchange_is_billed(x);

    if (x->meter != NULL)
        meter_leave(x->meter);
    s->stats.in_flight--;
    s->stats.requests++;
    s->stats.paid += is_paid;
    s->stats.over_limit += x->over_limit;
    s->stats.gone += !is_answered;
    ledger_add(&s->ledger, x, is_answered ? sim_wall_ms(s) : -1, is_paid);
    mem_free(x->answer);
    x->answer = NULL;
}
