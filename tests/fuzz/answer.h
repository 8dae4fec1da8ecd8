/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds responses to one dialect and holds what comes out to the promises of seam/provider.h and core/outcome.h; then
 * sends the outcome through the journal's form. An input is a status, header lines, an empty line and the body; without
 * an empty line all of it is the body of a 200. One thread. */
#ifndef FUZZ_ANSWER_H
#define FUZZ_ANSWER_H

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/scan.h"
#include "core/outcome.h"
#include "impl/provider.h"

/* A text that goes into a result unchanged must be the inside of a valid JSON string. */
static inline void check_text(struct text t)
{
    struct scan s;
    struct buf b;
    bool needs_repair;

    if (t.p == NULL)
        return;
    buf_init(&b, 0);
    buf_add_char(&b, '"');
    text_add_escaped(&b, t);
    buf_add_char(&b, '"');
    scan_init(&s, b.p, b.len);
    CHECK(scan_string(&s, &t, &needs_repair) == 0 && !needs_repair);
    CHECK(scan_end(&s) == 0);
    buf_done(&b);
}

static inline void check_outcome(const struct outcome *o, int status)
{
    struct scan s;

    CHECK(o->http_status == status);
    CHECK((o->fault == FAULT_NONE) == outcome_is_ok(o));
    CHECK(o->fault == FAULT_NONE || (o->answer.p == NULL && o->tool_calls.p == NULL && o->refusal.p == NULL));
    CHECK(o->fault == FAULT_NONE || o->why[0] != '\0');
    CHECK(o->retry_after_us >= -1 && o->retry_after_us <= INT64_C(86400000000));
    CHECK(o->usage.input_tokens >= -1 && o->usage.output_tokens >= -1 && o->usage.cached_input_tokens >= -1);
    CHECK(o->usage.cached_input_tokens <= o->usage.input_tokens || o->usage.input_tokens < 0);
    CHECK(o->usage.reasoning_tokens <= o->usage.output_tokens || o->usage.output_tokens < 0);
    check_text(o->answer);
    check_text(o->refusal);
    check_text(o->reasoning);
    check_text(o->response_model);
    check_text(o->raw_finish);
    check_text(o->request_id);
    CHECK(!o->request_id.is_escaped);
    if (o->tool_calls.p != NULL) {
        scan_init(&s, o->tool_calls.p, o->tool_calls.len);
        CHECK(scan_peek(&s) == SCAN_ARRAY && scan_skip(&s, NULL) == 0 && scan_end(&s) == 0);
    }
}

static inline void check_journal(const struct outcome *o, struct arena *a)
{
    struct outcome back;
    struct buf first;
    struct buf second;

    buf_init(&first, 0);
    buf_init(&second, 0);
    outcome_encode(o, &first);
    CHECK(outcome_decode(&back, a, first.p, first.len) == 0);
    CHECK(back.fault == o->fault && back.finish == o->finish && text_equal(back.answer, o->answer));
    outcome_encode(&back, &second);
    CHECK(outcome_decode(&back, a, second.p, second.len) == 0);
    buf_done(&first);
    buf_done(&second);
}

static inline void fuzz_answer(const char *api, const uint8_t *bytes, size_t len)
{
    const char *p = (const char *)bytes;
    const char *split = len > 0 ? memmem(p, len, "\n\n", 2) : NULL;
    struct transfer t = {.end = TRANSFER_OK, .status = 200};
    struct arena *a = arena_new(1024);
    struct outcome o;

    buf_init(&t.head, 0);
    if (split != NULL && split - p >= 3 && p[0] >= '1' && p[0] <= '5' && p[1] >= '0' && p[1] <= '9' && p[2] >= '0' &&
        p[2] <= '9') {
        t.status = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
        buf_add(&t.head, p, (size_t)(split + 1 - p));
        len -= (size_t)(split + 2 - p);
        p = split + 2;
    }
    t.body_in = (struct buf){.p = (char *)(uintptr_t)p, .len = len}; /* no NUL behind it: ASan sees a read too far */
    outcome_init(&o);
    provider_find(api)->finish(&t, INT64_C(1763812800000), a, &o);
    check_outcome(&o, t.status);
    check_journal(&o, a);
    buf_done(&t.head);
    arena_free(a);
}

#endif
