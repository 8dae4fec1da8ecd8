/* SPDX-License-Identifier: Apache-2.0 */
/* A job's birth, abandonment and end. What it does in between is in step.c. Loop thread. */
#include "core/job.h"

#include <string.h>

#include "base/check.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "core/count.h"

enum { ARENA_SLACK = 4096 };

static void copy_headers(struct job *j, const struct message *m)
{
    j->n_headers = m->n_headers;
    j->headers = arena_zero(j->arena, sizeof(*j->headers) * (size_t)(m->n_headers + 1));
    for (int i = 0; i < m->n_headers; i++) {
        const struct message_header *h = &m->headers[i];

        j->headers[i].name = arena_strdup(j->arena, h->name);
        j->headers[i].value_len = h->value_len;
        if (h->value != NULL)
            j->headers[i].value = arena_copy(j->arena, h->value, h->value_len);
    }
}

static void on_wake(void *arg)
{
    job_wake(arg);
}

struct job *job_new(struct env *env, const char *topic, int32_t partition, const struct message *m)
{
    struct arena *a = arena_new(sizeof(struct job) + m->value_len + ARENA_SLACK);
    struct job *j = arena_zero(a, sizeof(*j));
    uint8_t digest[DIGEST_BYTES];

    j->magic = JOB_MAGIC;
    j->arena = a;
    j->env = env;
    list_init(&j->link);
    list_init(&j->pub.link);
    list_init(&j->claim.link);
    list_init(&j->identify.link);
    wake_init(&j->wake, on_wake, j);
    timer_init(&j->timer, NULL, j);
    j->pos = (struct position){.topic = arena_strdup(a, topic), .partition = partition, .offset = m->offset};
    j->ts_ms = m->ts_ms;
    if (m->key != NULL)
        j->source_key = arena_copy(a, m->key, m->key_len);
    j->source_key_len = m->key_len;
    if (m->value != NULL)
        j->value = arena_copy(a, m->value, m->value_len);
    j->value_len = m->value != NULL ? m->value_len : 0;
    copy_headers(j, m);
    digest_sha256(j->value_len > 0 ? j->value : "", j->value_len, digest);
    memcpy(j->digest, digest, sizeof(j->digest));
    j->read_ms = loop_wall_ms(env->loop);
    j->deadline_us = INT64_MAX;
    j->merged.winner = -1;
    metric_add(METRIC_JOBS_READ, 1);
    metric_observe(HISTOGRAM_JOB_QUEUE_AGE,
                   j->ts_ms > 0 && j->read_ms >= j->ts_ms ? (j->read_ms - j->ts_ms) * 1000 : -1);
    metric_add(METRIC_JOBS_IN_FLIGHT, 1);
    return j;
}

void job_start(struct job *j)
{
    loop_wake(j->env->loop, &j->wake);
}

bool job_has_begun(const struct job *j)
{
    if (j->step > STEP_STAGE || j->is_decided)
        return true;
    for (int i = 0; i < j->n_calls; i++)
        if (call_is_under_way(&j->calls[i]) || !list_is_empty(&j->calls[i].attempts))
            return true;
    return false;
}

void job_abandon(struct job *j)
{
    if (j->is_abandoned || j->is_published || j->is_over)
        return;
    j->is_abandoned = true;
    timer_stop(j->env->loop, &j->timer);
    for (int i = 0; i < j->n_calls; i++)
        call_abandon(&j->calls[i]);
    loop_wake(j->env->loop, &j->wake);
}

void job_cancel(struct job *j)
{
    if (j->is_abandoned || j->is_over || j->step > STEP_STAGE || j->is_decided)
        return;
    j->is_cancelled = true;
    if (j->step == STEP_STAGE) /* before that it waits for something else, perhaps for its start */
        loop_wake(j->env->loop, &j->wake);
}

/* What was asked of the journal and not answered. */
static void take_back_questions(struct job *j)
{
    struct journal *journal = j->env->journal;

    if (j->claim.done != NULL)
        journal->ops->cancel(journal, &j->claim);
    if (j->identify.done != NULL)
        journal->ops->unidentify(journal, &j->identify);
    j->claim.done = NULL;
    j->identify.done = NULL;
}

void job_release(struct job *j)
{
    struct journal *journal = j->env->journal;

    take_back_questions(j);
    if (journal != NULL && j->is_claimed)
        journal->ops->release(journal, &j->pos);
}

void job_committed(struct job *j)
{
    struct journal *journal = j->env->journal;

    if (journal != NULL && j->is_claimed)
        journal->ops->forget(journal, &j->pos);
}

/* Closes what a call still has open; nothing is journaled: only for a process that ends at once. */
static void stop_call(struct call *c)
{
    struct env *env = c->job->env;

    call_abandon(c);
    if (call_is_under_way(c)) {
        env->http->ops->cancel(env->http, &c->transfer);
        transfer_release(&c->transfer);
        count_under_way(c, -1);
    }
    if (c->has_permit)
        env->limiter->ops->settle(env->limiter, &c->permit, -1, c->transfer.was_sent);
    c->has_permit = false;
    health_leave(env->health, &c->gate);
}

void job_free(struct job *j)
{
    struct env *env;

    if (j == NULL)
        return;
    CHECK(j->magic == JOB_MAGIC);
    env = j->env;
    take_back_questions(j);
    for (int i = 0; i < j->n_calls; i++)
        stop_call(&j->calls[i]);
    timer_stop(env->loop, &j->timer);
    wake_cancel(&j->wake);
    list_del(&j->link);
    metric_add(METRIC_JOBS_IN_FLIGHT, -1);
    j->magic = 0;
    arena_free(j->arena);
}
