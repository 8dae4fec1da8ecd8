/* SPDX-License-Identifier: Apache-2.0 */
/* Limits shared by the fleet through one Redis (>= 7, or Valkey): one function call per pool and tick. */
#ifndef IMPL_LIMITER_REDIS_H
#define IMPL_LIMITER_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "seam/limiter.h"

struct loop;
struct rng;
struct redis_conf;

struct limiter_redis_conf {
    const struct redis_conf *redis;
    const struct pool_conf *pools; /* pools[n_pools] */
    int n_pools;
    int64_t grant_age_us;    /* J at first; 0: 500 ms */
    int64_t tick_timeout_us; /* deadline of a round trip; 0: 250 ms */
};

/* Connects as soon as there is a pool and loads its function when the server does not have it. While Redis is away
 * permits wait; a tick without an answer is sent again with the same number first, so nothing is granted or settled
 * twice. A tokens limit grants calls up to largest_call, at most 90 % of tokens_per_minute.
 * owns    conf is copied; loop and rng must outlive the limiter */
struct limiter *limiter_redis_new(struct loop *loop, struct rng *rng, const struct limiter_redis_conf *conf);

#endif
