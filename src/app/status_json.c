/* SPDX-License-Identifier: Apache-2.0 */
/* The documents under /api/v1, as docs/operations.md describes them: flat, times in epoch milliseconds, null for what
 * is not known. Pure. Main thread. */
#include <stdio.h>
#include <string.h>

#include "app/build_id.h"
#include "app/config.h"
#include "app/status.h"
#include "app/wire.h"
#include "base/buf.h"
#include "base/json_write.h"

enum { SCHEMA_VERSION = 1 };

static const char *const level_words[] = {"ready", "degraded", "not_ready"};
static const char *const breaker_words[] = {"closed", "open", "half_open"};

/* Three decimals; null when negative and `is_opt`. */
static void kv_real(struct json_write *w, const char *key, double value, bool is_opt)
{
    char text[40];

    if (is_opt && value < 0) {
        jw_kv_null(w, key);
        return;
    }
    (void)snprintf(text, sizeof(text), "%.3f", value);
    jw_kv_raw(w, key, text_of(text));
}

static void begin(struct json_write *w, struct buf *out, int64_t wall_ms)
{
    jw_init(w, out);
    jw_open(w, '{');
    jw_kv_int(w, "schema_version", SCHEMA_VERSION);
    if (wall_ms > 0)
        jw_kv_int(w, "ts_ms", wall_ms);
}

static void end(struct json_write *w, struct buf *out)
{
    jw_close(w, '}');
    buf_add_char(out, '\n');
}

static void write_checks(struct json_write *w, const struct status_view *v)
{
    static const char *const words[] = {"ok", "degraded", "failed"};

    jw_key(w, "checks");
    jw_open(w, '[');
    for (int i = 0; i < v->n_checks; i++) {
        jw_open(w, '{');
        jw_kv_str(w, "name", v->checks[i].name);
        jw_kv_str(w, "level", words[v->checks[i].level]);
        jw_kv_str(w, "text", v->checks[i].text);
        jw_close(w, '}');
    }
    jw_close(w, ']');
}

static void write_workers(struct json_write *w, const struct status_view *v)
{
    jw_key(w, "workers");
    jw_open(w, '[');
    for (int i = 0; i < v->n_workers; i++) {
        const struct report *r = v->reports[i];

        jw_open(w, '{');
        jw_kv_int(w, "index", i);
        jw_kv_str(w, "worker_id", r != NULL ? r->worker_id : NULL);
        jw_kv_int(w, "silent_ms", v->silent_us[i] / 1000);
        jw_kv_int_opt(w, "reported_at_ms", r != NULL ? r->wall_ms : -1);
        jw_kv_bool(w, "connected", r != NULL && r->is_connected);
        jw_kv_int_opt(w, "jobs", r != NULL ? r->n_jobs : -1);
        jw_kv_int_opt(w, "partitions", r != NULL ? r->n_parts : -1);
        jw_kv_bool(w, "limiter_down", r != NULL && r->is_limiter_down);
        jw_kv_bool(w, "journal_down", r != NULL && r->is_journal_down);
        jw_kv_bool(w, "draining", r != NULL && r->is_draining);
        jw_close(w, '}');
    }
    jw_close(w, ']');
}

static void write_model(struct json_write *w, const struct status_model *m)
{
    jw_open(w, '{');
    jw_kv_str(w, "model", m->id);
    jw_kv_str(w, "provider", m->provider);
    jw_kv_bool(w, "available", m->is_available);
    jw_kv_str(w, "reason", m->reason);
    jw_kv_bool(w, "configured", true);
    jw_kv_bool(w, "key_present", m->has_key);
    jw_kv_str(w, "breaker", breaker_words[m->breaker]);
    jw_kv_str(w, "last_outcome", m->last_outcome);
    jw_kv_int_opt(w, "last_outcome_at_ms", m->last_outcome_ms > 0 ? m->last_outcome_ms : -1);
    jw_kv_int(w, "calls_total", m->calls);
    jw_kv_int(w, "calls_ok", m->ok);
    jw_kv_int(w, "calls_in_flight", m->in_flight);
    jw_kv_int(w, "calls_waiting", m->waiting);
    jw_kv_int(w, "calls_last_minute", m->window_calls);
    kv_real(w, "calls_per_s", m->calls_per_s, false);
    kv_real(w, "error_ratio", m->error_ratio, true);
    jw_kv_int(w, "rate_limited_last_minute", m->window_limited);
    kv_real(w, "p50_ms", m->p50_ms, true);
    kv_real(w, "p95_ms", m->p95_ms, true);
    jw_kv_usd_opt(w, "cost_usd", m->cost_nusd);
    kv_real(w, "cost_usd_per_hour", m->usd_per_hour, false);
    kv_real(w, "requests_available_ratio", m->rpm_free, true);
    kv_real(w, "tokens_available_ratio", m->tpm_free, true);
    jw_close(w, '}');
}

