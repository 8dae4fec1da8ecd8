/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness and the sentence on top of the page: which checks hold, and what an operator should look at first. No check
 * asks anybody: neither Redis nor Kafka nor, above all, a provider. Main thread. */
#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/status_internal.h"
#include "app/wire.h"
#include "base/buf.h"
#include "base/mem.h"

enum {
    STUCK_SECONDS = 10,
    COMMIT_SLOW_MS = 15000,
    FAILURES_MIN = 3, /* attempts: one mishap of an idle service is no outage */
    MAX_CHECKS = 8,
};

static struct status_check check(const char *name, enum check_level level, const char *text)
{
    return (struct status_check){name, level, text};
}

static struct status_check check_life(const struct status *s)
{
    if (s->life == LIFE_STARTING)
        return check("life", CHECK_FAILED, "starting: Redis has to answer first");
    if (s->life == LIFE_DRAINING)
        return check("life", CHECK_FAILED, "draining: no new jobs are taken");
    return check("life", CHECK_OK, "running");
}

/* A file with a mistake harms nobody while the one before it is in force. */
static struct status_check check_config(void)
{
    bool is_old = metric_get(METRIC_RELOAD_TIME) > 0 && metric_get(METRIC_RELOAD_OK) == 0;

    return check("config", CHECK_OK, is_old ? "in force; the last reload was refused, see the log" : "in force");
}

static struct status_check check_workers(const struct status *s, struct arena *a)
{
    int n_silent = 0;

    for (int i = 0; i < s->n_workers; i++) {
        if (s->silent_us[i] > STUCK_SECONDS * STATUS_SECOND)
            return check("workers", CHECK_FAILED,
                         arena_printf(a, "the loop of worker %d has not turned for %lld s", i,
                                      (long long)(s->silent_us[i] / STATUS_SECOND)));
        n_silent += s->reports[i] == NULL;
    }
    if (n_silent > 0 && s->life == LIFE_RUNNING)
        return check("workers", CHECK_FAILED, arena_printf(a, "%d of %d are starting", n_silent, s->n_workers));
    return check("workers", CHECK_OK, arena_printf(a, "%d alive", s->n_workers - n_silent));
}

static struct status_check check_kafka(const struct status *s, struct arena *a)
{
    int n_parts = 0, n_waiting = 0;
    int64_t commit_ms = 0;

    for (int i = 0; i < s->n_workers; i++) {
        const struct report *r = s->reports[i];

        if (r == NULL || !r->is_connected) {
            n_waiting++;
            continue;
        }
        n_parts += r->n_parts;
        commit_ms = r->commit_wait_ms > commit_ms ? r->commit_wait_ms : commit_ms;
    }
    if (n_waiting > 0)
        return check("kafka", CHECK_FAILED, "not connected yet");
    if (commit_ms > COMMIT_SLOW_MS)
        return check(
            "kafka", CHECK_DEGRADED,
            arena_printf(a, "finished jobs have waited %lld s for their commit", (long long)(commit_ms / 1000)));
    if (n_parts == 0)
        return check("kafka", CHECK_OK, "connected; no partition is assigned to this process");
    return check("kafka", CHECK_OK, arena_printf(a, "connected, %d partition%s", n_parts, n_parts == 1 ? "" : "s"));
}

static struct status_check check_partitions(const struct status *s, struct arena *a)
{
    for (int i = 0; i < s->n_workers; i++) {
        const struct report *r = s->reports[i];

        for (int k = 0; r != NULL && k < r->n_parts; k++)
            if (r->parts[k].is_stalled)
                return check("partitions", CHECK_DEGRADED,
                             arena_printf(a, "%s [%d] has stopped: the job at offset %lld holds it back",
                                          r->parts[k].topic, (int)r->parts[k].partition, (long long)r->parts[k].base));
    }
    return check("partitions", CHECK_OK, "none is held back");
}

static struct status_check check_limiter(const struct status *s)
{
    const char *where = s->wiring->has_local_limits ? "not used, limits hold in this process" : "limits are shared";

    for (int i = 0; i < s->n_workers; i++)
        if (s->reports[i] != NULL && s->reports[i]->is_limiter_down)
            return check("redis", CHECK_DEGRADED, "away: calls of models with limits wait");
    return check("redis", CHECK_OK, s->wiring->n_pools > 0 ? where : "no model has limits");
}

static struct status_check check_journal(const struct status *s)
{
    for (int i = 0; i < s->n_workers; i++)
        if (s->reports[i] != NULL && s->reports[i]->is_journal_down)
            return check("journal", CHECK_DEGRADED, "away: no new call starts, answers that arrive are kept");
    if (s->wiring->has_memory_journal)
        return check("journal", CHECK_OK, "in memory, it ends with this process");
    if (!s->wiring->config->journal.is_enabled)
        return check("journal", CHECK_OK, "off, a crash may pay answers again");
    return check("journal", CHECK_OK, "writes are taken");
}

/* D-64: what counts is whether anything succeeds. While nothing ends (the breakers are open, say) and jobs wait, the
 * last word stands. */
static struct status_check check_providers(struct status_view *v, struct status *s, const struct window_view *win)
{
    int64_t n_ok = 0, n_bad = 0, codes[METRIC_CODES_MAX] = {0};
    int worst = 1;
    int64_t n_ended;

