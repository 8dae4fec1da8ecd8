/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's life: partitions come and go, jobs are published and end, a drain finishes what has begun. Loop thread.
 */
#include "engine/worker.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "core/inflight.h"
#include "engine/stats.h"
#include "engine/worker_internal.h"

/* --- the end of jobs --- */

static void stop_now(struct worker *w);

static bool has_running(const struct worker *w)
{
    LIST_EACH (it, &w->partitions)
        if (LIST_ENTRY(it, struct partition, link)->n_running > 0)
            return true;
    return !list_is_empty(&w->orphans);
}

/* Takes the job out of its list; it is freed when the turn ends, since its own functions may be on the stack. */
static void bury(struct worker *w, struct job *j)
{
    struct partition *p = j->owner;

    if (p != NULL && !j->is_published)
        p->n_running--;
    list_del(&j->link);
    list_add_tail(&w->dead, &j->link);
    if (p != NULL)
        partition_settle(p);
}

static void reap(void *arg)
{
    struct worker *w = arg;
    bool had_any = !list_is_empty(&w->dead), had_orphan = false;

    for (struct list *it = list_take_first(&w->dead); it != NULL; it = list_take_first(&w->dead)) {
        struct job *j = LIST_ENTRY(it, struct job, link);

        had_orphan |= j->owner == NULL;
        job_free(j);
        w->n_jobs--;
    }
    if (had_orphan)
        intake_start_held_back(w);
    if (had_any && !w->is_draining)
        loop_wake(w->env.loop, &w->pump);
    if (w->is_draining && !w->is_stopping && !has_running(w))
        stop_now(w);
}

static void on_job_over(struct job *j, void *arg)
{
    bury(arg, j);
}

static void on_job_publish(struct job *j, void *arg)
{
    struct worker *w = arg;
    struct partition *p = j->owner;

    CHECK(p != NULL);
    p->n_running--;
    window_close(&p->window, j->pos.offset);
    w->env.broker->ops->publish(w->env.broker, &j->pub);
    intake_retry_held(p);
    partition_settle(p);
}

static bool on_is_cancelled(struct job *j, void *arg)
{
    const struct worker *w = arg;

    return cancels_has(w->cancels, j);
}

static struct job *job_of(struct publication *pub)
{
    return CONTAINER_OF(pub, struct job, pub);
}

static struct record *on_closing(void *arg, const struct list *pubs, uint64_t number, struct arena *a)
{
    struct worker *w = arg;

    return stats_closing(w->stats, pubs, number, a);
}

static void on_published(void *arg, struct publication *pub)
{
    struct job *j = job_of(pub);
    struct partition *p = j->owner;

    if (p != NULL)
        stats_published(p->progress, j);
    job_committed(j);
    bury(arg, j);
}

static void on_dropped(void *arg, struct publication *pub)
{
    struct job *j = job_of(pub);

    job_release(j);
    bury(arg, j);
}

/* --- partitions --- */

static int rank_of(const struct worker *w, const char *topic)
{
    for (int i = 0; i < w->conf.n_topics; i++)
        if (strcmp(w->conf.topics[i], topic) == 0)
            return i;
    return 0;
}

static void on_assigned(void *arg, struct broker_part *bp, const char *metadata)
{
    struct worker *w = arg;
    struct partition *p = mem_zero(sizeof(*p));

    p->worker = w;
    p->bp = bp;
    p->rank = rank_of(w, bp->topic);
    bp->user = p;
    list_init(&p->link);
    list_init(&p->jobs);
    window_init(&p->window, bp->start);
    if (metadata != NULL && window_load(&p->window, metadata, bp->high) < 0) {
        metric_add(METRIC_METADATA_IGNORED, 1);
        log_event(LOG_WARN, "metadata_ignored", "topic=\"%s\" part=%d off=%lld", bp->topic, bp->partition,
                  (long long)bp->start);
        window_init(&p->window, bp->start);
    }
    list_add_tail(&w->partitions, &p->link);
}

void partition_settle(struct partition *p)
{
    struct broker *b = p->worker->env.broker;

    if (!p->is_revoking || p->is_released || p->n_running > 0)
        return;
    p->is_released = true;
    b->ops->release(b, p->bp);
}

