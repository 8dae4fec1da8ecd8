/* SPDX-License-Identifier: Apache-2.0 */
/* Functions handed to a loop from any thread: a list under a mutex, and one interrupt per blocked wait however many are
 * posted. It never runs a function while it holds the mutex, and never on the caller's thread. */
#include "loop.h"

#include "base/check.h"
#include "base/mem.h"
#include "loop/loop_internal.h"

struct post {
    struct list link;
    void (*fn)(void *arg);
    void *arg;
    uint64_t turn; /* posted by the loop's own thread in this turn, 0: by another thread or outside loop_run() */
};

void posts_init(struct posts *p)
{
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    list_init(&p->queue);
}

void posts_done(struct posts *p)
{
    LIST_EACH_SAFE (it, &p->queue) {
        list_del(it);
        mem_free(LIST_ENTRY(it, struct post, link));
    }
    (void)pthread_mutex_destroy(&p->lock);
}

void posts_set_owner(struct posts *p, bool is_owned)
{
    pthread_mutex_lock(&p->lock);
    p->owner = pthread_self();
    p->is_owned = is_owned;
    pthread_mutex_unlock(&p->lock);
}

bool posts_prepare(struct posts *p, bool will_block)
{
    bool is_empty;

    pthread_mutex_lock(&p->lock);
    is_empty = list_is_empty(&p->queue);
    p->is_waiting = is_empty && will_block;
    pthread_mutex_unlock(&p->lock);
    return is_empty;
}

int posts_run(struct loop *l)
{
    struct posts *p = &l->posts;
    struct list ready;
    struct list *it;
    int n = 0;

    list_init(&ready);
    pthread_mutex_lock(&p->lock);
    p->is_waiting = false;
    /* Order is kept: what stands behind a post of this very turn waits with it. */
    while (!list_is_empty(&p->queue) && LIST_ENTRY(p->queue.next, struct post, link)->turn != l->turn)
        list_add_tail(&ready, list_take_first(&p->queue));
    pthread_mutex_unlock(&p->lock);

    while ((it = list_take_first(&ready)) != NULL) {
        struct post post = *LIST_ENTRY(it, struct post, link);

        mem_free(LIST_ENTRY(it, struct post, link));
        n++;
        post.fn(post.arg);
    }
    return n;
}

void posts_run_last(struct loop *l, void (*fn)(void *arg))
{
    LIST_EACH_SAFE (it, &l->posts.queue) {
        struct post *post = LIST_ENTRY(it, struct post, link);
        void *arg = post->arg;

        if (post->fn != fn)
            continue;
        list_del(it);
        mem_free(post);
        fn(arg);
    }
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct posts *p = &l->posts;
    struct post *post = mem_alloc(sizeof(*post));
    bool is_own;

    *post = (struct post){.fn = fn, .arg = arg};
    pthread_mutex_lock(&p->lock);
    is_own = p->is_owned && pthread_equal(p->owner, pthread_self());
    post->turn = is_own ? l->turn : 0;
    list_add_tail(&p->queue, &post->link);
    if (p->is_waiting && !is_own) {
        p->is_waiting = false;
        /* Under the lock: once released, the loop may run the function, and that may be the end of the loop. */
        l->ops->interrupt(l);
    }
    pthread_mutex_unlock(&p->lock);
}
