/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the rows that pages and documents show, out of reports, samples and the registry. Pure: reads, decides
 * nothing that anybody acts on. Main thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/status_internal.h"
#include "app/wire.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

static struct window_view window_of(const struct status *s, struct arena *a, int64_t now_us)
{
    struct window_view win = {.now = arena_zero(a, sizeof(*win.now))};
    int n = s->n_samples < STATUS_SAMPLES ? s->n_samples : STATUS_SAMPLES;

    status_read_counters(s, win.now, now_us);
    win.then = win.now;
    for (int i = s->n_samples - n; i < s->n_samples; i++) { /* oldest first */
        const struct sample *old = &s->samples[i % STATUS_SAMPLES];

        if (now_us - old->at_us > STATUS_WINDOW_US)
            continue;
        win.then = old;
        break;
    }
    win.seconds = (double)(now_us - win.then->at_us) / 1e6;
    if (win.seconds < 1)
        win.seconds = 1; /* just started: rates are too low rather than absurd */
    return win;
}

/* Milliseconds below which the share `q` of the counted durations lies, by interpolation inside its bucket. */
static double quantile_ms(const int64_t *counts, double q)
{
    double total = 0, seen = 0, low = 0, high = METRIC_CALL_EDGE_US / 1000.0;

    for (int k = 0; k < METRIC_BUCKETS; k++)
        total += (double)counts[k];
    if (total <= 0)
        return -1;
    for (int k = 0; k < METRIC_BUCKETS - 1; k++) {
        if (counts[k] > 0 && seen + (double)counts[k] >= q * total)
            return low + (high - low) * ((q * total - seen) / (double)counts[k]);
        seen += (double)counts[k];
        low = high;
        high *= 2;
    }
    return low; /* the last bucket has no upper edge */
}

static void add_window(struct status_model *out, const struct window_view *win, int block)
{
    const struct model_sample *now = status_sample_of(win->now, block), *then = status_sample_of(win->then, block);
    int64_t buckets[METRIC_BUCKETS];
    int64_t cancelled = 0;

    for (int k = 0; k < METRIC_CODES_MAX; k++) {
        int64_t n = now->calls[k] - then->calls[k];

        out->calls += now->calls[k];
        out->window_calls += n;
        if (k == FAULT_CANCELLED)
            cancelled = n;
        if (k == FAULT_RATE_LIMITED)
            out->window_limited = n;
    }
    for (int k = 0; k < METRIC_BUCKETS; k++)
        buckets[k] = now->buckets[k] - then->buckets[k];
    out->ok = now->calls[0];
    out->window_ok = now->calls[0] - then->calls[0];
    out->calls_per_s = (double)out->window_calls / win->seconds;
    if (out->window_calls > cancelled)
        out->error_ratio =
            (double)(out->window_calls - cancelled - out->window_ok) / (double)(out->window_calls - cancelled);
    out->p50_ms = quantile_ms(buckets, 0.5);
    out->p95_ms = quantile_ms(buckets, 0.95);
    out->cost_nusd = now->cost_nusd;
    out->usd_per_hour = (double)(now->cost_nusd - then->cost_nusd) / 1e9 / win->seconds * 3600;
}

