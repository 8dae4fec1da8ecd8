/* SPDX-License-Identifier: Apache-2.0 */
/* Limits kept in this process, on the loop's time (virtual time too): `tutti dev`, simulation, runs without a Redis.
 * The same buckets, queue and rhythm as the limiter over Redis. */
#ifndef IMPL_LIMITER_MEM_H
#define IMPL_LIMITER_MEM_H

#include <stdint.h>

#include "seam/limiter.h"

struct loop;
struct rng;

/* The pools' state, for several limiters of one loop that share their limits as a fleet does. */
struct limiter_store;

struct limiter_store *limiter_store_new(void);
/* After the limiters that use it; NULL is fine. */
void limiter_store_free(struct limiter_store *s);

/* Limits of these pools.
 * store         shared between limiters on the same loop thread; pools meet by id. NULL: one of its own
 * grant_age_us  J at first; 0: 500 ms
 * owns          pools[] is copied; rng, loop and store must outlive the limiter
 * A tokens limit grants calls up to largest_call, at most 90 % of tokens_per_minute. */
struct limiter *limiter_mem_new(struct loop *loop, struct rng *rng, const struct pool_conf *pools, int n_pools,
                                int64_t grant_age_us, struct limiter_store *store);

#endif
