/* SPDX-License-Identifier: Apache-2.0 */
/* Process-wide counters and gauges from one table (METRICS below): name, kind, help. Atomics; any thread.
 * Histograms and the Prometheus page come with the admin server; the table is the one place where a metric is named. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

struct buf;

/*      id                       name                                     kind     help */
#define METRICS(X) \
    X(JOBS_READ, "tutti_jobs_read_total", COUNTER, "Records taken from the jobs topics") \
    X(JOBS_OK, "tutti_jobs_ok_total", COUNTER, "Jobs that ended with status ok") \
    X(JOBS_PARTIAL, "tutti_jobs_partial_total", COUNTER, "Jobs that ended with status partial") \
    X(JOBS_FAILED, "tutti_jobs_failed_total", COUNTER, "Jobs that ended with status failed") \
    X(JOBS_IN_FLIGHT, "tutti_jobs_in_flight", GAUGE, "Jobs held in memory") \
    X(DEAD_LETTERS, "tutti_dead_letters_total", COUNTER, "Records sent to the dead-letter topic") \
    X(SCHEMA_PREFIXES, "tutti_schema_prefixes_total", COUNTER, "Records whose Schema Registry prefix was skipped") \
    X(CALLS_STARTED, "tutti_calls_started_total", COUNTER, "HTTP attempts started at providers") \
    X(CALLS_OK, "tutti_calls_ok_total", COUNTER, "Attempts that gave an answer") \
    X(CALLS_FAILED, "tutti_calls_failed_total", COUNTER, "Attempts that failed") \
    X(CALLS_CANCELLED, "tutti_calls_cancelled_total", COUNTER, "Attempts cancelled by us") \
    X(CALLS_RECALLED, "tutti_calls_recalled_total", COUNTER, "Answers taken from the journal instead of paid again") \
    X(CALLS_IN_FLIGHT, "tutti_calls_in_flight", GAUGE, "Attempts under way") \
    X(CALLS_AMBIGUOUS, "tutti_calls_ambiguous_total", COUNTER, \
      "Attempts whose request may have been served although no answer came") \
    X(RETRIES, "tutti_retries_total", COUNTER, "Attempts after the first of a call") \
    X(GRANTS_BURNED, "tutti_grants_burned_total", COUNTER, \
      "Permits that were too old when the request could be written") \
    X(LIMITER_TICKS, "tutti_limiter_ticks_total", COUNTER, "Limiter round trips") \
    X(LIMITER_GRANTS, "tutti_limiter_grants_total", COUNTER, "Permits granted") \
    X(LIMITER_DOWN, "tutti_limiter_down", GAUGE, "1 while the limiter's Redis is away") \
    X(POOL_PAUSES, "tutti_pool_pauses_total", COUNTER, "Fleet-wide pauses asked for after a 429 or Retry-After") \
    X(JOURNAL_DOWN, "tutti_journal_down", GAUGE, "Workers whose journal is away from its Redis") \
    X(JOURNAL_SPOOLED, "tutti_journal_spooled_total", COUNTER, "Journal writes kept for later while Redis was away") \
    X(SPOOL_FAILURES, "tutti_spool_failures_total", COUNTER, "Tries to keep journal writes on disk that failed") \
    X(REDIS_RECONNECTS, "tutti_redis_reconnects_total", COUNTER, "Redis connections lost and opened again") \
    X(BATCHES_COMMITTED, "tutti_batches_committed_total", COUNTER, "Group commits that succeeded") \
    X(BATCHES_ABORTED, "tutti_batches_aborted_total", COUNTER, "Group commits that were aborted and tried again") \
    X(RECORDS_PUBLISHED, "tutti_records_published_total", COUNTER, "Records in committed batches") \
    X(OFFSET_GAPS, "tutti_offset_gaps_total", COUNTER, "Partitions whose committed offset was deleted by retention") \
    X(METADATA_IGNORED, "tutti_metadata_ignored_total", COUNTER, "Commit metadata that was not ours or damaged") \
    X(REBALANCES, "tutti_rebalances_total", COUNTER, "Rebalance events applied") \
    X(PARTITIONS, "tutti_partitions_assigned", GAUGE, "Partitions owned now") \
    X(RESULTS_CUT, "tutti_results_cut_total", COUNTER, "Results whose texts were cut to fit the topic") \
    X(SLOW_TURNS, "tutti_loop_slow_turns_total", COUNTER, "Loop turns over 5 ms")

enum metric {
#define X(id, name, kind, help) METRIC_##id,
    METRICS(X)
#undef X
        METRIC_MAX
};

void metric_add(enum metric m, int64_t n);
void metric_set(enum metric m, int64_t value);
int64_t metric_get(enum metric m);
/* Appends the Prometheus text exposition of all of them. */
void metrics_print(struct buf *out);

#endif
