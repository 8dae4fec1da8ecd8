/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one loop thread with its broker, limiter, journal, HTTP client and jobs. It shares nothing mutable with
 * other workers. */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "core/cancel.h"
#include "core/job.h"

struct worker;

struct worker_conf {
    const char *const *topics; /* topics[n_topics]: jobs topics in order of priority; borrowed. NULL: all equal */
    int n_topics;
    int max_in_flight; /* jobs.max_in_flight */
    int64_t grace_us;  /* shutdown.grace: how long a drain waits for jobs that have begun */
};

/* Called once when the worker has stopped: exit_code 0 after a drain, else the sysexits code with a reason already
 * logged. */
typedef void (*worker_stopped)(void *arg, int exit_code);

/* Makes a worker. `env` (loop, rng, registry, adapters, settings) is copied, its callbacks are set here; all adapters
 * must outlive the worker. thread  the loop's */
struct worker *worker_new(const struct env *env, const struct worker_conf *conf, worker_stopped stopped, void *arg);
/* Starts the broker. 0 or a negative errno. */
int worker_start(struct worker *w);
/* Stops intake, lets jobs that have begun finish up to the grace, commits, leaves, then calls stopped(). Idempotent. */
void worker_drain(struct worker *w);
/* Cancels the jobs that the command means: those in hand, and those that are read later, for seven days and as long as
 * not too many commands follow. `c` is copied. */
void worker_cancel(struct worker *w, const struct cancel *c);
/* What a reload of the configuration changes. */
struct worker_reload {
    const struct registry *registry; /* must outlive the worker */
    const struct pool_conf *pools;   /* pools[n_pools]: those known so far at their places, new ones behind them */
    int n_pools;
    struct health_conf breaker;
    struct retry_conf retry;
    int64_t deadline_us; /* the next five, up to is_lenient, as in env */
    int64_t dedupe_us;
    size_t max_bytes;
    bool is_lenient;
    int max_in_flight; /* as in worker_conf */
    int64_t grace_us;
};

/* From here on jobs are planned with these models and settings, and calls ask under these limits. Jobs that were
 * planned before go on with the models they have. No-op while the worker stops. */
void worker_reload(struct worker *w, const struct worker_reload *r);
/* Jobs held now. */
int worker_jobs(const struct worker *w);
/* Frees the worker and its jobs without a drain (what a crash leaves to others). */
void worker_free(struct worker *w);

#endif