static int64_t get(const _Atomic int64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void add_last(struct status_model *out, const struct model_metrics *m)
{
    out->breaker = get(&m->breakers[1]) > 0 ? 1 : (get(&m->breakers[2]) > 0 ? 2 : 0);
    out->in_flight = get(&m->in_flight);
    out->last_outcome_ms = get(&m->last_ms);
    if (out->last_outcome_ms > 0) {
        int code = atomic_load_explicit(&m->last_code, memory_order_relaxed);

        out->last_outcome = code == 0 ? "ok" : metrics_code_word(code);
    }
}

/* A local server wants no key; whoever is reached over TLS does. */
static bool wants_key(const struct provider *p)
{
    return strncmp(p->base_url, "https:", 6) == 0;
}

static bool is_any(const char *word, const char *const *list)
{
    for (; word != NULL && *list != NULL; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

/* D-47: available is what follows from the registry, the key, the breaker and the last outcome; each is stated. */
static void judge_model(struct status_model *m, const struct provider *p, struct arena *a)
{
    static const char *const final_words[] = {"auth", "quota_exhausted", "model_not_found", NULL};

    m->is_available = false;
    if (!m->has_key && wants_key(p))
        m->reason = arena_printf(a, "no API key is configured for the provider %s", p->id);
    else if (m->breaker == 1)
        m->reason = "the breaker is open: it failed too often in a row";
    else if (is_any(m->last_outcome, final_words))
        m->reason = arena_printf(a, "the last call ended with %s", m->last_outcome);
    else
        m->is_available = true;
    if (!m->is_available)
        return;
    if (m->breaker == 2)
        m->reason = "the breaker is half open: one call tries";
    else if (m->last_outcome == NULL)
        m->reason = "configured, not asked yet";
    else
        m->reason = arena_printf(a, "the last call ended with %s", m->last_outcome);
}

/* --- pools --- */

static void add_view(struct status_pool *out, const struct pool_view *v)
{
    int64_t in_flight = out->view.in_flight + v->in_flight;
    int waiting = out->view.waiting + v->waiting;
    int64_t pause_us = v->pause_until_us > out->view.pause_until_us ? v->pause_until_us : out->view.pause_until_us;
    enum throttle blocked = v->blocked != THROTTLE_NONE ? v->blocked : out->view.blocked;

    if (!out->is_known || v->seen_us > out->view.seen_us)
        out->view = *v;
    out->is_known = out->is_known || v->seen_us > 0;
    out->view.in_flight = in_flight;
    out->view.waiting = waiting;
    out->view.pause_until_us = pause_us;
    out->view.blocked = blocked;
}

static void name_pool(struct status_pool *out, const struct registry *reg, int pool, struct arena *a)
{
    const char **names = arena_zero(a, sizeof(*names) * (reg->n_models + 1));

    for (size_t i = 0; i < reg->n_models; i++) {
        const struct model *m = &reg->models[i];

        for (int k = 0; k < m->provider->n_keys; k++) {
            if (m->pools[k] != pool)
                continue;
            if (out->n_models == 0 || strcmp(names[out->n_models - 1], m->id) != 0)
                names[out->n_models++] = m->id;
            out->provider = m->provider->id;
            out->key_id = m->provider->keys[k].id;
        }
    }
    out->models = names;
}

static void make_pools(struct status_view *v, const struct status *s)
{
    const struct wiring *w = s->wiring;
    struct status_pool *pools = arena_zero(v->arena, sizeof(*pools) * (size_t)(w->n_pools + 1));

    for (int i = 0; i < w->n_pools; i++) {
        pools[i].id = w->pools[i].id;
        pools[i].conf = &w->pools[i];
        name_pool(&pools[i], &w->registry, i, v->arena);
        for (int k = 0; k < s->n_workers; k++) {
            const struct report *r = s->reports[k];

            if (r != NULL && i < r->n_pools)
                add_view(&pools[i], &r->pools[i]);
        }
    }
    v->pools = pools;
    v->n_pools = w->n_pools;
}

/* --- models --- */

/* What is left of the model's buckets, all its keys together. */
static void add_limits(struct status_model *out, const struct model *m, const struct status_view *v)
{
    double req_cap = 0, req_level = 0, tok_cap = 0, tok_level = 0;

    for (int k = 0; k < m->provider->n_keys; k++) {
        const struct status_pool *p = m->pools[k] >= 0 && m->pools[k] < v->n_pools ? &v->pools[m->pools[k]] : NULL;

        if (p == NULL)
            continue;
        out->waiting += p->view.waiting;
        if (!p->is_known)
            continue;
        req_cap += (double)p->view.req_cap;
        tok_cap += (double)p->view.tok_cap;
        req_level += (double)(p->view.req_level > 0 ? p->view.req_level : 0);
        tok_level += (double)(p->view.tok_level > 0 ? p->view.tok_level : 0);
    }
    out->rpm_free = req_cap > 0 ? req_level / req_cap : -1;
    out->tpm_free = tok_cap > 0 ? tok_level / tok_cap : -1;
}

static void make_models(struct status_view *v, const struct status *s, const struct window_view *win)
{
    const struct registry *reg = &s->wiring->registry;
    struct model_metrics *all[METRIC_MODELS_MAX + 1];
    struct status_model *models = arena_zero(v->arena, sizeof(*models) * (reg->n_models + 1));

    (void)metrics_models(all);
    for (size_t i = 0; i < reg->n_models; i++) {
        const struct model *m = &reg->models[i];
        int block = status_block_of(m->provider->id, m->id);
        struct status_model *out = &models[i];

        out->id = m->id;
        out->provider = m->provider->id;
        out->error_ratio = out->p50_ms = out->p95_ms = -1;
        for (int k = 0; k < m->provider->n_keys; k++)
            out->has_key |= m->provider->keys[k].secret != NULL && *m->provider->keys[k].secret != '\0';
        if (block >= 0) {
            add_window(out, win, block);
            add_last(out, all[block]);
        }
        add_limits(out, m, v);
        judge_model(out, m->provider, v->arena);
    }
    v->models = models;
    v->n_models = (int)reg->n_models;
}

/* --- errors --- */

static int by_recent(const void *a, const void *b)
{
    const struct status_error *x = a, *y = b;

    if (x->window_count != y->window_count)
        return x->window_count > y->window_count ? -1 : 1;
    return x->count > y->count ? -1 : x->count < y->count;
}

static void add_error(struct status_error *e, struct buf *names, const struct window_view *win, int block, int code,
                      const char *model)
{
    int64_t n = status_sample_of(win->now, block)->calls[code];

    if (n == 0)
        return;
    e->count += n;
    e->window_count += n - status_sample_of(win->then, block)->calls[code];
    buf_printf(names, "%s%s", names->len > 0 ? ", " : "", model);
}

static void make_errors(struct status_view *v, const struct window_view *win)
{
    struct status_error *errors = arena_zero(v->arena, sizeof(*errors) * STATUS_CODES);
    struct model_metrics *all[METRIC_MODELS_MAX + 1];
    struct buf names;

    (void)metrics_models(all);
    buf_init(&names, 0);
    for (int code = 1; code < METRIC_CODES_MAX; code++) {
        struct status_error *e = &errors[v->n_errors];

        if (code == FAULT_CANCELLED)
            continue;
        buf_clear(&names);
        for (int i = 0; i < win->now->n_blocks; i++)
            add_error(e, &names, win, i, code, all[i]->model);
        add_error(e, &names, win, STATUS_OTHER, code, "other");
        if (e->count == 0)
            continue;
        e->code = metrics_code_word(code);
        e->models = arena_strdup(v->arena, names.p);
        v->n_errors++;
    }
    buf_done(&names);
    qsort(errors, (size_t)v->n_errors, sizeof(*errors), by_recent);
    v->errors = errors;
}

/* --- jobs --- */

static void make_slowest(struct status_view *v, const struct status *s)
{
    int next[64] = {0}; /* per worker: its list is ordered */

    for (v->n_slowest = 0; v->n_slowest < STATUS_SLOWEST; v->n_slowest++) {
        int best = -1;

        for (int i = 0; i < s->n_workers && i < (int)ARRAY_LEN(next); i++) {
            const struct report *r = s->reports[i];

            if (r == NULL || next[i] >= r->n_jobs_listed)
                continue;
            if (best < 0 || r->jobs[next[i]].age_ms > s->reports[best]->jobs[next[best]].age_ms)
                best = i;
        }
        if (best < 0)
            return;
        v->slowest[v->n_slowest] =
            (struct status_job){s->reports[best]->worker_id, &s->reports[best]->jobs[next[best]++]};
    }
}

/* Against the oldest sample of the window that knew the lag: at the start no partition has told it yet. */
static void add_lag_trend(struct status_view *v, const struct status *s, const struct sample *now, int64_t since_us)
{
    for (int i = s->n_samples > STATUS_SAMPLES ? s->n_samples - STATUS_SAMPLES : 0; i < s->n_samples; i++) {
        const struct sample *old = &s->samples[i % STATUS_SAMPLES];

        if (old->lag < 0 || now->lag < 0 || old->at_us < since_us || now->at_us - old->at_us < STATUS_SAMPLE_US / 2)
            continue;
        v->lag_per_s = (double)(now->lag - old->lag) / ((double)(now->at_us - old->at_us) / 1e6);
        v->is_lag_trend_known = true;
        return;
    }
}

void status_view_init(struct status_view *v, struct status *s, int64_t now_us, int64_t wall_ms)
{
    struct arena *a = arena_new(16384);
    struct window_view win = window_of(s, a, now_us);
    int64_t n_jobs = 0, n_good;

    *v = (struct status_view){.arena = a,
                              .wall_ms = wall_ms,
                              .started_ms = s->started_ms,
                              .slot = s->slot,
                              .wiring = s->wiring,
                              .jobs_in_flight = metric_get(METRIC_JOBS_IN_FLIGHT),
                              .lag = win.now->lag,
                              .job_success_ratio = -1,
                              .n_workers = s->n_workers,
                              .reports = (const struct report *const *)s->reports,
                              .silent_us = s->silent_us};
    for (int i = 0; i < 4; i++)
        n_jobs += win.now->jobs[i] - win.then->jobs[i];
    n_good = win.now->jobs[0] - win.then->jobs[0] + win.now->jobs[1] - win.then->jobs[1];
    v->jobs_per_s = (double)n_jobs / win.seconds;
    if (n_jobs > 0)
        v->job_success_ratio = (double)n_good / (double)n_jobs;
    add_lag_trend(v, s, win.now, win.then->at_us);
    make_pools(v, s);
    make_models(v, s, &win);
    make_errors(v, &win);
    make_slowest(v, s);
    status_judge(v, s, &win);
}

void status_view_done(struct status_view *v)
{
    arena_free(v->arena);
    memset(v, 0, sizeof(*v));
}
