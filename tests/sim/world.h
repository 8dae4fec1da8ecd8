/* SPDX-License-Identifier: Apache-2.0 */
/* A whole fleet on virtual time: memory broker, journal and limiter that outlive the workers, scripted providers, a
 * printed seed. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <jansson.h>

#include "base/rng.h"
#include "core/registry.h"
#include "engine/worker.h"
#include "impl/broker_mem.h"
#include "impl/journal_mem.h"
#include "impl/limiter_mem.h"
#include "loop.h"
#include "sim/script_http.h"

enum { WORLD_WORKERS_MAX = 4, WORLD_MODELS = 4 };

/* One process. */
struct crew {
    struct world *world;
    int index;
    struct rng rng;
    struct http *http;
    struct limiter *limiter;
    struct health *health;
    struct journal *journal;
    struct broker *broker;
    struct worker *worker;
    char incarnation[32];
    bool is_stopped;
    int exit_code;
};

/* What became of the jobs. Right is: each record appended has exactly one terminal record. */
struct tally {
    int ok, partial, failed; /* results, by status */
    int dead;                /* dead letters */
    int crash_loops;         /* those of them that say crash_loop */
    int missing;             /* jobs without a terminal record */
    int doubled;             /* jobs with more than one */
    int strays;              /* terminal records of no job */
};

/* A record that was appended. */
struct appended {
    int partition;
    int64_t offset;
};

struct world {
    uint64_t seed;
    struct rng rng;
    struct loop *loop;
    struct mem_topics *topics;
    struct journal_store *store;
    struct limiter_store *limits;
    struct ledger ledger;
    struct crew crews[WORLD_WORKERS_MAX];
    struct appended *appended; /* appended[n_appended] */
    int n_appended, cap_appended;
    int n_partitions;
    int n_incarnations;
    int gap; /* before the next job's offset; -1, the default: by dice */
    /* settings, before world_add_worker() */
    struct pool_conf pools[4];
    int n_pools;
    struct retry_conf retry;
    struct health_conf breaker; /* off */
    int64_t deadline_us;
    int64_t dedupe_us; /* 0, the default: job ids are not held against each other */
    struct worker_conf worker;
    int abort_per_mille;
    size_t limit;
    int64_t journal_write_us; /* see journal_mem_set_write_us() */
    struct provider_key key;
    struct provider provider;
    struct model models[WORLD_MODELS]; /* "a", "b", "c" and "d"; vendor names "m-a"... pools -1 until set */
    struct registry registry;
};

void world_init(struct world *w, uint64_t seed, int n_partitions);
void world_done(struct world *w);
/* Starts a worker that owns partitions [first, first + n). */
struct crew *world_add_worker(struct world *w, int first, int n);
/* kill -9: everything of the process is gone at once; its liveness in the journal ends too. */
void world_crash(struct crew *c);
/* Drains a process, waits for its end and frees it; false when it did not end in a minute. */
bool world_leave(struct crew *c);
/* Takes a partition from a process and waits until it is gone; false when it was not in a minute. */
bool world_take_away(struct crew *c, int partition, bool is_lost);
/* Appends a job; fmt is its JSON. Returns the offset. */
int64_t world_job(struct world *w, int partition, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same for a whole record. */
int64_t world_append(struct world *w, int partition, const struct message *m);
/* Runs for this long, virtual time. */
void world_run(struct world *w, int64_t us);
/* Runs until every record of every partition is finished and committed; false after `us`. */
bool world_run_until_done(struct world *w, int64_t us);
/* The committed result of a position, or NULL (a new reference). */
json_t *world_result(const struct world *w, int partition, int64_t offset);
/* Number of committed records of this output for the position (-1, -1: all). */
int world_count(const struct world *w, enum output o, int partition, int64_t offset);
/* Counts the terminal records of all jobs, in one pass. */
struct tally world_tally(const struct world *w);
/* Most requests any window of `us` saw for models of a pool (by vendor name's model pool). */
int world_max_in_window(const struct world *w, int pool, int64_t us);

#endif
