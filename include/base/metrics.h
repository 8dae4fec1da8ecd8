/* SPDX-License-Identifier: Apache-2.0 */
/* Process-wide metrics from tables: plain counters and gauges (METRICS), histograms (HISTOGRAMS), and a block of
 * atomics per model (the families with the labels provider and model). The tables are the only places where a metric is
 * named. Nothing is ever labelled by job, tenant or prompt. Any thread; adding is relaxed atomics, without lock, hash
 * or allocation. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;

/* Rows of one name stand together; each has its own labels ("": none).
 *      id                       name                                 labels                  kind     help */
#define METRICS(X) \
    X(JOBS_READ, "tutti_jobs_read_total", "", COUNTER, "Records taken from the jobs topics") \
    X(JOBS_OK, "tutti_jobs_total", "outcome=\"ok\"", COUNTER, "Jobs that ended, by outcome") \
    X(JOBS_PARTIAL, "tutti_jobs_total", "outcome=\"partial\"", COUNTER, "") \
    X(JOBS_FAILED, "tutti_jobs_total", "outcome=\"failed\"", COUNTER, "") \
    X(DEAD_LETTERS, "tutti_jobs_total", "outcome=\"dlq\"", COUNTER, "") \
    X(JOBS_DUPLICATE, "tutti_jobs_duplicate_total", "", COUNTER, \
      "Records dropped as a second one of their job id and run") \
    X(JOBS_CANCELLED, "tutti_jobs_cancelled_total", "", COUNTER, "Jobs that ended by a command on the control topic") \
    X(CONTROL_COMMANDS, "tutti_control_commands_total", "", COUNTER, "Commands taken from the control topic") \
    X(CONTROL_REFUSED, "tutti_control_refused_total", "", COUNTER, "Records of the control topic that are no command") \
    X(CONTROL_ERRORS, "tutti_control_errors_total", "", COUNTER, "Failed tries to read the control topic") \
    X(JOBS_IN_FLIGHT, "tutti_inflight_jobs", "", GAUGE, "Jobs held in memory") \
    X(SCHEMA_PREFIXES, "tutti_schema_prefixes_total", "", COUNTER, "Records whose Schema Registry prefix was skipped") \
    X(CALLS_STARTED, "tutti_calls_started_total", "", COUNTER, "HTTP attempts started at providers") \
    X(CALLS_RECALLED, "tutti_calls_recalled_total", "", COUNTER, \
      "Answers taken from the journal instead of paid again") \
    X(CALLS_AMBIGUOUS, "tutti_calls_ambiguous_total", "", COUNTER, \
      "Attempts whose request may have been served although no answer came") \
    X(GRANTS_BURNED, "tutti_grants_burned_total", "", COUNTER, \
      "Permits that were too old when the request could be written") \
    X(FALLBACKS, "tutti_fallbacks_total", "", COUNTER, "Times a call went on with a fallback model") \
    X(BREAKER_OPENED, "tutti_breaker_opened_total", "", COUNTER, "Times a model's breaker opened in a worker") \
    X(KEYS_RESTED, "tutti_keys_rested_total", "", COUNTER, "Times an API key was put aside for a while") \
    X(LIMITER_TICKS, "tutti_limiter_ticks_total", "", COUNTER, "Limiter round trips") \
    X(LIMITER_GRANTS, "tutti_limiter_grants_total", "", COUNTER, "Permits granted") \
    X(LIMITER_DOWN, "tutti_limiter_degraded", "", GAUGE, "Workers whose limiter is away from its Redis") \
    X(POOL_PAUSES, "tutti_pool_pauses_total", "", COUNTER, "Fleet-wide pauses asked for after a 429 or Retry-After") \
    X(JOURNAL_DOWN, "tutti_journal_down", "", GAUGE, "Workers whose journal is away from its Redis") \
    X(JOURNAL_SPOOLED, "tutti_journal_spooled_total", "", COUNTER, \
      "Journal writes kept for later while Redis was away") \
    X(SPOOL_FAILURES, "tutti_spool_failures_total", "", COUNTER, "Tries to keep journal writes on disk that failed") \
    X(REDIS_RECONNECTS, "tutti_redis_reconnects_total", "", COUNTER, "Redis connections lost and opened again") \
    X(REDIS_ERRORS, "tutti_redis_errors_total", "", COUNTER, "Redis commands without an answer, or refused") \
    X(BATCHES_COMMITTED, "tutti_batches_committed_total", "", COUNTER, "Group commits that succeeded") \
    X(BATCHES_ABORTED, "tutti_batches_aborted_total", "", COUNTER, "Group commits aborted and tried again") \
    X(RECORDS_PUBLISHED, "tutti_records_published_total", "", COUNTER, "Records in committed batches") \
    X(OFFSET_GAPS, "tutti_offset_gaps_total", "", COUNTER, \
      "Partitions whose committed offset was deleted by retention") \
    X(METADATA_IGNORED, "tutti_metadata_ignored_total", "", COUNTER, "Commit metadata that was not ours or damaged") \
    X(REBALANCES, "tutti_kafka_rebalances_total", "", COUNTER, "Rebalance events applied") \
    X(PARTITIONS, "tutti_partitions_assigned", "", GAUGE, "Partitions owned now") \
    X(RESULTS_CUT, "tutti_results_cut_total", "", COUNTER, "Results whose texts were cut to fit the topic") \
    X(SLOW_TURNS, "tutti_loop_slow_turns_total", "", COUNTER, "Loop turns over 5 ms") \
    X(WORKERS_STUCK, "tutti_workers_stuck_total", "", COUNTER, "Times a worker's loop did not turn for 10 s") \
    X(ADMIN_REQUESTS, "tutti_admin_requests_total", "", COUNTER, "Requests to the admin server") \
    X(RELOAD_OK, "tutti_config_last_reload_successful", "", GAUGE, "1 when the configuration was last read well") \
    X(RELOAD_TIME, "tutti_config_last_reload_timestamp_seconds", "", GAUGE, \
      "When the configuration was last read well, since 1970")

