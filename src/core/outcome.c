/* SPDX-License-Identifier: Apache-2.0 */
/* The plain data of one provider attempt: names of faults and finishes, filling, keeping. Never decides what a fault
 * means for the next attempt (core/retry.c does) and never touches I/O or a clock. No state; any thread. */
#include "core/outcome.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* is_retryable: the same job, sent again later without a change to it, may end well. What a person must mend first
 * (a key, the request, the budget) and what somebody asked for (cancel) is not. */
static const struct fault_row {
    const char *code;
    bool is_retryable;
} fault_rows[] = {
    [FAULT_NONE] = {NULL, false},
    [FAULT_RATE_LIMITED] = {"rate_limited", true},
    [FAULT_OVERLOADED] = {"overloaded", true},
    [FAULT_QUOTA_EXHAUSTED] = {"quota_exhausted", true},
    [FAULT_TIMEOUT] = {"timeout", true},
    [FAULT_NETWORK] = {"network", true},
    [FAULT_PROVIDER_ERROR] = {"provider_error", true},
    [FAULT_AUTH] = {"auth", false},
    [FAULT_INVALID_REQUEST] = {"invalid_request", false},
    [FAULT_MODEL_NOT_FOUND] = {"model_not_found", false},
    [FAULT_CONTEXT_LENGTH] = {"context_length", false},
    [FAULT_CONTENT_FILTERED] = {"content_filtered", false},
    [FAULT_BAD_RESPONSE] = {"bad_response", true},
    [FAULT_EMPTY_ANSWER] = {"empty_answer", true},
    [FAULT_CANCELLED] = {"cancelled", false},
    [FAULT_DEADLINE_EXCEEDED] = {"deadline_exceeded", true},
    [FAULT_CIRCUIT_OPEN] = {"circuit_open", true},
    [FAULT_LIMITER_UNAVAILABLE] = {"limiter_unavailable", true},
    [FAULT_BUDGET_EXCEEDED] = {"budget_exceeded", false},
    [FAULT_OVER_POOL] = {"over_pool", false},
    [FAULT_UNKNOWN_MODEL] = {"unknown_model", false},
};
static_assert(ARRAY_LEN(fault_rows) == FAULT_MAX, "a row for every fault");

static const char *const finish_names[] = {
    [FINISH_UNKNOWN] = NULL,
    [FINISH_STOP] = "stop",
    [FINISH_LENGTH] = "length",
    [FINISH_TOOL_CALLS] = "tool_calls",
    [FINISH_CONTENT_FILTER] = "content_filter",
    [FINISH_ERROR] = "error",
};
static_assert(ARRAY_LEN(finish_names) == FINISH_MAX, "a name for every finish");

const char *fault_code(enum fault f)
{
    CHECK((unsigned)f < FAULT_MAX);
    return fault_rows[f].code;
}

int fault_parse(const char *code, enum fault *out)
{
    for (int f = FAULT_NONE + 1; f < FAULT_MAX; f++)
        if (strcmp(code, fault_rows[f].code) == 0) {
            *out = (enum fault)f;
            return 0;
        }
    return -EINVAL;
}

bool fault_is_retryable(enum fault f)
{
    CHECK((unsigned)f < FAULT_MAX);
    return fault_rows[f].is_retryable;
}

const char *finish_name(enum finish f)
{
    CHECK((unsigned)f < FINISH_MAX);
    return finish_names[f];
}

void outcome_init(struct outcome *o)
{
    *o = (struct outcome){
        .retry_after_us = -1,
        .usage = USAGE_UNKNOWN,
        .cost_nusd = -1,
        .queue_us = -1,
        .throttle_us = -1,
        .connect_us = -1,
        .ttft_us = -1,
        .duration_us = -1,
    };
}

void outcome_fail(struct outcome *o, enum fault f, const char *detail, const char *fmt, ...)
{
    char wide[2 * sizeof(o->why)];
    struct text cut;
    va_list args;

    CHECK(f > FAULT_NONE && f < FAULT_MAX);
    o->fault = f;
    o->detail = detail;
    va_start(args, fmt);
    (void)vsnprintf(wide, sizeof(wide), fmt, args); /* cut is fine: it is cut again, between characters */
    va_end(args);
    cut = text_cut(text_of(wide), sizeof(o->why) - 1);
    for (size_t i = 0; i < cut.len; i++)
        o->why[i] = (unsigned char)cut.p[i] < 0x20 || cut.p[i] == 0x7f ? ' ' : cut.p[i];
    o->why[cut.len] = '\0';
}

bool outcome_is_ok(const struct outcome *o)
{
    return o->fault == FAULT_NONE &&
           (!text_is_blank(o->answer) || !text_is_blank(o->refusal) || !text_is_blank(o->tool_calls));
}

void outcome_keep(struct outcome *o, struct arena *a)
{
    struct text *texts[] = {&o->answer,     &o->refusal,    &o->reasoning,     &o->tool_calls,  &o->response_model,
                            &o->request_id, &o->raw_finish, &o->request_model, &o->served_model};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = text_copy(a, *texts[i]);
}
