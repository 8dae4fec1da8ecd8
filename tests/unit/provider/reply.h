/* SPDX-License-Identifier: Apache-2.0 */
/* A response as the dialects see it, from three strings; and the outcome they make of it. */
#ifndef TEST_REPLY_H
#define TEST_REPLY_H

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/outcome.h"
#include "impl/provider.h"

struct reply {
    struct transfer t;
    struct arena *a;
    struct outcome o;
};

/* 2025-11-22T12:00:00Z */
static const int64_t reply_wall_ms = INT64_C(1763812800000);

static inline void reply_init(struct reply *r, int status, const char *head, const char *body)
{
    memset(r, 0, sizeof(*r));
    r->a = arena_new(1024);
    r->t.end = TRANSFER_OK;
    r->t.status = status;
    buf_init(&r->t.head, 0);
    buf_init(&r->t.body_in, 0);
    buf_add_str(&r->t.head, head != NULL ? head : "");
    buf_add_str(&r->t.body_in, body != NULL ? body : "");
    outcome_init(&r->o);
}

static inline void reply_read_as(struct reply *r, const char *api, int status, const char *head, const char *body)
{
    reply_init(r, status, head, body);
    provider_find(api)->finish(&r->t, reply_wall_ms, r->a, &r->o);
}

static inline void reply_read(struct reply *r, int status, const char *head, const char *body)
{
    reply_read_as(r, "openai", status, head, body);
}

/* True when the text is the one wanted; NULL: there must be none. */
static inline bool is_text(struct text got, const char *want)
{
    return want == NULL ? got.p == NULL : text_is(got, want);
}

/* One answer with all that is read from it. */
struct answer_row {
    const char *body;
    const char *answer; /* decoded, as the next three; NULL: none */
    const char *refusal;
    const char *reasoning;
    const char *tool_calls;
    enum fault fault;
    const char *detail; /* NULL: none */
    enum finish finish;
    const char *raw_finish;
    struct usage usage;
};

/* True when the dialect reads what the row says; else tells the difference. */
static inline bool reads(const char *api, const struct answer_row *row)
{
    const char *detail = row->detail != NULL ? row->detail : "-";
    struct reply r;
    bool is_right;

    reply_read_as(&r, api, 200, NULL, row->body);
    is_right = r.o.fault == row->fault && strcmp(r.o.detail != NULL ? r.o.detail : "-", detail) == 0 &&
               is_text(r.o.answer, row->answer) && is_text(r.o.refusal, row->refusal) &&
               is_text(r.o.reasoning, row->reasoning) && is_text(r.o.tool_calls, row->tool_calls) &&
               r.o.finish == row->finish && is_text(r.o.raw_finish, row->raw_finish) &&
               memcmp(&r.o.usage, &row->usage, sizeof(r.o.usage)) == 0 && r.o.retry_after_us == -1 &&
               outcome_is_ok(&r.o) == (r.o.fault == FAULT_NONE) && (r.o.fault == FAULT_NONE || r.o.why[0] != '\0');
    if (!is_right)
        fprintf(stderr,
                "%s\n%s %s (%s): answer %.*s refusal %.*s reasoning %.*s tools %.*s finish %d %.*s usage %ld %ld "
                "%ld %ld\n",
                row->body, r.o.fault != FAULT_NONE ? fault_code(r.o.fault) : "ok", r.o.detail, r.o.why,
                (int)r.o.answer.len, r.o.answer.p, (int)r.o.refusal.len, r.o.refusal.p, (int)r.o.reasoning.len,
                r.o.reasoning.p, (int)r.o.tool_calls.len, r.o.tool_calls.p, r.o.finish, (int)r.o.raw_finish.len,
                r.o.raw_finish.p, (long)r.o.usage.input_tokens, (long)r.o.usage.output_tokens,
                (long)r.o.usage.cached_input_tokens, (long)r.o.usage.reasoning_tokens);
    buf_done(&r.t.head);
    buf_done(&r.t.body_in);
    arena_free(r.a);
    return is_right;
}

static inline void reply_done(struct reply *r)
{
    buf_done(&r->t.head);
    buf_done(&r->t.body_in);
    arena_free(r->a);
}

#endif