/* What has not begun a call is left to the next owner at once; what has begun is finished if it can be. */
static void abandon_idle(struct partition *p)
{
    LIST_EACH_SAFE (it, &p->jobs) {
        struct job *j = LIST_ENTRY(it, struct job, link);

        if (!job_has_begun(j))
            job_abandon(j);
    }
}

static void drop_held(struct partition *p)
{
    if (p->held == NULL)
        return;
    p->worker->n_jobs--;
    job_free(TAKE(p->held));
}

static void on_revoking(void *arg, struct broker_part *bp)
{
    struct partition *p = bp->user;

    (void)arg;
    p->is_revoking = true;
    drop_held(p);
    abandon_idle(p);
    partition_settle(p);
}

static void on_lost(void *arg, struct broker_part *bp)
{
    struct worker *w = arg;
    struct partition *p = bp->user;

    drop_held(p);
    LIST_EACH_SAFE (it, &p->jobs) {
        struct job *j = LIST_ENTRY(it, struct job, link);

        j->owner = NULL;
        list_del(&j->link);
        list_add_tail(&w->orphans, &j->link);
        job_abandon(j); /* published ones wait for the broker's word */
    }
    list_del(&p->link);
    progress_free(p->progress);
    mem_free(p);
}

static void on_readable(void *arg, struct broker_part *bp)
{
    struct worker *w = arg;
    struct partition *p = bp->user;

    p->is_readable = true;
    if (!w->is_draining)
        loop_wake(w->env.loop, &w->pump);
}

static void on_position(void *arg, struct broker_part *bp, int64_t *out_base, struct buf *out_metadata)
{
    struct partition *p = bp->user;

    (void)arg;
    window_position(&p->window, out_base, out_metadata);
}

static void on_ready(void *arg)
{
    struct worker *w = arg;

    w->is_connected = true;
    if (w->env.journal != NULL)
        w->env.journal->ops->announce(w->env.journal, w->env.worker_id);
}

/* --- the end of the worker --- */

static void on_limiter_stopped(void *arg)
{
    struct worker *w = arg;

    log_event(LOG_INFO, "worker_stopped", "worker=\"%s\" code=%d", w->env.worker_id, w->exit_code);
    w->stopped(w->arg, w->exit_code);
}

static void on_journal_stopped(void *arg)
{
    struct worker *w = arg;

    w->env.limiter->ops->stop(w->env.limiter, on_limiter_stopped, w);
}

static void on_broker_stopped(void *arg)
{
    struct worker *w = arg;

    if (w->env.journal != NULL)
        w->env.journal->ops->stop(w->env.journal, true, on_journal_stopped, w);
    else
        on_journal_stopped(w);
}

static void stop_now(struct worker *w)
{
    if (w->is_stopping)
        return;
    w->is_stopping = true;
    timer_stop(w->env.loop, &w->grace);
    w->env.broker->ops->stop(w->env.broker, on_broker_stopped, w);
}

static void on_grace(void *arg)
{
    struct worker *w = arg;

    log_event(LOG_WARN, "drain_cut", "jobs=%d", w->n_jobs);
    stop_now(w);
}

/* From here on nothing new is sent: what is under way is waited for and journaled, the rest is left to the next owner.
 */
static void abandon_all(struct worker *w)
{
    LIST_EACH (p, &w->partitions)
        LIST_EACH_SAFE (it, &LIST_ENTRY(p, struct partition, link)->jobs)
            job_abandon(LIST_ENTRY(it, struct job, link));
}

static void on_half_grace(void *arg)
{
    struct worker *w = arg;

    abandon_all(w);
    timer_init(&w->grace, on_grace, w);
    timer_start(w->env.loop, &w->grace, loop_now_us(w->env.loop) + w->conf.grace_us / 2);
}

void worker_drain(struct worker *w)
{
    if (w->is_draining)
        return;
    w->is_draining = true;
    log_event(LOG_INFO, "draining", "worker=\"%s\" jobs=%d", w->env.worker_id, w->n_jobs);
    LIST_EACH (it, &w->partitions) {
        struct partition *p = LIST_ENTRY(it, struct partition, link);

        drop_held(p);
        abandon_idle(p);
    }
    /* jobs that have begun may ask for more for half of the grace; calls sent then have the other half to be answered
     */
    timer_init(&w->grace, on_half_grace, w);
    timer_start(w->env.loop, &w->grace, loop_now_us(w->env.loop) + w->conf.grace_us / 2);
    if (!has_running(w))
        stop_now(w);
}

