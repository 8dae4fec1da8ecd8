/* SPDX-License-Identifier: Apache-2.0 */
/* The composition root: turns a configuration into the registry, the pools and one set of adapters per worker. The only
 * module that sees all implementations. */
#ifndef APP_WIRE_H
#define APP_WIRE_H

#include "base/rng.h"
#include "core/registry.h"
#include "engine/worker.h"
#include "impl/broker_kafka.h"
#include "seam/limiter.h"

struct config;
struct loop;
struct mem_topics;

/* What all workers share, read-only. A reload makes another one; the old one must stay as long as any worker. */
struct wiring {
    const struct config *config;
    struct arena *arena;
    struct registry registry;
    const struct pool_conf *pools; /* pools[n_pools]; those of the wirings before come first, at their old places */
    int n_pools;
    const char *redis_urls[2]; /* redis_urls[n_redis_urls]: servers that must be there at start; may hold passwords */
    int n_redis_urls;
    /* Set between wiring_init() and crew_init() by what is not the service. */
    bool has_local_limits;     /* limits are kept in this process, no Redis is asked */
    bool has_memory_journal;   /* the journal is in this process and ends with it; journal.enabled is not asked */
    bool has_mock_kafka;       /* the brokers are librdkafka's mock cluster */
    struct mem_topics *memory; /* jobs and records are here instead of in Kafka; NULL: Kafka */
};

/* Compiles the configuration, which must outlive the wiring.
 * thread  main */
void wiring_init(struct wiring *w, const struct config *config);
/* The same for a configuration that follows another one in the same process: pools keep their indexes, and those that
 * nobody names any more their last limits.
 * before  NULL: none; must outlive `w` */
void wiring_init_after(struct wiring *w, const struct config *config, const struct wiring *before);
void wiring_done(struct wiring *w);

/* One worker's adapters and the worker over them. */
struct crew {
    struct loop *loop;
    struct rng rng;
    char name[80]; /* "<slot>.<index>": worker_id in the records, slot of the journal */
    struct kafka_conf kafka;
    struct kafka_property *properties;
    struct http *http;
    struct limiter *limiter;
    struct health *health;
    struct journal *journal; /* NULL: switched off */
    struct broker *broker;
    struct worker *worker;
};

/* Makes the adapters and the worker on `loop`; nothing is started.
 * slot     the process's name in the group
 * errors   -EINVAL with the reason logged; crew_done() is fine after it
 * thread   the loop's */
int crew_init(struct crew *c, const struct wiring *w, struct loop *loop, const char *slot, int index,
              worker_stopped stopped, void *arg);
/* Has the worker go on by another wiring, made after its own. Adapters stay as they are.
 * thread   the loop's */
void crew_reload(struct crew *c, const struct wiring *w);
void crew_done(struct crew *c);

#endif
