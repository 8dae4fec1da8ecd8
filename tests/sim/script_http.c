/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted client: decides at start, answers by timer. */
#include "sim/script_http.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop.h"

struct asked {
    char key[40];
    int n;
    int n_paid;
    UT_hash_handle hh;
};

struct script {
    struct http base;
    struct loop *loop;
    struct ledger *ledger;
    struct list flights;
};

struct flight {
    struct list link;
    struct script *script;
    struct transfer *t;
    struct timer timer;
    int entry;
    struct asked *asked;
    struct play play;
    enum transfer_end end;
};

static void find(const char *body, size_t len, const char *mark, const char *stop, char *out, size_t size)
{
    const char *p = memmem(body, len, mark, strlen(mark));
    size_t n = 0;

    out[0] = '\0';
    if (p == NULL)
        return;
    for (p += strlen(mark); p < body + len && strchr(stop, *p) == NULL && n + 1 < size; p++)
        out[n++] = *p;
    out[n] = '\0';
}

static int note(struct script *s, const struct transfer *t)
{
    struct ledger *g = s->ledger;
    struct entry *e;

    if (g->n == g->cap) {
        g->cap = g->cap == 0 ? 256 : g->cap * 2;
        g->entries = mem_resize(g->entries, sizeof(*g->entries) * (size_t)g->cap);
    }
    e = &g->entries[g->n];
    memset(e, 0, sizeof(*e));
    for (int i = 0; i < t->n_headers; i++)
        if (strcmp(t->headers[i].name, "Idempotency-Key") == 0)
            snprintf(e->key, sizeof(e->key), "%s", t->headers[i].value);
        else if (strcmp(t->headers[i].name, "Authorization") == 0)
            find(t->headers[i].value, strlen(t->headers[i].value), "Bearer ", " ", e->api_key, sizeof(e->api_key));
    find(t->body.p, t->body.len, "\"model\":\"", "\"", e->model, sizeof(e->model));
    find(t->body.p, t->body.len, "JOB:", " \"\\", e->tag, sizeof(e->tag));
    e->at_us = loop_now_us(s->loop);
    return g->n++;
}

static struct asked *asked_of(struct ledger *g, const char *key)
{
    struct asked *a;

    HASH_FIND_STR(g->asked, key, a);
    if (a != NULL)
        return a;
    a = mem_zero(sizeof(*a));
    snprintf(a->key, sizeof(a->key), "%s", key);
    HASH_ADD_STR(g->asked, key, a);
    return a;
}