    for (int i = 0; i <= win->now->n_blocks; i++) {
        int block = i < win->now->n_blocks ? i : STATUS_OTHER;
        const struct model_sample *now = status_sample_of(win->now, block), *then = status_sample_of(win->then, block);

        n_ok += now->calls[0] - then->calls[0];
        for (int k = 1; k < METRIC_CODES_MAX; k++) {
            if (k == FAULT_CANCELLED)
                continue;
            codes[k] += now->calls[k] - then->calls[k];
            n_bad += now->calls[k] - then->calls[k];
        }
    }
    n_ended = n_ok + n_bad;
    if (n_ok > 0 || n_bad >= FAILURES_MIN || (n_bad == 0 && v->jobs_in_flight == 0))
        s->is_failing = n_ok == 0 && n_bad >= FAILURES_MIN;
    if (!s->is_failing)
        return check("providers", CHECK_OK,
                     n_ended == 0 ? "no call ended in the last minute"
                                  : arena_printf(v->arena, "%lld of %lld calls of the last minute answered",
                                                 (long long)n_ok, (long long)n_ended));
    for (int k = 1; k < METRIC_CODES_MAX; k++)
        if (codes[k] > codes[worst])
            worst = k;
    if (n_bad == 0)
        return check("providers", CHECK_DEGRADED, "every call has failed, and none is let through now");
    return check("providers", CHECK_DEGRADED,
                 arena_printf(v->arena, "every provider fails: %lld calls of the last minute, none answered, mostly %s",
                              (long long)n_bad, metrics_code_word(worst)));
}

/* --- the verdict --- */

/* "1 m 40 s" */
static void add_duration(struct buf *b, double seconds)
{
    long s = seconds > 0 ? (long)(seconds + 0.5) : 0;

    if (s >= 3600)
        buf_printf(b, "%ld h %ld m", s / 3600, s / 60 % 60);
    else if (s >= 60)
        buf_printf(b, "%ld m %ld s", s / 60, s % 60);
    else
        buf_printf(b, "%ld s", s);
}

static void add_lag(struct buf *b, const struct status_view *v)
{
    if (v->lag < 0)
        return;
    buf_printf(b, ", lag %lld", (long long)v->lag);
    if (v->lag == 0 || !v->is_lag_trend_known)
        return;
    if (v->lag_per_s < -0.05) {
        buf_add_str(b, " falling, clears in about ");
        add_duration(b, (double)v->lag / -v->lag_per_s);
    } else if (v->lag_per_s > 0.05) {
        buf_add_str(b, " growing");
    } else {
        buf_add_str(b, " steady");
    }
}

/* The pool that most calls wait for. */
static void add_bottleneck(struct buf *b, const struct status_view *v)
{
    static const struct {
        enum throttle why;
        const char *text;
    } texts[] = {{THROTTLE_RPM, "its requests per minute are used up"},
                 {THROTTLE_TPM, "its tokens per minute are used up"},
                 {THROTTLE_CONCURRENCY, "all its concurrent calls are taken"},
                 {THROTTLE_PAUSE, "the provider asked to wait"},
                 {THROTTLE_FAIRNESS, "other workers are due first"}};
    const struct status_pool *worst = NULL;
    const char *why = "its limits are used up";

    for (int i = 0; i < v->n_pools; i++)
        if (v->pools[i].view.waiting > 0 && (worst == NULL || v->pools[i].view.waiting > worst->view.waiting))
            worst = &v->pools[i];
    if (worst == NULL || worst->n_models == 0)
        return;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].why == (worst->view.pause_until_us > 0 ? THROTTLE_PAUSE : worst->view.blocked))
            why = texts[i].text;
    buf_printf(b, " %s is the bottleneck: %s, %d call%s wait.", worst->models[0], why, worst->view.waiting,
               worst->view.waiting == 1 ? "" : "s");
}

static void make_verdict(struct status_view *v)
{
    static const char *const words[] = {"Healthy", "Degraded", "Not ready"};
    struct buf b;

    buf_init(&b, 0);
    buf_add_str(&b, words[v->level]);
    for (int i = 0; i < v->n_checks; i++)
        if (v->checks[i].level == v->level && v->level != CHECK_OK) {
            buf_printf(&b, " (%s: %s)", v->checks[i].name, v->checks[i].text);
            break; /* the rest is in the list */
        }
    buf_printf(&b, ". %.1f jobs/s", v->jobs_per_s);
    add_lag(&b, v);
    buf_printf(&b, ", %lld in flight.", (long long)v->jobs_in_flight);
    add_bottleneck(&b, v);
    v->verdict = arena_strdup(v->arena, b.p);
    buf_done(&b);
}

void status_judge(struct status_view *v, struct status *s, const struct window_view *win)
{
    struct status_check *c = arena_zero(v->arena, sizeof(*c) * MAX_CHECKS);
    int n = 0;

    c[n++] = check_life(s);
    c[n++] = check_config();
    c[n++] = check_workers(s, v->arena);
    c[n++] = check_kafka(s, v->arena);
    c[n++] = check_limiter(s);
    c[n++] = check_journal(s);
    c[n++] = check_partitions(s, v->arena);
    c[n++] = check_providers(v, s, win);
    for (int i = 0; i < n; i++)
        if (c[i].level > v->level)
            v->level = c[i].level;
    v->checks = c;
    v->n_checks = n;
    make_verdict(v);
}

void status_ready_text(const struct status_view *v, bool is_verbose, struct buf *out)
{
    static const char *const words[] = {"ok", "degraded", "not ready"}, *const marks[] = {"[+]", "[!]", "[-]"};

    buf_printf(out, "%s\n", words[v->level]);
    for (int i = 0; i < v->n_checks; i++)
        if (is_verbose || v->checks[i].level != CHECK_OK)
            buf_printf(out, "%s %s: %s\n", marks[v->checks[i].level], v->checks[i].name, v->checks[i].text);
}
