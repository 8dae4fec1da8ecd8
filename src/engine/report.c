/* SPDX-License-Identifier: Apache-2.0 */
/* Copies what a worker knows into a report. It changes nothing and asks nobody: no I/O, no Redis, no provider. Loop
 * thread, but for report_free(). */
#include "engine/report.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/registry.h"
#include "engine/worker_internal.h"

static const char *const step_names[STEP_MAX] = {
    [STEP_CLAIM] = "claim", [STEP_DECODE] = "decode", [STEP_IDENTIFY] = "identify", [STEP_PLAN] = "plan",
    [STEP_STAGE] = "stage", [STEP_MERGE] = "merge",   [STEP_ENCODE] = "encode",     [STEP_PUBLISH] = "publish",
};

static_assert(ARRAY_LEN(step_names) == STEP_MAX, "a name for each step");

static const char *waiting_of(const struct call *c)
{
    const struct journal *journal = c->job->env->journal;
    const char *throttle;

    switch (c->state) {
    case CALL_GATED:
        return "breaker";
    case CALL_ASKING:
        throttle = throttle_name(c->permit.throttle);
        return throttle != NULL ? throttle : "permit";
    case CALL_SENDING:
        return "provider";
    case CALL_BACKING_OFF:
        if (journal != NULL && journal->is_down)
            return "journal";
        return c->is_waiting ? "pause" : "backoff";
    default:
        return NULL;
    }
}

static const char *state_of(const struct call *c)
{
    switch (c->state) {
    case CALL_GATED:
    case CALL_ASKING:
        return "waiting";
    case CALL_SENDING:
        return "sending";
    case CALL_BACKING_OFF:
        return "retrying";
    case CALL_OVER:
        if (c->outcome->fault == FAULT_CANCELLED)
            return "cancelled";
        return outcome_is_ok(c->outcome) ? "ok" : "failed";
    default:
        return "idle";
    }
}

static const char *error_of(const struct call *c)
{
    if (c->state == CALL_OVER)
        return fault_code(c->outcome->fault);
    if (list_is_empty(&c->attempts))
        return NULL;
    return fault_code(LIST_ENTRY(c->attempts.prev, struct attempt, link)->outcome.fault);
}

static void take_call(struct arena *a, struct report_call *out, const struct call *c)
{
    *out =
        (struct report_call){.state = state_of(c),
                             .waiting = waiting_of(c),
                             .error = error_of(c),
                             .attempt = c->attempt,
                             .model = c->model != NULL ? arena_strdup(a, c->model->id) : text_decode(a, c->name, NULL),
                             .provider = c->model != NULL ? arena_strdup(a, c->model->provider->id) : NULL};
}

static const char *position_of(struct arena *a, const struct job *j)
{
    return arena_printf(a, "%s/%d/%lld", j->pos.topic, (int)j->pos.partition, (long long)j->pos.offset);
}

/* What the job as a whole waits for; NULL: nothing, it runs. */
static const char *job_waiting(const struct job *j, const struct report_call *calls)
{
    if (j->is_published)
        return "commit";
    if (j->step == STEP_CLAIM)
        return j->is_held_back ? "predecessor" : "claim";
    for (int i = 0; i < j->n_calls && j->step == STEP_STAGE; i++)
        if (calls[i].waiting != NULL && strcmp(calls[i].waiting, "provider") != 0)
            return calls[i].waiting;
    for (int i = 0; i < j->n_calls && j->step == STEP_STAGE; i++)
        if (calls[i].waiting != NULL)
            return calls[i].waiting;
    return NULL;
}

static void take_job(struct arena *a, struct report_job *out, const struct job *j, int64_t wall_ms)
{
    struct report_call *calls = arena_zero(a, sizeof(*calls) * (size_t)(j->n_calls + 1));

    for (int i = 0; i < j->n_calls; i++)
        take_call(a, &calls[i], &j->calls[i]);
    *out = (struct report_job){.job_id = j->spec.job_id != NULL ? arena_strdup(a, j->spec.job_id) : position_of(a, j),
                               .topic = arena_strdup(a, j->pos.topic),
                               .partition = j->pos.partition,
                               .offset = j->pos.offset,
                               .step = step_names[j->step],
                               .waiting = job_waiting(j, calls),
                               .age_ms = wall_ms - j->read_ms,
                               .record_age_ms = j->ts_ms > 0 ? wall_ms - j->ts_ms : -1,
                               .calls = calls,
                               .n_calls = j->n_calls};
}

/* The jobs to be listed, while they are chosen. */
struct choice {
    const struct job **jobs; /* jobs[n], oldest first */
    int n;
    int max;
    const char *job_id; /* NULL: any */
    struct arena *arena;
};

static bool is_chosen(const struct choice *c, const struct job *j)
{
    if (c->job_id == NULL)
        return true;
    return (j->spec.job_id != NULL && strcmp(j->spec.job_id, c->job_id) == 0) ||
           strcmp(position_of(c->arena, j), c->job_id) == 0;
}

static bool is_older(const struct job *a, const struct job *b)
{
    return a->read_ms != b->read_ms ? a->read_ms < b->read_ms : a->pos.offset < b->pos.offset;
}

