/* SPDX-License-Identifier: Apache-2.0 */
/* The `details` of an error: a list of typed objects at Google (RetryInfo, QuotaFailure, ErrorInfo), an object with an
 * error_code at Anthropic. Takes what helps to judge and passes over the rest. No state; any thread.
 * source  reference/providers.md 4.4, 4.5; wire-oddities.md 34, 38, 41; google.rpc error_details.proto */
#include <string.h>

#include "base/mem.h"
#include "provider/answer.h"
#include "provider/error.h"
#include "provider/head.h"

static void scan_delay(struct scan *s, struct arena *a, struct wire_error *e)
{
    struct text delay;
    int64_t wait_us;

    (void)answer_text(s, a, &delay);
    if (delay.p == NULL || delay.len >= 64)
        return;
    wait_us = head_duration_us(text_decode(a, delay, NULL));
    if (wait_us > e->retry_delay_us)
        e->retry_delay_us = wait_us;
}

static void scan_violation(struct scan *s, struct arena *a, struct wire_error *e)
{
    struct text id;
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (!KEY_IS(key, "quotaId")) {
            (void)scan_skip(s, NULL);
            continue;
        }
        (void)answer_text(s, a, &id);
        if (id.p != NULL && memmem(id.p, id.len, "PerDay", 6) != NULL)
            e->is_per_day = true;
    }
}

static void scan_violations(struct scan *s, struct arena *a, struct wire_error *e)
{
    if (!answer_enter_array(s))
        return;
    while (scan_next_item(s))
        scan_violation(s, a, e);
}

/* One detail, whatever its @type: their names do not overlap. */
static void scan_detail(struct scan *s, struct arena *a, struct wire_error *e)
{
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (KEY_IS(key, "retryDelay"))
            scan_delay(s, a, e);
        else if (KEY_IS(key, "violations"))
            scan_violations(s, a, e);
        else if (KEY_IS(key, "reason") && text_is_blank(e->reason))
            (void)answer_text(s, a, &e->reason);
        else if (KEY_IS(key, "error_code") && text_is_blank(e->code))
            (void)answer_text(s, a, &e->code);
        else
            (void)scan_skip(s, NULL);
    }
}

void error_scan_details(struct scan *s, struct arena *a, struct wire_error *e)
{
    if (scan_peek(s) != SCAN_ARRAY) {
        scan_detail(s, a, e);
        return;
    }
    (void)scan_enter_array(s);
    while (scan_next_item(s))
        scan_detail(s, a, e);
}