static void reply(struct flight *f, int status, const char *head, const char *body)
{
    struct transfer *t = f->t;

    t->end = TRANSFER_OK;
    t->status = status;
    buf_init(&t->head, 0);
    buf_init(&t->body_in, 0);
    buf_printf(&t->head, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%s\r\n", status, head);
    buf_add_str(&t->body_in, body);
}

static void reply_ok(struct flight *f, const char *content)
{
    const struct entry *e = &f->script->ledger->entries[f->entry];
    char body[1024];

    snprintf(body, sizeof(body),
             "{\"id\":\"x\",\"object\":\"chat.completion\",\"model\":\"%s-v\",\"choices\":[{\"index\":0,\"message\":{"
             "\"role\":"
             "\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":123,"
             "\"completion_tokens\":45,\"total_tokens\":168}}",
             e->model, content);
    reply(f, 200, "", body);
}

/* With the hint, when the play has one. */
static void reply_wait(struct flight *f, int status, const char *body)
{
    char head[60] = "";

    if (f->play.retry_after_s > 0)
        snprintf(head, sizeof(head), "Retry-After: %lld\r\n", (long long)f->play.retry_after_s);
    reply(f, status, head, body);
}

/* What refuses a request for good, in the words of OpenAI. */
static const struct refusal {
    int status;
    const char *body;
} refusals[ACT_MAX] = {
    [ACT_400] = {400, "{\"error\":{\"message\":\"Invalid value\",\"type\":\"invalid_request_error\",\"code\":null}}"},
    [ACT_403] = {403, "{\"error\":{\"message\":\"You may not\",\"type\":\"forbidden\",\"code\":null}}"},
    [ACT_404] = {404, "{\"error\":{\"message\":\"The model does not exist\",\"type\":\"invalid_request_error\","
                      "\"code\":\"model_not_found\"}}"},
    [ACT_FILTERED] = {400, "{\"error\":{\"message\":\"filtered\",\"type\":null,\"code\":\"content_filter\"}}"},
    [ACT_TOO_LONG] = {400, "{\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\","
                           "\"code\":\"context_length_exceeded\"}}"},
};

static void play_act(struct flight *f)
{
    struct entry *e = &f->script->ledger->entries[f->entry];
    char text[200];

    switch (f->play.act) {
    case ACT_OK:
        snprintf(text, sizeof(text), "ANSWER %s %s", e->model, e->tag);
        e->is_paid = true;
        f->asked->n_paid++;
        reply_ok(f, f->play.answer != NULL ? f->play.answer : text);
        break;
    case ACT_EMPTY:
        reply_ok(f, "");
        break;
    case ACT_429:
        reply_wait(
            f, 429,
            "{\"error\":{\"message\":\"Rate limit reached\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}");
        break;
    case ACT_529:
        reply_wait(f, 529, "{\"error\":{\"message\":\"Overloaded\",\"type\":\"overloaded_error\",\"code\":null}}");
        break;
    case ACT_500:
        reply(f, 500, "", "{\"error\":{\"message\":\"SECRET-ERROR-TEXT\",\"type\":\"server_error\",\"code\":null}}");
        break;
    case ACT_401:
        snprintf(text, sizeof(text),
                 "{\"error\":{\"message\":\"Incorrect API "
                 "key%s%s\",\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}",
                 f->play.answer != NULL ? ": " : "", f->play.answer != NULL ? f->play.answer : "");
        reply(f, 401, "", text);
        break;
    case ACT_QUOTA:
        reply_wait(f, 429,
                   "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":\"insufficient_quota\","
                   "\"code\":\"insufficient_quota\"}}");
        break;
    case ACT_400:
    case ACT_403:
    case ACT_404:
    case ACT_FILTERED:
    case ACT_TOO_LONG:
        reply(f, refusals[f->play.act].status, "", refusals[f->play.act].body);
        break;
    case ACT_BAD_JSON:
        reply(f, 200, "", "{\"choices\":[{");
        break;
    default:
        f->t->end = f->end;
        break;
    }
}

static void close_entry(struct flight *f)
{
    f->script->ledger->entries[f->entry].ended_us = loop_now_us(f->script->loop);
    f->script->ledger->in_flight--;
    list_del(&f->link);
    timer_stop(f->script->loop, &f->timer);
    f->t->impl = NULL;
}

static void on_timer(void *arg)
{
    struct flight *f = arg;
    struct transfer *t = f->t;

    play_act(f);
    close_entry(f);
    t->first_byte_took_us = t->total_took_us =
        loop_now_us(f->script->loop) - f->script->ledger->entries[f->entry].at_us;
    mem_free(f);
    t->done(t, t->arg);
}

/* Which of its limits ends a transfer that gets no answer? */
static int64_t limit_of(const struct transfer *t, int64_t now, enum transfer_end *out_end)
{
    int64_t at = t->first_byte_us > 0 ? t->first_byte_us : INT64_MAX;

    *out_end = TRANSFER_FIRST_BYTE_TIMEOUT;
    if (t->total_us > 0 && t->total_us < at) {
        at = t->total_us;
        *out_end = TRANSFER_TOTAL_TIMEOUT;
    }
    if (t->deadline_us > 0 && t->deadline_us - now < at) {
        at = t->deadline_us - now;
        *out_end = TRANSFER_DEADLINE;
    }
    CHECK(at < INT64_MAX);
    return at > 0 ? at : 0;
}

static void arrive(struct flight *f)
{
    struct ledger *g = f->script->ledger;
    struct transfer *t = f->t;
    int64_t now = loop_now_us(f->script->loop), limit;

    t->was_sent = true;
    t->sent_us = now;
    f->entry = note(f->script, t);
    f->asked = asked_of(g, g->entries[f->entry].key);
    g->paid_twice += f->asked->n_paid;
    if (++g->in_flight > g->in_flight_max)
        g->in_flight_max = g->in_flight;
    f->play = g->decide(&g->entries[f->entry], f->asked->n++, g->arg);
    g->entries[f->entry].act = f->play.act;
    limit = limit_of(t, now, &f->end);
    if (f->play.act == ACT_RESET)
        f->end = TRANSFER_RESET;
    else if (f->play.act == ACT_TRUNCATE)
        f->end = TRANSFER_TRUNCATED;
    else if (f->play.act == ACT_REFUSE)
        f->end = TRANSFER_REFUSED;
    else if (f->play.act == ACT_STALE) {
        f->end = TRANSFER_GRANT_STALE;
        t->was_sent = false;
        t->sent_us = 0;
    }
    if (f->play.act == ACT_SILENCE || f->play.latency_us > limit) {
        f->play.act = ACT_SILENCE;
        f->play.latency_us = limit;
    }
    timer_start(f->script->loop, &f->timer, now + f->play.latency_us);
}

static void script_start(struct http *h, struct transfer *t)
{
    struct script *s = CONTAINER_OF(h, struct script, base);
    struct flight *f = mem_zero(sizeof(*f));

    f->script = s;
    f->t = t;
    t->impl = f;
    t->connect_took_us = 0;
    timer_init(&f->timer, on_timer, f);
    list_init(&f->link);
    list_add_tail(&s->flights, &f->link);
    arrive(f);
}

static void script_cancel(struct http *h, struct transfer *t)
{
    struct flight *f = t->impl;

    (void)h;
    f->script->ledger->entries[f->entry].is_cancelled = true;
    close_entry(f);
    mem_free(f);
}

static void script_free(struct http *h)
{
    struct script *s = CONTAINER_OF(h, struct script, base);

    CHECK(list_is_empty(&s->flights));
    mem_free(s);
}

static const struct http_ops ops = {
    .name = "script", .start = script_start, .cancel = script_cancel, .free = script_free};

struct http *script_http_new(struct loop *l, struct ledger *ledger)
{
    struct script *s = mem_zero(sizeof(*s));

    s->base.ops = &ops;
    s->loop = l;
    s->ledger = ledger;
    list_init(&s->flights);
    return &s->base;
}

int ledger_count(const struct ledger *g, const char *model, const char *tag)
{
    int n = 0;

    for (int i = 0; i < g->n; i++)
        n += (model == NULL || strcmp(g->entries[i].model, model) == 0) &&
             (tag == NULL || strcmp(g->entries[i].tag, tag) == 0);
    return n;
}

int ledger_paid_again(const struct ledger *g)
{
    int n = 0;

    for (const struct asked *a = g->asked; a != NULL; a = a->hh.next)
        n += a->n_paid > 1 ? a->n_paid - 1 : 0;
    return n;
}

void ledger_done(struct ledger *g)
{
    struct asked *a, *next;

    HASH_ITER(hh, g->asked, a, next)
    {
        HASH_DEL(g->asked, a);
        mem_free(a);
    }
    mem_free(g->entries);
    g->entries = NULL;
    g->n = g->cap = 0;
}