static void write_partitions(struct json_write *w, const struct status_view *v)
{
    jw_key(w, "partitions");
    jw_open(w, '[');
    for (int i = 0; i < v->n_workers; i++) {
        const struct report *r = v->reports[i];

        for (int k = 0; r != NULL && k < r->n_parts; k++) {
            const struct report_part *p = &r->parts[k];

            jw_open(w, '{');
            jw_kv_str(w, "topic", p->topic);
            jw_kv_int(w, "partition", p->partition);
            jw_kv_str(w, "worker_id", r->worker_id);
            jw_kv_int(w, "offset", p->base);
            jw_kv_int_opt(w, "end_offset", p->high);
            jw_kv_int_opt(w, "lag", p->lag);
            jw_kv_int(w, "jobs", p->n_jobs);
            jw_kv_int_opt(w, "oldest_age_ms", p->oldest_ts_ms > 0 ? r->wall_ms - p->oldest_ts_ms : -1);
            jw_kv_bool(w, "stalled", p->is_stalled);
            jw_kv_bool(w, "revoking", p->is_revoking);
            jw_close(w, '}');
        }
    }
    jw_close(w, ']');
}

static void write_errors(struct json_write *w, const struct status_view *v)
{
    jw_key(w, "errors");
    jw_open(w, '[');
    for (int i = 0; i < v->n_errors; i++) {
        char docs[96];

        (void)snprintf(docs, sizeof(docs), "docs/errors.md#%s", v->errors[i].code);
        jw_open(w, '{');
        jw_kv_str(w, "error_code", v->errors[i].code);
        jw_kv_int(w, "count", v->errors[i].count);
        jw_kv_int(w, "last_minute", v->errors[i].window_count);
        jw_kv_str(w, "models", v->errors[i].models);
        jw_kv_str(w, "docs", docs);
        jw_close(w, '}');
    }
    jw_close(w, ']');
}

static void write_call(struct json_write *w, const struct report_call *c)
{
    jw_open(w, '{');
    jw_kv_str(w, "model", c->model);
    jw_kv_str(w, "provider", c->provider);
    jw_kv_str(w, "state", c->state);
    jw_kv_str(w, "waiting", c->waiting);
    jw_kv_int(w, "attempt", c->attempt);
    jw_kv_str(w, "error_code", c->error);
    jw_close(w, '}');
}

static void write_job(struct json_write *w, const struct status_job *s)
{
    const struct report_job *j = s->job;

    jw_open(w, '{');
    jw_kv_str(w, "job_id", j->job_id);
    jw_kv_str(w, "worker_id", s->worker_id);
    jw_kv_str(w, "topic", j->topic);
    jw_kv_int(w, "partition", j->partition);
    jw_kv_int(w, "offset", j->offset);
    jw_kv_str(w, "step", j->step);
    jw_kv_str(w, "waiting", j->waiting);
    jw_kv_int(w, "age_ms", j->age_ms);
    jw_kv_int_opt(w, "record_age_ms", j->record_age_ms);
    jw_key(w, "calls");
    jw_open(w, '[');
    for (int i = 0; i < j->n_calls; i++)
        write_call(w, &j->calls[i]);
    jw_close(w, ']');
    jw_close(w, '}');
}