enum metric {
#define X(id, name, labels, kind, help) METRIC_##id,
    METRICS(X)
#undef X
        METRIC_MAX
};

void metric_add(enum metric m, int64_t n);
void metric_set(enum metric m, int64_t value);
int64_t metric_get(enum metric m);

/* --- histograms --- */

/* Bucket k ends at first_us << k, the last one is infinity. The durations of calls and jobs have the edges of the model
 * statistics (CONTRACTS 6): 0.01, 0.02 ... 81.92 s. */
enum { METRIC_BUCKETS = 15, METRIC_CALL_EDGE_US = 10000, METRIC_REDIS_EDGE_US = 250 };

struct metric_hist {
    _Atomic int64_t counts[METRIC_BUCKETS]; /* not cumulative */
    _Atomic int64_t sum_us;
};

void metric_hist_add(struct metric_hist *h, int64_t first_us, int64_t value_us);

/*      id                name                                  labels                first_us              help */
#define HISTOGRAMS(X) \
    X(JOB_DURATION, "tutti_job_duration_seconds", "", METRIC_CALL_EDGE_US, "From taking up a job to its end") \
    X(JOB_QUEUE_AGE, "tutti_job_queue_age_seconds", "", METRIC_CALL_EDGE_US, \
      "Age of a record when it was taken up, by its timestamp") \
    X(REDIS_LIMITER, "tutti_redis_op_duration_seconds", "op=\"limiter\"", METRIC_REDIS_EDGE_US, \
      "Redis commands from sending to the answer, by who sends them") \
    X(REDIS_JOURNAL, "tutti_redis_op_duration_seconds", "op=\"journal\"", METRIC_REDIS_EDGE_US, "") \
    X(REDIS_OTHER, "tutti_redis_op_duration_seconds", "op=\"other\"", METRIC_REDIS_EDGE_US, "")

enum histogram {
#define X(id, name, labels, first_us, help) HISTOGRAM_##id,
    HISTOGRAMS(X)
#undef X
        HISTOGRAM_MAX
};

