/* SPDX-License-Identifier: Apache-2.0 */
/* Judges faults: a table of classes, a jittered schedule, and the provider's hint as a floor. Pure; any thread. */
#include "core/retry.h"

#include "base/check.h"
#include "base/rng.h"
#include "core/outcome.h"

enum action { GIVE_UP, AGAIN, AGAIN_ONCE, AGAIN_PAUSE };

/* AGAIN_ONCE: what was answered was paid for, so asking again is bounded to one more try. */
static const enum action actions[FAULT_MAX] = {
    [FAULT_RATE_LIMITED] = AGAIN_PAUSE,
    [FAULT_OVERLOADED] = AGAIN,
    [FAULT_TIMEOUT] = AGAIN,
    [FAULT_NETWORK] = AGAIN,
    [FAULT_PROVIDER_ERROR] = AGAIN,
    [FAULT_BAD_RESPONSE] = AGAIN_ONCE,
    [FAULT_EMPTY_ANSWER] = AGAIN_ONCE,
};

/* Equal jitter: half of the exponential step is kept, half is drawn. */
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

struct retry_verdict retry_judge(const struct retry_conf *conf, const struct outcome *o, int attempt, int64_t left_us,
                                 struct rng *rng)
{
    struct retry_verdict v = {.is_again = false};
    enum action action = actions[o->fault];

    CHECK(o->fault != FAULT_NONE && o->fault < FAULT_MAX);
    if (o->hint == RETRY_HINT_NO)
        return v;
    if (o->hint == RETRY_HINT_YES && action == GIVE_UP && o->http_status > 0)
        action = AGAIN;
    if (action == GIVE_UP || left_us <= 0 || attempt >= conf->attempts || (action == AGAIN_ONCE && attempt >= 2))
        return v;
    if (o->retry_after_us >= 0) {
        /* A tenth on top, at most, leaves room for the limiter's own delays under the 25 % that are promised. */
        v.delay_us = o->retry_after_us + rng_between(rng, 0, o->retry_after_us / 10);
        v.pause_us = action == AGAIN_PAUSE || o->fault == FAULT_OVERLOADED ? o->retry_after_us : 0;
    } else {
        v.delay_us = backoff_us(conf, attempt, left_us, rng);
        v.pause_us = action == AGAIN_PAUSE ? v.delay_us : 0;
    }
    v.is_again = left_us == INT64_MAX || v.delay_us < left_us;
    if (!v.is_again && v.pause_us == 0)
        v.delay_us = 0;
    return v;
}
