/* SPDX-License-Identifier: Apache-2.0 */
/* One request of a model from its body to its log line: who asks, for which model, within which limits, what happens.
 * Knows no dialect but through its table. Never touches a socket. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/dialect.h"

static void copy_label(char out[LABEL_BYTES], struct text t)
{
    struct buf plain;

    if (t.p != NULL && t.is_escaped) { /* rare: a name has nothing to escape */
        buf_init(&plain, 0);
        text_add_plain(&plain, t);
        copy_label(out, text_slice(plain.p, plain.len));
        buf_done(&plain);
        return;
    }
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

/* Answers with the problem, now. */
static int refuse(struct sim *s, struct exchange *x, struct problem *p, const char *word)
{
    struct buf extra;

    buf_init(&extra, 0);
    if (p->over != NULL && x->dialect->write_limits != NULL) {
        const struct moment now = {.now_us = x->arrived_us, .wall_ms = x->arrived_ms};

        x->dialect->write_limits(&extra, meter_of(x->key, x->model), x->model, now);
        if (p->wait_us >= 0)
            buf_printf(&extra, "retry-after: %lld\r\n", (long long)((p->wait_us + 999999) / 1000000));
        else
            buf_add_str(&extra, "x-should-retry: false\r\n"); /* no wait makes it fit */
    }
    p->model = x->model_name;
    x->word = word;
    x->status = sim_refuse(s, x->dialect, p, extra.len > 0 ? extra.p : "");
    buf_done(&extra);
    return 1;
}

static int refuse_overrun(struct sim *s, struct exchange *x, const struct overrun *over)
{
    struct problem p = {
        .kind = PROBLEM_RATE, .over = over, .wait_us = over->wait_us, .limit = over->limit, .tokens = x->prompt_tokens};

    if (over->dimension == METER_CONCURRENCY)
        p.kind = PROBLEM_CONCURRENCY;
    else if (over->wait_us < 0)
        p.kind = PROBLEM_NEVER;
    x->over_limit = true;
    return refuse(s, x, &p, over->decision);
}

/* The tool that will be called: forced by the request, or ordered. NULL: none. */
static const struct tool *choose_tool(const struct ask *a, const struct orders *o)
{
    bool is_ordered = o->tool[0] != '\0' && o->tool[0] != '*';

    if (a->n_tools == 0 || (!a->is_tool_forced && o->tool[0] == '\0'))
        return NULL;
    for (size_t i = 0; i < a->n_tools; i++)
        if (is_ordered ? text_is(a->tools[i].name, o->tool)
                       : a->choice.p != NULL && text_equal(a->tools[i].name, a->choice))
            return &a->tools[i];
    return &a->tools[0];
}

static bool is_object(struct text t)
{
    struct scan s;

    scan_init(&s, t.p, t.len);
    return scan_peek(&s) == SCAN_OBJECT && scan_skip(&s, NULL) == 0 && scan_end(&s) == 0;
}

/* What will be answered, when that is not a made text; returns its bytes, or those of a made one. */
static int64_t prepare(struct exchange *x, const struct ask *a, const struct orders *o)
{
    const struct tool *tool = choose_tool(a, o);
    struct buf sample;
    size_t len;

    if (tool != NULL) {
        copy_label(x->tool, tool->name);
        x->is_tool_named = a->choice.p != NULL;
    }
    if (o->answer.p != NULL && (tool == NULL || is_object(o->answer))) {
        x->answer = mem_strndup(o->answer.p, o->answer.len);
        return (int64_t)o->answer.len;
    }
    if (tool == NULL && a->schema.p == NULL)
        return x->model->answer_bytes;
    buf_init(&sample, 0);
    sample_json(&sample, tool != NULL ? tool->schema : a->schema);
    x->answer = buf_take(&sample, &len);
    return (int64_t)len;
}

/* How long the answer will be and what it costs: known before it is written, so that the meter can count it. */
static void estimate(struct exchange *x, const struct ask *a, const struct orders *o)
{
    const struct sim_model *m = x->model;
    enum sim_fault fault = x->decision.fault;
    int64_t bytes = prepare(x, a, o);
    int64_t thoughts = o->reasoning_tokens > 0 ? o->reasoning_tokens : 0;
    int64_t tokens;

    if (fault == SIM_EMPTY || fault == SIM_REFUSAL || fault == SIM_FILTER) {
        bytes = 0;
        x->tool[0] = '\0';
    }
    if (a->max_tokens > 0 && thoughts >= a->max_tokens) { /* all went into thinking */
        thoughts = a->max_tokens;
        x->is_cut = bytes > 0;
        bytes = 0;
        x->tool[0] = '\0';
    } else if (a->max_tokens > 0 && x->tool[0] == '\0' && a->max_tokens - thoughts < (bytes + 3) / 4) {
        bytes = (a->max_tokens - thoughts) * 4;
        x->is_cut = true;
    }
    tokens = (bytes + 3) / 4;
    if (fault == SIM_REFUSAL)
        tokens = x->dialect->refusal_tokens;
    else if (fault != SIM_FILTER && m->completion_tokens >= 0)
        tokens = m->completion_tokens;
    x->answer_bytes = bytes;
    x->completion_tokens = tokens + thoughts;
    x->reasoning_tokens = thoughts;
    memcpy(x->finish, o->finish, sizeof(x->finish));
}