static void on_failed(void *arg, int exit_code, const char *why)
{
    struct worker *w = arg;

    log_event(LOG_ERROR, "worker_failed", "code=%d why=\"%s\"", exit_code, why);
    if (w->exit_code == 0)
        w->exit_code = exit_code;
    w->is_draining = true;
    abandon_all(w); /* nothing can be published any more, but what is paid for is journaled */
    if (!has_running(w)) {
        stop_now(w);
        return;
    }
    timer_stop(w->env.loop, &w->grace); /* a drain may be running */
    timer_init(&w->grace, on_grace, w);
    timer_start(w->env.loop, &w->grace, loop_now_us(w->env.loop) + w->conf.grace_us);
}

static const struct broker_events events = {.ready = on_ready,
                                            .assigned = on_assigned,
                                            .revoking = on_revoking,
                                            .lost = on_lost,
                                            .readable = on_readable,
                                            .message = intake_message,
                                            .position = on_position,
                                            .closing = on_closing,
                                            .published = on_published,
                                            .dropped = on_dropped,
                                            .failed = on_failed};

struct worker *worker_new(const struct env *env, const struct worker_conf *conf, worker_stopped stopped, void *arg)
{
    struct worker *w = mem_zero(sizeof(*w));

    w->env = *env;
    w->env.job_over = on_job_over;
    w->env.job_publish = on_job_publish;
    w->env.job_is_cancelled = on_is_cancelled;
    w->env.arg = w;
    w->env.inflight = inflight_new();
    w->stats = stats_new(&w->env);
    w->conf = *conf;
    w->stopped = stopped;
    w->arg = arg;
    w->cancels = cancels_new();
    list_init(&w->partitions);
    list_init(&w->orphans);
    list_init(&w->dead);
    timer_init(&w->grace, on_grace, w);
    wake_init(&w->pump, intake_pump, w);
    w->reaper = (struct hook){.fn = reap, .arg = w};
    loop_add_hook(env->loop, &w->reaper);
    return w;
}

int worker_start(struct worker *w)
{
    return w->env.broker->ops->start(w->env.broker, &events, w);
}

void worker_reload(struct worker *w, const struct worker_reload *r)
{
    struct env *env = &w->env;

    if (w->is_stopping)
        return;
    env->limiter->ops->configure(env->limiter, r->pools, r->n_pools); /* first: the registry's models name its pools */
    health_reload(env->health, r->registry, &r->breaker);
    env->registry = r->registry;
    env->retry = r->retry;
    env->deadline_us = r->deadline_us;
    env->dedupe_us = r->dedupe_us;
    env->max_bytes = r->max_bytes;
    env->is_lenient = r->is_lenient;
    w->conf.max_in_flight = r->max_in_flight;
    w->conf.grace_us = r->grace_us;
    if (!w->is_draining)
        loop_wake(env->loop, &w->pump); /* there may be more room */
}

int worker_jobs(const struct worker *w)
{
    return w->n_jobs;
}

static void free_jobs(struct list *jobs)
{
    for (struct list *it = list_take_first(jobs); it != NULL; it = list_take_first(jobs))
        job_free(LIST_ENTRY(it, struct job, link));
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    for (struct list *it = list_take_first(&w->partitions); it != NULL; it = list_take_first(&w->partitions)) {
        struct partition *p = LIST_ENTRY(it, struct partition, link);

        drop_held(p);
        free_jobs(&p->jobs);
        progress_free(p->progress);
        mem_free(p);
    }
    free_jobs(&w->orphans);
    free_jobs(&w->dead);
    timer_stop(w->env.loop, &w->grace);
    wake_cancel(&w->pump);
    loop_del_hook(&w->reaper);
    stats_free(w->stats);
    inflight_free(w->env.inflight);
    cancels_free(w->cancels);
    mem_free(w);
}
