/* SPDX-License-Identifier: Apache-2.0 */
/* The journal in Redis (>= 7, one node or a primary with replicas): one hash per job, one key per living process
 * incarnation, a local spool for what Redis could not take. One per worker, with its own connection. source: DESIGN 6,
 * reference/kafka.md 5.2 */
#ifndef IMPL_JOURNAL_REDIS_H
#define IMPL_JOURNAL_REDIS_H

#include <stdint.h>

#include "redis.h"
#include "seam/journal.h"

struct rng;

struct journal_redis_conf {
    struct redis_conf redis;
    const char *group;
    const char *slot;      /* stable name of this worker, unique in the group; announce() must name the same */
    int64_t ttl_ms;        /* of a job's hash, from its last claim or write; 0: 8 days */
    const char *spool_dir; /* an existing directory; NULL: memory only, a crash while Redis is away loses answers */
    int64_t liveness_ms;   /* 0: 15 s; renewed at a fifth of it, which is also the outage that starts a grace period */
};

/* Starts connecting; is_down is true until the store is ready. The conf is copied.
 * owns    loop and rng stay the caller's and outlive it; free with ops->free(), after stop() is done unless the process
 * ends */
struct journal *journal_redis_new(struct loop *l, struct rng *rng, const struct journal_redis_conf *conf);
/* "<slot>/<16 hex>" */
const char *journal_redis_incarnation(const struct journal *j);

#endif