static int64_t count_tokens(const struct exchange *x, const struct ask *a)
{
    if (x->model->prompt_tokens >= 0)
        return x->model->prompt_tokens;
    return ((int64_t)a->prompt->len + 3) / 4 + 7 + (int64_t)a->n_images * x->dialect->image_tokens;
}

/* The decision, in this dialect's statuses. */
static void decide_for(struct sim *s, struct exchange *x, const struct orders *o)
{
    enum problem_kind kind;

    x->decision = decide(s->conf.seed, x->seed, x->attempt, x->model, o);
    if (x->model->context_tokens > 0 && x->prompt_tokens > x->model->context_tokens)
        x->decision = (struct decision){.fault = SIM_CONTEXT, .retry_after_ms = -1};
    kind = problem_of_fault(x->decision.fault);
    if (kind != PROBLEM_NONE && kind != PROBLEM_STATUS)
        x->decision.status = x->dialect->problems[kind].status;
    x->should_retry = o->should_retry;
    x->is_plain = o->is_plain;
    x->is_marked = o->is_marked;
}

/* Decides about a request of a known model. */
static int admit(struct sim *s, struct exchange *x, const struct ask *a, const uint8_t *digest)
{
    struct meter *m = meter_of(x->key, x->model);
    struct overrun over;
    struct orders orders;
    uint64_t key;

    memcpy(&key, digest, sizeof(key));
    key ^= digest_crc32c(x->model->name, strlen(x->model->name)) * UINT64_C(0x9e3779b97f4a7c15);
    key |= 1; /* never 0 */
    x->seed = key;
    x->attempt = attempts_get(&s->attempts, key) + 1;
    orders_read(a->prompt->p, a->prompt->len, x->model->name, x->attempt, &orders);
    if (orders.cached_tokens > 0)
        x->cached_tokens = orders.cached_tokens < x->prompt_tokens ? orders.cached_tokens : x->prompt_tokens;
    decide_for(s, x, &orders);
    estimate(x, a, &orders);
    x->in_flight = meter_in_flight(m) + 1;
    if (meter_enter(m, x->model, x->arrived_us, x->prompt_tokens, x->completion_tokens, &over) < 0)
        return refuse_overrun(s, x, &over);
    attempts_add(&s->attempts, key); /* an attempt that a limit refused is none */
    x->meter = m;
    x->word = sim_fault_name(x->decision.fault);
    return 0;
}

/* Only counts the prompt. */
static int answer_count(struct sim *s, struct exchange *x)
{
    buf_clear(&s->body);
    x->dialect->write_count(&s->body, x->prompt_tokens);
    x->completion_tokens = 0;
    x->status = 200;
    x->word = "count";
    (void)sim_respond(s, x->dialect, 200, NULL, "");
    return 1;
}

static int refuse_key(struct sim *s, struct exchange *x, struct text key)
{
    /* As the real one: the beginning of the key. */
    struct problem p = {.kind = key.p != NULL ? PROBLEM_BAD_KEY : PROBLEM_NO_KEY,
                        .detail = text_slice(key.p, key.len < 8 ? 0 : 5),
                        .wait_us = -1};

    return refuse(s, x, &p, "unauthorized");
}

/* Who asks and when. */
static void start(struct sim *s, struct exchange *x, const struct http_request *r, const struct target *t,
                  struct text key)
{
    *x = (struct exchange){.dialect = t->dialect, .prompt_tokens = -1, .completion_tokens = -1, .should_retry = -1};
    x->arrived_us = loop_clock_us(s->loop);
    x->arrived_ms = sim_wall_ms(s);
    x->key = sim_key_of(s, key);
    memcpy(x->key_id, x->key->id, sizeof(x->key_id));
    copy_label(x->idempotency_key, r->idempotency_key);
    s->stats.in_flight++;
}

static bool has_word(struct text query, const char *word)
{
    return query.p != NULL && memmem(query.p, query.len, word, strlen(word)) != NULL;
}

