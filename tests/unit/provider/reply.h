/* SPDX-License-Identifier: Apache-2.0 */
/* A response as the dialects see it, from three strings; and the outcome they make of it. */
#ifndef TEST_REPLY_H
#define TEST_REPLY_H

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

static inline void reply_read(struct reply *r, int status, const char *head, const char *body)
{
    reply_init(r, status, head, body);
    provider_find("openai")->finish(&r->t, reply_wall_ms, r->a, &r->o);
}

static inline void reply_done(struct reply *r)
{
    buf_done(&r->t.head);
    buf_done(&r->t.body_in);
    arena_free(r->a);
}

#endif
