/* SPDX-License-Identifier: Apache-2.0 */
/* Token-bucket arithmetic in integer micro-units (1 request or token = 1,000,000), so that nothing is lost to rounding
 * and the Redis function, which computes in doubles, stays below 2^53. No clock of its own, no I/O; any thread. source:
 * reference/rate-limits.md 4.2, DESIGN 7 */
#ifndef LIMITER_BUCKET_H
#define LIMITER_BUCKET_H

#include <stdint.h>

struct pool_conf;

#define BUCKET_UNIT      INT64_C(1000000)
#define BUCKET_WINDOW_US INT64_C(60000000) /* W */

/* A pool's limits as the meter wants them. cap 0: that dimension is not limited. What is promised: in any window of
 * length w at most cap + rate * (w + J) is written to the provider, hence at most L in W. */
struct pool_limits {
    int64_t req_cap;  /* B of the request bucket, micro-units */
    int64_t req_rate; /* r, micro-units per second */
    int64_t tok_cap;
    int64_t tok_rate;
    int64_t concurrency;
    int64_t slot_return_us;
    int64_t grant_age_us; /* J that the rates are made for */
};

/* B = max(1, 2 % of L) for requests and the largest call (at most 90 % of L) for tokens; r = (L - B) / (W + J). */
void pool_limits_of(struct pool_limits *out, const struct pool_conf *conf, int64_t grant_age_us);

/* level + held <= cap between calls, except that excess use may have driven level below 0 (debt). */
struct bucket {
    int64_t level; /* micro-units that may be granted; created 0 */
    int64_t rem;   /* rest of the last refill, millionths of a micro-unit */
    int64_t held;  /* granted, not settled, and allowed to come back */
};

/* Adds what `dt_us` is worth; the sum with `held` never passes `cap`. */
void bucket_refill(struct bucket *b, int64_t cap, int64_t rate, int64_t dt_us);
/* Time until the level has risen by `missing` (> 0) micro-units. */
int64_t bucket_wait_us(const struct bucket *b, int64_t rate, int64_t missing);
/* Ends a held grant of `released`, of which `refund` was not used. */
void bucket_release(struct bucket *b, int64_t cap, int64_t released, int64_t refund);

#endif