/* A partition's jobs come in order, so that most of them are younger than all that are kept and cost one comparison. */
static void choose(struct choice *c, const struct job *j)
{
    int i = c->n;

    if (!is_chosen(c, j) || (c->n == c->max && !is_older(j, c->jobs[c->n - 1])))
        return;
    if (c->n < c->max)
        c->n++;
    else
        i--;
    for (; i > 0 && is_older(j, c->jobs[i - 1]); i--)
        c->jobs[i] = c->jobs[i - 1];
    c->jobs[i] = j;
}

static void take_jobs(struct report *r, const struct worker *w, int max_jobs, const char *job_id)
{
    struct choice c = {.max = max_jobs, .job_id = job_id, .arena = r->arena};
    struct report_job *out;

    if (max_jobs <= 0)
        return;
    c.jobs = arena_alloc(r->arena, (size_t)max_jobs * sizeof(const struct job *));
    LIST_EACH (p, &w->partitions)
        LIST_EACH (it, &LIST_ENTRY(p, struct partition, link)->jobs)
            choose(&c, LIST_ENTRY(it, struct job, link));
    LIST_EACH (it, &w->orphans)
        choose(&c, LIST_ENTRY(it, struct job, link));
    out = arena_zero(r->arena, sizeof(*out) * (size_t)(c.n + 1));
    for (int i = 0; i < c.n; i++)
        take_job(r->arena, &out[i], c.jobs[i], r->wall_ms);
    r->n_jobs_listed = c.n;
    r->jobs = out;
}

static void take_part(struct report *r, struct report_part *out, const struct partition *p)
{
    *out = (struct report_part){.topic = arena_strdup(r->arena, p->bp->topic),
                                .partition = p->bp->partition,
                                .base = p->window.base,
                                .high = p->bp->high,
                                .lag = -1,
                                .oldest_ts_ms = -1,
                                .is_stalled = p->held != NULL || !window_has_room(&p->window),
                                .is_revoking = p->is_revoking};
    /* The end of the last fetch may be older than what was delivered since. */
    if (out->high >= 0)
        out->lag = (out->high > p->window.next ? out->high : p->window.next) - out->base;
    LIST_EACH (it, &p->jobs) {
        const struct job *j = LIST_ENTRY(it, struct job, link);
        int64_t waits_ms = j->is_published ? r->wall_ms - j->ended_ms : 0;

        out->n_jobs++;
        if (j->ts_ms > 0 && (out->oldest_ts_ms < 0 || j->ts_ms < out->oldest_ts_ms))
            out->oldest_ts_ms = j->ts_ms;
        if (waits_ms > r->commit_wait_ms && j->ended_ms > 0)
            r->commit_wait_ms = waits_ms;
    }
}

/* In the order people look them up, not in that of their assignment. */
static int compare_parts(const void *a, const void *b)
{
    const struct report_part *x = a, *y = b;
    int by_topic = strcmp(x->topic, y->topic);

    return by_topic != 0 ? by_topic : (x->partition > y->partition) - (x->partition < y->partition);
}

static void take_parts(struct report *r, const struct worker *w)
{
    struct report_part *out;
    int n = 0;

    LIST_EACH (it, &w->partitions)
        n++;
    out = arena_zero(r->arena, sizeof(*out) * (size_t)(n + 1));
    LIST_EACH (it, &w->partitions)
        take_part(r, &out[r->n_parts++], LIST_ENTRY(it, struct partition, link));
    qsort(out, (size_t)n, sizeof(*out), compare_parts);
    r->parts = out;
}

static int64_t refilled(int64_t level, int64_t cap, double rate, int64_t dt_us)
{
    double now = (double)level + rate * ((double)dt_us / 1e6);

    return now < (double)cap ? (int64_t)now : cap;
}

/* Levels are as of the last answer of the store: since then they have risen. */
static void take_pools(struct report *r, const struct worker *w)
{
    const struct limiter *l = w->env.limiter;
    int64_t now_us = loop_now_us(w->env.loop);
    struct pool_view *out = arena_zero(r->arena, sizeof(*out) * (size_t)(l->n_views + 1));

    for (int i = 0; i < l->n_views; i++) {
        struct pool_view *v = &out[i];

        *v = l->views[i];
        if (v->pause_until_us < now_us)
            v->pause_until_us = 0;
        else
            v->pause_until_us -= now_us; /* for others it is a duration: loops share no clock */
        if (v->seen_us == 0)
            continue;
        v->req_level = refilled(v->req_level, v->req_cap, v->req_rate, now_us - v->seen_us);
        v->tok_level = refilled(v->tok_level, v->tok_cap, v->tok_rate, now_us - v->seen_us);
    }
    r->pools = out;
    r->n_pools = l->n_views;
}

struct report *report_new(const struct worker *w, int max_jobs, const char *job_id)
{
    struct arena *a = arena_new(4096);
    struct report *r = arena_zero(a, sizeof(*r));

    r->arena = a;
    r->worker_id = arena_strdup(a, w->env.worker_id);
    r->wall_ms = loop_wall_ms(w->env.loop);
    r->n_jobs = w->n_jobs;
    r->is_connected = w->is_connected;
    r->is_draining = w->is_draining;
    r->is_journal_down = w->env.journal != NULL && w->env.journal->is_down;
    r->is_limiter_down = w->env.limiter->is_down && w->env.limiter->n_views > 0;
    take_parts(r, w);
    take_pools(r, w);
    take_jobs(r, w, max_jobs, job_id);
    return r;
}

void report_free(struct report *r)
{
    if (r != NULL)
        arena_free(r->arena);
}
