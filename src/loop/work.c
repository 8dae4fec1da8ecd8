/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking work for a loop: two threads, started with the first work, that take from one queue and hand back through
 * loop_post(). In simulation there are no threads: fn runs inside loop_work(), done with the wake-ups of the turn.
 * Everything but the threads' own function runs on the loop's thread. */
#include "loop.h"

#include <signal.h>

#include "base/check.h"
#include "base/mem.h"
#include "loop/loop_internal.h"

enum { WORK_THREADS = 2 };

struct work_pool {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list queue; /* struct work, not begun; under lock */
    bool is_closing;   /* under lock */
    pthread_t threads[WORK_THREADS];
};

static void on_work_posted(void *arg)
{
    struct work *w = arg;

    w->done(w);
}

static void *work_thread(void *arg)
{
    struct work_pool *pool = arg;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct work *w;

        while (list_is_empty(&pool->queue) && !pool->is_closing)
            pthread_cond_wait(&pool->changed, &pool->lock);
        if (pool->is_closing)
            break;
        w = LIST_ENTRY(list_take_first(&pool->queue), struct work, link);
        pthread_mutex_unlock(&pool->lock);
        w->fn(w);
        loop_post(w->loop, on_work_posted, w); /* from here on w is the loop thread's */
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static struct work_pool *work_pool_new(void)
{
    struct work_pool *pool = mem_zero(sizeof(*pool));
    sigset_t all, old;

    CHECK(pthread_mutex_init(&pool->lock, NULL) == 0);
    CHECK(pthread_cond_init(&pool->changed, NULL) == 0);
    list_init(&pool->queue);
    /* Signals are for the threads that asked for them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < WORK_THREADS; i++) {
        CHECK(pthread_create(&pool->threads[i], NULL, work_thread, pool) == 0);
        (void)pthread_setname_np(pool->threads[i], "tutti-work");
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pool;
}

void work_pool_free(struct loop *l)
{
    struct work_pool *pool = l->pool;

    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->is_closing = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < WORK_THREADS; i++)
        pthread_join(pool->threads[i], NULL);
    posts_run_last(l, on_work_posted); /* new work would only be queued, and dropped */
    (void)pthread_cond_destroy(&pool->changed);
    (void)pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}

void works_run_done(void *loop)
{
    struct loop *l = loop;
    struct list ready;
    struct list *it;

    list_init(&ready);
    list_move_all(&ready, &l->works_done);
    while ((it = list_take_first(&ready)) != NULL)
        on_work_posted(LIST_ENTRY(it, struct work, link));
}

void loop_work(struct loop *l, struct work *w)
{
    w->loop = l;
    if (loop_is_sim(l)) {
        w->fn(w);
        list_add_tail(&l->works_done, &w->link);
        loop_wake(l, &l->works_wake);
        return;
    }
    if (l->pool == NULL)
        l->pool = work_pool_new();
    pthread_mutex_lock(&l->pool->lock);
    list_add_tail(&l->pool->queue, &w->link);
    pthread_cond_signal(&l->pool->changed);
    pthread_mutex_unlock(&l->pool->lock);
}