/* Values below 0 (unknown) are not counted. */
void metric_observe(enum histogram h, int64_t value_us);

/* --- per model --- */

enum { METRIC_MODELS_MAX = 200, METRIC_CODES_MAX = 32, METRIC_REASONS_MAX = 8 };

enum token_kind { TOKENS_INPUT, TOKENS_OUTPUT, TOKENS_CACHED, TOKENS_REASONING, TOKENS_MAX };

/* Everything counted about one (provider, model). Made once, lives as long as the process; any thread adds. */
struct model_metrics {
    char *provider;
    char *model;
    _Atomic int64_t calls[METRIC_CODES_MAX]; /* attempts that ended, by code (enum fault); 0: an answer */
    struct metric_hist duration;
    struct metric_hist ttft;
    _Atomic int64_t retries;
    _Atomic int64_t throttle_us[METRIC_REASONS_MAX]; /* by enum throttle; 0: waited without a word of the limiter */
    _Atomic int64_t tokens[TOKENS_MAX];
    _Atomic int64_t cost_nusd;
    _Atomic int64_t in_flight;
    _Atomic int64_t breakers[3];   /* workers by the state of their breaker: closed (not kept), open, half open */
    _Atomic int64_t billed_tokens; /* of attempts with both figures */
    _Atomic int64_t estimated_tokens;
    _Atomic int64_t last_ms; /* wall clock of the last attempt's end, 0: none yet */
    _Atomic int last_code;
};

/* The block of a model; the same for the same names. Beyond METRIC_MODELS_MAX it is that of (other, other), as are
 * those of NULL names. Takes a lock: once per model at start, never per call. */
struct model_metrics *metrics_model(const char *provider, const char *model);
/* Every block made up to now: out[METRIC_MODELS_MAX + 1]; returns how many. They are never freed. */
int metrics_models(struct model_metrics **out);

/* What ended attempts add, in one go. Unknown figures are -1. */
struct call_sample {
    int code; /* enum fault */
    int64_t ended_ms;
    int64_t duration_us;
    int64_t ttft_us;
    int64_t throttle_us;
    int reason; /* enum throttle */
    int64_t tokens[TOKENS_MAX];
    int64_t reserved_tokens;
    int64_t cost_nusd;
};
void metrics_add_call(struct model_metrics *m, const struct call_sample *s);
/* (other, other) when m is NULL, as for models that no configuration named. */
void metrics_add_in_flight(struct model_metrics *m, int n);
void metrics_add_retry(struct model_metrics *m);
/* A worker's breaker of the model goes from one state to another (0 closed, 1 open, 2 half open). */
void metrics_move_breaker(struct model_metrics *m, int from, int to);

/* What the numbers above are called in the labels. Set once, before any thread adds; without it they are numbers. */
struct metric_words {
    const char *(*code)(int code);     /* NULL: no such code */
    const char *(*reason)(int reason); /* NULL: none */
    int cancelled;                     /* the code that is no error */
};
void metrics_set_words(const struct metric_words *words);
/* The word of a code, "" for 0; "ok", "error" or "cancelled". */
const char *metrics_code_word(int code);
const char *metrics_outcome_word(int code);

/* A dead letter of this code; a static word of a closed list. */
void metrics_add_dead_letter(const char *code);

/* Records of an output topic that could not be delivered; 0 makes the topic known. Takes a lock: not per record. */
void metrics_add_produce_errors(const char *topic, int64_t n);

/* Appends the Prometheus text exposition of all of them. */
void metrics_print(struct buf *out);
/* Pieces of the exposition, for those who print gauges of their own. */
void metrics_print_head(struct buf *out, const char *name, const char *kind, const char *help);
/* `name="value"` with backslash, quote and line feed escaped; a comma first unless it is the first one. */
void metrics_print_label(struct buf *out, const char *name, const char *value, bool is_first);
/* Micro- or nano-units as a decimal number without rounding: 1500000, 6 -> 1.5 */
void metrics_print_decimal(struct buf *out, int64_t value, int decimals);

#endif