void status_json(const struct status_view *v, struct buf *out)
{
    struct json_write w;

    begin(&w, out, v->wall_ms);
    jw_kv_str(&w, "state", level_words[v->level]);
    jw_kv_str(&w, "verdict", v->verdict);
    jw_kv_str(&w, "version", build_version);
    jw_kv_str(&w, "build", build_commit);
    jw_kv_str(&w, "group", v->wiring->config->kafka.group);
    jw_kv_str(&w, "slot", *v->slot != '\0' ? v->slot : NULL);
    jw_kv_str(&w, "config", v->wiring->config->path);
    jw_kv_int(&w, "started_at_ms", v->started_ms);
    jw_kv_int(&w, "uptime_ms", v->wall_ms - v->started_ms);
    jw_kv_int(&w, "jobs_in_flight", v->jobs_in_flight);
    jw_kv_int(&w, "jobs_ok", metric_get(METRIC_JOBS_OK));
    jw_kv_int(&w, "jobs_partial", metric_get(METRIC_JOBS_PARTIAL));
    jw_kv_int(&w, "jobs_failed", metric_get(METRIC_JOBS_FAILED));
    jw_kv_int(&w, "dead_letters", metric_get(METRIC_DEAD_LETTERS));
    kv_real(&w, "jobs_per_s", v->jobs_per_s, false);
    kv_real(&w, "job_success_ratio", v->job_success_ratio, true);
    jw_kv_int_opt(&w, "lag", v->lag);
    if (v->is_lag_trend_known)
        kv_real(&w, "lag_per_s", v->lag_per_s, false);
    else
        jw_kv_null(&w, "lag_per_s");
    write_checks(&w, v);
    write_workers(&w, v);
    jw_key(&w, "models");
    jw_open(&w, '[');
    for (int i = 0; i < v->n_models; i++)
        write_model(&w, &v->models[i]);
    jw_close(&w, ']');
    write_partitions(&w, v);
    jw_key(&w, "slowest");
    jw_open(&w, '[');
    for (int i = 0; i < v->n_slowest; i++)
        write_job(&w, &v->slowest[i]);
    jw_close(&w, ']');
    write_errors(&w, v);
    end(&w, out);
}

static void write_pool(struct json_write *w, const struct status_pool *p)
{
    const struct pool_view *view = &p->view;

    jw_open(w, '{');
    jw_kv_str(w, "pool", p->id);
    jw_kv_str(w, "provider", p->provider);
    jw_kv_str(w, "key_id", p->key_id);
    jw_key(w, "models");
    jw_open(w, '[');
    for (int i = 0; i < p->n_models; i++)
        jw_str(w, p->models[i]);
    jw_close(w, ']');
    jw_kv_int_opt(w, "requests_per_minute", p->conf->requests_per_minute > 0 ? p->conf->requests_per_minute : -1);
    jw_kv_int_opt(w, "tokens_per_minute", p->conf->tokens_per_minute > 0 ? p->conf->tokens_per_minute : -1);
    jw_kv_int_opt(w, "concurrency", p->conf->concurrency > 0 ? p->conf->concurrency : -1);
    jw_kv_int_opt(w, "largest_call", p->conf->largest_call > 0 ? p->conf->largest_call : -1);
    jw_kv_bool(w, "known", p->is_known);
    jw_kv_int_opt(w, "requests_bucket", view->req_cap > 0 ? view->req_cap : -1);
    jw_kv_int_opt(w, "requests_available", p->is_known && view->req_cap > 0 ? view->req_level : -1);
    jw_kv_int_opt(w, "tokens_bucket", view->tok_cap > 0 ? view->tok_cap : -1);
    if (p->is_known && view->tok_cap > 0)
        jw_kv_int(w, "tokens_available", view->tok_level); /* below 0: more was used than estimated */
    else
        jw_kv_null(w, "tokens_available");
    jw_kv_int_opt(w, "fleet_in_flight", p->is_known ? view->fleet_in_flight : -1);
    jw_kv_int_opt(w, "fleet_workers", p->is_known ? view->fleet_workers : -1);
    jw_kv_int(w, "in_flight", view->in_flight);
    jw_kv_int(w, "waiting", view->waiting);
    jw_kv_str(w, "waiting_for", view->waiting > 0 ? throttle_name(view->blocked) : NULL);
    jw_kv_int(w, "paused_ms", view->pause_until_us / 1000);
    jw_close(w, '}');
}

void status_json_limits(const struct status_view *v, struct buf *out)
{
    struct json_write w;

    begin(&w, out, v->wall_ms);
    jw_key(&w, "limits");
    jw_open(&w, '[');
    for (int i = 0; i < v->n_pools; i++) {
        const struct status_pool *p = &v->pools[i];

        if (p->n_models > 0 || p->view.in_flight > 0 || p->view.waiting > 0) /* or a reload left nobody in it */
            write_pool(&w, p);
    }
    jw_close(&w, ']');
    end(&w, out);
}

void status_json_jobs(const struct status_job *jobs, int n, bool is_complete, int64_t wall_ms, struct buf *out)
{
    struct json_write w;

    begin(&w, out, wall_ms);
    jw_kv_bool(&w, "complete", is_complete);
    jw_key(&w, "jobs");
    jw_open(&w, '[');
    for (int i = 0; i < n; i++)
        write_job(&w, &jobs[i]);
    jw_close(&w, ']');
    end(&w, out);
}

void status_json_version(struct buf *out)
{
    struct json_write w;

    begin(&w, out, 0);
    jw_kv_str(&w, "version", build_version);
    jw_kv_str(&w, "build", build_commit);
    end(&w, out);
}
