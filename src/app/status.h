/* SPDX-License-Identifier: Apache-2.0 */
/* What the process knows about itself, on the main thread: the workers' reports, samples of the metrics, and what
 * follows from them (readiness, rates, availability). It asks nobody: neither a worker nor Redis nor a provider. */
#ifndef APP_STATUS_H
#define APP_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "engine/report.h"

struct arena;
struct buf;
struct wiring;

enum { STATUS_SLOWEST = 20, STATUS_CODES = METRIC_CODES_MAX };

#define STATUS_SECOND    INT64_C(1000000)
#define STATUS_SAMPLE_US (5 * STATUS_SECOND)
#define STATUS_WINDOW_US (60 * STATUS_SECOND)

enum phase_of_life { LIFE_STARTING, LIFE_RUNNING, LIFE_DRAINING };

struct status;

/* The wiring must outlive it, or be replaced. now_us, wall_ms: the times now. thread  main, as everything here */
struct status *status_new(const struct wiring *w, int n_workers, int64_t now_us, int64_t wall_ms);
void status_free(struct status *s);
/* Another configuration is in force. */
void status_set_wiring(struct status *s, const struct wiring *w);
void status_set_life(struct status *s, enum phase_of_life life);
void status_set_slot(struct status *s, const char *slot); /* copied */
/* Takes over a worker's newest report; NULL: it has ended. */
void status_take_report(struct status *s, int worker, struct report *r);
/* For how long the worker's loop has not turned; 0: it turns. */
void status_set_silence(struct status *s, int worker, int64_t silent_us);
/* Samples the counters, as often as STATUS_SAMPLE_US says; call it once a second. */
void status_tick(struct status *s, int64_t now_us);

/* --- what follows --- */

enum check_level { CHECK_OK, CHECK_DEGRADED, CHECK_FAILED };

struct status_check {
    const char *name; /* "config", "kafka", "redis", "journal", "partitions", "providers", "workers", "life" */
    enum check_level level;
    const char *text; /* one clause for people */
};

/* One configured model. Counts are of this process since its start, rates of the last minute. */
struct status_model {
    const char *id;
    const char *provider;
    bool is_available;
    const char *reason; /* why, or why not */
    bool has_key;
    int breaker;              /* 0 closed, 1 open, 2 half open: the worst of the workers' */
    const char *last_outcome; /* "ok" or an error code; NULL: not asked yet */
    int64_t last_outcome_ms;
    int64_t calls, ok; /* all attempts; those with an answer */
    int64_t window_calls, window_ok, window_limited;
    double calls_per_s;
    double error_ratio;    /* of the window, -1: no call ended */
    double p50_ms, p95_ms; /* of the window, -1: no call ended */
    int64_t cost_nusd;     /* since the start */
    double usd_per_hour;   /* at the window's rate */
    int64_t in_flight;
    int waiting;               /* permits this process waits for */
    double rpm_free, tpm_free; /* share of the buckets that is left, whole fleet; -1: no limit or not known yet */
};

/* One pool of limits. */
struct status_pool {
    const char *id;
    const char *provider;
    const char *key_id;        /* NULL: no key */
    const char *const *models; /* models[n_models] */
    int n_models;
    const struct pool_conf *conf;
    struct pool_view view; /* of the worker that heard from the store last; sums for what is per worker */
    bool is_known;
};

struct status_error {
    const char *code;
    int64_t count;        /* since the start */
    int64_t window_count; /* of the last minute */
    const char *models;   /* "a, b" */
};

struct status_job {
    const char *worker_id;
    const struct report_job *job; /* of the worker's report */
};

struct status_view {
    struct arena *arena; /* the rows'; reports are borrowed until the next status_take_report() */
    int64_t wall_ms, started_ms;
    const char *slot;
    const struct wiring *wiring;
    enum check_level level;
    const struct status_check *checks; /* checks[n_checks] */
    int n_checks;
    const char *verdict; /* one or two sentences */
    int64_t jobs_in_flight;
    double jobs_per_s;
    double job_success_ratio; /* of the window, -1: none ended */
    int64_t lag;              /* -1: unknown */
    double lag_per_s;         /* change */
    bool is_lag_trend_known;
    int n_workers;
    const struct report *const *reports; /* reports[n_workers], NULL: none yet or ended */
    const int64_t *silent_us;            /* silent_us[n_workers] */
    const struct status_model *models;   /* models[n_models], as configured */
    int n_models;
    const struct status_pool *pools; /* pools[n_pools] */
    int n_pools;
    const struct status_error *errors; /* errors[n_errors], most of the last minute first */
    int n_errors;
    struct status_job slowest[STATUS_SLOWEST]; /* slowest[n_slowest], oldest first */
    int n_slowest;
};

/* Builds what can be seen now; status_view_done() frees it. */
void status_view_init(struct status_view *v, struct status *s, int64_t now_us, int64_t wall_ms);
void status_view_done(struct status_view *v);

/* --- documents: status_json.c, status_page.c, status_metrics.c --- */

void status_json(const struct status_view *v, struct buf *out);
void status_json_limits(const struct status_view *v, struct buf *out);
/* jobs[n] in one list; is_complete: all workers answered in time. */
void status_json_jobs(const struct status_job *jobs, int n, bool is_complete, int64_t wall_ms, struct buf *out);
void status_json_version(struct buf *out);
void status_page(const struct status_view *v, struct buf *out);
/* The Content-Security-Policy that lets the page's own style through, and nothing else. */
const char *status_page_policy(void);
/* /readyz: "ok", "degraded" or "not ready", and with is_verbose a line per check. */
void status_ready_text(const struct status_view *v, bool is_verbose, struct buf *out);
/* The gauges that are no plain counters: limits, breakers, partitions, build, process. */
void status_metrics(const struct status_view *v, struct buf *out);

#endif
