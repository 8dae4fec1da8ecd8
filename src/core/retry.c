/* SPDX-License-Identifier: Apache-2.0 */
/* Judges faults: a table of classes, a jittered schedule, and the provider's hint as a floor. Pure; any thread. */
#include "core/retry.h"

#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "core/outcome.h"

/* AGAIN_ONCE: what was answered was paid for, so asking again is bounded to one more try. */
enum action { GIVE_UP, AGAIN, AGAIN_ONCE };
enum elsewhere { NOWHERE, ANOTHER_MODEL, ANOTHER_KEY }; /* ANOTHER_KEY: and when none is left, another model */

static const struct rule {
    enum action action;
    enum elsewhere elsewhere;
    enum sign sign;
} rules[FAULT_MAX] = {
    [FAULT_NONE] = {GIVE_UP, NOWHERE, SIGN_GOOD},
    [FAULT_RATE_LIMITED] = {AGAIN, ANOTHER_KEY, SIGN_NONE},
    [FAULT_OVERLOADED] = {AGAIN, ANOTHER_MODEL, SIGN_BAD},
    [FAULT_QUOTA_EXHAUSTED] = {GIVE_UP, ANOTHER_KEY, SIGN_NONE},
    [FAULT_TIMEOUT] = {AGAIN, ANOTHER_MODEL, SIGN_BAD},
    [FAULT_NETWORK] = {AGAIN, ANOTHER_MODEL, SIGN_BAD},
    [FAULT_PROVIDER_ERROR] = {AGAIN, ANOTHER_MODEL, SIGN_BAD},
    [FAULT_AUTH] = {GIVE_UP, ANOTHER_KEY, SIGN_NONE},
    [FAULT_INVALID_REQUEST] = {GIVE_UP, NOWHERE, SIGN_NONE},
    [FAULT_MODEL_NOT_FOUND] = {GIVE_UP, ANOTHER_MODEL, SIGN_NONE},
    [FAULT_CONTEXT_LENGTH] = {GIVE_UP, ANOTHER_MODEL, SIGN_NONE},
    [FAULT_CONTENT_FILTERED] = {GIVE_UP, ANOTHER_MODEL, SIGN_NONE},
    [FAULT_BAD_RESPONSE] = {AGAIN_ONCE, ANOTHER_MODEL, SIGN_BAD},
    [FAULT_EMPTY_ANSWER] = {AGAIN_ONCE, ANOTHER_MODEL, SIGN_GOOD},
    [FAULT_CANCELLED] = {GIVE_UP, NOWHERE, SIGN_UNKNOWN},
    [FAULT_DEADLINE_EXCEEDED] = {GIVE_UP, NOWHERE, SIGN_SILENT},
    [FAULT_CIRCUIT_OPEN] = {GIVE_UP, ANOTHER_MODEL, SIGN_UNKNOWN},
    [FAULT_LIMITER_UNAVAILABLE] = {GIVE_UP, NOWHERE, SIGN_UNKNOWN},
    [FAULT_BUDGET_EXCEEDED] = {GIVE_UP, NOWHERE, SIGN_UNKNOWN},
    [FAULT_OVER_POOL] = {GIVE_UP, ANOTHER_MODEL, SIGN_UNKNOWN},
    [FAULT_UNKNOWN_MODEL] = {GIVE_UP, NOWHERE, SIGN_UNKNOWN},
};

/* Equal jitter: half of the exponential step is kept, half is drawn. No step is longer than half of the time left. */
static int64_t backoff_us(const struct retry_conf *conf, int attempt, int64_t left_us, struct rng *rng)
{
    int64_t step = conf->base_us;

    for (int i = 1; i < attempt && step < conf->cap_us; i++)
        step *= 2;
    if (step > conf->cap_us)
        step = conf->cap_us;
    if (left_us != INT64_MAX && step > left_us / 2)
        step = left_us / 2;
    return step / 2 + rng_between(rng, 0, step - step / 2);
}

static bool is_worth_again(const struct retry_conf *conf, const struct outcome *o, int attempt)
{
    enum action action = rules[o->fault].action;

    if (o->hint == RETRY_HINT_NO)
        return false;
    if (o->hint == RETRY_HINT_YES && action == GIVE_UP && o->http_status > 0)
        action = AGAIN;
    return action != GIVE_UP && attempt < conf->attempts && (action != AGAIN_ONCE || attempt < 2);
}

struct retry_verdict retry_judge(const struct retry_conf *conf, const struct outcome *o, int attempt, int64_t left_us,
                                 struct rng *rng)
{
    struct retry_verdict v = {.is_again = false};
    bool has_hint = o->retry_after_us > 0; /* "Retry-After: 0" is no hint: it would make a tight loop */
    int64_t wait_us;

    CHECK(o->fault > FAULT_NONE && o->fault < FAULT_MAX);
    if (left_us < 0)
        left_us = 0;
    /* A tenth on top of a hint, at most, leaves room for the limiter's own delays under the 25 % that are promised. */
    wait_us = has_hint ? o->retry_after_us + rng_between(rng, 0, o->retry_after_us / 10)
                       : backoff_us(conf, attempt, left_us, rng);
    /* The pool's other calls must wait even when this one gives up; what the journal recalls is old news. */
    if (!o->is_recalled && o->fault == FAULT_RATE_LIMITED)
        v.pause_us = has_hint ? o->retry_after_us : wait_us;
    else if (!o->is_recalled && o->fault == FAULT_OVERLOADED && has_hint)
        v.pause_us = o->retry_after_us;
    v.is_again = is_worth_again(conf, o, attempt) && (left_us == INT64_MAX || wait_us < left_us);
    v.delay_us = v.is_again ? wait_us : 0;
    return v;
}

bool retry_may_change_key(const struct outcome *o)
{
    return rules[o->fault].elsewhere == ANOTHER_KEY;
}

bool retry_may_fall_back(const struct outcome *o)
{
    return rules[o->fault].elsewhere != NOWHERE;
}

enum sign retry_sign(const struct outcome *o)
{
    /* our own trouble (no descriptor, no memory) is nobody's failure */
    if (o->fault == FAULT_NETWORK && o->detail != NULL && strcmp(o->detail, "local") == 0)
        return SIGN_UNKNOWN;
    return rules[o->fault].sign;
}