int exchange_begin(struct sim *s, struct exchange *x, const struct http_request *r, const struct target *t,
                   const char *body)
{
    struct text key = http_key(r, t->dialect->keys);
    struct problem p = {.wait_us = -1};
    uint8_t digest[DIGEST_BYTES];
    struct ask ask;

    start(s, x, r, t, key);
    if (!sim_key_is_known(s, key))
        return refuse_key(s, x, key);
    if (s->ledger.fd >= 0)
        hash_hex(body, r->body_bytes, digest, x->body_hash);
    ask_init(&ask, &s->prompt);
    if (t->model[0] != '\0')
        ask.model = text_of(t->model);
    p.kind = t->dialect->read(body, r->body_bytes, &ask);
    if (p.kind == PROBLEM_NO_MAX_TOKENS && t->operation == OP_COUNT)
        p.kind = PROBLEM_NONE;
    if (!r->has_version && t->dialect->problems[PROBLEM_NO_VERSION].status != 0)
        p.kind = PROBLEM_NO_VERSION;
    copy_label(x->model_name, ask.model);
    if (p.kind != PROBLEM_NONE) {
        p.detail = ask.wrong;
        return refuse(s, x, &p, "bad_request");
    }
    hash_hex(s->prompt.p, s->prompt.len, digest, x->prompt_hash);
    ask_job_tag(&s->prompt, x->job);
    x->model = sim_model_of(s, ask.model);
    if (x->model == NULL) {
        p.kind = PROBLEM_MODEL;
        return refuse(s, x, &p, "no_model");
    }
    x->is_stream = ask.is_stream || t->operation == OP_STREAM;
    x->is_array = t->operation == OP_STREAM && !has_word(r->query, "alt=sse");
    x->includes_usage = ask.includes_usage;
    x->prompt_tokens = count_tokens(x, &ask);
    if (t->operation == OP_COUNT)
        return answer_count(s, x);
    return admit(s, x, &ask, digest);
}

/* The body of a refusal that was decided; returns its type. */
static const char *write_fault(struct sim *s, const struct exchange *x)
{
    const struct decision *d = &x->decision;
    enum problem_kind kind = problem_of_fault(d->fault);
    struct problem p = {.kind = kind == PROBLEM_STATUS ? problem_of_status(x->dialect->problems, d->status) : kind,
                        .status = d->status,
                        .model = x->model_name,
                        .wait_us = d->retry_after_ms >= 0 ? d->retry_after_ms * 1000 : -1,
                        .tokens = x->prompt_tokens,
                        .limit = x->model->context_tokens,
                        .request_id = (int64_t)s->n_answers + 1};

    if (x->is_plain) {
        buf_add_str(&s->body, "upstream connect error or disconnect/reset before headers. reset reason: overflow");
        return "text/plain";
    }
    if (kind == PROBLEM_CONTEXT && p.limit == 0) { /* ordered: any window that is too small */
        p.limit = 8192;
        p.tokens += p.limit;
    }
    x->dialect->write_error(&s->body, &p);
    return NULL;
}

static void add_headers(struct sim *s, const struct exchange *x, struct buf *extra)
{
    const struct decision *d = &x->decision;
    const struct moment now = {.now_us = loop_clock_us(s->loop), .wall_ms = sim_wall_ms(s)};

    if (x->dialect->write_limits != NULL) {
        x->dialect->write_limits(extra, x->meter, x->model, now);
        if (d->retry_after_ms >= 0)
            buf_printf(extra, "retry-after: %g\r\n", (double)d->retry_after_ms / 1000);
    }
    if (x->should_retry >= 0)
        buf_printf(extra, "x-should-retry: %s\r\n", x->should_retry > 0 ? "true" : "false");
    buf_add_str(extra, x->dialect->time_header);
    buf_add_i64(extra, (now.now_us - x->arrived_us) / 1000);
    buf_add_str(extra, "\r\n");
}

size_t exchange_answer(struct sim *s, struct exchange *x)
{
    const struct decision *d = &x->decision;
    const char *type = NULL;
    struct buf extra;
    size_t head_bytes;

    CHECK(x->meter != NULL && d->status != 0);
    buf_init(&extra, 0);
    buf_clear(&s->body);
    if (d->status != 200 || d->fault == SIM_ERROR200) {
        type = write_fault(s, x);
    } else if (x->is_stream) {
        x->dialect->write_stream(&s->body, x);
        type = x->is_array ? NULL : "text/event-stream";
    } else {
        x->dialect->write_answer(&s->body, x);
    }
    if (d->fault == SIM_BAD_JSON) {
        s->body.len /= 2;
        s->body.p[s->body.len] = '\0';
    }
    add_headers(s, x, &extra);
    x->status = d->status;
    head_bytes = sim_respond(s, x->dialect, d->status, type, extra.p);
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
