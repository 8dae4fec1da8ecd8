/* SPDX-License-Identifier: Apache-2.0 */
/* Records about a commit batch as a whole: what its call records add up to per model, and how far each batch of jobs
 * is. Here are the sums and their encoding; engine/stats.c decides what is added to which. Loop thread. */
#ifndef CORE_RECORD_STATS_H
#define CORE_RECORD_STATS_H

#include "core/inflight.h"
#include "core/job.h"

enum { STATS_BUCKETS = 15 }; /* upper edges 0.01 s, doubling, to 81.92 s; then infinity */

/* Under which names an attempt stands in its call record. */
struct attempt_names {
    const char *provider;      /* NULL: no longer configured */
    struct text request_model; /* what was asked for */
    const char *vendor_model;  /* NULL: no longer configured */
    const struct model *model; /* whose they are; NULL: no longer configured */
};

struct attempt_names attempt_names(const struct call *c, const struct attempt *a);

/* Sums over attempts, in the form in which their call records show each: whole milliseconds, counts below 2^53. So that
 * a reader who adds those up gets these. */
struct model_stats {
    int64_t calls_total, calls_ok, calls_failed, cancelled; /* the first is the sum of the others */
    int64_t rate_limited, retries, recalled;
    int64_t calls_unpriced; /* answered or metered, and without a cost */
    int64_t input_tokens, output_tokens, cached_input_tokens, reasoning_tokens; /* -1: nobody reported any */
    int64_t cost_nusd;                                                          /* of what is known; -1: nothing is */
    int64_t throttle_ms, duration_ms_sum, duration_ms_max;                      /* of those that are known */
    int64_t last_ended_ms;
    uint32_t duration_buckets[STATS_BUCKETS];
    uint32_t ttft_buckets[STATS_BUCKETS];
};

/* What identifies the sums and stands beside them. */
struct model_stats_head {
    int64_t window_ms; /* its first millisecond */
    const char *provider;
    const char *request_model; /* never NULL */
    const char *vendor_model;
    int inflight_max;  /* 0: not known */
    int64_t limit_rpm; /* 0: not limited */
    int64_t limit_tpm;
    const char *breaker_state; /* CONTRACTS 5 */
};

/* Who writes, in which commit batch. */
struct stats_origin {
    const struct env *env;
    const char *incarnation; /* of the worker */
    uint64_t number;         /* of the commit batch */
    struct arena *arena;     /* of the records */
};

void model_stats_init(struct model_stats *s);
void model_stats_add(struct model_stats *s, const struct attempt *a);
/* event_id of CONTRACTS 1. */
void model_stats_event_id(const struct stats_origin *o, const struct model_stats_head *h, char out[37]);
/* NULL: larger than its topic takes. */
struct record *record_model_stats(const struct stats_origin *o, const struct model_stats_head *h,
                                  const struct model_stats *s);

/* Sums over the results of jobs. */
struct batch_counts {
    int64_t jobs_total, jobs_ok, jobs_partial, jobs_failed;
    int64_t calls_total, calls_ok, calls_failed;
    int64_t input_tokens, output_tokens; /* -1: nobody reported any */
    int64_t cost_nusd;                   /* of what is known; -1: nothing is */
    bool is_cost_incomplete;
    int64_t first_ended_ms, last_ended_ms; /* while jobs_total > 0 */
};

/* What identifies a line of tutti.batches. */
struct batch_head {
    const char *batch_id; /* decoded */
    const char *topic;
    int32_t partition;
    const char *assignment; /* since when is counted: unique per assignment of the partition */
};

void batch_counts_init(struct batch_counts *c);
void batch_counts_add_job(struct batch_counts *c, const struct job *j);
void batch_counts_add(struct batch_counts *to, const struct batch_counts *c);
/* event_id of docs/schemas/event_id.json. */
void batch_event_id(const struct stats_origin *o, const struct batch_head *h, char out[37]);
/* NULL: larger than its topic takes. */
struct record *record_batch(const struct stats_origin *o, const struct batch_head *h, const struct batch_counts *c);

#endif
