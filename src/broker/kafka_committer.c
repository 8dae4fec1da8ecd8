/* SPDX-License-Identifier: Apache-2.0 */
/* The committer: one thread that runs what can only block, in the order given (transactions, admin calls, destroying
 * handles). It never touches a job, a partition or the loop but by loop_post(). Submitted from the loop thread;
 * `is_quitting` from any. */
#include "broker/kafka_internal.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"

struct kafka_committer {
    struct loop *loop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list queue; /* under lock */
    bool is_ending;    /* under lock: no more tasks come */
    bool is_abandoned; /* under lock: post nothing any more */
    atomic_bool is_quitting;
};

int64_t kafka_clock_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * KAFKA_SEC + t.tv_nsec / 1000;
}

static void on_posted(void *arg)
{
    struct kafka_task *t = arg;

    t->done(t);
}

static void *committer_thread(void *arg)
{
    struct kafka_committer *c = arg;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        struct kafka_task *t;

        while (list_is_empty(&c->queue) && !c->is_ending)
            pthread_cond_wait(&c->changed, &c->lock);
        if (list_is_empty(&c->queue))
            break;
        t = LIST_ENTRY(list_take_first(&c->queue), struct kafka_task, link);
        pthread_mutex_unlock(&c->lock);
        t->fn(t);
        pthread_mutex_lock(&c->lock);
        if (!c->is_abandoned)
            loop_post(c->loop, on_posted,
                      t); /* under the lock: the loop outlives only a committer that is not abandoned */
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

struct kafka_committer *kafka_committer_new(struct loop *loop)
{
    struct kafka_committer *c = mem_zero(sizeof(*c));
    sigset_t all, old;

    c->loop = loop;
    list_init(&c->queue);
    CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
    CHECK(pthread_cond_init(&c->changed, NULL) == 0);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
    CHECK(pthread_create(&c->thread, NULL, committer_thread, c) == 0);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return c;
}

void kafka_committer_submit(struct kafka_committer *c, struct kafka_task *t)
{
    t->committer = c;
    pthread_mutex_lock(&c->lock);
    list_add_tail(&c->queue, &t->link);
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void kafka_committer_quit(struct kafka_committer *c)
{
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->is_quitting, true);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static struct timespec after_us(int64_t us)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += us / KAFKA_SEC;
    t.tv_nsec += us % KAFKA_SEC * 1000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

void kafka_committer_pause(struct kafka_committer *c, int pause_ms)
{
    struct timespec until = after_us(pause_ms * INT64_C(1000));

    pthread_mutex_lock(&c->lock);
    while (!atomic_load(&c->is_quitting) && pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&c->lock);
}

bool kafka_committer_is_quitting(const struct kafka_committer *c)
{
    return atomic_load(&((struct kafka_committer *)(uintptr_t)c)->is_quitting);
}

bool kafka_committer_free(struct kafka_committer *c, int64_t wait_us)
{
    struct timespec until;

    if (c == NULL)
        return true;
    kafka_committer_quit(c);
    pthread_mutex_lock(&c->lock);
    c->is_ending = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);

    until = after_us(wait_us);
    if (pthread_timedjoin_np(c->thread, NULL, &until) != 0) {
        pthread_mutex_lock(&c->lock);
        c->is_abandoned = true;
        pthread_mutex_unlock(&c->lock);
        (void)pthread_detach(c->thread);
        log_event(LOG_WARN, "kafka_committer_left", "why=\"a library call does not return\"");
        return false; /* it still uses its memory */
    }
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    mem_free(c);
    return true;
}
