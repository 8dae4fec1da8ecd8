/* SPDX-License-Identifier: Apache-2.0 */
/* The only place that decides what a fault means: again when, with another key, with another model, what it says of the
 * model's health; or give up. Pure. source: reference/providers.md 4.11 */
#ifndef CORE_RETRY_H
#define CORE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct outcome;
struct rng;

struct retry_conf {
    int attempts;    /* total tries, >= 1 */
    int64_t base_us; /* first back-off */
    int64_t cap_us;
};

struct retry_verdict {
    bool is_again;
    int64_t
        delay_us; /* before asking for the next permit; a provider's hint is never undercut, exceeded by at most 25 % */
    int64_t pause_us; /* > 0: stop the whole pool for this long (429, Retry-After) */
};

/* Judges attempt number `attempt` (1..) that ended with `o`.
 * left_us  time to the deadline (INT64_MAX: none): a wait that does not fit means giving up now */
struct retry_verdict retry_judge(const struct retry_conf *conf, const struct outcome *o, int attempt, int64_t left_us,
                                 struct rng *rng);

/* Is the fault the key's, so that another key of the provider may do better at once? */
bool retry_may_change_key(const struct outcome *o);
/* Given up on this model: may another one be asked instead? Not for what the job itself is to blame for, nor for what
 * somebody asked for. */
bool retry_may_fall_back(const struct outcome *o);

/* What an outcome says of the health of the model that was asked. */
enum sign {
    SIGN_NONE,    /* it is there, and refused this request */
    SIGN_GOOD,    /* it answered */
    SIGN_BAD,     /* a failure of the model or of the way to it */
    SIGN_SILENT,  /* no answer while the job had time: says something only of a probe */
    SIGN_UNKNOWN, /* ended by us */
};
enum sign retry_sign(const struct outcome *o);

#endif
