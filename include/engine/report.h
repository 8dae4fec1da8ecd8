/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker tells about itself: a copy, made on its own thread and handed over as a whole, so that whoever looks at
 * it never touches the worker. */
#ifndef ENGINE_REPORT_H
#define ENGINE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/outcome.h"
#include "seam/limiter.h"

struct arena;
struct worker;

struct report_part {
    const char *topic;
    int32_t partition;
    int64_t base;         /* lowest offset not finished: what a commit says */
    int64_t high;         /* the partition's end at the last fetch, -1: unknown */
    int64_t lag;          /* records from base to the end, those in hand included; -1: unknown */
    int n_jobs;           /* in hand */
    int64_t oldest_ts_ms; /* timestamp of the oldest record in hand, -1: none */
    bool is_stalled;      /* its oldest job holds it back: 16,384 offsets behind it are read */
    bool is_revoking;
};

/* A call of a job in hand. */
struct report_call {
    const char *model;    /* as asked, when it resolved to none */
    const char *provider; /* NULL: no such model */
    const char *state;    /* "waiting", "sending", "retrying", "ok", "failed", "cancelled", "idle" */
    const char *waiting;  /* what for: "rpm", "tpm", ... "permit", "provider", "backoff"; NULL: it is over */
    const char *error;    /* code of the last attempt that failed; NULL: none */
    int attempt;
};

struct report_job {
    const char *job_id; /* its position before it is decoded */
    const char *topic;
    int32_t partition;
    int64_t offset;
    const char *step;                /* "claim", "decode", "stage", ... */
    const char *waiting;             /* what the job waits for, the call that waits longest speaks for it */
    int64_t age_ms;                  /* since it was taken up */
    int64_t record_age_ms;           /* since the record was written, -1: it has no timestamp */
    const struct report_call *calls; /* calls[n_calls] */
    int n_calls;
};

struct report {
    struct arena *arena; /* holds everything; report_free() ends it */
    const char *worker_id;
    int64_t wall_ms; /* when it was made */
    int n_jobs;
    bool is_connected; /* the broker has said that it is ready */
    bool is_draining;
    bool is_journal_down;
    bool is_limiter_down;
    int64_t commit_wait_ms;          /* since when the oldest finished job waits for its commit, 0: none */
    const struct report_part *parts; /* parts[n_parts] */
    int n_parts;
    const struct pool_view *pools; /* pools[n_pools], levels brought up to wall_ms, pause_until_us: from wall_ms on */
    int n_pools;
    const struct report_job *jobs; /* jobs[n_jobs_listed], oldest first */
    int n_jobs_listed;
};

/* Copies what the worker knows. The `max_jobs` oldest jobs are listed; with a job id only those of this id, or of this
 * position ("topic/partition/offset").
 * thread  the worker's */
struct report *report_new(const struct worker *w, int max_jobs, const char *job_id);
/* thread  any */
void report_free(struct report *r);

#endif
